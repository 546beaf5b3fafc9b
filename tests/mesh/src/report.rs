//! What `make run` prints: where everything listens, the tour as a table, commands to paste.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::authorization::claims;
use crate::http::{message_1_0, rpc};
use crate::mesh::{AGENT, Mesh};
use crate::place;
use crate::tour::{Outcome, Program, Row};
use crate::tour_users::{ANN, call};
use crate::tour_wallet::Proof;

/// The rows as a table; a row that came out otherwise is followed by what was stated.
pub fn table(rows: &[Row]) -> String {
    let head = ["call", "caller", "HTTP", "outcome", "reason"].map(str::to_owned);
    let cells = |row: &Row| {
        let seen = row.seen.clone();
        [row.call.to_owned(), row.caller.to_owned(), seen.status, seen.outcome, seen.reason]
    };
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let mark = match index.checked_sub(1).and_then(|index| rows.get(index)) {
            None => ' ',
            Some(row) if row.holds() => '✓',
            Some(_) => '✗',
        };
        let padded: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{mark} {}", padded.join("  ").trim_end());
        if let Some(row) = index.checked_sub(1).and_then(|index| rows.get(index)).filter(|row| !row.holds()) {
            let Outcome { status, outcome, reason } = &row.stated;
            let _ = writeln!(text, "    stated: {status} {outcome} {reason}");
        }
    }
    text
}

/// The records in an Envoy's log: of each kind of decision the first.
pub fn records(log: &str) -> String {
    let mut seen = BTreeSet::new();
    let lines = log.lines().filter_map(|line| line.split_once("attache: audit ").map(|(_, record)| record));
    let is_new = |line: &&str| {
        let record: Value = serde_json::from_str(line).unwrap_or_default();
        seen.insert(["decision", "reason", "issuer", "kind", "client"].map(|name| record[name].to_string()))
    };
    lines.filter(is_new).map(|line| format!("  {line}\n")).collect()
}

/// Where everything listens, one line each.
pub fn places(mesh: &Mesh) -> String {
    let rows = [
        ("inbound Envoy", mesh.inbound.port(), "guards the agent; admin on port ", mesh.inbound.admin()),
        ("outbound Envoy", mesh.outbound.port(), "attaches credentials; admin on port ", mesh.outbound.admin()),
    ];
    let mut text = String::new();
    for (name, port, what, admin) in rows {
        let _ = writeln!(text, "  {name:<22} http://127.0.0.1:{port:<6} {what}{admin}");
    }
    let peers = [
        ("authorization server", mesh.authorization.port, "oidc-provider: tokens by client credentials"),
        ("agent, A2A 1.0", mesh.agent_1_0.port, "a2a-sdk 1.3.0; echoes what it received"),
        ("agent, A2A 0.3", mesh.agent_0_3.port, "a2a-sdk 0.3.26; the same agent's other version"),
        ("partner agent", mesh.partner.port, "a2a-sdk 1.3.0; wants an x-api-key"),
    ];
    for (name, port, what) in peers {
        let _ = writeln!(text, "  {name:<22} http://127.0.0.1:{port:<6} {what}");
    }
    text
}

/// Three commands to paste, with a fresh token in them.
pub async fn commands(mesh: &Mesh) -> Result<String> {
    let token = mesh.token().await?;
    let expiry = claims(&token)?["exp"].as_u64().context("no exp in the token")?;
    let lifetime = expiry.saturating_sub(place::now());
    let body = rpc("1".into(), "SendMessage", message_1_0("hello"));
    let json = "-H 'content-type: application/json'";
    let (inbound, outbound) = (mesh.inbound.port(), mesh.outbound.port());
    Ok(format!(
        "Ask the agent (the token lives {lifetime} s):\n\
         curl -s http://127.0.0.1:{inbound}{AGENT} {json} -H 'a2a-version: 1.0' -H 'authorization: Bearer {token}' -d '{body}'\n\n\
         Ask without a token:\n\
         curl -si http://127.0.0.1:{inbound}{AGENT} {json} -H 'a2a-version: 1.0' -d '{body}'\n\n\
         Ask the partner through the outbound Envoy:\n\
         curl -s http://127.0.0.1:{outbound}/ {json} -H 'host: {}' -d '{body}'\n",
        mesh.partner_host()
    ))
}

/// A call as a user who has not agreed, the link that it is answered with, and what to do there.
pub async fn agreeing(program: &Program<'_>) -> Result<String> {
    let users = program.users();
    let token = program.wallet().token(Proof::Ann).await?.context("no token of a user")?;
    let call = call("hello");
    let body = String::from_utf8_lossy(call.body.as_deref().unwrap_or_default()).into_owned();
    let headers: String = call.headers.iter().map(|(name, value)| format!(" -H '{name}: {}'", String::from_utf8_lossy(value))).collect();
    let port = users.envoy.port();
    let command = format!("curl -s http://127.0.0.1:{port}/{headers} -H 'authorization: Bearer {token}' -d '{body}'");
    let (has_agreed, reply) = users.has_agreed(&token).await?;
    if has_agreed {
        return Ok(format!("Ask the partner as {ANN}, who has agreed:\n{command}\n"));
    }
    let link = users.link(&reply).with_context(|| format!("no link: {}", reply.text()))?;
    let away: Vec<String> = [port, users.corp.port, users.partner.port].iter().map(|port| format!("-L {port}:127.0.0.1:{port}")).collect();
    Ok(format!(
        "Ask the partner as the user {ANN}, who has not agreed to that. The answer is a task in TASK_STATE_AUTH_REQUIRED with a link:\n{command}\n\n\
         Open such a link in Chromium, Chrome, Edge or Firefox on this machine. This one works for ten minutes, the command gives a new one:\n\
         {link}\n\
         Sign in twice, at your organization and at the partner: account {ANN}, password {ANN}-password. Allow both.\n\
         Then the same command goes to the agent with {ANN}'s token. (These browsers treat http://localhost like https. Any other host needs\n\
         https. From another machine: ssh {}.)\n",
        away.join(" ")
    ))
}

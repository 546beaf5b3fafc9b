//! Sends a call and tells the page all about it: what was sent, what became of it, and why.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::tour::{Door, Played, Program, Row};
use crate::tour_wallet::Proof;
use crate::{chance, place};

use super::Shared;
use super::board::Kind;
use super::form::{Form, Request};
use super::mask::Mask;
use super::trail::Seen;
use super::way;
use super::why::{self, Asked};

/// How long an answer to a call of one's own may take: some streams have no end.
const LIMIT: Duration = Duration::from_secs(10);

/// What the page is told of a call.
struct Told<'a> {
    /// `tour`, `again` or `form`.
    from: &'a str,
    step: Option<usize>,
    call: &'a str,
    caller: &'a str,
    door: Door,
    proof: Proof,
    sent: Option<&'a Call>,
    reply: Option<&'a Reply>,
    /// What the tour says of it, or why there is no answer.
    row: Option<&'a Row>,
    fault: Option<String>,
    mask: Mask,
    took: Duration,
}

/// Plays a step of the tour.
pub async fn step(shared: &Shared, program: &Program<'static>, index: usize, from: &str) -> Result<(Row, Value)> {
    let step = program.steps().get(index).context("the tour has no such step")?;
    let id = chance::uuid()?;
    shared.trail.expect(&id);
    let start = Instant::now();
    let Played { row, sent, reply } = program.play(step, &id).await?;
    let told = Told {
        from,
        step: Some(index),
        call: step.call,
        caller: step.caller,
        door: step.door,
        proof: step.proof,
        sent: sent.as_ref(),
        reply: reply.as_ref(),
        row: Some(&row),
        fault: None,
        mask: Mask::default(),
        took: start.elapsed(),
    };
    let event = tell(shared, program, &id, told).await;
    Ok((row, event))
}

/// Sends what the form says.
///
/// # Errors
/// If that cannot be sent.
pub async fn own(shared: &Shared, program: &Program<'static>, form: Form) -> Result<Value> {
    let Request { door, call, proof, pasted, what, who } = form.request(program.mesh())?;
    let id = chance::uuid()?;
    let sent = program.wallet().prove(proof, call.header("x-request-id", &id)).await?;
    shared.trail.expect(&id);
    let start = Instant::now();
    let reply = tokio::time::timeout(LIMIT, program.send(door, &sent, proof)).await;
    let (reply, fault) = match reply {
        Ok(Ok(reply)) => (Some(reply), None),
        Ok(Err(error)) => (None, Some(format!("{error:#}"))),
        Err(_) => (None, Some(format!("no end of the answer within {} s", LIMIT.as_secs()))),
    };
    let mask = pasted.as_deref().map_or_else(Mask::default, Mask::hiding);
    let (sent, reply) = (Some(&sent), reply.as_ref());
    let told = Told {
        from: "form",
        step: None,
        call: &what,
        caller: &who,
        door,
        proof,
        sent,
        reply,
        row: None,
        fault,
        mask,
        took: start.elapsed(),
    };
    Ok(tell(shared, program, &id, told).await)
}

/// Whether all Envoys on the way have written their records: a call that an outbound one lets through to the agent passes another.
fn is_whole(door: Door, is_through: bool, reply: Option<&Reply>) -> impl Fn(&[Seen]) -> bool {
    let goes_in = reply.and_then(Reply::echo).is_some_and(|echo| !echo.told("operation").is_empty());
    move |seen| {
        let has = |outbound: bool| seen.iter().any(|one| one.door.is_outbound() == outbound);
        has(door.is_outbound()) && (!door.is_outbound() || !is_through || !goes_in || has(false))
    }
}

async fn tell(shared: &Shared, program: &Program<'static>, id: &str, told: Told<'_>) -> Value {
    let Told { mask, sent, reply, row, .. } = &told;
    let is_through = reply.is_some_and(|reply| reply.is_success() && reply.reason().is_none());
    let mut records = shared.trail.take(id, is_whole(told.door, is_through, *reply)).await;
    // The Envoy that the call came to is the first on its way.
    records.sort_by_key(|seen| seen.door.is_outbound() != told.door.is_outbound());
    // The one that refused it, else the last that decided.
    let refused = records.iter().map(|seen| &seen.record).find(|record| record["decision"] == "deny");
    let record = refused.or(way::last(&records, false)).or(way::last(&records, true)).cloned().unwrap_or_default();
    let echo = reply.and_then(Reply::echo);
    let user = echo.as_ref().filter(|echo| echo.told("kind") == ["user"]).and_then(|echo| echo.told("subject").first().cloned());
    let status = row.map_or_else(|| reply.map_or("-".to_owned(), |reply| reply.status.to_string()), |row| row.seen.status.clone());
    let reason = record["reason"].as_str().map(str::to_owned).or_else(|| reply.and_then(Reply::reason)).unwrap_or_default();
    let outcome = match (row, &told.fault) {
        (Some(row), _) => row.seen.outcome.clone(),
        (None, Some(fault)) => fault.clone(),
        (None, None) if !reason.is_empty() => "refused".to_owned(),
        (None, None) => match &echo {
            Some(echo) => format!("{} answered", agent(echo.agent())),
            None => "answered".to_owned(),
        },
    };
    let decision = if reason.is_empty() { "allow" } else { "deny" };
    let echoed = echo.as_ref().map(|echo| {
        let pairs = echo.names().into_iter().flat_map(|name| echo.header(&name).into_iter().map(move |value| (name.clone(), value)));
        json!({"agent": agent(echo.agent()), "headers": pairs.map(|(name, value)| json!([name, mask.header(&name, &value)])).collect::<Vec<_>>()})
    });
    let link = reply.and_then(|reply| program.users().link(reply));
    let event = json!({
        "id": id, "at": place::now(), "from": told.from, "step": told.step,
        "call": told.call, "caller": told.caller, "envoy": told.door.name(), "status": status, "outcome": mask.text(&outcome),
        "decision": decision, "reason": reason, "holds": row.map(Row::holds),
        "stated": row.filter(|row| !row.holds()).map(|row| format!("{} {} {}", row.stated.status, row.stated.outcome, row.stated.reason)),
        "who": user.map_or(record["client"].clone(), Value::String), "kind": record["kind"],
        "operation": record["operation"], "version": record["version"], "binding": record["binding"],
        "why": why_of(&record, &reason, &records), "way": way::of(told.door, &records, decision == "deny"),
        "task": reply.and_then(task_of), "link": link, "sent": sent.map(|call| shown_call(call, program.envoy(told.door).port(), mask)),
        "answer": reply.map(|reply| shown_reply(reply, mask)), "echo": echoed,
        "records": records.iter().map(|seen| json!({"envoy": seen.door.name(), "record": seen.record})).collect::<Vec<_>>(),
        "steps": explained(program, &told, &records).await,
        "took_ms": u64::try_from(told.took.as_millis()).unwrap_or(u64::MAX),
    });
    shared.board.post(Kind::Call, &event);
    event
}

/// The id of the task that an answer tells, over either binding and in either version.
fn task_of(reply: &Reply) -> Option<String> {
    let answer = reply.json();
    let result = answer.get("result").unwrap_or(&answer);
    let task = result.get("task").unwrap_or(result);
    // An id of a JSON-RPC message is beside `jsonrpc`, of a message beside `messageId`.
    task.get("status")?;
    task["id"].as_str().map(str::to_owned)
}

fn agent(name: &str) -> String {
    match name {
        "partner" => "the partner".to_owned(),
        version => format!("agent {version}"),
    }
}

/// What happened, what was wrong, and what to do.
fn why_of(record: &Value, reason: &str, records: &[Seen]) -> Value {
    if reason.is_empty() {
        let on_the_way = [way::last(records, true), way::last(records, false)].into_iter().flatten();
        let said: Vec<String> = on_the_way.map(why::allowed).collect();
        return json!({"happened": if said.is_empty() { Value::Null } else { json!(said.join(" ")) }});
    }
    let [happened, to_do] = why::reason(reason).unwrap_or_else(|| [format!("The answer says {reason}."), String::new()]);
    json!({"happened": happened, "detail": record["detail"], "to_do": to_do})
}

/// The steps by which the first Envoy on the way decided.
async fn explained(program: &Program<'static>, told: &Told<'_>, records: &[Seen]) -> Option<Vec<Value>> {
    let call = told.sent?;
    let decided = way::last(records, told.door.is_outbound())?;
    let keys = keys(program).await.ok()?;
    why::explained(Asked { envoy: program.envoy(told.door), call, proof: told.proof, keys: &keys }, decided).await
}

/// The authorization server's keys, in a file.
async fn keys(program: &Program<'static>) -> Result<std::path::PathBuf> {
    let path = place::logs().join("page-keys.json");
    let file = place::logs().join(format!("page-keys-{}.json", chance::text()?));
    std::fs::write(&file, program.mesh().authorization.jwks().await?.to_string())?;
    std::fs::rename(&file, &path)?;
    Ok(path)
}

fn shown_call(call: &Call, port: u16, mask: &Mask) -> Value {
    let headers = call.headers.iter().map(|(name, value)| json!([name, mask.header(name, &String::from_utf8_lossy(value))]));
    json!({
        "line": format!("{} {}", call.method, call.path), "to": format!("127.0.0.1:{port}"), "headers": headers.collect::<Vec<_>>(),
        "body": call.body.as_ref().map(|body| mask.body(body)),
    })
}

fn shown_reply(reply: &Reply, mask: &Mask) -> Value {
    let headers = reply
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), mask.header(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))]));
    json!({"status": reply.status, "headers": headers.collect::<Vec<_>>(), "body": mask.body(&reply.body)})
}

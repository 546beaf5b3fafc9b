//! Why a call came out as it did: what the record says, what `docs/refusals.md` says of the reason, and what `attache explain` makes of
//! the same request, step by step.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use crate::envoy::Envoy;
use crate::http::Call;
use crate::tour_callers::DESK;
use crate::tour_wallet::Proof;

const REFUSALS: &str = include_str!("../../../../docs/refusals.md");
/// What a pipe holds. A request that is longer is not explained.
const LONGEST: usize = 60_000;

/// Of a reason of the closed list: what happened, and what to do.
pub fn reason(name: &str) -> Option<[String; 2]> {
    let row = REFUSALS.lines().find_map(|line| line.strip_prefix(&format!("| `{name}` |")))?;
    let cells: Vec<&str> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
    let [_status, _code, happened, to_do] = cells.as_slice() else { return None };
    Some([sentence(happened), plain(to_do)])
}

/// A cell as a sentence: with a capital letter, unless it begins with a name, and a full stop.
fn sentence(cell: &str) -> String {
    let text = plain(cell);
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return text };
    let first = if cell.starts_with('`') { first.to_string() } else { first.to_uppercase().to_string() };
    format!("{first}{}{}", letters.as_str(), if text.ends_with('.') { "" } else { "." })
}

/// Markdown without its marks: of a link the text.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        out += before;
        match link.split_once("](").and_then(|(name, behind)| Some((name, behind.split_once(')')?.1))) {
            Some((name, behind)) => {
                out += name;
                rest = behind;
            }
            None => {
                out.push('[');
                rest = link;
            }
        }
    }
    (out + rest).replace('`', "")
}

/// What is said of a call that went on: who it was for, and what it carried, by the record.
pub fn allowed(record: &Value) -> String {
    let text = |member: &str| record[member].as_str().unwrap_or_default();
    if let Some(connection) = record["connection"].as_str() {
        let credential = &record["credential"];
        let from = match credential["from"].as_str() {
            Some("secret") => "from a secret",
            Some("fetch") => "just fetched",
            Some("cache") => "fetched for an earlier call",
            Some("caller") => "the caller's own",
            _ => "",
        };
        return match credential["method"].as_str() {
            Some("none") | None => format!("Connection {connection}: it needs no credential, and none was sent."),
            Some(method) => {
                format!("Connection {connection}: its own credential was attached, by {method}, {from}. The client's were removed.")
            }
        };
    }
    let operation = text("operation");
    match text("kind") {
        "" | "anonymous" => format!("{operation} is open to everybody here."),
        kind => format!("The {kind} {} was verified (by {}), and {operation} is allowed to it.", text("client"), text("issuer")),
    }
}

/// What of a request is explained.
pub struct Asked<'a> {
    pub envoy: &'a Envoy,
    pub call: &'a Call,
    pub proof: Proof,
    /// The keys of issuer `corp`, in a file.
    pub keys: &'a Path,
}

/// The decision step by step: of each whether it went well, if it can, and what it is. `None` if the command does not come to the decision
/// that Envoy came to: it does not fetch anything.
pub async fn explained(asked: Asked<'_>, decided: &Value) -> Option<Vec<Value>> {
    let config = asked.envoy.config_file()?;
    let request = request(asked.call, asked.envoy.port());
    let (proof, keys) = (asked.proof, asked.keys.to_path_buf());
    let said = tokio::task::spawn_blocking(move || ask(&config, &keys, proof, &request)).await.ok()?.ok()?;
    let is_same = ["decision", "reason", "operation"].iter().all(|member| said["record"][member] == decided[member]);
    is_same.then(|| steps(&said))
}

/// The request as the command reads it.
fn request(call: &Call, port: u16) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let host = call.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| text(value));
    let mut headers = vec![json!([":method", call.method.as_str()]), json!([":scheme", "http"]), json!([":path", call.path])];
    headers.push(json!([":authority", host.unwrap_or_else(|| format!("127.0.0.1:{port}"))]));
    headers.extend(call.headers.iter().filter(|(name, _)| name != "host").map(|(name, value)| json!([name, text(value)])));
    json!({"headers": headers, "body": call.body.as_ref().map(|body| text(body))}).to_string()
}

/// Asks the command. The request goes through a pipe: what somebody pasted is in no file.
fn ask(config: &Path, keys: &Path, proof: Proof, request: &str) -> Result<Value> {
    anyhow::ensure!(request.len() <= LONGEST, "the request is too long");
    let (reader, mut writer) = std::io::pipe()?;
    writer.write_all(request.as_bytes())?;
    drop(writer);
    let source = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
    let texts = [config, &source].map(|path| path.to_str().map(str::to_owned));
    let [Some(config), Some(source)] = texts else { anyhow::bail!("a path is no text") };
    let keys = format!("corp={}", keys.to_str().context("a path is no text")?);
    let mut arguments = vec!["explain", "--config", &config, "--keys", &keys];
    if proof == Proof::Certificate {
        arguments.extend(["--peer-uri", DESK]);
    }
    arguments.push(&source);
    Ok(attache_cli::command::answer(&arguments).map_err(|error| anyhow!(error))?.0)
}

fn steps(said: &Value) -> Vec<Value> {
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut steps = Vec::new();
    let mut step = |met: Option<bool>, place: &str, says: String| steps.push(json!({"met": met, "place": place, "says": says}));
    let request = &said["request"];
    let known: Vec<String> =
        ["version", "binding", "operation"].iter().filter_map(|member| Some(request[member].as_str()?.to_owned())).collect();
    step(None, "request", format!("for {}: {}", shown(&request["for"]), known.join(" · ")));
    if let Some(claims) = said["token"]["claims"].as_object() {
        let told = ["iss", "aud", "sub", "client_id", "scope", "scp", "exp"]
            .iter()
            .filter_map(|name| Some(format!("{name} {}", shown(claims.get(*name)?))));
        step(None, "token", told.collect::<Vec<_>>().join(" · "));
    }
    let verdict = &said["caller"]["verdict"];
    match verdict["accepted"].as_bool() {
        Some(true) => {
            let caller = &said["caller"]["caller"];
            let told = ["kind", "client", "issuer", "scopes"].iter().filter(|name| !caller[name].is_null());
            step(Some(true), "caller", told.map(|name| format!("{name} {}", shown(&caller[name]))).collect::<Vec<_>>().join(" · "));
        }
        Some(false) => {
            let detail = verdict["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default();
            step(Some(false), "caller", format!("{}{detail}", shown(&verdict["reason"])));
        }
        None => {}
    }
    for rule in said["rules"].as_array().into_iter().flatten() {
        let decides = if rule["decides"] == true { ", and decides" } else { "" };
        step(rule["met"].as_bool(), &shown(&rule["rule"]), format!("{}{decides}", shown(&rule["says"])));
    }
    let record = &said["record"];
    match record["reason"].as_str() {
        Some(reason) => step(Some(false), "decision", format!("refused: {reason}")),
        None => step(Some(true), "decision", "goes on".to_owned()),
    }
    steps
}

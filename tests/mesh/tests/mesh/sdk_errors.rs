//! Refusals where the request is at fault, as clients of the official SDKs read them: as the typed error that they make of it when the
//! agent itself says so. `sdk_errors.json` is the table: how each refusal is provoked, which clients cannot be brought to that and why,
//! and where an SDK has no error of its own.
//!
//! A row has `reason`, the `code` over JSON-RPC, the name of the `error`, and what the client does (`ops`, with more of `try`). Its
//! requests are sent otherwise than the SDK wrote them (`bend`, or the same by binding) to the `agent` of that name (`strict` if it says
//! none). Keys of `none` and `for` are words that all have to fit: an SDK, a language, a version, a binding, an operation.

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::mesh::{AGENT, Mesh, send_1_0};
use attache_mesh::peer::{self, Agent, Sdk};
use attache_mesh::place;
use attache_mesh::port::Reserved;
use attache_mesh::refusal;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use crate::grpc::{self, SERVICE_0_3, SERVICE_1_0};
use crate::suite::Suite;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    agents: BTreeMap<String, Map<String, Value>>,
    rows: Vec<Row>,
    /// Reasons with a code of JSON-RPC's or A2A's own that are no rows.
    elsewhere: BTreeMap<String, String>,
    /// Where an SDK has one error for many.
    generic: Vec<Generic>,
    /// What the agent's SDK cannot say.
    unsaid: Vec<Unsaid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    reason: String,
    code: i64,
    error: String,
    ops: Vec<String>,
    #[serde(default = "strict")]
    agent: String,
    #[serde(default)]
    bend: Value,
    #[serde(default, rename = "try")]
    more: Map<String, Value>,
    jsonrpc: Option<Value>,
    http_json: Option<Value>,
    grpc: Option<Value>,
    /// Who cannot be brought to it, and why.
    #[serde(default)]
    none: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generic {
    #[serde(rename = "for")]
    who: String,
    /// What it raises.
    error: String,
    /// The code that it has, if not the row's.
    code: Option<i64>,
    /// Only for these of the rows.
    reasons: Option<Vec<String>>,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsaid {
    #[serde(rename = "for")]
    who: String,
    codes: Vec<i64>,
    /// Only for these of the rows.
    reasons: Option<Vec<String>>,
    why: String,
}

fn strict() -> String {
    "strict".to_owned()
}

impl Unsaid {
    fn has(&self, row: &Row, cell: &Cell<'_>) -> bool {
        let is_one = self.reasons.as_ref().is_none_or(|reasons| reasons.contains(&row.reason));
        is_one && cell.is(&self.who) && self.codes.contains(&row.code)
    }
}

/// One thing that one client does.
#[derive(Clone, Copy)]
struct Cell<'a> {
    sdk: Sdk,
    binding: &'a str,
    op: &'a str,
}

impl Cell<'_> {
    /// Whether all words of `who` fit.
    fn is(&self, who: &str) -> bool {
        let language = self.sdk.name().split('-').next().unwrap_or_default();
        who.split(' ').all(|word| [self.sdk.name(), language, self.sdk.version(), self.binding, self.op].contains(&word))
    }
}

impl Row {
    fn is_for(&self, cell: &Cell<'_>) -> bool {
        !self.none.keys().any(|who| cell.is(who))
    }

    /// What the client is to do, as it is or with a header in place of all else by which the agent is told to say so itself.
    fn attempt(&self, cell: &Cell<'_>, by_agent: bool) -> Result<Value> {
        let own = match cell.binding {
            "jsonrpc" => &self.jsonrpc,
            "http_json" => &self.http_json,
            _ => &self.grpc,
        };
        let bend =
            if by_agent { json!({"headers": {"x-agent-says": self.code.to_string()}}) } else { own.as_ref().unwrap_or(&self.bend).clone() };
        let (other, service) = if cell.sdk.version() == "1.0" { ("0.3", SERVICE_1_0) } else { ("1.0", SERVICE_0_3) };
        let bend = if bend.is_null() { json!({}) } else { bend };
        let filled = bend.to_string().replace("{own}", cell.sdk.version()).replace("{other}", other).replace("{service}", service);
        let mut attempt = if by_agent { Map::new() } else { self.more.clone() };
        if let Some(task) = self.more.get("task") {
            attempt.insert("task".to_owned(), task.clone());
        }
        attempt.insert("op".to_owned(), json!(cell.op));
        attempt.insert("bend".to_owned(), serde_json::from_str(&filled)?);
        Ok(Value::Object(attempt))
    }
}

/// The agents of both versions, and an Envoy before them whose address their cards state: they promise all that the SDKs' agents can.
struct Before {
    envoy: Envoy,
    url: String,
    _port: Reserved,
}

async fn before(mesh: &Mesh, name: &str, members: &Map<String, Value>, agents: [&Agent; 2], url_file: &std::path::Path) -> Result<Before> {
    let port = Reserved::new()?;
    let url = format!("http://127.0.0.1:{}{AGENT}", port.port());
    std::fs::write(url_file, &url)?;
    let mut file = mesh.inbound_file()?;
    file.listen_on(&port)?;
    file.cluster("expense_v1_0", agents[0].port)?;
    file.cluster("expense_v0_3", agents[1].port)?;
    grpc::offer(&mut file, agents[0], agents[1])?;
    file.edit_plugin(|plugin| {
        plugin["allow_inline_secrets"] = json!(true);
        plugin["secrets"]["tags"] = json!({"inline": "0123456789abcdef0123456789abcdef"});
        for (member, value) in members {
            plugin["agents"][0][member] = value.clone();
        }
    })?;
    let envoy = Envoy::start(&format!("errors-{name}"), &file, Options::default()).await?;
    Ok(Before { envoy, url, _port: port })
}

const SDKS: [Sdk; 4] = [Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3];
const BINDINGS: [&str; 3] = ["jsonrpc", "http_json", "grpc"];

/// What a client makes of each of `cells`, one by one.
async fn outcomes(sdk: Sdk, binding: &str, url: &str, port: u16, token: &str, attempts: &[Value]) -> Result<Vec<Value>> {
    let attempts = json!(attempts).to_string();
    let line = match binding {
        "grpc" => sdk.try_grpc(port, token, &attempts).await?,
        _ => sdk.try_all(url, token, binding, &attempts).await?,
    };
    let tries = line["tries"].as_array().cloned().with_context(|| line.to_string())?;
    Ok(tries)
}

/// The code over JSON-RPC that an error has, the HTTP status or the gRPC status: what the binding has.
fn wrong(table: &Table, row: &Row, cell: &Cell<'_>, through: &Value, by_agent: Option<&Value>) -> Option<String> {
    let short = |outcome: &Value| format!("{} {} {:.200}", outcome["type"], outcome["code"], outcome["error"].as_str().unwrap_or_default());
    let place = format!("{} by {} over {}, {}", row.reason, cell.sdk.name(), cell.binding, cell.op);
    let seen = |what: &str| format!("{what}: {place}: {}", short(through));
    if through["ok"] != false {
        return Some(seen("not refused"));
    }
    let fits = |generic: &&Generic| cell.is(&generic.who) && generic.reasons.as_ref().is_none_or(|reasons| reasons.contains(&row.reason));
    let generic = table.generic.iter().find(fits);
    let expected = generic.map_or(row.error.as_str(), |generic| &generic.error);
    let code = generic.and_then(|generic| generic.code).unwrap_or(row.code);
    if through["type"] != expected {
        return Some(seen(&format!("no {expected}")));
    }
    if cell.binding == "jsonrpc" && through["code"].is_number() && through["code"] != code {
        return Some(seen("another code"));
    }
    let by_agent = by_agent?;
    if by_agent["type"] != through["type"] || (cell.binding == "jsonrpc" && by_agent["code"] != through["code"]) {
        return Some(format!("{}, but of the agent's own {}", seen("another error"), short(by_agent)));
    }
    None
}

async fn matrix(mesh: &'static Mesh) -> Result<()> {
    let table: Table = serde_json::from_str(include_str!("sdk_errors.json"))?;
    let token = mesh.token().await?;
    let url_file = place::logs().join("errors-url");
    std::fs::write(&url_file, "")?;
    let (new, old) = tokio::try_join!(peer::agent_1_0(Some(&url_file)), peer::agent_0_3(Some(&url_file)))?;
    let mut faults = Vec::new();
    // What the clients make of an agent that says it itself, by client, binding, operation and code.
    let mut said = BTreeMap::new();
    for sdk in SDKS {
        let agent = if sdk.version() == "1.0" { &new } else { &old };
        for binding in BINDINGS {
            let mut asked = BTreeMap::new();
            for row in &table.rows {
                for op in &row.ops {
                    let cell = Cell { sdk, binding, op };
                    if row.is_for(&cell) && !table.unsaid.iter().any(|one| one.reasons.is_none() && one.has(row, &cell)) {
                        asked.insert((op.clone(), row.code), row.attempt(&cell, true)?);
                    }
                }
            }
            std::fs::write(&url_file, "")?;
            let attempts: Vec<Value> = asked.values().cloned().collect();
            let grpc_port = agent.grpc_port.context("no gRPC")?;
            let outcomes = outcomes(sdk, binding, &format!("http://127.0.0.1:{}", agent.port), grpc_port, &token, &attempts).await?;
            for ((op, code), outcome) in asked.into_keys().zip(outcomes) {
                said.insert((sdk.name(), binding, op, code), outcome);
            }
        }
    }
    for (name, members) in &table.agents {
        let before = before(mesh, name, members, [&new, &old], &url_file).await?;
        for sdk in SDKS {
            for binding in BINDINGS {
                let rows = table.rows.iter().filter(|row| &row.agent == name);
                let cells = rows.flat_map(|row| row.ops.iter().map(move |op| (row, Cell { sdk, binding, op })));
                let cells: Vec<_> = cells.filter(|(row, cell)| row.is_for(cell)).collect();
                if cells.is_empty() {
                    continue;
                }
                let attempts = cells.iter().map(|(row, cell)| row.attempt(cell, false)).collect::<Result<Vec<_>>>()?;
                let start = before.envoy.log().len();
                let outcomes = outcomes(sdk, binding, &before.url, before.envoy.port(), &token, &attempts).await?;
                ensure!(outcomes.len() == cells.len(), "{outcomes:?}");
                for ((row, cell), outcome) in cells.iter().zip(&outcomes) {
                    let by_agent = said.get(&(sdk.name(), binding, cell.op.to_owned(), row.code));
                    let by_agent = by_agent.filter(|_| !table.unsaid.iter().any(|one| one.has(row, cell)));
                    faults.extend(wrong(&table, row, cell, outcome, by_agent));
                }
                // What comes behind them in the log tells that they are all there.
                ensure!(send_1_0("mark").send(before.envoy.port()).await?.status == 401, "a call without a token passed");
                before.envoy.refusal_logged(start, "credentials_missing").await?;
                let log = before.envoy.log();
                for row in table.rows.iter().filter(|row| cells.iter().any(|(own, _)| own.reason == row.reason)) {
                    let tries = cells.iter().filter(|(own, _)| own.reason == row.reason).count();
                    let told = log.get(start..).unwrap_or_default().matches(&format!("\"reason\":\"{}\"", row.reason)).count();
                    if told < tries {
                        faults.push(format!("{} {binding}: {told} of {tries} were refused for {}", sdk.name(), row.reason));
                    }
                }
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { bail!("{} of the table:\n{}", faults.len(), faults.join("\n")) }
}

pub fn add(suite: &mut Suite) {
    suite.add("sdk_errors::a_refusal_is_the_error_that_the_agent_would_make", matrix);
    suite.add("sdk_errors::the_table_has_every_refusal_of_a_request_that_is_at_fault", async |_| {
        let table: Table = serde_json::from_str(include_str!("sdk_errors.json"))?;
        for own in refusal::ALL.iter().filter(|own| matches!(own.rpc, -32700 | -32602..=-32600 | -32009..=-32001)) {
            let rows: Vec<&Row> = table.rows.iter().filter(|row| row.reason == own.reason).collect();
            let is_there = rows.len() == 1 || table.elsewhere.get(own.reason).is_some_and(|why| !why.is_empty());
            ensure!(is_there && rows.iter().all(|row| row.code == own.rpc), "{}", own.reason);
        }
        for row in &table.rows {
            ensure!(table.agents.contains_key(&row.agent), "{}", row.agent);
            // Somebody can be brought to it, and who cannot has a reason that is said.
            let cells = SDKS.into_iter().flat_map(|sdk| BINDINGS.map(|binding| Cell { sdk, binding, op: &row.ops[0] }));
            ensure!(cells.into_iter().any(|cell| row.is_for(&cell)) && row.none.values().all(|why| !why.is_empty()), "{}", row.reason);
        }
        let whys = table.generic.iter().map(|one| &one.why).chain(table.unsaid.iter().map(|one| &one.why));
        ensure!(whys.into_iter().all(|why| !why.is_empty()), "a reason is missing");
        Ok(())
    });
}

//! The tour: calls that show what the filter does, each with the outcome it must have.

use anyhow::Result;
use serde_json::{Value, json};

use crate::envoy::{Envoy, Options};
use crate::http::{Call, Reply, message_1_0, rpc};
use crate::layout::Layout;
use crate::mesh::{AGENT, Mesh, PARTNER_KEY, SCOPES, send_0_3, send_1_0, send_1_0_http};
use crate::peer::Sdk;
use crate::tour_callers::Callers;
use crate::tour_methods::Methods;

/// How a call came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: String,
    pub outcome: String,
    pub reason: String,
}

/// One call of the tour.
#[derive(Clone, Debug)]
pub struct Row {
    pub call: &'static str,
    pub caller: &'static str,
    pub stated: Outcome,
    pub seen: Outcome,
}

impl Row {
    /// True when the call came out as stated.
    pub fn holds(&self) -> bool {
        self.stated == self.seen
    }
}

pub(crate) fn answered(outcome: &str) -> Outcome {
    Outcome { status: "200".to_owned(), outcome: outcome.to_owned(), reason: String::new() }
}

fn refused(status: u16, reason: &str) -> Outcome {
    Outcome { status: status.to_string(), outcome: "refused".to_owned(), reason: reason.to_owned() }
}

/// Reads a reply of the agent: which version answered and whom it saw.
fn inbound(reply: &Reply) -> String {
    let Some(echo) = reply.echo() else {
        return format!("unexpected: {:.60}", reply.text());
    };
    let client = echo.told("client");
    let operation = echo.told("operation");
    let version = echo.header("a2a-version");
    match (client.as_slice(), operation.as_slice(), version.as_slice()) {
        ([client], [operation], [version]) if version == echo.agent() => {
            format!("agent {version} did {operation} for {client}")
        }
        seen => format!("agent {} saw {seen:?}", echo.agent()),
    }
}

/// Reads a reply of the partner: which credentials arrived.
fn outbound(reply: &Reply) -> String {
    let Some(echo) = reply.echo() else {
        return format!("unexpected: {:.60}", reply.text());
    };
    let keys = echo.header("x-api-key");
    let others = echo.header("authorization");
    match (keys.as_slice(), others.as_slice()) {
        ([key], []) if key == PARTNER_KEY => "partner got its key, nothing else".to_owned(),
        (keys, others) => format!("partner got {} keys, {} authorizations", keys.len(), others.len()),
    }
}

/// Where the card says that the agent is.
const PUBLIC: &str = "https://expense.example.com/agents/expense";

/// Reads a card in the shape of either version: how many interfaces it states, of which versions, where.
fn card(reply: &Reply) -> String {
    let card = reply.json();
    let (list, version) = if card["url"].is_string() {
        (&card["additionalInterfaces"], Some(&card["protocolVersion"]))
    } else {
        (&card["supportedInterfaces"], None)
    };
    let interfaces = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let stated = |read: &dyn Fn(&Value) -> Value| {
        let mut all: Vec<String> = interfaces.iter().filter_map(|one| read(one).as_str().map(str::to_owned)).collect();
        all.dedup();
        all.join(" and ")
    };
    let versions = stated(&|one| version.unwrap_or(&one["protocolVersion"]).clone());
    format!("{} interfaces, {versions}, at {}", interfaces.len(), stated(&|one| one["url"].clone()))
}

async fn play(call: &Call, port: u16, read: fn(&Reply) -> String) -> Outcome {
    outcome(call.send(port).await, read)
}

/// What became of a call; `read` says it of one that was answered.
pub(crate) fn outcome(reply: Result<Reply>, read: fn(&Reply) -> String) -> Outcome {
    match reply {
        Ok(reply) if reply.is_success() && reply.reason().is_none() => {
            Outcome { status: reply.status.to_string(), outcome: read(&reply), reason: String::new() }
        }
        Ok(reply) => {
            let reason = reply.reason().unwrap_or_default();
            let outcome = if reason.is_empty() { format!("unexpected: {:.60}", reply.text()) } else { "refused".to_owned() };
            Outcome { status: reply.status.to_string(), outcome, reason }
        }
        Err(error) => Outcome { status: "-".to_owned(), outcome: format!("{error:#}"), reason: String::new() },
    }
}

async fn play_sdk(sdk: Sdk, url: &str, token: &str) -> Outcome {
    let outcome = match sdk.call(url, Some(token), "send,stream,get,card", "jsonrpc").await {
        Ok(result) if result["ok"] == true => "all four answered".to_owned(),
        Ok(result) => format!("{result}"),
        Err(error) => format!("{error:#}"),
    };
    Outcome { status: "2xx".to_owned(), outcome, reason: String::new() }
}

struct Step {
    call: &'static str,
    caller: &'static str,
    port: u16,
    request: Call,
    read: fn(&Reply) -> String,
    stated: Outcome,
}

/// Tokens of the tour, by what they are good for.
struct Tokens {
    good: String,
    /// For another agent.
    other: String,
    expired: String,
    /// Without the agent's scope.
    reader: String,
    /// Of a client that may not cancel.
    guest: String,
}

fn inbound_steps(mesh: &Mesh, tokens: &Tokens) -> Vec<Step> {
    let Tokens { good: token, other, expired, reader, guest } = tokens;
    let port = mesh.inbound.port();
    let ten = "agent 1.0 did SendMessage for caller";
    let three = "agent 0.3 did SendMessage for caller";
    let sent_by_guest = "agent 1.0 did SendMessage for guest";
    let cancel = Call::post(AGENT, &rpc("cancel".into(), "CancelTask", json!({"id": "1"}))).version("1.0");
    let cancel_http = Call::post(format!("{AGENT}/tasks/1:cancel"), &json!({})).version("1.0");
    let by_query = Call::post(format!("{AGENT}?a2a-version=1.0"), &rpc("query".into(), "SendMessage", message_1_0("query")));
    let unknown = Call::post(AGENT, &rpc("unknown".into(), "DropTables", message_1_0("unknown"))).version("1.0");
    let step = |call, caller, request, stated| Step { call, caller, port, request, read: inbound, stated };
    vec![
        step("1.0: SendMessage, JSON-RPC", "good token", send_1_0("one").bearer(token), answered(ten)),
        step("0.3: message/send, no version said", "good token", send_0_3("two").bearer(token), answered(three)),
        step("1.0 by ?a2a-version=1.0", "good token", by_query.bearer(token), answered(ten)),
        step("1.0: POST /message:send, HTTP+JSON", "good token", send_1_0_http("three").bearer(token), answered(ten)),
        step("1.0: SendMessage", "no token", send_1_0("four"), refused(401, "credentials_missing")),
        step("1.0: SendMessage", "token for another agent", send_1_0("five").bearer(other), refused(401, "token_audience_mismatch")),
        step("1.0: SendMessage", "token that ran out", send_1_0("six").bearer(expired), refused(401, "token_expired")),
        step("1.0: SendMessage", "token without the scope", send_1_0("seven").bearer(reader), refused(403, "insufficient_scope")),
        step("1.0: SendMessage", "guest, who may not cancel", send_1_0("seven and a half").bearer(guest), answered(sent_by_guest)),
        step("1.0: CancelTask", "guest, who may not cancel", cancel.bearer(guest), refused(403, "access_denied")),
        step("1.0: POST /tasks/1:cancel", "guest, who may not cancel", cancel_http.bearer(guest), refused(403, "access_denied")),
        step("A2A-Version: 9.9", "good token", send_0_3("eight").version("9.9").bearer(token), refused(200, "version_not_supported")),
        step("1.0: method DropTables", "good token", unknown.bearer(token), refused(200, "operation_unknown")),
    ]
}

/// The same agent behind an Envoy that knows its public URL, and therefore makes its card true.
async fn projecting(mesh: &Mesh) -> Result<Envoy> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["agents"][0]["public_url"] = json!(PUBLIC))?;
    Envoy::start("tour-cards", &file, Options::default()).await
}

fn card_steps(envoy: &Envoy) -> Vec<Step> {
    let ask = |version| Call::get(format!("{AGENT}/.well-known/agent-card.json")).version(version);
    let step = |call, request, stated: &str| {
        let stated = answered(&format!("{stated}, at {PUBLIC}"));
        Step { call, caller: "anyone", port: envoy.port(), request, read: card, stated }
    };
    vec![
        step("the card, A2A-Version: 1.0", ask("1.0"), "4 interfaces, 1.0 and 0.3"),
        step("the card, A2A-Version: 0.3", ask("0.3"), "2 interfaces, 0.3.0"),
    ]
}

fn outbound_steps(mesh: &Mesh, tokens: &Tokens) -> Vec<Step> {
    let port = mesh.outbound.port();
    let body = |text: &str| rpc(text.into(), "SendMessage", message_1_0(text));
    let partner = |text: &str| Call::post("/", &body(text)).host(mesh.partner_host());
    let step = |call, caller, request, read, stated| Step { call, caller, port, request, read, stated };
    vec![
        step("out to the partner", "no credential", partner("nine"), outbound, answered("partner got its key, nothing else")),
        step(
            "out to the partner",
            "credentials of its own",
            partner("ten").bearer("mine").header("x-api-key", "mine"),
            outbound,
            answered("partner got its key, nothing else"),
        ),
        step(
            "out, in again, to the agent",
            "no credential",
            Call::post(AGENT, &body("eleven")).host(mesh.expense_host()),
            inbound,
            answered("agent 1.0 did SendMessage for caller"),
        ),
        step(
            "out for the caller, in again",
            "good token",
            Call::post(AGENT, &body("eleven and a half")).host(mesh.users_host()).bearer(&tokens.good),
            inbound,
            answered("agent 1.0 did SendMessage for exchanger"),
        ),
        step(
            "out for the caller",
            "no credential",
            Call::post(AGENT, &body("eleven and a half")).host(mesh.users_host()),
            inbound,
            refused(401, "credentials_missing"),
        ),
        step(
            "out to somebody unknown",
            "no credential",
            Call::post("/", &body("twelve")).host("unknown.example.com"),
            outbound,
            refused(404, "unmatched"),
        ),
    ]
}

async fn played(steps: Vec<Step>) -> Vec<Row> {
    let mut rows = Vec::new();
    for Step { call, caller, port, request, read, stated } in steps {
        rows.push(Row { call, caller, stated, seen: play(&request, port, read).await });
    }
    rows
}

/// The calls as they came out, and the log of those Envoys that recorded calls to the agent.
pub struct Tour {
    pub rows: Vec<Row>,
    pub log: String,
}

/// Plays every call in order.
pub async fn play_all(mesh: &Mesh) -> Result<Tour> {
    let authorization = &mesh.authorization;
    let (good, other, expired, reader, guest, cards, callers, methods, sample) = tokio::try_join!(
        mesh.token(),
        authorization.token("https://other.example.com", SCOPES),
        authorization.expired_token(&mesh.audience, SCOPES),
        authorization.token(&mesh.audience, "agent:read"),
        authorization.token_of("guest", &mesh.audience, SCOPES),
        projecting(mesh),
        Callers::start(mesh),
        Methods::start(mesh),
        Layout::sample_by_card(mesh),
    )?;
    let tokens = Tokens { good, other, expired, reader, guest };
    let mut rows = played(inbound_steps(mesh, &tokens)).await;
    rows.extend(callers.rows(&tokens.good).await);
    rows.extend(played(card_steps(&cards)).await);
    rows.extend(played(outbound_steps(mesh, &tokens)).await);
    rows.extend(methods.rows(&tokens.good).await);
    let stated = Outcome { status: "2xx".to_owned(), outcome: "all four answered".to_owned(), reason: String::new() };
    let url = mesh.url();
    let (ten, three, own) = tokio::join!(
        play_sdk(Sdk::Python1_0, &url, &tokens.good),
        play_sdk(Sdk::Js0_3, &url, &tokens.good),
        play_sdk(Sdk::Python1_0, &sample.url, &tokens.good),
    );
    let caller = "good token";
    rows.push(Row { call: "Python SDK 1.0: send stream get card", caller, stated: stated.clone(), seen: ten });
    rows.push(Row { call: "JS SDK 0.3: send stream get card", caller, stated: stated.clone(), seen: three });
    // An agent of which the configuration says no version, binding or path.
    rows.push(Row { call: "Python SDK 1.0 and the SDK's own sample", caller, stated, seen: own });
    Ok(Tour { rows, log: mesh.inbound.log() + &callers.envoy.log() })
}

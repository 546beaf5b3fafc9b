//! The official SDKs as callers, through Envoy and without it: each in both languages and versions, over each binding that it
//! speaks, with the same answers.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::peer::{self, Agent, Sdk};
use attache_mesh::port::Reserved;
use attache_mesh::same::{ensure_kept, ensure_same};
use attache_mesh::told;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::grpc;
use crate::suite::Suite;

const BASICS: &str = "send,stream,get,cancel,subscribe,push_send";

/// A client, a binding, and what the client does over it.
type Talk = (Sdk, &'static str, &'static [&'static str]);

/// What each client does with the Python agents. Some is missing because the SDKs do not agree on it, or have none of it, without
/// any proxy (`peers/README.md`): the JavaScript client of 0.3 over HTTP+JSON reads no stream and no extended card of the Python
/// agent, and no server reads the push configurations that it sets; the Python agent of 0.3 lists and deletes these over
/// JSON-RPC only, and the Python client of 0.3 has no operation for either.
const TALKS: &[Talk] = &[
    (Sdk::Python1_0, "jsonrpc", &["card", BASICS, "push_set,push_get,push_list,push_delete,extended"]),
    (Sdk::Python1_0, "http_json", &["card", BASICS, "push_set,push_get,push_list,push_delete,extended"]),
    (Sdk::Python1_0, "grpc", &[BASICS, "push_get,push_list,push_delete"]),
    (Sdk::Python0_3, "jsonrpc", &["card", BASICS, "push_set,push_get,extended"]),
    (Sdk::Python0_3, "http_json", &["card", BASICS, "push_set,push_get,extended"]),
    (Sdk::Python0_3, "grpc", &[BASICS, "push_get"]),
    (Sdk::Js1_0, "jsonrpc", &["card", BASICS, "push_set,push_get,push_list,push_delete,extended"]),
    (Sdk::Js1_0, "http_json", &["card", BASICS, "push_set,push_get,push_list,push_delete,extended"]),
    (Sdk::Js1_0, "grpc", &[BASICS, "push_get,push_list,push_delete"]),
    (Sdk::Js0_3, "jsonrpc", &["card", BASICS, "push_set,push_get,push_list,push_delete,extended"]),
    (Sdk::Js0_3, "http_json", &["card,send,get,cancel,push_send,push_get"]),
    (Sdk::Js0_3, "grpc", &[BASICS, "push_get"]),
];

/// The same over gRPC, for what the filter must read in its messages.
const READ_OVER_GRPC: &[Talk] = &[
    (Sdk::Python1_0, "grpc", &["push_set,push_get,push_list,push_delete,extended"]),
    (Sdk::Python0_3, "grpc", &["push_set,push_get,extended"]),
    (Sdk::Js1_0, "grpc", &["push_set,push_get,push_list,push_delete,extended"]),
    (Sdk::Js0_3, "grpc", &["push_set,push_get,extended"]),
];

/// What the clients of 0.3 do with the JavaScript agent. Over HTTP+JSON that writes its extended card as protocol buffers' JSON,
/// and its client reads no other.
const WITH_JS_AGENT: &[Talk] = &[
    (Sdk::Python0_3, "jsonrpc", &["card", BASICS, "push_set,push_get,extended"]),
    (Sdk::Js0_3, "jsonrpc", &["card", BASICS, "push_set,push_get,push_list,push_delete,extended"]),
    (Sdk::Js0_3, "http_json", &["card", BASICS, "push_get,push_list,push_delete,extended"]),
];

/// Agents whose cards state where they are themselves, behind an Envoy whose cards state where that is.
struct Published {
    envoy: Envoy,
    agent_1_0: Option<Agent>,
    agent_0_3: Agent,
    url: String,
    /// Whether the agent of 0.3 says in a subscription that the task was cancelled.
    says_canceled: bool,
    _port: Reserved,
}

impl Published {
    /// The Python agents, in both versions and over all bindings.
    async fn python(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<Published> = OnceCell::const_new();
        let start = async || {
            let (agent_1_0, agent_0_3) = tokio::try_join!(peer::agent_1_0(None), peer::agent_0_3(None))?;
            Self::start(mesh, Some(agent_1_0), agent_0_3, false).await
        };
        STANDING.get_or_try_init(start).await
    }

    /// The JavaScript agent of 0.3.
    async fn js(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<Published> = OnceCell::const_new();
        STANDING.get_or_try_init(async || Self::start(mesh, None, peer::agent_0_3_js().await?, true).await).await
    }

    async fn start(mesh: &Mesh, agent_1_0: Option<Agent>, agent_0_3: Agent, says_canceled: bool) -> Result<Self> {
        let port = Reserved::new()?;
        let url = format!("http://127.0.0.1:{}{AGENT}", port.port());
        let mut file = mesh.inbound_file()?;
        file.listen_on(&port)?;
        file.cluster("expense_v0_3", agent_0_3.port)?;
        if let Some(agent_1_0) = &agent_1_0 {
            file.cluster("expense_v1_0", agent_1_0.port)?;
            grpc::offer(&mut file, agent_1_0, &agent_0_3)?;
        }
        file.edit_plugin(|plugin| {
            let agent = &mut plugin["agents"][0];
            agent["public_url"] = json!(url);
            agent["push_notifications"] = json!({"hosts": ["hooks.example.com"]});
        })?;
        let envoy = Envoy::start("published", &file, Options::default()).await?;
        ensure!(envoy.port() == port.port(), "Envoy listens on {} instead of {}", envoy.port(), port.port());
        Ok(Self { envoy, agent_1_0, agent_0_3, url, says_canceled, _port: port })
    }

    fn agent(&self, sdk: Sdk) -> Result<&Agent> {
        if sdk.version() == "1.0" { self.agent_1_0.as_ref().context("no agent of 1.0") } else { Ok(&self.agent_0_3) }
    }

    /// What `sdk` reads through Envoy and from the agent itself, for the same operations.
    async fn both(&self, sdk: Sdk, binding: &str, ops: &str, token: &str) -> Result<[Value; 2]> {
        let agent = self.agent(sdk)?;
        let direct = format!("http://127.0.0.1:{}", agent.port);
        let (through, direct) = if binding == "grpc" {
            let port = agent.grpc_port.context("the agent speaks no gRPC")?;
            tokio::try_join!(sdk.call_grpc(self.envoy.port(), Some(token), ops, &[]), sdk.call_grpc(port, Some(token), ops, &[]))?
        } else {
            tokio::try_join!(sdk.call(&self.url, Some(token), ops, binding), sdk.call(&direct, Some(token), ops, binding))?
        };
        for (result, way) in [(&direct, "without Envoy"), (&through, "through Envoy")] {
            ensure!(result["ok"] == true, "{way}: {result}");
        }
        Ok([through, direct])
    }

    /// A card that is true here and otherwise the agent's.
    fn check_card(&self, sdk: Sdk, through: &Value, direct: &Value) -> Result<()> {
        let text = through.to_string();
        for agent in [self.agent_1_0.as_ref(), Some(&self.agent_0_3)].into_iter().flatten() {
            for port in [Some(agent.port), agent.grpc_port].into_iter().flatten() {
                ensure!(!text.contains(&format!(":{port}")), "the agent's own port {port} is told: {text}");
            }
        }
        let list = if sdk.version() == "1.0" { "supportedInterfaces" } else { "additionalInterfaces" };
        let interfaces = through[list].as_array().with_context(|| format!("no {list} in {text}"))?;
        let place = self.url.trim_start_matches("http://").trim_end_matches(AGENT);
        ensure!(interfaces.len() >= 2 && interfaces.iter().all(|one| one["url"].as_str().is_some_and(|url| url.contains(place))), "{text}");
        for member in ["name", "description", "version", "skills", "defaultInputModes", "defaultOutputModes"] {
            ensure!(through[member] == direct[member] && !direct[member].is_null(), "{member}: {text}, but the agent's is {direct}");
        }
        for capability in ["streaming", "pushNotifications"] {
            ensure!(through["capabilities"][capability] == true, "{capability}: {text}");
        }
        Ok(())
    }

    /// Checks what the operation itself promises; that the answers are equal is checked for all of them.
    fn check(&self, sdk: Sdk, op: &str, results: &Value) -> Result<()> {
        let result = &results[op];
        let (state, answer) = (result["state"].as_str().unwrap_or_default(), &result["answer"]);
        match op {
            "card" => ensure!(skills(answer) == ["submit"], "{result}"),
            "extended" => ensure!(skills(answer) == ["submit", "audit"], "{result}"),
            "push_set" | "push_get" => ensure!(hooks(&json!([answer])) == 1 && answer.to_string().contains("for-the-hook"), "{result}"),
            "push_list" => ensure!(hooks(answer) >= 1, "{result}"),
            "push_delete" => ensure!(hooks(answer) + 1 == hooks(&results["push_list"]["answer"]), "{results}"),
            "cancel" => ensure!(state == "canceled", "{result}"),
            "subscribe" => {
                let last = if sdk.version() == "1.0" || self.says_canceled { "canceled" } else { "working" };
                ensure!(state == last, "{result}");
            }
            _ => ensure!(state == "completed", "{result}"),
        }
        if op == "stream" {
            ensure!(result["events"].as_array().is_some_and(|events| events.len() >= 3), "{result}");
        }
        Ok(())
    }
}

/// How many push configurations there are in a list.
fn hooks(list: &Value) -> usize {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter(|one| one.to_string().contains("https://hooks.example.com/x")).count()
}

fn skills(card: &Value) -> Vec<&str> {
    card["skills"].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(|skill| skill["id"].as_str()).collect()
}

/// What the agent saw of a request that came through Envoy.
fn check_echo(sdk: Sdk, op: &str, echo: &Value) -> Result<()> {
    ensure!(echo["agent"] == sdk.version(), "{op} reached {}", echo["agent"]);
    let headers = &echo["headers"];
    ensure!(headers["a2a-version"] == sdk.version(), "{op}: {headers}");
    let operation = if op == "stream" { "SendStreamingMessage" } else { "SendMessage" };
    for (member, value) in [("agent", "expense"), ("operation", operation), ("client", "caller")] {
        ensure!(told::in_headers(headers, member) == [value], "{op}: {headers}");
    }
    Ok(())
}

async fn talk(here: &Published, token: &str, (sdk, binding, ops): &Talk) -> Result<()> {
    let ops = ops.join(",");
    let [through, direct] = here.both(*sdk, binding, &ops, token).await?;
    let [through, direct] = [&through["results"], &direct["results"]];
    for op in ops.split(',') {
        for results in [through, direct] {
            here.check(*sdk, op, results)?;
        }
        let (through, direct) = (&through[op], &direct[op]);
        if ["card", "extended"].contains(&op) {
            here.check_card(*sdk, &through["answer"], &direct["answer"]).with_context(|| op.to_owned())?;
            continue;
        }
        ensure_same(through, direct, op == "subscribe").with_context(|| op.to_owned())?;
        if !through["echo"].is_null() {
            check_echo(*sdk, op, &through["echo"])?;
            ensure_kept(&through["echo"]["headers"], &direct["echo"]["headers"]).with_context(|| op.to_owned())?;
        }
    }
    Ok(())
}

/// A refusal as an SDK's user meets it.
async fn refused(mesh: &Mesh, sdk: Sdk, binding: &str, scopes: Option<&str>, status: u16, reason: &str) -> Result<()> {
    let token = match scopes {
        Some(scopes) => Some(mesh.authorization.token(&mesh.audience, scopes).await?),
        None => None,
    };
    let result = sdk.call(&mesh.url(), token.as_deref(), "send", binding).await?;
    ensure!(result["ok"] == false && result["status"] == status, "{reason}: {result}");
    ensure!(result["body"].to_string().contains(&format!("\"{reason}\"")), "{reason}: {result}");
    Ok(())
}

/// The comparison finds what it is there to find.
fn differences_are_seen() -> Result<()> {
    let id = |last: char| format!("0e984725-c51c-4bf4-9960-e1c80e27aba{last}");
    let task =
        |id: &str, context: &str, text: &str| json!({"id": id, "contextId": context, "at": "2026-01-01T00:00:00Z", "parts": [text, text]});
    let one = task(&id('1'), &id('2'), "a");
    ensure_same(&one, &task(&id('3'), &id('4'), "a"), false)?;
    for other in [
        task(&id('3'), &id('3'), "a"),
        task(&id('3'), &id('4'), "b"),
        task("1", &id('4'), "a"),
        json!({"id": id('3')}),
        json!({"id": id('3'), "contextId": id('4'), "at": "now", "parts": ["a", "a"]}),
        json!({"id": id('3'), "contextId": id('4'), "at": "2026-01-01T00:00:00Z", "parts": ["a"]}),
    ] {
        ensure!(ensure_same(&one, &other, false).is_err(), "{one} is not {other}");
    }
    let direct = json!({"host": "a", "accept": ["x", "y"]});
    ensure_kept(&json!({"host": "b", "accept": "x,y", "x-request-id": "1"}), &direct)?;
    for through in [json!({"host": "b", "accept": "x"}), json!({"host": "b"}), json!({"accept": "x,y", "x-forwarded-for": "1"})] {
        ensure!(ensure_kept(&through, &direct).is_err(), "{through} is not {direct}");
    }
    Ok(())
}

/// The clients of 0.3 do not agree about the form of extended cards over HTTP+JSON; here each reads it, of either SDK's agent.
async fn extended_cards_of_0_3_are_read_by_each_client(mesh: &'static Mesh) -> Result<()> {
    let token = mesh.token().await?;
    for published in [Published::python(mesh).await?, Published::js(mesh).await?] {
        for sdk in [Sdk::Js0_3, Sdk::Python0_3] {
            // What the JavaScript agent writes, the Python client cannot read, Envoy or not.
            if published.agent_1_0.is_none() && sdk == Sdk::Python0_3 {
                continue;
            }
            let result = sdk.call(&published.url, Some(&token), "extended", "http_json").await?;
            ensure!(result["ok"] == true, "{sdk:?}: {result}");
            let card = &result["results"]["extended"]["answer"];
            ensure!(skills(card) == ["submit", "audit"], "{sdk:?}: {card}");
            ensure!(card["securitySchemes"]["oauth2"]["type"] == "http", "{sdk:?}: {card}");
        }
    }
    Ok(())
}

/// The resolver of the Python SDK 1.3 names no version: it reads a card of both generations, and its client speaks the newer one.
async fn a_client_that_names_no_version_picks_its_own(mesh: &'static Mesh) -> Result<()> {
    let published = Published::python(mesh).await?;
    let token = mesh.token().await?;
    for binding in ["jsonrpc", "http_json"] {
        let result = Sdk::Python1_0.call_card_first(&published.url, Some(&token), "card,send,stream,get,extended", binding).await?;
        ensure!(result["ok"] == true, "over {binding}: {result}");
        ensure!(result["results"]["card"]["interfaces"][0]["version"] == "1.0", "over {binding}: {}", result["results"]["card"]);
        let echo = &result["results"]["send"]["echo"];
        ensure!(echo["headers"]["a2a-version"] == "1.0", "over {binding}: {}", result["results"]["send"]);
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("sdk::a_client_that_names_no_version_picks_its_own", a_client_that_names_no_version_picks_its_own);
    suite.add("sdk::extended_cards_of_0_3_are_read_by_each_client", extended_cards_of_0_3_are_read_by_each_client);
    suite.add("sdk::the_comparison_sees_differences", async |_| differences_are_seen());
    for (talks, what) in [(TALKS, ""), (READ_OVER_GRPC, "_with_messages_that_are_read")] {
        for row in talks {
            let name = format!("sdk::{}_over_{}{what}", row.0.name(), row.1);
            suite.add(name, async move |mesh| talk(Published::python(mesh).await?, &mesh.token().await?, row).await);
        }
    }
    for row in WITH_JS_AGENT {
        let name = format!("sdk::{}_over_{}_with_the_js_agent", row.0.name(), row.1);
        suite.add(name, async move |mesh| talk(Published::js(mesh).await?, &mesh.token().await?, row).await);
    }
    let missing = (None, 401, "credentials_missing");
    let reader = (Some("agent:read"), 403, "insufficient_scope");
    for (sdk, binding, (scopes, status, reason)) in [
        (Sdk::Python1_0, "jsonrpc", reader),
        (Sdk::Python0_3, "http_json", missing),
        (Sdk::Js1_0, "http_json", reader),
        (Sdk::Js0_3, "jsonrpc", missing),
    ] {
        let name = format!("sdk::{}_over_{binding}_reads_{reason}", sdk.name());
        suite.add(name, async move |mesh| refused(mesh, sdk, binding, scopes, status, reason).await);
    }
}

//! A partner's agent that knows whose token it got, and clients of the official SDKs that show a link, without a filter between.

use anyhow::{Context, Result, ensure};
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::{self, Agent, Sdk};
use attache_mesh::user_server::{Options, UserServer};
use serde_json::{Value, json};

use crate::suite::Suite;

const AUDIENCE: &str = "https://hr.example";
const LINK: &str = "https://consent.example.com/consent/start?link=a-link";

/// Where a client calls an agent.
fn place(agent: &Agent, binding: &str) -> Result<String> {
    Ok(match binding {
        "grpc" => format!("127.0.0.1:{}", agent.grpc_port.context("no gRPC")?),
        _ => format!("http://127.0.0.1:{}", agent.port),
    })
}

/// The Python 0.3 agent over HTTP+JSON streams what the JavaScript client cannot read (`peers/README.md`).
fn reads_streams(sdk: Sdk, binding: &str) -> bool {
    (sdk, binding) != (Sdk::Js0_3, "http_json")
}

async fn partner_of_users(_mesh: &'static Mesh) -> Result<()> {
    let server = UserServer::start("partner-users", &Options::default()).await?;
    let (one, old) = tokio::try_join!(
        peer::partner_of_users("1.0", &server, AUDIENCE, "tasks.read"),
        peer::partner_of_users("0.3", &server, AUDIENCE, "")
    )?;
    let ann = server.tokens("ann", AUDIENCE, "openid tasks.read").await?;
    let asked = json!({"user": "bob", "client_id": "attache", "resource": AUDIENCE, "scope": "openid tasks.read"});
    let bob = server.tokens_for(&asked).await?;
    for (agent, sdk) in [(&one, Sdk::Python1_0), (&old, Sdk::Python0_3)] {
        for binding in ["jsonrpc", "http_json", "grpc"] {
            let at = place(agent, binding)?;
            for (tokens, subject, client) in [(&ann, "ann", "orchestrator"), (&bob, "bob", "attache")] {
                let line = sdk.call_saying("hello", &at, Some(&tokens.access), "send,stream", binding).await?;
                for op in ["send", "stream"] {
                    let echo = &line["results"][op]["echo"];
                    ensure!(echo["subject"] == subject && echo["client"] == client && echo["scope"] == "tasks.read", "{line}");
                }
            }
        }
    }

    // Cards are for all. Everything else takes a good token, and says so.
    let card = Call::get("/.well-known/agent-card.json").send(one.port).await?;
    ensure!(card.status == 200, "{}", card.text());
    let send = Call::post("/", &rpc(json!(1), "SendMessage", message_1_0("hello"))).version("1.0");
    let refused = async |token: Option<&str>, status: u16, challenge: &str| {
        let call = token.map_or(send.clone(), |token| send.clone().bearer(token));
        let reply = call.send(one.port).await?;
        let told = reply.header("www-authenticate").unwrap_or_default();
        ensure!(reply.status == status && told == challenge, "{} {told}", reply.status);
        Ok(())
    };
    let taken_back = "Bearer realm=\"partner\", error=\"invalid_token\", error_description=\"taken back\"";
    let another = "Bearer realm=\"partner\", error=\"invalid_token\", error_description=\"another issuer or audience\"";
    refused(None, 401, "Bearer realm=\"partner\", scope=\"tasks.read\"").await?;
    let elsewhere = server.tokens("ann", "https://expense.example.com", "openid tasks.read").await?;
    refused(Some(&elsewhere.access), 401, another).await?;
    let narrow = server.tokens("ann", AUDIENCE, "openid tasks.write").await?;
    let more = "Bearer realm=\"partner\", error=\"insufficient_scope\", error_description=\"more is needed\", scope=\"tasks.read\"";
    refused(Some(&narrow.access), 403, more).await?;
    let stranger = UserServer::start("strange-users", &Options::default()).await?;
    let strange = stranger.tokens("ann", AUDIENCE, "openid tasks.read").await?;
    refused(Some(&strange.access), 401, "Bearer realm=\"partner\", error=\"invalid_token\", error_description=\"no such key\"").await?;

    // It may refuse good tokens, or those of until now.
    one.refuse("seen").await?;
    refused(Some(&ann.access), 401, taken_back).await?;
    let fresh = server.tokens("ann", AUDIENCE, "openid tasks.read").await?;
    ensure!(send.clone().bearer(&fresh.access).send(one.port).await?.status == 200);
    one.refuse("all").await?;
    refused(Some(&fresh.access), 401, taken_back).await?;
    let line = Sdk::Python1_0.call_saying("hello", &place(&one, "jsonrpc")?, Some(&fresh.access), "send", "jsonrpc").await?;
    ensure!(line["ok"] == false && line["status"] == 401 && line["challenge"] == taken_back, "{line}");

    // Over gRPC the details say it.
    for sdk in [Sdk::Python1_0, Sdk::Python0_3] {
        for op in ["send", "stream"] {
            let agent = if sdk == Sdk::Python1_0 { &one } else { &old };
            let line = sdk.call_saying("hello", &place(agent, "grpc")?, None, op, "grpc").await?;
            let details = &line["details"];
            ensure!(line["ok"] == false && line["status"] == 16 && line["code"] == 16, "{line}");
            ensure!(details[0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo" && details[0]["reason"] == "UNAUTHORIZED", "{line}");
            ensure!(details[1]["links"][0]["url"] == "https://partner.example.com/access", "{line}");
        }
    }
    one.refuse("none").await?;
    ensure!(send.clone().bearer(&ann.access).send(one.port).await?.status == 200);
    Ok(())
}

/// What each client shows of a task that waits for its user, and that it goes on in that task.
async fn links_in_clients(_mesh: &'static Mesh) -> Result<()> {
    let (new, old) = tokio::try_join!(peer::agent_1_0(None), peer::agent_0_3(None))?;
    for sdk in [Sdk::Python1_0, Sdk::Js1_0, Sdk::Python0_3, Sdk::Js0_3] {
        let agent = if sdk.version() == "1.0" { &new } else { &old };
        for binding in ["jsonrpc", "http_json", "grpc"] {
            let at = place(agent, binding)?;
            let streams = reads_streams(sdk, binding);
            let ops = if streams { "send,get,stream" } else { "send,get" };
            let line = sdk.call_saying(&format!("auth {LINK}"), &at, None, ops, binding).await?;
            ensure!(line["ok"] == true, "{} {binding}: {line}", sdk.name());
            for op in ops.split(',') {
                let result = &line["results"][op];
                ensure!(result["state"] == "auth-required", "{} {binding} {op}: {result}", sdk.name());
                let said = json!([{"text": format!("Open {LINK} first.")}, {"data": {"link": LINK}}]);
                ensure!(result["said"] == said, "{} {binding} {op}: {result}", sdk.name());
            }

            let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| line.to_string());
            let (task, context) = (text(&line["results"]["send"]["task"])?, text(&line["results"]["send"]["context"])?);
            let line = sdk.call_within([&task, &context], &at, None, "continue,get", binding).await?;
            for op in ["continue", "get"] {
                let result = &line["results"][op];
                ensure!(result["state"] == "completed" && result["echo"]["text"] == "hello", "{} {binding}: {line}", sdk.name());
                ensure!(result["task"] == *task && result["context"] == *context && result["said"] == json!([]), "{line}");
            }
            if binding == "grpc" {
                continue;
            }
            // A context alone makes another task in it.
            let ops = if streams { "continue,continue_stream" } else { "continue" };
            let line = sdk.call_within(["", &context], &at, None, ops, binding).await?;
            for op in ops.split(',') {
                let result = &line["results"][op];
                ensure!(result["state"] == "completed" && result["context"] == *context && result["task"] != *task, "{line}");
            }
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("parties_agents::a_partner_knows_whose_token_it_got", partner_of_users);
    suite.add("parties_agents::clients_show_links_and_go_on_in_the_task", links_in_clients);
}

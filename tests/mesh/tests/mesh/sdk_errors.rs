//! Refusals where the request is at fault, as clients of the official SDKs read them: as the typed error that the agent itself would
//! have made of it.

use anyhow::{Result, bail};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::peer::Sdk;
use attache_mesh::port::Reserved;
use serde_json::{Value, json};

use crate::grpc;
use crate::suite::Suite;

/// What the client does, the reason of the refusal, the name of the error in the SDKs, and its code over JSON-RPC and HTTP.
const REFUSALS: &[(&str, &str, &str, i32, u16)] = &[
    ("push_set", "push_not_offered", "PushNotificationNotSupportedError", -32003, 400),
    ("send", "content_refused", "ContentTypeNotSupportedError", -32005, 400),
    ("stream", "content_refused", "ContentTypeNotSupportedError", -32005, 400),
    ("get", "task_not_found", "TaskNotFoundError", -32001, 404),
];

/// What the client of an SDK says then. The Python SDK of 0.3 has one error for all of JSON-RPC, with the code, and none but the status
/// over HTTP+JSON; neither has the JavaScript one there.
fn says(sdk: Sdk, binding: &str, (ops, reason, name, code, status): &(&str, &str, &str, i32, u16)) -> String {
    match (sdk, binding) {
        (Sdk::Python0_3, "jsonrpc") => format!("A2AClientJSONRPCError: JSON-RPC Error code={code}"),
        // In a stream both JavaScript SDKs have one error, too.
        (Sdk::Js1_0 | Sdk::Js0_3, "jsonrpc") if *ops == "stream" => format!("(Code: {code})"),
        (Sdk::Python0_3, _) => format!("HTTP Error {status}"),
        // It looks into the card first.
        (Sdk::Js0_3, "http_json") if *reason != "push_not_offered" => format!("Status: {status}"),
        _ => format!("{name}: "),
    }
}

async fn start(mesh: &Mesh, reason: &str) -> Result<(Envoy, String, Reserved)> {
    let port = Reserved::new()?;
    let url = format!("http://127.0.0.1:{}{AGENT}", port.port());
    let mut file = mesh.inbound_file()?;
    file.listen_on(&port)?;
    file.edit_plugin(|plugin| {
        let agent = &mut plugin["agents"][0];
        agent["public_url"] = json!(url);
        match reason {
            "push_not_offered" => agent["push_notifications"] = json!({"hosts": []}),
            "content_refused" => agent["limits"]["modalities"] = json!(["data"]),
            _ => {
                agent["tasks"] = json!({"owned": {"keys": [{"id": "k", "secret": "tags"}]}});
                plugin["allow_inline_secrets"] = json!(true);
                plugin["secrets"]["tags"] = json!({"inline": "0123456789abcdef0123456789abcdef"});
            }
        }
    })?;
    let envoy = Envoy::start(&format!("errors-{reason}"), &file, Options::default()).await?;
    Ok((envoy, url, port))
}

async fn typed(mesh: &'static Mesh) -> Result<()> {
    let token = mesh.token().await?;
    let mut wrong = Vec::new();
    for refusal in REFUSALS {
        let (ops, reason, ..) = refusal;
        let (_envoy, url, _port) = start(mesh, reason).await?;
        for sdk in [Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3] {
            for binding in ["jsonrpc", "http_json"] {
                let result: Value = match *ops {
                    "get" => sdk.call_about("a-task-of-nobody", &url, Some(&token), "get", binding).await?,
                    ops => sdk.call(&url, Some(&token), ops, binding).await?,
                };
                let error = result["error"].as_str().unwrap_or_default();
                if !error.contains(&says(sdk, binding, refusal)) {
                    wrong.push(format!("{reason}, {sdk:?} over {binding}: {result}"));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// The same over gRPC: what the client does, the limit that it meets, the name of the error in the SDKs of 1.0, and the gRPC status,
/// which is all that those of 0.3 tell (A2A 1.0 section 5.4).
const OVER_GRPC: &[(&str, &str, &str, u16)] = &[
    ("push_set", r#"{"push_notifications": {"hosts": []}}"#, "PushNotificationNotSupportedError", 9),
    ("send", r#"{"limits": {"modalities": ["data"]}}"#, "ContentTypeNotSupportedError", 3),
    ("stream", r#"{"limits": {"streaming": false}}"#, "UnsupportedOperationError", 9),
];

async fn typed_over_grpc(mesh: &'static Mesh) -> Result<()> {
    let token = mesh.token().await?;
    let mut wrong = Vec::new();
    for (ops, members, name, status) in OVER_GRPC {
        let members: Value = serde_json::from_str(members)?;
        let envoy = grpc::start(mesh, &format!("errors-grpc-{ops}"), |plugin| {
            for (name, value) in members.as_object().into_iter().flatten() {
                plugin["agents"][0][name] = value.clone();
            }
        })
        .await?;
        for sdk in [Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3] {
            let result = sdk.call_grpc(envoy.port(), Some(&token), ops, &[]).await?;
            let error = result["error"].as_str().unwrap_or_default();
            let is_typed = sdk.version() == "0.3" || error.starts_with(&format!("{name}: "));
            if result["status"] != *status || !is_typed {
                wrong.push(format!("{name}, {sdk:?}: {result}"));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

pub fn add(suite: &mut Suite) {
    suite.add("sdk_errors::over_grpc_too", typed_over_grpc);
    suite.add("sdk_errors::a_refusal_is_the_error_that_the_agent_would_make", typed);
}

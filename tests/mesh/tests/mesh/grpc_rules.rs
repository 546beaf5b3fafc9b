//! Access rules over gRPC: operations of both packages, allowed and denied by rule, for the official SDKs' clients.

use anyhow::{Result, ensure};
use attache_mesh::envoy::Envoy;
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::Sdk;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::grpc::{SERVICE_0_3, SERVICE_1_0, call, refused, start};
use crate::suite::Suite;

/// The one that tests share. A scope opens each of the operations, and sends and reads are open.
async fn standing(mesh: &Mesh) -> Result<&'static Envoy> {
    static STANDING: OnceCell<Envoy> = OnceCell::const_new();
    let edit = |plugin: &mut serde_json::Value| {
        let agent = &mut plugin["agents"][0];
        agent["push_notifications"] = json!({"hosts": ["hooks.example.com"]});
        agent["security"] = json!([{"oauth2": []}]);
        agent["access"] = json!([
            {"operations": ["ListTasks", "CancelTask", "manage"], "require": {"any_scope": ["agent:execute", "agent:admin"]}},
            {"operations": ["SendMessage", "SendStreamingMessage", "read"]},
        ]);
    };
    STANDING.get_or_try_init(async || start(mesh, "grpc-rules", edit).await).await
}

/// What clients do under a rule of its own, and which have it; the agent of 0.3 deletes and lists push configurations over JSON-RPC only.
const RULED: &[(&str, &[Sdk])] = &[
    ("cancel", &[Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3]),
    ("push_set", &[Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3]),
    ("push_set,push_get", &[Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3]),
    ("push_set,push_list", &[Sdk::Python1_0, Sdk::Js1_0]),
    ("push_set,push_list,push_delete", &[Sdk::Python1_0, Sdk::Js1_0]),
    ("list", &[Sdk::Python1_0, Sdk::Js1_0]),
];

/// Every method under the first rule, and one of each package that is not.
const METHODS: &[(&str, &[&str])] = &[
    (
        SERVICE_1_0,
        &[
            "CancelTask",
            "ListTasks",
            "CreateTaskPushNotificationConfig",
            "GetTaskPushNotificationConfig",
            "ListTaskPushNotificationConfigs",
            "DeleteTaskPushNotificationConfig",
        ],
    ),
    (
        SERVICE_0_3,
        &[
            "CancelTask",
            "CreateTaskPushNotificationConfig",
            "GetTaskPushNotificationConfig",
            "ListTaskPushNotificationConfig",
            "DeleteTaskPushNotificationConfig",
        ],
    ),
];

pub fn add(suite: &mut Suite) {
    for sdk in [Sdk::Python1_0, Sdk::Python0_3, Sdk::Js1_0, Sdk::Js0_3] {
        suite.add(format!("grpc_rules::{}_does_what_a_rule_allows", sdk.name()), async move |mesh| {
            let envoy = standing(mesh).await?;
            let allowed = mesh.authorization.token(&mesh.audience, "agent:execute").await?;
            let denied = mesh.authorization.token(&mesh.audience, "agent:read").await?;
            for (ops, _) in RULED.iter().filter(|(_, sdks)| sdks.contains(&sdk)) {
                let result = sdk.call_grpc(envoy.port(), Some(&allowed), ops, &[]).await?;
                ensure!(result["ok"] == true, "{ops}: {result}");
                // What comes first is under no rule that asks for more.
                let result = sdk.call_grpc(envoy.port(), Some(&denied), &format!("send,stream,get,{ops}"), &[]).await?;
                ensure!(result["ok"] == false && result["status"] == 7, "{ops}: {result}");
                ensure!(result["results"].as_object().is_some_and(|results| results.len() == 3), "{ops}: {result}");
            }
            Ok(())
        });
    }
    suite.add("grpc_rules::each_method_is_under_its_rule", async |mesh| {
        let envoy = standing(mesh).await?;
        let allowed = mesh.authorization.token(&mesh.audience, "agent:execute").await?;
        let denied = mesh.authorization.token(&mesh.audience, "agent:read").await?;
        for (service, methods) in METHODS {
            for method in *methods {
                let call = call(format!("{service}/{method}"));
                let reply = refused(envoy, &call.clone().bearer(&denied), 7, "insufficient_scope").await?;
                let challenge = reply.header("www-authenticate").unwrap_or_default();
                ensure!(challenge.contains(r#"scope="agent:execute""#), "{method}: {challenge}");
                // The agent answers, whatever it says to an empty message; it has no challenge.
                let reply = crate::grpc::send(envoy, &call.bearer(&allowed)).await?;
                ensure!(reply.header("grpc-status") != Some("7") && reply.header("www-authenticate").is_none(), "{:?}", reply.headers);
            }
        }
        Ok(())
    });
    suite.add("grpc_rules::where_no_rule_names_a_method_nobody_may", async |mesh| {
        let envoy = start(mesh, "grpc-rules-none", |plugin| {
            plugin["agents"][0]["access"] = json!([{"operations": ["SendMessage"]}]);
        })
        .await?;
        let token = mesh.token().await?;
        for (service, methods) in METHODS {
            for method in *methods {
                refused(&envoy, &call(format!("{service}/{method}")).bearer(&token), 7, "access_denied").await?;
            }
        }
        let result = Sdk::Python1_0.call_grpc(envoy.port(), Some(&token), "send,cancel", &[]).await?;
        // Of what the operation does first, a send is allowed and a read is not.
        ensure!(result["ok"] == false && result["status"] == 7 && result["results"]["send"]["state"] == "completed", "{result}");
        Ok(())
    });
}

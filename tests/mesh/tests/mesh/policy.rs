//! What a verified caller may do and ask for: access rules, limits, targets of notifications, compressed bodies. The same in both
//! bindings and versions, and counted.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, message_0_3, message_0_3_http, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES};
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::suite::{Suite, refused};

/// An Envoy with agents that differ in their policy. Agents behind [`AGENT`] are refused or counted, not reached.
struct Ruled {
    envoy: Envoy,
}

/// Agents by the end of their path.
const RULED: &str = "";
const LIMITED: &str = "/limited";
const NOTIFYING: &str = "/notifying";
const SILENT: &str = "/silent";
const COUNTED: &str = "/counted";

impl Ruled {
    async fn standing(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<Ruled> = OnceCell::const_new();
        STANDING.get_or_try_init(async || Self::start(mesh).await).await
    }

    async fn start(mesh: &Mesh) -> Result<Self> {
        let mut file = mesh.inbound_file()?;
        file.edit_plugin(|plugin| {
            let mut agents = Vec::new();
            for (end, member, policy) in [
                (RULED, "access", rules()),
                (LIMITED, "limits", limits()),
                (NOTIFYING, "push_notifications", json!({"hosts": ["hooks.example.com", "*"]})),
                (SILENT, "push_notifications", json!({"hosts": []})),
                (COUNTED, "limits", json!({})),
            ] {
                let mut agent = plugin["agents"][0].clone();
                agent["name"] = json!(format!("expense{}", end.replace('/', "-")));
                agent["match"]["path_prefix"] = json!(format!("{AGENT}{end}"));
                agent[member] = policy;
                agents.push(agent);
            }
            plugin["agents"] = json!(agents);
        })?;
        Ok(Self { envoy: Envoy::start("policy", &file, Options::default().own()).await? })
    }
}

fn rules() -> Value {
    json!([
        {"operations": ["ListTasks"], "require": {"clients": ["nobody"], "issuers": ["corp"]}},
        {"operations": ["read"]},
        {"operations": ["CancelTask"], "require": {"scopes": ["agent:admin"]}},
        {"operations": ["execute"], "require": {"any_scope": ["agent:execute", "agent:admin"]}},
    ])
}

fn limits() -> Value {
    json!({"modalities": ["text"], "streaming": false, "max_parts": 2, "max_history_length": 10, "output_modes": ["text/*"]})
}

/// One request that every binding and version can spell: JSON-RPC 1.0, JSON-RPC 0.3, HTTP+JSON 1.0, HTTP+JSON 0.3.
struct Spelled {
    rpc_1_0: Option<(&'static str, Value)>,
    rpc_0_3: Option<(&'static str, Value)>,
    http_1_0: Option<(Method, &'static str, Value)>,
    http_0_3: Option<(Method, &'static str, Value)>,
}

impl Spelled {
    /// The calls to the agent at `end`, without credentials, and the form of a refusal.
    fn calls(&self, end: &str) -> Vec<(Call, Form)> {
        let id = || Form::Rpc(json!("p"));
        let post = |method: &str, params: &Value| Call::post(format!("{AGENT}{end}"), &rpc(json!("p"), method, params.clone()));
        let plain = |method: &Method, path: &str, body: &Value| {
            let call = Call::new(method.clone(), format!("{AGENT}{end}{path}"));
            if body.is_null() { call } else { call.header("content-type", "application/json").body(body.to_string()) }
        };
        let rows = [
            self.rpc_1_0.as_ref().map(|(method, params)| (post(method, params).version("1.0"), id())),
            self.rpc_0_3.as_ref().map(|(method, params)| (post(method, params), id())),
            self.http_1_0.as_ref().map(|(method, path, body)| (plain(method, path, body).version("1.0"), Form::Status)),
            self.http_0_3.as_ref().map(|(method, path, body)| (plain(method, path, body), Form::Status)),
        ];
        rows.into_iter().flatten().collect()
    }

    /// All are refused for `reason`, and good calls work in between.
    async fn refused(&self, mesh: &'static Mesh, end: &str, reason: &str) -> Result<()> {
        let (here, token) = (Ruled::standing(mesh).await?, mesh.token().await?);
        for (call, form) in self.calls(end) {
            let call = call.bearer(&token);
            let what = || format!("{} {} {:?}", call.method, call.path, call.body);
            let reply = refused(&here.envoy, &call, reason, &form, &token).await.with_context(what)?;
            if reason == "insufficient_scope" {
                let challenge = reply.header("www-authenticate").unwrap_or_default();
                ensure!(challenge.contains(r#", scope="agent:execute agent:admin""#), "{}: {challenge}", what());
            }
        }
        Ok(())
    }

    /// All go on to the agent: whatever it answers, no refusal does.
    async fn passes(&self, mesh: &'static Mesh, end: &str, scopes: &str) -> Result<()> {
        let here = Ruled::standing(mesh).await?;
        let token = mesh.authorization.token(&mesh.audience, scopes).await?;
        for (call, _) in self.calls(end) {
            let reply = call.clone().bearer(&token).send(here.envoy.port()).await?;
            let seen = reply.reason();
            ensure!(seen.is_none() && reply.status < 500, "{} {}: {} {}", call.method, call.path, reply.status, reply.text());
        }
        Ok(())
    }
}

fn cancel() -> Spelled {
    Spelled {
        rpc_1_0: Some(("CancelTask", json!({"id": "no-such-task"}))),
        rpc_0_3: Some(("tasks/cancel", json!({"id": "no-such-task"}))),
        http_1_0: Some((Method::POST, "/tasks/no-such-task:cancel", json!({}))),
        http_0_3: Some((Method::POST, "/v1/tasks/no-such-task:cancel", Value::Null)),
    }
}

fn get() -> Spelled {
    Spelled {
        rpc_1_0: Some(("GetTask", json!({"id": "no-such-task"}))),
        rpc_0_3: Some(("tasks/get", json!({"id": "no-such-task"}))),
        http_1_0: Some((Method::GET, "/tasks/no-such-task", Value::Null)),
        http_0_3: Some((Method::GET, "/v1/tasks/no-such-task", Value::Null)),
    }
}

fn list_configs() -> Spelled {
    Spelled {
        rpc_1_0: Some(("ListTaskPushNotificationConfigs", json!({"taskId": "t"}))),
        rpc_0_3: Some(("tasks/pushNotificationConfig/list", json!({"id": "t"}))),
        http_1_0: Some((Method::GET, "/tasks/t/pushNotificationConfigs", Value::Null)),
        http_0_3: Some((Method::GET, "/v1/tasks/t/pushNotificationConfigs", Value::Null)),
    }
}

/// ListTasks exists in 1.0 only.
fn list() -> Spelled {
    Spelled { rpc_1_0: Some(("ListTasks", json!({}))), rpc_0_3: None, http_1_0: Some((Method::GET, "/tasks", Value::Null)), http_0_3: None }
}

/// A message, changed by `edit_1_0` (what 1.0 says), `edit_0_3` (0.3 over JSON-RPC) and `edit_proto` (0.3 over HTTP+JSON).
fn message(edit_1_0: fn(&mut Value), edit_0_3: fn(&mut Value), edit_proto: fn(&mut Value)) -> Spelled {
    let [mut new, mut old, mut proto] = [message_1_0("p"), message_0_3("p"), message_0_3_http("p")];
    edit_1_0(&mut new);
    edit_0_3(&mut old);
    edit_proto(&mut proto);
    Spelled {
        rpc_1_0: Some(("SendMessage", new.clone())),
        rpc_0_3: Some(("message/send", old)),
        http_1_0: Some((Method::POST, "/message:send", new)),
        http_0_3: Some((Method::POST, "/v1/message:send", proto)),
    }
}

fn same(edit: fn(&mut Value)) -> Spelled {
    message(edit, edit, edit)
}

fn file() -> Spelled {
    message(
        |body| body["message"]["parts"][0] = json!({"url": "https://files.example.com/a.png", "mediaType": "image/png"}),
        |body| body["message"]["parts"][0] = json!({"kind": "file", "file": {"uri": "https://files.example.com/a.png"}}),
        |body| body["message"]["content"][0] = json!({"file": {"fileWithUri": "https://files.example.com/a.png"}}),
    )
}

fn data() -> Spelled {
    message(
        |body| body["message"]["parts"][0] = json!({"data": {"a": 1}}),
        |body| body["message"]["parts"][0] = json!({"kind": "data", "data": {"a": 1}}),
        |body| body["message"]["content"][0] = json!({"data": {"data": {"a": 1}}}),
    )
}

fn three_parts() -> Spelled {
    message(
        |body| body["message"]["parts"] = json!([{"text": "a"}, {"text": "b"}, {"text": "c"}]),
        |body| {
            body["message"]["parts"] = json!([{"kind": "text", "text": "a"}, {"kind": "text", "text": "b"}, {"kind": "text", "text": "c"}]);
        },
        |body| body["message"]["content"] = json!([{"text": "a"}, {"text": "b"}, {"text": "c"}]),
    )
}

fn stream() -> Spelled {
    Spelled {
        rpc_1_0: Some(("SendStreamingMessage", message_1_0("p"))),
        rpc_0_3: Some(("message/stream", message_0_3("p"))),
        http_1_0: Some((Method::POST, "/message:stream", message_1_0("p"))),
        http_0_3: Some((Method::POST, "/v1/message:stream", message_0_3_http("p"))),
    }
}

fn subscribe() -> Spelled {
    Spelled {
        rpc_1_0: Some(("SubscribeToTask", json!({"id": "t"}))),
        rpc_0_3: Some(("tasks/resubscribe", json!({"id": "t"}))),
        http_1_0: Some((Method::GET, "/tasks/t:subscribe", Value::Null)),
        http_0_3: Some((Method::GET, "/v1/tasks/t:subscribe", Value::Null)),
    }
}

fn much_history() -> Spelled {
    Spelled {
        rpc_1_0: Some(("GetTask", json!({"id": "t", "historyLength": 11}))),
        rpc_0_3: Some(("tasks/get", json!({"id": "t", "historyLength": 11}))),
        http_1_0: Some((Method::GET, "/tasks/t?historyLength=11", Value::Null)),
        http_0_3: Some((Method::GET, "/v1/tasks/t?history_length=11", Value::Null)),
    }
}

/// A configuration of notifications to `url` inside a send request.
fn notify_inline(url: &str) -> Spelled {
    let [mut new, mut old, mut proto] = [message_1_0("p"), message_0_3("p"), message_0_3_http("p")];
    new["configuration"]["taskPushNotificationConfig"] = json!({"url": url});
    old["configuration"]["pushNotificationConfig"] = json!({"url": url});
    proto["configuration"]["push_notification"] = json!({"url": url});
    Spelled {
        rpc_1_0: Some(("SendMessage", new.clone())),
        rpc_0_3: Some(("message/send", old)),
        http_1_0: Some((Method::POST, "/message:send", new)),
        http_0_3: Some((Method::POST, "/v1/message:send", proto)),
    }
}

/// The same by the operation that creates one.
fn notify_created(url: &str) -> Spelled {
    let route = "/tasks/t/pushNotificationConfigs";
    Spelled {
        rpc_1_0: Some(("CreateTaskPushNotificationConfig", json!({"taskId": "t", "url": url}))),
        rpc_0_3: Some(("tasks/pushNotificationConfig/set", json!({"taskId": "t", "pushNotificationConfig": {"url": url}}))),
        http_1_0: Some((Method::POST, route, json!({"url": url}))),
        http_0_3: Some((Method::POST, "/v1/tasks/t/pushNotificationConfigs", json!({"config": {"pushNotificationConfig": {"url": url}}}))),
    }
}

/// Where no agent may be sent, one of each kind.
pub const TARGETS: [&str; 7] = [
    "http://hooks.example.com/",
    "https://169.254.169.254/latest/meta-data",
    "https://2852039166/",
    "https://[::ffff:10.0.0.1]/",
    "https://user@hooks.example.com/",
    "https://hooks.example.com:8443/",
    "https://agent.default.svc/",
];

type Case = (&'static str, &'static str, &'static str, fn() -> Spelled);

/// What is asked for; of which agent; the reason that refuses it in every binding and version.
const CASES: &[Case] = &[
    ("canceling", RULED, "insufficient_scope", cancel),
    ("what_no_rule_admits", RULED, "access_denied", list_configs),
    ("what_a_rule_admits_others_to", RULED, "access_denied", list),
    ("streaming", LIMITED, "streaming_not_offered", stream),
    ("subscribing", LIMITED, "streaming_not_offered", subscribe),
    ("a_file", LIMITED, "content_refused", file),
    ("data", LIMITED, "content_refused", data),
    ("other_output", LIMITED, "content_refused", || same(|body| body["configuration"]["acceptedOutputModes"] = json!(["image/png"]))),
    ("three_parts", LIMITED, "limit_exceeded", three_parts),
    ("much_history", LIMITED, "limit_exceeded", much_history),
    ("much_history_of_a_message", LIMITED, "limit_exceeded", || same(|body| body["configuration"]["historyLength"] = json!(11))),
    ("a_notification", SILENT, "push_not_offered", || notify_inline("https://hooks.example.com/")),
    ("creating_a_notification", SILENT, "push_not_offered", || notify_created("https://hooks.example.com/")),
];

/// A body that says gzip and is.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00";

pub fn add(suite: &mut Suite) {
    for (name, end, reason, spelled) in CASES {
        suite.add(format!("policy::{name}_is_{reason}_in_every_binding"), async move |mesh| spelled().refused(mesh, end, reason).await);
    }
    suite.add("policy::what_rules_and_limits_allow_passes_in_every_binding", async |mesh| {
        let text = || same(|body| body["configuration"]["acceptedOutputModes"] = json!(["text/plain", "image/png"]));
        cancel().passes(mesh, RULED, "agent:execute agent:admin").await?;
        get().passes(mesh, RULED, SCOPES).await?;
        stream().passes(mesh, RULED, SCOPES).await?;
        get().passes(mesh, LIMITED, SCOPES).await?;
        text().passes(mesh, LIMITED, SCOPES).await?;
        list_configs().passes(mesh, SILENT, SCOPES).await?;
        notify_inline("https://hooks.example.com/a?b=c").passes(mesh, NOTIFYING, SCOPES).await?;
        notify_created("https://hooks.example.com/a?b=c").passes(mesh, NOTIFYING, SCOPES).await
    });
    for target in TARGETS {
        suite.add(format!("policy::a_notification_to_{target}_is_push_target_refused_in_every_binding"), async move |mesh| {
            notify_inline(target).refused(mesh, NOTIFYING, "push_target_refused").await?;
            notify_created(target).refused(mesh, NOTIFYING, "push_target_refused").await
        });
    }
    suite.add("policy::a_credential_with_a_line_break_is_push_target_refused", async |mesh| {
        let mut spelled = notify_inline("https://hooks.example.com/");
        for (_, params) in [&mut spelled.rpc_1_0, &mut spelled.rpc_0_3].into_iter().flatten() {
            for config in ["taskPushNotificationConfig", "pushNotificationConfig"] {
                if params["configuration"][config].is_object() {
                    params["configuration"][config]["token"] = json!("a\r\nx-admin: 1");
                }
            }
        }
        (spelled.http_1_0, spelled.http_0_3) = (None, None);
        spelled.refused(mesh, NOTIFYING, "push_target_refused").await
    });
    suite.add("policy::compressed_bodies_are_encoding_refused", async |mesh| {
        let (here, token) = (Ruled::standing(mesh).await?, mesh.token().await?);
        let port = here.envoy.port();
        for (path, form) in [("", Form::Rpc(Value::Null)), ("/message:send", Form::Status)] {
            let call = |encoding: &str| {
                let call = Call::post(format!("{AGENT}{path}"), &Value::Null).version("1.0").bearer(&token).body(GZIP);
                call.header("content-encoding", encoding)
            };
            for encoding in ["gzip", "GZIP", "br", "identity, gzip", "x"] {
                refused(&here.envoy, &call(encoding), "encoding_refused", &form, &token).await?;
            }
            for trailers in [&[][..], &[("x-checksum", "1")][..]] {
                refusal::check(&raw::http2(port, &call("gzip"), 3, trailers).await?, "encoding_refused", &form)?;
            }
            let large = call("gzip").body(GZIP.repeat(20_000));
            refusal::check(&large.send(port).await?, "encoding_refused", &form)?;
        }
        // A JSON-RPC body that only says it is compressed can still be read for its id.
        let plain = Call::post(AGENT, &rpc(json!("p"), "SendMessage", message_1_0("p"))).version("1.0").bearer(&token);
        refused(&here.envoy, &plain.clone().header("content-encoding", "deflate"), "encoding_refused", &Form::Rpc(json!("p")), &token)
            .await?;
        let reply = plain.header("content-encoding", "Identity").send(port).await?;
        ensure!(reply.status == 200 && reply.echo().is_some(), "{} {}", reply.status, reply.text());
        Ok(())
    });
    suite.add("policy::what_goes_on_is_counted_by_agent_version_binding_and_operation", async |mesh| {
        let (here, token) = (Ruled::standing(mesh).await?, mesh.token().await?);
        let port = here.envoy.port();
        let counter = |version: &str, binding: &str, operation: &str| {
            format!(
                "attache_decisions.agent=.=expense-counted;.;version=.={version};.;binding=.={binding};.;operation=.={operation};.;\
                 decision=.=allow;.;reason=.=none;.;total"
            )
        };
        let [send_1_0, send_0_3, ..] = &same(|_| {}).calls(COUNTED)[..] else { anyhow::bail!("no calls") };
        for _ in 0..3 {
            send_1_0.0.clone().bearer(&token).send(port).await?;
        }
        send_0_3.0.clone().bearer(&token).send(port).await?;
        Call::get(format!("{AGENT}{COUNTED}/v1/tasks/t")).bearer(&token).send(port).await?;
        // What is refused is counted elsewhere.
        for call in [send_1_0.0.clone(), send_1_0.0.clone().bearer("a.b.c"), send_0_3.0.clone().version("1.0").bearer(&token)] {
            ensure!(call.send(port).await?.reason().is_some(), "{call:?}");
        }
        for (version, binding, operation, wanted) in
            [("1.0", "jsonrpc", "SendMessage", 3), ("0.3", "jsonrpc", "SendMessage", 1), ("0.3", "http_json", "GetTask", 1)]
        {
            let name = counter(version, binding, operation);
            here.envoy.stat_reaches(&name, wanted).await?;
            let value = here.envoy.stat(&name).await?;
            ensure!(value == wanted, "{name}: {value}");
        }
        ensure!(here.envoy.stat(&counter("1.0", "http_json", "SendMessage")).await? == 0, "nothing was sent over HTTP+JSON 1.0");
        Ok(())
    });
}

//! Tasks that belong to their makers: in both versions and bindings, through the official SDKs, in streams, across keys.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::event_stream::EventStream;
use attache_mesh::http::{Call, Reply, message_0_3, message_0_3_http, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES};
use attache_mesh::mint::Mint;
use attache_mesh::peer::Sdk;
use attache_mesh::port::Reserved;
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::suite::{House, Suite};

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";

/// An Envoy before an agent whose tasks are owned, and whoever calls.
pub struct Place {
    pub envoy: Envoy,
    mint: Mint,
    audience: String,
    url: String,
    _port: Option<Reserved>,
}

/// Makes the agent's tasks owned, with the keys of these names.
fn own(file: &mut EnvoyFile, keys: &[&str]) -> Result<()> {
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["TAG_OLD", "TAG_NEW"]});
    file.edit_plugin(|plugin| {
        let keys: Vec<Value> = keys.iter().map(|id| json!({"id": id, "secret": format!("tag_{id}")})).collect();
        plugin["secrets"] = json!({"tag_old": {"env": "TAG_OLD"}, "tag_new": {"env": "TAG_NEW"}});
        plugin["agents"][0]["tasks"] = json!({"owned": {"keys": keys}});
        plugin["agents"][0]["push_notifications"] = json!({"hosts": ["hooks.example.com"]});
        // Which tenants may be named is told elsewhere.
        plugin["agents"][0]["tenant"] = json!({"ignore": {}});
    })
}

fn options() -> Options {
    Options::default().env("TAG_OLD", OLD).env("TAG_NEW", NEW)
}

impl Place {
    async fn standing(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<Place> = OnceCell::const_new();
        STANDING.get_or_try_init(async || Self::start(mesh, "owned", &["new", "old"], |_| Ok(())).await).await
    }

    pub async fn start(mesh: &Mesh, name: &str, keys: &[&str], edit: impl FnOnce(&mut EnvoyFile) -> Result<()>) -> Result<Self> {
        let (mint, port) = (Mint::new("house-1")?, Reserved::new()?);
        let url = format!("http://127.0.0.1:{}{AGENT}", port.port());
        let mut file = mesh.inbound_file()?;
        file.listen_on(&port)?;
        House::trust(&mut file, &mint, &mesh.audience)?;
        own(&mut file, keys)?;
        file.edit_plugin(|plugin| plugin["agents"][0]["public_url"] = json!(url))?;
        file.http_manager()?["http_protocol_options"] = json!({"enable_trailers": true});
        edit(&mut file)?;
        let envoy = Envoy::start(name, &file, options()).await?;
        Ok(Self { envoy, mint, audience: mesh.audience.clone(), url, _port: Some(port) })
    }

    /// Before a stand-in, in either version.
    async fn before(mesh: &Mesh, name: &str, agent: &StandIn) -> Result<Self> {
        Self::start(mesh, name, &["new"], |file| {
            file.cluster("expense_v1_0", agent.port)?;
            file.cluster("expense_v0_3", agent.port)
        })
        .await
    }

    /// A token of a person.
    pub fn token(&self, who: &str) -> String {
        let mut claims = House::claims_for(who, &self.audience);
        claims["scp"] = json!(SCOPES);
        self.mint.sign(&claims)
    }

    pub async fn send(&self, call: &Call, who: &str) -> Result<Reply> {
        call.clone().bearer(&self.token(who)).send(self.envoy.port()).await
    }

    /// `call` is answered as one about a task that does not exist: whole and byte by byte, and the agent is not asked.
    async fn hides(&self, call: &Call, who: &str) -> Result<()> {
        let form = form(call);
        let call = call.clone().bearer(&self.token(who));
        let mut reply = call.send(self.envoy.port()).await?;
        let body = call.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        if body.contains("tasks/resubscribe") {
            // Clients of 0.3 take nothing else for an answer to this.
            ensure!(reply.header("content-type") == Some("text/event-stream"), "{:?}", reply.headers);
            let text = reply.text();
            let event = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n")).context("no event")?;
            reply.body = event.to_owned().into();
            reply.headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        }
        refusal::check(&reply, "task_not_found", &form).with_context(|| format!("{call:?}"))
    }
}

/// What a refusal of `call` looks like.
fn form(call: &Call) -> Form {
    let body: Value = call.body.as_ref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    body.get("jsonrpc").map_or(Form::Status, |_| Form::Rpc(body["id"].clone()))
}

#[derive(Clone, Copy, Debug)]
pub struct Over {
    version: &'static str,
    rpc: bool,
}

pub const EVERYWHERE: [Over; 4] = [
    Over { version: "1.0", rpc: true },
    Over { version: "1.0", rpc: false },
    Over { version: "0.3", rpc: true },
    Over { version: "0.3", rpc: false },
];

impl Over {
    /// The first of the names is that of 1.0.
    fn rpc(self, methods: [&str; 2], params: Value) -> Call {
        let method = if self.version == "1.0" { methods[0] } else { methods[1] };
        Call::post(AGENT, &rpc(json!("o"), method, params)).version(self.version)
    }

    fn http(self, method: Method, route: &str, body: Option<Value>) -> Call {
        let prefix = if self.version == "1.0" { "" } else { "/v1" };
        let call = Call::new(method, format!("{AGENT}{prefix}{route}")).version(self.version);
        match body {
            Some(body) => call.header("content-type", "application/json").body(body.to_string()),
            None => call,
        }
    }

    /// A message, with more members of its own. With `wait` its task goes on until it is cancelled.
    pub fn message(self, text: &str, more: &Value) -> Call {
        let (mut params, wait) = match (self.version, self.rpc) {
            ("1.0", _) => (message_1_0(text), json!({"returnImmediately": true})),
            (_, true) => (message_0_3(text), json!({"blocking": false})),
            (_, false) => (message_0_3_http(text), json!({"blocking": false})),
        };
        for (name, value) in more.as_object().into_iter().flatten() {
            params["message"][name] = value.clone();
        }
        params["configuration"] = wait;
        match self.rpc {
            true => self.rpc(["SendMessage", "message/send"], params),
            false => self.http(Method::POST, "/message:send", Some(params)),
        }
    }

    pub fn get(self, id: &str) -> Call {
        match self.rpc {
            true => self.rpc(["GetTask", "tasks/get"], json!({"id": id})),
            false => self.http(Method::GET, &format!("/tasks/{id}"), None),
        }
    }

    fn cancel(self, id: &str) -> Call {
        match self.rpc {
            true => self.rpc(["CancelTask", "tasks/cancel"], json!({"id": id})),
            false => self.http(Method::POST, &format!("/tasks/{id}:cancel"), None),
        }
    }

    /// Everything that names a task or a context.
    fn about(self, task: &str, context: &str) -> Vec<Call> {
        let mut calls = vec![self.get(task), self.cancel(task)];
        calls.extend(
            [json!({"taskId": task}), json!({"contextId": context}), json!({"referenceTaskIds": [task]})]
                .iter()
                .map(|more| self.message("foreign", more)),
        );
        let url = "https://hooks.example.com/x";
        if self.rpc {
            let of = if self.version == "1.0" { "taskId" } else { "id" };
            let push = if self.version == "1.0" {
                json!({"taskId": task, "id": "p", "url": url})
            } else {
                json!({"taskId": task, "pushNotificationConfig": {"id": "p", "url": url}})
            };
            let config =
                if self.version == "1.0" { json!({of: task, "id": "p"}) } else { json!({of: task, "pushNotificationConfigId": "p"}) };
            calls.extend([
                self.rpc(["SubscribeToTask", "tasks/resubscribe"], json!({"id": task})),
                self.rpc(["CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set"], push),
                self.rpc(["GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get"], config.clone()),
                self.rpc(["ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list"], json!({of: task})),
                self.rpc(["DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete"], config),
            ]);
        } else {
            let configs = format!("/tasks/{task}/pushNotificationConfigs");
            calls.extend([
                self.http(Method::GET, &format!("/tasks/{task}:subscribe"), None),
                self.http(Method::POST, &format!("/tasks/{task}:subscribe"), None),
                self.http(Method::POST, &configs, Some(json!({"id": "p", "url": url}))),
                self.http(Method::GET, &configs, None),
                self.http(Method::GET, &format!("{configs}/p"), None),
                self.http(Method::DELETE, &format!("{configs}/p"), None),
            ]);
        }
        calls
    }
}

/// The task of an answer: its id and its context's.
pub fn task_of(reply: &Reply) -> Result<(String, String)> {
    let body = reply.json();
    let places = ["/result/task", "/result", "/task", ""];
    let task = places.iter().filter_map(|place| body.pointer(place)).find(|value| value["contextId"].is_string());
    let task = task.with_context(|| format!("no task in {} {}", reply.status, reply.text()))?;
    Ok((task["id"].as_str().unwrap_or_default().to_owned(), task["contextId"].as_str().unwrap_or_default().to_owned()))
}

/// The agent's own id.
pub fn plain(shown: &str) -> &str {
    shown.rsplit_once('~').map_or(shown, |(id, _)| id)
}

/// Every id in `value` is one of the caller's.
pub fn ensure_tagged(value: &Value) -> Result<()> {
    match value {
        Value::Array(list) => list.iter().try_for_each(ensure_tagged),
        Value::Object(map) => map.iter().try_for_each(|(name, value)| {
            let is_task = ["contextId", "context_id"].iter().any(|context| map.contains_key(*context)) && map.contains_key("status");
            let names = ["taskId", "task_id", "contextId", "context_id", "task"];
            let is_id = names.contains(&name.as_str()) || (is_task && name == "id");
            let refers = ["referenceTaskIds", "reference_task_ids"].contains(&name.as_str());
            let ids = value.as_array().filter(|_| refers).into_iter().flatten().chain(Some(value).filter(|_| is_id));
            for id in ids.filter_map(Value::as_str) {
                ensure!(id.is_empty() || id.contains("~new."), "{name} is {id}");
            }
            ensure_tagged(value)
        }),
        _ => Ok(()),
    }
}

/// What each client does with tasks of its own.
const TALKS: &[(Sdk, &str, &str)] = &[
    (Sdk::Python1_0, "jsonrpc", "send,stream,get,cancel,subscribe,push_send,push_set,push_get,push_list,push_delete"),
    (Sdk::Python1_0, "http_json", "send,stream,get,cancel,subscribe,push_send,push_set,push_get,push_list,push_delete"),
    (Sdk::Python0_3, "jsonrpc", "send,stream,get,cancel,subscribe,push_send,push_set,push_get"),
    (Sdk::Python0_3, "http_json", "send,stream,get,cancel,subscribe,push_send,push_set,push_get"),
    (Sdk::Js1_0, "jsonrpc", "send,stream,get,cancel,subscribe,push_send,push_set,push_get,push_list,push_delete"),
    (Sdk::Js1_0, "http_json", "send,stream,get,cancel,subscribe,push_send,push_set,push_get,push_list,push_delete"),
    (Sdk::Js0_3, "jsonrpc", "send,stream,get,cancel,subscribe,push_send,push_set,push_get,push_list,push_delete"),
    (Sdk::Js0_3, "http_json", "send,get,cancel,push_send,push_get"),
];

/// Two people with one client: each gets what is its own, and the other's is not there.
async fn talk(mesh: &Mesh, sdk: Sdk, binding: &str, ops: &str) -> Result<()> {
    let place = Place::standing(mesh).await?;
    let (ann, bob) = (place.token("ann"), place.token("bob"));
    let result = sdk.call(&place.url, Some(&ann), ops, binding).await?;
    ensure!(result["ok"] == true, "{result}");
    for op in ops.split(',') {
        ensure_tagged(&result["results"][op]).with_context(|| format!("{op}: {result}"))?;
    }
    let task = result["results"]["send"]["task"].as_str().context("no task")?;
    let again = sdk.call_about(task, &place.url, Some(&ann), "get", binding).await?;
    ensure!(again["ok"] == true && again["results"]["get"]["task"] == task, "{again}");
    let known = ["get", "cancel", "subscribe"].into_iter().filter(|op| ops.contains(op));
    for op in known {
        for foreign in [task, plain(task)] {
            let refused = sdk.call_about(foreign, &place.url, Some(&bob), op, binding).await?;
            let text = refused.to_string();
            let says = ["TaskNotFound", "Task not found", "TASK_NOT_FOUND", "-32001", "no such task"];
            ensure!(refused["ok"] == false && says.iter().any(|words| text.contains(words)), "{op} of {foreign}: {refused}");
            ensure!(binding == "jsonrpc" || refused["status"] == 404, "{op}: {refused}");
        }
    }
    Ok(())
}

/// A task of ann's that goes on, over one of the four ways.
pub async fn waiting(place: &Place, over: Over) -> Result<(String, String)> {
    let reply = place.send(&over.message("wait", &json!({})), "ann").await?;
    ensure!(reply.is_success(), "{} {}", reply.status, reply.text());
    let (task, context) = task_of(&reply)?;
    ensure!(task.contains("~new.") && context.contains("~new."), "{task} {context}");
    Ok((task, context))
}

async fn hidden(mesh: &Mesh, over: Over) -> Result<()> {
    let place = Place::standing(mesh).await?;
    let (task, context) = waiting(place, over).await?;
    for call in over.about(&task, &context) {
        place.hides(&call, "bob").await?;
    }
    // Its own name for it opens nothing, for anybody; nor does a tag of the other kind.
    for call in over.about(plain(&task), plain(&context)).iter().chain(&over.about(&context, &task)) {
        place.hides(call, "ann").await?;
    }
    let reply = place.send(&over.get(&task), "ann").await?;
    ensure!(reply.is_success() && task_of(&reply)? == (task.clone(), context.clone()), "{} {}", reply.status, reply.text());
    let agent = if over.version == "1.0" { &mesh.agent_1_0 } else { &mesh.agent_0_3 };
    ensure!(agent.saw("~").await? == 0, "a tag reached the agent");
    // In the smallest parts and with trailers it is the same.
    let call = over.get(&task).bearer(&place.token("ann"));
    if over.rpc {
        for trailers in [&[][..], &[("x-checksum", "1")]] {
            let reply = raw::http2(place.envoy.port(), &call, 1, trailers).await?;
            ensure!(reply.is_success() && task_of(&reply)?.0 == task, "{} {}", reply.status, reply.text());
        }
        let long = json!({"contextId": context, "metadata": {"x": "y".repeat(100_000)}});
        let call = over.message("long", &long).bearer(&place.token("ann"));
        let reply = raw::http2(place.envoy.port(), &call, 16_000, &[("x-checksum", "1")]).await?;
        ensure!(reply.is_success() && task_of(&reply)?.1 == context, "{} {}", reply.status, reply.text());
    }
    let reply = place.send(&over.cancel(&task), "ann").await?;
    ensure!(reply.is_success() && task_of(&reply)?.0 == task, "{} {}", reply.status, reply.text());
    Ok(())
}

/// An agent's answer of JSON.
fn answers(value: &Value) -> Answer {
    Answer::new("200 OK", "application/json", value.to_string())
}

pub fn add(suite: &mut Suite) {
    for (sdk, binding, ops) in TALKS {
        suite.add(format!("ownership::{}_over_{binding}", sdk.name()), async move |mesh| talk(mesh, *sdk, binding, ops).await);
    }
    for over in EVERYWHERE {
        let binding = if over.rpc { "jsonrpc" } else { "http_json" };
        let name = format!("ownership::nobody_elses_task_exists_in_{}_over_{binding}", over.version);
        suite.add(name, async move |mesh| hidden(mesh, over).await);
    }
    suite.add("ownership::lists_are_of_ones_own_contexts", async |mesh| {
        let place = Place::standing(mesh).await?;
        let over = EVERYWHERE[0];
        let (task, context) = waiting(place, over).await?;
        let lists = |context: &str| {
            let route = Call::get(format!("{AGENT}/tasks?pageSize=5&contextId={context}")).version("1.0");
            [over.rpc(["ListTasks", ""], json!({"contextId": context})), route]
        };
        for list in lists(&context) {
            let reply = place.send(&list, "ann").await?;
            let body = reply.json();
            let tasks = body.pointer("/result/tasks").or(body.pointer("/tasks")).cloned().unwrap_or_default();
            ensure!(tasks.as_array().is_some_and(|tasks| tasks.len() == 1) && tasks[0]["id"] == json!(task), "{}", reply.text());
            ensure!(tasks[0]["contextId"] == json!(context), "{}", reply.text());
            place.hides(&list, "bob").await?;
        }
        for list in lists("") {
            refusal::check(&place.send(&list, "ann").await?, "context_missing", &form(&list))?;
        }
        Ok(())
    });
    suite.add("ownership::answers_that_cannot_be_trusted_stay_behind", async |mesh| {
        let agent = StandIn::start(answers(&json!({"task": {"id": "t", "contextId": "c"}}))).await?;
        let place = Place::before(mesh, "owned-stand-in", &agent).await?;
        let over = EVERYWHERE[1];
        let (_, context) = task_of(&place.send(&over.message("first", &json!({})), "ann").await?)?;
        // A body has come, so the head of a list can wait for the rest.
        let list = Call::get(format!("{AGENT}/tasks?contextId={context}")).version("1.0");
        let get = over.get(&task_of(&place.send(&over.message("first", &json!({})), "ann").await?)?.0);
        for (call, answer) in [
            (&list, answers(&json!({"tasks": [{"id": "t", "contextId": "c"}, {"id": "other", "contextId": "d"}]}))),
            (&list, answers(&json!({"tasks": [{"id": "other"}]}))),
            (&list, Answer::new("200 OK", "application/json", "<html>")),
            (&get, answers(&json!({"id": "t"})).header("content-encoding", "gzip")),
        ] {
            agent.answer(answer);
            let reply = place.send(call, "ann").await?;
            refusal::check(&reply, "answer_unusable", &Form::Status)?;
            ensure!(!reply.text().contains("other"), "{}", reply.text());
        }
        // What has begun to go on is cut off.
        agent.answer(Answer::new("200 OK", "application/json", r#"{"id":"t","id":"u"}"#));
        let reply = place.send(&get, "ann").await;
        ensure!(reply.as_ref().map_or(true, |reply| !reply.text().contains("\"u\"")), "{reply:?}");
        agent.answer(Answer::new("500 Internal Server Error", "text/plain", "no luck"));
        let reply = place.send(&get, "ann").await?;
        ensure!(reply.status == 500 && reply.text() == "no luck", "{} {}", reply.status, reply.text());
        Ok(())
    });
    suite.add("ownership::events_come_as_they_are_sent", async |mesh| {
        let agent = StandIn::start(answers(&json!({"task": {"id": "t", "contextId": "c"}}))).await?;
        let place = Place::before(mesh, "owned-events", &agent).await?;
        let (task, _) = task_of(&place.send(&EVERYWHERE[1].message("first", &json!({})), "ann").await?)?;
        agent.answer(Answer::events());
        let call = Call::get(format!("{AGENT}/tasks/{task}:subscribe")).version("1.0").bearer(&place.token("ann"));
        for http2 in [false, true] {
            let mut events = EventStream::open(place.envoy.port(), &call, http2).await?;
            let event = |number: u32| format!("data: {{\"statusUpdate\":{{\"n\":{number},\"taskId\":\"t\"}}}}\r\n\r\n");
            // Each is sent when the one before has been read, and the halves of one come apart.
            for number in 0..6 {
                let next = event(number);
                let (first, second) = next.split_at(if number % 2 == 0 { 0 } else { 36 });
                if !first.is_empty() {
                    agent.more(format!(": beat\r\n\r\n{first}"));
                }
                agent.more(second);
                let seen = events.next().await?.context("the stream ended")?;
                ensure!(seen["statusUpdate"] == json!({"n": number, "taskId": task}), "{seen}");
            }
            drop(events);
        }
        Ok(())
    });
    suite.add("ownership::a_task_is_of_its_tenant", async |mesh| {
        let place = Place::standing(mesh).await?;
        let http = EVERYWHERE[1];
        // In a tenant: over HTTP+JSON the path names it, over JSON-RPC a parameter, before or behind the others.
        let within = |tenant: &str, route: &str| if tenant.is_empty() { route.to_owned() } else { format!("/{tenant}{route}") };
        let params = |tenant: &str, first: bool, params: &Value| {
            let (tenant, rest) = (format!("\"tenant\":{}", json!(tenant)), params.to_string());
            let rest = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
            if first { format!("{{{tenant},{rest}}}") } else { format!("{{{rest},{tenant}}}") }
        };
        let call = |method: &str, params: String| {
            let body = format!(r#"{{"jsonrpc":"2.0","id":"o","method":"{method}","params":{params}}}"#);
            Call::post(AGENT, &Value::Null).body(body).version("1.0")
        };
        let about = |tenant: &str, task: &str, context: &str| {
            let id = json!({"id": task});
            let mut message = message_1_0("more");
            message["message"]["contextId"] = json!(context);
            let url = "https://hooks.example.com/x";
            vec![
                http.http(Method::GET, &within(tenant, &format!("/tasks/{task}")), None),
                http.http(Method::GET, &within(tenant, &format!("/tasks?contextId={context}")), None),
                http.http(Method::POST, &within(tenant, "/message:send"), Some(message.clone())),
                call("GetTask", params(tenant, true, &id)),
                call("GetTask", params(tenant, false, &id)),
                call("ListTasks", params(tenant, false, &json!({"contextId": context}))),
                call("SendMessage", params(tenant, true, &message)),
                call("SendMessage", params(tenant, false, &message)),
                call("CreateTaskPushNotificationConfig", params(tenant, false, &json!({"taskId": task, "id": "p", "url": url}))),
            ]
        };
        let begin = |tenant: &str| {
            let mut message = message_1_0("wait");
            message["configuration"] = json!({"returnImmediately": true});
            [
                http.http(Method::POST, &within(tenant, "/message:send"), Some(message.clone())),
                call("SendMessage", params(tenant, true, &message)),
                call("SendMessage", params(tenant, false, &message)),
            ]
        };
        for (own, others) in [("acme", ["bolt", "", "ACME"]), ("", ["acme", "bolt", "tasks1"])] {
            for first in begin(own) {
                let reply = place.send(&first, "ann").await?;
                let (task, context) = task_of(&reply)?;
                ensure!(task.contains("~new.") && task.matches('.').count() == if own.is_empty() { 1 } else { 2 }, "{task}");
                for call in about(own, &task, &context) {
                    let reply = place.send(&call, "ann").await?;
                    ensure!(reply.is_success() && reply.json().get("error").is_none(), "{call:?}: {} {}", reply.status, reply.text());
                    ensure_tagged(&reply.json()).with_context(|| reply.text())?;
                }
                for call in others.iter().flat_map(|other| about(other, &task, &context)) {
                    place.hides(&call, "ann").await?;
                }
                for call in about(own, &task, &context) {
                    place.hides(&call, "bob").await?;
                }
            }
        }
        ensure!(mesh.agent_1_0.saw("~").await? == 0, "a tag reached the agent");
        // In small parts a message goes on before its tenant is there.
        let first = place.send(&begin("acme")[0], "ann").await?;
        let (_, context) = task_of(&first)?;
        let mut message = message_1_0("long");
        message["message"]["contextId"] = json!(context);
        message["message"]["metadata"] = json!({"x": "y".repeat(200_000)});
        for (tenant, found) in [("acme", true), ("bolt", false), ("", false)] {
            let call = call("SendMessage", params(tenant, false, &message)).bearer(&place.token("ann"));
            let reply = raw::http2(place.envoy.port(), &call, 16_000, &[]).await;
            let is_found = reply.as_ref().is_ok_and(|reply| reply.is_success() && reply.json()["result"].is_object());
            ensure!(is_found == found, "{tenant:?}: {reply:?}");
            ensure!(found || reply.map_or(true, |reply| reply.reason().as_deref() == Some("task_not_found")), "{tenant:?}");
        }
        // Two readers must not see two tenants.
        let (task, _) = task_of(&first)?;
        place.hides(&http.http(Method::GET, &format!("/tasks/{task}?tenant=acme"), None), "ann").await?;
        let mut two = message_1_0("two");
        two["tenant"] = json!("bolt");
        let mut old = message_0_3("two");
        old["tenant"] = json!("bolt");
        for call in [
            http.http(Method::GET, &format!("/acme/tasks/{task}?tenant=bolt"), None),
            http.http(Method::POST, "/acme/message:send", Some(two.clone())),
            http.http(Method::POST, "/message:send", Some(two)),
            EVERYWHERE[2].rpc(["", "message/send"], old),
        ] {
            refusal::check(&place.send(&call, "ann").await?, "request_malformed", &form(&call)).with_context(|| format!("{call:?}"))?;
        }
        Ok(())
    });
    suite.add("ownership::keys_rotate", async |mesh| {
        let before = Place::start(mesh, "owned-old", &["old"], |_| Ok(())).await?;
        let during = Place::standing(mesh).await?;
        let after = Place::start(mesh, "owned-new", &["new"], |_| Ok(())).await?;
        for over in EVERYWHERE {
            let first = task_of(&before.send(&over.message("wait", &json!({})), "ann").await?)?.0;
            ensure!(first.contains("~old."), "{first}");
            let second = task_of(&during.send(&over.get(&first), "ann").await?)?.0;
            ensure!(second.contains("~new.") && plain(&first) == plain(&second), "{second}");
            let third = task_of(&after.send(&over.get(&second), "ann").await?)?.0;
            ensure!(third == second, "{third}");
            after.hides(&over.get(&first), "ann").await?;
            before.hides(&over.get(&second), "ann").await?;
            during.hides(&over.get(&first), "bob").await?;
            let reply = after.send(&over.cancel(&third), "ann").await?;
            ensure!(reply.is_success(), "{} {}", reply.status, reply.text());
        }
        Ok(())
    });
    suite.add("ownership::without_holding_headers_it_is_the_same", async |mesh| {
        let place = Place::start(mesh, "owned-not-held", &["new"], |file| {
            file.wasm()?.as_object_mut().map(|config| config.remove("allow_on_headers_stop_iteration"));
            file.edit_plugin(|plugin| plugin["hold_headers"] = json!(false))
        })
        .await?;
        for over in EVERYWHERE {
            let (task, _) = waiting(&place, over).await?;
            let foreign = place.send(&over.get(&task), "bob").await;
            ensure!(foreign.as_ref().map_or(true, |reply| !reply.text().contains("artifacts")), "{foreign:?}");
            let reply = place.send(&over.get(&task), "ann").await?;
            ensure!(reply.is_success() && task_of(&reply)?.0 == task, "{} {}", reply.status, reply.text());
            let reply = place.send(&over.cancel(&task), "ann").await?;
            ensure!(reply.is_success(), "{} {}", reply.status, reply.text());
        }
        Ok(())
    });
    suite.add("ownership::what_waits_for_keys_is_changed_as_well", async |mesh| {
        let keys = mesh.authorization.jwks().await?;
        let stand_in = StandIn::start(Answer::new("200 OK", "application/json", keys.to_string())).await?;
        stand_in.open(false);
        let place = Place::start(mesh, "owned-waiting", &["new"], |file| {
            file.cluster("idp", stand_in.port)?;
            file.edit_plugin(|plugin| {
                let remote = &mut plugin["issuers"][0]["jwks"]["remote"];
                remote["uri"] = json!(format!("http://127.0.0.1:{}/jwks", stand_in.port));
                remote["timeout"] = json!("30s");
            })
        })
        .await?;
        let (over, token, port) = (EVERYWHERE[0], mesh.token().await?, place.envoy.port());
        // Of the same owner as the caller who waits: another Envoy gives the id.
        let other = Place::standing(mesh).await?;
        let made = over.message("wait", &json!({})).bearer(&token).send(other.envoy.port()).await?;
        let (task, _) = task_of(&made)?;
        let call = over.get(&task).bearer(&token);
        let waits = tokio::spawn(async move { call.send(port).await });
        place.envoy.stat_reaches("http.inbound.downstream_rq_active", 1).await?;
        stand_in.open(true);
        let reply = tokio::time::timeout(Duration::from_secs(30), waits).await???;
        ensure!(reply.is_success() && task_of(&reply)?.0 == task, "{} {}", reply.status, reply.text());
        Ok(())
    });
    suite.add("ownership::off_by_default", async |mesh| {
        let over = EVERYWHERE[0];
        let port = mesh.inbound.port();
        let token = mesh.token().await?;
        let (task, context) = task_of(&over.message("shared", &json!({})).bearer(&token).send(port).await?)?;
        ensure!(!task.contains('~') && !context.contains('~'), "{task} {context}");
        let other = mesh.authorization.token_of("guest", &mesh.audience, SCOPES).await?;
        let reply = over.get(&task).bearer(&other).send(port).await?;
        ensure!(reply.is_success() && task_of(&reply)?.0 == task, "{} {}", reply.status, reply.text());
        Ok(())
    });
}

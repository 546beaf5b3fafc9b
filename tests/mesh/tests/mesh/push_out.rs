//! Push configurations that leave: what the official clients send arrives with a token, and the servers of the SDKs send it back with
//! their notifications.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use attache_mesh::connections::{client, connection, outbound, request};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::{Mesh, PARTNER_KEY};
use attache_mesh::peer::{self, Sdk};
use attache_mesh::raw::{self, chunked, dechunk, head};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::wiretap::{Heard, Wiretap};
use attache_mesh::{canary, place, wait};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::grpc::{self, SERVICE_1_0};
use crate::suite::Suite;

/// The URL of notifications.
const HOOK: &str = "https://hooks.example.com/x";
const KEY: &str = "canary-key-of-the-webhook-0123456789";
/// A caller's own key, which must come out nowhere.
const DESK_KEY: &str = "canary-key-of-the-calling-desk";
const DAY: u64 = 24 * 60 * 60;

/// A connection with tokens for notifications, in this version, with these members of `push`.
fn pushing(name: &str, version: &str, more: &Value) -> Value {
    let mut own = connection(name, &json!({"header": {"name": "x-api-key", "value": {"secret": "key"}}}));
    own["version"] = json!(version);
    own["push"] = json!({"url": HOOK, "keys": [{"id": "k1", "secret": "push"}]});
    for (member, value) in more.as_object().into_iter().flatten() {
        own["push"][member] = value.clone();
    }
    own
}

fn file(mesh: &Mesh, connections: &[Value], remote: u16) -> Result<EnvoyFile> {
    let mut file = outbound(mesh, connections, &json!({"key": {"env": "PARTNER_KEY"}, "push": {"env": "PUSH_KEY"}}), &[])?;
    file.cluster("remote", remote)?;
    Ok(file)
}

async fn start(name: &str, file: &EnvoyFile) -> Result<Envoy> {
    Envoy::start(name, file, Options::default().env("PARTNER_KEY", PARTNER_KEY).env("PUSH_KEY", KEY)).await
}

/// The tokens of the filter in `text`, none of which may come out anywhere else.
fn tokens(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_')));
    let found: Vec<_> = words.filter(|word| word.starts_with("k1.") && word.len() > 100).map(str::to_owned).collect();
    found.iter().for_each(|token| canary::keep(token));
    found
}

fn code(parts: &[&[u8]]) -> Result<Vec<u8>> {
    let mut code = Hmac::<Sha256>::new_from_slice(KEY.as_bytes())?;
    parts.iter().for_each(|part| code.update(part));
    Ok(code.finalize().into_bytes().to_vec())
}

/// Whether `token` was made for this connection, now, and for this task.
fn judge(token: &str, connection: &str, task: Option<&str>) -> Result<()> {
    let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("k1.").context("another key")?)?;
    ensure!(bytes.len() == 90, "{token}");
    let (said, mac) = bytes.split_at(58);
    let length = u64::try_from(connection.len())?.to_be_bytes();
    ensure!(mac == code(&[b"attache push token 1\n", &length, connection.as_bytes(), said])?, "{token} is not of {connection}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let expires = u64::from_be_bytes(said[2..10].try_into()?);
    ensure!((now + DAY - 600..=now + DAY).contains(&expires), "{token} expires at {expires}, and it is {now}");
    let digest = match task {
        Some(task) => code(&[b"attache push task 1\n", &said[10..26], task.as_bytes()])?.get(..16).map(<[u8]>::to_vec),
        None => Some(vec![0; 16]),
    };
    ensure!(said[1] == u8::from(task.is_some()) && Some(&said[42..58]) == digest.as_deref(), "{token} is not for task {task:?}");
    Ok(())
}

/// The first notification that holds all of `parts`, whose token is for this connection and task, as the headers of `sdk`'s server have it.
async fn notified(tap: &Wiretap, sdk: Sdk, parts: &[&str], connection: &str, task: Option<&str>) -> Result<()> {
    wait::until("a notification", Duration::from_secs(60), async || {
        let heard = tap.heard().into_iter().find(|heard| {
            let body = String::from_utf8_lossy(&heard.rest).into_owned();
            heard.whole && parts.iter().all(|part| body.contains(part)) && task_fits(heard, connection, task)
        });
        let Some(heard) = heard else { return Ok(None) };
        ensure!(heard.line().starts_with("POST /x HTTP/1.1"), "{}", heard.line());
        let [token, authorization] = ["x-a2a-notification-token", "authorization"].map(|name| heard.header(name));
        let own = tokens(&heard.head);
        let own = own.first().context("no token")?;
        let bearer = format!("Bearer {own}");
        let expected: [&[&str]; 2] = match sdk {
            Sdk::Python1_0 => [&[own], &[&bearer]],
            Sdk::Python0_3 | Sdk::Js0_3 => [&[own], &[]],
            Sdk::Js1_0 => [&[], &[&bearer]],
        };
        ensure!([token.as_slice(), authorization.as_slice()] == expected, "{}", heard.head);
        Ok(Some(()))
    })
    .await
}

fn task_fits(heard: &Heard, connection: &str, task: Option<&str>) -> bool {
    tokens(&heard.head).iter().any(|token| judge(token, connection, task).is_ok())
}

/// Official clients of both versions ask for notifications, inside a message and for a task; the agent's SDK sends the token back.
async fn official_clients(mesh: &Mesh) -> Result<()> {
    for (version, server, clients) in
        [("1.0", Sdk::Python1_0, [Sdk::Python1_0, Sdk::Js1_0]), ("0.3", Sdk::Python0_3, [Sdk::Python0_3, Sdk::Js0_3])]
    {
        let tap = Wiretap::start().await?;
        let url_file = place::logs().join(format!("push-out-url-{version}"));
        std::fs::write(&url_file, "")?;
        let agent = peer::agent_notifying_at(server, tap.port, Some(&url_file)).await?;
        let mut own = pushing("own", version, &json!({}));
        own["match"]["hosts"] = json!(["127.0.0.1:*"]);
        let envoy = start("push-out-sdk", &file(mesh, &[own], agent.port)?).await?;
        let url = format!("http://127.0.0.1:{}", envoy.port());
        std::fs::write(&url_file, &url)?;
        for (sdk, binding) in clients.into_iter().flat_map(|sdk| [(sdk, "jsonrpc"), (sdk, "http_json")]) {
            // What this client sends there to set one, no server reads.
            let ops = if (sdk, binding) == (Sdk::Js0_3, "http_json") { "push_send" } else { "push_send,push_set" };
            let result = sdk.call_hooked(&json!({"url": HOOK}), &url, ops, binding).await?;
            ensure!(result["ok"] == true, "{} {binding}: {result}", sdk.name());
            let task = result["results"]["push_send"]["task"].as_str().context("no task")?;
            if let Some(set) = result["results"].get("push_set") {
                let own = tokens(&set.to_string());
                ensure!(own.len() == 2 && own[0] == own[1], "{} {binding}: {set}", sdk.name());
                judge(&own[0], "own", Some(task)).with_context(|| format!("{} {binding}", sdk.name()))?;
            }
            notified(&tap, server, &[task], "own", None).await.with_context(|| format!("{} {binding}", sdk.name()))?;
            tap.forget();
            // A token of the agent's own stays, and what leads elsewhere does not leave.
            let mine = json!({"url": HOOK, "token": "for-the-hook"});
            let result = sdk.call_hooked(&mine, &url, "push_send", binding).await?;
            ensure!(result["ok"] == true, "{} {binding}: {result}", sdk.name());
            let task = result["results"]["push_send"]["task"].as_str().context("no task")?;
            let heard = wait::until("its notification", Duration::from_secs(60), async || {
                Ok(tap.heard().into_iter().find(|heard| heard.whole && String::from_utf8_lossy(&heard.rest).contains(task)))
            })
            .await?;
            ensure!(heard.header("x-a2a-notification-token") == ["for-the-hook"], "{}", heard.head);
            tap.forget();
            let elsewhere = json!({"url": "https://hooks.example.com/y"});
            let result = sdk.call_hooked(&elsewhere, &url, "push_send", binding).await?;
            ensure!(result["ok"] == false && result.to_string().contains("come to one place"), "{} {binding}: {result}", sdk.name());
        }
        envoy.logged(&["attache: audit ", "\"connection\":\"own\"", "\"push\":\"token\"", "\"decision\":\"allow\""]).await?;
        envoy.logged(&["attache: audit ", "\"reason\":\"push_target_refused\""]).await?;
    }
    Ok(())
}

async fn asked(envoy: &Envoy, method: &str, params: Value) -> Result<Value> {
    let call = Call::post("/", &rpc(json!(1), method, params)).host("own.example.com");
    let reply = call.send(envoy.port()).await?;
    let answer = reply.json();
    ensure!(reply.status == 200 && answer.get("result").is_some(), "{method}: {} {}", reply.status, reply.text());
    Ok(answer["result"].clone())
}

/// A configuration that is set for a task that still works comes back with a token for that task.
async fn of_a_task(mesh: &Mesh) -> Result<()> {
    for (version, server) in [("1.0", Sdk::Python1_0), ("0.3", Sdk::Python0_3)] {
        let tap = Wiretap::start().await?;
        let agent = peer::agent_notifying(server, tap.port).await?;
        let envoy = start("push-out-task", &file(mesh, &[pushing("own", version, &json!({}))], agent.port)?).await?;
        let is_new = version == "1.0";
        let (mut params, send) = if is_new { (message_1_0("wait"), "SendMessage") } else { (message_0_3("wait"), "message/send") };
        params["configuration"] = if is_new { json!({"returnImmediately": true}) } else { json!({"blocking": false}) };
        let sent = asked(&envoy, send, params).await?;
        let task = if is_new { &sent["task"]["id"] } else { &sent["id"] }.as_str().context("no task")?.to_owned();
        let (method, params, cancel) = match is_new {
            true => ("CreateTaskPushNotificationConfig", json!({"taskId": task, "id": "c", "url": HOOK}), "CancelTask"),
            false => {
                let params = json!({"taskId": task, "pushNotificationConfig": {"id": "c", "url": HOOK}});
                ("tasks/pushNotificationConfig/set", params, "tasks/cancel")
            }
        };
        let set = asked(&envoy, method, params).await?;
        for token in tokens(&set.to_string()) {
            judge(&token, "own", Some(&task))?;
        }
        notified(&tap, server, &[&task], "own", Some(&task)).await?;
        asked(&envoy, cancel, json!({"id": task})).await?;
    }
    Ok(())
}

/// The server of the JavaScript SDK of 1.0 sends the one or the other.
async fn to_javascript(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let agent = peer::agent_notifying(Sdk::Js1_0, tap.port).await?;
    let mut own = pushing("own", "1.0", &json!({}));
    own["match"]["path_prefix"] = json!("/a2a/jsonrpc");
    let envoy = start("push-out-js", &file(mesh, &[own], agent.port)?).await?;
    let mut params = message_1_0("js");
    params["configuration"] = json!({"taskPushNotificationConfig": {"url": HOOK}});
    let call = Call::post("/a2a/jsonrpc", &rpc(json!(1), "SendMessage", params)).host("own.example.com");
    let reply = call.send(envoy.port()).await?;
    let task = reply.json()["result"]["task"]["id"].as_str().with_context(|| reply.text())?.to_owned();
    notified(&tap, Sdk::Js1_0, &[&task], "own", None).await
}

/// All the way: a call leaves with a token, the remote agent's SDK posts notifications with it, and our webhook lets them through, told
/// whose they are. Without the token, or with another connection's, nothing gets through.
async fn there_and_back(mesh: &Mesh) -> Result<()> {
    canary::keep(DESK_KEY);
    let receiver = Wiretap::start().await?;
    let mut webhooks = mesh.inbound_file()?;
    webhooks.cluster("expense_v1_0", receiver.port)?;
    webhooks.http_manager()?["route_config"]["virtual_hosts"][0]["routes"] =
        json!([{"match": {"prefix": "/"}, "route": {"cluster": "expense_v1_0"}}]);
    webhooks.edit_plugin(|plugin| {
        *plugin = json!({
            "webhooks": [{"name": "events", "match": {"hosts": ["hooks.example.com"], "ports": "ignore", "path_prefix": "/x"},
                          "token": {"keys": [{"id": "k1", "secret": "push"}], "connections": ["own"]}}],
            "allow_inline_secrets": true,
            "secrets": {"push": {"inline": KEY}},
        });
    })?;
    let webhooks = Envoy::start("push-out-webhooks", &webhooks, Options::default()).await?;
    for (version, server) in [("1.0", Sdk::Python1_0), ("0.3", Sdk::Python0_3), ("1.0", Sdk::Js1_0)] {
        let agent = peer::agent_notifying(server, webhooks.port()).await?;
        let path = if server == Sdk::Js1_0 { "/a2a/jsonrpc" } else { "/" };
        let desk = json!({"name": "x-desk", "in": "header", "keys": [{"id": "desk", "sha256": hex(&Sha256::digest(DESK_KEY))}]});
        let mut connections = [pushing("own", version, &json!({})), pushing("other", version, &json!({}))];
        for connection in &mut connections {
            connection["match"]["path_prefix"] = json!(path);
            connection["security"] = json!([{"desk": []}]);
        }
        let mut file = file(mesh, &connections, agent.port)?;
        file.edit_plugin(|plugin| plugin["schemes"] = json!({"desk": {"api_key": desk}}))?;
        let envoy = start("push-out-there", &file).await?;
        let (mut params, method, member) = match version {
            "1.0" => (message_1_0("back"), "SendMessage", "taskPushNotificationConfig"),
            _ => (message_0_3("back"), "message/send", "pushNotificationConfig"),
        };
        params["configuration"] = json!({member: {"url": format!("{HOOK}/of/partner")}});
        let mut tasks = Vec::new();
        for host in ["other", "own"] {
            let call = Call::post(path, &rpc(json!(1), method, params.clone())).host(&format!("{host}.example.com"));
            let reply = call.header("x-desk", DESK_KEY).send(envoy.port()).await?;
            let answer = reply.json();
            let task = answer["result"].pointer("/task/id").or_else(|| answer["result"].get("id")).and_then(Value::as_str);
            tasks.push(task.with_context(|| reply.text())?.to_owned());
        }
        let arrived = wait::until("a notification", Duration::from_secs(60), async || {
            let is_ours = |heard: &Heard| heard.whole && String::from_utf8_lossy(&heard.rest).contains(&tasks[1]);
            Ok(receiver.heard().into_iter().find(is_ours))
        })
        .await?;
        let told = arrived.header("x-attache");
        let begin = format!("webhook=\"events\", version=\"{version}\", connection=\"own\", caller=\"");
        ensure!(told.len() == 1 && told[0].starts_with(&begin), "{}: {told:?}", server.name());
        ensure!(tokens(&arrived.head).is_empty(), "{}: the token went on: {}", server.name(), arrived.head);
        webhooks.refusal_logged(0, "push_token_refused").await?;
        let strays = receiver.heard().iter().filter(|heard| String::from_utf8_lossy(&heard.rest).contains(&tasks[0])).count();
        ensure!(strays == 0, "{}: {strays} of another connection", server.name());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request with this configuration.
fn with(config: &Value) -> Value {
    let mut params = message_1_0("p");
    params["configuration"] = json!({"taskPushNotificationConfig": config});
    rpc(json!("p"), "SendMessage", params)
}

/// The body of the one request that the remote agent heard.
fn only(tap: &Wiretap) -> Result<Vec<u8>> {
    let heard = tap.heard();
    let [one] = heard.as_slice() else { anyhow::bail!("not one request: {heard:?}") };
    tap.forget();
    ensure!(one.whole && one.header("x-api-key") == [PARTNER_KEY], "{one:?}");
    if one.header("transfer-encoding").is_empty() {
        ensure!(one.header("content-length") == [one.rest.len().to_string()], "{one:?}");
        return Ok(one.rest.clone());
    }
    ensure!(one.header("content-length").is_empty(), "{one:?}");
    Ok(dechunk(&one.rest)?.context("no last chunk")?.to_vec())
}

/// How many ways there are in which a body can come.
const WAYS: usize = 9;

/// `body` in one of these ways.
async fn send(envoy: &Envoy, body: &[u8], way: usize) -> Result<Reply> {
    let call = Call::post("/", &Value::Null).body(body.to_vec()).host("own.example.com");
    let plain: &[(&str, &[u8])] = &[("host", b"own.example.com"), ("content-type", b"application/json")];
    let length = body.len().to_string();
    let with_length = head("POST /", &[plain, &[("content-length", length.as_bytes())]].concat());
    let in_chunks = head("POST /", &[plain, &[("transfer-encoding", b"chunked")]].concat());
    // Some hundred pieces at least.
    let size = if way.is_multiple_of(2) { body.len().div_ceil(300) } else { 4096 };
    match way / 2 {
        0 => raw::http1(envoy.port(), &[vec![with_length], body.chunks(size).map(<[u8]>::to_vec).collect()].concat()).await,
        1 => raw::http1(envoy.port(), &[vec![in_chunks], chunked(body, size, &[])].concat()).await,
        2 => raw::http2(envoy.port(), &call, size, &[]).await,
        3 => raw::http2(envoy.port(), &call, size, &[("x-checksum", "1")]).await,
        _ => call.send(envoy.port()).await,
    }
}

/// However a body comes, it is held until it is whole, and goes on with its token and the length that it has then, or byte for byte.
async fn bytes(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let envoy = start("push-out-bytes", &file(mesh, &[pushing("own", "1.0", &json!({}))], tap.port)?).await?;
    for text in ["short".to_owned(), "long".repeat(60_000)] {
        let body = format!(
            r#" {{"jsonrpc":"2.0","params":{{"configuration" : {{"taskPushNotificationConfig":{{"url":"{HOOK}", "id":"c" }} }},"message":
            {{"messageId":"m","role":"ROLE_USER","parts":[{{"text":"{text}"}}]}} }},"method":"SendMessage","id":7}} "#
        );
        // One at a time, so that each is told apart.
        for way in 0..WAYS {
            let reply = send(&envoy, body.as_bytes(), way).await?;
            ensure!(reply.status == 200, "way {way}: {} {}", reply.status, reply.text());
            let arrived = String::from_utf8(only(&tap)?)?;
            let own = tokens(&arrived);
            ensure!(own.len() == 2 && own[0] == own[1], "way {way}: {} tokens", own.len());
            judge(&own[0], "own", None)?;
            let members = format!(r#","token":"{0}","authentication":{{"scheme":"Bearer","credentials":"{0}"}}"#, own[0]);
            ensure!(arrived.replace(&members, "") == body, "way {way}: something else changed");
        }
        let plain = body.replace("taskPushNotificationConfig", "other");
        for way in 0..WAYS {
            let reply = send(&envoy, plain.as_bytes(), way).await?;
            ensure!(reply.status == 200, "way {way}: {} {}", reply.status, reply.text());
            ensure!(only(&tap)? == plain.as_bytes(), "way {way}: something changed");
        }
    }
    Ok(())
}

/// A body waits for the connection's credential, which has to be fetched, and goes on with the push token in it.
async fn after_a_fetch(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let client = client(&mesh.authorization, "caller", &json!({"client_secret_post": {"secret": "caller"}}));
    let mut own = pushing("own", "1.0", &json!({}));
    own["credential"] = json!({"client_credentials": {"client": client, "request": request()}});
    let secrets = json!({"caller": {"env": "CALLER"}, "push": {"env": "PUSH_KEY"}});
    // Each Envoy has to fetch it anew.
    for way in [2, 6, 8] {
        let mut file = outbound(mesh, std::slice::from_ref(&own), &secrets, &[])?;
        file.cluster("remote", tap.port)?;
        let options = Options::default().env("CALLER", "caller-secret").env("PUSH_KEY", KEY);
        let envoy = Envoy::start("push-out-fetch", &file, options).await?;
        let body = with(&json!({"url": HOOK})).to_string();
        let reply = send(&envoy, body.as_bytes(), way).await?;
        ensure!(reply.status == 200, "way {way}: {} {}", reply.status, reply.text());
        let heard = tap.heard();
        let [one] = heard.as_slice() else { anyhow::bail!("way {way}: not one request: {heard:?}") };
        ensure!(one.header("authorization").len() == 1, "way {way}: {one:?}");
        let own = tokens(&String::from_utf8_lossy(&one.rest));
        ensure!(own.len() == 2 || !one.header("transfer-encoding").is_empty(), "way {way}: {one:?}");
        own.iter().try_for_each(|token| judge(token, "own", None))?;
        tap.forget();
    }
    Ok(())
}

/// The same where the filter stands in the cluster that leads to the remote agent.
async fn in_the_cluster(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let mut file = EnvoyFile::load("outbound-cluster.yaml")?;
    file.cluster("partner", tap.port)?;
    file.cluster("idp", mesh.authorization.port)?;
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["PARTNER_KEY", "PUSH_KEY"]});
    file.edit_plugin(|plugin| {
        let own = pushing("own", "1.0", &json!({}));
        plugin["connections"][0]["credential"] = own["credential"].clone();
        plugin["connections"][0]["push"] = own["push"].clone();
        plugin["secrets"] = json!({"key": {"env": "PARTNER_KEY"}, "push": {"env": "PUSH_KEY"}});
    })?;
    let envoy = start("push-out-cluster", &file).await?;
    let name = file.plugin()?["connections"][0]["name"].as_str().context("a connection")?.to_owned();
    let call = Call::post("/", &with(&json!({"url": HOOK}))).host(&format!("{name}.example.com"));
    for in_pieces in [false, true] {
        let reply = if in_pieces { raw::http2(envoy.port(), &call, 50, &[]).await? } else { call.send(envoy.port()).await? };
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        let own = tokens(&String::from_utf8(only(&tap)?)?);
        ensure!(own.len() == 2, "{own:?}");
        judge(&own[0], &name, None)?;
    }
    Ok(())
}

/// A call that Envoy sends once more, after a redirect of the remote agent, has the token in it already, and gets another.
async fn redirected(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let away = Answer::new("307 Temporary Redirect", "text/plain", "").header("location", "http://own.example.com/?moved=1");
    let remote = StandIn::start(away).await?;
    let mut own = pushing("own", "1.0", &json!({}));
    own["pin"] = json!({"clusters": ["remote", "moved"]});
    let secrets = json!({"key": {"env": "PARTNER_KEY"}, "push": {"env": "PUSH_KEY"}});
    let mut file = outbound(mesh, &[own], &secrets, &[("moved", tap.port)])?;
    file.cluster("remote", remote.port)?;
    let policy = json!({"max_internal_redirects": 1, "allow_cross_scheme_redirect": true, "redirect_response_codes": [307]});
    let is_moved = json!([{"name": "moved", "present_match": true}]);
    file.http_manager()?["route_config"]["virtual_hosts"] = json!([{"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/", "query_parameters": is_moved}, "route": {"cluster": "moved"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "remote", "internal_redirect_policy": policy}},
    ]}]);
    let envoy = start("push-out-redirected", &file).await?;
    let call = Call::post("/", &with(&json!({"url": HOOK}))).host("own.example.com");
    let reply = call.send(envoy.port()).await?;
    ensure!(reply.status == 200 && remote.whole() == 1, "{} {}", reply.status, reply.text());
    let own = tokens(&String::from_utf8(only(&tap)?)?);
    ensure!(own.len() == 2 && own[0] == own[1], "{own:?}");
    judge(&own[0], "own", None)
}

/// What is refused, and that nothing of it leaves.
async fn refused(mesh: &Mesh) -> Result<()> {
    let tap = Wiretap::start().await?;
    let connections = [pushing("own", "1.0", &json!({})), pushing("loose", "1.0", &json!({"others": "pass", "max_body_bytes": 2000}))];
    let envoy = start("push-out-refused", &file(mesh, &connections, tap.port)?).await?;
    let both = json!({"url": HOOK, "token": "mine", "authentication": {"scheme": "Bearer", "credentials": "mine"}});
    let mut two = with(&json!({"url": HOOK}));
    two["params"]["configuration"]["pushNotificationConfig"] = json!({"url": "https://other.example.com/"});
    let mut long = with(&json!({"url": HOOK}));
    long["params"]["message"]["parts"][0]["text"] = json!("x".repeat(3000));
    for (host, body, reason) in [
        ("own", with(&both).to_string(), "push_credential_taken"),
        ("own", with(&json!({"url": "https://other.example.com/x"})).to_string(), "push_target_refused"),
        ("own", with(&json!({"url": format!("{HOOK}/../y")})).to_string(), "push_target_refused"),
        ("own", with(&json!({"id": "no-url"})).to_string(), "push_target_refused"),
        ("own", two.to_string(), "request_malformed"),
        ("loose", two.to_string(), "request_malformed"),
        ("loose", long.to_string(), "body_too_large"),
    ] {
        let call = Call::post("/", &Value::Null).body(body).host(&format!("{host}.example.com"));
        for reply in [call.send(envoy.port()).await?, raw::http2(envoy.port(), &call, 9, &[]).await?] {
            refusal::check(&reply, reason, &Form::Rpc(json!("p"))).with_context(|| format!("{host} {reason}"))?;
        }
    }
    let rest = |path: &str, body: &Value| Call::post(path, body).host("own.example.com");
    let other = json!({"taskId": "t-2", "url": HOOK});
    refusal::check(&rest("/tasks/t-1/pushNotificationConfigs", &other).send(envoy.port()).await?, "request_malformed", &Form::Status)?;
    let packed = rest("/message:send", &json!({})).header("content-encoding", "gzip");
    refusal::check(&packed.send(envoy.port()).await?, "encoding_refused", &Form::Status)?;
    let create = grpc::call(format!("{SERVICE_1_0}/CreateTaskPushNotificationConfig")).host("own.example.com");
    grpc::refused(&envoy, &create, 3, "push_target_refused").await?;
    ensure!(tap.heard().is_empty(), "some of it left: {:?}", tap.heard());
    // Where others pass, they leave as they came.
    let body = with(&json!({"url": "https://other.example.com/x"})).to_string();
    let call = Call::post("/", &Value::Null).body(body.clone()).host("loose.example.com");
    ensure!(call.send(envoy.port()).await?.status == 200 && only(&tap)? == body.as_bytes(), "another target passes");
    envoy.refusal_logged(0, "push_credential_taken").await?;
    Ok(())
}

/// Over gRPC the agent's SDK reads the token that is in the message now.
async fn over_grpc(mesh: &Mesh) -> Result<()> {
    for (version, sdk, agent) in [("1.0", Sdk::Python1_0, &mesh.agent_1_0), ("0.3", Sdk::Js0_3, &mesh.agent_0_3)] {
        let mut own = pushing("own", version, &json!({}));
        own["match"]["hosts"] = json!(["127.0.0.1:*"]);
        let mut file = file(mesh, &[own], agent.grpc_port.context("the agent speaks no gRPC")?)?;
        let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("clusters")?;
        let remote = clusters.iter_mut().find(|cluster| cluster["name"] == "remote").context("remote")?;
        remote["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}});
        let envoy = start("push-out-grpc", &file).await?;
        let place = format!("127.0.0.1:{}", envoy.port());
        let result = sdk.call_hooked(&json!({"url": HOOK}), &place, "push_send,push_get,push_set", "grpc").await?;
        ensure!(result["ok"] == true, "{version}: {result}");
        let task = result["results"]["push_send"]["task"].as_str().context("no task")?;
        for (op, task) in [("push_get", None), ("push_set", Some(task))] {
            let own = tokens(&result["results"][op].to_string());
            ensure!(own.len() == 2 && own[0] == own[1], "{version} {op}: {result}");
            judge(&own[0], "own", task).with_context(|| format!("{version} {op}"))?;
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("push_out::official_clients_and_servers_carry_the_token", official_clients);
    suite.add("push_out::a_configuration_of_a_task_has_a_token_for_that", of_a_task);
    suite.add("push_out::the_server_in_javascript_sends_it_as_authorization", to_javascript);
    suite.add("push_out::the_token_comes_back_to_the_webhook", there_and_back);
    suite.add("push_out::bodies_in_every_form_go_on_with_the_token_or_as_they_came", bytes);
    suite.add("push_out::a_body_waits_for_the_credential", after_a_fetch);
    suite.add("push_out::a_call_that_is_redirected_gets_another_token", redirected);
    suite.add("push_out::in_the_cluster_the_token_gets_in", in_the_cluster);
    suite.add("push_out::what_gets_no_token_does_not_leave", refused);
    suite.add("push_out::messages_of_grpc_carry_the_token", over_grpc);
}

//! Notifications of agents of this side: posted by the SDKs, signed on the way, and verified by a receiver that has the published keys.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::{self, Agent, Sdk};
use attache_mesh::port::Reserved;
use attache_mesh::refusal::{self, Form};
use attache_mesh::tls::Authority;
use attache_mesh::wait;
use attache_mesh::wiretap::Wiretap;
use hyper::Method;
use serde_json::{Value, json};

use crate::suite::Suite;

const ISSUER: &str = "https://agents.example.com";

/// Keys for a signer, and where notifications go.
struct Place {
    receiver: Agent,
    keys: Value,
}

impl Place {
    async fn new() -> Result<Self> {
        let receiver = peer::receiver().await?;
        let keys = Call::get("/control/keys").send(receiver.port).await?.json();
        Ok(Self { receiver, keys })
    }

    fn jwk(&self, algorithm: &str) -> &Value {
        &self.keys[algorithm]["jwk"]
    }

    /// `envoy/notifications.yaml` for receivers on this machine, which speak no TLS and have no public address.
    fn file(&self, algorithm: &str) -> Result<EnvoyFile> {
        let mut file = EnvoyFile::load("notifications.yaml")?;
        let filters = file.http_manager()?["http_filters"].as_array_mut().context("no http_filters")?;
        filters.retain(|filter| filter["name"] != "envoy.filters.http.rbac");
        in_the_clear(&mut file)?;
        let (port, keys) = (self.receiver.port, [self.jwk("RS256"), self.jwk("ES256")]);
        file.edit_plugin(|plugin| {
            let connection = &mut plugin["connections"][0];
            connection["notifications"] =
                json!({"targets": {"schemes": ["http"], "ports": [port], "private_addresses": true}, "max_body_bytes": 5000});
            connection["credential"]["signed_jwt"]["algorithm"] = json!(algorithm);
            connection["credential"]["signed_jwt"]["key_id"] = json!(algorithm);
            plugin["published_keys"] = json!({"at": {"hosts": ["127.0.0.1"]}, "jwks": {"inline": {"keys": keys}}});
        })?;
        Ok(file)
    }

    fn options(&self, algorithm: &str) -> Result<Options> {
        Ok(Options::default().own().env("NOTIFY_KEY", self.keys[algorithm]["pem"].as_str().context("no key")?))
    }

    /// An Envoy that signs by `algorithm`, whose keys the receiver knows.
    async fn envoy(&self, name: &str, algorithm: &str, workers: u32) -> Result<Envoy> {
        let envoy = Envoy::start(name, &self.file(algorithm)?, self.options(algorithm)?.workers(workers)).await?;
        let jwks = format!("http://127.0.0.1:{}/.well-known/jwks.json", envoy.port());
        Call::post("/control/trust", &json!({"issuer": ISSUER, "jwks_uri": jwks})).send(self.receiver.port).await?;
        Ok(envoy)
    }

    fn host(&self) -> String {
        format!("127.0.0.1:{}", self.receiver.port)
    }

    /// A notification about a task of 1.0, as an agent posts it.
    fn post(&self, path: &str, task: &str) -> Call {
        Call::post(path, &json!({"task": {"id": task, "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}})).host(&self.host())
    }

    /// What came to a path that begins so.
    async fn came(&self, path: &str) -> Result<Vec<Value>> {
        let told = Call::get("/control/notifications").send(self.receiver.port).await?.json();
        let all = told["notifications"].as_array().cloned().context("no notifications")?;
        Ok(all.into_iter().filter(|one| one["path"].as_str().is_some_and(|came| came.starts_with(path))).collect())
    }

    /// Has the agent of `sdk` do a task, with notifications to `path`; gives them all, once the last has come.
    async fn notified(&self, sdk: Sdk, agent: &Agent, path: &str, credentials: &Value) -> Result<Vec<Value>> {
        let url = format!("http://{}{path}", self.host());
        let mut hook = json!({ "url": url });
        for (name, value) in credentials.as_object().into_iter().flatten() {
            hook[name] = value.clone();
        }
        let (method, endpoint, member) = match (sdk, sdk.version()) {
            (Sdk::Js1_0, _) => ("SendMessage", "/a2a/jsonrpc", "taskPushNotificationConfig"),
            (_, "1.0") => ("SendMessage", "/", "taskPushNotificationConfig"),
            _ => ("message/send", "/", "pushNotificationConfig"),
        };
        let mut params = if sdk.version() == "1.0" { message_1_0(path) } else { message_0_3(path) };
        params["configuration"] = json!({ member: hook });
        let reply = Call::post(endpoint, &rpc(json!(path), method, params)).version(sdk.version()).send(agent.port).await?;
        ensure!(reply.json().get("result").is_some(), "{}: {}", sdk.name(), reply.text());
        wait::until("the last notification", Duration::from_secs(30), async || {
            let came = self.came(path).await?;
            Ok(came.iter().any(|one| one["body"].to_string().to_lowercase().contains("completed")).then_some(came))
        })
        .await
        .with_context(|| format!("{}: {}", sdk.name(), agent.process.tail()))
    }
}

/// Envoy believes the certificates of this authority, and no others.
fn trust(file: &mut EnvoyFile, authority: &Authority) -> Result<()> {
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    let webhooks = clusters.iter_mut().find(|cluster| cluster["name"] == "webhooks").context("no cluster webhooks")?;
    webhooks["transport_socket"] = tls_of_the_file()?;
    let validation = &mut webhooks["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"];
    ensure!(validation["trusted_ca"]["filename"].is_string(), "{validation}");
    validation["trusted_ca"]["filename"] = json!(authority.file()?);
    Ok(())
}

/// How `envoy/notifications.yaml` speaks TLS.
fn tls_of_the_file() -> Result<Value> {
    let file = EnvoyFile::load("notifications.yaml")?;
    let clusters = file.value()["static_resources"]["clusters"].as_array().context("no clusters")?;
    let webhooks = clusters.iter().find(|cluster| cluster["name"] == "webhooks").context("no cluster webhooks")?;
    Ok(webhooks["transport_socket"].clone())
}

/// Envoy speaks plain HTTP to receivers.
fn in_the_clear(file: &mut EnvoyFile) -> Result<()> {
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    let webhooks = clusters.iter_mut().find(|cluster| cluster["name"] == "webhooks").and_then(Value::as_object_mut);
    let webhooks = webhooks.context("no cluster webhooks")?;
    webhooks.remove("transport_socket").context("webhooks has no TLS")?;
    Ok(())
}

const SENDERS: [Sdk; 3] = [Sdk::Python1_0, Sdk::Js1_0, Sdk::Python0_3];

async fn sdks() -> Result<()> {
    let place = Place::new().await?;
    let envoy = place.envoy("notifying-sdks", "ES256", 1).await?;
    let mut serials = BTreeSet::new();
    for sdk in SENDERS {
        let agent = peer::agent_notifying(sdk, envoy.port()).await?;
        let name = sdk.name();
        // Nothing is asked for: the token is ours, and the receiver has verified it.
        let plain = place.notified(sdk, &agent, &format!("/{name}/plain?code=a%2Fb"), &json!({})).await?;
        for one in &plain {
            let claims = &one["token"]["claims"];
            ensure!(claims["iss"] == ISSUER && claims["sub"] == ISSUER, "{name}: {one}");
            ensure!(claims["exp"].as_u64().zip(claims["iat"].as_u64()).is_some_and(|(exp, iat)| exp == iat + 300), "{name}: {one}");
            ensure!(one["token"]["header"] == json!({"alg": "ES256", "kid": "ES256", "typ": "JWT"}), "{name}: {one}");
            ensure!(serials.insert(claims["jti"].to_string()), "{name}: {one}");
            ensure!(one["path"] == format!("/{name}/plain?code=a%2Fb"), "{name}: the URL is as the caller named it: {one}");
        }
        let is_1_0 = plain.iter().all(|one| one["body"].get("kind").is_none());
        ensure!(is_1_0 == (sdk.version() == "1.0"), "{name}: {plain:?}");
        // A token is asked for: it goes beside ours.
        let with_token = place.notified(sdk, &agent, &format!("/{name}/token"), &json!({"token": "n-token"})).await?;
        for one in &with_token {
            ensure!(one["headers"]["x-a2a-notification-token"] == "n-token" && one["token"]["claims"]["aud"].is_string(), "{name}: {one}");
        }
        // A credential is asked for. The SDK of 0.3 does not send it.
        let authentication = json!({"scheme": "Bearer", "schemes": ["Bearer"], "credentials": "asked-by-caller"});
        let asked = place.notified(sdk, &agent, &format!("/{name}/asked"), &json!({"authentication": authentication})).await?;
        for one in &asked {
            if sdk.version() == "1.0" {
                ensure!(one["headers"]["authorization"] == "Bearer asked-by-caller" && one["token"].is_null(), "{name}: {one}");
            } else {
                ensure!(one["token"]["claims"]["aud"].is_string(), "{name}: {one}");
            }
        }
    }
    envoy.logged(&["attache: audit ", "\"connection\":\"webhooks\"", "\"method\":\"signed_jwt\"", "\"version\":\"0.3\""]).await?;
    envoy.logged(&["attache: audit ", "\"method\":\"asked\"", "\"from\":\"agent\""]).await?;
    envoy.stat_reaches("attache_credentials.connection=.=webhooks;.;method=.=signed_jwt;.;from=.=signed", 6).await?;
    ensure!(!envoy.log().contains("PRIVATE KEY") && !envoy.log().contains("eyJ"), "a secret in the log");
    Ok(())
}

/// No `jti` twice, in two workers that sign at once; RSA works as well.
async fn workers() -> Result<()> {
    let place = Place::new().await?;
    let envoy = place.envoy("notifying-workers", "RS256", 2).await?;
    let port = envoy.port();
    let calls: Vec<_> = (0..60)
        .map(|_| {
            let call = place.post("/workers", "one");
            tokio::spawn(async move { call.send(port).await })
        })
        .collect();
    for call in calls {
        let reply = call.await??;
        ensure!(reply.status == 204, "{} {}", reply.status, reply.text());
    }
    let came = place.came("/workers").await?;
    let serials: BTreeSet<String> = came.iter().map(|one| one["token"]["claims"]["jti"].to_string()).collect();
    ensure!(came.len() == 60 && serials.len() == 60, "{} notifications, {} serials", came.len(), serials.len());
    ensure!(came.iter().all(|one| one["token"]["header"]["alg"] == "RS256"), "{came:?}");
    Ok(())
}

async fn refusals() -> Result<()> {
    let place = Place::new().await?;
    let envoy = place.envoy("notifying-refusals", "ES256", 1).await?;
    let (port, host) = (envoy.port(), place.host());
    let json = |body: &str| place.post("/never", "t").body(body.to_owned());
    let long = json!({"task": {"id": "t", "contextId": "x".repeat(6000)}}).to_string();
    for (call, reason) in [
        (json(r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{}}"#), "notification_malformed"),
        (json(r#"{"task":{"id":"t"},"message":{"taskId":"t"}}"#), "notification_malformed"),
        (json(r#"{"task":{"id":"t"}"#), "body_malformed"),
        (json(&long), "body_too_large"),
        (Call::new(Method::POST, "/never").host(&host).header("content-type", "text/plain").body("{}"), "media_type_refused"),
        (place.post("/never", "t").header("content-encoding", "gzip"), "encoding_refused"),
        (Call::get("/never").host(&host), "method_refused"),
        (Call::new(Method::DELETE, "/never").host(&host), "method_refused"),
        (Call::post("/never", &json!({"task": {"id": "t"}})).host("169.254.169.254"), "push_target_refused"),
        (Call::post("/never", &json!({"task": {"id": "t"}})).host("127.0.0.1:1"), "push_target_refused"),
    ] {
        let reply = call.send(port).await?;
        refusal::check(&reply, reason, &Form::Status).with_context(|| format!("{call:?}"))?;
    }
    ensure!(place.came("/never").await?.is_empty(), "nothing of them left");
    // What the receiver says of a credential is told to the operator.
    let reply = place.post("/refused?answer=403", "t").send(port).await?;
    ensure!(reply.status == 403, "{}", reply.text());
    envoy.logged(&["connection \"webhooks\": the receiver answered 403 to the credential (signed_jwt)"]).await?;
    // The keys are there for everybody, and for reading only.
    let keys = Call::get("/.well-known/jwks.json").send(port).await?;
    ensure!(keys.json()["keys"] == json!([place.jwk("RS256"), place.jwk("ES256")]), "{}", keys.text());
    ensure!(keys.header("content-type") == Some("application/jwk-set+json"), "{:?}", keys.headers);
    ensure!(keys.header("cache-control") == Some("public, max-age=300"), "{:?}", keys.headers);
    let head = Call::new(Method::HEAD, "/.well-known/jwks.json").send(port).await?;
    ensure!(head.status == 200 && head.body.is_empty(), "{head:?}");
    Ok(())
}

/// The file as it is: what resolves to an address of the own network gets nothing, whatever its name.
async fn own_network() -> Result<()> {
    let place = Place::new().await?;
    let mut file = EnvoyFile::load("notifications.yaml")?;
    in_the_clear(&mut file)?;
    let port = place.receiver.port;
    file.edit_plugin(|plugin| {
        let connection = &mut plugin["connections"][0];
        connection["notifications"]["targets"] = json!({"schemes": ["http"], "ports": [port], "hosts": ["*", "localhost"]});
    })?;
    let envoy = Envoy::start("notifying-own-network", &file, place.options("ES256")?).await?;
    let call = Call::post("/own", &json!({"task": {"id": "t"}})).host(&format!("localhost:{port}"));
    let reply = call.send(envoy.port()).await?;
    ensure!(reply.status == 403 && reply.reason().is_none() && reply.text().contains("RBAC"), "{} {}", reply.status, reply.text());
    ensure!(place.came("/own").await?.is_empty(), "it came through");
    Ok(())
}

/// The webhook of another filter takes them, by the keys that this one publishes: once, about their own task.
async fn by_another_filter(mesh: &Mesh) -> Result<()> {
    let place = Place::new().await?;
    let behind = Wiretap::start().await?;
    let port = Reserved::new()?;
    let host = format!("localhost:{}", port.port());
    let audience = format!("https://{host}");
    let authority = Authority::new("notifications")?;
    let mut file = place.file("ES256")?;
    // Over TLS, as in the file itself but for the authority, to a name that only this machine has.
    trust(&mut file, &authority)?;
    file.edit_plugin(|plugin| {
        plugin["connections"][0]["notifications"]["targets"] = json!({"hosts": ["localhost"], "ports": [port.port()]});
    })?;
    let sender = Envoy::start("notifying-filter", &file, place.options("ES256")?).await?;
    let mut file = mesh.inbound_file()?;
    file.listen_on(&port)?;
    authority.guard(&mut file, &authority.issue("hooks", &[], &["localhost"])?)?;
    file.cluster("expense_v1_0", behind.port)?;
    file.cluster("idp", sender.port())?;
    file.http_manager()?["route_config"]["virtual_hosts"][0]["routes"] =
        json!([{"match": {"prefix": "/"}, "route": {"cluster": "expense_v1_0"}}]);
    let jwks = format!("http://127.0.0.1:{}/.well-known/jwks.json", sender.port());
    file.edit_plugin(|plugin| {
        *plugin = json!({
            "issuers": [{"name": "agents", "issuer": ISSUER, "audiences": [audience], "token_types": ["JWT"],
                         "jwks": {"remote": {"uri": jwks, "cluster": "idp"}}}],
            "schemes": {"agents": {"bearer": {"issuers": ["agents"]}}},
            "webhooks": [{"name": "events", "match": {"hosts": ["localhost"], "ports": "ignore", "path_prefix": "/"}, "security": [{"agents": []}]}],
        });
    })?;
    let taking = Envoy::start("notified-filter", &file, Options::default()).await?;
    for id in ["one", "two"] {
        let call = Call::post(format!("/{id}"), &json!({"task": {"id": id}})).host(&host);
        let reply = call.send(sender.port()).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    }
    let heard = behind.heard();
    let said: Vec<&str> = heard.iter().flat_map(|heard| heard.header("x-attache")).collect();
    let who = format!("webhook=\"events\", version=\"1.0\", kind=\"service\", issuer=\"agents\", subject=\"{ISSUER}\", scopes=()");
    ensure!(said == [who.as_str(), who.as_str()], "{said:?}");
    // Somebody who posts by itself has no token of this side.
    let stranger = Call::post("/one", &json!({"task": {"id": "one"}})).host(&host);
    refusal::check(&authority.send(&stranger, taking.port(), None).await?, "credentials_missing", &Form::Status)
}

async fn foreign_key() -> Result<()> {
    let place = Place::new().await?;
    let other = place.options("RS256")?;
    let (_, log) = Envoy::refuse("notifying-foreign-key", &place.file("ES256")?, other).await?;
    ensure!(log.contains("connections[0].credential.signed_jwt.key: the key is not one of P-256"), "{log}");
    let mut file = place.file("ES256")?;
    let another = Place::new().await?;
    file.edit_plugin(|plugin| plugin["published_keys"]["jwks"]["inline"]["keys"][1] = another.jwk("ES256").clone())?;
    let (_, log) = Envoy::refuse("notifying-other-key", &file, place.options("ES256")?).await?;
    ensure!(log.contains("signed_jwt.key: does not belong to the key \"ES256\" of published_keys"), "{log}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("notifications::sdks_post_what_receivers_verify", async |_| sdks().await);
    suite.add("notifications::no_token_is_signed_twice", async |_| workers().await);
    suite.add("notifications::nothing_else_leaves", async |_| refusals().await);
    suite.add("notifications::nothing_goes_to_the_own_network", async |_| own_network().await);
    suite.add("notifications::the_webhook_of_another_filter_takes_them", by_another_filter);
    suite.add("notifications::a_key_that_is_not_the_published_one_is_refused", async |_| foreign_key().await);
}

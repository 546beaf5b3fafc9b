//! Calls that go as their users: an organization whose users call, a partner whose users agree, an Envoy between, and browsers.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::connections::outbound;
use crate::envoy::{Envoy, Options};
use crate::envoy_file::EnvoyFile;
use crate::http::{Call, Reply, message_1_0, rpc};
use crate::mesh::Mesh;
use crate::peer::{self, Agent};
use crate::person::{Browser, Page, Person, parameters};
use crate::port::Reserved;
use crate::tls::{Authority, Identity};
use crate::user_server::{self, UserServer};
use crate::{canary, place};

/// Where browsers reach the filter.
pub const CONSENT: &str = "https://consent.example.com";
/// For whom callers' tokens are.
pub const ORCHESTRATOR: &str = "https://orchestrator.example";
/// For whom the partner's tokens are.
pub const HR: &str = "https://hr.example";
/// What seals grants in tests.
pub const KEY: &str = "consent-key-of-tests-0123456789abcdefghij";

/// All of them.
pub struct SignIn {
    pub corp: UserServer,
    pub partner: UserServer,
    pub envoy: Envoy,
    pub browser: Browser,
    /// The remote agent, if it verifies the partner's tokens.
    pub agent: Option<Agent>,
    /// Paths of all requests, as Envoy logs them.
    pub access_log: PathBuf,
    file: EnvoyFile,
    options: Options,
    _port: Option<Reserved>,
}

/// Changes the file of an Envoy between these servers: the organization's, and the partner's.
pub type Edit = Box<dyn FnOnce(&mut EnvoyFile, &UserServer, &UserServer) -> Result<()> + Send>;

/// What differs from the usual.
#[derive(Default)]
pub struct Other {
    /// Members of `user_passthrough`.
    pub passthrough: Value,
    /// Users agree on another device, at the organization's own server: `device_code` or `ciba`, with these members besides.
    pub elsewhere: Option<(&'static str, Value)>,
    /// Members of `consent`.
    pub consent: Value,
    /// Members of the app.
    pub app: Value,
    /// The app knows its server's endpoints from the metadata alone.
    pub discovers: bool,
    /// Members of the connection.
    pub connection: Value,
    /// The port of the remote agent, if it is not that of the mesh.
    pub remote: Option<u16>,
    /// The remote agent is one of the partner, of A2A 1.0: it takes the partner's tokens and no others.
    pub verifies: bool,
    /// The remote agent is called over HTTP/2: at its port for gRPC.
    pub by_grpc: bool,
    /// What is done to Envoy's file.
    pub edit: Option<Edit>,
    /// Grants lie in the etcd whose members have these ports.
    pub etcd: Vec<u16>,
    /// Of the partner's server.
    pub partner: user_server::Options,
    /// Of the organization's server.
    pub corp: user_server::Options,
    /// Of Envoy.
    pub envoy: Options,
}

fn merge(into: &mut Value, other: &Value) {
    for (name, value) in other.as_object().into_iter().flatten() {
        into[name] = value.clone();
    }
}

impl SignIn {
    /// Starts them.
    pub async fn start(mesh: &Mesh, name: &str, mut other: Other) -> Result<Self> {
        let corp = other.corp.clone().redirect(&format!("{CONSENT}/consent/signed-in/corp"));
        let partner = other.partner.clone().redirect(&format!("{CONSENT}/consent/callback/hr"));
        let authority = Authority::new("consent authority")?;
        // A server that pings must know where before there is an Envoy.
        let is_pinged = other.elsewhere.as_ref().is_some_and(|(_, members)| members["delivery"] == "ping");
        let reserved = if is_pinged { Some(Reserved::new()?) } else { None };
        let corp = match &reserved {
            Some(port) => {
                let corp = corp.set("ping", format!("{CONSENT}/consent/ciba/hr"));
                corp.set("ping-port", port.port().to_string()).set("ping-ca", authority.file()?)
            }
            None => corp,
        };
        let (corp_name, partner_name) = (format!("{name}-corp"), format!("{name}-partner"));
        let (corp, partner) = match other.elsewhere {
            Some(_) => {
                let corp = UserServer::start(&corp_name, &corp).await?;
                (corp.clone(), corp)
            }
            None => tokio::try_join!(UserServer::start(&corp_name, &corp), UserServer::start(&partner_name, &partner))?,
        };
        let agent = match other.verifies {
            true => Some(peer::partner_of_users("1.0", &partner, HR, "tasks.read").await?),
            false => None,
        };
        let port = agent.as_ref().and_then(|agent| if other.by_grpc { agent.grpc_port } else { Some(agent.port) });
        other.remote = other.remote.or(port);
        let server = authority.issue("consent", &[], &["consent.example.com"])?;
        let mut file = file(mesh, &corp, &partner, &other)?;
        if let Some(edit) = other.edit.take() {
            edit(&mut file, &corp, &partner)?;
        }
        let access_log = place::logs().join(place::unique("access-sign-in.log"));
        let format = "%REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH)% %RESPONSE_CODE%\n";
        file.http_manager()?["access_log"] = json!([{"name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": access_log, "log_format": {"text_format_source": {"inline_string": format}}}}]);
        add_browsers(&mut file, &authority, &server, reserved.as_ref())?;
        let options = other.envoy.env("CONSENT_KEY", KEY).env("ATTACHE_SECRET", "attache-secret");
        let envoy = Envoy::start(name, &file, options.clone()).await?;
        let port = envoy.port_of("consent").await?;
        let trusted: Vec<PathBuf> = vec![server.file()?];
        let browser = Browser::start(&[("consent.example.com", port)], &trusted).await?;
        Ok(Self { corp, partner, envoy, browser, agent, access_log, file, options, _port: reserved })
    }

    /// One more Envoy with the same configuration.
    pub async fn another(&self, name: &str) -> Result<Envoy> {
        Envoy::start(name, &self.file, self.options.clone()).await
    }

    /// The same whose cluster for etcd has this member alone.
    pub async fn another_at(&self, name: &str, member: u16) -> Result<Envoy> {
        let mut file = self.file.clone();
        file.cluster("etcd", member)?;
        Envoy::start(name, &file, self.options.clone()).await
    }

    /// The token of the organization with which an agent calls for `user`.
    pub async fn token(&self, user: &str) -> Result<String> {
        Ok(self.corp.tokens(user, ORCHESTRATOR, "agent:execute").await?.access)
    }

    /// What the partner's agent answers to a message of `user`, or the filter.
    pub async fn send(&self, user: &str, text: &str) -> Result<Reply> {
        self.send_by(&self.envoy, user, text).await
    }

    /// The same by way of another Envoy.
    pub async fn send_by(&self, envoy: &Envoy, user: &str, text: &str) -> Result<Reply> {
        message(text, &json!({})).bearer(&self.token(user).await?).send(envoy.port()).await
    }

    /// The task that a message of `user` is answered with.
    pub async fn asked(&self, user: &str) -> Result<Value> {
        let reply = self.send(user, "hello").await?;
        let task = reply.json()["result"]["task"].take();
        link(&task).with_context(|| reply.text())?;
        Ok(task)
    }

    /// The link that a message of `user` is answered with.
    pub async fn link(&self, user: &str) -> Result<String> {
        link(&self.asked(user).await?)
    }

    /// The state of task `id`, asked for by `user`, or the reason why there is none.
    pub async fn state(&self, user: &str, id: &Value) -> Result<String> {
        let get = Call::post("/", &rpc(json!("get"), "GetTask", json!({ "id": id }))).host("hr.example.com").version("1.0");
        let reply = get.bearer(&self.token(user).await?).send(self.envoy.port()).await?;
        let state = reply.json()["result"]["status"]["state"].as_str().map(str::to_owned);
        state.or_else(|| reply.reason()).with_context(|| reply.text())
    }

    /// `person` opens `link` and signs in as `user` at the organization; the page after that.
    pub async fn sign_in(&self, person: &Person<'_>, user: &str, link: &str) -> Result<Page> {
        let page = person.open(link).await?;
        page.ensure_clean()?;
        ensure!(page.heading() == "An agent asks for access", "{page:?}");
        let page = person.press(&format!("Continue to {}", self.corp.issuer.trim_start_matches("http://"))).await?;
        ensure!(page.heading() == "Sign in", "{page:?}");
        let page = person.sign_in(user).await?;
        ensure!(page.heading() == "Allow access", "{page:?}");
        let page = person.allow().await?;
        keep_codes(&page);
        Ok(page)
    }

    /// `user`, whose browser knows nobody, opens `link` and comes to where the partner asks for consent.
    pub async fn arrive(&self, user: &str, link: &str) -> Result<Person<'_>> {
        let person = self.browser.person(user);
        let page = self.sign_in(&person, user, link).await?;
        ensure!(page.heading() == "Sign in" && page.url().starts_with(&self.partner.issuer), "{page:?}");
        let page = person.sign_in(user).await?;
        ensure!(page.heading() == "Allow access", "{page:?}");
        Ok(person)
    }

    /// `user` opens `link` and agrees to everything; the heading of the last page. Their browser is empty before and after that.
    pub async fn agree(&self, user: &str, link: &str) -> Result<String> {
        let person = self.arrive(user, link).await?;
        let page = person.allow().await?;
        page.ensure_clean()?;
        keep_codes(&page);
        person.leave().await?;
        Ok(page.heading().to_owned())
    }
}

/// No code and no state of what led to `page` may be in any log.
fn keep_codes(page: &Page) {
    for hop in page.hops() {
        let parameters = parameters(hop["url"].as_str().unwrap_or_default());
        ["code", "state"].iter().filter_map(|name| parameters.get(*name)).for_each(|secret| canary::keep(secret));
    }
}

/// A call that sends `text`; `ids` are members of the message.
pub fn message(text: &str, ids: &Value) -> Call {
    let mut params = message_1_0(text);
    merge(&mut params["message"], ids);
    Call::post("/", &rpc(json!(text), "SendMessage", params)).host("hr.example.com").version("1.0")
}

/// The link in the status message of a task.
pub fn link(task: &Value) -> Result<String> {
    ensure!(task["status"]["state"] == "TASK_STATE_AUTH_REQUIRED", "no task that waits: {task}");
    let parts = task["status"]["message"]["parts"].as_array().context("no parts")?;
    let data = parts.iter().find_map(|part| part["data"]["link"].as_str()).with_context(|| format!("no link in {task}"))?;
    let text = parts.iter().find_map(|part| part["text"].as_str()).context("no text")?;
    ensure!(text.contains(data) && data.starts_with(&format!("{CONSENT}/consent/start?link=")), "{task}");
    parameters(data).values().for_each(|secret| canary::keep(secret));
    Ok(data.to_owned())
}

/// The Envoy between them, with one listener for callers and browsers.
pub(crate) fn file(mesh: &Mesh, corp: &UserServer, partner: &UserServer, other: &Other) -> Result<EnvoyFile> {
    let client = |at: &UserServer, cluster: &str| {
        json!({"token_endpoint": {"uri": at.uri(user_server::TOKEN), "cluster": cluster}, "client_id": "attache",
            "authentication": {"client_secret_basic": {"secret": "attache"}}})
    };
    let mut own = json!({"app": "hr", "subject": {"issuers": ["corp"]}, "resource": [HR]});
    if let Some((way, members)) = &other.elsewhere {
        let endpoint = if *way == "ciba" { user_server::BACKCHANNEL } else { user_server::DEVICE };
        own[way] = json!({"endpoint": {"uri": partner.uri(endpoint), "cluster": "hr-server"}});
        merge(&mut own[way], members);
    }
    merge(&mut own, &other.passthrough);
    let mut connection = json!({"name": "hr", "match": {"hosts": ["hr.example.com"], "path_prefix": "/"}, "version": "1.0",
        "pin": {"clusters": ["remote"]}, "credential": {"user_passthrough": own}});
    merge(&mut connection, &other.connection);
    let secrets = json!({"consent": {"env": "CONSENT_KEY"}, "attache": {"env": "ATTACHE_SECRET"}});
    let clusters = [("corp", corp.port), ("hr-server", partner.port)];
    let mut file = outbound(mesh, &[connection], &secrets, &clusters)?;
    for (name, port) in clusters {
        // Node closes a connection after five idle seconds: what Envoy sends at that moment is lost.
        let kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        file.address(name, port)?["typed_extension_protocol_options"] = json!({kind: {
            "@type": format!("type.googleapis.com/{kind}"), "common_http_protocol_options": {"idle_timeout": "2s"},
            "explicit_http_config": {"http_protocol_options": {}}}});
    }
    if let Some(port) = other.remote {
        file.cluster("remote", port)?;
    }
    if other.by_grpc {
        let kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        file.address("remote", other.remote.context("no port for gRPC")?)?["typed_extension_protocol_options"] = json!({kind: {
            "@type": format!("type.googleapis.com/{kind}"), "explicit_http_config": {"http2_protocol_options": {}}}});
    }
    if !other.etcd.is_empty() {
        file.copy_cluster("hr-server", "etcd")?;
        let address = |port: &u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        let members: Vec<Value> = other.etcd.iter().map(|port| json!({"endpoint": {"address": address(port)}})).collect();
        file.address("etcd", other.etcd[0])?["load_assignment"]["endpoints"] = json!([{"lb_endpoints": members}]);
    }
    file.edit_plugin(|plugin| {
        plugin["issuers"] = json!([{"name": "corp", "issuer": corp.issuer, "audiences": [ORCHESTRATOR], "claims": {"user_marker": ["auth_time"]},
            "jwks": {"remote": {"uri": corp.uri(user_server::JWKS), "cluster": "corp"}}}]);
        let mut consent = json!({"public_url": CONSENT, "keys": [{"id": "k1", "secret": "consent"}], "store": {"memory": {}},
            "sign_in": [{"issuer": "corp", "authorization_endpoint": corp.uri(user_server::AUTHORIZATION), "client": client(corp, "corp")}]});
        if !other.etcd.is_empty() {
            consent["store"] = json!({"etcd": {"uri": "http://etcd.example:2379", "cluster": "etcd", "remember": "1s"}});
        }
        merge(&mut consent, &other.consent);
        plugin["consent"] = consent;
        let mut app = json!({"issuer": partner.issuer, "require_iss": true, "authorization_endpoint": partner.uri(user_server::AUTHORIZATION),
            "client": client(partner, "hr-server"), "scopes": ["openid", "tasks.read"],
            "revocation_endpoint": {"uri": partner.uri(user_server::REVOCATION), "cluster": "hr-server"}});
        if other.discovers {
            app = json!({"issuer": partner.issuer, "scopes": app["scopes"],
                "client": {"client_id": "attache", "authentication": app["client"]["authentication"]},
                "discovery": {"uri": partner.uri(user_server::METADATA), "cluster": "hr-server"}});
        }
        if other.elsewhere.is_some() {
            app.as_object_mut().map(|app| app.remove("authorization_endpoint"));
        }
        merge(&mut app, &other.app);
        plugin["oauth_apps"] = json!({ "hr": app });
    })?;
    Ok(file)
}

/// Browsers come to a listener of their own, over TLS; it has the same filter with the same configuration.
fn add_browsers(file: &mut EnvoyFile, authority: &Authority, server: &Identity, port: Option<&Reserved>) -> Result<()> {
    let listeners = file.listeners_mut()?;
    let mut browsers = listeners.first().context("no listener")?.clone();
    browsers["name"] = json!("consent");
    if let Some(port) = port {
        browsers["address"]["socket_address"]["port_value"] = json!(port.port());
    }
    listeners.insert(0, browsers);
    authority.guard(file, server)?;
    let listeners = file.listeners_mut()?;
    let browsers = listeners.remove(0);
    listeners.push(browsers);
    Ok(())
}

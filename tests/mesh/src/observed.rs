//! Two Envoys with traffic of every kind that the statistics tell apart, and a Prometheus that scrapes them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::authorization::AuthorizationServer;
use crate::connections::{call, client, connection, outbound, request};
use crate::envoy::{Envoy, Options};
use crate::envoy_file::EnvoyFile;
use crate::http::{Call, message_1_0, rpc};
use crate::mesh::{AGENT, Mesh, SCOPES, get_task_1_0_http, send_0_3, send_1_0, send_1_0_http};
use crate::place;
use crate::prometheus::Prometheus;
use crate::sign_in::{self, KEY, ORCHESTRATOR, Other, link, message};
use crate::stand_in::{Answer, StandIn};
use crate::user_server::{self, TOKEN, UserServer};
use crate::visitor::Visitor;

const OPAQUE: &str = "https://opaque.example.com";
const TRAVEL: &str = "travel.example.com";

/// The Envoys, what they ask, and the Prometheus.
pub struct Observed {
    pub inbound: Envoy,
    pub outbound: Envoy,
    /// Calls go as their users.
    pub users: Envoy,
    corp: UserServer,
    /// Gives users tokens that live for some seconds.
    pub partner: UserServer,
    /// How many users have come so far.
    came: AtomicU32,
    pub prometheus: Prometheus,
    /// Is asked about opaque tokens.
    pub introspection: StandIn,
    /// Answers everything with 500.
    pub broken: StandIn,
    _vault: StandIn,
    caller: String,
    guest: String,
}

/// The kinds of calls, so that more can be sent of one than of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Good calls to the agent in both versions.
    Good,
    /// What clients do wrong.
    Wrong,
    /// Calls to the agent that asks about tokens.
    Opaque,
    /// Calls that leave.
    Leaving,
    /// Users who agree, and do not.
    Users,
}

impl Observed {
    /// Starts all of it beside the standing mesh, with keys of this authorization server.
    pub async fn start(mesh: &Mesh, authorization: &AuthorizationServer) -> Result<Self> {
        let introspection = StandIn::start(active()).await?;
        let broken = StandIn::start(Answer::new("500 Internal Server Error", "text/plain", "broken")).await?;
        let vault = StandIn::start(Answer::new("200 OK", "text/plain", "key-of-the-vault")).await?;
        let inbound_file = inbound_file(mesh, authorization, &introspection, &broken)?;
        let inbound =
            Envoy::start("observed-in", &inbound_file, Options::default().own().workers(2).env("INTROSPECTION", "attache-secret")).await?;
        let outbound_file = outbound_file(mesh, &broken, &vault)?;
        let outbound = Envoy::start("observed-out", &outbound_file, Options::default().own().env("BRIEF_SECRET", "brief-secret")).await?;
        let (corp, partner, users) = users(mesh).await?;
        let scraped = [("inbound", inbound.admin()), ("outbound", outbound.admin()), ("users", users.admin())];
        let prometheus = Prometheus::start(&scraped).await?;
        let caller = authorization.token(&mesh.audience, SCOPES).await?;
        let guest = authorization.token_of("guest", &mesh.audience, SCOPES).await?;
        let came = AtomicU32::new(0);
        Ok(Self { inbound, outbound, users, corp, partner, came, prometheus, introspection, broken, _vault: vault, caller, guest })
    }

    /// Sends some calls of a kind, one after the other. What becomes of them is what Prometheus is asked about.
    pub async fn send(&self, kind: Kind) -> Result<()> {
        let (port, calls) = match kind {
            Kind::Good => (self.inbound.port(), self.good()),
            Kind::Wrong => (self.inbound.port(), self.wrong()),
            Kind::Opaque => (self.inbound.port(), self.opaque()),
            Kind::Leaving => (self.outbound.port(), leaving()),
            Kind::Users => return self.agree().await,
        };
        for call in calls {
            call.send(port).await?;
        }
        Ok(())
    }

    /// One more user comes, and another than the caller opens the link, or the caller, who agrees and calls. Who came first calls again and again;
    /// now and then the server fails.
    async fn agree(&self) -> Result<()> {
        let number = self.came.fetch_add(1, Ordering::Relaxed);
        let user = format!("user-{number}");
        let token = async |user: &str| Ok::<_, anyhow::Error>(self.corp.tokens(user, ORCHESTRATOR, "agent:execute").await?.access);
        let send = async |token: &str| message("hello", &json!({})).bearer(token).send(self.users.port()).await;
        let own = token(&user).await?;
        let link = link(&send(&own).await?.json()["result"]["task"])?;
        let who = if number % 4 == 3 { "user-100000" } else { &user };
        if number % 5 == 4 {
            self.partner.fail(TOKEN, 503, 1).await?;
        }
        let mut visitor = Visitor::new(who, &[("consent.example.com", self.users.port())]);
        let start = visitor.open(&link).await?;
        visitor.send_form(&start).await?;
        send(&own).await?;
        let first = token("user-0").await?;
        send(&first).await?;
        Ok(())
    }

    fn good(&self) -> Vec<Call> {
        let task = json!({"id": "unknown"});
        vec![
            send_1_0("hello").bearer(&self.caller),
            send_1_0("hello").bearer(&self.guest),
            send_1_0_http("hello").bearer(&self.caller),
            get_task_1_0_http("unknown").bearer(&self.caller),
            send_0_3("hello").bearer(&self.caller),
            Call::post(AGENT, &rpc(json!(1), "tasks/get", task)).bearer(&self.guest),
            send_1_0("auth, please").bearer(&self.caller),
            Call::get(format!("{AGENT}/.well-known/agent-card.json")).version("1.0"),
        ]
    }

    fn wrong(&self) -> Vec<Call> {
        let message = rpc(json!(1), "SendMessage", message_1_0("hello"));
        let cancel = rpc(json!(1), "CancelTask", json!({"id": "unknown"}));
        vec![
            send_1_0("hello"),
            send_1_0("hello").bearer(&format!("{}x", self.caller)),
            send_1_0("hello").bearer("opaque"),
            Call::post(AGENT, &cancel).version("1.0").bearer(&self.guest),
            Call::post(AGENT, &message).version("9.9").bearer(&self.caller),
            Call::post(AGENT, &rpc(json!(1), "DropTables", json!({}))).version("1.0").bearer(&self.caller),
        ]
    }

    fn opaque(&self) -> Vec<Call> {
        vec![
            send_1_0("hello").bearer("opaque-token").host(TRAVEL),
            Call::get(format!("{AGENT}/.well-known/agent-card.json")).version("1.0").host(TRAVEL),
        ]
    }
}

/// Users sign in without pages.
async fn users(mesh: &Mesh) -> Result<(UserServer, UserServer, Envoy)> {
    let server = |path: &str| user_server::Options::default().redirect(&format!("{}/consent/{path}", sign_in::CONSENT)).quick();
    let (corp, partner) = (server("signed-in/corp"), server("callback/hr").lifetime(6));
    let (corp, partner) = tokio::try_join!(UserServer::start("observed-corp", &corp), UserServer::start("observed-hr", &partner))?;
    let file = sign_in::file(mesh, &corp, &partner, &Other::default())?;
    let options = Options::default().own().env("CONSENT_KEY", KEY).env("ATTACHE_SECRET", "attache-secret");
    let envoy = Envoy::start("observed-users", &file, options).await?;
    Ok((corp, partner, envoy))
}

fn leaving() -> Vec<Call> {
    let waits = Call::post("/", &rpc(json!(1), "SendMessage", message_1_0("auth, please"))).host("partner.example.com");
    let described = Call::post("/", &rpc(json!(1), "SendMessage", message_1_0("hello"))).version("1.0").host("127.0.0.1");
    vec![call("partner"), call("corp"), call("corp"), described, waits, call("down")]
}

fn active() -> Answer {
    let claims = json!({"active": true, "aud": OPAQUE, "sub": "ann", "client_id": "cli", "exp": place::now() + 86400});
    Answer::new("200 OK", "application/json", claims.to_string())
}

fn at(port: u16, path: &str) -> String {
    format!("http://127.0.0.1:{port}/{path}")
}

/// Keys, cards and secrets are fetched every 5 seconds here, so that there is something to see soon.
fn inbound_file(mesh: &Mesh, authorization: &AuthorizationServer, introspection: &StandIn, broken: &StandIn) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file_trusting(authorization)?;
    for (name, port) in [("asked", introspection.port), ("broken", broken.port), ("cards", mesh.agent_1_0.port)] {
        file.copy_cluster("idp", name)?;
        file.cluster(name, port)?;
    }
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["INTROSPECTION"]});
    file.edit_plugin(|plugin| {
        plugin["audit"] = json!({"auth_required": true});
        plugin["max_waiting"] = json!(20);
        plugin["issuers"][0]["jwks"]["remote"]["refresh"] = json!("5s");
        let mut gone = plugin["issuers"][0].clone();
        gone["name"] = json!("gone");
        gone["issuer"] = json!("https://gone.example.com");
        gone["jwks"] = json!({"remote": {"uri": at(broken.port, "jwks"), "cluster": "broken", "refresh": "5s"}});
        if let Some(issuers) = plugin["issuers"].as_array_mut() {
            issuers.push(gone);
        }
        plugin["secrets"] = json!({"introspection": {"env": "INTROSPECTION"}});
        plugin["schemes"] = json!({
            "oauth2": {"bearer": {"issuers": ["corp", "gone"]}},
            "opaque": {"introspection": {
                "uri": at(introspection.port, "introspect"), "cluster": "asked", "timeout": "10s", "audiences": [OPAQUE], "cache": "0s",
                "client": {"id": "attache", "secret": {"secret": "introspection"}},
            }},
        });
        let mut travel = plugin["agents"][0].clone();
        travel["name"] = json!("travel");
        travel["match"]["hosts"] = json!([TRAVEL]);
        travel["public_url"] = json!(format!("https://{TRAVEL}{AGENT}"));
        travel["security"] = json!([{"opaque": []}]);
        let card = at(mesh.agent_1_0.port, ".well-known/agent-card.json");
        travel["card"] = json!({"access": "public", "source": {"remote": {"uri": card, "cluster": "cards", "refresh": "5s"}}});
        plugin["agents"][0]["access"] = json!([
            {"operations": ["CancelTask"], "require": {"clients": ["caller"], "issuers": ["corp"]}},
            {"operations": ["any"]},
        ]);
        if let Some(agents) = plugin["agents"].as_array_mut() {
            agents.push(travel);
        }
    })?;
    Ok(file)
}

fn outbound_file(mesh: &Mesh, broken: &StandIn, vault: &StandIn) -> Result<EnvoyFile> {
    let key = json!({"header": {"name": "x-api-key", "value": {"secret": "vault"}}});
    let by_client = |client: &Value| json!({"client_credentials": {"client": client, "request": request()}});
    let secret = json!({"client_secret_post": {"secret": "brief"}});
    let mut down = client(&mesh.authorization, "brief", &secret);
    down["token_endpoint"] = json!({"uri": at(broken.port, "token"), "cluster": "broken"});
    let mut described = connection("described", &json!({"none": {}}));
    described["version"] = json!("auto");
    described["match"]["hosts"] = json!(["127.0.0.1"]);
    described["card"] =
        json!({"remote": {"uri": format!("http://127.0.0.1:{}", mesh.agent_1_0.port), "cluster": "remote", "refresh": "5s"}});
    let connections = [
        connection("partner", &key),
        connection("corp", &by_client(&client(&mesh.authorization, "brief", &secret))),
        connection("down", &by_client(&down)),
        described,
    ];
    let fetched = |uri: String, cluster: &str| json!({"http": {"remote": {"uri": uri, "cluster": cluster, "refresh": "5s"}}});
    let secrets = json!({
        "vault": fetched(at(vault.port, "key"), "vault"),
        "lost": fetched(at(broken.port, "key"), "broken"),
        "brief": {"env": "BRIEF_SECRET"},
    });
    let mut file = outbound(mesh, &connections, &secrets, &[("broken", broken.port), ("vault", vault.port)])?;
    file.edit_plugin(|plugin| plugin["audit"] = json!({"auth_required": true}))?;
    Ok(file)
}

/// The dashboard.
pub fn dashboard() -> Result<Value> {
    let path = place::root().join("envoy/observability/dashboard.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// The queries of its panels, by the panels' titles, over all that is chosen, with rates over 10 seconds.
pub fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |panel: &Value| {
        let title = panel["title"].as_str().unwrap_or_default().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().filter_map(move |target| Some((title.clone(), filled(target["expr"].as_str()?))))
    };
    panels.iter().flat_map(of).collect()
}

fn filled(query: &str) -> String {
    let mut query = query.replace("$__rate_interval", "10s").replace("$__range", "2m");
    for variable in ["instance", "agent", "version", "connection"] {
        query = query.replace(&format!("${variable}"), ".+");
    }
    query
}

/// The build is told from a later version on, and then documented. Until then its queries find nothing.
pub fn is_awaited(query: &str) -> Result<bool> {
    const BUILD: &str = "attache_build_info";
    Ok(query.contains(BUILD) && !std::fs::read_to_string(place::root().join("docs/records.md"))?.contains(BUILD))
}

/// How long a round of traffic may rest.
pub const REST: Duration = Duration::from_millis(200);

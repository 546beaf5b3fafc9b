//! The standing mesh: authorization server, one agent in two versions, a partner, and an Envoy on either side.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::authorization::AuthorizationServer;
use crate::envoy::{Envoy, Options};
use crate::envoy_file::EnvoyFile;
use crate::http::{Call, message_0_3, message_1_0, rpc};
use crate::peer::{self, Agent};
use crate::place;

/// Where the agent is reached through the inbound Envoy.
pub const AGENT: &str = "/agents/expense";
/// The scopes that let a caller do everything the tour does.
pub const SCOPES: &str = "agent:read agent:execute";
/// What the partner wants in `x-api-key`.
pub const PARTNER_KEY: &str = "partner-key-123";

/// Everything, running.
pub struct Mesh {
    pub authorization: AuthorizationServer,
    pub agent_1_0: Agent,
    pub agent_0_3: Agent,
    pub partner: Agent,
    pub inbound: Envoy,
    pub outbound: Envoy,
    /// The audience that the agent's tokens must name.
    pub audience: String,
    /// Host names of the outbound connections, by connection name.
    partner_host: String,
    expense_host: String,
    users_host: String,
}

/// What exists before the Envoys do.
struct Peers {
    authorization: AuthorizationServer,
    agent_1_0: Agent,
    agent_0_3: Agent,
    partner: Agent,
}

impl Mesh {
    /// Starts it; what does not wait on anything else starts at the same time.
    pub async fn start() -> Result<Self> {
        let url_file = place::logs().join("agent-url");
        std::fs::write(&url_file, "")?;
        let (authorization, agent_1_0, agent_0_3, partner) = tokio::try_join!(
            AuthorizationServer::start("authorization"),
            peer::agent_1_0(Some(&url_file)),
            peer::agent_0_3(Some(&url_file)),
            peer::partner(PARTNER_KEY, None),
        )?;
        let peers = Peers { authorization, agent_1_0, agent_0_3, partner };
        let audience = audience(&EnvoyFile::load("inbound.yaml")?.plugin()?)?;
        let mut inbound_file = inbound_file("inbound.yaml", &peers.authorization, peers.agent_1_0.port, peers.agent_0_3.port)?;
        // Beyond the file, for a refusal of one operation: only client `caller` may cancel.
        inbound_file.edit_plugin(|plugin| {
            plugin["agents"][0]["access"] = json!([
                {"operations": ["CancelTask"], "require": {"clients": ["caller"], "issuers": ["corp"]}},
                {"operations": ["any"]},
            ]);
        })?;
        let inbound = Envoy::start("inbound", &inbound_file, Options::default().workers(2)).await?;
        std::fs::write(&url_file, format!("http://127.0.0.1:{}{AGENT}", inbound.port()))?;
        let outbound_file = outbound_file(peers.partner.port, inbound.port(), &peers.authorization)?;
        let plugin = outbound_file.clone().plugin()?;
        let environment = Options::default().workers(2).env("PARTNER_KEY", PARTNER_KEY);
        let environment = environment.env("CLIENT_SECRET", "caller-secret").env("EXCHANGE_SECRET", "exchanger-secret");
        let outbound = Envoy::start("outbound", &outbound_file, environment).await?;
        let Peers { authorization, agent_1_0, agent_0_3, partner } = peers;
        let partner_host = connection_host(&plugin, "partner")?;
        let expense_host = connection_host(&plugin, "expense")?;
        let users_host = connection_host(&plugin, "users")?;
        Ok(Self { authorization, agent_1_0, agent_0_3, partner, inbound, outbound, audience, partner_host, expense_host, users_host })
    }

    /// `envoy/inbound.yaml` for this mesh, to be varied.
    pub fn inbound_file(&self) -> Result<EnvoyFile> {
        self.inbound_file_named("inbound.yaml")
    }

    /// Another file of `envoy/` for the same agent.
    pub fn inbound_file_named(&self, name: &str) -> Result<EnvoyFile> {
        inbound_file(name, &self.authorization, self.agent_1_0.port, self.agent_0_3.port)
    }

    /// The same, trusting another authorization server.
    pub fn inbound_file_trusting(&self, authorization: &AuthorizationServer) -> Result<EnvoyFile> {
        inbound_file("inbound.yaml", authorization, self.agent_1_0.port, self.agent_0_3.port)
    }

    /// `envoy/outbound.yaml` for this mesh, to be varied.
    pub fn outbound_file(&self) -> Result<EnvoyFile> {
        outbound_file(self.partner.port, self.inbound.port(), &self.authorization)
    }

    /// A token that is good for everything the tour does.
    pub async fn token(&self) -> Result<String> {
        self.authorization.token(&self.audience, SCOPES).await
    }

    /// The agent's public URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{AGENT}", self.inbound.port())
    }

    /// The host name of the outbound connection to the partner.
    pub fn partner_host(&self) -> &str {
        &self.partner_host
    }

    /// The host name of the outbound connection to the agent behind the inbound Envoy.
    pub fn expense_host(&self) -> &str {
        &self.expense_host
    }

    /// The host name of the connection to the same agent that calls it for the caller.
    pub fn users_host(&self) -> &str {
        &self.users_host
    }
}

/// SendMessage of A2A 1.0 over JSON-RPC, without credentials.
pub fn send_1_0(text: &str) -> Call {
    Call::post(AGENT, &rpc(json!(text), "SendMessage", message_1_0(text))).version("1.0")
}

/// message/send of A2A 0.3 over JSON-RPC, without a version and without credentials.
pub fn send_0_3(text: &str) -> Call {
    Call::post(AGENT, &rpc(json!(text), "message/send", message_0_3(text)))
}

/// SendMessage of A2A 1.0 over HTTP+JSON, without credentials.
pub fn send_1_0_http(text: &str) -> Call {
    Call::post(format!("{AGENT}/message:send"), &message_1_0(text)).version("1.0")
}

/// GetTask of A2A 1.0 over HTTP+JSON, without credentials.
pub fn get_task_1_0_http(id: &str) -> Call {
    Call::get(format!("{AGENT}/tasks/{id}")).version("1.0")
}

fn audience(plugin: &Value) -> Result<String> {
    let audience = plugin["issuers"][0]["audiences"][0].as_str();
    audience.map(str::to_owned).context("inbound.yaml: no issuers[0].audiences[0]")
}

fn connection_host(plugin: &Value, name: &str) -> Result<String> {
    let connections = plugin["connections"].as_array().context("outbound.yaml: no connections")?;
    let found = connections.iter().find(|connection| connection["name"] == name);
    let host = found.and_then(|connection| connection["match"]["hosts"][0].as_str());
    host.map(str::to_owned).with_context(|| format!("outbound.yaml: no host for connection {name}"))
}

fn inbound_file(name: &str, authorization: &AuthorizationServer, agent_1_0: u16, agent_0_3: u16) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load(name)?;
    file.cluster("expense_v1_0", agent_1_0)?;
    file.cluster("expense_v0_3", agent_0_3)?;
    file.cluster("idp", authorization.port)?;
    file.edit_plugin(|plugin| {
        let issuer = &mut plugin["issuers"][0];
        issuer["issuer"] = json!(authorization.issuer);
        issuer["jwks"]["remote"]["uri"] = json!(authorization.jwks_uri);
        issuer["clock_skew"] = json!("0s");
        if let Some(hosts) = plugin["agents"][0]["match"]["hosts"].as_array_mut() {
            hosts.push(json!("127.0.0.1"));
        }
        // Cards pass unchanged; tests that want them true say where the agent is.
        if let Some(agent) = plugin["agents"][0].as_object_mut() {
            agent.remove("public_url");
        }
    })?;
    Ok(file)
}

fn outbound_file(partner: u16, inbound: u16, authorization: &AuthorizationServer) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load("outbound.yaml")?;
    file.cluster("partner", partner)?;
    file.cluster("expense_inbound", inbound)?;
    file.cluster("idp", authorization.port)?;
    file.edit_plugin(|plugin| {
        plugin["issuers"][0]["issuer"] = json!(authorization.issuer);
        plugin["issuers"][0]["jwks"]["remote"]["uri"] = json!(authorization.jwks_uri);
        for (index, method, client) in [(1, "client_credentials", "caller"), (2, "token_exchange", "exchanger")] {
            let own = &mut plugin["connections"][index]["credential"][method]["client"];
            own["token_endpoint"]["uri"] = json!(format!("{}/token", authorization.issuer));
            own["client_id"] = json!(client);
        }
    })?;
    Ok(file)
}

//! Calls of the tour that leave: one for each way in which a connection comes by its credential, and what of it the remote agent
//! received, cut short.

use anyhow::Result;
use serde_json::{Value, json};

use crate::authorization::claims;
use crate::connections::{IDENTITY_HEADER, PARTNER, azure, call, client, connection, outbound, request};
use crate::envoy::{Envoy, Options};
use crate::http::{Call, Reply, message_1_0, rpc};
use crate::mesh::{Mesh, PARTNER_KEY};
use crate::peer::Agent;
use crate::tour::{Act, Door, Step, answered};
use crate::tour_wallet::Proof;

/// An Envoy with a connection for each method.
pub struct Methods {
    pub envoy: Envoy,
    _azure: Agent,
}

impl Methods {
    /// Starts it.
    pub async fn start(mesh: &Mesh) -> Result<Self> {
        let azure = azure().await?;
        let authorization = &mesh.authorization;
        let own = |id: &str| client(authorization, id, &json!({"client_secret_post": {"secret": id}}));
        let subject = json!({"issuers": ["corp"]});
        let metadata = format!("http://127.0.0.1:{}/metadata/identity/oauth2/token", azure.port);
        let app = json!({"uri": format!("http://127.0.0.1:{}/msi/token", azure.port), "cluster": "azure"});
        let key = json!({"name": "x-api-key", "value": {"secret": "key"}});
        let federated = client(authorization, "federated", &json!({"client_assertion": {"secret": "federated"}}));
        let machine = |identity: Value| json!({"managed_identity": {"virtual_machine": {"cluster": "azure", "uri": metadata, "resource": "api://partner", "identity": identity}}});
        let credentials: [(&str, Value); 10] = [
            ("header", json!({"header": key})),
            ("client", json!({"client_credentials": {"client": own("caller"), "request": request()}})),
            ("project", machine(Value::Null)),
            ("agent", machine(json!({"client_id": "agent-1"}))),
            ("workload", json!({"managed_identity": {"workload": {"client": federated, "scopes": ["agent:read"]}}})),
            (
                "app",
                json!({"managed_identity": {"app_service": {"endpoint": app, "identity_header": {"secret": "identity"},
                    "resource": "api://partner"}}}),
            ),
            ("exchange", json!({"token_exchange": {"client": own("exchanger"), "request": request(), "subject": subject}})),
            ("behalf", json!({"on_behalf_of": {"client": own("exchanger"), "request": request(), "subject": subject}})),
            ("pass", json!({"passthrough": {"subject": subject, "audiences": [PARTNER]}})),
            ("open", json!({"none": {}})),
        ];
        let mut connections = credentials.map(|(name, credential)| connection(name, &credential)).to_vec();
        let card = json!({"remote": {"uri": format!("http://127.0.0.1:{}", mesh.partner.port), "cluster": "partner"}, "credential": {"header": {"name": "x-api-key", "value": {"secret": "partner"}}}});
        connections.push(json!({"name": "card", "match": {"hosts": ["127.0.0.1"], "path_prefix": "/"}, "version": "auto", "card": card,
            "pin": {"clusters": ["partner"]},
            "credential": {"auto": [
                {"credential": {"client_credentials": {"client": own("caller"), "request": request()}}},
                {"credential": {"header": {"name": "x-api-key", "value": {"secret": "partner"}}}}]}}));
        let secrets = json!({
            "key": {"env": "KEY"}, "caller": {"env": "CALLER"}, "exchanger": {"env": "EXCHANGER"}, "identity": {"env": "IDENTITY"},
            "federated": {"env": "FEDERATED"}, "partner": {"env": "PARTNER_KEY"},
        });
        let options = Options::default()
            .env("KEY", "kept-in-the-environment")
            .env("CALLER", "caller-secret")
            .env("EXCHANGER", "exchanger-secret")
            .env("IDENTITY", IDENTITY_HEADER)
            .env("FEDERATED", &authorization.assertion().await?)
            .env("PARTNER_KEY", PARTNER_KEY);
        let mut file = outbound(mesh, &connections, &secrets, &[("azure", azure.port)])?;
        if let Some(hosts) = file.http_manager()?["route_config"]["virtual_hosts"].as_array_mut() {
            hosts.push(json!({"name": "partner", "domains": ["127.0.0.1"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "partner"}}]}));
        }
        let envoy = Envoy::start("tour-methods", &file, options).await?;
        Ok(Self { envoy, _azure: azure })
    }
}

/// The calls: one for each connection.
pub fn steps() -> Vec<Step> {
    let calls: [(&str, &str, &str, Proof, &str); 10] = [
        ("out with a header", "no credential", "header", Proof::None, "agent got x-api-key: kep…"),
        ("out by client_credentials", "no credential", "client", Proof::None, "agent got Bearer eyJ…, client caller"),
        ("out by managed_identity, project's", "no credential", "project", Proof::None, "agent got Bearer e30…, resource api://partner"),
        (
            "out by managed_identity, agent's",
            "no credential",
            "agent",
            Proof::None,
            "agent got Bearer e30…, client agent-1, resource api://partner",
        ),
        ("out by managed_identity, workload", "no credential", "workload", Proof::None, "agent got an opaque token"),
        ("out by managed_identity, App Service", "no credential", "app", Proof::None, "agent got Bearer e30…, resource api://partner"),
        ("out by token_exchange", "good token", "exchange", Proof::Good, "agent got Bearer eyJ…, client exchanger, subject caller"),
        ("out by on_behalf_of", "good token", "behalf", Proof::Good, "agent got Bearer eyJ…, client exchanger, subject caller"),
        ("out by passthrough", "token for the partner", "pass", Proof::ForPartner, "agent got Bearer eyJ…, client caller"),
        ("out with none", "credentials of its own", "open", Proof::OwnToken, "agent got nothing"),
    ];
    let step = |call, caller, proof, act, stated| Step { call, caller, door: Door::Methods, proof, act, stated: answered(stated) };
    let mut steps: Vec<Step> = calls
        .into_iter()
        .map(|(name, caller, connection, proof, stated)| step(name, caller, proof, Act::Call(call(connection), received), stated))
        .collect();
    let by_card = Call::post("/", &rpc(json!("card"), "SendMessage", message_1_0("card"))).host("127.0.0.1");
    let stated = "agent got x-api-key: par…, A2A-Version: 1.0";
    steps.push(step("out by the agent's card: version, method", "no credential", Proof::None, Act::Call(by_card, called), stated));
    steps
}

/// The same, and the version with which the agent was called.
fn called(reply: &Reply) -> String {
    let versions = reply.echo().map(|echo| echo.header("a2a-version").join(", ")).unwrap_or_default();
    format!("{}, A2A-Version: {versions}", received(reply))
}

/// The first letters of a credential.
fn cut(text: &str) -> String {
    format!("{}…", text.chars().take(3).collect::<String>())
}

/// Reads a reply of the remote agent: which credential it received, cut short, and what a token says.
pub(crate) fn received(reply: &Reply) -> String {
    let Some(echo) = reply.echo() else { return format!("unexpected: {:.60}", reply.text()) };
    match (&echo.header("authorization")[..], &echo.header("x-api-key")[..]) {
        ([], []) => "agent got nothing".to_owned(),
        ([], [key]) => format!("agent got x-api-key: {}", cut(key)),
        ([line], []) => {
            let token = line.strip_prefix("Bearer ").unwrap_or_default();
            let Ok(claims) = claims(token) else { return "agent got an opaque token".to_owned() };
            let told = |label: &str, name: &str| claims[name].as_str().map(|value| format!(", {label} {value}")).unwrap_or_default();
            let subject = if claims["sub"] == claims["client_id"] { String::new() } else { told("subject", "sub") };
            format!("agent got Bearer {}{}{subject}{}", cut(token), told("client", "client_id"), told("resource", "resource"))
        }
        (tokens, keys) => format!("agent got {} authorizations, {} keys", tokens.len(), keys.len()),
    }
}

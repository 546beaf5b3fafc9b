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
use crate::tour::{Row, answered, outcome};

/// An Envoy with a connection for each method.
pub struct Methods {
    envoy: Envoy,
    /// The caller's token for the remote agent itself.
    own: String,
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
        let own = authorization.token_of("caller", PARTNER, "agent:read agent:execute").await?;
        Ok(Self { envoy, own, _azure: azure })
    }

    /// Plays the calls, `good` being the caller's token for the agent before which it stands.
    pub async fn rows(&self, good: &str) -> Vec<Row> {
        let calls: [(&str, &str, &str, Option<&str>, &str); 10] = [
            ("out with a header", "no credential", "header", None, "agent got x-api-key: kep…"),
            ("out by client_credentials", "no credential", "client", None, "agent got Bearer eyJ…, client caller"),
            ("out by managed_identity, project's", "no credential", "project", None, "agent got Bearer e30…, resource api://partner"),
            (
                "out by managed_identity, agent's",
                "no credential",
                "agent",
                None,
                "agent got Bearer e30…, client agent-1, resource api://partner",
            ),
            ("out by managed_identity, workload", "no credential", "workload", None, "agent got an opaque token"),
            ("out by managed_identity, App Service", "no credential", "app", None, "agent got Bearer e30…, resource api://partner"),
            ("out by token_exchange", "good token", "exchange", Some(good), "agent got Bearer eyJ…, client exchanger, subject caller"),
            ("out by on_behalf_of", "good token", "behalf", Some(good), "agent got Bearer eyJ…, client exchanger, subject caller"),
            ("out by passthrough", "token for the partner", "pass", Some(&self.own), "agent got Bearer eyJ…, client caller"),
            ("out with none", "credentials of its own", "open", Some("mine"), "agent got nothing"),
        ];
        let mut rows = Vec::new();
        for (name, caller, connection, token, stated) in calls {
            let request = token.into_iter().fold(call(connection), |call, token| call.bearer(token));
            let seen = outcome(request.send(self.envoy.port()).await, received);
            rows.push(Row { call: name, caller, stated: answered(stated), seen });
        }
        let by_card = Call::post("/", &rpc(json!("card"), "SendMessage", message_1_0("card"))).host("127.0.0.1");
        let seen = outcome(by_card.send(self.envoy.port()).await, called);
        let stated = answered("agent got x-api-key: par…, A2A-Version: 1.0");
        rows.push(Row { call: "out by the agent's card: version, method", caller: "no credential", stated, seen });
        rows
    }
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
fn received(reply: &Reply) -> String {
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

//! One call of the tour by four callers: each proves itself in another way, at one agent that takes them all.

use anyhow::Result;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::canary;
use crate::envoy::{Envoy, Options};
use crate::http::{Call, Reply};
use crate::mesh::{Mesh, SCOPES, send_1_0};
use crate::mint::Mint;
use crate::place;
use crate::tls::{Authority, Identity};
use crate::tour::{Row, answered, outcome};

/// Whom users trust.
const USERS: &str = "https://users.example";
const KEY: &str = "key-of-the-desk-4711";
const DESK: &str = "spiffe://corp/ns/desk";

/// An Envoy that speaks TLS, and what its callers bring.
pub struct Callers {
    pub envoy: Envoy,
    authority: Authority,
    certificate: Identity,
    user: String,
}

impl Callers {
    /// Starts it: its agent takes tokens of services and of users, an API key, and a client certificate.
    pub async fn start(mesh: &Mesh) -> Result<Self> {
        let mint = Mint::new("users-1")?;
        let key: String = Sha256::digest(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
        canary::keep(KEY);
        let mut file = mesh.inbound_file()?;
        file.edit_plugin(|plugin| {
            let users = json!({"name": "users", "issuer": USERS, "audiences": [mesh.audience], "jwks": {"inline": {"keys": [mint.jwk()]}}});
            if let Some(issuers) = plugin["issuers"].as_array_mut() {
                issuers.push(users);
            }
            plugin["schemes"]["users"] = json!({"bearer": {"issuers": ["users"]}});
            plugin["schemes"]["key"] = json!({"api_key": {"in": "header", "name": "x-api-key", "keys": [{"id": "desk", "sha256": key}]}});
            plugin["schemes"]["tls"] = json!({"mutual_tls": {"allow": [{"uri": DESK}]}});
            let more = ["users", "key", "tls"].map(|scheme| json!({scheme: []}));
            if let Some(security) = plugin["agents"][0]["security"].as_array_mut() {
                security.extend(more);
            }
        })?;
        let authority = Authority::new("tour")?;
        authority.guard(&mut file, &authority.issue("localhost", &[], &["localhost"])?)?;
        let certificate = authority.issue("desk", &[DESK], &[])?;
        let now = place::now();
        let user = mint.sign(&json!({
            "iss": USERS, "aud": mesh.audience, "sub": "ann", "client_id": "desk-app", "scp": SCOPES, "iat": now, "exp": now + 360,
        }));
        let envoy = Envoy::start("tour-callers", &file, Options::default()).await?;
        Ok(Self { envoy, authority, certificate, user })
    }

    /// Plays the call, `service` being the token of one.
    pub async fn rows(&self, service: &str) -> Vec<Row> {
        let call = || send_1_0("who");
        let calls: [(&str, Call, Option<&Identity>, &str); 4] = [
            ("a service's token", call().bearer(service), None, "service caller"),
            ("a user's token", call().bearer(&self.user), None, "user ann"),
            ("an API key", call().header("x-api-key", KEY), None, "service desk"),
            ("a client certificate", call(), Some(&self.certificate), "service spiffe://corp/ns/desk"),
        ];
        let mut rows = Vec::new();
        for (caller, call, certificate, whom) in calls {
            let seen = outcome(self.authority.send(&call, self.envoy.port(), certificate).await, whose);
            rows.push(Row { call: "1.0: SendMessage, over TLS", caller, stated: answered(&format!("done for {whom}")), seen });
        }
        rows
    }
}

/// Reads a reply of the agent: for whom it worked.
fn whose(reply: &Reply) -> String {
    let Some(echo) = reply.echo() else { return format!("unexpected: {:.60}", reply.text()) };
    let one = |member: &str| match echo.told(member).as_slice() {
        [value] => Some(value.to_string()),
        _ => None,
    };
    let whom = match one("kind").as_deref() {
        Some("user") => one("subject"),
        _ => one("client"),
    };
    format!("done for {} {}", one("kind").unwrap_or_default(), whom.unwrap_or_default())
}

//! One call of the tour by four callers: each proves itself in another way, at one agent that takes them all.

use anyhow::Result;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::envoy::{Envoy, Options};
use crate::http::{Call, Reply};
use crate::mesh::{Mesh, send_1_0};
use crate::tls::{Authority, Identity};
use crate::tour::{Act, Door, Step, answered};
use crate::tour_wallet::{KEY, Proof, USERS, Wallet};

/// Who the client is by its certificate.
pub const DESK: &str = "spiffe://corp/ns/desk";

/// An Envoy that speaks TLS, and the certificate of one caller.
pub struct Callers {
    pub envoy: Envoy,
    authority: Authority,
    certificate: Identity,
}

impl Callers {
    /// Starts it: its agent takes tokens of services and of users, an API key, and a client certificate.
    pub async fn start(mesh: &Mesh, wallet: &Wallet<'_>) -> Result<Self> {
        let key: String = Sha256::digest(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file = mesh.inbound_file()?;
        file.edit_plugin(|plugin| {
            let keys = json!({"inline": {"keys": [wallet.users().jwk()]}});
            let users = json!({"name": "users", "issuer": USERS, "audiences": [mesh.audience], "jwks": keys});
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
        let envoy = Envoy::start("tour-callers", &file, Options::default()).await?;
        Ok(Self { envoy, authority, certificate })
    }

    /// Sends `call` over TLS, with the client's certificate if that is its proof.
    pub async fn send(&self, call: &Call, proof: Proof) -> Result<Reply> {
        let certificate = (proof == Proof::Certificate).then_some(&self.certificate);
        self.authority.send(call, self.envoy.port(), certificate).await
    }
}

/// The call by each of them.
pub fn steps() -> Vec<Step> {
    let step = |caller, proof, whom| Step {
        call: "1.0: SendMessage, over TLS",
        caller,
        door: Door::Tls,
        proof,
        act: Act::Call(send_1_0("who"), whose),
        stated: answered(&format!("done for {whom}")),
    };
    vec![
        step("a service's token", Proof::Good, "service caller"),
        step("a user's token", Proof::User, "user ann"),
        step("an API key", Proof::ApiKey, "service desk"),
        step("a client certificate", Proof::Certificate, "service spiffe://corp/ns/desk"),
    ]
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

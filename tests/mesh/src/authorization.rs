//! The authorization server (npm `oidc-provider`): its process, its tokens, its control calls.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::Value;

use crate::http::Call;
use crate::process::{self, Process};
use crate::{canary, peer, place, wait};

const START: Duration = Duration::from_secs(240);

/// A running authorization server. It can be stopped and started again with the same keys on the same port.
pub struct AuthorizationServer {
    process: Mutex<Arc<Process>>,
    name: String,
    keys: PathBuf,
    pub port: u16,
    pub issuer: String,
    pub jwks_uri: String,
    token_path: String,
}

async fn launch(name: &str, keys: &PathBuf, port: u16) -> Result<(Arc<Process>, u16)> {
    let mut command = peer::node("authorization_server.mjs");
    command.arg("--keys").arg(keys);
    if port != 0 {
        command.arg("--port").arg(port.to_string());
    }
    let process = process::spawn(&place::unique(name), command)?;
    let port = process.ready_port(START).await?;
    Ok((process, port))
}

impl AuthorizationServer {
    /// Starts a server with keys of its own on a free port.
    pub async fn start(name: &str) -> Result<Self> {
        let keys = place::logs().join(format!("{}.keys", place::unique(&format!("{name}-keys"))));
        let (process, port) = launch(name, &keys, 0).await?;
        let metadata = Call::get("/.well-known/openid-configuration").send(port).await?.json();
        let text = |key: &str| metadata[key].as_str().map(str::to_owned).with_context(|| format!("no {key} in {metadata}"));
        let token_endpoint = text("token_endpoint")?;
        let path = token_endpoint.find("//").and_then(|at| token_endpoint.get(at + 2..)).and_then(|rest| rest.split_once('/'));
        let (_, path) = path.with_context(|| format!("no path in {token_endpoint}"))?;
        Ok(Self {
            process: Mutex::new(process),
            name: name.to_owned(),
            keys,
            port,
            issuer: text("issuer")?,
            jwks_uri: text("jwks_uri")?,
            token_path: format!("/{path}"),
        })
    }

    fn process(&self) -> Arc<Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the server at once.
    pub fn stop(&self) {
        self.process().kill();
    }

    /// Starts it again after `stop`.
    pub async fn start_again(&self) -> Result<()> {
        let (process, _) = launch(&self.name, &self.keys, self.port).await?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        Ok(())
    }

    /// An assertion of client `federated` that something else signed and renews.
    pub async fn assertion(&self) -> Result<String> {
        let signed = Call::get("/control/assertion").send(self.port).await?;
        signed.json()["assertion"].as_str().map(str::to_owned).context("no assertion")
    }

    /// An access token for client `caller`, by client credentials.
    pub async fn token(&self, audience: &str, scopes: &str) -> Result<String> {
        self.token_of("caller", audience, scopes).await
    }

    /// An access token for any client; the secrets are `<client>-secret`.
    pub async fn token_of(&self, client: &str, audience: &str, scopes: &str) -> Result<String> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", &format!("{client}-secret")),
            ("resource", audience),
            ("scope", scopes),
        ];
        let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", percent(value))).collect();
        let call =
            Call::new(Method::POST, &self.token_path).header("content-type", "application/x-www-form-urlencoded").body(form.join("&"));
        let reply = call.send(self.port).await?;
        match reply.json()["access_token"].as_str() {
            Some(token) => {
                canary::keep(token);
                Ok(token.to_owned())
            }
            None => bail!("no access_token for {client}: {} {}", reply.status, reply.text()),
        }
    }

    /// A token of client `brief` that has run out: returns once the clock has passed its `exp`.
    pub async fn expired_token(&self, audience: &str, scopes: &str) -> Result<String> {
        let token = self.token_of("brief", audience, scopes).await?;
        let expiry = claims(&token)?["exp"].as_u64().context("no exp")?;
        wait::until_known("a brief token to run out", Duration::from_secs(30), || Ok((place::now() > expiry).then_some(()))).await?;
        Ok(token)
    }

    /// Puts a new signing key in front of the others.
    pub async fn rotate(&self) -> Result<()> {
        let reply = Call::new(Method::POST, "/control/rotate").body("").send(self.port).await?;
        if reply.is_success() { Ok(()) } else { bail!("rotate: {} {}", reply.status, reply.text()) }
    }

    /// How often the JWKS was fetched since the server started.
    pub async fn jwks_fetches(&self) -> Result<u64> {
        let stats = Call::get("/control/stats").send(self.port).await?.json();
        stats["jwks"].as_u64().with_context(|| format!("no jwks count in {stats}"))
    }

    /// How often it was asked about a token since it started.
    pub async fn introspections(&self) -> Result<u64> {
        let stats = Call::get("/control/stats").send(self.port).await?.json();
        stats["introspection"].as_u64().with_context(|| format!("no introspection count in {stats}"))
    }

    /// Takes back a token of `client` (RFC 7009).
    pub async fn revoke(&self, client: &str, token: &str) -> Result<()> {
        let form = format!("token={}&client_id={client}&client_secret={client}-secret", percent(token));
        let call = Call::new(Method::POST, "/token/revocation").header("content-type", "application/x-www-form-urlencoded").body(form);
        let reply = call.send(self.port).await?;
        if reply.is_success() { Ok(()) } else { bail!("revoke: {} {}", reply.status, reply.text()) }
    }

    /// The keys it publishes now.
    pub async fn jwks(&self) -> Result<Value> {
        let path = self.jwks_uri.splitn(4, '/').nth(3).context("no path in jwks_uri")?;
        Ok(Call::get(format!("/{path}")).send(self.port).await?.json())
    }
}

/// One that speaks TLS and knows clients by their certificates, as `tls` says (see `tls::Authority::server_file`): its process and
/// its port.
pub async fn over_tls(tls: &Path) -> Result<(Arc<Process>, u16)> {
    another("--tls", tls.as_os_str()).await
}

/// One that takes the ID-JAGs of identity provider `issuer`: its process and its port.
pub async fn trusting(issuer: &str) -> Result<(Arc<Process>, u16)> {
    another("--trusts", issuer.as_ref()).await
}

async fn another(option: &str, value: &OsStr) -> Result<(Arc<Process>, u16)> {
    let mut command = peer::node("authorization_server.mjs");
    command.arg(option).arg(value);
    let process = process::spawn(&place::unique("another-authorization"), command)?;
    let port = process.ready_port(START).await?;
    Ok((process, port))
}

/// The claims of a JWT, unverified.
pub fn claims(token: &str) -> Result<Value> {
    part(token, 1)
}

/// The header of a JWT.
pub fn header(token: &str) -> Result<Value> {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Result<Value> {
    let text = token.split('.').nth(index).context("not a JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text)?)?)
}

fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

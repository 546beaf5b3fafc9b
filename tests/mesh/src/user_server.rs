//! Authorization servers at which users sign in and consent: `peers/user_server.mjs`, on npm `oidc-provider`.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::http::{Call, Reply, basic};
use crate::process::{self, Process};
use crate::{canary, peer, place};

const START: Duration = Duration::from_secs(240);

/// What the server says of itself.
pub const METADATA: &str = "/.well-known/openid-configuration";
/// Where users sign in and agree.
pub const AUTHORIZATION: &str = "/auth";
/// Where tokens are asked for.
pub const TOKEN: &str = "/token";
/// Where tokens are taken back (RFC 7009).
pub const REVOCATION: &str = "/token/revocation";
/// Where a device asks for its code (RFC 8628).
pub const DEVICE: &str = "/device/auth";
/// Where CIBA begins.
pub const BACKCHANNEL: &str = "/backchannel";
/// The server's keys.
pub const JWKS: &str = "/jwks";
/// The grant type of polls of the device flow.
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// The grant type of polls of CIBA.
pub const CIBA_GRANT: &str = "urn:openid:params:grant-type:ciba";

/// Settings of one start: what the head of `peers/user_server.mjs` lists.
#[derive(Clone, Default)]
pub struct Options {
    arguments: Vec<OsString>,
    origin: Option<String>,
    is_lasting: bool,
}

impl Options {
    /// Sets `--<name> <value>`; `redirect`, `resource` and `client` may be set several times.
    pub fn set(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.arguments.extend([format!("--{name}").into(), value.into()]);
        self
    }

    /// A redirect URI of the clients.
    pub fn redirect(self, uri: &str) -> Self {
        self.set("redirect", uri)
    }

    /// Takes users of a [`crate::visitor::Visitor`] without pages.
    pub fn quick(self) -> Self {
        self.set("quick", "yes")
    }

    /// Keeps what it has for [`UserServer::start_again`].
    pub fn lasting(self) -> Self {
        Self { is_lasting: true, ..self }
    }

    /// How long access tokens live, in seconds.
    pub fn lifetime(self, seconds: u32) -> Self {
        self.set("lifetime", seconds.to_string())
    }

    /// Speaks TLS at `origin`, such as `https://login.corp.example`, with the certificate of `tls` (`Authority::user_server_file`).
    pub fn over_tls(mut self, origin: &str, tls: &Path) -> Self {
        self.origin = Some(origin.to_owned());
        self.set("origin", origin).set("tls", tls)
    }
}

/// What a token request was answered with.
pub struct Tokens {
    pub access: String,
    pub refresh: Option<String>,
    pub id: Option<String>,
    /// All of it.
    pub answer: Value,
}

impl Tokens {
    /// Reads an answer of 200, and remembers its secrets.
    pub fn of(answer: Value) -> Result<Self> {
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let (access, refresh, id) = (text("access_token"), text("refresh_token"), text("id_token"));
        let access = access.with_context(|| format!("no access_token in {answer}"))?;
        [Some(&access), refresh.as_ref(), id.as_ref()].into_iter().flatten().for_each(|secret| canary::keep(secret));
        Ok(Self { access, refresh, id, answer })
    }
}

/// A running server.
#[derive(Clone)]
pub struct UserServer {
    /// It, and the port of its control.
    running: Arc<Mutex<(Arc<Process>, u16)>>,
    name: String,
    arguments: Vec<OsString>,
    pub port: u16,
    pub issuer: String,
}

impl UserServer {
    /// Starts one with keys of its own on a free port.
    pub async fn start(name: &str, options: &Options) -> Result<Self> {
        let file = |kind: &str| place::logs().join(place::unique(&format!("{name}.{kind}")));
        let mut options = options.clone();
        if options.is_lasting {
            options = options.set("keys", file("keys")).set("state", file("state"));
        }
        let (port, running) = launch(name, &options.arguments).await?;
        let issuer = options.origin.unwrap_or_else(|| format!("http://127.0.0.1:{port}"));
        Ok(Self { running: Arc::new(Mutex::new(running)), name: name.to_owned(), arguments: options.arguments, port, issuer })
    }

    fn running(&self) -> (Arc<Process>, u16) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the server: its port takes no connections until [`Self::start_again`].
    pub fn stop(&self) {
        self.running().0.stop();
    }

    /// Starts one that is [`Options::lasting`] again after [`Self::stop`], with all that it had but its counts.
    pub async fn start_again(&self) -> Result<()> {
        let port: [OsString; 2] = ["--port".into(), self.port.to_string().into()];
        let (_, running) = launch(&self.name, &[&self.arguments[..], &port].concat()).await?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = running;
        Ok(())
    }

    /// The URI of an endpoint, such as [`TOKEN`].
    pub fn uri(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.issuer)
    }

    /// The URI to which a client sends a user, with these parameters.
    pub fn authorization(&self, parameters: &[(&str, &str)]) -> String {
        format!("{}?{}", self.uri(AUTHORIZATION), form(parameters))
    }

    /// Posts a form as client `attache`, to a server in the clear.
    pub async fn post(&self, endpoint: &str, fields: &[(&str, &str)]) -> Result<Reply> {
        self.post_as("attache", endpoint, fields).await
    }

    /// The same as another client that is known by `client_secret_basic`.
    pub async fn post_as(&self, client: &str, endpoint: &str, fields: &[(&str, &str)]) -> Result<Reply> {
        let call = Call::new(Method::POST, endpoint).header("content-type", "application/x-www-form-urlencoded");
        let call = call.header("authorization", basic(client, &format!("{client}-secret")));
        call.body(form(fields)).send(self.port).await
    }

    /// The server does not go on until [`Self::resume`]: its port takes connections, and nothing answers.
    pub fn pause(&self) {
        self.running().0.signal(libc::SIGSTOP);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.running().0.signal(libc::SIGCONT);
    }

    /// The tokens that client `orchestrator` gets for `user`, who signs in and allows everything in a code flow of their own.
    pub async fn tokens(&self, user: &str, resource: &str, scope: &str) -> Result<Tokens> {
        self.tokens_for(&json!({"user": user, "resource": resource, "scope": scope})).await
    }

    /// The same by `user`, `client_id` and parameters of an authorization request.
    pub async fn tokens_for(&self, asked: &Value) -> Result<Tokens> {
        Tokens::of(self.ask(Call::post("/control/token", asked)).await?)
    }

    /// What happened so far: see the head of `peers/user_control.mjs`.
    pub async fn stats(&self) -> Result<Value> {
        self.ask(Call::get("/control/stats")).await
    }

    /// How many token requests of `grant_type` succeeded for `user`.
    pub async fn granted(&self, user: &str, grant_type: &str) -> Result<u64> {
        Ok(self.stats().await?["granted_to"][user][grant_type].as_u64().unwrap_or(0))
    }

    /// The last requests for authorization and tokens, oldest first: `{endpoint, params, client}`.
    pub async fn requests(&self) -> Result<Vec<Value>> {
        let told = self.ask(Call::get("/control/requests")).await?;
        told["requests"].as_array().cloned().with_context(|| format!("no requests in {told}"))
    }

    /// Where its keys are in the clear.
    pub fn jwks_uri(&self) -> String {
        format!("http://127.0.0.1:{}/control/jwks", self.running().1)
    }

    /// The private key (PEM) of client `attache-signed`.
    pub async fn client_key(&self) -> Result<String> {
        let told = self.ask(Call::get("/control/keys")).await?;
        told["attache-signed"].as_str().map(str::to_owned).context("no key")
    }

    /// The requests of CIBA that wait for their users: `{auth_req_id, user, binding_message, scope}`.
    pub async fn waiting(&self) -> Result<Vec<Value>> {
        Ok(self.ask(Call::get("/control/ciba")).await?["waiting"].as_array().cloned().unwrap_or_default())
    }

    /// A user approves what waits: an `auth_req_id`, or the latest of a user.
    pub async fn approve(&self, which: &str) -> Result<()> {
        self.order("/control/ciba", &[("approve", which)]).await
    }

    /// A user denies what waits.
    pub async fn deny(&self, which: &str) -> Result<()> {
        self.order("/control/ciba", &[("deny", which)]).await
    }

    /// Takes back every grant of a user.
    pub async fn revoke_all(&self, user: &str) -> Result<()> {
        self.order("/control/revoke", &[("user", user)]).await
    }

    /// Ends all sessions: everybody must sign in again.
    pub async fn expire_sessions(&self) -> Result<()> {
        self.order("/control/expire", &[]).await
    }

    /// Who denies consent from now on, denies it with this error.
    pub async fn deny_with(&self, error: &str, description: &str) -> Result<()> {
        self.order("/control/deny", &[("error", error), ("description", description)]).await
    }

    /// The next `times` requests to an endpoint are answered with `status`.
    pub async fn fail(&self, endpoint: &str, status: u16, times: u32) -> Result<()> {
        self.order("/control/fail", &[("path", endpoint), ("status", &status.to_string()), ("times", &times.to_string())]).await
    }

    /// Authorization responses have these parameters from now on, in place of what they would be; `null` leaves one away.
    pub async fn bend_response(&self, parameters: &Value) -> Result<()> {
        self.ask(Call::post("/control/response", parameters)).await.map(drop)
    }

    /// The same for the claims of ID tokens, which are signed as ever.
    pub async fn bend_id_token(&self, claims: &Value) -> Result<()> {
        self.ask(Call::post("/control/id_token", claims)).await.map(drop)
    }

    /// The same for the members of token answers to a grant type.
    pub async fn bend_answer(&self, grant_type: &str, members: &Value) -> Result<()> {
        self.ask(Call::post(format!("/control/answer?{}", form(&[("grant_type", grant_type)])), members)).await.map(drop)
    }

    async fn order(&self, path: &str, query: &[(&str, &str)]) -> Result<()> {
        self.ask(Call::new(Method::POST, format!("{path}?{}", form(query)))).await.map(drop)
    }

    async fn ask(&self, call: Call) -> Result<Value> {
        let reply = call.send(self.running().1).await?;
        ensure!(reply.is_success(), "{}: {} {}", call.path, reply.status, reply.text());
        Ok(reply.json())
    }
}

/// Its port, itself, and the port of its control.
async fn launch(name: &str, arguments: &[OsString]) -> Result<(u16, (Arc<Process>, u16))> {
    let mut command = peer::node("user_server.mjs");
    command.args(arguments);
    let _turn = process::turn().await;
    let process = process::spawn(&place::unique(name), command)?;
    let ready = process.ready(START).await?;
    Ok((process::port_of(&ready, "port")?, (process, process::port_of(&ready, "control_port")?)))
}

/// Fields as a form or a query has them.
pub fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

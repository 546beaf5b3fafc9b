//! Calls of the tour that go as their users. One user agrees in headless Chromium; another is left for whoever has a browser.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::envoy::{Envoy, Options};
use crate::http::{Call, Reply};
use crate::mesh::Mesh;
use crate::person::Browser;
use crate::port::Reserved;
use crate::sign_in::{self, KEY, Other, message};
use crate::tour::{Act, Door, Outcome, Step, answered};
use crate::tour_methods::received;
use crate::tour_wallet::Proof;
use crate::user_server::{self, UserServer};

/// Who agrees in the tour.
pub const BOB: &str = "bob";
/// Who has not agreed to anything.
pub const ANN: &str = "ann";
/// How long tokens of the organization live, in seconds: somebody may look at the mesh for a day.
const LIFETIME: u32 = 24 * 3600;

/// An organization whose users call, a partner whose users agree, and the Envoy between them.
///
/// Browsers reach it at `http://localhost:<port>`: they treat that name as if it had TLS, also for the cookies of a sign-in. Any other
/// `public_url` has to be `https`.
pub struct Users {
    pub corp: Arc<UserServer>,
    pub partner: UserServer,
    pub envoy: Envoy,
    port: Reserved,
}

impl Users {
    /// Starts them.
    pub async fn start(mesh: &Mesh) -> Result<Self> {
        let port = Reserved::new()?;
        let public_url = format!("http://localhost:{}", port.port());
        let server = || user_server::Options::default();
        let corp = server().redirect(&format!("{public_url}/consent/signed-in/corp")).lifetime(LIFETIME);
        let partner = server().redirect(&format!("{public_url}/consent/callback/hr"));
        let (corp, partner) = tokio::try_join!(UserServer::start("tour-corp", &corp), UserServer::start("tour-partner", &partner))?;
        let other = Other { consent: json!({ "public_url": public_url }), ..Other::default() };
        let mut file = sign_in::file(mesh, &corp, &partner, &other)?;
        file.listen_on(&port)?;
        let options = Options::default().own().env("CONSENT_KEY", KEY).env("ATTACHE_SECRET", "attache-secret");
        let envoy = Envoy::start("tour-users", &file, options).await?;
        Ok(Self { corp: Arc::new(corp), partner, envoy, port })
    }

    /// Where browsers reach it.
    pub fn origin(&self) -> String {
        format!("http://localhost:{}", self.port.port())
    }

    /// The link in an answer, if there is one.
    pub fn link(&self, reply: &Reply) -> Option<String> {
        link_in(&reply.json()).filter(|link| link.starts_with(&format!("{}/consent/start?link=", self.origin())))
    }

    /// Makes the state of things in which the caller with this token has not agreed.
    pub async fn forget(&self, token: &str) -> Result<()> {
        let listed = self.grants(Method::GET, "", token).await?;
        ensure!(listed.status == 200, "the list of grants: {} {}", listed.status, listed.text());
        for grant in listed.json()["grants"].as_array().into_iter().flatten() {
            let id = grant["id"].as_str().context("a grant without id")?;
            let gone = self.grants(Method::DELETE, &format!("/{id}"), token).await?;
            ensure!(gone.status == 204, "a grant is not given up: {} {}", gone.status, gone.text());
        }
        Ok(())
    }

    async fn grants(&self, method: Method, rest: &str, token: &str) -> Result<Reply> {
        let call = Call::new(method, format!("/consent/grants{rest}")).host(self.origin().trim_start_matches("http://"));
        call.bearer(token).send(self.envoy.port()).await
    }

    /// Whether the caller with this token has agreed; the answer to a message.
    pub async fn has_agreed(&self, token: &str) -> Result<(bool, Reply)> {
        let reply = call("asked").bearer(token).send(self.envoy.port()).await?;
        Ok((self.link(&reply).is_none(), reply))
    }

    /// `user`, whose token this is and who has not agreed, opens the link in headless Chromium, signs in at both servers, and allows it.
    ///
    /// The value is what the last page says.
    pub async fn agree(&self, user: &str, token: &str) -> Result<String> {
        let (_, reply) = self.has_agreed(token).await?;
        let link = self.link(&reply).with_context(|| format!("no link: {}", reply.text()))?;
        let browser = Browser::start(&[], &[]).await?;
        let person = browser.person(user);
        person.open(&link).await?;
        person.press(&format!("Continue to {}", self.corp.issuer.trim_start_matches("http://"))).await?;
        // At the organization, and at the partner.
        for _ in 0..2 {
            person.sign_in(user).await?;
            person.allow().await?;
        }
        let page = person.see().await?;
        page.ensure_clean()?;
        Ok(page.heading().to_owned())
    }

    async fn agree_anew(&self, user: &str, token: &str) -> Result<String> {
        self.forget(token).await?;
        self.agree(user, token).await
    }

    /// How the agreement of `user`, whose token this is, comes out.
    pub async fn agreement(&self, user: &str, token: &str) -> Outcome {
        match self.agree_anew(user, token).await {
            Ok(heading) => answered(&format!("the last page: {heading}")),
            Err(error) => Outcome { status: "-".to_owned(), outcome: format!("{error:#}"), reason: String::new() },
        }
    }
}

/// The message that goes as its user.
pub fn call(text: &str) -> Call {
    message(text, &json!({}))
}

/// The calls: before the user has agreed, the agreement, and after that.
pub fn steps() -> Vec<Step> {
    let step = |name, caller, act, stated| Step { call: name, caller, door: Door::Users, proof: Proof::Bob, act, stated };
    vec![
        step(
            "out by user_passthrough",
            "a user who has not agreed",
            Act::AsUser { call: call("not yet"), read: asked, agreed: false },
            answered("a task in AUTH_REQUIRED, with a link"),
        ),
        step("the link, in headless Chromium", "that user: signs in, allows", Act::Agree, answered("the last page: Access is allowed")),
        step(
            "out by user_passthrough",
            "that user, who has agreed",
            Act::AsUser { call: call("agreed"), read: received, agreed: true },
            answered("agent got Bearer eyJ…, client attache, subject bob"),
        ),
    ]
}

/// Reads the answer that the filter gives in place of the agent.
fn asked(reply: &Reply) -> String {
    match (reply.json()["result"]["task"]["status"]["state"].as_str(), link_in(&reply.json())) {
        (Some("TASK_STATE_AUTH_REQUIRED"), Some(_)) => "a task in AUTH_REQUIRED, with a link".to_owned(),
        _ => format!("unexpected: {:.60}", reply.text()),
    }
}

fn link_in(answer: &Value) -> Option<String> {
    let result = answer.get("result").unwrap_or(answer);
    let parts = result.get("task").unwrap_or(result)["status"]["message"]["parts"].as_array()?;
    parts.iter().find_map(|part| part["data"]["link"].as_str()).map(str::to_owned)
}

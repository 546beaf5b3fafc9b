//! What callers of the tour show: tokens by what they are good for, fetched when they are needed and again before they run out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use crate::authorization::claims;
use crate::canary;
use crate::connections::PARTNER;
use crate::http::Call;
use crate::mesh::{Mesh, SCOPES};
use crate::mint::Mint;
use crate::place;
use crate::sign_in::ORCHESTRATOR;
use crate::tour_users::{ANN, BOB};
use crate::user_server::UserServer;

/// Whom users trust.
pub const USERS: &str = "https://users.example";
/// The one API key of the tour.
pub const KEY: &str = "key-of-the-desk-4711";
/// A token that is asked for anew has at least so many seconds left.
const LEFT: u64 = 60;

/// What a caller shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    None,
    Good,
    /// For another agent.
    OtherAgent,
    Expired,
    /// Without the agent's scope.
    NoScope,
    /// Of a client that may not cancel.
    Guest,
    /// For the partner itself.
    ForPartner,
    /// A user's, of an issuer that one agent alone trusts.
    User,
    /// Of users who sign in at a server of their own: one has not agreed that calls go in her name, the other agrees in the tour.
    Ann,
    Bob,
    ApiKey,
    /// The client's certificate, which is no header.
    Certificate,
    /// A token and a key that nobody gave it.
    Own,
    /// Such a token alone.
    OwnToken,
}

/// The tokens that were fetched.
pub struct Wallet<'m> {
    mesh: &'m Mesh,
    users: Mint,
    /// Where users sign in.
    corp: OnceLock<Arc<UserServer>>,
    /// Each with the second in which it runs out.
    kept: Mutex<BTreeMap<Proof, (String, u64)>>,
}

impl<'m> Wallet<'m> {
    /// Fetches all at once: one takes seconds, because it has to run out.
    pub async fn open(mesh: &'m Mesh) -> Result<Self> {
        canary::keep(KEY);
        let wallet = Self { mesh, users: Mint::new("users-1")?, corp: OnceLock::new(), kept: Mutex::default() };
        tokio::try_join!(
            wallet.token(Proof::Good),
            wallet.token(Proof::OtherAgent),
            wallet.token(Proof::Expired),
            wallet.token(Proof::NoScope),
            wallet.token(Proof::Guest),
            wallet.token(Proof::ForPartner),
        )?;
        Ok(wallet)
    }

    /// Who signs users' tokens.
    pub fn users(&self) -> &Mint {
        &self.users
    }

    /// From now on there are users who sign in.
    pub fn know(&self, corp: &Arc<UserServer>) {
        self.corp.get_or_init(|| corp.clone());
    }

    /// The token that belongs to `proof`, if one does.
    pub async fn token(&self, proof: Proof) -> Result<Option<String>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&proof).cloned();
        match kept {
            Some((token, expiry)) if proof == Proof::Expired || expiry > place::now() + LEFT => return Ok(Some(token)),
            _ => {}
        }
        let (authorization, audience) = (&self.mesh.authorization, &self.mesh.audience);
        let token = match proof {
            Proof::Good => self.mesh.token().await?,
            Proof::OtherAgent => authorization.token("https://other.example.com", SCOPES).await?,
            Proof::Expired => authorization.expired_token(audience, SCOPES).await?,
            Proof::NoScope => authorization.token(audience, "agent:read").await?,
            Proof::Guest => authorization.token_of("guest", audience, SCOPES).await?,
            Proof::ForPartner => authorization.token(PARTNER, SCOPES).await?,
            Proof::User => self.sign(),
            Proof::Ann => self.signed_in(ANN).await?,
            Proof::Bob => self.signed_in(BOB).await?,
            Proof::Own | Proof::OwnToken => return Ok(Some("mine".to_owned())),
            Proof::None | Proof::ApiKey | Proof::Certificate => return Ok(None),
        };
        let expiry = claims(&token)?["exp"].as_u64().unwrap_or(0);
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(proof, (token.clone(), expiry));
        Ok(Some(token))
    }

    async fn signed_in(&self, user: &str) -> Result<String> {
        let corp = self.corp.get().context("nobody can sign in yet")?;
        Ok(corp.tokens(user, ORCHESTRATOR, "agent:execute").await?.access)
    }

    fn sign(&self) -> String {
        let now = place::now();
        self.users.sign(&json!({
            "iss": USERS, "aud": self.mesh.audience, "sub": "ann", "client_id": "desk-app", "scp": SCOPES, "iat": now, "exp": now + 360,
        }))
    }

    /// `call` with what belongs to `proof` in its headers.
    pub async fn prove(&self, proof: Proof, call: Call) -> Result<Call> {
        let call = self.token(proof).await?.into_iter().fold(call, |call, token| call.bearer(&token));
        Ok(match proof {
            Proof::ApiKey => call.header("x-api-key", KEY),
            Proof::Own => call.header("x-api-key", "mine"),
            _ => call,
        })
    }
}

//! What authorization servers are asked for users: tokens for a code, new ones for old ones, and that they be forgotten.

use crate::config::{Client, Connection, TokenEndpoint, TokenParameters};
use crate::credential::Failure;
use crate::credential::app_server::AppServer;
use crate::credential::endpoint::{Grant, TokenRequest};
use crate::flow::supply::store::Supply;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};

/// A request, or why there is none.
pub type Asked = Result<TokenRequest, (Failure, String)>;

impl Supply {
    /// The request for the tokens of `code` (RFC 6749 section 4.1.3).
    pub(in crate::flow) fn ask_by_code(
        &self,
        client: &Client,
        (code, verifier, redirect_uri): (&str, &str, &str),
        resource: &[String],
        now: UnixTime,
    ) -> Asked {
        let parameters = vec![("code", code), ("redirect_uri", redirect_uri), ("code_verifier", verifier)];
        self.ask_as(client, "authorization_code", parameters, resource, now)
    }

    /// The request for new tokens (RFC 6749 section 6).
    pub(super) fn ask_anew(&self, connection: &Connection, server: &AppServer, refresh: &SecretString, now: UnixTime) -> Asked {
        let resource = connection.user_passthrough().map_or(&[][..], |own| &own.resource);
        let parameters = vec![("refresh_token", refresh.expose_secret())];
        self.ask_as(&server.client, "refresh_token", parameters, resource, now).map(|request| at(&server.refresh_endpoint, request))
    }

    /// The request that `token` be forgotten (RFC 7009 section 2.1); none where the server has no place for it.
    pub(in crate::flow) fn ask_to_forget(
        &self,
        server: &AppServer,
        token: &SecretString,
        kind: &'static str,
        now: UnixTime,
    ) -> Option<Asked> {
        let endpoint = server.revocation_endpoint.as_ref()?;
        let parameters = vec![("token", token.expose_secret()), ("token_type_hint", kind)];
        Some(self.ask_as(&server.client, "", parameters, &[], now).map(|request| at(endpoint, request)))
    }

    fn ask_as(&self, client: &Client, kind: &'static str, parameters: Vec<(&str, &str)>, resource: &[String], now: UnixTime) -> Asked {
        let request = TokenParameters { resource: resource.to_vec(), ..TokenParameters::default() };
        let grant = Grant { kind, parameters, request: &request, assertion: None };
        let serial = self.outgoing.nonces.next(now);
        let asked = grant.request(client, &self.secrets(), now, &serial);
        self.signed(asked.map_err(|(name, error)| (Failure::Unavailable, format!("secret {name:?} {error}")))?)
    }
}

/// The same at another endpoint.
fn at(endpoint: &TokenEndpoint, request: TokenRequest) -> TokenRequest {
    let TokenEndpoint { uri, cluster, timeout } = endpoint.clone();
    TokenRequest { uri, cluster, timeout, ..request }
}

//! What authorization servers are asked for users: tokens for a code, new ones for old ones, and that they be forgotten.

use crate::config::{Client, Connection, TokenEndpoint, TokenParameters, Way};
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
        self.ask_with(client, kind, parameters, &request, now)
    }

    /// The request with which a flow begins whose user agrees on another device (RFC 8628 section 3.1, CIBA section 7.1).
    pub(super) fn ask_to_begin(
        &self,
        connection: &Connection,
        server: &AppServer,
        parameters: Vec<(&str, &str)>,
        now: UnixTime,
    ) -> Option<Asked> {
        let own = connection.user_passthrough()?;
        let (_, app) = self.config.app_of(connection)?;
        let request = TokenParameters {
            scopes: own.scopes(app).to_vec(),
            resource: own.resource.clone(),
            parameters: app.authorization_parameters.clone(),
            ..TokenParameters::default()
        };
        let asked = self.ask_with(&server.client, "", parameters, &request, now);
        let endpoint = own.way().map(Way::endpoint)?;
        Some(asked.map(|request| at(endpoint, request)))
    }

    /// The request how such a flow stands (RFC 8628 section 3.4, CIBA section 10.1).
    pub(super) fn ask_again(&self, connection: &Connection, server: &AppServer, code: &SecretString, now: UnixTime) -> Option<Asked> {
        let own = connection.user_passthrough()?;
        let (kind, name) = own.way()?.grant();
        Some(self.ask_as(&server.client, kind, vec![(name, code.expose_secret())], &own.resource, now))
    }

    fn ask_with(
        &self,
        client: &Client,
        kind: &'static str,
        parameters: Vec<(&str, &str)>,
        request: &TokenParameters,
        now: UnixTime,
    ) -> Asked {
        let grant = Grant { kind, parameters, request, assertion: None };
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

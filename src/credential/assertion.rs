//! Client assertions (RFC 7523 section 3).

use super::Key;
use super::signing::Unsigned;
use crate::config::{Client, PrivateKeyJwt};
use crate::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::json;

/// `client_assertion_type` of a JWT (RFC 7523 section 2.2).
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What `client` asserts at `now`, still to be signed. `serial` is its `jti`.
#[must_use]
pub fn unsigned(client: &Client, own: &PrivateKeyJwt, key: SecretString, now: UnixTime, serial: &Key) -> Unsigned {
    let issued = now.since(UnixTime::default()).as_secs();
    let audience = own.audience.clone().unwrap_or_else(|| client.token_endpoint.uri.to_string());
    let claims = json!({
        "iss": client.client_id, "sub": client.client_id, "aud": audience, "jti": URL_SAFE_NO_PAD.encode(serial),
        "iat": issued, "nbf": issued, "exp": issued.saturating_add(own.lifetime.as_secs()),
    });
    Unsigned::new(own.algorithm, key, &[("kid", own.key_id.as_deref()), ("x5t", own.x5t.as_deref())], &claims)
}

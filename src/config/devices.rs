//! Users who agree without a browser that comes here: with a code on any device (RFC 8628), or asked by their server on a device of theirs
//! (OpenID Connect CIBA Core 1.0).

use super::{ConfigError, OauthApp, TokenEndpoint};
use serde::Deserialize;

/// Longest text that is sent as a binding message, without what the filter adds.
const LONGEST_MESSAGE: usize = 48;
/// Claims that users of many issuers choose themselves.
const CHOSEN: [&str; 5] = ["preferred_username", "nickname", "name", "given_name", "family_name"];
/// Parameters of a CIBA request that this side sets itself, or that would name somebody else.
const OURS: [&str; 6] = ["login_hint", "login_hint_token", "id_token_hint", "binding_message", "client_notification_token", "user_code"];

/// Users agree on any device with a browser, where they enter a code (RFC 8628).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct DeviceCode {
    /// Where a code is asked for (`device_authorization_endpoint` of the server's metadata).
    pub endpoint: TokenEndpoint,
}

/// The server asks users on a device of theirs (CIBA, poll mode).
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Ciba {
    /// Where that is asked for (`backchannel_authentication_endpoint` of the server's metadata).
    pub endpoint: TokenEndpoint,
    /// The claim of the caller's token that tells the server whom to ask (`login_hint`): one that the issuer has verified, such as `sub`.
    /// `email` counts only with `email_verified: true`, `phone_number` only with `phone_number_verified: true`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub login_hint: String,
    /// What the device shows to the user (`binding_message`), before a code of four letters that is another each time; the task shows the
    /// same. At most 48 letters, digits, blanks and `. , : # - _`.
    #[serde(default = "request")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[A-Za-z0-9_ .,:#-]{1,48}$"), extend("default" = "Request")))]
    pub binding_message: String,
}

/// How users of a connection agree.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    /// With a code.
    DeviceCode(&'a DeviceCode),
    /// Asked by their server.
    Ciba(&'a Ciba),
}

impl<'a> Way<'a> {
    /// Where a flow begins.
    #[must_use]
    pub const fn endpoint(self) -> &'a TokenEndpoint {
        match self {
            Self::DeviceCode(own) => &own.endpoint,
            Self::Ciba(own) => &own.endpoint,
        }
    }

    /// The grant type of its token requests, and the parameter that has what the flow is known by.
    #[must_use]
    pub const fn grant(self) -> (&'static str, &'static str) {
        match self {
            Self::DeviceCode(_) => ("urn:ietf:params:oauth:grant-type:device_code", "device_code"),
            Self::Ciba(_) => ("urn:openid:params:grant-type:ciba", "auth_req_id"),
        }
    }

    pub(super) fn check(self, at: &str) -> Result<(), ConfigError> {
        match self {
            Self::DeviceCode(own) => own.endpoint.check(&format!("{at}.device_code.endpoint")),
            Self::Ciba(own) => {
                let at = format!("{at}.ciba");
                own.endpoint.check(&format!("{at}.endpoint"))?;
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b" .,:#-_".contains(&byte);
                let text = &own.binding_message;
                if own.login_hint.is_empty() {
                    return Err(ConfigError::of(&at, "login_hint", "name a claim"));
                }
                if CHOSEN.contains(&own.login_hint.as_str()) {
                    return Err(ConfigError::of(
                        &at,
                        "login_hint",
                        "is a claim that users may choose themselves: name one that the issuer verifies",
                    ));
                }
                if !(1..=LONGEST_MESSAGE).contains(&text.len()) || !text.bytes().all(fits) {
                    return Err(ConfigError::of(&at, "binding_message", "must be 1 to 48 letters, digits, blanks and . , : # - _"));
                }
                Ok(())
            }
        }
    }

    /// Whether `app` will do for it.
    pub(super) fn check_app(self, at: &str, scopes: &[String], app: &OauthApp) -> Result<(), ConfigError> {
        let Self::Ciba(_) = self else { return Ok(()) };
        if !scopes.iter().any(|scope| scope == "openid") {
            return Err(ConfigError::of(at, "scopes", "must have openid: ciba needs it"));
        }
        match OURS.iter().find(|name| app.authorization_parameters.0.contains_key(**name)) {
            Some(name) => {
                Err(ConfigError::of(at, "ciba", &["cannot be used with an app whose authorization_parameters have ", name].concat()))
            }
            None => Ok(()),
        }
    }
}

fn request() -> String {
    "Request".to_owned()
}

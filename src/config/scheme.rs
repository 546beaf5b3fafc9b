//! Ways to authenticate, by the names that cards and `agents[].security` use.

use super::{ConfigError, Issuer};
use serde::Deserialize;

/// A way to authenticate, as a card's `securitySchemes` names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// `Authorization: Bearer` with a JWT (RFC 6750, RFC 9068).
    Bearer(Bearer),
}

/// A bearer scheme.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// Names of the issuers whose tokens are taken.
    pub issuers: Vec<String>,
}

impl Scheme {
    pub(super) fn check(&self, at: &str, issuers: &[Issuer]) -> Result<(), ConfigError> {
        match self {
            Self::Bearer(bearer) => {
                let at = format!("{at}.bearer.issuers");
                if bearer.issuers.is_empty() {
                    return Err(ConfigError::new(at, "name at least one issuer"));
                }
                let unknown = |wanted: &String| !issuers.iter().any(|issuer| &issuer.name == wanted);
                match bearer.issuers.iter().position(unknown) {
                    Some(index) => {
                        let name = bearer.issuers.get(index);
                        Err(ConfigError::new(
                            format!("{at}[{index}]"),
                            format!("there is no issuer called {:?}", name.map_or("", String::as_str)),
                        ))
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

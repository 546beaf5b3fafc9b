//! Names of headers and query parameters that a connection drops from calls, or keeps.

use super::ConfigError;
use crate::wire::header;
use crate::wire::sorted::SortedSet;
use serde::Deserialize;

/// Headers and query parameters, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Headers.
    #[serde(default)]
    pub headers: Vec<FieldName>,
    /// Query parameters.
    #[serde(default)]
    pub query: Vec<FieldName>,
}

/// A name, or one with a star at its beginning or end, such as `x-token-*`. Case, `-` and `_` make no difference.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^(\*?[!#$%&'+.^_`|~0-9A-Za-z-]+|[!#$%&'+.^_`|~0-9A-Za-z-]+\*)$")))]
#[serde(try_from = "String")]
pub enum FieldName {
    /// `x-api-key`, folded.
    Is(String),
    /// `x-ms-token-*`: what stands before the star, folded.
    Begins(String),
    /// `*-token`: what stands behind it, folded.
    Ends(String),
}

/// `name` in lower case, without `-` and `_`.
#[must_use]
pub fn folded(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '-' | '_')).map(|letter| letter.to_ascii_lowercase()).collect()
}

impl FieldName {
    /// Whether a name, [`folded`], is meant.
    #[must_use]
    pub fn covers(&self, folded: &str) -> bool {
        match self {
            Self::Is(name) => folded == name,
            Self::Begins(start) => folded.starts_with(start.as_str()),
            Self::Ends(end) => folded.ends_with(end.as_str()),
        }
    }
}

impl TryFrom<String> for FieldName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a name, or one with a star at its beginning or end, such as x-token-*";
        let plain = text.strip_prefix('*').or_else(|| text.strip_suffix('*')).unwrap_or(&text);
        let name = folded(plain);
        if name.is_empty() || plain.contains('*') || !header::is_token(plain) {
            return Err(WRONG);
        }
        Ok(match (text.starts_with('*'), text.ends_with('*')) {
            (true, _) => Self::Ends(name),
            (_, true) => Self::Begins(name),
            _ => Self::Is(name),
        })
    }
}

impl Fields {
    /// Errs if these, which a connection keeps of what clients send, hold what never leaves: `headers` and `parameters` are the
    /// places of credentials in this configuration.
    pub(super) fn check_kept(&self, at: &str, headers: &SortedSet<&str>, parameters: &SortedSet<&str>) -> Result<(), ConfigError> {
        let verified = ["authorization", "proxy-authorization"];
        for (index, kept) in self.headers.iter().enumerate() {
            let fail = |reason: &str| Err(ConfigError::new(format!("{at}.headers[{index}]"), reason));
            if verified.iter().any(|name| kept.covers(&folded(name))) {
                return fail("Authorization never leaves as it came: use credential.passthrough, which verifies it first");
            }
            if headers.iter().any(|name| kept.covers(&folded(name))) {
                return fail("a credential of this configuration is in this header");
            }
        }
        for (index, kept) in self.query.iter().enumerate() {
            if parameters.iter().any(|name| kept.covers(&folded(name))) {
                return Err(ConfigError::new(format!("{at}.query[{index}]"), "a credential of this configuration is in this parameter"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldName, Fields, folded};

    fn name(text: &str) -> FieldName {
        FieldName::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn names_are_folded_and_may_have_one_star() {
        assert!(name("X_Api-Key").covers(&folded("x-apikey")));
        assert!(name("x-ms-token-*").covers(&folded("X-MS-TOKEN-AAD")));
        assert!(name("*-token").covers(&folded("x_auth_token")));
        assert!(!name("*-token").covers(&folded("x-token-type")));
        for odd in ["", "*", "**", "*a*", "a*b", "-", "a b", "x:y", "-*"] {
            assert!(FieldName::try_from(odd.to_owned()).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_never_leaves_cannot_be_kept() {
        let fault = |headers: &str| {
            let fields: Fields = serde_json::from_str(&format!(r#"{{"headers":[{headers}]}}"#)).unwrap();
            fields.check_kept("keep", &["x-api-key"].into(), &["q"].into()).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(fault(r#""cookie", "x-ms-token-aad-*""#), "");
        for kept in [r#""a", "authorization""#, r#""a", "proxy_*""#, r#""a", "*-key""#, r#""a", "X_API_KEY""#] {
            assert!(fault(kept).starts_with("keep.headers[1]: "), "{kept}");
        }
    }
}

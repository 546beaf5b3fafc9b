//! What a token has to say to be good at one place: an issuer's terms, in which a scheme and an agent may have others. A token
//! is for one audience (RFC 9068 section 4), and agents of one issuer seldom share theirs.

use super::claims::Field;
use super::{ConfigError, Issuer};
use std::rc::Rc;
use std::time::Duration;

/// What a token has to say, whoever signed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// A token is for us if its `aud` holds one of these, exactly (RFC 7519 section 4.1.3).
    pub audiences: Vec<String>,
    /// What it must say besides.
    pub required: Vec<Field>,
    /// What header `typ` may be, compared without regard to case and to a leading `application/`. A token without `typ` counts
    /// as `JWT`.
    pub token_types: Vec<String>,
    /// Longest accepted `exp - iat`; a token without `iat` is then refused.
    pub max_lifetime: Option<Duration>,
}

/// The terms that differ from those of the issuer. What is left out is as the issuer has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnTerms<'c> {
    /// See [`Terms::audiences`].
    pub audiences: Option<&'c [String]>,
    /// See [`Terms::required`].
    pub required: Option<&'c [Field]>,
    /// See [`Terms::token_types`].
    pub token_types: Option<&'c [String]>,
    /// See [`Terms::max_lifetime`].
    pub max_lifetime: Option<Duration>,
}

impl Terms {
    /// These, but for what `own` has.
    #[must_use]
    pub fn with(self: &Rc<Self>, own: &OwnTerms<'_>) -> Rc<Self> {
        let OwnTerms { audiences, required, token_types, max_lifetime } = own;
        if audiences.is_none() && required.is_none() && token_types.is_none() && max_lifetime.is_none() {
            return Rc::clone(self);
        }
        Rc::new(Self {
            audiences: audiences.map_or_else(|| self.audiences.clone(), <[_]>::to_vec),
            required: required.map_or_else(|| self.required.clone(), <[_]>::to_vec),
            token_types: token_types.map_or_else(|| self.token_types.clone(), <[_]>::to_vec),
            max_lifetime: max_lifetime.or(self.max_lifetime),
        })
    }
}

/// Errs on lists at `at` that name nothing where something is to be named.
pub(super) fn check(at: &str, own: &OwnTerms<'_>) -> Result<(), ConfigError> {
    if own.audiences.is_some_and(|list| list.is_empty() || list.iter().any(String::is_empty)) {
        return Err(ConfigError::of(at, "audiences", AUDIENCE));
    }
    if own.token_types.is_some_and(<[_]>::is_empty) {
        return Err(ConfigError::of(at, "token_types", "name at least one type, or leave the member out for the default"));
    }
    if own.max_lifetime == Some(Duration::ZERO) {
        return Err(ConfigError::of(at, "max_lifetime", "must be longer than 0s"));
    }
    Ok(())
}

/// Errs if tokens of one of `named` issuers are taken where nobody says for whom they must be.
pub(super) fn has_audiences(issuers: &[Issuer], named: &[String]) -> Result<(), ConfigError> {
    let lacking = |issuer: &Issuer| issuer.terms.audiences.is_empty() && named.contains(&issuer.name);
    match issuers.iter().position(lacking) {
        Some(index) => Err(ConfigError::new(format!("issuers[{index}].audiences"), AUDIENCE)),
        None => Ok(()),
    }
}

const AUDIENCE: &str = "name at least one audience: a token for someone else must be refused";

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    fn read(change: impl Fn(&mut Value)) -> Result<(), String> {
        let client = json!({"id": "me", "secret": {"secret": "s"}});
        let mut text = json!({
            "issuers": [{"name": "corp", "issuer": "https://a.example", "jwks": {"inline": {"keys": []}}}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}, "opaque": {"introspection": {"uri": "https://a.example/i",
                "cluster": "idp", "audiences": ["a"], "client": client}}},
            "secrets": {"s": {"env": "S"}},
            "agents": [{"name": "x", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"0.3": {"bindings": ["jsonrpc"]}},
                        "security": [{"oauth2": []}]}]
        });
        change(&mut text);
        Config::parse(text.to_string().as_bytes()).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn somebody_says_whom_tokens_must_be_for() {
        let missing = "issuers[0].audiences: name at least one audience: a token for someone else must be refused";
        assert_eq!(read(|_| ()), Err(missing.to_owned()));
        assert_eq!(read(|text| text["issuers"][0]["audiences"] = json!(["a"])), Ok(()));
        assert_eq!(read(|text| text["schemes"]["oauth2"]["bearer"]["audiences"] = json!(["a"])), Ok(()));
        assert_eq!(read(|text| text["agents"][0]["audiences"] = json!(["a"])), Ok(()));
        // A connection has no audience of its own to judge callers by.
        let connection = json!({"name": "hr", "match": {"hosts": ["hr.example"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
                                "security": [{"oauth2": []}], "credential": {"none": {}}});
        let both = |text: &mut Value| {
            text["agents"][0]["audiences"] = json!(["a"]);
            text["connections"] = json!([connection]);
        };
        assert_eq!(read(both), Err(missing.to_owned()));
    }

    #[test]
    fn a_list_that_names_nothing_is_an_error_at_its_place() {
        for (member, value, expected) in [
            ("audiences", json!([]), "audiences: name at least one audience"),
            ("audiences", json!([""]), "audiences: name at least one audience"),
            ("token_types", json!([]), "token_types: name at least one type"),
            ("max_lifetime", json!("0s"), "max_lifetime: must be longer than 0s"),
            ("required", json!(["aud"]), "required[0]: unknown variant"),
        ] {
            let error = read(|text| text["schemes"]["oauth2"]["bearer"][member] = value.clone()).unwrap_err();
            assert!(error.starts_with(&format!("schemes.oauth2.bearer.{expected}")), "{error}");
        }
    }

    #[test]
    fn opaque_tokens_have_the_audiences_of_their_scheme() {
        let opaque = |text: &mut Value| {
            text["agents"][0]["security"] = json!([{"opaque": []}]);
            text["agents"][0]["audiences"] = json!(["a"]);
        };
        let error = read(opaque).unwrap_err();
        assert!(error.starts_with("agents[0].audiences: whom opaque tokens must be for stands in schemes.opaque"), "{error}");
    }
}

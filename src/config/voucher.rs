//! Who vouches for callers: an issuer for those who bring its tokens, a scheme for those who bring its keys, passwords,
//! certificates or opaque tokens. The name of a subject, client or tenant means somebody only together with that (RFC 7519
//! section 4.1.2 has `sub` unique in its issuer).

use super::{ConfigError, Demanded, Issuer, Scheme};
use crate::wire::json::UniqueMap;
use crate::wire::sorted::SortedMap;

/// Who vouches for one caller, by its name in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher<'c> {
    /// An issuer of tokens.
    Issuer(&'c str),
    /// A scheme of any kind but `bearer`.
    Scheme(&'c str),
}

impl<'c> Voucher<'c> {
    /// The name. `unique` made sure that no issuer and no scheme share one.
    #[must_use]
    pub const fn name(self) -> &'c str {
        match self {
            Self::Issuer(name) | Self::Scheme(name) => name,
        }
    }
}

/// Everyone who can vouch for callers at one place.
#[derive(Debug)]
pub(super) struct Vouchers<'c> {
    issuers: Vec<&'c Issuer>,
    schemes: Vec<&'c str>,
}

/// What a list of names says of who vouches for them.
pub(super) struct Said<'c> {
    pub issuers: &'c [String],
    pub schemes: &'c [String],
    pub tenants: &'c [String],
}

impl<'c> Vouchers<'c> {
    /// Of the whole configuration.
    pub fn all(issuers: &'c [Issuer], schemes: &'c SortedMap<String, Scheme>) -> Self {
        Self::of(schemes.iter().map(|(name, scheme)| (name.as_str(), scheme)), issuers)
    }

    /// Of an agent that demands `demanded`. A card may name any scheme. Where a requirement has a token beside other things,
    /// the caller is the token's.
    pub fn at(demanded: &'c Demanded, issuers: &'c [Issuer], schemes: &'c SortedMap<String, Scheme>) -> Self {
        let Demanded::Requirements(requirements) = demanded else { return Self::all(issuers, schemes) };
        let named = requirements.iter().flat_map(|UniqueMap(requirement)| {
            let parts = || requirement.keys().filter_map(|name| Some((name.as_str(), schemes.get(name)?)));
            let has_token = parts().any(|(_, scheme)| scheme.is_token());
            parts().filter(move |(_, scheme)| !has_token || scheme.is_token())
        });
        Self::of(named, issuers)
    }

    /// Of tokens of `issuers` alone.
    pub const fn of_tokens(issuers: Vec<&'c Issuer>) -> Self {
        Self { issuers, schemes: Vec::new() }
    }

    fn of(named: impl Iterator<Item = (&'c str, &'c Scheme)>, issuers: &'c [Issuer]) -> Self {
        let mut own = Self { issuers: Vec::new(), schemes: Vec::new() };
        let mut taken = Vec::new();
        for (name, scheme) in named {
            match scheme {
                Scheme::Bearer(bearer) => taken.extend(bearer.issuers.iter().map(String::as_str)),
                // Who brings nothing has no name.
                Scheme::None(_) => {}
                _ if !own.schemes.contains(&name) => own.schemes.push(name),
                _ => {}
            }
        }
        own.issuers.extend(issuers.iter().filter(|issuer| taken.contains(&issuer.name.as_str())));
        own
    }

    /// Whether a name could be that of callers of several.
    pub const fn are_several(&self) -> bool {
        self.issuers.len().saturating_add(self.schemes.len()) > 1
    }

    /// Errs at `at` if names there could be those of several owners: callers of several issuers or schemes, or of several
    /// tenants of one issuer.
    pub fn check(&self, at: &str, said: &Said<'_>, all: &[Issuer]) -> Result<(), ConfigError> {
        let says_nothing = said.issuers.is_empty() && said.schemes.is_empty();
        if says_nothing && self.are_several() {
            let mut lines = Vec::new();
            if !self.issuers.is_empty() {
                lines.push(format!("\"issuers\": {:?}", self.issuers.iter().map(|issuer| issuer.name.as_str()).collect::<Vec<_>>()));
            }
            if !self.schemes.is_empty() {
                lines.push(format!("\"schemes\": {:?}", self.schemes));
            }
            let reason = format!(
                "callers of several issuers or schemes can have these names: say whose they are beside them, with those that you mean of {}",
                lines.join(", ")
            );
            return Err(ConfigError::new(at, reason));
        }
        let meant = |issuer: &&Issuer| if says_nothing { self.has(issuer) } else { said.issuers.contains(&issuer.name) };
        match all.iter().filter(meant).find(|issuer| issuer.tenants.len() > 1) {
            Some(issuer) if said.tenants.is_empty() => Err(ConfigError::new(
                at,
                format!(
                    "callers of several tenants of issuer {:?} can have these names: say whose they are beside them, with those that you \
                     mean of \"tenants\": {:?}",
                    issuer.name, issuer.tenants
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Errs at `at`, where a rule asks for users or services, if tokens that come there may say nothing of that: by default whoever has
    /// no `scp` is a service, and at many issuers services have one.
    pub fn check_kind(&self, at: &str, said: &Said<'_>, all: &[Issuer], schemes: &SortedMap<String, Scheme>) -> Result<(), ConfigError> {
        let says_nothing = said.issuers.is_empty() && said.schemes.is_empty();
        let meant = |issuer: &Issuer| if says_nothing { self.has(issuer) } else { said.issuers.contains(&issuer.name) };
        let of_issuers = all.iter().enumerate().filter(|(_, issuer)| meant(issuer) && !issuer.claims.tells_kind);
        let of_issuers = of_issuers.map(|(index, issuer)| (format!("issuers[{index}]"), issuer.preset.is_none()));
        let asked = |name: &str| if says_nothing { self.schemes.contains(&name) } else { said.schemes.iter().any(|own| own == name) };
        let of_schemes = schemes.iter().filter_map(|(name, scheme)| match scheme {
            Scheme::Introspection(scheme) if asked(name) && !scheme.claims.tells_kind => {
                Some((format!("schemes.{name}.introspection"), false))
            }
            _ => None,
        });
        match of_issuers.chain(of_schemes).next() {
            None => Ok(()),
            Some((place, may_have_preset)) => Err(kind_unsaid(at, &place, may_have_preset)),
        }
    }

    fn has(&self, issuer: &Issuer) -> bool {
        self.issuers.iter().any(|own| own.name == issuer.name)
    }
}

/// Errs on a scheme that is called as an issuer, where both vouch for callers: what goes on could not tell the two apart.
pub(super) fn unique(issuers: &[Issuer], schemes: &SortedMap<String, Scheme>) -> Result<(), ConfigError> {
    for (name, _) in schemes.iter().filter(|(_, scheme)| !matches!(scheme, Scheme::Bearer(_))) {
        if issuers.iter().any(|issuer| issuer.name == *name || issuer.issuer == *name) {
            let reason = "an issuer is called so too, and callers are told apart by this name: give one of the two another";
            return Err(ConfigError::new(format!("schemes.{name}"), reason));
        }
    }
    Ok(())
}

/// The names in `wanted` that are of no scheme that vouches for callers: the first, with what to write in its place.
pub(super) fn unknown_scheme(wanted: &[String], schemes: &SortedMap<String, Scheme>) -> Option<(usize, String)> {
    wanted.iter().enumerate().find_map(|(index, name)| match schemes.get(name) {
        None => Some((index, format!("there is no scheme called {name:?}"))),
        Some(Scheme::Bearer(bearer)) => {
            Some((index, format!("tokens of scheme {name:?} are vouched for by their issuers: write \"issuers\": {:?}", bearer.issuers)))
        }
        Some(Scheme::None(_)) => Some((index, format!("scheme {name:?} asks for nothing, so nobody has a name there"))),
        Some(_) => None,
    })
}

/// The error at `at` that tokens of `place` may not say whether they are a user's.
pub(super) fn kind_unsaid(at: &str, place: &str, may_have_preset: bool) -> ConfigError {
    let preset = if may_have_preset { "the \"preset\" of its provider, or " } else { "" };
    let reason = format!(
        "nothing says which tokens of {place} are users' and which services'. Add there {preset}a claim that only one of the two has: \
         \"claims\": {{\"user_marker\": [\"…\"]}} or {{\"service_marker\": [\"…\"]}}"
    );
    ConfigError::new(at, reason)
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    /// Two issuers, one of them with two tenants, and a scheme of each other kind.
    fn fault(change: impl Fn(&mut Value)) -> String {
        let jwks = json!({"inline": {"keys": []}});
        let keys = json!([{"id": "acme", "sha256": "a64198d6870f5906e82dd9a7b36ed06515c60ec40e3c55e9f25bf4e82fdc9725"}]);
        let mut config = json!({
            "issuers": [
                {"name": "corp", "issuer": "https://corp.example", "audiences": ["a"], "jwks": jwks},
                {"name": "partner", "issuer": "https://partner.example", "audiences": ["a"], "jwks": jwks},
                {"name": "entra", "preset": "entra", "tenants": ["t-1", "t-2"], "audiences": ["a"], "jwks": jwks}
            ],
            "schemes": {
                "corp": {"bearer": {"issuers": ["corp"]}},
                "both": {"bearer": {"issuers": ["corp", "partner"]}},
                "cloud": {"bearer": {"issuers": ["entra"]}},
                "key": {"api_key": {"in": "header", "name": "x-api-key", "keys": keys}},
                "tls": {"mutual_tls": {"allow": [{"uri": "spiffe://corp/a"}]}},
                "open": {"none": {}}
            },
            "agents": [{"name": "x", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"0.3": {"bindings": ["jsonrpc"]}},
                        "security": [{"both": []}], "access": [{"operations": ["any"], "require": {"clients": ["cli"]}}]}]
        });
        change(&mut config);
        Config::parse(config.to_string().as_bytes()).map_or_else(|error| error.to_string(), |_| String::new())
    }

    fn rule(security: Value, require: Value) -> String {
        fault(|config| {
            config["agents"][0]["security"] = security.clone();
            config["agents"][0]["access"][0]["require"] = require.clone();
        })
    }

    #[test]
    fn a_rule_for_users_or_services_needs_a_sign_of_them() {
        let at = "agents[0].access[0].require.kind: nothing says which tokens of ";
        let rule = |security: Value, require: Value, claims: Value| {
            fault(|config| {
                config["agents"][0]["security"] = security.clone();
                config["agents"][0]["access"][0]["require"] = require.clone();
                config["issuers"][0]["claims"] = claims.clone();
                config["secrets"] = json!({"s": {"env": "S"}});
                config["schemes"]["opaque"] = json!({"introspection": {"uri": "https://o.example", "cluster": "c", "audiences": ["a"],
                    "client": {"id": "x", "secret": {"secret": "s"}}}});
            })
        };
        let (none, marked) = (json!({}), json!({"user_marker": ["scp"]}));
        for (security, require, claims, place) in [
            (json!([{"corp": []}]), json!({"kind": "user"}), &none, "issuers[0] "),
            (json!([{"corp": []}]), json!({"kind": "service"}), &none, "issuers[0] "),
            (json!([{"both": []}]), json!({"kind": "service"}), &marked, "issuers[1] "),
            (json!([{"both": []}]), json!({"kind": "service", "issuers": ["partner"]}), &marked, "issuers[1] "),
            (json!([{"corp": []}, {"opaque": []}]), json!({"kind": "user"}), &marked, "schemes.opaque.introspection "),
            (json!([{"corp": []}, {"opaque": []}]), json!({"kind": "user", "schemes": ["opaque"]}), &none, "schemes.opaque.introspection "),
        ] {
            let error = rule(security.clone(), require.clone(), claims.clone());
            assert!(error.starts_with(&format!("{at}{place}")), "{security} {require} {claims}: {error}");
        }
        for (security, require, claims) in [
            (json!([{"corp": []}]), json!({"kind": "user"}), &marked),
            (json!([{"corp": []}]), json!({"kind": "anonymous"}), &none),
            (json!([{"cloud": []}, {"key": []}]), json!({"kind": "service"}), &none),
            (json!([{"both": []}]), json!({"kind": "user", "issuers": ["corp"]}), &marked),
            (json!([{"corp": []}, {"key": []}]), json!({"kind": "service", "schemes": ["key"]}), &none),
        ] {
            assert_eq!(rule(security.clone(), require.clone(), claims.clone()), "", "{security} {require} {claims}");
        }
        let line = rule(json!([{"corp": []}]), json!({"kind": "user"}), none);
        assert!(
            line.contains(r#"the "preset" of its provider, or a claim"#) && line.contains(r#""claims": {"user_marker": ["…"]}"#),
            "{line}"
        );
    }

    #[test]
    fn names_in_rules_say_whose_they_are_where_several_can_have_them() {
        let at = "agents[0].access[0].require";
        for (security, require, expected) in [
            (json!([{"corp": []}]), json!({"clients": ["cli"]}), String::new()),
            (json!([{"key": []}]), json!({"clients": ["acme"], "subjects": ["x"]}), String::new()),
            (json!([{"corp": []}, {"open": []}]), json!({"clients": ["cli"]}), String::new()),
            // The caller is the token's.
            (json!([{"corp": [], "tls": []}]), json!({"clients": ["cli"]}), String::new()),
            (json!([{"both": []}]), json!({"scopes": ["a"], "roles": ["r"], "kind": "anonymous"}), String::new()),
            (json!([{"both": []}]), json!({"clients": ["cli"], "issuers": ["partner", "corp"]}), String::new()),
            (json!([{"both": []}, {"key": []}]), json!({"clients": ["cli"], "issuers": ["corp"], "schemes": ["key"]}), String::new()),
            (
                json!([{"both": []}]),
                json!({"clients": ["cli"]}),
                format!(
                    "{at}.clients: callers of several issuers or schemes can have these names: say whose they are beside them, with those that you mean of \"issuers\": [\"corp\", \"partner\"]"
                ),
            ),
            (json!([{"both": []}]), json!({"subjects": ["ann"]}), format!("{at}.subjects: callers of several issuers")),
            (json!([{"both": []}]), json!({"tenants": ["t"]}), format!("{at}.tenants: callers of several issuers")),
            (
                json!([{"corp": []}, {"key": []}]),
                json!({"clients": ["cli"]}),
                format!(
                    "{at}.clients: callers of several issuers or schemes can have these names: say whose they are beside them, with those that you mean of \"issuers\": [\"corp\"], \"schemes\": [\"key\"]"
                ),
            ),
            (json!([{"key": []}, {"tls": []}]), json!({"clients": ["cli"]}), format!("{at}.clients: callers of several")),
            (json!([{"key": [], "tls": []}]), json!({"clients": ["cli"]}), format!("{at}.clients: callers of several")),
            (
                json!([{"cloud": []}]),
                json!({"subjects": ["ann"]}),
                format!(
                    "{at}.subjects: callers of several tenants of issuer \"entra\" can have these names: say whose they are beside them, with those that you mean of \"tenants\": [\"t-1\", \"t-2\"]"
                ),
            ),
            (json!([{"cloud": []}]), json!({"subjects": ["ann"], "tenants": ["t-1"]}), String::new()),
            (json!([{"cloud": []}]), json!({"tenants": ["t-1"]}), String::new()),
            (json!([{"cloud": []}, {"key": []}]), json!({"clients": ["acme"], "schemes": ["key"]}), String::new()),
            (
                json!([{"cloud": []}, {"key": []}]),
                json!({"clients": ["acme"], "issuers": ["entra"]}),
                format!("{at}.clients: callers of several tenants"),
            ),
            (json!([{"key": []}]), json!({"schemes": ["kee"]}), format!("{at}.schemes[0]: there is no scheme")),
            (
                json!([{"both": []}]),
                json!({"schemes": ["both"]}),
                format!(
                    "{at}.schemes[0]: tokens of scheme \"both\" are vouched for by their issuers: write \"issuers\": [\"corp\", \"partner\"]"
                ),
            ),
            (json!([{"open": []}]), json!({"schemes": ["open"]}), format!("{at}.schemes[0]: scheme \"open\" asks for nothing")),
        ] {
            let fault = rule(security.clone(), require.clone());
            assert!(fault.starts_with(&expected) && fault.is_empty() == expected.is_empty(), "{security} {require}: {fault}");
        }
        let from_card = fault(|config| {
            config["agents"][0]["security"] = json!("from_card");
            config["agents"][0]["public_url"] = json!("https://x.example");
            config["agents"][0]["card"] = json!({"source": {"remote": {"uri": "https://x.example/card", "cluster": "x"}}});
        });
        assert!(from_card.starts_with("agents[0].access[0].require.clients: callers of several"), "{from_card}");
    }

    #[test]
    fn clients_who_may_see_a_trace_say_whose_they_are() {
        let debug = |allow: Value| {
            fault(|config| {
                config["agents"][0]["access"] = Value::Null;
                config["debug"] = json!({ "allow": [allow] });
            })
        };
        for (allow, expected) in [
            (json!("cli"), "debug.allow[0]: callers of several issuers or schemes"),
            (json!({"client": "cli"}), "debug.allow[0]: callers of several issuers or schemes"),
            (json!({"client": "cli", "issuer": "corp"}), ""),
            (json!({"client": "acme", "scheme": "key"}), ""),
            (json!({"client": "app", "issuer": "entra"}), "debug.allow[0]: callers of several tenants"),
            (json!({"client": "app", "issuer": "entra", "tenant": "t-2"}), ""),
            (json!({"client": "", "issuer": "corp"}), "debug.allow[0].client: must not be empty"),
            (json!({"client": "cli", "issuer": "crop"}), "debug.allow[0].issuer: there is no issuer"),
            (json!({"client": "cli", "scheme": "corp"}), "debug.allow[0].scheme: tokens of scheme"),
            (json!({"client": "cli", "scheme": "tls", "issuer": "corp"}), "debug.allow[0]: give one of"),
            (json!({"clients": "cli"}), "debug.allow[0]"),
            (json!(7), "debug.allow[0]: invalid type"),
        ] {
            let fault = debug(allow.clone());
            assert!(fault.starts_with(expected) && fault.is_empty() == expected.is_empty(), "{allow}: {fault}");
        }
        let alone = fault(|config| {
            config["schemes"] = json!({"corp": {"bearer": {"issuers": ["corp"]}}});
            config["agents"][0]["security"] = json!([{"corp": []}]);
            config["debug"] = json!({"allow": ["cli"]});
        });
        assert_eq!(alone, "");
    }

    #[test]
    fn no_issuer_and_scheme_that_vouch_for_callers_have_one_name() {
        let rename = |from: &str, to: &str| {
            fault(|config| {
                config["agents"][0]["access"] = Value::Null;
                let scheme = config["schemes"].as_object_mut().unwrap().remove(from).unwrap();
                config["schemes"][to] = scheme;
            })
        };
        assert_eq!(rename("key", "keys"), "");
        assert_eq!(rename("cloud", "entra"), "", "tokens of a bearer scheme have their issuer's name");
        for scheme in ["key", "tls", "open"] {
            assert!(rename(scheme, "partner").starts_with("schemes.partner: an issuer is called so too"), "{scheme}");
        }
        assert!(rename("key", "https://corp.example").starts_with("schemes.https://corp.example: an issuer is called so too"));
    }
}

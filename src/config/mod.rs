//! The plugin configuration: parsed once, whole or not at all, into types that cannot be wrong. Every error
//! names its place. Names follow the RFCs and Envoy; unknown members are errors.

mod access;
mod agent;
mod algorithm;
mod audit;
mod card;
mod carriers;
mod certificate;
mod check;
mod choice;
mod claims;
mod client;
mod connection;
mod consent;
mod credential;
mod devices;
mod document_headers;
mod duration;
mod error;
mod fields;
#[cfg(feature = "schema")]
mod form;
mod forward;
mod given;
mod google;
mod grant_store;
mod identity_assertion;
mod idle;
mod introspection;
mod issuer;
mod key;
mod keys;
mod limits;
mod named_credential;
mod notifications;
mod oauth_app;
mod offer;
mod operators;
mod other_path;
mod pin;
mod preset;
mod profile;
mod push;
mod push_token;
mod reader;
mod remote;
mod remote_card;
#[cfg(feature = "schema")]
pub mod schema;
mod scheme;
mod secret;
mod security;
mod skill;
mod tag_key;
mod taken;
mod target;
mod tasks;
mod terms;
mod uri;
mod user_passthrough;
mod versions;
mod voucher;
mod waiting;
mod webhook;

pub use access::{Alternatives, Kind, Operations, Require, Rule};
pub use agent::{Agent, TenantClaim, Tenants};
pub use algorithm::Algorithm;
pub use audit::{Audit, AuditLevel, AuditLogLevel, RecordMember, RecordMembers, Shadow, SubjectForm, Trace, TraceClient};
pub use card::{Card, CardAccess, CardPlace, CardSource};
pub use certificate::{Allowed, Bound, CertificateSource, Forwarded, MutualTls};
pub use choice::{Choice, Which};
pub use claims::{Actors, ClaimPath, Claims, Field, Marker, Need, Sign};
pub use client::{AssertionAlgorithm, Blueprint, Client, ClientAuthentication, PrivateKeyJwt, TokenEndpoint, TokenParameters};
pub use connection::{Connection, CredentialsInMessages, Other, RemoteLinks};
pub use consent::{Consent, SignIn};
pub use credential::{
    Actor, ActorToken, AppService, ClientCredentials, Credential, CredentialHeader, HeaderCredential, ManagedIdentity, Nothing, OnBehalfOf,
    Passthrough, Subject, TokenExchange, UserAssigned, VirtualMachine, Workload,
};
pub use devices::{Ciba, Delivery, DeviceCode, Way};
pub use document_headers::DocumentHeader;
pub use error::ConfigError;
pub use fields::{FieldName, Fields, folded};
pub use forward::{Form, Forward, ForwardedClaim, HeaderSource, IDENTITY_HEADER, Member, SingleHeader, Token};
pub use google::Google;
pub use grant_store::{EtcdStore, GrantStore, MemoryStore};
pub use identity_assertion::{IdJag, IdentityAssertion};
pub use introspection::{Client as IntrospectionClient, ClientMethod, Introspection};
pub use issuer::{Issuer, RSA_BITS, TENANT, USUAL_RSA_BITS};
pub use key::{ApiKey, Basic, Entry, KeyPlace, Sha256};
pub use keys::{Discovery, Jwks};
pub use limits::{Limits, MediaRange, Modality, StrictBodies};
pub use named_credential::{KeyName, NamedCredential};
pub use notifications::{Asked, Notifications, PublishedKeys, SignedJwt};
pub use oauth_app::{AppClient, OauthApp, set_twice};
pub use offer::{BindingPaths, Offer, Offers};
pub use operators::Operators;
pub use other_path::{Cors, OtherPath};
pub use pin::{Pin, Placement};
pub use preset::Preset;
pub use profile::Profile;
pub use push::{PushRule, PushScheme};
pub use push_token::{OtherTargets, PushTo, PushToken};
pub use remote::Remote;
pub use remote_card::{CalledWith, CardKeys, RemoteCard, SignedCard};
pub use scheme::{Bearer, Open, Scheme};
pub use secret::{Secret, SecretDocument, SecretRef};
pub use security::{Demanded, Requirement, is_scope};
pub use skill::{Key, SkillFrom, SkillPath};
pub use tag_key::TagKey;
pub use taken::is_taken;
pub use target::{HostPattern, Match, PathPrefix, Ports, Unmatched};
pub use tasks::{Mark, Owned, Tasks};
pub use terms::{OwnTerms, Terms};
pub use uri::HttpUri;
pub use user_passthrough::{Bind, ConsentForm, Identity, UserPassthrough};
pub use voucher::Voucher;
pub use waiting::Fairness;
pub use webhook::{JtiUse, Webhook};

use crate::wire::json::UniqueMap;
use crate::wire::sorted::{SortedMap, SortedSet};
use serde::Deserialize;
use std::rc::Rc;

/// What the filter does at one place of Envoy: which agents it guards, and which remote agents it calls with credentials. At least one of
/// `agents`, `connections` and `webhooks` is needed.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>, transform = crate::config::form::together))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who signs tokens.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub issuers: Vec<Issuer>,
    /// Ways to authenticate, by the name that `security` uses, see [credentials](credentials.md).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, Scheme>", extend("x-default" = "`{}`")))]
    schemes: UniqueMap<Scheme>,
    /// Servers behind this Envoy.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub agents: Vec<Rc<Agent>>,
    /// Remote agents that are called through this Envoy, see [outbound calls](outbound.md).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub connections: Vec<Rc<Connection>>,
    /// Where remote agents post notifications for agents behind this Envoy, see [push
    /// notifications](push-notifications.md#notifications-from-remote-agents).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("default" = [])))]
    pub webhooks: Vec<Rc<Webhook>>,
    /// Where users agree that calls go to remote agents in their name, for connections with [`user_passthrough`](user-passthrough.md).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required for `user_passthrough`")))]
    pub consent: Option<Box<Consent>>,
    /// Registrations at authorization servers that several connections share, by name.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, OauthApp>", extend("x-default" = "`{}`")))]
    pub oauth_apps: UniqueMap<OauthApp>,
    /// Public keys that this listener serves, with which receivers verify [signed notifications](push-notifications.md#published-keys).
    #[serde(default)]
    pub published_keys: Option<PublishedKeys>,
    /// Where secrets come from, by the name that credentials use, see [secrets](configuration.md#secrets).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, Secret>", extend("x-default" = "`{}`")))]
    secrets: UniqueMap<Secret>,
    /// Whether secrets may stand in this configuration, which Envoy shows and logs: for tests.
    #[serde(default)]
    allow_inline_secrets: bool,
    /// Where Envoy runs the filter: `listener`, or `cluster` if it is in a cluster's own `http_filters` ([outbound](outbound.md)). What is attached
    /// there goes to that cluster, and connections need no `pin`.
    #[serde(default)]
    pub placement: Placement,
    /// [Headers that steer Envoy](configuration.md#headers-that-steer-envoy) and that clients may send all the same.
    #[serde(default)]
    pub keep_headers: Vec<String>,
    /// Requests that nothing matches: `refuse` (404), or `pass` on listeners that carry other traffic too; [what `pass` cannot
    /// protect](configuration.md#unmatched).
    #[serde(default)]
    pub unmatched: Unmatched,
    /// Longest path of a request with its query, 128 to 65536 bytes; longer ones are refused with 414.
    #[serde(default = "max_path_bytes")]
    #[cfg_attr(feature = "schema", schemars(range(min = 128, max = 65536)))]
    pub max_path_bytes: usize,
    /// What ports mean to every `match`; filled by [`Config::parse`].
    #[serde(skip)]
    ports: Ports,
    /// Whether headers wait for the verdict on the body; needs Envoy's `allow_on_headers_stop_iteration: true`. See [without header
    /// hold](configuration.md#without-header-hold).
    #[serde(default = "yes")]
    pub hold_headers: bool,
    /// The [record](records.md) of each decision.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "every decision, subjects as digests")))]
    pub audit: Audit,
    /// [Who may see](records.md#explain) how a request was judged.
    #[serde(default)]
    pub debug: Option<Trace>,
    /// Names of single headers that agents get, with `-` for `_`; filled by [`Config::parse`].
    #[serde(skip)]
    identity_headers: SortedSet<String>,
    /// Names that nothing uses, in words; filled by [`Config::parse`].
    #[serde(skip)]
    unused: Vec<String>,
    /// Most requests for agents that wait at a time in one worker before their sender is known, see [requests that
    /// wait](credentials.md#requests-that-wait).
    #[serde(default = "waiting::in_all")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_waiting: usize,
}

const fn yes() -> bool {
    true
}

/// A path that is longer is no agent's. Most servers and proxies stop there too (RFC 9110 section 4.1 asks for 8000).
const fn max_path_bytes() -> usize {
    8192
}

impl Config {
    /// Parses and checks `json`, the bytes of a `google.protobuf.StringValue`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its path.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        if json.is_empty() {
            return Err(ConfigError::new("", "the plugin configuration is empty"));
        }
        if json.first() == Some(&0x0a) && serde_json::from_slice::<serde::de::IgnoredAny>(json).is_err() {
            return Err(ConfigError::new("", "this is not JSON: give the configuration as google.protobuf.StringValue, not as Struct"));
        }
        let mut config: Self = reader::read(json)?;
        config.agents.iter_mut().filter_map(Rc::get_mut).for_each(Agent::fill);
        config.issuers.iter_mut().try_for_each(Issuer::fill)?;
        config.connections.iter_mut().filter_map(Rc::get_mut).for_each(|connection| connection.fill(config.placement));
        forward::resolve(&mut config)?;
        config.ports = config.check()?;
        config.unused = idle::unused(&config, json);
        Ok(config)
    }

    /// What the port of a request's authority means for the choice of an agent or a connection.
    #[must_use]
    pub const fn ports(&self) -> Ports {
        self.ports
    }

    /// The scheme called `name`. [`Config::parse`] made sure that every name in use exists.
    #[must_use]
    pub fn scheme(&self, name: &str) -> Option<&Scheme> {
        self.schemes.0.get(name)
    }

    /// Every scheme by name. Its place in this order is its index.
    #[must_use]
    pub const fn schemes(&self) -> &SortedMap<String, Scheme> {
        &self.schemes.0
    }

    /// The scheme with this index.
    #[must_use]
    pub fn scheme_at(&self, index: usize) -> Option<&Scheme> {
        self.schemes.0.values().nth(index)
    }

    /// Every secret, by name.
    #[must_use]
    pub const fn secrets(&self) -> &SortedMap<String, Secret> {
        &self.secrets.0
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use serde_json::{Value, json};

    fn good() -> Value {
        json!({
            "issuers": [{"name": "corp", "issuer": "https://auth.example.com", "audiences": ["https://expense.example.com"],
                         "jwks": {"remote": {"uri": "https://auth.example.com/jwks", "cluster": "idp"}}}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
            "agents": [{"name": "expense", "match": {"hosts": ["expense.example.com"], "path_prefix": "/agents/expense"},
                        "versions": {"1.0": {"bindings": ["jsonrpc"]}, "0.3": {"bindings": ["jsonrpc", "http_json"]}},
                        "default_version": "0.3", "security": [{"oauth2": ["agent:execute"]}]}],
            "connections": [{"name": "partner", "match": {"hosts": ["partner.example.com"], "path_prefix": "/"}, "version": "1.0",
                             "pin": {"clusters": ["partner"]},
                             "credential": {"header": {"name": "x-api-key", "value": {"secret": "key"}}}}],
            "secrets": {"key": {"env": "KEY"}}
        })
    }

    fn with(pointer: &str, value: Value) -> String {
        let mut config = good();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        match config.pointer_mut(parent).unwrap() {
            Value::Object(map) => drop(map.insert(member.to_owned(), value)),
            Value::Array(list) => list[member.parse::<usize>().unwrap()] = value,
            _ => unreachable!(),
        }
        match Config::parse(config.to_string().as_bytes()) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_good_configuration_is_taken() {
        assert_eq!(with("/unmatched", json!("pass")), "ok");
    }

    #[test]
    fn every_refusal_names_its_place() {
        for (pointer, value, expected) in [
            ("/issuer", json!([]), "issuer: unknown field"),
            ("/agents/0/match/path_prefx", json!("/"), "agents[0].match.path_prefx: unknown field"),
            ("/agents/0/match/path_prefix", json!("agents"), "agents[0].match.path_prefix: must start with /"),
            ("/agents/0/match/path_prefix", json!("/a/"), "agents[0].match.path_prefix: must not end with /"),
            ("/agents/0/match/hosts", json!([]), "agents[0].match.hosts: "),
            ("/agents/0/match/hosts/0", json!("expense.example.com."), "agents[0].match.hosts[0]: "),
            ("/agents/0/security", json!([]), "agents[0].security: "),
            ("/agents/0/security", json!("card"), "agents[0].security: invalid value"),
            ("/agents/0/security", json!("from_card"), "agents[0].security: from_card needs the card"),
            ("/agents/0/access", json!([{"operations": ["any"], "skills": ["a"]}]), "agents[0].access[0].skills: nothing says where"),
            ("/agents/0/card", json!({"source": {"inline": []}}), "agents[0].card.source.inline: must be an agent card"),
            ("/agents/0/card", json!({"source": {"inline": {}}}), "agents[0].card.source: "),
            ("/agents/0/card", json!({"filter_skills": true}), "agents[0].card.filter_skills: needs public_url"),
            ("/agents/0/skill_from", json!({"path": "/{skill}"}), "agents[0].skill_from.path: must be a plain path"),
            ("/agents/0/security/0", json!({}), "agents[0].security[0]: "),
            ("/agents/0/security/0", json!({"oauth": []}), "agents[0].security[0].oauth: there is no scheme"),
            ("/agents/0/security/0", json!({"oauth2": ["a b"]}), "agents[0].security[0].oauth2[0]: "),
            ("/agents/0/versions", json!({"0.3": {"bindings": []}}), "agents[0].versions.\"0.3\".bindings: "),
            ("/agents/0/versions", json!({"1.0": {"bindings": ["jsonrpc"]}}), "agents[0].default_version: "),
            ("/agents/0/versions", json!({"2.0": {"bindings": ["jsonrpc"]}}), "agents[0].versions"),
            ("/agents/0/limits", json!({"max_body_bytes": -1}), "agents[0].limits.max_body_bytes: "),
            ("/connections/0/security", json!("from_card"), "connections[0].security: from_card is for agents"),
            ("/connections/0/security", json!([]), "connections[0].security: give at least one requirement"),
            ("/connections/0/security", json!([{}]), "connections[0].security[0]: an empty requirement"),
            ("/connections/0/security", json!([{"key": []}]), "connections[0].security[0].key: there is no scheme"),
            ("/connections/0/operations", json!([]), "connections[0].operations: name at least one operation"),
            ("/connections/0/operations", json!(["write"]), "connections[0].operations[0]: an operation is any"),
            ("/connections/0/other", json!("allow"), "connections[0].other: unknown variant"),
            ("/issuers/0/audiences", json!([]), "issuers[0].audiences: "),
            ("/agents/0/audiences", json!([]), "agents[0].audiences: name at least one audience"),
            ("/agents/0/audiences", json!(["a", ""]), "agents[0].audiences: name at least one audience"),
            ("/issuers/0/clock_skew", json!("30"), "issuers[0].clock_skew: "),
            ("/issuers/0/clock_skew", json!("1m"), "issuers[0].clock_skew: "),
            ("/issuers/0/algorithms", json!(["none"]), "issuers[0].algorithms[0]: unknown variant"),
            ("/issuers/0/jwks", json!({"remote": {"uri": "ftp://x/", "cluster": "idp"}}), "issuers[0].jwks.remote.uri: "),
            ("/issuers/0/jwks", json!({"remote": {"uri": "https://x/", "cluster": ""}}), "issuers[0].jwks.remote.cluster: "),
            (
                "/issuers/0/jwks",
                json!({"remote": {"uri": "https://x/", "cluster": "c", "refresh": "60s", "max_stale": "5s"}}),
                "issuers[0].jwks.remote.max_stale: ",
            ),
            ("/schemes/oauth2", json!({"bearer": {"issuers": ["crop"]}}), "schemes.oauth2.bearer.issuers[0]: there is no issuer"),
            (
                "/connections/0/credential",
                json!({"header": {"name": "Host", "value": {"secret": "key"}}}),
                "connections[0].credential.header.name: ",
            ),
            (
                "/connections/0/credential",
                json!({"header": {"name": "x-api-key", "value": {"secret": "kee"}}}),
                "connections[0].credential.header.value.secret: there is no secret",
            ),
            ("/connections/0/match", json!({"hosts": ["expense.example.com"], "path_prefix": "/agents/expense"}), "connections[0].match: "),
            ("/secrets/key", json!({"env": ""}), "secrets.key.env: "),
            ("/connections/0/version", json!("2.0"), "connections[0].version: unknown variant"),
            ("/connections/0/pin", Value::Null, "connections[0].pin: is missing. Add one of these lines"),
            ("/connections/0/pin", json!({"clusters": []}), "connections[0].pin.clusters: "),
            ("/connections/0/pin", json!("own_cluster"), "connections[0].pin: unknown variant"),
            ("/keep_headers", json!(["x-envoy-retry-on", "x-request-id"]), "keep_headers[1]: is none of the x-envoy-"),
            ("/keep_headers", json!(["X-Envoy-Retry-On"]), "keep_headers[0]: is none of the x-envoy-"),
            ("/connections/0/keep", json!({"headers": ["x_api_key"]}), "connections[0].keep.headers[0]: a credential of"),
            ("/connections/0/drop", json!({"headers": ["a*b"]}), "connections[0].drop.headers[0]: a name, or one with a star"),
            ("/placement", json!("upstream"), "placement: unknown variant"),
            ("/connections/0/require_signed_card", json!({"jwks": {"inline": {}}}), "connections[0].card: say where"),
            ("/connections/0/version", json!("auto"), "connections[0].card: say where"),
            (
                "/connections/0/card",
                json!({"remote": {"uri": "https://partner.example.com", "cluster": "c"}}),
                "connections[0].card: is read",
            ),
            ("/hold_headers", json!("yes"), "hold_headers: "),
            ("/max_path_bytes", json!(127), "max_path_bytes: must be 128 to 65536"),
            ("/max_path_bytes", json!(65537), "max_path_bytes: must be 128 to 65536"),
            ("/max_waiting", json!(0), "max_waiting: must be at least 1"),
            ("/schemes/oauth2", json!({"bearer": {"issuers": ["corp"], "max_waiting": 0}}), "schemes.oauth2.bearer.max_waiting: must"),
            (
                "/schemes/oauth2",
                json!({"bearer": {"issuers": ["corp"], "fairness": "ip"}}),
                "schemes.oauth2.bearer.fairness: unknown variant",
            ),
            ("/audit", json!({"level": "some"}), "audit.level: unknown variant"),
            ("/audit", json!({"subjects": "none"}), "audit.subjects: unknown field"),
            ("/debug", json!({"header": "cookie", "allow": ["a"]}), "debug.header: "),
            ("/debug", json!({"allow": []}), "debug.allow: "),
            ("/agents/0/shadow", json!({"body": true}), "agents[0].shadow.body: unknown field"),
        ] {
            let answer = with(pointer, value.clone());
            assert!(answer.starts_with(expected), "{pointer} = {value}: {answer}");
        }
    }

    #[test]
    fn what_is_allowed_on_purpose_is_warned_of() {
        let parse = |config: &Value| Config::parse(config.to_string().as_bytes());
        let mut config = good();
        let cautions: Vec<String> = parse(&config).unwrap().cautions().collect();
        assert!(matches!(cautions.as_slice(), [one] if one.starts_with("agents[0].public_url: is missing")), "{cautions:?}");
        config["agents"][0]["public_url"] = json!("https://agents.example");
        assert_eq!(parse(&config).unwrap().cautions().count(), 0);
        config["connections"][0]["pin"] = json!("none");
        let cautions: Vec<String> = parse(&config).unwrap().cautions().collect();
        assert!(matches!(cautions.as_slice(), [one] if one.starts_with("connections[0].pin: is \"none\"")), "{cautions:?}");
        config["connections"][0].as_object_mut().unwrap().remove("pin");
        assert!(parse(&config).unwrap_err().to_string().starts_with("connections[0].pin: is missing"));
        config["placement"] = json!("cluster");
        config["keep_headers"] = json!(["x-envoy-retry-on", "x-envoy-new"]);
        let cautions: Vec<String> = parse(&config).unwrap().cautions().collect();
        assert_eq!(cautions.len(), 2, "{cautions:?}");
        assert!(cautions[0].starts_with("keep_headers[0]: clients may send x-envoy-retry-on: when the router"), "{cautions:?}");
        config["keep_headers"] = json!([]);
        let config = parse(&config).unwrap();
        assert!(config.connections[0].pin == Some(super::Pin::OwnCluster) && config.cautions().count() == 0);
    }

    /// A secret that somebody wrote where its name belongs.
    #[test]
    fn no_value_around_secrets_is_in_an_error() {
        for place in [
            "/connections/0/credential",
            "/connections/0/credential/header",
            "/connections/0/credential/header/name",
            "/connections/0/credential/header/prefix",
            "/connections/0/credential/header/value",
            "/connections/0/credential/header/value/secret",
            "/secrets",
            "/secrets/key",
            "/secrets/key/env",
            "/agents/0/security",
            "/issuers/0/jwks",
            "/audit",
            "/debug",
        ] {
            for canary in
                [json!("Canary 7f3a"), json!({"secret": "Canary 7f3a"}), json!(["Canary 7f3a"]), json!({"env": {"a": "Canary 7f3a"}})]
            {
                let answer = with(place, canary);
                assert!(!answer.contains("Canary"), "{place}: {answer}");
            }
        }
    }

    #[test]
    fn what_is_not_the_json_of_a_configuration_says_so() {
        for (bytes, expected) in [
            (&b""[..], "the plugin configuration is empty"),
            (b"\x0a\x05hello", "StringValue"),
            (b"{}", "give at least one"),
            (b"{\"agents\":[],\"agents\":[]}", "duplicate field"),
            (b"{} {}", "trailing"),
            (b"[", "EOF"),
        ] {
            let error = Config::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

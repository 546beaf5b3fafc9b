//! What goes on to an agent beside the request: the token or not, and headers of their own for what is known of a caller. A header
//! that is named here says the truth or is not there, so it must be one that means nothing else to anybody.

use super::taken::{folded, is_taken};
use super::{ClaimPath, Config, ConfigError, Scheme, Tenants};
use crate::wire::header;
use crate::wire::json::UniqueMap;
use crate::wire::sorted::SortedSet;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::rc::Rc;

/// The header with everything that is known of a caller and its request, a dictionary (RFC 9651 section 3.2). What begins so and goes
/// on with `-` is ours, too.
pub const IDENTITY_HEADER: &str = "x-attache";

/// Most single headers of one agent.
const MAX_HEADERS: usize = 16;
/// Most claims that all agents together ask for: each is read from every token.
const MAX_CLAIMS: usize = 64;

/// What is sent on to the agent, beside `x-attache`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// Whether the token goes on to the agent: `keep` or `remove`.
    #[serde(default)]
    pub token: Token,
    /// Single headers for what is known of the caller, beside `x-attache`: `{"x-user": "subject", "x-roles": {"claim": "roles"}}`, see
    /// [what an agent learns](identity.md#single-headers).
    #[serde(default, rename = "headers")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::ByHeader<Given>", extend("x-default" = "`{}`")))]
    given: UniqueMap<Given>,
    /// Single headers, beside [`IDENTITY_HEADER`]; filled by [`Config::parse`].
    #[serde(skip)]
    pub headers: Vec<SingleHeader>,
}

/// What becomes of the verified token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize), schemars(rename = "ForwardedToken"))]
#[serde(rename_all = "snake_case")]
pub enum Token {
    /// It goes on, so that the agent can verify it as well.
    #[default]
    Keep,
    /// It stops here.
    Remove,
}

/// A header with one thing that is known of a caller or its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SingleHeader {
    /// Its name in lower case.
    pub name: String,
    /// What it has.
    pub source: HeaderSource,
}

/// What a single header has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderSource {
    /// A member of the dictionary, in this form.
    Member(Member, Form),
    /// The claim with this index in [`super::Claims::forwarded`].
    Claim(usize),
}

/// A claim that goes on, in one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardedClaim {
    /// Where it stands.
    pub claim: ClaimPath,
    /// How it is written.
    pub form: Form,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize), schemars(rename = "HeaderForm"))]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As an Item or Inner List of RFC 9651, which says of which type it is.
    #[default]
    Item,
    /// As it is, with `%XX` for what a header cannot have: for text alone.
    Text,
}

/// A member of the dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "docs/identity.md says what each is")]
pub enum Member {
    Agent,
    Operation,
    Version,
    Kind,
    Issuer,
    Tenant,
    Subject,
    Client,
    Actor,
    Scopes,
}

impl Member {
    /// Every member, in the order of the dictionary.
    pub const ALL: [Self; 10] = [
        Self::Agent,
        Self::Operation,
        Self::Version,
        Self::Kind,
        Self::Issuer,
        Self::Tenant,
        Self::Subject,
        Self::Client,
        Self::Actor,
        Self::Scopes,
    ];

    /// Its name: a key of RFC 9651 section 3.1.2.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Operation => "operation",
            Self::Version => "version",
            Self::Kind => "kind",
            Self::Issuer => "issuer",
            Self::Tenant => "tenant",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Actor => "actor",
            Self::Scopes => "scopes",
        }
    }
}

/// The headers of release 0.1: `x-attache-` and the member, as text, in their order.
const RELEASE_0_1: [Member; 9] = [
    Member::Agent,
    Member::Operation,
    Member::Issuer,
    Member::Tenant,
    Member::Subject,
    Member::Client,
    Member::Kind,
    Member::Actor,
    Member::Scopes,
];

/// What the operator wrote for a header.
#[derive(Clone, Debug)]
pub(super) enum Given {
    /// A member, or the release of a preset.
    Word(String),
    Long(Long),
}

/// What a single header has: `member` or `claim`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SingleHeader", transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub(super) struct Long {
    /// A member of `x-attache`, by its name.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["agent", "operation", "version", "kind", "issuer", "tenant", "subject", "client", "actor", "scopes"])))]
    member: Option<String>,
    /// A claim of the token: a name, taken literally, or a list of names from the outside in. Keys, passwords and certificates have no
    /// claims.
    #[serde(default)]
    claim: Option<ClaimPath>,
    /// How it is written, see [identity](identity.md#single-headers).
    #[serde(default)]
    form: Form,
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;

        impl<'de> Visitor<'de> for Shape {
            type Value = Given;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a member, or {\"claim\": …}")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Given, E> {
                Ok(Given::Word(word.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Given, A::Error> {
                Long::deserialize(MapAccessDeserializer::new(members)).map(Given::Long)
            }
        }

        deserializer.deserialize_any(Shape)
    }
}

/// Reads `forward.headers` and `tenant.claim` of every agent, and tells every issuer which claims are read for them.
pub(super) fn resolve(config: &mut Config) -> Result<(), ConfigError> {
    let credentials: SortedSet<String> = config.credential_headers().into_iter().map(folded).collect();
    let mut claims: Vec<ForwardedClaim> = Vec::new();
    let mut names = SortedSet::new();
    for (index, agent) in config.agents.iter_mut().filter_map(Rc::get_mut).enumerate() {
        let headers = agent.forward.resolve(&format!("agents[{index}].forward.headers"), &credentials, &mut claims)?;
        names.extend(headers.iter().map(|header| folded(&header.name)));
        agent.forward.headers = headers;
        if let Tenants::Claim(claim) = &mut agent.tenant {
            claim.index = place(&mut claims, ForwardedClaim { claim: claim.path.clone(), form: Form::Text });
            check_number(&claims, &format!("agents[{index}].tenant.claim"))?;
        }
    }
    if let Some(trace) = &config.debug {
        let name = folded(&trace.header);
        if name == IDENTITY_HEADER || names.contains(&name) {
            return Err(ConfigError::new("debug.header", "agents get something else in this header"));
        }
    }
    config.issuers.iter_mut().for_each(|issuer| issuer.claims.forwarded.clone_from(&claims));
    for scheme in config.schemes.0.values_mut() {
        if let Scheme::Introspection(introspection) = scheme {
            introspection.claims.forwarded.clone_from(&claims);
        }
    }
    config.identity_headers = names;
    Ok(())
}

impl Config {
    /// Single headers that some agent gets, with `-` for `_`: clients cannot send them.
    #[must_use]
    pub const fn identity_headers(&self) -> &SortedSet<String> {
        &self.identity_headers
    }
}

impl Forward {
    fn resolve(
        &self,
        at: &str,
        credentials: &SortedSet<String>,
        claims: &mut Vec<ForwardedClaim>,
    ) -> Result<Vec<SingleHeader>, ConfigError> {
        let mut headers = Vec::new();
        let mut seen = SortedSet::new();
        for (name, given) in &self.given.0 {
            let fail = |reason: &str| Err(ConfigError::new(format!("{at}.{name}"), reason));
            if name == "preset" {
                match given {
                    Given::Word(word) if word == "0.1" => headers.extend(RELEASE_0_1.map(|member| SingleHeader {
                        name: format!("{IDENTITY_HEADER}-{}", member.name()),
                        source: HeaderSource::Member(member, Form::Text),
                    })),
                    _ => return fail("the only preset is \"0.1\""),
                }
                continue;
            }
            if !header::is_name(name) {
                return fail("must be a header name in lower case");
            }
            if is_taken(name) {
                return fail("this header has another meaning");
            }
            if credentials.contains(&folded(name)) {
                return fail("a credential of this configuration is in this header");
            }
            if !seen.insert(folded(name)) {
                return fail("is there twice, for servers that read _ as -");
            }
            if seen.len() > MAX_HEADERS {
                return Err(ConfigError::new(at, format!("must be at most {MAX_HEADERS}")));
            }
            let source = match given {
                Given::Word(word) => HeaderSource::Member(member(word, &format!("{at}.{name}"))?, Form::Item),
                Given::Long(Long { member: Some(word), claim: None, form }) => {
                    HeaderSource::Member(member(word, &format!("{at}.{name}.member"))?, *form)
                }
                Given::Long(Long { member: None, claim: Some(claim), form }) => {
                    HeaderSource::Claim(place(claims, ForwardedClaim { claim: claim.clone(), form: *form }))
                }
                Given::Long(_) => return fail("give one of member and claim"),
            };
            headers.push(SingleHeader { name: name.clone(), source });
        }
        check_number(claims, at)?;
        Ok(headers)
    }
}

fn check_number(claims: &[ForwardedClaim], at: &str) -> Result<(), ConfigError> {
    if claims.len() > MAX_CLAIMS {
        return Err(ConfigError::new(at, format!("all agents together may ask for {MAX_CLAIMS} claims at most")));
    }
    Ok(())
}

fn member(word: &str, at: &str) -> Result<Member, ConfigError> {
    let known = Member::ALL.into_iter().find(|member| member.name() == word);
    known.ok_or_else(|| {
        let names = Member::ALL.map(Member::name).join(", ");
        ConfigError::new(at, format!("{word:?} is none of {names}; for a claim of the token write {{\"claim\": {word:?}}}"))
    })
}

/// The index of `claim` in `claims`, where it is now.
fn place(claims: &mut Vec<ForwardedClaim>, claim: ForwardedClaim) -> usize {
    claims.iter().position(|own| *own == claim).unwrap_or_else(|| {
        claims.push(claim);
        claims.len().saturating_sub(1)
    })
}

#[cfg(test)]
mod tests {
    use super::{Form, HeaderSource, Member, SingleHeader};
    use crate::config::Config;
    use serde_json::{Value, json};

    fn parse(headers: Value) -> Result<Config, String> {
        let config = json!({
            "schemes": {"open": {"none": {}}, "key": {"api_key": {"in": "header", "name": "x-api-key", "keys": [
                {"id": "a", "sha256": "0000000000000000000000000000000000000000000000000000000000000001"}]}}},
            "issuers": [{"name": "corp", "issuer": "https://a", "audiences": ["a"], "jwks": {"inline": {"keys": []}}}],
            "debug": {"header": "x-why", "allow": [{"issuer": "corp", "client": "a"}]},
            "agents": [
                {"name": "a", "match": {"hosts": ["a"], "path_prefix": "/"}, "versions": {"0.3": {"bindings": ["jsonrpc"]}},
                 "security": [{"open": []}], "forward": {"headers": headers}},
                {"name": "b", "match": {"hosts": ["b"], "path_prefix": "/"}, "versions": {"0.3": {"bindings": ["jsonrpc"]}},
                 "security": [{"open": []}], "forward": {"headers": {"x-mail": {"claim": "email"}}}}],
        });
        Config::parse(config.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_members_and_claims_are_taken() {
        let config = parse(json!({
            "x-user": "subject", "remote_user": {"member": "client", "form": "text"}, "x-forwarded-groups": {"claim": ["realm", "groups"]},
            "x-mail": {"claim": "email", "form": "text"},
        }))
        .unwrap();
        let header = |name: &str, source| SingleHeader { name: name.to_owned(), source };
        assert_eq!(
            config.agents[0].forward.headers,
            [
                header("remote_user", HeaderSource::Member(Member::Client, Form::Text)),
                header("x-forwarded-groups", HeaderSource::Claim(0)),
                header("x-mail", HeaderSource::Claim(1)),
                header("x-user", HeaderSource::Member(Member::Subject, Form::Item)),
            ]
        );
        assert_eq!(config.agents[1].forward.headers, [header("x-mail", HeaderSource::Claim(2))]);
        assert_eq!(config.issuers[0].claims.forwarded.len(), 3);
        let names: Vec<&str> = config.identity_headers().iter().map(String::as_str).collect();
        assert_eq!(names, ["remote-user", "x-forwarded-groups", "x-mail", "x-user"]);
    }

    #[test]
    fn the_preset_has_what_release_0_1_had() {
        let config = parse(json!({"preset": "0.1", "x-user": "subject"})).unwrap();
        let names: Vec<&str> = config.agents[0].forward.headers.iter().map(|header| header.name.as_str()).collect();
        let old = ["agent", "operation", "issuer", "tenant", "subject", "client", "kind", "actor", "scopes"];
        let old: Vec<String> = old.iter().map(|member| format!("x-attache-{member}")).collect();
        assert_eq!(names.split_last(), Some((&"x-user", old.iter().map(String::as_str).collect::<Vec<_>>().as_slice())));
        assert!(parse(json!({"preset": "0.2"})).unwrap_err().starts_with("agents[0].forward.headers.preset: "));
    }

    #[test]
    fn headers_that_mean_something_else_cannot_be_named() {
        for name in ["authorization", "content_length", "x-attache-user", "x_envoy_internal"] {
            let error = parse(json!({name: "subject"})).unwrap_err();
            assert_eq!(error, format!("agents[0].forward.headers.{name}: this header has another meaning"));
        }
        for name in ["", ":path", ":authority", "X-User", "x user", "x-usér", "x:user"] {
            let error = parse(json!({name: "subject"})).unwrap_err();
            assert_eq!(error, format!("agents[0].forward.headers.{name}: must be a header name in lower case"));
        }
        for (headers, expected) in [
            (json!({"x-api-key": "subject"}), "agents[0].forward.headers.x-api-key: a credential"),
            (json!({"x_api-key": "subject"}), "agents[0].forward.headers.x_api-key: a credential"),
            (json!({"x-user": "subject", "x_user": "client"}), "agents[0].forward.headers.x_user: is there twice"),
            (json!({"x-why": "subject"}), "debug.header: "),
            (json!({"x_why": "subject"}), "debug.header: "),
            (json!({"x-user": "email"}), r#"agents[0].forward.headers.x-user: "email" is none of agent, operation, "#),
            (json!({"x-user": {}}), "agents[0].forward.headers.x-user: give one of member and claim"),
            (json!({"x-user": {"member": "subject", "claim": "sub"}}), "agents[0].forward.headers.x-user: give one"),
            (json!({"x-user": {"member": "roles"}}), r#"agents[0].forward.headers.x-user.member: "roles" is none of "#),
            (json!({"x-user": {"claim": []}}), "agents[0].forward.headers.x-user"),
            (json!({"x-user": {"claim": "a", "form": "base64"}}), "agents[0].forward.headers.x-user"),
            (json!({"x-user": 5}), "agents[0].forward.headers.x-user"),
            (json!({"x-user": {"claims": "a"}}), "agents[0].forward.headers.x-user"),
        ] {
            let error = parse(headers.clone()).unwrap_err();
            assert!(error.starts_with(expected), "{headers}: {error}");
        }
        let many: serde_json::Map<String, Value> = (0..17).map(|index| (format!("x-{index}"), json!("subject"))).collect();
        assert!(parse(Value::Object(many)).unwrap_err().starts_with("agents[0].forward.headers: must be at most 16"));
    }
}

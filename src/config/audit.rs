//! How decisions are reported: the record in the log and in filter state, refusals that are reported but not enforced, and the
//! trace that a trusted caller may ask for.

use super::voucher::{self, Said, Voucher, Vouchers};
use super::{ConfigError, Issuer, Scheme};
use crate::wire::header;
use crate::wire::sorted::SortedMap;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// The record that each decision leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Which decisions are in the log: `all`, `denied` (`deny` and `shadow_deny`) or `none`; statistics always count everything.
    pub level: AuditLevel,
    /// Envoy's log level of the lines: `debug`, `info` or `warn`. Envoy shows `info` of this filter with `--component-log-level
    /// wasm:info`. A line that Envoy would not log is not built. A level that is changed at run time (`/logging?wasm=info`) takes effect
    /// within half a second.
    pub log_level: AuditLogLevel,
    /// How the caller's subject is written: `plain`; `digest`; `none`.
    pub subject: SubjectForm,
    /// Whether the line is published as well, as filter state `wasm.attache.audit`, whatever `level` says.
    pub filter_state: bool,
    /// Members of the line that are published one by one, as filter state `wasm.attache.<member>`, whatever `level` says: for the tags of
    /// spans. Each costs a request one more call to Envoy.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<RecordMember>", extend("default" = [])))]
    pub filter_state_members: RecordMembers,
    /// Whether answers are read for [tasks that wait for credentials](records.md#tasks-that-wait-for-credentials).
    pub auth_required: bool,
}

/// A member of the record that can be filter state by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the record's own names")]
pub enum RecordMember {
    Agent,
    Connection,
    Webhook,
    Version,
    Binding,
    Operation,
    Decision,
}

impl RecordMember {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Agent, Self::Connection, Self::Webhook, Self::Version, Self::Binding, Self::Operation, Self::Decision];
}

/// Some members of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordMembers([bool; RecordMember::ALL.len()]);

impl RecordMembers {
    /// Whether `member` is one of them.
    #[must_use]
    pub fn has(self, member: RecordMember) -> bool {
        RecordMember::ALL.iter().zip(self.0).any(|(own, is_in)| is_in && *own == member)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl<'de> Deserialize<'de> for RecordMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let listed = Vec::<RecordMember>::deserialize(deserializer)?;
        Ok(Self(RecordMember::ALL.map(|member| listed.contains(&member))))
    }
}

/// Which decisions are in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum AuditLevel {
    /// Every one.
    #[default]
    All,
    /// Refusals, enforced or only reported (`shadow`).
    Denied,
    /// None.
    None,
}

/// Envoy's log levels that a record may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "Envoy's own names")]
pub enum AuditLogLevel {
    Debug,
    #[default]
    Info,
    Warn,
}

/// How a subject is written: it is often a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum SubjectForm {
    /// As it is.
    Plain,
    /// As a digest: the same subject of the same issuer always has the same.
    #[default]
    Digest,
    /// Not at all.
    None,
}

/// Classes of refusals that are decided and reported, but not made: to see what a configuration would refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct Shadow {
    /// Credentials that are missing or bad. Such a request goes on without an identity.
    pub authentication: bool,
    /// Scopes that are missing, and rules that do not let the caller.
    pub authorization: bool,
    /// Versions that are not offered or contradict themselves.
    pub version: bool,
}

/// Who may see how a request was judged, by sending a header.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The request header that asks, and the response header that answers, in lower case, beginning with `x-`.
    #[serde(default = "explain")]
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^x-[!#$%&'*+.^_`|~0-9a-z-]*$")))]
    pub header: String,
    /// Clients that may ask.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub allow: Vec<TraceClient>,
}

/// A client that may see how its requests are decided: its name, where only one issuer or scheme can vouch for it, or
/// `{"issuer": "corp", "client": "cli"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceClient {
    client: String,
    issuer: Option<String>,
    scheme: Option<String>,
    tenant: Option<String>,
}

impl TraceClient {
    fn is(&self, voucher: Option<Voucher<'_>>, tenant: Option<&str>, client: &str) -> bool {
        let vouched = match (&self.issuer, &self.scheme, voucher) {
            (None, None, _) => true,
            (Some(issuer), _, Some(Voucher::Issuer(name))) => issuer == name,
            (_, Some(scheme), Some(Voucher::Scheme(name))) => scheme == name,
            (Some(_), ..) | (_, Some(_), _) => false,
        };
        vouched && self.client == client && self.tenant.as_deref().is_none_or(|own| tenant == Some(own))
    }

    fn check(&self, at: &str, issuers: &[Issuer], schemes: &SortedMap<String, Scheme>) -> Result<(), ConfigError> {
        if self.client.is_empty() {
            return Err(ConfigError::of(at, "client", "must not be empty"));
        }
        let list = |one: &Option<String>| one.iter().cloned().collect::<Vec<_>>();
        let (own, scheme, tenants) = (list(&self.issuer), list(&self.scheme), list(&self.tenant));
        match (&self.issuer, voucher::unknown_scheme(&scheme, schemes)) {
            (Some(_), _) if self.scheme.is_some() => return Err(ConfigError::new(at, "give one of issuer and scheme")),
            (Some(name), _) if !issuers.iter().any(|issuer| issuer.name == *name) => {
                return Err(ConfigError::new(format!("{at}.issuer"), format!("there is no issuer called {name:?}")));
            }
            (_, Some((_, reason))) => return Err(ConfigError::of(at, "scheme", &reason)),
            _ => {}
        }
        let vouchers = Vouchers::all(issuers, schemes);
        let said = Said { issuers: &own, schemes: &scheme, tenants: &tenants };
        vouchers.check(at, &said, issuers)
    }
}

impl<'de> Deserialize<'de> for TraceClient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            client: String,
            issuer: Option<String>,
            scheme: Option<String>,
            tenant: Option<String>,
        }

        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = TraceClient;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of a client, or {\"issuer\": …, \"client\": …}")
            }

            fn visit_str<E: Error>(self, client: &str) -> Result<TraceClient, E> {
                Ok(TraceClient { client: client.to_owned(), ..TraceClient::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<TraceClient, A::Error> {
                let Whole { client, issuer, scheme, tenant } = Whole::deserialize(MapAccessDeserializer::new(members))?;
                Ok(TraceClient { client, issuer, scheme, tenant })
            }
        }

        deserializer.deserialize_any(Form)
    }
}

fn explain() -> String {
    "x-attache-explain".to_owned()
}

impl Trace {
    /// Whether a verified caller of `client`, for whom `voucher` vouches, may see how its request was decided.
    #[must_use]
    pub fn is_for(&self, voucher: Option<Voucher<'_>>, tenant: Option<&str>, client: Option<&str>) -> bool {
        client.is_some_and(|client| self.allow.iter().any(|own| own.is(voucher, tenant, client)))
    }

    pub(super) fn check(&self, at: &str, issuers: &[Issuer], schemes: &SortedMap<String, Scheme>) -> Result<(), ConfigError> {
        // Nothing that means something to anybody else: the header is taken away from every request.
        if !header::is_name(&self.header) || !self.header.starts_with("x-") {
            return Err(ConfigError::of(at, "header", "must be a header name in lower case that begins with x-"));
        }
        if self.allow.is_empty() {
            return Err(ConfigError::of(at, "allow", "name at least one client"));
        }
        self.allow.iter().enumerate().try_for_each(|(index, client)| client.check(&format!("{at}.allow[{index}]"), issuers, schemes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::{Audit, AuditLevel, RecordMember, SortedMap, SubjectForm, Trace, Voucher};

    #[test]
    fn everything_is_recorded_and_nobody_is_named_unless_told_otherwise() {
        let audit: Audit = serde_json::from_str("{}").unwrap();
        assert_eq!((audit.level, audit.subject, audit.filter_state), (AuditLevel::All, SubjectForm::Digest, false));
        assert!(audit.filter_state_members.is_empty());
    }

    #[test]
    fn members_are_filter_state_if_they_are_named_and_no_others_can_be() {
        let audit: Audit = serde_json::from_str(r#"{"filter_state_members": ["decision", "agent", "agent"]}"#).unwrap();
        let has = RecordMember::ALL.map(|member| audit.filter_state_members.has(member));
        assert_eq!(has, [true, false, false, false, false, false, true]);
        let error = |audit: &str| Config::parse(format!(r#"{{"audit": {audit}}}"#).as_bytes()).unwrap_err().to_string();
        assert!(error(r#"{"filter_state_members": ["agent", "subject"]}"#).starts_with("audit.filter_state_members[1]: "));
        assert!(error(r#"{"filter_state_members": true}"#).starts_with("audit.filter_state_members: "));
    }

    #[test]
    fn only_those_named_may_ask() {
        let trace: Trace = serde_json::from_str(r#"{"allow": ["cli"]}"#).unwrap();
        let check = |trace: &Trace| trace.check("debug", &[], &SortedMap::new());
        assert!(check(&trace).is_ok() && trace.header == "x-attache-explain");
        let corp = Some(Voucher::Issuer("corp"));
        let is_for = |client| trace.is_for(corp, None, client);
        assert!(is_for(Some("cli")) && !is_for(Some("")) && !is_for(Some("CLI")) && !is_for(None));
        let allow = r#"{"allow": [{"issuer": "corp", "client": "cli"}, {"scheme": "key", "client": "bot"},
                                  {"issuer": "entra", "tenant": "t", "client": "app"}]}"#;
        let trace: Trace = serde_json::from_str(allow).unwrap();
        for (voucher, tenant, client, may) in [
            (corp, None, "cli", true),
            (corp, Some("t"), "cli", true),
            (corp, None, "bot", false),
            (Some(Voucher::Issuer("partner")), None, "cli", false),
            (Some(Voucher::Scheme("corp")), None, "cli", false),
            (Some(Voucher::Scheme("key")), None, "bot", true),
            (Some(Voucher::Issuer("key")), None, "bot", false),
            (Some(Voucher::Issuer("entra")), Some("t"), "app", true),
            (Some(Voucher::Issuer("entra")), Some("u"), "app", false),
            (Some(Voucher::Issuer("entra")), None, "app", false),
            (None, None, "cli", false),
        ] {
            assert_eq!(trace.is_for(voucher, tenant, Some(client)), may, "{voucher:?} {tenant:?} {client}");
        }
        for odd in
            [r#"{"allow": []}"#, r#"{"allow": [""]}"#, r#"{"header": "host", "allow": ["a"]}"#, r#"{"header": "X-A", "allow": ["a"]}"#]
        {
            assert!(check(&serde_json::from_str::<Trace>(odd).unwrap()).is_err(), "{odd}");
        }
    }
}

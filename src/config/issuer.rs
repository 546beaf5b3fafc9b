//! Who signs tokens, where their keys are, and what a token must say (RFC 7519, RFC 9068, RFC 7517).

use super::claims::GivenClaims;
use super::preset::{Preset, Row};
use super::secret::named_at_once;
use super::terms::{self, OwnTerms};
use super::{Actors, Algorithm, Claims, ConfigError, HttpUri, Jwks, Secret, Terms, duration};
use crate::wire::sorted::{SortedMap, SortedSet};
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

/// Bits that an RSA modulus can be allowed to have: RFC 7518 section 3.3 asks for the lower bound, the work of verifying for
/// the upper.
pub const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
/// Most bits of an RSA modulus where nothing else is configured.
pub const USUAL_RSA_BITS: usize = 4096;

/// What stands for the tenant in the `issuer` of several.
pub const TENANT: &str = "{tenantid}";

/// Who signs tokens, where the keys are, and what a token must say.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The name that schemes use.
    pub name: String,
    /// What is known of a provider's tokens. [What each fills](tokens.md#presets), and [a configuration for each](identity-providers.md).
    #[serde(default)]
    pub preset: Option<Preset>,
    /// The `iss` claim, exactly; `{tenantid}` in it stands for each of `tenants`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "required; may be left out with `entra`, `entra_external`, `google`, `github_actions`")))]
    pub issuer: String,
    /// The tenants whose tokens are taken.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(inner(regex(pattern = "^[A-Za-z0-9._-]+$")), extend("x-default" = "every one")))]
    pub tenants: Vec<String>,
    /// A token is for us if its `aud` (or what `claims.audience` names) holds one of these, exactly; see [whom a token is
    /// for](configuration.md#whom-a-token-is-for).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(length(min = 1)), extend("x-default" = "required, unless every scheme or agent that takes its tokens has some")))]
    audiences: Option<Vec<String>>,
    /// What `alg` may be: RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA (which also stands for its other name, Ed25519);
    /// HS256 HS384 HS512 with a shared secret only. The key decides too: type, `use`, `key_ops`, `alg`. Where the member is left out, PS*
    /// is taken only with keys whose `alg` says so.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = "all")))]
    algorithms: Option<Vec<Algorithm>>,
    /// Most bits of an RSA key, 2048 to 8192; longer keys are left out of the set, with a warning in the log.
    #[serde(default = "usual_rsa_bits")]
    #[cfg_attr(feature = "schema", schemars(range(min = 2048, max = 8192)))]
    pub max_rsa_bits: usize,
    /// What header `typ` may be, in any case, with or without `application/`; a token without `typ` counts as `JWT`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = r#"`["at+jwt", "JWT"]`"#)))]
    token_types: Option<Vec<String>>,
    /// The keys: `{"remote": …}`, `{"discovery": …}`, `{"inline": {"keys": […]}}` or `{"shared_secret": {"secret": "name"}}`, see
    /// [tokens](tokens.md).
    pub jwks: Jwks,
    /// How far clocks may differ, for `exp`, `nbf` and `iat`.
    #[serde(default = "half_a_minute", deserialize_with = "duration::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span", extend("default" = "30s")))]
    pub clock_skew: Duration,
    /// Longest `exp` - `iat`; a token without `iat` is then refused.
    #[serde(default, deserialize_with = "duration::deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span"))]
    max_lifetime: Option<Duration>,
    /// Longest time since `iat`; a token without `iat` is then refused.
    #[serde(default, deserialize_with = "duration::deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::config::form::Span"))]
    pub max_token_age: Option<Duration>,
    /// Who may act for whom a token is about, see [tokens](tokens.md#actors).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "four, any")))]
    pub actors: Actors,
    /// Places of the claims that are read.
    #[serde(skip)]
    pub claims: Claims,
    /// Places of the claims that are read; the first that is there counts. See [tokens](tokens.md#claims).
    #[serde(default, rename = "claims")]
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "those of the preset, else the usual ones")))]
    given: GivenClaims,
    /// What its tokens must say where neither scheme nor agent has other terms.
    #[serde(skip)]
    pub terms: Rc<Terms>,
    /// Every form of `iss`, with [`TENANT`] where a tenant stands.
    #[serde(skip)]
    forms: Vec<String>,
    /// Issuers besides `forms` that keys may name.
    #[serde(skip)]
    key_forms: Vec<String>,
}

impl Issuer {
    /// Puts in what the preset knows. What the operator wrote counts.
    pub(super) fn fill(&mut self) -> Result<(), ConfigError> {
        let row = self.preset.map_or_else(|| Ok(Row::default()), Preset::row)?;
        let mut claims = row.claims.over(Claims::default());
        claims.tells_kind &= !row.unmarked;
        self.claims = self.given.over(claims);
        self.algorithms = self.algorithms.take().or(row.algorithms);
        self.token_types = self.token_types.take().or(row.token_types);
        self.terms = Rc::new(Terms {
            audiences: self.audiences.clone().unwrap_or_default(),
            required: self.claims.fields(),
            token_types: self.token_types.clone().unwrap_or_else(access_token_types),
            max_lifetime: self.max_lifetime,
        });
        self.key_forms = row.key_issuers;
        self.key_forms.extend_from_slice(&row.issuers);
        self.forms = if self.issuer.is_empty() && !row.issuers.is_empty() { row.issuers } else { vec![self.issuer.clone()] };
        if let Some(first) = self.forms.first() {
            self.issuer.clone_from(first);
        }
        Ok(())
    }

    /// Whether tokens signed with `algorithm` are looked at. Left out: every signature, or HS256 where a secret is shared.
    #[must_use]
    pub fn takes(&self, algorithm: Algorithm) -> bool {
        match (&self.algorithms, &self.jwks) {
            (Some(listed), _) => listed.contains(&algorithm),
            (None, Jwks::SharedSecret(_)) => algorithm == Algorithm::HS256,
            (None, _) => algorithm.secret_bytes().is_none(),
        }
    }

    /// Whether `algorithm` is verified with a key that does not name its algorithm. PS* is dear and rare: the issuer has to
    /// list it, or the key to say so.
    #[must_use]
    pub fn takes_with_any_key(&self, algorithm: Algorithm) -> bool {
        !algorithm.is_pss() || self.algorithms.as_ref().is_some_and(|listed| listed.contains(&algorithm))
    }

    /// Bytes that the shared secret needs at least, if there is one.
    #[must_use]
    pub fn secret_bytes(&self) -> usize {
        let listed = self.algorithms.iter().flatten();
        listed.filter_map(|algorithm| algorithm.secret_bytes()).max().or(Algorithm::HS256.secret_bytes()).unwrap_or(usize::MAX)
    }

    /// Whether `iss` is this issuer's; with the tenant that it names, if it is one of several.
    #[must_use]
    pub fn recognize(&self, iss: &str) -> Option<Option<&str>> {
        self.forms.iter().find_map(|form| match form.contains(TENANT) {
            false => (form == iss).then_some(None),
            true => self.tenants.iter().find(|tenant| is_form(form, tenant, iss)).map(|tenant| Some(tenant.as_str())),
        })
    }

    /// Whether a key that names `issuer` as its own may sign for `tenant`. Sets for all tenants hold keys for some; the keys
    /// of Entra name the issuer of v2 for either version.
    #[must_use]
    pub fn owns_key(&self, issuer: &str, tenant: &str) -> bool {
        let of_tenant = |form: &str| form.replace(TENANT, tenant);
        let issuer = of_tenant(issuer);
        self.forms.iter().chain(&self.key_forms).any(|form| of_tenant(form) == issuer)
    }

    /// Whether `issuer`, as metadata states it, is this one, whole or as the form for all tenants. Equal URLs are one.
    #[must_use]
    pub fn is_described_by(&self, issuer: &str) -> bool {
        let stated = HttpUri::try_from(issuer.to_owned()).ok();
        let is_same = |form: String| form == issuer || stated.is_some() && HttpUri::try_from(form).ok() == stated;
        let of_tenants = |form: &String| self.tenants.iter().any(|tenant| is_same(form.replace(TENANT, tenant)));
        self.forms.iter().any(|form| is_same(form.clone()) || of_tenants(form))
    }

    /// The authorization servers of its tenants, by the issuer that clients look up (RFC 8414 section 3). Who signs without being
    /// one, such as a trust domain of SPIFFE, has none.
    #[must_use]
    pub fn servers(&self) -> Vec<String> {
        let is_web = |server: &String| server.starts_with("https://") || server.starts_with("http://");
        let servers: Vec<String> = match self.tenants.as_slice() {
            tenants if self.issuer.contains(TENANT) => tenants.iter().map(|tenant| self.issuer.replace(TENANT, tenant)).collect(),
            _ => vec![self.issuer.clone()],
        };
        servers.into_iter().filter(is_web).collect()
    }

    pub(super) fn check(&self, at: &str, secrets: &SortedMap<String, Secret>) -> Result<(), ConfigError> {
        let fail = |member: &str, reason: &str| Err(ConfigError::of(at, member, reason));
        let own = OwnTerms {
            audiences: self.audiences.as_deref(),
            token_types: self.token_types.as_deref(),
            max_lifetime: self.max_lifetime,
            required: None,
        };
        terms::check(at, &own)?;
        let shared = matches!(self.jwks, Jwks::SharedSecret(_));
        match self.algorithms.as_deref() {
            Some([]) => return fail("algorithms", "name at least one algorithm, or leave the member out for all"),
            // An issuer has one sort of key: a public one must never be taken for a secret.
            Some(listed) if listed.iter().any(|algorithm| algorithm.secret_bytes().is_some() != shared) => {
                return fail("algorithms", "HS256, HS384 and HS512 need jwks.shared_secret, and nothing else goes with it");
            }
            _ => {}
        }
        if !RSA_BITS.contains(&self.max_rsa_bits) {
            return fail("max_rsa_bits", "must be from 2048 to 8192");
        }
        if self.max_token_age == Some(Duration::ZERO) {
            return fail("max_token_age", "must be longer than 0s");
        }
        if self.tenants.is_empty() && (self.forms.iter().any(|form| form.contains(TENANT)) || self.preset == Some(Preset::GithubActions)) {
            return fail("tenants", "name the tenants: anyone can be one of such an issuer");
        }
        let plain =
            |tenant: &String| !tenant.is_empty() && tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if let Some(index) = self.tenants.iter().position(|tenant| !plain(tenant)) {
            return fail(&format!("tenants[{index}]"), "a tenant is letters, digits, - . and _");
        }
        self.claims.check(&format!("{at}.claims"))?;
        self.actors.check(&format!("{at}.actors"))?;
        if let Jwks::SharedSecret(reference) = &self.jwks {
            named_at_once(&format!("{at}.jwks.shared_secret.secret"), &reference.secret, secrets)?;
        }
        self.jwks.check(&format!("{at}.jwks"))
    }
}

/// Errs on an `iss` that two of `issuers` take.
pub(super) fn unique(issuers: &[Issuer]) -> Result<(), ConfigError> {
    let mut seen = SortedSet::new();
    for (index, issuer) in issuers.iter().enumerate() {
        let fail = |reason: String| Err(ConfigError::new(format!("issuers[{index}].issuer"), reason));
        for form in &issuer.forms {
            if form.is_empty() {
                return fail("must not be empty".to_owned());
            }
            let names: Vec<String> = match form.contains(TENANT) {
                true => issuer.tenants.iter().map(|tenant| form.replace(TENANT, tenant)).collect(),
                false => vec![form.clone()],
            };
            for name in names {
                if !seen.insert(name.clone()) {
                    return fail(format!("{name:?} is used twice"));
                }
            }
        }
    }
    Ok(())
}

const fn usual_rsa_bits() -> usize {
    USUAL_RSA_BITS
}

/// Whether `iss` is `form` with `tenant` wherever one stands.
fn is_form(form: &str, tenant: &str, iss: &str) -> bool {
    let mut parts = form.split(TENANT);
    let first = parts.next().and_then(|first| iss.strip_prefix(first));
    parts.try_fold(first, |rest, part| Some(rest?.strip_prefix(tenant)?.strip_prefix(part))).flatten() == Some("")
}

fn access_token_types() -> Vec<String> {
    vec!["at+jwt".to_owned(), "JWT".to_owned()]
}

const fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Issuer, Preset};
    use crate::config::{Config, ConfigError};
    use serde_json::{Value, json};

    fn read(changes: Value) -> Result<Issuer, ConfigError> {
        let mut issuer = json!({"name": "corp", "issuer": "https://a.example", "audiences": ["a"],
                                "jwks": {"remote": {"uri": "https://a.example/k", "cluster": "idp"}}});
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(issuer.as_object_mut().unwrap().remove(name)),
                value => issuer[name] = value.clone(),
            }
        }
        let text = json!({
            "issuers": [issuer], "secrets": {"hmac": {"env": "HMAC"}}, "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
            "agents": [{"name": "x", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"0.3": {"bindings": ["jsonrpc"]}},
                        "security": [{"oauth2": []}]}]
        });
        Config::parse(text.to_string().as_bytes()).map(|config| config.issuers[0].clone())
    }

    #[test]
    fn secrets_and_keys_are_never_mixed() {
        let shared = json!({"shared_secret": {"secret": "hmac"}});
        let issuer = read(json!({"jwks": shared})).unwrap();
        assert!(issuer.takes(Algorithm::HS256) && !issuer.takes(Algorithm::HS384) && !issuer.takes(Algorithm::RS256));
        assert_eq!(issuer.secret_bytes(), 32);
        let longer = read(json!({"jwks": shared, "algorithms": ["HS256", "HS512"]})).unwrap();
        assert_eq!(longer.secret_bytes(), 64);
        let plain = read(json!({})).unwrap();
        assert!(plain.takes(Algorithm::ES512) && !plain.takes(Algorithm::HS256));
        for changes in [
            json!({"algorithms": ["HS256"]}),
            json!({"algorithms": ["RS256", "HS256"]}),
            json!({"jwks": shared, "algorithms": ["RS256"]}),
            json!({"jwks": shared, "algorithms": ["HS256", "ES256"]}),
        ] {
            let error = read(changes).unwrap_err().to_string();
            assert!(error.starts_with("issuers[0].algorithms: HS256"), "{error}");
        }
    }

    #[test]
    fn pss_is_taken_where_it_is_listed_or_the_key_says_so() {
        let plain = read(json!({})).unwrap();
        assert!(plain.takes(Algorithm::PS256) && !plain.takes_with_any_key(Algorithm::PS256) && plain.takes_with_any_key(Algorithm::RS256));
        let listed = read(json!({"algorithms": ["PS256"]})).unwrap();
        assert!(listed.takes_with_any_key(Algorithm::PS256) && !listed.takes_with_any_key(Algorithm::PS384));
        assert_eq!((plain.max_rsa_bits, read(json!({"max_rsa_bits": 8192})).unwrap().max_rsa_bits), (4096, 8192));
    }

    #[test]
    fn entra_has_two_forms_of_issuer_and_needs_its_tenants() {
        let issuer = read(json!({"issuer": null, "preset": "entra", "tenants": ["t-1", "t-2"]})).unwrap();
        assert_eq!(issuer.preset, Some(Preset::Entra));
        assert!(issuer.takes(Algorithm::RS256) && !issuer.takes(Algorithm::ES256));
        assert_eq!(issuer.recognize("https://login.microsoftonline.com/t-1/v2.0"), Some(Some("t-1")));
        assert_eq!(issuer.recognize("https://sts.windows.net/t-2/"), Some(Some("t-2")));
        for other in ["https://sts.windows.net/t-3/", "https://sts.windows.net/{tenantid}/", "https://sts.windows.net/t-1", ""] {
            assert_eq!(issuer.recognize(other), None, "{other}");
        }
        assert!(issuer.owns_key("https://login.microsoftonline.com/{tenantid}/v2.0", "t-1"));
        assert!(issuer.owns_key("https://login.microsoftonline.com/t-1/v2.0", "t-1"));
        assert!(!issuer.owns_key("https://login.microsoftonline.com/t-2/v2.0", "t-1"));
        assert!(issuer.is_described_by("https://login.microsoftonline.com/{tenantid}/v2.0"));
        assert!(issuer.is_described_by("https://login.microsoftonline.com/t-2/v2.0"));
        assert!(!issuer.is_described_by("https://login.microsoftonline.com/t-3/v2.0"));
    }

    #[test]
    fn a_tenant_may_stand_in_the_issuer_more_than_once() {
        let issuer = read(json!({"issuer": null, "preset": "entra_external", "tenants": ["t-1", "t-2"]})).unwrap();
        assert_eq!(issuer.recognize("https://t-2.ciamlogin.com/t-2/v2.0"), Some(Some("t-2")));
        for other in [
            "https://t-1.ciamlogin.com/t-2/v2.0",
            "https://t-3.ciamlogin.com/t-3/v2.0",
            "https://t-1.ciamlogin.com/t-1/v2.0/",
            "https://t-1.ciamlogin.com/t-1",
            "https://t-1.ciamlogin.com/v2.0",
            "https://{tenantid}.ciamlogin.com/{tenantid}/v2.0",
        ] {
            assert_eq!(issuer.recognize(other), None, "{other}");
        }
        assert!(
            issuer.owns_key("https://t-1.ciamlogin.com/t-1/v2.0", "t-1") && !issuer.owns_key("https://t-2.ciamlogin.com/t-2/v2.0", "t-1")
        );
        assert!(issuer.owns_key("https://login.microsoftonline.com/{tenantid}/v2.0", "t-1"));
        assert_eq!(issuer.servers(), ["https://t-1.ciamlogin.com/t-1/v2.0", "https://t-2.ciamlogin.com/t-2/v2.0"]);
        assert!(read(json!({"issuer": "spiffe://a.example", "preset": "spiffe"})).unwrap().servers().is_empty());
    }

    #[test]
    fn equal_urls_describe_one_issuer_and_tokens_are_exact() {
        let issuer = read(json!({"issuer": "https://a.example/x"})).unwrap();
        for same in ["https://a.example/x", "https://A.example:443/x"] {
            assert!(issuer.is_described_by(same), "{same}");
        }
        for other in ["https://a.example/x/", "http://a.example/x", "https://a.example/X", "https://a.example:444/x", ""] {
            assert!(!issuer.is_described_by(other), "{other}");
        }
        assert!(issuer.recognize("https://a.example/x").is_some() && issuer.recognize("https://A.example/x").is_none());
        let two = read(json!({"issuer": null, "preset": "google"})).unwrap();
        assert!(two.recognize("accounts.google.com").is_some() && two.recognize("https://accounts.google.com").is_some());
        assert!(two.is_described_by("https://Accounts.google.com/") && two.recognize("https://accounts.google.com/").is_none());
    }

    #[test]
    fn every_preset_is_a_row_that_can_be_read() {
        for preset in Preset::ALL {
            assert!(preset.row().is_ok(), "{preset:?}: {:?}", preset.row());
        }
    }

    #[test]
    fn every_refusal_names_its_place() {
        for (changes, expected) in [
            (json!({"issuer": null}), "issuers[0].issuer: must not be empty"),
            (json!({"issuer": null, "preset": "entra"}), "issuers[0].tenants: "),
            (json!({"issuer": "https://a.example/{tenantid}"}), "issuers[0].tenants: "),
            (json!({"issuer": "https://{tenantid}/{tenantid}"}), "issuers[0].tenants: "),
            (json!({"tenants": ["t/../u"]}), "issuers[0].tenants[0]: "),
            (json!({"preset": "azure"}), "issuers[0].preset: "),
            (json!({"issuer": null, "preset": "okta"}), "issuers[0].issuer: must not be empty"),
            (json!({"issuer": null, "preset": "github_actions"}), "issuers[0].tenants: name the tenants"),
            (json!({"claims": {"audience": []}}), "issuers[0].claims.audience: "),
            (json!({"claims": {"required": [{"claim": "a"}]}}), "issuers[0].claims.required[0]"),
            (json!({"claims": {"user_marker": [{"claim": "a", "value": "b", "pattern": "c"}]}}), "issuers[0].claims.user_marker[0]"),
            (json!({"claims": {"role_names": ["a", ""]}}), "issuers[0].claims.role_names[1]: "),
            (json!({"max_token_age": "0s"}), "issuers[0].max_token_age: "),
            (json!({"max_rsa_bits": 2047}), "issuers[0].max_rsa_bits: must be from 2048 to 8192"),
            (json!({"max_rsa_bits": 8193}), "issuers[0].max_rsa_bits: must be from 2048 to 8192"),
            (json!({"actors": {"max_depth": 17}}), "issuers[0].actors.max_depth: "),
            (json!({"actors": {"depth": 1}}), "issuers[0].actors.depth: "),
            (json!({"claims": {"roles": [["a", ""]]}}), "issuers[0].claims.roles[0]: "),
            (json!({"claims": {"required": ["email"]}}), "issuers[0].claims.required[0]: "),
            (json!({"claims": {"user_marker": []}}), "issuers[0].claims.user_marker: "),
            (json!({"claims": {"service_marker": [{"claim": "a"}]}}), "issuers[0].claims.service_marker[0]"),
            (json!({"jwks": {"shared_secret": {"secret": "x"}}}), "issuers[0].jwks.shared_secret.secret: there is no secret"),
            (json!({"jwks": {"discovery": {"uri": "ftp://a/", "cluster": "c"}}}), "issuers[0].jwks.discovery.uri: "),
            (json!({"jwks": {"discovery": {"uri": "https://a/", "cluster": ""}}}), "issuers[0].jwks.discovery.cluster: "),
            (
                json!({"jwks": {"discovery": {"uri": "https://a/", "cluster": "c", "jwks_authority": "u@b"}}}),
                "issuers[0].jwks.discovery.jwks_authority: ",
            ),
        ] {
            let error = read(changes.clone()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{changes}: {error}");
        }
    }
}

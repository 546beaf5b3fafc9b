//! The issuers' keys over time: fetched, found through metadata (RFC 8414, OpenID Connect Discovery 1.0), kept, and looked
//! for anew when a token names one that is not there.

use crate::config::{Config, ConfigError, Discovery, HttpUri, Issuer, Jwks, Remote};
use crate::credential::secrets::Secrets;
use crate::flow::event::call::{Answer, Call, Want};
use crate::flow::event::reason::Reason;
use crate::flow::supply::shared::Terms;
use crate::flow::supply::sought::Sought;
use crate::identity::jwk;
use crate::identity::jwk::{JwkSetError, KeySet, MAX_SET_BYTES};
use crate::identity::verify::Unverified;
use crate::wire::kept::{Kept, Wait};
use crate::wire::paged::PagedMap;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use std::rc::Rc;
use std::time::Duration;

/// Longest metadata document, in bytes.
const MAX_METADATA_BYTES: usize = 64 * 1024;
/// How long a key that was looked for in vain is not looked for again.
const MISSED_FOR: Duration = Duration::from_secs(10);
/// Most such keys that are remembered of one issuer.
const MAX_MISSED: usize = 256;

/// The keys of all issuers, by index.
#[derive(Debug)]
pub(in crate::flow) struct Keyrings(Vec<Ring>);

#[derive(Debug)]
struct Ring {
    keys: Kept<KeySet>,
    /// Where the metadata says that they are, and since when that is known.
    found: Option<(HttpUri, UnixTime)>,
    step: Step,
    /// Keys that were looked for in vain, until when.
    missed: PagedMap<[u8; 32], UnixTime>,
}

/// What is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Metadata,
    /// The metadata has come.
    Between,
    Keys,
}

/// What of the metadata is read.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Keyrings {
    /// Keyrings for `config`, whose secrets have these values.
    ///
    /// # Errors
    /// If keys in the configuration are no JWK Set, or a shared secret is too short.
    pub fn new(config: &Config, secrets: &Secrets) -> Result<Self, ConfigError> {
        let ring = |(index, issuer): (usize, &Issuer)| {
            let keys = match &issuer.jwks {
                Jwks::Remote(Remote { refresh, max_stale, .. }) | Jwks::Discovery(Discovery { refresh, max_stale, .. }) => {
                    Kept::remote(*refresh, *max_stale)
                }
                Jwks::Inline(set) => KeySet::parse(set.to_string().as_bytes(), issuer.max_rsa_bits)
                    .map(Kept::inline)
                    .map_err(|error: JwkSetError| ConfigError::new(format!("issuers[{index}].jwks.inline"), error.to_string()))?,
                Jwks::SharedSecret(reference) => match secrets.value(&reference.secret) {
                    Ok(secret) => {
                        let secret = SecretSlice::from(secret.expose_secret().as_bytes().to_vec());
                        if !jwk::is_strong(&secret, issuer.secret_bytes()) {
                            let reason = format!("the secret is shorter than the {} bytes that the algorithm needs", issuer.secret_bytes());
                            return Err(ConfigError::new(format!("issuers[{index}].jwks.shared_secret"), reason));
                        }
                        Kept::inline(KeySet::shared(secret))
                    }
                    Err(_) => Kept::nothing(),
                },
            };
            Ok(Ring { keys, found: None, step: Step::Keys, missed: PagedMap::new() })
        };
        config.issuers.iter().enumerate().map(ring).collect::<Result<_, _>>().map(Self)
    }

    /// Whether issuer `index` has keys in force.
    pub fn is_usable(&self, index: usize, now: UnixTime) -> bool {
        self.0.get(index).is_some_and(|ring| ring.keys.usable(now).is_some())
    }

    /// What is to be said of keys in the configuration itself.
    pub fn warnings<'a>(&'a self, config: &'a Config) -> impl Iterator<Item = String> + 'a {
        config.issuers.iter().enumerate().filter_map(|(index, issuer)| self.warning(index, issuer, UnixTime::default()))
    }

    /// What is to be said of the keys of issuer `index`, if some are left out because of their length.
    pub(super) fn warning(&self, index: usize, issuer: &Issuer, now: UnixTime) -> Option<String> {
        let oversized = self.0.get(index)?.keys.usable(now)?.oversized();
        let (name, most) = (&issuer.name, issuer.max_rsa_bits);
        (oversized > 0).then(|| {
            format!(
                "issuers[{index}].jwks: {oversized} RSA keys of {name:?} are left out, for they have more than {most} bits: \
                 raise max_rsa_bits if tokens are signed with them"
            )
        })
    }

    /// How old the keys of issuer `index` are, if they were fetched.
    pub fn age(&self, index: usize, now: UnixTime) -> Option<Duration> {
        self.0.get(index)?.keys.age(now)
    }

    /// The keys for `token` of `issuer`. With `may_wait`, they are waited for if they are not there, or if the token's is
    /// not among them and may be in the next set.
    pub fn find(&mut self, token: &Unverified<'_>, issuer: &Issuer, may_wait: bool, now: UnixTime) -> Sought<Rc<KeySet>> {
        let Some(ring) = self.0.get_mut(token.issuer) else { return Sought::No(Reason::TokenIssuerUnknown) };
        let Some(keys) = ring.keys.usable(now) else {
            return match ring.keys.wait_for_any(now) {
                Wait::ForFetch if may_wait => Sought::Wait(Want::Keys(token.issuer)),
                Wait::ForFetch | Wait::Never => Sought::No(Reason::KeysUnavailable),
            };
        };
        if token.has_key(issuer, &keys) {
            return Sought::Here(keys);
        }
        let name = token.key_digest();
        let is_missed = ring.missed.get(&name).is_some_and(|until| now < *until);
        if may_wait && !is_missed && ring.keys.wait_for_another(now) == Wait::ForFetch {
            return Sought::Wait(Want::Keys(token.issuer));
        }
        // It has waited, in vain.
        if !may_wait && !is_missed {
            ring.missed.retain(|_, until| now < *until);
            if ring.missed.len() < MAX_MISSED {
                ring.missed.insert(name, now.plus(MISSED_FOR));
            }
        }
        Sought::Here(keys)
    }

    /// The issuers whose keys should be fetched now, without anyone asking.
    pub fn due(&self, now: UnixTime) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(move |(_, ring)| ring.keys.is_due(now)).map(|(index, _)| index)
    }

    /// Begins a fetch for `issuer`: the first call.
    pub fn begin(&mut self, index: usize, issuer: &Issuer, now: UnixTime) -> Option<Call> {
        let ring = self.0.get_mut(index)?;
        match &issuer.jwks {
            Jwks::Remote(remote) => ring.keys.begin(now).then(|| fetch(remote)),
            Jwks::Discovery(discovery) => {
                if !ring.keys.begin(now) {
                    return None;
                }
                let known = ring.found.as_ref().filter(|(_, since)| now.since(*since) < discovery.refresh && *since <= now);
                match known.and_then(|(uri, _)| discovery.keys(uri.clone())) {
                    Some(remote) => {
                        ring.step = Step::Keys;
                        Some(fetch(&remote))
                    }
                    None => {
                        ring.step = Step::Metadata;
                        Some(Call::get(&discovery.metadata(), "application/json", MAX_METADATA_BYTES))
                    }
                }
            }
            Jwks::Inline(_) | Jwks::SharedSecret(_) => None,
        }
    }

    /// The call that follows the one that was completed, if the fetch takes another.
    pub fn proceed(&mut self, index: usize, issuer: &Issuer) -> Option<Call> {
        let ring = self.0.get_mut(index).filter(|ring| ring.step == Step::Between)?;
        let Jwks::Discovery(discovery) = &issuer.jwks else { return None };
        ring.step = Step::Keys;
        discovery.keys(ring.found.as_ref()?.0.clone()).map(|remote| fetch(&remote))
    }

    /// What is noted for other workers of the keys of `issuer`.
    pub fn terms(&self, index: usize, issuer: &Issuer) -> Option<Terms> {
        let since = self.0.get(index)?.keys.fetched();
        // One wait more than the calls take, for what lies between.
        match &issuer.jwks {
            Jwks::Remote(Remote { timeout, refresh, max_stale, .. }) => {
                Some(Terms { since, refresh: *refresh, max_stale: *max_stale, lease: timeout.saturating_mul(2) })
            }
            Jwks::Discovery(Discovery { timeout, refresh, max_stale, .. }) => {
                Some(Terms { since, refresh: *refresh, max_stale: *max_stale, lease: timeout.saturating_mul(3) })
            }
            Jwks::Inline(_) | Jwks::SharedSecret(_) => None,
        }
    }

    /// Ends a fetch with what another worker fetched at `at`, in place of a call.
    pub fn adopt(&mut self, index: usize, issuer: &Issuer, keys: Answer<'_>, at: UnixTime) -> Result<bool, String> {
        if let Some(ring) = self.0.get_mut(index) {
            ring.step = Step::Keys;
        }
        self.complete(index, issuer, keys, at)
    }

    /// Ends a call. `Ok(true)`: other keys than before are in force.
    ///
    /// # Errors
    /// What was wrong with the answer. What was there before stays.
    pub fn complete(&mut self, index: usize, issuer: &Issuer, answer: Answer<'_>, now: UnixTime) -> Result<bool, String> {
        let Some(ring) = self.0.get_mut(index) else { return Ok(false) };
        let body = match answer {
            Ok((200, body)) => Ok(body),
            Ok((status, _)) => Err(format!("answered with status {status}")),
            Err(error) => Err(error),
        };
        if let (Step::Metadata, Jwks::Discovery(discovery)) = (ring.step, &issuer.jwks) {
            let error = match body.and_then(|body| where_keys_are(body, issuer, discovery)) {
                Ok(uri) => {
                    ring.found = Some((uri, now));
                    ring.step = Step::Between;
                    return Ok(false);
                }
                Err(error) => format!("metadata: {error}"),
            };
            // The keys rarely move: while nothing better is known, they are where they were.
            match &ring.found {
                Some((_, since)) if now.since(*since) <= discovery.max_stale => ring.step = Step::Between,
                _ => drop(ring.keys.complete(now, Err(error.clone()))),
            }
            return Err(error);
        }
        let keys = body.and_then(|body| KeySet::parse(body, issuer.max_rsa_bits).map_err(|error| error.to_string()));
        let failed = keys.as_ref().err().cloned();
        if failed.is_some() {
            // They may have moved: the metadata is asked again next time.
            ring.found = ring.found.take().map(|(uri, _)| (uri, UnixTime::default()));
        }
        let changed = ring.keys.complete(now, keys);
        if changed {
            ring.missed = PagedMap::new();
        }
        failed.map_or(Ok(changed), Err)
    }
}

fn fetch(remote: &Remote) -> Call {
    Call::get(remote, "application/jwk-set+json, application/json", MAX_SET_BYTES)
}

/// `jwks_uri` of the metadata in `body`. The metadata must be the issuer's own (RFC 8414 section 3.3).
fn where_keys_are(body: &[u8], issuer: &Issuer, discovery: &Discovery) -> Result<HttpUri, String> {
    let metadata: Metadata = serde_json::from_slice(body).map_err(|_| "not a JSON object with issuer and jwks_uri")?;
    if !issuer.is_described_by(&metadata.issuer) {
        return Err("issuer is another one than configured".to_owned());
    }
    let uri = HttpUri::try_from(metadata.jwks_uri).map_err(|error| format!("jwks_uri {error}"))?;
    let allowed = discovery.keys(uri.clone()).is_some();
    allowed.then_some(uri).ok_or_else(|| "jwks_uri has another host or port than the metadata, and not those of jwks_authority".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Answer, Config, Duration, Keyrings, Secrets, Sought, UnixTime, Unverified};
    use crate::flow::event::Value;
    use crate::flow::event::call::Call;
    use crate::identity::verify::{self, Taken};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;
    use std::rc::Rc;

    const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    const OTHER_KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"2","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn config(jwks: &serde_json::Value) -> Config {
        let text = json!({
            "issuers": [{"name": "corp", "issuer": "https://a.example", "audiences": ["a"], "jwks": jwks}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
            "agents": [{"name": "x", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"0.3": {"bindings": ["jsonrpc"]}},
                        "security": [{"oauth2": []}]}]
        });
        Config::parse(text.to_string().as_bytes()).unwrap()
    }

    fn discovery() -> Config {
        config(&json!({"discovery": {"uri": "https://a.example/.well-known/openid-configuration", "cluster": "idp", "refresh": "60s",
                                     "max_stale": "600s", "jwks_authority": "keys.example"}}))
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(10_000 + seconds)
    }

    fn url(call: Option<Call>) -> Option<String> {
        let call = call?;
        let header = |name: &str| match call.headers.iter().find(|(given, _)| given == name) {
            Some((_, Value::Text(text))) => text.clone(),
            _ => panic!("no {name}"),
        };
        Some(format!("{}://{}{}", header(":scheme"), header(":authority"), header(":path")))
    }

    fn metadata(jwks_uri: &str) -> Vec<u8> {
        json!({"issuer": "https://a.example", "jwks_uri": jwks_uri, "token_endpoint": "https://a.example/t"}).to_string().into_bytes()
    }

    fn token(kid: &str) -> String {
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", encode(json!({"alg": "EdDSA", "kid": kid})), encode(json!({"iss": "https://a.example"})))
    }

    fn open<'a>(text: &'a str, config: &Config) -> Unverified<'a> {
        let taken = Taken { scheme: 0, issuer: 0, terms: Rc::clone(&config.issuers[0].terms) };
        verify::open(text, &config.issuers, &[taken]).unwrap()
    }

    #[test]
    fn metadata_leads_to_the_keys() {
        let config = discovery();
        let issuer = &config.issuers[0];
        let mut rings = Keyrings::new(&config, &Secrets::default()).unwrap();
        assert_eq!(url(rings.begin(0, issuer, at(0))).as_deref(), Some("https://a.example/.well-known/openid-configuration"));
        assert!(rings.begin(0, issuer, at(0)).is_none());
        assert_eq!(rings.complete(0, issuer, Ok((200, &metadata("https://keys.example/k"))), at(1)), Ok(false));
        assert!(!rings.is_usable(0, at(1)));
        assert_eq!(url(rings.proceed(0, issuer)).as_deref(), Some("https://keys.example/k"));
        assert!(rings.proceed(0, issuer).is_none());
        assert_eq!(rings.complete(0, issuer, Ok((200, KEYS)), at(2)), Ok(true));
        assert!(rings.is_usable(0, at(2)));
        // Soon after, the keys alone; when the metadata is old, both; and if it cannot be had, where they were.
        assert_eq!(url(rings.begin(0, issuer, at(10))).as_deref(), Some("https://keys.example/k"));
        assert_eq!(rings.complete(0, issuer, Ok((200, KEYS)), at(11)), Ok(false));
        assert_eq!(url(rings.begin(0, issuer, at(100))).as_deref(), Some("https://a.example/.well-known/openid-configuration"));
        assert!(rings.complete(0, issuer, Err("down".into()), at(101)).is_err());
        assert_eq!(url(rings.proceed(0, issuer)).as_deref(), Some("https://keys.example/k"));
        assert_eq!(rings.complete(0, issuer, Ok((200, OTHER_KEYS)), at(102)), Ok(true));
        // Keys that are not where they were: the metadata is asked again.
        assert!(rings.begin(0, issuer, at(170)).is_some());
        assert_eq!(rings.complete(0, issuer, Ok((200, &metadata("https://a.example/k"))), at(170)), Ok(false));
        assert_eq!(url(rings.proceed(0, issuer)).as_deref(), Some("https://a.example/k"));
        assert!(rings.complete(0, issuer, Ok((404, b"")), at(171)).is_err());
        assert_eq!(url(rings.begin(0, issuer, at(175))).as_deref(), Some("https://a.example/.well-known/openid-configuration"));
    }

    #[test]
    fn equal_urls_in_metadata_are_one_and_the_scheme_is_the_clusters_matter() {
        let config = discovery();
        let issuer = &config.issuers[0];
        for (stated, jwks_uri) in [
            ("https://a.example", "https://A.example:443/k"),
            ("https://A.Example:443", "https://a.example/k"),
            ("https://a.example/", "http://a.example/k"),
            ("https://a.example", "http://keys.example/k"),
            ("https://a.example", "https://Keys.Example:443/k"),
        ] {
            let mut rings = Keyrings::new(&config, &Secrets::default()).unwrap();
            assert!(rings.begin(0, issuer, at(0)).is_some());
            let body = json!({"issuer": stated, "jwks_uri": jwks_uri}).to_string();
            assert_eq!(rings.complete(0, issuer, Ok((200, body.as_bytes())), at(0)), Ok(false), "{body}");
            assert_eq!(url(rings.proceed(0, issuer)).as_deref(), Some(jwks_uri));
        }
    }

    #[test]
    fn metadata_of_another_or_leading_elsewhere_is_refused() {
        let config = discovery();
        let issuer = &config.issuers[0];
        let stranger = metadata("https://a.example/k").to_ascii_lowercase();
        let stranger =
            String::from_utf8(stranger).unwrap().replace("\"issuer\":\"https://a.example\"", "\"issuer\":\"https://a.example/x\"");
        let twice = String::from_utf8(metadata("https://a.example/k")).unwrap().replace("{", "{\"jwks_uri\":\"https://a.example/x\",");
        let answers: [Answer<'_>; 12] = [
            Ok((200, stranger.as_bytes())),
            Ok((200, twice.as_bytes())),
            Ok((200, &metadata("https://b.example/k"))),
            Ok((200, &metadata("http://a.example:80/k"))),
            Ok((200, &metadata("https://a.example:444/k"))),
            Ok((200, &metadata("https://a.example@b.example/k"))),
            Ok((200, &metadata("file:///k"))),
            Ok((200, &metadata("/k"))),
            Ok((200, b"{}")),
            Ok((200, b"<html>")),
            Ok((302, b"")),
            Err("down".into()),
        ];
        for answer in answers {
            let mut rings = Keyrings::new(&config, &Secrets::default()).unwrap();
            assert!(rings.begin(0, issuer, at(0)).is_some());
            let about = format!("{answer:?}");
            assert!(rings.complete(0, issuer, answer, at(0)).is_err(), "{about}");
            assert!(rings.proceed(0, issuer).is_none(), "{about}");
            assert!(rings.begin(0, issuer, at(1)).is_some(), "the next fetch can begin");
        }
    }

    /// A thousand tokens with keys that nobody has, within ten seconds.
    #[test]
    fn a_flood_of_unknown_keys_causes_two_fetches() {
        let config = config(&json!({"remote": {"uri": "https://a.example/k", "cluster": "idp"}}));
        let issuer = &config.issuers[0];
        let mut rings = Keyrings::new(&config, &Secrets::default()).unwrap();
        let fetch = |rings: &mut Keyrings, now: UnixTime| {
            let begins = rings.begin(0, issuer, now).is_some();
            assert!(!begins || rings.complete(0, issuer, Ok((200, KEYS)), now).is_ok());
            usize::from(begins)
        };
        assert_eq!(fetch(&mut rings, at(0)), 1);
        let mut fetches = 0;
        for number in 0..1000_u64 {
            let now = at(10).plus(Duration::from_millis(10 * number));
            let text = token(&format!("random-{number}"));
            let token = open(&text, &config);
            if matches!(rings.find(&token, issuer, true, now), Sought::Wait(_)) {
                fetches += fetch(&mut rings, now);
                assert!(matches!(rings.find(&token, issuer, false, now), Sought::Here(_)));
            }
        }
        assert!((1..=2).contains(&fetches), "{fetches}");
        // One that was missed is not looked for again at once; a new set forgets it.
        let text = token("2");
        let token = open(&text, &config);
        assert!(matches!(rings.find(&token, issuer, true, at(100)), Sought::Wait(_)));
        assert_eq!(fetch(&mut rings, at(100)), 1);
        assert!(matches!(rings.find(&token, issuer, false, at(100)), Sought::Here(_)));
        assert_eq!(rings.0[0].missed.len(), 1);
        assert!(rings.begin(0, issuer, at(1000)).is_some());
        assert_eq!(rings.complete(0, issuer, Ok((200, OTHER_KEYS)), at(1000)), Ok(true));
        assert!(rings.0[0].missed.is_empty());
    }
}

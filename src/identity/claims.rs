//! The claims of a token (RFC 7519 section 4.1), typed. A claim of the wrong type is an error, never an
//! absence.

use crate::config::{ClaimPath, Claims as Places, Field, Marker, Need, Sign, is_scope};
use crate::identity::claim_path::{ClaimError, at};
use crate::identity::confirmation::{self, Confirmation};
use crate::identity::{Caller, Forwarded, Kind, Origin, Pseudonym, Rendered, forwarded};
use crate::wire::json::UniqueObject;
use crate::wire::time::UnixTime;
use serde_json::{Map, Value};
use std::time::Duration;

/// Longest chain of actors that is read (RFC 8693 section 4.1).
const MAX_ACTORS: usize = 16;
/// Longest name of a subject, client, tenant or actor, in bytes: four times what OpenID Connect Core section 2 allows `sub`.
const MAX_NAME_BYTES: usize = 1024;
/// Most bytes of all scopes together. They go on in one header.
const MAX_SCOPES_BYTES: usize = 8 * 1024;
/// Most bytes of all roles together, each with one more. What introspection answers could hold far more.
const MAX_ROLES_BYTES: usize = 16 * 1024;

/// The claims that decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `aud`, as a list.
    pub audiences: Vec<String>,
    /// `exp`.
    pub expires: UnixTime,
    /// `nbf`.
    pub not_before: Option<UnixTime>,
    /// `iat`.
    pub issued: Option<UnixTime>,
    /// Whom the token is about, by the first of the configured places, as everything below.
    pub subject: Option<String>,
    /// The client.
    pub client: Option<String>,
    /// What the markers say.
    pub kind: Kind,
    /// Scopes.
    pub scopes: Vec<String>,
    /// Roles.
    pub roles: Vec<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// `act`, the current actor first.
    pub actors: Vec<String>,
    /// The current actor is said to be another issuer's: its name means nothing here (RFC 8693 section 4.1).
    pub has_foreign_actor: bool,
    /// `cnf`.
    pub confirmation: Option<Confirmation>,
    /// Claims that go on to agents.
    pub forwarded: Box<[Forwarded]>,
}

/// `iss` of a claims set (RFC 7519 section 4.1.1). Where there is none and the subject is a SPIFFE ID, its trust domain
/// (`spiffe://corp.example`), whose keys sign it (JWT-SVID section 3).
#[must_use]
pub fn issuer(payload: &UniqueObject) -> Option<&str> {
    match payload.0.get("iss") {
        Some(issuer) => issuer.as_str(),
        None => {
            let subject = payload.0.get("sub")?.as_str()?;
            let (domain, _) = subject.strip_prefix(SPIFFE)?.split_once('/')?;
            subject.get(..SPIFFE.len().saturating_add(domain.len()))
        }
    }
}

const SPIFFE: &str = "spiffe://";

impl Claims {
    /// Reads `payload` with the places of its issuer. `exp` and an audience must be there.
    ///
    /// # Errors
    /// If one of them is not, or a claim with its value that is required, or anything that is read has the wrong type.
    pub fn read(payload: &UniqueObject, places: &Places) -> Result<Self, ClaimError> {
        let claim = |name: &str| payload.0.get(name);
        let first = |paths: &[ClaimPath]| first(payload, paths);
        let list = |paths: &[ClaimPath]| first(paths)?.map_or(Ok(Vec::new()), |value| words(value, true));
        let claims = Self {
            audiences: words(first(&places.audience)?.ok_or(ClaimError)?, false)?,
            expires: moment(claim("exp"))?.ok_or(ClaimError)?,
            not_before: moment(claim("nbf"))?,
            issued: moment(claim("iat"))?,
            subject: name(first(&places.subject)?)?,
            client: name(first(&places.client)?)?,
            kind: kind(payload, places)?,
            scopes: scopes(list(&places.scopes)?)?,
            roles: roles(first(&places.roles)?, first(&places.role_names)?)?,
            tenant: name(first(&places.tenant)?)?,
            actors: actors(claim("act"))?,
            has_foreign_actor: is_foreign(claim("act"), claim("iss"))?,
            confirmation: confirmation::read(payload)?,
            forwarded: forwarded::read(payload, &places.forwarded),
        };
        let holds = |need: &Need| match need {
            Need::Field(_) => true,
            Need::Claim(marker) => marked(payload, std::slice::from_ref(marker)) == Ok(true),
        };
        if places.required.iter().all(holds) { Ok(claims) } else { Err(ClaimError) }
    }

    /// Whether each of `fields` is there.
    #[must_use]
    pub fn say(&self, fields: &[Field]) -> bool {
        fields.iter().all(|field| match field {
            Field::Subject => self.subject.is_some(),
            Field::Client => self.client.is_some(),
            Field::Scopes => !self.scopes.is_empty(),
            Field::Roles => !self.roles.is_empty(),
            Field::Tenant => self.tenant.is_some(),
        })
    }

    /// Whether `nbf` or `iat` is yet to come.
    #[must_use]
    pub fn is_early(&self, now: UnixTime, skew: Duration) -> bool {
        self.not_before.into_iter().chain(self.issued).any(|start| start > now.plus(skew))
    }

    /// The caller of whom verified claims speak.
    #[must_use]
    pub fn caller(self, origin: Origin) -> Caller {
        let Self { subject, client, kind, scopes, roles, tenant, actors, expires, confirmation, forwarded, .. } = self;
        Caller {
            origin,
            subject,
            client,
            kind,
            scopes,
            roles,
            tenant,
            actors,
            expires,
            confirmation,
            forwarded,
            pseudonym: Pseudonym::new(),
            rendered: Rendered::new(),
        }
    }
}

pub(super) fn first<'a>(payload: &'a UniqueObject, paths: &[ClaimPath]) -> Result<Option<&'a Value>, ClaimError> {
    for path in paths {
        if let Some(value) = at(payload, path)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The markers of users first, unless it is said otherwise. What has none of either is of the kind that has no markers; if both
/// have, it is neither.
pub(super) fn kind(payload: &UniqueObject, places: &Places) -> Result<Kind, ClaimError> {
    let mut marks = [(&places.user_marker, Kind::User), (&places.service_marker, Kind::Service)];
    if places.service_first {
        marks.reverse();
    }
    for (markers, kind) in marks {
        if marked(payload, markers)? {
            return Ok(kind);
        }
    }
    match (places.user_marker.is_empty(), places.service_marker.is_empty()) {
        (false, false) => Err(ClaimError),
        (true, false) => Ok(Kind::User),
        (_, true) => Ok(Kind::Service),
    }
}

pub(super) fn marked(payload: &UniqueObject, markers: &[Marker]) -> Result<bool, ClaimError> {
    for marker in markers {
        let fits = match (at(payload, &marker.claim)?, &marker.sign) {
            (None, _) => false,
            (Some(Value::Null), _) => return Err(ClaimError),
            (Some(_), Sign::There) => true,
            (Some(value), sign) => words(value, false)?.iter().any(|text| sign.covers(text)),
        };
        if fits {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The chain in `act`, outermost first: each is named by its `sub`, else by its `client_id`.
pub(super) fn actors(act: Option<&Value>) -> Result<Vec<String>, ClaimError> {
    let mut names = Vec::new();
    let mut next = act;
    while let Some(actor) = next {
        let actor: &Map<String, Value> = actor.as_object().ok_or(ClaimError)?;
        names.push(name(actor.get("sub").or_else(|| actor.get("client_id")))?.ok_or(ClaimError)?);
        if names.len() > MAX_ACTORS {
            // Longer than any chain that can be allowed: what follows does not matter.
            break;
        }
        next = actor.get("act");
    }
    Ok(names)
}

/// Whether the current actor has an issuer of its own that is not the token's.
pub(super) fn is_foreign(act: Option<&Value>, issuer: Option<&Value>) -> Result<bool, ClaimError> {
    match act.and_then(|act| act.get("iss")) {
        None => Ok(false),
        Some(Value::String(_)) => Ok(act.and_then(|act| act.get("iss")) != issuer),
        Some(_) => Err(ClaimError),
    }
}

/// What can be a scope (RFC 6749 section 3.3); the rest grants nothing: joined with others it would be another one.
fn scopes(mut scopes: Vec<String>) -> Result<Vec<String>, ClaimError> {
    scopes.retain(|scope| is_scope(scope));
    let bytes = scopes.iter().fold(0_usize, |sum, scope| sum.saturating_add(scope.len()).saturating_add(1));
    if bytes > MAX_SCOPES_BYTES { Err(ClaimError) } else { Ok(scopes) }
}

/// What is listed, else the member names of the object of roles.
pub(super) fn roles(listed: Option<&Value>, named: Option<&Value>) -> Result<Vec<String>, ClaimError> {
    let roles = match (listed, named) {
        (Some(listed), _) => words(listed, false)?,
        (None, Some(Value::Object(members))) => members.keys().cloned().collect(),
        (None, Some(_)) => return Err(ClaimError),
        (None, None) => Vec::new(),
    };
    let bytes = roles.iter().fold(0_usize, |sum, role| sum.saturating_add(role.len()).saturating_add(1));
    if bytes > MAX_ROLES_BYTES { Err(ClaimError) } else { Ok(roles) }
}

/// A `NumericDate`: seconds, with a fraction if it has one (RFC 7519 section 2).
pub(super) fn moment(value: Option<&Value>) -> Result<Option<UnixTime>, ClaimError> {
    let read = |value: &Value| match value.as_u64() {
        Some(seconds) => Some(UnixTime::from_secs(seconds)),
        None => Duration::try_from_secs_f64(value.as_f64()?).ok().map(UnixTime::new),
    };
    value.map(|value| read(value).ok_or(ClaimError)).transpose()
}

/// A name that is no longer than names are. An empty one names nobody.
pub(super) fn name(value: Option<&Value>) -> Result<Option<String>, ClaimError> {
    let text = |value: &Value| value.as_str().filter(|text| text.len() <= MAX_NAME_BYTES).map(str::to_owned).ok_or(ClaimError);
    Ok(value.map(text).transpose()?.filter(|name| !name.is_empty()))
}

/// One string (split at spaces if `split`) or a list of strings.
pub(super) fn words(value: &Value, split: bool) -> Result<Vec<String>, ClaimError> {
    match value {
        Value::String(line) if split => Ok(line.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()),
        Value::String(word) => Ok(vec![word.clone()]),
        Value::Array(list) => list.iter().map(|word| word.as_str().map(str::to_owned).ok_or(ClaimError)).collect(),
        _ => Err(ClaimError),
    }
}

#[cfg(test)]
mod tests {
    use super::{ClaimError, Claims, Kind, Places, UniqueObject, UnixTime};
    use crate::config::{ClaimPath, Field, Marker};
    use serde_json::{Value, json};

    fn read_with(payload: Value, places: &Places) -> Result<Claims, ClaimError> {
        let map: UniqueObject = serde_json::from_value(payload).unwrap();
        Claims::read(&map, places)
    }

    fn read(payload: Value) -> Result<Claims, ClaimError> {
        read_with(payload, &Places::default())
    }

    #[test]
    fn both_spellings_of_scopes_and_audiences() {
        let claims = read(json!({"aud": "a", "exp": 9, "scope": "x  y", "sub": "s", "client_id": "c"})).unwrap();
        assert_eq!((claims.audiences, claims.scopes), (vec!["a".to_owned()], vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!((claims.expires, claims.kind), (UnixTime::from_secs(9), Kind::Service));
        let claims = read(json!({"aud": ["a", "b"], "exp": 9, "scp": ["x"], "azp": "c", "appid": "d"})).unwrap();
        assert_eq!((claims.scopes, claims.client.as_deref(), claims.kind), (vec!["x".to_owned()], Some("c"), Kind::User));
    }

    #[test]
    fn what_is_no_scope_grants_nothing() {
        let scopes = |form: Value| read(json!({"aud": "a", "exp": 9, "scp": form})).map(|claims| claims.scopes);
        assert_eq!(
            scopes(json!(["a b", "c", "", " d", "e\t", "f\"", "g\\", "é", "!#[]~%"])),
            Ok(vec!["c".to_owned(), "!#[]~%".to_owned()])
        );
        assert_eq!(scopes(json!("a  b\tc d\" e")), Ok(vec!["a".to_owned(), "e".to_owned()]));
        assert_eq!(scopes(json!(["a b"])), Ok(Vec::new()));
    }

    #[test]
    fn names_and_scopes_have_an_end() {
        let long = |bytes: usize| "x".repeat(bytes);
        for member in ["sub", "client_id", "tid"] {
            assert!(read(json!({"aud": "a", "exp": 9, member: long(1024)})).is_ok(), "{member}");
            assert_eq!(read(json!({"aud": "a", "exp": 9, member: long(1025)})), Err(ClaimError), "{member}");
        }
        assert!(read(json!({"aud": "a", "exp": 9, "act": {"sub": long(1025)}})).is_err());
        assert_eq!(read(json!({"aud": "a", "exp": 9, "sub": ""})).map(|claims| claims.subject), Ok(None));
        assert!(read(json!({"aud": "a", "exp": 9, "act": {"sub": ""}})).is_err());
        assert!(read(json!({"aud": "a", "exp": 9, "scope": format!("{} {}", long(4095), long(4095))})).is_ok());
        assert!(read(json!({"aud": "a", "exp": 9, "scope": format!("{} {}", long(4096), long(4095))})).is_err());
    }

    #[test]
    fn an_actor_of_another_issuer_is_no_actor_of_this_one() {
        let foreign =
            |act: Value| read(json!({"iss": "https://a", "aud": "a", "exp": 9, "act": act})).map(|claims| claims.has_foreign_actor);
        assert_eq!(foreign(json!({"sub": "b"})), Ok(false));
        assert_eq!(foreign(json!({"sub": "b", "iss": "https://a"})), Ok(false));
        assert_eq!(foreign(json!({"sub": "b", "iss": "https://a/"})), Ok(true));
        assert_eq!(foreign(json!({"sub": "b", "act": {"sub": "c", "iss": "https://b"}})), Ok(false), "it only had a part before");
        assert_eq!(foreign(json!({"sub": "b", "iss": 7})), Err(ClaimError));
    }

    #[test]
    fn a_claim_of_the_wrong_type_is_an_error() {
        for odd in [
            json!({"aud": "a"}),
            json!({"exp": 9}),
            json!({"aud": "a", "exp": "9"}),
            json!({"aud": "a", "exp": -9.5}),
            json!({"aud": "a", "exp": 1e300}),
            json!({"aud": "a", "exp": -9}),
            json!({"aud": "a", "exp": null}),
            json!({"aud": "a", "exp": 9, "nbf": "1"}),
            json!({"aud": "a", "exp": 9, "iat": []}),
            json!({"aud": 5, "exp": 9}),
            json!({"aud": ["a", 5], "exp": 9}),
            json!({"aud": "a", "exp": 9, "scope": 5}),
            json!({"aud": "a", "exp": 9, "sub": 5}),
            json!({"aud": "a", "exp": 9, "client_id": {}}),
            json!({"aud": "a", "exp": 9, "act": "b"}),
            json!({"aud": "a", "exp": 9, "act": {}}),
            json!({"aud": "a", "exp": 9, "act": {"sub": "b", "act": null}}),
        ] {
            assert_eq!(read(odd.clone()), Err(ClaimError), "{odd}");
        }
    }

    #[test]
    fn claims_stand_where_the_issuer_puts_them() {
        let path = |form: Value| serde_json::from_value::<ClaimPath>(form).unwrap();
        let places = Places { roles: vec![path(json!("https://x.example/roles")), path(json!(["realm", "roles"]))], ..Places::default() };
        let roles = |more: Value| {
            let mut payload = json!({"aud": "a", "exp": 9});
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read_with(payload, &places).map(|claims| claims.roles)
        };
        assert_eq!(roles(json!({"https://x.example/roles": ["a"], "realm": {"roles": ["b"]}})), Ok(vec!["a".to_owned()]));
        assert_eq!(roles(json!({"realm": {"roles": ["b"]}})), Ok(vec!["b".to_owned()]));
        assert_eq!(roles(json!({"realm": {}, "realm.roles": ["c"]})), Ok(vec![]));
        assert_eq!(roles(json!({"realm": ["b"]})), Err(ClaimError));
        assert_eq!(roles(json!({"realm": {"roles": {"b": true}}})), Err(ClaimError));
    }

    #[test]
    fn markers_tell_users_from_services() {
        let marker = |form: Value| vec![serde_json::from_value::<Marker>(form).unwrap()];
        let (scp, app) = (marker(json!("scp")), marker(json!({"claim": "idtyp", "value": "app"})));
        let kind = |user: &[Marker], service: &[Marker], more: Value| {
            let mut payload = json!({"aud": "a", "exp": 9});
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let places = Places { user_marker: user.to_vec(), service_marker: service.to_vec(), ..Places::default() };
            read_with(payload, &places).map(|claims| claims.kind)
        };
        assert_eq!(kind(&scp, &app, json!({"scp": "x", "idtyp": "app"})), Ok(Kind::User));
        assert_eq!(kind(&scp, &app, json!({"idtyp": "app"})), Ok(Kind::Service));
        assert_eq!(kind(&scp, &app, json!({"idtyp": "user"})), Err(ClaimError));
        assert_eq!(kind(&scp, &app, json!({})), Err(ClaimError));
        assert_eq!(kind(&scp, &app, json!({"idtyp": 7})), Err(ClaimError));
        assert_eq!(kind(&scp, &[], json!({})), Ok(Kind::Service));
        assert_eq!(kind(&[], &app, json!({})), Ok(Kind::User));
        assert_eq!(kind(&[], &app, json!({"idtyp": ["device", "app"]})), Ok(Kind::Service));
    }

    #[test]
    fn a_moment_may_have_a_fraction_and_an_exponent() {
        let expires = |text: &str| {
            let payload: UniqueObject = serde_json::from_str(&format!(r#"{{"aud": "a", "exp": {text}}}"#)).map_err(|_| ClaimError)?;
            Claims::read(&payload, &Places::default()).map(|claims| claims.expires)
        };
        let moment = |millis| Ok(UnixTime::new(std::time::Duration::from_millis(millis)));
        for (text, millis) in [
            ("1700000000.5", 1_700_000_000_500),
            ("1.7e9", 1_700_000_000_000),
            ("17E+8", 1_700_000_000_000),
            ("1700000000.0", 1_700_000_000_000),
            ("0.0", 0),
            ("5e-1", 500),
        ] {
            assert_eq!(expires(text), moment(millis), "{text}");
        }
        for text in ["-0.5", "-1", "1e20", "184467440737095516160", "1e308", "1e400", "\"1.7e9\"", "NaN"] {
            assert_eq!(expires(text), Err(ClaimError), "{text}");
        }
    }

    #[test]
    fn a_sign_has_a_value_of_the_right_type() {
        let places = |first| {
            let marker = |form: Value| vec![serde_json::from_value::<Marker>(form).unwrap()];
            let service_marker = marker(json!({"claim": "sub", "pattern": "*@clients"}));
            Places { user_marker: marker(json!(["who", "id"])), service_marker, service_first: first, ..Places::default() }
        };
        let kind = |first, more: Value| {
            let mut payload = json!({"aud": "a", "exp": 9});
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read_with(payload, &places(first)).map(|claims| claims.kind)
        };
        let both = json!({"who": {"id": "x"}, "sub": "x@clients"});
        assert_eq!((kind(false, both.clone()), kind(true, both)), (Ok(Kind::User), Ok(Kind::Service)));
        assert_eq!(kind(false, json!({"sub": "x@clients"})), Ok(Kind::Service));
        assert_eq!(kind(true, json!({"who": {"id": 7}, "sub": "x"})), Ok(Kind::User));
        for odd in [
            json!({"who": {"id": null}, "sub": "x@clients"}),
            json!({"who": ["id"], "sub": "x@clients"}),
            json!({"who": null, "sub": "x@clients"}),
            json!({"who": "id", "sub": "x@clients"}),
            json!({"who": {}, "sub": "x@clients.example"}),
            json!({}),
        ] {
            assert_eq!(kind(false, odd.clone()), Err(ClaimError), "{odd}");
        }
    }

    #[test]
    fn roles_are_listed_or_the_names_of_members() {
        let places = Places { roles: vec!["roles".into()], role_names: vec!["urn:roles".into()], ..Places::default() };
        let roles = |more: Value| {
            let mut payload = json!({"aud": "a", "exp": 9});
            payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read_with(payload, &places).map(|claims| claims.roles)
        };
        let text = |list: &[&str]| Ok(list.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>());
        assert_eq!(roles(json!({"urn:roles": {"admin": {"1": "a.example"}, "b": null}})), text(&["admin", "b"]));
        assert_eq!(roles(json!({"urn:roles": {"admin": {}}, "roles": ["c"]})), text(&["c"]));
        assert_eq!(roles(json!({"roles": "admin\r\nx: y"})), text(&["admin\r\nx: y"]), "no role but itself");
        for odd in [
            json!({"urn:roles": ["admin"]}),
            json!({"urn:roles": null}),
            json!({"urn:roles": "admin"}),
            json!({"roles": null}),
            json!({"roles": {"admin": {}}}),
            json!({"roles": [["admin"]]}),
            json!({"roles": [null]}),
        ] {
            assert_eq!(roles(odd.clone()), Err(ClaimError), "{odd}");
        }
        let many = |count: usize, bytes: usize| json!({"roles": vec!["r".repeat(bytes); count]});
        assert!(roles(many(1024, 15)).is_ok() && roles(many(1024, 16)).is_err() && roles(many(10_000, 1)).is_err());
    }

    #[test]
    fn a_token_without_issuer_is_of_the_trust_domain_of_its_subject() {
        let issuer = |payload: Value| super::issuer(&serde_json::from_value::<UniqueObject>(payload).unwrap()).map(str::to_owned);
        assert_eq!(issuer(json!({"sub": "spiffe://corp.example/ns/a"})).as_deref(), Some("spiffe://corp.example"));
        assert_eq!(issuer(json!({"sub": "spiffe://corp.example/a", "iss": "https://a"})).as_deref(), Some("https://a"));
        for odd in [
            json!({"sub": "spiffe://corp.example"}),
            json!({"sub": "spiffe://corp.example/a", "iss": null}),
            json!({"sub": "SPIFFE://corp.example/a"}),
            json!({"sub": ["spiffe://corp.example/a"]}),
            json!({}),
        ] {
            assert_eq!(issuer(odd.clone()), None, "{odd}");
        }
    }

    #[test]
    fn what_is_required_must_be_said() {
        let says = |claims| read(claims).unwrap().say(&[Field::Client, Field::Roles]);
        assert!(says(json!({"aud": "a", "exp": 9, "azp": "c", "roles": ["r"]})));
        assert!(!says(json!({"aud": "a", "exp": 9, "azp": "c", "roles": []})));
        assert!(!says(json!({"aud": "a", "exp": 9, "roles": ["r"]})));
    }

    #[test]
    fn the_current_actor_comes_first() {
        let chain = json!({"sub": "b", "act": {"client_id": "c", "act": {"sub": "d", "client_id": "e"}}});
        let claims = read(json!({"aud": "a", "exp": 9, "act": chain})).unwrap();
        assert_eq!(claims.actors, ["b", "c", "d"]);
        let mut deep = json!({"sub": "z"});
        for _ in 0..100 {
            deep = json!({"sub": "y", "act": deep});
        }
        assert_eq!(read(json!({"aud": "a", "exp": 9, "act": deep})).unwrap().actors.len(), 17);
    }
}

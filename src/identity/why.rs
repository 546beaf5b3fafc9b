//! What is wrong with a token that was refused, for the operator: which part or claim, what it says, and what is needed. It is found
//! by looking at the token once more, so that nothing of it costs a token that is accepted. What no signature covers is marked
//! `unverified`. Neither the token nor the name of a person is ever in it.

use super::claim_path::at;
use super::claims::{self, issuer as issuer_of};
use super::confirmation;
use super::jws::Jws;
use super::verify::{Taken, VerifyError};
use crate::config::{ClaimPath, Claims as Places, Config, Field, Issuer, Marker, Need, OwnTerms, Scheme, Sign};
use crate::wire::base64url;
use crate::wire::json::{UniqueObject, UniqueValue};
use crate::wire::quoted::{list, text};
use crate::wire::time::UnixTime;
use serde_json::Value;
use std::time::Duration;

/// Where a token was refused.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The whole configuration.
    pub config: &'a Config,
    /// The tokens that are taken there.
    pub taken: &'a [Taken],
    /// Index of the agent, if it is one.
    pub agent: Option<usize>,
    /// When.
    pub now: UnixTime,
}

impl Place<'_> {
    /// Where `member` stands that counts for `taken`: with the agent, with the scheme, or with the issuer.
    fn of(&self, member: &str, taken: &Taken) -> String {
        let agent = self.agent.filter(|index| self.config.agents.get(*index).is_some_and(|agent| agent.audiences.is_some()));
        let scheme = self.config.schemes().iter().nth(taken.scheme);
        let own = match scheme {
            Some((_, Scheme::Bearer(bearer))) => bearer.own_terms(None),
            _ => OwnTerms::default(),
        };
        let is_own = match member {
            "audiences" => own.audiences.is_some(),
            "token_types" => own.token_types.is_some(),
            "max_lifetime" => own.max_lifetime.is_some(),
            _ => own.required.is_some(),
        };
        match (agent, scheme) {
            (Some(index), _) if member == "audiences" => format!("agents[{index}].audiences"),
            (_, Some((name, _))) if is_own => format!("schemes.{name}.bearer.{member}"),
            _ => format!("issuers[{}].{member}", taken.issuer),
        }
    }
}

/// Why `token` was refused with `error`.
#[cold]
#[inline(never)]
#[must_use]
pub fn token(token: &str, error: VerifyError, place: &Place<'_>) -> String {
    let Ok(jws) = Jws::parse(token) else { return shape(token).to_owned() };
    let known = |taken: &'_ Taken| {
        let issuer = place.config.issuers.get(taken.issuer)?;
        Some((taken.clone(), issuer, issuer.recognize(issuer_of(&jws.payload)?)?))
    };
    // Where several schemes take the issuer's tokens, the refusal is that of the first.
    let Some((taken, issuer, named)) = place.taken.iter().find_map(known) else { return of_nobody(&jws.payload, place) };
    let (at, terms) = (format!("issuers[{}]", taken.issuer), &taken.terms);
    let unverified = |what: String| format!("{what}; unverified");
    match error {
        VerifyError::Malformed | VerifyError::Extension => {
            format!("{at}: {}", wrong_claim(&jws.payload, &issuer.claims, &terms.required, &place.of("claims.required", &taken)))
        }
        VerifyError::Issuer => tenant(&jws.payload, &at, issuer, named),
        VerifyError::Type => {
            let kind = jws.kind.as_deref().map_or_else(|| "missing, which counts as \"JWT\"".to_owned(), text);
            unverified(format!("header typ is {kind}, one of {} needed ({})", list(&terms.token_types), place.of("token_types", &taken)))
        }
        VerifyError::Algorithm => unverified(format!("header alg is {}, which {at}.algorithms does not have", text(&jws.algorithm))),
        VerifyError::Key => unverified(format!("no key of {at}.jwks fits header kid {} and alg {}", kid(&jws), text(&jws.algorithm))),
        VerifyError::Signature => {
            unverified(format!("the key of {at}.jwks for kid {} and alg {} does not verify the signature", kid(&jws), text(&jws.algorithm)))
        }
        VerifyError::Expired | VerifyError::NotYetValid | VerifyError::Lifetime => {
            let most = (place.of("max_lifetime", &taken), terms.max_lifetime.unwrap_or_default());
            moments(&jws.payload, &at, issuer, most, error, place.now)
        }
        VerifyError::Audience => {
            let found = claims::first(&jws.payload, &issuer.claims.audience).ok().flatten();
            let said = found.and_then(|found| claims::words(found, false).ok()).unwrap_or_default();
            let name = audience(&issuer.claims);
            format!("{name} is {}, one of {} needed ({})", list(&said), list(&terms.audiences), place.of("audiences", &taken))
        }
        VerifyError::Actor => actor(&jws.payload, &at, issuer),
    }
}

fn kid(jws: &Jws<'_>) -> String {
    jws.key_id.as_deref().map_or_else(|| "(missing)".to_owned(), text)
}

/// Why something is no JWS that we read, in the order in which it is read.
fn shape(token: &str) -> &'static str {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return "not three parts with dots between";
    };
    let object = |part: &str, faults: [&'static str; 3]| {
        let [encoding, json, repeated] = faults;
        let bytes = base64url::decode(part).ok_or(encoding)?;
        match serde_json::from_slice(&bytes) {
            Ok(UniqueValue(Value::Object(members))) => Ok(members),
            Ok(UniqueValue(_)) => Err(json),
            Err(error) if error.is_data() => Err(repeated),
            Err(_) => Err(json),
        }
    };
    let header_faults = ["header is not base64url", "header is not a JSON object", "header repeats a member"];
    let header = match object(header, header_faults) {
        Ok(header) => header,
        Err(fault) => return fault,
    };
    for (name, fault) in [("crit", "header has crit"), ("b64", "header has b64")] {
        if header.contains_key(name) {
            return fault;
        }
    }
    let names = [("alg", "alg is not a string"), ("kid", "kid is not a string"), ("typ", "typ is not a string")];
    for (name, fault) in names {
        if header.get(name).is_some_and(|value| !value.is_string()) {
            return fault;
        }
    }
    if !header.contains_key("alg") {
        return "header has no alg";
    }
    match object(payload, ["payload is not base64url", "payload is not a JSON object", "payload repeats a member"]) {
        Err(fault) => fault,
        Ok(_) if base64url::decode(signature).is_none() => "signature is not base64url",
        Ok(_) => "not a JWT in compact form",
    }
}

/// A token of an issuer that does not count there.
fn of_nobody(payload: &UniqueObject, place: &Place<'_>) -> String {
    let said = match payload.0.get("iss") {
        Some(Value::String(iss)) => text(iss),
        other => sort(other).to_owned(),
    };
    let names = place.taken.iter().filter_map(|taken| place.config.issuers.get(taken.issuer)).map(|issuer| issuer.issuer.clone());
    format!("iss is {said}, one of {} needed; unverified", list(&names.collect::<Vec<_>>()))
}

fn tenant(payload: &UniqueObject, place: &str, issuer: &Issuer, named: Option<&str>) -> String {
    let found = issuer.claims.tenant.iter().find_map(|path| at(payload, path).ok().flatten()).and_then(Value::as_str);
    let said = found.map_or_else(|| "missing".to_owned(), text);
    match named {
        Some(named) if found != Some(named) => format!("the tenant is {said}, but iss names {}", text(named)),
        _ => format!("the tenant is {said}, one of {} needed ({place}.tenants)", list(&issuer.tenants)),
    }
}

fn moments(
    payload: &UniqueObject,
    place: &str,
    issuer: &Issuer,
    (lifetime, most): (String, Duration),
    error: VerifyError,
    now: UnixTime,
) -> String {
    let moment = |name: &str| claims::moment(payload.0.get(name)).ok().flatten();
    let skew = format!("{place}.clock_skew is {} s", issuer.clock_skew.as_secs());
    let ago = |then: UnixTime| now.since(then).as_secs();
    match (error, moment("iat"), issuer.max_token_age) {
        (VerifyError::NotYetValid, ..) => {
            let late = ["nbf", "iat"].into_iter().filter_map(|name| Some((name, moment(name)?)));
            let (name, start) = late.max_by_key(|(_, start)| *start).unwrap_or(("nbf", now));
            format!("{name} is {} s ahead, {skew}", start.since(now).as_secs())
        }
        (VerifyError::Lifetime, issued, _) => {
            let most = most.as_secs();
            match issued.zip(moment("exp")) {
                None => format!("iat is missing, and {lifetime} is {most} s"),
                Some((issued, expires)) => format!("exp - iat is {} s, {lifetime} is {most} s", expires.since(issued).as_secs()),
            }
        }
        (_, issued, age) => match (moment("exp"), issued, age) {
            (Some(expires), ..) if now >= expires => format!("exp is {} s ago, {skew}", ago(expires)),
            (_, Some(issued), Some(most)) => format!("iat is {} s ago, {place}.max_token_age is {} s, {skew}", ago(issued), most.as_secs()),
            _ => format!("iat is missing, and {place}.max_token_age is set"),
        },
    }
}

fn actor(payload: &UniqueObject, place: &str, issuer: &Issuer) -> String {
    let act = payload.0.get("act");
    let actors = claims::actors(act).unwrap_or_default();
    if claims::is_foreign(act, payload.0.get("iss")).unwrap_or(true) {
        return "the current actor (act) has another iss than the token".to_owned();
    }
    if actors.len() > issuer.actors.max_depth {
        return format!("act has {} actors, {place}.actors.max_depth is {}", actors.len(), issuer.actors.max_depth);
    }
    // Its name can be a person's.
    format!("the current actor (act) is none of {} ({place}.actors.allowed)", list(issuer.actors.allowed.as_deref().unwrap_or_default()))
}

/// The claim that cannot be read where the signature was good.
fn wrong_claim(payload: &UniqueObject, places: &Places, required: &[Field], place: &str) -> String {
    let claim = |name: &str| payload.0.get(name);
    let wrong = |name: &str, value, needed: &str| format!("{name} is {}, {needed} needed", sort(value));
    let aud = claims::first(payload, &places.audience).ok().flatten();
    if aud.is_none_or(|aud| claims::words(aud, false).is_err()) {
        return wrong(&audience(places), aud, "a string or a list of strings is");
    }
    for (name, is_needed) in [("exp", true), ("nbf", false), ("iat", false)] {
        if claim(name).map_or(is_needed, |value| claims::moment(Some(value)).is_err()) {
            return wrong(name, claim(name), "seconds since 1970 are");
        }
    }
    type Fits = fn(&Value) -> bool;
    let name: Fits = |value| claims::name(Some(value)).is_ok();
    let words: Fits = |value| claims::words(value, false).is_ok();
    let fields = [
        (Field::Subject, "subject", &places.subject, name, "a string of at most 1024 bytes is"),
        (Field::Client, "client", &places.client, name, "a string of at most 1024 bytes is"),
        (Field::Tenant, "tenant", &places.tenant, name, "a string of at most 1024 bytes is"),
        (Field::Scopes, "scopes", &places.scopes, words, "a string or a list of strings, 8 KiB in all at most, is"),
        (Field::Roles, "roles", &places.roles, words, "a string or a list of strings is"),
    ];
    for (_, member, paths, fits, needed) in &fields {
        for path in *paths {
            match at(payload, path) {
                Err(_) => return format!("claims.{member}: on the way to {} stands something that is no object", shown(path)),
                Ok(Some(value)) if !fits(value) => return wrong(&format!("claims.{member}: {}", shown(path)), Some(value), needed),
                Ok(Some(_)) => break,
                Ok(None) => {}
            }
        }
    }
    if claims::first(payload, &places.role_names).is_ok_and(|named| claims::roles(None, named).is_err()) {
        return "claims.role_names: what is there is no object".to_owned();
    }
    let unmet = places.required.iter().find_map(|need| match need {
        Need::Claim(marker) if claims::marked(payload, std::slice::from_ref(marker)) != Ok(true) => Some(marker),
        Need::Claim(_) | Need::Field(_) => None,
    });
    if let Some(Marker { claim, sign }) = unmet {
        let needed = match sign {
            Sign::There => "some value".to_owned(),
            Sign::Is(wanted) => text(wanted),
            Sign::Like(pattern) => format!("a text like {}", text(pattern)),
        };
        return format!("claims.required: {} is not {needed}", shown(claim));
    }
    if claims::kind(payload, places).is_err() {
        return "neither claims.user_marker nor claims.service_marker is in the token".to_owned();
    }
    if claims::actors(claim("act")).is_err() || claims::is_foreign(claim("act"), claim("iss")).is_err() {
        return "act is no chain of actors, each an object with sub or client_id".to_owned();
    }
    if confirmation::read(payload).is_err() {
        return "cnf is no confirmation (RFC 7800)".to_owned();
    }
    let is_there = |paths: &[ClaimPath]| paths.iter().any(|path| at(payload, path).ok().flatten().is_some());
    let missing = fields.iter().find(|(field, _, paths, ..)| required.contains(field) && !is_there(paths));
    match missing {
        Some((_, member, paths, ..)) => {
            let paths: Vec<String> = paths.iter().map(shown).collect();
            format!("{place} has {member:?}, and the token has none of {}", paths.join(", "))
        }
        None => "a claim that is required says nothing, or the scopes have more than 8 KiB, or the roles more than 16 KiB".to_owned(),
    }
}

/// What the audience is called.
fn audience(places: &Places) -> String {
    places.audience.first().map_or_else(|| "aud".to_owned(), |path| path.names().join("."))
}

fn shown(path: &ClaimPath) -> String {
    text(&path.names().join("."))
}

/// What a value is, without the value.
fn sort(value: Option<&Value>) -> &'static str {
    match value {
        None => "missing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Taken, UnixTime, VerifyError, token};
    use crate::config::Config;
    use crate::wire::base64url::encode;
    use serde_json::{Value, json};
    use std::rc::Rc;

    /// A configuration whose issuer has these members besides.
    fn config(issuer: &Value) -> Config {
        let mut own =
            json!({"name": "corp", "issuer": "https://a", "audiences": ["us"], "jwks": {"remote": {"uri": "https://a/k", "cluster": "c"}}});
        own.as_object_mut().unwrap().extend(issuer.as_object().unwrap().clone());
        let config = json!({"issuers": [own], "schemes": {"s": {"bearer": {"issuers": ["corp"]}}}, "agents": [{"name": "a",
            "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"0.3": {"bindings": ["jsonrpc"]}}, "security": [{"s": []}]}]});
        Config::parse(config.to_string().as_bytes()).unwrap()
    }

    /// What is said at second 1000 of a token of `header` and `claims`, where an issuer has these members besides.
    fn said(issuer: &Value, error: VerifyError, header: &Value, claims: &Value) -> String {
        let config = config(issuer);
        let mut payload = json!({"iss": "https://a", "aud": "us", "sub": "ann", "exp": 2000, "iat": 900});
        for (name, value) in claims.as_object().unwrap() {
            match value {
                Value::Null => payload.as_object_mut().unwrap().remove(name),
                value => payload.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        let compact = format!("{}.{}.AQAB", encode(header.to_string().as_bytes()), encode(payload.to_string().as_bytes()));
        let taken = Taken { scheme: 0, issuer: 0, terms: Rc::clone(&config.issuers[0].terms) };
        token(&compact, error, &Place { config: &config, taken: &[taken], agent: Some(0), now: UnixTime::from_secs(1000) })
    }

    #[test]
    fn the_part_is_named_that_is_no_jwt() {
        let config = config(&json!({}));
        let place = Place { config: &config, taken: &[], agent: None, now: UnixTime::default() };
        let header = |text: &str| format!("{}.e30.AQAB", encode(text.as_bytes()));
        let payload = |text: &str| format!("{}.{}.AQAB", encode(br#"{"alg":"RS256"}"#), encode(text.as_bytes()));
        for (compact, expected) in [
            ("abc".to_owned(), "not three parts with dots between"),
            ("a.b".to_owned(), "not three parts with dots between"),
            ("a.b.c.d".to_owned(), "not three parts with dots between"),
            ("a+b.e30.AQAB".to_owned(), "header is not base64url"),
            (header("{"), "header is not a JSON object"),
            (header("[]"), "header is not a JSON object"),
            (header(r#"{"alg":"RS256","alg":"none"}"#), "header repeats a member"),
            (header(r#"{"alg":"RS256","crit":["exp"]}"#), "header has crit"),
            (header(r#"{"alg":"RS256","b64":false}"#), "header has b64"),
            (header("{}"), "header has no alg"),
            (header(r#"{"alg":7}"#), "alg is not a string"),
            (header(r#"{"alg":"RS256","kid":7}"#), "kid is not a string"),
            (header(r#"{"alg":"RS256","typ":[]}"#), "typ is not a string"),
            (payload("{}").replace(".e30.", ".e=."), "payload is not base64url"),
            (payload("7"), "payload is not a JSON object"),
            (payload(r#"{"a":{"b":1,"b":2}}"#), "payload repeats a member"),
            (payload("{}").replace("AQAB", "A="), "signature is not base64url"),
        ] {
            assert_eq!(token(&compact, VerifyError::Malformed, &place), expected, "{compact}");
        }
    }

    #[test]
    fn the_claim_is_named_that_is_wrong_with_what_is_needed() {
        use VerifyError::{Actor, Algorithm, Audience, Expired, Issuer, Key, Lifetime, Malformed, NotYetValid, Signature, Type};
        let (none, act) = (json!({}), |act: Value| json!({"act": act}));
        let deep = act(json!({"sub": "ann", "act": {"sub": "b"}}));
        for (issuer, error, claims, expected) in [
            (&none, Malformed, json!({"aud": null}), "issuers[0]: aud is missing, a string or a list of strings is needed"),
            (&none, Malformed, json!({"aud": {}}), "issuers[0]: aud is an object, a string or a list of strings is needed"),
            (&none, Malformed, json!({"exp": null}), "issuers[0]: exp is missing, seconds since 1970 are needed"),
            (&none, Malformed, json!({"iat": "900"}), "issuers[0]: iat is a string, seconds since 1970 are needed"),
            (&none, Malformed, json!({"nbf": -1.5}), "issuers[0]: nbf is a number, seconds since 1970 are needed"),
            (
                &none,
                Malformed,
                json!({"sub": 7}),
                r#"issuers[0]: claims.subject: "sub" is a number, a string of at most 1024 bytes is needed"#,
            ),
            (
                &none,
                Malformed,
                json!({"scope": [7]}),
                r#"issuers[0]: claims.scopes: "scope" is a list, a string or a list of strings, 8 KiB in all at most, is needed"#,
            ),
            (
                &json!({"claims": {"roles": [["r", "x"]]}}),
                Malformed,
                json!({"r": 7}),
                r#"issuers[0]: claims.roles: on the way to "r.x" stands something that is no object"#,
            ),
            (
                &json!({"claims": {"required": ["client"]}}),
                Malformed,
                none.clone(),
                r#"issuers[0]: issuers[0].claims.required has "client", and the token has none of "azp", "appid", "client_id""#,
            ),
            (
                &json!({"claims": {"user_marker": ["u"], "service_marker": ["s"]}}),
                Malformed,
                none.clone(),
                "issuers[0]: neither claims.user_marker nor claims.service_marker is in the token",
            ),
            (&none, Malformed, act(json!({})), "issuers[0]: act is no chain of actors, each an object with sub or client_id"),
            (&none, Malformed, json!({"cnf": 7}), "issuers[0]: cnf is no confirmation (RFC 7800)"),
            (&none, Issuer, json!({"iss": "https://b"}), r#"iss is "https://b", one of ["https://a"] needed; unverified"#),
            (&none, Issuer, json!({"iss": 7}), r#"iss is a number, one of ["https://a"] needed; unverified"#),
            (
                &json!({"tenants": ["t", "u"]}),
                Issuer,
                json!({"tid": "v"}),
                r#"the tenant is "v", one of ["t", "u"] needed (issuers[0].tenants)"#,
            ),
            (
                &json!({"token_types": ["at+jwt"]}),
                Type,
                none.clone(),
                r#"header typ is missing, which counts as "JWT", one of ["at+jwt"] needed (issuers[0].token_types); unverified"#,
            ),
            (&none, Algorithm, none.clone(), r#"header alg is "RS256", which issuers[0].algorithms does not have; unverified"#),
            (&none, Key, none.clone(), r#"no key of issuers[0].jwks fits header kid "k" and alg "RS256"; unverified"#),
            (
                &none,
                Signature,
                none.clone(),
                r#"the key of issuers[0].jwks for kid "k" and alg "RS256" does not verify the signature; unverified"#,
            ),
            (&none, Expired, json!({"exp": 958}), "exp is 42 s ago, issuers[0].clock_skew is 30 s"),
            (
                &json!({"max_token_age": "50s"}),
                Expired,
                none.clone(),
                "iat is 100 s ago, issuers[0].max_token_age is 50 s, issuers[0].clock_skew is 30 s",
            ),
            (&json!({"max_token_age": "50s"}), Expired, json!({"iat": null}), "iat is missing, and issuers[0].max_token_age is set"),
            (&none, NotYetValid, json!({"nbf": 1040}), "nbf is 40 s ahead, issuers[0].clock_skew is 30 s"),
            (&none, NotYetValid, json!({"iat": 1050, "nbf": 1}), "iat is 50 s ahead, issuers[0].clock_skew is 30 s"),
            (&none, Audience, json!({"aud": ["x"]}), r#"aud is ["x"], one of ["us"] needed (issuers[0].audiences)"#),
            (&json!({"max_lifetime": "60s"}), Lifetime, none.clone(), "exp - iat is 1100 s, issuers[0].max_lifetime is 60 s"),
            (&json!({"max_lifetime": "60s"}), Lifetime, json!({"iat": null}), "iat is missing, and issuers[0].max_lifetime is 60 s"),
            (&json!({"actors": {"max_depth": 1}}), Actor, deep.clone(), "act has 2 actors, issuers[0].actors.max_depth is 1"),
            (
                &json!({"actors": {"max_depth": 2, "allowed": ["c"]}}),
                Actor,
                deep,
                r#"the current actor (act) is none of ["c"] (issuers[0].actors.allowed)"#,
            ),
            (
                &json!({"actors": {"max_depth": 1}}),
                Actor,
                act(json!({"sub": "b", "iss": "https://b"})),
                "the current actor (act) has another iss than the token",
            ),
        ] {
            let header = if error == Type { json!({"alg": "RS256"}) } else { json!({"alg": "RS256", "kid": "k"}) };
            let said = said(issuer, error, &header, &claims);
            assert_eq!(said, expected, "{error:?} {claims}");
            assert!(!said.contains("ann"), "no person is named: {said}");
        }
    }

    #[test]
    fn a_claim_with_its_value_is_named() {
        let typ = json!({"claims": {"required": [{"claim": "typ", "value": "Bearer"}]}});
        let said = said(&typ, VerifyError::Malformed, &json!({"alg": "RS256"}), &json!({"typ": "ID"}));
        assert_eq!(said, r#"issuers[0]: claims.required: "typ" is not "Bearer""#);
    }
}

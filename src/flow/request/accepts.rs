//! Which credential a remote agent's card asks for: one of its requirements has to be met whole by what the credential shows
//! (OpenAPI 3, as A2A has it). Says which and why; never what the credential is.

use crate::card::policy::described;
use crate::card::{Card, CardError, Location, Means, requirement};
use crate::config::{Choice, Credential};
use crate::wire::sorted::SortedMap;

/// Most characters of names in a log line.
const MOST_OF_NAMES: usize = 200;

/// The first of `choices` that meets one of the card's requirements: its place, and the reason for the log. `Err`: what the card
/// asks for, which none of them meets.
///
/// # Errors
/// If what the card says about security cannot be read.
pub fn pick(card: &Card, choices: &[Choice]) -> Result<Result<(usize, String), String>, CardError> {
    let mut alternatives = Vec::new();
    for requirement in requirement::read(card.members(), "")?.unwrap_or_default() {
        let mut means = SortedMap::new();
        for (name, _) in requirement {
            let scheme = described(card, &name)?;
            means.insert(name, scheme.and_then(|scheme| scheme.means()));
        }
        alternatives.push(means);
    }
    if alternatives.is_empty() {
        alternatives.push(SortedMap::new());
    }
    for (index, choice) in choices.iter().enumerate() {
        if let Some(met) = alternatives.iter().find(|alternative| meets(choice, alternative)) {
            return Ok(Ok((index, names(std::iter::once(met)))));
        }
    }
    Ok(Err(names(alternatives.iter())))
}

type Alternative = SortedMap<String, Option<Means>>;

fn meets(choice: &Choice, alternative: &Alternative) -> bool {
    let is_meant = choice.scheme.as_ref().is_none_or(|scheme| alternative.contains_key(scheme));
    let all = alternative.values().all(|means| means.as_ref().is_some_and(|means| shows(&choice.credential, means)));
    // What asks for nothing gets nothing.
    is_meant && all && alternative.is_empty() == matches!(choice.credential, Credential::None(_))
}

/// Whether `credential` shows what `means` looks at. Certificates are the cluster's affair.
fn shows(credential: &Credential, means: &Means) -> bool {
    let header = |name: &str, prefix: Option<&str>| {
        let mut headers = credential.headers().iter();
        headers
            .any(|header| header.name.as_str() == name && prefix.is_none_or(|prefix| header.prefix.as_str().eq_ignore_ascii_case(prefix)))
    };
    match means {
        Means::Bearer => credential.is_token() || header("authorization", Some("Bearer ")),
        Means::Basic => header("authorization", Some("Basic ")),
        Means::ApiKey { location: Location::Header, name } => header(name, None),
        Means::ApiKey { location: Location::Query, name } => matches!(credential, Credential::Query(own) if own.name.as_str() == name),
        Means::ApiKey { location: Location::Cookie, name } => matches!(credential, Credential::Cookie(own) if own.name.as_str() == name),
        Means::MutualTls => false,
    }
}

/// `"oauth2"`, `"key" and "oauth2"`, or `nothing`; several with `or`.
fn names<'a>(alternatives: impl Iterator<Item = &'a Alternative>) -> String {
    let one = |alternative: &Alternative| match alternative.keys().map(|name| format!("{name:?}")).collect::<Vec<_>>() {
        none if none.is_empty() => "nothing".to_owned(),
        names => names.join(" and "),
    };
    alternatives.map(one).collect::<Vec<_>>().join(" or ").chars().take(MOST_OF_NAMES).collect()
}

#[cfg(test)]
mod tests {
    use super::{Card, Choice, pick};
    use serde_json::{Value, json};

    fn picked(card: Value, choices: &[Value]) -> Result<(usize, String), String> {
        let choices: Vec<Choice> = choices.iter().map(|choice| serde_json::from_value(choice.clone()).unwrap()).collect();
        pick(&Card::from_value(card).unwrap(), &choices).map_err(|error| error.to_string()).and_then(|picked| picked)
    }

    fn header(name: &str, prefix: &str) -> Value {
        json!({"credential": {"header": {"name": name, "prefix": prefix, "value": {"secret": "s"}}}})
    }

    fn token() -> Value {
        let client =
            json!({"token_endpoint": {"uri": "https://i.example/t", "cluster": "i"}, "client_id": "me", "authentication": {"none": {}}});
        json!({"credential": {"client_credentials": {"client": client}}})
    }

    fn none() -> Value {
        json!({"credential": {"none": {}}})
    }

    fn card(requirements: Value) -> Value {
        json!({"securityRequirements": requirements, "securitySchemes": {
            "key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}},
            "query": {"type": "apiKey", "in": "query", "name": "k"},
            "cookie": {"apiKeySecurityScheme": {"location": "cookie", "name": "c"}},
            "oidc": {"type": "openIdConnect", "openIdConnectUrl": "https://i.example/"},
            "oauth": {"oauth2SecurityScheme": {"flows": {}}},
            "http": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "Basic"},
            "digest": {"type": "http", "scheme": "Digest"},
            "mtls": {"type": "mutualTLS"},
            "odd": {"type": "dpop"}}})
    }

    #[test]
    fn the_first_that_meets_a_requirement_is_picked() {
        let all = [none(), header("x-other", ""), header("x-key", ""), token(), header("authorization", "Basic ")];
        for (requirements, expected) in [
            (json!([{"oidc": ["a"]}]), Ok((3, "\"oidc\""))),
            (json!([{"oauth": []}]), Ok((3, "\"oauth\""))),
            (json!([{"http": []}, {"key": []}]), Ok((2, "\"key\""))),
            (json!([{"basic": []}]), Ok((4, "\"basic\""))),
            (json!([]), Ok((0, "nothing"))),
            (json!([{"key": []}, {}]), Ok((0, "nothing"))),
            (json!([{"key": [], "http": []}]), Err("\"http\" and \"key\"")),
            (
                json!([{"digest": []}, {"mtls": []}, {"query": []}, {"missing": []}]),
                Err("\"digest\" or \"mtls\" or \"query\" or \"missing\""),
            ),
            (json!([{"query": []}]), Err("\"query\"")),
            (json!([{"odd": []}]), Err("securitySchemes.odd: must be of a type that A2A knows")),
            (json!("x"), Err("securityRequirements: must be a list")),
        ] {
            let expected = expected.map(|(index, why)| (index, why.to_owned())).map_err(str::to_owned);
            assert_eq!(picked(card(requirements.clone()), &all), expected, "{requirements}");
        }
        assert_eq!(picked(json!({}), &[token(), none()]), Ok((1, "nothing".into())));
        assert_eq!(picked(json!({}), &[token()]), Err("nothing".into()));
    }

    #[test]
    fn a_credential_for_a_scheme_is_for_no_other() {
        let named = |scheme: &str| {
            let mut choice = token();
            choice["scheme"] = json!(scheme);
            choice
        };
        let requirements = || card(json!([{"oauth": []}, {"oidc": []}]));
        assert_eq!(picked(requirements(), &[named("http"), named("oidc"), token()]), Ok((1, "\"oidc\"".into())));
        assert_eq!(picked(requirements(), &[named("http")]), Err("\"oauth\" or \"oidc\"".into()));
        assert_eq!(picked(card(json!([])), &[json!({"scheme": "key", "credential": {"none": {}}})]), Err("nothing".into()));
    }

    #[test]
    fn several_headers_meet_what_asks_for_all_of_them() {
        let header = |name: &str, prefix: &str| json!({"name": name, "prefix": prefix, "value": {"secret": "s"}});
        let both = json!({"credential": {"headers": [header("x-key", ""), header("authorization", "bearer ")]}});
        assert_eq!(picked(card(json!([{"key": [], "http": []}])), &[both]), Ok((0, "\"http\" and \"key\"".into())));
    }

    #[test]
    fn keys_in_query_and_cookie_meet_what_asks_for_them() {
        let key = |kind: &str, name: &str| json!({"credential": { kind: {"name": name, "value": {"secret": "s"}} }});
        let all = [key("query", "K"), key("cookie", "k"), key("query", "k"), key("cookie", "c")];
        assert_eq!(picked(card(json!([{"query": []}])), &all), Ok((2, "\"query\"".into())));
        assert_eq!(picked(card(json!([{"cookie": []}])), &all), Ok((3, "\"cookie\"".into())));
        assert_eq!(
            picked(card(json!([{"key": []}, {"query": [], "cookie": []}])), &all),
            Err("\"key\" or \"cookie\" and \"query\"".into())
        );
    }

    #[test]
    fn names_in_the_log_are_short() {
        let name = "n".repeat(5000);
        let card = json!({"securityRequirements": [{name: []}]});
        assert_eq!(picked(card, &[none()]).unwrap_err().chars().count(), 200);
    }
}

//! What a caller is asked for: the challenges of refusals (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 7617), and where
//! the metadata is that says how to come by a token (RFC 9728 section 5.1).

use crate::config::{ApiKey, KeyPlace};

/// What an agent asks of callers who are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenges {
    /// It takes tokens.
    pub tokens: bool,
    /// It takes names and passwords.
    pub passwords: bool,
    /// It takes client certificates.
    pub certificates: bool,
    /// Places and names of the keys that it takes.
    pub keys: Vec<(KeyPlace, String)>,
    /// URL of the metadata of the protected resource.
    pub metadata: Option<String>,
}

/// What one refusal says.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The agent's name.
    pub realm: &'a str,
    /// The code of RFC 6750 section 3.1; empty for none.
    pub error: &'a str,
    /// The text that goes with it.
    pub description: &'a str,
    /// Scopes that would do.
    pub scopes: &'a [String],
    /// Where the user can do something about it (`error_uri` of RFC 6750 section 3); empty for nowhere.
    pub link: &'a str,
}

impl Challenges {
    /// Those of a place that takes tokens, and nothing else is known of it.
    #[must_use]
    pub fn of_tokens() -> Self {
        Self { tokens: true, ..Self::default() }
    }

    /// Adds the place of a key.
    pub fn add_key(&mut self, key: &ApiKey) {
        let place = (key.place, key.name.clone());
        if !self.keys.contains(&place) {
            self.keys.push(place);
        }
    }

    /// The values of `WWW-Authenticate`, one per scheme of HTTP. API keys have no registered scheme, so they get one in the same
    /// spirit; client certificates have none.
    #[must_use]
    pub fn headers(&self, said: &Said<'_>) -> Vec<String> {
        let line = |scheme: &str, parameters: &[(&str, &str)]| {
            let quoted: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}=\"{}\"", quotable(value))).collect();
            format!("{scheme} {}", quoted.join(", "))
        };
        let mut lines = Vec::new();
        if self.tokens {
            let mut parameters = vec![("realm", said.realm)];
            if !said.error.is_empty() {
                parameters.push(("error", said.error));
                parameters.push(("error_description", said.description));
            }
            if !said.link.is_empty() {
                parameters.push(("error_uri", said.link));
            }
            let scopes = said.scopes.join(" ");
            if !scopes.is_empty() {
                parameters.push(("scope", &scopes));
            }
            parameters.extend(self.metadata.as_deref().map(|url| ("resource_metadata", url)));
            lines.push(line("Bearer", &parameters));
        }
        if self.passwords {
            lines.push(line("Basic", &[("realm", said.realm), ("charset", "UTF-8")]));
        }
        for (place, name) in &self.keys {
            lines.push(line("ApiKey", &[("realm", said.realm), ("in", in_(*place)), ("name", name)]));
        }
        lines
    }

    /// What to send, in words.
    #[must_use]
    pub fn advice(&self) -> String {
        let mut ways = Vec::new();
        if self.tokens {
            ways.push("an access token: Authorization: Bearer <token>".to_owned());
        }
        if self.passwords {
            ways.push("a name and a password: Authorization: Basic <credentials>".to_owned());
        }
        for (place, name) in &self.keys {
            let place = match place {
                KeyPlace::Header => "header",
                KeyPlace::Query => "query parameter",
                KeyPlace::Cookie => "cookie",
            };
            ways.push(format!("an API key in the {place} {name}"));
        }
        if self.certificates {
            ways.push("a client certificate".to_owned());
        }
        // Some agents want several of them.
        let Some((last, others)) = ways.split_last() else { return "No credential is good here.".to_owned() };
        if others.is_empty() {
            format!("Send {last}.")
        } else {
            format!("Send what this agent asks for: {}; or {last}.", others.join("; "))
        }
    }
}

/// The place of a key as OpenAPI 3 says it.
const fn in_(place: KeyPlace) -> &'static str {
    match place {
        KeyPlace::Header => "header",
        KeyPlace::Query => "query",
        KeyPlace::Cookie => "cookie",
    }
}

/// `text` without what a quoted string of RFC 6750 section 3 cannot hold.
fn quotable(text: &str) -> String {
    text.chars().map(|letter| if matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\') { letter } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Challenges, KeyPlace, Said};

    #[test]
    fn one_challenge_for_each_way_that_http_knows() {
        let all = Challenges {
            tokens: true,
            passwords: true,
            certificates: true,
            keys: vec![(KeyPlace::Header, "x-api-key".into()), (KeyPlace::Query, "k\"ey".into())],
            metadata: Some("https://a.example/.well-known/oauth-protected-resource/a".into()),
        };
        let said = Said { realm: "ex\"pense", error: "invalid_token", description: "No.", scopes: &["a".into(), "b".into()], link: "" };
        assert_eq!(
            all.headers(&said),
            [
                r#"Bearer realm="ex?pense", error="invalid_token", error_description="No.", scope="a b", resource_metadata="https://a.example/.well-known/oauth-protected-resource/a""#,
                r#"Basic realm="ex?pense", charset="UTF-8""#,
                r#"ApiKey realm="ex?pense", in="header", name="x-api-key""#,
                r#"ApiKey realm="ex?pense", in="query", name="k?ey""#,
            ]
        );
        let consent = Said { link: "https://consent.example/start?link=a\"b", scopes: &[], ..said };
        assert_eq!(
            Challenges::of_tokens().headers(&consent),
            [
                r#"Bearer realm="ex?pense", error="invalid_token", error_description="No.", error_uri="https://consent.example/start?link=a?b""#
            ]
        );
        assert!(all.advice().ends_with("an API key in the query parameter k\"ey; or a client certificate."), "{}", all.advice());
        assert_eq!(Challenges::of_tokens().advice(), "Send an access token: Authorization: Bearer <token>.");
        assert_eq!(Challenges::default().headers(&said), Vec::<String>::new());
    }
}

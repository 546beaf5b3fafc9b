//! Authorization requests, to which users' browsers are sent (RFC 6749 section 4.1.1, RFC 7636, OpenID Connect Core 1.0 section 3.1.2.1).

use crate::config::HttpUri;
use crate::wire::base64url;
use form_urlencoded::Serializer;
use sha2::{Digest, Sha256};

/// What ties an answer to its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    /// `state`.
    pub state: String,
    /// `nonce`, which the ID token repeats.
    pub nonce: String,
    /// `code_verifier`: `S256` of it is in the request, and only who has it can use the code.
    pub verifier: String,
}

impl Tie {
    /// One of three numbers that nobody can guess.
    #[must_use]
    pub fn of(random: [[u8; 32]; 3]) -> Self {
        let [state, nonce, verifier] = random.map(|bytes| base64url::encode(&bytes));
        Self { state, nonce, verifier }
    }
}

/// What an authorization request asks for.
#[derive(Debug)]
pub struct Asking<'a> {
    /// Where.
    pub endpoint: &'a HttpUri,
    /// Who asks.
    pub client_id: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// What for.
    pub scopes: &'a [String],
    /// For which protected resources (RFC 8707).
    pub resource: &'a [String],
    /// Further parameters.
    pub parameters: Vec<(&'a str, &'a str)>,
}

impl Asking<'_> {
    /// The URI of the request.
    #[must_use]
    pub fn uri(&self, tie: &Tie) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("response_type", "code").append_pair("client_id", self.client_id).append_pair("redirect_uri", self.redirect_uri);
        if !self.scopes.is_empty() {
            query.append_pair("scope", &self.scopes.join(" "));
        }
        for value in self.resource {
            query.append_pair("resource", value);
        }
        query.append_pair("state", &tie.state).append_pair("nonce", &tie.nonce);
        query
            .append_pair("code_challenge", &base64url::encode(&Sha256::digest(&tie.verifier)))
            .append_pair("code_challenge_method", "S256");
        for (name, value) in &self.parameters {
            query.append_pair(name, value);
        }
        let uri = self.endpoint.to_string();
        let joint = if uri.contains('?') { '&' } else { '?' };
        format!("{uri}{joint}{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::{Asking, HttpUri, Tie};

    #[test]
    fn a_request_has_all_that_ties_its_answer_to_it() {
        let endpoint = |uri: &str| HttpUri::try_from(uri.to_owned()).unwrap();
        // RFC 7636, appendix B.
        let tie = Tie { state: "s".to_owned(), nonce: "n".to_owned(), verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned() };
        let uri = |at: &str| {
            let asking = Asking {
                endpoint: &endpoint(at),
                client_id: "a b",
                redirect_uri: "https://c.example/cb",
                scopes: &["x".to_owned(), "y".to_owned()],
                resource: &["https://r.example".to_owned()],
                parameters: vec![("prompt", "consent")],
            };
            asking.uri(&tie)
        };
        let query = "response_type=code&client_id=a+b&redirect_uri=https%3A%2F%2Fc.example%2Fcb&scope=x+y&resource=https%3A%2F%2Fr.example\
                     &state=s&nonce=n&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&prompt=consent";
        assert_eq!(uri("https://a.example/auth"), format!("https://a.example/auth?{query}"));
        assert_eq!(uri("https://a.example/auth?p=1"), format!("https://a.example/auth?p=1&{query}"));
        let random = Tie::of([[1; 32], [2; 32], [3; 32]]);
        assert!(random.state != random.nonce && random.verifier.len() == 43);
    }
}

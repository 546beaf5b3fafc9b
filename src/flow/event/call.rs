//! What has to be fetched before a request can be decided. The root context of the host fetches: one call serves all
//! who wait for the same thing.

use crate::credential::endpoint::{MAX_ANSWER_BYTES, TokenRequest};
use crate::flow::event::value::Value;
use std::borrow::Cow;
use std::time::Duration;

/// Something to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// The keys of this issuer (index).
    Keys(usize),
    /// The card of this agent (index), which is its policy or is served in its place.
    Card(usize),
    /// What the issuer says of a token (SHA-256 of it and of the scheme that asks).
    Introspection([u8; 32]),
    /// The value of this secret (index).
    Secret(usize),
    /// The token with this key.
    Token([u8; 32]),
    /// The card of the remote agent of this connection (index).
    RemoteCard(usize),
    /// What a user granted (the key of the grant).
    Grant([u8; 32]),
    /// What the authorization server of an app says of itself (its index).
    Server(usize),
    /// Something that is done once, for one request (its number).
    Job(u64),
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Call {
    /// The Envoy cluster.
    pub cluster: String,
    /// All headers, `:method` and the like first.
    pub headers: Vec<(Cow<'static, str>, Value)>,
    /// The body, if it has one.
    pub body: Option<Value>,
    /// Longest wait for the answer.
    pub timeout: Duration,
    /// Longest body of an answer that is read, in bytes.
    pub most: usize,
}

/// Status and body of the answer, or why there is none. Bodies are read of answers with a status of 200 and, for
/// reading what a token endpoint complains of, 4xx.
pub type Answer<'a> = Result<(u16, &'a [u8]), String>;

impl Call {
    /// A GET of the document at `remote`.
    #[must_use]
    pub fn get(remote: &crate::config::Remote, accept: &'static str, most: usize) -> Self {
        let text = |text: &str| Value::Text(text.to_owned());
        let headers = vec![
            (":method".into(), text("GET")),
            (":scheme".into(), text(remote.uri.scheme())),
            (":authority".into(), text(remote.uri.authority())),
            (":path".into(), text(remote.uri.path())),
            ("accept".into(), text(accept)),
        ];
        Self { cluster: remote.cluster.clone(), headers, body: None, timeout: remote.timeout, most }
    }
}

impl From<TokenRequest> for Call {
    fn from(request: TokenRequest) -> Self {
        let text = |text: &str| Value::Text(text.to_owned());
        let method = if request.form.is_some() { "POST" } else { "GET" };
        let target = request.target.as_deref().unwrap_or_else(|| request.uri.path());
        let mut headers = vec![
            (":method".into(), text(method)),
            (":scheme".into(), text(request.uri.scheme())),
            (":authority".into(), text(request.uri.authority())),
            (":path".into(), text(target)),
            // Who is asked without a form knows one answer.
            ("accept".into(), text(if request.form.is_some() { "application/json" } else { "*/*" })),
        ];
        if request.form.is_some() {
            headers.push(("content-type".into(), text("application/x-www-form-urlencoded")));
        }
        headers.extend(request.headers.into_iter().map(|(name, value)| (name.into(), Value::Secret(value))));
        let body = request.form.map(Value::Secret);
        Self { cluster: request.cluster, headers, body, timeout: request.timeout, most: MAX_ANSWER_BYTES }
    }
}

//! Requests to the mesh over HTTP/1.1, one connection each, and the replies as tests read them.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::canary;

/// No single exchange of the mesh takes longer than this; more is a hang.
pub const LIMIT: Duration = crate::wait::PATIENCE;

/// A request to be.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    /// Path with query.
    pub path: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Option<Bytes>,
}

/// What came back, whole.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    /// A request without body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: None }
    }

    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A POST of JSON.
    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, path).header("content-type", "application/json").body(body.to_string())
    }

    /// Adds a header; repeats stay separate lines.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Authorization: Bearer <token>`.
    pub fn bearer(self, token: &str) -> Self {
        canary::keep(token);
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds `A2A-Version`.
    pub fn version(self, version: &str) -> Self {
        self.header("a2a-version", version)
    }

    /// Adds `Host`; without it the listener's own address is sent.
    pub fn host(self, host: &str) -> Self {
        self.header("host", host)
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the request to 127.0.0.1:`port` on a connection of its own and reads the reply to its end.
    pub async fn send(&self, port: u16) -> Result<Reply> {
        self.send_over(port, async {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
        .await
    }

    /// The same over what `connect` opens.
    pub async fn send_over<S>(&self, port: u16, connect: impl Future<Output = Result<S>>) -> Result<Reply>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let what = || format!("{} {} on port {port}", self.method, self.path);
        let exchange = async {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connect.await?)).await?;
            let driver = tokio::spawn(connection);
            let response = sender.send_request(self.request(port)?).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            driver.abort();
            anyhow::Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        tokio::time::timeout(LIMIT, exchange).await.with_context(|| format!("no answer to {}", what()))?.with_context(what)
    }

    /// The request as hyper sends it to 127.0.0.1:`port`.
    pub(crate) fn request(&self, port: u16) -> Result<Request<Full<Bytes>>> {
        let body = self.body.clone().unwrap_or_default();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse()?;
        for (name, value) in &self.headers {
            request.headers_mut().append(HeaderName::try_from(name.as_str())?, HeaderValue::from_bytes(value)?);
        }
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", HeaderValue::try_from(format!("127.0.0.1:{port}"))?);
        }
        Ok(request)
    }
}

impl Reply {
    /// The body as JSON; `null` when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// True for a 2xx.
    pub fn is_success(&self) -> bool {
        StatusCode::from_u16(self.status).is_ok_and(|status| status.is_success())
    }

    /// The one ErrorInfo of a refusal: `error.data[0]` of JSON-RPC or `error.details[0]` of a Status body.
    pub fn error_info(&self) -> Option<Value> {
        let error = self.json().get("error")?.clone();
        let list = error.get("data").or_else(|| error.get("details"))?;
        list.get(0).cloned()
    }

    /// The closed-list reason of a refusal.
    pub fn reason(&self) -> Option<String> {
        Some(self.error_info()?.get("metadata")?.get("reason")?.as_str()?.to_owned())
    }

    /// What the echoing agent says it saw, if this reply is a completed message or task (or a stream of events) from it.
    pub fn echo(&self) -> Option<Echo> {
        let text = self.text();
        if let Ok(value) = serde_json::from_str(&text) {
            return find_echo(&value);
        }
        let events = text.lines().filter_map(|line| line.strip_prefix("data:"));
        events.filter_map(|data| serde_json::from_str(data.trim()).ok()).find_map(|value: Value| find_echo(&value))
    }
}

/// What an echoing agent saw of a request.
#[derive(Clone, Debug)]
pub struct Echo(pub Value);

impl Echo {
    /// The version of A2A that the answering agent speaks, or `partner`.
    pub fn agent(&self) -> &str {
        self.0["agent"].as_str().unwrap_or_default()
    }

    /// The user's text.
    pub fn text(&self) -> &str {
        self.0["text"].as_str().unwrap_or_default()
    }

    /// The request's path with query.
    pub fn path(&self) -> &str {
        self.0["path"].as_str().unwrap_or_default()
    }

    /// Every value of a header, in order.
    pub fn header(&self, name: &str) -> Vec<String> {
        match &self.0["headers"][name] {
            Value::String(one) => vec![one.clone()],
            Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// The names of all headers.
    pub fn names(&self) -> Vec<String> {
        self.0["headers"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
    }
}

/// The echo is JSON inside the text part of a message or artifact, in the shapes of either version of A2A.
/// A stream's artifacts and a task's history come in the same answer: only text that holds `headers` is the echo.
fn find_echo(value: &Value) -> Option<Echo> {
    match value {
        Value::String(text) => {
            let inner: Value = serde_json::from_str(text).ok()?;
            inner.get("headers")?.is_object().then_some(Echo(inner))
        }
        Value::Array(list) => list.iter().find_map(find_echo),
        Value::Object(map) => map.values().find_map(find_echo),
        _ => None,
    }
}

/// `Authorization: Basic` value.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A JSON-RPC request.
pub fn rpc(id: Value, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// Parameters of SendMessage as A2A 1.0 writes them.
pub fn message_1_0(text: &str) -> Value {
    json!({"message": {"messageId": format!("m-{text}"), "role": "ROLE_USER", "parts": [{"text": text}]}})
}

/// Parameters of message/send as A2A 0.3 writes them over JSON-RPC.
pub fn message_0_3(text: &str) -> Value {
    json!({"message": {"kind": "message", "messageId": format!("m-{text}"), "role": "user",
        "parts": [{"kind": "text", "text": text}]}})
}

/// Body of POST /v1/message:send as the 0.3 SDKs write it over HTTP+JSON (ProtoJSON of the 0.3 messages).
pub fn message_0_3_http(text: &str) -> Value {
    json!({"message": {"messageId": format!("m-{text}"), "role": "ROLE_USER", "content": [{"text": text}]},
        "configuration": {"blocking": true}})
}

//! A request as JSON: `{"method", "url", "headers", "body"}`, or with `:method` and the like among its headers, as Envoy has them.

use super::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Reads it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(document: &Value) -> Result<Request, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let headers: Option<Vec<(String, String)>> = match &document["headers"] {
        Value::Null => Some(Vec::new()),
        Value::Object(members) => members.iter().map(|(name, value)| Some((name.clone(), text(value)?))).collect(),
        Value::Array(pairs) => pairs.iter().map(|pair| Some((text(&pair[0])?, text(&pair[1])?))).collect(),
        _ => None,
    };
    let headers = headers.ok_or("headers must be an object, or a list of pairs of texts")?;
    let body = match (&document["body"], &document["body_base64"]) {
        (Value::Null, Value::String(encoded)) => STANDARD.decode(encoded).map_err(|_| "body_base64 is not base64")?,
        (Value::Null, _) => Vec::new(),
        (Value::String(body), _) => body.clone().into_bytes(),
        (body, _) => body.to_string().into_bytes(),
    };
    if headers.iter().any(|(name, _)| name == ":path") {
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.into_bytes())).collect();
        return Ok(Request { headers, body });
    }
    let Some(url) = document["url"].as_str() else { return Err("the request has no url and no :path among its headers".to_owned()) };
    let method = document["method"].as_str().unwrap_or(if body.is_empty() { "GET" } else { "POST" });
    Request::to(method, url, headers, body)
}

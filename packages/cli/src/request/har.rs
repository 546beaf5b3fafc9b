//! An HTTP archive (HAR 1.2), as browsers and proxies save it.

use super::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Whether a document is one.
pub(super) fn is_one(document: &Value) -> bool {
    document["log"]["entries"].is_array()
}

/// Reads request number `entry`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(document: &Value, entry: usize) -> Result<Request, String> {
    let entries = document["log"]["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(found) = entry.checked_sub(1).and_then(|index| entries.get(index)) else {
        return Err(format!("the HAR file has {} requests: there is no number {entry}", entries.len()));
    };
    let request = &found["request"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (Some(method), Some(url)) = (text(&request["method"]), text(&request["url"])) else {
        return Err(format!("request {entry} of the HAR file has no method and url"));
    };
    let pairs =
        request["headers"].as_array().into_iter().flatten().filter_map(|header| Some((text(&header["name"])?, text(&header["value"])?)));
    // HTTP/2 names what the line of the request has; the body is saved without its coding.
    let headers = pairs.filter(|(name, _)| !name.starts_with(':') && !name.eq_ignore_ascii_case("content-length")).collect();
    let data = &request["postData"];
    let body = match (text(&data["text"]), data["encoding"].as_str()) {
        (Some(body), Some("base64")) => {
            STANDARD.decode(body).map_err(|_| format!("request {entry} of the HAR file has a body that is not base64"))?
        }
        (Some(body), _) => body.into_bytes(),
        (None, _) => Vec::new(),
    };
    Request::to(&method, &url, headers, body)
}

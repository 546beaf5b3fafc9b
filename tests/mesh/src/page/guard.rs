//! Who may use the page: the browser that shows it. Other websites in the same browser can send requests to 127.0.0.1, too, under names
//! of their own that lead there, and from other ports.

use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, Method, StatusCode};

/// The header in which the script shows what stands in the page.
pub const PROOF: &str = "x-attache-page";

/// Why a request is not answered.
pub type Refused = (StatusCode, &'static str);

/// The one value of a header.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether two texts are the same, in a time that depends on their length alone.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// Refuses what did not come from the page at `port`, which has `secret` in it.
///
/// # Errors
/// With the status and what is wrong.
pub fn check(method: &Method, path: &str, headers: &HeaderMap, port: u16, secret: &str) -> Result<(), Refused> {
    // A name that somebody else let lead to 127.0.0.1 (DNS rebinding) is in the Host that comes.
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let host = one(headers, HOST.as_str()).filter(|host| own.iter().any(|name| name == host));
    let Some(host) = host else {
        return Err((StatusCode::MISDIRECTED_REQUEST, "this page answers to its own address alone: 127.0.0.1 with its port"));
    };
    let origin = headers.contains_key(ORIGIN).then(|| one(headers, ORIGIN.as_str()));
    let is_own = origin.map(|origin| origin == Some(format!("http://{host}").as_str()));
    if is_own == Some(false) {
        return Err((StatusCode::FORBIDDEN, "another website may not use this page"));
    }
    // Browsers say where a request comes from. Another port of 127.0.0.1 is `same-site`. Only a link to the page may be elsewhere.
    let is_link = *method == Method::GET && path == "/" && one(headers, "sec-fetch-mode") == Some("navigate");
    if headers.contains_key("sec-fetch-site") && !matches!(one(headers, "sec-fetch-site"), Some("same-origin" | "none")) && !is_link {
        return Err((StatusCode::FORBIDDEN, "another website may not use this page"));
    }
    if *method == Method::GET {
        return Ok(());
    }
    if is_own != Some(true) {
        return Err((StatusCode::FORBIDDEN, "a request that changes something has the Origin of this page"));
    }
    if one(headers, CONTENT_TYPE.as_str()) != Some("application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json"));
    }
    if !one(headers, PROOF).is_some_and(|shown| is_same(shown, secret)) {
        return Err((StatusCode::FORBIDDEN, "reload the page: it is of an earlier run"));
    }
    Ok(())
}

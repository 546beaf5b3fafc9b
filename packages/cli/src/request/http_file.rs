//! An HTTP/1.1 message, or the form of it that editors send (`.http`): with a URL in its first line, comments, and `###` behind it.

use super::Request;

/// Reads the first request of `text`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(text: &str) -> Result<Request, String> {
    let mut rest = text;
    let mut number = 0;
    let mut next = || {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        let is_end = rest.is_empty();
        rest = behind;
        number += 1;
        (line.trim_end_matches('\r'), is_end, rest, number)
    };
    let first = loop {
        let (line, is_end, ..) = next();
        if is_end || !(line.trim().is_empty() || line.starts_with('#') || line.starts_with("//")) {
            break line;
        }
    };
    let wrong = "this is no request: an HTTP message begins with a line like POST /path HTTP/1.1";
    let mut words = first.split_whitespace();
    let (Some(method), Some(target), version, None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(wrong.to_owned());
    };
    if version.is_some_and(|version| !version.starts_with("HTTP/")) || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(wrong.to_owned());
    }
    let mut headers = Vec::new();
    let body = loop {
        let (line, is_end, behind, number) = next();
        if is_end || line.is_empty() {
            break behind;
        }
        let (name, value) = line
            .split_once(':')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("line {number} is no header: a name, a colon and a value"))?;
        headers.push((name.to_owned(), value.to_owned()));
    };
    let body = body.split("\n###").next().unwrap_or_default();
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let body = match length {
        Some(length) => body.as_bytes().get(..length).unwrap_or(body.as_bytes()),
        // The line break at the end is the file's.
        None => body.trim_end_matches(['\r', '\n']).as_bytes(),
    };
    let url = if target.starts_with('/') { format!("http://{target}") } else { target.to_owned() };
    Request::to(method, &url, headers, body.to_vec())
}

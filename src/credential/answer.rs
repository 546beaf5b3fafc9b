//! The answer of a token endpoint, taken apart (RFC 6749 sections 5.1 and 5.2). Nothing of it can be a secret where it is repeated: only
//! codes of the endpoint are.

use super::Failure;
use crate::wire::json::UniqueObject;
use crate::wire::time::UnixTime;
use serde_json::Value;
use std::time::Duration;

/// Longest token that is attached: what Envoy takes in headers at all by default is four times that.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

pub(super) const NOT_IN_THE_FUTURE: &str = "answered with an expires_in or expires_on that is not in the future";

/// Whether an answer has tokens, by its status.
pub(super) fn good(status: u16, body: &[u8]) -> Result<(), (Failure, String)> {
    match status {
        200 => Ok(()),
        300..=399 => Err((Failure::Unavailable, format!("answered with status {status}; redirects are not followed"))),
        // 429 and 408 are no verdict on what was asked.
        400..=499 if !matches!(status, 408 | 429) => Err(complaint(status, body)),
        _ => Err((Failure::Unavailable, format!("answered with status {status}"))),
    }
}

pub(super) fn object(body: &[u8]) -> Result<serde_json::Map<String, Value>, &'static str> {
    let answer: UniqueObject = serde_json::from_slice(body).map_err(|_| "answered with something that is not a JSON object")?;
    Ok(answer.0)
}

pub(super) fn access_token(answer: &serde_json::Map<String, Value>) -> Result<&str, &'static str> {
    match answer.get("access_token").and_then(Value::as_str) {
        None => Err("answered without an access_token"),
        Some(token) if !is_token(token) => Err("answered with an access_token that no header can carry"),
        Some(token) => Ok(token),
    }
}

pub(super) fn is_token(token: &str) -> bool {
    (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The lifetime that `answer` states. `None` if that makes no sense, or the time is over.
pub(super) fn said_lifetime(answer: &serde_json::Map<String, Value>, now: UnixTime) -> Option<Duration> {
    let seconds = |value: &Value| match value {
        Value::Number(number) => number.as_u64(),
        // Azure's endpoints write numbers as texts.
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() < 20 => text.parse().ok(),
        _ => None,
    };
    let lifetime = match (answer.get("expires_in"), answer.get("expires_on")) {
        (Some(expires_in), _) if *expires_in != Value::Null => Duration::from_secs(seconds(expires_in)?),
        (_, expires_on) => UnixTime::from_secs(seconds(expires_on?)?).since(now),
    };
    (lifetime > Duration::ZERO).then_some(lifetime)
}

/// What an error answer says (RFC 6749 section 5.2).
fn complaint(status: u16, body: &[u8]) -> (Failure, String) {
    let answer: UniqueObject = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| answer.0.get(name).and_then(Value::as_str).filter(|word| is_code(word));
    let Some(error) = word("error") else {
        return (Failure::Refused, format!("answered with status {status} and no OAuth error"));
    };
    let more = word("suberror");
    let failure = match error {
        "consent_required" | "interaction_required" | "login_required" | "account_selection_required" => Failure::Consent,
        "invalid_grant" if more.is_some_and(|more| matches!(more, "consent_required" | "basic_action")) => Failure::Consent,
        "invalid_grant" => Failure::Grant,
        "temporarily_unavailable" | "server_error" | "slow_down" => Failure::Unavailable,
        _ => Failure::Refused,
    };
    let entra = answer.0.get("error_description").and_then(Value::as_str).and_then(entra_code);
    let details: String = [more, entra.as_deref()].into_iter().flatten().map(|detail| format!(" ({detail})")).collect();
    (failure, format!("answered with status {status}, error {error}{details}"))
}

/// Whether `word` is a code, and not a text in which anything could stand.
fn is_code(word: &str) -> bool {
    (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The number that Entra begins its descriptions with, such as `AADSTS7000215`.
fn entra_code(description: &str) -> Option<String> {
    let number: String = description.strip_prefix("AADSTS")?.chars().take_while(char::is_ascii_digit).take(12).collect();
    (!number.is_empty()).then(|| format!("AADSTS{number}"))
}

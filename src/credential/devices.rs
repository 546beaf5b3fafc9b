//! What servers answer where users agree without a browser that comes here: how a flow begins, and how it stands (RFC 8628 sections 3.2 and
//! 3.5, OpenID Connect CIBA Core 1.0 sections 7.3 and 11). What a user is shown of it is bounded: it is the text of a third party.

use super::Failure;
use super::answer::{good, is_token, object};
use super::user_tokens::read_user;
use crate::config::HttpUri;
use crate::wire::json::UniqueObject;
use crate::wire::path;
use crate::wire::time::UnixTime;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::fmt;
use std::time::Duration;

/// Between two polls, where the server does not say it, in seconds.
const INTERVAL: u64 = 5;
/// Longest that a server may ask for, in seconds.
pub const LONGEST_INTERVAL: u64 = 300;
/// Longest life of a flow, in seconds.
const LONGEST_LIFE: u64 = 3600;
/// Longest URI and longest code that a user is shown, in bytes.
const LONGEST_URI: usize = 1024;
const LONGEST_CODE: usize = 64;

/// What a user is shown; empty where there is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// Where the code is entered.
    pub uri: String,
    /// The same with the code in it.
    pub complete: String,
    /// The code.
    pub user_code: String,
    /// What the user's own device shows, too.
    pub message: String,
}

impl fmt::Debug for Shown {
    /// Who has the code can agree with it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Shown")
    }
}

/// A flow that a server began.
#[derive(Debug)]
pub struct Begun {
    /// What the server knows it by: a secret.
    pub code: SecretString,
    /// What the user is shown.
    pub shown: Shown,
    /// How long it lives.
    pub life: Duration,
    /// Between two polls, in seconds.
    pub interval: u64,
}

/// How a flow stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Poll {
    /// The user has not decided.
    Pending,
    /// The same, and polls come too fast.
    Slower,
    /// The user said no.
    Denied,
    /// It has run out.
    Expired,
    /// There are tokens.
    Agreed,
}

/// Reads the answer with which a flow begins that is known by `name`. With a device code, the user is shown where to enter which code.
///
/// # Errors
/// What kind of failure it is, and the cause for the log.
pub fn read_begun(name: &str, status: u16, body: &[u8]) -> Result<Begun, (Failure, String)> {
    let unavailable = |cause: &str| (Failure::Unavailable, cause.to_owned());
    good(status, body)?;
    let answer = object(body).map_err(unavailable)?;
    read(name, &answer).ok_or_else(|| unavailable("answered without what begins a flow, or with something that no user can be shown"))
}

fn read(name: &str, answer: &Map<String, Value>) -> Option<Begun> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let code = text(name).filter(|code| is_token(code))?;
    let mut shown = Shown::default();
    if name == "device_code" {
        let uri = |name: &str| text(name).filter(|uri| is_shown(uri)).map(str::to_owned);
        shown.uri = uri("verification_uri")?;
        if answer.contains_key("verification_uri_complete") {
            shown.complete = uri("verification_uri_complete")?;
        }
        let user_code = text("user_code")?;
        let is_plain = |code: &str| code.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        shown.user_code = Some(user_code).filter(|code| (1..=LONGEST_CODE).contains(&code.len()) && is_plain(code))?.to_owned();
    }
    let life = answer.get("expires_in")?.as_u64().filter(|life| *life > 0)?.min(LONGEST_LIFE);
    let interval = answer.get("interval").map_or(Some(INTERVAL), Value::as_u64)?.clamp(1, LONGEST_INTERVAL);
    Some(Begun { code: code.to_owned().into(), shown, life: Duration::from_secs(life), interval })
}

/// Whether a user can be sent to `uri`: over TLS, or to this machine.
fn is_shown(uri: &str) -> bool {
    let read = HttpUri::try_from(uri.to_owned()).ok().filter(|_| uri.len() <= LONGEST_URI);
    let is_here = |read: &HttpUri| path::host(read.authority()).is_some_and(|host| matches!(&*host, "localhost" | "127.0.0.1" | "[::1]"));
    read.is_some_and(|read| read.scheme() == "https" || is_here(&read))
}

/// Reads the answer to a poll.
///
/// # Errors
/// What kind of failure it is, and the cause for the log.
pub fn read_poll(status: u16, body: &[u8], now: UnixTime) -> Result<Poll, (Failure, String)> {
    if (400..=499).contains(&status) {
        let answer: UniqueObject = serde_json::from_slice(body).unwrap_or_default();
        match answer.0.get("error").and_then(Value::as_str) {
            Some("authorization_pending") => return Ok(Poll::Pending),
            Some("slow_down") => return Ok(Poll::Slower),
            Some("access_denied") => return Ok(Poll::Denied),
            Some("expired_token") => return Ok(Poll::Expired),
            _ => {}
        }
    }
    read_user(status, body, now).map(|_| Poll::Agreed)
}

#[cfg(test)]
mod tests {
    use super::{Poll, read_begun, read_poll};
    use crate::credential::Failure;
    use crate::wire::time::UnixTime;
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    fn device() -> Value {
        json!({"device_code": "secret", "user_code": "WDJB-MJHT", "verification_uri": "https://a.example/device",
            "verification_uri_complete": "https://a.example/device?c=WDJB-MJHT", "expires_in": 600})
    }

    #[test]
    fn what_a_user_is_shown_is_bounded() {
        let begun = read_begun("device_code", 200, device().to_string().as_bytes()).unwrap();
        assert_eq!((begun.code.expose_secret(), begun.interval, begun.life.as_secs()), ("secret", 5, 600));
        assert_eq!(begun.shown.complete, "https://a.example/device?c=WDJB-MJHT");
        assert!(!format!("{begun:?}").contains("WDJB") && !format!("{begun:?}").contains("secret"));
        for (member, value) in [
            ("device_code", json!("")),
            ("device_code", json!(null)),
            ("user_code", json!("")),
            ("user_code", json!("A\nB")),
            ("user_code", json!("\u{202e}A")),
            ("user_code", json!("A".repeat(65))),
            ("verification_uri", json!("http://a.example/device")),
            ("verification_uri", json!("javascript:alert(1)")),
            ("verification_uri", json!("https://a.example@evil.example/")),
            ("verification_uri", json!("https://a.example/\n")),
            ("verification_uri", json!(format!("https://a.example/{}", "a".repeat(1024)))),
            ("verification_uri_complete", json!("http://a.example/device?c")),
            ("verification_uri_complete", json!(null)),
            ("expires_in", json!(0)),
            ("expires_in", json!("600")),
            ("interval", json!("5")),
        ] {
            let mut answer = device();
            answer[member] = value;
            let (failure, cause) = read_begun("device_code", 200, answer.to_string().as_bytes()).unwrap_err();
            assert!(failure == Failure::Unavailable && cause.contains("no user can be shown"), "{answer}: {cause}");
        }
        for (member, value) in [
            ("verification_uri", json!("http://localhost:1/device")),
            ("verification_uri", json!("http://127.0.0.1:1/device")),
            ("interval", json!(u64::MAX)),
            ("expires_in", json!(u64::MAX)),
        ] {
            let mut answer = device();
            answer[member] = value;
            let begun = read_begun("device_code", 200, answer.to_string().as_bytes()).unwrap();
            assert!(begun.interval <= 300 && begun.life.as_secs() <= 3600, "{answer}");
        }
        let asked = json!({"auth_req_id": "id", "expires_in": 60, "interval": 0, "user_code": "x"});
        let begun = read_begun("auth_req_id", 200, asked.to_string().as_bytes()).unwrap();
        assert_eq!((begun.code.expose_secret(), begun.interval, &*begun.shown.user_code), ("id", 1, ""));
        let refused = read_begun("auth_req_id", 400, br#"{"error": "unknown_user_id", "error_description": "canary"}"#).unwrap_err();
        assert!(refused.0 == Failure::Refused && refused.1.contains("unknown_user_id") && !refused.1.contains("canary"), "{refused:?}");
    }

    #[test]
    fn each_word_of_a_poll_has_its_meaning() {
        let read = |status, answer: Value| read_poll(status, answer.to_string().as_bytes(), UnixTime::from_secs(1));
        for (word, poll) in [
            ("authorization_pending", Poll::Pending),
            ("slow_down", Poll::Slower),
            ("access_denied", Poll::Denied),
            ("expired_token", Poll::Expired),
        ] {
            assert_eq!(read(400, json!({"error": word})), Ok(poll));
            assert_eq!(read(200, json!({"error": word})).unwrap_err().0, Failure::Unavailable, "no answer of 200");
        }
        assert_eq!(read(200, json!({"access_token": "a", "token_type": "Bearer"})), Ok(Poll::Agreed));
        assert_eq!(read(400, json!({"error": "invalid_grant"})).unwrap_err().0, Failure::Grant);
        assert_eq!(read(401, json!({"error": "invalid_client"})).unwrap_err().0, Failure::Refused);
        assert_eq!(read(503, json!({"error": "access_denied"})).unwrap_err().0, Failure::Unavailable);
    }
}

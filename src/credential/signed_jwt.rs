//! JWTs for notifications: each says for whom it is and about which task, and no two are the same.

use super::Key;
use super::signing::Unsigned;
use crate::config::SignedJwt;
use crate::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::json;

/// What a token is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The origin of the notification's target.
    pub origin: &'a str,
    /// The id of its task.
    pub task: &'a str,
}

/// The token of `own` at `now`, still to be signed. `serial` is its `jti`.
#[must_use]
pub fn unsigned(own: &SignedJwt, about: About<'_>, key: SecretString, now: UnixTime, serial: &Key) -> Unsigned {
    let issued = now.since(UnixTime::default()).as_secs();
    let claims = json!({
        "iss": own.issuer, "sub": own.issuer, "aud": own.audience.as_deref().unwrap_or(about.origin), "taskId": about.task,
        "jti": URL_SAFE_NO_PAD.encode(serial), "iat": issued, "exp": issued.saturating_add(own.lifetime.as_secs()),
    });
    Unsigned::new(own.algorithm, key, &[("kid", Some(&own.key_id))], &claims)
}

#[cfg(test)]
mod tests {
    use super::{About, SecretString, SignedJwt, UnixTime, unsigned};
    use crate::wire::base64url;
    use serde_json::{Value, json};

    #[test]
    fn a_token_says_for_whom_it_is_and_about_which_task() {
        let parts = |own: Value| -> Vec<Value> {
            let own: SignedJwt = serde_json::from_value(own).unwrap();
            let about = About { origin: "https://hooks.example.com", task: "t-1" };
            let made = unsigned(&own, about, SecretString::from("key".to_owned()), UnixTime::from_secs(1000), &[7; 32]);
            made.input().split('.').map(|part| serde_json::from_slice(&base64url::decode(part).unwrap()).unwrap()).collect()
        };
        let own = json!({"issuer": "https://agents.example.com", "key": {"secret": "k"}, "algorithm": "ES256", "key_id": "k1"});
        let made = parts(own.clone());
        assert_eq!(made[0], json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}));
        let serial = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        assert_eq!(
            made[1],
            json!({"iss": "https://agents.example.com", "sub": "https://agents.example.com", "aud": "https://hooks.example.com",
                "taskId": "t-1", "jti": serial, "iat": 1000, "exp": 1300})
        );
        let mut other = own;
        other["audience"] = json!("receivers");
        other["lifetime"] = json!("60s");
        assert_eq!((&parts(other.clone())[1]["aud"], &parts(other)[1]["exp"]), (&json!("receivers"), &json!(1060)));
    }
}

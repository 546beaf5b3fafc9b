//! Headers, parameters and cookies with secret values: API keys, personal access tokens, tokens that something else renews.

use super::secrets::{SecretError, Secrets, prefixed};
use crate::config::{HeaderCredential, NamedCredential};
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Write as _;

/// The value to attach for `header`.
///
/// # Errors
/// Why the secret has none.
pub fn value(header: &HeaderCredential, secrets: &Secrets) -> Result<SecretString, SecretError> {
    secrets.value(&header.value.secret).map(|secret| prefixed(header.prefix.as_str(), secret))
}

/// `name=value` for a query: whatever is not unreserved (RFC 3986 section 2.3) is escaped.
///
/// # Errors
/// Why the secret has no value.
pub fn parameter(own: &NamedCredential, secrets: &Secrets) -> Result<SecretString, SecretError> {
    let value = secrets.value(&own.value.secret)?.expose_secret();
    let mut pair = String::with_capacity(own.name.as_str().len().saturating_add(value.len().saturating_mul(3)).saturating_add(1));
    pair.push_str(own.name.as_str());
    pair.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            pair.push(char::from(byte));
        } else {
            let _ = write!(pair, "%{byte:02X}");
        }
    }
    Ok(SecretString::from(pair))
}

/// `name=value` for a `Cookie` header.
///
/// # Errors
/// Why the secret has no value that a cookie can carry.
pub fn cookie(own: &NamedCredential, secrets: &Secrets) -> Result<SecretString, SecretError> {
    let value = secrets.value(&own.value.secret)?;
    let fits = value.expose_secret().bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte));
    if fits { Ok(prefixed(&[own.name.as_str(), "="].concat(), value)) } else { Err(SecretError::NoCookie) }
}

#[cfg(test)]
mod tests {
    use super::{ExposeSecret, NamedCredential, SecretError, SecretString, Secrets, cookie, parameter};
    use serde_json::json;

    #[test]
    fn keys_stand_in_queries_and_cookies_as_they_may() {
        let own: NamedCredential = serde_json::from_value(json!({"name": "k", "value": {"secret": "s"}})).unwrap();
        let told = |made: Result<SecretString, SecretError>| made.map(|text| text.expose_secret().to_owned());
        for (secret, in_query, in_cookie) in [
            ("aB1-._~", Ok("k=aB1-._~"), Ok("k=aB1-._~")),
            ("a/b+c=", Ok("k=a%2Fb%2Bc%3D"), Ok("k=a/b+c=")),
            ("a&b#c%20", Ok("k=a%26b%23c%2520"), Ok("k=a&b#c%20")),
            ("a b", Ok("k=a%20b"), Err(SecretError::NoCookie)),
            ("a;b=c", Ok("k=a%3Bb%3Dc"), Err(SecretError::NoCookie)),
            ("a,b", Ok("k=a%2Cb"), Err(SecretError::NoCookie)),
            ("a\"b", Ok("k=a%22b"), Err(SecretError::NoCookie)),
            ("a\\b", Ok("k=a%5Cb"), Err(SecretError::NoCookie)),
            ("a\nb", Err(SecretError::Unusable), Err(SecretError::Unusable)),
            ("", Err(SecretError::Empty), Err(SecretError::Empty)),
        ] {
            let mut secrets = Secrets::default();
            secrets.insert("s", Some(secret.to_owned()));
            assert_eq!(told(parameter(&own, &secrets)), in_query.map(str::to_owned), "{secret}");
            assert_eq!(told(cookie(&own, &secrets)), in_cookie.map(str::to_owned), "{secret}");
        }
    }
}

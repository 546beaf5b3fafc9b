//! Test builds only: verifies what a request header holds with the verifier of real tokens, so that vectors which are no
//! tokens reach the proxy's cryptography.

use crate::config::{Algorithm, RSA_BITS};
use crate::identity::jwk::{KeySet, Wanted};
use crate::identity::signature::Verifier;
use crate::wire::base64url;
use crate::wire::header::Headers;
use proxy_wasm::hostcalls;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as NameError;

/// Answers 200 if the signature in `x-attache-test-verify` holds, else 403: `alg.keys.message.signature`, the last three
/// in base64url. `false` if there is no such header.
pub fn answer(headers: &Headers, verifier: &dyn Verifier) -> bool {
    let Some(line) = headers.all("x-attache-test-verify").next() else { return false };
    let status = if std::str::from_utf8(line).ok().and_then(|line| holds(line, verifier)) == Some(true) { 200 } else { 403 };
    hostcalls::send_http_response(status, vec![], None).is_ok()
}

fn holds(line: &str, verifier: &dyn Verifier) -> Option<bool> {
    let mut parts = line.split('.');
    let name = parts.next()?;
    let mut bytes = || base64url::decode(parts.next()?);
    let (keys, message, signature) = (KeySet::parse(&bytes()?, *RSA_BITS.end()).ok()?, bytes()?, bytes()?);
    let deserializer: serde::de::value::StrDeserializer<'_, NameError> = name.into_deserializer();
    let algorithm = Algorithm::deserialize(deserializer).ok()?;
    let candidates = keys.candidates(&Wanted { key_id: None, name, algorithm, with_any_key: true, owns: &|_| true });
    Some(verifier.verify(algorithm, candidates.first()?, &message, &signature))
}

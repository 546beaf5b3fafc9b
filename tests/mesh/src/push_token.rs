//! Tokens of push configurations as the filter makes them, made once more by what docs/push-notifications.md says of them.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What a token is for.
pub struct Purpose<'a> {
    pub connection: &'a str,
    pub expires: u64,
    pub nonce: u8,
    pub task: Option<&'a str>,
}

/// Bytes of a digest.
const HALF: usize = 16;

fn code(key: &str, parts: &[&[u8]]) -> Result<Vec<u8>> {
    let mut code = Hmac::<Sha256>::new_from_slice(key.as_bytes())?;
    parts.iter().for_each(|part| code.update(part));
    Ok(code.finalize().into_bytes().to_vec())
}

/// The token that `key`, by this name, signs.
pub fn mint(name: &str, key: &str, purpose: &Purpose<'_>) -> Result<String> {
    let nonce = [purpose.nonce; HALF];
    let mut token = vec![1, u8::from(purpose.task.is_some())];
    token.extend(purpose.expires.to_be_bytes());
    token.extend(nonce);
    token.extend([0; HALF]);
    let task = purpose.task.map(|task| code(key, &[b"attache push task 1\n", &nonce, task.as_bytes()])).transpose()?;
    token.extend(task.unwrap_or_else(|| vec![0; HALF]).into_iter().take(HALF));
    let length = u64::try_from(purpose.connection.len())?.to_be_bytes();
    let mac = code(key, &[b"attache push token 1\n", &length, purpose.connection.as_bytes(), &token])?;
    token.extend(mac);
    Ok(format!("{name}.{}", URL_SAFE_NO_PAD.encode(token)))
}

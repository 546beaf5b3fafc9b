//! What nobody can guess: ids of requests, and what a page shows to prove that it is this program's own.

use anyhow::{Result, anyhow};
use tokio_rustls::rustls::crypto::ring;

/// Sixteen bytes from the system's source of randomness.
fn bytes() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| anyhow!("the system gives no random bytes"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text of 128 random bits.
pub fn text() -> Result<String> {
    Ok(hex(&bytes()?))
}

/// A random UUID (RFC 9562 section 5.4), which Envoy keeps as the id of a request.
pub fn uuid() -> Result<String> {
    let mut bytes = bytes()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    Ok(format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]))
}

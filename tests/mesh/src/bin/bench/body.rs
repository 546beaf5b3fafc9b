//! SendMessage requests of an exact size.

use anyhow::{Context, Result};
use attache_mesh::http::rpc;
use serde_json::{Value, json};

/// What one part says: some escapes, as real text has.
const PROSE: &str = "Please file the expenses of last week's trip:\n\t\"train, 84.50 EUR\", two nights in a hotel, and lunch \
    with the client on Tuesday. The receipts are attached; the cost centre is R&D \\ travel. ";

/// SendMessage of A2A 1.0 over JSON-RPC, of exactly `size` bytes: parts of prose, the last one as long as needed.
pub fn send_message(size: usize) -> Result<Vec<u8>> {
    let write = |parts: &[Value]| {
        let message = json!({"messageId": "6f1f0a52-7f0e-4b0c-9d25-0a5f4a0f3c11", "contextId": "ctx-4711",
            "role": "ROLE_USER", "parts": parts, "metadata": {"tenant": "example", "priority": 3}});
        rpc(json!(1), "SendMessage", json!({"message": message})).to_string().into_bytes()
    };
    let mut parts = vec![json!({"text": ""})];
    loop {
        let missing = size.checked_sub(write(&parts).len()).with_context(|| format!("no SendMessage has {size} bytes"))?;
        let mut longer = parts.clone();
        longer.insert(0, json!({"text": PROSE}));
        if write(&longer).len() > size {
            let last = parts.last_mut().context("no part")?;
            *last = json!({"text": "x".repeat(missing)});
            return Ok(write(&parts));
        }
        parts = longer;
    }
}

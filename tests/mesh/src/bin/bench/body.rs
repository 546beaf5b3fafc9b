//! SendMessage requests of an exact size.

use anyhow::{Context, Result};
use attache_mesh::http::rpc;
use serde_json::{Value, json};

/// What one part says: some escapes, as real text has.
const PROSE: &str = "Please file the expenses of last week's trip:\n\t\"train, 84.50 EUR\", two nights in a hotel, and lunch \
    with the client on Tuesday. The receipts are attached; the cost centre is R&D \\ travel. ";

/// SendMessage of A2A 1.0 over JSON-RPC, of exactly `size` bytes: parts of prose, the last one as long as needed.
pub fn send_message(size: usize) -> Result<Vec<u8>> {
    let part = json!({"text": PROSE});
    // Behind each part but the last there is a comma.
    let each = part.to_string().len() + 1;
    let empty = write(&[json!({"text": ""})]).len();
    let missing = size.checked_sub(empty).with_context(|| format!("no SendMessage has {size} bytes"))?;
    let mut parts = vec![part; missing / each];
    parts.push(json!({"text": "x".repeat(missing % each)}));
    Ok(write(&parts))
}

fn write(parts: &[Value]) -> Vec<u8> {
    let message = json!({"messageId": "6f1f0a52-7f0e-4b0c-9d25-0a5f4a0f3c11", "contextId": "ctx-4711",
        "role": "ROLE_USER", "parts": parts, "metadata": {"tenant": "example", "priority": 3}});
    rpc(json!(1), "SendMessage", json!({"message": message})).to_string().into_bytes()
}

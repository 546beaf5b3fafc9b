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

/// The same size, but nearly all of it one string: a file in base64.
pub fn send_file(size: usize) -> Result<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let message = |raw: &str, text: &str| {
        write(&[json!({"text": text}), json!({"raw": raw, "filename": "receipts.pdf", "mediaType": "application/pdf"})])
    };
    let missing = size.checked_sub(message("", "").len()).with_context(|| format!("no SendMessage has {size} bytes"))?;
    // Base64 comes in fours; the text takes the rest. A step that shares no factor with 64 reaches all letters.
    let raw = (0..missing / 4 * 4).filter_map(|place| ALPHABET.get((place * 37 + place / 64) % 64)).map(|letter| char::from(*letter));
    Ok(message(&raw.collect::<String>(), &"x".repeat(missing % 4)))
}

fn write(parts: &[Value]) -> Vec<u8> {
    let message = json!({"messageId": "6f1f0a52-7f0e-4b0c-9d25-0a5f4a0f3c11", "contextId": "ctx-4711",
        "role": "ROLE_USER", "parts": parts, "metadata": {"tenant": "example", "priority": 3}});
    rpc(json!(1), "SendMessage", json!({"message": message})).to_string().into_bytes()
}

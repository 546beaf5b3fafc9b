//! `attache hash-key`: the digest of an API key or a password, as the configuration has it.

use crate::open::read;
use crate::page::Page;
use attache::identity::secret_digest::{MAX_BYTES, digest};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// What `attache hash-key` takes.
#[derive(Debug, Args)]
pub struct HashKeyArgs {
    /// The file with the key; standard input, if it is left out. A line break at its end does not count
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The client that the key belongs to
    #[arg(long, value_name = "NAME", default_value = "client")]
    id: String,
    /// The key is the password of this user (scheme basic)
    #[arg(long, value_name = "NAME", conflicts_with = "id")]
    user: Option<String>,
}

/// Keys that are shorter can be guessed from their digest, which is in Envoy's configuration dump.
const SHORT: usize = 16;

/// The entry for `keys` or `users`.
///
/// # Errors
/// If it is no key.
pub fn hash_key(args: &HashKeyArgs) -> Result<Page, String> {
    let (name, text) = read(&args.file)?;
    let key = text.strip_suffix('\n').map_or(text.as_str(), |key| key.strip_suffix('\r').unwrap_or(key));
    if key.is_empty() {
        return Err(format!("{name}: there is no key"));
    }
    if key.bytes().any(|byte| !matches!(byte, 0x20..=0x7e)) {
        return Err(format!("{name}: the key has a character that no header can carry"));
    }
    if args.user.as_ref().is_some_and(|user| user.is_empty() || user.contains(':')) {
        return Err("the name of a user is not empty and has no colon (RFC 7617)".to_owned());
    }
    let (id, secret) = match &args.user {
        Some(user) => (user, format!("{user}:{key}")),
        None => (&args.id, key.to_owned()),
    };
    let Some(digest) = digest(secret.as_bytes()) else { return Err(format!("{name}: the key has more than {MAX_BYTES} bytes")) };
    let hexadecimal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let entry = json!({"id": id, "sha256": hexadecimal});
    let mut page = Page::default();
    page.line(&entry.to_string());
    page.json("entry", entry);
    if key.len() < SHORT {
        page.json("warning", json!(WARNING));
        page.warn(WARNING);
    }
    Ok(page)
}

const WARNING: &str = "the key is short: whoever sees the digest can find it by trying. Take 128 bits of randomness: openssl rand -hex 16";

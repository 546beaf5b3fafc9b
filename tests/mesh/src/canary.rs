//! Whether anything secret got out: every token that a call carries and every key that a process is given is remembered
//! here, and none of them may be in an Envoy's log, in its statistics, or in a refusal.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::place;

/// By so many letters of each part a token is known: also one that was cut.
const LETTERS: usize = 24;
/// Shorter ones are words that may stand anywhere.
const SHORTEST: usize = 8;

#[derive(Default)]
struct Kept {
    /// The first letters of the claims and of the signature of every token.
    parts: BTreeSet<String>,
    keys: BTreeSet<String>,
    leaks: Vec<String>,
}

fn kept() -> MutexGuard<'static, Kept> {
    static KEPT: Mutex<Kept> = Mutex::new(Kept { parts: BTreeSet::new(), keys: BTreeSet::new(), leaks: Vec::new() });
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers a secret: a token in three parts, or a key.
pub fn keep(secret: &str) {
    let mut kept = kept();
    let parts: Vec<&str> = secret.split('.').collect();
    match parts.as_slice() {
        // Its header says nothing about anybody.
        [_, said @ ..] if !said.is_empty() => kept.parts.extend(said.iter().filter_map(|part| part.get(..LETTERS)).map(str::to_owned)),
        _ if secret.len() >= SHORTEST => drop(kept.keys.insert(secret.to_owned())),
        _ => {}
    }
}

/// The beginning of a secret that is in `text`.
pub fn find(text: &str) -> Option<String> {
    let kept = kept();
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'));
    let part = words.filter_map(|word| word.get(..LETTERS)).find(|word| kept.parts.contains(*word));
    let key = || kept.keys.iter().find(|key| text.contains(key.as_str())).map(String::as_str);
    part.or_else(key).and_then(|secret| secret.get(..SHORTEST)).map(str::to_owned)
}

/// Notes it if a secret is in `text`, which is from `place`.
pub fn search(place: &str, text: &str) {
    if let Some(secret) = find(text) {
        kept().leaks.push(format!("a secret that begins with {secret:?} is in {place}"));
    }
}

/// Searches what all Envoys of this run have written, and tells everything that was found until now.
pub fn sweep() -> Vec<String> {
    for entry in std::fs::read_dir(place::logs()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_written = name.ends_with(".log") || name.ends_with(".out");
        if (name.starts_with("envoy-") && is_written) || name.starts_with("access") {
            search(&name, &String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap_or_default()));
        }
    }
    std::mem::take(&mut kept().leaks)
}

#[cfg(test)]
mod tests {
    use super::{find, keep};

    #[test]
    fn a_secret_is_found_whole_or_cut_and_nothing_else_is() {
        let (claims, signature) = ("c".repeat(80), "s".repeat(86));
        keep(&format!("eyJhbGciOiJFUzI1NiIsImtpZCI6MX0.{claims}.{signature}"));
        keep("canary-key-1");
        keep("short");
        for leak in [format!("x {claims} y"), format!("\"{}…", &claims[..30]), format!("a.{signature}"), "k=canary-key-1;".to_owned()] {
            assert!(find(&leak).is_some(), "{leak}");
        }
        for fine in ["eyJhbGciOiJFUzI1NiIsImtpZCI6MX0", "short", "canary-key", &claims[..20]] {
            assert_eq!(find(fine), None, "{fine}");
        }
    }
}

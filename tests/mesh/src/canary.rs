//! Whether anything secret got out: every token that a call carries and every key that a process is given is remembered
//! here, and none of them may be in an Envoy's log, in its statistics, or in a refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::place;

/// By so many letters of each part a token is known: also one that was cut.
const LETTERS: usize = 24;
/// Shorter ones are words that may stand anywhere.
const SHORTEST: usize = 8;

struct Kept {
    /// The first letters of the claims and of the signature of every token.
    parts: BTreeSet<String>,
    keys: Keys,
    leaks: Vec<String>,
}

/// Keys by their first letters. There are thousands, and the logs of a run are tens of megabytes: looking for each key by itself
/// takes minutes.
struct Keys {
    by_start: BTreeMap<[u8; SHORTEST], BTreeSet<String>>,
    /// Which first two letters there are: nearly every place of a text is passed over by them.
    starts: BTreeSet<[u8; 2]>,
    /// The same as a table, made when it is looked for.
    table: Vec<bool>,
}

impl Keys {
    const NONE: Self = Self { by_start: BTreeMap::new(), starts: BTreeSet::new(), table: Vec::new() };

    fn insert(&mut self, key: &str) {
        let Some((start, _)) = key.as_bytes().split_first_chunk::<SHORTEST>() else { return };
        self.starts.insert([start[0], start[1]]);
        self.by_start.entry(*start).or_default().insert(key.to_owned());
        self.table.clear();
    }

    /// The key that is in `text`.
    fn find(&mut self, text: &[u8]) -> Option<&str> {
        const LETTER: usize = 256;
        let place = |start: [u8; 2]| usize::from(start[0]) * LETTER + usize::from(start[1]);
        if self.table.is_empty() {
            self.table = vec![false; LETTER * LETTER];
            self.starts.iter().for_each(|start| self.table[place(*start)] = true);
        }
        text.windows(SHORTEST).enumerate().filter(|(_, window)| self.table[place([window[0], window[1]])]).find_map(|(at, window)| {
            let same = self.by_start.get(window)?;
            same.iter().find(|key| text[at..].starts_with(key.as_bytes())).map(String::as_str)
        })
    }
}

fn kept() -> MutexGuard<'static, Kept> {
    static KEPT: Mutex<Kept> = Mutex::new(Kept { parts: BTreeSet::new(), keys: Keys::NONE, leaks: Vec::new() });
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers a secret: a token in three parts, or a key.
///
/// # Panics
/// If it cannot be told from what others write, such as one letter again and again.
pub fn keep(secret: &str) {
    let letters: std::collections::BTreeSet<char> = secret.chars().collect();
    assert!(secret.len() < LETTERS || letters.len() > 2, "{secret:.40} cannot be told from other text: take another secret");
    let mut kept = kept();
    let parts: Vec<&str> = secret.split('.').collect();
    match parts.as_slice() {
        // Its header says nothing about anybody.
        [_, said @ ..] if !said.is_empty() => kept.parts.extend(said.iter().filter_map(|part| part.get(..LETTERS)).map(str::to_owned)),
        _ => kept.keys.insert(secret),
    }
}

/// The beginning of a secret that is in `text`.
pub fn find(text: &str) -> Option<String> {
    let mut kept = kept();
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'));
    let part = words.filter_map(|word| word.get(..LETTERS)).find(|word| kept.parts.contains(*word));
    let part = part.map(str::to_owned);
    let found = part.or_else(|| kept.keys.find(text.as_bytes()).map(str::to_owned));
    found.and_then(|secret| secret.get(..SHORTEST).map(str::to_owned))
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
        keep("canary-key-2-longer");
        keep("short");
        for leak in [
            format!("x {claims} y"),
            format!("\"{}…", &claims[..30]),
            format!("a.{signature}"),
            "k=canary-key-1;".to_owned(),
            "canary-key-2-longer".to_owned(),
        ] {
            assert!(find(&leak).is_some(), "{leak}");
        }
        for fine in ["eyJhbGciOiJFUzI1NiIsImtpZCI6MX0", "short", "canary-key", "canary-key-2-long", &claims[..20]] {
            assert_eq!(find(fine), None, "{fine}");
        }
    }
}

//! What of requests and answers may be shown: credentials are cut to their first letters.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::mesh::PARTNER_KEY;
use crate::tour_wallet::KEY;

/// Headers whose values are credentials.
const CREDENTIALS: [&str; 5] = ["authorization", "proxy-authorization", "x-api-key", "cookie", "set-cookie"];
/// Keys of this mesh, which are no tokens.
const KEYS: [&str; 3] = [KEY, PARTNER_KEY, "kept-in-the-environment"];
/// Texts longer than this are cut: what is shown stays readable.
const LONGEST: usize = 12_000;
/// A token has more letters than this.
const SHORTEST_TOKEN: usize = 40;

/// The first letters of a credential, behind its scheme if it has one.
fn cut(text: &str) -> String {
    let (scheme, rest) = match text.split_once(' ') {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => (format!("{scheme} "), rest),
        _ => (String::new(), text),
    };
    let short: String = rest.chars().take(3).collect();
    if rest.chars().count() > 4 { format!("{scheme}{short}…") } else { text.to_owned() }
}

/// Whether the values of this header are credentials.
fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// What is secret besides: what somebody pasted.
#[derive(Default)]
pub struct Mask {
    secrets: BTreeSet<String>,
}

impl Mask {
    /// Hides this, too, wherever it comes.
    pub fn hiding(secret: &str) -> Self {
        Self { secrets: Some(secret.to_owned()).filter(|text| text.len() > 4).into_iter().collect() }
    }

    /// The value of a header.
    pub fn header(&self, name: &str, value: &str) -> String {
        if is_credential(name) { cut(value) } else { self.text(value) }
    }

    /// Any text, without tokens and keys.
    pub fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().map(String::as_str).chain(KEYS) {
            text = text.replace(secret, &cut(secret));
        }
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let mut shown = String::new();
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let end = if is_letter(first) { rest.find(|letter| !is_letter(letter)).unwrap_or(rest.len()) } else { first.len_utf8() };
            let (word, behind) = rest.split_at(end);
            let is_token = word.len() > SHORTEST_TOKEN && word.matches('.').count() == 2 && word.starts_with('e');
            shown += &if is_token { cut(word) } else { word.to_owned() };
            rest = behind;
        }
        match shown.char_indices().nth(LONGEST) {
            Some((at, _)) => format!("{}\n… and {} bytes more", &shown[..at], shown.len() - at),
            None => shown,
        }
    }

    /// A document: also in documents that are texts in it, such as an agent's echo.
    pub fn document(&self, value: &Value) -> Value {
        match value {
            Value::Object(members) => Value::Object(self.members(members)),
            Value::Array(list) => list.iter().map(|one| self.document(one)).collect(),
            Value::String(text) => match serde_json::from_str(text) {
                Ok(inner @ Value::Object(_)) => Value::String(self.document(&inner).to_string()),
                _ => Value::String(self.text(text)),
            },
            other => other.clone(),
        }
    }

    fn members(&self, members: &Map<String, Value>) -> Map<String, Value> {
        let shown = |name: &str, value: &Value| match value {
            Value::String(text) if is_credential(name) => Value::String(cut(text)),
            Value::Array(list) if is_credential(name) => {
                list.iter().map(|one| Value::String(cut(one.as_str().unwrap_or_default()))).collect()
            }
            other => self.document(other),
        };
        members.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect()
    }

    /// A body: a document nicely set, a stream of events, or any text.
    pub fn body(&self, body: &[u8]) -> String {
        if let Ok(value) = serde_json::from_slice::<Value>(body) {
            return self.text(&format!("{:#}", self.document(&value)));
        }
        let text = String::from_utf8_lossy(body);
        let line = |line: &str| match line.strip_prefix("data:").and_then(|data| serde_json::from_str::<Value>(data.trim()).ok()) {
            Some(value) => format!("data: {}", self.document(&value)),
            None => line.to_owned(),
        };
        self.text(&text.lines().map(line).collect::<Vec<_>>().join("\n"))
    }
}

//! Whether two answers are the same but for what no two answers share: identifiers, times, and what a proxy does to headers.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;

/// What belongs to one connection, or names its two ends.
const OF_THE_CONNECTION: &[&str] = &["host", "connection", "keep-alive"];
/// What Envoy adds by itself, and the version that every request is sent on with.
const ADDED: &[&str] = &["x-forwarded-proto", "x-request-id", "a2a-version"];

/// Errs unless both are the same. With `once`, what repeats the item before it in a list does not count: how often an agent
/// reports that it works is a matter of time.
pub fn ensure_same(one: &Value, other: &Value, once: bool) -> Result<()> {
    let [one, other] = [one, other].map(|value| Plain { once, ..Plain::default() }.value(value));
    ensure!(one == other, "not the same:\n{one}\n{other}");
    Ok(())
}

/// Errs unless the headers that came through a proxy are those that come without it, and nothing that is not known.
pub fn ensure_kept(through: &Value, direct: &Value) -> Result<()> {
    let [through, direct] = [through, direct].map(|headers| headers.as_object().cloned().unwrap_or_default());
    ensure!(!direct.is_empty(), "no headers at all");
    for (name, value) in &direct {
        let kept = through.get(name).map(one_line);
        let same = kept.as_ref() == Some(&one_line(value));
        ensure!(same || OF_THE_CONNECTION.contains(&name.as_str()), "{name}: {value} became {kept:?}");
    }
    for (name, value) in &through {
        let known = ADDED.contains(&name.as_str()) || name == "x-attache" || name.starts_with("x-envoy-");
        ensure!(known || direct.contains_key(name), "{name}: {value} was added");
    }
    Ok(())
}

/// Several lines of one name mean the same as one with commas (RFC 9110 section 5.2); Envoy writes that.
fn one_line(value: &Value) -> String {
    let lines = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

/// Replaces identifiers by the order in which they come, and times by one word.
#[derive(Default)]
struct Plain {
    names: BTreeMap<String, String>,
    once: bool,
}

impl Plain {
    fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(list) => {
                let mut list: Vec<Value> = list.iter().map(|value| self.value(value)).collect();
                if self.once {
                    list.dedup();
                }
                Value::Array(list)
            }
            // The headers of an echoed request are compared by themselves.
            Value::Object(map) => {
                let members = map.iter().filter(|(name, _)| *name != "headers");
                Value::Object(members.map(|(name, value)| (name.clone(), self.value(value))).collect())
            }
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str) -> Value {
        if let Ok(echo @ Value::Object(_)) = serde_json::from_str(text) {
            return self.value(&echo);
        }
        if is_time(text) {
            return Value::String("a time".to_owned());
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            match rest.get(..36).filter(|candidate| is_uuid(candidate)) {
                Some(id) => {
                    let count = self.names.len();
                    out += self.names.entry(id.to_owned()).or_insert_with(|| format!("id {count}"));
                    rest = &rest[36..];
                }
                None => {
                    out.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        Value::String(out)
    }
}

/// The form of RFC 9562 section 4.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| if [8, 13, 18, 23].contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

/// The form of RFC 3339.
fn is_time(text: &str) -> bool {
    let digits = |from: usize, to: usize| text.get(from..to).is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    digits(0, 4) && digits(5, 7) && digits(8, 10) && digits(11, 13) && text.get(10..11) == Some("T") && text.get(13..14) == Some(":")
}

//! Writes a schema for people who read it: what it is before what is in it, members in the order of the documentation, and on one line
//! what has room there.

use crate::config::form::ORDER;
use serde_json::{Map, Value};

/// Longest line of what stands on one.
const WIDTH: usize = 140;

/// What comes first in a schema; the rest stands before the last three.
const FIRST: [&str; 10] = ["$schema", "$id", "title", "description", "markdownDescription", "type", "$ref", "const", "default", "examples"];
const LAST: [&str; 3] = ["properties", "oneOf", "$defs"];

/// `schema` as text.
pub fn text(schema: &Value) -> String {
    let mut text = String::new();
    append(&mut text, schema, 0, Kind::Schema, 0);
    text.push('\n');
    text
}

#[derive(Clone, Copy)]
enum Kind<'v> {
    /// Its members are keywords.
    Schema,
    /// Its members are schemas, in this order if one is known.
    Schemas(Option<&'v Value>),
    /// A value.
    Value,
}

/// Appends `value`, in front of which stand `before` letters in its line.
fn append(text: &mut String, value: &Value, indent: usize, kind: Kind<'_>, before: usize) {
    let short = one_line(value, kind);
    if short.chars().count().saturating_add(before) <= WIDTH || !(value.is_object() || value.is_array()) {
        text.push_str(&short);
        return;
    }
    let inner = indent.saturating_add(2);
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    text.push(open);
    for (index, (name, part, kind)) in parts(value, kind).into_iter().enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        let head = name.map_or_else(String::new, |name| format!("{}: ", Value::from(name)));
        text.push_str(&" ".repeat(inner));
        text.push_str(&head);
        append(text, part, inner, kind, inner.saturating_add(head.chars().count()).saturating_add(1));
    }
    text.push('\n');
    text.push_str(&" ".repeat(indent));
    text.push(close);
}

fn one_line(value: &Value, kind: Kind<'_>) -> String {
    match value {
        Value::Object(_) => {
            let members = parts(value, kind);
            let members: Vec<String> = members
                .into_iter()
                .map(|(name, part, kind)| format!("{}: {}", Value::from(name.unwrap_or_default()), one_line(part, kind)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(|part| one_line(part, kind)).collect();
            format!("[{}]", list.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// A part of a value: the name of a member, what it is, and how it is read.
type Part<'v> = (Option<&'v str>, &'v Value, Kind<'v>);

/// What is in `value`, in the order in which it is written.
fn parts<'v>(value: &'v Value, kind: Kind<'v>) -> Vec<Part<'v>> {
    let members = match value {
        Value::Array(list) => return list.iter().map(|part| (None, part, kind)).collect(),
        Value::Object(members) => members,
        _ => return Vec::new(),
    };
    let (inner, order) = match kind {
        Kind::Schema => return keywords(members),
        Kind::Schemas(order) => (Kind::Schema, order.and_then(Value::as_array)),
        Kind::Value => (Kind::Value, None),
    };
    let place = |name: &str| order.and_then(|order| order.iter().position(|own| own == name));
    let mut parts: Vec<Part<'v>> = members.iter().map(|(name, part)| (Some(name.as_str()), part, inner)).collect();
    parts.sort_by_key(|(name, ..)| name.and_then(place));
    parts
}

fn keywords(members: &Map<String, Value>) -> Vec<Part<'_>> {
    let place = |name: &str| match (FIRST.iter().position(|own| *own == name), LAST.iter().position(|own| *own == name)) {
        (Some(place), _) => (0, place),
        (None, None) => (1, 0),
        (None, Some(place)) => (2, place),
    };
    let kind = |name: &str| match name {
        "properties" => Kind::Schemas(members.get(ORDER)),
        "$defs" | "dependentSchemas" => Kind::Schemas(None),
        "items" | "additionalProperties" | "propertyNames" | "oneOf" | "anyOf" | "allOf" | "if" | "then" | "else" => Kind::Schema,
        _ => Kind::Value,
    };
    let written = members.iter().filter(|(name, _)| *name != ORDER);
    let mut parts: Vec<Part<'_>> = written.map(|(name, part)| (Some(name.as_str()), part, kind(name))).collect();
    parts.sort_by_key(|(name, ..)| name.map(place));
    parts
}

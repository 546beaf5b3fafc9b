//! Ways through a schema: alone, to every place that a configuration can have, and along a configuration.

use serde_json::Value;
use std::collections::BTreeSet;

/// What `schema` refers to, or itself.
pub fn resolved<'s>(root: &'s Value, mut schema: &'s Value) -> &'s Value {
    while let Some(name) = definition(schema) {
        schema = &root["$defs"][name];
    }
    schema
}

/// The name of the definition that `schema` refers to.
pub fn definition(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

/// `schema` and what it may be instead, each resolved.
pub fn forms<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let schema = resolved(root, schema);
    match schema.get("oneOf").and_then(Value::as_array) {
        Some(several) => several.iter().flat_map(|one| forms(root, one)).collect(),
        None => vec![schema],
    }
}

/// A step to a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Member(String),
    /// A member of any name.
    Any,
    Element,
}

/// A place as the documentation writes it: `agents[].match.hosts[]`.
pub fn place(steps: &[Step]) -> String {
    let mut place = String::new();
    for step in steps {
        let dot = if place.is_empty() { "" } else { "." };
        match step {
            Step::Member(name) => place.push_str(&format!("{dot}{name}")),
            Step::Any => place.push_str(&format!("{dot}*")),
            Step::Element => place.push_str("[]"),
        }
    }
    place
}

/// What is below one form of a schema.
pub fn parts(form: &Value) -> Vec<(Step, &Value)> {
    let members = form["properties"].as_object().into_iter().flatten();
    let mut parts: Vec<_> = members.map(|(name, schema)| (Step::Member(name.clone()), schema)).collect();
    if form["additionalProperties"].is_object() {
        parts.push((Step::Any, &form["additionalProperties"]));
    }
    if form["items"].is_object() {
        parts.push((Step::Element, &form["items"]));
    }
    parts
}

/// Calls `each` with every place and the schema there. What a definition holds is visited where it is met first.
pub fn every<'s>(root: &'s Value, each: &mut impl FnMut(&[Step], &'s Value)) {
    let (mut waiting, mut seen) = (vec![(Vec::new(), root)], BTreeSet::new());
    while !waiting.is_empty() {
        for (steps, schema) in std::mem::take(&mut waiting) {
            each(&steps, schema);
            if definition(schema).is_some_and(|name| !seen.insert(name)) {
                continue;
            }
            let below = forms(root, schema).into_iter().flat_map(parts);
            waiting.extend(below.map(|(step, part)| ([steps.clone(), vec![step]].concat(), part)));
        }
    }
}

/// Calls `each` with every part of `value`: its pointer, its place, the schema there.
pub fn along<'s>(root: &'s Value, value: &Value, each: &mut impl FnMut(&str, &[Step], &'s Value, &Value)) {
    step_along(root, root, value, &mut (String::new(), Vec::new()), each);
}

fn step_along<'s>(
    root: &'s Value,
    schema: &'s Value,
    value: &Value,
    at: &mut (String, Vec<Step>),
    each: &mut impl FnMut(&str, &[Step], &'s Value, &Value),
) {
    each(&at.0, &at.1, schema, value);
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, part)| (name.clone(), part)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, part)| (index.to_string(), part)).collect(),
        _ => return,
    };
    for (name, part) in parts {
        let below = forms(root, schema).into_iter().find_map(|form| match value {
            Value::Array(_) => form["items"].is_object().then(|| (Step::Element, &form["items"])),
            _ if form["properties"][&name].is_object() => Some((Step::Member(name.clone()), &form["properties"][&name])),
            _ => form["additionalProperties"].is_object().then(|| (Step::Any, &form["additionalProperties"])),
        });
        let Some((step, below)) = below else { continue };
        let length = at.0.len();
        at.0.push_str(&format!("/{}", name.replace('~', "~0").replace('/', "~1")));
        at.1.push(step);
        step_along(root, below, part, at, each);
        at.0.truncate(length);
        at.1.pop();
    }
}

//! Makes of the schema that the types give the one that is published: one object for what chooses one of several, no `null`, plain texts.

use crate::config::form::{DEFAULT, ORDER};
use serde_json::{Map, Value, json};

/// Simplifies a schema with all that is in it.
pub(super) fn simplify(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    each(members, simplify);
    without_null(members);
    choice(members);
    number(members);
    if let Some(Value::String(text)) = members.get_mut("description") {
        *text = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n\n");
    }
}

/// Puts what only the documentation says otherwise into the descriptions, and takes the links out of them.
pub(super) fn publish(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    each(members, publish);
    let default = members.remove(DEFAULT);
    let Some(Value::String(text)) = members.get_mut("description") else { return };
    if let Some(Value::String(default)) = default {
        let required = default.strip_prefix("required").map(|rest| format!(" Required{rest}."));
        text.push_str(&required.unwrap_or_else(|| format!(" Default: {default}.")));
    }
    *text = unlinked(text);
    // What editors show that know Markdown; the others show the text as it is.
    if text.contains('`') {
        let markdown = text.clone();
        members.insert("markdownDescription".to_owned(), Value::String(markdown));
    }
}

/// Takes the last marks away.
pub(super) fn drop_order(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    members.remove(ORDER);
    each(members, drop_order);
}

/// Does `what` to each schema in this one.
fn each(members: &mut Map<String, Value>, what: fn(&mut Value)) {
    for (name, value) in members {
        match (name.as_str(), value) {
            ("properties" | "$defs", Value::Object(schemas)) => schemas.values_mut().for_each(what),
            ("oneOf" | "anyOf" | "allOf", Value::Array(schemas)) => schemas.iter_mut().for_each(what),
            ("items" | "additionalProperties", schema) => what(schema),
            _ => {}
        }
    }
}

/// The reader takes `null` for a member that is left out. In YAML that is most often a line that somebody forgot to write, so that the
/// schema does not take it.
fn without_null(members: &mut Map<String, Value>) {
    if members.get("default") == Some(&Value::Null) {
        members.remove("default");
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(several)) = members.get_mut("anyOf") {
        several.retain(|schema| schema.get("type") != Some(&json!("null")));
        if let [Value::Object(only)] = several.as_slice() {
            let only = only.clone();
            members.remove("anyOf");
            fill(members, only);
        }
    }
}

/// An object of which exactly one member is there, in place of an object for each: errors then name the member that is wrong.
fn choice(members: &mut Map<String, Value>) {
    let Some(Value::Array(several)) = members.remove("oneOf") else { return };
    let (objects, mut others): (Vec<Value>, Vec<Value>) = several.into_iter().partition(|schema| variant(schema).is_some());
    let mut properties = Map::new();
    let mut order = Vec::new();
    for (name, schema) in objects.iter().filter_map(variant) {
        order.push(json!(name));
        properties.insert(name, schema);
    }
    let one = json!({
        "type": "object", "properties": properties, "additionalProperties": false, "minProperties": 1, "maxProperties": 1, ORDER: order
    });
    match one {
        Value::Object(one) if others.is_empty() => fill(members, one),
        one => {
            if !order.is_empty() {
                others.push(one);
            }
            members.insert("oneOf".to_owned(), Value::Array(others));
        }
    }
}

/// Adds to `members` what they lack of `more`.
fn fill(members: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        members.entry(name).or_insert(value);
    }
}

/// The name of a variant with content, and the schema of that.
fn variant(schema: &Value) -> Option<(String, Value)> {
    let [name] = schema.get("required")?.as_array()?.as_slice() else { return None };
    let properties = schema.get("properties")?.as_object().filter(|properties| properties.len() == 1)?;
    let name = name.as_str()?.to_owned();
    let mut content = properties.get(&name)?.clone();
    if let (Some(description), Some(content)) = (schema.get("description"), content.as_object_mut()) {
        content.insert("description".to_owned(), description.clone());
    }
    Some((name, content))
}

/// The size of a number is said by its bounds. On wasm32 a `usize` has 32 bits.
fn number(members: &mut Map<String, Value>) {
    if let Some(Value::String(format)) = members.get("format")
        && format.starts_with("uint")
    {
        if format == "uint" || format == "uint32" {
            members.entry("maximum").or_insert(json!(u32::MAX));
        }
        members.remove("format");
    }
}

/// A text of Markdown without its links.
fn unlinked(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        plain.push_str(before);
        let whole = link.split_once("](").and_then(|(words, rest)| Some((words, rest.split_once(')')?)));
        match whole.filter(|(words, (target, _))| !words.contains('[') && target.contains(".md")) {
            Some((words, (_, behind))) => {
                plain.push_str(words);
                rest = behind;
            }
            None => {
                plain.push('[');
                rest = link;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::unlinked;

    #[test]
    fn links_leave_their_words() {
        assert_eq!(unlinked("see [requests that wait](credentials.md#a) and [b](c.md)."), "see requests that wait and b.");
        assert_eq!(unlinked("`[\"a\"]` and [what `pass` does](a.md#b)"), "`[\"a\"]` and what `pass` does");
        for plain in ["`[\"a\"]` (as it is)", "a [b] (c)", "`agents[]`, [unfinished](x.md", ""] {
            assert_eq!(unlinked(plain), plain);
        }
    }
}

//! What a card's signature may stand for (A2A 1.0 section 8.4.1): the card as it is served, or its message of the package in one of
//! two forms. A member that a form leaves out was not signed, so whoever goes by a signature goes by the form that it is good for.

use super::messages::{self, Kind, Label, Message};
use crate::protocol::Version;
use serde_json::{Map, Value};

/// The forms of `card`, the most complete first, all without `signatures`:
///
/// 1. as it is served;
/// 2. the fields of the package alone, empty ones only if they are required or have presence: the specification's;
/// 3. of those, nothing that is empty or holds only what is empty: what the SDK for Python signs.
#[must_use]
pub fn forms(card: &Map<String, Value>) -> [Map<String, Value>; 3] {
    let served: Map<String, Value> =
        card.iter().filter(|(name, _)| *name != "signatures").map(|(name, value)| (name.clone(), value.clone())).collect();
    let message = reduced(messages::card(Version::V1_0), &served);
    let without = match filled(Value::Object(message.clone())) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    [served, message, without]
}

fn reduced(message: &Message, members: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = Map::new();
    for field in message.fields {
        let Some(value) = members.get(field.name).filter(|value| !value.is_null()) else { continue };
        let value = inner(field.kind, field.label, value);
        let has_presence = field.label == Label::Optional && !matches!(field.kind, Kind::Map(_));
        if field.required || has_presence || !is_default(&value) {
            fields.insert(field.name.to_owned(), value);
        }
    }
    fields
}

/// What is not of the field's type stays as it is: nobody signed that.
fn inner(kind: Kind, label: Label, value: &Value) -> Value {
    match (kind, label, value) {
        (kind, Label::Repeated, Value::Array(list)) => Value::Array(list.iter().map(|value| inner(kind, Label::Plain, value)).collect()),
        (Kind::Message(message), _, Value::Object(members)) => Value::Object(reduced(message, members)),
        (Kind::Map(kind), _, Value::Object(members)) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), inner(*kind, Label::Plain, value))).collect())
        }
        (_, _, other) => other.clone(),
    }
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// `value` without what is empty at any depth; `None` if nothing is left.
fn filled(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then_some(Value::String(text)),
        Value::Array(list) => {
            let list: Vec<Value> = list.into_iter().filter_map(filled).collect();
            (!list.is_empty()).then_some(Value::Array(list))
        }
        Value::Object(members) => {
            let members: Map<String, Value> = members.into_iter().filter_map(|(name, value)| Some((name, filled(value)?))).collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        Value::Bool(_) | Value::Number(_) => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::forms;
    use serde_json::{Value, json};

    fn of(card: &Value) -> [Value; 3] {
        forms(card.as_object().unwrap()).map(Value::Object)
    }

    #[test]
    fn a_plain_card_has_one_form() {
        let card = json!({"name": "a", "capabilities": {"streaming": false}, "skills": [{"id": "s", "tags": ["t"]}],
            "securityRequirements": [{"schemes": {"o": {"list": ["read"]}}}]});
        let mut signed = card.clone();
        signed["signatures"] = json!([{"protected": "x"}]);
        assert_eq!(of(&signed), [card.clone(), card.clone(), card]);
    }

    #[test]
    fn what_is_empty_is_signed_if_it_is_required() {
        let card = json!({
            "name": "", "description": "d", "url": "https://old.example", "preferredTransport": "JSONRPC", "documentationUrl": "",
            "provider": {"url": "", "organization": "o", "extra": 1}, "iconUrl": null, "defaultInputModes": [], "securitySchemes": {},
            "capabilities": {"streaming": false, "extensions": [{"uri": "", "required": false, "params": {"a": "", "b": [null, 0]}}]},
            "skills": [{"id": "s", "tags": [], "examples": [], "securityRequirements": [{"schemes": {"key": {"list": []}}}]}],
            "securityRequirements": [{"schemes": {"key": {"list": []}}}, {"schemes": {}}],
        });
        let [served, message, filled] = of(&card);
        assert_eq!(served, card);
        assert_eq!(
            message,
            json!({
                "name": "", "description": "d", "documentationUrl": "", "provider": {"url": "", "organization": "o"},
                "defaultInputModes": [],
                "capabilities": {"streaming": false, "extensions": [{"params": {"a": "", "b": [null, 0]}}]},
                "skills": [{"id": "s", "tags": [], "securityRequirements": [{"schemes": {"key": {}}}]}],
                "securityRequirements": [{"schemes": {"key": {}}}, {}],
            })
        );
        assert_eq!(
            filled,
            json!({"description": "d", "provider": {"organization": "o"}, "skills": [{"id": "s"}],
                "capabilities": {"streaming": false, "extensions": [{"params": {"b": [0]}}]}})
        );
    }

    #[test]
    fn what_is_of_another_type_stays() {
        let odd = json!({"name": 7, "skills": {"id": ""}, "capabilities": [true], "securitySchemes": "x", "provider": "p"});
        assert_eq!(
            of(&odd),
            [odd.clone(), odd.clone(), json!({"name": 7, "capabilities": [true], "securitySchemes": "x", "provider": "p"})]
        );
        assert_eq!(of(&json!({})), [json!({}), json!({}), json!({})]);
    }
}

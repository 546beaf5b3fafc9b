//! Cards as protocol buffers, which is what gRPC calls for the extended card answer: read into the JSON that ProtoJSON
//! makes of them, and written from a projected card. Fields that the package does not have are dropped; a field of the
//! wrong type, a repeated one, and a second member of a oneof are refused.

use super::messages::{self, Field, Kind, Label, Message};
use super::model::{Card, CardError, MAX_BYTES};
use crate::protocol::Version;
use crate::wire::protobuf::{Fault, Raw, Writer, fields};
use serde_json::{Map, Number, Value};

/// Values inside each other in a `google.protobuf.Struct`.
const DEPTH: usize = 32;

/// Reads the card in `message`, which is one of the package of `version`.
///
/// # Errors
/// As [`CardError`] says.
pub fn read(version: Version, message: &[u8]) -> Result<Card, CardError> {
    if message.len() > MAX_BYTES {
        return Err(CardError::TooLong);
    }
    let members = decode(messages::card(version), message).map_err(CardError::NotProtobuf)?;
    Card::from_value(Value::Object(members))
}

/// Writes `card`, which was projected to `version` in protocol buffers' dialect, as a message of its package.
///
/// # Errors
/// If a member is not of the type that the package gives it.
pub fn write(version: Version, card: &Value) -> Result<Vec<u8>, CardError> {
    match card {
        Value::Object(members) => encode(messages::card(version), members),
        _ => Err(CardError::wrong("the card", "must be an object")),
    }
}

fn decode(message: &Message, bytes: &[u8]) -> Result<Map<String, Value>, Fault> {
    let mut members = Map::new();
    for field in fields(bytes) {
        let (number, raw) = field?;
        let Some(field) = message.fields.iter().find(|field| field.number == number) else { continue };
        match (field.kind, field.label) {
            (Kind::Map(kind), _) => {
                let (key, value) = entry(kind, raw)?;
                let Value::Object(map) = members.entry(field.name).or_insert_with(|| Value::Object(Map::new())) else { continue };
                if map.insert(key, value).is_some() {
                    return Err(Fault::Repeated);
                }
            }
            (kind, Label::Repeated) => {
                let value = decode_value(kind, raw)?;
                if let Value::Array(list) = members.entry(field.name).or_insert_with(|| Value::Array(Vec::new())) {
                    list.push(value);
                }
            }
            (kind, Label::Plain | Label::Optional) => {
                if members.insert(field.name.to_owned(), decode_value(kind, raw)?).is_some() || (message.is_oneof && members.len() > 1) {
                    return Err(Fault::Repeated);
                }
            }
        }
    }
    Ok(members)
}

fn decode_value(kind: Kind, raw: Raw<'_>) -> Result<Value, Fault> {
    match (kind, raw) {
        (Kind::Text, Raw::Bytes(bytes)) => text(bytes).map(Value::String),
        (Kind::Bool, Raw::Varint(0)) => Ok(Value::Bool(false)),
        (Kind::Bool, Raw::Varint(1)) => Ok(Value::Bool(true)),
        (Kind::Bool, Raw::Varint(_)) => Err(Fault::Range),
        (Kind::Message(message), Raw::Bytes(bytes)) => decode(message, bytes).map(Value::Object),
        (Kind::Struct, Raw::Bytes(bytes)) => decode_struct(bytes, 0),
        _ => Err(Fault::WireType),
    }
}

fn text(bytes: &[u8]) -> Result<String, Fault> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Fault::NotUtf8)
}

/// Key and value of a map's entry. What is left out is empty.
fn pair(raw: Raw<'_>) -> Result<(String, Option<Raw<'_>>), Fault> {
    let Raw::Bytes(bytes) = raw else { return Err(Fault::WireType) };
    let (mut key, mut value) = (None, None);
    for field in fields(bytes) {
        let place = match field? {
            (1, Raw::Bytes(bytes)) => key.replace(text(bytes)?).is_some(),
            (1, _) => return Err(Fault::WireType),
            (2, raw) => value.replace(raw).is_some(),
            _ => false,
        };
        if place {
            return Err(Fault::Repeated);
        }
    }
    Ok((key.unwrap_or_default(), value))
}

fn entry(kind: &Kind, raw: Raw<'_>) -> Result<(String, Value), Fault> {
    let (key, value) = pair(raw)?;
    Ok((key, decode_value(*kind, value.unwrap_or(Raw::Bytes(&[])))?))
}

fn decode_struct(bytes: &[u8], depth: usize) -> Result<Value, Fault> {
    let mut map = Map::new();
    for field in fields(bytes) {
        if let (1, raw) = field? {
            let (key, value) = pair(raw)?;
            let Raw::Bytes(value) = value.unwrap_or(Raw::Bytes(&[])) else { return Err(Fault::WireType) };
            if map.insert(key, decode_json(value, depth.saturating_add(1))?).is_some() {
                return Err(Fault::Repeated);
            }
        }
    }
    Ok(Value::Object(map))
}

fn decode_list(bytes: &[u8], depth: usize) -> Result<Value, Fault> {
    let mut list = Vec::new();
    for field in fields(bytes) {
        match field? {
            (1, Raw::Bytes(bytes)) => list.push(decode_json(bytes, depth.saturating_add(1))?),
            (1, _) => return Err(Fault::WireType),
            _ => {}
        }
    }
    Ok(Value::Array(list))
}

/// A `google.protobuf.Value`; one of nothing is null.
fn decode_json(bytes: &[u8], depth: usize) -> Result<Value, Fault> {
    if depth > DEPTH {
        return Err(Fault::TooDeep);
    }
    let mut found = None;
    for field in fields(bytes) {
        let value = match field? {
            (1, Raw::Varint(0)) => Value::Null,
            (2, Raw::Fixed64(bytes)) => Value::Number(Number::from_f64(f64::from_le_bytes(bytes)).ok_or(Fault::Range)?),
            (3, Raw::Bytes(bytes)) => Value::String(text(bytes)?),
            (4, Raw::Varint(flag @ (0 | 1))) => Value::Bool(flag == 1),
            (5, Raw::Bytes(bytes)) => decode_struct(bytes, depth)?,
            (6, Raw::Bytes(bytes)) => decode_list(bytes, depth)?,
            (1 | 4, Raw::Varint(_)) => return Err(Fault::Range),
            (1..=6, _) => return Err(Fault::WireType),
            _ => continue,
        };
        if found.replace(value).is_some() {
            return Err(Fault::Repeated);
        }
    }
    Ok(found.unwrap_or(Value::Null))
}

fn encode(message: &Message, members: &Map<String, Value>) -> Result<Vec<u8>, CardError> {
    let mut writer = Writer::default();
    for field in message.fields {
        match (members.get(field.name), field.kind, field.label) {
            (None | Some(Value::Null), ..) => {}
            (Some(Value::Object(map)), Kind::Map(kind), _) => {
                for (key, value) in map {
                    let mut entry = Writer::default();
                    entry.bytes(1, key.as_bytes());
                    let row = Field { number: 2, name: field.name, kind: *kind, label: Label::Optional, required: false };
                    put(&mut entry, &row, value)?;
                    writer.bytes(field.number, &entry.end());
                }
            }
            (Some(Value::Array(list)), _, Label::Repeated) => list.iter().try_for_each(|value| put(&mut writer, field, value))?,
            (Some(value), _, Label::Plain | Label::Optional) => put(&mut writer, field, value)?,
            (Some(_), _, Label::Repeated) => return Err(CardError::wrong(field.name, "must be a list")),
        }
    }
    Ok(writer.end())
}

fn put(writer: &mut Writer, field: &Field, value: &Value) -> Result<(), CardError> {
    let is_default = matches!(value, Value::Bool(false)) || value.as_str().is_some_and(str::is_empty);
    match (field.kind, value) {
        _ if is_default && field.label == Label::Plain => {}
        (Kind::Text, Value::String(text)) => writer.bytes(field.number, text.as_bytes()),
        (Kind::Bool, Value::Bool(flag)) => writer.varint(field.number, (*flag).into()),
        (Kind::Message(message), Value::Object(members)) => writer.bytes(field.number, &encode(message, members)?),
        (Kind::Struct, Value::Object(map)) => writer.bytes(field.number, &encode_struct(map)),
        _ => return Err(CardError::wrong(field.name, "must be what its protobuf field is")),
    }
    Ok(())
}

fn encode_struct(map: &Map<String, Value>) -> Vec<u8> {
    let mut writer = Writer::default();
    for (key, value) in map {
        let mut entry = Writer::default();
        entry.bytes(1, key.as_bytes());
        entry.bytes(2, &encode_json(value));
        writer.bytes(1, &entry.end());
    }
    writer.end()
}

/// A `google.protobuf.Value`. What is written was read or projected, so its depth has a bound.
fn encode_json(value: &Value) -> Vec<u8> {
    let mut writer = Writer::default();
    match value {
        Value::Null => writer.varint(1, 0),
        Value::Number(number) => writer.double(2, number.as_f64().unwrap_or(0.0)),
        Value::String(text) => writer.bytes(3, text.as_bytes()),
        Value::Bool(flag) => writer.varint(4, (*flag).into()),
        Value::Object(map) => writer.bytes(5, &encode_struct(map)),
        Value::Array(list) => {
            let mut values = Writer::default();
            list.iter().for_each(|value| values.bytes(1, &encode_json(value)));
            writer.bytes(6, &values.end());
        }
    }
    writer.end()
}

#[cfg(test)]
mod tests {
    use super::{CardError, Fault, Version, decode_json, encode_json, read, write};
    use serde_json::{Value, json};

    fn again(version: Version, card: &Value) -> Value {
        let bytes = write(version, card).unwrap();
        Value::Object(read(version, &bytes).unwrap().members().clone())
    }

    #[test]
    fn a_card_of_1_0_comes_back_as_it_was() {
        let card = json!({
            "name": "Expense", "documentationUrl": "", "capabilities": {"streaming": false, "extensions": [{"uri": "u", "params": {"a": 1.5}}]},
            "supportedInterfaces": [{"url": "https://a.example", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "t"}],
            "securitySchemes": {"corp": {"oauth2SecurityScheme": {"flows": {"deviceCode": {"deviceAuthorizationUrl": "d", "scopes": {"s": ""}}}}}},
            "securityRequirements": [{"schemes": {"corp": {"list": ["a", "b"]}, "mtls": {}}}], "skills": [{"id": "s", "tags": ["t"]}, {}]
        });
        assert_eq!(again(Version::V1_0, &card), card);
        // What has no presence is left out when it is empty, and what the package does not have is dropped.
        assert_eq!(again(Version::V1_0, &json!({"name": "", "url": "x", "capabilities": {}})), json!({"capabilities": {}}));
    }

    #[test]
    fn a_card_of_0_3_comes_back_less_what_its_package_does_not_have() {
        let flow = json!({"tokenUrl": "https://login.example/t", "scopes": {"s": "what"}});
        let scheme = |flows: Value| json!({"oauth2SecurityScheme": {"flows": flows}});
        let mut card = json!({
            "name": "Expense", "url": "https://a.example", "supportsAuthenticatedExtendedCard": true,
            "security": [{"schemes": {"corp": {"list": ["s"]}}}],
            "securitySchemes": {"corp": scheme(json!({"clientCredentials": flow})), "device": scheme(json!({}))},
            "skills": [{"id": "s", "security": [{"schemes": {"key": {}}}]}],
        });
        assert_eq!(again(Version::V0_3, &card), card);
        let mut known = card.clone();
        known["capabilities"] = json!({});
        card["securitySchemes"]["device"] = scheme(json!({"deviceCode": flow}));
        card["capabilities"] = json!({"extendedAgentCard": true});
        assert_eq!(again(Version::V0_3, &card), known);
    }

    #[test]
    fn values_of_every_kind_come_back() {
        for value in [json!(null), json!(true), json!(-2.5), json!("é"), json!([1.0, [], {}]), json!({"a": {"b": null}, "": "x"})] {
            assert_eq!(decode_json(&encode_json(&value), 0), Ok(value));
        }
        let mut deep = json!(null);
        for _ in 0..40 {
            deep = json!([deep]);
        }
        assert_eq!(decode_json(&encode_json(&deep), 0), Err(Fault::TooDeep));
        assert_eq!(decode_json(b"\x11\0\0\0\0\0\0\xf8\x7f", 0), Err(Fault::Range), "not a number");
    }

    #[test]
    fn what_is_no_card_of_the_package_is_refused() {
        for (bytes, fault) in [
            (&b"\x0a\x01a\x0a\x01b"[..], Fault::Repeated),
            (b"\x0a\x01\xff", Fault::NotUtf8),
            (b"\x08\x01", Fault::WireType),
            (b"\x0a\x05a", Fault::Length),
            (b"\x3a\x02\x08\x02", Fault::Range),
            (b"\x42\x06\x0a\0\x12\x02\x12\0\x42\x06\x0a\0\x12\x02\x12\0", Fault::Repeated),
            (b"\x42\x08\x0a\0\x12\x04\x12\0\x0a\0", Fault::Repeated),
            (b"<html>", Fault::Group),
        ] {
            assert_eq!(read(Version::V1_0, bytes), Err(CardError::NotProtobuf(fault)), "{bytes:?}");
        }
        assert_eq!(read(Version::V0_3, &vec![0; super::MAX_BYTES + 1]), Err(CardError::TooLong));
        assert!(write(Version::V1_0, &json!({"skills": {}})).is_err() && write(Version::V1_0, &json!({"name": 1})).is_err());
        // Fields of another package are unknown, not an error.
        assert_eq!(read(Version::V1_0, b"\x82\x01\x050.3.0\x0a\x01a").unwrap().members().len(), 1);
    }
}

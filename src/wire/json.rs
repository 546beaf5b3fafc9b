//! JSON objects whose member names are unique. Readers disagree on which of two equal names counts, so what
//! security depends on is refused when it repeats one.

use crate::wire::sorted::SortedMap;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;
use std::marker::PhantomData;

/// A JSON object of few members, by their names. Deserializing errs on a repeated name (after unescaping).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueMap<V, K: Ord = String>(pub SortedMap<K, V>);

impl<V, K: Ord> Default for UniqueMap<V, K> {
    fn default() -> Self {
        Self(SortedMap::new())
    }
}

impl<'de, V: Deserialize<'de>, K: Deserialize<'de> + Ord> Deserialize<'de> for UniqueMap<V, K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V, K>(PhantomData<(K, V)>);

        impl<'de, V: Deserialize<'de>, K: Deserialize<'de> + Ord> Visitor<'de> for Members<V, K> {
            type Value = UniqueMap<V, K>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut map = SortedMap::new();
                while let Some((name, value)) = members.next_entry::<K, V>()? {
                    if map.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member name is repeated"));
                    }
                }
                Ok(UniqueMap(map))
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// A JSON object of any members. Deserializing errs on a repeated name of its own (after unescaping). What a caller can send in
/// any number is read into one of these.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UniqueObject(pub Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = UniqueObject;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<UniqueObject, A::Error> {
                unique(members, |value: Value| value).map(UniqueObject)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The members of an object, none twice.
fn unique<'de, V: Deserialize<'de>, A: MapAccess<'de>>(mut members: A, plain: fn(V) -> Value) -> Result<Map<String, Value>, A::Error> {
    let mut map = Map::new();
    while let Some((name, value)) = members.next_entry::<String, V>()? {
        if map.insert(name, plain(value)).is_some() {
            return Err(A::Error::custom("a member name is repeated"));
        }
    }
    Ok(map)
}

/// A JSON value in which no object, at any depth, repeats a name. Deserializing errs on one that does.
#[derive(Clone, Debug, PartialEq)]
pub struct UniqueValue(pub Value);

impl<'de> Deserialize<'de> for UniqueValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON value")
            }

            fn visit_unit<E: Error>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Number(value.into()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Number(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
                Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
                Ok(Value::String(value.to_owned()))
            }

            fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
                Ok(Value::String(value))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(UniqueValue(element)) = elements.next_element()? {
                    list.push(element);
                }
                Ok(Value::Array(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Value, A::Error> {
                unique(members, |UniqueValue(value)| value).map(Value::Object)
            }
        }

        deserializer.deserialize_any(Any).map(UniqueValue)
    }
}

/// JSON `text` in visible ASCII: everything else in it stands inside of strings and is escaped there (RFC 8259 section 7).
/// No reader of a log then sees a line break, a change of writing direction or half a character.
#[must_use]
pub fn ascii(text: String) -> String {
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return text;
    }
    let mut plain = String::with_capacity(text.len().saturating_add(16));
    for letter in text.chars() {
        if matches!(letter, ' '..='~') {
            plain.push(letter);
        } else {
            plain.extend(letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{UniqueMap, UniqueObject, UniqueValue, ascii};

    #[test]
    fn json_in_ascii_means_the_same() {
        for text in ["plain", "\n\u{7f}\u{85}", "Zo\u{eb} \u{2028}\u{202e}", "\u{1f600}\"\\"] {
            let line = ascii(serde_json::to_string(text).unwrap());
            assert!(line.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{line}");
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
        }
    }

    #[test]
    fn a_value_repeats_no_name_at_any_depth() {
        let parse = |text: &str| serde_json::from_str::<UniqueValue>(text).map(|value| value.0);
        let text = r#"{"a":[1,-2,2.5,"x\u0041",true,null,{"b":{}}],"b":[]}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
        for twice in [r#"{"a":1,"a":1}"#, r#"[{"x":{"b":1,"\u0062":2}}]"#, r#"{"a":"\ud800"}"#, "{", "\u{feff}{}"] {
            assert!(parse(twice).is_err(), "{twice}");
        }
        assert!(parse(&"[".repeat(5000)).is_err(), "depth is bounded");
    }

    #[test]
    fn a_repeated_name_is_refused_even_when_escaped() {
        let parse = |text: &str| serde_json::from_str::<UniqueMap<u8>>(text).map(|map| map.0.len());
        assert_eq!(parse(r#"{"a":1,"b":2}"#).unwrap(), 2);
        assert!(parse(r#"{"a":1,"a":2}"#).is_err());
        assert!(parse(r#"{"a":1,"\u0061":2}"#).is_err());
        assert!(parse("[1]").is_err());
        let parse = |text: &str| serde_json::from_str::<UniqueObject>(text).map(|map| map.0.len());
        assert_eq!(parse(r#"{"a":{"c":1,"c":2},"b":2}"#).unwrap(), 2);
        for text in [r#"{"a":1,"\u0061":2}"#, "[1]", "null"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! JSON objects whose member names are unique. Readers disagree on which of two equal names counts, so what
//! security depends on is refused when it repeats one.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// A JSON object, by member name. Deserializing errs on a repeated name (after unescaping).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueMap<V, K: Ord = String>(pub BTreeMap<K, V>);

impl<V, K: Ord> Default for UniqueMap<V, K> {
    fn default() -> Self {
        Self(BTreeMap::new())
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
                let mut map = BTreeMap::new();
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

#[cfg(test)]
mod tests {
    use super::UniqueMap;

    #[test]
    fn a_repeated_name_is_refused_even_when_escaped() {
        let parse = |text: &str| serde_json::from_str::<UniqueMap<u8>>(text).map(|map| map.0.len());
        assert_eq!(parse(r#"{"a":1,"b":2}"#).unwrap(), 2);
        assert!(parse(r#"{"a":1,"a":2}"#).is_err());
        assert!(parse(r#"{"a":1,"\u0061":2}"#).is_err());
        assert!(parse("[1]").is_err());
    }
}

//! What stands in a configuration in a form of its own, for the schema: durations, names of versions, objects by header. The types that
//! read the configuration name these; what is made of them all is in `schema`.

use crate::protocol::Version;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use serde_json::json;
use std::borrow::Cow;
use std::marker::PhantomData;

/// Mark of an object: its members, in the order of the source.
pub const ORDER: &str = "x-order";
/// Mark of a member: in words, what it is when it is left out.
pub const DEFAULT: &str = "x-default";

/// A name that HTTP/1.1 lets a header have, in lower case.
const HEADER: &str = "^[!#$%&'*+.^_`|~0-9a-z-]+$";
/// The same in either case.
const ANY_HEADER: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
/// `scope-token` of RFC 6749 section 3.3.
pub const SCOPE: &str = r"^[!#-\[\]-~]+$";

/// `impl JsonSchema`: a type with its name (`inline` in place of one: it has none), and its schema.
macro_rules! form {
    ($type:ty, inline, |$generator:ident| $schema:expr) => {
        form!($type, true, stringify!($type), |$generator| $schema);
    };
    ($type:ty, $name:literal, |$generator:ident| $schema:expr) => {
        form!($type, false, $name, |$generator| $schema);
    };
    ($type:ty, $inline:literal, $name:expr, |$generator:ident| $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn inline_schema() -> bool {
                $inline
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

pub(super) use form;

/// A duration.
pub struct Span;
form!(Span, inline, |_generator| json_schema!({"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?s$", "examples": ["5s", "0.25s"]}));

/// The name of a version.
pub struct VersionName;
form!(VersionName, inline, |_generator| json_schema!({"enum": [Version::V0_3.as_str(), Version::V1_0.as_str()]}));

/// The name of a binding.
pub struct BindingName;
form!(BindingName, "Binding", |_generator| json_schema!({
    "description": "A binding of A2A.",
    "oneOf": [
        {"const": "jsonrpc", "description": "JSON-RPC 2.0 by POST."},
        {"const": "http_json", "description": "HTTP+JSON: a route for each operation."},
        {"const": "grpc", "description": "gRPC, at paths that the protocol fixes."}
    ]
}));

/// An object with a member for each version.
pub struct ByVersion<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for ByVersion<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("{}ByVersion", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let of_one = generator.subschema_for::<T>();
        json_schema!({"type": "object", "properties": {"0.3": of_one, "1.0": of_one}, "additionalProperties": false})
    }
}

/// A JWK Set.
pub struct JwkSet;
form!(
    JwkSet,
    inline,
    |_generator| json_schema!({"type": "object", "properties": {"keys": {"type": "array", "items": {"type": "object"}}}, "required": ["keys"]})
);

/// An agent card of either version.
pub struct AgentCard;
form!(AgentCard, inline, |_generator| json_schema!({"type": "object"}));

/// What callers must bring, listed.
pub struct Requirements;
form!(Requirements, inline, |_generator| json_schema!({
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "description": "Schemes that all must hold, by name, each with the scopes that are needed.",
        "minProperties": 1,
        "additionalProperties": {"type": "array", "items": {"type": "string", "pattern": SCOPE}}
    }
}));

/// `forward.headers`: an object with a member for each header, and perhaps a preset.
pub struct ByHeader<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for ByHeader<T> {
    fn schema_name() -> Cow<'static, str> {
        "ByHeader".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let of_one = generator.subschema_for::<T>();
        json_schema!({
            "type": "object",
            "properties": {"preset": {"const": "0.1", "description": "The headers of release 0.1: `x-attache-` and the member, as text."}},
            "propertyNames": {"pattern": HEADER},
            "additionalProperties": of_one
        })
    }
}

/// `headers` of the request for a secret.
pub struct ByAnyHeader<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for ByAnyHeader<T> {
    fn schema_name() -> Cow<'static, str> {
        "ByAnyHeader".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let of_one = generator.subschema_for::<T>();
        json_schema!({"type": "object", "propertyNames": {"pattern": ANY_HEADER}, "additionalProperties": of_one})
    }
}

/// Notes the members of `T` in the order of its source, which is that of its documentation.
pub fn members<T: DeserializeOwned>(schema: &mut Schema) {
    let mut names = Vec::new();
    // It errs as soon as it knows them.
    let _ = T::deserialize(Names(&mut names));
    schema.insert(ORDER.to_owned(), json!(names));
}

/// What of a whole configuration several members say together.
pub fn together(schema: &mut Schema) {
    schema.insert("anyOf".to_owned(), json!(["agents", "connections", "webhooks"].map(|member| json!({"required": [member]}))));
    let in_cluster = json!({"properties": {"placement": {"const": "cluster"}}, "required": ["placement"]});
    let with_pin = json!({"properties": {"connections": {"items": {"required": ["pin"]}}}});
    let with_inline = json!({"properties": {"allow_inline_secrets": {"const": true}}, "required": ["allow_inline_secrets"]});
    let without_inline = json!({"properties": {"secrets": {"additionalProperties": {"properties": {"inline": false}}}}});
    let rules = json!([{"if": in_cluster, "else": with_pin}, {"if": with_inline, "else": without_inline}]);
    schema.insert("allOf".to_owned(), rules);
}

/// Asks a type for its members.
struct Names<'n>(&'n mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only the names of members are asked for"))
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, names: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.0.extend(names);
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

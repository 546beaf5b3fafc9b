//! Schemas of what is read by a reader of its own: texts with a pattern, one thing or a list of it, names by version.

use super::ORDER;
use crate::config::Offer;
use crate::config::access::{Alternatives, Operations, Require};
use crate::config::audit::TraceClient;
use crate::config::claims::{ClaimPath, Field, Marker, Need, Valued};
use crate::config::document_headers::DocumentHeader;
use crate::config::forward::{Given, Long, Member};
use crate::config::secret::{Secret, SecretDocument};
use crate::config::security::Demanded;
use crate::config::versions::Versions;
use crate::protocol::{Operation, Version};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use std::borrow::Cow;
use std::marker::PhantomData;

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

/// A duration.
pub struct Span;
form!(Span, inline, |_generator| json_schema!({"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?s$", "examples": ["5s", "0.25s"]}));

/// The name of a version.
pub struct VersionName;
form!(VersionName, inline, |_generator| json_schema!({"enum": [Version::V0_3.as_str(), Version::V1_0.as_str()]}));

/// The name of a binding.
pub struct BindingName;
form!(BindingName, "Binding", |_generator| json_schema!({"enum": ["jsonrpc", "http_json", "grpc"]}));

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

form!(Versions, inline, |generator| {
    let mut versions = ByVersion::<Offer>::json_schema(generator);
    versions.insert("minProperties".to_owned(), json!(1));
    json_schema!({"oneOf": [versions, {"const": "from_card", "description": "What the agent's own card offers."}]})
});

/// A JWK Set.
pub struct JwkSet;
form!(JwkSet, inline, |_generator| json_schema!({"type": "object"}));

/// An agent card of either version.
pub struct AgentCard;
form!(AgentCard, inline, |_generator| json_schema!({"type": "object"}));

form!(Operations, "Operations", |_generator| {
    let classes = [
        ("any", "Every operation."),
        ("read", "GetTask, ListTasks, SubscribeToTask, GetExtendedAgentCard."),
        ("execute", "SendMessage, SendStreamingMessage, CancelTask."),
        ("manage", "The four operations on push-notification configurations."),
    ];
    let classes = classes.map(|(name, meaning)| json!({"const": name, "description": meaning}));
    let each = json!({"enum": Operation::ALL.map(Operation::name)});
    json_schema!({"oneOf": classes.into_iter().chain([each]).collect::<Vec<_>>()})
});

form!(Alternatives, inline, |generator| {
    let one = generator.subschema_for::<Require>();
    json_schema!({"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]})
});

form!(Demanded, inline, |_generator| json_schema!({"oneOf": [
    {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "description": "Schemes that all must hold, by name, each with the scopes that are needed.",
            "minProperties": 1,
            "additionalProperties": {"type": "array", "items": {"type": "string", "pattern": SCOPE}}
        }
    },
    {"const": "from_card", "description": "What the agent's own card declares."}
]}));

form!(ClaimPath, "ClaimPath", |_generator| json_schema!({
    "description": "The name of a claim, taken literally, or a list of names from the outside in.",
    "oneOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 8}
    ]
}));

/// A claim with a value or a pattern.
fn valued(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Valued>()
}

form!(Marker, "Marker", |generator| {
    let valued = valued(generator);
    json_schema!({
        "description": "A claim that is there, or one with a value.",
        "oneOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": 8},
            valued
        ]
    })
});

form!(Need, "Need", |generator| {
    let (field, valued) = (generator.subschema_for::<Field>(), valued(generator));
    json_schema!({"oneOf": [field, valued]})
});

form!(TraceClient, "TraceClient", |_generator| {
    let name = json!({"type": "string", "minLength": 1});
    let whole = json!({
        "type": "object",
        "properties": {
            "client": {"type": "string", "minLength": 1, "description": "The name of the client."},
            "issuer": {"type": "string", "description": "The issuer of its tokens, by its name in `issuers`."},
            "scheme": {"type": "string", "description": "Or the scheme of its key, password, certificate or opaque token, by its name in `schemes`."},
            "tenant": {"type": "string", "description": "The tenant of the issuer, where that has several."}
        },
        "required": ["client"],
        "additionalProperties": false,
        ORDER: ["client", "issuer", "scheme", "tenant"]
    });
    json_schema!({"description": "A client: its name, where only one issuer or scheme can vouch for it, or with who does.",
        "oneOf": [name, whole]})
});

/// What a single header has.
fn single(generator: &mut SchemaGenerator) -> Schema {
    let long = generator.subschema_for::<Long>();
    let member = json!({"enum": Member::ALL.map(Member::name)});
    json_schema!({"oneOf": [member, long]})
}

/// `forward.headers`.
pub struct HeaderNames;
form!(HeaderNames, inline, |generator| {
    let single = single(generator);
    json_schema!({
        "type": "object",
        "properties": {"preset": {"const": "0.1", "description": "The headers of release 0.1: `x-attache-` and the member, as text."}},
        "propertyNames": {"pattern": HEADER},
        "additionalProperties": single
    })
});

form!(Given, inline, |generator| single(generator));

/// `headers` of the request for a secret.
pub struct RequestHeaders;
form!(RequestHeaders, inline, |generator| {
    let header = generator.subschema_for::<DocumentHeader>();
    json_schema!({"type": "object", "propertyNames": {"pattern": ANY_HEADER}, "additionalProperties": header})
});

form!(DocumentHeader, "RequestHeader", |_generator| json_schema!({"oneOf": [
    {"type": "string", "pattern": "^[ -~]+$", "description": "The value."},
    {
        "type": "object",
        "properties": {"secret": {"type": "string", "description": "Whose value it is, by the name in `secrets`. That comes from `env`."}},
        "required": ["secret"],
        "additionalProperties": false
    }
]}));

form!(Secret, "Secret", |generator| {
    let document = generator.subschema_for::<SecretDocument>();
    json_schema!({
        "type": "object",
        "description": "Where a secret comes from.",
        "properties": {
            "env": {
                "type": "string", "minLength": 1, "pattern": "^[^=]+$",
                "description": "An environment variable of Envoy, which is also in `vm_config.environment_variables.host_env_keys`. It is read with the configuration."
            },
            "http": document,
            "inline": {"type": "string", "description": "The secret itself: for tests, with `allow_inline_secrets`. Envoy shows and logs configurations."}
        },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
        ORDER: ["env", "http", "inline"]
    })
});

//! Schemas of what is read by a reader of its own: texts with a pattern, one thing or a list of it, names by version.

use crate::config::Offer;
use crate::config::access::{Alternatives, Operations, Require};
use crate::config::audit::TraceClient;
use crate::config::claims::{ClaimPath, Field, Marker, Need, Valued};
use crate::config::document_headers::DocumentHeader;
use crate::config::form::{ByVersion, ORDER, Requirements, form};
use crate::config::forward::{Given, Long, Member};
use crate::config::secret::{Secret, SecretDocument};
use crate::config::security::Demanded;
use crate::config::versions::Versions;
use crate::protocol::Operation;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use std::borrow::Cow;

form!(Versions, inline, |generator| {
    let mut versions = ByVersion::<Offer>::json_schema(generator);
    versions.insert("minProperties".to_owned(), json!(1));
    json_schema!({"oneOf": [versions, {"const": "from_card", "description": "What the agent's own card offers."}]})
});

form!(Operations, "Operations", |_generator| {
    let classes = [
        ("any", "Every operation."),
        ("read", "GetTask, ListTasks, SubscribeToTask, GetExtendedAgentCard."),
        ("execute", "SendMessage, SendStreamingMessage, CancelTask."),
        ("manage", "The four operations on push-notification configurations."),
    ];
    let classes = classes.map(|(name, meaning)| json!({"const": name, "description": meaning}));
    let each = json!({"enum": Operation::ALL.map(Operation::name)});
    json_schema!({"description": "Operations of A2A: by class, or one by its name of 1.0.", "oneOf": classes.into_iter().chain([each]).collect::<Vec<_>>()})
});

form!(Alternatives, inline, |generator| {
    let one = generator.subschema_for::<Require>();
    json_schema!({"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]})
});

form!(Demanded, inline, |generator| {
    let listed = Requirements::json_schema(generator);
    json_schema!({"oneOf": [listed, {"const": "from_card", "description": "What the agent's own card declares."}]})
});

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
    json_schema!({"description": "What a token must say: something that is read from it, or a claim with its value.", "oneOf": [field, valued]})
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

form!(Given, inline, |generator| single(generator));

form!(
    DocumentHeader,
    "RequestHeader",
    |_generator| json_schema!({"description": "The value of a header, or the secret that it is.", "oneOf": [
        {"type": "string", "pattern": "^[ -~]+$", "description": "The value."},
        {
            "type": "object",
            "properties": {"secret": {"type": "string", "description": "Whose value it is, by the name in `secrets`. That comes from `env`."}},
            "required": ["secret"],
            "additionalProperties": false
        }
    ]})
);

form!(Secret, "Secret", |generator| {
    let mut http = generator.subschema_for::<SecretDocument>();
    http.insert(
        "description".to_owned(),
        json!("A document that is fetched through an Envoy cluster, and again, so that it can change while Envoy runs."),
    );
    json_schema!({
        "type": "object",
        "description": "Where a secret comes from.",
        "properties": {
            "env": {
                "type": "string", "minLength": 1, "pattern": "^[^=]+$",
                "description": "An environment variable of Envoy, which is also in `vm_config.environment_variables.host_env_keys`. It is read with the configuration."
            },
            "http": http,
            "inline": {"type": "string", "description": "The secret itself: for tests, with `allow_inline_secrets`. Envoy shows and logs configurations."}
        },
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
        ORDER: ["env", "http", "inline"]
    })
});

//! The configuration as JSON Schema (draft 2020-12), made of the types that read it: for editors, pipelines, and the tables of
//! `docs/configuration.md`. Native only: the filter itself has none of it.

mod finish;
mod forms;
mod print;

pub use super::form::{DEFAULT, ORDER};

use super::Config;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The name of the schema. The project has no home page, so that it is no address: nothing is fetched from it.
pub const ID: &str = "urn:attache:schema:configuration";

/// The schema with the marks that the tables of the documentation are made of ([`ORDER`], [`DEFAULT`]), and with Markdown in its
/// descriptions.
#[must_use]
pub fn marked() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>();
    schema.insert("$id".to_owned(), json!(ID));
    schema.insert("title".to_owned(), json!("Attaché"));
    let mut schema = schema.to_value();
    finish::simplify(&mut schema);
    schema
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The configuration itself.
    Configuration,
    /// Resources of Kubernetes that hold one: `pluginConfig` of Istio's `WasmPlugin`, `config` of Envoy Gateway's
    /// `EnvoyExtensionPolicy`. Nothing else in them is judged.
    Kubernetes,
}

impl Document {
    /// Its schema, as it is published.
    #[must_use]
    pub fn schema(self) -> Value {
        let mut schema = self.ordered();
        finish::drop_order(&mut schema);
        schema
    }

    /// Its schema as text, members in the order of the documentation.
    #[must_use]
    pub fn text(self) -> String {
        print::text(&self.ordered())
    }

    fn ordered(self) -> Value {
        let mut schema = marked();
        finish::publish(&mut schema);
        match self {
            Self::Configuration => schema,
            Self::Kubernetes => within_resources(schema),
        }
    }
}

fn within_resources(mut configuration: Value) -> Value {
    let mut definitions = Map::new();
    if let Value::Object(members) = &mut configuration {
        if let Some(Value::Object(own)) = members.remove("$defs") {
            definitions = own;
        }
        members.remove("$schema");
        members.remove("$id");
    }
    definitions.insert("Configuration".to_owned(), configuration);
    let configuration = json!({"$ref": "#/$defs/Configuration"});
    let of = |kind: &str, group: &str, spec: Value| {
        json!({
            "if": {"properties": {"kind": {"const": kind}, "apiVersion": {"pattern": format!("^{group}/")}}, "required": ["kind", "apiVersion"]},
            "then": {"properties": {"spec": {"properties": spec}}}
        })
    };
    let several = json!({"type": "array", "items": {"properties": {"config": configuration}}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("{ID}:kubernetes"),
        "title": "Attaché in Kubernetes",
        "description": "Resources of Istio and Envoy Gateway that hold a configuration of Attaché. Of each, that configuration alone is judged.",
        "type": "object",
        "allOf": [
            of("WasmPlugin", r"extensions\.istio\.io", json!({"pluginConfig": configuration})),
            of("EnvoyExtensionPolicy", r"gateway\.envoyproxy\.io", json!({"wasm": several})),
        ],
        "$defs": definitions
    })
}

//! `tasks`: whether a task belongs to the caller who made it.

use super::{ConfigError, Key, Secret, SkillFrom, TagKey, tag_key};
use crate::wire::sorted::SortedMap;
use serde::Deserialize;

/// Whose an agent's tasks are.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Tasks {
    /// Everybody's who knows their ids: what the agent does is all there is.
    #[default]
    Shared,
    /// Their maker's. To everybody else they do not exist.
    Owned(Owned),
}

/// How tasks are bound to their makers.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "OwnedTasks", transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Owned {
    /// 1 to 8. The first signs, all verify. At least 32 characters each, from `env`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 8)))]
    pub keys: Vec<TagKey>,
    /// How messages say whose they are, for [lists of everything](task-ownership.md#lists-of-everything).
    #[serde(default)]
    pub mark: Option<Mark>,
}

/// Where the mark of an owner stands.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "TaskMark", transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its key in the metadata of messages: visible ASCII without comma, quotation mark and backslash, at most 256 characters; not the
    /// one of `skill_from`.
    pub metadata_key: Key,
}

impl Tasks {
    /// How tasks are owned, if they are.
    #[must_use]
    pub const fn owned(&self) -> Option<&Owned> {
        match self {
            Self::Shared => None,
            Self::Owned(owned) => Some(owned),
        }
    }

    pub(super) fn check(&self, at: &str, secrets: &SortedMap<String, Secret>, skill: Option<&SkillFrom>) -> Result<(), ConfigError> {
        let Some(owned) = self.owned() else { return Ok(()) };
        if let Some(Mark { metadata_key: key }) = &owned.mark {
            let fail = |reason: &str| Err(ConfigError::new(format!("{at}.owned.mark.metadata_key"), reason.to_owned()));
            if key.as_str().contains(['"', '\\']) {
                return fail("must have no quotation mark and no backslash");
            }
            if matches!(skill, Some(SkillFrom::MetadataKey(own) | SkillFrom::Extension(own)) if own == key) {
                return fail("is where skill_from looks: clients may not send it");
            }
        }
        tag_key::check(&format!("{at}.owned.keys"), &owned.keys, secrets)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use serde_json::{Value, json};

    /// What becomes of a configuration whose agent has these `tasks`.
    fn with(tasks: &Value) -> String {
        offering(&["jsonrpc"], tasks)
    }

    /// The same for an agent with these bindings.
    fn offering(bindings: &[&str], tasks: &Value) -> String {
        let config = json!({
            "issuers": [{"name": "corp", "issuer": "https://auth.example", "audiences": ["a"],
                         "jwks": {"remote": {"uri": "https://auth.example/jwks", "cluster": "idp"}}}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
            "secrets": {"key": {"env": "KEY"}},
            "agents": [{"name": "expense", "match": {"hosts": ["a.example"], "path_prefix": "/agents/expense", "grpc": bindings.contains(&"grpc")},
                        "versions": {"1.0": {"bindings": bindings}}, "security": [{"oauth2": []}],
                        "skill_from": {"metadata_key": "skill"}, "tasks": tasks}],
        });
        Config::parse(config.to_string().as_bytes()).map_or_else(|error| error.to_string(), |_| "ok".to_owned())
    }

    #[test]
    fn tasks_are_owned_by_everyone_or_their_maker() {
        let keys = json!([{"id": "a1", "secret": "key"}, {"id": "B", "secret": "key"}]);
        let mark = json!({"metadata_key": "https://example.com/owner"});
        for tasks in [json!("shared"), json!({"owned": {"keys": keys}}), json!({"owned": {"keys": keys, "mark": mark}})] {
            assert_eq!(with(&tasks), "ok");
        }
    }

    #[test]
    fn messages_of_grpc_have_no_marks() {
        let keys = json!([{"id": "a", "secret": "key"}]);
        let mark = json!({"metadata_key": "owner"});
        assert_eq!(offering(&["grpc", "jsonrpc"], &json!({"owned": {"keys": keys}})), "ok");
        let error = offering(&["grpc", "jsonrpc"], &json!({"owned": {"keys": keys, "mark": mark}}));
        assert!(error.starts_with("agents[0].tasks.owned.mark: messages of gRPC are not marked"), "{error}");
    }

    #[test]
    fn every_refusal_names_its_place() {
        let keys = |list: Value| json!({"owned": {"keys": list}});
        let key = json!({"id": "a", "secret": "key"});
        let mark = |mark: Value| json!({"owned": {"keys": [key], "mark": mark}});
        for (tasks, expected) in [
            (json!("own"), ": unknown variant"),
            (json!({"owned": {}}), ".owned: missing field `keys`"),
            (keys(json!([])), ".owned.keys: give 1 to 8 keys"),
            (keys(json!([{"id": "a.b", "secret": "key"}])), ".owned.keys[0].id: "),
            (keys(json!([{"id": "a", "secret": "kee"}])), ".owned.keys[0].secret: "),
            (keys(json!([key, key])), ".owned.keys[1].id: \"a\" is used twice"),
            (mark(json!({})), ".owned.mark: missing field `metadata_key`"),
            (mark(json!("owner")), ".owned.mark: "),
            (mark(json!({"metadata_key": ""})), ".owned.mark.metadata_key: must be visible ASCII"),
            (mark(json!({"metadata_key": "x".repeat(257)})), ".owned.mark.metadata_key: must be visible ASCII"),
            (mark(json!({"metadata_key": "an owner"})), ".owned.mark.metadata_key: must be visible ASCII"),
            (mark(json!({"metadata_key": "a\"b"})), ".owned.mark.metadata_key: must have no quotation mark"),
            (mark(json!({"metadata_key": "a\\b"})), ".owned.mark.metadata_key: must have no quotation mark"),
            (mark(json!({"metadata_key": "skill"})), ".owned.mark.metadata_key: is where skill_from looks"),
            (mark(json!({"metadata_key": "owner", "key": "a"})), ".owned.mark.key: unknown field"),
        ] {
            let error = with(&tasks);
            assert!(error.starts_with(&format!("agents[0].tasks{expected}")), "{tasks}: {error}");
        }
    }
}

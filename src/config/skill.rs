//! `skill_from`: where a request says which skill it is for. A2A has no field for it, so this is a convention between an
//! agent and its callers, and the agent has to keep to it too.

use crate::wire::path;
use serde::Deserialize;

/// Where a request says which skill it is for. A2A has no field for it, so that agent and callers need a convention.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SkillFrom {
    /// The skill's id is in the path below the prefix, before the binding's own path: `/skills/{skill}` is for `<prefix>/skills/approve`
    /// and `<prefix>/skills/approve/message:send`. It is taken out before the agent sees the path. Calls of gRPC have no such path and
    /// name no skill.
    Path(SkillPath),
    /// The skill's id is the text under this key of the message's `metadata`, such as `skillId`.
    MetadataKey(Key),
    /// The skill's id is the text under this URI in the message's `metadata`, if the request activates the extension (`A2A-Extensions`,
    /// in 0.3 `X-A2A-Extensions`).
    Extension(Key),
}

/// A key of metadata: visible ASCII without commas, at most 256 characters.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "MetadataKey", extend("pattern" = "^[!-+.-~-]{1,256}$")))]
#[serde(try_from = "String")]
pub struct Key(String);

impl Key {
    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Key {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = !text.is_empty() && text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if plain { Ok(Self(text)) } else { Err("must be visible ASCII without commas, at most 256 characters") }
    }
}

/// A plain path below the prefix that ends with `/{skill}`, such as `/skills/{skill}`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^/[^/?{}:][^?{}:]*/\{skill\}$")))]
#[serde(try_from = "String")]
pub struct SkillPath(String);

impl SkillPath {
    /// The skill that `suffix`, what follows the agent's prefix, names, and what follows it. A skill in a path has letters,
    /// digits, `-`, `_` and `.` only, so that it is never the verb of a route.
    #[must_use]
    pub fn take<'a>(&self, suffix: &'a str) -> Option<(&'a str, &'a str)> {
        let rest = suffix.strip_prefix(self.0.as_str())?.strip_prefix('/')?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (skill, rest) = rest.split_at_checked(end)?;
        let plain = !skill.is_empty() && skill.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        plain.then_some((skill, rest))
    }
}

impl TryFrom<String> for SkillPath {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "must be a plain path below the prefix that ends with /{skill}, such as /skills/{skill}";
        let head = text.strip_suffix("/{skill}").ok_or(WRONG)?;
        let first = head.strip_prefix('/').and_then(|rest| rest.split('/').next()).filter(|first| !first.is_empty()).ok_or(WRONG)?;
        if path::is_ambiguous(head) || head.ends_with('/') || head.contains(['?', '{', '}', ':']) {
            return Err(WRONG);
        }
        if matches!(first, "v1" | "tasks" | "extendedAgentCard" | ".well-known" | "agent") {
            return Err("is the path of an operation");
        }
        Ok(Self(head.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{SkillFrom, SkillPath};
    use serde_json::{Value, json};

    fn path(text: &str) -> Result<SkillPath, &'static str> {
        SkillPath::try_from(text.to_owned())
    }

    #[test]
    fn a_skill_in_the_path_is_one_plain_segment() {
        let skills = path("/skills/{skill}").unwrap();
        assert_eq!(skills.take("/skills/approve"), Some(("approve", "")));
        assert_eq!(skills.take("/skills/approve/message:send"), Some(("approve", "/message:send")));
        for other in
            ["", "/", "/skills", "/skills/", "/skills//x", "/skill/a", "/skillsx/a", "/skills/message:send", "/skills/a%2Fb", "/Skills/a"]
        {
            assert_eq!(skills.take(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_that_is_none_is_refused() {
        for text in [
            "",
            "/{skill}",
            "skills/{skill}",
            "/a//{skill}",
            "/a/{skill}/b",
            "/{a}/{skill}",
            "/a?b/{skill}",
            "/v1/{skill}",
            "/tasks/{skill}",
        ] {
            assert!(path(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_plain() {
        let read = |value: Value| serde_json::from_value::<SkillFrom>(value);
        assert!(read(json!({"metadata_key": "skillId"})).is_ok() && read(json!({"extension": "https://example.com/skill/v1"})).is_ok());
        for wrong in
            [json!({"metadata_key": ""}), json!({"extension": "a b"}), json!({"extension": "a,b"}), json!({"header": "x"}), json!("path")]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}

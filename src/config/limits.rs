//! `limits`: what requests to an agent may hold and ask for, whoever sends them.

use super::ConfigError;
use serde::Deserialize;
use std::num::NonZeroU32;

/// What requests may hold and ask for. What is not given is not limited, apart from the body.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::config::form::members::<Self>))]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Longest body, 0 for no limit. [Envoy's buffers](buffers.md) must be larger.
    pub max_body_bytes: u64,
    /// Kinds of parts: `text`, `file`, `data`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), extend("x-default" = "all")))]
    pub modalities: Option<Vec<Modality>>,
    /// Whether SendStreamingMessage and SubscribeToTask are offered.
    #[cfg_attr(feature = "schema", schemars(extend("x-default" = "`true`")))]
    pub streaming: Option<bool>,
    /// Most parts of a message.
    pub max_parts: Option<NonZeroU32>,
    /// Most messages of history that may be asked for.
    pub max_history_length: Option<u32>,
    /// Media types that the agent answers with, such as `text/*`; a caller who accepts others only is refused.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub output_modes: Option<Vec<MediaRange>>,
    /// How much of a JSON body is read strictly: `all` of it, or what a rule asks about (`asked`, [see below](configuration.md#limits)).
    pub strict_bodies: StrictBodies,
}

/// Of which parts of a JSON body the syntax is checked in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum StrictBodies {
    /// All of it.
    #[default]
    All,
    /// What a rule asks for, and the objects and arrays that it is in. Others are only read to their end.
    Asked,
}

/// A kind of part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Text.
    Text,
    /// A file, as bytes or as a URL.
    File,
    /// Structured data.
    Data,
}

impl Modality {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Text, Self::File, Self::Data];

    /// The kind's name, as in 0.3.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::File => "file",
            Self::Data => "data",
        }
    }
}

/// A media type in lower case: `type/subtype`, `type/*` or `*/*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("pattern" = r"^(\*/\*|[a-z0-9.+_-]+/(\*|[a-z0-9.+_-]+))$")))]
#[serde(try_from = "String")]
pub struct MediaRange(String, String);

impl MediaRange {
    /// Whether `mode`, an entry of `acceptedOutputModes`, has something in common with this range. Case and
    /// parameters do not count; a type without subtype, such as the `text` of older clients, is `text/*`.
    #[must_use]
    pub fn meets(&self, mode: &str) -> bool {
        let plain = mode.split(';').next().unwrap_or_default().trim();
        let (kind, subtype) = plain.split_once('/').unwrap_or((plain, "*"));
        let meets = |own: &str, given: &str| own == "*" || given == "*" || own.eq_ignore_ascii_case(given);
        !plain.is_empty() && meets(&self.0, kind) && meets(&self.1, subtype)
    }
}

impl TryFrom<String> for MediaRange {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.+_".contains(&byte))
        };
        match text.split_once('/') {
            Some((kind, subtype)) if (plain(kind) && (plain(subtype) || subtype == "*")) || (kind, subtype) == ("*", "*") => {
                Ok(Self(kind.to_owned(), subtype.to_owned()))
            }
            _ => Err("a media type is type/subtype in lower case, type/* or */*"),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1_048_576,
            modalities: None,
            streaming: None,
            max_parts: None,
            max_history_length: None,
            output_modes: None,
            strict_bodies: StrictBodies::All,
        }
    }
}

impl Limits {
    /// Whether parts of this kind may be sent.
    #[must_use]
    pub fn allows(&self, modality: Modality) -> bool {
        self.modalities.as_ref().is_none_or(|modalities| modalities.contains(&modality))
    }

    /// Whether streams are offered.
    #[must_use]
    pub fn streams(&self) -> bool {
        self.streaming.unwrap_or(true)
    }

    /// Takes from `preset` what the operator has not said.
    pub fn fill(&mut self, preset: Self) {
        self.modalities = self.modalities.take().or(preset.modalities);
        self.streaming = self.streaming.or(preset.streaming);
        self.max_parts = self.max_parts.or(preset.max_parts);
        self.max_history_length = self.max_history_length.or(preset.max_history_length);
        self.output_modes = self.output_modes.take().or(preset.output_modes);
    }

    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        if self.modalities.as_ref().is_some_and(Vec::is_empty) {
            return Err(ConfigError::of(at, "modalities", "name at least one of text, file and data"));
        }
        if self.output_modes.as_ref().is_some_and(Vec::is_empty) {
            return Err(ConfigError::of(at, "output_modes", "name at least one media type"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, MediaRange, Modality};
    use serde_json::{Value, json};

    fn answer(limits: Value) -> String {
        match serde_json::from_value::<Limits>(limits) {
            Ok(limits) => limits.check("limits").map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_refusal_names_its_place() {
        for (limits, expected) in [
            (json!({}), "ok"),
            (
                json!({"modalities": ["text", "data"], "streaming": false, "max_parts": 8, "max_history_length": 0, "output_modes": ["text/*"]}),
                "ok",
            ),
            (json!({"strict_bodies": "asked"}), "ok"),
            (json!({"strict_bodies": "none"}), "unknown variant `none`, expected `all` or `asked`"),
            (json!({"modalities": []}), "limits.modalities: "),
            (json!({"modalities": ["audio"]}), "unknown variant `audio`"),
            (json!({"output_modes": []}), "limits.output_modes: "),
            (json!({"output_modes": ["Text/plain"]}), "a media type is"),
            (json!({"output_modes": ["*/plain"]}), "a media type is"),
            (json!({"max_parts": 0}), "invalid value"),
            (json!({"max_history_length": -1}), "invalid value"),
            (json!({"max_part": 1}), "unknown field `max_part`"),
        ] {
            let answer = answer(limits.clone());
            assert!(answer.starts_with(expected), "{limits}: {answer}");
        }
    }

    #[test]
    fn a_preset_fills_what_is_not_said() {
        let preset = || Limits { streaming: Some(false), modalities: Some(vec![Modality::Text]), max_body_bytes: 1, ..Limits::default() };
        let mut limits = Limits { streaming: Some(true), max_body_bytes: 7, ..Limits::default() };
        limits.fill(preset());
        assert!(limits.streams());
        assert!(limits.allows(Modality::Text) && !limits.allows(Modality::File));
        assert_eq!(limits.max_body_bytes, 7);
    }

    #[test]
    fn media_types_meet_whatever_their_case_and_parameters() {
        let range = |text: &str| MediaRange::try_from(text.to_owned()).unwrap();
        for mode in ["text/plain", "TEXT/Plain; charset=utf-8", "text/*", "*/*", "text", "*"] {
            assert!(range("text/plain").meets(mode), "{mode}");
        }
        for mode in ["", ";", "text/html", "image/*", "application/json", "texts"] {
            assert!(!range("text/plain").meets(mode), "{mode}");
        }
        assert!(range("text/*").meets("text/html") && range("*/*").meets("image/png"));
    }
}

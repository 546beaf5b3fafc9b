//! Whether a request keeps within an agent's limits: kinds and number of parts, history, output, streams (A2A 1.0
//! sections 3.1.2, 3.2.2, 3.3.2 and 5.4). Judges what a scan found at the [`places`](super::places); never looks
//! into a body itself.

use super::places::{Fact, Facts};
use crate::config::{Limits, Modality};
use crate::protocol::error::A2aError;
use crate::protocol::{Operation, Version};
use crate::wire::scan::{Kind, Value};
use thiserror::Error;

/// Why a request goes over a limit. The text is for the caller and repeats nothing of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LimitRefusal {
    /// An operation that answers with a stream.
    #[error("streaming is not offered here: send the message without streaming, and ask for the task")]
    Streaming,
    /// A part of a kind that is not allowed.
    #[error("{} parts are not accepted here", .0.name())]
    Modality(Modality),
    /// A part whose kind cannot be told, where kinds are limited.
    #[error("a part of the message has no kind that is known here")]
    UnknownPart,
    /// More parts than allowed.
    #[error("the message has too many parts")]
    TooManyParts,
    /// No number from 0 up, in decimal.
    #[error("the historyLength is no plain number")]
    HistoryLengthMalformed,
    /// More history than allowed; 0 in A2A 0.3, which means all of it.
    #[error("the historyLength is over the limit")]
    HistoryLength,
    /// The caller accepts nothing that the agent answers with.
    #[error("none of the acceptedOutputModes is offered here")]
    OutputModes,
}

impl LimitRefusal {
    /// What A2A calls it.
    #[must_use]
    pub const fn error(self) -> A2aError {
        match self {
            Self::Streaming => A2aError::UnsupportedOperation,
            Self::Modality(_) | Self::UnknownPart | Self::OutputModes => A2aError::ContentTypeNotSupported,
            Self::TooManyParts | Self::HistoryLengthMalformed | Self::HistoryLength => A2aError::InvalidParams,
        }
    }
}

/// Whether `operation` is offered at all, before anything is known of a body.
///
/// # Errors
/// [`LimitRefusal::Streaming`].
pub fn check_operation(operation: Operation, limits: &Limits) -> Result<(), LimitRefusal> {
    match operation {
        Operation::SendStreamingMessage | Operation::SubscribeToTask if !limits.streams() => Err(LimitRefusal::Streaming),
        _ => Ok(()),
    }
}

/// The facts that these limits depend on.
#[must_use]
pub fn facts(limits: &Limits) -> Vec<Fact> {
    let mut facts = Vec::new();
    if limits.modalities.is_some() {
        facts.extend([Fact::Part, Fact::PartKind, Fact::PartText, Fact::PartFile, Fact::PartData]);
    } else if limits.max_parts.is_some() {
        facts.push(Fact::Part);
    }
    if limits.max_history_length.is_some() {
        facts.push(Fact::HistoryLength);
    }
    if limits.output_modes.is_some() {
        facts.push(Fact::OutputMode);
    }
    facts
}

/// Whether what a scan has found keeps within the limits. `complete` says that nothing can be added: before that,
/// only what no rest of the body can repair is refused.
///
/// # Errors
/// The first limit that is exceeded.
pub fn check(found: &Facts<'_>, version: Version, limits: &Limits, complete: bool) -> Result<(), LimitRefusal> {
    if limits.modalities.is_some() {
        check_kinds(found, limits, complete)?;
    }
    let parts = found.count_with_null(Fact::Part);
    if limits.max_parts.is_some_and(|most| u32::try_from(parts).is_ok_and(|parts| parts > most.get())) {
        return Err(LimitRefusal::TooManyParts);
    }
    for value in found.values(Fact::HistoryLength) {
        match (value.kind, &value.text) {
            (Kind::Number | Kind::String, Some(text)) => check_history_length(text, version, limits)?,
            _ if limits.max_history_length.is_some() => return Err(LimitRefusal::HistoryLengthMalformed),
            _ => {}
        }
    }
    let Some(ranges) = &limits.output_modes else { return Ok(()) };
    let offered = |value: &Value| value.text.as_ref().is_some_and(|mode| ranges.iter().any(|range| range.meets(mode)));
    if complete && found.count(Fact::OutputMode) > 0 && !found.values(Fact::OutputMode).any(offered) {
        return Err(LimitRefusal::OutputModes);
    }
    Ok(())
}

fn check_kinds(found: &Facts<'_>, limits: &Limits, complete: bool) -> Result<(), LimitRefusal> {
    for kind in found.values(Fact::PartKind) {
        let named = |modality: &Modality| kind.kind == Kind::String && kind.text.as_deref() == Some(modality.name());
        match Modality::ALL.iter().find(|modality| named(modality)) {
            None => return Err(LimitRefusal::UnknownPart),
            Some(modality) if !limits.allows(*modality) => return Err(LimitRefusal::Modality(*modality)),
            Some(_) => {}
        }
    }
    // `data: null` is data in 1.0; every other null is as good as absent.
    let counts = [
        (Modality::Text, found.count(Fact::PartText)),
        (Modality::File, found.count(Fact::PartFile)),
        (Modality::Data, found.count_with_null(Fact::PartData)),
    ];
    if let Some((modality, _)) = counts.iter().find(|(modality, count)| *count > 0 && !limits.allows(*modality)) {
        return Err(LimitRefusal::Modality(*modality));
    }
    let known = counts.iter().fold(0_usize, |sum, (_, count)| sum.saturating_add(*count));
    if complete && known < found.count_with_null(Fact::Part) { Err(LimitRefusal::UnknownPart) } else { Ok(()) }
}

/// Whether so much history may be asked for. `text` is the number or string of a body (ProtoJSON takes both), or
/// the value of a query parameter.
///
/// # Errors
/// Over the limit, or no plain number where there is a limit.
pub fn check_history_length(text: &str, version: Version, limits: &Limits) -> Result<(), LimitRefusal> {
    let Some(most) = limits.max_history_length else { return Ok(()) };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(LimitRefusal::HistoryLengthMalformed);
    }
    let asked: u32 = text.parse().map_err(|_| LimitRefusal::HistoryLength)?;
    // 0.3 reads 0 as "no limit".
    if asked > most || (asked == 0 && version == Version::V0_3) { Err(LimitRefusal::HistoryLength) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{LimitRefusal, check, check_history_length, check_operation, facts};
    use crate::config::{Limits, Modality};
    use crate::policy::places::tests::scan;
    use crate::protocol::error::A2aError;
    use crate::protocol::{Operation, Version};
    use serde_json::{Value, json};

    fn limits(json: &str) -> Limits {
        serde_json::from_str(json).unwrap()
    }

    fn send(body: &Value, limits: &Limits) -> Result<(), LimitRefusal> {
        scan(Operation::SendMessage, body, |found| check(found, Version::V1_0, limits, true))
    }

    #[test]
    fn text_only_means_that_every_part_is_text_and_nothing_else() {
        let text_only = limits(r#"{"modalities":["text"]}"#);
        for parts in [
            json!([]),
            json!([{"text": "a"}]),
            json!([{"kind": "text", "text": "a", "metadata": {"file": "x", "kind": "y"}}, {"text": "b", "kind": "text"}]),
            json!([{"text": "a", "file": null, "mediaType": "text/markdown"}]),
        ] {
            for body in
                [json!({"message": {"parts": parts}}), json!({"message": {"content": parts}}), json!({"request": {"content": parts}})]
            {
                assert_eq!(send(&body, &text_only), Ok(()), "{body}");
            }
        }
        let (file, data) = (LimitRefusal::Modality(Modality::File), LimitRefusal::Modality(Modality::Data));
        for (parts, refusal) in [
            (json!([{"text": "a"}, {"kind": "file", "file": {"uri": "https://x.example/"}}]), file),
            (json!([{"text": "a"}, {"file": {"fileWithBytes": "QQ=="}}]), file),
            (json!([{"raw": "QQ==", "mediaType": "image/png"}]), file),
            (json!([{"url": "https://x.example/"}]), file),
            (json!([{"kind": "text", "text": "a", "url": "https://x.example/"}]), file),
            (json!([{"kind": "file", "text": "a"}]), file),
            (json!([{"kind": "data", "data": {}}]), data),
            (json!([{"data": null}]), data),
            (json!([{"kind": "Text", "text": "a"}]), LimitRefusal::UnknownPart),
            (json!([{"kind": ["text"], "text": "a"}]), LimitRefusal::UnknownPart),
            (json!([{"audio": "a"}]), LimitRefusal::UnknownPart),
            (json!([{"text": null}]), LimitRefusal::UnknownPart),
            (json!([{"text": "a"}, "b"]), LimitRefusal::UnknownPart),
            (json!([{"text": "a"}, null]), LimitRefusal::UnknownPart),
        ] {
            for body in
                [json!({"message": {"parts": parts}}), json!({"message": {"content": parts}}), json!({"request": {"content": parts}})]
            {
                assert_eq!(send(&body, &text_only), Err(refusal), "{body}");
                assert_eq!(send(&body, &Limits::default()), Ok(()), "{body}");
            }
            assert_eq!(refusal.error(), A2aError::ContentTypeNotSupported);
        }
    }

    #[test]
    fn what_the_rest_may_repair_is_not_refused_early() {
        let strict = limits(r#"{"modalities":["text"],"output_modes":["text/plain"]}"#);
        let early = |body: Value| scan(Operation::SendMessage, &body, |found| check(found, Version::V1_0, &strict, false));
        assert_eq!(early(json!({"message": {"parts": [{}]}, "configuration": {"acceptedOutputModes": ["image/png"]}})), Ok(()));
        assert_eq!(early(json!({"message": {"parts": [{"raw": ""}]}})), Err(LimitRefusal::Modality(Modality::File)));
    }

    #[test]
    fn only_what_is_limited_is_watched() {
        assert!(facts(&Limits::default()).is_empty());
        assert_eq!(facts(&limits(r#"{"max_parts":1}"#)).len(), 1);
        assert_eq!(facts(&limits(r#"{"max_parts":1,"modalities":["text"],"max_history_length":1,"output_modes":["*/*"]}"#)).len(), 7);
    }

    #[test]
    fn parts_are_counted() {
        let two = limits(r#"{"max_parts":2}"#);
        assert_eq!(send(&json!({"message": {"parts": [{"text": "a"}, {"text": "a"}]}}), &two), Ok(()));
        assert_eq!(send(&json!({"message": {"parts": [{}, {}], "content": [{}]}}), &two), Err(LimitRefusal::TooManyParts));
        assert_eq!(LimitRefusal::TooManyParts.error(), A2aError::InvalidParams);
    }

    #[test]
    fn streams_are_refused_where_they_are_not_offered() {
        let none = limits(r#"{"streaming":false}"#);
        for operation in Operation::ALL {
            let streams = matches!(operation, Operation::SendStreamingMessage | Operation::SubscribeToTask);
            assert_eq!(check_operation(operation, &none), if streams { Err(LimitRefusal::Streaming) } else { Ok(()) }, "{operation:?}");
            assert_eq!(check_operation(operation, &Limits::default()), Ok(()));
        }
        assert_eq!(LimitRefusal::Streaming.error().jsonrpc(), -32004);
    }

    #[test]
    fn history_is_limited_and_0_means_all_of_it_in_0_3() {
        let ten = limits(r#"{"max_history_length":10}"#);
        let (over, malformed) = (Err(LimitRefusal::HistoryLength), Err(LimitRefusal::HistoryLengthMalformed));
        for (text, version, expected) in [
            ("10", Version::V1_0, Ok(())),
            ("010", Version::V1_0, Ok(())),
            ("0", Version::V1_0, Ok(())),
            ("1", Version::V0_3, Ok(())),
            ("0", Version::V0_3, over),
            ("11", Version::V1_0, over),
            ("99999999999999999999", Version::V1_0, over),
            ("-1", Version::V1_0, malformed),
            ("+1", Version::V1_0, malformed),
            ("1e9", Version::V1_0, malformed),
            ("1.0", Version::V1_0, malformed),
            ("", Version::V1_0, malformed),
        ] {
            assert_eq!(check_history_length(text, version, &ten), expected, "{text}");
            assert_eq!(check_history_length(text, version, &Limits::default()), Ok(()), "{text}");
        }
        for (value, expected) in [
            (json!(null), Ok(())),
            (json!(3), Ok(())),
            (json!("11"), over),
            (json!(11), over),
            (json!(true), malformed),
            (json!([1]), malformed),
        ] {
            let get = |body: Value| scan(Operation::GetTask, &body, |found| check(found, Version::V1_0, &ten, false));
            assert_eq!(get(json!({"historyLength": value})), expected, "{value}");
            assert_eq!(get(json!({"history_length": value})), expected, "{value}");
            assert_eq!(send(&json!({"configuration": {"history_length": value}}), &ten), expected, "{value}");
        }
    }

    #[test]
    fn a_caller_must_accept_something_that_is_offered() {
        let text = limits(r#"{"output_modes":["text/plain"]}"#);
        let accept = |modes: Value| send(&json!({"configuration": {"accepted_output_modes": modes}}), &text);
        assert_eq!(accept(json!(null)), Ok(()));
        assert_eq!(accept(json!([])), Ok(()));
        assert_eq!(accept(json!(["image/png", "text/plain", "video/mp4"])), Ok(()));
        assert_eq!(accept(json!(["image/png", {}])), Err(LimitRefusal::OutputModes));
    }
}

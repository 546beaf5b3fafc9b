//! Durations as Envoy writes them in JSON: seconds with an `s`, such as `5s` or `0.25s`
//! (`google.protobuf.Duration`).

use serde::{Deserialize, Deserializer, de::Error};
use std::time::Duration;

/// Ten years: longer ones are mistakes and would overflow arithmetic elsewhere.
const MAX_SECONDS: u64 = 315_360_000;

/// Parses `5s` or `0.25s`: digits, at most nine decimals, then `s`.
pub fn parse(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds = whole.parse().ok().filter(|seconds| *seconds <= MAX_SECONDS)?;
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(seconds, nanos))
}

/// For `#[serde(deserialize_with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| D::Error::custom("a duration is seconds with an s, such as 5s or 0.25s"))
}

/// For optional members.
pub fn deserialize_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::parse;
    use std::time::Duration;

    #[test]
    fn seconds_with_an_s_and_nothing_else() {
        assert_eq!(parse("5s"), Some(Duration::from_secs(5)));
        assert_eq!(parse("0.25s"), Some(Duration::from_millis(250)));
        assert_eq!(parse("0s"), Some(Duration::ZERO));
        for odd in ["", "s", "5", "5m", "1h", "-1s", "+1s", "1.s", ".5s", "1e3s", " 1s", "1.0000000001s", "999999999999s"] {
            assert_eq!(parse(odd), None, "{odd:?}");
        }
    }
}

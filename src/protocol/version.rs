//! A2A version selection (1.0 section 3.6): header, else query, else the agent's default. Sources that
//! disagree are refused, so that no two readers of one request see two versions.

use crate::wire::header::Headers;
use serde::Deserialize;
use std::fmt;
use thiserror::Error;

/// Name of the request header that carries the version, in lower case.
pub const HEADER: &str = "a2a-version";

/// A version of A2A that Attaché understands, as `Major.Minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Version {
    #[serde(rename = "0.3")]
    V0_3,
    #[serde(rename = "1.0")]
    V1_0,
}

impl Version {
    /// The identifier that goes into the `A2A-Version` header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3 => "0.3",
            Self::V1_0 => "1.0",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why no version could be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VersionError {
    /// A value that is not `Major.Minor` or `Major.Minor.Patch`.
    #[error("a version that is not Major.Minor")]
    Malformed,
    /// Header and query, or two values of one of them, differ.
    #[error("two different versions in one request")]
    Conflict,
    /// Well-formed, but no version that exists here.
    #[error("a version that is not supported")]
    Unsupported,
}

/// The version that the client asked for, `None` if it named none. `query` is the raw query of the request
/// target. Empty values count as absent (section 3.6.2); the patch number takes no part (section 14.2.1).
///
/// # Errors
/// As [`VersionError`] says; a conflict is reported before what is wrong with either value.
pub fn requested(headers: &Headers, query: Option<&str>) -> Result<Option<Version>, VersionError> {
    let mut chosen: Option<Result<(u32, u32), VersionError>> = None;
    let mut take = |text: Option<&str>| {
        let parsed = match text.map(|text| text.trim_matches([' ', '\t'])) {
            Some("") => return Ok(()),
            Some(text) => number(text).ok_or(VersionError::Malformed),
            None => Err(VersionError::Malformed),
        };
        match &chosen {
            Some(earlier) if *earlier != parsed => Err(VersionError::Conflict),
            _ => {
                chosen = Some(parsed);
                Ok(())
            }
        }
    };
    for line in headers.all(HEADER) {
        match std::str::from_utf8(line) {
            Ok(line) => line.split(',').try_for_each(|value| take(Some(value)))?,
            Err(_) => take(None)?,
        }
    }
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name.eq_ignore_ascii_case(HEADER) {
            take(Some(&value))?;
        }
    }
    match chosen.transpose()? {
        None => Ok(None),
        Some((0, 3)) => Ok(Some(Version::V0_3)),
        Some((1, 0)) => Ok(Some(Version::V1_0)),
        Some(_) => Err(VersionError::Unsupported),
    }
}

/// Whether the client says anything of a version, were it nothing: an empty value is read as 0.3 (section 3.6.2).
#[must_use]
pub fn is_named(headers: &Headers, query: Option<&str>) -> bool {
    headers.has(HEADER) || form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case(HEADER))
}

/// Major and minor of `1.0` or `1.0.2`: decimal numbers without sign or leading zeros.
fn number(text: &str) -> Option<(u32, u32)> {
    let plain = |part: &str| {
        let canonical = part == "0" || !part.starts_with('0');
        (canonical && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<u32>().ok())?
    };
    let mut parts = text.split('.');
    let major = plain(parts.next()?)?;
    let minor = plain(parts.next()?)?;
    if let Some(patch) = parts.next() {
        plain(patch)?;
    }
    parts.next().is_none().then_some((major, minor))
}

/// `target` (path and query) without its `a2a-version` parameters, in any case and any escaping; `None` if
/// it has none. What remains keeps its bytes and order.
#[must_use]
pub fn without_parameter(target: &str) -> Option<String> {
    let (path, query) = target.split_once('?')?;
    let names_version =
        |pair: &&str| form_urlencoded::parse(pair.as_bytes()).next().is_some_and(|(name, _)| name.eq_ignore_ascii_case(HEADER));
    if !query.split('&').any(|pair| names_version(&pair)) {
        return None;
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !names_version(pair)).collect();
    Some(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
}

#[cfg(test)]
mod tests {
    use super::{Headers, Version, VersionError, requested, without_parameter};

    fn select(headers: &[&str], query: Option<&str>) -> Result<Option<Version>, VersionError> {
        let list = headers.iter().map(|value| ("a2a-version".to_owned(), value.as_bytes().to_vec())).collect();
        requested(&Headers::new(list), query)
    }

    #[test]
    fn header_query_and_default() {
        assert_eq!(select(&[], None), Ok(None));
        assert_eq!(select(&[""], Some("a=1")), Ok(None));
        assert_eq!(select(&["1.0"], None), Ok(Some(Version::V1_0)));
        assert_eq!(select(&["0.3.0"], None), Ok(Some(Version::V0_3)));
        assert_eq!(select(&[], Some("x=1&a2a-version=1.0")), Ok(Some(Version::V1_0)));
        assert_eq!(select(&[], Some("A2A%2DVersion=0.3")), Ok(Some(Version::V0_3)));
        assert_eq!(select(&["1.0"], Some("A2A-VERSION=1.0.1")), Ok(Some(Version::V1_0)));
    }

    #[test]
    fn conflicts_and_junk_are_refused() {
        assert_eq!(select(&["1.0", "0.3"], None), Err(VersionError::Conflict));
        assert_eq!(select(&["1.0, 0.3"], None), Err(VersionError::Conflict));
        assert_eq!(select(&["1.0"], Some("a2a-version=0.3")), Err(VersionError::Conflict));
        assert_eq!(select(&["1.0"], Some("a2a-version=junk")), Err(VersionError::Conflict));
        for junk in ["v1", "1", "1.0.0.0", "01.0", "1.00", "+1.0", "1.x", "1 .0"] {
            assert_eq!(select(&[junk], None), Err(VersionError::Malformed), "{junk}");
        }
        for other in ["9.9", "0.30", "0.2", "1.1"] {
            assert_eq!(select(&[other], None), Err(VersionError::Unsupported), "{other}");
        }
    }

    #[test]
    fn the_parameter_is_removed_and_the_rest_kept() {
        assert_eq!(without_parameter("/a?x=1&A2a-Version=1.0&y=%20"), Some("/a?x=1&y=%20".into()));
        assert_eq!(without_parameter("/a?a2a-version=1.0"), Some("/a".into()));
        assert_eq!(without_parameter("/a?a2a%2dversion"), Some("/a".into()));
        assert_eq!(without_parameter("/a?x=1"), None);
        assert_eq!(without_parameter("/a"), None);
    }
}

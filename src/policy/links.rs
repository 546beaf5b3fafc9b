//! Links in texts that remote agents write: where they are, where they lead as far as a record may say it, and whether they look like ours.

use crate::wire::path;
use percent_encoding::percent_decode_str;
use serde::Serialize;

/// What stands in the place of a link.
pub const REMOVED: &str = "[link removed]";
/// Most origins that are kept of one answer.
const MOST_ORIGINS: usize = 4;
/// Most letters of an origin.
const MOST_LETTERS: usize = 128;
/// Schemes that lead somewhere without the slashes, too.
const BARE: [&str; 4] = ["http", "https", "javascript", "data"];

/// The links of one answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Links {
    /// Where they lead: scheme, host and port.
    pub origins: Vec<String>,
    /// How many stay.
    pub passed: u64,
    /// How many were removed because all are.
    pub stripped: u64,
    /// How many were removed because they look like ours.
    pub imitated: u64,
}

impl Links {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.passed == 0 && self.stripped == 0 && self.imitated == 0
    }
}

/// Judges texts.
#[derive(Clone, Debug)]
pub struct Judge<'a> {
    /// Every link is removed.
    pub strips: bool,
    /// The host below which ours lie, in lower case.
    pub own: Option<&'a str>,
    /// What was found.
    pub links: Links,
}

impl Judge<'_> {
    /// What becomes of `text`, if that is something else.
    pub fn text(&mut self, text: &str) -> Option<String> {
        let (mut out, mut rest) = (String::new(), text);
        let mut is_changed = false;
        while let Some((start, end)) = next(rest, self.own) {
            let (before, link) = (rest.get(..start).unwrap_or_default(), rest.get(start..end).unwrap_or_default());
            out.push_str(before);
            let is_gone = self.count(link);
            out.push_str(if is_gone { REMOVED } else { link });
            is_changed |= is_gone;
            rest = rest.get(end..).unwrap_or_default();
        }
        out.push_str(rest);
        is_changed.then_some(out)
    }

    /// Counts `link`: whether it is removed.
    fn count(&mut self, link: &str) -> bool {
        let (scheme, authority) = parts(link);
        let is_imitated = self.own.is_some_and(|own| imitates(authority, own));
        let origin = origin(scheme, authority);
        if self.links.origins.len() < MOST_ORIGINS && !self.links.origins.contains(&origin) {
            self.links.origins.push(origin);
        }
        let count = match (is_imitated, self.strips) {
            (true, _) => &mut self.links.imitated,
            (false, true) => &mut self.links.stripped,
            (false, false) => &mut self.links.passed,
        };
        *count = count.saturating_add(1);
        is_imitated || self.strips
    }
}

/// Where the first link of `text` stands.
fn next(text: &str, own: Option<&str>) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let start = (0..bytes.len()).find_map(|at| match bytes.get(at)? {
        b':' => scheme_before(text, at),
        b'w' | b'W' if begins(text, at, "www.") => Some(at),
        _ => own.filter(|own| begins(text, at, own)).map(|_| at),
    })?;
    let link = text.get(start..)?;
    let ends = |letter: char| letter.is_whitespace() || letter.is_control() || matches!(letter, '"' | '<' | '>' | '`');
    let link = link.get(..link.find(ends).unwrap_or(link.len()))?;
    // What ends a sentence, or a link in Markdown, belongs to the text around it.
    let link = link.trim_end_matches(|letter: char| ".,;:!?)]}'*_|".contains(letter));
    Some((start, start.saturating_add(link.len())))
}

/// Where the scheme begins that ends before the colon at `at`, if it is one of a link.
fn scheme_before(text: &str, at: usize) -> Option<usize> {
    let before = text.get(..at)?;
    let is_scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
    let start = before.char_indices().rfind(|(_, letter)| !is_scheme(*letter));
    let start = start.map_or(0, |(place, letter)| place.saturating_add(letter.len_utf8()));
    let scheme = before.get(start..).unwrap_or_default();
    let scheme = scheme.trim_start_matches(|letter: char| !letter.is_ascii_alphabetic());
    let behind = text.get(at.saturating_add(1)..)?;
    let host = behind.trim_start_matches(['/', '\\']);
    let is_bare = || BARE.iter().any(|bare| scheme.eq_ignore_ascii_case(bare));
    let leads = host.chars().next().is_some_and(|letter| !letter.is_whitespace()) && (behind.starts_with("//") || is_bare());
    (!scheme.is_empty() && leads).then(|| at.saturating_sub(scheme.len()))
}

/// Whether a host that begins with `start`, in any case of letters, begins at `at`.
fn begins(text: &str, at: usize, start: &str) -> bool {
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._%".contains(byte);
    let bytes = text.as_bytes();
    let is_there = bytes.get(at..at.saturating_add(start.len())).is_some_and(|own| own.eq_ignore_ascii_case(start.as_bytes()));
    is_there && at.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|byte| !is_inside(byte))
}

/// Scheme and authority of a link, as browsers take them.
fn parts(link: &str) -> (&str, &str) {
    let is_slash = |letter: char| matches!(letter, '/' | '\\');
    let (scheme, rest) = match link.split_once(':') {
        Some((scheme, rest)) if rest.starts_with(is_slash) || BARE.iter().any(|bare| scheme.eq_ignore_ascii_case(bare)) => (scheme, rest),
        _ => ("", link),
    };
    if ["javascript", "data"].iter().any(|own| scheme.eq_ignore_ascii_case(own)) {
        return (scheme, "");
    }
    let rest = rest.trim_start_matches(is_slash);
    (scheme, rest.get(..rest.find(|letter| is_slash(letter) || matches!(letter, '?' | '#')).unwrap_or(rest.len())).unwrap_or_default())
}

/// Whether `authority` is, or reads as, that of our links: their host, whatever follows it, or a user of this name elsewhere.
fn imitates(authority: &str, own: &str) -> bool {
    let plain = percent_decode_str(authority).decode_utf8_lossy().to_lowercase();
    plain.split('@').any(|part| path::host(part).as_deref() == Some(own) || part.starts_with(own))
}

/// Scheme, host and port, without anything else of a link.
fn origin(scheme: &str, authority: &str) -> String {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_plain = host.chars().all(|letter| letter.is_alphanumeric() || "-._:[]%".contains(letter));
    let origin = match (scheme, host) {
        ("", host) => host.to_lowercase(),
        (scheme, "") => [&scheme.to_ascii_lowercase(), ":"].concat(),
        (scheme, host) => [&scheme.to_ascii_lowercase(), "://", &host.to_lowercase()].concat(),
    };
    if is_plain { origin.chars().take(MOST_LETTERS).collect() } else { "unreadable".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Judge, Links};

    const OWN: &str = "consent.example.com";

    fn judge(text: &str, strips: bool) -> (String, Links) {
        let mut judge = Judge { strips, own: Some(OWN), links: Links::default() };
        let new = judge.text(text);
        (new.unwrap_or_else(|| text.to_owned()), judge.links)
    }

    #[test]
    fn links_are_removed_and_what_is_around_them_stays() {
        for (text, expected, origin) in [
            ("Open https://login.example/a?b=c#d, please.", "Open [link removed], please.", "https://login.example"),
            ("HTTPS://Login.Example:8443/x", "[link removed]", "https://login.example:8443"),
            ("[sign in](https://a.example/x) now", "[sign in]([link removed]) now", "https://a.example"),
            ("<https://a.example>", "<[link removed]>", "https://a.example"),
            ("see https:a.example/x", "see [link removed]", "https://a.example"),
            ("see https:\\\\a.example\\x", "see [link removed]", "https://a.example"),
            ("éhttps://user:secret@a.example/", "é[link removed]", "https://a.example"),
            ("app+x.1://open?token=t", "[link removed]", "app+x.1://open"),
            ("go to www.a.example/x!", "go to [link removed]!", "www.a.example"),
            ("javascript:a=1", "[link removed]", "javascript:"),
            ("x https://a b", "x [link removed] b", "https://a"),
            ("https://a.example/\u{2028}next", "[link removed]\u{2028}next", "https://a.example"),
            ("https://a,b|c/x", "[link removed]", "unreadable"),
        ] {
            let (new, links) = judge(text, true);
            assert_eq!((new.as_str(), links.origins.join(" ").as_str(), links.stripped), (expected, origin, 1), "{text}");
            let (new, links) = judge(text, false);
            assert_eq!((new.as_str(), links.origins.join(" ").as_str(), links.passed), (text, origin, 1), "{text}");
        }
        for text in ["", "no link: 10:30, a://", "http: //a", "note: data: x", "awww.x", "see: https://", "a:b", "://x", "C:/x"] {
            assert_eq!(judge(text, true), (text.to_owned(), Links::default()), "{text}");
        }
    }

    #[test]
    fn what_looks_like_ours_is_removed_always() {
        for text in [
            "https://consent.example.com/consent/start?link=L",
            "http://CONSENT.example.com:81",
            "https://consent%2Eexample.com/x",
            "https://consent.example.com@evil.example/x",
            "https://x@consent.example.com/",
            "https://consent.example.com.evil.example/",
            "//consent.example.com/x",
            "consent.example.com/consent/start?link=L",
        ] {
            let (new, links) = judge(text, false);
            assert!(new.ends_with("[link removed]") && links.imitated == 1 && links.passed == 0, "{text}: {new} {links:?}");
        }
        for text in ["https://my-consent.example.com/", "https://evil.example/?next=https://consent.example.com/", "https://example.com/"] {
            let (new, links) = judge(text, false);
            assert_eq!((new.as_str(), links.passed, links.imitated), (text, 1, 0), "{text}");
        }
    }

    #[test]
    fn origins_are_few_and_short() {
        let text = (0..9).map(|number| format!("https://a{number}.example/secret https://a{number}.example/b ")).collect::<String>();
        let (_, links) = judge(&text, true);
        assert_eq!((links.origins.len(), links.stripped), (4, 18));
        assert!(!format!("{:?}", links.origins).contains("secret"));
        assert_eq!(judge(&format!("https://{}", "a".repeat(9000)), true).1.origins[0].len(), 128);
    }
}

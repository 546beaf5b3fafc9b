//! What of a file may be shown: asterisks take the place of all that can be a secret.

use crate::embedded::Embedded;
use crate::tree::{Node, joined};
use attache::config::Config;
use std::ops::Range;

/// Members of Envoy's and Istio's configuration below which secrets stand.
const HIDDEN: [&str; 11] = [
    "key_values",
    "inline_string",
    "inline_bytes",
    "inlineString",
    "inlineBytes",
    "private_key",
    "password",
    "env",
    "stringData",
    "proxyMetadata",
    "request_headers_to_add",
];
/// Words in names of members that tell of secrets.
const TELLING: [&str; 5] = ["secret", "token", "password", "credential", "key"];

/// A text whose secrets are to be hidden.
#[derive(Clone, Debug)]
pub struct Mask(Vec<u8>);

impl Mask {
    /// Nothing hidden yet.
    pub fn new(source: &str) -> Self {
        Self(source.as_bytes().to_vec())
    }

    /// The text as it may be shown.
    pub fn shown(self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Hides what stands at `range`, but not its quotes.
    fn hide(&mut self, range: &Range<usize>) {
        let Some(bytes) = self.0.get_mut(range.clone()) else { return };
        let is_quoted = matches!(bytes, [first @ (b'"' | b'\''), .., last] if first == last);
        let inner = if is_quoted { 1..bytes.len() - 1 } else { 0..bytes.len() };
        for byte in bytes.get_mut(inner).into_iter().flatten() {
            if !byte.is_ascii_whitespace() {
                *byte = b'*';
            }
        }
    }

    /// Hides the secrets of a document of Envoy, Istio or Kubernetes. What configures the filter is hidden by [`Mask::plugin`].
    pub fn document(&mut self, document: &Node) {
        document.scalars(&mut Vec::new(), &mut |place, node| {
            if place.iter().any(|step| HIDDEN.contains(&step.as_str())) || is_telling(place) {
                self.hide(&node.span);
            }
        });
    }

    /// Hides the secrets of a configuration of the filter.
    pub fn plugin(&mut self, tree: &Node) {
        tree.scalars(&mut Vec::new(), &mut |place, node| {
            // Unknown members can hold secrets, too.
            if Config::may_hold_secret(&joined(place)) || is_telling(place) {
                self.hide(&node.span);
            }
        });
    }

    /// Hides all values below `node`.
    pub fn below(&mut self, node: &Node) {
        node.scalars(&mut Vec::new(), &mut |_, node| self.hide(&node.span));
    }

    /// Hides all of a text that is no JSON, apart from names of members and from punctuation.
    pub fn broken_json(&mut self, embedded: &Embedded) {
        let mut rest = embedded.text.as_str();
        while let Some(letter) = rest.chars().next() {
            let at = embedded.text.len() - rest.len();
            let length = if letter == '"' { quoted(rest) } else { letter.len_utf8() };
            let (part, behind) = rest.split_at(length);
            let is_name = letter == '"' && behind.trim_start().starts_with(':');
            if !is_name && !"{}[]:, \t\r\n".contains(letter) {
                let inner = if letter == '"' && part.len() > 1 && part.ends_with('"') { 1..length - 1 } else { 0..length };
                self.hide(&embedded.range(&(at + inner.start..at + inner.end)));
            }
            rest = behind;
        }
    }

    /// Hides all values of a text that is no YAML.
    pub fn broken_yaml(&mut self) {
        let mut start = 0;
        let lines: Vec<Range<usize>> = self
            .0
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| line.len())
            .map(|length| {
                start += length;
                start - length..start
            })
            .collect();
        for line in lines {
            let text = self.0.get(line.clone()).unwrap_or_default();
            let value = text.windows(2).position(|pair| pair[0] == b':' && pair[1].is_ascii_whitespace()).map_or(0, |colon| colon + 1);
            self.hide(&(line.start + value..line.end));
        }
    }
}

/// Whether the name of a member speaks of secrets.
fn is_telling(place: &[String]) -> bool {
    let name = place.iter().rfind(|step| !step.starts_with('[')).map(|name| name.to_ascii_lowercase()).unwrap_or_default();
    TELLING.iter().any(|word| name.contains(word))
}

/// The length of a text in quotes, which ends with its line at the latest.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '\n' => return at,
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::Mask;
    use crate::embedded::Embedded;

    #[test]
    fn a_broken_text_shows_its_structure_alone() {
        let source = "{\"a\": \"s3 \\\" cret\", \"b\": s3cret,\n \"c\": \"s3cret\n \"d\": 'é'}";
        let mut mask = Mask::new(source);
        mask.broken_json(&Embedded::whole(source));
        assert_eq!(mask.shown(), "{\"a\": \"** ** ****\", \"b\": ******,\n \"c\": *******\n \"d\": ****}");
        let mut mask = Mask::new("a: s3cret\n- b\n  c: {d: s3cret}\n");
        mask.broken_yaml();
        assert_eq!(mask.shown(), "a: ******\n* *\n  c: *** *******\n");
    }
}

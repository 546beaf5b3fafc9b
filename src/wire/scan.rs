//! A strict JSON scanner for bodies that stream: any chunks, no copy of the body, memory bounded by [`Limits`]. It
//! finds what a [`Plan`] asks for and refuses, to the end of the document, whatever two readers could understand in
//! two ways: repeated names (after unescaping), a second document, a byte order mark, bytes that are no UTF-8, lone
//! surrogates, and everything that RFC 8259 does not allow. It never decides what a value means.

mod found;
mod lanes;
mod names;
mod number;
mod plan;
mod scanner;
mod text;

pub use found::{Document, Findings, Text, Value, Values};
pub(super) use found::{Found as FoundSoFar, is_settled};
pub use plan::{Asked, Keep, Plan, Step};
pub use scanner::Scanner;

use thiserror::Error;

/// Why a document is refused. The same whatever the chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Not as RFC 8259 says.
    #[error("the body is not JSON")]
    Malformed,
    /// The body ended too early, or is empty.
    #[error("the JSON document is incomplete")]
    Incomplete,
    /// A second document, or anything but white space behind the first.
    #[error("something follows the JSON document")]
    Trailing,
    /// The bytes are no UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// A raw control character in a string, or a NUL, however written, in a member's name.
    #[error("a string holds a raw control character, or a name a NUL")]
    ControlCharacter,
    /// Half of an escaped pair of surrogates.
    #[error("a string holds a lone surrogate")]
    LoneSurrogate,
    /// Two members of one object have the same name, or two spellings of it.
    #[error("a member name is repeated")]
    RepeatedName,
    /// A name differs from a wanted one in case only.
    #[error("a member name differs from a known one in case only")]
    CaseVariant,
    /// More objects and arrays inside each other than allowed.
    #[error("the document is nested too deeply")]
    TooDeep,
    /// More members in open objects than allowed.
    #[error("the document has too many members")]
    TooManyMembers,
    /// More different values of something asked for than allowed.
    #[error("the document has too many different values")]
    TooManyValues,
    /// A text that has to be read whole is longer than allowed.
    #[error("a text in the document is too long")]
    TooLong,
}

/// What bounds the memory of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects and arrays inside each other.
    pub depth: usize,
    /// Members in all objects that are open at one time; each costs 8 to 32 bytes.
    pub names: usize,
    /// Bytes of a text that is kept.
    pub text: usize,
    /// Different values kept of one thing that is asked for.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 128, names: 4096, text: 2048, values: 64 }
    }
}

/// The kinds of JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "JSON's own names")]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Object,
    Array,
}

/// The end of an object or array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing stands in it.
    Empty,
    /// Something does.
    Filled,
}

/// Something that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The question.
    pub asked: Asked,
    /// What the value is.
    pub kind: Kind,
    /// As [`Value::text`].
    pub text: Option<&'a str>,
    /// It ends here and began before; only where [`Plan::ask_end`] asks for it.
    pub end: Option<End>,
}

#[cfg(test)]
mod tests {
    use super::{End, Fault, Found, Keep, Kind, Limits, Plan, Scanner, Step};
    use std::rc::Rc;

    /// The result of a document that comes in chunks of `size`.
    fn scan(text: &str, size: usize) -> Result<(), Fault> {
        let limits = Limits { depth: 3, names: 4, ..Limits::default() };
        let mut scanner = Scanner::new(limits, Rc::new(Plan::default()));
        for mut chunk in text.as_bytes().chunks(size) {
            assert_eq!(scanner.next(&mut chunk)?, None);
        }
        scanner.end().map(|found| assert_eq!(found, None))
    }

    #[test]
    fn every_fault_has_its_name() {
        for (text, result) in [
            (r#"{"a":[{}],"b":[[1,-2.5e3,true,null]],"c":"\u00e9"}"#, Ok(())),
            (" 7", Ok(())),
            ("[1,]", Err(Fault::Malformed)),
            ("[01]", Err(Fault::Malformed)),
            ("{\"a\":1", Err(Fault::Incomplete)),
            ("", Err(Fault::Incomplete)),
            ("{}{}", Err(Fault::Trailing)),
            (r#"{"\u0000":1}"#, Err(Fault::ControlCharacter)),
            (r#"["\ude00"]"#, Err(Fault::LoneSurrogate)),
            (r#"{"é":1,"\u00e9":2}"#, Err(Fault::RepeatedName)),
            ("[[[[]]]]", Err(Fault::TooDeep)),
            (r#"{"a":{"b":{"c":1,"d":2,"e":3}}}"#, Err(Fault::TooManyMembers)),
        ] {
            for size in 1..=text.len().max(1) {
                assert_eq!(scan(text, size), result, "{text} by {size}");
            }
        }
    }

    #[test]
    fn a_value_is_told_where_it_is() {
        let mut plan = Plan::default();
        let root = plan.ask(&[], Keep::Kind);
        let name = plan.ask(&[Step::member(&["a"])], Keep::Raw);
        let mut scanner = Scanner::new(Limits::default(), Rc::new(plan));
        let mut chunk = &br#"{"a":"\u0062","b":{"a":1}}"#[..];
        assert_eq!(scanner.next(&mut chunk), Ok(Some(Found { asked: root, kind: Kind::Object, text: None, end: None })));
        let text = Some(r#""\u0062""#);
        assert_eq!(scanner.next(&mut chunk), Ok(Some(Found { asked: name, kind: Kind::String, text, end: None })));
        assert!(scanner.is_settled(name) && !scanner.is_settled(root) && chunk.starts_with(b","));
        assert_eq!(scanner.next(&mut chunk), Ok(None));
        assert!(scanner.is_settled(root) && scanner.end() == Ok(None));
    }

    #[test]
    fn ends_are_told_where_they_are_asked_for_whatever_the_chunks() {
        let mut plan = Plan::default();
        let list = plan.ask_end(&[Step::member(&["a"])]);
        let item = plan.ask_end(&[Step::member(&["a"]), Step::Element]);
        let plan = Rc::new(plan);
        let text = r#"{"a":[{"x":[]},{ },"s",[1]],"b":{}}"#;
        for size in 1..=text.len() {
            let mut scanner = Scanner::new(Limits::default(), Rc::clone(&plan));
            let (mut told, mut read) = (Vec::new(), 0);
            for chunk in text.as_bytes().chunks(size) {
                read += chunk.len();
                let mut rest = chunk;
                while let Some(found) = scanner.next(&mut rest).unwrap() {
                    told.push((found.asked, found.kind, found.end, &text[..read - rest.len()]));
                }
            }
            let expected = [
                (list, Kind::Array, None, r#"{"a":["#),
                (item, Kind::Object, None, r#"{"a":[{"#),
                (item, Kind::Object, Some(End::Filled), r#"{"a":[{"x":[]}"#),
                (item, Kind::Object, None, r#"{"a":[{"x":[]},{"#),
                (item, Kind::Object, Some(End::Empty), r#"{"a":[{"x":[]},{ }"#),
                (item, Kind::String, None, r#"{"a":[{"x":[]},{ },"s""#),
                (item, Kind::Array, None, r#"{"a":[{"x":[]},{ },"s",["#),
                (item, Kind::Array, Some(End::Filled), r#"{"a":[{"x":[]},{ },"s",[1]"#),
                (list, Kind::Array, Some(End::Filled), r#"{"a":[{"x":[]},{ },"s",[1]]"#),
            ];
            assert_eq!(told, expected, "by {size}");
        }
    }
}

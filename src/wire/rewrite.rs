//! A JSON document with other values at some places, written while it is read: any chunks, no copy of the document. At
//! most one wanted value is held back at a time; every other byte goes on unchanged, in its order. The scan is the
//! strict one of [`super::scan`], so what stands at a place for one reader stands there for all.

use super::scan::{Asked, End, Fault, Kind, Limits, Plan, Scanner};
use std::rc::Rc;

/// What stands at a place: its kind, and its JSON text as written unless it is an object or array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The place.
    pub asked: Asked,
    /// What it is.
    pub kind: Kind,
    /// The JSON text; `None` for an object or array, which is told when it begins.
    pub json: Option<&'a str>,
    /// It is the end of an object or array, of which the beginning was told.
    pub end: Option<End>,
}

/// One document on its way.
#[derive(Clone, Debug)]
pub struct Rewriter {
    scanner: Scanner,
}

impl Rewriter {
    /// A document of which nothing has come. The places of `plan` are all asked for with [`super::scan::Keep::Raw`]; a
    /// value there that is longer than `limits.text` bytes is a fault.
    #[must_use]
    pub fn new(limits: Limits, plan: Rc<Plan>) -> Self {
        Self { scanner: Scanner::new(limits, plan) }
    }

    /// Reads all of `chunk` and appends to `out` what goes on. `replace` gives the JSON text to put in place of what is
    /// seen, or `None` to leave it; for an object or array only `None` has a meaning. It also gets `out` as far as it is: up to
    /// the value, or with the bracket that begins or ends it. It may change that.
    ///
    /// # Errors
    /// The first fault of the document, or what `replace` says. What is in `out` then is not to be used.
    pub fn feed<E: From<Fault>>(
        &mut self,
        mut chunk: &[u8],
        out: &mut Vec<u8>,
        mut replace: impl FnMut(Seen<'_>, &mut Vec<u8>) -> Result<Option<String>, E>,
    ) -> Result<(), E> {
        loop {
            let before = chunk;
            match self.scanner.next(&mut chunk)? {
                Some(found) => {
                    let used = before.len().saturating_sub(chunk.len());
                    let seen = Seen { asked: found.asked, kind: found.kind, json: found.text, end: found.end };
                    let is_open = matches!(found.kind, Kind::Object | Kind::Array);
                    let value = match found.text {
                        Some(text) => text.len(),
                        None if is_open => 0,
                        None => return Err(Fault::TooLong.into()),
                    };
                    // What of the value came in earlier chunks was held back then.
                    out.extend_from_slice(before.get(..used.saturating_sub(value)).unwrap_or_default());
                    match replace(seen, out)? {
                        Some(json) => out.extend_from_slice(json.as_bytes()),
                        None => out.extend_from_slice(found.text.unwrap_or_default().as_bytes()),
                    }
                }
                None => {
                    let pending = self.scanner.pending().ok_or(Fault::TooLong)?;
                    out.extend_from_slice(before.get(..before.len().saturating_sub(pending)).unwrap_or_default());
                    return Ok(());
                }
            }
        }
    }

    /// Whether the document has ended, as [`Scanner::has_ended`].
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.scanner.has_ended()
    }

    /// Tells that nothing more comes. Nothing is left to go on then: only a bare number at the root ends so late, and
    /// the root itself is no place.
    ///
    /// # Errors
    /// [`Fault::Incomplete`] if the document has not ended, or the fault that was found before.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.scanner.end().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Limits, Plan, Rewriter};
    use crate::wire::scan::{Keep, Kind, Step};
    use std::rc::Rc;

    fn plan() -> Rc<Plan> {
        let mut plan = Plan::default();
        plan.ask(&[Step::member(&["id"])], Keep::Raw);
        plan.ask(&[Step::member(&["list"]), Step::Element], Keep::Raw);
        plan.ask(&[Step::member(&["list"]), Step::Element, Step::member(&["taskId", "task_id"])], Keep::Raw);
        Rc::new(plan)
    }

    /// What comes of `text` in chunks of `size`, with every string at a place in brackets.
    fn rewrite(text: &str, size: usize) -> Result<(String, Vec<Kind>), Fault> {
        let mut rewriter = Rewriter::new(Limits { text: 24, ..Limits::default() }, plan());
        let (mut out, mut kinds) = (Vec::new(), Vec::new());
        for chunk in text.as_bytes().chunks(size) {
            rewriter.feed::<Fault>(chunk, &mut out, |seen, _| {
                kinds.push(seen.kind);
                Ok(seen.json.filter(|_| seen.kind == Kind::String).map(|json| format!("[{json}]")))
            })?;
        }
        rewriter.end()?;
        Ok((String::from_utf8(out).unwrap(), kinds))
    }

    #[test]
    fn values_change_and_nothing_else_does_whatever_the_chunks() {
        for (text, expected) in [
            (r#" { "id" : "a\u0062" , "x":{"id":"no"},"y":"é\n" } "#, r#" { "id" : ["a\u0062"] , "x":{"id":"no"},"y":"é\n" } "#),
            (r#"{"id":null,"list":[]}"#, r#"{"id":null,"list":[]}"#),
            (r#"{"id":-1.5e3}"#, r#"{"id":-1.5e3}"#),
            (
                r#"{"list":[{"taskId":"","task":"t"},7,{"task_id":"2"},{"taskId":{"taskId":"no"}}]}"#,
                r#"{"list":[{"taskId":[""],"task":"t"},7,{"task_id":["2"]},{"taskId":{"taskId":"no"}}]}"#,
            ),
            ("[1,2]", "[1,2]"),
            ("7", "7"),
        ] {
            let whole = rewrite(text, text.len()).unwrap();
            assert_eq!(whole.0, expected);
            for size in 1..text.len() {
                assert_eq!(rewrite(text, size).unwrap(), whole, "{text} by {size}");
            }
        }
    }

    #[test]
    fn nothing_of_a_wanted_value_goes_on_before_it_is_judged() {
        let mut rewriter = Rewriter::new(Limits::default(), plan());
        let mut out = Vec::new();
        rewriter.feed::<Fault>(br#"{"id": "secr"#, &mut out, |_, _| Ok(None)).unwrap();
        assert_eq!(out, br#"{"id": "#);
        assert_eq!(rewriter.feed::<Fault>(b"et\"", &mut out, |_, _| Err(Fault::Malformed)), Err(Fault::Malformed));
        assert_eq!(out, br#"{"id": "#);
    }

    #[test]
    fn faults_are_the_same_whatever_the_chunks() {
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(30));
        for (text, fault) in [
            (long.as_str(), Fault::TooLong),
            (r#"{"id":"a","id":"b"}"#, Fault::RepeatedName),
            (r#"{"ID":"a"}"#, Fault::CaseVariant),
            (r#"{"list":[{"taskId":"a","task_id":"b"}]}"#, Fault::RepeatedName),
            (r#"{"id":"a""#, Fault::Incomplete),
            (r#"{"id":"a"}{"#, Fault::Trailing),
            ("data", Fault::Malformed),
        ] {
            for size in 1..=text.len() {
                assert_eq!(rewrite(text, size), Err(fault), "{text} by {size}");
            }
        }
    }
}

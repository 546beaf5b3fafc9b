//! What a scan has found, kept within bounds: of each thing that is asked for, how often it was there and which
//! different values it had.

use super::{Asked, Fault, Found, Kind, Limits, Plan, Scanner};
use std::rc::Rc;

/// One of the values that something asked for has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Its text; `None` if only the kind was asked for, it is an object or array, or it is longer than allowed.
    pub text: Option<Box<str>>,
}

/// What is known of one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many values there were.
    pub count: usize,
    /// The different ones among them, in the order of the document.
    pub values: Vec<Value>,
}

/// A scan and all it has found.
#[derive(Clone, Debug)]
pub struct Document {
    scanner: Scanner,
    findings: Vec<Findings>,
    limit: usize,
}

impl Document {
    /// A document of which nothing has come.
    #[must_use]
    pub fn new(limits: Limits, plan: Rc<Plan>) -> Self {
        Self { findings: vec![Findings::default(); plan.size()], limit: limits.values, scanner: Scanner::new(limits, plan) }
    }

    /// Reads all of `chunk`.
    ///
    /// # Errors
    /// The first fault of the document, again and again.
    pub fn feed(&mut self, mut chunk: &[u8]) -> Result<(), Fault> {
        while self.next(&mut chunk)?.is_some() {}
        Ok(())
    }

    /// Reads until the next thing that is asked for; `None` once `chunk` is used up.
    ///
    /// # Errors
    /// The first fault of the document, again and again.
    pub fn next(&mut self, chunk: &mut &[u8]) -> Result<Option<Asked>, Fault> {
        let Some(found) = self.scanner.next(chunk)? else { return Ok(None) };
        let asked = found.asked;
        if note(&mut self.findings, self.limit, &found) {
            return Ok(Some(asked));
        }
        Err(self.scanner.fail(Fault::TooManyValues))
    }

    /// Tells that nothing more comes.
    ///
    /// # Errors
    /// [`Fault::Incomplete`] if the document has not ended, or the fault that was found before.
    pub fn end(&mut self) -> Result<(), Fault> {
        if let Some(found) = self.scanner.end()? {
            note(&mut self.findings, self.limit, &found);
        }
        Ok(())
    }

    /// What has been found so far.
    #[must_use]
    pub fn findings(&self, asked: Asked) -> &Findings {
        const NONE: &Findings = &Findings { count: 0, values: Vec::new() };
        self.findings.get(asked.0).unwrap_or(NONE)
    }

    /// Whether nothing can be added to the findings any more.
    #[must_use]
    pub fn is_settled(&self, asked: Asked) -> bool {
        self.scanner.is_settled(asked)
    }
}

/// Whether a value, or one that it stands in, has ended.
pub(in crate::wire) fn is_settled(asked: Asked, closed: &[bool], parent: impl Fn(usize) -> usize) -> bool {
    let mut nodes = std::iter::successors(Some(asked.0), |node| (*node != 0).then(|| parent(*node)));
    nodes.any(|node| closed.get(node).is_some_and(|closed| *closed))
}

/// Whether there was place for it.
pub(in crate::wire) fn note(findings: &mut [Findings], limit: usize, found: &Found<'_>) -> bool {
    let Some(findings) = findings.get_mut(found.asked.0) else { return true };
    findings.count = findings.count.saturating_add(1);
    if findings.values.iter().any(|value| value.kind == found.kind && value.text.as_deref() == found.text) {
        return true;
    }
    if findings.values.len() >= limit {
        return false;
    }
    findings.values.push(Value { kind: found.kind, text: found.text.map(Into::into) });
    true
}

#[cfg(test)]
mod tests {
    use super::super::{Keep, Step};
    use super::{Document, Fault, Kind, Limits, Plan};
    use std::rc::Rc;

    #[test]
    fn different_values_are_kept_and_all_are_counted() {
        let mut plan = Plan::default();
        let kind = plan.ask(&[Step::member(&["parts"]), Step::Element, Step::member(&["kind"])], Keep::Text);
        let part = plan.ask(&[Step::member(&["parts"]), Step::Element], Keep::Kind);
        let mut document = Document::new(Limits::default(), Rc::new(plan));
        document.feed(br#"{"parts":[{"kind":"text"},{"kind":"file"},{"kind":"text"},[],{"kind":null}],"#).unwrap();
        assert!(document.is_settled(kind) && document.is_settled(part));
        document.feed(b"\"x\":1}").unwrap();
        document.end().unwrap();
        let texts: Vec<_> = document.findings(kind).values.iter().map(|value| value.text.as_deref()).collect();
        assert_eq!((document.findings(kind).count, texts), (4, vec![Some("text"), Some("file"), Some("null")]));
        let kinds: Vec<_> = document.findings(part).values.iter().map(|value| value.kind).collect();
        assert_eq!((document.findings(part).count, kinds), (5, vec![Kind::Object, Kind::Array]));
    }

    #[test]
    fn too_many_different_values_are_a_fault() {
        let mut plan = Plan::default();
        plan.ask(&[Step::Element], Keep::Text);
        let mut document = Document::new(Limits { values: 2, ..Limits::default() }, Rc::new(plan));
        assert_eq!(document.feed(b"[1,2,1,2,"), Ok(()));
        assert_eq!(document.feed(b"3]"), Err(Fault::TooManyValues));
        assert_eq!(document.end(), Err(Fault::TooManyValues));
    }
}

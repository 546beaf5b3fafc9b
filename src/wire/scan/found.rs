//! What a scan has found, kept within bounds: of each thing that is asked for, how often it was there and which
//! different values it had.

use super::{Asked, Fault, Found as Told, Kind, Limits, Plan, Scanner};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

/// One of the values that something asked for has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Its text; `None` if only the kind was asked for, it is an object or array, or it is longer than allowed.
    pub text: Option<Text>,
}

/// Bytes of a text that needs no place of its own: most are a name, a version, or a media type.
const SHORT: usize = 22;

/// The text of a value. Reads as `&str`.
#[derive(Clone)]
pub struct Text(Form);

#[derive(Clone)]
enum Form {
    Short(u8, [u8; SHORT]),
    Long(Box<str>),
}

impl Text {
    fn new(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(text.as_bytes());
                Self(Form::Short(length, bytes))
            }
            _ => Self(Form::Long(text.into())),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            // Whole texts are put in, so that they come out.
            Form::Short(length, bytes) => bytes.get(..usize::from(*length)).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default(),
            Form::Long(text) => text,
        }
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

/// The different values of something asked for, in the order of the document. Most have one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    first: Option<Value>,
    others: Vec<Value>,
}

impl Values {
    const NONE: Self = Self { first: None, others: Vec::new() };

    /// The first.
    #[must_use]
    pub const fn first(&self) -> Option<&Value> {
        self.first.as_ref()
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Value> {
        self.first.iter().chain(&self.others)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()).saturating_add(self.others.len())
    }

    fn push(&mut self, value: Value) {
        match &self.first {
            None => self.first = Some(value),
            Some(_) => self.others.push(value),
        }
    }
}

/// What is known of one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many values there were.
    pub count: usize,
    /// The different ones among them, in the order of the document.
    pub values: Values,
}

/// The findings of a whole document: few of the questions have any.
#[derive(Clone, Debug)]
pub(in crate::wire) struct Found {
    /// By question, the place of its findings and one more; 0 if it has none.
    places: Box<[u16]>,
    findings: Vec<Findings>,
}

/// Questions that a usual document answers.
const USUAL: usize = 16;

impl Found {
    /// Nothing yet, of so many questions.
    pub fn new(questions: usize) -> Self {
        Self { places: vec![0; questions].into(), findings: Vec::with_capacity(USUAL) }
    }

    /// What has been found.
    pub fn findings(&self, asked: Asked) -> &Findings {
        const NONE: &Findings = &Findings { count: 0, values: Values::NONE };
        let place = self.places.get(asked.0).and_then(|place| usize::from(*place).checked_sub(1));
        place.and_then(|place| self.findings.get(place)).unwrap_or(NONE)
    }

    /// Takes a value in. Whether there was place for it: of each question, `limit` different values have.
    pub fn note(&mut self, limit: usize, found: &Told<'_>) -> bool {
        let Some(place) = self.places.get_mut(found.asked.0) else { return true };
        if *place == 0 {
            self.findings.push(Findings::default());
            let Ok(new) = u16::try_from(self.findings.len()) else { return false };
            *place = new;
        }
        let Some(findings) = usize::from(*place).checked_sub(1).and_then(|place| self.findings.get_mut(place)) else { return false };
        findings.count = findings.count.saturating_add(1);
        if findings.values.iter().any(|value| value.kind == found.kind && value.text.as_deref() == found.text) {
            return true;
        }
        if findings.values.len() >= limit {
            return false;
        }
        findings.values.push(Value { kind: found.kind, text: found.text.map(Text::new) });
        true
    }
}

/// A scan and all it has found.
#[derive(Clone, Debug)]
pub struct Document {
    scanner: Scanner,
    found: Found,
    limit: usize,
}

impl Document {
    /// A document of which nothing has come.
    #[must_use]
    pub fn new(limits: Limits, plan: Rc<Plan>) -> Self {
        Self { found: Found::new(plan.size()), limit: limits.values, scanner: Scanner::new(limits, plan) }
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
        if self.found.note(self.limit, &found) {
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
            self.found.note(self.limit, &found);
        }
        Ok(())
    }

    /// What has been found so far.
    #[must_use]
    pub fn findings(&self, asked: Asked) -> &Findings {
        self.found.findings(asked)
    }

    /// Whether nothing can be added to the findings any more.
    #[must_use]
    pub fn is_settled(&self, asked: Asked) -> bool {
        self.scanner.is_settled(asked)
    }
}

/// Whether a value, or one that it stands in, has ended.
pub(in crate::wire) fn is_settled(asked: Asked, closed: &[bool], parent: impl Fn(usize) -> usize) -> bool {
    // Most documents are looked at when they have come whole.
    if closed.first() == Some(&true) {
        return true;
    }
    let mut nodes = std::iter::successors(Some(asked.0), |node| (*node != 0).then(|| parent(*node)));
    nodes.any(|node| closed.get(node) == Some(&true))
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
    fn a_text_is_the_same_whatever_its_length() {
        for length in 0..40 {
            for letter in ["a", "\u{e9}", "\u{1f4b6}"] {
                let text = letter.repeat(length);
                assert_eq!(&*super::Text::new(&text), text);
            }
        }
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

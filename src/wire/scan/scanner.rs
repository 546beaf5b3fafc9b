//! The state machine of a scan: bytes in, the wanted values out, the first fault for good. What `tokens` leaves, and
//! what is cut by the end of a chunk, is read here.

mod skip;
mod tokens;

use super::names::{Fingerprint, Hasher, Mark, Names};
use super::number::Number;
use super::text::{Piece, Text, ascii};
use super::{Asked, End, Fault, Found, Keep, Kind, Limits, Plan, is_settled};
use skip::Skipped;
use std::rc::Rc;

/// A scan of one document.
#[derive(Clone, Debug)]
pub struct Scanner {
    plan: Rc<Plan>,
    depth: usize,
    place: Place,
    stack: Vec<Frame>,
    names: Names,
    /// The string, number or literal that is being read.
    text: Text,
    number: Number,
    literal: &'static [u8],
    /// The name that is being read.
    name: Kept,
    hasher: Hasher,
    /// The value that is being read: its place in the plan, its kind, and what of it is kept.
    node: Option<usize>,
    kind: Kind,
    keep: Option<Keep>,
    value: Kept,
    /// What is found is an end.
    end: Option<End>,
    /// By place in the plan: the value has ended.
    closed: Vec<bool>,
    skipped: Skipped,
}

/// What may come next.
#[derive(Clone, Copy, Debug)]
enum Place {
    Value,
    /// A value or `]`.
    FirstElement,
    Name,
    /// A name or `}`.
    FirstName,
    Colon,
    /// Behind a value in an object or array.
    Comma,
    /// Behind the document.
    End,
    InName,
    InString,
    InNumber,
    InLiteral,
    /// In an object or array of which nothing is asked, and that is not read strictly.
    Skipping,
    Failed(Fault),
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    is_object: bool,
    node: Option<usize>,
    mark: Mark,
}

/// A text that is kept up to a limit.
#[derive(Clone, Debug)]
struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    is_cut: bool,
}

impl Kept {
    const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, is_cut: false }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.is_cut = false;
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.is_cut || self.bytes.len().saturating_add(bytes.len()) > self.limit {
            self.is_cut = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn whole(&self) -> Option<&[u8]> {
        (!self.is_cut).then_some(self.bytes.as_slice())
    }
}

/// The place in the plan of a wanted value that is there.
type Hit = usize;

impl Scanner {
    /// A scan that looks for what `plan` asks.
    #[must_use]
    pub fn new(limits: Limits, plan: Rc<Plan>) -> Self {
        Self {
            depth: limits.depth,
            place: Place::Value,
            stack: Vec::with_capacity(limits.depth.min(8)),
            names: Names::new(limits.names),
            text: Text::Plain,
            number: Number::Start,
            literal: &[],
            name: Kept::new(plan.longest_name()),
            hasher: Hasher::default(),
            node: Some(0),
            kind: Kind::Null,
            keep: None,
            value: Kept::new(limits.text),
            end: None,
            closed: vec![false; plan.size()],
            skipped: Skipped::default(),
            plan,
        }
    }

    /// Reads from the front of `chunk` until something is found; `None` once `chunk` is used up.
    ///
    /// # Errors
    /// The first fault of the document, again and again.
    pub fn next(&mut self, chunk: &mut &[u8]) -> Result<Option<Found<'_>>, Fault> {
        self.end = None;
        match self.read(chunk) {
            Ok(hit) => self.found(hit),
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// Tells that nothing more comes. A document that is a number ends only now.
    ///
    /// # Errors
    /// [`Fault::Incomplete`] if the document has not ended, or the fault that was found before.
    pub fn end(&mut self) -> Result<Option<Found<'_>>, Fault> {
        let hit = match self.place {
            Place::InNumber if self.number.is_complete() => self.complete(),
            _ => None,
        };
        match self.place {
            Place::End => self.found(hit),
            Place::Failed(fault) => Err(fault),
            _ => Err(self.fail(Fault::Incomplete)),
        }
    }

    /// How many bytes have come of a string, number or literal that is asked for with [`Keep::Raw`] and has not ended:
    /// 0 if none is being read, `None` if it is longer than [`Limits::text`].
    #[must_use]
    pub fn pending(&self) -> Option<usize> {
        match (self.place, self.keep) {
            (Place::InString | Place::InNumber, Some(_)) => self.value.whole().map(<[u8]>::len),
            (Place::InLiteral, Some(_)) => self.value.whole().map(|literal| literal.len().saturating_sub(self.literal.len())),
            _ => Some(0),
        }
    }

    /// Whether the document has ended, so that only white space may follow. A number at the root never tells.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.place, Place::End)
    }

    /// Whether what is asked for cannot be found any more, or not again.
    #[must_use]
    pub fn is_settled(&self, asked: Asked) -> bool {
        is_settled(asked, &self.closed, |node| self.plan.parent(node))
    }

    pub(super) const fn fail(&mut self, fault: Fault) -> Fault {
        self.place = Place::Failed(fault);
        fault
    }

    fn found(&self, hit: Option<Hit>) -> Result<Option<Found<'_>>, Fault> {
        let Some(node) = hit else { return Ok(None) };
        let text = self.keep.and(self.value.whole()).map(std::str::from_utf8);
        let text = text.transpose().map_err(|_| Fault::NotUtf8)?;
        Ok(Some(Found { asked: Asked(node), kind: self.kind, text, end: self.end }))
    }

    fn read(&mut self, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        while !chunk.is_empty() {
            let hit = match self.place {
                Place::InName => self.in_name(chunk)?,
                Place::InString => self.in_string(chunk)?,
                Place::InNumber => self.in_number(chunk)?,
                Place::InLiteral => self.in_literal(chunk)?,
                Place::Failed(fault) => return Err(fault),
                Place::Skipping => {
                    self.skip(chunk)?;
                    None
                }
                _ => {
                    let hit = self.tokens(chunk)?;
                    if hit.is_some() || matches!(self.place, Place::InString | Place::Skipping) {
                        hit
                    } else {
                        *chunk = tokens::spaces(chunk);
                        self.structure(chunk)?
                    }
                }
            };
            if hit.is_some() {
                return Ok(hit);
            }
        }
        Ok(None)
    }

    /// Reads one byte between strings, numbers and literals, and what begins with it.
    fn structure(&mut self, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        let place = self.place;
        let [byte, rest @ ..] = *chunk else { return Ok(None) };
        *chunk = rest;
        match (place, *byte) {
            (Place::Name | Place::FirstName, b'"') => return self.begin_name(chunk),
            (Place::FirstName, b'}') | (Place::FirstElement, b']') => return Ok(self.close(End::Empty)),
            (Place::Value, byte) => return self.begin(byte, chunk),
            (Place::FirstElement, byte) => {
                self.enter_element();
                return self.begin(byte, chunk);
            }
            (Place::Comma, byte) => match (byte, self.stack.last().is_some_and(|frame| frame.is_object)) {
                (b',', true) => self.place = Place::Name,
                (b',', false) => {
                    self.enter_element();
                    self.place = Place::Value;
                }
                (b'}', true) | (b']', false) => return Ok(self.close(End::Filled)),
                _ => return Err(Fault::Malformed),
            },
            (Place::Colon, b':') => self.place = Place::Value,
            (Place::End, _) => return Err(Fault::Trailing),
            _ => return Err(Fault::Malformed),
        }
        Ok(None)
    }

    fn begin(&mut self, byte: u8, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        let literal;
        (self.place, self.kind, literal) = match byte {
            b'"' => (Place::InString, Kind::String, &b"\""[..]),
            b'{' => (Place::FirstName, Kind::Object, &b""[..]),
            b'[' => (Place::FirstElement, Kind::Array, &b""[..]),
            b'-' | b'0'..=b'9' => (Place::InNumber, Kind::Number, &b""[..]),
            b't' => (Place::InLiteral, Kind::Bool, &b"true"[..]),
            b'f' => (Place::InLiteral, Kind::Bool, &b"false"[..]),
            b'n' => (Place::InLiteral, Kind::Null, &b"null"[..]),
            _ => return Err(Fault::Malformed),
        };
        self.keep = self.node.and_then(|node| self.plan.keep(node));
        let is_open = matches!(self.kind, Kind::Object | Kind::Array);
        if is_open {
            if self.stack.len() >= self.depth {
                return Err(Fault::TooDeep);
            }
            self.place = self.open(self.kind == Kind::Object);
        }
        match self.kind {
            Kind::Number => self.number = Number::Start.read(&mut &[byte][..]),
            Kind::String => self.text = Text::Plain,
            _ => self.literal = literal.get(1..).unwrap_or_default(),
        }
        let hit = match self.keep {
            None => None,
            Some(Keep::Text | Keep::Raw) if !is_open => {
                self.value.clear();
                match (self.kind, self.keep) {
                    (Kind::String, Some(Keep::Text)) => {}
                    (Kind::Number, _) => self.value.add(&[byte]),
                    _ => self.value.add(literal),
                }
                None
            }
            Some(_) => {
                self.keep = None;
                self.node
            }
        };
        // Most strings and numbers end in the chunk in which they begin.
        match self.kind {
            Kind::String if hit.is_none() => self.in_string(chunk),
            Kind::Number if hit.is_none() => self.in_number(chunk),
            _ => Ok(hit),
        }
    }

    /// Enters an object or array; what comes next.
    #[inline]
    fn open(&mut self, is_object: bool) -> Place {
        self.stack.push(Frame { is_object, node: self.node, mark: self.names.open() });
        if self.plan.is_skipped(self.node) && self.depth <= skip::MOST {
            self.skipped = Skipped::begin(is_object);
            return Place::Skipping;
        }
        if is_object { Place::FirstName } else { Place::FirstElement }
    }

    #[inline]
    fn enter_element(&mut self) {
        self.node = self.stack.last().and_then(|frame| frame.node).and_then(|node| self.plan.element(node));
    }

    fn begin_name(&mut self, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        let Some(Frame { node, mark, .. }) = self.stack.last().copied() else { return Ok(None) };
        let node = node.filter(|node| self.plan.has_members(*node));
        if let Some((name, [b'"', rest @ ..])) = chunk.split_at_checked(ascii(chunk)) {
            *chunk = rest;
            self.named(node, mark, Some(name), Fingerprint::of(name))?;
            return Ok(None);
        }
        self.place = Place::InName;
        self.text = Text::Plain;
        self.hasher = Hasher::default();
        self.name.clear();
        self.name.is_cut = node.is_none();
        Ok(None)
    }

    fn in_name(&mut self, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        loop {
            let mut buffer = [0; 4];
            let bytes = match self.text.read(chunk)? {
                Piece::Plain(bytes) => bytes,
                Piece::Char('\0') => return Err(Fault::ControlCharacter),
                Piece::Char(char) => char.encode_utf8(&mut buffer).as_bytes(),
                Piece::More => return Ok(None),
                Piece::End => {
                    let name = std::mem::replace(&mut self.name, Kept::new(0));
                    let Some(Frame { node, mark, .. }) = self.stack.last().copied() else { return Ok(None) };
                    let result = self.named(node, mark, name.whole(), self.hasher.finish());
                    self.name = name;
                    return result.map(|()| None);
                }
            };
            self.hasher.extend(bytes);
            self.name.add(bytes);
        }
    }

    /// Ends a name in the object at `node` whose names begin at `mark`. `name` is `None` if it is too long to be wanted.
    #[inline]
    fn named(&mut self, node: Option<usize>, mark: Mark, name: Option<&[u8]>, fingerprint: Fingerprint) -> Result<(), Fault> {
        let wanted = match (node, name) {
            (Some(node), Some(name)) => self.plan.member(node, name, fingerprint)?,
            _ => None,
        };
        let fingerprint = wanted.map_or(fingerprint, |(_, fingerprint)| fingerprint);
        self.names.add(self.stack.len(), mark, fingerprint)?;
        self.node = wanted.map(|(node, _)| node);
        self.place = Place::Colon;
        Ok(())
    }

    fn in_string(&mut self, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        if self.keep.is_none() {
            return Ok(if self.text.skip(chunk)? { self.complete() } else { None });
        }
        loop {
            let before = *chunk;
            let piece = self.text.read(chunk)?;
            match (self.keep, &piece) {
                (None, _) => {}
                (Some(Keep::Raw), _) => {
                    let used = before.len().saturating_sub(chunk.len());
                    self.value.add(before.get(..used).unwrap_or_default());
                }
                (Some(_), Piece::Plain(bytes)) => self.value.add(bytes),
                (Some(_), Piece::Char(char)) => self.value.add(char.encode_utf8(&mut [0; 4]).as_bytes()),
                _ => {}
            }
            match piece {
                Piece::End => return Ok(self.complete()),
                Piece::More => return Ok(None),
                Piece::Plain(_) | Piece::Char(_) => {}
            }
        }
    }

    fn in_number(&mut self, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        let before = *chunk;
        self.number = self.number.read(chunk);
        if self.keep.is_some() {
            let used = before.len().saturating_sub(chunk.len());
            self.value.add(before.get(..used).unwrap_or_default());
        }
        match chunk.is_empty() {
            true => Ok(None),
            false if self.number.is_complete() => Ok(self.complete()),
            false => Err(Fault::Malformed),
        }
    }

    fn in_literal(&mut self, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        while let ([wanted, left @ ..], [byte, rest @ ..]) = (self.literal, *chunk) {
            if wanted != byte {
                return Err(Fault::Malformed);
            }
            (self.literal, *chunk) = (left, rest);
        }
        Ok(if self.literal.is_empty() { self.complete() } else { None })
    }

    /// Ends an object or array.
    #[inline]
    fn close(&mut self, end: End) -> Option<Hit> {
        let depth = self.stack.len();
        let frame = self.stack.pop()?;
        self.names.close(depth, frame.mark);
        self.node = frame.node;
        self.keep = None;
        self.complete();
        let node = frame.node.filter(|node| self.plan.ends(*node))?;
        self.kind = if frame.is_object { Kind::Object } else { Kind::Array };
        self.end = Some(end);
        Some(node)
    }

    /// Ends a value.
    #[inline]
    fn complete(&mut self) -> Option<Hit> {
        self.place = if self.stack.is_empty() { Place::End } else { Place::Comma };
        let node = self.node?;
        self.is_over(node);
        self.keep.map(|_| node)
    }

    /// Nothing more comes of what is asked of `node`, unless there can be several.
    fn is_over(&mut self, node: usize) {
        if let Some(closed) = self.closed.get_mut(node).filter(|_| !self.plan.repeats(node)) {
            *closed = true;
        }
    }
}

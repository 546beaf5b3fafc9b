//! The state machine of a scan: bytes in, findings out, the first fault for good. Only what a plan asks for is entered;
//! everything else is skipped by its length, so neither depth nor size of a message costs memory.

use super::Fault;
use super::place::{Open, Place, Role, Target, Text};
use super::plan::{Plan, Type};
use super::varint::{Varint, Wire, int32, tag};
use crate::wire::scan::{Asked, Findings, Found, FoundSoFar, Keep, Kind, Limits, is_settled};
use std::rc::Rc;

/// A message that is arriving, and all that was found in it.
#[derive(Clone, Debug)]
pub struct Document {
    plan: Rc<Plan>,
    limits: Limits,
    found: FoundSoFar,
    /// By place in the plan: the field has ended and does not come again.
    closed: Vec<bool>,
    /// Bytes read.
    at: u64,
    stack: Vec<Open>,
    place: Place,
    varint: Varint,
    text: Text,
}

impl Document {
    /// A message of which nothing has come, not even its length. Of `limits` count the text and the values.
    #[must_use]
    pub fn new(limits: Limits, plan: Rc<Plan>) -> Self {
        Self {
            found: FoundSoFar::new(plan.size()),
            closed: vec![false; plan.size()],
            at: 0,
            stack: Vec::new(),
            place: Place::Before,
            varint: Varint::default(),
            text: Text::default(),
            limits,
            plan,
        }
    }

    /// Says how many bytes the message has.
    ///
    /// # Errors
    /// As [`Document::feed`].
    pub fn begin(&mut self, length: u64) -> Result<(), Fault> {
        self.stack.push(Open { end: length, seen: 0, role: Role::Message(0) });
        self.place = Place::Tag;
        let begun = if self.plan.node(0).is_some_and(|root| root.keep.is_some()) { self.note(0, Kind::Object, None) } else { Ok(()) };
        begun.map_err(|fault| self.fail(fault))?;
        self.feed(&mut &[][..])
    }

    /// Reads from the front of `chunk` to its end or the end of the message.
    ///
    /// # Errors
    /// The first fault of the message, again and again.
    pub fn feed(&mut self, chunk: &mut &[u8]) -> Result<(), Fault> {
        self.read(chunk).map_err(|fault| self.fail(fault))
    }

    /// Whether the message is complete.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.place, Place::End)
    }

    /// What has been found so far.
    #[must_use]
    pub fn findings(&self, asked: Asked) -> &Findings {
        self.found.findings(asked)
    }

    /// Whether nothing can be added to the findings any more.
    #[must_use]
    pub fn is_settled(&self, asked: Asked) -> bool {
        is_settled(asked, &self.closed, |node| self.plan.node(node).map_or(0, |node| node.parent))
    }

    const fn fail(&mut self, fault: Fault) -> Fault {
        self.place = Place::Failed(fault);
        fault
    }

    fn read(&mut self, chunk: &mut &[u8]) -> Result<(), Fault> {
        loop {
            let end = self.stack.last().map_or(0, |open| open.end);
            match self.place {
                Place::Before | Place::End => return Ok(()),
                Place::Failed(fault) => return Err(fault),
                Place::Tag if self.at >= end && self.varint.is_empty() => self.close()?,
                Place::Tag | Place::Number(_) | Place::Length(_) if self.at >= end => return Err(Fault::Length),
                Place::Skip(until) if self.at >= until => self.place = Place::Tag,
                Place::Text(node, until) if self.at >= until => self.end_text(node)?,
                Place::Key(until) if self.at >= until => self.end_key()?,
                _ if chunk.is_empty() => return Ok(()),
                Place::Tag => {
                    if let Some(value) = self.varint(chunk)? {
                        self.tagged(value)?;
                    }
                }
                Place::Number(target) => {
                    if let Some(value) = self.varint(chunk)? {
                        self.place = Place::Tag;
                        self.number(target, value)?;
                    }
                }
                Place::Length(target) => {
                    if let Some(length) = self.varint(chunk)? {
                        let until = self.until(length)?;
                        self.place = Place::Tag;
                        self.enter(target, until)?;
                    }
                }
                Place::Skip(until) => drop(self.take(chunk, until)),
                Place::Text(_, until) | Place::Key(until) => {
                    let piece = self.take(chunk, until);
                    self.text.add(piece)?;
                }
            }
        }
    }

    /// Takes bytes up to `until` off the front of `chunk`.
    fn take<'a>(&mut self, chunk: &mut &'a [u8], until: u64) -> &'a [u8] {
        let left = usize::try_from(until.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let (taken, rest) = chunk.split_at_checked(left).unwrap_or((chunk, &[]));
        *chunk = rest;
        self.at = self.at.saturating_add(u64::try_from(taken.len()).unwrap_or(u64::MAX));
        taken
    }

    fn varint(&mut self, chunk: &mut &[u8]) -> Result<Option<u64>, Fault> {
        let [byte, rest @ ..] = *chunk else { return Ok(None) };
        *chunk = rest;
        self.at = self.at.saturating_add(1);
        self.varint.push(*byte)
    }

    /// The end of a field of so many bytes.
    fn until(&self, length: u64) -> Result<u64, Fault> {
        let end = self.stack.last().map_or(0, |open| open.end);
        self.at.checked_add(length).filter(|until| *until <= end).ok_or(Fault::Length)
    }

    fn tagged(&mut self, value: u64) -> Result<(), Fault> {
        let (number, wire) = tag(value)?;
        let plan = Rc::clone(&self.plan);
        let Some(open) = self.stack.last_mut() else { return Err(Fault::Length) };
        let (target, wanted) = match &mut open.role {
            Role::Message(node) if plan.is_map(*node, number) => (Target::Entry(*node), Wire::Length),
            Role::Message(node) => match plan.field(*node, number) {
                None => (Target::Nothing, wire),
                Some((child, field)) => {
                    open.mark(field.slot)?;
                    (Target::Node(child), if field.kind == Type::Int32 { Wire::Varint } else { Wire::Length })
                }
            },
            Role::Entry { has_key, .. } if number == 1 => match std::mem::replace(has_key, true) {
                true => return Err(Fault::Repeated),
                false => (Target::Key, Wire::Length),
            },
            Role::Entry { wanted, has_key, has_value, .. } if number == 2 => match (*has_key, std::mem::replace(has_value, true)) {
                (false, _) => return Err(Fault::Entry),
                (true, true) => return Err(Fault::Repeated),
                (true, false) => (wanted.map_or(Target::Nothing, Target::Value), Wire::Length),
            },
            Role::Entry { .. } => return Err(Fault::Entry),
            Role::Value(node) => {
                let found = match number {
                    1 => (Target::Null(*node), Wire::Varint),
                    2 => (Target::Node(*node), Wire::Fixed64),
                    3 => (Target::Text(*node), Wire::Length),
                    4 => (Target::Bool(*node), Wire::Varint),
                    5 => (Target::Struct(*node), Wire::Length),
                    6 => (Target::List(*node), Wire::Length),
                    _ => (Target::Nothing, wire),
                };
                if number <= 6 {
                    open.mark(Some(0))?;
                }
                found
            }
        };
        if wire != wanted {
            return Err(Fault::WireType);
        }
        self.place = match wire {
            Wire::Varint => Place::Number(target),
            Wire::Length => Place::Length(target),
            Wire::Fixed32 => Place::Skip(self.until(4)?),
            Wire::Fixed64 => {
                if let Target::Node(node) = target {
                    self.note(node, Kind::Number, None)?;
                }
                Place::Skip(self.until(8)?)
            }
        };
        Ok(())
    }

    fn number(&mut self, target: Target, value: u64) -> Result<(), Fault> {
        match (target, value) {
            (Target::Node(node), value) => {
                self.settle(node);
                self.note(node, Kind::Number, Some(&int32(value)?.to_string()))
            }
            (Target::Null(node), 0) => self.note(node, Kind::Null, Some("null")),
            (Target::Bool(node), 0) => self.note(node, Kind::Bool, Some("false")),
            (Target::Bool(node), 1) => self.note(node, Kind::Bool, Some("true")),
            (Target::Null(_) | Target::Bool(_), _) => Err(Fault::Range),
            _ => Ok(()),
        }
    }

    /// Begins a field of bytes that ends at `until`.
    fn enter(&mut self, target: Target, until: u64) -> Result<(), Fault> {
        let mut open = |role| self.stack.push(Open { end: until, seen: 0, role });
        match target {
            Target::Entry(map) => open(Role::Entry { map, wanted: None, has_key: false, has_value: false }),
            Target::Value(node) => open(Role::Value(node)),
            Target::Key => {
                self.text.begin(self.plan.longest_key());
                self.place = Place::Key(until);
            }
            Target::Text(node) => self.begin_text(node, until),
            Target::Struct(node) | Target::List(node) => {
                self.place = Place::Skip(until);
                return self.note(node, if matches!(target, Target::List(_)) { Kind::Array } else { Kind::Object }, None);
            }
            Target::Node(node) => match self.plan.node(node).map(|field| field.kind) {
                Some(Type::Message) => {
                    open(Role::Message(node));
                    return self.note(node, Kind::Object, None);
                }
                Some(Type::Value) => open(Role::Value(node)),
                Some(Type::Text) => self.begin_text(node, until),
                Some(Type::Bytes) => {
                    self.place = Place::Skip(until);
                    self.settle(node);
                    return self.note(node, Kind::String, None);
                }
                Some(Type::Int32) | None => return Err(Fault::WireType),
            },
            Target::Nothing | Target::Null(_) | Target::Bool(_) => self.place = Place::Skip(until),
        }
        Ok(())
    }

    fn begin_text(&mut self, node: usize, until: u64) {
        let keep = self.plan.node(node).and_then(|field| field.keep);
        self.text.begin(if keep >= Some(Keep::Text) { self.limits.text } else { 0 });
        self.place = Place::Text(node, until);
    }

    fn end_text(&mut self, node: usize) -> Result<(), Fault> {
        self.place = Place::Tag;
        let text = std::mem::take(&mut self.text);
        let keep = self.plan.node(node).and_then(|field| field.keep);
        let noted = text.end().and_then(|text| self.note(node, Kind::String, text.filter(|_| keep >= Some(Keep::Text))));
        self.text = text;
        // A text inside a value ends with that.
        if !matches!(self.stack.last().map(|open| open.role), Some(Role::Value(_))) {
            self.settle(node);
        }
        noted
    }

    fn end_key(&mut self) -> Result<(), Fault> {
        self.place = Place::Tag;
        let key = self.text.end()?;
        let [.., map, Open { role: Role::Entry { map: node, wanted, .. }, .. }] = self.stack.as_mut_slice() else { return Ok(()) };
        if let Some((child, slot)) = key.and_then(|key| self.plan.key(*node, key.as_bytes())) {
            map.mark(slot)?;
            *wanted = Some(child);
        }
        Ok(())
    }

    /// Ends the innermost message.
    fn close(&mut self) -> Result<(), Fault> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        if self.stack.is_empty() {
            self.place = Place::End;
        }
        match open.role {
            Role::Message(node) => self.settle(node),
            Role::Value(node) => {
                self.settle(node);
                if open.seen == 0 {
                    self.note(node, Kind::Null, Some("null"))?;
                }
            }
            Role::Entry { has_key: false, .. } => return Err(Fault::Entry),
            Role::Entry { wanted: Some(node), has_value: false, .. } => {
                self.settle(node);
                self.note(node, Kind::Null, Some("null"))?;
            }
            Role::Entry { .. } => {}
        }
        Ok(())
    }

    fn settle(&mut self, node: usize) {
        if let Some(closed) = self.closed.get_mut(node).filter(|_| self.plan.node(node).is_some_and(|node| !node.repeats)) {
            *closed = true;
        }
    }

    fn note(&mut self, node: usize, kind: Kind, text: Option<&str>) -> Result<(), Fault> {
        let Some(keep) = self.plan.node(node).and_then(|field| field.keep) else { return Ok(()) };
        let text = text.filter(|_| keep >= Keep::Text);
        let found = Found { asked: Asked(node), kind, text, end: None };
        if self.found.note(self.limits.values, &found) { Ok(()) } else { Err(Fault::TooManyValues) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, Plan, Step, Type};
    use super::{Asked, Document, Keep, Kind, Limits};
    use std::rc::Rc;

    const ASKED: usize = 6;

    /// A message with a singular one (2) that has parts (5: text 1, bytes 2) and metadata (6), a number (3), texts (4).
    fn plan() -> (Plan, [Asked; ASKED]) {
        let mut plan = Plan::default();
        let part = [Step::One(2), Step::Each(5)];
        let asked = [
            plan.ask(&part, Type::Message, Keep::Kind),
            plan.ask(&[&part[..], &[Step::Choice(1)]].concat(), Type::Text, Keep::Text),
            plan.ask(&[&part[..], &[Step::Choice(2)]].concat(), Type::Bytes, Keep::Kind),
            plan.ask(&[Step::One(2), Step::One(6), Step::Key("skill".into())], Type::Value, Keep::Text),
            plan.ask(&[Step::One(3)], Type::Int32, Keep::Text),
            plan.ask(&[Step::Each(4)], Type::Text, Keep::Text),
        ];
        (plan, asked)
    }

    type Seen = Vec<(usize, Vec<(Kind, Option<String>)>)>;

    fn scan(bytes: &[u8]) -> Result<Seen, Fault> {
        let (plan, asked) = plan();
        let plan = Rc::new(plan);
        let mut results = (1..=bytes.len().max(1)).map(|size| {
            let mut document = Document::new(Limits { values: 2, ..Limits::default() }, Rc::clone(&plan));
            document.begin(bytes.len() as u64)?;
            for mut chunk in bytes.chunks(size) {
                document.feed(&mut chunk)?;
                assert!(chunk.is_empty());
            }
            assert!(document.is_complete() && asked.iter().all(|asked| document.is_settled(*asked)), "{bytes:?} by {size}");
            let seen = |asked: &Asked| {
                let found = document.findings(*asked);
                (found.count, found.values.iter().map(|value| (value.kind, value.text.as_deref().map(str::to_owned))).collect())
            };
            Ok(asked.iter().map(seen).collect())
        });
        let first = results.next().unwrap();
        results.for_each(|other: Result<Seen, Fault>| assert_eq!(other, first, "{bytes:?}"));
        first
    }

    fn text(text: &str) -> (Kind, Option<String>) {
        (Kind::String, Some(text.to_owned()))
    }

    #[test]
    fn what_is_asked_for_is_found_in_any_chunks() {
        let seen = scan(b"\x12\x16\x2a\x04\x0a\x02hi\x0a\x01x\x2a\x03\x12\x01\xff\x2a\x04\x0a\x02hi\x2a\0\x18\x07\x22\x01a\x22\x01b\x0d....\x09........").unwrap();
        assert_eq!(seen[0], (4, vec![(Kind::Object, None)]));
        assert_eq!(seen[1], (2, vec![text("hi")]));
        assert_eq!(seen[2], (1, vec![(Kind::String, None)]));
        assert_eq!(seen[4], (1, vec![(Kind::Number, Some("7".to_owned()))]));
        assert_eq!(seen[5], (2, vec![text("a"), text("b")]));
        assert!(scan(b"").unwrap().iter().all(|(count, _)| *count == 0));
    }

    /// Metadata whose entries are these.
    fn metadata(entries: &[&[u8]]) -> Vec<u8> {
        let within = |tag: u8, bytes: &[u8]| [&[tag, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
        let entries: Vec<u8> = entries.iter().flat_map(|entry| within(0x0a, entry)).collect();
        within(0x12, &within(0x32, &entries))
    }

    #[test]
    fn a_member_of_a_struct_is_what_it_is_in_json() {
        let skill = |value: &[u8]| {
            let length = u8::try_from(value.len()).unwrap();
            metadata(&[b"\x0a\x01a\x12\x02\x20\x01", &[b"\x0a\x05skill\x12", &[length][..], value].concat(), b"\x0a\x05Skill"])
        };
        for (value, kind, text) in [
            (&b"\x1a\x06submit"[..], Kind::String, Some("submit")),
            (b"\x08\0", Kind::Null, Some("null")),
            (b"", Kind::Null, Some("null")),
            (b"\x20\0", Kind::Bool, Some("false")),
            (b"\x11........", Kind::Number, None),
            (b"\x2a\0", Kind::Object, None),
            (b"\x32\0", Kind::Array, None),
        ] {
            assert_eq!(scan(&skill(value)).unwrap()[3], (1, vec![(kind, text.map(str::to_owned))]), "{value:?}");
        }
        assert_eq!(scan(&metadata(&[b"\x0a\x05skill"])).unwrap()[3], (1, vec![(Kind::Null, Some("null".to_owned()))]));
    }

    #[test]
    fn what_parsers_read_in_two_ways_is_refused() {
        for (bytes, fault) in [
            (&b"\x18\x01\x18\x01"[..], Fault::Repeated),
            (b"\x12\0\x12\0", Fault::Repeated),
            (b"\x12\x08\x2a\x06\x0a\x01a\x0a\x01b", Fault::Repeated),
            (b"\x12\x08\x2a\x06\x0a\x01a\x12\x01b", Fault::Repeated),
            (b"\x1a\x01\x01", Fault::WireType),
            (b"\x20\x01", Fault::WireType),
            (b"\x18\x80\x80\x80\x80\x10", Fault::Range),
            (b"\x22\x02a\xff", Fault::NotUtf8),
            (b"\x22\x01\xe2", Fault::NotUtf8),
            (b"\x22\x02a", Fault::Length),
            (b"\x12\x02\x2a\x01\0", Fault::Length),
            (b"\x12\x01\x2a", Fault::Length),
            (b"\x12\x02\x80\x80\x01", Fault::Length),
            (b"\x0d...", Fault::Length),
            (b"\x3b\x3c", Fault::Group),
            (b"\x02\0", Fault::Tag),
            (b"\x8a\0\0", Fault::Varint),
            (b"\x22\x01a\x22\x01b\x22\x01c", Fault::TooManyValues),
        ] {
            assert_eq!(scan(bytes), Err(fault), "{bytes:?}");
        }
        let value = b"\x12\x02\x20\x01";
        let member = [b"\x0a\x05skill".as_slice(), value].concat();
        for (entries, fault) in [
            (vec![member.clone(), member.clone()], Fault::Repeated),
            (vec![[value.as_slice(), b"\x0a\x05skill"].concat()], Fault::Entry),
            (vec![value.to_vec()], Fault::Entry),
            (vec![vec![]], Fault::Entry),
            (vec![[&member[..], b"\x18\x01"].concat()], Fault::Entry),
            (vec![[b"\x0a\x01a".as_slice(), &member].concat()], Fault::Repeated),
            (vec![[&member[..], value].concat()], Fault::Repeated),
            (vec![b"\x0a\x05skill\x12\x04\x20\x01\x08\0".to_vec()], Fault::Repeated),
            (vec![b"\x0a\x05skill\x12\x02\x20\x02".to_vec()], Fault::Range),
            (vec![b"\x0a\x01\xff".to_vec()], Fault::NotUtf8),
        ] {
            let entries: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
            assert_eq!(scan(&metadata(&entries)), Err(fault), "{entries:?}");
        }
        // What is not wanted may be there as often as it likes.
        assert!(scan(&metadata(&[b"\x0a\x01a", b"\x0a\x01a"])).is_ok() && scan(b"\x38\x01\x38\x01").is_ok());
    }

    #[test]
    fn a_field_is_settled_as_soon_as_it_cannot_come_again() {
        let (plan, [part, .., number, texts]) = plan();
        let mut document = Document::new(Limits::default(), Rc::new(plan));
        document.begin(9).unwrap();
        document.feed(&mut &b"\x12\x02\x2a\0"[..]).unwrap();
        assert!(document.is_settled(part) && !document.is_settled(number));
        document.feed(&mut &b"\x18\x01"[..]).unwrap();
        assert!(document.is_settled(number) && !document.is_settled(texts));
        let mut chunk = &b"\x22\x01abehind"[..];
        document.feed(&mut chunk).unwrap();
        assert!(document.is_settled(texts) && document.is_complete() && chunk == b"behind");
    }
}

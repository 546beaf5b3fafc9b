//! A whole message with other texts at some places. What a plan names is read as strictly as [`super::Document`] reads it; every other
//! byte goes on unchanged, but for the lengths of the messages that a changed text is in.

use super::place::{Open, Role};
use super::plan::{Plan, Type};
use super::whole::{Raw, field};
use super::{Fault, Writer};
use crate::wire::scan::Asked;

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The place.
    pub asked: Asked,
    /// The text; `None` for a message, which is told when it begins.
    pub text: Option<&'a str>,
}

/// `message` with the texts that `replace` gives for what is seen, or `None` for what stays; of a message only `None` has a meaning. With an
/// empty text the field is left out: where it is there once and in no oneof, that means the same. The places of `plan` are messages and
/// texts. What comes out has at most `most` bytes.
///
/// # Errors
/// The first fault of the message, or what `replace` says.
pub fn rewrite<E: From<Fault>>(
    plan: &Plan,
    message: &[u8],
    most: usize,
    replace: &mut dyn FnMut(Seen<'_>) -> Result<Option<String>, E>,
) -> Result<Vec<u8>, E> {
    inside(plan, 0, message, most, replace)
}

/// The same for a message at `node` of the plan. It goes no deeper than the plan does.
fn inside<E: From<Fault>>(
    plan: &Plan,
    node: usize,
    message: &[u8],
    most: usize,
    replace: &mut dyn FnMut(Seen<'_>) -> Result<Option<String>, E>,
) -> Result<Vec<u8>, E> {
    let mut open = Open { end: 0, seen: 0, role: Role::Message(node) };
    let mut out = Writer::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let before = rest;
        let (number, raw) = field(&mut rest)?;
        let as_it_is = before.get(..before.len().saturating_sub(rest.len())).unwrap_or_default();
        if let Some((child, wanted)) = plan.field(node, number) {
            open.mark(wanted.slot)?;
            let Raw::Bytes(bytes) = raw else { return Err(Fault::WireType.into()) };
            let text = match wanted.kind {
                Type::Text => Some(std::str::from_utf8(bytes).map_err(|_| Fault::NotUtf8)?),
                Type::Message => None,
                Type::Bytes | Type::Int32 | Type::Value => return Err(Fault::WireType.into()),
            };
            let told = if wanted.keep.is_some() { replace(Seen { asked: Asked(child), text })? } else { None };
            match (text, told) {
                (Some(_), None) => out.raw(as_it_is),
                (Some(_), Some(other)) if other.is_empty() => {}
                (Some(_), Some(other)) => out.bytes(number, other.as_bytes()),
                (None, _) => out.bytes(number, &inside(plan, child, bytes, most, replace)?),
            }
        } else {
            out.raw(as_it_is);
        }
        if out.len() > most {
            return Err(Fault::TooLong.into());
        }
    }
    Ok(out.end())
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, Plan, Step, Type, Writer};
    use super::rewrite;
    use crate::wire::scan::Keep;

    /// A text (1), a message (2) with texts (3) and, as its oneof, a text (4) or a message (5) with a text (1).
    fn plan() -> Plan {
        let mut plan = Plan::default();
        plan.ask(&[Step::One(1)], Type::Text, Keep::Text);
        plan.ask(&[Step::One(2)], Type::Message, Keep::Kind);
        plan.ask(&[Step::One(2), Step::Each(3)], Type::Text, Keep::Text);
        plan.ask(&[Step::One(2), Step::Choice(4)], Type::Text, Keep::Text);
        plan.ask(&[Step::One(2), Step::Choice(5), Step::One(1)], Type::Text, Keep::Text);
        plan
    }

    /// `message` with `to` in place of each text `from`, and what was seen.
    fn play(message: &[u8], from: &str, to: &str, most: usize) -> Result<(Vec<u8>, Vec<String>), Fault> {
        let mut seen = Vec::new();
        let out = rewrite(&plan(), message, most, &mut |one| {
            seen.push(one.text.unwrap_or("{").to_owned());
            Ok(one.text.filter(|text| *text == from).map(|_| to.to_owned()))
        });
        out.map(|out| (out, seen))
    }

    fn message(text: &str) -> Vec<u8> {
        let mut within = Writer::default();
        within.varint(9, 300);
        within.bytes(3, text.as_bytes());
        within.bytes(3, b"other");
        let mut choice = Writer::default();
        choice.bytes(1, text.as_bytes());
        within.bytes(5, &choice.end());
        let mut whole = Writer::default();
        whole.double(12, 1.5);
        whole.bytes(1, text.as_bytes());
        whole.bytes(2, &within.end());
        [&whole.end()[..], b"\x8d\x01....\x3a\x02id"].concat()
    }

    #[test]
    fn texts_change_with_the_lengths_around_them_and_nothing_else_does() {
        let (short, long) = ("id", "i".repeat(300));
        let expected = ["id", "{", "id", "other", "id"].map(str::to_owned);
        let (out, seen) = play(&message(short), "id", &long, 2000).unwrap();
        // The field behind is none of the plan's, whatever it holds.
        assert_eq!((out, seen.as_slice()), (message(&long), &expected[..]));
        assert_eq!(play(&message(&long), &long, "id", 2000).unwrap().0, message(short));
        assert_eq!(play(&message(short), "none", "", 2000).unwrap().0, message(short));
        let mut within = Writer::default();
        within.bytes(3, b"a");
        within.bytes(3, b"");
        let mut whole = Writer::default();
        whole.bytes(2, &within.end());
        assert_eq!(play(b"\x0a\x02id\x12\x09\x1a\x01a\x1a\x02id\x1a\0", "id", "", 2000).unwrap().0, whole.end());
        assert_eq!(play(b"", "id", "", 0), Ok((Vec::new(), Vec::new())));
    }

    #[test]
    fn what_comes_out_is_bounded() {
        let most = message("id").len();
        assert!(play(&message("id"), "id", "id", most).is_ok());
        assert_eq!(play(&message("id"), "id", "ids", most), Err(Fault::TooLong));
    }

    #[test]
    fn what_parsers_read_in_two_ways_is_refused() {
        for (bytes, fault) in [
            (&b"\x0a\x01a\x0a\x01b"[..], Fault::Repeated),
            (b"\x12\0\x12\0", Fault::Repeated),
            (b"\x12\x05\x22\x01a\x2a\0", Fault::Repeated),
            (b"\x12\x04\x2a\0\x2a\0", Fault::Repeated),
            (b"\x08\x01", Fault::WireType),
            (b"\x12\x02\x18\x01", Fault::WireType),
            (b"\x0a\x01\xff", Fault::NotUtf8),
            (b"\x0a\x02a", Fault::Length),
            (b"\x12\x02\x1a\x01", Fault::Length),
            (b"\x0b", Fault::Group),
            (b"\x8a\0\0", Fault::Varint),
        ] {
            assert_eq!(play(bytes, "", "", 100), Err(fault), "{bytes:?}");
        }
    }
}

//! The quick way through a document: whole tokens, one behind the other, as long as they lie in the chunk and nothing
//! that is asked for begins. It takes only what is right without doubt. At anything else it stops in front of it, and
//! [`Scanner`] reads on byte by byte, so that what is refused, and why, is said in one place.

use super::{Place, Scanner};
use crate::wire::scan::Fault;
use crate::wire::scan::lanes;
use crate::wire::scan::names::Fingerprint;
use crate::wire::scan::text::{Text, ascii};

impl Scanner {
    /// Reads tokens inside an object or array off the front of `chunk`, or none.
    pub(super) fn tokens(&mut self, chunk: &mut &[u8]) -> Result<(), Fault> {
        let Some(mut frame) = self.stack.last().copied() else { return Ok(()) };
        let mut place = self.place;
        let mut rest = *chunk;
        self.keep = None;
        while let Some((byte, after)) = first(rest) {
            match place {
                Place::Comma => match byte {
                    b',' => {
                        place = if frame.is_object {
                            Place::Name
                        } else {
                            self.node = frame.node.and_then(|node| self.plan.element(node));
                            Place::Value
                        };
                        rest = after;
                        continue;
                    }
                    b'}' | b']' if (byte == b'}') == frame.is_object => {}
                    _ => break,
                },
                Place::Name | Place::FirstName => match byte {
                    b'"' => {
                        let Some((name, fingerprint, after)) = name(after) else { break };
                        let Some((b':', after)) = first(after) else { break };
                        let node = frame.node.filter(|node| self.plan.has_members(*node));
                        self.named(node, frame.mark, Some(name), fingerprint)?;
                        place = Place::Value;
                        rest = after;
                        continue;
                    }
                    b'}' if matches!(place, Place::FirstName) => {}
                    _ => break,
                },
                Place::Colon if byte == b':' => {
                    place = Place::Value;
                    rest = after;
                    continue;
                }
                Place::FirstElement if byte == b']' => {}
                Place::Value | Place::FirstElement => {
                    if matches!(place, Place::FirstElement) {
                        self.node = frame.node.and_then(|node| self.plan.element(node));
                    }
                    if self.node.is_some_and(|node| self.plan.keep(node).is_some()) {
                        break;
                    }
                    rest = match byte {
                        b'"' => {
                            let mut behind = after;
                            self.text = Text::Plain;
                            if !self.text.skip(&mut behind)? {
                                place = Place::InString;
                                rest = behind;
                                break;
                            }
                            behind
                        }
                        b'{' | b'[' => {
                            if self.stack.len() >= self.depth {
                                break;
                            }
                            place = self.open(byte == b'{');
                            if matches!(place, Place::Skipping) {
                                rest = after;
                                break;
                            }
                            let Some(inner) = self.stack.last() else { break };
                            frame = *inner;
                            rest = after;
                            continue;
                        }
                        b'-' | b'0'..=b'9' => {
                            let Some(behind) = number(rest) else { break };
                            behind
                        }
                        _ => match rest {
                            [b't', b'r', b'u', b'e', behind @ ..]
                            | [b'f', b'a', b'l', b's', b'e', behind @ ..]
                            | [b'n', b'u', b'l', b'l', behind @ ..] => behind,
                            _ => break,
                        },
                    };
                    if let Some(node) = self.node {
                        self.is_over(node);
                    }
                    place = Place::Comma;
                    continue;
                }
                _ => break,
            }
            // The object or array ends here.
            rest = after;
            self.close();
            place = self.place;
            match self.stack.last() {
                Some(outer) => frame = *outer,
                None => break,
            }
        }
        self.place = place;
        *chunk = rest;
        Ok(())
    }
}

/// The first byte that is no white space, and what follows it.
#[inline]
fn first(rest: &[u8]) -> Option<(u8, &[u8])> {
    match rest {
        [byte @ 0x21..=0xff, after @ ..] => Some((*byte, after)),
        _ => spaces(rest).split_first().map(|(byte, after)| (*byte, after)),
    }
}

/// What stands behind the white space at the front.
pub(super) fn spaces(mut rest: &[u8]) -> &[u8] {
    while let Some((block, after)) = rest.split_first_chunk::<16>() {
        match lanes::spaces(block) {
            16 => rest = after,
            count => return rest.get(usize::try_from(count).unwrap_or(0)..).unwrap_or_default(),
        }
    }
    while let [b' ' | b'\n' | b'\r' | b'\t', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// A name without escapes, all of it ASCII, and what stands behind its quote.
#[inline]
fn name(text: &[u8]) -> Option<(&[u8], Fingerprint, &[u8])> {
    if let Some(block) = text.first_chunk::<16>() {
        let special = lanes::special(block);
        if special != 0 {
            let length = usize::try_from(special.trailing_zeros()).ok()?;
            let (name, [b'"', after @ ..]) = text.split_at_checked(length)? else { return None };
            return Some((name, Fingerprint::of_short(block, special.trailing_zeros()), after));
        }
    }
    let (name, [b'"', after @ ..]) = text.split_at_checked(ascii(text))? else { return None };
    Some((name, Fingerprint::of(name), after))
}

/// What stands behind the number at the front, if something does.
#[inline]
fn number(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = match text {
        [b'0', rest @ ..] => rest,
        [b'1'..=b'9', rest @ ..] => digits(rest),
        _ => return None,
    };
    if let [b'.', b'0'..=b'9', fraction @ ..] = rest {
        rest = digits(fraction);
    }
    if let [b'e' | b'E', b'+' | b'-', b'0'..=b'9', power @ ..] | [b'e' | b'E', b'0'..=b'9', power @ ..] = rest {
        rest = digits(power);
    }
    // A point or letter that goes on without a digit is refused elsewhere, or goes on in the next chunk.
    if matches!(rest, [] | [b'.' | b'e' | b'E', ..]) { None } else { Some(rest) }
}

#[inline]
fn digits(mut rest: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    rest
}

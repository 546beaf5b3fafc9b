//! The quick way through a document: whole tokens, one behind the other, as long as they lie in the chunk and nothing
//! that is asked for begins. It takes only what is right without doubt. At anything else it stops in front of it, and
//! [`Scanner`] reads on byte by byte, so that what is refused, and why, is said in one place.

use super::{Hit, Place, Scanner};
use crate::wire::scan::lanes;
use crate::wire::scan::names::Fingerprint;
use crate::wire::scan::text::{Text, ascii};
use crate::wire::scan::{End, Fault, Keep, Kind};

impl Scanner {
    /// Reads tokens inside an object or array off the front of `chunk`, or none. What is found is something that is asked
    /// for with [`Keep::Kind`].
    pub(super) fn tokens(&mut self, chunk: &mut &[u8]) -> Result<Option<Hit>, Fault> {
        let Some(mut frame) = self.stack.last().copied() else { return Ok(None) };
        let (mut place, mut rest, mut hit) = (self.place, *chunk, None);
        self.keep = None;
        while let Some((mut byte, mut after)) = first(rest) {
            if matches!(place, Place::Comma) {
                match byte {
                    b',' if frame.is_object => place = Place::Name,
                    b',' => {
                        self.node = frame.node.and_then(|node| self.plan.element(node));
                        place = Place::Value;
                    }
                    b'}' | b']' if (byte == b'}') == frame.is_object => {
                        rest = after;
                        hit = self.close(End::Filled);
                        place = self.place;
                        if hit.is_some() {
                            break;
                        }
                        let Some(outer) = self.stack.last() else { break };
                        frame = *outer;
                        continue;
                    }
                    _ => break,
                }
                rest = after;
                let Some(next) = first(rest) else { break };
                (byte, after) = next;
            }
            if matches!(place, Place::Name | Place::FirstName) {
                if byte != b'"' {
                    break;
                }
                let Some((name, fingerprint, behind)) = name(after) else { break };
                let Some((b':', behind)) = first(behind) else { break };
                let node = frame.node.filter(|node| self.plan.has_members(*node));
                self.named(node, frame.mark, Some(name), fingerprint)?;
                place = Place::Value;
                rest = behind;
                let Some(next) = first(rest) else { break };
                (byte, after) = next;
            }
            match place {
                Place::Value => {}
                Place::FirstElement if byte != b']' => self.node = frame.node.and_then(|node| self.plan.element(node)),
                _ => break,
            }
            let is_asked = match self.node.and_then(|node| self.plan.keep(node)) {
                None => false,
                Some(Keep::Kind) => true,
                Some(_) => break,
            };
            rest = match byte {
                b'"' => {
                    self.text = Text::Plain;
                    if is_asked {
                        (self.kind, hit, place, rest) = (Kind::String, self.node, Place::InString, after);
                        break;
                    }
                    if !self.text.skip(&mut after)? {
                        (place, rest) = (Place::InString, after);
                        break;
                    }
                    after
                }
                b'{' | b'[' if self.stack.len() < self.depth => {
                    place = self.open(byte == b'{');
                    rest = after;
                    if is_asked {
                        self.kind = if byte == b'{' { Kind::Object } else { Kind::Array };
                        hit = self.node;
                        break;
                    }
                    if matches!(place, Place::Skipping) {
                        break;
                    }
                    let Some(inner) = self.stack.last() else { break };
                    frame = *inner;
                    continue;
                }
                _ if is_asked => break,
                b'-' | b'0'..=b'9' => match number(rest) {
                    Some(behind) => behind,
                    None => break,
                },
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
        }
        self.place = place;
        *chunk = rest;
        Ok(hit)
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
    while let Some((word, after)) = rest.split_first_chunk() {
        match others(u64::from_le_bytes(*word)) {
            0 => rest = after,
            others => return rest.get(usize::try_from(others.trailing_zeros() / 8).unwrap_or(0)..).unwrap_or_default(),
        }
    }
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// The highest bit of each byte that is no digit.
const fn others(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let values = word ^ (ONES * 0x30);
    // From ten on, the seven lower bits and 0x76 reach the eighth.
    ((values & (ONES * 0x7f)).wrapping_add(ONES * 0x76) | values) & (ONES * 0x80)
}

#[cfg(test)]
mod tests {
    use super::{digits, number, spaces};
    use crate::wire::scan::number::Number;

    #[test]
    fn digits_end_at_every_other_byte() {
        for byte in 0..=255 {
            for at in 0..20 {
                let mut text = *b"01234567890123456789";
                text[at] = byte;
                let expected = if byte.is_ascii_digit() { 20 } else { at };
                assert_eq!(20 - digits(&text).len(), expected, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn a_number_is_what_the_slow_way_takes() {
        const LETTERS: &[u8] = b"0179.-+eE, x";
        for index in 0..LETTERS.len().pow(5) {
            let text: Vec<u8> = (0..5).map(|place| LETTERS[index / LETTERS.len().pow(place) % LETTERS.len()]).collect();
            let mut slow = text.as_slice();
            let is_whole = Number::Start.read(&mut slow).is_complete() && !slow.is_empty();
            match number(&text) {
                Some(rest) => assert!(is_whole && rest == slow, "{text:?}"),
                // Left to the slow way: it refuses what comes next.
                None => assert!(!is_whole || b".eE".contains(&slow[0]), "{text:?}"),
            }
        }
    }

    #[test]
    fn white_space_is_passed_however_much() {
        for count in 0..70 {
            let text = [b" \n\r\t".repeat(20).get(..count).unwrap(), b"x "].concat();
            assert_eq!(spaces(&text), b"x ");
            assert_eq!(spaces(&text[..count]), b"");
        }
    }
}

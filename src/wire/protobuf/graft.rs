//! A whole message with other fields at the end of a message inside it. Only the lengths on the way there change besides.

use super::whole::{Raw, Writer, field};
use super::{Fault, fields};

/// The bytes of field `number` of `message`, which is a text or a message, if it is there.
///
/// # Errors
/// If it is there twice, which parsers merge or take the last of, or is something else; or the message cannot be read.
pub fn only(message: &[u8], number: u32) -> Result<Option<&[u8]>, Fault> {
    let mut found = None;
    for field in fields(message) {
        match field? {
            (own, _) if own != number => {}
            (_, Raw::Bytes(bytes)) if found.is_none() => found = Some(bytes),
            (_, Raw::Bytes(_)) => return Err(Fault::Repeated),
            _ => return Err(Fault::WireType),
        }
    }
    Ok(found)
}

/// `message` with the encoded fields `more` at the end of the message to which the field numbers of `path` lead, and without the fields
/// numbered `without` there.
///
/// # Errors
/// If a message on the way is not there once, or the message cannot be read.
pub fn graft(message: &[u8], path: &[u32], without: &[u32], more: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut out = Writer::with_capacity(message.len().saturating_add(more.len()));
    let next = match path {
        [] => None,
        [next, ..] => Some((*next, only(message, *next)?.ok_or(Fault::Incomplete)?)),
    };
    let mut rest = message;
    while !rest.is_empty() {
        let before = rest;
        let (number, _) = field(&mut rest)?;
        match next {
            Some((next, inside)) if next == number => {
                out.bytes(number, &graft(inside, path.get(1..).unwrap_or_default(), without, more)?);
            }
            None if without.contains(&number) => {}
            _ => out.raw(before.get(..before.len().saturating_sub(rest.len())).unwrap_or_default()),
        }
    }
    if next.is_none() {
        out.raw(more);
    }
    Ok(out.end())
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, Writer};
    use super::{graft, only};

    fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.varint(9, 300);
        fields.iter().for_each(|(number, bytes)| writer.bytes(*number, bytes));
        writer.double(12, 1.5);
        writer.end()
    }

    #[test]
    fn fields_are_added_where_the_path_leads_and_the_rest_stays() {
        let long = "x".repeat(300);
        let inner = |token: &[u8]| message(&[(4, long.as_bytes()), (5, token)]);
        let whole = |inner: &[u8]| message(&[(2, b"said"), (3, &message(&[(1, b"text/plain"), (2, inner), (1, b"image/png")]))]);
        let more = {
            let mut writer = Writer::default();
            writer.bytes(5, b"new");
            writer.end()
        };
        let grown = [message(&[(4, long.as_bytes())]), more.clone()].concat();
        assert_eq!(graft(&whole(&inner(b"old")), &[3, 2], &[5], &more), Ok(whole(&grown)));
        assert_eq!(graft(&inner(b""), &[], &[5], &more), Ok(grown));
        assert_eq!(graft(b"", &[], &[], &more), Ok(more.clone()));
        assert_eq!(graft(&whole(b""), &[3, 2], &[], b""), Ok(whole(b"")));
        assert_eq!(only(&whole(b""), 2), Ok(Some(&b"said"[..])));
        assert_eq!(only(&whole(b""), 7), Ok(None));
    }

    #[test]
    fn what_parsers_read_in_two_ways_is_refused() {
        let twice = message(&[(3, b""), (3, b"")]);
        for (bytes, path, fault) in [
            (&twice[..], &[3][..], Fault::Repeated),
            (b"", &[3], Fault::Incomplete),
            (&message(&[]), &[9], Fault::WireType),
            (b"\x1a\x05", &[3], Fault::Length),
            (b"\x1a\x02\x0a\x05", &[3, 1], Fault::Length),
            (b"\x0b", &[], Fault::Group),
        ] {
            assert_eq!(graft(bytes, path, &[], b"\x2a\0"), Err(fault), "{bytes:?}");
        }
        assert_eq!(only(&twice, 3), Err(Fault::Repeated));
        assert_eq!(only(b"\x1a\0\x0a\x05", 3), Err(Fault::Length));
    }
}

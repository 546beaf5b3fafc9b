//! Where a scan is: the messages that are open, and the text that is being read.

use super::Fault;

/// A message that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    /// Where it ends, counted from the beginning of the outermost.
    pub end: u64,
    /// The fields seen of those that may be there once.
    pub seen: u64,
    pub role: Role,
}

impl Open {
    /// Notes a field that may be there once.
    pub(super) fn mark(&mut self, slot: Option<u32>) -> Result<(), Fault> {
        let Some(slot) = slot else { return Ok(()) };
        // A plan of more fields than bits would see nothing of the last ones; none does.
        let bit = 1_u64.checked_shl(slot).ok_or(Fault::Repeated)?;
        if self.seen & bit != 0 {
            return Err(Fault::Repeated);
        }
        self.seen |= bit;
        Ok(())
    }
}

/// What an open message is. Numbers are places in the plan.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Message(usize),
    /// An entry of the map of this message; once its key has come, the member that it is, if that is wanted.
    Entry {
        map: usize,
        wanted: Option<usize>,
        has_key: bool,
        has_value: bool,
    },
    /// A `google.protobuf.Value`.
    Value(usize),
}

/// What may come next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The length of the whole is not known.
    Before,
    Tag,
    Number(Target),
    Length(Target),
    /// Bytes that do not matter, up to here.
    Skip(u64),
    Text(usize, u64),
    Key(u64),
    /// Behind the message.
    End,
    Failed(Fault),
}

/// What a field is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Nothing,
    Node(usize),
    Entry(usize),
    Key,
    Value(usize),
    Null(usize),
    Bool(usize),
    Text(usize),
    Struct(usize),
    List(usize),
}

/// A text in pieces: checked, and kept up to a limit.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    bytes: Vec<u8>,
    limit: usize,
    is_cut: bool,
    /// The first bytes of a character that a chunk has cut.
    partial: [u8; 4],
    partial_length: usize,
}

impl Text {
    /// Begins another text, of which `limit` bytes are kept.
    pub(super) fn begin(&mut self, limit: usize) {
        self.bytes.clear();
        (self.limit, self.is_cut, self.partial_length) = (limit, false, 0);
    }

    pub(super) fn add(&mut self, piece: &[u8]) -> Result<(), Fault> {
        if self.is_cut || self.bytes.len().saturating_add(piece.len()) > self.limit {
            self.is_cut = true;
        } else {
            self.bytes.extend_from_slice(piece);
        }
        let mut rest = piece;
        while self.partial_length > 0 {
            let [byte, behind @ ..] = rest else { return Ok(()) };
            rest = behind;
            let length = self.partial_length.saturating_add(1);
            *self.partial.get_mut(self.partial_length).ok_or(Fault::NotUtf8)? = *byte;
            self.partial_length = match std::str::from_utf8(self.partial.get(..length).unwrap_or_default()) {
                Ok(_) => 0,
                Err(error) if error.error_len().is_none() => length,
                Err(_) => return Err(Fault::NotUtf8),
            };
        }
        if let Err(error) = std::str::from_utf8(rest) {
            let left = rest.get(error.valid_up_to()..).filter(|left| error.error_len().is_none() && left.len() <= 4);
            let left = left.ok_or(Fault::NotUtf8)?;
            for (place, byte) in self.partial.iter_mut().zip(left) {
                *place = *byte;
            }
            self.partial_length = left.len();
        }
        Ok(())
    }

    /// The text; `None` if it is longer than the limit.
    pub(super) fn end(&self) -> Result<Option<&str>, Fault> {
        if self.partial_length > 0 {
            return Err(Fault::NotUtf8);
        }
        if self.is_cut { Ok(None) } else { std::str::from_utf8(&self.bytes).map(Some).map_err(|_| Fault::NotUtf8) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Text};

    fn read(bytes: &[u8], size: usize, limit: usize) -> Result<Option<String>, Fault> {
        let mut text = Text::default();
        text.begin(limit);
        bytes.chunks(size).try_for_each(|chunk| text.add(chunk))?;
        text.end().map(|text| text.map(str::to_owned))
    }

    #[test]
    fn a_text_is_the_same_in_any_chunks() {
        let good = "plain, é€😀\u{7ff}\u{800}\u{ffff}\u{10ffff} and more";
        for size in 1..=good.len() {
            assert_eq!(read(good.as_bytes(), size, 100), Ok(Some(good.to_owned())));
            assert_eq!(read(good.as_bytes(), size, 5), Ok(None));
        }
        assert_eq!(read(b"", 1, 0), Ok(Some(String::new())));
    }

    #[test]
    fn what_is_not_utf8_is_refused_in_any_chunks() {
        let bytes: [&[u8]; 7] = [b"a\xff", b"\xc0\xaf", b"\xe2\x82", b"\xe2\x82a", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x80b"];
        for bytes in bytes {
            for size in 1..=bytes.len() {
                assert_eq!(read(bytes, size, 100), Err(Fault::NotUtf8), "{bytes:?} by {size}");
                assert_eq!(read(bytes, size, 0), Err(Fault::NotUtf8), "{bytes:?} by {size}");
            }
        }
    }
}

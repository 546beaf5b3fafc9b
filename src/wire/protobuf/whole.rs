//! Messages that are there whole: their fields one by one, and how one is written.

use super::Fault;
use super::varint::{Varint, Wire, tag};

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// Of wire type 0.
    Varint(u64),
    /// Of wire type 1: eight bytes, the lowest first.
    Fixed64([u8; 8]),
    /// Of wire type 2: a text, bytes or a message.
    Bytes(&'a [u8]),
    /// Of wire type 5.
    Fixed32([u8; 4]),
}

/// The fields of `message` with their numbers, in its order. Behind an error comes nothing.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Result<(u32, Raw<'_>), Fault>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

/// Reads the field at the front of `rest`: its number and value.
pub(super) fn field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Raw<'a>), Fault> {
    let (number, wire) = tag(varint(rest)?)?;
    let raw = match wire {
        Wire::Varint => Raw::Varint(varint(rest)?),
        Wire::Fixed64 => {
            let (bytes, behind) = rest.split_first_chunk().ok_or(Fault::Length)?;
            *rest = behind;
            Raw::Fixed64(*bytes)
        }
        Wire::Fixed32 => {
            let (bytes, behind) = rest.split_first_chunk().ok_or(Fault::Length)?;
            *rest = behind;
            Raw::Fixed32(*bytes)
        }
        Wire::Length => {
            let length = usize::try_from(varint(rest)?).map_err(|_| Fault::Length)?;
            let (bytes, behind) = rest.split_at_checked(length).ok_or(Fault::Length)?;
            *rest = behind;
            Raw::Bytes(bytes)
        }
    };
    Ok((number, raw))
}

fn varint(rest: &mut &[u8]) -> Result<u64, Fault> {
    let mut varint = Varint::default();
    loop {
        let [byte, behind @ ..] = *rest else { return Err(Fault::Length) };
        *rest = behind;
        if let Some(value) = varint.push(*byte)? {
            return Ok(value);
        }
    }
}

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A message of which nothing is written, with place for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Writes fields that are encoded.
    pub(super) fn raw(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    /// Bytes that are written.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes a number or truth value.
    pub fn varint(&mut self, number: u32, value: u64) {
        self.tag(number, 0);
        self.put(value);
    }

    /// Writes a `double`.
    pub fn double(&mut self, number: u32, value: f64) {
        self.tag(number, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes a text, bytes or a message.
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.put(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.0.extend_from_slice(bytes);
    }

    /// Writes a field as it was read.
    pub fn field(&mut self, number: u32, raw: Raw<'_>) {
        match raw {
            Raw::Varint(value) => self.varint(number, value),
            Raw::Fixed64(bytes) => {
                self.tag(number, 1);
                self.0.extend_from_slice(&bytes);
            }
            Raw::Bytes(bytes) => self.bytes(number, bytes),
            Raw::Fixed32(bytes) => {
                self.tag(number, 5);
                self.0.extend_from_slice(&bytes);
            }
        }
    }

    /// The message.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        self.0
    }

    fn tag(&mut self, number: u32, wire: u64) {
        self.put((u64::from(number) << 3) | wire);
    }

    fn put(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(0x80 | (value & 0x7f) as u8);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Raw, Writer, fields};

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::default();
        writer.varint(1, u64::MAX);
        writer.double(2, 1.5);
        writer.bytes(16, &[b'x'; 200]);
        writer.varint(3, 0);
        let bytes = [&writer.end()[..], b"\x0d\x01\0\0\0"].concat();
        let read: Vec<_> = fields(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(
            read,
            [
                (1, Raw::Varint(u64::MAX)),
                (2, Raw::Fixed64(1.5_f64.to_le_bytes())),
                (16, Raw::Bytes(&[b'x'; 200])),
                (3, Raw::Varint(0)),
                (1, Raw::Fixed32([1, 0, 0, 0])),
            ]
        );
        let mut again = Writer::default();
        read.into_iter().for_each(|(number, raw)| again.field(number, raw));
        assert_eq!(again.end(), bytes);
    }

    #[test]
    fn what_is_no_message_ends_with_its_fault() {
        for (bytes, fault) in [
            (&b"\x08"[..], Fault::Length),
            (b"\x0a\x02a", Fault::Length),
            (b"\x09.......", Fault::Length),
            (b"\x0d...", Fault::Length),
            (b"\x0b", Fault::Group),
            (b"\0\0", Fault::Tag),
            (b"\x88\0\0", Fault::Varint),
        ] {
            assert_eq!(fields(&[b"\x08\x01", bytes].concat()).last(), Some(Err(fault)), "{bytes:?}");
        }
    }
}

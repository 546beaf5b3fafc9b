//! Varints and tags: canonical ones only, byte by byte.

use super::Fault;

/// A varint of which a part has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Varint {
    value: u64,
    shift: u32,
}

impl Varint {
    /// Takes one byte; the value once it is the last.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<u64>, Fault> {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has one bit left; a last byte of 0 could have been left out.
        if (self.shift >= 63 && bits > 1) || (byte == 0 && self.shift > 0) {
            return Err(Fault::Varint);
        }
        self.value |= bits.checked_shl(self.shift).ok_or(Fault::Varint)?;
        if byte < 0x80 {
            return Ok(Some(std::mem::take(self).value));
        }
        self.shift = self.shift.saturating_add(7);
        if self.shift > 63 { Err(Fault::Varint) } else { Ok(None) }
    }

    /// Whether nothing of it has come.
    pub(super) const fn is_empty(self) -> bool {
        self.shift == 0
    }
}

/// How the value of a field is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Length,
    Fixed32,
}

/// Number and encoding of a field.
pub(super) fn tag(value: u64) -> Result<(u32, Wire), Fault> {
    let value = u32::try_from(value).map_err(|_| Fault::Tag)?;
    let wire = match value & 7 {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Length,
        3 | 4 => return Err(Fault::Group),
        5 => Wire::Fixed32,
        _ => return Err(Fault::Tag),
    };
    match value >> 3 {
        0 => Err(Fault::Tag),
        number => Ok((number, wire)),
    }
}

/// The value of an `int32` field, whose negative numbers are ten bytes long.
pub(super) fn int32(value: u64) -> Result<i32, Fault> {
    i32::try_from(value.cast_signed()).map_err(|_| Fault::Range)
}

#[cfg(test)]
mod tests {
    use super::{Fault, Varint, Wire, int32, tag};

    fn read(bytes: &[u8]) -> Result<Option<u64>, Fault> {
        let mut varint = Varint::default();
        let mut last = None;
        for byte in bytes {
            assert_eq!(last, None, "{bytes:?}");
            last = varint.push(*byte)?;
        }
        Ok(last)
    }

    #[test]
    fn only_the_shortest_form_is_a_varint() {
        assert_eq!(read(b"\0"), Ok(Some(0)));
        assert_eq!(read(b"\x7f"), Ok(Some(127)));
        assert_eq!(read(b"\xac\x02"), Ok(Some(300)));
        assert_eq!(read(b"\xac"), Ok(None));
        assert_eq!(read(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Ok(Some(u64::MAX)));
        for long in [
            &b"\x80\0"[..],
            b"\xac\x82\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81",
            b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
        ] {
            assert_eq!(read(long), Err(Fault::Varint), "{long:?}");
        }
    }

    #[test]
    fn tags_of_proto3() {
        assert_eq!(tag(10), Ok((1, Wire::Length)));
        assert_eq!(tag(0xffff_fff8), Ok((536_870_911, Wire::Varint)));
        for (value, fault) in [(2, Fault::Tag), (11, Fault::Group), (12, Fault::Group), (14, Fault::Tag), (15, Fault::Tag)] {
            assert_eq!(tag(value), Err(fault), "{value}");
        }
        assert_eq!(tag(1 << 32), Err(Fault::Tag));
    }

    #[test]
    fn int32_is_not_truncated() {
        assert_eq!((int32(5), int32(u64::MAX), int32(0x7fff_ffff)), (Ok(5), Ok(-1), Ok(i32::MAX)));
        for wide in [0x8000_0000, 0xffff_ffff, 0x1_0000_0005] {
            assert_eq!(int32(wide), Err(Fault::Range), "{wide}");
        }
    }
}

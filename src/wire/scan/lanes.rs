//! Sixteen bytes at a time: which of them end or break the plain part of a string, are quotes, brackets, or may not
//! stand outside of strings. With the vector instructions of WebAssembly where the build has them; elsewhere with
//! words of eight bytes, which give the same answers, so that native tests run what the module runs.

/// A string's bytes that are not plain: control characters, the quote, the backslash and all that is not ASCII. The
/// lowest bit is the first byte.
#[inline]
pub(super) fn special(bytes: &[u8; 16]) -> u32 {
    not_plain(Lanes::of(bytes)).bits()
}

/// How many of the bytes at the front are not [`special`].
#[inline]
pub(super) fn plain(bytes: &[u8; 64]) -> u32 {
    let (parts, _) = bytes.as_chunks::<16>();
    let all = parts.iter().fold(Lanes::NONE, |all, part| all.or(not_plain(Lanes::of(part))));
    if all.any() { parts.iter().rev().fold(0, |sum: u64, part| (sum << 16) | u64::from(special(part))).trailing_zeros() } else { 64 }
}

/// How many of the bytes at the front are spaces and line breaks as JSON has them.
#[inline]
pub(super) fn spaces(bytes: &[u8; 16]) -> u32 {
    let lanes = Lanes::of(bytes);
    let is_space = lanes.is(b' ').or(lanes.is(b'\n')).or(lanes.is(b'\r')).or(lanes.is(b'\t'));
    is_space.bits().trailing_ones()
}

#[inline]
fn not_plain(lanes: Lanes) -> Lanes {
    lanes.below_space_or_high().or(lanes.is(b'"')).or(lanes.is(b'\\'))
}

/// What 64 bytes are, a bit for each; the lowest is the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Quotes.
    pub quotes: u64,
    /// Backslashes, control characters and what is not ASCII: none of them is a string's plain content.
    pub breaks: u64,
    /// `{`, `}`, `[` and `]`.
    pub brackets: u64,
    /// Bytes that no JSON has outside of strings. Quotes are among them.
    pub foreign: u64,
}

impl Block {
    #[inline]
    pub(super) fn of(bytes: &[u8; 64]) -> Self {
        let (parts, _) = bytes.as_chunks::<16>();
        let mut block = Self::default();
        for part in parts.iter().rev() {
            let lanes = Lanes::of(part);
            let add = |sum: &mut u64, found: Lanes| *sum = (*sum << 16) | u64::from(found.bits());
            let folded = lanes.with_bit_5();
            add(&mut block.quotes, lanes.is(b'"'));
            add(&mut block.breaks, lanes.below_space_or_high().or(lanes.is(b'\\')));
            add(&mut block.brackets, folded.is(b'{').or(folded.is(b'}')));
            add(&mut block.foreign, lanes.foreign());
        }
        block
    }
}

/// Bytes that may stand outside of strings: white space, brackets, `:`, `,`, and what numbers and literals are made
/// of. Found by the two halves of a byte: each bit is one upper half, and the lower halves it goes with.
const GROUPS: [(u8, &[u8]); 7] = [(0, b"\t\n\r"), (2, b" +,-."), (3, b"0123456789:"), (4, b"E"), (5, b"[]"), (6, b"aefln"), (7, b"rstu{}")];

/// Which groups have an upper half, and which have a lower half.
const HALVES: ([u8; 16], [u8; 16]) = {
    let (mut upper, mut lower) = ([0; 16], [0; 16]);
    let mut group = 0;
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "checked when it is compiled")]
    while group < GROUPS.len() {
        upper[GROUPS[group].0 as usize] = 1 << group;
        let mut at = 0;
        while at < GROUPS[group].1.len() {
            lower[(GROUPS[group].1[at] & 15) as usize] |= 1 << group;
            at += 1;
        }
        group += 1;
    }
    (upper, lower)
};

#[cfg(target_feature = "simd128")]
use vectors::Lanes;
#[cfg(not(target_feature = "simd128"))]
use words::Lanes;

#[cfg(target_feature = "simd128")]
mod vectors {
    use core::arch::wasm32::{
        i8x16_bitmask, i8x16_eq, i8x16_lt, i8x16_splat, i8x16_swizzle, u8x16_shr, u8x16_splat, v128, v128_and, v128_any_true, v128_load,
        v128_or,
    };

    /// Bytes, or answers: then the highest bit of each counts.
    #[derive(Clone, Copy)]
    pub(super) struct Lanes(v128);

    impl Lanes {
        pub(super) const NONE: Self = Self(core::arch::wasm32::u8x16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));

        #[inline]
        pub(super) fn of(bytes: &[u8; 16]) -> Self {
            // SAFETY: sixteen bytes can be read there, and the instruction needs no alignment.
            Self(unsafe { v128_load(bytes.as_ptr().cast()) })
        }

        #[inline]
        pub(super) fn is(self, byte: u8) -> Self {
            Self(i8x16_eq(self.0, u8x16_splat(byte)))
        }

        #[inline]
        pub(super) fn below_space_or_high(self) -> Self {
            // Signed: what is not ASCII is below zero.
            Self(i8x16_lt(self.0, i8x16_splat(0x20)))
        }

        #[inline]
        pub(super) fn with_bit_5(self) -> Self {
            Self(v128_or(self.0, u8x16_splat(0x20)))
        }

        #[inline]
        pub(super) fn foreign(self) -> Self {
            let upper = i8x16_swizzle(Self::of(&super::HALVES.0).0, u8x16_shr(self.0, 4));
            let lower = i8x16_swizzle(Self::of(&super::HALVES.1).0, v128_and(self.0, u8x16_splat(15)));
            Self(i8x16_eq(v128_and(upper, lower), Self::NONE.0))
        }

        #[inline]
        pub(super) fn or(self, other: Self) -> Self {
            Self(v128_or(self.0, other.0))
        }

        #[inline]
        pub(super) fn any(self) -> bool {
            v128_any_true(self.0)
        }

        #[inline]
        pub(super) fn bits(self) -> u32 {
            u32::from(i8x16_bitmask(self.0))
        }
    }
}

#[cfg(not(target_feature = "simd128"))]
mod words {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;

    /// Bytes, or answers: then the highest bit of each counts, and no other is set.
    #[derive(Clone, Copy)]
    pub(super) struct Lanes([u64; 2]);

    impl Lanes {
        pub(super) const NONE: Self = Self([0; 2]);

        #[inline]
        pub(super) fn of(bytes: &[u8; 16]) -> Self {
            let (words, _) = bytes.as_chunks::<8>();
            Self(match words {
                [first, second] => [u64::from_le_bytes(*first), u64::from_le_bytes(*second)],
                _ => [0; 2],
            })
        }

        #[inline]
        pub(super) fn is(self, byte: u8) -> Self {
            Self(self.0.map(|word| zeros(word ^ ONES.wrapping_mul(u64::from(byte)))))
        }

        #[inline]
        pub(super) fn below_space_or_high(self) -> Self {
            // The seven lower bits and 0x60 reach the eighth from 0x20 on.
            Self(self.0.map(|word| (!(word & !HIGHS).wrapping_add(ONES.wrapping_mul(0x60)) | word) & HIGHS))
        }

        #[inline]
        pub(super) fn with_bit_5(self) -> Self {
            Self(self.0.map(|word| word | ONES.wrapping_mul(0x20)))
        }

        #[inline]
        pub(super) fn foreign(self) -> Self {
            let group = |halves: &[u8; 16], half: u8| halves.get(usize::from(half)).copied().unwrap_or(0);
            let groups = |byte: u8| group(&super::HALVES.0, byte >> 4) & group(&super::HALVES.1, byte & 15);
            Self(self.0.map(|word| zeros(u64::from_le_bytes(word.to_le_bytes().map(groups)))))
        }

        #[inline]
        pub(super) fn or(self, other: Self) -> Self {
            let ([first, second], [third, fourth]) = (self.0, other.0);
            Self([first | third, second | fourth])
        }

        #[inline]
        pub(super) fn any(self) -> bool {
            self.0 != [0; 2]
        }

        #[inline]
        pub(super) fn bits(self) -> u32 {
            // Brings the eighth bit of each byte into the highest one.
            let [low, high] = self.0.map(|word| (word >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56);
            u32::try_from((high << 8) | low).unwrap_or(0)
        }
    }

    /// The highest bit of each byte that is zero.
    const fn zeros(word: u64) -> u64 {
        !((word & !HIGHS).wrapping_add(!HIGHS) | word) & HIGHS
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, plain, spaces, special};

    fn bits(bytes: &[u8], is: impl Fn(u8) -> bool) -> u64 {
        bytes.iter().rev().fold(0, |sum, byte| (sum << 1) | u64::from(is(*byte)))
    }

    #[test]
    fn every_byte_is_known_at_every_place() {
        let is_special = |byte: u8| byte < 0x20 || byte >= 0x80 || byte == b'"' || byte == b'\\';
        // Neighbours of other kinds must not change the answer, nor those of the same.
        for filler in [b'a', b'"', 0, 0xff, b'{', 0x80, 0x7f] {
            for byte in 0..=255 {
                for at in 0..64 {
                    let mut bytes = [filler; 64];
                    bytes[at] = byte;
                    let block = Block::of(&bytes);
                    assert_eq!(block.quotes, bits(&bytes, |byte| byte == b'"'), "{byte} at {at}");
                    assert_eq!(block.breaks, bits(&bytes, |byte| byte != b'"' && is_special(byte)), "{byte} at {at}");
                    assert_eq!(block.brackets, bits(&bytes, |byte| b"{}[]".contains(&byte)), "{byte} at {at}");
                    let foreign = bits(&bytes, |byte| !b" \t\r\n{}[]:,0123456789+-.eEtrufalsn".contains(&byte));
                    assert_eq!(block.foreign, foreign, "{byte} at {at}");
                    assert_eq!(plain(&bytes), bits(&bytes, is_special).trailing_zeros());
                    let first = bytes.first_chunk::<16>().unwrap();
                    assert_eq!(u64::from(special(first)), bits(first, is_special));
                }
            }
        }
    }

    #[test]
    fn spaces_are_those_of_json() {
        for byte in 0..=255 {
            for at in 0..16 {
                let mut bytes = *b" \n\r\t \n\r\t \n\r\t \n\r\t";
                bytes[at] = byte;
                let expected = if b" \n\r\t".contains(&byte) { 16 } else { u32::try_from(at).unwrap() };
                assert_eq!(spaces(&bytes), expected);
            }
        }
    }
}

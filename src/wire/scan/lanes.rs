//! Sixteen bytes at a time: which of them end or break the plain part of a string, are quotes, brackets, or may not
//! stand outside of strings. With the vector instructions of WebAssembly where the build has them; elsewhere with
//! words of eight bytes, which give the same answers, so that native tests run what the module runs.

#[cfg(target_feature = "simd128")]
mod vectors;
#[cfg(not(target_feature = "simd128"))]
mod words;

#[cfg(target_feature = "simd128")]
use vectors::Lanes;
#[cfg(not(target_feature = "simd128"))]
use words::Lanes;

/// A string's bytes that are not plain: control characters, the quote, the backslash and all that is not ASCII. The
/// lowest bit is the first byte.
#[inline]
pub(super) fn special(bytes: &[u8; 16]) -> u32 {
    not_plain(Lanes::of(bytes)).bits()
}

/// How many of the bytes at the front are not [`special`].
#[inline]
pub(super) fn plain(bytes: &[u8; 64]) -> u32 {
    if has_special(bytes) { mask(bytes, not_plain).trailing_zeros() } else { 64 }
}

/// How many of the bytes at the front are not [`special`], or whole escapes of one letter. The first byte is not escaped.
pub(super) fn content(bytes: &[u8; 64]) -> u32 {
    let quotes = mask(bytes, |lanes| lanes.is(b'"'));
    let backslashes = mask(bytes, |lanes| lanes.is(b'\\'));
    let others = mask(bytes, Lanes::below_space_or_high);
    if backslashes == 0 {
        return (quotes | others).trailing_zeros();
    }
    let (escapes, escaped) = escapes(backslashes);
    (((quotes | others) & !escaped) | cut_short(bytes, escapes, escaped)).trailing_zeros()
}

/// The backslashes that escape what follows them, and what is escaped by one.
#[inline]
const fn escapes(backslashes: u64) -> (u64, u64) {
    // Of backslashes in a row, every other one escapes. The subtraction carries through each row and so tells where in it
    // the first stands, at an odd place or an even one (simdjson's way).
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    let codes = ((backslashes << 1) | ODD).wrapping_sub(backslashes) ^ ODD;
    (codes & backslashes, codes ^ backslashes)
}

/// Whether any of the bytes is [`special`].
#[inline]
pub(super) fn has_special(bytes: &[u8; 64]) -> bool {
    let (parts, _) = bytes.as_chunks::<16>();
    parts.iter().fold(Lanes::NONE, |all, part| all.or(not_plain(Lanes::of(part)))).any()
}

/// A bit for each byte.
#[inline]
fn mask(bytes: &[u8; 64], find: impl Fn(Lanes) -> Lanes) -> u64 {
    let (parts, _) = bytes.as_chunks::<16>();
    parts.iter().rev().fold(0, |sum: u64, part| (sum << 16) | u64::from(find(Lanes::of(part)).bits()))
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

/// What 64 bytes are, of which the first is outside of strings; a bit for each, the lowest is the first byte. Right up to
/// the first doubt, and no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// From each opening quote up to its closing one.
    pub inside: u64,
    /// What has to be looked at more closely: what no string may hold as it is, escapes of more than one letter, what no
    /// JSON has outside of strings.
    pub doubts: u64,
    /// `{`, `}`, `[` and `]`, wherever they are.
    pub brackets: u64,
}

impl Block {
    #[inline]
    pub(super) fn of(bytes: &[u8; 64]) -> Self {
        let mut quotes = mask(bytes, |lanes| lanes.is(b'"'));
        let backslashes = mask(bytes, |lanes| lanes.is(b'\\'));
        let mut breaks = mask(bytes, Lanes::below_space_or_high);
        let foreign = mask(bytes, |lanes| lanes.misses(&STRUCTURE));
        if backslashes != 0 {
            let (escapes, escaped) = escapes(backslashes);
            quotes &= !escaped;
            breaks |= cut_short(bytes, escapes, escaped);
        }
        let inside = sums(quotes);
        Self {
            inside,
            doubts: (breaks & inside) | (foreign & !inside & !quotes),
            brackets: mask(bytes, |lanes| lanes.with_bit_5().is(b'{').or(lanes.with_bit_5().is(b'}'))),
        }
    }
}

/// Of the escapes those of more letters, the wrong ones, and the one whose letter is not in the block.
#[inline]
fn cut_short(bytes: &[u8; 64], escapes: u64, escaped: u64) -> u64 {
    ((escaped & mask(bytes, |lanes| lanes.misses(&LETTERS))) >> 1) | (escapes & (1 << 63))
}

/// Each bit is the sum of those up to it.
#[inline]
const fn sums(bits: u64) -> u64 {
    let bits = bits ^ (bits << 1);
    let bits = bits ^ (bits << 2);
    let bits = bits ^ (bits << 4);
    let bits = bits ^ (bits << 8);
    let bits = bits ^ (bits << 16);
    bits ^ (bits << 32)
}

/// A set of bytes: which groups of it have an upper half of a byte, and which have a lower half. A byte is in the set if
/// one group has both.
type Halves = ([u8; 16], [u8; 16]);

/// Bytes that may stand outside of strings: white space, brackets, `:`, `,`, and what numbers and literals are made of.
const STRUCTURE: Halves =
    halves([(0, b"\t\n\r"), (2, b" +,-."), (3, b"0123456789:"), (4, b"E"), (5, b"[]"), (6, b"aefln"), (7, b"rstu{}")]);

/// What may follow a backslash, apart from `u`.
const LETTERS: Halves = halves([(2, b"\"/"), (5, b"\\"), (6, b"bfn"), (7, b"rt")]);

/// The set of these bytes, which are given by their upper half.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "checked when it is compiled")]
const fn halves<const COUNT: usize>(groups: [(u8, &[u8]); COUNT]) -> Halves {
    let (mut upper, mut lower) = ([0; 16], [0; 16]);
    let mut group = 0;
    while group < COUNT {
        let (half, bytes) = groups[group];
        upper[half as usize] = 1 << group;
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] >> 4 == half);
            lower[(bytes[at] & 15) as usize] |= 1 << group;
            at += 1;
        }
        group += 1;
    }
    (upper, lower)
}

#[cfg(test)]
mod tests {
    use super::{Block, LETTERS, Lanes, STRUCTURE, content, mask, plain, spaces, special};

    fn bits(bytes: &[u8], is: impl Fn(u8) -> bool) -> u64 {
        bytes.iter().rev().fold(0, |sum, byte| (sum << 1) | u64::from(is(*byte)))
    }

    #[test]
    fn every_byte_is_known_at_every_place() {
        let is_special = |byte: u8| !(0x20..0x80).contains(&byte) || byte == b'"' || byte == b'\\';
        // Neighbours of other kinds must not change the answer, nor those of the same.
        for filler in [b'a', b'"', 0x80, 0x7f] {
            for byte in 0..=255 {
                for at in 0..64 {
                    let mut bytes = [filler; 64];
                    bytes[at] = byte;
                    let find = |is: fn(u8) -> bool| bits(&bytes, is);
                    assert_eq!(mask(&bytes, |lanes| lanes.is(b'"')), find(|byte| byte == b'"'), "{byte} at {at}");
                    let below_or_high = find(|byte| !(0x20..0x80).contains(&byte));
                    assert_eq!(mask(&bytes, Lanes::below_space_or_high), below_or_high, "{byte} at {at}");
                    let foreign = find(|byte| !b" \t\r\n{}[]:,0123456789+-.eEtrufalsn".contains(&byte));
                    assert_eq!(mask(&bytes, |lanes| lanes.misses(&STRUCTURE)), foreign, "{byte} at {at}");
                    let no_letter = find(|byte| !b"\"\\/bfnrt".contains(&byte));
                    assert_eq!(mask(&bytes, |lanes| lanes.misses(&LETTERS)), no_letter, "{byte} at {at}");
                    assert_eq!(Block::of(&bytes).brackets, find(|byte| b"{}[]".contains(&byte)), "{byte} at {at}");
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

    #[test]
    fn content_is_what_is_plain_and_what_one_letter_escapes() {
        /// Byte by byte.
        fn slow(bytes: &[u8]) -> usize {
            let mut at = 0;
            while at < 64 {
                match bytes[at..] {
                    [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => at += 2,
                    [0..=0x1f | b'"' | b'\\' | 0x80..=0xff, ..] => break,
                    _ => at += 1,
                }
            }
            at
        }
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            let mut bytes = [b'n'; 64];
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let mut random = seed >> 16;
            for byte in &mut bytes {
                random = random.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                *byte = b"\\\\\\\\\\\\nnnntbfr/\"u x\x01\xc3aaaa"[usize::try_from(random >> 40).unwrap() % 25];
            }
            // Rows of backslashes, and long content, too.
            let from = usize::try_from(random >> 58).unwrap();
            bytes[..from].fill(if seed & 1 << 40 == 0 { b'\\' } else { b'n' });
            assert_eq!(usize::try_from(content(&bytes)).unwrap(), slow(&bytes), "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

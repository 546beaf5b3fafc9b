//! What `vectors` does, with words of eight bytes.

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
    pub(super) fn misses(self, (upper, lower): &super::Halves) -> Self {
        let group = |halves: &[u8; 16], half: u8| halves.get(usize::from(half)).copied().unwrap_or(0);
        let groups = |byte: u8| group(upper, byte >> 4) & group(lower, byte & 15);
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

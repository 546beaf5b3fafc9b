//! The vector instructions of WebAssembly. The one load from memory is all that the crate does unsafely for speed: built
//! from two words instead, it would not be one instruction.

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
    pub(super) fn misses(self, (upper, lower): &super::Halves) -> Self {
        let upper = i8x16_swizzle(Self::of(upper).0, u8x16_shr(self.0, 4));
        let lower = i8x16_swizzle(Self::of(lower).0, v128_and(self.0, u8x16_splat(15)));
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

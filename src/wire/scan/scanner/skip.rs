//! The way through what nothing is asked about, for operators who give up strictness there ([`super::super::Plan::skip_unasked`]).
//! Checked all the same: where strings end and all that they may hold, the bytes that may stand outside of them, and
//! that brackets match in kind and are not too deep. So the object or array ends where every reader sees it end.

use super::Scanner;
use crate::wire::scan::lanes::Block;
use crate::wire::scan::text::Text;
use crate::wire::scan::{End, Fault};

/// So many brackets inside each other can be remembered.
pub(super) const MOST: usize = 128;

/// Where in the skipped object or array.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skipped {
    /// The open brackets, the innermost lowest: set for an object.
    kinds: u128,
    open: usize,
    is_text: bool,
}

impl Skipped {
    /// Behind the bracket of an object or array.
    pub(super) fn begin(is_object: bool) -> Self {
        Self { kinds: u128::from(is_object), open: 1, is_text: false }
    }

    /// Takes a bracket. `room` is how many can be open.
    #[inline]
    fn bracket(&mut self, byte: u8, room: usize) -> Result<(), Fault> {
        let is_object = byte & 0x20 != 0;
        // The opening ones are `{` and `[`, the closing ones two more.
        if byte & 0x04 == 0 {
            if self.open >= room {
                return Err(Fault::TooDeep);
            }
            self.kinds = (self.kinds << 1) | u128::from(is_object);
            self.open = self.open.saturating_add(1);
        } else {
            if (self.kinds & 1 != 0) != is_object {
                return Err(Fault::Malformed);
            }
            self.kinds >>= 1;
            self.open = self.open.saturating_sub(1);
        }
        Ok(())
    }

    /// Reads the first bytes of a block that begins outside of strings, as far as they are right without doubt; how
    /// many that are.
    #[inline]
    fn block(&mut self, bytes: &[u8; 64], room: usize) -> Result<u32, Fault> {
        let block = Block::of(bytes);
        let length = block.doubts.trailing_zeros();
        let known = low_bits(length);
        let mut brackets = block.brackets & !block.inside & known;
        while brackets != 0 {
            let at = brackets.trailing_zeros();
            let Some(byte) = bytes.get(usize::try_from(at).unwrap_or(0)) else { break };
            self.bracket(*byte, room)?;
            if self.open == 0 {
                return Ok(at.saturating_add(1));
            }
            brackets &= brackets.wrapping_sub(1);
        }
        self.is_text = block.inside & (1 << length.min(63)) != 0;
        Ok(length)
    }
}

/// The lowest `count` bits.
#[inline]
const fn low_bits(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { !(u64::MAX << count) }
}

impl Scanner {
    /// Reads what is skipped off the front of `chunk`.
    pub(super) fn skip(&mut self, chunk: &mut &[u8]) -> Result<(), Fault> {
        let mut skipped = self.skipped;
        // The outermost is on the stack.
        let room = self.depth.saturating_sub(self.stack.len()).saturating_add(1);
        while !chunk.is_empty() && skipped.open > 0 {
            if skipped.is_text {
                skipped.is_text = !self.text.skip(chunk)?;
                continue;
            }
            let mut length = 0;
            if let Some(block) = chunk.first_chunk::<64>() {
                length = skipped.block(block, room)?;
            }
            if length == 0 {
                let Some((byte, rest)) = chunk.split_first() else { break };
                match byte {
                    b'"' => skipped.is_text = true,
                    b'{' | b'}' | b'[' | b']' => skipped.bracket(*byte, room)?,
                    b' ' | b'\t' | b'\n' | b'\r' | b':' | b',' | b'0'..=b'9' | b'+' | b'-' | b'.' | b'E' => {}
                    b't' | b'r' | b'u' | b'e' | b'f' | b'a' | b'l' | b's' | b'n' => {}
                    _ => return Err(Fault::Malformed),
                }
                *chunk = rest;
            } else {
                *chunk = chunk.get(usize::try_from(length).unwrap_or(0)..).unwrap_or_default();
            }
            if skipped.is_text {
                self.text = Text::Plain;
            }
        }
        self.skipped = skipped;
        if skipped.open == 0 {
            // Of what is skipped no end is asked for.
            self.close(End::Filled);
        }
        Ok(())
    }
}

//! Bytes that are looked for in long texts.

/// A set of bytes.
#[derive(Debug)]
pub struct Bytes([bool; 256]);

impl Bytes {
    /// The set of these.
    #[must_use]
    pub const fn new(members: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut rest = members;
        while let Some((first, next)) = rest.split_first() {
            // A byte is always within 256.
            if let Some((_, [own, ..])) = set.split_at_mut_checked(*first as usize) {
                *own = true;
            }
            rest = next;
        }
        Self(set)
    }

    /// Where the first of them stands in `text`, at `from` or behind it.
    #[must_use]
    pub fn find(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        rest.iter().position(|byte| self.0.get(usize::from(*byte)) == Some(&true)).map(|place| place.saturating_add(from))
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn each_is_found_where_it_stands() {
        const SET: Bytes = Bytes::new(b"d\0\xff");
        let text = b"abcd\0 d\xff";
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(place) = SET.find(text, from) {
            found.push(place);
            from = place + 1;
        }
        assert_eq!(found, [3, 4, 6, 7]);
        assert_eq!((SET.find(text, 8), SET.find(text, 99), SET.find(b"", 0)), (None, None, None));
    }
}

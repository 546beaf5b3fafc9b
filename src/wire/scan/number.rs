//! A JSON number, byte by byte (RFC 8259 section 6). Decides where one ends and whether it may end there; its value
//! is nobody's business here.

/// How far a number has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Start,
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Number {
    /// Reads what continues the number from `chunk`, which then starts with the byte that does not.
    #[inline]
    pub(super) fn read(mut self, chunk: &mut &[u8]) -> Self {
        loop {
            if matches!(self, Self::Integer | Self::Fraction | Self::Power) {
                while let [b'0'..=b'9', rest @ ..] = *chunk {
                    *chunk = rest;
                }
            }
            let [byte, rest @ ..] = *chunk else { return self };
            let Some(next) = self.next(*byte) else { return self };
            self = next;
            *chunk = rest;
        }
    }

    const fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Start, b'-') => Self::Minus,
            (Self::Start | Self::Minus, b'0') => Self::Zero,
            (Self::Start | Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Point,
            (Self::Point | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::Exponent,
            (Self::Exponent, b'+' | b'-') => Self::Sign,
            (Self::Exponent | Self::Sign | Self::Power, b'0'..=b'9') => Self::Power,
            _ => return None,
        })
    }

    /// Whether what was read is a number.
    pub(super) const fn is_complete(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::Power)
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    /// What is left behind the number, if there is one.
    fn rest(text: &str) -> Option<&str> {
        let mut chunk = text.as_bytes();
        let number = Number::Start.read(&mut chunk);
        number.is_complete().then(|| std::str::from_utf8(chunk).unwrap())
    }

    #[test]
    fn a_number_ends_where_json_says() {
        for (text, behind) in [("0", ""), ("-0,", ","), ("10.50e+7]", "]"), ("1E9 ", " "), ("2e-1", ""), ("01", "1"), ("1.5.2", ".2")] {
            assert_eq!(rest(text), Some(behind), "{text}");
        }
        for text in ["", "-", "+1", ".5", "1.", "1.e1", "1e", "1e+", "-a", "NaN"] {
            assert_eq!(rest(text), None, "{text}");
        }
    }
}

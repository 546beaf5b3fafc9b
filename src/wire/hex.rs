//! Bytes as hexadecimal digits (RFC 4648 section 8).

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// `bytes` in lower case.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let digit = |half: u8| DIGITS.get(usize::from(half)).map_or('0', |digit| char::from(*digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// 64 digits in any case as 32 bytes.
#[must_use]
pub fn decode(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(high)?.wrapping_shl(4) | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn digits_become_bytes() {
        let bytes = decode(&"0fA".repeat(22)[..64]).unwrap();
        assert_eq!(&bytes[..4], [0x0f, 0xa0, 0xfa, 0x0f]);
        for odd in ["", "00", &"0g".repeat(32), &"00".repeat(33), &"é".repeat(32)] {
            assert_eq!(decode(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn bytes_become_digits() {
        assert_eq!((encode(&[]).as_str(), encode(&[0x00, 0x0f, 0xa5, 0xff]).as_str()), ("", "000fa5ff"));
        assert_eq!(decode(&encode(&[0x9c; 32])), Some([0x9c; 32]));
    }
}

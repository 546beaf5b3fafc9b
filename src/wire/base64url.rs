//! Strict base64url without padding, as JOSE uses it (RFC 7515 section 2, RFC 4648 section 5).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Decodes `text`. `None` for padding, other alphabets, white space and non-zero trailing bits, so that two
/// different texts never decode to the same bytes.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Encodes `bytes`.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn only_the_canonical_form_is_accepted() {
        assert_eq!(decode("AQAB").as_deref(), Some(&[1, 0, 1][..]));
        assert_eq!((encode(&[1, 0, 1]).as_str(), encode(&[0xff]).as_str()), ("AQAB", "_w"));
        for odd in ["AQAB=", "AQ AB", "AQA\n", "+/+/", "AR", "A"] {
            assert_eq!(decode(odd), None, "{odd:?}");
        }
    }
}

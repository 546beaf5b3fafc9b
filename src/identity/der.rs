//! The DER (X.690) that Envoy's cryptography wants: public keys as `SubjectPublicKeyInfo` (RFC 5280 section 4.1) and
//! ECDSA signatures as a sequence of two numbers (RFC 3279 section 2.2.3).

/// AlgorithmIdentifier rsaEncryption (1.2.840.113549.1.1.1) with NULL parameters.
const RSA: &[u8] = &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// AlgorithmIdentifier id-ecPublicKey (1.2.840.10045.2.1) with curve prime256v1 (1.2.840.10045.3.1.7).
pub const P256: &[u8] =
    &[0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// The same with curve secp384r1 (1.3.132.0.34).
pub const P384: &[u8] = &[0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// The same with curve secp521r1 (1.3.132.0.35).
pub const P521: &[u8] = &[0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

/// An RSA key of these numbers, big-endian.
#[must_use]
pub fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let numbers = element(0x30, &[element(0x02, &unsigned(modulus)), element(0x02, &unsigned(exponent))].concat());
    key(RSA, &numbers)
}

/// A key of algorithm `identifier` whose bits are `content`.
#[must_use]
pub fn key(identifier: &[u8], content: &[u8]) -> Vec<u8> {
    element(0x30, &[identifier, &element(0x03, &[&[0_u8], content].concat())].concat())
}

/// `r||s` of a curve with coordinates of `length` bytes (RFC 7518 section 3.4). `None` if it is not twice as long.
#[must_use]
pub fn ecdsa_signature(signature: &[u8], length: usize) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(length)?;
    (s.len() == length).then(|| element(0x30, &[element(0x02, &unsigned(r)), element(0x02, &unsigned(s))].concat()))
}

/// Tag, length, content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut element = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => element.push(short),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            // A usize has at most eight bytes.
            element.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0x08));
            element.extend(bytes);
        }
    }
    element.extend_from_slice(content);
    element
}

/// Content of a non-negative INTEGER: no leading zeros but the one that keeps it positive.
fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    match digits.first() {
        None => vec![0],
        Some(first) if first & 0x80 != 0 => [&[0_u8], digits.as_slice()].concat(),
        Some(_) => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::ecdsa_signature;

    #[test]
    fn raw_ecdsa_signatures_become_minimal_der() {
        let mut raw = [0_u8; 64];
        raw[31] = 0x80;
        raw[63] = 0x01;
        assert_eq!(ecdsa_signature(&raw, 32).unwrap(), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
        assert_eq!(ecdsa_signature(&[0; 64], 32).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        for (length, of) in [(63, 32), (65, 32), (64, 48), (0, 32), (131, 66)] {
            assert_eq!(ecdsa_signature(&vec![0; length], of), None, "{length}");
        }
        let long = ecdsa_signature(&[0xff; 132], 66).unwrap();
        assert_eq!((long.len(), &long[..5]), (3 + 2 * 69, &[0x30, 0x81, 138, 2, 67][..]));
    }
}

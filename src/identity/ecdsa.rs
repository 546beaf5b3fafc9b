//! ECDSA in this module, for hosts that verify no signatures (feature `software-ecdsa`). Envoy verifies them, and the code would be an
//! eighth of the filter: the module that ships leaves it out. There a key is taken as it is, and the host says whether it is one.

#[cfg(feature = "software-ecdsa")]
mod code {
    use jwt_compact::alg::{Es256, VerifyingKey};
    use jwt_compact::{Algorithm, AlgorithmSignature};
    use p384::ecdsa::signature::Verifier as _;

    pub type P256 = <Es256 as Algorithm>::VerifyingKey;
    pub type P384 = p384::ecdsa::VerifyingKey;
    pub type P521 = Box<p521::ecdsa::VerifyingKey>;

    pub fn p256(point: &[u8]) -> Option<P256> {
        VerifyingKey::<Es256>::from_slice(point).ok()
    }

    pub fn p384(point: &[u8]) -> Option<P384> {
        p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()
    }

    pub fn p521(point: &[u8]) -> Option<P521> {
        p521::ecdsa::VerifyingKey::from_sec1_bytes(point).ok().map(Box::new)
    }

    pub fn es256(key: &P256, message: &[u8], signature: &[u8]) -> bool {
        // jwt-compact checks this length itself only on its own token path.
        signature.len() == 64
            && <Es256 as Algorithm>::Signature::try_from_slice(signature)
                .is_ok_and(|signature| Es256.verify_signature(&signature, key, message))
    }

    pub fn es384(key: &P384, message: &[u8], signature: &[u8]) -> bool {
        p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }

    pub fn es512(key: &P521, message: &[u8], signature: &[u8]) -> bool {
        p521::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }
}

#[cfg(not(feature = "software-ecdsa"))]
mod code {
    use super::curve::{Curve, P256 as ON_P256, P384 as ON_P384, P521 as ON_P521};

    /// No key: only the host has it.
    #[derive(Clone)]
    pub struct Absent;

    pub type P256 = Absent;
    pub type P384 = Absent;
    pub type P521 = Absent;

    fn key(point: &[u8], curve: &Curve) -> Option<Absent> {
        curve.has(point).then_some(Absent)
    }

    pub fn p256(point: &[u8]) -> Option<Absent> {
        key(point, &ON_P256)
    }

    pub fn p384(point: &[u8]) -> Option<Absent> {
        key(point, &ON_P384)
    }

    pub fn p521(point: &[u8]) -> Option<Absent> {
        key(point, &ON_P521)
    }

    pub const fn never(_: &Absent, _: &[u8], _: &[u8]) -> bool {
        false
    }
    pub use {never as es256, never as es384, never as es512};
}

pub use code::*;

/// Whether a point is on its curve, for builds that leave the rest to the host: a key that is none is left out of its set.
#[cfg(any(test, not(feature = "software-ecdsa")))]
mod curve {
    use rsa::BigUint;

    /// A curve `y^2 = x^3 - 3x + b` over the integers modulo `p` (FIPS 186-4 appendix D.1.2), in hexadecimal.
    pub struct Curve {
        p: &'static str,
        b: &'static str,
    }

    pub const P256: Curve = Curve {
        p: "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        b: "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    };
    pub const P384: Curve = Curve {
        p: "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
        b: "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
    };
    pub const P521: Curve = Curve {
        p: "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
            ffffffff",
        b: "0051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd4\
            6b503f00",
    };

    impl Curve {
        /// Whether the uncompressed `point` (SEC 1 section 2.3.3) is on the curve.
        pub fn has(&self, point: &[u8]) -> bool {
            let Some((&4, coordinates)) = point.split_first() else { return false };
            let Some((x, y)) = coordinates.split_at_checked(coordinates.len() / 2) else { return false };
            let number = |hex: &str| BigUint::parse_bytes(hex.as_bytes(), 16);
            let (Some(p), Some(b)) = (number(self.p), number(self.b)) else { return false };
            let (x, y) = (BigUint::from_bytes_be(x), BigUint::from_bytes_be(y));
            if x >= p || y >= p {
                return false;
            }
            // Minus three is p - 3: no number here is below zero.
            let minus_three = p.to_bytes_be();
            let minus_three = BigUint::from_bytes_be(
                &minus_three
                    .split_last()
                    .map_or_else(Vec::new, |(last, rest)| rest.iter().copied().chain([last.wrapping_sub(3)]).collect()),
            );
            let right = BigUint::modpow(&x, &BigUint::from(3_u8), &p);
            let terms = [right, product(&minus_three, &x, &p), b];
            BigUint::modpow(&y, &BigUint::from(2_u8), &p) == sum(&terms, &p)
        }
    }

    /// All numbers are below `p`, which has at most 521 bits: nothing overflows.
    #[allow(clippy::arithmetic_side_effects, reason = "these numbers have no bound, and p is not zero")]
    fn product(a: &BigUint, b: &BigUint, p: &BigUint) -> BigUint {
        (a * b) % p
    }

    #[allow(clippy::arithmetic_side_effects, reason = "as above")]
    fn sum(terms: &[BigUint], p: &BigUint) -> BigUint {
        terms.iter().fold(BigUint::from(0_u8), |sum, term| (sum + term) % p)
    }
}

#[cfg(all(test, feature = "software-ecdsa"))]
mod tests {
    use super::{curve, p256, p384, p521};

    /// Base points (FIPS 186-4 appendix D.1.2).
    const POINTS: [&str; 3] = [
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
        "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab73617de4a96262c6f5d9e98bf9292dc29f\
         8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
        "0400c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd6\
         6011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
    ];

    #[test]
    fn both_builds_take_the_same_points() {
        let byte = |hex: &str, place: usize| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap();
        for (curve, text) in POINTS.iter().enumerate() {
            let point: Vec<u8> = (0..text.len() / 2).map(|place| byte(text, place)).collect();
            let known = |point: &[u8]| match curve {
                0 => (p256(point).is_some(), curve::P256.has(point)),
                1 => (p384(point).is_some(), curve::P384.has(point)),
                _ => (p521(point).is_some(), curve::P521.has(point)),
            };
            assert_eq!(known(&point), (true, true), "{curve}");
            for place in 0..point.len() {
                let mut changed = point.clone();
                changed[place] ^= 1;
                assert_eq!(known(&changed), (false, false), "{curve}, byte {place}");
            }
            assert!(!known(&vec![0xff; point.len()]).1);
        }
    }
}

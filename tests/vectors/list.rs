//! The tokens of `tokens.json`, one by one.

use super::mint::{self, Key, encode};
use serde_json::{Map, Value, json};

const ISSUER: &str = "https://vectors.example.com";
const AUDIENCE: &str = "https://expense.example.com";
/// 2100-01-01T00:00:00Z: the vectors are good for a real clock.
const LATE: u64 = 4_102_444_800;
const ALGORITHMS: [(&str, &str); 11] = [
    ("RS256", "rsa-1"),
    ("RS384", "rsa-1"),
    ("RS512", "rsa-1"),
    ("PS256", "rsa-1"),
    ("PS384", "rsa-1"),
    ("PS512", "rsa-1"),
    ("ES256", "ec-1"),
    ("ES384", "ec-384"),
    ("ES512", "ec-521"),
    ("EdDSA", "ed-1"),
    ("Ed25519", "ed-1"),
];

struct House {
    rsa: Key,
    /// Its JWK says `alg: RS256`.
    rsa_bound: Key,
    rsa_short: Key,
    ec: Key,
    ec_other: Key,
    ec_384: Key,
    ec_521: Key,
    ed: Key,
    stranger_rsa: Key,
    stranger_ec: Key,
    stranger_384: Key,
    stranger_521: Key,
    stranger_ed: Key,
    tokens: Vec<Value>,
}

/// The whole file.
pub fn file() -> Value {
    let mut house = House {
        rsa: Key::rsa("rsa-1", 2048),
        rsa_bound: Key::rsa("rsa-2", 2048),
        rsa_short: Key::rsa("rsa-3", 1024),
        ec: Key::p256("ec-1"),
        ec_other: Key::p256("ec-2"),
        ec_384: Key::p384("ec-384"),
        ec_521: Key::p521("ec-521"),
        ed: Key::ed25519("ed-1"),
        stranger_rsa: Key::rsa("stranger", 2048),
        stranger_ec: Key::p256("stranger"),
        stranger_384: Key::p384("stranger"),
        stranger_521: Key::p521("stranger"),
        stranger_ed: Key::ed25519("stranger"),
        tokens: Vec::new(),
    };
    house.signatures();
    house.encodings_of_signatures();
    house.algorithms();
    house.keys();
    house.headers();
    house.claims();
    house.shapes();
    let with = |mut jwk: Value, name: &str, value: &str| {
        jwk[name] = value.into();
        jwk
    };
    json!({
        "about": "Tokens and the verdict of each: ok, or a reason of docs/refusals.md. Made by BLESS=1 cargo test --test vectors. \
                  Tokens with sendable: false hold bytes that no header can carry.",
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
        "keys": {"keys": [
            house.rsa.jwk("rsa-1"),
            with(house.rsa_bound.jwk("rsa-2"), "alg", "RS256"),
            house.rsa_short.jwk("rsa-3"),
            with(house.ec.jwk("ec-1"), "use", "sig"),
            with(house.ec_other.jwk("ec-2"), "alg", "ES256"),
            with(house.stranger_ec.jwk("ec-enc"), "use", "enc"),
            with(house.ec_384.jwk("ec-384"), "alg", "ES384"),
            house.ec_521.jwk("ec-521"),
            with(house.ed.jwk("ed-1"), "alg", "EdDSA"),
            {"kty": "oct", "kid": "oct-1", "k": encode("a secret that is no secret at all")},
            {"kty": "EC", "crv": "P-256", "kid": "ec-off-curve", "x": encode([1; 32]), "y": encode([1; 32])},
            {"kty": "unheard-of", "kid": "new-1"}
        ]},
        "tokens": house.tokens
    })
}

fn header(algorithm: &str, kid: &str) -> Value {
    json!({"alg": algorithm, "typ": "at+jwt", "kid": kid})
}

fn claims(name: &str) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "vector", "client_id": "vectors", "scope": "agent:read agent:execute",
           "iat": 1_700_000_000, "exp": LATE, "jti": name})
}

fn input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

fn join(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", encode(signature))
}

impl House {
    fn key(&self, algorithm: &str) -> (&Key, &Key) {
        match algorithm {
            "ES256" => (&self.ec, &self.stranger_ec),
            "ES384" => (&self.ec_384, &self.stranger_384),
            "ES512" => (&self.ec_521, &self.stranger_521),
            "EdDSA" | "Ed25519" => (&self.ed, &self.stranger_ed),
            _ => (&self.rsa, &self.stranger_rsa),
        }
    }

    fn add(&mut self, name: impl Into<String>, expect: &str, token: impl Into<String>) {
        self.tokens.push(json!({"name": name.into(), "expect": expect, "token": token.into()}));
    }

    fn add_unsendable(&mut self, name: &str, expect: &str, token: impl Into<String>) {
        self.tokens.push(json!({"name": name, "expect": expect, "token": token.into(), "sendable": false}));
    }

    /// A token of `rsa-1` or another house key with this header and these claims, well signed.
    fn signed(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        let input = input(header, claims);
        join(&input, &self.key(algorithm).0.sign(algorithm, input.as_bytes()))
    }

    /// The good token of each algorithm, and what can be wrong with any signature.
    fn signatures(&mut self) {
        for (algorithm, kid) in ALGORITHMS {
            let name = |what: &str| format!("{algorithm} {what}");
            let (head, body) = (header(algorithm, kid), claims(&name("good")));
            let text = input(&head, &body);
            let (own, stranger) = self.key(algorithm);
            let good = own.sign(algorithm, text.as_bytes());
            let foreign = stranger.sign(algorithm, text.as_bytes());
            let mut flipped = good.clone();
            flipped[good.len() / 3] ^= 1;
            let mut more = body.clone();
            more["scope"] = json!("agent:read agent:execute agent:admin");
            let others = own.sign(algorithm, input(&head, &claims(&name("other"))).as_bytes());
            self.add(name("good"), "ok", join(&text, &good));
            for (what, token) in [
                ("with other claims under the signature", join(&input(&head, &more), &good)),
                ("with the signature of another token", join(&text, &others)),
                ("signed by a stranger's key", join(&text, &foreign)),
                ("with one bit of the signature changed", join(&text, &flipped)),
                ("with the signature cut by a byte", join(&text, &good[..good.len() - 1])),
                ("with a byte after the signature", join(&text, &[&good[..], &[0]].concat())),
                ("with a byte before the signature", join(&text, &[&[0], &good[..]].concat())),
                ("with a signature of zeros", join(&text, &vec![0; good.len()])),
                ("without a signature", join(&text, &[])),
            ] {
                self.add(name(what), "token_signature_invalid", token);
            }
        }
    }

    /// The same number written otherwise, and forms of other standards.
    fn encodings_of_signatures(&mut self) {
        let bad = "token_signature_invalid";
        // Look for tokens whose signatures have the property at hand.
        let found = |algorithm: &str, kid: &str, fits: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
            let key = self.key(algorithm).0;
            (0..10_000)
                .find_map(|number| {
                    let text = input(&header(algorithm, kid), &claims(&format!("number {number}")));
                    Some(join(&text, &fits(&key.sign(algorithm, text.as_bytes()))?))
                })
                .unwrap()
        };
        let without_zero = found("RS256", "rsa-1", &|signature| (signature[0] == 0).then(|| signature[1..].to_vec()));
        let beyond = found("RS256", "rsa-1", &|signature| self.rsa.beyond_the_modulus(signature));
        let high =
            found("ES256", "ec-1", &|signature| Some(if mint::is_high(signature) { signature.to_vec() } else { mint::other_s(signature) }));
        let low =
            found("ES256", "ec-1", &|signature| Some(if mint::is_high(signature) { mint::other_s(signature) } else { signature.to_vec() }));
        let der = found("ES256", "ec-1", &|signature| Some(mint::der(signature)));
        let zero_r = found("ES256", "ec-1", &|signature| Some([&[0; 32], &signature[32..]].concat()));
        let zero_s = found("ES256", "ec-1", &|signature| Some([&signature[..32], &[0; 32]].concat()));
        let ones = found("ES256", "ec-1", &|signature| Some(vec![0xff; signature.len()]));
        let order = found("EdDSA", "ed-1", &|signature| Some(mint::s_plus_order(signature)));
        let text = input(&header("PS256", "rsa-1"), &claims("salt"));
        let salts = [0, 20, 64].map(|length| (length, join(&text, &self.rsa.sign_pss(text.as_bytes(), length))));
        self.add("RS256 with the signature's leading zero left out", bad, without_zero);
        self.add("RS256 with a signature above the modulus", bad, beyond);
        // RFC 7518 section 3.4 sets no lower half; nothing here depends on a token having one spelling.
        self.add("ES256 with s in the upper half", "ok", high);
        self.add("ES256 with s in the lower half", "ok", low);
        self.add("ES256 with the signature as ASN.1 DER", bad, der);
        self.add("ES256 with r = 0", bad, zero_r);
        self.add("ES256 with s = 0", bad, zero_s);
        self.add("ES256 with r and s above the order", bad, ones);
        self.add("EdDSA with S plus the order of the group", bad, order);
        for (length, token) in salts {
            self.add(format!("PS256 with a salt of {length} bytes"), bad, token);
        }
    }

    /// `alg` says something else than what was done, or something that nobody should do.
    fn algorithms(&mut self) {
        let refused = "token_algorithm_refused";
        for alg in ["none", "None", "NONE", "nOnE", " none", "none ", "", "null"] {
            let text = input(&header(alg, "rsa-1"), &claims("none"));
            self.add(format!("alg {alg:?} without a signature"), refused, format!("{text}."));
        }
        let good = self.signed("RS256", &header("RS256", "rsa-1"), &claims("none"));
        let tail = good.rsplit('.').next().unwrap();
        let text = input(&header("none", "rsa-1"), &claims("none"));
        self.add("alg none with a good signature", refused, format!("{text}.{tail}"));
        for alg in [
            "rs256", "RS256 ", "RS1", "ES256K", "ES255", "es512", "Ed448", "HS384", "HS512", "HS256 ", "eddsa", "ED25519", "RSA-OAEP",
            "dir",
        ] {
            let text = input(&header(alg, "rsa-1"), &claims("other"));
            let token = join(&text, &self.rsa.sign("RS256", text.as_bytes()));
            self.add(format!("alg {alg:?}"), refused, token);
        }
        let secrets: Vec<(String, &str, Vec<u8>)> = [(&self.rsa, "rsa-1"), (&self.ec, "ec-1"), (&self.ed, "ed-1")]
            .into_iter()
            .flat_map(|(key, kid)| {
                [
                    (format!("the PEM of {kid}"), kid, mint::pem(&key.spki()).into_bytes()),
                    (format!("the DER of {kid}"), kid, key.spki()),
                    (format!("the JWK of {kid}"), kid, key.jwk(kid).to_string().into_bytes()),
                ]
            })
            .chain([("the shared secret oct-1".to_owned(), "oct-1", b"a secret that is no secret at all".to_vec())])
            .collect();
        for (what, kid, secret) in secrets {
            let text = input(&header("HS256", kid), &claims("hmac"));
            self.add(format!("HS256 with {what}"), refused, join(&text, &mint::hs256(&secret, text.as_bytes())));
            let text = input(&header("RS256", "rsa-1"), &claims("hmac"));
            self.add(
                format!("RS256 that is HMAC with {what}"),
                "token_signature_invalid",
                join(&text, &mint::hs256(&secret, text.as_bytes())),
            );
        }
        for (says, done) in [("RS384", "RS256"), ("RS256", "RS512"), ("PS256", "RS256"), ("RS256", "PS256"), ("PS384", "PS256")] {
            let text = input(&header(says, "rsa-1"), &claims("swapped"));
            self.add(format!("{says} that is {done}"), "token_signature_invalid", join(&text, &self.rsa.sign(done, text.as_bytes())));
        }
        let missing = self.signed("RS256", &json!({"typ": "at+jwt", "kid": "rsa-1"}), &claims("no alg"));
        self.add("without alg", "token_malformed", missing);
        let number = self.signed("RS256", &json!({"alg": 256, "typ": "at+jwt", "kid": "rsa-1"}), &claims("no alg"));
        self.add("alg that is a number", "token_malformed", number);
    }

    /// `kid` names no key, or one that does not fit.
    fn keys(&mut self) {
        let unknown = "token_key_unknown";
        for (name, expect, algorithm, kid) in [
            ("RS256 with the kid of an EC key", unknown, "RS256", json!("ec-1")),
            ("ES256 with the kid of an RSA key", unknown, "ES256", json!("rsa-1")),
            ("ES256 with the kid of an Ed25519 key", unknown, "ES256", json!("ed-1")),
            ("ES384 with the kid of a key on another curve", unknown, "ES384", json!("ec-521")),
            ("ES512 with the kid of a key on another curve", unknown, "ES512", json!("ec-1")),
            ("EdDSA with the kid of an EC key", unknown, "EdDSA", json!("ec-1")),
            ("RS256 with the kid of a shared secret", unknown, "RS256", json!("oct-1")),
            ("RS256 with the kid of a type of key that nobody knows", unknown, "RS256", json!("new-1")),
            ("ES256 with the kid of a point off the curve", unknown, "ES256", json!("ec-off-curve")),
            ("RS256 with a kid that is not there", unknown, "RS256", json!("rsa-9")),
            ("RS256 with an empty kid", unknown, "RS256", json!("")),
            ("RS256 with a kid in another case", unknown, "RS256", json!("RSA-1")),
            ("RS256 with a kid that is a path", unknown, "RS256", json!("../../rsa-1")),
            ("RS256 with a kid that is a number", "token_malformed", "RS256", json!(1)),
            ("ES256 with the kid of another EC key", "token_signature_invalid", "ES256", json!("ec-2")),
        ] {
            let token = self.signed(algorithm, &json!({"alg": algorithm, "typ": "at+jwt", "kid": kid}), &claims(name));
            self.add(name, expect, token);
        }
        for (name, expect, algorithm) in [
            ("RS256 without kid, where two keys fit", "ok", "RS256"),
            ("ES256 without kid, where two keys fit", "ok", "ES256"),
            ("PS256 without kid, where one key fits", "ok", "PS256"),
            ("EdDSA without kid, where one key fits", "ok", "EdDSA"),
        ] {
            let token = self.signed(algorithm, &json!({"alg": algorithm, "typ": "at+jwt"}), &claims(name));
            self.add(name, expect, token);
        }
        let by = |key: &Key, algorithm: &str, kid: &str, name: &str| {
            let text = input(&header(algorithm, kid), &claims(name));
            join(&text, &key.sign(algorithm, text.as_bytes()))
        };
        let bound = by(&self.rsa_bound, "RS256", "rsa-2", "bound");
        let unbound = by(&self.rsa_bound, "RS384", "rsa-2", "bound");
        let short = by(&self.rsa_short, "RS256", "rsa-3", "short");
        let other = by(&self.ec_other, "ES256", "ec-2", "other");
        let encrypting = by(&self.stranger_ec, "ES256", "ec-enc", "enc");
        self.add("RS256 by a key that is bound to it", "ok", bound);
        self.add("RS384 by a key that is bound to RS256", unknown, unbound);
        self.add("RS256 by a key of 1024 bits", unknown, short);
        self.add("ES256 by the other EC key", "ok", other);
        self.add("ES256 by a key for encryption", unknown, encrypting);
    }

    /// Other members of the header.
    fn headers(&mut self) {
        let malformed = "token_malformed";
        let stranger = self.stranger_rsa.jwk("rsa-1");
        let extended = |name: &str, value: Value| {
            let mut head = header("RS256", "rsa-1");
            head[name] = value;
            head
        };
        for (name, expect, head) in [
            ("crit that names a claim", malformed, extended("crit", json!(["exp"]))),
            ("crit that is empty", malformed, extended("crit", json!([]))),
            ("crit that is no list", malformed, extended("crit", json!("exp"))),
            ("b64 that is false", malformed, extended("b64", json!(false))),
            ("b64 that is true", malformed, extended("b64", json!(true))),
            ("typ of an ID token", "token_type_refused", extended("typ", json!("id+jwt"))),
            ("typ of a logout token", "token_type_refused", extended("typ", json!("logout+jwt"))),
            ("typ that is empty", "token_type_refused", extended("typ", json!(""))),
            ("typ that is a number", malformed, extended("typ", json!(1))),
            ("typ JWT", "ok", extended("typ", json!("JWT"))),
            ("typ as a whole media type", "ok", extended("typ", json!("application/AT+JWT"))),
            ("no typ", "ok", json!({"alg": "RS256", "kid": "rsa-1"})),
            ("header that points elsewhere for keys", "ok", extended("jku", json!("https://attacker.example.com/jwks"))),
        ] {
            let token = self.signed("RS256", &head, &claims(name));
            self.add(name, expect, token);
        }
        for (name, member, value) in [
            ("header that brings its own key", "jwk", stranger),
            ("header that points to its own keys", "jku", json!("https://attacker.example.com/jwks")),
        ] {
            let text = input(&extended(member, value), &claims(name));
            let token = join(&text, &self.stranger_rsa.sign("RS256", text.as_bytes()));
            self.add(name, "token_signature_invalid", token);
        }
        for (name, head) in [
            ("header with alg twice", r#"{"alg":"RS256","typ":"at+jwt","kid":"rsa-1","alg":"RS256"}"#),
            ("header with kid twice, once escaped", r#"{"alg":"RS256","typ":"at+jwt","kid":"rsa-1","\u006bid":"rsa-1"}"#),
            ("header with text after it", r#"{"alg":"RS256","typ":"at+jwt","kid":"rsa-1"}{}"#),
            ("header that is a list", r#"["RS256"]"#),
        ] {
            let text = format!("{}.{}", encode(head), encode(claims(name).to_string()));
            let token = join(&text, &self.rsa.sign("RS256", text.as_bytes()));
            self.add(name, malformed, token);
        }
    }

    /// Claims that decide, under a good signature.
    fn claims(&mut self) {
        let malformed = "token_malformed";
        let changed = |name: &str, value: Value| {
            let mut all = claims("claims");
            match value {
                Value::Null => drop(all.as_object_mut().map(|map: &mut Map<String, Value>| map.remove(name))),
                value => all[name] = value,
            }
            all
        };
        for (name, expect, body) in [
            ("exp that has passed", "token_expired", changed("exp", json!(1_700_000_100))),
            ("no exp", malformed, changed("exp", Value::Null)),
            ("exp that is text", malformed, changed("exp", json!("4102444800"))),
            ("exp below zero", malformed, changed("exp", json!(-1))),
            ("nbf that is to come", "token_not_yet_valid", changed("nbf", json!(LATE - 1))),
            ("iat that is to come", "token_not_yet_valid", changed("iat", json!(LATE - 1))),
            ("aud of another", "token_audience_mismatch", changed("aud", json!("https://other.example.com"))),
            ("aud with a slash more", "token_audience_mismatch", changed("aud", json!(format!("{AUDIENCE}/")))),
            ("aud that is an empty list", "token_audience_mismatch", changed("aud", json!([]))),
            ("aud that is a list with ours", "ok", changed("aud", json!(["https://other.example.com", AUDIENCE]))),
            ("no aud", malformed, changed("aud", Value::Null)),
            ("aud that is an object", malformed, changed("aud", json!({"aud": AUDIENCE}))),
            ("iss of another", "token_issuer_unknown", changed("iss", json!("https://attacker.example.com"))),
            ("iss with a slash more", "token_issuer_unknown", changed("iss", json!(format!("{ISSUER}/")))),
            ("no iss", "token_issuer_unknown", changed("iss", Value::Null)),
            ("iss that is a list", "token_issuer_unknown", changed("iss", json!([ISSUER]))),
        ] {
            let token = self.signed("ES256", &header("ES256", "ec-1"), &body);
            self.add(name, expect, token);
        }
        let text = format!(
            "{}.{}",
            encode(header("ES256", "ec-1").to_string()),
            encode(claims("twice").to_string().replace('}', r#","aud":"a"}"#))
        );
        let token = join(&text, &self.ec.sign("ES256", text.as_bytes()));
        self.add("claims with aud twice", malformed, token);
    }

    /// Spellings of a good token that are not it.
    fn shapes(&mut self) {
        let malformed = "token_malformed";
        let good = self.signed("RS256", &header("RS256", "rsa-1"), &claims("shape"));
        let parts: Vec<&str> = good.split('.').collect();
        let [head, body, tail] = parts[..] else { panic!("three parts") };
        // 256 bytes leave four bits of the last letter unused.
        let mut letters = tail.to_owned();
        let last = letters.pop().unwrap();
        letters.push((u8::try_from(last).unwrap() + 1).into());
        for (name, token) in [
            ("padding after the signature", format!("{good}==")),
            ("padding after the header", format!("{head}={}", &good[head.len()..])),
            ("unused bits that are set", format!("{head}.{body}.{letters}")),
            ("the other base64 alphabet", format!("{head}.{body}.{}", tail.replace('-', "+").replace('_', "/"))),
            ("four parts", format!("{good}.{tail}")),
            ("five parts", format!("{good}.{tail}.{tail}")),
            ("two parts", format!("{head}.{body}")),
            ("one part", head.to_owned()),
            ("dots alone", "..".to_owned()),
            ("a dot before", format!(".{good}")),
            ("a dot after", format!("{good}.")),
            ("no header", format!(".{body}.{tail}")),
            ("no claims", format!("{head}..{tail}")),
        ] {
            self.add(name, malformed, token);
        }
        for (name, token) in [
            ("a line break after it", format!("{good}\n")),
            ("a line break within it", format!("{head}.\n{body}.{tail}")),
            ("a NUL after it", format!("{good}\0")),
            ("a space within it", format!("{head}. {body}.{tail}")),
            ("a letter that is not ASCII", format!("{good}é")),
        ] {
            self.add_unsendable(name, malformed, token);
        }
    }
}

//! The rows of `tokens.json`, one by one. Each attack stands beside its twin: the same request, made honestly.

use super::mint::{self, Key, encode};
use rsa::BigUint;
use rsa::sha2::{Digest as _, Sha512};
use serde_json::{Map, Value, json};

pub const SECRET: &str = "a secret of the tests that nobody else should ever take for one of his own";
const MAIN: &str = "https://main.example.com";
const OTHER: &str = "https://other.example.com";
const HMAC: &str = "https://hmac.example.com";
const AGED: &str = "https://aged.example.com";
const CHAIN: &str = "https://chain.example.com";
const LISTED: &str = "https://listed.example.com";
const LONG: &str = "https://long.example.com";
const PLACES: &str = "https://places.example.com";
const AUDIENCE: &str = "https://expense.example.com";
const TENANTS: [&str; 2] = ["11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-aaaaaaaaaaaa"];
const STRANGER: &str = "bbbbbbbb-cccc-dddd-eeee-ffffffffffff";
/// 2100-01-01T00:00:00Z: the rows are good for a real clock.
const LATE: u64 = 4_102_444_800;
/// The order of the group of Ed25519 (RFC 8032 section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0x10,
];

struct Corpus {
    rsa: Key,
    ec: Key,
    ec_384: Key,
    ec_521: Key,
    ed: Key,
    /// Of the other issuer; one of them has the name of one of ours.
    other: Key,
    stranger: Key,
    entra: Key,
    foreign: Key,
    rows: Vec<Value>,
}

/// The whole file.
pub fn file() -> Value {
    let mut corpus = Corpus {
        rsa: Key::rsa("attacks rsa", 2048),
        ec: Key::p256("attacks ec"),
        ec_384: Key::p384("attacks ec"),
        ec_521: Key::p521("attacks ec"),
        ed: Key::ed25519("attacks ed"),
        other: Key::p256("attacks other"),
        stranger: Key::p256("attacks stranger"),
        entra: Key::rsa("attacks entra", 2048),
        foreign: Key::rsa("attacks foreign", 2048),
        rows: Vec::new(),
    };
    corpus.algorithms();
    corpus.costly();
    corpus.secrets();
    corpus.keys();
    corpus.headers();
    corpus.numbers();
    corpus.names();
    corpus.signatures();
    corpus.spellings();
    corpus.credentials();
    corpus.audiences();
    corpus.tenants();
    corpus.actors();
    corpus.places();
    json!({
        "about": "Requests and the verdict of each: ok, or a reason of docs/refusals.md. Made by BLESS=1 cargo test --test attacks. \
                  Those with sendable: false hold bytes that no header can carry.",
        "secret": SECRET,
        "issuers": corpus.issuers(),
        "rows": corpus.rows
    })
}

/// An RSA key of `bits`, odd numbers only: whether it is a product of primes nobody can see.
fn long(kid: &str, bits: usize) -> Value {
    let mut modulus = vec![0x5a_u8; bits / 8];
    modulus[0] = 0x80;
    *modulus.last_mut().unwrap() |= 1;
    json!({"kty": "RSA", "kid": kid, "n": encode(modulus), "e": "AQAB"})
}

fn input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

fn join(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", encode(signature))
}

fn head(algorithm: &str, kid: &str) -> Value {
    json!({"alg": algorithm, "typ": "at+jwt", "kid": kid})
}

fn claims(issuer: &str) -> Value {
    json!({"iss": issuer, "aud": AUDIENCE, "sub": "ann", "client_id": "cli", "iat": 1_700_000_000, "exp": LATE})
}

/// `base` with the members of `changes`; `null` removes one.
fn with(mut base: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("an object") };
    for (name, value) in changes {
        let members: &mut Map<String, Value> = base.as_object_mut().unwrap();
        match value {
            Value::Null => drop(members.remove(&name)),
            value => drop(members.insert(name, value)),
        }
    }
    base
}

impl Corpus {
    fn issuers(&self) -> Value {
        let ec = |key: &Key, kid: &str| key.jwk(kid);
        let issuer = |name: &str, iss: &str, keys: Value| json!({"name": name, "issuer": iss, "audiences": [AUDIENCE], "jwks": keys});
        let inline = |keys: Vec<Value>| json!({"inline": {"keys": keys}});
        let small = |first: u8| {
            let mut point = [0_u8; 32];
            point[0] = first;
            json!({"kty": "OKP", "crv": "Ed25519", "kid": format!("ed-small-{first}"), "x": encode(point)})
        };
        // y = 4 and the prime more.
        let mut beyond = [0xff_u8; 32];
        beyond[0] = 0xf1;
        beyond[31] = 0x7f;
        let mut unit = self.rsa.jwk("rsa-1-is-e");
        unit["e"] = json!("AQ");
        let with_alg = with(self.rsa.jwk("rsa-pss"), json!({"alg": "PS256"}));
        let main = inline(vec![
            self.rsa.jwk("rsa"),
            with_alg,
            long("rsa-long", 8192),
            long("rsa-4104", 4104),
            unit,
            ec(&self.ec, "ec"),
            ec(&self.ec_384, "ec-384"),
            ec(&self.ec_521, "ec-521"),
            self.ed.jwk("ed"),
            small(0),
            small(1),
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed-beyond", "x": encode(beyond)}),
        ]);
        let shared = inline(vec![ec(&self.other, "ec"), ec(&self.other, "other")]);
        let mut of_all = self.entra.jwk("entra");
        of_all["issuer"] = json!("https://login.microsoftonline.com/{tenantid}/v2.0");
        let mut of_stranger = self.foreign.jwk("foreign");
        of_stranger["issuer"] = json!(format!("https://login.microsoftonline.com/{STRANGER}/v2.0"));
        json!([
            issuer("main", MAIN, main),
            issuer("other", OTHER, shared),
            with(issuer("listed", LISTED, inline(vec![self.rsa.jwk("rsa")])), json!({"algorithms": ["PS256"]})),
            with(issuer("long", LONG, inline(vec![long("rsa-long", 8192)])), json!({"max_rsa_bits": 8192, "algorithms": ["RS256", "PS256"]})),
            issuer("hmac", HMAC, json!({"shared_secret": {"secret": "hmac"}})),
            with(issuer("aged", AGED, inline(vec![ec(&self.ec, "ec")])), json!({"max_token_age": "315360000s"})),
            with(
                issuer("chain", CHAIN, inline(vec![ec(&self.ec, "ec")])),
                json!({"actors": {"max_depth": 2, "allowed": ["https://agent.example.com"]}}),
            ),
            with(
                issuer("places", PLACES, inline(vec![ec(&self.ec, "ec")])),
                json!({"claims": {"roles": ["https://x.example/roles", ["realm_access", "roles"]], "required": ["roles"],
                                  "user_marker": [], "service_marker": [{"claim": "gty", "value": "client-credentials"}]}}),
            ),
            {"name": "entra", "preset": "entra", "tenants": TENANTS, "audiences": [AUDIENCE], "jwks": inline(vec![of_all, of_stranger])}
        ])
    }

    fn row(&mut self, name: impl Into<String>, expect: &str, headers: Vec<(&str, String)>) {
        let headers: Vec<Value> = headers.into_iter().map(|(name, value)| json!([name, value])).collect();
        self.rows.push(json!({"name": name.into(), "expect": expect, "headers": headers}));
    }

    fn token(&mut self, name: impl Into<String>, expect: &str, token: impl AsRef<str>) {
        self.row(name, expect, vec![("authorization", format!("Bearer {}", token.as_ref()))]);
    }

    fn unsendable(&mut self, name: &str, expect: &str, token: &str) {
        self.token(name, expect, token);
        self.rows.last_mut().unwrap()["sendable"] = json!(false);
    }

    fn key(&self, kid: &str) -> (&Key, &'static str) {
        match kid {
            "rsa" => (&self.rsa, "RS256"),
            "ec-384" => (&self.ec_384, "ES384"),
            "ec-521" => (&self.ec_521, "ES512"),
            "ed" => (&self.ed, "EdDSA"),
            "other" => (&self.other, "ES256"),
            _ => (&self.ec, "ES256"),
        }
    }

    /// A good token of `issuer`, signed with the key called `kid`.
    fn good(&self, issuer: &str, kid: &str, changes: Value) -> String {
        let (key, algorithm) = self.key(kid);
        let text = input(&head(algorithm, kid), &with(claims(issuer), changes));
        join(&text, &key.sign(algorithm, text.as_bytes()))
    }

    /// Header and claims as they are given, signed with the P-256 key.
    fn signed(&self, header: &str, claims: &str) -> String {
        let text = format!("{}.{}", encode(header), encode(claims));
        join(&text, &self.ec.sign("ES256", text.as_bytes()))
    }

    fn algorithms(&mut self) {
        for kid in ["rsa", "ec", "ec-384", "ec-521", "ed"] {
            let token = self.good(MAIN, kid, json!({}));
            self.token(format!("a good token of key {kid}"), "ok", token);
        }
        for alg in ["none", "None", "NONE", "nOnE", "none ", "\u{a0}none", "n\u{0}one", ""] {
            let text = input(&head(alg, "ec"), &claims(MAIN));
            self.token(format!("alg {alg:?}, no signature"), "token_algorithm_refused", format!("{text}."));
            let token = join(&text, &self.ec.sign("ES256", text.as_bytes()));
            self.token(format!("alg {alg:?}, a good signature"), "token_algorithm_refused", token);
        }
        let text = input(&head("ES256", "ec"), &claims(MAIN));
        self.token("a stripped signature", "token_signature_invalid", format!("{text}."));
    }

    /// Keys and algorithms that cost much to verify, and who gets them verified.
    fn costly(&mut self) {
        let pss = |key: &Key, issuer: &str, kid: &str, alg: &str| {
            let text = input(&head(alg, kid), &claims(issuer));
            join(&text, &key.sign(alg, text.as_bytes()))
        };
        for (name, expect, issuer, kid, alg) in [
            ("PS256 with a key that does not name it", "token_key_unknown", MAIN, "rsa", "PS256"),
            ("PS512 with a key that does not name it", "token_key_unknown", MAIN, "rsa", "PS512"),
            ("PS256 with a key that names it", "ok", MAIN, "rsa-pss", "PS256"),
            ("PS384 with a key that names PS256", "token_key_unknown", MAIN, "rsa-pss", "PS384"),
            ("RS256 with a key that names PS256", "token_key_unknown", MAIN, "rsa-pss", "RS256"),
            ("PS256 of an issuer that lists it", "ok", LISTED, "rsa", "PS256"),
            ("RS256 of an issuer that lists PS256 only", "token_algorithm_refused", LISTED, "rsa", "RS256"),
        ] {
            let token = pss(&self.rsa, issuer, kid, alg);
            self.token(name, expect, token);
        }
        // Nobody has the private half: that nothing is verified shows in the verdict.
        for (name, expect, issuer, kid, alg) in [
            ("RS256 with a key of 8192 bits", "token_key_unknown", MAIN, "rsa-long", "RS256"),
            ("PS256 with a key of 8192 bits", "token_key_unknown", MAIN, "rsa-long", "PS256"),
            ("RS256 with a key of 4104 bits", "token_key_unknown", MAIN, "rsa-4104", "RS256"),
            ("RS256 with a key of 8192 bits of an issuer that may have it", "token_signature_invalid", LONG, "rsa-long", "RS256"),
            ("PS256 with a key of 8192 bits of an issuer that may have it", "token_signature_invalid", LONG, "rsa-long", "PS256"),
        ] {
            let text = input(&head(alg, kid), &claims(issuer));
            self.token(name, expect, join(&text, &[1; 1024]));
        }
    }

    /// The public key as a secret, and the secret as any other key.
    fn secrets(&mut self) {
        let hs = |header: &Value, issuer: &str, secret: &[u8]| {
            let text = input(header, &claims(issuer));
            join(&text, &mint::hs256(secret, text.as_bytes()))
        };
        let rsa = self.rsa.jwk("rsa");
        for (what, bytes) in [
            ("PEM", mint::pem(&self.rsa.spki()).into_bytes()),
            ("PEM without its last line break", mint::pem(&self.rsa.spki()).trim_end().as_bytes().to_vec()),
            ("DER", self.rsa.spki()),
            ("JWK", rsa.to_string().into_bytes()),
            ("modulus", rsa["n"].as_str().unwrap().as_bytes().to_vec()),
        ] {
            let token = hs(&head("HS256", "rsa"), MAIN, &bytes);
            self.token(format!("HS256 with the public key as {what}"), "token_algorithm_refused", token);
            let token = hs(&head("HS256", "rsa"), HMAC, &bytes);
            self.token(format!("HS256 of the issuer with a secret, with a public key as {what}"), "token_signature_invalid", token);
            let token = hs(&head("RS256", "rsa"), MAIN, &bytes);
            self.token(format!("RS256 that is HMAC with the public key as {what}"), "token_signature_invalid", token);
        }
        let secret = SECRET.as_bytes();
        let good = hs(&head("HS256", "any"), HMAC, secret);
        self.token("HS256 with the shared secret", "ok", &good);
        let without_kid = hs(&json!({"alg": "HS256", "typ": "at+jwt"}), HMAC, secret);
        self.token("HS256 with the shared secret and no kid", "ok", without_kid);
        let elsewhere = hs(&head("HS256", "any"), MAIN, secret);
        self.token("HS256 with the secret of another issuer", "token_algorithm_refused", elsewhere);
        let empty = hs(&head("HS256", "any"), HMAC, b"");
        self.token("HS256 with an empty secret", "token_signature_invalid", empty);
        let text = input(&head("HS256", "any"), &claims(HMAC));
        let cut = join(&text, &mint::hs256(secret, text.as_bytes())[..16]);
        self.token("HS256 with half a tag", "token_signature_invalid", cut);
        for algorithm in ["HS384", "HS512"] {
            let token = hs(&head(algorithm, "any"), HMAC, secret);
            self.token(format!("{algorithm} where HS256 is agreed on"), "token_algorithm_refused", token);
        }
        let by_key = self.good(HMAC, "rsa", json!({}));
        self.token("RS256 of the issuer with a secret", "token_algorithm_refused", by_key);
    }

    fn keys(&mut self) {
        let unknown = "token_key_unknown";
        for (what, kid) in [
            ("a path", "../../../../dev/null".to_owned()),
            ("a query", "ec' UNION SELECT 'a".to_owned()),
            ("a command", "ec|/usr/bin/id".to_owned()),
            ("a URL", "https://attacker.example.com/jwks".to_owned()),
            ("8 KB long", "k".repeat(8192)),
            ("a name with NUL", "ec\u{0}".to_owned()),
            ("a name with a space", "ec ".to_owned()),
            ("a name in another case", "EC".to_owned()),
            ("empty", String::new()),
        ] {
            let token = self.signed(&head("ES256", &kid).to_string(), &claims(MAIN).to_string());
            self.token(format!("kid that is {what}"), unknown, token);
        }
        for kid in [json!(["ec"]), json!({"ec": 1}), json!(1), json!(null), json!(true)] {
            let token = self.signed(&json!({"alg": "ES256", "kid": kid}).to_string(), &claims(MAIN).to_string());
            self.token(format!("kid that is {kid}"), "token_malformed", token);
        }
        let own = self.good(OTHER, "other", json!({}));
        self.token("a good token of the other issuer", "ok", own);
        let foreign = self.good(MAIN, "other", json!({}));
        self.token("the kid of another issuer", unknown, foreign);
        let text = input(&head("ES256", "ec"), &claims(MAIN));
        let same_name = join(&text, &self.other.sign("ES256", text.as_bytes()));
        self.token("a key of another issuer with the name of ours", "token_signature_invalid", same_name);
        let confused = self.good(OTHER, "ec", json!({}));
        self.token("our key for the other issuer, which has that name too", "token_signature_invalid", confused);
        // With e = 1 the padded hash is its own signature.
        let text = input(&head("RS256", "rsa-1-is-e"), &claims(MAIN));
        let digest = rsa::sha2::Sha256::digest(&text);
        let info = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
        let padded = [&[0, 1][..], &[0xff; 202], &[0], info, &digest].concat();
        self.token("the padded hash for a key with exponent 1", unknown, join(&text, &padded));
    }

    fn headers(&mut self) {
        let stranger = self.stranger.jwk("ec");
        for (member, value) in [
            ("jwk", stranger.clone()),
            ("jku", json!("https://attacker.example.com/jwks")),
            ("x5u", json!("https://attacker.example.com/certificate")),
            ("x5c", json!(["MIIB"])),
        ] {
            let header = with(head("ES256", "ec"), json!({ member: value }));
            let text = input(&header, &claims(MAIN));
            let token = join(&text, &self.stranger.sign("ES256", text.as_bytes()));
            self.token(format!("{member} with the attacker's key, its signature"), "token_signature_invalid", token);
            let token = self.signed(&header.to_string(), &claims(MAIN).to_string());
            self.token(format!("{member} with the attacker's key, our signature"), "ok", token);
        }
        for extension in [json!({"crit": ["exp"]}), json!({"crit": []}), json!({"crit": ["b64"], "b64": false}), json!({"b64": false})] {
            let token = self.signed(&with(head("ES256", "ec"), extension.clone()).to_string(), &claims(MAIN).to_string());
            self.token(format!("header with {extension}"), "token_malformed", token);
        }
        let text =
            format!("{}.{}", encode(with(head("ES256", "ec"), json!({"b64": false, "crit": ["b64"]})).to_string()), json!({"iss": MAIN}));
        let token = join(&text, &self.ec.sign("ES256", text.as_bytes()));
        self.token("claims that are not encoded", "token_malformed", token);
    }

    /// Times that are none.
    fn numbers(&mut self) {
        let body = |member: &str, value: &str| {
            let mut body = claims(MAIN).to_string();
            let text = format!("\"{member}\":{}", claims(MAIN)[member]);
            body = if body.contains(&text) { body.replace(&text, &format!("\"{member}\":{value}")) } else { body };
            if body.contains(&format!("\"{member}\":{value}")) { body } else { body.replacen('{', &format!("{{\"{member}\":{value},"), 1) }
        };
        let header = head("ES256", "ec").to_string();
        for member in ["exp", "nbf", "iat"] {
            for value in [
                "\"4102444800\"",
                "-4102444800.5",
                "1e300",
                "-1",
                "1e400",
                "-1e400",
                "NaN",
                "Infinity",
                "null",
                "true",
                "[4102444800]",
                "{}",
                "184467440737095516160",
                "0x7f",
                "04102444800",
                "\"\"",
            ] {
                let token = self.signed(&header, &body(member, value));
                self.token(format!("{member} that is {value}"), "token_malformed", token);
            }
        }
        for (member, value, expect) in [
            ("exp", "4102444800.5", "ok"),
            ("exp", "4.1024448e9", "ok"),
            ("exp", "1.7E9", "token_expired"),
            ("nbf", "4102444800.5", "token_not_yet_valid"),
            ("nbf", "1.7e9", "ok"),
            ("iat", "4102444800.5", "token_not_yet_valid"),
        ] {
            let token = self.signed(&header, &body(member, value));
            self.token(format!("{member} that is {value}"), expect, token);
        }
        let latest = self.signed(&header, &body("exp", "18446744073709551615"));
        self.token("exp at the end of time", "ok", latest);
        for (name, expect, changes) in [
            ("exp that is zero", "token_expired", json!({"exp": 0})),
            ("exp that has passed", "token_expired", json!({"exp": 1_700_000_001})),
            ("nbf that is to come", "token_not_yet_valid", json!({"nbf": LATE - 1})),
            ("iat that is to come", "token_not_yet_valid", json!({"iat": LATE - 1})),
            ("nbf that has come", "ok", json!({"nbf": 1_700_000_000})),
            ("no exp", "token_malformed", json!({"exp": null})),
        ] {
            let token = self.good(MAIN, "ec", changes);
            self.token(name, expect, token);
        }
        let young = self.good(AGED, "ec", json!({}));
        self.token("a token of less than the highest age", "ok", young);
        let old = self.good(AGED, "ec", json!({"iat": 1_000_000_000}));
        self.token("a token of more than the highest age", "token_expired", old);
        let ageless = self.good(AGED, "ec", json!({"iat": null}));
        self.token("a token of unknown age, where age counts", "token_expired", ageless);
    }

    /// Members that two readers read differently.
    fn names(&mut self) {
        let header = head("ES256", "ec").to_string();
        let body = claims(MAIN).to_string();
        let before = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
        let after = |text: &str, member: &str| format!("{},{member}}}", &text[..text.len() - 1]);
        for member in [
            r#""sub":"mallory""#,
            r#""\u0073ub":"mallory""#,
            r#""sub":"ann""#,
            r#""iss":"https://other.example.com""#,
            r#""exp":1"#,
            r#""aud":"x""#,
        ] {
            for (place, text) in [("before", before(&body, member)), ("after", after(&body, member))] {
                let token = self.signed(&header, &text);
                self.token(format!("claims with another {member} {place}"), "token_malformed", token);
            }
        }
        for member in [r#""alg":"none""#, r#""\u0061lg":"none""#, r#""kid":"x""#, r#""k\u0069d":"ec""#] {
            for (place, text) in [("before", before(&header, member)), ("after", after(&header, member))] {
                let token = self.signed(&text, &body);
                self.token(format!("header with another {member} {place}"), "token_malformed", token);
            }
        }
        let nested = self.signed(&header, &after(&body, r#""realm_access":{"roles":["a"],"roles":["b"]}"#));
        self.token("claims with a repeated member inside", "token_malformed", nested);
        let escaped = self.signed(&header, &body.replace("\"sub\"", "\"\\u0073ub\""));
        self.token("claims with an escaped name, once", "ok", escaped);
        for (what, text) in [
            ("two documents", format!("{body}{body}")),
            ("a byte order mark", format!("\u{feff}{body}")),
            ("a comment", format!("/**/{body}")),
            ("a lone surrogate", after(&body, r#""name":"\ud800""#)),
            ("a trailing comma", format!("{},}}", &body[..body.len() - 1])),
            ("a list", format!("[{body}]")),
            ("a string", "\"{}\"".to_owned()),
            ("nesting without end", after(&body, &format!("\"deep\":{}{}", "[".repeat(1000), "]".repeat(1000)))),
        ] {
            let token = self.signed(&header, &text);
            self.token(format!("claims that are {what}"), "token_malformed", token);
        }
    }

    fn signatures(&mut self) {
        let bad = "token_signature_invalid";
        for (kid, length) in [("ec", 32), ("ec-384", 48), ("ec-521", 66)] {
            let (key, algorithm) = self.key(kid);
            let text = input(&head(algorithm, kid), &claims(MAIN));
            let good = key.sign(algorithm, text.as_bytes());
            let (r, s) = good.split_at(length);
            let zero = vec![0; length];
            let number = |bytes: &[u8]| {
                let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
                let digits = if digits[0] & 0x80 == 0 { digits } else { [&[0], &digits[..]].concat() };
                [&[2, u8::try_from(digits.len()).unwrap()], &digits[..]].concat()
            };
            let content = [number(r), number(s)].concat();
            let size = u8::try_from(content.len()).unwrap();
            let tag = if size < 0x80 { vec![0x30, size] } else { vec![0x30, 0x81, size] };
            let rows = [
                ("r = s = 0", [&zero[..], &zero].concat()),
                ("r = 0", [&zero[..], s].concat()),
                ("s = 0", [r, &zero].concat()),
                ("r and s of ones", vec![0xff; 2 * length]),
                ("r and s exchanged", [s, r].concat()),
                ("ASN.1 DER", [&tag[..], &content].concat()),
                ("a byte more in each half", [&[0], r, &[0], s].concat()),
                ("nothing", Vec::new()),
            ];
            for (what, signature) in rows {
                self.token(format!("{algorithm} with {what}"), bad, join(&text, &signature));
            }
        }
        let text = input(&head("ES256", "ec"), &claims(MAIN));
        let signature = self.ec.sign("ES256", text.as_bytes());
        for twin in [signature.clone(), mint::other_s(&signature)] {
            let half = if mint::is_high(&twin) { "upper" } else { "lower" };
            self.token(format!("ES256 with s in the {half} half"), "ok", join(&text, &twin));
        }
        // Curves and hashes that do not belong together.
        for (algorithm, kid) in [("ES256", "ec-384"), ("ES384", "ec"), ("ES512", "ec-384"), ("ES384", "ec-521"), ("EdDSA", "ec")] {
            let (key, own) = self.key(kid);
            let text = input(&head(algorithm, kid), &claims(MAIN));
            let token = join(&text, &key.sign(own, text.as_bytes()));
            self.token(format!("{algorithm} with key {kid}"), "token_key_unknown", token);
        }
        self.edwards();
    }

    /// What Ed25519 verifiers disagree on.
    fn edwards(&mut self) {
        let text = input(&head("EdDSA", "ed"), &claims(MAIN));
        let good = self.ed.sign("EdDSA", text.as_bytes());
        self.token("Ed25519 with S and the order more", "token_signature_invalid", join(&text, &mint::s_plus_order(&good)));
        // R of small order, made by the owner of the key: 8S = 8kA holds for it.
        let Key::Ed25519(key) = &self.ed else { panic!("an Ed25519 key") };
        let key = key.clone();
        let hash = Sha512::digest(key.to_bytes());
        let mut scalar: [u8; 32] = hash[..32].try_into().unwrap();
        scalar[0] &= 248;
        scalar[31] = scalar[31] & 127 | 64;
        let order = BigUint::from_bytes_le(&ORDER);
        for (name, first, last) in [("the identity", 1, 0), ("of order four", 0, 0), ("the identity, not canonical", 1, 0x80)] {
            let mut point = [0_u8; 32];
            point[0] = first;
            point[31] = last;
            let k = Sha512::digest([&point[..], key.verifying_key().as_bytes(), text.as_bytes()].concat());
            let s = BigUint::from_bytes_le(&k) * BigUint::from_bytes_le(&scalar) % &order;
            let mut s = s.to_bytes_le();
            s.resize(32, 0);
            let token = join(&text, &[&point[..], &s].concat());
            self.token(format!("Ed25519 with R {name}"), "token_signature_invalid", token);
        }
        // Under a key of small order, R = identity and S = 0 fit every message in eight.
        for kid in ["ed-small-0", "ed-small-1", "ed-beyond"] {
            let text = input(&head("EdDSA", kid), &claims(MAIN));
            let mut signature = [0_u8; 64];
            signature[0] = 1;
            self.token(format!("Ed25519 under key {kid}"), "token_key_unknown", join(&text, &signature));
        }
    }

    fn spellings(&mut self) {
        let good = self.good(MAIN, "ec", json!({}));
        let parts: Vec<&str> = good.split('.').collect();
        let [head, body, tail] = parts[..] else { panic!("three parts") };
        for (name, token) in [
            ("padding", format!("{good}==")),
            ("padding in the header", format!("{head}=.{body}.{tail}")),
            ("padding in the claims", format!("{head}.{body}=.{tail}")),
            ("four parts", format!("{good}.")),
            ("five parts, as an encrypted one", format!("{head}..{body}.{tail}.{tail}")),
            ("two parts", format!("{head}.{body}")),
            ("an empty header", format!(".{body}.{tail}")),
            ("percent-encoding", good.replace('.', "%2E")),
        ] {
            self.token(format!("a token with {name}"), "token_malformed", token);
        }
        for (name, token) in [
            ("a line break after it", format!("{good}\n")),
            ("a line break in the header", format!("{}\n{}", &good[..8], &good[8..])),
            ("a carriage return and a line break", format!("{good}\r\n")),
            ("a NUL after it", format!("{good}\0")),
        ] {
            self.unsendable(&format!("a token with {name}"), "token_malformed", &token);
        }
    }

    /// The header around the token.
    fn credentials(&mut self) {
        let good = self.good(MAIN, "ec", json!({}));
        let line = |text: String| vec![("authorization", text)];
        for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
            self.row(format!("the scheme as {scheme}"), "ok", line(format!("{scheme} {good}")));
        }
        for (name, expect, text) in [
            ("two spaces", "ok", format!("Bearer  {good}")),
            ("a space and a tab", "token_malformed", format!("Bearer \t{good}")),
            ("a tab", "token_malformed", format!("Bearer\t{good}")),
            ("no space", "token_malformed", format!("Bearer{good}")),
            ("a colon", "token_malformed", format!("Bearer: {good}")),
            ("quotes", "token_malformed", format!("Bearer \"{good}\"")),
            ("two tokens", "credentials_repeated", format!("Bearer {good}, Bearer {good}")),
            ("two tokens and no scheme for the second", "credentials_repeated", format!("Bearer {good},{good}")),
            ("another scheme first", "credentials_missing", format!("Basic YTpi, Bearer {good}")),
            ("another scheme", "credentials_missing", format!("Token {good}")),
            ("a token after the token", "token_malformed", format!("Bearer {good} {good}")),
        ] {
            self.row(format!("Authorization with {name}"), expect, line(text));
        }
        let bearer = format!("Bearer {good}");
        self.row("two headers", "credentials_repeated", vec![("authorization", bearer.clone()), ("authorization", bearer.clone())]);
        for (name, expect, query) in [
            ("a token in the query too", "credentials_repeated", format!("?access_token={good}")),
            ("a token in the query too, escaped", "credentials_repeated", format!("?x=1&access%5ftoken={good}")),
            ("a query without token", "ok", "?token_access=1".to_owned()),
        ] {
            self.row(name, expect, vec![("authorization", bearer.clone())]);
            self.rows.last_mut().unwrap()["query"] = json!(query);
        }
        self.row("a token in the query alone", "credentials_missing", Vec::new());
        self.rows.last_mut().unwrap()["query"] = json!(format!("?access_token={good}"));
        self.row("a token in a cookie", "credentials_missing", vec![("cookie", format!("access_token={good}"))]);
        self.row("a token in Proxy-Authorization", "credentials_missing", vec![("proxy-authorization", bearer)]);
    }

    fn audiences(&mut self) {
        let mismatch = "token_audience_mismatch";
        for (name, expect, aud) in [
            ("ours", "ok", json!(AUDIENCE)),
            ("a list with ours", "ok", json!(["https://x.example", AUDIENCE])),
            ("ours with a slash", mismatch, json!(format!("{AUDIENCE}/"))),
            ("ours with a path", mismatch, json!(format!("{AUDIENCE}/agents"))),
            ("a longer host", mismatch, json!(format!("{AUDIENCE}.attacker.example"))),
            ("a shorter text", mismatch, json!("https://expense")),
            ("ours in another case", mismatch, json!("https://EXPENSE.example.com")),
            ("ours with a space", mismatch, json!(format!("{AUDIENCE} "))),
            ("several in one text", mismatch, json!(format!("{AUDIENCE} https://x.example"))),
            ("any", mismatch, json!("*")),
            ("an empty text", mismatch, json!("")),
            ("an empty list", mismatch, json!([])),
            ("an object", "token_malformed", json!({"0": AUDIENCE})),
            ("a list within a list", "token_malformed", json!([[AUDIENCE]])),
            ("a list with a number", "token_malformed", json!([AUDIENCE, 1])),
            ("null", "token_malformed", json!("\u{0}null")),
        ] {
            let changes = if aud == json!("\u{0}null") { json!({"aud": null}) } else { json!({"aud": aud}) };
            let token = self.good(MAIN, "ec", changes);
            self.token(format!("an audience that is {name}"), expect, token);
        }
        for (name, iss) in [
            ("in another case", "https://MAIN.example.com"),
            ("with a slash", "https://main.example.com/"),
            ("with a space", "https://main.example.com "),
            ("that is longer", "https://main.example.com.attacker.example"),
            ("by another scheme", "http://main.example.com"),
            ("with a NUL", "https://main.example.com\u{0}"),
            ("empty", ""),
        ] {
            let token = self.good(iss, "ec", json!({}));
            self.token(format!("an issuer {name}"), "token_issuer_unknown", token);
        }
    }

    /// One set of keys for many tenants.
    fn tenants(&mut self) {
        let v2 = |tenant: &str| format!("https://login.microsoftonline.com/{tenant}/v2.0");
        let v1 = |tenant: &str| format!("https://sts.windows.net/{tenant}/");
        let user = |iss: String, tenant: &str| {
            with(claims(&iss), json!({"tid": tenant, "oid": "o", "azp": "a", "scp": "agent:execute", "client_id": null}))
        };
        let app = |iss: String, tenant: &str| {
            with(claims(&iss), json!({"tid": tenant, "oid": "o", "appid": "a", "roles": ["Foundry User"], "client_id": null}))
        };
        let [ours, also] = TENANTS;
        let unknown = "token_issuer_unknown";
        let malformed = "token_malformed";
        for (name, expect, kid, body) in [
            ("a user, v2", "ok", "entra", user(v2(ours), ours)),
            ("a user, v1", "ok", "entra", user(v1(ours), ours)),
            ("a user of the second tenant", "ok", "entra", user(v2(also), also)),
            ("a service with a role", "ok", "entra", app(v2(ours), ours)),
            ("a service that says so", "ok", "entra", with(app(v2(ours), ours), json!({"roles": null, "idtyp": "app"}))),
            ("another tenant", unknown, "entra", user(v2(STRANGER), STRANGER)),
            ("another tenant in iss", unknown, "entra", user(v2(STRANGER), ours)),
            ("another tenant in tid", unknown, "entra", user(v2(ours), STRANGER)),
            ("the second tenant in tid", unknown, "entra", user(v2(ours), also)),
            ("the template itself", unknown, "entra", user(v2("{tenantid}"), "{tenantid}")),
            ("no tenant in iss", unknown, "entra", user(v2(""), ours)),
            ("two tenants in iss", unknown, "entra", user(v2(&format!("{ours}/{also}")), ours)),
            ("a tenant in upper case", unknown, "entra", user(v2(&also.to_uppercase()), also)),
            ("no tid", malformed, "entra", with(user(v2(ours), ours), json!({"tid": null}))),
            ("no oid", malformed, "entra", with(user(v2(ours), ours), json!({"oid": null}))),
            ("an ID token", malformed, "entra", with(user(v2(ours), ours), json!({"azp": null, "scp": null}))),
            ("an ID token of a user with a role", malformed, "entra", with(app(v2(ours), ours), json!({"appid": null}))),
            ("a service without role or sign", malformed, "entra", with(app(v2(ours), ours), json!({"roles": null}))),
            ("the key of another tenant", "token_key_unknown", "foreign", user(v2(ours), ours)),
        ] {
            let header = json!({"alg": "RS256", "typ": "JWT", "kid": kid});
            let text = input(&header, &body);
            let key = if kid == "foreign" { &self.foreign } else { &self.entra };
            let token = join(&text, &key.sign("RS256", text.as_bytes()));
            self.token(format!("Entra: {name}"), expect, token);
        }
    }

    fn actors(&mut self) {
        let refused = "token_actor_refused";
        let allowed = "https://agent.example.com";
        for (name, expect, act) in [
            ("none", "ok", Value::Null),
            ("the allowed one", "ok", json!({"sub": allowed})),
            ("the allowed one, by its client_id", "ok", json!({"client_id": allowed})),
            ("the allowed one, after another", "ok", json!({"sub": allowed, "act": {"sub": "x"}})),
            ("another", refused, json!({"sub": "x"})),
            ("another, after the allowed one", refused, json!({"sub": "x", "act": {"sub": allowed}})),
            ("three", refused, json!({"sub": allowed, "act": {"sub": "x", "act": {"sub": "y"}}})),
            ("a text", "token_malformed", json!(allowed)),
            ("nameless", "token_malformed", json!({"iss": allowed})),
            ("a list", "token_malformed", json!([{"sub": allowed}])),
        ] {
            let token = self.good(CHAIN, "ec", json!({"act": act}));
            self.token(format!("an actor that is {name}"), expect, token);
        }
        let mut deep = json!({"sub": "x"});
        for _ in 0..4 {
            deep = json!({"sub": "x", "act": deep});
        }
        let token = self.good(MAIN, "ec", json!({"act": deep}));
        self.token("five actors where nothing is said of them", refused, token);
    }

    fn places(&mut self) {
        for (name, expect, changes) in [
            ("a claim whose name is a URL", "ok", json!({"https://x.example/roles": ["r"]})),
            ("a claim inside another", "ok", json!({"realm_access": {"roles": ["r"]}})),
            ("a name with a dot in place of it", "token_malformed", json!({"realm_access.roles": ["r"]})),
            ("no such claim", "token_malformed", json!({})),
            ("an outer claim of the wrong type", "token_malformed", json!({"realm_access": "roles"})),
            ("an inner claim of the wrong type", "token_malformed", json!({"realm_access": {"roles": 7}})),
        ] {
            let token = self.good(PLACES, "ec", changes);
            self.token(format!("places: {name}"), expect, token);
        }
    }
}

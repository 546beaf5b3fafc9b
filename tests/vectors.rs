//! Tokens and their verdicts (`vectors/tokens.json`): verified natively here, through the built module in
//! `abi.rs`, and through Envoy's own cryptography in the mesh. `BLESS=1` writes the file anew.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

#[path = "vectors/list.rs"]
mod list;
#[path = "vectors/mint.rs"]
mod mint;

use attache::config::{Algorithm, Config};
use attache::flow::event::reason::Reason;
use attache::identity::jwk::{KeySet, Wanted};
use attache::identity::signature::{Software, Verifier as _};
use attache::identity::verify::{self, Taken};
use attache::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

static FILE: LazyLock<Value> = LazyLock::new(|| {
    let path = "tests/vectors/tokens.json";
    if std::env::var_os("BLESS").is_some() {
        let mut text = serde_json::to_string_pretty(&list::file()).unwrap();
        text.push('\n');
        std::fs::write(path, text).unwrap();
    }
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
});

#[test]
#[allow(clippy::disallowed_methods, reason = "the vectors are good for a real clock")]
fn every_token_has_its_verdict() {
    let file = &*FILE;
    let config = config(file);
    let keys = KeySet::parse(file["keys"].to_string().as_bytes(), 8192).unwrap();
    let times = [SystemTime::now().duration_since(UNIX_EPOCH).unwrap(), Duration::from_secs(4_000_000_000)];
    let tokens = file["tokens"].as_array().unwrap();
    assert!(tokens.len() > 100, "{}", tokens.len());
    let taken = [Taken { scheme: 0, issuer: 0, terms: Rc::clone(&config.issuers[0].terms) }];
    let mut wrong = Vec::new();
    for vector in tokens {
        for now in times {
            let token = vector["token"].as_str().unwrap();
            let verdict = match verify::open(token, &config.issuers, &taken)
                .and_then(|open| open.verify(&config.issuers[0], &keys, &Software))
                .and_then(|verified| verified.judge(&config.issuers[0], &config.issuers[0].terms, UnixTime::new(now)))
            {
                Ok(caller) => {
                    assert_eq!(caller.subject.as_deref(), Some("vector"));
                    "ok"
                }
                Err(error) => Reason::from(error).code(),
            };
            if vector["expect"] != verdict {
                wrong.push(format!("{}: {verdict}, not {}", vector["name"], vector["expect"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_unique_and_every_algorithm_has_good_and_bad_tokens() {
    let tokens = FILE["tokens"].as_array().unwrap();
    let mut names: Vec<&str> = tokens.iter().map(|vector| vector["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), tokens.len());
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"] {
        let start = format!("{algorithm} ");
        for (expect, least) in [("ok", 1), ("token_signature_invalid", 5)] {
            let count = tokens.iter().filter(|v| v["name"].as_str().unwrap().starts_with(&start) && v["expect"] == expect).count();
            assert!(count >= least, "{algorithm} has {count} vectors that expect {expect}");
        }
    }
}

fn config(file: &Value) -> Config {
    let text = json!({
        "issuers": [{"name": "vectors", "issuer": file["issuer"], "audiences": [file["audience"]], "jwks": {"inline": file["keys"]},
                     "algorithms": file["algorithms"]}],
        "schemes": {"oauth2": {"bearer": {"issuers": ["vectors"]}}},
        "agents": [{"name": "expense", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"1.0": {"bindings": ["jsonrpc"]}},
                    "default_version": "1.0", "security": [{"oauth2": ["agent:execute"]}]}]
    });
    Config::parse(text.to_string().as_bytes()).unwrap()
}

/// The examples of the specifications: their keys read, their signatures hold, and a changed bit is seen.
#[test]
fn the_examples_of_rfc_7515_and_rfc_8037_verify() {
    const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    for (example, algorithm, name, key, message, signature) in [
        (
            "RFC 7515 A.2",
            Algorithm::RS256,
            "RS256",
            json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}),
            format!("eyJhbGciOiJSUzI1NiJ9.{JOE}"),
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            "RFC 7515 A.3",
            Algorithm::ES256,
            "ES256",
            json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
            format!("eyJhbGciOiJFUzI1NiJ9.{JOE}"),
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            "RFC 8037 A.4",
            Algorithm::EdDSA,
            "EdDSA",
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ] {
        let keys = KeySet::parse(json!({"keys": [key]}).to_string().as_bytes(), 8192).unwrap();
        let candidates = keys.candidates(&Wanted { key_id: None, name, algorithm, with_any_key: true, owns: &|_| true });
        let [key] = candidates.as_slice() else { panic!("{example}: {} keys", candidates.len()) };
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(Software.verify(algorithm, key, message.as_bytes(), &signature), "{example}");
        assert!(!Software.verify(algorithm, key, format!("{message} ").as_bytes(), &signature), "{example}: another message");
        for place in [0, signature.len() / 2, signature.len() - 1] {
            let mut changed = signature.clone();
            changed[place] ^= 1;
            assert!(!Software.verify(algorithm, key, message.as_bytes(), &changed), "{example}: bit in byte {place}");
        }
    }
}

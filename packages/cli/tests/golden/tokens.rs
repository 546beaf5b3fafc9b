//! `attache token` and `attache hash-key`.

use super::{golden, here, root, run};
use serde_json::{Value, json};
use std::fs;

/// A folder of this test's own.
fn folder(name: &str) -> std::path::PathBuf {
    let folder = super::scratch(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn vectors() -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("tests/vectors/tokens.json")).unwrap()).unwrap()
}

fn config(vectors: &Value, jwks: &Value) -> Value {
    json!({
        "issuers": [{"name": "vectors", "issuer": vectors["issuer"], "audiences": [vectors["audience"]], "algorithms": vectors["algorithms"],
                     "max_rsa_bits": 8192, "jwks": jwks}],
        "schemes": {"oauth2": {"bearer": {"issuers": ["vectors"]}}, "key": {"api_key": {"in": "header", "name": "x-api-key", "keys": [{"id": "ci", "sha256": "0".repeat(64)}]}}},
        "agents": [
            {"name": "one", "match": {"hosts": ["*"], "path_prefix": "/one"}, "public_url": "https://expense.example.com/one",
             "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "default_version": "1.0", "security": [{"oauth2": []}]},
            {"name": "two", "match": {"hosts": ["*"], "path_prefix": "/two"}, "public_url": "https://expense.example.com/two",
             "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "default_version": "1.0", "security": [{"oauth2": ["agent:admin"]}]},
            {"name": "three", "match": {"hosts": ["*"], "path_prefix": "/three"}, "public_url": "https://expense.example.com/three",
             "versions": {"1.0": {"bindings": ["jsonrpc"]}}, "default_version": "1.0", "security": [{"key": []}]}]
    })
}

fn written(folder: &std::path::Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Each token of the vectors gets the verdict that it gets in the filter, in the module and in Envoy; its signature is never shown.
#[test]
fn each_token_is_judged_as_in_the_filter() {
    let (vectors, folder) = (vectors(), folder("tokens"));
    let config = written(&folder, "config.json", &config(&vectors, &json!({"inline": vectors["keys"]})).to_string());
    let tokens = vectors["tokens"].as_array().unwrap();
    // White space around a token is the file's.
    let is_bare = |vector: &&Value| vector["token"].as_str().is_some_and(|token| token.trim() == token);
    let judge = |vector: &Value| {
        let token = vector["token"].as_str().unwrap();
        let asked = ["--json", "token", "--config", &config, "--agent", "one"];
        let (text, status) = run(&folder, &asked, token);
        let said: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}: {text}", vector["name"]));
        let verdict = &said["judged"][0]["verdict"];
        let code = if verdict["accepted"] == true { "ok" } else { verdict["reason"].as_str().unwrap() };
        // What is no token at all is refused before it is one.
        let expected = vector["expect"].as_str().unwrap();
        assert!(code == expected || code == "credentials_malformed" && expected == "token_malformed", "{}: {text}", vector["name"]);
        assert_eq!(status == 0, code == "ok", "{}", vector["name"]);
        let signature = token.rsplit('.').next().unwrap();
        assert!(signature.len() < 20 || !text.contains(signature), "{}: {text}", vector["name"]);
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = tokens.chunks(32).map(|part| scope.spawn(move || part.iter().filter(is_bare).for_each(judge))).collect();
        parts.into_iter().for_each(|part| part.join().unwrap());
    });
    assert!(tokens.len() > 200, "{}", tokens.len());
}

#[test]
fn a_token_is_told_in_these_words() {
    let (vectors, folder) = (vectors(), folder("told"));
    let discovery = json!({"discovery": {"uri": "https://vectors.example.com/.well-known/openid-configuration", "cluster": "idp"}});
    let config = written(&folder, "config.json", &config(&vectors, &discovery).to_string());
    let keys = format!("vectors={}", written(&folder, "keys.json", &vectors["keys"].to_string()));
    let tokens = vectors["tokens"].as_array().unwrap();
    let token = |name: &str| tokens.iter().find(|vector| vector["name"] == name).unwrap()["token"].as_str().unwrap().to_owned();
    let mut all = String::new();
    let mut tell = |title: &str, arguments: &[&str], input: &str| {
        let (text, status) = run(&folder, arguments, input);
        all.push_str(&format!("## {title}\n{text}status {status}\n\n"));
    };
    let judged = ["token", "-c", &config, "--at", "1800000000", "--keys", &keys];
    tell("a good token", &judged, &token("RS256 good"));
    tell("without a configuration", &["token", "--at", "1800000000"], &format!("Authorization: Bearer {}\n", token("ES256 good")));
    tell("signed by somebody else", &judged, &token("RS256 signed by a stranger's key"));
    tell("out of time", &judged, &token("exp that has passed"));
    tell("no token", &judged, "hello");
    tell("at another agent", &[&judged[..], &["--agent", "four"]].concat(), &token("RS256 good"));
    tell("without the keys", &["token", "-c", &config, "--agent", "one"], &token("RS256 good"));
    tell("a broken configuration", &["token", "-c", &written(&folder, "broken.json", "{\"agents\": 1}")], "hello");
    let all = all.replace(folder.to_str().unwrap(), "FOLDER");
    golden(&here().join("tokens.txt"), &all);
}

#[test]
fn the_digest_of_a_key_is_that_of_the_filter() {
    let mut all = String::new();
    let mut tell = |title: &str, arguments: &[&str], input: &str| {
        let (text, status) = run(&here(), arguments, input);
        all.push_str(&format!("## {title}\n{text}status {status}\n\n"));
    };
    // printf 0123456789abcdef0123456789abcdef | sha256sum
    tell("a key", &["hash-key", "--id", "desk"], "0123456789abcdef0123456789abcdef\n");
    tell("a key, for programs", &["--json", "hash-key", "--id", "desk"], "0123456789abcdef0123456789abcdef\r\n");
    tell("a password", &["hash-key", "--user", "ann"], "correct horse battery staple");
    tell("a short key", &["hash-key"], "s3cret");
    tell("no key", &["hash-key"], "\n");
    tell("several lines", &["hash-key"], "one\ntwo\n");
    tell("a key that is too long", &["hash-key"], &"k".repeat(1025));
    tell("a user with a colon", &["hash-key", "--user", "a:b"], "correct horse battery staple");
    golden(&here().join("hash-key.txt"), &all);
}

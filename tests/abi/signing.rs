//! Tokens that the host signs: whether it can is found out when the configuration comes, and each is one of its own.

use super::given::{all, pairs};
use super::host::{Host, Pairs};
use super::signing_keys as keys;
use super::vm::{Verdict, Vm};
use serde_json::{Value, json};

fn configuration() -> Value {
    json!({
        "connections": [{"name": "callers", "match": {"hosts": ["*"], "path_prefix": "/"}, "notifications": {}, "pin": "none",
            "credential": {"signed_jwt": {"issuer": "https://agents.example.com", "key": {"secret": "notify"}, "algorithm": "ES256", "key_id": "n1"}}}],
        "published_keys": {"at": {"hosts": ["agents.example.com"]}, "jwks": {"inline": {"keys": [keys::jwk(7, "n1")]}}},
        "secrets": {"notify": {"env": "NOTIFY"}}
    })
}

fn host(seed: Option<u8>, signs: bool) -> Host {
    let environment = seed.map(|seed| format!("NOTIFY={}", keys::pem(seed))).into_iter().collect();
    Host { environment, signs_nothing: !signs, verifies: true, ..Host::default() }
}

fn notification() -> Pairs {
    pairs(&[(":authority", "hooks.example.com"), (":path", "/a2a"), (":method", "POST"), ("content-type", "application/json")])
}

const BODY: &[u8] = br#"{"task":{"id":"t-1"}}"#;

fn refused(host: Host, configuration: &Value) -> String {
    let mut vm = Vm::new(host);
    assert!(!vm.configure(&configuration.to_string()));
    vm.host().log.last().unwrap().clone()
}

#[test]
fn each_notification_has_a_token_of_its_own_that_the_published_key_verifies() {
    let mut vm = Vm::with(host(Some(7), true), &configuration());
    let mut seen = Vec::new();
    for _ in 0..3 {
        // Its announced length is not what ends it here.
        let Verdict::Passed(sent, body) = vm.request(&notification(), &[&BODY[..9], &BODY[9..]]) else { panic!("it is refused") };
        assert_eq!(body, BODY);
        let [value] = all(&sent, "authorization").try_into().unwrap();
        let token = value.strip_prefix("Bearer ").unwrap().to_owned();
        let claims = keys::verified(7, &token).expect("the signature is that of the key");
        assert_eq!((&claims["aud"], &claims["taskId"]), (&json!("https://hooks.example.com"), &json!("t-1")));
        seen.push(claims["jti"].as_str().unwrap().to_owned());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3, "no jti twice");
    let said = format!("{:?}{:?}", vm.host().log, vm.host().calls);
    assert!(!said.contains("PRIVATE KEY") && !said.contains("eyJ"), "{said}");
}

#[test]
fn a_host_that_cannot_sign_is_told_of_by_name() {
    let said = refused(host(Some(7), false), &configuration());
    assert!(
        said.contains(
            "configuration refused: connections[0].credential.signed_jwt: needs Envoy 1.37 or newer: the proxy has no foreign function sign"
        ),
        "{said}"
    );
    let client = json!({"token_endpoint": {"uri": "https://idp.example/token", "cluster": "idp"}, "client_id": "c",
        "authentication": {"private_key_jwt": {"key": {"secret": "notify"}, "algorithm": "ES256"}}});
    let mut other = configuration();
    other["connections"][0] = json!({"name": "partner", "match": {"hosts": ["a"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
        "credential": {"client_credentials": {"client": client}}});
    let said = refused(host(Some(7), false), &other);
    assert!(
        said.contains("connections[0].credential.client_credentials.client.authentication.private_key_jwt: needs Envoy 1.37"),
        "{said}"
    );
}

#[test]
fn what_a_host_lacks_is_said_once_at_start() {
    let mut plain = configuration();
    plain["connections"][0]["credential"] = json!({"none": {}});
    plain["secrets"] = json!({});
    for (signs, lines) in [(false, 1), (true, 0)] {
        let mut vm = Vm::with(host(None, signs), &plain);
        let _ = vm.request(&notification(), &[BODY]);
        let said = vm.host().log.iter().filter(|line| line.contains("this Envoy has no foreign function sign")).count();
        assert_eq!(said, lines, "{:?}", vm.host().log);
    }
}

#[test]
fn a_key_that_does_not_belong_to_the_published_one_is_refused() {
    let said = refused(host(Some(8), true), &configuration());
    assert!(said.contains("connections[0].credential.signed_jwt.key: does not belong to the key \"n1\" of published_keys"), "{said}");
    let odd = Host { environment: vec!["NOTIFY=no key".to_owned()], ..host(None, true) };
    let said = refused(odd, &configuration());
    assert!(said.contains("connections[0].credential.signed_jwt.key: the private key cannot sign"), "{said}");
    // A key that is not there yet is no fault of the configuration.
    let mut vm = Vm::with(host(None, true), &configuration());
    assert_eq!(vm.request(&notification(), &[BODY]).reason(), "credential_unavailable");
}

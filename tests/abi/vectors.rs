//! Every token of `tests/vectors/tokens.json` through the module: with a host that verifies, and with one that
//! has no such function.

use super::given::{SEND, VECTORS, headers, inbound, with};
use super::host::Host;
use super::vm::Vm;
use serde_json::json;

fn run(verifies: bool) -> Vm {
    let mut vm = Vm::with(Host { verifies, ..Host::default() }, &inbound(&json!({"inline": VECTORS["keys"]})));
    let mut wrong = Vec::new();
    for vector in VECTORS["tokens"].as_array().unwrap() {
        let bearer = format!("Bearer {}", vector["token"].as_str().unwrap());
        let verdict = vm.request(&with(headers(), "authorization", &bearer), &[SEND]);
        if vector["expect"] != verdict.reason() {
            wrong.push(format!("{}: {}, not {}", vector["name"], verdict.reason(), vector["expect"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    vm
}

#[test]
fn a_host_that_verifies() {
    let vm = run(true);
    let asked = vm.host().calls.iter().filter(|call| call.starts_with("proxy_call_foreign_function verify_signature")).count();
    assert!(asked > 40, "RSA PKCS#1 and P-256 go to the host: {asked}");
}

#[test]
fn a_host_that_does_not() {
    let vm = run(false);
    let asked = vm.host().calls.iter().filter(|call| call.starts_with("proxy_call_foreign_function verify_signature")).count();
    assert_eq!(asked, 1, "one refusal is enough");
}

//! Bodies of requests that wait: they stay in the host until their sender is known.

use super::given::{VECTORS, headers, remote, token, with};
use super::host::Host;
use super::vm::{Action, Verdict, Vm};
use serde_json::json;

const COUNT: usize = 64;
const SIZE: usize = 500_000;
/// What the heads of those who wait may cost, and one body at a time.
const MOST: usize = 4 << 20;

#[test]
fn bodies_that_wait_cost_no_memory() {
    let mut config = remote();
    config["agents"][0]["limits"]["max_body_bytes"] = json!(1_000_000);
    config["agents"][0]["tasks"] = json!({"owned": {"keys": [{"id": "k", "secret": "tag"}]}});
    config["allow_inline_secrets"] = json!(true);
    config["secrets"] = json!({"tag": {"inline": "0123456789abcdef0123456789abcdef"}});
    let mut vm = Vm::with(Host { verifies: true, clusters: vec!["idp"], ..Host::default() }, &config);
    let start =
        r#"{"jsonrpc":"2.0","id":"id-1","method":"SendMessage","params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":""#;
    let body = format!("{start}{}\"}}]}}}}}}", "x".repeat(SIZE));
    let wrong = with(headers(), "authorization", format!("Bearer {}", token("RS256 with one bit of the signature changed")));
    vm.tick();
    let before = vm.memory();
    let mut waiting: Vec<u32> = Vec::new();
    for number in 0..COUNT {
        let good = headers();
        let id = vm.open(if number == 0 { &good } else { &wrong });
        assert_eq!(vm.headers(id, false), Action::Pause);
        // A part of it comes early, the rest late.
        assert_eq!(vm.body(id, &body.as_bytes()[..SIZE / 2], false), Action::Pause);
        assert_eq!(vm.body(id, &body.as_bytes()[SIZE / 2..], true), Action::Pause);
        waiting.push(id);
    }
    let grown = vm.memory() - before;
    assert!(grown <= MOST, "{COUNT} bodies of {SIZE} bytes that wait: {grown} bytes");
    let call = vm.host().dispatched.first().unwrap().token;
    vm.answer(call, &[(":status", "200")], VECTORS["keys"].to_string().as_bytes());
    while waiting.iter().any(|id| vm.verdict(*id) == Verdict::Waiting) {
        vm.tick();
    }
    for (number, id) in waiting.iter().enumerate() {
        match vm.verdict(*id) {
            Verdict::Passed(_, passed) => assert!(number == 0 && passed == body.as_bytes()),
            Verdict::Refused(status, reply) => {
                assert_eq!((status, &reply["id"]), (401, &json!("id-1")), "{reply}");
                assert!(number > 0, "{reply}");
            }
            Verdict::Waiting => panic!("{number} waits"),
        }
    }
    let grown = vm.memory() - before;
    // The one that is let through is rewritten, which takes it twice.
    assert!(grown <= MOST + 4 * SIZE, "{COUNT} bodies of {SIZE} bytes: {grown} bytes");
}

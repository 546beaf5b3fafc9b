//! Answers that are read for tasks that wait for credentials: what that asks of the host, that no byte changes, and that without the option
//! nothing is asked at all.

use super::given::{SEND, VECTORS, headers, inbound, pairs};
use super::host::Host;
use super::vm::{Action, Verdict, Vm};
use serde_json::json;

const ANSWER: &[u8] = br#"data: {"jsonrpc":"2.0","id":"id-1","result":{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}}

data: {"jsonrpc":"2.0","id":"id-1","result":{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_AUTH_REQUIRED"}}}}

data: {"jsonrpc":"2.0","id":"id-1","result":{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_AUTH_REQUIRED"}}}}

"#;

/// Host calls while an answer passes in parts of `size`, and how often the task was counted.
fn calls(reads: bool, body: &[u8], size: usize) -> (Vec<String>, u32) {
    let mut configuration = inbound(&json!({"inline": VECTORS["keys"]}));
    configuration["audit"] = json!({"level": "none", "auth_required": reads});
    let mut vm = Vm::with(Host { verifies: true, ..Host::default() }, &configuration);
    let id = vm.open(&headers());
    vm.headers(id, false);
    vm.body(id, SEND, true);
    assert!(matches!(vm.verdict(id), Verdict::Passed(..)));
    let before = vm.host().calls.len();
    let head = pairs(&[(":status", "200"), ("content-type", "text/event-stream")]);
    assert_eq!(vm.response(id, &head, false), Action::Continue);
    let parts: Vec<&[u8]> = body.chunks(size).collect();
    for (index, part) in parts.iter().enumerate() {
        assert_eq!(vm.response_body(id, part, index + 1 == parts.len()), Action::Continue);
    }
    let calls = vm.host().calls[before..].to_vec();
    assert_eq!(vm.close(id).response.forwarded, body, "by {size}");
    vm.tick();
    let name = "attache_auth_required.agent=.=expense;.;total";
    let count = vm.host().counters.iter().filter(|(own, _)| own == name).map(|(_, count)| *count).sum();
    (calls, count)
}

#[test]
fn an_answer_that_is_read_passes_as_it_is_and_counts_once() {
    for size in [1, 7, 100, ANSWER.len()] {
        let (calls, count) = calls(true, ANSWER, size);
        assert_eq!(count, 1, "by {size}: {calls:?}");
        let is_known = |call: &String| {
            let known = ["proxy_get_buffer_bytes", "proxy_get_current_time_nanoseconds", "proxy_get_header_map"];
            known.iter().any(|name| call.starts_with(name)) || call.contains("attache.task_state")
        };
        assert!(calls.iter().all(is_known), "by {size}: {calls:?}");
        assert_eq!(calls.iter().filter(|call| call.contains("attache.task_state")).count(), 1, "{calls:?}");
    }
    // Once it is found, no part is read: the rest of a long stream costs nothing.
    let long = ANSWER.repeat(50);
    let read = |body: &[u8]| calls(true, body, 50).0.len();
    assert_eq!(read(&long), read(ANSWER));
}

#[test]
fn without_the_option_no_answer_asks_anything_of_the_host() {
    assert_eq!(calls(false, ANSWER, 50), (Vec::new(), 0));
}

#[test]
fn an_answer_that_cannot_be_read_passes_as_it_is() {
    for body in
        [&b"data: <html>\n\n"[..], b"data: {\"result\":{\"result\":1},\"result\":2}\n\ndata: {}\n\n", b"\xff\xfe\x00", b"data: [[[["]
    {
        for size in [1, 3, body.len()] {
            assert_eq!(calls(true, body, size).1, 0);
        }
    }
}

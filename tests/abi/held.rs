//! Bodies that Envoy holds: whatever the filter makes of an answer, Envoy's buffer never outgrows what it took out, and no host
//! call calls back into the filter.

use super::given::{SEND, VECTORS, all, headers, inbound, pairs, remote, with};
use super::host::{Host, Pairs};
use super::vm::{Action, Verdict, Vm};
use serde_json::{Value, json};

/// Sizes of the parts that an answer comes in.
const PARTS: [usize; 3] = [1000, 16_384, usize::MAX];

fn vm(hold: bool, owned: bool, limit: usize) -> Vm {
    let mut configuration = inbound(&json!({"inline": VECTORS["keys"]}));
    configuration["hold_headers"] = json!(hold);
    configuration["agents"][0]["public_url"] = json!("https://expense.example.com/agents/expense");
    if owned {
        configuration["allow_inline_secrets"] = json!(true);
        configuration["secrets"] = json!({"tags": {"inline": "0123456789abcdef0123456789abcdef"}});
        configuration["agents"][0]["tasks"] = json!({"owned": {"keys": [{"id": "a", "secret": "tags"}]}});
    }
    let mut vm = Vm::with(Host { verifies: true, limit, ..Host::default() }, &configuration);
    // A first body shows that headers can be held.
    assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
    vm
}

/// An agent's card of `size` bytes.
fn card(size: usize) -> Value {
    let own = |text: String| {
        json!({"name": "Expense", "description": text, "version": "1", "capabilities": {}, "skills": [], "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/plain"],
            "supportedInterfaces": [{"url": "http://10.0.0.5:9000/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]})
    };
    own("d".repeat(size.saturating_sub(own(String::new()).to_string().len())))
}

fn answer() -> Pairs {
    pairs(&[(":status", "200"), ("content-type", "application/json"), ("x-own", "kept"), ("etag", "\"old\""), ("vary", "accept")])
}

/// The answer of an agent comes in parts of `size`; what the client then has of it: its head and its body, or nothing.
fn play(vm: &mut Vm, id: u32, body: &[u8], size: usize, trailers: bool) -> Option<(Pairs, Vec<u8>)> {
    vm.response(id, &answer(), false);
    let parts: Vec<&[u8]> = body.chunks(size.min(body.len()).max(1)).collect();
    for (index, part) in parts.iter().enumerate() {
        if vm.stream(id).reply.is_none() {
            vm.response_body(id, part, !trailers && index + 1 == parts.len());
        }
    }
    if trailers && vm.stream(id).reply.is_none() {
        vm.response_trailers(id);
    }
    let stream = vm.close(id);
    match stream.reply {
        Some(_) if stream.response.reset => None,
        Some(reply) => {
            let status = (":status".to_owned(), reply.status.to_string().into_bytes());
            Some((reply.headers.into_iter().chain([status]).collect(), reply.body))
        }
        None => Some((stream.response.headers, stream.response.forwarded)),
    }
}

#[test]
fn a_card_never_outgrows_what_is_held_of_it() {
    for hold in [true, false] {
        for limit in [16_384, 32_768] {
            let mut vm = vm(hold, false, limit);
            let ask = with(headers(), ":path", "/agents/expense/.well-known/agent-card.json");
            let ask = with(ask, ":method", "GET");
            for length in (limit - 256..=limit + 128).step_by(64) {
                for (size, trailers) in PARTS.into_iter().flat_map(|size| [(size, false), (size, true)]) {
                    let id = vm.open(&ask);
                    assert_eq!(vm.headers(id, true), Action::Continue);
                    let own = card(length);
                    let (head, body) = play(&mut vm, id, own.to_string().as_bytes(), size, trailers).unwrap();
                    let shown: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!((&shown["description"], &shown["name"]), (&own["description"], &own["name"]), "{length} by {size}");
                    assert!(!shown.to_string().contains("10.0.0.5"), "{length} by {size}");
                    for (name, value) in [("x-own", "kept"), (":status", "200")] {
                        assert_eq!(all(&head, name), [value], "{length} by {size}, hold {hold}");
                    }
                    assert_eq!(all(&head, "etag").len(), usize::from(hold), "{length} by {size}");
                }
            }
        }
    }
}

#[test]
fn a_card_that_is_none_is_refused_and_nothing_of_it_goes_on() {
    for hold in [true, false] {
        let mut vm = vm(hold, false, 16_384);
        let ask = with(with(headers(), ":path", "/agents/expense/.well-known/agent-card.json"), ":method", "GET");
        let long = card(1_048_577).to_string();
        let twice = format!("{}{}", card(2000), card(2000));
        for (body, size) in [("<html>", 2), (&long, 16_384), (&twice, usize::MAX), ("", 1), ("{\"name\":\"x\"", 5)] {
            let id = vm.open(&ask);
            assert_eq!(vm.headers(id, true), Action::Continue);
            match play(&mut vm, id, if body.is_empty() { b" " } else { body.as_bytes() }, size, false) {
                Some((head, body)) => {
                    assert_eq!((all(&head, ":status"), hold), (vec!["502"], true), "{}", String::from_utf8_lossy(&body));
                }
                None => assert!(!hold),
            }
        }
    }
}

/// Documents and event streams pass while they come, lists when they are complete.
#[test]
fn answers_about_owned_tasks_never_outgrow_what_is_held_of_them() {
    for hold in [true, false] {
        let limit = 16_384;
        let mut vm = vm(hold, true, limit);
        let own = r#"{"task":{"id":"t","contextId":"c"}}"#;
        let rest = with(with(headers(), ":path", "/agents/expense/message:send"), "content-type", "application/json");
        let id = vm.open(&rest);
        vm.headers(id, false);
        assert_eq!(vm.body(id, br#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x"}]}}"#, true), Action::Continue);
        let (_, body) = play(&mut vm, id, own.as_bytes(), 7, false).unwrap();
        let shown: Value = serde_json::from_slice(&body).unwrap();
        let (task, context) = (shown["task"]["id"].as_str().unwrap().to_owned(), shown["task"]["contextId"].as_str().unwrap().to_owned());
        let tagged = |text: &str| text.replace("\"t\"", &format!("\"{task}\"")).replace("\"c\"", &format!("\"{context}\""));
        let history = vec![json!({"taskId": "t", "contextId": "c"}); 200];
        for length in (limit - 128..=limit + 64).step_by(64) {
            let task_json =
                json!({"id": "t", "contextId": "c", "history": history, "metadata": {"text": "d".repeat(length - 7000)}}).to_string();
            let list = format!("{{\"tasks\":[{task_json}]}} ");
            let listed = format!("{{\"tasks\":[{}],\"nextPageToken\":\"\",\"totalSize\":1}}", tagged(&task_json));
            let shown = tagged(&task_json);
            for (path, body, expected) in [
                (format!("/agents/expense/tasks/{task}"), task_json, shown),
                (format!("/agents/expense/tasks?contextId={context}"), list, listed),
            ] {
                let ask = with(with(headers(), ":path", &path), ":method", "GET");
                for (size, trailers) in PARTS.into_iter().flat_map(|size| [(size, false), (size, true)]) {
                    let id = vm.open(&ask);
                    assert_eq!(vm.headers(id, true), Action::Continue, "{path}");
                    let (head, seen) = play(&mut vm, id, body.as_bytes(), size, trailers).unwrap();
                    assert_eq!(String::from_utf8(seen).unwrap().trim_end(), expected, "{path} by {size}");
                    assert_eq!(all(&head, "x-own"), ["kept"]);
                }
            }
        }
    }
}

/// The key of metadata that marks have, and an agent that keeps them.
const MARK: &str = "https://example.com/ext/owner";

fn marking(mut configuration: Value, hold: bool) -> Value {
    configuration["hold_headers"] = json!(hold);
    configuration["allow_inline_secrets"] = json!(true);
    configuration["secrets"] = json!({"tags": {"inline": "0123456789abcdef0123456789abcdef"}});
    let tasks = json!({"owned": {"keys": [{"id": "a", "secret": "tags"}], "mark": {"metadata_key": MARK}}});
    configuration["agents"][0]["tasks"] = tasks;
    configuration["agents"][0]["limits"]["max_body_bytes"] = json!(1 << 20);
    configuration
}

/// What went on of a message, which has a mark and nothing else that is new.
fn ensure_marked(passed: &[u8], sent: &Value) {
    let mut passed: Value = serde_json::from_slice(passed).unwrap();
    let message = if passed["params"].is_object() { &mut passed["params"]["message"] } else { &mut passed["message"] };
    let metadata = message.as_object_mut().unwrap().remove("metadata").unwrap();
    assert!(metadata[MARK].as_str().unwrap().starts_with("a."), "{metadata}");
    assert_eq!(passed, *sent);
}

/// A mark makes a message longer. What Envoy holds of it does not grow: blanks were there before.
#[test]
fn a_marked_message_never_outgrows_what_is_held_of_it() {
    for hold in [true, false] {
        let limit = 16_384;
        let mut vm =
            Vm::with(Host { verifies: true, limit, ..Host::default() }, &marking(inbound(&json!({"inline": VECTORS["keys"]})), hold));
        let rest = with(headers(), ":path", "/agents/expense/message:send");
        let mut marked = 0;
        for length in (limit - 512..=limit + 64).step_by(64).chain([100]) {
            let message = json!({"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "x".repeat(length - 100)}]});
            let rpc = json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}});
            for (head, sent) in [(headers(), rpc), (rest.clone(), json!({"message": message}))] {
                let body = sent.to_string();
                for (size, trailers) in [1000, 7000, usize::MAX].into_iter().flat_map(|size| [(size, false), (size, true)]) {
                    let id = vm.open(&head);
                    vm.headers(id, false);
                    let parts: Vec<&[u8]> = body.as_bytes().chunks(size.min(body.len())).collect();
                    for (index, part) in parts.iter().enumerate() {
                        if vm.stream(id).reply.is_none() {
                            vm.body(id, part, !trailers && index + 1 == parts.len());
                        }
                    }
                    if trailers && vm.stream(id).reply.is_none() {
                        vm.trailers(id, &pairs(&[("x-checksum", "1")]));
                    }
                    if vm.stream(id).reply.as_ref().is_some_and(|reply| reply.status == 413) {
                        // With the blanks before it.
                        assert!(body.len() + 256 > limit, "{} by {size}", body.len());
                    } else {
                        let Verdict::Passed(_, passed) = vm.verdict(id) else { panic!("{:?} by {size}", vm.verdict(id)) };
                        ensure_marked(&passed, &sent);
                        marked += 1;
                    }
                    vm.close(id);
                }
            }
        }
        assert!(marked > 40, "{marked}");
        // The blanks go where nothing is written: to whom is no message.
        let get = with(headers(), ":path", "/agents/expense/extendedAgentCard");
        assert_eq!(vm.request(&with(get, ":method", "GET"), &[]).reason(), "ok");
    }
}

#[test]
fn a_message_that_waits_for_keys_is_marked_as_well() {
    let mut vm = Vm::with(Host { verifies: true, clusters: vec!["idp"], ..Host::default() }, &marking(remote(), true));
    vm.tick();
    let sent = json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": {"messageId": "m", "parts": []}}});
    let body = sent.to_string();
    let mut waiting = Vec::new();
    for parts in
        [vec![body.as_bytes()], vec![&body.as_bytes()[..9], &body.as_bytes()[9..]], vec![&body.as_bytes()[..9], &body.as_bytes()[9..], b""]]
    {
        let id = vm.open(&headers());
        assert_eq!(vm.headers(id, false), Action::Pause);
        for (index, part) in parts.iter().enumerate() {
            assert_eq!(vm.body(id, part, index + 1 == parts.len()), Action::Pause);
        }
        waiting.push(id);
    }
    let call = vm.host().dispatched.first().unwrap().token;
    vm.answer(call, &[(":status", "200")], VECTORS["keys"].to_string().as_bytes());
    while waiting.iter().any(|id| vm.verdict(*id) == Verdict::Waiting) {
        vm.tick();
    }
    for id in waiting {
        let Verdict::Passed(_, passed) = vm.verdict(id) else { panic!("{:?}", vm.verdict(id)) };
        ensure_marked(&passed, &sent);
    }
}

/// A message that goes on before its tenant has come is of none; another that comes then cuts it off.
#[test]
fn a_long_message_names_its_tenant_before() {
    let mut configuration = marking(inbound(&json!({"inline": VECTORS["keys"]})), true);
    configuration["agents"][0]["tenant"] = json!({"ignore": {}});
    let mut vm = Vm::with(Host { verifies: true, ..Host::default() }, &configuration);
    let message = |length| format!(r#"{{"message":{{"messageId":"m","parts":[{{"text":"{}"}}]}}"#, "x".repeat(length));
    for (length, tenant, passes) in
        [(1000, r#""acme""#, true), (70_000, r#""acme""#, false), (70_000, r#""""#, true), (70_000, "null", true)]
    {
        let first = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{}"#, message(length));
        let second = format!(r#","tenant":{tenant}}}}}"#);
        let id = vm.open(&headers());
        assert_eq!(vm.headers(id, false), Action::Pause);
        assert_eq!(vm.body(id, first.as_bytes(), false), if length > 65_536 { Action::Continue } else { Action::Pause });
        vm.body(id, second.as_bytes(), true);
        match vm.verdict(id) {
            Verdict::Passed(_, passed) if passes => ensure_marked(&passed, &serde_json::from_str(&format!("{first}{second}")).unwrap()),
            verdict => assert!(!passes && verdict.reason() == "request_malformed", "{length} {tenant}: {verdict:?}"),
        }
        vm.close(id);
    }
}

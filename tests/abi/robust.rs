//! What no order of callbacks and no byte may do: trap, pass unverified, or make memory grow.

use super::given::{SEND, guard, headers, pairs, remote, token, with};
use super::host::Host;
use super::vm::{Action, ROOT, Verdict, Vm};

#[test]
fn bytes_that_are_not_utf_8_neither_trap_nor_pass_unverified() {
    let mut vm = guard();
    let good = token("RS256 good");
    let refused: [(&str, &[u8], &str); 10] = [
        ("authorization", b"\xff", "token_malformed"),
        ("authorization", b"Bearer \xff\xfe", "token_malformed"),
        ("authorization", &[b"Bearer ", good.as_bytes(), b"\xff"].concat(), "token_malformed"),
        (":path", b"/agents/expense\xff", "request_malformed"),
        (":path", b"/agents/expense?a=\xff", "request_malformed"),
        (":authority", b"expense.example.com\xff", "request_malformed"),
        (":method", b"\xff", "request_malformed"),
        ("a2a-version", b"1.0\xff", "version_malformed"),
        ("content-length", b"\xff", "request_malformed"),
        ("content-type", b"\xff\x00\xc3", "media_type_refused"),
    ];
    for (name, value, reason) in refused {
        assert_eq!(vm.request(&with(headers(), name, value), &[SEND]).reason(), reason, "{name}: {value:?}");
    }
    for name in ["x-custom", "x-attache", "x-attache-subject", "cookie", "x-attache_\u{e9}"] {
        let Verdict::Passed(sent, _) = vm.request(&with(headers(), name, b"\xff\x00\xc3"), &[SEND]) else { panic!("{name}") };
        let stays = !name.starts_with("x-attache");
        assert_eq!(sent.iter().any(|(_, value)| value == b"\xff\x00\xc3"), stays, "{name}");
    }
    assert_eq!(vm.request(&headers(), &[b"\xff\xfe\x00"]).reason(), "body_malformed");
    assert_eq!(vm.request(&pairs(&[]), &[]).reason(), "request_malformed");
    assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
}

/// Callbacks in orders that Envoy promises not to use. Nothing traps, and nothing goes on that was not verified.
#[test]
fn absurd_orders_of_callbacks_are_harmless() {
    const HEADERS: (&str, &[u32]) = ("proxy_on_request_headers", &[7, 0]);
    const OPEN_END: (&str, &[u32]) = ("proxy_on_request_headers", &[7, 1]);
    const PART: (&str, &[u32]) = ("proxy_on_request_body", &[4, 0]);
    const LAST: (&str, &[u32]) = ("proxy_on_request_body", &[4, 1]);
    const HUGE: (&str, &[u32]) = ("proxy_on_request_body", &[u32::MAX, 1]);
    const TRAILERS: (&str, &[u32]) = ("proxy_on_request_trailers", &[1]);
    const RESPONSE: (&str, &[u32]) = ("proxy_on_response_headers", &[1, 0]);
    const RESPONSE_BODY: (&str, &[u32]) = ("proxy_on_response_body", &[4, 1]);
    const RESPONSE_TRAILERS: (&str, &[u32]) = ("proxy_on_response_trailers", &[0]);
    const DONE: (&str, &[u32]) = ("proxy_on_done", &[]);
    const LOG: (&str, &[u32]) = ("proxy_on_log", &[]);
    let orders: &[&[(&str, &[u32])]] = &[
        &[PART, HEADERS, LAST],
        &[LAST, LAST],
        &[TRAILERS, HEADERS, LAST],
        &[HEADERS, HEADERS, LAST, LAST],
        &[HEADERS, LAST, PART, LAST, TRAILERS, TRAILERS],
        &[HEADERS, TRAILERS, TRAILERS, LAST],
        &[OPEN_END, PART, LAST, TRAILERS],
        &[HEADERS, HUGE, HUGE],
        &[RESPONSE, RESPONSE_BODY, HEADERS, LAST],
        &[HEADERS, RESPONSE, RESPONSE_BODY, RESPONSE_TRAILERS, LAST],
        &[HEADERS, LOG, LAST, DONE, LOG, HEADERS, LAST],
        &[DONE, LOG, DONE, LOG],
    ];
    let bad = with(headers(), "authorization", format!("Bearer {}", token("RS256 signed by a stranger's key")));
    for remote_keys in [false, true] {
        for order in orders {
            let mut vm =
                if remote_keys { Vm::with(Host { verifies: true, clusters: vec!["idp"], ..Host::default() }, &remote()) } else { guard() };
            let id = vm.open(&bad);
            vm.host_mut().streams.get_mut(&id).unwrap().held = SEND.to_vec();
            let mut judged = false;
            for (callback, arguments) in *order {
                judged |= *callback == "proxy_on_request_headers";
                vm.host_mut().effective = id;
                let action = vm.call(callback, &[&[id][..], arguments].concat());
                let is_request = callback.starts_with("proxy_on_request");
                assert!(!(judged && is_request && action == 0 && vm.stream(id).reply.is_none()), "{callback} passed in {order:?}");
                vm.host_mut().effective = ROOT;
                vm.tick();
            }
            assert_eq!(vm.stream(id).resumed, 0);
            vm.close(id);
            // Whatever happened, the next request is served.
            if !remote_keys {
                assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok", "after {order:?}");
            }
            vm.host_mut().misuse.clear();
        }
    }
}

/// Memory that grows with the number of refused requests would be anybody's to take.
#[test]
fn garbage_does_not_make_memory_grow() {
    let mut vm = guard();
    let stranger = token("ES256 signed by a stranger's key");
    let garbage = |vm: &mut Vm, number: usize| {
        let token = match number % 8 {
            0 => format!("{number}.{stranger}"),
            1 => format!("{number}{}", "x".repeat(number)),
            2 => format!("{}{number:08}", &stranger[..stranger.len() - 8]),
            _ => format!("e30.{number}.{}", "a".repeat(number % 512)),
        };
        let verdict = vm.request(&with(headers(), "authorization", format!("Bearer {token}")), &[SEND]);
        assert!(matches!(verdict, Verdict::Refused(401, _)), "{verdict:?}");
        vm.host_mut().calls.clear();
        vm.host_mut().log.clear();
    };
    for number in 0..200 {
        garbage(&mut vm, number);
    }
    for number in 1999..2000 {
        garbage(&mut vm, number);
    }
    let before = vm.memory();
    for number in 200..2000 {
        garbage(&mut vm, number);
    }
    assert_eq!(vm.memory(), before, "linear memory, in bytes");
}

/// Requests that are paused and go away leave nothing behind.
#[test]
fn clients_that_go_away_do_not_make_memory_grow() {
    let mut vm = Vm::with(Host { verifies: true, clusters: vec!["idp"], ..Host::default() }, &remote());
    let mut before = 0;
    for number in 0..2000 {
        let id = vm.open(&headers());
        assert_eq!(vm.headers(id, false), Action::Pause);
        vm.close(id);
        vm.host_mut().calls.clear();
        if number == 100 {
            before = vm.memory();
        }
    }
    assert_eq!(vm.memory(), before, "linear memory, in bytes");
}

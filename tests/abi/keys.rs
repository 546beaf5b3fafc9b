//! Keys that have to be fetched: one call for everyone who waits, and an answer for each of them.

use super::given::{SEND, VECTORS, headers, remote, token, with};
use super::host::{Host, Pairs};
use super::vm::{Action, Verdict, Vm};

/// Headers and body of an answer.
type Answer<'a> = (&'a [(&'a str, &'a str)], &'a [u8]);

const OK: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/json")];

fn vm() -> Vm {
    Vm::with(Host { verifies: true, clusters: vec!["idp"], ..Host::default() }, &remote())
}

fn keys() -> Vec<u8> {
    VECTORS["keys"].to_string().into_bytes()
}

/// Requests that wait: `count` with their bodies, one without.
fn waiting(vm: &mut Vm, headers: &Pairs, count: usize) -> Vec<u32> {
    (0..=count)
        .map(|index| {
            let id = vm.open(headers);
            assert_eq!(vm.headers(id, false), Action::Pause);
            if index < count {
                assert_eq!(vm.body(id, SEND, true), Action::Pause);
            }
            id
        })
        .collect()
}

#[test]
fn one_fetch_for_everyone_who_waits() {
    let mut vm = vm();
    let ids = waiting(&mut vm, &headers(), 5);
    assert_eq!(vm.host().tick, 1, "the root is called soon");
    assert!(vm.host().dispatched.is_empty(), "the call must not die with a request");
    vm.tick();
    vm.tick();
    let [call] = vm.host().dispatched.as_slice() else { panic!("one call, not {}", vm.host().dispatched.len()) };
    assert_eq!((call.cluster.as_str(), call.timeout, call.token), ("idp", 1500, 100));
    for (name, value) in [(":method", "GET"), (":scheme", "https"), (":authority", "auth.example.com"), (":path", "/jwks")] {
        assert!(call.headers.iter().any(|(given, text)| given == name && text == value.as_bytes()), "{:?}", call.headers);
    }
    assert!(!call.headers.iter().any(|(name, _)| name == "authorization"), "nobody's token goes to the issuer");
    vm.answer(100, OK, &keys());
    let (last, complete) = ids.split_last().unwrap();
    for id in complete {
        let Verdict::Passed(headers, body) = vm.verdict(*id) else { panic!("{:?}", vm.verdict(*id)) };
        assert!(super::given::all(&headers, "x-attache").concat().contains("subject=\"vector\""), "{headers:?}");
        assert_eq!(body, SEND);
        assert_eq!(vm.stream(*id).resumed, 1);
        vm.close(*id);
    }
    assert_eq!(vm.verdict(*last), Verdict::Waiting, "its body is not here");
    assert_eq!(vm.body(*last, SEND, true), Action::Continue);
    assert_eq!(vm.verdict(*last).reason(), "ok");
    vm.close(*last);
    assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
    assert_eq!(vm.host().dispatched.len(), 1);
}

/// The call is the root's and dies with no request, also not with the one that it was made for.
#[test]
fn the_first_who_waits_disconnects_and_all_others_are_served() {
    let mut vm = vm();
    let ids = waiting(&mut vm, &headers(), 4);
    let (first, others) = ids.split_first().unwrap();
    // Before the call is made, and while it is under way.
    vm.close(*first);
    vm.tick();
    assert_eq!(vm.host().dispatched.len(), 1);
    let (second, others) = others.split_first().unwrap();
    vm.close(*second);
    vm.answer(100, OK, &keys());
    let (last, complete) = others.split_last().unwrap();
    for id in complete {
        assert_eq!((vm.verdict(*id).reason(), vm.stream(*id).resumed), ("ok", 1));
    }
    assert_eq!(vm.body(*last, SEND, true), Action::Continue);
    for id in others {
        vm.close(*id);
    }
    assert_eq!(vm.host().dispatched.len(), 1);
}

#[test]
fn a_bad_token_that_waited_is_refused_with_its_id() {
    let mut vm = vm();
    let bad = with(headers(), "authorization", format!("Bearer {}", token("RS256 signed by a stranger's key")));
    let ids = waiting(&mut vm, &bad, 1);
    vm.tick();
    vm.answer(100, OK, &keys());
    assert_eq!(vm.verdict(ids[0]).reason(), "token_signature_invalid");
    assert_eq!(vm.verdict(ids[1]), Verdict::Waiting);
    assert_eq!(vm.body(ids[1], SEND, true), Action::Pause);
    assert_eq!(vm.verdict(ids[1]), vm.verdict(ids[0]));
    for id in ids {
        vm.close(id);
    }
}

#[test]
fn a_fetch_that_fails_answers_everyone_with_503() {
    let huge = vec![b' '; 256 * 1024 + 1];
    let failures: [Answer; 7] = [
        (&[], b""),
        (&[(":status", "503")], b"no healthy upstream"),
        (&[(":status", "504")], b"upstream request timeout"),
        (&[(":status", "302"), ("location", "https://attacker.example.com/")], b""),
        (&[(":status", "200")], b"<html>"),
        (&[(":status", "200")], br#"{"keys":[]}"#),
        (&[(":status", "200")], &huge),
    ];
    for (headers_of_failure, body) in failures {
        let mut vm = vm();
        let ids = waiting(&mut vm, &headers(), 2);
        vm.tick();
        vm.answer(100, headers_of_failure, body);
        for id in &ids[..2] {
            let Verdict::Refused(503, _) = vm.verdict(*id) else { panic!("{headers_of_failure:?}: {:?}", vm.verdict(*id)) };
            assert_eq!(vm.verdict(*id).reason(), "keys_unavailable");
        }
        assert_eq!(vm.body(ids[2], SEND, true), Action::Pause);
        assert_eq!(vm.verdict(ids[2]).reason(), "keys_unavailable");
        assert_eq!(vm.stream(ids[0]).reply.as_ref().map(|reply| super::given::all(&reply.headers, "retry-after")), Some(vec!["1"]));
        assert!(vm.host().log.iter().any(|line| line.starts_with("3 attache: issuers[0].jwks.remote: ")), "{:?}", vm.host().log);
        // The next fetch comes after a pause, and then all is well.
        assert_eq!(vm.request(&headers(), &[SEND]).reason(), "keys_unavailable");
        vm.tick();
        assert_eq!(vm.host().dispatched.len(), 1);
        vm.wait(2);
        vm.tick();
        vm.answer(101, OK, &keys());
        assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
        for id in ids {
            vm.close(id);
        }
    }
}

/// Envoy does what is done to waiting requests when the callback ends, one inside of the other: hundreds overflow the VM's stack.
#[test]
fn a_crowd_that_waits_is_told_bit_by_bit_and_in_order() {
    let failed: Answer = (&[(":status", "503")], b"");
    for ((headers_of_answer, body), reason) in [((OK, keys().as_slice()), "ok"), (failed, "keys_unavailable")] {
        let mut vm = vm();
        let ids = waiting(&mut vm, &headers(), 200);
        vm.tick();
        vm.answer(100, headers_of_answer, body);
        let left = |vm: &Vm| ids[..200].iter().filter(|id| vm.verdict(**id) == Verdict::Waiting).count();
        let mut ticks = 0;
        while left(&vm) > 0 {
            assert_eq!(vm.host().tick, 1, "the next are told soon");
            let first = ids.iter().position(|id| vm.verdict(*id) == Verdict::Waiting).unwrap();
            assert_eq!(200 - first, left(&vm), "they are told in their order");
            vm.tick();
            ticks += 1;
        }
        assert!(ticks < 20 && vm.host().dispatched.len() == 1, "{ticks} ticks, {} calls", vm.host().dispatched.len());
        assert!(ids[..200].iter().all(|id| vm.verdict(*id).reason() == reason), "{reason}");
        vm.tick();
        assert!(vm.host().tick > 100, "then it is quiet again");
        for id in ids {
            vm.close(id);
        }
    }
}

#[test]
fn clients_that_go_away_while_they_wait_harm_nobody() {
    let mut vm = vm();
    let ids = waiting(&mut vm, &headers(), 3);
    vm.close(ids[0]);
    vm.tick();
    vm.close(ids[3]);
    vm.host_mut().calls.clear();
    vm.answer(100, OK, &keys());
    for id in [ids[1], ids[2]] {
        assert_eq!(vm.verdict(id).reason(), "ok");
        vm.close(id);
    }
    for gone in [ids[0], ids[3]] {
        let call = format!("proxy_set_effective_context {gone}");
        assert!(!vm.host().calls.contains(&call), "{:?}", vm.host().calls);
    }
    assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
}

#[test]
fn a_cluster_that_does_not_exist_is_503_and_says_so() {
    let mut vm = Vm::with(Host { verifies: true, ..Host::default() }, &remote());
    let ids = waiting(&mut vm, &headers(), 1);
    vm.tick();
    assert_eq!(vm.verdict(ids[0]).reason(), "keys_unavailable");
    // It may only not be there yet: the log says it when it is still missing the next time.
    assert!(!vm.host().log.iter().any(|line| line.contains("Envoy has no usable cluster \"idp\"")), "{:?}", vm.host().log);
    assert_eq!(vm.body(ids[1], SEND, true), Action::Pause);
    assert_eq!(vm.verdict(ids[1]).reason(), "keys_unavailable");
    for id in ids {
        vm.close(id);
    }
    // The one call that Envoy refused.
    assert_eq!(std::mem::take(&mut vm.host_mut().misuse), ["proxy_http_call idp"]);
}

/// Envoy has no headers to ask for then, and asking would end the VM.
#[test]
fn an_answer_that_never_ends_is_503_and_the_next_one_is_taken() {
    let mut vm = vm();
    let ids = waiting(&mut vm, &headers(), 1);
    vm.tick();
    vm.answer(100, &[], b"");
    assert_eq!(vm.verdict(ids[0]).reason(), "keys_unavailable");
    for id in ids {
        vm.close(id);
    }
    assert!(vm.host().log.iter().any(|line| line.contains("no whole answer in time")), "{:?}", vm.host().log);
    vm.wait(3);
    vm.tick();
    vm.answer(101, OK, &keys());
    assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
}

#[test]
fn an_unknown_key_is_looked_for_once_and_no_more() {
    let mut vm = vm();
    vm.tick();
    vm.answer(100, OK, &keys());
    vm.wait(10);
    let unknown = with(headers(), "authorization", format!("Bearer {}", token("RS256 with a kid that is not there")));
    let ids = waiting(&mut vm, &unknown, 3);
    vm.tick();
    assert_eq!(vm.host().dispatched.len(), 2);
    assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok", "known keys stay in force");
    vm.answer(101, OK, &keys());
    for id in &ids[..3] {
        assert_eq!(vm.verdict(*id).reason(), "token_key_unknown");
    }
    for id in ids {
        vm.close(id);
    }
    for _ in 0..10 {
        assert_eq!(vm.request(&unknown, &[SEND]).reason(), "token_key_unknown");
        vm.tick();
    }
    assert_eq!(vm.host().dispatched.len(), 2);
}

/// What arrived while a request waited is counted once, and read where the verdict needs it.
#[test]
fn body_bytes_that_arrive_during_the_wait_count_once() {
    let post = with(headers(), ":path", "/agents/expense/message:send");
    let more = [b' '; 3000];
    let mut part = more;
    part[..2].copy_from_slice(b"{}");
    for trailers in [false, true] {
        let mut vm = vm();
        let id = vm.open(&post);
        assert_eq!(vm.headers(id, false), Action::Pause);
        assert_eq!(vm.body(id, &part, false), Action::Pause);
        vm.tick();
        vm.answer(100, OK, &keys());
        assert_eq!(vm.stream(id).forwarded.len(), 3000);
        if trailers {
            assert_eq!(vm.trailers(id, &vec![]), Action::Continue);
        } else {
            assert_eq!(vm.body(id, &more[..1096], false), Action::Continue);
            assert_eq!(vm.body(id, b"", true), Action::Continue);
        }
        assert_eq!(vm.verdict(id).reason(), "ok", "trailers: {trailers}");
        vm.close(id);
    }
    let mut vm = vm();
    let id = vm.open(&post);
    assert_eq!(vm.headers(id, false), Action::Pause);
    assert_eq!(vm.body(id, &part, false), Action::Pause);
    vm.tick();
    vm.answer(100, OK, &keys());
    assert_eq!(vm.body(id, &more, false), Action::Pause);
    assert_eq!(vm.verdict(id).reason(), "body_too_large");
    vm.close(id);
}

#[test]
fn without_holding_headers_a_body_cut_by_the_wait_is_read_whole() {
    let mut configuration = remote();
    configuration["hold_headers"] = serde_json::json!(false);
    for cut in [0, 1, SEND.len() / 2, SEND.len()] {
        let mut vm = Vm::with(Host { verifies: true, clusters: vec!["idp"], ..Host::default() }, &configuration);
        let id = vm.open(&headers());
        assert_eq!(vm.headers(id, false), Action::Pause);
        assert_eq!(vm.body(id, &SEND[..cut], false), Action::Pause);
        vm.tick();
        vm.answer(100, OK, &keys());
        assert_eq!(vm.body(id, &SEND[cut..], true), Action::Continue, "cut at {cut}: {:?}", vm.verdict(id));
        assert_eq!(vm.stream(id).forwarded, SEND);
        vm.close(id);
    }
}

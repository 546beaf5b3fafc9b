//! Requests for an agent: held, judged, sent on with what the agent may believe, or answered.

use super::given::{SEND, VECTORS, all, guard, headers, inbound, pairs, token, with};
use super::host::Host;
use super::vm::{Action, ROOT, Verdict, Vm};
use serde_json::{Value, json};

#[test]
fn a_good_request_is_held_and_goes_on_with_the_callers_identity() {
    let mut vm = guard();
    let mut sent = headers();
    sent.extend(pairs(&[
        ("x-attache", "subject=mallory"),
        ("x-attache-subject", "mallory"),
        ("x_attache_scopes", "all"),
        ("a2a_version", "0.3"),
        ("x-custom", "stays"),
    ]));
    let id = vm.open(&sent);
    assert_eq!(vm.headers(id, false), Action::Pause);
    assert_eq!(vm.body(id, &SEND[..10], false), Action::Pause);
    assert_eq!(vm.body(id, &SEND[10..], true), Action::Continue);
    let Verdict::Passed(headers, body) = vm.verdict(id) else { panic!("{:?}", vm.verdict(id)) };
    assert_eq!(body, SEND);
    for (name, value) in [
        ("a2a-version", "1.0"),
        (
            "x-attache",
            "agent=\"expense\", operation=\"SendMessage\", version=\"1.0\", kind=\"service\", issuer=\"corp\", subject=\"vector\", \
             client=\"vectors\", scopes=(\"agent:read\" \"agent:execute\")",
        ),
        ("x-custom", "stays"),
        (":path", "/agents/expense"),
    ] {
        assert_eq!(all(&headers, name), [value], "{name}");
    }
    assert!(!headers.iter().any(|(name, _)| name.contains('_') || name.starts_with("x-attache-")), "{headers:?}");
    let stream = vm.close(id);
    assert!(stream.reply.is_none() && stream.state.is_empty());
    let [_version, line] = vm.host().log.as_slice() else { panic!("{:?}", vm.host().log) };
    let record: Value = serde_json::from_str(line.strip_prefix("2 attache: audit ").unwrap()).unwrap();
    assert_eq!((&record["decision"], &record["client"]), (&json!("allow"), &json!("vectors")), "{line}");
}

/// Without `declare_property` no mark outlives a redirect inside the proxy: whatever may be ours goes.
#[test]
fn without_marks_a_redirected_request_loses_what_may_be_ours() {
    let host = Host { verifies: true, declares_nothing: true, ..Host::default() };
    let mut vm = Vm::with(host, &inbound(&json!({"inline": VECTORS["keys"]})));
    let redirected = with(headers(), "x-envoy-original-url", "http://partner.example.com/");
    assert_eq!(vm.request(&redirected, &[SEND]).reason(), "credentials_missing");
    assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
    assert_eq!(vm.host().log.iter().filter(|line| line.contains("has no declare_property")).count(), 1);
}

/// However the client says it, the agent reads one version.
#[test]
fn the_version_goes_on_exactly_once() {
    let mut vm = guard();
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"message/send","params":{}}"#;
    let plain: Vec<_> = headers().into_iter().filter(|(name, _)| name != "a2a-version").collect();
    let both = [headers(), pairs(&[("a2a-version", "1.0.3")])].concat();
    let query = with(plain.clone(), ":path", "/agents/expense?a=1&A2A-Version=1.0&b=2");
    for (sent, body, version, path) in [
        (plain, &body[..], "0.3", "/agents/expense"),
        (both.clone(), SEND, "1.0", "/agents/expense"),
        (query, SEND, "1.0", "/agents/expense?a=1&b=2"),
        (with(both, ":path", "/agents/expense?a2a-version=1.0"), SEND, "1.0", "/agents/expense"),
    ] {
        let Verdict::Passed(headers, _) = vm.request(&sent, &[body]) else { panic!("{sent:?}") };
        assert_eq!((all(&headers, "a2a-version"), all(&headers, ":path")), (vec![version], vec![path]));
    }
}

/// A request costs its host calls: this is the budget, cold (the token is verified) and warm (it is remembered).
#[test]
fn host_calls_are_few() {
    let mut configuration = inbound(&json!({"inline": VECTORS["keys"]}));
    configuration["audit"] = json!({"level": "none"});
    let mut vm = Vm::with(Host { verifies: true, ..Host::default() }, &configuration);
    let announced = with(headers(), "content-length", SEND.len().to_string());
    for (what, budget) in [("a token seen for the first time", 7), ("a token seen before", 6)] {
        vm.host_mut().calls.clear();
        assert_eq!(vm.request(&announced, &[SEND, b""]).reason(), "ok");
        let calls = &vm.host().calls;
        println!("{what}: {} host calls, of {budget} allowed", calls.len());
        assert!(calls.len() <= budget, "{what}: {} calls, more than {budget}: {calls:#?}", calls.len());
    }
    vm.host_mut().calls.clear();
    assert_eq!(vm.request(&with(headers(), "authorization", "Bearer a.b.c"), &[SEND]).reason(), "token_malformed");
    let calls = &vm.host().calls;
    assert!(calls.len() <= 8, "a refusal: {} calls: {calls:#?}", calls.len());
}

/// Time cannot be held in a test, but what an interpreter counts of the module's instructions can (its unit is its own): for a
/// request with a token seen before, and for each KiB of a body.
#[test]
fn instructions_are_few() {
    let budget: Value = serde_json::from_str(include_str!("../budget.json")).unwrap();
    let mut configuration = inbound(&json!({"inline": VECTORS["keys"]}));
    configuration["audit"] = json!({"level": "none"});
    configuration["agents"][0]["limits"]["max_body_bytes"] = json!(1 << 20);
    let mut vm = Vm::with(Host { verifies: true, ..Host::default() }, &configuration);
    let body = |parts: String| {
        format!(r#"{{"jsonrpc":"2.0","id":"1","method":"SendMessage","params":{{"message":{{"messageId":"m","parts":[{parts}]}}}}}}"#)
    };
    let text = |bytes: usize| format!(r#"{{"text":"{}"}}"#, "lorem ipsum ".repeat(bytes / 12));
    let many = vec![text(220); 64 * 4].join(",");
    let mut small = 0;
    for (what, parts) in [("small body", text(300)), ("KiB of parts", many), ("KiB of a string", text(64 * 1024))] {
        let body = body(parts);
        let sent = with(headers(), "content-length", body.len().to_string());
        let mut counted = 0;
        for _ in 0..3 {
            let before = vm.instructions();
            assert_eq!(vm.request(&sent, &[body.as_bytes(), b""]).reason(), "ok");
            counted = vm.instructions() - before;
        }
        if what == "small body" {
            small = counted;
        } else {
            counted = (counted - small) / u64::try_from(body.len() / 1024).unwrap();
        }
        let most = budget["instructions"][what].as_u64().unwrap();
        println!("{what}: {counted}, of {most} allowed");
        assert!(counted <= most, "{what}: {counted}, more than {most}");
    }
}

/// What requests count is handed over on ticks, in the same metrics as ever, and before the configuration goes.
#[test]
fn what_is_counted_comes_with_a_tick_and_is_not_lost_when_a_configuration_goes() {
    let counted = |vm: &Vm| {
        let name = "attache_decisions.agent=.=expense;.;version=.=1.0;.;binding=.=jsonrpc;.;operation=.=SendMessage;.;decision=.=allow;.;reason=.=none;.;total";
        vm.host().counters.iter().filter(|(own, _)| own == name).map(|(_, count)| *count).sum::<u32>()
    };
    let times = |vm: &Vm| {
        let name = "proxy_record_metric attache_decision_duration.agent=.=expense;.;decision=.=allow;.;microseconds";
        vm.host().calls.iter().filter(|call| *call == name).count()
    };
    let mut vm = guard();
    for _ in 0..3 {
        assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
    }
    assert_eq!((counted(&vm), times(&vm)), (0, 0));
    vm.tick();
    assert_eq!((counted(&vm), times(&vm)), (3, 3));
    assert!(vm.host().tick >= 100, "a filter that has nothing to do sleeps: {} ms", vm.host().tick);
    vm.host_mut().calls.clear();
    vm.tick();
    assert!(vm.host().calls.iter().all(|call| !call.contains("metric")), "{:?}", vm.host().calls);
    // No more times are kept than so many.
    for _ in 0..256 {
        assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
    }
    assert_eq!((counted(&vm), times(&vm)), (259, 256));
    assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
    let late = vm.open(&headers());
    vm.headers(late, false);
    vm.call("proxy_on_done", &[ROOT]);
    assert_eq!(counted(&vm), 260);
    // A request that is still under way: no tick comes for it.
    assert_eq!(vm.body(late, SEND, true), Action::Continue);
    vm.close(late);
    assert_eq!((counted(&vm), times(&vm)), (261, 258));
}

/// A line that Envoy drops is not made; the level may change while Envoy runs.
#[test]
fn the_log_gets_what_its_level_takes() {
    let host = Host { verifies: true, log_level: 3, ..Host::default() };
    let mut vm = Vm::with(host, &inbound(&json!({"inline": VECTORS["keys"]})));
    let lines = |vm: &mut Vm| {
        vm.host_mut().log.clear();
        vm.host_mut().calls.clear();
        assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
        assert!(!vm.host().calls.iter().any(|call| call == "proxy_get_log_level"), "it is asked on ticks");
        vm.host().log.iter().filter(|line| line.contains("attache: audit {")).count()
    };
    assert_eq!(lines(&mut vm), 0);
    // Off is 6, which is no level of the ABI.
    for (level, expected) in [(2, 1), (6, 0), (0, 1)] {
        vm.host_mut().log_level = level;
        vm.tick();
        assert_eq!(lines(&mut vm), expected, "{level}");
    }
}

#[test]
fn every_split_of_a_body_gives_the_same_result() {
    let cases: [(&[u8], &str); 4] = [
        (SEND, "ok"),
        (br#"{"jsonrpc":"2.0","id":7,"method":"message/send"}"#, "version_mismatch"),
        (br#"{"jsonrpc":"2.0","id":7,"method":"Nothing"}"#, "operation_unknown"),
        (b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"SendMessage\"} \xff", "body_malformed"),
    ];
    let mut vm = guard();
    for (body, reason) in cases {
        let whole = vm.request(&headers(), &[body]);
        assert_eq!(whole.reason(), reason);
        let announced = with(headers(), "content-length", body.len().to_string());
        assert_eq!(vm.request(&announced, &[body]).reason(), reason);
        for cut in 0..=body.len() {
            let (first, rest) = body.split_at(cut);
            assert_eq!(vm.request(&headers(), &[first, rest]), whole, "{reason}, cut at {cut}");
            assert_eq!(vm.request(&headers(), &[first, rest, b""]), whole, "{reason}, cut at {cut}, empty end");
        }
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(vm.request(&headers(), &bytes), whole, "{reason}, byte by byte");
        for cut in [0, 1, body.len() / 2, body.len()] {
            let id = vm.open(&headers());
            vm.headers(id, false);
            for part in [&body[..cut], &body[cut..]] {
                if vm.verdict(id).reason() == "waiting" || vm.verdict(id).reason() == "ok" {
                    vm.body(id, part, false);
                }
            }
            if vm.stream(id).reply.is_none() {
                vm.trailers(id, &pairs(&[("x-checksum", "1")]));
            }
            assert_eq!(vm.verdict(id), whole, "{reason}, cut at {cut}, ended by trailers");
            vm.close(id);
        }
    }
}

/// Trailers are headers to some servers.
#[test]
fn trailers_cannot_say_what_only_we_may_say() {
    let mut vm = guard();
    let id = vm.open(&headers());
    vm.headers(id, false);
    assert_eq!(vm.body(id, SEND, false), Action::Continue);
    let mut sent = pairs(&[("x-attache", "kind=user"), ("x-attache-subject", "mallory"), ("x_attache_kind", "user"), ("x-checksum", "1")]);
    sent.push(("x-odd".to_owned(), b"\xff".to_vec()));
    assert_eq!(vm.trailers(id, &sent), Action::Continue);
    let names: Vec<&str> = vm.stream(id).trailers.iter().flatten().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-checksum", "x-odd"]);
    assert_eq!(vm.verdict(id).reason(), "ok");
    vm.close(id);
}

#[test]
fn a_body_that_is_missing_or_too_long_is_refused() {
    let mut vm = guard();
    assert_eq!(vm.request(&headers(), &[]).reason(), "body_malformed");
    assert_eq!(vm.request(&headers(), &[b""]).reason(), "body_malformed");
    let id = vm.open(&headers());
    assert_eq!(vm.headers(id, false), Action::Pause);
    vm.trailers(id, &pairs(&[("x-checksum", "1")]));
    assert_eq!(vm.verdict(id).reason(), "body_malformed");
    vm.close(id);
    let long = vec![b' '; 4097];
    assert_eq!(vm.request(&headers(), &[&long]).reason(), "body_too_large");
    assert_eq!(vm.request(&headers(), &[&long[..4096], &long[4096..]]).reason(), "body_too_large");
    assert_eq!(vm.request(&with(headers(), "content-length", "4097"), &[&long]).reason(), "body_too_large");
    assert_eq!(vm.request(&with(headers(), "content-length", "18446744073709551616"), &[&long]).reason(), "request_malformed");
}

#[test]
fn a_refusal_is_said_in_the_callers_binding_and_noted() {
    let mut vm = guard();
    let id = vm.open(&with(headers(), "authorization", format!("Bearer {}", token("exp that has passed"))));
    assert_eq!(vm.headers(id, false), Action::Pause);
    assert!(vm.stream(id).reply.is_none(), "the id of the request is in its body");
    assert_eq!(vm.body(id, SEND, true), Action::Pause);
    let Verdict::Refused(401, body) = vm.verdict(id) else { panic!("{:?}", vm.verdict(id)) };
    assert_eq!((&body["id"], &body["error"]["code"]), (&json!("id-1"), &json!(-32050)));
    let stream = vm.close(id);
    assert_eq!(stream.state.get("attache.reason").map(String::as_str), Some("token_expired"));
    let reply = stream.reply.unwrap();
    let challenge = all(&reply.headers, "www-authenticate");
    assert!(challenge[0].starts_with("Bearer realm=\"expense\", error=\"invalid_token\""), "{challenge:?}");
    assert_eq!((all(&reply.headers, "content-type"), all(&reply.headers, "cache-control")), (vec!["application/json"], vec!["no-store"]));
    let [_version, line] = vm.host().log.as_slice() else { panic!("{:?}", vm.host().log) };
    let record: Value = serde_json::from_str(line.strip_prefix("2 attache: audit ").unwrap()).unwrap();
    assert_eq!((&record["agent"], &record["decision"]), (&json!("expense"), &json!("deny")), "{line}");
    assert_eq!((&record["reason"], &record["status"]), (&json!("token_expired"), &json!(401)), "{line}");

    let get =
        pairs(&[(":authority", "expense.example.com"), (":path", "/agents/expense/tasks/1"), (":method", "GET"), ("a2a-version", "1.0")]);
    let Verdict::Refused(401, body) = vm.request(&get, &[]) else { panic!("no token") };
    assert_eq!(body["error"]["status"], "UNAUTHENTICATED");
    let card = with(get, ":path", "/agents/expense/.well-known/agent-card.json");
    assert_eq!(vm.request(&card, &[]).reason(), "ok");
    assert_eq!(vm.request(&with(card, ":authority", "other.example.com"), &[]).reason(), "unmatched");
}

/// Without Envoy's option to deliver bodies while headers are held, the proxy counts bytes that never come.
#[test]
fn a_body_that_the_proxy_keeps_to_itself_is_the_operators_fault() {
    let mut vm = guard();
    let refused = with(headers(), "authorization", "Bearer a.b.c");
    let silent = vm.open(&headers());
    vm.headers(silent, false);
    let (withheld, withheld_and_bad) = (vm.open(&headers()), vm.open(&refused));
    for id in [withheld, withheld_and_bad] {
        assert_eq!(vm.headers(id, false), Action::Pause);
        vm.host_mut().streams.get_mut(&id).unwrap().received = 10;
    }
    vm.tick();
    for id in [silent, withheld, withheld_and_bad] {
        assert_eq!(vm.verdict(id), Verdict::Waiting, "it may still come");
    }
    vm.wait(2);
    vm.tick();
    for id in [withheld, withheld_and_bad] {
        let Verdict::Refused(500, _) = vm.verdict(id) else { panic!("{:?}", vm.verdict(id)) };
        assert_eq!(vm.verdict(id).reason(), "headers_not_held");
        vm.close(id);
    }
    assert!(
        vm.host().log.iter().any(|line| line.starts_with("4 ") && line.contains("allow_on_headers_stop_iteration")),
        "{:?}",
        vm.host().log
    );
    assert_eq!(vm.verdict(silent), Verdict::Waiting, "a slow client is not a fault");
    // Looking costs host calls for each request that waits: not at every tick, which anybody can make frequent.
    for (seconds, looks) in [(0, false), (1, true), (0, false)] {
        vm.wait(seconds);
        vm.host_mut().calls.clear();
        vm.tick();
        assert_eq!(vm.host().calls.iter().any(|call| call.starts_with("proxy_get_property")), looks, "{:?}", vm.host().calls);
    }
    assert_eq!(vm.body(silent, SEND, true), Action::Continue);
    vm.close(silent);
}

/// Head and body go on as soon as the method is known; what contradicts it later never goes on.
#[test]
fn what_comes_after_the_verdict_cannot_change_it() {
    let mut vm = guard();
    let id = vm.open(&headers());
    assert_eq!(vm.headers(id, false), Action::Pause);
    assert_eq!(vm.body(id, br#"{"jsonrpc":"2.0","method":"SendMes"#, false), Action::Pause);
    assert_eq!(vm.body(id, br#"sage","id":9,"params":{"#, false), Action::Continue);
    assert_eq!(vm.body(id, br#""metadata":{"a":1},"#, false), Action::Continue);
    let went_on = vm.stream(id).forwarded.clone();
    assert_eq!(vm.body(id, br#""x":1},"method":"CancelTask"}"#, true), Action::Pause);
    assert_eq!(vm.verdict(id).reason(), "request_malformed");
    assert_eq!(vm.stream(id).forwarded, went_on);
    vm.close(id);
}

/// `hold_headers: false`: headers go on at once, so what only the body shows is refused while they travel.
#[test]
fn without_holding_headers_the_body_is_still_judged() {
    let mut configuration: Value = inbound(&json!({"inline": super::given::VECTORS["keys"]}));
    configuration["hold_headers"] = json!(false);
    let mut vm = Vm::with(Host { verifies: true, ..Host::default() }, &configuration);
    let id = vm.open(&headers());
    assert_eq!(vm.headers(id, false), Action::Continue);
    let told = all(&vm.stream(id).headers, "x-attache");
    let [line] = told.as_slice() else { panic!("{told:?}") };
    assert!(line.contains("subject=\"vector\"") && !line.contains("operation"), "{line}");
    assert_eq!(vm.body(id, SEND, true), Action::Continue);
    vm.close(id);
    let id = vm.open(&headers());
    assert_eq!(vm.headers(id, false), Action::Continue);
    assert_eq!(vm.body(id, SEND, false), Action::Continue);
    assert_eq!(vm.trailers(id, &pairs(&[("x-checksum", "1")])), Action::Continue);
    assert_eq!(vm.stream(id).forwarded, SEND);
    vm.close(id);
    let id = vm.open(&headers());
    assert_eq!(vm.headers(id, false), Action::Continue);
    assert_eq!(vm.body(id, b"{\"jsonrpc\"", false), Action::Pause);
    assert_eq!(vm.body(id, b":", true), Action::Pause);
    assert_eq!(vm.verdict(id).reason(), "body_malformed");
    assert!(vm.stream(id).forwarded.is_empty());
    vm.close(id);
    assert_eq!(vm.request(&with(headers(), "authorization", "Bearer a.b.c"), &[]).reason(), "body_malformed");
    let id = vm.open(&with(headers(), "authorization", "Bearer a.b.c"));
    assert_eq!(vm.headers(id, false), Action::Pause);
    assert_eq!(vm.verdict(id).reason(), "token_malformed");
    vm.close(id);
}

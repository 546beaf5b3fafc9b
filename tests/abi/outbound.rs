//! Calls to remote agents: the client's credentials go, the connection's comes, and its secret shows nowhere else.

use super::given::{SEND, all, pairs, with};
use super::host::{Host, Pairs};
use super::vm::{Verdict, Vm};
use serde_json::json;

const SECRET: &str = "s3cr3t-of-the-partner";

fn vm(environment: &[&str]) -> Vm {
    let configuration = json!({
        "connections": [
            {"name": "partner", "match": {"hosts": ["partner.example.com"], "path_prefix": "/"}, "version": "1.0", "pin": "none",
             "credential": {"header": {"name": "x-api-key", "value": {"secret": "partner_key"}}}},
            {"name": "expense", "match": {"hosts": ["expense.example.com"], "path_prefix": "/agents/expense"}, "version": "0.3", "pin": "none",
             "credential": {"header": {"name": "authorization", "prefix": "Bearer ", "value": {"secret": "partner_key"}}}},
            {"name": "open", "match": {"hosts": ["open.example.com"], "path_prefix": "/"}, "version": "1.0", "pin": "none", "credential": {"none": {}}}],
        "secrets": {"partner_key": {"env": "PARTNER_KEY"}}
    });
    let environment = environment.iter().map(|entry| (*entry).to_owned()).collect();
    Vm::with(Host { environment, ..Host::default() }, &configuration)
}

fn call(host: &str, path: &str) -> Pairs {
    pairs(&[
        (":authority", host),
        (":path", path),
        (":method", "POST"),
        ("authorization", "Bearer of-the-client"),
        ("cookie", "of=the-client"),
        ("x-api-key", "of-the-client"),
        ("x-api-key", "of-the-client-again"),
    ])
}

#[test]
fn the_connections_credential_takes_the_place_of_the_clients() {
    let mut vm = vm(&["OTHER=x", &format!("PARTNER_KEY={SECRET}"), "PARTNER_KEY_2=y"]);
    for (headers, name, value) in [
        (call("partner.example.com", "/message:send"), "x-api-key", SECRET.to_owned()),
        (call("EXPENSE.example.com", "/agents/expense/v1/message:send"), "authorization", format!("Bearer {SECRET}")),
    ] {
        for parts in [&[SEND][..], &[]] {
            let Verdict::Passed(sent, _) = vm.request(&headers, parts) else { panic!("{name}") };
            assert_eq!(all(&sent, name), [value.as_str()]);
            assert!(!sent.iter().any(|(_, value)| value.windows(6).any(|part| part == b"client")), "{sent:?}");
            assert_eq!(sent.iter().filter(|(name, _)| ["x-api-key", "authorization", "cookie"].contains(&name.as_str())).count(), 1);
            assert_eq!(all(&sent, "a2a-version").len(), 1);
        }
    }
    let Verdict::Passed(sent, _) = vm.request(&call("open.example.com", "/message:send"), &[]) else { panic!("open") };
    assert!(!sent.iter().any(|(name, _)| ["x-api-key", "authorization", "cookie"].contains(&name.as_str())), "{sent:?}");
    assert_eq!(vm.request(&call("elsewhere.example.com", "/"), &[]).reason(), "unmatched");
    // What is refused on the way does not take the secret along, and nothing is logged of it.
    assert_eq!(vm.request(&with(call("partner.example.com", "/"), ":path", b"/\xff"), &[]).reason(), "request_malformed");
    let said = format!("{:?}{:?}", vm.host().log, vm.host().calls);
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn no_credential_no_call() {
    for (environment, why) in [
        (&["OTHER=x"][..], "is not set"),
        (&[], "is not set"),
        (&["PARTNER_KEY="], "is empty"),
        (&["PARTNER_KEY=key\n"], "no header may carry"),
        (&["PARTNER_KEY=k\u{e9}y"], "no header may carry"),
    ] {
        let mut vm = vm(environment);
        // The pins are "none" on purpose, and warned of. The version is no warning.
        let warnings: Vec<&String> = vm.host().log.iter().filter(|line| line.starts_with("3 ") && !line.contains("].pin: ")).collect();
        let [line] = warnings.as_slice() else { panic!("{:?}", vm.host().log) };
        assert!(line.starts_with("3 attache: secrets.partner_key.env: ") && line.contains(why), "{line}");
        let Verdict::Refused(503, body) = vm.request(&call("partner.example.com", "/"), &[SEND]) else { panic!("{environment:?}") };
        assert_eq!((&body["id"], &body["error"]["data"][0]["metadata"]["reason"]), (&json!("id-1"), &json!("credential_unavailable")));
        assert_eq!(vm.request(&call("partner.example.com", "/message:send"), &[SEND]).reason(), "credential_unavailable");
        assert_eq!(vm.request(&call("open.example.com", "/"), &[SEND]).reason(), "ok");
    }
}

//! What a call takes that goes as its user, beside one that takes its caller's own token along, in instructions.

use super::given::{SEND, VECTORS, all, inbound, pairs, token, with};
use super::host::{Host, Pairs, Reply};
use super::vm::{Verdict, Vm};
use serde_json::{Value, json};

const CONSENT: &str = "consent.example.com";

/// Two connections to one agent.
fn configuration() -> Value {
    let mut configuration = inbound(&json!({"inline": VECTORS["keys"]}));
    configuration["agents"].take();
    configuration.as_object_mut().unwrap().retain(|name, _| name == "issuers");
    configuration["issuers"][0]["claims"] = json!({"user_marker": ["scope"]});
    let subject = json!({"issuers": ["corp"]});
    let connection = |name: &str, credential: &Value| {
        json!({"name": name, "match": {"hosts": [format!("{name}.example.com")], "path_prefix": "/"}, "version": "1.0", "pin": "none",
               "credential": credential})
    };
    configuration["connections"] = json!([
        connection("pass", &json!({"passthrough": {"subject": subject, "audiences": [VECTORS["audience"]]}})),
        connection("hr", &json!({"user_passthrough": {"app": "hr", "subject": subject, "bind": "link"}})),
    ]);
    let client = json!({"token_endpoint": {"uri": "https://auth.example.com/token", "cluster": "idp"}, "client_id": "attache",
        "authentication": {"client_secret_post": {"secret": "client"}}});
    configuration["oauth_apps"] =
        json!({"hr": {"authorization_endpoint": "https://auth.example.com/auth", "scopes": ["tasks.read"], "client": client}});
    configuration["consent"] =
        json!({"public_url": format!("https://{CONSENT}"), "keys": [{"id": "k1", "secret": "consent"}], "store": {"memory": {}}});
    configuration["secrets"] =
        json!({"consent": {"inline": "key-of-users-0123456789-abcdefghijklm"}, "client": {"inline": "secret-of-the-client"}});
    configuration["allow_inline_secrets"] = json!(true);
    configuration["audit"] = json!({"level": "none"});
    configuration
}

fn call(name: &str) -> Pairs {
    let headers = pairs(&[
        (":authority", &format!("{name}.example.com")),
        (":path", "/"),
        (":method", "POST"),
        (":scheme", "https"),
        ("content-type", "application/json"),
        ("a2a-version", "1.0"),
        ("authorization", &format!("Bearer {}", token("RS256 good"))),
    ]);
    with(headers, "content-length", SEND.len().to_string())
}

/// A request of a browser, and what is answered once the calls that it waits for are.
fn browse(vm: &mut Vm, method: &str, path: &str, cookie: &str, form: &str) -> Reply {
    let mut headers = pairs(&[(":authority", CONSENT), (":path", path), (":method", method), (":scheme", "https")]);
    if !cookie.is_empty() {
        headers = with(headers, "cookie", cookie);
    }
    if !form.is_empty() {
        headers = with(headers, "content-type", "application/x-www-form-urlencoded");
    }
    let id = vm.open(&headers);
    vm.headers(id, form.is_empty());
    if !form.is_empty() {
        vm.body(id, form.as_bytes(), true);
    }
    while vm.stream(id).reply.is_none() {
        let Some(call) = vm.host_mut().dispatched.pop().map(|call| call.token) else {
            assert!(vm.host().tick < 100, "it waits for nothing");
            vm.tick();
            continue;
        };
        let tokens = json!({"access_token": "a-token-of-hr", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "another"});
        vm.answer(call, &[(":status", "200"), ("content-type", "application/json")], tokens.to_string().as_bytes());
    }
    vm.close(id).reply.unwrap()
}

fn text(reply: &Reply) -> String {
    String::from_utf8(reply.body.clone()).unwrap()
}

/// What is between `begin` and the next `end`.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    text.split_once(begin).unwrap_or_else(|| panic!("no {begin} in {text}")).1.split(end).next().unwrap()
}

/// The user of the call agrees.
fn agree(vm: &mut Vm) {
    let id = vm.open(&call("hr"));
    vm.headers(id, false);
    vm.body(id, SEND, true);
    // What lies in the store is read on a tick.
    vm.tick();
    let asked = text(&vm.close(id).reply.expect("nobody is asked"));
    let start = browse(vm, "GET", between(&asked, &format!("\"link\":\"https://{CONSENT}"), "\""), "", "");
    let page = text(&start);
    let cookie = all(&start.headers, "set-cookie")[0].split(';').next().unwrap().to_owned();
    let fields = ["link", "csrf"].map(|name| {
        let input = between(&page, &format!("name=\"{name}\""), ">");
        format!("{name}={}", between(input, "value=\"", "\""))
    });
    let left = browse(vm, "POST", between(&page, "action=\"", "\""), &cookie, &fields.join("&"));
    let state = between(&text(&left), "state=", "&").to_owned();
    let cookie = all(&left.headers, "set-cookie").first().map_or(cookie, |line| line.split(';').next().unwrap().to_owned());
    let done = browse(vm, "GET", &format!("/consent/callback/hr?code=abc&state={state}"), &cookie, "");
    assert!(text(&done).contains("Access is allowed"), "{}", text(&done));
}

#[test]
fn a_remembered_grant_takes_few_more_instructions_than_the_callers_own_token() {
    let mut vm = Vm::with(Host { verifies: true, clusters: vec!["idp"], ..Host::default() }, &configuration());
    agree(&mut vm);
    let mut counted = |name: &str| {
        let mut counted = 0;
        for _ in 0..3 {
            let before = vm.instructions();
            let id = vm.open(&call(name));
            vm.headers(id, false);
            vm.body(id, SEND, false);
            vm.body(id, b"", true);
            counted = vm.instructions() - before;
            // The first of a user waits for what lies in the store.
            while vm.verdict(id) == Verdict::Waiting {
                vm.tick();
            }
            let Verdict::Passed(sent, body) = vm.verdict(id) else { panic!("{name} is refused") };
            vm.close(id);
            let own = if name == "hr" { "Bearer a-token-of-hr".to_owned() } else { format!("Bearer {}", token("RS256 good")) };
            assert_eq!((all(&sent, "authorization"), body.as_slice()), (vec![own.as_str()], SEND));
        }
        counted
    };
    let (passed, as_user) = (counted("pass"), counted("hr"));
    println!("passthrough: {passed}, as the user: {as_user}, {:.2} times that", as_user as f64 / passed as f64);
    assert!(as_user * 4 <= passed * 5, "as its user {as_user}, with its own token {passed}");
}

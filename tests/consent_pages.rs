//! The pages of consent, whole: `golden/pages/NAME.html` is what a browser gets, and `heads.json` has status and headers.
//! `errors.txt` has the texts of all errors that authorization servers say. `BLESS=1` rewrites them; the difference is then the thing to review.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attache::flow::Reply;
use attache::flow::consent::cookie::{self, Flow};
use attache::flow::consent::page::{Access, ERRORS, Fault, Fields, Frame, Page};
use attache::wire::time::UnixTime;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// 2026-11-27T14:25:07Z.
const NOW: u64 = 1_795_789_507;
const FRAME: Frame<'_> = Frame {
    host: "consent.example.com",
    path: "/consent",
    onward: &["https://login.corp.example/auth", "https://auth.hr.example/auth"],
    now: UnixTime::from_secs(NOW),
    request: Some("5b8f2c0e-7a61-4a0e-9d2e-6f1f0c3f7d11"),
};
const ACCESS: Access<'_> = Access {
    connection: "hr",
    agent: "hr.example.com",
    client: Some("orchestrator"),
    scopes: &["tasks.read", "tasks.write", "https://hr.example.com/auth/calendar.readonly"],
    server: "auth.hr.example",
};
const FIELDS: Fields<'_> = Fields { link: "bGluay1vZi10aGlzLXBhZ2U", csrf: "Y3NyZi1vZi10aGlzLXBhZ2U" };
/// What nobody should be able to do to a page.
const HOSTILE: &str = "</code><script>alert(1)</script>\" onload='x' &lt; \u{202e}txt.exe\0\u{2028}\u{2066}end\r\nset-cookie: a=b";

/// Each page of the enum has a row: the pattern, the name of its file, and the page. One that has none does not compile.
macro_rules! pages {
    ($($pattern:pat => $($name:literal: $page:expr),+;)*) => {
        fn pages() -> Vec<(&'static str, Page<'static>)> {
            vec![$($(($name, $page)),+),*]
        }

        fn is_of_its_row(name: &str, page: &Page<'_>) -> bool {
            match page {
                $($pattern => [$($name),+].contains(&name)),*
            }
        }
    };
}

pages! {
    Page::Start { .. } =>
        "start": Page::Start { access: ACCESS, sign_in: Some("login.corp.example"), until: UnixTime::from_secs(NOW + 540), fields: FIELDS },
        "start_at_one_server": Page::Start {
            access: Access { client: None, scopes: &[], ..ACCESS }, sign_in: None, until: UnixTime::from_secs(NOW + 60), fields: FIELDS,
        },
        "start_hostile": Page::Start {
            access: Access { connection: HOSTILE, agent: HOSTILE, client: Some(HOSTILE), scopes: &[HOSTILE], server: HOSTILE },
            sign_in: Some(HOSTILE), until: UnixTime::from_secs(NOW), fields: Fields { link: HOSTILE, csrf: HOSTILE },
        };
    Page::Leave { .. } =>
        "leave": Page::Leave { server: "login.corp.example", location: "https://login.corp.example/auth?client_id=attache&response_type=code&state=a%22b" };
    Page::Done { .. } =>
        "done": Page::Done { access: ACCESS, withheld: &[] },
        "done_in_part": Page::Done { access: Access { client: None, scopes: &["tasks.read"], ..ACCESS }, withheld: &["tasks.write", HOSTILE] };
    Page::WrongUser { .. } => "wrong_user": Page::WrongUser { server: "login.corp.example", fields: FIELDS };
    Page::Expired => "expired": Page::Expired;
    Page::Used => "used": Page::Used;
    Page::Cancelled => "cancelled": Page::Cancelled;
    Page::BadLink => "bad_link": Page::BadLink;
    Page::NoCookie => "no_cookie": Page::NoCookie;
    Page::Denied { .. } => "denied": Page::Denied { server: "auth.hr.example", words: Some("The resource owner denied the request.") };
    Page::Refused { .. } =>
        "refused_scope": Page::Refused { server: "auth.hr.example", fault: Fault::Said { error: "invalid_scope", words: None } },
        "refused_later": Page::Refused { server: "auth.hr.example", fault: Fault::Said { error: "temporarily_unavailable", words: Some(" ") } },
        "refused_grant": Page::Refused { server: "auth.hr.example", fault: Fault::Said { error: "invalid_grant", words: Some("Code expired") } },
        "refused_hostile": Page::Refused { server: "auth.hr.example", fault: Fault::Said { error: HOSTILE, words: Some(LONG) } };
    Page::MixUp { .. } => "mix_up": Page::MixUp { server: "auth.hr.example" };
    Page::StateMismatch => "state_mismatch": Page::StateMismatch;
    Page::Unavailable { .. } => "unavailable": Page::Unavailable { retry: 30 };
    Page::NotFound => "not_found": Page::NotFound;
    Page::MethodNotAllowed { .. } => "method_not_allowed": Page::MethodNotAllowed { allow: "GET, POST" };
}

/// A description that goes on.
const LONG: &str = "AADSTS650053: <a href='https://evil.example'>Sign in here</a>\r\nTrace ID: 0\0. \u{202e}drowssap ruoy su dneS\u{202c} \
    The application asked for a scope that does not exist on the resource. This goes on and on, and on and on, and on and on, and on.";

/// A redirect with the head of our pages, for what browsers make of one: the filter sends none.
fn see_other(location: &str) -> Reply {
    let mut reply = Page::NotFound.reply(&FRAME);
    reply.headers.retain(|(name, _)| *name != "content-type");
    reply.headers.push(("location", location.to_owned()));
    Reply { status: 303, body: String::new(), ..reply }
}

fn replies() -> Vec<(&'static str, Reply)> {
    let mut all: Vec<_> = pages().iter().map(|(name, page)| (*name, page.reply(&FRAME))).collect();
    all.push(("see_other", see_other("https://login.corp.example/auth?client_id=attache")));
    for (name, reply) in &mut all {
        match *name {
            "start" => reply.headers.push(cookie::set(Flow::new([1, 2, 3, 4, 5, 6]), b"sealed")),
            "done" => reply.headers.push(cookie::remove(Flow::new([1, 2, 3, 4, 5, 6]))),
            _ => {}
        }
    }
    all
}

/// Status and headers of all answers, with those that all have in one place.
fn heads(replies: &[(&str, Reply)]) -> Value {
    let lines = |reply: &Reply| -> Vec<String> { reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect() };
    let mut common = lines(&replies[0].1);
    common.retain(|line| replies.iter().all(|(_, reply)| lines(reply).contains(line)));
    let mut heads = serde_json::Map::new();
    heads.insert("all".to_owned(), json!({"headers": common}));
    for (name, reply) in replies {
        let own: Vec<String> = lines(reply).into_iter().filter(|line| !common.contains(line)).collect();
        let head = json!({"status": reply.status, "headers": own});
        assert!(heads.insert((*name).to_owned(), head).is_none(), "two have the name {name}");
    }
    Value::Object(heads)
}

fn is_as_it_was(path: &Path, text: &str) -> bool {
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        return true;
    }
    fs::read_to_string(path).is_ok_and(|before| before == text)
}

/// What a reader hears of `html`: its text, a line for each block.
fn read_aloud(html: &str) -> String {
    let main = html.split_once("<h1>").map_or("", |(_, main)| main);
    let mut text = String::new();
    let mut is_in_tag = false;
    for letter in main.chars() {
        match letter {
            '<' => is_in_tag = true,
            '>' => is_in_tag = false,
            other if !is_in_tag => text.push(other),
            _ => {}
        }
    }
    text.lines().filter(|line| !line.is_empty()).fold(String::new(), |all, line| all + "  " + line + "\n").replace("&nbsp;", " ")
}

#[test]
fn every_page_is_as_it_was() {
    let folder = Path::new("tests/golden/pages");
    let mut wrong = Vec::new();
    let replies = replies();
    for (name, reply) in &replies {
        if !is_as_it_was(&folder.join(format!("{name}.html")), &reply.body) {
            wrong.push(format!("{name}.html"));
        }
    }
    if !is_as_it_was(&folder.join("heads.json"), &format!("{}\n", serde_json::to_string_pretty(&heads(&replies)).unwrap())) {
        wrong.push("heads.json".to_owned());
    }
    let mut errors = String::new();
    let said = ERRORS.iter().map(|row| Fault::Said { error: if row.code.is_empty() { "other_error" } else { row.code }, words: None });
    let own = [Fault::Unreachable, Fault::NoAnswer, Fault::Unreadable, Fault::IdToken, Fault::Unnamed];
    for fault in said.chain(own) {
        let reply = Page::Refused { server: "auth.hr.example", fault }.reply(&Frame { request: None, ..FRAME });
        let code = match fault {
            Fault::Said { error, .. } => error,
            other => other.told().code,
        };
        errors.push_str(&format!("{code}: {}\n{}\n", reply.status, read_aloud(&reply.body)));
    }
    if !is_as_it_was(&folder.join("errors.txt"), &errors) {
        wrong.push("errors.txt".to_owned());
    }
    assert!(wrong.is_empty(), "these came out otherwise: {wrong:?}; BLESS=1 rewrites them");

    let here: BTreeSet<String> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let made = replies.iter().map(|(name, _)| format!("{name}.html")).chain(["heads.json".to_owned(), "errors.txt".to_owned()]).collect();
    assert_eq!(here, made, "files that no page has");
}

#[test]
fn every_page_of_the_enum_is_among_them() {
    for (name, page) in &pages() {
        assert!(is_of_its_row(name, page), "{name} stands in the row of another page");
    }
}

#[test]
fn every_answer_is_kept_from_others_and_has_no_script() {
    for (name, reply) in replies() {
        let values = |wanted: &str| -> Vec<&str> {
            reply.headers.iter().filter(|(given, _)| *given == wanted).map(|(_, value)| value.as_str()).collect()
        };
        let policy = values("content-security-policy");
        assert!(policy.len() == 1 && policy[0].starts_with("default-src 'none'; style-src 'sha256-"), "{name}: {policy:?}");
        assert!(policy[0].ends_with("; frame-ancestors 'none'; base-uri 'none'") && !policy[0].contains("unsafe"), "{name}: {policy:?}");
        assert_eq!(policy[0].contains("form-action 'self'"), reply.body.contains("<form"), "{name}: {policy:?}");
        assert_eq!(values("referrer-policy"), ["no-referrer"], "{name}");
        assert_eq!(values("cache-control"), ["no-store"], "{name}");
        assert_eq!(values("x-content-type-options"), ["nosniff"], "{name}");
        assert_eq!(values("x-frame-options"), ["DENY"], "{name}");
        assert_eq!(values("cross-origin-opener-policy"), ["same-origin"], "{name}");
        assert_eq!(values("content-type").len(), usize::from(!reply.body.is_empty()), "{name}");
        assert_eq!(values("retry-after").len(), usize::from(reply.status == 503), "{name}");
        for value in reply.headers.iter().map(|(_, value)| value) {
            assert!(value.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{name}: {value:?}");
        }
        for forbidden in ["<script", "<img", "<link", "<iframe", "<a href='", " onload='", "javascript:", "\u{202e}", "\u{2066}", "\0"] {
            assert!(!reply.body.contains(forbidden), "{name} has {forbidden:?}");
        }
        // The only attributes with URLs are ours.
        for (_, rest) in reply.body.match_indices("href=\"").map(|(at, found)| reply.body.split_at(at + found.len())) {
            assert!(name == "leave" && rest.starts_with("https://login.corp.example/auth?"), "{name}");
        }
        assert!(reply.body.len() < 6000, "{name} has {} bytes", reply.body.len());
    }
}

#[test]
fn pages_that_are_for_somebody_else_name_nobody() {
    let page = Page::WrongUser { server: "login.corp.example", fields: FIELDS }.reply(&FRAME).body;
    let text = read_aloud(&page);
    for name in ["hr", "orchestrator", "tasks.read"] {
        assert!(!text.split_whitespace().any(|word| word == name), "{text}");
    }
}

#[test]
fn a_provider_is_quoted_in_two_hundred_characters() {
    let page = Page::Denied { server: "a", words: Some(&"é".repeat(5000)) }.reply(&FRAME).body;
    assert_eq!(page.matches('é').count(), 200);
    let page = Page::Refused { server: "a", fault: Fault::Said { error: &"ü".repeat(5000), words: None } }.reply(&FRAME).body;
    assert_eq!(page.matches('ü').count(), 256);
    let scopes: Vec<&str> = std::iter::repeat_n("ö", 1000).collect();
    let page = Page::Done { access: Access { scopes: &scopes, ..ACCESS }, withheld: &[] }.reply(&FRAME).body;
    assert_eq!(page.matches('ö').count(), 50);
}

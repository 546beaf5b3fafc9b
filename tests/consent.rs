//! Users who agree, without a proxy and without a browser: what each request of the flow is answered with, and what becomes of a flow
//! that somebody meddles with. The servers are played here; the mesh has real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "consent/elsewhere.rs"]
mod elsewhere;
#[path = "consent/grants.rs"]
mod grants;
#[path = "consent/land.rs"]
mod land;
#[path = "consent/shared.rs"]
mod shared;

use land::{Answer, Browser, CALLBACK, Land, SIGNED_IN, field, location, query};
use serde_json::{Value, json};

const ALLOWED: &str = "Access is allowed";

fn heading(answer: &Answer) -> String {
    let body = answer.reply().body.as_str();
    let start = body.find("<h1").map(|at| at + body[at..].find('>').unwrap() + 1);
    start.map_or_else(|| format!("{} {body}", answer.reply().status), |start| body[start..].split("</h1>").next().unwrap().to_owned())
}

/// Through the whole flow, as `user`.
fn agree(land: &mut Land, user: &str, link: &str) -> String {
    let mut browser = Browser::default();
    let page = browser.get(land, link);
    assert_eq!(heading(&page), "An agent asks for access");
    let leave = browser.submit(land, &page);
    let sign_in = location(&leave);
    assert!(sign_in.starts_with("https://corp.example/auth?"), "{sign_in}");
    let to_agree = browser.get(land, &land.back_from(&sign_in, SIGNED_IN, &[("code", user), ("iss", "https://corp.example")]));
    let there = location(&to_agree);
    assert!(there.starts_with("https://hr.example/auth?"), "{there}");
    heading(&browser.get(land, &land.back_from(&there, CALLBACK, &[("code", user), ("iss", "https://hr.example")])))
}

#[test]
fn each_user_agrees_once_and_calls_go_with_the_own_token() {
    let mut land = Land::new(&json!({}));
    for user in ["ann", "bob", "Ann", "ann "] {
        let task = land.send(user, &json!({})).task();
        assert_eq!(task["status"]["state"], "TASK_STATE_AUTH_REQUIRED");
        assert_eq!(agree(&mut land, user, &land::link(&task)), ALLOWED);
        assert_eq!(land.send(user, &json!({})).bearer(), format!("access-{}-1", user.replace(' ', "_")));
    }
    for user in ["ann", "bob", "Ann", "ann "] {
        assert_eq!(land.send(user, &json!({})).bearer(), format!("access-{}-1", user.replace(' ', "_")));
    }
    // A client that the user did not agree to has nothing.
    assert_eq!(land.send_as("ann", "other", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED");
    let asked = land.asked();
    assert_eq!(asked.iter().filter(|form| form.contains("grant_type=authorization_code")).count(), 8, "{asked:?}");
    assert!(asked.iter().all(|form| form.contains("code_verifier=")), "{asked:?}");
}

type Meddle = fn(&mut Land, &str) -> Answer;

/// What somebody does to a flow of ann's, and what the last page says.
const MEDDLED: &[(&str, Meddle, &str)] = &[
    ("a link that is none", |land, _| Browser::default().get(land, "/consent/start?link=abc"), "This link does not work"),
    (
        "a link with one letter changed",
        |land, link| {
            let (head, last) = link.split_at(link.len() - 1);
            Browser::default().get(land, &format!("{head}{}", if last == "A" { "B" } else { "A" }))
        },
        "This link does not work",
    ),
    (
        "a link that was opened too late",
        |land, link| {
            land.pass(600);
            Browser::default().get(land, link)
        },
        "This link has run out",
    ),
    (
        "a form without the cookie",
        |land, link| {
            let page = Browser::default().get(land, link);
            Browser::default().submit(land, &page)
        },
        "Your browser did not keep our cookie",
    ),
    (
        "a form with another csrf",
        |land, link| {
            let mut browser = Browser::default();
            let page = browser.get(land, link);
            browser.post(land, &[("link", &field(&page, "link")), ("csrf", "guessed")])
        },
        "This answer is not for your browser",
    ),
    (
        "a form from another site",
        |land, link| {
            let mut browser = Browser::default();
            let page = browser.get(land, link);
            browser.header("origin", "https://evil.example");
            browser.submit(land, &page)
        },
        "This answer is not for your browser",
    ),
    (
        "a form with the link of another flow",
        |land, link| {
            let other = land::link(&land.send_as("ann", "other", &json!({})).task());
            let mut browser = Browser::default();
            let page = browser.get(land, link);
            browser.get(land, &other);
            browser.post(land, &[("link", &query(&other, "link")), ("csrf", &field(&page, "csrf"))])
        },
        "This answer is not for your browser",
    ),
    (
        "somebody else signs in",
        |land, link| back_as(land, link, &[("code", "bob"), ("iss", "https://corp.example")]),
        "This link is for another account",
    ),
    (
        "somebody signs in who looks alike",
        |land, link| back_as(land, link, &[("code", "Ann"), ("iss", "https://corp.example")]),
        "This link is for another account",
    ),
    (
        "the sign-in has another nonce",
        |land, link| {
            land.lie("nonce");
            back_as(land, link, &[("code", "ann"), ("iss", "https://corp.example")])
        },
        "This did not work",
    ),
    (
        "the sign-in is for another client",
        |land, link| {
            land.lie("aud");
            back_as(land, link, &[("code", "ann"), ("iss", "https://corp.example")])
        },
        "This did not work",
    ),
    (
        "the sign-in is signed by nobody",
        |land, link| {
            land.lie("signature");
            back_as(land, link, &[("code", "ann"), ("iss", "https://corp.example")])
        },
        "This did not work",
    ),
    (
        "the sign-in has expired",
        |land, link| {
            land.lie("exp");
            back_as(land, link, &[("code", "ann"), ("iss", "https://corp.example")])
        },
        "This did not work",
    ),
    (
        "the sign-in comes from another server",
        |land, link| back_as(land, link, &[("code", "ann"), ("iss", "https://evil.example")]),
        "This answer is not to be trusted",
    ),
    (
        "the state is another",
        |land, link| {
            let mut browser = Browser::default();
            let page = browser.get(land, link);
            let there = location(&browser.submit(land, &page));
            let state = format!("{}x", query(&there, "state"));
            browser.get(land, &format!("/consent/signed-in/corp?code=ann&iss=https%3A%2F%2Fcorp.example&state={state}"))
        },
        "This answer is not for your browser",
    ),
    (
        "the answer comes to another browser",
        |land, link| {
            let mut browser = Browser::default();
            let page = browser.get(land, link);
            let there = location(&browser.submit(land, &page));
            Browser::default().get(land, &land.back_from(&there, SIGNED_IN, &[("code", "ann"), ("iss", "https://corp.example")]))
        },
        "Your browser did not keep our cookie",
    ),
    (
        "the answer of the sign-in comes where users agree",
        |land, link| {
            let mut browser = Browser::default();
            let page = browser.get(land, link);
            let there = location(&browser.submit(land, &page));
            browser.get(land, &land.back_from(&there, CALLBACK, &[("code", "ann"), ("iss", "https://hr.example")]))
        },
        "This answer is not for your browser",
    ),
    (
        "the user agreed at another server",
        |land, link| agreed(land, link, CALLBACK, &[("code", "ann"), ("iss", "https://evil.example")]),
        "This answer is not to be trusted",
    ),
    (
        "the answer does not say where from",
        |land, link| agreed(land, link, CALLBACK, &[("code", "ann")]),
        "This answer is not to be trusted",
    ),
    (
        "the answer comes to another app",
        |land, link| agreed(land, link, "/consent/callback/other", &[("code", "ann"), ("iss", "https://hr.example")]),
        "This answer is not for your browser",
    ),
    (
        "the answer has two codes",
        |land, link| {
            let mut browser = signed_in(land, link);
            let path = land.back_from(&browser.1, CALLBACK, &[("code", "ann"), ("iss", "https://hr.example")]);
            browser.0.get(land, &format!("{path}&code=bob"))
        },
        "This answer is not for your browser",
    ),
    (
        "the server refuses the code",
        |land, link| {
            land.lie("code");
            agreed(land, link, CALLBACK, &[("code", "ann"), ("iss", "https://hr.example")])
        },
        "This did not work",
    ),
    (
        "the user says no",
        |land, link| agreed(land, link, CALLBACK, &[("error", "access_denied"), ("iss", "https://hr.example")]),
        "Access was not allowed",
    ),
    (
        "another host asks",
        |land, link| {
            let mut browser = Browser::default();
            browser.header(":authority", "hr.example.com");
            browser.get(land, link)
        },
        "404 ",
    ),
];

/// Whatever it is: ann's calls have no token afterwards.
#[test]
fn nobody_can_meddle() {
    for (what, meddle, expected) in MEDDLED {
        let mut land = Land::new(&json!({}));
        let link = land::link(&land.send("ann", &json!({})).task());
        let answer = meddle(&mut land, &link);
        let heading = if answer.is_reply() { heading(&answer) } else { format!("{answer:?}") };
        assert!(heading.starts_with(expected), "{what}: {heading}");
        land.tell_the_truth();
        assert_eq!(land.send("ann", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED", "{what}");
        assert_eq!(land.send("bob", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED", "{what}");
    }
}

/// Back from the sign-in with these parameters.
fn back_as(land: &mut Land, link: &str, parameters: &[(&str, &str)]) -> Answer {
    let mut browser = Browser::default();
    let page = browser.get(land, link);
    let there = location(&browser.submit(land, &page));
    browser.get(land, &land.back_from(&there, SIGNED_IN, parameters))
}

/// Ann, signed in, and where she is sent then.
fn signed_in(land: &mut Land, link: &str) -> (Browser, String) {
    let mut browser = Browser::default();
    let page = browser.get(land, link);
    let there = location(&browser.submit(land, &page));
    let answer = browser.get(land, &land.back_from(&there, SIGNED_IN, &[("code", "ann"), ("iss", "https://corp.example")]));
    (browser, location(&answer))
}

/// Back from where she agrees, to `path`, with these parameters.
fn agreed(land: &mut Land, link: &str, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let (mut browser, there) = signed_in(land, link);
    browser.get(land, &land.back_from(&there, path, parameters))
}

#[test]
fn the_id_token_of_the_one_server_says_who_agreed() {
    const ISS: (&str, &str) = ("iss", "https://corp.example");
    let mut land = Land::with_one_server();
    let task = land.send("ann", &json!({})).task();
    let mut browser = Browser::default();
    let page = browser.get(&mut land, &land::link(&task));
    let there = location(&browser.submit(&mut land, &page));
    assert!(there.starts_with("https://corp.example/auth?") && there.contains("callback"), "{there}");
    let answer = land.back_from(&there, CALLBACK, &[("code", "bob"), ISS]);
    let page = browser.get(&mut land, &answer);
    assert_eq!(heading(&page), "This link is for another account");
    // It is not used up: neither for who has it, nor in the task.
    assert_eq!(land.send("ann", &json!({"taskId": task["id"]})).task()["id"], task["id"]);
    assert_eq!(land.send("bob", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED");
    for lie in ["nonce", "aud", "signature", "exp"] {
        land.lie(lie);
        let mut other = Browser::default();
        let page = other.get(&mut land, &land::link(&task));
        let there = location(&other.submit(&mut land, &page));
        let answer = land.back_from(&there, CALLBACK, &[("code", "ann"), ISS]);
        let page = other.get(&mut land, &answer);
        assert_eq!(heading(&page), "This did not work", "{lie}");
        land.tell_the_truth();
        assert_eq!(land.send("ann", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED", "{lie}");
    }
    let there = location(&browser.submit(&mut land, &page));
    let mut twin = browser.clone();
    let answer = land.back_from(&there, CALLBACK, &[("code", "ann"), ISS]);
    assert_eq!(heading(&browser.get(&mut land, &answer)), ALLOWED);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-0");
    assert_eq!(heading(&twin.get(&mut land, &answer)), "This link was used already");
}

#[test]
fn an_answer_counts_once() {
    let mut land = Land::new(&json!({}));
    let link = land::link(&land.send("ann", &json!({})).task());
    let (mut browser, there) = signed_in(&mut land, &link);
    let mut twin = browser.clone();
    let back = land.back_from(&there, CALLBACK, &[("code", "ann"), ("iss", "https://hr.example")]);
    assert_eq!(heading(&browser.get(&mut land, &back)), ALLOWED);
    assert_eq!(heading(&browser.get(&mut land, &back)), "Your browser did not keep our cookie", "the cookie is gone");
    assert_eq!(heading(&twin.get(&mut land, &back)), "This link was used already", "also for who kept the cookie");
    assert_eq!(heading(&Browser::default().get(&mut land, &link)), "This link was used already");
    assert_eq!(land.asked().iter().filter(|form| form.contains("code=ann") && form.contains("callback")).count(), 1);
}

#[test]
fn a_link_that_is_only_opened_changes_nothing() {
    let mut land = Land::new(&json!({}));
    let link = land::link(&land.send("ann", &json!({})).task());
    for _ in 0..20 {
        assert_eq!(heading(&Browser::default().get(&mut land, &link)), "An agent asks for access");
    }
    assert!(land.asked().is_empty());
    assert_eq!(agree(&mut land, "ann", &link), ALLOWED);
}

#[test]
fn a_task_of_ours_says_how_the_flow_stands() {
    let mut land = Land::new(&json!({}));
    let state = |land: &mut Land, user: &str, id: &str| land.ask(user, "GetTask", &json!({"id": id})).result()["status"]["state"].clone();
    let task = land.send("ann", &json!({})).task();
    let id = task["id"].as_str().unwrap().to_owned();
    assert_eq!(state(&mut land, "ann", &id), "TASK_STATE_AUTH_REQUIRED");
    let ids = json!({"taskId": id, "contextId": task["contextId"]});
    assert_eq!(land.send("ann", &ids).task()["id"], id.as_str(), "the same flow goes on");
    // It is nobody else's.
    assert_eq!(land.ask("bob", "GetTask", &json!({"id": id})).error(), -32001);
    assert_eq!(land.ask("bob", "CancelTask", &json!({"id": id})).error(), -32001);
    assert_eq!(agree(&mut land, "ann", &land::link(&task)), ALLOWED);
    assert_eq!(state(&mut land, "ann", &id), "TASK_STATE_INPUT_REQUIRED");
    let body: Value = serde_json::from_str(land.send("ann", &ids).body()).unwrap();
    assert!(body["params"]["message"].get("taskId").is_none() && body["params"]["message"].get("contextId").is_none(), "{body}");
    // A conversation of the agent's own goes on.
    let body: Value = serde_json::from_str(land.send("ann", &json!({"contextId": "theirs"})).body()).unwrap();
    assert_eq!(body["params"]["message"]["contextId"], "theirs");

    let task = land.send("bob", &json!({"contextId": "theirs"})).task();
    let id = task["id"].as_str().unwrap().to_owned();
    assert_eq!(task["contextId"], "theirs");
    assert_eq!(land.ask("bob", "CreateTaskPushNotificationConfig", &json!({"taskId": id, "url": "https://a.example"})).error(), -32003);
    assert_eq!(land.ask("bob", "CancelTask", &json!({"id": id})).result()["status"]["state"], "TASK_STATE_CANCELED");
    assert_eq!(state(&mut land, "bob", &id), "TASK_STATE_CANCELED");
    assert_eq!(heading(&Browser::default().get(&mut land, &land::link(&task))), "This is no longer needed");
    // Also for who was on the way already.
    let task = land.send("ann", &json!({"contextId": "theirs"}));
    assert!(!task.is_reply());
    let mut land = Land::new(&json!({}));
    let task = land.send("ann", &json!({})).task();
    let (mut browser, there) = signed_in(&mut land, &land::link(&task));
    assert_eq!(land.ask("ann", "CancelTask", &json!({"id": task["id"]})).result()["status"]["state"], "TASK_STATE_CANCELED");
    let back = land.back_from(&there, CALLBACK, &[("code", "ann"), ("iss", "https://hr.example")]);
    assert_eq!(heading(&browser.get(&mut land, &back)), "This is no longer needed");
    assert_eq!(land.send("ann", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED");

    let task = land.send("bob", &json!({})).task();
    land.pass(600);
    assert_eq!(state(&mut land, "bob", task["id"].as_str().unwrap()), "TASK_STATE_FAILED");
    let again = land.send("bob", &json!({"taskId": task["id"]})).task();
    assert_ne!(again["id"], task["id"], "what has run out begins anew");
}

#[test]
fn a_token_is_renewed_once_and_a_grant_that_was_taken_back_is_asked_for_again() {
    let mut land = Land::new(&json!({}));
    let link = land::link(&land.send("ann", &json!({})).task());
    assert_eq!(agree(&mut land, "ann", &link), ALLOWED);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
    land.pass(301);
    for _ in 0..3 {
        assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-2");
    }
    land.pass(301);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-3");
    let renewed: Vec<String> = land.asked().into_iter().filter(|form| form.contains("refresh_token")).collect();
    assert!(renewed.len() == 2 && renewed[0].contains("refresh-ann-1") && renewed[1].contains("refresh-ann-2"), "{renewed:?}");
    // The server is down: nothing is lost, and the token serves as long as it is good.
    land.pass(245);
    land.lie("down");
    for _ in 0..10 {
        assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-3");
        land.pass(5);
    }
    land.pass(10);
    assert_eq!(land.send("ann", &json!({})).reply().status, 503);
    land.tell_the_truth();
    land.pass(10);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-4");
    // It took the grant back.
    land.pass(301);
    land.lie("refresh");
    assert_eq!(land.send("ann", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED");
    land.tell_the_truth();
    assert_eq!(land.send("ann", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED", "and it is forgotten here, too");
}

#[test]
fn a_server_that_says_where_its_endpoints_are_is_asked_once() {
    let mut land = Land::discovering();
    let link = land::link(&land.send("ann", &json!({})).task());
    land.lie("metadata");
    assert_eq!(heading(&Browser::default().get(&mut land, &link)), "This does not work right now");
    assert_eq!(heading(&Browser::default().get(&mut land, &link)), "This does not work right now", "it rests");
    land.tell_the_truth();
    land.pass(2);
    assert_eq!(agree(&mut land, "ann", &link), ALLOWED);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
    // `iss` is required where the metadata says that it is always there.
    let other = land::link(&land.send_as("ann", "other", &json!({})).task());
    assert_eq!(heading(&agreed(&mut land, &other, CALLBACK, &[("code", "ann")])), "This answer is not to be trusted");

    // After a restart it is read again, before anything is renewed.
    land.pass(301);
    land.restart();
    land.lie("metadata");
    land.tick();
    assert_eq!(land.send("ann", &json!({})).reply().status, 503);
    land.tell_the_truth();
    land.pass(10);
    land.tick();
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-2");
    let listed: Value = serde_json::from_str(&land.own("ann", "GET", "/consent/grants").reply().body).unwrap();
    let id = listed["grants"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(land.own("ann", "DELETE", &format!("/consent/grants/{id}")).reply().status, 204);
    assert!(land.asked().iter().any(|form| form.contains("token_type_hint=refresh_token")), "it is revoked where the metadata says");
}

#[test]
fn who_is_no_user_gets_no_link() {
    let mut land = Land::new(&json!({}));
    assert_eq!(land.send_as("service", "service", &json!({})).reply().status, 403);
    let mut land = Land::new(&json!({"identity": "entra"}));
    assert_eq!(land.send("ann", &json!({})).reply().status, 403, "without tid and oid");
}

#[test]
fn a_challenge_has_the_link_too() {
    let mut land = Land::new(&json!({"consent": "challenge"}));
    let answer = land.send("ann", &json!({}));
    assert_eq!(answer.reply().status, 401);
    let challenge = &answer.reply().headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap().1;
    assert!(challenge.contains("error_uri=\"https://consent.example/consent/start?link="), "{challenge}");
    let link = challenge.split("error_uri=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(agree(&mut land, "ann", &link), ALLOWED);
}

#[test]
fn without_random_numbers_nothing_is_granted() {
    let mut land = Land::seeded(&json!({}), 0);
    assert_eq!(land.send("ann", &json!({})).reply().status, 503);
    assert_eq!(Browser::default().get(&mut land, "/consent/start?link=abc").reply().status, 503);
}

//! The partner's server is the issuer of callers' tokens: its ID token says who agreed (`bind: id_token`).

use super::land::{Browser, CALLBACK, Land, link, location};
use super::{ALLOWED, heading};
use serde_json::json;

#[test]
fn the_id_token_of_the_one_server_says_who_agreed() {
    const ISS: (&str, &str) = ("iss", "https://corp.example");
    let mut land = Land::with_one_server();
    let task = land.send("ann", &json!({})).task();
    let mut browser = Browser::default();
    let page = browser.get(&mut land, &link(&task));
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
        let page = other.get(&mut land, &link(&task));
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

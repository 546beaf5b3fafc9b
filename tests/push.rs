//! Push-notification URLs and their verdicts (`attacks/push-urls.json`). Each row has a URL, the rule it meets, the
//! verdict, and under `whatwg` the host that a WHATWG URL parser (Node 20) reads in it: whatever is let through must
//! lead the agent's own parser to the host that was judged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attache::config::PushRule;
use attache::policy::push::{self, Target};
use attache::wire::address::Host;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static FILE: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(include_str!("attacks/push-urls.json")).unwrap());

fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str, Option<&'static str>)> {
    let text = |row: &'static Value, name: &str| row[name].as_str();
    let all = FILE["rows"].as_array().unwrap().iter();
    all.map(move |row| (text(row, "url").unwrap(), text(row, "rule").unwrap(), text(row, "verdict").unwrap(), text(row, "whatwg")))
}

#[test]
fn every_url_has_its_verdict() {
    let rules: BTreeMap<String, PushRule> = serde_json::from_value(FILE["rules"].clone()).unwrap();
    for (name, rule) in &rules {
        rule.check(name).unwrap();
    }
    let mut wrong = Vec::new();
    for (url, rule, expected, _) in rows() {
        let verdict = push::check(url, &rules[rule]).map_or_else(|refusal| format!("{refusal:?}"), |()| "ok".to_owned());
        if verdict != expected {
            wrong.push(format!("{url:?} under {rule}: {verdict}, not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn other_parsers_read_the_host_that_was_judged() {
    for (url, _, verdict, whatwg) in rows() {
        if let Ok(target) = Target::parse(url) {
            // Node writes an embedded IPv4 address in hexadecimal.
            assert_eq!(whatwg.and_then(Host::parse), Some(target.host), "{url:?}");
        }
        assert!(verdict != "ok" || whatwg.is_some(), "{url:?}");
    }
}

/// A notification that leaves shows host and port: by them it is judged as the URL was that its caller named.
#[test]
fn what_leaves_is_judged_by_host_and_port_as_its_url_was() {
    let rules: BTreeMap<String, PushRule> = serde_json::from_value(FILE["rules"].clone()).unwrap();
    let (mut passed, mut refused) = (0, 0);
    for (url, rule, verdict, _) in rows() {
        let Ok(Target { host, port, .. }) = Target::parse(url) else { continue };
        let left = push::check_authority(&host.to_string(), Some(&port.to_string()), &rules[rule]);
        match verdict {
            "ok" => assert!(left.is_ok(), "{url:?} under {rule}: {left:?}"),
            "HostNotListed" => assert!(left.is_err(), "{url:?} under {rule}"),
            address if address.starts_with("Address(") => assert!(left.is_err(), "{url:?} under {rule}"),
            _ => continue,
        }
        *(if left.is_ok() { &mut passed } else { &mut refused }) += 1;
    }
    assert!(passed >= 50 && refused >= 50, "{passed} passed, {refused} refused");
}

#[test]
fn the_corpus_has_good_and_bad_of_every_kind() {
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, verdict, _) in rows() {
        *verdicts.entry(verdict).or_default() += 1;
    }
    assert!(rows().count() >= 250 && verdicts["ok"] >= 50, "{verdicts:?}");
    for verdict in ["NotAbsolute", "Scheme", "Port", "UserInformation", "Fragment", "Character", "Notation", "HostNotListed"] {
        assert!(verdicts[verdict] >= 2, "{verdict}");
    }
    for reach in ["Loopback", "Private", "Shared", "LinkLocal", "Metadata", "Unspecified", "Multicast", "Reserved", "Embedded", "LocalName"]
    {
        assert!(verdicts[format!("Address({reach})").as_str()] >= 2, "{reach}");
    }
}

#[test]
fn no_change_of_one_byte_lets_another_host_through() {
    let rule: PushRule = serde_json::from_str(r#"{"hosts": ["hooks.example.com"]}"#).unwrap();
    let good = b"https://hooks.example.com/a";
    for place in 0..=good.len() {
        for byte in 0..=0x7f_u8 {
            let mut inserted = good.to_vec();
            inserted.insert(place, byte);
            let mut changed = good.to_vec();
            changed[place.min(good.len() - 1)] = byte;
            for url in [inserted, changed] {
                let url = String::from_utf8(url).unwrap();
                if push::check(&url, &rule).is_ok() {
                    assert!(url.to_ascii_lowercase().starts_with("https://hooks.example.com"), "{url:?}");
                    assert!(url.len() <= 25 || matches!(url.as_bytes()[25], b'/' | b'?' | b'.'), "{url:?}");
                }
            }
        }
    }
}

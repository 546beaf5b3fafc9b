//! Bodies with push-notification configurations in all their places.

use super::{MAX_GROWTH, MAX_TOKEN_BYTES, PlaceError, Plans, Version};
use crate::config::HttpUri;
use crate::protocol::{Binding, Operation};
use crate::wire::grpc_frame::wrap;
use crate::wire::protobuf::{Fault as Message, Writer};
use crate::wire::scan::Fault;
use serde_json::{Value, json};

const SEND: Operation = Operation::SendStreamingMessage;
const CREATE: Operation = Operation::CreateTaskPushNotificationConfig;

/// The URL and the task of a configuration, and the body with a token.
type Played = (Option<String>, Option<String>, String);

/// Tells tokens of before.
fn is_own(text: &str) -> bool {
    text == "OLD"
}

/// What comes of `body`.
fn play(operation: Operation, version: Version, body: &str) -> Result<Option<Played>, PlaceError> {
    let plans = Plans::default();
    let whole = format!(r#"{{"jsonrpc":"2.0","params":{body},"url":"x","id":1}}"#);
    let edited = |binding, whole: &str| {
        let place = plans.find((binding, operation, version), whole.as_bytes(), &is_own)?;
        let edited =
            place.map(|place| Ok::<_, PlaceError>((place.with(whole.as_bytes(), "T", version)?, place.url, place.task))).transpose()?;
        Ok(edited.map(|(edited, url, task)| (url, task, String::from_utf8(edited).unwrap())))
    };
    let plain = edited(Binding::HttpJson, body);
    let framed = plain
        .clone()
        .map(|plain| plain.map(|(url, task, out)| (url, task, format!(r#"{{"jsonrpc":"2.0","params":{out},"url":"x","id":1}}"#))));
    assert_eq!(edited(Binding::Jsonrpc, &whole), framed, "{body}");
    plain
}

fn with(operation: Operation, version: Version, body: &str) -> Result<String, PlaceError> {
    play(operation, version, body).map(|found| found.map_or_else(|| body.to_owned(), |(_, _, out)| out))
}

#[test]
fn every_place_and_spelling_gets_the_token_and_nothing_else_changes() {
    let old = r#""token":"T","authentication":{"schemes":["Bearer"],"credentials":"T"}"#;
    let new = r#""token":"T","authentication":{"scheme":"Bearer","credentials":"T"}"#;
    for (version, members) in [(Version::V0_3, old), (Version::V1_0, new)] {
        for (operation, before, behind) in [
            (SEND, r#" {"message": {"url":"x"} ,"configuration":{"taskPushNotificationConfig": "#, r#" ,"blocking":true}} "#),
            (SEND, r#"{"configuration":{"task_push_notification_config":"#, "}}"),
            (SEND, r#"{"configuration":{"pushNotificationConfig":"#, r#"},"message":{}}"#),
            (SEND, r#"{"configuration":{"push_notification_config":"#, "}}"),
            (SEND, r#"{"configuration":{"pushNotification":"#, "}}"),
            (SEND, r#"{"configuration":{"push_notification":"#, "}}"),
            (SEND, r#"{"configuration":{"push\u004eotification":"#, "}}"),
            (CREATE, "", ""),
            (CREATE, r#"{"taskId":"t","pushNotificationConfig":"#, "}"),
            (CREATE, r#"{"name":"tasks/t/pushNotificationConfigs/c","push_notification_config":"#, "}"),
            (CREATE, r#"{"parent":"tasks/t","config":{"name":"tasks/t","pushNotificationConfig":"#, "}}"),
            (CREATE, r#"{"config":{"push_notification_config":"#, "}}"),
            (CREATE, r#"{"config":"#, "}"),
        ] {
            let body = |config: &str| format!("{before}{config}{behind}");
            let url = r#""url":"https:\/\/hooks.example.com/\u0061""#;
            for (config, expected) in [
                (format!(r#"{{{url}}}"#), format!(r#"{{{url},{members}}}"#)),
                (format!(r#"{{ "id" : "c", {url} }}"#), format!(r#"{{ "id" : "c", {url} ,{members}}}"#)),
            ] {
                let (found, task, out) = play(operation, version, &body(&config)).unwrap().unwrap();
                assert_eq!(out, body(&expected));
                assert_eq!(found.as_deref(), Some("https://hooks.example.com/a"));
                let is_named = operation == CREATE && (before.contains(r#":"t""#) || before.contains("tasks/t"));
                assert_eq!(task.as_deref(), is_named.then_some("t"));
            }
            let taken = format!(r#"{{"authentication":{{"schemes":[]}},{url},"token":"mine"}}"#);
            assert_eq!(with(operation, version, &body(&taken)), Err(PlaceError::Taken));
        }
    }
}

#[test]
fn the_members_that_are_free_are_filled() {
    for (config, expected) in [
        (r#"{"url":"u","token":""}"#, r#"{"url":"u","token":"T","authentication":A}"#),
        (r#"{"token": null , "url":"u"}"#, r#"{"token": "T" , "url":"u","authentication":A}"#),
        (r#"{"authentication":{ },"token":"","url":"u"}"#, r#"{"authentication":A,"token":"T","url":"u"}"#),
        (r#"{"authentication":null,"url":"u","token":null}"#, r#"{"authentication":A,"url":"u","token":"T"}"#),
        (r#"{"url":"u","token":"mine"}"#, r#"{"url":"u","token":"mine","authentication":A}"#),
        (r#"{"url":"u","token":"mine","authentication":{}}"#, r#"{"url":"u","token":"mine","authentication":A}"#),
        (
            r#"{"url":"u","token":"OLD","authentication":{"scheme":"x","credentials":"OLD"}}"#,
            r#"{"url":"u","token":"T","authentication":A}"#,
        ),
        (r#"{"authentication":{"credentials":"OLD"},"url":"u","token":"mine"}"#, r#"{"authentication":A,"url":"u","token":"mine"}"#),
        (
            r#"{"authentication":{"credentials":["OLD"]},"url":"u","token":"OLD"}"#,
            r#"{"authentication":{"credentials":["OLD"]},"url":"u","token":"T"}"#,
        ),
        (r#"{"authentication":{"scheme":"OLD"},"url":"u","token":"OLDER"}"#, "taken"),
        (r#"{"url":"u","token":7}"#, r#"{"url":"u","token":7,"authentication":A}"#),
        (r#"{"url":"u","token":{}}"#, r#"{"url":"u","token":{},"authentication":A}"#),
        (r#"{"url":"u","authentication":{"scheme":"Basic"}}"#, r#"{"url":"u","authentication":{"scheme":"Basic"},"token":"T"}"#),
        (r#"{"url":"u","authentication":{"token":null}}"#, r#"{"url":"u","authentication":{"token":null},"token":"T"}"#),
        (r#"{"url":"u","authentication":[]}"#, r#"{"url":"u","authentication":[],"token":"T"}"#),
        (r#"{"url":"u","authentication":"x"}"#, r#"{"url":"u","authentication":"x","token":"T"}"#),
    ] {
        let expected = expected.replace('A', r#"{"scheme":"Bearer","credentials":"T"}"#);
        let expected = if expected == "taken" { Err(PlaceError::Taken) } else { Ok(expected) };
        assert_eq!(with(CREATE, Version::V1_0, config), expected, "{config}");
    }
    let long = format!(r#"{{"url":"u","token":"{}"}}"#, "x".repeat(9000));
    assert!(with(CREATE, Version::V1_0, &long).unwrap().ends_with(r#","authentication":{"scheme":"Bearer","credentials":"T"}}"#));
}

#[test]
fn a_body_grows_no_more_than_is_said() {
    let token = "t".repeat(MAX_TOKEN_BYTES);
    for version in [Version::V0_3, Version::V1_0] {
        let body = br#"{"url":"u"}"#;
        let place = Plans::default().find((Binding::HttpJson, CREATE, version), body, &is_own).unwrap().unwrap();
        let grown = place.with(body, &token, version).unwrap().len() - body.len();
        assert!(grown <= MAX_GROWTH && MAX_GROWTH < grown + 30, "{grown}");
    }
}

#[test]
fn what_has_no_configuration_stays_as_it_is() {
    for body in [
        r#"{"message":{}}"#,
        r#"{"configuration":{}}"#,
        r#"{"configuration":null}"#,
        r#"{"configuration":{"pushNotificationConfig":null,"taskPushNotificationConfig":null}}"#,
        r#"{"url":"u","pushNotificationConfig":{"url":"u"}}"#,
        r#"{"message":{"configuration":{"pushNotificationConfig":{"url":"u"}}}}"#,
    ] {
        assert_eq!(play(SEND, Version::V1_0, body), Ok(None), "{body}");
    }
    assert_eq!(play(Operation::GetTask, Version::V1_0, r#"{"url":"u"}"#), Ok(None));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for (operation, body, error) in [
        (SEND, r#"{"configuration":{"pushNotificationConfig":{"url":"u"},"taskPushNotificationConfig":{"url":"u"}}}"#, PlaceError::Several),
        (SEND, r#"{"configuration":{"pushNotificationConfig":{},"pushNotification":{"url":"u"}}}"#, PlaceError::Several),
        (SEND, r#"{"configuration":{"pushNotificationConfig":{"url":"u","url":"v"}}}"#, PlaceError::Fault(Fault::RepeatedName)),
        (SEND, r#"{"configuration":{"pushNotification":{"url":"u"},"push_notification":{}}}"#, PlaceError::Fault(Fault::RepeatedName)),
        (SEND, r#"{"configuration":{},"configuration":{}}"#, PlaceError::Fault(Fault::RepeatedName)),
        (SEND, r#"{"configuration":{"pushNotification":{"URL":"u"}}}"#, PlaceError::Fault(Fault::CaseVariant)),
        (SEND, r#"{"Configuration":{}}"#, PlaceError::Fault(Fault::CaseVariant)),
        (CREATE, r#"{"url":"u","pushNotificationConfig":{"url":"u"}}"#, PlaceError::Several),
        (CREATE, r#"{"token":"mine","pushNotificationConfig":{"url":"u"}}"#, PlaceError::Several),
        (CREATE, r#"{"url":"u","config":{"authentication":{"scheme":"x"}}}"#, PlaceError::Several),
        (CREATE, r#"{"taskId":"t","parent":"tasks/u","url":"u"}"#, PlaceError::Task),
        (CREATE, r#"{"taskId":"t","config":{"task_id":"u","url":"u"}}"#, PlaceError::Task),
        (CREATE, r#"{"taskId":7,"url":"u"}"#, PlaceError::Task),
        (CREATE, r#"{"taskId":"t","task_id":"t","url":"u"}"#, PlaceError::Fault(Fault::RepeatedName)),
        (CREATE, r#"{"url":"u","token":null,"token":"x"}"#, PlaceError::Fault(Fault::RepeatedName)),
    ] {
        assert_eq!(play(operation, Version::V1_0, body), Err(error), "{body}");
    }
    let find = |body: &[u8]| Plans::default().find((Binding::HttpJson, CREATE, Version::V1_0), body, &is_own).map(drop);
    assert_eq!(find(b""), Err(PlaceError::Fault(Fault::Incomplete)));
    assert_eq!(find(b"{\"url\":\"u\"}{}"), Err(PlaceError::Fault(Fault::Trailing)));
}

#[test]
fn a_url_leads_to_the_webhook_or_it_does_not() {
    let leads = |url: &Value, webhook: &str| {
        let body = json!({ "url": url }).to_string();
        let place = Plans::default().find((Binding::HttpJson, CREATE, Version::V1_0), body.as_bytes(), &is_own).unwrap().unwrap();
        place.leads_to(&HttpUri::try_from(webhook.to_owned()).unwrap())
    };
    for webhook in ["https://hooks.example.com/a2a/partner", "https://Hooks.Example.com:443/a2a/partner/"] {
        for good in [
            "https://hooks.example.com/a2a/partner",
            "https://hooks.example.com/a2a/partner/",
            "HTTPS://HOOKS.example.com:443/a2a/partner/t-1?x=%2e",
            "https://hooks.example.com./a2a/partner?x",
        ] {
            // HttpUri knows schemes in lower case alone.
            assert_eq!(leads(&json!(good), webhook), !good.starts_with("HTTPS"), "{good}");
        }
        for other in [
            "https://hooks.example.com/a2a/partner2",
            "https://hooks.example.com/a2a",
            "https://hooks.example.com/a2a/Partner",
            "https://hooks.example.com/",
            "http://hooks.example.com/a2a/partner",
            "https://hooks.example.com:8443/a2a/partner",
            "https://hooks.example.com:0443/a2a/partner",
            "https://evil.example/a2a/partner",
            "https://hooks.example.com.evil.example/a2a/partner",
            "https://hooks.example.com@evil.example/a2a/partner",
            "https://u:p@hooks.example.com/a2a/partner",
            "https://hooks.example.com/a2a/partner/../other",
            "https://hooks.example.com/a2a/partner/%2e%2e/other",
            "https://hooks.example.com/a2a/partner/..;/other",
            "https://hooks.example.com/a2a/./partner",
            "https://hooks.example.com//a2a/partner",
            "https://hooks.example.com/a2a%2Fpartner",
            "https://hooks.example.com\\a2a/partner",
            "https://hooks.example.com/a2a/partner#x",
            "https://hooks.example.com/a2a/partner\n",
            " https://hooks.example.com/a2a/partner",
            "//hooks.example.com/a2a/partner",
            "/a2a/partner",
            "https:hooks.example.com/a2a/partner",
            "",
        ] {
            assert!(!leads(&json!(other), webhook), "{other}");
        }
        for odd in [json!(null), json!(7), json!(["https://hooks.example.com/a2a/partner"]), json!({"url": "x"}), json!("x".repeat(9000))] {
            assert!(!leads(&odd, webhook), "{odd}");
        }
    }
    assert!(leads(&json!("https://hooks.example.com/any/where"), "https://hooks.example.com"));
}

/// A message with these fields of bytes.
fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::default();
    fields.iter().for_each(|(number, bytes)| writer.bytes(*number, bytes));
    writer.end()
}

#[test]
fn messages_of_grpc_get_the_token_as_well() {
    let bearer = message(&[(1, b"Bearer"), (2, b"T")]);
    let (url, taken) = (&b"https://hooks.example.com/a"[..], message(&[(1, b"Basic")]));
    type Whole = fn(&[u8]) -> Vec<u8>;
    let cases: [(Operation, Version, Whole, Option<&str>); 4] = [
        (CREATE, Version::V1_0, |config| config.to_vec(), Some("t")),
        (CREATE, Version::V0_3, |config| message(&[(1, b"tasks/t"), (3, &message(&[(1, b"tasks/t/x"), (2, config)]))]), Some("t")),
        (SEND, Version::V1_0, |config| message(&[(2, b"said"), (3, &message(&[(2, config), (1, b"text")]))]), None),
        (SEND, Version::V0_3, |config| message(&[(2, &message(&[(2, config)])), (1, b"")]), None),
    ];
    for (operation, version, whole, task) in cases {
        let (own, [at, token, authentication]) = match version {
            Version::V1_0 => (vec![(3, &b"t"[..])], [4, 5, 6]),
            Version::V0_3 => (vec![(1, &b"c"[..])], [2, 3, 4]),
        };
        let config = |more: &[(u32, &[u8])]| message(&[&own[..], &[(at, url)], more].concat());
        let play = |config: &[u8]| {
            let body = wrap(&whole(config)).unwrap();
            let place = Plans::default().find((Binding::Grpc, operation, version), &body, &is_own)?.unwrap();
            assert_eq!((place.url.as_deref(), place.task.as_deref()), (Some("https://hooks.example.com/a"), task));
            place.with(&body, "T", version)
        };
        let framed = |config: &[u8]| Ok(wrap(&whole(config)).unwrap());
        let full = config(&[(token, b"T"), (authentication, &bearer)]);
        assert_eq!(play(&config(&[])), framed(&full));
        assert_eq!(play(&config(&[(authentication, b""), (token, b"")])), framed(&full));
        let old = message(&[(1, b"x"), (2, b"OLD")]);
        assert_eq!(play(&config(&[(authentication, &old), (token, b"OLD")])), framed(&full));
        assert_eq!(play(&config(&[(token, b"mine")])), framed(&config(&[(token, b"mine"), (authentication, &bearer)])));
        let kept = config(&[(authentication, &taken), (token, b"T")]);
        assert_eq!(play(&config(&[(authentication, &taken)])), framed(&kept));
        assert_eq!(play(&config(&[(authentication, &taken), (token, b"mine")])), Err(PlaceError::Taken));
        assert_eq!(play(&config(&[(token, b""), (token, b"")])), Err(PlaceError::Message(Message::Repeated)));
        assert_eq!(play(&config(&[(at, url)])), Err(PlaceError::Message(Message::Repeated)));
    }
    let find = |operation, version, body: &[u8]| {
        Plans::default().find((Binding::Grpc, operation, version), body, &is_own).map(|found| found.is_some())
    };
    assert_eq!(find(SEND, Version::V1_0, &wrap(&message(&[(2, b"")])).unwrap()), Ok(false));
    assert_eq!(find(SEND, Version::V1_0, &wrap(&message(&[(3, b"")])).unwrap()), Ok(false));
    assert_eq!(find(CREATE, Version::V1_0, b"\x01\0\0\0\0"), Err(PlaceError::Message(Message::Compressed)));
    assert_eq!(find(SEND, Version::V1_0, &wrap(&message(&[(3, b""), (3, b"")])).unwrap()), Err(PlaceError::Message(Message::Repeated)));
    let other_task = message(&[(1, b"tasks/t"), (3, &message(&[(1, b"tasks/u/x"), (2, b"")]))]);
    assert_eq!(find(CREATE, Version::V0_3, &wrap(&other_task).unwrap()), Err(PlaceError::Task));
}

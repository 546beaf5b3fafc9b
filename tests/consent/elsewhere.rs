//! Users who agree on another device, with a code (RFC 8628) or asked by their server (CIBA): what callers are answered, when the server is
//! asked, and who can agree.

use crate::land::{Answer, Land, PENDING};
use serde_json::{Value, json};

const DEVICE: &str = "device_code=device-secret-";
const EMAIL: &str = "ann@example.com";

/// A connection whose users agree by `way` at the issuer of their own tokens, with these members besides.
fn land(way: &str, own: &Value, change: impl FnOnce(&mut Value)) -> Land {
    let endpoint = |path: &str| json!({"uri": format!("https://hr.example/{path}"), "cluster": "hr"});
    let mut members = match way {
        "device_code" => json!({"device_code": {"endpoint": endpoint("device")}}),
        _ => json!({"ciba": {"endpoint": endpoint("backchannel"), "login_hint": "sub", "binding_message": "Agent hr"}}),
    };
    members.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    Land::changed(&members, 42, |config| {
        config["oauth_apps"]["hr"]["issuer"] = json!("https://corp.example");
        config["oauth_apps"]["hr"].as_object_mut().unwrap().remove("authorization_endpoint");
        config["consent"].as_object_mut().unwrap().remove("sign_in");
        change(config);
    })
}

fn device() -> Land {
    land("device_code", &json!({}), |_| {})
}

fn ciba() -> Land {
    land("ciba", &json!({}), |_| {})
}

#[track_caller]
fn data(task: &Value) -> Value {
    assert_eq!(task["status"]["state"], "TASK_STATE_AUTH_REQUIRED", "{task}");
    task["status"]["message"]["parts"][1]["data"].clone()
}

#[track_caller]
fn text(task: &Value) -> String {
    task["status"]["message"]["parts"][0]["text"].as_str().unwrap().to_owned()
}

fn state(land: &mut Land, user: &str, task: &Value) -> String {
    let answer = land.ask(user, "GetTask", &json!({"id": task["id"]}));
    answer.result()["status"]["state"]
        .as_str()
        .map_or_else(|| format!("{answer:?}"), |state| state.trim_start_matches("TASK_STATE_").to_owned())
}

/// How often the server was asked with a form that has `part`.
fn times(land: &Land, part: &str) -> usize {
    land.asked().iter().filter(|form| form.contains(part)).count()
}

#[track_caller]
fn refusal(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_str(&answer.reply().body).unwrap();
    (answer.reply().status, body["error"]["data"][0]["metadata"]["reason"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned())
}

#[test]
fn a_code_is_shown_and_the_server_is_asked_when_it_may_be() {
    let mut land = device();
    let task = land.send("ann", &json!({})).task();
    let own = data(&task);
    assert_eq!((&own["user_code"], &own["verification_uri"]), (&json!("CODE-1"), &json!("https://hr.example/device")));
    assert_eq!(own["verification_uri_complete"], "https://hr.example/device?code=CODE-1");
    assert_eq!((&own["link"], &own["issued_by"], &own["connection"]), (&own["verification_uri_complete"], &json!("attache"), &json!("hr")));
    assert_eq!((&own["expires_at"], &own["scopes"]), (&json!("2027-01-15T08:15:00.000000Z"), &json!(["openid", "tasks"])));
    assert!(text(&task).contains("https://hr.example/device ") && text(&task).contains("CODE-1"), "{task}");
    assert!(!task.to_string().contains("device-secret"), "{task}");
    let begun = land.asked().pop().unwrap();
    assert!(begun.contains("scope=openid+tasks") && begun.contains("resource=https") && !begun.contains("grant_type"), "{begun}");

    // Nobody asks before the interval, whatever the caller does; and there is one flow.
    for _ in 0..3 {
        assert_eq!(land.send("ann", &json!({})).task()["id"], task["id"]);
        assert_eq!(land.send("ann", &json!({"taskId": task["id"]})).task()["id"], task["id"]);
        assert_eq!(state(&mut land, "ann", &task), "AUTH_REQUIRED");
        land.pass(1);
    }
    assert_eq!((times(&land, DEVICE), land.asked().len()), (0, 1));
    land.pass(2);
    assert_eq!(state(&mut land, "ann", &task), "AUTH_REQUIRED");
    assert_eq!(state(&mut land, "ann", &task), "AUTH_REQUIRED");
    assert_eq!(times(&land, DEVICE), 1);
    // It asks for slower polls, and gets them.
    land.pass(5);
    land.decide("slow_down");
    assert_eq!(state(&mut land, "ann", &task), "AUTH_REQUIRED");
    land.decide(PENDING);
    for (seconds, polls) in [(9, 2), (1, 3), (9, 3), (1, 4)] {
        land.pass(seconds);
        assert_eq!(state(&mut land, "ann", &task), "AUTH_REQUIRED");
        assert_eq!(times(&land, DEVICE), polls, "{seconds}");
    }

    // It is nobody else's.
    assert_eq!(land.ask("bob", "GetTask", &json!({"id": task["id"]})).error(), -32001);
    land.decide("ann");
    land.pass(10);
    assert_eq!(state(&mut land, "ann", &task), "INPUT_REQUIRED");
    assert_eq!(state(&mut land, "ann", &task), "INPUT_REQUIRED");
    let answer = land.send("ann", &json!({"taskId": task["id"], "contextId": task["contextId"]}));
    assert_eq!(answer.bearer(), "access-ann-1");
    assert!(!answer.body().contains("attache-"), "{answer:?}");
    assert_eq!(data(&land.send("bob", &json!({})).task())["user_code"], "CODE-2");
    let polls: Vec<String> = land.asked().into_iter().filter(|form| form.contains(DEVICE)).collect();
    assert!(
        polls[0].contains("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code") && polls[0].contains("resource="),
        "{polls:?}"
    );
    // It is renewed like any other.
    land.pass(301);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
    assert!(land.asked().pop().unwrap().contains("refresh_token=refresh-ann-1"));
}

#[test]
fn a_message_goes_on_as_soon_as_its_user_has_agreed() {
    for (mut land, seconds) in [(device(), 5), (ciba(), 2)] {
        let task = land.send("ann", &json!({})).task();
        land.decide("ann");
        land.pass(seconds);
        assert_eq!(land.send("ann", &json!({"taskId": task["id"]})).bearer(), "access-ann-1");
        assert_eq!(state(&mut land, "ann", &task), "INPUT_REQUIRED");
        assert_eq!(land.ask("ann", "CancelTask", &json!({"id": task["id"]})).result()["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
        assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
    }
}

#[test]
fn each_end_has_its_state_and_the_next_message_begins_anew() {
    for (decision, expected) in
        [("access_denied", "REJECTED"), ("expired_token", "FAILED"), ("invalid_grant", "FAILED"), ("bob", "REJECTED"), ("Ann", "REJECTED")]
    {
        for is_message in [false, true] {
            for (mut land, seconds) in [(device(), 5), (ciba(), 2)] {
                let task = land.send("ann", &json!({})).task();
                land.decide(decision);
                land.pass(seconds);
                if is_message {
                    let ended = land.send("ann", &json!({})).task();
                    assert_eq!(
                        (&ended["id"], &ended["status"]["state"]),
                        (&task["id"], &json!(format!("TASK_STATE_{expected}"))),
                        "{decision}"
                    );
                }
                assert_eq!(state(&mut land, "ann", &task), expected, "{decision}");
                land.decide(PENDING);
                let anew = land.send("ann", &json!({"taskId": task["id"]})).task();
                data(&anew);
                assert_ne!(anew["id"], task["id"]);
                assert_eq!(state(&mut land, "ann", &task), expected, "{decision}: it is remembered");
                assert_eq!(state(&mut land, "ann", &anew), "AUTH_REQUIRED");
            }
        }
    }
}

#[test]
fn a_flow_runs_out_and_is_cancelled() {
    let mut land = device();
    let task = land.send("ann", &json!({})).task();
    land.pass(900);
    assert_eq!(state(&mut land, "ann", &task), "FAILED");
    assert_eq!(times(&land, DEVICE), 0, "nobody asks any more");
    let task = land.send("ann", &json!({})).task();
    assert_eq!(land.ask("bob", "CancelTask", &json!({"id": task["id"]})).error(), -32001);
    assert_eq!(land.ask("ann", "CancelTask", &json!({"id": task["id"]})).result()["status"]["state"], "TASK_STATE_CANCELED");
    land.decide("ann");
    land.pass(5);
    assert_eq!(state(&mut land, "ann", &task), "CANCELED");
    assert_eq!(times(&land, DEVICE), 0, "what was cancelled gives nothing");
    assert_eq!(
        land.ask("ann", "CreateTaskPushNotificationConfig", &json!({"taskId": task["id"], "url": "https://a.example"})).error(),
        -32003
    );
}

#[test]
fn five_flows_an_hour_are_all() {
    let mut land = device();
    for number in 1..=5 {
        let task = land.send("ann", &json!({})).task();
        assert_eq!(data(&task)["user_code"], format!("CODE-{number}"));
        land.pass(5);
        land.ask("ann", "CancelTask", &json!({"id": task["id"]}));
    }
    for _ in 0..3 {
        let answer = land.send("ann", &json!({}));
        assert_eq!(refusal(&answer), (401, "consent_required".to_owned()));
        assert!(answer.reply().body.contains("try again in an hour") && !answer.reply().body.contains("CODE"), "{answer:?}");
    }
    assert_eq!(land.asked().len(), 5);
    assert_eq!(data(&land.send("bob", &json!({})).task())["user_code"], "CODE-6", "others have their own");
    assert_eq!(data(&land.send_as("ann", "other", &json!({})).task())["user_code"], "CODE-7", "and so has another client");
    land.pass(3600 - 25);
    assert_eq!(data(&land.send("ann", &json!({})).task())["user_code"], "CODE-8");
}

#[test]
fn a_server_that_fails_is_left_alone_and_nothing_is_lost() {
    let mut land = device();
    for (lie, reason) in [("down", "credential_unavailable"), ("begin", "credential_refused"), ("uri", "credential_unavailable")] {
        land.lie(lie);
        let asked = land.asked().len();
        assert_eq!(refusal(&land.send("ann", &json!({}))).1, reason, "{lie}");
        land.pass(4);
        assert_eq!(refusal(&land.send("ann", &json!({}))).1, "credential_unavailable", "{lie}");
        assert_eq!(land.asked().len(), asked + 1, "{lie}");
        land.pass(1);
    }
    land.tell_the_truth();
    let task = land.send("ann", &json!({})).task();
    assert_eq!(data(&task)["user_code"], "CODE-3");
    land.pass(5);
    land.lie("down");
    assert_eq!(refusal(&land.ask("ann", "GetTask", &json!({"id": task["id"]}))), (503, "credential_unavailable".to_owned()));
    assert_eq!(state(&mut land, "ann", &task), "AUTH_REQUIRED", "as it was, without a call");
    land.decide("invalid_client");
    land.tell_the_truth();
    land.pass(10);
    assert_eq!(refusal(&land.ask("ann", "GetTask", &json!({"id": task["id"]}))).1, "credential_refused");
    land.decide("ann");
    land.pass(15);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
}

#[test]
fn who_agreed_must_be_said_unless_a_connection_asks_for_less() {
    for lie in ["id_token", "signature"] {
        let mut land = device();
        let task = land.send("ann", &json!({})).task();
        land.decide("ann");
        land.lie(lie);
        land.pass(5);
        assert_eq!(state(&mut land, "ann", &task), "FAILED", "{lie}");
    }
    let mut land = ciba();
    let task = land.send("ann", &json!({})).task();
    land.decide("ann");
    land.lie("request");
    land.pass(2);
    assert_eq!(state(&mut land, "ann", &task), "FAILED", "the answer to another request");
    let mut land = land_linked();
    let task = land.send("ann", &json!({})).task();
    land.decide("bob");
    land.lie("id_token");
    land.pass(5);
    assert_eq!(state(&mut land, "ann", &task), "INPUT_REQUIRED");
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-bob-1");
    data(&land.send("bob", &json!({})).task());
}

fn land_linked() -> Land {
    land("device_code", &json!({"bind": "link"}), |config| config["oauth_apps"]["hr"]["issuer"] = json!("https://hr.example"))
}

#[test]
fn a_server_asks_the_user_whom_the_issuer_has_verified() {
    let mut land = ciba();
    let task = land.send("ann", &json!({})).task();
    let own = data(&task);
    let message = own["binding_message"].as_str().unwrap().to_owned();
    let code = message.strip_prefix("Agent hr ").unwrap_or_else(|| panic!("{message}"));
    assert!(code.len() == 4 && code.bytes().all(|byte| byte.is_ascii_uppercase()), "{message}");
    assert!(text(&task).contains(&format!("\"{message}\"")) && !task.to_string().contains("request-secret"), "{task}");
    assert_eq!((own.get("link"), own.get("user_code"), &own["expires_at"]), (None, None, &json!("2027-01-15T08:02:00.000000Z")));
    let begun = land.asked().pop().unwrap();
    assert!(begun.contains("login_hint=ann&") && begun.contains(&format!("binding_message={}", message.replace(' ', "+"))), "{begun}");
    assert_ne!(data(&land.send("bob", &json!({})).task())["binding_message"], message);
    for (seconds, polls) in [(1, 0), (1, 1), (1, 1), (1, 2)] {
        land.pass(seconds);
        assert_eq!(state(&mut land, "ann", &task), "AUTH_REQUIRED");
        assert_eq!(times(&land, "auth_req_id=request-secret-1"), polls);
    }

    let by = |claim: &str| land_by(claim);
    let mut land = by("email");
    data(&land.send(EMAIL, &json!({})).task());
    assert!(land.asked().pop().unwrap().contains("login_hint=ann%40example.com"));
    let asked = land.asked().len();
    for user in ["bob@example.com", "carol"] {
        assert_eq!(refusal(&land.send(user, &json!({}))), (403, "user_required".to_owned()), "{user}");
    }
    assert_eq!(land.asked().len(), asked, "nobody was asked for them");
}

fn land_by(claim: &str) -> Land {
    let claim = claim.to_owned();
    land("ciba", &json!({}), |config| config["connections"][0]["credential"]["user_passthrough"]["ciba"]["login_hint"] = json!(claim))
}

#[test]
fn a_challenge_has_it_too() {
    let mut land = land("device_code", &json!({"consent": "challenge"}), |_| {});
    let answer = land.send("ann", &json!({}));
    let challenge = &answer.reply().headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap().1;
    assert!(
        challenge.contains("error_uri=\"https://hr.example/device?code=CODE-1\"") && challenge.contains("the code CODE-1"),
        "{challenge}"
    );
    let body: Value = serde_json::from_str(&answer.reply().body).unwrap();
    assert_eq!(body["error"]["data"][0]["metadata"]["userCode"], "CODE-1");
    land.decide("access_denied");
    land.pass(5);
    let answer = land.send("ann", &json!({}));
    assert_eq!(refusal(&answer), (401, "consent_required".to_owned()));
    assert!(answer.reply().body.contains("did not agree") && !answer.reply().body.contains("CODE"), "{answer:?}");
    land.decide(PENDING);
    assert!(land.send("ann", &json!({})).reply().body.contains("CODE-2"));
    // Any other operation is told where the user can agree.
    assert!(land.ask("ann", "GetTask", &json!({"id": "theirs"})).reply().body.contains("CODE-2"));
    let mut land = land_by("sub");
    let answer = land.ask("ann", "GetTask", &json!({"id": "theirs"}));
    assert_eq!(refusal(&answer), (401, "consent_required".to_owned()));
    assert!(answer.reply().body.contains("Agent hr ") && !answer.reply().body.contains("google.rpc.Help"), "{answer:?}");
}

#[test]
fn a_page_of_the_code_flow_does_not_lead_there() {
    let mut land = device();
    assert_eq!(land.own("ann", "GET", "/consent/start?link=abc").reply().status, 400);
    assert_eq!(land.send_as("service", "service", &json!({})).reply().status, 403);
}

/// What a server that pings shows, of the flow that began last.
fn notification(land: &Land) -> String {
    let begun = land.asked().pop().unwrap();
    let found = form_urlencoded::parse(begun.as_bytes()).find(|(name, _)| name == "client_notification_token");
    found.unwrap_or_else(|| panic!("{begun}")).1.into_owned()
}

fn ping(land: &mut Land, app: &str, token: &str, body: &str) -> u16 {
    let path = format!("/consent/ciba/{app}");
    let authorization = format!("Bearer {token}");
    let headers = [
        (":method", "POST"),
        (":path", &path),
        (":authority", "consent.example"),
        ("authorization", &authorization),
        ("content-type", "application/json"),
    ];
    land.request(&headers.map(|(name, value)| (name.to_owned(), value.to_owned())), body).reply().status
}

#[test]
fn a_ping_of_the_server_lets_the_next_request_ask_at_once() {
    let mut land = land("ciba", &json!({}), |config| {
        config["connections"][0]["credential"]["user_passthrough"]["ciba"]["delivery"] = json!("ping");
        let app = config["oauth_apps"]["hr"].clone();
        config["oauth_apps"]["other"] = app;
    });
    let task = land.send("ann", &json!({})).task();
    let token = notification(&land);
    assert!(token.len() < 1024 && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
    let own = json!({"auth_req_id": "request-secret-1"}).to_string();
    let polls = |land: &Land| times(land, "auth_req_id=request-secret-1");
    // Who has not the token is not heard, and it is for one registration and one request.
    let mut forged = token.clone().into_bytes();
    forged[40] ^= 1;
    for (app, token, body, status) in [
        ("hr", "guessed", own.as_str(), 401),
        ("hr", std::str::from_utf8(&forged).unwrap(), &own, 401),
        ("other", &token, &own, 401),
        ("nobody", &token, &own, 401),
        ("hr", &token, "", 400),
        ("hr", &token, "no JSON", 400),
        ("hr", &token, "{}", 400),
        ("hr", &token, &json!({"auth_req_id": "a".repeat(5000)}).to_string(), 413),
        ("hr", &token, &json!({"auth_req_id": "request-secret-2"}).to_string(), 204),
    ] {
        assert_eq!(ping(&mut land, app, token, body), status, "{app} {token} {body}");
        assert_eq!((state(&mut land, "ann", &task), polls(&land)), ("AUTH_REQUIRED".to_owned(), 0), "{app} {token} {body}");
    }
    assert_eq!(ping(&mut land, "hr", &token, &own), 204);
    assert_eq!(polls(&land), 0, "it is noted, and no more");
    assert_eq!((state(&mut land, "ann", &task), polls(&land)), ("AUTH_REQUIRED".to_owned(), 1));
    assert_eq!((state(&mut land, "ann", &task), polls(&land)), ("AUTH_REQUIRED".to_owned(), 1));
    data(&land.send("bob", &json!({})).task());
    let others = notification(&land);
    assert_ne!(others, token);
    land.decide("ann");
    assert_eq!(ping(&mut land, "hr", &others, &own), 204, "of another flow");
    assert_eq!(state(&mut land, "ann", &task), "AUTH_REQUIRED");
    assert_eq!(ping(&mut land, "hr", &token, &own), 204);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
    assert_eq!(ping(&mut land, "hr", &token, &own), 204, "it need not hear that it is over");
    let mut plain = ciba();
    plain.send("ann", &json!({}));
    assert!(!plain.asked().pop().unwrap().contains("client_notification_token"));
    assert_eq!(ping(&mut plain, "hr", &token, &own), 204, "with the same key");
}

#[test]
fn another_worker_goes_on_where_one_has_stopped() {
    for store in [json!({"memory": {}}), json!({"etcd": {"uri": "https://etcd.example:2379", "cluster": "etcd", "remember": "0s"}})] {
        let mut land = land("device_code", &json!({}), |config| {
            config["consent"]["store"] = store;
            // The server says itself where tokens are asked for.
            config["oauth_apps"]["hr"]["client"].as_object_mut().unwrap().remove("token_endpoint");
            config["oauth_apps"]["hr"]["issuer"] = json!("https://hr.example");
            config["oauth_apps"]["hr"]["discovery"] =
                json!({"uri": "https://hr.example/.well-known/openid-configuration", "cluster": "hr"});
            config["connections"][0]["credential"]["user_passthrough"]["bind"] = json!("link");
        });
        let task = land.send("ann", &json!({})).task();
        assert_eq!(data(&task)["user_code"], "CODE-1");
        land.restart();
        assert_eq!(land.send("ann", &json!({})).task()["id"], task["id"]);
        land.pass(5);
        land.decide("ann");
        assert_eq!(state(&mut land, "ann", &task), "INPUT_REQUIRED");
        land.restart();
        assert_eq!(land.send("ann", &json!({"taskId": task["id"]})).bearer(), "access-ann-1");
        let task = land.send("bob", &json!({})).task();
        assert_eq!(land.ask("bob", "CancelTask", &json!({"id": task["id"]})).result()["status"]["state"], "TASK_STATE_CANCELED");
        land.restart();
        assert_eq!(state(&mut land, "bob", &task), "CANCELED");
    }
}

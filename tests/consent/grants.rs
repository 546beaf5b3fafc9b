//! What users granted, and who may look after it: they themselves, and operators.

use super::land::{Answer, Browser, CALLBACK, Land, link as link_of};
use super::{ALLOWED, agree, agreed};
use serde_json::{Value, json};

#[test]
fn a_user_sees_what_was_granted_and_gives_it_up() {
    let mut land = Land::new(&json!({}));
    for user in ["ann", "bob"] {
        let link = link_of(&land.send(user, &json!({})).task());
        assert_eq!(agree(&mut land, user, &link), ALLOWED);
    }
    let listed = |land: &mut Land, user: &str| -> Vec<Value> {
        let answer = land.own(user, "GET", "/consent/grants");
        let body: Value = serde_json::from_str(&answer.reply().body).unwrap_or_else(|_| panic!("{answer:?}"));
        body["grants"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone()
    };
    let own = listed(&mut land, "ann");
    assert_eq!(own.len(), 1);
    assert_eq!(
        (&own[0]["connection"], &own[0]["client"], &own[0]["scopes"]),
        (&json!("hr"), &json!("orchestrator"), &json!(["openid", "tasks"]))
    );
    assert!(!own[0].to_string().contains("access-") && !own[0].to_string().contains("refresh-"), "{own:?}");
    let path = format!("/consent/grants/{}", own[0]["id"].as_str().unwrap());
    // It is nobody else's, and nothing without a token.
    assert_eq!(land.own("bob", "DELETE", &path).reply().status, 404);
    assert_eq!(land.own("Ann", "DELETE", &path).reply().status, 404);
    assert_eq!(land.own("service", "DELETE", &path).reply().status, 403);
    assert_eq!(Browser::default().get(&mut land, "/consent/grants").reply().status, 401);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
    assert_eq!(land.own("ann", "DELETE", &path).reply().status, 204);
    let last = land.asked().pop().unwrap();
    assert!(
        last.contains("token=refresh-ann-1") && last.contains("token_type_hint=refresh_token") && !last.contains("grant_type"),
        "{last}"
    );
    assert_eq!(land.send("ann", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED");
    assert_eq!((listed(&mut land, "ann").len(), listed(&mut land, "bob").len()), (0, 1));
    assert_eq!(land.own("ann", "DELETE", &path).reply().status, 404);
    assert_eq!(land.send("bob", &json!({})).bearer(), "access-bob-1");
}

fn grants(answer: &Answer) -> (Value, Vec<Value>) {
    let body: Value = serde_json::from_str(&answer.reply().body).unwrap_or_else(|_| panic!("{answer:?}"));
    (body["user"].clone(), body["grants"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone())
}

#[test]
fn an_operator_sees_and_revokes_what_others_granted() {
    let mut land = Land::with_operators(&json!([{"subjects": ["operator"]}, {"clients": ["none"]}]));
    for user in ["ann", "a+n n&"] {
        let link = link_of(&land.send(user, &json!({})).task());
        assert_eq!(agree(&mut land, user, &link), ALLOWED);
    }
    let (about, own) = grants(&land.own("operator", "GET", "/consent/grants?issuer=corp&user=ann"));
    assert_eq!((about, own.len()), (json!({"issuer": "corp", "subject": "ann"}), 1));
    assert_eq!(own[0]["connection"], "hr");
    let record = land.records.pop().unwrap();
    assert_eq!(
        (&record["operation"], &record["subject"], &record["about"], &record["decision"]),
        (&json!("ListGrants"), &json!("operator"), &json!({"issuer": "corp", "subject": "ann"}), &json!("allow"))
    );
    // Letter by letter, and decoded once.
    let found =
        |land: &mut Land, user: &str| grants(&land.own("operator", "GET", &format!("/consent/grants?issuer=corp&user={user}"))).1.len();
    assert_eq!((found(&mut land, "Ann"), found(&mut land, "an"), found(&mut land, "ann%20"), found(&mut land, "ann%00")), (0, 0, 0, 0));
    assert_eq!((found(&mut land, "%61nn"), found(&mut land, "a%2Bn+n%26"), found(&mut land, "a%252Bn+n%26")), (1, 1, 0));
    assert_eq!(grants(&land.own("operator", "GET", "/consent/grants?issuer=corp&user=ann&tenant=t")).1.len(), 0);
    for odd in [
        "issuer=corp",
        "user=ann",
        "issuer=none&user=ann",
        "issuer=corp&user=",
        "issuer=corp&user=ann&user=bob",
        "issuer=corp&user=%ff",
        "x",
        "",
    ] {
        let answer = land.own("operator", "GET", &format!("/consent/grants?{odd}"));
        assert_eq!(answer.reply().status, 400, "{odd}: {answer:?}");
    }
    // Without a user it is about the operator.
    assert_eq!(grants(&land.own("operator", "GET", "/consent/grants")), (Value::Null, Vec::new()));
    let id = own[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/consent/grants/{id}");
    assert_eq!(land.own("operator", "DELETE", &path).reply().status, 404);
    assert_eq!(land.own("operator", "DELETE", &format!("{path}?issuer=corp&user=bob")).reply().status, 404);
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
    assert_eq!(land.own("operator", "DELETE", &format!("{path}?issuer=corp&user=ann")).reply().status, 204);
    assert!(land.asked().pop().unwrap().contains("token=refresh-ann-1"));
    let record = land.records.pop().unwrap();
    assert_eq!(
        (&record["operation"], &record["subject"], &record["about"]["subject"], &record["connection"], &record["decision"]),
        (&json!("RevokeGrant"), &json!("operator"), &json!("ann"), &json!("hr"), &json!("allow"))
    );
    assert_eq!(land.send("ann", &json!({})).task()["status"]["state"], "TASK_STATE_AUTH_REQUIRED");
}

#[test]
fn for_anyone_but_an_operator_the_query_is_not_there() {
    let without = |land: &mut Land, user: &str, method: &str, path: &str| land.own(user, method, path).reply().clone();
    for mut land in [Land::with_operators(&json!({"subjects": ["operator"]})), Land::new(&json!({}))] {
        for user in ["ann", "bob"] {
            let link = link_of(&land.send(user, &json!({})).task());
            assert_eq!(agree(&mut land, user, &link), ALLOWED);
        }
        let id = grants(&land.own("ann", "GET", "/consent/grants")).1[0]["id"].as_str().unwrap().to_owned();
        for query in ["?issuer=corp&user=ann", "?issuer=none&user=ann", "?user=ann", "?issuer=corp&user=nobody", "?x&x"] {
            for user in ["bob", "Operator", "service"] {
                for (method, path) in [("GET", "/consent/grants".to_owned()), ("DELETE", format!("/consent/grants/{id}"))] {
                    assert_eq!(
                        without(&mut land, user, method, &format!("{path}{query}")),
                        without(&mut land, user, method, &path),
                        "{user} {query}"
                    );
                    assert!(land.records.iter().all(|record| record.get("about").is_none()));
                }
            }
        }
        assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1");
        land.records.clear();
        assert_eq!(land.own("ann", "DELETE", &format!("/consent/grants/{id}?issuer=corp&user=bob")).reply().status, 204, "it is her own");
        assert_eq!((&land.records[0]["operation"], land.records[0].get("about")), (&json!("RevokeGrant"), None));
        assert_eq!(land.send("bob", &json!({})).bearer(), "access-bob-1");
    }
}

#[test]
fn a_record_has_the_status_of_the_answer() {
    let mut land = Land::new(&json!({}));
    assert_eq!(land.send("ann", &json!({})).reply().status, 200);
    let record = land.records.pop().unwrap();
    assert_eq!((&record["decision"], &record["reason"], &record["status"]), (&json!("deny"), &json!("consent_required"), &json!(200)));
    let mut land = Land::new(&json!({"consent": "challenge"}));
    assert_eq!(land.send("ann", &json!({})).reply().status, 401);
    assert_eq!(land.records.pop().unwrap()["status"], 401);
}

#[test]
fn the_last_page_has_the_scopes_that_were_given() {
    let mut land = Land::new(&json!({}));
    land.lie("scope");
    let link = link_of(&land.send("ann", &json!({})).task());
    let page = agreed(&mut land, &link, CALLBACK, &[("code", "ann"), ("iss", "https://hr.example")]);
    let body = &page.reply().body;
    let (given, withheld) = body.split_once("Not given").unwrap();
    assert!(given.contains("<bdi>openid</bdi>") && given.contains("<bdi>more</bdi>") && !given.contains("<bdi>tasks</bdi>"), "{body}");
    assert!(withheld.contains("<bdi>tasks</bdi>") && !withheld.contains("openid"), "{body}");
    assert_eq!(grants(&land.own("ann", "GET", "/consent/grants")).1[0]["scopes"], json!(["openid", "more"]));
    assert_eq!(land.send("ann", &json!({})).bearer(), "access-ann-1", "what was withheld is not asked for again");
    let link = link_of(&land.send("bob", &json!({})).task());
    land.tell_the_truth();
    assert_eq!(agree(&mut land, "bob", &link), ALLOWED);
}

//! Every row of `tests/attacks/tokens.json` through the module: with a host that verifies, and with one that does not.

use super::given::{all, pairs};
use super::host::Host;
use super::vm::{Verdict, Vm};
use serde_json::{Value, json};

fn run(verifies: bool) {
    let file: Value = serde_json::from_str(include_str!("../attacks/tokens.json")).unwrap();
    let names: Vec<&Value> = file["issuers"].as_array().unwrap().iter().map(|issuer| &issuer["name"]).collect();
    let configuration = json!({
        "issuers": file["issuers"],
        "schemes": {"oauth2": {"bearer": {"issuers": names}}},
        "agents": [{"name": "expense", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"1.0": {"bindings": ["http_json"]}},
                    "default_version": "1.0", "security": [{"oauth2": []}]}],
        "secrets": {"hmac": {"env": "HMAC"}}
    });
    let environment = vec![format!("HMAC={}", file["secret"].as_str().unwrap())];
    let mut vm = Vm::with(Host { verifies, environment, ..Host::default() }, &configuration);
    let mut wrong = Vec::new();
    for row in file["rows"].as_array().unwrap() {
        let path = format!("/tasks/t{}", row["query"].as_str().unwrap_or_default());
        let mut headers = pairs(&[(":authority", "a"), (":path", &path), (":method", "GET"), (":scheme", "https")]);
        for header in row["headers"].as_array().unwrap() {
            headers.extend(pairs(&[(header[0].as_str().unwrap(), header[1].as_str().unwrap())]));
        }
        let verdict = vm.request(&headers, &[]);
        if row["expect"] != verdict.reason() {
            wrong.push(format!("{}: {}, not {}", row["name"], verdict.reason(), row["expect"]));
        }
        if let Verdict::Passed(sent, _) = &verdict {
            let told = all(sent, "x-attache").concat();
            let is_user = row["name"].as_str().unwrap().starts_with("Entra: a user");
            assert!(!is_user || told.contains("kind=\"user\""), "{}", row["name"]);
            let is_service = row["name"].as_str().unwrap().starts_with("Entra: a service");
            assert!(!is_service || told.contains("kind=\"service\""), "{}", row["name"]);
            let acts = row["name"].as_str().unwrap().starts_with("an actor that is the allowed one");
            assert_eq!(told.contains("actor=\"https://agent.example.com\""), acts, "{}", row["name"]);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!format!("{:?}{:?}", vm.host().log, vm.host().calls).contains(file["secret"].as_str().unwrap()));
}

#[test]
fn a_host_that_verifies() {
    run(true);
}

#[test]
fn a_host_that_does_not() {
    run(false);
}

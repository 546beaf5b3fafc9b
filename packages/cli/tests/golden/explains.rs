//! `attache explain`: each golden case of the filter that is one request is explained, and the decision is that of the case.

#[allow(dead_code, reason = "cases are played by the command here")]
#[path = "../../../../tests/golden/player.rs"]
mod player;

use super::{command, golden, here, root, run, scratch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

fn folder(name: &str) -> PathBuf {
    let folder = scratch(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn written(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What these show depends on which part of a body comes when: here all of it comes at once.
const LATE: [&str; 5] = [
    "without header hold a body that is cut by the wait is read whole",
    "a body that is longer than announced is cut off",
    "another: reported, where it comes late",
    "with the announced length it is whole, and nothing may follow",
    "a body that was looked at has an end, also where nothing changed",
];

/// What the command is asked for a case.
struct Asked {
    arguments: Vec<String>,
    /// Secrets, as the environment has them.
    variables: Vec<(String, String)>,
    request: Value,
}

/// A case as the command takes it; `None` if it is more than one request and what is fetched for it.
fn asked(case: &Value, configs: &Value, folder: &Path) -> Option<Asked> {
    if LATE.contains(&case["name"].as_str().unwrap()) {
        return None;
    }
    let config = player::configuration(case, configs);
    let file = written(folder, "config.json", &config.to_string());
    let mut asked = Asked {
        arguments: ["explain", "--json", "--config", &file].map(str::to_owned).to_vec(),
        variables: Vec::new(),
        request: Value::Null,
    };
    let (mut headers, mut body, mut is_whole) = (Vec::new(), Vec::new(), false);
    let events = case["events"].as_array().unwrap();
    if events.iter().filter(|event| event.get("headers").is_some()).count() > 1 {
        return None;
    }
    for event in events {
        let event = event.as_object().unwrap();
        // Padding, answers of the agent, and times.
        if ["bytes", "fetched", "later", "response", "response_body", "withheld"].iter().any(|name| event.contains_key(*name)) {
            return None;
        }
        if let Some(list) = event.get("headers").and_then(Value::as_array) {
            for pair in list {
                headers.push(json!([pair[0], String::from_utf8(player::header_value(&pair[1])).ok()?]));
            }
            let peer = event.get("peer").and_then(Value::as_object).into_iter().flatten();
            asked.arguments.extend(peer.flat_map(|(name, value)| [format!("--peer-{name}"), value.as_str().unwrap().to_owned()]));
        }
        if let Some(part) = event.get("body") {
            body.extend(player::body(part));
        }
        is_whole |= event.get("end") == Some(&json!(true));
        for (name, option) in [("keys", "--keys"), ("card", "--card"), ("introspection", "--introspection"), ("route", "--route")] {
            let Some(value) = event.get(name) else { continue };
            if value.is_u64() {
                return None;
            }
            let content = if name == "keys" { player::jwks() } else { value.clone() };
            let path = written(folder, &format!("{name}.json"), &content.to_string());
            asked.arguments.extend([
                option.to_owned(),
                match name {
                    "keys" => format!("{}={path}", config["issuers"][0]["name"].as_str().unwrap()),
                    "card" => format!("{}={path}", config["agents"][0]["name"].as_str().unwrap()),
                    "route" => value.as_str().unwrap().to_owned(),
                    _ => path,
                },
            ]);
        }
    }
    let now = case["now"].as_u64().unwrap_or(1000);
    asked.arguments.extend(["--at".to_owned(), now.to_string()]);
    for (name, secret) in config["secrets"].as_object().into_iter().flatten() {
        let value = case["secrets"].get(name)?.as_str()?;
        asked.variables.push((secret["env"].as_str()?.to_owned(), value.to_owned()));
    }
    // A body of no bytes is none here.
    is_whole &= !body.is_empty() || case["events"][0]["end"] == true;
    asked.request = json!({"headers": headers, "body_base64": STANDARD.encode(body)});
    is_whole.then_some(asked)
}

fn explained(asked: &Asked) -> (String, i32) {
    let mut command = command();
    command.args(&asked.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(asked.variables.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(asked.request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (text, output.status.code().unwrap())
}

/// The effects of a case, whichever event they follow.
fn effects(case: &Value) -> Vec<&Value> {
    case["effects"].as_array().unwrap().iter().filter_map(Value::as_array).flatten().collect()
}

/// Whether what is explained is what the case expects: decision, reason, answer, and what goes on.
fn compared(case: &Value, said: &Value) -> Result<(), String> {
    let effects = effects(case);
    let mut record = effects.iter().filter_map(|effect| {
        let short = effect.as_str().and_then(|text| text.strip_prefix("record ")).map(|text| text.to_owned());
        let whole = effect.get("record").map(|record| {
            let reason = record["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
            format!("{}{reason}", record["decision"].as_str().unwrap())
        });
        short.or(whole)
    });
    let told = said["record"]["decision"].as_str().map(|decision| {
        let reason = said["record"]["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
        format!("{decision}{reason}")
    });
    if let Some(expected) = record.next_back()
        && told.as_ref() != Some(&expected)
    {
        return Err(format!("decided {told:?}, not {expected}"));
    }
    ruled(said)?;
    if let Some(code) = effects.iter().find_map(|effect| effect.get("grpc-status")) {
        let headers = said["answer"]["headers"].as_array().into_iter().flatten();
        let told = headers.filter(|pair| pair[0] == "grpc-status").map(|pair| pair[1].clone()).next_back();
        return if told == Some(json!(code.to_string())) { Ok(()) } else { Err(format!("grpc-status {told:?}, not {code}")) };
    }
    if let Some(reply) = effects.iter().find(|effect| effect.get("reply").is_some()) {
        if said["answer"]["status"] != reply["reply"] {
            return Err(format!("status {}, not {}", said["answer"]["status"], reply["reply"]));
        }
        let body = if reply["body"].is_null() { json!("") } else { reply["body"].clone() };
        if said["answer"]["body"] != body {
            return Err(format!("body {}, not {body}", said["answer"]["body"]));
        }
        return Ok(());
    }
    if said["answer"].is_null() {
        let upstream: Map<String, Value> = said["upstream"]["headers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].clone()))
            .collect();
        for effect in effects.iter().filter_map(|effect| effect.as_str()) {
            if let Some((name, value)) = effect.strip_prefix("set ").and_then(|set| set.split_once(": "))
                && value != "[redacted]"
                // These can hold credentials of the client, and are not shown.
                && ![":path", "cookie"].contains(&name)
                && upstream.get(name) != Some(&json!(value))
            {
                return Err(format!("{name} is {:?}, not {value}", upstream.get(name)));
            }
        }
    }
    Ok(())
}

/// The rule that is said to decide is the one that decided.
fn ruled(said: &Value) -> Result<(), String> {
    let Some(rules) = said["rules"].as_array() else { return Ok(()) };
    let deciding = rules.iter().find(|rule| rule["decides"] == true);
    let told = deciding.map(|rule| rule["rule"].as_str().unwrap());
    let detail = said["record"]["detail"].as_str().unwrap_or_default();
    let of_record = detail.split_once("].access[").and_then(|(_, rest)| Some(format!("access[{}]", rest.split_once(']')?.0)));
    match (&of_record, said["record"]["decision"].as_str()) {
        (Some(place), Some("deny")) if told != Some(place.as_str()) => Err(format!("{place} decided, explained is {told:?}")),
        (_, Some("allow")) if deciding.is_none_or(|rule| rule["met"] != true) => Err(format!("allowed, explained is {rules:?}")),
        _ => Ok(()),
    }
}

/// Explains every case of `tests/golden/<room>.json`: how many there were, and what came out otherwise.
fn explained_of(room: &Path, configs: &Value) -> (usize, Vec<String>) {
    let name = room.file_stem().unwrap().to_str().unwrap();
    let folder = folder(&format!("explained/{name}"));
    let cases: Value = serde_json::from_str(&fs::read_to_string(room).unwrap()).unwrap();
    let (mut count, mut wrong) = (0, Vec::new());
    for case in cases.as_array().unwrap() {
        let Some(asked) = asked(case, configs, &folder) else { continue };
        let (text, status) = explained(&asked);
        let Ok(said) = serde_json::from_str::<Value>(&text) else {
            // The case ends before the card is there.
            let waits =
                effects(case).last().is_some_and(|last| *last == "pause") && text.contains("the card of agent \"expense\" is needed");
            if !waits || status != 2 {
                wrong.push(format!("{name}: {}: {text}", case["name"]));
            }
            continue;
        };
        count += 1;
        if let Err(error) = compared(case, &said) {
            wrong.push(format!("{name}: {}: {error}", case["name"]));
        }
        if status != i32::from(said["record"]["decision"] == "deny") {
            wrong.push(format!("{name}: {}: status {status}", case["name"]));
        }
        for credential in player::credentials(case).iter().filter(|credential| text.contains(*credential)) {
            wrong.push(format!("{name}: {}: {credential} is in {text}", case["name"]));
        }
    }
    (count, wrong)
}

#[test]
fn each_golden_case_is_explained_as_it_is_decided() {
    let golden = root().join("tests/golden");
    let configs: Value = serde_json::from_str(&fs::read_to_string(golden.join("configs.json")).unwrap()).unwrap();
    let mut rooms: Vec<PathBuf> = fs::read_dir(&golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    rooms.retain(|path| path.extension().is_some_and(|ending| ending == "json") && !path.ends_with("configs.json"));
    let all: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let rooms: Vec<_> = rooms.iter().map(|room| scope.spawn(|| explained_of(room, &configs))).collect();
        rooms.into_iter().map(|room| room.join().unwrap()).collect()
    });
    let wrong: Vec<&String> = all.iter().flat_map(|(_, wrong)| wrong).collect();
    let count: usize = all.iter().map(|(count, _)| count).sum();
    assert!(wrong.is_empty(), "{} of {count}:\n{wrong:#?}", wrong.len());
    assert!(count > 600, "{count}");
}

/// Explanations as people read them.
#[test]
fn requests_are_explained_in_these_words() {
    let folder = here().join("explain");
    let mut all = String::new();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ["http", "curl", "har", "request"].iter().any(|own| ending == *own)));
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let (text, status) =
            run(&folder, &["explain", "--config", "config.json", "--keys", "corp=keys.json", "--at", "1800000000", name], "");
        all.push_str(&format!("## {name}\n{text}status {status}\n\n"));
    }
    golden(&here().join("explain.txt"), &all);
}

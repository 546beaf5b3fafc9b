//! Lists of owned tasks against a model of them that has the whole document: whatever an agent writes and however it comes, a caller
//! is shown its own tasks and no mark.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attache::ownership::{Answer, Keys, List, Owner, Party, Plans, Subject, Tagger, Tenant};
use attache::protocol::{Binding, Operation, Version};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::rc::Rc;

const KEY: &str = "https://example.com/owner";

/// Numbers that are always the same (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

fn tagger(subject: &str) -> Rc<Tagger> {
    let secret = SecretString::from("0123456789abcdef0123456789abcdef");
    let keys = Rc::new(Keys::new(std::iter::once(("k1", &secret))));
    let party = Party { origin: ("issuer", "https://auth.example"), tenant: None, subject: Some(subject), client: None, is_user: true };
    let tagger = Tagger::new(keys, Owner::of("expense", &party).unwrap());
    assert!(tagger.settle(Tenant::NONE));
    Rc::new(tagger)
}

/// Metadata, with the mark of somebody or none, first or last or among others.
fn metadata(numbers: &mut Numbers, marks: &[Value]) -> Value {
    let mut pairs: Vec<(&str, Value)> = vec![("a", json!("\",{")), ("b", json!({KEY: "free", "c": [1, {}]})), ("Z", json!(null))];
    pairs.truncate(numbers.below(4));
    if numbers.below(2) == 0 {
        pairs.insert(numbers.below(pairs.len() + 1), (KEY, numbers.of(marks)));
    }
    // In this order; a map would sort them.
    let text: Vec<_> = pairs.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    Value::String(format!("{{{}}}", text.join(",")))
}

/// One value, of which texts that begin with a bracket are JSON already, with white space wherever it may be.
fn write(value: &Value, numbers: &mut Numbers, out: &mut String) {
    let space = |numbers: &mut Numbers, out: &mut String| out.push_str(numbers.of(&["", "", "", " ", "\n ", "\t"]));
    space(numbers, out);
    match value {
        Value::String(text) if text.starts_with('{') => write(&serde_json::from_str::<Ordered>(text).unwrap().0, numbers, out),
        Value::Array(list) if list.first() == Some(&json!("object")) => {
            out.push('{');
            for (place, pair) in list[1..].iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                space(numbers, out);
                let name = pair[0].as_str().unwrap();
                let name = if numbers.below(6) == 0 { name.replace('e', "\\u0065").replace('/', "\\/") } else { name.to_owned() };
                out.push_str(&format!("\"{name}\""));
                space(numbers, out);
                out.push(':');
                write(&pair[1], numbers, out);
            }
            space(numbers, out);
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for (place, value) in list.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                write(value, numbers, out);
            }
            space(numbers, out);
            out.push(']');
        }
        Value::Object(map) => {
            let pairs = map.iter().map(|(name, value)| json!([name, value]));
            write(&std::iter::once(json!("object")).chain(pairs).collect(), numbers, out);
        }
        other => out.push_str(&other.to_string()),
    }
    space(numbers, out);
}

/// An object as a list of its members, in their order.
struct Ordered(Value);

impl<'de> serde::Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Ordered;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut list = vec![json!("object")];
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    list.push(json!([name, value]));
                }
                Ok(Ordered(list.into()))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

fn task(numbers: &mut Numbers, marks: &[Value], number: usize) -> Value {
    let mut task = json!({"id": format!("t{number}"), "status": {"state": "TASK_STATE_WORKING"}});
    let message = |numbers: &mut Numbers| {
        let mut message = json!({"messageId": numbers.below(100).to_string(), "parts": [{"text": "[{\"", "metadata": {"x": 1}}]});
        if numbers.below(8) > 0 {
            message["role"] = json!(numbers.of(&["ROLE_USER", "ROLE_USER", "ROLE_AGENT", "user", "agent", "USER"]));
        }
        if numbers.below(4) > 0 {
            message["metadata"] = metadata(numbers, marks);
        }
        message
    };
    if numbers.below(6) > 0 {
        task["history"] = (0..numbers.below(4)).map(|_| message(numbers)).collect();
    }
    if numbers.below(3) == 0 {
        task["status"]["message"] = message(numbers);
        task["metadata"] = metadata(numbers, marks);
        task["artifacts"] = json!([{"artifactId": "a", "metadata": metadata(numbers, marks)}, {}]);
    }
    task
}

/// What a reader makes of `task`, without marks in the places that have them, with the tag of ann's.
fn shown(task: &Value, ann: &Tagger, most: Option<usize>) -> Value {
    let clean = |value: &mut Value| {
        if let Some(map) = value.get_mut("metadata").and_then(Value::as_object_mut)
            && map.get(KEY).is_some_and(Value::is_string)
        {
            map.remove(KEY);
        }
    };
    let mut task = task.clone();
    clean(&mut task);
    clean(&mut task["status"]["message"]);
    if task["status"]["message"].is_null() {
        task["status"].as_object_mut().unwrap().remove("message");
    }
    for list in ["history", "artifacts"] {
        task.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(clean);
    }
    if let (Some(history), Some(most)) = (task.get_mut("history").and_then(Value::as_array_mut), most) {
        history.drain(..history.len().saturating_sub(most));
    }
    task["id"] = json!(ann.tagged(Subject::Task, task["id"].as_str().unwrap()).unwrap());
    task
}

fn is_own(task: &Value, ann: &Value) -> bool {
    let users = |message: &&Value| ["ROLE_USER", "user"].contains(&message["role"].as_str().unwrap_or_default());
    task["history"].as_array().into_iter().flatten().filter(users).any(|message| message["metadata"][KEY] == *ann)
}

#[test]
fn a_list_is_what_a_reader_of_all_of_it_would_show() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let ann = tagger("ann");
    let marks =
        [json!(ann.mark().unwrap()), json!(ann.mark().unwrap()), json!(tagger("bob").mark().unwrap()), json!("x"), json!(7), json!(null)];
    let plans = Plans::new(Some(KEY));
    let (mut listed, mut left_out) = (0, 0);
    for round in 0..3000 {
        let binding = numbers.of(&[Binding::Jsonrpc, Binding::HttpJson]);
        let tasks: Vec<_> = (0..numbers.below(5)).map(|number| task(&mut numbers, &marks, number)).collect();
        let list = json!({"tasks": tasks, "totalSize": 99, "nextPageToken": numbers.of(&["", "next"]), "pageSize": 7});
        let answer = if binding == Binding::Jsonrpc { json!({"jsonrpc": "2.0", "id": "r", "result": list}) } else { list };
        let mut text = String::new();
        write(&answer, &mut numbers, &mut text);
        let read: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let most = numbers.of(&[None, None, Some(0), Some(1), Some(2), Some(9)]);
        let plain = if binding == Binding::Jsonrpc { &read["result"] } else { &read };
        let own: Vec<_> = plain["tasks"].as_array().unwrap().iter().filter(|task| is_own(task, &marks[0])).collect();
        let places = plans.answer(binding, Operation::ListTasks, Version::V1_0).unwrap();
        let mut filter = List::new(Rc::clone(places), Rc::clone(&ann), None, most.map(|most| u32::try_from(most).unwrap()));
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at((numbers.below(40) + 1).min(rest.len()));
            filter.feed(chunk).unwrap_or_else(|error| panic!("{error}: {text}"));
            rest = behind;
        }
        let out: Value = serde_json::from_slice(&filter.end(true).unwrap()).unwrap();
        let token = match plain["nextPageToken"].as_str().unwrap() {
            "" => String::new(),
            token => ann.sealed(token).unwrap(),
        };
        let expected: Vec<_> = own.iter().map(|task| shown(task, &ann, most)).collect();
        let expected = json!({"totalSize": own.len(), "tasks": expected, "nextPageToken": token, "pageSize": 7});
        let expected = if binding == Binding::Jsonrpc { json!({"jsonrpc": "2.0", "id": "r", "result": expected}) } else { expected };
        assert_eq!(out, expected, "{round}: {text}");
        listed += own.len();
        left_out += plain["tasks"].as_array().unwrap().len() - own.len();
    }
    assert!(listed > 300 && left_out > 3000, "{listed} {left_out}");
}

#[test]
fn an_answer_is_what_a_reader_of_all_of_it_would_show() {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let ann = tagger("ann");
    let marks = [json!(ann.mark().unwrap()), json!("x"), json!(["x"]), json!(true)];
    let plans = Plans::new(Some(KEY));
    for round in 0..3000 {
        let mut text = String::new();
        write(&task(&mut numbers, &marks, round), &mut numbers, &mut text);
        let is_stream = numbers.below(2) == 0;
        let read: Value = serde_json::from_str(&text).unwrap();
        if is_stream {
            let line = numbers.of(&["\ndata:", "\ndata: ", "\n: beat\ndata:"]);
            text = format!("data: {}\n\n", text.trim().replace('\n', line));
        }
        let places = plans.answer(Binding::HttpJson, Operation::GetTask, Version::V1_0).unwrap();
        let mut answer = Answer::new(Rc::clone(places), Rc::clone(&ann), None, is_stream);
        let (mut rest, mut out) = (text.as_bytes(), Vec::new());
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at((numbers.below(40) + 1).min(rest.len()));
            out.extend(answer.feed(chunk).unwrap_or_else(|error| panic!("{error}: {text}")));
            rest = behind;
        }
        answer.end().unwrap();
        let mut out = String::from_utf8(out).unwrap();
        if is_stream {
            let data = out.lines().filter_map(|line| line.strip_prefix("data:")).map(|line| line.strip_prefix(' ').unwrap_or(line));
            out = data.collect::<Vec<_>>().join("\n");
        }
        let mut out: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} of {text}"));
        // Behind a line of another field only the mark's value goes.
        if is_stream && text.contains(": beat") {
            forget_null(&mut out);
            let mut expected = shown(&read, &ann, None);
            forget_null(&mut expected);
            assert_eq!(out, expected, "{round}: {text}");
        } else {
            assert_eq!(out, shown(&read, &ann, None), "{round}: {text}");
        }
    }
}

/// Takes members called as the mark away that are `null`.
fn forget_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| name != KEY || !value.is_null());
            map.values_mut().for_each(forget_null);
        }
        Value::Array(list) => list.iter_mut().for_each(forget_null),
        _ => {}
    }
}

//! The schema beside the reader: the same members and choices at every place, the same defaults, and no rule of its own.

use super::corpus::{changed, good, is_taken, read as file};
use super::validator;
use super::walk::{Step, along, every, forms, place};
use attache::config::Config;
use attache::config::schema::marked;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A document that leads to `inner` by `steps`.
fn leading(steps: &[Step], inner: Value) -> Value {
    steps.iter().rev().fold(inner, |inner, step| match step {
        Step::Member(name) => json!({ name: inner }),
        Step::Any => json!({"x": inner}),
        Step::Element => json!([inner]),
    })
}

/// What the reader says it expects in place of `?`: names in backticks, behind which nothing else has some.
fn expected(document: &Value) -> Result<BTreeSet<String>, String> {
    let error = Config::parse(document.to_string().as_bytes()).unwrap_err().to_string();
    let list = error.split_once(", expected ").map(|(_, list)| list).or(error.contains("there are no fields").then_some(""));
    let list = list.filter(|_| error.contains("unknown ")).ok_or_else(|| error.clone())?;
    Ok(list.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Readers of their own: they name what they take in words.
const IN_WORDS: [&str; 9] = [
    "agents[].access[].operations[]",
    "agents[].forward.headers.*",
    "agents[].forward.headers.*.member",
    "agents[].forward.headers.preset",
    "agents[].security",
    "agents[].versions",
    "connections[].operations[]",
    "secrets.*",
    "secrets.*.http.headers.*",
];

/// A document that leads to `inner` by `steps`. What is read when all else is good stands in a good one.
fn document(steps: &[Step], inner: Value) -> Value {
    let document = leading(steps, inner);
    match document.pointer("/agents/0/forward") {
        Some(forward) => changed(&file("tests/mistakes.json")["base"], &json!({"/agents/0/forward": forward})),
        None => document,
    }
}

/// Whether the reader takes each of `names` at `steps`, where `probe` is an error.
fn takes_each(steps: &[Step], names: &BTreeSet<String>, probe: &Value) -> bool {
    let place = |value: Value| Config::parse(document(steps, value).to_string().as_bytes()).err().map(|error| error.place().to_owned());
    let refused = place(probe.clone());
    probe.is_string() && refused.is_some() && names.iter().all(|name| place(json!(name)) != refused)
}

#[test]
fn the_reader_and_the_schema_have_the_same_members_and_choices() {
    let root = marked();
    let (mut checked, mut in_words, mut wrong) = (0, BTreeSet::new(), Vec::new());
    every(&root, &mut |steps, schema| {
        let forms = forms(&root, schema);
        let names = |form: &&Value| form["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let closed: Vec<&Value> = forms.iter().copied().filter(|form| form["additionalProperties"] == json!(false)).collect();
        let members: BTreeSet<String> = closed.iter().flat_map(names).collect();
        let listed = |form: &&Value| form["enum"].as_array().cloned().unwrap_or_default().into_iter().chain(form.get("const").cloned());
        let choices: BTreeSet<String> = forms.iter().flat_map(listed).map(|choice| choice.as_str().unwrap().to_owned()).collect();
        let place = place(steps);
        // An object of choices is told together with the words that choose.
        let chooses = closed.iter().any(|form| form["maxProperties"] == json!(1));
        let probes = [
            (!closed.is_empty(), json!({"?": 0}), if chooses { &members | &choices } else { members.clone() }),
            (!choices.is_empty(), json!("?"), if chooses { &members | &choices } else { choices.clone() }),
        ];
        for (is_there, probe, own) in probes {
            if !is_there {
                continue;
            }
            checked += 1;
            match expected(&document(steps, probe.clone())) {
                Ok(said) if said == own => {}
                Ok(said) => wrong.push(format!("{place}: the schema has {own:?}, the reader {said:?}")),
                Err(words) => {
                    let is_named = own.iter().all(|name| words.contains(name.as_str()));
                    if !is_named && !takes_each(steps, &own, &probe) {
                        wrong.push(format!("{place} {probe}: the schema has {own:?}, the reader says {words:?}"));
                    }
                    in_words.insert(place.clone());
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 150, "{checked}");
    assert_eq!(in_words, IN_WORDS.iter().map(|place| (*place).to_owned()).collect(), "places whose reader says it in words of its own");
}

fn read(config: &Value) -> Option<String> {
    Config::parse(config.to_string().as_bytes()).ok().map(|config| format!("{config:?}"))
}

#[test]
fn what_is_left_out_is_what_the_schema_says() {
    let root = marked();
    // By where the schema itself is: a definition stands at many places.
    let mut tried: BTreeMap<*const Value, usize> = BTreeMap::new();
    for (source, config) in good() {
        let plain = read(&config).unwrap();
        let mut additions = Vec::new();
        along(&root, &config, &mut |pointer, steps, schema, value| {
            let Value::Object(members) = value else { return };
            for form in forms(&root, schema) {
                for (name, member) in form["properties"].as_object().into_iter().flatten().filter(|(name, _)| !members.contains_key(*name))
                {
                    let times = tried.entry(std::ptr::from_ref(member)).or_default();
                    if let Some(default) = member.get("default").filter(|_| *times < 3) {
                        *times += 1;
                        additions.push((pointer.to_owned(), name.clone(), default.clone(), format!("{}.{name}", place(steps))));
                    }
                }
            }
        });
        for (pointer, name, default, place) in additions {
            let mut changed = config.clone();
            changed.pointer_mut(&pointer).unwrap()[&name] = default.clone();
            assert_eq!(read(&changed).as_ref(), Some(&plain), "{source}: {place} is not {default} when it is left out");
        }
    }
    let mut untried = BTreeSet::new();
    every(&root, &mut |steps, schema| {
        if schema.get("default").is_some() && tried.get(&std::ptr::from_ref(schema)).is_none_or(|times| *times == 0) {
            untried.insert(place(steps));
        }
    });
    assert!(untried.is_empty(), "no configuration leaves out {untried:?}");
}

/// What is put in the place of every part of every configuration.
fn odd() -> Vec<Value> {
    vec![
        json!(0),
        json!(-1),
        json!(1),
        json!(1e20),
        json!(0.5),
        json!(true),
        json!(""),
        json!("?"),
        json!("*"),
        json!("5s"),
        json!("0s"),
        json!("A b"),
        json!("/a"),
        json!("/a/"),
        json!("https://a"),
        json!([]),
        json!([""]),
        json!({}),
        json!({"?": 1}),
        json!(vec!["a"; 20]),
    ]
}

#[test]
fn the_schema_refuses_nothing_that_the_filter_takes() {
    let (root, validator) = (marked(), validator());
    let (mut seen, mut refused, mut wrong) = (BTreeSet::new(), 0, Vec::new());
    for (source, config) in good() {
        let mut pointers = Vec::new();
        along(&root, &config, &mut |pointer, steps, _, _| {
            if !pointer.is_empty() && seen.insert(place(steps)) {
                pointers.push((pointer.to_owned(), place(steps)));
            }
        });
        for (pointer, place) in pointers {
            for value in odd() {
                let mut changed = config.clone();
                *changed.pointer_mut(&pointer).unwrap() = value.clone();
                if validator.is_valid(&changed) {
                    continue;
                }
                refused += 1;
                if is_taken(&changed) {
                    wrong.push(format!("{source}: {place}: the filter takes {value}, the schema does not"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() > 300 && refused > 3000, "{} places, {refused} refused", seen.len());
}

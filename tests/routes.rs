//! The routes of A2A, method by method, as its specifications and the official SDKs have them. `routes/routes.json` names for each who
//! has it; here it is held against what the filter takes and against the routers of the installed SDKs, in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod script;

use attache::config::{Agent, Config};
use attache::protocol::{Binding, Operation, Version, grpc};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::LazyLock;

static TABLE: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(include_str!("routes/routes.json")).unwrap());

/// What the table has of HTTP+JSON, JSON-RPC or gRPC.
fn rows(binding: &str) -> impl Iterator<Item = (&'static str, Operation, Version, BTreeSet<&'static str>)> {
    TABLE[binding].as_array().unwrap().iter().map(|row| {
        let text = |member: &str| row[member].as_str().unwrap();
        let operation = Operation::ALL.into_iter().find(|operation| operation.name() == text("operation")).unwrap();
        (text("request"), operation, version(text("version")), words(&row["sources"]))
    })
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

fn version(text: &str) -> Version {
    serde_json::from_value(json!(text)).unwrap()
}

/// An agent that offers these versions, all at its prefix.
fn agent(versions: &[Version]) -> Rc<Agent> {
    let offer = |version: &Version| (version.as_str().to_owned(), json!({"bindings": ["jsonrpc", "http_json"]}));
    let config = json!({
        "schemes": {"open": {"none": {}}},
        "agents": [{"name": "a", "match": {"hosts": ["a"], "path_prefix": "/"}, "security": [{"open": []}],
            "versions": versions.iter().map(offer).collect::<serde_json::Map<_, _>>()}],
    });
    Config::parse(config.to_string().as_bytes()).unwrap().agents.remove(0)
}

/// What `agent` takes a request for.
fn taken(agent: &Agent, method: &str, path: &str) -> Option<(Operation, Version)> {
    let (operation, version, _) = agent.offered().route(method, path)?;
    agent.offers(version, Binding::HttpJson).then_some((operation, version))
}

/// A path for `template`, with something of ours in each gap.
fn filled(template: &str) -> String {
    let mut names = ["acme", "t-1", "c-1"].iter();
    let skipped = usize::from(!template.starts_with("/{}"));
    let mut names = names.by_ref().skip(skipped);
    let mut path = template.to_owned();
    while path.contains("{}") {
        path = path.replacen("{}", names.next().unwrap(), 1);
    }
    path
}

/// Whether `path` has the form of `template`.
fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    let same = |(wanted, segment): (&&str, &&str)| match wanted.strip_prefix("{}") {
        Some(verb) => segment.len() > verb.len() && segment.ends_with(verb),
        None => wanted == segment,
    };
    template.len() == path.len() && template.iter().zip(&path).all(same)
}

#[test]
fn the_filter_takes_every_route_of_the_table() {
    for (request, operation, version, sources) in rows("http_json") {
        assert!(!sources.is_empty(), "{request}");
        let (method, template) = request.split_once(' ').unwrap();
        assert_eq!(taken(&agent(&[version]), method, &filled(template)), Some((operation, version)), "{request}");
    }
    for (method, operation, version, _) in rows("jsonrpc") {
        assert_eq!(Operation::from_method(method), Some((operation, version)), "{method}");
    }
    for (path, operation, version, _) in rows("grpc") {
        assert_eq!(grpc::route(path), Some((operation, version)), "{path}");
    }
}

/// Segments of routes, and some of nobody's.
const SEGMENTS: [&str; 12] = [
    "v1",
    "tasks",
    "t-1",
    "t-1:cancel",
    "t-1:subscribe",
    "message:send",
    "message:stream",
    "pushNotificationConfigs",
    "card",
    "extendedAgentCard",
    "agent",
    "authenticatedExtendedCard",
];

const METHODS: [&str; 5] = ["GET", "POST", "DELETE", "PUT", "HEAD"];

#[test]
fn the_filter_takes_nothing_else() {
    let agents = [&[Version::V0_3][..], &[Version::V0_3, Version::V1_0]].map(agent);
    let table: Vec<_> =
        rows("http_json").map(|(request, operation, version, _)| (request.split_once(' ').unwrap(), operation, version)).collect();
    let mut paths = vec![String::new()];
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        paths = paths.iter().flat_map(|path| SEGMENTS.iter().map(move |segment| format!("{path}/{segment}"))).collect();
        // What both versions put before a route besides, so that the longest are met.
        let all = paths.iter().flat_map(|path| ["", "/v1", "/acme"].map(|before| format!("{before}{path}")));
        for (path, method) in all.flat_map(|path| METHODS.map(|method| (path.clone(), method))) {
            for (operation, version) in agents.iter().filter_map(|agent| taken(agent, method, &path)) {
                let own = |((verb, template), own, of): &((&str, &str), Operation, Version)| {
                    (*verb, *own, *of) == (method, operation, version) && fits(template, &path)
                };
                let row = table.iter().position(own).unwrap_or_else(|| panic!("{method} {path} is {operation:?} of {version}"));
                seen.insert(row);
            }
        }
    }
    assert_eq!(seen.len(), table.len(), "each route was met");
}

#[test]
fn names_of_one_binding_and_version_are_none_of_another() {
    let known: BTreeSet<&str> = rows("jsonrpc").map(|(method, ..)| method).collect();
    let methods: BTreeSet<&str> = rows("grpc").map(|(path, ..)| path.rsplit('/').next().unwrap()).collect();
    for method in &methods {
        assert_eq!(Operation::from_method(method).is_some(), known.contains(method), "{method}");
        for service in grpc::SERVICES {
            let path = format!("{service}{method}");
            assert_eq!(grpc::route(&path).is_some(), rows("grpc").any(|(own, ..)| own == path), "{path}");
        }
    }
}

/// What the SDKs' own routers say, by router; and which of `requests` each takes.
fn routers(requests: &Value) -> (BTreeMap<String, BTreeSet<String>>, BTreeMap<String, BTreeSet<String>>) {
    let (mut routes, mut taken) = (BTreeMap::new(), BTreeMap::new());
    for (program, script) in [("py-1.0/bin/python", "emit_1_0.py"), ("py-0.3/bin/python", "emit_0_3.py"), ("node", "emit_js.mjs")] {
        let printed = script::run(program, "tests/routes", &[script], requests.to_string());
        let mut said: BTreeMap<String, Value> = serde_json::from_str(&printed).unwrap();
        let set = |list: Value| serde_json::from_value::<BTreeSet<String>>(list).unwrap();
        let takes: BTreeMap<String, Value> = serde_json::from_value(said.remove("taken").unwrap()).unwrap();
        taken.extend(takes.into_iter().map(|(router, list)| (router, set(list))));
        routes.extend(said.into_iter().map(|(router, list)| (router, set(list))));
    }
    (routes, taken)
}

#[test]
fn the_table_is_what_the_sdks_route_and_what_they_take_beside_is_refused_on_purpose() {
    let refused = TABLE["refused"].as_array().unwrap();
    let requests: BTreeSet<&str> = refused.iter().map(|row| row["request"].as_str().unwrap()).collect();
    let (routes, taken_by) = routers(&json!(requests));
    assert_eq!(routes.len(), 12, "{:?}", routes.keys());
    for (router, routes) in &routes {
        let all = ["http_json", "jsonrpc", "grpc"].into_iter().flat_map(rows);
        let own: BTreeSet<&str> = all.filter(|(.., sources)| sources.contains(router.as_str())).map(|(request, ..)| request).collect();
        assert_eq!(own, routes.iter().map(String::as_str).collect(), "{router}");
    }
    // Every other source is a text that people wrote.
    for source in ["http_json", "jsonrpc", "grpc"].into_iter().flat_map(rows).flat_map(|(.., sources)| sources) {
        assert!(routes.contains_key(source) || source.contains(" section ") || source == "protobuf of 0.2.2 to 0.2.4", "{source}");
    }
    for row in refused {
        let (request, offered) = (row["request"].as_str().unwrap(), words(&row["offered"]));
        let (method, path) = request.split_once(' ').unwrap();
        let versions: Vec<Version> = offered.iter().map(|text| version(text)).collect();
        assert_eq!(taken(&agent(&versions), method, path), None, "{request}");
        assert!(!row["why"].as_str().unwrap().is_empty(), "{request}");
        let speakers = match versions.as_slice() {
            [Version::V0_3] => ["python-0.3", "js-0.3"],
            [Version::V1_0] => ["python-1.0", "js-1.0"],
            _ => ["python-1.0 for 0.3", "js-1.0 for 0.3"],
        };
        let takers: BTreeSet<&str> = speakers.into_iter().filter(|router| taken_by[*router].contains(request)).collect();
        assert_eq!(takers, words(&row["taken_by"]), "{request} at an agent of {offered:?}");
    }
}

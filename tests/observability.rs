//! `envoy/observability/`: the dashboard is true to Grafana's own schema, promtool takes the rules and plays their tests, and what they
//! name is there: metrics, places in the docs, pictures. That every query finds data is the mesh's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    // What cargo runs a test in is its package's folder.
    Path::new(".")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&read("envoy/observability/dashboard.json")).unwrap()
}

/// What Grafana's schema finds wrong.
fn faults(dashboard: &Value, name: &str) -> Vec<String> {
    let folder = Path::new("target/tmp");
    fs::create_dir_all(folder).unwrap();
    let file = folder.join(format!("dashboard-{name}.json"));
    fs::write(&file, dashboard.to_string()).unwrap();
    let output = Command::new("node").arg(root().join("tests/mesh/peers/validate_dashboard.mjs")).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let found: Vec<String> = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}; run `make setup`: {said}"));
    assert_eq!(output.status.success(), found.is_empty());
    found
}

#[test]
fn the_dashboard_is_what_grafanas_schema_describes() {
    let good = dashboard();
    assert_eq!(faults(&good, "good"), Vec::<String>::new());
    assert!(good["schemaVersion"].as_u64().unwrap() >= 42);
    let at = |kind: &str| good["panels"].as_array().unwrap().iter().position(|panel| panel["type"] == kind).unwrap();
    let (series, stat) = (at("timeseries"), at("stat"));
    for (index, (place, value)) in [
        ("/schemaVersion".to_owned(), json!("42")),
        ("/templating/list/0/type".to_owned(), json!("datasrc")),
        (format!("/panels/{series}/options/legend/displayMode"), json!("tabel")),
        (format!("/panels/{series}/fieldConfig/defaults/custom/drawStyle"), json!("curve")),
        (format!("/panels/{series}/targets/0/format"), json!("timeseries")),
        (format!("/panels/{stat}/options/colorMode"), json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut bad = good.clone();
        *bad.pointer_mut(&place).unwrap_or_else(|| panic!("no {place}")) = value;
        assert_ne!(faults(&bad, &format!("bad-{index}")), Vec::<String>::new(), "{place} may be anything");
    }
    let mut more = good.clone();
    more["panels"][series]["gridPosition"] = json!({});
    assert_ne!(faults(&more, "more"), Vec::<String>::new(), "members that Grafana does not know are taken");
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |member: &str| panel["gridPos"][member].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        for column in at("x")..at("x") + at("w") {
            for line in at("y")..at("y") + at("h") {
                assert!(taken.insert((column, line)), "{} lies over another", panel["title"]);
            }
        }
        assert!(panel["type"] == "row" || panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{}", panel["title"]);
    }
}

fn promtool(arguments: &[&str]) {
    let tool = root().join(".tools/bin/promtool");
    let output =
        Command::new(&tool).args(arguments).output().unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", tool.display()));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
}

#[test]
fn promtool_takes_the_rules_and_plays_their_tests() {
    promtool(&["check", "rules", "envoy/observability/rules.yaml"]);
    promtool(&["test", "rules", "tests/observability/rules_test.yaml"]);
    promtool(&["check", "config", "envoy/observability/prometheus.yaml"]);
}

/// The words behind `key` at the beginning of a line.
fn words<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim().strip_prefix(key)).map(str::trim).collect()
}

#[test]
fn each_alert_is_tried_both_ways_and_has_its_place_in_the_docs() {
    let rules = read("envoy/observability/rules.yaml");
    let tests = read("tests/observability/rules_test.yaml");
    let page = read("docs/troubleshooting.md");
    let alerts = words(&rules, "- alert:");
    assert!(alerts.len() >= 11, "{alerts:?}");
    for alert in alerts {
        let cases: Vec<&str> = tests.split("\n- name: ").filter(|case| case.contains(&format!("alertname: {alert}\n"))).collect();
        assert!(cases.iter().any(|case| case.contains("exp_labels:")), "{alert} is never seen to fire");
        assert!(cases.iter().any(|case| case.contains("exp_alerts: []")), "{alert} is never seen not to fire");
        assert!(rules.contains(&format!("runbook_url: docs/troubleshooting.md#{}\n", alert.to_lowercase())), "{alert}: no runbook");
        assert!(page.contains(&format!("\n### {alert}\n")), "docs/troubleshooting.md: no {alert}");
    }
}

/// The metrics of the filter that `text` names, as Prometheus knows them.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let names = text.match_indices("attache_").filter(|(at, _)| !text[..*at].ends_with(|letter| is_part(letter) || letter == ':'));
    let names = names.map(|(at, _)| text[at..].split(|letter| !is_part(letter)).next().unwrap());
    // A name that goes on with an expression.
    names.filter(|name| *name != "attache_").map(|name| name.strip_suffix("_bucket").unwrap_or(name).to_owned()).collect()
}

#[test]
fn the_dashboard_shows_each_metric_and_no_other() {
    let page = read("docs/records.md");
    let table = page.split("\n## Statistics").nth(1).unwrap().split("**Units.**").next().unwrap();
    let documented = metrics(&table.lines().filter(|line| line.starts_with('|')).collect::<Vec<_>>().join("\n"));
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|one| one["expr"].as_str().unwrap())
        .collect();
    let mut shown = metrics(&queries.join("\n"));
    let asked: BTreeSet<String> = words(&read("envoy/observability/rules.yaml"), "").iter().flat_map(|line| metrics(line)).collect();
    let unknown: Vec<&String> = asked.difference(&documented).collect();
    // Until the filter has it.
    shown.remove("attache_build_info");
    assert_eq!(shown, documented.iter().filter(|name| *name != "attache_build_info").cloned().collect());
    assert!(unknown.iter().all(|name| *name == "attache_build_info"), "{unknown:?}");
}

#[test]
fn each_row_of_panels_has_a_picture_in_the_docs() {
    let page = read("docs/dashboards.md");
    let dashboard = dashboard();
    let mut bytes = 0;
    for row in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] == "row") {
        let title = row["title"].as_str().unwrap();
        assert!(page.contains(&format!("\n### {title}\n")), "docs/dashboards.md: no {title}");
        let word: String = title.chars().take_while(char::is_ascii_alphabetic).collect();
        let image = format!("images/dashboard-{}.png", word.to_lowercase());
        assert!(page.contains(&format!("({image})")), "docs/dashboards.md: no {image}");
        bytes += fs::metadata(root().join("docs").join(&image)).unwrap_or_else(|error| panic!("{image}: {error}")).len();
    }
    assert!(bytes < 300_000, "{bytes} bytes of pictures: draw them smaller");
}

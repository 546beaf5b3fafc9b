//! The shape of the code: which room may import which, how long a file may be, and that every configuration that
//! users are shown is one that the filter takes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod imports;
mod page;
mod pages;

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::Runtime;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room with the rooms that it may import.
const ROOMS: [(&str, &[&str]); 10] = [
    ("wire", &[]),
    ("protocol", &["wire"]),
    ("config", &["wire", "protocol"]),
    ("identity", &["wire", "protocol", "config"]),
    ("credential", &["wire", "protocol", "config"]),
    ("policy", &["wire", "protocol", "config"]),
    ("card", &["wire", "protocol"]),
    ("ownership", &["wire", "protocol", "config"]),
    ("flow", &["wire", "protocol", "config", "identity", "credential", "policy", "card", "ownership"]),
    ("host", &["wire", "protocol", "config", "identity", "credential", "policy", "card", "ownership", "flow"]),
];

/// The same inside of `flow`, where each room may import those before it. Two beside each other know nothing of each other.
const FLOW: [&[&str]; 14] = [
    &["event"],
    &["refusal"],
    &["request"],
    &["supply"],
    &["setup"],
    &["callers"],
    &["tasks"],
    &["meter.rs"],
    &["auth_required.rs"],
    &["progress.rs"],
    &["inbound", "outbound", "webhook", "consent"],
    &["stage.rs"],
    &["begin.rs"],
    &["exchange.rs"],
];

fn root() -> &'static Path {
    Path::new(".")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|given| given == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The words right behind `attache::` in `text`, also inside `use attache::{a, b}`.
fn imported(text: &str) -> Vec<&str> {
    text.match_indices("attache::")
        .flat_map(|(at, _)| {
            let rest = &text[at + "attache::".len()..];
            match rest.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or("").split(',').map(str::trim).collect(),
                None => vec![rest],
            }
        })
        .map(|rest| rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap_or(""))
        .collect()
}

#[test]
fn imports_go_one_way_and_only_the_host_knows_proxy_wasm() {
    let mut rooms: Vec<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    rooms.sort();
    let mut known: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
    known.sort_unstable();
    assert_eq!(rooms, known, "every room has its rule");
    for (room, allowed) in ROOMS {
        for file in files(&root().join("src").join(room), "rs") {
            let text = fs::read_to_string(&file).unwrap();
            for name in imported(&text) {
                assert!(name == room || allowed.contains(&name), "{}: {room} may not import {name}", file.display());
            }
            assert!(room == "host" || !text.contains("proxy_wasm"), "{}: only host names proxy_wasm", file.display());
        }
    }
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let graph = imports::graph(&root().join("src"));
    assert!(graph.len() > 100, "{} files", graph.len());
    assert_eq!(imports::circle(&graph), None);
    let command = imports::graph(&root().join("packages/cli/src"));
    assert!(command.len() > 10, "{} files", command.len());
    assert_eq!(imports::circle(&command), None);
}

#[test]
fn the_rooms_of_flow_import_in_one_order() {
    let room = |file: &str| {
        let rest = file.strip_prefix("flow/")?;
        Some(rest.split('/').next().unwrap_or(rest).to_owned())
    };
    let place = |room: &str| FLOW.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("{room} has no place"));
    for (file, others) in imports::graph(&root().join("src")) {
        let Some(own) = room(&file).filter(|own| own != "mod.rs") else { continue };
        for other in others.iter().filter_map(|other| room(other)).filter(|other| *other != own && *other != "mod.rs") {
            assert!(place(&other) < place(&own), "{file}: {own} may not import {other}");
        }
    }
}

#[test]
fn a_file_holds_one_idea() {
    for file in [root().join("src"), root().join("packages/cli")].iter().flat_map(|folder| files(folder, "rs")) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.lines().count() <= 500, "{} is too long", file.display());
        assert!(text.starts_with("//! "), "{} does not say what it is", file.display());
    }
}

/// The first sentence of a file's own description.
fn sentence(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//! ")).collect();
    let whole = lines.join(" ");
    whole.split_once(". ").map_or(whole.clone(), |(first, _)| format!("{first}."))
}

#[test]
fn the_map_of_the_house_says_what_each_room_says() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rooms = ROOMS.iter().map(|(room, _)| (*room).to_owned());
    for room in rooms.chain(FLOW.iter().flat_map(|rooms| rooms.iter().map(|room| format!("flow/{room}")))) {
        let place = root().join("src").join(&room);
        let file = if place.is_dir() { place.join("mod.rs") } else { place };
        let row = format!("| `{room}` | {} |", sentence(&file));
        assert!(map.contains(&row), "ARCHITECTURE.md has no row {row:?}");
    }
}

/// The block behind `value: |` of a plugin's configuration: the lines that are indented deeper.
fn plugin_configuration(yaml: &str) -> String {
    let mut lines = yaml.lines().skip_while(|line| line.trim() != "value: |");
    let depth = |line: &str| line.len() - line.trim_start().len();
    let start = depth(lines.next().expect("a StringValue"));
    lines.take_while(|line| line.trim().is_empty() || depth(line) > start).collect::<Vec<_>>().join("\n")
}

fn is_taken(json: &str, place: &str) {
    let config = Config::parse(json.as_bytes()).unwrap_or_else(|error| panic!("{place}: {error}\n{json}"));
    Runtime::new(config, Secrets::default()).unwrap_or_else(|error| panic!("{place}: {error}"));
}

#[test]
fn the_envoy_configurations_hold_plugin_configurations() {
    for name in [
        "inbound.yaml",
        "outbound.yaml",
        "notifications.yaml",
        "outbound-cluster.yaml",
        "ratelimit.yaml",
        "ratelimit-global.yaml",
        "remote-module.yaml",
        "tracing.yaml",
        "tracing-1.36.yaml",
    ] {
        let yaml = fs::read_to_string(root().join("envoy").join(name)).unwrap();
        is_taken(&plugin_configuration(&yaml), name);
    }
}

#[test]
fn every_page_is_linked_and_every_link_leads_somewhere() {
    let mut pages = files(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    // The front page, by role and task, leads to all others.
    let front = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        let name = page.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let path = name.strip_prefix("docs/").unwrap_or("README.md");
        assert!(path == "README.md" || front.contains(&format!("]({path})")), "docs/README.md has no link to {name}");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            let target = if path.is_empty() { page.clone() } else { page.with_file_name(path) };
            assert!(target.exists(), "{name}: nothing is at {link}");
            if !place.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                assert!(text.lines().any(|line| anchor(line).as_deref() == Some(place)), "{name}: no heading at {link}");
            }
        }
    }
}

/// The anchor of a heading in Markdown: its letters in lower case, spaces as `-`.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    Some(kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect())
}

#[test]
fn every_peer_is_described() {
    let text = fs::read_to_string(root().join("tests/mesh/peers/README.md")).unwrap();
    for program in ["py", "mjs"].iter().flat_map(|extension| files(&root().join("tests/mesh/peers"), extension)) {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        let is_installed = program.components().any(|part| part.as_os_str() == "node_modules");
        assert!(is_installed || text.contains(&format!("`{name}`")), "tests/mesh/peers/README.md lacks {name}");
    }
}

/// A checkout may be a copy, with all that was built in it. What cargo compiled into a test would then lead to the place that it was copied from,
/// and to the module there.
#[test]
fn tests_find_their_checkout_when_they_run() {
    for folder in ["src", "packages", "tests"] {
        for file in files(&root().join(folder), "rs") {
            let text = fs::read_to_string(&file).unwrap();
            for place in ["MANIFEST_DIR", "BIN_EXE_", "TARGET_TMPDIR"] {
                let compiled = format!("env!(\"CARGO_{place}");
                assert!(!text.contains(&compiled), "{}: {compiled}…; ask std::env, or start from the package's folder", file.display());
            }
        }
    }
}

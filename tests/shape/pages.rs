//! Every fenced block of the documentation is something that a test reads, validates or runs; `tests/pages.json` says which.

use crate::page::{Block, blocks};
use crate::{files, is_taken, root};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;

/// `tests/pages.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    #[serde(rename = "about")]
    _about: String,
    /// Pages that the mesh runs, command by command (`pages::…`).
    run: Vec<String>,
    /// Blocks of a page that another test reads or runs.
    elsewhere: Vec<Elsewhere>,
    /// Commands that no test runs, and why not.
    left_out: Vec<LeftOut>,
    /// Commands in whose place the mesh runs another, and why.
    stand_ins: Vec<StandIn>,
    /// Blocks that stand nowhere alone: YAML that is only parsed, parts of programs; and why.
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    page: String,
    language: String,
    test: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeftOut {
    page: String,
    command: String,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StandIn {
    page: String,
    command: String,
    runs: String,
    because: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    page: String,
    begins: String,
    because: String,
}

/// Languages in which nothing is executed, or whose blocks other tests of this kind look at.
const READ: [&str; 4] = ["json", "yaml", "mermaid", "text"];

fn pages() -> Vec<(String, Vec<Block>)> {
    let mut found = files(&root().join("docs"), "md");
    found.push(root().join("README.md"));
    let name = |path: &std::path::Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (name(path), blocks(&fs::read_to_string(path).unwrap()))).collect()
}

fn list() -> Pages {
    serde_json::from_str(&fs::read_to_string(root().join("tests/pages.json")).unwrap()).unwrap()
}

#[test]
fn every_block_is_read_validated_or_run_by_a_test() {
    let list = list();
    let mut used = BTreeSet::new();
    for (page, blocks) in pages() {
        let is_run = list.run.contains(&page);
        for block in &blocks {
            let place = format!("{page}:{}", block.line);
            let language = block.language.as_str();
            assert!(!language.is_empty(), "{place}: the fence does not say which language it is; `text` is one");
            let elsewhere = list.elsewhere.iter().find(|one| one.page == page && one.language == language);
            if let Some(one) = elsewhere {
                used.insert(format!("elsewhere {page} {language}"));
                assert!(!is_run || !block.is_shell(), "{place}: the page is run, and {} runs it too", one.test);
            } else if block.is_shell() {
                for step in block.steps() {
                    let left_out = list.left_out.iter().find(|one| one.page == page && step.command.starts_with(&one.command));
                    let stand_in = list.stand_ins.iter().find(|one| one.page == page && step.command.starts_with(&one.command));
                    if let Some(one) = left_out {
                        used.insert(format!("left_out {page} {}", one.command));
                    } else if let Some(one) = stand_in {
                        assert!(is_run, "{place}: something stands in for {:?}, but the page is not run", one.command);
                        used.insert(format!("stand_in {page} {}", one.command));
                    } else {
                        assert!(
                            is_run,
                            "{place}: no test runs {:?}: name the page, or the command and why not, in tests/pages.json",
                            step.command
                        );
                    }
                }
            } else if !READ.contains(&language) && !list.parts.iter().any(|one| one.page == page && block.text.starts_with(&one.begins)) {
                assert!(is_run && block.file.is_some(), "{place}: no test reads this {language}: name one in tests/pages.json");
            }
            if language == "text" {
                assert!(block.file.is_none(), "{place}: a file has a language");
            }
        }
        used.insert(format!("run {page}"));
    }
    // And the list has nothing that is no more.
    let named = list.run.iter().map(|page| format!("run {page}"));
    let named = named.chain(list.elsewhere.iter().map(|one| format!("elsewhere {} {}", one.page, one.language)));
    let named = named.chain(list.left_out.iter().map(|one| format!("left_out {} {}", one.page, one.command)));
    let named = named.chain(list.stand_ins.iter().map(|one| format!("stand_in {} {}", one.page, one.command)));
    for entry in named {
        assert!(used.contains(&entry), "tests/pages.json: nothing is what it names: {entry}");
    }
}

#[test]
fn the_list_of_pages_gives_reasons_and_tests_that_exist() {
    let list = list();
    let reasons = list.left_out.iter().map(|one| &one.because);
    let reasons = reasons.chain(list.stand_ins.iter().map(|one| &one.because)).chain(list.parts.iter().map(|one| &one.because));
    for reason in reasons {
        assert!(reason.split_whitespace().count() >= 3, "{reason:?} is no reason");
    }
    assert!(list.stand_ins.iter().all(|one| !one.runs.is_empty()));
    let sources: Vec<String> = ["tests", "packages/cli/tests"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for one in &list.elsewhere {
        let function = one.test.rsplit("::").next().unwrap();
        let names = [format!("\"{}\"", one.test), format!("fn {function}(")];
        assert!(sources.iter().any(|text| names.iter().any(|name| text.contains(name))), "tests/pages.json: there is no test {}", one.test);
    }
    for part in &list.parts {
        let text = fs::read_to_string(root().join(&part.page)).unwrap();
        let found = blocks(&text).iter().any(|block| block.text.starts_with(&part.begins));
        assert!(found, "tests/pages.json: {} has no block that begins with {:?}", part.page, part.begins);
    }
}

#[test]
fn the_documented_configurations_are_taken() {
    let mut seen = Vec::new();
    for (page, blocks) in pages() {
        for block in blocks.iter().filter(|block| block.language == "json") {
            let (json, place) = (block.text.as_str(), format!("{page}:{}", block.line));
            if block.file.is_none() && (json.contains("\"agents\"") || json.contains("\"connections\"")) {
                is_taken(json, &place);
                seen.push(page.clone());
            } else if !json.contains('…') {
                let value: Result<serde_json::Value, _> = serde_json::from_str(json);
                assert!(value.is_ok(), "{place}: {value:?}\n{json}");
            }
        }
    }
    for page in ["README.md", "docs/configuration.md", "docs/task-ownership.md"] {
        assert!(seen.iter().any(|one| one == page), "{page} shows a whole configuration");
    }
}

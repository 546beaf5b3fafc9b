//! Which file of `src` imports which: the graph behind the rules of the house. Tests inside of files do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Files by their path below `src`, with those that they import.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// Reads the graph of all files below `src`.
pub fn graph(src: &Path) -> Graph {
    let files: Vec<String> =
        super::files(src, "rs").iter().map(|file| file.strip_prefix(src).expect("it is below").to_string_lossy().into_owned()).collect();
    let modules: BTreeMap<Vec<String>, String> = files.iter().map(|file| (module(file), file.clone())).collect();
    files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(src.join(file)).expect("it can be read");
            let found = paths(&code(&text)).into_iter().filter_map(|path| {
                let mut path = absolute(&path, &module(file))?;
                // The longest beginning that is a module: what follows is an item in it.
                while !modules.contains_key(&path) {
                    path.pop()?;
                }
                modules.get(&path).filter(|other| *other != file).cloned()
            });
            (file.clone(), found.collect())
        })
        .collect()
}

/// Files that import each other by way of others, if there are some.
pub fn circle(graph: &Graph) -> Option<Vec<String>> {
    fn walk<'g>(at: &'g str, graph: &'g Graph, way: &mut Vec<&'g str>, done: &mut BTreeSet<&'g str>) -> Option<Vec<String>> {
        if let Some(start) = way.iter().position(|before| *before == at) {
            return Some(way[start..].iter().map(|file| (*file).to_owned()).collect());
        }
        if !done.insert(at) {
            return None;
        }
        way.push(at);
        let found = graph.get(at).into_iter().flatten().find_map(|next| walk(next, graph, way, done));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|file| walk(file, graph, &mut Vec::new(), &mut done))
}

/// The module of a file, as segments behind `crate`.
fn module(file: &str) -> Vec<String> {
    let mut segments: Vec<String> = file.strip_suffix(".rs").unwrap_or(file).split('/').map(str::to_owned).collect();
    if segments.last().is_some_and(|last| last == "mod" || last == "lib") {
        segments.pop();
    }
    segments
}

/// `text` without comments and without its tests.
fn code(text: &str) -> String {
    let own = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    own.lines().filter(|line| !line.trim_start().starts_with("//")).fold(String::new(), |text, line| text + line + "\n")
}

/// The paths that `use` statements name, and those in the rest of the code that begin with `crate` or `super`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut statement: Option<String> = None;
    for line in code.lines() {
        let words = line.trim_start();
        let begins = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().find_map(|start| words.strip_prefix(start));
        let part = match (&mut statement, begins) {
            (Some(open), _) => {
                open.push_str(words);
                open.clone()
            }
            (None, Some(tree)) => tree.to_owned(),
            (None, None) => {
                rest.push_str(line);
                rest.push('\n');
                continue;
            }
        };
        statement = match part.split_once(';') {
            Some((tree, _)) => {
                flatten(&[], tree, &mut found);
                None
            }
            None => Some(part),
        };
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':');
    for word in rest.split(|letter| !is_part(letter)) {
        if word.starts_with("crate::") || word.starts_with("super::") {
            found.push(word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
        }
    }
    found
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn flatten(before: &[String], tree: &str, found: &mut Vec<Vec<String>>) {
    let (head, list) = match tree.split_once('{') {
        Some((head, list)) => (head, Some(list.rsplit_once('}').map_or(list, |(list, _)| list))),
        None => (tree.split(" as ").next().unwrap_or(tree), None),
    };
    let own = head.split("::").map(str::trim).filter(|part| !part.is_empty() && *part != "self").map(str::to_owned);
    let path: Vec<String> = before.iter().cloned().chain(own).collect();
    let Some(list) = list else { return found.push(path) };
    let mut depth = 0_u32;
    let parts = list.split(|letter: char| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    for part in parts.filter(|part| !part.trim().is_empty()) {
        flatten(&path, part, found);
    }
}

/// `path` in `module` as segments behind `crate`; `None` for other crates.
fn absolute(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => Some(module[..module.len().checked_sub(ups)?].iter().chain(&path[ups..]).cloned().collect()),
        _ => None,
    }
}

#[test]
fn a_circle_is_found() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    };
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    assert_eq!(circle(&graph(&[("a", "b"), ("b", "c"), ("c", "b")])), Some(vec!["b".to_owned(), "c".to_owned()]));
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = "//! crate::no\nuse crate::a::{self, b::{C, D}, e as f};\npub use super::g;\nfn x() { crate::h::i(super::super::j) }\n\
                #[cfg(test)]\nmod tests { use crate::k; }\n";
    let found: Vec<String> = paths(&code(text)).iter().map(|path| path.join("::")).collect();
    assert_eq!(found, ["crate::a", "crate::a::b::C", "crate::a::b::D", "crate::a::e", "super::g", "crate::h::i", "super::super::j"]);
}

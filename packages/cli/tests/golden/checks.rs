//! `attache check`: each file of `check/` with what is said of it, and the files that ship.

use super::{golden, here, json, root, run};
use std::fs;
use std::path::PathBuf;

fn inputs() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(here().join("check")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml" || ending == "json"));
    files.sort();
    files
}

#[test]
fn each_file_is_told_in_these_words() {
    let mut told = 0;
    for file in inputs() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let folder = here().join("check");
        let (text, status) = run(&folder, &["check", name], "");
        golden(&file.with_added_extension("txt"), &format!("{text}status {status}\n"));
        let (again, strict) = run(&folder, &["check", "--strict", name], "");
        assert_eq!(again, text);
        assert!(strict == 1 && (status == 1) == text.contains("error: "), "{name}: {status}, {strict}");
        let (document, _) = run(&folder, &["check", "--json", name], "");
        assert!(!document.contains("s3cret") && !document.contains("czNjcmV0"), "{document}");
        told += text.lines().filter(|line| line.starts_with("error: ") || line.starts_with("warning: ")).count();
    }
    assert!(told > 40, "{told}");
}

/// Whatever `check` can say of what surrounds the filter, some file has it.
#[test]
fn every_message_is_in_a_file() {
    let said: String = inputs().iter().map(|file| fs::read_to_string(file.with_added_extension("txt")).unwrap()).collect();
    let mut checked = 0;
    for name in [
        "around/envoy.rs",
        "around/bootstrap.rs",
        "around/capabilities.rs",
        "around/gateway.rs",
        "around/istio.rs",
        "around/mod.rs",
        "check.rs",
    ] {
        let source = fs::read_to_string(root().join("packages/cli/src").join(name)).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for text in texts(source).iter().filter(|text| text.split(' ').count() > 4) {
            // Without what is put in.
            let words = text.split(['{', '}']).max_by_key(|part| part.len()).unwrap();
            checked += 1;
            assert!(said.contains(words), "{name}: {words}");
        }
    }
    assert!(checked > 30, "{checked}");
}

/// The texts in quotes in Rust's code.
fn texts(source: &str) -> Vec<String> {
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    let (mut texts, mut open) = (Vec::new(), None::<String>);
    let mut letters = code.chars();
    while let Some(letter) = letters.next() {
        match (letter, &mut open) {
            ('\\', Some(text)) => text.extend(letters.next()),
            ('"', open) => match open.take() {
                Some(text) => texts.push(text),
                None => *open = Some(String::new()),
            },
            (other, Some(text)) => text.push(other),
            (_, None) => {}
        }
    }
    texts
}

/// What this repository hands out has no error. One file waits for the digest of a key.
#[test]
fn the_files_that_ship_are_good() {
    let mut files: Vec<PathBuf> = ["envoy", "envoy/gateway", "envoy/istio"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    assert!(files.len() >= 25, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let said = json(&["check", "-"], &text.replace("\"DIGEST\"", &format!("\"{}\"", "0".repeat(64))));
        assert_eq!(said["errors"], 0, "{}: {said:#}", file.display());
        let kinds = ["kind: WasmPlugin\n", "kind: TrafficExtension\n", "kind: EnvoyExtensionPolicy\n"];
        let own = kinds.iter().map(|kind| text.matches(kind).count()).sum::<usize>();
        let envoy = if text.contains("\"agents\"") || text.contains("\"connections\"") {
            text.lines().filter(|line| line.contains("\"@type\"") && line.contains(".filters.http.wasm.v3.Wasm")).count().max(1)
        } else {
            0
        };
        let is_plugin = envoy + own > 0;
        assert_eq!(said["files"][0]["plugins"].as_array().unwrap().len(), own + envoy, "{}", file.display());
        for finding in said["files"][0]["findings"].as_array().unwrap() {
            let message = finding["message"].as_str().unwrap();
            // What these forms cannot do, their pages say.
            let known = ["agents[0].card.source: is upstream", "failOpen: cannot ask for FAIL_RELOAD"];
            assert!(!is_plugin || known.iter().any(|known| message.starts_with(known)), "{}: {message}", file.display());
        }
    }
}

#[test]
fn what_cannot_be_read_has_a_status_of_its_own() {
    let (text, status) = run(&here(), &["check", "no-such-file.yaml"], "");
    assert!(text.starts_with("attache: no-such-file.yaml: ") && status == 2, "{text}{status}");
    assert_eq!(run(&here(), &["check"], "").1, 2);
    assert_eq!(run(&here(), &["chek"], "").1, 2);
}

#[test]
fn there_are_completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (text, status) = run(&here(), &["completions", shell], "");
        assert!(text.contains("attache") && text.contains("strict") && status == 0, "{shell}: {text}");
    }
}

/// The help, to be read as somebody who has nothing else.
#[test]
fn the_help_is_told_in_these_words() {
    let (first, status) = run(&here(), &["--help"], "");
    assert_eq!(status, 0);
    let mut all = first;
    for command in ["init", "check", "explain", "card", "token", "hash-key", "schema", "completions"] {
        all.push_str(&format!("\n## attache help {command}\n{}", run(&here(), &["help", command], "").0));
    }
    golden(&here().join("help.txt"), &all);
}

#[test]
fn colours_are_for_terminals_and_whoever_asks() {
    let file = here().join("check/none.yaml");
    let file = file.to_str().unwrap();
    assert!(!run(&here(), &["check", file], "").0.contains('\u{1b}'));
    assert!(run(&here(), &["check", "--color", "always", file], "").0.contains('\u{1b}'));
}

//! What the documentation shows of the command is what it prints.

use super::{root, run};
use std::fs;

/// The examples of a page: each line behind `$ `, with what follows it.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for block in page.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => found.push((command.to_owned(), String::new())),
                (None, Some((_, output))) => output.push_str(&format!("{line}\n")),
                (None, None) => panic!("{line} comes before any command"),
            }
        }
    }
    found
}

#[test]
fn examples_print_what_the_page_shows() {
    let path = root().join("docs/command.md");
    let mut page = fs::read_to_string(&path).unwrap();
    let all = examples(&page);
    for (command, shown) in &all {
        let words: Vec<&str> = command.strip_prefix("attache ").unwrap().split(' ').collect();
        let (text, status) = run(&root(), &words, "");
        assert!(status < 2, "{command}: {text}");
        // Blank lines at the end of lines are trimmed in pages.
        let text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        if std::env::var_os("BLESS").is_some() {
            page = page.replacen(&format!("$ {command}\n{shown}"), &format!("$ {command}\n{text}"), 1);
        } else {
            assert_eq!(&text, shown, "{command}");
        }
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, page).unwrap();
    }
    assert!(!all.is_empty());
}

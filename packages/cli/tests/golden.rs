//! What the command prints, as golden files to be read by eye: `BLESS=1` rewrites them, and the difference is then the thing to review.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "golden/cards.rs"]
mod cards;
#[path = "golden/checks.rs"]
mod checks;
#[path = "golden/explains.rs"]
mod explains;
#[path = "golden/inits.rs"]
mod inits;
#[path = "golden/mistakes.rs"]
mod mistakes;
#[path = "golden/pages.rs"]
mod pages;
#[path = "golden/tokens.rs"]
mod tokens;

use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// This package. Paths are found when a test runs, not when it is compiled: a checkout may be a copy, with all that was built in it.
fn package() -> PathBuf {
    std::env::current_dir().unwrap()
}

fn here() -> PathBuf {
    package().join("tests")
}

fn root() -> PathBuf {
    package().join("../..")
}

/// A folder for what a test writes.
fn scratch(name: &str) -> PathBuf {
    root().join("target/tmp/attache-cli").join(name)
}

/// The command that was built.
fn command() -> Command {
    Command::new(std::env::var_os("CARGO_BIN_EXE_attache").expect("cargo says where it is"))
}

/// Runs the command in `folder` and answers with what it prints, and its status.
fn run(folder: &Path, arguments: &[&str], input: &str) -> (String, i32) {
    let mut command = command();
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (text, output.status.code().expect("it ends by itself"))
}

fn json(arguments: &[&str], input: &str) -> Value {
    let (text, _) = run(&here(), &[&["--json"], arguments].concat(), input);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Compares `text` with the file, or writes it there. No secret of the cases may be in it.
fn golden(path: &Path, text: &str) {
    for secret in ["s3cret", "czNjcmV0"] {
        assert!(!text.contains(secret), "{}: {text}", path.display());
    }
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(expected == text, "{}\nexpected:\n{expected}\ngot:\n{text}", path.display());
}

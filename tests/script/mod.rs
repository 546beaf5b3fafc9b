//! Scripts beside the tests: official SDKs and other readers, which `make setup` installs.

use std::io::Write;
use std::process::{Command, Stdio};

/// What a script of `folder`, the first of `arguments`, prints of `input`. `program` is node, or one of `.tools`.
pub fn run(program: &str, folder: &str, arguments: &[&str], input: String) -> String {
    let root = std::env::current_dir().unwrap();
    let program = if program == "node" { program.into() } else { root.join(".tools").join(program) };
    let mut child = Command::new(&program)
        .args(arguments)
        .current_dir(root.join(folder))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; run make setup", program.display()));
    // A script may answer before it has read everything.
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{} {arguments:?}: {}", program.display(), output.status);
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

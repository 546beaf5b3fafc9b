//! `attache init`.

use super::{golden, here, run, scratch};
use std::fs;
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    let folder = scratch("init").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// What is written is good, strictly.
fn checked(folder: &Path, file: &str) -> String {
    let (text, status) = run(folder, &["check", "--strict", file], "");
    assert_eq!(status, 0, "{text}");
    fs::read_to_string(folder.join(file)).unwrap()
}

#[test]
fn six_answers_make_a_file() {
    let folder = folder("keys");
    fs::write(folder.join("attache.key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let (text, status) = run(&folder, &["init"], "expense\nhttp://10.0.0.5:9000\n8443\nhttps://Expense.example.com\nkeys\ndesk\n");
    assert_eq!(status, 0, "{text}");
    golden(&here().join("init.txt"), &text);
    golden(&here().join("init-keys.yaml"), &checked(&folder, "envoy.yaml"));
    assert!(!text.contains("0123456789abcdef"), "{text}");
    // What is there is not written over.
    let (text, status) = run(&folder, &["init"], "");
    assert!(status == 2 && text.contains("envoy.yaml is there already"), "{text}");
}

#[test]
fn flags_answer_as_well() {
    let folder = folder("tokens");
    let arguments = [
        "init",
        "--name",
        "expense",
        "--agent",
        "https://agent.internal",
        "--port",
        "8080",
        "--public-url",
        "http://127.0.0.1:8080",
        "--callers",
        "tokens",
        "--issuer",
        "https://login.example.com/tenant/v2.0",
        "--audience",
        "api://expense",
        "--module",
        "/etc/attache/attache.wasm",
        "--output",
        "tokens.yaml",
    ];
    let (text, status) = run(&folder, &arguments, "");
    assert!(status == 0 && !text.contains('?'), "nothing is asked: {text}");
    golden(&here().join("init-tokens.yaml"), &checked(&folder, "tokens.yaml"));
}

#[test]
fn a_new_key_is_for_its_owner_alone() {
    let folder = folder("new");
    let (text, status) = run(&folder, &["init"], "\n\n\n\n\n\n");
    assert_eq!(status, 0, "{text}");
    let key = fs::read_to_string(folder.join("attache.key")).unwrap();
    assert!(key.trim().len() == 32 && !text.contains(key.trim()), "{text}");
    let file = checked(&folder, "envoy.yaml");
    let (entry, _) = run(&folder, &["hash-key", "attache.key"], "");
    let digest = entry.split('"').nth(7).unwrap();
    assert!(digest.len() == 64 && file.contains(digest) && !file.contains(key.trim()), "{entry}: {file}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(folder.join("attache.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    let folder = folder("wrong");
    for (arguments, input, expected) in [
        (&["init", "--agent", "http://a/b"][..], "", "without a path"),
        (&["init"], "a b\n", "a name has letters"),
        (&["init", "--callers", "nobody"], "", "possible values"),
        (&["init", "--callers", "tokens", "--issuer", "auth.example.com"], "", "the issuer auth.example.com"),
        (&["init", "--output", "no/such/folder.yaml"], "", "no/such/folder.yaml: "),
    ] {
        let (text, status) = run(&folder, arguments, input);
        assert!(status == 2 && text.contains(expected), "{arguments:?}: {text}");
    }
    assert!(!folder.join("envoy.yaml").exists());
}

//! The pages that `tests/pages.json` says are run: their files and commands in order, in an empty folder, with a real Envoy and the
//! ports that they name replaced by free ones. What a page shows of an output is what came out. And every YAML of the documentation:
//! Envoy takes what is Envoy's, Istio's schemas what is Istio's.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::{place, process};
use serde_json::{Value, json};

use crate::document::{self, Block, Step};
use crate::resources;
use crate::suite::Suite;

/// A page starts programs one after the other and compiles the filter once or twice.
const RUN: Duration = Duration::from_secs(600);
const CHECK: Duration = Duration::from_secs(240);
/// Where the programs lie that pages use.
const PROGRAMS: &str = "docs/tasks/programs";

fn list() -> Result<Value> {
    let text = std::fs::read_to_string(place::root().join("tests/pages.json"))?;
    serde_json::from_str(&text).context("tests/pages.json")
}

fn entries<'a>(list: &'a Value, kind: &str, page: &str) -> Vec<&'a Value> {
    let all = list[kind].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|one| one["page"] == page).collect()
}

/// A port that no program gets by chance: outgoing connections take theirs from 32768 on.
fn port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20000;
    const COUNT: u16 = 12000;
    let start = u16::try_from(std::process::id() % u32::from(COUNT))?;
    for _ in 0..COUNT {
        let port = FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}

/// The ports that a page names, each with one that is free here.
struct Ports(Vec<(String, String)>);

impl Ports {
    fn of(page: &str) -> Result<Self> {
        let mut found = BTreeMap::new();
        for mark in ["127.0.0.1:", "localhost:", "port_value: ", "--port ", "--bind 127.0.0.1 "] {
            for rest in page.split(mark).skip(1) {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                if digits.len() > 3 && !found.contains_key(&digits) {
                    let free = port()?.to_string();
                    found.insert(digits, free);
                }
            }
        }
        Ok(Self(found.into_iter().collect()))
    }

    /// `text` with the free ports.
    fn here(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (named, free)| replaced(&text, named, free))
    }

    /// `text` as the page says it.
    fn there(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (named, free)| replaced(&text, free, named))
    }
}

/// `text` with `new` for the number `old`, where it is a number of its own.
fn replaced(text: &str, old: &str, new: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(old) {
        let (before, behind) = (&rest[..at], &rest[at + old.len()..]);
        let is_part = before.ends_with(|letter: char| letter.is_ascii_alphanumeric())
            || behind.starts_with(|letter: char| letter.is_ascii_alphanumeric());
        out.push_str(before);
        out.push_str(if is_part { old } else { new });
        rest = behind;
    }
    out + rest
}

/// Whether `told` is `shown`, in which `…` stands for anything.
fn is_shown(shown: &str, told: &str) -> bool {
    let lines = |text: &str| text.trim().lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let (shown, told) = (lines(shown), lines(told));
    let mut parts: Vec<&str> = shown.split('…').collect();
    let last = parts.pop().unwrap_or_default();
    let Some(mut rest) = told.strip_prefix(parts.first().copied().unwrap_or(last)) else { return false };
    if parts.is_empty() {
        return rest.is_empty();
    }
    for part in &parts[1..] {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A program of `folder/bin`, which is first on the path of a page.
fn program(folder: &Path, name: &str, runs: &str) -> Result<()> {
    let path = folder.join("bin").join(name);
    std::fs::write(&path, format!("#!/usr/bin/env bash\n{runs}\n"))?;
    Ok(std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?)
}

/// An empty folder with what `docs/tasks/prepare.md` says is in it.
fn prepared(name: &str) -> Result<PathBuf> {
    let folder = place::logs().join(name);
    std::fs::create_dir_all(folder.join("bin"))?;
    let work = folder.join("work");
    std::fs::create_dir_all(work.join("node_modules/@a2a-js"))?;
    for file in std::fs::read_dir(place::root().join(PROGRAMS))? {
        let file = file?.path();
        std::fs::copy(&file, work.join(file.file_name().context("no name")?))?;
    }
    symlink(place::module(false), work.join("attache.wasm"))?;
    // Files of a clone that pages name.
    for folder in ["envoy", "packages"] {
        symlink(place::root().join(folder), work.join(folder))?;
    }
    let modules = place::peer("node_modules");
    for (package, installed) in
        [("express", "express"), ("oidc-provider", "oidc-provider"), ("jose", "jose"), ("@a2a-js/sdk", "a2a-js-0.3")]
    {
        symlink(modules.join(installed), work.join("node_modules").join(package))?;
    }
    let envoy = place::tool("bin/envoy");
    program(
        &folder,
        "envoy",
        &format!("exec '{}' --use-dynamic-base-id --concurrency 1 --file-flush-interval-msec 200 \"$@\"", envoy.display()),
    )?;
    let python = place::tool("py-1.0/bin/python");
    for name in ["python", "python3"] {
        program(&folder, name, &format!("PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 exec '{}' \"$@\"", python.display()))?;
    }
    program(&folder, "node", &format!("NODE_NO_WARNINGS=1 exec '{}' \"$@\"", on_path("node")?.display()))?;
    program(&folder, "attache", &format!("{}=1 exec '{}' \"$@\"", crate::COMMAND, std::env::current_exe()?.display()))?;
    program(&folder, "chromium", &format!("exec node '{}' \"$@\"", place::peer("dump_dom.mjs").display()))?;
    Ok(folder)
}

fn on_path(name: &str) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|file| file.is_file()).with_context(|| format!("no {name} on PATH"))
}

/// What a shell does for the page: writes its files, runs its commands, keeps the output of each.
fn script(folder: &Path, blocks: &[Block], list: &Value, page: &str, ports: &Ports) -> Result<(String, Vec<Step>)> {
    const END: &str = "end of a file of the page";
    let mut steps = Vec::new();
    let mut lines = vec![
        "set -u".to_owned(),
        format!("export PATH='{}':\"$PATH\"", folder.join("bin").display()),
        format!("export PEERS='{}'", place::peer("").display()),
        format!("cd '{}'", folder.join("work").display()),
        // Whatever the page left running ends with it.
        "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT; trap 'exit 143' TERM".to_owned(),
    ];
    let begins = |kind: &str, step: &Step| {
        let fits = |one: &&&Value| one["command"].as_str().is_some_and(|start| step.command.starts_with(start));
        entries(list, kind, page).iter().find(fits).map(|one| (*one).clone())
    };
    for block in blocks {
        if let Some(file) = &block.file {
            lines.push(format!("cat > '{file}' <<'{END}'\n{}{END}", ports.here(&block.text)));
        } else if block.is_shell() {
            for step in block.steps() {
                if begins("left_out", &step).is_some() {
                    continue;
                }
                let runs = begins("stand_ins", &step)
                    .map_or_else(|| step.command.clone(), |one| one["runs"].as_str().unwrap_or_default().to_owned());
                let at = folder.join(format!("{:03}", steps.len()));
                lines.push(format!("exec >'{0}.out' 2>&1\n{1}\necho $? >'{0}.status'", at.display(), ports.here(&runs)));
                steps.push(step);
            }
        }
    }
    Ok((lines.join("\n") + "\n", steps))
}

/// The page's commands do what it says.
async fn run(page: &str) -> Result<()> {
    let list = list()?;
    let text = std::fs::read_to_string(place::root().join(page)).with_context(|| page.to_owned())?;
    let name = place::unique(&format!("page-{}", page.rsplit('/').next().unwrap_or(page).trim_end_matches(".md")));
    let folder = prepared(&name)?;
    let ports = Ports::of(&text)?;
    let (script, steps) = script(&folder, &document::blocks(&text), &list, page, &ports)?;
    ensure!(!steps.is_empty(), "{page} has no commands");
    let file = folder.join("script.sh");
    std::fs::write(&file, script)?;
    let mut command = Command::new("bash");
    command.arg(&file);
    {
        let _turn = process::turn().await;
        let shell = process::spawn(&name, command)?;
        shell.exit(RUN).await.with_context(|| format!("{page} does not end\n{}", tail(&folder)))?;
    }
    for (at, step) in steps.iter().enumerate() {
        let kept = folder.join(format!("{at:03}"));
        let told = ports.there(&std::fs::read_to_string(kept.with_extension("out")).unwrap_or_default());
        let shown = step.output.as_deref().map_or("nothing, being sh", str::trim_end);
        let context = || format!("{page}: $ {}\nis shown with:\n{shown}\nand said:\n{told}\n{}", step.command, tail(&folder));
        let status = std::fs::read_to_string(kept.with_extension("status")).with_context(context)?;
        ensure!(step.output.as_ref().is_none_or(|output| is_shown(output, &told)), "{}", context());
        let may_fail = step.output.as_ref().is_some_and(|output| !output.is_empty());
        ensure!(may_fail || status.trim() == "0", "status {}: {}", status.trim(), context());
    }
    Ok(())
}

/// The ends of the logs that the page's programs wrote into its folder.
fn tail(folder: &Path) -> String {
    let mut told = String::new();
    for entry in std::fs::read_dir(folder.join("work")).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            told += &format!("--- end of {}\n{}\n", path.display(), lines[lines.len().saturating_sub(12)..].join("\n"));
        }
    }
    told
}

const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// A whole configuration of Envoy around a part of one; nothing if it is no such part.
fn bootstrap(part: &Value) -> Option<Value> {
    if part.get("static_resources").is_some() {
        return Some(part.clone());
    }
    if part.get("clusters").is_some() {
        return Some(json!({"static_resources": part}));
    }
    if part.get("stats_config").is_some() {
        return Some(part.clone());
    }
    let mut manager = json!({"@type": MANAGER, "stat_prefix": "page", "route_config": {}});
    let router = json!({"name": "envoy.filters.http.router", "typed_config":
        {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}});
    manager["http_filters"] = json!([router]);
    if let Some(filters) = part.get("http_filters").and_then(Value::as_array) {
        let mut filters = filters.clone();
        if !filters.iter().any(|filter| filter["name"] == "envoy.filters.http.router") {
            filters.push(router);
        }
        manager["http_filters"] = json!(filters);
    } else if let Some(tags) = part.get("custom_tags") {
        manager["tracing"] = json!({"custom_tags": tags});
    } else if let Some(logs) = part.get("access_log") {
        manager["access_log"] = logs.clone();
    } else {
        return None;
    }
    Some(json!({"static_resources": {"listeners": [{
        "name": "page", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    }]}}))
}

/// The smallest configuration, for a filter whose own is left out in a block.
const ANY: &str = r#"{"unmatched": "pass", "connections": [{"name": "c", "match": {"hosts": ["c.example"], "path_prefix": "/"},
    "version": "1.0", "pin": "none", "credential": {"none": {}}}]}"#;

fn filled(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('…') && text.trim_start().starts_with('{') => *text = ANY.to_owned(),
        Value::Array(list) => list.iter_mut().for_each(filled),
        Value::Object(map) => map.values_mut().for_each(filled),
        _ => {}
    }
}

/// Envoy takes `configuration`, beside a file `attache.wasm` and with certificates of its own where it names some.
async fn validated(place_of: &str, mut configuration: Value) -> Result<()> {
    filled(&mut configuration);
    let name = place::unique("page-yaml");
    let folder = place::logs().join(&name);
    std::fs::create_dir_all(&folder)?;
    symlink(place::module(false), folder.join("attache.wasm"))?;
    let certificate = rcgen::generate_simple_self_signed(["page.example".to_owned()])?;
    std::fs::write(folder.join("tls.crt"), certificate.cert.pem())?;
    std::fs::write(folder.join("tls.key"), certificate.key_pair.serialize_pem())?;
    let file = folder.join("envoy.json");
    let mut text = configuration.to_string();
    for (named, here) in
        [("/etc/client/tls.crt", "tls.crt"), ("/etc/client/tls.key", "tls.key"), ("/etc/ssl/certs/ca-certificates.crt", "tls.crt")]
    {
        text = text.replace(named, &folder.join(here).to_string_lossy());
    }
    std::fs::write(&file, text)?;
    let mut command = Command::new(place::tool("bin/envoy"));
    command.args(["--mode", "validate", "--use-dynamic-base-id", "--config-path"]).arg(&file).current_dir(&folder);
    let _turn = process::turn_to_run().await;
    let check = process::spawn(&name, command)?;
    let status = check.exit(CHECK).await.with_context(|| check.tail())?;
    ensure!(status.success(), "{place_of}: Envoy does not take this: {}", check.tail());
    Ok(())
}

async fn every_yaml_is_taken() -> Result<()> {
    let list = list()?;
    let mut resources = Vec::new();
    let mut count = 0;
    for (page, text) in texts()? {
        for block in document::blocks(&text).iter().filter(|block| block.language == "yaml") {
            let place_of = format!("{page}:{}", block.line);
            let parts = entries(&list, "parts", &page);
            let is_part = parts.iter().any(|part| part["begins"].as_str().is_some_and(|begins| block.text.starts_with(begins)));
            for document in block.text.split("\n---\n") {
                let value: Value = serde_yaml_ng::from_str(document).with_context(|| format!("{place_of}: this is no YAML"))?;
                if is_part {
                    continue;
                }
                count += 1;
                if value.get("apiVersion").is_some() {
                    resources.push((place_of.clone(), value));
                } else {
                    let whole = bootstrap(&value)
                        .with_context(|| format!("{place_of}: neither Envoy's nor Kubernetes'; name it in tests/pages.json"))?;
                    validated(&place_of, whole).await?;
                }
            }
        }
    }
    ensure!(count > 5, "only {count} blocks of YAML were found");
    let values: Vec<Value> = resources.iter().map(|(_, value)| value.clone()).collect();
    for ((place_of, value), faults) in resources.iter().zip(resources::faults(&values).await?) {
        ensure!(faults.is_empty(), "{place_of}: {} {faults:?}", value["kind"]);
    }
    Ok(())
}

/// All pages, by their names from the root on.
fn texts() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![place::root().join("docs")];
    let mut files = vec![place::root().join("README.md")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                files.push(path);
            }
        }
    }
    files.sort();
    for file in files {
        let name = file.strip_prefix(place::root())?.to_string_lossy().into_owned();
        found.push((name, std::fs::read_to_string(&file)?));
    }
    Ok(found)
}

pub fn add(suite: &mut Suite) {
    suite.add("pages::every_yaml_is_taken", async |_| every_yaml_is_taken().await);
    let pages = list().map(|list| list["run"].as_array().cloned().unwrap_or_default()).unwrap_or_default();
    for page in pages.iter().filter_map(Value::as_str) {
        let page = page.to_owned();
        let name = page.trim_start_matches("docs/").trim_end_matches(".md").replace(['/', '-'], "_");
        suite.add(format!("pages::{name}"), async move |_| run(&page).await);
    }
    if pages.is_empty() {
        suite.add("pages::are_listed", async |_| bail!("tests/pages.json names no page to run"));
    }
}

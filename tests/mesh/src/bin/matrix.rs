//! `make matrix`: plays the attack corpora, the tour and both hold modes on each Envoy that it is given (`VERSION=PATH` each), and
//! prints a table for `docs/versions.md`. Fails if anything came out otherwise on one that can load the filter.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::matrix::{Found, REPORT};
use attache_mesh::{place, process};
use sha2::{Digest, Sha256};

/// What the filter says at start of an Envoy that lacks something.
const LACKS: &str = "attache: this Envoy has no ";

fn main() -> ExitCode {
    process::run_program(run())
}

async fn run() -> Result<ExitCode> {
    process::end_on_signal(130).await?;
    let envoys: Vec<String> = std::env::args().skip(1).collect();
    ensure!(!envoys.is_empty(), "which Envoys? Give VERSION=PATH for each, or run: make matrix");
    let module = std::fs::read(place::module(false)).context("no module: run make build")?;
    let mut rows = Vec::new();
    for given in &envoys {
        let (version, path) = given.split_once('=').with_context(|| format!("{given} is not VERSION=PATH"))?;
        eprintln!("matrix: Envoy {version}");
        let row = Row::of(version, Path::new(path)).await.with_context(|| format!("with Envoy {version}"))?;
        eprintln!("{}", row.line());
        rows.push(row);
    }
    println!("{HEAD}");
    rows.iter().for_each(|row| println!("{}", row.line()));
    let digest: String = Sha256::digest(&module).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    println!("\nThis run: `attache.wasm` of {} bytes, SHA-256 {digest}…, on {}.", module.len(), std::env::consts::ARCH);
    let bad: Vec<String> = rows.iter().filter_map(Row::fault).collect();
    bad.iter().for_each(|fault| println!("{fault}"));
    Ok(if bad.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const HEAD: &str = "| Envoy | loads the filter | attack cases as they should be | others | tour | held | not held | what it lacks |\n\
                    |---|---|---:|---:|---:|---:|---:|---|";

/// One Envoy.
struct Row {
    version: String,
    lacks: Vec<String>,
    /// What the tests found; or why it does not load the filter, in Envoy's words.
    found: Result<Found, String>,
}

impl Row {
    async fn of(version: &str, path: &Path) -> Result<Self> {
        let says = Command::new(path).arg("--version").output().with_context(|| format!("cannot run {}", path.display()))?;
        let says = String::from_utf8_lossy(&says.stdout).into_owned();
        ensure!(says.contains(&format!("/{version}/")), "{} is another Envoy: {}", path.display(), says.trim());
        let options = Options::default().program(path.to_path_buf());
        let envoy = match Envoy::start(&format!("matrix-{version}"), &EnvoyFile::load("inbound.yaml")?, options).await {
            Ok(envoy) => envoy,
            Err(error) => {
                let said = format!("{error:#}");
                return Ok(Self { version: version.to_owned(), lacks: Vec::new(), found: Err(why_not(&said)) });
            }
        };
        let mut lacks: Vec<String> = envoy.log().lines().filter_map(lacking).collect();
        envoy.stop();
        if !takes_tags(path)? {
            lacks.push("`custom_tags.value`: `envoy/tracing.yaml` is refused, take `tracing-1.36.yaml`".to_owned());
        }
        Ok(Self { version: version.to_owned(), lacks, found: Ok(play(version, path)?) })
    }

    /// Whether all came out well; else what did not.
    fn fault(&self) -> Option<String> {
        let found = self.found.as_ref().ok()?;
        let failed = found.failed();
        let is_good = failed.is_empty() && found.cases().1 == 0 && found.cases().0 > 0 && found.tour.0 == found.tour.1 && found.tour.1 > 0;
        (!is_good).then(|| format!("Envoy {}: failed: {}", self.version, failed.join(", ")))
    }

    /// The row of the table.
    fn line(&self) -> String {
        let found = match &self.found {
            Ok(found) => found,
            Err(why) => return format!("| {} | no | | | | | | {why} |", self.version),
        };
        let (good, bad) = found.cases();
        let held = found.passed(|name| name.starts_with("hold::") && !is_streaming(name));
        let streaming = found.passed(is_streaming);
        let of = |(passed, all): (usize, usize)| format!("{passed} of {all}");
        let lacks = if self.lacks.is_empty() { "nothing".to_owned() } else { self.lacks.join("; ") };
        format!("| {} | yes | {good} | {bad} | {} | {} | {} | {lacks} |", self.version, of(found.tour), of(held), of(streaming))
    }
}

/// Whether the test of this name has `hold_headers: false`.
fn is_streaming(name: &str) -> bool {
    name.starts_with("hold::without_holding") || name == "attacks::nor_where_headers_are_not_held"
}

/// What the filter says that this Envoy has not, of a line of the log.
fn lacking(line: &str) -> Option<String> {
    let (_, what) = line.split_once(LACKS)?;
    Some(what.trim().to_owned())
}

/// What Envoy's log says of why it did not start: that it has no V8, else its last word.
fn why_not(log: &str) -> String {
    let unsupported = log.lines().find(|line| line.contains("compiled without support"));
    let line = unsupported.or_else(|| log.lines().rev().find(|line| line.contains("[critical]") || line.contains("error")));
    let text = line.unwrap_or("it does not start").rsplit("] ").next().unwrap_or_default();
    text.replace('|', "\\|").chars().take(200).collect()
}

/// Whether `envoy/tracing.yaml` can be loaded.
fn takes_tags(path: &Path) -> Result<bool> {
    let file = place::logs().join(place::unique("matrix-tracing")).with_extension("json");
    std::fs::write(&file, serde_json::to_vec(EnvoyFile::load("tracing.yaml")?.value())?)?;
    let validate = Command::new(path).args(["--mode", "validate", "--use-dynamic-base-id", "-c"]).arg(&file).output()?;
    let said = String::from_utf8_lossy(&validate.stderr).into_owned();
    match validate.status.success() {
        true => Ok(true),
        false if said.contains("custom_tags") || said.contains("CustomTag") => Ok(false),
        false => bail!("envoy/tracing.yaml is refused for another reason: {}", why_not(&said)),
    }
}

/// Runs the tests on this Envoy.
fn play(version: &str, path: &Path) -> Result<Found> {
    let report: PathBuf = place::logs().join(place::unique(&format!("matrix-{version}"))).with_extension("found.json");
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["test", "--locked", "-q", "-p", "attache-mesh", "--test", "mesh"]).current_dir(place::root());
    tests.env("ENVOY_PATH", path).env(REPORT, &report);
    let log = place::logs().join(place::unique(&format!("matrix-{version}"))).with_extension("tests.log");
    let out = std::fs::File::create(&log)?;
    tests.stderr(out.try_clone()?).stdout(out);
    let status = tests.status().context("cannot run cargo")?;
    let found = std::fs::read(&report).with_context(|| format!("the tests ended with {status} and no report; see {}", log.display()))?;
    let found: Found = serde_json::from_slice(&found)?;
    if !status.success() {
        eprintln!("matrix: not all passed on Envoy {version}; see {}", log.display());
    }
    Ok(found)
}

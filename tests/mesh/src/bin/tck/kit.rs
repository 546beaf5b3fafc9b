//! The TCK's folder, the agent that it is played against, and one run of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::http::{Call, basic};
use attache_mesh::process::{self, Process};
use attache_mesh::{peer, place, wait};
use serde_json::Value;

/// The header in which the TCK sends its credential, and Envoy lends it.
pub const HEADER: &str = "x-api-key";
/// The credential. For A2A 0.3 it is the password of [`USER`]: that TCK sends nothing but `Authorization`.
pub const KEY: &str = "the-key-of-the-tck-5f1d2c8e9a";

/// Whose password it is.
pub const USER: &str = "tck";

const START: Duration = Duration::from_secs(240);
/// A run has tests that wait for streams and deliveries, one after the other.
const PLAY: Duration = Duration::from_secs(3600);

/// What became of each test: outcome and why, by its name.
pub type Outcomes = BTreeMap<String, (String, String)>;

/// Which way a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// To the agent itself.
    Direct,
    /// Through the filter, with the credential where the TCK sends one.
    Own,
    /// Through the filter, and Envoy adds the credential where it is missing.
    Lent,
}

/// A checkout of the TCK.
pub struct Kit {
    folder: PathBuf,
    /// The version of A2A that it tests.
    pub version: &'static str,
    python: PathBuf,
    arguments: Vec<String>,
}

/// The agent, and where it has each binding.
pub struct Agent {
    pub url: String,
    pub port: u16,
    /// Binding as the filter calls it, and its path.
    pub bindings: Vec<(&'static str, String)>,
    pub grpc_port: Option<u16>,
    _processes: Vec<Arc<Process>>,
    _peer: Option<peer::Agent>,
}

impl Kit {
    /// Looks at what is in `folder`; `arguments` go to pytest. Python is `TCK_PYTHON`, else that of the folder's own `.venv`.
    pub fn find(folder: &Path, arguments: Vec<String>) -> Result<Self> {
        let folder = folder.canonicalize().with_context(|| format!("no folder {}", folder.display()))?;
        let version = match ["tests/compatibility", "tests/mandatory"].map(|tests| folder.join(tests).is_dir()) {
            [true, _] => "1.0",
            [_, true] => "0.3",
            _ => bail!("{} has neither tests/compatibility (1.0) nor tests/mandatory (0.3): it is no TCK", folder.display()),
        };
        let python = std::env::var_os("TCK_PYTHON").map_or_else(|| folder.join(".venv/bin/python"), PathBuf::from);
        ensure!(python.exists(), "no {}: install the TCK as its README says, or set TCK_PYTHON", python.display());
        Ok(Self { folder, version, python, arguments })
    }

    /// The agent at `TCK_AGENT`, if that is set; else one that is started: for 1.0 the TCK's own on the Python SDK, for 0.3 the mesh's.
    pub async fn agent(&self) -> Result<Agent> {
        if let Ok(url) = std::env::var("TCK_AGENT") {
            return self.described(url, None, None).await;
        }
        if self.version == "0.3" {
            let agent = peer::agent_0_3(None).await?;
            let url = format!("http://127.0.0.1:{}", agent.port);
            return self.described(url, None, Some(agent)).await;
        }
        // It takes a port and no socket, so the ports are free again before it has them.
        let (port, grpc_port) = (free_port()?, free_port()?);
        let mut command = Command::new(place::tool("py-1.0/bin/python"));
        command.arg(self.folder.join("sut/a2a-python/sut_agent.py")).current_dir(&self.folder);
        command.env("SUT_HOST", format!("127.0.0.1:{port}")).env("GRPC_PORT", grpc_port.to_string());
        let process = process::spawn("tck-agent", command)?;
        let url = format!("http://127.0.0.1:{port}");
        self.described(url, Some(process), None).await
    }

    /// Reads from its card where the agent at `url` has its bindings.
    async fn described(&self, url: String, process: Option<Arc<Process>>, peer: Option<peer::Agent>) -> Result<Agent> {
        let port = port_of(&url)?;
        let card = wait::until("the agent's card", START, async || {
            if let Some(status) = process.as_ref().and_then(|process| process.ended()) {
                bail!("the agent ended with {status}");
            }
            let reply = Call::get("/.well-known/agent-card.json").send(port).await;
            Ok(reply.ok().filter(|reply| reply.status == 200).map(|reply| reply.json()))
        });
        let card = card.await.with_context(|| process.as_ref().map(|process| process.tail()).unwrap_or_default())?;
        let mut agent = Agent {
            url,
            port,
            bindings: Vec::new(),
            grpc_port: peer.as_ref().and_then(|peer| peer.grpc_port),
            _processes: process.into_iter().collect(),
            _peer: peer,
        };
        for (binding, url) in interfaces(&card, self.version) {
            match binding.as_str() {
                "JSONRPC" => agent.bindings.push(("jsonrpc", path_of(&url))),
                "HTTP+JSON" => agent.bindings.push(("http_json", path_of(&url))),
                "GRPC" => agent.grpc_port = Some(port_of(&url)?),
                _ => {}
            }
        }
        agent.bindings.sort();
        agent.bindings.dedup_by(|one, other| one.0 == other.0);
        ensure!(!agent.bindings.is_empty(), "the card names no interface of A2A {}: {card}", self.version);
        Ok(agent)
    }

    /// Plays all tests against `url`.
    pub async fn play(&self, run: Run, url: &str) -> Result<Outcomes> {
        let name = place::unique(&format!("tck-{run:?}").to_lowercase());
        let outcomes = place::logs().join(format!("{name}.outcomes"));
        let mut command = Command::new(&self.python);
        command.args(["-m", "pytest", "-q", "-p", "tck_outcomes", "-p", "no:cacheprovider", "--tb=short"]);
        match self.version {
            "1.0" => command.arg("tests/compatibility").arg(format!("--sut-host={url}")),
            _ => command.args(["tests/mandatory", "tests/optional", "--test-scope=all"]).arg(format!("--sut-url={url}")),
        };
        command.args(&self.arguments).current_dir(&self.folder);
        command.env("TCK_OUTCOMES", &outcomes).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PYTHONPATH", place::peer(""));
        if run == Run::Own {
            match self.version {
                "1.0" => command.env("A2A_AUTH_TYPE", "apikey").env("A2A_AUTH_TOKEN", KEY).env("A2A_AUTH_HEADER", HEADER),
                _ => command.env("A2A_JSONRPC_AUTHORIZATION", basic(USER, KEY)),
            };
        }
        println!("playing it: {run:?}, {url}");
        let process = process::spawn(&name, command)?;
        process.exit(PLAY).await.with_context(|| process.tail())?;
        let text = std::fs::read(&outcomes).with_context(|| format!("no outcomes\n{}", process.tail()))?;
        let outcomes: Outcomes = serde_json::from_slice(&text)?;
        ensure!(!outcomes.is_empty(), "no test was played\n{}", process.tail());
        Ok(outcomes)
    }
}

/// Binding and URL of each interface that the card has for `version`.
fn interfaces(card: &Value, version: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if version == "1.0" {
        let offered = list(&card["supportedInterfaces"]).into_iter().filter(|one| text(&one["protocolVersion"]).starts_with("1."));
        return offered.map(|one| (text(&one["protocolBinding"]), text(&one["url"]))).collect();
    }
    let preferred = card["preferredTransport"].as_str().unwrap_or("JSONRPC").to_owned();
    let more = list(&card["additionalInterfaces"]).into_iter().map(|one| (text(&one["transport"]), text(&one["url"])));
    std::iter::once((preferred, text(&card["url"]))).chain(more).collect()
}

/// The port of a URL, or of what gRPC calls a target.
fn port_of(url: &str) -> Result<u16> {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    port.with_context(|| format!("no port in {url}"))
}

/// The path of a URL, without a slash at its end.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default().trim_end_matches('/').to_owned()
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

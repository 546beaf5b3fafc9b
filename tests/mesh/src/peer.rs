//! The programs around the proxies: agents that echo, and one-shot callers built on the official SDKs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use http::Method;
use serde_json::Value;

use crate::http::Call;
use crate::place;
use crate::process::{self, Process};
use crate::user_server::UserServer;

/// Python imports of an SDK take seconds when both cores are busy.
const START: Duration = Duration::from_secs(240);
const CALLER: Duration = Duration::from_secs(240);

/// An agent that listens.
pub struct Agent {
    pub process: Arc<Process>,
    pub port: u16,
    /// Where it speaks gRPC, if it does.
    pub grpc_port: Option<u16>,
}

impl Agent {
    /// The last requests whose heads reached the agent, oldest first: `{method, path, headers}`.
    pub async fn requests(&self) -> Result<Vec<Value>> {
        let told = Call::get("/control/requests").send(self.port).await?.json();
        told["requests"].as_array().cloned().with_context(|| format!("no requests in {told}"))
    }

    /// From now on a partner's agent refuses `all` tokens, those that it has `seen` until now, or `none`, although they are good.
    pub async fn refuse(&self, tokens: &str) -> Result<()> {
        let reply = Call::new(Method::POST, format!("/control/refuse?tokens={tokens}")).send(self.port).await?;
        ensure!(reply.is_success(), "{} {}", reply.status, reply.text());
        Ok(())
    }

    /// How many of them hold `mark` in path or query.
    pub async fn saw(&self, mark: &str) -> Result<usize> {
        let requests = self.requests().await?;
        Ok(requests.iter().filter(|request| request["path"].as_str().is_some_and(|path| path.contains(mark))).count())
    }
}

fn python(venv: &str, script: &str) -> Command {
    let mut command = Command::new(place::tool(venv).join("bin/python"));
    command.arg(place::peer(script)).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command
}

/// `node <script>` of the peers' folder.
pub fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(place::peer(script)).env("NODE_NO_WARNINGS", "1");
    command
}

async fn agent(name: &str, command: Command) -> Result<Agent> {
    let _turn = process::turn().await;
    let process = process::spawn(&place::unique(name), command)?;
    let ready = process.ready(START).await?;
    let grpc_port = process::port_of(&ready, "grpc_port").ok();
    Ok(Agent { port: process::port_of(&ready, "port")?, process, grpc_port })
}

/// Starts the A2A 1.0 version of the agent. Its card states the URL that `url_file` holds when it is asked, or its own.
pub async fn agent_1_0(url_file: Option<&Path>) -> Result<Agent> {
    agent("agent-1.0", stating(python("py-1.0", "agent_1_0.py"), url_file)).await
}

/// Starts the same agent with the paths of the SDK's own sample.
pub async fn agent_sample() -> Result<Agent> {
    let mut command = python("py-1.0", "agent_1_0.py");
    command.arg("--sample");
    agent("agent-sample", command).await
}

/// Starts the JavaScript SDK's agent of 1.0 in the layout of its samples.
pub async fn agent_sample_js() -> Result<Agent> {
    agent("agent-sample-js", node("agent_sample.mjs")).await
}

/// Starts several agents of 1.0 in one server, in the layouts of frameworks: see `peers/agent_layouts.py`.
pub async fn agent_layouts() -> Result<Agent> {
    agent("agent-layouts", python("py-1.0", "agent_layouts.py")).await
}

/// The same for 0.3: Kagent's and Vertex's layouts.
pub async fn agent_layouts_0_3() -> Result<Agent> {
    let mut command = python("py-0.3", "agent_0_3.py");
    command.arg("--layouts");
    agent("agent-layouts-0.3", command).await
}

/// Starts an echo agent whose SDK posts notifications through the Envoy at `port`: of 1.0 in Python or JavaScript, or of 0.3 in Python.
pub async fn agent_notifying(sdk: Sdk, port: u16) -> Result<Agent> {
    agent_notifying_at(sdk, port, None).await
}

/// The same where its card states the URL that `url_file` holds: those in Python.
pub async fn agent_notifying_at(sdk: Sdk, port: u16, url_file: Option<&Path>) -> Result<Agent> {
    let mut command = match sdk {
        Sdk::Python1_0 => python("py-1.0", "agent_notifying_1_0.py"),
        Sdk::Python0_3 => python("py-0.3", "agent_notifying_0_3.py"),
        Sdk::Js1_0 | Sdk::Js0_3 => node("agent_sample.mjs"),
    };
    command.env("NOTIFY_PORT", port.to_string());
    agent("agent-notifying", stating(command, url_file)).await
}

/// Starts what receives notifications: see `peers/receiver.mjs`.
pub async fn receiver() -> Result<Agent> {
    agent("receiver", node("receiver.mjs")).await
}

/// Starts the A2A 0.3 version of the same agent.
pub async fn agent_0_3(url_file: Option<&Path>) -> Result<Agent> {
    agent("agent-0.3", stating(python("py-0.3", "agent_0_3.py"), url_file)).await
}

/// Starts what is the same agent in JavaScript, without gRPC. Its card states its own URL.
pub async fn agent_0_3_js() -> Result<Agent> {
    agent("agent-0.3-js", node("agent_0_3.mjs")).await
}

fn stating(mut command: Command, url_file: Option<&Path>) -> Command {
    if let Some(url_file) = url_file {
        command.arg("--url-file").arg(url_file);
    }
    command
}

/// Starts an agent of both versions whose card the SDK signs; its keys are at `/control/jwks`.
pub async fn agent_signed() -> Result<Agent> {
    agent("agent-signed", python("py-1.0", "agent_signed.py")).await
}

/// Starts the partner's agent, which wants `key` in `x-api-key`. Its card states its own URL if there is no `url_file`.
pub async fn partner(key: &str, url_file: Option<&Path>) -> Result<Agent> {
    let mut command = python("py-1.0", "partner.py");
    command.env("PARTNER_EXPECTED_KEY", key);
    agent("partner", stating(command, url_file)).await
}

/// Starts the agent of a partner who has users, of A2A 1.0 or 0.3: it wants access tokens of `server` for `audience` and echoes whose it
/// got (`subject`, `client`, `scope`). `scope` are scopes that they must have.
pub async fn partner_of_users(version: &str, server: &UserServer, audience: &str, scope: &str) -> Result<Agent> {
    let mut command = match version {
        "1.0" => python("py-1.0", "agent_1_0.py"),
        _ => python("py-0.3", "agent_0_3.py"),
    };
    command.args(["--issuer", &server.issuer, "--audience", audience, "--jwks", &server.jwks_uri(), "--scope", scope]);
    agent(&format!("partner-of-users-{version}"), command).await
}

/// Starts servers that tell how they read requests: a script of the peers' folder.
pub async fn readers(script: &str) -> Result<Agent> {
    let command = match script {
        "readers_1_0.py" => python("py-1.0", script),
        "readers_0_3.py" => python("py-0.3", script),
        _ => node(script),
    };
    agent("readers", command).await
}

/// What a page in a browser reads of `calls`, a list of what `fetch` takes: see `peers/browser.mjs`.
pub async fn browser(calls: &Value) -> Result<Value> {
    let mut command = node("browser.mjs");
    command.args(["--calls", &calls.to_string()]);
    told("browser", command).await
}

/// What somebody sees and does at the page of `make run` at `url`: see `peers/page.mjs`. With `screenshot` a picture of it is left there.
pub async fn page(url: &str, screenshot: Option<&Path>) -> Result<Value> {
    let mut command = node("page.mjs");
    command.args(["--url", url]);
    if let Some(file) = screenshot {
        command.arg("--screenshot").arg(file);
    }
    told("page", command).await
}

/// What somebody sees (`part` is `look`) and does (`way`) at the pages of consent in `folder`: see `peers/look_at_pages.mjs`.
pub async fn look_at_pages(folder: &Path, part: &str) -> Result<Value> {
    let mut command = node("look_at_pages.mjs");
    command.arg("--pages").arg(folder).args(["--part", part]);
    told("look-at-pages", command).await
}

/// The line that a program prints which runs once.
async fn told(name: &str, command: Command) -> Result<Value> {
    let _turn = process::turn_to_run().await;
    let process = process::spawn(&place::unique(name), command)?;
    process.exit(CALLER).await.with_context(|| process.tail())?;
    let line = process.out().lines().rev().find(|line| line.starts_with('{')).map(str::to_owned);
    let line = line.with_context(|| format!("{} printed no result\n{}", process.name(), process.tail()))?;
    Ok(serde_json::from_str(&line)?)
}

/// The official SDKs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    Python1_0,
    Python0_3,
    Js1_0,
    Js0_3,
}

impl Sdk {
    /// A short name for reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python1_0 => "python-1.0",
            Self::Python0_3 => "python-0.3",
            Self::Js1_0 => "js-1.0",
            Self::Js0_3 => "js-0.3",
        }
    }

    /// The version of A2A that it speaks.
    pub fn version(self) -> &'static str {
        match self {
            Self::Python1_0 | Self::Js1_0 => "1.0",
            Self::Python0_3 | Self::Js0_3 => "0.3",
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Python1_0 => python("py-1.0", "client_1_0.py"),
            Self::Python0_3 => python("py-0.3", "client_0_3.py"),
            Self::Js1_0 => node("client_1_0.mjs"),
            Self::Js0_3 => node("client_0_3.mjs"),
        }
    }

    /// Runs the caller once: `ops` (`send,stream,get,card` and others of `peers/README.md`) over `binding` against the agent at `url`. Returns the line it printed.
    pub async fn call(self, url: &str, token: Option<&str>, ops: &str, binding: &str) -> Result<Value> {
        self.run(&["--url", url, "--ops", ops, "--binding", binding], token).await
    }

    /// The same over JSON-RPC where every request has the id `id`.
    pub async fn call_named(self, id: &str, url: &str, token: &str, ops: &str) -> Result<Value> {
        self.run(&["--url", url, "--ops", ops, "--binding", "jsonrpc", "--header", &format!("x-request-id:{id}")], Some(token)).await
    }

    /// The same where the card is fetched before anything names a version.
    pub async fn call_card_first(self, url: &str, token: Option<&str>, ops: &str, binding: &str) -> Result<Value> {
        self.run(&["--url", url, "--ops", ops, "--binding", binding, "--card-first"], token).await
    }

    /// The same for a caller who shows something else than a token: a client for Python.
    pub async fn call_with_header(self, url: &str, header: &str, ops: &str, binding: &str) -> Result<Value> {
        self.run(&["--url", url, "--ops", ops, "--binding", binding, "--card-first", "--header", header], None).await
    }

    /// The same with the card at `card_path` below `url`.
    pub async fn call_by_card(self, url: &str, card_path: &str, token: Option<&str>, ops: &str, binding: &str) -> Result<Value> {
        self.run(&["--url", url, "--card-path", card_path, "--ops", ops, "--binding", binding], token).await
    }

    /// The same about a task that is there already: `get`, `cancel` and `subscribe`.
    pub async fn call_about(self, task: &str, url: &str, token: Option<&str>, ops: &str, binding: &str) -> Result<Value> {
        self.run(&["--url", url, "--ops", ops, "--binding", binding, "--task", task], token).await
    }

    /// The same with `hook` as the push configuration of `push_send` and `push_set`; over gRPC it is a port at 127.0.0.1 in place of `url`.
    pub async fn call_hooked(self, hook: &Value, url: &str, ops: &str, binding: &str) -> Result<Value> {
        let place = if binding == "grpc" { "--grpc-target" } else { "--url" };
        let mut command = self.command();
        command.args([place, url, "--ops", ops, "--binding", binding]).env("HOOK", hook.to_string());
        told(&format!("client-{}", self.name()), command).await
    }

    /// The same over gRPC at 127.0.0.1:`port`, where no card is looked up.
    pub async fn call_grpc(self, port: u16, token: Option<&str>, ops: &str, headers: &[&str]) -> Result<Value> {
        let target = format!("127.0.0.1:{port}");
        let mut arguments = vec!["--grpc-target", &target, "--ops", ops, "--binding", "grpc"];
        arguments.extend(headers.iter().flat_map(|header| ["--header", header]));
        self.run(&arguments, token).await
    }

    /// The same about a task and a context that are there already: also `list` and what is done to push configurations.
    pub async fn call_grpc_about(self, ids: [&str; 2], port: u16, token: &str, ops: &str) -> Result<Value> {
        let target = format!("127.0.0.1:{port}");
        let [task, context] = ids;
        let arguments = ["--grpc-target", &target, "--ops", ops, "--binding", "grpc", "--task", task, "--context", context];
        self.run(&arguments, Some(token)).await
    }

    /// The same where a message goes on in a task and context that are there already (`continue`, `continue_stream`): an empty one is
    /// not named.
    pub async fn call_within(self, ids: [&str; 2], url: &str, token: Option<&str>, ops: &str, binding: &str) -> Result<Value> {
        let place = if binding == "grpc" { "--grpc-target" } else { "--url" };
        let [task, context] = ids;
        self.run(&[place, url, "--ops", ops, "--binding", binding, "--task", task, "--context", context], token).await
    }

    /// The same with another text in place of `hello`; over gRPC `url` is a host with its port.
    pub async fn call_saying(self, text: &str, url: &str, token: Option<&str>, ops: &str, binding: &str) -> Result<Value> {
        let place = if binding == "grpc" { "--grpc-target" } else { "--url" };
        self.run(&[place, url, "--ops", ops, "--binding", binding, "--text", text], token).await
    }

    /// What becomes of each of `tries`, a list of `{op, …}` in JSON: see `peers/README.md`. Each has a client of its own.
    pub async fn try_all(self, url: &str, token: &str, binding: &str, tries: &str) -> Result<Value> {
        self.run(&["--url", url, "--binding", binding, "--tries", tries], Some(token)).await
    }

    /// The same over gRPC.
    pub async fn try_grpc(self, port: u16, token: &str, tries: &str) -> Result<Value> {
        let target = format!("127.0.0.1:{port}");
        self.run(&["--grpc-target", &target, "--binding", "grpc", "--tries", tries], Some(token)).await
    }

    /// The same for a tenant: the 1.0 SDK for Python.
    pub async fn call_grpc_in(self, tenant: &str, port: u16, token: &str, ops: &str) -> Result<Value> {
        let target = format!("127.0.0.1:{port}");
        self.run(&["--grpc-target", &target, "--ops", ops, "--binding", "grpc", "--tenant", tenant], Some(token)).await
    }

    async fn run(self, arguments: &[&str], token: Option<&str>) -> Result<Value> {
        let mut command = self.command();
        command.args(arguments);
        if let Some(token) = token {
            command.args(["--token", token]);
        }
        told(&format!("client-{}", self.name()), command).await
    }
}

//! `docs/getting-started.md`, step by step: its agent, `envoy/first-agent.yaml`, its calls.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::peer::Sdk;
use attache_mesh::port::Reserved;
use attache_mesh::process::Process;
use attache_mesh::{place, process, wait};
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::suite::Suite;

const KEY: &str = "0b8e6a51f3c24d7f9a1d5c3e7b902468";

/// What the page says.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn load() -> Result<Self> {
        Ok(Self(std::fs::read_to_string(place::root().join("docs/getting-started.md"))?))
    }

    /// Its blocks in `language`.
    pub(crate) fn blocks(&self, language: &str) -> Vec<&str> {
        let fence = format!("```{language}\n");
        self.0.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).collect()
    }

    /// Its `curl` commands: the path, the headers, the body.
    pub(crate) fn calls(&self, key: &str) -> Result<Vec<Call>> {
        let blocks = self.blocks("console");
        blocks.into_iter().filter(|block| block.starts_with("$ curl")).map(|command| call(command, key)).collect()
    }
}

/// The call that a `curl` command makes, with this key in the file `key`.
fn call(command: &str, key: &str) -> Result<Call> {
    let path = command.split("http://127.0.0.1:8080").nth(1).context("no URL")?.split_whitespace().next().context("no path")?;
    let body = command.split("-d '").nth(1).and_then(|rest| rest.split('\'').next());
    let mut call = Call::new(if body.is_some() { Method::POST } else { Method::GET }, path);
    for header in command.split("-H ").skip(1) {
        let quote = header.chars().next().context("no header")?;
        let (name, value) = header.split(quote).nth(1).and_then(|header| header.split_once(": ")).context("no header")?;
        call = call.header(name, value.replace("$(cat key)", key));
    }
    Ok(match body {
        Some(body) => call.body(body.to_owned()),
        None => call,
    })
}

/// The page's agent on a port of its own. It cannot take one that is reserved for it, so that somebody else may be quicker.
pub(crate) async fn agent(page: &Page) -> Result<(Arc<Process>, u16)> {
    let code = page.blocks("python").first().context("no agent on the page")?.to_string();
    for _ in 0..3 {
        let port = Reserved::new()?.port();
        let file = place::logs().join(format!("first-agent-{port}.py"));
        std::fs::write(&file, code.replace("9000", &port.to_string()))?;
        let mut command = Command::new(place::tool("py-1.0").join("bin/python"));
        command.arg(&file);
        let process = process::spawn(&place::unique("first-agent"), command)?;
        let serves = wait::until("the page's agent", wait::PATIENCE, async || {
            let reply = Call::get("/.well-known/agent-card.json").send(port).await;
            let serves = reply.is_ok_and(|reply| reply.is_success());
            Ok((serves || process.ended().is_some()).then_some(serves))
        });
        if serves.await? {
            return Ok((process, port));
        }
    }
    bail!("the page's agent found no port")
}

async fn goes_as_the_page_says() -> Result<()> {
    let page = Page::load()?;
    let (agent, inner) = agent(&page).await?;
    let outer = Reserved::new()?;
    let url = format!("http://127.0.0.1:{}", outer.port());
    let mut file = EnvoyFile::load("first-agent.yaml")?;
    file.listen_on(&outer)?;
    file.cluster("agent", inner)?;
    let digest: String = Sha256::digest(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    file.edit_plugin(|plugin| {
        let text = plugin.to_string().replace("DIGEST", &digest);
        let text = text.replace("127.0.0.1:9000", &format!("127.0.0.1:{}", inner)).replace("http://127.0.0.1:8080", &url);
        *plugin = serde_json::from_str(&text).unwrap_or(Value::Null);
    })?;
    let envoy = Envoy::start("first-agent", &file, Options::default()).await?;

    let calls = page.calls(KEY)?;
    let [card, without, with] = calls.as_slice() else { bail!("the page has {} calls", calls.len()) };
    let card = card.send(envoy.port()).await?;
    ensure!(card.is_success(), "the card: {}", card.text());
    let interfaces = card.json()["supportedInterfaces"].as_array().cloned().unwrap_or_default();
    let leads = |one: &Value| one["url"].as_str().is_some_and(|at| at.starts_with(&format!("{url}/")));
    ensure!(interfaces.len() == 2 && interfaces.iter().all(leads), "{}", card.text());
    let refused = without.send(envoy.port()).await?;
    ensure!(refused.status == 401 && refused.text().contains("x-api-key"), "{}: {}", refused.status, refused.text());
    let answer = with.send(envoy.port()).await?;
    ensure!(answer.json()["result"]["message"]["parts"][0]["text"] == "You said: hello", "{}: {}", answer.status, answer.text());
    let docs = Call::get("/docs").send(envoy.port()).await?;
    ensure!(docs.status == 404 && docs.reason().as_deref() == Some("operation_unknown"), "{}: {}", docs.status, docs.text());

    // And as the SDK's client does it: the card first, then the agent where the card says.
    let result = Sdk::Python1_0.call_with_header(&url, &format!("x-api-key: {KEY}"), "card,send,stream", "jsonrpc").await?;
    ensure!(result["ok"] == true, "{result}");
    agent.stop();
    Ok(())
}

/// Six answers, and Envoy stands before the agent.
async fn goes_as_attache_init_writes_it() -> Result<()> {
    let (process, inner) = agent(&Page::load()?).await?;
    let folder = place::logs().join(place::unique("init"));
    std::fs::create_dir_all(&folder)?;
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (output, key, port) = (path("envoy.yaml"), path("key"), Reserved::new()?);
    let agent = format!("http://127.0.0.1:{}", inner);
    let public = format!("http://127.0.0.1:{}", port.port());
    let module = place::module(false).to_string_lossy().into_owned();
    let listening = port.port().to_string();
    let arguments = [
        ["--name", "first"],
        ["--agent", &agent],
        ["--public-url", &public],
        ["--port", &listening],
        ["--callers", "keys"],
        ["--client", "me"],
        ["--key-file", &key],
        ["--module", &module],
        ["--output", &output],
    ];
    let arguments: Vec<&str> = std::iter::once("init").chain(arguments.into_iter().flatten()).collect();
    attache_cli::command::answer(&arguments).map_err(|error| anyhow!(error))?;
    let (_, status) = attache_cli::command::answer(&["check", "--strict", &output]).map_err(|error| anyhow!(error))?;
    ensure!(status == 0, "attache check has something to say of it");
    let mut value: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(&output)?)?;
    // Each Envoy of the mesh has its own.
    value["admin"]["address"]["socket_address"]["port_value"] = json!(0);
    let mut file = EnvoyFile::from_value(value);
    file.listen_on(&port)?;
    let envoy = Envoy::start("init", &file, Options::default()).await?;
    let card = Call::get("/.well-known/agent-card.json").version("1.0").send(envoy.port()).await?;
    ensure!(card.is_success() && card.text().contains(&public), "{}: {}", card.status, card.text());
    let url = card.json()["supportedInterfaces"][0]["url"].as_str().context("no interface")?.to_owned();
    let path = url.strip_prefix(&public).context("the interface is elsewhere")?;
    let call = Call::post(if path.is_empty() { "/" } else { path }, &rpc(json!(7), "SendMessage", message_1_0("hello")));
    let refused = call.send(envoy.port()).await?;
    ensure!(refused.status == 401, "{}: {}", refused.status, refused.text());
    let answer = call.header("x-api-key", std::fs::read_to_string(&key)?.trim()).send(envoy.port()).await?;
    ensure!(answer.json()["result"]["message"]["parts"][0]["text"] == "You said: hello", "{}: {}", answer.status, answer.text());
    process.stop();
    Ok(())
}

/// As it is before the digest is put in.
async fn without_a_key_of_ones_own_envoy_does_not_start() -> Result<()> {
    let file = EnvoyFile::load("first-agent.yaml")?;
    let (_, log) = Envoy::refuse("first-agent-without", &file, Options::default()).await?;
    let place = "schemes.key.api_key.keys[0].sha256";
    ensure!(log.contains(place), "no {place} in the log: {}", json!(log));
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("getting_started::goes_as_the_page_says", async |_| goes_as_the_page_says().await);
    suite.add("getting_started::goes_as_attache_init_writes_it", async |_| goes_as_attache_init_writes_it().await);
    suite.add("getting_started::without_a_key_of_ones_own_envoy_does_not_start", async |_| {
        without_a_key_of_ones_own_envoy_does_not_start().await
    });
}

//! `docs/upgrade.md`: the files in it run, their updates are taken, and the statistics that it names are there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::Call;
use attache_mesh::mesh::{Mesh, send_1_0};
use attache_mesh::{place, wait};
use serde_json::{Value, json};

use crate::suite::{Suite, works};

/// Where the page has its files.
const FOLDER: &str = "/etc/envoy/attache";

pub fn add(suite: &mut Suite) {
    suite.add("upgrade::the_filter_in_a_file_runs_as_the_page_says", by_filter);
    suite.add("upgrade::listeners_in_a_file_run_as_the_page_says", by_listeners);
}

/// The page, and its blocks of YAML, with `folder` in place of its folder.
fn page(folder: &Path) -> Result<(String, Vec<Value>)> {
    let text = std::fs::read_to_string(place::root().join("docs/upgrade.md"))?;
    let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let blocks = blocks.map(|block| serde_yaml_ng::from_str(&block.replace(FOLDER, &folder.display().to_string())));
    let blocks = blocks.collect::<Result<Vec<Value>, _>>().context("a block of docs/upgrade.md")?;
    ensure!(blocks.len() == 3, "{} blocks of YAML", blocks.len());
    Ok((text, blocks))
}

/// The commands of each block that the page shows of a console, with this folder and the port of this Envoy's admin server.
fn consoles(text: &str, folder: &Path, envoy: &Envoy) -> Vec<String> {
    let blocks = text.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let here = |block: &str| block.replace(FOLDER, &folder.display().to_string()).replace(":9901/", &format!(":{}/", envoy.admin()));
    let commands = |block: String| block.lines().filter_map(|line| line.strip_prefix("$ ")).collect::<Vec<_>>().join("\n");
    blocks.map(|block| commands(here(block))).collect()
}

/// Runs commands in a folder: what they print.
fn shell(folder: &Path, commands: &str) -> Result<String> {
    let out = Command::new("sh").args(["-ec", commands]).current_dir(folder).output()?;
    ensure!(out.status.success(), "{commands}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn folder(name: &str) -> Result<std::path::PathBuf> {
    let folder = place::logs().join(place::unique(name));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Moves `resources` into the file `name`, as YAML.
fn publish(folder: &Path, name: &str, resources: &Value) -> Result<()> {
    let next = folder.join("next");
    std::fs::write(&next, serde_yaml_ng::to_string(resources)?)?;
    Ok(std::fs::rename(next, folder.join(name))?)
}

/// Until calls are decided by an agent of the name.
async fn decided_by(envoy: &Envoy, token: &str, agent: &str) -> Result<()> {
    wait::until("the update", Duration::from_secs(60), async || {
        let echo = works(envoy.port(), token).await?.echo();
        Ok(echo.is_some_and(|echo| echo.told("agent") == [agent]).then_some(()))
    })
    .await
}

/// Each of the statistics that the page names is there, by its last part.
async fn named(envoy: &Envoy, page: &str, names: &[&str]) -> Result<()> {
    let stats = Call::get("/stats").send(envoy.admin()).await?.text();
    for name in names {
        ensure!(page.contains(name), "docs/upgrade.md does not name {name}");
        ensure!(stats.lines().any(|line| line.split(':').next().is_some_and(|stat| stat.ends_with(name))), "no {name} in {stats}");
    }
    Ok(())
}

/// The plugin's configuration for this mesh, as it stands in the page's `filter.yaml`.
fn filter(mesh: &Mesh, block: &Value, folder: &Path, edit: impl FnOnce(&mut Value)) -> Result<Value> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(edit)?;
    let mut filter = block.clone();
    let config = &mut filter["resources"][0]["typed_config"]["config"];
    ensure!(config["configuration"]["value"] == "{ … }", "the page's filter has a configuration");
    config["configuration"]["value"] = json!(file.plugin()?.to_string());
    let module = config["vm_config"]["code"]["local"]["filename"].as_str().context("no module")?.to_owned();
    ensure!(Path::new(&module).parent() == Some(folder), "the module is in {module}");
    if !Path::new(&module).exists() {
        std::os::unix::fs::symlink(place::module(false), module)?;
    }
    Ok(filter)
}

async fn by_filter(mesh: &'static Mesh) -> Result<()> {
    let folder = folder("upgrade-filter")?;
    let (text, blocks) = page(&folder)?;
    let mut file = mesh.inbound_file()?;
    file.http_manager()?["http_filters"] = blocks[0]["http_filters"].clone();
    file.value_mut()["node"] = json!({"id": "expense-1", "cluster": "expense"});
    publish(&folder, "filter.yaml", &filter(mesh, &blocks[1], &folder, |_| {})?)?;
    let envoy = Envoy::start("upgrade-filter", &file, Options::default()).await?;
    let token = mesh.token().await?;
    decided_by(&envoy, &token, "expense").await?;
    named(&envoy, &text, &["extension_config_discovery.http_filter.attache.config_reload", ".config_fail", "v8.active"]).await?;
    let [change, look] = consoles(&text, &folder, &envoy).try_into().map_err(|all| anyhow!("{all:?}"))?;
    let own = folder.join("own");
    std::fs::create_dir_all(&own)?;
    publish(&own, "filter.yaml", &filter(mesh, &blocks[1], &folder, |plugin| plugin["agents"][0]["name"] = json!("renamed"))?)?;
    shell(&own, &change)?;
    decided_by(&envoy, &token, "renamed").await?;
    let said = shell(&own, &look)?;
    ensure!(said.contains("attache.config_reload: 2") && said.contains("attache.config_fail: 0"), "{said}");
    let reply = send_1_0("x").send(envoy.port()).await?;
    ensure!(reply.reason().as_deref() == Some("credentials_missing"), "{} {}", reply.status, reply.text());
    // The folder that a ConfigMap is mounted to.
    let watched = json!({"path": folder.join("filter.yaml"), "watched_directory": {"path": folder}});
    file.http_manager()?["http_filters"][0]["config_discovery"]["config_source"]["path_config_source"] = watched;
    let watching = Envoy::start("upgrade-watched", &file, Options::default()).await?;
    decided_by(&watching, &token, "renamed").await?;
    publish(&folder, "filter.yaml", &filter(mesh, &blocks[1], &folder, |_| {})?)?;
    decided_by(&watching, &token, "expense").await
}

async fn by_listeners(mesh: &'static Mesh) -> Result<()> {
    let folder = folder("upgrade-listeners")?;
    let (text, blocks) = page(&folder)?;
    let listeners = |agent: &str| {
        let mut file = mesh.inbound_file()?;
        file.edit_plugin(|plugin| plugin["agents"][0]["name"] = json!(agent))?;
        let mut list = std::mem::take(file.listeners_mut()?);
        list.iter_mut().for_each(|one| one["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener"));
        publish(&folder, "listeners.yaml", &json!({"resources": list}))?;
        anyhow::Ok(file)
    };
    let mut file: EnvoyFile = listeners("expense")?;
    for member in ["node", "dynamic_resources"] {
        file.value_mut()[member] = blocks[2][member].clone();
    }
    let envoy = Envoy::start("upgrade-listeners", &file, Options::default()).await?;
    let token = mesh.token().await?;
    decided_by(&envoy, &token, "expense").await?;
    listeners("renamed")?;
    decided_by(&envoy, &token, "renamed").await?;
    let names = ["listener_manager.listener_in_place_updated", "listener_manager.lds.update_success", ".update_rejected"];
    named(&envoy, &text, &names).await?;
    named(&envoy, &text, &["listener_manager.total_filter_chains_draining"]).await?;
    ensure!(envoy.stat("listener_manager.listener_in_place_updated").await? == 1, "the listener was replaced as a whole");
    let drained = Call::new(http::Method::POST, "/drain_listeners?graceful").send(envoy.admin()).await?;
    ensure!(text.contains("POST /drain_listeners?graceful") && drained.status == 200, "{} {}", drained.status, drained.text());
    Ok(())
}

//! Envoys that serve for many tests at once: a test's listeners and clusters are added over LDS and CDS, and taken away at its end.
//! V8 compiles the module once for a process, which is most of what a start costs.
//!
//! Each configuration keeps a `vm_id` of its own, so it has a VM and shared data of its own. What a process has once (statistics,
//! the admin server, environment variables, the number of workers) is why some tests need an Envoy of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;

use crate::envoy::{Envoy, Options};
use crate::envoy_file::{EnvoyFile, is_wasm};
use crate::http::Call;
use crate::port::Reserved;
use crate::process::{self, Process};
use crate::{place, wait};

/// Each serves with one worker, so two make use of two cores.
const ENVOYS: usize = 2;
/// Compiling the module and its first configuration.
const START: Duration = Duration::from_secs(240);

/// What a test's Envoy is in a shared one.
pub struct Guest {
    envoy: &'static SharedEnvoy,
    /// Ends the names of all that is its own: `~m7`.
    mark: String,
    /// The ports of its listeners. Envoy may give several listeners without a port the socket of one that is just being taken away.
    _ports: Vec<Reserved>,
}

/// One process that serves for many.
struct SharedEnvoy {
    process: Arc<Process>,
    admin: u16,
    files: [PathBuf; 2],
    served: Mutex<Served>,
    told: Mutex<Told>,
}

/// Listeners and clusters by the mark of their guest, and how often they were written.
#[derive(Default)]
struct Served {
    version: u64,
    listeners: BTreeMap<String, Vec<Value>>,
    clusters: BTreeMap<String, Vec<Value>>,
}

/// What each guest's filter logged, as far as the log was read.
#[derive(Default)]
struct Told {
    read: u64,
    part: Vec<u8>,
    last: String,
    by_mark: BTreeMap<String, String>,
    /// What Envoy itself says of listeners and clusters that it does not take.
    refusals: Vec<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves `file` in a shared Envoy; `None` if it wants what only an Envoy of its own can have.
pub async fn serve(file: &EnvoyFile, options: &Options) -> Result<Option<(Guest, u16)>> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static RUNNING: [OnceCell<SharedEnvoy>; ENVOYS] = [const { OnceCell::const_new() }; ENVOYS];
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mark = format!("~m{number}");
    let Some((mut listeners, clusters)) = marked(file.value(), &mark, options) else { return Ok(None) };
    let mut ports = Vec::new();
    for listener in &mut listeners {
        let port = &mut listener["address"]["socket_address"]["port_value"];
        if *port == 0 {
            let reserved = Reserved::new()?;
            *port = json!(reserved.port());
            ports.push(reserved);
        }
    }
    let index = number % ENVOYS;
    let slot = RUNNING.get(index).context("an Envoy")?;
    let envoy = slot.get_or_try_init(|| SharedEnvoy::start(index)).await?;
    // From here on its end takes away what is added.
    let guest = Guest { envoy, mark, _ports: ports };
    let port = guest.add(listeners, clusters).await.with_context(|| format!("{}\n{}", guest.log(), envoy.process.tail()))?;
    Ok(Some((guest, port)))
}

/// Listeners and clusters with the mark in all their names; `None` if there is more than these.
fn marked(root: &Value, mark: &str, options: &Options) -> Option<(Vec<Value>, Vec<Value>)> {
    let parts = root.as_object()?;
    if options.concurrency != 1
        || options.own
        || parts.keys().any(|key| !["admin", "static_resources", "stats_config"].contains(&key.as_str()))
    {
        return None;
    }
    let resources = root["static_resources"].as_object()?;
    if resources.keys().any(|key| !["listeners", "clusters"].contains(&key.as_str())) {
        return None;
    }
    let names = resources.get("clusters")?.as_array()?.iter().filter_map(|cluster| cluster["name"].as_str());
    let mut marking = Marking { mark, options, names: names.collect(), is_whole: true };
    let mut listeners = resources.get("listeners")?.as_array()?.clone();
    let mut clusters = resources.get("clusters")?.as_array()?.clone();
    for (resource, kind) in listeners
        .iter_mut()
        .map(|one| (one, "type.googleapis.com/envoy.config.listener.v3.Listener"))
        .chain(clusters.iter_mut().map(|one| (one, "type.googleapis.com/envoy.config.cluster.v3.Cluster")))
    {
        marking.go(resource);
        let name = format!("{}{mark}", resource["name"].as_str().unwrap_or("listener"));
        resource["name"] = json!(name);
        resource["@type"] = json!(kind);
    }
    (marking.is_whole && !listeners.is_empty()).then_some((listeners, clusters))
}

/// Puts a mark on names of clusters and VMs.
struct Marking<'a> {
    mark: &'a str,
    options: &'a Options,
    names: BTreeSet<&'a str>,
    /// Whether everything is understood so far.
    is_whole: bool,
}

impl Marking<'_> {
    fn go(&mut self, value: &mut Value) {
        match value {
            Value::Array(list) => list.iter_mut().for_each(|value| self.go(value)),
            Value::Object(map) => {
                if map.get("@type").and_then(Value::as_str).is_some_and(is_wasm) {
                    self.filter(map);
                }
                map.iter_mut().for_each(|(key, value)| self.member(key, value));
            }
            // A name in a place that is not known: a script, say.
            Value::String(text) => self.is_whole &= !self.names.contains(text.as_str()),
            _ => {}
        }
    }

    fn member(&mut self, key: &str, value: &mut Value) {
        match (key, value) {
            ("cluster" | "cluster_name", Value::String(name)) => self.name(name),
            ("clusters", Value::Array(list)) => {
                for one in list {
                    match one {
                        Value::String(name) => self.name(name),
                        weighted => {
                            if let Some(Value::String(name)) = weighted.get_mut("name") {
                                self.name(name);
                            }
                        }
                    }
                }
            }
            ("stat_prefix", Value::String(name)) => name.push_str(self.mark),
            ("name", Value::String(_)) => {}
            (_, value) => self.go(value),
        }
    }

    fn name(&self, name: &mut String) {
        if self.names.contains(name.as_str()) {
            name.push_str(self.mark);
        }
    }

    /// A filter has a VM of its own, the same module as all, and its variables in its configuration.
    fn filter(&mut self, typed: &mut Map<String, Value>) {
        let Some(config) = typed.get_mut("config").and_then(Value::as_object_mut) else {
            self.is_whole = false;
            return;
        };
        self.is_whole &= config["vm_config"]["code"] == json!({"local": {"filename": place::module(false)}});
        let vm = &mut config["vm_config"];
        // What is restricted is logged without the name of a VM.
        self.is_whole &= vm.get("capability_restriction_config").is_none();
        // Without a name of its own a VM is shared with others of that kind: a test that has none means that.
        let Some(vm_id) = vm["vm_id"].as_str().map(str::to_owned) else {
            self.is_whole = false;
            return;
        };
        vm["vm_id"] = json!(format!("{vm_id}{}", self.mark));
        if let Some(variables) = vm.get_mut("environment_variables") {
            let asked: Vec<String> = serde_json::from_value(variables["host_env_keys"].take()).unwrap_or_default();
            let set = self.options.environment.iter().filter(|(name, _)| asked.contains(name));
            self.is_whole &= variables.get("key_values").is_none();
            *variables = json!({"key_values": set.cloned().collect::<BTreeMap<_, _>>()});
        }
        let plugin =
            config.get("configuration").and_then(|any| any["value"].as_str()).and_then(|text| serde_json::from_str::<Value>(text).ok());
        let Some(mut plugin) = plugin else {
            self.is_whole = false;
            return;
        };
        // Names in other places of this one are its own (`name`, a host).
        let whole = self.is_whole;
        self.go(&mut plugin);
        self.is_whole = whole;
        config["configuration"]["value"] = Value::String(plugin.to_string());
    }
}

impl SharedEnvoy {
    async fn start(index: usize) -> Result<Self> {
        let _turn = process::turn().await;
        let name = place::unique(&format!("envoy-shared-{}", index + 1));
        let path = |end: &str| place::logs().join(format!("{name}.{end}"));
        let (config, admin, files) = (path("json"), path("admin"), [path("lds.json"), path("cds.json")]);
        for file in &files {
            write(file, 0, &[])?;
        }
        let [listeners, clusters] =
            files.each_ref().map(|file| json!({"path_config_source": {"path": file}, "resource_api_version": "V3"}));
        let root = json!({
            "node": {"id": "mesh", "cluster": "mesh"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "dynamic_resources": {"lds_config": listeners, "cds_config": clusters},
        });
        std::fs::write(&config, serde_json::to_vec_pretty(&root)?)?;
        let mut command = Command::new(place::envoy());
        command.arg("--config-path").arg(&config).arg("--admin-address-path").arg(&admin);
        command.args(["--use-dynamic-base-id", "--log-level", "warning", "--component-log-level", "wasm:info", "--concurrency", "1"]);
        command.args(["--file-flush-interval-msec", "200", "--drain-time-s", "1", "--drain-strategy", "immediate"]);
        let process = process::spawn(&name, command)?;
        let admin = Envoy::ready(&process, &admin).await.with_context(|| format!("{name} did not start\n{}", process.tail()))?;
        Ok(Self { process, admin, files, served: Mutex::default(), told: Mutex::default() })
    }

    /// Writes all that is served; the version that Envoy then has.
    fn write(&self, served: &mut Served) -> Result<u64> {
        served.version += 1;
        let [listeners, clusters] = &self.files;
        write(clusters, served.version, &served.clusters.values().flatten().collect::<Vec<_>>())?;
        write(listeners, served.version, &served.listeners.values().flatten().collect::<Vec<_>>())?;
        Ok(served.version)
    }

    async fn text(&self, path: &str) -> Result<Value> {
        Ok(Call::get(path).send(self.admin).await?.json())
    }

    /// What the filter of a guest logged.
    fn log_of(&self, mark: &str) -> String {
        let mut told = lock(&self.told);
        told.read_on(self.process.log_path());
        told.by_mark.get(mark).cloned().unwrap_or_default()
    }

    /// What Envoy says of a guest that it does not take.
    fn refusal(&self, mark: &str) -> Option<String> {
        let mut told = lock(&self.told);
        told.read_on(self.process.log_path());
        let is_its = |line: &&String| line.split(mark).skip(1).any(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
        told.refusals.iter().find(is_its).cloned()
    }
}

/// Envoy watches for files that are moved.
fn write(path: &Path, version: u64, resources: &[&Value]) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(&json!({"version_info": version.to_string(), "resources": resources}))?)?;
    std::fs::rename(new, path)?;
    Ok(())
}

impl Told {
    /// Reads what was added to the log: lines of a VM by its name, and lines that go on with what such a line says.
    fn read_on(&mut self, path: &Path) {
        let Ok(mut file) = std::fs::File::open(path) else { return };
        let mut new = Vec::new();
        if file.seek(SeekFrom::Start(self.read)).is_err() || file.read_to_end(&mut new).is_err() {
            return;
        }
        self.read += new.len() as u64;
        self.part.append(&mut new);
        let Some(end) = self.part.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = self.part.split_off(end + 1);
        let whole = std::mem::replace(&mut self.part, rest);
        for line in String::from_utf8_lossy(&whole).split_inclusive('\n') {
            if line.starts_with("[20") {
                self.last = mark_of(line).unwrap_or_default().to_owned();
            }
            if self.last.is_empty() && line.contains("~m") && line.contains("rejected") {
                self.refusals.push(line.to_owned());
            }
            if !self.last.is_empty() {
                let plain = line.replace(&self.last, "");
                self.by_mark.entry(self.last.clone()).or_default().push_str(&plain);
            }
        }
    }
}

/// The mark in a line of a VM: `… wasm log attache attache-inbound~m7: …`.
fn mark_of(line: &str) -> Option<&str> {
    let (_, said) = line.split_once("] wasm log ")?;
    let (who, _) = said.split_once(':')?;
    who.get(who.rfind("~m")?..)
}

impl Guest {
    async fn add(&self, listeners: Vec<Value>, clusters: Vec<Value>) -> Result<u16> {
        let name = listeners.first().and_then(|listener| listener["name"].as_str()).context("a listener's name")?.to_owned();
        let version = {
            let mut served = lock(&self.envoy.served);
            served.clusters.insert(self.mark.clone(), clusters);
            self.envoy.write(&mut served)?
        };
        self.wait("clusters", async || {
            let stats = self.envoy.text("/stats?format=json&type=TextReadouts&filter=cluster_manager.cds.version_text").await?;
            let at = stats["stats"][0]["value"].as_str().and_then(|text| text.parse::<u64>().ok());
            Ok(at.filter(|at| *at >= version).map(|_| ()))
        })
        .await?;
        {
            let mut served = lock(&self.envoy.served);
            served.listeners.insert(self.mark.clone(), listeners);
            self.envoy.write(&mut served)?;
        }
        self.wait("a listener", async || {
            let all = self.envoy.text("/listeners?format=json").await?;
            let own = all["listener_statuses"].as_array().into_iter().flatten().find(|listener| listener["name"] == name.as_str());
            let port = own.and_then(|listener| listener["local_address"]["socket_address"]["port_value"].as_u64());
            Ok(port.map(u16::try_from).transpose()?.filter(|port| *port != 0))
        })
        .await
    }

    async fn wait<T>(&self, what: &str, mut condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        let process = &self.envoy.process;
        wait::until(&format!("{what} of {} in {}", self.mark, process.name()), START, async || {
            if let Some(status) = process.ended() {
                bail!("{} ended with {status}", process.name());
            }
            if let Some(line) = self.envoy.refusal(&self.mark) {
                bail!("Envoy refuses it: {line}");
            }
            condition().await
        })
        .await
    }

    /// What its filter logged.
    pub fn log(&self) -> String {
        self.envoy.log_of(&self.mark)
    }

    /// The process that it is in.
    pub fn process(&self) -> &Arc<Process> {
        &self.envoy.process
    }

    /// The port of the admin server, and the name that a listener has here.
    pub fn named(&self, listener: &str) -> (u16, String) {
        (self.envoy.admin, format!("{listener}{}", self.mark))
    }

    /// The port of the admin server, and the name that statistics with `part` in theirs have here. `None` if a process has them once:
    /// those of the filter.
    pub fn statistic(&self, part: &str) -> Option<(u16, String)> {
        let mut words = part.splitn(3, '.');
        let name = match (words.next()?, words.next(), words.next()) {
            // Of no guest: none of them makes a VM end.
            ("vm_reload", None, None) => part.to_owned(),
            (kind @ ("cluster" | "http"), Some(name), Some(rest)) => format!("{kind}.{name}{}.{rest}", self.mark),
            _ => return None,
        };
        Some((self.envoy.admin, name))
    }

    /// Takes away what it has.
    pub fn leave(&self) {
        let mut served = lock(&self.envoy.served);
        let had = served.listeners.remove(&self.mark).is_some();
        if served.clusters.remove(&self.mark).is_some() || had {
            // Nobody waits for it, and a run that ends has no files any more.
            let _ = self.envoy.write(&mut served);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::{Told, mark_of, marked};
    use crate::envoy::Options;
    use crate::place;
    use serde_json::{Value, json};

    const LINE: &str =
        "[2026-11-26 21:15:54.123][9445][warning][wasm] [source/extensions/common/wasm/context.cc:1154] wasm log attache attache-inbound";

    #[test]
    fn a_line_is_its_own_guests() {
        assert_eq!(mark_of(&format!("{LINE}~m7: attache: ready")), Some("~m7"));
        assert_eq!(mark_of(&format!("{LINE}: attache: cluster a~m7")), None);
        let folder = place::logs().join("told");
        std::fs::write(&folder, format!("{LINE}~m7: one\nmore of it\n{LINE}~m8: two\n[2026-11-26] other\n{LINE}~m7: cluster a~m7\nhalf"))
            .unwrap();
        let mut told = Told::default();
        told.read_on(&folder);
        assert_eq!(told.by_mark["~m7"], format!("{LINE}: one\nmore of it\n{LINE}: cluster a\n"));
        assert_eq!(told.by_mark["~m8"], format!("{LINE}: two\n"));
    }

    fn file(plugin: &Value, more: &Value) -> Value {
        let mut root = json!({"static_resources": {
            "listeners": [{"name": "in", "filter_chains": [{"filters": [
                {"route": {"cluster": "a"}, "weighted_clusters": {"clusters": [{"name": "b", "weight": 1}]}},
                {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": {
                    "vm_config": {"vm_id": "vm", "code": {"local": {"filename": place::module(false)}},
                        "environment_variables": {"host_env_keys": ["KEY", "NONE"]}},
                    "configuration": {"value": plugin.to_string()},
                }},
            ]}]}],
            "clusters": [{"name": "a", "load_assignment": {"cluster_name": "a"}}, {"name": "b"}],
        }});
        for (key, value) in more.as_object().unwrap() {
            root[key] = value.clone();
        }
        root
    }

    #[test]
    fn what_is_a_guests_own_has_its_mark() {
        let plugin = json!({"pin": {"clusters": ["a", "elsewhere"]}, "jwks": {"cluster": "b"}, "name": "a"});
        let options = Options::default().env("KEY", "v").env("OTHER", "w");
        let (listeners, clusters) = marked(&file(&plugin, &json!({})), "~m1", &options).unwrap();
        let filters = &listeners[0]["filter_chains"][0]["filters"];
        assert_eq!(filters[0], json!({"route": {"cluster": "a~m1"}, "weighted_clusters": {"clusters": [{"name": "b~m1", "weight": 1}]}}));
        assert_eq!(filters[1]["config"]["vm_config"]["vm_id"], "vm~m1");
        assert_eq!(filters[1]["config"]["vm_config"]["environment_variables"], json!({"key_values": {"KEY": "v"}}));
        let own: Value = serde_json::from_str(filters[1]["config"]["configuration"]["value"].as_str().unwrap()).unwrap();
        assert_eq!(own, json!({"pin": {"clusters": ["a~m1", "elsewhere"]}, "jwks": {"cluster": "b~m1"}, "name": "a"}));
        assert_eq!(clusters[0]["load_assignment"]["cluster_name"], "a~m1");
    }

    #[test]
    fn what_a_process_has_once_is_not_shared() {
        let plugin = json!({});
        assert!(marked(&file(&plugin, &json!({"layered_runtime": {}})), "~m1", &Options::default()).is_none());
        assert!(marked(&file(&plugin, &json!({})), "~m1", &Options::default().workers(2)).is_none());
        assert!(marked(&file(&plugin, &json!({})), "~m1", &Options::default().own()).is_none());
        let mut script = file(&plugin, &json!({}));
        script["static_resources"]["listeners"][0]["script"] = json!("b");
        assert!(marked(&script, "~m1", &Options::default()).is_none());
    }
}

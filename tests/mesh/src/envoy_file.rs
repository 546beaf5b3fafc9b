//! Envoy configuration: the files of `envoy/`, with addresses changed so that they run anywhere, and edits for variations.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::place;
use crate::port::Reserved;

/// A bootstrap configuration.
#[derive(Clone, Debug)]
pub struct EnvoyFile {
    root: Value,
}

impl EnvoyFile {
    /// Loads `envoy/<name>`. Listeners and the admin server then take free ports of 127.0.0.1, the filter comes from
    /// `target/attache.wasm`; all else stays as the file says.
    pub fn load(name: &str) -> Result<Self> {
        let path = place::root().join("envoy").join(name);
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let root: Value = serde_yaml_ng::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        let mut file = Self { root };
        let free = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
        file.root["admin"] = json!({"address": free});
        for listener in file.listeners_mut()?.iter_mut().filter(|listener| listener["address"].get("pipe").is_none()) {
            listener["address"] = free.clone();
        }
        file.module(&place::module(false))?;
        Ok(file)
    }

    /// Wraps a configuration that is built in code.
    pub fn from_value(root: Value) -> Self {
        Self { root }
    }

    /// The whole configuration.
    pub fn value(&self) -> &Value {
        &self.root
    }

    /// The whole configuration, to be changed.
    pub fn value_mut(&mut self) -> &mut Value {
        &mut self.root
    }

    /// The listeners.
    pub fn listeners_mut(&mut self) -> Result<&mut Vec<Value>> {
        self.root["static_resources"]["listeners"].as_array_mut().context("no static_resources.listeners")
    }

    /// Makes the first listener take a port that is reserved for it.
    pub fn listen_on(&mut self, port: &Reserved) -> Result<()> {
        let listener = self.listeners_mut()?.first_mut().context("no listener")?;
        listener["address"]["socket_address"]["port_value"] = json!(port.port());
        Ok(())
    }

    /// Points every endpoint of a cluster at 127.0.0.1:`port`, in the clear.
    pub fn cluster(&mut self, name: &str, port: u16) -> Result<()> {
        let cluster = self.address(name, port)?;
        if let Some(map) = cluster.as_object_mut() {
            map.remove("transport_socket");
        }
        Ok(())
    }

    /// Points every endpoint of a cluster at 127.0.0.1:`port`, over TLS if the file says so.
    pub fn address(&mut self, name: &str, port: u16) -> Result<&mut Value> {
        let clusters = self.root["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
        let found = clusters.iter_mut().find(|cluster| cluster["name"] == name);
        let cluster = found.with_context(|| format!("no cluster {name}"))?;
        let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        let mut changed = 0;
        visit(cluster, &mut |map| {
            if let Some(endpoint) = map.get_mut("endpoint") {
                endpoint["address"] = address.clone();
                changed += 1;
            }
        });
        if changed == 0 { bail!("cluster {name} has no endpoint") } else { Ok(cluster) }
    }

    /// Adds a cluster that differs from `name` in its name only.
    pub fn copy_cluster(&mut self, name: &str, copy: &str) -> Result<()> {
        let clusters = self.root["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
        let mut cluster = clusters.iter().find(|one| one["name"] == name).with_context(|| format!("no cluster {name}"))?.clone();
        cluster["name"] = json!(copy);
        cluster["load_assignment"]["cluster_name"] = json!(copy);
        clusters.push(cluster);
        Ok(())
    }

    /// The `config` of the wasm filter (Envoy's PluginConfig).
    pub fn wasm(&mut self) -> Result<&mut Value> {
        // In a listener, or in a cluster.
        let filter = find(&mut self.root["static_resources"], &|map| map.get("@type").and_then(Value::as_str).is_some_and(is_wasm));
        filter.map(|filter| &mut filter["config"]).context("no wasm filter")
    }

    /// Takes the filter from another file, wherever it stands.
    pub fn module(&mut self, path: &std::path::Path) -> Result<()> {
        self.wasm()?;
        visit(&mut self.root["static_resources"], &mut |map| {
            if map.get("@type").and_then(Value::as_str).is_some_and(is_wasm) {
                map["config"]["vm_config"]["code"] = json!({"local": {"filename": path}});
            }
        });
        Ok(())
    }

    /// Replaces a text wherever it stands in the file, also in the plugin's configuration.
    pub fn replace(&mut self, from: &str, to: &str) -> Result<()> {
        let text = self.root.to_string();
        if !text.contains(from) {
            bail!("{from:?} is not in the file");
        }
        self.root = serde_json::from_str(&text.replace(from, to))?;
        Ok(())
    }

    /// The plugin configuration.
    pub fn plugin(&mut self) -> Result<Value> {
        let text = self.wasm()?["configuration"]["value"].as_str().context("no StringValue configuration")?.to_owned();
        serde_json::from_str(&text).context("the plugin configuration is not JSON")
    }

    /// Edits the plugin configuration.
    pub fn edit_plugin(&mut self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let mut plugin = self.plugin()?;
        edit(&mut plugin);
        self.wasm()?["configuration"]["value"] = Value::String(plugin.to_string());
        Ok(())
    }

    /// The HTTP connection manager's settings.
    pub fn http_manager(&mut self) -> Result<&mut Value> {
        let listeners = &mut self.root["static_resources"]["listeners"];
        let manager =
            find(listeners, &|map| map.get("@type").and_then(Value::as_str).is_some_and(|name| name.ends_with("HttpConnectionManager")));
        manager.context("no HTTP connection manager")
    }

    /// Moves the listeners to a file that Envoy watches; returns (bootstrap, listener file).
    pub fn split_listeners(&self, path: &std::path::Path) -> Result<(Self, Value)> {
        let mut boot = self.clone();
        let listeners = std::mem::take(boot.listeners_mut()?);
        boot.root["node"] = json!({"id": "mesh", "cluster": "mesh"});
        boot.root["dynamic_resources"] = json!({"lds_config": {
            "path_config_source": {"path": path}, "resource_api_version": "V3"}});
        let mut resources = Vec::new();
        for mut listener in listeners {
            listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
            resources.push(listener);
        }
        Ok((boot, json!({"resources": resources})))
    }

    /// Moves the wasm filter to a file that Envoy watches; returns (bootstrap, filter file).
    pub fn split_filter(&self, path: &std::path::Path) -> Result<(Self, Value)> {
        let mut boot = self.clone();
        let filters = boot.http_manager()?["http_filters"].as_array_mut().context("no http_filters")?;
        let filter = filters.iter_mut().find(|filter| filter["typed_config"]["@type"].as_str().is_some_and(is_wasm));
        let filter = filter.context("no wasm filter")?;
        let mut resource = std::mem::take(filter);
        *filter = json!({"name": resource["name"], "config_discovery": {
            "config_source": {"path_config_source": {"path": path}, "resource_api_version": "V3"},
            "type_urls": [resource["typed_config"]["@type"]]}});
        resource["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
        boot.root["node"] = json!({"id": "mesh", "cluster": "mesh"});
        Ok((boot, json!({"resources": [resource]})))
    }
}

/// Whether a type is that of the wasm filter.
pub fn is_wasm(name: &str) -> bool {
    name.ends_with("filters.http.wasm.v3.Wasm")
}

type Map = serde_json::Map<String, Value>;

fn visit(value: &mut Value, act: &mut dyn FnMut(&mut Map)) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| visit(value, act)),
        Value::Object(map) => {
            act(map);
            map.values_mut().for_each(|value| visit(value, act));
        }
        _ => {}
    }
}

fn find<'a>(value: &'a mut Value, fits: &dyn Fn(&Map) -> bool) -> Option<&'a mut Value> {
    if value.as_object().is_some_and(fits) {
        return Some(value);
    }
    match value {
        Value::Array(list) => list.iter_mut().find_map(|value| find(value, fits)),
        Value::Object(map) => map.values_mut().find_map(|value| find(value, fits)),
        _ => None,
    }
}

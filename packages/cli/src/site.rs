//! Finds the filter in a document: in a listener or cluster of Envoy, a patch of Istio, a WasmPlugin or TrafficExtension, or an
//! EnvoyExtensionPolicy of Envoy Gateway.

use crate::tree::{Member, Node, step};

/// Members that only a configuration of this filter has at its top.
const OWN: [&str; 5] = ["agents", "connections", "webhooks", "issuers", "schemes"];
/// The message of Envoy that configures a Wasm filter.
const WASM: &str = "envoy.extensions.filters.http.wasm.v3.Wasm";

/// One step from a document to the filter.
#[derive(Clone, Debug)]
pub struct Link<'d> {
    /// As it stands in a place: `listeners`, `[0]`.
    pub step: String,
    /// The member, unless this is an element of a list.
    pub member: Option<&'d Member>,
    /// What it leads to.
    pub node: &'d Node,
}

/// In which form the filter stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Envoy's own `PluginConfig`.
    Envoy,
    /// The `spec` of a WasmPlugin, or the `spec.wasm` of a TrafficExtension, which has the same members.
    WasmPlugin,
    /// An entry of `spec.wasm` of an EnvoyExtensionPolicy.
    ExtensionPolicy,
}

/// Where the filter stands.
#[derive(Clone, Debug)]
pub struct Site<'d> {
    /// From the document to what [`Form`] says.
    pub chain: Vec<Link<'d>>,
    /// What that is.
    pub form: Form,
}

impl<'d> Site<'d> {
    /// What configures the plugin.
    pub fn node(&self) -> &'d Node {
        self.chain.last().map_or_else(|| unreachable!("a chain begins with its document"), |link| link.node)
    }

    /// The document.
    pub fn document(&self) -> &'d Node {
        self.chain.first().map_or_else(|| self.node(), |link| link.node)
    }

    /// The innermost value around the plugin of which this is true, with its place.
    pub fn around(&self, is: impl Fn(&Node) -> bool) -> Option<(&Link<'d>, String)> {
        let index = self.chain.iter().rposition(|link| is(link.node))?;
        Some((self.chain.get(index)?, self.place_of(index)))
    }

    fn place_of(&self, index: usize) -> String {
        let steps: Vec<String> = self.chain.iter().take(index + 1).skip(1).map(|link| link.step.clone()).collect();
        crate::tree::joined(&steps)
    }

    /// The place of what configures the plugin.
    pub fn place(&self) -> String {
        self.place_of(self.chain.len().saturating_sub(1))
    }

    /// Whether a member of this name is on the way.
    pub fn passes(&self, name: &str) -> bool {
        self.chain.iter().any(|link| link.step == name)
    }
}

/// Every place of the filter in `document`.
pub fn find(document: &Node) -> Vec<Site<'_>> {
    let mut found = Vec::new();
    let mut chain = vec![Link { step: String::new(), member: None, node: document }];
    walk(&mut chain, &mut found);
    found.retain(|site| is_ours(site.node()));
    found
}

fn walk<'d>(chain: &mut Vec<Link<'d>>, found: &mut Vec<Site<'d>>) {
    let Some(node) = chain.last().map(|link| link.node) else { return };
    let is_kind = |kind: &str| node.get("kind").and_then(Node::text) == Some(kind);
    let mut take = |names: &[&str], form: Form| {
        let start = chain.len();
        let mut at = node;
        for name in names {
            let Some(member) = at.member(name) else { break };
            at = &member.value;
            chain.push(Link { step: step(name), member: Some(member), node: at });
        }
        if chain.len() == start + names.len() {
            match form {
                Form::ExtensionPolicy => {
                    for (index, element) in at.elements().iter().enumerate() {
                        let mut own = chain.clone();
                        own.push(Link { step: format!("[{index}]"), member: None, node: element });
                        found.push(Site { chain: own, form });
                    }
                }
                Form::Envoy | Form::WasmPlugin => found.push(Site { chain: chain.clone(), form }),
            }
        }
        chain.truncate(start);
    };
    if is_kind("WasmPlugin") {
        take(&["spec"], Form::WasmPlugin);
    } else if is_kind("TrafficExtension") {
        take(&["spec", "wasm"], Form::WasmPlugin);
    } else if is_kind("EnvoyExtensionPolicy") {
        take(&["spec", "wasm"], Form::ExtensionPolicy);
    } else if is_message(node, "@type") {
        take(&["config"], Form::Envoy);
    } else if is_message(node, "type_url") {
        take(&["value", "config"], Form::Envoy);
    } else {
        for (index, element) in node.elements().iter().enumerate() {
            chain.push(Link { step: format!("[{index}]"), member: None, node: element });
            walk(chain, found);
            chain.pop();
        }
        for member in node.members() {
            chain.push(Link { step: step(&member.name), member: Some(member), node: &member.value });
            walk(chain, found);
            chain.pop();
        }
    }
}

fn is_message(node: &Node, member: &str) -> bool {
    node.get(member).and_then(Node::text).is_some_and(|kind| kind.rsplit('/').next() == Some(WASM))
}

/// Whether a plugin is this filter: by one of its names, or by what its configuration has.
fn is_ours(plugin: &Node) -> bool {
    let names: [&[&str]; 9] = [
        &["name"],
        &["root_id"],
        &["rootID"],
        &["pluginName"],
        &["url"],
        &["vm_config", "vm_id"],
        &["vm_config", "code", "local", "filename"],
        &["vm_config", "code", "remote", "http_uri", "uri"],
        &["code", "image", "url"],
    ];
    let is_named = names.iter().filter_map(|names| plugin.at(names)?.text()).any(|text| text.to_ascii_lowercase().contains("attache"));
    let places: [&[&str]; 4] = [&["configuration", "value"], &["configuration"], &["pluginConfig"], &["config"]];
    is_named
        || places.iter().filter_map(|names| plugin.at(names)).any(|configuration| match configuration.text() {
            Some(text) => crate::json::parse(text).is_some_and(|tree| has_own(&tree)),
            None => has_own(configuration),
        })
}

/// Whether this can be a configuration of the filter.
pub fn has_own(configuration: &Node) -> bool {
    configuration.members().iter().any(|member| OWN.contains(&member.name.as_str()))
}

/// Whether a document belongs to Envoy or Kubernetes.
pub fn is_surrounding(document: &Node) -> bool {
    let own = ["static_resources", "dynamic_resources", "apiVersion", "kind", "resources", "@type", "http_filters", "configs", "listeners"];
    document.members().iter().any(|member| own.contains(&member.name.as_str()))
}

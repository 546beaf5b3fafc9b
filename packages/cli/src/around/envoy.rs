//! What Envoy's own `PluginConfig` and the connection manager around it must say.

use super::{Around, Here, texts};
use crate::finding::Severity::{Error, Warning};
use crate::tree::Node;
use attache::config::{Placement, Ports};

/// The first bytes of every WebAssembly module.
const MAGIC: &[u8] = b"\0asm";

pub(super) fn check(around: &mut Around<'_>) {
    let site = around.site;
    let place = site.place();
    let plugin = Here { node: site.node(), place: &place };
    hold(around, plugin);
    failure(around, plugin);
    code(around, plugin);
    variables(around, plugin);
    placement(around, plugin);
    super::capabilities::check(around, plugin);
    let is_manager = |node: &Node| {
        let kind = node.get("@type").and_then(Node::text).unwrap_or_default();
        kind.ends_with(".HttpConnectionManager")
    };
    if let Some((manager, place)) = site.around(is_manager) {
        let manager = Here { node: manager.node, place: &place };
        paths(around, manager);
        ports(around, manager);
    }
    let document = site.document();
    if document.get("kind").and_then(Node::text) == Some("EnvoyFilter") {
        around.generated_routes("Istio's");
    }
}

fn hold(around: &mut Around<'_>, plugin: Here<'_>) {
    const FLAG: &str = "allow_on_headers_stop_iteration";
    if around.config.hold_headers && plugin.node.get(FLAG).and_then(Node::boolean) != Some(true) {
        let message =
            "must be true: the filter holds headers until the verdict, and Envoy delivers no body meanwhile (500 headers_not_held)";
        around.tell(
            Error,
            plugin,
            FLAG,
            message,
            "add allow_on_headers_stop_iteration: true here, or \"hold_headers\": false to the filter's configuration",
        );
    }
}

fn failure(around: &mut Around<'_>, plugin: Here<'_>) {
    const POLICY: &str = "failure_policy";
    let open = plugin.node.get("fail_open").and_then(Node::boolean) == Some(true);
    let policy = plugin.node.get(POLICY).and_then(Node::text);
    let help = "write failure_policy: FAIL_RELOAD";
    match policy {
        Some("FAIL_OPEN") => around.tell(Error, plugin, POLICY, "when the filter fails, Envoy lets every request through unchecked", help),
        Some("FAIL_RELOAD") => {}
        _ if open => around.tell(Error, plugin, "fail_open", "when the filter fails, Envoy lets every request through unchecked", help),
        _ => around.tell(
            Warning,
            plugin,
            POLICY,
            "is not FAIL_RELOAD: after a fault of the filter Envoy refuses every request until it is started anew",
            help,
        ),
    }
}

fn code(around: &mut Around<'_>, plugin: Here<'_>) {
    let Some(code) = plugin.node.at(&["vm_config", "code"]) else {
        let help = "add code: {local: {filename: /path/to/attache.wasm}}";
        return around.tell(Error, plugin, "vm_config.code", "is missing: Envoy does not know which module to load", help);
    };
    if let Some(file) = code.at(&["local", "filename"]).and_then(Node::text) {
        // Where there is no such file, Envoy may run elsewhere.
        if std::fs::read(file).is_ok_and(|bytes| !bytes.starts_with(MAGIC)) {
            around.tell(
                Error,
                plugin,
                "vm_config.code.local.filename",
                "this file is no WebAssembly module",
                "name the file that `make build` makes: attache.wasm",
            );
        }
    }
    if code.get("remote").is_some_and(|remote| remote.get("sha256").is_none()) {
        let help = "add sha256: \"…\", which sha256sum attache.wasm prints";
        around.tell(Error, plugin, "vm_config.code.remote.sha256", "is missing: Envoy fetches no module without it", help);
    }
}

fn variables(around: &mut Around<'_>, plugin: Here<'_>) {
    let variables = plugin.node.at(&["vm_config", "environment_variables"]);
    let mut passed = texts(variables.and_then(|variables| variables.get("host_env_keys")));
    let given = variables.and_then(|variables| variables.get("key_values")).map(Node::members).unwrap_or_default();
    passed.extend(given.iter().map(|member| member.name.as_str()));
    around.variables(&passed, "list the variable in vm_config.environment_variables.host_env_keys, and set it where Envoy is started");
}

fn placement(around: &mut Around<'_>, plugin: Here<'_>) {
    let in_cluster = around.site.passes("clusters") || around.site.passes("typed_extension_protocol_options");
    let in_listener = around.site.passes("filter_chains") || around.site.passes("default_filter_chain");
    match around.config.placement {
        Placement::Listener if in_cluster => {
            let help = "add \"placement\": \"cluster\" to the filter's configuration";
            around.tell(Error, plugin, "configuration", "the filter stands in a cluster, and its configuration says nothing of that", help);
        }
        Placement::Cluster if in_listener => {
            let help = "take \"placement\" out, and give each connection its \"pin\"";
            around.tell_of_plugin(
                Error,
                "placement",
                "is \"cluster\", but the filter stands in a listener, where requests have no cluster yet",
                help,
            );
        }
        Placement::Listener | Placement::Cluster => {}
    }
}

fn paths(around: &mut Around<'_>, manager: Here<'_>) {
    // Notifications go to whatever path their receiver has named.
    let config = around.config;
    if config.agents.is_empty()
        && config.webhooks.is_empty()
        && config.connections.iter().all(|connection| connection.notifications.is_some())
    {
        return;
    }
    let is_true = |name: &str| manager.node.get(name).and_then(Node::boolean) == Some(true);
    let action = manager.node.get("path_with_escaped_slashes_action").and_then(Node::text);
    let missing = [
        (is_true("normalize_path"), "normalize_path: true"),
        (is_true("merge_slashes"), "merge_slashes: true"),
        (action == Some("REJECT_REQUEST"), "path_with_escaped_slashes_action: REJECT_REQUEST"),
    ];
    let missing: Vec<&str> = missing.into_iter().filter(|(is_there, _)| !is_there).map(|(_, setting)| setting).collect();
    let Some(first) = missing.first().and_then(|setting| setting.split_once(": ")) else { return };
    let help = format!("add {} to the connection manager", missing.join(", "));
    around.tell(
        Warning,
        manager,
        first.0,
        "Envoy's router and the filter may see different paths: what the filter refuses, other filters and routes still read",
        &help,
    );
}

/// Whether Envoy's routes and `match.ports` say the same of ports.
fn ports(around: &mut Around<'_>, manager: Here<'_>) {
    const FLAG: &str = "route_config.ignore_port_in_host_matching";
    let is_true = |name: &str| manager.node.get(name).and_then(Node::boolean) == Some(true);
    let Some(routes) = manager.node.get("route_config") else { return };
    let hosts = routes.get("virtual_hosts").map(Node::elements).unwrap_or_default();
    // To `*` ports mean nothing.
    let names_hosts = hosts.iter().flat_map(|host| texts(host.get("domains"))).any(|domain| domain != "*");
    let ignores = routes.get("ignore_port_in_host_matching").and_then(Node::boolean) == Some(true);
    match around.config.ports() {
        Ports::Ignore if !ignores && names_hosts && !is_true("strip_any_host_port") => {
            let message = "must be true: match.ports is \"ignore\", and with a port in the host Envoy takes another route than the filter thinks, or none";
            around.tell(
                Error,
                manager,
                FLAG,
                message,
                "add ignore_port_in_host_matching: true to route_config, or write \"ports\": \"exact\" in each match",
            );
        }
        Ports::Exact if ignores => {
            let message =
                "is true, and match.ports is \"exact\": with a port in the host Envoy has a route, and the filter no agent (404 unmatched)";
            around.tell(Error, manager, FLAG, message, "write \"ports\": \"ignore\" in each match");
        }
        Ports::Ignore | Ports::Exact => {}
    }
    stripped(around, manager);
}

/// Hosts with a port that Envoy takes off before the filter sees it.
fn stripped(around: &mut Around<'_>, manager: Here<'_>) {
    let is_true = |name: &str| manager.node.get(name).and_then(Node::boolean) == Some(true);
    let listener = around.site.around(|node| node.get("filter_chains").is_some()).map(|(link, _)| link.node);
    let own = listener.and_then(|listener| listener.at(&["address", "socket_address", "port_value"])).and_then(Node::number);
    let (flag, only) = match (is_true("strip_any_host_port"), is_true("strip_matching_host_port"), own) {
        (true, _, _) => ("strip_any_host_port", None),
        (false, true, Some(port)) => ("strip_matching_host_port", Some(format!(":{port}"))),
        _ => return,
    };
    let Some(tree) = around.plugin.tree() else { return };
    let mut places = Vec::new();
    for kind in ["agents", "connections", "webhooks"] {
        for (index, one) in tree.get(kind).map(Node::elements).unwrap_or_default().iter().enumerate() {
            for (entry, host) in texts(one.at(&["match", "hosts"])).into_iter().enumerate() {
                let port =
                    host.rsplit_once(':').filter(|(_, port)| !port.is_empty() && !port.contains(']')).map(|(_, port)| format!(":{port}"));
                if port.is_some_and(|port| only.as_ref().is_none_or(|only| *only == port)) {
                    places.push(format!("{kind}[{index}].match.hosts[{entry}]"));
                }
            }
        }
    }
    for place in places {
        let message = format!("no request has this host: {flag} of the connection manager takes the port off before the filter");
        around.tell_of_plugin(Warning, &place, &message, "write the host without its port");
    }
}

//! What a WasmPlugin of Istio and an EnvoyExtensionPolicy of Envoy Gateway must say.

use super::{Around, Here, texts};
use crate::finding::Severity::{Error, Warning};
use crate::site::Form;
use crate::tree::Node;
use attache::config::Ports;

pub(super) fn check(around: &mut Around<'_>) {
    let site = around.site;
    let place = site.place();
    let here = Here { node: site.node(), place: &place };
    let (kind, whose) = match site.form {
        Form::ExtensionPolicy => ("an EnvoyExtensionPolicy", "Envoy Gateway's"),
        Form::WasmPlugin | Form::Envoy => ("a WasmPlugin", "Istio's"),
    };
    if around.config.hold_headers {
        let message = format!(
            "must be false: {kind} cannot ask Envoy to hold headers, so every request with a body is answered 500 headers_not_held"
        );
        around.tell_of_plugin(Error, "hold_headers", &message, "write \"hold_headers\": false; docs/istio.md says what that costs");
    }
    if around.config.ports() == Ports::Exact {
        ports(around, whose);
    }
    match site.form {
        Form::ExtensionPolicy => extension_policy(around, here),
        Form::WasmPlugin | Form::Envoy => wasm_plugin(around, here),
    }
}

/// Routes that are generated there look at no port.
pub(super) fn ports(around: &mut Around<'_>, whose: &str) {
    let kind = if around.config.agents.is_empty() { "connections" } else { "agents" };
    let message = format!(
        "is \"exact\", and {whose} routes ignore ports: with a port in the host Envoy has a route, and the filter no agent (404 unmatched)"
    );
    around.tell_of_plugin(Warning, &format!("{kind}[0].match.ports"), &message, "write \"ports\": \"ignore\" in each match");
}

fn wasm_plugin(around: &mut Around<'_>, spec: Here<'_>) {
    let help = "write failStrategy: FAIL_RELOAD (Istio 1.27)";
    match spec.node.get("failStrategy").and_then(Node::text) {
        Some("FAIL_OPEN") => {
            around.tell(Error, spec, "failStrategy", "when the filter fails, Envoy lets every request through unchecked", help)
        }
        Some("FAIL_RELOAD") => {}
        _ => around.tell(
            Warning,
            spec,
            "failStrategy",
            "is not FAIL_RELOAD: after a fault of the filter Envoy refuses every request until it is started anew",
            help,
        ),
    }
    if spec.node.get("match").is_none() && around.config.connections.is_empty() {
        let message = "is missing: the filter also guards the calls that leave these pods, and refuses those that no agent matches";
        around.tell(Warning, spec, "match", message, "add match: [{mode: SERVER, ports: [{number: …}]}], the agent's own port");
    }
    let variables = spec.node.at(&["vmConfig", "env"]).map(Node::elements).unwrap_or_default();
    let passed: Vec<&str> = variables.iter().filter_map(|variable| variable.get("name")?.text()).collect();
    around.variables(&passed, "add {name: …, valueFrom: HOST} to vmConfig.env, and set the variable in the sidecar");
}

fn extension_policy(around: &mut Around<'_>, wasm: Here<'_>) {
    if wasm.node.get("failOpen").and_then(Node::boolean) == Some(true) {
        let help = "take failOpen out, or write failOpen: false";
        around.tell(Error, wasm, "failOpen", "when the filter fails, Envoy lets every request through unchecked", help);
    }
    let passed = texts(wasm.node.at(&["env", "hostKeys"]));
    around.variables(&passed, "list the variable in env.hostKeys, and set it in Envoy's pods");
}

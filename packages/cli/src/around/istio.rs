//! What a WasmPlugin of Istio, or a TrafficExtension, must say.

use super::{Around, Here};
use crate::finding::Severity::{Error, Warning};
use crate::tree::Node;

pub(super) fn check(around: &mut Around<'_>) {
    let site = around.site;
    let place = site.place();
    let here = Here { node: site.node(), place: &place };
    let is_extension = site.document().get("kind").and_then(Node::text) == Some("TrafficExtension");
    if around.config.hold_headers {
        let kind = if is_extension { "a TrafficExtension" } else { "a WasmPlugin" };
        around.cannot_hold(kind, "write \"hold_headers\": false, or take an EnvoyFilter; docs/istio.md says what each costs");
    }
    around.generated_routes("Istio's");
    let help = "write failStrategy: FAIL_RELOAD (Istio 1.27)";
    match here.node.get("failStrategy").and_then(Node::text) {
        Some("FAIL_OPEN") => {
            around.tell(Error, here, "failStrategy", "when the filter fails, Envoy lets every request through unchecked", help)
        }
        Some("FAIL_RELOAD") => {}
        _ => around.tell(
            Warning,
            here,
            "failStrategy",
            "is not FAIL_RELOAD: after a fault of the filter Envoy refuses every request until it is started anew",
            help,
        ),
    }
    // What is aimed at a gateway or at a service's waypoint has no calls of its own that leave.
    let Some(spec) = site.document().get("spec") else { return };
    if spec.get("match").is_none() && spec.get("targetRefs").is_none() && around.config.connections.is_empty() {
        let message = "is missing: the filter also guards the calls that leave these pods, and refuses those that no agent matches";
        let spec = Here { node: spec, place: "spec" };
        around.tell(Warning, spec, "match", message, "add match: [{mode: SERVER, ports: [{number: …}]}], the agent's own port");
    }
    let variables = here.node.at(&["vmConfig", "env"]).map(Node::elements).unwrap_or_default();
    let passed: Vec<&str> = variables.iter().filter_map(|variable| variable.get("name")?.text()).collect();
    around.variables(&passed, "add {name: …, valueFrom: HOST} to vmConfig.env, and set the variable in the sidecar");
}

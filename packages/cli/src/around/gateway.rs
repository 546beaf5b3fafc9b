//! What an EnvoyExtensionPolicy of Envoy Gateway must say, with what an EnvoyPatchPolicy in the same file adds to it.

use super::{Around, Here, texts};
use crate::finding::Severity::{Error, Warning};
use crate::tree::Node;

pub(super) fn check(around: &mut Around<'_>, documents: &[Node]) {
    const FLAG: &str = "allow_on_headers_stop_iteration";
    let site = around.site;
    let place = site.place();
    let wasm = Here { node: site.node(), place: &place };
    let name = filter(around);
    if around.config.hold_headers {
        let is_true = |value: &Node| value.boolean() == Some(true);
        match patched(documents, &name, FLAG, is_true) {
            Patched::Here => {}
            Patched::Elsewhere => {
                let help = format!("name this filter in jsonPath: ..http_filters[?(@.name=='envoy.filters.http.wasm/{name}')]");
                let message = "is true, and the EnvoyPatchPolicy sets the flag of another filter: every request with a body is answered 500 headers_not_held";
                around.tell_of_plugin(Error, "hold_headers", message, &help);
            }
            Patched::Nowhere => around.cannot_hold(
                "an EnvoyExtensionPolicy",
                "write \"hold_headers\": false, or let an EnvoyPatchPolicy in this file set the flag; docs/envoy-gateway.md has both",
            ),
        }
    }
    around.generated_routes("Envoy Gateway's");
    if wasm.node.get("failOpen").and_then(Node::boolean) == Some(true) {
        let help = "take failOpen out, or write failOpen: false";
        around.tell(Error, wasm, "failOpen", "when the filter fails, Envoy lets every request through unchecked", help);
    } else if patched(documents, &name, "failure_policy", |value| value.text() == Some("FAIL_RELOAD")) != Patched::Here {
        let message = "cannot ask for FAIL_RELOAD: after a fault of the filter Envoy refuses every request until it is started anew";
        around.tell(
            Warning,
            wasm,
            "failOpen",
            message,
            "let an EnvoyPatchPolicy in this file set failure_policy; docs/envoy-gateway.md has one",
        );
    }
    let passed = texts(wasm.node.at(&["env", "hostKeys"]));
    around.variables(&passed, "list the variable in env.hostKeys, and set it in Envoy's pods");
}

/// The filter as Envoy Gateway names it, after its type: `envoyextensionpolicy/NAMESPACE/NAME/wasm/INDEX`.
fn filter(around: &Around<'_>) -> String {
    let text = |member: &str| around.site.document().at(&["metadata", member]).and_then(Node::text);
    let index = around.site.chain.last().map_or("0", |link| link.step.trim_matches(['[', ']']));
    format!("envoyextensionpolicy/{}/{}/wasm/{index}", text("namespace").unwrap_or("default"), text("name").unwrap_or_default())
}

#[derive(PartialEq, Eq)]
enum Patched {
    /// The member of this filter, or of one that is named by its position alone.
    Here,
    /// The same member of a filter with another name.
    Elsewhere,
    Nowhere,
}

/// Whether a patch gives `member` of the filter `name` a value that `fits`.
fn patched(documents: &[Node], name: &str, member: &str, fits: impl Fn(&Node) -> bool) -> Patched {
    let is_patch = |document: &&Node| document.get("kind").and_then(Node::text) == Some("EnvoyPatchPolicy");
    let patches = documents.iter().filter(is_patch).filter_map(|document| document.at(&["spec", "jsonPatches"]));
    let mut found = Patched::Nowhere;
    for operation in patches.flat_map(Node::elements).filter_map(|patch| patch.get("operation")) {
        let text = |name: &str| operation.get(name).and_then(Node::text).unwrap_or_default();
        let sets = matches!(text("op"), "add" | "replace") && operation.get("value").is_some_and(&fits);
        let at = format!("{}/{}", text("jsonPath"), text("path"));
        if !sets || at.rsplit(['/', '.']).next() != Some(member) {
            continue;
        }
        if at.contains(&format!("{name}'")) || at.contains(&format!("{name}\"")) || !at.contains("envoyextensionpolicy/") {
            return Patched::Here;
        }
        found = Patched::Elsewhere;
    }
    found
}

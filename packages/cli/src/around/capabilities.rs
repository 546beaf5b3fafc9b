//! What Envoy is told to let the module call, and to call of it (`capability_restriction_config`), against what the filter needs.

use super::{Around, Here};
use crate::finding::Severity::{Error, Warning};
use crate::tree::Node;

/// All that the filter needs: callbacks, then calls of the host, as the proxy-wasm ABI and WASI name them.
pub(super) const NEEDED: [&str; 40] = [
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_http_call_response",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_done",
    "proxy_on_log",
    "proxy_on_delete",
    "proxy_log",
    "proxy_get_log_level",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_buffer_bytes",
    "proxy_set_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_add_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_http_call",
    "proxy_call_foreign_function",
    "proxy_set_effective_context",
    "proxy_continue_stream",
    "proxy_send_local_response",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "environ_sizes_get",
    "environ_get",
    "random_get",
];

pub(super) fn check(around: &mut Around<'_>, plugin: Here<'_>) {
    // Envoy 1.36 reads it in the plugin's own configuration.
    for place in ["vm_config.capability_restriction_config.allowed_capabilities", "capability_restriction_config.allowed_capabilities"] {
        let path: Vec<&str> = place.split('.').collect();
        let allowed = plugin.node.at(&path).map(Node::members).unwrap_or_default();
        // An empty list is no restriction.
        if !allowed.is_empty() {
            compare(around, plugin, place, &allowed.iter().map(|member| member.name.as_str()).collect::<Vec<_>>());
        }
    }
}

fn compare(around: &mut Around<'_>, plugin: Here<'_>, place: &str, allowed: &[&str]) {
    const HELP: &str = "take the list of envoy/restricted.yaml";
    let missing: Vec<&str> = NEEDED.into_iter().filter(|name| !allowed.contains(name)).collect();
    if !missing.is_empty() {
        let unchecked = ["proxy_on_request_headers", "proxy_on_request_body"].iter().any(|name| missing.contains(name));
        let effect = if unchecked {
            "requests pass unchecked, and nothing says so"
        } else {
            "the filter fails, or does without, and nothing says so"
        };
        around.tell(Error, plugin, place, &format!("lacks {}: {effect}", missing.join(", ")), HELP);
    }
    let more: Vec<&str> = allowed.iter().copied().filter(|name| !NEEDED.contains(name)).collect();
    if !more.is_empty() {
        around.tell(Warning, plugin, place, &format!("allows the module more than it uses: {}", more.join(", ")), HELP);
    }
}

#[cfg(test)]
mod tests {
    use super::NEEDED;
    use std::collections::BTreeSet;
    use std::fs;

    /// What the SDK makes of the functions and callbacks that `src/host` has, where the name is another one.
    const NAMES: [(&str, &[&str]); 15] = [
        ("add_map_value_bytes", &["proxy_add_header_map_value"]),
        ("set_map_value_bytes", &["proxy_replace_header_map_value", "proxy_remove_header_map_value"]),
        ("get_map_value_bytes", &["proxy_get_header_map_value"]),
        ("dispatch_http_call", &["proxy_http_call"]),
        ("get_buffer", &["proxy_get_buffer_bytes"]),
        ("set_buffer", &["proxy_set_buffer_bytes"]),
        ("get_current_time", &["proxy_get_current_time_nanoseconds"]),
        ("set_tick_period", &["proxy_set_tick_period_milliseconds"]),
        ("resume_http_request", &["proxy_continue_stream"]),
        ("send_http_response", &["proxy_send_local_response"]),
        ("send_grpc_response", &["proxy_send_local_response"]),
        ("on_http_request_headers", &["proxy_on_request_headers"]),
        ("on_http_request_body", &["proxy_on_request_body"]),
        ("on_http_response_headers", &["proxy_on_response_headers"]),
        ("on_http_response_body", &["proxy_on_response_body"]),
    ];
    /// What the SDK itself needs to know of contexts.
    const OF_THE_SDK: [&str; 3] = ["proxy_on_context_create", "proxy_on_vm_start", "proxy_on_delete"];

    /// The words of `text` that follow `start`.
    fn words<'t>(text: &'t str, start: &'t str) -> impl Iterator<Item = &'t str> {
        let end = |rest: &'t str| rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap_or("");
        text.split(start).skip(1).map(end)
    }

    #[test]
    fn what_is_needed_is_what_the_host_room_uses() {
        let mut used: BTreeSet<String> = OF_THE_SDK.iter().map(ToString::to_string).collect();
        for entry in fs::read_dir("../../src/host").unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            let declared = text.split("unsafe extern \"C\" {").skip(1).filter_map(|block| block.split("\n}").next());
            used.extend(declared.flat_map(|block| words(block, "    fn ")).map(str::to_owned));
            let callbacks = words(&text, "    fn on_").map(|name| format!("on_{name}"));
            for name in words(&text, "hostcalls::").map(str::to_owned).chain(callbacks).filter(|name| !name.is_empty()) {
                let other = NAMES.iter().find(|(own, _)| *own == name).map(|(_, names)| names.iter().map(ToString::to_string).collect());
                used.extend(other.unwrap_or_else(|| {
                    vec![format!(
                        "proxy_{}",
                        name.replacen("on_http_request_t", "on_request_t", 1).replacen("on_http_response_t", "on_response_t", 1)
                    )]
                }));
            }
        }
        let needed: BTreeSet<String> = NEEDED.iter().map(ToString::to_string).collect();
        assert_eq!(used, needed, "NEEDED, and the list of envoy/restricted.yaml, are what src/host uses");
    }
}

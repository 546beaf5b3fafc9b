//! What the module needs of its host and offers it, and how it takes a configuration.

use super::given::{SEND, VECTORS, headers, inbound, token, with};
use super::host::Host;
use super::vm::{MODULE, Vm};
use serde_json::json;

#[test]
fn imports_are_those_that_envoy_has() {
    // As in Envoy 1.40. An import outside of this list stops Envoy at start.
    const ENV: [&str; 36] = [
        "proxy_log",
        "proxy_get_log_level",
        "proxy_get_current_time_nanoseconds",
        "proxy_set_tick_period_milliseconds",
        "proxy_get_buffer_bytes",
        "proxy_set_buffer_bytes",
        "proxy_get_header_map_pairs",
        "proxy_set_header_map_pairs",
        "proxy_get_header_map_value",
        "proxy_replace_header_map_value",
        "proxy_remove_header_map_value",
        "proxy_add_header_map_value",
        "proxy_get_property",
        "proxy_set_property",
        "proxy_get_shared_data",
        "proxy_set_shared_data",
        "proxy_register_shared_queue",
        "proxy_resolve_shared_queue",
        "proxy_dequeue_shared_queue",
        "proxy_enqueue_shared_queue",
        "proxy_continue_stream",
        "proxy_close_stream",
        "proxy_send_local_response",
        "proxy_http_call",
        "proxy_grpc_call",
        "proxy_grpc_stream",
        "proxy_grpc_send",
        "proxy_grpc_cancel",
        "proxy_grpc_close",
        "proxy_get_status",
        "proxy_set_effective_context",
        "proxy_call_foreign_function",
        "proxy_done",
        "proxy_define_metric",
        "proxy_increment_metric",
        "proxy_record_metric",
    ];
    let imports: Vec<(String, String)> = MODULE.imports().map(|import| (import.module().to_owned(), import.name().to_owned())).collect();
    let foreign: Vec<_> = imports.iter().filter(|(module, name)| module != "env" || !ENV.contains(&name.as_str())).collect();
    let mut wasi: Vec<&str> =
        foreign.iter().filter(|(module, _)| module == "wasi_snapshot_preview1").map(|(_, name)| name.as_str()).collect();
    wasi.sort_unstable();
    assert_eq!(wasi, ["environ_get", "environ_sizes_get", "random_get"]);
    assert_eq!(foreign.len(), wasi.len(), "{foreign:?}");
}

#[test]
fn exports_are_those_that_envoy_calls() {
    let exports: Vec<String> = MODULE.exports().map(|export| export.name().to_owned()).collect();
    for name in [
        "memory",
        "_initialize",
        "malloc",
        "proxy_abi_version_0_2_1",
        "proxy_on_context_create",
        "proxy_on_vm_start",
        "proxy_on_configure",
        "proxy_on_tick",
        "proxy_on_request_headers",
        "proxy_on_request_body",
        "proxy_on_request_trailers",
        "proxy_on_response_headers",
        "proxy_on_http_call_response",
        "proxy_on_done",
        "proxy_on_log",
        "proxy_on_delete",
    ] {
        assert!(exports.iter().any(|export| export == name), "no {name} in {exports:?}");
    }
    let versions = exports.iter().filter(|export| export.starts_with("proxy_abi_version_")).count();
    assert_eq!(versions, 1, "{exports:?}");
}

#[test]
fn a_bad_configuration_is_refused_with_its_place() {
    let mut bad = inbound(&json!({"inline": VECTORS["keys"]}));
    bad["agents"][0]["match"]["path_prefix"] = json!("agents");
    let mut typo = inbound(&json!({"inline": VECTORS["keys"]}));
    typo["issuers"][0]["audiance"] = json!("x");
    let no_keys = inbound(&json!({"inline": {"keys": []}}));
    for (json, message) in [
        (bad.to_string(), "agents[0].match.path_prefix: must start with /"),
        (typo.to_string(), "issuers[0].audiance: unknown field `audiance`"),
        (no_keys.to_string(), "issuers[0].jwks.inline: no key in the set"),
        ("{".to_owned(), "EOF while parsing"),
        ("\u{a}\u{5}hello".to_owned(), "google.protobuf.StringValue"),
        (String::new(), "the plugin configuration is empty"),
        ("[1]".to_owned(), "invalid type"),
    ] {
        let mut vm = Vm::new(Host::default());
        assert!(!vm.configure(&json), "{json}");
        let [line] = vm.host().log.as_slice() else { panic!("one line, not {:?}", vm.host().log) };
        assert!(line.starts_with("4 attache: configuration refused: ") && line.contains(message), "{line}");
    }
}

#[test]
fn a_good_configuration_is_taken_and_asks_for_a_tick() {
    let mut vm = Vm::new(Host::default());
    assert!(vm.configure(&inbound(&json!({"inline": VECTORS["keys"]})).to_string()));
    assert_eq!(vm.host().log, [concat!("2 attache: version ", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(vm.host().tick, 1);
    vm.tick();
    assert!(vm.host().tick > 100 && vm.host().dispatched.is_empty());
}

/// Envoy gives every configuration its own root context, in one VM where it can.
#[test]
fn configurations_of_one_vm_share_nothing() {
    let all = json!({"inline": VECTORS["keys"]});
    let ed25519 = VECTORS["keys"]["keys"].as_array().unwrap().iter().find(|key| key["kid"] == "ed-1").unwrap();
    let mut vm = Vm::with(Host { verifies: true, ..Host::default() }, &inbound(&all));
    assert!(vm.configure_root(1000, &inbound(&json!({"inline": {"keys": [ed25519]}})).to_string()));
    let mut refused = inbound(&all);
    refused["agents"] = json!("none");
    assert!(!vm.configure_root(2000, &refused.to_string()));
    for _ in 0..2 {
        assert_eq!(vm.request(&headers(), &[SEND]).reason(), "ok");
        assert_eq!(vm.request_under(1000, &headers(), &[SEND]).reason(), "token_key_unknown");
    }
    let ed25519 = with(headers(), "authorization", format!("Bearer {}", token("EdDSA good")));
    assert_eq!(vm.request_under(1000, &ed25519, &[SEND]).reason(), "ok");
}

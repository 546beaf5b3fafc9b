//! The text of the file that `attache init` writes: `envoy/first-agent.yaml` with these answers, or the same for tokens.

use super::{Answers, Proof, Url};
use attache::flow::event::metric::LABELS;
use serde_json::{Value, json};
use std::net::IpAddr;

/// What stands before the filter's configuration.
const HEAD: &str = r#"static_resources:
  listeners:
  - name: inbound
    address: {socket_address: {address: 127.0.0.1, port_value: PORT}}
    per_connection_buffer_limit_bytes: 2097152           # above limits.max_body_bytes: docs/buffers.md
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: inbound
          normalize_path: true
          merge_slashes: true
          path_with_escaped_slashes_action: REJECT_REQUEST
          request_headers_timeout: 10s
          http2_protocol_options: {initial_stream_window_size: 2097152}    # the same for HTTP/2
          http_filters:
          - name: attache
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: attache
                root_id: attache
                failure_policy: FAIL_RELOAD              # a fault never lets a request through
                allow_on_headers_stop_iteration: true    # headers wait for the verdict on the body
                vm_config:
                  vm_id: attache
                  runtime: envoy.wasm.runtime.v8
                  code: {local: {filename: MODULE}}
                configuration:
                  "@type": type.googleapis.com/google.protobuf.StringValue
                  value: |
"#;

/// What stands behind it.
const TAIL: &str = r#"          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            ignore_port_in_host_matching: true           # what match.ports: ignore says
            virtual_hosts:
            - name: agent
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: agent, timeout: 0s}     # streams last as long as their task
  clusters:
"#;

/// How far the filter's configuration is indented.
const INDENT: &str = "                    ";

/// The whole file.
pub(super) fn text(answers: &Answers) -> String {
    let mut text = format!("# Written by attache init: an Envoy in front of the agent at {}.\n", answers.agent);
    text += &HEAD.replace("PORT", &answers.port.to_string()).replace("MODULE", &Value::from(answers.module.as_str()).to_string());
    configuration(answers).lines().for_each(|line| text += &format!("{INDENT}{line}\n"));
    text += TAIL;
    text += &cluster("agent", &answers.agent);
    if let Proof::Token { server, .. } = &answers.proof {
        text += &cluster("idp", server);
    }
    text += "# The labels of the filter's statistics, out of their names.\nstats_config:\n  stats_tags:\n";
    LABELS.iter().for_each(|label| text += &format!("  - {{tag_name: {label}, regex: '({label}=\\.=(.*?);\\.;)'}}\n"));
    text += "admin:\n  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}\n";
    text
}

/// The filter's configuration, in the order in which somebody reads it.
fn configuration(answers: &Answers) -> String {
    let Answers { name, agent, public, proof, .. } = answers;
    let hosts = if public.is_loopback() { json!(["127.0.0.1", "localhost"]) } else { json!([public.host]) };
    let text = |text: String| Value::from(text).to_string();
    let (issuers, schemes, scheme) = match proof {
        Proof::Key { client, digest } => {
            let entry = format!("{{\"id\": {}, \"sha256\": \"{digest}\"}}", text(client.to_string()));
            let key = format!("{{\"api_key\": {{\"in\": \"header\", \"name\": \"x-api-key\", \"keys\": [{entry}]}}}}");
            (String::new(), format!("{{\"key\": {key}}}"), "key")
        }
        Proof::Token { issuer, audience, .. } => {
            let metadata = text(format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')));
            let (issuer, audience) = (text(issuer.clone()), text(audience.clone()));
            let issuers = format!(
                "  \"issuers\": [{{\n    \"name\": \"idp\",\n    \"issuer\": {issuer},\n    \"audiences\": [{audience}],\n    \
                 \"jwks\": {{\"discovery\": {{\"uri\": {metadata}, \"cluster\": \"idp\"}}}}\n  }}],\n"
            );
            (issuers, "{\"oauth2\": {\"bearer\": {\"issuers\": [\"idp\"]}}}".to_owned(), "oauth2")
        }
    };
    let card = text(format!("{agent}/.well-known/agent-card.json"));
    let (name, public) = (text(name.to_string()), text(public.to_string()));
    format!(
        r#"{{
{issuers}  "schemes": {schemes},
  "agents": [{{
    "name": {name},
    "match": {{"hosts": {hosts}, "ports": "ignore", "path_prefix": "/"}},
    "public_url": {public},
    "security": [{{"{scheme}": []}}],
    "versions": "from_card",
    "infer_version": true,
    "card": {{
      "access": "public",
      "source": {{"remote": {{"uri": {card}, "cluster": "agent"}}}}
    }}
  }}]
}}"#
    )
}

fn cluster(name: &str, url: &Url) -> String {
    let address = url.host.trim_matches(['[', ']']);
    let port = url.port();
    let mut text = format!("  - name: {name}\n    connect_timeout: 1s\n");
    if address.parse::<IpAddr>().is_err() {
        text += "    type: STRICT_DNS\n";
    }
    text += &format!(
        "    load_assignment:\n      cluster_name: {name}\n      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: \
         {{address: \"{address}\", port_value: {port}}}}}}}}}]}}]\n"
    );
    if url.tls {
        text += &format!(
            "    transport_socket:\n      name: envoy.transport_sockets.tls\n      typed_config:\n        \"@type\": \
             type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n        sni: {address}\n        \
             common_tls_context:\n          validation_context:\n            trusted_ca: {{filename: /etc/ssl/certs/ca-certificates.crt}}\n            \
             match_typed_subject_alt_names: [{{san_type: DNS, matcher: {{exact: {address}}}}}]\n"
        );
    }
    text
}

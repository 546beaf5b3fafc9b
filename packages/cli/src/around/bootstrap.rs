//! What the whole configuration of an Envoy must have: the clusters that the filter names, room for bodies, the labels of statistics.

use super::{Around, Here};
use crate::finding::Severity::{Error, Warning};
use crate::plugin::clusters;
use crate::tree::Node;
use attache::flow::event::metric::LABELS;

/// Envoy's own limit where a listener says nothing.
const DEFAULT_LIMIT: u64 = 1_048_576;

pub(super) fn check(around: &mut Around<'_>) {
    let site = around.site;
    if let Some((listener, place)) = site.around(|node| node.get("filter_chains").is_some() || node.get("default_filter_chain").is_some()) {
        buffer(around, Here { node: listener.node, place: &place });
    }
    let is_manager = |node: &Node| node.get("@type").and_then(Node::text).is_some_and(|kind| kind.ends_with(".HttpConnectionManager"));
    if let Some((manager, place)) = site.around(is_manager) {
        window(around, Here { node: manager.node, place: &place });
    }
    let document = site.document();
    if document.get("static_resources").is_some() {
        named(around, document);
        statistics(around, document);
    }
}

fn buffer(around: &mut Around<'_>, listener: Here<'_>) {
    const LIMIT: &str = "per_connection_buffer_limit_bytes";
    let largest = largest_body(around);
    let limit = listener.node.get(LIMIT).map_or(Some(DEFAULT_LIMIT), Node::number).unwrap_or(u64::MAX);
    if around.config.hold_headers && largest > 0 && limit <= largest {
        let what = if listener.node.get(LIMIT).is_some() { "is" } else { "is missing, which means" };
        let message =
            format!("{what} {limit} bytes, and limits.max_body_bytes {largest}: Envoy itself answers long bodies with 413, in plain text");
        let help = format!("add {LIMIT}: {} to the listener, or lower max_body_bytes", largest.saturating_mul(2));
        around.tell(Warning, listener, LIMIT, &message, &help);
    }
}

/// Over HTTP/2 Envoy holds as much of a body as the stream's window lets in.
fn window(around: &mut Around<'_>, manager: Here<'_>) {
    const WINDOW: &str = "http2_protocol_options.initial_stream_window_size";
    let largest = largest_body(around);
    let Some(window) = manager.node.at(&["http2_protocol_options", "initial_stream_window_size"]).and_then(Node::number) else { return };
    if around.config.hold_headers && largest > 0 && window <= largest {
        let message = format!(
            "is {window} bytes, and limits.max_body_bytes {largest}: over HTTP/2 Envoy itself answers long bodies with 413, in plain text"
        );
        let help = format!("write {}, or lower max_body_bytes", largest.saturating_mul(2));
        around.tell(Warning, manager, WINDOW, &message, &help);
    }
}

fn largest_body(around: &Around<'_>) -> u64 {
    around.config.agents.iter().map(|agent| agent.limits.max_body_bytes).max().unwrap_or_default()
}

/// Clusters that the filter's configuration names, and Envoy's has not.
fn named(around: &mut Around<'_>, document: &Node) {
    let dynamic = document.get("dynamic_resources").is_some_and(|dynamic| dynamic.get("cds_config").is_some());
    let Some(tree) = around.plugin.tree().filter(|_| !dynamic) else { return };
    let own = document.at(&["static_resources", "clusters"]).map(Node::elements).unwrap_or_default();
    let own: Vec<&str> = own.iter().filter_map(|cluster| cluster.get("name")?.text()).collect();
    let missing = clusters(tree).into_iter().filter(|(_, node)| !node.text().is_some_and(|name| own.contains(&name)));
    let help = match own.as_slice() {
        [] => "add the cluster to static_resources.clusters".to_owned(),
        names => format!("the clusters of this file: {}", names.join(", ")),
    };
    for place in missing.map(|(place, _)| place).collect::<Vec<_>>() {
        around.tell_of_plugin(Error, &place, "there is no such cluster in static_resources.clusters", &help);
    }
}

fn statistics(around: &mut Around<'_>, document: &Node) {
    let tags = document.at(&["stats_config", "stats_tags"]).map(Node::elements).unwrap_or_default();
    let tags: Vec<&str> = tags.iter().filter_map(|tag| tag.get("tag_name")?.text()).collect();
    let missing: Vec<&str> = LABELS.into_iter().filter(|label| !tags.contains(label)).collect();
    if missing.is_empty() {
        return;
    }
    let message = format!("has no tags for these labels of the filter's statistics, which so stay in their names: {}", missing.join(", "));
    let here = Here { node: document, place: "" };
    around.tell(Warning, here, "stats_config", &message, "take the stats_config of envoy/inbound.yaml");
}

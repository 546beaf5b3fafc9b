//! Labels of the statistics as Prometheus reads them from a real Envoy, with the `stats_config` of `envoy/*.yaml` and with that of
//! Istio's proxies.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::connections::{call, connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::Call;
use attache_mesh::mesh::{Mesh, send_0_3, send_1_0};
use attache_mesh::{place, wait};
use serde_json::{Value, json};

use crate::suite::Suite;

/// Has whatever could confuse a reader of labels: points, one of Istio's own expressions, and what would end a value.
const AGENT_NAME: &str = "expense.cache.eu/v1;.;version=.=9;.;";
/// The same as a label shows it.
const AGENT_LABEL: &str = "expense.cache.eu/v1_._version_._9_._";

/// The labels that the page for Istio tells operators to name.
fn extra_stat_tags() -> Result<Vec<String>> {
    let page = std::fs::read_to_string(place::root().join("docs/istio.md"))?;
    let line = page.lines().find_map(|line| line.trim().strip_prefix("sidecar.istio.io/extraStatTags: ")).context("no annotation")?;
    Ok(line.split(',').map(str::to_owned).collect())
}

/// What the bootstrap of Istio's proxies has for these labels: only their expressions and Istio's own, and only statistics that Istio keeps.
fn istio(tags: &[String]) -> Value {
    let own = [
        ("cluster_name", r"^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)"),
        ("response_code", r"_rq(_(\d{3}))$"),
        ("response_code_class", r"_rq(_(\dxx))$"),
        ("cache", r"(cache\.(.+?)\.)"),
        ("component", r"(component\.(.+?)\.)"),
        ("tag", r"(tag\.(.+?);\.)"),
        ("wasm_filter", r"(wasm_filter\.(.+?)\.)"),
        ("authz_enforce_result", r"rbac(\.(allowed|denied))"),
    ];
    let own = own.into_iter().map(|(tag, regex)| json!({"tag_name": tag, "regex": regex}));
    let extra = tags.iter().map(|tag| json!({"tag_name": tag, "regex": format!(r"({tag}=\.=(.*?);\.;)")}));
    let kept = ["reporter=", "cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm", "component", "istio"];
    json!({
        "use_all_default_tags": false,
        "stats_tags": extra.chain(own).collect::<Vec<_>>(),
        "stats_matcher": {"inclusion_list": {"patterns": kept.iter().map(|prefix| json!({"prefix": prefix})).collect::<Vec<_>>()}},
    })
}

/// A line of Prometheus: its metric, labels and value.
fn parsed(line: &str) -> Option<(&str, BTreeMap<&str, &str>, &str)> {
    let (name, rest) = line.split_once('{')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let labels = labels.split("\",").filter_map(|label| label.trim_end_matches('"').split_once("=\"")).collect();
    Some((name, labels, value))
}

/// Waits until Prometheus finds `metric` with exactly `labels`.
async fn shows(envoy: &Envoy, metric: &str, labels: &[(&str, &str)], value: Option<&str>) -> Result<()> {
    let wanted: BTreeMap<&str, &str> = labels.iter().copied().collect();
    let mut last = String::new();
    let what = format!("{metric}{wanted:?}");
    let found = wait::until(&what, Duration::from_secs(20), async || {
        last = Call::get("/stats/prometheus").send(envoy.admin()).await?.text();
        let fits = |line: &str| {
            parsed(line).is_some_and(|(name, labels, own)| name == metric && labels == wanted && value.is_none_or(|value| value == own))
        };
        Ok(last.lines().any(fits).then_some(()))
    });
    found.await.with_context(|| last.lines().filter(|line| line.contains("attache_")).collect::<Vec<_>>().join("\n"))
}

async fn inbound(mesh: &Mesh, name: &str, edit: impl FnOnce(&mut EnvoyFile) -> Result<()>) -> Result<()> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["agents"][0]["name"] = json!(AGENT_NAME))?;
    edit(&mut file)?;
    let envoy = Envoy::start(name, &file, Options::default().own()).await?;
    let token = mesh.token().await?;
    for call in [send_1_0("s").bearer(&token), send_1_0("s").bearer(&token), send_0_3("s").bearer(&token), send_1_0("s")] {
        call.send(envoy.port()).await?;
    }
    let of = |version, operation, decision, reason| {
        [
            ("agent", AGENT_LABEL),
            ("version", version),
            ("binding", "jsonrpc"),
            ("operation", operation),
            ("decision", decision),
            ("reason", reason),
        ]
    };
    // Istio's expression for its own label finds something in the agent's name, and takes nothing from the others.
    let is_istio = file.value()["stats_config"]["use_all_default_tags"] == false;
    let more = |labels: &[(&'static str, &'static str)]| {
        let mut labels = labels.to_vec();
        labels.extend(is_istio.then_some(("cache", "eu/v1_")));
        labels
    };
    let decisions = "attache_decisions_total";
    shows(&envoy, decisions, &more(&of("1.0", "SendMessage", "allow", "none")), Some("2")).await?;
    shows(&envoy, decisions, &more(&of("0.3", "SendMessage", "allow", "none")), Some("1")).await?;
    shows(&envoy, decisions, &more(&of("1.0", "none", "deny", "credentials_missing")), Some("1")).await?;
    let times = [("agent", AGENT_LABEL), ("decision", "allow")];
    shows(&envoy, "attache_decision_duration_microseconds_count", &more(&times), Some("3")).await?;
    shows(&envoy, "attache_jwks_age_seconds", &[("issuer", "corp")], None).await?;
    shows(&envoy, "attache_jwks_fetches_total", &[("issuer", "corp"), ("outcome", "ok")], Some("1")).await?;
    shows(&envoy, "attache_tokens_total", &[("cache", "hit")], Some("2")).await?;
    // The version of this package is that of the module: Cargo.toml has one for all.
    shows(&envoy, "attache_build_info", &[("version", env!("CARGO_PKG_VERSION"))], Some("1")).await?;
    envoy.logged(&[concat!("attache: version ", env!("CARGO_PKG_VERSION"))]).await?;
    let text = Call::get("/stats/prometheus").send(envoy.admin()).await?.text();
    let odd: Vec<&str> = text.lines().filter(|line| line.contains("attache_") && (line.contains("=.=") || line.contains(";."))).collect();
    ensure!(odd.is_empty(), "labels that nothing took out: {odd:?}");
    Ok(())
}

async fn calls(mesh: &Mesh, name: &str, edit: impl FnOnce(&mut EnvoyFile)) -> Result<()> {
    let connections = [connection("partner.eu", &json!({"header": {"name": "x-api-key", "value": {"secret": "key"}}}))];
    let mut file = outbound(mesh, &connections, &json!({"key": {"env": "STATISTICS_KEY"}}), &[])?;
    edit(&mut file);
    let envoy = Envoy::start(name, &file, Options::default().own().env("STATISTICS_KEY", "key-for-statistics")).await?;
    ensure!(call("partner.eu").send(envoy.port()).await?.status == 200, "the call did not pass");
    let used = [("connection", "partner.eu"), ("method", "header"), ("from", "secret")];
    shows(&envoy, "attache_credentials_total", &used, Some("1")).await?;
    let allowed = [
        ("connection", "partner.eu"),
        ("version", "1.0"),
        ("binding", "jsonrpc"),
        ("operation", "SendMessage"),
        ("decision", "allow"),
        ("reason", "none"),
    ];
    shows(&envoy, "attache_decisions_total", &allowed, Some("1")).await
}

pub fn add(suite: &mut Suite) {
    suite.add("statistics::labels_have_their_true_values", async |mesh| {
        inbound(mesh, "statistics", |_| Ok(())).await?;
        calls(mesh, "statistics-outbound", |_| {}).await
    });
    suite.add("statistics::istio_takes_out_the_same_labels", async |mesh| {
        let tags = extra_stat_tags()?;
        inbound(mesh, "statistics-istio", |file| {
            file.value_mut()["stats_config"] = istio(&tags);
            Ok(())
        })
        .await?;
        calls(mesh, "statistics-istio-outbound", |file| file.value_mut()["stats_config"] = istio(&tags)).await
    });
}

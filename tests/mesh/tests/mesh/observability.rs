//! `envoy/observability/`: every query of the dashboard and of the rules finds data in a real Prometheus that scrapes real Envoys
//! with real traffic, and Prometheus's and the operator's own checks take the rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use attache_mesh::mesh::Mesh;
use attache_mesh::observed::{self, Kind, Observed};
use attache_mesh::{drawn, place};
use serde_json::Value;

use crate::resources;
use crate::suite::Suite;

fn yaml(name: &str) -> Result<Value> {
    let path = place::root().join("envoy/observability").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_yaml_ng::from_str(&text).with_context(|| format!("in {}", path.display()))
}

/// The rules, with `record` or `alert`, and `expr`.
fn rules() -> Result<Vec<Value>> {
    let file = yaml("rules.yaml")?;
    let groups = file["groups"].as_array().context("no groups")?;
    Ok(groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect())
}

/// What an alert looks at: the operands of `and` and `unless`, each without the threshold behind it.
fn vectors(expression: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in expression.lines() {
        let operand = ["and ", "unless "].iter().find_map(|operator| line.strip_prefix(operator));
        match (operand, all.last_mut()) {
            (None, Some(last)) => last.push_str(line),
            (operand, _) => {
                let line = operand.unwrap_or(line);
                all.push(line.strip_prefix("on (job, instance) ").unwrap_or(line).to_owned());
            }
        }
    }
    let bare = |text: String| match text.rsplit_once(" > ") {
        Some((vector, threshold)) if threshold.trim().parse::<f64>().is_ok() => vector.to_owned(),
        _ => text,
    };
    all.into_iter().map(bare).collect()
}

/// Traffic of every kind, until told to stop.
async fn drive(observed: &Observed, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::SeqCst) {
        for kind in [Kind::Good, Kind::Wrong, Kind::Opaque, Kind::Leaving, Kind::Users] {
            observed.send(kind).await?;
        }
        tokio::time::sleep(observed::REST).await;
    }
    Ok(())
}

async fn ask(observed: &Observed) -> Result<()> {
    let dashboard = observed::dashboard()?;
    let queries = observed::queries(&dashboard);
    ensure!(queries.len() > 30, "{} queries", queries.len());
    for (panel, query) in &queries {
        if observed::is_awaited(query)? {
            continue;
        }
        observed.prometheus.finds(query).await.with_context(|| format!("panel {panel:?}"))?;
    }
    for rule in rules()? {
        let expression = rule["expr"].as_str().context("no expr")?.trim_end();
        match rule["record"].as_str() {
            Some(name) => drop(observed.prometheus.finds(name).await?),
            None => {
                // It may have nothing to say now, but is a query.
                observed.prometheus.query(expression).await?;
                for vector in vectors(expression) {
                    if observed::is_awaited(&vector)? {
                        continue;
                    }
                    observed.prometheus.finds(&vector).await.with_context(|| format!("{}", rule["alert"]))?;
                }
            }
        }
    }
    let loaded = observed.prometheus.ask("/api/v1/rules").await?;
    let groups = loaded["groups"].as_array().context("no groups")?;
    let loaded: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
    ensure!(loaded.len() == rules()?.len(), "{} rules are loaded", loaded.len());
    let ill: Vec<&&Value> = loaded.iter().filter(|rule| rule["health"] != "ok").collect();
    ensure!(ill.is_empty(), "{ill:?}");
    // Where the name of a metric is misspelt, nothing is found: the test can fail.
    ensure!(observed.prometheus.query("attache_decision_total").await?.is_empty(), "data of no metric");
    Ok(())
}

async fn every_query(mesh: &'static Mesh) -> Result<()> {
    let observed = Arc::new(Observed::start(mesh, &mesh.authorization).await?);
    let stop = AtomicBool::new(false);
    let asking = async {
        let asked = ask(&observed).await;
        stop.store(true, Ordering::SeqCst);
        asked
    };
    let (asked, driven) = tokio::join!(asking, drive(&observed, &stop));
    asked.and(driven)?;
    // And what the docs show of it can be drawn anew.
    let folder = place::logs().join(place::unique("dashboard"));
    let images = drawn::dashboard(&observed.prometheus, &folder, 60, 10).await?;
    ensure!(images.len() >= 8, "{images:?}");
    for image in images {
        let bytes = std::fs::read(&image)?;
        ensure!(bytes.starts_with(b"\x89PNG") && bytes.len() > 5_000, "{}: {} bytes", image.display(), bytes.len());
    }
    Ok(())
}

async fn operator() -> Result<()> {
    let rules = yaml("prometheusrule.yaml")?;
    ensure!(rules["spec"]["groups"] == yaml("rules.yaml")?["groups"], "prometheusrule.yaml and rules.yaml differ");
    let mut misspelt = rules.clone();
    misspelt["spec"]["groups"][1]["rules"][0]["labls"] = misspelt["spec"]["groups"][1]["rules"][0]["labels"].take();
    let found = resources::faults(&[rules, yaml("podmonitor.yaml")?, misspelt]).await?;
    ensure!(found[0].is_empty() && found[1].is_empty(), "{found:?}");
    ensure!(!found[2].is_empty(), "the operator's schema takes anything");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("observability::every_query_of_dashboard_and_rules_finds_data", every_query);
    suite.add("observability::the_operator_takes_the_same_rules", async |_| operator().await);
}

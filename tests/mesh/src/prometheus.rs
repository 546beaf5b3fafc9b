//! A Prometheus that scrapes Envoys of the mesh every second, and answers queries.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::http::Call;
use crate::process::{self, Process};
use crate::{place, wait};

const START: Duration = Duration::from_secs(120);

/// A running Prometheus.
pub struct Prometheus {
    process: Arc<Process>,
    pub port: u16,
}

impl Prometheus {
    /// Starts it with the rules of `envoy/observability/` on the admin servers of Envoys, each by the name that it gets as `instance`.
    pub async fn start(targets: &[(&str, u16)]) -> Result<Self> {
        let name = place::unique("prometheus");
        let config = place::logs().join(format!("{name}.yaml"));
        let targets: Vec<Value> =
            targets.iter().map(|(name, port)| json!({"targets": [format!("127.0.0.1:{port}")], "labels": {"instance": name}})).collect();
        let settings = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [place::root().join("envoy/observability/rules.yaml")],
            "scrape_configs": [{"job_name": "envoy", "metrics_path": "/stats/prometheus", "static_configs": targets}],
        });
        // JSON is YAML.
        std::fs::write(&config, serde_json::to_vec_pretty(&settings)?)?;
        let mut command = Command::new(place::tool("bin/prometheus"));
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", place::logs().join(format!("{name}.data")).display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        let process = process::spawn(&name, command)?;
        let listening = wait::until("Prometheus to listen", START, async || {
            ensure!(process.ended().is_none(), "Prometheus ended");
            let log = process.log();
            let line = log.lines().find(|line| line.contains("msg=\"Listening on\""));
            Ok(line.and_then(|line| line.trim().rsplit_once(':')?.1.parse::<u16>().ok()))
        });
        let port = listening.await.with_context(|| process.tail())?;
        // It listens before it can answer.
        let ready = wait::until("Prometheus to be ready", START, async || {
            let reply = Call::get("/-/ready").send(port).await;
            Ok(reply.is_ok_and(|reply| reply.status == 200).then_some(()))
        });
        ready.await.with_context(|| process.tail())?;
        Ok(Self { process, port })
    }

    /// What the API says to `path`.
    pub async fn ask(&self, path: &str) -> Result<Value> {
        let reply = Call::get(path).send(self.port).await?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text());
        Ok(reply.json()["data"].clone())
    }

    /// The result of a query now: a list of series, or of one number.
    ///
    /// # Errors
    /// If it is no query of Prometheus.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(query))).await.with_context(|| query.to_owned())?;
        data["result"].as_array().cloned().with_context(|| format!("no result of {query}: {data}"))
    }

    /// Waits until a query finds at least one number.
    pub async fn finds(&self, query: &str) -> Result<Vec<Value>> {
        wait::until(&format!("data of {query}"), Duration::from_secs(120), async || {
            ensure!(self.process.ended().is_none(), "Prometheus ended\n{}", self.process.tail());
            let found = self.query(query).await?;
            let has_number = found.iter().any(|one| number(&one["value"][1]).is_some_and(f64::is_finite));
            Ok(has_number.then_some(found))
        })
        .await
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_str()?.parse().ok()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

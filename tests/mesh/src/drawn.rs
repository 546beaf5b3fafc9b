//! The dashboard's panels as pictures, drawn by headless Chromium (`peers/draw_dashboard.mjs`) from the dashboard's own queries.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::prometheus::Prometheus;
use crate::{observed, peer, place, process};

/// Draws one picture of each row of panels into `folder`, over the last `seconds`, with rates over `window` seconds.
///
/// # Errors
/// If a panel has no data.
pub async fn dashboard(prometheus: &Prometheus, folder: &Path, seconds: u64, window: u64) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let mut command = peer::node("draw_dashboard.mjs");
    command.arg("--dashboard").arg(place::root().join("envoy/observability/dashboard.json")).arg("--out").arg(folder);
    command.args(["--prometheus", &format!("http://127.0.0.1:{}", prometheus.port)]);
    command.args(["--seconds", &seconds.to_string(), "--window", &window.to_string()]);
    if observed::is_awaited("attache_build_info")? {
        command.args(["--lacks", "attache_build_info"]);
    }
    let _turn = process::turn_to_run().await;
    let drawing = process::spawn(&place::unique("draw-dashboard"), command)?;
    let status = drawing.exit(Duration::from_secs(240)).await.with_context(|| drawing.tail())?;
    ensure!(status.success(), "{status}\n{}", drawing.tail());
    let images: Vec<Value> = serde_json::from_str(drawing.out().trim()).with_context(|| drawing.tail())?;
    Ok(images.iter().filter_map(|image| image.as_str()).map(|image| folder.join(image)).collect())
}

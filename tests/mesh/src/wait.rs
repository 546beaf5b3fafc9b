//! Waiting on conditions: the only place that lets time pass.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
pub const POLL: Duration = Duration::from_millis(20);

/// How long anything that has to happen may take at least. Waiting costs nothing where it happens soon, and a busy machine is no
/// fault of what is tested.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks at `condition` until it gives a value. Errs when it errs, or with `what` when `limit`, and [`PATIENCE`], have passed.
pub async fn until<T>(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let limit = limit.max(PATIENCE);
    let start = Instant::now();
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The same for a condition that is known at once. (rustc does not see that what waits on an async closure can move to another thread.)
pub async fn until_known<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let limit = limit.max(PATIENCE);
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(POLL).await;
    }
}

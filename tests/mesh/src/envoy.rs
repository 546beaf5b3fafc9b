//! Envoy processes: started on a configuration, asked through their admin server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::envoy_file::EnvoyFile;
use crate::http::Call;
use crate::process::{self, Process};
use crate::shared_envoy::{self, Guest};
use crate::{canary, place, wait};

/// Loading the filter takes seconds of one core where others want it, too.
const START: Duration = Duration::from_secs(240);

/// A running Envoy: a process, or what others do not see in a process that serves for many.
pub struct Envoy {
    process: Arc<Process>,
    admin: u16,
    port: u16,
    guest: Option<Guest>,
}

/// Whether Envoys that need no process of their own get none.
static IS_SHARED: AtomicBool = AtomicBool::new(false);

/// From now on what needs no process of its own is served by one that serves for many: for tests, where each start costs seconds.
pub fn share() {
    IS_SHARED.store(true, Ordering::Relaxed);
}

/// Settings of one start.
#[derive(Clone)]
pub struct Options {
    pub concurrency: u32,
    /// Environment variables that the filter may read.
    pub environment: Vec<(String, String)>,
    /// The folder in which Envoy starts, for configurations with relative names of files.
    pub folder: Option<PathBuf>,
    /// Whether it needs a process of its own also where it could do without.
    pub own: bool,
    /// The program.
    pub program: PathBuf,
    /// Further arguments.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { concurrency: 1, environment: Vec::new(), folder: None, own: false, program: place::envoy(), arguments: Vec::new() }
    }
}

impl Options {
    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        canary::keep(value);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts Envoy in a folder, which takes a process of its own.
    pub fn within(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self.own()
    }

    /// Asks for a process of its own: for its statistics, its admin server, its access log, or its end.
    pub fn own(mut self) -> Self {
        self.own = true;
        self
    }

    /// Runs another Envoy.
    pub fn program(mut self, path: PathBuf) -> Self {
        self.program = path;
        self.own()
    }

    /// Adds an argument of the command line.
    pub fn argument(mut self, text: &str) -> Self {
        self.arguments.push(text.to_owned());
        self.own()
    }

    /// Sets the number of worker threads.
    pub fn workers(mut self, count: u32) -> Self {
        self.concurrency = count;
        self
    }
}

fn launch(name: &str, file: &EnvoyFile, options: &Options) -> Result<(Arc<Process>, PathBuf)> {
    let name = place::unique(&format!("envoy-{name}"));
    let config = place::logs().join(format!("{name}.json"));
    let admin = place::logs().join(format!("{name}.admin"));
    std::fs::write(&config, serde_json::to_vec_pretty(file.value())?)?;
    let mut command = Command::new(&options.program);
    command.arg("--config-path").arg(&config).arg("--admin-address-path").arg(&admin);
    command
        .args(["--use-dynamic-base-id", "--log-level", "warning", "--component-log-level", "wasm:info", "--concurrency"])
        .arg(options.concurrency.to_string());
    // What a test waits for in an access log should not wait for its turn.
    command.args(["--file-flush-interval-msec", "200"]).args(&options.arguments);
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &options.folder {
        command.current_dir(folder);
    }
    Ok((process::spawn(&name, command)?, admin))
}

impl Envoy {
    /// Starts Envoy and returns when it serves.
    pub async fn start(name: &str, file: &EnvoyFile, options: Options) -> Result<Self> {
        if IS_SHARED.load(Ordering::Relaxed)
            && let Some((guest, port)) = shared_envoy::serve(file, &options).await.with_context(|| format!("Envoy {name} did not start"))?
        {
            return Ok(Self { process: guest.process().clone(), admin: 0, port, guest: Some(guest) });
        }
        let _turn = process::turn().await;
        let (process, admin_file) = launch(name, file, &options)?;
        let started = Self::serve(process.clone(), admin_file).await;
        started.with_context(|| format!("Envoy {name} did not start\n{}", process.tail()))
    }

    /// Waits until a process that was just started serves; the port of its admin server.
    pub(crate) async fn ready(process: &Process, admin_file: &Path) -> Result<u16> {
        let alive = || alive(process);
        let admin = wait::until("Envoy's admin address", START, async || {
            alive()?;
            let address = std::fs::read_to_string(admin_file).unwrap_or_default();
            Ok(address.trim().rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()))
        })
        .await?;
        wait::until("Envoy to be ready", START, async || {
            alive()?;
            let ready = Call::get("/ready").send(admin).await;
            Ok(ready.is_ok_and(|reply| reply.status == 200).then_some(()))
        })
        .await?;
        Ok(admin)
    }

    async fn serve(process: Arc<Process>, admin_file: PathBuf) -> Result<Self> {
        let admin = Self::ready(&process, &admin_file).await?;
        started().push((Arc::downgrade(&process), admin));
        let mut envoy = Self { process: process.clone(), admin, port: 0, guest: None };
        envoy.port = wait::until("a listener of Envoy", START, async || {
            alive(&process)?;
            envoy.listener_port().await
        })
        .await?;
        Ok(envoy)
    }

    async fn listener_port(&self) -> Result<Option<u16>> {
        let listeners = Call::get("/listeners?format=json").send(self.admin).await?.json();
        let port = listeners["listener_statuses"][0]["local_address"]["socket_address"]["port_value"].as_u64();
        Ok(port.map(u16::try_from).transpose()?.filter(|port| *port != 0))
    }

    /// Runs Envoy on a configuration that it must refuse; returns its exit code and its log.
    pub async fn refuse(name: &str, file: &EnvoyFile, options: Options) -> Result<(Option<i32>, String)> {
        let _turn = process::turn().await;
        let (process, _) = launch(name, file, &options)?;
        let status = process.exit(START).await.with_context(|| process.tail())?;
        Ok((status.code(), process.log()))
    }

    /// The port of the (first) listener.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of the listener of this name.
    pub async fn port_of(&self, listener: &str) -> Result<u16> {
        let (admin, name) = match &self.guest {
            Some(guest) => guest.named(listener),
            None => (self.admin, listener.to_owned()),
        };
        let listeners = Call::get("/listeners?format=json").send(admin).await?.json();
        let found =
            listeners["listener_statuses"].as_array().and_then(|list| list.iter().find(|one| one["name"] == name.as_str()).cloned());
        let port = found.with_context(|| format!("no listener {listener}"))?["local_address"]["socket_address"]["port_value"].as_u64();
        Ok(u16::try_from(port.context("a listener without a port")?)?)
    }

    /// The port of the admin server.
    pub fn admin(&self) -> u16 {
        self.alone();
        self.admin
    }

    /// The process.
    pub fn process(&self) -> &Arc<Process> {
        self.alone();
        &self.process
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// The last lines of its output, for a failure report.
    pub fn tail(&self) -> String {
        self.process.tail()
    }

    /// What a process has once is no guest's: a test that asks for it says so when it starts its Envoy.
    #[track_caller]
    fn alone(&self) {
        assert!(self.guest.is_none(), "this needs an Envoy of its own: start it with Options::default().own()");
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.guest.as_ref().map_or_else(|| self.process.log(), Guest::log)
    }

    /// Whether it has a process of its own: what is in that one's log is all about it.
    pub fn is_alone(&self) -> bool {
        self.guest.is_none()
    }

    /// The file with the configuration that it was started on, if it has a process of its own.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.is_alone().then(|| place::logs().join(format!("{}.json", self.process.name())))
    }

    /// Waits until a line of the log holds all of `parts`; returns that line.
    pub async fn logged(&self, parts: &[&str]) -> Result<String> {
        self.logged_after(0, parts).await
    }

    /// The same, looking only at what was logged after the first `start` bytes.
    pub async fn logged_after(&self, start: usize, parts: &[&str]) -> Result<String> {
        let what = format!("a line with {parts:?} in the log of {}", self.process.name());
        let limit = Duration::from_secs(10);
        wait::until(&what, limit, async || {
            let log = self.log();
            let fits = |line: &&str| parts.iter().all(|part| line.contains(part));
            Ok(log.get(start..).unwrap_or_default().lines().find(fits).map(str::to_owned))
        })
        .await
    }

    /// Waits until what was logged after the first `start` bytes tells of a refusal for `reason`.
    pub async fn refusal_logged(&self, start: usize, reason: &str) -> Result<String> {
        self.logged_after(start, &["attache: audit ", "\"decision\":\"deny\"", &format!("\"reason\":\"{reason}\"")]).await
    }

    /// The values of all counters and gauges whose names hold `part`, summed.
    pub async fn stat(&self, part: &str) -> Result<u64> {
        let own = self.guest.as_ref().and_then(|guest| guest.statistic(part));
        let (admin, part) = own.unwrap_or_else(|| (self.admin(), part.to_owned()));
        let stats = Call::get("/stats?format=json").send(admin).await?.json();
        let list: &[Value] = stats["stats"].as_array().map(Vec::as_slice).unwrap_or_default();
        let fits = |stat: &&Value| stat["name"].as_str().is_some_and(|name| name.contains(&part));
        Ok(list.iter().filter(fits).filter_map(|stat| stat["value"].as_u64()).sum())
    }

    /// Waits until that sum is at least `least`.
    pub async fn stat_reaches(&self, part: &str, least: u64) -> Result<u64> {
        wait::until(&format!("{part} to reach {least}"), Duration::from_secs(20), async || {
            let value = self.stat(part).await?;
            Ok((value >= least).then_some(value))
        })
        .await
    }

    /// Ends Envoy and waits for it.
    pub fn stop(&self) {
        match &self.guest {
            Some(guest) => guest.leave(),
            None => self.process.stop(),
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if self.guest.is_none() {
            search(&self.process, self.admin);
        }
    }
}

fn alive(process: &Process) -> Result<()> {
    match process.ended() {
        Some(status) => bail!("{} ended with {status}", process.name()),
        None => Ok(()),
    }
}

type Started = Vec<(Weak<Process>, u16)>;

fn started() -> std::sync::MutexGuard<'static, Started> {
    static STARTED: Mutex<Started> = Mutex::new(Vec::new());
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Searches the statistics of every Envoy that still runs for secrets.
pub fn search_all() {
    let running: Vec<_> = started().iter().filter_map(|(process, admin)| Some((process.upgrade()?, *admin))).collect();
    running.iter().for_each(|(process, admin)| search(process, *admin));
}

/// Searches the statistics of an Envoy, unless it is gone. Blocks for as long as its admin server needs.
fn search(process: &Process, admin: u16) {
    if process.ended().is_some() {
        return;
    }
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", admin))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /stats HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n")?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    // An Envoy that ends just now has no more to tell.
    if let Ok(text) = ask() {
        canary::search(&format!("the statistics of {}", process.name()), &text);
    }
}

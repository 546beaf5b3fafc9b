//! Child processes of the mesh: one thread spawns them all, each is ended by its own pid.
//!
//! The kernel signals a child when the *thread* that spawned it ends, so the spawning thread lives as long as the
//! program. Output goes to files, never to pipes: nothing here can fill up or break when this program dies.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{place, wait};

/// How long a process may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
const TAIL_LINES: usize = 40;

/// Starting an Envoy or an SDK takes all of a core for seconds. This many may start at once: more would only make each of them
/// late.
pub async fn turn() -> Option<SemaphorePermit<'static>> {
    static TURNS: OnceLock<Semaphore> = OnceLock::new();
    TURNS.get_or_init(|| Semaphore::new(at_once())).acquire().await.ok()
}

/// The same for programs that run to their end. They may wait for something that starts, so their turns are others.
pub async fn turn_to_run() -> Option<SemaphorePermit<'static>> {
    static TURNS: OnceLock<Semaphore> = OnceLock::new();
    TURNS.get_or_init(|| Semaphore::new(at_once())).acquire().await.ok()
}

fn at_once() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).saturating_add(1)
}

struct Order {
    command: Command,
    reply: mpsc::Sender<std::io::Result<Child>>,
}

/// A running child. Dropping the last handle kills it.
pub struct Process {
    name: String,
    pid: i32,
    child: Mutex<Child>,
    out: PathBuf,
    log: PathBuf,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn registry() -> &'static Mutex<Vec<Weak<Process>>> {
    static REGISTRY: OnceLock<Mutex<Vec<Weak<Process>>>> = OnceLock::new();
    REGISTRY.get_or_init(Mutex::default)
}

thread_local! {
    static STARTED_HERE: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
}

/// The ends of the logs of all processes that this thread asked for since it last called this: a test runs on one
/// thread, so these are the ones that its failure is about.
pub fn tails_of_this_thread() -> String {
    let paths = STARTED_HERE.with_borrow_mut(std::mem::take);
    paths.iter().map(|path| tail(path)).collect()
}

fn spawner() -> mpsc::Sender<Order> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let sender = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for mut order in orders {
                let _ = order.reply.send(order.command.spawn());
            }
        });
        Mutex::new(sender)
    });
    lock(sender).clone()
}

/// Starts `command` under `name`, which must be unique in this run ([`place::unique`]). Standard output goes to `NAME.out`, standard error to `NAME.log` in this run's folder.
pub fn spawn(name: &str, mut command: Command) -> Result<Arc<Process>> {
    let name = name.to_owned();
    let out = place::logs().join(format!("{name}.out"));
    let log = place::logs().join(format!("{name}.log"));
    STARTED_HERE.with_borrow_mut(|paths| paths.extend([out.clone(), log.clone()]));
    let parent = std::process::id();
    command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&log)?).process_group(0);
    // SAFETY: prctl, getppid and _exit are async-signal-safe and touch no memory of the parent.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            if libc::getppid() as u32 != parent {
                libc::_exit(1);
            }
            Ok(())
        });
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let (reply, answer) = mpsc::channel();
    spawner().send(Order { command, reply }).map_err(|_| anyhow!("the spawning thread is gone"))?;
    let child = answer.recv()?.with_context(|| format!("cannot start {name} ({program}); run `make setup build`"))?;
    let process = Arc::new(Process { name, pid: i32::try_from(child.id())?, child: Mutex::new(child), out, log });
    lock(registry()).push(Arc::downgrade(&process));
    Ok(process)
}

impl Process {
    /// The unique name of the process in this run.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The operating system's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A line of `/proc/<pid>/status` that tells kilobytes, such as `VmRSS` and `VmHWM` (its peak), in bytes.
    pub fn memory(&self, line: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
        let kilobytes = value.and_then(|value| value.trim().strip_suffix(" kB")).with_context(|| format!("no {line} in {status}"))?;
        Ok(kilobytes.trim().parse::<u64>()? * 1024)
    }

    /// CPU time that the process has used: all its threads, ended ones too, in user and kernel mode.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name may hold blanks; fields 14 and 15 are counted after it, in ticks.
        let (_, rest) = stat.rsplit_once(')').context("no name in stat")?;
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
        // SAFETY: sysconf reads a constant.
        let second = u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) })?.max(1);
        Ok(Duration::from_millis(ticks * 1000 / second))
    }

    /// Bytes of linear memory of all its WebAssembly instances. V8 reserves gigabytes of addresses for each, so that no access can
    /// leave them, and makes readable what is in use. That never shrinks.
    pub fn linear_memory(&self) -> Result<u64> {
        const RESERVED: u64 = 1 << 30;
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", self.pid))?;
        let regions: Vec<(u64, u64, bool)> = maps
            .lines()
            .filter_map(|line| {
                let (range, rest) = line.split_once(' ')?;
                let (start, end) = range.split_once('-')?;
                let number = |text| u64::from_str_radix(text, 16).ok();
                Some((number(start)?, number(end)?, rest.starts_with("rw-p")))
            })
            .collect();
        let used = regions.windows(2).filter_map(|pair| match pair {
            [(start, end, true), (next, last, false)] if end == next && last - next >= RESERVED => Some(end - start),
            _ => None,
        });
        Ok(used.sum())
    }

    /// Where its standard error goes.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Everything the process wrote to standard error so far.
    pub fn log(&self) -> String {
        read_lossy(&self.log)
    }

    /// Reads what it writes to standard error from now on.
    pub fn log_from_now(&self) -> LogReader {
        LogReader { path: self.log.clone(), read: std::fs::metadata(&self.log).map_or(0, |found| found.len()) }
    }

    /// Everything the process wrote to standard output so far.
    pub fn out(&self) -> String {
        read_lossy(&self.out)
    }

    /// The last lines of both outputs, headed by the files' names, for a failure report.
    pub fn tail(&self) -> String {
        [&self.out, &self.log].map(|path| tail(path)).concat()
    }

    /// Sends a signal, unless the process has already ended.
    pub fn signal(&self, signal: i32) {
        let mut child = lock(&self.child);
        if matches!(child.try_wait(), Ok(None)) {
            // SAFETY: the child is not reaped yet, so the pid is still its own.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    /// The exit status, once it has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        lock(&self.child).try_wait().ok().flatten()
    }

    /// Waits until the process ends by itself.
    pub async fn exit(&self, limit: Duration) -> Result<ExitStatus> {
        wait::until_known(&format!("{} to end", self.name), limit, || Ok(self.ended())).await
    }

    /// Ends the process: SIGTERM, then SIGKILL after a grace period. Returns when it is gone.
    pub fn stop(&self) {
        self.signal(libc::SIGTERM);
        let limit = Instant::now() + GRACE;
        while self.ended().is_none() && Instant::now() < limit {
            std::thread::sleep(wait::POLL);
        }
        self.kill();
    }

    /// Kills the process at once and reaps it.
    pub fn kill(&self) {
        let mut child = lock(&self.child);
        if !matches!(child.try_wait(), Ok(Some(_))) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for the line `READY {"port":N}` on standard output and returns the port.
    pub async fn ready_port(&self, limit: Duration) -> Result<u16> {
        port_of(&self.ready(limit).await?, "port")
    }

    /// Waits for the line `READY {...}` on standard output and returns the object in it.
    pub async fn ready(&self, limit: Duration) -> Result<serde_json::Value> {
        let what = format!("{} to print READY", self.name);
        let ready = wait::until_known(&what, limit, || {
            let out = self.out();
            // The last line may have come in part.
            let complete = out.rsplit_once('\n').map_or("", |(lines, _)| lines);
            if let Some(line) = complete.lines().find_map(|line| line.strip_prefix("READY ").map(str::to_owned)) {
                return Ok(Some(serde_json::from_str(&line)?));
            }
            match self.ended() {
                Some(status) => bail!("{} ended with {status} before it was ready", self.name),
                None => Ok(None),
            }
        })
        .await;
        ready.with_context(|| self.tail())
    }
}

/// Reads a log while it grows.
pub struct LogReader {
    path: PathBuf,
    /// Bytes of whole lines that were read.
    read: u64,
}

impl LogReader {
    /// The lines that have become whole since this was last called.
    pub fn lines(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        let more = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut bytes)
        });
        // A log that cannot be read has nothing new.
        let end = more.ok().and_then(|_| bytes.iter().rposition(|byte| *byte == b'\n'));
        let Some(end) = end else { return Vec::new() };
        let whole = bytes.get(..end).unwrap_or_default();
        self.read += u64::try_from(end).unwrap_or(0) + 1;
        String::from_utf8_lossy(whole).lines().map(str::to_owned).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn tail(path: &Path) -> String {
    let content = read_lossy(path);
    let lines: Vec<&str> = content.lines().collect();
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("--- end of {}\n", path.display());
    for line in lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)) {
        text.extend(line.chars().take(400));
        text.push('\n');
    }
    text
}

fn read_lossy(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Ends every process that is still there: first all get SIGTERM, then each is waited for.
pub fn end_all() {
    let running: Vec<Arc<Process>> = lock(registry()).iter().filter_map(Weak::upgrade).collect();
    for process in &running {
        process.signal(libc::SIGTERM);
    }
    for process in &running {
        process.stop();
    }
}

/// Ends everything when the owner of this value goes, also by a panic.
pub struct EndAll;

impl Drop for EndAll {
    fn drop(&mut self) {
        end_all();
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP end every child and then this program, with status `code`.
pub async fn end_on_signal(code: i32) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        let _ = tokio::task::spawn_blocking(end_all).await;
        std::process::exit(code);
    });
    Ok(())
}

/// A port of a READY line, by its name there.
pub fn port_of(ready: &serde_json::Value, name: &str) -> Result<u16> {
    let port = ready[name].as_u64().with_context(|| format!("no {name} in {ready}"))?;
    Ok(u16::try_from(port)?)
}

/// Runs a whole program: ends what it started, and says the causes of an error and where the logs are.
pub fn run_program(program: impl Future<Output = Result<ExitCode>>) -> ExitCode {
    let _end = EndAll;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(program)) {
        Ok(code) => code,
        Err(error) => {
            // Not its backtrace: what went wrong is in the logs of another program.
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("{}\nall logs: {}", causes.join("\n"), place::logs().display());
            ExitCode::FAILURE
        }
    }
}

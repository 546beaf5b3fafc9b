//! How a mesh test runs: on one standing mesh that the first test starts, with the logs of its own processes on failure.

use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use attache_mesh::canary;
use attache_mesh::envoy::{self, Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::matrix;
use attache_mesh::mesh::{Mesh, SCOPES, send_1_0};
use attache_mesh::mint::Mint;
use attache_mesh::place;
use attache_mesh::process::{self, EndAll};
use attache_mesh::refusal::{self, Form};
use attache_mesh::verdicts;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// Tests mostly wait on processes, so more of them run at once than there are cores.
const THREADS: usize = 12;

/// All tests.
#[derive(Default)]
pub struct Suite {
    trials: Vec<Trial>,
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime: {error}"),
    })
}

async fn standing() -> Result<&'static Mesh> {
    static MESH: OnceCell<Result<Mesh, String>> = OnceCell::const_new();
    let mesh = MESH.get_or_init(async || Mesh::start().await.map_err(|error| format!("{error:#}"))).await;
    mesh.as_ref().map_err(|error| anyhow!("the mesh did not start: {error}"))
}

/// What has failed so far, in a line each.
fn failures() -> MutexGuard<'static, Vec<String>> {
    static FAILURES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a line to `times.txt` in the log folder: where a long run spends its time.
fn note_time(name: &str, start: Instant) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(place::logs().join("times.txt"));
    if let Ok(mut file) = file {
        let _ = file.write_all(format!("{:7.2} s  {name}\n", start.elapsed().as_secs_f32()).as_bytes());
    }
}

impl Suite {
    /// Adds a test.
    pub fn add<F, T>(&mut self, name: impl Into<String>, test: F)
    where
        F: FnOnce(&'static Mesh) -> T + Send + 'static,
        T: Future<Output = Result<()>>,
    {
        let name = name.into();
        if !matrix::is_asked(&name) {
            return;
        }
        let label = name.clone();
        let body = move || {
            let _ = process::tails_of_this_thread();
            let start = Instant::now();
            let outcome = runtime().block_on(async {
                let mesh = standing().await?;
                let outcome = test(mesh).await;
                outcome.map_err(|error| {
                    let mut tails = process::tails_of_this_thread();
                    if tails.is_empty() {
                        tails = mesh.inbound.process().tail() + &mesh.outbound.process().tail();
                    }
                    error.context(format!("{tails}all logs: {}", place::logs().display()))
                })
            });
            note_time(&label, start);
            matrix::note_test(&label, outcome.is_ok());
            outcome.map_err(|error: anyhow::Error| {
                failures().push(format!("{label}: {}", error.root_cause()));
                let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
                Failed::from(causes.join("\n"))
            })
        };
        self.trials.push(Trial::test(name, body));
    }

    /// Runs what the command line asks for.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(THREADS);
        let _end = EndAll;
        envoy::share();
        if let Err(error) = runtime().block_on(process::end_on_signal(130)) {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
        let conclusion = libtest_mimic::run(&arguments, self.trials);
        envoy::search_all();
        let leaks = canary::sweep();
        leaks.iter().for_each(|leak| eprintln!("{leak}"));
        let all = !matrix::is_on() && arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list && !arguments.ignored;
        let unseen = if all { refusal::unseen() } else { Vec::new() };
        if !unseen.is_empty() {
            eprintln!("no test was refused for: {}", unseen.join(", "));
        }
        if let Err(error) = matrix::report() {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
        let played = verdicts::table();
        let (table, is_good) = played.unwrap_or_else(|| (String::new(), true));
        if !table.is_empty() {
            println!("{table}");
        }
        // Once more at the end, where a long log is looked at first, and in the words of the runner.
        failures().iter().for_each(|failure| println!("failed: {}", failure.chars().take(600).collect::<String>()));
        if conclusion.num_passed > 0 || conclusion.has_failed() {
            let verdict = if conclusion.has_failed() { "FAILED" } else { "ok" };
            println!("test result: {verdict}. {} passed; {} failed", conclusion.num_passed, conclusion.num_failed);
        }
        if leaks.is_empty() && unseen.is_empty() && is_good { conclusion.exit_code() } else { ExitCode::FAILURE }
    }
}

/// A good call goes through: the agent answers, for a caller that the filter verified.
pub async fn works(port: u16, token: &str) -> Result<Reply> {
    let reply = send_1_0("works").bearer(token).send(port).await?;
    ensure!(reply.status == 200, "a good call got {} {}", reply.status, reply.text());
    let echo = reply.echo().ok_or_else(|| anyhow!("no echo in {}", reply.text()))?;
    ensure!(echo.told("client").len() == 1, "the agent saw {:?}", echo.0);
    Ok(reply)
}

/// `call` is refused for `reason` in `form`, Envoy's log says so, and the next good call works.
pub async fn refused(envoy: &Envoy, call: &Call, reason: &str, form: &Form, good: &str) -> Result<Reply> {
    let start = envoy.log().len();
    let reply = call.send(envoy.port()).await?;
    refusal::check(&reply, reason, form)?;
    envoy.refusal_logged(start, reason).await?;
    works(envoy.port(), good).await?;
    Ok(reply)
}

/// An inbound Envoy that also trusts an issuer whose key the tests hold, and takes headers of any size.
pub struct House {
    pub envoy: Envoy,
    pub mint: Mint,
    pub audience: String,
}

/// The issuer of [`House`].
pub const HOUSE: &str = "https://house.example";

impl House {
    /// The one that all tests share.
    pub async fn standing(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<House> = OnceCell::const_new();
        STANDING.get_or_try_init(async || Self::start(mesh).await).await
    }

    async fn start(mesh: &Mesh) -> Result<Self> {
        let mint = Mint::new("house-1")?;
        let mut file = mesh.inbound_file()?;
        let audience = mesh.audience.clone();
        Self::trust(&mut file, &mint, &audience)?;
        let manager = file.http_manager()?;
        manager["max_request_headers_kb"] = json!(1024);
        manager["http_protocol_options"] = json!({"enable_trailers": true});
        let envoy = Envoy::start("house", &file, Options::default()).await?;
        Ok(Self { envoy, mint, audience: mesh.audience.clone() })
    }

    /// Makes the agents of `file` accept what `mint` signs as [`HOUSE`].
    pub fn trust(file: &mut EnvoyFile, mint: &Mint, audience: &str) -> Result<()> {
        file.edit_plugin(|plugin| {
            let house = json!({
                "name": "house", "issuer": HOUSE, "audiences": [audience],
                "jwks": {"inline": {"keys": [mint.jwk()]}}, "algorithms": ["ES256", "PS256"],
                "clock_skew": "0s", "max_lifetime": "3600s",
            });
            if let Some(issuers) = plugin["issuers"].as_array_mut() {
                issuers.push(house);
            }
            if let Some(schemes) = plugin["schemes"].as_object_mut() {
                for scheme in schemes.values_mut() {
                    if let Some(issuers) = scheme["bearer"]["issuers"].as_array_mut() {
                        issuers.push(json!("house"));
                    }
                }
            }
        })
    }

    /// Claims that are good for an hour's tenth.
    pub fn claims(&self) -> Value {
        Self::claims_for("alice", &self.audience)
    }

    /// The same for another subject and audience.
    pub fn claims_for(subject: &str, audience: &str) -> Value {
        let now = place::now();
        json!({
            "iss": HOUSE, "sub": subject, "aud": audience, "iat": now, "exp": now + 360,
            "client_id": "house-client", "scope": SCOPES,
        })
    }

    /// A token that is accepted.
    pub fn token(&self) -> String {
        self.mint.sign(&self.claims())
    }
}

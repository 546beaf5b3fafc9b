//! The page of `make run`: the mesh as a picture, each call as it passes, its records, and a form to send a call of one's own.
//!
//! A small HTTP server on a free port of 127.0.0.1, plain HTML with one script, and server-sent events. It sends nothing but what the
//! form and the tour can say, and only to this mesh.

mod board;
mod calls;
mod form;
mod guard;
mod mask;
mod serve;
mod trail;
mod way;
mod why;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Result, bail};
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::tour::{Door, Program, Row};
use crate::{chance, report};

use board::{Board, Kind};
use trail::Trail;

/// Calls that are sent at once for those who look at the page.
const AT_ONCE: usize = 4;

/// What the server needs to know.
struct Shared {
    port: u16,
    /// Whoever shows this has read the page.
    secret: String,
    board: Board,
    trail: Trail,
    standing: OnceLock<Standing>,
    turns: Semaphore,
}

/// The mesh, once it is up.
struct Standing {
    program: Program<'static>,
    is_touring: AtomicBool,
}

/// A page that is served. Dropping it ends that.
pub struct Page {
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
    following: OnceLock<JoinHandle<()>>,
}

impl Page {
    /// Begins to serve it: it says that the mesh starts.
    pub async fn open() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let shared = Arc::new(Shared {
            port: listener.local_addr()?.port(),
            secret: chance::text()?,
            board: Board::default(),
            trail: Trail::default(),
            standing: OnceLock::new(),
            turns: Semaphore::new(AT_ONCE),
        });
        shared.tell_state();
        let serving = tokio::spawn(serve::all(listener, shared.clone()));
        Ok(Self { shared, serving, following: OnceLock::new() })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.shared.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// The mesh is up: from now on the page shows its records, and calls can be sent.
    ///
    /// # Errors
    /// If it was up before.
    pub fn stand(&self, program: Program<'static>) -> Result<()> {
        if self.shared.standing.set(Standing { program, is_touring: AtomicBool::new(false) }).is_err() {
            bail!("the page has a mesh already");
        }
        self.shared.tell_state();
        let shared = self.shared.clone();
        self.following.get_or_init(|| tokio::spawn(async move { trail::follow(&shared).await }));
        Ok(())
    }

    /// Plays the whole tour, and shows it.
    ///
    /// # Errors
    /// If the mesh is not up, or the tour is being played.
    pub async fn play_tour(&self) -> Result<Vec<Row>> {
        play_tour(&self.shared).await
    }

    /// What the Envoys logged that recorded calls to the agent.
    pub fn log(&self) -> String {
        self.shared.standing.get().map(|standing| standing.program.log()).unwrap_or_default()
    }

    /// How a user agrees that calls go in their name, to be done by whoever reads it.
    ///
    /// # Errors
    /// If the mesh is not up, or gives no link.
    pub async fn agreeing(&self) -> Result<String> {
        let Some(standing) = self.shared.standing.get() else { bail!("the mesh is not up yet") };
        report::agreeing(&standing.program).await
    }

    /// Everything that the page tells now: for tests, which look for secrets in it.
    pub fn told(&self) -> String {
        self.shared.board.after(0).iter().map(|(_, event)| event.to_string()).collect()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.serving.abort();
        if let Some(following) = self.following.get() {
            following.abort();
        }
    }
}

impl Shared {
    /// Says where the mesh is, and whether it is up.
    fn tell_state(&self) {
        let state = match self.standing.get() {
            None => json!({"phase": "starting"}),
            Some(Standing { program, is_touring }) => {
                let mesh = program.mesh();
                let ports = json!({
                    "inbound": program.envoy(Door::Inbound).port(), "outbound": program.envoy(Door::Outbound).port(),
                    "idp": mesh.authorization.port, "agent10": mesh.agent_1_0.port, "agent03": mesh.agent_0_3.port,
                    "partner": mesh.partner.port,
                });
                let phase = if is_touring.load(Ordering::SeqCst) { "touring" } else { "standing" };
                json!({"phase": phase, "steps": program.steps().len(), "ports": ports})
            }
        };
        self.board.post(Kind::State, &state);
    }
}

/// Plays the tour, unless it is being played.
async fn play_tour(shared: &Shared) -> Result<Vec<Row>> {
    let Some(standing) = shared.standing.get() else { bail!("the mesh is not up yet") };
    if standing.is_touring.swap(true, Ordering::SeqCst) {
        bail!("the tour is being played");
    }
    shared.tell_state();
    let rows = play_turns(shared, &standing.program).await;
    standing.is_touring.store(false, Ordering::SeqCst);
    shared.tell_state();
    rows
}

async fn play_turns(shared: &Shared, program: &Program<'static>) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for turn in program.turns() {
        let mut calls: Vec<BoxFuture<'_, Result<(Row, Value)>>> = Vec::new();
        for step in turn {
            calls.push(Box::pin(calls::step(shared, program, step, "tour")));
        }
        for played in join_all(calls).await {
            rows.push(played?.0);
        }
    }
    Ok(rows)
}

/// Plays one step of the tour again.
async fn play_again(shared: &Shared, step: usize) -> Result<Value> {
    let Some(standing) = shared.standing.get() else { bail!("the mesh is not up yet") };
    if step >= standing.program.steps().len() {
        bail!("the tour has no step {step}");
    }
    Ok(calls::step(shared, &standing.program, step, "again").await?.1)
}

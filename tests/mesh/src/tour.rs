//! The tour: calls that show what the filter does, each with the outcome it must have.

use std::ops::Range;

use anyhow::Result;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::chance;
use crate::envoy::{Envoy, Options};
use crate::http::{Call, Reply, message_1_0, rpc};
use crate::layout::Layout;
use crate::mesh::{AGENT, Mesh, PARTNER_KEY, send_0_3, send_1_0, send_1_0_http};
use crate::peer::Sdk;
use crate::tour_callers::{self, Callers};
use crate::tour_methods::{self, Methods};
use crate::tour_users::{self, Users};
use crate::tour_wallet::{Proof, Wallet};

/// How a call came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: String,
    pub outcome: String,
    pub reason: String,
}

/// One call of the tour.
#[derive(Clone, Debug)]
pub struct Row {
    pub call: &'static str,
    pub caller: &'static str,
    pub stated: Outcome,
    pub seen: Outcome,
}

impl Row {
    /// True when the call came out as stated.
    pub fn holds(&self) -> bool {
        self.stated == self.seen
    }
}

pub(crate) fn answered(outcome: &str) -> Outcome {
    Outcome { status: "200".to_owned(), outcome: outcome.to_owned(), reason: String::new() }
}

fn refused(status: u16, reason: &str) -> Outcome {
    Outcome { status: status.to_string(), outcome: "refused".to_owned(), reason: reason.to_owned() }
}

/// Reads a reply of the agent: which version answered and whom it saw.
fn inbound(reply: &Reply) -> String {
    let Some(echo) = reply.echo() else {
        return format!("unexpected: {:.60}", reply.text());
    };
    let client = echo.told("client");
    let operation = echo.told("operation");
    let version = echo.header("a2a-version");
    match (client.as_slice(), operation.as_slice(), version.as_slice()) {
        ([client], [operation], [version]) if version == echo.agent() => {
            format!("agent {version} did {operation} for {client}")
        }
        seen => format!("agent {} saw {seen:?}", echo.agent()),
    }
}

/// Reads a reply of the partner: which credentials arrived.
fn outbound(reply: &Reply) -> String {
    let Some(echo) = reply.echo() else {
        return format!("unexpected: {:.60}", reply.text());
    };
    let keys = echo.header("x-api-key");
    let others = echo.header("authorization");
    match (keys.as_slice(), others.as_slice()) {
        ([key], []) if key == PARTNER_KEY => "partner got its key, nothing else".to_owned(),
        (keys, others) => format!("partner got {} keys, {} authorizations", keys.len(), others.len()),
    }
}

/// Where the card says that the agent is.
const PUBLIC: &str = "https://expense.example.com/agents/expense";

/// Reads a card in the shape of either version: how many interfaces it states, of which versions, where.
fn card(reply: &Reply) -> String {
    let card = reply.json();
    let (list, version) = if card["url"].is_string() {
        (&card["additionalInterfaces"], Some(&card["protocolVersion"]))
    } else {
        (&card["supportedInterfaces"], None)
    };
    let interfaces = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let stated = |read: &dyn Fn(&Value) -> Value| {
        let mut all: Vec<String> = interfaces.iter().filter_map(|one| read(one).as_str().map(str::to_owned)).collect();
        all.dedup();
        all.join(" and ")
    };
    let versions = stated(&|one| version.unwrap_or(&one["protocolVersion"]).clone());
    format!("{} interfaces, {versions}, at {}", interfaces.len(), stated(&|one| one["url"].clone()))
}

/// What became of a call; `read` says it of one that was answered.
pub(crate) fn outcome(reply: &Result<Reply>, read: fn(&Reply) -> String) -> Outcome {
    match reply {
        Ok(reply) if reply.is_success() && reply.reason().is_none() => {
            Outcome { status: reply.status.to_string(), outcome: read(reply), reason: String::new() }
        }
        Ok(reply) => {
            let reason = reply.reason().unwrap_or_default();
            let outcome = if reason.is_empty() { format!("unexpected: {:.60}", reply.text()) } else { "refused".to_owned() };
            Outcome { status: reply.status.to_string(), outcome, reason }
        }
        Err(error) => Outcome { status: "-".to_owned(), outcome: format!("{error:#}"), reason: String::new() },
    }
}

/// Which Envoy a call is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The one that guards the agent.
    Inbound,
    /// One that guards the same agent over TLS and takes every way to prove oneself.
    Tls,
    /// One that knows the agent's public URL.
    Cards,
    /// The one that attaches credentials.
    Outbound,
    /// One with a connection for each way to come by a credential.
    Methods,
    /// One whose calls go as their users, and at which browsers come in.
    Users,
    /// One that guards the SDK's own sample, of which it knows the card alone.
    Sample,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Inbound, Self::Tls, Self::Cards, Self::Outbound, Self::Methods, Self::Users, Self::Sample];

    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Tls => "inbound, TLS",
            Self::Cards => "inbound, cards",
            Self::Outbound => "outbound",
            Self::Methods => "outbound, methods",
            Self::Users => "outbound, users",
            Self::Sample => "inbound, sample",
        }
    }

    /// Whether calls leave here.
    pub fn is_outbound(self) -> bool {
        matches!(self, Self::Outbound | Self::Methods | Self::Users)
    }
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Act {
    /// A request without its credential, and how the reply of one that was answered is read.
    Call(Call, fn(&Reply) -> String),
    /// The same as a user who has agreed that calls go in their name, or has not.
    AsUser { call: Call, read: fn(&Reply) -> String, agreed: bool },
    /// A user opens a link in a browser, and agrees.
    Agree,
    /// A client on an SDK that does four things.
    Sdk(Sdk),
}

/// One call that is to be.
#[derive(Clone, Debug)]
pub struct Step {
    pub call: &'static str,
    pub caller: &'static str,
    pub door: Door,
    pub proof: Proof,
    pub act: Act,
    pub stated: Outcome,
}

/// One call that was.
#[derive(Clone, Debug)]
pub struct Played {
    pub row: Row,
    /// The request as it was sent, if this program sent it itself.
    pub sent: Option<Call>,
    /// What came back, if anything did.
    pub reply: Option<Reply>,
}

fn inbound_steps() -> Vec<Step> {
    let ten = "agent 1.0 did SendMessage for caller";
    let three = "agent 0.3 did SendMessage for caller";
    let sent_by_guest = "agent 1.0 did SendMessage for guest";
    let cancel = Call::post(AGENT, &rpc("cancel".into(), "CancelTask", json!({"id": "1"}))).version("1.0");
    let cancel_http = Call::post(format!("{AGENT}/tasks/1:cancel"), &json!({})).version("1.0");
    let by_query = Call::post(format!("{AGENT}?a2a-version=1.0"), &rpc("query".into(), "SendMessage", message_1_0("query")));
    let unknown = Call::post(AGENT, &rpc("unknown".into(), "DropTables", message_1_0("unknown"))).version("1.0");
    let step = |call, proof, request, stated| {
        let caller = match proof {
            Proof::None => "no token",
            Proof::OtherAgent => "token for another agent",
            Proof::Expired => "token that ran out",
            Proof::NoScope => "token without the scope",
            Proof::Guest => "guest, who may not cancel",
            _ => "good token",
        };
        Step { call, caller, door: Door::Inbound, proof, act: Act::Call(request, inbound), stated }
    };
    vec![
        step("1.0: SendMessage, JSON-RPC", Proof::Good, send_1_0("one"), answered(ten)),
        step("0.3: message/send, no version said", Proof::Good, send_0_3("two"), answered(three)),
        step("1.0 by ?a2a-version=1.0", Proof::Good, by_query, answered(ten)),
        step("1.0: POST /message:send, HTTP+JSON", Proof::Good, send_1_0_http("three"), answered(ten)),
        step("1.0: SendMessage", Proof::None, send_1_0("four"), refused(401, "credentials_missing")),
        step("1.0: SendMessage", Proof::OtherAgent, send_1_0("five"), refused(401, "token_audience_mismatch")),
        step("1.0: SendMessage", Proof::Expired, send_1_0("six"), refused(401, "token_expired")),
        step("1.0: SendMessage", Proof::NoScope, send_1_0("seven"), refused(403, "insufficient_scope")),
        step("1.0: SendMessage", Proof::Guest, send_1_0("seven and a half"), answered(sent_by_guest)),
        step("1.0: CancelTask", Proof::Guest, cancel, refused(403, "access_denied")),
        step("1.0: POST /tasks/1:cancel", Proof::Guest, cancel_http, refused(403, "access_denied")),
        step("A2A-Version: 9.9", Proof::Good, send_0_3("eight").version("9.9"), refused(200, "version_not_supported")),
        step("1.0: method DropTables", Proof::Good, unknown, refused(200, "operation_unknown")),
    ]
}

/// The same agent behind an Envoy that knows its public URL, and therefore makes its card true.
async fn projecting(mesh: &Mesh) -> Result<Envoy> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["agents"][0]["public_url"] = json!(PUBLIC))?;
    Envoy::start("tour-cards", &file, Options::default()).await
}

fn card_steps() -> Vec<Step> {
    let ask = |version| Call::get(format!("{AGENT}/.well-known/agent-card.json")).version(version);
    let step = |call, request, stated: &str| {
        let stated = answered(&format!("{stated}, at {PUBLIC}"));
        Step { call, caller: "anyone", door: Door::Cards, proof: Proof::None, act: Act::Call(request, card), stated }
    };
    vec![
        step("the card, A2A-Version: 1.0", ask("1.0"), "4 interfaces, 1.0 and 0.3"),
        step("the card, A2A-Version: 0.3", ask("0.3"), "2 interfaces, 0.3.0"),
    ]
}

fn outbound_steps(mesh: &Mesh) -> Vec<Step> {
    let to = |path: &str, host: &str, text: &str| Call::post(path, &rpc(text.into(), "SendMessage", message_1_0(text))).host(host);
    let partner = |text: &str| to("/", mesh.partner_host(), text);
    let step = |call, proof, act, stated| {
        let caller = match proof {
            Proof::Own => "credentials of its own",
            Proof::Good => "good token",
            _ => "no credential",
        };
        Step { call, caller, door: Door::Outbound, proof, act, stated }
    };
    let key_alone = || answered("partner got its key, nothing else");
    vec![
        step("out to the partner", Proof::None, Act::Call(partner("nine"), outbound), key_alone()),
        step("out to the partner", Proof::Own, Act::Call(partner("ten"), outbound), key_alone()),
        step(
            "out, in again, to the agent",
            Proof::None,
            Act::Call(to(AGENT, mesh.expense_host(), "eleven"), inbound),
            answered("agent 1.0 did SendMessage for caller"),
        ),
        step(
            "out for the caller, in again",
            Proof::Good,
            Act::Call(to(AGENT, mesh.users_host(), "eleven and a half"), inbound),
            answered("agent 1.0 did SendMessage for exchanger"),
        ),
        step(
            "out for the caller",
            Proof::None,
            Act::Call(to(AGENT, mesh.users_host(), "eleven and a half"), inbound),
            refused(401, "credentials_missing"),
        ),
        step(
            "out to somebody unknown",
            Proof::None,
            Act::Call(to("/", "unknown.example.com", "twelve"), outbound),
            refused(404, "unmatched"),
        ),
    ]
}

fn sdk_steps() -> Vec<Step> {
    let step = |call, door, sdk| {
        let stated = Outcome { status: "2xx".to_owned(), outcome: "all four answered".to_owned(), reason: String::new() };
        Step { call, caller: "good token", door, proof: Proof::Good, act: Act::Sdk(sdk), stated }
    };
    vec![
        step("Python SDK 1.0: send stream get card", Door::Inbound, Sdk::Python1_0),
        step("JS SDK 0.3: send stream get card", Door::Inbound, Sdk::Js0_3),
        // An agent of which the configuration says no version, binding or path.
        step("Python SDK 1.0 and the SDK's own sample", Door::Sample, Sdk::Python1_0),
    ]
}

/// The tour, ready to be played: the Envoys that it needs beside those of the mesh, and its steps.
pub struct Program<'m> {
    mesh: &'m Mesh,
    wallet: Wallet<'m>,
    callers: Callers,
    cards: Envoy,
    methods: Methods,
    users: Users,
    sample: Layout,
    steps: Vec<Step>,
}

impl<'m> Program<'m> {
    /// Starts what it needs.
    pub async fn start(mesh: &'m Mesh) -> Result<Self> {
        let opening = async {
            let wallet = Wallet::open(mesh).await?;
            let callers = Callers::start(mesh, &wallet).await?;
            anyhow::Ok((wallet, callers))
        };
        let ((wallet, callers), cards, methods, users, sample) =
            tokio::try_join!(opening, projecting(mesh), Methods::start(mesh), Users::start(mesh), Layout::sample_by_card(mesh))?;
        wallet.know(&users.corp);
        let out = [outbound_steps(mesh), tour_methods::steps(), tour_users::steps()].concat();
        let parts = [inbound_steps(), tour_callers::steps(), card_steps(), out, sdk_steps()];
        Ok(Self { mesh, wallet, callers, cards, methods, users, sample, steps: parts.concat() })
    }

    /// The mesh on which it is played.
    pub fn mesh(&self) -> &'m Mesh {
        self.mesh
    }

    /// What callers show.
    pub fn wallet(&self) -> &Wallet<'m> {
        &self.wallet
    }

    /// Those whose calls go as their users.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Its calls in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Which steps are played at once: each by itself, but the SDKs, which take seconds to start.
    pub fn turns(&self) -> Vec<Range<usize>> {
        let alone = self.steps.iter().take_while(|step| !matches!(step.act, Act::Sdk(_))).count();
        (0..alone).map(|index| index..index + 1).chain(std::iter::once(alone..self.steps.len())).collect()
    }

    /// The Envoy behind a door.
    pub fn envoy(&self, door: Door) -> &Envoy {
        match door {
            Door::Inbound => &self.mesh.inbound,
            Door::Tls => &self.callers.envoy,
            Door::Cards => &self.cards,
            Door::Outbound => &self.mesh.outbound,
            Door::Methods => &self.methods.envoy,
            Door::Users => &self.users.envoy,
            Door::Sample => &self.sample.envoy,
        }
    }

    /// Sends a call whose headers have its proof already. Only a certificate is none of the headers.
    pub async fn send(&self, door: Door, call: &Call, proof: Proof) -> Result<Reply> {
        match door {
            Door::Tls => self.callers.send(call, proof).await,
            _ => call.send(self.envoy(door).port()).await,
        }
    }

    /// Plays a step. All requests of it have the id `id`.
    ///
    /// # Errors
    /// If there is no token to be had. A call that fails is a row that says so.
    pub async fn play(&self, step: &Step, id: &str) -> Result<Played> {
        let (seen, sent, reply) = match &step.act {
            Act::Call(request, read) | Act::AsUser { call: request, read, .. } => {
                if let Act::AsUser { agreed, .. } = step.act {
                    self.prepare(step.proof, agreed).await?;
                }
                let sent = self.wallet.prove(step.proof, request.clone().header("x-request-id", id)).await?;
                let reply = self.send(step.door, &sent, step.proof).await;
                let seen = outcome(&reply, *read);
                (seen, Some(sent), reply.ok())
            }
            Act::Agree => {
                let token = self.wallet.token(step.proof).await?.unwrap_or_default();
                (self.users.agreement(tour_users::BOB, &token).await, None, None)
            }
            Act::Sdk(sdk) => {
                let url = if step.door == Door::Sample { self.sample.url.clone() } else { self.mesh.url() };
                let token = self.wallet.token(step.proof).await?.unwrap_or_default();
                (called(sdk.call_named(id, &url, &token, "send,stream,get,card").await), None, None)
            }
        };
        Ok(Played { row: Row { call: step.call, caller: step.caller, stated: step.stated.clone(), seen }, sent, reply })
    }

    /// A step can be played at any time: the user has agreed before it, or has not.
    async fn prepare(&self, proof: Proof, agreed: bool) -> Result<()> {
        let token = self.wallet.token(proof).await?.unwrap_or_default();
        if !agreed {
            return self.users.forget(&token).await;
        }
        if !self.users.has_agreed(&token).await?.0 {
            self.users.agree(tour_users::BOB, &token).await?;
        }
        Ok(())
    }

    /// What those Envoys logged that recorded calls to the agent.
    pub fn log(&self) -> String {
        self.mesh.inbound.log() + &self.callers.envoy.log()
    }
}

/// What a client on an SDK tells.
fn called(told: Result<Value>) -> Outcome {
    let outcome = match told {
        Ok(result) if result["ok"] == true => "all four answered".to_owned(),
        Ok(result) => format!("{result}"),
        Err(error) => format!("{error:#}"),
    };
    Outcome { status: "2xx".to_owned(), outcome, reason: String::new() }
}

/// The calls as they came out, and the log of those Envoys that recorded calls to the agent.
pub struct Tour {
    pub rows: Vec<Row>,
    pub log: String,
}

/// Plays every call in order.
pub async fn play_all(mesh: &Mesh) -> Result<Tour> {
    let program = Program::start(mesh).await?;
    let mut rows = Vec::new();
    for turn in program.turns() {
        let steps = program.steps().get(turn).unwrap_or_default();
        let played = join_all(steps.iter().map(|step| async { program.play(step, &chance::uuid()?).await })).await;
        for one in played {
            rows.push(one?.row);
        }
    }
    Ok(Tour { rows, log: program.log() })
}

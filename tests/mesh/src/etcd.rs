//! A real etcd of one member or several, each a process of its own that can be killed, paused, and started again.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::{Call, Reply};
use crate::port::Reserved;
use crate::process::{self, Process};
use crate::tls::Authority;
use crate::{canary, chance, place, wait};

const START: Duration = Duration::from_secs(120);
/// Longest wait for an answer of the API, beyond which a member has no majority.
const ANSWER: Duration = Duration::from_secs(5);

/// How it is started.
#[derive(Default)]
pub struct Options {
    /// How many members there are; one, if it says nothing.
    pub members: usize,
    /// Turns authentication on, with users `root` and [`USER`].
    pub users: bool,
    /// How long a token is good that nobody uses, in whole seconds.
    pub token_ttl: Option<Duration>,
    /// Bytes that the database may have.
    pub quota: Option<u64>,
    /// Clients come over TLS, to a certificate of this authority for `localhost`.
    pub tls: Option<Arc<Authority>>,
}

/// The user that may read and write keys that begin with [`PREFIX`].
pub const USER: &str = "attache";
/// What these begin with.
pub const PREFIX: &str = "attache/";

/// A running etcd. Dropping it kills its members.
pub struct Etcd {
    members: Vec<Member>,
    tls: Option<Arc<Authority>>,
    passwords: Option<(String, String)>,
}

struct Member {
    name: String,
    command: Vec<String>,
    client: Reserved,
    /// Nothing else takes its port while the member is dead.
    _peer: Reserved,
    process: Mutex<Arc<Process>>,
}

impl Etcd {
    /// Starts it, and waits until all members are healthy.
    pub async fn start(options: Options) -> Result<Self> {
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let members = options.members.max(1);
        let ports = (0..members).map(|_| Ok((Reserved::new()?, Reserved::new()?))).collect::<Result<Vec<_>>>()?;
        let names: Vec<String> = (0..members).map(|_| place::unique("etcd")).collect();
        let peers = names.iter().zip(&ports).map(|(name, (_, peer))| format!("{name}=http://127.0.0.1:{}", peer.port()));
        let cluster = peers.collect::<Vec<_>>().join(",");
        let mut shared = vec![format!("--initial-cluster={cluster}"), format!("--initial-cluster-token={}", names[0])];
        shared.extend(["--socket-reuse-port", "--unsafe-no-fsync", "--log-level=warn"].map(str::to_owned));
        shared.extend(options.token_ttl.map(|time| format!("--auth-token-ttl={}", time.as_secs())));
        shared.extend(options.quota.map(|bytes| format!("--quota-backend-bytes={bytes}")));
        if let Some(authority) = &options.tls {
            authority.issue("etcd", &[], &["localhost"])?.put(place::logs(), &names[0])?;
            let file = |extension: &str| place::logs().join(&names[0]).with_extension(extension).display().to_string();
            shared.extend([format!("--cert-file={}", file("pem")), format!("--key-file={}", file("key"))]);
        }
        let mut started = Vec::new();
        for (name, (client, peer)) in names.iter().zip(ports) {
            let (address, own) = (format!("{scheme}://127.0.0.1:{}", client.port()), format!("http://127.0.0.1:{}", peer.port()));
            let mut command = shared.clone();
            command.extend([
                format!("--name={name}"),
                format!("--data-dir={}", data(name).display()),
                format!("--listen-client-urls={address}"),
                format!("--advertise-client-urls={address}"),
                format!("--listen-peer-urls={own}"),
                format!("--initial-advertise-peer-urls={own}"),
            ]);
            let process = Mutex::new(spawn(name, &command)?);
            started.push(Member { name: name.clone(), command, client, _peer: peer, process });
        }
        let mut etcd = Self { members: started, tls: options.tls, passwords: None };
        for member in 0..members {
            etcd.healthy(member).await?;
        }
        if options.users {
            etcd.add_users().await?;
        }
        Ok(etcd)
    }

    /// The ports of all members, for clients.
    pub fn ports(&self) -> Vec<u16> {
        self.members.iter().map(|member| member.client.port()).collect()
    }

    /// Resident memory of the first member, in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.process(0).memory("VmRSS")
    }

    /// The password of [`USER`].
    pub fn password(&self) -> Result<&str> {
        self.passwords.as_ref().map(|(_, password)| password.as_str()).context("it has no users")
    }

    /// Kills a member at once.
    pub fn kill(&self, member: usize) {
        self.process(member).kill();
    }

    /// Pauses a member: it keeps its connections and answers nothing.
    pub fn pause(&self, member: usize) {
        self.process(member).signal(libc::SIGSTOP);
    }

    /// Lets a paused member go on.
    pub fn go_on(&self, member: usize) {
        self.process(member).signal(libc::SIGCONT);
    }

    /// Starts a killed member again, with what it had, and waits until it is healthy.
    pub async fn revive(&self, member: usize) -> Result<()> {
        let found = &self.members[member];
        let process = spawn(&place::unique("etcd-again"), &found.command)?;
        *found.process.lock().unwrap_or_else(PoisonError::into_inner) = process;
        self.healthy(member).await
    }

    /// The member that leads.
    pub async fn leader(&self) -> Result<usize> {
        self.leader_but(self.members.len()).await
    }

    /// The same where nothing is asked of member `lost`.
    pub async fn leader_but(&self, lost: usize) -> Result<usize> {
        for member in (0..self.members.len()).filter(|member| *member != lost) {
            let status = self.ask(member, "/v3/maintenance/status", &json!({})).await?;
            if status["leader"] == status["header"]["member_id"] {
                return Ok(member);
            }
        }
        bail!("no member leads")
    }

    /// What the API of a member says to `body`, to `root` where there are users.
    ///
    /// # Errors
    /// If it is not done.
    pub async fn ask(&self, member: usize, path: &str, body: &Value) -> Result<Value> {
        let mut call = Call::post(path, body);
        if let Some((root, _)) = &self.passwords {
            let token = self.send(member, &Call::post("/v3/auth/authenticate", &json!({"name": "root", "password": root}))).await?;
            call = call.header("authorization", token.json()["token"].as_str().context("no token")?);
        }
        let reply = self.send(member, &call).await?;
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, reply.text());
        Ok(reply.json())
    }

    /// Sends a call to a member, over TLS if it speaks that.
    pub async fn send(&self, member: usize, call: &Call) -> Result<Reply> {
        let port = self.members[member].client.port();
        let sent = async {
            match &self.tls {
                Some(authority) => authority.send(call, port, None).await,
                None => call.send(port).await,
            }
        };
        tokio::time::timeout(ANSWER, sent).await?
    }

    fn process(&self, member: usize) -> Arc<Process> {
        self.members[member].process.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn healthy(&self, member: usize) -> Result<()> {
        let process = self.process(member);
        let what = format!("{} to be healthy", process.name());
        let healthy = wait::until(&what, START, async || {
            ensure!(process.ended().is_none(), "etcd ended");
            let reply = self.send(member, &Call::get("/health")).await;
            Ok(reply.is_ok_and(|reply| reply.json()["health"] == "true").then_some(()))
        });
        healthy.await.with_context(|| process.tail())
    }

    /// As an operator adds them.
    async fn add_users(&mut self) -> Result<()> {
        let (root, password) = (chance::text()?, chance::text()?);
        canary::keep(&root);
        canary::keep(&password);
        let key = |text: &str| STANDARD.encode(text);
        for (path, body) in [
            ("/v3/auth/role/add", json!({"name": "root"})),
            ("/v3/auth/user/add", json!({"name": "root", "password": root})),
            ("/v3/auth/user/grant", json!({"user": "root", "role": "root"})),
            ("/v3/auth/role/add", json!({"name": USER})),
            (
                "/v3/auth/role/grant",
                json!({"name": USER, "perm": {"permType": "READWRITE", "key": key(PREFIX), "range_end": key("attache0")}}),
            ),
            ("/v3/auth/user/add", json!({"name": USER, "password": password})),
            ("/v3/auth/user/grant", json!({"user": USER, "role": USER})),
            ("/v3/auth/enable", json!({})),
        ] {
            self.ask(0, path, &body).await?;
        }
        self.passwords = Some((root, password));
        Ok(())
    }
}

impl Drop for Etcd {
    /// A log of 64 MB for each member is nothing to keep.
    fn drop(&mut self) {
        for (index, member) in self.members.iter().enumerate() {
            self.kill(index);
            let _ = std::fs::remove_dir_all(data(&member.name));
        }
    }
}

fn data(name: &str) -> PathBuf {
    place::logs().join(format!("{name}.data"))
}

fn spawn(name: &str, arguments: &[String]) -> Result<Arc<Process>> {
    let mut command = Command::new(place::tool("bin/etcd"));
    command.args(arguments);
    process::spawn(name, command)
}

//! Requests that go on before they are complete: what contradicts the verdict later never reaches an agent whole, and a body of any
//! length needs no memory.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::raw::{self, chunked, head};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::suite::Suite;

/// A guarded agent that notes what reached it whole.
struct Guarded {
    agent: StandIn,
    envoy: Envoy,
    token: String,
}

impl Guarded {
    async fn start(mesh: &Mesh, name: &str, edit: impl FnOnce(&mut EnvoyFile) -> Result<()>) -> Result<Self> {
        let agent = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
        let mut file = mesh.inbound_file()?;
        file.cluster("expense_v1_0", agent.port)?;
        file.cluster("expense_v0_3", agent.port)?;
        edit(&mut file)?;
        Ok(Self { agent, envoy: Envoy::start(name, &file, Options::default().own()).await?, token: mesh.token().await? })
    }

    /// The head of a POST with this token.
    fn head(&self, path: &str, name: &str, value: &str) -> Vec<u8> {
        let authorization = format!("Bearer {}", self.token);
        let headers: [(&str, &[u8]); 5] = [
            ("host", b"expense.example.com"),
            ("content-type", b"application/json"),
            ("a2a-version", b"1.0"),
            ("authorization", authorization.as_bytes()),
            (name, value.as_bytes()),
        ];
        head(&format!("POST {path}"), &headers)
    }

    async fn works(&self) -> Result<()> {
        let before = self.agent.whole();
        let body = [OPEN, r#""params":{}}"#].concat();
        let reply = Call::post(AGENT, &json!(null)).version("1.0").bearer(&self.token).body(body).send(self.envoy.port()).await?;
        ensure!(reply.status == 200 && self.agent.whole() == before + 1, "a good call: {} {}", reply.status, reply.text());
        Ok(())
    }
}

/// As much of a request as it takes to let it go on.
const OPEN: &str = r#"{"jsonrpc":"2.0","id":"late","method":"SendMessage","#;

/// What follows it, and why the whole is refused.
const LATE: [(&str, &[u8]); 10] = [
    ("request_malformed", br#""params":{},"method":"CancelTask"}"#),
    ("request_malformed", br#""params":{},"\u006dethod":"CancelTask"}"#),
    ("request_malformed", br#""params":{},"Method":"CancelTask"}"#),
    ("request_malformed", br#""params":{},"id":"other"}"#),
    ("request_malformed", br#""params":{},"params":{"message":{}}}"#),
    ("body_malformed", br#""params":{}}{"method":"CancelTask"}"#),
    ("body_malformed", br#""params":{"#),
    ("body_malformed", b"\"params\":{\"message\":\"\xff\"}}"),
    ("push_target_refused", br#""params":{"message":{},"configuration":{"taskPushNotificationConfig":{"url":"https://10.0.0.1/"}}}}"#),
    ("content_refused", br#""params":{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"url":"https://a.example.com/b"}]}}}"#),
];

/// The longest message, and how much Envoy may grow by it: its buffers on both sides, and nothing that grows with the body.
const LARGE: usize = 100_000_000;
const GROWTH: u64 = 24 * 1024 * 1024;

/// Sends head and pieces as fast as they are read, reads the answer to its end.
async fn upload(port: u16, head: &[u8], open: &[u8], piece: &[u8], times: usize, close: &[u8]) -> Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(head).await?;
        stream.write_all(open).await?;
        for _ in 0..times {
            stream.write_all(piece).await?;
        }
        stream.write_all(close).await?;
        let mut answer = vec![0; 64 * 1024];
        let length = stream.read(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned())
    };
    tokio::time::timeout(Duration::from_secs(120), exchange).await.context("a large upload does not end")?
}

/// Sends a request that turns out wrong late in every way there is: each is refused, none reaches the agent whole.
async fn wrong_late(here: &Guarded, reason: &str, late: &[u8]) -> Result<()> {
    here.works().await?;
    let port = here.envoy.port();
    let body = [OPEN.as_bytes(), late].concat();
    let length = body.len().to_string();
    let by_chunks = [vec![here.head(AGENT, "transfer-encoding", "chunked")], chunked(&body, 5, &[])].concat();
    let by_length = [vec![here.head(AGENT, "content-length", &length)], body.chunks(5).map(<[u8]>::to_vec).collect()].concat();
    let slow = |head: Vec<u8>, cut: Vec<Vec<u8>>| [vec![head], cut].concat();
    let two_chunks = [chunked(OPEN.as_bytes(), OPEN.len(), &[])[..1].to_vec(), chunked(late, late.len(), &[])].concat();
    let two_chunks = slow(here.head(AGENT, "transfer-encoding", "chunked"), two_chunks);
    let two_pieces = slow(here.head(AGENT, "content-length", &length), vec![OPEN.into(), late.to_vec()]);
    let call = Call::post(AGENT, &json!(null)).version("1.0").bearer(&here.token).body(body.clone());
    let with_length = call.clone().header("content-length", &length);
    let pace = Duration::from_millis(200);
    let before = (here.agent.heads(), here.agent.whole());
    let mut whole = Vec::new();
    let mut noted = |outcome: Result<Reply>| {
        whole.push(here.agent.whole() - before.1);
        outcome
    };
    let outcomes = [
        noted(call.send(port).await),
        noted(raw::http1(port, &by_chunks).await),
        noted(raw::http1(port, &by_length).await),
        noted(raw::http1_slowly(port, &two_chunks, pace).await),
        noted(raw::http1_slowly(port, &two_pieces, pace).await),
        noted(raw::http2(port, &call, 3, &[]).await),
        noted(raw::http2(port, &with_length, 3, &[]).await),
        noted(raw::http2(port, &call, 3, &[("x-checksum", "1")]).await),
        noted(raw::http2(port, &call, 100_000, &[]).await),
    ];
    // What is no JSON has no id (JSON-RPC 2.0 section 5), although one was read.
    let id = if reason == "body_malformed" { json!(null) } else { json!("late") };
    for (index, outcome) in outcomes.into_iter().enumerate() {
        let reply = outcome.with_context(|| format!("{reason}, way {index}"))?;
        refusal::check(&reply, reason, &Form::Rpc(id.clone())).with_context(|| format!("way {index}"))?;
    }
    ensure!(here.agent.whole() == before.1, "a refused request reached the agent whole: after each way {whole:?}");
    // The slow ones were on their way when they were cut off; otherwise this test shows nothing.
    ensure!(here.agent.heads() >= before.0 + 2, "nothing went on early: {} heads", here.agent.heads() - before.0);
    here.works().await
}

pub fn add(suite: &mut Suite) {
    suite.add("watching::what_turns_out_wrong_late_never_reaches_the_agent_whole", async |mesh| {
        let edit = |plugin: &mut Value| plugin["agents"][0]["limits"] = json!({"modalities": ["text"]});
        let here = Guarded::start(mesh, "watching", |file| file.edit_plugin(edit)).await?;
        let mut wrong = Vec::new();
        for (reason, late) in LATE {
            if let Err(error) = wrong_late(&here, reason, late).await {
                wrong.push(format!("{reason} for {}: {error:#}", String::from_utf8_lossy(late)));
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    });
    suite.add("watching::a_late_target_over_http_json_never_reaches_the_agent_whole", async |mesh| {
        let here = Guarded::start(mesh, "watching-http-json", |_| Ok(())).await?;
        let open = br#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"a"}]},"#;
        let late = br#""configuration":{"taskPushNotificationConfig":{"url":"https://169.254.169.254/"}}}"#;
        let start = here.head(&format!("{AGENT}/message:send"), "transfer-encoding", "chunked");
        let pieces = [vec![start], chunked(open, open.len(), &[])[..1].to_vec(), chunked(late, late.len(), &[])].concat();
        for pace in [1, 200] {
            let reply = raw::http1_slowly(here.envoy.port(), &pieces, Duration::from_millis(pace)).await?;
            refusal::check(&reply, "push_target_refused", &Form::Status)?;
        }
        ensure!(here.agent.whole() == 0 && here.agent.heads() > 0, "{} whole of {}", here.agent.whole(), here.agent.heads());
        here.works().await
    });
    suite.add("watching::a_hundred_megabytes_pass_without_growth", async |mesh| {
        let here = Guarded::start(mesh, "large", |file| {
            file.edit_plugin(|plugin| plugin["agents"][0]["limits"] = json!({"max_body_bytes": 0, "modalities": ["text"]}))
        })
        .await?;
        here.works().await?;
        let params = r#""params":{"message":{"messageId":"m","role":"ROLE_USER","parts":["#;
        let text = "é€😀abc ".repeat(4096);
        let part = r#"{"text":"hello"},"#.repeat(2048);
        let shapes = [(r#"{"text":""#, text, r#""}]}}}"#), ("", part, r#"{"text":"end"}]}}}"#)];
        let process = here.envoy.process();
        let mut before = 0;
        for (shape, (first, piece, last)) in shapes.iter().enumerate() {
            // The first megabyte fills buffers that stay.
            for total in [1_000_000, LARGE] {
                let open = [OPEN, params, first].concat();
                let times = total / piece.len() + 1;
                let length = open.len() + piece.len() * times + last.len();
                let (whole, bytes) = (here.agent.whole(), here.agent.body_bytes());
                let start = here.head(AGENT, "content-length", &length.to_string());
                let answer = upload(here.envoy.port(), &start, open.as_bytes(), piece.as_bytes(), times, last.as_bytes()).await?;
                ensure!(answer.starts_with("HTTP/1.1 200 "), "shape {shape}: {answer}");
                ensure!(here.agent.whole() == whole + 1, "shape {shape} did not arrive whole");
                ensure!(here.agent.body_bytes() - bytes == u64::try_from(length)?, "shape {shape}: not all bytes arrived");
                if before == 0 {
                    before = process.memory("VmRSS")?;
                }
            }
            let growth = process.memory("VmHWM")?.saturating_sub(before);
            ensure!(growth < GROWTH, "shape {shape}: Envoy grew from {before} by {growth} bytes");
        }
        Ok(())
    });
}

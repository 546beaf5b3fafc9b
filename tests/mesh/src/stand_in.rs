//! Servers that misbehave on purpose: JWKS endpoints that answer nonsense, and an upstream that notes what reached it whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// An answer that a stand-in gives to every request.
#[derive(Clone)]
pub struct Answer {
    pub status: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Arc<Vec<u8>>,
}

impl Answer {
    /// An answer of a content type.
    pub fn new(status: &'static str, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), kind.to_owned())], body: Arc::new(body.into()) }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

struct State {
    answer: Mutex<Answer>,
    /// Requests that arrived with head and body complete.
    whole: AtomicU64,
    /// Heads that arrived.
    heads: AtomicU64,
    /// While this is false, answers wait.
    open: watch::Sender<bool>,
}

/// An HTTP/1.1 server on a free port of 127.0.0.1 that gives one answer to all.
pub struct StandIn {
    pub port: u16,
    state: Arc<State>,
    accepting: tokio::task::JoinHandle<()>,
}

impl StandIn {
    /// Starts it.
    pub async fn start(answer: Answer) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (open, _) = watch::channel(true);
        let state = Arc::new(State { answer: Mutex::new(answer), whole: AtomicU64::new(0), heads: AtomicU64::new(0), open });
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Ok(Self { port, state, accepting })
    }

    /// Changes the answer for requests from now on.
    pub fn answer(&self, answer: Answer) {
        *self.state.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// From now on answers wait until this is called with `true`.
    pub fn open(&self, open: bool) {
        self.state.open.send_replace(open);
    }

    /// Requests that arrived whole.
    pub fn whole(&self) -> u64 {
        self.state.whole.load(Ordering::SeqCst)
    }

    /// Requests that began to arrive.
    pub fn heads(&self) -> u64 {
        self.state.heads.load(Ordering::SeqCst)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = BytesMut::new();
    let mut counted = false;
    loop {
        if !counted && head_end(&buffer).is_some() {
            state.heads.fetch_add(1, Ordering::SeqCst);
            counted = true;
        }
        if let Some(used) = whole_request(&buffer) {
            state.whole.fetch_add(1, Ordering::SeqCst);
            counted = false;
            let _ = buffer.split_to(used);
            if state.open.subscribe().wait_for(|open| *open).await.is_err() {
                return;
            }
            let answer = state.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if write(&mut stream, &answer).await.is_err() {
                return;
            }
            continue;
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

async fn write(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {}\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&answer.body).await
}

fn head_end(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// The length of the first request in `buffer`, if all of it is there.
fn whole_request(buffer: &[u8]) -> Option<usize> {
    let start = head_end(buffer)?;
    let head = String::from_utf8_lossy(buffer.get(..start)?).to_ascii_lowercase();
    let rest = buffer.get(start..)?;
    if head.contains("transfer-encoding: chunked") {
        let end = rest.windows(5).position(|five| five == b"0\r\n\r\n")?;
        return Some(start + end + 5);
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|value| value.trim().parse().ok());
    let end = start + length.unwrap_or(0);
    (buffer.len() >= end).then_some(end)
}

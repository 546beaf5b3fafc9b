//! Servers that misbehave on purpose: JWKS endpoints that answer nonsense, and an upstream that notes what reached it whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

/// An answer that a stand-in gives to every request.
#[derive(Clone)]
pub struct Answer {
    pub status: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Arc<Vec<u8>>,
    /// Whether the answer goes on with what [`StandIn::more`] gives, and has no end of its own.
    endless: bool,
    /// The pause before each byte of the body.
    drip: Option<Duration>,
}

impl Answer {
    /// An answer of a content type.
    pub fn new(status: &'static str, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { status, headers, body: Arc::new(body.into()), endless: false, drip: None }
    }

    /// Events without end: each is what [`StandIn::more`] gives.
    pub fn events() -> Self {
        Self { endless: true, ..Self::new("200 OK", "text/event-stream", "").header("transfer-encoding", "chunked") }
    }

    /// The same, byte by byte, with this pause before each.
    pub fn dripping(self, pause: Duration) -> Self {
        Self { drip: Some(pause), ..self }
    }

    /// Adds a header. With `transfer-encoding` the body must be in chunks already.
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
    /// Bytes of bodies that arrived, with the sizes of their chunks.
    body_bytes: AtomicU64,
    /// While this is false, answers wait.
    open: watch::Sender<bool>,
    /// What endless answers go on with.
    more: broadcast::Sender<Vec<u8>>,
    /// Endless answers that nobody has left.
    endless: AtomicU64,
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
        let (more, _) = broadcast::channel(64);
        let [whole, heads, body_bytes, endless] = std::array::from_fn(|_| AtomicU64::new(0));
        let state = Arc::new(State { answer: Mutex::new(answer), whole, heads, body_bytes, open, more, endless });
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

    /// Sends `bytes` as one chunk of every endless answer that has begun.
    pub fn more(&self, bytes: impl Into<Vec<u8>>) {
        // It errs when there is none.
        let _ = self.state.more.send(bytes.into());
    }

    /// Endless answers that have begun and that nobody has left.
    pub fn endless(&self) -> u64 {
        self.state.endless.load(Ordering::SeqCst)
    }

    /// Requests that arrived whole.
    pub fn whole(&self) -> u64 {
        self.state.whole.load(Ordering::SeqCst)
    }

    /// Requests that began to arrive.
    pub fn heads(&self) -> u64 {
        self.state.heads.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that arrived, with the sizes of their chunks.
    pub fn body_bytes(&self) -> u64 {
        self.state.body_bytes.load(Ordering::SeqCst)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = BytesMut::new();
    let mut body = None;
    loop {
        if body.is_none()
            && let Some(end) = head_end(&buffer)
        {
            state.heads.fetch_add(1, Ordering::SeqCst);
            body = Some(Body::announced_by(&buffer.split_to(end)));
        }
        let before = buffer.len();
        let whole = body.as_mut().is_some_and(|body| body.take(&mut buffer));
        state.body_bytes.fetch_add(u64::try_from(before - buffer.len()).unwrap_or(0), Ordering::SeqCst);
        if whole {
            state.whole.fetch_add(1, Ordering::SeqCst);
            body = None;
            if state.open.subscribe().wait_for(|open| *open).await.is_err() {
                return;
            }
            let answer = state.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let more = state.more.subscribe();
            if write(&mut stream, &answer).await.is_err() {
                return;
            }
            if answer.endless {
                state.endless.fetch_add(1, Ordering::SeqCst);
                go_on(&mut stream, more).await;
                state.endless.fetch_sub(1, Ordering::SeqCst);
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

/// Chunk after chunk, until the other end leaves.
async fn go_on(stream: &mut TcpStream, mut more: broadcast::Receiver<Vec<u8>>) {
    let mut unexpected = [0; 1];
    loop {
        tokio::select! {
            _left = stream.read(&mut unexpected) => return,
            bytes = more.recv() => {
                let Ok(bytes) = bytes else { return };
                let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
                if stream.write_all(&chunk).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn write(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {}\r\n", answer.status);
    if !answer.headers.iter().any(|(name, _)| name == "transfer-encoding") {
        head += &format!("content-length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await?;
    let Some(pause) = answer.drip else { return stream.write_all(&answer.body).await };
    for byte in answer.body.iter() {
        tokio::time::sleep(pause).await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

fn head_end(buffer: &[u8]) -> Option<usize> {
    buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// How much of a body is still to come.
enum Body {
    Length(usize),
    Chunked,
}

impl Body {
    fn announced_by(head: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            return Self::Chunked;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).and_then(|value| value.trim().parse().ok());
        Self::Length(length.unwrap_or(0))
    }

    /// Forgets what has come of it; true when that was all.
    fn take(&mut self, buffer: &mut BytesMut) -> bool {
        match self {
            Self::Length(left) => {
                let come = buffer.len().min(*left);
                buffer.advance(come);
                *left -= come;
                *left == 0
            }
            Self::Chunked => {
                let end = buffer.windows(5).position(|five| five == b"0\r\n\r\n");
                // The beginning of the last chunk may have come already.
                buffer.advance(end.map_or(buffer.len().saturating_sub(4), |at| at + 5));
                end.is_some()
            }
        }
    }
}

//! An agent that notes every byte that reached it over HTTP/1.1. It answers whatever looks like a request, and takes every upgrade.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// What came on one connection from one head to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Request line and headers, as text.
    pub head: String,
    /// What followed.
    pub rest: Vec<u8>,
    /// By its head it was complete.
    pub whole: bool,
}

impl Heard {
    /// The request line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// Every value of a header (lower case), in order.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

type Notes = Arc<Mutex<Vec<Heard>>>;

/// A running one. Dropping it closes its port and its connections.
pub struct Wiretap {
    pub port: u16,
    notes: Notes,
    accepting: JoinHandle<()>,
}

impl Wiretap {
    /// Starts it on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let notes = Notes::default();
        let shared = notes.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(listen(stream, shared.clone()));
            }
        });
        Ok(Self { port, notes, accepting })
    }

    /// Everything since the last [`Wiretap::forget`].
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.notes).clone()
    }

    /// Forgets what came so far.
    pub fn forget(&self) {
        lock(&self.notes).clear();
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(notes: &Notes) -> MutexGuard<'_, Vec<Heard>> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(mut stream: TcpStream, notes: Notes) -> Result<()> {
    let mut unread = Vec::new();
    // Of the body that is coming: bytes until the answer is due.
    let mut owed = None;
    while stream.read_buf(&mut unread).await? > 0 {
        loop {
            let missing = missing(&lock(&notes), owed);
            let Some(piece) = next(&mut unread, missing) else { break };
            if note(&mut lock(&notes), piece, &mut owed) {
                let switch = lock(&notes).last().is_some_and(|last| !last.header("upgrade").is_empty());
                stream.write_all(if switch { SWITCH } else { ANSWER }).await?;
            }
        }
    }
    Ok(())
}

/// Notes a piece; whether an answer is due.
fn note(notes: &mut Vec<Heard>, piece: Piece, owed: &mut Option<usize>) -> bool {
    match (piece, notes.last_mut()) {
        (Piece::Head(head), _) => {
            let heard = Heard { head, ..Heard::default() };
            let length = heard.header("content-length").first().and_then(|length| length.parse().ok());
            *owed = Some(if heard.header("transfer-encoding").is_empty() { length.unwrap_or(0) } else { usize::MAX });
            notes.push(heard);
        }
        (Piece::Rest(bytes), Some(last)) => {
            last.rest.extend(bytes);
            // The last chunk, then trailers or none, then a blank line: JSON has none of its own.
            if last.rest.ends_with(b"\r\n\r\n") {
                *owed = owed.map(|_| 0);
            }
        }
        (Piece::Rest(_), None) => {}
    }
    let Some(last) = notes.last_mut() else { return false };
    let due = owed.take_if(|owed| last.rest.len() >= *owed).is_some();
    last.whole |= due;
    due
}

enum Piece {
    Head(String),
    Rest(Vec<u8>),
}

/// How much is missing of a body; of one in chunks, that is not known.
fn missing(notes: &[Heard], owed: Option<usize>) -> usize {
    let come = notes.last().map_or(0, |last| last.rest.len());
    owed.map_or(0, |owed| if owed == usize::MAX { owed } else { owed.saturating_sub(come) })
}

/// Takes what is missing of a body, a head, or all that is none. A body can come in parts that begin as a head does.
fn next(unread: &mut Vec<u8>, missing: usize) -> Option<Piece> {
    if missing > 0 && !unread.is_empty() {
        let rest = unread.split_off(missing.min(unread.len()));
        return Some(Piece::Rest(std::mem::replace(unread, rest)));
    }
    if !unread.first()?.is_ascii_uppercase() {
        return Some(Piece::Rest(std::mem::take(unread)));
    }
    let end = unread.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let rest = unread.split_off(end);
    Some(Piece::Head(String::from_utf8_lossy(&std::mem::replace(unread, rest)).into_owned()))
}

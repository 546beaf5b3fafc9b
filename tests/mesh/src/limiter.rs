//! A rate limit service in place of the operator's own: `envoy.service.ratelimit.v3` over gRPC, with the limits of a file in
//! the form of Envoy's reference service. It counts in memory; a window begins with its first request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::protobuf::fields;

const PATH: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// What a request is counted by: keys with their values, in order.
pub type Descriptor = Vec<(String, String)>;

/// How the service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It counts.
    Counting,
    /// It takes questions and never answers.
    Silent,
    /// It answers with the gRPC status INTERNAL.
    Failing,
}

struct Window {
    begun: Instant,
    hits: u32,
}

struct State {
    limits: Value,
    mood: Mutex<Mood>,
    windows: Mutex<BTreeMap<Descriptor, Window>>,
    asked: Mutex<Vec<Vec<Descriptor>>>,
}

/// A running service. Dropping it closes its port and its connections.
pub struct Limiter {
    pub port: u16,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

impl Limiter {
    /// Starts it on a free port of 127.0.0.1 with `limits`: `{domain, descriptors: [{key, value?, rate_limit?, descriptors?}]}`.
    pub async fn start(limits: Value) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(State { limits, mood: Mutex::new(Mood::Counting), windows: Mutex::default(), asked: Mutex::default() });
        let shared = state.clone();
        let accepting = tokio::spawn(async move {
            // The connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Ok(Self { port, state, accepting })
    }

    /// Changes how questions are answered from now on.
    pub fn mood(&self, mood: Mood) {
        *lock(&self.state.mood) = mood;
    }

    /// The descriptors of every question so far, oldest first.
    pub fn asked(&self) -> Vec<Vec<Descriptor>> {
        lock(&self.state.asked).clone()
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(stream: TcpStream, state: Arc<State>) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    let mut calls = JoinSet::new();
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        calls.spawn(answer(request, respond, state.clone()));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, state: Arc<State>) -> Result<()> {
    let (head, mut incoming) = request.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let mood = *lock(&state.mood);
    let (message, status) = match mood {
        Mood::Silent => std::future::pending().await,
        Mood::Failing => (Vec::new(), "13"),
        Mood::Counting if head.uri.path() != PATH => (Vec::new(), "12"),
        Mood::Counting => match state.judge(&body) {
            Ok(message) => (message, "0"),
            Err(_) => (Vec::new(), "3"),
        },
    };
    let response = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut stream = respond.send_response(response, false)?;
    if status == "0" {
        let length = u32::try_from(message.len())?.to_be_bytes();
        stream.send_data(Bytes::from([&[0], length.as_slice(), &message].concat()), false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    Ok(stream.send_trailers(trailers)?)
}

impl State {
    /// The answer to a `RateLimitRequest` behind its gRPC prefix: a `RateLimitResponse`.
    fn judge(&self, framed: &[u8]) -> Result<Vec<u8>> {
        let message = framed.get(5..).context("no gRPC message")?;
        let (domain, descriptors) = question(message)?;
        ensure!(self.limits["domain"] == domain.as_str(), "a question about {domain}");
        lock(&self.asked).push(descriptors.clone());
        let mut out = Vec::new();
        let mut statuses = Vec::new();
        let mut over = false;
        for descriptor in descriptors {
            let mut status = Vec::new();
            let (code, rest) = self.count(descriptor)?;
            over |= code == OVER_LIMIT;
            put_number(&mut status, 1, code);
            status.extend(rest);
            put_bytes(&mut statuses, 2, &status);
        }
        put_number(&mut out, 1, if over { OVER_LIMIT } else { OK });
        out.extend(statuses);
        Ok(out)
    }

    /// Counts one request: code, and what else a `DescriptorStatus` says.
    fn count(&self, descriptor: Descriptor) -> Result<(u64, Vec<u8>)> {
        let Some(limit) = self.limit(&descriptor) else {
            return Ok((OK, Vec::new()));
        };
        let (unit, length) = unit(&limit["unit"])?;
        let most = u32::try_from(limit["requests_per_unit"].as_u64().context("no requests_per_unit")?)?;
        let mut windows = lock(&self.windows);
        let now = Instant::now();
        let window = windows.entry(descriptor).or_insert(Window { begun: now, hits: 0 });
        if now.duration_since(window.begun) >= length {
            *window = Window { begun: now, hits: 0 };
        }
        window.hits = window.hits.saturating_add(1);
        let mut current = Vec::new();
        put_number(&mut current, 1, most.into());
        put_number(&mut current, 2, unit);
        let mut reset = Vec::new();
        put_number(&mut reset, 1, length.saturating_sub(now.duration_since(window.begun)).as_secs());
        let mut status = Vec::new();
        put_bytes(&mut status, 2, &current);
        put_number(&mut status, 3, most.saturating_sub(window.hits).into());
        put_bytes(&mut status, 4, &reset);
        Ok((if window.hits > most { OVER_LIMIT } else { OK }, status))
    }

    /// The limit at the end of the way that `descriptor` describes; a value of its own goes before any value.
    fn limit(&self, descriptor: &Descriptor) -> Option<&Value> {
        let mut node = &self.limits;
        for (key, value) in descriptor {
            let here = node["descriptors"].as_array()?;
            let fits = |wanted: Option<&str>| here.iter().find(|entry| entry["key"] == key.as_str() && entry["value"].as_str() == wanted);
            node = fits(Some(value)).or_else(|| fits(None))?;
        }
        node.get("rate_limit")
    }
}

/// `RateLimitResponse.Code`.
const OK: u64 = 1;
const OVER_LIMIT: u64 = 2;

/// `RateLimitResponse.RateLimit.Unit` of a name, and how long it is.
fn unit(name: &Value) -> Result<(u64, Duration)> {
    let (unit, seconds) = match name.as_str() {
        Some("second") => (1, 1),
        Some("minute") => (2, 60),
        Some("hour") => (3, 3600),
        Some("day") => (4, 86_400),
        _ => bail!("no unit: {name}"),
    };
    Ok((unit, Duration::from_secs(seconds)))
}

/// Domain and descriptors of a `RateLimitRequest`.
fn question(message: &[u8]) -> Result<(String, Vec<Descriptor>)> {
    let (mut domain, mut descriptors) = (String::new(), Vec::new());
    for (field, bytes) in fields(message)? {
        match field {
            1 => domain = String::from_utf8(bytes.to_vec())?,
            2 => descriptors.push(descriptor(bytes)?),
            _ => {}
        }
    }
    Ok((domain, descriptors))
}

fn descriptor(message: &[u8]) -> Result<Descriptor> {
    let mut entries = Vec::new();
    for (_, entry) in fields(message)?.into_iter().filter(|(field, _)| *field == 1) {
        let (mut key, mut value) = (String::new(), String::new());
        for (field, bytes) in fields(entry)? {
            match field {
                1 => key = String::from_utf8(bytes.to_vec())?,
                2 => value = String::from_utf8(bytes.to_vec())?,
                _ => {}
            }
        }
        entries.push((key, value));
    }
    Ok(entries)
}

fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f | 0x80).to_le_bytes()[0]);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

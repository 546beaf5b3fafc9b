//! The load: connections that ask again as soon as they are answered, and the upstream that answers them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::cpu::Clock;
use crate::outbound;

/// Keep-alive connections of the load.
pub const CONNECTIONS: usize = 32;
/// Longer bodies may be on their way when the answer comes.
const LOST: usize = 256 * 1024;
/// Requests of each connection in a batch: the CPU clock is read between batches, when nothing is under way.
const EACH: usize = 2;
/// How long one Envoy is measured before the next one's turn.
const SLICE: Duration = Duration::from_millis(60);
/// No answer in this time is a hang.
const LIMIT: Duration = Duration::from_secs(20);

/// Starts a server that reads each body to its end and answers with its length, and whether the key came. Returns its port.
pub async fn upstream() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = hyper::service::service_fn(answer);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(port)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let key = request.headers().get(outbound::HEADER).is_some_and(|value| value == outbound::KEY);
    let mut body = request.into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => received += frame.data_ref().map_or(0, Bytes::len),
            Err(_) => break,
        }
    }
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"received":{received},"key":{key}}}}}"#);
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What the connections send.
pub struct Load {
    pub method: Method,
    pub path: String,
    /// Headers of every request but `authorization`.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Values of `authorization`, sent in turn; without any, none is sent.
    pub tokens: Arc<[HeaderValue]>,
    /// Statuses that an answer may have.
    pub answers: Vec<StatusCode>,
    /// Requests so far: the token of the next.
    pub next: AtomicUsize,
}

impl Load {
    /// The request with the token of that number.
    pub fn request(&self, number: usize) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.path.parse()?;
        *request.headers_mut() = self.headers.clone();
        if let Some(token) = number.checked_rem(self.tokens.len()).and_then(|place| self.tokens.get(place)) {
            request.headers_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// What was seen in the measured part of a run.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// CPU time of each batch, in order.
    pub batches: Vec<Duration>,
    pub wall: Duration,
}

impl Sample {
    /// Requests of a batch.
    pub const BATCH: usize = CONNECTIONS * EACH;

    /// CPU time per request in microseconds, of each batch.
    pub fn costs(&self) -> impl Iterator<Item = f64> {
        self.batches.iter().map(|cpu| cpu.as_secs_f64() * 1e6 / Self::BATCH as f64)
    }

    /// CPU time per request in microseconds: the lower quartile of the batches, for whoever shares the machine only adds to it.
    pub fn cost(&self) -> f64 {
        let mut costs: Vec<f64> = self.costs().collect();
        costs.sort_by(f64::total_cmp);
        costs.get(costs.len() / 4).copied().unwrap_or(f64::NAN)
    }
}

/// A connection and what drives it.
pub type Connection = (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>);

/// The connections of one run and what they share.
struct Running {
    load: Arc<Load>,
    /// Requests that may still be sent.
    left: AtomicUsize,
}

impl Running {
    async fn connection(self: Arc<Self>, port: u16) -> Result<()> {
        let mut connection = connect(port).await?;
        while self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            self.load.ask(port, &mut connection).await?;
        }
        connection.1.abort();
        Ok(())
    }
}

impl Load {
    /// Sends the next request, and connects again if its answer closed the connection.
    pub async fn ask(&self, port: u16, connection: &mut Connection) -> Result<()> {
        let number = self.next.fetch_add(1, Relaxed);
        let (sender, driver) = connection;
        let status = exchange(sender, self.request(number)?).await;
        // Envoy closes a connection whose request it answers before that has come whole.
        if sender.is_closed() || status.is_err() || sender.ready().await.is_err() {
            driver.abort();
            *connection = connect(port).await?;
        }
        match status {
            Ok(status) if self.answers.contains(&status) => Ok(()),
            Ok(status) => bail!("a request of the load got {status}"),
            // The rest of a body found no reader, and the answer was lost with it.
            Err(_) if self.body.len() > LOST => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Opens a connection.
pub async fn connect(port: u16) -> Result<Connection> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    Ok((sender, tokio::spawn(connection)))
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Result<StatusCode> {
    let response = sender.send_request(request).await?;
    let status = response.status();
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(status)
}

fn open(port: u16, load: &Arc<Load>, most: usize) -> JoinSet<Result<()>> {
    let shared = Arc::new(Running { load: load.clone(), left: AtomicUsize::new(most) });
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn(shared.clone().connection(port));
    }
    connections
}

async fn finish(mut connections: JoinSet<Result<()>>, limit: Duration) -> Result<()> {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            ended??;
        }
        Ok(())
    };
    tokio::time::timeout(limit, all).await.context("a request of the load was not answered")?
}

/// Sends every token once.
pub async fn each_token_once(port: u16, load: &Arc<Load>) -> Result<()> {
    let connections = open(port, load, load.tokens.len());
    // Some wait for an etcd.
    let limit = LIMIT + Duration::from_millis(u64::try_from(load.tokens.len())? * 5);
    finish(connections, limit).await
}

/// Sends one request of each connection.
pub async fn once(port: u16, load: &Arc<Load>) -> Result<()> {
    let connections = open(port, load, CONNECTIONS);
    finish(connections, LIMIT).await
}

/// What is loaded in a round.
pub struct Visited<'a> {
    /// For errors.
    pub name: String,
    pub port: u16,
    pub load: &'a Load,
    /// Of the Envoy.
    pub clock: Clock,
}

/// Loads all of `visited` in turn, a slice of time each, again and again, until each was measured for `measured`. A sample for each,
/// in their order.
pub async fn round(visited: &[Visited<'_>], measured: Duration) -> Result<Vec<Sample>> {
    let mut running = Vec::new();
    for visited in visited {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(connect(visited.port).await?);
        }
        running.push((visited, connections, Sample::default()));
    }
    let slices = (measured.as_secs_f64() / SLICE.as_secs_f64()).ceil() as usize;
    for _ in 0..slices.max(1) {
        for (visited, connections, sample) in &mut running {
            slice(visited, connections, sample).await.with_context(|| visited.name.clone())?;
        }
    }
    let ended = running.into_iter().map(|(_, connections, sample)| {
        connections.into_iter().for_each(|(_, driver)| driver.abort());
        sample
    });
    Ok(ended.collect())
}

/// A batch that warms caches up, and those that are measured.
async fn slice(visited: &Visited<'_>, connections: &mut [Connection], sample: &mut Sample) -> Result<()> {
    batch(visited, connections).await?;
    let begin = Instant::now();
    while begin.elapsed() < SLICE {
        sample.batches.push(batch(visited, connections).await?);
    }
    sample.wall += begin.elapsed();
    Ok(())
}

/// What a batch takes of the CPU.
async fn batch(Visited { port, load, clock, .. }: &Visited<'_>, connections: &mut [Connection]) -> Result<Duration> {
    let before = clock.read()?;
    let sent = connections.iter_mut().map(async |connection| {
        for _ in 0..EACH {
            load.ask(*port, connection).await?;
        }
        anyhow::Ok(())
    });
    tokio::time::timeout(LIMIT, try_join_all(sent)).await.context("a request of the load was not answered")??;
    Ok(clock.read()?.saturating_sub(before))
}

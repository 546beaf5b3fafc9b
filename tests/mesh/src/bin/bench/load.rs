//! The load: connections that ask again as soon as they are answered, and the upstream that answers them.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
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
/// Fewer requests are no sample.
const FEWEST: u64 = 32;
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
    fn request(&self, number: usize) -> Result<Request<Full<Bytes>>> {
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
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub requests: u64,
    pub cpu: Duration,
    pub wall: Duration,
}

impl Sample {
    /// CPU time per request in microseconds.
    pub fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.requests as f64
    }
}

/// The connections of one run and what they share.
struct Running {
    load: Arc<Load>,
    /// Requests that may still be sent.
    left: AtomicUsize,
    done: AtomicU64,
    stop: AtomicBool,
}

impl Running {
    async fn connection(self: Arc<Self>, port: u16) -> Result<()> {
        let (mut sender, mut driver) = connect(port).await?;
        while !self.stop.load(Relaxed) {
            if self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err() {
                break;
            }
            let number = self.load.next.fetch_add(1, Relaxed);
            let status = exchange(&mut sender, self.load.request(number)?).await;
            // Envoy closes a connection whose request it answers before that has come whole.
            if sender.is_closed() || status.is_err() || sender.ready().await.is_err() {
                driver.abort();
                (sender, driver) = connect(port).await?;
            }
            match status {
                Ok(status) if self.load.answers.contains(&status) => {}
                Ok(status) => bail!("a request of the load got {status}"),
                // The rest of a body found no reader, and the answer was lost with it.
                Err(_) if self.load.body.len() > LOST => {}
                Err(error) => return Err(error),
            }
            self.done.fetch_add(1, Relaxed);
        }
        driver.abort();
        Ok(())
    }
}

async fn connect(port: u16) -> Result<(SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>)> {
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

fn open(port: u16, load: &Arc<Load>, most: usize) -> (Arc<Running>, JoinSet<Result<()>>) {
    let shared = Running { load: load.clone(), left: AtomicUsize::new(most), done: AtomicU64::new(0), stop: AtomicBool::new(false) };
    let (shared, mut connections) = (Arc::new(shared), JoinSet::new());
    for _ in 0..CONNECTIONS {
        connections.spawn(shared.clone().connection(port));
    }
    (shared, connections)
}

async fn finish(mut connections: JoinSet<Result<()>>) -> Result<()> {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            ended??;
        }
        Ok(())
    };
    tokio::time::timeout(LIMIT, all).await.context("a request of the load was not answered")?
}

/// Sends every token once.
pub async fn each_token_once(port: u16, load: &Arc<Load>) -> Result<()> {
    let (_, connections) = open(port, load, load.tokens.len());
    finish(connections).await
}

/// Sends one request of each connection.
pub async fn once(port: u16, load: &Arc<Load>) -> Result<()> {
    let (_, connections) = open(port, load, CONNECTIONS);
    finish(connections).await
}

/// Loads the Envoy on `port` for `warm_up`, then for `measured`, in which the CPU clock runs; longer where a busy machine lets too few
/// requests through.
pub async fn measure(port: u16, load: &Arc<Load>, clock: Clock, warm_up: Duration, measured: Duration) -> Result<Sample> {
    let (shared, connections) = open(port, load, usize::MAX);
    let read = || anyhow::Ok((Instant::now(), clock.read()?, shared.done.load(Relaxed)));
    tokio::time::sleep(warm_up).await;
    let (start, cpu_before, done_before) = read()?;
    tokio::time::sleep(measured).await;
    while shared.done.load(Relaxed) - done_before < FEWEST && start.elapsed() < LIMIT {
        tokio::time::sleep(measured).await;
    }
    let (end, cpu_after, done_after) = read()?;
    shared.stop.store(true, Relaxed);
    finish(connections).await?;
    let sample = Sample {
        requests: done_after.saturating_sub(done_before),
        cpu: cpu_after.saturating_sub(cpu_before),
        wall: end.duration_since(start),
    };
    if sample.requests < FEWEST {
        bail!("{} requests ended within {:?}", sample.requests, sample.wall);
    }
    Ok(sample)
}

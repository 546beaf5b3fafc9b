//! An OpenTelemetry collector in place of the operator's own: takes spans by OTLP over gRPC (`ExportTraceServiceRequest` of
//! `opentelemetry.proto.collector.trace.v1`) and keeps them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::protobuf::all;
use crate::wait;

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A span, as far as tests look at it. Ids are in hexadecimal.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace: String,
    pub id: String,
    pub parent: String,
    /// The attributes whose values are texts.
    pub attributes: BTreeMap<String, String>,
    /// What sent it: its `service.name`.
    pub service: String,
}

/// A running collector. Dropping it closes its port and its connections.
pub struct Collector {
    pub port: u16,
    spans: Arc<Mutex<Vec<Span>>>,
    accepting: JoinHandle<()>,
}

impl Collector {
    /// Starts it on a free port of 127.0.0.1.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let shared = spans.clone();
        let accepting = tokio::spawn(async move {
            // The connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, shared.clone()));
            }
        });
        Ok(Self { port, spans, accepting })
    }

    /// All spans that have come.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one span of a trace, when it has come.
    pub async fn span_of(&self, trace: &str) -> Result<Span> {
        let found = wait::until(&format!("the span of {trace}"), Duration::from_secs(30), async || {
            let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
            let found: Vec<Span> = spans.iter().filter(|span| span.trace == trace).cloned().collect();
            Ok((!found.is_empty()).then_some(found))
        })
        .await?;
        ensure!(found.len() == 1, "several spans of one request: {found:?}");
        found.into_iter().next().context("no span")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, spans: Arc<Mutex<Vec<Span>>>) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    let mut calls = JoinSet::new();
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        calls.spawn(answer(request, respond, spans.clone()));
    }
    Ok(())
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, spans: Arc<Mutex<Vec<Span>>>) -> Result<()> {
    let (head, mut incoming) = request.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let status = match exported(&body) {
        _ if head.uri.path() != PATH => "12",
        Err(_) => "3",
        Ok(new) => {
            spans.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
            "0"
        }
    };
    let response = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut stream = respond.send_response(response, false)?;
    if status == "0" {
        // An ExportTraceServiceResponse of which nothing is told: all was taken.
        stream.send_data(Bytes::from_static(&[0; 5]), false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    Ok(stream.send_trailers(trailers)?)
}

/// The spans of an `ExportTraceServiceRequest` behind its gRPC prefix.
fn exported(framed: &[u8]) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for of_resource in all(framed.get(5..).context("no gRPC message")?, 1)? {
        let mut service = String::new();
        for resource in all(of_resource, 1)? {
            service = attributes(resource, 1)?.remove("service.name").unwrap_or_default();
        }
        for of_scope in all(of_resource, 2)? {
            for span in all(of_scope, 2)? {
                let id = |number| anyhow::Ok(all(span, number)?.first().map(|id| hex(id)).unwrap_or_default());
                let attributes = attributes(span, 9)?;
                spans.push(Span { trace: id(1)?, id: id(2)?, parent: id(4)?, attributes, service: service.clone() });
            }
        }
    }
    Ok(spans)
}

/// The key-value pairs in field `number` whose values are texts.
fn attributes(message: &[u8], number: u64) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for pair in all(message, number)? {
        let key = all(pair, 1)?.first().map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default();
        let value = all(pair, 2)?.first().copied().unwrap_or_default();
        if let Some(text) = all(value, 1)?.first() {
            ensure!(found.insert(key.clone(), String::from_utf8_lossy(text).into_owned()).is_none(), "two attributes {key}");
        }
    }
    Ok(found)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

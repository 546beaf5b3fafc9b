//! A caller that reads server-sent events as they come, and may leave at any time.

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::http::{Call, LIMIT};
use crate::raw;

enum Body {
    Http1(Incoming),
    Http2(h2::RecvStream),
}

impl Body {
    /// The next bytes, as soon as there are any; `None` at the end.
    async fn data(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::Http1(body) => loop {
                match body.frame().await.transpose()? {
                    None => return Ok(None),
                    Some(frame) => match frame.into_data() {
                        Ok(data) => return Ok(Some(data)),
                        Err(_trailers) => {}
                    },
                }
            },
            Self::Http2(body) => {
                let data = body.data().await.transpose()?;
                if let Some(data) = &data {
                    body.flow_control().release_capacity(data.len())?;
                }
                Ok(data)
            }
        }
    }
}

/// An answer with events that has begun. Dropping it aborts the request.
pub struct EventStream {
    body: Body,
    buffer: BytesMut,
    connection: JoinHandle<()>,
}

impl EventStream {
    /// Sends `call` to 127.0.0.1:`port` and reads the head of the answer, which must be a stream of events.
    pub async fn open(port: u16, call: &Call, http2: bool) -> Result<Self> {
        let what = || format!("{} {} on port {port}", call.method, call.path);
        let opened = tokio::time::timeout(LIMIT, Self::begin(port, call, http2)).await;
        opened.with_context(|| format!("no answer to {}", what()))?.with_context(what)
    }

    async fn begin(port: u16, call: &Call, http2: bool) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (parts, body, connection) = if http2 {
            let (mut sender, connection) = h2::client::handshake(stream).await?;
            let connection = tokio::spawn(async move { drop(connection.await) });
            std::future::poll_fn(|context| sender.poll_ready(context)).await?;
            let (response, mut request) = sender.send_request(raw::http2_head(port, call)?, call.body.is_none())?;
            if let Some(body) = &call.body {
                request.send_data(body.clone(), true)?;
            }
            let (parts, body) = response.await?.into_parts();
            (parts, Body::Http2(body), connection)
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(async move { drop(connection.await) });
            let (parts, body) = sender.send_request(call.request(port)?).await?.into_parts();
            (parts, Body::Http1(body), connection)
        };
        let mut events = Self { body, buffer: BytesMut::new(), connection };
        let kind = parts.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if parts.status != 200 || !kind.starts_with("text/event-stream") {
            while let Some(data) = events.body.data().await? {
                events.buffer.extend_from_slice(&data);
            }
            bail!("{} {:?} {}", parts.status, parts.headers, String::from_utf8_lossy(&events.buffer));
        }
        Ok(events)
    }

    /// The data of the next event, which is JSON; `None` when the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(event) = self.event() {
                let lines: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
                if !lines.is_empty() {
                    return Ok(Some(serde_json::from_str(&lines.join("\n")).with_context(|| event.clone())?));
                }
                continue;
            }
            match tokio::time::timeout(LIMIT, self.body.data()).await.context("no more events come, and no end")?? {
                Some(data) => self.buffer.extend_from_slice(&data),
                None if self.buffer.is_empty() => return Ok(None),
                None => bail!("the stream ended inside an event: {}", String::from_utf8_lossy(&self.buffer)),
            }
        }
    }

    /// Takes one whole event, with either end of line.
    fn event(&mut self) -> Option<String> {
        let end = [&b"\n\n"[..], b"\r\n\r\n"].into_iter().filter_map(|end| {
            let at = self.buffer.windows(end.len()).position(|window| window == end)?;
            Some(at + end.len())
        });
        let end = end.min()?;
        Some(String::from_utf8_lossy(&self.buffer.split_to(end)).into_owned())
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

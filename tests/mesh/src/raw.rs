//! Requests that no client library would send: HTTP/1.1 byte by byte, HTTP/2 frame by frame.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{Call, LIMIT, Reply};

/// The gap that keeps two small writes from becoming one read at the other end. It paces; nothing waits for it to be long enough.
const PACE: Duration = Duration::from_millis(1);

/// An HTTP/1.1 head: request line and headers, with the blank line.
pub fn head(line: &str, headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = format!("{line} HTTP/1.1\r\n").into_bytes();
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// `body` in chunks of `size` bytes, each chunk a piece of its own, ended by a last chunk and `trailers`.
pub fn chunked(body: &[u8], size: usize, trailers: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> =
        body.chunks(size).map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).collect();
    let mut end = b"0\r\n".to_vec();
    for (name, value) in trailers {
        end.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    end.extend_from_slice(b"\r\n");
    pieces.push(end);
    pieces
}

/// Writes the pieces one by one to 127.0.0.1:`port` and reads one response. The server may answer before it has read all.
pub async fn http1(port: u16, pieces: &[Vec<u8>]) -> Result<Reply> {
    http1_slowly(port, pieces, PACE).await
}

/// The same by a client that lets `pace` pass between two pieces.
pub async fn http1_slowly(port: u16, pieces: &[Vec<u8>], pace: Duration) -> Result<Reply> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (mut reader, mut writer) = stream.split();
        let write = async {
            for (index, piece) in pieces.iter().enumerate() {
                if index > 0 {
                    tokio::time::sleep(pace).await;
                }
                if writer.write_all(piece).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = write => bail!("writing never ends"),
            reply = read_response(&mut reader) => reply,
        }
    };
    tokio::time::timeout(LIMIT, exchange).await.context("no answer to a raw HTTP/1.1 request")?
}

/// A client of 127.0.0.1:`port` that keeps its HTTP/1.1 connection as long as the server does.
pub struct Kept {
    port: u16,
    stream: Option<TcpStream>,
}

impl Kept {
    /// Connects with the first request.
    pub fn new(port: u16) -> Self {
        Self { port, stream: None }
    }

    /// Writes a request and reads its response.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Reply> {
        tokio::time::timeout(LIMIT, self.exchange(request)).await.context("no answer to a raw HTTP/1.1 request")?
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(("127.0.0.1", self.port)).await?,
        };
        stream.set_nodelay(true)?;
        stream.write_all(request).await?;
        let reply = read_response(&mut stream).await?;
        let closes = reply.headers.get("connection").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
        self.stream = (!closes).then_some(stream);
        Ok(reply)
    }
}

async fn read_response(reader: &mut (impl AsyncReadExt + Unpin)) -> Result<Reply> {
    let mut buffer = BytesMut::new();
    loop {
        if let Some(reply) = parse_response(&buffer, false)? {
            return Ok(reply);
        }
        if reader.read_buf(&mut buffer).await? == 0 {
            let text = String::from_utf8_lossy(&buffer).into_owned();
            return parse_response(&buffer, true)?.with_context(|| format!("the connection ended after {text:?}"));
        }
    }
}

fn parse_response(buffer: &[u8], ended: bool) -> Result<Option<Reply>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(start) = response.parse(buffer)? else {
        return Ok(None);
    };
    let status = response.code.context("no status")?;
    if (100..200).contains(&status) {
        return parse_response(buffer.get(start..).unwrap_or_default(), ended);
    }
    let mut headers = HeaderMap::new();
    for field in response.headers.iter() {
        headers.append(HeaderName::try_from(field.name)?, HeaderValue::from_bytes(field.value)?);
    }
    let rest = buffer.get(start..).unwrap_or_default();
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let body = if let Some(length) = value("content-length") {
        rest.get(..length.parse()?).map(Bytes::copy_from_slice)
    } else if value("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        dechunk(rest)?
    } else {
        ended.then(|| Bytes::copy_from_slice(rest))
    };
    Ok(body.map(|body| Reply { status, headers, body }))
}

pub fn dechunk(mut rest: &[u8]) -> Result<Option<Bytes>> {
    let mut body = BytesMut::new();
    loop {
        let httparse::Status::Complete((start, size)) = httparse::parse_chunk_size(rest).map_err(|error| anyhow::anyhow!("{error:?}"))?
        else {
            return Ok(None);
        };
        let end = start + usize::try_from(size)?;
        let (Some(data), Some(after)) = (rest.get(start..end), rest.get(end + 2..)) else {
            return Ok(None);
        };
        if size == 0 {
            return Ok(Some(body.freeze()));
        }
        body.extend_from_slice(data);
        rest = after;
    }
}

/// Sends `call` over HTTP/2 with prior knowledge: its body in DATA frames of `frame` bytes, then `trailers` if there are any.
pub async fn http2(port: u16, call: &Call, frame: usize, trailers: &[(&str, &str)]) -> Result<Reply> {
    let exchange = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = h2::client::handshake(stream).await?;
        let driver = tokio::spawn(connection);
        let reply = http2_on(&mut sender, port, call, frame, trailers).await;
        driver.abort();
        reply
    };
    tokio::time::timeout(LIMIT, exchange).await.context("no answer to a raw HTTP/2 request")?
}

/// The same on a connection that is open already.
pub async fn http2_on(sender: &mut SendRequest<Bytes>, port: u16, call: &Call, frame: usize, trailers: &[(&str, &str)]) -> Result<Reply> {
    let request = http2_head(port, call)?;
    std::future::poll_fn(|context| sender.poll_ready(context)).await?;
    let body = call.body.clone();
    let ends_at_once = body.is_none() && trailers.is_empty();
    let (response, mut stream) = sender.send_request(request, ends_at_once)?;
    let write = async {
        if ends_at_once {
            return Ok(());
        }
        let body = body.unwrap_or_default();
        let frames: Vec<Bytes> = body.chunks(frame).map(Bytes::copy_from_slice).collect();
        let last = frames.len().saturating_sub(1);
        for (index, data) in frames.into_iter().enumerate() {
            stream.send_data(data, index == last && trailers.is_empty())?;
            tokio::time::sleep(PACE).await;
        }
        if !trailers.is_empty() {
            let mut map = HeaderMap::new();
            for (name, value) in trailers {
                map.append(HeaderName::try_from(*name)?, HeaderValue::try_from(*value)?);
            }
            stream.send_trailers(map)?;
        }
        anyhow::Ok(())
    };
    let read = async {
        let (parts, mut incoming) = response.await?.into_parts();
        let mut body = BytesMut::new();
        while let Some(data) = incoming.data().await {
            let data = data?;
            incoming.flow_control().release_capacity(data.len())?;
            body.extend_from_slice(&data);
        }
        anyhow::Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body: body.freeze() })
    };
    // The answer counts even when the peer stopped reading before all was written.
    let (_, reply) = tokio::join!(write, read);
    reply
}

/// The head of `call` for an HTTP/2 connection to 127.0.0.1:`port`.
pub(crate) fn http2_head(port: u16, call: &Call) -> Result<Request<()>> {
    let mut request = Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    *request.method_mut() = call.method.clone();
    let mut authority = format!("127.0.0.1:{port}");
    for (name, value) in &call.headers {
        if name == "host" {
            authority = String::from_utf8(value.clone())?;
        } else {
            request.headers_mut().append(HeaderName::try_from(name.as_str())?, HeaderValue::from_bytes(value)?);
        }
    }
    *request.uri_mut() = format!("http://{authority}{}", call.path).parse()?;
    Ok(request)
}

//! Users who agree: each asks the agent, opens the link, goes on, and comes back with a code. No browser, and no page of the partner's: those
//! are not the filter's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::body;
use crate::kind::SMALL;
use crate::load::{Connection, Load, connect};
use crate::users_setup::{CONSENT, HR};

/// Users who agree at a time.
const AT_ONCE: usize = 32;

/// Who is to agree, and at which Envoy.
pub struct Agreeing<'t> {
    pub port: u16,
    pub tokens: &'t [HeaderValue],
}

/// All of them agree.
pub async fn all(agreeing: &Agreeing<'_>) -> Result<()> {
    let next = AtomicUsize::new(0);
    let message = Bytes::from(body::send_message(SMALL)?);
    let one = async || {
        let mut connection = connect(agreeing.port).await?;
        while let Some(token) = agreeing.tokens.get(next.fetch_add(1, Relaxed)) {
            agree(&mut connection, token, &message).await?;
        }
        connection.1.abort();
        anyhow::Ok(())
    };
    try_join_all((0..AT_ONCE).map(|_| one())).await.map(drop)
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

async fn ask(connection: &mut Connection, request: http::request::Builder, body: Bytes) -> Result<Reply> {
    let reply = reply(connection, request.body(Full::new(body))?).await?;
    connection.0.ready().await?;
    Ok(reply)
}

async fn reply(connection: &mut Connection, request: Request<Full<Bytes>>) -> Result<Reply> {
    let (parts, body) = connection.0.send_request(request).await?.into_parts();
    let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
    Ok(Reply { status: parts.status, headers: parts.headers, text })
}

/// What is between `begin` and the next `end`.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> Result<&'a str> {
    let rest = text.split_once(begin).with_context(|| format!("no {begin} in {text}"))?.1;
    Ok(rest.split(end).next().unwrap_or_default())
}

async fn agree(connection: &mut Connection, token: &HeaderValue, message: &Bytes) -> Result<()> {
    let call = Request::builder().method(Method::POST).uri("/").header("host", HR).header("content-type", "application/json");
    let call = call.header("a2a-version", "1.0").header("authorization", token);
    let asked = ask(connection, call, message.clone()).await?;
    let path = between(&asked.text, &format!("\"link\":\"https://{CONSENT}"), "\"").context("the answer to a call")?.to_owned();
    let at = |method, path: &str| Request::builder().method(method).uri(path.to_owned()).header("host", CONSENT);
    let start = ask(connection, at(Method::GET, &path), Bytes::new()).await?;
    ensure!(start.status == StatusCode::OK, "the page behind a link: {} {}", start.status, start.text);
    let cookie = start.headers.get("set-cookie").and_then(|line| line.to_str().ok()).context("no cookie")?;
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    let form = between(&start.text, "<form", "</form>")?;
    let mut fields = form_urlencoded::Serializer::new(String::new());
    for input in form.split("<input").skip(1) {
        fields.append_pair(between(input, " name=\"", "\"")?, between(input, " value=\"", "\"")?);
    }
    let action = between(form, " action=\"", "\"")?;
    let go_on = at(Method::POST, action).header("cookie", &cookie).header("sec-fetch-site", "same-origin");
    let go_on = go_on.header("content-type", "application/x-www-form-urlencoded");
    let left = ask(connection, go_on, Bytes::from(fields.finish())).await?;
    // The state has no letters that a URL or a page writes otherwise.
    let state = between(&left.text, "state=", "&")?;
    let cookie = match left.headers.get("set-cookie").and_then(|line| line.to_str().ok()) {
        Some(line) => line.split(';').next().unwrap_or_default().to_owned(),
        None => cookie,
    };
    let path = format!("/consent/callback/hr?code=code-of-a-user&state={state}");
    let done = ask(connection, at(Method::GET, &path).header("cookie", cookie), Bytes::new()).await?;
    ensure!(done.status == StatusCode::OK && done.text.contains("Access is allowed"), "the last page: {} {}", done.status, done.text);
    Ok(())
}

/// Sends `count` calls of `load` at once, each by a connection of its own; how long each took, in order.
pub async fn together(port: u16, load: &Arc<Load>, count: usize) -> Result<Vec<Duration>> {
    // Connected before the first is sent.
    let connections = try_join_all((0..count).map(|_| connect(port))).await?;
    let sent = connections.into_iter().enumerate().map(async |(number, mut connection)| {
        let begin = Instant::now();
        let reply = reply(&mut connection, load.request(number)?).await?;
        ensure!(reply.status == StatusCode::OK, "call {number} of {count} at once: {} {}", reply.status, reply.text);
        connection.1.abort();
        anyhow::Ok(begin.elapsed())
    });
    let mut times = try_join_all(sent).await?;
    times.sort();
    Ok(times)
}

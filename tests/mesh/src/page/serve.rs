//! The server of the page: four files, a stream of events, and three things that can be asked for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::form::Form;
use super::{Shared, calls, guard, play_again, play_tour};

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// Nothing but the page's own files, nothing inline, nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; \
    base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
/// What a form may be long.
const LONGEST: usize = 64 * 1024;
/// Connections at once: a browser opens six.
const CONNECTIONS: usize = 64;
/// A stream of events on which nothing happens says so, which shows whether somebody still listens.
const PULSE: Duration = Duration::from_secs(15);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves whoever connects, for good.
pub async fn all(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // An accept that fails (no more files) may succeed later.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(crate::wait::POLL).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _place = place;
            connection(stream, shared).await;
        });
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PULSE);
    // A browser that leaves is no fault.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let checked = guard::check(&head.method, path, &head.headers, shared.port, &shared.secret);
    let mut response = match (checked, head.method.clone(), path) {
        (Err((status, what)), _, _) => fault(status, what),
        (Ok(()), Method::GET, "/") => file("text/html; charset=utf-8", HTML.replace("{{secret}}", &shared.secret)),
        (Ok(()), Method::GET, "/page.css") => file("text/css; charset=utf-8", STYLE),
        (Ok(()), Method::GET, "/page.js") => file("text/javascript; charset=utf-8", SCRIPT),
        (Ok(()), Method::GET, "/icon.svg") => file("image/svg+xml", ICON),
        (Ok(()), Method::GET, "/events") => events(&head.headers, shared),
        (Ok(()), Method::POST, "/send" | "/again" | "/tour") => match Limited::new(body, LONGEST).collect().await {
            Ok(body) => asked(path, &body.to_bytes(), shared).await,
            Err(_) => fault(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long"),
        },
        (Ok(()), Method::GET, _) => fault(StatusCode::NOT_FOUND, "there is nothing here"),
        (Ok(()), _, _) => fault(StatusCode::METHOD_NOT_ALLOWED, "GET the page, or POST what its form says"),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn file(kind: &'static str, content: impl Into<Bytes>) -> Response<Body> {
    whole(StatusCode::OK, kind, content)
}

fn document(status: StatusCode, value: &Value) -> Response<Body> {
    whole(status, "application/json", value.to_string())
}

fn fault(status: StatusCode, what: &str) -> Response<Body> {
    document(status, &json!({"error": what}))
}

/// What is told from now on, and before that what the page has missed.
fn events(headers: &HeaderMap, shared: &Arc<Shared>) -> Response<Body> {
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    let state = (shared.clone(), shared.board.watch(), seen);
    let told = stream::unfold(state, async |(shared, mut watch, seen)| {
        loop {
            watch.mark_unchanged();
            let more = shared.board.after(seen);
            if let Some((last, _)) = more.last() {
                let text: String = more.iter().map(|(_, event)| &**event).collect();
                return Some((Bytes::from(text), (shared, watch, *last)));
            }
            match tokio::time::timeout(PULSE, watch.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Bytes::from_static(b":\n\n"), (shared, watch, seen))),
            }
        }
    });
    let frames = futures_util::StreamExt::map(told, |bytes| Ok::<_, Infallible>(Frame::data(bytes)));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

/// Does what the page asks for.
async fn asked(path: &str, body: &[u8], shared: &Arc<Shared>) -> Response<Body> {
    let Some(standing) = shared.standing.get() else { return fault(StatusCode::SERVICE_UNAVAILABLE, "the mesh is not up yet") };
    if path == "/tour" {
        if standing.is_touring.load(std::sync::atomic::Ordering::SeqCst) {
            return fault(StatusCode::CONFLICT, "the tour is being played");
        }
        let shared = shared.clone();
        // What goes wrong on it is in its rows.
        tokio::spawn(async move { drop(play_tour(&shared).await) });
        return document(StatusCode::ACCEPTED, &json!({"steps": standing.program.steps().len()}));
    }
    let Ok(_turn) = shared.turns.try_acquire() else { return fault(StatusCode::TOO_MANY_REQUESTS, "other calls are under way") };
    let done = match path {
        "/again" => match serde_json::from_slice::<Value>(body).ok().and_then(|again| usize::try_from(again["step"].as_u64()?).ok()) {
            Some(step) => play_again(shared, step).await,
            None => return fault(StatusCode::BAD_REQUEST, "say which step: {\"step\": 3}"),
        },
        _ => match serde_json::from_slice::<Form>(body) {
            Ok(form) => calls::own(shared, &standing.program, form).await,
            Err(error) => return fault(StatusCode::BAD_REQUEST, &format!("this is no form of the page: {error}")),
        },
    };
    match done {
        Ok(event) => document(StatusCode::OK, &event),
        Err(error) => fault(StatusCode::BAD_REQUEST, &format!("{error:#}")),
    }
}

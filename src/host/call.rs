//! Host calls that several callbacks make: the clock, the log, and effects on the request at hand.

use crate::flow::event::metric::{auth_required, consents, credential_uses, remote_links};
use crate::flow::event::record::Record;
use crate::flow::request::carried;
use crate::flow::request::head::misplaced;
use crate::flow::supply::desk::NEXT;
use crate::flow::supply::seats::Clients;
use crate::flow::{Effect, Event, Level, Part, Reply, Route, Runtime, Value};
use crate::host::log::{log, write_line};
use crate::host::raw;
use crate::host::raw::Map;
use crate::host::room::Room;
use crate::host::waiting::Shared;
use crate::identity::Peer;
use crate::wire::header::Headers;
use crate::wire::hex;
use crate::wire::network::Network;
use crate::wire::time::UnixTime;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, GrpcStatusCode, MapType, Status};
use secrecy::ExposeSecret;
use std::time::{Duration, UNIX_EPOCH};

/// The time now.
pub fn now() -> UnixTime {
    let time = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    // Without a clock no token is valid and no remembered one either: the end of time.
    UnixTime::new(time.unwrap_or(Duration::MAX))
}

/// The event for a part of the body of the request at hand, before which the host has `padding`.
pub fn body(part: &Part, padding: usize) -> Event {
    let (start, length) = (part.range.start.saturating_add(padding), part.range.len());
    let chunk = match length {
        0 => Vec::new(),
        _ => hostcalls::get_buffer(BufferType::HttpRequestBody, start, length).ok().flatten().unwrap_or_default(),
    };
    part.event(chunk)
}

/// The client's certificate on the connection of the request at hand. Whether it was verified is the listener's affair: with
/// a trusted CA a connection whose certificate does not verify never comes this far.
pub fn peer() -> Option<Box<Peer>> {
    let property = |name: &str| hostcalls::get_property(vec!["connection", name]).ok().flatten().filter(|value| !value.is_empty());
    property("mtls").filter(|mtls| mtls.first() == Some(&1))?;
    // What is not UTF-8 stays odd, so that it admits nobody.
    let text = |name: &str| property(name).map(|value| String::from_utf8_lossy(&value).into_owned());
    let uri = text("uri_san_peer_certificate");
    let dns = if uri.is_none() { text("dns_san_peer_certificate") } else { None };
    let subject = if uri.is_none() && dns.is_none() { text("subject_peer_certificate") } else { None };
    let digest = text("sha256_peer_certificate_digest").as_deref().and_then(hex::decode);
    Some(Box::new(Peer { uri, dns, subject, digest }))
}

/// The clients as Envoy has them: with trusted proxies in front, whom those speak for.
#[derive(Debug)]
pub struct HostClients;

impl Clients for HostClients {
    fn network(&self) -> Option<Network> {
        let address = hostcalls::get_property(vec!["source", "address"]).ok().flatten()?;
        Network::parse(std::str::from_utf8(&address).ok()?)
    }
}

/// Removes trailers that an agent could take for headers of ours.
pub fn clean_trailers(runtime: &Runtime) {
    for name in misplaced(&raw::headers(Map::RequestTrailers), runtime.config(), runtime.credential_headers()) {
        let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestTrailers, &name, None);
    }
}

/// Puts `bytes` in place of what the host has of a body, if that much may be there. The only place that writes into bodies.
fn write(body: BufferType, room: Option<usize>, bytes: &[u8]) -> bool {
    match room {
        Some(room) if bytes.len() > room => {
            log(Level::Error, "a body would have outgrown what Envoy holds of it: the request is refused. Please report this");
            false
        }
        Some(0) => true,
        _ => hostcalls::set_buffer(body, 0, usize::MAX, bytes).is_ok(),
    }
}

/// Puts so many blanks before the part of a request's body at hand, which is not held yet: what is written in their place later
/// finds room. (If that is more than may be held, Envoy says so when this callback is over.) Whether it was done.
pub fn pad(length: usize) -> bool {
    hostcalls::set_buffer(BufferType::HttpRequestBody, 0, 0, &vec![b' '; length]).is_ok()
}

/// Takes so many bytes away from the start of a request's body.
pub fn unpad(length: usize) -> bool {
    hostcalls::set_buffer(BufferType::HttpRequestBody, 0, length, &[]).is_ok()
}

/// Refuses the request at hand because of a fault of ours or of the host: never a reason to let bytes pass that were not read.
pub fn fail() {
    let _ = hostcalls::send_http_response(500, vec![("cache-control", "no-store")], None);
}

/// Does `effects` to the request at hand. Headers are touched only while they are held: the state machines
/// see to that. `false` if the request was refused on the way, so that it must not go on.
///
/// No state is borrowed here: the effects were collected before.
#[must_use]
pub fn perform(mut effects: Vec<Effect>, shared: &Shared, room: Room, now: UnixTime) -> bool {
    let mut reply_headers = Vec::new();
    for effect in effects.drain(..) {
        match effect {
            Effect::CountUse { connection, method, origin } => {
                shared.metrics.count(credential_uses(&connection, method, origin));
            }
            Effect::CountConsent { connection, outcome } => shared.metrics.add(&consents(&connection, outcome), 1),
            Effect::CountLinks { connection, outcome, count } => shared.metrics.add(&remote_links(&connection, outcome), count),
            Effect::SetHeader(name, Value::Text(value)) => set_header(&name, Some(value.as_bytes())),
            Effect::SetHeader(name, Value::Secret(value)) => {
                // A redirect brings a target of its own, and tells in a header from which it came.
                mark(if name == ":path" { carried::REDIRECTED } else { &name }, shared);
                set_header(&name, Some(value.expose_secret().as_bytes()));
            }
            Effect::RemoveHeader(name) => set_header(&name, None),
            Effect::SetState(key, value) => {
                let _ = hostcalls::set_property(vec![key], Some(value.as_bytes()));
            }
            Effect::SetResponseHeader(name, value) => {
                let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, &name, Some(value.as_bytes()));
            }
            Effect::AddResponseHeader(name, value) => {
                let _ = hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, &name, value.as_bytes());
            }
            Effect::RemoveResponseHeader(name) => {
                let _ = hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, &name, None);
            }
            Effect::ReplaceRequestBody(bytes) => {
                if !write(BufferType::HttpRequestBody, Some(room.request), &bytes) {
                    fail();
                    return false;
                }
            }
            Effect::ReplaceResponseBody(bytes) => {
                if !write(BufferType::HttpResponseBody, room.response, &bytes) {
                    fail();
                    return false;
                }
            }
            Effect::Answer(whole) => {
                let headers = whole.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let _ = hostcalls::send_http_response(u32::from(whole.status), headers, Some(&whole.body));
            }
            Effect::Audit(record) => audit(&record, shared, now),
            Effect::ReplyHeader(name, value) => reply_headers.push((name, value)),
            Effect::Reply(reply) => answer(&reply, &reply_headers),
            Effect::Note(_) => {}
            Effect::Log(level, message) => log(level, &message),
            // The root context fetches: an answer to a request's own call would die with that request.
            Effect::Fetch(want) => {
                shared.desk.borrow_mut().ask(want);
                let _ = hostcalls::set_tick_period(NEXT);
            }
        }
    }
    if let Some(runtime) = shared.runtime.get() {
        runtime.supply().recycle(effects);
    }
    true
}

/// What Envoy says of the route of the request at hand; empty if it says nothing.
pub fn route(question: Route) -> Vec<u8> {
    let path = match question {
        Route::Cluster => vec!["xds", "cluster_name"],
        Route::Metadata => vec!["xds", "route_metadata", "filter_metadata", "attache", "connection"],
        Route::Attempts => vec!["upstream", "request_attempt_count"],
    };
    hostcalls::get_property(path).ok().flatten().unwrap_or_default()
}

/// Makes Envoy keep the names of headers with credentials of ours beyond its own redirects.
#[must_use]
pub fn keeps_marks() -> bool {
    match hostcalls::call_foreign_function("declare_property", Some(&carried::declaration())) {
        // It was declared before, by this root.
        Ok(_) | Err(Status::BadArgument) => true,
        Err(_) => {
            log(
                Level::Warn,
                "the proxy has no declare_property: of a request that it sends on by an internal redirect, every header that may hold a \
                 credential is removed",
            );
            false
        }
    }
}

/// The headers of the request at hand, without what we attached before Envoy sent it on by itself.
pub fn own_request_headers(runtime: &Runtime, shared: &Shared) -> Headers {
    let mut headers = raw::headers(Map::Request);
    let property = |name| hostcalls::get_property(vec![name]).ok().flatten().unwrap_or_default();
    let names: Vec<String> = if shared.keeps_marks.get() {
        let mark = property(carried::MARK);
        let is_of_before = !mark.is_empty() && property(carried::OF_THIS_REQUEST).is_empty();
        carried::names(&mark).filter(|name| is_of_before && headers.has(name)).map(str::to_owned).collect()
    } else {
        carried::unmarked(&headers, runtime.credential_headers()).cloned().collect()
    };
    for name in names {
        set_header(&name, None);
        headers.remove(&name);
    }
    headers
}

/// Notes that a credential of ours is in header `name`.
fn mark(name: &str, shared: &Shared) {
    if shared.keeps_marks.get() {
        let mark = hostcalls::get_property(vec![carried::MARK]).ok().flatten().unwrap_or_default();
        if let Some(mark) = carried::with(&mark, name) {
            let _ = hostcalls::set_property(vec![carried::MARK], Some(&mark));
        }
    }
}

fn set_header(name: &str, value: Option<&[u8]>) {
    let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, value);
}

/// Tells of a decision that was made `now`: when the host last told something of the request.
fn audit(record: &Record, shared: &Shared, now: UnixTime) {
    if record.log.is_some() || record.state {
        let (text, start) = record.logged(now);
        if record.state {
            let _ = hostcalls::set_property(vec!["attache.audit"], text.as_bytes().get(start..));
        }
        if let Some(level) = record.log {
            write_line(level, &text);
        }
    }
    let runtime = shared.runtime.get();
    match runtime {
        Some(runtime) if record.is_of_answer() => shared.metrics.count(auth_required(record.count().target, runtime.config())),
        _ => shared.metrics.decided(record.count(), record.microseconds(now), runtime.map(|runtime| runtime.config())),
    }
}

fn answer(reply: &Reply, more: &[(String, String)]) {
    let more = || more.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).chain(more()).collect();
    if let Some(code) = reply.grpc_status {
        let headers = reply.headers.iter().map(|(name, value)| (*name, value.as_str())).chain(more());
        let headers = headers.map(|(name, value)| (name, value.as_bytes())).collect();
        let _ = hostcalls::send_grpc_response(grpc_code(code), Some(&reply.body), headers);
        return;
    }
    let _ = hostcalls::send_http_response(u32::from(reply.status), headers, Some(reply.body.as_bytes()));
}

/// The codes that refusals use; any other would be a fault of ours.
const fn grpc_code(code: u8) -> GrpcStatusCode {
    match code {
        3 => GrpcStatusCode::InvalidArgument,
        5 => GrpcStatusCode::NotFound,
        7 => GrpcStatusCode::PermissionDenied,
        8 => GrpcStatusCode::ResourceExhausted,
        9 => GrpcStatusCode::FailedPrecondition,
        12 => GrpcStatusCode::Unimplemented,
        14 => GrpcStatusCode::Unavailable,
        16 => GrpcStatusCode::Unauthenticated,
        _ => GrpcStatusCode::Internal,
    }
}

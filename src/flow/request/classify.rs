//! What a request for an agent is, as far as its head says: binding, version, operation. Unclassified is refused.

use crate::card::{CardPath, CardPaths};
use crate::config::Agent;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::facts::is_shadowed;
use crate::flow::request::head::Head;
use crate::flow::request::inspect::check_query;
use crate::flow::request::{media, methods};
use crate::protocol::{Binding, Operation, Version, grpc, version};

/// A request that says by its method and path what it is.
#[derive(Clone, Copy, Debug)]
pub struct Classified {
    /// The version in force.
    pub version: Version,
    /// Known at once except for JSON-RPC.
    pub operation: Option<Operation>,
    /// The version chose what is at this place: two versions share it.
    pub negotiated: bool,
    /// What is wrong with the version that the request names, where that is only reported.
    pub doubt: Option<Reason>,
    /// It names no media type: nothing may follow.
    pub untyped: bool,
    /// It names no version.
    pub unnamed: bool,
    /// Where in the suffix the route of an HTTP+JSON request begins.
    pub route: usize,
    /// Its method may say the version: it names none, and the agent takes that.
    pub inferred: bool,
}

/// The binding by place and method alone, so that even a refusal can be said in it. `None` for cards: no binding's
/// rules apply to them. `suffix` is what follows the agent's prefix.
#[must_use]
pub fn binding(agent: &Agent, head: &Head<'_>, suffix: &str, cards: &CardPaths) -> Option<Binding> {
    match suffix {
        _ if grpc::is_service(head.path) => Some(grpc_or_not(head)),
        endpoint if head.method == "POST" && agent.offered().is_jsonrpc(endpoint) => Some(Binding::Jsonrpc),
        card if cards.find(card).is_some() => None,
        _ => Some(Binding::HttpJson),
    }
}

/// Whether a request for no agent in particular can be answered as gRPC.
#[must_use]
pub fn as_grpc(head: &Head<'_>) -> Option<Binding> {
    (grpc::is_service(head.path) && grpc_or_not(head) == Binding::Grpc).then_some(Binding::Grpc)
}

/// What a proxy does not take for gRPC cannot be answered as gRPC, and is no call of any binding.
fn grpc_or_not(head: &Head<'_>) -> Binding {
    let is_grpc = head.headers.single_ascii("content-type").is_some_and(|kind| grpc::is_content_type(kind.as_bytes()));
    if is_grpc { Binding::Grpc } else { Binding::HttpJson }
}

/// Classifies a request whose binding is known. Where versions are only watched (`shadow`), what the place of the request
/// belongs to decides, and else the default.
///
/// # Errors
/// If it is none that `agent` offers.
pub fn classify(
    agent: &Agent,
    head: &Head<'_>,
    suffix: &str,
    binding: Option<Binding>,
    cards: &CardPaths,
    body_follows: bool,
) -> Result<Classified, Denial> {
    let versioned = |denial: Denial| Denial { versions: Some(offered(agent).into()), ..denial };
    let mut doubt = None;
    let mut object = |denial: Denial| {
        if !is_shadowed(agent, denial.reason) {
            return Err(versioned(denial));
        }
        doubt = doubt.or(Some(denial.reason));
        Ok(())
    };
    let requested = match version::requested(head.headers, head.query) {
        Ok(requested) => requested,
        Err(error) => object(Denial::new(error.into())).map(|()| None)?,
    };
    // An endpoint that only one version has names it.
    let at_endpoint = if binding == Some(Binding::Jsonrpc) { agent.offered().version_at(suffix) } else { None };
    let selected = requested.or(at_endpoint).unwrap_or(agent.default_version);
    let inferred = agent.infer_version && !version::is_named(head.headers, head.query);
    check_body(head)?;
    if is_encoded(head) && body_follows {
        return Err(Denial::new(Reason::EncodingRefused));
    }
    let unknown = || Denial::new(Reason::OperationUnknown);
    let mut route = 0;
    let (version, operation) = match binding {
        Some(Binding::Jsonrpc) if !body_follows => return Err(no_body()),
        Some(Binding::Jsonrpc) => (selected, None),
        Some(Binding::HttpJson) => {
            let found = agent.offered().route(head.method, suffix);
            let (operation, belongs, rest) = found.ok_or_else(|| if head.method == "HEAD" { methods::refused() } else { unknown() })?;
            route = suffix.len().saturating_sub(rest.len());
            if belongs != selected && !inferred {
                object(mismatch("This route", belongs))?;
            }
            check_query(head.query, belongs, &agent.limits)?;
            (belongs, Some(operation))
        }
        Some(Binding::Grpc) => {
            if !agent.versions().any(|version| agent.offers(version, Binding::Grpc)) {
                return Err(unknown().advise("gRPC is not offered here."));
            }
            let (operation, belongs) = grpc::route(head.path).filter(|_| head.method == "POST").ok_or_else(unknown)?;
            // The package tells the version; who names one as well must mean the same.
            if requested.is_some_and(|requested| requested != belongs) {
                object(mismatch("This service", belongs))?;
            }
            if !body_follows {
                return Err(Denial::new(Reason::BodyMalformed).advise("A gRPC call has one message."));
            }
            if !head.headers.single_ascii("content-type").is_some_and(|kind| grpc::is_protobuf(kind.as_bytes())) {
                return Err(
                    Denial::new(Reason::EncodingRefused).advise("Messages are protocol buffers: send content-type application/grpc.")
                );
            }
            (belongs, Some(operation))
        }
        None if head.method == "GET" || head.method == "HEAD" => match cards.find(suffix) {
            // A path that belongs to a version names it; who names another as well contradicts himself.
            Some(CardPath::Of(version)) => {
                if requested.is_some_and(|requested| requested != version) {
                    object(Denial::new(Reason::VersionConflict))?;
                }
                (version, Some(Operation::GetAgentCard))
            }
            _ => (selected, Some(Operation::GetAgentCard)),
        },
        None => return Err(unknown()),
    };
    let is_offered = match binding {
        Some(Binding::Jsonrpc) => agent.offered().is_jsonrpc_of(version, suffix),
        Some(binding) => agent.offers(version, binding),
        None => agent.versions().any(|offered| offered == version),
    };
    if !is_offered {
        let over = binding.map(|binding| format!(" over {binding}")).unwrap_or_default();
        object(Denial::new(Reason::VersionNotSupported).advise(format!("A2A {version} is not offered here{over}.")))?;
    }
    let untyped = match binding {
        Some(binding @ (Binding::Jsonrpc | Binding::HttpJson)) if head.method == "POST" && body_follows => {
            media::untyped(head, binding, version)?
        }
        _ => false,
    };
    let negotiated = binding.is_none() && cards.find(suffix) == Some(CardPath::Negotiated);
    Ok(Classified { version, operation, negotiated, doubt, untyped, inferred, unnamed: requested.is_none(), route })
}

/// Whether the body is in a form that nothing here reads.
#[must_use]
pub fn is_encoded(head: &Head<'_>) -> bool {
    head.headers.all("content-encoding").any(|encoding| !encoding.eq_ignore_ascii_case(b"identity"))
}

/// Whether the head announces a body where A2A has none.
///
/// # Errors
/// The refusal if it does, or if the length is no number.
pub fn check_body(head: &Head<'_>) -> Result<(), Denial> {
    // Whoever takes it for another framing sees another end of the body.
    let mut codings = head.headers.all("transfer-encoding");
    if codings.next().is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) || codings.next().is_some() {
        return Err(Denial::new(Reason::RequestMalformed).advise("transfer-encoding is chunked, once, or absent."));
    }
    let announces_body = head.headers.has("transfer-encoding") || head.content_length()?.is_some_and(|length| length > 0);
    if head.method != "POST" && announces_body { Err(only_post()) } else { Ok(()) }
}

/// The refusal of a body where A2A has none.
#[must_use]
pub fn only_post() -> Denial {
    Denial::new(Reason::RequestMalformed).advise("Only POST requests have a body here.")
}

/// The refusal of a JSON-RPC request that has nothing to read.
#[must_use]
pub fn no_body() -> Denial {
    Denial::new(Reason::BodyMalformed).advise("A JSON-RPC request has a body.")
}

/// The versions that `agent` offers, as a list with commas.
fn offered(agent: &Agent) -> String {
    agent.versions().map(Version::as_str).collect::<Vec<_>>().join(",")
}

/// The refusal of something that belongs to another version than the selected one.
#[must_use]
pub fn mismatch(what: &str, belongs: Version) -> Denial {
    Denial::new(Reason::VersionMismatch).advise(format!("{what} belongs to A2A {belongs}: send A2A-Version: {belongs}."))
}

//! What a call that leaves is, as far as its head and the remote agent's card say: A2A in one of its bindings, or not A2A at all.
//! Only A2A goes out with a credential.

use crate::card::paths::WELL_KNOWN_0_2;
use crate::config::Connection;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Value};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::classify::{check_body, is_encoded, no_body};
use crate::flow::request::head::Head;
use crate::flow::request::inspect::check_method;
use crate::flow::request::methods;
use crate::flow::setup::connection as setup;
use crate::flow::supply::offers::Offers;
use crate::protocol::{Binding, Operation, Version, grpc, http_json, version};
use crate::wire::path;

/// The head of a call, as far as it is looked at later.
#[derive(Debug)]
pub(in crate::flow) struct Call {
    /// `:method`.
    method: String,
    /// `:path` with its query, without API keys of this side.
    pub target: String,
    /// The version that the client named.
    pub named: Option<Version>,
    /// It names several.
    pub repeats_version: bool,
    /// The proxy takes it for gRPC.
    is_grpc: bool,
    is_tunnel: bool,
    is_encoded: bool,
    has_body: bool,
    /// What is wrong with its head, if it is A2A.
    flaw: Option<Denial>,
}

/// What a call is by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::flow) enum CallKind {
    /// The endpoint of JSON-RPC: the method tells.
    Jsonrpc,
    /// A route of HTTP+JSON.
    HttpJson(Operation, Version),
    /// A method of A2A's gRPC service.
    Grpc(Operation, Version),
    /// A card.
    Card,
    /// A notification: its connection says so.
    Notification,
    /// None of A2A; with the binding in which it is refused.
    Other(Binding),
}

impl CallKind {
    /// The binding. `None` for cards and notifications: no binding's rules apply to them.
    pub const fn binding(self) -> Option<Binding> {
        match self {
            Self::Jsonrpc => Some(Binding::Jsonrpc),
            Self::HttpJson(..) => Some(Binding::HttpJson),
            Self::Grpc(..) => Some(Binding::Grpc),
            Self::Card | Self::Notification => None,
            Self::Other(binding) => Some(binding),
        }
    }

    /// The operation, and the version whose it is. For JSON-RPC the body tells them.
    pub const fn asked(self) -> Option<(Operation, Option<Version>)> {
        match self {
            Self::HttpJson(operation, version) | Self::Grpc(operation, version) => Some((operation, Some(version))),
            Self::Card => Some((Operation::GetAgentCard, None)),
            Self::Jsonrpc | Self::Notification | Self::Other(_) => None,
        }
    }

    pub const fn is_a2a(self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl Call {
    /// Keeps what matters of `head`; `target` is its `:path` without keys.
    pub fn new(head: &Head<'_>, target: String, connection: &Connection, body_follows: bool) -> Self {
        // The connection's own version counts, whatever the client says.
        let is_plain = connection.version.fixed().is_some() || connection.notifications.is_some();
        let named = if is_plain { Ok(None) } else { version::requested(head.headers, head.query) };
        let (named, flaw) = match named {
            Ok(named) => (named, check_body(head).err()),
            Err(error) => (None, Some(Denial::new(error.into()))),
        };
        Self {
            method: head.method.to_owned(),
            target,
            named,
            repeats_version: head.headers.all(version::HEADER).count() > 1,
            is_grpc: head.headers.single_ascii("content-type").is_some_and(|kind| grpc::is_content_type(kind.as_bytes())),
            is_tunnel: head.headers.has("upgrade"),
            is_encoded: is_encoded(head),
            has_body: body_follows,
            flaw,
        }
    }

    /// The target as a call has it that leaves: the version stands in a header.
    pub fn target_without_version(&self) -> String {
        version::without_parameter(&self.target).unwrap_or_else(|| self.target.clone())
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        path::split_query(&self.target).0
    }

    /// Whether its body is encoded.
    pub const fn is_encoded(&self) -> bool {
        self.is_encoded
    }

    pub fn is_post(&self) -> bool {
        self.method == "POST"
    }

    /// What the call is at `connection`, whose remote agent offers this, if that is known.
    pub fn place(&self, connection: &Connection, offers: Option<&Offers>) -> CallKind {
        let path = self.path();
        if connection.notifications.is_some() {
            return CallKind::Notification;
        }
        if self.is_tunnel {
            return CallKind::Other(Binding::HttpJson);
        }
        if grpc::is_service(path) {
            return match grpc::route(path) {
                Some((operation, version)) if self.is_grpc && self.is_post() => CallKind::Grpc(operation, version),
                _ => CallKind::Other(if self.is_grpc { Binding::Grpc } else { Binding::HttpJson }),
            };
        }
        let suffix = path::strip_segments(path, connection.target.path_prefix.as_str());
        let is_endpoint = matches!(suffix, Some("" | "/")) || offers.is_some_and(|offers| offers.has_endpoint(path));
        if self.is_post() && is_endpoint {
            return CallKind::Jsonrpc;
        }
        if matches!(self.method.as_str(), "GET" | "HEAD") && is_card(path, suffix, connection) {
            return CallKind::Card;
        }
        let suffixes = offers.into_iter().flat_map(|offers| offers.suffixes(path)).chain(suffix);
        let route = suffixes.filter_map(|suffix| http_json::route(&self.method, suffix)).next();
        route.map_or(CallKind::Other(Binding::HttpJson), |(operation, version)| CallKind::HttpJson(operation, version))
    }

    /// Whether its body may turn out to be a JSON-RPC request. `place`: by all that is known.
    pub fn may_be_jsonrpc(&self, place: CallKind, connection: &Connection) -> bool {
        place == CallKind::Jsonrpc
            || connection.card.is_some() && self.is_post() && place == CallKind::Other(Binding::HttpJson) && !self.is_tunnel
    }

    /// What is wrong with a head that is A2A.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(&self, place: CallKind) -> Result<(), Denial> {
        if let Some(flaw) = &self.flaw {
            return Err(flaw.clone());
        }
        match place {
            CallKind::Jsonrpc if !self.has_body => Err(no_body()),
            CallKind::Jsonrpc if self.is_encoded => Err(Denial::new(Reason::EncodingRefused)),
            CallKind::HttpJson(..) => check_method(path::split_query(&self.target).1),
            CallKind::Jsonrpc | CallKind::Grpc(..) | CallKind::Card | CallKind::Notification | CallKind::Other(_) => Ok(()),
        }
    }
}

/// The refusal of what is not A2A.
pub(in crate::flow) fn not_a2a() -> Denial {
    Denial::new(Reason::OperationUnknown).advise("This is no operation of A2A: nothing else leaves here.")
}

/// Whether cards are read there. At the place of 0.2 only where 0.3 may be spoken.
fn is_card(path: &str, suffix: Option<&str>, connection: &Connection) -> bool {
    let is_old = suffix == Some(WELL_KNOWN_0_2) && connection.version.fixed() == Some(Version::V1_0);
    !is_old && methods::is_card(path, connection)
}

/// What the client shows about itself does not leave by `connection`. Gives the target without it.
pub(in crate::flow) fn conceal(connection: &setup::Connection, head: &Head<'_>, effects: &mut Vec<Effect>) -> String {
    effects.extend(connection.dropped.headers(head.headers));
    // What callers on this side are known by stays here, whatever `keep` says.
    let is_gone = |effect: &Effect| matches!(effect, Effect::RemoveHeader(name) if name == "x-forwarded-client-cert");
    let asks_proxies = connection.callers.as_ref().is_some_and(|policy| policy.asks_proxies());
    if asks_proxies && head.headers.has("x-forwarded-client-cert") && !effects.iter().any(is_gone) {
        effects.push(Effect::RemoveHeader("x-forwarded-client-cert".into()));
    }
    let target = connection.dropped.target(head.target);
    effects.extend(target.iter().map(|target| Effect::SetHeader(":path".into(), Value::Text(target.clone()))));
    target.unwrap_or_else(|| head.target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Binding, Call, CallKind, Connection, Head, Offers, Operation, Version};
    use crate::card::Card;
    use crate::config::{Config, HttpUri};
    use crate::wire::header::Headers;
    use serde_json::{Value, json};

    fn connection(version: &str, prefix: &str, card: Option<&str>) -> std::rc::Rc<Connection> {
        let mut connection = json!({"name": "x", "match": {"hosts": ["a.example"], "path_prefix": prefix}, "version": version,
            "pin": "none", "credential": {"none": {}}});
        if let Some(uri) = card {
            connection["card"] = json!({"remote": {"uri": uri, "cluster": "c"}});
        }
        let json = json!({ "connections": [connection] }).to_string();
        Config::parse(json.as_bytes()).unwrap().connections.remove(0)
    }

    fn place(connection: &Connection, offers: Option<&Offers>, line: &str, headers: &[(&str, &str)]) -> CallKind {
        let (method, target) = line.split_once(' ').unwrap();
        let mut list: Vec<(String, Vec<u8>)> = vec![(":method".into(), method.into()), (":path".into(), target.into())];
        list.push((":authority".into(), b"a.example".to_vec()));
        list.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())));
        let headers = Headers::new(list);
        let head = Head::read(&headers).unwrap();
        Call::new(&head, head.target.to_owned(), connection, true).place(connection, offers)
    }

    const OTHER: CallKind = CallKind::Other(Binding::HttpJson);
    const GRPC: [(&str, &str); 1] = [("content-type", "application/grpc")];

    #[test]
    fn a_call_is_a2a_by_its_place_and_method_or_not_at_all() {
        use Operation::{GetExtendedAgentCard, GetTask, SendMessage};
        let own = connection("1.0", "/", None);
        for (line, headers, expected) in [
            ("POST /", &[][..], CallKind::Jsonrpc),
            ("POST /?a=b", &[], CallKind::Jsonrpc),
            ("POST /message:send", &[], CallKind::HttpJson(SendMessage, Version::V1_0)),
            ("POST /v1/message:send", &[], CallKind::HttpJson(SendMessage, Version::V0_3)),
            ("GET /tasks/t", &[], CallKind::HttpJson(GetTask, Version::V1_0)),
            ("GET /agent/authenticatedExtendedCard", &[], CallKind::HttpJson(GetExtendedAgentCard, Version::V0_3)),
            ("GET /.well-known/agent-card.json?x", &[], CallKind::Card),
            ("HEAD /.well-known/agent-card.json", &[], CallKind::Card),
            ("POST /lf.a2a.v1.A2AService/GetTask", &GRPC, CallKind::Grpc(GetTask, Version::V1_0)),
            ("POST /lf.a2a.v1.A2AService/DropTables", &GRPC, CallKind::Other(Binding::Grpc)),
            ("GET /lf.a2a.v1.A2AService/GetTask", &GRPC, CallKind::Other(Binding::Grpc)),
            ("POST /lf.a2a.v1.A2AService/GetTask", &[("content-type", "application/grpc-web")], OTHER),
            ("POST /grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &GRPC, OTHER),
            ("POST /admin/delete-everything", &[], OTHER),
            ("POST /rpc", &[], OTHER),
            ("GET /", &[], OTHER),
            ("PUT /", &[], OTHER),
            ("OPTIONS /", &[], OTHER),
            ("HEAD /tasks/t", &[], OTHER),
            ("POST /.well-known/agent-card.json", &[], OTHER),
            ("GET /.well-known/agent.json", &[], OTHER),
            ("GET /.well-known/openid-configuration", &[], OTHER),
            ("POST /", &[("upgrade", "websocket")], OTHER),
        ] {
            assert_eq!(place(&own, None, line, headers), expected, "{line}");
        }
        let below = connection("0.3", "/a", None);
        for (line, expected) in [
            ("POST /a", CallKind::Jsonrpc),
            ("POST /a/", CallKind::Jsonrpc),
            ("POST /a/v1/message:send", CallKind::HttpJson(SendMessage, Version::V0_3)),
            ("GET /a/.well-known/agent.json", CallKind::Card),
            ("POST /a/b", OTHER),
        ] {
            assert_eq!(place(&below, None, line, &[]), expected, "{line}");
        }
    }

    #[test]
    fn a_card_says_where_else_a2a_is() {
        let connection = connection("auto", "/p", Some("https://a.example/p/agentCard/v1.0?x"));
        let interface = |url: &str, binding: &str| json!({"url": url, "protocolBinding": binding, "protocolVersion": "1.0"});
        let interfaces: Value =
            json!([interface("https://a.example/p/rpc/", "JSONRPC"), interface("https://a.example/p/rest", "HTTP+JSON")]);
        let card = Card::from_value(json!({"supportedInterfaces": interfaces})).unwrap();
        let (offers, _) = Offers::of(&card, &HttpUri::try_from("https://a.example/p".to_owned()).unwrap(), "/p");
        for (line, with, without) in [
            ("POST /p", CallKind::Jsonrpc, CallKind::Jsonrpc),
            ("POST /p/rpc", CallKind::Jsonrpc, OTHER),
            ("POST /p/rpc/", CallKind::Jsonrpc, OTHER),
            ("POST /p/rpc/x", OTHER, OTHER),
            (
                "POST /p/rest/message:send",
                CallKind::HttpJson(Operation::SendMessage, Version::V1_0),
                CallKind::HttpJson(Operation::SendMessage, Version::V1_0),
            ),
            ("POST /p/rest", OTHER, OTHER),
            ("GET /p/rest/acme/tasks", CallKind::HttpJson(Operation::ListTasks, Version::V1_0), OTHER),
            ("GET /p/agentCard/v1.0", CallKind::Card, CallKind::Card),
            ("GET /p/.well-known/agent-card.json", CallKind::Card, CallKind::Card),
            ("GET /p/agentCard/v0.3", OTHER, OTHER),
        ] {
            assert_eq!(place(&connection, Some(&offers), line, &[]), with, "{line}");
            assert_eq!(place(&connection, None, line, &[]), without, "{line}");
        }
    }
}

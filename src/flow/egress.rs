//! A call to a remote agent: the client's own credentials go, the connection's credential comes, and only
//! there. No credential, no request.

use super::denial::{Denial, Reason};
use super::event::{Effect, Level, Step, Value};
use super::exchange::{Stage, answer, refuse};
use super::facts::Note;
use super::head::{Head, Target};
use super::runtime::Context;
use crate::config::{Connection, Credential};
use crate::credential::static_header;
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, http_json};
use crate::wire::path;

pub(super) fn begin(index: usize, head: &Head<'_>, end_of_stream: bool, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Stage, Step) {
    let config = context.runtime.config();
    effects.push(Effect::Note(Note::For(Target::Connection(index))));
    let Some(connection) = config.connections.get(index) else {
        return answer(&Denial::new(Reason::Unmatched), None, &Id::default(), effects);
    };
    for name in context.runtime.credential_headers().iter().filter(|name| head.headers.has(name)) {
        effects.push(Effect::RemoveHeader(name.clone().into()));
    }
    head.set_version(head.target, effects, connection.version);
    effects.push(Effect::Note(Note::Is { version: connection.version, binding: None, operation: None }));
    match &connection.credential {
        Credential::None(_) => {}
        Credential::Header(header) => match static_header::value(header, context.runtime.secrets()) {
            Ok(value) => effects.push(Effect::SetHeader(header.name.as_str().to_owned().into(), Value::Secret(value))),
            Err(error) => {
                effects.push(Effect::Log(
                    Level::Warn,
                    format!("connection {:?} has no credential: secret {:?} {error}", connection.name, header.value.secret),
                ));
                let denial = Denial::new(Reason::CredentialUnavailable).at(&connection.name);
                return refuse(denial, Some(binding(head, connection)), !end_of_stream, context, effects);
            }
        },
    }
    effects.push(Effect::Note(Note::Allowed));
    (Stage::Done, Step::Continue)
}

/// The binding of a call that is refused: a POST on no HTTP+JSON route is JSON-RPC.
fn binding(head: &Head<'_>, connection: &Connection) -> Binding {
    let suffix = path::strip_segments(head.path, connection.target.path_prefix.as_str()).unwrap_or_default();
    if head.method == "POST" && http_json::route(head.method, suffix).is_none() { Binding::Jsonrpc } else { Binding::HttpJson }
}

//! The HTTP methods that A2A uses: nothing else enters, and nothing else leaves with a credential. An agent or a server in front
//! of it may answer the others with what it got: `TRACE` hands every header back to the caller (RFC 9110 section 9.3.8).

use crate::card::paths;
use crate::config::Connection;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::wire::path;

/// Whether the agent called `name`, or the remote one of `connection`, can be meant with the method of `head`. Names are compared as they are: methods are case-sensitive.
///
/// # Errors
/// If A2A does not use the method, or not there; if the request is to become a tunnel.
pub fn check(head: &Head<'_>, name: &str, connection: Option<&Connection>) -> Result<(), Denial> {
    if connection.is_some_and(|connection| connection.notifications.is_some()) && head.method != "POST" {
        return Err(not_posted().at(name));
    }
    // Which paths are an agent's cards is known when the request is classified.
    let is_head_fine = connection.is_none_or(|connection| is_card(head.path, connection));
    let at = |denial: Denial| denial.at(name);
    match head.method {
        "GET" | "POST" | "DELETE" => {}
        "HEAD" if is_head_fine => {}
        _ => return Err(at(refused())),
    }
    // A tunnel: what follows would be no body, and nobody would read it.
    if head.headers.has("upgrade") {
        return Err(at(Denial::new(Reason::RequestMalformed).advise("A2A requests are not upgraded to other protocols.")));
    }
    Ok(())
}

/// The refusal of a method.
#[must_use]
pub fn refused() -> Denial {
    Denial::new(Reason::MethodRefused)
}

/// The refusal of a notification that is not posted.
#[must_use]
pub fn not_posted() -> Denial {
    Denial { is_for_posts: true, ..refused().advise("Notifications are posted: send POST.") }
}

/// Whether the card of the remote agent is at `path`: where the specification has it, or where the connection reads it.
#[must_use]
pub fn is_card(path: &str, connection: &Connection) -> bool {
    let suffix = path::strip_segments(path, connection.target.path_prefix.as_str());
    let known = suffix.is_some_and(|suffix| [paths::WELL_KNOWN, paths::WELL_KNOWN_0_2].contains(&suffix));
    let own = connection.card.as_ref().filter(|card| !card.is_well_known()).map(|card| path::split_query(card.remote.uri.path()).0);
    known || own == Some(path)
}

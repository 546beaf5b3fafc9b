//! The A2A version of a call that leaves: the connection's own, or the newest that the remote agent's card offers for it. What
//! belongs to another version does not leave.

use crate::config::Connection;
use crate::flow::event::Effect;
use crate::flow::event::reason::Reason;
use crate::flow::outbound::leaving::{Call, CallKind};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head;
use crate::flow::supply::offers::{Asked, NotOffered, Offers};
use crate::protocol::{Operation, Version, version};

/// The version of `call`. `asked`: its operation, and the version whose it is, as far as they are known.
///
/// # Errors
/// If the remote agent does not offer the call, or it belongs to another version.
pub(in crate::flow) fn version(
    call: &Call,
    place: CallKind,
    asked: Option<(Operation, Option<Version>)>,
    offers: Option<&Offers>,
    connection: &Connection,
) -> Result<Version, Denial> {
    let belongs = asked.and_then(|(_, belongs)| belongs);
    let version = match (connection.version.fixed(), offers) {
        (Some(version), _) => version,
        (None, Some(offers)) => {
            let is_extended = matches!(asked, Some((Operation::GetExtendedAgentCard, _)));
            // Agents of 0.3 have the route of the extended card beside JSON-RPC, too.
            let binding = place.binding().filter(|_| !is_extended || !matches!(place, CallKind::HttpJson(..)));
            let on_route = belongs.filter(|_| place != CallKind::Jsonrpc);
            let plain = Asked { path: call.path(), binding, belongs: on_route, named: call.named };
            let spoken = belongs.filter(|_| offers.is_open(plain));
            offers.choose(Asked { named: call.named.or(spoken), ..plain }).map_err(|error| not_offered(error, offers))?
        }
        (None, None) => return Err(Denial::new(Reason::CardUnavailable)),
    };
    check(asked, version)?;
    Ok(version)
}

/// Whether what is asked for belongs to `version`, as far as it is known.
///
/// # Errors
/// If it belongs to another one.
pub(in crate::flow) fn check(asked: Option<(Operation, Option<Version>)>, version: Version) -> Result<(), Denial> {
    match asked {
        Some((operation, Some(belongs))) if belongs != version => {
            let advice = format!("{} belongs to A2A {belongs} as it is sent; here A2A {version} is spoken.", operation.name());
            Err(Denial { versions: Some(version.as_str().into()), ..Denial::new(Reason::VersionMismatch).advise(advice) })
        }
        _ => Ok(()),
    }
}

/// Makes the call name exactly `chosen`.
pub(in crate::flow) fn set(call: &Call, chosen: Version, effects: &mut Vec<Effect>) {
    // Setting a header replaces its first value only.
    if call.repeats_version {
        effects.push(Effect::RemoveHeader(version::HEADER.into()));
    }
    head::set_version(&call.target, effects, chosen);
}

fn not_offered(error: NotOffered, offers: &Offers) -> Denial {
    if error == NotOffered::Mismatch {
        return Denial::new(Reason::VersionMismatch);
    }
    let advice = match offers.describe() {
        none if none.is_empty() => "The card of the remote agent offers nothing at its own host.".to_owned(),
        some => format!("The remote agent does not offer this version in this binding. It offers {some}."),
    };
    let denial = Denial::new(Reason::VersionNotSupported).advise(advice);
    Denial { versions: Some(offers.versions()).filter(|versions| !versions.is_empty()).map(String::into_boxed_str), ..denial }
}

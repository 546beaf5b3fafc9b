//! Headers of clients that steer Envoy: taken off before Envoy's router looks at them, in both directions.

use crate::config::{Config, Connection, Placement};
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Level};
use crate::flow::refusal::denial::Denial;
use crate::wire::header::Headers;
use crate::wire::steering::is_steering;

/// By this an ORIGINAL_DST cluster chooses the host.
const DESTINATION: &str = "x-envoy-original-dst-host";

/// Takes them off a request, for the agent behind `connection` or one behind this proxy, but for those that the configuration lets clients send.
///
/// # Errors
/// If one has done its work already: in a cluster this filter runs behind the router.
pub fn clean(headers: &Headers, connection: Option<&Connection>, config: &Config, effects: &mut Vec<Effect>) -> Result<(), Denial> {
    let steers = |name: &&str| is_steering(name) && !config.keep_headers.iter().any(|kept| kept == name);
    let mut names: Vec<&str> = headers.names_if(|name| matches!(name.first(), Some(b'x' | b'X'))).filter(steers).collect();
    names.sort_unstable();
    names.dedup();
    let has_chosen = config.placement == Placement::Cluster && names.contains(&DESTINATION);
    effects.extend(names.into_iter().map(|name| Effect::RemoveHeader(name.to_owned().into())));
    match connection {
        Some(Connection { name, .. }) if has_chosen => {
            let text = format!(
                "connection {name:?}: the client sent {DESTINATION}, by which Envoy may have chosen the host already: remove it in the \
                 listener, or name it in keep_headers"
            );
            effects.push(Effect::Log(Level::Warn, text));
            Err(Denial::new(Reason::ConnectionMismatch).at(name))
        }
        _ => Ok(()),
    }
}

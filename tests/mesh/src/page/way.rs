//! Which way a call took through the picture, as the records of the Envoys tell it.

use serde_json::{Value, json};

use crate::tour::Door;

use super::trail::Seen;

/// Places of the picture that the call came through, the one that refused it, and whether a token was fetched for it on the way.
pub fn of(door: Door, records: &[Seen], is_refused: bool) -> Value {
    let mut nodes = if door.is_outbound() { vec!["own", "outbound"] } else { vec!["client", "inbound"] };
    let mut refused = None;
    let mut is_fetched = false;
    if door.is_outbound() {
        let out = last(records, true);
        is_fetched = out.is_some_and(|record| record["credential"]["from"] == "fetch");
        match (out, last(records, false)) {
            (Some(record), _) if record["decision"] == "deny" => refused = Some("outbound"),
            (_, Some(_)) => nodes.push("inbound"),
            (Some(_), None) => nodes.push("partner"),
            (None, None) => refused = is_refused.then_some("outbound"),
        }
    }
    if nodes.last() == Some(&"inbound") {
        match last(records, false) {
            Some(record) if record["decision"] == "deny" => refused = Some("inbound"),
            Some(record) => nodes.push(if record["version"] == "0.3" { "agent03" } else { "agent10" }),
            None => refused = is_refused.then_some("inbound"),
        }
    }
    json!({"nodes": nodes, "refused": refused, "fetched": is_fetched})
}

/// The last record of Envoys of one side.
pub fn last(records: &[Seen], is_outbound: bool) -> Option<&Value> {
    records.iter().rev().find(|seen| seen.door.is_outbound() == is_outbound).map(|seen| &seen.record)
}

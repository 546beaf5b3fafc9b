//! Members of a record that are filter state by themselves, where the configuration asks for it: the tags of spans and the fields of
//! access logs are made of filter state, and neither can look into the record's line.

use crate::config::{Config, RecordMember};
use crate::flow::event::Effect;
use crate::flow::event::metric::Count;
use crate::flow::event::target::Target;
use crate::protocol::{Binding, Operation, Version};

/// What publishes them; nothing for what is not known.
pub fn members(count: &Count, config: &Config) -> impl Iterator<Item = Effect> {
    let asked = config.audit.filter_state_members;
    let listed = if asked.is_empty() { &[][..] } else { &RecordMember::ALL };
    listed.iter().filter(move |member| asked.has(**member)).filter_map(|member| {
        let (key, value) = member_of(*member, count, config);
        value.map(|value| Effect::SetState(key, value.to_owned()))
    })
}

fn member_of<'a>(member: RecordMember, count: &Count, config: &'a Config) -> (&'static str, Option<&'a str>) {
    match (member, count.target) {
        (RecordMember::Agent, Some(Target::Agent(index))) => ("attache.agent", config.agents.get(index).map(|agent| agent.name.as_str())),
        (RecordMember::Connection, Some(Target::Connection(index))) => {
            ("attache.connection", config.connections.get(index).map(|connection| connection.name.as_str()))
        }
        (RecordMember::Webhook, Some(Target::Webhook(index))) => {
            ("attache.webhook", config.webhooks.get(index).map(|webhook| webhook.name.as_str()))
        }
        (RecordMember::Webhook, _) => ("attache.webhook", None),
        (RecordMember::Agent, _) => ("attache.agent", None),
        (RecordMember::Connection, _) => ("attache.connection", None),
        (RecordMember::Version, _) => ("attache.version", count.version.map(Version::as_str)),
        (RecordMember::Binding, _) => ("attache.binding", count.binding.map(Binding::name)),
        (RecordMember::Operation, _) => ("attache.operation", count.operation.map(Operation::name)),
        (RecordMember::Decision, _) => ("attache.decision", Some(count.decision.name())),
    }
}

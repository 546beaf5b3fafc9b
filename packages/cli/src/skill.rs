//! The skill that a request is for, found by what the filter finds it with.

use crate::request::Request;
use attache::config::{Agent, SkillFrom};
use attache::flow::callers::authorize::Spoken;
use attache::flow::request::inspect::Plans;
use attache::policy::access::Skill;
use attache::protocol::{Binding, Operation, Version};
use attache::wire::path;

/// What is known of the skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// This one.
    Skill(String),
    /// None is named.
    Nothing,
    /// It is named in a way that cannot be read.
    Unreadable,
}

impl Named {
    /// As rules see it.
    pub fn skill(&self) -> Skill<'_> {
        match self {
            Self::Skill(name) => Skill::Named(name),
            Self::Nothing => Skill::Unnamed,
            Self::Unreadable => Skill::Unsettled,
        }
    }
}

/// The skill that `request` names, which is for `agent`.
pub fn named(agent: &Agent, (binding, operation, version): (Binding, Operation, Version), request: &Request) -> Named {
    let (path, _) = path::split_query(request.header(":path").unwrap_or_default());
    let suffix = path::strip_segments(path, agent.target.path_prefix.as_str()).unwrap_or_default();
    let in_path = match &agent.skill_from {
        Some(SkillFrom::Path(place)) => place.take(suffix).map(|(skill, _)| skill),
        Some(SkillFrom::MetadataKey(_) | SkillFrom::Extension(_)) | None => None,
    };
    let headers = request.headers();
    let spoken = Spoken::new(agent.skill_from.as_ref(), in_path, &headers);
    let plans = Plans::new(agent);
    let mut reader = plans.reader(Some(binding), Some(operation), version);
    if reader.as_mut().is_some_and(|reader| reader.read(&request.body, true).is_err()) {
        return Named::Unreadable;
    }
    match spoken.skill(operation, reader.as_ref(), &plans) {
        Ok(Skill::Named(name)) => Named::Skill(name.to_owned()),
        Ok(Skill::Unnamed | Skill::Unsettled) => Named::Nothing,
        Err(_) => Named::Unreadable,
    }
}

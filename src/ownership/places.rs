//! Where bodies name tasks and contexts: in requests below `params` (JSON-RPC) or from the top (HTTP+JSON), in answers
//! below `result` or from the top. The union over A2A 0.3 and 1.0 and their dialects (the JSON Schema's, the two
//! protobufs'), because an agent may read and write a dialect that its version does not have. Metadata, parts and words
//! meant for people are not places.

use super::tag::Subject;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::scan::{Asked, Keep, Plan, Step};
use crate::wire::sorted::SortedMap;
use std::rc::Rc;

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An id.
    Id(Subject),
    /// A resource name that begins `tasks/{id}` (the protobuf of 0.3).
    Name,
    /// Where the next page of a list begins.
    PageToken,
    /// How many tasks a page has.
    PageSize,
    /// What a list is the answer of, or why there is none.
    List,
    /// Why there is none.
    Error,
    /// The id of a JSON-RPC answer.
    AnswerId,
    /// The tasks of a list.
    Tasks,
    /// One of them.
    Item,
    /// The context of such a task.
    ItemContext,
    /// Its messages.
    History,
    /// One of them.
    Said,
    /// Whose it is.
    Role,
    /// A JSON-RPC request.
    Request,
    /// The parameters of a request for a list.
    Params,
    /// How much history it asks for.
    HistoryLength,
    /// A message that is sent.
    Message,
    /// Metadata in which the mark may stand.
    Metadata,
    /// The mark.
    Mark,
    /// The same in a message of a task's history.
    SaidMark,
}

impl Place {
    /// Whether it matters to marks alone.
    const fn is_of_marks(self) -> bool {
        match self {
            Self::History
            | Self::Said
            | Self::Role
            | Self::Request
            | Self::Params
            | Self::HistoryLength
            | Self::Message
            | Self::Metadata
            | Self::Mark
            | Self::SaidMark => true,
            Self::Id(_)
            | Self::Name
            | Self::PageToken
            | Self::PageSize
            | Self::List
            | Self::Error
            | Self::AnswerId
            | Self::Tasks
            | Self::Item
            | Self::ItemContext => false,
        }
    }

    /// Whether its end matters.
    const fn ends(self) -> bool {
        matches!(self, Self::Tasks | Self::Item | Self::History | Self::Said | Self::Params | Self::Message | Self::Metadata)
    }
}

/// The places of one kind of body. Made once.
#[derive(Clone, Debug)]
pub struct Places {
    plan: Rc<Plan>,
    places: Vec<(Asked, Place)>,
    mark: Option<Rc<str>>,
    is_rpc: bool,
}

impl Places {
    /// Those of `shape` below `root`, and of `outside` above it. Marks stand below the key `mark`, if there are any.
    fn new(root: &'static str, shape: Shape, outside: Table, mark: Option<&Rc<str>>) -> Self {
        let (mut plan, mut places) = (Plan::default(), Vec::new());
        let above: [(&str, Table); 1] = [("", outside)];
        let all = shape.iter().map(|part| (root, part)).chain(above.iter().map(|part| ("", part)));
        for (root, (container, table)) in all {
            for (name, place) in *table {
                if mark.is_none() && place.is_of_marks() {
                    continue;
                }
                let mut steps = Vec::new();
                for name in [root, container, name].iter().flat_map(|path| path.split('.')).filter(|name| !name.is_empty()) {
                    steps.push(match (name, mark) {
                        (EACH, _) => Step::Element,
                        (MARK, Some(key)) => Step::key(key),
                        (name, _) => Step::proto_json(name),
                    });
                }
                let asked = if place.ends() { plan.ask_end(&steps) } else { plan.ask(&steps, Keep::Raw) };
                if !places.contains(&(asked, *place)) {
                    places.push((asked, *place));
                }
            }
        }
        Self { plan: Rc::new(plan), places, mark: mark.cloned(), is_rpc: !root.is_empty() }
    }

    /// The key of metadata below which marks stand, if there are any.
    #[must_use]
    pub fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// Whether they are those of a JSON-RPC request or answer.
    #[must_use]
    pub const fn is_rpc(&self) -> bool {
        self.is_rpc
    }

    /// What a scan has to ask for.
    #[must_use]
    pub const fn plan(&self) -> &Rc<Plan> {
        &self.plan
    }

    /// What stands at `asked`.
    #[must_use]
    pub fn at(&self, asked: Asked) -> Option<Place> {
        self.places.iter().find(|(own, _)| *own == asked).map(|(_, place)| *place)
    }
}

/// Stands for every element of an array.
const EACH: &str = "*";
/// Stands for the key of marks.
const MARK: &str = "@";
/// Most bytes of a mark and of what stands around it, without its key.
const MARK_BYTES: usize = 60;

/// Paths, with points between their names, and what stands there.
type Table = &'static [(&'static str, Place)];
/// Tables, and the containers in which they hold.
type Shape = &'static [(&'static str, Table)];

const TASK: Place = Place::Id(Subject::Task);
const CONTEXT: Place = Place::Id(Subject::Context);

const MESSAGE: Table =
    &[("taskId", TASK), ("contextId", CONTEXT), ("referenceTaskIds.*", TASK), ("metadata", Place::Metadata), ("metadata.@", Place::Mark)];
/// A message that is sent.
const SENT: Table = &[("", Place::Message)];
/// A message of a task's history.
const SAID: Table = &[
    ("taskId", TASK),
    ("contextId", CONTEXT),
    ("referenceTaskIds.*", TASK),
    ("metadata", Place::Metadata),
    ("metadata.@", Place::SaidMark),
];
/// What has metadata, into which an agent may have copied the mark.
const MARKED: Table = &[("metadata", Place::Metadata), ("metadata.@", Place::Mark)];
const OF_TASK: Table = &[("id", TASK), ("contextId", CONTEXT), ("metadata", Place::Metadata), ("metadata.@", Place::Mark)];
/// An update, beside its status or artifact.
const OF_UPDATE: Table = &[("taskId", TASK), ("contextId", CONTEXT), ("metadata", Place::Metadata), ("metadata.@", Place::Mark)];
/// A task of a list.
const OF_ITEM: Table = &[
    ("", Place::Item),
    ("id", TASK),
    ("contextId", Place::ItemContext),
    ("metadata", Place::Metadata),
    ("metadata.@", Place::Mark),
    ("history", Place::History),
    ("history.*", Place::Said),
    ("history.*.role", Place::Role),
];
/// Whose a push-notification configuration is. Its own id is unique in its task and stays as it is.
const PUSH: Table = &[("taskId", TASK), ("name", Place::Name), ("parent", Place::Name)];
const ID: Table = &[("id", TASK)];

/// An agent may take the request's metadata for the message's.
const SEND: Shape = &[
    ("message", SENT),
    ("message", MESSAGE),
    ("request", SENT),
    ("request", MESSAGE),
    ("", &[("metadata.@", Place::Mark)]),
    ("configuration.taskPushNotificationConfig", PUSH),
    ("configuration.pushNotificationConfig", PUSH),
    ("configuration.pushNotification", PUSH),
];
const LIST_OF: Table =
    &[("", Place::Params), ("contextId", CONTEXT), ("pageToken", Place::PageToken), ("historyLength", Place::HistoryLength)];

/// Bare, or in the member that tells which. In the protobuf of 0.3 the field's own name is `msg` for a message, and `update` for that
/// of a status.
const TASKS: Shape = &[
    ("", OF_TASK),
    ("status.message", MESSAGE),
    ("status.update", MESSAGE),
    ("history.*", SAID),
    ("artifacts.*", MARKED),
    ("", MESSAGE),
    ("artifact", MARKED),
    ("task", OF_TASK),
    ("task.status.message", MESSAGE),
    ("task.status.update", MESSAGE),
    ("task.history.*", SAID),
    ("task.artifacts.*", MARKED),
    ("message", MESSAGE),
    ("msg", MESSAGE),
    ("statusUpdate", OF_UPDATE),
    ("statusUpdate.status.message", MESSAGE),
    ("statusUpdate.status.update", MESSAGE),
    ("statusUpdate.artifact", MARKED),
    ("artifactUpdate", OF_UPDATE),
    ("artifactUpdate.status.message", MESSAGE),
    ("artifactUpdate.status.update", MESSAGE),
    ("artifactUpdate.artifact", MARKED),
];
const LIST: Table = &[("", Place::List), ("tasks", Place::Tasks), ("nextPageToken", Place::PageToken), ("pageSize", Place::PageSize)];
const LISTED: Shape = &[
    ("", LIST),
    ("tasks.*", OF_ITEM),
    ("tasks.*.status.message", MESSAGE),
    ("tasks.*.status.update", MESSAGE),
    ("tasks.*.history.*", SAID),
    ("tasks.*.artifacts.*", MARKED),
];

/// Requests whose bodies have the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Request {
    Send,
    Task,
    List,
    /// Operations on push-notification configurations.
    Push,
    /// The same where the task is called `id`: 0.3 but for create.
    PushOfId,
}

/// Answers whose bodies have the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    Tasks,
    List,
    Push,
}

impl Request {
    const ALL: [Self; 5] = [Self::Send, Self::Task, Self::List, Self::Push, Self::PushOfId];

    const fn of(operation: Operation, version: Version) -> Option<Self> {
        match (operation, version) {
            (Operation::SendMessage | Operation::SendStreamingMessage, _) => Some(Self::Send),
            (Operation::GetTask | Operation::CancelTask | Operation::SubscribeToTask, _) => Some(Self::Task),
            (Operation::ListTasks, _) => Some(Self::List),
            (Operation::CreateTaskPushNotificationConfig, _)
            | (
                Operation::GetTaskPushNotificationConfig
                | Operation::ListTaskPushNotificationConfigs
                | Operation::DeleteTaskPushNotificationConfig,
                Version::V1_0,
            ) => Some(Self::Push),
            (
                Operation::GetTaskPushNotificationConfig
                | Operation::ListTaskPushNotificationConfigs
                | Operation::DeleteTaskPushNotificationConfig,
                Version::V0_3,
            ) => Some(Self::PushOfId),
            (Operation::GetExtendedAgentCard | Operation::GetAgentCard, _) => None,
        }
    }

    const fn places(self) -> Shape {
        match self {
            Self::Send => SEND,
            Self::Task | Self::PushOfId => &[("", ID), ("", PUSH)],
            Self::List => &[("", LIST_OF)],
            Self::Push => &[("", PUSH), ("config", PUSH), ("pushNotificationConfig", &[("taskId", TASK)])],
        }
    }
}

impl Given {
    const ALL: [Self; 3] = [Self::Tasks, Self::List, Self::Push];

    const fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::SendMessage
            | Operation::SendStreamingMessage
            | Operation::GetTask
            | Operation::CancelTask
            | Operation::SubscribeToTask => Some(Self::Tasks),
            Operation::ListTasks => Some(Self::List),
            Operation::CreateTaskPushNotificationConfig
            | Operation::GetTaskPushNotificationConfig
            | Operation::ListTaskPushNotificationConfigs
            | Operation::DeleteTaskPushNotificationConfig => Some(Self::Push),
            Operation::GetExtendedAgentCard | Operation::GetAgentCard => None,
        }
    }

    const fn places(self) -> Shape {
        match self {
            Self::Tasks => TASKS,
            Self::List => LISTED,
            Self::Push => &[("", PUSH), ("*", PUSH), ("configs.*", PUSH), ("config", PUSH)],
        }
    }
}

/// Every kind of body. Made once for all agents with the same mark.
#[derive(Debug)]
pub struct Plans {
    requests: SortedMap<(Binding, Request), Rc<Places>>,
    answers: SortedMap<(Binding, Given), Rc<Places>>,
}

impl Plans {
    /// Where marks stand below this key of metadata, if there are any.
    #[must_use]
    pub fn new(mark: Option<&str>) -> Self {
        let mark = mark.map(Rc::from);
        let mut plans = Self { requests: SortedMap::new(), answers: SortedMap::new() };
        for (binding, params, result) in [(Binding::Jsonrpc, "params", "result"), (Binding::HttpJson, "", "")] {
            let is_rpc = binding == Binding::Jsonrpc;
            for request in Request::ALL {
                let outside: Table = if is_rpc && request == Request::List { &[("", Place::Request)] } else { &[] };
                plans.requests.insert((binding, request), Rc::new(Places::new(params, request.places(), outside, mark.as_ref())));
            }
            for given in Given::ALL {
                let outside: Table = match (given, is_rpc) {
                    (Given::List, true) => &[("error", Place::Error), ("id", Place::AnswerId)],
                    (Given::List, false) => &[("error", Place::Error)],
                    _ => &[],
                };
                plans.answers.insert((binding, given), Rc::new(Places::new(result, given.places(), outside, mark.as_ref())));
            }
        }
        plans
    }

    /// Whether there are marks.
    #[must_use]
    pub fn has_marks(&self) -> bool {
        self.mark().is_some()
    }

    fn mark(&self) -> Option<&str> {
        self.requests.values().find_map(|places| places.mark())
    }

    /// By how many bytes a request's body may grow: a mark in each of the two members that may be the message, or what asks
    /// for all of the history, which is shorter.
    #[must_use]
    pub fn growth(&self) -> usize {
        self.mark().map_or(0, |key| key.len().saturating_add(MARK_BYTES).saturating_mul(2))
    }

    /// The places in the body of a request; `None` if it names no task, or is no JSON.
    #[must_use]
    pub fn request(&self, binding: Binding, operation: Operation, version: Version) -> Option<&Rc<Places>> {
        self.requests.get(&(binding, Request::of(operation, version)?))
    }

    /// The places in the body of an answer.
    #[must_use]
    pub fn answer(&self, binding: Binding, operation: Operation) -> Option<&Rc<Places>> {
        self.answers.get(&(binding, Given::of(operation)?))
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Operation, Plans, Version};

    #[test]
    fn every_operation_but_cards_has_places() {
        let plans = Plans::new(None);
        for operation in Operation::ALL {
            for binding in [Binding::Jsonrpc, Binding::HttpJson] {
                let is_card = matches!(operation, Operation::GetAgentCard | Operation::GetExtendedAgentCard);
                for version in [Version::V0_3, Version::V1_0] {
                    assert_eq!(plans.request(binding, operation, version).is_none(), is_card);
                }
                assert_eq!(plans.answer(binding, operation).is_none(), is_card);
            }
            assert!(plans.request(Binding::Grpc, operation, Version::V1_0).is_none());
        }
    }
}

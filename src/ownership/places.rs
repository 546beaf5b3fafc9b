//! Where bodies name tasks and contexts: in requests below `params` (JSON-RPC) or from the top (HTTP+JSON), in answers
//! below `result` or from the top; the messages of gRPC are in `fields.rs`. The union over A2A 0.3 and 1.0 and their dialects (the JSON Schema's, the two
//! protobufs'), because an agent may read and write a dialect that its version does not have. Metadata, parts and words
//! meant for people are not places.

use super::tag::Subject;
use crate::protocol::{Operation, Version};
use crate::wire::protobuf;
use crate::wire::scan::{Asked, Keep, Plan, Step};
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
    plan: Form,
    places: Vec<(Asked, Place)>,
    mark: Option<Rc<str>>,
    is_rpc: bool,
}

/// What a scan has to ask for.
#[derive(Clone, Debug)]
pub enum Form {
    /// Of JSON, in single documents and in event streams.
    Json(Rc<Plan>),
    /// Of the messages of gRPC.
    Messages(Rc<protobuf::Plan>),
}

impl Places {
    /// Those of `shape` below `root`, and of `outside` above it. Marks stand below the key `mark`, if there are any.
    pub(super) fn new(root: &'static str, shape: Shape, outside: Table, mark: Option<&Rc<str>>) -> Self {
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
        Self { plan: Form::Json(Rc::new(plan)), places, mark: mark.cloned(), is_rpc: !root.is_empty() }
    }

    /// The places of a gRPC method's messages, which have no marks.
    pub(super) fn of_messages(plan: protobuf::Plan, places: Vec<(Asked, Place)>) -> Self {
        Self { plan: Form::Messages(Rc::new(plan)), places, mark: None, is_rpc: false }
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
    pub const fn form(&self) -> &Form {
        &self.plan
    }

    /// The same where it is JSON. Messages have nothing to ask for there, so that what is read for them finds nothing.
    #[must_use]
    pub fn json(&self) -> Rc<Plan> {
        match &self.plan {
            Form::Json(plan) => Rc::clone(plan),
            Form::Messages(_) => Rc::default(),
        }
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

/// Paths, with points between their names, and what stands there.
pub(super) type Table = &'static [(&'static str, Place)];
/// Tables, and the containers in which they hold.
pub(super) type Shape = &'static [(&'static str, Table)];

/// The id of a task.
pub(super) const TASK: Place = Place::Id(Subject::Task);
/// The id of a context.
pub(super) const CONTEXT: Place = Place::Id(Subject::Context);

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
pub(super) enum Request {
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
pub(super) enum Given {
    Tasks,
    List,
    Push,
}

impl Request {
    pub(super) const ALL: [Self; 5] = [Self::Send, Self::Task, Self::List, Self::Push, Self::PushOfId];

    pub(super) const fn of(operation: Operation, version: Version) -> Option<Self> {
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

    pub(super) const fn places(self) -> Shape {
        match self {
            Self::Send => SEND,
            Self::Task | Self::PushOfId => &[("", ID), ("", PUSH)],
            Self::List => &[("", LIST_OF)],
            Self::Push => &[("", PUSH), ("config", PUSH), ("pushNotificationConfig", &[("taskId", TASK)])],
        }
    }
}

impl Given {
    pub(super) const ALL: [Self; 3] = [Self::Tasks, Self::List, Self::Push];

    pub(super) const fn of(operation: Operation) -> Option<Self> {
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

    pub(super) const fn places(self) -> Shape {
        match self {
            Self::Tasks => TASKS,
            Self::List => LISTED,
            Self::Push => &[("", PUSH), ("*", PUSH), ("configs.*", PUSH), ("config", PUSH)],
        }
    }
}

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
    /// One of the tasks of a list.
    Item,
    /// The context of such a task.
    ItemContext,
}

/// The places of one kind of body. Made once.
#[derive(Clone, Debug)]
pub struct Places {
    plan: Form,
    places: Vec<(Asked, Place)>,
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
    /// The places of JSON below `root`.
    pub(super) fn new(root: Option<&'static str>, list: &List) -> Self {
        let mut plan = Plan::default();
        let mut places = Vec::new();
        for (path, place) in list {
            let steps = root.iter().chain(path).map(|name| if *name == EACH { Step::Element } else { Step::proto_json(name) });
            let asked = plan.ask(&steps.collect::<Vec<_>>(), Keep::Raw);
            if !places.contains(&(asked, *place)) {
                places.push((asked, *place));
            }
        }
        Self { plan: Form::Json(Rc::new(plan)), places }
    }

    /// The places of a gRPC method's messages.
    pub(super) fn of_messages(plan: protobuf::Plan, places: Vec<(Asked, Place)>) -> Self {
        Self { plan: Form::Messages(Rc::new(plan)), places }
    }

    /// What a scan has to ask for.
    #[must_use]
    pub const fn form(&self) -> &Form {
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

/// Places by the names that lead to them.
pub(super) type List = Vec<(Vec<&'static str>, Place)>;

/// The id of a task.
pub(super) const TASK: Place = Place::Id(Subject::Task);
/// The id of a context.
pub(super) const CONTEXT: Place = Place::Id(Subject::Context);

/// `container` and what is in it.
fn within(container: &[&'static str], list: List) -> List {
    list.into_iter().map(|(path, place)| ([container, &path].concat(), place)).collect()
}

fn message() -> List {
    vec![(vec!["taskId"], TASK), (vec!["contextId"], CONTEXT), (vec!["referenceTaskIds", EACH], TASK)]
}

/// A status and its message: in the protobuf of 0.3 the field's own name is `update`.
fn status() -> List {
    [within(&["status", "message"], message()), within(&["status", "update"], message())].concat()
}

fn update() -> List {
    [vec![(vec!["taskId"], TASK), (vec!["contextId"], CONTEXT)], status()].concat()
}

fn task(context: Place) -> List {
    [vec![(vec!["id"], TASK), (vec!["contextId"], context)], status(), within(&["history", EACH], message())].concat()
}

/// Whose a push-notification configuration is. Its own id is unique in its task and stays as it is.
fn push() -> List {
    vec![(vec!["taskId"], TASK), (vec!["name"], Place::Name), (vec!["parent"], Place::Name)]
}

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

    pub(super) fn places(self) -> List {
        match self {
            Self::Send => {
                let configs = ["taskPushNotificationConfig", "pushNotificationConfig", "pushNotification"];
                let configs = configs.iter().flat_map(|config| within(&["configuration", config], push()));
                let messages = [within(&["message"], message()), within(&["request"], message())].concat();
                messages.into_iter().chain(configs).collect()
            }
            Self::Task => [vec![(vec!["id"], TASK)], push()].concat(),
            Self::List => vec![(vec!["contextId"], CONTEXT)],
            Self::Push => [push(), within(&["config"], push()), within(&["pushNotificationConfig"], vec![(vec!["taskId"], TASK)])].concat(),
            Self::PushOfId => [vec![(vec!["id"], TASK)], push()].concat(),
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

    pub(super) fn places(self) -> List {
        match self {
            // Bare, or in the member that tells which; `msg` is the field's own name in the protobuf of 0.3.
            Self::Tasks => [
                task(CONTEXT),
                message(),
                within(&["task"], task(CONTEXT)),
                within(&["message"], message()),
                within(&["msg"], message()),
                within(&["statusUpdate"], update()),
                within(&["artifactUpdate"], update()),
            ]
            .concat(),
            Self::List => [vec![(vec!["tasks", EACH], Place::Item)], within(&["tasks", EACH], task(Place::ItemContext))].concat(),
            Self::Push => [push(), within(&[EACH], push()), within(&["configs", EACH], push()), within(&["config"], push())].concat(),
        }
    }
}

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
    /// One of the tasks of a list.
    Item,
    /// The context of such a task.
    ItemContext,
}

/// The places of one kind of body. Made once.
#[derive(Clone, Debug)]
pub struct Places {
    plan: Rc<Plan>,
    places: Vec<(Asked, Place)>,
}

impl Places {
    fn new(root: Option<&'static str>, list: &[(Vec<&'static str>, Place)]) -> Self {
        let mut plan = Plan::default();
        let mut places = Vec::new();
        for (path, place) in list {
            let steps = root.iter().chain(path).map(|name| if *name == EACH { Step::Element } else { Step::proto_json(name) });
            let asked = plan.ask(&steps.collect::<Vec<_>>(), Keep::Raw);
            if !places.contains(&(asked, *place)) {
                places.push((asked, *place));
            }
        }
        Self { plan: Rc::new(plan), places }
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

type List = Vec<(Vec<&'static str>, Place)>;

const TASK: Place = Place::Id(Subject::Task);
const CONTEXT: Place = Place::Id(Subject::Context);

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

    fn places(self) -> List {
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

    fn places(self) -> List {
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

/// Every kind of body. Made once for all agents.
#[derive(Debug)]
pub struct Plans {
    requests: SortedMap<(Binding, Request), Rc<Places>>,
    answers: SortedMap<(Binding, Given), Rc<Places>>,
}

impl Default for Plans {
    fn default() -> Self {
        let bindings = [(Binding::Jsonrpc, Some("params"), Some("result")), (Binding::HttpJson, None, None)];
        let request = |(binding, root, _)| {
            Request::ALL.into_iter().map(move |request| ((binding, request), Rc::new(Places::new(root, &request.places()))))
        };
        let answer =
            |(binding, _, root)| Given::ALL.into_iter().map(move |given| ((binding, given), Rc::new(Places::new(root, &given.places()))));
        Self { requests: bindings.into_iter().flat_map(request).collect(), answers: bindings.into_iter().flat_map(answer).collect() }
    }
}

impl Plans {
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
        let plans = Plans::default();
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

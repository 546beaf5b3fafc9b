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
    /// Those of `list` below `root`, and of `outside` above it. Marks stand below the key `mark`, if there are any.
    fn new(root: Option<&'static str>, list: &List, outside: &List, mark: Option<&Rc<str>>) -> Self {
        let mut plan = Plan::default();
        let mut places = Vec::new();
        let step = |name: &&str| match (*name, mark) {
            (EACH, _) => Step::Element,
            (MARK, Some(key)) => Step::key(key),
            (name, _) => Step::proto_json(name),
        };
        let mut add = |root: Option<&'static str>, (path, place): &(Vec<&'static str>, Place)| {
            if mark.is_none() && place.is_of_marks() {
                return;
            }
            let steps: Vec<_> = root.iter().chain(path).map(step).collect();
            let asked = if place.ends() { plan.ask_end(&steps) } else { plan.ask(&steps, Keep::Raw) };
            if !places.contains(&(asked, *place)) {
                places.push((asked, *place));
            }
        };
        list.iter().for_each(|place| add(root, place));
        outside.iter().for_each(|place| add(None, place));
        Self { plan: Rc::new(plan), places, mark: mark.cloned(), is_rpc: root.is_some() }
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
const MARK: &str = "";

type List = Vec<(Vec<&'static str>, Place)>;

const TASK: Place = Place::Id(Subject::Task);
const CONTEXT: Place = Place::Id(Subject::Context);

/// `container` and what is in it.
fn within(container: &[&'static str], list: List) -> List {
    list.into_iter().map(|(path, place)| ([container, &path].concat(), place)).collect()
}

/// What has metadata, into which an agent may have copied the mark.
fn marked(mark: Place) -> List {
    vec![(vec!["metadata"], Place::Metadata), (vec!["metadata", MARK], mark)]
}

fn message() -> List {
    said(Place::Mark)
}

fn said(mark: Place) -> List {
    [vec![(vec!["taskId"], TASK), (vec!["contextId"], CONTEXT), (vec!["referenceTaskIds", EACH], TASK)], marked(mark)].concat()
}

/// A status and its message: in the protobuf of 0.3 the field's own name is `update`.
fn status() -> List {
    [within(&["status", "message"], message()), within(&["status", "update"], message())].concat()
}

fn update() -> List {
    let ids = vec![(vec!["taskId"], TASK), (vec!["contextId"], CONTEXT)];
    [ids, status(), marked(Place::Mark), within(&["artifact"], marked(Place::Mark))].concat()
}

fn task(context: Place) -> List {
    let ids = vec![(vec!["id"], TASK), (vec!["contextId"], context)];
    let history = within(&["history", EACH], said(Place::SaidMark));
    [ids, status(), history, marked(Place::Mark), within(&["artifacts", EACH], marked(Place::Mark))].concat()
}

/// A task of a list.
fn item() -> List {
    let history = vec![
        (vec![], Place::Item),
        (vec!["history"], Place::History),
        (vec!["history", EACH], Place::Said),
        (vec!["history", EACH, "role"], Place::Role),
    ];
    [history, task(Place::ItemContext)].concat()
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
                let messages = ["message", "request"]
                    .into_iter()
                    .flat_map(|name| within(&[name], [vec![(vec![], Place::Message)], message()].concat()));
                // An agent may take the request's metadata for the message's.
                messages.chain(configs).chain([(vec!["metadata", MARK], Place::Mark)]).collect()
            }
            Self::Task => [vec![(vec!["id"], TASK)], push()].concat(),
            Self::List => vec![
                (vec![], Place::Params),
                (vec!["contextId"], CONTEXT),
                (vec!["pageToken"], Place::PageToken),
                (vec!["historyLength"], Place::HistoryLength),
            ],
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
                update(),
                within(&["task"], task(CONTEXT)),
                within(&["message"], message()),
                within(&["msg"], message()),
                within(&["statusUpdate"], update()),
                within(&["artifactUpdate"], update()),
            ]
            .concat(),
            Self::List => {
                let list = vec![
                    (vec![], Place::List),
                    (vec!["tasks"], Place::Tasks),
                    (vec!["nextPageToken"], Place::PageToken),
                    (vec!["pageSize"], Place::PageSize),
                ];
                [list, within(&["tasks", EACH], item())].concat()
            }
            Self::Push => [push(), within(&[EACH], push()), within(&["configs", EACH], push()), within(&["config"], push())].concat(),
        }
    }
}

/// Every kind of body. Made once for all agents with the same mark.
#[derive(Debug)]
pub struct Plans {
    requests: SortedMap<(Binding, Request), Rc<Places>>,
    answers: SortedMap<(Binding, Given), Rc<Places>>,
}

impl Default for Plans {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Plans {
    /// Where marks stand below this key of metadata, if there are any.
    #[must_use]
    pub fn new(mark: Option<&str>) -> Self {
        let mark = mark.map(Rc::from);
        let mut plans = Self { requests: SortedMap::new(), answers: SortedMap::new() };
        for (binding, params, result) in [(Binding::Jsonrpc, Some("params"), Some("result")), (Binding::HttpJson, None, None)] {
            for request in Request::ALL {
                let outside = if request == Request::List && params.is_some() { vec![(vec![], Place::Request)] } else { Vec::new() };
                plans.requests.insert((binding, request), Rc::new(Places::new(params, &request.places(), &outside, mark.as_ref())));
            }
            for given in Given::ALL {
                let mut outside = if given == Given::List { vec![(vec!["error"], Place::Error)] } else { Vec::new() };
                outside.extend((given == Given::List && result.is_some()).then_some((vec!["id"], Place::AnswerId)));
                plans.answers.insert((binding, given), Rc::new(Places::new(result, &given.places(), &outside, mark.as_ref())));
            }
        }
        plans
    }

    /// Whether there are marks.
    #[must_use]
    pub fn has_marks(&self) -> bool {
        self.requests.values().any(|places| places.mark().is_some())
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

//! Where gRPC messages name tasks and contexts: the [`places`](super::places) by field number, in the messages of `a2a.v1` (A2A 0.2.2 to
//! 0.3) and `lf.a2a.v1` (1.0). A package's numbers are its own, so each method has its plan.

use super::places::{CONTEXT, Place, Places, TASK};
use crate::protocol::{Operation, Version};
use crate::wire::protobuf::Step::{Choice, Each, One};
use crate::wire::protobuf::{Plan, Step, Type};
use crate::wire::scan::Keep;
use crate::wire::sorted::SortedMap;
use std::rc::Rc;

type List = Vec<(Vec<Step>, Place)>;

/// `container` and what is in it.
fn within(container: &[Step], list: List) -> List {
    list.into_iter().map(|(path, place)| ([container, &path].concat(), place)).collect()
}

fn one(number: u32, place: Place) -> List {
    vec![(vec![One(number)], place)]
}

/// A message. 0.3 came to have the tasks that it refers to late, under the number of 1.0.
fn message() -> List {
    vec![(vec![One(2)], CONTEXT), (vec![One(3)], TASK), (vec![Each(8)], TASK)]
}

/// What an update event begins with, and a task: its ids and its status.
fn update(context: Place) -> List {
    [one(1, TASK), one(2, context), within(&[One(3), One(2)], message())].concat()
}

fn task(context: Place) -> List {
    [update(context), within(&[Each(5)], message())].concat()
}

/// Whose a push-notification configuration is.
fn push(version: Version) -> List {
    match version {
        Version::V0_3 => one(1, Place::Name),
        Version::V1_0 => one(3, TASK),
    }
}

fn request(operation: Operation, version: Version) -> Option<List> {
    Some(match (operation, version) {
        (Operation::SendMessage | Operation::SendStreamingMessage, Version::V0_3) => within(&[One(1)], message()),
        (Operation::SendMessage | Operation::SendStreamingMessage, Version::V1_0) => {
            [within(&[One(2)], message()), within(&[One(3), One(2)], push(version))].concat()
        }
        (Operation::ListTasks, Version::V1_0) => [one(2, CONTEXT), one(5, Place::PageToken)].concat(),
        (Operation::CreateTaskPushNotificationConfig, Version::V0_3) => [one(1, Place::Name), within(&[One(3)], push(version))].concat(),
        (Operation::CreateTaskPushNotificationConfig, Version::V1_0) => push(version),
        (Operation::ListTaskPushNotificationConfigs, Version::V1_0) => one(1, TASK),
        (
            Operation::GetTask
            | Operation::CancelTask
            | Operation::SubscribeToTask
            | Operation::GetTaskPushNotificationConfig
            | Operation::ListTaskPushNotificationConfigs
            | Operation::DeleteTaskPushNotificationConfig,
            Version::V0_3,
        ) => one(1, Place::Name),
        (
            Operation::GetTask
            | Operation::CancelTask
            | Operation::SubscribeToTask
            | Operation::GetTaskPushNotificationConfig
            | Operation::DeleteTaskPushNotificationConfig,
            Version::V1_0,
        ) => one(2, TASK),
        (Operation::ListTasks, Version::V0_3) | (Operation::GetExtendedAgentCard | Operation::GetAgentCard, _) => return None,
    })
}

fn answer(operation: Operation, version: Version) -> Option<List> {
    Some(match operation {
        // A stream's events may also be updates, of which an answer knows nothing.
        Operation::SendMessage | Operation::SendStreamingMessage | Operation::SubscribeToTask => [
            within(&[Choice(1)], task(CONTEXT)),
            within(&[Choice(2)], message()),
            within(&[Choice(3)], update(CONTEXT)),
            within(&[Choice(4)], [one(1, TASK), one(2, CONTEXT)].concat()),
        ]
        .concat(),
        Operation::GetTask | Operation::CancelTask => task(CONTEXT),
        Operation::ListTasks => {
            [vec![(vec![Each(1)], Place::Item)], within(&[Each(1)], task(Place::ItemContext)), one(2, Place::PageToken)].concat()
        }
        Operation::CreateTaskPushNotificationConfig | Operation::GetTaskPushNotificationConfig => push(version),
        Operation::ListTaskPushNotificationConfigs => within(&[Each(1)], push(version)),
        // It is empty.
        Operation::DeleteTaskPushNotificationConfig => Vec::new(),
        Operation::GetExtendedAgentCard | Operation::GetAgentCard => return None,
    })
}

fn places(list: List) -> Rc<Places> {
    let mut plan = Plan::default();
    let places = list.into_iter().map(|(path, place)| match place {
        Place::Item => (plan.ask(&path, Type::Message, Keep::Kind), place),
        _ => (plan.ask(&path, Type::Text, Keep::Text), place),
    });
    let places = places.collect();
    Rc::new(Places::of_messages(plan, places))
}

/// The places of what a request is about: of a message that is sent, its own task and context.
pub(super) fn named(operation: Operation, version: Version) -> Option<Rc<Places>> {
    let mut list = request(operation, version)?;
    if matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage) {
        list.retain(|(path, _)| matches!(path.as_slice(), [One(_), One(_)]));
    }
    Some(places(list))
}

/// The places of every id in a message that is sent.
pub(super) fn sent(version: Version) -> Option<Rc<Places>> {
    request(Operation::SendMessage, version).map(places)
}

/// The places of every method's messages. Made once for all agents.
#[derive(Debug)]
pub struct Methods {
    requests: SortedMap<(Operation, Version), Rc<Places>>,
    answers: SortedMap<(Operation, Version), Rc<Places>>,
}

impl Default for Methods {
    fn default() -> Self {
        let all = || Operation::ALL.into_iter().flat_map(|operation| [Version::V0_3, Version::V1_0].map(|version| (operation, version)));
        let made = |of: fn(Operation, Version) -> Option<List>| {
            all().filter_map(|(operation, version)| Some(((operation, version), places(of(operation, version)?)))).collect()
        };
        Self { requests: made(request), answers: made(answer) }
    }
}

impl Methods {
    /// The places in the message of a request; `None` if it names no task.
    #[must_use]
    pub fn request(&self, operation: Operation, version: Version) -> Option<&Rc<Places>> {
        self.requests.get(&(operation, version))
    }

    /// The places in the messages of an answer.
    #[must_use]
    pub fn answer(&self, operation: Operation, version: Version) -> Option<&Rc<Places>> {
        self.answers.get(&(operation, version))
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::Problem;
    use super::super::plans::Plans;
    use super::super::tag::tests::{shown, tagger};
    use super::super::tag::{Subject, Tagger};
    use super::super::{Answer, RequestBody};
    use crate::protocol::{Binding, Operation, Version};
    use crate::wire::scan::Limits;
    use std::rc::Rc;

    /// A message of text fields in its frame.
    fn message(fields: &[(u8, &str)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (number, text) in fields {
            body.extend([number << 3 | 2, u8::try_from(text.len()).unwrap()]);
            body.extend_from_slice(text.as_bytes());
        }
        [&[0, 0, 0, 0, u8::try_from(body.len()).unwrap()][..], &body].concat()
    }

    #[test]
    fn a_page_of_a_list_belongs_to_its_caller() {
        let plans = Plans::new(None);
        let given = plans.answer(Binding::Grpc, Operation::ListTasks, Version::V1_0).unwrap();
        let mut answer = Answer::new(Rc::clone(given), tagger("ann"), Some("c1".to_owned()), false);
        let page = answer.feed(&message(&[(2, "t-foreign")])).unwrap();
        assert!(!String::from_utf8_lossy(&page).contains("t-foreign"), "{page:?}");
        let token = std::str::from_utf8(page.get(7..).unwrap()).unwrap();
        let asked = |who: Rc<Tagger>, token: &str| {
            let context = shown(&who, Subject::Context, "c1");
            let places = plans.request(Binding::Grpc, Operation::ListTasks, Version::V1_0).unwrap();
            RequestBody::new(Limits::default(), Rc::clone(places), who).feed(&message(&[(2, &context), (5, token)]))
        };
        assert_eq!(asked(tagger("ann"), token), Ok(message(&[(2, "c1"), (5, "t-foreign")])));
        assert_eq!(asked(tagger("bob"), token), Err(Problem::Page));
        assert_eq!(asked(tagger("ann"), "t-foreign"), Err(Problem::Page));
        assert_eq!(asked(tagger("ann"), ""), Ok(message(&[(2, "c1"), (5, "")])));
    }
}

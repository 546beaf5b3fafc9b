//! Where requests say what policy asks for: in JSON-RPC below `params`, in HTTP+JSON from the top. The union over
//! A2A 0.3 and 1.0 and their dialects (the JSON Schema's, the two protobufs'), because an agent may read a dialect
//! that its version does not have. Finding the places in a body is the scanner's work, which also refuses names that
//! resemble these in case only. The places of gRPC messages, which are no JSON, are in [`fields`](super::fields).

use crate::protocol::Operation;
use crate::wire::scan::{Asked, Findings, Keep, Kind, Step, Value};

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fact {
    /// A push-notification configuration inside a send request.
    PushConfig,
    /// The URL of a push-notification configuration.
    PushUrl,
    /// What goes into headers of notifications: token, scheme, credentials.
    PushCredential,
    /// One part of the message.
    Part,
    /// The name of its kind (0.3).
    PartKind,
    /// Its text.
    PartText,
    /// Its file: an object (0.3), bytes or a URL (1.0).
    PartFile,
    /// Its data.
    PartData,
    /// How many messages of a task's history are wanted.
    HistoryLength,
    /// A media type that the caller accepts.
    OutputMode,
}

/// Longest text that is looked at: a scan has to keep this much.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Names of the query parameter that says the history length in HTTP+JSON.
pub const HISTORY_LENGTH_PARAMETERS: [&str; 2] = ["historyLength", "history_length"];

/// Stands for every element of an array.
const EACH: &str = "*";

/// The message: its JSON name, and the field's own in the protobuf of 0.3.
const MESSAGES: [&str; 2] = ["message", "request"];
/// Its parts: everywhere, and in the protobuf of 0.3.
const PARTS: [&str; 2] = ["parts", "content"];
const PART_MEMBERS: [(&str, Fact); 6] = [
    ("kind", Fact::PartKind),
    ("text", Fact::PartText),
    ("file", Fact::PartFile),
    ("raw", Fact::PartFile),
    ("url", Fact::PartFile),
    ("data", Fact::PartData),
];
/// Configurations inside send requests: 1.0, 0.3, the protobuf of 0.3.
pub(super) const INLINE: [&[&str]; 3] = [
    &["configuration", "taskPushNotificationConfig"],
    &["configuration", "pushNotificationConfig"],
    &["configuration", "pushNotification"],
];
/// Configurations of create and set: 1.0; 0.3; the two forms of HTTP+JSON 0.3 that wrap them.
pub(super) const CREATED: [&[&str]; 4] = [&[], &["pushNotificationConfig"], &["config", "pushNotificationConfig"], &["config"]];
const PUSH_MEMBERS: [(&[&str], Fact); 5] = [
    (&["url"], Fact::PushUrl),
    (&["token"], Fact::PushCredential),
    (&["authentication", "scheme"], Fact::PushCredential),
    (&["authentication", "schemes", EACH], Fact::PushCredential),
    (&["authentication", "credentials"], Fact::PushCredential),
];

impl Fact {
    /// How many there are.
    const COUNT: usize = Self::OutputMode as usize + 1;

    /// How much of a value tells the fact.
    #[must_use]
    pub const fn keep(self) -> Keep {
        match self {
            Self::PushUrl | Self::PushCredential | Self::PartKind | Self::HistoryLength | Self::OutputMode => Keep::Text,
            Self::PushConfig | Self::Part | Self::PartText | Self::PartFile | Self::PartData => Keep::Kind,
        }
    }
}

/// Operations whose bodies have the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Shape {
    Send,
    Create,
    Read,
}

const fn shape(operation: Operation) -> Option<Shape> {
    match operation {
        Operation::SendMessage | Operation::SendStreamingMessage => Some(Shape::Send),
        Operation::CreateTaskPushNotificationConfig => Some(Shape::Create),
        Operation::GetTask | Operation::ListTasks => Some(Shape::Read),
        Operation::CancelTask
        | Operation::SubscribeToTask
        | Operation::GetTaskPushNotificationConfig
        | Operation::ListTaskPushNotificationConfigs
        | Operation::DeleteTaskPushNotificationConfig
        | Operation::GetExtendedAgentCard
        | Operation::GetAgentCard => None,
    }
}

/// Every place, in camelCase.
fn places() -> Vec<(Shape, Vec<&'static str>, Fact)> {
    let mut found = vec![
        (Shape::Read, vec!["historyLength"], Fact::HistoryLength),
        (Shape::Send, vec!["configuration", "historyLength"], Fact::HistoryLength),
        (Shape::Send, vec!["configuration", "acceptedOutputModes", EACH], Fact::OutputMode),
    ];
    for (message, parts) in MESSAGES.iter().flat_map(|message| PARTS.iter().map(move |parts| (*message, *parts))) {
        found.push((Shape::Send, vec![message, parts, EACH], Fact::Part));
        found.extend(PART_MEMBERS.iter().map(|(member, fact)| (Shape::Send, vec![message, parts, EACH, *member], *fact)));
    }
    let configs = INLINE.map(|container| (Shape::Send, container)).into_iter().chain(CREATED.map(|container| (Shape::Create, container)));
    for (shape, container) in configs {
        if shape == Shape::Send {
            found.push((shape, container.to_vec(), Fact::PushConfig));
        }
        found.extend(PUSH_MEMBERS.iter().map(|(member, fact)| (shape, [container, *member].concat(), *fact)));
    }
    found
}

/// The steps of a path in camelCase: ProtoJSON readers take snake_case as well.
fn steps(path: &[&str]) -> Vec<Step> {
    let step = |name: &&str| match *name {
        EACH => Step::Element,
        name => {
            let snake = snake_case(name);
            if snake == name { Step::member(&[name]) } else { Step::member(&[name, &snake]) }
        }
    };
    path.iter().map(step).collect()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The places of metadata called `key` in send requests: in the message. The key is the operator's own and has one
/// spelling. At most one of the places is there in a request that an agent understands.
#[must_use]
pub fn metadata(key: &str) -> [Vec<Step>; 2] {
    MESSAGES.map(|message| vec![Step::member(&[message]), Step::member(&["metadata"]), Step::key(key)])
}

/// The places that a scan watches for some facts. Made once: an operation may become known only behind its places,
/// so those of all operations are watched, and `Facts` tells them apart.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// In the order of [`Shape`].
    shapes: [Questions; 3],
}

/// What is asked of bodies of one shape.
#[derive(Clone, Debug, Default)]
struct Questions {
    /// In the order of the facts.
    asked: Vec<Asked>,
    /// By fact, where the next one's begin.
    ends: [usize; Fact::COUNT],
}

impl Questions {
    fn new(mut asked: Vec<(Fact, Asked)>) -> Self {
        asked.sort_by_key(|(fact, _)| *fact);
        let mut ends = [0; Fact::COUNT];
        for (fact, end) in (0_u8..).zip(&mut ends) {
            *end = asked.partition_point(|(own, _)| *own as u8 <= fact);
        }
        Self { asked: asked.into_iter().map(|(_, asked)| asked).collect(), ends }
    }

    fn of(&self, fact: Fact) -> &[Asked] {
        let place = usize::from(fact as u8);
        let end = |place: usize| self.ends.get(place).copied().unwrap_or_default();
        let begin = place.checked_sub(1).map_or(0, end);
        self.asked.get(begin..end(place)).unwrap_or_default()
    }
}

impl Watched {
    /// Asks for `facts` through `ask`, whose paths begin at the parameters.
    pub fn ask(facts: &[Fact], mut ask: impl FnMut(&[Step], Keep) -> Asked) -> Self {
        let wanted = places().into_iter().filter(|(_, _, fact)| facts.contains(fact));
        let all: Vec<_> = wanted.map(|(shape, path, fact)| (shape, fact, ask(&steps(&path), fact.keep()))).collect();
        let of = |shape| Questions::new(all.iter().filter(|(own, ..)| *own == shape).map(|(_, fact, asked)| (*fact, *asked)).collect());
        Self { shapes: [Shape::Send, Shape::Create, Shape::Read].map(of) }
    }

    /// Questions of one operation that were asked elsewhere.
    pub(super) fn of(operation: Operation, asked: impl Iterator<Item = (Fact, Asked)>) -> Self {
        let mut watched = Self::default();
        if let Some(questions) = shape(operation).and_then(|shape| watched.shapes.get_mut(usize::from(shape as u8))) {
            *questions = Questions::new(asked.collect());
        }
        watched
    }

    fn shape(&self, operation: Operation) -> Option<&Questions> {
        self.shapes.get(usize::from(shape(operation)? as u8))
    }

    /// The questions that matter to `operation`: when all are settled, so is what depends on them.
    #[must_use]
    pub fn questions(&self, operation: Operation) -> &[Asked] {
        self.shape(operation).map_or(&[], |questions| &questions.asked)
    }
}

/// What a scan has found of the places that matter to one operation.
pub struct Facts<'a> {
    questions: Option<&'a Questions>,
    findings: &'a dyn Fn(Asked) -> &'a Findings,
}

impl<'a> Facts<'a> {
    /// Takes what `findings` has of each question.
    pub fn new(watched: &'a Watched, operation: Operation, findings: &'a dyn Fn(Asked) -> &'a Findings) -> Self {
        Self { questions: watched.shape(operation), findings }
    }

    fn of(&self, fact: Fact) -> impl Iterator<Item = &'a Findings> {
        let findings = self.findings;
        self.questions.map_or(&[][..], |questions| questions.of(fact)).iter().map(move |asked| findings(*asked))
    }

    /// The different values of a fact, `null` aside: in ProtoJSON it is as good as absent.
    pub fn values(&self, fact: Fact) -> impl Iterator<Item = &'a Value> {
        self.of(fact).flat_map(|findings| findings.values.iter()).filter(|value| value.kind != Kind::Null)
    }

    /// How often a fact was there, where it was ever anything but `null`.
    #[must_use]
    pub fn count(&self, fact: Fact) -> usize {
        let said = self.of(fact).filter(|findings| findings.values.iter().any(|value| value.kind != Kind::Null));
        said.map(|findings| findings.count).fold(0, usize::saturating_add)
    }

    /// How often a fact was there, also as `null`.
    #[must_use]
    pub fn count_with_null(&self, fact: Fact) -> usize {
        self.of(fact).map(|findings| findings.count).fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Fact, Facts, Operation, Shape, Step, Watched, metadata, places, steps};
    use crate::wire::scan::{Document, Limits, Plan};
    use serde_json::Value;
    use std::rc::Rc;

    pub(in crate::policy) const EVERY: [Fact; 10] = [
        Fact::PushConfig,
        Fact::PushUrl,
        Fact::PushCredential,
        Fact::Part,
        Fact::PartKind,
        Fact::PartText,
        Fact::PartFile,
        Fact::PartData,
        Fact::HistoryLength,
        Fact::OutputMode,
    ];

    /// What a scan of `body` finds, handed to `then`.
    pub(in crate::policy) fn scan<T>(operation: Operation, body: &Value, then: impl FnOnce(&Facts<'_>) -> T) -> T {
        let mut plan = Plan::default();
        let watched = Watched::ask(&EVERY, |path, keep| plan.ask(path, keep));
        let mut document = Document::new(Limits { text: super::MAX_TEXT_BYTES, ..Limits::default() }, Rc::new(plan));
        document.feed(body.to_string().as_bytes()).unwrap();
        document.end().unwrap();
        then(&Facts::new(&watched, operation, &|asked| document.findings(asked)))
    }

    fn at(shape: Shape, fact: Fact) -> Vec<String> {
        let mine = places().into_iter().filter(|(own, _, given)| (*own, *given) == (shape, fact));
        mine.map(|(_, path, _)| path.join("/")).collect()
    }

    #[test]
    fn push_urls_of_every_dialect() {
        assert_eq!(
            at(Shape::Send, Fact::PushUrl),
            [
                "configuration/taskPushNotificationConfig/url",
                "configuration/pushNotificationConfig/url",
                "configuration/pushNotification/url"
            ]
        );
        assert_eq!(
            at(Shape::Create, Fact::PushUrl),
            ["url", "pushNotificationConfig/url", "config/pushNotificationConfig/url", "config/url"]
        );
        assert!(at(Shape::Create, Fact::PushCredential).contains(&"pushNotificationConfig/authentication/schemes/*".to_owned()));
    }

    #[test]
    fn parts_and_history_of_every_dialect() {
        assert_eq!(at(Shape::Send, Fact::Part), ["message/parts/*", "message/content/*", "request/parts/*", "request/content/*"]);
        assert_eq!(at(Shape::Send, Fact::PartFile).len(), 12);
        assert_eq!(at(Shape::Read, Fact::HistoryLength), ["historyLength"]);
        assert_eq!(at(Shape::Send, Fact::HistoryLength), ["configuration/historyLength"]);
    }

    #[test]
    fn both_spellings_are_one_step() {
        assert_eq!(
            steps(&["configuration", "taskPushNotificationConfig", "*"]),
            [
                Step::member(&["configuration"]),
                Step::member(&["taskPushNotificationConfig", "task_push_notification_config"]),
                Step::Element
            ]
        );
        assert_eq!(metadata("skillId")[0], [Step::member(&["message"]), Step::member(&["metadata"]), Step::key("skillId")]);
    }

    #[test]
    fn a_place_counts_only_for_the_operations_that_have_it() {
        let body =
            serde_json::json!({"url": "https://a.example/", "historyLength": null, "message": {"parts": [{"text": "x"}, {"text": null}]}});
        scan(Operation::CreateTaskPushNotificationConfig, &body, |facts| {
            assert_eq!(facts.values(Fact::PushUrl).map(|value| value.text.as_deref()).collect::<Vec<_>>(), [Some("https://a.example/")]);
            assert_eq!(facts.count(Fact::Part), 0);
        });
        scan(Operation::SendMessage, &body, |facts| {
            assert_eq!((facts.count(Fact::PushUrl), facts.count(Fact::Part), facts.count(Fact::PartText)), (0, 2, 2));
        });
        scan(Operation::GetTask, &body, |facts| {
            assert_eq!((facts.count(Fact::HistoryLength), facts.count_with_null(Fact::HistoryLength)), (0, 1));
        });
        scan(Operation::CancelTask, &body, |facts| assert!(facts.questions.is_none()));
    }
}

//! Where gRPC messages say what policy asks for: the [`places`](super::places) by field number, in the messages of
//! `a2a.v1` (A2A 0.2.2 to 0.3) and `lf.a2a.v1` (1.0). A package's numbers are its own, so each method has its plan.

use super::places::{Fact, Watched};
use crate::protocol::{Operation, Version};
use crate::wire::protobuf::{Step, Type};
use crate::wire::scan::{Asked, Keep};

/// A path to something in a message, what it is declared as, and what it says.
type Place = (Vec<Step>, Type, Fact);

/// The message of a send request.
const fn message(version: Version) -> u32 {
    match version {
        Version::V0_3 => 1,
        Version::V1_0 => 2,
    }
}

/// The configuration of a send request.
const fn configuration(version: Version) -> u32 {
    match version {
        Version::V0_3 => 2,
        Version::V1_0 => 3,
    }
}

/// Every place of a method's message.
fn places(operation: Operation, version: Version) -> Vec<Place> {
    match (operation, version) {
        (Operation::SendMessage | Operation::SendStreamingMessage, _) => send(version),
        (Operation::CreateTaskPushNotificationConfig, _) => push(&config(operation, version), version),
        (Operation::GetTask, Version::V1_0) => vec![history(&[Step::One(3)])],
        (Operation::ListTasks, Version::V1_0) => vec![history(&[Step::One(6)])],
        (Operation::GetTask, Version::V0_3) => vec![history(&[Step::One(2)])],
        _ => Vec::new(),
    }
}

fn send(version: Version) -> Vec<Place> {
    let part = [Step::One(message(version)), Step::Each(5)];
    let within = |base: &[Step], step: Step| [base, &[step]].concat();
    let contents = match version {
        Version::V0_3 => {
            vec![(1, Type::Text, Fact::PartText), (2, Type::Message, Fact::PartFile), (3, Type::Message, Fact::PartData)]
        }
        Version::V1_0 => vec![
            (1, Type::Text, Fact::PartText),
            (2, Type::Bytes, Fact::PartFile),
            (3, Type::Text, Fact::PartFile),
            (4, Type::Message, Fact::PartData),
        ],
    };
    let settings = [Step::One(configuration(version))];
    let mut found = vec![(part.to_vec(), Type::Message, Fact::Part)];
    found.extend(contents.into_iter().map(|(number, kind, fact)| (within(&part, Step::Choice(number)), kind, fact)));
    found.push((within(&settings, Step::Each(1)), Type::Text, Fact::OutputMode));
    found.push(history(&within(&settings, Step::One(3))));
    let config = config(Operation::SendMessage, version);
    found.push((config.clone(), Type::Message, Fact::PushConfig));
    found.extend(push(&config, version));
    found
}

fn history(path: &[Step]) -> Place {
    (path.to_vec(), Type::Int32, Fact::HistoryLength)
}

/// The fields that lead to the push-notification configuration of a method's message, if it has one.
#[must_use]
pub(super) const fn config_path(operation: Operation, version: Version) -> Option<&'static [u32]> {
    match (operation, version) {
        (Operation::SendMessage | Operation::SendStreamingMessage, Version::V0_3) => Some(&[2, 2]),
        (Operation::SendMessage | Operation::SendStreamingMessage, Version::V1_0)
        | (Operation::CreateTaskPushNotificationConfig, Version::V0_3) => Some(&[3, 2]),
        (Operation::CreateTaskPushNotificationConfig, Version::V1_0) => Some(&[]),
        _ => None,
    }
}

fn config(operation: Operation, version: Version) -> Vec<Step> {
    config_path(operation, version).unwrap_or_default().iter().map(|number| Step::One(*number)).collect()
}

/// The URL, the token and the authentication of a push-notification configuration.
#[must_use]
pub(super) const fn config_fields(version: Version) -> (u32, u32, u32) {
    match version {
        Version::V0_3 => (2, 3, 4),
        Version::V1_0 => (4, 5, 6),
    }
}

/// A push-notification configuration: of its own in 0.3, with its task in 1.0.
fn push(base: &[Step], version: Version) -> Vec<Place> {
    let (url, token, authentication) = config_fields(version);
    let scheme = match version {
        Version::V0_3 => Step::Each(1),
        Version::V1_0 => Step::One(1),
    };
    let text = |steps: &[Step], fact| ([base, steps].concat(), Type::Text, fact);
    vec![
        text(&[Step::One(url)], Fact::PushUrl),
        text(&[Step::One(token)], Fact::PushCredential),
        text(&[Step::One(authentication), scheme], Fact::PushCredential),
        text(&[Step::One(authentication), Step::One(2)], Fact::PushCredential),
    ]
}

/// The place of metadata called `key` in send requests: in the message. It is a [`Type::Value`].
#[must_use]
pub fn metadata(version: Version, key: &str) -> Vec<Step> {
    vec![Step::One(message(version)), Step::One(6), Step::Key(key.into())]
}

/// Asks for `facts` of a method's message through `ask`.
pub fn watch(facts: &[Fact], operation: Operation, version: Version, mut ask: impl FnMut(&[Step], Type, Keep) -> Asked) -> Watched {
    let wanted = places(operation, version).into_iter().filter(|(_, _, fact)| facts.contains(fact));
    Watched::of(operation, wanted.map(|(path, kind, fact)| (fact, ask(&path, kind, fact.keep()))))
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Fact, Operation, Version, metadata, watch};
    use crate::policy::places::Facts;
    use crate::policy::places::tests::EVERY;
    use crate::wire::grpc_frame::{Body, wrap};
    use crate::wire::protobuf::{Plan, Type, Writer};
    use crate::wire::scan::{Keep, Limits};
    use std::rc::Rc;

    /// What a scan of `message` finds, handed to `then`.
    pub(in crate::policy) fn scan<T>(operation: Operation, version: Version, message: &[u8], then: impl FnOnce(&Facts<'_>) -> T) -> T {
        let mut plan = Plan::default();
        let watched = watch(&EVERY, operation, version, |path, kind, keep| plan.ask(path, kind, keep));
        let mut body = Body::new(Limits::default(), Rc::new(plan));
        body.feed(&wrap(message).unwrap()).unwrap();
        body.end().unwrap();
        assert!(watched.questions(operation).iter().all(|asked| body.is_settled(*asked)));
        then(&Facts::new(&watched, operation, &|asked| body.findings(asked)))
    }

    /// A message with these fields of bytes.
    pub(in crate::policy) fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::default();
        fields.iter().for_each(|(number, bytes)| writer.bytes(*number, bytes));
        writer.end()
    }

    fn texts(facts: &Facts<'_>, fact: Fact) -> Vec<String> {
        facts.values(fact).map(|value| value.text.as_deref().unwrap_or("?").to_owned()).collect()
    }

    #[test]
    fn push_configurations_of_both_packages() {
        let old = message(&[(2, b"url"), (3, b"token"), (4, &message(&[(1, b"Basic"), (1, b"Bearer"), (2, b"secret")]))]);
        let new = message(&[(3, b"task"), (4, b"url"), (5, b"token"), (6, &message(&[(1, b"Basic"), (2, b"secret")]))]);
        let create = Operation::CreateTaskPushNotificationConfig;
        for (operation, version, bytes) in [
            (create, Version::V1_0, new.clone()),
            (create, Version::V0_3, message(&[(1, b"tasks/t"), (3, &message(&[(1, b"name"), (2, &old)]))])),
            (Operation::SendMessage, Version::V1_0, message(&[(3, &message(&[(2, &new)]))])),
            (Operation::SendStreamingMessage, Version::V0_3, message(&[(2, &message(&[(2, &old)]))])),
        ] {
            scan(operation, version, &bytes, |facts| {
                assert_eq!(texts(facts, Fact::PushUrl), ["url"]);
                let credentials: &[&str] =
                    if version == Version::V0_3 { &["token", "Basic", "Bearer", "secret"] } else { &["token", "Basic", "secret"] };
                assert_eq!(texts(facts, Fact::PushCredential), credentials);
                assert_eq!(facts.count(Fact::PushConfig), usize::from(operation != create));
            });
        }
    }

    #[test]
    fn parts_modes_and_history_of_both_packages() {
        for (version, file) in [(Version::V1_0, 3), (Version::V0_3, 2)] {
            let data = file + 1;
            let part = |number: u32| message(&[(number, b"")]);
            let said = message(&[(1, b"id"), (5, &part(1)), (5, &part(file)), (5, &part(data)), (5, &message(&[(9, b"new")]))]);
            let mut configuration = Writer::default();
            configuration.bytes(1, b"text/plain");
            configuration.bytes(1, b"image/png");
            configuration.varint(3, 7);
            let bytes = message(&[(super::message(version), &said), (super::configuration(version), &configuration.end())]);
            scan(Operation::SendMessage, version, &bytes, |facts| {
                assert_eq!(facts.count(Fact::Part), 4);
                assert_eq!([Fact::PartText, Fact::PartFile, Fact::PartData].map(|fact| facts.count(fact)), [1, 1, 1]);
                assert_eq!(texts(facts, Fact::OutputMode), ["text/plain", "image/png"]);
                assert_eq!(texts(facts, Fact::HistoryLength), ["7"]);
            });
        }
        for (operation, version, number) in
            [(Operation::GetTask, Version::V1_0, 3), (Operation::ListTasks, Version::V1_0, 6), (Operation::GetTask, Version::V0_3, 2)]
        {
            let mut asked = Writer::default();
            asked.varint(number, u64::MAX);
            scan(operation, version, &asked.end(), |facts| assert_eq!(texts(facts, Fact::HistoryLength), ["-1"]));
        }
    }

    #[test]
    fn metadata_of_both_packages() {
        for version in [Version::V1_0, Version::V0_3] {
            let mut plan = Plan::default();
            let asked = plan.ask(&metadata(version, "skill"), Type::Value, Keep::Text);
            let entry = message(&[(1, b"skill"), (2, &message(&[(3, b"submit")]))]);
            let bytes = message(&[(super::message(version), &message(&[(6, &message(&[(1, &entry)]))]))]);
            let mut body = Body::new(Limits::default(), Rc::new(plan));
            body.feed(&wrap(&bytes).unwrap()).unwrap();
            assert_eq!(body.findings(asked).values.first().unwrap().text.as_deref(), Some("submit"));
        }
    }
}

//! What the body of a request asks for beyond its operation: parts, history, output, where notifications go. Read as
//! it streams, by strict scanners: one for JSON-RPC and HTTP+JSON, one for the messages of gRPC.

use crate::config::{Agent, Limits as AgentLimits, SkillFrom, StrictBodies};
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::policy::access::Skill;
use crate::policy::limits::LimitRefusal;
use crate::policy::places::{Fact, Facts, HISTORY_LENGTH_PARAMETERS, MAX_TEXT_BYTES, Watched};
use crate::policy::push::PushRefusal;
use crate::policy::tenant::{InBody, TenantError};
use crate::policy::{fields, limits, places, push, tenant};
use crate::protocol::envelope::{EnvelopeError, EnvelopeReader, Id, Questions};
use crate::protocol::{Binding, Operation, Version};
use crate::wire::protobuf::{Fault, Type};
use crate::wire::scan::{Asked, Document, Findings, Keep, Kind, Limits, Plan, Step, Value};
use crate::wire::{grpc_frame, protobuf};
use std::rc::Rc;

/// What is asked of the bodies of one agent's requests. Made once.
#[derive(Debug)]
pub struct Plans {
    questions: Rc<Questions>,
    jsonrpc: Watched,
    plan: Rc<Plan>,
    /// The body of an HTTP+JSON request itself.
    root: Asked,
    http_json: Watched,
    /// Where messages name their skill: in JSON-RPC, in HTTP+JSON.
    skill: Option<(Spoken, Spoken)>,
    /// Where bodies name tenants: in JSON-RPC, in HTTP+JSON.
    tenant: (InnerAndOwn, InnerAndOwn),
    grpc: Vec<Method>,
    /// For methods of which nothing is asked: their bodies are read all the same.
    nothing: Rc<protobuf::Plan>,
}

/// What is asked of the messages of one gRPC method.
#[derive(Debug)]
struct Method {
    operation: Operation,
    version: Version,
    plan: Rc<protobuf::Plan>,
    watched: Watched,
    skill: Option<Spoken>,
    tenant: Option<InnerAndOwn>,
}

/// Where bodies name a tenant: that of the request, and the same inside of it.
#[derive(Debug)]
struct InnerAndOwn {
    own: Asked,
    inner: Vec<Asked>,
}

/// Where messages name their skill, each place with the message that it is in.
type Spoken = Vec<[Asked; 2]>;

impl Method {
    fn new(version: Version, operation: Operation, facts: &[Fact], skill: Option<&str>) -> Self {
        let mut plan = protobuf::Plan::default();
        let watched = fields::watch(facts, operation, version, |path, kind, keep| plan.ask(path, kind, keep));
        let sends = matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage);
        let skill = skill.filter(|_| sends).map(|key| {
            let path = fields::metadata(version, key);
            let message = plan.ask(path.get(..1).unwrap_or_default(), Type::Message, Keep::Kind);
            vec![[message, plan.ask(&path, Type::Value, Keep::Text)]]
        });
        let tenant = (version == Version::V1_0).then(|| {
            let (own, inner) = tenant::fields(operation);
            let own = plan.ask(&[own], Type::Text, Keep::Text);
            InnerAndOwn { own, inner: inner.iter().map(|path| plan.ask(path, Type::Text, Keep::Text)).collect() }
        });
        Self { operation, version, plan: Rc::new(plan), watched, skill, tenant }
    }
}

impl Plans {
    /// What `agent`'s configuration makes worth asking.
    #[must_use]
    pub fn new(agent: &Agent) -> Self {
        let mut facts = limits::facts(&agent.limits);
        facts.extend(push::FACTS);
        let mut questions = Questions::default();
        let jsonrpc = Watched::ask(&facts, |path, keep| questions.ask(path, keep));
        let mut plan = Plan::default();
        let http_json = Watched::ask(&facts, |path, keep| plan.ask(path, keep));
        let key = match &agent.skill_from {
            Some(SkillFrom::MetadataKey(key) | SkillFrom::Extension(key)) => Some(key.as_str()),
            Some(SkillFrom::Path(_)) | None => None,
        };
        let skill = key.map(|key| {
            let ask = |ask: &mut dyn FnMut(&[Step], Keep) -> Asked| {
                places::metadata(key).map(|path| [ask(path.get(..1).unwrap_or_default(), Keep::Kind), ask(&path, Keep::Text)]).to_vec()
            };
            (ask(&mut |path, keep| questions.ask(path, keep)), ask(&mut |path, keep| plan.ask(path, keep)))
        });
        let versions = agent.versions().filter(|version| agent.offers(*version, Binding::Grpc));
        let methods = versions.flat_map(|version| Operation::ALL.map(|operation| (version, operation)));
        let grpc = methods.map(|(version, operation)| Method::new(version, operation, &facts, key)).collect();
        let tenant = |ask: &mut dyn FnMut(&[Step], Keep) -> Asked| InnerAndOwn {
            own: ask(&tenant::own(), Keep::Text),
            inner: tenant::inner().iter().map(|path| ask(path, Keep::Text)).collect(),
        };
        let tenant = (tenant(&mut |path, keep| questions.ask(path, keep)), tenant(&mut |path, keep| plan.ask(path, keep)));
        let root = plan.ask(&[], Keep::Kind);
        if agent.limits.strict_bodies == StrictBodies::Asked {
            questions.skip_unasked();
            plan.skip_unasked();
        }
        let (questions, plan) = (Rc::new(questions), Rc::new(plan));
        Self { questions, jsonrpc, plan, root, http_json, skill, tenant, grpc, nothing: Rc::default() }
    }

    fn method(&self, operation: Operation, version: Version) -> Option<&Method> {
        self.grpc.iter().find(|method| (method.operation, method.version) == (operation, version))
    }

    /// The skill that a message names in its metadata.
    ///
    /// # Errors
    /// If it is named twice, or by something that is no text.
    pub fn skill<'a>(&self, reader: &'a Reader, operation: Operation) -> Result<Skill<'a>, Denial> {
        let places = match (&self.skill, reader, operation) {
            (Some((jsonrpc, _)), Reader::Jsonrpc(_), Operation::SendMessage | Operation::SendStreamingMessage) => jsonrpc,
            (Some((_, http_json)), Reader::HttpJson(_), Operation::SendMessage | Operation::SendStreamingMessage) => http_json,
            (_, Reader::Grpc(_, version), _) => match self.method(operation, *version).and_then(|method| method.skill.as_ref()) {
                Some(places) => places,
                None => return Ok(Skill::Unnamed),
            },
            _ => return Ok(Skill::Unnamed),
        };
        let values = |asked: Asked| reader.findings(asked).values.iter().filter(|value| value.kind != Kind::Null);
        let mut named = places.iter().flat_map(|[_, key]| values(*key));
        let wrong = || Denial::new(Reason::RequestMalformed).advise("The skill that the message is for is not one text.");
        // Two messages, in the names of two dialects: who reads the one does not see the skill of the other.
        if places.iter().filter(|[message, _]| values(*message).next().is_some()).count() > 1 {
            return Err(Denial::new(Reason::RequestMalformed).advise("The request holds two messages."));
        }
        match (named.next(), named.next()) {
            (Some(_), Some(_)) => Err(wrong()),
            (Some(Value { kind: Kind::String, text: Some(text) }), None) => Ok(Skill::Named(text)),
            (Some(_), None) => Err(wrong()),
            (None, _) if places.iter().all(|[_, key]| reader.is_settled(*key)) => Ok(Skill::Unnamed),
            (None, _) => Ok(Skill::Unsettled),
        }
    }

    /// The tenants that a body names so far.
    ///
    /// # Errors
    /// If they are two, or no texts.
    pub fn tenant<'a>(&self, reader: &'a Reader, operation: Operation, version: Version) -> Result<InBody<'a>, TenantError> {
        let places = match reader {
            Reader::Jsonrpc(_) => &self.tenant.0,
            Reader::HttpJson(_) => &self.tenant.1,
            Reader::Grpc(..) => match self.method(operation, version).and_then(|method| method.tenant.as_ref()) {
                Some(places) => places,
                None => return Ok(InBody::default()),
            },
        };
        let mut body = InBody { own: tenant::named(reader.findings(places.own))?, ..InBody::default() };
        // Most requests have none of these.
        for found in places.inner.iter().map(|asked| reader.findings(*asked)).filter(|found| found.count > 0) {
            match (tenant::named(found)?, body.inner) {
                (Some(named), Some(other)) if named != other => return Err(TenantError::Several),
                (named, other) => body.inner = named.or(other),
            }
        }
        body.is_settled = body.inner.is_some() && reader.is_settled(places.own);
        Ok(body)
    }

    /// A reader for a request's body; `None` for what has none.
    #[must_use]
    pub fn reader(&self, binding: Option<Binding>, operation: Option<Operation>, version: Version) -> Option<Reader> {
        let limits = Limits { text: MAX_TEXT_BYTES, ..Limits::default() };
        match (binding?, operation) {
            (Binding::Jsonrpc, _) => Some(Reader::Jsonrpc(EnvelopeReader::new(limits, Rc::clone(&self.questions)))),
            (Binding::HttpJson, Some(_)) => Some(Reader::HttpJson(Document::new(limits, Rc::clone(&self.plan)))),
            (Binding::Grpc, operation) => {
                let method = operation.and_then(|operation| self.method(operation, version));
                let plan = method.map_or(&self.nothing, |method| &method.plan);
                Some(Reader::Grpc(Box::new(grpc_frame::Body::new(limits, Rc::clone(plan))), version))
            }
            (Binding::HttpJson, None) => None,
        }
    }

    /// Whether what has come of a body so far is allowed. What is only wrong if nothing more comes is judged when
    /// nothing more can come.
    ///
    /// # Errors
    /// What is not.
    pub fn inspect(&self, reader: &Reader, operation: Operation, version: Version, agent: &Agent) -> Result<(), Denial> {
        let watched = match reader {
            Reader::Jsonrpc(_) => &self.jsonrpc,
            Reader::HttpJson(document) => {
                // In a list nothing would be found that somebody may read from it all the same. Who has nothing to say may say null.
                let may_be_null = matches!(operation, Operation::CancelTask | Operation::SubscribeToTask);
                let is_odd = |kind: Kind| kind != Kind::Object && !(may_be_null && kind == Kind::Null);
                if document.findings(self.root).values.iter().any(|value| is_odd(value.kind)) {
                    return Err(Denial::new(Reason::RequestMalformed).advise("This is no request: the body is a JSON object."));
                }
                &self.http_json
            }
            Reader::Grpc(..) => match self.method(operation, version) {
                Some(method) => &method.watched,
                None => return Ok(()),
            },
        };
        // A skill that is named for a second time, behind the verdict.
        self.skill(reader, operation)?;
        let complete = watched.questions(operation).iter().all(|asked| reader.is_settled(*asked));
        let findings = |asked| reader.findings(asked);
        let facts = Facts::new(watched, operation, &findings);
        limits::check(&facts, version, &agent.limits, complete).map_err(over_limit)?;
        push::check_found(&facts, operation, &agent.push_notifications, complete).map_err(no_push)
    }
}

/// A body that is arriving.
#[derive(Debug)]
pub enum Reader {
    /// Its envelope names the operation.
    Jsonrpc(EnvelopeReader),
    /// The route named it.
    HttpJson(Document),
    /// The same, with one message of this version's package.
    Grpc(Box<grpc_frame::Body>, Version),
}

impl Reader {
    /// Reads all of `chunk`, and the end if this is it.
    ///
    /// # Errors
    /// The refusal, and the id to answer with.
    pub fn read(&mut self, chunk: &[u8], end: bool) -> Result<(), Box<(Denial, Id)>> {
        match self {
            Self::Jsonrpc(reader) => {
                let read = reader.feed(chunk).and_then(|()| if end { reader.close() } else { Ok(()) });
                read.map_err(|error| Box::new((malformed(&error), error.id())))
            }
            Self::HttpJson(document) => {
                let read = document.feed(chunk).and_then(|()| if end { document.end() } else { Ok(()) });
                read.map_err(|fault| {
                    Box::new((Denial::new(Reason::BodyMalformed).advise(format!("The body cannot be read: {fault}.")), Id::default()))
                })
            }
            Self::Grpc(body, _) => {
                let read = body.feed(chunk).and_then(|()| if end { body.end() } else { Ok(()) });
                read.map_err(|fault| Box::new((unreadable(fault), Id::default())))
            }
        }
    }

    /// The id, once it has come. Only JSON-RPC has one to wait for.
    #[must_use]
    pub fn id(&self) -> Option<Id> {
        match self {
            Self::Jsonrpc(reader) => reader.id().cloned(),
            Self::HttpJson(_) | Self::Grpc(..) => Some(Id::default()),
        }
    }

    /// The method, once it has come: JSON-RPC only.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Jsonrpc(reader) => reader.method(),
            Self::HttpJson(_) | Self::Grpc(..) => None,
        }
    }

    /// The document of a body that is one and nothing more.
    #[must_use]
    pub const fn document(&self) -> Option<&Document> {
        match self {
            Self::HttpJson(document) => Some(document),
            Self::Jsonrpc(_) | Self::Grpc(..) => None,
        }
    }

    fn is_settled(&self, asked: Asked) -> bool {
        match self {
            Self::Jsonrpc(reader) => reader.is_settled(asked),
            Self::HttpJson(document) => document.is_settled(asked),
            Self::Grpc(body, _) => body.is_settled(asked),
        }
    }

    fn findings(&self, asked: Asked) -> &Findings {
        match self {
            Self::Jsonrpc(reader) => reader.findings(asked),
            Self::HttpJson(document) => document.findings(asked),
            Self::Grpc(body, _) => body.findings(asked),
        }
    }
}

/// The refusal of a body that is not one gRPC message, or a message with two readings.
pub(in crate::flow) fn unreadable(fault: Fault) -> Denial {
    match fault {
        Fault::Compressed => {
            Denial::new(Reason::EncodingRefused).advise("Compressed messages are not accepted: send the message as it is.")
        }
        fault if fault.is_ambiguous() => Denial::new(Reason::RequestMalformed).advise(format!("The message is ambiguous: {fault}.")),
        fault => Denial::new(Reason::BodyMalformed).advise(format!("The body cannot be read: {fault}.")),
    }
}

/// Whether the operation is offered at all.
///
/// # Errors
/// If it is not.
pub fn is_offered(operation: Operation, limits: &AgentLimits) -> Result<(), Denial> {
    limits::check_operation(operation, limits).map_err(over_limit)
}

/// Whether the query of an HTTP+JSON request asks for more history than allowed, or for another method.
///
/// # Errors
/// If it does.
pub fn check_query(query: Option<&str>, version: Version, limits: &AgentLimits) -> Result<(), Denial> {
    check_method(query)?;
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| HISTORY_LENGTH_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known)))
        .try_for_each(|(_, value)| limits::check_history_length(&value, version, limits))
        .map_err(over_limit)
}

/// Whether the query names another method: frameworks take it from there.
///
/// # Errors
/// If it does.
pub fn check_method(query: Option<&str>) -> Result<(), Denial> {
    if form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case("_method")) {
        return Err(Denial::new(Reason::RequestMalformed).advise("The query names another method."));
    }
    Ok(())
}

fn over_limit(refusal: LimitRefusal) -> Denial {
    let reason = match refusal {
        LimitRefusal::Streaming => Reason::StreamingNotOffered,
        LimitRefusal::Modality(_) | LimitRefusal::UnknownPart | LimitRefusal::OutputModes => Reason::ContentRefused,
        LimitRefusal::TooManyParts | LimitRefusal::HistoryLengthMalformed | LimitRefusal::HistoryLength => Reason::LimitExceeded,
    };
    Denial::new(reason).advise(sentence(&refusal.to_string()))
}

/// The refusal of a target of notifications.
pub(in crate::flow) fn no_push(refusal: PushRefusal) -> Denial {
    let reason = match refusal {
        PushRefusal::NotOffered => Reason::PushNotOffered,
        _ => Reason::PushTargetRefused,
    };
    Denial::new(reason).advise(sentence(&refusal.to_string()))
}

/// `text` with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

/// The refusal of a body that is no JSON-RPC request.
pub(in crate::flow) fn malformed(error: &EnvelopeError) -> Denial {
    match error {
        EnvelopeError::NotJson(fault) => Denial::new(Reason::BodyMalformed).advise(format!("The body cannot be read: {fault}.")),
        EnvelopeError::NotARequest { reason, .. } => {
            Denial::new(Reason::RequestMalformed).advise(format!("This is no JSON-RPC request: {reason}."))
        }
        EnvelopeError::WrongParams { .. } => Denial::new(Reason::ParamsMalformed),
        EnvelopeError::Notification { is_operation: false } => Denial::new(Reason::OperationUnknown),
        EnvelopeError::Notification { is_operation: true } => {
            Denial::new(Reason::ParamsMalformed).advise("The id is missing: A2A has no notifications.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Plans;
    use crate::config::Config;
    use crate::protocol::{Binding, Operation, Version};
    use serde_json::{Value, json};

    /// Whether the body of a request is read to its end, with these limits.
    fn is_read(limits: &Value, binding: Binding, body: &str) -> bool {
        let config = json!({
            "issuers": [{"name": "corp", "issuer": "https://auth.example", "audiences": ["a"], "jwks": {"remote": {"uri": "https://auth.example/jwks", "cluster": "idp"}}}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
            "agents": [{"name": "a", "match": {"hosts": ["a.example"], "path_prefix": "/"}, "default_version": "1.0", "versions": {"1.0": {"bindings": ["jsonrpc", "http_json"]}},
                "security": [{"oauth2": []}], "limits": limits}],
        });
        let agent = Config::parse(config.to_string().as_bytes()).unwrap().agents.remove(0);
        let plans = Plans::new(&agent);
        let mut reader = plans.reader(Some(binding), Some(Operation::SendMessage), Version::V1_0).unwrap();
        reader.read(body.as_bytes(), true).is_ok()
    }

    #[test]
    fn only_what_is_asked_about_is_read_strictly_if_the_operator_says_so() {
        let (all, asked) = (json!({}), json!({"strict_bodies": "asked"}));
        let parts = json!({"strict_bodies": "asked", "max_parts": 9});
        for (params, by_all, by_asked, by_parts) in [
            (r#"{"message":{"parts":[{"data":{"a":1,"b":[01]}}]}}"#, false, true, true),
            (r#"{"message":{"parts":[{"data":{"a":1,"a":2}}]}}"#, false, true, true),
            (r#"{"message":{"parts":[],"parts":[]}}"#, false, true, false),
            (r#"{"message":{"parts":[],"parts" []}}"#, false, true, false),
            (r#"{"message":{},"message":{}}"#, false, false, false),
            (r#"{"message":{},"configuration":{"a":1,"a":2}}"#, false, false, false),
            (r#"{"message":{"x":"\ud800"}}"#, false, false, false),
            (r#"{"message":{"x":[}}"#, false, false, false),
            (r#"{"message":{'x':1}}"#, false, false, false),
            (r#"{"message":{"parts":[{"text":"a"}]}}"#, true, true, true),
        ] {
            for (limits, expected) in [(&all, by_all), (&asked, by_asked), (&parts, by_parts)] {
                let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{params}}}"#);
                assert_eq!(is_read(limits, Binding::Jsonrpc, &request), expected, "{request} with {limits}");
                assert_eq!(is_read(limits, Binding::HttpJson, params), expected, "{params} with {limits}");
            }
        }
    }
}

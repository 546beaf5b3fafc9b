//! Cards on their way out: the agent's own card becomes the one that is true here, with public URLs, the interfaces
//! that are served and the security that is enforced. An agent without `public_url` has its card passed unchanged.

use crate::card::model::MAX_BYTES;
use crate::card::validators::Audience;
use crate::card::{Card, CardResponse, Dialect, Interface, Skills, View, answer, both, project, protobuf, validators};
use crate::flow::callers::authorize::{Admitted, usable};
use crate::flow::event::reason::Reason;
use crate::flow::event::whole::{Collected, Whole};
use crate::flow::event::{Effect, Level, Reply, Step};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::classify::Classified;
use crate::flow::request::head::Head;
use crate::flow::request::media;
use crate::flow::request::say::say;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::source::Source;
use crate::flow::supply::store::Supply;
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::grpc_frame;
use crate::wire::header::Headers;
use std::rc::Rc;

/// How long a card may be kept.
const MAX_AGE_SECONDS: u32 = 300;

/// What the head of a request says about the card that it asks for.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The shape.
    pub version: Version,
    /// The version header chose it.
    pub negotiated: bool,
    /// No version is named, and both are served.
    pub both: bool,
    /// Everyone may have it.
    pub public: bool,
    /// Who asks.
    pub admitted: Option<Admitted>,
    /// Only its headers are wanted.
    pub head: bool,
    /// `:authority`, where the card passes unchanged and is to be looked at.
    pub looked_at: Option<String>,
    /// The client's `If-None-Match` lines.
    pub known: Vec<Vec<u8>>,
}

impl Asking {
    /// What `head` says, before it is known who asks.
    pub fn of(agent: &Agent, head: &Head<'_>, classified: &Classified, public: bool, supply: &Supply) -> Self {
        let is_card = classified.operation == Some(Operation::GetAgentCard);
        let passes = is_card && agent.statement.public.is_none() && supply.expects_card_of(agent.index);
        Self {
            version: classified.version,
            negotiated: classified.negotiated,
            both: classified.negotiated && classified.unnamed && agent.versions().count() > 1,
            public,
            admitted: None,
            head: head.method == "HEAD",
            looked_at: passes.then(|| head.authority.as_str().to_owned()),
            known: if is_card { CardRequest::known(head.headers) } else { Vec::new() },
        }
    }
}

/// A request whose answer is a card.
#[derive(Debug)]
pub struct CardRequest {
    agent: Rc<Agent>,
    version: Version,
    audience: Audience,
    /// The version header chose the shape.
    negotiated: bool,
    /// The shape is that of both versions.
    both: bool,
    form: Form,
    /// Only its headers are wanted.
    head: bool,
    /// Who asks.
    admitted: Option<Admitted>,
    /// The client's `If-None-Match` lines.
    known: Vec<Vec<u8>>,
    /// What its headers say that makes it unreadable.
    problem: Option<&'static str>,
    state: State,
}

/// What has become of the answer.
#[derive(Debug)]
enum State {
    /// It has not come, or is none of ours.
    Plain,
    /// It is a card that is to be projected. With the head of the answer that replaces it, unless the agent's own goes on.
    Taken(Collected, Option<Box<Whole>>),
    /// The card has gone on; nothing may follow.
    Sent(Collected),
}

/// How a card comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As the body, at a place for cards.
    Bare,
    /// As the body of an HTTP+JSON response.
    Answer,
    /// As the `result` of a JSON-RPC response.
    Wrapped,
    /// As the message of a gRPC response, in the package of the version.
    Message,
}

impl Form {
    const fn binding(self) -> Option<Binding> {
        match self {
            Self::Bare | Self::Answer => None,
            Self::Wrapped => Some(Binding::Jsonrpc),
            Self::Message => Some(Binding::Grpc),
        }
    }
}

/// A request header that invites an answer which cannot be read.
const INVITATION: &str = "grpc-accept-encoding";

impl CardRequest {
    /// A request for `operation` of `agent`, if its answer is to be projected.
    #[must_use]
    pub fn new(agent: &Rc<Agent>, operation: Operation, binding: Option<Binding>, asking: Asking) -> Option<Self> {
        let Asking { version, negotiated, both, public, admitted, head, known, .. } = asking;
        agent.statement.public.as_ref()?;
        let audience = match (operation, binding, public) {
            (Operation::GetAgentCard, ..) if public => Audience::Public,
            (Operation::GetAgentCard, ..) => Audience::Caller,
            (Operation::GetExtendedAgentCard, ..) => Audience::Extended,
            _ => return None,
        };
        let form = match binding {
            Some(Binding::Jsonrpc) => Form::Wrapped,
            Some(Binding::Grpc) => Form::Message,
            Some(Binding::HttpJson) => Form::Answer,
            None => Form::Bare,
        };
        let agent = Rc::clone(agent);
        Some(Self { agent, version, audience, negotiated, both, form, head, admitted, known, problem: None, state: State::Plain })
    }

    /// The request headers that must not reach the agent: they are about bytes that it does not have.
    pub fn conditions(&self) -> impl Iterator<Item = Effect> + use<> {
        let invitation = (self.form == Form::Message).then_some(&INVITATION);
        validators::CONDITIONS.iter().chain(invitation).map(|name| Effect::RemoveHeader((*name).into()))
    }

    /// The client's own `If-None-Match` lines.
    #[must_use]
    pub fn known(headers: &Headers) -> Vec<Vec<u8>> {
        headers.all("if-none-match").map(<[u8]>::to_vec).collect()
    }

    /// Whether the parts of the response's body should come.
    #[must_use]
    pub const fn reads(&self) -> bool {
        !matches!(self.state, State::Plain)
    }

    /// Whether the answer's headers are held, and nothing of its body has come.
    #[must_use]
    pub fn awaits_body(&self) -> bool {
        matches!(&self.state, State::Taken(collected, whole) if collected.is_empty() && (whole.is_some() || self.form == Form::Message))
    }

    /// In whose form a refusal is said.
    #[must_use]
    pub const fn binding(&self) -> Option<Binding> {
        self.form.binding()
    }

    /// The agent answers with this status and these headers.
    pub fn on_headers(&mut self, status: u16, end: bool, headers: &Headers, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        // A gRPC call that failed may be answered with nothing but headers.
        if status != 200 || (self.form == Form::Message && end) {
            return Step::Continue;
        }
        if self.form != Form::Message {
            self.problem = media::unreadable(headers);
        }
        let can_hold = context.runtime.supply().holds_responses();
        if can_hold && !self.head && !end && self.form != Form::Message {
            let whole = Whole::like(status, headers, &validators::STALE);
            self.state = State::Taken(Collected::stream(MAX_BYTES), Some(Box::new(whole)));
            return Step::Pause;
        }
        effects.extend(validators::STALE.iter().map(|name| Effect::RemoveResponseHeader((*name).into())));
        match (self.head, end) {
            // What it says of a body would be the agent's.
            (true, _) => return Step::Continue,
            (false, true) => return self.refuse("it is empty", effects),
            (false, false) => {}
        }
        if self.form == Form::Message {
            self.state = State::Taken(Collected::frame(MAX_BYTES), None);
            // Until the first part of it has come, which is most often all.
            return if can_hold { Step::Pause } else { Step::Continue };
        }
        self.state = State::Taken(Collected::document(MAX_BYTES), None);
        let (cache_control, vary) = self.validity(context);
        effects.push(Effect::SetResponseHeader("cache-control".into(), cache_control));
        if let Some(vary) = vary {
            // What else the agent makes its answer depend on still counts.
            effects.push(Effect::AddResponseHeader("vary".into(), vary));
        }
        Step::Continue
    }

    /// A part of the body arrived.
    pub fn on_body(&mut self, end: bool, content: &[u8], context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        // It is taken out of the proxy's buffer.
        let emptied = (!content.is_empty()).then(|| Effect::ReplaceResponseBody(Vec::new()));
        let (collected, is_held) = match &mut self.state {
            State::Plain => return Step::Continue,
            State::Sent(collected) => {
                if collected.add(content).is_err() {
                    return self.refuse("something follows it", effects);
                }
                effects.extend(emptied);
                return Step::Continue;
            }
            State::Taken(collected, whole) => (collected, whole.is_some()),
        };
        if let Err(error) = collected.add(content) {
            return self.refuse(&error, effects);
        }
        if self.form == Form::Message && end && collected.is_empty() {
            // A call that failed: the trailers say how.
            self.state = State::Plain;
            return Step::Continue;
        }
        if !end && !collected.is_complete() {
            effects.extend(emptied);
            return if is_held { Step::Pause } else { Step::Continue };
        }
        let bytes = collected.take();
        let projected = self.projected(&bytes, context);
        effects.extend(context.runtime.warnings().into_iter().map(|warning| Effect::Log(Level::Warn, warning)));
        let bytes = match projected {
            Ok(bytes) => bytes,
            Err(error) => return self.refuse(&error, effects),
        };
        match std::mem::replace(&mut self.state, State::Plain) {
            State::Taken(_, Some(whole)) => {
                effects.push(Effect::Answer(Box::new(self.whole(*whole, bytes, context))));
                Step::Pause
            }
            State::Taken(collected, None) => {
                effects.push(Effect::ReplaceResponseBody(bytes));
                self.state = State::Sent(collected);
                Step::Continue
            }
            State::Plain | State::Sent(_) => Step::Continue,
        }
    }

    /// The answer with this body, or 304 if the client has it.
    fn whole(&self, whole: Whole, body: Vec<u8>, context: &Context<'_>) -> Whole {
        let (cache_control, vary) = self.validity(context);
        let etag = validators::etag(&body);
        let is_known = self.form != Form::Wrapped && validators::is_known(self.known.iter().map(Vec::as_slice), &etag);
        let (status, body) = if is_known { (304, Vec::new()) } else { (whole.status, body) };
        let mut whole = Whole { status, body, ..whole };
        whole.set("cache-control", cache_control);
        whole.set("etag", etag);
        if let Some(vary) = vary {
            // What else the agent makes its answer depend on still counts.
            whole.join("vary", &vary);
        }
        whole
    }

    /// `cache-control` and `vary`.
    fn validity(&self, context: &Context<'_>) -> (String, Option<String>) {
        let policy = self.agent.policy(context.runtime.supply(), context.now).here();
        let carriers = policy.iter().flat_map(|policy| policy.carriers());
        (validators::cache_control(self.audience, MAX_AGE_SECONDS), validators::vary(self.negotiated, self.audience, carriers))
    }

    /// The answer to a request whose card is at hand.
    ///
    /// # Errors
    /// What is wrong with the card.
    pub fn serve(&self, card: &Card, context: &Context<'_>) -> Result<Reply, String> {
        let body = self.view(card, context)?.to_string();
        let etag = validators::etag(body.as_bytes());
        let (cache_control, vary) = self.validity(context);
        let is_known = validators::is_known(self.known.iter().map(Vec::as_slice), &etag);
        let mut headers = vec![("content-type", "application/json".to_owned()), ("cache-control", cache_control), ("etag", etag)];
        headers.extend(vary.map(|vary| ("vary", vary)));
        let (status, body) = if is_known { (304, String::new()) } else { (200, body) };
        Ok(Reply { status, grpc_status: None, headers, body })
    }

    /// The card, if the agent need not be asked for it.
    pub fn at_hand(&self, context: &Context<'_>) -> Option<Sought<Rc<Source>>> {
        match self.audience {
            Audience::Public | Audience::Caller => context.runtime.supply().source(self.agent.index, context.now),
            Audience::Extended => None,
        }
    }

    /// The card as this caller is to see it.
    fn view(&self, card: &Card, context: &Context<'_>) -> Result<serde_json::Value, String> {
        let config = context.runtime.config();
        let agent = &self.agent;
        let Some(public) = &agent.statement.public else { return Err("the agent has no public_url".to_owned()) };
        let declared = match context.runtime.supply().source(self.agent.index, context.now) {
            Some(Sought::Here(source)) => source.declared.as_ref().map(|(security, _)| security.clone()),
            Some(Sought::Wait(_) | Sought::No(_)) | None => None,
        };
        let security = declared.unwrap_or_else(|| public.security.clone()).described_by(card);
        let promised = card.promised_skills();
        let unkept: Vec<&str> = promised.into_iter().filter(|skill| !security.skills.contains_key(*skill)).collect();
        context.runtime.supply().warn_of_skills(agent.index, &unkept);
        let interfaces: Vec<Interface<'_>> =
            public.interfaces.iter().map(|(version, binding, url)| Interface { version: *version, binding: *binding, url }).collect();
        let policy = self.agent.policy(context.runtime.supply(), context.now).here();
        let shown = agent.card.filter_skills.then(|| usable(card.skill_ids(), self.admitted.as_ref(), agent, policy.as_deref(), config));
        // Who asks over HTTP+JSON reads what agents answer there: some speak protocol buffers' JSON in 0.3 too.
        let is_proto_json = match self.form {
            Form::Message => true,
            Form::Answer => card.is_proto_json(),
            Form::Bare | Form::Wrapped => false,
        };
        let view = View {
            version: self.version,
            dialect: if is_proto_json { Dialect::ProtoJson } else { Dialect::of(self.version) },
            public_url: &public.url,
            interfaces: &interfaces,
            security: &security,
            skills: shown.as_ref().map_or(Skills::All, Skills::Only),
            capabilities: public.capabilities,
            one_flow: false,
        };
        let projected = match (self.form, self.version) {
            _ if self.both => both(card, &view),
            (Form::Answer, Version::V0_3) if !is_proto_json => answer(card, &view),
            _ => project(card, &view),
        };
        projected.map_err(|error| error.to_string())
    }

    fn projected(&self, content: &[u8], context: &Context<'_>) -> Result<Vec<u8>, String> {
        if let Some(problem) = self.problem {
            return Err(problem.to_owned());
        }
        // An error is no card and goes on as it is.
        match self.form {
            Form::Bare | Form::Answer => {
                let card = Card::read(content).map_err(|error| error.to_string())?;
                self.view(&card, context).map(|card| card.to_string().into_bytes())
            }
            Form::Wrapped => match CardResponse::read(content).map_err(|error| error.to_string())? {
                None => Ok(content.to_vec()),
                Some(response) => self.view(&response.card, context).map(|card| response.with(card)),
            },
            Form::Message => {
                let message = grpc_frame::unwrap(content).map_err(|error| error.to_string())?;
                let card = protobuf::read(self.version, message).map_err(|error| error.to_string())?;
                let message = protobuf::write(self.version, &self.view(&card, context)?).map_err(|error| error.to_string())?;
                grpc_frame::wrap(&message).ok_or_else(|| "it is too long".to_owned())
            }
        }
    }

    /// The refusal of a request whose card cannot be used.
    pub fn refuse(&self, error: &str, effects: &mut Vec<Effect>) -> Step {
        let name = &self.agent.name;
        let denial = Denial::new(Reason::CardUnavailable).at(name).because(Some(error.to_owned()));
        effects.push(Effect::Log(Level::Warn, format!("the card of agent {name:?} cannot be used: {error:?}")));
        say(&denial, self.form.binding(), &Id::default(), effects);
        Step::Pause
    }
}

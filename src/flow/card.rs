//! Cards on their way out: the agent's own card becomes the one that is true here, with public URLs, the interfaces
//! that are served and the security that is enforced. An agent without `public_url` has its card passed unchanged.

use super::denial::{Denial, Reason};
use super::event::{Effect, Level, Step};
use super::runtime::{Context, Runtime};
use crate::card::paths::WELL_KNOWN;
use crate::card::scheme::{Kind, Location};
use crate::card::validators::{self, Audience};
use crate::card::{Capabilities, Card, CardPaths, CardResponse, Interface, Scheme, Security, Skills, View, project};
use crate::config::{Agent, Config, ConfigError, Place as KeyPlace, Scheme as Configured};
use crate::protocol::envelope::Id;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::header::Headers;
use std::collections::BTreeMap;

/// How long a card may be kept.
const MAX_AGE_SECONDS: u32 = 300;

/// What is stated of one agent. Made once.
#[derive(Debug)]
pub struct Statement {
    /// Where its cards are.
    pub paths: CardPaths,
    public: Option<Public>,
}

#[derive(Debug)]
struct Public {
    url: String,
    /// Newest version first.
    interfaces: Vec<(Version, Binding, String)>,
    security: Security,
    capabilities: Capabilities,
}

impl Statement {
    /// What the configuration states of `agent`, which stands at `at`.
    ///
    /// # Errors
    /// If a path of its cards cannot be one.
    pub fn new(config: &Config, agent: &Agent, at: &str) -> Result<Self, ConfigError> {
        let versions: Vec<Version> = agent.versions().collect();
        let paths = CardPaths::new(&agent.card.paths.0, &versions)
            .map_err(|(version, error)| ConfigError::new(format!("{at}.card.paths.{version}"), error.to_string()))?;
        let public = agent.public_url.as_ref().map(|uri| {
            let url = uri.to_string();
            let url = url.strip_suffix('/').unwrap_or(&url).to_owned();
            let offers = versions.iter().rev().flat_map(|version| agent.bindings(*version).iter().map(|binding| (*version, *binding)));
            let place = |binding| if binding == Binding::Grpc { uri.authority().to_owned() } else { url.clone() };
            let interfaces = offers.map(|(version, binding)| (version, binding, place(binding))).collect();
            let scheme = |(name, _): (&String, &Vec<String>)| Some((name.clone(), stated(config.scheme(name)?)?));
            // Where nothing is asked for, the requirement names nothing.
            let named = |name: &String| config.scheme(name).and_then(stated).is_some();
            let requirement = |requirement: &BTreeMap<String, Vec<String>>| {
                requirement.iter().filter(|(name, _)| named(name)).map(|(name, scopes)| (name.clone(), scopes.clone())).collect()
            };
            let security = Security {
                schemes: agent.security.iter().flat_map(|requirement| requirement.0.iter().filter_map(scheme)).collect(),
                requirements: agent.security.iter().map(|own| requirement(&own.0)).collect(),
                ..Security::default()
            };
            let capabilities = Capabilities {
                streaming: agent.limits.streams(),
                push_notifications: !agent.push_notifications.hosts.is_empty(),
                extended_card: true,
            };
            Public { url, interfaces, security, capabilities }
        });
        Ok(Self { paths, public })
    }
}

/// A scheme of the configuration as a card states it; `None` if it asks for nothing.
fn stated(scheme: &Configured) -> Option<Scheme> {
    Some(match scheme {
        Configured::Bearer(_) | Configured::Introspection(_) => Scheme::bearer(),
        Configured::ApiKey(key) => {
            let location = match key.place {
                KeyPlace::Header => Location::Header,
                KeyPlace::Query => Location::Query,
                KeyPlace::Cookie => Location::Cookie,
            };
            Scheme::api_key(location, &key.name)
        }
        Configured::Basic(_) => Kind::Http { scheme: "Basic".to_owned(), bearer_format: None }.into(),
        Configured::MutualTls(_) => Scheme::mutual_tls(),
        Configured::None(_) => return None,
    })
}

impl Statement {
    /// Where the agent itself has the card that is asked for at `suffix` below `prefix`, if it is elsewhere.
    #[must_use]
    pub fn source(&self, prefix: &str, suffix: &str) -> Option<String> {
        let elsewhere = self.public.is_some() && self.paths.find(suffix).is_some() && suffix != WELL_KNOWN;
        elsewhere.then(|| format!("{}{WELL_KNOWN}", prefix.strip_suffix('/').unwrap_or(prefix)))
    }
}

/// What the head of a request says about the card that it asks for.
#[derive(Clone, Debug)]
pub struct Place {
    /// The shape.
    pub version: Version,
    /// The version header chose it.
    pub negotiated: bool,
    /// Everyone may have it.
    pub public: bool,
    /// Only its headers are wanted.
    pub head: bool,
    /// The client's `If-None-Match` lines.
    pub known: Vec<Vec<u8>>,
}

/// A request whose answer is a card.
#[derive(Debug)]
pub struct CardRequest {
    agent: usize,
    version: Version,
    audience: Audience,
    /// The version header chose the shape.
    negotiated: bool,
    /// The card is the `result` of a JSON-RPC response.
    wrapped: bool,
    /// Only its headers are wanted.
    head: bool,
    /// The client's `If-None-Match` lines.
    known: Vec<Vec<u8>>,
    /// The answer is a card that is to be projected.
    reads: bool,
    /// The response's headers wait for its body.
    held: bool,
}

impl CardRequest {
    /// A request for `operation` of agent `index`, if its answer is to be projected. (Messages of gRPC are not.)
    #[must_use]
    pub fn new(index: usize, operation: Operation, binding: Option<Binding>, place: Place, runtime: &Runtime) -> Option<Self> {
        let Place { version, negotiated, public, head, known } = place;
        runtime.statement(index)?.public.as_ref()?;
        let audience = match (operation, binding, public) {
            (Operation::GetAgentCard, ..) if public => Audience::Public,
            (Operation::GetAgentCard, ..) => Audience::Caller,
            (Operation::GetExtendedAgentCard, Some(Binding::Jsonrpc | Binding::HttpJson), _) => Audience::Extended,
            _ => return None,
        };
        let wrapped = binding == Some(Binding::Jsonrpc);
        Some(Self { agent: index, version, audience, negotiated, wrapped, head, known, reads: false, held: false })
    }

    /// The request headers that must not reach the agent: they are about bytes that it does not have.
    pub fn conditions() -> impl Iterator<Item = Effect> {
        validators::CONDITIONS.iter().map(|name| Effect::RemoveHeader((*name).into()))
    }

    /// The client's own `If-None-Match` lines.
    #[must_use]
    pub fn known(headers: &Headers) -> Vec<Vec<u8>> {
        headers.all("if-none-match").map(<[u8]>::to_vec).collect()
    }

    /// Whether the response's body should come when it is complete.
    #[must_use]
    pub const fn reads(&self) -> bool {
        self.reads
    }

    /// The agent answers with this status.
    pub fn on_headers(&mut self, status: u16, end: bool, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        if status != 200 {
            return Step::Continue;
        }
        effects.extend(validators::STALE.iter().map(|name| Effect::RemoveResponseHeader((*name).into())));
        match (self.head, end) {
            // What it says of a body would be the agent's.
            (true, _) => return Step::Continue,
            (false, true) => return self.refuse("it is empty", context, effects),
            (false, false) => {}
        }
        self.reads = true;
        self.held = context.runtime.can_hold_responses();
        if self.held {
            return Step::Pause;
        }
        self.describe(context, effects);
        Step::Continue
    }

    /// A part of the body arrived; `content` is all of it if `end`.
    pub fn on_body(&mut self, length: u64, end: bool, content: &[u8], context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        if !self.reads {
            return Step::Continue;
        }
        if !end && length <= crate::card::model::MAX_BYTES as u64 {
            return Step::Pause;
        }
        self.reads = false;
        let bytes = match self.projected(content, context) {
            Ok(bytes) => bytes,
            Err(error) => return self.refuse(&error, context, effects),
        };
        if self.held {
            self.describe(context, effects);
            let etag = validators::etag(&bytes);
            let is_known = !self.wrapped && validators::is_known(self.known.iter().map(Vec::as_slice), &etag);
            effects.push(Effect::SetResponseHeader("etag".into(), etag));
            if is_known {
                effects.push(Effect::SetResponseHeader(":status".into(), "304".to_owned()));
                effects.push(Effect::ReplaceResponseBody(Vec::new()));
                return Step::Continue;
            }
            effects.push(Effect::SetResponseHeader("content-length".into(), bytes.len().to_string()));
        }
        effects.push(Effect::ReplaceResponseBody(bytes));
        Step::Continue
    }

    /// Says who may keep the card, and what chose its shape.
    fn describe(&self, context: &Context<'_>, effects: &mut Vec<Effect>) {
        let mut set = |name: &'static str, value: String| effects.push(Effect::SetResponseHeader(name.into(), value));
        set("cache-control", validators::cache_control(self.audience, MAX_AGE_SECONDS));
        let policy = context.runtime.policy(self.agent);
        let carriers = policy.iter().flat_map(|policy| policy.carriers());
        if let Some(vary) = validators::vary(self.negotiated, self.audience, carriers) {
            // What else the agent makes its answer depend on still counts.
            effects.push(Effect::AddResponseHeader("vary".into(), vary));
        }
    }

    fn projected(&self, content: &[u8], context: &Context<'_>) -> Result<Vec<u8>, String> {
        let public = context.runtime.statement(self.agent).and_then(|statement| statement.public.as_ref());
        let public = public.ok_or("the agent has no public_url")?;
        let view = |card: &Card| {
            let security = public.security.clone().described_by(card);
            let interfaces: Vec<Interface<'_>> =
                public.interfaces.iter().map(|(version, binding, url)| Interface { version: *version, binding: *binding, url }).collect();
            let view = View {
                version: self.version,
                public_url: &public.url,
                interfaces: &interfaces,
                security: &security,
                skills: Skills::All,
                capabilities: public.capabilities,
            };
            project(card, &view).map_err(|error| error.to_string())
        };
        if self.wrapped {
            // An error is no card and goes on as it is.
            return match CardResponse::read(content).map_err(|error| error.to_string())? {
                None => Ok(content.to_vec()),
                Some(response) => view(&response.card).map(|card| response.with(card)),
            };
        }
        let card = Card::read(content).map_err(|error| error.to_string())?;
        view(&card).map(|card| card.to_string().into_bytes())
    }

    fn refuse(&self, error: &str, context: &Context<'_>, effects: &mut Vec<Effect>) -> Step {
        let name = context.runtime.config().agents.get(self.agent).map(|agent| agent.name.as_str()).unwrap_or_default();
        let denial = Denial::new(Reason::CardUnavailable).at(name);
        effects.push(Effect::Log(Level::Warn, format!("the card of agent {name:?} cannot be used: {error:?}")));
        let binding = if self.wrapped { Some(Binding::Jsonrpc) } else { None };
        let _ = super::exchange::answer(&denial, binding, &Id::default(), effects);
        Step::Pause
    }
}

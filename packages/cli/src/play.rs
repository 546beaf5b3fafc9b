//! Plays a request: its events go into the filter's own state machine, and what it answers is what the filter does in Envoy.

use crate::fetch::Files;
use crate::request::Request;
use attache::config::{Config, Pin};
use attache::flow::event::record::Record;
use attache::flow::{Context, Effect, Event, Exchange, Interest, Outcome, Part, Read, Reply, Route, Step, Value as HeaderValue, Whole};
use attache::identity::Peer;
use attache::wire::header::Headers;
use serde_json::Value;

/// Most events of one request. Each fetch is one, and there are few.
const MOST: usize = 64;

/// What became of a request.
#[derive(Debug, Default)]
pub struct Played {
    /// The records of the decisions, in their order.
    pub records: Vec<Value>,
    /// What is done to the request's headers.
    pub changes: Vec<Change>,
    /// The body that goes on, if it is another.
    pub body: Option<Vec<u8>>,
    /// The answer, if the filter answers.
    pub answer: Option<Answer>,
    /// What the filter writes to its log.
    pub log: Vec<String>,
    /// The question about Envoy's route that was answered.
    pub asked: Option<Route>,
}

/// A change of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is set to this; `None`: to a credential.
    Set(String, Option<String>),
    /// It is taken out.
    Remove(String),
}

/// An answer of the filter's own.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names and values. Those of gRPC's trailers are among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What is known of the surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// In place of what is fetched.
    pub files: &'a Files,
    /// What Envoy says of its route: the name of a cluster, or of the connection in its metadata.
    pub route: Option<&'a str>,
    /// The client's certificate.
    pub peer: Option<&'a Peer>,
}

/// Plays `request`.
///
/// # Errors
/// If something is needed that no file has.
pub fn play(request: &Request, around: &Around<'_>, context: &Context<'_>) -> Result<Played, String> {
    Ok(begun(request, around, context)?.0)
}

/// Plays `request` and, if it goes on, this answer of the agent to it: what the client gets.
///
/// # Errors
/// If something is needed that no file has.
pub fn answered(request: &Request, around: &Around<'_>, agent: Answer, context: &Context<'_>) -> Result<(Answer, Vec<String>), String> {
    let (played, mut exchange, interest) = begun(request, around, context)?;
    let mut log = played.log;
    if let Some(answer) = played.answer {
        return Ok((answer, log));
    }
    if !interest.headers {
        return Ok((agent, log));
    }
    let pairs = agent.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let head = Event::ResponseHeaders { status: agent.status, end_of_stream: false, headers: Headers::new(pairs) };
    let content = agent.body.clone();
    let mut seen = agent;
    let outcome = exchange.on(head, context);
    if !seen.change(outcome.effects, &mut log) && outcome.interest.response != Read::Nothing {
        seen.change(exchange.on(Event::ResponseBody { end: true, content }, context).effects, &mut log);
    }
    Ok((seen, log))
}

/// Plays `request` until it goes on or is answered.
fn begun(request: &Request, around: &Around<'_>, context: &Context<'_>) -> Result<(Played, Exchange, Interest), String> {
    let mut played = Played::default();
    let mut exchange = Exchange::default();
    let mut last = Interest::default();
    let mut is_fed = request.body.is_empty();
    let mut event = Event::RequestHeaders { headers: request.headers(), peer: around.peer.cloned().map(Box::new), end_of_stream: is_fed };
    for _ in 0..MOST {
        let is_settled = matches!(event, Event::Settled);
        let Outcome { effects, step, interest } = exchange.on(event, context);
        last = interest;
        played.take(effects, context);
        if played.answer.is_some() {
            break;
        }
        // What came of the body while it waited is told of at once.
        let unread = if is_settled && step == Step::Pause { exchange.unread_body() } else { None };
        event = match (step, interest.wait.until, unread) {
            (Step::AskRoute(question), ..) => {
                played.asked = Some(question);
                Event::Route(routed(question, around.route))
            }
            (_, _, Some(part)) => told(&part, &request.body),
            (Step::Pause, Some(want), None) => {
                played.log.extend(around.files.give(want, context.runtime, context.now)?);
                Event::Settled
            }
            _ if is_fed || interest.request == Read::Nothing => break,
            _ => {
                is_fed = true;
                told(&exchange.body_came(request.body.len(), true), &request.body)
            }
        };
    }
    Ok((played, exchange, last))
}

/// What a route of Envoy must be for `connection`'s credential to go out on it.
pub fn pinned(config: &Config, connection: &str) -> Option<String> {
    let found = config.connections.iter().find(|own| own.name == connection)?;
    match found.pin.as_ref()? {
        Pin::Clusters(clusters) => clusters.first().cloned(),
        Pin::RouteMetadata(_) => Some(connection.to_owned()),
        Pin::None | Pin::OwnCluster => None,
    }
}

fn routed(question: Route, given: Option<&str>) -> Vec<u8> {
    match question {
        Route::Cluster | Route::Metadata => given.unwrap_or_default().as_bytes().to_vec(),
        // It has been sent on once: the filter stands in the cluster.
        Route::Attempts => 1_u64.to_le_bytes().to_vec(),
    }
}

fn told(part: &Part, body: &[u8]) -> Event {
    part.event(body.get(part.range.clone()).unwrap_or_default().to_vec())
}

impl Played {
    fn take(&mut self, effects: Vec<Effect>, context: &Context<'_>) {
        let mut more = Vec::new();
        for effect in effects {
            match effect {
                Effect::SetHeader(name, HeaderValue::Text(value)) => self.changes.push(Change::Set(name.into_owned(), Some(value))),
                Effect::SetHeader(name, HeaderValue::Secret(_)) => self.changes.push(Change::Set(name.into_owned(), None)),
                Effect::RemoveHeader(name) => self.changes.push(Change::Remove(name.into_owned())),
                Effect::ReplaceRequestBody(bytes) => self.body = Some(bytes),
                Effect::Reply(reply) => self.answer = Some(Answer::from((reply, std::mem::take(&mut more)))),
                Effect::ReplyHeader(name, value) => more.push((name, value)),
                Effect::Answer(whole) => {
                    let Whole { status, headers, body } = *whole;
                    self.answer = Some(Answer { status, headers, body });
                }
                Effect::Audit(record) => self.records.extend(line(&record, context)),
                Effect::Log(_, text) => self.log.push(text),
                // These are about answers of the agent, statistics and filter state. What is fetched, the machine waits for.
                Effect::SetResponseHeader(..)
                | Effect::AddResponseHeader(..)
                | Effect::RemoveResponseHeader(_)
                | Effect::ReplaceResponseBody(_)
                | Effect::CountUse { .. }
                | Effect::CountConsent { .. }
                | Effect::CountLinks { .. }
                | Effect::SetState(..)
                | Effect::Fetch(_)
                | Effect::Note(_) => {}
            }
        }
    }

    /// The decision that counts: the last one.
    pub fn record(&self) -> Option<&Value> {
        self.records.last()
    }

    /// The headers that go on, with `None` for a credential that the filter attached.
    pub fn upstream(&self, headers: &Headers) -> Vec<(String, Option<Vec<u8>>)> {
        let mut list: Vec<(String, Option<Vec<u8>>)> =
            headers.pairs().map(|(name, value)| (name.to_owned(), Some(value.to_vec()))).collect();
        for change in &self.changes {
            match change {
                Change::Remove(name) => list.retain(|(own, _)| own != name),
                Change::Set(name, value) => {
                    let value = value.as_ref().map(|value| value.clone().into_bytes());
                    match list.iter_mut().find(|(own, _)| own == name) {
                        Some((_, old)) => *old = value,
                        None => list.push((name.clone(), value)),
                    }
                }
            }
        }
        list
    }
}

fn line(record: &Record, context: &Context<'_>) -> Option<Value> {
    serde_json::from_str(&record.line(context.now)).ok()
}

impl Answer {
    /// Does to the agent's answer what these effects say. Whether another took its place.
    fn change(&mut self, effects: Vec<Effect>, log: &mut Vec<String>) -> bool {
        let mut is_over = false;
        for effect in effects {
            match effect {
                Effect::SetResponseHeader(name, value) => {
                    self.headers.retain(|(own, _)| *own != name);
                    self.headers.push((name.into_owned(), value));
                }
                Effect::AddResponseHeader(name, value) => self.headers.push((name.into_owned(), value)),
                Effect::RemoveResponseHeader(name) => self.headers.retain(|(own, _)| *own != name),
                Effect::ReplaceResponseBody(bytes) => self.body = bytes,
                Effect::Reply(reply) => {
                    *self = Self::from((reply, Vec::new()));
                    is_over = true;
                }
                Effect::Answer(whole) => {
                    let Whole { status, headers, body } = *whole;
                    *self = Self { status, headers, body };
                    is_over = true;
                }
                Effect::Log(_, text) => log.push(text),
                _ => {}
            }
        }
        is_over
    }
}

impl From<(Reply, Vec<(String, String)>)> for Answer {
    fn from((reply, more): (Reply, Vec<(String, String)>)) -> Self {
        let Reply { status, grpc_status, headers, body } = reply;
        let mut headers: Vec<(String, String)> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(more).collect();
        match grpc_status {
            None => Self { status, headers, body: body.into_bytes() },
            Some(code) => {
                headers.push(("grpc-status".to_owned(), code.to_string()));
                headers.push(("grpc-message".to_owned(), body));
                Self { status: 200, headers, body: Vec::new() }
            }
        }
    }
}

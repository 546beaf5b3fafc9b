//! The push-notification configuration in the body of a whole request: where it leads, and the same body with a token in it. It is
//! found in every place and spelling that [`places`](super::places) and [`fields`](super::fields) know, and what could be read in two ways is refused.

use super::fields::{config_fields, config_path};
use super::places::{CREATED, INLINE, MAX_TEXT_BYTES};
use super::push::Target;
use crate::config::HttpUri;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::protobuf::{Writer, graft, only};
use crate::wire::scan::{Asked, End, Fault, Found, Keep, Kind, Limits, Plan, Scanner, Step};
use crate::wire::{grpc_frame, path, protobuf};
use std::ops::Range;
use std::rc::Rc;
use thiserror::Error;

/// By how many bytes a body may grow: a token of [`MAX_TOKEN_BYTES`] in two members, and what stands around it.
pub const MAX_GROWTH: usize = 2 * MAX_TOKEN_BYTES + 80;

/// A longer token is put nowhere.
pub const MAX_TOKEN_BYTES: usize = 160;

/// The field of an authentication that holds its credentials, in both packages.
const CREDENTIALS: u32 = 2;

/// The one authentication scheme (RFC 6750) that a token goes with.
const SCHEME: &str = "Bearer";

/// Why a body gets no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlaceError {
    /// It cannot be read in one way.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// The same of a gRPC message.
    #[error("{0}")]
    Message(#[from] protobuf::Fault),
    /// Two configurations, or parts of one in two places.
    #[error("the push notification configuration stands in two places")]
    Several,
    /// The task of a configuration of its own is missing, or there are two.
    #[error("the configuration is not for exactly one task")]
    Task,
    /// Neither place for a token is free.
    #[error("token and authentication of the push notification configuration are both taken")]
    Taken,
}

/// Whether requests for `operation` may hold a push-notification configuration.
#[must_use]
pub const fn may_hold(operation: Operation) -> bool {
    matches!(operation, Operation::SendMessage | Operation::SendStreamingMessage | Operation::CreateTaskPushNotificationConfig)
}

/// What is asked of bodies in JSON. Made once.
#[derive(Debug)]
pub struct Plans {
    /// Of JSON-RPC and HTTP+JSON, each for requests that send and for those that create.
    json: [[Questions; 2]; 2],
}

#[derive(Debug)]
struct Questions {
    plan: Rc<Plan>,
    containers: Vec<Container>,
    /// Where the task is named, and whether that is a resource name.
    tasks: Vec<(Asked, bool)>,
}

/// The questions about one place for configurations.
#[derive(Debug)]
struct Container {
    itself: Asked,
    url: Asked,
    token: Asked,
    authentication: Asked,
    credentials: Asked,
}

/// Tells tokens that were put in before: what holds one is as good as empty.
pub type IsOwn<'a> = &'a dyn Fn(&str) -> bool;

/// A configuration in a body.
#[derive(Debug)]
pub struct PushPlace {
    /// Where it leads; `None` if there is no text that says so.
    pub url: Option<String>,
    /// The task that the body names, for a configuration of its own.
    pub task: Option<String>,
    edit: Edit,
}

/// How a token gets in.
#[derive(Debug)]
enum Edit {
    Json {
        /// Where the configuration ends: before its bracket.
        close: usize,
        token: Slot,
        authentication: Slot,
    },
    Message {
        operation: Operation,
        token: bool,
        authentication: bool,
    },
}

/// A member for a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Slot {
    #[default]
    Absent,
    /// There, with nothing in it.
    Empty(Range<usize>),
    Taken,
}

/// What is found in one place.
#[derive(Debug, Default)]
struct Seen {
    /// What stands there, if anything but `null` does.
    kind: Option<Kind>,
    close: usize,
    has_url: bool,
    url: Option<String>,
    token: Slot,
    authentication: Slot,
    /// Where the open authentication begins.
    open: usize,
    /// Its credentials are a token that was put in before.
    is_own: bool,
}

impl Default for Plans {
    fn default() -> Self {
        Self { json: [&["params"][..], &[]].map(|root| [Questions::new(root, &INLINE, false), Questions::new(root, &CREATED, true)]) }
    }
}

impl Questions {
    fn new(root: &[&str], containers: &[&[&str]], names_task: bool) -> Self {
        let mut plan = Plan::default();
        let steps = |path: &[&[&str]]| -> Vec<Step> { path.concat().iter().map(|name| Step::proto_json(name)).collect() };
        let ask = |container: &&[&str]| Container {
            itself: plan.ask_end(&steps(&[root, container])),
            url: plan.ask(&steps(&[root, container, &["url"]]), Keep::Text),
            token: plan.ask(&steps(&[root, container, &["token"]]), Keep::Raw),
            authentication: plan.ask_end(&steps(&[root, container, &["authentication"]])),
            credentials: plan.ask(&steps(&[root, container, &["authentication", "credentials"]]), Keep::Text),
        };
        let containers: Vec<_> = containers.iter().map(ask).collect();
        let mut tasks = Vec::new();
        for (container, name, is_name) in CREATED
            .iter()
            .filter(|_| names_task)
            .flat_map(|container| [("taskId", false), ("name", true), ("parent", true)].map(|(name, is_name)| (container, name, is_name)))
        {
            tasks.push((plan.ask(&steps(&[root, container, &[name]]), Keep::Text), is_name));
        }
        Self { plan: Rc::new(plan), containers, tasks }
    }

    /// The configuration in `body`, if there is one.
    fn read(&self, body: &[u8], is_own: IsOwn<'_>) -> Result<Option<PushPlace>, PlaceError> {
        let mut scanner = Scanner::new(Limits { text: MAX_TEXT_BYTES, ..Limits::default() }, Rc::clone(&self.plan));
        let mut seen: Vec<Seen> = self.containers.iter().map(|_| Seen::default()).collect();
        let mut tasks = Tasks::default();
        let mut rest = body;
        while let Some(found) = scanner.next(&mut rest)? {
            let at = body.len().saturating_sub(rest.len());
            if let Some((_, is_name)) = self.tasks.iter().find(|(asked, _)| *asked == found.asked) {
                tasks.add(found.kind, found.text, *is_name)?;
            }
            for (container, seen) in self.containers.iter().zip(&mut seen) {
                seen.note(container, &found, at, is_own);
            }
        }
        scanner.end()?;
        let is_created = !self.tasks.is_empty();
        let config = if is_created { created(seen)? } else { inline(seen)? };
        Ok(config.map(|seen| PushPlace {
            url: seen.url,
            task: tasks.0,
            edit: Edit::Json { close: seen.close, token: seen.token, authentication: seen.authentication },
        }))
    }
}

impl Seen {
    /// Takes note of what was found, which ends at `at` or, if it is an object or array of which the beginning is told, begins before it.
    fn note(&mut self, container: &Container, found: &Found<'_>, at: usize, is_own: IsOwn<'_>) {
        let length = found.text.map_or(1, str::len);
        let place = at.saturating_sub(length)..at;
        if found.asked == container.itself {
            match found.end {
                Some(_) => self.close = place.start,
                None => self.kind = Some(found.kind).filter(|kind| *kind != Kind::Null),
            }
        } else if found.asked == container.url {
            self.has_url = found.kind != Kind::Null;
            self.url = found.text.filter(|_| found.kind == Kind::String).map(str::to_owned);
        } else if found.asked == container.token {
            self.token = match (found.kind, found.text) {
                (Kind::Null, _) | (Kind::String, Some("\"\"")) => Slot::Empty(place),
                // No such token has anything that JSON escapes.
                (Kind::String, Some(text)) if is_own(text.trim_matches('"')) => Slot::Empty(place),
                _ => Slot::Taken,
            };
        } else if found.asked == container.authentication {
            let open = std::mem::replace(&mut self.open, place.start);
            self.authentication = match (found.kind, found.end) {
                (Kind::Null, _) => Slot::Empty(place),
                (Kind::Object, Some(End::Empty)) => Slot::Empty(open..at),
                (Kind::Object, Some(End::Filled)) if self.is_own => Slot::Empty(open..at),
                _ => Slot::Taken,
            };
        } else if found.asked == container.credentials {
            self.is_own = found.kind == Kind::String && found.text.is_some_and(is_own);
        }
    }

    fn has_credential(&self) -> bool {
        self.token == Slot::Taken || self.authentication == Slot::Taken
    }
}

/// The configuration of a send request: what stands in the one place that is there.
fn inline(seen: Vec<Seen>) -> Result<Option<Seen>, PlaceError> {
    let mut there = seen.into_iter().filter(|seen| seen.kind.is_some());
    match (there.next(), there.next()) {
        (_, Some(_)) => Err(PlaceError::Several),
        (one, None) => Ok(one),
    }
}

/// The configuration of a request that creates one: the places are inside each other, and it stands in the one that has the URL.
fn created(mut seen: Vec<Seen>) -> Result<Option<Seen>, PlaceError> {
    let place = seen.iter().position(|seen| seen.has_url).unwrap_or_default();
    let is_split = |(other, seen): (usize, &Seen)| other != place && (seen.has_url || seen.has_credential());
    if seen.iter().enumerate().any(is_split) {
        return Err(PlaceError::Several);
    }
    Ok((place < seen.len()).then(|| seen.swap_remove(place)))
}

/// The task that a body names, maybe more than once.
#[derive(Debug, Default)]
struct Tasks(Option<String>);

impl Tasks {
    fn add(&mut self, kind: Kind, text: Option<&str>, is_name: bool) -> Result<(), PlaceError> {
        let id = match (kind, text) {
            (Kind::Null, _) | (Kind::String, Some("")) => return Ok(()),
            (Kind::String, Some(name)) if is_name => match name.strip_prefix("tasks/").and_then(|rest| rest.split('/').next()) {
                Some(id) => id,
                // What is called so in a dialect that has no resource names is no task.
                None => return Ok(()),
            },
            (Kind::String, Some(id)) => id,
            _ => return Err(PlaceError::Task),
        };
        match &self.0 {
            Some(other) if other != id => Err(PlaceError::Task),
            _ => {
                self.0 = Some(id.to_owned());
                Ok(())
            }
        }
    }
}

impl Plans {
    /// The configuration in `body`, the whole body of a request for `operation`, if there is one.
    ///
    /// # Errors
    /// If the body cannot be read in one way.
    pub fn find(
        &self,
        (binding, operation, version): (Binding, Operation, Version),
        body: &[u8],
        is_own: IsOwn<'_>,
    ) -> Result<Option<PushPlace>, PlaceError> {
        if !may_hold(operation) {
            return Ok(None);
        }
        let [send, create] = match (binding, &self.json) {
            (Binding::Jsonrpc, [jsonrpc, _]) => jsonrpc,
            (Binding::HttpJson, [_, http_json]) => http_json,
            (Binding::Grpc, _) => return in_message(operation, version, grpc_frame::unwrap(body)?, is_own),
        };
        if operation == Operation::CreateTaskPushNotificationConfig { create.read(body, is_own) } else { send.read(body, is_own) }
    }
}

/// The configuration in the message of a gRPC method.
fn in_message(operation: Operation, version: Version, message: &[u8], is_own: IsOwn<'_>) -> Result<Option<PushPlace>, PlaceError> {
    let text = |message, number| {
        let bytes = only(message, number)?.unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| protobuf::Fault::NotUtf8).map(|text| (!text.is_empty()).then_some(text))
    };
    let mut tasks = Tasks::default();
    let named: &[(u32, &[u32])] = match (operation, version) {
        (Operation::CreateTaskPushNotificationConfig, Version::V1_0) => &[(3, &[])],
        (Operation::CreateTaskPushNotificationConfig, Version::V0_3) => &[(1, &[]), (1, &[3])],
        _ => &[],
    };
    for (number, within) in named {
        let within = within.iter().try_fold(message, |message, number| only(message, *number).map(Option::unwrap_or_default))?;
        tasks.add(Kind::String, text(within, *number)?.or(Some("")), version == Version::V0_3)?;
    }
    let mut config = message;
    for number in config_path(operation, version).unwrap_or_default() {
        match only(config, *number)? {
            Some(inside) => config = inside,
            None => return Ok(None),
        }
    }
    let (url, token, authentication) = config_fields(version);
    let within = only(config, authentication)?.unwrap_or_default();
    Ok(Some(PushPlace {
        url: text(config, url)?.map(str::to_owned),
        task: tasks.0,
        edit: Edit::Message {
            operation,
            token: text(config, token)?.is_none_or(is_own),
            authentication: within.is_empty() || text(within, CREDENTIALS)?.is_some_and(is_own),
        },
    }))
}

impl PushPlace {
    /// Whether the configuration leads to `webhook` or below it, for every reader.
    #[must_use]
    pub fn leads_to(&self, webhook: &HttpUri) -> bool {
        let Some(url) = &self.url else { return false };
        // What the stricter of two readers takes.
        let uri = Target::parse(url).ok().and_then(|_| HttpUri::try_from(url.clone()).ok());
        let prefix = webhook.path().strip_suffix('/').filter(|prefix| !prefix.is_empty()).unwrap_or(webhook.path());
        uri.is_some_and(|uri| {
            let path = path::split_query(uri.path()).0;
            uri.has_origin_of(webhook) && !path::is_ambiguous(path) && path::strip_segments(path, prefix).is_some()
        })
    }

    /// `body`, in which this was found, with `token` in the members that are free. The token is one for headers: visible ASCII that JSON
    /// does not escape.
    ///
    /// # Errors
    /// If none is, or the body cannot be read.
    pub fn with(&self, body: &[u8], token: &str, version: Version) -> Result<Vec<u8>, PlaceError> {
        match &self.edit {
            Edit::Json { token: Slot::Taken, authentication: Slot::Taken, .. }
            | Edit::Message { token: false, authentication: false, .. } => Err(PlaceError::Taken),
            Edit::Json { close, token: own, authentication } => {
                let scheme = match version {
                    Version::V0_3 => format!("\"schemes\":[\"{SCHEME}\"]"),
                    Version::V1_0 => format!("\"scheme\":\"{SCHEME}\""),
                };
                let members = [
                    ("token", own, format!("\"{token}\"")),
                    ("authentication", authentication, format!("{{{scheme},\"credentials\":\"{token}\"}}")),
                ];
                Ok(in_json(body, *close, members))
            }
            Edit::Message { operation, token: own, authentication } => {
                let (_, token_field, authentication_field) = config_fields(version);
                let (mut more, mut within) = (Writer::default(), Writer::default());
                if *own {
                    more.bytes(token_field, token.as_bytes());
                }
                if *authentication {
                    within.bytes(1, SCHEME.as_bytes());
                    within.bytes(CREDENTIALS, token.as_bytes());
                    more.bytes(authentication_field, &within.end());
                }
                let free = [(*own, token_field), (*authentication, authentication_field)];
                let without: Vec<u32> = free.into_iter().filter(|(free, _)| *free).map(|(_, number)| number).collect();
                let path = config_path(*operation, version).unwrap_or_default();
                let message = graft(grpc_frame::unwrap(body)?, path, &without, &more.end())?;
                Ok(grpc_frame::wrap(&message).ok_or(protobuf::Fault::TooLong)?)
            }
        }
    }
}

/// `body` with these members, each with its place and what comes there, in the object that ends before `close`. Something is in it.
fn in_json(body: &[u8], close: usize, members: [(&str, &Slot, String); 2]) -> Vec<u8> {
    let mut changes: Vec<(Range<usize>, String)> = Vec::with_capacity(2);
    for (name, slot, value) in members {
        match slot {
            Slot::Absent => changes.push((close..close, format!(",\"{name}\":{value}"))),
            Slot::Empty(place) => changes.push((place.clone(), value)),
            Slot::Taken => {}
        }
    }
    // What stands at one place stays in its order.
    changes.sort_by_key(|(place, _)| place.start);
    let mut out = Vec::with_capacity(body.len().saturating_add(MAX_GROWTH));
    let mut done = 0;
    for (place, value) in changes {
        out.extend_from_slice(body.get(done..place.start).unwrap_or_default());
        out.extend_from_slice(value.as_bytes());
        done = place.end;
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;

//! What is found out about a request on its way through, for the record of its decision and for the trace that a trusted
//! caller may see.

use crate::config::{Agent, Audit, AuditLevel, AuditLogLevel, Config, SubjectForm};
use crate::flow::event::Level;
use crate::flow::event::decision::{Decision, Recipient, Used};
use crate::flow::event::note::Note;
use crate::flow::event::reason::Reason;
use crate::flow::event::record::{About, Record, Said, cut, cut_detail};
use crate::flow::event::target::Target;
use crate::identity::Caller;
use crate::policy::links::Links;
use crate::protocol::task_state::AUTH_REQUIRED;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::header::{Headers, safe_value};
use crate::wire::path::split_query;
use crate::wire::time::UnixTime;
use std::fmt::Write as _;
use std::rc::Rc;

/// Longest request id that is taken, in bytes.
const MAX_REQUEST_ID: usize = 128;
/// Bytes that are kept of a host and of a path: more than a record shows, so that it says where it cut.
const MAX_PLACE: usize = 300;
/// Longest trace, in bytes.
const MAX_TRACE: usize = 2048;

/// What is known of a request so far.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    started: UnixTime,
    request_id: RequestId,
    /// Where it goes: host and path without the query, with a line feed between, as far as the record of a refusal has them.
    place: Option<String>,
    target: Option<Target>,
    version: Option<Version>,
    binding: Option<Binding>,
    operation: Option<Operation>,
    caller: Option<Rc<Caller>>,
    shadowed: Vec<Reason>,
    /// What was wrong first.
    detail: Option<String>,
    judged: Option<String>,
    /// What few records have.
    rare: Option<Box<Rare>>,
    used: Option<Used>,
    is_endorsed: bool,
    decided: Option<(Decision, Option<Reason>)>,
    /// The lowest [`Level::number`] that the proxy writes to its log.
    lowest: u32,
}

#[derive(Clone, Debug, Default)]
struct Rare {
    act: Option<&'static str>,
    about: Option<Rc<Caller>>,
    status: Option<u16>,
    links: Option<Links>,
}

impl Facts {
    /// A request whose headers arrive now.
    #[must_use]
    pub fn new(headers: &Headers, now: UnixTime) -> Self {
        let id = headers.single_ascii("x-request-id").map(RequestId::new).unwrap_or_default();
        Self { started: now, request_id: id, ..Self::default() }
    }

    /// The same, with what the record of the request can need.
    #[must_use]
    pub fn begin(headers: &Headers, now: UnixTime, config: &Config, lowest: u32) -> Self {
        let facts = Self { lowest, ..Self::new(headers, now) };
        if !tells(config, lowest) {
            return facts;
        }
        let (host, path) = (headers.single_ascii(":authority"), headers.single_ascii(":path"));
        let (host, path) = (host.unwrap_or_default(), split_query(path.unwrap_or_default()).0);
        let (host, path) = (host.get(..MAX_PLACE).unwrap_or(host), path.get(..MAX_PLACE).unwrap_or(path));
        Self { place: Some([host, "\n", path].concat()), ..facts }
    }

    /// `text` of something that an operator should mend, with the id of the request that brought it to light.
    #[must_use]
    pub fn warning(&self, text: String) -> String {
        match self.request_id.as_str() {
            Some(id) if !id.is_empty() => format!("{text} (request {id})"),
            _ => text,
        }
    }

    /// Takes `note`; gives the record if it is a decision.
    pub fn take(&mut self, note: Note, config: &Config) -> Option<Record> {
        match note {
            Note::For(target) => self.target = Some(target),
            Note::Is { version, binding, operation } => {
                self.version = Some(version);
                self.binding = binding;
                self.operation = operation.or(self.operation);
            }
            Note::From(caller) => self.caller = Some(caller),
            Note::Shadowed(reason, detail) => {
                if !self.shadowed.contains(&reason) {
                    self.shadowed.push(reason);
                    self.detail = self.detail.take().or(detail);
                }
            }
            Note::Does(act) => self.rare.get_or_insert_default().act = Some(act),
            Note::About(user) => self.rare.get_or_insert_default().about = Some(user),
            Note::Answered(status) => self.rare.get_or_insert_default().status = Some(status),
            Note::Judged(trace) => self.judged = Some(trace),
            Note::Attached(used) => self.used = Some(used),
            Note::Endorsed => self.is_endorsed = true,
            Note::Links(links) => self.rare.get_or_insert_default().links = Some(links),
            Note::AuthRequired => return Some(Record { task_state: Some(AUTH_REQUIRED), ..self.record(config) }),
            Note::Allowed if self.shadowed.is_empty() => return Some(self.decide(Decision::Allow, None, config)),
            Note::Allowed => return Some(self.decide(Decision::ShadowDeny, self.shadowed.first().copied(), config)),
            Note::Refused(reason, binding, detail) => {
                self.binding = self.binding.or(binding);
                self.detail = detail;
                return Some(self.decide(Decision::Deny, Some(reason), config));
            }
        }
        None
    }

    /// The trace for a caller who may see it: everything that was decided with, and the decision.
    #[must_use]
    pub fn trace(&self, config: &Config) -> Option<(String, String)> {
        let (trace, judged) = (config.debug.as_ref()?, self.judged.as_ref()?);
        let (record, said) = (self.record(config), self.said(config));
        let mut text = String::new();
        let caller = [
            ("issuer", said.issuer.as_deref()),
            ("tenant", said.tenant.as_deref()),
            ("client", said.client.as_deref()),
            ("kind", said.kind),
        ];
        let facts = [
            ("agent", Some(said.place.name())),
            ("version", record.version.map(Version::as_str)),
            ("binding", record.binding.map(Binding::name)),
            ("operation", record.operation.map(Operation::name)),
        ];
        for (name, value) in facts.into_iter().chain(caller).filter_map(|(name, value)| Some((name, value?))) {
            let _ = write!(text, "{name}={value}; ");
        }
        let _ = write!(text, "{judged}; decision={}", record.decision.name());
        if let Some(reason) = record.reason {
            let _ = write!(text, "; reason={}", reason.code());
        }
        let mut value = safe_value(&text);
        value.truncate(MAX_TRACE);
        Some((trace.header.clone(), value))
    }

    /// Whether somebody is to see the trace.
    #[must_use]
    pub const fn is_traced(&self) -> bool {
        self.judged.is_some()
    }

    fn decide(&mut self, decision: Decision, reason: Option<Reason>, config: &Config) -> Record {
        self.decided = Some((decision, reason));
        self.record(config)
    }

    fn record(&self, config: &Config) -> Record {
        let Audit { level, log_level, filter_state, .. } = config.audit;
        let (decision, reason) = self.decided.unwrap_or((Decision::Deny, None));
        let logged = match level {
            AuditLevel::All => true,
            AuditLevel::Denied => decision != Decision::Allow,
            AuditLevel::None => false,
        };
        let log_level = level_of(log_level);
        // A line that the proxy would drop is not made.
        let log = (logged && log_level.number() >= self.lowest).then_some(log_level);
        let is_said = log.is_some() || filter_state;
        Record {
            started: self.started,
            target: self.target,
            version: self.version,
            binding: self.binding,
            operation: self.operation,
            decision,
            reason,
            task_state: None,
            said: is_said.then(|| Box::new(self.said(config))),
            log,
            state: filter_state,
        }
    }

    fn said(&self, config: &Config) -> Said {
        let place = match self.target {
            Some(Target::Agent(index)) => Recipient::Agent(config.agents.get(index).map_or_else(String::new, |agent| agent.name.clone())),
            Some(Target::Connection(index)) => {
                Recipient::Connection(config.connections.get(index).map_or_else(String::new, |connection| connection.name.clone()))
            }
            Some(Target::Webhook(index)) => {
                Recipient::Webhook(config.webhooks.get(index).map_or_else(String::new, |webhook| webhook.name.clone()))
            }
            None => Recipient::Nowhere,
        };
        let caller = self.caller.as_deref();
        let voucher = caller.and_then(|caller| caller.origin.voucher(config));
        let subject = caller.and_then(|caller| subject_of(caller, config));
        let rare = self.rare.as_deref();
        let about = rare.and_then(|rare| rare.about.as_deref()).map(|user| About {
            issuer: user.origin.voucher(config).map(|voucher| cut(voucher.name())),
            tenant: user.tenant.as_deref().map(cut),
            subject: subject_of(user, config),
        });
        let refused = self.decided.is_some_and(|(decision, _)| decision != Decision::Allow);
        let where_to = self.place.as_deref().filter(|_| refused).and_then(|place| place.split_once('\n'));
        let part = |text: &str| (!text.is_empty()).then(|| cut(text));
        Said {
            request_id: self.request_id.as_str().map(str::to_owned),
            place,
            issuer: voucher.map(|voucher| cut(voucher.name())),
            tenant: caller.and_then(|caller| caller.tenant.as_deref()).map(cut),
            subject,
            client: caller.and_then(|caller| caller.client.as_deref()).map(cut),
            kind: caller.map(|caller| caller.kind.as_str()),
            host: where_to.and_then(|(host, _)| part(host)),
            path: where_to.and_then(|(_, path)| part(path)),
            detail: self.detail.as_deref().filter(|_| refused).map(cut_detail),
            shadowed: self.shadowed.clone(),
            used: self.used,
            push: (self.is_endorsed && !refused).then_some("token"),
            act: rare.and_then(|rare| rare.act),
            about,
            links: rare.and_then(|rare| rare.links.clone()),
            status: rare.and_then(|rare| rare.status),
        }
    }
}

/// The subject of `caller`, as the configuration lets records have it.
fn subject_of(caller: &Caller, config: &Config) -> Option<String> {
    match config.audit.subject {
        SubjectForm::Plain => caller.subject.as_deref().map(cut),
        SubjectForm::Digest => caller.pseudonym(caller.origin.authority(config).map_or("", |(_, name)| name)).map(str::to_owned),
        SubjectForm::None => None,
    }
}

/// The request's own id, in place where it is as long as Envoy's.
#[derive(Clone, Debug, Default)]
enum RequestId {
    #[default]
    Missing,
    Short([u8; UUID], u8),
    Long(Box<str>),
}

/// Bytes of a UUID, as Envoy makes ids.
const UUID: usize = 36;

impl RequestId {
    fn new(id: &str) -> Self {
        let mut short = [0; UUID];
        match (short.get_mut(..id.len()), u8::try_from(id.len())) {
            (Some(bytes), Ok(length)) => {
                bytes.copy_from_slice(id.as_bytes());
                Self::Short(short, length)
            }
            _ if id.len() <= MAX_REQUEST_ID => Self::Long(id.into()),
            _ => Self::Missing,
        }
    }

    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Missing => None,
            Self::Short(bytes, length) => str::from_utf8(bytes.get(..usize::from(*length))?).ok(),
            Self::Long(id) => Some(id),
        }
    }
}

/// Whether refusals leave a line that says what was wrong. `lowest`: the lowest [`Level::number`] that the proxy writes to its log.
#[must_use]
pub fn tells(config: &Config, lowest: u32) -> bool {
    let Audit { level, log_level, filter_state, .. } = config.audit;
    filter_state || (level != AuditLevel::None && level_of(log_level).number() >= lowest)
}

const fn level_of(level: AuditLogLevel) -> Level {
    match level {
        AuditLogLevel::Debug => Level::Debug,
        AuditLogLevel::Info => Level::Info,
        AuditLogLevel::Warn => Level::Warn,
    }
}

/// Whether a refusal for `reason` is reported, not enforced, at `agent`: by what its class is for callers.
#[must_use]
pub const fn is_shadowed(agent: &Agent, reason: Reason) -> bool {
    match (reason, reason.http_status()) {
        (Reason::KeysUnavailable, _) | (_, 401) => agent.shadow.authentication,
        (Reason::TenantRefused, _) | (_, 403) => agent.shadow.authorization,
        (Reason::VersionMalformed | Reason::VersionConflict | Reason::VersionNotSupported | Reason::VersionMismatch, _) => {
            agent.shadow.version
        }
        _ => false,
    }
}

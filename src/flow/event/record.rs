//! The record of a decision: who asked for what, what was decided and why, and how long it took. One line of JSON for
//! the log and for filter state, in visible ASCII. It never holds a token, a key, or more of a person than is configured.

use crate::flow::event::decision::{Decision, Recipient, Used};
use crate::flow::event::level::Level;
use crate::flow::event::metric::Count;
use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::policy::links::Links;
use crate::protocol::{Binding, Operation, Version};
use crate::wire::json::ascii;
use crate::wire::time::UnixTime;
use serde::Serialize;

/// Most letters of a text that a caller or its issuer chose.
const MAX_TEXT: usize = 256;
/// Most letters of what is wrong.
const MAX_DETAIL: usize = 512;
/// Room for a usual line.
const LINE: usize = 512;

/// A decision, complete but for the time that it took.
#[derive(Clone, Debug)]
pub struct Record {
    /// When the request's headers arrived.
    pub started: UnixTime,
    pub(in crate::flow) target: Option<Target>,
    pub(in crate::flow) version: Option<Version>,
    pub(in crate::flow) binding: Option<Binding>,
    pub(in crate::flow) operation: Option<Operation>,
    pub(in crate::flow) decision: Decision,
    pub(in crate::flow) reason: Option<Reason>,
    /// It is of the answer to a request that went on before, which has a task in this state.
    pub(in crate::flow) task_state: Option<&'static str>,
    /// What else its line says; nothing where there is none to write.
    pub(in crate::flow) said: Option<Box<Said>>,
    /// The level at which its line is to be in the log.
    pub log: Option<Level>,
    /// The line is to be filter state.
    pub state: bool,
}

/// What the line of a decision says besides what is counted.
#[derive(Clone, Debug)]
pub struct Said {
    pub(in crate::flow) request_id: Option<String>,
    pub(in crate::flow) place: Recipient,
    pub(in crate::flow) issuer: Option<String>,
    pub(in crate::flow) tenant: Option<String>,
    pub(in crate::flow) subject: Option<String>,
    pub(in crate::flow) client: Option<String>,
    pub(in crate::flow) kind: Option<&'static str>,
    /// Where the request went, if it was refused.
    pub(in crate::flow) host: Option<String>,
    /// The same, without the query.
    pub(in crate::flow) path: Option<String>,
    /// What was wrong with it.
    pub(in crate::flow) detail: Option<String>,
    pub(in crate::flow) shadowed: Vec<Reason>,
    pub(in crate::flow) used: Option<Used>,
    /// What was put into its push-notification configuration.
    pub(in crate::flow) push: Option<&'static str>,
    /// What it does, where that is no operation of A2A.
    pub(in crate::flow) act: Option<&'static str>,
    pub(in crate::flow) about: Option<About>,
    /// Links in the answer.
    pub(in crate::flow) links: Option<Links>,
    /// What it was answered with, where that is not the status of its refusal.
    pub(in crate::flow) status: Option<u16>,
}

/// Whom it is about, where that is somebody else than who sent it.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::flow) issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::flow) tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::flow) subject: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<&'a About>,
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadow: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<UsedLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    links: Option<&'a Links>,
    latency_us: u64,
}

#[derive(Serialize)]
struct UsedLine {
    method: &'static str,
    from: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u64>,
}

/// What stands before a line in the log.
const IN_LOG: &str = "attache: audit ";

impl Record {
    /// The record as one line of JSON, if the decision is complete `now`.
    #[must_use]
    pub fn line(&self, now: UnixTime) -> String {
        self.written("", now)
    }

    /// What the log gets, and what of it is the line, in one text.
    #[must_use]
    pub fn logged(&self, now: UnixTime) -> (String, usize) {
        (self.written(IN_LOG, now), IN_LOG.len())
    }

    fn written(&self, before: &str, now: UnixTime) -> String {
        let denied = self.reason.filter(|_| self.decision == Decision::Deny);
        let said = self.said.as_deref();
        let (mut agent, mut connection, mut webhook) = (None, None, None);
        match said.map(|said| &said.place) {
            Some(Recipient::Agent(name)) => agent = Some(name.as_str()),
            Some(Recipient::Connection(name)) => connection = Some(name.as_str()),
            Some(Recipient::Webhook(name)) => webhook = Some(name.as_str()),
            Some(Recipient::Nowhere) | None => {}
        }
        let line = Line {
            time: now.rfc3339(),
            request_id: said.and_then(|said| said.request_id.as_deref()),
            agent,
            connection,
            webhook,
            version: self.version.map(Version::as_str),
            binding: self.binding.map(Binding::name),
            operation: self.operation.map(Operation::name).or_else(|| said.and_then(|said| said.act)),
            issuer: said.and_then(|said| said.issuer.as_deref()),
            tenant: said.and_then(|said| said.tenant.as_deref()),
            subject: said.and_then(|said| said.subject.as_deref()),
            client: said.and_then(|said| said.client.as_deref()),
            kind: said.and_then(|said| said.kind),
            about: said.and_then(|said| said.about.as_ref()),
            decision: self.decision.name(),
            reason: self.reason.map(Reason::code),
            detail: said.and_then(|said| said.detail.as_deref()),
            host: said.and_then(|said| said.host.as_deref()),
            path: said.and_then(|said| said.path.as_deref()),
            shadow: said.iter().flat_map(|said| &said.shadowed).map(|reason| reason.code()).collect(),
            credential: said.and_then(|said| said.used).map(|used| UsedLine {
                method: used.method,
                from: used.origin,
                age: used.age.map(|age| age.as_secs()),
            }),
            push: said.and_then(|said| said.push),
            status: denied.map(|reason| said.and_then(|said| said.status).unwrap_or(reason.http_status())),
            task_state: self.task_state,
            links: said.and_then(|said| said.links.as_ref()),
            latency_us: self.microseconds(now),
        };
        // Names, texts and numbers: nothing in it can fail to be JSON.
        let mut text = Vec::with_capacity(LINE);
        text.extend_from_slice(before.as_bytes());
        let written = serde_json::to_writer(&mut text, &line);
        written.ok().and_then(|()| String::from_utf8(text).ok()).map(ascii).unwrap_or_default()
    }

    /// How long it took, if it is complete `now`.
    #[must_use]
    pub fn microseconds(&self, now: UnixTime) -> u64 {
        u64::try_from(now.since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether it is of an answer, and not a decision.
    #[must_use]
    pub const fn is_of_answer(&self) -> bool {
        self.task_state.is_some()
    }

    /// The call through a connection (by index) that goes on: in which binding, what it asks for, and in which version.
    #[must_use]
    pub fn leaves(&self) -> Option<(usize, (Binding, Operation, Version))> {
        let (Some(Target::Connection(index)), Some(version)) = (self.target, self.version) else { return None };
        self.goes_on().map(|(binding, operation)| (index, (binding, operation, version)))
    }

    /// In which binding the request goes on, and what it asks for; `None` if it does not, or that is not known.
    #[must_use]
    pub fn goes_on(&self) -> Option<(Binding, Operation)> {
        let is_allowed = self.decision != Decision::Deny && !self.is_of_answer();
        self.binding.zip(self.operation).filter(|_| is_allowed)
    }

    /// What to count.
    #[must_use]
    pub const fn count(&self) -> Count {
        let Self { target, version, binding, operation, decision, reason, .. } = *self;
        Count { target, version, binding, operation, decision, reason }
    }
}

/// The beginning of `text`, with a mark if it is not all.
#[must_use]
pub fn cut(text: &str) -> String {
    cut_at(text, MAX_TEXT)
}

/// The same of what is wrong with a request.
#[must_use]
pub fn cut_detail(text: &str) -> String {
    cut_at(text, MAX_DETAIL)
}

fn cut_at(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Binding, Operation, Reason, UnixTime, Version};
    use crate::config::Config;
    use crate::flow::event::note::Note;
    use crate::flow::event::target::Target;
    use crate::flow::request::facts::Facts;
    use crate::identity::{Caller, Origin};
    use crate::wire::header::Headers;
    use serde_json::{Value, json};
    use std::rc::Rc;
    use std::time::Duration;

    fn config(audit: Value) -> Config {
        let config = json!({
            "issuers": [{"name": "corp", "issuer": "https://auth.example.com", "audiences": ["a"], "jwks": {"inline": {"keys": []}}}],
            "schemes": {"oauth2": {"bearer": {"issuers": ["corp"]}}},
            "agents": [{"name": "expense", "match": {"hosts": ["*"], "path_prefix": "/"}, "versions": {"1.0": {"bindings": ["jsonrpc"]}},
                        "default_version": "1.0", "security": [{"oauth2": []}]}],
            "audit": audit, "debug": {"allow": ["cli"]}
        });
        Config::parse(config.to_string().as_bytes()).unwrap()
    }

    fn line(audit: Value, id: &str, subject: &str, notes: Vec<Note>) -> (Value, String) {
        let config = config(audit);
        let headers = Headers::new(vec![("x-request-id".to_owned(), id.as_bytes().to_vec())]);
        let mut facts = Facts::new(&headers, UnixTime::from_secs(1000));
        let caller = Caller { subject: Some(subject.to_owned()), client: Some("cli".to_owned()), ..Caller::of(Origin::Issuer(0)) };
        for note in [
            Note::For(Target::Agent(0)),
            Note::Is { version: Version::V1_0, binding: Some(Binding::Jsonrpc), operation: Some(Operation::GetTask) },
            Note::From(Rc::new(caller)),
        ] {
            assert!(facts.take(note, &config).is_none());
        }
        let record = notes.into_iter().filter_map(|note| facts.take(note, &config)).last().unwrap();
        let line = record.line(UnixTime::new(Duration::from_micros(1_000_000_250)));
        (serde_json::from_str(&line).unwrap(), line)
    }

    #[test]
    fn a_line_says_who_what_and_why() {
        let (value, text) = line(json!({"subject": "plain"}), "r-1", "ann", vec![Note::Allowed]);
        assert_eq!(
            value,
            json!({"time": "1970-01-01T00:16:40.000250Z", "request_id": "r-1", "agent": "expense", "version": "1.0",
                   "binding": "jsonrpc", "operation": "GetTask", "issuer": "corp", "subject": "ann", "client": "cli",
                   "kind": "service", "decision": "allow", "latency_us": 250})
        );
        assert!(text.starts_with(r#"{"time":"1970-01-01T00:16:40.000250Z","request_id":"r-1","agent":"#), "{text}");
        let (value, _) = line(json!({}), "r", "ann", vec![Note::Refused(Reason::AccessDenied, None, None)]);
        assert_eq!((&value["decision"], &value["reason"], &value["status"]), (&json!("deny"), &json!("access_denied"), &json!(403)));
        let shadowed = vec![Note::Shadowed(Reason::VersionConflict, None), Note::Shadowed(Reason::AccessDenied, None), Note::Allowed];
        let (value, _) = line(json!({}), "r", "ann", shadowed);
        assert_eq!((&value["decision"], &value["reason"]), (&json!("shadow_deny"), &json!("version_conflict")));
        assert_eq!((&value["shadow"], &value["status"]), (&json!(["version_conflict", "access_denied"]), &Value::Null));
    }

    #[test]
    fn a_subject_is_written_as_configured() {
        // printf 'https://auth.example.com\nann' | sha256sum | head -c 32
        let digest = "sha256:6a4525272c0a8e6df5aca64f6ef209c1";
        let of = |audit| line(audit, "r", "ann", vec![Note::Allowed]).0["subject"].clone();
        assert_eq!((of(json!({"subject": "plain"})), of(json!({"subject": "none"}))), (json!("ann"), Value::Null));
        assert!(of(json!({})).as_str().unwrap().starts_with(digest), "{}", of(json!({})));
    }

    #[test]
    fn nothing_that_a_caller_chooses_breaks_or_fills_the_log() {
        let odd = format!("a\r\n\"}}{{\u{202e}{}", "é".repeat(20_000));
        let (value, text) = line(json!({"subject": "plain"}), &"x".repeat(129), &odd, vec![Note::Allowed]);
        assert!(text.len() < 2500 && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{text}");
        assert!(value["subject"].as_str().unwrap().ends_with("é…") && value.get("request_id").is_none());
    }

    #[test]
    fn a_warning_ends_with_the_id_of_its_request_and_a_detail_is_bounded() {
        let warning = |id: &str| {
            let headers = Headers::new(vec![("x-request-id".to_owned(), id.as_bytes().to_vec())]);
            Facts::new(&headers, UnixTime::default()).warning("odd".to_owned())
        };
        for length in [1, 35, 36, 37, 128] {
            let id = "a".repeat(length);
            assert_eq!(warning(&id), format!("odd (request {id})"));
        }
        assert_eq!((warning(&"a".repeat(129)), warning("")), ("odd".to_owned(), "odd".to_owned()));
        let long = Note::Refused(Reason::AccessDenied, None, Some("é".repeat(10_000)));
        let (value, text) = line(json!({}), "r", "ann", vec![long]);
        assert_eq!(value["detail"].as_str().unwrap().chars().count(), 513);
        assert!(text.len() < 4000, "{}", text.len());
        let (value, _) = line(json!({}), "r", "ann", vec![Note::Shadowed(Reason::AccessDenied, Some("why".into())), Note::Allowed]);
        assert_eq!((&value["detail"], &value["decision"]), (&json!("why"), &json!("shadow_deny")));
    }

    #[test]
    fn a_trace_is_bounded_and_fits_into_a_header() {
        let config = config(json!({}));
        let mut facts = Facts::new(&Headers::default(), UnixTime::default());
        assert!(facts.trace(&config).is_none());
        facts.take(Note::Judged(format!("é\r\n{}", "x".repeat(3000))), &config);
        facts.take(Note::Allowed, &config);
        let (name, value) = facts.trace(&config).unwrap();
        assert_eq!((name.as_str(), value.len()), ("x-attache-explain", 2048));
        assert!(value.starts_with("agent=none; %C3%A9%0D%0Ax"), "{value}");
    }
}

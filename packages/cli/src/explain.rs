//! `attache explain`: why a request is decided as it is, step by step.

use crate::callers::{self, Who};
use crate::fetch::{FetchArgs, Files};
use crate::open::{ConfigArgs, TimeArgs, read};
use crate::page::Page;
use crate::play::{Answer, Around, Played, pinned, play};
use crate::request::Request;
use crate::skill::Named;
use crate::{rules, skill, token};
use attache::config::{KeyPlace, Scheme};
use attache::flow::event::target::Target;
use attache::flow::{Context, Runtime};
use attache::identity::bearer;
use attache::identity::signature::Software;
use attache::identity::{Caller, Peer};
use attache::protocol::{Binding, Operation, Version};
use attache::wire::hex;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::rc::Rc;

/// What `attache explain` takes.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The request: an HTTP message, a line of curl, a HAR file, or JSON; standard input, if it is left out
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    fetch: FetchArgs,
    #[command(flatten)]
    time: TimeArgs,
    /// Which request of a HAR file: 1 is the first
    #[arg(long, value_name = "N", default_value_t = 1)]
    entry: usize,
    /// Where Envoy's route leads: a cluster, or a connection for a pin by metadata. Without it, where the pin says
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    #[command(flatten)]
    peer: PeerArgs,
}

/// The client's certificate, which Envoy has verified.
#[derive(Debug, Args)]
struct PeerArgs {
    /// The URI in the client's certificate, such as a SPIFFE ID
    #[arg(long, value_name = "URI")]
    peer_uri: Option<String>,
    /// The DNS name in the client's certificate
    #[arg(long, value_name = "NAME")]
    peer_dns: Option<String>,
    /// The subject of the client's certificate
    #[arg(long, value_name = "SUBJECT")]
    peer_subject: Option<String>,
    /// The SHA-256 of the client's certificate, in hexadecimal
    #[arg(long, value_name = "SHA256")]
    peer_digest: Option<String>,
}

impl PeerArgs {
    fn peer(&self) -> Result<Option<Peer>, String> {
        let digest =
            self.peer_digest.as_ref().map(|text| hex::decode(text).ok_or("--peer-digest: write 64 hexadecimal digits")).transpose()?;
        let peer = Peer { uri: self.peer_uri.clone(), dns: self.peer_dns.clone(), subject: self.peer_subject.clone(), digest };
        Ok((peer != Peer::default()).then_some(peer))
    }
}

/// What is asked, and what came of it.
struct Case<'a> {
    request: &'a Request,
    played: Played,
    context: Context<'a>,
    files: &'a Files,
    peer: Option<&'a Peer>,
    notes: Vec<String>,
}

/// Explains the decision. `true`: the request goes on.
///
/// # Errors
/// If something cannot be read, or is needed and not given.
pub fn explain(args: &ExplainArgs) -> Result<(Page, bool), String> {
    let (name, text) = read(&args.file)?;
    let request = Request::read(&text, args.entry).map_err(|error| format!("{name}: {error}"))?;
    let opened = args.config.open()?;
    let (files, peer) = (args.fetch.read()?, args.peer.peer()?);
    let context = Context { runtime: &opened.runtime, verifier: &Software, now: args.time.now() };
    let mut case = Case { request: &request, played: Played::default(), context, files: &files, peer: peer.as_ref(), notes: Vec::new() };
    case.play(args.route.as_deref())?;
    let mut page = Page::default();
    case.head(&mut page);
    case.caller(&mut page)?;
    case.decision(&mut page);
    case.notes.extend(opened.notes(case.target().map(|(target, _)| target)));
    page.notes(&case.notes);
    Ok((page, case.said("decision") != Some("deny")))
}

impl Case<'_> {
    /// Plays the request; once more with the route that the pin asks for, if nobody says where it leads.
    fn play(&mut self, route: Option<&str>) -> Result<(), String> {
        let around = Around { files: self.files, route, peer: self.peer };
        self.played = play(self.request, &around, &self.context)?;
        let connection = self.said("connection").filter(|_| route.is_none() && self.played.asked.is_some());
        if let Some(pin) = connection.and_then(|name| pinned(self.context.runtime.config(), name)) {
            self.notes.push(format!("Envoy's route is taken to lead to {pin:?}, as the pin says: --route NAME says otherwise"));
            self.played = play(self.request, &Around { route: Some(&pin), ..around }, &self.context)?;
        }
        Ok(())
    }

    fn said(&self, member: &str) -> Option<&str> {
        self.played.record()?[member].as_str()
    }

    fn operation(&self) -> Option<Operation> {
        let name = self.said("operation")?;
        Operation::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// The skill that it is for, where its agent tells skills apart.
    fn skill(&self) -> Option<Named> {
        let (Target::Agent(index), _) = self.target()? else { return None };
        let agent = self.context.runtime.config().agents.get(index).filter(|agent| agent.skill_from.is_some())?;
        let (binding, version) = (self.said("binding")?, self.said("version")?);
        let binding = [Binding::Jsonrpc, Binding::HttpJson, Binding::Grpc].into_iter().find(|own| own.name() == binding)?;
        let version = [Version::V0_3, Version::V1_0].into_iter().find(|own| own.as_str() == version)?;
        Some(skill::named(agent, (binding, self.operation()?, version), self.request))
    }

    /// Whom it is for, by the place in the configuration and by name.
    fn target(&self) -> Option<(Target, String)> {
        let config = self.context.runtime.config();
        if let Some(name) = self.said("agent") {
            let index = config.agents.iter().position(|agent| agent.name == name)?;
            return Some((Target::Agent(index), format!("agents[{index}]")));
        }
        if let Some(name) = self.said("webhook") {
            let index = config.webhooks.iter().position(|webhook| webhook.name == name)?;
            return Some((Target::Webhook(index), format!("webhooks[{index}]")));
        }
        let name = self.said("connection")?;
        let index = config.connections.iter().position(|connection| connection.name == name)?;
        Some((Target::Connection(index), format!("connections[{index}]")))
    }

    /// What the request is, and for whom.
    fn head(&self, page: &mut Page) {
        page.heading("request");
        page.text(&format!("{}, {} bytes of body", self.request.line(), self.request.body.len()));
        let name = ["agent", "connection", "webhook"].into_iter().find_map(|member| self.said(member));
        let whom = match (self.target(), name) {
            (Some((_, place)), Some(name)) => format!("{place} {name:?}"),
            _ if self.played.answer.is_some() && self.played.record().is_none() => "the filter itself".to_owned(),
            _ => "nobody: no match has its host and path".to_owned(),
        };
        page.row("for", &whom);
        let mut told = Map::new();
        for member in ["version", "binding", "operation"] {
            page.row(member, self.said(member).unwrap_or("not known"));
            told.insert(member.to_owned(), json!(self.said(member)));
        }
        if let Some(skill) = self.skill() {
            let (shown, name) = match &skill {
                Named::Skill(name) => (name.as_str(), json!(name)),
                Named::Nothing => ("none is named", Value::Null),
                Named::Unreadable => ("cannot be read", Value::Null),
            };
            page.row("skill", shown);
            told.insert("skill".to_owned(), name);
        }
        told.insert("for".to_owned(), json!(whom));
        page.json("request", Value::Object(told));
    }

    /// Who calls, and what the rules say to that.
    fn caller(&self, page: &mut Page) -> Result<(), String> {
        let Some((target, place)) = self.target() else { return Ok(()) };
        let headers = self.request.headers();
        if let Ok(text) = bearer::token(&headers) {
            token::decoded(text, self.context.now, page);
        }
        if let (Target::Agent(index), Some(operation)) = (target, self.said("operation"))
            && operation == Operation::GetAgentCard.name()
            && self.context.runtime.config().agents.get(index).is_some_and(|agent| agent.card.access.is_public())
        {
            page.heading(&format!("caller, by {place}.card.access"));
            page.text("The card is public: nothing of the caller is looked at.");
            return Ok(());
        }
        // A connection or a webhook that asks nothing of its callers knows none.
        let asks = match target {
            Target::Agent(_) => true,
            Target::Connection(index) => {
                self.context.runtime.config().connections.get(index).is_some_and(|connection| connection.security.is_some())
            }
            Target::Webhook(index) => self.context.runtime.config().webhooks.get(index).is_some_and(|webhook| webhook.security.is_some()),
        };
        if !asks {
            return Ok(());
        }
        let Some(who) = callers::who(target, &headers, self.peer, &self.context, self.files)? else { return Ok(()) };
        page.heading(&format!("caller, by {place}.security"));
        let (verdict, caller) = match who {
            Who::Admitted(caller) => (json!({"accepted": true}), Some(caller)),
            Who::Refused(caller, reason, detail) => (json!({"accepted": false, "reason": reason.code(), "detail": detail}), caller),
        };
        page.verdict(&verdict);
        callers::good(&verdict).iter().for_each(|good| page.row("good so far", good));
        let told = caller.as_ref().map(|caller| callers::told(caller, &self.context));
        told.iter().flatten().for_each(|(name, value)| page.row(name, &token::shown(value)));
        page.json("caller", json!({"verdict": verdict, "caller": told}));
        if let (Target::Agent(index), Some(caller)) = (target, caller) {
            self.rules(index, &caller, &place, page);
        }
        Ok(())
    }

    fn rules(&self, index: usize, caller: &Rc<Caller>, place: &str, page: &mut Page) {
        let config = self.context.runtime.config();
        let (Some(agent), Some(operation)) = (config.agents.get(index), self.operation()) else { return };
        let skill = self.skill().unwrap_or(Named::Nothing);
        let rules = rules::told(agent, (operation, skill.skill()), caller, config);
        if rules.is_empty() || operation == Operation::GetAgentCard {
            return;
        }
        page.heading(&format!("rules, {place}.access"));
        for rule in &rules {
            let skills = match &rule["skills"] {
                Value::Null => String::new(),
                skills => format!(" (skills {})", token::shown(skills)),
            };
            let decides = if rule["decides"] == true { ", and decides" } else { "" };
            let says = format!("{}{skills}: {}{decides}", token::shown(&rule["rule"]), token::shown(&rule["says"]));
            match rule["met"].as_bool() {
                Some(is_met) => page.mark(is_met, &says),
                None => page.text(&format!("  {says}")),
            }
        }
        page.json("rules", Value::Array(rules));
    }

    /// What becomes of the request.
    fn decision(&self, page: &mut Page) {
        page.heading("decision");
        match (self.said("decision"), self.said("reason"), &self.played.answer) {
            (_, Some(reason), Some(_)) => page.mark(false, &format!("refused: {reason}")),
            (_, Some(reason), None) => page.mark(true, &format!("goes on, though it would be refused without shadow: {reason}")),
            (_, None, Some(_)) => page.mark(true, "the filter answers itself"),
            (Some(_), None, None) => page.mark(true, "goes on"),
            (None, None, None) => page.mark(true, "goes on unchecked: nothing matches it, and unmatched is pass"),
        }
        if let Some(detail) = self.said("detail") {
            page.text(&format!("  {detail}"));
        }
        page.json("record", self.played.record().cloned().unwrap_or_default());
        match &self.played.answer {
            Some(answer) => told_answer(answer, page),
            None => self.upstream(page),
        }
        if !self.played.log.is_empty() {
            page.heading("the filter's log");
            self.played.log.iter().for_each(|line| page.text(line));
        }
        page.json("log", json!(self.played.log));
    }

    fn upstream(&self, page: &mut Page) {
        page.heading("what is sent on");
        let mut told = Vec::new();
        let before = self.request.headers();
        for (name, value) in self.played.upstream(&before) {
            let value = match &value {
                None => "(a credential, attached)".to_owned(),
                Some(_) if is_credential(&name, self.context.runtime) => "(a credential of the client, not shown)".to_owned(),
                Some(value) if name == ":path" => shown_path(&String::from_utf8_lossy(value)),
                Some(value) => String::from_utf8_lossy(value).into_owned(),
            };
            page.row(&name, &value);
            told.push(json!([name, value]));
        }
        let body = match &self.played.body {
            Some(body) => format!("{} bytes, changed", body.len()),
            None => format!("{} bytes, as they came", self.request.body.len()),
        };
        page.row("body", &body);
        page.json("upstream", json!({"headers": told, "body": body}));
    }
}

/// What the caller reads.
fn told_answer(answer: &Answer, page: &mut Page) {
    page.heading("what the caller reads");
    page.row("status", &answer.status.to_string());
    answer.headers.iter().for_each(|(name, value)| page.row(name, value));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let document: Option<Value> = serde_json::from_str(&text).ok();
    match &document {
        Some(document) => format!("{document:#}").lines().for_each(|line| page.text(&format!("  {line}"))),
        None if text.is_empty() => {}
        None => page.text(&format!("  {text}")),
    }
    let body = document.unwrap_or(Value::String(text));
    page.json("answer", json!({"status": answer.status, "headers": answer.headers, "body": body}));
}

/// Whether a header carries a credential of the client, or may.
fn is_credential(name: &str, runtime: &Runtime) -> bool {
    let telling = ["authorization", "cookie", "token", "key", "secret", "password", "credential"];
    let is_key = |scheme: &Scheme| matches!(scheme, Scheme::ApiKey(key) if key.place == KeyPlace::Header && key.name == name);
    runtime.credential_headers().contains(name)
        || runtime.config().schemes().values().any(is_key)
        || telling.iter().any(|word| name.contains(word))
}

/// A path without the values of its query: one of them can be a key.
fn shown_path(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let names: Vec<String> =
        query.split('&').map(|pair| pair.split_once('=').map_or(pair.to_owned(), |(name, _)| format!("{name}=…"))).collect();
    format!("{path}?{}", names.join("&"))
}

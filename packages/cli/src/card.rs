//! `attache card`: an agent's card as each client gets it.

use crate::fetch::FetchArgs;
use crate::open::{ConfigArgs, TimeArgs, read};
use crate::page::Page;
use crate::play::{Answer, Around, answered};
use crate::request::Request;
use attache::card::paths::WELL_KNOWN;
use attache::config::{self, CardSource, HostPattern};
use attache::flow::Context;
use attache::identity::signature::Software;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What `attache card` takes.
#[derive(Debug, Args)]
pub struct CardArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The agent, if there are several
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Headers that clients send besides, a line each, such as Authorization: where the card is not public
    #[arg(long, value_name = "FILE")]
    headers: Option<PathBuf>,
    #[command(flatten)]
    fetch: FetchArgs,
    #[command(flatten)]
    time: TimeArgs,
}

/// Clients by what they send.
const CLIENTS: [(&str, Option<&str>); 3] = [("that names no version", None), ("of A2A 0.3", Some("0.3")), ("of A2A 1.0", Some("1.0"))];

/// The card for each of them. `true`: all get one.
///
/// # Errors
/// If something cannot be read, or is needed and not given.
pub fn card(args: &CardArgs) -> Result<(Page, bool), String> {
    let (opened, files) = (args.config.open()?, args.fetch.read()?);
    let context = Context { runtime: &opened.runtime, verifier: &Software, now: args.time.now() };
    let agents = &opened.runtime.config().agents;
    let agent = match (&args.agent, agents.as_slice()) {
        (Some(name), agents) => {
            agents.iter().find(|agent| agent.name == *name).ok_or_else(|| format!("there is no agent called {name:?}"))?
        }
        (None, [one]) => one,
        (None, []) => return Err("the configuration has no agents".to_owned()),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|agent| agent.name.as_str()).collect();
            return Err(format!("there are several agents: name one of {} with --agent", names.join(", ")));
        }
    };
    let own = match (&agent.card.source, files.card(&agent.name)) {
        (CardSource::Upstream, None) => {
            return Err(format!("the card of agent {:?} is needed: give it with --card {}=FILE", agent.name, agent.name));
        }
        (_, card) => card.unwrap_or_default().to_owned(),
    };
    let more = args.headers.as_deref().map(lines).transpose()?.unwrap_or_default();
    let around = Around { files: &files, route: None, peer: None };
    let mut page = Page::default();
    let (mut told, mut all) = (Vec::new(), true);
    let mut before: Option<Vec<u8>> = None;
    // Which versions an agent has that says it in its card, the clients find out.
    let is_offered =
        |version: Option<&str>| agent.offers_by_card() || version.is_none_or(|version| agent.versions().any(|own| own.as_str() == version));
    for (client, version) in CLIENTS.into_iter().filter(|(_, version)| is_offered(*version)) {
        let request = asked(agent, version, &more);
        let upstream = Answer {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: own.clone().into_bytes(),
        };
        let (answer, log) = answered(&request, &around, upstream, &context)?;
        all &= answer.status == 200;
        page.heading(&format!("a client {client}: {}", request.line()));
        page.row("status", &answer.status.to_string());
        answer.headers.iter().for_each(|(name, value)| page.row(name, value));
        let document: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&answer.body)));
        match &before {
            Some(same) if *same == answer.body => page.text("the same as before"),
            _ => format!("{document:#}").lines().for_each(|line| page.text(line)),
        }
        log.iter().for_each(|line| page.text(&format!("the filter's log: {line}")));
        told.push(
            json!({"client": client, "version": version, "status": answer.status, "headers": answer.headers, "body": document, "log": log}),
        );
        before = Some(answer.body);
    }
    page.json("cards", Value::Array(told));
    Ok((page, all))
}

/// A client's request for the card.
fn asked(agent: &config::Agent, version: Option<&str>, more: &[(String, String)]) -> Request {
    let host = agent.target.hosts.iter().find_map(HostPattern::host).unwrap_or("agent.example");
    let prefix = agent.target.path_prefix.as_str().trim_end_matches('/');
    let path = match (&agent.card.at, agent.card.paths.0.iter().next()) {
        (Some(place), _) => format!("{}{}", place.path, place.parameter.as_ref().map(|pair| format!("?{pair}")).unwrap_or_default()),
        (None, None) => format!("{prefix}{WELL_KNOWN}"),
        // A path of its own for each version: the one of the client's version, else the first.
        (None, Some(first)) => {
            let own = agent.card.paths.0.iter().find(|(own, _)| Some(own.as_str()) == version);
            format!("{prefix}{}", own.unwrap_or(first).1)
        }
    };
    let pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", host), (":path", &path)];
    let version = version.map(|version| ("a2a-version".to_owned(), version.to_owned()));
    let headers = pseudo.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().chain(version).chain(more.iter().cloned());
    Request { headers: headers.map(|(name, value)| (name, value.into_bytes())).collect(), body: Vec::new() }
}

fn lines(file: &Path) -> Result<Vec<(String, String)>, String> {
    let (name, text) = read(file)?;
    let one = |line: &str| {
        let (header, value) = line.split_once(':').ok_or_else(|| format!("{name}: each line is a name, a colon and a value"))?;
        Ok((header.trim().to_ascii_lowercase(), value.trim().to_owned()))
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(one).collect()
}

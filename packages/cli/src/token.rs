//! `attache token`: what a token says, and what each agent of a configuration makes of it. The signature is never shown.

use crate::callers::{self, Who};
use crate::fetch::FetchArgs;
use crate::open::{ConfigArgs, TimeArgs, read};
use crate::page::Page;
use attache::flow::Context;
use attache::flow::event::target::Target;
use attache::identity::signature::Software;
use attache::wire::base64url;
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// What `attache token` takes.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// The file with the token; standard input, if it is left out
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The configuration: any file that `attache check` takes
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which filter of the file, if there are several: 1 is the first
    #[arg(long, value_name = "N", requires = "config", value_parser = clap::value_parser!(u64).range(1..))]
    plugin: Option<u64>,
    /// Judge it at this agent alone
    #[arg(long, value_name = "NAME", requires = "config")]
    agent: Option<String>,
    #[command(flatten)]
    fetch: FetchArgs,
    #[command(flatten)]
    time: TimeArgs,
}

/// Claims that are moments (RFC 7519 section 4.1).
const MOMENTS: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

/// What the token is, and whether some agent takes it.
///
/// # Errors
/// If something cannot be read, or is needed and not given.
pub fn token(args: &TokenArgs) -> Result<(Page, bool), String> {
    let (_, text) = read(&args.file)?;
    let token = bare(&text);
    let now = args.time.now();
    let mut page = Page::default();
    decoded(&token, now, &mut page);
    let Some(config) = args.config.clone() else { return Ok((page, true)) };
    let (opened, files) = (ConfigArgs { config, plugin: args.plugin }.open()?, args.fetch.read()?);
    let context = Context { runtime: &opened.runtime, verifier: &Software, now };
    let agents = opened.runtime.config().agents.iter().enumerate();
    let agents: Vec<_> = agents.filter(|(_, agent)| args.agent.as_ref().is_none_or(|name| *name == agent.name)).collect();
    if agents.is_empty() {
        return Err(match &args.agent {
            Some(name) => format!("there is no agent called {name:?}"),
            None => "the configuration has no agents".to_owned(),
        });
    }
    let list = [(":method", "POST"), (":path", "/"), (":authority", "agent"), ("authorization", &format!("Bearer {token}"))];
    let headers = Headers::new(list.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec());
    let mut is_taken = false;
    let (mut judged, mut notes) = (Vec::new(), Vec::new());
    for (index, agent) in agents {
        let Some(who) = callers::who(Target::Agent(index), &headers, None, &context, &files)? else { continue };
        page.heading(&format!("agents[{index}] {:?}", agent.name));
        let (verdict, caller) = match who {
            Who::Admitted(caller) => (json!({"accepted": true}), Some(caller)),
            Who::Refused(caller, reason, detail) => {
                (json!({"accepted": false, "reason": reason.code(), "detail": detail, "status": reason.http_status()}), caller)
            }
        };
        notes = opened.notes(Some(Target::Agent(index)));
        is_taken |= verdict["accepted"] == true;
        page.verdict(&verdict);
        callers::good(&verdict).iter().for_each(|good| page.row("good so far", good));
        let caller = caller.map(|caller| callers::told(&caller, &context));
        caller.iter().flatten().for_each(|(name, value)| page.row(name, &shown(value)));
        judged.push(json!({"agent": agent.name, "verdict": verdict, "caller": caller}));
    }
    page.json("judged", Value::Array(judged));
    page.notes(&notes);
    Ok((page, is_taken))
}

/// The token alone, where the line of a header was given.
fn bare(text: &str) -> String {
    let text = text.trim();
    let is_field = |name: &str| name.trim().eq_ignore_ascii_case("authorization");
    let text = text.split_once(':').filter(|(name, _)| is_field(name)).map_or(text, |(_, rest)| rest.trim());
    let is_bearer = |scheme: &str| scheme.eq_ignore_ascii_case("bearer");
    text.split_once(' ').filter(|(scheme, _)| is_bearer(scheme)).map_or(text, |(_, rest)| rest.trim()).to_owned()
}

/// Tells header and claims, if it is a JWT.
pub fn decoded(token: &str, now: UnixTime, page: &mut Page) {
    let part = |index: usize| {
        let bytes = base64url::decode(token.split('.').nth(index)?)?;
        serde_json::from_slice::<Map<String, Value>>(&bytes).ok()
    };
    page.heading("token");
    let (Some(header), Some(claims)) = (part(0), part(1)) else {
        page.text("This is no JWT: nothing of it can be read.");
        return page.json("token", Value::Null);
    };
    let tell = |members: &Map<String, Value>, page: &mut Page| {
        for (name, value) in members {
            let moment = value.as_f64().filter(|_| MOMENTS.contains(&name.as_str())).map(|seconds| told(seconds, now));
            page.row(name, &format!("{}{}", shown(&safe(value)), moment.unwrap_or_default()));
        }
    };
    page.text("header");
    tell(&header, page);
    page.text("claims, as the token says them");
    tell(&claims, page);
    let members = |members: Map<String, Value>| members.into_iter().map(|(name, value)| (name, safe(&value))).collect::<Map<_, _>>();
    page.json("token", json!({"header": members(header), "claims": members(claims)}));
}

/// When a moment is.
fn told(seconds: f64, now: UnixTime) -> String {
    let Ok(since) = Duration::try_from_secs_f64(seconds) else { return String::new() };
    let moment = UnixTime::new(since);
    let distance = |span: Duration| match span.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    };
    let written = moment.rfc3339();
    let written = written.split('.').next().unwrap_or_default();
    if moment > now {
        format!("  {written}Z, in {}", distance(moment.since(now)))
    } else {
        format!("  {written}Z, {} ago", distance(now.since(moment)))
    }
}

/// A value of a claim. One that looks like a token itself is left out.
fn safe(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("eyJ") && text.contains('.') => json!("(a token, not shown)"),
        Value::Array(list) => list.iter().map(safe).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), safe(value))).collect::<Map<_, _>>().into(),
        other => other.clone(),
    }
}

/// A value on one line.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) if list.iter().all(Value::is_string) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{bare, safe, told};
    use attache::wire::time::UnixTime;
    use serde_json::json;

    #[test]
    fn a_token_is_found_in_the_line_that_carries_it() {
        for text in ["a.b.c", " a.b.c\n", "Bearer a.b.c", "bearer  a.b.c", "Authorization: Bearer a.b.c\n", "authorization:Bearer a.b.c"] {
            assert_eq!(bare(text), "a.b.c", "{text}");
        }
    }

    #[test]
    fn tokens_in_tokens_are_not_shown() {
        assert_eq!(safe(&json!({"a": ["eyJh.b.c", "x"]})), json!({"a": ["(a token, not shown)", "x"]}));
    }

    #[test]
    fn moments_are_told_from_now() {
        let now = UnixTime::from_secs(1_000_000);
        assert_eq!(told(1_000_042.0, now), "  1970-01-12T13:47:22Z, in 42 s");
        assert_eq!(told(0.5, now), "  1970-01-01T00:00:00Z, 11 days ago");
        assert_eq!(told(-1.0, now), "");
    }
}

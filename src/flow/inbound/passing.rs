//! Cards that pass unchanged, because the agent has no `public_url`: one is looked at, once, whether it leads clients around the proxy.

use crate::card::Card;
use crate::card::model::MAX_BYTES;
use crate::config::HttpUri;
use crate::flow::event::whole::Collected;
use crate::flow::event::{Effect, Event, Level};
use crate::flow::request::media;
use crate::flow::setup::agent::Agent;
use crate::flow::setup::runtime::Context;
use crate::wire::header::Headers;
use std::rc::Rc;

/// Longer URLs are cut in the log.
const LOGGED: usize = 200;

/// A card that is looked at as it passes.
#[derive(Debug)]
pub struct Passing {
    agent: Rc<Agent>,
    /// The request's.
    authority: String,
    /// What has come of it, once its head shows that it can be read.
    collected: Option<Collected>,
}

impl Passing {
    /// The card of `agent` that a request for `authority` asks for.
    #[must_use]
    pub const fn new(agent: Rc<Agent>, authority: String) -> Self {
        Self { agent, authority, collected: None }
    }

    /// A part of the answer came. Nothing becomes of it.
    pub fn on(&mut self, event: &Event, context: &Context<'_>, effects: &mut Vec<Effect>) {
        match event {
            Event::ResponseHeaders { status: 200, end_of_stream: false, headers } => {
                self.collected = is_readable(headers).then(|| Collected::stream(MAX_BYTES));
            }
            Event::ResponseBody { end, content } => {
                let Some(collected) = &mut self.collected else { return };
                if collected.add(content).is_err() {
                    self.collected = None;
                } else if *end {
                    let bytes = collected.take();
                    self.collected = None;
                    effects.extend(self.warning(&bytes, context).map(|text| Effect::Log(Level::Warn, text)));
                }
            }
            _ => {}
        }
    }

    /// Whether the parts of the response's body should come.
    #[must_use]
    pub const fn reads(&self) -> bool {
        self.collected.is_some()
    }

    /// What the operator should know of the card.
    fn warning(&self, bytes: &[u8], context: &Context<'_>) -> Option<String> {
        let card = Card::read(bytes).ok()?;
        if !context.runtime.supply().looks_at_card_of(self.agent.index) {
            return None;
        }
        let interfaces = card.interfaces();
        let elsewhere = interfaces.iter().find(|stated| !is_at(stated.url, &self.authority))?;
        let url: String = without_secrets(elsewhere.url).chars().take(LOGGED).collect();
        Some(format!(
            "the card of agent {:?} passes unchanged and names {url:?}, which is not at {:?}: clients that read it call the agent there, \
             past this proxy. Give the agent a public_url",
            self.agent.name, self.authority
        ))
    }
}

/// `url` without user information, query and fragment: they may hold a password or a key, and the log has none.
fn without_secrets(url: &str) -> &str {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    plain.rsplit_once('@').map_or(plain, |(_, behind)| behind)
}

/// Whether `url` is at `authority`. That of an interface of gRPC has no scheme.
fn is_at(url: &str, authority: &str) -> bool {
    let read = |text: String| HttpUri::try_from(text).ok();
    let uri = read(url.to_owned()).or_else(|| read(format!("https://{url}")));
    let is_own = |uri: &HttpUri| read(format!("{}://{authority}", uri.scheme())).is_some_and(|own| uri.has_origin_of(&own));
    uri.as_ref().is_some_and(is_own)
}

fn is_readable(headers: &Headers) -> bool {
    media::unreadable(headers).is_none() && headers.all("content-encoding").all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::{is_at, without_secrets};

    #[test]
    fn no_secret_of_a_url_is_logged() {
        for (url, shown) in [
            ("https://a.example/x", "https://a.example/x"),
            ("https://user:secret@a.example/x?key=secret#secret", "a.example/x"),
            ("https://a.example?key=user@secret", "https://a.example"),
            ("user:secret@a.example:50051", "a.example:50051"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn an_origin_is_the_same_with_and_without_its_usual_port() {
        for (url, authority) in [
            ("https://a.example/x", "a.example"),
            ("https://A.example:443/x", "a.example"),
            ("https://a.example/x", "a.example:443"),
            ("http://a.example:80", "a.example"),
            ("http://127.0.0.1:8080/a", "127.0.0.1:8080"),
            ("a.example:443", "a.example"),
            ("a.example:50051", "a.example:50051"),
        ] {
            assert!(is_at(url, authority), "{url} {authority}");
        }
        for (url, authority) in [
            ("https://b.example/x", "a.example"),
            ("https://a.example:8443/x", "a.example"),
            ("http://10.0.0.7:9000/", "a.example"),
            ("10.0.0.7:50051", "a.example"),
            ("", "a.example"),
        ] {
            assert!(!is_at(url, authority), "{url} {authority}");
        }
    }
}

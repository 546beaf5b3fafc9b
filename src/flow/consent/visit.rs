//! A browser at the consent host: a link is opened, the user signs in, agrees, and the grant is kept. Everything that a browser brings is
//! held against what was sealed before: the link, the cookie, and the answers of both servers.

use super::asked::Asked;
use super::cookie;
use super::doing::{Doing, Next};
use super::form::{self, MOST_BYTES, Parameters};
use super::owner::Owner;
use super::page::Page;
use super::ping::Ping;
use super::site::{Browser, Site};
use super::steps::RETRY;
use crate::flow::event::call::Want;
use crate::flow::event::reason::Reason;
use crate::flow::event::{Effect, Event, Level, Step, Value};
use crate::flow::progress::{Progress, answer, withheld};
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::setup::runtime::Context;
use crate::protocol::Binding;
use crate::protocol::envelope::Id;
use std::fmt;
use std::rc::Rc;

/// A visit that is not answered yet.
pub struct Visit {
    browser: Rc<Browser>,
    doing: Doing,
}

impl fmt::Debug for Visit {
    /// Without what is in flight: codes, tokens.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Visit").field("awaits", &self.awaits()).finish_non_exhaustive()
    }
}

/// Whether `head` is for the consent host.
pub(in crate::flow) fn is_meant(head: &Head<'_>, context: &Context<'_>) -> bool {
    let consent = context.runtime.config().consent.as_ref();
    consent.is_some_and(|consent| crate::wire::path::host(consent.public_url.authority()).as_deref() == Some(head.authority.host()))
}

/// Few requests are a browser's: what the others run through stays small.
#[cold]
#[inline(never)]
pub(in crate::flow) fn begin(
    head: &Head<'_>,
    end_of_stream: bool,
    context: &Context<'_>,
    effects: &mut Vec<Effect>,
) -> (Progress<Visit>, Step) {
    // Codes and links stand in the query: nothing behind this filter, and no log, has any of it.
    if head.query.is_some() {
        effects.push(Effect::SetHeader(":path".into(), Value::Text(head.path.to_owned())));
    }
    let request = head.headers.single_ascii("x-request-id").map(str::to_owned);
    let browser = Rc::new(Browser { request, cookies: cookie::read(head.headers) });
    let Some(site) = site(context, &browser) else {
        return plain(&browser, context, effects);
    };
    let next = match Asked::of(head, &site.consent.path) {
        Asked::Page(query) => site.open(query.ok().as_ref().and_then(|query| query.get("link"))),
        Asked::Begin if !form::is_form(head.headers) || !is_own_origin(head, &site) || end_of_stream => {
            Next::Answer(site.plain(&Page::StateMismatch))
        }
        Asked::Begin => Next::Wait(Box::new(Doing::Form(Vec::new()))),
        Asked::SignedIn(name, query) => site.signed_in(&name, query.ok().as_ref(), effects),
        Asked::Answered(name, query) => site.answered(&name, query.ok().as_ref(), effects),
        Asked::Ping(_) if end_of_stream => Denial::new(Reason::BodyMalformed).into(),
        Asked::Ping(name) => {
            Ping::begin(head, &name, context).map_or_else(Next::from, |ping| Next::Wait(Box::new(Doing::Pinged(Box::new(ping)))))
        }
        Asked::Grants(act) => Owner::begin(head, act, context, effects).into(),
        Asked::Otherwise(allow) => Next::Answer(site.plain(&Page::MethodNotAllowed { allow })),
        Asked::Nothing => Next::Answer(site.plain(&Page::NotFound)),
    };
    Visit::go_on(Rc::clone(&browser), next, context, effects)
}

/// Where no key has a value, nothing works.
fn plain(browser: &Rc<Browser>, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Visit>, Step) {
    let Some(consent) = &context.runtime.config().consent else { return (Progress::Done, Step::Pause) };
    let frame = super::page::Frame {
        host: consent.public_url.authority(),
        path: &consent.path,
        onward: &[],
        now: context.now,
        request: browser.request.as_deref(),
    };
    effects.push(Effect::Log(
        Level::Warn,
        "consent.keys: a key has no value (see secrets), or Envoy gives no random numbers: no user can agree".to_owned(),
    ));
    effects.push(Effect::Reply(Page::Unavailable { retry: RETRY }.reply(&frame)));
    (Progress::Done, Step::Pause)
}

fn site<'a>(context: &'a Context<'a>, browser: &'a Browser) -> Option<Site<'a>> {
    let consent = context.runtime.config().consent.as_ref()?;
    Some(Site { context, consent, ring: context.runtime.supply().ring()?, browser })
}

/// Whether a form comes from a page of ours, as far as the browser says (RFC 6454 section 7.3).
fn is_own_origin(head: &Head<'_>, site: &Site<'_>) -> bool {
    let own = [site.consent.public_url.scheme(), "://", site.consent.public_url.authority()].concat();
    // Under `referrer-policy: no-referrer` browsers may say `null` of their own pages.
    head.headers.all("origin").all(|origin| origin == own.as_bytes() || origin == b"null")
        && head.headers.all("sec-fetch-site").all(|site| site == b"same-origin")
}

impl Visit {
    pub(in crate::flow) const fn awaits(&self) -> Option<Want> {
        self.doing.awaits()
    }

    pub(in crate::flow) const fn awaits_body(&self) -> bool {
        matches!(self.doing, Doing::Form(_) | Doing::Pinged(_))
    }

    /// Whether the body is read.
    pub(in crate::flow) const fn reads(&self) -> bool {
        matches!(self.doing, Doing::Form(_) | Doing::Pinged(_))
    }

    #[cold]
    #[inline(never)]
    pub(in crate::flow) fn on(self: Box<Self>, event: Event, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Self>, Step) {
        let Self { browser, doing } = *self;
        let Some(site) = site(context, &browser) else { return plain(&browser, context, effects) };
        let next = match (event, doing) {
            (Event::RequestBody { end, chunk, .. }, Doing::Form(mut body)) => {
                body.extend_from_slice(&chunk);
                match Parameters::parse(&body) {
                    _ if body.len() > MOST_BYTES => Next::Answer(site.plain(&Page::StateMismatch)),
                    _ if !end => Next::Wait(Box::new(Doing::Form(body))),
                    form => site.begin(form.ok().as_ref()),
                }
            }
            (Event::RequestBody { end, chunk, .. }, Doing::Pinged(ping)) => ping.read(&chunk, end, context).into(),
            (Event::BodyWithheld, Doing::Form(_) | Doing::Pinged(_)) => return withheld(None, effects),
            (Event::Settled, doing) => site.settled(doing, effects),
            (_, doing) => Next::Wait(Box::new(doing)),
        };
        Self::go_on(Rc::clone(&browser), next, context, effects)
    }

    /// Waits, or answers. What is there already is not waited for.
    fn go_on(browser: Rc<Browser>, mut next: Next, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Self>, Step) {
        loop {
            let doing = match next {
                Next::Answer(reply) => {
                    effects.push(Effect::Reply(reply));
                    return (Progress::Done, Step::Pause);
                }
                Next::Refuse(denial) => return answer(&denial.at("consent"), Some(Binding::HttpJson), &Id::default(), effects),
                Next::Wait(doing) => doing,
            };
            let visit = Self { browser: Rc::clone(&browser), doing: *doing };
            match visit.awaits() {
                Some(Want::Job(job)) if context.runtime.supply().is_done(job) => {
                    let Some(site) = site(context, &browser) else { return plain(&browser, context, effects) };
                    next = site.settled(visit.doing, effects);
                }
                want => {
                    effects.extend(want.map(Effect::Fetch));
                    return (Progress::Wait(Box::new(visit)), Step::Pause);
                }
            }
        }
    }
}

//! A browser at the consent host: a link is opened, the user signs in, agrees, and the grant is kept. Everything that a browser brings is
//! held against what was sealed before: the link, the cookie, and the answers of both servers.

use super::asked::Asked;
use super::cookie::{self, Flow};
use super::form::{self, MOST_BYTES, Parameters};
use super::id_token;
use super::page::{Fault as Refusal, Page};
use super::site::{Around, Browser, Site, flow_of};
use crate::config::Bind;
use crate::credential::Failure;
use crate::credential::authorize::Tie;
use crate::credential::endpoint::UserTokens;
use crate::credential::grant::{self, Grant};
use crate::credential::link::{Link, Passage, Stage};
use crate::flow::event::call::Want;
use crate::flow::event::{Effect, Event, Level, Reply, Step, Value};
use crate::flow::progress::{Progress, withheld};
use crate::flow::request::head::Head;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::grants::flows::Ended;
use crate::flow::supply::grants::jobs::Outcome;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::vault::operation::{Done, Operation, Over, Place};
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::rc::Rc;

/// After how many seconds another try makes sense.
const RETRY: u32 = 5;

/// A visit that is not answered yet.
pub struct Visit {
    browser: Rc<Browser>,
    doing: Doing,
}

/// What is waited for.
enum Doing {
    /// The form.
    Form(Vec<u8>),
    /// How the flow of a link stands, before its page is shown.
    Looking(u64, String, Link),
    /// The same, before the browser is sent on.
    Leaving(u64, Link, bool),
    /// The ID token of the sign-in.
    SigningIn(u64, Link, Tie),
    /// Keys, to judge it.
    Judging(Want, Link, Tie, SecretString),
    /// That the user's answer is counted as the only one; with its code.
    Counting(u64, Link, Tie, String),
    /// That the user's refusal is.
    Refusing(u64, Link, Option<String>),
    /// The tokens.
    Redeeming(u64, Link, Tie),
    /// Keys, to judge who agreed.
    Knowing(Want, Link, Tie, Box<(UserTokens, UnixTime)>),
    /// That the grant is kept.
    Keeping(u64, Link),
}

impl fmt::Debug for Visit {
    /// Without what is in flight: codes, tokens.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Visit").field("awaits", &self.awaits()).finish_non_exhaustive()
    }
}

/// What comes next.
enum Next {
    Wait(Doing),
    Answer(Reply),
}

/// Whether `head` is for the consent host.
pub(in crate::flow) fn is_meant(head: &Head<'_>, context: &Context<'_>) -> bool {
    let consent = context.runtime.config().consent.as_ref();
    consent.is_some_and(|consent| crate::wire::path::host(consent.public_url.authority()).as_deref() == Some(head.authority.host()))
}

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
        Asked::Begin => Next::Wait(Doing::Form(Vec::new())),
        Asked::SignedIn(name, query) => site.signed_in(&name, query.ok().as_ref(), effects),
        Asked::Answered(name, query) => site.answered(&name, query.ok().as_ref(), effects),
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
    effects.push(Effect::Log(Level::Warn, "consent.keys: a key has no value, so that nobody can agree: see secrets".to_owned()));
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
        match &self.doing {
            Doing::Form(_) => None,
            Doing::Looking(job, ..)
            | Doing::Leaving(job, ..)
            | Doing::SigningIn(job, ..)
            | Doing::Counting(job, ..)
            | Doing::Refusing(job, ..)
            | Doing::Redeeming(job, ..)
            | Doing::Keeping(job, _) => Some(Want::Job(*job)),
            Doing::Judging(want, ..) | Doing::Knowing(want, ..) => Some(*want),
        }
    }

    pub(in crate::flow) const fn awaits_body(&self) -> bool {
        matches!(self.doing, Doing::Form(_))
    }

    /// Whether the body is read.
    pub(in crate::flow) const fn reads(&self) -> bool {
        matches!(self.doing, Doing::Form(_))
    }

    pub(in crate::flow) fn on(self: Box<Self>, event: Event, context: &Context<'_>, effects: &mut Vec<Effect>) -> (Progress<Self>, Step) {
        let Self { browser, doing } = *self;
        let Some(site) = site(context, &browser) else { return plain(&browser, context, effects) };
        let next = match (event, doing) {
            (Event::RequestBody { end, chunk, .. }, Doing::Form(mut body)) => {
                body.extend_from_slice(&chunk);
                match Parameters::parse(&body) {
                    _ if body.len() > MOST_BYTES => Next::Answer(site.plain(&Page::StateMismatch)),
                    _ if !end => Next::Wait(Doing::Form(body)),
                    form => site.begin(form.ok().as_ref()),
                }
            }
            (Event::BodyWithheld, Doing::Form(_)) => return withheld(None, effects),
            (Event::Settled, doing) => site.settled(doing, effects),
            (_, doing) => Next::Wait(doing),
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
                Next::Wait(doing) => doing,
            };
            let visit = Self { browser: Rc::clone(&browser), doing };
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

impl<'a> Site<'a> {
    fn wait(&self, job: Option<u64>, doing: impl FnOnce(u64) -> Doing) -> Next {
        job.map_or_else(|| self.later(), |job| Next::Wait(doing(job)))
    }

    fn later(&self) -> Next {
        Next::Answer(self.plain(&Page::Unavailable { retry: RETRY }))
    }

    /// What `link` leads to, if it still works.
    fn around(&self, link: &Link) -> Result<Around<'a>, Next> {
        if self.now() >= link.ends() || link.issued > self.now().plus(std::time::Duration::from_secs(60)) {
            return Err(Next::Answer(Site::end(link, self.plain(&Page::Expired))));
        }
        Around::of(link, self.config()).ok_or_else(|| Next::Answer(self.plain(&Page::BadLink)))
    }

    /// A link is opened: this changes nothing, since previewers open links, too.
    fn open(&self, text: Option<&str>) -> Next {
        let Some((text, link)) = text.and_then(|text| Some((text, Link::open(self.ring, text)?))) else {
            return Next::Answer(self.plain(&Page::BadLink));
        };
        if let Err(next) = self.around(&link) {
            return next;
        }
        let job = self.context.runtime.supply().look_at_flow(link.flow, self.now());
        self.wait(job, |job| Doing::Looking(job, text.to_owned(), link))
    }

    /// The user goes on from the page of a link.
    fn begin(&self, form: Option<&Parameters>) -> Next {
        let text = form.and_then(|form| form.get("link"));
        let Some((form, link)) = form.zip(text.and_then(|text| Link::open(self.ring, text))) else {
            return Next::Answer(self.plain(&Page::BadLink));
        };
        let Some(passage) = self.passage(flow_of(&link)) else { return Next::Answer(self.plain(&Page::NoCookie)) };
        let is_own = match &passage.stage {
            Stage::Asked(csrf) => form.get("csrf").is_some_and(|given| is_same(given, csrf)),
            Stage::SigningIn(_) | Stage::Agreeing(_) => false,
        };
        if !is_own || passage.link != link {
            return Next::Answer(self.plain(&Page::StateMismatch));
        }
        if let Err(next) = self.around(&link) {
            return next;
        }
        let again = form.get("again").is_some();
        let job = self.context.runtime.supply().look_at_flow(link.flow, self.now());
        self.wait(job, |job| Doing::Leaving(job, link, again))
    }

    /// The browser comes back with an answer: its cookie, if that fits.
    fn returning(&self, query: Option<&Parameters>, tie_of: fn(Stage) -> Option<Tie>) -> Result<(Link, Tie), Next> {
        let mismatch = || Next::Answer(self.plain(&Page::StateMismatch));
        let state = query.and_then(|query| query.get("state")).ok_or_else(mismatch)?;
        let flow = state.split('.').next().and_then(crate::wire::base64url::decode).and_then(|bytes| bytes.try_into().ok());
        let flow = flow.map(Flow::new).ok_or_else(mismatch)?;
        let Some(Passage { link, stage }) = self.passage(flow) else { return Err(Next::Answer(self.plain(&Page::NoCookie))) };
        let tie = tie_of(stage).filter(|tie| is_same(&tie.state, state)).ok_or_else(mismatch)?;
        Ok((link, tie))
    }

    /// The browser comes back from the sign-in.
    fn signed_in(&self, name: &str, query: Option<&Parameters>, effects: &mut Vec<Effect>) -> Next {
        let returned = self.returning(query, |stage| if let Stage::SigningIn(tie) = stage { Some(tie) } else { None });
        let (link, tie) = match returned {
            Ok(returned) => returned,
            Err(next) => return next,
        };
        let (Some(query), Some(sign_in)) = (query, self.sign_in(&link).filter(|_| link.issuer == name)) else {
            return Next::Answer(self.plain(&Page::StateMismatch));
        };
        let server = sign_in.authorization_endpoint.authority();
        let issuer = self.config().issuers.iter().find(|issuer| issuer.name == link.issuer);
        if query.get("iss").is_some_and(|iss| issuer.is_none_or(|issuer| issuer.recognize(iss).is_none())) {
            return Next::Answer(Site::end(&link, self.plain(&Page::MixUp { server })));
        }
        if let Err(next) = self.around(&link) {
            return next;
        }
        if let Some(error) = query.get("error") {
            effects.push(self.tells(&link, &["the sign-in ended with the error ", word(error)].concat()));
            let fault = Refusal::Said { error, words: query.get("error_description") };
            return Next::Answer(Site::end(&link, self.plain(&Page::Refused { server, fault })));
        }
        let Some(code) = query.get("code") else { return Next::Answer(self.plain(&Page::StateMismatch)) };
        let redirect_uri = self.consent.uri(&["/signed-in/", &link.issuer].concat());
        let supply = self.context.runtime.supply();
        match supply.ask_by_code(&sign_in.client, (code, &tie.verifier, &redirect_uri), &[], self.now()) {
            Ok(request) => self.wait(supply.redeem(request, self.now()), |job| Doing::SigningIn(job, link, tie)),
            Err((_, cause)) => {
                effects.push(self.tells(&link, &["no request for an ID token: ", &cause].concat()));
                self.later()
            }
        }
    }

    /// The browser comes back from where the user agrees.
    fn answered(&self, name: &str, query: Option<&Parameters>, effects: &mut Vec<Effect>) -> Next {
        let returned = self.returning(query, |stage| if let Stage::Agreeing(tie) = stage { Some(tie) } else { None });
        let (link, tie) = match returned {
            Ok(returned) => returned,
            Err(next) => return next,
        };
        let around = match self.around(&link) {
            Ok(around) => around,
            Err(next) => return next,
        };
        let Some(query) = query.filter(|_| around.name == name) else { return Next::Answer(self.plain(&Page::StateMismatch)) };
        let server = around.server();
        let is_other = match query.get("iss") {
            Some(iss) => around.app.issuer.as_deref() != Some(iss),
            None => around.app.require_iss,
        };
        if is_other {
            effects.push(self.tells(&link, "the answer's iss is not the issuer of the app, which oauth_apps says"));
            return Next::Answer(Site::end(&link, self.plain(&Page::MixUp { server })));
        }
        let supply = self.context.runtime.supply();
        match (query.get("error"), query.get("code")) {
            (Some("access_denied"), _) => {
                let words = query.get("error_description").map(str::to_owned);
                self.wait(supply.end_flow(link.flow, Ended::Denied, self.now()), |job| Doing::Refusing(job, link, words))
            }
            (Some(error), _) => {
                effects.push(self.tells(&link, &["the authorization server answers with the error ", word(error)].concat()));
                let fault = Refusal::Said { error, words: query.get("error_description") };
                Next::Answer(Site::end(&link, self.plain(&Page::Refused { server, fault })))
            }
            (None, Some(code)) => {
                let code = code.to_owned();
                self.wait(supply.end_flow(link.flow, Ended::Used, self.now()), |job| Doing::Counting(job, link, tie, code))
            }
            (None, None) => Next::Answer(self.plain(&Page::StateMismatch)),
        }
    }

    /// What was waited for is there.
    fn settled(&self, doing: Doing, effects: &mut Vec<Effect>) -> Next {
        let supply = self.context.runtime.supply();
        match doing {
            Doing::Form(body) => Next::Wait(Doing::Form(body)),
            Doing::Looking(job, text, link) => match self.stands(job, &link) {
                Ok(around) => Next::Answer(self.start(around, &link, &text)),
                Err(next) => next,
            },
            Doing::Leaving(job, link, again) => match self.stands(job, &link) {
                Ok(around) => self.leave(around, link, again),
                Err(next) => next,
            },
            Doing::SigningIn(job, link, tie) => match supply.outcome(job) {
                Some(Outcome::Tokens(Ok((UserTokens { id_token: Some(token), .. }, _)))) => self.judge(link, tie, token, true, effects),
                outcome => {
                    let server = self.sign_in(&link).map_or("", |sign_in| sign_in.authorization_endpoint.authority());
                    self.refused(&link, server, outcome)
                }
            },
            Doing::Judging(_, link, tie, token) => self.judge(link, tie, token, false, effects),
            Doing::Counting(job, link, tie, code) => match (supply.outcome(job), self.around(&link)) {
                (Some(Outcome::Stored(Ok(Done::Written(_)))), Ok(around)) => self.redeem(around, link, tie, &code, effects),
                (Some(Outcome::Stored(Ok(Done::Conflict(_)))), _) => Next::Answer(Site::end(&link, self.plain(&Page::Used))),
                (_, Err(next)) => next,
                _ => self.later(),
            },
            Doing::Refusing(job, link, words) => match supply.outcome(job) {
                Some(Outcome::Stored(Ok(Done::Written(_) | Done::Conflict(_)))) => {
                    effects.push(Effect::CountConsent { connection: link.connection.clone(), outcome: "denied" });
                    let server = Around::of(&link, self.config()).map_or("", |around| around.server());
                    Next::Answer(Site::end(&link, self.plain(&Page::Denied { server, words: words.as_deref() })))
                }
                _ => self.later(),
            },
            Doing::Redeeming(job, link, tie) => match supply.outcome(job) {
                Some(Outcome::Tokens(Ok(tokens))) => self.know(link, tie, Box::new(tokens), true, effects),
                outcome => {
                    let server = Around::of(&link, self.config()).map_or("", |around| around.server());
                    self.refused(&link, server, outcome)
                }
            },
            Doing::Knowing(_, link, tie, tokens) => self.know(link, tie, tokens, false, effects),
            Doing::Keeping(job, link) => match (supply.outcome(job), Around::of(&link, self.config())) {
                (Some(Outcome::Stored(Ok(Done::Written(_)))), Some(around)) => {
                    supply.changed_grant(&link.user.key(&link.connection, around.name));
                    effects.push(Effect::CountConsent { connection: link.connection.clone(), outcome: "granted" });
                    let scopes: Vec<&str> = around.own.scopes(around.app).iter().map(String::as_str).collect();
                    let page = Page::Done { access: self.access(around, &link, &scopes), withheld: &[] };
                    Next::Answer(Site::end(&link, self.plain(&page)))
                }
                _ => self.later(),
            },
        }
    }

    /// What `link` leads to, if the vault says that its flow has not ended.
    fn stands(&self, job: u64, link: &Link) -> Result<Around<'a>, Next> {
        let supply = self.context.runtime.supply();
        let page = match supply.outcome(job) {
            Some(Outcome::Stored(Ok(Done::Found(None)))) => return self.around(link),
            Some(Outcome::Stored(Ok(Done::Found(Some(found))))) => match supply.read_flow(link.flow, &found.bytes) {
                Some(Ended::Cancelled) => Page::Cancelled,
                _ => Page::Used,
            },
            _ => return Err(self.later()),
        };
        Err(Next::Answer(Site::end(link, self.plain(&page))))
    }

    /// Sends the browser to where its user shows who it is, or agrees.
    fn leave(&self, around: Around<'a>, link: Link, again: bool) -> Next {
        let tie = self.tie(&link);
        let (stage, location, server) = match (around.own.bind, self.sign_in(&link)) {
            (Bind::SignIn, Some(sign_in)) => {
                let location = self.to_sign_in(sign_in, &link, &tie, again);
                (Stage::SigningIn(tie), location, sign_in.authorization_endpoint.authority())
            }
            (Bind::SignIn, None) => return Next::Answer(self.plain(&Page::BadLink)),
            (Bind::IdToken | Bind::Link, _) => {
                let location = self.to_agree(around, &tie, again);
                (Stage::Agreeing(tie), location, around.server())
            }
        };
        let mut reply = self.plain(&Page::Leave { server, location: &location });
        self.give(&Passage { link, stage }, &mut reply);
        Next::Answer(reply)
    }

    /// Who signed in: if that is the caller, the browser is sent on to where it agrees.
    fn judge(&self, link: Link, tie: Tie, token: SecretString, may_wait: bool, effects: &mut Vec<Effect>) -> Next {
        let around = match self.around(&link) {
            Ok(around) => around,
            Err(next) => return next,
        };
        let Some(sign_in) = self.sign_in(&link) else { return Next::Answer(self.plain(&Page::BadLink)) };
        let server = sign_in.authorization_endpoint.authority();
        match id_token::judge(token.expose_secret(), &link, &sign_in.client.client_id, &tie.nonce, may_wait, self.context) {
            Sought::Wait(want) => Next::Wait(Doing::Judging(want, link, tie, token)),
            Sought::No(fault) => self.unknown(&link, around, server, fault, effects),
            Sought::Here(()) => {
                let tie = self.tie(&link);
                let mut reply = super::see_other(&self.to_agree(around, &tie, false));
                self.give(&Passage { link, stage: Stage::Agreeing(tie) }, &mut reply);
                Next::Answer(reply)
            }
        }
    }

    /// The user who signed in is not the caller, or cannot be told.
    fn unknown(&self, link: &Link, around: Around<'_>, server: &str, fault: id_token::Wrong, effects: &mut Vec<Effect>) -> Next {
        let fault = match fault {
            id_token::Wrong::User => {
                effects.push(self.tells(link, "somebody else than the caller signed in"));
                effects.push(Effect::CountConsent { connection: link.connection.clone(), outcome: "wrong_user" });
                return Next::Answer(self.wrong_user(around, link, server));
            }
            id_token::Wrong::Unnamed => Refusal::Unnamed,
            id_token::Wrong::Token => Refusal::IdToken,
            id_token::Wrong::Keys => return self.later(),
        };
        effects.push(self.tells(link, "the ID token of the sign-in cannot be used"));
        Next::Answer(Site::end(link, self.plain(&Page::Refused { server, fault })))
    }

    fn redeem(&self, around: Around<'_>, link: Link, tie: Tie, code: &str, effects: &mut Vec<Effect>) -> Next {
        let redirect_uri = self.consent.uri(&["/callback/", around.name].concat());
        let supply = self.context.runtime.supply();
        let client = &around.app.client;
        match supply.ask_by_code(client, (code, &tie.verifier, &redirect_uri), &around.own.resource, self.now()) {
            Ok(request) => self.wait(supply.redeem(request, self.now()), |job| Doing::Redeeming(job, link, tie)),
            Err((_, cause)) => {
                effects.push(self.tells(&link, &["no request for tokens: ", &cause].concat()));
                self.later()
            }
        }
    }

    /// The tokens are there: if it is the caller who agreed, they are kept.
    fn know(&self, link: Link, tie: Tie, tokens: Box<(UserTokens, UnixTime)>, may_wait: bool, effects: &mut Vec<Effect>) -> Next {
        let Some(around) = Around::of(&link, self.config()) else { return Next::Answer(self.plain(&Page::BadLink)) };
        if around.own.bind == Bind::IdToken {
            let token = tokens.0.id_token.as_ref().map_or("", |token| token.expose_secret());
            match id_token::judge(token, &link, &around.app.client.client_id, &tie.nonce, may_wait, self.context) {
                Sought::Wait(want) => return Next::Wait(Doing::Knowing(want, link, tie, tokens)),
                Sought::No(fault) => return self.unknown(&link, around, around.server(), fault, effects),
                Sought::Here(()) => {}
            }
        }
        let (tokens, since) = *tokens;
        let scopes = around.own.scopes(around.app).to_vec();
        let new = Grant {
            user: link.user.clone(),
            connection: link.connection.clone(),
            access: tokens.access.clone(),
            since,
            until: since,
            refresh: None,
            asked: grant::asked(around.app.issuer.as_deref(), &around.app.client.client_id, &scopes, &around.own.resource),
            scopes,
            agreed: self.now(),
            lease: None,
        };
        let new = new.with(tokens, since);
        let supply = self.context.runtime.supply();
        let key = link.user.key(&link.connection, around.name);
        let Some(bytes) = supply.seal_grant(&key, &new, self.now()) else { return self.later() };
        let place = Place::Grant { user: key.user, grant: key.grant };
        let operation = Operation::Write { place, bytes, until: new.ends(self.now()), over: Over::Any };
        self.wait(supply.store(operation, self.now()), |job| Doing::Keeping(job, link))
    }

    /// There are no tokens.
    fn refused(&self, link: &Link, server: &str, outcome: Option<Outcome>) -> Next {
        let fault = match outcome {
            Some(Outcome::Tokens(Ok(_))) => Refusal::IdToken,
            Some(Outcome::Tokens(Err((Failure::Grant, _)))) => Refusal::Said { error: "invalid_grant", words: None },
            Some(Outcome::Tokens(Err((Failure::Refused, _)))) => Refusal::Said { error: "invalid_client", words: None },
            Some(Outcome::Tokens(Err((Failure::Consent, _)))) => Refusal::Said { error: "consent_required", words: None },
            _ => Refusal::Unreachable,
        };
        Next::Answer(Site::end(link, self.plain(&Page::Refused { server, fault })))
    }

    /// A line for the log, without anything of the user.
    fn tells(&self, link: &Link, what: &str) -> Effect {
        Effect::Log(Level::Warn, format!("consent for connection {:?}: {what}", link.connection))
    }
}

/// Whether two texts are the same, in constant time.
fn is_same(one: &str, other: &str) -> bool {
    let difference = one.bytes().zip(other.bytes()).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

/// `error`, if it is a code and no text in which anything could stand.
fn word(error: &str) -> &str {
    let is_code = error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_code { error } else { "(none that OAuth knows)" }
}

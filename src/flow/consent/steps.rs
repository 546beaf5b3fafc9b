//! What a browser brings, held against what was sealed before: the link, the cookie, and the answers of both servers.

use super::cookie::Flow;
use super::doing::{Doing, Next};
use super::form::Parameters;
use super::page::{Fault as Refusal, Page};
use super::site::{self, Around, Missing, Site, flow_of};
use crate::credential::authorize::Tie;
use crate::credential::link::{Link, Passage, Stage};
use crate::flow::event::{Effect, Level, Reply};
use crate::flow::supply::grants::ended::Ended;

/// After how many seconds another try makes sense.
pub(super) const RETRY: u32 = 5;

impl<'a> Site<'a> {
    pub fn wait(&self, job: Option<u64>, doing: impl FnOnce(u64) -> Doing) -> Next {
        job.map_or_else(|| self.later(), |job| Next::Wait(Box::new(doing(job))))
    }

    pub fn later(&self) -> Next {
        Next::Answer(self.plain(&Page::Unavailable { retry: RETRY }))
    }

    /// What `link` leads to, if it still works.
    pub fn around(&self, link: &Link) -> Result<Around<'a>, Box<Reply>> {
        if self.now() >= link.ends() || link.issued > self.now().plus(std::time::Duration::from_secs(60)) {
            return Err(Box::new(Site::end(link, self.plain(&Page::Expired))));
        }
        Around::of(link, self.context).map_err(|missing| {
            Box::new(self.plain(&match missing {
                Missing::Connection => Page::BadLink,
                Missing::Server => Page::Unavailable { retry: RETRY },
            }))
        })
    }

    /// A link is opened: this changes nothing, since previewers open links, too.
    pub fn open(&self, text: Option<&str>) -> Next {
        let Some((text, link)) = text.and_then(|text| Some((text, Link::open(self.ring, text)?))) else {
            return Next::Answer(self.plain(&Page::BadLink));
        };
        let connection = site::connection(&link, self.config());
        match connection.and_then(|connection| self.context.runtime.supply().wait_for_server(connection, self.now())) {
            Some(want) => Next::Wait(Box::new(Doing::Learning(want, text.to_owned(), link))),
            None => self.look(text.to_owned(), link),
        }
    }

    /// Looks how the flow of `link` stands.
    pub fn look(&self, text: String, link: Link) -> Next {
        if let Err(reply) = self.around(&link) {
            return Next::Answer(*reply);
        }
        let job = self.context.runtime.supply().look_at_flow(link.flow, self.now());
        self.wait(job, |job| Doing::Looking(job, text, link))
    }

    /// The host of the server that `link` leads to.
    pub fn host_of(&self, link: &Link) -> &'a str {
        Around::of(link, self.context).map_or("", |around| around.host())
    }

    /// The user goes on from the page of a link.
    pub fn begin(&self, form: Option<&Parameters>) -> Next {
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
        if let Err(reply) = self.around(&link) {
            return Next::Answer(*reply);
        }
        let again = form.get("again").is_some();
        let job = self.context.runtime.supply().look_at_flow(link.flow, self.now());
        self.wait(job, |job| Doing::Leaving(job, link, again))
    }

    /// The browser comes back with an answer: its cookie, if that fits.
    fn returning(&self, query: Option<&Parameters>, tie_of: fn(Stage) -> Option<Tie>) -> Result<(Link, Tie), Box<Reply>> {
        let mismatch = || Box::new(self.plain(&Page::StateMismatch));
        let state = query.and_then(|query| query.get("state")).ok_or_else(mismatch)?;
        let flow = state.split('.').next().and_then(crate::wire::base64url::decode).and_then(|bytes| bytes.try_into().ok());
        let flow = flow.map(Flow::new).ok_or_else(mismatch)?;
        let Some(Passage { link, stage }) = self.passage(flow) else { return Err(Box::new(self.plain(&Page::NoCookie))) };
        let tie = tie_of(stage).filter(|tie| is_same(&tie.state, state)).ok_or_else(mismatch)?;
        Ok((link, tie))
    }

    /// The browser comes back from the sign-in.
    pub fn signed_in(&self, name: &str, query: Option<&Parameters>, effects: &mut Vec<Effect>) -> Next {
        let returned = self.returning(query, |stage| if let Stage::SigningIn(tie) = stage { Some(tie) } else { None });
        let (link, tie) = match returned {
            Ok(returned) => returned,
            Err(reply) => return Next::Answer(*reply),
        };
        let (Some(query), Some(sign_in)) = (query, self.sign_in(&link).filter(|_| link.issuer == name)) else {
            return Next::Answer(self.plain(&Page::StateMismatch));
        };
        let server = sign_in.authorization_endpoint.authority();
        let issuer = self.config().issuers.iter().find(|issuer| issuer.name == link.issuer);
        if query.get("iss").is_some_and(|iss| issuer.is_none_or(|issuer| issuer.recognize(iss).is_none())) {
            return Next::Answer(Site::end(&link, self.plain(&Page::MixUp { server })));
        }
        if let Err(reply) = self.around(&link) {
            return Next::Answer(*reply);
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
    pub fn answered(&self, name: &str, query: Option<&Parameters>, effects: &mut Vec<Effect>) -> Next {
        let returned = self.returning(query, |stage| if let Stage::Agreeing(tie) = stage { Some(tie) } else { None });
        let (link, tie) = match returned {
            Ok(returned) => returned,
            Err(reply) => return Next::Answer(*reply),
        };
        let around = match self.around(&link) {
            Ok(around) => around,
            Err(reply) => return Next::Answer(*reply),
        };
        let Some(query) = query.filter(|_| around.name == name) else { return Next::Answer(self.plain(&Page::StateMismatch)) };
        let server = around.host();
        let is_other = match query.get("iss") {
            Some(iss) => around.app.issuer.as_deref() != Some(iss),
            None => around.server.requires_iss,
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

    /// A line for the log, without anything of the user.
    pub fn tells(&self, link: &Link, what: &str) -> Effect {
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

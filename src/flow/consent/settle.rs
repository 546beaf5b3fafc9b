//! What follows when what a visit waited for is there: who signed in is compared, a code is redeemed, a grant is kept.

use super::doing::{Doing, Next};
use super::page::{Fault as Refusal, Page};
use super::ping;
use super::site::{Around, Site};
use super::steps::RETRY;
use crate::config::Bind;
use crate::credential::Failure;
use crate::credential::authorize::Tie;
use crate::credential::grant::{self, Grant};
use crate::credential::link::{Link, Passage, Stage};
use crate::credential::user_tokens::UserTokens;
use crate::flow::callers::id_token;
use crate::flow::event::{Effect, Reply};
use crate::flow::supply::grants::ended::Ended;
use crate::flow::supply::grants::jobs::Outcome;
use crate::flow::supply::sought::Sought;
use crate::flow::supply::vault::operation::{Done, Found, Operation, Over, Place};
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};

impl<'a> Site<'a> {
    /// What was waited for is there.
    pub fn settled(&self, doing: Doing, effects: &mut Vec<Effect>) -> Next {
        let supply = self.context.runtime.supply();
        match doing {
            doing @ (Doing::Form(_) | Doing::Pinged(_)) => Next::Wait(Box::new(doing)),
            Doing::Noting(job) => ping::noted(supply.outcome(job)).into(),
            Doing::Serving(owner) => owner.settled(self.context, effects).into(),
            Doing::Learning(_, text, link) => self.look(text, link),
            Doing::Looking(job, text, link) => match self.stands(job, &link) {
                Ok(around) => Next::Answer(self.start(around, &link, &text)),
                Err(reply) => Next::Answer(*reply),
            },
            Doing::Leaving(job, link, again) => match self.stands(job, &link) {
                Ok(around) => self.leave(around, link, again),
                Err(reply) => Next::Answer(*reply),
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
                (Some(Outcome::Stored(Ok(Done::Conflict(found)))), _) => {
                    Next::Answer(Site::end(&link, self.plain(&self.ended(&link, found.as_ref()))))
                }
                (_, Err(reply)) => Next::Answer(*reply),
                _ => self.later(),
            },
            Doing::Refusing(job, link, words) => match supply.outcome(job) {
                Some(Outcome::Stored(Ok(Done::Written(_) | Done::Conflict(_)))) => {
                    effects.push(Effect::CountConsent { connection: link.connection.clone(), outcome: "denied" });
                    let server = self.host_of(&link);
                    Next::Answer(Site::end(&link, self.plain(&Page::Denied { server, words: words.as_deref() })))
                }
                _ => self.later(),
            },
            Doing::Redeeming(job, link, tie) => match supply.outcome(job) {
                Some(Outcome::Tokens(Ok(tokens))) => self.know(link, tie, Box::new(tokens), true),
                outcome => {
                    let server = self.host_of(&link);
                    self.refused(&link, server, outcome)
                }
            },
            Doing::Knowing(_, link, tie, tokens) => self.know(link, tie, tokens, false),
            Doing::Freeing(job, link, fault) => {
                drop(supply.outcome(job));
                match self.around(&link) {
                    Ok(around) => self.unknown(&link, around, around.host(), fault, effects),
                    Err(reply) => Next::Answer(*reply),
                }
            }
            Doing::Keeping(job, link, given) => match (supply.outcome(job), Around::of(&link, self.context)) {
                (Some(Outcome::Stored(Ok(Done::Written(_)))), Ok(around)) => {
                    supply.changed_grant(&link.user.key(&link.connection, around.name));
                    effects.push(Effect::CountConsent { connection: link.connection.clone(), outcome: "granted" });
                    let asked = around.own.scopes(around.app).iter();
                    let withheld: Vec<&str> = asked.filter(|scope| !given.contains(scope)).map(String::as_str).collect();
                    let scopes: Vec<&str> = given.iter().map(String::as_str).collect();
                    let page = Page::Done { access: self.access(around, &link, &scopes), withheld: &withheld };
                    Next::Answer(Site::end(&link, self.plain(&page)))
                }
                _ => self.later(),
            },
        }
    }

    /// What `link` leads to, if the vault says that its flow has not ended.
    fn stands(&self, job: u64, link: &Link) -> Result<Around<'a>, Box<Reply>> {
        let supply = self.context.runtime.supply();
        let page = match supply.outcome(job) {
            Some(Outcome::Stored(Ok(Done::Found(None)))) => return self.around(link),
            Some(Outcome::Stored(Ok(Done::Found(Some(found))))) => self.ended(link, Some(&found)),
            _ => return Err(Box::new(self.plain(&Page::Unavailable { retry: RETRY }))),
        };
        Err(Box::new(Site::end(link, self.plain(&page))))
    }

    /// The page for a flow that has ended; `found` is what the vault has of it.
    fn ended(&self, link: &Link, found: Option<&Found>) -> Page<'static> {
        let ended = found.and_then(|found| self.context.runtime.supply().read_flow(link.flow, &found.bytes));
        if ended == Some(Ended::Cancelled) { Page::Cancelled } else { Page::Used }
    }

    /// Sends the browser to where its user shows who it is, or agrees.
    fn leave(&self, around: Around<'a>, link: Link, again: bool) -> Next {
        let tie = self.tie(&link);
        let (stage, location, server) = match (around.own.bind(), self.sign_in(&link)) {
            (Bind::SignIn, Some(sign_in)) => {
                let location = self.sign_in_uri(sign_in, &link, &tie, again);
                (Stage::SigningIn(tie), location, sign_in.authorization_endpoint.authority())
            }
            (Bind::SignIn, None) => return Next::Answer(self.plain(&Page::BadLink)),
            (Bind::IdToken | Bind::Link, _) => {
                let location = self.agree_uri(around, &tie, again);
                (Stage::Agreeing(tie), location, around.host())
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
            Err(reply) => return Next::Answer(*reply),
        };
        let Some(sign_in) = self.sign_in(&link) else { return Next::Answer(self.plain(&Page::BadLink)) };
        let server = sign_in.authorization_endpoint.authority();
        match id_token::judge(token.expose_secret(), &expected(&link, &sign_in.client.client_id, &tie), may_wait, self.context) {
            Sought::Wait(want) => Next::Wait(Box::new(Doing::Judging(want, link, tie, token))),
            Sought::No(fault) => self.unknown(&link, around, server, fault, effects),
            Sought::Here(()) => {
                let tie = self.tie(&link);
                // No redirect: behind the form of an issuer's own page a browser may follow it nowhere but here.
                let location = self.agree_uri(around, &tie, false);
                let mut reply = self.plain(&Page::Leave { server: around.host(), location: &location });
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
        let client = &around.server.client;
        match supply.ask_by_code(client, (code, &tie.verifier, &redirect_uri), &around.own.resource, self.now()) {
            Ok(request) => self.wait(supply.redeem(request, self.now()), |job| Doing::Redeeming(job, link, tie)),
            Err((_, cause)) => {
                effects.push(self.tells(&link, &["no request for tokens: ", &cause].concat()));
                self.later()
            }
        }
    }

    /// The tokens are there: if it is the caller who agreed, they are kept.
    fn know(&self, link: Link, tie: Tie, tokens: Box<(UserTokens, UnixTime)>, may_wait: bool) -> Next {
        let Ok(around) = Around::of(&link, self.context) else { return Next::Answer(self.plain(&Page::BadLink)) };
        if around.own.bind() == Bind::IdToken {
            let token = tokens.0.id_token.as_ref().map_or("", |token| token.expose_secret());
            match id_token::judge(token, &expected(&link, &around.server.client.client_id, &tie), may_wait, self.context) {
                Sought::Wait(want) => return Next::Wait(Box::new(Doing::Knowing(want, link, tie, tokens))),
                // The link is the caller's still: whoever else has it does not use it up.
                Sought::No(fault) => {
                    let place = Place::Flow { id: link.flow };
                    let job = self.context.runtime.supply().store(Operation::Remove { place, version: None }, self.now());
                    return self.wait(job, |job| Doing::Freeing(job, link, fault));
                }
                Sought::Here(()) => {}
            }
        }
        let (tokens, since) = *tokens;
        let scopes = around.own.scopes(around.app).to_vec();
        let asked = grant::asked(around.app.issuer.as_deref(), &around.server.client.client_id, &scopes, &around.own.resource);
        let new = Grant::new(link.user.clone(), link.connection.clone(), (scopes, asked), (tokens, since), self.now());
        let supply = self.context.runtime.supply();
        let key = link.user.key(&link.connection, around.name);
        let Some(bytes) = supply.seal_grant(&key, &new, self.now()) else { return self.later() };
        let place = Place::Grant { user: key.user, grant: key.grant };
        let operation = Operation::Write { place, bytes, until: new.ends(self.now()), over: Over::Any };
        self.wait(supply.store(operation, self.now()), |job| Doing::Keeping(job, link, new.scopes))
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
}

/// Who must have signed in.
fn expected<'e>(link: &'e Link, client_id: &'e str, tie: &'e Tie) -> id_token::Expected<'e> {
    let tie = Some(id_token::Tied { claim: "nonce", value: &tie.nonce, must: true });
    id_token::Expected { issuer: &link.issuer, identity: &link.identity, client_id, tie }
}

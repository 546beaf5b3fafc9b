//! What every page is made of: the configuration around a link, and the cookies of the browser.

use super::cookie::{self, Flow};
use super::page::{Access, Fields, Frame, Page};
use crate::config::{Bind, Config, Connection, Consent, HttpUri, OauthApp, SignIn, UserPassthrough};
use crate::credential::app_server::AppServer;
use crate::credential::authorize::{Asking, Tie};
use crate::credential::link::{Link, Passage, Stage};
use crate::credential::seal::KeyRing;
use crate::flow::event::Reply;
use crate::flow::setup::runtime::Context;
use crate::wire::base64url;
use crate::wire::time::UnixTime;

/// A browser at the consent host.
#[derive(Debug)]
pub(super) struct Browser {
    /// The request's id, for whoever looks for it in the log.
    pub request: Option<String>,
    /// What its cookies hold.
    pub cookies: Vec<(Flow, Vec<u8>)>,
}

/// All that a link leads to.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub connection: &'a Connection,
    pub own: &'a UserPassthrough,
    /// The registration's name, and what it is.
    pub name: &'a str,
    pub app: &'a OauthApp,
    /// Its server, and where users agree there.
    pub server: &'a AppServer,
    pub endpoint: &'a HttpUri,
}

/// Why there is nothing around a link.
pub(super) enum Missing {
    /// Its connection is not there any more, or sends no browsers anywhere.
    Connection,
    /// The server's metadata is not known.
    Server,
}

impl<'a> Around<'a> {
    /// What `link` leads to.
    pub fn of(link: &Link, context: &'a Context<'a>) -> Result<Self, Missing> {
        let config = context.runtime.config();
        let connection = connection(link, config).ok_or(Missing::Connection)?;
        let own = connection.user_passthrough().filter(|own| own.way().is_none());
        let (Some(own), Some((name, app))) = (own, config.app_of(connection)) else {
            return Err(Missing::Connection);
        };
        let server = context.runtime.supply().server_of(connection).ok_or(Missing::Server)?;
        let endpoint = server.authorization_endpoint.as_ref().ok_or(Missing::Server)?;
        Ok(Self { connection, own, name, app, server, endpoint })
    }

    /// The host of the server at which the user agrees.
    pub fn host(&self) -> &'a str {
        self.endpoint.authority()
    }
}

/// One visit of a browser.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub context: &'a Context<'a>,
    pub consent: &'a Consent,
    pub ring: &'a KeyRing,
    pub browser: &'a Browser,
}

impl<'a> Site<'a> {
    pub fn config(&self) -> &'a Config {
        self.context.runtime.config()
    }

    pub const fn now(&self) -> UnixTime {
        self.context.now
    }

    /// `page` around which `onward` are the places to which its form leads.
    pub fn page(&self, page: &Page<'_>, onward: &[&str]) -> Reply {
        let host = self.consent.public_url.authority();
        let frame = Frame { host, path: &self.consent.path, onward, now: self.now(), request: self.browser.request.as_deref() };
        page.reply(&frame)
    }

    pub fn plain(&self, page: &Page<'_>) -> Reply {
        self.page(page, &[])
    }

    /// The cookie of `flow`, opened.
    pub fn passage(&self, flow: Flow) -> Option<Passage> {
        let (_, sealed) = self.browser.cookies.iter().find(|(own, _)| *own == flow)?;
        Passage::open(&flow.bytes(), self.ring, sealed)
    }

    /// Gives the browser `passage`, and takes from it what is too much.
    pub fn give(&self, passage: &Passage, reply: &mut Reply) {
        let flow = flow_of(&passage.link);
        let others = self.browser.cookies.iter().filter(|(own, _)| *own != flow);
        let began = |own: Flow| self.passage(own).map_or(UnixTime::default(), |passage| passage.link.issued);
        let known: Vec<(Flow, UnixTime)> = others.map(|(own, _)| (*own, began(*own))).collect();
        reply.headers.extend(cookie::surplus(&known).into_iter().map(cookie::remove));
        let nonce = self.context.runtime.supply().seal_nonce(self.now());
        reply.headers.push(cookie::set(flow, &passage.seal(&flow.bytes(), self.ring, nonce)));
    }

    /// `reply`, with which the flow of `link` ends in this browser.
    pub fn end(link: &Link, mut reply: Reply) -> Reply {
        reply.headers.push(cookie::remove(flow_of(link)));
        reply
    }

    /// A text that nobody can guess.
    pub fn secret(&self) -> String {
        base64url::encode(&self.context.runtime.supply().random(self.now()))
    }

    /// What ties the answer of a server to its request: by `state` the browser's cookie is found again.
    pub fn tie(&self, link: &Link) -> Tie {
        let random = || self.context.runtime.supply().random(self.now());
        let tie = Tie::of([random(), random(), random()]);
        Tie { state: [&base64url::encode(&flow_of(link).bytes()), ".", &tie.state].concat(), ..tie }
    }

    pub fn sign_in(&self, link: &Link) -> Option<&'a SignIn> {
        self.context.runtime.config().consent.as_ref()?.sign_in_at(&link.issuer)
    }

    /// What is said of the access that `link` is about; `scopes` are those that are asked for.
    pub fn access<'s>(&self, around: Around<'s>, link: &'s Link, scopes: &'s [&'s str]) -> Access<'s> {
        let agent = around.connection.target.hosts.iter().find_map(|host| host.host()).unwrap_or("");
        Access { connection: &around.connection.name, agent, client: link.user.client.as_deref(), scopes, server: around.host() }
    }

    /// The page that asks whether to go on.
    pub fn start(&self, around: Around<'_>, link: &Link, text: &str) -> Reply {
        // Two windows with one link both go on.
        let known = self.passage(flow_of(link)).filter(|known| known.link == *link);
        let csrf = match known.map(|known| known.stage) {
            Some(Stage::Asked(csrf)) => csrf,
            _ => self.secret(),
        };
        let sign_in = self.sign_in(link).filter(|_| around.own.bind() == Bind::SignIn);
        let scopes: Vec<&str> = around.own.scopes(around.app).iter().map(String::as_str).collect();
        let page = Page::Start {
            access: self.access(around, link, &scopes),
            sign_in: sign_in.map(|sign_in| sign_in.authorization_endpoint.authority()),
            until: link.ends(),
            fields: Fields { link: text, csrf: &csrf },
        };
        let mut reply = self.page(&page, &self.onward(around, link).iter().map(String::as_str).collect::<Vec<_>>());
        self.give(&Passage { link: link.clone(), stage: Stage::Asked(csrf) }, &mut reply);
        reply
    }

    /// The page for another user than the caller.
    pub fn wrong_user(&self, around: Around<'_>, link: &Link, server: &str) -> Reply {
        let csrf = self.secret();
        let text = link.seal(self.ring, self.context.runtime.supply().seal_nonce(self.now()));
        let page = Page::WrongUser { server, fields: Fields { link: &text, csrf: &csrf } };
        let mut reply = self.page(&page, &self.onward(around, link).iter().map(String::as_str).collect::<Vec<_>>());
        self.give(&Passage { link: link.clone(), stage: Stage::Asked(csrf) }, &mut reply);
        reply
    }

    /// Where forms lead in the end.
    fn onward(&self, around: Around<'_>, link: &Link) -> Vec<String> {
        let sign_in = self.sign_in(link).filter(|_| around.own.bind() == Bind::SignIn).map(|own| own.authorization_endpoint.to_string());
        sign_in.into_iter().chain([around.endpoint.to_string()]).collect()
    }

    /// Where the user of `link` signs in; `again`: with another account than before.
    pub fn sign_in_uri(&self, sign_in: &SignIn, link: &Link, tie: &Tie, again: bool) -> String {
        let redirect_uri = self.consent.uri(&["/signed-in/", &link.issuer].concat());
        let asking = Asking {
            endpoint: &sign_in.authorization_endpoint,
            client_id: &sign_in.client.client_id,
            redirect_uri: &redirect_uri,
            scopes: &sign_in.scopes,
            resource: &[],
            parameters: again.then_some(("prompt", "login")).into_iter().collect(),
        };
        asking.uri(tie)
    }

    /// Where the user of `link` agrees.
    pub fn agree_uri(&self, around: Around<'_>, tie: &Tie, again: bool) -> String {
        let redirect_uri = self.consent.uri(&["/callback/", around.name].concat());
        let own = around.app.authorization_parameters.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let again = (again && !around.app.authorization_parameters.0.contains_key("prompt")).then_some(("prompt", "login"));
        let asking = Asking {
            endpoint: around.endpoint,
            client_id: &around.server.client.client_id,
            redirect_uri: &redirect_uri,
            scopes: around.own.scopes(around.app),
            resource: &around.own.resource,
            parameters: own.chain(again).collect(),
        };
        asking.uri(tie)
    }
}

/// The connection that `link` is about.
pub(super) fn connection<'a>(link: &Link, config: &'a Config) -> Option<&'a Connection> {
    config.connections.iter().find(|connection| connection.name == link.connection).map(|connection| &**connection)
}

/// The flow of `link`, as its cookie is called.
pub(super) fn flow_of(link: &Link) -> Flow {
    Flow::new(link.flow.first_chunk().copied().unwrap_or_default())
}

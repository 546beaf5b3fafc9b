//! What all sessions with one etcd share: the token by which its user is known, and which leases there are. One session at a time asks
//! for a token, while the others wait: etcd takes a tenth of a second of a core to check a password.

use crate::config::EtcdStore;
use crate::flow::event::call::Call;
use crate::flow::event::value::Value;
use crate::flow::supply::vault::etcd::request::{Lease, Request};
use crate::flow::supply::vault::operation::Fault;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Most leases that are known: a worker writes values that end within few different minutes.
const LEASES: usize = 64;
/// How long a refusal of the password holds for all.
const REFUSAL_HOLDS: Duration = Duration::from_secs(1);
/// How much longer than its call an authentication may take before another session begins one.
const GRACE: Duration = Duration::from_secs(1);

/// A token of a user. Two are the same only if they are one.
pub type Token = Rc<SecretString>;

/// An etcd as its sessions know it.
pub struct Entry {
    pub config: EtcdStore,
    password: RefCell<Option<SecretString>>,
    state: RefCell<State>,
    leases: RefCell<VecDeque<Lease>>,
}

/// How far the authentication is.
enum State {
    None,
    /// A session asks, until then at the latest.
    Asked(UnixTime),
    Here(Token),
    /// It failed, which holds until then.
    Refused(UnixTime, Fault),
}

/// What a session is to do that wants to ask etcd something.
pub enum Turn {
    /// Ask, with this token if there is one.
    Ask(Option<Token>),
    /// Get a token first, by this request.
    Authenticate(Request),
    /// Wait for the session that does.
    Wait,
    /// Give up.
    Fail(Fault),
}

impl Entry {
    pub fn new(config: EtcdStore) -> Self {
        Self { config, password: RefCell::default(), state: RefCell::new(State::None), leases: RefCell::default() }
    }

    pub fn set_password(&self, password: SecretString) {
        *self.password.borrow_mut() = Some(password);
        // What was refused was another, perhaps.
        let mut state = self.state.borrow_mut();
        if let State::Refused(..) = *state {
            *state = State::None;
        }
    }

    pub fn turn(&self, now: UnixTime) -> Turn {
        let Some(user) = &self.config.user else { return Turn::Ask(None) };
        let mut state = self.state.borrow_mut();
        match &*state {
            State::Here(token) => return Turn::Ask(Some(Rc::clone(token))),
            State::Asked(until) if now < *until => return Turn::Wait,
            State::Refused(until, fault) if now < *until => return Turn::Fail(fault.clone()),
            State::None | State::Asked(_) | State::Refused(..) => {}
        }
        match &*self.password.borrow() {
            Some(password) => {
                *state = State::Asked(now.plus(self.config.timeout).plus(GRACE));
                Turn::Authenticate(Request::authenticate(user, password))
            }
            None => Turn::Fail(super::answer::unavailable("the secret with its user's password has no value")),
        }
    }

    /// The member that was asked for a token is not there.
    pub fn left(&self) {
        *self.state.borrow_mut() = State::None;
    }

    /// The authentication has ended.
    pub fn entered(&self, token: Result<&str, Fault>, now: UnixTime) {
        *self.state.borrow_mut() = match token {
            Ok(token) => State::Here(Rc::new(SecretString::from(token))),
            Err(fault) => State::Refused(now.plus(REFUSAL_HOLDS), fault),
        };
    }

    /// `token` is good no more. Another may be there by now.
    pub fn forget(&self, token: &Token) {
        let mut state = self.state.borrow_mut();
        if matches!(&*state, State::Here(own) if Rc::ptr_eq(own, token)) {
            *state = State::None;
        }
    }

    pub fn has(&self, lease: Lease) -> bool {
        self.leases.borrow().contains(&lease)
    }

    /// Takes note of whether there is this lease.
    pub fn note(&self, lease: Lease, is_there: bool) {
        let mut leases = self.leases.borrow_mut();
        leases.retain(|known| *known != lease);
        if is_there {
            leases.push_back(lease);
            if leases.len() > LEASES {
                leases.pop_front();
            }
        }
    }

    /// The call that asks this, and reads no more than `most` bytes of the answer.
    pub fn call(&self, request: Request, token: Option<&Token>, most: usize) -> Call {
        let text = |text: &str| Value::Text(text.to_owned());
        let mut headers = vec![
            (":method".into(), text("POST")),
            (":scheme".into(), text(self.config.uri.scheme())),
            (":authority".into(), text(self.config.uri.authority())),
            (":path".into(), text(request.path)),
            ("accept".into(), text("application/json")),
            ("content-type".into(), text("application/json")),
        ];
        if let Some(token) = token {
            headers.push(("authorization".into(), Value::Secret(SecretString::from(token.expose_secret()))));
        }
        Call { cluster: self.config.cluster.clone(), headers, body: Some(request.body), timeout: self.config.timeout, most }
    }
}

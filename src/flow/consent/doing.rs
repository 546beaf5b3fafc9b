//! How far a visit has come.

use super::owner::{Owner, Turn};
use super::ping::{Heard, Ping};
use crate::credential::authorize::Tie;
use crate::credential::link::Link;
use crate::credential::user_tokens::UserTokens;
use crate::flow::callers::id_token::Wrong;
use crate::flow::event::Reply;
use crate::flow::event::call::Want;
use crate::flow::refusal::denial::Denial;
use crate::wire::time::UnixTime;
use secrecy::SecretString;

/// What is waited for.
pub(super) enum Doing {
    /// The form.
    Form(Vec<u8>),
    /// What the server says of itself, before the page of a link is shown.
    Learning(Want, String, Link),
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
    /// That the answer counts no more: it was not the caller who agreed.
    Freeing(u64, Link, Wrong),
    /// That the grant is kept; with its scopes.
    Keeping(u64, Link, Vec<String>),
    /// What a server says.
    Pinged(Box<Ping>),
    /// That it is noted.
    Noting(u64),
    /// What a user is served who asks for its grants.
    Serving(Box<Owner>),
}

impl Doing {
    /// What it waits for, besides a form.
    pub const fn awaits(&self) -> Option<Want> {
        match self {
            Self::Form(_) | Self::Pinged(_) => None,
            Self::Looking(job, ..)
            | Self::Leaving(job, ..)
            | Self::SigningIn(job, ..)
            | Self::Counting(job, ..)
            | Self::Refusing(job, ..)
            | Self::Redeeming(job, ..)
            | Self::Freeing(job, ..)
            | Self::Keeping(job, ..)
            | Self::Noting(job) => Some(Want::Job(*job)),
            Self::Learning(want, ..) | Self::Judging(want, ..) | Self::Knowing(want, ..) => Some(*want),
            Self::Serving(owner) => Some(owner.awaits()),
        }
    }
}

/// What comes next.
pub(super) enum Next {
    Wait(Box<Doing>),
    Answer(Reply),
    Refuse(Box<Denial>),
}

impl From<Denial> for Next {
    fn from(denial: Denial) -> Self {
        Self::Refuse(Box::new(denial))
    }
}

impl From<Heard> for Next {
    fn from(heard: Heard) -> Self {
        match heard {
            Heard::More(ping) => Self::Wait(Box::new(Doing::Pinged(ping))),
            Heard::Job(job) => Self::Wait(Box::new(Doing::Noting(job))),
            Heard::Answer(reply) => Self::Answer(reply),
            Heard::Refuse(denial) => denial.into(),
        }
    }
}

impl From<Turn> for Next {
    fn from(turn: Turn) -> Self {
        match turn {
            Turn::Wait(owner) => Self::Wait(Box::new(Doing::Serving(owner))),
            Turn::Answer(reply) => Self::Answer(reply),
            Turn::Refuse(denial) => Self::Refuse(Box::new(denial)),
        }
    }
}

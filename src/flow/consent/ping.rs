//! Servers that say that a user has decided (OpenID Connect CIBA Core 1.0 section 10.2): it is noted, and nothing more, so that the next
//! request of the caller asks at once.

use crate::credential::user::GrantKey;
use crate::flow::event::Reply;
use crate::flow::event::reason::Reason;
use crate::flow::refusal::denial::Denial;
use crate::flow::request::head::Head;
use crate::flow::setup::runtime::Context;
use crate::flow::supply::grants::jobs::Outcome;
use crate::flow::supply::grants::order::Order;
use crate::identity::bearer;
use crate::wire::json::UniqueObject;
use serde_json::Value;

/// Longest body that is read.
const MOST_BYTES: usize = 4096;

/// What comes next.
pub(super) enum Heard {
    /// The rest of the body.
    More(Box<Ping>),
    /// That it is noted, by this job.
    Job(u64),
    Answer(Reply),
    Refuse(Denial),
}

/// A server that is listened to.
pub(super) struct Ping {
    key: GrantKey,
    connection: usize,
    flow: [u8; 16],
    body: Vec<u8>,
}

impl Ping {
    /// A server of registration `app`, if it shows what this side gave it.
    pub fn begin(head: &Head<'_>, app: &str, context: &Context<'_>) -> Result<Self, Denial> {
        let token = bearer::token(head.headers).map_err(|error| Denial::new(error.into()))?;
        let known = context.runtime.supply().pinged(app, token);
        let (key, connection, flow) = known.ok_or_else(|| Denial::new(Reason::TokenInactive))?;
        Ok(Self { key, connection, flow, body: Vec::new() })
    }

    /// Reads what it says.
    pub fn read(mut self: Box<Self>, chunk: &[u8], end: bool, context: &Context<'_>) -> Heard {
        self.body.extend_from_slice(chunk);
        if self.body.len() > MOST_BYTES {
            return Heard::Refuse(Denial::new(Reason::BodyTooLarge));
        }
        if !end {
            return Heard::More(self);
        }
        let said: UniqueObject = serde_json::from_slice(&self.body).unwrap_or_default();
        let Some(code) = said.0.get("auth_req_id").and_then(Value::as_str) else {
            return Heard::Refuse(Denial::new(Reason::BodyMalformed));
        };
        let order = Order::Ping(self.flow, code.to_owned());
        match context.runtime.supply().agree_elsewhere(self.key, self.connection, order, context.now) {
            Some(job) => Heard::Job(job),
            None => Heard::Refuse(Denial::new(Reason::CredentialUnavailable)),
        }
    }
}

/// What the server is answered. Of a flow that is over it need not hear.
pub(super) fn noted(outcome: Option<Outcome>) -> Heard {
    match outcome {
        Some(Outcome::Stands(Ok(_))) => {
            let headers = vec![("cache-control", "no-store".to_owned())];
            Heard::Answer(Reply { status: 204, grpc_status: None, headers, body: String::new() })
        }
        _ => Heard::Refuse(Denial::new(Reason::CredentialUnavailable)),
    }
}

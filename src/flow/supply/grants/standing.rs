//! How the flows of one caller at one connection stand whose user agrees on another device, as the vault keeps it, sealed: one of them is
//! under way at most, and those of the last hour are counted.

use crate::credential::devices::{Begun, Shown};
use crate::flow::supply::grants::ended::Ended;
use crate::wire::base64url;
use crate::wire::time::UnixTime;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::time::Duration;

/// Most flows of one caller at one connection in [`HOUR`]: each makes a device of its user ring, or shows a code that others may use.
pub const MOST: usize = 5;
/// How long a flow counts.
const HOUR: Duration = Duration::from_secs(3600);

/// The flows of one caller at one connection.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Those of the last hour, the latest last.
    pub flows: Vec<Flow>,
    /// How far the latest is.
    pub stage: Stage,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Tells it from all others.
    pub id: [u8; 16],
    /// When it began.
    pub since: UnixTime,
    /// How it ended; nothing while it is under way, and where nobody answered in time.
    pub ended: Option<Ended>,
}

/// What is under way.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Nothing. A server that began none is left alone until then.
    Idle(UnixTime),
    /// Somebody asks a server to begin one, until then.
    Starting(UnixTime),
    /// The latest flow: its user is asked.
    Waiting(Box<Waiting>),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Idle(UnixTime::default())
    }
}

/// A flow whose user is asked.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What the server knows it by.
    pub code: SecretString,
    /// When it runs out.
    pub until: UnixTime,
    /// Between two polls, in seconds.
    pub interval: u64,
    /// Nobody polls before.
    pub next: UnixTime,
    /// What the user is shown.
    pub shown: Shown,
    /// A digest of what was asked for.
    pub asked: [u8; 16],
    /// The answer with tokens, and when it was asked for: who agreed is still to be looked at.
    pub given: Option<(SecretString, UnixTime)>,
}

impl Waiting {
    /// What `begun` is, which was asked for at `since`.
    #[must_use]
    pub fn new(begun: Begun, message: String, asked: [u8; 16], since: UnixTime, now: UnixTime) -> Self {
        let shown = Shown { message, ..begun.shown };
        let next = after(now, begun.interval);
        Self { code: begun.code, until: since.plus(begun.life), interval: begun.interval, next, shown, asked, given: None }
    }
}

/// So many seconds from `now`, as whole seconds of which none is missing.
#[must_use]
pub fn after(now: UnixTime, seconds: u64) -> UnixTime {
    let whole = now.plus(Duration::from_nanos(999_999_999)).since(UnixTime::default()).as_secs();
    UnixTime::from_secs(whole.saturating_add(seconds))
}

impl Standing {
    /// It as it is at `now`, where `asked` is what users are asked for today.
    #[must_use]
    pub fn at(mut self, asked: [u8; 16], now: UnixTime) -> Self {
        if let Stage::Waiting(waiting) = &self.stage
            && (now >= waiting.until || waiting.asked != asked)
        {
            self.stage = Stage::default();
        }
        self.flows.retain(|flow| now.since(flow.since) < HOUR);
        self
    }

    /// The flow whose user is asked.
    #[must_use]
    pub fn pending(&self) -> Option<(&Flow, &Waiting)> {
        match &self.stage {
            Stage::Waiting(waiting) => Some((self.flows.last()?, waiting)),
            Stage::Idle(_) | Stage::Starting(_) => None,
        }
    }

    /// Whether that is `id`.
    #[must_use]
    pub fn is_pending(&self, id: [u8; 16]) -> bool {
        self.pending().is_some_and(|(flow, _)| flow.id == id)
    }

    /// The latest flow ends; as `ended` says, if that is known.
    pub fn end(&mut self, ended: Option<Ended>) {
        self.stage = Stage::default();
        if let Some(flow) = self.flows.last_mut() {
            flow.ended = ended;
        }
    }

    /// Until when it has to be kept.
    #[must_use]
    pub fn ends(&self, now: UnixTime) -> UnixTime {
        let last = self.flows.last().map_or(now, |flow| flow.since.plus(HOUR));
        let under_way = match &self.stage {
            Stage::Idle(until) | Stage::Starting(until) => *until,
            Stage::Waiting(waiting) => waiting.until,
        };
        last.max(under_way).max(now.plus(Duration::from_secs(60)))
    }

    /// As bytes, to be sealed.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let time = |time: UnixTime| time.since(UnixTime::default()).as_secs();
        let flows = self.flows.iter().map(|flow| json!([base64url::encode(&flow.id), time(flow.since), flow.ended.map(Ended::word)]));
        let stage = match &self.stage {
            Stage::Idle(until) => json!(["idle", time(*until)]),
            Stage::Starting(until) => json!(["starting", time(*until)]),
            Stage::Waiting(own) => {
                let Shown { uri, complete, user_code, message } = &own.shown;
                let given = own.given.as_ref().map(|(body, since)| (body.expose_secret(), time(*since)));
                json!([
                    own.code.expose_secret(),
                    time(own.until),
                    own.interval,
                    time(own.next),
                    [uri, complete, user_code, message],
                    base64url::encode(&own.asked),
                    given
                ])
            }
        };
        json!([flows.collect::<Vec<Value>>(), stage]).to_string().into_bytes()
    }

    /// What [`Standing::to_bytes`] made of one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let [flows, stage] = value.as_array()?.as_slice() else { return None };
        let time = |value: &Value| value.as_u64().map(UnixTime::from_secs);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let id = |value: &Value| <[u8; 16]>::try_from(base64url::decode(value.as_str()?)?).ok();
        let flow = |value: &Value| {
            let [own, since, ended] = value.as_array()?.as_slice() else { return None };
            Some(Flow { id: id(own)?, since: time(since)?, ended: ended.as_str().and_then(|word| Ended::of(word.as_bytes())) })
        };
        let flows = flows.as_array()?.iter().map(flow).collect::<Option<_>>()?;
        let stage = match stage.as_array()?.as_slice() {
            [word, until] if word == "idle" => Stage::Idle(time(until)?),
            [word, until] if word == "starting" => Stage::Starting(time(until)?),
            [code, until, interval, next, shown, asked, given] => {
                let shown = shown.as_array()?.iter().map(text).collect::<Option<Vec<_>>>()?;
                let [uri, complete, user_code, message] = <[String; 4]>::try_from(shown).ok()?;
                let given = match given.as_array().map(Vec::as_slice) {
                    Some([body, since]) => Some((text(body)?.into(), time(since)?)),
                    _ => None,
                };
                Stage::Waiting(Box::new(Waiting {
                    code: text(code)?.into(),
                    until: time(until)?,
                    interval: interval.as_u64()?,
                    next: time(next)?,
                    shown: Shown { uri, complete, user_code, message },
                    asked: id(asked)?,
                    given,
                }))
            }
            _ => return None,
        };
        Some(Self { flows, stage })
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, Flow, Shown, Stage, Standing, UnixTime, Waiting, after};
    use std::time::Duration;

    fn waiting() -> Standing {
        let at = UnixTime::from_secs;
        let shown = Shown { uri: "u".to_owned(), complete: "c".to_owned(), user_code: "WDJB".to_owned(), message: "m".to_owned() };
        let waiting = Waiting {
            code: "secret".to_owned().into(),
            until: at(1600),
            interval: 5,
            next: at(1010),
            shown,
            asked: [7; 16],
            given: Some(("{}".to_owned().into(), at(1005))),
        };
        let flow = |id, ended| Flow { id: [id; 16], since: at(1000), ended };
        let flows = vec![flow(1, Some(Ended::Denied)), flow(2, None), flow(3, Some(Ended::Stranger)), flow(4, None)];
        Standing { flows, stage: Stage::Waiting(Box::new(waiting)) }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let idle = Standing::default();
        let starting = Standing { stage: Stage::Starting(UnixTime::from_secs(9)), ..waiting() };
        for own in [waiting(), idle, starting] {
            let read = Standing::from_bytes(&own.to_bytes()).unwrap();
            assert_eq!(read.to_bytes(), own.to_bytes());
            assert_eq!(format!("{read:?}"), format!("{own:?}"));
        }
        assert!(Standing::from_bytes(b"[[],[]]").is_none() && Standing::from_bytes(b"").is_none());
        let shown = format!("{:?}", waiting());
        assert!(!shown.contains("WDJB") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn what_has_run_out_is_under_way_no_more() {
        let at = UnixTime::from_secs;
        assert!(waiting().at([7; 16], at(1599)).is_pending([4; 16]));
        assert!(!waiting().at([7; 16], at(1599)).is_pending([3; 16]));
        assert!(waiting().at([7; 16], at(1600)).pending().is_none());
        assert!(waiting().at([8; 16], at(1001)).pending().is_none(), "something else is asked for");
        assert_eq!((waiting().at([7; 16], at(4599)).flows.len(), waiting().at([7; 16], at(4600)).flows.len()), (4, 0));
        assert_eq!(waiting().ends(at(1000)), at(4600));
        assert_eq!((after(at(10), 5), after(at(10).plus(Duration::from_millis(1)), 5)), (at(15), at(16)));
    }
}

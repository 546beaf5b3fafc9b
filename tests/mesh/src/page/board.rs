//! What the page tells: events with numbers, kept within bounds, so that whoever looks later, or comes back, sees them as well.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The mesh as a whole: only the last counts.
    State,
    /// A call that has been answered.
    Call,
    /// A record of an Envoy.
    Record,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Call => "call",
            Self::Record => "record",
        }
    }

    /// How many of them are kept.
    fn kept(self) -> usize {
        match self {
            Self::State => 1,
            Self::Call => 120,
            Self::Record => 200,
        }
    }
}

/// The events.
pub struct Board {
    events: Mutex<Events>,
    /// The number of the last.
    last: watch::Sender<u64>,
}

#[derive(Default)]
struct Events {
    last: u64,
    kept: VecDeque<(u64, Kind, Arc<str>)>,
}

impl Default for Board {
    fn default() -> Self {
        Self { events: Mutex::default(), last: watch::channel(0).0 }
    }
}

impl Board {
    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who looks, in the form of server-sent events.
    pub fn post(&self, kind: Kind, data: &Value) {
        let mut events = self.events();
        events.last += 1;
        let number = events.last;
        // JSON of serde_json has no line feeds.
        let text: Arc<str> = format!("id: {number}\nevent: {}\ndata: {data}\n\n", kind.name()).into();
        events.kept.push_back((number, kind, text));
        let count = events.kept.iter().filter(|(_, own, _)| *own == kind).count();
        if count > kind.kept()
            && let Some(oldest) = events.kept.iter().position(|(_, own, _)| *own == kind)
        {
            events.kept.remove(oldest);
        }
        drop(events);
        self.last.send_replace(number);
    }

    /// What was told after event `number`, with the number of each.
    pub fn after(&self, number: u64) -> Vec<(u64, Arc<str>)> {
        let events = self.events();
        events.kept.iter().filter(|(own, _, _)| *own > number).map(|(own, _, text)| (*own, text.clone())).collect()
    }

    /// Wakes whenever something was told.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }
}

//! The desk: begins what is to be fetched, agrees with other workers on who fetches it, takes the answers, and says which requests to
//! wake. The host makes the calls and wakes the requests; it decides nothing of that.

use crate::flow::event::call::{Call, Want};
use crate::flow::event::interest::Wait;
use crate::flow::event::{Level, metric};
use crate::flow::supply::board::{Board, Notes};
use crate::flow::supply::grants;
use crate::flow::supply::shared::{Choice, Note};
use crate::flow::supply::store::Supply;
use crate::flow::supply::token_notes::TokenChoice;
use crate::flow::supply::witness;
use crate::wire::caching::Caching;
use crate::wire::header::Headers;
use crate::wire::paged::PagedMap;
use crate::wire::sorted::SortedSet;
use crate::wire::time::UnixTime;
use std::time::Duration;

/// How often the host should look around when nothing calls for it.
pub const TICK: Duration = Duration::from_millis(500);
/// How often it looks whether another worker has fetched what it waits for.
const FOLLOWING: Duration = Duration::from_millis(5);
/// How long received body bytes may be withheld before that is a fault.
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// How long the body of an answer may take whose headers are held, while it is not known whether the proxy delivers it.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Upper bound on requests woken per callback. Envoy does what is done to them when the callback ends, one inside of the other: some
/// hundreds of answers overflow the VM's stack.
const AT_ONCE: usize = 32;
/// How soon the next are woken, and a fetch begins that a request asked for.
pub const NEXT: Duration = Duration::from_millis(1);

/// Why a request is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// What it waits for has ended.
    Settled(Want),
    /// Another request has its place.
    Displaced,
    /// Its body has arrived at the proxy, which does not deliver it.
    BodyWithheld,
}

/// What the host is to do, in order.
#[derive(Debug)]
pub enum Errand {
    /// Make this call. Its answer goes to [`Desk::answered`]; if it cannot be made, [`Desk::unreachable`].
    Send(Want, Call),
    /// Write one line to the log.
    Log(Level, String),
    /// Add one to this counter.
    Count(String),
    /// Record milliseconds in this histogram.
    Record(String, u64),
}

/// The answer to a call.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// All headers, `:status` among them. None: the call was reset, or its answer was too slow behind its first byte.
    pub headers: &'a Headers,
    /// The body; empty if it is longer than the call asks for.
    pub body: &'a [u8],
    /// Its length, in bytes.
    pub size: usize,
}

/// What the desk works with.
#[derive(Clone, Copy)]
pub struct With<'a> {
    /// What is fetched and kept.
    pub supply: &'a Supply,
    /// What other workers say.
    pub board: &'a dyn Board,
    /// The time.
    pub now: UnixTime,
}

/// A request that waits; `W` is what the host knows it by.
#[derive(Debug)]
struct Waiting<W> {
    wait: Wait,
    since: UnixTime,
    who: W,
}

/// A call that was made.
#[derive(Debug)]
struct Sent {
    since: UnixTime,
    /// Longest answer that is read, in bytes.
    most: usize,
    cluster: String,
}

/// The desk of one configuration in one worker.
#[derive(Debug)]
pub struct Desk<W> {
    /// `None` until [`Desk::open`].
    notes: Option<Notes>,
    /// What requests asked for since the last tick.
    asked: PagedMap<Want, ()>,
    sent: PagedMap<Want, Sent>,
    /// What another worker fetches, and the call to make if that comes to nothing.
    followed: PagedMap<Want, Call>,
    /// Requests by the host's number for them.
    waiting: PagedMap<u32, Waiting<W>>,
    /// Those that are to be woken, in the order of their arrival.
    news: PagedMap<u32, News>,
    /// Clusters that Envoy does not have, of those that are fetched from without anyone asking: how often that was seen.
    missing: PagedMap<String, u32>,
    /// How many this callback has woken.
    woken: usize,
    /// When it was last looked after all who wait. Looking for bodies costs host calls for each of them, and anyone can make
    /// callbacks come often.
    looked: UnixTime,
}

impl<W> Default for Desk<W> {
    fn default() -> Self {
        Self {
            notes: None,
            asked: PagedMap::new(),
            sent: PagedMap::new(),
            followed: PagedMap::new(),
            waiting: PagedMap::new(),
            news: PagedMap::new(),
            missing: PagedMap::new(),
            woken: 0,
            looked: UnixTime::default(),
        }
    }
}

impl<W: Clone> Desk<W> {
    /// Begins to work with other workers. Tokens are shared with those that have the same configuration; the keys of an issuer with
    /// those, too, that have it in another. Whether this one is to warn of what is odd in the configuration: one does for all.
    pub fn open(&mut self, configuration: &[u8], with: &With<'_>) -> bool {
        let supply = with.supply;
        let notes = Notes::new(&supply.seal_of(configuration), supply.shared(configuration), supply.fetches_tokens(), with.board);
        if !supply.config().webhooks.is_empty() {
            witness::open(with.board);
        }
        let is_to_warn = notes.is_to_warn(with.board);
        self.notes = Some(notes);
        is_to_warn
    }

    /// Wipes what this configuration left for other workers.
    pub fn close(&mut self, with: &With<'_>) {
        if let Some(notes) = self.notes.take() {
            notes.wipe(with.supply.fetches_tokens(), with.board);
        }
    }

    /// A request asks for this: it is fetched with the next tick, which should come after [`NEXT`].
    pub fn ask(&mut self, want: Want) {
        self.asked.insert(want, ());
    }

    /// Request `id` waits for this, from now on.
    pub fn wait(&mut self, id: u32, wait: Wait, who: W, now: UnixTime) {
        self.waiting.insert(id, Waiting { wait, since: now, who });
    }

    /// Request `id` waits for this after it was woken; or for nothing.
    pub fn go_on(&mut self, id: u32, wait: Wait) {
        match self.waiting.get_mut(&id) {
            Some(waiting) if wait.is_any() => waiting.wait = wait,
            _ => self.leave(id),
        }
    }

    /// Request `id` has ended, or waits for nothing any more.
    pub fn leave(&mut self, id: u32) {
        self.waiting.remove(&id);
        self.news.remove(&id);
    }

    /// Begins what is due and what requests ask for.
    pub fn tick(&mut self, with: &With<'_>) -> Vec<Errand> {
        let mut errands = Vec::new();
        // What waits in a queue of its own is due when its turn comes.
        let mut wanted = std::mem::take(&mut self.asked);
        wanted.retain(|want, ()| !with.supply.has_turn(*want));
        wanted.extend(with.supply.due(with.now).into_iter().map(|want| (want, ())));
        if self.is_time_to_look(with.now) {
            // A request whose fetch was lost would wait for ever: its fetch begins again.
            let unheard = self.waiting.iter().filter(|(id, _)| !self.news.contains_key(id));
            let unheard = unheard.filter_map(|(_, waiting)| waiting.wait.until).filter(|want| !with.supply.has_turn(*want));
            wanted.extend(unheard.map(|want| (want, ())));
        }
        for (want, ()) in wanted {
            self.fetch(want, with, &mut errands);
        }
        for (want, call) in std::mem::take(&mut self.followed) {
            self.obtain(want, call, with, &mut errands);
        }
        if with.supply.has_displaced() {
            self.spread(News::Displaced, &|_, wait| wait.seat.is_some_and(|seat| with.supply.is_displaced(seat)));
        }
        errands
    }

    /// Fetches `want` unless that is under way.
    pub fn fetch(&mut self, want: Want, with: &With<'_>, errands: &mut Vec<Errand>) {
        if let Some(call) = with.supply.begin(want, with.now) {
            return self.obtain(want, call, with, errands);
        }
        errands.extend(with.supply.complaint().map(|complaint| Errand::Log(Level::Warn, complaint)));
        // What could not begin, and will not, has ended for those who wait for it.
        let is_under_way = self.sent.contains_key(&want) || self.followed.contains_key(&want);
        if !is_under_way && !with.supply.has_turn(want) {
            self.settled(want);
        }
    }

    /// Takes what another worker has fetched, or waits for it, or fetches.
    fn obtain(&mut self, want: Want, call: Call, with: &With<'_>, errands: &mut Vec<Errand>) {
        let (supply, now) = (with.supply, with.now);
        let choice = match (&self.notes, want, supply.terms(want)) {
            (Some(notes), Want::Token(key), _) => {
                match notes.choose_token(&key, supply.newest_token(&key), call.timeout.saturating_mul(2), now, with.board) {
                    TokenChoice::Fetch(_) => Choice::Fetch(Note::default()),
                    TokenChoice::Wait => Choice::Wait,
                    TokenChoice::Take(token) => {
                        supply.adopt_token(&key, token);
                        return self.settled(want);
                    }
                }
            }
            (Some(notes), _, Some(terms)) => notes.choose(want, &terms, now, with.board),
            (None, ..) | (Some(_), _, None) => Choice::Fetch(Note::default()),
        };
        match choice {
            Choice::Fetch(_) => self.send(want, call, now, errands),
            Choice::Wait => drop(self.followed.insert(want, call)),
            Choice::Take(at, document) => {
                let answer = document.as_deref().map_or_else(|| Err("another worker could not".to_owned()), |body| Ok((200, body)));
                let adopted = supply.adopt(want, answer, at);
                // Why there is none has been said by the other worker.
                let said = adopted.err().filter(|_| document.is_some());
                errands.extend(said.map(|error| Errand::Log(Level::Warn, error)));
                self.settled(want);
            }
        }
    }

    fn send(&mut self, want: Want, call: Call, now: UnixTime, errands: &mut Vec<Errand>) {
        self.sent.insert(want, Sent { since: now, most: call.most, cluster: call.cluster.clone() });
        errands.push(Errand::Send(want, call));
    }

    /// Longest answer to the call for `want` that is read, in bytes.
    #[must_use]
    pub fn longest_answer(&self, want: Want) -> usize {
        self.sent.get(&want).map_or(0, |sent| sent.most)
    }

    /// The call for `want` cannot be made.
    pub fn unreachable(&mut self, want: Want, with: &With<'_>) -> Vec<Errand> {
        let Some(sent) = self.sent.remove(&want) else { return Vec::new() };
        let error = format!("cannot be reached: Envoy has no usable cluster {:?}", sent.cluster);
        let is_said = self.is_to_say(want, sent.cluster);
        let mut errands = self.complete(want, sent.since, Err(error.clone()), &Caching::default(), with);
        errands.retain(|errand| is_said || !matches!(errand, Errand::Log(_, text) if text.contains(&error)));
        errands
    }

    /// Whether it is to be said that there is no `cluster`. Envoy may get it later than the listener: of what is fetched without anyone
    /// asking that is said when it is missing for the second time, and no more.
    fn is_to_say(&mut self, want: Want, cluster: String) -> bool {
        if matches!(want, Want::Token(_) | Want::Introspection(_)) {
            return true;
        }
        let times = self.missing.get(&cluster).map_or(1, |times| times.saturating_add(1));
        self.missing.insert(cluster, times);
        times == 2
    }

    /// The answer to the call for `want` has come.
    pub fn answered(&mut self, want: Want, arrived: &Arrived<'_>, with: &With<'_>) -> Vec<Errand> {
        let Some(Sent { since, most, cluster }) = self.sent.remove(&want) else { return Vec::new() };
        self.missing.remove(&cluster);
        let Arrived { headers, body, size } = *arrived;
        let status = headers.single_ascii(":status").and_then(|status| status.parse().ok());
        let caching = if Supply::heeds_caching(want) { Caching::of(headers) } else { Caching::default() };
        let (answer, caching) = match status {
            _ if headers.is_empty() => (Err("gave no whole answer in time, or reset the connection".to_owned()), Caching::default()),
            None => (Err("answered without a status".to_owned()), Caching::default()),
            Some(status @ (200 | 400..=499)) if size <= most => (Ok((status, body)), caching),
            Some(200) => (Err(format!("answered with {size} bytes, more than {most}")), Caching::default()),
            Some(status) => (Ok((status, &[][..])), caching),
        };
        self.complete(want, since, answer, &caching, with)
    }

    /// Takes the outcome of a fetch, and wakes everyone who waited for it.
    fn complete(
        &mut self,
        want: Want,
        since: UnixTime,
        answer: Result<(u16, &[u8]), String>,
        caching: &Caching,
        with: &With<'_>,
    ) -> Vec<Errand> {
        let (supply, now) = (with.supply, with.now);
        let mut errands = Vec::new();
        let document = answer.as_ref().ok().map(|(_, body)| *body);
        let whose = supply.whose(want);
        let completed = supply.complete(want, answer, caching, now);
        match want {
            Want::Token(key) => {
                if let Some((connection, method)) = supply.token_of(&key) {
                    let millis = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
                    errands.push(Errand::Count(metric::token_requests(connection, method, completed.is_ok())));
                    errands.push(Errand::Record(metric::token_request_time(connection, method), millis));
                }
            }
            _ => errands.push(Errand::Count(metric::fetches(want, whose, completed.is_ok()))),
        }
        let is_good = completed.is_ok();
        let warnings = completed.err().into_iter().chain(supply.warnings()).map(|warning| (Level::Warn, warning));
        errands.extend(warnings.chain(supply.notices()).map(|(level, text)| Errand::Log(level, text)));
        if let Some(call) = supply.proceed(want) {
            self.send(want, call, now, &mut errands);
            return errands;
        }
        match (&self.notes, want) {
            (Some(notes), Want::Token(key)) => {
                notes.publish_token(&key, supply.fetched_token(&key, now).filter(|_| is_good), with.board);
            }
            (Some(notes), want) if supply.terms(want).is_some() => {
                notes.publish(want, document.filter(|_| is_good).map(<[u8]>::to_vec), now, with.board);
            }
            _ => {}
        }
        // Who waits for what another does goes on waiting.
        if !supply.has_turn(want) {
            self.settled(want);
        }
        errands
    }

    fn settled(&mut self, want: Want) {
        self.spread(News::Settled(want), &|_, wait| wait.until == Some(want));
    }

    /// Notes that every waiting request that `concerns` picks is to be woken.
    fn spread(&mut self, news: News, concerns: &dyn Fn(u32, &Wait) -> bool) {
        let picked = self.waiting.iter().filter(|(id, waiting)| concerns(**id, &waiting.wait));
        self.news.extend(picked.map(|(id, _)| (*id, news)));
    }

    /// The next request to wake, and why. After each, the host says by [`Desk::go_on`] or [`Desk::leave`] what became of it. `None`:
    /// no more in this callback.
    pub fn next(&mut self, supply: &Supply) -> Option<(u32, News, W)> {
        while self.woken < AT_ONCE {
            let (id, news) = self.news.pop_first()?;
            let Some(Waiting { wait, who, .. }) = self.waiting.get(&id) else { continue };
            // It may wait for something else by now.
            let concerns = match news {
                News::Settled(want) => wait.until == Some(want),
                News::Displaced => wait.seat.is_some_and(|seat| supply.is_displaced(seat)),
                News::BodyWithheld => wait.body || wait.answer,
            };
            if concerns {
                self.woken = self.woken.saturating_add(1);
                return Some((id, news, who.clone()));
            }
        }
        None
    }

    /// Ends a callback: when the next tick should come, if that is sooner than it would anyway.
    pub fn rest(&mut self, supply: &Supply) -> Option<Duration> {
        self.woken = 0;
        if supply.has_due_questions() || supply.has_grant_turn() || !self.news.is_empty() || !self.asked.is_empty() {
            Some(NEXT)
        } else {
            (!self.followed.is_empty()).then_some(FOLLOWING).or_else(|| supply.follows_grants().then_some(grants::entries::FOLLOWING))
        }
    }

    fn is_time_to_look(&self, now: UnixTime) -> bool {
        now.since(self.looked) >= TICK || now < self.looked
    }

    /// Requests that have waited long for the first part of their body: the host looks whether the proxy has it. Empty if it was
    /// looked a moment ago.
    pub fn look(&mut self, now: UnixTime) -> Vec<u32> {
        if !self.is_time_to_look(now) {
            return Vec::new();
        }
        self.looked = now;
        let suspects = self.waiting.iter().filter(|(_, waiting)| waiting.wait.body && now.since(waiting.since) >= BODY_PATIENCE);
        suspects.map(|(id, _)| *id).collect()
    }

    /// Requests that have waited too long for the body of their answer. (The proxy does not tell whether it has some of it.)
    #[must_use]
    pub fn unanswered(&self, now: UnixTime) -> SortedSet<u32> {
        let unanswered = self.waiting.iter().filter(|(_, waiting)| waiting.wait.answer && now.since(waiting.since) >= ANSWER_PATIENCE);
        unanswered.map(|(id, _)| *id).collect()
    }

    /// The proxy withholds the bodies of these requests.
    pub fn withheld(&mut self, ids: &SortedSet<u32>) {
        self.spread(News::BodyWithheld, &|id, _| ids.contains(&id));
    }
}

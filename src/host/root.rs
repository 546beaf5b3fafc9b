//! The root context of one configuration in one VM: takes the configuration, fetches keys for everyone who
//! waits, and looks after requests whose body never comes.

use crate::config::{Config, ConfigError, Secret};
use crate::credential::secrets::Secrets;
use crate::flow::event::metric;
use crate::flow::supply::shared::{Choice, Note};
use crate::flow::supply::store::Supply;
use crate::flow::supply::token_notes::TokenChoice;
use crate::flow::{Answer, Call, Context, Event, Exchange, Level, Outcome, Runtime, Step, Value, Want};
use crate::host::call::Room;
use crate::host::log::log;
use crate::host::raw::Map;
use crate::host::shared::Board;
use crate::host::signature::HostSigner;
use crate::host::stream::Stream;
use crate::host::waiting::Shared;
use crate::host::{call, raw, wasi};
use crate::wire::caching::Caching;
use crate::wire::time::UnixTime;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context as HostContext, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, MapType};
use secrecy::ExposeSecret;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// How often the root looks around when nobody calls it.
const TICK: Duration = Duration::from_millis(500);
/// How often it looks whether another worker has fetched what it waits for.
const FOLLOWING: Duration = Duration::from_millis(5);
/// How long received body bytes may be withheld before that is a fault.
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// Most requests that are told something in one callback. Envoy does what is done to them when the callback ends, one inside of the
/// other: some hundreds of answers overflow the VM's stack.
const AT_ONCE: usize = 32;
/// How soon the next are told.
const NEXT: Duration = Duration::from_millis(1);

/// What a request is to be told.
#[derive(Clone, Copy)]
enum News {
    /// What it waits for has ended.
    Settled(Want),
    /// Somebody else has its place.
    Displaced,
    BodyWithheld,
}

impl News {
    /// Whether it is still of interest.
    fn concerns(self, exchange: &Exchange) -> bool {
        match self {
            Self::Settled(want) => exchange.awaits() == Some(want),
            Self::Displaced => exchange.is_displaced(),
            Self::BodyWithheld => exchange.awaits_body(),
        }
    }
}

/// A fetch under way.
struct Pending {
    want: Want,
    /// Longest answer that is read, in bytes.
    most: usize,
    since: UnixTime,
}

/// The root context.
pub struct Root {
    id: u32,
    shared: Rc<Shared>,
    runtime: Option<Rc<Runtime>>,
    /// What is fetched, by call token.
    calls: BTreeMap<u32, Pending>,
    /// Where workers leave what they fetch.
    board: Option<Board>,
    /// What another worker fetches, and the call to make if that comes to nothing.
    followed: BTreeMap<Want, Call>,
    /// Requests that are to be told something, by context id: in the order of their arrival.
    untold: BTreeMap<u32, (Rc<RefCell<Exchange>>, News)>,
    /// How many of them this callback has told.
    told: usize,
    /// When it was last looked for bodies that are withheld. That costs host calls for each request that waits, and anybody can
    /// make callbacks come often.
    looked: UnixTime,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self {
            id,
            shared: Rc::default(),
            runtime: None,
            calls: BTreeMap::new(),
            board: None,
            followed: BTreeMap::new(),
            untold: BTreeMap::new(),
            told: 0,
            looked: UnixTime::default(),
        }
    }

    fn configure(json: &[u8]) -> Result<Runtime, ConfigError> {
        let config = Config::parse(json)?;
        let mut secrets = Secrets::default();
        for (name, secret) in config.secrets() {
            match secret {
                Secret::Env(variable) => secrets.insert(name, wasi::variable(variable)),
                Secret::Inline(value) => secrets.insert(name, Some(value.expose_secret().to_owned())),
                Secret::Http(_) => {}
            }
        }
        for (name, error) in secrets.missing() {
            if let Some(Secret::Env(_)) = config.secrets().get(name) {
                let hint = "is it in Envoy's environment and in vm_config.environment_variables.host_env_keys?";
                // Without the variable's name, in whose place somebody may have written the secret itself.
                log(Level::Warn, &format!("secrets.{name}.env: the environment variable {error}: {hint}"));
            }
        }
        Ok(Runtime::new(config, secrets)?
            .seeded(wasi::random())
            .signing_with(Rc::new(HostSigner))
            .telling_apart(Rc::new(call::HostClients)))
    }

    fn fetch(&mut self, want: Want, now: UnixTime) {
        let Some(runtime) = self.runtime.clone() else { return };
        match runtime.supply().begin(want, now) {
            Some(call) => self.obtain(want, call, now),
            None => {
                if let Some(complaint) = runtime.supply().complaint() {
                    log(Level::Warn, &complaint);
                }
                // What could not begin, and will not, has ended for those who wait for it.
                let is_under_way = self.calls.values().any(|pending| pending.want == want) || self.followed.contains_key(&want);
                if !is_under_way && !runtime.supply().has_turn(want) {
                    self.settled(want, now);
                }
            }
        }
    }

    /// Takes what another worker has fetched, or waits for it, or fetches.
    fn obtain(&mut self, want: Want, call: Call, now: UnixTime) {
        let Some(runtime) = self.runtime.clone() else { return };
        let Some(board) = &self.board else { return self.dispatch(want, &call, now) };
        let choice = match (want, runtime.supply().terms(want)) {
            (Want::Token(key), _) => {
                match board.choose_token(&key, runtime.supply().newest_token(&key), call.timeout.saturating_mul(2), now) {
                    TokenChoice::Fetch(_) => Choice::Fetch(Note::default()),
                    TokenChoice::Wait => Choice::Wait,
                    TokenChoice::Take(token) => {
                        runtime.supply().adopt_token(&key, token);
                        return self.settled(want, now);
                    }
                }
            }
            (_, Some(terms)) => board.choose(want, &terms, now),
            (_, None) => return self.dispatch(want, &call, now),
        };
        match choice {
            Choice::Fetch(_) => self.dispatch(want, &call, now),
            Choice::Wait => drop(self.followed.insert(want, call)),
            Choice::Take(at, document) => {
                let answer = document.as_deref().map_or_else(|| Err("another worker could not".to_owned()), |body| Ok((200, body)));
                if let Err(error) = runtime.supply().adopt(want, answer, at) {
                    log(Level::Warn, &error);
                }
                self.settled(want, now);
            }
        }
    }

    fn dispatch(&mut self, want: Want, call: &Call, now: UnixTime) {
        fn text(value: &Value) -> &str {
            match value {
                Value::Text(text) => text,
                Value::Secret(secret) => secret.expose_secret(),
            }
        }
        let headers = call.headers.iter().map(|(name, value)| (name.as_ref(), text(value))).collect();
        let body = call.body.as_ref().map(|body| text(body).as_bytes());
        match hostcalls::dispatch_http_call(&call.cluster, headers, body, vec![], call.timeout) {
            Ok(token) => {
                self.calls.insert(token, Pending { want, most: call.most, since: now });
            }
            Err(_) => self.fetched(want, Err(format!("cannot be reached: Envoy has no usable cluster {:?}", call.cluster)), now, now),
        }
    }

    /// The answer to a call of ours has come.
    fn answered(&mut self, token: u32, headers: usize, body_size: usize) {
        let Some(Pending { want, most, since }) = self.calls.remove(&token) else { return };
        let now = call::now();
        // Reset, or too slow behind its first byte: there is nothing to ask Envoy for, and asking would end this VM.
        if headers == 0 {
            return self.fetched(want, Err("gave no whole answer in time, or reset the connection".to_owned()), since, now);
        }
        let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok().flatten();
        let status = status.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        let body = || hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size).ok().flatten().unwrap_or_default();
        let caching = if Supply::heeds_caching(want) { Caching::of(&raw::headers(Map::Answer)) } else { Caching::default() };
        match status {
            None => self.fetched(want, Err("answered without a status".to_owned()), since, now),
            Some(status @ (200 | 400..=499)) if body_size <= most => self.ended(want, Ok((status, &body())), &caching, since, now),
            Some(200) => self.fetched(want, Err(format!("answered with {body_size} bytes, more than {most}")), since, now),
            Some(status) => self.ended(want, Ok((status, &[])), &caching, since, now),
        }
    }

    /// Takes the outcome of a fetch and tells everyone who waited for it.
    fn fetched(&mut self, want: Want, answer: Answer<'_>, since: UnixTime, now: UnixTime) {
        self.ended(want, answer, &Caching::default(), since, now);
    }

    /// The same for an answer whose headers say how long it is kept.
    fn ended(&mut self, want: Want, answer: Answer<'_>, caching: &Caching, since: UnixTime, now: UnixTime) {
        let Some(runtime) = self.runtime.clone() else { return };
        let document = answer.as_ref().ok().map(|(_, body)| *body);
        let whose = runtime.supply().whose(want);
        let completed = runtime.supply().complete(want, answer, caching, now);
        let metrics = &self.shared.metrics;
        match want {
            Want::Token(key) => {
                if let Some((connection, method)) = runtime.supply().token_of(&key) {
                    let millis = u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
                    metrics.add(&metric::token_requests(connection, method, completed.is_ok()), 1);
                    metrics.record(&metric::token_request_time(connection, method), millis);
                }
            }
            _ => metrics.add(&metric::fetches(want, whose, completed.is_ok()), 1),
        }
        if let Err(error) = &completed {
            log(Level::Warn, error);
        }
        runtime.warnings().iter().for_each(|warning| log(Level::Warn, warning));
        runtime.supply().notices().iter().for_each(|(level, notice)| log(*level, notice));
        if let Some(call) = runtime.supply().proceed(want) {
            return self.dispatch(want, &call, now);
        }
        match (&self.board, want) {
            (Some(board), Want::Token(key)) => {
                board.publish_token(&key, runtime.supply().fetched_token(&key, now).filter(|_| completed.is_ok()))
            }
            (Some(board), want) if runtime.supply().terms(want).is_some() => {
                board.publish(want, document.filter(|_| completed.is_ok()).map(<[u8]>::to_vec), now);
            }
            _ => {}
        }
        self.settled(want, now);
    }

    fn settled(&mut self, want: Want, now: UnixTime) {
        self.tell(|_, exchange| exchange.awaits() == Some(want), News::Settled(want), now);
    }

    /// Tells every waiting request that `concerns` picks.
    fn tell(&mut self, concerns: impl Fn(u32, &Exchange) -> bool, news: News, now: UnixTime) {
        let waiting = self.shared.waiting.borrow();
        let picked = waiting.iter().filter(|(id, waiting)| concerns(**id, &waiting.exchange.borrow()));
        self.untold.extend(picked.map(|(id, waiting)| (*id, (Rc::clone(&waiting.exchange), news))));
        drop(waiting);
        self.tell_some(now);
    }

    /// Tells those whose turn it is, and lets those go on that may.
    fn tell_some(&mut self, now: UnixTime) {
        let Some(runtime) = self.runtime.clone() else { return };
        let context = Context { runtime: &runtime, verifier: &self.shared.verifier, now };
        while self.told < AT_ONCE {
            let Some((id, (exchange, news))) = self.untold.pop_first() else { break };
            // It may have ended meanwhile.
            if !news.concerns(&exchange.borrow()) {
                continue;
            }
            if hostcalls::set_effective_context(id).is_err() {
                self.shared.waiting.borrow_mut().remove(&id);
                continue;
            }
            self.told = self.told.saturating_add(1);
            let event = match news {
                News::Settled(_) | News::Displaced => Event::Settled,
                News::BodyWithheld => Event::BodyWithheld,
            };
            let mut next = Some(event);
            while let Some(event) = next {
                let Outcome { effects, step } = exchange.borrow_mut().on(event, &context);
                let room = Room { request: exchange.borrow().held_body(), ..Room::NONE };
                let performed = call::perform(effects, &self.shared, room, now);
                if !performed {
                    exchange.borrow_mut().stop();
                }
                let goes_on = performed && step == Step::Continue;
                // What came of its body meanwhile is read now that its sender is known.
                next = if goes_on { None } else { exchange.borrow_mut().unread_body().map(|part| call::body(&part)) };
                if goes_on {
                    let _ = hostcalls::resume_http_request();
                }
            }
            let waits = exchange.borrow().awaits().is_some() || exchange.borrow().awaits_body();
            if !waits {
                self.shared.waiting.borrow_mut().remove(&id);
            }
        }
        let _ = hostcalls::set_effective_context(self.id);
    }

    /// Ends a callback: the next comes when there is something to do.
    fn rest(&mut self) {
        self.told = 0;
        let is_due = self.runtime.as_ref().is_some_and(|runtime| runtime.supply().has_due_questions());
        let next = if is_due || !self.untold.is_empty() {
            NEXT
        } else if !self.followed.is_empty() {
            FOLLOWING
        } else {
            return;
        };
        let _ = hostcalls::set_tick_period(next);
    }

    /// Requests whose body bytes have arrived at the proxy (it counts them) but not here.
    fn withheld(&self, now: UnixTime) -> BTreeSet<u32> {
        let suspects: Vec<u32> = self
            .shared
            .waiting
            .borrow()
            .iter()
            .filter(|(_, waiting)| {
                !waiting.exchange.borrow().has_body()
                    && waiting.exchange.borrow().awaits_body()
                    && now.since(waiting.since) >= BODY_PATIENCE
            })
            .map(|(id, _)| *id)
            .collect();
        let withheld = suspects.into_iter().filter(|id| {
            if hostcalls::set_effective_context(*id).is_err() {
                return false;
            }
            // The sum of what headers measure and what has been received of the body.
            let total = hostcalls::get_property(vec!["request", "total_size"]).ok().flatten();
            let total = total.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_le_bytes);
            let headers = i64::try_from(raw::headers(Map::Request).byte_size()).unwrap_or(i64::MAX);
            total > headers
        });
        let withheld = withheld.collect();
        let _ = hostcalls::set_effective_context(self.id);
        withheld
    }
}

impl Root {
    /// Hands over what was counted since the last tick.
    fn flush(&self, runtime: &Runtime) {
        runtime.supply().tally().take().for_each(|(name, count)| self.shared.metrics.add(name, count));
        self.shared.metrics.flush(runtime.config());
    }
}

impl HostContext for Root {
    fn on_done(&mut self) -> bool {
        // No tick may follow, but requests that are under way.
        if let Some(runtime) = &self.runtime {
            self.flush(runtime);
            self.shared.metrics.end(runtime.config());
        }
        if let (Some(board), Some(runtime)) = (&self.board, &self.runtime) {
            runtime.supply().shared().for_each(|want| board.wipe(want));
            if runtime.supply().fetches_tokens() {
                board.wipe_tokens();
            }
        }
        true
    }

    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        self.answered(token, headers, body_size);
        self.rest();
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let json = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default();
        match Self::configure(&json) {
            Ok(runtime) => {
                self.board =
                    Some(Board::new(&runtime.supply().seal_of(&json), runtime.supply().shared(), runtime.supply().fetches_tokens()));
                runtime.config().cautions().chain(runtime.warnings()).for_each(|warning| log(Level::Warn, &warning));
                self.shared.keeps_marks.set(call::keeps_marks());
                runtime.supply().set_lowest_log_level(raw::log_level());
                let runtime = Rc::new(runtime);
                let _ = self.shared.runtime.set(Rc::clone(&runtime));
                self.runtime = Some(runtime);
                // Keys are fetched before the first request asks for them.
                hostcalls::set_tick_period(Duration::from_millis(1)).is_ok()
            }
            Err(error) => {
                log(Level::Error, &format!("configuration refused: {error}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let now = call::now();
        let _ = hostcalls::set_tick_period(TICK);
        let Some(runtime) = self.runtime.clone() else { return };
        let mut wanted: BTreeSet<Want> = runtime.supply().due(now).into_iter().collect();
        let waiting = self.shared.waiting.borrow();
        let unheard = waiting.iter().filter(|(id, _)| !self.untold.contains_key(id));
        let awaited = unheard.filter_map(|(_, waiting)| waiting.exchange.borrow().awaits());
        // What has its turn is due then.
        wanted.extend(awaited.filter(|want| !runtime.supply().has_turn(*want)));
        drop(waiting);
        self.tell_some(now);
        for want in wanted {
            self.fetch(want, now);
        }
        for (want, call) in std::mem::take(&mut self.followed) {
            self.obtain(want, call, now);
        }
        if runtime.supply().has_displaced() {
            self.tell(|_, exchange| exchange.is_displaced(), News::Displaced, now);
        }
        // It may be changed while Envoy runs.
        runtime.supply().set_lowest_log_level(raw::log_level());
        self.flush(&runtime);
        runtime.supply().ages(now).iter().for_each(|(name, seconds)| self.shared.metrics.set(name, *seconds));
        if now.since(self.looked) >= TICK || now < self.looked {
            self.looked = now;
            let withheld = self.withheld(now);
            if !withheld.is_empty() {
                self.tell(|id, _| withheld.contains(&id), News::BodyWithheld, now);
            }
        }
        self.rest();
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let runtime = self.runtime.clone()?;
        Some(Box::new(Stream::new(id, Rc::clone(&self.shared), runtime)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

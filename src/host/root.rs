//! The root context of one configuration in one VM: takes the configuration, makes the calls that the desk sends, and wakes the
//! requests that it names.

use crate::config::{Config, ConfigError, Secret};
use crate::credential::secrets::{SecretError, Secrets};
use crate::credential::signing::Signer;
use crate::flow::event::metric;
use crate::flow::supply::desk::{Arrived, Errand, News, TICK, With};
use crate::flow::{Call, Context, Event, Level, Runtime, Step, Value, Want};
use crate::host::log::log;
use crate::host::raw::Map;
use crate::host::shared::SharedData;
use crate::host::signature::{HostSigner, NO_SIGN};
use crate::host::stream::Stream;
use crate::host::tell::tell;
use crate::host::waiting::Shared;
use crate::host::{call, raw, wasi};
use crate::identity::signature::Verifier;
use crate::wire::header::Headers;
use crate::wire::paged::PagedMap;
use crate::wire::quoted;
use crate::wire::sorted::SortedSet;
use crate::wire::time::UnixTime;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context as HostContext, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};
use secrecy::ExposeSecret;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// The root context.
pub struct Root {
    id: u32,
    shared: Rc<Shared>,
    runtime: Option<Rc<Runtime>>,
    /// What is fetched, by call token.
    calls: PagedMap<u32, Want>,
}

impl Root {
    pub fn new(id: u32) -> Self {
        Self { id, shared: Rc::default(), runtime: None, calls: PagedMap::new() }
    }

    /// What `json` configures, and what is to be said of it.
    fn configure(&self, json: &[u8]) -> Result<(Runtime, Vec<String>), ConfigError> {
        let config = Config::parse(json)?;
        let mut secrets = Secrets::default();
        for (name, secret) in config.secrets() {
            match secret {
                Secret::Env(variable) => secrets.insert(name, wasi::variable(variable)),
                Secret::Inline(value) => secrets.insert(name, Some(value.expose_secret().to_owned())),
                Secret::Http(_) => {}
            }
        }
        let mut warnings = Vec::new();
        for (name, error) in secrets.missing() {
            if let Some(Secret::Env(_)) = config.secrets().get(name) {
                // Without the variable's name, in whose place somebody may have written the secret itself.
                warnings.push(format!("secrets.{name}.env: the environment variable {error}: {}", hint(error)));
            }
        }
        let runtime = Runtime::new(config, secrets)?
            .seeded(wasi::random())
            .verifying_with(Rc::clone(&self.shared.verifier) as Rc<dyn Verifier>)
            .signing_with(Rc::new(HostSigner), json)?
            .telling_apart(Rc::new(call::HostClients))
            .remembering_on(Rc::new(SharedData));
        warnings.extend(runtime.config().cautions().chain(runtime.warnings()));
        Ok((runtime, warnings))
    }

    /// Does what the desk says.
    fn run(&mut self, errands: Vec<Errand>, with: &With<'_>) {
        let mut errands = VecDeque::from(errands);
        while let Some(errand) = errands.pop_front() {
            match errand {
                Errand::Send(want, call) => match send(&call) {
                    Some(token) => drop(self.calls.insert(token, want)),
                    None => errands.extend(self.shared.desk.borrow_mut().unreachable(want, with)),
                },
                Errand::Log(level, text) => log(level, &text),
                Errand::Count(name) => self.shared.metrics.add(&name, 1),
                Errand::Record(name, value) => self.shared.metrics.record(&name, value),
            }
        }
    }

    /// The answer to a call of ours has come.
    fn answered(&mut self, token: u32, count: usize, size: usize, with: &With<'_>) {
        let Some(want) = self.calls.remove(&token) else { return };
        // Reset, or too slow behind its first byte: there is nothing to ask Envoy for, and asking would end this VM.
        let headers = if count == 0 { Headers::default() } else { raw::headers(Map::Answer) };
        let is_read = count > 0 && size <= self.shared.desk.borrow().longest_answer(want);
        let body = is_read.then(|| hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten());
        let arrived = Arrived { headers: &headers, body: &body.flatten().unwrap_or_default(), size };
        let errands = self.shared.desk.borrow_mut().answered(want, &arrived, with);
        self.run(errands, with);
    }

    /// Wakes those whose turn it is, and lets those go on that may.
    fn wake(&self, runtime: &Runtime, now: UnixTime) {
        let context = Context { runtime, verifier: &*self.shared.verifier, now };
        loop {
            let next = self.shared.desk.borrow_mut().next(runtime.supply());
            let Some((id, news, request)) = next else { break };
            if hostcalls::set_effective_context(id).is_err() {
                self.shared.desk.borrow_mut().leave(id);
                continue;
            }
            let mut next = Some(match news {
                News::Settled(_) | News::Displaced => Event::Settled,
                News::BodyWithheld => Event::BodyWithheld,
            });
            while let Some(event) = next {
                let step = tell(&request, event, &context, &self.shared, request.room());
                // What came of its body meanwhile is read now that its sender is known.
                next = if step == Step::Continue {
                    None
                } else {
                    request.exchange.borrow_mut().unread_body().map(|part| call::body(&part, request.padding.get()))
                };
                if step == Step::Continue {
                    let _ = hostcalls::resume_http_request();
                }
            }
            self.shared.desk.borrow_mut().go_on(id, request.interest.get().wait);
        }
        let _ = hostcalls::set_effective_context(self.id);
    }

    /// Ends a callback: the next comes when there is something to do.
    fn rest(&self, runtime: &Runtime) {
        if let Some(next) = self.shared.desk.borrow_mut().rest(runtime.supply()) {
            let _ = hostcalls::set_tick_period(next);
        }
    }

    /// Of these requests, those whose body bytes have arrived at the proxy (it counts them) but not here.
    fn withheld(&self, suspects: Vec<u32>) -> SortedSet<u32> {
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

    /// Hands over what was counted since the last tick.
    fn flush(&self, runtime: &Runtime) {
        runtime.supply().tally().take().for_each(|(name, count)| self.shared.metrics.add(name, count));
        self.shared.metrics.flush(runtime.config());
        let (waited, places) = runtime.supply().waited();
        self.wait_for(waited, places);
    }

    fn wait_for(&self, waited: usize, places: usize) {
        self.shared.metrics.contribute(metric::WAITING, waited);
        self.shared.metrics.contribute(metric::PLACES, places);
    }
}

/// What is known of an environment variable without a value, and what to look at. A variable that is not listed cannot be told from one
/// that is not set: Envoy passes neither.
fn hint(error: SecretError) -> String {
    if error != SecretError::Missing {
        return "set it anew, and restart Envoy".to_owned();
    }
    let names = wasi::names();
    let passed = match names.len() {
        0 => "no variable at all is passed to this filter: vm_config.environment_variables is missing, or Envoy has none of those in it"
            .to_owned(),
        _ => format!("passed to this filter are {}", quoted::list(&names)),
    };
    format!("either vm_config.environment_variables.host_env_keys does not list it, or Envoy itself was started without it; {passed}")
}

/// Makes a call: its token. `None` if Envoy does not take it.
fn send(call: &Call) -> Option<u32> {
    fn text(value: &Value) -> &str {
        match value {
            Value::Text(text) => text,
            Value::Secret(secret) => secret.expose_secret(),
        }
    }
    let headers = call.headers.iter().map(|(name, value)| (name.as_ref(), text(value))).collect();
    let body = call.body.as_ref().map(|body| text(body).as_bytes());
    hostcalls::dispatch_http_call(&call.cluster, headers, body, vec![], call.timeout).ok()
}

impl HostContext for Root {
    fn on_done(&mut self) -> bool {
        // No tick may follow, but requests that are under way.
        if let Some(runtime) = &self.runtime {
            self.flush(runtime);
            self.wait_for(0, 0);
            self.shared.metrics.end(runtime.config());
            let with = With { supply: runtime.supply(), board: &SharedData, now: UnixTime::default() };
            self.shared.desk.borrow_mut().close(&with);
        }
        true
    }

    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        let Some(runtime) = self.runtime.clone() else { return };
        let with = With { supply: runtime.supply(), board: &SharedData, now: call::now() };
        self.answered(token, headers, body_size, &with);
        self.wake(&runtime, with.now);
        self.rest(&runtime);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let json = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default();
        match self.configure(&json) {
            Ok((runtime, warnings)) => {
                let with = With { supply: runtime.supply(), board: &SharedData, now: UnixTime::default() };
                if self.shared.desk.borrow_mut().open(&json, &with) {
                    log(Level::Info, concat!("version ", env!("CARGO_PKG_VERSION")));
                    warnings.iter().for_each(|warning| log(Level::Warn, warning));
                    if !HostSigner.is_there() {
                        log(Level::Info, NO_SIGN);
                    }
                }
                self.shared.keeps_marks.set(call::keeps_marks());
                runtime.supply().set_lowest_log_level(raw::log_level());
                let runtime = Rc::new(runtime);
                let _ = self.shared.runtime.set(Rc::clone(&runtime));
                self.runtime = Some(runtime);
                // Keys are fetched before the first request asks for them.
                hostcalls::set_tick_period(Duration::from_millis(1)).is_ok()
            }
            Err(error) => {
                log(Level::Error, &format!("configuration refused: {}", Config::explain(&error, &json)));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let _ = hostcalls::set_tick_period(TICK);
        let Some(runtime) = self.runtime.clone() else { return };
        let with = With { supply: runtime.supply(), board: &SharedData, now: call::now() };
        self.wake(&runtime, with.now);
        let errands = self.shared.desk.borrow_mut().tick(&with);
        self.run(errands, &with);
        // It may be changed while Envoy runs.
        runtime.supply().set_lowest_log_level(raw::log_level());
        self.flush(&runtime);
        self.shared.metrics.set(metric::BUILD_INFO, 1);
        runtime.supply().ages(with.now).iter().for_each(|(name, seconds)| self.shared.metrics.set(name, *seconds));
        let suspects = self.shared.desk.borrow_mut().look(with.now);
        if !suspects.is_empty() {
            let withheld = self.withheld(suspects);
            self.shared.desk.borrow_mut().withheld(&withheld);
        }
        if !runtime.supply().has_held() {
            let unanswered = self.shared.desk.borrow().unanswered(with.now);
            self.shared.desk.borrow_mut().withheld(&unanswered);
        }
        self.wake(&runtime, with.now);
        self.rest(&runtime);
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let runtime = self.runtime.clone()?;
        Some(Box::new(Stream::new(id, Rc::clone(&self.shared), runtime)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

//! Drives the module as Envoy does: callbacks in Envoy's order, buffers as Envoy keeps them, and after an
//! answer nothing but its own way through the filter.

use super::host::{self, Host, Pairs, Reply, Stream};
use serde_json::Value;
use std::sync::LazyLock;
use wasmi::{Config, Engine, Instance, Linker, Module, Store, Val};

/// The root context of the first configuration.
pub const ROOT: u32 = 1;

/// Most requests that may go on or be answered in one callback. Some hundreds were seen to overflow Envoy's VM.
const MOST_AT_ONCE: usize = 32;

/// More instructions than any test takes.
const FUEL: u64 = 1 << 62;

/// 2026-01-01T00:00:00Z, in nanoseconds.
const START: u64 = 1_767_225_600_000_000_000;

/// The module as it ships.
pub static MODULE: LazyLock<Module> = LazyLock::new(|| module("attache.wasm"));
/// The one that does all of its cryptography itself where the host does none.
static ALONE: LazyLock<Module> = LazyLock::new(|| module("attache-trap.wasm"));

fn module(name: &str) -> Module {
    let path = std::path::Path::new("target").join(name);
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("target/{name} cannot be read ({error}): run make build"));
    let mut config = Config::default();
    config.consume_fuel(true);
    Module::new(&Engine::new(&config), bytes).expect("it is a WebAssembly module")
}

/// What the module says about going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Continue,
    Pause,
}

/// How a request ended for the caller and for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Headers and body, as they go on.
    Passed(Pairs, Vec<u8>),
    /// Status and JSON.
    Refused(u32, Value),
    /// Neither: it waits.
    Waiting,
}

/// One instance of the module.
pub struct Vm {
    store: Store<Host>,
    instance: Instance,
    next: u32,
}

impl Vm {
    /// A module that has not seen a configuration.
    pub fn new(host: Host) -> Self {
        let module = if host.verifies { &*MODULE } else { &*ALONE };
        let mut store = Store::new(module.engine(), Host { now: START, ..host });
        store.set_fuel(FUEL).unwrap();
        let mut linker = Linker::new(module.engine());
        for import in module.imports() {
            let name = import.name().to_owned();
            let kind = import.ty().func().expect("imports are functions").clone();
            linker
                .func_new(import.module(), import.name(), kind, move |caller, values, results| host::call(caller, &name, values, results))
                .unwrap();
        }
        let instance = linker.instantiate_and_start(&mut store, module).unwrap();
        let mut vm = Self { store, instance, next: ROOT };
        vm.call("_initialize", &[]);
        vm
    }

    /// Gives the first root context its configuration: whether it was taken.
    pub fn configure(&mut self, json: &str) -> bool {
        self.configure_root(ROOT, json)
    }

    /// Gives root context `root` a configuration. Envoy may have several in one VM.
    pub fn configure_root(&mut self, root: u32, json: &str) -> bool {
        self.host_mut().configuration = json.as_bytes().to_vec();
        self.host_mut().roots.push(root);
        self.call("proxy_on_context_create", &[root, 0]);
        self.host_mut().effective = root;
        assert_eq!(self.call("proxy_on_vm_start", &[root, 0]), 1);
        self.call("proxy_on_configure", &[root, u32::try_from(json.len()).unwrap()]) == 1
    }

    /// A module with this configuration.
    pub fn with(host: Host, json: &Value) -> Self {
        let mut vm = Self::new(host);
        assert!(vm.configure(&json.to_string()), "{:#?}", vm.host().log);
        vm
    }

    pub fn host(&self) -> &Host {
        self.store.data()
    }

    pub fn host_mut(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    pub fn stream(&self, id: u32) -> &Stream {
        &self.host().streams[&id]
    }

    /// About how many instructions have run, as the interpreter counts them.
    pub fn instructions(&self) -> u64 {
        FUEL - self.store.get_fuel().unwrap()
    }

    /// Bytes of linear memory.
    pub fn memory(&self) -> usize {
        self.instance.get_memory(&self.store, "memory").unwrap().data_size(&self.store)
    }

    /// Calls an export, whatever Envoy would think of it. A trap fails the test.
    pub fn call(&mut self, export: &str, arguments: &[u32]) -> u32 {
        let function = self.instance.get_func(&self.store, export).unwrap_or_else(|| panic!("the module has no {export}"));
        let arguments: Vec<Val> = arguments.iter().map(|value| Val::I32(value.cast_signed())).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        if let Err(error) = function.call(&mut self.store, &arguments, &mut results) {
            panic!("{export}: {error}\nlog: {:#?}\ncalls: {:#?}", self.host().log, self.host().calls);
        }
        results.first().and_then(Val::i32).unwrap_or_default().cast_unsigned()
    }

    /// Calls a callback of context `id`; then, where a request was answered, lets the answer pass.
    fn callback(&mut self, export: &str, arguments: &[u32]) -> Action {
        let answered: Vec<u32> = self.answered();
        self.host_mut().effective = arguments[0];
        let before = self.host().calls.len();
        let action = if self.call(export, arguments) == 0 { Action::Continue } else { Action::Pause };
        let later = |call: &&String| ["proxy_send_local_response", "proxy_continue_stream"].iter().any(|name| call.starts_with(name));
        let count = self.host().calls.iter().skip(before).filter(later).count();
        assert!(count <= MOST_AT_ONCE, "{export}: {count} requests go on or are answered when the callback ends, one inside of the other");
        for id in self.answered().into_iter().filter(|id| !answered.contains(id)) {
            self.host_mut().effective = id;
            let stream = self.host_mut().streams.get_mut(&id).unwrap();
            // Once the agent has begun to answer, Envoy sends its own past the filters, or resets the stream.
            if !stream.response.headers.is_empty() {
                stream.response.reset = stream.response.released;
                continue;
            }
            let headers = u32::try_from(self.stream(id).reply.as_ref().unwrap().headers.len()).unwrap();
            let length = u32::try_from(self.stream(id).reply.as_ref().unwrap().body.len()).unwrap();
            assert_eq!(self.call("proxy_on_response_headers", &[id, headers, 0]), 0);
            assert_eq!(self.call("proxy_on_response_body", &[id, length, 1]), 0);
        }
        action
    }

    fn answered(&self) -> Vec<u32> {
        self.host().streams.iter().filter(|(_, stream)| stream.reply.is_some()).map(|(id, _)| *id).collect()
    }

    /// A new request, of which the module knows nothing but that it is there.
    pub fn open(&mut self, headers: &Pairs) -> u32 {
        self.open_under(ROOT, headers)
    }

    fn open_under(&mut self, root: u32, headers: &Pairs) -> u32 {
        self.next += 1;
        let id = self.next;
        self.host_mut().streams.insert(id, Stream { headers: headers.clone(), ..Stream::default() });
        self.call("proxy_on_context_create", &[id, root]);
        id
    }

    pub fn headers(&mut self, id: u32, end: bool) -> Action {
        let count = u32::try_from(self.stream(id).headers.len()).unwrap();
        let action = self.callback("proxy_on_request_headers", &[id, count, end.into()]);
        self.go_on(id, action)
    }

    /// A part of the body. Envoy answers with 413 itself when what it holds exceeds its limit.
    pub fn body(&mut self, id: u32, part: &[u8], end: bool) -> Action {
        let most = if self.host().limit == 0 { 1 << 20 } else { self.host().limit };
        let stream = self.host_mut().streams.get_mut(&id).unwrap();
        assert!(stream.reply.is_none(), "Envoy delivers no body after an answer");
        stream.held.extend_from_slice(part);
        stream.received += u64::try_from(part.len()).unwrap();
        let length = u32::try_from(stream.held.len()).unwrap();
        let too_large = || Reply { status: 413, headers: Vec::new(), body: b"Payload Too Large".to_vec() };
        if stream.holds && stream.held.len() > most {
            stream.reply = Some(too_large());
            return Action::Pause;
        }
        let action = self.callback("proxy_on_request_body", &[id, length, end.into()]);
        let stream = self.host_mut().streams.get_mut(&id).unwrap();
        stream.holds = action == Action::Pause;
        if stream.holds && stream.held.len() > most && stream.reply.is_none() {
            stream.reply = Some(too_large());
        }
        self.go_on(id, action)
    }

    pub fn trailers(&mut self, id: u32, trailers: &Pairs) -> Action {
        self.host_mut().streams.get_mut(&id).unwrap().trailers = Some(trailers.clone());
        let action = self.callback("proxy_on_request_trailers", &[id, u32::try_from(trailers.len()).unwrap()]);
        self.go_on(id, action)
    }

    fn go_on(&mut self, id: u32, action: Action) -> Action {
        let stream = self.host_mut().streams.get_mut(&id).unwrap();
        if action == Action::Continue && stream.reply.is_none() {
            stream.released = true;
            let held = std::mem::take(&mut stream.held);
            stream.forwarded.extend(held);
        }
        action
    }

    /// The agent begins to answer.
    pub fn response(&mut self, id: u32, headers: &Pairs, end: bool) -> Action {
        self.host_mut().streams.get_mut(&id).unwrap().response.headers = headers.clone();
        let action = self.callback("proxy_on_response_headers", &[id, u32::try_from(headers.len()).unwrap(), end.into()]);
        let stream = self.host_mut().streams.get_mut(&id).unwrap();
        stream.response.released = action == Action::Continue && stream.reply.is_none();
        action
    }

    /// A part of the agent's answer. Envoy answers with 500 itself, or resets, when what it holds exceeds its limit.
    pub fn response_body(&mut self, id: u32, part: &[u8], end: bool) -> Action {
        let response = &mut self.host_mut().streams.get_mut(&id).unwrap().response;
        assert!(!response.reset, "Envoy delivers nothing after a reset");
        response.buffer.extend_from_slice(part);
        response.open = true;
        let length = u32::try_from(response.buffer.len()).unwrap();
        let action = self.callback("proxy_on_response_body", &[id, length, end.into()]);
        let stream = self.host_mut().streams.get_mut(&id).unwrap();
        let response = &mut stream.response;
        response.open = false;
        if stream.reply.is_none() {
            response.held = action == Action::Pause;
            if action == Action::Continue {
                response.released = true;
                let passed = std::mem::take(&mut response.buffer);
                response.forwarded.extend(passed);
            }
        }
        action
    }

    /// Trailers end the agent's answer.
    pub fn response_trailers(&mut self, id: u32) -> Action {
        let action = self.callback("proxy_on_response_trailers", &[id, 0]);
        let stream = self.host_mut().streams.get_mut(&id).unwrap();
        if action == Action::Continue && stream.reply.is_none() {
            let response = &mut stream.response;
            response.released = true;
            let held = std::mem::take(&mut response.buffer);
            response.forwarded.extend(held);
        }
        action
    }

    /// The last callbacks of a request.
    pub fn close(&mut self, id: u32) -> Stream {
        self.host_mut().effective = id;
        self.call("proxy_on_done", &[id]);
        self.call("proxy_on_log", &[id]);
        self.call("proxy_on_delete", &[id]);
        self.host_mut().streams.remove(&id).unwrap()
    }

    pub fn tick(&mut self) {
        self.callback("proxy_on_tick", &[ROOT]);
    }

    /// Moves the clock.
    pub fn wait(&mut self, seconds: u64) {
        self.host_mut().now += seconds * 1_000_000_000;
    }

    /// Ends a dispatched call. Without headers it was reset.
    pub fn answer(&mut self, token: u32, headers: &[(&str, &str)], body: &[u8]) {
        let headers: Pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let [count, length] = [headers.len(), body.len()].map(|value| u32::try_from(value).unwrap());
        self.host_mut().answer = (headers, body.to_vec());
        self.callback("proxy_on_http_call_response", &[ROOT, token, count, length, 0]);
        self.host_mut().answer = Default::default();
    }

    pub fn verdict(&self, id: u32) -> Verdict {
        let stream = self.stream(id);
        match &stream.reply {
            Some(reply) => Verdict::Refused(reply.status, serde_json::from_slice(&reply.body).expect("refusals are JSON")),
            None if stream.released && stream.held.is_empty() => Verdict::Passed(stream.headers.clone(), stream.forwarded.clone()),
            None => Verdict::Waiting,
        }
    }

    /// A whole request: headers, then the parts of its body, the last of which says that it is.
    pub fn request(&mut self, headers: &Pairs, parts: &[&[u8]]) -> Verdict {
        self.request_under(ROOT, headers, parts)
    }

    /// The same under another configuration.
    pub fn request_under(&mut self, root: u32, headers: &Pairs, parts: &[&[u8]]) -> Verdict {
        let id = self.open_under(root, headers);
        self.headers(id, parts.is_empty());
        for (index, part) in parts.iter().enumerate() {
            if self.stream(id).reply.is_none() {
                self.body(id, part, index + 1 == parts.len());
            }
        }
        let verdict = self.verdict(id);
        self.close(id);
        verdict
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.host().misuse, Vec::<String>::new(), "calls that Envoy would refuse");
        }
    }
}

impl Verdict {
    /// The reason of a refusal, or `ok`.
    pub fn reason(&self) -> &str {
        match self {
            Self::Passed(..) => "ok",
            Self::Waiting => "waiting",
            Self::Refused(_, body) => {
                let info = body.pointer("/error/data/0").or(body.pointer("/error/details/0")).expect("a refusal has a detail");
                info["metadata"]["reason"].as_str().unwrap()
            }
        }
    }
}

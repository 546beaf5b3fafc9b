//! One HTTP request: its callbacks become events of its state machine.

use crate::flow::{Context, Event, Exchange, Level, Outcome, Runtime, Step};
use crate::host::call::Room;
use crate::host::log::log;
use crate::host::raw::Map;
use crate::host::waiting::{Shared, Waiting};
use crate::host::{call, raw};
use crate::wire::time::UnixTime;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context as HostContext, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};
use std::cell::RefCell;
use std::rc::Rc;

/// The context of one request.
pub struct Stream {
    id: u32,
    shared: Rc<Shared>,
    runtime: Rc<Runtime>,
    exchange: Rc<RefCell<Exchange>>,
    /// The host was told to keep what it has of the response's body.
    holds_response: bool,
    /// The state machine is registered with the root context.
    waits: bool,
    /// When the host last told something that time matters for.
    now: UnixTime,
}

impl Stream {
    pub fn new(id: u32, shared: Rc<Shared>, runtime: Rc<Runtime>) -> Self {
        Self { id, shared, runtime, exchange: Rc::default(), holds_response: false, waits: false, now: UnixTime::default() }
    }

    /// The state machine decides first, and its effects are collected. Then they are done, with nothing borrowed.
    fn tell(&mut self, event: Event, room: Room) -> Action {
        // What follows a verdict on the request is held against that, not against the clock.
        if self.exchange.borrow().needs_time(&event) {
            self.now = call::now();
        }
        let context = Context { runtime: &self.runtime, verifier: &self.shared.verifier, now: self.now };
        let Outcome { effects, step } = self.exchange.borrow_mut().on(event, &context);
        let waits = {
            let exchange = self.exchange.borrow();
            exchange.awaits().is_some() || exchange.awaits_body()
        };
        if waits {
            let waiting = Waiting { exchange: Rc::clone(&self.exchange), since: context.now };
            self.shared.waiting.borrow_mut().insert(self.id, waiting);
        } else if self.waits {
            self.shared.waiting.borrow_mut().remove(&self.id);
        }
        self.waits = waits;
        match (call::perform(effects, &self.shared, room, context.now), step) {
            (true, Step::Continue) => Action::Continue,
            (true, Step::Pause) => Action::Pause,
            (false, _) => {
                self.exchange.borrow_mut().stop();
                Action::Pause
            }
        }
    }

    /// A part of the request's body; it is never replaced by more than the host has of it.
    fn body(&mut self, part: &crate::flow::Part) -> Action {
        let room = Room { request: self.exchange.borrow().held_body(), ..Room::NONE };
        self.tell(call::body(part), room)
    }

    /// All that the host has of the response's body is taken; the state machine says what stays in its place.
    fn response_body(&mut self, size: usize, end: bool) -> Action {
        let Some(content) = part(BufferType::HttpResponseBody, 0, size) else { return Self::fail() };
        let room = Room { response: self.holds_response.then_some(size), ..Room::NONE };
        let action = self.tell(Event::ResponseBody { end, content }, room);
        self.holds_response = action == Action::Pause;
        action
    }

    fn fail() -> Action {
        log(Level::Error, "Envoy did not hand out a body that it has: the request is refused");
        call::fail();
        Action::Pause
    }
}

/// So many bytes of a body from `start`; `None` if the host has not that many. Nothing that was not read may pass.
fn part(body: BufferType, start: usize, length: usize) -> Option<Vec<u8>> {
    if length == 0 {
        return Some(Vec::new());
    }
    hostcalls::get_buffer(body, start, length).ok().flatten().filter(|bytes| bytes.len() == length)
}

impl HostContext for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let headers = call::own_request_headers(&self.runtime, &self.shared);
        #[cfg(feature = "test-trap")]
        if headers.has("x-attache-test-trap") {
            core::arch::wasm32::unreachable();
        }
        #[cfg(feature = "test-trap")]
        if crate::host::probe::answer(&headers, &self.shared.verifier) {
            return Action::Pause;
        }
        let peer = if self.runtime.asks_peer() { call::peer() } else { None };
        self.tell(Event::RequestHeaders { headers, peer, end_of_stream }, Room::NONE)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let part = self.exchange.borrow_mut().body_came(size, end_of_stream);
        self.body(&part)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        call::clean_trailers(&self.runtime);
        let part = self.exchange.borrow_mut().trailers_came();
        self.body(&part)
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if !self.exchange.borrow().awaits_response() {
            return Action::Continue;
        }
        let status = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, ":status").ok().flatten();
        let status = status.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()).unwrap_or(0);
        self.tell(Event::ResponseHeaders { status, end_of_stream, headers: raw::headers(Map::Response) }, Room::NONE)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !self.exchange.borrow().reads_response() {
            return Action::Continue;
        }
        self.response_body(size, end_of_stream)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if !self.exchange.borrow().reads_response() {
            return Action::Continue;
        }
        // Trailers end a body whose last part did not say so. All of it has been taken, and nothing can be put in its place now.
        self.tell(Event::ResponseBody { end: true, content: Vec::new() }, Room::NONE)
    }

    fn on_log(&mut self) {
        // The last callback of a request, also of one whose client went away while it waited.
        if self.waits {
            self.shared.waiting.borrow_mut().remove(&self.id);
        }
    }
}

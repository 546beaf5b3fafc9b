//! One HTTP request: its callbacks become events of its state machine.

use crate::flow::{Context, Event, Level, Read, Runtime, Step};
use crate::host::log::log;
use crate::host::raw::Map;
use crate::host::room::Room;
use crate::host::tell::tell;
use crate::host::waiting::{Request, Shared};
use crate::host::{call, raw};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context as HostContext, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};
use std::rc::Rc;

/// The context of one request.
pub struct Stream {
    id: u32,
    shared: Rc<Shared>,
    runtime: Rc<Runtime>,
    request: Rc<Request>,
    /// The host was told to keep what it has of the response's body.
    holds_response: bool,
    /// The desk knows that it waits.
    waits: bool,
}

impl Stream {
    pub fn new(id: u32, shared: Rc<Shared>, runtime: Rc<Runtime>) -> Self {
        Self { id, shared, runtime, request: Rc::default(), holds_response: false, waits: false }
    }

    fn tell(&mut self, event: Event, room: Room) -> Action {
        let context = Context { runtime: &self.runtime, verifier: &*self.shared.verifier, now: call::now() };
        let step = tell(&self.request, event, &context, &self.shared, room);
        let wait = self.request.interest.get().wait;
        if wait.is_any() {
            self.shared.desk.borrow_mut().wait(self.id, wait, Rc::clone(&self.request), context.now);
        } else if self.waits {
            self.shared.desk.borrow_mut().leave(self.id);
        }
        self.waits = wait.is_any();
        if step == Step::Continue { Action::Continue } else { Action::Pause }
    }

    /// A part of the request's body; what the host holds of it is never replaced by more.
    fn body(&mut self, part: &crate::flow::Part) -> Action {
        self.tell(call::body(part, self.request.padding.get()), self.request.room())
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
        if crate::host::probe::answer(&headers, &*self.shared.verifier) {
            return Action::Pause;
        }
        let peer = if self.runtime.asks_peer() { call::peer() } else { None };
        self.tell(Event::RequestHeaders { headers, peer, end_of_stream }, Room::NONE)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        match self.request.interest.get().request {
            Read::Nothing => return Action::Continue,
            Read::Count if size == 0 => return Action::Continue,
            Read::Count | Read::New => {}
        }
        let size = size.saturating_sub(self.request.padding.get());
        let part = self.request.exchange.borrow_mut().body_came(size, end_of_stream);
        let action = self.body(&part);
        let was_held = self.request.holds_body.replace(action == Action::Pause);
        let growth = self.request.interest.get().growth;
        // Now it can still grow. From the next callback on it is held.
        if action == Action::Pause && !was_held && growth > 0 && call::pad(growth) {
            self.request.padding.set(growth);
        }
        action
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        call::clean_trailers(&self.runtime);
        if self.request.interest.get().request != Read::New {
            return Action::Continue;
        }
        let part = self.request.exchange.borrow_mut().trailers_came();
        self.body(&part)
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if !self.request.interest.get().headers {
            return Action::Continue;
        }
        let status = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, ":status").ok().flatten();
        let status = status.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()).unwrap_or(0);
        self.tell(Event::ResponseHeaders { status, end_of_stream, headers: raw::headers(Map::Response) }, Room::NONE)
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if self.request.interest.get().response == Read::Nothing {
            return Action::Continue;
        }
        self.response_body(size, end_of_stream)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if self.request.interest.get().response == Read::Nothing {
            return Action::Continue;
        }
        // Trailers end a body whose last part did not say so. All of it has been taken, and nothing can be put in its place now.
        self.tell(Event::ResponseBody { end: true, content: Vec::new() }, Room::NONE)
    }

    fn on_log(&mut self) {
        // The last callback of a request, also of one whose client went away while it waited.
        if self.waits {
            self.shared.desk.borrow_mut().leave(self.id);
        }
    }
}

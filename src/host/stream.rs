//! One HTTP request: its callbacks become events of its state machine.

use super::call;
use super::root::{Shared, Waiting};
use crate::flow::{Context, Event, Exchange, Outcome, Runtime, Step};
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
    /// The same of the response's body.
    response_held: usize,
    /// The state machine is registered with the root context.
    waits: bool,
}

impl Stream {
    pub fn new(id: u32, shared: Rc<Shared>, runtime: Rc<Runtime>) -> Self {
        Self { id, shared, runtime, exchange: Rc::default(), response_held: 0, waits: false }
    }

    fn tell(&mut self, event: Event) -> Action {
        let context = Context { runtime: &self.runtime, verifier: &self.shared.verifier, now: call::now() };
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
        match (call::perform(effects, &self.shared), step) {
            (true, Step::Continue) => Action::Continue,
            (true, Step::Pause) => Action::Pause,
            (false, _) => {
                self.exchange.borrow_mut().stop();
                Action::Pause
            }
        }
    }
}

impl Stream {
    fn response_body(&mut self, end: bool) -> Action {
        let size = self.response_held;
        let content = match end || self.exchange.borrow().reads_response_parts() {
            true => hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size).ok().flatten().unwrap_or_default(),
            false => Vec::new(),
        };
        self.tell(Event::ResponseBody { bytes: u64::try_from(size).unwrap_or(u64::MAX), end, content })
    }
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
        if super::probe::answer(&headers, &self.shared.verifier) {
            return Action::Pause;
        }
        let peer = if self.runtime.asks_peer() { call::peer() } else { None };
        self.tell(Event::RequestHeaders { headers, peer, end_of_stream })
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let part = self.exchange.borrow_mut().body_came(size, end_of_stream);
        self.tell(call::body(&part))
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        call::clean_trailers(&self.runtime);
        let part = self.exchange.borrow_mut().trailers_came();
        self.tell(call::body(&part))
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if !self.exchange.borrow().awaits_response() {
            return Action::Continue;
        }
        let status = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, ":status").ok().flatten();
        let status = status.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()).unwrap_or(0);
        self.tell(Event::ResponseHeaders { status, end_of_stream, headers: call::response_headers() })
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let reads = {
            let exchange = self.exchange.borrow();
            exchange.reads_response() || exchange.reads_response_parts()
        };
        if !reads {
            return Action::Continue;
        }
        self.response_held = size;
        self.response_body(end_of_stream)
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        let (whole, parts) = {
            let exchange = self.exchange.borrow();
            (exchange.reads_response(), exchange.reads_response_parts())
        };
        // Trailers end a body whose last part did not say so. A held one is still there, the parts of a passing one are gone.
        match (whole, parts) {
            (true, _) => self.response_body(true),
            (false, true) => self.tell(Event::ResponseBody { bytes: 0, end: true, content: Vec::new() }),
            (false, false) => Action::Continue,
        }
    }

    fn on_log(&mut self) {
        // The last callback of a request, also of one whose client went away while it waited.
        if self.waits {
            self.shared.waiting.borrow_mut().remove(&self.id);
        }
    }
}

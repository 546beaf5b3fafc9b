//! What a request may cost natively: heap allocations of the hot path, counted. It is a small JSON-RPC `SendMessage` with a token
//! that is remembered, to an agent with a full policy, and no line in the log. `tests/abi` counts the host calls of the same.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use attache::config::Config;
use attache::credential::secrets::Secrets;
use attache::flow::{Context, Effect, Event, Exchange, Outcome, Read, Runtime, Step};
use attache::identity::signature::Software;
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Most allocations of one request of the hot path: one of them for the header that tells the agent who calls, one for the index of
/// the headers, seven in the scanner. The module's own stream, which the SDK keeps, is one more.
const ALLOCATIONS: u64 = 15;

/// Counts what each thread asks for; with `TRACE_ALLOCATIONS=1` it also tells where.
struct Counting;

thread_local! {
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
    static TRACES: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    let _ = COUNT.try_with(|count| {
        let Some(number) = count.get() else { return };
        count.set(None);
        if TRACES.get() {
            eprintln!("allocation {}:\n{}", number + 1, std::backtrace::Backtrace::force_capture());
        }
        count.set(Some(number + 1));
    });
}

// SAFETY: each call goes on to the system's allocator as it is; counting allocates only while it is switched off.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates, growing what it has included.
fn allocations(work: impl FnOnce()) -> u64 {
    COUNT.set(Some(0));
    work();
    COUNT.take().unwrap()
}

static VECTORS: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(include_str!("vectors/tokens.json")).unwrap());

const BODY: &str = r#"{"jsonrpc":"2.0","id":"7f1c","method":"SendMessage","params":{"message":{"messageId":"0d9f","role":"ROLE_USER",
"parts":[{"text":"How much did the trip to Lisbon cost?"}]},"configuration":{"acceptedOutputModes":["text/plain"]}}}"#;

fn token(name: &str) -> &'static str {
    let tokens = VECTORS["tokens"].as_array().unwrap();
    tokens.iter().find(|vector| vector["name"] == name).and_then(|vector| vector["token"].as_str()).unwrap()
}

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn many_keys() -> Value {
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig", "x": URL_SAFE_NO_PAD.encode(signer().verifying_key())}]})
}

/// As many tokens of one issuer as one likes, each another caller's.
fn many_tokens(count: usize) -> Vec<String> {
    let mint = |index: usize| {
        let header = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "1"});
        let claims = json!({"iss": "https://many.example.com", "aud": "many", "sub": format!("user-{index}"), "client_id": "cli",
            "scope": "agent:execute", "iat": 1_700_000_000, "exp": 4_000_000_000_u64, "padding": "x".repeat(300)});
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signer().sign(input.as_bytes()).to_bytes()))
    };
    (0..count).map(mint).collect()
}

/// Agents with a full policy: scopes, rules, and limits on parts, history and media types.
fn config(agents: usize) -> Value {
    let agent = |index: usize| {
        json!({"name": format!("agent-{index}"), "match": {"hosts": ["agents.example.com"], "path_prefix": format!("/agents/a{index}")},
            "versions": {"1.0": {"bindings": ["jsonrpc", "http_json"]}, "0.3": {"bindings": ["jsonrpc", "http_json"]}},
            "default_version": "0.3", "card": {"access": "public"}, "security": [{"oauth2": ["agent:execute"]}],
            "access": [{"operations": ["any"], "require": {"scopes": ["agent:execute"]}}],
            "limits": {"max_body_bytes": 65536, "max_parts": 16, "max_history_length": 50, "modalities": ["text", "data"], "output_modes": ["text/*"]}})
    };
    json!({
        "issuers": [{"name": "corp", "issuer": VECTORS["issuer"], "audiences": [VECTORS["audience"]],
                     "jwks": {"inline": VECTORS["keys"]}, "algorithms": VECTORS["algorithms"]},
                    {"name": "many", "issuer": "https://many.example.com", "audiences": ["many"], "jwks": {"inline": many_keys()}}],
        "schemes": {"oauth2": {"bearer": {"issuers": ["corp", "many"]}}},
        "agents": (0..agents).map(agent).collect::<Vec<_>>(),
        "audit": {"level": "none"}
    })
}

fn runtime(agents: usize) -> Runtime {
    Runtime::new(Config::parse(config(agents).to_string().as_bytes()).unwrap(), Secrets::default()).unwrap()
}

/// The headers that a client and Envoy make of a call.
fn sent(path: &str, token: &str) -> Vec<(String, Vec<u8>)> {
    [
        (":authority", "agents.example.com"),
        (":path", path),
        (":method", "POST"),
        (":scheme", "https"),
        ("content-type", "application/json"),
        ("content-length", &BODY.len().to_string()),
        ("accept", "application/json"),
        ("user-agent", "a2a-python/1.0"),
        ("a2a-version", "1.0"),
        ("authorization", &format!("Bearer {token}")),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "2a1c5d3e-8f0b-4c6a-9d7e-1f2a3b4c5d6e"),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .to_vec()
}

/// Headers as the proxy hands them out: one block.
fn block(list: &[(String, Vec<u8>)]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    let lengths = list.iter().flat_map(|(name, value)| [length(name.as_bytes()), length(value)].concat());
    let texts = list.iter().flat_map(|(name, value)| [name.as_bytes(), &[0], value, &[0]].concat());
    u32::try_from(list.len()).unwrap().to_le_bytes().into_iter().chain(lengths).chain(texts).collect()
}

/// Headers and body, as `host::stream` tells of them: both are copied out of the proxy. Whether it passes.
fn request(runtime: &Runtime, block: &[u8], now: UnixTime) -> bool {
    let context = Context { runtime, verifier: &Software, now };
    let exchange: Rc<RefCell<Exchange>> = Rc::default();
    let headers = Headers::parse(block.to_vec()).unwrap();
    // What `host::call` does: the effects are done, and the list is given back.
    let done = |Outcome { effects, step, interest }: Outcome| {
        let refused = effects.iter().any(|effect| matches!(effect, Effect::Reply(_)));
        runtime.supply().recycle(effects);
        if refused { None } else { Some((step, interest.request)) }
    };
    let first = exchange.borrow_mut().on(Event::RequestHeaders { headers, peer: None, end_of_stream: false }, &context);
    let first = done(first);
    let body = |bytes: &[u8], end| {
        let part = exchange.borrow_mut().body_came(bytes.len(), end);
        let chunk = bytes.get(part.range.clone()).unwrap_or_default().to_vec();
        let outcome = exchange.borrow_mut().on(part.event(chunk), &context);
        done(outcome)
    };
    // The empty end of a body that passes is of no interest.
    (first, body(BODY.as_bytes(), false)) == (Some((Step::Pause, Read::New)), Some((Step::Continue, Read::Count)))
}

#[test]
fn the_hot_path_allocates_little() {
    let (runtime, now) = (runtime(1), UnixTime::from_secs(1_800_000_000));
    let sent = block(&sent("/agents/a0", token("RS256 good")));
    for _ in 0..3 {
        assert!(request(&runtime, &sent, now));
    }
    TRACES.set(std::env::var_os("TRACE_ALLOCATIONS").is_some());
    let counted = allocations(|| assert!(request(&runtime, &sent, now)));
    println!("allocations of the hot path: {counted}, of {ALLOCATIONS} allowed");
    assert!(counted <= ALLOCATIONS, "{counted} allocations, more than {ALLOCATIONS}: TRACE_ALLOCATIONS=1 tells where");
}

/// Neither the number of agents nor that of tokens is in what a request allocates or takes. Times are those of this build, one beside
/// the other; only what they are to each other counts, and a walk over all agents would be ten times as long.
#[test]
fn a_thousand_agents_and_two_thousand_tokens_cost_what_one_does() {
    let (one, thousand, now) = (runtime(1), runtime(1000), UnixTime::from_secs(1_800_000_000));
    let first = [block(&sent("/agents/a0", token("RS256 good")))];
    let last = [block(&sent("/agents/a999", token("RS256 good")))];
    let many: Vec<Vec<u8>> = many_tokens(2000).iter().map(|token| block(&sent("/agents/a0", token))).collect();
    for (what, runtimes, requests) in
        [("1000 agents", [&one, &thousand], [&first[..], &last[..]]), ("2000 tokens", [&one, &one], [&many[..1], &many[..]])]
    {
        for (runtime, requests) in runtimes.iter().zip(requests) {
            assert!(requests.iter().all(|sent| request(runtime, sent, now)), "{what}");
        }
        let counted = [0, 1].map(|kind| allocations(|| assert!(request(runtimes[kind], &requests[kind][0], now))));
        assert_eq!(counted[0], counted[1], "{what}: allocations");
        let mut turn = 0;
        let mut ratios: Vec<f64> = (0..31)
            .map(|_| {
                let [few, many] = [0, 1].map(|kind| {
                    time(|| {
                        for _ in 0..40 {
                            turn += 1;
                            assert!(request(runtimes[kind], &requests[kind][turn % requests[kind].len()], now));
                        }
                    })
                });
                many.as_secs_f64() / few.as_secs_f64()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        println!("{what}: {ratio:.2} of one's time");
        assert!(ratio < 1.5, "{what}: {ratio:.2} of one's time");
    }
}

#[allow(clippy::disallowed_methods, reason = "what is measured is time")]
fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

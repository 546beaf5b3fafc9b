//! The partner's token endpoint, as fast as it can be: tokens for any code, refresh tokens that are good once.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

/// Bytes of an access token: as many as a JWT of an authorization server has.
const TOKEN: usize = 700;

/// When tokens end.
#[derive(Clone, Copy)]
enum End {
    After(Duration),
    At(Instant),
}

struct State {
    end: End,
    /// Tokens so far, which tells them apart.
    issued: usize,
    renewals: usize,
    /// Refresh tokens that came.
    used: BTreeSet<String>,
    again: usize,
}

/// It listens until the program ends.
pub struct PartnerServer {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PartnerServer {
    /// Its tokens last so long.
    pub async fn start(lifetime: Duration) -> Result<Self> {
        Self::open(End::After(lifetime)).await
    }

    /// Its tokens all end at this moment.
    pub async fn ending(at: Instant) -> Result<Self> {
        Self::open(End::At(at)).await
    }

    /// From now on tokens last so long.
    pub fn lasts(&self, lifetime: Duration) {
        lock(&self.state).end = End::After(lifetime);
    }

    /// Renewals, different refresh tokens in them, and those that came again.
    pub fn refreshed(&self) -> [usize; 3] {
        let state = lock(&self.state);
        [state.renewals, state.used.len(), state.again]
    }

    async fn open(end: End) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let state = Arc::new(Mutex::new(State { end, issued: 0, renewals: 0, used: BTreeSet::new(), again: 0 }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let state = shared.clone();
                let service = hyper::service::service_fn(move |request| answer(request, state.clone()));
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { port, state })
    }
}

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let field = |wanted: &str| form_urlencoded::parse(&body).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let (status, text) = lock(&state).tokens(field("grant_type").as_deref(), field("refresh_token"));
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    Ok(response)
}

impl State {
    fn tokens(&mut self, grant_type: Option<&str>, refresh: Option<String>) -> (StatusCode, String) {
        match (grant_type, refresh) {
            (Some("authorization_code"), None) => {}
            (Some("refresh_token"), Some(token)) => {
                self.renewals += 1;
                if !self.used.insert(token) {
                    self.again += 1;
                    return (StatusCode::BAD_REQUEST, json!({"error": "invalid_grant"}).to_string());
                }
            }
            _ => return (StatusCode::BAD_REQUEST, json!({"error": "invalid_request"}).to_string()),
        }
        self.issued += 1;
        let lifetime = match self.end {
            End::After(lifetime) => lifetime,
            End::At(at) => at.saturating_duration_since(Instant::now()),
        };
        let access = format!("{:0>TOKEN$}", format!("access-{}", self.issued));
        let answer = json!({"access_token": access, "token_type": "Bearer", "expires_in": lifetime.as_secs(),
            "refresh_token": format!("refresh-{:0>40}", self.issued)});
        (StatusCode::OK, answer.to_string())
    }
}

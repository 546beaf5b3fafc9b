//! The loads: what is sent, to which rows, with how many different tokens.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Result};
use attache_mesh::http::Call;
use http::header::{HeaderMap, HeaderValue};

use crate::load::Load;
use crate::part::Part;
use crate::rows::{Names, Row, TOKENS, against};
use crate::tokens::Issuer;
use crate::{body, outbound};

/// Bytes of the small body.
pub const SMALL: usize = 437;
/// Bytes of the large bodies.
pub const LARGE: usize = 64 * 1024;
/// Tokens that are sent in turn so that each is forgotten before it comes again: Attaché remembers 4096.
pub const FRESH: usize = 8192;

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A small body and a token that was seen before.
    Small,
    /// A small body and many tokens in turn, all seen before.
    SmallMany,
    /// A large body of many parts.
    Large,
    /// A large body that is nearly all one string.
    OneString,
    /// A small body and a token that was not seen before.
    FirstSight,
    /// A small body that leaves for another agent.
    Outbound,
}

impl Kind {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 6] = [Self::Small, Self::SmallMany, Self::Large, Self::OneString, Self::FirstSight, Self::Outbound];

    /// A name for tables.
    pub fn title(self) -> String {
        let large = format!("{} KiB", LARGE / 1024);
        match self {
            Self::Small => format!("{SMALL} bytes, 1 token"),
            Self::SmallMany => format!("{SMALL} bytes, {TOKENS} tokens"),
            Self::Large => format!("{large}, 1 token"),
            Self::OneString => format!("{large} in one string, 1 token"),
            Self::FirstSight => format!("{SMALL} bytes, new tokens"),
            Self::Outbound => format!("{SMALL} bytes, outbound"),
        }
    }

    /// The rows that `part` wants to see under this load.
    fn wanted(self, part: Part) -> &'static [Row] {
        use Row::{
            Agents, Attache, Bare, Calls, FirstSight, Injector, InjectorAgain, JwtCached, JwtDefaultCache, JwtUncached, JwtUncachedAgain,
            Native, NativeAgain, Nothing, Other, OutboundAttache, OutboundBare, Silent, SilentAgain,
        };
        match (part, self) {
            (Part::Cost, Self::Small | Self::Large) => {
                &[Bare, JwtCached, JwtUncached, Native, NativeAgain, Nothing, Calls, Attache, Silent]
            }
            // A default cache differs from the large one only where tokens do not fit.
            (Part::Cost, Self::SmallMany) => &[Bare, JwtCached, JwtUncached, JwtDefaultCache, Native, NativeAgain, Attache, Silent],
            (Part::Modules, Self::Small | Self::Large) => &[Bare, Native, NativeAgain, Calls, Silent, Other(0), Other(1), Other(2)],
            (Part::Reach, Self::Small) => &[Bare, Native, NativeAgain, Attache, Silent, SilentAgain, Agents],
            (Part::Reach, Self::SmallMany) => &[Bare, Silent],
            (Part::Reach, Self::Large | Self::OneString) => &[Bare, Native, NativeAgain, Silent],
            (Part::Reach, Self::FirstSight) => &[Bare, JwtUncached, JwtUncachedAgain, FirstSight],
            (Part::Reach, Self::Outbound) => &[OutboundBare, Injector, InjectorAgain, OutboundAttache],
            _ => &[],
        }
    }

    /// The rows that any of `parts` wants to see.
    pub fn rows(self, parts: &[Part]) -> Vec<Row> {
        let others = against().len();
        let there = |row: &Row| !matches!(row, Row::Other(index) if *index >= others);
        Row::ALL.into_iter().filter(|row| there(row) && parts.iter().any(|part| self.wanted(*part).contains(row))).collect()
    }
}

/// What the loads are made of.
pub struct Loads {
    headers: HeaderMap,
    path: String,
    one: Arc<[HeaderValue]>,
    many: Arc<[HeaderValue]>,
    fresh: Arc<[HeaderValue]>,
    bodies: Vec<(Kind, bytes::Bytes)>,
}

impl Loads {
    /// Makes tokens and bodies; new tokens only if `fresh`, since it takes seconds.
    pub fn new(names: &Names, issuer: &Issuer, fresh: bool) -> Result<Self> {
        let tokens = issuer.tokens(if fresh { FRESH } else { TOKENS });
        let all: Vec<HeaderValue> =
            tokens.iter().map(|token| HeaderValue::try_from(format!("Bearer {token}"))).collect::<Result<_, _>>()?;
        let bodies = Kind::ALL.map(|kind| {
            let body = match kind {
                Kind::Large => body::send_message(LARGE),
                Kind::OneString => body::send_file(LARGE),
                _ => body::send_message(SMALL),
            };
            body.map(|body| (kind, body.into()))
        });
        Ok(Self {
            headers: headers(&request(names))?,
            path: names.path.clone(),
            one: all.iter().take(1).cloned().collect(),
            many: all.iter().take(TOKENS).cloned().collect(),
            fresh: if fresh { all.into() } else { Arc::default() },
            bodies: bodies.into_iter().collect::<Result<_>>()?,
        })
    }

    /// The body of a load.
    pub fn body(&self, kind: Kind) -> Result<bytes::Bytes> {
        let found = self.bodies.iter().find(|(found, _)| *found == kind);
        found.map(|(_, body)| body.clone()).context("no such body")
    }

    /// A load with a row of its own: tokens go on where they were when it comes again.
    pub fn of(&self, kind: Kind) -> Result<Arc<Load>> {
        let tokens: Arc<[HeaderValue]> = match kind {
            Kind::Small | Kind::Large | Kind::OneString => self.one.clone(),
            Kind::SmallMany => self.many.clone(),
            Kind::FirstSight => self.fresh.clone(),
            Kind::Outbound => Arc::default(),
        };
        self.with(kind, tokens)
    }

    /// The same with the first `count` of its tokens.
    pub fn some(&self, kind: Kind, count: usize) -> Result<Arc<Load>> {
        let tokens = self.of(kind)?.tokens.iter().take(count).cloned().collect();
        self.with(kind, tokens)
    }

    fn with(&self, kind: Kind, tokens: Arc<[HeaderValue]>) -> Result<Arc<Load>> {
        let (path, headers) = match kind {
            Kind::Outbound => (outbound::PATH.to_owned(), headers(&outbound::request())?),
            _ => (self.path.clone(), self.headers.clone()),
        };
        let method = http::Method::POST;
        let (body, answers) = (self.body(kind)?, vec![http::StatusCode::OK]);
        Ok(Arc::new(Load { method, path, headers, body, tokens, answers, next: AtomicUsize::new(0) }))
    }
}

/// The request of every load that comes in, without token and body.
pub fn request(names: &Names) -> Call {
    plain(&names.path).host(&names.host)
}

/// A SendMessage as clients send it, without host, token and body.
pub fn plain(path: &str) -> Call {
    Call::new(http::Method::POST, path)
        .header("user-agent", "attache-bench/1")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, deflate")
        .header("content-type", "application/json")
        .version("1.0")
}

fn headers(call: &Call) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in &call.headers {
        headers.insert(http::HeaderName::try_from(name)?, HeaderValue::from_bytes(value)?);
    }
    Ok(headers)
}

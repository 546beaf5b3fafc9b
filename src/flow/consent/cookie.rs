//! The cookie of a flow: it shows that the browser that ends a flow is the one that began it (RFC 6265, and `__Host-` of its successor). What is in
//! it is sealed by others; here it is bytes.

use crate::flow::event::Effect;
use crate::flow::request::conceal::without_cookies;
use crate::identity::api_key::cookies;
use crate::wire::base64url;
use crate::wire::header::Headers;
use crate::wire::time::UnixTime;

/// How each of our names begins: a browser takes such a cookie only over TLS, for this very host and all its paths.
const PREFIX: &str = "__Host-attache-";
/// How many flows a browser may have at once.
pub const KEPT: usize = 4;
/// How long a browser keeps the cookie, in seconds.
pub const LIFE: u64 = 600;
/// What follows the value.
const LIMITS: &str = "; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax";
const REMOVED: &str = "=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";
/// What browsers keep of a cookie at most, in bytes.
const LONGEST: usize = 4096;
/// A request with more of our cookies has none: no browser that we gave them does that.
const MOST: usize = 32;

/// Tells the flows of a browser apart: 8 characters of base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow([u8; 6]);

impl Flow {
    /// Of random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// The flow of a name's last 8 characters.
    fn parse(name: &[u8]) -> Option<Self> {
        let text = str::from_utf8(name).ok()?.strip_prefix(PREFIX)?;
        base64url::decode(text)?.try_into().ok().map(Self)
    }

    /// The bytes that it was made of.
    #[must_use]
    pub const fn bytes(self) -> [u8; 6] {
        self.0
    }

    fn name(self) -> String {
        [PREFIX, &base64url::encode(&self.0)].concat()
    }
}

/// The header that gives a browser the cookie of `flow`.
#[must_use]
pub fn set(flow: Flow, sealed: &[u8]) -> (&'static str, String) {
    let mut line = flow.name();
    line.push('=');
    line.push_str(&base64url::encode(sealed));
    line.push_str(LIMITS);
    ("set-cookie", line)
}

/// The header that takes it away.
#[must_use]
pub fn remove(flow: Flow) -> (&'static str, String) {
    let mut line = flow.name();
    line.push_str(REMOVED);
    ("set-cookie", line)
}

/// What removes our cookies from the head of a request, whatever is in them: they go on to nobody.
#[must_use]
pub fn conceal(headers: &Headers) -> Vec<Effect> {
    without_cookies(headers, &is_ours)
}

/// Whether a cookie of this name is ours.
#[must_use]
pub fn is_ours(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}

/// What our cookies of a request hold: what was sealed, for each flow. A flow that is there twice counts as none, since servers disagree on which
/// of two counts; and so does what we never wrote.
#[must_use]
pub fn read(headers: &Headers) -> Vec<(Flow, Vec<u8>)> {
    let mut found: Vec<(Flow, Option<Vec<u8>>)> = Vec::new();
    for (name, value) in cookies(headers).filter(|(name, _)| is_ours(name)) {
        let Some(flow) = Flow::parse(name) else { continue };
        let count = found.len();
        match found.iter_mut().find(|(other, _)| *other == flow) {
            Some((_, twice)) => *twice = None,
            None if count >= MOST => return Vec::new(),
            None => found.push((flow, opened(value))),
        }
    }
    found.into_iter().filter_map(|(flow, value)| Some((flow, value?))).collect()
}

fn opened(value: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(value).ok().filter(|text| text.len() <= LONGEST)?;
    base64url::decode(text).filter(|sealed| !sealed.is_empty())
}

/// Of the flows that a browser has, with the times at which they began, those to take away so that there is room for one more: all but the
/// newest. A cookie that cannot be opened counts as begun at the beginning of time.
#[must_use]
pub fn surplus(known: &[(Flow, UnixTime)]) -> Vec<Flow> {
    let is_surplus = |index: usize, began: UnixTime| {
        let is_newer = |(other, (_, time)): &(usize, &(Flow, UnixTime))| *time > began || *time == began && *other > index;
        known.iter().enumerate().filter(is_newer).count() >= KEPT.saturating_sub(1)
    };
    known.iter().enumerate().filter(|(index, (_, began))| is_surplus(*index, *began)).map(|(_, (flow, _))| *flow).collect()
}

#[cfg(test)]
mod tests {
    use super::{Flow, Headers, KEPT, LIFE, LIMITS, UnixTime, conceal, is_ours, read, remove, set, surplus};

    fn flow(number: u8) -> Flow {
        Flow::new([0, 0, 0, 0, 0, number])
    }

    fn found(lines: &[&[u8]]) -> Vec<(Flow, Vec<u8>)> {
        read(&Headers::new(lines.iter().map(|line| ("cookie".to_owned(), line.to_vec())).collect()))
    }

    #[test]
    fn a_browser_gets_it_for_this_host_alone() {
        assert_eq!(
            set(flow(1), b"sealed"),
            ("set-cookie", "__Host-attache-AAAAAAAB=c2VhbGVk; Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax".to_owned())
        );
        assert_eq!(
            remove(flow(1)),
            ("set-cookie", "__Host-attache-AAAAAAAB=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax".to_owned())
        );
        assert!(LIMITS.contains(&format!("Max-Age={LIFE};")));
    }

    #[test]
    fn it_is_read_among_others_on_any_line() {
        let two = found(&[b"a=1; __Host-attache-AAAAAAAB=c2VhbGVk;b=\"x; y\"", b"  __Host-attache-AAAAAAAC=AQAB ; c", b"\xff=\xfe"]);
        assert_eq!(two, [(flow(1), b"sealed".to_vec()), (flow(2), vec![1, 0, 1])]);
        assert_eq!(found(&[]), []);
    }

    #[test]
    fn what_is_there_twice_counts_as_none() {
        let once: &[u8] = b"__Host-attache-AAAAAAAB=AQAB";
        assert_eq!(found(&[once]).len(), 1);
        assert_eq!(found(&[once, once]), []);
        assert_eq!(found(&[b"__Host-attache-AAAAAAAB=AQAB; x=y; __Host-attache-AAAAAAAB=c2VhbGVk"]), []);
        assert_eq!(found(&[b"__Host-attache-AAAAAAAB=AQAB; __Host-attache-AAAAAAAB="]), []);
        assert_eq!(found(&[b"__Host-attache-AAAAAAAB=\xff; __Host-attache-AAAAAAAB=AQAB"]), []);
        let three = found(&[b"__Host-attache-AAAAAAAB=AQAB; __Host-attache-AAAAAAAB=AQAB; __Host-attache-AAAAAAAC=AQAB"]);
        assert_eq!(three, [(flow(2), vec![1, 0, 1])]);
    }

    #[test]
    fn what_we_never_wrote_is_none_of_ours() {
        for odd in [
            "__Host-attache-AAAAAAAB=",
            "__Host-attache-AAAAAAAB=\"AQAB\"",
            "__Host-attache-AAAAAAAB=AQAB=",
            "__Host-attache-AAAAAAAB=AQ AB",
            "__Host-attache-AAAAAAAB",
            "__Host-attache-AAAAAAA=AQAB",
            "__Host-attache-AAAAAAABA=AQAB",
            "__Host-attache-=AQAB",
            "__Host-attache-AAAA+AAB=AQAB",
            "__host-attache-AAAAAAAB=AQAB",
            "attache-AAAAAAAB=AQAB",
            "=__Host-attache-AAAAAAAB=AQAB",
        ] {
            assert_eq!(found(&[odd.as_bytes()]), [], "{odd}");
        }
        let long = format!("__Host-attache-AAAAAAAB={}", "A".repeat(4100));
        assert_eq!(found(&[long.as_bytes()]), []);
    }

    #[test]
    fn a_request_with_many_has_none() {
        let line = |count: u8| {
            (0..count).map(|number| set(flow(number), b"x").1.split(';').next().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(found(&[line(32).as_bytes()]).len(), 32);
        assert_eq!(found(&[line(33).as_bytes()]), []);
    }

    #[test]
    fn the_newest_stay() {
        let known = |times: &[u64]| -> Vec<(Flow, UnixTime)> {
            times.iter().zip(0..).map(|(time, number)| (flow(number), UnixTime::from_secs(*time))).collect()
        };
        assert_eq!(surplus(&known(&[])), []);
        assert_eq!(surplus(&known(&[5, 6, 7])), []);
        assert_eq!(surplus(&known(&[5, 9, 7, 6])), [flow(0)]);
        assert_eq!(surplus(&known(&[9, 0, 7, 0, 8, 8])), [flow(1), flow(2), flow(3)]);
        for count in 0..20_usize {
            let same = known(&vec![5; count]);
            assert_eq!(count - surplus(&same).len(), count.min(KEPT - 1));
        }
    }

    #[test]
    fn they_go_on_to_nobody() {
        let headers = |line: &str| Headers::new(vec![("cookie".to_owned(), line.as_bytes().to_vec())]);
        assert_eq!(conceal(&headers("a=1; __Host-attache-AAAAAAAB=AQAB; __Host-attache-odd; b=2; __Host-attache-?=x")).len(), 2);
        let effects = format!("{:?}", conceal(&headers("a=1; __Host-attache-AAAAAAAB=AQAB; b=2; __Host-attache-?=x")));
        assert!(effects.contains("a=1; b=2") && !effects.contains("__Host"), "{effects}");
        assert!(conceal(&headers("a=1; x__Host-attache-=2")).is_empty());
    }

    #[test]
    fn ours_are_known_by_how_their_names_begin() {
        assert!(is_ours(b"__Host-attache-AAAAAAAB") && is_ours(b"__Host-attache-") && is_ours(b"__Host-attache-whatever it is"));
        assert!(!is_ours(b"__Host-other") && !is_ours(b"attache") && !is_ours(b""));
    }
}

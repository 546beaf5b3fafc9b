//! Answers of agents that go on changed, and only when all of them is known. Their bytes are taken out of the proxy's buffer
//! as they come, so that it never holds one, and are bounded here. What is made of them may be longer. With the head
//! already gone it goes on in place of the last part; with the head held it becomes an answer of the proxy's own.

use crate::wire::grpc_frame;
use crate::wire::header::Headers;
use crate::wire::scan::{Limits, Plan, Scanner};
use std::rc::Rc;

/// What bounds the memory of the scan for a document's end.
const LIMITS: Limits = Limits { depth: 128, names: 16_384, text: 0, values: 0 };

/// Headers of an agent's answer that say something about the connection or the bytes, and that the proxy says itself
/// (RFC 9110 sections 6.6.1, 7.6.1 and 8.6). The validators and digests of the old bytes are named by those who change them.
const OF_THE_HOP: [&str; 9] =
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "date"];

/// A complete answer in place of the agent's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Whole {
    /// An answer of JSON that has the agent's status and headers, except for those about the connection and for `stale` ones, and
    /// no body yet.
    /// A value that is not UTF-8 is left out: no such value can be handed to the proxy.
    #[must_use]
    pub fn like(status: u16, headers: &Headers, stale: &[&str]) -> Self {
        let dropped = |name: &str| name.starts_with(':') || OF_THE_HOP.contains(&name) || stale.contains(&name);
        let kept = headers.pairs().filter(|(name, _)| !dropped(name));
        let kept = kept.filter_map(|(name, value)| Some((name.to_owned(), std::str::from_utf8(value).ok()?.to_owned())));
        let mut whole = Self { status, headers: kept.collect(), body: Vec::new() };
        // Where an agent says nothing, Envoy would say that its own answer is plain text.
        if !headers.has("content-type") {
            whole.set("content-type", "application/json".to_owned());
        }
        whole
    }

    /// Sets a header, in place of all of its name.
    pub fn set(&mut self, name: &str, value: String) {
        self.headers.retain(|(given, _)| given != name);
        self.headers.push((name.to_owned(), value));
    }

    /// Adds members to a header that is a list (RFC 9110 section 5.6.1), without those that it has in any case of letters.
    pub fn join(&mut self, name: &str, more: &str) {
        let given = self.headers.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let mut members: Vec<&str> = Vec::new();
        for member in given.chain([more]).flat_map(|list| list.split(',')).map(str::trim) {
            if !member.is_empty() && !members.iter().any(|one| one.eq_ignore_ascii_case(member)) {
                members.push(member);
            }
        }
        let list = members.join(", ");
        self.set(name, list);
    }
}

/// The parts of a body that have come.
#[derive(Debug)]
pub struct Collected {
    bytes: Vec<u8>,
    most: usize,
    /// All bytes that came, also those that were taken.
    come: usize,
    extent: Extent,
}

/// What the bytes tell of their end.
#[derive(Debug)]
enum Extent {
    /// Nothing: the proxy says when there are no more.
    Stream,
    /// One JSON document.
    Document(Box<Scanner>),
    /// One message of gRPC.
    Frame,
}

impl Collected {
    /// A body of at most `most` bytes whose end the proxy tells.
    #[must_use]
    pub const fn stream(most: usize) -> Self {
        Self { bytes: Vec::new(), most, come: 0, extent: Extent::Stream }
    }

    /// One JSON document of at most `most` bytes.
    #[must_use]
    pub fn document(most: usize) -> Self {
        let scanner = Scanner::new(LIMITS, Rc::new(Plan::default()));
        Self { extent: Extent::Document(Box::new(scanner)), ..Self::stream(most) }
    }

    /// One message of gRPC of at most `most` bytes.
    #[must_use]
    pub fn frame(most: usize) -> Self {
        Self { extent: Extent::Frame, ..Self::stream(most.saturating_add(grpc_frame::HEAD)) }
    }

    /// A part came.
    ///
    /// # Errors
    /// Why the body is none: it is too long, or goes on behind its own end.
    pub fn add(&mut self, part: &[u8]) -> Result<(), String> {
        self.come = self.come.saturating_add(part.len());
        if self.come > self.most {
            return Err(format!("it is longer than {} bytes", self.most));
        }
        if let Extent::Document(scanner) = &mut self.extent {
            let mut rest = part;
            // Nothing is asked for, so that nothing is found.
            while scanner.next(&mut rest).map_err(|fault| fault.to_string())?.is_some() {}
        }
        self.bytes.extend_from_slice(part);
        if let (Extent::Frame, Some(length)) = (&self.extent, grpc_frame::length(&self.bytes)) {
            if length > self.most {
                return Err(format!("it is longer than {} bytes", self.most));
            }
            if self.come > length {
                return Err("something follows the message".to_owned());
            }
        }
        Ok(())
    }

    /// Whether nothing has come.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.come == 0
    }

    /// Whether the bytes tell that this is all.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        match &self.extent {
            Extent::Stream => false,
            Extent::Document(scanner) => scanner.has_ended(),
            Extent::Frame => grpc_frame::length(&self.bytes) == Some(self.bytes.len()),
        }
    }

    /// What has come. Of a document only white space may be added then, to a message nothing.
    pub fn take(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        if matches!(self.extent, Extent::Frame) {
            self.most = self.come;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Collected, Headers, Whole};

    fn feed(mut body: Collected, text: &[u8], size: usize) -> Result<(usize, Vec<u8>), String> {
        let (mut parts, mut whole) = (0, None);
        for part in text.chunks(size) {
            body.add(part)?;
            parts += 1;
            if whole.is_none() && body.is_complete() {
                whole = Some((parts, body.take()));
            }
        }
        Ok(whole.unwrap_or((0, body.take())))
    }

    #[test]
    fn a_body_tells_its_end_if_it_can() {
        assert_eq!(feed(Collected::stream(9), b"{} {}", 2), Ok((0, b"{} {}".to_vec())));
        assert_eq!(feed(Collected::document(9), b"{\"a\":1} ", 2).unwrap().0, 4);
        assert_eq!(feed(Collected::frame(3), b"\0\0\0\0\x03abc", 3), Ok((3, b"\0\0\0\0\x03abc".to_vec())));
        assert_eq!(feed(Collected::frame(3), b"\0\0\0\0\0", 9).unwrap().0, 1);
    }

    #[test]
    fn what_is_too_long_or_goes_on_is_refused() {
        for size in [1, 2, 5, 100] {
            for (body, text) in [
                (Collected::stream(4), &b"12345"[..]),
                (Collected::document(4), b"[1,2]"),
                (Collected::document(99), b"{} {}"),
                (Collected::document(99), b"{}x"),
                (Collected::frame(3), b"\0\0\0\0\x04abcd"),
                (Collected::frame(3), b"\0\0\0\0\x01ab"),
                (Collected::frame(3), b"\0\xff\xff\xff\xff"),
            ] {
                assert!(feed(body, text, size).is_err(), "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn an_answer_keeps_what_is_still_true_once() {
        let given = [
            (":status", &b"200"[..]),
            ("content-type", b"application/a2a+json"),
            ("content-length", b"7"),
            ("transfer-encoding", b"chunked"),
            ("etag", b"\"old\""),
            ("vary", b"Origin, accept"),
            ("vary", b"A2A-Version"),
            ("x-odd", b"\xff"),
            ("a2a-extensions", b"x"),
        ];
        let headers = Headers::new(given.map(|(name, value)| (name.to_owned(), value.to_vec())).to_vec());
        let mut whole = Whole::like(200, &headers, &["etag"]);
        whole.join("vary", "a2a-version, authorization");
        whole.set("etag", "\"new\"".to_owned());
        let expected = [
            ("content-type", "application/a2a+json"),
            ("a2a-extensions", "x"),
            ("vary", "Origin, accept, A2A-Version, authorization"),
            ("etag", "\"new\""),
        ];
        assert_eq!(whole.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

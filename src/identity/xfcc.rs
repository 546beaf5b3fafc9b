//! `x-forwarded-client-cert`: the certificates of the hops in front, as Envoy writes them. Each proxy appends an element, so
//! the first is the client's, if every proxy on the way is honest.

use super::peer::Peer;
use crate::wire::header::Headers;
use crate::wire::hex;
use thiserror::Error;

/// The header.
pub const NAME: &str = "x-forwarded-client-cert";
/// Longest header that is read, in bytes: certificates may stand in it.
const MAX_BYTES: usize = 64 * 1024;
/// Most elements that are read.
const MAX_ELEMENTS: usize = 16;

/// The header is there, but says nothing that can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("x-forwarded-client-cert cannot be read in one way")]
pub struct XfccError;

/// The certificates that the header names, first hop first. `None` without the header.
///
/// # Errors
/// If it is repeated, too long, or not what Envoy writes.
pub fn read(headers: &Headers) -> Option<Result<Vec<Peer>, XfccError>> {
    let mut lines = headers.all(NAME);
    let line = lines.next()?;
    Some(match lines.next() {
        None => parse(line),
        Some(_) => Err(XfccError),
    })
}

fn parse(line: &[u8]) -> Result<Vec<Peer>, XfccError> {
    let text = std::str::from_utf8(line).map_err(|_| XfccError)?;
    if text.len() > MAX_BYTES || !text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err(XfccError);
    }
    let mut peers = Vec::new();
    let mut element = Element::default();
    let mut rest = text;
    loop {
        let (name, after) = rest.split_once('=').ok_or(XfccError)?;
        let (value, after) = value(after)?;
        element.take(name, value)?;
        let mut letters = after.chars();
        match letters.next() {
            Some(';') => {}
            Some(',') if peers.len() < MAX_ELEMENTS => peers.push(std::mem::take(&mut element).peer),
            None => {
                peers.push(element.peer);
                return Ok(peers);
            }
            Some(_) => return Err(XfccError),
        }
        rest = letters.as_str();
    }
}

/// A value, and what follows it. In quotes, `\"` is a quote.
fn value(text: &str) -> Result<(String, &str), XfccError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).ok_or(XfccError)?;
        // A quote inside could end somewhere else for another reader.
        return if value.contains(['"', '\\']) { Err(XfccError) } else { Ok((value.to_owned(), rest)) };
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next() {
            Some('"') => return Ok((value, letters.as_str())),
            Some('\\') => match letters.next() {
                Some('"') => value.push('"'),
                // Subjects escape characters of their own (RFC 2253 section 2.4).
                Some(other) => value.extend(['\\', other]),
                None => return Err(XfccError),
            },
            Some(other) => value.push(other),
            None => return Err(XfccError),
        }
    }
}

#[derive(Default)]
struct Element {
    peer: Peer,
}

impl Element {
    fn take(&mut self, name: &str, value: String) -> Result<(), XfccError> {
        let some = (!value.is_empty()).then_some(value);
        let peer = &mut self.peer;
        match name.to_ascii_lowercase().as_str() {
            "hash" => {
                let digest = hex::decode(&some.unwrap_or_default()).ok_or(XfccError)?;
                if peer.digest.replace(digest).is_some() {
                    return Err(XfccError);
                }
            }
            "subject" if peer.subject.is_some() => return Err(XfccError),
            "subject" => peer.subject = some,
            // A certificate may have several of these; the first counts, as it does for a connection.
            "uri" if peer.uri.is_none() => peer.uri = some,
            "dns" if peer.dns.is_none() => peer.dns = some,
            "uri" | "dns" | "by" | "cert" | "chain" => {}
            _ => return Err(XfccError),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Headers, NAME, Peer, XfccError, read};

    fn peers(line: &str) -> Result<Vec<Peer>, XfccError> {
        read(&Headers::new(vec![(NAME.to_owned(), line.as_bytes().to_vec())])).unwrap()
    }

    #[test]
    fn elements_as_envoy_writes_them() {
        let hash = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";
        let one = peers(&format!(
            "By=spiffe://corp/gateway;Hash={hash};Cert=\"-----BEGIN%20CERTIFICATE-----%0A\";Subject=\"CN=a\\\"b\\,c,O=\\C3\\BC\";URI=spiffe://corp/a;DNS=a.example.com;DNS=b.example.com"
        ))
        .unwrap();
        let [peer] = one.as_slice() else { panic!("{one:?}") };
        assert_eq!(peer.uri.as_deref(), Some("spiffe://corp/a"));
        assert_eq!(peer.dns.as_deref(), Some("a.example.com"));
        assert_eq!(peer.subject.as_deref(), Some("CN=a\"b\\,c,O=\\C3\\BC"));
        assert_eq!(peer.digest.unwrap()[..2], [0x46, 0x8e]);
        let two = peers("By=a;Subject=\"\";URI=,by=b;uri=spiffe://corp/gateway").unwrap();
        assert_eq!((two.len(), two[0].identity()), (2, None));
        assert_eq!(two[1].uri.as_deref(), Some("spiffe://corp/gateway"));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let hash = "00".repeat(32);
        let many = vec!["URI=a"; 18].join(",");
        for odd in [
            "",
            "spiffe://corp/a",
            "URI=a,",
            "URI=a;",
            "URI=a,,URI=b",
            "URI=a, URI=b",
            "URI=\"a",
            "URI=\"a\"b",
            "URI=a\"b",
            "Subject=\"a\\",
            "Subject=\"a\";Subject=\"b\"",
            "Hash=00",
            "Hash=",
            &format!("Hash={hash};Hash={hash}"),
            "Role=admin",
            "URI=é",
            "URI=a\tb",
            &many,
        ] {
            assert_eq!(peers(odd), Err(XfccError), "{odd}");
        }
        let twice = Headers::new(vec![(NAME.to_owned(), b"URI=a".to_vec()), (NAME.to_owned(), b"URI=a".to_vec())]);
        assert_eq!(read(&twice), Some(Err(XfccError)));
        assert_eq!(read(&Headers::default()), None);
    }
}

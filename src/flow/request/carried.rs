//! What a request carries of ours when Envoy sends it on by itself. An internal redirect makes a new request of the old one, with
//! the headers that filters put on it, and gives it to all filters from the start: by then our `authorization` looks like the
//! client's. So the names of the headers with a credential of ours are noted beside the request, in filter state that outlives the
//! redirect and that no client can write. Whatever the new request is for, they go before anything looks at it.

use crate::wire::header;
use crate::wire::header::Headers;
use crate::wire::sorted::SortedSet;

/// The property with the names. Filter state has it as `wasm.attache.carried`.
pub const MARK: &str = "attache.carried";

/// A property that is set as soon as a credential is attached, and that ends with the request: with it, a mark is of this request,
/// by another filter of ours before this one.
pub const OF_THIS_REQUEST: &str = "attache.credential";

/// Envoy sets this on a request that it sends on by an internal redirect, and takes it off again from clients that it takes for
/// external ones. Clients may send it, too. So it decides only where there is nothing better.
pub const REDIRECTED: &str = "x-envoy-original-url";

/// What makes Envoy keep the mark for the whole of a client's request (`declare_property`: name, type String, span
/// DownstreamRequest).
#[must_use]
pub fn declaration() -> Vec<u8> {
    [b"\x0a\x0f".as_slice(), MARK.as_bytes(), b"\x18\x01\x28\x01"].concat()
}

/// `mark` with `name`; `None` if it is in there.
#[must_use]
pub fn with(mark: &[u8], name: &str) -> Option<Vec<u8>> {
    if names(mark).any(|own| own == name) {
        return None;
    }
    let before = if mark.is_empty() { Vec::new() } else { [mark, b" "].concat() };
    Some([before.as_slice(), name.as_bytes()].concat())
}

/// The names in `mark`.
pub fn names(mark: &[u8]) -> impl Iterator<Item = &str> {
    mark.split(|byte| *byte == b' ').filter_map(|name| std::str::from_utf8(name).ok()).filter(|name| header::is_name(name))
}

/// What must go from a redirected request where the proxy keeps no marks: everything that may be ours.
pub fn unmarked<'a>(headers: &'a Headers, credentials: &'a SortedSet<String>) -> impl Iterator<Item = &'a String> {
    let may_be_ours = headers.has(REDIRECTED);
    credentials.iter().filter(move |name| may_be_ours && headers.has(name))
}

#[cfg(test)]
mod tests {
    use super::{declaration, names, with};

    #[test]
    fn a_mark_holds_each_name_once() {
        let one = with(b"", "x-key").unwrap();
        let two = with(&one, "authorization").unwrap();
        assert_eq!(two, b"x-key authorization");
        assert_eq!(with(&two, "x-key"), None);
        assert_eq!(names(&two).collect::<Vec<_>>(), ["x-key", "authorization"]);
        assert_eq!(names(b" :path X-Key \xff a").collect::<Vec<_>>(), ["a"]);
        assert_eq!(names(b"").count(), 0);
    }

    #[test]
    fn the_declaration_is_as_envoy_reads_it() {
        assert_eq!(declaration(), b"\x0a\x0fattache.carried\x18\x01\x28\x01");
        assert_eq!(super::MARK.len(), 0x0f);
    }
}

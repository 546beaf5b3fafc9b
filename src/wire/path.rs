//! Request targets: path and query, prefixes by whole segments, hosts without their port (RFC 3986, RFC 9110
//! section 7.1).

use super::authority::Authority;

/// Splits a `:path` into the path and the query behind the first `?`.
#[must_use]
pub fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// Whether two readers could see two different paths in `path`: empty or dot segments, a backslash, a
/// fragment, an escaped slash, backslash or control character, an escape that no URI needs (RFC 3986 section 6.2.2.2: servers
/// may undo it, proxies may not), a path parameter, or bytes that a URI cannot hold.
/// One empty segment at the end (a trailing slash) is ordinary.
#[must_use]
pub fn is_ambiguous(path: &str) -> bool {
    // Most have letters, digits and hyphens only.
    let mut before = b'.';
    let is_plain = path.bytes().all(|byte| {
        let fits = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'/' && before != b'/';
        before = byte;
        fits
    });
    if is_plain && path.starts_with('/') {
        return false;
    }
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return true;
    }
    if path.contains(['\\', '#', ';']) || path.contains("//") {
        return true;
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return true;
    }
    path.split('%').skip(1).any(|escape| {
        let code = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let needless = |code: u8| code.is_ascii_alphanumeric() || b"-._~".contains(&code);
        code.is_none_or(|code| code.is_ascii_control() || matches!(code, b'/' | b'\\') || needless(code))
    })
}

/// What follows `prefix` in `path` if the prefix covers whole segments: `/a` covers `/a` and `/a/b`, not
/// `/ab`. The rest is empty or starts with `/`. A prefix has no trailing slash, except `/` itself.
#[must_use]
pub fn strip_segments<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = if prefix == "/" { path } else { path.strip_prefix(prefix)? };
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Whether `path` is ambiguous, given that `prefix` is known to be meant byte for byte: below it, only what follows counts.
#[must_use]
pub fn is_ambiguous_below(path: &str, prefix: &str) -> bool {
    match strip_segments(path, prefix) {
        Some(rest) => !rest.is_empty() && is_ambiguous(rest),
        None => is_ambiguous(path),
    }
}

/// Whether `prefix` is ambiguous for nothing but escaped slashes, and would be plain with slashes in their place.
#[must_use]
pub fn is_plain_but_for_escaped_slashes(prefix: &str) -> bool {
    let with = |text: &str| prefix.replace("%2F", text).replace("%2f", text);
    !is_ambiguous(&with("x")) && !is_ambiguous(&with("/"))
}

/// The host of a URI's authority in lower case, without port and trailing dot; `None` if it has user
/// information or is no host at all. (What a request names is an [`Authority`], which loses neither.)
#[must_use]
pub fn host(authority: &str) -> Option<String> {
    let authority = Authority::parse(authority)?;
    let host = authority.host();
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{host, is_ambiguous, is_ambiguous_below, is_plain_but_for_escaped_slashes, split_query, strip_segments};

    #[test]
    fn below_a_prefix_only_what_follows_counts() {
        for (path, is_ambiguous) in [
            ("/a%2Fb", false),
            ("/a%2Fb/", false),
            ("/a%2Fb/tasks/1:cancel", false),
            ("/a%2Fb/c%2Fd", true),
            ("/a%2Fb/../c", true),
            ("/a%2Fb//", true),
            ("/a%2Fbc", true),
            ("/a%2fb", true),
            ("/%61%2Fb", true),
            ("/a/b", false),
        ] {
            assert_eq!(is_ambiguous_below(path, "/a%2Fb"), is_ambiguous, "{path}");
        }
        for (prefix, fits) in [
            ("/a%2Fb", true),
            ("/arn%3Aaws%3Aruntime%2fx/invocations", true),
            ("/a", true),
            ("/a%2F/b", false),
            ("/a%2F%2Fb", false),
            ("/a%2F..%2Fb", false),
            ("/..%2Fb", false),
            ("/a%5Cb", false),
            ("/a%2Fb%41", false),
            ("/a%2Fb%0a", false),
            ("/a%2Fb;c", false),
        ] {
            assert_eq!(is_plain_but_for_escaped_slashes(prefix), fits, "{prefix}");
        }
    }

    #[test]
    fn a_prefix_covers_whole_segments_only() {
        assert_eq!(strip_segments("/a/b", "/a"), Some("/b"));
        assert_eq!(strip_segments("/a", "/a"), Some(""));
        assert_eq!(strip_segments("/a/", "/a"), Some("/"));
        assert_eq!(strip_segments("/ab", "/a"), None);
        assert_eq!(strip_segments("/ab", "/"), Some("/ab"));
    }

    #[test]
    fn paths_that_two_readers_could_read_differently_are_ambiguous() {
        for plain in ["/", "/a/", "/v1/tasks/t-1:cancel", "/tasks/a%3Ab", "/.well-known/agent-card.json"] {
            assert!(!is_ambiguous(plain), "{plain}");
        }
        for odd in [
            "",
            "a",
            "//a",
            "/a//b",
            "/./a",
            "/a/..",
            "/a%2Fb",
            "/a%5cb",
            "/%2e%2e/a",
            "/a;b",
            "/a\\b",
            "/a%",
            "/a%zz",
            "/a%00",
            "/a%0A",
            "/a%1f",
            "/a%7F",
            "/%61",
            "/a%7E",
            "/é",
            "/a b",
            "/a#b",
        ] {
            assert!(is_ambiguous(odd), "{odd}");
        }
    }

    #[test]
    fn hosts_lose_port_case_and_trailing_dot() {
        assert_eq!(host("Expense.Example.COM:8443").as_deref(), Some("expense.example.com"));
        assert_eq!(host("expense.example.com.").as_deref(), Some("expense.example.com"));
        assert_eq!(host("[::1]:80").as_deref(), Some("[::1]"));
        for odd in ["", "user@host", "host:80:80", "host:+1", "a b", "[::1", ":80"] {
            assert_eq!(host(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_query_starts_at_the_first_question_mark() {
        assert_eq!(split_query("/a?b?c"), ("/a", Some("b?c")));
        assert_eq!(split_query("/a"), ("/a", None));
    }
}

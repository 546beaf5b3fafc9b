//! The head of every answer to a browser: nothing is kept, framed, guessed or told to others, and no script runs.

use super::html::STYLE_HASH;
use crate::flow::event::reply::Reply;

/// What every answer has, whatever it is. With the opener policy a page that opened ours in a window has no hold on that window any more,
/// so that it cannot lead it elsewhere on the way; a redirect keeps that.
const ALWAYS: [(&str, &str); 8] = [
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
    ("x-robots-tag", "noindex"),
];

/// A page. `onward` are URLs of the servers to which its form may lead, by way of a redirect, if it has a form: Chromium holds redirects
/// against `form-action`, too.
#[must_use]
pub fn page(status: u16, onward: Option<&[&str]>, body: String) -> Reply {
    let mut form = String::from("; form-action ");
    match onward {
        None => form.push_str("'none'"),
        Some(urls) => {
            form.push_str("'self'");
            for origin in urls.iter().filter_map(|url| origin(url)) {
                form.push(' ');
                form.push_str(origin);
            }
        }
    }
    let mut reply = answer(status, &form, body);
    reply.headers.push(("content-type", "text/html; charset=utf-8".to_owned()));
    reply
}

fn answer(status: u16, form: &str, body: String) -> Reply {
    let policy = ["default-src 'none'; style-src '", STYLE_HASH, "'", form, "; frame-ancestors 'none'; base-uri 'none'"].concat();
    let mut headers = Vec::with_capacity(12);
    headers.push(("content-security-policy", policy));
    headers.extend(ALWAYS.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Reply { status, grpc_status: None, headers, body }
}

/// Scheme, host and port of a URL, as a policy can name them.
fn origin(url: &str) -> Option<&str> {
    let start = url.find("://")?.saturating_add(3);
    let rest = url.get(start..)?;
    let end = rest.find(['/', '?', '#']).map_or(url.len(), |end| start.saturating_add(end));
    let origin = url.get(..end)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (end > start && origin.get(start..)?.bytes().all(is_plain)).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::super::html::{STYLE, STYLE_HASH};
    use super::{origin, page};
    use base64::Engine as _;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn the_policy_names_the_style_that_pages_have() {
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
        assert_eq!(STYLE_HASH, format!("sha256-{digest}"));
    }

    fn policy(onward: Option<&[&str]>) -> String {
        page(200, onward, String::new()).headers.into_iter().find(|(name, _)| *name == "content-security-policy").unwrap().1
    }

    #[test]
    fn a_form_leads_to_us_and_to_the_servers_that_are_named() {
        let urls =
            ["https://login.corp.example/auth?x=1", "http://127.0.0.1:81", "https://a.example; script-src *", "nonsense", "https:///a"];
        assert!(
            policy(Some(&urls)).contains("; form-action 'self' https://login.corp.example http://127.0.0.1:81; frame-ancestors 'none'")
        );
        assert!(policy(Some(&[])).contains("; form-action 'self'; "));
        assert!(policy(None).contains("; form-action 'none'; "));
        for odd in ["https://a.example,b", "https://user@a.example/", "https://a b/", "https://é.example/", "https://*/", ""] {
            assert_eq!(origin(odd), None, "{odd}");
        }
    }

    #[test]
    fn no_header_is_there_twice() {
        let mut names: Vec<&str> = page(200, None, String::new()).headers.iter().map(|(name, _)| *name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

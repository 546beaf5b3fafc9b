//! What a browser asks for, by its path and its query.

use super::form::{Parameters, ParametersError};
use super::owner::Act;
use crate::flow::request::head::Head;

/// What a browser asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// The page behind a link.
    Page(Result<Parameters, ParametersError>),
    /// To go on from there; a form follows.
    Begin,
    /// It comes back from where it signed in at this issuer (by name).
    SignedIn(String, Result<Parameters, ParametersError>),
    /// It comes back from the server of this registration (by name).
    Answered(String, Result<Parameters, ParametersError>),
    /// The server of this registration (by name) says that a user has decided (CIBA); a body follows.
    Ping(String),
    /// A user asks for its grants.
    Grants(Act),
    /// Something else at a path that is there; these are its methods.
    Otherwise(&'static str),
    /// There is no such path.
    Nothing,
}

impl Asked {
    /// What `head` asks for below `path`.
    pub fn of(head: &Head<'_>, path: &str) -> Self {
        let query = || Parameters::parse(head.query.unwrap_or_default().as_bytes());
        let is_read = matches!(head.method, "GET" | "HEAD");
        let Some(rest) = head.path.strip_prefix(path) else { return Self::Nothing };
        if let Some(name) = rest.strip_prefix("/ciba/") {
            return if head.method == "POST" { Self::Ping(name.to_owned()) } else { Self::Otherwise("POST") };
        }
        match (rest.strip_prefix("/signed-in/"), rest.strip_prefix("/callback/")) {
            _ if rest == "/start" && is_read => Self::Page(query()),
            _ if rest == "/start" && head.method == "POST" => Self::Begin,
            _ if rest == "/start" => Self::Otherwise("GET, HEAD, POST"),
            _ if rest == "/grants" || rest.starts_with("/grants/") => {
                match Act::of(head.method, rest.strip_prefix("/grants").unwrap_or_default()) {
                    Some(act) => Self::Grants(act),
                    None if rest == "/grants" => Self::Otherwise("GET"),
                    None if head.method == "DELETE" => Self::Nothing,
                    None => Self::Otherwise("DELETE"),
                }
            }
            (Some(name), _) | (_, Some(name)) if name.is_empty() || name.contains('/') => Self::Nothing,
            // A previewer that only asks for the head must not use the answer up.
            (Some(name), _) if head.method == "GET" => Self::SignedIn(name.to_owned(), query()),
            (_, Some(name)) if head.method == "GET" => Self::Answered(name.to_owned(), query()),
            (Some(_), _) | (_, Some(_)) => Self::Otherwise("GET"),
            (None, None) => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Head};
    use crate::wire::header::Headers;

    #[test]
    fn each_path_has_its_methods() {
        let asked = |method: &str, target: &str| {
            let list = [(":method", method), (":path", target), (":authority", "c.example")];
            let headers = Headers::new(list.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec());
            match Asked::of(&Head::read(&headers).unwrap(), "/consent") {
                Asked::Page(query) => format!("page {}", query.unwrap().get("link").unwrap_or("none")),
                Asked::Begin => "begin".to_owned(),
                Asked::SignedIn(name, _) => format!("signed in {name}"),
                Asked::Answered(name, query) => format!("answered {name} {}", query.unwrap().get("code").unwrap_or("none")),
                Asked::Ping(name) => format!("ping {name}"),
                Asked::Grants(act) => format!("{act:?}"),
                Asked::Otherwise(methods) => methods.to_owned(),
                Asked::Nothing => "nothing".to_owned(),
            }
        };
        for (method, target, expected) in [
            ("GET", "/consent/start?link=L", "page L"),
            ("HEAD", "/consent/start", "page none"),
            ("POST", "/consent/start?link=L", "begin"),
            ("DELETE", "/consent/start", "GET, HEAD, POST"),
            ("GET", "/consent/signed-in/corp", "signed in corp"),
            ("HEAD", "/consent/callback/hr?code=c", "GET"),
            ("GET", "/consent/callback/hr?code=c", "answered hr c"),
            ("GET", "/consent/callback/", "nothing"),
            ("GET", "/consent/callback/a/b", "nothing"),
            ("GET", "/consent/grants", "List"),
            ("GET", "/consent/grants?user=x", "List"),
            ("POST", "/consent/grants", "GET"),
            ("GET", "/consent/grants/", "DELETE"),
            ("DELETE", "/consent/grants/x", "nothing"),
            ("DELETE", "/consent/grants/AAAAAAAAAAAAAAAAAAAAAA", "Remove([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])"),
            ("POST", "/consent/ciba/hr", "ping hr"),
            ("GET", "/consent/ciba/hr", "POST"),
            ("POST", "/consent/ciba", "nothing"),
            ("GET", "/consent", "nothing"),
            ("GET", "/consent/", "nothing"),
            ("GET", "/consentx/start", "nothing"),
            ("GET", "/", "nothing"),
            ("GET", "/consent/start/", "nothing"),
        ] {
            assert_eq!(asked(method, target), expected, "{method} {target}");
        }
    }
}

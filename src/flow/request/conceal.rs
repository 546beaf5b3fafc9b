//! API keys stop here: whatever becomes of a request, neither the agent nor the access log gets a key, not even the key of
//! another agent or one that was no good.

use crate::config::{ApiKey, Config, KeyPlace, Scheme};
use crate::flow::event::{Effect, Value};
use crate::identity::api_key;
use crate::wire::header::Headers;

/// Where keys are.
#[derive(Debug, Default)]
pub struct Places {
    headers: Vec<String>,
    parameters: Vec<String>,
    cookies: Vec<String>,
}

impl Places {
    /// The places of all API keys of `config`.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        fn key(scheme: &Scheme) -> Option<&ApiKey> {
            match scheme {
                Scheme::ApiKey(key) => Some(key),
                _ => None,
            }
        }
        let keys: Vec<&ApiKey> = config.schemes().values().filter_map(key).collect();
        let of = |place| keys.iter().filter(|key| key.place == place).map(|key| key.name.clone()).collect();
        Self { headers: of(KeyPlace::Header), parameters: of(KeyPlace::Query), cookies: of(KeyPlace::Cookie) }
    }

    /// What removes keys from the head of a request. (The target is [`Places::target`].)
    #[must_use]
    pub fn conceal(&self, headers: &Headers) -> Vec<Effect> {
        if self.headers.is_empty() && self.cookies.is_empty() {
            return Vec::new();
        }
        let mut names: Vec<&str> = headers.names().filter(|name| self.headers.iter().any(|own| folds_to(name, own))).collect();
        names.sort_unstable();
        names.dedup();
        let mut effects: Vec<Effect> = names.into_iter().map(|name| Effect::RemoveHeader(name.to_owned().into())).collect();
        effects.extend(without_cookies(headers, &|name| self.cookies.iter().any(|own| own.as_bytes() == name)));
        effects
    }

    /// `target` without keys, if there are some in its query. Everything else stays as it is.
    #[must_use]
    pub fn target(&self, target: &str) -> Option<String> {
        if self.parameters.is_empty() {
            return None;
        }
        let (path, query) = target.split_once('?')?;
        let is_key = |pair: &&str| {
            let pair = form_urlencoded::parse(pair.as_bytes()).next();
            pair.is_some_and(|(name, _)| self.parameters.iter().any(|own| name.eq_ignore_ascii_case(own)))
        };
        if !query.split('&').any(|pair| is_key(&pair)) {
            return None;
        }
        let kept: Vec<&str> = query.split('&').filter(|pair| !is_key(pair)).collect();
        Some(if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) })
    }
}

/// What removes the cookies of which `is_ours` is true, and leaves the others; nothing if there are none of ours.
#[must_use]
pub fn without_cookies(headers: &Headers, is_ours: &dyn Fn(&[u8]) -> bool) -> Vec<Effect> {
    if !api_key::cookies(headers).any(|(name, _)| is_ours(name)) {
        return Vec::new();
    }
    let pair = |(name, value)| Some(format!("{}={}", str::from_utf8(name).ok()?, str::from_utf8(value).ok()?));
    let others: Vec<String> = api_key::cookies(headers).filter(|(name, _)| !is_ours(name)).filter_map(pair).collect();
    // Setting a header replaces its first line only.
    let mut effects = vec![Effect::RemoveHeader("cookie".into())];
    if !others.is_empty() {
        effects.push(Effect::SetHeader("cookie".into(), Value::Text(others.join("; "))));
    }
    effects
}

/// Whether a server that reads `_` as `-` would take `name` for `own`.
fn folds_to(name: &str, own: &str) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte };
    name.len() == own.len() && name.bytes().map(folded).eq(own.bytes().map(folded))
}

#[cfg(test)]
mod tests {
    use super::{Effect, Headers, Places, Value};

    fn places() -> Places {
        Places { headers: vec!["x-api-key".into()], parameters: vec!["key".into()], cookies: vec!["key".into()] }
    }

    fn conceal(list: &[(&str, &[u8])]) -> Vec<String> {
        let headers = Headers::new(list.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect());
        let line = |effect: &Effect| match effect {
            Effect::RemoveHeader(name) => format!("-{name}"),
            Effect::SetHeader(name, Value::Text(text)) => format!("{name}={text}"),
            other => panic!("{other:?}"),
        };
        places().conceal(&headers).iter().map(line).collect()
    }

    #[test]
    fn keys_are_removed_and_nothing_else() {
        assert_eq!(
            conceal(&[("x-api-key", b"a"), ("x_api-key", b"b"), ("x-api-key", b"c"), ("x-api-keys", b"d")]),
            ["-x-api-key", "-x_api-key"]
        );
        assert_eq!(conceal(&[("cookie", b"a=1; key=x; b=2; bad"), ("cookie", b"key=y;c=\xff;d=3")]), ["-cookie", "cookie=a=1; b=2; d=3"]);
        assert_eq!(conceal(&[("cookie", b"key=x")]), ["-cookie"]);
        assert_eq!(conceal(&[("cookie", b"keys=x; Key=y"), ("authorization", b"z")]), Vec::<String>::new());
    }

    #[test]
    fn the_target_keeps_the_rest_of_its_query() {
        for (target, left) in [
            ("/a?key=x", Some("/a")),
            ("/a?b=1&key=x&c=%2F+&KEY=y&%6bey=z", Some("/a?b=1&c=%2F+")),
            ("/a?key", Some("/a")),
            ("/a?keys=x&xkey=y", None),
            ("/a", None),
            ("/key=x", None),
        ] {
            assert_eq!(places().target(target).as_deref(), left, "{target}");
        }
    }
}

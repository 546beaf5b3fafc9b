//! What an agent offers by its own card (`versions: from_card`): versions, bindings and their paths. The card chooses paths below the
//! prefix and nothing else.

use crate::card::Card;
use crate::card::model::transport;
use crate::config::{Agent, CardSource, HttpUri, Offer};
use crate::protocol::{Binding, Version};
use crate::wire::path;
use crate::wire::sorted::SortedMap;

/// Most interfaces of a card that are looked at.
const MOST: usize = 32;
/// Longest part of a URL that is logged, in characters.
const MOST_OF_URL: usize = 256;

/// What the card of `agent` offers, and what an operator should know of it.
///
/// # Errors
/// If that is nothing that can be served.
pub fn offered(card: &Card, agent: &Agent) -> Result<(SortedMap<Version, Offer>, Vec<String>), String> {
    let mut offers: SortedMap<Version, Offer> = SortedMap::new();
    let mut notices = Vec::new();
    for stated in card.interfaces().into_iter().take(MOST) {
        let Some(version) = stated.version else { continue };
        let known = [Binding::Jsonrpc, Binding::HttpJson, Binding::Grpc].into_iter().find(|one| transport(*one) == stated.binding);
        let Some(binding) = known else { continue };
        let Some(path) = place(agent, binding, stated.url) else {
            let url: String = stated.url.chars().take(MOST_OF_URL).collect();
            let notice = format!("the card of agent {:?} names an interface elsewhere, {url:?}: it is not published", agent.name);
            if !notices.contains(&notice) {
                notices.push(notice);
            }
            continue;
        };
        if !offers.contains_key(&version) {
            offers.insert(version, Offer::default());
        }
        let Some(offer) = offers.get_mut(&version) else { continue };
        if offer.bindings.contains(&binding) {
            continue;
        }
        offer.bindings.push(binding);
        match binding {
            Binding::Jsonrpc => offer.paths.jsonrpc = path,
            Binding::HttpJson => offer.paths.http_json = path,
            Binding::Grpc => {}
        }
    }
    if offers.is_empty() {
        return Err("it names no interface below path_prefix at the agent's own origin".to_owned());
    }
    agent.check_offers(&offers).map_err(|error| error.to_string())?;
    Ok((offers, notices))
}

/// Where the interface at `url` is below the prefix of `agent`; `None`, if it is not.
fn place(agent: &Agent, binding: Binding, url: &str) -> Option<String> {
    // The protocol has its own paths, and the card often no more than host and port.
    if binding == Binding::Grpc {
        return agent.target.grpc.then(String::new);
    }
    let uri = HttpUri::try_from(url.to_owned()).ok()?;
    let own = match &agent.card.source {
        CardSource::Remote(remote) => Some(&remote.uri),
        CardSource::Inline(_) | CardSource::Upstream => None,
    };
    let is_own = own.into_iter().chain(&agent.public_url).any(|own| own.has_origin_of(&uri));
    let suffix = path::strip_segments(uri.path(), agent.target.path_prefix.as_str()).filter(|_| is_own)?;
    // A URL without a path has none to publish either.
    Some(if suffix == "/" && !url.ends_with('/') { String::new() } else { suffix.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{Card, offered};
    use crate::config::Config;
    use crate::protocol::{Binding, Version};
    use serde_json::{Value, json};

    fn read(prefix: &str, card: Value) -> Result<(Vec<String>, usize), String> {
        let config = json!({
            "schemes": {"open": {"none": {}}},
            "agents": [{"name": "x", "match": {"hosts": ["a.example"], "path_prefix": prefix}, "versions": "from_card",
                        "public_url": "https://a.example", "security": [{"open": []}],
                        "card": {"source": {"remote": {"uri": "http://127.0.0.1:9000/.well-known/agent-card.json", "cluster": "c"}}}}],
        });
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        let (offers, notices) = offered(&Card::from_value(card).unwrap(), &config.agents[0])?;
        let one = |version: &Version, binding: &Binding, path: &str| format!("{version} {binding} {path}");
        let list = offers.iter().flat_map(|(version, offer)| offer.bindings.iter().map(move |own| one(version, own, offer.path(*own))));
        Ok((list.collect(), notices.len()))
    }

    fn interface(url: &str, binding: &str, version: &str) -> Value {
        json!({"url": url, "protocolBinding": binding, "protocolVersion": version})
    }

    #[test]
    fn a_card_says_where_bindings_are() {
        let sample = json!({"supportedInterfaces": [
            interface("http://127.0.0.1:9000/a2a/jsonrpc", "JSONRPC", "1.0"),
            interface("http://127.0.0.1:9000/a2a/rest/", "HTTP+JSON", "1.0"),
            interface("https://a.example/old", "JSONRPC", "0.3.0"),
            interface("http://127.0.0.1:9001/other", "JSONRPC", "1.0"),
            interface("127.0.0.1:9002", "GRPC", "1.0"),
            interface("http://127.0.0.1:9000/x", "https://example.com/binding", "1.0"),
        ]});
        let expected = ["0.3 JSON-RPC /old", "1.0 JSON-RPC /a2a/jsonrpc", "1.0 HTTP+JSON /a2a/rest/"].map(str::to_owned).to_vec();
        assert_eq!(read("/", sample), Ok((expected, 2)));
        let legacy = json!({"url": "http://127.0.0.1:9000", "protocolVersion": "0.3.0",
            "additionalInterfaces": [{"url": "http://127.0.0.1:9000/", "transport": "HTTP+JSON"}]});
        assert_eq!(read("/", legacy), Ok((vec!["0.3 JSON-RPC ".to_owned(), "0.3 HTTP+JSON /".to_owned()], 0)));
        let below = json!({"supportedInterfaces": [interface("http://127.0.0.1:9000/agents/x/rpc", "JSONRPC", "1.0")]});
        assert_eq!(read("/agents/x", below.clone()), Ok((vec!["1.0 JSON-RPC /rpc".to_owned()], 0)));
        assert!(read("/agents/y", below).is_err());
    }

    #[test]
    fn what_is_no_plain_path_below_the_prefix_is_not_served() {
        for path in ["/a/../b", "/a?b=c", "/a%2Fb", "/a//b", "/.well-known/x"] {
            let card = json!({"supportedInterfaces": [interface(&format!("http://127.0.0.1:9000{path}"), "HTTP+JSON", "1.0")]});
            assert!(read("/", card).is_err(), "{path}");
        }
        let crossed = json!({"supportedInterfaces": [
            interface("http://127.0.0.1:9000/tasks", "JSONRPC", "1.0"), interface("http://127.0.0.1:9000", "HTTP+JSON", "1.0"),
        ]});
        assert!(read("/", crossed).unwrap_err().contains("is a route"));
    }
}

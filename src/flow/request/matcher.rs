//! Which agent or connection a request is for. Chosen as Envoy's router chooses: the host first (exact, longest
//! `*suffix`, longest `prefix*`, `*`), then the longest prefix of whole segments among what has that very entry of
//! `match.hosts`. There is no way back to a less exact entry, as there is none to another virtual host. Made once;
//! a look-up takes no longer however many agents there are.

use crate::config::{CardPlace, Config, HostPattern, Match, Ports, Unmatched};
use crate::flow::event::reason::Reason;
use crate::flow::event::target::Target;
use crate::flow::refusal::denial::Denial;
use crate::protocol::{Version, grpc};
use crate::wire::authority::Authority;
use crate::wire::fold::fold;
use crate::wire::path;
use crate::wire::sorted::{SortedMap, SortedSet};
use std::cell::{Cell, RefCell};

/// All of `match` in one configuration.
#[derive(Debug)]
pub struct Matcher {
    ports: Ports,
    unmatched: Unmatched,
    max_path_bytes: usize,
    exact: SortedMap<String, usize>,
    suffixes: Lengths,
    prefixes: Lengths,
    any: Option<usize>,
    /// By index.
    entries: Vec<Entry>,
    warnings: RefCell<Vec<String>>,
}

/// Wildcards by their length, the longest first.
type Lengths = Vec<(usize, SortedMap<String, usize>)>;

/// What one entry of `match.hosts` stands for: Envoy's virtual host.
#[derive(Debug, Default)]
struct Entry {
    /// By path prefix; `/` is the empty one.
    targets: SortedMap<String, Target>,
    /// Length of the longest prefix.
    longest: usize,
    /// The prefixes that are ambiguous to whoever does not know that they are meant byte for byte.
    literal: Vec<String>,
    /// Who takes gRPC calls, by version. Where one agent takes them, those of the other version are its to refuse.
    grpc: Vec<(Version, Target)>,
    /// Cards outside the prefixes of their agents, by path.
    cards: SortedMap<String, Vec<(CardPlace, Target)>>,
    /// The prefixes as the most tolerant reader sees them, with `unmatched: pass` only.
    folded: SortedSet<String>,
    /// Length of the longest of them.
    longest_folded: usize,
    /// Somebody came for another port, and the operator knows.
    warned: Cell<bool>,
}

impl Matcher {
    /// Prepares the rules of `config`.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut matcher = Self {
            ports: config.ports(),
            unmatched: config.unmatched,
            max_path_bytes: config.max_path_bytes,
            exact: SortedMap::new(),
            suffixes: Vec::new(),
            prefixes: Vec::new(),
            any: None,
            entries: Vec::new(),
            warnings: RefCell::default(),
        };
        for (index, agent) in config.agents.iter().enumerate() {
            matcher.add(&agent.target, agent.card.at.as_ref(), &agent.grpc_services(), Target::Agent(index));
            if config.unmatched == Unmatched::Pass && agent.target.path_prefix.as_str() == "/" {
                matcher.warnings.borrow_mut().push(format!(
                    "agents[{index}].match: {:?} has every path of its hosts, so unmatched: pass lets nothing through there",
                    agent.name
                ));
            }
        }
        for (index, connection) in config.connections.iter().enumerate() {
            matcher.add(&connection.target, None, &[], Target::Connection(index));
        }
        for (index, webhook) in config.webhooks.iter().enumerate() {
            matcher.add(&webhook.target, None, &[], Target::Webhook(index));
        }
        for lengths in [&mut matcher.suffixes, &mut matcher.prefixes] {
            lengths.sort_unstable_by_key(|(length, _)| std::cmp::Reverse(*length));
        }
        matcher
    }

    fn add(&mut self, rule: &Match, card: Option<&CardPlace>, services: &[Version], target: Target) {
        for pattern in &rule.hosts {
            let new = self.entries.len();
            let index = match pattern {
                HostPattern::Exact(name) => known_or(&mut self.exact, name, new),
                HostPattern::Suffix(text) => wildcard(&mut self.suffixes, text, new),
                HostPattern::Prefix(text) => wildcard(&mut self.prefixes, text, new),
                HostPattern::Any => *self.any.get_or_insert(new),
            };
            if index == new {
                self.entries.push(Entry::default());
            }
            let keeps_folds = self.unmatched == Unmatched::Pass;
            if let Some(entry) = self.entries.get_mut(index) {
                entry.add(rule, card, services, target, keeps_folds);
            }
        }
    }

    /// The entry of `match.hosts` that `host` belongs to, as Envoy finds a virtual host.
    fn entry(&self, host: &str) -> Option<&Entry> {
        let cut = |lengths: &Lengths, part: fn(&str, usize) -> Option<&str>| {
            // A wildcard stands for one character at least.
            let fitting = lengths.iter().filter(|(length, _)| *length < host.len());
            fitting.filter_map(|(length, texts)| texts.get(part(host, *length)?)).next().copied()
        };
        let index = self
            .exact
            .get(host)
            .copied()
            .or_else(|| cut(&self.suffixes, |host, length| host.get(host.len().saturating_sub(length)..)))
            .or_else(|| cut(&self.prefixes, |host, length| host.get(..length)))
            .or(self.any)?;
        self.entries.get(index)
    }

    fn entry_of(&self, authority: &Authority<'_>) -> Option<&Entry> {
        self.entry(match self.ports {
            Ports::Exact => authority.as_str(),
            Ports::Ignore => authority.host(),
        })
    }

    /// Whether requests with this authority may be for `target`, whatever their path.
    #[must_use]
    pub fn serves(&self, authority: &Authority<'_>, target: Target) -> bool {
        self.entry_of(authority).is_some_and(|entry| entry.targets.values().any(|own| *own == target))
    }

    /// What a request with `authority` is for; `target` is its `:path`, `path` the same without the query.
    ///
    /// # Errors
    /// If host or path of a request that may be for us could be read in two ways, or the path is too long.
    pub fn find(&self, authority: &Authority<'_>, target: &str, path: &str) -> Result<Option<Target>, Denial> {
        let entry = self.entry_of(authority);
        let without_dots = authority.without_dots();
        if without_dots.is_some_and(|plain| entry.or_else(|| self.entry_of(&plain)).or_else(|| self.entry(plain.host())).is_some()) {
            return Err(malformed("The host ends with a dot: send it without."));
        }
        // The same host on another port: ours to whoever wrote the configuration, but not to Envoy's routes.
        let elsewhere = if entry.is_none() && authority.has_port() { self.entry(authority.host()) } else { None };
        if target.len() > self.max_path_bytes && (entry.or(elsewhere).is_some() || self.unmatched == Unmatched::Refuse) {
            return Err(
                Denial::new(Reason::PathTooLong).advise(format!("The path is too long: send {} bytes at most.", self.max_path_bytes))
            );
        }
        let Some(entry) = entry else {
            let Some(entry) = elsewhere else { return Ok(None) };
            self.warn_of_port(entry, authority);
            return if self.unmatched == Unmatched::Pass && entry.resembles(path) { Err(Denial::new(Reason::Unmatched)) } else { Ok(None) };
        };
        if path::is_ambiguous(path) && entry.literal.iter().all(|prefix| path::is_ambiguous_below(path, prefix)) {
            return Err(malformed(
                "The path is ambiguous: send it without empty or dot segments, backslashes, semicolons, and escaped slashes, dots or \
                 control characters.",
            ));
        }
        let found = entry.find(path, path::split_query(target).1);
        if found.is_none() && self.unmatched == Unmatched::Pass && entry.resembles(path) {
            return Err(malformed("The path is nearly an agent's: send it exactly as the agent's card has it."));
        }
        // A less exact entry took the host because of its port, as Envoy's routes do.
        if found.is_none() && authority.has_port() && self.ports == Ports::Exact {
            let meant = self.entry(authority.host()).filter(|meant| !std::ptr::eq(*meant, entry) && meant.find(path, None).is_some());
            meant.into_iter().for_each(|meant| self.warn_of_port(meant, authority));
        }
        Ok(found)
    }

    /// Says once for each entry that nothing was found because of a port.
    fn warn_of_port(&self, meant: &Entry, authority: &Authority<'_>) {
        if !meant.warned.replace(true) {
            self.warnings.borrow_mut().push(format!(
                "a request for {:?} matches nothing because of its port alone: match.hosts has {:?}. Name the port there too, or set \
                 match.ports: ignore if Envoy's routes have ignore_port_in_host_matching",
                authority.as_str(),
                authority.host()
            ));
        }
    }

    /// What the operator should know and has not seen in the log.
    pub fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.borrow_mut())
    }
}

/// The index of the wildcard `text`, which is `new` if it was not there.
fn wildcard(lengths: &mut Lengths, text: &str, new: usize) -> usize {
    let known = lengths.iter().position(|(length, _)| *length == text.len());
    let place = known.unwrap_or_else(|| {
        lengths.push((text.len(), SortedMap::new()));
        lengths.len().saturating_sub(1)
    });
    lengths.get_mut(place).map_or(new, |(_, texts)| known_or(texts, text, new))
}

/// What `text` has in `texts`, which is `new` if it had nothing.
fn known_or(texts: &mut SortedMap<String, usize>, text: &str, new: usize) -> usize {
    texts.get(text).copied().unwrap_or_else(|| {
        texts.insert(text.to_owned(), new);
        new
    })
}

fn malformed(advice: &str) -> Denial {
    Denial::new(Reason::RequestMalformed).advise(advice)
}

/// `prefix` as the text before a segment's slash: nothing for `/`.
fn trimmed(prefix: &str) -> &str {
    prefix.strip_suffix('/').unwrap_or(prefix)
}

/// The beginnings of `path` that end with a whole segment and have at most `longest` bytes, the longest first; the last
/// one is empty.
fn beginnings(path: &str, longest: usize) -> impl Iterator<Item = &str> {
    let whole = (path.len() <= longest).then_some(path);
    let reach = path.len().min(longest.saturating_add(1));
    let slashes = path.bytes().enumerate().take(reach).rev().filter(|(_, byte)| *byte == b'/');
    whole.into_iter().chain(slashes.filter_map(|(end, _)| path.get(..end)))
}

/// `folded` without what the most tolerant reader leaves out: empty and dot segments, parameters, what `..` takes back.
fn plain(folded: &str) -> String {
    let mut plain = String::with_capacity(folded.len());
    for segment in folded.split(['/', '\\']).map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => plain.truncate(plain.rfind('/').unwrap_or_default()),
            other => {
                plain.push('/');
                plain.push_str(other);
            }
        }
    }
    plain
}

impl Entry {
    fn add(&mut self, rule: &Match, card: Option<&CardPlace>, services: &[Version], target: Target, keeps_folds: bool) {
        let prefix = trimmed(rule.path_prefix.as_str());
        self.longest = self.longest.max(prefix.len());
        self.targets.insert(prefix.to_owned(), target);
        if path::is_ambiguous(rule.path_prefix.as_str()) {
            self.literal.push(prefix.to_owned());
        }
        self.grpc.extend(services.iter().map(|version| (*version, target)));
        if let Some(place) = card {
            self.cards.change(place.path.clone(), |cards| cards.push((place.clone(), target)));
        }
        if keeps_folds {
            let services = rule.grpc.then_some(grpc::SERVICES).into_iter().flatten().map(trimmed);
            for folded in services.chain([prefix]).chain(card.map(|place| place.path.as_str())).filter_map(fold) {
                self.longest_folded = self.longest_folded.max(folded.len());
                self.folded.insert(folded);
            }
        }
    }

    /// What `path`, which is not ambiguous, is for. A gRPC call is for the agent that takes them, before any prefix.
    fn find(&self, path: &str, query: Option<&str>) -> Option<Target> {
        if let Some((_, target)) = self.cards.get(path).and_then(|cards| cards.iter().find(|(place, _)| place.is_asked_for(query))) {
            return Some(*target);
        }
        let grpc = grpc::version(path).and_then(|version| {
            let own = self.grpc.iter().find(|(own, _)| *own == version);
            own.or_else(|| self.grpc.first()).map(|(_, target)| *target)
        });
        grpc.or_else(|| beginnings(path, self.longest).find_map(|prefix| self.targets.get(prefix).copied()))
    }

    /// Whether some reader could take `path` for one below a prefix.
    fn resembles(&self, path: &str) -> bool {
        let Some(folded) = fold(path) else { return true };
        beginnings(&plain(&folded), self.longest_folded).any(|prefix| self.folded.contains(prefix))
    }
}

mod near;
#[cfg(test)]
mod walk;

#[cfg(test)]
mod tests {
    use super::{Matcher, Reason, Target};
    use crate::config::Config;
    use crate::wire::authority::Authority;
    use serde_json::{Value, json};

    /// A matcher of agents `(hosts, prefix)`.
    fn matcher(agents: &[(&[&str], &str)], more: &Value) -> Matcher {
        let agents = agents.iter().enumerate().map(|(index, (hosts, prefix))| {
            json!({"name": format!("a{index}"), "match": {"hosts": hosts, "path_prefix": prefix, "ports": more["ports"].as_str().unwrap_or("exact")},
                "versions": {"0.3": {"bindings": ["jsonrpc"]}}, "security": [{"open": []}]})
        });
        let unmatched = more["unmatched"].as_str().unwrap_or("refuse");
        let config = json!({"schemes": {"open": {"none": {}}}, "agents": agents.collect::<Vec<_>>(), "unmatched": unmatched});
        Matcher::new(&Config::parse(config.to_string().as_bytes()).unwrap())
    }

    /// The index of the agent, -1 for none, or the reason of a refusal.
    fn find(matcher: &Matcher, authority: &str, path: &str) -> Result<i32, &'static str> {
        match matcher.find(&Authority::parse(authority).unwrap(), path, path.split('?').next().unwrap()) {
            Ok(Some(Target::Agent(index) | Target::Connection(index) | Target::Webhook(index))) => Ok(i32::try_from(index).unwrap()),
            Ok(None) => Ok(-1),
            Err(denial) => Err(denial.reason.code()),
        }
    }

    #[test]
    fn the_host_decides_before_the_prefix() {
        let matcher = matcher(
            &[
                (&["*"], "/agents/x"),
                (&["b.test"], "/"),
                (&["*.test"], "/agents"),
                (&["*-c.test"], "/"),
                (&["b.*", "b.test:81"], "/agents/x/y"),
                (&["b.test"], "/agents"),
                (&["*.test"], "/agents/x"),
            ],
            &json!({}),
        );
        for (authority, path, expected) in [
            ("b.test", "/agents/x", 5),
            ("b.test", "/agent", 1),
            ("B.Test", "/", 1),
            ("a.test", "/agents/x", 6),
            ("a.test", "/agents/xy", 2),
            ("a.test", "/x", -1),
            ("a-c.test", "/agents/x", 3),
            ("b.other", "/agents/x", -1),
            ("b.other", "/agents/x/y/", 4),
            ("b.test:81", "/agents/x/y", 4),
            ("b.test:81", "/", -1),
            ("other", "/agents/x?y", 0),
            ("other", "/agents", -1),
            (".test", "/agents/x", 0),
        ] {
            assert_eq!(find(&matcher, authority, path), Ok(expected), "{authority}{path}");
        }
        assert_eq!(find(&matcher, "other", "/agents//x"), Err("request_malformed"));
    }

    #[test]
    fn ports_count_or_do_not() {
        let exact = matcher(&[(&["lax.test"], "/a"), (&["p.test:*"], "/a")], &json!({}));
        for (authority, expected) in [("lax.test", Ok(0)), ("lax.test:80", Ok(-1)), ("p.test:80", Ok(1)), ("p.test", Ok(-1))] {
            assert_eq!(find(&exact, authority, "/a"), expected, "{authority}");
        }
        let warned = exact.warnings();
        assert!(matches!(warned.as_slice(), [one] if one.contains("\"lax.test:80\"") && one.contains("match.ports")), "{warned:?}");
        assert_eq!((find(&exact, "lax.test:81", "/a"), exact.warnings().len()), (Ok(-1), 0), "once");
        let ignore = matcher(&[(&["lax.test", "[::1]"], "/a")], &json!({"ports": "ignore"}));
        for authority in ["lax.test", "lax.test:80", "[::1]:8080"] {
            assert_eq!(find(&ignore, authority, "/a"), Ok(0), "{authority}");
        }
    }

    #[test]
    fn a_dot_at_the_end_of_our_hosts_is_refused() {
        let some = matcher(&[(&["lax.test", "*.far.test"], "/a")], &json!({"unmatched": "pass"}));
        for (authority, expected) in [
            ("lax.test.", Err("request_malformed")),
            ("lax.test.:80", Err("request_malformed")),
            ("a.far.test.", Err("request_malformed")),
            ("other.test.", Ok(-1)),
        ] {
            assert_eq!(find(&some, authority, "/b"), expected, "{authority}");
        }
        assert_eq!(find(&matcher(&[(&["*"], "/a")], &json!({})), "other.test.", "/a"), Err("request_malformed"));
    }

    #[test]
    fn what_is_nearly_an_agents_does_not_pass() {
        let pass = matcher(&[(&["h"], "/agents/Expense"), (&["h"], "/hr"), (&["*"], "/x")], &json!({"unmatched": "pass"}));
        for near in [
            "/agents/expense",
            "/AGENTS/expense/x",
            "/agents%252FExpense",
            "/agents/%25%35%35xpense/../Expense",
            "/agents/Expense%20",
            "/agents/Expense%C2%85/x",
            "/agents/Expense%253Bx",
            "/a/%252E%252E/hr",
            "/HR",
            "/%2525252525252568r",
        ] {
            assert_eq!(find(&pass, "h", near), Err("request_malformed"), "{near}");
        }
        for far in ["/", "/agents", "/agents/expenses", "/hrx", "/a/hr", "/x", "/%C3%A9"] {
            assert_eq!(find(&pass, "h", far), Ok(-1), "{far}");
        }
        // On another port than Envoy's routes know, an agent's own path is one that is nearly the agent's.
        let single = matcher(&[(&["h"], "/hr")], &json!({"unmatched": "pass"}));
        assert_eq!((find(&single, "h:8080", "/hr"), find(&single, "h:8080", "/other")), (Err("unmatched"), Ok(-1)));
    }

    #[test]
    fn a_path_is_only_so_long() {
        let long = format!("/a?{}", "x".repeat(8190));
        let refuse = matcher(&[(&["h"], "/a")], &json!({}));
        assert_eq!(find(&refuse, "h", &long[..8192]), Ok(0));
        assert_eq!(find(&refuse, "h", &long), Err(Reason::PathTooLong.code()));
        assert_eq!(find(&refuse, "other", &long), Err(Reason::PathTooLong.code()));
        assert_eq!(find(&matcher(&[(&["h"], "/a")], &json!({"unmatched": "pass"})), "other", &long), Ok(-1));
    }

    /// Each host of a thousand agents is found by a handful of look-ups: there is one entry per host, and within it the
    /// prefixes of the path are looked up, not the agents walked.
    #[test]
    fn agents_that_have_nothing_to_do_with_a_request_cost_nothing() {
        let prefixes: Vec<String> = (0..1000).map(|index| format!("/agents/a{index}")).collect();
        let agents: Vec<(&[&str], &str)> = prefixes.iter().map(|prefix| (&["h"][..], prefix.as_str())).collect();
        let many = matcher(&agents, &json!({}));
        assert_eq!(many.entries.len(), 1);
        let deep = format!("/agents/a999{}", "/x".repeat(4000));
        assert_eq!(find(&many, "h", &deep), Ok(999));
        let tried = super::beginnings(&deep, many.entries[0].longest).count();
        assert_eq!(tried, 3, "no beginning longer than the longest prefix is tried");
    }
}

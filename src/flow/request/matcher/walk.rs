//! The index against a plain walk over all agents: both find the same, whatever the configuration and the request.

use super::{HostPattern, Matcher, Ports, Target, Unmatched, fold, path as paths, plain, trimmed};
use crate::config::Config;
use crate::wire::authority::Authority;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The index of the agent, -1 for none, or the reason of a refusal.
fn find(matcher: &Matcher, authority: &Authority<'_>, path: &str) -> Result<i32, &'static str> {
    match matcher.find(authority, path, path) {
        Ok(Some(Target::Agent(index) | Target::Connection(index) | Target::Webhook(index))) => Ok(i32::try_from(index).unwrap()),
        Ok(None) => Ok(-1),
        Err(denial) => Err(denial.reason.code()),
    }
}

/// What one walk over all agents says: which of their hosts fits best, then which of their prefixes.
fn walk(config: &Config, authority: &Authority<'_>, path: &str) -> Result<i32, &'static str> {
    fn rank(pattern: &HostPattern) -> (u8, usize) {
        match pattern {
            HostPattern::Exact(name) => (3, name.len()),
            HostPattern::Suffix(text) => (2, text.len()),
            HostPattern::Prefix(text) => (1, text.len()),
            HostPattern::Any => (0, 0),
        }
    }
    let all = || config.agents.iter().flat_map(|agent| &agent.target.hosts);
    let best = |host: &str| all().filter(|pattern| pattern.covers(host)).max_by_key(|pattern| rank(pattern));
    let of = |pattern: &HostPattern| -> Vec<(usize, String)> {
        let agents = config.agents.iter().enumerate().filter(|(_, agent)| agent.target.hosts.contains(pattern));
        agents.map(|(index, agent)| (index, agent.target.path_prefix.as_str().to_owned())).collect()
    };
    let resembles = |agents: &[(usize, String)]| match fold(path) {
        None => true,
        Some(folded) => {
            let path = plain(&folded);
            let covers = |(_, prefix): &(usize, String)| {
                let rest = path.strip_prefix(&fold(trimmed(prefix)).unwrap()).map(str::to_owned);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            agents.iter().any(covers)
        }
    };
    let passes = config.unmatched == Unmatched::Pass;
    let name = if config.ports() == Ports::Ignore { authority.host() } else { authority.as_str() };
    let Some(pattern) = best(name) else {
        let elsewhere = best(authority.host()).filter(|_| authority.has_port()).map(of);
        return if passes && elsewhere.is_some_and(|agents| resembles(&agents)) { Err("unmatched") } else { Ok(-1) };
    };
    let agents = of(pattern);
    if paths::is_ambiguous(path) && agents.iter().all(|(_, prefix)| paths::is_ambiguous_below(path, prefix)) {
        return Err("request_malformed");
    }
    let found = agents.iter().filter(|(_, prefix)| paths::strip_segments(path, prefix).is_some());
    match found.max_by_key(|(_, prefix)| trimmed(prefix).len()) {
        Some((index, _)) => Ok(i32::try_from(*index).unwrap()),
        None if passes && resembles(&agents) => Err("request_malformed"),
        None => Ok(-1),
    }
}

#[test]
fn the_index_finds_what_a_walk_over_all_agents_finds() {
    const HOSTS: [&str; 13] =
        ["a.test", "b.a.test", "*.test", "*.a.test", "*-a.test", "*a.test", "a.*", "b.*", "b.a.*", "*", "a.test:81", "a.test:*", "c-*"];
    const NAMES: [&str; 12] =
        ["a.test", "A.TEST", "b.a.test", "x-a.test", "c-a.test", "a.other", "b.a.other", "other", "a.test:81", "a.test:80", "b:1", "c-:81"];
    const PREFIXES: [&str; 10] = ["/", "/x", "/x/y", "/xy", "/x/y/z", "/X", "/y", "/y/x", "/x/y/z/x/y/z", "/y%2Fx"];
    const PATHS: [&str; 22] = [
        "/y%2Fx/z",
        "/y%2fx",
        "/y%2Fx//z",
        "/y%2Fx/%2F",
        "/",
        "/x",
        "/x/",
        "/x/y",
        "/x/yz",
        "/xy",
        "/xy/x",
        "/x/y/z",
        "/x/y/z/x/y/z/x",
        "/X/y",
        "/Y",
        "/x//y",
        "/x/./y",
        "/z/../x",
        "/%78",
        "/y%2Fx",
        "/x;a/y",
        "/z/y/x",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let (mut configs, mut seen) = (0, BTreeMap::<String, usize>::new());
    while configs < 500 {
        let count = 1 + random(12);
        let ports = ["exact", "ignore"][random(2)];
        let agents: Vec<_> = (0..count)
            .map(|index| {
                let hosts: BTreeSet<&str> = (0..=random(3)).map(|_| HOSTS[random(13)]).collect();
                json!({"name": format!("a{index}"), "match": {"hosts": hosts, "path_prefix": PREFIXES[random(10)], "ports": ports},
                    "versions": {"0.3": {"bindings": ["jsonrpc"]}}, "security": [{"open": []}]})
            })
            .collect();
        let unmatched = ["refuse", "pass"][random(2)];
        let text = json!({"schemes": {"open": {"none": {}}}, "agents": agents, "unmatched": unmatched});
        // Two agents in one place are no configuration.
        let Ok(config) = Config::parse(text.to_string().as_bytes()) else { continue };
        configs += 1;
        let matcher = Matcher::new(&config);
        for name in NAMES {
            for path in PATHS {
                let authority = Authority::parse(name).unwrap();
                let found = find(&matcher, &authority, path);
                assert_eq!(found, walk(&config, &authority, path), "{name}{path}: {text}");
                *seen.entry(found.map_or_else(str::to_owned, |index| (index >= 0).to_string())).or_default() += 1;
            }
        }
    }
    // Each outcome has had its turn.
    assert!(seen.len() == 4 && seen.values().all(|count| *count > 100), "{seen:?}");
}

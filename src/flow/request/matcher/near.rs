//! Which hosts and prefixes are near those of a request that nothing matches, for its record. Only a few are looked at.

use super::Matcher;
use crate::wire::authority::Authority;
use crate::wire::quoted::{list, text};

/// Most names that are looked at: a configuration can have thousands, and anyone can ask for what is not there.
const MAX_LOOKED_AT: usize = 64;
/// Most names that are shown.
const MAX_SHOWN: usize = 3;

impl Matcher {
    /// Why nothing has a request with `authority` for `path`.
    #[must_use]
    pub fn near(&self, authority: &Authority<'_>, path: &str) -> String {
        let host = text(authority.as_str());
        let Some(entry) = self.entry_of(authority) else {
            if authority.has_port() && self.entry(authority.host()).is_some() {
                return format!(
                    "host {host} is in no match.hosts, but {} is: name the port there, or see match.ports",
                    text(authority.host())
                );
            }
            let wild = |lengths: &super::Lengths, before: &str, behind: &str| -> Vec<String> {
                let texts = lengths.iter().flat_map(|(_, texts)| texts.keys()).take(MAX_LOOKED_AT);
                texts.map(|text| [before, text, behind].concat()).collect()
            };
            let mut names: Vec<String> = self.exact.keys().take(MAX_LOOKED_AT).cloned().collect();
            names.extend(wild(&self.suffixes, "*", ""));
            names.extend(wild(&self.prefixes, "", "*"));
            return format!("host {host} is in no match.hosts; near: {}", list(&nearest(names, authority.as_str())));
        };
        let prefixes = entry.targets.keys().take(MAX_LOOKED_AT);
        let prefixes = prefixes.map(|prefix| if prefix.is_empty() { "/".to_owned() } else { prefix.clone() }).collect();
        format!("host {host} is in match.hosts, but the path is below no path_prefix there; near: {}", list(&nearest(prefixes, path)))
    }
}

/// Those of `names` that look most like `text`.
fn nearest(names: Vec<String>, text: &str) -> Vec<String> {
    let mut ranked: Vec<(usize, String)> = names.into_iter().map(|name| (unlike(&name, text), name)).collect();
    ranked.sort();
    ranked.into_iter().take(MAX_SHOWN).map(|(_, name)| name).collect()
}

/// How many bytes of the longer one are neither in a beginning nor in an end that both have.
fn unlike(one: &str, other: &str) -> usize {
    let same = |pairs: &mut dyn Iterator<Item = (u8, u8)>| pairs.take_while(|(a, b)| a == b).count();
    let begin = same(&mut one.bytes().zip(other.bytes()));
    let end = same(&mut one.bytes().rev().zip(other.bytes().rev()));
    let shorter = one.len().min(other.len());
    one.len().max(other.len()).saturating_sub(begin.saturating_add(end).min(shorter))
}

#[cfg(test)]
mod tests {
    use super::super::Matcher;
    use crate::config::Config;
    use crate::wire::authority::Authority;
    use serde_json::json;

    fn near(hosts: &[&[&str]], authority: &str, path: &str) -> String {
        let agents = hosts.iter().enumerate().map(|(index, hosts)| {
            json!({"name": format!("a{index}"), "match": {"hosts": hosts, "path_prefix": format!("/agents/a{index}")},
                "versions": {"0.3": {"bindings": ["jsonrpc"]}}, "security": [{"open": []}]})
        });
        let config = json!({"schemes": {"open": {"none": {}}}, "agents": agents.collect::<Vec<_>>()});
        let matcher = Matcher::new(&Config::parse(config.to_string().as_bytes()).unwrap());
        matcher.near(&Authority::parse(authority).unwrap(), path)
    }

    #[test]
    fn what_is_near_is_named_first_and_a_few_are_enough() {
        let hosts: [&[&str]; 5] = [&["hr.example.com"], &["expense.example.com"], &["*.corp.test"], &["a.b", "x.*"], &["z"]];
        assert_eq!(
            near(&hosts, "expense.exmaple.com", "/"),
            r#"host "expense.exmaple.com" is in no match.hosts; near: ["expense.example.com", "hr.example.com", "*.corp.test"]"#
        );
        assert_eq!(
            near(&hosts, "z:8080", "/agents/a4"),
            r#"host "z:8080" is in no match.hosts, but "z" is: name the port there, or see match.ports"#
        );
        assert_eq!(
            near(&hosts, "z", "/agent/a4"),
            r#"host "z" is in match.hosts, but the path is below no path_prefix there; near: ["/agents/a4"]"#
        );
        let names: Vec<String> = (0..1000).map(|index| format!("h{index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let many: Vec<&[&str]> = names.iter().map(std::slice::from_ref).collect();
        let said = near(&many, &"y".repeat(200), "/");
        assert!(said.len() < 200 && said.ends_with(r#"near: ["h0", "h1", "h10"]"#), "{said}");
        let said = near(&many, "h9999", "/");
        assert!(!said.contains("\"h999\""), "it is behind those that are looked at: {said}");
    }
}

//! Checks of what stands around the filter's configuration: what Envoy, Istio and Envoy Gateway must say for it to work and to guard.

mod bootstrap;
mod capabilities;
mod envoy;
mod gateway;
mod istio;

use crate::finding::{Finding, Severity};
use crate::plugin::{Plugin, head};
use crate::site::{Form, Site};
use crate::tree::{Kind, Node};
use attache::config::{Config, Ports, Secret};

/// A place of the filter, with its configuration.
struct Around<'a> {
    site: &'a Site<'a>,
    plugin: &'a Plugin,
    config: &'a Config,
    findings: Vec<Finding>,
}

/// What is wrong around the configuration of the filter at `site`, which is in one of `documents`.
pub fn check(site: &Site<'_>, plugin: &Plugin, config: &Config, documents: &[Node]) -> Vec<Finding> {
    let mut around = Around { site, plugin, config, findings: Vec::new() };
    match site.form {
        Form::Envoy => {
            envoy::check(&mut around);
            bootstrap::check(&mut around);
        }
        Form::WasmPlugin => istio::check(&mut around),
        Form::ExtensionPolicy => gateway::check(&mut around, documents),
    }
    around.findings
}

/// A value with its place in the document.
#[derive(Clone, Copy)]
struct Here<'n> {
    node: &'n Node,
    place: &'n str,
}

impl Around<'_> {
    /// Something about a member of `here`, or about `here` if that has no such member. The message names the member alone: the way to it
    /// is long, and the excerpt shows where it is.
    fn tell(&mut self, severity: Severity, here: Here<'_>, member: &str, message: &str, help: &str) {
        let place = if here.place.is_empty() { member.to_owned() } else { format!("{}.{member}", here.place) };
        let reached = here.node.reach(member);
        let span = match (&reached.node.kind, reached.member) {
            (Kind::Scalar(_), _) => reached.node.span.clone(),
            (_, Some(found)) => found.span.clone(),
            (_, None) => self
                .site
                .chain
                .iter()
                .rev()
                .find_map(|link| link.member.filter(|found| std::ptr::eq(&raw const found.value, here.node)))
                .map_or_else(|| head(here.node), |found| found.span.clone()),
        };
        self.findings.push(Finding { severity, message: format!("{member}: {message}"), place, help: Some(help.to_owned()), span });
    }

    /// Something about a place of the filter's configuration.
    fn tell_of_plugin(&mut self, severity: Severity, place: &str, message: &str, help: &str) {
        let span = self.plugin.span(place);
        let message = format!("{place}: {message}");
        self.findings.push(Finding { severity, place: place.to_owned(), message, help: Some(help.to_owned()), span });
    }

    /// Routes that are generated look at no port: `match.ports` must not either.
    fn generated_routes(&mut self, whose: &str) {
        if self.config.ports() != Ports::Exact {
            return;
        }
        let kind = if self.config.agents.is_empty() { "connections" } else { "agents" };
        let message = format!(
            "is \"exact\", and {whose} routes ignore ports: with a port in the host Envoy has a route, and the filter no agent (404 unmatched)"
        );
        self.tell_of_plugin(Severity::Warning, &format!("{kind}[0].match.ports"), &message, "write \"ports\": \"ignore\" in each match");
    }

    /// Headers that are held where nothing asks Envoy to hold them.
    fn cannot_hold(&mut self, kind: &str, help: &str) {
        let message = format!(
            "must be false: {kind} cannot ask Envoy to hold headers, so every request with a body is answered 500 headers_not_held"
        );
        self.tell_of_plugin(Severity::Error, "hold_headers", &message, help);
    }

    /// Secrets that come from the environment and are not among the variables that Envoy passes. The variables' names are not told:
    /// somebody may have written the secret itself there.
    fn variables(&mut self, passed: &[&str], help: &str) {
        let missing = self.config.secrets().iter().filter_map(|(name, secret)| match secret {
            Secret::Env(variable) if !passed.contains(&variable.as_str()) => Some(format!("secrets.{}.env", crate::tree::step(name))),
            _ => None,
        });
        for place in missing.collect::<Vec<_>>() {
            self.tell_of_plugin(Severity::Error, &place, "Envoy does not pass this environment variable to the filter", help);
        }
    }
}

/// The texts in a list.
fn texts(list: Option<&Node>) -> Vec<&str> {
    list.map(Node::elements).unwrap_or_default().iter().filter_map(Node::text).collect()
}

//! The checks of a whole configuration, in the order in which their errors are reported.

use super::target::Places;
use super::{Config, ConfigError, CredentialsInMessages, Ports, issuer, voucher, waiting};
use crate::wire::sorted::SortedSet;
use crate::wire::{header, steering};

impl Config {
    /// Checks all of it; answers what ports mean to every `match`.
    pub(super) fn check(&self) -> Result<Ports, ConfigError> {
        if self.agents.is_empty() && self.connections.is_empty() && self.webhooks.is_empty() {
            return Err(ConfigError::new("", "give at least one of agents, connections or webhooks"));
        }
        unique("issuers", "name", self.issuers.iter().map(|issuer| issuer.name.as_str()))?;
        issuer::unique(&self.issuers)?;
        unique("agents", "name", self.agents.iter().map(|agent| agent.name.as_str()))?;
        unique("webhooks", "name", self.webhooks.iter().map(|webhook| webhook.name.as_str()))?;
        unique("connections", "name", self.connections.iter().map(|connection| connection.name.as_str()))?;
        for (index, name) in self.keep_headers.iter().enumerate() {
            if !header::is_name(name) || !steering::is_steering(name) {
                return Err(ConfigError::new(format!("keep_headers[{index}]"), "is none of the x-envoy- headers that can be kept"));
            }
        }
        for (index, issuer) in self.issuers.iter().enumerate() {
            issuer.check(&format!("issuers[{index}]"), &self.secrets.0)?;
        }
        for (name, scheme) in &self.schemes.0 {
            scheme.check(&format!("schemes.{name}"), &self.issuers, &self.secrets.0)?;
        }
        voucher::unique(&self.issuers, &self.schemes.0)?;
        if let Some(trace) = &self.debug {
            trace.check("debug", &self.issuers, &self.schemes.0)?;
        }
        if !(128..=65536).contains(&self.max_path_bytes) {
            return Err(ConfigError::new("max_path_bytes", "must be 128 to 65536"));
        }
        let mut places = Places::default();
        waiting::check("", self.max_waiting)?;
        for (index, agent) in self.agents.iter().enumerate() {
            let path = format!("agents[{index}]");
            agent.check(&path, &self.schemes.0, &self.issuers)?;
            agent.tasks.check(&format!("{path}.tasks"), &self.secrets.0, agent.skill_from.as_ref())?;
            agent.target.check(&format!("{path}.match"), &agent.grpc_services(), &mut places)?;
        }
        for (index, connection) in self.connections.iter().enumerate() {
            let path = format!("connections[{index}]");
            connection.check_notifications(&path, self)?;
            connection.check(&path, &self.secrets.0, &self.issuers)?;
            if let Some(push) = &connection.push {
                push.check(&format!("{path}.push"), self.hold_headers, &self.secrets.0)?;
            }
            if connection.credentials_in_messages == Some(CredentialsInMessages::Refuse) && !self.hold_headers {
                let reason = "refuse needs hold_headers: true: a message is read before it leaves";
                return Err(ConfigError::of(&path, "credentials_in_messages", reason));
            }
            connection.check_callers(&path, &self.schemes.0, &self.issuers)?;
            connection.target.check(&format!("{path}.match"), &[], &mut places)?;
            connection.keep.check_kept(&format!("{path}.keep"), &self.credential_headers(), &self.credential_parameters())?;
        }
        for (index, webhook) in self.webhooks.iter().enumerate() {
            let path = format!("webhooks[{index}]");
            webhook.check(&path, self)?;
            webhook.target.check(&format!("{path}.match"), &[], &mut places)?;
        }
        for (name, secret) in &self.secrets.0 {
            secret.check(&format!("secrets.{name}"), self.allow_inline_secrets, &self.secrets.0)?;
        }
        let ports = places.ports();
        for (index, agent) in self.agents.iter().enumerate() {
            agent.target.check_ports(&format!("agents[{index}].match"), ports)?;
            if let Some(place) = &agent.card.at {
                agent.target.check_card(&format!("agents[{index}].card.at"), place, &mut places)?;
            }
        }
        for (index, connection) in self.connections.iter().enumerate() {
            connection.target.check_ports(&format!("connections[{index}].match"), ports)?;
        }
        for (index, webhook) in self.webhooks.iter().enumerate() {
            webhook.target.check_ports(&format!("webhooks[{index}].match"), ports)?;
        }
        self.check_published()?;
        self.check_user_passthrough()?;
        Ok(ports)
    }
}

/// Errs on the first of `values` that was there before.
fn unique<'a>(list: &str, member: &str, values: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = SortedSet::new();
    for (index, value) in values.enumerate() {
        let path = || format!("{list}[{index}].{member}");
        if value.is_empty() {
            return Err(ConfigError::new(path(), "must not be empty"));
        }
        if !seen.insert(value) {
            return Err(ConfigError::new(path(), format!("{value:?} is used twice")));
        }
    }
    Ok(())
}

//! Opens a configuration to ask it something: the filter as Envoy would start it, with what is at hand here.

use crate::board::remembering;
use crate::check;
use crate::finding::Checked;
use crate::mask::Mask;
use crate::plugin::Plugin;
use crate::report;
use attache::config::{AssertionAlgorithm, Config, ConfigError, Jwks, Secret};
use attache::credential::secrets::Secrets;
use attache::credential::signing::Signer;
use attache::flow::Runtime;
use attache::flow::event::target::Target;
use attache::identity::der;
use attache::wire::time::UnixTime;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Stands in for secrets that are not here: nothing that is attached is shown anyway.
pub const STAND_IN: &str = "stand-in-for-a-secret-that-is-not-here";

/// Which configuration is asked, and when.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration: any file that `attache check` takes
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Which filter of the file, if there are several: 1 is the first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub plugin: Option<u64>,
}

/// When it is.
#[derive(Clone, Copy, Debug, Args)]
pub struct TimeArgs {
    /// The time to judge at, in seconds since 1970; now, if it is left out
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
}

impl TimeArgs {
    /// The time to judge at.
    pub fn now(self) -> UnixTime {
        match self.at {
            Some(seconds) => UnixTime::from_secs(seconds),
            None => UnixTime::new(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)),
        }
    }
}

/// The filter, ready to be asked.
#[derive(Debug)]
pub struct Opened {
    /// It.
    pub runtime: Runtime,
    /// The secrets for which something else stands in.
    stand_ins: Vec<String>,
}

impl Opened {
    /// What is not as it would be in Envoy, for requests to this agent or connection.
    pub fn notes(&self, target: Option<Target>) -> Vec<String> {
        let config = self.runtime.config();
        let of_issuers = config.issuers.iter().any(|issuer| matches!(issuer.jwks, Jwks::SharedSecret(_)));
        let are_used = match target {
            Some(Target::Connection(_) | Target::Webhook(_)) => true,
            Some(Target::Agent(index)) => of_issuers || config.agents.get(index).is_some_and(|agent| agent.tasks.owned().is_some()),
            None => false,
        };
        let note = |name: &String| format!("secrets.{name}: its variable is not set here; something else stands in for it");
        self.stand_ins.iter().filter(|_| are_used).map(note).collect()
    }
}

/// Signs in the place of Envoy. What it signs goes nowhere.
#[derive(Debug)]
struct StandInSigner;

impl Signer for StandInSigner {
    fn is_there(&self) -> bool {
        true
    }

    fn sign(&self, algorithm: AssertionAlgorithm, _: &SecretString, _: &[u8]) -> Result<Vec<u8>, String> {
        match algorithm {
            AssertionAlgorithm::RS256 => Ok(vec![1; 256]),
            AssertionAlgorithm::ES256 => der::ecdsa_signature(&[1; 64], 32).ok_or_else(|| "there is no signature".to_owned()),
        }
    }
}

/// The text of a file, and what it is called; `-` is standard input.
///
/// # Errors
/// If it cannot be read, or is no text.
pub fn read(file: &Path) -> Result<(String, String), String> {
    let is_input = file.as_os_str() == "-";
    let name = if is_input { "standard input".to_owned() } else { file.display().to_string() };
    let mut bytes = Vec::new();
    let result =
        if is_input { std::io::stdin().read_to_end(&mut bytes).map(drop) } else { std::fs::read(file).map(|content| bytes = content) };
    result.map_err(|error| format!("{name}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{name}: this is no text in UTF-8"))?;
    Ok((name, text))
}

impl ConfigArgs {
    /// Opens it. Each decision then leaves a record that says everything; no decision depends on that.
    ///
    /// # Errors
    /// What is wrong with it, as `attache check` tells it.
    pub fn open(&self) -> Result<Opened, String> {
        let (name, source) = read(&self.config)?;
        let plugins = check::plugins(&source);
        let place = self.plugin.map_or(0, |number| usize::try_from(number).unwrap_or(usize::MAX) - 1);
        let Some(plugin) = plugins.get(place) else {
            return Err(format!("{name}: there are {} configurations of the filter in this file", plugins.len()));
        };
        let mut mask = Mask::new(&source);
        let (runtime, findings) = plugin.judge(&mut mask);
        if runtime.is_none() {
            let shown = mask.shown();
            let checked = Checked { file: name, source, shown, plugins: Vec::new(), findings };
            return Err(format!("the configuration is refused\n\n{}", report::text(&checked).trim_end()));
        }
        opened(plugin).map_err(|error| format!("{name}: {error}"))
    }
}

fn opened(plugin: &Plugin) -> Result<Opened, ConfigError> {
    let mut document: Value = serde_json::from_str(plugin.json()).unwrap_or_default();
    document["audit"] = json!({"level": "all", "log_level": "warn", "subject": "plain", "filter_state": true});
    let config = Config::parse(document.to_string().as_bytes())?;
    let (mut secrets, mut stand_ins) = (Secrets::default(), Vec::new());
    for (name, secret) in config.secrets() {
        let value = match secret {
            Secret::Env(variable) => std::env::var(variable).ok(),
            Secret::Inline(value) => Some(value.expose_secret().to_owned()),
            // It is fetched when it is needed.
            Secret::Http(_) => continue,
        };
        if value.is_none() {
            stand_ins.push(name.clone());
        }
        secrets.insert(name, Some(value.unwrap_or_else(|| STAND_IN.to_owned())));
    }
    // No text: whether the keys at hand can sign is not asked of stand-ins.
    let runtime = Runtime::new(config, secrets)?.signing_with(Rc::new(StandInSigner), b"{}")?;
    Ok(Opened { runtime: remembering(runtime), stand_ins })
}

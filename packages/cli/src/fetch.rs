//! What the filter would fetch, from files: nothing is called over a network.

use crate::board::Alone;
use crate::open::{STAND_IN, read};
use attache::config::{Config, Discovery, Jwks, Secret};
use attache::flow::supply::desk::{Arrived, Desk, Errand, With};
use attache::flow::{Call, Runtime, Value as HeaderValue, Want};
use attache::wire::header::Headers;
use attache::wire::time::UnixTime;
use clap::Args;
use serde_json::json;
use std::collections::VecDeque;
use std::path::Path;

/// Files in the place of what is fetched.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Keys of an issuer: its JWK Set
    #[arg(long, value_name = "ISSUER=FILE")]
    keys: Vec<String>,
    /// The card of an agent or of a connection
    #[arg(long, value_name = "NAME=FILE")]
    card: Vec<String>,
    /// What the introspection endpoint says of the token
    #[arg(long, value_name = "FILE")]
    introspection: Option<String>,
}

/// What those files hold.
#[derive(Debug, Default)]
pub struct Files {
    keys: Vec<(String, String)>,
    cards: Vec<(String, String)>,
    introspection: Option<String>,
}

impl FetchArgs {
    /// Reads the files.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read(&self) -> Result<Files, String> {
        let named = |list: &[String], what: &str| -> Result<Vec<(String, String)>, String> {
            let one = |entry: &String| {
                let (name, file) = entry.split_once('=').ok_or_else(|| format!("--{what} {entry}: write a name, = and a file"))?;
                Ok((name.to_owned(), read(Path::new(file))?.1))
            };
            list.iter().map(one).collect()
        };
        Ok(Files {
            keys: named(&self.keys, "keys")?,
            cards: named(&self.card, "card")?,
            introspection: self.introspection.as_ref().map(|file| read(Path::new(file))).transpose()?.map(|(_, text)| text),
        })
    }
}

impl Files {
    /// Gives `runtime` what it wants, and answers with what the filter writes to its log meanwhile.
    ///
    /// # Errors
    /// If no file has it.
    pub fn give(&self, want: Want, runtime: &Runtime, now: UnixTime) -> Result<Vec<String>, String> {
        let with = With { supply: runtime.supply(), board: &Alone, now };
        let mut desk: Desk<()> = Desk::default();
        let (mut errands, mut log) = (Vec::new(), Vec::new());
        desk.fetch(want, &with, &mut errands);
        let mut errands = VecDeque::from(errands);
        while let Some(errand) = errands.pop_front() {
            match errand {
                Errand::Send(want, call) => {
                    let body = self.answer(want, &call, runtime.config())?;
                    let headers = Headers::new(vec![
                        (":status".to_owned(), b"200".to_vec()),
                        ("content-type".to_owned(), b"application/json".to_vec()),
                    ]);
                    let arrived = Arrived { headers: &headers, body: body.as_bytes(), size: body.len() };
                    errands.extend(desk.answered(want, &arrived, &with));
                }
                Errand::Log(_, text) => log.push(text),
                Errand::Count(_) | Errand::Record(..) => {}
            }
        }
        Ok(log)
    }

    /// The card in a file of this name.
    pub fn card(&self, name: &str) -> Option<&str> {
        self.cards.iter().find(|(own, _)| own == name).map(|(_, text)| text.as_str())
    }

    fn answer(&self, want: Want, call: &Call, config: &Config) -> Result<String, String> {
        let needed =
            |what: &str, option: &str| Err(format!("{what} needed, which Envoy would fetch from {}: give it with {option}", target(call)));
        let find = |files: &[(String, String)], name: &str| files.iter().find(|(own, _)| own == name).map(|(_, text)| text.clone());
        match want {
            Want::Keys(index) => {
                let Some(issuer) = config.issuers.get(index) else { return Ok(String::new()) };
                match (&issuer.jwks, find(&self.keys, &issuer.name)) {
                    (Jwks::Discovery(discovery), Some(_)) if path(call) == discovery.uri.path() => Ok(described(&issuer.issuer, discovery)),
                    (_, Some(keys)) => Ok(keys),
                    (_, None) => needed(&format!("the keys of issuer {:?} are", issuer.name), &format!("--keys {}=FILE", issuer.name)),
                }
            }
            Want::Card(index) => {
                let name = config.agents.get(index).map(|agent| agent.name.clone()).unwrap_or_default();
                find(&self.cards, &name)
                    .map_or_else(|| needed(&format!("the card of agent {name:?} is"), &format!("--card {name}=FILE")), Ok)
            }
            Want::RemoteCard(index) => {
                let name = config.connections.get(index).map(|connection| connection.name.clone()).unwrap_or_default();
                find(&self.cards, &name)
                    .map_or_else(|| needed(&format!("the card of connection {name:?} is"), &format!("--card {name}=FILE")), Ok)
            }
            Want::Introspection(_) => self
                .introspection
                .clone()
                .map_or_else(|| needed("what the authorization server says of the token is", "--introspection FILE"), Ok),
            Want::Secret(index) => Ok(secret(config.secrets().values().nth(index))),
            // Nobody has agreed to anything.
            Want::Grant(_) | Want::Server(_) | Want::Job(_) => Ok("{}".to_owned()),
            Want::Token(_) => Ok(json!({"access_token": STAND_IN, "token_type": "Bearer", "expires_in": 3600}).to_string()),
        }
    }
}

/// The metadata of an issuer whose keys are in a file: as much of it as is read.
fn described(issuer: &str, discovery: &Discovery) -> String {
    let keys = format!("{}://{}/keys", discovery.uri.scheme(), discovery.uri.authority());
    json!({"issuer": issuer, "jwks_uri": keys}).to_string()
}

/// A document in which a stand-in is where the secret should be.
fn secret(secret: Option<&Secret>) -> String {
    let Some(Secret::Http(document)) = secret else { return STAND_IN.to_owned() };
    match &document.json_pointer {
        None => STAND_IN.to_owned(),
        Some(pointer) => {
            let unescaped = |name: &str| name.replace("~1", "/").replace("~0", "~");
            let names: Vec<String> = pointer.split('/').skip(1).map(unescaped).collect();
            names.iter().rev().fold(json!(STAND_IN), |inner, name| json!({ name: inner })).to_string()
        }
    }
}

fn header<'c>(call: &'c Call, name: &str) -> &'c str {
    call.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| match value {
        HeaderValue::Text(text) => text,
        HeaderValue::Secret(_) => "",
    })
}

fn path(call: &Call) -> &str {
    header(call, ":path")
}

fn target(call: &Call) -> String {
    format!("{}://{}{}", header(call, ":scheme"), header(call, ":authority"), path(call))
}

//! `attache init`: asks six questions, or takes flags, and writes an Envoy configuration in which the filter guards one agent.

mod yaml;

use crate::check;
use crate::finding::Severity;
use crate::page::Page;
use crate::report;
use attache::identity::secret_digest::digest;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What `attache init` takes. What is left out is asked for.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// What the agent is called in logs and statistics
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// Where Envoy reaches the agent
    #[arg(long, value_name = "URL")]
    agent: Option<Url>,
    /// Where clients reach Envoy
    #[arg(long, value_name = "URL")]
    public_url: Option<Url>,
    /// The port that Envoy listens on
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// What callers show
    #[arg(long, value_enum, value_name = "WHAT")]
    callers: Option<Callers>,
    /// With keys: the client that the first key belongs to
    #[arg(long, value_name = "NAME")]
    client: Option<Name>,
    /// With tokens: their issuer, as their claim iss has it
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// With tokens: the audience that they must be for; the public URL, if it is left out
    #[arg(long, value_name = "AUDIENCE")]
    audience: Option<String>,
    /// With keys: the file of the key. One that is not there is written, with a new key
    #[arg(long, value_name = "FILE", default_value = "attache.key")]
    key_file: PathBuf,
    /// Where Envoy finds the module
    #[arg(long, value_name = "FILE", default_value = "attache.wasm")]
    module: String,
    /// The file to write; it must not be there
    #[arg(long, short, value_name = "FILE", default_value = "envoy.yaml")]
    output: PathBuf,
}

/// What callers show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Callers {
    /// API keys in the header x-api-key
    Keys,
    /// Access tokens of an authorization server
    Tokens,
}

impl FromStr for Callers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, true).map_err(|_| "write keys or tokens".to_owned())
    }
}

impl Display for Callers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Keys => "keys",
            Self::Tokens => "tokens",
        })
    }
}

/// A name of letters, digits, `-` and `_`.
#[derive(Clone, Debug)]
pub(super) struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if is_plain { Ok(Self(text.to_owned())) } else { Err("a name has letters, digits, and - _ .".to_owned()) }
    }
}

impl Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `http://host:port` or `https://host`, without a path.
#[derive(Clone, Debug)]
pub(super) struct Url {
    tls: bool,
    host: String,
    port: Option<u16>,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a URL here is http:// or https://, a host and a port if need be, without a path".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(wrong()),
        };
        let (host, port) = match rest.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (rest, None),
        };
        let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte));
        if is_host { Ok(Self { tls, host: host.to_ascii_lowercase(), port }) } else { Err(wrong()) }
    }
}

impl Display for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}://{}", if self.tls { "https" } else { "http" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

impl Url {
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host == "127.0.0.1"
    }
}

/// All that the file needs.
#[derive(Debug)]
pub(super) struct Answers {
    name: Name,
    agent: Url,
    public: Url,
    port: u16,
    proof: Proof,
    module: String,
}

/// How callers prove who they are.
#[derive(Debug)]
pub(super) enum Proof {
    /// The digest of the first key, and whose it is.
    Key {
        client: Name,
        digest: String,
    },
    Token {
        issuer: String,
        server: Url,
        audience: String,
    },
}

/// Asks, writes, and says what comes next.
///
/// # Errors
/// If an answer cannot be used, or a file not written.
pub fn init(args: &InitArgs) -> Result<Page, String> {
    if args.output.exists() {
        return Err(format!("{} is there already: name another file with --output", args.output.display()));
    }
    let name = ask("What is the agent called in logs and statistics?", args.name.clone(), Name("agent".to_owned()))?;
    let agent =
        ask("Where does Envoy reach the agent?", args.agent.clone(), Url { tls: false, host: "127.0.0.1".to_owned(), port: Some(9000) })?;
    let port = ask("Which port does Envoy listen on?", args.port, 8080)?;
    let usual = Url { tls: false, host: "127.0.0.1".to_owned(), port: Some(port) };
    let public = ask("Where do clients reach Envoy?", args.public_url.clone(), usual)?;
    let callers = ask("What do callers show: keys or tokens?", args.callers, Callers::Keys)?;
    let mut page = Page::default();
    let proof = match callers {
        Callers::Keys => {
            let client = ask("Which client does the first key belong to?", args.client.clone(), Name("me".to_owned()))?;
            let (digest, is_new) = key(&args.key_file)?;
            if is_new {
                page.mark(true, &format!("{}: a new key for {client}, for your eyes only", args.key_file.display()));
            }
            Proof::Key { client, digest }
        }
        Callers::Tokens => {
            let usual = "https://auth.example.com".to_owned();
            let issuer = ask("Who issues the tokens (their claim iss)?", args.issuer.clone(), usual)?;
            let end = issuer.find("://").and_then(|at| issuer.get(at + 3..)?.find('/').map(|slash| at + 3 + slash)).unwrap_or(issuer.len());
            let server = issuer.get(..end).unwrap_or_default().parse().map_err(|error| format!("the issuer {issuer}: {error}"))?;
            Proof::Token { issuer, server, audience: args.audience.clone().unwrap_or_else(|| public.to_string()) }
        }
    };
    let answers = Answers { name, agent, public, port, proof, module: args.module.clone() };
    let text = yaml::text(&answers);
    let checked = check::check(&args.output.display().to_string(), &text);
    if checked.count(Severity::Error) > 0 {
        return Err(format!("what these answers give is refused\n\n{}", report::text(&checked)));
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.output)
        .map_err(|error| format!("{}: {error}", args.output.display()))?;
    file.write_all(text.as_bytes()).map_err(|error| format!("{}: {error}", args.output.display()))?;
    page.mark(true, &format!("{}: Envoy's configuration, with the filter's in it", args.output.display()));
    next(&answers, args, &mut page);
    page.json("output", json!(args.output));
    Ok(page)
}

/// What comes next.
fn next(answers: &Answers, args: &InitArgs, page: &mut Page) {
    let (output, module) = (args.output.display(), &args.module);
    page.heading("next");
    page.text(&format!("put the module at {module}: make build, then copy target/attache.wasm"));
    page.text(&format!("envoy -c {output}"));
    let card = format!("{}/.well-known/agent-card.json", answers.public);
    page.text(&format!("curl {card}"));
    if matches!(answers.proof, Proof::Key { .. }) {
        page.text(&format!("callers send the key: curl -H \"x-api-key: $(cat {})\" …", args.key_file.display()));
    }
    if answers.public.tls {
        page.text("clients come over TLS: end it in front of this Envoy, or give its listener a transport_socket with your certificate");
    }
    if matches!(&answers.proof, Proof::Token { server, .. } if server.tls) || answers.agent.tls {
        page.text("the CA file in the clusters is that of Debian: write the one of your system");
    }
}

/// The answer that a flag gives, or the next line of standard input. An empty line, or none, takes the usual one.
fn ask<T: FromStr + Display>(question: &str, flag: Option<T>, usual: T) -> Result<T, String>
where
    T::Err: Display,
{
    if let Some(given) = flag {
        return Ok(given);
    }
    let _ = write!(std::io::stderr(), "{question} [{usual}] ");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("standard input: {error}"))?;
    if line.is_empty() {
        let _ = writeln!(std::io::stderr());
    }
    match line.trim() {
        "" => Ok(usual),
        answer => answer.parse().map_err(|error| format!("{answer}: {error}")),
    }
}

/// The digest of the key in `file`, which is made if it is not there; and whether it was.
fn key(file: &Path) -> Result<(String, bool), String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", file.display());
    let (key, is_new) = match std::fs::read_to_string(file) {
        Ok(key) => (key.trim().to_owned(), false),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut random = [0_u8; 16];
            std::fs::File::open("/dev/urandom")
                .and_then(|mut source| source.read_exact(&mut random))
                .map_err(|error| format!("/dev/urandom: {error}"))?;
            let key = hexadecimal(&random);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            options.open(file).and_then(|mut file| writeln!(file, "{key}")).map_err(wrong)?;
            (key, true)
        }
        Err(error) => return Err(wrong(error)),
    };
    let digest = digest(key.as_bytes()).filter(|_| !key.is_empty());
    Ok((hexadecimal(&digest.ok_or_else(|| format!("{}: this is no key", file.display()))?), is_new))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn urls_have_a_host_and_nothing_behind_it() {
        for (text, port) in
            [("http://a", 80), ("https://A.example/", 443), ("http://127.0.0.1:9000", 9000), ("http://[::1]:9", 9), ("http://[::1]", 80)]
        {
            let url: Url = text.parse().unwrap();
            assert_eq!(url.port(), port, "{text}");
            assert_eq!(url.to_string(), text.to_ascii_lowercase().trim_end_matches('/'));
        }
        for text in ["a", "ftp://a", "http://", "http://a/b", "http://a?b", "http://a:b", "http://u@a", "http://a b"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}

//! The command line: what can be asked for, and with which status each command ends.

use crate::card::CardArgs;
use crate::explain::ExplainArgs;
use crate::finding::{Checked, Severity};
use crate::hash_key::HashKeyArgs;
use crate::init::InitArgs;
use crate::open::read;
use crate::page::Page;
use crate::token::TokenArgs;
use crate::{card, check, explain, hash_key, init, report, token};
use attache::config::schema::Document;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde_json::{Value, json};
use std::path::PathBuf;

/// The companion of Attaché, the filter that secures A2A traffic in Envoy.
///
/// It decides with the filter's own code, needs no Envoy and calls nothing over a network.
#[derive(Debug, Parser)]
#[command(name = "attache", version, arg_required_else_help = true, after_help = STATUS)]
pub struct Cli {
    /// When to use colours; auto: on a terminal
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN", display_order = 100)]
    color: Colour,
    /// Print one JSON object in place of text
    #[arg(long, global = true, display_order = 101)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const STATUS: &str = "Examples:
  attache init                                          write a first configuration
  attache check envoy.yaml                              find mistakes in it
  attache explain --config envoy.yaml request.http      why a request is refused
  attache token --config envoy.yaml < token             what a token is worth
  openssl rand -hex 16 | tee key | attache hash-key     an entry for an API key

Exit status: 0 if all is well, 1 if something is wrong, 2 if the command cannot be carried out.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a configuration of the filter, and what stands around it
    ///
    /// FILE is the filter's configuration as JSON, a whole configuration of Envoy, or a file of
    /// Kubernetes with an EnvoyFilter or WasmPlugin (Istio) or an EnvoyExtensionPolicy (Envoy
    /// Gateway). The filter is found in it.
    ///
    /// Errors are what the filter or Envoy refuses, and what lets requests through unchecked or
    /// refuses them all. Warnings are what may surprise. Where a secret can stand, asterisks are shown.
    #[command(
        verbatim_doc_comment,
        after_help = "Envoy checks what is its own: envoy --mode validate -c FILE\n\n\
        Exit status: 0 without errors, 1 with errors (with --strict also with warnings), 2 if FILE cannot\nbe read."
    )]
    Check(CheckArgs),
    /// Explain how a request is decided, step by step
    ///
    /// The request goes through the filter's own code. Whom it is for, what it asks for, who sends it,
    /// what each rule says, and what is sent on, or what the caller reads. Credentials are not shown.
    ///
    /// What the filter would fetch comes from files: --keys, --card, --introspection. Tokens and secrets
    /// that a connection would attach are not needed. Envoy's own changes to a request (paths that it
    /// normalises, headers that it adds) are not made.
    #[command(
        verbatim_doc_comment,
        after_help = "Exit status: 0 if the request goes on (or the filter answers without refusing it), 1 if it is refused, \
        2 if\nsomething is needed that was not given."
    )]
    Explain(Box<ExplainArgs>),
    /// Show an agent's card as each client gets it
    ///
    /// The agent's own card comes from --card, unless it is in the configuration. Who may read it, in
    /// which shape it is, and which skills are in it is decided by the filter's own code.
    #[command(
        verbatim_doc_comment,
        after_help = "Exit status: 0 if every client gets a card, 1 if one does not, 2 if something is needed that was \
        not\ngiven."
    )]
    Card(CardArgs),
    /// Decode a token, and judge it at the agents of a configuration
    ///
    /// The token comes from a file or standard input, alone or as the line of its header, so that it
    /// does not stand in the shell's history. Its signature is not shown. Keys come from the
    /// configuration, or from a file: curl -s URL-OF-JWKS > keys.json
    #[command(
        verbatim_doc_comment,
        after_help = "Exit status: 0 if an agent takes it, or no configuration is given; 1 if none takes it; \
        2 if\nsomething is needed that was not given."
    )]
    Token(TokenArgs),
    /// Print the entry for an API key or a password, with its digest
    #[command(after_help = "For a new key: openssl rand -hex 16 | tee key | attache hash-key --id desk")]
    HashKey(HashKeyArgs),
    /// Write an Envoy configuration with the filter in front of one agent
    ///
    /// Asks for what no flag says; an empty line takes what is in brackets. Versions, bindings and paths
    /// come from the agent's own card. The file is checked before it is written.
    #[command(verbatim_doc_comment, after_help = "Exit status: 0 if the file was written, 2 if not.")]
    Init(InitArgs),
    /// Print the JSON Schema of the configuration
    ///
    /// Editors read it: they explain each member, complete names and choices, and mark what is wrong.
    /// What depends on several members at once only check finds.
    #[command(
        verbatim_doc_comment,
        after_help = "For a configuration in YAML: attache schema > attache.schema.json, and as the first line of the file\n\
        # yaml-language-server: $schema=attache.schema.json"
    )]
    Schema(SchemaArgs),
    /// Print completions for a shell
    #[command(after_help = "For bash: attache completions bash > ~/.local/share/bash-completion/completions/attache")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The files; - reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// End with 1 if there are warnings
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
struct SchemaArgs {
    /// For resources of Kubernetes: a WasmPlugin (Istio) or an EnvoyExtensionPolicy (Envoy Gateway)
    #[arg(long)]
    kubernetes: bool,
}

/// What a command has to say.
struct Said {
    text: String,
    json: Value,
    status: u8,
    /// For standard error.
    warning: Option<String>,
}

impl Said {
    fn page(page: Page, status: u8) -> Self {
        let (text, json, warning) = page.parts();
        Self { text, json, status, warning }
    }
}

/// Carries out what the command line asks for, prints it, and answers with the exit status.
pub fn run() -> u8 {
    let cli = Cli::parse();
    match cli.color {
        Colour::Auto => anstream::ColorChoice::Auto,
        Colour::Always => anstream::ColorChoice::AlwaysAnsi,
        Colour::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    match said(&cli.command) {
        Ok(Said { text, json, status, warning }) => {
            warning.filter(|_| !cli.json).iter().for_each(|warning| anstream::eprintln!("{warning}"));
            print(&if cli.json { format!("{json:#}\n") } else { text });
            status
        }
        Err(message) => {
            anstream::eprintln!("attache: {message}");
            2
        }
    }
}

/// What the command with these arguments says for programs, and its exit status.
///
/// # Errors
/// Why it cannot be carried out.
pub fn answer(arguments: &[&str]) -> Result<(Value, u8), String> {
    let words = std::iter::once("attache").chain(arguments.iter().copied());
    let cli = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    said(&cli.command).map(|said| (said.json, said.status))
}

/// Each configuration of the filter in `source`, which is one itself or a file around some, as JSON.
#[must_use]
pub fn configurations(source: &str) -> Vec<String> {
    check::plugins(source).iter().map(|plugin| plugin.json().to_owned()).collect()
}

fn said(command: &Command) -> Result<Said, String> {
    match command {
        Command::Check(args) => checked(args),
        Command::Explain(args) => explain::explain(args).map(|(page, goes_on)| Said::page(page, u8::from(!goes_on))),
        Command::Card(args) => card::card(args).map(|(page, all)| Said::page(page, u8::from(!all))),
        Command::Token(args) => token::token(args).map(|(page, is_taken)| Said::page(page, u8::from(!is_taken))),
        Command::HashKey(args) => hash_key::hash_key(args).map(|page| Said::page(page, 0)),
        Command::Init(args) => init::init(args).map(|page| Said::page(page, 0)),
        Command::Schema(args) => Ok(schema(args)),
        Command::Completions { shell } => Ok(completions(*shell)),
    }
}

/// Who reads may stop reading: that is no failure.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = anstream::stdout().write_all(text.as_bytes());
}

fn checked(args: &CheckArgs) -> Result<Said, String> {
    let mut all: Vec<Checked> = Vec::new();
    for file in &args.files {
        let (name, source) = read(file)?;
        all.push(check::check(&name, &source));
    }
    let count = |severity| all.iter().map(|one| one.count(severity)).sum::<usize>();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let files: Vec<Value> = all.iter().map(report::json).collect();
    Ok(Said {
        text: all.iter().map(report::text).collect(),
        json: json!({"files": files, "errors": errors, "warnings": warnings}),
        status: u8::from(errors > 0 || args.strict && warnings > 0),
        warning: None,
    })
}

fn schema(args: &SchemaArgs) -> Said {
    let document = if args.kubernetes { Document::Kubernetes } else { Document::Configuration };
    Said { text: document.text(), json: document.schema(), status: 0, warning: None }
}

fn completions(shell: Shell) -> Said {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "attache", &mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Said { json: json!({"completions": text}), text, status: 0, warning: None }
}

//! Judges a configuration of the filter as the filter itself does, and finds each place that is spoken of.

use crate::embedded::Embedded;
use crate::finding::{Finding, Severity};
use crate::mask::Mask;
use crate::tree::{Kind, Member, Node};
use crate::{json, tree};
use attache::config::{Config, ConfigError, Secret};
use attache::credential::secrets::Secrets;
use attache::flow::Runtime;
use secrecy::ExposeSecret;
use std::ops::Range;

/// A configuration, as the filter gets it and as it stands in the file.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The JSON that the filter gets.
    json: String,
    /// Where it stands, if it is a text.
    embedded: Option<Embedded>,
    /// Its parts in the file. `None`: it is no JSON.
    tree: Option<Node>,
    /// All of it.
    span: Range<usize>,
}

impl Plugin {
    /// A configuration that is all of a file.
    pub fn whole(source: &str) -> Self {
        Self::of_text(Embedded::whole(source), 0..source.len())
    }

    /// A configuration at `node` of `source`: a text that is JSON, or an object.
    pub fn at(node: &Node, source: &str) -> Self {
        match node.text() {
            Some(text) => Self::of_text(Embedded::find(text, source, &node.span), node.span.clone()),
            None => Self { json: node.json(), embedded: None, tree: Some(node.clone()), span: node.span.clone() },
        }
    }

    fn of_text(embedded: Embedded, span: Range<usize>) -> Self {
        let tree = json::parse(&embedded.text).map(|tree| tree.moved(&|range| embedded.range(range)));
        Self { json: embedded.text.clone(), embedded: Some(embedded), tree, span }
    }

    /// Its parts.
    pub fn tree(&self) -> Option<&Node> {
        self.tree.as_ref()
    }

    /// The JSON that the filter gets.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Where a place of the configuration stands in the file.
    pub fn span(&self, place: &str) -> Range<usize> {
        self.tree.as_ref().map_or_else(|| self.span.clone(), |tree| spot(tree, place, false))
    }

    /// Hides what can be a secret.
    pub fn hide(&self, mask: &mut Mask) {
        match (&self.tree, &self.embedded) {
            (Some(tree), _) => mask.plugin(tree),
            (None, Some(embedded)) => mask.broken_json(embedded),
            (None, None) => {}
        }
    }

    /// What the filter makes of it, with everything that it says at start.
    pub fn judge(&self, mask: &mut Mask) -> (Option<Runtime>, Vec<Finding>) {
        self.hide(mask);
        let runtime = Config::parse(self.json.as_bytes()).and_then(|config| {
            let mut secrets = Secrets::default();
            for (name, secret) in config.secrets() {
                if let Secret::Inline(value) = secret {
                    secrets.insert(name, Some(value.expose_secret().to_owned()));
                }
            }
            Runtime::new(config, secrets)
        });
        match runtime {
            Ok(runtime) => {
                let said: Vec<String> = runtime.config().cautions().chain(runtime.warnings()).collect();
                let warnings = said.into_iter().map(|warning| self.warning(warning)).collect();
                (Some(runtime), warnings)
            }
            Err(error) => (None, vec![self.refused(&error, mask)]),
        }
    }

    fn warning(&self, message: String) -> Finding {
        let place = message.split_once(": ").map(|(place, _)| place).filter(|place| !place.contains(' ')).unwrap_or_default().to_owned();
        Finding { severity: Severity::Warning, span: self.span(&place), place, message, help: None }
    }

    fn refused(&self, error: &ConfigError, mask: &mut Mask) -> Finding {
        let said = Config::explain(error, self.json.as_bytes());
        let (message, position) = without_position(&said);
        let span = match (&self.tree, &self.embedded) {
            (Some(tree), _) => {
                let is_unknown = message.contains("unknown field");
                if is_unknown {
                    mask.below(tree.reach(error.place()).node);
                }
                second(tree, error.place(), &message).unwrap_or_else(|| spot(tree, error.place(), is_unknown))
            }
            (None, Some(embedded)) => {
                // The position is told with the error, also where the words for it leave it out.
                let position = position.or_else(|| without_position(&error.to_string()).1);
                let at = position.map_or(0, |(line, column)| offset(&embedded.text, line, column));
                let length = embedded.text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
                embedded.range(&(at..at + length))
            }
            (None, None) => self.span.clone(),
        };
        // The first line says what is wrong; what follows, what to do.
        let (message, help) = match message.split_once('\n') {
            Some((first, rest)) => (first.to_owned(), Some(rest.to_owned())),
            None => (message, None),
        };
        Finding { severity: Severity::Error, place: error.place().to_owned(), message, help, span }
    }
}

/// What to point at for a place: the value, or the name of the member if the value has parts or `name` asks for it. Where the way ends
/// early, the last thing on it.
fn spot(tree: &Node, place: &str, name: bool) -> Range<usize> {
    let reached = tree.reach(place);
    match (&reached.node.kind, reached.member) {
        (Kind::Scalar(_), None) => reached.node.span.clone(),
        (Kind::Scalar(_), Some(_)) if reached.whole && !name => reached.node.span.clone(),
        (_, Some(member)) => member.span.clone(),
        (Kind::Map(_) | Kind::List(_), None) => head(reached.node),
    }
}

/// A member that is there twice: the second one.
fn second(tree: &Node, place: &str, message: &str) -> Option<Range<usize>> {
    let (_, rest) = message.split_once("duplicate field `")?;
    let name = rest.split('`').next()?;
    let found = tree.reach(place);
    let mut same = found.node.members().iter().filter(|member| member.name == name);
    same.nth(1).map(|member| member.span.clone())
}

/// The beginning of an object or a list.
pub fn head(node: &Node) -> Range<usize> {
    match node.members() {
        [Member { span, .. }, ..] if span.start == node.span.start => span.clone(),
        _ => node.span.start..(node.span.start + 1).min(node.span.end.max(node.span.start)),
    }
}

/// A message without the position that the reader of JSON puts in it, and that position.
fn without_position(message: &str) -> (String, Option<(usize, usize)>) {
    let found = message.match_indices(" at line ").find_map(|(start, words)| {
        let rest = message.get(start + words.len()..)?;
        let (line, rest) = rest.split_once(" column ")?;
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let column = rest.get(..digits)?;
        let end = message.len() - rest.len() + digits;
        Some((start, end, line.parse().ok()?, column.parse().ok()?))
    });
    match found {
        Some((start, end, line, column)) => {
            (format!("{}{}", message.get(..start).unwrap_or_default(), message.get(end..).unwrap_or_default()), Some((line, column)))
        }
        None => (message.to_owned(), None),
    }
}

/// The byte that ends at a position: lines count from 1, columns are bytes.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let mut at = (before + column).saturating_sub(1).min(text.len().saturating_sub(1));
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Names of clusters in a configuration, each with its place.
pub fn clusters(node: &Node) -> Vec<(String, &Node)> {
    fn walk<'n>(node: &'n Node, steps: &mut Vec<String>, found: &mut Vec<(String, &'n Node)>) {
        for (index, element) in node.elements().iter().enumerate() {
            steps.push(format!("[{index}]"));
            if steps.ends_with(&["pin".to_owned(), "clusters".to_owned(), format!("[{index}]")]) {
                found.push((tree::joined(steps), element));
            }
            walk(element, steps, found);
            steps.pop();
        }
        // What stands under `inline` is an agent's or an issuer's own document.
        for member in node.members().iter().filter(|member| member.name != "inline") {
            steps.push(tree::step(&member.name));
            if member.name == "cluster" && member.value.text().is_some() {
                found.push((tree::joined(steps), &member.value));
            }
            walk(&member.value, steps, found);
            steps.pop();
        }
    }
    let mut found = Vec::new();
    walk(node, &mut Vec::new(), &mut found);
    found
}

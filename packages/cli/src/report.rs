//! How findings are told: with an excerpt, for people, or as JSON.

use crate::finding::{Checked, Severity};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Widest line of an excerpt.
const WIDTH: usize = 140;

/// All of it for people. Colours are in it; who prints it takes them out where none are wanted.
pub fn text(checked: &Checked) -> String {
    let renderer = Renderer::styled().term_width(WIDTH);
    let mut text = String::new();
    for finding in &checked.findings {
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let snippet = Snippet::source(checked.shown.as_str()).path(checked.file.as_str());
        let snippet = snippet.annotation(AnnotationKind::Primary.span(finding.span.clone()));
        let mut group = Group::with_title(level.primary_title(finding.message.as_str())).element(snippet);
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let _ = writeln!(text, "{}\n", renderer.render(&[group]));
    }
    let found = [counted(checked.count(Severity::Error), "error"), counted(checked.count(Severity::Warning), "warning")];
    let found: Vec<String> = found.into_iter().flatten().collect();
    let plugins: Vec<String> = checked.plugins.iter().map(|(kind, at)| format!("{kind} at line {}", checked.position(*at).0)).collect();
    let plugins = if plugins.is_empty() { String::new() } else { format!(" ({})", plugins.join(", ")) };
    let found = if found.is_empty() { "nothing is wrong".to_owned() } else { found.join(", ") };
    let _ = writeln!(text, "{}: {found}{plugins}", checked.file);
    text
}

fn counted(count: usize, what: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        many => Some(format!("{many} {what}s")),
    }
}

/// All of it for programs.
pub fn json(checked: &Checked) -> Value {
    let findings = checked.findings.iter().map(|finding| {
        let (line, column) = checked.position(finding.span.start);
        json!({"severity": finding.severity, "place": finding.place, "message": finding.message, "help": finding.help, "line": line,
            "column": column, "excerpt": checked.line(finding.span.start)})
    });
    let plugins = checked.plugins.iter().map(|(kind, at)| {
        let (line, column) = checked.position(*at);
        json!({"kind": kind, "line": line, "column": column})
    });
    json!({"file": checked.file, "plugins": plugins.collect::<Vec<_>>(), "findings": findings.collect::<Vec<_>>(),
        "errors": checked.count(Severity::Error), "warnings": checked.count(Severity::Warning)})
}

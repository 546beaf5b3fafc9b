//! `attache check`: what is wrong with a configuration, and with what stands around it.

use crate::finding::{Checked, Finding, Severity};
use crate::mask::Mask;
use crate::plugin::{Plugin, head};
use crate::site::{self, Form, Site};
use crate::tree::{Node, joined};
use crate::{around, json, yaml};
use std::ops::Range;

/// Checks `source`, which `file` holds.
pub fn check(file: &str, source: &str) -> Checked {
    let mut checking = Checking { source, mask: Mask::new(source), plugins: Vec::new(), findings: Vec::new() };
    // JSON is not read as YAML, to which tabs and long lines mean other things.
    if source.trim_start().starts_with('{') {
        match json::parse(source) {
            Some(document) if site::is_surrounding(&document) => checking.documents(&[document]),
            _ => checking.plain(),
        }
    } else {
        match yaml::parse(source) {
            Ok(documents) => match documents.iter().find(|document| site::has_own(document)) {
                Some(own) if !documents.iter().any(site::is_surrounding) => checking.yaml(own),
                None if documents.iter().all(|document| document.members().is_empty()) => checking.plain(),
                Some(_) | None => checking.documents(&documents),
            },
            Err(fault) => {
                checking.mask.broken_yaml();
                checking.tell(Severity::Error, String::new(), &format!("this is no YAML: {}", fault.message), None, fault.at..fault.at);
            }
        }
    }
    let Checking { mask, plugins, mut findings, .. } = checking;
    for finding in &mut findings {
        // An excerpt is one line.
        let rest = source.get(finding.span.clone()).and_then(|text| text.find('\n'));
        finding.span.end = rest.map_or(finding.span.end, |end| finding.span.start + end);
    }
    findings.sort_by_key(|finding| (finding.span.start, finding.severity));
    findings.dedup();
    Checked { file: file.to_owned(), source: source.to_owned(), shown: mask.shown(), plugins, findings }
}

/// The configurations of the filter in `source`, in their order. Whether they are good is another question.
pub fn plugins(source: &str) -> Vec<Plugin> {
    let documents = match source.trim_start().starts_with('{') {
        true => json::parse(source).into_iter().collect(),
        false => yaml::parse(source).unwrap_or_default(),
    };
    if !documents.iter().any(site::is_surrounding) {
        return vec![Plugin::whole(source)];
    }
    let at = |site: Site<'_>| Some(Plugin::at(site.node().at(members(site.form))?, source));
    documents.iter().flat_map(site::find).filter_map(at).collect()
}

/// Where the configuration of the filter stands in what [`Form`] says.
const fn members(form: Form) -> &'static [&'static str] {
    match form {
        Form::Envoy => &["configuration", "value"],
        Form::WasmPlugin => &["pluginConfig"],
        Form::ExtensionPolicy => &["config"],
    }
}

struct Checking<'s> {
    source: &'s str,
    mask: Mask,
    plugins: Vec<(&'static str, usize)>,
    findings: Vec<Finding>,
}

impl Checking<'_> {
    fn tell(&mut self, severity: Severity, place: String, message: &str, help: Option<&str>, span: Range<usize>) {
        let message = match place.rsplit('.').next() {
            Some(member) if !member.is_empty() => format!("{member}: {message}"),
            _ => message.to_owned(),
        };
        self.findings.push(Finding { severity, place, message, help: help.map(str::to_owned), span });
    }

    /// A file that is the configuration itself.
    fn plain(&mut self) {
        let plugin = Plugin::whole(self.source);
        self.plugins.push(("configuration", 0));
        let (_, findings) = plugin.judge(&mut self.mask);
        self.findings.extend(findings);
    }

    /// A file that is the configuration itself, but YAML, which the filter does not read.
    fn yaml(&mut self, own: &Node) {
        self.mask.plugin(own);
        self.plugins.push(("configuration", own.span.start));
        let message = "the filter reads JSON, and this is YAML";
        let help = "convert it, for example with yq -o=json. In a WasmPlugin or an EnvoyExtensionPolicy it may stand as YAML";
        self.tell(Severity::Error, String::new(), message, Some(help), head(own));
    }

    /// A file of Envoy, Istio or Kubernetes.
    fn documents(&mut self, documents: &[Node]) {
        documents.iter().for_each(|document| self.mask.document(document));
        for document in documents {
            for site in site::find(document) {
                self.site(&site, documents);
            }
        }
        if self.plugins.is_empty() {
            let start = documents.first().map_or(0..0, head);
            let help = "a plugin is taken for this filter if \"attache\" is in its name, root_id or file, or its configuration has agents or connections";
            self.tell(Severity::Warning, String::new(), "the filter is not in this file: nothing was checked", Some(help), start);
        }
    }

    fn site(&mut self, site: &Site<'_>, documents: &[Node]) {
        let members = members(site.form);
        let kind = match site.form {
            Form::Envoy => "Envoy filter",
            Form::WasmPlugin if site.document().get("kind").and_then(Node::text) == Some("TrafficExtension") => "TrafficExtension",
            Form::WasmPlugin => "WasmPlugin",
            Form::ExtensionPolicy => "EnvoyExtensionPolicy",
        };
        self.plugins.push((kind, site.node().span.start));
        let Some(node) = site.node().at(members) else {
            let member = members.first().copied().unwrap_or_default();
            let place = joined(&[site.place(), member.to_owned()]);
            let help = match site.form {
                Form::Envoy => "write configuration: {\"@type\": type.googleapis.com/google.protobuf.StringValue, value: '{…}'}",
                Form::WasmPlugin | Form::ExtensionPolicy => "write the filter's configuration there, as YAML",
            };
            let span = site.node().member(member).map_or_else(|| head(site.node()), |member| member.span.clone());
            return self.tell(Severity::Error, place, "the filter's configuration is missing", Some(help), span);
        };
        if site.form == Form::Envoy && !self.is_string_value(site, node) {
            return;
        }
        let plugin = Plugin::at(node, self.source);
        let (runtime, findings) = plugin.judge(&mut self.mask);
        self.findings.extend(findings);
        if let Some(runtime) = runtime {
            self.findings.extend(around::check(site, &plugin, runtime.config(), documents));
        }
    }

    /// Whether Envoy gives the plugin the text that stands there.
    fn is_string_value(&mut self, site: &Site<'_>, value: &Node) -> bool {
        let configuration = site.node().get("configuration").unwrap_or(value);
        let kind = configuration.get("@type").and_then(Node::text).unwrap_or_default();
        let place = joined(&[site.place(), "configuration".to_owned()]);
        let (message, at) = match (kind.rsplit('/').next().unwrap_or_default(), value.text()) {
            ("google.protobuf.StringValue", Some(_)) => return true,
            ("google.protobuf.StringValue", None) => ("value must be a text: write the configuration as JSON, behind value: |", "value"),
            ("google.protobuf.Struct", _) => ("is a Struct, which Envoy gives to the filter in a form that is not JSON", "@type"),
            _ => ("must be a google.protobuf.StringValue", "@type"),
        };
        // What stands there is not judged, so nothing of it is shown.
        self.mask.below(value);
        let help = "write configuration: {\"@type\": type.googleapis.com/google.protobuf.StringValue, value: '{…}'}";
        let span = configuration.member(at).map_or_else(|| head(configuration), |member| member.span.clone());
        self.tell(Severity::Error, place, message, Some(help), span);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{check, plugins};
    use crate::finding::Severity;
    use crate::report;
    use std::path::Path;

    /// Changes of a text that somebody can make by mistake, the same in every run.
    fn changed(text: &str, seed: u64) -> String {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |most: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(most.max(1)).unwrap()).unwrap()
        };
        let mut letters: Vec<char> = text.chars().chain([' ']).collect();
        for _ in 0..=next(3) {
            let at = next(letters.len());
            let odd = ['{', '}', '[', ']', '"', '\'', ':', ',', '\n', '\t', ' ', '\\', '|', '>', '&', '*', 'é', '\u{0}', '#', '-'];
            match next(4) {
                0 => drop(letters.drain(at..letters.len().min(at + 1 + next(20)))),
                1 => letters.insert(at, odd[next(odd.len())]),
                2 => letters[at] = odd[next(odd.len())],
                _ => letters.truncate(at.max(1)),
            }
            if letters.is_empty() {
                letters.push(' ');
            }
        }
        letters.into_iter().collect()
    }

    /// Whatever stands in a file, something can be said of it: no finding is outside of the text, and none breaks its excerpt.
    #[test]
    fn any_text_is_told_of() {
        let root = Path::new(".");
        let folders = [root.join("../../envoy"), root.join("../../envoy/istio"), root.join("tests/check")];
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml" || ending == "json")).collect();
        let mut errors = 0;
        for (index, file) in files.iter().enumerate() {
            let text = std::fs::read_to_string(file).unwrap();
            for seed in 0..60 {
                let text = changed(&text, u64::try_from(index).unwrap() * 1000 + seed);
                let checked = check("file", &text);
                assert_eq!(checked.shown.len(), checked.source.len(), "{text}");
                for finding in &checked.findings {
                    assert!(text.get(finding.span.clone()).is_some(), "{finding:?}: {text}");
                }
                let _ = (report::text(&checked), report::json(&checked), plugins(&text));
                errors += checked.count(Severity::Error);
            }
        }
        assert!(files.len() > 20 && errors > 500, "{} files, {errors} errors", files.len());
    }
}

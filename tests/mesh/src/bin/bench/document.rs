//! `docs/performance.md`: people write it, but for the sections between a pair of marks, which the bench writes anew.

use anyhow::{Context, Result};
use attache_mesh::place;

use crate::part::Part;

/// How a run was made, for the line under each section.
pub struct Setup {
    pub rounds: usize,
    pub seconds: f64,
    /// Cores that the bench may use.
    pub cores: usize,
    /// Version of Envoy.
    pub envoy: String,
    /// Bytes of the filter.
    pub module: u64,
}

impl Setup {
    /// The line.
    pub fn line(&self) -> String {
        format!(
            "This run: {} rounds of {} s, Envoy {}, {} {} cores, `attache.wasm` of {} KiB.",
            self.rounds,
            self.seconds,
            self.envoy,
            self.cores,
            std::env::consts::ARCH,
            self.module / 1024,
        )
    }
}

/// Puts the text of each part between its marks.
pub fn write(sections: &[(Part, String)], setup: &Setup) -> Result<()> {
    let path = place::root().join("docs/performance.md");
    let mut text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    for (part, section) in sections {
        text = replace(&text, part.name(), &format!("{}\n\n{}", section.trim_end(), setup.line()))?;
    }
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn replace(text: &str, name: &str, section: &str) -> Result<String> {
    let [begin, end] = [format!("<!-- bench {name} -->\n"), format!("<!-- end of {name} -->")];
    let missing = || format!("docs/performance.md has no section of {name}: want {} and {end}", begin.trim_end());
    let (before, rest) = text.split_once(&begin).with_context(missing)?;
    let (_, after) = rest.split_once(&end).with_context(missing)?;
    Ok(format!("{before}{begin}\n{section}\n\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_marks_of_a_part_changes() {
        let text = "a\n<!-- bench cost -->\n\nold\n\n<!-- end of cost -->\nb\n";
        let new = replace(text, "cost", "new").unwrap();
        assert_eq!(new, "a\n<!-- bench cost -->\n\nnew\n\n<!-- end of cost -->\nb\n");
        assert_eq!(replace(&new, "cost", "new").unwrap(), new);
        assert!(replace(text, "cold", "new").is_err());
    }

    #[test]
    fn the_document_has_a_section_for_every_part_but_the_comparison_of_builds() {
        let text = std::fs::read_to_string(place::root().join("docs/performance.md")).unwrap();
        // What `modules` prints is about files of whoever runs it: the document has no section for it.
        for part in Part::ALL.into_iter().filter(|part| *part != Part::Modules) {
            replace(&text, part.name(), "").unwrap();
        }
    }
}

//! What a command has to say, for people and for programs at once.

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// What a command has to say. Colours are in its text; who prints it takes them out where none are wanted.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
    json: Map<String, Value>,
    /// For standard error.
    warning: Option<String>,
}

const HEADING: Style = Style::new().bold();
const NAME: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

impl Page {
    /// Begins a part.
    pub fn heading(&mut self, text: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.text, "{gap}{HEADING}{}{HEADING:#}", visible(text));
    }

    /// A line.
    pub fn text(&mut self, text: &str) {
        let _ = writeln!(self.text, "  {}", visible(text));
    }

    /// A line as it is, to be copied.
    pub fn line(&mut self, text: &str) {
        let _ = writeln!(self.text, "{}", visible(text));
    }

    /// A warning; it stands beside what is to be copied.
    pub fn warn(&mut self, text: &str) {
        self.warning = Some(format!("{BAD}warning{BAD:#}: {}", visible(text)));
    }

    /// A name and what it says.
    pub fn row(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.text, "    {NAME}{:13}{NAME:#} {}", visible(name), visible(value));
    }

    /// Good or bad, and a line.
    pub fn mark(&mut self, is_good: bool, text: &str) {
        let (style, sign) = if is_good { (GOOD, "✓") } else { (BAD, "✗") };
        let _ = writeln!(self.text, "  {style}{sign}{style:#} {}", visible(text));
    }

    /// A verdict: `accepted`, or `reason` and `detail`.
    pub fn verdict(&mut self, verdict: &Value) {
        match verdict["reason"].as_str() {
            None => self.mark(true, "accepted"),
            Some(reason) => {
                self.mark(false, &format!("refused: {reason}"));
                if let Some(detail) = verdict["detail"].as_str() {
                    self.text(&format!("  {detail}"));
                }
            }
        }
    }

    /// What is not as it would be in Envoy.
    pub fn notes(&mut self, notes: &[String]) {
        if !notes.is_empty() {
            self.heading("notes");
            notes.iter().for_each(|note| self.text(note));
        }
        self.json("notes", notes.into());
    }

    /// The same for programs.
    pub fn json(&mut self, name: &str, value: Value) {
        self.json.insert(name.to_owned(), value);
    }

    /// All of it, for people and for programs, and a warning.
    pub fn parts(self) -> (String, Value, Option<String>) {
        (self.text, Value::Object(self.json), self.warning)
    }
}

/// What comes from a token or a request must not move the cursor or change colours.
fn visible(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

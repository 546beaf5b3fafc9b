//! A page of the documentation: its fenced blocks, and the files and commands in them. `tests/mesh` runs what `tests/shape` lists.

/// A fenced block.
#[derive(Debug, Clone)]
pub struct Block {
    /// The line of the page at which its fence opens, from 1.
    pub line: usize,
    /// The first word behind the fence; empty if there is none.
    pub language: String,
    /// The name of the file that it is, if a reader is to save it as one.
    pub file: Option<String>,
    /// What stands in it, with a line break at the end.
    pub text: String,
}

/// A command, and what the page shows of its output.
#[derive(Debug, Clone)]
pub struct Step {
    pub command: String,
    /// What follows it in `console`, perhaps nothing; none in `sh`, where no output is shown.
    pub output: Option<String>,
}

/// The blocks of a page, in order. A fence that is indented, as in a list, takes its indentation from the lines.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            text.push_str(line.get(indent..).unwrap_or_else(|| line.trim_start()));
            text.push('\n');
        }
        let mut words = info.split_whitespace();
        let language = words.next().unwrap_or_default().to_owned();
        let file = words.next().map(str::to_owned).or_else(|| named(&text));
        blocks.push(Block { line: at + 1, language, file, text });
    }
    blocks
}

/// The file's name in the comment that is the first line: `# envoy.yaml`, `// agent.mjs: what it is`.
fn named(text: &str) -> Option<String> {
    let line = text.lines().next()?;
    let rest = ["# ", "// ", "\"\"\"", "<!-- "].iter().find_map(|mark| line.strip_prefix(mark))?;
    let name = rest.split([' ', ':']).next()?;
    let is_plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/".contains(letter));
    let (stem, extension) = name.rsplit_once('.')?;
    (is_plain && !stem.is_empty() && !extension.is_empty()).then(|| name.to_owned())
}

impl Block {
    /// Whether a shell reads it.
    pub fn is_shell(&self) -> bool {
        ["console", "sh"].contains(&self.language.as_str())
    }

    /// Its commands: behind `$ ` in `console`, each followed by its output; every line of `sh`. A command ends with the line at which
    /// its quotes and here-documents do.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let is_console = self.language == "console";
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let start = if is_console { line.strip_prefix("$ ") } else { Some(line) };
            match start {
                Some(start) if start.trim().is_empty() || start.starts_with("# ") => {}
                Some(start) => {
                    let mut command = start.to_owned();
                    while !is_complete(&command) {
                        let Some(next) = lines.next() else { break };
                        command.push('\n');
                        command.push_str(next);
                    }
                    steps.push(Step { command, output: is_console.then(String::new) });
                }
                None => {
                    if let Some(output) = steps.last_mut().and_then(|step| step.output.as_mut()) {
                        output.push_str(line);
                        output.push('\n');
                    }
                }
            }
        }
        steps
    }
}

/// Whether a shell would run this, and not ask for another line.
fn is_complete(command: &str) -> bool {
    if let Some((first, rest)) = command.split_once("<<'") {
        let end = rest.split('\'').next().unwrap_or_default();
        return first.is_empty() || command.lines().skip(1).any(|line| line == end);
    }
    let mut quote = None;
    let mut letters = command.chars();
    let mut last = ' ';
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None | Some('"'), '\\') if letters.next().is_none() => return false,
            (None | Some('"'), '\\') => {}
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
        last = letter;
    }
    quote.is_none() && last != '|'
}

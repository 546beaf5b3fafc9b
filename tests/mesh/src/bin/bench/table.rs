//! Tables for a terminal and for a document. The first line is the head.

use std::fmt::Write as _;

/// Lines of cells.
pub type Table = Vec<Vec<String>>;

/// A head.
pub fn head<const N: usize>(cells: [&str; N]) -> Table {
    vec![cells.map(str::to_owned).to_vec()]
}

/// Columns of equal width, the first to the left.
pub fn text(table: &Table) -> String {
    let width = |column: usize| table.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for line in table {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            let _ = if column == 0 { write!(text, "  {cell:width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// As Markdown.
pub fn markdown(table: &Table) -> String {
    let mut text = String::new();
    for (index, line) in table.iter().enumerate() {
        let _ = writeln!(text, "| {} |", line.join(" | "));
        if index == 0 {
            let _ = writeln!(text, "|---|{}", "---:|".repeat(line.len().saturating_sub(1)));
        }
    }
    text
}

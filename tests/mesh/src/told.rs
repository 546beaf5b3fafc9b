//! What an agent is told of a caller: the dictionary in `x-attache`, read with a library that knows nothing of this filter.

use crate::http::Echo;
use crate::wiretap::Heard;
use anyhow::{Result, ensure};
use serde_json::Value;
use sfv::{BareItem, Dictionary, ListEntry, Parser};

/// The header.
pub const HEADER: &str = "x-attache";

/// The values of a member, as text, in every line that came: one for an Item, each for an Inner List. What cannot be read is a value
/// that says so.
pub fn in_lines<'l>(lines: impl Iterator<Item = &'l str>, member: &str) -> Vec<String> {
    lines.flat_map(|line| in_line(line, member)).collect()
}

fn in_line(line: &str, member: &str) -> Vec<String> {
    let parsed: Result<Dictionary, _> = Parser::new(line).parse();
    match parsed {
        Err(error) => vec![format!("{line:?} cannot be read: {error}")],
        Ok(members) => match members.get(member) {
            None => Vec::new(),
            Some(ListEntry::Item(item)) => vec![text(&item.bare_item)],
            Some(ListEntry::InnerList(list)) => list.items.iter().map(|item| text(&item.bare_item)).collect(),
        },
    }
}

fn text(item: &BareItem) -> String {
    match item {
        BareItem::String(text) => text.as_str().to_owned(),
        BareItem::DisplayString(text) => text.clone(),
        other => format!("no text: {other:?}"),
    }
}

/// The same of the headers as a peer tells them.
pub fn in_headers(headers: &Value, member: &str) -> Vec<String> {
    let lines = match &headers[HEADER] {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect::<Vec<_>>(),
    };
    in_lines(lines.into_iter(), member)
}

impl Echo {
    /// What the agent was told under this name: nothing, one value, or all of a list.
    pub fn told(&self, member: &str) -> Vec<String> {
        in_headers(&self.0["headers"], member)
    }
}

impl Heard {
    /// What the agent was told under this name: nothing, one value, or all of a list.
    pub fn told(&self, member: &str) -> Vec<String> {
        in_lines(self.header(HEADER).into_iter(), member)
    }
}

/// Errs unless the agent was told `value`, and nothing else, under this name.
pub fn ensure_told(echo: &Echo, member: &str, value: &str) -> Result<()> {
    let seen = echo.told(member);
    ensure!(seen == [value], "{member} is {seen:?}, not {value:?}: {:?}", echo.header(HEADER));
    Ok(())
}

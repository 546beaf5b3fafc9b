//! Documents and event streams that are rewritten while they pass: whatever the chunks, the same bytes come out, and
//! where nothing changes, those that went in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attache::wire::rewrite::{Rewriter, Seen};
use attache::wire::scan::{Fault, Keep, Kind, Limits, Plan, Step};
use attache::wire::sse::Events;
use std::rc::Rc;

/// Numbers that are always the same (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

/// The names that objects have, each at most once in one; the first two are looked for.
const NAMES: [&str; 8] = ["id", "taskId", "task", "status", "x", "ключ", "a\\u0062", "😀"];
const TEXTS: [&str; 8] = ["", "t1", "é\\n\\\"", "\\ud83d\\ude00", "~", "a/b\\/c", "0123456789", "\\u0000"];

fn document(numbers: &mut Numbers, depth: usize, out: &mut String) {
    let space = numbers.of(&["", "", "", " ", "\t", "  "]);
    out.push_str(space);
    match numbers.below(if depth == 0 { 4 } else { 8 }) {
        0 => out.push_str(numbers.of(&["null", "true", "false"])),
        1 => out.push_str(numbers.of(&["0", "-1", "2.5e-3", "12345678901234567890"])),
        2 | 3 => {
            let text = numbers.of(&TEXTS);
            out.push_str(&format!("\"{text}\""));
        }
        4 => {
            out.push('[');
            for index in 0..numbers.below(4) {
                out.push_str(if index == 0 { "" } else { "," });
                document(numbers, depth - 1, out);
            }
            out.push(']');
        }
        _ => {
            out.push('{');
            let mut is_first = true;
            for name in NAMES {
                if numbers.below(3) == 0 {
                    continue;
                }
                out.push_str(if is_first { "" } else { "," });
                is_first = false;
                out.push_str(&format!("\"{name}\"{}:", numbers.of(&["", " "])));
                document(numbers, depth - 1, out);
            }
            out.push('}');
        }
    }
    out.push_str(space);
}

fn plan() -> Rc<Plan> {
    let mut plan = Plan::default();
    for path in [&["id"][..], &["taskId"], &["task", "id"], &["task", "task", "taskId"], &["status", "*", "id"], &["*", "id"]] {
        let steps: Vec<Step> = path.iter().map(|name| if *name == "*" { Step::Element } else { Step::member(&[name]) }).collect();
        plan.ask(&steps, Keep::Raw);
    }
    Rc::new(plan)
}

/// Longer or shorter than it was.
fn replaced(seen: Seen<'_>) -> Option<String> {
    let json = seen.json.filter(|_| seen.kind == Kind::String)?;
    Some(if json.len() > 8 { "\"s\"".to_owned() } else { format!("{}~k.{}\"", json.strip_suffix('"')?, "x".repeat(22)) })
}

/// What comes of `text` in chunks of the sizes that `size` gives.
fn rewrite(text: &str, is_stream: bool, changes: bool, mut size: impl FnMut() -> usize) -> Result<String, Fault> {
    let mut document = Rewriter::new(Limits::default(), plan());
    let mut events = Events::new(Limits::default(), plan());
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(size().clamp(1, rest.len()));
        let replace = |seen: Seen<'_>, _: &mut Vec<u8>| Ok::<_, Fault>(replaced(seen).filter(|_| changes));
        match is_stream {
            true => events.feed(chunk, &mut out, replace)?,
            false => document.feed(chunk, &mut out, replace)?,
        }
        rest = behind;
    }
    if !is_stream {
        document.end()?;
    }
    Ok(String::from_utf8(out).unwrap())
}

fn check(text: &str, is_stream: bool, numbers: &mut Numbers) -> bool {
    let whole = rewrite(text, is_stream, true, || usize::MAX);
    let whole = whole.unwrap_or_else(|fault| panic!("{fault} in {text}"));
    assert_eq!(rewrite(text, is_stream, false, || 1).as_deref(), Ok(text));
    for most in [1, 2, 3, 8, 40] {
        assert_eq!(rewrite(text, is_stream, true, || numbers.below(most) + 1).as_deref(), Ok(whole.as_str()), "{text:?}");
    }
    whole != text
}

#[test]
fn documents_are_the_same_whatever_their_chunks() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut changed = 0;
    for _ in 0..2000 {
        let mut text = String::new();
        document(&mut numbers, 4, &mut text);
        changed += usize::from(check(&text, false, &mut numbers));
    }
    assert!(changed > 200, "{changed} documents changed");
}

#[test]
fn event_streams_are_the_same_whatever_their_chunks() {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let mut changed = 0;
    for _ in 0..500 {
        let end = numbers.of(&["\n", "\r\n", "\r"]);
        let mut stream = String::new();
        for _ in 0..=numbers.below(3) {
            if numbers.below(3) == 0 {
                stream.push_str(&format!(": {{\"id\":\"beat\"}}{end}{end}"));
            }
            let mut text = String::new();
            document(&mut numbers, 3, &mut text);
            // White space between values may be the end of a line.
            let cut = format!("{end}data:{}", numbers.of(&["", " "]));
            let lines = if numbers.below(2) == 0 { text.replace('\t', &cut) } else { text };
            stream.push_str(&format!("event: x{end}data: {lines}{end}{end}"));
        }
        changed += usize::from(check(&stream, true, &mut numbers));
    }
    assert!(changed > 50, "{changed} streams changed");
}

//! Structured Fields as this filter writes them, read back by a library that others wrote: every text and number comes back as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use attache::wire::structured::{push_decimal, push_integer, push_text, push_texts};
use sfv::{BareItem, Dictionary, Item, List, ListEntry, Parser};

fn text(item: &BareItem) -> &str {
    match item {
        BareItem::String(text) => text.as_str(),
        BareItem::DisplayString(text) => text,
        other => panic!("no text: {other:?}"),
    }
}

fn comes_back(given: &str) {
    let mut line = "a=".to_owned();
    push_text(&mut line, given);
    line.push_str(", b=");
    push_texts(&mut line, [given, "", given].into_iter());
    assert!(line.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{line:?}");
    let members: Dictionary = Parser::new(&line).parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(members.len(), 2, "{line}");
    let (ListEntry::Item(one), ListEntry::InnerList(list)) = (&members["a"], &members["b"]) else { panic!("{line}") };
    assert_eq!(text(&one.bare_item), given, "{line}");
    let texts: Vec<&str> = list.items.iter().map(|item| text(&item.bare_item)).collect();
    assert_eq!(texts, [given, "", given], "{line}");
}

#[test]
fn every_text_comes_back() {
    for letter in (0..0x500).chain(0x1f600..0x1f610).filter_map(char::from_u32) {
        comes_back(&letter.to_string());
        comes_back(&format!("a{letter}\"b"));
    }
    // Every two of ASCII, so that no escape swallows what follows.
    for first in 0..0x80_u8 {
        for second in 0..0x80_u8 {
            comes_back(&format!("{}{}", char::from(first), char::from(second)));
        }
    }
}

#[test]
fn every_number_comes_back() {
    for number in [0, 1, -1, 42, 999_999_999_999_999, -999_999_999_999_999] {
        let mut line = String::new();
        push_integer(&mut line, number).unwrap();
        let item: Item = Parser::new(&line).parse().unwrap();
        assert_eq!(item.bare_item.as_integer().map(i64::from), Some(number), "{line}");
    }
    for thousandths in (0..200_000_i64).step_by(7).chain([999_999_999_999_999, 123_456_789_012_345]) {
        for number in [thousandths as f64 / 1000.0, -(thousandths as f64) / 1000.0] {
            let mut line = String::new();
            push_decimal(&mut line, number).unwrap_or_else(|| panic!("{number}"));
            let list: List = Parser::new(&line).parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            let [ListEntry::Item(item)] = list.as_slice() else { panic!("{line}") };
            let read: f64 = item.bare_item.as_decimal().unwrap_or_else(|| panic!("{line} is no decimal")).into();
            assert_eq!(read.to_bits().wrapping_shl(1), number.to_bits().wrapping_shl(1), "{line}");
        }
    }
}

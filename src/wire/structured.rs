//! Structured Field values (RFC 9651): what is written of them. Each value has one form, so two values never make one line, and no
//! text ends its value or adds a member. It knows no header and no A2A.

/// Greatest Integer (section 3.3.1): fifteen digits.
const MAX_INTEGER: i64 = 999_999_999_999_999;

/// Writes `text` as a String (section 3.3.3), or as a Display String (section 3.3.8) if it holds anything but printable ASCII.
pub fn push_text(out: &mut String, text: &str) {
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        push_string(out, text);
    } else {
        push_display_string(out, text);
    }
}

fn push_string(out: &mut String, text: &str) {
    out.push('"');
    // Nearly all have nothing to escape.
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\\']) {
        let (plain, escaped) = rest.split_at(at);
        out.push_str(plain);
        out.push('\\');
        let (letter, behind) = escaped.split_at(1);
        out.push_str(letter);
        rest = behind;
    }
    out.push_str(rest);
    out.push('"');
}

fn push_display_string(out: &mut String, text: &str) {
    out.push_str("%\"");
    for byte in text.bytes() {
        match byte {
            b'%' | b'"' | 0x00..=0x1f | 0x7f..=0xff => {
                out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
            plain => out.push(char::from(plain)),
        }
    }
    out.push('"');
}

/// A hexadecimal digit in lower case, as section 4.1.11 has it.
fn digit(half: u8) -> char {
    char::from_digit(u32::from(half), 16).unwrap_or('0')
}

/// Writes an Inner List (section 3.1.1) of `texts`, as [`push_text`] writes each.
pub fn push_texts<'t>(out: &mut String, texts: impl Iterator<Item = &'t str>) {
    out.push('(');
    for (index, text) in texts.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        push_text(out, text);
    }
    out.push(')');
}

/// Writes a Boolean (section 3.3.6).
pub fn push_boolean(out: &mut String, value: bool) {
    out.push_str(if value { "?1" } else { "?0" });
}

/// Writes an Integer (section 3.3.1). `None` if it has more digits than one may have.
#[must_use]
pub fn push_integer(out: &mut String, value: i64) -> Option<()> {
    if !(-MAX_INTEGER..=MAX_INTEGER).contains(&value) {
        return None;
    }
    out.push_str(&value.to_string());
    Some(())
}

/// Writes a Decimal (section 3.3.2). `None` if it has more than twelve digits before the point or three behind it: it would have to be
/// rounded, and then another number had the same line.
#[must_use]
pub fn push_decimal(out: &mut String, value: f64) -> Option<()> {
    let scaled = (value * 1000.0).round();
    #[allow(clippy::cast_precision_loss, reason = "fifteen digits fit")]
    let is_in_reach = scaled.abs() <= MAX_INTEGER as f64;
    // The nearest number to what is written must be the one that was meant. (NaN and infinities fail here.)
    #[allow(clippy::float_cmp, reason = "nothing else is the same number")]
    if !is_in_reach || scaled / 1000.0 != value {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "it is in reach")]
    let scaled = scaled as i64;
    let (whole, part) = (scaled.unsigned_abs() / 1000, scaled.unsigned_abs() % 1000);
    let digits = format!("{part:03}");
    let digits = digits.trim_end_matches('0');
    let sign = if value.is_sign_negative() { "-" } else { "" };
    out.push_str(&format!("{sign}{whole}.{}", if digits.is_empty() { "0" } else { digits }));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{push_boolean, push_decimal, push_integer, push_text, push_texts};

    fn text(value: &str) -> String {
        let mut out = String::new();
        push_text(&mut out, value);
        out
    }

    fn decimal(value: f64) -> Option<String> {
        let mut out = String::new();
        push_decimal(&mut out, value).map(|()| out)
    }

    fn integer(value: i64) -> Option<String> {
        let mut out = String::new();
        push_integer(&mut out, value).map(|()| out)
    }

    #[test]
    fn texts_are_written_as_the_rfc_has_them() {
        for (given, written) in [
            ("hello world", r#""hello world""#),
            ("", r#""""#),
            (" ann ", r#"" ann ""#),
            (r#"a "b" \c"#, r#""a \"b\" \\c""#),
            ("50%", r#""50%""#),
            // The example of RFC 9651 section 3.3.8.
            ("This is intended for display to üsers.", r#"%"This is intended for display to %c3%bcsers.""#),
            ("50% \"é\" \\", r#"%"50%25 %22%c3%a9%22 \""#),
            ("a\r\nx: 1", r#"%"a%0d%0ax: 1""#),
            ("\u{0}\u{7f}\t", r#"%"%00%7f%09""#),
            ("\u{1f600}", r#"%"%f0%9f%98%80""#),
        ] {
            assert_eq!(text(given), written, "{given:?}");
        }
        let mut out = String::new();
        push_texts(&mut out, ["a", "b\"", "é"].into_iter());
        push_texts(&mut out, std::iter::empty());
        assert_eq!(out, r#"("a" "b\"" %"%c3%a9")()"#);
    }

    #[test]
    fn two_texts_never_make_one_value() {
        let texts =
            ["ann", " ann", "ann ", "", " ", "\"", "\\", "\\\"", "\"\"", "%22", "é", "%c3%a9", "e\u{301}", "É", "\t", "%09", "\u{a0}"];
        for (index, one) in texts.iter().enumerate() {
            assert!(text(one).bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{one:?}");
            assert!(texts.iter().take(index).all(|other| text(other) != text(one)), "{one:?}");
        }
    }

    #[test]
    fn numbers_are_written_exactly_or_not_at_all() {
        assert_eq!(integer(-42).as_deref(), Some("-42"));
        assert_eq!(integer(999_999_999_999_999).as_deref(), Some("999999999999999"));
        assert_eq!((integer(1_000_000_000_000_000), integer(i64::MIN)), (None, None));
        for (value, written) in [
            (4.5, Some("4.5")),
            (-0.25, Some("-0.25")),
            (0.1, Some("0.1")),
            (1.0, Some("1.0")),
            (-0.0, Some("-0.0")),
            (0.001, Some("0.001")),
            (123_456_789_012.125, Some("123456789012.125")),
            (0.0001, None),
            (1.0005, None),
            (0.1 + 0.2, None),
            (1e12, None),
            (1e300, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(decimal(value).as_deref(), written, "{value}");
        }
        let mut out = String::new();
        push_boolean(&mut out, true);
        push_boolean(&mut out, false);
        assert_eq!(out, "?1?0");
    }
}

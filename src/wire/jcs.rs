//! The canonical form of JSON (RFC 8785, JCS): what is signed of a document whose text may change on the way. No white space, members
//! sorted by UTF-16, numbers as ECMAScript writes them. (A number of more than 15 digits may have been read as a neighbouring double.)

use serde_json::{Map, Number, Value};
use std::fmt::Write as _;

/// `value` in canonical form. Numbers are IEEE 754 doubles, as I-JSON has them: what a double cannot hold is rounded.
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&written(number)),
        Value::String(text) => quote(text, out),
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
        Value::Object(members) => object(members, out),
    }
}

fn object(members: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    out.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(name, out);
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

/// RFC 8785 section 3.2.2.2.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < ' ' => drop(write!(out, "\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// `Number::toString` of ECMAScript (ECMA-262 section 6.1.6.1.20): the shortest digits that give the same double.
fn written(number: &Number) -> String {
    let value = number.as_f64().unwrap_or_default();
    if value == 0.0 {
        return "0".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = even(mantissa.chars().filter(char::is_ascii_digit).collect(), value.abs());
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The place of the point, counted from the first digit.
    let point = exponent.saturating_add(1);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or_default());
    let plain = match point {
        _ if count <= point && point <= 21 => format!("{digits}{}", zeros(point.saturating_sub(count))),
        1..=21 => {
            let (whole, rest) = digits.split_at_checked(usize::try_from(point).unwrap_or_default()).unwrap_or((&digits, ""));
            format!("{whole}.{rest}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(point.saturating_neg())),
        _ => {
            let (first, rest) = digits.split_at_checked(1).unwrap_or((&digits, ""));
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
        }
    };
    format!("{sign}{plain}")
}

/// Of two shortest texts that are equally close to `value`, ECMAScript takes the even one, Rust the greater.
fn even(digits: String, value: f64) -> String {
    // Fewer digits are never half way between two doubles' texts.
    if digits.len() < 15 || !digits.ends_with(['1', '3', '5', '7', '9']) {
        return digits;
    }
    let exact = format!("{value:.60e}");
    let all: String = exact.chars().take_while(|letter| *letter != 'e').filter(char::is_ascii_digit).collect();
    match all.split_at_checked(digits.len()) {
        Some((below, rest)) if below != digits && rest.strip_prefix('5').is_some_and(|rest| rest.bytes().all(|byte| byte == b'0')) => {
            below.to_owned()
        }
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use serde_json::{Value, json};

    /// RFC 8785 appendix B.
    #[test]
    fn numbers_of_the_rfc() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(canonical(&json!(f64::from_bits(bits))), expected, "{bits:x}");
        }
        assert_eq!(canonical(&json!([1, -1, 10, 1.5, 4.50, 2e-3, 1e30, u64::MAX])), "[1,-1,10,1.5,4.5,0.002,1e+30,18446744073709552000]");
    }

    /// RFC 8785 sections 3.2.2 and 3.2.3.
    #[test]
    fn documents_of_the_rfc() {
        let value: Value = serde_json::from_str(
            r#"{"numbers": [1E30, 4.50, 2e-3, 0.000000000000000000000000001],
                "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
        )
        .unwrap();
        assert_eq!(
            canonical(&value),
            "{\"literals\":[null,true,false],\"numbers\":[1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
        );
        let value: Value = serde_json::from_str(
            r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
                "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}"#,
        )
        .unwrap();
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\
                        \"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(canonical(&value), expected);
        assert_eq!(canonical(&json!({"b": {}, "a": [[], ""]})), r#"{"a":[[],""],"b":{}}"#);
    }
}

//! Claims that go on to agents, as header values. A value has one line and a line one value: what has none is told apart from what is
//! not there, so that no agent takes a claim that it did not get for one that the token does not have.

use crate::config::{ClaimPath, Form, ForwardedClaim};
use crate::identity::claim_path::at;
use crate::wire::header::safe_value;
use crate::wire::json::UniqueObject;
use crate::wire::structured;
use serde_json::{Number, Value};

/// Longest header value that is made of a claim, in bytes.
pub const MAX_VALUE_BYTES: usize = 8 * 1024;

/// One claim as a header value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// The token does not have it.
    Absent,
    /// The value.
    Value(Box<str>),
    /// The token has it, but no header can say it: an object, null, a number that would have to be rounded, too long, or on the way
    /// there is something that is no object.
    Unfit,
}

/// What the token with this payload has of `claims`, in their order.
#[must_use]
pub fn read(payload: &UniqueObject, claims: &[ForwardedClaim]) -> Box<[Forwarded]> {
    claims.iter().map(|ForwardedClaim { claim, form }| one(payload, claim, *form)).collect()
}

fn one(payload: &UniqueObject, claim: &ClaimPath, form: Form) -> Forwarded {
    let line = match at(payload, claim) {
        Ok(None) => return Forwarded::Absent,
        Ok(Some(value)) => line(value, form),
        Err(_) => None,
    };
    line.filter(|line| line.len() <= MAX_VALUE_BYTES).map_or(Forwarded::Unfit, |line| Forwarded::Value(line.into_boxed_str()))
}

fn line(value: &Value, form: Form) -> Option<String> {
    match (form, value) {
        (Form::Text, Value::String(text)) => Some(safe_value(text)),
        // Without quotes a number, or a list of one, would look like text.
        (Form::Text, _) => None,
        (Form::Item, Value::Array(list)) => {
            let mut line = "(".to_owned();
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    line.push(' ');
                }
                push_item(&mut line, value)?;
            }
            line.push(')');
            Some(line)
        }
        (Form::Item, value) => {
            let mut line = String::new();
            push_item(&mut line, value)?;
            Some(line)
        }
    }
}

fn push_item(line: &mut String, value: &Value) -> Option<()> {
    match value {
        Value::String(text) => structured::push_text(line, text),
        Value::Bool(value) => structured::push_boolean(line, *value),
        Value::Number(number) => return push_number(line, number),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    }
    Some(())
}

fn push_number(line: &mut String, number: &Number) -> Option<()> {
    match number.as_i64() {
        Some(integer) => structured::push_integer(line, integer),
        // What is greater has too many digits.
        None if number.is_u64() => None,
        None => structured::push_decimal(line, number.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use super::{ClaimPath, Form, Forwarded, ForwardedClaim, MAX_VALUE_BYTES, UniqueObject, Value, read};
    use serde_json::json;

    fn given(payload: Value, claim: Value, form: Form) -> Forwarded {
        let payload: UniqueObject = serde_json::from_value(payload).unwrap();
        let claim: ClaimPath = serde_json::from_value(claim).unwrap();
        read(&payload, &[ForwardedClaim { claim, form }])[0].clone()
    }

    fn item(value: &Value) -> Option<String> {
        match given(json!({"c": value}), json!("c"), Form::Item) {
            Forwarded::Value(line) => Some(line.into()),
            Forwarded::Unfit => None,
            Forwarded::Absent => panic!(),
        }
    }

    #[test]
    fn a_value_has_one_line_and_a_line_one_value() {
        let values = [
            (json!("5"), Some(r#""5""#)),
            (json!(5), Some("5")),
            (json!(5.0), Some("5.0")),
            (json!(-5), Some("-5")),
            (json!("true"), Some(r#""true""#)),
            (json!(true), Some("?1")),
            (json!(false), Some("?0")),
            (json!(""), Some(r#""""#)),
            (json!([]), Some("()")),
            (json!([""]), Some(r#"("")"#)),
            (json!("()"), Some(r#""()""#)),
            (json!(["a", "b"]), Some(r#"("a" "b")"#)),
            (json!(["a b"]), Some(r#"("a b")"#)),
            (json!(["a\" \"b"]), Some(r#"("a\" \"b")"#)),
            (json!("a, b"), Some(r#""a, b""#)),
            (json!(["a", 1, true, 1.5, "é"]), Some(r#"("a" 1 ?1 1.5 %"%c3%a9")"#)),
            (json!("é"), Some(r#"%"%c3%a9""#)),
            (json!("%c3%a9"), Some(r#""%c3%a9""#)),
            (json!("a\r\nx-user: \"root\""), Some(r#"%"a%0d%0ax-user: %22root%22""#)),
            (json!(null), None),
            (json!({}), None),
            (json!({"a": 1}), None),
            (json!([null]), None),
            (json!([["a"]]), None),
            (json!([{"a": 1}]), None),
            (json!(1_000_000_000_000_000_i64), None),
            (json!(u64::MAX), None),
            (json!(0.1234), None),
        ];
        for (index, (value, line)) in values.iter().enumerate() {
            assert_eq!(item(value).as_deref(), *line, "{value}");
            assert!(line.is_none() || values.iter().take(index).all(|(_, other)| other != line), "{value}");
        }
    }

    #[test]
    fn text_is_for_text_alone() {
        let text = |value: Value| given(json!({"c": value}), json!("c"), Form::Text);
        assert_eq!(text(json!("ann")), Forwarded::Value("ann".into()));
        assert_eq!(text(json!(" 50%é\r\n")), Forwarded::Value("%2050%25%C3%A9%0D%0A".into()));
        for other in [json!(5), json!(true), json!(["ann"]), json!([]), json!(null), json!({})] {
            assert_eq!(text(other.clone()), Forwarded::Unfit, "{other}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be_said() {
        let payload = json!({"realm": {"roles": ["a"]}, "realm.roles": "b", "null": null});
        assert_eq!(given(payload.clone(), json!(["realm", "roles"]), Form::Item), Forwarded::Value(r#"("a")"#.into()));
        assert_eq!(given(payload.clone(), json!("realm.roles"), Form::Item), Forwarded::Value(r#""b""#.into()));
        assert_eq!(given(payload.clone(), json!(["realm", "groups"]), Form::Item), Forwarded::Absent);
        assert_eq!(given(payload.clone(), json!("roles"), Form::Item), Forwarded::Absent);
        assert_eq!(given(payload.clone(), json!(["realm.roles", "a"]), Form::Item), Forwarded::Unfit);
        assert_eq!(given(payload, json!(["null", "a"]), Form::Item), Forwarded::Unfit);
    }

    #[test]
    fn a_line_has_an_end() {
        assert_eq!(item(&json!("x".repeat(MAX_VALUE_BYTES - 2))).map(|line| line.len()), Some(MAX_VALUE_BYTES));
        assert_eq!(item(&json!("x".repeat(MAX_VALUE_BYTES - 1))), None);
        assert_eq!(item(&json!(vec!["é"; 2000])), None);
    }
}

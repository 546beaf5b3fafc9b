//! A document with the place of each of its parts: what YAML and JSON have in common, as ranges of bytes of the file.

use std::fmt::Write as _;
use std::ops::Range;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its bytes in the file.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text, a number, a boolean or nothing.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// An object.
    Map(Vec<Member>),
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scalar {
    /// What it says, without quotes and escapes.
    pub text: String,
    /// Whether it stands without quotes: what it is then depends on what it says.
    pub plain: bool,
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where the name stands.
    pub span: Range<usize>,
    /// Its value.
    pub value: Node,
}

/// What a place in a document leads to.
#[derive(Clone, Copy, Debug)]
pub struct Reached<'a> {
    /// The innermost value on the way that is there.
    pub node: &'a Node,
    /// The member whose value it is, unless it stands in a list or is all of it.
    pub member: Option<&'a Member>,
    /// Whether the way was there to its end.
    pub whole: bool,
}

impl Node {
    /// The members, if this is an object.
    pub fn members(&self) -> &[Member] {
        if let Kind::Map(members) = &self.kind { members } else { &[] }
    }

    /// The elements, if this is a list.
    pub fn elements(&self) -> &[Self] {
        if let Kind::List(elements) = &self.kind { elements } else { &[] }
    }

    /// The member of this name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.name == name)
    }

    /// The value of the member of this name.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.member(name).map(|member| &member.value)
    }

    /// The value that members of these names lead to.
    pub fn at(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |node, name| node.get(name))
    }

    /// What a scalar says.
    pub fn text(&self) -> Option<&str> {
        if let Kind::Scalar(scalar) = &self.kind { Some(&scalar.text) } else { None }
    }

    /// A boolean.
    pub fn boolean(&self) -> Option<bool> {
        let Kind::Scalar(scalar) = &self.kind else { return None };
        if scalar.plain { boolean(&scalar.text) } else { None }
    }

    /// A number of something.
    pub fn number(&self) -> Option<u64> {
        self.text()?.parse().ok()
    }

    /// Where this leads: `agents[1].match.path_prefix`, a name with a dot in quotes.
    pub fn reach(&self, place: &str) -> Reached<'_> {
        let mut reached = Reached { node: self, member: None, whole: true };
        for step in steps(place) {
            match &reached.node.kind {
                Kind::Map(members) => match members.iter().find(|member| member.name == step) {
                    Some(member) => reached = Reached { node: &member.value, member: Some(member), whole: true },
                    None => return Reached { whole: false, ..reached },
                },
                Kind::List(elements) => match step.parse().ok().and_then(|index: usize| elements.get(index)) {
                    Some(element) => reached = Reached { node: element, member: None, whole: true },
                    None => return Reached { whole: false, ..reached },
                },
                Kind::Scalar(_) => return Reached { whole: false, ..reached },
            }
        }
        reached
    }

    /// The same as JSON, with the members in their order, as `pluginConfig` of Istio and `config` of Envoy Gateway come to the filter.
    pub fn json(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match &self.kind {
            Kind::Scalar(scalar) => text.push_str(&scalar.json()),
            Kind::List(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    text.push(if index == 0 { '[' } else { ',' });
                    element.write(text);
                }
                text.push_str(if elements.is_empty() { "[]" } else { "]" });
            }
            Kind::Map(members) => {
                for (index, member) in members.iter().enumerate() {
                    text.push(if index == 0 { '{' } else { ',' });
                    let _ = write!(text, "{}:", serde_json::Value::from(member.name.as_str()));
                    member.value.write(text);
                }
                text.push_str(if members.is_empty() { "{}" } else { "}" });
            }
        }
    }

    /// Every scalar with the place that leads to it.
    pub fn scalars(&self, place: &mut Vec<String>, each: &mut impl FnMut(&[String], &Self)) {
        match &self.kind {
            Kind::Scalar(_) => each(place, self),
            Kind::List(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    place.push(format!("[{index}]"));
                    element.scalars(place, each);
                    place.pop();
                }
            }
            Kind::Map(members) => {
                for member in members {
                    place.push(step(&member.name));
                    member.value.scalars(place, each);
                    place.pop();
                }
            }
        }
    }

    /// The same with every range changed.
    pub fn moved(mut self, to: &impl Fn(&Range<usize>) -> Range<usize>) -> Self {
        self.span = to(&self.span);
        match &mut self.kind {
            Kind::Scalar(_) => {}
            Kind::List(elements) => *elements = std::mem::take(elements).into_iter().map(|element| element.moved(to)).collect(),
            Kind::Map(members) => {
                for member in members {
                    member.span = to(&member.span);
                    let value = std::mem::replace(&mut member.value, Self { span: 0..0, kind: Kind::List(Vec::new()) });
                    member.value = value.moved(to);
                }
            }
        }
        self
    }
}

impl Scalar {
    /// What Kubernetes and Envoy make of it: both read `yes` and `on` as booleans.
    fn json(&self) -> String {
        if !self.plain {
            return serde_json::Value::from(self.text.as_str()).to_string();
        }
        if matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL") {
            return "null".to_owned();
        }
        if let Some(is) = boolean(&self.text) {
            return is.to_string();
        }
        let starts_as_number = self.text.starts_with(|letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '+' | '.'));
        if starts_as_number {
            // `1.0` stays as it is written, so that an error can show it.
            if serde_json::from_str::<serde_json::Number>(&self.text).is_ok() {
                return self.text.clone();
            }
            let hexadecimal = self.text.strip_prefix("0x").and_then(|digits| i64::from_str_radix(digits, 16).ok());
            if let Some(whole) = hexadecimal.or_else(|| self.text.parse().ok()) {
                return whole.to_string();
            }
            if let Some(number) = self.text.parse().ok().and_then(serde_json::Number::from_f64) {
                return number.to_string();
            }
        }
        serde_json::Value::from(self.text.as_str()).to_string()
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
        _ => None,
    }
}

/// A member's name as a step of a place.
pub fn step(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_plain { name.to_owned() } else { format!("{name:?}") }
}

/// `agents` and `[0]` as `agents[0]`.
pub fn joined(steps: &[String]) -> String {
    let mut place = String::new();
    for step in steps {
        if !place.is_empty() && !step.starts_with('[') {
            place.push('.');
        }
        place.push_str(step);
    }
    place
}

/// The names and indexes that `place` is made of.
pub fn steps(place: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut is_quoted = false;
    for letter in place.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '.' | '[' if !is_quoted => names.push(String::new()),
            ']' if !is_quoted => {}
            other => names.last_mut().into_iter().for_each(|name| name.push(other)),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::{Kind, Node, Scalar, joined, steps};

    fn plain(text: &str) -> String {
        Node { span: 0..0, kind: Kind::Scalar(Scalar { text: text.to_owned(), plain: true }) }.json()
    }

    #[test]
    fn plain_scalars_are_what_kubernetes_makes_of_them() {
        for (text, expected) in [
            ("1.0", "1.0"),
            ("0x10", "16"),
            ("+5", "5"),
            (".5", "0.5"),
            ("1e3", "1e3"),
            ("5s", "\"5s\""),
            ("10.0.0.1", "\"10.0.0.1\""),
            ("yes", "true"),
            ("Off", "false"),
            ("~", "null"),
            ("", "null"),
            ("-", "\"-\""),
            ("a\"b", "\"a\\\"b\""),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn a_place_comes_apart_and_together() {
        let place = "agents[0].versions.\"1.0\".bindings[2]";
        assert_eq!(steps(place), ["agents", "0", "versions", "1.0", "bindings", "2"]);
        let parts = ["agents", "[0]", "versions", "\"1.0\"", "bindings", "[2]"].map(str::to_owned);
        assert_eq!(joined(&parts), place);
    }
}

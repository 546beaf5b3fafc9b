//! A caller as an agent reads it: the part of the dictionary in `x-attache` (RFC 9651 section 3.2) that follows from the caller alone.
//! Tokens are remembered, so it is written once for each.

use super::Caller;
use crate::config::{Config, Form, Member};
use crate::wire::header::safe_value;
use crate::wire::structured::{push_text, push_texts};
use std::cell::OnceCell;

/// A caller's, once it was asked for. No part of who it is.
#[derive(Clone, Debug, Default)]
pub struct Rendered(OnceCell<Box<str>>);

impl Rendered {
    /// One that nobody has asked for.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceCell::new())
    }
}

impl PartialEq for Rendered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Rendered {}

impl Caller {
    /// The members of the dictionary that tell of the caller, from `kind` to `scopes`; those that it does not have are left out.
    /// `config` is the one that it was verified with.
    #[must_use]
    pub fn rendered(&self, config: &Config) -> &str {
        self.rendered.0.get_or_init(|| self.render(config).into_boxed_str())
    }

    fn render(&self, config: &Config) -> String {
        let mut line = String::new();
        for member in [Member::Kind, Member::Issuer, Member::Tenant, Member::Subject, Member::Client, Member::Actor] {
            if let Some(value) = self.named(member, config) {
                push_member(&mut line, member, value);
            }
        }
        push_key(&mut line, Member::Scopes);
        push_texts(&mut line, self.scopes.iter().map(String::as_str));
        line
    }

    /// One member, as a header of its own has it. `None` if the caller does not have it.
    #[must_use]
    pub fn single(&self, member: Member, form: Form, config: &Config) -> Option<String> {
        let scopes = || self.scopes.iter().map(String::as_str);
        match (member, form) {
            (Member::Scopes, Form::Item) => {
                let mut line = String::new();
                push_texts(&mut line, scopes());
                Some(line)
            }
            // Scopes have no blanks in them (RFC 6749 section 3.3).
            (Member::Scopes, Form::Text) => Some(safe_value(&self.scopes.join(" "))),
            (member, form) => self.named(member, config).map(|name| write(name, form)),
        }
    }

    fn named<'a>(&'a self, member: Member, config: &'a Config) -> Option<&'a str> {
        match member {
            Member::Kind => Some(self.kind.as_str()),
            Member::Issuer => self.origin.voucher(config).map(|voucher| voucher.name()),
            Member::Tenant => self.tenant.as_deref(),
            Member::Subject => self.subject.as_deref(),
            Member::Client => self.client.as_deref(),
            Member::Actor => self.actors.first().map(String::as_str),
            Member::Scopes | Member::Agent | Member::Operation | Member::Version => None,
        }
    }
}

/// `text` as the value of a header of its own.
#[must_use]
pub fn write(text: &str, form: Form) -> String {
    match form {
        Form::Text => safe_value(text),
        Form::Item => {
            let mut line = String::new();
            push_text(&mut line, text);
            line
        }
    }
}

/// Writes a member of the dictionary behind those that are there.
pub fn push_member(line: &mut String, member: Member, value: &str) {
    push_key(line, member);
    push_text(line, value);
}

fn push_key(line: &mut String, member: Member) {
    if !line.is_empty() {
        line.push_str(", ");
    }
    line.push_str(member.name());
    line.push('=');
}

#[cfg(test)]
mod tests {
    use super::{Caller, Config, Form, Member};
    use crate::identity::Origin;

    fn config() -> Config {
        let json = r#"{"issuers": [{"name": "c\"rp", "issuer": "https://a", "audiences": ["a"], "jwks": {"inline": {"keys": []}}}],
            "schemes": {"open": {"none": {}}}, "agents": [{"name": "a", "match": {"hosts": ["a"], "path_prefix": "/"},
            "versions": {"0.3": {"bindings": ["jsonrpc"]}}, "security": [{"open": []}]}]}"#;
        Config::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_caller_is_written_once_and_without_what_it_lacks() {
        let text = |text: &str| Some(text.to_owned());
        let caller = Caller {
            tenant: text("t, subject=\"root\""),
            subject: text("Zoë"),
            scopes: vec!["a".to_owned(), "b:c".to_owned()],
            actors: vec!["x".to_owned(), "y".to_owned()],
            ..Caller::of(Origin::Issuer(0))
        };
        let written = r#"kind="service", issuer="c\"rp", tenant="t, subject=\"root\"", subject=%"Zo%c3%ab", actor="x", scopes=("a" "b:c")"#;
        assert_eq!(caller.rendered(&config()), written);
        assert!(std::ptr::eq(caller.rendered(&config()), caller.rendered(&config())));
        assert_eq!(Caller::of(Origin::Scheme(0)).rendered(&config()), r#"kind="service", issuer="open", scopes=()"#);
    }

    #[test]
    fn single_headers_have_the_same() {
        let caller =
            Caller { subject: Some(" Zoë".to_owned()), scopes: vec!["a".to_owned(), "b".to_owned()], ..Caller::of(Origin::Issuer(0)) };
        let single = |member, form| caller.single(member, form, &config());
        assert_eq!(single(Member::Subject, Form::Item).as_deref(), Some(r#"%" Zo%c3%ab""#));
        assert_eq!(single(Member::Subject, Form::Text).as_deref(), Some("%20Zo%C3%AB"));
        assert_eq!(single(Member::Scopes, Form::Item).as_deref(), Some(r#"("a" "b")"#));
        assert_eq!(single(Member::Scopes, Form::Text).as_deref(), Some("a b"));
        assert_eq!(single(Member::Client, Form::Item), None);
        let nobody = Caller::of(Origin::Scheme(0));
        assert_eq!(nobody.single(Member::Scopes, Form::Item, &config()).as_deref(), Some("()"));
        assert_eq!(nobody.single(Member::Scopes, Form::Text, &config()).as_deref(), Some(""));
    }
}

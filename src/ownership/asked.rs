//! A request for a list of tasks whose body says what is wanted. A list of everything needs to see all of each task's history,
//! because the caller's mark may stand in the first message: so the agent is asked for that, whatever the caller asks for.

use super::body::{Problem, named, quoted, untagged};
use super::places::{Place, Places};
use super::tag::{Subject, Tagger};
use crate::protocol::Version;
use crate::wire::rewrite::{Rewriter, Seen};
use crate::wire::scan::{End, Kind, Limits};
use std::rc::Rc;

/// All of the history: the greatest number that there is in it.
pub(super) const ALL: &str = "2147483647";

/// Longest page token, in bytes: one of an agent, of which the answer's scan keeps so much, and what is put around it.
const MAX_TOKEN_BYTES: usize = 4096;

/// What list a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The context, as the agent knows it; `None` for a list of everything.
    pub context: Option<String>,
    /// Most messages of a task's history, where the agent is asked for all of it.
    pub history: Option<u32>,
}

/// What was found of it, and where in what goes on.
#[derive(Default)]
struct Found {
    context: Option<String>,
    request: Option<usize>,
    /// Behind the bracket, and whether anything is in it.
    params: Option<(usize, bool)>,
    /// The number as written.
    length: Option<(usize, String)>,
}

/// What goes on of `body`, all of which is there, and what it asks for.
///
/// # Errors
/// If it names what is not the caller's, or is not known to mean one thing.
pub fn listed_body(body: &[u8], places: &Rc<Places>, tagger: &Tagger, version: Version) -> Result<(Vec<u8>, Listed), Problem> {
    let limits = Limits { text: MAX_TOKEN_BYTES, ..Limits::default() };
    let mut rewriter = Rewriter::new(limits, places.json());
    let (mut out, mut found) = (Vec::with_capacity(body.len().saturating_add(64)), Found::default());
    rewriter.feed(body, &mut out, |seen, out| found.seen(seen, out, places, tagger))?;
    rewriter.end()?;
    let mut listed = Listed { context: found.context, history: None };
    if places.mark().is_some() && listed.context.is_none() {
        match (found.length, found.params, found.request) {
            (Some((at, json)), ..) => {
                listed.history = wanted(&json, version)?;
                out.splice(at..at.saturating_add(json.len()), ALL.bytes());
            }
            (None, Some((at, is_filled)), _) => {
                let member = format!("\"historyLength\":{ALL}{}", if is_filled { "," } else { "" });
                out.splice(at..at, member.bytes());
            }
            (None, None, Some(at)) => {
                out.splice(at..at, format!("\"params\":{{\"historyLength\":{ALL}}},").bytes());
            }
            (None, None, None) => {}
        }
    }
    Ok((out, listed))
}

impl Found {
    fn seen(&mut self, seen: Seen<'_>, out: &[u8], places: &Places, tagger: &Tagger) -> Result<Option<String>, Problem> {
        let Some(place) = places.at(seen.asked) else { return Ok(None) };
        match (place, seen.kind, seen.end) {
            (Place::Request, Kind::Object, _) => self.request = Some(out.len()),
            (Place::Params, Kind::Object, None) => self.params = Some((out.len(), false)),
            (Place::Params, Kind::Object, Some(end)) => self.params = self.params.map(|(at, _)| (at, end == End::Filled)),
            // Readers differ on params that are no object.
            (Place::Params, ..) => return Err(Problem::HistoryLength),
            (Place::HistoryLength, ..) => self.length = Some((out.len(), seen.json.ok_or(Problem::HistoryLength)?.to_owned())),
            (Place::PageToken, ..) => {
                let Some(token) = named(seen).map_err(|_| Problem::Page)? else { return Ok(None) };
                return Ok(Some(quoted(tagger.unsealed(&token).ok_or(Problem::Page)?)));
            }
            (Place::Id(Subject::Context), Kind::String, _) => {
                let context =
                    named(seen)?.map(|shown| tagger.untagged(Subject::Context, &shown).map(str::to_owned).ok_or(Problem::NotFound));
                self.context = context.transpose()?;
                return untagged(place, seen, tagger);
            }
            _ => return untagged(place, seen, tagger),
        }
        Ok(None)
    }
}

/// How much history `text` asks for: a number, which ProtoJSON also has as a text, or nothing.
pub(super) fn wanted(text: &str, version: Version) -> Result<Option<u32>, Problem> {
    if text == "null" {
        return Ok(None);
    }
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::HistoryLength);
    }
    let length: i32 = digits.parse().map_err(|_| Problem::HistoryLength)?;
    let length = u32::try_from(length).map_err(|_| Problem::HistoryLength)?;
    // 0.3 reads 0 as "no limit".
    Ok((length > 0 || version == Version::V1_0).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::super::plans::Plans;
    use super::super::tag::Subject;
    use super::super::tag::tests::{shown, tagger};
    use super::{Listed, Problem, Version, listed_body};
    use crate::protocol::{Binding, Operation};
    use crate::wire::scan::Fault;

    fn list(params: &str, mark: Option<&str>) -> Result<(String, Listed), Problem> {
        let plans = Plans::new(mark);
        let places = plans.request(Binding::Jsonrpc, Operation::ListTasks, Version::V1_0).unwrap();
        let body = format!(r#"{{ "jsonrpc":"2.0","id":1{params}}}"#);
        let (out, listed) = listed_body(body.as_bytes(), places, &tagger("ann"), Version::V1_0)?;
        let out = String::from_utf8(out).unwrap();
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{out}");
        Ok((out, listed))
    }

    #[test]
    fn a_list_of_everything_asks_for_all_of_the_history() {
        for (params, expected, history) in [
            ("", r#"{"params":{"historyLength":2147483647}, "jsonrpc":"2.0","id":1}"#, None),
            (r#","params":{}"#, r#"{ "jsonrpc":"2.0","id":1,"params":{"historyLength":2147483647}}"#, None),
            (r#","params":{ "pageSize":2}"#, r#"{ "jsonrpc":"2.0","id":1,"params":{"historyLength":2147483647, "pageSize":2}}"#, None),
            (r#","params":{"historyLength": 3 }"#, r#"{ "jsonrpc":"2.0","id":1,"params":{"historyLength": 2147483647 }}"#, Some(3)),
            (r#","params":{"history_length":"0"}"#, r#"{ "jsonrpc":"2.0","id":1,"params":{"history_length":2147483647}}"#, Some(0)),
            (
                r#","params":{"historyLength":null,"contextId":""}"#,
                r#"{ "jsonrpc":"2.0","id":1,"params":{"historyLength":2147483647,"contextId":""}}"#,
                None,
            ),
        ] {
            assert_eq!(list(params, Some("x-owner")), Ok((expected.to_owned(), Listed { context: None, history })), "{params}");
            let unchanged = format!(r#"{{ "jsonrpc":"2.0","id":1{params}}}"#);
            assert_eq!(list(params, None), Ok((unchanged, Listed::default())), "{params}");
        }
        for odd in ["-1", "2.0", "2e0", "2147483648", "true", "[1]", "{}", "\"\"", "\" 1\"", "\"null\""] {
            assert_eq!(list(&format!(r#","params":{{"historyLength":{odd}}}"#), Some("x-owner")), Err(Problem::HistoryLength), "{odd}");
        }
    }

    #[test]
    fn a_list_of_a_context_and_a_page_are_whose_they_were_shown_to() {
        let (ann, bob) = (tagger("ann"), tagger("bob"));
        let context = shown(&ann, Subject::Context, "c1");
        for mark in [Some("x-owner"), None] {
            let params =
                |context: &str, token: &str| format!(r#","params":{{"historyLength":3,"contextId":"{context}","pageToken":"{token}"}}"#);
            let (out, listed) = list(&params(&context, &ann.sealed("p\"2").unwrap()), mark).unwrap();
            assert_eq!(out, format!(r#"{{ "jsonrpc":"2.0","id":1{}}}"#, params("c1", "p\\\"2")));
            assert_eq!(listed, Listed { context: Some("c1".to_owned()), history: None });
            assert_eq!(list(&params("c1", ""), mark), Err(Problem::NotFound));
            for token in ["p2", &bob.sealed("p2").unwrap(), &context] {
                assert_eq!(list(&params(&context, token), mark), Err(Problem::Page), "{token}");
            }
            assert_eq!(list(r#","params":{"pageToken":7}"#, mark), Err(Problem::Page));
            assert!(list(r#","params":{"pageToken":null}"#, mark).is_ok());
            assert_eq!(list(r#","params":{"pageToken":"","page_token":""}"#, mark), Err(Problem::Fault(Fault::RepeatedName)));
        }
        // The longest that an agent can have given fits.
        let long = "x".repeat(2046);
        assert!(list(&format!(r#","params":{{"pageToken":"{}"}}"#, ann.sealed(&long).unwrap()), None).unwrap().0.contains(&long));
    }
}

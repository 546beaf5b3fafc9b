//! A list of tasks on its way out. A list of a context holds tasks of that context and no other. A list of everything shows the
//! tasks whose history has a message of the caller: one of the user's role with the caller's mark. What no message of the
//! caller began or went on with is not shown, for an agent may write what it likes in messages of its own. How much history is
//! shown is what was asked for, because the agent was asked for all of it. The list is made anew of what is known of it: a
//! member that is not known could hold tasks as well.

use super::answer::{LIMITS, tagged};
use super::body::{Problem, quoted, text};
use super::places::{Place, Places};
use super::tag::Tagger;
use super::unmark::Unmarking;
use crate::wire::rewrite::{Rewriter, Seen};
use crate::wire::scan::Kind;
use std::ops::Range;
use std::rc::Rc;

/// What roles of users are called: 1.0, 0.3.
const USERS: [&str; 2] = ["ROLE_USER", "user"];

/// The answer to a request for a list.
#[derive(Clone, Debug)]
pub struct List {
    rewriter: Rewriter,
    reading: Reading,
    out: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Reading {
    places: Rc<Places>,
    tagger: Rc<Tagger>,
    /// The only context that tasks may have, as the agent knows it; `None` for a list of everything.
    context: Option<String>,
    /// Most messages of a history.
    history: Option<usize>,
    unmarking: Unmarking,
    /// Where the tasks are in what goes on, once they have ended.
    tasks: Option<Range<usize>>,
    /// Where they begin, where the last one that is shown ends, and how many are.
    begin: usize,
    end: usize,
    shown: usize,
    /// Of the task that is being read: it is of the context, it is the caller's, and where its messages begin.
    is_placed: bool,
    is_own: bool,
    messages: Option<(usize, Vec<usize>)>,
    /// Of the message: it is a user's, and has the caller's mark.
    is_users: bool,
    is_marked: bool,
    /// Of the answer.
    id: Option<String>,
    is_list: bool,
    is_error: bool,
    page_token: String,
    page_size: Option<String>,
}

impl List {
    /// A list of `context`, as the agent knows it, or of everything, of which nothing has come. `history`: so many messages of
    /// each task go on at most.
    #[must_use]
    pub fn new(places: Rc<Places>, tagger: Rc<Tagger>, context: Option<String>, history: Option<u32>) -> Self {
        let reading = Reading {
            tagger,
            context,
            history: history.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
            unmarking: Unmarking::default(),
            tasks: None,
            begin: 0,
            end: 0,
            shown: 0,
            is_placed: false,
            is_own: false,
            messages: None,
            is_users: false,
            is_marked: false,
            id: None,
            is_list: false,
            is_error: false,
            page_token: String::new(),
            page_size: None,
            places,
        };
        Self { rewriter: Rewriter::new(LIMITS, reading.places.json()), reading, out: Vec::new() }
    }

    /// Reads all of `chunk`.
    ///
    /// # Errors
    /// Why nothing goes on. The list is not to be fed further then.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Problem> {
        let Self { rewriter, reading, out } = self;
        rewriter.feed(chunk, out, |seen, out| reading.seen(seen, out))
    }

    /// How many bytes are held.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.out.len()
    }

    /// Whether the document has ended, so that only white space may follow. Bare numbers never tell.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.rewriter.has_ended()
    }

    /// Tells that nothing more comes: what goes on. `is_success` tells of the answer's HTTP status; another answer is none of a list.
    ///
    /// # Errors
    /// If the document has not ended, or is no list.
    pub fn end(&mut self, is_success: bool) -> Result<Vec<u8>, Problem> {
        self.rewriter.end()?;
        let out = std::mem::take(&mut self.out);
        self.reading.answer(out, is_success)
    }
}

impl Reading {
    fn seen(&mut self, seen: Seen<'_>, out: &mut Vec<u8>) -> Result<Option<String>, Problem> {
        let Some(place) = self.places.at(seen.asked) else { return Ok(None) };
        let is_text = seen.kind == Kind::String;
        let json = seen.json.unwrap_or_default();
        match place {
            Place::List if seen.kind == Kind::Object => self.is_list = true,
            Place::List if seen.kind != Kind::Null => return Err(Problem::NoList),
            Place::Error => self.is_error |= seen.kind != Kind::Null,
            Place::AnswerId => self.id = seen.json.map(str::to_owned),
            Place::PageToken if is_text => self.page_token = text(json)?,
            Place::PageSize if seen.kind == Kind::Number => self.page_size = Some(json.to_owned()),
            Place::PageToken | Place::PageSize if seen.kind != Kind::Null => return Err(Problem::NoList),
            Place::Tasks => self.tasks(seen, out)?,
            Place::Item => self.item(seen, out)?,
            Place::ItemContext => {
                let id = if is_text { Some(text(json)?) } else { None };
                if self.context.is_some() && self.context != id {
                    return Err(Problem::Foreign);
                }
                self.is_placed = true;
                return tagged(place, seen, &self.tagger);
            }
            Place::History => self.history(seen, out),
            Place::Said => self.said(seen, out)?,
            Place::Role => self.is_users = is_text && USERS.contains(&text(json)?.as_str()),
            Place::Metadata => self.unmarking.metadata(seen, out),
            Place::Mark | Place::SaidMark => {
                self.is_marked |= place == Place::SaidMark && is_text && self.tagger.is_mark(&text(json)?);
                return Ok(self.unmarking.mark(seen, out));
            }
            _ => return tagged(place, seen, &self.tagger),
        }
        Ok(None)
    }

    fn tasks(&mut self, seen: Seen<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
        match (seen.kind, seen.end) {
            (Kind::Array, None) => (self.begin, self.end) = (out.len(), out.len()),
            (Kind::Array, Some(_)) => {
                out.truncate(self.end);
                self.tasks = Some(self.begin..self.end);
                out.push(b']');
            }
            (Kind::Null, _) => {}
            _ => return Err(Problem::NoList),
        }
        Ok(())
    }

    fn item(&mut self, seen: Seen<'_>, out: &mut Vec<u8>) -> Result<(), Problem> {
        match (seen.kind, seen.end) {
            (Kind::Object, None) => {
                // What stands between is a task that is not shown, a comma, white space.
                out.truncate(self.end);
                if self.shown > 0 {
                    out.push(b',');
                }
                out.push(b'{');
                (self.is_placed, self.is_own) = (false, false);
            }
            (Kind::Object, Some(_)) => {
                if self.context.is_some() && !self.is_placed {
                    return Err(Problem::Foreign);
                }
                if self.context.is_some() || self.is_own {
                    self.shown = self.shown.saturating_add(1);
                    self.end = out.len();
                }
            }
            _ => return Err(Problem::Foreign),
        }
        Ok(())
    }

    fn history(&mut self, seen: Seen<'_>, out: &mut Vec<u8>) {
        match (seen.kind, seen.end) {
            (Kind::Array, None) => self.messages = Some((out.len(), Vec::new())),
            (Kind::Array, Some(_)) => {
                let (Some((begin, messages)), Some(most)) = (self.messages.take(), self.history) else { return };
                let cut = messages.len().saturating_sub(most);
                // Behind the last there is the bracket.
                let end = messages.get(cut).copied().unwrap_or(out.len().saturating_sub(1));
                if cut > 0 && begin <= end && end <= out.len() {
                    out.drain(begin..end);
                }
            }
            _ => {}
        }
    }

    fn said(&mut self, seen: Seen<'_>, out: &[u8]) -> Result<(), Problem> {
        match (seen.kind, seen.end) {
            (Kind::Object, None) => {
                (self.is_users, self.is_marked) = (false, false);
                if let (Some((_, messages)), Some(_)) = (&mut self.messages, self.history) {
                    messages.push(out.len().saturating_sub(1));
                }
            }
            (Kind::Object, Some(_)) => self.is_own |= self.is_users && self.is_marked,
            // How many there are would not be known.
            _ if self.history.is_some() => return Err(Problem::Foreign),
            _ => {}
        }
        Ok(())
    }

    /// The answer, of which all has come.
    fn answer(&self, out: Vec<u8>, is_success: bool) -> Result<Vec<u8>, Problem> {
        // An error of JSON-RPC has no result; one of HTTP+JSON says so in place of tasks.
        let is_rpc = self.places.is_rpc();
        let is_other = !is_success || self.is_error && if is_rpc { !self.is_list } else { self.tasks.is_none() };
        if is_other {
            return Ok(out);
        }
        if !self.is_list {
            return Err(Problem::NoList);
        }
        let tasks = self.tasks.clone().and_then(|range| out.get(range)).unwrap_or_default();
        let token = match self.page_token.as_str() {
            "" => String::new(),
            token => self.tagger.sealed(token).ok_or(Problem::Early)?,
        };
        let (begin, end) = match (&self.id, is_rpc) {
            (id, true) => (format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":", id.as_deref().unwrap_or("null")), "}"),
            (_, false) => (String::new(), ""),
        };
        let size = self.page_size.as_ref().map(|size| format!(",\"pageSize\":{size}")).unwrap_or_default();
        let mut answer = Vec::with_capacity(tasks.len().saturating_add(256));
        answer.extend_from_slice(format!("{begin}{{\"tasks\":[").as_bytes());
        answer.extend_from_slice(tasks);
        let rest = format!("],\"nextPageToken\":{}{size},\"totalSize\":{}}}{end}", quoted(token), self.shown);
        answer.extend_from_slice(rest.as_bytes());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::plans::Plans;
    use super::super::tag::tests::{shown, tagger, tagger_in};
    use super::super::tag::{Subject, Tagger};
    use super::{List, Problem};
    use crate::protocol::{Binding, Operation, Version};
    use serde_json::{Value, json};
    use std::rc::Rc;

    /// Which list, of whom, and how.
    #[derive(Clone, Copy)]
    struct Asked {
        binding: Binding,
        mark: Option<&'static str>,
        context: Option<&'static str>,
        history: Option<u32>,
        is_success: bool,
    }

    const OF_CONTEXT: Asked = Asked { binding: Binding::HttpJson, mark: None, context: Some("c1"), history: None, is_success: true };
    const OF_ALL: Asked = Asked { mark: Some("x-owner"), context: None, ..OF_CONTEXT };

    /// What ann gets of `text`, in which `t1` and `c1` are then written `<t1>` and `(c1)` where they have their tags.
    fn pass(asked: Asked, text: &str, size: usize) -> Result<String, Problem> {
        let plans = Plans::new(asked.mark);
        let places = plans.answer(asked.binding, Operation::ListTasks, Version::V1_0).unwrap();
        let mut list = List::new(Rc::clone(places), tagger("ann"), asked.context.map(str::to_owned), asked.history);
        text.as_bytes().chunks(size).try_for_each(|chunk| list.feed(chunk))?;
        let out = String::from_utf8(list.end(asked.is_success)?).unwrap();
        let ann = tagger("ann");
        let out = out.replace(&shown(&ann, Subject::Task, "t1"), "<t1>").replace(&shown(&ann, Subject::Context, "c1"), "(c1)");
        Ok(out.replace(&ann.sealed("p2").unwrap(), "[p2]"))
    }

    /// The same, whatever the chunks.
    fn read(asked: Asked, text: &str) -> Result<Value, Problem> {
        let whole = pass(asked, text, usize::MAX);
        for size in [1, 2, 3, 7] {
            assert_eq!(pass(asked, text, size), whole, "{text} by {size}");
        }
        whole.map(|text| serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }

    /// A message of a history.
    fn said(role: &str, mark: Option<&str>, number: u32) -> Value {
        let mut said = json!({"role": role, "messageId": number.to_string(), "metadata": {"a": 1}});
        if let Some(mark) = mark {
            said["metadata"]["x-owner"] = json!(mark);
        }
        said
    }

    fn mark(tagger: &Tagger) -> String {
        tagger.mark().unwrap()
    }

    #[test]
    fn a_list_holds_tasks_of_the_context_that_was_asked_for() {
        let list = |tasks: &str| read(OF_CONTEXT, &format!(r#"{{"totalSize":7,"tasks":[{tasks}],"pageSize":2,"nextPageToken":"p2"}}"#));
        let own = r#"{"id":"t1","contextId":"c1","history":[{"contextId":"c2"}]}"#;
        assert_eq!(list("").unwrap(), json!({"tasks": [], "pageSize": 2, "nextPageToken": "[p2]", "totalSize": 0}));
        let answer = list(&format!("{own} , {own}")).unwrap();
        assert_eq!((&answer["tasks"][0]["id"], &answer["tasks"][1]["contextId"]), (&json!("<t1>"), &json!("(c1)")));
        assert_eq!(answer["totalSize"], 2);
        for foreign in [r#"{"id":"t1","contextId":"c2"}"#, r#"{"id":"t1"}"#, r#"{"id":"t1","contextId":null}"#, "7", "null", "[]", "\"t1\""]
        {
            for tasks in [foreign.to_owned(), format!("{own},{foreign}"), format!("{foreign},{own}")] {
                assert_eq!(list(&tasks), Err(Problem::Foreign), "{tasks}");
            }
        }
    }

    #[test]
    fn a_list_of_everything_shows_what_the_caller_has_marked() {
        let (ann, bob) = (mark(&tagger("ann")), mark(&tagger("bob")));
        let acme = mark(&tagger_in("ann", Some("acme")));
        let own =
            |id: &str| json!({"id": id, "contextId": "c1", "history": [said("ROLE_USER", Some(&ann), 1), said("ROLE_AGENT", None, 2)]});
        let foreign = [
            json!({"id": "u1", "history": [said("ROLE_USER", Some(&bob), 1)]}),
            json!({"id": "u1", "history": [said("ROLE_USER", Some(&acme), 1)]}),
            json!({"id": "u1", "history": [said("ROLE_USER", None, 1)]}),
            json!({"id": "u1", "history": [said("ROLE_USER", Some("forged"), 1)]}),
            // An agent may write what it likes, wherever a message of the caller is not.
            json!({"id": "u1", "history": [said("ROLE_AGENT", Some(&ann), 1)]}),
            json!({"id": "u1", "history": [{"metadata": {"x-owner": ann}}]}),
            json!({"id": "u1", "history": [{"role": "ROLE_USER", "metadata": {"x-owner": [ann]}}]}),
            json!({"id": "u1", "history": [said("ROLE_USER", None, 1), said("ROLE_AGENT", Some(&ann), 1)]}),
            json!({"id": "u1", "history": [{"role": "ROLE_USER", "parts": [{"metadata": {"x-owner": ann}}]}]}),
            json!({"id": "u1", "metadata": {"x-owner": ann}, "status": {"message": said("ROLE_USER", Some(&ann), 1)}}),
            json!({"id": "u1", "artifacts": [{"metadata": {"x-owner": ann}}]}),
            json!({"id": "u1", "history": []}),
            json!({"id": "u1", "history": said("ROLE_USER", Some(&ann), 1)}),
            json!({"id": "u1"}),
            json!({}),
        ];
        let shown = |id: &str| json!({"id": id, "contextId": "(c1)", "history": [said("ROLE_USER", None, 1), said("ROLE_AGENT", None, 2)]});
        for foreign in &foreign {
            for (tasks, expected) in [
                (vec![foreign.clone()], 0),
                (vec![own("t1"), foreign.clone()], 1),
                (vec![foreign.clone(), own("t1")], 1),
                (vec![foreign.clone(), own("t1"), foreign.clone(), foreign.clone(), own("t1"), foreign.clone()], 2),
            ] {
                let result = json!({"tasks": tasks, "totalSize": 50, "pageSize": 9, "nextPageToken": "p2", "other": foreign});
                let expected =
                    json!({"tasks": vec![shown("<t1>"); expected], "totalSize": expected, "pageSize": 9, "nextPageToken": "[p2]"});
                for text in [result.to_string(), serde_json::to_string_pretty(&result).unwrap()] {
                    assert_eq!(read(OF_ALL, &text).as_ref(), Ok(&expected), "{text}");
                }
                let rpc = Asked { binding: Binding::Jsonrpc, ..OF_ALL };
                let text = json!({"jsonrpc": "2.0", "id": "7", "result": result, "tasks": [foreign]}).to_string();
                assert_eq!(read(rpc, &text), Ok(json!({"jsonrpc": "2.0", "id": "7", "result": expected})), "{text}");
            }
        }
        // A message of 0.3.
        let old = json!({"tasks": [{"id": "t1", "history": [said("user", Some(&ann), 1)]}]}).to_string();
        assert_eq!(read(OF_ALL, &old).unwrap()["totalSize"], 1);
    }

    #[test]
    fn so_much_history_is_shown_as_was_asked_for() {
        let ann = mark(&tagger("ann"));
        let said = |number| said("ROLE_USER", (number == 1).then_some(&*ann), number);
        for length in [1, 2, 5] {
            let all: Vec<_> = (1..=length).map(said).collect();
            let list = json!({"tasks": [{"history": all, "id": "t1"}, {"id": "u", "history": []}, {"history": all, "id": "t1"}]});
            for most in 0..=6 {
                for text in [list.to_string(), serde_json::to_string_pretty(&list).unwrap()] {
                    let answer = read(Asked { history: Some(most), ..OF_ALL }, &text).unwrap();
                    assert_eq!(answer["totalSize"], 2);
                    for task in answer["tasks"].as_array().unwrap() {
                        let numbers =
                            task["history"].as_array().unwrap().iter().map(|said| said["messageId"].as_str().unwrap().parse().unwrap());
                        assert_eq!(
                            numbers.collect::<Vec<u32>>(),
                            (1..=length).skip(usize::try_from(length.saturating_sub(most)).unwrap()).collect::<Vec<_>>()
                        );
                        assert_eq!(task["id"], "<t1>");
                    }
                }
            }
        }
        let odd = json!({"tasks": [{"id": "t1", "history": [said(1), null, said(2)]}]}).to_string();
        assert_eq!(read(Asked { history: Some(1), ..OF_ALL }, &odd), Err(Problem::Foreign));
        assert_eq!(read(OF_ALL, &odd).unwrap()["totalSize"], 1);
    }

    #[test]
    fn what_is_no_list_shows_nothing() {
        let rpc = Asked { binding: Binding::Jsonrpc, ..OF_ALL };
        for asked in [OF_ALL, OF_CONTEXT, rpc, Asked { binding: Binding::Jsonrpc, ..OF_CONTEXT }] {
            let result = |text: &str| match asked.binding {
                Binding::Jsonrpc => format!(r#"{{"id":1,"jsonrpc":"2.0","result":{text}}}"#),
                _ => text.to_owned(),
            };
            for odd in [
                r#"[{"id":"u1"}]"#,
                "7",
                r#""u1""#,
                "null",
                r#"{"tasks":{"id":"u1"}}"#,
                r#"{"tasks":7}"#,
                r#"{"nextPageToken":7}"#,
                r#"{"pageSize":"u1"}"#,
            ] {
                assert_eq!(read(asked, &result(odd)), Err(Problem::NoList), "{odd}");
            }
            for empty in ["{}", r#"{"tasks":null}"#, r#"{"items":[{"id":"u1"}]}"#] {
                let answer = read(asked, &result(empty)).unwrap();
                let list = if asked.binding == Binding::Jsonrpc { &answer["result"] } else { &answer };
                assert_eq!(*list, json!({"tasks": [], "nextPageToken": "", "totalSize": 0}), "{empty}");
            }
        }
        // Errors are the agent's own words.
        for (asked, text) in [
            (rpc, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"x"}}"#),
            (rpc, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602},"result":null}"#),
            (OF_ALL, r#"{"error":{"code":400}}"#),
            (Asked { is_success: false, ..OF_ALL }, r#"{"title":"no"}"#),
            (Asked { is_success: false, ..OF_ALL }, "[]"),
        ] {
            assert_eq!(pass(asked, text, 3).as_deref(), if text == "[]" { Err(&Problem::NoList) } else { Ok(text) });
        }
        let both = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1},"result":{"tasks":[{"id":"u1"}]}}"#;
        assert_eq!(read(rpc, both).unwrap()["result"]["tasks"], json!([]));
        assert_eq!(read(OF_ALL, r#"{"error":{},"tasks":[{"id":"u1"}]}"#).unwrap()["tasks"], json!([]));
        assert_eq!(read(Asked { is_success: false, ..OF_ALL }, r#"{"tasks":[{"id":"u1"}]}"#), Ok(json!({"tasks": []})));
    }
}

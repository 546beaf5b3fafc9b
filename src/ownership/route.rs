//! The ids in request targets on their way in: the task of a route, the context by which a list is filtered, the page of it.

use super::asked::{ALL, Listed, wanted};
use super::body::Problem;
use super::tag::{Subject, Tagger};
use crate::protocol::{Version, http_json};
use crate::wire::scan::Fault;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What has to be escaped in a path segment or query value: all but the unreserved and the colon (RFC 3986 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// What a query parameter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    Id(Subject),
    PageToken,
    HistoryLength,
}

/// Query parameters that name something: both spellings of ProtoJSON.
const NAMES: [(&str, Parameter); 4] = [
    ("contextId", Parameter::Id(Subject::Context)),
    ("context_id", Parameter::Id(Subject::Context)),
    ("taskId", Parameter::Id(Subject::Task)),
    ("task_id", Parameter::Id(Subject::Task)),
];

/// Those that say more of a list.
const OF_LISTS: [(&str, Parameter); 4] = [
    ("pageToken", Parameter::PageToken),
    ("page_token", Parameter::PageToken),
    ("historyLength", Parameter::HistoryLength),
    ("history_length", Parameter::HistoryLength),
];

/// `path`, a route of HTTP+JSON below the agent's prefix, with the task's id as the agent knows it. A route without one
/// stays as it is.
///
/// # Errors
/// If the task is not the caller's, or the path would name something else without its tag.
pub fn untagged_path(path: &str, method: &str, tagger: &Tagger) -> Result<String, Problem> {
    let Some(range) = http_json::task_id(path) else { return Ok(path.to_owned()) };
    let (Some(before), Some(shown), Some(behind)) = (path.get(..range.start), path.get(range.clone()), path.get(range.end..)) else {
        return Err(Problem::NotFound);
    };
    let shown = percent_decode_str(shown).decode_utf8().map_err(|_| Problem::NotFound)?;
    let id = tagger.untagged(Subject::Task, &shown).ok_or(Problem::NotFound)?;
    let plain = format!("{before}{}{behind}", utf8_percent_encode(id, ESCAPED));
    // An id may end in something that is a verb at the end of a path, or be no segment at all.
    let same = http_json::route(method, &plain) == http_json::route(method, path) && !matches!(id, "." | "..") && !id.contains('/');
    if same { Ok(plain) } else { Err(Problem::NotFound) }
}

/// `query` with ids as the agent knows them.
///
/// # Errors
/// If one is not the caller's, or a parameter could be read in two ways.
pub fn untagged_query(query: &str, tagger: &Tagger) -> Result<String, Problem> {
    let parameters = parameters(query, &NAMES, tagger)?;
    Ok(parameters.into_iter().map(|(_, text, _)| text).collect::<Vec<_>>().join("&"))
}

/// The same of a request for a list, and which list it asks for. One of everything, if there are marks, asks for all of the
/// history.
///
/// # Errors
/// Also if a page token was not given to the caller.
pub fn listed_query(query: &str, tagger: &Tagger, has_marks: bool, version: Version) -> Result<(String, Listed), Problem> {
    let mut parameters = parameters(query, &[NAMES, OF_LISTS].concat(), tagger)?;
    let value = |parameter| parameters.iter().find(|(own, ..)| *own == Some(parameter)).map(|(.., value)| value.clone());
    let context = value(Parameter::Id(Subject::Context)).filter(|context| !context.is_empty());
    let mut listed = Listed { context, history: None };
    if has_marks && listed.context.is_none() {
        let asked =
            value(Parameter::HistoryLength).map(|text| if text == "null" { Err(Problem::HistoryLength) } else { wanted(&text, version) });
        listed.history = asked.transpose()?.flatten();
        parameters.retain(|(parameter, text, _)| *parameter != Some(Parameter::HistoryLength) && !text.is_empty());
        parameters.push((None, format!("historyLength={ALL}"), String::new()));
    }
    Ok((parameters.into_iter().map(|(_, text, _)| text).collect::<Vec<_>>().join("&"), listed))
}

/// The parameters of `query`: those of `names` as such, each as it goes on, with its value.
fn parameters(query: &str, names: &[(&str, Parameter)], tagger: &Tagger) -> Result<Vec<(Option<Parameter>, String, String)>, Problem> {
    let mut parameters: Vec<(Option<Parameter>, String, String)> = Vec::new();
    for text in query.split('&') {
        let (name, value) = form_urlencoded::parse(text.as_bytes()).next().unwrap_or_default();
        let Some((own, parameter)) = names.iter().find(|(own, _)| *own == name) else {
            if names.iter().any(|(own, _)| own.eq_ignore_ascii_case(&name)) {
                return Err(Problem::Fault(Fault::CaseVariant));
            }
            parameters.push((None, text.to_owned(), String::new()));
            continue;
        };
        // Both spellings of one name are one name.
        if parameters.iter().any(|(seen, ..)| *seen == Some(*parameter)) {
            return Err(Problem::Fault(Fault::RepeatedName));
        }
        let plain = match parameter {
            Parameter::Id(subject) if !value.is_empty() => Some(tagger.untagged(*subject, &value).ok_or(Problem::NotFound)?.to_owned()),
            Parameter::PageToken if !value.is_empty() => Some(tagger.unsealed(&value).ok_or(Problem::Page)?),
            _ => None,
        };
        let text = plain.as_ref().map_or_else(|| text.to_owned(), |plain| format!("{own}={}", utf8_percent_encode(plain, ESCAPED)));
        parameters.push((Some(*parameter), text, plain.unwrap_or_else(|| value.into_owned())));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::super::tag::tests::{shown, tagger};
    use super::{Fault, Listed, Problem, Subject, Version, listed_query, untagged_path, untagged_query};

    #[test]
    fn routes_lose_the_tag_of_their_task() {
        let ann = tagger("ann");
        for (method, id, path, expected) in [
            ("GET", "t1", "/tasks/<>", "/tasks/t1"),
            ("GET", "t1", "/v1/tasks/<>", "/v1/tasks/t1"),
            ("GET", "t1", "/acme/tasks/<>", "/acme/tasks/t1"),
            ("POST", "a:b", "/tasks/<>:cancel", "/tasks/a:b:cancel"),
            ("GET", "ü x", "/v1/tasks/<>:subscribe", "/v1/tasks/%C3%BC%20x:subscribe"),
            ("POST", "t1", "/tasks/<>/pushNotificationConfigs", "/tasks/t1/pushNotificationConfigs"),
            ("DELETE", "t1", "/tasks/<>/pushNotificationConfigs/c~1", "/tasks/t1/pushNotificationConfigs/c~1"),
        ] {
            let shown = percent_encoding::utf8_percent_encode(&shown(&ann, Subject::Task, id), super::ESCAPED).to_string();
            assert_eq!(untagged_path(&path.replace("<>", &shown), method, &ann).as_deref(), Ok(expected));
            assert_eq!(untagged_path(&path.replace("<>", &shown), method, &tagger("bob")), Err(Problem::NotFound));
            assert_eq!(untagged_path(&path.replace("<>", "t1"), method, &ann), Err(Problem::NotFound));
        }
        for whole in ["/tasks", "/message:send", "/v1/message:stream", "/extendedAgentCard"] {
            assert_eq!(untagged_path(whole, "POST", &ann).as_deref(), Ok(whole));
        }
        // Without its tag this would be another route.
        for id in ["t:subscribe", "..", ".", "a/b"] {
            let path = format!("/tasks/{}", percent_encoding::utf8_percent_encode(&shown(&ann, Subject::Task, id), super::ESCAPED));
            assert_eq!(untagged_path(&path, "GET", &ann), Err(Problem::NotFound), "{id}");
        }
    }

    #[test]
    fn queries_lose_the_tag_of_their_context() {
        let ann = tagger("ann");
        let shown = shown(&ann, Subject::Context, "c 1");
        let shown = shown.replace(' ', "+");
        let query = format!("pageSize=5&context%49d={shown}&x=%7e&y");
        assert_eq!(untagged_query(&query, &ann).as_deref(), Ok("pageSize=5&contextId=c%201&x=%7e&y"));
        let (plain, listed) = listed_query(&query, &ann, true, Version::V1_0).unwrap();
        assert_eq!((plain.as_str(), listed.context.as_deref()), ("pageSize=5&contextId=c%201&x=%7e&y", Some("c 1")));
        assert_eq!(untagged_query("contextId=&a=b", &ann).as_deref(), Ok("contextId=&a=b"));
        for (query, problem) in [
            (query.clone(), Problem::NotFound),
            ("contextId=c1".to_owned(), Problem::NotFound),
            ("task_id=t1".to_owned(), Problem::NotFound),
            ("contextid=c1".to_owned(), Problem::Fault(Fault::CaseVariant)),
            (format!("contextId={shown}&context_id={shown}"), Problem::Fault(Fault::RepeatedName)),
            ("contextId=&contextId=".to_owned(), Problem::Fault(Fault::RepeatedName)),
        ] {
            let who = if query.contains("c+1") && problem == Problem::NotFound { tagger("bob") } else { tagger("ann") };
            assert_eq!(untagged_query(&query, &who), Err(problem), "{query}");
        }
    }

    #[test]
    fn a_list_of_everything_asks_for_all_of_the_history() {
        let ann = tagger("ann");
        let listed = |query: &str, has_marks, version| {
            listed_query(query, &ann, has_marks, version).map(|(query, Listed { history, .. })| (query, history))
        };
        for (query, version, expected, history) in [
            ("", Version::V1_0, "historyLength=2147483647", None),
            ("pageSize=2", Version::V1_0, "pageSize=2&historyLength=2147483647", None),
            ("historyLength=3&status=x", Version::V1_0, "status=x&historyLength=2147483647", Some(3)),
            ("history_length=0", Version::V1_0, "historyLength=2147483647", Some(0)),
            ("historyLength=0", Version::V0_3, "historyLength=2147483647", None),
        ] {
            assert_eq!(listed(query, true, version), Ok((expected.to_owned(), history)), "{query}");
            assert_eq!(listed(query, false, version), Ok((query.to_owned(), None)), "{query}");
        }
        for query in ["historyLength=", "historyLength=-1", "historyLength=3.0", "historyLength=2147483648", "history_length=null"] {
            assert_eq!(listed(query, true, Version::V1_0), Err(Problem::HistoryLength), "{query}");
        }
        for query in ["historyLength=1&history_length=1", "pageToken=&pageToken=", "pagetoken=x", "HistoryLength=1"] {
            assert!(matches!(listed(query, true, Version::V1_0), Err(Problem::Fault(_))), "{query}");
        }
    }

    #[test]
    fn a_page_is_whose_it_was_given_to() {
        let ann = tagger("ann");
        let seen = ann.sealed("page 2").unwrap();
        for has_marks in [true, false] {
            let list = |query: &str| listed_query(query, &ann, has_marks, Version::V1_0).map(|(query, _)| query);
            assert!(list(&format!("page_token={seen}")).unwrap().starts_with("page_token=page%202"));
            assert!(list("pageToken=").unwrap().starts_with("pageToken="));
            for foreign in ["page%202", &tagger("bob").sealed("page 2").unwrap(), &format!("{seen}A")] {
                assert_eq!(list(&format!("pageToken={foreign}")), Err(Problem::Page), "{foreign}");
            }
        }
    }
}

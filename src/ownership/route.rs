//! The ids in request targets on their way in: the task of a route, the context by which a list is filtered.

use super::body::Problem;
use super::tag::{Subject, Tagger};
use crate::protocol::http_json;
use crate::wire::scan::Fault;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What has to be escaped in a path segment or query value: all but the unreserved and the colon (RFC 3986 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// Query parameters that name something: both spellings of ProtoJSON.
const PARAMETERS: [(&str, Subject); 4] =
    [("contextId", Subject::Context), ("context_id", Subject::Context), ("taskId", Subject::Task), ("task_id", Subject::Task)];

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

/// `query` with ids as the agent knows them, and the context among them.
///
/// # Errors
/// If one is not the caller's, or a parameter could be read in two ways.
pub fn untagged_query(query: &str, tagger: &Tagger) -> Result<(String, Option<String>), Problem> {
    let mut context = None;
    let mut seen = Vec::new();
    let mut parameters = Vec::new();
    for parameter in query.split('&') {
        let (name, value) = form_urlencoded::parse(parameter.as_bytes()).next().unwrap_or_default();
        let known = PARAMETERS.iter().find(|(own, _)| *own == name);
        let Some((own, subject)) = known else {
            if PARAMETERS.iter().any(|(own, _)| own.eq_ignore_ascii_case(&name)) {
                return Err(Problem::Fault(Fault::CaseVariant));
            }
            parameters.push(parameter.to_owned());
            continue;
        };
        // Both spellings of one name are one name.
        if seen.contains(subject) {
            return Err(Problem::Fault(Fault::RepeatedName));
        }
        seen.push(*subject);
        if value.is_empty() {
            parameters.push(parameter.to_owned());
            continue;
        }
        let id = tagger.untagged(*subject, &value).ok_or(Problem::NotFound)?;
        if *subject == Subject::Context {
            context = Some(id.to_owned());
        }
        parameters.push(format!("{own}={}", utf8_percent_encode(id, ESCAPED)));
    }
    Ok((parameters.join("&"), context))
}

#[cfg(test)]
mod tests {
    use super::super::tag::tests::{shown, tagger};
    use super::{Fault, Problem, Subject, untagged_path, untagged_query};

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
        assert_eq!(untagged_query(&query, &ann), Ok(("pageSize=5&contextId=c%201&x=%7e&y".to_owned(), Some("c 1".to_owned()))));
        assert_eq!(untagged_query("contextId=&a=b", &ann), Ok(("contextId=&a=b".to_owned(), None)));
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
}

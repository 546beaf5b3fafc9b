//! What stands at a path of a claims set.

use crate::config::ClaimPath;
use crate::wire::json::UniqueObject;
use serde_json::Value;

/// A claim is missing or has the wrong type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimError;

/// What stands at `path`. An error if something on the way is no object.
pub(super) fn at<'a>(payload: &'a UniqueObject, path: &ClaimPath) -> Result<Option<&'a Value>, ClaimError> {
    let mut names = path.names().iter();
    let mut found = names.next().and_then(|name| payload.0.get(name));
    for name in names {
        found = match found {
            None => return Ok(None),
            Some(Value::Object(members)) => members.get(name),
            Some(_) => return Err(ClaimError),
        };
    }
    Ok(found)
}

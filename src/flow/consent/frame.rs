//! What pages are told: what is around each of them, for what access is asked, and what their forms send back.

use crate::wire::time::UnixTime;

/// What is around every page.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The host at which users see us.
    pub host: &'a str,
    /// Where consent is, without `/` at its end.
    pub path: &'a str,
    /// URLs of the authorization servers to which a form leads: only their origins count.
    pub onward: &'a [&'a str],
    /// The time.
    pub now: UnixTime,
    /// The id of the request, by which operators find it in their logs.
    pub request: Option<&'a str>,
}

/// For what access is asked.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The connection's name.
    pub connection: &'a str,
    /// The host of the remote agent.
    pub agent: &'a str,
    /// The client that calls it, if one is known.
    pub client: Option<&'a str>,
    /// The scopes.
    pub scopes: &'a [&'a str],
    /// The host at which the partner's users authorize.
    pub server: &'a str,
}

/// What a form sends back, in fields that are not seen.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// As `link`.
    pub link: &'a str,
    /// As `csrf`.
    pub csrf: &'a str,
}

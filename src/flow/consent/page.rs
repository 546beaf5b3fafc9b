//! The pages that a user's browser shows: what each of them says, and with which status.

use super::ask::{done, leave, start, wrong_user};
use super::head;
use super::html::Html;
use super::told::{Mender, Told};
use crate::flow::event::reply::Reply;
use crate::wire::time::UnixTime;
use std::time::Duration;

pub use super::frame::{Access, Fields, Frame};
pub use super::told::{ERRORS, Fault};

/// A page.
#[derive(Clone, Copy, Debug)]
pub enum Page<'a> {
    /// Whether to go on. It changes nothing, and names no user.
    Start {
        /// What is asked.
        access: Access<'a>,
        /// The host at which the user signs in first, if that is another than the partner's.
        sign_in: Option<&'a str>,
        /// Until when the link works.
        until: UnixTime,
        /// What its button sends to `<path>/start`.
        fields: Fields<'a>,
    },
    /// Leaves for an authorization server without a redirect, so that no `form-action` is in the way of servers that lead on to others.
    Leave {
        /// Its host.
        server: &'a str,
        /// A URL of the configuration with parameters that are encoded.
        location: &'a str,
    },
    /// It is done.
    Done {
        /// What was asked; `scopes` are those that were given.
        access: Access<'a>,
        /// Scopes that were asked for and not given.
        withheld: &'a [&'a str],
    },
    /// Another user than the caller signed in. It names neither.
    WrongUser {
        /// Where.
        server: &'a str,
        /// What its button sends to `<path>/start`, with `again` besides: the user chooses an account anew.
        fields: Fields<'a>,
    },
    /// The link or the flow ran out.
    Expired,
    /// The link, or the answer, was used before.
    Used,
    /// The task that asked was cancelled.
    Cancelled,
    /// The link is none of ours.
    BadLink,
    /// The browser has no cookie of this flow.
    NoCookie,
    /// The partner's server says `access_denied`.
    Denied {
        /// Its host.
        server: &'a str,
        /// Its `error_description`, as it came: only where the answer is one to this browser, since others could put words in its mouth.
        words: Option<&'a str>,
    },
    /// An authorization server refuses, or fails.
    Refused {
        /// Its host.
        server: &'a str,
        /// How.
        fault: Fault<'a>,
    },
    /// The answer does not say that it is from the server that was asked (RFC 9207).
    MixUp {
        /// The host of the server that was asked.
        server: &'a str,
    },
    /// The answer belongs to no flow of this browser.
    StateMismatch,
    /// What is needed cannot be reached: the store, or keys of a server.
    Unavailable {
        /// After how many seconds another try makes sense.
        retry: u32,
    },
    /// There is no such path.
    NotFound,
    /// The path has other methods.
    MethodNotAllowed {
        /// Those that it has.
        allow: &'static str,
    },
}

/// How long a server is given that has a fault, in seconds.
const LATER: u32 = 60;
/// How much is shown of a provider's own words, in characters.
const WORDS: usize = 200;

impl Page<'_> {
    /// The answer that has this page.
    #[must_use]
    pub fn reply(&self, frame: &Frame<'_>) -> Reply {
        match *self {
            Page::Start { access, sign_in, until, fields } => start(frame, &access, sign_in, until, fields),
            Page::Leave { server, location } => leave(frame, server, location),
            Page::Done { access, withheld } => done(frame, &access, withheld),
            Page::WrongUser { server, fields } => wrong_user(frame, server, fields),
            Page::Denied { server, words } => refused(frame, server, Fault::Said { error: "access_denied", words }),
            Page::Refused { server, fault } => refused(frame, server, fault),
            Page::Expired => stop(frame, &EXPIRED),
            Page::Used => stop(frame, &USED),
            Page::Cancelled => stop(frame, &CANCELLED),
            Page::BadLink => stop(frame, &BAD_LINK),
            Page::NoCookie => stop(frame, &NO_COOKIE),
            Page::StateMismatch => stop(frame, &STATE),
            Page::MixUp { server } => told(frame, 400, "This answer is not to be trusted", server, &MIX_UP, None, LATER),
            Page::Unavailable { retry } => told(frame, 503, "This does not work right now", "", &UNAVAILABLE, None, retry),
            Page::NotFound => stop(frame, &NOT_FOUND),
            Page::MethodNotAllowed { allow } => {
                let mut reply = stop(frame, &METHOD);
                reply.headers.push(("allow", allow.to_owned()));
                reply
            }
        }
    }
}

/// Status, title, and what is told.
type Stop = (u16, &'static str, Told);

const EXPIRED: Stop = (
    410,
    "This link has run out",
    Told {
        code: "expired",
        mender: Mender::You,
        what: "A link works for a few minutes only, so that nobody finds it later and uses it. Nothing was allowed.",
    },
);
const USED: Stop = (
    410,
    "This link was used already",
    Told {
        code: "used",
        mender: Mender::You,
        what: "Each link works once. If it was you who just went through it, there is nothing more to do here.",
    },
);
const CANCELLED: Stop = (
    410,
    "This is no longer needed",
    Told {
        code: "cancelled",
        mender: Mender::You,
        what: "The task that asked for access was cancelled in the conversation. Nothing was allowed.",
    },
);
const BAD_LINK: Stop = (
    400,
    "This link does not work",
    Told { code: "bad_link", mender: Mender::Link, what: "It is not complete, or it was changed on its way. Nothing was allowed." },
);
const NO_COOKIE: Stop = (
    400,
    "Your browser did not keep our cookie",
    Told {
        code: "no_cookie",
        mender: Mender::Link,
        what: "For ten minutes a cookie shows that whoever began is the one who finishes. It is not there: cookies are blocked, or you went on in another browser \
        or in a private window, or it took too long. Nothing was allowed.",
    },
);
const STATE: Stop = (
    400,
    "This answer is not for your browser",
    Told {
        code: "state_mismatch",
        mender: Mender::You,
        what: "It belongs to something that this browser did not begin. If you came here by a link that somebody sent you, do not use it again. Nothing was allowed.",
    },
);
const NOT_FOUND: Stop =
    (404, "There is nothing here", Told { code: "not_found", mender: Mender::Link, what: "This address leads to no page." });
const METHOD: Stop = (
    405,
    "This page cannot be used like that",
    Told { code: "method_not_allowed", mender: Mender::Link, what: "Your browser asked for it in a way that it does not answer." },
);
const MIX_UP: Told = Told {
    code: "iss_mismatch",
    mender: Mender::Operator,
    what: "It should come from {}, but says otherwise, or does not say. That is an attack, or a mistake in the settings. Nothing was allowed.",
};
const UNAVAILABLE: Told = Told {
    code: "unavailable",
    mender: Mender::Later,
    what: "Something that this service needs cannot be reached. You did nothing wrong.",
};

fn stop(frame: &Frame<'_>, (status, title, row): &Stop) -> Reply {
    told(frame, *status, title, "", row, None, LATER)
}

/// By the server that was asked.
fn refused(frame: &Frame<'_>, server: &str, fault: Fault<'_>) -> Reply {
    let row = fault.told();
    let (status, title) = match row.mender {
        _ if row.code == "access_denied" => (403, "Access was not allowed"),
        Mender::Later => (503, "This does not work right now"),
        Mender::Operator => (502, "This did not work"),
        Mender::You | Mender::Link => (400, "This did not work"),
    };
    told(frame, status, title, server, &row, Some(fault), LATER)
}

/// A page that ends a flow.
fn told(frame: &Frame<'_>, status: u16, title: &'static str, server: &str, row: &Told, fault: Option<Fault<'_>>, retry: u32) -> Reply {
    let mut page = Html::begin(title, "bad", frame.host, None);
    page.raw("<p>").fill(row.what, server).raw("</p>\n");
    let (error, words) = match fault {
        Some(Fault::Said { error, words }) => (error, words.filter(|words| !words.trim().is_empty())),
        _ => (row.code, None),
    };
    if let Some(words) = words {
        page.raw("<p>In the words of ")
            .name(server)
            .raw(":</p>\n<blockquote><p><bdi>")
            .bounded(words, WORDS)
            .raw("</bdi></p></blockquote>\n");
    }
    page.raw("<h2>What you can do</h2>\n<p>");
    match row.mender {
        Mender::You => page.raw("Go back to the conversation and send your message again. If access is still needed, you get a new link."),
        Mender::Link => {
            page.raw("Open the link in the conversation again, all of it, and stay in one browser that takes cookies until the end.")
        }
        Mender::Later => {
            page.raw("Try again after ").time(frame.now.plus(Duration::from_secs(u64::from(retry)))).raw("; it is ").time(frame.now);
            page.raw(" now. Go back to the conversation then and open the link again, or send your message again to get a new one.")
        }
        Mender::Operator => {
            page.raw("You cannot fix this yourself. Tell whoever runs ").name(frame.host).raw(", and pass on the line below.")
        }
    };
    page.raw("</p>\n<p class=\"small\">If you ask for help, say: ").code(error).raw(" at ").time_and_date(frame.now);
    if let Some(request) = frame.request {
        page.raw(", request ").code(request);
    }
    page.raw(".</p>\n");
    let mut reply = head::page(status, None, page.end());
    if row.mender == Mender::Later {
        reply.headers.push(("retry-after", retry.to_string()));
    }
    reply
}

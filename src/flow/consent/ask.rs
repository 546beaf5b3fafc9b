//! The pages of a flow that goes on: the question, the way to the servers, and the end.

use super::frame::{Access, Fields, Frame};
use super::head;
use super::html::Html;
use crate::flow::event::reply::Reply;
use crate::wire::time::UnixTime;

/// How many scopes are shown.
const SCOPES: usize = 50;

pub fn start(frame: &Frame<'_>, access: &Access<'_>, sign_in: Option<&str>, until: UnixTime, fields: Fields<'_>) -> Reply {
    let mut page = Html::begin("An agent asks for access", "ask", frame.host, None);
    page.raw("<p>");
    match access.client {
        Some(client) => page.name(client).raw(" wants to use the agent "),
        None => page.raw("A program in a conversation of yours wants to use the agent "),
    };
    page.name(access.connection)
        .raw(" in your name. If you did not ask for anything like that, close this page: nothing is allowed then.</p>\n");
    facts(&mut page, access, "Permissions");
    page.raw("<h2>What comes next</h2>\n");
    match sign_in {
        Some(host) => {
            page.raw("<ol>\n<li>You sign in at ").name(host);
            page.raw(", with the account that you use in the conversation. This way nobody else can use your link.</li>\n");
            page.fill("<li>{} asks whether you allow this. There you can still say no.</li>\n</ol>\n", access.server)
        }
        None => page.fill("<p>You sign in at {}, which asks whether you allow this. There you can still say no.</p>\n", access.server),
    };
    button(&mut page, frame, fields, false, "Continue to ", sign_in.unwrap_or(access.server));
    page.raw("<p class=\"small\">This link works until ").time(until);
    let minutes = until.since(frame.now).as_secs().div_ceil(60);
    page.raw(" (").number(minutes).raw(if minutes == 1 { " minute" } else { " minutes" }).raw(" from now), and only once.</p>\n");
    head::page(200, Some(frame.onward), page.end())
}

pub fn leave(frame: &Frame<'_>, server: &str, location: &str) -> Reply {
    let mut page = Html::begin("One moment", "ask", frame.host, Some(location));
    page.raw("<p>You are on your way to ").name(server).raw(".</p>\n<p><a class=\"go\" href=\"").text(location);
    page.raw("\">Continue to <bdi>").text(server).raw("</bdi></a></p>\n");
    head::page(200, None, page.end())
}

pub fn done(frame: &Frame<'_>, access: &Access<'_>, withheld: &[&str]) -> Reply {
    let mut page = Html::begin("Access is allowed", "good", frame.host, None);
    page.raw("<p>The agent ").name(access.connection).raw(" may now be used in your name");
    if let Some(client) = access.client {
        page.raw(" by ").name(client);
    }
    page.raw(".</p>\n<h2>What to do next</h2>\n<p>Go back to the conversation and send your message again. You can close this page.</p>\n");
    facts(&mut page, access, "Permissions that you gave");
    if !withheld.is_empty() {
        page.raw("<p>Not given, so that some things may not work:</p>\n");
        list(&mut page, withheld);
    }
    page.raw("<p class=\"small\">To take this back, remove the access in your account at ").name(access.server);
    page.raw(", or ask whoever runs ").name(frame.host).raw(".</p>\n");
    head::page(200, None, page.end())
}

pub fn wrong_user(frame: &Frame<'_>, server: &str, fields: Fields<'_>) -> Reply {
    let mut page = Html::begin("This link is for another account", "bad", frame.host, None);
    page.raw("<p>").fill("You signed in at {} with an account for which this link was not made. Nothing was allowed.</p>\n", server);
    page.raw(
        "<h2>What you can do</h2>\n<p>If you have another account there, the one that you use in the conversation, sign in with that. ",
    );
    page.raw("If somebody sent you this link, close this page: it is not for you.</p>\n");
    button(&mut page, frame, fields, true, "Sign in with another account", "");
    head::page(403, Some(frame.onward), page.end())
}

/// Who asks for what.
fn facts(page: &mut Html, access: &Access<'_>, permissions: &'static str) {
    page.raw("<dl>\n<dt>Agent</dt>\n<dd>").name(access.connection).raw(" at <bdi>").text(access.agent).raw("</bdi></dd>\n");
    if let Some(client) = access.client {
        page.raw("<dt>Used by</dt>\n<dd>").name(client).raw("</dd>\n");
    }
    page.raw("<dt>").raw(permissions).raw("</dt>\n<dd>");
    if access.scopes.is_empty() {
        page.fill("Those that {} shows you; none is named here.", access.server);
    } else {
        list(page, access.scopes);
    }
    page.raw("</dd>\n</dl>\n");
}

fn list(page: &mut Html, scopes: &[&str]) {
    page.raw("<ul>\n");
    for scope in scopes.iter().take(SCOPES) {
        page.raw("<li>").code(scope).raw("</li>\n");
    }
    if scopes.len() > SCOPES {
        page.raw("<li>and more</li>\n");
    }
    page.raw("</ul>\n");
}

/// The one button of a page. `again`: that an account is chosen anew.
fn button(page: &mut Html, frame: &Frame<'_>, fields: Fields<'_>, again: bool, label: &'static str, host: &str) {
    page.raw("<form method=\"post\" action=\"").text(frame.path).raw("/start\">\n");
    page.raw("<input type=\"hidden\" name=\"link\" value=\"").text(fields.link).raw("\">\n");
    page.raw("<input type=\"hidden\" name=\"csrf\" value=\"").text(fields.csrf).raw("\">\n");
    if again {
        page.raw("<input type=\"hidden\" name=\"again\" value=\"1\">\n");
    }
    page.raw("<button>").raw(label).raw("<bdi>").bounded(host, 256).raw("</bdi></button>\n</form>\n");
}

//! The pages of consent in a real browser: whether everybody can read and use them, and what their headers do to those who mean harm.

use anyhow::{Context, Result, ensure};
use attache_mesh::mesh::Mesh;
use attache_mesh::{peer, place};
use serde_json::{Value, json};

use crate::suite::Suite;

pub fn add(suite: &mut Suite) {
    suite.add("consent_pages::everybody_can_read_and_use_them", are_usable);
    suite.add("consent_pages::the_policy_leads_where_it_should_and_nowhere_else", lead_somewhere);
}

/// Contrast in both schemes, width, keyboard, headings, names, and nothing that the policy is against.
async fn are_usable(_mesh: &'static Mesh) -> Result<()> {
    let seen = peer::look_at_pages(&place::root().join("tests/golden/pages"), "look").await?;
    let pages = seen["pages"].as_object().context("no pages")?;
    ensure!(pages.len() > 20, "{} pages", pages.len());
    for (name, faults) in pages {
        ensure!(*faults == json!([]), "{name}: {faults:#}");
    }
    ensure!(seen["least"].as_f64().is_some_and(|least| (4.5..21.0).contains(&least)), "{}", seen["least"]);
    Ok(())
}

const COOKIE: &str = "__Host-attache-AQIDBAUG=c2VhbGVk";

/// From a link in a conversation on another site by way of an authorization server to the end.
async fn lead_somewhere(_mesh: &'static Mesh) -> Result<()> {
    let seen = peer::look_at_pages(&place::root().join("tests/golden/pages"), "way").await?;
    let way = &seen["way"];
    // A browser says `Origin: null` where it may not say from where it comes; `Sec-Fetch-Site` tells it.
    let post = json!({"method": "POST", "origin": "null", "site": "same-origin", "referer": null, "cookie": COOKIE,
        "body": "link=bGluay1vZi10aGlzLXBhZ2U&csrf=Y3NyZi1vZi10aGlzLXBhZ2U"});
    for name in ["link", "popup", "unnamed", "leads_on", "leave"] {
        let gone = &way[name];
        ensure!(gone["post"] == post && gone["faults"] == json!([]), "{name}: {gone:#}");
        let servers = gone["servers"].as_array().with_context(|| format!("{name}: {gone:#}"))?;
        ensure!(servers.iter().all(|request| request["method"] == "GET" && request["referer"].is_null()), "{name}: {servers:#?}");
    }
    // The cookie comes along when the authorization server sends the browser back, and is gone in the end.
    for name in ["link", "popup"] {
        ensure!(way[name]["back"] == json!({"cookie": COOKIE, "site": "cross-site"}), "{name}: {:#}", way[name]);
        ensure!(way[name]["kept"] == json!([]), "{name}: {:#}", way[name]);
    }
    let kept = json!([{"name": "__Host-attache-AQIDBAUG", "secure": true, "httpOnly": true, "sameSite": "Lax", "path": "/", "domain": "127.0.0.1"}]);
    ensure!(way["unnamed"]["kept"] == kept, "{:#}", way["unnamed"]);
    // A page that opened ours in a window of its own has no hold on that window.
    ensure!(way["popup"]["opener"] == "null" && way["popup"]["held"] == false, "{:#}", way["popup"]);
    // Where the policy does not name a server, or that leads on to another, a form gets nowhere.
    for (name, reached) in [("unnamed", 0), ("leads_on", 1)] {
        let gone = &way[name];
        ensure!(gone["stayed"] == true && gone["blocked"].to_string().contains("form-action 'self' http"), "{name}: {gone:#}");
        ensure!(gone["servers"].as_array().map(Vec::len) == Some(reached) && gone["back"].is_null(), "{name}: {gone:#}");
    }
    // A page that leaves by itself is in nobody's way, and its URL arrives as it was.
    let urls: Vec<&Value> = way["leave"]["servers"].as_array().into_iter().flatten().map(|request| &request["url"]).collect();
    ensure!(urls == ["/auth?client_id=attache&response_type=code&state=a%22b", "/landed"], "{urls:?}");
    // A redirect of ours behind the form of a server that signs users in is held against that server's policy, which knows us alone.
    let [redirected, left] = [&way["between"][0], &way["between"][1]];
    ensure!(redirected["blocked"].to_string().contains("form-action") && redirected["title"] == "Sign in", "{redirected:#}");
    ensure!(redirected["passed"] == 1 && redirected["landed"] == 0, "{redirected:#}");
    ensure!(left["title"] == "Elsewhere" && left["passed"] == 1 && left["landed"] == 1, "{left:#}");
    let misused = &way["misused"];
    ensure!(misused["framed"] == json!([false]), "another site has our page in a frame: {misused:#}");
    let forged = json!({"site": "cross-site", "origin": "http://localhost:PORT", "cookie": null});
    ensure!(misused["forged"] == forged, "another site posts our form: {misused:#}");
    Ok(())
}

//! The page of `make run`: what somebody sees and does there in a real browser, and that nobody else can use it.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::event_stream::EventStream;
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::page::Page;
use attache_mesh::person::Browser;
use attache_mesh::tour::{self, Program};
use attache_mesh::{canary, peer, place, report};
use http::Method;
use serde_json::{Value, json};

use crate::suite::Suite;

pub fn add(suite: &mut Suite) {
    suite.add("page::shows_the_tour_and_sends_calls", shows_the_tour);
    suite.add("page::serves_nobody_but_itself", serves_nobody_else);
}

/// `make screenshot` keeps the picture.
fn screenshot() -> Option<PathBuf> {
    Some(place::root().join(std::env::var_os("SCREENSHOT")?))
}

async fn shows_the_tour(mesh: &'static Mesh) -> Result<()> {
    let page = Page::open().await?;
    let program = Program::start(mesh).await?;
    let calls = program.steps().len();
    page.stand(program)?;
    let rows = page.play_tour().await?;
    ensure!(rows.len() == calls && rows.iter().all(tour::Row::holds), "\n{}", report::table(&rows));
    let seen = peer::page(&page.url(), screenshot().as_deref()).await?;
    if let Some(file) = screenshot() {
        let size = std::fs::metadata(&file)?.len();
        ensure!(size < 200_000, "{} has {size} bytes: pages with pictures of more load slowly", file.display());
    }
    let nothing = json!([]);
    ensure!(seen["rows"] == calls && seen["wrong"] == nothing, "{} rows, wrong {}", seen["rows"], seen["wrong"]);
    ensure!(seen["faults"] == nothing, "{}", seen["faults"]);
    ensure!(seen["unlabelled"] == nothing && seen["overflows"] == json!([0, 0]), "{} {}", seen["unlabelled"], seen["overflows"]);
    let sent = |token: &str| {
        let all = seen["sent"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().find(|call| call["token"] == token).with_context(|| format!("nothing was sent with {token}"))
    };
    let says = |call: &Value, member: &str, part: &str| {
        ensure!(call[member].to_string().contains(part), "no {part} in {member} of {call:#}");
        anyhow::Ok(())
    };
    let good = sent("good")?;
    ensure!(good["verdict"] == "allowed" && good["lit"] == json!(["client", "inbound", "agent10"]), "{good:#}");
    says(good, "why", "The service caller was verified (by corp)")?;
    says(good, "steps", "access[1]is met, and decides")?;
    says(good, "got", "client=\\\"caller\\\"")?;
    says(good, "record", "\\\"decision\\\":\\\"allow\\\"")?;
    let bad = sent("expired")?;
    ensure!(bad["verdict"] == "token_expired" && bad["lit"] == json!(["client", "inbound refuses"]), "{bad:#}");
    says(bad, "why", "issuers[0].clock_skew is 0 s")?;
    says(bad, "steps", "refused: token_expired")?;
    says(sent("api_key")?, "why", "The service desk was verified (by key)")?;
    let out = sent("own")?;
    ensure!(out["lit"] == json!(["own", "outbound", "partner"]), "{out:#}");
    says(out, "got", "x-api-keypar…")?;
    let asked = sent("ann")?;
    ensure!(asked["verdict"] == "consent_required" && asked["lit"] == json!(["own", "outbound refuses"]), "{asked:#}");
    ensure!(asked["whole"].to_string().contains("TASK_STATE_AUTH_REQUIRED"), "{asked:#}");
    agrees(&page, seen["link"].as_str().context("no link")?).await?;
    ensure!(sent("pasted")?["verdict"] == "token_issuer_unknown", "{}", sent("pasted")?);
    says(&seen, "again", "token_expired")?;
    ensure!(seen["foreign"] == json!(["refused", "refused", "refused", "refused"]), "{}", seen["foreign"]);
    for told in [page.told(), seen.to_string()] {
        ensure!(canary::find(&told).is_none(), "a secret that begins with {:?} is shown", canary::find(&told));
        ensure!(!told.contains("cGFzdGVkLXNlY3JldC"), "the pasted token is shown");
    }
    Ok(())
}

/// What is printed holds: whoever opens the link, by the page or from the terminal, signs in by the printed password and agrees; then the
/// printed command goes to the agent.
async fn agrees(page: &Page, link: &str) -> Result<()> {
    let printed = page.agreeing().await?;
    let other = printed.lines().find(|line| line.starts_with("http://localhost:")).with_context(|| printed.clone())?;
    ensure!(other != link && printed.contains("account ann, password ann-password"), "{printed}");
    let browser = Browser::start(&[], &[]).await?;
    // A second link of one user works as well as the first.
    let person = browser.person("ann");
    let start = person.open(other).await?;
    start.ensure_clean()?;
    ensure!(start.heading() == "An agent asks for access", "{start:?}");
    let button = start.buttons().into_iter().find(|text| text.starts_with("Continue to ")).context("no button")?;
    person.press(button).await?;
    // At the organization, and at the partner.
    for _ in 0..2 {
        person.sign_in("ann").await?;
        person.allow().await?;
    }
    ensure!(person.see().await?.heading() == "Access is allowed", "{:?}", person.see().await?);
    let printed_again = page.agreeing().await?;
    ensure!(printed_again.contains("who has agreed"), "{printed_again}");
    let curl = |text: &str| text.lines().find(|line| line.starts_with("curl ")).map(str::to_owned).with_context(|| text.to_owned());
    ensure!(curl(&printed)? == curl(&printed_again)?, "another command");
    let reply = sent_by(&curl(&printed)?).await?;
    let got = reply.echo().with_context(|| reply.text())?.header("authorization");
    ensure!(got.len() == 1 && claims(got[0].trim_start_matches("Bearer "))?["sub"] == "ann", "{}", reply.text());
    Ok(())
}

/// What a `curl` command of this program gets.
async fn sent_by(command: &str) -> Result<Reply> {
    let port = command.split("http://127.0.0.1:").nth(1).and_then(|rest| rest.split('/').next()).context("no port")?;
    let quoted = |text: &str| text.split('\'').next().unwrap_or_default().to_owned();
    let body = command.split(" -d '").nth(1).map(quoted).context("no body")?;
    let mut call = Call::new(Method::POST, "/").body(body);
    for header in command.split(" -H '").skip(1).map(quoted) {
        let (name, value) = header.split_once(": ").context("no header")?;
        call = call.header(name, value);
    }
    call.send(port.parse()?).await
}

/// A request of the page's own script.
fn own(page: &Page, secret: &str) -> Call {
    let origin = page.url().trim_end_matches('/').to_owned();
    Call::post("/again", &json!({"step": 0})).header("origin", origin).header("x-attache-page", secret)
}

async fn serves_nobody_else(_mesh: &'static Mesh) -> Result<()> {
    let page = Page::open().await?;
    let port = page.port();
    let read = Call::get("/").header("sec-fetch-site", "none").header("sec-fetch-mode", "navigate").send(port).await?;
    let policy = read.header("content-security-policy").unwrap_or_default();
    ensure!(read.status == 200 && policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{:?}", read.headers);
    ensure!(read.header("x-frame-options") == Some("DENY") && read.header("access-control-allow-origin").is_none(), "{:?}", read.headers);
    let text = read.text();
    let secret = text.split_once("name=\"page-secret\" content=\"").and_then(|(_, rest)| rest.split('"').next()).context("no secret")?;
    ensure!(secret.len() == 32, "{secret:?}");
    // The mesh is not up: that is what a request hears that may be made.
    let status = async |call: Call| anyhow::Ok(call.send(port).await?.status);
    ensure!(status(own(&page, secret)).await? == 503, "the page's own request is refused");
    let with = |name: &str, value: &str| {
        let mut call = own(&page, secret);
        call.headers.retain(|(own, _)| own != name);
        if value.is_empty() { call } else { call.header(name, value) }
    };
    let localhost = format!("http://localhost:{port}");
    let tries: [(&str, Call, u16); 16] = [
        ("another origin", with("origin", "https://evil.example"), 403),
        ("another port", with("origin", "http://127.0.0.1:1"), 403),
        ("the other name of this machine", with("origin", &localhost), 403),
        ("a sandboxed frame", with("origin", "null"), 403),
        ("no origin", with("origin", ""), 403),
        ("two origins", own(&page, secret).header("origin", page.url().trim_end_matches('/')), 403),
        ("a name that leads here", with("host", &format!("evil.example:{port}")), 421),
        ("no port", with("host", "127.0.0.1"), 421),
        ("another secret", with("x-attache-page", "0123456789abcdef0123456789abcdef"), 403),
        ("no secret", with("x-attache-page", ""), 403),
        ("a plain form", with("content-type", "text/plain"), 415),
        ("another site, says the browser", with("sec-fetch-site", "cross-site"), 403),
        ("another port, says the browser", with("sec-fetch-site", "same-site"), 403),
        ("another method", Call::new(Method::PUT, "/again"), 403),
        ("events for another site", Call::get("/events").header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "no-cors"), 403),
        ("another site that reads it", Call::get("/").header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "cors"), 403),
    ];
    for (what, call, expected) in tries {
        let reply: Reply = call.send(port).await?;
        ensure!(reply.status == expected, "{what}: {} {}", reply.status, reply.text());
        ensure!(reply.header("content-security-policy").is_some(), "{what}: {:?}", reply.headers);
    }
    ensure!(status(own(&page, secret).body(vec![b' '; 100_000])).await? == 413, "a long body is read");
    ensure!(status(Call::get("/page.mjs")).await? == 404, "there is no such file");
    let mut events = EventStream::open(port, &Call::get("/events"), false).await?;
    ensure!(events.next().await? == Some(json!({"phase": "starting"})), "the first event says how it is");
    Ok(())
}

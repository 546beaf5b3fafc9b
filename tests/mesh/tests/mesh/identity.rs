//! What the agent learns of the caller, and what a caller cannot make it believe.

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Echo, Reply};
use attache_mesh::mesh::{AGENT, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::told::ensure_told;
use attache_mesh::{place, raw, wait};
use serde_json::json;
use std::time::Duration;

use crate::suite::{House, Suite};

fn echo(reply: &Reply) -> Result<Echo> {
    reply.echo().with_context(|| format!("no echo: {} {}", reply.status, reply.text()))
}

fn one(echo: &Echo, name: &str, value: &str) -> Result<()> {
    let seen = echo.header(name);
    ensure!(seen == [value], "{name} is {seen:?}, not {value:?}");
    Ok(())
}

/// Every header that only the filter may set, and some that look like it.
const FORGED: &[&str] = &[
    "x-attache",
    "X-Attache",
    "x_attache",
    "x-attache-agent",
    "x-attache-operation",
    "x-attache-issuer",
    "x-attache-tenant",
    "x-attache-subject",
    "x-attache-client",
    "x-attache-kind",
    "x-attache-scopes",
    "x-attache-anything",
    "X-Attache-Subject",
    "x-attache-",
];

pub fn add(suite: &mut Suite) {
    suite.add("identity::the_agent_sees_who_calls_and_what", async |mesh| {
        let token = mesh.token().await?;
        let subject = claims(&token)?["sub"].as_str().unwrap_or_default().to_owned();
        for (call, version) in [(send_1_0("i"), "1.0"), (send_0_3("i"), "0.3"), (send_1_0_http("i"), "1.0")] {
            let echo = echo(&call.bearer(&token).send(mesh.inbound.port()).await?)?;
            one(&echo, "a2a-version", version)?;
            ensure_told(&echo, "agent", "expense")?;
            ensure_told(&echo, "operation", "SendMessage")?;
            ensure_told(&echo, "issuer", "corp")?;
            ensure_told(&echo, "client", "caller")?;
            ensure_told(&echo, "kind", "service")?;
            ensure_told(&echo, "subject", &subject)?;
            let scopes = echo.told("scopes").join(" ");
            let mut scopes: Vec<&str> = scopes.split(' ').collect();
            scopes.sort_unstable();
            ensure!(scopes == ["agent:execute", "agent:read"], "{scopes:?}");
        }
        Ok(())
    });
    suite.add("identity::what_the_client_says_of_itself_is_removed", async |mesh| {
        let token = mesh.token().await?;
        let mut call = send_1_0("forged").bearer(&token);
        for name in FORGED {
            call = call.header(name, "mallory").header(name, b"mallory\xff");
        }
        for reply in [call.send(mesh.inbound.port()).await?, raw::http2(mesh.inbound.port(), &lower(&call), 1024, &[]).await?] {
            let echo = echo(&reply)?;
            ensure!(!echo.0.to_string().contains("mallory"), "{}", echo.0);
            ensure_told(&echo, "client", "caller")?;
            ensure!(echo.names().iter().filter(|name| name.starts_with("x-attache")).count() == 1, "{:?}", echo.names());
        }
        Ok(())
    });
    suite.add("identity::a_users_token_is_told_from_a_services", async |mesh| {
        let house = House::standing(mesh).await?;
        let mut claims = house.claims();
        claims["scp"] = claims["scope"].clone();
        claims.as_object_mut().map(|map| map.remove("scope"));
        let echo = echo(&send_1_0("user").bearer(&house.mint.sign(&claims)).send(house.envoy.port()).await?)?;
        ensure_told(&echo, "kind", "user")?;
        ensure_told(&echo, "subject", "alice")?;
        ensure_told(&echo, "client", "house-client")
    });
    suite.add("identity::claims_cannot_smuggle_header_lines", async |mesh| {
        let house = House::standing(mesh).await?;
        for odd in ["alice\r\nx-attache: kind=\"user\"", "alice\", kind=\"user", "alice\u{0}", "Zoë \u{1f600}", "a\nb"] {
            let mut claims = house.claims();
            claims["sub"] = json!(odd);
            let reply = send_1_0("odd").bearer(&house.mint.sign(&claims)).send(house.envoy.port()).await?;
            // Either such a subject is refused, or it arrives as one harmless value.
            if let Some(echo) = reply.echo() {
                let subjects = echo.told("subject");
                let lines = echo.header("x-attache");
                ensure!(subjects == [odd] && lines.len() == 1 && lines[0].bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{lines:?}");
                ensure_told(&echo, "kind", "service")?;
            } else {
                ensure!(reply.reason().is_some(), "{odd:?}: {} {}", reply.status, reply.text());
            }
        }
        Ok(())
    });
    suite.add("identity::the_token_is_kept_or_removed_as_configured", async |mesh| {
        let token = mesh.token().await?;
        for (setting, kept) in [("keep", true), ("remove", false)] {
            let mut file = mesh.inbound_file()?;
            file.edit_plugin(|plugin| plugin["agents"][0]["forward"] = json!({"token": setting}))?;
            let envoy = Envoy::start(&format!("token-{setting}"), &file, Options::default()).await?;
            let echo = echo(&send_1_0("t").bearer(&token).send(envoy.port()).await?)?;
            let want = if kept { vec![format!("Bearer {token}")] } else { Vec::new() };
            ensure!(echo.header("authorization") == want, "{setting}: {:?}", echo.names());
        }
        Ok(())
    });
    suite.add("identity::the_reason_is_published_for_access_logs", async |mesh| {
        let path = place::logs().join(place::unique("access.log"));
        let mut file = mesh.inbound_file()?;
        let format = "%RESPONSE_CODE% [%FILTER_STATE(wasm.attache.reason:PLAIN)%]\n";
        file.http_manager()?["access_log"] = json!([{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": path,
                "log_format": {"text_format_source": {"inline_string": format}},
            },
        }]);
        let envoy = Envoy::start("access-log", &file, Options::default()).await?;
        send_1_0("a").send(envoy.port()).await?;
        send_1_0("a").bearer(&mesh.token().await?).version("9.9").send(envoy.port()).await?;
        Call::get("/").send(envoy.port()).await?;
        envoy.stop();
        let want = ["401 [credentials_missing]", "200 [version_conflict]", "404 [unmatched]"];
        wait::until("the access log", Duration::from_secs(10), async || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            Ok(want.iter().all(|line| text.contains(line)).then_some(()))
        })
        .await
    });
    suite.add("identity::other_headers_reach_the_agent_unchanged", async |mesh| {
        let call =
            send_1_0("h").bearer(&mesh.token().await?).header("x-trace", "one").header("x-trace", "two").header("a2a-extensions", "e");
        let echo = echo(&call.send(mesh.inbound.port()).await?)?;
        let traces = echo.header("x-trace").join(",");
        ensure!(traces == "one,two" && echo.header("a2a-extensions") == ["e"], "{:?}", echo.0);
        ensure!(echo.path() == "/", "{} below {AGENT}", echo.path());
        Ok(())
    });
}

/// HTTP/2 has lower-case names only.
fn lower(call: &Call) -> Call {
    let mut call = call.clone();
    for (name, _) in &mut call.headers {
        name.make_ascii_lowercase();
    }
    call
}

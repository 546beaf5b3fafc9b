//! Whatever is written while users agree, call, are refused, and give up what they granted: none of it has a code, a state, a link, a token
//! or a secret.

use anyhow::{Context, Result, ensure};
use attache_mesh::canary;
use attache_mesh::collector::Collector;
use attache_mesh::envoy::Options as EnvoyOptions;
use attache_mesh::http::Call;
use attache_mesh::mesh::Mesh;
use attache_mesh::person::parameters;
use attache_mesh::sign_in::{CONSENT, Edit, Other, SignIn, link};
use attache_mesh::user_server::Options;
use attache_mesh::wait;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

use crate::credentials::token;
use crate::suite::Suite;
use crate::user_passthrough_grants::grants_at;

/// How long the partner's tokens live, in seconds.
const LIFETIME: u32 = 5;
const LIMIT: Duration = Duration::from_secs(60);

/// Each request has a span, which goes to the collector at `port` at once.
fn traced(port: u16) -> Edit {
    Box::new(move |file, _, _| {
        file.copy_cluster("hr-server", "collector")?;
        let kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        file.address("collector", port)?["typed_extension_protocol_options"] = json!({kind: {
            "@type": format!("type.googleapis.com/{kind}"), "explicit_http_config": {"http2_protocol_options": {}}}});
        file.http_manager()?["tracing"] = json!({
            "verbose": true,
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}, "timeout": "1s"}, "service_name": "consent"}},
            "custom_tags": [
                {"tag": "path", "request_header": {"name": ":path"}},
                {"tag": "credential", "value": "%FILTER_STATE(wasm.attache.credential:PLAIN)%"}]});
        file.value_mut()["layered_runtime"] =
            json!({"layers": [{"name": "tests", "static_layer": {"tracing.opentelemetry.min_flush_spans": 1}}]});
        Ok(())
    })
}

/// Everything that is in flight here is remembered as a secret: what the servers were asked and what they answered, too.
async fn keep_all(house: &SignIn) -> Result<()> {
    for server in [&house.corp, &house.partner] {
        for request in server.requests().await? {
            for name in ["code", "code_verifier", "state", "nonce", "code_challenge", "refresh_token", "token"] {
                request["params"][name].as_str().into_iter().for_each(canary::keep);
            }
        }
    }
    ["attache-secret", attache_mesh::sign_in::KEY].into_iter().for_each(canary::keep);
    Ok(())
}

async fn are_told_nobody(mesh: &'static Mesh) -> Result<()> {
    let collector = Collector::start().await?;
    let partner = Options::default().lifetime(LIFETIME);
    let other = Other { partner, edit: Some(traced(collector.port)), envoy: EnvoyOptions::default().own(), ..Other::default() };
    let house = SignIn::start(mesh, "secrets", other).await?;
    let admin = house.envoy.admin();
    // Everything that the filter logs, and what Envoy logs of it.
    let raised = Call::new(Method::POST, "/logging?wasm=trace").send(admin).await?;
    ensure!(raised.status == 200, "{}", raised.text());

    // Somebody else, a denial, an answer that is not to be trusted, a code that is redeemed in vain, and agreement.
    let own = house.link("bob").await?;
    let ann = house.browser.person("ann");
    ensure!(house.sign_in(&ann, "ann", &own).await?.heading() == "This link is for another account");
    ann.leave().await?;
    ensure!(house.arrive("bob", &own).await?.deny().await?.heading() == "Access was not allowed");
    house.browser.person("bob").leave().await?;
    let own = house.link("ann").await?;
    house.partner.bend_response(&json!({"iss": "https://evil.example"})).await?;
    ensure!(house.arrive("ann", &own).await?.allow().await?.heading() == "This answer is not to be trusted");
    ann.leave().await?;
    house.partner.bend_response(&json!({"code": "a-code-that-nobody-issued-0123456789"})).await?;
    canary::keep("a-code-that-nobody-issued-0123456789");
    ensure!(house.arrive("ann", &own).await?.allow().await?.heading() == "This did not work");
    ann.leave().await?;
    house.partner.bend_response(&json!({})).await?;
    ensure!(house.agree("ann", &house.link("ann").await?).await? == "Access is allowed");
    // Calls, a renewal, one that fails, and the end.
    let first = token(&house.send("ann", "first").await?)?;
    wait::until("another token", LIMIT, async || Ok((token(&house.send("ann", "again").await?)? != first).then_some(()))).await?;
    let own = house.token("ann").await?;
    let listed = grants_at(&house.envoy, &own, Method::GET, "").await?.json();
    let id = listed["grants"][0]["id"].as_str().with_context(|| listed.to_string())?;
    ensure!(grants_at(&house.envoy, &own, Method::DELETE, &format!("/{id}")).await?.status == 204);
    let asked = house.asked("ann").await?;
    parameters(&link(&asked)?).values().for_each(|secret| canary::keep(secret));
    ensure!(house.agree("ann", &link(&asked)?).await? == "Access is allowed");
    house.partner.revoke_all("ann").await?;
    wait::until("a question", LIMIT, async || Ok(link(&house.send("ann", "last").await?.json()["result"]["task"]).ok())).await?;
    keep_all(&house).await?;

    // It was looked where something is.
    let path_of = |span: &attache_mesh::collector::Span| span.attributes.get("path").cloned().unwrap_or_default();
    let spans = wait::until("the spans", LIMIT, async || {
        let spans = collector.spans();
        let callbacks = spans.iter().filter(|span| path_of(span) == "/consent/callback/hr").count();
        Ok((callbacks >= 5).then_some(spans))
    })
    .await?;
    ensure!(spans.iter().any(|span| path_of(span) == "/consent/signed-in/corp"));
    ensure!(spans.iter().any(|span| span.attributes.get("credential").is_some_and(|told| told.contains("user_passthrough"))));
    for span in &spans {
        let all = format!("{:?}", span.attributes);
        ensure!(canary::find(&all).is_none() && !all.contains("code=") && !all.contains("link="), "{all}");
    }
    let access = wait::until("the access log", LIMIT, async || {
        let log = std::fs::read_to_string(&house.access_log)?;
        Ok((log.matches("/consent/callback/hr ").count() >= 5).then_some(log))
    })
    .await?;
    let log = house.envoy.log();
    ensure!(log.contains("[trace][wasm]") && log.contains("somebody else than the caller") && log.contains("invalid_grant"));
    let mut places = vec![("the access log", access), ("the log", log)];
    for path in ["/config_dump?include_eds", "/stats", "/stats/prometheus", "/clusters", "/listeners?format=json", "/server_info"] {
        let told = Call::get(path).send(admin).await?;
        ensure!(told.status == 200 && told.body.len() > 100, "{path}: {}", told.status);
        places.push((path, told.text()));
    }
    for (place, text) in &places {
        let line = text.lines().find(|line| canary::find(line).is_some());
        ensure!(line.is_none(), "a secret in {place}: {}", line.unwrap_or_default());
        ensure!(!text.contains(&format!("{CONSENT}/consent/start?link=")), "a link in {place}");
    }
    // The search finds what is there.
    let known: Vec<Value> = house.partner.requests().await?;
    ensure!(canary::find(&json!(known).to_string()).is_some(), "nothing was kept");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("user_passthrough_secrets::are_in_no_log_no_trace_and_no_answer_of_the_admin_server", are_told_nobody);
}

//! What decisions leave behind: lines in the log, filter state for an operator's own access log, statistics, traces for those who
//! may see them; refusals that are only told; and that no secret is in any of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::authorization::claims;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::mint::broken_signature;
use attache_mesh::{canary, place, raw, wait};
use serde_json::{Value, json};

use crate::grpc;
use crate::suite::Suite;

const GET_TASK: &str = "/lf.a2a.v1.A2AService/GetTask";

/// The agent in every binding, with changes to the plugin's configuration.
async fn start(mesh: &Mesh, name: &str, edit: impl FnOnce(&mut Value)) -> Result<Envoy> {
    let mut file = mesh.inbound_file()?;
    grpc::offer(&mut file, &mesh.agent_1_0, &mesh.agent_0_3)?;
    file.edit_plugin(edit)?;
    Envoy::start(name, &file, Options::default().own()).await
}

/// The records in the log behind its first `start` bytes, once there are `count`.
async fn records(envoy: &Envoy, start: usize, count: usize) -> Result<Vec<Value>> {
    let found = wait::until(&format!("{count} records"), Duration::from_secs(10), async || {
        let log = envoy.log();
        let lines = log.get(start..).unwrap_or_default().lines().filter_map(|line| line.split_once("attache: audit "));
        // A line that is still being written is no JSON.
        let found: Vec<Value> = lines.filter_map(|(_, json)| serde_json::from_str(json.trim_end()).ok()).collect();
        Ok((found.len() >= count).then_some(found))
    })
    .await?;
    ensure!(found.len() == count, "{count} records, but: {found:?}");
    Ok(found)
}

/// The record of one call.
async fn record_of(envoy: &Envoy, call: &Call) -> Result<(Value, Reply)> {
    let start = envoy.log().len();
    let is_grpc = call.headers.iter().any(|(_, value)| value == b"application/grpc");
    let reply = if is_grpc { raw::http2(envoy.port(), call, 100, &[]).await? } else { call.send(envoy.port()).await? };
    let record = records(envoy, start, 1).await?.pop().context("no record")?;
    Ok((record, reply))
}

fn over_grpc() -> Call {
    // With one empty message.
    let call = Call::new(http::Method::POST, GET_TASK).header("content-type", "application/grpc");
    call.header("te", "trailers").body(&[0u8; 5][..])
}

fn has(record: &Value, wanted: &Value) -> Result<()> {
    for (name, value) in wanted.as_object().into_iter().flatten() {
        ensure!(record.get(name).unwrap_or(&Value::Null) == value, "{name} is not {value}: {record}");
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("record::every_decision_leaves_a_line_in_every_binding", async |mesh| {
        let envoy = start(mesh, "record", |plugin| plugin["audit"] = json!({"subject": "plain"})).await?;
        let token = mesh.token().await?;
        for (call, version, binding, operation) in [
            (send_1_0("r"), "1.0", "jsonrpc", "SendMessage"),
            (send_0_3("r"), "0.3", "jsonrpc", "SendMessage"),
            (send_1_0_http("r"), "1.0", "http_json", "SendMessage"),
            (over_grpc(), "1.0", "grpc", "GetTask"),
        ] {
            let (record, reply) = record_of(&envoy, &call.clone().bearer(&token)).await?;
            ensure!(reply.reason().is_none(), "{}", reply.text());
            let who = json!({"issuer": "corp", "subject": claims(&token)?["sub"], "client": "caller", "kind": "service"});
            let what = json!({"agent": "expense", "version": version, "binding": binding, "operation": operation,
                "decision": "allow", "reason": null, "status": null});
            has(&record, &who)?;
            has(&record, &what)?;
            ensure!(record["request_id"].as_str().is_some_and(|id| id.len() == 36), "{record}");
            ensure!(record["time"].as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{record}");
            ensure!(record["latency_us"].as_u64().is_some_and(|time| (1..20_000_000).contains(&time)), "{record}");

            let (record, _) = record_of(&envoy, &call.bearer(&broken_signature(&token)?)).await?;
            let what = json!({"agent": "expense", "version": version, "binding": binding, "decision": "deny",
                "reason": "token_signature_invalid", "status": 401, "subject": null, "client": null});
            has(&record, &what)?;
        }
        let (record, _) = record_of(&envoy, &Call::get("/nowhere")).await?;
        has(&record, &json!({"agent": null, "decision": "deny", "reason": "unmatched", "status": 404}))
    });
    suite.add("record::a_refusal_says_what_was_wrong_and_where", async |mesh| {
        let envoy = start(mesh, "record-why", |plugin| {
            plugin["agents"][0]["access"] = json!([{"operations": ["read"]},
                {"operations": ["any"], "require": {"any_scope": ["expense:approve"]}}]);
        })
        .await?;
        let token = mesh.token().await?;
        let other = mesh.authorization.token("https://other.example.com", SCOPES).await?;
        let audience = &mesh.audience;
        let rule = "agents[0].access[1]: scopes [\"expense:approve\"] needed for SendMessage, the caller has [";
        let for_others = format!("aud is [\"https://other.example.com\"], one of [{audience:?}] needed (issuers[0].audiences)");
        let broken = "does not verify the signature; unverified";
        let near = format!("near: [{:?}", mesh.expense_host());
        for (call, path, detail) in [
            (send_1_0("w"), AGENT, "agents[0].security: schemes.oauth2 (Authorization: Bearer) needed, the request has nothing of that"),
            (send_1_0("w").bearer("abc"), AGENT, "not three parts with dots between"),
            (send_1_0("w").bearer(&other), AGENT, for_others.as_str()),
            (send_1_0("w").bearer(&broken_signature(&token)?), AGENT, broken),
            (send_1_0("w").bearer(&token), AGENT, rule),
            (
                Call::get("/agents/expens?api_key=canary").bearer(&token),
                "/agents/expens",
                "is below no path_prefix there; near: [\"/agents/expense\"]",
            ),
            (Call::get("/nowhere").header("host", "expense.exmaple.com"), "/nowhere", near.as_str()),
        ] {
            let (record, reply) = record_of(&envoy, &call).await?;
            let said = record["detail"].as_str().unwrap_or_default();
            ensure!(said.contains(detail), "{detail:?} is not in {record}");
            ensure!(record["path"] == path && record["host"].is_string(), "{record}");
            // The operator reads it, and nobody else.
            let answer = format!("{:?} {}", reply.headers, reply.text());
            ensure!(!answer.contains(said) && !record.to_string().contains("canary"), "{answer}: {record}");
            ensure!(!record.to_string().contains(&token), "{record}");
        }
        let (record, _) = record_of(&envoy, &Call::get("/agents/expense/v1/tasks/t").bearer(&token)).await?;
        has(&record, &json!({"decision": "allow", "detail": null, "host": null, "path": null}))
    });
    suite.add("record::only_what_is_asked_for_is_in_the_log", async |mesh| {
        let token = mesh.token().await?;
        let quiet = start(mesh, "record-denied", |plugin| plugin["audit"] = json!({"level": "denied", "log_level": "warn"})).await?;
        send_1_0("q").bearer(&token).send(quiet.port()).await?;
        let short = mesh.authorization.token(&mesh.audience, "agent:read").await?;
        let (record, _) = record_of(&quiet, &send_1_0("q").bearer(&short)).await?;
        has(&record, &json!({"decision": "deny", "reason": "insufficient_scope", "client": "caller"}))?;
        let digest = record["subject"].as_str().unwrap_or_default();
        ensure!(digest.starts_with("sha256:") && digest.len() == 39, "{record}");
        ensure!(quiet.log().matches("attache: audit").count() == 1, "{}", quiet.log());
        let silent = start(mesh, "record-none", |plugin| plugin["audit"] = json!({"level": "none"})).await?;
        send_1_0("q").send(silent.port()).await?;
        // Counted all the same.
        silent.stat_reaches("decision=.=deny;.;reason=.=credentials_missing;.;total", 1).await?;
        ensure!(!silent.log().contains("attache: audit"), "{}", silent.log());
        Ok(())
    });
    suite.add("record::an_access_log_can_have_the_record", async |mesh| {
        let path = place::logs().join(place::unique("access-record.log"));
        let mut file = mesh.inbound_file()?;
        file.edit_plugin(|plugin| plugin["audit"] = json!({"level": "none", "filter_state": true}))?;
        let format = "%RESPONSE_CODE% %FILTER_STATE(wasm.attache.audit:PLAIN)%\n";
        file.http_manager()?["access_log"] = json!([{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": path, "log_format": {"text_format_source": {"inline_string": format}},
            },
        }]);
        let envoy = Envoy::start("record-state", &file, Options::default()).await?;
        send_1_0("s").bearer(&mesh.token().await?).send(envoy.port()).await?;
        send_1_0("s").send(envoy.port()).await?;
        envoy.stop();
        let text = wait::until("two lines in the access log", Duration::from_secs(10), async || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            Ok((text.lines().count() >= 2).then_some(text))
        })
        .await?;
        for (line, status, wanted) in text
            .lines()
            .zip(["200", "401"])
            .zip([
                json!({"decision": "allow", "operation": "SendMessage", "agent": "expense"}),
                json!({"decision": "deny", "reason": "credentials_missing", "agent": "expense"}),
            ])
            .map(|((line, status), wanted)| (line, status, wanted))
        {
            let (code, record) = line.split_once(' ').context("no record")?;
            ensure!(code == status, "{line}");
            has(&serde_json::from_str(record).context(line.to_owned())?, &wanted)?;
        }
        Ok(())
    });
    suite.add("record::what_is_in_shadow_is_told_and_goes_on", async |mesh| {
        let envoy = start(mesh, "record-shadow", |plugin| {
            plugin["agents"][0]["shadow"] = json!({"authentication": true, "authorization": true, "version": true});
        })
        .await?;
        let good = mesh.token().await?;
        let short = mesh.authorization.token(&mesh.audience, "agent:read").await?;
        let other = mesh.authorization.token("https://other.example.com", SCOPES).await?;
        for (call, reasons, known) in [
            (send_1_0("s"), json!(["credentials_missing"]), false),
            (send_1_0("s").bearer(&broken_signature(&good)?), json!(["token_signature_invalid"]), false),
            (send_1_0("s").bearer(&other), json!(["token_audience_mismatch"]), false),
            (send_1_0("s").bearer(&short), json!(["insufficient_scope"]), true),
            (send_0_3("s").version("1.0").bearer(&good), json!(["version_mismatch"]), true),
            (send_0_3("s").version("9.9"), json!(["version_not_supported", "credentials_missing"]), false),
        ] {
            let forged = call.header("x-attache-subject", "mallory").header("x-attache-kind", "user");
            let (record, reply) = record_of(&envoy, &forged).await?;
            has(&record, &json!({"decision": "shadow_deny", "reason": reasons[0], "shadow": reasons}))?;
            let echo = reply.echo().with_context(|| format!("{reasons}: {} {}", reply.status, reply.text()))?;
            let seen = ["issuer", "subject", "client", "kind"].map(|member| echo.told(member));
            ensure!(seen.iter().all(|values| values.len() == usize::from(known)), "{reasons}: {seen:?}");
            ensure!(echo.told("scopes").is_empty() != known, "{reasons}: {:?}", echo.0);
            ensure!(!echo.0.to_string().contains("mallory"), "{}", echo.0);
        }
        let broken = Call::post(AGENT, &Value::Null).version("1.0").body("{");
        let (record, reply) = record_of(&envoy, &broken).await?;
        has(&record, &json!({"decision": "deny", "reason": "body_malformed", "shadow": ["credentials_missing"]}))?;
        ensure!(reply.reason().as_deref() == Some("body_malformed"), "{}", reply.text());
        Ok(())
    });
    suite.add("record::who_may_see_it_sees_how_it_was_judged", async |mesh| {
        let envoy =
            start(mesh, "record-explain", |plugin| plugin["debug"] = json!({"allow": [{"issuer": "corp", "client": "caller"}]})).await?;
        let explain = |call: Call| call.header("x-attache-explain", "1");
        let (good, guest) = (mesh.token().await?, mesh.authorization.token_of("guest", &mesh.audience, SCOPES).await?);
        let short = mesh.authorization.token(&mesh.audience, "agent:read").await?;
        for (call, parts) in [
            (send_1_0("e").bearer(&good), &["operation=SendMessage", "client=caller", "security[0]: met", "decision=allow"][..]),
            (send_1_0_http("e").bearer(&good), &["binding=http_json", "decision=allow"][..]),
            (send_1_0("e").bearer(&short), &["security[0]: needs scopes agent:execute", "reason=insufficient_scope"][..]),
            (over_grpc().bearer(&good), &["binding=grpc", "decision=allow"][..]),
        ] {
            let (_, reply) = record_of(&envoy, &explain(call)).await?;
            let trace = reply.header("x-attache-explain").unwrap_or_default();
            ensure!(parts.iter().all(|part| trace.contains(part)), "{parts:?}: {trace:?} of {:?}", reply.headers);
            ensure!(!reply.echo().is_some_and(|echo| echo.names().iter().any(|name| name == "x-attache-explain")), "the agent saw it");
        }
        for call in [
            explain(send_1_0("e").bearer(&guest)),
            explain(send_1_0("e")),
            explain(send_1_0("e").bearer(&broken_signature(&good)?)),
            send_1_0("e").bearer(&good),
        ] {
            let reply = call.send(envoy.port()).await?;
            ensure!(reply.header("x-attache-explain").is_none(), "{:?}", reply.headers);
        }
        Ok(())
    });
    suite.add("record::statistics_have_labels", async |mesh| {
        let envoy = start(mesh, "record-stats", |_| {}).await?;
        let token = mesh.token().await?;
        for _ in 0..3 {
            send_1_0("m").bearer(&token).send(envoy.port()).await?;
        }
        send_1_0("m").send(envoy.port()).await?;
        envoy.stat_reaches("attache_tokens.cache=.=hit;.;total", 2).await?;
        envoy.stat_reaches("attache_tokens.cache=.=miss;.;total", 1).await?;
        envoy.stat_reaches("attache_scan_bytes.total", 100).await?;
        // The last request of all: what came before it is handed over no later.
        let refused = "attache_decisions.agent=.=expense;.;version=.=1.0;.;binding=.=jsonrpc;.;operation=.=none;.;decision=.=deny;.;\
                       reason=.=credentials_missing;.;total";
        envoy.stat_reaches(refused, 1).await?;
        envoy.stat_reaches("attache_jwks_fetches.issuer=.=corp;.;outcome=.=ok;.;total", 1).await?;
        let text = wait::until("metrics with labels", Duration::from_secs(20), async || {
            let text = Call::get("/stats/prometheus").send(envoy.admin()).await?.text();
            Ok(text.contains("attache_decision_duration_microseconds_bucket").then_some(text))
        })
        .await?;
        let line = |parts: &[&str]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        let allowed = [
            "attache_decisions_total{",
            "agent=\"expense\"",
            "version=\"1.0\"",
            "binding=\"jsonrpc\"",
            "operation=\"SendMessage\"",
            "decision=\"allow\"",
            "reason=\"none\"",
            "} 3",
        ];
        ensure!(line(&allowed), "{text}");
        ensure!(line(&["attache_decisions_total{", "decision=\"deny\"", "reason=\"credentials_missing\"", "} 1"]), "{text}");
        ensure!(line(&["attache_decision_duration_microseconds_count{", "agent=\"expense\"", "decision=\"allow\""]), "{text}");
        ensure!(line(&["attache_jwks_age_seconds{", "issuer=\"corp\""]), "{text}");
        Ok(())
    });
    suite.add("record::no_secret_is_in_what_is_left", async |mesh| {
        let key = "canary-key-4c1f9b27";
        canary::keep(key);
        let token = mesh.token().await?;
        let envoy = start(mesh, "record-canary", |plugin| plugin["audit"] = json!({"subject": "plain", "filter_state": true})).await?;
        let broken = broken_signature(&token)?;
        canary::keep(&broken);
        for call in [
            send_1_0("c").bearer(&token),
            send_1_0("c").bearer(&broken),
            send_1_0("c").header("authorization", &token),
            send_1_0("c").header("authorization", format!("Basic {token}")),
            send_1_0("c").bearer(&token).bearer(&token),
            send_1_0("c").header("x-api-key", key).header("cookie", format!("key={key}")),
            Call::get(format!("{AGENT}/tasks/t?access_token={token}")).version("1.0"),
            Call::get(format!("/nowhere?access_token={token}")),
        ] {
            let reply = call.send(envoy.port()).await?;
            // The agent that echoes what it got is not what is searched.
            if reply.echo().is_none() {
                let leak = canary::find(&format!("{:?} {}", reply.headers, reply.text()));
                ensure!(leak.is_none(), "{leak:?} in {}", reply.text());
            }
        }
        // A key where its name belongs, or anywhere near.
        for (place, value) in [
            ("/connections/0/credential", json!(key)),
            ("/connections/0/credential/header/value", json!(key)),
            ("/connections/0/credential/header/value", json!({"secret": key})),
            ("/connections/0/credential/header/name", json!(format!("{key} "))),
            ("/secrets/partner_key", json!(key)),
        ] {
            let mut file = mesh.outbound_file()?;
            let mut found = false;
            file.edit_plugin(|plugin| {
                found = plugin.pointer_mut(place).map(|old| *old = value).is_some();
            })?;
            ensure!(found, "outbound.yaml has no {place}");
            let (_, log) = Envoy::refuse("record-canary", &file, Options::default()).await?;
            ensure!(log.contains("attache: configuration refused: ") && canary::find(&log).is_none(), "{place}: {log}");
        }
        envoy.stop();
        let leak = canary::find(&(envoy.log() + &envoy.process().out()));
        ensure!(leak.is_none(), "{leak:?} in the log of {}", envoy.process().name());
        Ok(())
    });
}

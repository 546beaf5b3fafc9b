//! `tests/attacks/steering.json` through Envoy, outbound and inbound, with headers held and not: no header of a client steers
//! Envoy, no method but those of A2A enters or leaves, no credential of a client leaves beside ours. And what an operator
//! configures, in routes or in `keep_headers`, still steers.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::connections::{connection, outbound};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{Mesh, PARTNER_KEY};
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::verdicts::Corpus;
use attache_mesh::wait;
use attache_mesh::wiretap::{Heard, Wiretap};
use http::Method;
use serde_json::{Value, json};

use crate::suite::Suite;

const FILE: &str = include_str!("../../../attacks/steering.json");

fn rows(name: &str) -> Result<Vec<Value>> {
    let file: Value = serde_json::from_str(FILE)?;
    file[name].as_array().cloned().with_context(|| format!("steering.json has no {name}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The servers behind one Envoy, and that Envoy. Hosts below `partner.example.com` are a connection, those below
/// `agent.example.com` an agent: at `busy.` is a server without time, at `slow.` one that answers when it likes, at `dst.` the one
/// that the request names.
struct Here {
    envoy: Envoy,
    tap: Wiretap,
    busy: StandIn,
    slow: StandIn,
    moved: StandIn,
    hold: bool,
}

impl Here {
    async fn start(mesh: &Mesh, name: &str, hold: bool, keep: &[String]) -> Result<Self> {
        let tap = Wiretap::start().await?;
        let busy = StandIn::start(Answer::new("503 Service Unavailable", "text/plain", "")).await?;
        let slow = StandIn::start(Answer::new("503 Service Unavailable", "text/plain", "")).await?;
        let moved = StandIn::start(Answer::new("503 Service Unavailable", "text/plain", "")).await?;
        let value = |secret: &str| json!({ "secret": secret });
        let header = |name: &str| json!({"name": name, "value": value("key")});
        let mut partner = connection("partner", &json!({"header": header("x-partner-key")}));
        partner["match"]["hosts"] = json!(["partner.example.com", "*.partner.example.com"]);
        partner["pin"] = json!({"clusters": ["remote", "busy", "slow", "dst"]});
        let mut kept = connection("kept", &json!({"header": header("x-kept-key")}));
        kept["drop"] = json!({"headers": ["x-tenant", "x-corp-*"], "query": ["tenant"]});
        kept["keep"] = json!({"headers": ["cookie", "x-auth-token"], "query": ["code"]});
        let both = json!([header("x-moved-key"), {"name": "authorization", "prefix": "Bearer ", "value": value("key")}]);
        let mut moving = connection("moved", &json!({"headers": both}));
        moving["pin"] = json!({"clusters": ["moved", "remote"]});
        let other = connection("other", &json!({"header": header("x-other-key")}));
        let clusters = [("busy", busy.port), ("slow", slow.port), ("moved", moved.port), ("dst", 9)];
        let mut file = outbound(mesh, &[partner, kept, moving, other], &json!({"key": {"env": "PARTNER_KEY"}}), &clusters)?;
        file.cluster("remote", tap.port)?;
        *cluster(&mut file, "dst")? = json!({"name": "dst", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s",
            "original_dst_lb_config": {"use_http_header": true}});
        file.edit_plugin(|plugin| {
            plugin["hold_headers"] = json!(hold);
            plugin["keep_headers"] = json!(keep);
            plugin["unmatched"] = json!("pass");
            plugin["schemes"] = json!({"open": {"none": {}}});
            plugin["agents"] = json!([{"name": "agent", "match": {"hosts": ["agent.example.com", "*.agent.example.com"], "path_prefix": "/"},
                "default_version": "1.0", "versions": {"1.0": {"bindings": ["jsonrpc", "http_json"]}}, "security": [{"open": []}],
                "card": {"access": "public"}}]);
        })?;
        let cors = "type.googleapis.com/envoy.extensions.filters.http.cors.v3";
        let manager = file.http_manager()?;
        let filters = manager["http_filters"].as_array_mut().context("filters")?;
        // Everything that a client may ask of Envoy is there to be asked for.
        filters.insert(1, json!({"name": "envoy.filters.http.fault", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
            "delay": {"header_delay": {}, "percentage": {"numerator": 100}}, "abort": {"header_abort": {}, "percentage": {"numerator": 100}},
            "response_rate_limit": {"header_limit": {}, "percentage": {"numerator": 100}}}}));
        filters.insert(0, json!({"name": "envoy.filters.http.cors", "typed_config": {"@type": format!("{cors}.Cors")}}));
        let policy = json!({"envoy.filters.http.cors": {"@type": format!("{cors}.CorsPolicy"), "allow_methods": "GET, POST",
            "allow_origin_string_match": [{"exact": "https://app.example.com"}], "allow_headers": "authorization, content-type, a2a-version"}});
        let redirects = json!({"max_internal_redirects": 3, "allow_cross_scheme_redirect": true, "redirect_response_codes": [302, 307]});
        let domains = |name: &str| json!([format!("{name}.partner.example.com"), format!("{name}.agent.example.com")]);
        let retries = json!({"retry_on": "5xx", "num_retries": 2});
        manager["route_config"]["virtual_hosts"] = json!([
            {"name": "busy", "domains": domains("busy"), "routes": [
                {"match": {"prefix": "/tasks/retried"}, "route": {"cluster": "busy", "timeout": "10s", "retry_policy": retries}},
                {"match": {"prefix": "/"}, "route": {"cluster": "busy", "timeout": "0s"}}]},
            {"name": "slow", "domains": domains("slow"), "routes": [
                {"match": {"prefix": "/tasks/short"}, "route": {"cluster": "slow", "timeout": "0.3s"}},
                {"match": {"prefix": "/"}, "route": {"cluster": "slow", "timeout": "0s"}}]},
            {"name": "dst", "domains": domains("dst"), "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "dst"}}]},
            {"name": "cors", "domains": ["cors.agent.example.com"], "typed_per_filter_config": policy,
             "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "remote"}}]},
            {"name": "moved", "domains": ["moved.example.com"], "routes": [
                {"match": {"prefix": "/tasks/after"}, "route": {"cluster": "remote"}},
                {"match": {"prefix": "/"}, "route": {"cluster": "moved", "internal_redirect_policy": redirects}}]},
            {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "remote", "timeout": "0s"}}]},
        ]);
        // The addresses of clients that Envoy believes more; without that it drops some of the headers itself.
        manager["internal_address_config"] = json!({"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]});
        if !hold {
            // Envoy then drops some headers itself, of clients that it takes for external ones.
            manager["use_remote_address"] = json!(true);
            manager["xff_num_trusted_hops"] = json!(1);
        }
        let envoy = Envoy::start(name, &file, Options::default().env("PARTNER_KEY", PARTNER_KEY)).await?;
        Ok(Self { envoy, tap, busy, slow, moved, hold })
    }

    async fn send(&self, call: &Call) -> Result<Reply> {
        call.send(self.envoy.port()).await
    }
}

fn cluster<'a>(file: &'a mut EnvoyFile, name: &str) -> Result<&'a mut Value> {
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("clusters")?;
    clusters.iter_mut().find(|cluster| cluster["name"] == name).with_context(|| format!("no cluster {name}"))
}

fn get(host: &str) -> Call {
    Call::get("/tasks/1").host(&format!("{host}.example.com"))
}

fn message(host: &str) -> Call {
    Call::post("/", &rpc(json!(1), "SendMessage", message_1_0("steer"))).host(&format!("{host}.example.com")).version("1.0")
}

/// `call` with a header of the file, from a client that says it is inside: of others Envoy drops most of them itself.
fn with(call: Call, row: &Value, tap: u16) -> Call {
    let call = call.header("x-forwarded-for", "10.0.0.1");
    let value = text(&row["value"]).replace("{tap}", &format!("127.0.0.1:{tap}"));
    let more = row["with"].as_array().cloned().unwrap_or_default();
    more.iter().fold(call.header(text(&row["name"]), value), |call, pair| call.header(text(&pair[0]), text(&pair[1])))
}

/// Each header of the file, from a client of an agent and from a client of a connection: the upstream does not get it.
async fn gone(here: &Here) -> Result<()> {
    for row in rows("headers")? {
        for host in ["partner", "agent"] {
            for call in [get(host), message(host)] {
                here.tap.forget();
                let sent = here.send(&with(call, &row, here.tap.port)).await;
                let reply = sent.with_context(|| format!("{row} {host}"))?;
                let heard = here.tap.heard();
                let [one] = heard.as_slice() else { bail!("{row} {host}: {} {}, {heard:?}", reply.status, reply.text()) };
                ensure!(reply.status == 200, "{row} {host}: {} {}", reply.status, reply.text());
                let folded = text(&row["name"]).replace('_', "-");
                let value = text(&row["value"]).replace("{tap}", &format!("127.0.0.1:{}", here.tap.port));
                let names = one.head.lines().filter_map(|line| line.split_once(':'));
                let left = names.filter(|(name, left)| name.to_ascii_lowercase().replace('_', "-") == folded && left.trim() == value);
                ensure!(left.count() == 0, "{row} {host}: it went on:\n{}", one.head);
                let keys = one.header("x-partner-key").len();
                ensure!(keys == usize::from(host == "partner"), "{row} {host}: {keys} keys");
            }
        }
    }
    Ok(())
}

/// The same headers where they would change something: they do if they are `kept`, by this very Envoy, and otherwise they do not.
async fn powerless(here: &Here, kept: bool) -> Result<()> {
    for row in rows("headers")?.iter().filter(|row| row["shows"].is_string()) {
        for host in ["partner", "agent"] {
            let case = format!("{row} {host}, kept: {kept}");
            let place = |name: &str| get(&format!("{name}.{host}"));
            match text(&row["shows"]) {
                "host" => {
                    here.tap.forget();
                    let status = here.send(&with(place("dst"), row, here.tap.port)).await?.status;
                    let expected = if kept { (200, 1) } else { (503, 0) };
                    ensure!((status, here.tap.heard().len()) == expected, "{case}: {status} {:?}", here.tap.heard());
                }
                "timeout" => {
                    here.slow.open(false);
                    let before = here.slow.heads();
                    let call = with(place("slow"), row, 0);
                    let late = async {
                        if !kept {
                            let arrived = async || Ok((here.slow.heads() > before).then_some(()));
                            wait::until("the request at the agent", Duration::from_secs(20), arrived).await?;
                            // Three times what the client allowed. Nothing can be waited for: it must not happen.
                            tokio::time::sleep(Duration::from_millis(900)).await;
                            here.slow.open(true);
                        }
                        anyhow::Ok(())
                    };
                    let (reply, late) = tokio::join!(here.send(&call), late);
                    late?;
                    ensure!(reply?.status == if kept { 504 } else { 503 }, "{case}");
                }
                shows => {
                    let before = here.busy.heads();
                    let reply = here.send(&with(place("busy"), row, 0)).await?;
                    let attempts = here.busy.heads() - before;
                    let expected = match shows {
                        "retries" if kept => (503, 4),
                        "fault" if kept && text(&row["name"]).contains("grpc") => (200, 0),
                        "fault" if kept => (418, 0),
                        "retries" | "fault" | "statistics" => (503, 1),
                        other => bail!("{other}"),
                    };
                    ensure!((reply.status, attempts) == expected, "{case}: {} {attempts}", reply.status);
                    if shows == "statistics" {
                        let counted = here.envoy.stat("cluster.busy.canary.upstream_rq_503").await.unwrap_or(0);
                        ensure!((counted > 0) == kept, "{case}: {counted}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// What stands in routes counts: retries and timeouts.
async fn operators(here: &Here) -> Result<()> {
    for host in ["partner", "agent"] {
        let call = |place: &str, path: &str| Call::get(path).host(&format!("{place}.{host}.example.com"));
        let before = here.busy.heads();
        let reply = here.send(&call("busy", "/tasks/retried")).await?;
        ensure!((reply.status, here.busy.heads() - before) == (503, 3), "{host}: {} {}", reply.status, here.busy.heads());
        here.slow.open(false);
        let reply = here.send(&call("slow", "/tasks/short")).await?;
        ensure!(reply.status == 504, "{host}: {}", reply.status);
    }
    Ok(())
}

async fn send(row: &Value, host: &str, port: u16) -> Result<Reply> {
    let mut call = Call::new(Method::from_bytes(text(&row["method"]).as_bytes())?, text(&row["path"])).host(&format!("{host}.example.com"));
    for pair in row["headers"].as_array().into_iter().flatten() {
        call = call.header(text(&pair[0]), text(&pair[1]));
    }
    if row["http2"] == true { raw::http2(port, &call.version("1.0"), 1024, &[]).await } else { call.version("1.0").send(port).await }
}

/// Each method of the file: only A2A's come through, and only they carry a credential.
async fn methods(here: &Here) -> Result<()> {
    for row in rows("methods")? {
        for host in ["partner", "agent"] {
            here.tap.forget();
            let reply = send(&row, host, here.envoy.port()).await?;
            let heard = here.tap.heard();
            if row["status"] == 200 {
                let keys: usize = heard.iter().map(|heard| heard.header("x-partner-key").len()).sum();
                ensure!(heard.len() == 1 && keys == usize::from(host == "partner"), "{row} {host}: {} {heard:?}", reply.status);
                continue;
            }
            ensure!(u64::from(reply.status) == row["status"] && heard.is_empty(), "{row} {host}: {} {heard:?}", reply.status);
            ensure!(reply.header("allow") == Some("GET, HEAD, POST, DELETE"), "{row} {host}: {:?}", reply.headers);
            if row["method"] != "HEAD" {
                refusal::check(&reply, "method_refused", &Form::Status)?;
            }
        }
    }
    Ok(())
}

/// Envoy's own filter answers preflights, in front of ours.
async fn preflights(here: &Here) -> Result<()> {
    here.tap.forget();
    let ask = |origin: &str| {
        Call::new(Method::OPTIONS, "/")
            .host("cors.agent.example.com")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };
    let reply = here.send(&ask("https://app.example.com")).await?;
    ensure!(
        reply.status == 200 && reply.header("access-control-allow-methods") == Some("GET, POST"),
        "{} {:?}",
        reply.status,
        reply.headers
    );
    let reply = here.send(&ask("https://evil.example.com")).await?;
    refusal::check(&reply, "method_refused", &Form::Status)?;
    ensure!(here.tap.heard().is_empty(), "{:?}", here.tap.heard());
    Ok(())
}

fn only(heard: &[Heard]) -> Result<&Heard> {
    match heard {
        [one] => Ok(one),
        _ => bail!("{} requests: {heard:?}", heard.len()),
    }
}

/// Every credential of the file at once: none leaves beside ours, and what is no credential does.
async fn look_alikes(here: &Here) -> Result<()> {
    here.tap.forget();
    let query: Vec<String> = rows("parameters")?.iter().map(|name| format!("{}=canary", text(name))).collect();
    let path = format!("/tasks?a=%2F+&{}&pageToken=next&b", query.join("&"));
    let mut call = Call::get(&path).host("partner.example.com").header("traceparent", "00-0-0-01").header("a2a-extensions", "e");
    for pair in rows("credentials")? {
        call = call.header(text(&pair[0]), text(&pair[1]));
    }
    let reply = here.send(&call).await?;
    ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
    let heard = here.tap.heard();
    let one = only(&heard)?;
    ensure!(!one.head.contains("canary"), "{}", one.head);
    ensure!(one.line() == "GET /tasks?a=%2F+&pageToken=next&b HTTP/1.1", "{}", one.line());
    ensure!(one.header("x-partner-key") == [PARTNER_KEY] && one.header("a2a-extensions") == ["e"], "{}", one.head);
    here.tap.forget();
    let call = Call::get("/tasks?code=kept&tenant=canary&key=canary").host("kept.example.com").header("cookie", "kept");
    let call = call.header("x_auth_token", "kept").header("X-Tenant", "canary").header("x_corp_id", "canary").header("x-api-key", "canary");
    ensure!(here.send(&call).await?.status == 200, "it goes");
    let heard = here.tap.heard();
    let one = only(&heard)?;
    ensure!(!one.head.contains("canary") && one.head.matches(": kept\r\n").count() == 2, "{}", one.head);
    ensure!(one.line() == "GET /tasks?code=kept HTTP/1.1", "{}", one.line());
    Ok(())
}

/// The partner answers with a redirect that Envoy follows itself: to an agent of this side, to another connection, to what is none
/// of ours, to another place of its own. Whatever it is, the credential of the first pass is gone, and nothing is taken for the
/// client's.
async fn redirected(here: &Here) -> Result<()> {
    for (target, own) in [
        ("agent.example.com", &[][..]),
        ("other.example.com", &["x-other-key"]),
        ("elsewhere.example.com", &[]),
        ("moved.example.com", &["x-moved-key", "authorization"]),
    ] {
        for status in ["302 Found", "307 Temporary Redirect"] {
            here.tap.forget();
            let location = format!("http://{target}/tasks/after");
            here.moved.answer(Answer::new(status, "text/plain", "").header("location", &location));
            // One that Envoy takes for external, where it tells them apart; and one that knows how redirects look.
            let call = get("moved").bearer("of-the-client").header("x-forwarded-for", "8.8.8.8");
            for call in [call.clone(), call.header("x-envoy-original-url", "http://a.example/")] {
                here.tap.forget();
                let reply = here.send(&call).await?;
                let heard = here.tap.heard();
                let one = only(&heard).with_context(|| format!("{target}: {} {}", reply.status, reply.text()))?;
                for name in ["x-moved-key", "x-other-key", "authorization"] {
                    let count = usize::from(own.contains(&name));
                    ensure!(one.header(name).len() == count, "hold_headers {}, {status} to {target}: {name}:\n{}", here.hold, one.head);
                }
                ensure!(!one.head.contains("of-the-client"), "{target}: {}", one.head);
                let keys = one.head.matches(PARTNER_KEY).count();
                ensure!(keys == own.len(), "{status} to {target}:\n{}", one.head);
            }
        }
    }
    Ok(())
}

async fn all(mesh: &Mesh, hold: bool) -> Result<()> {
    let mut corpus = Corpus::new(format!("steering.json, hold_headers: {hold}"));
    match steered(mesh, hold).await {
        Ok(()) => tally(&mut corpus)?,
        Err(error) => corpus.wrong(format!("{error:#}")),
    }
    corpus.end()
}

/// Every row came out as it says: a method that A2A does not use is refused, the rest goes on without what steers or looks like ours.
fn tally(corpus: &mut Corpus) -> Result<()> {
    for row in rows("methods")? {
        if row["status"] == 200 { corpus.passed() } else { corpus.refused() }
    }
    for kind in ["headers", "credentials", "parameters"] {
        rows(kind)?.iter().for_each(|_| corpus.passed());
    }
    Ok(())
}

async fn steered(mesh: &Mesh, hold: bool) -> Result<()> {
    let here = Here::start(mesh, if hold { "steering-held" } else { "steering" }, hold, &[]).await?;
    redirected(&here).await.context("redirects")?;
    gone(&here).await.context("headers")?;
    powerless(&here, false).await.context("headers and what they do")?;
    operators(&here).await.context("routes")?;
    methods(&here).await.context("methods")?;
    preflights(&here).await.context("preflights")?;
    look_alikes(&here).await.context("credentials")
}

async fn held(mesh: &Mesh) -> Result<()> {
    all(mesh, true).await
}

async fn not_held(mesh: &Mesh) -> Result<()> {
    all(mesh, false).await
}

/// This Envoy does obey these headers: with `keep_headers` clients may send them.
async fn kept(mesh: &Mesh) -> Result<()> {
    let mut names = Vec::new();
    for row in rows("headers")?.iter().filter(|row| row["shows"].is_string()) {
        names.push(text(&row["name"]).to_owned());
        names.extend(row["with"].as_array().into_iter().flatten().map(|pair| text(&pair[0]).to_owned()));
    }
    let here = Here::start(mesh, "steering-kept", true, &names).await?;
    powerless(&here, true).await
}

pub fn add(suite: &mut Suite) {
    suite.add("attacks::no_client_steers_envoy_and_no_credential_goes_astray", held);
    suite.add("attacks::nor_where_headers_are_not_held", not_held);
    suite.add("steering::headers_that_are_kept_do_steer", kept);
}

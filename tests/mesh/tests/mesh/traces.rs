//! Envoy's spans with what Attaché found out, as an OpenTelemetry collector gets them: `envoy/tracing.yaml` and
//! `envoy/tracing-1.36.yaml`. And that Attaché never touches the trace context of a request.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use attache_mesh::collector::Collector;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::raw;
use serde_json::json;

use crate::grpc;
use crate::suite::Suite;

/// The span that the client's own is.
const PARENT: &str = "00f067aa0ba902b7";

/// A trace that no other call has, and the header that says it.
fn trace() -> (String, String) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let trace = format!("4bf92f3577b34da6{:016x}", NEXT.fetch_add(1, Ordering::Relaxed));
    let header = format!("00-{trace}-{PARENT}-01");
    (trace, header)
}

async fn start(mesh: &Mesh, name: &str, example: &str, collector: &Collector) -> Result<Envoy> {
    let mut file = mesh.inbound_file_named(example)?;
    grpc::offer(&mut file, &mesh.agent_1_0, &mesh.agent_0_3)?;
    file.cluster("collector", collector.port)?;
    // Each span goes out at once.
    file.value_mut()["layered_runtime"] =
        json!({"layers": [{"name": "tests", "static_layer": {"tracing.opentelemetry.min_flush_spans": 1}}]});
    Envoy::start(name, &file, Options::default()).await
}

/// A call in each form, with the version, binding and operation that it has.
fn calls() -> Vec<(Call, &'static str, &'static str, &'static str)> {
    let stream = Call::post(AGENT, &rpc(json!("s"), "SendStreamingMessage", message_1_0("s"))).version("1.0");
    let read = Call::new(http::Method::POST, "/lf.a2a.v1.A2AService/GetTask").header("content-type", "application/grpc");
    vec![
        (send_1_0("t"), "1.0", "jsonrpc", "SendMessage"),
        (send_0_3("t"), "0.3", "jsonrpc", "SendMessage"),
        (send_1_0_http("t"), "1.0", "http_json", "SendMessage"),
        (stream.header("accept", "text/event-stream"), "1.0", "jsonrpc", "SendStreamingMessage"),
        // With one empty message.
        (read.header("te", "trailers").body(&[0u8; 5][..]), "1.0", "grpc", "GetTask"),
    ]
}

async fn send(envoy: &Envoy, call: &Call) -> Result<attache_mesh::http::Reply> {
    let is_grpc = call.headers.iter().any(|(_, value)| value == b"application/grpc");
    if is_grpc { raw::http2(envoy.port(), call, 100, &[]).await } else { call.send(envoy.port()).await }
}

const TAGS: [&str; 6] = ["gen_ai.agent.name", "a2a.operation", "a2a.version", "a2a.binding", "attache.decision", "error.type"];

/// Sends `call` and waits for its span, which has these tags of ours: `None` for those that it must not have.
async fn spanned(envoy: &Envoy, collector: &Collector, call: Call, tags: [Option<&str>; 6]) -> Result<()> {
    let (trace, header) = trace();
    let reply = send(envoy, &call.header("traceparent", &header)).await?;
    let span = collector.span_of(&trace).await?;
    ensure!(span.parent == PARENT && span.service == "expense", "{span:?}");
    for (tag, value) in TAGS.into_iter().zip(tags) {
        ensure!(span.attributes.get(tag).map(String::as_str) == value, "{tag} is not {value:?}: {span:?} {}", reply.text());
    }
    if let Some(echo) = reply.echo() {
        // Envoy's own span is the agent's parent, in the same trace.
        let sent = echo.header("traceparent");
        ensure!(sent == [format!("00-{trace}-{}-01", span.id)], "{sent:?} of {span:?}");
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("traces::a_span_has_what_was_found_out_and_decided", async |mesh| {
        let collector = Collector::start().await?;
        let envoy = start(mesh, "tracing", "tracing.yaml", &collector).await?;
        let (token, short) = (mesh.token().await?, mesh.authorization.token(&mesh.audience, "agent:read").await?);
        let agent = Some("expense");
        for (call, version, binding, operation) in calls() {
            let (version, binding) = (Some(version), Some(binding));
            let allowed = [agent, Some(operation), version, binding, Some("allow"), None];
            spanned(&envoy, &collector, call.clone().bearer(&token), allowed).await?;
            // Over JSON-RPC nothing is read of a body whose sender is not known.
            let named = Some(operation).filter(|_| binding != Some("jsonrpc"));
            let unknown = [agent, named, version, binding, Some("deny"), Some("credentials_missing")];
            spanned(&envoy, &collector, call.clone(), unknown).await?;
            let lacking = [agent, named, version, binding, Some("deny"), Some("insufficient_scope")];
            spanned(&envoy, &collector, call.bearer(&short), lacking).await?;
        }
        spanned(&envoy, &collector, Call::get("/nowhere"), [None, None, None, None, Some("deny"), Some("unmatched")]).await
    });
    suite.add("traces::before_1_37_a_span_has_what_the_agent_is_told", async |mesh| {
        let collector = Collector::start().await?;
        let envoy = start(mesh, "tracing-1.36", "tracing-1.36.yaml", &collector).await?;
        let token = mesh.token().await?;
        for (call, version, _, operation) in calls() {
            let forged = call.header("x-agent", "forged").header("x-operation", "forged");
            let allowed = [Some("expense"), Some(operation), Some(version), None, None, None];
            spanned(&envoy, &collector, forged.clone().bearer(&token), allowed).await?;
            let said = forged.headers.iter().any(|(name, _)| name == "a2a-version").then_some(version);
            spanned(&envoy, &collector, forged, [None, None, said, None, None, None]).await?;
        }
        Ok(())
    });
    suite.add("traces::the_trace_context_of_a_request_stays_as_it_is", async |mesh| {
        let token = mesh.token().await?;
        let state = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7";
        let inbound = send_1_0("c").bearer(&token);
        let outbound = Call::post("/", &rpc(json!("c"), "SendMessage", message_1_0("c"))).host(mesh.partner_host());
        for (call, port) in
            [(inbound, mesh.inbound.port()), (send_1_0_http("c").bearer(&token), mesh.inbound.port()), (outbound, mesh.outbound.port())]
        {
            let (_, header) = trace();
            let call = call.header("traceparent", &header).header("tracestate", state).header("baggage", "user=ann");
            let reply = call.send(port).await?;
            let echo = reply.echo().with_context(|| reply.text())?;
            for (name, value) in [("traceparent", header.as_str()), ("tracestate", state), ("baggage", "user=ann")] {
                ensure!(echo.header(name) == [value], "{name}: {:?}", echo.header(name));
            }
        }
        Ok(())
    });
}

//! Bodies around the limits of Envoy's buffers: whatever their size, an answer is whole and right or refused, and Envoy lives.

use std::ops::RangeInclusive;

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_1_0};
use attache_mesh::raw;
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};

use crate::grpc::{SERVICE_1_0, call};
use crate::grpc_messages::{answering, before, framed, is_true, own_card as own_message};
use crate::ownership::{EVERYWHERE, Place, task_of};
use crate::projected::{in_front_of, json_answer, own_card};
use crate::suite::Suite;

const KIB: usize = 1024;
const STEP: usize = 64;

/// Envoy's buffer limits that are walked around.
const LIMITS: [usize; 3] = [16 * KIB, 32 * KIB, KIB * KIB];

/// Sizes from so much below a limit to so much above it.
fn around(limit: usize, span: usize) -> impl Iterator<Item = usize> {
    let sizes: RangeInclusive<usize> = limit - span..=limit + span;
    sizes.step_by(STEP)
}

/// Gives the listener's buffers this limit, and those of the clusters.
fn limit(file: &mut EnvoyFile, bytes: usize) -> Result<()> {
    for listener in file.listeners_mut()? {
        listener["per_connection_buffer_limit_bytes"] = json!(bytes);
    }
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    for cluster in clusters {
        cluster["per_connection_buffer_limit_bytes"] = json!(bytes);
    }
    Ok(())
}

/// Envoy runs, its VM was not replaced, and it logged no fault of the filter.
async fn ensure_alive(envoy: &Envoy) -> Result<()> {
    ensure!(envoy.ended().is_none(), "Envoy ended with {:?}\n{}", envoy.ended(), envoy.tail());
    ensure!(envoy.stat("vm_reload").await? == 0, "the VM was replaced\n{}", envoy.tail());
    let log = envoy.log();
    let fault = log.lines().find(|line| line.contains("already borrowed") || line.contains("Uncaught") || line.contains("panicked"));
    ensure!(fault.is_none(), "{fault:?}");
    ensure!(!log.contains("outgrown") && !log.contains("did not hand out"), "the filter refused to write\n{}", envoy.tail());
    Ok(())
}

/// The agent's card, of exactly this size.
fn card_of(size: usize) -> Value {
    let mut card = own_card();
    card["description"] = json!("");
    let rest = card.to_string().len();
    card["description"] = json!("d".repeat(size.saturating_sub(rest)));
    card
}

/// `card` as it is shown has that description, and its announced length.
fn ensure_shown(reply: &Reply, shown: &Value, card: &Value) -> Result<()> {
    let seen = || format!("{} {:?} {} bytes", reply.status, reply.headers, reply.body.len());
    ensure!(reply.status == 200 && shown["name"] == card["name"] && shown["description"] == card["description"], "{}", seen());
    ensure!(shown.get("signatures").is_none() && shown["supportedInterfaces"].is_array(), "{}", seen());
    ensure!(reply.header("content-length").is_none_or(|length| length == reply.body.len().to_string()), "{}", seen());
    for name in ["content-type", "etag", "cache-control", "vary", "content-length", "server", "date", "x-own"] {
        ensure!(reply.headers.get_all(name).iter().count() <= 1, "{name} is repeated: {}", seen());
    }
    ensure!(reply.header("content-type") == Some("application/json") && reply.header("x-own") == Some("kept"), "{}", seen());
    Ok(())
}

async fn over(port: u16, call: &Call, http2: bool) -> Result<Reply> {
    let size = call.body.as_ref().map_or(1, |body| body.len().max(1));
    if http2 { raw::http2(port, call, size, &[]).await } else { call.send(port).await }
}

/// Public cards without any credential, and extended ones in the forms of JSON.
async fn cards(mesh: &Mesh, bytes: usize, hold: bool) -> Result<()> {
    let agent = StandIn::start(json_answer(&own_card())).await?;
    let mut file = in_front_of(mesh, &agent)?;
    limit(&mut file, bytes)?;
    file.edit_plugin(|plugin| {
        plugin["agents"][0]["card"]["access"] = json!("public");
        plugin["hold_headers"] = json!(hold);
    })?;
    let envoy = Envoy::start(&format!("bodies-cards-{bytes}-{hold}"), &file, Options::default()).await?;
    let (token, port) = (mesh.token().await?, envoy.port());
    let public = Call::get(format!("{AGENT}/.well-known/agent-card.json")).version("1.0");
    let extended = Call::post(AGENT, &rpc(json!("e"), "GetExtendedAgentCard", json!({}))).version("1.0").bearer(&token);
    let answered = Call::get(format!("{AGENT}/extendedAgentCard")).version("1.0").bearer(&token);
    // Before and after a first body has shown that headers can be held.
    for is_proven in [false, true] {
        if is_proven {
            send_1_0("first").bearer(&token).send(port).await?;
        }
        for (index, size) in around(bytes, if bytes > 64 * KIB { KIB } else { 4 * KIB }).enumerate() {
            let card = card_of(size);
            let what = || format!("a card of {size} bytes, limit {bytes}, hold {hold}, proven {is_proven}");
            agent.answer(json_answer(&card).header("x-own", "kept"));
            let outcome = over(port, &public, index % 2 == 1).await;
            // The longest cards there are.
            let is_card = size <= KIB * KIB;
            match &outcome {
                Ok(reply) if is_card => ensure_shown(reply, &reply.json(), &card).with_context(what)?,
                Ok(reply) => ensure!(reply.status == 502 && reply.reason().as_deref() == Some("card_unavailable"), "{}: {reply:?}", what()),
                // With the head gone it is cut off.
                Err(error) => ensure!(!(is_card || hold && is_proven), "{}: {error:#}", what()),
            }
            if is_card && index % 4 == 0 {
                let reply = over(port, &answered, index % 8 == 0).await.with_context(what)?;
                ensure_shown(&reply, &reply.json(), &card).with_context(what)?;
                let wrapped = json!({"jsonrpc": "2.0", "id": "e", "result": card});
                if wrapped.to_string().len() <= KIB * KIB {
                    agent.answer(json_answer(&wrapped).header("x-own", "kept"));
                    let reply = over(port, &extended, index % 8 == 4).await.with_context(what)?;
                    ensure_shown(&reply, &reply.json()["result"], &card).with_context(what)?;
                }
            }
        }
        ensure_alive(&envoy).await?;
    }
    Ok(())
}

/// A field of bytes in protocol buffers.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut length) = (vec![number << 3 | 2], bytes.len());
    while length > 127 {
        out.push(u8::try_from(length & 127 | 128).unwrap_or_default());
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap_or_default());
    [out, bytes.to_vec()].concat()
}

/// Extended cards over gRPC.
async fn messages(mesh: &Mesh, bytes: usize, hold: bool) -> Result<()> {
    let agent = StandIn::start(answering(b"", "0")).await?;
    let envoy = before(mesh, &format!("bodies-grpc-{bytes}-{hold}"), &agent, hold, |file| limit(file, bytes)).await?;
    let call = call(format!("{SERVICE_1_0}/GetExtendedAgentCard")).bearer(&mesh.token().await?);
    let card = own_message()?;
    for size in around(bytes, KIB).filter(|size| *size <= KIB * KIB) {
        let skill = |text: &str| field(12, &[field(1, b"long"), field(2, b"Long"), field(3, text.as_bytes()), field(4, b"t")].concat());
        let rest = card.len() + skill(&"d".repeat(size / 2)).len() - size / 2;
        let text = "d".repeat(size.saturating_sub(rest));
        agent.answer(answering(&framed(&[card.clone(), skill(&text)].concat()), "0"));
        let reply = raw::http2(envoy.port(), &call, 100, &[]).await.with_context(|| format!("{size} bytes, limit {bytes}, hold {hold}"))?;
        is_true(&reply).with_context(|| format!("{size} bytes"))?;
        ensure!(reply.text().contains(&text), "{size} bytes: the skill is not whole");
    }
    ensure_alive(&envoy).await
}

/// Tasks whose ids get tags: documents, lists and event streams, and requests that name them.
async fn tasks(mesh: &Mesh, bytes: usize, hold: bool) -> Result<()> {
    let own = json!({"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}});
    let agent = StandIn::start(json_answer(&own)).await?;
    let place = Place::start(mesh, &format!("bodies-tasks-{bytes}-{hold}"), &["new"], |file| {
        file.cluster("expense_v1_0", agent.port)?;
        file.cluster("expense_v0_3", agent.port)?;
        file.edit_plugin(|plugin| plugin["hold_headers"] = json!(hold))?;
        limit(file, bytes)
    })
    .await?;
    let http = EVERYWHERE[1];
    let (task, context) = task_of(&place.send(&http.message("first", &json!({})), "ann").await?)?;
    let shown = |text: &str| text.replace("\"t\"", &format!("\"{task}\"")).replace("\"c\"", &format!("\"{context}\""));
    // Half of it ids, so that it grows well beyond the limit, or all but two text.
    let one = |size: usize, ids: usize| {
        let history: Vec<Value> = (0..ids).map(|_| json!({"taskId": "t", "contextId": "c"})).collect();
        let text = |length: usize| json!({"id": "t", "contextId": "c", "history": history, "metadata": {"text": "d".repeat(length)}});
        text(size.saturating_sub(text(0).to_string().len()))
    };
    let get = http.get(&task).bearer(&place.token("ann"));
    let list = Call::get(format!("{AGENT}/tasks?contextId={context}")).version("1.0").bearer(&place.token("ann"));
    let follow = Call::get(format!("{AGENT}/tasks/{task}:subscribe")).version("1.0").bearer(&place.token("ann"));
    let port = place.envoy.port();
    for (index, size) in around(bytes, if bytes > 64 * KIB { KIB / 2 } else { 2 * KIB }).enumerate() {
        let text = one(size, if index % 2 == 0 { 1 } else { size.min(64 * KIB) / 80 }).to_string();
        let event = json!({"statusUpdate": {"taskId": "t", "contextId": "c"}});
        let events = format!("data: {{\"task\":{text}}}\n\ndata: {event}\n\n");
        let lists = format!("{{\"tasks\":[{text},{{\"id\":\"t\",\"contextId\":\"c\"}}]}}");
        let listed = format!("{},\"nextPageToken\":\"\",\"totalSize\":2}}", lists.strip_suffix('}').unwrap_or_default());
        for (call, kind, text, expected) in [
            (&get, "application/json", text.clone(), text),
            (&list, "application/json", lists, listed),
            (&follow, "text/event-stream", events.clone(), events),
        ] {
            agent.answer(Answer::new("200 OK", kind, text.clone()));
            let what = || format!("{} with {} bytes, limit {bytes}, hold {hold}", call.path, text.len());
            let reply = over(port, call, index % 4 < 2).await.with_context(what)?;
            ensure!(reply.status == 200 && reply.header("content-type") == Some(kind), "{}: {} {:?}", what(), reply.status, reply.headers);
            ensure!(reply.text() == shown(&expected), "{}: {} bytes that are not those", what(), reply.body.len());
        }
        agent.answer(json_answer(&own));
        let said =
            http.message(&"w".repeat(size.min(64 * KIB)), &json!({"taskId": task, "contextId": context})).bearer(&place.token("ann"));
        let reply = over(port, &said, index % 2 == 0).await;
        ensure!(reply.as_ref().map_or(true, |reply| [200, 413].contains(&reply.status)), "a request of {size}: {reply:?}");
    }
    ensure_alive(&place.envoy).await
}

/// Messages that get a mark, which makes them longer than what Envoy may hold.
async fn marked(mesh: &Mesh, bytes: usize, hold: bool) -> Result<()> {
    let own = json!({"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}});
    let agent = StandIn::start(json_answer(&own)).await?;
    let place = Place::start(mesh, &format!("bodies-marked-{bytes}-{hold}"), &["new"], |file| {
        file.cluster("expense_v1_0", agent.port)?;
        file.cluster("expense_v0_3", agent.port)?;
        file.edit_plugin(|plugin| {
            plugin["hold_headers"] = json!(hold);
            plugin["agents"][0]["limits"]["max_body_bytes"] = json!(4 * KIB * KIB);
            plugin["agents"][0]["tasks"]["owned"]["mark"] = json!({"metadata_key": "https://example.com/ext/owner"});
        })?;
        limit(file, bytes)
    })
    .await?;
    let (port, token) = (place.envoy.port(), place.token("ann"));
    let (mut taken, mut grown) = (0, 0);
    for (index, size) in around(bytes, KIB / 2).enumerate() {
        let over_here = EVERYWHERE[index % EVERYWHERE.len()];
        let rest = over_here.message("", &json!({})).body.map_or(0, |body| body.len());
        let said = over_here.message(&"w".repeat(size.saturating_sub(rest) / 2), &json!({})).bearer(&token);
        // In one part, in several, and as the client has it.
        for way in 0..3 {
            let sent = agent.body_bytes();
            let reply = match way {
                0 => over(port, &said, true).await,
                1 => raw::http2(port, &said, 4 * KIB, &[("x-checksum", "1")]).await,
                _ => over(port, &said, false).await,
            };
            ensure!(reply.as_ref().map_or(true, |reply| [200, 413].contains(&reply.status)), "a message of {size}: {reply:?}");
            if reply.is_ok_and(|reply| reply.status == 200) {
                taken += 1;
                // `,"metadata":{KEY:MARK}`
                let plain = said.body.as_ref().map_or(0, |body| body.len() + 74);
                grown += usize::from(agent.body_bytes() - sent >= u64::try_from(plain)?);
            }
        }
    }
    ensure!(taken > 0 && grown == taken, "of {taken} messages {grown} got a mark");
    ensure_alive(&place.envoy).await
}

pub fn add(suite: &mut Suite) {
    for bytes in LIMITS {
        for hold in [true, false] {
            let name = |what: &str| format!("held_bodies::{what}_around_{bytes}_bytes_{}", if hold { "held" } else { "not_held" });
            suite.add(name("cards"), async move |mesh| cards(mesh, bytes, hold).await);
            suite.add(name("messages"), async move |mesh| messages(mesh, bytes, hold).await);
            suite.add(name("tasks"), async move |mesh| tasks(mesh, bytes, hold).await);
            suite.add(name("marked"), async move |mesh| marked(mesh, bytes, hold).await);
        }
    }
}

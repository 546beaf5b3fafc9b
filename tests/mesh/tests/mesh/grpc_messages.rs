//! What messages of gRPC say: targets of notifications, limits, frames that are none, and extended cards as answers.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::Sdk;
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{place, raw};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::grpc::{SERVICE_0_3, SERVICE_1_0, call, offer, refused, send, start};
use crate::policy::TARGETS;
use crate::suite::Suite;

const PUBLIC: &str = "https://expense.example.com/agents/expense";

/// A field of bytes: a text or a message of less than 16384 bytes.
pub fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let low = (bytes.len() & 0x7f) as u8;
    let length = match u8::try_from(bytes.len() >> 7) {
        Ok(0) => vec![low],
        high => vec![low | 0x80, high.unwrap_or(0xff)],
    };
    [&[number << 3 | 2][..], &length, bytes].concat()
}

/// A field of a small number.
fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// A call of `method` with `message`.
pub fn with(method: &str, message: &[u8]) -> Call {
    call(method).body(framed(message))
}

/// A send request: the message's own fields, and those of its configuration.
fn message(service: &str, parts: &[Vec<u8>], configuration: &[u8]) -> Call {
    let (said, settings) = if service == SERVICE_1_0 { (2, 3) } else { (1, 2) };
    let content: Vec<u8> = parts.iter().flat_map(|part| field(5, part)).collect();
    let said = field(said, [field(1, "m1"), number(4, 1), content].concat());
    let settings = if configuration.is_empty() { Vec::new() } else { field(settings, configuration) };
    with(&format!("{service}/SendMessage"), &[said, settings].concat())
}

fn text() -> Vec<u8> {
    field(1, "hello")
}

/// Calls of both versions that name `url`, inside a message and by the operation that creates a configuration.
fn notifying(url: &str) -> [Call; 4] {
    let (new, old) = (field(4, url), field(2, url));
    [
        message(SERVICE_1_0, &[text()], &field(2, &new)),
        message(SERVICE_0_3, &[text()], &field(2, &old)),
        with(&format!("{SERVICE_1_0}/CreateTaskPushNotificationConfig"), &[field(3, "t"), new].concat()),
        with(&format!("{SERVICE_0_3}/CreateTaskPushNotificationConfig"), &[field(1, "tasks/t"), field(3, field(2, old))].concat()),
    ]
}

/// The one that tests share: limits, and receivers of notifications that are public.
async fn limited(mesh: &Mesh) -> Result<&'static Envoy> {
    static LIMITED: OnceCell<Envoy> = OnceCell::const_new();
    let edit = |plugin: &mut Value| {
        let agent = &mut plugin["agents"][0];
        agent["limits"] = json!({
            "modalities": ["text"], "streaming": false, "max_parts": 2, "max_history_length": 10, "output_modes": ["text/*"]
        });
        agent["push_notifications"] = json!({"hosts": ["hooks.example.com", "*"]});
    };
    LIMITED.get_or_try_init(async || start(mesh, "grpc-limited", edit).await).await
}

/// Refused whole and in small pieces; whole, the agent has seen nothing of it.
async fn refused_however(mesh: &Mesh, envoy: &Envoy, call: Call, status: u8, reason: &str) -> Result<()> {
    let mark = place::unique("mark");
    let call = call.bearer(&mesh.token().await?).header("x-mark", &mark);
    refused(envoy, &call, status, reason).await.with_context(|| format!("{} {:?}", call.path, call.body))?;
    ensure!(!marked(mesh, &mark).await?, "the agent saw {} {:?}", call.path, call.body);
    let slowly = raw::http2(envoy.port(), &call, 7, &[]).await?;
    ensure!(slowly.header("grpc-status") == Some(status.to_string().as_str()), "{} {:?}", call.path, slowly.headers);
    Ok(())
}

/// Whether an agent saw a call with this mark.
async fn marked(mesh: &Mesh, mark: &str) -> Result<bool> {
    let requests = [mesh.agent_1_0.requests().await?, mesh.agent_0_3.requests().await?].concat();
    Ok(requests.iter().any(|request| request["headers"]["x-mark"] == mark))
}

/// The call reaches the agent and is answered by it.
async fn passes(mesh: &Mesh, envoy: &Envoy, call: Call) -> Result<()> {
    let mark = place::unique("mark");
    for size in [100, 3] {
        let call = call.clone().bearer(&mesh.token().await?).header("x-mark", &mark);
        let reply = raw::http2(envoy.port(), &call, size, &[]).await?;
        ensure!(reply.status == 200 && reply.header("www-authenticate").is_none(), "{} {:?}", reply.status, reply.headers);
    }
    let seen = marked(mesh, &mark).await?;
    ensure!(seen, "no agent saw {} {:?}", call.path, call.body);
    Ok(())
}

/// The card that an SDK of 1.0 writes, with inner hosts in it.
pub fn own_card() -> Result<Vec<u8>> {
    let kept = std::fs::read_to_string(place::root().join("tests/cards/messages.json"))?;
    let kept: Value = serde_json::from_str(&kept)?;
    Ok(STANDARD.decode(kept["python-1.0"]["message"].as_str().context("no message")?)?)
}

/// The answer of an agent to a call: a body, and trailers.
pub fn answering(body: &[u8], status: &str) -> Answer {
    let chunks = raw::chunked(body, 100, &[("grpc-status", status)]).concat();
    Answer::new("200 OK", "application/grpc", chunks).header("transfer-encoding", "chunked").header("grpc-encoding", "identity")
}

/// An Envoy with a `public_url` before a stand-in for the agent of 1.0, which speaks HTTP/1.1 with trailers.
pub async fn before(
    mesh: &Mesh,
    name: &str,
    agent: &StandIn,
    hold: bool,
    edit: impl FnOnce(&mut EnvoyFile) -> Result<()>,
) -> Result<Envoy> {
    let mut file = mesh.inbound_file()?;
    offer(&mut file, &mesh.agent_1_0, &mesh.agent_0_3)?;
    file.edit_plugin(|plugin| {
        plugin["agents"][0]["public_url"] = json!(PUBLIC);
        plugin["hold_headers"] = json!(hold);
    })?;
    to_http1(&mut file, agent)?;
    edit(&mut file)?;
    Envoy::start(name, &file, Options::default()).await
}

/// Puts a stand-in, which speaks HTTP/1.1 with trailers, in the place of the agent of 1.0.
pub fn to_http1(file: &mut EnvoyFile, agent: &StandIn) -> Result<()> {
    file.cluster("grpc_v1_0", agent.port)?;
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == "grpc_v1_0").context("no cluster")?;
    cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]["explicit_http_config"] =
        json!({"http_protocol_options": {"enable_trailers": true}});
    Ok(())
}

/// A card that is true in front of the proxy.
pub fn is_true(reply: &Reply) -> Result<()> {
    let seen = || format!("{} {:?} {:?}", reply.status, reply.headers, String::from_utf8_lossy(&reply.body));
    ensure!(reply.status == 200 && reply.header("content-type") == Some("application/grpc"), "{}", seen());
    let length = reply.body.get(1..5).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes).context("no frame")?;
    ensure!(usize::try_from(length)? + 5 == reply.body.len() && reply.body.first() == Some(&0), "{}", seen());
    let text = String::from_utf8_lossy(&reply.body);
    ensure!(text.contains("Expense agent") && text.contains("expense.example.com") && text.contains("oauth2"), "{}", seen());
    for inner in ["svc.cluster.local", "127.0.0.1", "localhost", "eyJhbGci"] {
        ensure!(!text.contains(inner), "{inner}: {}", seen());
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for target in TARGETS {
        suite.add(format!("grpc_messages::a_notification_to_{target}_is_refused_in_both_versions"), async move |mesh| {
            let envoy = limited(mesh).await?;
            for call in notifying(target) {
                refused_however(mesh, envoy, call, 3, "push_target_refused").await?;
            }
            Ok(())
        });
    }
    suite.add("grpc_messages::a_public_receiver_passes", async |mesh| {
        let envoy = limited(mesh).await?;
        for call in notifying("https://hooks.example.com/a?b=c") {
            passes(mesh, envoy, call).await?;
        }
        Ok(())
    });
    suite.add("grpc_messages::no_receiver_is_offered", async |mesh| {
        let envoy = start(mesh, "grpc-silent", |plugin| plugin["agents"][0]["push_notifications"] = json!({"hosts": []})).await?;
        for call in notifying("https://hooks.example.com/") {
            let status = if call.path.starts_with(SERVICE_1_0) { 9 } else { 12 };
            refused_however(mesh, &envoy, call, status, "push_not_offered").await?;
        }
        passes(mesh, &envoy, message(SERVICE_1_0, &[text()], b"")).await
    });
    suite.add("grpc_messages::limits_hold_in_both_versions", async |mesh| {
        let envoy = limited(mesh).await?;
        for service in [SERVICE_1_0, SERVICE_0_3] {
            let (file, data) =
                if service == SERVICE_1_0 { (field(2, "x"), field(4, b"")) } else { (field(2, field(1, "u")), field(3, b"")) };
            for (parts, configuration, reason) in [
                (vec![text(), file], vec![], "content_refused"),
                (vec![data], vec![], "content_refused"),
                (vec![field(6, b"")], vec![], "content_refused"),
                (vec![text(), text(), text()], vec![], "limit_exceeded"),
                (vec![text()], number(3, 11), "limit_exceeded"),
                (vec![text()], field(1, "image/png"), "content_refused"),
            ] {
                refused_however(mesh, envoy, message(service, &parts, &configuration), 3, reason).await?;
            }
            let history = if service == SERVICE_1_0 { 3 } else { 2 };
            refused_however(mesh, envoy, with(&format!("{service}/GetTask"), &number(history, 11)), 3, "limit_exceeded").await?;
            let good = [field(1, "text/plain"), number(3, 10)].concat();
            passes(mesh, envoy, message(service, &[text(), text()], &good)).await?;
        }
        refused_however(mesh, envoy, with(&format!("{SERVICE_1_0}/ListTasks"), &number(6, 11)), 3, "limit_exceeded").await?;
        for sdk in [Sdk::Python1_0, Sdk::Python0_3] {
            let token = mesh.token().await?;
            let result = sdk.call_grpc(envoy.port(), Some(&token), "send,get", &[]).await?;
            ensure!(result["ok"] == true, "{result}");
            let result = sdk.call_grpc(envoy.port(), Some(&token), "stream", &[]).await?;
            let status = if sdk.version() == "1.0" { 9 } else { 12 };
            ensure!(result["ok"] == false && result["status"] == status, "{result}");
        }
        Ok(())
    });
    suite.add("grpc_messages::what_is_not_one_message_is_refused", async |mesh| {
        let envoy = limited(mesh).await?;
        let path = format!("{SERVICE_1_0}/GetTask");
        let message = field(2, "t");
        let (one, mut compressed) = (framed(&message), framed(&message));
        compressed[0] = 1;
        for (body, reason) in [
            (one[..one.len() - 1].to_vec(), "body_malformed"),
            ([one.clone(), one.clone()].concat(), "body_malformed"),
            (b"{\"id\":\"t\"}".to_vec(), "body_malformed"),
            (framed(b"{\"id\":\"t\"}"), "body_malformed"),
            (framed(b"\x12\x05t"), "body_malformed"),
            (compressed, "encoding_refused"),
            (framed(b"\x18\x01\x18\x02"), "request_malformed"),
        ] {
            let call = call(&path).body(body).bearer(&mesh.token().await?);
            refused(envoy, &call, 3, reason).await.with_context(|| format!("{:?}", call.body))?;
            for trailers in [&[][..], &[("x-checksum", "1")][..]] {
                let reply = raw::http2(envoy.port(), &call, 2, trailers).await;
                // A complete first message may have been answered.
                let is_refused = reply.is_err() || reply.as_ref().is_ok_and(|reply| reply.header("grpc-status") == Some("3"));
                ensure!(is_refused || call.body.as_ref().is_some_and(|body| body.len() > one.len()), "{:?}: {reply:?}", call.body);
            }
        }
        let empty = Call::new(http::Method::POST, &path).header("content-type", "application/grpc").header("te", "trailers");
        refused(envoy, &empty.clone().bearer(&mesh.token().await?), 3, "body_malformed").await?;
        let json = call(&path).bearer(&mesh.token().await?);
        let json = Call { headers: json.headers.into_iter().filter(|(name, _)| name != "content-type").collect(), ..json };
        refused(envoy, &json.header("content-type", "application/grpc+json"), 3, "encoding_refused").await?;
        passes(mesh, envoy, with(&path, &message)).await
    });
    suite.add("grpc_messages::the_extended_cards_of_real_agents_are_true", async |mesh| {
        let envoy = start(mesh, "grpc-cards", |plugin| plugin["agents"][0]["public_url"] = json!(PUBLIC)).await?;
        let token = mesh.token().await?;
        for method in [format!("{SERVICE_1_0}/GetExtendedAgentCard"), format!("{SERVICE_0_3}/GetAgentCard")] {
            for size in [1, 100] {
                let card = call(&method).bearer(&token).header("grpc-accept-encoding", "gzip, deflate");
                is_true(&raw::http2(envoy.port(), &card, size, &[]).await?).context(method.clone())?;
            }
            refused(&envoy, &call(&method), 16, "credentials_missing").await?;
        }
        Ok(())
    });
    suite.add("grpc_messages::extended_cards_are_true_or_withheld", async |mesh| {
        let card = own_card()?;
        let agent = StandIn::start(answering(&framed(&card), "0")).await?;
        for hold in [true, false] {
            agent.answer(answering(&framed(&card), "0"));
            let envoy = before(mesh, &format!("grpc-cards-{hold}"), &agent, hold, |_| Ok(())).await?;
            let call = call(format!("{SERVICE_1_0}/GetExtendedAgentCard")).bearer(&mesh.token().await?);
            for size in [1, 100] {
                is_true(&raw::http2(envoy.port(), &call, size, &[]).await?).with_context(|| format!("hold {hold}"))?;
            }
            let mut compressed = framed(&card);
            compressed[0] = 1;
            // The head waits for the first part only: what is short by then has gone on, and is cut off.
            for (answer, has_gone) in [
                (answering(&compressed, "0"), false),
                (answering(&[framed(&card), framed(&card)].concat(), "0"), false),
                (answering(&framed(&card)[..200], "0"), true),
                (answering(&framed(b"<html>http://expense.agents.svc.cluster.local:9000"), "0"), false),
                (answering(&framed(&vec![b'x'; 2_000_000]), "0"), false),
                (Answer::new("200 OK", "text/html", "<p>http://expense.agents.svc.cluster.local:9000"), false),
            ] {
                agent.answer(answer);
                match send(&envoy, &call).await {
                    Ok(reply) if hold && !has_gone => {
                        let seen = format!("{} {:?} {}", reply.status, reply.headers, reply.text());
                        ensure!(reply.header("grpc-status") == Some("13") && reply.body.is_empty(), "{seen}");
                        envoy.refusal_logged(0, "card_unavailable").await?;
                    }
                    // The headers may be gone already: then the answer is cut off.
                    Ok(reply) => ensure!(reply.body.is_empty(), "{} {}", reply.status, reply.text()),
                    Err(error) => ensure!(!hold || has_gone, "{error:#}"),
                }
            }
            let unimplemented = Answer::new("200 OK", "application/grpc", "").header("grpc-status", "12");
            for (answer, status) in [(unimplemented, Some("12")), (answering(b"", "5"), None)] {
                agent.answer(answer);
                let reply = send(&envoy, &call).await?;
                ensure!(reply.status == 200 && reply.body.is_empty(), "{} {:?}", reply.status, reply.headers);
                ensure!(reply.header("grpc-status") == status, "{:?}", reply.headers);
            }
            agent.answer(answering(&framed(&card), "0"));
            is_true(&send(&envoy, &call).await?)?;
        }
        Ok(())
    });
}

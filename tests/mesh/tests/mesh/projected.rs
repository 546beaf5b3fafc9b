//! Agents with a `public_url`: their cards state what is true in front of the proxy, in the version asked for, or are withheld.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_1_0};
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::suite::{Suite, works};

pub const PUBLIC: &str = "https://expense.example.com/agents/expense";
const WELL_KNOWN: &str = "/.well-known/agent-card.json";

fn card() -> Call {
    card_at(WELL_KNOWN)
}

fn card_at(path: &str) -> Call {
    Call::get(format!("{AGENT}{path}"))
}

fn public(mesh: &Mesh) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["agents"][0]["public_url"] = json!(PUBLIC))?;
    Ok(file)
}

/// The same in front of a stand-in, in either version.
pub fn in_front_of(mesh: &Mesh, agent: &StandIn) -> Result<EnvoyFile> {
    let mut file = public(mesh)?;
    file.cluster("expense_v1_0", agent.port)?;
    file.cluster("expense_v0_3", agent.port)?;
    Ok(file)
}

async fn start(name: &str, file: &EnvoyFile) -> Result<Envoy> {
    Envoy::start(name, file, Options::default()).await
}

/// An Envoy that has shown by a first body that it holds headers; until then answers have no `ETag` and no 304.
pub async fn proven(mesh: &Mesh, name: &str, file: &EnvoyFile) -> Result<Envoy> {
    let envoy = start(name, file).await?;
    send_1_0("first").bearer(&mesh.token().await?).send(envoy.port()).await?;
    Ok(envoy)
}

/// The answer over HTTP/1.1 and over HTTP/2.
pub async fn both(port: u16, call: &Call) -> Result<[Reply; 2]> {
    let size = call.body.as_ref().map_or(1, |body| body.len().max(1));
    let first = call.send(port).await.context("over HTTP/1.1")?;
    Ok([first, raw::http2(port, call, size, &[]).await.context("over HTTP/2")?])
}

fn names<'a>(card: &'a Value, list: &str, members: [&str; 2]) -> Vec<[&'a str; 2]> {
    let interfaces = card[list].as_array().map(Vec::as_slice).unwrap_or_default();
    interfaces.iter().map(|one| members.map(|member| one[member].as_str().unwrap_or_default())).collect()
}

/// The card of the expense agent, true behind `url`, in the shape of `version`, or of `both`.
fn ensure_true(card: &Value, url: &str, version: &str) -> Result<()> {
    let text = card.to_string();
    let other = text.replace(url, "");
    ensure!(card["name"] == "Expense agent" && !other.contains("127.0.0.1") && !other.contains("localhost"), "{text}");
    ensure!(!text.contains("bearerFormat"), "what the agent says of a scheme that is not enforced stays behind: {text}");
    if version == "both" {
        for member in ["supportedInterfaces", "securityRequirements", "additionalInterfaces", "security"] {
            ensure!(card[member].is_array(), "no {member}: {text}");
        }
        ensure!(card["url"] == url && card["protocolVersion"] == "0.3.0" && card.get("signatures").is_none(), "{text}");
        let stated = [names(card, "supportedInterfaces", ["url", "url"]), names(card, "additionalInterfaces", ["url", "url"])].concat();
        ensure!(stated.len() == 6 && stated.iter().all(|one| one[0] == url), "{text}");
        let scheme = json!({"type": "http", "scheme": "Bearer", "httpAuthSecurityScheme": {"scheme": "Bearer"}});
        ensure!(card["securitySchemes"] == json!({"oauth2": scheme}), "{text}");
        return Ok(());
    }
    // Over HTTP+JSON clients of 0.3 do not agree on the form of a scheme.
    let (version, is_answer) = version.split_once(' ').map_or((version, false), |(version, _)| (version, true));
    let absent: &[&str] = if version == "1.0" {
        let stated = names(card, "supportedInterfaces", ["protocolBinding", "protocolVersion"]);
        ensure!(stated == [["JSONRPC", "1.0"], ["HTTP+JSON", "1.0"], ["JSONRPC", "0.3"], ["HTTP+JSON", "0.3"]], "{text}");
        ensure!(names(card, "supportedInterfaces", ["url", "url"]).iter().all(|one| one[0] == url), "{text}");
        ensure!(card["securityRequirements"] == json!([{"schemes": {"oauth2": {"list": ["agent:execute"]}}}]), "{text}");
        ensure!(card["securitySchemes"] == json!({"oauth2": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}}), "{text}");
        &["url", "protocolVersion", "preferredTransport", "additionalInterfaces", "security", "signatures"]
    } else {
        let stated = names(card, "additionalInterfaces", ["transport", "url"]);
        ensure!(stated == [["JSONRPC", url], ["HTTP+JSON", url]], "{text}");
        ensure!(card["url"] == url && card["preferredTransport"] == "JSONRPC" && card["protocolVersion"] == "0.3.0", "{text}");
        ensure!(card["security"] == json!([{"oauth2": ["agent:execute"]}]), "{text}");
        let mut scheme = json!({"type": "http", "scheme": "Bearer"});
        if is_answer {
            scheme["httpAuthSecurityScheme"] = json!({"scheme": "Bearer"});
        }
        ensure!(card["securitySchemes"] == json!({"oauth2": scheme}), "{text}");
        &["supportedInterfaces", "securityRequirements", "signatures"]
    };
    for member in absent {
        ensure!(card.get(member).is_none(), "{member} is not of {version}: {text}");
    }
    Ok(())
}

/// A complete answer with that card.
pub fn ensure_card(reply: &Reply, version: &str) -> Result<()> {
    ensure!(reply.status == 200 && reply.header("content-encoding").is_none(), "{} {:?}", reply.status, reply.headers);
    ensure!(reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{:?}", reply.headers);
    if let Some(length) = reply.header("content-length") {
        ensure!(length == reply.body.len().to_string(), "content-length {length} of {}", reply.body.len());
    }
    ensure_true(&reply.json(), PUBLIC, version)
}

async fn negotiates(envoy: &Envoy) -> Result<()> {
    let port = envoy.port();
    for (call, version) in [
        (card(), "both"),
        (card().version("0.3"), "0.3"),
        (card().version("1.0"), "1.0"),
        (card_at("/.well-known/agent.json"), "0.3"),
        (card().version("1.0").header("accept-encoding", "gzip, br").header("range", "bytes=0-9"), "1.0"),
    ] {
        for reply in both(port, &call).await? {
            ensure_card(&reply, version).with_context(|| format!("{call:?}"))?;
            ensure!(reply.header("content-length").is_some() && reply.header("etag").is_some(), "{:?}", reply.headers);
        }
    }
    Ok(())
}

/// An agent's own card, for a stand-in.
pub fn own_card() -> Value {
    json!({
        "name": "Expense agent", "description": "see http://127.0.0.1:9000/help", "version": "1", "skills": [],
        "capabilities": {"streaming": true}, "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
        "supportedInterfaces": [{"url": "http://127.0.0.1:9000/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "signatures": [{"protected": "x", "signature": "y"}],
    })
}

/// An agent's answer of JSON.
pub fn json_answer(value: &Value) -> Answer {
    Answer::new("200 OK", "application/json", value.to_string())
}

/// The whole refusal, with nothing of what the agent sent.
pub fn unavailable(reply: &Reply, form: &Form) -> Result<()> {
    refusal::check(reply, "card_unavailable", form)?;
    let seen = || format!("{} {:?} {}", reply.status, reply.headers, reply.text());
    ensure!(reply.status == 502 && reply.reason().as_deref() == Some("card_unavailable"), "{}", seen());
    ensure!(reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{}", seen());
    ensure!(reply.header("content-encoding").is_none() && reply.header("cache-control") == Some("no-store"), "{}", seen());
    ensure!(reply.header("content-length").is_none_or(|length| length == reply.body.len().to_string()), "{}", seen());
    let (body, info) = (reply.json(), reply.error_info().unwrap_or_default());
    ensure!(info["domain"] == "attache" && info["reason"] == "CARD_UNAVAILABLE" && !body.to_string().contains("127.0.0.1"), "{}", seen());
    match form {
        Form::Rpc(id) => ensure!(body["error"]["code"] == -32006 && body.get("id") == Some(id), "{}", seen()),
        Form::Status => ensure!(body["error"]["code"] == 502 && body["error"]["status"] == "INTERNAL", "{}", seen()),
    }
    Ok(())
}

/// An answer in chunks with trailers, and a cluster that minds trailers.
fn with_trailers(body: &Value) -> Answer {
    let chunks = raw::chunked(body.to_string().as_bytes(), 100, &[("x-checksum", "1")]).concat();
    Answer::new("200 OK", "application/json", chunks).header("transfer-encoding", "chunked")
}

fn minding_trailers(file: &mut EnvoyFile) -> Result<()> {
    let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
    for cluster in clusters {
        cluster["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}}}});
    }
    Ok(())
}

/// The card's extended form over each binding; `result` is put into the stand-in's answers.
async fn extended(port: u16, agent: &StandIn, token: &str) -> Result<()> {
    let over_rpc = Call::post(AGENT, &rpc(json!("e"), "GetExtendedAgentCard", json!({}))).version("1.0").bearer(token);
    let old = Call::post(AGENT, &rpc(json!("e"), "agent/getAuthenticatedExtendedCard", json!({}))).bearer(token);
    for (call, version) in [(&over_rpc, "1.0"), (&old, "0.3")] {
        agent.answer(json_answer(&json!({"jsonrpc": "2.0", "id": "e", "result": own_card()})));
        for reply in both(port, call).await? {
            ensure!(reply.status == 200 && reply.json()["id"] == "e", "{} {}", reply.status, reply.text());
            ensure_true(&reply.json()["result"], PUBLIC, version)?;
            ensure!(reply.header("cache-control") == Some("private, no-cache"), "{:?}", reply.headers);
            ensure!(reply.header("vary").is_some_and(|value| value.contains("authorization")), "{:?}", reply.headers);
        }
        let error = json!({"jsonrpc": "2.0", "id": "e", "error": {"code": -32007, "message": "none", "data": [1]}});
        agent.answer(json_answer(&error));
        for reply in both(port, call).await? {
            ensure!(reply.status == 200 && reply.json() == error, "{} {}", reply.status, reply.text());
        }
        agent.answer(Answer::new("200 OK", "text/html", "<p>"));
        for reply in both(port, call).await? {
            unavailable(&reply, &Form::Rpc(Value::Null))?;
        }
    }
    let over_http = card_at("/extendedAgentCard").version("1.0").bearer(token);
    let old = card_at("/v1/card").bearer(token);
    for (call, version) in [(over_http, "1.0"), (old, "0.3 over HTTP+JSON")] {
        agent.answer(json_answer(&own_card()));
        for reply in both(port, &call).await? {
            ensure_card(&reply, version)?;
            ensure!(reply.header("cache-control") == Some("private, no-cache"), "{:?}", reply.headers);
        }
        agent.answer(Answer::new("404 Not Found", "application/json", "{\"error\":{\"code\":404}}"));
        for reply in both(port, &call).await? {
            ensure!(reply.status == 404 && reply.text() == "{\"error\":{\"code\":404}}", "{} {}", reply.status, reply.text());
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("projected::cards_of_real_agents_are_true_in_every_version", async |mesh| {
        let envoy = proven(mesh, "projected", &public(mesh)?).await?;
        negotiates(&envoy).await?;
        works(envoy.port(), &mesh.token().await?).await?;
        Ok(())
    });
    suite.add("projected::the_first_card_of_all_is_true_too", async |mesh| {
        let envoy = start("projected-first", &public(mesh)?).await?;
        for version in ["1.0", "0.3"] {
            for reply in both(envoy.port(), &card().version(version)).await? {
                ensure_card(&reply, version)?;
            }
        }
        Ok(())
    });
    suite.add("projected::a_card_of_one_version_gives_the_other", async |mesh| {
        let mut file = public(mesh)?;
        file.cluster("expense_v1_0", mesh.agent_0_3.port)?;
        file.cluster("expense_v0_3", mesh.agent_1_0.port)?;
        let envoy = proven(mesh, "projected-swapped", &file).await?;
        negotiates(&envoy).await
    });
    suite.add("projected::each_path_has_its_version", async |mesh| {
        let mut file = public(mesh)?;
        file.edit_plugin(|plugin| {
            plugin["agents"][0]["card"]["paths"] = json!({"1.0": "/agentCard/v1.0", "0.3": "/agentCard/v0.3"});
        })?;
        let envoy = proven(mesh, "projected-paths", &file).await?;
        for (version, other) in [("1.0", "0.3"), ("0.3", "1.0")] {
            let call = card_at(&format!("/agentCard/v{version}"));
            for call in [call.clone(), call.clone().version(version)] {
                for reply in both(envoy.port(), &call).await? {
                    ensure_card(&reply, version)?;
                    ensure!(reply.header("vary").is_none(), "nothing was negotiated: {:?}", reply.headers);
                }
            }
            for reply in both(envoy.port(), &call.version(other)).await? {
                refusal::check(&reply, "version_conflict", &Form::Status)?;
            }
        }
        for reply in both(envoy.port(), &card().version("1.0")).await? {
            refusal::check(&reply, "operation_unknown", &Form::Status)?;
        }
        Ok(())
    });
    suite.add("projected::caches_are_told_the_truth", async |mesh| {
        for (access, control, vary) in
            [("public", "public, max-age=300", "a2a-version"), ("authenticated", "private, max-age=300", "a2a-version, authorization")]
        {
            let mut file = public(mesh)?;
            file.edit_plugin(|plugin| plugin["agents"][0]["card"]["access"] = json!(access))?;
            let envoy = proven(mesh, &format!("projected-{access}"), &file).await?;
            let (port, token) = (envoy.port(), mesh.token().await?);
            let mut tags = Vec::new();
            for version in ["1.0", "0.3"] {
                let call = card().version(version).bearer(&token);
                let [first, second] = both(port, &call).await?;
                ensure_card(&first, version)?;
                ensure!(first.header("cache-control") == Some(control) && first.header("vary") == Some(vary), "{:?}", first.headers);
                let tag = first.header("etag").context("no etag")?.to_owned();
                ensure!(second.header("etag") == Some(&tag), "{:?}", second.headers);
                for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
                    for reply in both(port, &call.clone().header("if-none-match", &known)).await? {
                        ensure!(reply.status == 304 && reply.body.is_empty(), "{known}: {} {}", reply.status, reply.text());
                        ensure!(
                            reply.header("etag") == Some(&tag) && reply.header("cache-control") == Some(control),
                            "{:?}",
                            reply.headers
                        );
                    }
                }
                for reply in both(port, &call.clone().header("if-none-match", "\"x\"").header("if-modified-since", "now")).await? {
                    ensure_card(&reply, version)?;
                }
                tags.push(tag);
            }
            ensure!(tags[0] != tags[1], "{tags:?}");
            // The agent of 1.0 answers HEAD; that of 0.3 refuses it, and that passes.
            for version in ["1.0", "0.3"] {
                let call = Call::new(Method::HEAD, format!("{AGENT}{WELL_KNOWN}")).version(version).bearer(&token);
                for reply in both(port, &call).await? {
                    ensure!([200, 405].contains(&reply.status) && reply.body.is_empty(), "{} {}", reply.status, reply.text());
                    ensure!(reply.status == 405 || reply.header("content-length").is_none(), "{:?}", reply.headers);
                }
            }
            // On one connection: what follows a 304 is not taken for its body.
            let line = format!("GET {AGENT}{WELL_KNOWN}");
            let authorization = format!("Bearer {token}");
            let headers: &[(&str, &[u8])] = &[("host", b"expense.example.com"), ("authorization", authorization.as_bytes())];
            let known = [headers, &[("if-none-match", b"*")]].concat();
            let last = [headers, &[("connection", b"close")]].concat();
            let text = conversation(port, &[raw::head(&line, &known), raw::head(&line, &last)].concat()).await?;
            let (first, second) = text.split_once("\r\n\r\n").context("no head")?;
            ensure!(first.starts_with("HTTP/1.1 304 ") && second.starts_with("HTTP/1.1 200 "), "{text}");
        }
        Ok(())
    });
    suite.add("projected::trailers_do_not_let_the_own_card_through", async |mesh| {
        let agent = StandIn::start(with_trailers(&own_card())).await?;
        for hold in [true, false] {
            let mut file = in_front_of(mesh, &agent)?;
            minding_trailers(&mut file)?;
            file.edit_plugin(|plugin| plugin["hold_headers"] = json!(hold))?;
            agent.answer(with_trailers(&own_card()));
            let envoy = proven(mesh, "projected-trailers", &file).await?;
            for reply in both(envoy.port(), &card().version("1.0")).await? {
                ensure_card(&reply, "1.0")?;
            }
            // A list is no card; without holding, the answer is cut off or is the refusal.
            agent.answer(with_trailers(&json!(["http://127.0.0.1/"])));
            for outcome in [card().send(envoy.port()).await, raw::http2(envoy.port(), &card(), 1, &[]).await] {
                match outcome {
                    Ok(reply) => unavailable(&reply, &Form::Status)?,
                    Err(error) => ensure!(!hold, "{error:#}"),
                }
            }
        }
        Ok(())
    });
    suite.add("projected::without_holding_cards_are_projected_too", async |mesh| {
        let agent = StandIn::start(json_answer(&own_card())).await?;
        let mut file = in_front_of(mesh, &agent)?;
        file.wasm()?.as_object_mut().map(|config| config.remove("allow_on_headers_stop_iteration"));
        file.edit_plugin(|plugin| plugin["hold_headers"] = json!(false))?;
        let envoy = start("projected-streaming", &file).await?;
        for version in ["1.0", "0.3"] {
            for reply in both(envoy.port(), &card().version(version)).await? {
                ensure_card(&reply, version)?;
                ensure!(
                    reply.header("etag").is_none() && reply.header("cache-control") == Some("public, max-age=300"),
                    "{:?}",
                    reply.headers
                );
            }
        }
        let token = mesh.token().await?;
        agent.answer(json_answer(&json!({"jsonrpc": "2.0", "id": "e", "result": own_card()})));
        let extended = Call::post(AGENT, &rpc(json!("e"), "GetExtendedAgentCard", json!({}))).version("1.0").bearer(&token);
        for reply in both(envoy.port(), &extended).await? {
            ensure_true(&reply.json()["result"], PUBLIC, "1.0")?;
        }
        // The status may be gone already: then the answer is cut off.
        agent.answer(Answer::new("200 OK", "text/html", "<p>http://127.0.0.1/"));
        let outcomes = [card().send(envoy.port()).await, raw::http2(envoy.port(), &card(), 1, &[]).await];
        for reply in outcomes.into_iter().flatten() {
            unavailable(&reply, &Form::Status)?;
        }
        agent.answer(json_answer(&own_card()));
        ensure_card(&card().send(envoy.port()).await?, "both")
    });
    suite.add("projected::what_else_the_agent_makes_its_answer_depend_on_is_kept", async |mesh| {
        let own = json_answer(&own_card()).header("access-control-allow-origin", "https://a.example").header("vary", "origin");
        let agent = StandIn::start(own).await?;
        let envoy = proven(mesh, "projected-vary", &in_front_of(mesh, &agent)?).await?;
        for reply in both(envoy.port(), &card().version("1.0")).await? {
            ensure_card(&reply, "1.0")?;
            let vary: Vec<&str> = reply.headers.get_all("vary").iter().filter_map(|value| value.to_str().ok()).collect();
            let vary = vary.join(", ").to_ascii_lowercase();
            ensure!(vary.contains("origin") && vary.contains("a2a-version"), "{:?}", reply.headers);
        }
        Ok(())
    });
    suite.add("projected::without_envoys_option_a_card_does_not_hang", async |mesh| {
        let mut file = public(mesh)?;
        file.wasm()?.as_object_mut().map(|config| config.remove("allow_on_headers_stop_iteration"));
        let envoy = start("projected-not-held", &file).await?;
        for reply in both(envoy.port(), &card().version("1.0")).await? {
            ensure!(reply.status == 200 || reply.reason().as_deref() == Some("headers_not_held"), "{} {}", reply.status, reply.text());
            ensure!(!reply.text().contains("127.0.0.1"), "{}", reply.text());
        }
        Ok(())
    });
    suite.add("projected::extended_cards_too_and_errors_pass", async |mesh| {
        let agent = StandIn::start(json_answer(&own_card())).await?;
        let envoy = proven(mesh, "projected-extended", &in_front_of(mesh, &agent)?).await?;
        extended(envoy.port(), &agent, &mesh.token().await?).await
    });
}

/// Everything that comes back for `bytes` until the connection ends.
pub async fn conversation(port: u16, bytes: &[u8]) -> Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(bytes).await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        anyhow::Ok(String::from_utf8_lossy(&all).into_owned())
    };
    tokio::time::timeout(attache_mesh::http::LIMIT, exchange).await.context("the connection stays open")?
}

//! Agent cards: found below the agent's prefix, open or not as configured, in the version asked for.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::Call;
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::peer::Sdk;
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::projected::{both, ensure_card, in_front_of, json_answer, own_card, proven, unavailable};
use crate::suite::{Suite, works};

const GZIP: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];

fn card() -> Call {
    Call::get(format!("{AGENT}/.well-known/agent-card.json"))
}

fn is_1_0(card: &Value) -> bool {
    card["supportedInterfaces"].is_array()
}

async fn with_access(mesh: &Mesh, access: &str) -> Result<Envoy> {
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["agents"][0]["card"] = json!({"access": access}))?;
    Envoy::start(&format!("card-{access}"), &file, Options::default()).await
}

/// Each fault of an agent, and after it a card.
async fn faults(envoy: &Envoy, agent: &StandIn) -> Result<()> {
    let port = envoy.port();
    let good = json_answer(&own_card());
    let two = own_card().to_string().replace("\"version\"", "\"name\":\"Other\",\"version\"");
    let padded = format!("{}{}", own_card(), " ".repeat(5_000_000));
    for (name, answer) in [
        ("html", Answer::new("200 OK", "text/html", "<!doctype html><p>http://127.0.0.1/")),
        ("five megabytes", Answer::new("200 OK", "application/json", padded)),
        ("nothing", Answer::new("200 OK", "application/json", "0\r\n\r\n").header("transfer-encoding", "chunked")),
        ("gzip", Answer::new("200 OK", "application/json", GZIP).header("content-encoding", "gzip")),
        ("one member twice", Answer::new("200 OK", "application/json", two)),
        ("a member that is no list", Answer::new("200 OK", "application/json", own_card().to_string().replace("[]", "7"))),
        ("a list", Answer::new("200 OK", "application/json", "[]")),
    ] {
        agent.answer(answer);
        let before = envoy.log().len();
        for reply in both(port, &card().version("1.0")).await.context(name)? {
            unavailable(&reply, &Form::Status).context(name)?;
        }
        envoy.logged_after(before, &["attache: ", "the card of agent", "expense", "cannot be used"]).await?;
        agent.answer(good.clone());
        for reply in both(port, &card().version("1.0")).await? {
            ensure_card(&reply, "1.0").with_context(|| format!("after {name}"))?;
        }
    }
    // The longest cards come in many parts; one that breaks off is Envoy's own fault to tell.
    let long = format!("{}{}", own_card(), " ".repeat(1_000_000));
    agent.answer(Answer::new("200 OK", "application/json", long));
    for reply in both(port, &card().version("1.0")).await? {
        ensure_card(&reply, "1.0")?;
    }
    agent.answer(Answer::new("200 OK", "application/json", "5\r\n{\"x\":\r\nzz\r\n").header("transfer-encoding", "chunked"));
    for reply in both(port, &card().version("1.0")).await? {
        ensure!([502, 503].contains(&reply.status) && !reply.text().contains('{'), "{} {}", reply.status, reply.text());
    }
    for (status, answer) in [
        (500, Answer::new("500 Internal Server Error", "text/plain", "oops").header("etag", "\"own\"")),
        (404, Answer::new("404 Not Found", "text/plain", "none").header("etag", "\"own\"")),
        (302, Answer::new("302 Found", "text/plain", "elsewhere").header("location", "/elsewhere").header("etag", "\"own\"")),
    ] {
        let body = answer.body.clone();
        agent.answer(answer);
        for reply in both(port, &card().version("1.0")).await? {
            ensure!(reply.status == status && reply.body == **body, "{} {}", reply.status, reply.text());
            ensure!(reply.header("etag") == Some("\"own\"") && reply.header("cache-control").is_none(), "{:?}", reply.headers);
        }
    }
    Ok(())
}

/// A port whose connections go on to what is told later, so that a configuration can name it before Envoy listens.
pub async fn gate() -> Result<(u16, tokio::sync::watch::Sender<u16>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let (tell, told) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = *told.borrow();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", to)).await?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    Ok((port, tell))
}

/// Each SDK looks up the projected card and calls where it says.
async fn sdks(mesh: &Mesh) -> Result<()> {
    let (port, tell) = gate().await?;
    let url = format!("http://127.0.0.1:{port}{AGENT}");
    let mut file = mesh.inbound_file()?;
    file.edit_plugin(|plugin| plugin["agents"][0]["public_url"] = json!(url))?;
    let envoy = Envoy::start("cards-sdk", &file, Options::default()).await?;
    tell.send_replace(envoy.port());
    let token = mesh.token().await?;
    for (sdk, binding) in [(Sdk::Python1_0, "jsonrpc"), (Sdk::Python0_3, "http_json"), (Sdk::Js1_0, "http_json"), (Sdk::Js0_3, "jsonrpc")] {
        let result = sdk.call(&url, Some(&token), "card,send", binding).await?;
        ensure!(result["ok"] == true, "{}: {result}", sdk.name());
        let stated = result["results"]["card"]["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(stated.len() >= 2 && stated.iter().all(|one| one["url"] == url), "{}: {result}", sdk.name());
        let send = &result["results"]["send"];
        ensure!(send["state"] == "completed" && send["echo"]["agent"] == sdk.version(), "{}: {result}", sdk.name());
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("cards::public_ones_need_no_token", async |mesh| {
        let envoy = with_access(mesh, "public").await?;
        let reply = card().send(envoy.port()).await?;
        ensure!(reply.status == 200 && !is_1_0(&reply.json()), "{} {}", reply.status, reply.text());
        let reply = card().version("1.0").send(envoy.port()).await?;
        ensure!(reply.status == 200 && is_1_0(&reply.json()), "{} {}", reply.status, reply.text());
        ensure!(reply.text().contains(&mesh.url()), "the card states the public URL: {}", reply.text());
        let reply = card().version("9.9").send(envoy.port()).await?;
        refusal::check(&reply, "version_not_supported", &Form::Status)
    });
    suite.add("cards::authenticated_ones_need_one", async |mesh| {
        let envoy = with_access(mesh, "authenticated").await?;
        let reply = card().send(envoy.port()).await?;
        refusal::check(&reply, "credentials_missing", &Form::Status)?;
        let reply = card().bearer("a.b.c").send(envoy.port()).await?;
        ensure!(reply.status == 401, "{} {}", reply.status, reply.text());
        let reply = card().bearer(&mesh.token().await?).version("1.0").send(envoy.port()).await?;
        ensure!(reply.status == 200 && is_1_0(&reply.json()), "{} {}", reply.status, reply.text());
        Ok(())
    });
    suite.add("cards::a_get_with_a_body_is_still_a_get", async |mesh| {
        let token = mesh.token().await?;
        let port = mesh.inbound.port();
        let call = card().bearer(&token).version("1.0").body("{\"jsonrpc\":\"2.0\",\"method\":\"SendMessage\"}");
        for reply in [call.send(port).await?, raw::http2(port, &call, 1, &[]).await?] {
            ensure!(reply.status == 200 || reply.reason().is_some(), "{} {}", reply.status, reply.text());
        }
        works(port, &token).await?;
        Ok(())
    });
    suite.add("cards::the_official_sdks_go_where_a_projected_one_says", async |mesh| sdks(mesh).await);
    suite.add("cards::what_is_none_is_502_and_no_other_fault_is_changed", async |mesh| {
        let agent = StandIn::start(json_answer(&own_card())).await?;
        let envoy = proven(mesh, "cards-faults", &in_front_of(mesh, &agent)?).await?;
        faults(&envoy, &agent).await
    });
}

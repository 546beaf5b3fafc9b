//! HTTP/2 with prior knowledge: bodies in many frames, trailers with and without a body, many streams on one connection.

use anyhow::{Context, Result, ensure};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::{get_task_1_0_http, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::raw::{http2, http2_on};
use attache_mesh::refusal::{self, Form};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::suite::{Suite, works};

fn answered(reply: &Reply, text: &str) -> Result<()> {
    let echo = reply.echo().with_context(|| format!("{} {}", reply.status, reply.text()))?;
    ensure!(reply.status == 200 && echo.text() == text, "{} {:?}", reply.status, echo.0);
    ensure!(echo.told("client") == ["caller"], "{:?}", echo.0);
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("http2::one_frame", async |mesh| {
        let call = send_1_0("one").bearer(&mesh.token().await?);
        answered(&http2(mesh.inbound.port(), &call, 100_000, &[]).await?, "one")
    });
    suite.add("http2::frames_of_one_byte", async |mesh| {
        let call = send_1_0("bytes").bearer(&mesh.token().await?);
        answered(&http2(mesh.inbound.port(), &call, 1, &[]).await?, "bytes")?;
        let call = send_1_0_http("http").bearer(&mesh.token().await?);
        answered(&http2(mesh.inbound.port(), &call, 1, &[]).await?, "http")
    });
    suite.add("http2::trailers_after_the_body", async |mesh| {
        let token = mesh.token().await?;
        let trailers = [("x-checksum", "1"), ("x-attache-client", "mallory")];
        for frame in [1, 100_000] {
            let call = send_1_0("trailers").bearer(&token);
            answered(&http2(mesh.inbound.port(), &call, frame, &trailers).await?, "trailers")?;
            let call = send_0_3("old").bearer(&token);
            answered(&http2(mesh.inbound.port(), &call, frame, &trailers).await?, "old")?;
        }
        Ok(())
    });
    suite.add("http2::trailers_without_a_body", async |mesh| {
        let (port, token) = (mesh.inbound.port(), mesh.token().await?);
        let mut post = send_1_0("none").bearer(&token);
        post.body = None;
        let reply = http2(port, &post, 1, &[("x-checksum", "1")]).await?;
        refusal::check(&reply, "body_malformed", &Form::Rpc(Value::Null))?;
        let get = get_task_1_0_http("no-such-task").bearer(&token);
        let reply = http2(port, &get, 1, &[("x-checksum", "1")]).await?;
        ensure!(reply.status == 404 && reply.reason().is_none(), "the agent answers: {} {}", reply.status, reply.text());
        works(port, &token).await?;
        Ok(())
    });
    suite.add("http2::a_refusal_comes_whole_before_or_after_the_body", async |mesh| {
        let (port, token) = (mesh.inbound.port(), mesh.token().await?);
        for (frame, trailers) in [(1, &[][..]), (100_000, &[][..]), (1, &[("x-checksum", "1")][..])] {
            let reply = http2(port, &send_1_0("no"), frame, trailers).await?;
            refusal::check(&reply, "credentials_missing", &Form::Rpc(json!("no")))?;
            let reply = http2(port, &send_1_0("up").version("0.3").bearer(&token), frame, trailers).await?;
            refusal::check(&reply, "version_conflict", &Form::Rpc(json!("up")))?;
        }
        Ok(())
    });
    suite.add("http2::a_body_over_the_limit_without_length", async |mesh| {
        let (port, token) = (mesh.inbound.port(), mesh.token().await?);
        let call = send_1_0("big").bearer(&token).body(vec![b' '; 3_000_000]);
        let reply = http2(port, &call, 16_000, &[]).await?;
        refusal::check(&reply, "body_too_large", &Form::Rpc(Value::Null))?;
        works(port, &token).await?;
        Ok(())
    });
    suite.add("http2::a_hundred_streams_of_one_connection_get_their_own_answers", async |mesh| {
        let (port, token) = (mesh.inbound.port(), mesh.token().await?);
        let (sender, connection) = h2::client::handshake(TcpStream::connect(("127.0.0.1", port)).await?).await?;
        let driver = tokio::spawn(connection);
        let mut tasks = Vec::new();
        for number in 0..100 {
            let (mut sender, token) = (sender.clone(), token.clone());
            tasks.push(tokio::spawn(async move {
                let text = format!("stream-{number}");
                let call = send_1_0(&text);
                let call: Call = if number % 2 == 0 { call.bearer(&token) } else { call };
                let reply = http2_on(&mut sender, port, &call, 16, &[]).await?;
                if number % 2 == 0 {
                    answered(&reply, &text)
                } else {
                    refusal::check(&reply, "credentials_missing", &Form::Rpc(json!(text)))
                }
            }));
        }
        for task in tasks {
            task.await??;
        }
        driver.abort();
        Ok(())
    });
}

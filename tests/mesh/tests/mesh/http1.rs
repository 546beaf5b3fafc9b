//! HTTP/1.1 as only a raw socket sends it: one byte at a time, without lengths, with trailers, cut short.

use anyhow::{Context, Result, ensure};
use attache_mesh::http::{Reply, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::raw::{chunked, head, http1};
use attache_mesh::refusal::{self, Form};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::suite::{House, Suite, works};

fn body(text: &str) -> Vec<u8> {
    rpc(json!(text), "SendMessage", message_1_0(text)).to_string().into_bytes()
}

fn post(token: &str, extra: &[(&str, &[u8])]) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    let mut headers: Vec<(&str, &[u8])> = vec![
        ("host", b"expense.example.com"),
        ("content-type", b"application/json"),
        ("a2a-version", b"1.0"),
        ("authorization", authorization.as_bytes()),
    ];
    headers.extend_from_slice(extra);
    head(&format!("POST {AGENT}"), &headers)
}

const CHUNKED: &[(&str, &[u8])] = &[("transfer-encoding", b"chunked")];

async fn send_chunked(port: u16, token: &str, body: &[u8], size: usize, trailers: &[(&str, &str)]) -> Result<Reply> {
    let mut pieces = vec![post(token, CHUNKED)];
    pieces.extend(chunked(body, size, trailers));
    http1(port, &pieces).await
}

fn answered(reply: &Reply, text: &str) -> Result<()> {
    let echo = reply.echo().with_context(|| format!("{} {}", reply.status, reply.text()))?;
    ensure!(reply.status == 200 && echo.text() == text && echo.told("operation") == ["SendMessage"], "{:?}", echo.0);
    ensure!(reply.json()["id"] == text, "{}", reply.text());
    Ok(())
}

async fn port(mesh: &'static Mesh) -> Result<(u16, String)> {
    Ok((mesh.inbound.port(), mesh.token().await?))
}

pub fn add(suite: &mut Suite) {
    suite.add("http1::chunks_of_one_byte", async |mesh| {
        let (port, token) = port(mesh).await?;
        answered(&send_chunked(port, &token, &body("bytes"), 1, &[]).await?, "bytes")
    });
    suite.add("http1::chunks_that_cut_characters", async |mesh| {
        let (port, token) = port(mesh).await?;
        let text = "é€😀";
        answered(&send_chunked(port, &token, &body(text), 3, &[]).await?, text)
    });
    suite.add("http1::one_write_for_head_and_body", async |mesh| {
        let (port, token) = port(mesh).await?;
        let whole = [vec![post(&token, CHUNKED)], chunked(&body("whole"), 1000, &[])].concat().concat();
        answered(&http1(port, &[whole]).await?, "whole")
    });
    suite.add("http1::a_head_of_one_byte_pieces", async |mesh| {
        let (port, token) = port(mesh).await?;
        let length = body("slow").len().to_string();
        let head = post(&token, &[("content-length", length.as_bytes())]);
        let mut pieces: Vec<Vec<u8>> = head.chunks(16).map(<[u8]>::to_vec).collect();
        pieces.extend(body("slow").chunks(1).map(<[u8]>::to_vec));
        answered(&http1(port, &pieces).await?, "slow")
    });
    suite.add("http1::a_client_that_expects_100_continue", async |mesh| {
        let (port, token) = port(mesh).await?;
        let extra: &[(&str, &[u8])] = &[("transfer-encoding", b"chunked"), ("expect", b"100-continue")];
        let mut pieces = vec![post(&token, extra)];
        pieces.extend(chunked(&body("expects"), 50, &[]));
        answered(&http1(port, &pieces).await?, "expects")
    });
    suite.add("http1::trailers_after_the_body", async |mesh| {
        let (port, token) = port(mesh).await?;
        let trailers = [("x-checksum", "1"), ("x-attache-client", "mallory")];
        answered(&send_chunked(port, &token, &body("trailers"), 7, &trailers).await?, "trailers")?;
        let house = House::standing(mesh).await?;
        answered(&send_chunked(house.envoy.port(), &house.token(), &body("seen"), 7, &trailers).await?, "seen")
    });
    suite.add("http1::trailers_without_a_body", async |mesh| {
        let house = House::standing(mesh).await?;
        let reply = send_chunked(house.envoy.port(), &house.token(), b"", 1, &[("x-checksum", "1")]).await?;
        refusal::check(&reply, "body_malformed", &Form::Rpc(Value::Null))?;
        works(house.envoy.port(), &house.token()).await?;
        Ok(())
    });
    suite.add("http1::a_post_without_length_has_no_body", async |mesh| {
        let (port, token) = port(mesh).await?;
        let reply = http1(port, &[post(&token, &[])]).await?;
        refusal::check(&reply, "body_malformed", &Form::Rpc(Value::Null))?;
        works(port, &token).await?;
        Ok(())
    });
    suite.add("http1::a_body_over_the_limit_in_chunks", async |mesh| {
        let (port, token) = port(mesh).await?;
        let reply = send_chunked(port, &token, &vec![b' '; 3_000_000], 64 * 1024, &[]).await?;
        refusal::check(&reply, "body_too_large", &Form::Rpc(Value::Null))?;
        works(port, &token).await?;
        Ok(())
    });
    suite.add("http1::an_announced_body_over_the_limit_is_refused_before_it_comes", async |mesh| {
        let (port, token) = port(mesh).await?;
        let reply = http1(port, &[post(&token, &[("content-length", b"900000000")])]).await?;
        refusal::check(&reply, "body_too_large", &Form::Rpc(Value::Null))?;
        works(port, &token).await?;
        Ok(())
    });
    suite.add("http1::a_refusal_for_a_body_of_one_byte_chunks", async |mesh| {
        let (port, token) = port(mesh).await?;
        let unknown = rpc(json!("u"), "DropTables", json!({})).to_string().into_bytes();
        let reply = send_chunked(port, &token, &unknown, 1, &[]).await?;
        refusal::check(&reply, "operation_unknown", &Form::Rpc(json!("u")))?;
        let reply = send_chunked(port, "a.b.c", &body("bad"), 1, &[]).await?;
        refusal::check(&reply, "token_malformed", &Form::Rpc(json!("bad")))
    });
    suite.add("http1::a_client_that_goes_away_in_its_body_harms_nobody", async |mesh| {
        let (port, token) = port(mesh).await?;
        for _ in 0..20 {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(&post(&token, CHUNKED)).await?;
            stream.write_all(b"5\r\n{\"jso\r\n").await?;
            drop(stream);
        }
        works(port, &token).await?;
        Ok(())
    });
    suite.add("http1::length_and_chunks_together_are_never_two_requests", async |mesh| {
        let (port, token) = port(mesh).await?;
        let both: &[(&str, &[u8])] = &[("content-length", b"5"), ("transfer-encoding", b"chunked")];
        let mut pieces = vec![post(&token, both)];
        pieces.extend(chunked(&body("both"), 10, &[]));
        let reply = http1(port, &pieces).await?;
        ensure!(reply.status == 400 || answered(&reply, "both").is_ok(), "{} {}", reply.status, reply.text());
        works(port, &token).await?;
        Ok(())
    });
}

//! `docs/buffers.md`: what Envoy holds of a request, and who answers bodies that are too long, over HTTP/1.1 and HTTP/2.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::raw;
use serde_json::json;

use crate::examples::{example, went_on};
use crate::suite::Suite;

const KIB: usize = 1024;
/// The sizes of DATA frames that HTTP/2 has by default.
const FRAME: usize = 16 * KIB;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    Announced,
    Chunked,
    Http2,
}

/// SendMessage of so many bytes, whose method stands first or last.
fn body(size: usize, first: bool) -> Vec<u8> {
    let text = |length: usize| {
        let params =
            format!(r#""params":{{"message":{{"messageId":"m","role":"ROLE_USER","parts":[{{"text":"{}"}}]}}}}"#, "x".repeat(length));
        let method = r#""method":"SendMessage""#;
        let (one, two) = if first { (method, params.as_str()) } else { (params.as_str(), method) };
        format!(r#"{{"jsonrpc":"2.0","id":1,{one},{two}}}"#)
    };
    text(size - text(0).len()).into_bytes()
}

async fn post(port: u16, token: &str, bytes: Vec<u8>, over: Over) -> Result<Reply> {
    let call = Call::new(http::Method::POST, "/")
        .header("content-type", "application/json")
        .version("1.0")
        .host("expense.example.com")
        .bearer(token);
    match over {
        Over::Announced => call.body(bytes).send(port).await,
        Over::Http2 => raw::http2(port, &call.body(bytes), FRAME, &[]).await,
        Over::Chunked => {
            let bearer = format!("Bearer {token}");
            let head = raw::head(
                "POST /",
                &[
                    ("host", b"expense.example.com"),
                    ("content-type", b"application/json"),
                    ("a2a-version", b"1.0"),
                    ("authorization", bearer.as_bytes()),
                    ("transfer-encoding", b"chunked"),
                ],
            );
            let pieces = [vec![head], raw::chunked(&bytes, FRAME, &[])].concat();
            raw::http1(port, &pieces).await
        }
    }
}

/// Envoy's own answer, in plain text.
fn by_envoy(reply: &Reply) -> Result<()> {
    ensure!(reply.status == 413 && reply.text() == "Payload Too Large", "{} {:.80}", reply.status, reply.text());
    Ok(())
}

/// Attaché's.
fn by_attache(reply: &Reply) -> Result<()> {
    ensure!(reply.status == 413 && reply.reason().as_deref() == Some("body_too_large"), "{} {:.80}", reply.status, reply.text());
    Ok(())
}

async fn start(mesh: &Mesh, name: &str, listener: usize, window: Option<usize>, most: usize) -> Result<(Envoy, String)> {
    let mut file: EnvoyFile = example(mesh, "access-log.yaml")?;
    file.listeners_mut()?.first_mut().context("no listener")?["per_connection_buffer_limit_bytes"] = json!(listener);
    let manager = file.http_manager()?.as_object_mut().context("no manager")?;
    match window {
        Some(window) => manager.insert("http2_protocol_options".to_owned(), json!({"initial_stream_window_size": window})),
        None => manager.remove("http2_protocol_options"),
    };
    file.edit_plugin(|plugin| plugin["agents"][0]["limits"] = json!({"max_body_bytes": most}))?;
    Ok((Envoy::start(name, &file, Options::default()).await?, mesh.token().await?))
}

/// What is held is bounded by the listener's limit over HTTP/1.1 and by the stream's window over HTTP/2, each alone.
async fn what_is_held(mesh: &Mesh) -> Result<()> {
    let (narrow, token) = start(mesh, "buffers-listener", 64 * KIB, None, 1024 * KIB).await?;
    for over in [Over::Announced, Over::Chunked, Over::Http2] {
        went_on(&post(narrow.port(), &token, body(64 * KIB, false), over).await?)
            .with_context(|| format!("{over:?}, as much as the limit"))?;
        // The method comes first, so that hardly anything is held.
        went_on(&post(narrow.port(), &token, body(200 * KIB, true), over).await?).with_context(|| format!("{over:?}, the method first"))?;
    }
    by_envoy(&post(narrow.port(), &token, body(200 * KIB, false), Over::Announced).await?)?;
    by_envoy(&post(narrow.port(), &token, body(200 * KIB, false), Over::Chunked).await?)?;
    went_on(&post(narrow.port(), &token, body(200 * KIB, false), Over::Http2).await?).context("the listener's limit is not HTTP/2's")?;

    let (window, token) = start(mesh, "buffers-window", 2048 * KIB, Some(64 * KIB), 1024 * KIB).await?;
    went_on(&post(window.port(), &token, body(200 * KIB, false), Over::Announced).await?).context("the window is not HTTP/1.1's")?;
    went_on(&post(window.port(), &token, body(200 * KIB, true), Over::Http2).await?)?;
    by_envoy(&post(window.port(), &token, body(200 * KIB, false), Over::Http2).await?)
}

/// With room for the longest body, the filter answers what is longer itself.
async fn room_for_all(mesh: &Mesh) -> Result<()> {
    let (envoy, token) = start(mesh, "buffers-room", 512 * KIB, Some(512 * KIB), 256 * KIB).await?;
    for over in [Over::Announced, Over::Chunked, Over::Http2] {
        for first in [true, false] {
            let what = || format!("{over:?}, method first: {first}");
            went_on(&post(envoy.port(), &token, body(256 * KIB, first), over).await?).with_context(what)?;
            by_attache(&post(envoy.port(), &token, body(256 * KIB + 1, first), over).await?).with_context(what)?;
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("examples_buffers::what_envoy_holds_has_a_limit_for_each_protocol", what_is_held);
    suite.add("examples_buffers::with_room_for_the_longest_body_the_filter_answers", room_for_all);
}

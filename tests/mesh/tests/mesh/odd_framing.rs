//! Requests whose framing is odd: upgrades, lengths that are wrong or said twice, HTTP/2 written frame by frame. Nothing reaches
//! the agent that the filter has not seen, and nothing in two readings.

use anyhow::{Context, Result, ensure};
use attache_mesh::http::{Call, LIMIT};
use attache_mesh::mesh::{AGENT, send_1_0};
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::odd_requests::{GOOD, HOST, Lenient, Odd, PLAIN, body, is_refused, verified};
use crate::suite::Suite;

/// What HTTP/2 without a library came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A response with status 200 and no error in it.
    Answered,
    /// Any other response.
    Refused,
    /// The stream or the connection was cut.
    Cut,
}

/// One header of HTTP/2, as it is written.
type Field<'a> = (&'a str, &'a [u8]);

/// A frame of HTTP/2 (RFC 9113 section 4.1) on stream `stream`.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(payload.len())?.to_be_bytes();
    Ok([&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat())
}

/// A string of HPACK without Huffman coding (RFC 7541 section 5.2).
fn literal(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match u8::try_from(text.len()) {
        Ok(short) if short < 127 => out.push(short),
        _ => {
            out.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                out.push((rest % 128 + 128).to_le_bytes()[0]);
                rest /= 128;
            }
            out.push(rest.to_le_bytes()[0]);
        }
    }
    [out, text.to_vec()].concat()
}

/// One request over HTTP/2 with prior knowledge: `fields` exactly as they are, then `data` if there is any.
async fn http2(port: u16, fields: &[Field<'_>], data: Option<&[u8]>) -> Result<End> {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| [&[0][..], &literal(name.as_bytes()), &literal(value)].concat()).collect();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[])?);
    bytes.extend(frame(1, if data.is_some() { 4 } else { 5 }, 1, &block)?);
    if let Some(data) = data {
        bytes.extend(frame(0, 1, 1, data)?);
    }
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(&bytes).await?;
        let mut head = [0; 9];
        let mut end = None;
        // The end of a connection, however it comes, is an answer here.
        while stream.read_exact(&mut head).await.is_ok() {
            let [a, b, c, kind, flags, _, _, _, id] = head;
            let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c]))?];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            match (kind, id) {
                (1, 1) => {
                    // `:status: 200` is entry 8 of the static table; a change of the table's size may stand before it.
                    let first = payload.iter().find(|byte| **byte & 0xe0 != 0x20).context("an empty head")?;
                    end = Some(if *first == 0x88 { End::Answered } else { End::Refused });
                }
                // Over JSON-RPC a refusal may have the status of an answer.
                (0, 1) if String::from_utf8_lossy(&payload).contains(r#""error""#) => end = Some(End::Refused),
                (3, 1) | (7, _) => return Ok(end.unwrap_or(End::Cut)),
                _ => {}
            }
            if let (Some(end), true) = (end, flags & 1 == 1 && id == 1 && kind < 2) {
                return Ok(end);
            }
        }
        anyhow::Ok(end.unwrap_or(End::Cut))
    };
    tokio::time::timeout(LIMIT, exchange).await.context("no end of an HTTP/2 request")?
}

/// The fields of a good request with `token`, in order.
fn good<'a>(token: &'a str, path: &'a str) -> Vec<Field<'a>> {
    vec![
        (":method", b"POST"),
        (":scheme", b"http"),
        (":authority", HOST.as_bytes()),
        (":path", path.as_bytes()),
        ("content-type", b"application/json"),
        ("a2a-version", b"1.0"),
        ("authorization", token.as_bytes()),
    ]
}

/// How a good request over HTTP/2 is made odd.
type Change = for<'a> fn(&mut Vec<Field<'a>>);

fn set<'a>(fields: &mut Vec<Field<'a>>, name: &str, value: &'a [u8]) {
    fields.iter_mut().filter(|(given, _)| *given == name).for_each(|field| field.1 = value);
}

/// What must not reach the agent at all.
const NEVER: &[(&str, Change)] = &[
    ("another version in capitals", |fields| fields.push(("A2A-Version", b"0.3"))),
    ("a connection header", |fields| fields.push(("connection", b"a2a-version"))),
    ("chunks", |fields| fields.push(("transfer-encoding", b"chunked"))),
    ("two paths", |fields| fields.insert(4, (":path", b"/agents/expense/tasks/1"))),
    ("two methods", |fields| fields.insert(1, (":method", b"GET"))),
    ("two authorities", |fields| fields.insert(3, (":authority", b"plain.example.com"))),
    ("a path behind the headers", |fields| fields.push((":path", b"/"))),
    ("an unknown pseudo-header", |fields| fields.insert(4, (":attache", b"x"))),
    ("no path", |fields| set(fields, ":path", b"")),
    ("a path without slash", |fields| set(fields, ":path", b"agents/expense")),
    ("a whole URL as path", |fields| set(fields, ":path", b"http://plain.example.com/agents/expense")),
    ("a star as path", |fields| set(fields, ":path", b"*")),
    ("a fragment", |fields| set(fields, ":path", b"/agents/expense#/../x")),
    ("a space in the path", |fields| set(fields, ":path", b"/agents/expense HTTP/1.1\r\nx-attache-client: mallory")),
    ("a method in small letters", |fields| set(fields, ":method", b"post")),
    ("a method with a line", |fields| set(fields, ":method", b"POST / HTTP/1.1\r\nx: y\r\n\r\nPOST")),
    ("a line break in a value", |fields| fields.push(("x-odd", b"a\r\nx-attache-client: mallory"))),
    ("a NUL in a value", |fields| fields.push(("x-odd", b"a\0b"))),
    ("a colon in a name", |fields| fields.push(("x-odd:x", b"a"))),
    ("a space in a name", |fields| fields.push(("x odd", b"a"))),
    ("user information", |fields| set(fields, ":authority", b"a@expense.example.com")),
    ("a port and a dot", |fields| set(fields, ":authority", b"expense.example.com.:443")),
    ("another host beside", |fields| set(fields, ":authority", b"expense.example.com,plain.example.com")),
    ("an unfinished version", |fields| set(fields, "a2a-version", b"1.")),
    ("another version in a cookie's place", |fields| fields.push(("a2a-version", b"0.3"))),
    ("a length that is too small", |fields| fields.push(("content-length", b"5"))),
    ("a length that is too large", |fields| fields.push(("content-length", b"5000"))),
    ("a length that is none", |fields| fields.push(("content-length", b"+5"))),
    ("two lengths", |fields| fields.extend([("content-length", &b"5"[..]), ("content-length", b"6")])),
    ("a websocket", |fields| {
        set(fields, ":method", b"CONNECT");
        fields.insert(1, (":protocol", b"websocket"));
    }),
];

/// What reaches it in one reading.
const ONCE: &[(&str, Change)] = &[
    ("nothing odd", |_| {}),
    ("the version twice", |fields| fields.push(("a2a-version", b"1.0"))),
    ("another host header", |fields| fields.push(("host", b"elsewhere.example.com"))),
    ("a port and capitals", |fields| set(fields, ":authority", b"Expense.Example.com:443")),
    ("bytes that are no UTF-8", |fields| fields.push(("x-odd", b"\xff\xfe"))),
    ("te", |fields| fields.push(("te", b"trailers"))),
    ("underscores", |fields| fields.extend([("x_attache_client", &b"mallory"[..]), ("a2a_version", b"0.3")])),
];

pub fn add(suite: &mut Suite) {
    suite.add("odd_framing::http2_that_is_wrong_never_reaches_the_agent", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let token = format!("Bearer {}", here.token);
        for (name, change) in NEVER {
            let mut fields = good(&token, AGENT);
            change(&mut fields);
            let end = http2(here.envoy.port(), &fields, Some(&body())).await?;
            let whole = here.agent.heard().into_iter().find(|heard| heard.whole);
            ensure!(end != End::Answered && whole.is_none(), "{name}: {end:?} {whole:?}");
            here.agent.forget();
        }
        here.heard_nothing().await
    });
    suite.add("odd_framing::http2_that_is_merely_odd_is_read_once", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let token = format!("Bearer {}", here.token);
        for (name, change) in ONCE {
            let mut fields = good(&token, AGENT);
            change(&mut fields);
            let end = http2(here.envoy.port(), &fields, Some(&body())).await?;
            ensure!(end == End::Answered, "{name}: {end:?}");
            let heard = here.one()?;
            verified(&heard).context(*name)?;
            ensure!(heard.header("host").len() == 1 && !heard.head.contains("elsewhere") && !heard.head.contains("mallory"), "{heard:?}");
        }
        Ok(())
    });
    suite.add("odd_framing::no_tunnel_is_opened", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let authorization = format!("Bearer {}", here.token);
        let smuggled = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
        for (host, line) in [
            (HOST, "POST /agents/expense/tasks/1:cancel"),
            (HOST, "POST /agents/expense/message:send"),
            (HOST, "GET /agents/expense/tasks/1"),
            (HOST, "GET /agents/expense/.well-known/agent-card.json"),
            (PLAIN, "POST /tasks/1:cancel"),
            (PLAIN, "POST /message:send"),
            (PLAIN, "POST /"),
        ] {
            let headers: [(&str, &[u8]); 5] = [
                ("host", host.as_bytes()),
                ("authorization", authorization.as_bytes()),
                ("a2a-version", b"1.0"),
                ("connection", b"Upgrade"),
                ("upgrade", b"websocket"),
            ];
            let reply = raw::http1(here.envoy.port(), &[raw::head(line, &headers), smuggled.to_vec()]).await.context(line)?;
            ensure!(reply.reason().is_some(), "{line}: {} {}", reply.status, reply.text());
        }
        let token = format!("Bearer {}", here.token);
        let mut fields = good(&token, "/agents/expense/tasks/1");
        set(&mut fields, ":method", b"CONNECT");
        fields.insert(1, (":protocol", b"websocket"));
        let end = http2(here.envoy.port(), &fields, None).await?;
        ensure!(end == End::Refused, "{end:?}");
        here.heard_nothing().await?;
        // What Envoy does not take for a tunnel is a request like others.
        let h2c: &[(&str, &[u8])] = &[("connection", b"upgrade, http2-settings"), ("upgrade", b"h2c"), ("http2-settings", b"AAMAAABk")];
        let reply = here.write(Odd { extra: h2c, ..GOOD }).await?;
        if reply.status == 200 {
            let heard = here.one()?;
            verified(&heard)?;
            ensure!(heard.header("upgrade").is_empty(), "{heard:?}");
        }
        here.agent.forget();
        is_refused(
            &raw::http1(
                mesh.inbound.port(),
                &[Odd { extra: &[("connection", b"upgrade"), ("upgrade", b"websocket")], ..GOOD }.bytes(&here.token)],
            )
            .await?,
        )
    });
    suite.add("odd_framing::lengths_that_disagree_are_never_two_requests", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        // `GOOD` says its length already.
        let twice: [&[(&str, &[u8])]; 9] = [
            &[("content-length", b"5")],
            &[("content-length", b"0")],
            &[("Content-Length", b"+5")],
            &[("content-length", b"5, 6")],
            &[("transfer-encoding", b"gzip, chunked")],
            &[("transfer-encoding", b"identity")],
            &[("transfer-encoding", b"chunked"), ("transfer-encoding", b"chunked")],
            &[("transfer-encoding", b"\x0bchunked")],
            &[("Transfer_Encoding : chunked\r\nx", b"y")],
        ];
        for extra in twice {
            is_refused(&here.write(Odd { extra, ..GOOD }).await?).with_context(|| format!("{extra:?}"))?;
        }
        here.heard_nothing().await?;
        // What follows the announced length is another request, and judged as one.
        let behind =
            [GOOD.bytes(&here.token), b"GET /agents/expense/tasks/smuggled HTTP/1.1\r\nhost: expense.example.com\r\n\r\n".to_vec()]
                .concat();
        let reply = raw::http1(here.envoy.port(), &[behind]).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        verified(&here.one()?)?;
        here.heard_nothing().await
    });
    suite.add("odd_framing::who_waits_for_100_gets_it_or_the_refusal", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        for (token, status) in [(here.token.as_str(), "HTTP/1.1 200"), ("a.b.c", "HTTP/1.1 401")] {
            let whole = Odd { extra: &[("expect", b"100-continue")], ..GOOD }.bytes(token);
            let (head, body) = whole.split_at(whole.len() - body().len());
            let exchange = async {
                let mut stream = TcpStream::connect(("127.0.0.1", here.envoy.port())).await?;
                stream.write_all(head).await?;
                let mut come = Vec::new();
                let mut sent = false;
                loop {
                    let text = String::from_utf8_lossy(&come).into_owned();
                    if !sent && text.starts_with("HTTP/1.1 100") {
                        stream.write_all(body).await?;
                        sent = true;
                    }
                    if text.contains(status) {
                        return anyhow::Ok(());
                    }
                    ensure!(stream.read_buf(&mut come).await? > 0, "the connection ended after {text:?}");
                }
            };
            tokio::time::timeout(LIMIT, exchange).await.context("no answer to a client that expects 100-continue")??;
        }
        verified(&here.one()?)?;
        let other = here.send(&send_1_0("expect").header("expect", "200-ok")).await?;
        ensure!([200, 417].contains(&other.status), "{} {}", other.status, other.text());
        Ok(())
    });
    suite.add("odd_framing::trailers_belong_to_their_request", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let token = format!("Bearer {}", here.token);
        let headers: [(&str, &[u8]); 5] = [
            ("host", HOST.as_bytes()),
            ("content-type", b"application/json"),
            ("a2a-version", b"1.0"),
            ("authorization", token.as_bytes()),
            ("transfer-encoding", b"chunked"),
        ];
        let trailers = [
            ("x-checksum", "7"),
            ("a2a-version", "mallory"),
            ("a2a_version", "mallory"),
            ("x_attache_client", "mallory"),
            ("authorization", "mallory"),
            ("x-http-method-override", "mallory"),
        ];
        let mut pieces = vec![raw::head(&format!("POST {AGENT}"), &headers)];
        pieces.extend(raw::chunked(&body(), 1000, &trailers));
        let reply = raw::http1(here.envoy.port(), &pieces).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        let heard = here.one()?;
        verified(&heard)?;
        let rest = String::from_utf8_lossy(&heard.rest).into_owned();
        ensure!(rest.contains("x-checksum: 7") && !rest.contains("mallory"), "{rest:?}");
        let get = Call::get(format!("{AGENT}/tasks/1")).version("1.0").bearer(&here.token);
        let reply = raw::http2(here.envoy.port(), &get, 1, &[("x_attache_client", "mallory")]).await?;
        ensure!(reply.status == 200 && !here.one()?.head.contains("mallory"), "{} {}", reply.status, reply.text());
        refusal::check(&here.send(&send_1_0("v").version("0.3")).await?, "version_conflict", &Form::Rpc(json!("v")))
    });
}

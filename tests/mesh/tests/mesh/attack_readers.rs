//! `tests/attacks/readers.json`: does the agent's server read a request as the filter does? Each row is sent to real servers
//! directly, which shows what they read (`does`), and through Envoy with the filter. Either the filter refuses, or the server
//! does what the filter decided about, and nothing more. `BLESS=1` rewrites what the servers read directly.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::Call;
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::{self, Agent};
use attache_mesh::verdicts::Corpus;
use attache_mesh::{place, raw};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::suite::Suite;

const PATH: &str = "tests/attacks/readers.json";

/// The servers, each with its program and the version of A2A that it speaks.
const READERS: [(&str, usize, &str); 7] = [
    ("express", 0, "1.0"),
    ("js-1.0", 0, "1.0"),
    ("js-0.3", 0, "0.3"),
    ("starlette", 1, "1.0"),
    ("py-1.0", 1, "1.0"),
    ("fastapi", 2, "0.3"),
    ("py-0.3", 2, "0.3"),
];

const PROGRAMS: [&str; 3] = ["readers_node", "readers_1_0", "readers_0_3"];

/// Requests that are on their way at once.
const LANES: usize = 8;

pub fn add(suite: &mut Suite) {
    suite.add("attacks::every_reader_reads_what_was_judged", every_row);
}

/// One row for one reader.
struct Case {
    row: usize,
    reader: &'static str,
    program: usize,
}

struct Rows {
    rows: Vec<Value>,
    cases: Vec<Case>,
}

impl Rows {
    fn read() -> Result<Self> {
        let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(place::root().join(PATH))?)?;
        let mut cases = Vec::new();
        for (row, value) in rows.iter().enumerate() {
            let only: Option<Vec<&str>> = value["readers"].as_array().map(|list| list.iter().filter_map(Value::as_str).collect());
            let fits =
                |reader: &&(&str, usize, &str)| value["version"] == reader.2 && only.as_ref().is_none_or(|only| only.contains(&reader.0));
            cases.extend(READERS.iter().filter(fits).map(|(reader, program, _)| Case { row, reader, program: *program }));
        }
        Ok(Self { rows, cases })
    }

    fn row(&self, case: &Case) -> Result<&Value> {
        self.rows.get(case.row).context("a row")
    }

    /// The bytes of a row's request to a reader.
    fn request(&self, case: &Case, mark: &str, token: &str) -> Result<Vec<u8>> {
        let row = self.row(case)?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("no text");
        let body = match (&row["body"], row["body"]["base64"].as_str()) {
            (Value::String(text), _) => Some(text.clone().into_bytes()),
            (_, Some(code)) => Some(STANDARD.decode(code)?),
            _ => None,
        };
        let mut headers = vec![
            ("host".to_owned(), format!("{}.example.com", case.reader)),
            ("connection".to_owned(), "close".to_owned()),
            ("a2a-version".to_owned(), text(&row["version"])?),
            ("x-reading".to_owned(), format!("{mark}-{}-{}", case.row, case.reader)),
        ];
        for pair in row["headers"].as_array().context("headers")? {
            headers.push((text(&pair[0])?, text(&pair[1])?));
        }
        if row["token"] != json!(false) {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        let in_chunks = row["chunked"] == json!(true);
        match &body {
            Some(_) if in_chunks => headers.push(("transfer-encoding".to_owned(), "chunked".to_owned())),
            Some(body) => headers.push(("content-length".to_owned(), body.len().to_string())),
            None => {}
        }
        let line = format!("{} {}", text(&row["method"])?, text(&row["path"])?);
        let pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let mut bytes = raw::head(&line, &pairs);
        let body = body.unwrap_or_default();
        bytes.extend(if in_chunks { raw::chunked(&body, body.len().max(1), &[]).concat() } else { body });
        Ok(bytes)
    }
}

/// Sends every case to the port that `port` knows for it. The marks of those that got no answer in time.
async fn send_all(rows: &Arc<Rows>, mark: &'static str, token: &str, port: impl Fn(&Case) -> Result<Option<u16>>) -> Result<Vec<String>> {
    let mut lanes: Vec<Vec<(u16, Vec<u8>, String)>> = (0..LANES).map(|_| Vec::new()).collect();
    for (number, case) in rows.cases.iter().enumerate() {
        if let (Some(port), Some(lane)) = (port(case)?, lanes.get_mut(number % LANES)) {
            lane.push((port, rows.request(case, mark, token)?, format!("{mark}-{}-{}", case.row, case.reader)));
        }
    }
    let mut tasks = JoinSet::new();
    for lane in lanes {
        tasks.spawn(async move {
            let mut silent = Vec::new();
            for (port, bytes, mark) in lane {
                // A connection that is closed without an answer is a refusal; one that stays silent is not.
                if let Err(error) = raw::http1(port, &[bytes]).await
                    && format!("{error:#}").contains("no answer")
                {
                    silent.push(mark);
                }
            }
            silent
        });
    }
    let mut silent = Vec::new();
    while let Some(lane) = tasks.join_next().await {
        silent.extend(lane?);
    }
    Ok(silent)
}

/// What a server made of a request, in words: `SendMessage task t1 url http://…`.
fn meaning(reading: &Value) -> Option<String> {
    let mut text = reading["operation"].as_str()?.to_owned();
    for name in ["task", "url"] {
        if let Some(value) = reading[name].as_str() {
            text = format!("{text} {name} {value}");
        }
    }
    Some(text)
}

/// What is wrong with a case that went through Envoy; else whether it was let through.
fn judge(row: &Value, reading: Option<&Value>) -> Result<bool, String> {
    let expect = row["expect"].as_str().unwrap_or_default();
    let Some(reading) = reading else {
        return if matches!(expect, "pass" | "open") { Err("it was refused".to_owned()) } else { Ok(false) };
    };
    let (decided, done) = (reading["decided"].as_str(), reading["operation"].as_str());
    match (expect, decided, done) {
        ("refuse", ..) => Err(format!("it reached the server, which does {:?}", meaning(reading))),
        (_, None, Some(_)) => Err(format!("the server does {:?}, which nothing decided about", meaning(reading))),
        ("open", Some(_), _) => Err("it was taken for an agent's".to_owned()),
        ("pass", ..) if done != row["operation"].as_str() => Err(format!("the server does {done:?}")),
        (_, Some(decided), Some(done)) if decided != done => Err(format!("{decided} was decided, the server does {done}")),
        // No target is allowed, and no task is this caller's.
        (_, Some(_), Some(_)) if reading["url"].is_string() => Err("the server got a push URL".to_owned()),
        (_, Some(_), Some(_)) if is_owned(row) && reading["task"].is_string() => Err("the server got a task".to_owned()),
        _ => Ok(true),
    }
}

fn is_owned(row: &Value) -> bool {
    row["path"].as_str().is_some_and(|path| path.to_ascii_lowercase().contains("owned"))
}

/// An Envoy before all readers. Without `normalizes` it takes paths as they come.
async fn guard(mesh: &Mesh, programs: &[Agent], normalizes: bool) -> Result<Envoy> {
    let mut file = mesh.inbound_file()?;
    for (program, cluster) in programs.iter().zip(PROGRAMS) {
        file.copy_cluster("expense_v1_0", cluster)?;
        file.cluster(cluster, program.port)?;
    }
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["READERS_TAG"]});
    file.edit_plugin(|plugin| {
        let like = plugin["agents"][0].clone();
        let agents = READERS.iter().flat_map(|(reader, _, version)| {
            ["agents", "owned"].map(|place| {
                let mut agent = like.clone();
                agent["name"] = json!(format!("{reader}-{place}"));
                agent["match"] = json!({"hosts": [format!("{reader}.example.com")], "path_prefix": format!("/{place}/expense")});
                agent["versions"] = json!({(*version): {"bindings": ["jsonrpc", "http_json"]}});
                agent["default_version"] = json!(version);
                if place == "owned" {
                    agent["tasks"] = json!({"owned": {"keys": [{"id": "one", "secret": "tag"}]}});
                }
                agent
            })
        });
        plugin["agents"] = agents.collect();
        plugin["secrets"] = json!({"tag": {"env": "READERS_TAG"}});
        plugin["unmatched"] = json!("pass");
    })?;
    let routes = READERS.iter().map(|(reader, program, _)| {
        json!({
            "match": {"prefix": "/", "headers": [{"name": ":authority", "string_match": {"exact": format!("{reader}.example.com")}}]},
            "route": {"cluster": PROGRAMS.get(*program), "timeout": "0s"},
        })
    });
    let manager = file.http_manager()?;
    manager["route_config"]["virtual_hosts"] = json!([{"name": "all", "domains": ["*"], "routes": routes.collect::<Vec<_>>()}]);
    if !normalizes {
        manager["normalize_path"] = json!(false);
        manager["merge_slashes"] = json!(false);
        manager["path_with_escaped_slashes_action"] = json!("KEEP_UNCHANGED");
    }
    let options = Options::default().env("READERS_TAG", "0123456789abcdef0123456789abcdef");
    Envoy::start(if normalizes { "readers" } else { "readers-lenient" }, &file, options).await
}

async fn every_row(mesh: &'static Mesh) -> Result<()> {
    let mut corpora: BTreeMap<&str, Corpus> =
        READERS.iter().map(|(reader, ..)| (*reader, Corpus::new(format!("readers.json: {reader}")))).collect();
    let rows = Arc::new(Rows::read()?);
    ensure!(rows.rows.len() >= 150, "{} rows", rows.rows.len());
    let (node, py10, py03) =
        tokio::try_join!(peer::readers("readers.mjs"), peer::readers("readers_1_0.py"), peer::readers("readers_0_3.py"))?;
    let programs = [node, py10, py03];
    let (strict, lenient) = tokio::try_join!(guard(mesh, &programs, true), guard(mesh, &programs, false))?;
    let token = mesh.token().await?;
    // Rows about paths also meet an Envoy that leaves them alone.
    let about_paths = |case: &Case| anyhow::Ok(rows.row(case)?["kind"] == "unmatched" || rows.row(case)?["kind"] == "verb");
    let mut silent = send_all(&rows, "direct", &token, |case| Ok(Some(programs.get(case.program).context("no program")?.port))).await?;
    silent.extend(send_all(&rows, "guarded", &token, |_| Ok(Some(strict.port()))).await?);
    silent.extend(send_all(&rows, "lenient", &token, |case| Ok(about_paths(case)?.then_some(lenient.port()))).await?);
    let mut readings = serde_json::Map::new();
    for program in &programs {
        let told = Call::get("/control/readings").send(program.port).await?.json();
        readings.extend(told.as_object().cloned().context("no readings")?);
    }
    bless(&rows, &readings)?;
    let mut misled: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &rows.cases {
        let row = rows.row(case)?;
        let corpus = corpora.get_mut(case.reader).context("no corpus")?;
        let reading = |mark: &str| readings.get(&format!("{mark}-{}-{}", case.row, case.reader));
        let direct = reading("direct").and_then(meaning);
        if direct.as_deref() != row["does"][case.reader].as_str() {
            corpus.wrong(format!("{}, {}: read directly it is {direct:?}, not {}", row["name"], case.reader, row["does"][case.reader]));
            continue;
        }
        if direct.is_some() && row["expect"] == "refuse" {
            *misled.entry(case.reader).or_default() += 1;
        }
        let marks = if about_paths(case)? { &["guarded", "lenient"][..] } else { &["guarded"] };
        for mark in marks {
            let verdict = match judge(row, reading(mark)) {
                _ if silent.contains(&format!("{mark}-{}-{}", case.row, case.reader)) => Err("no answer".to_owned()),
                verdict => verdict,
            };
            match verdict {
                Ok(true) => corpus.passed(),
                Ok(false) => corpus.refused(),
                Err(what) => corpus.wrong(format!("{}, {} ({mark}): {what}", row["name"], case.reader)),
            }
        }
    }
    // Without the filter these rows do something: they are attacks, and no noise.
    let all_misled = READERS.iter().all(|(reader, ..)| misled.get(reader).is_some_and(|count| *count >= 10));
    let ended: Vec<String> = corpora.into_values().filter_map(|corpus| corpus.end().err()).map(|error| error.to_string()).collect();
    ensure!(ended.is_empty(), "{}", ended.join("\n"));
    ensure!(all_misled, "{misled:?}");
    Ok(())
}

/// With `BLESS=1`: writes what the servers read directly.
fn bless(rows: &Rows, readings: &serde_json::Map<String, Value>) -> Result<()> {
    if std::env::var_os("BLESS").is_none() {
        return Ok(());
    }
    let mut changed = rows.rows.clone();
    changed.iter_mut().for_each(|row| row["does"] = json!({}));
    for case in &rows.cases {
        let reading = readings.get(&format!("direct-{}-{}", case.row, case.reader));
        if let (Some(text), Some(row)) = (reading.and_then(meaning), changed.get_mut(case.row)) {
            row["does"][case.reader] = json!(text);
        }
    }
    let lines: Vec<String> = changed.iter().map(|row| format!("  {row}")).collect();
    Ok(std::fs::write(place::root().join(PATH), format!("[\n{}\n]\n", lines.join(",\n")))?)
}

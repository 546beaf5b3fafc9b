//! `forward.headers`: headers of their own for what is known of a caller, and the dictionary as programs of others read it.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Echo, Reply};
use attache_mesh::mesh::{Mesh, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::mint::Mint;
use attache_mesh::place;
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use attache_mesh::told::ensure_told;
use serde_json::{Value, json};
use std::process::Command;

use crate::suite::{House, Suite};

const PAGE: &str = include_str!("../../../../docs/identity.md");

/// An Envoy whose agent asks for these headers.
struct Here {
    envoy: Envoy,
    mint: Mint,
    audience: String,
}

impl Here {
    async fn start(mesh: &Mesh, name: &str, headers: Value) -> Result<Self> {
        let mint = Mint::new("house-1")?;
        let mut file = mesh.inbound_file()?;
        House::trust(&mut file, &mint, &mesh.audience)?;
        file.edit_plugin(|plugin| plugin["agents"][0]["forward"] = json!({"headers": headers}))?;
        file.http_manager()?["http_protocol_options"] = json!({"enable_trailers": true});
        let envoy = Envoy::start(name, &file, Options::default()).await?;
        Ok(Self { envoy, mint, audience: mesh.audience.clone() })
    }

    /// A token of the house that says `more`, too.
    fn token(&self, more: &Value) -> String {
        let mut claims = House::claims_for("alice", &self.audience);
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        self.mint.sign(&claims)
    }

    async fn send(&self, call: &Call) -> Result<Reply> {
        call.send(self.envoy.port()).await
    }
}

fn echo(reply: &Reply) -> Result<Echo> {
    reply.echo().with_context(|| format!("no echo: {} {}", reply.status, reply.text()))
}

/// The program that the documentation shows in `language`.
fn shown(language: &str) -> Result<&'static str> {
    let (_, block) = PAGE.split_once(&format!("```{language}\n")).context("no program")?;
    Ok(block.split_once("```").context("no end")?.0)
}

/// What `read` of the documentation's program in Python or JavaScript makes of `lines`.
fn read(language: &str, lines: &[String]) -> Result<Value> {
    let mut command = if language == "python" {
        let code =
            format!("{}\nimport json, os\nprint(json.dumps([read(line) for line in json.loads(os.environ['LINES'])]))\n", shown(language)?);
        let mut python = Command::new(place::tool("py-1.0").join("bin/python"));
        python.args(["-c", &code]);
        python
    } else {
        let code = format!("{}\nconsole.log(JSON.stringify(JSON.parse(process.env.LINES).map(read)));\n", shown(language)?);
        let mut node = Command::new("node");
        node.args(["--input-type=module", "-e", &code]);
        node
    };
    let output = command.current_dir(place::peer("")).env("LINES", json!(lines).to_string()).output()?;
    ensure!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Libraries of others read every line, and read the names that the tokens have.
async fn read_by_others(mesh: &Mesh) -> Result<()> {
    let here = Here::start(mesh, "forwarded-read", json!({})).await?;
    let names = [
        "alice",
        " alice ",
        "Zoë \u{1f600}",
        "50%, \"é\"",
        "%c3%ab",
        "alice\", kind=\"user",
        "\\\"",
        "a\\",
        "a\r\nx-attache: kind=\"user\"",
        "a\u{0}\u{7f}\t",
        "(\"a\" \"b\")",
        "a;b=c, d",
    ];
    let (mut lines, mut wanted) = (Vec::new(), Vec::new());
    for (index, name) in names.into_iter().enumerate() {
        let token = here.token(&json!({"sub": name, "client_id": name, "tid": name}));
        let call = [send_1_0("read"), send_1_0_http("read"), send_0_3("read")].into_iter().nth(index % 3).context("a call")?;
        let seen = echo(&here.send(&call.bearer(&token)).await?)?;
        let line = seen.header("x-attache");
        ensure!(line.len() == 1 && line[0].bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{name:?}: {line:?}");
        ensure!(!lines.contains(&line[0]), "{name:?} came as another: {line:?}");
        lines.extend(line);
        let version = if index % 3 == 2 { "0.3" } else { "1.0" };
        wanted.push(json!({"agent": "expense", "operation": "SendMessage", "version": version, "kind": "service", "issuer": "house",
            "tenant": name, "subject": name, "client": name, "scopes": ["agent:read", "agent:execute"]}));
    }
    // The scopes' order is the token's.
    let sorted = |mut seen: Value| {
        for one in seen.as_array_mut().into_iter().flatten() {
            if let Some(scopes) = one["scopes"].as_array_mut() {
                scopes.sort_by_key(Value::to_string);
            }
        }
        seen
    };
    for language in ["python", "js"] {
        let seen = sorted(read(language, &lines)?);
        ensure!(seen == sorted(json!(wanted)), "{language}: {seen:#}");
        ensure!(read(language, &["subject=alice, client=".to_owned()]).is_err(), "{language} reads what is no dictionary");
    }
    Ok(())
}

/// What the claims say arrives in the headers that are named, and what a client says of them does not.
async fn single(mesh: &Mesh) -> Result<()> {
    let here = Here::start(
        mesh,
        "forwarded-single",
        json!({
            "x-user": "subject", "x-scopes": "scopes", "x-plain-user": {"member": "subject", "form": "text"}, "x-asked": {"member": "operation", "form": "text"},
            "x-tenant": "tenant", "x-roles": {"claim": "teams"}, "x-groups": {"claim": ["realm", "groups"]}, "x-level": {"claim": "level"},
            "x-forwarded-email": {"claim": "email", "form": "text"},
        }),
    )
    .await?;
    let said = json!({"sub": "Zoë", "teams": ["a, b", "c\"", "é"], "realm": {"groups": "staff"}, "level": 2.5, "email": "zoë@example.com"});
    let names = ["x-user", "x-scopes", "x-plain-user", "x-asked", "x-tenant", "x-roles", "x-groups", "x-level", "x-forwarded-email"];
    let forge = |mut call: Call| {
        for name in names {
            call = call.header(name, "mallory").header(name, b"mallory\xff").header(&name.replace('-', "_"), "mallory");
        }
        call
    };
    let all = forge(send_1_0("single").bearer(&here.token(&said)));
    let trailers = names.map(|name| (name, "mallory"));
    for reply in [here.send(&all).await?, raw::http2(here.envoy.port(), &all, 64, &trailers).await?] {
        let seen = echo(&reply)?;
        for (name, value) in [
            ("x-user", r#"%"Zo%c3%ab""#),
            ("x-plain-user", "Zo%C3%AB"),
            ("x-asked", "SendMessage"),
            ("x-roles", r#"("a, b" "c\"" %"%c3%a9")"#),
            ("x-groups", r#""staff""#),
            ("x-level", "2.5"),
            ("x-forwarded-email", "zo%C3%AB@example.com"),
        ] {
            ensure!(seen.header(name) == [value], "{name} is {:?}", seen.header(name));
        }
        ensure!(seen.header("x-scopes").concat().contains("\"agent:execute\""), "{:?}", seen.header("x-scopes"));
        ensure!(seen.header("x-tenant").is_empty() && !seen.0.to_string().contains("mallory"), "{}", seen.0);
        ensure_told(&seen, "subject", "Zoë")?;
    }
    // What the token does not have is not there, whatever the client says.
    let seen = echo(&here.send(&forge(send_0_3("none").bearer(&here.token(&json!({}))))).await?)?;
    ensure!(seen.header("x-user") == ["\"alice\""] && !seen.0.to_string().contains("mallory"), "{}", seen.0);
    ensure!(["x-roles", "x-groups", "x-level", "x-forwarded-email"].iter().all(|name| seen.header(name).is_empty()), "{}", seen.0);
    // What no header can say is refused.
    for odd in [
        json!({"teams": {"admin": true}}),
        json!({"teams": null}),
        json!({"teams": [["a"]]}),
        json!({"teams": ["x".repeat(8192)]}),
        json!({"realm": ["staff"]}),
        json!({"level": 1_000_000_000_000_000_u64}),
        json!({"level": 0.12345}),
        json!({"email": ["zoe@example.com"]}),
    ] {
        let reply = here.send(&send_1_0_http("odd").bearer(&here.token(&odd))).await?;
        refusal::check(&reply, "token_claim_refused", &Form::Status).with_context(|| odd.to_string())?;
    }
    Ok(())
}

/// The headers of release 0.1 are as they were.
async fn preset(mesh: &Mesh) -> Result<()> {
    let here = Here::start(mesh, "forwarded-preset", json!({"preset": "0.1"})).await?;
    let token = here.token(&json!({"sub": " 50%é", "tid": "t-1", "act": {"sub": "b"}}));
    let members = ["agent", "operation", "issuer", "tenant", "subject", "client", "kind", "actor", "scopes"];
    let forged = members.iter().fold(send_1_0("old").bearer(&token), |call, member| call.header(&format!("x-attache-{member}"), "mallory"));
    let seen = echo(&here.send(&forged).await?)?;
    let values = ["expense", "SendMessage", "house", "t-1", "%2050%25%C3%A9", "house-client", "service", "b"];
    for (member, value) in members.into_iter().zip(values) {
        let line = seen.header(&format!("x-attache-{member}"));
        ensure!(line == [value], "{member} is {line:?}");
    }
    let scopes = seen.header("x-attache-scopes").join("|");
    let mut scopes: Vec<&str> = scopes.split(' ').collect();
    scopes.sort_unstable();
    ensure!(scopes == ["agent:execute", "agent:read"], "{scopes:?}");
    ensure!(!seen.0.to_string().contains("mallory"), "{}", seen.0);
    ensure_told(&seen, "subject", " 50%é")
}

pub fn add(suite: &mut Suite) {
    suite.add("forwarded::the_documented_programs_read_what_agents_get", async |mesh| read_by_others(mesh).await);
    suite.add("forwarded::single_headers_say_what_the_token_says", async |mesh| single(mesh).await);
    suite.add("forwarded::the_preset_gives_the_headers_of_0_1", async |mesh| preset(mesh).await);
}

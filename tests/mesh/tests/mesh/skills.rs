//! Which skill a message is for: said in metadata, by an extension or in the path, and decided by rules for skills. The same in
//! both bindings and versions, before the real agents.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Echo, Reply, message_0_3, message_0_3_http, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES};
use attache_mesh::port::Reserved;
use attache_mesh::refusal::{self, Form};
use attache_mesh::{place, process, raw, told};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::at_hand::add_agents;
use crate::suite::{Suite, works};

const ADMIN: &str = "agent:read agent:execute agent:admin";
const EXTENSION: &str = "https://example.com/skill/v1";
const CALLER: Duration = Duration::from_secs(240);

/// Where messages say it.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Key,
    Extension,
    Path,
}

/// A message that says it, the form of a refusal, and who has to hear it where.
struct Said {
    call: Call,
    form: Form,
    version: &'static str,
    path: &'static str,
}

impl Place {
    const fn host(self) -> &'static str {
        match self {
            Self::Key => "key.example.com",
            Self::Extension => "extension.example.com",
            Self::Path => "path.example.com",
        }
    }

    fn skill_from(self) -> Value {
        match self {
            Self::Key => json!({"metadata_key": "skillId"}),
            Self::Extension => json!({"extension": EXTENSION}),
            Self::Path => json!({"path": "/skills/{skill}"}),
        }
    }

    /// A message for `skill` in each binding and version, without credentials.
    fn say(self, skill: Option<&str>, streams: bool) -> Vec<Said> {
        let verb = if streams { "stream" } else { "send" };
        let (new, old) = if streams { ("SendStreamingMessage", "message/stream") } else { ("SendMessage", "message/send") };
        let prefix = match (self, skill) {
            (Self::Path, Some(skill)) => format!("{AGENT}/skills/{skill}"),
            _ => AGENT.to_owned(),
        };
        let body = |mut body: Value| {
            let key = if self == Self::Key { "skillId" } else { EXTENSION };
            if let (Self::Key | Self::Extension, Some(skill)) = (self, skill) {
                body["message"]["metadata"] = json!({key: skill, "other": {"skillId": "approve"}});
            }
            body
        };
        let [new_rpc, old_rpc] =
            [(new, message_1_0("s")), (old, message_0_3("s"))].map(|(method, params)| rpc(json!("s"), method, body(params)));
        let [new_route, old_route] = [format!("{prefix}/message:{verb}"), format!("{prefix}/v1/message:{verb}")];
        let [new_path, old_path] = if streams { ["/message:stream", "/v1/message:stream"] } else { ["/message:send", "/v1/message:send"] };
        [
            (Call::post(&prefix, &new_rpc), true, "1.0", "/"),
            (Call::post(&prefix, &old_rpc), true, "0.3", "/"),
            (Call::post(new_route, &body(message_1_0("s"))), false, "1.0", new_path),
            (Call::post(old_route, &body(message_0_3_http("s"))), false, "0.3", old_path),
        ]
        .map(|(call, is_rpc, version, path)| {
            let header = if version == "1.0" { "a2a-extensions" } else { "x-a2a-extensions" };
            let call = call.host(self.host()).version(version);
            let call = if self == Self::Extension { call.header(header, format!("https://other.example/, {EXTENSION}")) } else { call };
            Said { call, form: if is_rpc { Form::Rpc(json!("s")) } else { Form::Status }, version, path }
        })
        .into()
    }
}

fn rules() -> Value {
    json!([
        {"operations": ["execute"], "skills": ["approve"], "require": {"scopes": ["agent:admin"]}},
        {"operations": ["execute"], "skills": ["audit"], "require": {"clients": ["guest"]}},
        {"operations": ["any"], "require": {"any_scope": ["agent:execute"]}},
    ])
}

/// An Envoy with the expense agent behind three more hosts, one for each place.
struct Skilled {
    envoy: Envoy,
    url: String,
    _port: Reserved,
}

impl Skilled {
    async fn standing(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<Skilled> = OnceCell::const_new();
        STANDING.get_or_try_init(async || Self::start(mesh).await).await
    }

    async fn start(mesh: &Mesh) -> Result<Self> {
        let port = Reserved::new()?;
        let url = format!("http://127.0.0.1:{}{AGENT}", port.port());
        let mut file = mesh.inbound_file()?;
        file.listen_on(&port)?;
        let agent = |place: Place| (place.host(), json!({"skill_from": place.skill_from(), "access": rules(), "public_url": url}));
        add_agents(&mut file, &[Place::Key, Place::Extension, Place::Path].map(agent))?;
        Ok(Self { envoy: Envoy::start("skills", &file, Options::default()).await?, url, _port: port })
    }

    /// The answers over HTTP/1.1, and over HTTP/2 with a body that comes in pieces.
    async fn ask(&self, call: &Call) -> Result<[Reply; 2]> {
        Ok([call.send(self.envoy.port()).await?, raw::http2(self.envoy.port(), call, 40, &[]).await?])
    }

    /// `said` is refused for this reason, or reaches the agent as if no skill had been in its path.
    async fn check(&self, said: &Said, token: &str, refused: Option<&str>) -> Result<()> {
        for reply in self.ask(&said.call.clone().bearer(token)).await? {
            let Some(reason) = refused else {
                let echo = heard(&reply).with_context(|| format!("{} {}", reply.status, reply.text()))?;
                ensure!(echo.agent() == said.version && echo.path() == said.path && echo.text() == "s", "{:?}", echo.0);
                ensure!(echo.told("client").len() == 1, "{:?}", echo.0);
                continue;
            };
            refusal::check(&reply, reason, &said.form)?;
            if reason == "insufficient_scope" {
                let challenge = reply.header("www-authenticate").unwrap_or_default();
                ensure!(challenge.contains(", scope=\"agent:execute agent:admin\""), "{challenge}");
            }
        }
        Ok(())
    }
}

/// What the agent saw, also of an event whose data stands in many lines, as the Python agent of 0.3 writes them over HTTP+JSON.
fn heard(reply: &Reply) -> Option<Echo> {
    let text = reply.text().replace("\r\n", "\n");
    let in_one_line = |event: &str| event.lines().filter_map(|line| line.strip_prefix("data:")).collect::<String>();
    let echo = |event: &str| Reply { body: in_one_line(event).into(), ..reply.clone() }.echo();
    reply.echo().or_else(|| text.split("\n\n").find_map(echo))
}

/// A skill, who asks with which scopes, and the reason that refuses it.
type Case = (Option<&'static str>, &'static str, &'static str, Option<&'static str>);

const CASES: &[Case] = &[
    (Some("submit"), "caller", SCOPES, None),
    (Some("approve"), "caller", SCOPES, Some("insufficient_scope")),
    (Some("approve"), "caller", ADMIN, None),
    (Some("audit"), "caller", ADMIN, Some("access_denied")),
    (Some("audit"), "guest", SCOPES, None),
    // Ids are compared as they are.
    (Some("Approve"), "caller", SCOPES, None),
    // It may be for any.
    (None, "caller", SCOPES, Some("insufficient_scope")),
    (None, "caller", ADMIN, Some("access_denied")),
    (None, "guest", ADMIN, None),
];

async fn cases(mesh: &Mesh, place: Place, streams: bool) -> Result<()> {
    let here = Skilled::standing(mesh).await?;
    for (skill, client, scopes, refused) in CASES {
        let token = mesh.authorization.token_of(client, &mesh.audience, scopes).await?;
        for said in place.say(*skill, streams) {
            let what = || format!("{} {} for {skill:?} by {client} with {scopes}", said.call.path, said.version);
            here.check(&said, &token, *refused).await.with_context(what)?;
        }
    }
    works(here.envoy.port(), &mesh.token().await?).await?;
    Ok(())
}

/// What is said in another way than by one text in the right place.
async fn odd_metadata(mesh: &Mesh) -> Result<()> {
    let here = Skilled::standing(mesh).await?;
    let token = mesh.token().await?;
    let at = |host: &str, body: &str| {
        Call::new(Method::POST, AGENT).host(host).header("content-type", "application/json").bearer(&token).body(body.to_owned())
    };
    let with = |metadata: &str, more: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"o","method":"message/send","params":{{"message":{{"kind":"message","messageId":"m","role":"user",
            "parts":[{{"kind":"text","text":"s"}}],"metadata":{metadata}}}{more}}}}}"#
        )
    };
    for (what, metadata, more, reason) in [
        ("a number", r#"{"skillId":1}"#, "", "request_malformed"),
        ("a list", r#"{"skillId":["submit"]}"#, "", "request_malformed"),
        ("null", r#"{"skillId":null}"#, "", "insufficient_scope"),
        ("another key", r#"{"other":"submit"}"#, "", "insufficient_scope"),
        ("inside of another", r#"{"x":{"skillId":"submit"}}"#, "", "insufficient_scope"),
        ("escaped", r#"{"skill\u0049d":"approve"}"#, "", "insufficient_scope"),
        ("an escaped value", r#"{"skillId":"appro\u0076e"}"#, "", "insufficient_scope"),
        ("twice", r#"{"skillId":"submit","skillId":"approve"}"#, "", "request_malformed"),
        ("the request's metadata", "{}", r#","metadata":{"skillId":"submit"}"#, "insufficient_scope"),
        ("a second message", r#"{"skillId":"submit"}"#, r#","request":{"metadata":{"skillId":"approve"}}"#, "request_malformed"),
    ] {
        for reply in here.ask(&at(Place::Key.host(), &with(metadata, more))).await.context(what)? {
            refusal::check(&reply, reason, &Form::Rpc(json!("o"))).context(what)?;
        }
    }
    let said = with(&json!({EXTENSION: "submit"}).to_string(), "");
    let call = at(Place::Extension.host(), &said);
    for (activated, reason) in [
        (None, Some("insufficient_scope")),
        (Some("https://example.com/skill/v2"), Some("insufficient_scope")),
        (Some("https://example.com/skill/v1/"), Some("insufficient_scope")),
        (Some(EXTENSION), None),
    ] {
        let call = activated.map_or_else(|| call.clone(), |uri| call.clone().header("x-a2a-extensions", uri));
        for reply in here.ask(&call).await? {
            match reason {
                Some(reason) => refusal::check(&reply, reason, &Form::Rpc(json!("o"))).with_context(|| format!("{activated:?}"))?,
                None => ensure!(reply.echo().is_some(), "{} {}", reply.status, reply.text()),
            }
        }
    }
    Ok(())
}

async fn odd_paths(mesh: &Mesh) -> Result<()> {
    let here = Skilled::standing(mesh).await?;
    let (token, host) = (mesh.token().await?, Place::Path.host());
    let post = |path: &str| Call::post(format!("{AGENT}{path}"), &message_1_0("s")).host(host).version("1.0").bearer(&token);
    // No skill: `skills` is then the tenant of A2A 1.0, and the message may be for any. (Envoy makes one slash of two.)
    for path in ["/skills/message:send", "/skills//message:send"] {
        for reply in here.ask(&post(path)).await? {
            refusal::check(&reply, "insufficient_scope", &Form::Status).with_context(|| path.to_owned())?;
        }
    }
    for path in [
        "/skills/a%20b/message:send",
        "/skills/a:b/message:send",
        "/Skills/submit/message:send",
        "/skills/submit/skills/approve/message:send",
        "/skills/submit/v1/skills/approve/message:send",
    ] {
        for reply in here.ask(&post(path)).await? {
            refusal::check(&reply, "operation_unknown", &Form::Status).with_context(|| path.to_owned())?;
        }
    }
    // What Envoy makes of a path is what is judged, and what the agent gets.
    for (path, refused) in [("/skills/approve/../submit/message:send", None), ("/skills/submit/../approve/message:send", Some(403))] {
        for reply in here.ask(&post(path)).await? {
            match refused {
                Some(status) => ensure!(reply.status == status, "{path}: {} {}", reply.status, reply.text()),
                None => ensure!(reply.echo().is_some_and(|echo| echo.path() == "/message:send"), "{path}: {}", reply.text()),
            }
        }
    }
    let query = post("/skills/submit/message:send?note=a%2Fb&x=/skills/approve");
    for reply in here.ask(&query).await? {
        let echo = reply.echo().with_context(|| reply.text())?;
        ensure!(echo.path() == "/message:send?note=a%2Fb&x=/skills/approve", "{}", echo.path());
    }
    // What only reads uses no skill.
    for path in ["/skills/approve/tasks/no-such-task", "/tasks/no-such-task"] {
        let call = Call::get(format!("{AGENT}{path}")).host(host).version("1.0").bearer(&token);
        for reply in here.ask(&call).await? {
            ensure!(reply.status == 404 && !reply.text().contains("\"attache\""), "{} {}", reply.status, reply.text());
        }
    }
    Ok(())
}

/// The official client, whose messages have metadata and whose calls activate extensions.
async fn official(mesh: &Mesh, place: Place, binding: &str) -> Result<()> {
    let here = Skilled::standing(mesh).await?;
    let token = mesh.token().await?;
    for (skill, is_refused) in [("submit", false), ("approve", true)] {
        let mut command = Command::new(place::tool("py-1.0/bin/python"));
        command.arg(place::peer("client_with_skill.py")).env("PYTHONDONTWRITEBYTECODE", "1").env("SKILL", skill);
        if place == Place::Extension {
            command.env("EXTENSION", EXTENSION);
        }
        let host = format!("Host: {}", place.host());
        command.args(["--url", &here.url, "--token", &token, "--binding", binding, "--header", &host]);
        let _turn = process::turn_to_run().await;
        let client = process::spawn(&place::unique("client-with-skill"), command)?;
        client.exit(CALLER).await.with_context(|| client.tail())?;
        let line: Value = serde_json::from_str(client.out().trim()).with_context(|| client.tail())?;
        if is_refused {
            ensure!(line["ok"] == false && line["status"] == 403 && line["body"].to_string().contains("insufficient_scope"), "{line}");
        } else {
            let send = &line["results"]["send"];
            ensure!(send["state"] == "completed" && told::in_headers(&send["echo"]["headers"], "agent") == [place.host()], "{line}");
        }
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    for (place, name) in [(Place::Key, "metadata"), (Place::Extension, "an_extension"), (Place::Path, "the_path")] {
        suite.add(format!("skills::rules_decide_by_{name}"), async move |mesh| cases(mesh, place, false).await);
        suite.add(format!("skills::rules_decide_by_{name}_for_streams_too"), async move |mesh| cases(mesh, place, true).await);
    }
    suite.add("skills::what_is_not_one_text_in_its_place_is_no_skill", async |mesh| odd_metadata(mesh).await);
    suite.add("skills::a_path_is_judged_as_the_agent_gets_it", async |mesh| odd_paths(mesh).await);
    for (place, name) in [(Place::Key, "metadata"), (Place::Extension, "an_extension")] {
        for binding in ["jsonrpc", "http_json"] {
            suite.add(format!("skills::the_official_client_says_it_in_{name}_over_{binding}"), async move |mesh| {
                official(mesh, place, binding).await
            });
        }
    }
}

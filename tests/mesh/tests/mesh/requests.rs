//! Versions, operations and bodies that are refused, and the odd ones that are not.

use anyhow::{Result, ensure};
use attache_mesh::http::{Call, message_0_3, message_0_3_http, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_0_3, send_1_0, send_1_0_http};
use attache_mesh::place;
use attache_mesh::refusal::{self, Form};
use http::Method;
use serde_json::{Value, json};

use crate::suite::{Suite, refused, works};

type Case = (&'static str, &'static str, fn() -> Call, fn() -> Form);

fn id(id: &str) -> Form {
    Form::Rpc(json!(id))
}

fn nameless() -> Form {
    Form::Rpc(Value::Null)
}

fn status() -> Form {
    Form::Status
}

fn at(path: &str, body: &Value) -> Call {
    Call::post(format!("{AGENT}{path}"), body)
}

fn bytes(body: impl Into<Vec<u8>>) -> Call {
    at("", &Value::Null).version("1.0").body(body.into())
}

fn with_id(id: &Value) -> Call {
    at("", &rpc(id.clone(), "DropTables", json!({}))).version("1.0")
}

/// Calls with a good token; the reason that refuses them; the form of the answer.
const CASES: &[Case] = &[
    ("header_banana", "version_malformed", || send_0_3("v").version("banana"), || id("v")),
    ("header_one", "version_malformed", || send_0_3("v").version("1"), || id("v")),
    ("header_invalid_utf8", "version_malformed", || send_0_3("v").header("a2a-version", b"\xff"), || id("v")),
    ("query_banana", "version_malformed", || at("?A2A-Version=banana", &rpc(json!("v"), "SendMessage", json!({}))), || id("v")),
    ("two_headers", "version_conflict", || send_1_0("v").version("0.3"), || id("v")),
    ("header_list", "version_conflict", || send_0_3("v").version("1.0, 0.3"), || id("v")),
    (
        "header_and_query",
        "version_conflict",
        || at("?a2a-version=0.3", &rpc(json!("v"), "SendMessage", json!({}))).version("1.0"),
        || id("v"),
    ),
    (
        "query_and_query",
        "version_conflict",
        || at("?a2a-version=0.3&A2A-VERSION=1.0", &rpc(json!("v"), "SendMessage", json!({}))),
        || id("v"),
    ),
    ("http_json_header_and_query", "version_conflict", || at("/message:send?a2a-version=0.3", &message_1_0("v")).version("1.0"), status),
    ("header_9_9", "version_not_supported", || send_0_3("v").version("9.9"), || id("v")),
    ("query_9_9", "version_not_supported", || at("?a2a-version=9.9", &rpc(json!("v"), "SendMessage", json!({}))), || id("v")),
    ("http_json_9_9", "version_not_supported", || at("/message:send", &message_1_0("v")).version("9.9"), status),
    ("header_0_2", "version_not_supported", || send_0_3("v").version("0.2"), || id("v")),
    ("new_method_old_version", "version_mismatch", || at("", &rpc(json!("v"), "SendMessage", message_1_0("v"))), || id("v")),
    ("old_method_new_version", "version_mismatch", || send_0_3("v").version("1.0"), || id("v")),
    ("new_route_old_version", "version_mismatch", || at("/message:send", &message_1_0("v")), status),
    ("old_route_new_version", "version_mismatch", || at("/v1/message:send", &message_0_3_http("v")).version("1.0"), status),
    ("drop_tables", "operation_unknown", || at("", &rpc(json!("v"), "DropTables", json!({}))).version("1.0"), || id("v")),
    ("tasks_send_of_0_1", "operation_unknown", || at("", &rpc(json!("v"), "tasks/send", json!({}))), || id("v")),
    ("method_in_another_case", "operation_unknown", || at("", &rpc(json!("v"), "sendmessage", json!({}))).version("1.0"), || id("v")),
    ("method_with_a_space", "operation_unknown", || at("", &rpc(json!("v"), "SendMessage ", json!({}))).version("1.0"), || id("v")),
    ("number_as_id", "operation_unknown", || with_id(&json!(7)), || Form::Rpc(json!(7))),
    ("negative_number_as_id", "operation_unknown", || with_id(&json!(-7)), || Form::Rpc(json!(-7))),
    ("null_as_id", "operation_unknown", || with_id(&Value::Null), nameless),
    ("text_with_quotes_as_id", "operation_unknown", || with_id(&json!("a\"b\\c\u{e9}")), || id("a\"b\\c\u{e9}")),
    ("route_nothing", "operation_unknown", || Call::get(format!("{AGENT}/nothing")).version("1.0"), status),
    ("route_with_wrong_method", "operation_unknown", || Call::get(format!("{AGENT}/message:send")).version("1.0"), status),
    ("a_method_that_a2a_does_not_use", "method_refused", || Call::new(Method::PUT, format!("{AGENT}/message:send")).version("1.0"), status),
    ("get_with_a_body", "request_malformed", || Call::get(AGENT).version("1.0").body("{\"jsonrpc\":\"2.0\"}"), status),
    ("not_json", "body_malformed", || bytes("hello"), nameless),
    ("cut_json", "body_malformed", || bytes(r#"{"jsonrpc":"2.0","id":"v","method":"SendM"#), nameless),
    ("two_documents", "body_malformed", || bytes(r#"{"jsonrpc":"2.0","id":1,"method":"SendMessage"}{}"#), nameless),
    ("empty_body", "body_malformed", || bytes(""), nameless),
    ("invalid_utf8", "body_malformed", || bytes(b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"SendMessage\"}".to_vec()), nameless),
    ("batch", "request_malformed", || at("", &json!([rpc(json!("v"), "SendMessage", json!({}))])).version("1.0"), nameless),
    ("text", "request_malformed", || bytes("\"SendMessage\""), nameless),
    ("method_is_a_number", "request_malformed", || at("", &json!({"jsonrpc": "2.0", "id": "v", "method": 5})).version("1.0"), || id("v")),
    (
        "params_are_a_list",
        "params_malformed",
        || at("", &json!({"jsonrpc": "2.0", "id": "v", "method": "SendMessage", "params": [1]})).version("1.0"),
        || id("v"),
    ),
    ("no_method", "request_malformed", || at("", &json!({"jsonrpc": "2.0", "id": "v"})).version("1.0"), || id("v")),
    (
        "jsonrpc_1_0",
        "request_malformed",
        || at("", &json!({"jsonrpc": "1.0", "id": "v", "method": "SendMessage"})).version("1.0"),
        || id("v"),
    ),
    ("id_is_an_object", "request_malformed", || at("", &rpc(json!({}), "SendMessage", json!({}))).version("1.0"), nameless),
    (
        "repeated_method",
        "request_malformed",
        || bytes(r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","method":"SendMessage"}"#),
        || Form::Rpc(json!(1)),
    ),
    (
        "repeated_method_before_the_id",
        "request_malformed",
        || bytes(r#"{"jsonrpc":"2.0","method":"GetTask","method":"SendMessage","id":1}"#),
        nameless,
    ),
    (
        "repeated_method_in_disguise",
        "request_malformed",
        || bytes(r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","\u006dethod":"SendMessage"}"#),
        || Form::Rpc(json!(1)),
    ),
    ("other_host", "unmatched", || send_1_0("v").host("elsewhere.example.com"), status),
    (
        "prefix_of_a_segment",
        "unmatched",
        || Call::post("/agents/expenses", &rpc(json!("v"), "SendMessage", json!({}))).version("1.0"),
        status,
    ),
    ("root", "unmatched", || Call::get("/"), status),
    ("odd_host", "unmatched", || send_1_0("v").host("a..b"), status),
];

async fn case(mesh: &Mesh, reason: &str, call: Call, form: Form) -> Result<()> {
    let token = mesh.token().await?;
    refused(&mesh.inbound, &call.bearer(&token), reason, &form, &token).await?;
    Ok(())
}

/// The largest body that the agent takes.
fn body_limit(mesh: &Mesh) -> Result<usize> {
    let plugin = mesh.inbound_file()?.plugin()?;
    Ok(usize::try_from(plugin["agents"][0]["limits"]["max_body_bytes"].as_u64().unwrap_or(1_048_576))?)
}

fn message_of(bytes: usize) -> Vec<u8> {
    let empty = rpc(json!("size"), "SendMessage", message_1_0("")).to_string().len();
    let text = "x".repeat((bytes - empty) / 2);
    let mut body = rpc(json!("size"), "SendMessage", message_1_0(&text)).to_string().into_bytes();
    body.resize(bytes, b' ');
    body
}

/// The default of `max_path_bytes`.
const MAX_PATH: usize = 8192;

pub fn add(suite: &mut Suite) {
    for (name, reason, call, form) in CASES {
        suite.add(format!("requests::{name}_is_{reason}"), async move |mesh| case(mesh, reason, call(), form()).await);
    }
    suite.add("requests::a_path_beyond_the_limit_is_path_too_long", async |mesh| {
        let token = mesh.token().await?;
        let call = |bytes: usize| Call::get(format!("{AGENT}/{}", "a".repeat(bytes - AGENT.len() - 1))).bearer(&token);
        refused(&mesh.inbound, &call(MAX_PATH), "operation_unknown", &status(), &token).await?;
        refused(&mesh.inbound, &call(MAX_PATH + 1), "path_too_long", &status(), &token).await?;
        Ok(())
    });
    suite.add("requests::a_body_at_the_limit_passes_and_one_byte_more_is_body_too_large", async |mesh| {
        let (token, limit) = (mesh.token().await?, body_limit(mesh)?);
        let reply = bytes(message_of(limit)).bearer(&token).send(mesh.inbound.port()).await?;
        ensure!(reply.status == 200 && reply.echo().is_some(), "{} {:.200}", reply.status, reply.text());
        let call = bytes(message_of(limit + 1)).bearer(&token);
        refused(&mesh.inbound, &call, "body_too_large", &nameless(), &token).await?;
        let http = Call::post(format!("{AGENT}/message:send"), &json!({"x": "y".repeat(limit)})).version("1.0");
        refused(&mesh.inbound, &http.bearer(&token), "body_too_large", &status(), &token).await?;
        Ok(())
    });
    suite.add("requests::versions_that_are_said_twice_or_with_a_patch_number_pass", async |mesh| {
        let token = mesh.token().await?;
        let body = rpc(json!("v"), "SendMessage", message_1_0("v"));
        let calls = [
            send_1_0("v").version("1.0"),
            at("?a2a-version=1.0", &body).version("1.0"),
            at("?A2A-VERSION=1.0.0", &body),
            at("", &body).version("1.0.3"),
            at("/", &body).version("1.0"),
            at("?x=1&a2a-version=1.0&y=%ff", &body),
        ];
        for call in calls {
            let call = call.bearer(&token);
            let reply = call.send(mesh.inbound.port()).await?;
            let echo = reply.echo();
            ensure!(reply.status == 200 && echo.is_some(), "{}: {} {}", call.path, reply.status, reply.text());
            let echo = echo.map(|echo| (echo.agent().to_owned(), echo.header("a2a-version"), echo.path().to_owned()));
            let (agent, versions, path) = echo.unwrap_or_default();
            ensure!(agent == "1.0" && versions == ["1.0"], "{agent} {versions:?}");
            ensure!(!path.to_ascii_lowercase().contains("a2a-version"), "the query reached the agent: {path}");
        }
        Ok(())
    });
    suite.add("requests::other_query_parameters_reach_the_agent_unchanged", async |mesh| {
        let token = mesh.token().await?;
        let call = at("?x=%ff&a2a-version=1.0&y=a+b%20c", &rpc(json!("q"), "SendMessage", message_1_0("q")));
        let reply = call.bearer(&token).send(mesh.inbound.port()).await?;
        let path = reply.echo().map(|echo| echo.path().to_owned());
        ensure!(path.as_deref() == Some("/?x=%ff&y=a+b%20c"), "{path:?} {}", reply.text());
        Ok(())
    });
    suite.add("requests::both_versions_answer_over_both_bindings", async |mesh| {
        let token = mesh.token().await?;
        let calls = [
            (send_0_3("v"), "0.3"),
            (send_0_3("v").version("0.3"), "0.3"),
            (send_0_3("v").version(""), "0.3"),
            (at("/v1/message:send", &message_0_3_http("v")), "0.3"),
            (send_1_0("v"), "1.0"),
            (send_1_0_http("v"), "1.0"),
            (at("", &rpc(json!("v"), "message/send", message_0_3("v"))), "0.3"),
        ];
        for (call, version) in calls {
            let call = call.bearer(&token);
            let reply = call.send(mesh.inbound.port()).await?;
            let agent = reply.echo().map(|echo| echo.agent().to_owned());
            ensure!(reply.is_success() && agent.as_deref() == Some(version), "{call:?}: {} {}", reply.status, reply.text());
        }
        Ok(())
    });
    suite.add("requests::a_refused_request_never_reaches_an_agent", async |mesh| {
        let token = mesh.token().await?;
        let body = rpc(json!("m"), "SendMessage", message_1_0("m"));
        let calls = [
            at("?mark=refused", &body).version("1.0"),
            at("?mark=refused", &body).version("1.0").bearer("a.b.c"),
            at("?mark=refused", &rpc(json!("m"), "DropTables", json!({}))).version("1.0").bearer(&token),
            at("?mark=refused", &body).version("0.3").bearer(&token),
            at("?mark=refused", &json!([])).version("1.0").bearer(&token),
            at("/nothing?mark=refused", &body).version("1.0").bearer(&token),
        ];
        for call in calls {
            let reply = call.send(mesh.inbound.port()).await?;
            ensure!(reply.reason().is_some(), "{} {}", reply.status, reply.text());
        }
        let seen = mesh.agent_1_0.saw("mark=refused").await? + mesh.agent_0_3.saw("mark=refused").await?;
        ensure!(seen == 0, "{seen} refused requests reached an agent");
        works(mesh.inbound.port(), &token).await?;
        Ok(())
    });
    suite.add("requests::paths_with_two_meanings_never_pass_unverified", async |mesh| {
        let body = rpc(json!("p"), "SendMessage", message_1_0("p"));
        let cards = "/agents/expense/.well-known/agent-card.json";
        let paths = [
            "/agents/expense/../expense",
            "/agents/%65xpense",
            "/agents//expense",
            "/agents%2fexpense",
            "/agents/expense%2fmessage:send",
            "/agents/expense/%2e%2e/expense/message:send",
            "/agents/expense;x=1/message:send",
            "/agents/expense\\message:send",
            "/Agents/Expense",
            "/agents/expense/./message:send",
            "/agents/expense/.well-known/agent-card.json/../../message:send",
            "/agents/expense/.well-known/agent-card.json%2f..%2f..%2fmessage:send",
            "/agents/expense/message%3Asend",
            "/agents/expense/%00",
        ];
        for path in paths {
            let call = Call::post(format!("{path}?mark=paths"), &body).version("1.0");
            let reply = call.send(mesh.inbound.port()).await?;
            ensure!([400, 401, 404].contains(&reply.status), "{path}: {} {}", reply.status, reply.text());
        }
        // The card is public; nothing else is on the way to it.
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            let call = Call::new(method, format!("{cards}?mark=paths")).version("1.0");
            let reply = call.send(mesh.inbound.port()).await?;
            ensure!([400, 401, 404, 405].contains(&reply.status), "{} {}", reply.status, reply.text());
        }
        let seen = mesh.agent_1_0.saw("mark=paths").await? + mesh.agent_0_3.saw("mark=paths").await?;
        ensure!(seen == 0, "{seen} unverified requests reached an agent");
        Ok(())
    });
    suite.add("requests::invalid_utf8_in_headers_and_path_is_answered", async |mesh| {
        let token = mesh.token().await?;
        let odd = send_1_0("odd").bearer(&token).header("x-odd", b"a\xff\xfe").header("user-agent", b"\xff");
        let reply = odd.send(mesh.inbound.port()).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        let host = send_1_0("odd").bearer(&token).header("host", b"expense\xff.example.com").send(mesh.inbound.port()).await?;
        ensure!([400, 404].contains(&host.status), "{} {}", host.status, host.text());
        let kind = send_1_0("odd").bearer(&token).header("content-type", b"\xff").send(mesh.inbound.port()).await?;
        refusal::check(&kind, "media_type_refused", &Form::Rpc(json!("odd")))?;
        works(mesh.inbound.port(), &token).await?;
        Ok(())
    });
    suite.add("requests::every_reason_is_documented_with_its_status", async |_| {
        let path = place::root().join("docs/refusals.md");
        let text = std::fs::read_to_string(&path)?;
        for row in refusal::ALL {
            let line = text.lines().find(|line| line.contains(&format!("`{}`", row.reason)));
            let fits = line.is_some_and(|line| line.contains(&row.http.to_string()));
            ensure!(fits, "{} and {} are not on one line of {}", row.reason, row.http, path.display());
        }
        Ok(())
    });
}

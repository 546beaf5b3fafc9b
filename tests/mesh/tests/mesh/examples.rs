//! The files of `envoy/`, as somebody takes them: each is valid, and does what its first lines say, for a good call and a bad one. (Others
//! are started by the tests of their subjects: `ratelimit`, `traces`, `notifications`, `getting_started`, `credentials_places`.)

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{Mesh, PARTNER_KEY};
use attache_mesh::refusal::{self, Form};
use attache_mesh::tls::Authority;
use attache_mesh::{place, process, wait};
use serde_json::{Value, json};

use crate::suite::Suite;

/// A call of the agent of these files, which stands at the root of its host.
pub fn send(text: &str) -> Call {
    Call::post("/", &rpc(json!(text), "SendMessage", message_1_0(text))).version("1.0").host("expense.example.com")
}

fn cancel() -> Call {
    Call::post("/", &rpc(json!("cancel"), "CancelTask", json!({"id": "no-such-task"}))).version("1.0").host("expense.example.com")
}

/// A file of `envoy/` for the mesh's agent and authorization server.
pub fn example(mesh: &Mesh, name: &str) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load(name)?;
    file.address("expense", mesh.agent_1_0.port)?;
    file.address("idp", mesh.authorization.port)?;
    file.edit_plugin(|plugin| {
        plugin["issuers"][0]["issuer"] = json!(mesh.authorization.issuer);
        plugin["issuers"][0]["jwks"]["remote"]["uri"] = json!(mesh.authorization.jwks_uri);
    })?;
    Ok(file)
}

/// The agent answered.
pub fn went_on(reply: &Reply) -> Result<()> {
    ensure!(reply.status == 200 && reply.echo().is_some(), "{} {:?} {}", reply.status, reply.headers, reply.text());
    Ok(())
}

/// Folders and files that the examples name, in `folder`.
fn put_in_place(text: &str, folder: &Path) -> Result<String> {
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    Ok([
        ("/etc/envoy/tls", at("tls")),
        ("/etc/envoy/secrets", at("secrets")),
        ("/run/envoy", at("run")),
        ("/etc/ssl/certs/ca-certificates.crt", at("tls/clients-ca.pem")),
        ("path: sds-", at("sds-").replacen('/', "path: /", 1)),
        ("filename: attache.wasm", format!("filename: {}", place::module(false).display())),
        ("\"DIGEST\"", format!("\"{}\"", "0".repeat(64))),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to)))
}

/// `envoy --mode validate` takes each, as the docs tell everybody to try.
async fn each_is_valid(_: &Mesh) -> Result<()> {
    let folder = place::logs().join("valid");
    for part in ["tls", "secrets", "run"] {
        std::fs::create_dir_all(folder.join(part))?;
    }
    let authority = Authority::new("ca")?;
    for name in ["server", "envoy"] {
        authority.issue(name, &[], &["localhost"])?.put(&folder.join("tls"), name)?;
    }
    for name in ["clients-ca", "internal-ca", "supplier-ca"] {
        authority.put(&folder.join("tls").join(format!("{name}.pem")))?;
    }
    std::fs::write(folder.join("secrets/partner-key"), "key")?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place::root().join("envoy"))? {
        let path = entry?.path();
        let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let text = std::fs::read_to_string(&path)?;
            std::fs::write(folder.join(&name), put_in_place(&text, &folder)?)?;
            if text.contains("\nstatic_resources:") {
                files.push(name);
            }
        }
    }
    ensure!(files.len() >= 15, "{files:?}");
    for name in files {
        let _turn = process::turn_to_run().await;
        let mut command = Command::new(place::tool("bin/envoy"));
        command.args(["--mode", "validate", "-c"]).arg(folder.join(&name)).args(["--use-dynamic-base-id", "--log-level", "warning"]);
        let validating = process::spawn(&format!("valid-{name}"), command)?;
        let status = validating.exit(wait::PATIENCE).await?;
        let said = validating.log() + &validating.out();
        ensure!(status.success() && said.contains("OK"), "{name}: {status} {said}");
        ensure!(!said.contains("eprecated"), "{name}: {said}");
    }
    Ok(())
}

/// The table in `envoy/README.md` has each file, and no other.
async fn each_is_in_the_table(_: &Mesh) -> Result<()> {
    let folder = place::root().join("envoy");
    let table = std::fs::read_to_string(folder.join("README.md"))?;
    let listed: Vec<&str> =
        table.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| link.ends_with(".yaml")).collect();
    for entry in std::fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            let rows = listed.iter().filter(|link| **link == name).count();
            ensure!(rows > 0, "envoy/README.md does not have {name}");
            let first = std::fs::read_to_string(folder.join(&name))?;
            ensure!(first.starts_with("# "), "{name} does not begin with what it is");
        }
    }
    Ok(())
}

async fn sidecar(mesh: &Mesh) -> Result<()> {
    let mut file = example(mesh, "sidecar.yaml")?;
    file.cluster("partner", mesh.partner.port)?;
    let envoy = Envoy::start("sidecar", &file, Options::default().env("PARTNER_KEY", PARTNER_KEY)).await?;
    let (inbound, outbound) = (envoy.port_of("inbound").await?, envoy.port_of("outbound").await?);
    went_on(&send("in").bearer(&mesh.token().await?).send(inbound).await?)?;
    refusal::check(&send("in").send(inbound).await?, "credentials_missing", &Form::Rpc(json!("in")))?;
    let out = Call::post("/", &rpc(json!("out"), "SendMessage", message_1_0("out"))).host("partner.example.com");
    let reply = out.send(outbound).await?;
    went_on(&reply)?;
    ensure!(reply.echo().is_some_and(|echo| echo.header("x-api-key") == [PARTNER_KEY]), "{}", reply.text());
    // Neither side does the other's work.
    refusal::check(&out.send(inbound).await?, "unmatched", &Form::Status)?;
    refusal::check(&send("x").bearer(&mesh.token().await?).send(outbound).await?, "unmatched", &Form::Status)
}

async fn filter_state(mesh: &Mesh) -> Result<()> {
    let mut file = example(mesh, "filter-state.yaml")?;
    let filters = file.http_manager()?["http_filters"].as_array_mut().context("no filters")?;
    let limiter = filters.iter_mut().find(|filter| filter["name"] == "envoy.filters.http.local_ratelimit").context("no limiter")?;
    limiter["typed_config"]["descriptors"][0]["token_bucket"] = json!({"max_tokens": 2, "tokens_per_fill": 2, "fill_interval": "3600s"});
    // A way around the filter, as somebody may open one without a thought.
    let routes = file.http_manager()?["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().context("no routes")?;
    routes.insert(
        0,
        json!({"match": {"prefix": "/around"}, "route": {"cluster": "expense", "prefix_rewrite": "/"},
        "typed_per_filter_config": {"attache": {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true}}}),
    );
    let envoy = Envoy::start("filter-state", &file, Options::default()).await?;
    let (port, token) = (envoy.port(), mesh.token().await?);
    for _ in 0..2 {
        went_on(&send("counted").bearer(&token).send(port).await?)?;
    }
    let reply = send("counted").bearer(&token).send(port).await?;
    ensure!(reply.status == 429 && reply.json()["error"]["status"] == "RESOURCE_EXHAUSTED", "{} {}", reply.status, reply.text());
    ensure!(reply.header("retry-after") == Some("60"), "{:?}", reply.headers);
    // What Attaché refuses is its own to answer, and other operations are not counted.
    refusal::check(&send("x").send(port).await?, "credentials_missing", &Form::Rpc(json!("x")))?;
    let refused = |reply: &Reply| reply.status == 403 && reply.text() == "RBAC: access denied";
    let reply = cancel().bearer(&token).send(port).await?;
    ensure!(refused(&reply), "from outside: {} {}", reply.status, reply.text());
    let around = Call::post("/around?mark=around-the-filter", &rpc(json!(1), "SendMessage", message_1_0("around"))).version("1.0");
    let reply = around.bearer(&token).send(port).await?;
    ensure!(refused(&reply), "around: {} {}", reply.status, reply.text());
    ensure!(mesh.agent_1_0.saw("mark=around-the-filter").await? == 0, "it reached the agent");
    // From inside.
    file.replace("10.0.0.0", "127.0.0.0")?;
    let envoy = Envoy::start("filter-state-inside", &file, Options::default()).await?;
    let reply = cancel().bearer(&token).send(envoy.port()).await?;
    ensure!(
        reply.status == 200 && reply.json()["error"]["code"] == -32001,
        "the agent has no such task: {} {}",
        reply.status,
        reply.text()
    );
    Ok(())
}

async fn access_log(mesh: &Mesh) -> Result<()> {
    let envoy = Envoy::start("access-log", &example(mesh, "access-log.yaml")?, Options::default().own()).await?;
    let token = mesh.token().await?;
    went_on(&send("good").bearer(&token).send(envoy.port()).await?)?;
    send("bad").send(envoy.port()).await?;
    let get = Call::get("/tasks/none?key=secret-in-query").version("1.0").host("expense.example.com").bearer(&token);
    get.send(envoy.port()).await?;
    let lines: Vec<Value> = wait::until("three lines in the access log", wait::PATIENCE, async || {
        let out = envoy.process().out();
        let lines: Vec<Value> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok((lines.len() >= 3).then_some(lines))
    })
    .await?;
    let seen = || json!(lines).to_string();
    let [good, bad, task] = lines.as_slice() else { return Err(anyhow!("{}", seen())) };
    for line in &lines {
        ensure!(line["authority"] == "expense.example.com" && line["agent"] == "expense" && line["version"] == "1.0", "{}", seen());
        let id = line["request_id"].as_str().context("no request_id")?;
        envoy.logged(&["attache: audit ", id]).await?;
    }
    ensure!(good["decision"] == "allow" && good["operation"] == "SendMessage" && good["status"] == 200, "{}", seen());
    ensure!(good["reason"].is_null() && good["caller"].as_str().is_some_and(|caller| caller.contains("client=\"caller\"")), "{}", seen());
    ensure!(
        bad["decision"] == "deny" && bad["reason"] == "credentials_missing" && bad["status"] == 401 && bad["caller"].is_null(),
        "{}",
        seen()
    );
    ensure!(task["operation"] == "GetTask" && task["path"] == "/tasks/none" && !seen().contains("secret-in-query"), "{}", seen());
    Ok(())
}

/// What Envoy logs when the module makes a call that it may not make.
const RESTRICTED: &str = "restricted proxy-wasm capability";

async fn restricted(mesh: &Mesh) -> Result<()> {
    let mut file = example(mesh, "restricted.yaml")?;
    file.edit_plugin(|plugin| {
        plugin["audit"] = json!({"filter_state": true, "auth_required": true});
        plugin["agents"][0]["access"] =
            json!([{"operations": ["CancelTask"], "require": {"clients": ["nobody"], "issuers": ["corp"]}}, {"operations": ["any"]}]);
        plugin["agents"][0]["tasks"] = json!({"owned": {"keys": [{"id": "k1", "secret": "own"}]}});
        plugin["secrets"] = json!({"own": {"env": "OWN"}});
    })?;
    file.wasm()?["vm_config"]["environment_variables"] = json!({"host_env_keys": ["OWN"]});
    let envoy = Envoy::start("restricted", &file, Options::default().env("OWN", "canary-of-owned-tasks-0123456789abcdef0123")).await?;
    let (port, token) = (envoy.port(), mesh.token().await?);
    went_on(&send("good").bearer(&token).send(port).await?)?;
    refusal::check(&send("bad").send(port).await?, "credentials_missing", &Form::Rpc(json!("bad")))?;
    refusal::check(&cancel().bearer(&token).send(port).await?, "access_denied", &Form::Rpc(json!("cancel")))?;
    let http = Call::post("/message:send", &message_1_0("http")).version("1.0").host("expense.example.com").bearer(&token);
    went_on(&http.send(port).await?)?;
    let card = Call::get("/.well-known/agent-card.json").version("1.0").host("expense.example.com").send(port).await?;
    ensure!(card.is_success() && card.text().contains("https://expense.example.com"), "{} {}", card.status, card.text());
    envoy.stat_reaches("attache_decisions", 5).await?;
    ensure!(!envoy.log().contains(RESTRICTED), "{}", envoy.tail());
    ensure!(envoy.stat("vm_reload").await? == 0, "the VM was replaced");

    // One less: the filter is not asked, which is what `attache check` is there to say.
    let mut less = example(mesh, "restricted.yaml")?;
    let list = &mut less.wasm()?["vm_config"]["capability_restriction_config"]["allowed_capabilities"];
    list.as_object_mut().context("no list")?.remove("proxy_on_request_headers").context("it is not in the list")?;
    let path = place::logs().join("restricted-less.yaml");
    std::fs::write(&path, less.value().to_string())?;
    let (said, status) = attache_cli::command::answer(&["check", "--json", &path.to_string_lossy()]).map_err(|error| anyhow!(error))?;
    ensure!(status == 1 && said.to_string().contains("lacks proxy_on_request_headers: requests pass unchecked"), "{status}: {said}");
    let envoy = Envoy::start("restricted-less", &less, Options::default()).await?;
    went_on(&send("unchecked").send(envoy.port()).await?).context("docs say that requests pass unchecked then")?;

    // And one less of what the filter calls: nothing passes that should not.
    let mut less = example(mesh, "restricted.yaml")?;
    let list = &mut less.wasm()?["vm_config"]["capability_restriction_config"]["allowed_capabilities"];
    list.as_object_mut().context("no list")?.remove("proxy_get_header_map_pairs").context("it is not in the list")?;
    let envoy = Envoy::start("restricted-deaf", &less, Options::default()).await?;
    let reply = send("deaf").bearer(&token).send(envoy.port()).await?;
    ensure!(reply.status >= 400 && reply.echo().is_none(), "{} {}", reply.status, reply.text());
    envoy.logged(&[RESTRICTED, "proxy_get_header_map_pairs"]).await?;
    Ok(())
}

/// A fault under the restrictions and the backoff of the file: 503, then a new filter.
async fn a_fault_under_restrictions(mesh: &Mesh) -> Result<()> {
    let mut file = example(mesh, "restricted.yaml")?;
    ensure!(file.wasm()?["failure_policy"] == "FAIL_RELOAD", "it must say FAIL_RELOAD");
    file.module(&place::module(true))?;
    let envoy = Envoy::start("restricted-trap", &file, Options::default()).await?;
    let token = mesh.token().await?;
    went_on(&send("before").bearer(&token).send(envoy.port()).await?)?;
    for _ in 0..2 {
        let reply = send("trap").bearer(&token).header("x-attache-test-trap", "1").send(envoy.port()).await?;
        ensure!(reply.status == 503 && reply.reason().is_none(), "{} {}", reply.status, reply.text());
        wait::until("service after a fault", wait::PATIENCE, async || {
            let bad = send("bad").send(envoy.port()).await?;
            ensure!([401, 503].contains(&bad.status), "{} {}", bad.status, bad.text());
            Ok((send("back").bearer(&token).send(envoy.port()).await?.status == 200).then_some(()))
        })
        .await?;
    }
    ensure!(envoy.stat("vm_reload_success").await? >= 2, "no reload");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("examples::each_is_valid", each_is_valid);
    suite.add("examples::each_is_in_the_table", each_is_in_the_table);
    suite.add("examples::a_sidecar_guards_both_directions", sidecar);
    suite.add("examples::other_filters_decide_by_the_filter_state", filter_state);
    suite.add("examples::the_access_log_says_where_what_and_why", access_log);
    suite.add("examples::restricted_to_what_it_calls_the_filter_works", restricted);
    suite.add("examples::after_a_fault_a_restricted_filter_comes_back", a_fault_under_restrictions);
}

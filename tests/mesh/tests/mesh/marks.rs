//! Lists of owned tasks without a context: messages carry their owner's mark to the agent, which is the official Python SDK's, and
//! each caller is shown what is marked as its own.

use anyhow::{Context, Result, ensure};
use attache_mesh::http::{Call, Reply, message_0_3, message_0_3_http, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::peer::{self, Agent, Sdk};
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::ownership::{EVERYWHERE, Place, task_of};
use crate::suite::Suite;

/// Where marks stand.
const KEY: &str = "https://example.com/ext/owner";

/// An agent of our own, for a list shows what every test has made, and Envoys before it.
struct House {
    agent: Agent,
    place: Place,
}

impl House {
    async fn start(mesh: &Mesh, name: &str) -> Result<Self> {
        let agent = peer::agent_1_0(None).await?;
        let place = before(mesh, name, agent.port, &["new", "old"]).await?;
        Ok(Self { agent, place })
    }

    /// All that the agent has, as it gives it to whoever asks it itself.
    async fn kept(&self) -> Result<Value> {
        let reply = Call::get("/tasks?pageSize=100").version("1.0").send(self.agent.port).await?;
        ensure!(reply.is_success(), "{} {}", reply.status, reply.text());
        Ok(reply.json())
    }
}

/// An Envoy before the agent at `port`, which keeps marks.
async fn before(mesh: &Mesh, name: &str, port: u16, keys: &[&str]) -> Result<Place> {
    Place::start(mesh, name, keys, |file| {
        file.cluster("expense_v1_0", port)?;
        file.edit_plugin(|plugin| plugin["agents"][0]["tasks"]["owned"]["mark"] = json!({"metadata_key": KEY}))
    })
    .await
}

/// ListTasks of 1.0 with these parameters.
fn list(is_rpc: bool, params: &[(&str, Value)]) -> Call {
    if is_rpc {
        let params: serde_json::Map<String, Value> = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        return Call::post(AGENT, &rpc(json!("o"), "ListTasks", Value::Object(params))).version("1.0");
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let query: Vec<_> = params.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    Call::get(format!("{AGENT}/tasks{query}")).version("1.0")
}

fn form(is_rpc: bool) -> Form {
    if is_rpc { Form::Rpc(json!("o")) } else { Form::Status }
}

/// The list in a reply, which has nothing of marks.
fn listed(reply: &Reply) -> Result<Value> {
    let body = reply.json();
    let list = body.get("result").cloned().unwrap_or(body);
    ensure!(reply.is_success() && list["tasks"].is_array(), "{} {}", reply.status, reply.text());
    ensure!(!reply.text().contains(KEY), "a mark: {}", reply.text());
    Ok(list)
}

fn ids(list: &Value) -> Vec<String> {
    list["tasks"].as_array().into_iter().flatten().map(|task| task["id"].as_str().unwrap_or_default().to_owned()).collect()
}

/// A task of `who`, begun over JSON-RPC or HTTP+JSON.
async fn begun(place: &Place, is_rpc: bool, who: &str) -> Result<String> {
    let reply = place.send(&EVERYWHERE[usize::from(!is_rpc)].message(&format!("of {who}"), &json!({"metadata": {"by": who}})), who).await?;
    ensure!(reply.is_success() && !reply.text().contains(KEY), "{} {}", reply.status, reply.text());
    Ok(task_of(&reply)?.0)
}

/// Every page of a list of `who`, two tasks each: the ids, and the page tokens.
async fn pages(place: &Place, is_rpc: bool, who: &str) -> Result<(Vec<String>, Vec<String>)> {
    let (mut all, mut tokens): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    loop {
        let mut params = vec![("pageSize", json!(2))];
        params.extend(tokens.last().map(|token| ("pageToken", json!(token))));
        let list = listed(&place.send(&list(is_rpc, &params), who).await?)?;
        let shown = ids(&list);
        ensure!(list["totalSize"] == json!(shown.len()) && list["pageSize"] == json!(2) && shown.len() <= 2, "{list}");
        all.extend(shown);
        match list["nextPageToken"].as_str() {
            Some("") => return Ok((all, tokens)),
            Some(token) => tokens.push(token.to_owned()),
            None => anyhow::bail!("no nextPageToken in {list}"),
        }
        ensure!(tokens.len() < 20, "the list has no end: {tokens:?}");
    }
}

/// Two people with one agent: each is shown its own tasks, page by page, and nobody goes on with the other's pages.
async fn two_callers(mesh: &Mesh, is_rpc: bool) -> Result<()> {
    let house = House::start(mesh, "marked").await?;
    let place = &house.place;
    let (mut of_ann, mut of_bob) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..3 {
        of_ann.insert(begun(place, is_rpc, "ann").await?);
        // One in the other binding: a mark is the same in all.
        of_bob.insert(begun(place, is_rpc == (round == 0), "bob").await?);
    }
    // The SDK's server keeps the marks, and its page tokens name tasks.
    let kept = house.kept().await?;
    let marks: BTreeSet<_> =
        kept["tasks"].as_array().into_iter().flatten().map(|task| task["history"][0]["metadata"][KEY].to_string()).collect();
    ensure!(kept["totalSize"] == 6 && marks.len() == 2 && marks.iter().all(|mark| mark.starts_with("\"new.")), "{marks:?} in {kept}");
    let own = Call::get("/tasks?pageSize=2").version("1.0").send(house.agent.port).await?.json();
    let own_token = own["nextPageToken"].as_str().context("the agent has no pages")?.to_owned();
    let mut tokens = Vec::new();
    for (who, expected) in [("ann", &of_ann), ("bob", &of_bob)] {
        let (all, given) = pages(place, is_rpc, who).await?;
        ensure!(all.len() == 3 && all.iter().collect::<BTreeSet<_>>() == expected.iter().collect(), "{who}: {all:?}, not {expected:?}");
        ensure!(given.len() == 2 && !given.contains(&own_token), "{given:?}");
        tokens.push(given);
    }
    for foreign in [&tokens[1][0], &own_token, &format!("{}x", tokens[0][0]), &tokens[0][0].replace("new.", "old.")] {
        for more in [&[][..], &[("pageSize", json!(2))]] {
            let params = [&[("pageToken", json!(foreign))], more].concat();
            refusal::check(&place.send(&list(is_rpc, &params), "ann").await?, "page_token_refused", &form(is_rpc))?;
        }
    }
    // What is listed is there, for whom it was listed.
    let (id, over) = (of_ann.first().context("no task")?, EVERYWHERE[usize::from(!is_rpc)]);
    ensure!(task_of(&place.send(&over.get(id), "ann").await?)?.0 == *id);
    refusal::check(&place.send(&over.get(id), "bob").await?, "task_not_found", &form(is_rpc))?;
    // As much history as is asked for, though the agent gives all of it. The agent filters as ever.
    for (params, most) in [(vec![], None), (vec![("historyLength", json!(0))], Some(0)), (vec![("historyLength", json!(1))], Some(1))] {
        let list = listed(&place.send(&list(is_rpc, &params), "ann").await?)?;
        ensure!(list["totalSize"] == 3, "{list}");
        for task in list["tasks"].as_array().into_iter().flatten() {
            let length = task["history"].as_array().map_or(0, Vec::len);
            ensure!(most.map_or(length > 0, |most| length == most), "{most:?}: {task}");
            // What the caller wrote itself stays.
            ensure!(most == Some(0) || task["history"][0]["metadata"] == json!({"by": "ann"}), "{task}");
        }
    }
    let none = listed(&place.send(&list(is_rpc, &[("status", json!("TASK_STATE_REJECTED"))]), "ann").await?)?;
    ensure!(none["totalSize"] == 0 && none["tasks"] == json!([]), "{none}");
    let odd = place.send(&list(is_rpc, &[("historyLength", json!(-1))]), "ann").await?;
    refusal::check(&odd, "limit_exceeded", &form(is_rpc))
}

pub fn add(suite: &mut Suite) {
    for (is_rpc, binding) in [(true, "jsonrpc"), (false, "http_json")] {
        suite.add(format!("marks::each_caller_lists_its_own_over_{binding}"), async move |mesh| two_callers(mesh, is_rpc).await);
    }
    suite.add("marks::the_sdks_client_lists_its_own", async |mesh| {
        let house = House::start(mesh, "marked-sdk").await?;
        let url = format!("http://127.0.0.1:{}{AGENT}", house.place.envoy.port());
        for (who, binding) in [("ann", "jsonrpc"), ("bob", "http_json"), ("ann", "http_json"), ("bob", "jsonrpc")] {
            let token = house.place.token(who);
            let result = Sdk::Python1_0.call(&url, Some(&token), "send,stream,pages", binding).await?;
            ensure!(result["ok"] == true && !result.to_string().contains(KEY), "{result}");
            let listed: BTreeSet<_> = result["results"]["pages"]["tasks"].as_array().into_iter().flatten().map(Value::to_string).collect();
            for op in ["send", "stream"] {
                ensure!(listed.contains(&result["results"][op]["task"].to_string()), "{op}: {result}");
            }
        }
        for (who, binding) in [("ann", "jsonrpc"), ("bob", "http_json")] {
            let result = Sdk::Python1_0.call(&url, Some(&house.place.token(who)), "pages", binding).await?;
            let tasks = &result["results"]["pages"];
            ensure!(tasks["tasks"].as_array().is_some_and(|tasks| tasks.len() == 4), "{result}");
            // Eight tasks, three on a page, and what is shown of each page.
            ensure!(tasks["totals"].as_array().is_some_and(|pages| pages.len() == 3), "{result}");
        }
        Ok(())
    });
    suite.add("marks::nobody_writes_one_and_nobody_sees_one", async |mesh| {
        let house = House::start(mesh, "marked-forged").await?;
        let place = &house.place;
        for over in EVERYWHERE {
            for value in [json!("new.AAAAAAAAAAAAAAAAAAAAAA"), json!(null), json!({"a": 1})] {
                let call = over.message("forged", &json!({"metadata": {"a": 1, KEY: value}}));
                let is_rpc = call.path == AGENT;
                refusal::check(&place.send(&call, "ann").await?, "request_malformed", &form(is_rpc))
                    .with_context(|| format!("{call:?}"))?;
            }
            let call = over.message("odd", &json!({"metadata": "odd"}));
            refusal::check(&place.send(&call, "ann").await?, "request_malformed", &form(call.path == AGENT))?;
        }
        ensure!(house.kept().await?["totalSize"] == 0, "a message reached the agent");
        // In streams, and in the answers of an agent of 0.3.
        let stream = Call::post(AGENT, &rpc(json!("o"), "SendStreamingMessage", message_1_0("stream"))).version("1.0");
        let http = Call::post(format!("{AGENT}/message:stream"), &message_1_0("stream")).version("1.0");
        let old = Call::post(AGENT, &rpc(json!("o"), "message/send", message_0_3("old"))).version("0.3");
        let old_http = Call::post(format!("{AGENT}/v1/message:send"), &message_0_3_http("old")).version("0.3");
        for (call, name) in [(&stream, "messageId"), (&http, "messageId"), (&old, "history"), (&old_http, "history")] {
            let reply = place.send(call, "ann").await?;
            ensure!(reply.is_success() && reply.text().contains(name) && !reply.text().contains(KEY), "{} {}", reply.status, reply.text());
        }
        let kept = house.kept().await?;
        ensure!(kept["totalSize"] == 2 && kept.to_string().matches(KEY).count() >= 2, "{kept}");
        // In the smallest parts, both ways.
        let call = stream.clone().bearer(&place.token("ann"));
        let reply = raw::http2(place.envoy.port(), &call, 1, &[("x-checksum", "1")]).await?;
        ensure!(
            reply.is_success() && reply.text().contains("messageId") && !reply.text().contains(KEY),
            "{} {}",
            reply.status,
            reply.text()
        );
        let reply = raw::http2(place.envoy.port(), &list(true, &[]).bearer(&place.token("ann")), 1, &[]).await?;
        ensure!(listed(&reply)?["totalSize"] == 3, "{}", reply.text());
        Ok(())
    });
    suite.add("marks::keys_rotate", async |mesh| {
        let house = House::start(mesh, "marked-during").await?;
        let port = house.agent.port;
        let old = before(mesh, "marked-old", port, &["old"]).await?;
        let new = before(mesh, "marked-new", port, &["new"]).await?;
        let first = begun(&old, true, "ann").await?;
        let second = begun(&house.place, false, "ann").await?;
        ensure!(first.contains("~old.") && second.contains("~new."), "{first} {second}");
        for (place, count) in [(&old, 1), (&house.place, 2), (&new, 1)] {
            let list = listed(&place.send(&list(true, &[]), "ann").await?)?;
            ensure!(list["totalSize"] == count, "{list}");
            // Each is listed with a tag of the key that signs, and is there by it.
            for id in ids(&list) {
                ensure!(task_of(&place.send(&EVERYWHERE[0].get(&id), "ann").await?)?.0 == id);
            }
            let none = listed(&place.send(&crate::marks::list(false, &[]), "bob").await?)?;
            ensure!(none["totalSize"] == 0, "{none}");
        }
        Ok(())
    });
    suite.add("marks::a_mark_is_of_its_tenant", async |mesh| {
        let house = House::start(mesh, "marked-tenants").await?;
        let place = &house.place;
        let token = place.token("ann");
        let send = |tenant: &str, text: &str| {
            // The tenant comes behind the message.
            let message = message_1_0(text)["message"].to_string();
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":"o","method":"SendMessage","params":{{"message":{message},"tenant":"{tenant}"}}}}"#);
            Call::post(AGENT, &Value::Null).body(body).version("1.0").bearer(&token)
        };
        for (call, size) in [(send("acme", "one"), 1000), (send("acme", "two"), 7), (send("", "three"), 7)] {
            let reply = raw::http2(place.envoy.port(), &call, size, &[]).await?;
            ensure!(task_of(&reply).is_ok(), "{} {}", reply.status, reply.text());
        }
        for (tenant, count) in [("acme", 2), ("bolt", 0), ("", 1)] {
            let route = if tenant.is_empty() { String::new() } else { format!("/{tenant}") };
            for call in [list(true, &[("tenant", json!(tenant))]), Call::get(format!("{AGENT}{route}/tasks")).version("1.0")] {
                let list = listed(&place.send(&call, "ann").await?)?;
                ensure!(list["totalSize"] == count, "{tenant:?}: {list}");
            }
        }
        // Of a long message it has to be known before, if it does not come in one go.
        let mut count = 2;
        for (tenant, passes) in [("acme", false), ("", true)] {
            let reply = raw::http2(place.envoy.port(), &send(tenant, &"long ".repeat(40_000)), 16_000, &[]).await;
            let is_there = reply.as_ref().is_ok_and(|reply| task_of(reply).is_ok());
            let reason = reply.as_ref().ok().and_then(Reply::reason);
            ensure!(is_there || !passes && (reply.is_err() || reason.as_deref() == Some("request_malformed")), "{tenant:?}: {reply:?}");
            count += usize::from(is_there && !passes);
        }
        let list = listed(&place.send(&list(true, &[("tenant", json!("acme"))]), "ann").await?)?;
        ensure!(list["totalSize"] == json!(count), "{count}: {list}");
        Ok(())
    });
    suite.add("marks::what_cannot_be_trusted_shows_nothing", async |mesh| {
        let stand_in = StandIn::start(Answer::new("200 OK", "application/json", "{}")).await?;
        let place = before(mesh, "marked-stand-in", stand_in.port, &["new"]).await?;
        let said = |role: &str| json!({"tasks": [{"id": "foreign", "history": [{"role": role, "metadata": {KEY: "new.AAAAAAAAAAAAAAAAAAAAAA"}}]}], "totalSize": 9});
        for body in [said("ROLE_USER"), said("ROLE_AGENT"), json!({"tasks": [{"id": "foreign"}], "totalSize": 9}), json!({"items": [{"id": "foreign"}]})] {
            stand_in.answer(Answer::new("200 OK", "application/json", body.to_string()));
            let reply = place.send(&list(false, &[]), "ann").await?;
            ensure!(listed(&reply)?["totalSize"] == 0 && !reply.text().contains("foreign"), "{}", reply.text());
        }
        let long = json!({"tasks": [{"id": "foreign", "text": "x".repeat(4 * 1024 * 1024)}]});
        for body in [json!([{"id": "foreign"}]), json!({"tasks": ["foreign"]}), json!({"tasks": {"id": "foreign"}}), long] {
            stand_in.answer(Answer::new("200 OK", "application/json", body.to_string()));
            let reply = place.send(&list(false, &[]), "ann").await?;
            refusal::check(&reply, "answer_unusable", &Form::Status)?;
            ensure!(!reply.text().contains("foreign"), "{}", reply.text());
        }
        Ok(())
    });
    suite.add("marks::without_holding_headers_it_is_the_same", async |mesh| {
        let agent = peer::agent_1_0(None).await?;
        let place = Place::start(mesh, "marked-not-held", &["new"], |file| {
            file.cluster("expense_v1_0", agent.port)?;
            file.wasm()?.as_object_mut().map(|config| config.remove("allow_on_headers_stop_iteration"));
            file.edit_plugin(|plugin| {
                plugin["hold_headers"] = json!(false);
                plugin["agents"][0]["tasks"]["owned"]["mark"] = json!({"metadata_key": KEY});
            })
        })
        .await?;
        for is_rpc in [true, false] {
            let id = begun(&place, is_rpc, "ann").await?;
            begun(&place, is_rpc, "bob").await?;
            let list = listed(&place.send(&list(is_rpc, &[]), "ann").await?)?;
            ensure!(ids(&list).contains(&id) && list["totalSize"] == if is_rpc { 1 } else { 2 }, "{list}");
        }
        Ok(())
    });
}

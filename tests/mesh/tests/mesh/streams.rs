//! Streams that never end: events come as the agent sends them, for as long as the caller listens, and no longer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::event_stream::EventStream;
use attache_mesh::http::{Call, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::wait;
use serde_json::{Value, json};

use crate::suite::{Suite, works};

/// Envoy's own limit for a request on a route that sets none is 15 seconds.
const LONGER: Duration = Duration::from_secs(17);
const EVENTS: u64 = 30;

/// The subscription to `task` in both versions, over both bindings.
fn subscriptions(task: &str) -> [Call; 4] {
    let over_rpc = |method: &str| Call::post(AGENT, &rpc(json!("s"), method, json!({"id": task})));
    [
        over_rpc("SubscribeToTask").version("1.0"),
        over_rpc("tasks/resubscribe").version("0.3"),
        Call::new(http::Method::POST, format!("{AGENT}/tasks/{task}:subscribe")).version("1.0"),
        Call::get(format!("{AGENT}/v1/tasks/{task}:subscribe")).version("0.3"),
    ]
    .map(|call| call.header("accept", "text/event-stream"))
}

/// An Envoy in front of an agent that sends what the test tells it.
async fn told(mesh: &Mesh, name: &str) -> Result<(StandIn, Envoy, [Call; 4])> {
    let agent = StandIn::start(Answer::events()).await?;
    let mut file = mesh.inbound_file()?;
    file.cluster("expense_v1_0", agent.port)?;
    file.cluster("expense_v0_3", agent.port)?;
    let envoy = Envoy::start(name, &file, Options::default()).await?;
    let token = mesh.token().await?;
    Ok((agent, envoy, subscriptions("t").map(|call| call.bearer(&token))))
}

/// An event that no parser of JSON-RPC or A2A has to understand.
fn event(number: u64) -> Vec<u8> {
    format!("id: {number}\ndata: {{\"number\": {number}}}\n\n").into_bytes()
}

/// Each event is sent only after the one before has been read: none can wait for others in between.
async fn one_by_one(agent: &StandIn, envoy: &Envoy, call: &Call, http2: bool) -> Result<()> {
    let mut events = EventStream::open(envoy.port(), call, http2).await?;
    for number in 0..EVENTS {
        agent.more(event(number));
        let seen = events.next().await?.context("the stream ended")?;
        ensure!(seen["number"] == number, "instead of {number} came {seen}");
    }
    // Nor can the halves of one.
    let (first, second) = (event(EVENTS), event(EVENTS + 1));
    let (start, rest) = second.split_at(9);
    agent.more([first.as_slice(), start].concat());
    ensure!(events.next().await?.context("the stream ended")?["number"] == EVENTS, "half an event held a whole one back");
    agent.more(rest);
    ensure!(events.next().await?.context("the stream ended")?["number"] == EVENTS + 1, "an event in two parts is lost");
    ensure!(agent.endless() == 1, "{} streams", agent.endless());
    drop(events);
    gone(agent, envoy).await
}

/// Neither the agent nor Envoy has the request any more.
async fn gone(agent: &StandIn, envoy: &Envoy) -> Result<()> {
    let limit = Duration::from_secs(10);
    wait::until("the agent's side of a stream to end", limit, async || Ok((agent.endless() == 0).then_some(()))).await?;
    wait::until("Envoy to have no request to the agent", limit, async || {
        let active =
            envoy.stat("cluster.expense_v1_0.upstream_rq_active").await? + envoy.stat("cluster.expense_v0_3.upstream_rq_active").await?;
        Ok((active == 0).then_some(()))
    })
    .await
}

/// The task that a reply without waiting is about.
fn task(reply: &Value) -> Result<String> {
    let task = reply["result"]["task"]["id"].as_str().or(reply["result"]["id"].as_str());
    task.map(str::to_owned).with_context(|| format!("no task in {reply}"))
}

/// What an event says of the task's state, in either version and binding.
fn state(event: &Value) -> String {
    let result = event.get("result").unwrap_or(event);
    let update = result.get("statusUpdate").unwrap_or(result);
    update["status"]["state"].as_str().unwrap_or_default().to_lowercase().replace("task_state_", "")
}

/// Follows one waiting task of a real agent for longer than any limit on requests; cancels it then.
async fn follows(mesh: &Mesh, which: usize, token: &str) -> Result<()> {
    let port = mesh.inbound.port();
    let old = which % 2 == 1;
    let (method, cancel, mut params) =
        if old { ("message/send", "tasks/cancel", message_0_3("wait")) } else { ("SendMessage", "CancelTask", message_1_0("wait")) };
    params["configuration"] = if old { json!({"blocking": false}) } else { json!({"returnImmediately": true}) };
    params["message"]["messageId"] = json!(format!("m-{which}"));
    let version = if old { "0.3" } else { "1.0" };
    let ask = |method: &str, params: Value| Call::post(AGENT, &rpc(json!(1), method, params)).version(version).bearer(token);
    let task = task(&ask(method, params).send(port).await?.json())?;
    let call = subscriptions(&task)[which].clone().bearer(token);
    let mut events = EventStream::open(port, &call, false).await?;
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < LONGER {
        let event = events.next().await?.with_context(|| format!("the stream ended after {count} events"))?;
        ensure!(["submitted", "working", ""].contains(&state(&event).as_str()), "{event}");
        count += 1;
    }
    let least = LONGER.as_secs() * 2;
    ensure!(count >= least, "{count} events came, not {least}");
    let canceled = ask(cancel, json!({"id": task})).send(port).await?;
    ensure!(canceled.json().get("result").is_some(), "{}", canceled.text());
    let mut last = String::new();
    while let Some(event) = events.next().await? {
        last = state(&event);
    }
    // The agent of 0.3 ends the stream without a last word.
    ensure!(old || last == "canceled", "the last word was {last:?}");
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("streams::a_subscription_outlives_the_limits_of_requests", async |mesh| {
        let token = mesh.token().await?;
        let follow = async |which| follows(mesh, which, &token).await.with_context(|| format!("subscription {which}"));
        tokio::try_join!(follow(0), follow(1), follow(2), follow(3))?;
        Ok(())
    });
    suite.add("streams::events_come_one_by_one_and_leaving_ends_the_agents_request", async |mesh| {
        let (agent, envoy, calls) = told(mesh, "streams").await?;
        for (which, call) in calls.iter().enumerate() {
            for http2 in [false, true] {
                one_by_one(&agent, &envoy, call, http2).await.with_context(|| format!("subscription {which}, HTTP/2: {http2}"))?;
            }
        }
        agent.answer(Answer::new("200 OK", "application/json", "{}"));
        let reply = Call::get(format!("{AGENT}/tasks/t")).version("1.0").bearer(&mesh.token().await?).send(envoy.port()).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        Ok(())
    });
    suite.add("streams::leaving_a_real_agent_ends_its_request_and_not_its_task", async |mesh| {
        let envoy = Envoy::start("streams-left", &mesh.inbound_file()?, Options::default()).await?;
        let token = mesh.token().await?;
        let mut params = message_1_0("wait");
        params["configuration"] = json!({"returnImmediately": true});
        let ask = |method: &str, params: Value| Call::post(AGENT, &rpc(json!(1), method, params)).version("1.0").bearer(&token);
        let task = task(&ask("SendMessage", params).send(envoy.port()).await?.json())?;
        for http2 in [false, true] {
            let mut events = EventStream::open(envoy.port(), &subscriptions(&task)[0].clone().bearer(&token), http2).await?;
            events.next().await?.context("no event")?;
            ensure!(envoy.stat("cluster.expense_v1_0.upstream_rq_active").await? == 1, "no request to the agent");
            drop(events);
            wait::until("Envoy to have no request to the agent", Duration::from_secs(10), async || {
                Ok((envoy.stat("cluster.expense_v1_0.upstream_rq_active").await? == 0).then_some(()))
            })
            .await?;
        }
        let read = ask("GetTask", json!({"id": task})).send(envoy.port()).await?.json();
        ensure!(state(&json!({"result": read["result"]})) == "working", "{read}");
        let canceled = ask("CancelTask", json!({"id": task})).send(envoy.port()).await?;
        ensure!(canceled.json().get("result").is_some(), "{}", canceled.text());
        works(envoy.port(), &token).await?;
        Ok(())
    });
}

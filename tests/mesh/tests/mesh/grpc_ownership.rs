//! Tasks that belong to their makers, over gRPC: through the official SDKs, in each field of each message of both packages, and where an
//! agent's answer cannot be trusted.

use anyhow::{Context, Result, ensure};
use attache_mesh::http::Call;
use attache_mesh::mesh::Mesh;
use attache_mesh::peer::Sdk;
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::{place, raw};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::grpc::{SERVICE_0_3, SERVICE_1_0, call, offer};
use crate::grpc_messages::{answering, field, framed, to_http1, with};
use crate::ownership::{EVERYWHERE, Place, ensure_tagged, plain, waiting};
use crate::suite::Suite;

/// What each client does with tasks of its own, and what it does about a task or context of somebody else.
const TALKS: &[(Sdk, &str, &str)] = &[
    (
        Sdk::Python1_0,
        "send,stream,get,cancel,subscribe,list,push_send,push_set,push_get,push_list,push_delete",
        "get,cancel,subscribe,list,push_set,push_get,push_list,push_delete",
    ),
    (Sdk::Python0_3, "send,stream,get,cancel,subscribe,push_send,push_set,push_get", "get,cancel,subscribe,push_set,push_get"),
    (
        Sdk::Js1_0,
        "send,stream,get,cancel,subscribe,list,push_send,push_set,push_get,push_list,push_delete",
        "get,cancel,subscribe,list,push_set,push_get,push_list,push_delete",
    ),
    // Its agent lists and deletes push configurations over JSON-RPC only: what is not the caller's is refused before it is asked.
    (
        Sdk::Js0_3,
        "send,stream,get,cancel,subscribe,push_send,push_set,push_get",
        "get,cancel,subscribe,push_set,push_get,push_list,push_delete",
    ),
];

/// The one that tests share: the agents of both packages.
async fn standing(mesh: &Mesh) -> Result<&'static Place> {
    static STANDING: OnceCell<Place> = OnceCell::const_new();
    let start = async || Place::start(mesh, "owned-grpc", &["new", "old"], |file| offer(file, &mesh.agent_1_0, &mesh.agent_0_3)).await;
    STANDING.get_or_try_init(start).await
}

/// Two people with one client: each gets what is its own, and the other's is not there.
async fn talk(mesh: &Mesh, sdk: Sdk, own: &str, foreign: &str) -> Result<()> {
    let place = standing(mesh).await?;
    let (ann, bob, port) = (place.token("ann"), place.token("bob"), place.envoy.port());
    let result = sdk.call_grpc(port, Some(&ann), own, &[]).await?;
    ensure!(result["ok"] == true, "{result}");
    for op in own.split(',') {
        ensure_tagged(&result["results"][op]).with_context(|| format!("{op}: {result}"))?;
    }
    if own.contains("list") {
        let tasks = result["results"]["list"]["answer"]["tasks"].as_array().context("no list")?;
        ensure!(tasks.len() == 1 && tasks[0]["id"] == result["results"]["get"]["task"], "{result}");
    }
    let sent = &result["results"]["send"];
    let task = sent["task"].as_str().context("no task")?;
    let context = ["contextId", "context_id"].iter().find_map(|name| sent["answer"][name].as_str()).context("no context")?;
    ensure!(task.contains("~new.") && context.contains("~new."), "{result}");
    let again = sdk.call_grpc_about([task, context], port, &ann, "get").await?;
    ensure!(again["ok"] == true && again["results"]["get"]["task"] == task, "{again}");
    for op in foreign.split(',') {
        // By an id that was told, and by the agent's own.
        for ids in [[task, context], [plain(task), plain(context)]] {
            let refused = sdk.call_grpc_about(ids, port, &bob, op).await?;
            ensure!(refused["ok"] == false && refused["status"] == 5, "{op} of {ids:?}: {refused}");
            ensure!(sdk.version() == "0.3" || refused["error"].as_str().is_some_and(|error| error.contains("TaskNotFound")), "{refused}");
        }
    }
    Ok(())
}

/// Everything in the messages of `service` that names a task or a context.
fn about(service: &str, task: &str, context: &str) -> Vec<Call> {
    let of = |method: &str, message: Vec<u8>| with(&format!("{service}/{method}"), &message);
    let url = "https://hooks.example.com/x";
    let message = |more: Vec<u8>| [field(1, "m1"), vec![4 << 3, 1], field(5, field(1, "hi")), more].concat();
    let mut named = vec![field(3, task), field(2, context)];
    if service == SERVICE_1_0 {
        named.push(field(8, task));
        let send = |more: &Vec<u8>| of("SendMessage", field(2, message(more.clone())));
        let streams = named.iter().map(|more| of("SendStreamingMessage", field(2, message(more.clone()))));
        let hook = [field(3, task), field(4, url)].concat();
        let (id, of_task) = (field(2, task), [field(2, task), field(3, "p")].concat());
        return named
            .iter()
            .map(send)
            .chain(streams)
            .chain([
                of("SendMessage", [field(2, message(Vec::new())), field(3, field(2, &hook))].concat()),
                of("GetTask", id.clone()),
                of("CancelTask", id.clone()),
                of("SubscribeToTask", id),
                of("ListTasks", field(2, context)),
                of("CreateTaskPushNotificationConfig", hook),
                of("GetTaskPushNotificationConfig", of_task.clone()),
                of("ListTaskPushNotificationConfigs", field(1, task)),
                of("DeleteTaskPushNotificationConfig", of_task),
            ])
            .collect();
    }
    let (name, config) = (format!("tasks/{task}"), format!("tasks/{task}/pushNotificationConfigs/p"));
    let sends =
        named.iter().flat_map(|more| ["SendMessage", "SendStreamingMessage"].map(|method| of(method, field(1, message(more.clone())))));
    let hook = field(2, field(2, url));
    sends
        .chain([
            of("GetTask", field(1, &name)),
            of("CancelTask", field(1, &name)),
            of("TaskSubscription", field(1, &name)),
            of("CreateTaskPushNotificationConfig", [field(1, &name), field(2, "p"), field(3, &hook)].concat()),
            of("CreateTaskPushNotificationConfig", field(3, [field(1, &config), hook].concat())),
            of("GetTaskPushNotificationConfig", field(1, &config)),
            of("ListTaskPushNotificationConfig", field(1, &name)),
            of("DeleteTaskPushNotificationConfig", field(1, &config)),
        ])
        .collect()
}

/// `call` is answered as one about a task that does not exist, in large pieces and in small ones, and no agent sees it.
async fn hides(mesh: &Mesh, place: &Place, call: &Call, who: &str) -> Result<()> {
    let mark = place::unique("mark");
    let call = call.clone().bearer(&place.token(who)).header("x-mark", &mark);
    for size in [1000, 7] {
        let reply = raw::http2(place.envoy.port(), &call, size, &[]).await?;
        let seen = || format!("{} as {who}: {} {:?}", call.path, reply.status, reply.headers);
        ensure!(reply.status == 200 && reply.header("grpc-status") == Some("5") && reply.body.is_empty(), "{}", seen());
    }
    let requests = [mesh.agent_1_0.requests().await?, mesh.agent_0_3.requests().await?].concat();
    ensure!(requests.iter().all(|request| request["headers"]["x-mark"] != mark), "an agent saw {}", call.path);
    Ok(())
}

async fn hidden(mesh: &Mesh, service: &str) -> Result<()> {
    let place = standing(mesh).await?;
    let start = place.envoy.log().len();
    // An id is the same over each binding.
    let (task, context) = waiting(place, if service == SERVICE_1_0 { EVERYWHERE[0] } else { EVERYWHERE[2] }).await?;
    for call in about(service, &task, &context) {
        hides(mesh, place, &call, "bob").await?;
    }
    // Its own name for it opens nothing, for anybody; nor does a tag of the other kind.
    for call in about(service, plain(&task), plain(&context)).iter().chain(&about(service, &context, &task)) {
        hides(mesh, place, call, "ann").await?;
    }
    place.envoy.refusal_logged(start, "task_not_found").await?;
    // The caller's own is there, in small pieces too.
    let read = about(service, &task, &context).into_iter().find(|call| call.path.ends_with("/GetTask")).context("no read")?;
    for size in [1, 7, 1000] {
        let reply = raw::http2(place.envoy.port(), &read.clone().bearer(&place.token("ann")), size, &[]).await?;
        ensure!(String::from_utf8_lossy(&reply.body).contains(&task), "{:?} {}", reply.headers, reply.text());
    }
    Ok(())
}

/// A call about `task` in the package of 1.0.
fn get(task: &str) -> Call {
    with(&format!("{SERVICE_1_0}/GetTask"), &field(2, task))
}

pub fn add(suite: &mut Suite) {
    for (sdk, own, foreign) in TALKS {
        suite.add(format!("grpc_ownership::{}", sdk.name()), async move |mesh| talk(mesh, *sdk, own, foreign).await);
    }
    for service in [SERVICE_1_0, SERVICE_0_3] {
        let name = service.trim_start_matches('/');
        suite.add(format!("grpc_ownership::nobody_elses_task_exists_in_{name}"), async move |mesh| hidden(mesh, service).await);
    }
    suite.add("grpc_ownership::a_list_names_its_context", async |mesh| {
        let place = standing(mesh).await?;
        let start = place.envoy.log().len();
        let list = call(format!("{SERVICE_1_0}/ListTasks")).bearer(&place.token("ann"));
        let reply = raw::http2(place.envoy.port(), &list, 100, &[]).await?;
        ensure!(reply.header("grpc-status") == Some("3"), "{:?}", reply.headers);
        place.envoy.refusal_logged(start, "context_missing").await?;
        Ok(())
    });
    suite.add("grpc_ownership::a_task_is_of_its_tenant", async |mesh| {
        let place = standing(mesh).await?;
        let (ann, port) = (place.token("ann"), place.envoy.port());
        let result =
            Sdk::Python1_0.call_grpc_in("acme", port, &ann, "send,stream,get,cancel,subscribe,push_set,push_get,push_list").await?;
        ensure!(result["ok"] == true, "{result}");
        ensure_tagged(&result["results"])?;
        let task = result["results"]["send"]["task"].as_str().context("no task")?;
        let within = |tenant: &str| match tenant {
            "" => get(task),
            _ => with(&format!("{SERVICE_1_0}/GetTask"), &[field(1, tenant), field(2, task)].concat()),
        };
        let behind = with(&format!("{SERVICE_1_0}/GetTask"), &[field(2, task), field(1, "acme")].concat());
        for own in [within("acme"), behind] {
            let reply = raw::http2(port, &own.bearer(&ann), 9, &[]).await?;
            ensure!(String::from_utf8_lossy(&reply.body).contains(task), "{:?} {}", reply.headers, reply.text());
        }
        for tenant in ["", "bolt", "ACME"] {
            hides(mesh, place, &within(tenant), "ann").await.with_context(|| tenant.to_owned())?;
        }
        Ok(())
    });
    suite.add("grpc_ownership::without_holding_headers_it_is_the_same", async |mesh| {
        let place = Place::start(mesh, "owned-grpc-not-held", &["new"], |file| {
            offer(file, &mesh.agent_1_0, &mesh.agent_0_3)?;
            file.wasm()?.as_object_mut().map(|config| config.remove("allow_on_headers_stop_iteration"));
            file.edit_plugin(|plugin| plugin["hold_headers"] = false.into())
        })
        .await?;
        let (ann, bob, port) = (place.token("ann"), place.token("bob"), place.envoy.port());
        for (sdk, own) in [(Sdk::Python1_0, "send,stream,get,cancel,subscribe,list"), (Sdk::Python0_3, "send,stream,get,cancel,subscribe")]
        {
            let result = sdk.call_grpc(port, Some(&ann), own, &[]).await?;
            ensure!(result["ok"] == true, "{result}");
            ensure_tagged(&result["results"])?;
            let task = result["results"]["send"]["task"].as_str().context("no task")?;
            let refused = sdk.call_grpc_about([task, ""], port, &bob, "get").await?;
            ensure!(refused["ok"] == false && refused["status"] == 5, "{refused}");
        }
        Ok(())
    });
    suite.add("grpc_ownership::answers_that_cannot_be_trusted_stay_behind", untrusted);
}

/// Answers of a stand-in for the agent of 1.0.
async fn untrusted(mesh: &Mesh) -> Result<()> {
    let own = [field(1, "t"), field(2, "c")].concat();
    let good = answering(&framed(&field(1, &own)), "0");
    let agent = StandIn::start(good.clone()).await?;
    let place = Place::start(mesh, "owned-grpc-stand-in", &["new"], |file| {
        offer(file, &mesh.agent_1_0, &mesh.agent_0_3)?;
        to_http1(file, &agent)
    })
    .await?;
    let (ann, port) = (place.token("ann"), place.envoy.port());
    // A send, and with it the caller's names for both.
    let sent = Sdk::Python1_0.call_grpc(port, Some(&ann), "send", &[]).await?;
    let (task, context) = (&sent["results"]["send"]["task"], &sent["results"]["send"]["answer"]["contextId"]);
    let [Value::String(task), Value::String(context)] = [task, context] else { anyhow::bail!("{sent}") };
    ensure!(plain(task) == "t" && plain(context) == "c" && task != "t" && context != "c", "{sent}");
    let (read, list) = (get(task).bearer(&ann), with(&format!("{SERVICE_1_0}/ListTasks"), &field(2, context)).bearer(&ann));
    let other = [field(1, "other"), field(2, "d")].concat();
    let mut compressed = framed(&own);
    compressed[0] = 1;
    // Of a list the head is held until something of it has come.
    for answer in [
        answering(&framed(&[field(1, &own), field(1, &other)].concat()), "0"),
        answering(&framed(&field(1, field(1, "other"))), "0"),
        answering(&compressed, "0"),
        answering(&framed(b"<html>other"), "0"),
        answering(&[framed(&field(1, &own)), framed(&field(1, &other))].concat(), "0"),
        Answer::new("200 OK", "text/html", "<p>other"),
        Answer::new("200 OK", "application/grpc+json", framed(b"{\"id\":\"other\"}")),
    ] {
        agent.answer(answer);
        let start = place.envoy.log().len();
        let reply = raw::http2(port, &list, 100, &[]).await?;
        ensure!(reply.header("grpc-status") == Some("13") && reply.body.is_empty(), "{:?} {}", reply.headers, reply.text());
        place.envoy.refusal_logged(start, "answer_unusable").await?;
    }
    // What has begun to go on is cut off.
    let repeated = [&own[..], &field(1, "other")].concat();
    for answer in [answering(&compressed, "0"), answering(&framed(&repeated), "0"), answering(&framed(&own)[..7], "0")] {
        agent.answer(answer);
        let reply = raw::http2(port, &read, 100, &[]).await;
        ensure!(reply.as_ref().map_or(true, |reply| reply.body.is_empty()), "{reply:?}");
    }
    // A call that failed is answered as the agent says, in headers alone or in trailers.
    let unimplemented = Answer::new("200 OK", "application/grpc", "").header("grpc-status", "12");
    for (answer, status) in [(unimplemented, Some("12")), (answering(b"", "5"), None)] {
        for call in [&read, &list] {
            agent.answer(answer.clone());
            let reply = raw::http2(port, call, 100, &[]).await?;
            ensure!(reply.status == 200 && reply.body.is_empty() && reply.header("grpc-status") == status, "{:?}", reply.headers);
        }
    }
    agent.answer(answering(&framed(&own), "0"));
    let reply = raw::http2(port, &read, 100, &[]).await?;
    ensure!(reply.body == framed(&[field(1, task), field(2, context)].concat()), "{reply:?}");
    agent.answer(answering(&framed(&field(1, &own)), "0"));
    let reply = raw::http2(port, &list, 100, &[]).await?;
    ensure!(reply.body == framed(&field(1, [field(1, task), field(2, context)].concat())), "{reply:?}");
    Ok(())
}

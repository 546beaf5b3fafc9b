//! Requests that say one thing twice or in an odd way: hosts, targets, versions, methods, hop-by-hop headers, framing. None may
//! mean something else to the agent than to the filter. In front of it stands an Envoy that normalizes nothing and takes all.

use anyhow::{Context, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply, message_0_3, message_1_0, rpc};
use attache_mesh::mesh::{AGENT, Mesh, send_0_3, send_1_0};
use attache_mesh::raw;
use attache_mesh::refusal::{self, Form};
use attache_mesh::wiretap::{Heard, Wiretap};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::suite::Suite;

/// An Envoy that normalizes nothing and takes HTTP/1.0 and upgrades, before an agent that notes every byte. The agent is at
/// `/agents/expense` of its hosts, where the route rewrites the path, and at the root of [`PLAIN`], where none does.
pub struct Lenient {
    pub agent: Wiretap,
    pub envoy: Envoy,
    pub token: String,
}

pub const HOST: &str = "expense.example.com";
pub const PLAIN: &str = "plain.example.com";

impl Lenient {
    /// The one that these tests share, one after the other: what the agent heard is of one test.
    pub async fn standing(mesh: &Mesh) -> Result<MutexGuard<'static, Self>> {
        static STANDING: OnceCell<Mutex<Lenient>> = OnceCell::const_new();
        let lenient = STANDING.get_or_try_init(async || anyhow::Ok(Mutex::new(Self::start(mesh).await?))).await?.lock().await;
        lenient.agent.forget();
        Ok(lenient)
    }

    async fn start(mesh: &Mesh) -> Result<Self> {
        let agent = Wiretap::start().await?;
        let mut file = mesh.inbound_file()?;
        file.cluster("expense_v1_0", agent.port)?;
        file.cluster("expense_v0_3", agent.port)?;
        file.edit_plugin(|plugin| {
            let mut plain = plugin["agents"][0].clone();
            plain["name"] = json!("plain");
            plain["match"] = json!({"hosts": [PLAIN], "path_prefix": "/"});
            if let Some(agents) = plugin["agents"].as_array_mut() {
                agents.push(plain);
            }
        })?;
        let clusters = file.value_mut()["static_resources"]["clusters"].as_array_mut().context("no clusters")?;
        for cluster in clusters.iter_mut().filter(|cluster| cluster["name"] != "idp") {
            cluster["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}}}});
        }
        let manager = file.http_manager()?;
        manager["normalize_path"] = json!(false);
        manager["merge_slashes"] = json!(false);
        manager["path_with_escaped_slashes_action"] = json!("KEEP_UNCHANGED");
        manager["http_protocol_options"] = json!({"accept_http_10": true, "enable_trailers": true});
        manager["http2_protocol_options"] = json!({"allow_connect": true, "override_stream_error_on_invalid_http_message": true});
        manager["upgrade_configs"] = json!([{"upgrade_type": "websocket"}]);
        let hosts = manager["route_config"]["virtual_hosts"].as_array_mut().context("no virtual hosts")?;
        let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "expense_v1_0", "timeout": "0s"}});
        hosts.push(json!({"name": "plain", "domains": [PLAIN], "routes": [route]}));
        let envoy = Envoy::start("lenient", &file, Options::default()).await?;
        Ok(Self { agent, envoy, token: mesh.token().await? })
    }

    /// Sends `call` with a good token.
    pub async fn send(&self, call: &Call) -> Result<Reply> {
        call.clone().bearer(&self.token).send(self.envoy.port()).await
    }

    /// Sends SendMessage of A2A 1.0 with a good token, written as `odd` says.
    pub async fn write(&self, odd: Odd<'_>) -> Result<Reply> {
        raw::http1(self.envoy.port(), &[odd.bytes(&self.token)]).await
    }

    /// What the agent heard since it was last asked: one request.
    pub fn one(&self) -> Result<Heard> {
        let heard = self.agent.heard();
        self.agent.forget();
        ensure!(heard.len() == 1, "the agent heard {heard:?}");
        heard.into_iter().next().context("nothing")
    }

    /// The agent heard nothing, and the next good call arrives.
    pub async fn heard_nothing(&self) -> Result<()> {
        let heard = self.agent.heard();
        ensure!(heard.is_empty(), "the agent heard {heard:?}");
        let reply = self.send(&send_1_0("good")).await?;
        ensure!(reply.status == 200, "a good call: {} {}", reply.status, reply.text());
        self.one().map(|_| ())
    }
}

/// A request over HTTP/1 that is good but for what is set here.
#[derive(Clone, Copy)]
pub struct Odd<'a> {
    pub line: &'a str,
    pub host: Option<&'a str>,
    pub version: &'a [u8],
    pub extra: &'a [(&'a str, &'a [u8])],
}

pub const GOOD: Odd<'static> = Odd { line: "POST /agents/expense HTTP/1.1", host: Some(HOST), version: b"1.0", extra: &[] };

impl Odd<'_> {
    /// Its bytes, with a token.
    pub fn bytes(&self, token: &str) -> Vec<u8> {
        let (authorization, length) = (format!("Bearer {token}"), body().len().to_string());
        let mut headers: Vec<(&str, &[u8])> = vec![("content-type", b"application/json"), ("a2a-version", self.version)];
        headers.extend([("authorization", authorization.as_bytes()), ("content-length", length.as_bytes())]);
        headers.extend(self.host.map(|host| ("host", host.as_bytes())));
        headers.extend_from_slice(self.extra);
        let mut bytes = [self.line.as_bytes(), b"\r\n"].concat();
        for (name, value) in headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        [bytes, b"\r\n".to_vec(), body()].concat()
    }
}

/// The body of every such request.
pub fn body() -> Vec<u8> {
    rpc(json!("odd"), "SendMessage", message_1_0("odd")).to_string().into_bytes()
}

/// The agent was told what every agent is told: one version, one client, one operation.
pub fn verified(heard: &Heard) -> Result<()> {
    let told = ["version", "client", "operation"].map(|member| heard.told(member));
    ensure!(heard.header("a2a-version") == ["1.0"] && told == [["1.0"], ["caller"], ["SendMessage"]], "{heard:?}");
    Ok(())
}

/// Envoy or the filter refused it.
pub fn is_refused(reply: &Reply) -> Result<()> {
    ensure!((400..500).contains(&reply.status), "{} {:?} {}", reply.status, reply.headers, reply.text());
    Ok(())
}

/// What agents or their frameworks take for the method or the path in place of the request line.
const OVERRIDES: &[&str] = &[
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "X_HTTP_METHOD_OVERRIDE",
    "X-Http_Method-Override",
    "X_Original_URL",
];

/// What agents may take for a path with two readings; the filter refuses it although Envoy lets it through.
const AMBIGUOUS: &[&str] = &[
    "//agents/expense",
    "/agents//expense",
    "/agents/expense//",
    "/agents/./expense",
    "/agents/expense/.",
    "/agents/expense/./message:send",
    "/agents/other/../expense",
    "/agents/expense/..",
    "/agents/expense%2Fmessage:send",
    "/agents/expense%2fmessage:send",
    "/agents/expense/message:send%5C",
    "/agents/expense\\message:send",
    "/agents/expense/%2e%2e/expense",
    "/agents/expense/%2e/message:send",
    "/agents/expense;v=1",
    "/agents/expense;v=1/message:send",
    "/agents/expense/message:send;v=1",
    "/agents/%65xpense",
    "/agents/expense/message%3Asend%00",
    "/agents/expense/%",
    "/agents/expense/%zz",
];

pub fn add(suite: &mut Suite) {
    suite.add("odd_requests::no_header_names_another_method_or_path", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        for name in OVERRIDES {
            for (host, prefix) in [(HOST, AGENT), (PLAIN, "")] {
                let rpc = Call::post(format!("{prefix}/"), &rpc(json!("o"), "SendMessage", message_1_0("o"))).version("1.0");
                for call in [rpc, Call::get(format!("{prefix}/tasks/1/pushNotificationConfigs/2")).version("1.0")] {
                    let reply = here.send(&call.host(host).header(name, "DELETE")).await?;
                    if reply.status == 200 {
                        let heard = here.one()?;
                        ensure!(heard.header(&name.to_ascii_lowercase()).is_empty(), "{name}: {heard:?}");
                    } else {
                        ensure!(reply.reason().as_deref() == Some("request_malformed"), "{name}: {} {}", reply.status, reply.text());
                    }
                }
            }
        }
        here.heard_nothing().await
    });
    suite.add("odd_requests::envoys_own_names_of_the_path_are_not_the_clients", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        for (host, path) in [(HOST, "/agents/expense/tasks/1"), (PLAIN, "/tasks/1")] {
            let call = Call::get(path).version("1.0").host(host).header("x-envoy-original-path", "/other");
            let reply = here.send(&call.header("x-envoy-original-host", "other.example.com")).await?;
            ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
            let heard = here.one()?;
            ensure!(!heard.head.contains("/other"), "{heard:?}");
        }
        Ok(())
    });
    suite.add("odd_requests::a_notification_is_params_malformed", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let notification = |method: &str, params: Value| Call::post(AGENT, &json!({"jsonrpc": "2.0", "method": method, "params": params}));
        let mut calls = vec![notification("SendMessage", message_1_0(&"long ".repeat(20_000))).version("1.0")];
        calls.push(notification("message/send", message_0_3("n")));
        calls.push(notification("tasks/cancel", json!({"id": "1"})));
        for method in ["SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "CancelTask", "DeleteTaskPushNotificationConfig"] {
            calls.push(notification(method, message_1_0("n")).version("1.0"));
        }
        for call in calls {
            let reply = here.send(&call).await?;
            refusal::check(&reply, "params_malformed", &Form::Rpc(Value::Null))?;
            let whole = here.agent.heard().iter().any(|heard| heard.whole);
            ensure!(!whole, "the agent heard a notification whole");
            here.agent.forget();
        }
        // An id that is null is one.
        let reply = here.send(&Call::post(AGENT, &rpc(Value::Null, "SendMessage", message_1_0("null"))).version("1.0")).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        verified(&here.one()?)
    });
    suite.add("odd_requests::a_host_is_the_same_with_port_and_capitals_but_not_with_a_dot", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        for host in ["EXPENSE.Example.COM", "expense.example.com:8443", "Expense.example.com:1"] {
            let reply = here.send(&send_1_0("host").host(host)).await?;
            ensure!(reply.status == 200, "{host}: {} {}", reply.status, reply.text());
            verified(&here.one()?)?;
            let reply = send_1_0("host").host(host).send(here.envoy.port()).await?;
            refusal::check(&reply, "credentials_missing", &Form::Rpc(json!("host")))?;
        }
        let others = [
            "expense.example.com:",
            "expense.example.com:99999",
            "expense.example.com:80:80",
            "expense.example.com.",
            "Expense.example.com.:1",
            "expense.example.com..",
            "a@expense.example.com",
        ];
        for host in
            others.into_iter().chain(["", "expense.example.com/x", "expense.example.com, plain.example.com", "expense%2eexample.com"])
        {
            is_refused(&here.write(Odd { host: Some(host), ..GOOD }).await?).context(host)?;
        }
        is_refused(&here.write(Odd { host: None, ..GOOD }).await?)?;
        is_refused(&here.write(Odd { extra: &[("host", PLAIN.as_bytes())], ..GOOD }).await?)?;
        here.heard_nothing().await
    });
    suite.add("odd_requests::the_host_of_an_absolute_target_is_the_host", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        for line in
            ["POST http://expense.example.com/agents/expense HTTP/1.1", "POST HTTP://expense.example.com:80/agents/expense HTTP/1.1"]
        {
            let reply = here.write(Odd { line, host: Some("elsewhere.example.com"), ..GOOD }).await?;
            ensure!(reply.status == 200, "{line}: {} {}", reply.status, reply.text());
            let heard = here.one()?;
            verified(&heard)?;
            ensure!(heard.header("host").len() == 1 && !heard.head.contains("elsewhere"), "{heard:?}");
        }
        let others = [
            "POST http://elsewhere.example.com/agents/expense HTTP/1.1",
            "POST http://expense.example.com HTTP/1.1",
            "POST ftp://expense.example.com/agents/expense HTTP/1.1",
            "POST agents/expense HTTP/1.1",
            "POST * HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "CONNECT expense.example.com:443 HTTP/1.1",
            "TRACE /agents/expense HTTP/1.1",
            "post /agents/expense HTTP/1.1",
            "POST /agents/expense#x HTTP/1.1",
            "POST /Agents/Expense HTTP/1.1",
            "POST /agents/expense/Message:Send HTTP/1.1",
            "POST /agents/expense/MESSAGE:SEND HTTP/1.1",
            "GET /agents/expense/Tasks/1 HTTP/1.1",
            "GET /agents/expense/.Well-Known/agent-card.json HTTP/1.1",
        ];
        for line in others {
            is_refused(&here.write(Odd { line, ..GOOD }).await?).context(line)?;
        }
        here.heard_nothing().await
    });
    suite.add("odd_requests::http_1_0_is_verified_like_the_rest", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let old = Odd { line: "POST /agents/expense HTTP/1.0", ..GOOD };
        let reply = here.write(old).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        verified(&here.one()?)?;
        is_refused(&here.write(Odd { host: None, ..old }).await?)?;
        let forged = Odd { extra: &[("authorization", b"Bearer other")], ..old };
        ensure!(here.write(forged).await?.status == 401, "two credentials");
        // Without the option, as in the files that are shown, Envoy does not take it at all.
        let reply = raw::http1(mesh.inbound.port(), &[old.bytes(&here.token)]).await?;
        ensure!(reply.status == 426, "{} {}", reply.status, reply.text());
        here.heard_nothing().await
    });
    suite.add("odd_requests::a_version_is_one_number", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let same: [&[u8]; 6] = [b" 1.0", b"1.0 ", b"\t1.0\t", b"1.0.0", b"1.0, 1.0", b",1.0"];
        for version in same {
            let reply = here.write(Odd { version, ..GOOD }).await?;
            ensure!(reply.status == 200, "{version:?}: {} {}", reply.status, reply.text());
            verified(&here.one()?)?;
        }
        let twice = here.write(Odd { extra: &[("A2A-VERSION", b"1.0")], ..GOOD }).await?;
        ensure!(twice.status == 200, "{} {}", twice.status, twice.text());
        verified(&here.one()?)?;
        let others: [(&[u8], &str); 11] = [
            (b"v1", "version_malformed"),
            (b"V1.0", "version_malformed"),
            (b"1", "version_malformed"),
            (b"01.0", "version_malformed"),
            (b"1.0.0.0", "version_malformed"),
            (b"\"1.0\"", "version_malformed"),
            (b"1.0;q=1", "version_malformed"),
            (b"1 .0", "version_malformed"),
            (b"\xef\xbc\x91.0", "version_malformed"),
            (b"0.30", "version_not_supported"),
            (b"1.00000000000", "version_malformed"),
        ];
        for (version, reason) in others {
            let reply = here.write(Odd { version, ..GOOD }).await?;
            refusal::check(&reply, reason, &Form::Rpc(json!("odd"))).with_context(|| format!("{version:?}"))?;
        }
        let reply = here.write(Odd { extra: &[("A2A-Version", b"0.3")], ..GOOD }).await?;
        refusal::check(&reply, "version_conflict", &Form::Rpc(json!("odd")))?;
        is_refused(&here.write(Odd { version: b"1.0\x00", ..GOOD }).await?)?;
        here.heard_nothing().await
    });
    suite.add("odd_requests::a_path_with_two_readings_is_refused_though_envoy_lets_it_through", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        for path in AMBIGUOUS {
            for method in ["POST", "GET"] {
                let line = format!("{method} {path} HTTP/1.1");
                let reply = here.write(Odd { line: &line, ..GOOD }).await?;
                is_refused(&reply).with_context(|| line.clone())?;
            }
        }
        // The same below an agent that has its host for itself.
        for path in
            ["//message:send", "/./message:send", "/x/../message:send", "/message:send;v=1", "/tasks%2F1:cancel", "/tasks\\1:cancel"]
        {
            let reply = here.write(Odd { line: &format!("POST {path} HTTP/1.1"), host: Some(PLAIN), ..GOOD }).await?;
            refusal::check(&reply, "request_malformed", &Form::Status).with_context(|| path.to_owned())?;
        }
        here.heard_nothing().await
    });
    suite.add("odd_requests::headers_with_underscores_are_not_ours", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let forged: &[(&str, &[u8])] = &[
            ("x_attache", b"mallory"),
            ("x_attache_subject", b"mallory"),
            ("X_Attache_Client", b"mallory"),
            ("x-attache_kind", b"mallory"),
            ("X_ATTACHE-SCOPES", b"mallory\xff"),
            ("A2A_Version", b"mallory"),
            ("a2a_version", b"mallory"),
        ];
        let reply = here.write(Odd { extra: forged, ..GOOD }).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        let heard = here.one()?;
        ensure!(!heard.head.contains("mallory"), "{heard:?}");
        verified(&heard)
    });
    suite.add("odd_requests::a_connection_header_cannot_take_our_headers_away", async |mesh| {
        let here = Lenient::standing(mesh).await?;
        let ours: [&[u8]; 3] = [b"x-attache, x-attache-subject", b"close, x-attache", b"keep-alive, te"];
        for names in ours {
            let reply = here.write(Odd { extra: &[("connection", names)], ..GOOD }).await?;
            ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
            let heard = here.one()?;
            verified(&heard)?;
            ensure!(heard.header("connection").is_empty(), "{heard:?}");
        }
        // What it takes away is gone before the filter sees it: no version means 0.3, to the filter and to the agent.
        let names: &[(&str, &[u8])] = &[("connection", b"a2a-version")];
        let reply = here.write(Odd { extra: names, ..GOOD }).await?;
        refusal::check(&reply, "version_mismatch", &Form::Rpc(json!("odd")))?;
        let reply = here.send(&send_0_3("old").header("connection", "a2a-version").version("1.0")).await?;
        ensure!(reply.status == 200, "{} {}", reply.status, reply.text());
        let heard = here.one()?;
        ensure!(heard.header("a2a-version") == ["0.3"], "{heard:?}");
        let reply = here.write(Odd { extra: &[("connection", b"authorization")], ..GOOD }).await?;
        refusal::check(&reply, "credentials_missing", &Form::Rpc(json!("odd")))?;
        here.heard_nothing().await
    });
}

//! Names of callers belong to who vouches for them: callers of several issuers and schemes who are called alike, at one agent.

use anyhow::{Context, Result, ensure};
use attache_mesh::canary;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::{AGENT, Mesh, SCOPES, get_task_1_0_http, send_1_0, send_1_0_http};
use attache_mesh::mint::Mint;
use attache_mesh::place;
use attache_mesh::refusal::{self, Form};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::suite::{HOUSE, House, Suite};

const GUESTS: &str = "https://guests.example";
const KEY: &str = "key of a client that is called as another";
/// The client and the subject of everybody here.
const CLIENT: &str = "house-client";
const SUBJECT: &str = "alice";

/// An Envoy before an agent that takes tokens of three issuers and an API key, whose owners have one name.
struct Place {
    envoy: Envoy,
    house: Mint,
    guests: Mint,
    audience: String,
}

impl Place {
    async fn standing(mesh: &Mesh) -> Result<&'static Self> {
        static STANDING: OnceCell<Place> = OnceCell::const_new();
        STANDING.get_or_try_init(async || Self::start(mesh).await).await
    }

    async fn start(mesh: &Mesh) -> Result<Self> {
        let (house, guests) = (Mint::new("house-1")?, Mint::new("guests-1")?);
        let mut file = mesh.inbound_file()?;
        House::trust(&mut file, &house, &mesh.audience)?;
        canary::keep(KEY);
        file.edit_plugin(|plugin| {
            several(plugin, &guests, &mesh.audience);
            plugin["agents"][0]["access"] = json!([
                {"operations": ["GetTask"], "require": {"clients": [CLIENT], "issuers": ["house"]}},
                {"operations": ["ListTasks"], "require": {"clients": [CLIENT], "schemes": ["key"]}},
                {"operations": ["CancelTask"], "require": {"subjects": [SUBJECT], "issuers": ["guests"], "tenants": ["t-2"]}},
                {"operations": ["any"]},
            ]);
            plugin["debug"] = json!({"allow": [
                {"issuer": "guests", "tenant": "t-1", "client": CLIENT}, {"scheme": "key", "client": CLIENT}]});
        })?;
        let envoy = Envoy::start("names", &file, Options::default()).await?;
        Ok(Self { envoy, house, guests, audience: mesh.audience.clone() })
    }

    fn claims(&self, issuer: &str, changes: &Value) -> Value {
        let now = place::now();
        let mut claims = json!({"iss": issuer, "sub": SUBJECT, "aud": self.audience, "iat": now, "exp": now + 360,
            "client_id": CLIENT, "scope": SCOPES});
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    }

    fn house(&self, changes: &Value) -> String {
        self.house.sign(&self.claims(HOUSE, changes))
    }

    fn guest(&self, tenant: &str) -> String {
        self.guests.sign(&self.claims(&format!("{GUESTS}/{tenant}"), &json!({"tid": tenant})))
    }

    /// `call` as each of those who are called alike, by who vouches for them.
    fn everybody(&self, call: &Call) -> [(&'static str, Call); 4] {
        [
            ("house", call.clone().bearer(&self.house(&json!({})))),
            ("guests t-1", call.clone().bearer(&self.guest("t-1"))),
            ("guests t-2", call.clone().bearer(&self.guest("t-2"))),
            ("key", call.clone().header("x-api-key", KEY)),
        ]
    }

    async fn send(&self, call: &Call) -> Result<Reply> {
        call.send(self.envoy.port()).await
    }

    /// The agent is asked by these and by nobody else.
    async fn lets(&self, call: &Call, whom: &[&str]) -> Result<()> {
        for (who, call) in self.everybody(call) {
            let reply = self.send(&call).await?;
            if whom.contains(&who) {
                let reason = reply.reason().unwrap_or_default();
                ensure!(reason != "access_denied" && reply.status != 401, "{who}: {} {}", reply.status, reply.text());
            } else {
                refusal::check(&reply, "access_denied", &Form::Status).with_context(|| who.to_owned())?;
            }
        }
        Ok(())
    }
}

/// Makes the first agent take tokens of an issuer of two tenants, and an API key.
fn several(plugin: &mut Value, guests: &Mint, audience: &str) {
    let key: String = Sha256::digest(KEY).iter().map(|byte| format!("{byte:02x}")).collect();
    if let Some(issuers) = plugin["issuers"].as_array_mut() {
        issuers.push(json!({"name": "guests", "issuer": format!("{GUESTS}/{{tenantid}}"), "tenants": ["t-1", "t-2"],
            "audiences": [audience], "jwks": {"inline": {"keys": [guests.jwk()]}}}));
    }
    plugin["schemes"]["guests"] = json!({"bearer": {"issuers": ["guests"]}});
    let keys = json!([{"id": CLIENT, "sha256": key, "scopes": SCOPES.split(' ').collect::<Vec<_>>()}]);
    plugin["schemes"]["key"] = json!({"api_key": {"in": "header", "name": "x-api-key", "keys": keys}});
    if let Some(security) = plugin["agents"][0]["security"].as_array_mut() {
        security.extend([json!({"guests": []}), json!({"key": []})]);
    }
}

pub fn add(suite: &mut Suite) {
    suite.add("names::a_rule_lets_the_one_it_means_and_nobody_who_is_called_alike", async |mesh| {
        let here = Place::standing(mesh).await?;
        here.lets(&get_task_1_0_http("t"), &["house"]).await?;
        here.lets(&Call::get(format!("{AGENT}/tasks")).version("1.0"), &["key"]).await?;
        here.lets(&Call::new(http::Method::POST, format!("{AGENT}/tasks/t:cancel")).version("1.0"), &["guests t-2"]).await
    });
    suite.add("names::the_agent_learns_who_vouches_for_a_caller", async |mesh| {
        let here = Place::standing(mesh).await?;
        for call in [send_1_0("who"), send_1_0_http("who")] {
            let forged = call
                .header("x-attache", "issuer=\"corp\"")
                .header("x-attache-issuer", "corp")
                .header("x-attache-tenant", "t-9")
                .header("x_attache_issuer", "corp");
            let mut seen = Vec::new();
            for (who, call) in here.everybody(&forged) {
                let start = here.envoy.log().len();
                let reply = here.send(&call).await?;
                let echo = reply.echo().with_context(|| format!("{who}: {} {}", reply.status, reply.text()))?;
                let one = |member: &str| echo.told(member).join("|");
                let (issuer, tenant) = who.split_once(' ').unwrap_or((who, ""));
                ensure!((one("issuer").as_str(), one("tenant").as_str()) == (issuer, tenant), "{who}: {:?}", echo.0);
                ensure!(one("client") == CLIENT && echo.header("x_attache_issuer").is_empty(), "{who}: {:?}", echo.0);
                seen.push(["issuer", "tenant", "subject", "client", "kind"].map(one));
                let tenant = if tenant.is_empty() { String::new() } else { format!("\"tenant\":\"{tenant}\"") };
                here.envoy.logged_after(start, &[&format!("\"issuer\":\"{issuer}\""), &tenant, "\"decision\":\"allow\""]).await?;
            }
            ensure!((1..seen.len()).all(|index| !seen[..index].contains(&seen[index])), "two callers look alike: {seen:?}");
        }
        Ok(())
    });
    suite.add("names::a_trace_is_for_the_client_of_its_issuer", async |mesh| {
        let here = Place::standing(mesh).await?;
        for (who, call) in here.everybody(&send_1_0("trace").header("x-attache-explain", "1")) {
            let reply = here.send(&call).await?;
            ensure!(reply.is_success(), "{who}: {} {}", reply.status, reply.text());
            let sees = reply.header("x-attache-explain").is_some();
            ensure!(sees == ["guests t-1", "key"].contains(&who), "{who}: {:?}", reply.headers);
        }
        Ok(())
    });
    suite.add("names::every_name_reaches_the_agent_as_it_was_said", async |mesh| {
        let here = Place::standing(mesh).await?;
        let texts = [
            "ann",
            " ann",
            "ann ",
            "  ann",
            " ann ",
            " ",
            "  ",
            "%20ann",
            "%2520ann",
            "a nn",
            "\tann",
            "ann\t",
            "ann\u{a0}",
            "Zoë \u{1f600}",
            "Zoe\u{308}",
            "a,b",
            "\"ann\"",
            "a%00b",
            "a\u{0}b",
            "ann\r\nx-attache: kind=\"user\"",
            "ann\", kind=\"user",
            "ann\\",
            "%\"ann\"",
            "ann%22",
            "\u{feff}ann",
            "ANN",
        ];
        let mut values = Vec::new();
        for text in texts {
            let token = here.house(&json!({"sub": text, "client_id": text, "tid": text, "act": {"sub": text}}));
            let reply = here.send(&send_1_0("said").bearer(&token)).await?;
            let echo = reply.echo().with_context(|| format!("{text:?}: {} {}", reply.status, reply.text()))?;
            for name in ["subject", "client", "tenant", "actor"] {
                let seen = echo.told(name);
                ensure!(seen == [text], "{name} {text:?} came as {seen:?}");
            }
            ensure!(echo.told("kind") == ["service"], "{:?}", echo.0);
            let value = echo.header("x-attache").join("|");
            ensure!(!values.contains(&value), "{text:?} came as another: {value:?}");
            values.push(value);
        }
        let long = here.house(&json!({"sub": "x".repeat(1025)}));
        let reply = here.send(&send_1_0_http("long").bearer(&long)).await?;
        refusal::check(&reply, "token_malformed", &Form::Status)?;
        let scp = json!(["agent:read agent:admin", "agent:execute", " agent:admin", "agent:admin\t", "agent:\"admin", "agent:ädmin", ""]);
        let reply = here.send(&send_1_0("scopes").bearer(&here.house(&json!({"scope": null, "scp": scp})))).await?;
        ensure!(reply.reason().as_deref() == Some("token_malformed"), "a scope of null: {}", reply.text());
        let mut claims = here.claims(HOUSE, &json!({"scp": scp}));
        claims.as_object_mut().map(|claims| claims.remove("scope"));
        let reply = here.send(&send_1_0("scopes").bearer(&here.house.sign(&claims))).await?;
        let echo = reply.echo().with_context(|| format!("{} {}", reply.status, reply.text()))?;
        ensure!(echo.told("scopes") == ["agent:execute"], "{:?}", echo.0);
        Ok(())
    });
    suite.add("names::rules_and_traces_that_do_not_say_whose_names_they_mean_stop_envoy", async |mesh| {
        let guests = Mint::new("guests-1")?;
        type Edit = fn(&mut Value);
        let cases: [(&str, &str, Edit); 4] = [
            ("clients", "agents[0].access[0].require.clients: callers of several issuers or schemes", |plugin| {
                plugin["agents"][0]["access"] = json!([{"operations": ["any"], "require": {"clients": [CLIENT]}}]);
            }),
            ("tenants", "\"tenants\": [\"t-1\", \"t-2\"]", |plugin| {
                plugin["agents"][0]["access"] = json!([{"operations": ["any"], "require": {"subjects": ["ann"], "issuers": ["guests"]}}]);
            }),
            ("debug", "debug.allow[0]: callers of several issuers or schemes", |plugin| plugin["debug"] = json!({"allow": [CLIENT]})),
            ("scheme", "schemes.corp: an issuer is called so too", |plugin| {
                let key = plugin["schemes"]["key"].clone();
                plugin["schemes"]["corp"] = key;
            }),
        ];
        for (name, says, edit) in cases {
            let mut file = mesh.inbound_file()?;
            file.edit_plugin(|plugin| {
                several(plugin, &guests, &mesh.audience);
                edit(plugin);
            })?;
            let (code, log) = Envoy::refuse(&format!("names-{name}"), &file, Options::default()).await?;
            let line = log.lines().find(|line| line.contains("attache: configuration refused: ")).unwrap_or_default();
            ensure!(code.is_some_and(|code| code != 0) && line.contains(says), "{name}: {code:?} {line}");
        }
        Ok(())
    });
    suite.add("names::long_rsa_keys_are_left_out_and_the_log_says_so", async |mesh| {
        let mint = Mint::new("house-1")?;
        let mut modulus = [0x5a_u8; 1024];
        (modulus[0], modulus[1023]) = (0x80, 0x5b);
        let long = json!({"kty": "RSA", "kid": "long", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"});
        for (most, expect) in [(4096, "token_key_unknown"), (8192, "token_signature_invalid")] {
            let mut file = mesh.inbound_file()?;
            House::trust(&mut file, &mint, &mesh.audience)?;
            file.edit_plugin(|plugin| {
                let house = &mut plugin["issuers"][1];
                house["jwks"]["inline"]["keys"] = json!([mint.jwk(), long]);
                (house["max_rsa_bits"], house["algorithms"]) = (json!(most), json!(["ES256", "RS256"]));
            })?;
            let envoy = Envoy::start(&format!("names-rsa-{most}"), &file, Options::default()).await?;
            if most == 4096 {
                envoy.logged(&["issuers[1].jwks: 1 RSA keys of \"house\" are left out", "max_rsa_bits"]).await?;
            }
            let header = json!({"alg": "RS256", "kid": "long", "typ": "at+jwt"});
            let token = mint.sign_as(&header, &House::claims_for(SUBJECT, &mesh.audience));
            // A signature of the right length, that nobody made.
            let (signed, _) = token.rsplit_once('.').context("no token")?;
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode([1_u8; 1024]));
            let reply = send_1_0_http("long").bearer(&token).send(envoy.port()).await?;
            refusal::check(&reply, expect, &Form::Status)?;
            crate::suite::works(envoy.port(), &mint.sign(&House::claims_for(SUBJECT, &mesh.audience))).await?;
        }
        Ok(())
    });
}

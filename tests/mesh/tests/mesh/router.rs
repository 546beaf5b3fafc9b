//! Match and route are one decision: a real Envoy whose virtual hosts and routes are made of the same hosts and prefixes as
//! the agents (or connections) of the filter. Whoever the filter chooses must be who answers, or the request is refused.

use anyhow::{Context as _, Result, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::mesh::Mesh;
use attache_mesh::raw::{self, Kept};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::suite::Suite;

const DATA: &str = include_str!("router.json");

pub fn add(suite: &mut Suite) {
    suite.add("router::the_chosen_agent_is_the_chosen_route", async |mesh| agents(mesh, "exact").await);
    suite.add("router::the_chosen_agent_is_the_chosen_route_where_ports_are_ignored", async |mesh| agents(mesh, "ignore").await);
    suite.add("router::each_route_gets_its_own_credential", async |mesh| connections(mesh, "exact").await);
    suite.add("router::each_route_gets_its_own_credential_where_ports_are_ignored", async |mesh| connections(mesh, "ignore").await);
}

/// The rows of a list in the data.
fn list<'a>(data: &'a Value, name: &str) -> Result<Vec<&'a str>> {
    data[name].as_array().context("a list")?.iter().map(|text| text.as_str().context("a text")).collect()
}

/// Hosts with prefixes, without those that cannot match where ports are ignored.
fn places(data: &Value, ports: &str) -> Result<Vec<(Vec<String>, Vec<String>)>> {
    let texts = |value: &Value| -> Result<Vec<String>> {
        value.as_array().context("a list")?.iter().map(|text| Ok(text.as_str().context("a text")?.to_owned())).collect()
    };
    let all = data["places"].as_array().context("places")?.iter();
    let all = all.map(|place| Ok((texts(&place["hosts"])?, texts(&place["prefixes"])?))).collect::<Result<Vec<_>>>()?;
    let has_port = |host: &String| host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    Ok(all.into_iter().filter(|(hosts, _)| ports == "exact" || !hosts.iter().any(has_port)).collect())
}

/// 200 authorities and more.
fn authorities(data: &Value) -> Result<Vec<String>> {
    let mut all: Vec<String> = list(data, "authorities")?.into_iter().map(str::to_owned).collect();
    for host in list(data, "hosts")? {
        for variant in list(data, "variants")? {
            all.push(variant.replace("{upper}", &host.to_ascii_uppercase()).replace("{}", host));
        }
    }
    ensure!(all.len() >= 200, "{} authorities", all.len());
    Ok(all)
}

/// The file with one virtual host for each place, whose routes answer by themselves with their own name, and with what
/// the filter made of the request. `own` makes an agent or connection of name and match.
fn file(mesh: &Mesh, data: &Value, ports: &str, list: &str, own: impl Fn(&str, Value) -> Value) -> Result<EnvoyFile> {
    let mut file = mesh.inbound_file()?;
    let (mut hosts, mut rules) = (Vec::new(), Vec::new());
    for (index, (domains, mut prefixes)) in places(data, ports)?.into_iter().enumerate() {
        // Envoy takes the first route that fits.
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        let mut routes = Vec::new();
        for (order, prefix) in prefixes.iter().enumerate() {
            let name = format!("place{index}-{order}");
            let fits = if prefix == "/" { json!({"prefix": "/"}) } else { json!({"path_separated_prefix": prefix}) };
            let tell = |name: &str, value: &str| json!({"header": {"key": name, "value": value}});
            routes.push(json!({"match": fits, "direct_response": {"status": 200, "body": {"inline_string": "here"}},
                "response_headers_to_add": [tell("x-route", &name), tell("x-agent", "%REQ(x-agent)%"),
                    tell("x-credential", "%REQ(x-partner-key)%")]}));
            rules.push(own(&name, json!({"hosts": domains, "path_prefix": prefix, "ports": ports})));
        }
        hosts.push(json!({"name": format!("place{index}"), "domains": domains, "routes": routes}));
    }
    file.edit_plugin(|plugin| {
        *plugin = json!({"schemes": {"open": {"none": {}}}, "allow_inline_secrets": true, "audit": {"level": "none"}, list: rules});
        if list == "connections" {
            let secret = |rule: &Value| Some((rule["name"].as_str()?.to_owned(), json!({"inline": rule["name"]})));
            plugin["secrets"] = rules.iter().filter_map(secret).collect::<serde_json::Map<_, _>>().into();
        }
    })?;
    let manager = file.http_manager()?;
    // What Envoy would clean or refuse itself is left to the filter.
    manager["normalize_path"] = json!(false);
    manager["merge_slashes"] = json!(false);
    manager["path_with_escaped_slashes_action"] = json!("KEEP_UNCHANGED");
    manager["route_config"] = json!({"virtual_hosts": hosts, "ignore_port_in_host_matching": ports == "ignore"});
    Ok(file)
}

/// What came of all requests.
#[derive(Default)]
struct Tally {
    /// Requests that went on, by the route that answered.
    allowed: BTreeMap<String, usize>,
    /// Went on, and no route was there.
    unrouted: usize,
    refused: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// Takes an answer: `chosen` names the header that tells whom the filter chose.
    fn take(&mut self, what: &str, reply: &Reply, chosen: &str) {
        let text = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !matches!(*text, "" | "-"));
        match (text("x-route"), text(chosen)) {
            (Some(route), Some(chosen)) if route == chosen => *self.allowed.entry(route.to_owned()).or_default() += 1,
            (Some(route), chosen) => self.wrong.push(format!("{what}: the filter chose {chosen:?}, Envoy {route}")),
            // Envoy's own 404 has no body; a refusal by the filter has one.
            (None, _) if reply.status == 404 && reply.body.is_empty() => {
                self.unrouted += 1;
                self.wrong.push(format!("{what}: the filter let it go on, and Envoy has no route"));
            }
            (None, _) => self.refused += 1,
        }
    }

    /// Nothing was wrong, and not everything was refused.
    fn check(&self, what: &str, least: usize) -> Result<()> {
        let allowed: usize = self.allowed.values().sum();
        println!("{what}: {allowed} chosen alike at {} routes, {} refused, {} wrong", self.allowed.len(), self.refused, self.wrong.len());
        let shown = self.wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        ensure!(self.wrong.is_empty(), "{} of {}:\n{shown}", self.wrong.len(), allowed + self.refused);
        ensure!(allowed >= least, "only {allowed} of {} were allowed", allowed + self.refused);
        Ok(())
    }
}

/// Every authority with every path, as a client writes them.
async fn ask(envoy: &Envoy, data: &Value, chosen: &str, every: usize) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Kept::new(envoy.port());
    for (index, authority) in authorities(data)?.iter().enumerate() {
        for (order, path) in list(data, "paths")?.into_iter().enumerate() {
            if (index + order) % every != 0 {
                continue;
            }
            let head = raw::head(&format!("GET {path}"), &[("host", authority.as_bytes()), ("a2a-version", b"1.0")]);
            tally.take(&format!("{authority} {path}"), &line.ask(&head).await?, chosen);
            // The host of the target counts in absolute form, not the header. What ends an authority in a URI would leave no path,
            // which Envoy answers with 404 before any filter.
            if (index + order) % 7 == 0 && !authority.contains(['/', '?', '#']) {
                let target = format!("GET http://{authority}{path}");
                let head = raw::head(&target, &[("host", b"nobody.invalid"), ("a2a-version", b"1.0")]);
                tally.take(&target, &line.ask(&head).await?, chosen);
            }
        }
    }
    let mut over_http2 = 0;
    for (index, authority) in authorities(data)?.iter().enumerate().filter(|(index, _)| index % 4 == 0) {
        let path = list(data, "paths")?.into_iter().nth(index % 25).context("a path")?;
        let call = Call::get(path.to_owned()).host(authority).version("1.0");
        // Some authorities no HTTP/2 client can write.
        if let Ok(reply) = raw::http2(envoy.port(), &call, 1, &[]).await {
            tally.take(&format!("h2 {authority} {path}"), &reply, chosen);
            over_http2 += 1;
        }
    }
    ensure!(over_http2 >= 30, "only {over_http2} over HTTP/2");
    Ok(tally)
}

async fn agents(mesh: &Mesh, ports: &str) -> Result<()> {
    let data: Value = serde_json::from_str(DATA)?;
    let agent = |name: &str, target: Value| {
        json!({"name": name, "match": target, "security": [{"open": []}], "default_version": "1.0",
            "tenant": {"ignore": {}}, "forward": {"headers": {"x-agent": {"member": "agent", "form": "text"}}},
            "versions": {"1.0": {"bindings": ["http_json"]}, "0.3": {"bindings": ["http_json"]}}})
    };
    let file = file(mesh, &data, ports, "agents", agent)?;
    let envoy = Envoy::start(&format!("router-{ports}"), &file, Options::default()).await?;
    let tally = ask(&envoy, &data, "x-agent", 1).await?;
    tally.check(&format!("agents, ports {ports}"), 1500)?;
    ensure!(
        tally.allowed.len() * 5 >= places(&data, ports)?.iter().map(|(_, prefixes)| prefixes.len()).sum::<usize>() * 4,
        "{:?}",
        tally.allowed
    );
    if ports == "exact" {
        envoy.logged(&["because of its port alone", "match.ports"]).await?;
    }
    Ok(())
}

async fn connections(mesh: &Mesh, ports: &str) -> Result<()> {
    let data: Value = serde_json::from_str(DATA)?;
    let connection = |name: &str, target: Value| json!({"name": name, "match": target, "version": "1.0", "pin": "none", "credential": {"header": {"name": "x-partner-key", "value": {"secret": name}}}});
    let file = file(mesh, &data, ports, "connections", connection)?;
    let envoy = Envoy::start(&format!("router-out-{ports}"), &file, Options::default()).await?;
    ask(&envoy, &data, "x-credential", 5).await?.check(&format!("connections, ports {ports}"), 300)
}

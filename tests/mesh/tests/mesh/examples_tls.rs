//! `envoy/tls.yaml`, `tls-outbound.yaml` and `secrets.yaml`: who is trusted on each side, who is not, and secrets that are renewed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use attache_mesh::canary;
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply, message_1_0, rpc};
use attache_mesh::mesh::{Mesh, PARTNER_KEY};
use attache_mesh::refusal::{self, Form};
use attache_mesh::stand_in::{Answer, StandIn};
use attache_mesh::tls::{Authority, Identity, replace_file};
use attache_mesh::told::ensure_told;
use attache_mesh::{place, wait};
use serde_json::{Value, json};

use crate::examples::{example, send, went_on};
use crate::suite::Suite;

const AGENT: &str = "spiffe://corp/ns/expense/agent";

/// The authorities of the files, and the folder with what they name.
struct Trust {
    public: Authority,
    internal: Authority,
    supplier: Authority,
    clients: Authority,
    folder: PathBuf,
}

impl Trust {
    fn new(name: &str) -> Result<Self> {
        let folder = place::logs().join(place::unique(name));
        std::fs::create_dir_all(&folder)?;
        let here = Self {
            public: Authority::new("public")?,
            internal: Authority::new("internal")?,
            supplier: Authority::new("supplier")?,
            clients: Authority::new("clients")?,
            folder,
        };
        for (authority, file) in [
            (&here.public, "ca-certificates.crt"),
            (&here.internal, "internal-ca.pem"),
            (&here.supplier, "supplier-ca.pem"),
            (&here.clients, "clients-ca.pem"),
        ] {
            authority.put(&here.folder.join(file))?;
        }
        here.public.issue("server", &[], &["localhost"])?.put(&here.folder, "server")?;
        here.internal.issue("envoy", &["spiffe://corp/gateway"], &[])?.put(&here.folder, "envoy")?;
        Ok(here)
    }

    /// Makes the file read its certificates here.
    fn place(&self, file: &mut EnvoyFile) -> Result<()> {
        let folder = self.folder.to_string_lossy();
        file.replace("/etc/ssl/certs/ca-certificates.crt", &format!("{folder}/ca-certificates.crt"))?;
        file.replace("/etc/envoy/tls", &folder)
    }
}

/// A server on the other side: its certificate, whose clients it takes, and where its requests go.
type Server<'a> = (&'a str, Identity, Option<&'a Authority>, u16);

/// One Envoy that is all servers, and says by which name each was asked for.
async fn far(name: &str, servers: &[Server<'_>]) -> Result<Envoy> {
    let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
    for (server, identity, clients, port) in servers {
        let mut common = json!({"tls_certificates": [identity.in_files()?]});
        if let Some(authority) = clients {
            common["validation_context"] = json!({"trusted_ca": {"filename": authority.file()?}});
        }
        listeners.push(json!({
            "name": server, "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "listener_filters": [{"name": "tls", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}}],
            "filter_chains": [{
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "require_client_certificate": clients.is_some(), "common_tls_context": common}},
                "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": server,
                    "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
                    "route_config": {
                        "response_headers_to_add": [{"header": {"key": "x-asked-for", "value": "%REQUESTED_SERVER_NAME%"}}],
                        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": server}}]}],
                    },
                }}],
            }],
        }));
        clusters.push(json!({"name": server, "connect_timeout": "5s", "load_assignment": {"cluster_name": server, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]}}));
    }
    let root = json!({
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    });
    Envoy::start(name, &EnvoyFile::from_value(root), Options::default()).await
}

fn to(host: &str) -> Call {
    Call::post("/", &rpc(json!(host), "SendMessage", message_1_0("tls"))).host(host)
}

/// Envoy itself could not reach a server that it trusts.
fn no_upstream(reply: &Reply) -> Result<()> {
    ensure!(reply.status == 503 && reply.reason().is_none() && reply.echo().is_none(), "{} {}", reply.status, reply.text());
    Ok(())
}

async fn inbound(mesh: &Mesh) -> Result<()> {
    let trust = Trust::new("tls")?;
    let far = far(
        "tls-far",
        &[
            ("agent", trust.internal.issue("agent", &[AGENT], &[])?, Some(&trust.internal), mesh.agent_1_0.port),
            ("impostor", trust.internal.issue("other", &["spiffe://corp/ns/other/agent"], &[])?, None, mesh.agent_1_0.port),
            ("idp", trust.public.issue("idp", &[], &["auth.example.com"])?, None, mesh.authorization.port),
            ("somebody", trust.public.issue("somebody", &[], &["somebody.example.com"])?, None, mesh.authorization.port),
        ],
    )
    .await?;
    let mut file = example(mesh, "tls.yaml")?;
    trust.place(&mut file)?;
    file.address("expense", far.port_of("agent").await?)?;
    file.address("idp", far.port_of("idp").await?)?;
    let envoy = Envoy::start("tls", &file, Options::default()).await?;
    let (port, token) = (envoy.port(), mesh.token().await?);
    let over = async |call: &Call, client: Option<&Identity>| trust.public.send(call, port, client).await;
    let reply = over(&send("token").bearer(&token), None).await?;
    went_on(&reply)?;
    ensure!(reply.header("x-asked-for") == Some("expense.internal"), "{:?}", reply.headers);
    let desk = trust.clients.issue("ann", &["spiffe://corp/ns/desk/ann"], &[])?;
    let reply = over(&send("certificate"), Some(&desk)).await?;
    ensure_told(&reply.echo().with_context(|| reply.text())?, "client", "spiffe://corp/ns/desk/ann")?;
    refusal::check(&over(&send("nobody"), None).await?, "credentials_missing", &Form::Rpc(json!("nobody")))?;
    let kitchen = trust.clients.issue("kitchen", &["spiffe://corp/ns/kitchen/bob"], &[])?;
    refusal::check(&over(&send("kitchen"), Some(&kitchen)).await?, "certificate_refused", &Form::Rpc(json!("kitchen")))?;
    let stranger = Authority::new("stranger")?.issue("ann", &["spiffe://corp/ns/desk/ann"], &[])?;
    ensure!(over(&send("stranger"), Some(&stranger)).await.is_err(), "a certificate of a stranger was taken");

    // Servers of the right authority that are somebody else.
    file.address("expense", far.port_of("impostor").await?)?;
    let envoy = Envoy::start("tls-impostor", &file, Options::default()).await?;
    no_upstream(&trust.public.send(&send("impostor").bearer(&token), envoy.port(), None).await?)?;
    file.address("expense", far.port_of("agent").await?)?;
    file.address("idp", far.port_of("somebody").await?)?;
    let envoy = Envoy::start("tls-somebody", &file, Options::default()).await?;
    let reply = trust.public.send(&send("keys").bearer(&token), envoy.port(), None).await?;
    refusal::check(&reply, "keys_unavailable", &Form::Rpc(json!("keys")))
}

async fn outbound(mesh: &Mesh) -> Result<()> {
    let trust = Trust::new("tls-outbound")?;
    let far = far(
        "tls-outbound-far",
        &[
            ("partner", trust.public.issue("partner", &[], &["*.partner.example.com"])?, None, mesh.partner.port),
            (
                "supplier",
                trust.supplier.issue("supplier's agent", &[], &["supplier.example.com"])?,
                Some(&trust.internal),
                mesh.agent_1_0.port,
            ),
            ("unknown", trust.public.issue("supplier", &[], &["supplier.example.com"])?, None, mesh.agent_1_0.port),
            ("idp", trust.public.issue("idp", &[], &["auth.example.com"])?, None, mesh.authorization.port),
        ],
    )
    .await?;
    let mut file = EnvoyFile::load("tls-outbound.yaml")?;
    trust.place(&mut file)?;
    for name in ["partner", "supplier", "idp"] {
        file.address(name, far.port_of(name).await?)?;
    }
    file.edit_plugin(|plugin| {
        let own = &mut plugin["connections"][1]["credential"]["client_credentials"];
        own["client"]["token_endpoint"]["uri"] = json!(format!("{}/token", mesh.authorization.issuer));
        own["client"]["client_id"] = json!("caller");
        own["request"]["resource"] = json!([mesh.audience]);
    })?;
    let options = Options::default().env("PARTNER_KEY", PARTNER_KEY).env("CLIENT_SECRET", "caller-secret");
    let envoy = Envoy::start("tls-outbound", &file, options.clone()).await?;
    for host in ["acme.partner.example.com", "corp.partner.example.com"] {
        let reply = to(host).send(envoy.port()).await?;
        went_on(&reply)?;
        ensure!(reply.header("x-asked-for") == Some(host), "{:?}", reply.headers);
        ensure!(reply.echo().is_some_and(|echo| echo.header("x-api-key") == [PARTNER_KEY]), "{}", reply.text());
    }
    let reply = to("supplier.example.com").send(envoy.port()).await?;
    let echo = reply.echo().with_context(|| format!("{} {}", reply.status, reply.text()))?;
    ensure!(echo.header("authorization").iter().any(|value| value.starts_with("Bearer ey")), "{:?}", echo.0);
    ensure!(reply.header("x-asked-for") == Some("supplier.example.com"), "{:?}", reply.headers);
    // The certificate is not for that host; nor is another authority's the supplier's. Nothing leaves.
    let deep = Call::post("/?mark=tls-deep", &rpc(json!(1), "SendMessage", message_1_0("x"))).host("a.b.partner.example.com");
    no_upstream(&deep.send(envoy.port()).await?)?;
    ensure!(mesh.partner.saw("mark=tls-deep").await? == 0, "it left");
    file.address("supplier", far.port_of("unknown").await?)?;
    let envoy = Envoy::start("tls-outbound-unknown", &file, options).await?;
    let call = Call::post("/?mark=tls-unknown", &rpc(json!(1), "SendMessage", message_1_0("x"))).host("supplier.example.com");
    no_upstream(&call.send(envoy.port()).await?)?;
    ensure!(mesh.agent_1_0.saw("mark=tls-unknown").await? == 0, "it left");
    Ok(())
}

/// The files of `secrets.yaml` in folders of this run.
fn with_secrets(trust: &Trust, secrets: &Path) -> Result<EnvoyFile> {
    let mut file = EnvoyFile::load("secrets.yaml")?;
    let folder = trust.folder.to_string_lossy().into_owned();
    for name in ["sds-certificate.yaml", "sds-ca.yaml"] {
        let text = std::fs::read_to_string(place::root().join("envoy").join(name))?;
        std::fs::write(trust.folder.join(name), text.replace("/etc/envoy/tls", &folder))?;
        file.replace(&format!("\"{name}\""), &format!("\"{folder}/{name}\""))?;
    }
    trust.place(&mut file)?;
    file.replace("/etc/envoy/secrets", &secrets.to_string_lossy())?;
    // A path of a socket is short, whatever the folder of the run.
    let socket = std::env::temp_dir().join(format!("attache-{}.sock", std::process::id()));
    file.replace("/run/envoy/files.sock", &socket.to_string_lossy())?;
    file.replace("\\\"refresh\\\": \\\"60s\\\"", "\\\"refresh\\\": \\\"1s\\\"")?;
    Ok(file)
}

async fn secrets(mesh: &Mesh) -> Result<()> {
    let trust = Trust::new("secrets")?;
    let secrets = trust.folder.join("secrets");
    std::fs::create_dir_all(&secrets)?;
    let [first, second, vaulted, token] = ["canary-file-one", "canary-file-two", "canary-vault", "canary-environment"];
    [first, second, vaulted, token].into_iter().for_each(canary::keep);
    replace_file(&secrets.join("partner-key"), &format!("{first}\n"))?;
    let vault = StandIn::start(Answer::new("200 OK", "application/json", json!({"data": {"data": {"key": vaulted}}}).to_string())).await?;
    let mut file = with_secrets(&trust, &secrets)?;
    file.cluster("vault", vault.port)?;
    file.cluster("partner", mesh.agent_1_0.port)?;
    let options = Options::default().own().env("CLIENT_SECRET", token).env("VAULT_TOKEN", "canary-vault-token");
    let envoy = Envoy::start("secrets", &file, options).await?;
    let port = envoy.port_of("outbound").await?;
    let client = trust.clients.issue("travel", &["spiffe://corp/ns/travel"], &[])?;
    let key = async |host: &str, header: &str| -> Result<Vec<String>> {
        let reply = trust.public.send(&to(host), port, Some(&client)).await?;
        Ok(reply.echo().with_context(|| format!("{host}: {} {}", reply.status, reply.text()))?.header(header))
    };
    ensure!(key("partner.example.com", "x-api-key").await? == [first], "not the file's");
    ensure!(key("vaulted.example.com", "x-api-key").await? == [vaulted], "not Vault's");
    ensure!(key("token.example.com", "authorization").await? == [format!("Bearer {token}")], "not the environment's");
    ensure!(trust.public.send(&to("partner.example.com"), port, None).await.is_err(), "a caller without a certificate");

    replace_file(&secrets.join("partner-key"), &format!("{second}\n"))?;
    wait::until("the new key", wait::PATIENCE, async || Ok((key("partner.example.com", "x-api-key").await? == [second]).then_some(())))
        .await?;
    // A certificate of another authority takes the server's place: who trusts that one alone is served.
    let renewed = Authority::new("renewed")?;
    renewed.issue("server", &[], &["localhost"])?.put(&trust.folder, "server")?;
    wait::until("the new certificate", wait::PATIENCE, async || {
        let reply = renewed.send(&to("partner.example.com"), port, Some(&client)).await;
        Ok(reply.is_ok_and(|reply| reply.status == 200).then_some(()))
    })
    .await?;
    let dump: Value = Call::get("/config_dump?include_eds").send(envoy.admin()).await?.json();
    let dump = dump.to_string() + &envoy.log();
    for secret in [first, second, vaulted, token, "BEGIN PRIVATE KEY"] {
        ensure!(!dump.contains(secret), "{secret} is in the configuration that Envoy shows, or in its log");
    }
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("examples_tls::callers_agent_and_authorization_server_are_who_they_say", inbound);
    suite.add("examples_tls::calls_leave_to_whom_the_certificate_names", outbound);
    suite.add("examples_tls::secrets_are_renewed_while_envoy_runs", secrets);
}

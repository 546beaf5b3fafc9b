//! What `make dist` makes: the same files wherever it is made, whole and described, an image that a registry keeps and others take the
//! module from, and a protected agent from its files and the page about getting started alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use attache_mesh::envoy::{Envoy, Options};
use attache_mesh::envoy_file::EnvoyFile;
use attache_mesh::http::{Call, Reply};
use attache_mesh::port::Reserved;
use attache_mesh::process::{self, Process};
use attache_mesh::{place, wait};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use crate::getting_started::{Page, agent};
use crate::suite::Suite;

/// Runs a program to its end; what it printed. Its errors are an error.
async fn run(command: Command) -> Result<String> {
    let what = format!("{command:?}");
    let _turn = process::turn_to_run().await;
    let mut command = command;
    let output = tokio::task::spawn_blocking(move || command.output()).await?.with_context(|| format!("cannot run {what}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}\n{said}{}", output.status, String::from_utf8_lossy(&output.stdout));
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a script in a folder.
async fn bash(script: &str, folder: &Path) -> Result<String> {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(folder);
    run(command).await.with_context(|| script.to_owned())
}

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn new_folder(name: &str) -> Result<PathBuf> {
    let folder = place::logs().join(place::unique(name));
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The release, made of what is built, in a folder of this run.
async fn release() -> Result<&'static Path> {
    static MADE: OnceCell<PathBuf> = OnceCell::const_new();
    let made = MADE.get_or_try_init(async || {
        let folder = new_folder("release")?;
        let root = place::root().display();
        bash(&format!("python3 -B '{root}/tools/release' dist --output ."), &folder).await.context("run: make dist")?;
        anyhow::Ok(folder)
    });
    made.await.map(PathBuf::as_path)
}

/// The one entry of the release with such an end, and without it.
fn entry(folder: &Path, end: &str) -> Result<(PathBuf, String)> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(start) = name.strip_suffix(end).filter(|start| end.is_empty() == path.is_dir() && start.starts_with("attache-")) {
            return Ok((path.clone(), start.to_owned()));
        }
    }
    bail!("no attache-…{end} in {}", folder.display())
}

/// The unpacked release.
async fn files() -> Result<PathBuf> {
    Ok(entry(release().await?, "")?.0)
}

/// The version in Cargo.toml.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

async fn is_the_same_wherever_and_whenever_it_is_made() -> Result<()> {
    let (first, name) = entry(release().await?, ".tar.gz")?;
    ensure!(name == format!("attache-{}", version()), "{name}");
    let other = new_folder("release-elsewhere")?;
    let root = place::root().display();
    let script =
        format!("umask 077; export TZ=Pacific/Auckland LC_ALL=C PYTHONHASHSEED=7; python3 -B '{root}/tools/release' dist --output .");
    bash(&script, &other).await?;
    let second = entry(&other, ".tar.gz")?.0;
    ensure!(std::fs::read(&first)? == std::fs::read(&second)?, "{} and {} differ", first.display(), second.display());
    Ok(())
}

/// Whether `needle` is in `bytes`.
fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

async fn is_whole_and_names_no_machine() -> Result<()> {
    let files = files().await?;
    bash("sha256sum -c --quiet ./*.tar.gz.sha256", release().await?).await?;
    bash("sha256sum -c --quiet SHA256SUMS && sha256sum -c --quiet attache.wasm.sha256", &files).await?;
    let listed = std::fs::read_to_string(files.join("SHA256SUMS"))?;
    let listed: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_once("  ")).map(|(_, file)| file).collect();
    let there = bash("find . -type f ! -name SHA256SUMS | sed 's|^./||'", &files).await?;
    ensure!(listed == there.lines().collect(), "SHA256SUMS lists {listed:?}, there are {there}");
    for name in ["INSTALL.md", "LICENSE", "docs/getting-started.md", "envoy/first-agent.yaml", "attache.schema.json"] {
        ensure!(listed.contains(name), "no {name}");
    }
    let module = std::fs::read(files.join("attache.wasm"))?;
    ensure!(module == std::fs::read(place::module(false))?, "the module is another");
    let said = bash("./attache --version", &files).await?;
    ensure!(said.trim() == format!("attache {}", version()), "{said}");
    // Where it was built, and by whom.
    let home = std::env::var("HOME").unwrap_or_default();
    for path in [place::root().to_string_lossy().as_ref(), &home] {
        for name in ["attache.wasm", "attache"] {
            ensure!(path.len() < 3 || !holds(&std::fs::read(files.join(name))?, &format!("{path}/")), "{name} has {path} in it");
        }
    }
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(files.join("attache.schema.json"))?)?;
    ensure!(schema["properties"]["agents"].is_object(), "the schema knows no agents");
    Ok(())
}

/// No page of the release has a link that leads nowhere.
async fn links_lead_to_its_own_files() -> Result<()> {
    let files = files().await?;
    let pages = bash("find . -name '*.md'", &files).await?;
    let mut seen = 0;
    for page in pages.lines() {
        let text = std::fs::read_to_string(files.join(page))?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !link.is_empty() && !link.contains("://") && !link.contains(' ') {
                seen += 1;
                let target = files.join(page).with_file_name("").join(link);
                ensure!(target.exists(), "{page}: nothing is at {link}");
            }
        }
    }
    ensure!(seen > 50, "only {seen} links");
    Ok(())
}

async fn its_bills_of_materials_are_valid_and_true() -> Result<()> {
    let files = files().await?;
    let lock = std::fs::read_to_string(place::root().join("Cargo.lock"))?;
    let licences = std::fs::read_to_string(files.join("THIRD-PARTY-LICENSES"))?;
    let cases = [
        ("sbom/attache.wasm.cdx.json", "attache.wasm", ["proxy-wasm", "rsa", "rust-std"], ["wasm-bindgen", "clap", "p384"]),
        ("sbom/attache.cdx.json", "attache", ["clap", "saphyr-parser", "p384"], ["proxy-wasm", "wasm-bindgen", "tokio"]),
    ];
    for (bill, of, has, lacks) in cases {
        let script = "import sys\n\
            from cyclonedx.schema import SchemaVersion\n\
            from cyclonedx.validation.json import JsonStrictValidator\n\
            fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())\n\
            sys.exit(str(fault) if fault else 0)";
        let mut command = Command::new(place::tool("py-release/bin/python"));
        command.args(["-c", script]).arg(files.join(bill));
        run(command).await.with_context(|| format!("{bill} is no valid bill of materials"))?;
        let value: Value = serde_json::from_str(&std::fs::read_to_string(files.join(bill))?)?;
        let main = &value["metadata"]["component"];
        ensure!(main["version"] == version() && main["hashes"][0]["content"] == sha256(std::fs::read(files.join(of))?), "{bill}: {main}");
        let components = value["components"].as_array().context("no components")?;
        let inside: BTreeSet<&str> =
            components.iter().filter(|one| one["scope"] == "required").filter_map(|one| one["name"].as_str()).collect();
        ensure!(has.iter().all(|name| inside.contains(name)), "{bill} lacks one of {has:?}: {inside:?}");
        ensure!(!lacks.iter().any(|name| inside.contains(name)), "{bill} has one of {lacks:?}");
        for component in components.iter().filter(|one| one["purl"].is_string()) {
            let name = component["name"].as_str().unwrap_or_default();
            let checksum = component["hashes"][0]["content"].as_str().unwrap_or_default();
            ensure!(checksum.len() == 64 && lock.contains(checksum), "{bill}: {component}");
            let row = format!("  {name} {}", component["version"].as_str().unwrap_or_default());
            ensure!(component["scope"] != "required" || licences.contains(&row), "no licence of {row}");
        }
    }
    Ok(())
}

/// Debian's registry on a port that it takes itself.
async fn registry() -> Result<(Arc<Process>, u16)> {
    let folder = new_folder("registry")?;
    let config = folder.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
        folder.join("data").display()
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(place::tool("bin/docker-registry"));
    command.arg("serve").arg(config);
    let process = process::spawn(&place::unique("registry"), command)?;
    let port = wait::until("the registry to listen", Duration::from_secs(30), async || {
        if let Some(status) = process.ended() {
            bail!("the registry ended with {status}\n{}", process.tail());
        }
        let log = process.log();
        let port = log.split_once("listening on 127.0.0.1:").map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect());
        Ok(port.and_then(|port: String| port.parse::<u16>().ok()))
    });
    let port = port.await?;
    Ok((process, port))
}

/// What a registry has at a path, which must be what its digest says.
async fn fetched(port: u16, path: &str, digest: &str) -> Result<Reply> {
    let accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
    let reply = Call::get(format!("/v2/attache/{path}/{digest}")).header("accept", accept).send(port).await?;
    ensure!(reply.is_success(), "{path}/{digest}: {} {}", reply.status, reply.text());
    ensure!(format!("sha256:{}", sha256(&reply.body)) == digest, "{path}/{digest} has another digest");
    Ok(reply)
}

/// The module as Istio and Envoy Gateway take it from an image (`pkg/wasm/imagefetcher.go`, `internal/wasm/imagefetcher.go`): an image
/// that is not Docker's must have OCI's own kind of layer last, and in it a file whose last name is `plugin.wasm`.
async fn module_of_image(port: u16, digest: &str) -> Result<Vec<u8>> {
    let reply = fetched(port, "manifests", digest).await?;
    let manifest = reply.json();
    ensure!(manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json", "{manifest}");
    ensure!(reply.header("content-type") == manifest["mediaType"].as_str(), "{:?}", reply.header("content-type"));
    let layer = manifest["layers"].as_array().and_then(|layers| layers.last()).context("no layer")?;
    ensure!(layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip", "{layer}");
    ensure!(manifest["annotations"]["module.wasm.image/variant"] == "compat", "{manifest}");
    let blob = fetched(port, "blobs", layer["digest"].as_str().context("no digest")?).await?;
    ensure!(layer["size"] == blob.body.len(), "{layer}");
    let folder = new_folder("layer")?;
    std::fs::write(folder.join("layer.tar.gz"), &blob.body)?;
    // It has the bytes itself: a reader that goes through the archive does not follow links.
    let listed =
        bash("mkdir a; tar --extract --gzip --file layer.tar.gz -C a; tar --list --verbose --gzip --file layer.tar.gz", &folder).await?;
    let first = listed.lines().next().context("an empty layer")?;
    ensure!(first.starts_with("-rw-r--r-- 0/0") && first.ends_with(" plugin.wasm"), "{listed}");
    let (plugin, own) = (std::fs::read(folder.join("a/plugin.wasm"))?, std::fs::read(folder.join("a/attache.wasm"))?);
    ensure!(plugin == own, "the image has two modules");
    Ok(plugin)
}

async fn its_image_is_pushed_and_pulled_by_digest() -> Result<()> {
    let files = files().await?;
    let digest = std::fs::read_to_string(files.join("attache-image.digest"))?.trim().to_owned();
    let module = std::fs::read(place::module(false))?;
    let (registry, port) = registry().await?;
    let reference = format!("127.0.0.1:{port}/attache");
    let skopeo = place::tool("bin/skopeo");
    let copy = |options: &str| format!("{} --insecure-policy copy --quiet {options}", skopeo.display());
    bash(&copy(&format!("--dest-tls-verify=false oci-archive:attache-image.tar docker://{reference}:{}", version())), &files).await?;

    let head = Call::new(http::Method::HEAD, format!("/v2/attache/manifests/{}", version()));
    let head = head.header("accept", "application/vnd.oci.image.manifest.v1+json").send(port).await?;
    ensure!(head.header("docker-content-digest") == Some(&digest), "pushed as {:?}, not {digest}", head.header("docker-content-digest"));
    ensure!(module_of_image(port, &digest).await? == module, "the image has another module");

    // By other clients: skopeo, and oras.
    let folder = new_folder("pulled")?;
    bash(&copy(&format!("--src-tls-verify=false docker://{reference}@{digest} oci:by-skopeo")), &folder).await?;
    ensure!(std::fs::read_to_string(folder.join("by-skopeo/index.json"))?.contains(&digest), "skopeo pulled another image");
    let script = "import oras.client, sys\noras.client.OrasClient(insecure=True).pull(target=sys.argv[1], outdir=sys.argv[2])";
    let mut oras = Command::new(place::tool("py-release/bin/python"));
    oras.args(["-c", script, &format!("{reference}@{digest}")]).arg(folder.join("by-oras"));
    run(oras).await?;
    ensure!(std::fs::read(folder.join("by-oras/attache.wasm"))? == module, "oras pulled another module");

    // Another module would have another digest, and this one does not bring it.
    let wrong = format!("sha256:{}", sha256("another"));
    let missing = Call::get(format!("/v2/attache/manifests/{wrong}")).send(port).await?;
    ensure!(missing.status == 404, "{}: {}", missing.status, missing.text());
    registry.stop();
    Ok(())
}

/// An empty folder, the two files of a release, an Envoy, an agent, and the page. Nothing else.
async fn an_agent_is_protected_by_its_files_and_the_page_alone() -> Result<()> {
    let page = Page::load()?;
    let release = release().await?;
    let folder = new_folder("empty")?;
    for end in [".tar.gz", ".tar.gz.sha256"] {
        let file = entry(release, end)?.0;
        std::fs::copy(&file, folder.join(file.file_name().unwrap_or_default()))?;
    }
    // What the page says to do up to the calls: its commands, without the prompts.
    let block = |part: &str| -> Result<String> {
        let block =
            page.blocks("console").into_iter().find(|block| block.contains(part)).with_context(|| format!("no {part} on the page"))?;
        Ok(block.lines().map(|line| line.strip_prefix("$ ").unwrap_or(line)).collect::<Vec<_>>().join("\n"))
    };
    let shown = bash(&format!("{}\npwd", block("tar xzf")?), &folder).await?;
    let folder = PathBuf::from(shown.lines().last().context("no folder")?);
    let key = bash(&format!("{}\ncat key", block("openssl rand")?), &folder).await?.trim().to_owned();
    ensure!(key.len() == 32, "the key is {} letters", key.len());

    // The agent's SDK is the one that `make setup` installed, so that nothing is downloaded here.
    let pinned = std::fs::read_to_string(place::root().join("tests/mesh/peers/requirements-1.0.txt"))?;
    let sdk = pinned.lines().find_map(|line| line.strip_prefix("a2a-sdk")?.split_once("==")).context("no SDK is pinned")?.1;
    let sdk = sdk.split_whitespace().next().unwrap_or_default();
    ensure!(block("agent.py")?.contains(&format!("a2a-sdk[http-server]=={sdk}\"")), "the page installs another SDK than {sdk}");
    // Each run of the mesh has other ports than the page.
    let (agent, inner) = agent(&page).await?;
    let outer = Reserved::new()?;
    let url = format!("127.0.0.1:{}", outer.port());
    let config = folder.join("first-agent.yaml");
    let text = std::fs::read_to_string(&config)?.replace("9000", &inner.to_string()).replace("127.0.0.1:8080", &url);
    let text = text.replace("port_value: 8080", &format!("port_value: {}", outer.port())).replace("port_value: 9901", "port_value: 0");
    std::fs::write(&config, &text)?;
    let start = block("envoy -c")?;
    let (check, envoy) = start.split_once('\n').context("the page checks, then starts Envoy")?;
    bash(check, &folder).await?;
    ensure!(envoy.trim() == "envoy -c first-agent.yaml", "the page starts {envoy}");
    let file = EnvoyFile::from_value(serde_yaml_ng::from_str(&text)?);
    let envoy = Envoy::start("release", &file, Options::default().within(folder)).await?;

    envoy.logged(&[&format!("attache: version {}", version())]).await?;
    let [card, without, with] = &page.calls(&key)?[..] else { bail!("the page has other calls") };
    let card = card.send(envoy.port()).await?;
    ensure!(card.is_success() && card.text().contains(&format!("http://{url}/")), "the card: {}", card.text());
    let refused = without.send(envoy.port()).await?;
    ensure!(refused.status == 401, "{}: {}", refused.status, refused.text());
    let answer = with.send(envoy.port()).await?;
    ensure!(answer.json()["result"]["message"]["parts"][0]["text"] == "You said: hello", "{}: {}", answer.status, answer.text());
    agent.stop();
    Ok(())
}

pub fn add(suite: &mut Suite) {
    suite.add("release::is_the_same_wherever_and_whenever_it_is_made", async |_| is_the_same_wherever_and_whenever_it_is_made().await);
    suite.add("release::is_whole_and_names_no_machine", async |_| is_whole_and_names_no_machine().await);
    suite.add("release::links_lead_to_its_own_files", async |_| links_lead_to_its_own_files().await);
    suite.add("release::its_bills_of_materials_are_valid_and_true", async |_| its_bills_of_materials_are_valid_and_true().await);
    suite.add("release::its_image_is_pushed_and_pulled_by_digest", async |_| its_image_is_pushed_and_pulled_by_digest().await);
    suite.add("release::an_agent_is_protected_by_its_files_and_the_page_alone", async |_| {
        an_agent_is_protected_by_its_files_and_the_page_alone().await
    });
}

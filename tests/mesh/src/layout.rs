//! An agent in the layout that it has, behind an Envoy that rewrites nothing.

use anyhow::Result;
use serde_json::{Value, json};

use crate::envoy::{Envoy, Options};
use crate::envoy_file::EnvoyFile;
use crate::mesh::Mesh;
use crate::peer::{self, Agent};
use crate::port::Reserved;

/// One agent behind an Envoy that routes everything to it as it is.
pub struct Layout {
    pub envoy: Envoy,
    pub agent: Agent,
    pub url: String,
    _port: Reserved,
}

impl Layout {
    /// Starts it; `members` are those of the agent in the configuration.
    pub async fn start(mesh: &Mesh, name: &str, agent: Agent, members: &Value) -> Result<Self> {
        Self::several(mesh, name, agent, &[("sample", "/", members.clone())]).await
    }

    /// Starts several that one server has, each with its name, where it is, and its members.
    pub async fn several(mesh: &Mesh, name: &str, agent: Agent, agents: &[(&str, &str, Value)]) -> Result<Self> {
        Self::edited(mesh, name, agent, agents, |_| Ok(())).await
    }

    /// The same with more in Envoy's configuration.
    pub async fn edited(
        mesh: &Mesh,
        name: &str,
        agent: Agent,
        agents: &[(&str, &str, Value)],
        edit: impl FnOnce(&mut EnvoyFile) -> Result<()>,
    ) -> Result<Self> {
        let port = Reserved::new()?;
        let url = format!("http://127.0.0.1:{}", port.port());
        let mut file = mesh.inbound_file()?;
        file.listen_on(&port)?;
        file.cluster("expense_v1_0", agent.port)?;
        let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": "expense_v1_0", "timeout": "0s"}}]);
        file.http_manager()?["route_config"]["virtual_hosts"][0]["routes"] = routes;
        file.edit_plugin(|plugin| {
            let of = |(name, prefix, members): &(&str, &str, Value)| {
                let mut own = json!({
                    "name": name, "match": {"hosts": ["*"], "path_prefix": prefix},
                    "public_url": format!("{url}{}", prefix.trim_end_matches('/')),
                    "security": [{"oauth2": ["agent:execute"]}],
                });
                for (name, value) in members.as_object().into_iter().flatten() {
                    own[name] = value.clone();
                }
                own
            };
            plugin["agents"] = agents.iter().map(of).collect();
        })?;
        edit(&mut file)?;
        let envoy = Envoy::start(name, &file, Options::default()).await?;
        Ok(Self { envoy, agent, url, _port: port })
    }

    /// The Python SDK's own sample, whose card says what it speaks and where.
    pub async fn sample_by_card(mesh: &Mesh) -> Result<Self> {
        let agent = peer::agent_sample().await?;
        let uri = format!("http://127.0.0.1:{}/.well-known/agent-card.json", agent.port);
        let source = json!({"source": {"remote": {"uri": uri, "cluster": "expense_v1_0", "refresh": "1s"}}});
        Self::start(mesh, "layout-by-card", agent, &json!({"versions": "from_card", "card": source})).await
    }
}

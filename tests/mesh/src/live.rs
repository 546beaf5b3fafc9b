//! Envoys whose configuration changes while they serve: listeners, or the filter alone, stand in a file that Envoy watches.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::envoy::{Envoy, Options};
use crate::envoy_file::EnvoyFile;
use crate::mesh::Mesh;
use crate::place;

/// What stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The listeners (LDS).
    Listeners,
    /// The filter's configuration (ECDS).
    Filter,
}

impl Way {
    fn split(self, file: &EnvoyFile, path: &Path) -> Result<(EnvoyFile, Value)> {
        match self {
            Self::Listeners => file.split_listeners(path),
            Self::Filter => file.split_filter(path),
        }
    }
}

/// Envoy sees a file that is moved into place.
fn publish(path: &Path, resources: &Value) -> Result<()> {
    let next = path.with_extension("next");
    std::fs::write(&next, serde_json::to_vec_pretty(resources)?)?;
    std::fs::rename(&next, path)?;
    Ok(())
}

/// An Envoy that watches a file.
pub struct Live {
    pub envoy: Envoy,
    way: Way,
    path: PathBuf,
    file: EnvoyFile,
}

impl Live {
    /// Starts it on the inbound file.
    pub async fn start(mesh: &Mesh, name: &str) -> Result<Self> {
        Self::of(mesh.inbound_file()?, name).await
    }

    /// Starts it on `file`.
    pub async fn of(file: EnvoyFile, name: &str) -> Result<Self> {
        Self::by(Way::Listeners, file, name, Options::default()).await
    }

    /// Starts it on `file`, what stands in the watched file being `way`.
    pub async fn by(way: Way, file: EnvoyFile, name: &str, options: Options) -> Result<Self> {
        // Envoy watches the folder, so it gets one of its own.
        let folder = place::logs().join(place::unique(name));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join("resources.json");
        let (boot, resources) = way.split(&file, &path)?;
        publish(&path, &resources)?;
        let envoy = Envoy::start(name, &boot, options).await?;
        Ok(Self { envoy, way, path, file })
    }

    /// Publishes the first file with an edited plugin configuration.
    pub fn change(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        self.change_file(|file| file.edit_plugin(edit))
    }

    /// Publishes the first file, edited.
    pub fn change_file(&self, edit: impl FnOnce(&mut EnvoyFile) -> Result<()>) -> Result<()> {
        let mut file = self.file.clone();
        edit(&mut file)?;
        let (_, resources) = self.way.split(&file, &self.path)?;
        publish(&self.path, &resources)
    }

    /// Updates that Envoy refused.
    pub async fn refused(&self) -> Result<u64> {
        self.envoy
            .stat(match self.way {
                Way::Listeners => "listener_manager.lds.update_rejected",
                Way::Filter => ".config_fail",
            })
            .await
    }
}

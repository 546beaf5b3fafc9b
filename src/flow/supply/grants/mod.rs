//! What users granted: read from the vault for all who wait, remembered for a while, renewed ahead of its end, once over all workers and
//! all Envoys that share a vault.

pub mod asking;
pub mod devices;
pub mod doing;
pub mod ended;
pub mod entries;
pub mod finding;
pub mod flows;
pub mod jobs;
pub mod kept;
pub mod metadata;
pub mod order;
pub mod servers;
pub mod standing;
pub mod work;

//! Envoy's shared data, which every VM with the same `vm_id` sees.

use crate::flow::supply::board::Board;
use proxy_wasm::hostcalls;

/// Where the workers of a proxy leave notes for each other.
pub struct SharedData;

impl Board for SharedData {
    fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        hostcalls::get_shared_data(name).unwrap_or_default()
    }

    fn write_if(&self, name: &str, value: Option<&[u8]>, version: Option<u32>) -> bool {
        hostcalls::set_shared_data(name, value, version).is_ok()
    }
}

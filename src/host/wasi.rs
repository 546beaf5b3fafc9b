//! The WASI calls that Envoy offers every module and `std` does not use on this target: the environment
//! (`vm_config.environment_variables`), its size, and random bytes.

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn environ_sizes_get(count: *mut u32, bytes: *mut u32) -> u32;
    fn environ_get(entries: *mut *const u8, buffer: *mut u8) -> u32;
    fn random_get(buffer: *mut u8, length: usize) -> u32;
}

/// Random bits for what callers must not guess, and nothing more: without a source of them it is 0.
pub fn random() -> u128 {
    let mut bytes = [0_u8; 16];
    // SAFETY: the pointer is valid for as many bytes during the call.
    match unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) } {
        0 => u128::from_le_bytes(bytes),
        _ => 0,
    }
}

/// Environments above this are not read.
const MAX_BYTES: u32 = 1024 * 1024;

/// The value of environment variable `name`; `None` if it is not set or not UTF-8.
pub fn variable(name: &str) -> Option<String> {
    let wanted = [name.as_bytes(), b"="].concat();
    let environment = environment()?;
    let value = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(wanted.as_slice()))?;
    String::from_utf8(value.to_vec()).ok()
}

/// The names of all variables that there are.
pub fn names() -> Vec<String> {
    let environment = environment().unwrap_or_default();
    let names = environment.split(|byte| *byte == 0).filter_map(|entry| entry.split(|byte| *byte == b'=').next());
    names.filter(|name| !name.is_empty()).map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}

/// Every variable as `NAME=value`, each ended by a zero byte.
fn environment() -> Option<Vec<u8>> {
    let (mut count, mut bytes) = (0_u32, 0_u32);
    // SAFETY: both pointers are valid for one u32 each during the call.
    if unsafe { environ_sizes_get(&raw mut count, &raw mut bytes) } != 0 || bytes > MAX_BYTES || count > MAX_BYTES {
        return None;
    }
    let mut entries = vec![std::ptr::null::<u8>(); usize::try_from(count).ok()?];
    let mut buffer = vec![0_u8; usize::try_from(bytes).ok()?];
    // SAFETY: both buffers have the sizes that the host just asked for, and the environment does not change.
    if unsafe { environ_get(entries.as_mut_ptr(), buffer.as_mut_ptr()) } != 0 {
        return None;
    }
    Some(buffer)
}

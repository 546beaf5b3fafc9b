//! Two calls of the proxy-wasm ABI (0.2.1) past the SDK. Its header maps copy each name and value, which is most of what a request
//! allocates, and trap on a name that is no text. Its log level is an enum that Envoy's `off` is not a value of, so reading that
//! would be undefined behaviour.

use crate::wire::header::Headers;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
}

/// What the ABI calls the header maps that are read whole.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Map {
    Request = 0,
    RequestTrailers = 1,
    Response = 2,
    /// Of the answer to a call of ours.
    Answer = 6,
}

/// The headers of `map`; none if the host has none or hands out what is no header map.
pub fn headers(map: Map) -> Headers {
    let (mut data, mut size) = (std::ptr::null_mut::<u8>(), 0_usize);
    // SAFETY: both pointers are valid for a write during the call.
    let status = unsafe { proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut size) };
    if status != 0 || data.is_null() {
        return Headers::default();
    }
    // SAFETY: the host had `size` bytes allocated by `malloc` of the SDK, which is a vector of that capacity, filled them, and
    // leaves them to us.
    Headers::parse(unsafe { Vec::from_raw_parts(data, size, size) }).unwrap_or_default()
}

/// The lowest level that the host writes to its log, as the ABI counts: 0 is trace, 5 critical, what is above none. 0 if it does not
/// say.
pub fn log_level() -> u32 {
    let mut level = 0;
    // SAFETY: the pointer is valid for a write during the call.
    let status = unsafe { proxy_get_log_level(&raw mut level) };
    if status == 0 { level } else { 0 }
}

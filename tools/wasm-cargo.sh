#!/usr/bin/env bash
# Runs cargo for wasm32 with the toolchain that setup found: tools/wasm-cargo.sh SUBCOMMAND [ARGUMENT...]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=/dev/null
. .tools/wasm-env
# Its own folder: native and wasm builds would make each other's crates stale.
export CARGO_TARGET_DIR=$root/target/wasm
# Envoy's V8 has these features; the standard library is built with them, too.
CARGO_ENCODED_RUSTFLAGS=$(printf -- '-Ctarget-feature=+simd128,+bulk-memory\n%s' "$(tools/remap.sh)" | tr '\n' '\037')
export CARGO_ENCODED_RUSTFLAGS
subcommand=$1
shift
exec "$ATTACHE_WASM_CARGO" "$subcommand" --locked --target wasm32-unknown-unknown "$@"

#!/usr/bin/env bash
# Prints flags for rustc, one a line, after which no path of this machine is in what it makes: one source, one binary, in
# whichever folder it is built and wherever cargo keeps its crates.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
home=${CARGO_HOME:-$HOME/.cargo}
# Where nothing was built yet, the folders below are not there yet.
[ -d "$home/registry/src" ] || (cd "$root" && cargo fetch --locked --quiet)
printf -- '--remap-path-prefix=%s=attache\n' "$root"
# One folder for each registry; what it is called depends on the registry's address.
for folder in "$home"/registry/src/*/; do
    [ ! -d "$folder" ] || printf -- '--remap-path-prefix=%s=crates\n' "${folder%/}"
done
# Where the source of the standard library is installed, the compiler names it instead of its own name for it.
printf -- '--remap-path-prefix=%s/lib/rustlib/src/rust=rust\n' "$("${RUSTC:-rustc}" --print sysroot)"

#!/usr/bin/env bash
# Makes target/attache.wasm and target/attache-trap.wasm, each only when something it is made from has changed.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
built=target/wasm/wasm32-unknown-unknown/release/attache.wasm

# What the module is made from. The name of the wasm-opt folder holds a hash of its version.
inputs() {
    find src -type f | LC_ALL=C sort | xargs -d '\n' sha256sum
    sha256sum Cargo.toml Cargo.lock .tools/wasm-env tools/build.sh tools/wasm-cargo.sh
    readlink .tools/bin/wasm-opt
}

# The crate must read no file that `inputs` does not see.
check_dependencies() {
    local outside
    outside=$(sed 's/^[^:]*: //' "${built%.wasm}.d" | tr ' ' '\n' | grep -v "^$root/src/" || true)
    [ -z "$outside" ] || { echo "build: the crate reads files outside src: $outside" >&2; exit 1; }
}

# An import that Envoy lacks stops Envoy at start.
check_imports() {
    local imports foreign
    imports=$(.tools/bin/wasm-objdump -j Import -x "$1" | sed -n 's/.* <- //p')
    [ -n "$imports" ] || { echo "build: $1 imports nothing; it is no filter" >&2; exit 1; }
    foreign=$(printf '%s\n' "$imports" | grep -vxE \
        'env\.proxy_[a-z_]+|wasi_snapshot_preview1\.(environ_get|environ_sizes_get|random_get)' || true)
    [ -z "$foreign" ] || { printf 'build: %s imports what Envoy does not have:\n%s\n' "$1" "$foreign" >&2; exit 1; }
}

# make_module OUTPUT optimise|plain [CARGO ARGUMENT...]
make_module() {
    local output=$1 finish=$2 key started=$SECONDS
    shift 2
    key=$( (inputs; echo "$finish $*") | sha256sum)
    if [ -f "$output" ] && [ "$(cat "$output.key" 2>/dev/null)" = "$key" ]; then return; fi
    rm -f "$output.key"
    # As a cdylib alone: beside an rlib cargo leaves link-time optimisation out.
    tools/wasm-cargo.sh rustc --release --lib --crate-type cdylib "$@"
    check_dependencies
    if [ "$finish" = optimise ]; then
        .tools/bin/wasm-opt -O4 "$built" -o "$output.new"
    else
        cp "$built" "$output.new"
    fi
    check_imports "$output.new"
    mv -f "$output.new" "$output"
    printf '%s\n' "$key" >"$output.key"
    echo "build: $output: $(stat -c %s "$output") bytes, $(gzip -c "$output" | wc -c) gzipped, $((SECONDS - started)) s"
}

# Both modules pass through one file of cargo's, so one build at a time.
mkdir -p target
exec 9>target/.build-lock
flock 9
make_module target/attache.wasm optimise
make_module target/attache-trap.wasm plain --features test-trap

#!/usr/bin/env bash
# Makes target/attache.wasm and target/attache-trap.wasm, each only when something it is made from has changed.
# `tools/build.sh filter` makes the first alone, which is what ships.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
built=target/wasm/wasm32-unknown-unknown/module/attache.wasm

# What the module is made from; the command is not in it. The name of the wasm-opt folder holds a hash of its version.
inputs() {
    find src packages -path packages/cli -prune -o -type f -print | LC_ALL=C sort | xargs -d '\n' sha256sum
    sha256sum Cargo.toml Cargo.lock .tools/wasm-env tools/build.sh tools/wasm-cargo.sh tools/remap.sh
    readlink .tools/bin/wasm-opt
}

# The crate must read no file that `inputs` does not see.
check_dependencies() {
    local outside
    outside=$(sed 's/^[^:]*: //' "${built%.wasm}.d" | tr ' ' '\n' | xargs -r realpath -s | grep -v "^$root/src/" || true)
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

# key_of_module PURPOSE: a hash of all it is made from.
key_of_module() { (inputs; echo "$1") | sha256sum; }
is_current() { [ -f "$1" ] && [ "$(cat "$1.key" 2>/dev/null)" = "$2" ]; }

# compile OUTPUT [CARGO ARGUMENT...]. As a cdylib alone: beside an rlib cargo leaves link-time optimisation out.
compile() {
    local output=$1
    shift
    tools/wasm-cargo.sh rustc --profile module --lib --crate-type cdylib "$@"
    check_dependencies
    cp "$built" "$output"
}

# finish NEW OUTPUT KEY: the output is never there half written, nor with a key that is not its own.
finish() {
    check_imports "$1"
    rm -f "$2.key"
    mv -f "$1" "$2"
    printf '%s\n' "$3" >"$2.key"
    echo "build: $2: $(stat -c %s "$2") bytes, $(gzip -9nc "$2" | wc -c) gzipped, $((SECONDS - started)) s"
}

# The module's limits, plain and gzipped. They are those of a build with a standard library of its own; the one that
# rustup ships is compiled for speed, and larger.
check_budget() {
    local is what limit over=0
    for what in bytes gzip; do
        limit=$(sed -n "s/^ *\"$what\": *\([0-9]*\).*/\1/p" tests/budget.json)
        [ -n "$limit" ] || { echo "build: tests/budget.json says no $what" >&2; exit 1; }
        if [ "$what" = bytes ]; then is=$(stat -c %s "$1"); else is=$(gzip -9nc "$1" | wc -c); fi
        [ "$is" -le "$limit" ] && continue
        echo "build: $1 has $is $what, over its budget of $limit (tests/budget.json)" >&2
        over=1
    done
    [ "$over" = 0 ] || ! grep -q BUILD_STD .tools/wasm-env || exit 1
}

# A function with one caller goes into it only up to this size. Without the limit functions grow to 130 KB: V8 then needs
# 45 MiB more to compile them, and longer; the module is no smaller.
inlined_most=300

optimise() {
    .tools/bin/wasm-opt --local-cse -Oz --converge --one-caller-inline-max-function-size "$inlined_most" --const-hoisting \
        target/wasm/plain.wasm -o target/wasm/optimised.wasm &&
        finish target/wasm/optimised.wasm target/attache.wasm "$1"
}

# Both modules pass through one file of cargo's, so one build at a time.
mkdir -p target/wasm
exec 9>target/.build-lock
flock 9
started=$SECONDS
optimiser=
filter_key=$(key_of_module filter)
trap_key=$(key_of_module trap)
if ! is_current target/attache.wasm "$filter_key"; then
    # Envoy verifies signatures of ECDSA itself.
    compile target/wasm/plain.wasm --no-default-features
    # One thread's work, while cargo compiles the other module.
    optimise "$filter_key" &
    optimiser=$!
fi
if [ "${1:-all}" = all ] && ! is_current target/attache-trap.wasm "$trap_key"; then
    compile target/wasm/trap.wasm --features test-trap
    finish target/wasm/trap.wasm target/attache-trap.wasm "$trap_key"
fi
if [ -n "$optimiser" ]; then wait "$optimiser"; fi
check_budget target/attache.wasm

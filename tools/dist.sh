#!/usr/bin/env bash
# Makes target/dist/attache-VERSION, with all that an operator needs, and its archive. The filter is built before (`make dist`); the
# command `attache` is compiled here, for this machine's Linux. tools/dist.sh OPTION...: see tools/release.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# In a folder of its own: its flags would make the crates of the tests stale.
compile_command() {
    CARGO_ENCODED_RUSTFLAGS=$(printf %s "$(tools/remap.sh)" | tr '\n' '\037')
    export CARGO_ENCODED_RUSTFLAGS
    CARGO_TARGET_DIR=target/command cargo build --locked --quiet --profile command --package attache-cli --bin attache
    cp target/command/command/attache target/command/attache
}

compile_command
python3 -B tools/release dist "$@"

#!/usr/bin/env bash
# Makes the documentation of the code; what rustdoc warns of is an error.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --workspace --no-deps --lib
echo "doc: target/doc/attache/index.html"

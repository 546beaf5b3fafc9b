#!/usr/bin/env bash
# What a machine can say about the sources without running them. Says every fault it finds, then fails.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
runner=tools/wasm-bindgen-test-runner
failed=

# check WHAT COMMAND...
check() {
    local what=$1
    shift
    echo "lint: $what"
    "$@" || { echo "lint: FAILED: $what" >&2; failed=yes; }
}

files() { git ls-files --cached --others --exclude-standard -- "$@"; }

# clippy knows only the toolchain on PATH; Debian's compiler for wasm32 has none, and then its own warnings count.
wasm_sources() {
    if grep -q BUILD_STD .tools/wasm-env; then
        CARGO_UNSTABLE_WARNINGS=true CARGO_BUILD_WARNINGS=deny tools/wasm-cargo.sh check --lib --no-default-features
    else
        tools/wasm-cargo.sh clippy --lib --no-default-features -- -D warnings
    fi
}

shell_scripts() {
    local file bad=0
    while read -r file; do bash -n "$file" || bad=1; done < <(files '*.sh' .ci/run)
    return $bad
}

node_scripts() {
    local file bad=0
    while read -r file; do node --check "$file" || bad=1; done < <(files '*.mjs')
    return $bad
}

# Read as source, by the Python that runs it: no __pycache__ is left.
python_scripts() {
    files '*.py' | xargs -r "$1" -c 'import ast, sys; [ast.parse(open(f).read(), f) for f in sys.argv[1:]]'
}

# nothing_matches PATTERN PATHSPEC...: prints what does.
nothing_matches() {
    local pattern=$1
    shift
    ! git grep --untracked -nIE -e "$pattern" -- "$@"
}

# What is in the module, of all that the lock file has. `cargo tree` says that it found nothing by a warning.
no_wasm_bindgen_in_the_module() {
    local tree
    tree=$(cargo tree --locked --target wasm32-unknown-unknown --edges normal --package attache --all-features) || return 1
    grep -q '^attache ' <<<"$tree" && ! grep 'wasm-bindgen' <<<"$tree"
}

# A runner reads only the tests of its own version of wasm-bindgen.
same_wasm_bindgen() {
    [ "$(locked_version Cargo.lock)" = "$(locked_version $runner/Cargo.lock)" ]
}
locked_version() { grep -A 1 '^name = "wasm-bindgen"$' "$1" | sed -n 's/^version = //p'; }

check "formatting" cargo fmt --all --check
check "formatting of $runner" rustfmt --check --edition 2021 $runner/src/main.rs
check "clippy" cargo clippy --locked --workspace --all-targets -- -D warnings
check "clippy, as the module ships" cargo clippy --locked --lib --no-default-features -- -D warnings
check "the sources for wasm32" wasm_sources
check "documentation" tools/doc.sh
check "nothing in the module needs wasm-bindgen" no_wasm_bindgen_in_the_module
check "wasm-bindgen is one version in both lock files" same_wasm_bindgen
check "shell scripts" shell_scripts
check "Python scripts, A2A 1.0" python_scripts .tools/py-1.0/bin/python
check "Python scripts, A2A 0.3" python_scripts .tools/py-0.3/bin/python
check "Node scripts" node_scripts
check "no path of one machine" nothing_matches '/(root|work)/|/(home|Users)/[a-z]' . ':!tools/lint.sh'
check "pins name no registry" nothing_matches '"resolved"|index-url|find-links' \
    tests/mesh/peers/package-lock.json '*requirements*.txt'
# Last, so that what it could not check is read.
check "dependencies" tools/deny.sh

[ -z "$failed" ] || { echo "lint: failed" >&2; exit 1; }
echo "lint: ok"

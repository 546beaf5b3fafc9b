# shellcheck shell=bash
# Two virtual environments, because the SDKs of A2A 1.0 and 0.3 are two versions of one package.

make_venv() {
    python3 -m venv "$2" && "$2/bin/python" -m pip install --no-deps --require-hashes --only-binary :all: -r "$1"
}

# Debian splits `venv` off its python3.
need_venv() {
    python3 -c 'import ensurepip, venv' 2>/dev/null && return 0
    if can_apt && [ "$(command -v python3)" = /usr/bin/python3 ] && [ -n "$(apt_offers python3-venv)" ]; then
        apt_install "3 MB, about 5 s" python3-venv
    fi
    python3 -c 'import ensurepip, venv' 2>/dev/null ||
        missing "python3's venv and ensurepip" "install them (Debian: apt-get install python3-venv)"
}

setup_python() {
    local version python pins
    python=$(python3 -c 'import sys; print(sys.version, sys.base_prefix)')
    for version in 1.0 0.3; do
        pins=$root/tests/mesh/peers/requirements-$version.txt
        [ -f "$cache/py-$version-$(key_of "$pins" "$python")/complete" ] || need_venv
        install_once "py-$version" "$(key_of "$pins" "$python")" \
            "a2a-sdk $(sed -n 's/^a2a-sdk.*==\([0-9.]*\).*/\1/p' "$pins") and what it needs, 15 MB, about 25 s" \
            make_venv "$pins"
        link "$installed" "$tools/py-$version"
    done
}

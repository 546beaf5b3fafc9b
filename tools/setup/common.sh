# shellcheck shell=bash
# What every setup step uses: how to speak, how to stop, how to install a thing once.
#
# A thing lives in $cache/<name>-<key>, where the key is a hash of what pins it. It counts only when its file
# `complete` is there; an interrupted install leaves none and is redone. The caller holds the lock of the cache.

say() { printf 'setup: %s\n' "$*" >&2; }

# missing WHAT TODO: names what setup cannot provide, and what to do; ends setup.
missing() {
    printf 'setup: MISSING: %s\nsetup: TO DO:   %s\n' "$1" "$2" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# key_of WORD...: 16 hex digits; a word that names a file stands for the file's content.
key_of() {
    local word
    for word in "$@"; do
        if [ -f "$word" ]; then cat "$word"; else printf '%s\n' "$word"; fi
    done | sha256sum | cut -c1-16
}

# at_least HAVE WANT: whether the dotted version HAVE is WANT or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# install_once NAME KEY EXPECTATION COMMAND...: sets $installed to the folder, which COMMAND has filled, given the
# folder as its last argument. Output goes to a log that is shown when COMMAND fails.
install_once() {
    local name=$1 key=$2 expectation=$3 log started=$SECONDS
    shift 3
    installed=$cache/$name-$key
    [ -f "$installed/complete" ] && return 0
    log=$cache/log/$name
    say "$name: $expectation"
    rm -rf "$installed"
    mkdir -p "$installed" "$cache/log"
    if ! "$@" "$installed" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        missing "$name (what happened is above, all of it in $log)" "mend that, then run make setup again"
    fi
    touch "$installed/complete"
    say "$name: done in $((SECONDS - started)) s"
}

# link TARGET PLACE: makes PLACE a link to TARGET; never a moment without one.
link() {
    [ "$(readlink "$2" 2>/dev/null)" = "$1" ] && return 0
    ln -sfn "$1" "$2.new"
    mv -Tf "$2.new" "$2"
}

# can_apt: whether this machine takes packages from apt without asking anybody.
can_apt() { [ "$(id -u)" = 0 ] && has apt-get; }

# apt_install EXPECTATION PACKAGE...: whether the packages are now installed.
apt_install() {
    local log=$cache/log/apt expectation=$1
    shift
    mkdir -p "$cache/log"
    say "apt: $*: $expectation"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$log" 2>&1
}

# apt_unpack PACKAGE FOLDER: takes a package's files without installing it: an installed server would start with the machine, and
# unpacking needs no root. Lists of packages that are too old name one that is gone; root can get new ones.
apt_unpack() {
    (
        cd "$2" || exit 1
        apt-get download "$1" || { can_apt && apt-get update && apt-get download "$1"; } || exit 1
        dpkg-deb --extract "$1"_*.deb . && rm "$1"_*.deb
    )
}

# apt_offers PACKAGE: prints the version apt would install, from fresh lists.
apt_offers() {
    say "apt-get update, about 10 s"
    timeout 120 apt-get update >/dev/null 2>&1
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p' | grep -v '(none)'
}

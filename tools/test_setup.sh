#!/usr/bin/env bash
# Tests the choices of setup: which Envoy is taken, where wasm32's standard library comes from, and that an interrupted
# install does not count; and what `make deny` makes of a database that cannot be had. The Envoys, the func-e and the
# cargo-deny here are scripts that answer as the real ones do; the choice only reads their answers.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cache=$scratch/cache
passed=0
failed=0

for part in common envoy rust prometheus etcd; do
    # shellcheck source=/dev/null
    . "$root/tools/setup/$part.sh"
done

# expect WHAT WANTED GOT
expect() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s\n  wanted: %s\n  got:    %s\n' "$1" "$2" "$3"
    fi
}

program() {
    mkdir -p "$(dirname "$1")"
    printf '#!/bin/sh\n%s\n' "$2" >"$1"
    chmod +x "$1"
}
an_envoy() { program "$1" "printf '\n$1  version: 9e5580933739/$2/Clean/RELEASE/BoringSSL\n\n'"; }
a_func_e() { program "$1" "[ \"\$1\" = which ] && echo '$2'"; }

# An Envoy of this machine must not be found: of the system only these programs are.
mkdir "$scratch/system"
for tool in sed sort head tail; do ln -s "$(command -v "$tool")" "$scratch/system/"; done

# choice ENVOY_PATH FOLDER...: the Envoy chosen when PATH is these folders and the system's programs.
choice() {
    local given=$1 path
    shift
    path=$(IFS=:; echo "$*")
    (ENVOY_PATH=$given PATH=$path:$scratch/system choose_envoy 2>"$scratch/said")
}

a=$scratch/a b=$scratch/b old=$scratch/old
an_envoy "$scratch/mine" 1.40.0
an_envoy "$a/envoy" 1.41.2
an_envoy "$old/envoy" 1.38.3
an_envoy "$scratch/managed" 1.40.1
a_func_e "$b/func-e" "$scratch/managed"

# Where func-e keeps its Envoys is its own affair: it is asked, with the variables that it reads.
an_envoy "$scratch/kept/envoy-versions/1.40.0/bin/envoy" 1.40.0
program "$scratch/own/func-e" '[ "$1" = which ] && echo "$FUNC_E_DATA_HOME/envoy-versions/1.40.0/bin/envoy"'
expect "func-e finds the Envoy in its own folder" "$scratch/kept/envoy-versions/1.40.0/bin/envoy" \
    "$(export FUNC_E_DATA_HOME=$scratch/kept; choice '' "$scratch/own" "$a")"

expect "ENVOY_PATH comes first" "$scratch/mine" "$(choice "$scratch/mine" "$b" "$a")"
expect "func-e comes before PATH" "$scratch/managed" "$(choice '' "$a" "$b")"
expect "an envoy on PATH comes before the wheel" "$a/envoy" "$(choice '' "$a")"
expect "the wheel comes last" wheel "$(choice '' "$scratch/nothing")"

expect "an old envoy on PATH is passed over" wheel "$(choice '' "$old")"
expect "and its age is told" "setup: envoy: the envoy on PATH ($old/envoy) is 1.38.3, older than 1.40.0; looking further" \
    "$(cat "$scratch/said")"
an_envoy "$scratch/managed" 1.9.9
expect "an old Envoy of func-e gives way to PATH" "$a/envoy" "$(choice '' "$b" "$a")"
program "$b/func-e" "echo 'func-e: cannot download' >&2; exit 1"
expect "a func-e without an Envoy gives way" "$a/envoy" "$(choice '' "$b" "$a")"
expect "an old ENVOY_PATH is taken all the same" "$old/envoy" "$(choice "$old/envoy" "$a")"

choice "$scratch/nothing" "$a" >/dev/null
expect "an ENVOY_PATH that is no Envoy ends setup" 1 $?
expect "and setup says what to do" "setup: TO DO:   correct ENVOY_PATH, or unset it" "$(tail -n 1 "$scratch/said")"

expect "the versions that make matrix plays are those with pins, and the mesh's own" \
    "1.36.2 1.36.3 1.36.4 1.37.0 1.38.3 1.39.0 1.39.1 1.39.3 $envoy_wanted" "$(envoys | tr '\n' ' ' | sed 's/ $//')"
(install_envoy 1.2.3 2>"$scratch/said")
expect "an Envoy without pins ends setup" 1 $?
expect "and setup names those that there are" 1 "$(grep -c 'name one of: 1.36.2 ' "$scratch/said")"
# prometheus_of FOLDER: what is chosen where it is on PATH.
prometheus_of() { (PATH=$1:$scratch/system choose_prometheus); }
a_prometheus() { for tool in prometheus promtool; do program "$1/$tool" "echo '$tool, version $2+ds (branch: x)'"; done; }
a_prometheus "$scratch/prom" 3.1.0
a_prometheus "$scratch/old-prom" 2.9.2
a_prometheus "$scratch/half-prom" 3.1.0
rm "$scratch/half-prom/promtool"
expect "a Prometheus on PATH is taken" "$scratch/prom" "$(prometheus_of "$scratch/prom")"
expect "an old one is not" debian "$(prometheus_of "$scratch/old-prom")"
expect "nor one without promtool" debian "$(prometheus_of "$scratch/half-prom")"

# etcd_of FOLDER MACHINE: what is chosen where it is on PATH of such a machine.
etcd_of() { (PATH=$1:$scratch/system choose_etcd "$2"); }
an_etcd() { program "$1/etcd" "echo 'etcd Version: $2'; echo 'Git SHA: 0123'"; }
an_etcd "$scratch/etcd" 3.6.4
an_etcd "$scratch/old-etcd" 3.4.23
expect "an etcd on PATH is taken" "$scratch/etcd/etcd" "$(etcd_of "$scratch/etcd" x86_64)"
expect "an old one is not" wheel "$(etcd_of "$scratch/old-etcd" x86_64)"
expect "nor is a wheel on another machine" debian "$(etcd_of "$scratch/old-etcd" aarch64)"

# wasm_std RUSTUP DEBIAN APT AFTER: what setup tries and takes on a machine where the target of the toolchain on PATH
# (RUSTUP) and Debian's compiler (DEBIAN) are there or not, and apt offers it or not; AFTER lists what installs.
wasm_std() (
    rustup=$1 debian=$2 apt=$3 after=$4
    wasm_of_rustup() { [ "$rustup" = yes ]; }
    wasm_of_debian() { [ "$debian" = yes ]; }
    apt_has_new_rust() { [ "$apt" = yes ]; }
    apt_install() { printf 'apt '; case $after in *apt*) debian=yes ;; *) return 1 ;; esac; }
    has() { [ "$1" = rustup ]; }
    timeout() { printf 'rustup ' >&3; case $after in *rustup*) rustup=yes ;; *) return 1 ;; esac; }
    env_of_rustup() { printf toolchain; }
    env_of_debian() { printf debian; }
    missing() { printf missing; exit 1; }
    setup_wasm_std 3>&1 2>/dev/null
)

expect "the toolchain's own wasm32 comes first" toolchain "$(wasm_std yes yes yes '')"
expect "Debian's compiler comes next" debian "$(wasm_std no yes yes '')"
expect "then apt installs it" "apt debian" "$(wasm_std no no yes apt)"
expect "rustup is asked where apt has none" "rustup toolchain" "$(wasm_std no no no rustup)"
expect "and where apt fails" "apt rustup toolchain" "$(wasm_std no no yes rustup)"
expect "without any of them setup ends" "rustup missing" "$(wasm_std no no no '')"

count=$scratch/count
fill() { echo run >>"$count"; echo content >"$1/file"; }
fail_halfway() { echo half >"$1/file"; return 1; }
interrupted=$cache/thing-$(key_of pin)
mkdir -p "$interrupted" && echo half >"$interrupted/file"
install_once thing "$(key_of pin)" "a test" fill 2>/dev/null
expect "an interrupted install is redone" content "$(cat "$installed/file")"
install_once thing "$(key_of pin)" "a test" fill 2>/dev/null
expect "a complete install is not" 1 "$(wc -l <"$count")"
(install_once thing "$(key_of other)" "a test" fail_halfway 2>"$scratch/said")
expect "a failed install ends setup" 1 $?
expect "and is named" "setup: MISSING: thing (what happened is above, all of it in $cache/log/thing)" \
    "$(grep MISSING "$scratch/said")"

expect "1.40.0 is at least 1.40" 0 "$(at_least 1.40.0 1.40; echo $?)"
expect "1.9 is not at least 1.40" 1 "$(at_least 1.9 1.40; echo $?)"

# denied FETCHES FINDS [VARIABLE=VALUE]: the status of tools/deny.sh with a cargo-deny that can fetch the database or not (yes,
# no) and finds something in it or not. What it said is in $scratch/said.
denied() {
    program "$scratch/deny" "case \"\$*\" in *fetch*) [ $1 = yes ];; *advisories*) [ $2 = no ];; esac"
    env ATTACHE_DENY="$scratch/deny" CARGO_HOME="$scratch/cargo-home" ${3:+"$3"} "$root/tools/deny.sh" >"$scratch/said" 2>&1
    echo $?
}
said() { grep -c "$1" "$scratch/said"; }

expect "dependencies without a finding pass" 0 "$(denied yes no)"
expect "and nothing says that they were not checked" 0 "$(said 'NOT CHECKED')"
expect "a finding fails" 1 "$(denied yes yes)"
expect "without a database nothing fails" 0 "$(denied no yes)"
expect "but it is said that nothing was checked" 1 "$(said 'NOT CHECKED')"
expect "which fails where it is required" 1 "$(denied no yes ATTACHE_ADVISORIES=required)"
expect "a copy that is none fails" 1 "$(denied yes no ATTACHE_ADVISORY_DB=$scratch/nothing)"
mkdir -p "$scratch/cargo-home/advisory-dbs" && git init -q "$scratch/cargo-home/advisory-dbs/advisory-db-1" &&
    git -C "$scratch/cargo-home/advisory-dbs/advisory-db-1" -c user.name=t -c user.email=t@t commit -q --allow-empty -m one
expect "an older database is used where none can be fetched" 1 "$(denied no yes)"
expect "and its age is told" 1 "$(said 'the one at hand is of 20')"

if [ "$failed" = 0 ]; then echo "setup tests: ok, $passed passed"; else echo "setup tests: $failed failed"; exit 1; fi

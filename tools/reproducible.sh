#!/usr/bin/env bash
# Builds a copy of this checkout in another folder, and compares what is released with target/dist (`make dist`), bit for bit. The copy
# has no git, another cargo home, other rights, another time zone and another language. Takes as long as a first build.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
copy=$scratch/elsewhere/deeper/attache
home=${CARGO_HOME:-$HOME/.cargo}
archives=(target/dist/attache-*.tar.gz)
archive=${archives[0]}
[ -f "$archive" ] || { echo "reproducible: $archive is not there; run: make dist" >&2; exit 1; }

mkdir -p "$copy" "$scratch/cargo"
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- --create | tar --extract --directory "$copy"
# Links to what setup installed.
cp -a .tools "$copy/.tools"
# Under another name, the same crates, so that nothing is downloaded again.
for entry in "$home"/* "$home"/.[a-z]*; do
    case $entry in */.package-cache* | */.global-cache*) ;; *) [ ! -e "$entry" ] || ln -s "$entry" "$scratch/cargo/" ;; esac
done

echo "reproducible: building again in $copy"
(
    cd "$copy"
    umask 077
    export CARGO_HOME=$scratch/cargo TZ=Pacific/Auckland LC_ALL=C
    tools/build.sh filter
    tools/dist.sh
)

if cmp "$archive" "$copy/$archive"; then
    echo "reproducible: both folders made $(sha256sum "$archive" | cut -d' ' -f1) ($(basename "$archive"))"
else
    name=$(basename "$archive" .tar.gz)
    echo "reproducible: FAILED: these files differ:" >&2
    diff "target/dist/$name/SHA256SUMS" "$copy/target/dist/$name/SHA256SUMS" >&2 || true
    exit 1
fi

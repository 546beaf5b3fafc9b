#!/usr/bin/env bash
# What cargo-deny says of the dependencies: licences, bans and sources always; known vulnerabilities (RustSec's
# advisories) where their database can be had. Where it cannot, that is said last and loudly, and is no failure: what
# fails is a finding.
#
# The database is a git repository: https://github.com/RustSec/advisory-db. ATTACHE_ADVISORY_DB may name a copy of it
# (a folder that git can clone); then nothing is fetched from elsewhere, and a copy that cannot be read is a failure.
# ATTACHE_ADVISORIES=required makes a missing database a failure, too.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
deny=${ATTACHE_DENY:-.tools/bin/cargo-deny}
databases=${CARGO_HOME:-$HOME/.cargo}/advisory-dbs
failed=

say() { printf 'deny: %s\n' "$*"; }
fail() { printf 'deny: FAILED: %s\n' "$*" >&2; failed=yes; }

# A copy that is named stands in for the address of the database.
if [ -n "${ATTACHE_ADVISORY_DB:-}" ]; then
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db
    GIT_CONFIG_KEY_0=url.file://$(cd "$ATTACHE_ADVISORY_DB" 2>/dev/null && pwd).insteadOf
    export GIT_CONFIG_KEY_0
fi

# newest: the date of the newest advisory's commit among the databases at hand.
newest() {
    local database
    for database in "$databases"/advisory-db-*; do
        git -C "$database" log -1 --format=%cs 2>/dev/null
    done | sort | tail -n 1
}

not_checked() {
    {
        echo
        echo "deny: ****************************************************************************"
        echo "deny: ** NOT CHECKED: known vulnerabilities of dependencies (RustSec advisories).  **"
        echo "deny: ** $(printf '%-72s' "$1")  **"
        echo "deny: ** Run make deny where github.com can be reached, or name a copy:            **"
        echo "deny: **   git clone https://github.com/RustSec/advisory-db                        **"
        echo "deny: **   make deny ATTACHE_ADVISORY_DB=advisory-db                               **"
        echo "deny: ****************************************************************************"
    } >&2
    [ "${ATTACHE_ADVISORIES:-}" != required ] || fail "advisories are required, and were not checked"
}

advisories() {
    local date
    if [ -n "${ATTACHE_ADVISORY_DB:-}" ] && ! git -C "$ATTACHE_ADVISORY_DB" rev-parse HEAD >/dev/null 2>&1; then
        fail "ATTACHE_ADVISORY_DB ($ATTACHE_ADVISORY_DB) is no git repository"
        return
    fi
    say "known vulnerabilities: fetching the database, at most 60 s"
    if ! timeout 60 "$deny" --log-level error fetch db; then
        if [ -n "${ATTACHE_ADVISORY_DB:-}" ]; then
            fail "the database at ATTACHE_ADVISORY_DB ($ATTACHE_ADVISORY_DB) cannot be read"
            return
        fi
        date=$(newest)
        if [ -z "$date" ]; then
            not_checked "The database cannot be fetched, and none was fetched before."
            return
        fi
        say "the database cannot be fetched; the one at hand is of $date"
    fi
    if "$deny" --workspace --offline check advisories; then
        say "known vulnerabilities: checked against the database of $(newest)"
    else
        fail "known vulnerabilities"
    fi
}

say "licences, bans and sources"
"$deny" --workspace --locked check licenses bans sources || fail "licences, bans or sources"
advisories
[ -z "$failed" ]

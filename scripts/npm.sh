#!/usr/bin/env bash
# npm.sh DIRECTORY: the clients of others that tests run with Node, as tests/npm/package-lock.json has them, put
# into DIRECTORY/node_modules.
#
# Quick when they are there.  Without npm, or without its registry, it says so and ends well: the tests that
# want them are then left out, and say so too.  It runs no script of a package.
set -u
here=$(cd "$(dirname "$0")/../tests/npm" && pwd) || exit
to=${1:?a directory}
timeout_ms=20000

say() { echo "npm: $*" >&2; }

cmp -s "$here/package-lock.json" "$to/package-lock.json" && exit 0
if ! command -v npm >/dev/null; then
    say "there is no npm, so the tests that need it are left out"
    exit 0
fi

# Whole or not at all, whoever else is at it.
mkdir -p "$(dirname "$to")"
new=$(mktemp -d "$to.XXXXXX") || exit
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT TERM HUP
cp "$here/package.json" "$here/package-lock.json" "$new"
say "installing what tests/npm/package.json names"
if ! (cd "$new" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
    --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-timeout="$timeout_ms" </dev/null) >"$new/log" 2>&1; then
    tail -n 5 "$new/log" >&2
    say "it could not (its words are above), so the tests that need it are left out"
    exit 0
fi
rm -rf "$to" "$new/log"
mv -T "$new" "$to" 2>/dev/null
exit 0

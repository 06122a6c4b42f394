#!/usr/bin/env bash
# check-seams.sh: the core and the transports do not know which runtime moves their bytes, not even
# in a comment.  Only the getters' names, tako_runtime_<name>, may be said there.
set -u
cd "$(dirname "$0")/.." || exit

words='epoll|io_?uring|ioring_|liburing|(^|[^a-z])uring'
found=$(grep -rniE "$words" src/core src/transports | sed -E 's/tako_runtime_[a-z_]+//g' |
    awk -v words="$words" '{ line = tolower($0); sub(/^[^:]*:[^:]*:/, "", line) } line ~ words')
if [[ -n $found ]]; then
    printf '%s\n' "$found"
    echo "a runtime is named on the wrong side of its seam"
    echo "0 passed, 1 failed"
    exit 1
fi
echo "1 passed, 0 failed"

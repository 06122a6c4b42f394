#!/usr/bin/env bash
# check-seams.sh: the core and the transports do not know which runtime moves their bytes, not even
# in a comment.  Only the getters' names, tako_runtime_<name>, may be said there.
set -u
cd "$(dirname "$0")/.." || exit

found=$(grep -rniE 'epoll|io_?uring|(^|[^a-z])uring' src/core src/transports |
    sed -E 's/tako_runtime_[a-z_]+//g' |
    awk -F: '{ line = tolower($0); sub(/^[^:]*:[^:]*:/, "", line) }
        line ~ /epoll|io_?uring|(^|[^a-z])uring/')
if [[ -n $found ]]; then
    printf '%s\n' "$found"
    echo "a runtime is named on the wrong side of its seam"
    echo "0 passed, 1 failed"
    exit 1
fi
echo "1 passed, 0 failed"

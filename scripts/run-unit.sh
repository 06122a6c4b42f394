#!/usr/bin/env bash
# run-unit.sh PROGRAM...: runs cmocka programs, TAKO_UNIT_JOBS (else one per CPU) at a time, says one line for each and
# shows all the output of those that failed.  The last line is "N passed, N failed".
#
# Simulated tests (tests/sim) say over how many seeds they ran, fewer under a sanitizer;
# TAKO_SIM_SEEDS decides otherwise.  ThreadSanitizer has nothing to say of one thread: there run only the
# programs that can make another, and no simulated ones, whose world has one.
set -u
cd "$(dirname "$0")/.." || exit
. scripts/san-env.sh

seconds=${TAKO_UNIT_TIMEOUT:-240}
programs=${TAKO_UNIT_JOBS:-$(nproc)}
[[ -z ${SAN-} ]] || export TAKO_SIM_SEEDS=${TAKO_SIM_SEEDS:-150}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

one() {
    local prog=$1 name log rc ok seeds bad=0
    name=$(basename "$prog")
    log=$logs/$name
    timeout -k 5 "$seconds" "${wrap[@]}" "$prog" </dev/null >"$log" 2>&1
    rc=$?
    ok=$(grep -ac '^\[       OK \]' "$log")
    if ((rc != 0)); then
        bad=$(grep -a '^\[  FAILED  \]' "$log" | grep -v 'test(s)' | sort -u | wc -l)
        ((bad > 0)) || bad=1
        ((rc == 124)) && echo "stopped after $seconds s" >>"$log"
        {
            printf '  FAIL    %s (exit %d)\n' "$name" "$rc"
            sed 's/^/    /' "$log"
        } >"$log.text"
    elif ((ok == 0)); then
        # A program that ran no test has proved nothing.
        bad=1
        printf '  FAIL    %s: no test ran\n' "$name" >"$log.text"
    else
        seeds=$(awk '/^\[  SEEDS   \]/ { n += $NF } END { if (n) printf ", %d seeds", n }' "$log")
        printf '  ok      %s (%d%s)\n' "$name" "$ok" "$seeds" >"$log.text"
    fi
    echo "$ok $bad" >"$log.count"
    cat "$log.text"
}

has_threads() {
    [[ $1 != */sim_* ]] && nm -u "$1" | grep -q pthread_create
}

alone=0
for prog in "$@"; do
    [[ ${SAN-} != *thread* ]] || has_threads "$prog" || { ((alone += 1)); continue; }
    while (($(jobs -rp | wc -l) >= programs)); do wait -n; done
    one "$prog" &
done
wait
((alone)) && echo "  --      $alone programs with one thread are left out"
find "$logs" -name '*.count' -exec cat {} + |
    awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 }'

#!/usr/bin/env bash
# run-unit.sh SANITIZERS PROGRAM...: runs cmocka programs, one per CPU at a time, says one line for
# each and shows all the output of those that failed.  The last line is "N passed, N failed".
set -u

san=$1
shift
seconds=${TAKO_UNIT_TIMEOUT:-120}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

export ASAN_OPTIONS=${ASAN_OPTIONS-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS-halt_on_error=1:second_deadlock_stack=1}
wrap=()
# ThreadSanitizer needs its shadow addresses free, which wide address randomisation does not promise.
if [[ $san == *thread* ]] && setarch -R true 2>/dev/null; then
    wrap=(setarch -R)
fi

one() {
    local prog=$1 name log rc ok bad
    name=$(basename "$prog")
    log=$logs/$name
    timeout -k 5 "$seconds" "${@:2}" "$prog" </dev/null >"$log" 2>&1
    rc=$?
    ok=$(grep -c '^\[       OK \]' "$log")
    bad=0
    if ((rc != 0)); then
        bad=$(grep '^\[  FAILED  \]' "$log" | grep -v 'test(s)' | sort -u | wc -l)
        ((bad > 0)) || bad=1
        ((rc == 124)) && echo "stopped after $seconds s" >>"$log"
        { printf '  FAIL    %s (exit %d)\n' "$name" "$rc"; sed 's/^/    /' "$log"; } >"$log.text"
    elif ((ok == 0)); then
        # A program that ran no test at all has proved nothing.
        bad=1
        printf '  FAIL    %s: no test ran\n' "$name" >"$log.text"
    else
        printf '  ok      %s (%d)\n' "$name" "$ok" >"$log.text"
    fi
    echo "$ok $bad" >"$log.count"
    cat "$log.text"
}

for prog in "$@"; do
    while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n; done
    one "$prog" "${wrap[@]}" &
done
wait
if (($# == 0)); then
    echo "0 passed, 0 failed"
    exit 0
fi
cat "$logs"/*.count | awk '{ p += $1; f += $2 } END { printf "%d passed, %d failed\n", p, f; exit f > 0 }'

#!/usr/bin/env bash
# check.sh: what `make check` does.  Phases run in two lanes, so that two CPUs are busy: one lane runs
# the integration tests, which share ports and clocks and so go one after the other; the other builds
# what they need next and does what needs no server, the unit tests among it.  Each phase has a time limit and a log in
# BUILD/check/.  The last line is "N passed, N failed", of test cases and checks together.
#
# With SAN=... only that build and its unit and integration tests.
set -u
cd "$(dirname "$0")/.." || exit

make=${MAKE:-make} build=${BUILD:-build}
logs=$build/check
started=$SECONDS
mkdir -p "$logs" && rm -f "$logs"/*.log "$logs"/*.rc "$logs"/*.count
# Given to us by a make with -j, the jobserver already says how many.
jobs=(-j"$(nproc)")
[[ ${MAKEFLAGS-} == *jobserver* ]] && jobs=()

mk=("$make" --no-print-directory "${jobs[@]}")
child=

# The counts a phase's own last line tells; one that tells none is one check.
count() { # log, exit status
    awk -v rc="$2" '
        /[0-9]+ (passed|failed|error|skipped)/ { line = $0 }
        function of(word) { return match(line, "[0-9]+ " word) ? substr(line, RSTART, RLENGTH) + 0 : 0 }
        END {
            p = of("passed"); f = of("failed") + of("error"); s = of("skipped")
            if (rc == 0 && line == "") p = 1
            if (rc != 0 && f == 0) f = 1
            print p, f, s
        }' "$1"
}

# What to show of a failed phase's log: of pytest's its reports, of all others the end.
excerpt() { # log
    if grep -q '^=* \(FAILURES\|ERRORS\) =*$' "$1"; then
        awk '/^=+ (FAILURES|ERRORS) =+$/ { on = 1 } /^=+ short test summary/ { on = 0 } on' "$1" | tail -n 60
    else
        tail -n 60 "$1"
    fi | sed 's/^/        /'
}

phase() { # name, limit in seconds, command...
    local name=$1 limit=$2 log=$logs/$1.log from=$SECONDS rc p f s verdict=ok
    shift 2
    printf -- '--      %s\n' "$name"
    timeout -k 10 "$limit" "$@" </dev/null >"$log" 2>&1 &
    child=$!
    wait "$child"
    rc=$?
    ((rc == 124)) && echo "stopped: it took longer than $limit s" >>"$log"
    read -r p f s < <(count "$log" "$rc")
    echo "$p $f $s" >"$logs/$name.count"
    ((rc == 0)) || verdict=FAIL
    {
        printf '%-7s %-22s %4d s   %s\n' "$verdict" "$name" $((SECONDS - from)) \
            "$p passed, $f failed$( ((s)) && echo ", $s skipped")"
        ((rc == 0)) || excerpt "$log"
    } >"$logs/$name.text"
    cat "$logs/$name.text"
    rm -f "$logs/$name.text"
    echo "$rc" >"$logs/$name.rc"
    return "$rc"
}

# A phase of this lane that needs one of the other lane; without it there is nothing to run.
after() { # needed phase, command...
    until [[ -e $logs/$1.rc ]]; do sleep 0.2; done
    [[ $(<"$logs/$1.rc") == 0 ]] && "${@:2}"
}

# The same tests on one of the runtimes.
integration() { # runtime, suffix, scale, make variables...
    TAKO_RUNTIME=$1 TAKO_TEST_SCALE=${TAKO_TEST_SCALE:-$3} \
        phase "integration-$1$2" 600 "${mk[@]}" integration "${@:4}"
}

# What matters most once more, with bytes cut up on their way.
hostile() { # runtime
    TAKO_RUNTIME=$1 TAKO_TEST_SCALE=0.1 phase "hostile-$1" 300 "${mk[@]}" hostile
}

# Does the automatic choice find io_uring here?  Its own tests say what happens where it does not.
has_io_uring() {
    local showcase
    showcase=$(find "$build" -path '*/examples/showcase' -print -quit)
    [[ $(timeout 2 "$showcase" --http 127.0.0.1:0 --quiet 2>&1 </dev/null) == *"runtime io_uring"* ]]
}

# One at a time: the other CPU runs tests that have deadlines.
unit() { # suffix, make variables...
    TAKO_UNIT_JOBS=${TAKO_UNIT_JOBS:-1} phase "unit$1" 600 "${mk[@]}" unit "${@:2}"
}

# What a runtime has a part in, and threads: the rest is the same on one of them, in one thread.
some() {
    printf 'tests/integration/test_%s.py ' runtime lifecycle restarts balance exchange http1 limits static \
        h2 h2_exchange tls tls_early upgrade ws_life ws_ends events topics redis observability examples soak
}

suites() { # suffix, scale on epoll, scale on io_uring, make variables...
    local part=()
    [[ $1 == -tsan ]] && part=(PYTEST_ARGS="$(some)")
    integration epoll "$1" "$2" "${@:4}" "${part[@]}"
    if has_io_uring; then
        [[ -n $1 ]] && part=(PYTEST_ARGS="$(some)")
        integration io_uring "$1" "$3" "${@:4}" "${part[@]}"
    else
        echo "--      no io_uring here: integration-io_uring$1 is left out"
    fi
}

programs() { # suffix, make variables...
    phase "build$1" 420 "${mk[@]}" all unit-programs test-programs "${@:2}"
}

run_lane() {
    trap 'kill $child 2>/dev/null; exit 143' TERM
    suites "" 1 0.5
    hostile epoll
    has_io_uring && hostile io_uring
    phase valgrind 180 "${mk[@]}" valgrind
    # The HTTP suite once more, over TLS.
    TAKO_TEST_OVER=tls TAKO_TEST_SCALE=0.25 phase integration-tls 420 "${mk[@]}" integration \
        PYTEST_ARGS="$(printf 'tests/integration/test_%s.py ' http1 exchange routing static)"
    after build-asan suites -asan 0.25 0.1 SAN=address,undefined
    after build-tsan suites -tsan 0.25 0.1 SAN=thread
}

build_lane() {
    trap 'kill $child 2>/dev/null; exit 143' TERM
    phase seams 30 "${mk[@]}" seams
    phase headers 120 "${mk[@]}" headers
    phase abi 60 "${mk[@]}" abi
    phase install 120 "${mk[@]}" install-test
    phase docs 120 "${mk[@]}" docs-test
    unit ""
    programs -asan SAN=address,undefined
    programs -tsan SAN=thread
    programs -clang CC="${CLANG:-clang}"
    unit -asan SAN=address,undefined
    unit -tsan SAN=thread
    TAKO_FUZZ_JOBS=1 phase fuzz 300 "${mk[@]}" fuzz-smoke DEPS=no
}

lanes=()
stop() {
    trap - INT TERM EXIT
    # shellcheck disable=SC2086
    kill $child "${lanes[@]}" 2>/dev/null
    wait
}
trap 'stop; exit 130' INT TERM
trap stop EXIT

if [[ ${DEPS-} != no ]]; then scripts/deps.sh check || exit; fi

if [[ -n ${SAN-} ]]; then
    programs "" && { TAKO_UNIT_JOBS=$(nproc) unit ""; suites "" 0.5 0.25; }
elif phase build 600 "${mk[@]}" all unit-programs test-programs bench-programs; then
    child=
    run_lane &
    lanes+=($!)
    build_lane &
    lanes+=($!)
    wait "${lanes[@]}"
    lanes=()
fi
child=

total=$(cat "$logs"/*.count | awk '{ p += $1; f += $2 } END { print p + 0, f + 0 }')
bad=$(grep -Lx 0 "$logs"/*.rc | sed 's|.*/||; s|\.rc$||')
echo
# Again, and short: who sees only the end of this shall know what failed, and why.
for name in $bad; do
    echo "failed: $name ($logs/$name.log)"
    awk -f scripts/failures.awk "$logs/$name.log" | sed 's/^/    /'
done
echo "took $((SECONDS - started)) s"
echo "${total% *} passed, ${total#* } failed"
[[ -z $bad && ${total#* } == 0 ]]

#!/usr/bin/env bash
# check.sh: what `make check` does.  After the first build its phases are jobs, taken in order by three
# lanes, so that two CPUs are busy although tests wait for clocks a third of their time: a job runs when what
# it needs is done.  Tests are therefore never alone, and none may depend on that; each lane's servers have
# ports of their own.  Each phase has a log in BUILD/check/, and a time limit that is twice what
# a slow machine needs.  A few integration tests that failed beside the others' load are run again alone
# (second_look): those that then always pass are told as unsteady.
# The last line is "N passed, N failed", of test cases and checks together.
#
# With SAN=... only that build and its unit and integration tests.
set -u
cd "$(dirname "$0")/.." || exit

make=${MAKE:-make} build=${BUILD:-build}
logs=$build/check
started=$SECONDS
rm -rf "${logs:?}"
mkdir -p "$logs"
# Given to us by a make with -j, the jobserver already says how many.
jobs=(-j"$(nproc)")
[[ ${MAKEFLAGS-} == *jobserver* ]] && jobs=()

mk=("$make" --no-print-directory "${jobs[@]}")
child=
again= # what the names of phases end with that are run once more

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
    local name=$1$again limit=$2 log=$logs/$1$again.log from=$SECONDS rc p f s verdict=ok
    shift 2
    printf -- '--      %s\n' "$name"
    export TAKO_TEST_FAILED=$logs/$name.failed
    timeout -k 10 "$limit" "$@" </dev/null >"$log" 2>&1 &
    child=$!
    wait "$child"
    rc=$?
    ((rc == 124)) && echo "stopped: it took longer than $limit s" >>"$log"
    read -r p f s < <(count "$log" "$rc")
    echo "$p $f $s" >"$logs/$name.count"
    ((rc == 0)) || verdict=FAIL
    {
        printf '%-7s %-25s %4d s   %s\n' "$verdict" "$name" $((SECONDS - from)) \
            "$p passed, $f failed$( ((s)) && echo ", $s skipped")"
        ((rc == 0)) || excerpt "$log"
    } >"$logs/$name.text"
    cat "$logs/$name.text"
    rm -f "$logs/$name.text"
    echo "$rc" >"$logs/$name.rc"
    return "$rc"
}

# ---- Phases -------------------------------------------------------------------------

# What a build is called after its SAN=; "-" is none.
suffix() {
    case $1 in
        address*) echo -asan ;;
        thread) echo -tsan ;;
    esac
}

programs() { # SAN
    phase "build$(suffix "$1")" 1200 "${mk[@]}" all unit-programs test-programs SAN="${1#-}"
}

# Whether clang takes it: its warnings are the same without its optimiser.
clang() {
    phase build-clang 1200 "${mk[@]}" all unit-programs test-programs CC="${CLANG:-clang}" CFLAGS=-O0
}

# One at a time: the other lanes are busy.
unit() { # SAN
    TAKO_UNIT_JOBS=${TAKO_UNIT_JOBS:-1} phase "unit$(suffix "$1")" 1200 "${mk[@]}" unit SAN="${1#-}"
}

# What can be left out of a build is: it passes its own tests.  The simulation has its thousand seeds with
# everything in.
bare() {
    TAKO_UNIT_JOBS=${TAKO_UNIT_JOBS:-1} TAKO_SIM_SEEDS=${TAKO_SIM_SEEDS:-50} phase unit-bare 1200 "${mk[@]}" WS=0 REDIS=0 TLS=0 GRPC=0 all unit
}

files() {
    printf 'tests/integration/test_%s.py ' "$@"
}

# What of the integration tests: "all"; "some", that is what a runtime has a part in, and threads: the rest
# is the same on one of them, in one thread; or of that "few", without what a layer does on any runtime.
part() {
    local few=(runtime lifecycle connect restarts balance exchange http1 limits static h2 h2_exchange upgrade ws_life
        ws_ends events topics redis observability examples soak proxy forwarded unix inherit handover raw client client_h2
        udp transport quic raw_quic h3 h3_exchange h3_http1 h3_quicgo)
    case $1 in
        few) files "${few[@]}" ;;
        some) files "${few[@]}" tls tls_early h3_early tls_audit grpc ;;
    esac
}

integration() { # runtime, SAN, scale, part
    TAKO_RUNTIME=$1 TAKO_TEST_SCALE=${TAKO_TEST_SCALE:-$3} phase "integration-$1$(suffix "$2")" 1200 \
        "${mk[@]}" integration SAN="${2#-}" PYTEST_ARGS="$(part "$4")"
}

# The HTTP suite and the attacks on HTTP/2 once more, over TLS.
over_tls() { # runtime
    TAKO_RUNTIME=$1 TAKO_TEST_OVER=tls TAKO_TEST_SCALE=0.25 phase "integration-tls-$1" 900 "${mk[@]}" integration \
        PYTEST_ARGS="$(files http1 exchange routing static h2_attacks)"
}

# What matters most once more, with bytes cut up on their way.
hostile() { # runtime
    TAKO_RUNTIME=$1 TAKO_TEST_SCALE=0.1 phase "hostile-$1" 600 "${mk[@]}" hostile-smoke
}

fuzz() {
    TAKO_FUZZ_JOBS=1 phase fuzz 600 "${mk[@]}" fuzz-smoke DEPS=no
}

target() { # name, limit, target
    phase "$1" "$2" "${mk[@]}" "$3"
}

# Does the automatic choice find io_uring here?  Its own tests say what happens where it does not.
has_io_uring() {
    local showcase
    showcase=$(find "$build" -path '*/examples/showcase' -print -quit)
    [[ $(timeout 2 "$showcase" --http 127.0.0.1:0 --quiet 2>&1 </dev/null) == *"runtime io_uring"* ]]
}

# ---- Jobs and lanes ---------------------------------------------------------------------

names=()
declare -A needs command

job() { # phase, the phases it needs or "", command of words without spaces...
    names+=("$1")
    needs[$1]=$2
    command[$1]=${*:3}
}

# Long ones first, what others need before them; each test runs on both runtimes, in one build or another.
list_jobs() {
    local ring=no full=all
    has_io_uring && ring=yes full=some
    [[ $ring == yes ]] || echo "--      no io_uring here: its phases are left out"
    job integration-epoll "" integration epoll - 1 $full
    job seams "" target seams 30 seams
    job headers "" target headers 120 headers
    job abi "" target abi 60 abi
    job install "" target install 120 install-test
    job build-asan "" programs address,undefined
    job unit "" unit -
    [[ $ring == yes ]] && job integration-io_uring "" integration io_uring - 0.5 all
    job integration-epoll-asan build-asan integration epoll address,undefined 0.25 all
    job build-tsan "" programs thread
    job unit-asan build-asan unit address,undefined
    job integration-epoll-tsan build-tsan integration epoll thread 0.25 some
    job unit-tsan build-tsan unit thread
    [[ $ring == yes ]] && job integration-io_uring-asan build-asan integration io_uring address,undefined 0.1 few
    [[ $ring == yes ]] && job integration-io_uring-tsan build-tsan integration io_uring thread 0.1 few
    job fuzz "" fuzz
    job hostile-epoll "" hostile epoll
    [[ $ring == yes ]] && job hostile-io_uring "" hostile io_uring
    job integration-tls-epoll "" over_tls epoll
    [[ $ring == yes ]] && job integration-tls-io_uring "" over_tls io_uring
    job unit-bare "" bare
    job build-clang "" clang
    job docs "" target docs 120 docs-test
    job valgrind "" target valgrind 180 valgrind
}

# Has what it needs been done?  What needs something that failed is given up.
ready() { # job
    local need
    for need in ${needs[$1]}; do
        [[ -e $logs/$need.rc ]] || return 1
        [[ $(<"$logs/$need.rc") == 0 ]] && continue
        mkdir "$logs/$1.taken" 2>/dev/null && echo "--      $1 is left out: $need failed"
        return 1
    done
}

# The next job that can run, into $next; false when there is none left.
take() {
    local name left
    while :; do
        left=no
        for name in "${names[@]}"; do
            [[ -e $logs/$name.taken ]] && continue
            left=yes
            ready "$name" && mkdir "$logs/$name.taken" 2>/dev/null && next=$name && return 0
        done
        [[ $left == yes ]] || return 1
        sleep 0.2
    done
}

lane() { # first port
    local next words from waited=0
    trap 'kill $child 2>/dev/null; exit 143' TERM
    export TAKO_TEST_PORTS=$1
    while from=$SECONDS && take; do
        ((waited += SECONDS - from))
        read -ra words <<<"${command[$next]}"
        "${words[@]}"
    done
    echo "--      a lane is done after $((SECONDS - started)) s, of which it waited $waited s"
}

# ---- Second look ------------------------------------------------------------------------

# So many tests may be unsteady, and so often must each pass alone.
unsteady_max=3 unsteady_runs=5

# Whether the phase failed by nothing else than integration tests, none of which crashed or has a sanitizer's
# report, and no more of them than may be unsteady.
doubtful() { # phase
    local p f s
    [[ -s $logs/$1.failed && $(<"$logs/$1.rc") != 124 ]] || return 1
    read -r p f s <"$logs/$1.count"
    ((f == $(wc -l <"$logs/$1.failed"))) && ! grep -q '^!' "$logs/$1.failed"
}

# Failing once under load is a defect, of the test or of what it tests, and is told as one; but a change is
# not refused for a defect that it did not make.  What passes alone, as often as that, is unsteady.
second_look() {
    local name bad all words k p f s
    bad=$(grep -Lx 0 "$logs"/*.rc | sed 's|.*/||; s|\.rc$||')
    for name in $bad; do doubtful "$name" || return; done
    all=$(for name in $bad; do cat "$logs/$name.failed"; done | wc -l)
    ((all > 0 && all <= unsteady_max)) || return
    export TAKO_TEST_PORTS=17000
    for name in $bad; do
        sort -u "$logs/$name.failed" >"$logs/$name.only"
        export TAKO_TEST_ONLY=$logs/$name.only
        read -ra words <<<"${command[$name]}"
        for ((k = 1; k <= unsteady_runs; k++)); do
            again=-again$k
            "${words[@]}" || break 2
            # Who finds nothing to run has not shown anything.
            (($(cut -d' ' -f1 "$logs/$name$again.count") >= $(wc -l <"$TAKO_TEST_ONLY"))) || break 2
        done
        mv "$logs/$name.only" "$logs/$name.unsteady"
        echo 0 >"$logs/$name.rc"
        read -r p f s <"$logs/$name.count"
        echo "$((p + f)) 0 $s" >"$logs/$name.count"
    done
    again=
    unset TAKO_TEST_ONLY
    rm -f "$logs"/*-again*.rc "$logs"/*-again*.count
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

if [[ ${DEPS-} != no ]]; then
    scripts/deps.sh check || exit
    scripts/npm.sh "$build/npm"
fi

if [[ -n ${SAN-} ]]; then
    if programs "$SAN"; then
        TAKO_UNIT_JOBS=$(nproc) unit "$SAN"
        integration epoll "$SAN" 0.5 all
        if has_io_uring; then integration io_uring "$SAN" 0.25 some; fi
    fi
elif phase build 1200 "${mk[@]}" all unit-programs test-programs bench-programs; then
    child=
    mk=("$make" --no-print-directory) # each lane has one CPU at most
    list_jobs
    for port in 17000 22000 27000; do
        lane $port &
        lanes+=($!)
    done
    wait "${lanes[@]}"
    lanes=()
    second_look
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
for name in "$logs"/*.unsteady; do
    [[ -e $name ]] && sed "s|^|unsteady in $(basename "$name" .unsteady), passed $unsteady_runs times alone: |" "$name"
done
echo "took $((SECONDS - started)) s"
echo "${total% *} passed, ${total#* } failed"
[[ -z $bad && ${total#* } == 0 ]]

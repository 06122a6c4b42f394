#!/usr/bin/env bash
# run-hostile.sh BUILD_DIR [smoke | PYTEST_ARGUMENT...]: the integration tests with bytes cut up on their way
# in and out, one mode after the other.  Without arguments all of them; "smoke": of each mode the files with
# the most to lose in it.  What is left out in a mode is told with its reason; the last line is the sum of all.
# Other variables as run-integration.sh.
set -u
cd "$(dirname "$0")/.." || exit

modes=("recv_buffer_bytes=1" "recv_buffer_bytes=64 recv_buffer_count=2" "send_max_bytes=13")
# Parsers meet every boundary; small buffers run out between streams; framing is cut at any byte.
smoke=("http1 exchange malformed h2_exchange h2_conformance upgrade"
    "http1 exchange h2 h2_exchange h2_attacks ws_ends"
    "http1 exchange static h2_exchange h2_static mutations")
build=$1
shift
passed=0 failed=0 skipped=0 status=0
export TAKO_TEST_SCALE=${TAKO_TEST_SCALE:-0.1}

for i in "${!modes[@]}"; do
    args=("$@")
    if [[ ${1-} == smoke ]]; then
        args=()
        for name in ${smoke[i]}; do args+=("tests/integration/test_$name.py"); done
    fi
    ((${#args[@]})) || args=(tests/integration)
    echo "-- ${modes[i]}"
    out=$(TAKO_TEST_KNOBS=${modes[i]} scripts/run-integration.sh "$build" -rs "${args[@]}") || status=1
    printf '%s\n' "$out"
    read -r p f s < <(awk '
        /[0-9]+ (passed|failed|error|skipped)/ { line = $0 }
        function of(word) { return match(line, "[0-9]+ " word) ? substr(line, RSTART, RLENGTH) + 0 : 0 }
        END { print of("passed"), of("failed") + of("error"), of("skipped") }' <<<"$out")
    ((passed += p, failed += f, skipped += s))
done
echo "$passed passed, $failed failed, $skipped skipped"
exit $status

#!/usr/bin/env bash
# run-fuzz.sh SECONDS PROGRAM...: first the inputs that once failed, then SECONDS of fuzzing each,
# one target per CPU.  What it finds is written beside the program, never into the tree: a
# new failure goes into tests/fuzz/regression/<name>/ by hand, with its fix.  TAKO_FUZZ_SEED makes it
# try the same inputs each time, so that a change is not blamed for what chance found.
set -u
cd "$(dirname "$0")/.." || exit
. scripts/san-env.sh

seconds=$1
shift
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

one() {
    local prog=$1 name dir seeds old=()
    name=$(basename "$prog")
    dir=$(dirname "$prog")/$name.found
    mkdir -p "$dir/corpus"
    seeds=tests/fuzz/corpus/$name
    [[ -d tests/fuzz/regression/$name ]] && mapfile -t old < <(find "tests/fuzz/regression/$name" -type f)
    {
        { [[ -d $seeds ]] || { echo "it has no seeds in $seeds"; false; }; } &&
            if ((${#old[@]})); then "$prog" -timeout=10 -rss_limit_mb=2048 "${old[@]}"; fi &&
            timeout -k 5 $((seconds * 2 + 60)) "$prog" -seed="${TAKO_FUZZ_SEED:-0}" \
                -max_total_time="$seconds" -timeout=10 \
                -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$dir/" \
                "$dir/corpus" "$seeds"
    } </dev/null >"$logs/$name" 2>&1
    if (($? == 0)); then
        printf '  ok      %s: %s runs, %d regressions\n' "$name" \
            "$(awk '/number_of_executed_units/ { print $2 }' "$logs/$name")" ${#old[@]}
        touch "$logs/$name.ok"
    else
        { printf '  FAIL    %s\n' "$name"; tail -n 60 "$logs/$name" | sed 's/^/    /'; } >"$logs/text.$name"
        touch "$logs/$name.bad"
        cat "$logs/text.$name"
    fi
}

for prog in "$@"; do
    while (($(jobs -rp | wc -l) >= ${TAKO_FUZZ_JOBS:-$(nproc)})); do wait -n; done
    one "$prog" &
done
wait
bad=$(find "$logs" -name '*.bad' | wc -l)
echo "$(find "$logs" -name '*.ok' | wc -l) passed, $bad failed"
((bad == 0))

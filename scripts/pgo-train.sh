#!/usr/bin/env bash
# pgo-train.sh TRAIN: runs servers of the instrumented build in TRAIN, on each runtime, under bench's
# generators, so that the compiler learns which way the code usually goes; the notes are left in
# TRAIN/profile.  Some 15 s, over loopback; the Makefile calls it for PGO=1.
#
# What is missing here is not trained, which is said: the compiler then treats it as it always does.
set -u
train=$(realpath "$1")
profile=$train/profile
dir=$(mktemp -d)
server=
trap 'if [[ $server ]]; then kill -KILL "$server"; wait "$server"; fi 2>/dev/null; rm -rf "$dir"' EXIT

die() {
    echo "PGO: $*; LTO=1 is the release build that needs no training" >&2
    exit 1
}
skip() { echo "PGO: untrained: $*" >&2; }

# Nothing here is large enough to be worth a fraction of the bound: a generator that hangs is a failure.
run() { timeout -k 1 15 "$@" >"$dir/out" 2>&1 </dev/null || die "'${*##*/}' failed: $(tail -n 1 "$dir/out")"; }
load() { run "$train/bench/load" --port "$http" --seconds 10 "$@"; }
load_ws() { run "$train/bench/load_ws" --port "$http" --path /echo --seconds 10 "$@"; }

# About as much of each, lest one kind of request decides alone what is worth inlining.
http1() {
    load --path /plaintext --connections 64 --requests 60000
    load --path /plaintext --connections 16 --requests 60000 --head browser
    load --path /json --connections 64 --requests 60000 --depth 16
    load --path /users/42 --connections 64 --requests 20000
    load --path /count --connections 16 --requests 4000 --post 65536
    load --path /count --connections 16 --requests 20000 --post 100
    load --path /plaintext --connections 32 --requests 4000 --mode close
    load --path /files/1m.bin --connections 16 --requests 200
    load --path /files/small.txt --connections 16 --requests 10000
}
websocket() {
    load_ws --connections 100 --message 16 --requests 60000
    load_ws --connections 100 --message 1024 --requests 30000
    load_ws --connections 16 --message 65536 --requests 2000
}
h2c() {
    run h2load -n 100000 -c 8 -m 100 "http://127.0.0.1:$http/plaintext"
    run h2load -n 20000 -c 64 -m 1 "http://127.0.0.1:$http/plaintext"
}
tls() {
    run h2load --h1 -n 20000 -c 64 "https://127.0.0.1:$https/plaintext"
    run h2load -n 20000 -c 8 -m 16 "https://127.0.0.1:$https/plaintext"
    run h2load --h1 -n 200 -c 200 "https://127.0.0.1:$https/plaintext"
    run h2load --h1 -n 100 -c 8 "https://127.0.0.1:$https/files/1m.bin"
}

port_of() { sed -n "s|^listening on $1://.*:||p" "$dir/server"; }

# Ready once it has said which ports it was given.
start_showcase() { # runtime
    local listen=(--http 127.0.0.1:0) i
    ((with_tls)) && listen+=(--tls 127.0.0.1:0)
    XDG_CACHE_HOME=$dir "$train/examples/showcase" --runtime "$1" --workers 1 --quiet \
        --files "$dir/files" "${listen[@]}" >"$dir/server" 2>&1 </dev/null &
    server=$!
    for ((i = 0; i < 100; i++)); do
        http=$(port_of http) https=$(port_of https)
        [[ $http && ($https || $with_tls == 0) ]] && return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    return 1
}

# This one is told its port, as in the benchmarks.
start_ws() { # runtime
    local i
    for ((i = 0; i < 100; i++)); do
        if [[ ! $server ]] || ! kill -0 "$server" 2>/dev/null; then
            http=$((20000 + RANDOM % 10000))
            TAKO_RUNTIME=$1 "$train/examples/ws" "127.0.0.1:$http" >"$dir/server" 2>&1 </dev/null &
            server=$!
        fi
        sleep 0.1
        (: <"/dev/tcp/127.0.0.1/$http") 2>/dev/null && kill -0 "$server" && return 0
    done
    return 1
}

# Its notes are written when it ends as it should.
stop() {
    kill -TERM "$server"
    wait "$server" || die "a server failed: $(tail -n 1 "$dir/server")"
    server=
}

with_tls=1
case ${TAKO_LACKS-} in *tls*) with_tls=0 ;; esac
mkdir -p "$dir/files"
head -c 1048576 /dev/urandom >"$dir/files/1m.bin"
head -c 2000 /dev/urandom >"$dir/files/small.txt"
rm -rf "$profile"
command -v h2load >/dev/null || skip "HTTP/2 and TLS, for want of h2load (Debian's nghttp2-client)"
for runtime in epoll io_uring; do
    if ! start_showcase "$runtime"; then
        [[ $runtime == epoll ]] && die "the showcase did not start: $(tail -n 1 "$dir/server")"
        skip "io_uring: $(tail -n 1 "$dir/server")"
        server=
        continue
    fi
    http1
    if command -v h2load >/dev/null; then
        h2c
        ((with_tls)) && tls
    fi
    stop
    [[ ${TAKO_LACKS-} == *ws* ]] && continue
    start_ws "$runtime" || die "examples/ws did not start: $(tail -n 1 "$dir/server")"
    websocket
    stop
done
[[ $(find "$profile" -name '*.gcda' -print -quit) ]] || die "no profile was left in $profile"

#!/usr/bin/env bash
# deps.sh GROUP...: installs what is missing, from Debian's packages, of what these groups need.
# GROUP is build, check, bench, pgo, fuzz or lint; the others bring build with them.
#
# Quick when nothing is missing (one dpkg-query).  Otherwise it needs root or sudo, and the package
# lists' servers.  It may be interrupted and run again at any time.  It never changes a
# configuration file, never removes a package, and a server it installs (for the benchmarks) is
# neither started now nor at the next boot.
set -u

# Group, package, what for.  A "?" marks what is used when there and not missed when not.
packages='
build   gcc                 the compiler
build   libc6-dev           the C library'\''s headers
build   make                this build
build   pkgconf             finds libraries, and checks our own tako.pc
build   libnghttp2-dev      HTTP/2
build   liburing-dev        the io_uring runtime
build   ?libngtcp2-dev      QUIC with a wolfSSL of the system'\''s
build   ?libipsec-mb-dev    QUIC: encryption on CPUs with VAES and AVX-512 (of amd64 only)
build   libnghttp3-dev      HTTP/3
build   libwslay-dev        WebSocket
build   zlib1g-dev          compression of WebSocket and gRPC
build   libhiredis-dev      topics between processes, over Redis
build   dpkg-dev            scripts/wolfssl.sh: unpacks Debian'\''s source of wolfSSL
build   autoconf            … and builds it
build   automake            … and builds it
build   libtool             … and builds it
build   nettle-dev          SHA-256 in the showcase'\''s /upload
build   libcjson-dev        JSON in the showcase
build   protobuf-c-compiler  messages of the gRPC example
build   protobuf-compiler   … and their descriptors
build   libprotobuf-c-dev   … and their library
check   libcmocka-dev       unit tests
check   python3             integration tests
check   python3-pytest      integration tests
check   curl                integration tests: a client that is not ours
check   ngtcp2-client       integration tests: gtlsclient, a QUIC client that is not ours
check  ?golang-go           integration tests: compiles an HTTP/3 client that is not ours
check  ?golang-github-lucas-clemente-quic-go-dev  … which is of this
check   nghttp2-client      integration tests: nghttp, h2load
check   python3-h2          integration tests: HTTP/2 frame by frame
check   python3-websockets  integration tests: another WebSocket client
check   python3-grpcio      integration tests: a gRPC client
check   python3-protobuf    … and its messages
check  ?libgrpc++-dev       … and another one
check  ?nodejs              integration tests: another HTTP/2 client
check  ?npm                 … and what scripts/npm.sh installs: another gRPC client
check  ?node-ws             integration tests: a WebSocket client
check   redis-server        integration tests: topics between processes
check   openssl             integration tests: certificates, and a TLS client that is not ours
check   testssl.sh          integration tests: what it finds wrong with our TLS
check   wrk                 integration tests: load
check   iproute2            integration tests: a loopback with routes for multicast
check   socat               integration tests: a client of raw datagrams
check   haproxy             integration tests: a load balancer that speaks the PROXY protocol
check   nginx               … and another
check   libnginx-mod-stream its part that does
check   apache2-utils       integration tests: ab, an HTTP/1.0 client
check   chromium            integration tests: a browser opens the page
check   valgrind            the examples, for leaks
check   binutils            nm and readelf, for the exported names
check   g++                 the public headers are C++ too
check   clang               the second compiler, and libFuzzer
check  ?libclang-rt-14-dev  its sanitizers and libFuzzer (a package of its own in Debian 12)
check  ?llvm                names in its sanitizers'\'' reports
check   libmicrohttpd-dev   the comparison programs in bench/ are compiled
check   libwebsockets-dev   … of them another
bench   wrk                 load generator
bench   nghttp2-client      load generator for HTTP/2
bench   nginx               peer
bench   h2o                 peer
bench   haproxy             peer
bench   lighttpd            peer
bench   ngtcp2-client       asks an HTTP/3 server once, before it is measured
bench  ?ngtcp2-server       peer
bench   libmicrohttpd-dev   peer
bench   libwebsockets-dev   peer
bench  ?nodejs              peer
bench  ?node-ws             peer
bench  ?libgrpc++-dev       peer
bench  ?libnginx-mod-http-echo  nginx reads the body of a POST
bench  ?linux-perf          CPU profiles
pgo     nghttp2-client      PGO=1 is trained with h2load for HTTP/2 and TLS
fuzz    clang               libFuzzer
fuzz   ?libclang-rt-14-dev  libFuzzer
fuzz   ?llvm                names in its reports
lint    clang-format        make fmt
lint    clang-tidy          make lint
lint    cppcheck            make lint
'
# Packages that would start a service, and its name is the package's.
servers=' nginx h2o haproxy lighttpd redis-server '
lock_wait_s=600

say() { echo "deps: $*" >&2; }
die() {
    say "$*"
    exit 1
}

# Debian starts a server when it installs it, unless this file says no.  One that is not ours stays
# as it is; one of ours whose process is gone was left by a run that was killed.
policy=/usr/sbin/policy-rc.d
policy_mark='# safe to delete: written while deps.sh of tako installs packages, process'
policy_pid() { sed -n "s/^$policy_mark //p" "$policy" 2>/dev/null; }
hold_services() {
    [[ -e $policy && -z $(policy_pid) ]] && return
    trap release_services EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\n%s %d\nexit 101\n' "$policy_mark" $$ | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
}
release_services() {
    local pid
    pid=$(policy_pid)
    if [[ -n $pid ]] && { ((pid == $$)) || [[ ! -e /proc/$pid ]]; }; then
        "${as_root[@]}" rm -f "$policy"
    fi
}

as_root=()
groups=" build $* "
for g in "$@"; do
    grep -q "^$g " <<<"$packages" || die "unknown group '$g'"
done

need=() optional=()
while read -r group name _; do
    [[ -n $group && $groups == *" $group "* ]] || continue
    if [[ $name == \?* ]]; then optional+=("${name#\?}"); else need+=("$name"); fi
done <<<"$packages"

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "this is not Debian, so nothing is installed; needed, by their names there: ${need[*]}"
    command -v "${CC:-gcc}" >/dev/null || die "there is no C compiler '${CC:-gcc}'"
    exit 0
fi

# shellcheck disable=SC2016
have=" $(dpkg-query -W -f '${db:Status-Status}:${Package} ' "${need[@]}" "${optional[@]}" 2>/dev/null) "
missing=() missing_optional=()
for p in "${need[@]}"; do
    [[ $have == *" installed:$p "* || " ${missing[*]-} " == *" $p "* ]] || missing+=("$p")
done
if ((${#missing[@]} == 0)); then
    [[ -e $policy && -w $policy ]] && release_services
    exit 0
fi
# What is only nice to have never causes an installation by itself: it may not exist here at all.
for p in "${optional[@]}"; do
    [[ $have == *" installed:$p "* ]] || missing_optional+=("$p")
done

if ((EUID != 0)); then
    again="run 'apt-get install ${missing[*]}' as root, or use DEPS=no to go on without"
    command -v sudo >/dev/null || die "missing ${missing[*]}, and there is no sudo: $again"
    [[ -t 0 ]] || sudo -n true 2>/dev/null || die "missing ${missing[*]}, and sudo wants a password: $again"
    as_root=(sudo)
fi

apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -qq \
        -o DPkg::Lock::Timeout=$lock_wait_s -o Dpkg::Options::=--force-confold \
        -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" </dev/null
}

# The lists have a lock of their own, for which apt does not wait.
update() {
    local left=$lock_wait_s out
    until out=$(apt update 2>&1); do
        [[ $out == *"Could not get lock"* && $left -gt 0 ]] || { echo "$out" >&2; return 1; }
        sleep 5
        left=$((left - 5))
    done
}

install() { apt install -y --no-install-recommends --no-remove "$@"; }

say "installing ${missing[*]}"
new_servers=()
for p in "${missing[@]}"; do
    [[ $servers == *" $p "* ]] && new_servers+=("$p")
done
((${#new_servers[@]})) && hold_services

# A failing update may be one unrelated source: what matters is whether the packages install.
update || say "the package lists could not all be refreshed"
available=()
for p in "${missing_optional[@]}"; do
    # A Node that is not Debian's brings its own, and Debian's would not go with it.
    [[ $p == npm ]] && command -v npm >/dev/null && continue
    apt-cache show "$p" >/dev/null 2>&1 && available+=("$p")
done
log=$(mktemp)
# dpkg that was interrupted half way says so and wants to be told to finish first.
if ! install "${missing[@]}" "${available[@]}" >"$log" 2>&1; then
    "${as_root[@]}" dpkg --configure -a >>"$log" 2>&1 </dev/null
    if ! install "${missing[@]}" >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        die "apt-get could not install ${missing[*]} (its words are above)"
    fi
fi
rm -f "$log"
if ((${#new_servers[@]})) && command -v systemctl >/dev/null; then
    "${as_root[@]}" systemctl disable --quiet "${new_servers[@]}" >/dev/null 2>&1
fi
exit 0

#!/usr/bin/env bash
# quic-today.sh BUILD_DIR FLAG...: do the sources that see ngtcp2 and nghttp3 compile with those of today, too?
#
# They are written by the names of 1.x, and src/transports/quic/quic_ngtcp2.h has what Debian 12's 0.12 calls
# otherwise.  The headers of 1.11 and 1.8 come as packages of bookworm-backports: they are fetched into BUILD_DIR
# and unpacked there, with apt's configuration left as it is, and nothing is installed.  Compiled is without
# code: the libraries are not the point.  What it needs and cannot get is a failure, with a sentence.
set -u
cd "$(dirname "$0")/.." || exit

build=$1
shift
dir=$build/deps/quic-today
here=$PWD
suite=bookworm-backports
packages=(libngtcp2-dev libngtcp2-crypto-gnutls-dev libnghttp3-dev)

die() {
    echo "quic-today: $*" >&2
    exit 1
}

# Where this machine gets its Debian from, in the new form of that file or the old one.
mirror() {
    awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/*.sources 2>/dev/null
    awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; exit } }' \
        /etc/apt/sources.list 2>/dev/null
}

# apt with lists and a cache of its own.
apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$here/$dir/apt/list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$here/$dir/apt/lists" -o Dir::Cache="$here/$dir/apt/cache" \
        -o Dir::State::status=/dev/null -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@"
}

fetch() {
    local from
    command -v apt-get >/dev/null || die "this is not Debian, from whose $suite the headers come"
    from=$(mirror | head -n 1)
    [[ -n $from ]] || die "apt's sources name no mirror to get $suite from"
    mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from $suite main" >"$dir/apt/list"
    apt update || die "the lists of $suite cannot be had"
    (cd "$dir/apt" && apt download "${packages[@]}") || die "${packages[*]} of $suite cannot be had"
    for deb in "$dir"/apt/*.deb; do
        dpkg-deb -x "$deb" "$dir/new" || die "$deb cannot be unpacked"
    done
    rm -rf "$dir/root"
    mv "$dir/new" "$dir/root"
}

version() { # library
    sed -n "s/^#define ${1^^}_VERSION \"\(.*\)\"/\1/p" "$dir/root/usr/include/$1/version.h"
}

[[ -e $dir/root/usr/include/ngtcp2/ngtcp2.h ]] || fetch
[[ $(version ngtcp2) == 1.* && $(version nghttp3) == 1.* ]] ||
    die "these are ngtcp2 $(version ngtcp2) and nghttp3 $(version nghttp3), which is not today's"

# The header of ngtcp2's helper for wolfSSL is in no distribution.  Ours, of 0.12, differs by the names of a type.
ours=$build/deps/wolfssl/include/ngtcp2/ngtcp2_crypto_wolfssl.h
[[ -e $ours ]] || die "$ours is not there: build first, and with the wolfSSL that scripts/wolfssl.sh builds"
mkdir -p "$dir/helper/ngtcp2"
sed 's/ngtcp2_crypto_level/ngtcp2_encryption_level/g' "$ours" >"$dir/helper/ngtcp2/${ours##*/}"

good=0 bad=0
for file in src/transports/quic/*.c src/transports/h3/*.c tests/unit/quic_*.c tests/unit/h3_*.c tests/peer/*.c \
    tests/programs/h3_client.c tests/fuzz/quic_*.c tests/fuzz/h3_*.c bench/load_h3.c; do
    if "${CC:-gcc}" -fsyntax-only -isystem "$dir/helper" -isystem "$dir/root/usr/include" "$@" "$file"; then
        good=$((good + 1))
    else
        bad=$((bad + 1))
    fi
done
echo "with ngtcp2 $(version ngtcp2) and nghttp3 $(version nghttp3): $good passed, $bad failed"
((bad == 0))

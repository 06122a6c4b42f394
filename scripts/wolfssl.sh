#!/usr/bin/env bash
# wolfssl.sh OUT.mk DIR: writes OUT.mk, which tells make where the TLS library is.  The first that
# has what src/transports/tls needs, which a compiled probe decides and not a version:
#
#   1. $WOLFSSL_PREFIX, if it is set; nothing else is then tried
#   2. what pkg-config knows as "wolfssl"
#   3. one built below DIR from this Debian release's own source package, security patches included
#
# Debian 12's package lacks QUIC and is built without assembly, at a thirtieth of the speed.
# The build takes under a minute, once.  Only DIR changes: apt works on lists and a cache of its
# own there, and checks every file against the archive's signature.  May be interrupted and run
# again at any time.
#
# With the last comes ngtcp2, whose half for wolfSSL no Debian package has, built from its source
# package too.
#
# The library that is built is renamed: every name it exports gets a prefix, and DIR/names maps the
# old to the new for what is compiled against it.  So libtako.a can be linked into a program
# that has a wolfSSL, or an OpenSSL, of its own.
set -u

out=${1:?} dir=${2:?}
here=$(cd "$(dirname "$0")/.." && pwd)
prefix=vendored_by_tako_
cc=${CC:-cc}
jobs=$(nproc 2>/dev/null || echo 2)

say() { echo "wolfssl: $*" >&2; }
die() {
    say "$*"
    exit 1
}

mkdir -p "$dir" "$(dirname "$out")" || die "cannot make $dir"
named=$dir # as make knows it
dir=$(cd "$dir" && pwd) out=$(cd "$(dirname "$out")" && pwd)/${out##*/}
exec 9>"$dir/.lock"
flock 9 || die "cannot lock $dir"
work=$dir/work

# ---- Is this one good enough? -----------------------------------------------------------------

probe() { # flags...
    "$cc" -xc "$here/scripts/wolfssl-probe.c" -o "$dir/probe" "$@" >"$dir/probe.log" 2>&1 &&
        "$dir/probe" >>"$dir/probe.log" 2>&1
}

# Through a temporary, as make takes a file that is there for one that is complete.
answer() {
    cat >"$out.new" && mv "$out.new" "$out"
}

from_prefix() {
    local p=$WOLFSSL_PREFIX
    probe -I"$p/include" -L"$p/lib" -Wl,-rpath,"$p/lib" -lwolfssl -lm || {
        tail -n 5 "$dir/probe.log" >&2
        die "the wolfSSL in $p lacks what tako needs (its words are above)"
    }
    answer <<-END
		WOLFSSL_CFLAGS := -isystem $p/include
		WOLFSSL_LIBS := -L$p/lib -Wl,-rpath,$p/lib -lwolfssl -lm
		NGTCP2_LIBS := libngtcp2
		NGTCP2_HELPER_LIBS := $([[ ! -e $p/include/ngtcp2/ngtcp2_crypto_wolfssl.h ]] || echo -lngtcp2_crypto_wolfssl)
		END
}

from_system() {
    local flags
    flags=$(pkg-config --cflags --libs wolfssl 2>/dev/null) || return 1
    # shellcheck disable=SC2086
    probe $flags || return 1
    answer <<-END
		WOLFSSL_CFLAGS := $(pkg-config --cflags wolfssl)
		WOLFSSL_LIBS := wolfssl
		NGTCP2_LIBS := libngtcp2
		NGTCP2_HELPER_LIBS := $(! pkg-config --exists libngtcp2_crypto_wolfssl || echo libngtcp2_crypto_wolfssl)
		END
}

# ---- Debian's source, without touching the machine's apt --------------------------------------

apt_in() { # list of sources, apt's tool, arguments...
    LC_ALL=C.UTF-8 "$2" -qq \
        -o Dir::Etc::sourcelist="$1" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" \
        -o Dir::State::status=/dev/null -o APT::Sandbox::User=root -o Acquire::Retries=3 "${@:3}" \
        </dev/null
}

# The machine's own archives, asked for their sources: a list for each suite, and one of all.
write_sources() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg option= uri suite
    [[ -r $keys ]] && option="[signed-by=$keys] "
    # shellcheck disable=SC2016
    while read -r uri suite; do
        [[ $uri == *debian* ]] || continue
        echo "deb-src $option$uri $suite main" | tee "$work/apt/${suite//\//_}.list" >>"$work/apt/all"
    done < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
        sort -u)
    [[ -s $work/apt/all ]]
}

# The newest version first.  Where a pool has lost its files, the same version may be in another
# suite's, and if not an older one is better than none.
get_source() { # package
    local version list
    for version in $(apt_in "$work/apt/all" apt-cache showsrc --only-source "$1" |
        sed -n 's/^Version: //p' | sort -rVu); do
        for list in "$work"/apt/*.list; do
            (cd "$work" && apt_in "$list" apt-get source --only-source "$1=$version") \
                >>"$work/log" 2>&1 && return
        done
    done
    return 1
}

# ---- Building it ----------------------------------------------------------------------------------

run() { # what, command...
    local what=$1
    shift
    say "$what"
    "$@" >>"$work/log" 2>&1 </dev/null || {
        tail -n 15 "$work/log" >&2
        die "$what went wrong (its last words are above, all of them in $work/log)"
    }
}

configure() {
    local asm=()
    case $(uname -m) in
    x86_64) asm=(--enable-intelasm --enable-sp-asm) ;;
    aarch64) asm=(--enable-armasm --enable-sp-asm) ;;
    esac
    # Each session has room for a peer's certificate, its names in two arrays of these: sixteen would
    # be 400 bytes more a connection, and names of a handful of parts are all that is seen.
    # Hardened as the distribution's own: what parses a peer's certificates should be.
    ./configure --prefix="$work/root" --enable-static --disable-shared --with-pic \
        --disable-examples --disable-crypttests --disable-silent-rules "${asm[@]}" --enable-sp=yes,384 \
        --enable-tls13 --disable-oldtls --enable-quic --enable-alpn --enable-sni \
        --enable-session-ticket --enable-earlydata --enable-secure-renegotiation-info \
        --enable-ocsp --enable-ocspstapling --enable-crl --enable-altcertchains \
        --enable-opensslextra --enable-opensslall --enable-certgen --enable-certext --enable-keygen \
        --enable-curve25519 --enable-ed25519 --enable-hkdf --enable-harden --enable-ip-alt-name \
        CC="$cc" CFLAGS="-O2 -g1 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Wno-error" \
        CPPFLAGS="-DWOLFSSL_GETRANDOM -DWOLFSSL_DH_CONST -DWOLFSSL_ALT_NAMES -DWC_MAX_NAME_ENTRIES=10 -DHAVE_SECRET_CALLBACK -DHAVE_AES_ECB"
}

# Insert TEXT before each line of FILE that is LINE, leading blanks aside, in the function that begins
# with BEGIN; so many lines there are, or the source is not the one that was read.
insert() { # file, begin, line, how often, text
    text=$5 awk -v begin="$2" -v line="$3" '
        index($0, begin) == 1 { inside = 1 }
        { bare = $0; sub(/^[ \t]+/, "", bare) }
        inside && bare == line { print ENVIRON["text"]; n++ }
        { print }
        /^}/ { inside = 0 }
        END { print n + 0 >"/dev/stderr" }' "$1" >"$1.new" 2>"$work/inserted" || return
    [[ $(<"$work/inserted") == "$4" ]] || {
        echo "$1: $2: $(<"$work/inserted") times, not $4: $3"
        return 1
    }
    mv "$1.new" "$1"
}

# What of 5.5.4 cannot be lived with, and is as it should be in what came after it:
# - For each TLS 1.3 client that asks for a staple it parses the certificate and keeps what came of
#   that, and the response, for ever.
# - A server does not write before the client's Finished, so what was asked for in early data would be
#   answered no sooner than without.
# - Of what only the handshake needs it keeps a kilobyte a connection, for OpenSSL's calls to ask about.
# - A private key that is longer than its curve's is written far outside of the buffer for it.
# - Certificates with Ed25519 keys cannot be looked into, though they can be used.
# - QUIC's keys are derived by a call for OpenSSL's sake that seeds a generator of random numbers each time: of a
#   QUIC handshake that was two thirds.
# - Of a QUIC packet by ChaCha20-Poly1305 it does not look at the tag: who changes bytes of it is believed
#   (CVE-2026-5479).
# - All of QUIC's packets go through OpenSSL's calls for streams, which copy a packet and its head into memory from
#   malloc() before they encrypt: half as much again as the cipher itself.
# src/transports/tls hears of it from TAKO__WOLFSSL_MENDED.
mend() {
    # The digest is its name.
    local md='int type = XSTRCMP(md, "SHA256") == 0 ? WC_SHA256 : XSTRCMP(md, "SHA384") == 0 ? WC_SHA384 : 0;'
    local begin="pctx = wolfSSL_EVP_PKEY_CTX_new_id(NID_hkdf, NULL);"
    insert src/quic.c "int wolfSSL_quic_hkdf_extract(" "$begin" 1 "{ $md
        if (type) return wc_HKDF_Extract(type, salt, (word32)saltlen, secret, (word32)secretlen, dest) == 0 ?
            WOLFSSL_SUCCESS : WOLFSSL_FAILURE; }" || return
    insert src/quic.c "int wolfSSL_quic_hkdf_expand(" "$begin" 1 "{ $md
        if (type) return wc_HKDF_Expand(type, secret, (word32)secretlen, info, (word32)infolen, dest, (word32)destlen) == 0 ?
            WOLFSSL_SUCCESS : WOLFSSL_FAILURE; }" || return
    insert src/quic.c "int wolfSSL_quic_hkdf(" "$begin" 1 "{ $md
        if (type) return wc_HKDF(type, secret, (word32)secretlen, salt, (word32)saltlen, info, (word32)infolen, dest,
            (word32)destlen) == 0 ? WOLFSSL_SUCCESS : WOLFSSL_FAILURE; }" || return
    local gcm='if (ctx->cipherType == AES_128_GCM_TYPE || ctx->cipherType == AES_256_GCM_TYPE)'
    insert src/quic.c "int wolfSSL_quic_aead_encrypt(" \
        "if (wolfSSL_EVP_CipherInit(ctx, NULL, NULL, iv, 1) != WOLFSSL_SUCCESS" 1 "$gcm
        return wc_AesGcmEncrypt(&ctx->cipher.aes, dest, plain, (word32)plainlen, iv, GCM_NONCE_MID_SZ, dest + plainlen,
            (word32)ctx->authTagSz, aad, (word32)aadlen) == 0 ? WOLFSSL_SUCCESS : WOLFSSL_FAILURE;" || return
    insert src/quic.c "int wolfSSL_quic_aead_decrypt(" \
        "if (wolfSSL_EVP_CipherInit(ctx, NULL, NULL, iv, 0) != WOLFSSL_SUCCESS" 1 "$gcm
        return wc_AesGcmDecrypt(&ctx->cipher.aes, dest, enc, (word32)enclen, iv, GCM_NONCE_MID_SZ, tag,
            (word32)ctx->authTagSz, aad, (word32)aadlen) == 0 ? WOLFSSL_SUCCESS : WOLFSSL_FAILURE;" || return
    insert src/quic.c "int wolfSSL_quic_aead_decrypt(" \
        "if (wolfSSL_EVP_CipherInit(ctx, NULL, NULL, iv, 0) != WOLFSSL_SUCCESS" 1 "if (ctx->cipherType == CHACHA20_POLY1305_TYPE)
        return wc_ChaCha20Poly1305_Decrypt(ctx->key, iv, aad, (word32)aadlen, enc, (word32)enclen, tag, dest) == 0 ?
            WOLFSSL_SUCCESS : WOLFSSL_FAILURE;" || return
    insert wolfcrypt/src/wolfmath.c "int wc_export_int(" "XMEMSET(buf, 0, *len);" 1 \
        "if (mp_unsigned_bin_size(mp) > (int)keySz) return BUFFER_E;" || return
    insert src/internal.c "int CopyDecodedToX509(" "if (!(x509->key.pkey = wolfSSL_d2i_PUBKEY(NULL," 1 \
        "if (dCert->keyOID != ED25519k)" || return
    insert src/tls.c "static int TLSX_CSR_Parse(" "XFREE(cert, ssl->heap, DYNAMIC_TYPE_DCERT);" 3 \
        "FreeDecodedCert(cert);" || return
    insert src/tls.c "static void TLSX_CSR_Free(" "XFREE(csr, heap, DYNAMIC_TYPE_TLSX);" 1 \
        "if (csr->ssl && csr->ssl->options.side == WOLFSSL_SERVER_END) XFREE(csr->response.buffer, NULL, 0);" || return
    insert src/ssl.c "int wolfSSL_write(" \
        "if (ssl->earlyData != no_early_data && (ret = wolfSSL_negotiate(ssl)) < 0) {" 1 \
        "if (ssl->options.handShakeState != SERVER_FINISHED_COMPLETE)" || return
    insert src/ssl.c "int wolfSSL_write(" "ssl->earlyData = no_early_data;" 1 \
        "if (ssl->options.handShakeState != SERVER_FINISHED_COMPLETE)" || return
    insert src/internal.c "void FreeHandshakeResources(" "/* input buffer */" 1 \
        "if (ssl->options.side == WOLFSSL_SERVER_END) {
             static const TLSX_Type spent[] = {TLSX_SUPPORTED_GROUPS, TLSX_EC_POINT_FORMATS, TLSX_KEY_SHARE,
                 TLSX_SUPPORTED_VERSIONS, TLSX_PSK_KEY_EXCHANGE_MODES, TLSX_PRE_SHARED_KEY,
                 TLSX_SESSION_TICKET, TLSX_STATUS_REQUEST, TLSX_RENEGOTIATION_INFO};
             word32 i;
             for (i = 0; i < sizeof spent / sizeof *spent; i++) TLSX_Remove(&ssl->extensions, spent[i], ssl->heap);
             ssl->secure_renegotiation = NULL;
             FreeSuites(ssl);
         }"
}

# FROM becomes TO in FILE, once a line and on so many lines, or the source is not the one that was read.
change() { # file, how often, from, to
    from=$3 to=$4 awk '
        (i = index($0, ENVIRON["from"])) {
            $0 = substr($0, 1, i - 1) ENVIRON["to"] substr($0, i + length(ENVIRON["from"])); n++
        }
        { print }
        END { print n + 0 >"/dev/stderr" }' "$1" >"$1.new" 2>"$work/changed" || return
    [[ $(<"$work/changed") == "$2" ]] || {
        echo "$1: $(<"$work/changed") times, not $2: $3"
        return 1
    }
    mv "$1.new" "$1"
}

# What of ngtcp2 0.12.1 cannot be lived with, and mostly is as it should be in what came after it:
# - It sets aside sixty-four objects of each kind, and eight blocks for each of a dozen lists, for a
#   connection that may never need more than a few: three quarters of what an idle one takes (1.8).
# - How many packets were lost it does not tell (1.16).
# - It stops its timer for losses while an address that nobody has proved has had three times what came from it, and
#   starts it again only when it sends something that is not lost.  Where the peer's address changes twice within a
#   round trip it has nothing to send, and waits for ever (not so far).
# - What it keeps of packets that are on their way it takes from free lists that are as long as the way, and so
#   in no cache: it waits for each, unless the next one is fetched with it.
# - The mask for a packet's head is one block of AES, for which it makes four of OpenSSL's calls.
# src/transports/quic hears of it from TAKO__NGTCP2_MENDED.
mend_ngtcp2() {
    change lib/ngtcp2_conn.c 3 "_objalloc, 64, mem);" "_objalloc, 16, mem);" || return
    change lib/ngtcp2_acktr.c 1 "objalloc, 32, mem);" "objalloc, 16, mem);" || return
    change lib/ngtcp2_conn.c 1 "return conn_recv_cpkt(conn, path, pi, pkt, pktlen, ts);" \
        "rv = conn_recv_cpkt(conn, path, pi, pkt, pktlen, ts);
  if (rv == 0 && conn->server && conn->state == NGTCP2_CS_POST_HANDSHAKE &&
      conn->cstat.loss_detection_timer == UINT64_MAX)
    ngtcp2_conn_set_loss_detection_timer(conn, ts);
  return rv;" || return
    change lib/ngtcp2_opl.c 1 "opl->head = ent->next;" "opl->head = ent->next; __builtin_prefetch(opl->head, 1);" || return
    change lib/ngtcp2_ksl.c 1 "~(uintptr_t)0xfu) * 8," "~(uintptr_t)0xfu)," || return
    change lib/ngtcp2_rst.h 1 "int is_cwnd_limited;" "int is_cwnd_limited; uint64_t lost_packets;" || return
    change lib/ngtcp2_rtb.c 2 "ngtcp2_log_pkt_lost(rtb->log," "++rtb->rst->lost_packets; ngtcp2_log_pkt_lost(rtb->log," || return
    change crypto/wolfssl/wolfssl.c 1 "(void)hp;" "(void)hp;
  if (actx->cipherType == AES_128_CTR_TYPE || actx->cipherType == AES_256_CTR_TYPE) {
    uint8_t block[AES_BLOCK_SIZE];
    if (wc_AesEncryptDirect(&actx->cipher.aes, block, sample) != 0) return -1;
    memcpy(dest, block, sizeof(PLAINTEXT) - 1);
    return 0;
  }" || return
    cat >>lib/ngtcp2_conn.c <<-END
		NGTCP2_EXTERN uint64_t ngtcp2_conn_get_lost_packets(const ngtcp2_conn *conn);
		uint64_t ngtcp2_conn_get_lost_packets(const ngtcp2_conn *conn) { return conn->rst.lost_packets; }
	END
}

# All of it, and the few hundred lines between it and wolfSSL.
build_ngtcp2() {
    local version=${PWD##*/ngtcp2-} has one=(-flto=auto -fno-semantic-interposition)
    version=${version%%[!0-9.]*}
    # Its own configure would ask for libraries that these files do not need.
    # shellcheck disable=SC2046
    printf '#define NGTCP2_VERSION "%s"\n#define NGTCP2_VERSION_NUM 0x%02x%02x%02x\n' \
        "$version" $(tr . ' ' <<<"$version") >lib/includes/ngtcp2/version.h
    has=(-DHAVE_{UNISTD_H,ARPA_INET_H,NETINET_IN_H,BYTESWAP_H,ENDIAN_H,DECL_BSWAP_64,DECL_BE64TOH})
    mkdir objects
    # Compiled as one where the compiler can: most of what it calls for a packet are functions of a few lines, in
    # other files, and are a seventh of what is not encryption.
    echo "int one;" | "$cc" "${one[@]}" -r -flinker-output=nolto-rel -xc - -o objects/probe || one=()
    rm -f objects/probe
    # With its assertions, as the distribution's own.
    # shellcheck disable=SC2016
    printf '%s\n' lib/*.c crypto/shared.c crypto/wolfssl/wolfssl.c |
        xargs -P "$jobs" -I FILE sh -c '"$@" -c FILE -o "objects/ngtcp2_$(basename FILE .c).o"' sh \
            "$cc" -O3 -g1 -fPIC -fstack-protector-strong -D_FORTIFY_SOURCE=2 -w "${has[@]}" "${one[@]}" \
            -Icrypto -Icrypto/includes -Ilib -Ilib/includes -I"$work/root/include" || return
    if ((${#one[@]})); then
        "$cc" -O3 -g1 -fPIC -fstack-protector-strong "${one[@]}" -r -flinker-output=nolto-rel -o ngtcp2.o objects/*.o || return
        rm objects/*.o
        mv ngtcp2.o objects
    fi
    ar rcs "$work/root/lib/libngtcp2_crypto_wolfssl.a" objects/*.o || return
    mkdir -p "$work/root/include/ngtcp2"
    cp lib/includes/ngtcp2/{ngtcp2,version}.h crypto/includes/ngtcp2/ngtcp2_crypto{,_wolfssl}.h \
        "$work/root/include/ngtcp2"
}

rename() {
    local a
    cd "$work/root/lib" || return
    nm -g --defined-only ./*.a 2>/dev/null | awk -v prefix="$prefix" '
        NF == 3 && !seen[$3]++ { print $3 " " prefix $3 }' >"$work/root/names"
    [[ -s $work/root/names ]] || return
    for a in *.a; do
        objcopy --redefine-syms="$work/root/names" "$a" || return
    done
    mkdir -p objects helper && (cd objects && ar x ../libwolfssl.a) &&
        (cd helper && ar x ../libngtcp2_crypto_wolfssl.a)
}

check_files() {
    local left=$work/root
    rm -rf "$left/bin" "$left/share" "$left/lib/pkgconfig" "$left"/lib/*.la
    sed "s/ .*//" "$left/names" | grep -qx wolfSSL_new
}

# Of what it was built by, as that was when the build began.
stamp=$(cat "$here/scripts/wolfssl.sh" "$here/scripts/wolfssl-probe.c" | cksum)
built() { [[ -e $dir/wolfssl/stamp && $(<"$dir/wolfssl/stamp") == "$stamp" ]]; }

build() {
    local started=$SECONDS tool
    for tool in apt-get apt-cache dpkg-source autoreconf libtoolize make objcopy; do
        command -v "$tool" >/dev/null || die "there is no usable wolfSSL here, and no '$tool' to build one:" \
            "scripts/deps.sh build, WOLFSSL_PREFIX=/where/one/is, or TLS=0"
    done
    # What an interrupted run left is not worth the risk of being half.
    rm -rf "$work" "$dir/wolfssl"
    mkdir -p "$work"/apt/lists/partial "$work"/apt/cache/archives/partial || die "cannot write to $dir"
    write_sources || die "this machine's apt knows no Debian archive to take wolfSSL's source from"
    run "asking Debian's archive for sources" apt_in "$work/apt/all" apt-get update
    say "fetching wolfssl and ngtcp2"
    get_source wolfssl && get_source ngtcp2 || {
        tail -n 5 "$work/log" >&2
        die "the source packages could not be had (apt's words are above)"
    }
    cd "$work"/wolfssl-*/ || die "no wolfSSL in its source package"
    say "building $(sed -n '1s/ (\(.*\)).*/ \1/p' debian/changelog) and ngtcp2, once, for about a minute"
    [[ $PWD != */wolfssl-5.5.4 ]] || run "mending" mend
    [[ -x configure ]] || run "autoreconf" autoreconf -fi
    run "configure" configure
    run "make" env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -j"$jobs"
    run "make install" env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make install
    cd "$work"/ngtcp2-*/ || die "no ngtcp2 in its source package"
    [[ $PWD != */ngtcp2-0.12.1* ]] || run "mending ngtcp2" mend_ngtcp2
    run "ngtcp2" build_ngtcp2
    run "renaming" rename
    run "last look" check_files
    [[ ! -e $work/inserted ]] || echo -DTAKO__WOLFSSL_MENDED >>"$work/root/mended"
    [[ ! -e $work/changed ]] || echo -DTAKO__NGTCP2_MENDED >>"$work/root/mended"
    echo "$stamp" >"$work/root/stamp"
    mv "$work/root" "$dir/wolfssl" || die "cannot move the result to $dir"
    rm -rf "$work"
    say "built in $((SECONDS - started)) s"
}

# ---- Which one --------------------------------------------------------------------------------------

if [[ -n ${WOLFSSL_PREFIX-} ]]; then
    from_prefix
elif ! from_system; then
    built || (build) || exit
    answer <<-END
		WOLFSSL_CFLAGS := -isystem $named/wolfssl/include $(cat "$dir/wolfssl/mended" 2>/dev/null | tr '\n' ' ')
		WOLFSSL_LIBS :=
		WOLFSSL_ARCHIVE := $named/wolfssl/lib/libwolfssl.a
		WOLFSSL_OBJECTS := \$(wildcard $named/wolfssl/lib/objects/*.o)
		WOLFSSL_NAMES := $named/wolfssl/names
		NGTCP2_LIBS :=
		NGTCP2_HELPER_LIBS :=
		NGTCP2_HELPER_ARCHIVE := $named/wolfssl/lib/libngtcp2_crypto_wolfssl.a
		NGTCP2_HELPER_OBJECTS := \$(wildcard $named/wolfssl/lib/helper/*.o)
		END
fi

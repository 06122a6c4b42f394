/* SPDX-License-Identifier: MIT
 *
 * See quic_token.h.  The forms and the cryptography of tokens are ngtcp2's helper's.
 */
#include "transports/quic/quic_token.h"

#include <sys/random.h>

#include "core/base.h"
#include "transports/tls/tls_lib.h"

#define RETRY_LIFE_NS (10 * NGTCP2_SECONDS)
/* How long an address is believed to be the same machine's. */
#define TOKEN_LIFE_NS (3600 * NGTCP2_SECONDS)

int tako__quic_secrets_init(struct tako__quic_secrets *s)
{
	/* They live as long as the listener does. */
	if (getrandom(s, sizeof *s, 0) != (ssize_t)sizeof *s)
		return tako__fail_errno("QUIC: getrandom");
	return 0;
}

/* wolfSSL did it, and may have done so with its last reserve. */
static ngtcp2_ssize checked(ngtcp2_ssize n)
{
	return tako__tls_lib_short() ? -1 : n;
}

ngtcp2_ssize tako__quic_token_retry(uint8_t to[TAKO__QUIC_TOKEN_BYTES],
                                    const struct tako__quic_secrets *s, uint32_t version,
                                    const struct sockaddr *from, socklen_t from_n,
                                    const ngtcp2_cid *scid, const ngtcp2_cid *original,
                                    uint64_t now_ns)
{
	return checked(ngtcp2_crypto_generate_retry_token(to, s->token, sizeof s->token, version,
	                                                  from, from_n, scid, original, now_ns));
}

ngtcp2_ssize tako__quic_token_new(uint8_t to[TAKO__QUIC_TOKEN_BYTES],
                                  const struct tako__quic_secrets *s, const struct sockaddr *from,
                                  socklen_t from_n, uint64_t now_ns)
{
	return checked(ngtcp2_crypto_generate_regular_token(to, s->token, sizeof s->token, from,
	                                                    from_n, now_ns));
}

static bool good_retry(ngtcp2_cid *original, const struct tako__quic_secrets *s,
                       const ngtcp2_pkt_hd *hd, const uint8_t *p, size_t n,
                       const struct sockaddr *from, socklen_t from_n, uint64_t now_ns)
{
	return ngtcp2_crypto_verify_retry_token(original, p, n, s->token, sizeof s->token,
	                                        hd->version, from, from_n, &hd->dcid, RETRY_LIFE_NS,
	                                        now_ns) == 0;
}

static bool good_new(const struct tako__quic_secrets *s, const uint8_t *p, size_t n,
                     const struct sockaddr *from, socklen_t from_n, uint64_t now_ns)
{
	return ngtcp2_crypto_verify_regular_token(p, n, s->token, sizeof s->token, from, from_n,
	                                          TOKEN_LIFE_NS, now_ns) == 0;
}

enum tako__quic_proof tako__quic_token_check(ngtcp2_cid *original,
                                             const struct tako__quic_secrets *s,
                                             const ngtcp2_pkt_hd *hd, const struct sockaddr *from,
                                             socklen_t from_n, uint64_t now_ns)
{
	enum tako__quic_proof proof = TAKO__QUIC_UNPROVEN;
	const uint8_t *p;
	size_t n;

	tako__ngtcp2_token_of(hd, &p, &n);
	if (n && p[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY)
		proof = good_retry(original, s, hd, p, n, from, from_n, now_ns)
		                ? TAKO__QUIC_RETRIED
		                : TAKO__QUIC_BAD_RETRY;
	else if (n && p[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR &&
	         good_new(s, p, n, from, from_n, now_ns))
		proof = TAKO__QUIC_PROVEN;
	/* Without memory to look at it nothing is proven. */
	return tako__tls_lib_short() ? TAKO__QUIC_UNPROVEN : proof;
}

int tako__quic_token_reset(uint8_t to[NGTCP2_STATELESS_RESET_TOKENLEN],
                           const struct tako__quic_secrets *s, const ngtcp2_cid *cid)
{
	int rc = ngtcp2_crypto_generate_stateless_reset_token(to, s->reset, sizeof s->reset, cid);

	return tako__tls_lib_short() || rc != 0 ? TAKO_ENOMEM : 0;
}

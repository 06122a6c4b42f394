/* SPDX-License-Identifier: MIT
 *
 * What an address proves itself by, and what a connection id is given up by: Retry's tokens and those
 * of NEW_TOKEN (RFC 9000 section 8.1), and stateless reset tokens (section 10.3).  All of them follow
 * from secrets of the listener, so that its workers understand each other's and nobody keeps any.
 */
#ifndef TAKO_QUIC_TOKEN_H
#define TAKO_QUIC_TOKEN_H

#include <sys/socket.h>

#include "transports/quic/quic_cid.h"
#include "transports/quic/quic_ngtcp2.h"

enum {
	TAKO__QUIC_SECRET_BYTES = 32,
	TAKO__QUIC_TOKEN_BYTES = NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN, /* the longer of the two */
};

struct tako__quic_secrets {
	struct tako__quic_key cid;
	uint8_t reset[TAKO__QUIC_SECRET_BYTES];
	uint8_t token[TAKO__QUIC_SECRET_BYTES];
};

/* TAKO_ESYS. */
int tako__quic_secrets_init(struct tako__quic_secrets *s);

/* A Retry's, for a packet that arrived from `from` with `original` as its destination, which is to come
 * again to `scid`.  Returns its length, negative: no memory. */
ngtcp2_ssize tako__quic_token_retry(uint8_t to[TAKO__QUIC_TOKEN_BYTES],
                                    const struct tako__quic_secrets *s, uint32_t version,
                                    const struct sockaddr *from, socklen_t from_n,
                                    const ngtcp2_cid *scid, const ngtcp2_cid *original,
                                    uint64_t now_ns);
/* One for the next connection from there. */
ngtcp2_ssize tako__quic_token_new(uint8_t to[TAKO__QUIC_TOKEN_BYTES],
                                  const struct tako__quic_secrets *s, const struct sockaddr *from,
                                  socklen_t from_n, uint64_t now_ns);

enum tako__quic_proof {
	TAKO__QUIC_UNPROVEN,  /* no token, or one that is old or not ours: as if there were none */
	TAKO__QUIC_PROVEN,    /* by NEW_TOKEN's */
	TAKO__QUIC_RETRIED,   /* by a Retry's, and *original is the id before it */
	TAKO__QUIC_BAD_RETRY, /* a Retry's, which is not good: it cannot go on (section 8.1.3) */
};

/* What the token of a first packet proves. */
enum tako__quic_proof tako__quic_token_check(ngtcp2_cid *original,
                                             const struct tako__quic_secrets *s,
                                             const ngtcp2_pkt_hd *hd, const struct sockaddr *from,
                                             socklen_t from_n, uint64_t now_ns);

/* The stateless reset token of one of our ids.  TAKO_ENOMEM. */
int tako__quic_token_reset(uint8_t to[NGTCP2_STATELESS_RESET_TOKENLEN],
                           const struct tako__quic_secrets *s, const ngtcp2_cid *cid);

#endif /* TAKO_QUIC_TOKEN_H */

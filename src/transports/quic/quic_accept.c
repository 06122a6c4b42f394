/* SPDX-License-Identifier: MIT
 *
 * From a first packet to a connection, or to the few answers for which none is needed: another
 * version, prove your address, no more room, I do not know you.  None of them is longer than what it
 * answers by more than RFC 9000 section 8.1 allows, and there are only so many a second.
 */
#include "transports/quic/quic.h"

#include "core/random.h"

enum {
	RESET_BYTES_MAX = 43, /* RFC 9000 section 10.3 */
	RESET_BYTES_MIN = 21,
	SHAKING_MAX = 256, /* handshakes of a worker; who comes then has to prove its address */
};

/* Who would answer everybody could be made to do nothing else, or to hit somebody with it. */
static bool take(struct tako__quic_worker *qw, unsigned *left)
{
	uint64_t now = tako__now_ns(qw->worker);

	if (now - qw->stateless_ns >= NGTCP2_SECONDS) {
		qw->stateless_ns = now;
		qw->stateless_left = TAKO__QUIC_STATELESS_PER_SECOND;
		qw->retries_left = TAKO__QUIC_RETRIES_PER_SECOND;
	}
	if (!*left)
		return false;
	(*left)--;
	return true;
}

static bool may_answer(struct tako__quic_worker *qw)
{
	return take(qw, &qw->stateless_left);
}

/* False: there is none. */
static bool answer(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                   const uint8_t *p, ngtcp2_ssize n)
{
	struct tako__quic_path path = {a->from, a->to, a->from_n, a->to_n};

	if (n <= 0)
		return false;
	tako__quic_tx_copy(&qw->tx, p, (size_t)n, &path);
	return true;
}

/* … which is counted. */
static bool answer_counted(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                           const uint8_t *p, ngtcp2_ssize n, tako__count *count)
{
	if (!answer(qw, a, p, n))
		return false;
	tako__add(count, 1);
	return true;
}

/* ---- Version negotiation (RFC 8999 section 6) ------------------------------------------------------ */

bool tako__quic_negotiate(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                          const ngtcp2_version_cid *vc)
{
	uint8_t packet[1 + 4 + 1 + 255 + 1 + 255 + 8];
	uint32_t versions[] = {0x1a2a3a4a, NGTCP2_PROTO_VER_V1}; /* a reserved one first: see 6.3 */
	uint8_t unused = 0;
	ngtcp2_ssize n;

	if (!may_answer(qw) || tako__random(&unused, 1) < 0)
		return false;
	n = ngtcp2_pkt_write_version_negotiation(packet, sizeof packet, unused, vc->scid,
	                                         vc->scidlen, vc->dcid, vc->dcidlen, versions,
	                                         TAKO__COUNT(versions));
	return answer_counted(qw, a, packet, n, &tako__quic_counts(qw)->version_negotiations);
}

/* ---- Stateless reset (RFC 9000 section 10.3) ---------------------------------------------------------- */

/* Shorter than what it answers, so that two who do not know each other come to an end. */
static bool reset(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                  const ngtcp2_version_cid *vc)
{
	uint8_t packet[RESET_BYTES_MAX];
	uint8_t noise[RESET_BYTES_MAX];
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN];
	size_t n = a->n - 1 < RESET_BYTES_MAX ? a->n - 1 : RESET_BYTES_MAX;
	size_t noise_n = n - sizeof token;
	ngtcp2_cid cid;

	if (n < RESET_BYTES_MIN || !may_answer(qw))
		return false;
	ngtcp2_cid_init(&cid, vc->dcid, vc->dcidlen);
	if (tako__random(noise, noise_n) < 0 ||
	    tako__quic_token_reset(token, &qw->shared->secrets, &cid) < 0)
		return false;
	return answer_counted(qw, a, packet,
	                      ngtcp2_pkt_write_stateless_reset(packet, n, token, noise, noise_n),
	                      &tako__quic_counts(qw)->stateless_resets);
}

/* ---- No ----------------------------------------------------------------------------------------------- */

static bool refuse(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                   const ngtcp2_pkt_hd *hd, uint64_t code)
{
	uint8_t packet[NGTCP2_MAX_UDP_PAYLOAD_SIZE];
	ngtcp2_ssize n;

	if (!may_answer(qw))
		return false;
	n = ngtcp2_crypto_write_connection_close(packet, sizeof packet, hd->version, &hd->scid,
	                                         &hd->dcid, code, NULL, 0);
	return !tako__tls_lib_short() && answer(qw, a, packet, n);
}

/* ---- Prove your address (RFC 9000 section 8.1.2) --------------------------------------------------------- */

static bool retry(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                  const ngtcp2_pkt_hd *hd)
{
	uint8_t packet[512];
	uint8_t token[TAKO__QUIC_TOKEN_BYTES];
	ngtcp2_cid scid;
	ngtcp2_ssize n;

	if (!take(qw, &qw->retries_left) ||
	    tako__quic_cid_new(&scid, &qw->table.key, qw->worker->index) < 0)
		return false;
	n = tako__quic_token_retry(token, &qw->shared->secrets, hd->version, a->from, a->from_n,
	                           &scid, &hd->dcid, tako__now_ns(qw->worker));
	if (n < 0)
		return false;
	n = ngtcp2_crypto_write_retry(packet, sizeof packet, hd->version, &hd->scid, &scid,
	                              &hd->dcid, token, (size_t)n);
	return !tako__tls_lib_short() && n <= (ngtcp2_ssize)(3 * a->n) &&
	       answer_counted(qw, a, packet, n, &tako__quic_counts(qw)->retries);
}

/* ---- Yes --------------------------------------------------------------------------------------------------- */

static bool begin(struct tako__quic_worker *qw, const struct tako__quic_birth *b)
{
	struct tako__quic *q;

	if (qw->draining || !tako__listener_reserve(qw->worker->srv))
		return refuse(qw, b->a, b->hd, NGTCP2_CONNECTION_REFUSED);
	q = tako__quic_new(qw, b);
	if (q)
		tako__quic_read(q, b->a);
	return q != NULL;
}

static bool admit(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                  const ngtcp2_pkt_hd *hd)
{
	struct tako__quic_birth b = {.a = a, .hd = hd};
	ngtcp2_cid original;
	enum tako__quic_proof proof = tako__quic_token_check(
		&original, &qw->shared->secrets, hd, a->from, a->from_n, tako__now_ns(qw->worker));

	switch (proof) {
	case TAKO__QUIC_BAD_RETRY:
		return refuse(qw, a, hd, NGTCP2_INVALID_TOKEN);
	case TAKO__QUIC_UNPROVEN:
		/* Addresses that are made up would have all the places there are. */
		if (qw->worker->srv->cfg.h3_retry || qw->shaking >= SHAKING_MAX)
			return retry(qw, a, hd);
		break;
	case TAKO__QUIC_RETRIED:
		b.original = &original;
		/* Fall through. */
	case TAKO__QUIC_PROVEN:
		tako__ngtcp2_token_of(hd, &b.token, &b.token_n);
	}
	/* An id of the client's that is too short is no proof of anything (section 7.2). */
	if (proof != TAKO__QUIC_RETRIED && hd->dcid.datalen < NGTCP2_MIN_INITIAL_DCIDLEN)
		return false;
	return begin(qw, &b);
}

bool tako__quic_accept(struct tako__quic_worker *qw, const struct tako__quic_arrival *a,
                       const ngtcp2_version_cid *vc)
{
	ngtcp2_pkt_hd hd;

	/* A short header has no version. */
	if (!(a->p[0] & 0x80))
		return reset(qw, a, vc);
	return vc->version && ngtcp2_accept(&hd, a->p, a->n) == 0 && admit(qw, a, &hd);
}

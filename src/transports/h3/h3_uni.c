/* SPDX-License-Identifier: MIT
 *
 * The peer's unidirectional streams (RFC 9114 section 6.2): which of them is what.
 */
#include "transports/h3/h3.h"
#include "transports/wt/wt_h3.h"

enum {
	/* Of the encoder's stream, that count as one thing: a thousand of those are 256 KiB, and a
	 * request earns three. */
	ENCODER_BYTES = 256,
};

int tako__h3_uni_opened(struct tako__h3 *h, int64_t id)
{
	struct tako__h3_uni *u = tako__pool_get(&h->local->unis);

	if (!u)
		return TAKO_ENOMEM;
	*u = (struct tako__h3_uni){.h = h, .id = id};
	if (tako__quic_stream_set(h->c, id, u) < 0) {
		tako__pool_put(&h->local->unis, u);
		return TAKO_ENOMEM;
	}
	tako__list_push_back(&h->unis, &u->link);
	return 0;
}

void tako__h3_uni_closed(struct tako__h3_uni *u)
{
	tako__list_remove(&u->link);
	tako__pool_put(&u->h->local->unis, u);
}

/* One of each, for as long as the connection lives. */
static bool is_critical(const struct tako__h3_uni *u)
{
	return u->has_type && !u->ignored && u->type <= TAKO__H3_DECODER_STREAM;
}

static int lost(struct tako__h3 *h)
{
	return tako__h3_fail(h, NGHTTP3_H3_CLOSED_CRITICAL_STREAM, "a stream that must stay");
}

static bool is_session(const struct tako__h3_uni *u)
{
	return u->type == TAKO__H3_WT_UNI_STREAM && tako__wt_offered(tako__h3_config(u->h));
}

static int take_type(struct tako__h3_uni *u)
{
	struct tako__h3 *h = u->h;

	if (is_session(u))
		return 0;
	if (u->type == TAKO__H3_PUSH_STREAM)
		return tako__h3_fail(h, NGHTTP3_H3_STREAM_CREATION_ERROR, "a client pushes");
	if (u->type > TAKO__H3_DECODER_STREAM) {
		/* Nothing that we know, which is no error. */
		u->ignored = true;
		(void)tako__quic_stop(h->c, u->id, NGHTTP3_H3_STREAM_CREATION_ERROR);
		return tako__h3_nuisance(h);
	}
	if (h->has_uni[u->type])
		return tako__h3_fail(h, NGHTTP3_H3_STREAM_CREATION_ERROR, "a second one");
	h->has_uni[u->type] = true;
	return 0;
}

/* An instruction may be a byte, and make the decoder copy all that a table holds; so those that no request
 * needs are as frames that bring nothing. */
static int count_encoder(struct tako__h3 *h, size_t n)
{
	int rc = 0;

	h->encoder_bytes += (uint32_t)n;
	while (rc == 0 && h->encoder_bytes >= ENCODER_BYTES) {
		h->encoder_bytes -= ENCODER_BYTES;
		rc = tako__h3_nuisance(h);
	}
	return rc;
}

static int read_encoder(struct tako__h3 *h, const char *p, size_t n)
{
	nghttp3_ssize rc = count_encoder(h, n);

	if (rc < 0)
		return (int)rc;
	rc = nghttp3_qpack_decoder_read_encoder(h->decoder, (const uint8_t *)p, n);
	h->spoiled = rc < 0;
	if (rc == NGHTTP3_ERR_NOMEM)
		return TAKO_ENOMEM;
	if (rc < 0)
		return tako__h3_fail(h, NGHTTP3_QPACK_ENCODER_STREAM_ERROR, "the encoder stream");
	/* Entries are acknowledged. */
	tako__quic_wake(h->c);
	return tako__h3_read_unstick(h);
}

static int read_decoder(struct tako__h3 *h, const char *p, size_t n)
{
	if (!tako__h3_decoder_stream_read(&h->decoder_stream, p, n))
		return tako__h3_fail(h, NGHTTP3_QPACK_DECODER_STREAM_ERROR, "the decoder stream");
	return 0;
}

static int read_bytes(struct tako__h3_uni *u, const char *p, size_t n)
{
	if (!n || u->ignored)
		return 0;
	switch (u->type) {
	case TAKO__H3_CONTROL_STREAM:
		return tako__h3_control_read(u->h, p, n);
	case TAKO__H3_ENCODER_STREAM:
		return read_encoder(u->h, p, n);
	default:
		return read_decoder(u->h, p, n);
	}
}

/* What follows the session's number is not ours to use. */
static int read_session(struct tako__h3_uni *u, const char *from, const char *p, const char *end,
                        bool fin)
{
	uint64_t session;
	bool complete = tako__h3_varint_read(&u->v, &p, end, &session);

	tako__quic_consumed(u->h->c, u->id, (uint64_t)(p - from));
	return complete ? tako__wt_take_uni(u, session, p, (size_t)(end - p), fin) : 0;
}

int tako__h3_uni_data(struct tako__h3_uni *u, const char *p, size_t n, bool fin)
{
	const char *from = p;
	const char *end = p + n;
	int rc = 0;

	if (!u->has_type && tako__h3_varint_read(&u->v, &p, end, &u->type)) {
		u->has_type = true;
		rc = take_type(u);
	}
	if (rc == 0 && u->has_type && is_session(u))
		return read_session(u, from, p, end, fin);
	tako__quic_consumed(u->h->c, u->id, n);
	if (rc == 0 && u->has_type)
		rc = read_bytes(u, p, (size_t)(end - p));
	return rc == 0 && fin && is_critical(u) ? lost(u->h) : rc;
}

int tako__h3_uni_reset(struct tako__h3_uni *u)
{
	return is_critical(u) ? lost(u->h) : 0;
}

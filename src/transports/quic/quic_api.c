/* SPDX-License-Identifier: MIT
 *
 * What an application asks of its connection: see quic_app.h.  None of it calls the application.
 */
#include "transports/quic/quic.h"

#include <string.h>

/* The rest of the present callback may still ask for things. */
static bool gone(const struct tako__quic *q)
{
	return tako__quic_ended(q) || !q->conn;
}

/* A library that has no memory is not asked again. */
static int broken(struct tako__quic *q, int err)
{
	tako__quic_failed(q, err);
	return TAKO_ENOMEM;
}

/* ---- Streams --------------------------------------------------------------------------------- */

int tako__quic_stream_open(struct tako__conn *c, bool uni, void *stream, int64_t *ret_id)
{
	struct tako__quic *q = tako__quic_of(c);
	int rc;

	if (gone(q))
		return TAKO_ECLOSED;
	rc = uni ? ngtcp2_conn_open_uni_stream(q->conn, ret_id, stream)
	         : ngtcp2_conn_open_bidi_stream(q->conn, ret_id, stream);
	return rc == 0 ? 0 : rc == NGTCP2_ERR_STREAM_ID_BLOCKED ? TAKO_EBUSY : TAKO_ENOMEM;
}

uint64_t tako__quic_streams_left(struct tako__conn *c, bool uni)
{
	struct tako__quic *q = tako__quic_of(c);

	if (gone(q))
		return 0;
	return uni ? ngtcp2_conn_get_streams_uni_left(q->conn)
	           : ngtcp2_conn_get_streams_bidi_left(q->conn);
}

int tako__quic_stream_set(struct tako__conn *c, int64_t id, void *stream)
{
	struct tako__quic *q = tako__quic_of(c);

	if (gone(q))
		return TAKO_ECLOSED;
	if (id == q->now_id)
		q->now_stream = stream;
	return ngtcp2_conn_set_stream_user_data(q->conn, id, stream) == 0 ? 0 : TAKO_ENOENT;
}

void tako__quic_consumed(struct tako__conn *c, int64_t id, uint64_t n)
{
	struct tako__quic *q = tako__quic_of(c);

	if (gone(q) || !n)
		return;
	/* Of one that it knows no more there is nothing to grow. */
	if (ngtcp2_conn_extend_max_stream_offset(q->conn, id, n) == NGTCP2_ERR_NOMEM)
		tako__quic_failed(q, NGTCP2_ERR_NOMEM);
	else
		tako__quic_forgotten(c, n);
}

void tako__quic_forgotten(struct tako__conn *c, uint64_t n)
{
	struct tako__quic *q = tako__quic_of(c);

	if (gone(q))
		return;
	ngtcp2_conn_extend_max_offset(q->conn, n);
	tako__conn_touch(c);
}

void tako__quic_streams_more(struct tako__conn *c, bool uni, unsigned n)
{
	struct tako__quic *q = tako__quic_of(c);

	if (gone(q))
		return;
	if (uni) {
		ngtcp2_conn_extend_max_streams_uni(q->conn, n);
	} else {
		ngtcp2_conn_extend_max_streams_bidi(q->conn, n);
		q->granted += n;
	}
	tako__conn_touch(c);
}

uint64_t tako__quic_streams_granted(const struct tako__conn *c)
{
	return tako__quic_of(c)->granted;
}

int tako__quic_reset(struct tako__conn *c, int64_t id, uint64_t code)
{
	struct tako__quic *q = tako__quic_of(c);
	int rc;

	if (gone(q))
		return TAKO_ECLOSED;
	tako__quic_finish_packet(q);
	rc = tako__ngtcp2_shutdown_write(q->conn, id, code);
	if (rc == NGTCP2_ERR_NOMEM)
		return broken(q, rc);
	tako__conn_touch(c);
	return 0;
}

int tako__quic_stop(struct tako__conn *c, int64_t id, uint64_t code)
{
	struct tako__quic *q = tako__quic_of(c);
	int rc;

	if (gone(q))
		return TAKO_ECLOSED;
	tako__quic_finish_packet(q);
	rc = tako__ngtcp2_shutdown_read(q->conn, id, code);
	if (rc == NGTCP2_ERR_NOMEM)
		return broken(q, rc);
	tako__conn_touch(c);
	return 0;
}

/* ---- Datagrams --------------------------------------------------------------------------------------- */

enum {
	FRAME_BYTES_MAX = 1 + 8, /* a DATAGRAM frame's type and length (RFC 9221 section 4) */
	FRAME_BYTES_USUAL = 1 + 2,
	/* A short header, its packet number, the tag. */
	PACKET_BYTES_MAX = 1 + NGTCP2_MAX_CIDLEN + 4 + 16,
};

size_t tako__quic_datagram_max(struct tako__conn *c)
{
	struct tako__quic *q = tako__quic_of(c);
	const ngtcp2_transport_params *peer =
		gone(q) ? NULL : ngtcp2_conn_get_remote_transport_params(q->conn);
	uint64_t frame = peer ? peer->max_datagram_frame_size : 0;
	size_t packet;

	if (frame <= FRAME_BYTES_MAX)
		return 0;
	packet = ngtcp2_conn_get_path_max_tx_udp_payload_size(q->conn) - PACKET_BYTES_MAX -
	         FRAME_BYTES_USUAL;
	return frame - FRAME_BYTES_MAX < packet ? (size_t)frame - FRAME_BYTES_MAX : packet;
}

static struct tako__quic_dgram_out *copy(const struct iovec *vec, unsigned count, size_t n)
{
	struct tako__quic_dgram_out *d = tako__alloc(sizeof *d + n);
	char *to;

	if (!d)
		return NULL;
	d->next = NULL;
	d->n = n;
	to = d->data;
	for (unsigned i = 0; i < count; i++) {
		if (vec[i].iov_len)
			memcpy(to, vec[i].iov_base, vec[i].iov_len);
		to += vec[i].iov_len;
	}
	return d;
}

int tako__quic_datagram(struct tako__conn *c, const struct iovec *vec, unsigned count)
{
	struct tako__quic *q = tako__quic_of(c);
	struct tako__quic_dgram_out *d;
	size_t max = tako__quic_datagram_max(c);
	size_t n = 0;

	if (gone(q))
		return TAKO_ECLOSED;
	for (unsigned i = 0; i < count; i++)
		n += vec[i].iov_len;
	if (!max)
		return TAKO_ENOTSUP;
	if (n > max)
		return TAKO_ETOOBIG;
	if (q->dgram_count == TAKO__QUIC_DATAGRAMS)
		return TAKO_EBUSY;
	d = copy(vec, count, n);
	if (!d)
		return TAKO_ENOMEM;
	*q->dgrams_last = d;
	q->dgrams_last = &d->next;
	q->dgram_count++;
	tako__conn_touch(c);
	return 0;
}

/* ---- The connection ------------------------------------------------------------------------------------ */

void tako__quic_close(struct tako__conn *c, uint64_t code, const char *reason)
{
	struct tako__quic *q = tako__quic_of(c);
	size_t n = reason ? strnlen(reason, TAKO__QUIC_REASON_BYTES) : 0;

	if (gone(q))
		return;
	if (!(q->flags & TAKO__QUIC_CODED)) {
		memcpy(q->reason, n ? reason : "", n);
		q->reason[n] = '\0';
		ngtcp2_ccerr_set_application_error(&q->error, code, (uint8_t *)q->reason, n);
		q->flags |= TAKO__QUIC_CODED;
	}
	tako__quic_cut(q, TAKO_ECLOSED);
}

void tako__quic_figures(struct tako__conn *c, struct tako__quic_figures *ret)
{
	struct tako__quic *q = tako__quic_of(c);
	uint64_t all[4] = {0};

	if (!gone(q))
		tako__ngtcp2_figures(q->conn, all);
	*ret = (struct tako__quic_figures){all[0], all[1], all[2], all[3]};
}

void tako__quic_end(struct tako__conn *c, struct tako__quic_end *ret)
{
	struct tako__quic *q = tako__quic_of(c);

	*ret = (struct tako__quic_end){
		.code = q->error.error_code,
		.by_peer = q->flags & TAKO__QUIC_BY_PEER,
		.by_app = q->error.type == NGTCP2_CCERR_TYPE_APPLICATION,
		.reason = q->reason,
	};
}

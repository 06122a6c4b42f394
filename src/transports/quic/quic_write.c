/* SPDX-License-Identifier: MIT
 *
 * What a connection has to say, as packets: the application is asked for bytes for as long as
 * congestion, pacing and the way out have room, and packets of one length become one train.
 */
#include "transports/quic/quic.h"

enum {
	TRAINS_PER_TURN = 4, /* of one connection, before others get theirs */
};

/* ---- Datagrams (RFC 9221) ----------------------------------------------------------------------- */

static void pop_dgram(struct tako__quic *q)
{
	struct tako__quic_dgram_out *d = q->dgrams;

	q->dgrams = d->next;
	if (!q->dgrams)
		q->dgrams_last = &q->dgrams;
	q->dgram_count--;
	tako__free(d, sizeof *d + d->n);
}

void tako__quic_drop_dgrams(struct tako__quic *q)
{
	while (q->dgrams)
		pop_dgram(q);
}

/* ---- One packet ------------------------------------------------------------------------------------- */

struct tako__quic_packet {
	uint8_t *p;
	size_t room;
	uint64_t now;
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n; /* finished with that; NGTCP2_ERR_WRITE_MORE: not yet */
};

/* The library wants a packet finished before anything else is asked of it: a RESET_STREAM that comes
 * in between joins the frames that the packet has already, and is never written. */
void tako__quic_finish_packet(struct tako__quic *q)
{
	struct tako__quic_packet *k = q->packet;

	if (!k)
		return;
	q->packet = NULL;
	k->n = ngtcp2_conn_writev_stream(q->conn, &k->ps.path, &k->pi, k->p, k->room, NULL,
	                                 NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, k->now);
}

static void app_failed(struct tako__quic *q, int rc)
{
	tako__quic_code(q, q->app->internal_error);
	tako__quic_cut(q, rc);
}

/* As many of them as fit.  NGTCP2_ERR_WRITE_MORE: there is room left; else as write_packet(). */
static ngtcp2_ssize write_dgrams(struct tako__quic *q, struct tako__quic_packet *k)
{
	ngtcp2_ssize n = NGTCP2_ERR_WRITE_MORE;

	while (q->dgrams && n == NGTCP2_ERR_WRITE_MORE) {
		ngtcp2_vec vec = {(uint8_t *)q->dgrams->data, q->dgrams->n};
		int accepted = 0;

		/* An empty one is none of its pieces: 0.12 asserts that each holds something. */
		n = ngtcp2_conn_writev_datagram(q->conn, &k->ps.path, &k->pi, k->p, k->room,
		                                &accepted, NGTCP2_WRITE_DATAGRAM_FLAG_MORE, 0, &vec,
		                                q->dgrams->n > 0, k->now);
		/* The path may have become narrower than it was when this one was taken. */
		if (n == NGTCP2_ERR_INVALID_ARGUMENT || n == NGTCP2_ERR_INVALID_STATE) {
			accepted = 1;
			n = NGTCP2_ERR_WRITE_MORE;
		}
		if (accepted) {
			pop_dgram(q);
			q->packet = n == NGTCP2_ERR_WRITE_MORE ? k : NULL;
		}
	}
	return n;
}

/* What became of a piece. */
static int tell(struct tako__quic *q, const struct tako__quic_piece *piece, ngtcp2_ssize n,
                ngtcp2_ssize taken)
{
	const struct tako__quic_app *app = q->app;
	size_t all = 0;

	if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED)
		return app->stream_blocked(q->c, piece->id, piece->stream);
	if (n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND)
		return app->stream_shut(q->c, piece->id, piece->stream);
	if (taken < 0)
		return 0;
	for (unsigned i = 0; i < piece->count; i++)
		all += piece->vec[i].iov_len;
	return app->stream_wrote(q->c, piece->id, piece->stream, (size_t)taken,
	                         piece->fin && (size_t)taken == all);
}

static bool goes_on(ngtcp2_ssize n)
{
	return n == NGTCP2_ERR_WRITE_MORE || n == NGTCP2_ERR_STREAM_DATA_BLOCKED ||
	       n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND;
}

static ngtcp2_ssize write_piece(struct tako__quic *q, struct tako__quic_packet *k,
                                const struct tako__quic_piece *piece, ngtcp2_ssize *taken)
{
	uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE |
	                 (piece->fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0);

	_Static_assert(sizeof(ngtcp2_vec) == sizeof(struct iovec) &&
	                       offsetof(ngtcp2_vec, len) == offsetof(struct iovec, iov_len),
	               "one is the other");
	return ngtcp2_conn_writev_stream(q->conn, &k->ps.path, &k->pi, k->p, k->room, taken, flags,
	                                 piece->id, (const ngtcp2_vec *)(const void *)piece->vec,
	                                 piece->count, k->now);
}

/* One piece of what the application has, or nothing of it.  As write_packet(), or goes_on(). */
static ngtcp2_ssize add_piece(struct tako__quic *q, struct tako__quic_packet *k)
{
	struct tako__quic_piece piece = {.id = -1};
	ngtcp2_ssize taken = -1;
	ngtcp2_ssize n = NGTCP2_ERR_WRITE_MORE;
	int rc = 0;

	if (q->app && ngtcp2_conn_get_max_data_left(q->conn))
		rc = q->app->next(q->c, &piece);
	/* Who was asked may have had to reset a stream, for which the packet was finished. */
	if (rc == 0 && !tako__quic_ended(q) && k->n == NGTCP2_ERR_WRITE_MORE) {
		n = write_piece(q, k, &piece, &taken);
		if (n == NGTCP2_ERR_WRITE_MORE || !goes_on(n))
			q->packet = goes_on(n) ? k : NULL;
		if (piece.id >= 0 && !tako__quic_ended(q))
			rc = tell(q, &piece, n, taken);
	}
	if (TAKO__UNLIKELY(rc < 0))
		app_failed(q, rc);
	if (TAKO__UNLIKELY(tako__quic_ended(q))) {
		tako__quic_finish_packet(q);
		return n > 0 ? n : 0;
	}
	return k->n == NGTCP2_ERR_WRITE_MORE ? n : k->n;
}

/* Its length; 0: there is nothing to say, or it may not be said now; else NGTCP2_ERR_*. */
static ngtcp2_ssize write_packet(struct tako__quic *q, struct tako__quic_packet *k)
{
	ngtcp2_ssize n = write_dgrams(q, k);

	k->n = NGTCP2_ERR_WRITE_MORE;
	while (goes_on(n))
		n = add_piece(q, k);
	q->packet = NULL;
	return n;
}

/* ---- Trains ------------------------------------------------------------------------------------------- */

struct train {
	char *p;
	size_t room;
	size_t n;
	size_t segment;
	unsigned count;
	unsigned ecn;
	ngtcp2_path_storage ps;
};

static void send_train(struct tako__quic *q, struct train *t, size_t n)
{
	struct tako__quic_path path = {t->ps.path.remote.addr, t->ps.path.local.addr,
	                               t->ps.path.remote.addrlen, t->ps.path.local.addrlen};

	if (n)
		tako__quic_tx_send(&q->qw->tx, n, t->segment, &path, t->ecn);
}

/* One that differs from those before it goes by itself: a probe for a longer path, another address. */
static bool joins(const struct train *t, const struct tako__quic_packet *k, size_t n)
{
	return t->count == 0 ||
	       (n <= t->segment && k->pi.ecn == t->ecn && ngtcp2_path_eq(&k->ps.path, &t->ps.path));
}

static void begin_train(struct train *t, const struct tako__quic_packet *k, size_t n)
{
	t->segment = n;
	t->ecn = k->pi.ecn;
	ngtcp2_path_storage_zero(&t->ps);
	ngtcp2_path_copy(&t->ps.path, &k->ps.path);
}

/* 1: a whole train has left, and there may be more; 0: there is nothing now; negative: failed. */
static ngtcp2_ssize write_train(struct tako__quic *q, uint64_t now)
{
	size_t packet_max = ngtcp2_conn_get_max_tx_udp_payload_size(q->conn);
	size_t quantum = ngtcp2_conn_get_send_quantum(q->conn);
	struct train t = {.n = 0};

	t.p = tako__quic_tx_room(&q->qw->tx, packet_max, &t.room);
	if (!t.p) {
		tako__quic_tx_wait(&q->qw->tx, &q->wait);
		return 0;
	}
	while (t.room - t.n >= packet_max && t.count < TAKO_DGRAM_SEGMENTS_MAX &&
	       (t.count == 0 || t.n + packet_max <= quantum)) {
		struct tako__quic_packet
			k; /* the room for addresses is as large as all of the rest */
		ngtcp2_ssize n;

		k.p = (uint8_t *)t.p + t.n;
		k.room = packet_max;
		k.now = now;
		ngtcp2_path_storage_zero(&k.ps);
		n = write_packet(q, &k);
		if (n <= 0) {
			send_train(q, &t, t.n);
			return n;
		}
		if (!joins(&t, &k, (size_t)n)) {
			send_train(q, &t, t.n);
			begin_train(&t, &k, (size_t)n);
			send_train(q, &t, (size_t)n);
			return 1;
		}
		if (t.count++ == 0)
			begin_train(&t, &k, (size_t)n);
		t.n += (size_t)n;
		/* A shorter one ends it. */
		if ((size_t)n < t.segment)
			break;
	}
	send_train(q, &t, t.n);
	return 1;
}

static void set_alarm(struct tako__quic *q)
{
	tako__alarm_set(&q->qw->worker->alarms, &q->alarm, ngtcp2_conn_get_expiry(q->conn));
}

/* As long as nothing was acknowledged the library paces as for its first guess, a third of a second: the first
 * answer would leave tens of milliseconds after the certificate.  Until then three times what came is the limit.
 */
static bool knows_round_trip(const struct tako__quic *q)
{
	uint64_t figures[4];

	tako__ngtcp2_figures(q->conn, figures);
	return figures[1] != 0;
}

void tako__quic_write(struct tako__quic *q)
{
	uint64_t now = tako__now_ns(q->qw->worker);
	ngtcp2_ssize rc = 1;

	for (unsigned i = 0; rc > 0 && i < TRAINS_PER_TURN; i++)
		rc = write_train(q, now);
	if (tako__quic_ended(q))
		return;
	if (rc < 0) {
		tako__quic_failed(q, (int)rc);
		return;
	}
	if (knows_round_trip(q))
		ngtcp2_conn_update_pkt_tx_time(q->conn, now);
	if (rc > 0)
		tako__alarm_set(&q->qw->worker->alarms, &q->alarm, now);
	else
		set_alarm(q);
}

/* SPDX-License-Identifier: MIT
 *
 * HTTP/3 on one connection (RFC 9114): what the transport tells it, its waits timed, its end in two
 * steps.
 */
#include "transports/h3/h3.h"
#include "transports/wt/wt_h3.h"
#include "transports/wt/wt_int.h"

enum {
	/* A peer that does not acknowledge the drain's first GOAWAY gets the second after this. */
	NOTICE_MS = 1000,
	/* After a session has ended, as a client may have had its end and not told anybody yet. */
	PARTING_MS = 500,
	/* … that has not acknowledged it.  Browsers throw a connection away behind its last session, and tell
	 * nobody: it would be waited for as long as an answer. */
	UNHEARD_MS = 1000,
};

/* ---- Errors ------------------------------------------------------------------------------- */

int tako__h3_fail(struct tako__h3 *h, uint64_t code, const char *why)
{
	if (!h->over)
		tako__quic_close(h->c, code, why);
	h->over = true;
	return TAKO_EPROTO;
}

int tako__h3_nuisance(struct tako__h3 *h)
{
	if (TAKO__LIKELY(tako__h2_bucket_take(&h->control_bucket, tako__h3_now(h))))
		return 0;
	return tako__h3_fail(h, NGHTTP3_H3_EXCESSIVE_LOAD, "too much that brings nothing");
}

void tako__h3_count_reset(struct tako__h3 *h)
{
	if (!tako__h2_bucket_take(&h->reset_bucket, tako__h3_now(h)))
		(void)tako__h3_fail(h, NGHTTP3_H3_EXCESSIVE_LOAD, "too many streams were reset");
}

/* ---- Deadlines --------------------------------------------------------------------------------- */

/* When a drain is over if nothing else happens; never, while there is anything to wait for.
 *
 * A connection that ends behind a session takes the session's own end away from whoever has yet to hear of
 * it: browsers then say that it was lost.  Clients leave by themselves before that. */
static uint64_t end_ns(const struct tako__h3 *h)
{
	uint64_t at = h->parted_ns ? h->parted_ns + tako__ms_ns(PARTING_MS) : 0;

	if (h->drain != TAKO__H3_LAST)
		return TAKO__NEVER;
	TAKO__LIST_EACH(link, &h->streams)
	{
		struct tako__h3_stream *s = TAKO__CONTAINER(link, struct tako__h3_stream, link);
		uint64_t heard = s->since_ns + tako__ms_ns(UNHEARD_MS);

		if (!tako__h3_stream_parts(s))
			return TAKO__NEVER;
		if (heard > at)
			at = heard;
	}
	return at;
}

static uint64_t next_look(const struct tako__h3 *h, uint64_t now)
{
	const tako_server_config *cfg = tako__h3_config(h);
	uint64_t idle = tako__ms_ns(h->c->request_count ? cfg->keepalive_timeout_ms
	                                                : cfg->header_timeout_ms);
	uint64_t at = h->stream_count ? now + h->c->worker->srv->tick_ns : h->idle_ns + idle;

	if (h->cold_ns && h->cold_ns < at)
		at = h->cold_ns;
	if (h->drain == TAKO__H3_NOTICED && h->notice_ns + tako__ms_ns(NOTICE_MS) < at)
		at = h->notice_ns + tako__ms_ns(NOTICE_MS);
	if (end_ns(h) < at)
		at = end_ns(h);
	if (h->cut_ns && h->cut_ns < at)
		at = h->cut_ns;
	return at;
}

/* A look that is due already is not put off: a peer that drips would never be looked at. */
static void arm(struct tako__h3 *h)
{
	struct tako__conn *c = h->c;
	uint64_t now = tako__h3_now(h);
	uint64_t at = next_look(h, now);

	if (c->deadline_ns > now && c->deadline_ns < at &&
	    c->deadline_ns <= now + c->worker->srv->tick_ns)
		return;
	tako__conn_deadline(c, at);
}

/* ---- The end --------------------------------------------------------------------------------------- */

void tako__h3_check_end(struct tako__h3 *h)
{
	uint64_t at = h->over ? TAKO__NEVER : end_ns(h);

	if (at == TAKO__NEVER)
		return;
	if (tako__h3_now(h) < at)
		arm(h);
	else
		(void)tako__h3_fail(h, NGHTTP3_H3_NO_ERROR, NULL);
}

void tako__h3_last_goaway(struct tako__h3 *h)
{
	if (h->drain != TAKO__H3_NOTICED)
		return;
	h->drain = TAKO__H3_LAST;
	if (tako__h3_goaway(h, (uint64_t)(h->last_id + 4)) < 0)
		(void)tako__h3_fail(h, NGHTTP3_H3_INTERNAL_ERROR, "out of memory");
	tako__h3_check_end(h);
}

/* Those that would go on for ever. */
static void stop_streams(struct tako__h3 *h)
{
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__h3_stream *s = TAKO__CONTAINER(at, struct tako__h3_stream, link);

		if (s->x)
			tako__exchange_stopping(s->x);
	}
}

/* RFC 9114 section 5.2: first that there is an end, and when the peer knows that, and every request
 * that crossed it on its way has arrived, where it is. */
static void begin_drain(struct tako__h3 *h)
{
	if (h->drain != TAKO__H3_OPEN || h->over)
		return;
	h->drain = TAKO__H3_NOTICED;
	h->notice_ns = tako__h3_now(h);
	if (tako__h3_goaway(h, TAKO__H3_VARINT_MAX - 3) < 0)
		(void)tako__h3_fail(h, NGHTTP3_H3_INTERNAL_ERROR, "out of memory");
	h->goaway_at = h->control_bytes;
}

static void h3_drain(struct tako__conn *c)
{
	struct tako__h3 *h = tako__h3_of(c);
	uint32_t grace_ms = tako__h3_config(h)->h3_goaway_grace_ms;

	if (c->worker->state != TAKO__SERVING) {
		if (!h->cut_ns)
			h->cut_ns = tako__h3_now(h) + tako__ms_ns(grace_ms);
		stop_streams(h);
	}
	begin_drain(h);
	arm(h);
}

/* ---- Time ----------------------------------------------------------------------------------------------- */

static bool check_idle(struct tako__h3 *h, uint64_t now)
{
	const tako_server_config *cfg = tako__h3_config(h);

	if (h->stream_count ||
	    now - h->idle_ns < tako__ms_ns(h->c->request_count ? cfg->keepalive_timeout_ms
	                                                       : cfg->header_timeout_ms))
		return false;
	(void)tako__h3_fail(h, NGHTTP3_H3_NO_ERROR, "idle");
	return true;
}

static void check_streams(struct tako__h3 *h, uint64_t now)
{
	TAKO__LIST_EACH(at, &h->streams)
	{
		tako__h3_stream_check(TAKO__CONTAINER(at, struct tako__h3_stream, link), now);
		if (h->over)
			return;
	}
	h->ticked_bytes = h->wrote_bytes;
}

static void h3_tick(struct tako__conn *c)
{
	struct tako__h3 *h = tako__h3_of(c);
	uint64_t now = tako__h3_now(h);

	if (h->over || check_idle(h, now))
		return;
	if (h->cut_ns && now >= h->cut_ns) {
		(void)tako__h3_fail(h, NGHTTP3_H3_NO_ERROR, "the drain is over");
		return;
	}
	if (h->cold_ns && now >= h->cold_ns)
		tako__h3_send_retry(h);
	if (h->drain == TAKO__H3_NOTICED && now - h->notice_ns >= tako__ms_ns(NOTICE_MS))
		tako__h3_last_goaway(h);
	tako__h3_check_end(h);
	if (h->over)
		return;
	if (now >= h->next_check_ns) {
		check_streams(h, now);
		h->next_check_ns = now + c->worker->srv->tick_ns;
	}
	if (!h->over)
		arm(h);
}

/* Once each: what they ask for meanwhile is for the next time. */
static void h3_look(struct tako__conn *c)
{
	struct tako__h3 *h = tako__h3_of(c);
	struct tako__h3_stream *s;

	h->looking = h->later;
	h->later = NULL;
	while ((s = h->looking) && !h->over) {
		h->looking = s->later_next;
		s->flags &= ~TAKO__H3S_LATER;
		tako__h3_stream_look(s);
	}
	tako__wt_look(h->wt);
	if (!h->over)
		arm(h);
}

/* ---- Receiving --------------------------------------------------------------------------------------------- */

static int reject(struct tako__conn *c, int64_t id)
{
	(void)tako__quic_stop(c, id, NGHTTP3_H3_REQUEST_REJECTED);
	(void)tako__quic_reset(c, id, NGHTTP3_H3_REQUEST_REJECTED);
	return 0;
}

static int h3_stream_opened(struct tako__conn *c, int64_t id)
{
	struct tako__h3 *h = tako__h3_of(c);
	const struct tako__priority *said;
	struct tako__h3_stream *s;
	bool late;

	if (tako__quic_is_uni(id))
		return tako__h3_uni_opened(h, id);
	/* Behind what the last GOAWAY said it may safely be sent again elsewhere.  A session goes on to
	 * open streams, and what this one is shows by its first bytes. */
	late = h->drain == TAKO__H3_LAST && id > h->last_id;
	if (late && !h->wt_count)
		return reject(c, id);
	s = tako__h3_stream_new(h, id);
	if (!s)
		return TAKO_ENOMEM;
	if (late)
		s->flags |= TAKO__H3S_LATE;
	if (tako__quic_stream_set(c, id, s) < 0) {
		h->stream_count--;
		tako__h3_stream_free(s);
		return TAKO_ENOMEM;
	}
	if (id > h->last_id && !late)
		h->last_id = id;
	said = tako__h3_updated(h, id);
	if (said) {
		s->priority = *said;
		s->updated = true;
	}
	return 0;
}

static void last_requests(struct tako__h3 *h)
{
	uint32_t max = tako__h3_config(h)->keepalive_request_count;

	if (TAKO__UNLIKELY(max && h->c->request_count >= max))
		begin_drain(h);
}

static int h3_stream_data(struct tako__conn *c, int64_t id, void *stream, const char *p, size_t n,
                          bool fin)
{
	struct tako__h3 *h = tako__h3_of(c);
	int rc;

	if (!stream) {
		tako__quic_consumed(c, id, n);
		return 0;
	}
	if (tako__wt_is(stream))
		return tako__wt_data(stream, p, n, fin);
	if (tako__quic_is_uni(id))
		return tako__h3_uni_data(stream, p, n, fin);
	rc = tako__h3_read(stream, p, n, fin);
	if (rc == 0)
		last_requests(h);
	arm(h);
	return rc;
}

static int h3_stream_reset(struct tako__conn *c, int64_t id, void *stream, uint64_t code)
{
	(void)c;
	if (!stream)
		return 0;
	if (tako__wt_is(stream))
		return tako__wt_was_reset(stream, code);
	if (tako__quic_is_uni(id))
		return tako__h3_uni_reset(stream);
	tako__h3_stream_broken(stream, false);
	return 0;
}

static bool h3_stream_closed(struct tako__conn *c, int64_t id, void *stream, bool has_code,
                             uint64_t code)
{
	(void)c;
	if (!stream)
		return true;
	if (tako__wt_is(stream))
		return tako__wt_closed(stream, has_code, code);
	if (!tako__quic_is_uni(id))
		return tako__h3_stream_closed(stream, has_code);
	if (!tako__quic_is_ours(id))
		tako__h3_uni_closed(stream);
	return true;
}

/* ---- Beginning ---------------------------------------------------------------------------------------------- */

static void init(struct tako__h3 *h, struct tako__conn *c, struct tako__h3_local *local)
{
	const tako_server_config *cfg = &c->worker->srv->cfg;
	uint64_t now = tako__now_ns(c->worker);

	memset(h, 0, sizeof *h);
	h->c = c;
	h->local = local;
	tako__h3_mem_init(&h->mem, &local->mem);
	h->idle_ns = now;
	h->last_id = -4;
	h->control_out.id = -1;
	h->decoder_out.id = -1;
	tako__list_init(&h->streams);
	tako__list_init(&h->closed);
	tako__list_init(&h->unis);
	for (unsigned i = 0; i < TAKO__H3_URGENCIES; i++)
		tako__list_init(&h->ready[i]);
	tako__h2_bucket_init(&h->control_bucket, cfg->h3_max_control_count, now);
	tako__h2_bucket_init(&h->reset_bucket, cfg->h3_max_reset_count, now);
}

/* Ours: the control stream and, if the decoder has a table, its own.  A client must allow three (RFC
 * 9114 section 6.2). */
static int open_streams(struct tako__h3 *h)
{
	struct tako__conn *c = h->c;
	char type = TAKO__H3_DECODER_STREAM;
	int rc;

	rc = tako__quic_stream_open(c, true, &h->control_out, &h->control_out.id);
	if (rc == 0)
		rc = tako__h3_control_open(h);
	if (rc == 0 && tako__h3_table_bytes(h)) {
		rc = tako__quic_stream_open(c, true, &h->decoder_out, &h->decoder_out.id);
		if (rc == 0)
			rc = tako__h3_queue_copy(&h->decoder_out.out, &type, 1);
	}
	if (rc == TAKO_EBUSY)
		return tako__h3_fail(h, NGHTTP3_H3_GENERAL_PROTOCOL_ERROR,
		                     "a client must allow three streams of ours");
	return rc;
}

static int make_decoder(struct tako__h3 *h)
{
	if (nghttp3_qpack_decoder_new(&h->decoder, tako__h3_table_bytes(h), tako__h3_stuck_max(h),
	                              &h->mem.mem) != 0) {
		h->decoder = NULL;
		return TAKO_ENOMEM;
	}
	nghttp3_qpack_decoder_set_max_concurrent_streams(h->decoder,
	                                                 tako__h3_config(h)->h3_max_bidi_streams);
	return 0;
}

static int h3_open(struct tako__conn *c)
{
	struct tako__h3_local *local = tako__h3_local(c->worker);
	struct tako__h3 *h = local ? tako__pool_get(&local->conns) : NULL;
	int rc;

	if (!h)
		return TAKO_ENOMEM;
	init(h, c, local);
	*tako__quic_state(c) = h;
	tako__h3_queue_init(&h->control_out.out);
	tako__h3_queue_init(&h->decoder_out.out);
	rc = make_decoder(h);
	if (rc == 0)
		rc = open_streams(h);
	if (rc < 0)
		return rc;
	if (c->flags & TAKO__CONN_DRAINING)
		h3_drain(c);
	arm(h);
	return 0;
}

static void tell_streams(struct tako__list *list, int err)
{
	while (!tako__list_empty(list)) {
		struct tako__h3_stream *s = TAKO__CONTAINER(list->next, struct tako__h3_stream,
		                                            link);
		struct tako__exchange *x = s->x;

		s->flags |= TAKO__H3S_CLOSED | TAKO__H3S_CUT;
		s->flags &= ~TAKO__H3S_OWED;
		tako__h3_queue_drop(&s->out);
		if (s->x)
			tako__exchange_gone(x, err);
		if (s->x)
			x->conn = NULL;
		tako__h3_stream_free(s);
	}
}

static void h3_fini(struct tako__conn *c, int err)
{
	struct tako__h3 *h = tako__h3_of(c);

	if (!h)
		return;
	h->over = true;
	tako__wt_conn_fini(h->wt, err);
	tell_streams(&h->streams, err);
	tell_streams(&h->closed, err);
	while (!tako__list_empty(&h->unis))
		tako__h3_uni_closed(TAKO__CONTAINER(h->unis.next, struct tako__h3_uni, link));
	tako__h3_queue_drop(&h->control_out.out);
	tako__h3_queue_drop(&h->decoder_out.out);
	tako__h3_mem_fini(&h->mem);
	*tako__quic_state(c) = NULL;
	tako__pool_put(&h->local->conns, h);
}

/* ---- Tables --------------------------------------------------------------------------------------------------- */

const struct tako__quic_app tako__h3_app = {
	.proto = &tako__h3_ops,
	.no_error = NGHTTP3_H3_NO_ERROR,
	.internal_error = NGHTTP3_H3_INTERNAL_ERROR,
	.open = h3_open,
	.fini = h3_fini,
	.look = h3_look,
	.tick = h3_tick,
	.drain = h3_drain,
	.stream_opened = h3_stream_opened,
	.stream_data = h3_stream_data,
	.stream_reset = h3_stream_reset,
	.stream_closed = h3_stream_closed,
	.next = tako__h3_next,
	.stream_wrote = tako__h3_wrote,
	.stream_blocked = tako__h3_blocked,
	.stream_shut = tako__h3_shut,
	.stream_unblocked = tako__h3_unblocked,
	.stream_acked = tako__h3_acked,
	.early = true,
	.streams_allowed = tako__wt_streams_allowed,
	.datagram = tako__wt_h3_datagram,
	.wants_datagrams = tako__wt_offered,
};

const struct tako__proto_ops tako__h3_ops = {
	.name = "h3",
	TAKO__QUIC_PROTO_OPS,
	.head = tako__h3_write_head,
	.data = tako__h3_write_data,
	.lend = tako__h3_write_lend,
	.end = tako__h3_write_end,
	.inform = tako__h3_write_inform,
	.stop = tako__h3_stop,
	.leave = tako__h3_leave,
	.unsent = tako__h3_unsent,
	.take = tako__h3_take,
	.read_more = tako__h3_read_more,
	.done = tako__h3_done,
};

/* SPDX-License-Identifier: MIT
 *
 * HTTP/2 on one connection (RFC 9113): bytes in, bytes out, its waits timed, its end in two
 * steps.  What is received is looked at for floods, then given to the library as a whole; whatever
 * that caused to be said is collected into the connection's output when it is through.
 */
#include "transports/h2/h2.h"

#include "core/server.h"
#include "core/worker.h"

enum {
	FRAME_TYPE_AT = 3,
	/* A peer that does not answer the drain's PING gets the second GOAWAY after this. */
	NOTICE_MS = 1000,
	BLOCK_BYTES_LEAST = 64 << 10,
};

static const uint8_t ping_alive[8] = {'t', 'a', 'k', 'o', 0, 0, 0, 1};
static const uint8_t ping_drain[8] = {'t', 'a', 'k', 'o', 0, 0, 0, 2};

static const tako_server_config *config(const struct tako__conn *c)
{
	return &c->worker->srv->cfg;
}

/* ---- Output ----------------------------------------------------------------------------- */

/* The drain's first GOAWAY has left: how long it takes to arrive is told by a PING, which would
 * have overtaken it. */
static void follow_goaway(struct tako__h2 *h)
{
	if (h->drain == TAKO__H2_NOTICED)
		(void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, ping_drain);
}

/* The end of a stream that was answered already: only the library had to know. */
static bool is_unsaid(const uint8_t *p)
{
	static const uint8_t code[] = {TAKO__H2_ANSWERED >> 24, TAKO__H2_ANSWERED >> 16 & 0xff,
	                               TAKO__H2_ANSWERED >> 8 & 0xff, TAKO__H2_ANSWERED & 0xff};

	return p[FRAME_TYPE_AT] == NGHTTP2_RST_STREAM &&
	       !memcmp(p + TAKO__H2_FRAME_HEAD_BYTES, code, sizeof code);
}

/* A block comes in as many calls as it has frames. */
static void note_block(struct tako__h2 *h, const uint8_t *p)
{
	if (p[FRAME_TYPE_AT] != NGHTTP2_HEADERS && p[FRAME_TYPE_AT] != NGHTTP2_CONTINUATION)
		return;
	h->head_due = false;
	h->in_block = !(p[FRAME_TYPE_AT + 1] & NGHTTP2_FLAG_END_HEADERS);
}

/* Frames the library has ready, as long as the socket keeps up; in any case until it knows which
 * streams have ended, since the peer may open as many.  1: all of them; 0: it does not;
 * negative: it is broken. */
static int collect(struct tako__h2 *h)
{
	struct tako__conn *c = h->c;
	uint64_t room = config(c)->h2_max_send_buffer_bytes;

	while (h->over || h->in_block || h->unsaid_count || tako__conn_unsent(c) < room) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(h->session, &p);

		if (n == 0 && !h->full)
			return 1;
		h->full = false;
		if (n == 0)
			continue;
		if (n > 0 && is_unsaid(p))
			continue;
		if (n < 0 || tako__conn_write(c, (const char *)p, (size_t)n) < 0)
			return TAKO_ENOMEM;
		note_block(h, p);
		if (TAKO__LIKELY(p[FRAME_TYPE_AT] != NGHTTP2_GOAWAY))
			continue;
		/* The last word; what else is ready was meant for a better peer. */
		if (h->over)
			return 1;
		follow_goaway(h);
	}
	return 0;
}

static bool look(struct tako__h2 *h, bool sent)
{
	struct tako__h2_stream *s;
	bool any = false;

	/* Once each: what they ask for meanwhile is for the next time. */
	h->looking = h->later;
	h->later = NULL;
	while ((s = h->looking)) {
		h->looking = s->later_next;
		s->flags &= ~TAKO__H2S_LATER;
		tako__h2_stream_look(s, sent);
		any = true;
	}
	return any;
}

static void tell_streams(struct tako__h2 *h, int err)
{
	struct tako__list *lists[] = {&h->streams, &h->closed};

	for (size_t i = 0; i < TAKO__COUNT(lists); i++) {
		while (!tako__list_empty(lists[i])) {
			struct tako__h2_stream *s = TAKO__CONTAINER(lists[i]->next,
			                                            struct tako__h2_stream, link);
			struct tako__exchange *x = s->x;

			s->flags |= TAKO__H2S_CLOSED;
			s->flags &= ~TAKO__H2S_KEPT;
			tako__h2_queue_drop(s);
			if (s->x)
				tako__exchange_gone(x, err);
			if (s->x)
				x->conn = NULL;
			tako__h2_stream_free(s);
		}
	}
	h->stream_count = 0;
}

/* Nothing more will be said: close, and let the peer read to the end of it. */
static void finish(struct tako__h2 *h)
{
	h->over = true;
	tell_streams(h, TAKO_ECLOSED);
	tako__conn_finish(h->c, !h->eof);
}

static bool is_through(struct tako__h2 *h)
{
	if (h->over || h->drain == TAKO__H2_LAST || h->eof)
		return h->over || !h->stream_count;
	return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

/* The library is out of memory or of step: it is not asked again (see h2_mem.c). */
static void give_up(struct tako__h2 *h)
{
	h->over = true;
	tell_streams(h, TAKO_ENOMEM);
	nghttp2_session_del(h->session);
	h->session = NULL;
	tako__conn_close(h->c);
}

static void pump(struct tako__h2 *h)
{
	struct tako__conn *c = h->c;
	int rc;

	if (h->busy || (c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_FINISH)))
		return;
	h->busy = true;
	do {
		rc = collect(h);
	} while (rc >= 0 && !h->over && h->later && look(h, rc > 0) && rc > 0);
	h->busy = false;
	if (rc < 0)
		give_up(h);
	else if (rc > 0 && is_through(h))
		finish(h);
}

/* ---- Deadlines --------------------------------------------------------------------------- */

static uint64_t next_look(struct tako__h2 *h, uint64_t now)
{
	struct tako__conn *c = h->c;
	const tako_server_config *cfg = config(c);
	uint64_t at = UINT64_MAX;

	if (h->stream_count || tako__conn_unsent(c))
		at = now + c->worker->srv->tick_ns;
	else
		at = h->idle_ns + tako__ms_ns(c->request_count ? cfg->keepalive_timeout_ms
		                                               : cfg->header_timeout_ms);
	if (h->wait_ns && h->wait_ns + tako__ms_ns(cfg->header_timeout_ms) < at)
		at = h->wait_ns + tako__ms_ns(cfg->header_timeout_ms);
	if (h->drain == TAKO__H2_NOTICED && h->notice_ns + tako__ms_ns(NOTICE_MS) < at)
		at = h->notice_ns + tako__ms_ns(NOTICE_MS);
	return at;
}

static void arm(struct tako__h2 *h)
{
	struct tako__conn *c = h->c;
	uint64_t now = tako__now_ns(c->worker);
	uint64_t at;

	if (c->flags & (TAKO__CONN_LINGERING | TAKO__CONN_CLOSING))
		return;
	at = next_look(h, now);
	/* A look that is to come, or due, is not put off by the next byte: a peer that drips would
	 * never be looked at. */
	if (c->deadline_ns < at && c->deadline_ns <= now + c->worker->srv->tick_ns)
		return;
	tako__conn_deadline(c, at);
}

/* After every call into this connection. */
static void go_on(struct tako__h2 *h)
{
	if (h->c->flags & TAKO__CONN_CLOSING)
		return;
	if (TAKO__UNLIKELY(h->why && !h->over))
		tako__h2_terminate(
			h, h->limits.wrong ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM,
			h->why);
	pump(h);
	arm(h);
}

/* ---- Input --------------------------------------------------------------------------------- */

static const char *error_text(ssize_t rc)
{
	return rc == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? "this port speaks HTTP/2 only" : "";
}

/* The library has refused what it cannot answer with a GOAWAY of its own. */
static void refuse(struct tako__h2 *h, ssize_t rc)
{
	switch (rc) {
	case NGHTTP2_ERR_NOMEM:
	case NGHTTP2_ERR_CALLBACK_FAILURE:
		give_up(h);
		return;
	case NGHTTP2_ERR_FLOODED:
		h->why = "too many frames that want an answer";
		return;
	default:
		tako__h2_terminate(h, NGHTTP2_PROTOCOL_ERROR, error_text(rc));
	}
}

static void feed(struct tako__h2 *h, char *p, size_t n)
{
	uint64_t now = tako__now_ns(h->c->worker);
	struct tako__h2_span spans[2];
	ssize_t rc = 0;

	tako__h2_limits_scan(&h->limits, p, n, now, spans);
	h->heard_ns = now;
	h->ping_ns = 0;
	h->busy = true;
	for (size_t i = 0; i < TAKO__COUNT(spans) && rc >= 0; i++) {
		if (spans[i].n)
			rc = nghttp2_session_mem_recv(h->session, spans[i].p, spans[i].n);
	}
	h->busy = false;
	if (TAKO__UNLIKELY(rc < 0))
		refuse(h, rc);
	else if (TAKO__UNLIKELY(h->starved) && tako__h2_window(h) > 0)
		tako__h2_queue_unstarve(h);
	if (TAKO__UNLIKELY(h->limits.why != NULL))
		h->why = h->limits.why;
	if (TAKO__LIKELY(!tako__h2_limits_waits(&h->limits)))
		h->wait_ns = 0;
	else if (!h->wait_ns)
		h->wait_ns = now;
}

static void last_requests(struct tako__h2 *h)
{
	uint32_t max = config(h->c)->keepalive_request_count;

	if (TAKO__UNLIKELY(max && h->c->request_count >= max && h->drain == TAKO__H2_OPEN))
		h->c->proto->drain(h->c);
}

/* The peer has closed its side: what it has asked for completely may still be answered. */
static void on_eof(struct tako__h2 *h)
{
	h->eof = true;
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__h2_stream *s = TAKO__CONTAINER(at, struct tako__h2_stream, link);

		if (!(s->flags & TAKO__H2S_RECEIVED))
			tako__h2_stream_reset(s, NGHTTP2_CANCEL);
		else if (s->x && !(s->x->flags & TAKO__X_ENDED))
			tako__exchange_half_closed(s->x);
	}
}

static void h2_recv(struct tako__conn *c, char *p, ssize_t res)
{
	struct tako__h2 *h = tako__h2_of(c);

	if (c->flags & (TAKO__CONN_FINISH | TAKO__CONN_CLOSING))
		return;
	if (TAKO__UNLIKELY(res < 0)) {
		tako__conn_close(c);
		return;
	}
	if (TAKO__LIKELY(res > 0)) {
		feed(h, p, (size_t)res);
		last_requests(h);
	} else {
		on_eof(h);
	}
	go_on(h);
}

static void h2_written(struct tako__conn *c)
{
	struct tako__h2 *h = tako__h2_of(c);

	if (!h->busy)
		go_on(h);
}

/* ---- Time ----------------------------------------------------------------------------------- */

static void timed_out(struct tako__conn *c)
{
	tako__add(&c->worker->stats.timeouts, 1);
}

/* The socket's side of a slow reader; a stream's is its own (tako__h2_stream_check).  True: cut. */
static bool check_write(struct tako__conn *c, uint64_t now)
{
	if (!tako__conn_too_slow(c, now))
		return false;
	timed_out(c);
	tako__conn_close(c);
	return true;
}

static void check_wait(struct tako__h2 *h, uint64_t now)
{
	if (!h->wait_ns || now - h->wait_ns < tako__ms_ns(config(h->c)->header_timeout_ms))
		return;
	timed_out(h->c);
	tako__h2_terminate(h, NGHTTP2_NO_ERROR, "a frame took too long");
}

/* Requests in flight and no sign of life: ask for one. */
static void check_alive(struct tako__h2 *h, uint64_t now)
{
	const tako_server_config *cfg = config(h->c);

	if (!cfg->h2_keepalive_interval_ms || cfg->h2_keepalive_interval_ms == TAKO_OFF ||
	    !h->stream_count)
		return;
	if (h->ping_ns && now - h->ping_ns >= tako__ms_ns(cfg->h2_keepalive_timeout_ms)) {
		timed_out(h->c);
		tako__conn_close(h->c);
	} else if (!h->ping_ns && now - h->heard_ns >= tako__ms_ns(cfg->h2_keepalive_interval_ms)) {
		h->ping_ns = now;
		(void)nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, ping_alive);
	}
}

static void check_idle(struct tako__h2 *h, uint64_t now)
{
	const tako_server_config *cfg = config(h->c);

	if (h->stream_count || tako__conn_unsent(h->c) || h->wait_ns)
		return;
	if (now - h->idle_ns >=
	    tako__ms_ns(h->c->request_count ? cfg->keepalive_timeout_ms : cfg->header_timeout_ms))
		tako__h2_terminate(h, NGHTTP2_NO_ERROR, "idle");
}

/* The second step: from now on what is new is not looked at. */
static void last_goaway(struct tako__h2 *h)
{
	if (h->drain != TAKO__H2_NOTICED)
		return;
	h->drain = TAKO__H2_LAST;
	(void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
	                            nghttp2_session_get_last_proc_stream_id(h->session),
	                            NGHTTP2_NO_ERROR, NULL, 0);
}

static void h2_tick(struct tako__conn *c)
{
	struct tako__h2 *h = tako__h2_of(c);
	uint64_t now = tako__now_ns(c->worker);

	if (check_write(c, now) || (c->flags & TAKO__CONN_FINISH)) {
		arm(h);
		return;
	}
	TAKO__LIST_EACH(at, &h->streams)
	tako__h2_stream_check(TAKO__CONTAINER(at, struct tako__h2_stream, link), now);
	check_wait(h, now);
	check_alive(h, now);
	check_idle(h, now);
	if (h->drain == TAKO__H2_NOTICED && now - h->notice_ns >= tako__ms_ns(NOTICE_MS))
		last_goaway(h);
	go_on(h);
}

/* ---- Beginning and end ------------------------------------------------------------------------ */

void tako__h2_pong(struct tako__h2 *h, const uint8_t data[8])
{
	if (memcmp(data, ping_drain, sizeof ping_drain) == 0)
		last_goaway(h);
}

/* Those that would go on for ever.  None is freed by that: the library gives them up later. */
static void stop_streams(struct tako__h2 *h)
{
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__h2_stream *s = TAKO__CONTAINER(at, struct tako__h2_stream, link);

		if (s->x)
			tako__exchange_stopping(s->x);
	}
}

/* RFC 9113 section 6.8: first that there is an end, and after a round trip, when every request
 * that crossed it on its way has arrived, where it is. */
static void h2_drain(struct tako__conn *c)
{
	struct tako__h2 *h = tako__h2_of(c);

	if (c->worker->state != TAKO__SERVING) {
		c->flags |= TAKO__CONN_DRAINING;
		stop_streams(h);
	}
	if (h->drain != TAKO__H2_OPEN || h->over || !h->session)
		return;
	h->drain = TAKO__H2_NOTICED;
	h->notice_ns = tako__now_ns(c->worker);
	if (nghttp2_submit_shutdown_notice(h->session) != 0)
		last_goaway(h);
	tako__conn_touch(c);
}

static void init_limits(struct tako__h2 *h, uint64_t now)
{
	const tako_server_config *cfg = config(h->c);
	uint32_t list = cfg->h2_max_header_list_bytes;

	tako__h2_bucket_init(&h->limits.control, cfg->h2_max_control_count, now);
	tako__h2_bucket_init(&h->limits.resets, cfg->h2_max_reset_count, now);
	h->limits.continuations_max = cfg->h2_max_continuation_count;
	h->limits.frame_bytes_max = cfg->h2_max_frame_bytes;
	/* Room for the whole of a list that is too large, so that its sender is told. */
	h->limits.block_bytes_max = list > BLOCK_BYTES_LEAST ? list : BLOCK_BYTES_LEAST;
}

static int h2_open(struct tako__conn *c)
{
	struct tako__h2_local *local = tako__h2_local(c->worker);
	struct tako__h2 *h = local ? tako__pool_get(&local->conns) : NULL;
	uint64_t now = tako__now_ns(c->worker);

	if (!h)
		return TAKO_ENOMEM;
	memset(h, 0, sizeof *h);
	memcpy(c->proto_state, &h, sizeof(void *));
	h->c = c;
	h->local = local;
	h->idle_ns = now;
	h->wait_ns = now;
	h->heard_ns = now;
	tako__list_init(&h->streams);
	tako__list_init(&h->closed);
	init_limits(h, now);
	/* SETTINGS come before everything (RFC 9113 section 3.4), hence now: an answer does not wait
	 * for the library. */
	if (tako__h2_session_open(h) < 0 || collect(h) < 0)
		return TAKO_ENOMEM;
	if (c->flags & TAKO__CONN_DRAINING)
		h2_drain(c);
	tako__conn_touch(c);
	arm(h);
	return 0;
}

static void h2_fini(struct tako__conn *c)
{
	struct tako__h2 *h = tako__h2_of(c);

	if (!h)
		return;
	h->busy = true;
	tell_streams(h, TAKO_ECLOSED);
	nghttp2_session_del(h->session);
	tako__pool_put(&h->local->conns, h);
}

const struct tako__proto_ops tako__h2_ops = {
	.name = "h2",
	.open = h2_open,
	.recv = h2_recv,
	.written = h2_written,
	.tick = h2_tick,
	.drain = h2_drain,
	.fini = h2_fini,
	.answer = tako__h2_answer,
	.answer_trailed = tako__h2_answer_trailed,
	.head = tako__h2_write_head,
	.data = tako__h2_write_data,
	.lend = tako__h2_write_lend,
	.end = tako__h2_write_end,
	.inform = tako__h2_write_inform,
	.stop = tako__h2_stop,
	.leave = tako__h2_leave,
	.unsent = tako__h2_unsent,
	.take = tako__h2_take,
	.read_more = tako__h2_read_more,
	.done = tako__h2_done,
};

const tako_transport *tako_h2c(void)
{
	static const tako_transport transport = {.name = "h2c", .proto = &tako__h2_ops};

	return &transport;
}

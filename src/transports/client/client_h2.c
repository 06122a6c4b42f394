/* SPDX-License-Identifier: MIT
 *
 * HTTP/2 as a client speaks it, as a protocol of seam C that makes no exchanges: many fetches at a time on a
 * connection, a stream each.  What is received is looked at for floods, then given to the library; whatever that
 * caused to be said is collected into the connection's output when it is through.  Here is what becomes of a connection
 * and its streams at the end, too.
 */
#include "transports/client/client_h2.h"

#include <string.h>

#include "core/base.h"
#include "transports/client/client_origin.h"

enum {
	SEND_BYTES_MAX = 256 << 10, /* of frames that the socket has not taken: no more are made */
	FRAME_TYPE_AT = 3,
	STREAM_ID_AT = 5,
	GOAWAY_CODE_AT = TAKO__H2_FRAME_HEAD_BYTES + 4,
	GOAWAY_TEXT_AT = TAKO__H2_FRAME_HEAD_BYTES + 8,
	/* Identifiers are used up at 2^30 requests (RFC 9113 section 5.1.1); some may be under way. */
	REQUESTS_MAX = (1 << 30) - (1 << 17),
};

/* ---- Streams ---------------------------------------------------------------------------- */

void tako__client_h2_later(struct tako__client_h2_stream *s, uint32_t flag)
{
	s->flags |= flag;
	if (tako__list_empty(&s->later))
		tako__list_push_back(&s->h->later, &s->later);
}

void tako__client_h2_reset(struct tako__client_h2_stream *s, uint32_t code)
{
	struct tako__client_h2 *h = s->h;

	if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code) != 0)
		h->broken = true;
	tako__conn_touch(h->c);
}

struct tako_fetch *tako__client_h2_let_go(struct tako__client_h2_stream *s)
{
	struct tako_fetch *f = s->f;

	s->f = NULL;
	f->conn = NULL;
	f->stream = NULL;
	tako__client_buf_free(&s->out);
	tako__client_buf_free(&s->held);
	s->out_at = 0;
	return f;
}

/* Its memory stays for a while: this may be called by whoever it has called. */
void tako__client_h2_release(struct tako__client_h2_stream *s)
{
	struct tako__client_h2 *h = s->h;

	if (h->session)
		(void)nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
	tako__list_remove(&s->later);
	tako__list_remove(&s->link);
	tako__list_push_back(&h->dead, &s->link);
	if (h->c->request_count >= REQUESTS_MAX)
		tako__client_retire(h->c);
	tako__client_park(h->c);
}

static void bury(struct tako__client_h2 *h)
{
	struct tako__list *at;

	while ((at = tako__list_pop_front(&h->dead))) {
		struct tako__client_h2_stream *s = TAKO__CONTAINER(
			at, struct tako__client_h2_stream, link);

		tako__free(s, sizeof *s);
	}
}

/* ---- Ends ------------------------------------------------------------------------------------ */

void tako__client_h2_gone(struct tako__client_h2 *h, int err, const char *why)
{
	struct tako__client_conn *base = tako__client_h2_base(h);
	struct tako__list streams;
	struct tako__list *at;

	h->gone = true;
	if (base->origin && base->used && base->carried && err == TAKO_ECLOSED)
		tako__client_distrust(base->origin);
	tako__client_abandon(h->c);
	tako__list_init(&streams);
	tako__list_splice_back(&streams, &h->streams);
	while ((at = tako__list_pop_front(&streams))) {
		tako__list_push_back(&h->streams, at);
		tako__client_h2_lose(TAKO__CONTAINER(at, struct tako__client_h2_stream, link), err,
		                     why);
	}
}

/* The last word: what it is about, or that there is nothing. */
static void say_goodbye(struct tako__client_h2 *h, uint32_t code, const char *why)
{
	h->over = true;
	if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, 0, code, (const uint8_t *)why,
	                          why ? strlen(why) : 0) != 0)
		h->broken = true;
	tako__conn_touch(h->c);
}

void tako__client_h2_part(struct tako__client_h2 *h)
{
	h->gone = true;
	tako__client_abandon(h->c);
	say_goodbye(h, NGHTTP2_NO_ERROR, NULL);
}

/* The library is out of memory or of step: it is not asked again (see h2_mem.c). */
static void give_up(struct tako__client_h2 *h)
{
	nghttp2_session_del(h->session);
	h->session = NULL;
	tako__client_h2_gone(h, TAKO_ENOMEM, NULL);
	tako__conn_close(h->c);
}

/* ---- Output ------------------------------------------------------------------------------------ */

/* The library has found the peer in the wrong, and says so itself. */
static void note_goaway(struct tako__client_h2 *h, const uint8_t *p, size_t n)
{
	size_t text_n = n - GOAWAY_TEXT_AT;

	if (h->over || !memcmp(p + GOAWAY_CODE_AT, (uint8_t[4]){0}, 4))
		return;
	if (text_n > sizeof h->why - 1)
		text_n = sizeof h->why - 1;
	memcpy(h->why, p + GOAWAY_TEXT_AT, text_n);
	h->why[text_n] = '\0';
	h->over = true;
	tako__client_h2_gone(h, TAKO_EPROTO, text_n ? h->why : "not as HTTP/2 has it");
}

static int write_frame(struct tako__client_h2 *h, const uint8_t *p, size_t n)
{
	if (!tako__conn_unsent(h->c))
		h->send_ns = tako__client_h2_now(h);
	/* One that closes meanwhile tells that itself. */
	return (h->c->flags & TAKO__CONN_CLOSING) ? 0 : tako__conn_write(h->c, (const char *)p, n);
}

/* HEADERS. */
static void note_left(struct tako__client_h2 *h, const uint8_t *p)
{
	int32_t id = (int32_t)((uint32_t)p[STREAM_ID_AT] << 24 |
	                       (uint32_t)p[STREAM_ID_AT + 1] << 16 |
	                       (uint32_t)p[STREAM_ID_AT + 2] << 8 | p[STREAM_ID_AT + 3]);
	struct tako__client_h2_stream *s = nghttp2_session_get_stream_user_data(h->session, id);

	if (s)
		s->flags |= TAKO__CLIENT_H2S_LEFT;
}

/* Frames that the library has ready, as long as the socket keeps up.  Negative: it is broken. */
static int collect(struct tako__client_h2 *h)
{
	if (h->gone && !h->over)
		return 0;
	while (h->over || tako__conn_unsent(h->c) < SEND_BYTES_MAX) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(h->session, &p);

		if (n == 0)
			return 0;
		if (n < 0 || write_frame(h, p, (size_t)n) < 0)
			return TAKO_ENOMEM;
		if (p[FRAME_TYPE_AT] == NGHTTP2_HEADERS)
			note_left(h, p);
		if (p[FRAME_TYPE_AT] != NGHTTP2_GOAWAY)
			continue;
		note_goaway(h, p, (size_t)n);
		/* What else is ready was meant for a better peer. */
		if (h->over)
			return 0;
	}
	return 0;
}

static void look_at(struct tako__client_h2_stream *s)
{
	uint32_t flags = s->flags;

	s->flags &= ~(TAKO__CLIENT_H2S_WROTE | TAKO__CLIENT_H2S_RESUMED);
	if (s->f && (flags & TAKO__CLIENT_H2S_WROTE))
		tako__fetch_writable(s->f);
	if (s->f && (flags & TAKO__CLIENT_H2S_RESUMED))
		tako__client_h2_go_on(s);
	if (s->f)
		tako__client_h2_watch(s);
}

/* Once each: what they ask for meanwhile is for the next time.  False: there was nobody. */
static bool look(struct tako__client_h2 *h)
{
	struct tako__list now;
	struct tako__list *at;
	bool any = false;

	tako__list_init(&now);
	tako__list_splice_back(&now, &h->later);
	while ((at = tako__list_pop_front(&now))) {
		look_at(TAKO__CONTAINER(at, struct tako__client_h2_stream, later));
		any = true;
	}
	return any;
}

static void pump(struct tako__client_h2 *h)
{
	int rc;

	do {
		rc = h->broken ? TAKO_ENOMEM : collect(h);
	} while (rc == 0 && look(h));
	if (rc < 0)
		give_up(h);
	else if (h->over)
		tako__conn_finish(h->c, false);
	else if (h->gone && tako__list_empty(&h->streams))
		tako__conn_close(h->c);
}

/* At the end of every call into this connection, which was busy from its beginning. */
static void settle(struct tako__client_h2 *h)
{
	if (h->wrong && !h->over) {
		const char *why = h->wrong;

		say_goodbye(h, h->code, why);
		tako__client_h2_gone(h, TAKO_EPROTO, why);
	}
	if (!(h->c->flags & (TAKO__CONN_CLOSING | TAKO__CONN_FINISH)))
		pump(h);
	bury(h);
	tako__client_h2_wake_at(h, tako__client_h2_due(h));
	h->busy = false;
}

/* ---- Input --------------------------------------------------------------------------------------- */

static void feed(struct tako__client_h2 *h, char *p, size_t n)
{
	struct tako__h2_span spans[2];
	ssize_t rc = 0;

	h->heard_ns = tako__client_h2_now(h);
	tako__h2_limits_scan(&h->limits, p, n, h->heard_ns, spans);
	for (size_t i = 0; i < TAKO__COUNT(spans) && rc >= 0; i++) {
		if (spans[i].n)
			rc = nghttp2_session_mem_recv(h->session, spans[i].p, spans[i].n);
	}
	if (rc == NGHTTP2_ERR_FLOODED)
		h->limits.why = "too many frames that want an answer";
	else if (rc < 0)
		h->broken = true;
	if (h->limits.why && !h->wrong) {
		h->wrong = h->limits.why;
		h->code = h->limits.wrong ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM;
	}
}

static void h2_recv(struct tako__conn *c, char *p, ssize_t res)
{
	struct tako__client_h2 *h = tako__client_h2_state(c)->h;

	if (h->gone || (c->flags & (TAKO__CONN_FINISH | TAKO__CONN_CLOSING)))
		return;
	h->busy = true;
	if (res > 0)
		feed(h, p, (size_t)res);
	else
		tako__client_h2_gone(h, TAKO_ECLOSED,
		                     res == 0 ? "the connection was closed"
		                              : "the connection was reset");
	if (!h->gone && !h->wrong && !h->broken)
		tako__client_look(c);
	settle(h);
}

static void h2_written(struct tako__conn *c)
{
	struct tako__client_h2 *h = tako__client_h2_state(c)->h;

	if (h->busy)
		return;
	h->busy = true;
	settle(h);
}

/* ---- Time --------------------------------------------------------------------------------------------- */

static void h2_tick(struct tako__conn *c)
{
	struct tako__client_h2 *h = tako__client_h2_state(c)->h;

	/* It does not even take the last word. */
	if ((c->flags & TAKO__CONN_FINISH) && tako__client_h2_due(h) <= tako__now_ns(c->worker))
		tako__conn_close(c);
	h->busy = true;
	tako__client_h2_check(h);
	settle(h);
}

/* ---- Beginning and end ------------------------------------------------------------------------------ */

static int h2_open(struct tako__conn *c)
{
	(void)c;
	return 0;
}

static void h2_drain(struct tako__conn *c)
{
	struct tako__client_h2_state *state = tako__client_h2_state(c);

	c->flags |= TAKO__CONN_DRAINING;
	if (!state->base.carried && !state->h->gone)
		tako__client_h2_part(state->h);
}

static void h2_fini(struct tako__conn *c)
{
	struct tako__client_h2 *h = tako__client_h2_state(c)->h;

	if (!h)
		return;
	nghttp2_session_del(h->session);
	h->session = NULL;
	h->busy = true;
	tako__client_h2_gone(h, TAKO_ECLOSED, "the connection was closed");
	bury(h);
	tako__client_buf_free(&h->block.text);
	tako__client_unref(h->client);
	tako__free(h, sizeof *h);
}

/* ---- The carrier ------------------------------------------------------------------------------------- */

static int carrier_start(struct tako__conn *c)
{
	struct tako_client *client = tako__client_h2_state(c)->base.origin->pool->client;
	struct tako__client_h2_local *local = tako__client_h2_local(c->worker);
	struct tako__client_h2 *h = local ? tako__zalloc(sizeof *h) : NULL;

	if (!h)
		return TAKO_ENOMEM;
	tako__client_h2_state(c)->h = h;
	h->c = c;
	h->local = local;
	h->client = tako__client_ref(client);
	h->idle_ns = h->heard_ns = h->send_ns = tako__now_ns(c->worker);
	tako__list_init(&h->streams);
	tako__list_init(&h->later);
	tako__list_init(&h->dead);
	if (tako__client_h2_session_open(h) < 0)
		return TAKO_ENOMEM;
	tako__conn_touch(c);
	tako__client_h2_wake_at(h, tako__client_h2_due(h));
	return 0;
}

static uint64_t carrier_unsent(const struct tako_fetch *f)
{
	const struct tako__client_h2_stream *s = tako__client_h2_stream(f);

	return s->out.n - s->out_at;
}

/* What comes during a pause is held, and the stream's window not opened for more. */
static void carrier_flow(struct tako_fetch *f)
{
	struct tako__client_h2_stream *s = tako__client_h2_stream(f);

	if (f->paused)
		return;
	s->base_ns = tako__client_h2_now(s->h);
	tako__client_h2_later(s, TAKO__CLIENT_H2S_RESUMED);
	tako__conn_touch(s->h->c);
}

static void carrier_rest(struct tako__conn *c)
{
	struct tako__client_h2 *h = tako__client_h2_state(c)->h;

	h->idle_ns = tako__client_h2_now(h);
	tako__client_h2_wake_at(h, tako__client_h2_due(h));
}

static void carrier_cancel(struct tako_fetch *f)
{
	struct tako__client_h2_stream *s = tako__client_h2_stream(f);
	struct tako__client_h2 *h = s->h;

	tako__client_h2_let_go(s);
	if (!(s->flags & TAKO__CLIENT_H2S_CLOSED) && !h->gone) {
		tako__client_h2_reset(s, NGHTTP2_CANCEL);
		return;
	}
	tako__client_h2_release(s);
	/* One that has ended may have waited for nothing else, and looks no more by itself. */
	tako__conn_touch(h->c);
}

/* RFC 9113 section 6.8. */
static void carrier_part(struct tako__conn *c)
{
	struct tako__client_h2 *h = tako__client_h2_state(c)->h;

	if (h->gone)
		tako__conn_close(c);
	else
		tako__client_h2_part(h);
}

const struct tako__carrier tako__client_h2_carrier = {
	.ops =
		{
			.name = "h2",
			.open = h2_open,
			.recv = h2_recv,
			.written = h2_written,
			.tick = h2_tick,
			.drain = h2_drain,
			.fini = h2_fini,
		},
	.shared = true,
	.start = carrier_start,
	.begin = tako__client_h2_begin,
	.data = tako__client_h2_write,
	.finish = tako__client_h2_finish,
	.unsent = carrier_unsent,
	.flow = carrier_flow,
	.rest = carrier_rest,
	.cancel = carrier_cancel,
	.part = carrier_part,
};

const tako_http_version *tako_client_http2(void)
{
	static const tako_http_version version = {.carrier = &tako__client_h2_carrier};

	return &version;
}

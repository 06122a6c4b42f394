/* SPDX-License-Identifier: MIT
 *
 * A session's streams: what comes in and when its reader is told, what the user asks of them, and the
 * moment that both the transport and the user have let go of one.
 */
#include "transports/wt/wt_int.h"

/* ---- Life ----------------------------------------------------------------------------------- */

tako_wt_stream *tako__wt_stream_new(struct tako__wt_conn *wc, int64_t id)
{
	tako_wt_stream *s = tako__pool_get(&wc->local->streams);

	if (!s)
		return NULL;
	tako__clear(s, offsetof(struct tako_wt_stream, out));
	s->conn = wc;
	s->id = id;
	s->code = TAKO_WT_NO_CODE;
	tako__list_init(&s->link);
	tako__list_init(&s->ready);
	tako__list_init(&s->later);
	tako__h3_stash_init(&s->in);
	tako__h3_queue_init(&s->out);
	return s;
}

/* Nobody will take what waits: the windows are given back. */
static void drop_in(tako_wt_stream *s)
{
	struct tako__h3_stash *b;

	while ((b = tako__h3_stash_pop(&s->in))) {
		tako__quic_forgotten(s->conn->c, b->n);
		tako__h3_stash_free(b);
	}
}

void tako__wt_stream_free(tako_wt_stream *s)
{
	struct tako__wt_conn *wc = s->conn;

	drop_in(s);
	tako__h3_queue_drop(&s->out);
	tako__list_remove(&s->link);
	tako__list_remove(&s->ready);
	tako__list_remove(&s->later);
	if (s->wt)
		s->wt->stream_count--;
	if (s->flags & TAKO__WTS_OWED)
		tako__quic_streams_more(wc->c, tako__quic_is_uni(s->id), 1);
	tako__pool_put(&wc->local->streams, s);
}

/* The transport forgets whose it was, and closes it by itself. */
static void abandon(tako_wt_stream *s, uint64_t code)
{
	struct tako__conn *c = s->conn->c;

	if (s->flags & TAKO__WTS_CLOSED)
		return;
	(void)tako__quic_stop(c, s->id, code);
	(void)tako__quic_reset(c, s->id, code);
	(void)tako__quic_stream_set(c, s->id, NULL);
}

void tako__wt_stream_kill(tako_wt_stream *s, uint64_t code)
{
	abandon(s, code);
	tako__wt_stream_free(s);
}

/* The peer wants no more of ours. */
static void tell_shut(tako_wt_stream *s)
{
	s->flags &= ~TAKO__WTS_SHUT;
	tako__h3_queue_drop(&s->out);
	if (s->wt->cfg.on_stop)
		s->wt->cfg.on_stop(s, s->arg);
}

/* Both halves are over, or its session is. */
static void tell_close(tako_wt_stream *s)
{
	const tako_wt_config *cfg = &s->wt->cfg;
	bool cut = s->flags & TAKO__WTS_BROKEN;

	if (cfg->on_stream_close)
		cfg->on_stream_close(s, cut ? TAKO_ECLOSED : 0, s->code, s->arg);
	tako__wt_stream_free(s);
}

void tako__wt_stream_end(tako_wt_stream *s)
{
	abandon(s, s->conn->gone_code);
	s->flags |= TAKO__WTS_CLOSED | TAKO__WTS_CUT | TAKO__WTS_IN_OVER | TAKO__WTS_BROKEN;
	tell_close(s);
}

void tako__wt_later(tako_wt_stream *s)
{
	if (!tako__list_empty(&s->later))
		return;
	tako__list_push_back(&s->conn->later, &s->later);
	tako__quic_wake(s->conn->c);
}

bool tako__wt_stream_join(tako_wt_stream *s, tako_wt *wt)
{
	s->wt = wt;
	s->arg = wt->arg;
	tako__list_push_back(&wt->streams, &s->link);
	wt->active_ns = tako__wt_now(s->conn);
	if (wt->stream_count++ >= wt->cfg.max_stream_count || !wt->cfg.on_stream) {
		tako__wt_stream_kill(s, s->conn->refused_code);
		return false;
	}
	if (s->in.first || s->flags)
		tako__wt_later(s);
	wt->cfg.on_stream(wt, s, wt->arg);
	return true;
}

/* ---- Receiving -------------------------------------------------------------------------------- */

static bool takes(const tako_wt_stream *s)
{
	return tako__wt_is_open(s->wt) && !(s->flags & (TAKO__WTS_PAUSED | TAKO__WTS_IN_OVER));
}

static void deliver(tako_wt_stream *s, const char *p, size_t n, bool end)
{
	tako_wt *wt = s->wt;

	wt->active_ns = tako__wt_now(s->conn);
	if (end)
		s->flags |= TAKO__WTS_IN_OVER;
	if (wt->cfg.on_data)
		wt->cfg.on_data(s, (tako_str){n ? p : "", n}, end, s->arg);
}

/* Nobody is interested: its session is over, or does not want it. */
static bool is_deaf(const tako_wt_stream *s)
{
	return (s->flags & TAKO__WTS_IN_OVER) || (s->wt && s->wt->state >= TAKO__WT_ENDING);
}

int tako__wt_data(void *stream, const char *p, size_t n, bool fin)
{
	tako_wt_stream *s = tako__wt_stream(stream);
	struct tako__conn *c = s->conn->c;
	int64_t id = s->id;

	if (is_deaf(s)) {
		tako__quic_consumed(c, id, n);
		return 0;
	}
	if (!s->in.first && takes(s)) {
		deliver(s, p, n, fin);
		tako__quic_consumed(c, id, n);
		return 0;
	}
	if (fin)
		s->flags |= TAKO__WTS_FIN;
	return !n || tako__h3_stash_add(&s->in, p, n) ? 0 : TAKO_ENOMEM;
}

/* As an application has said it; what the protocol says by itself is none. */
static uint64_t code_of(const tako_wt_stream *s, uint64_t wire)
{
	uint64_t code;

	if (s->wt && tako__wt_is_raw(s->wt))
		return wire;
	return tako__wt_code_of(wire, &code) ? code : TAKO_WT_NO_CODE;
}

static void tell_reset(tako_wt_stream *s)
{
	s->flags |= TAKO__WTS_IN_OVER;
	if (s->wt->cfg.on_reset)
		s->wt->cfg.on_reset(s, s->code, s->arg);
}

int tako__wt_was_reset(void *stream, uint64_t code)
{
	tako_wt_stream *s = tako__wt_stream(stream);

	if (is_deaf(s))
		return 0;
	drop_in(s);
	s->flags = (s->flags | TAKO__WTS_RESET | TAKO__WTS_BROKEN) & ~TAKO__WTS_FIN;
	s->code = code_of(s, code);
	if (s->wt)
		tell_reset(s);
	return 0;
}

/* Its reader has not had all of it. */
static bool waits(const tako_wt_stream *s)
{
	return !(s->flags & TAKO__WTS_IN_OVER) &&
	       (s->in.first || (s->flags & (TAKO__WTS_FIN | TAKO__WTS_RESET)));
}

bool tako__wt_closed(void *stream, bool has_code, uint64_t code)
{
	tako_wt_stream *s = tako__wt_stream(stream);

	s->flags |= TAKO__WTS_CLOSED;
	tako__list_remove(&s->ready);
	tako__h3_queue_drop(&s->out);
	if (has_code && !(s->flags & TAKO__WTS_BROKEN)) {
		s->flags |= TAKO__WTS_BROKEN;
		s->code = code_of(s, code);
	}
	/* Who opens streams faster than they are looked at has to wait. */
	if (!tako__wt_is_open(s->wt) || waits(s)) {
		if (!tako__quic_is_ours(s->id))
			s->flags |= TAKO__WTS_OWED;
		return false;
	}
	if (s->flags & TAKO__WTS_SHUT)
		tell_shut(s);
	tell_close(s);
	return true;
}

/* ---- Looking ------------------------------------------------------------------------------------ */

static void look_in(tako_wt_stream *s)
{
	struct tako__h3_stash *b;

	if ((s->flags & TAKO__WTS_RESET) && !(s->flags & TAKO__WTS_IN_OVER))
		tell_reset(s);
	while (takes(s) && (b = tako__h3_stash_pop(&s->in))) {
		deliver(s, b->data, b->n, (s->flags & TAKO__WTS_FIN) && !s->in.first);
		tako__quic_consumed(s->conn->c, s->id, b->n);
		tako__h3_stash_free(b);
	}
	if (takes(s) && (s->flags & TAKO__WTS_FIN) && !s->in.first)
		deliver(s, "", 0, true);
}

static void look_out(tako_wt_stream *s)
{
	const tako_wt_config *cfg = &s->wt->cfg;

	if (s->flags & TAKO__WTS_SHUT) {
		tell_shut(s);
		return;
	}
	if (!(s->flags & TAKO__WTS_FULL) || (s->flags & TAKO__WTS_CUT) || !tako__wt_is_low(s))
		return;
	s->flags &= ~TAKO__WTS_FULL;
	if (cfg->on_writable)
		cfg->on_writable(s, s->arg);
}

void tako__wt_stream_look(tako_wt_stream *s)
{
	if (!tako__wt_is_open(s->wt))
		return;
	look_in(s);
	if (tako__wt_is_open(s->wt))
		look_out(s);
	if (tako__wt_is_open(s->wt) && (s->flags & TAKO__WTS_CLOSED) && !waits(s))
		tell_close(s);
}

void tako__wt_stream_check(tako_wt_stream *s, uint64_t now_ns, bool idle)
{
	struct tako__worker *w = s->conn->c->worker;

	if (!s->out.unsent_bytes || !(idle || (s->flags & TAKO__WTS_BLOCKED))) {
		s->flags &= ~TAKO__WTS_STALLED;
		return;
	}
	if (!(s->flags & TAKO__WTS_STALLED)) {
		s->flags |= TAKO__WTS_STALLED;
		tako__stall_begin(&s->stall, s->sent_bytes, now_ns);
		return;
	}
	if (!tako__stall_too_long(&s->stall, &w->srv->cfg, s->sent_bytes, now_ns))
		return;
	tako__add(&w->stats.timeouts, 1);
	(void)tako__quic_reset(s->conn->c, s->id, s->conn->refused_code);
	(void)tako__wt_shut(tako__wt_mark(s));
}

/* ---- What the user asks for ----------------------------------------------------------------------- */

/* A code as it is on the wire.  False: there is no such code. */
static bool wire_of(const tako_wt_stream *s, uint64_t code, uint64_t *ret_wire)
{
	bool raw = tako__wt_is_raw(s->wt);

	*ret_wire = raw ? code : tako__wt_code_wire((uint32_t)code);
	if (code <= (raw ? TAKO__H3_VARINT_MAX : UINT32_MAX))
		return true;
	(void)tako__fail(TAKO_EINVAL, "%llu is no code of a stream", (unsigned long long)code);
	return false;
}

int tako_wt_reset(tako_wt_stream *s, uint64_t code)
{
	uint64_t wire;
	int rc;

	if (!wire_of(s, code, &wire))
		return TAKO_EINVAL;
	if (s->flags & (TAKO__WTS_CUT | TAKO__WTS_CLOSED))
		return 0;
	rc = tako__quic_reset(s->conn->c, s->id, wire);
	if (rc < 0)
		return tako__fail(rc, "the stream cannot be reset");
	s->flags |= TAKO__WTS_CUT;
	tako__list_remove(&s->ready);
	tako__h3_queue_drop(&s->out);
	return 0;
}

int tako_wt_stop(tako_wt_stream *s, uint64_t code)
{
	uint64_t wire;
	int rc;

	if (!wire_of(s, code, &wire))
		return TAKO_EINVAL;
	if (s->flags & TAKO__WTS_IN_OVER)
		return 0;
	rc = s->flags & TAKO__WTS_CLOSED ? 0 : tako__quic_stop(s->conn->c, s->id, wire);
	if (rc < 0)
		return tako__fail(rc, "the stream cannot be stopped");
	s->flags |= TAKO__WTS_IN_OVER;
	drop_in(s);
	/* The transport may have been through with it before its reader was. */
	if (s->flags & TAKO__WTS_CLOSED)
		tako__wt_later(s);
	return 0;
}

void tako_wt_pause(tako_wt_stream *s)
{
	s->flags |= TAKO__WTS_PAUSED;
}

void tako_wt_resume(tako_wt_stream *s)
{
	if (!(s->flags & TAKO__WTS_PAUSED))
		return;
	s->flags &= ~TAKO__WTS_PAUSED;
	if (waits(s))
		tako__wt_later(s);
}

/* ---- Facts ----------------------------------------------------------------------------------------- */

tako_wt *tako_wt_stream_session(const tako_wt_stream *s)
{
	return s->wt && s->wt->state <= TAKO__WT_ENDING ? s->wt : NULL;
}

int64_t tako_wt_stream_id(const tako_wt_stream *s)
{
	return s->id;
}

bool tako_wt_stream_is_uni(const tako_wt_stream *s)
{
	return tako__quic_is_uni(s->id);
}

bool tako_wt_stream_is_ours(const tako_wt_stream *s)
{
	return tako__quic_is_ours(s->id);
}

void *tako_wt_stream_arg(const tako_wt_stream *s)
{
	return s->arg;
}

void tako_wt_stream_set_arg(tako_wt_stream *s, void *arg)
{
	s->arg = arg;
}

uint64_t tako_wt_unsent(const tako_wt_stream *s)
{
	return s->out.unsent_bytes;
}

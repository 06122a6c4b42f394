/* SPDX-License-Identifier: MIT
 *
 * How long a peer may keep a stream waiting: for the next byte of its request's body, for room for
 * its response's.  Looked at once a tick; decides nothing but that it was too long.
 */
#include "core/server.h"
#include "core/worker.h"
#include "transports/h2/h2.h"

static const tako_server_config *config(const struct tako__h2_stream *s)
{
	return &s->h->c->worker->srv->cfg;
}

/* Are the next bytes the peer's to send, and not ours to take?  What a handler's pause takes, or its
 * writer, is not the peer's time. */
void tako__h2_stream_pause(struct tako__h2_stream *s)
{
	bool owes = !s->stash && tako__h2_stream_takes(s);
	uint64_t now_ns = tako__now_ns(s->h->c->worker);

	if (!owes && !s->untaken_ns) {
		s->untaken_ns = now_ns;
	} else if (owes && s->untaken_ns) {
		s->body_ns += now_ns - s->untaken_ns;
		s->since_ns = now_ns;
		s->untaken_ns = 0;
	}
}

static void time_out(struct tako__h2_stream *s)
{
	tako__add(&s->h->c->worker->stats.timeouts, 1);
	s->flags |= TAKO__H2S_OURS;
}

static bool body_too_slow(const struct tako__h2_stream *s, uint64_t now_ns)
{
	const tako_server_config *cfg = config(s);

	return now_ns - s->since_ns >= tako__ms_ns(cfg->body_timeout_ms) ||
	       tako__below_rate(cfg, s->received_bytes, now_ns - s->body_ns);
}

/* The peer's window, not the others' turn, keeps our bytes here.  As long as those that filled it have
 * not left he cannot open it; whether they leave is the connection's to look at. */
static bool is_blocked(const struct tako__h2_stream *s)
{
	/* The library does not send an end either, though an empty frame needs no window. */
	bool has_end = (s->flags & (TAKO__H2S_ENDED | TAKO__H2S_FINAL)) == TAKO__H2S_ENDED;

	return (s->queued_bytes || has_end) && s->h->c->sock.sent_bytes >= s->out_at &&
	       (nghttp2_session_get_stream_remote_window_size(s->h->session, s->id) <= 0 ||
	        tako__h2_window(s->h) <= 0);
}

static bool write_too_slow(struct tako__h2_stream *s, uint64_t now_ns)
{
	if (!is_blocked(s)) {
		s->flags &= ~TAKO__H2S_BLOCKED;
		return false;
	}
	if (!(s->flags & TAKO__H2S_BLOCKED)) {
		s->flags |= TAKO__H2S_BLOCKED;
		tako__stall_begin(&s->stall, s->sent_bytes, now_ns);
		return false;
	}
	return tako__stall_too_long(&s->stall, config(s), s->sent_bytes, now_ns);
}

void tako__h2_stream_check(struct tako__h2_stream *s, uint64_t now_ns)
{
	struct tako__exchange *x = s->x;

	if (s->flags & (TAKO__H2S_CUT | TAKO__H2S_CLOSED))
		return;
	if (write_too_slow(s, now_ns)) {
		time_out(s);
		tako__h2_stream_reset(s, NGHTTP2_CANCEL);
		return;
	}
	if (!x || (x->flags & (TAKO__X_BODY_DONE | TAKO__X_TAKEN | TAKO__X_LASTING)) ||
	    (s->flags & TAKO__H2S_RECEIVED))
		return;
	tako__h2_stream_pause(s);
	if (s->untaken_ns || !body_too_slow(s, now_ns))
		return;
	time_out(s);
	s->flags |= TAKO__H2S_DISCARD;
	tako__exchange_break(x, 408, TAKO_ETIMEDOUT);
}

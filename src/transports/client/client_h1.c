/* SPDX-License-Identifier: MIT
 *
 * HTTP/1.1 as a client speaks it, as a protocol of seam C that makes no exchanges: one fetch at a time on a
 * connection, since responses to pipelined requests are lost together (RFC 9112 section 9.3.2).  Here is when it
 * has taken too long, and what becomes of it and its fetch at the end.
 */
#include "transports/client/client_h1.h"

#include "core/base.h"
#include "transports/client/client_origin.h"

/* ---- Time ----------------------------------------------------------------------------- */

static uint64_t later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* When its patience ends, as things are; UINT64_MAX: it is our turn, and our user's. */
static uint64_t due_ns(struct tako__conn *c)
{
	const struct tako__client_h1 *h = tako__client_h1_of(c);
	const struct tako_fetch *f = h->f;
	uint64_t base = later_of(h->base_ns, c->progress_ns);

	if (!f) {
		const struct tako__client_origin *o = h->base.origin;

		return o ? h->base_ns + tako__ms_ns(o->pool->client->cfg.keepalive_timeout_ms)
		         : UINT64_MAX;
	}
	if (f->awaits_continue)
		return f->since_ns + tako__ms_ns(f->client->cfg.continue_timeout_ms);
	if (tako__conn_unsent(c))
		return base + tako__ms_ns(f->client->cfg.idle_timeout_ms);
	if (f->paused)
		return UINT64_MAX;
	if (f->stage != TAKO__FETCH_HEAD)
		return base + tako__ms_ns(f->client->cfg.idle_timeout_ms);
	return f->finished
	               ? later_of(base, f->since_ns) + tako__ms_ns(f->client->cfg.head_timeout_ms)
	               : UINT64_MAX;
}

void tako__client_h1_watch(struct tako__conn *c)
{
	if (!(c->flags & TAKO__CONN_CLOSING))
		tako__conn_deadline(c, due_ns(c));
}

static void too_late(struct tako__conn *c)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);

	tako__add(&c->worker->stats.timeouts, 1);
	tako__client_h1_fail(c, TAKO_ETIMEDOUT,
	                     tako__conn_unsent(c)              ? "it did not take the request"
	                     : h->f->stage == TAKO__FETCH_HEAD ? "it did not answer"
	                                                       : "it did not go on");
}

static void h1_tick(struct tako__conn *c)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);

	if (tako__now_ns(c->worker) < due_ns(c)) {
		tako__client_h1_watch(c);
		return;
	}
	if (!h->f) {
		tako__client_leave(c);
	} else if (h->f->awaits_continue) {
		/* RFC 9110 section 10.1.1: not for ever. */
		if (tako__fetch_flow(h->f) < 0)
			tako__client_h1_fail(c, TAKO_ENOMEM, NULL);
		else
			tako__client_h1_watch(c);
	} else {
		too_late(c);
	}
}

/* ---- Ends ------------------------------------------------------------------------------- */

static struct tako_fetch *let_go(struct tako__conn *c)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);
	struct tako_fetch *f = h->f;

	h->f = NULL;
	f->conn = NULL;
	return f;
}

void tako__client_h1_complete(struct tako__conn *c, bool clean)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);
	struct tako_fetch *f = let_go(c);

	/* RFC 9112 section 9.3: a request that is not whole would be taken for the next one's beginning, and
	 * what follows a response would be for the next one's response. */
	if (clean && !h->base.ended && f->reply.keep_alive && f->flowing && f->finished &&
	    !tako__conn_unsent(c)) {
		tako__client_buf_free(&h->stash);
		h->base.used = true;
		tako__conn_resume(c);
		tako__client_park(c);
	} else {
		tako__client_leave(c);
	}
	tako__fetch_done(f);
}

/* RFC 9112 section 9.3.1: a connection that was kept may end at any time, also while a request is on its way.
 * That nothing of another request has left cannot be known: a runtime may be told late what the kernel has
 * taken, or not at all. */
static bool may_be_sent_anew(struct tako__conn *c, const struct tako_fetch *f, int err)
{
	return tako__client_h1_of(c)->base.used && !f->heard && err == TAKO_ECLOSED &&
	       tako__fetch_is_idempotent(f);
}

void tako__client_h1_fail(struct tako__conn *c, int err, const char *why)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);
	struct tako_fetch *f = let_go(c);
	bool anew = may_be_sent_anew(c, f, err);

	if (anew && h->base.origin)
		tako__client_distrust(h->base.origin);
	tako__client_leave(c);
	tako__fetch_lost(f, err, why, anew ? TAKO__FETCH_ANEW : TAKO__FETCH_GONE);
}

/* ---- The protocol -------------------------------------------------------------------------- */

static int h1_open(struct tako__conn *c)
{
	tako__client_h1_of(c)->base_ns = tako__now_ns(c->worker);
	return 0;
}

/* What is held goes first, even if that is only the end of a body that is complete: whatever the socket has
 * was sent after it.  Nor has it a place before that is gone. */
static void go_on(struct tako__conn *c)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);

	while (h->f && h->base.resumed && !h->f->paused) {
		h->base.resumed = false;
		tako__client_h1_go_on(c);
		if (h->f && !h->f->paused)
			tako__conn_resume(c);
	}
}

static void h1_recv(struct tako__conn *c, char *p, ssize_t res)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);

	h->base_ns = tako__now_ns(c->worker);
	if (!h->f) {
		/* Nobody has asked for anything. */
		tako__client_leave(c);
		return;
	}
	if (res > 0)
		tako__client_h1_take(c, p, (size_t)res);
	else if (res == 0)
		tako__client_h1_end(c);
	else
		tako__client_h1_fail(c, TAKO_ECLOSED, "the connection was reset");
	go_on(c);
	tako__client_h1_watch(c);
}

static void h1_written(struct tako__conn *c)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);

	if (h->f)
		tako__fetch_writable(h->f);
	go_on(c);
	tako__client_h1_watch(c);
}

static void h1_drain(struct tako__conn *c)
{
	c->flags |= TAKO__CONN_DRAINING;
	if (tako__client_h1_of(c)->f)
		return;
	tako__client_leave(c);
}

static void h1_fini(struct tako__conn *c)
{
	struct tako__client_h1 *h = tako__client_h1_of(c);

	tako__client_buf_free(&h->stash);
	if (h->f)
		tako__client_h1_fail(c, TAKO_ECLOSED, "the connection was closed");
	else
		tako__client_leave(c);
}

/* ---- The carrier ------------------------------------------------------------------------------ */

static uint64_t carrier_unsent(const struct tako_fetch *f)
{
	return tako__conn_unsent(f->conn);
}

static void carrier_flow(struct tako_fetch *f)
{
	struct tako__conn *c = f->conn;

	if (f->paused) {
		tako__conn_pause(c);
		return;
	}
	/* Inside a callback of the connection's own it is at that one's end. */
	tako__client_h1_of(c)->base.resumed = true;
	tako__client_h1_of(c)->base_ns = tako__now_ns(c->worker);
	tako__conn_touch(c);
}

static void carrier_rest(struct tako__conn *c)
{
	tako__client_h1_of(c)->base_ns = tako__now_ns(c->worker);
	tako__client_h1_watch(c);
}

static void carrier_cancel(struct tako_fetch *f)
{
	struct tako__conn *c = f->conn;

	let_go(c);
	tako__client_leave(c);
}

const struct tako__carrier tako__client_h1_carrier = {
	.ops =
		{
			.name = "http/1.1",
			.open = h1_open,
			.recv = h1_recv,
			.written = h1_written,
			.tick = h1_tick,
			.drain = h1_drain,
			.fini = h1_fini,
		},
	.begin = tako__client_h1_begin,
	.data = tako__client_h1_data,
	.finish = tako__client_h1_finish,
	.unsent = carrier_unsent,
	.flow = carrier_flow,
	.rest = carrier_rest,
	.cancel = carrier_cancel,
};

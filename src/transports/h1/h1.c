/* SPDX-License-Identifier: MIT
 *
 * HTTP/1.1 and 1.0 on one connection (RFC 9112): one exchange after the other, what is
 * received ahead of its turn kept and bounded, the connection's waits timed.
 */
#include "transports/h1/h1.h"

#include "core/server.h"
#include "core/slow.h"
#include "core/worker.h"

enum {
	/* Received ahead of its turn: enough for a window of pipelined requests.  Then reading
	 * pauses and TCP slows the peer down. */
	STASH_PAUSE_BYTES = 64 << 10,
};

/* ---- The stash --------------------------------------------------------------------------- */

static void stash_free(struct tako__h1 *h)
{
	tako__free(h->stash, h->stash_cap);
	h->stash = NULL;
	h->stash_n = 0;
	h->stash_cap = 0;
	h->stash_used = 0;
}

static bool stash_add(struct tako__h1 *h, const char *p, size_t n)
{
	uint32_t left = h->stash_n - h->stash_used;

	if (h->stash_used && left)
		memmove(h->stash, h->stash + h->stash_used, left);
	h->stash_n = left;
	h->stash_used = 0;
	if (n > h->stash_cap - left) {
		size_t cap = h->stash_cap ? h->stash_cap : 1024;
		char *grown;

		while (cap < left + n)
			cap *= 2;
		/* A pause, and the size of one delivery, bound it. */
		grown = tako__resize(h->stash, h->stash_cap, cap);
		if (!grown)
			return false;
		h->stash = grown;
		h->stash_cap = (uint32_t)cap;
	}
	memcpy(h->stash + left, p, n);
	h->stash_n += (uint32_t)n;
	return true;
}

/* Is what was received kept back because nobody takes it now? */
static bool held_up(struct tako__conn *c)
{
	const struct tako__h1 *h = tako__h1_of(c);
	const struct tako__exchange *x = h->x;

	if (!h->stash_n || (x && !tako__exchange_takes(x)))
		return h->stash_n;
	return !(x && (x->flags & TAKO__X_BODY_DROPPED)) &&
	       tako__conn_unsent(c) > c->worker->srv->cfg.write_high_bytes;
}

/* ---- Deadlines ----------------------------------------------------------------------------- */

/* Are the next bytes of a body the peer's to send, and not ours to take? */
static bool owes_body(struct tako__conn *c)
{
	const struct tako__exchange *x = tako__h1_of(c)->x;

	return !(x->flags & (TAKO__X_BODY_DONE | TAKO__X_TAKEN | TAKO__X_LASTING)) &&
	       tako__exchange_takes(x) && !(c->sock.flags & TAKO_SOCK_PAUSED) && !held_up(c);
}

/* What a handler's pause takes is not the peer's time. */
static void count_pause(struct tako__h1 *h, bool owes, uint64_t now)
{
	if (!owes && !h->untaken_ns) {
		h->untaken_ns = now;
	} else if (owes && h->untaken_ns) {
		h->body_ns += now - h->untaken_ns;
		h->since_ns = now;
		h->untaken_ns = 0;
	}
}

/* How long a connection without a request may wait for one. */
static uint64_t idle_deadline(const struct tako__conn *c, uint64_t now)
{
	const tako_server_config *cfg = &c->worker->srv->cfg;
	uint64_t idle = now + tako__ms_ns(c->request_count ? cfg->keepalive_timeout_ms
	                                                   : cfg->header_timeout_ms);
	uint64_t last = c->worker->last_call_ns;

	/* Once that is over, or where there is none, who is left has sent something. */
	return (c->flags & TAKO__CONN_DRAINING) && last > now && last < idle ? last : idle;
}

/* Reading has a deadline when the peer owes us something. */
static uint64_t read_deadline(struct tako__conn *c, uint64_t now)
{
	const tako_server_config *cfg = &c->worker->srv->cfg;
	struct tako__h1 *h = tako__h1_of(c);
	bool owes;

	if (!h->x && h->scanned)
		return h->since_ns + tako__ms_ns(cfg->header_timeout_ms);
	if (!h->x && h->stash_n)
		return UINT64_MAX; /* the peer must read first: see check_write() */
	if (!h->x)
		return idle_deadline(c, now);
	owes = owes_body(c);
	count_pause(h, owes, now);
	return owes ? now + c->worker->srv->tick_ns : UINT64_MAX;
}

static void arm(struct tako__conn *c)
{
	uint64_t now = tako__now_ns(c->worker);
	uint64_t look = now + c->worker->srv->tick_ns;
	uint64_t deadline = read_deadline(c, now);
	bool looks = tako__h1_of(c)->x && deadline == look;

	if (c->flags & (TAKO__CONN_LINGERING | TAKO__CONN_CLOSING))
		return;
	if (tako__conn_unsent(c) && deadline > look) {
		deadline = look;
		looks = true;
	}
	/* A look is not put off by the next byte, nor in the turn that it is due in: a peer that
	 * drips would never be looked at. */
	if (looks && c->deadline_ns < look)
		return;
	tako__conn_deadline(c, deadline);
}

/* ---- Input ------------------------------------------------------------------------------------ */

/* What was left in a last buffer is input the peer may not know to be unwanted. */
static void left_over(struct tako__conn *c)
{
	if (c->flags & TAKO__CONN_FINISH)
		c->flags |= TAKO__CONN_LINGER;
}

static void feed_stash(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);
	size_t used = tako__h1_feed(c, h->stash + h->stash_used, h->stash_n - h->stash_used);

	h->stash_used += (uint32_t)used;
	if (h->stash_used == h->stash_n)
		stash_free(h);
	else
		left_over(c);
}

static void feed_new(struct tako__conn *c, char *p, size_t n)
{
	struct tako__h1 *h = tako__h1_of(c);
	size_t used = 0;

	if (TAKO__LIKELY(!h->stash_n))
		used = tako__h1_feed(c, p, n);
	if (TAKO__LIKELY(used == n))
		return;
	left_over(c);
	if (c->flags & (TAKO__CONN_FINISH | TAKO__CONN_CLOSING))
		return;
	if (!stash_add(h, p + used, n - used)) {
		tako__conn_close(c);
		return;
	}
	if (h->stash_n > n - used)
		feed_stash(c);
}

/* Pause and resume by what waits in the stash. */
static void balance(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);
	bool full = h->stash_n - h->stash_used >= STASH_PAUSE_BYTES;

	/* An incomplete head may need more than that: its own limit bounds it. */
	if (full && (h->x || h->scanned == 0))
		tako__conn_pause(c);
	else if (!full)
		tako__conn_resume(c);
}

static void on_eof(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);

	h->eof = true;
	/* The end of a stream is one of its messages, and waits its turn: see deliver_end(). */
	if (h->x && !(h->x->flags & TAKO__X_TAKEN) &&
	    ((h->x->flags & TAKO__X_BODY_DONE) || held_up(c)))
		tako__exchange_half_closed(h->x);
}

/* An incomplete message (RFC 9112 section 8); not before what did come of it has been taken. */
static void break_off(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);

	if (!h->x || (h->x->flags & (TAKO__X_TAKEN | TAKO__X_BODY_DONE)) || h->feeding ||
	    held_up(c))
		return;
	h->close = true;
	tako__exchange_break(h->x, 400, TAKO_ECLOSED);
}

static void deliver_end(struct tako__h1 *h)
{
	struct tako__exchange *x = h->x;

	if (x && (x->flags & (TAKO__X_TAKEN | TAKO__X_BODY_DONE)) == TAKO__X_TAKEN && !h->stash_n &&
	    tako__exchange_takes(x))
		tako__exchange_data(x, NULL, 0, true);
}

/* Nobody has to be answered any more.  Where another process goes on in our place, a client that is about
 * to send its next request has no reason to expect that it fails: see tako_server_restart(). */
static bool may_end(const struct tako__conn *c)
{
	const struct tako__h1 *h = tako__h1_of((struct tako__conn *)c);

	return (c->flags & TAKO__CONN_DRAINING) && !h->stash_n &&
	       tako__now_ns(c->worker) >= c->worker->last_call_ns;
}

/* Whatever happened, go on from the state it left. */
static void go_on(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);

	if (c->flags & TAKO__CONN_CLOSING)
		return;
	if (h->stash_n && !h->feeding && !(c->flags & TAKO__CONN_FINISH))
		feed_stash(c);
	if (TAKO__UNLIKELY(h->eof)) {
		deliver_end(h);
		break_off(c);
	}
	if (c->flags & (TAKO__CONN_FINISH | TAKO__CONN_CLOSING)) {
		arm(c);
		return;
	}
	if (!h->x && ((h->eof && !held_up(c)) || may_end(c))) {
		/* Once we are gone, a client that says more is answered by a reset, which takes
		 * our last answer with it where that is still on its way. */
		tako__conn_finish(c, !h->eof && (tako__conn_unsent(c) ||
		                                 c->sock.loop->rt->unacked(&c->sock) > 0));
		return;
	}
	balance(c);
	arm(c);
}

static void h1_recv(struct tako__conn *c, char *p, ssize_t res)
{
	if (TAKO__LIKELY(res > 0))
		feed_new(c, p, (size_t)res);
	else if (res < 0)
		tako__conn_close(c);
	else
		on_eof(c);
	if (TAKO__LIKELY(res > 0) && TAKO__LIKELY(!tako__h1_of(c)->x) && !tako__h1_of(c)->stash_n &&
	    !(c->flags & (TAKO__CONN_FINISH | TAKO__CONN_DRAINING))) {
		arm(c);
		return;
	}
	go_on(c);
}

/* Nothing is being answered, kept, held back or ended: what is next is the peer's to say. */
static bool is_idle(const struct tako__conn *c, const struct tako__h1 *h)
{
	return !h->x && !h->stash_n && !h->eof && !(c->sock.flags & TAKO_SOCK_PAUSED) &&
	       !(c->flags & (TAKO__CONN_FINISH | TAKO__CONN_CLOSING | TAKO__CONN_DRAINING));
}

static void h1_written(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);

	/* As it usually is, and go_on() would find nothing to go on with. */
	if (TAKO__LIKELY(is_idle(c, h))) {
		arm(c);
		return;
	}
	if (h->x)
		tako__exchange_writable(h->x);
	go_on(c);
}

/* ---- Exchanges -------------------------------------------------------------------------------- */

/* The framing promised more, and a closed connection tells that it will not come (RFC 9112
 * section 8).  Where the end of the connection is itself the framing, only a reset does. */
static void h1_stop(struct tako__exchange *x, int err)
{
	struct tako__conn *c = x->conn;
	struct tako__h1 *h = tako__h1_of(c);

	(void)err;
	h->close = true;
	h->unread = true;
	if (h->minor || x->res_length != TAKO_OFF64) {
		tako__conn_finish(c, true);
		return;
	}
	tako__conn_reset(c);
}

static void h1_leave(struct tako__exchange *x)
{
	struct tako__conn *c = x->conn;
	struct tako__h1 *h = tako__h1_of(c);

	if ((x->flags & TAKO__X_LAST) || h->close) {
		tako__conn_finish(c, true);
		return;
	}
	h->x = NULL;
	h->chunked = NULL;
	x->conn = NULL;
	tako__conn_touch(c);
}

/* RFC 9110 section 7.8. */
static int h1_take(struct tako__exchange *x, const char *protocol)
{
	struct tako__h1 *h = tako__h1_of(x->conn);
	int rc = tako__exchange_add_field(x, TAKO_STR("Upgrade"), tako_str_z(protocol));

	if (rc < 0)
		return rc;
	h->body_left = UINT64_MAX;
	h->close = true;
	x->status = 101;
	return tako__exchange_head(x);
}

static void h1_read_more(struct tako__exchange *x)
{
	static const char go_on_text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct tako__conn *c = x->conn;
	struct tako__h1 *h = tako__h1_of(c);

	if (x->flags & TAKO__X_BODY_DROPPED) {
		if (!h->close || (x->flags & TAKO__X_BODY_DONE))
			goto resume;
		/* The connection ends anyway, so the rest is for the lingering close. */
		x->flags |= TAKO__X_BODY_DONE;
		h->unread = true;
		return;
	}
	if ((x->flags & TAKO__X_EXPECTS) && !(x->flags & TAKO__X_HEAD_SENT) && h->minor) {
		char *to = tako__conn_reserve(c, sizeof(go_on_text) - 1);

		x->flags &= ~TAKO__X_EXPECTS;
		/* Whole or not at all; without it clients send the body after a while. */
		if (to) {
			memcpy(to, go_on_text, sizeof(go_on_text) - 1);
			tako__conn_commit(c, sizeof(go_on_text) - 1);
		}
	}
resume:
	tako__conn_resume(c);
	tako__conn_touch(c);
}

static void h1_done(struct tako__exchange *x)
{
	struct tako__conn *c = x->conn;
	struct tako__h1 *h = tako__h1_of(c);

	h->x = NULL;
	h->chunked = NULL;
	if (h->close) {
		/* Some clients send a line end behind a body, which may still be on its way. */
		bool more = h->unread || x->content_length;

		if (!more)
			c->sock.flags |= TAKO_SOCK_LAST;
		tako__conn_finish(c, more);
	} else {
		tako__conn_touch(c);
	}
}

/* ---- Time ---------------------------------------------------------------------------------------- */

static void timed_out(struct tako__conn *c)
{
	tako__add(&c->worker->stats.timeouts, 1);
}

/* True: too slow, and cut. */
static bool check_write(struct tako__conn *c, uint64_t now)
{
	if (!tako__conn_too_slow(c, now))
		return false;
	timed_out(c);
	tako__conn_close(c);
	return true;
}

static bool body_too_slow(const struct tako__conn *c, const struct tako__h1 *h, uint64_t now)
{
	const tako_server_config *cfg = &c->worker->srv->cfg;

	return now - h->since_ns >= tako__ms_ns(cfg->body_timeout_ms) ||
	       tako__below_rate(cfg, h->x->received_bytes, now - h->body_ns);
}

/* The kernel may still hold megabytes of our last answer: a peer that is taking them is not
 * idle. */
static bool still_reading(struct tako__conn *c)
{
	uint64_t held = c->sock.loop->rt->unacked(&c->sock);

	if (held == 0 || held == c->stall_bytes)
		return false;
	c->stall_bytes = held;
	return true;
}

static void check_read(struct tako__conn *c, uint64_t now)
{
	const tako_server_config *cfg = &c->worker->srv->cfg;
	struct tako__h1 *h = tako__h1_of(c);

	if (h->x) {
		if (!owes_body(c) || h->untaken_ns || !body_too_slow(c, h, now))
			return;
		timed_out(c);
		h->close = true;
		h->unread = true;
		tako__exchange_break(h->x, 408, TAKO_ETIMEDOUT);
		return;
	}
	if (h->scanned) {
		if (now - h->since_ns < tako__ms_ns(cfg->header_timeout_ms))
			return;
		timed_out(c);
		stash_free(h);
		h->scanned = 0;
		tako__h1_refuse(c, 408);
		return;
	}
	/* Idle since the deadline was last set, and nothing is owed to anybody: a plain close. */
	if (!tako__conn_unsent(c) && !h->stash_n && !still_reading(c))
		tako__conn_finish(c, false);
}

/* True: there was room for what had been kept, so that it is not the peer who is late.  That room
 * comes while a send is leaving, and is told only when it has left. */
static bool catches_up(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);
	uint32_t kept = h->stash_n - h->stash_used;

	if (!h->x || !kept || held_up(c))
		return false;
	feed_stash(c);
	return h->stash_n - h->stash_used != kept;
}

static void h1_tick(struct tako__conn *c)
{
	uint64_t now = tako__now_ns(c->worker);

	if (check_write(c, now))
		return;
	if (!catches_up(c))
		check_read(c, now);
	go_on(c);
}

/* A request may have arrived that the loop has not got round to: it was sent to a server that
 * had not closed, and is answered. */
static bool request_waits(struct tako__conn *c)
{
	return !tako__h1_of(c)->eof && !(c->sock.flags & TAKO_SOCK_PAUSED) &&
	       c->sock.loop->rt->waiting(&c->sock);
}

static void h1_drain(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);

	c->flags |= TAKO__CONN_DRAINING;
	if (h->x)
		tako__exchange_stopping(h->x);
	if (!h->x && !h->stash_n && request_waits(c)) {
		arm(c);
		return;
	}
	go_on(c);
}

static int h1_open(struct tako__conn *c)
{
	/* With a request in hand it is not idle. */
	if ((c->flags & (TAKO__CONN_DRAINING | TAKO__CONN_GIVEN)) == TAKO__CONN_DRAINING)
		h1_drain(c);
	else
		arm(c);
	return 0;
}

static void h1_fini(struct tako__conn *c)
{
	struct tako__h1 *h = tako__h1_of(c);

	if (h->x)
		tako__exchange_gone(h->x, TAKO_ECLOSED);
	stash_free(h);
}

/* One exchange at a time: what waits is its own. */
static uint64_t h1_unsent(const struct tako__exchange *x)
{
	return tako__conn_unsent(x->conn);
}

const struct tako__proto_ops tako__h1_ops = {
	.name = "http/1.1",
	.open = h1_open,
	.recv = h1_recv,
	.written = h1_written,
	.tick = h1_tick,
	.drain = h1_drain,
	.fini = h1_fini,
	.answer = tako__h1_answer,
	.head = tako__h1_head,
	.data = tako__h1_data,
	.lend = tako__h1_lend,
	.share = tako__h1_share,
	.end = tako__h1_end,
	.inform = tako__h1_inform,
	.stop = h1_stop,
	.leave = h1_leave,
	.unsent = h1_unsent,
	.take = h1_take,
	.read_more = h1_read_more,
	.done = h1_done,
};

const tako_transport *tako_http1(void)
{
	static const tako_transport transport = {.name = "http/1.1", .proto = &tako__h1_ops};

	return &transport;
}

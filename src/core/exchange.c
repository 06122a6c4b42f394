/* SPDX-License-Identifier: MIT
 *
 * The exchange: from a complete head to the last byte of the answer.  Decides when it is
 * over; never looks at bytes on the wire, which is the protocols' part.
 *
 * User code runs between enter() and tako__exchange_settle(), so that nothing it calls can
 * free the exchange under it.
 */
#include "core/exchange.h"

#include "core/head.h"
#include "core/path.h"
#include "core/res.h"
#include "core/server.h"
#include "core/worker.h"

enum { TAKE_BYTES = 560 }; /* a WebSocket, and its part of the answer */

static void enter(struct tako__exchange *x)
{
	x->flags |= TAKO__X_RUNNING;
}

/* ---- Beginning -------------------------------------------------------------------- */

/* In a block of so many bytes. */
static inline void init(struct tako__exchange *x, struct tako__conn *c, size_t bytes)
{
	struct tako__worker *w = c->worker;

	/* Before `match`; that and what follows is written before it is read. */
	tako__clear(x, offsetof(struct tako__exchange, match));
	tako__arena_init(&x->arena, x + 1, bytes - sizeof *x);
	x->worker = w;
	x->conn = c;
	x->proto = c->proto;
	if (TAKO__UNLIKELY(c->flags & TAKO__CONN_ALT_SVC))
		x->flags = TAKO__X_ALT_SVC;
	x->status = 200;
	x->res_fields = x->res_first;
	x->res_field_cap = TAKO__RES_FIELDS_FIRST;
	x->body_limit = TAKO_OFF64;
	/* When the loop woke, its bytes were there. */
	x->start_ticks = w->loop->now_ticks;
	x->ep = w->unmatched;
	w->exchange_count++;
	tako__add(&w->stats.requests, 1);
}

struct tako__exchange *tako__exchange_new(struct tako__conn *c)
{
	struct tako__exchange *x = tako__pool_get(&c->worker->exchanges);

	if (x)
		init(x, c, TAKO__EXCHANGE_BYTES);
	return x;
}

struct tako__exchange *tako__exchange_new_lasting(struct tako__conn *c)
{
	size_t bytes = sizeof(struct tako__exchange) + TAKE_BYTES;
	struct tako__exchange *x = tako__alloc(bytes);

	if (!x)
		return NULL;
	init(x, c, bytes);
	x->own_bytes = (uint32_t)bytes;
	return x;
}

/* 0, or a status: the path is in no form that a route could match. */
static TAKO__OUTLINE int normalise(struct tako__exchange *x)
{
	size_t n;
	char *to;
	int rc;

	if (x->path.n == 0 || x->path.p[0] != '/')
		return 0;
	to = tako__arena_alloc(&x->arena, x->raw_path.n);
	if (!to)
		return 500;
	rc = tako__path_normalise(to, &n, x->raw_path.p, x->raw_path.n);
	if (rc < 0)
		return 400;
	if (rc > 0)
		x->flags |= TAKO__X_SLASH_MARK;
	x->path = (tako_str){to, n};
	return 0;
}

/* Safe methods (RFC 9110 section 9.2.1), as long as they stay requests: what a stream of another
 * protocol would carry nobody calls safe. */
static bool is_safe(const struct tako__exchange *x)
{
	return (x->method_id == TAKO__GET || x->method_id == TAKO__HEAD ||
	        x->method_id == TAKO__OPTIONS || x->method_id == TAKO__TRACE) &&
	       !x->upgrade.n;
}

/* RFC 8470 section 5.1: what came before the handshake was confirmed may come again.  0: handlers see
 * that it did so; else a status. */
static TAKO__OUTLINE int early(struct tako__exchange *x)
{
	static const char name[] = "early-data";
	struct tako__field *fields;
	size_t n = x->field_count;

	if (!is_safe(x))
		return 425;
	if (tako__field_find(x->fields, x->field_count, name, sizeof name - 1))
		return 0;
	fields = tako__arena_alloc(&x->arena, (n + 1) * sizeof *fields);
	if (!fields)
		return 500;
	if (n)
		memcpy(fields, x->fields, n * sizeof *fields);
	fields[n] = (struct tako__field){name, "1", sizeof name - 1, 1};
	x->fields = fields;
	x->field_count++;
	return 0;
}

static int begin(struct tako__exchange *x)
{
	x->path = x->raw_path;
	if (TAKO__UNLIKELY(x->conn->flags & TAKO__CONN_EARLY)) {
		int status = early(x);

		if (status) {
			tako__exchange_error(x, status);
			return 0;
		}
	}
	if (TAKO__UNLIKELY(x->path_flags)) {
		int status = normalise(x);

		if (status) {
			/* As after whatever else is not a request: the next parser may read it
			 * otherwise, and what follows with it. */
			x->flags |= TAKO__X_LAST;
			tako__exchange_error(x, status);
			return 0;
		}
	}
	if (x->method_id == TAKO__HEAD)
		x->flags |= TAKO__X_HEAD_ONLY;
	x->found = (uint8_t)tako__match(x->worker->srv->routes, x->method_id, x->method, x->host,
	                                x->path, 0, &x->match);
	x->ep = x->match.ep;
	if (x->ep->max_body_bytes)
		x->body_limit = x->ep->max_body_bytes;
	if (TAKO__UNLIKELY(x->ep->timeout_ms)) {
		int rc = tako__after_timeout(x, x->ep->timeout_ms);

		if (rc < 0)
			return rc;
	}
	return tako__chain_run(x, 0);
}

void tako__exchange_refuse(struct tako__exchange *x, int status)
{
	x->flags |= TAKO__X_REFUSED | TAKO__X_BODY_DONE;
	enter(x);
	tako__exchange_error(x, status);
	tako__exchange_settle(x, 0);
}

/* ---- The request's body ------------------------------------------------------------- */

static int collect(struct tako__exchange *x, const char *p, size_t n)
{
	uint64_t have = x->received_bytes - n;

	if (x->received_bytes > x->whole_cap) {
		uint64_t cap = x->whole_cap ? x->whole_cap * 2 : 4096;
		char *grown;

		/* Grown as bytes arrive, not as Content-Length promises: a promise is free. */
		while (cap < x->received_bytes)
			cap *= 2;
		grown = tako__resize(x->whole, (size_t)x->whole_cap, (size_t)cap);
		if (!grown)
			return TAKO_ENOMEM;
		x->whole = grown;
		x->whole_cap = cap;
	}
	if (n)
		memcpy(x->whole + have, p, n);
	return 0;
}

static int take_body(struct tako__exchange *x, const char *p, size_t n, bool end)
{
	tako_str data = {n ? p : "", n};

	if (x->received_bytes > x->body_limit)
		return TAKO_ETOOBIG;
	if (x->flags & TAKO__X_WHOLE) {
		int rc = collect(x, p, n);

		if (rc < 0 || !end)
			return rc;
		data = (tako_str){x->received_bytes ? x->whole : "", (size_t)x->received_bytes};
	} else if (!n && !end) {
		return 0;
	}
	return x->body_fn(tako__req(x), tako__res(x), data, end, x->body_arg);
}

void tako__exchange_data(struct tako__exchange *x, const char *p, size_t n, bool end)
{
	x->received_bytes += n;
	if (end)
		x->flags |= TAKO__X_BODY_DONE;
	if (x->flags & TAKO__X_BODY_DROPPED) {
		tako__exchange_check(x);
		return;
	}
	enter(x);
	tako__exchange_settle(x, take_body(x, p, n, end));
}

void tako__exchange_break(struct tako__exchange *x, int status, int err)
{
	x->flags |= TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED;
	if (!x->error)
		x->error = err;
	enter(x);
	if (status && !(x->flags & (TAKO__X_HEAD_SENT | TAKO__X_ENDED)))
		tako__exchange_error(x, status);
	else if (!(x->flags & TAKO__X_ENDED))
		tako__exchange_stop(x, err);
	tako__exchange_settle(x, 0);
}

/* ---- Errors ---------------------------------------------------------------------------- */

int tako__error_status(int err)
{
	switch (err) {
	case TAKO_ETOOBIG:
		return 413;
	case TAKO_ETIMEDOUT:
		return 408;
	case TAKO_EINVAL:
	case TAKO_EPROTO:
		return 400;
	case TAKO_ENOENT:
		return 404;
	case TAKO_EBUSY:
		return 503;
	default:
		return 500;
	}
}

static void run_error_hooks(struct tako__exchange *x, int status)
{
	const struct tako__endpoint *ep = x->ep;

	for (unsigned i = 0; i < ep->error_count && !(x->flags & TAKO__X_HEAD_SENT); i++) {
		const struct tako__error_hook *h = &ep->errors[i];

		x->status = status;
		if (h->fn(tako__req(x), tako__res(x), status, h->arg) != TAKO_NEXT)
			break;
	}
}

void tako__exchange_error(struct tako__exchange *x, int status)
{
	if (x->flags & (TAKO__X_ENDED | TAKO__X_GONE))
		return;
	if (x->flags & TAKO__X_HEAD_SENT) {
		tako__exchange_stop(x, x->error ? x->error : TAKO_ECLOSED);
		return;
	}
	/* An error handler that fails gets the built-in answer, not itself again. */
	if (!(x->flags & TAKO__X_ERRORING)) {
		x->flags |= TAKO__X_ERRORING;
		tako__res_forget(x, status);
		run_error_hooks(x, status);
	}
	if (x->flags & (TAKO__X_ENDED | TAKO__X_GONE))
		return;
	if (x->flags & TAKO__X_HEAD_SENT) {
		tako__exchange_stop(x, TAKO_ESTATE);
		return;
	}
	if (tako__res_builtin(x, status) < 0)
		tako__exchange_stop(x, TAKO_ENOMEM);
}

void tako__exchange_stop(struct tako__exchange *x, int err)
{
	if (x->flags & TAKO__X_GONE)
		return;
	x->flags |= TAKO__X_GONE;
	if (!x->error)
		x->error = err;
	if (x->conn)
		x->proto->stop(x, err);
}

/* ---- Going on ----------------------------------------------------------------------------- */

/* Any success opens the tunnel, and what follows it is the other protocol (RFC 9110 section 9.3.6):
 * an answer to the GET that the handler saw would be taken for that. */
static TAKO__OUTLINE void refuse_switch(struct tako__exchange *x)
{
	x->status = 501;
	tako__res_forget(x, 501);
	x->res_length = 0;
	x->flags |= TAKO__X_HEAD_ONLY | TAKO__X_LENGTH_SET;
}

/* Once a connection: its peer remembers it for this origin (RFC 7838 section 3). */
static TAKO__OUTLINE void tell_alt_svc(struct tako__exchange *x)
{
	const struct tako_server *srv = x->worker->srv;
	const tako_str name = TAKO_STR("Alt-Svc");

	if (!x->conn || !(x->conn->flags & TAKO__CONN_ALT_SVC))
		return;
	x->conn->flags &= ~TAKO__CONN_ALT_SVC;
	/* A response without it is as good; one that has its own knows better. */
	if (!tako__field_find(x->res_fields, x->res_field_count, name.p, name.n))
		(void)tako__exchange_add_field(x, name, (tako_str){srv->alt_svc, srv->alt_svc_n});
}

int tako__exchange_head(struct tako__exchange *x)
{
	const struct tako__endpoint *ep = x->ep;

	/* They may change the head, not answer in its place: that would end here again. */
	x->flags |= TAKO__X_IN_AFTER;
	for (unsigned i = 0; i < ep->after_count; i++)
		ep->after[i].fn(tako__req(x), tako__res(x), ep->after[i].arg);
	x->flags &= ~TAKO__X_IN_AFTER;
	x->flags |= TAKO__X_HEAD_SENT;
	if (TAKO__UNLIKELY((x->flags & (TAKO__X_SWITCHING | TAKO__X_TAKEN)) == TAKO__X_SWITCHING) &&
	    x->status / 100 == 2)
		refuse_switch(x);
	if (TAKO__UNLIKELY(x->flags & TAKO__X_ALT_SVC))
		tell_alt_svc(x);
	if (x->status == 204 || x->status == 304)
		x->flags |= TAKO__X_NO_BODY;
	/* No content either, but said by a length (RFC 9110 section 15.3.6). */
	if (TAKO__UNLIKELY(x->status == 205)) {
		x->res_length = 0;
		x->flags |= TAKO__X_HEAD_ONLY;
	}
	return x->proto->head(x);
}

void tako__exchange_writable(struct tako__exchange *x)
{
	tako_res_fn fn = x->drain_fn;

	if (!fn || (x->flags & (TAKO__X_RUNNING | TAKO__X_OVER)) ||
	    tako_res_unsent(tako__res(x)) >= x->worker->srv->cfg.write_high_bytes / 2)
		return;
	x->drain_fn = NULL;
	enter(x);
	fn(tako__res(x), x->drain_arg);
	tako__exchange_settle(x, 0);
}

static void tell_abort(struct tako__exchange *x)
{
	tako_res_fn lost;

	if (x->abort_fn && !(x->flags & (TAKO__X_ABORTED | TAKO__X_ENDED))) {
		x->flags |= TAKO__X_ABORTED;
		x->abort_fn(tako__res(x), x->abort_arg);
	}
	/* Last, as it may let go of the exchange; and whoever has ended the response behind its back. */
	lost = x->lost_fn;
	x->lost_fn = NULL;
	if (lost)
		lost(tako__res(x), x->lost_arg);
}

void tako__exchange_half_closed(struct tako__exchange *x)
{
	x->flags |= TAKO__X_HALF_CLOSED;
	enter(x);
	tell_abort(x);
	tako__exchange_settle(x, 0);
}

void tako__exchange_stopping(struct tako__exchange *x)
{
	tako_res_fn fn = x->stop_fn;

	if (!fn || (x->flags & (TAKO__X_ENDED | TAKO__X_GONE)))
		return;
	x->stop_fn = NULL;
	enter(x);
	fn(tako__res(x), x->stop_arg);
	tako__exchange_settle(x, 0);
}

static void lose(struct tako__exchange *x, int err, bool with_conn)
{
	tako_res_fn fn = x->drain_fn;

	x->flags |= TAKO__X_GONE;
	if (!x->error && !(x->flags & TAKO__X_ENDED))
		x->error = err;
	enter(x);
	tell_abort(x);
	/* Whoever waited for room finds out that there is none to wait for. */
	x->drain_fn = NULL;
	if (fn)
		fn(tako__res(x), x->drain_arg);
	tako__after_fire_all(x);
	/* Who lives on must not look at it; who ends now may still log where it came from. */
	if (x->refs && with_conn)
		x->conn = NULL;
	tako__exchange_settle(x, 0);
}

void tako__exchange_gone(struct tako__exchange *x, int err)
{
	lose(x, err, true);
}

void tako__exchange_reset(struct tako__exchange *x, int err)
{
	lose(x, err, false);
}

/* ---- The end ---------------------------------------------------------------------------------- */

/* Those of one delivery began together, so that a batch to one route is one entry. */
static void time_it(const struct tako__exchange *x)
{
	struct tako__worker *w = x->worker;
	unsigned n = w->timed_count;

	if (n && w->timed[n - 1].route == x->ep->id &&
	    w->timed[n - 1].start_ticks == x->start_ticks) {
		w->timed[n - 1].count++;
		return;
	}
	if (n == TAKO__TIMED_MAX) {
		tako__worker_time(w);
		n = 0;
	}
	w->timed[n].route = x->ep->id;
	w->timed[n].count = 1;
	w->timed[n].start_ticks = x->start_ticks;
	w->timed_count = n + 1;
}

/* The end of the exchange as figures: counted here, timed with its neighbours. */
static void count(struct tako__exchange *x)
{
	struct tako__worker *w = x->worker;
	unsigned class = x->flags & TAKO__X_HEAD_SENT ? (unsigned)x->status / 100 : 0;

	tako__add(&w->stats.routes[x->ep->id].responses[class], 1);
	if (TAKO__UNLIKELY(x->error))
		tako__add(&w->stats.aborted, 1);
	time_it(x);
	if (w->log || w->srv->cfg.access_fn)
		tako__exchange_log(x, tako__ticker_ns(&w->ticker, tako__ticks() - x->start_ticks));
}

static void finish(struct tako__exchange *x)
{
	struct tako__worker *w = x->worker;

	x->flags |= TAKO__X_OVER | TAKO__X_RUNNING;
	if (TAKO__UNLIKELY(x->timeout || x->timers))
		tako__after_clear(x);
	count(x);
	while (x->end_hooks) {
		struct tako__end_hook *h = x->end_hooks;

		x->end_hooks = h->next;
		h->fn(tako__req(x), x->error, h->arg);
	}
	if (TAKO__UNLIKELY(x->whole))
		tako__free(x->whole, (size_t)x->whole_cap);
	tako__arena_fini(&x->arena);
	w->exchange_count--;
	if (x->conn)
		x->proto->done(x);
	if (TAKO__UNLIKELY(x->own_bytes))
		tako__free(x, x->own_bytes);
	else
		tako__pool_put(&w->exchanges, x);
}

/* Is anybody still going to answer? */
static bool pending(const struct tako__exchange *x)
{
	return x->refs || x->drain_fn ||
	       ((x->flags & (TAKO__X_BODY_WANTED | TAKO__X_BODY_DONE | TAKO__X_BODY_DROPPED)) ==
	        TAKO__X_BODY_WANTED);
}

/* Is it over, and freed? */
static bool check(struct tako__exchange *x)
{
	if (x->flags & (TAKO__X_RUNNING | TAKO__X_OVER))
		return false;
	if (!(x->flags & (TAKO__X_ENDED | TAKO__X_GONE))) {
		if (pending(x))
			return false;
		enter(x);
		tako__exchange_error(x, 500);
		x->flags &= ~TAKO__X_RUNNING;
	}
	if (x->refs)
		return false;
	if (!(x->flags & (TAKO__X_BODY_DONE | TAKO__X_GONE))) {
		/* Answered before the body was read: the protocol decides what to do with the
		 * rest, and comes back here. */
		if (!(x->flags & TAKO__X_BODY_DROPPED)) {
			/* A pause of somebody who has answered holds nothing back any more, and a
			 * conversation that is over is a body like any other. */
			x->flags = (x->flags | TAKO__X_BODY_DROPPED) &
			           ~(TAKO__X_BODY_PAUSED | TAKO__X_LASTING);
			x->proto->read_more(x);
		}
		if (!(x->flags & TAKO__X_BODY_DONE))
			return false;
	}
	finish(x);
	return true;
}

void tako__exchange_check(struct tako__exchange *x)
{
	(void)check(x);
}

/* What waited until no user code is on the stack. */
static TAKO__OUTLINE int do_late(struct tako__exchange *x, int rc)
{
	bool empty = x->flags & TAKO__X_EMPTY_DUE;

	if (x->flags & TAKO__X_SHED_DUE)
		tako__exchange_shed(x);
	x->flags &= ~(TAKO__X_EMPTY_DUE | TAKO__X_SHED_DUE);
	if (empty && rc >= 0 && !(x->flags & (TAKO__X_ENDED | TAKO__X_GONE)))
		rc = take_body(x, NULL, 0, true);
	return rc;
}

static inline bool settle(struct tako__exchange *x, int rc)
{
	if (TAKO__UNLIKELY(x->flags & (TAKO__X_EMPTY_DUE | TAKO__X_SHED_DUE)))
		rc = do_late(x, rc);
	if (TAKO__UNLIKELY(rc < 0))
		tako__exchange_error(x, tako__error_status(rc));
	x->flags &= ~TAKO__X_RUNNING;
	return check(x);
}

void tako__exchange_settle(struct tako__exchange *x, int rc)
{
	(void)settle(x, rc);
}

void tako__exchange_run(struct tako__exchange *x)
{
	enter(x);
	/* Whoever is not over yet outlives what it was received in. */
	if (!settle(x, begin(x)))
		tako__head_keep(x);
}

void tako__exchange_unref(struct tako__exchange *x)
{
	x->refs--;
	tako__exchange_check(x);
}

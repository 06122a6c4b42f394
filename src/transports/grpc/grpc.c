/* SPDX-License-Identifier: MIT
 *
 * A call from its head to its end: what begins one, what ends it before its time -- the client, the
 * deadline, the server's drain -- and who is told.  Knows no HTTP version.
 *
 * A stream holds a reference to its exchange until it is over, so that it may be finished from anywhere
 * on its loop; the reference is given back where the exchange may end, never under whoever calls.
 */
#include "transports/grpc/grpc_int.h"

#include "core/head.h"
#include "core/res.h"
#include "core/server.h"
#include "core/worker.h"
#include "transports/grpc/grpc_status.h"
#include "transports/grpc/grpc_zip.h"

enum {
	/* Calls are cancelled so much before the end of the drain, at most, for their statuses to
	 * leave; an eighth of a short one. */
	CUT_EARLY_NS = 500 * 1000000,
};

tako_grpc *tako__grpc_call(const struct tako__exchange *x)
{
	return x->body_fn == tako__grpc_on_body ? x->body_arg : NULL;
}

/* ---- Time ------------------------------------------------------------------------------ */

void tako__grpc_arm(tako_grpc *call)
{
	uint64_t at = call->deadline_ns < call->cut_ns ? call->deadline_ns : call->cut_ns;

	if (call->flags & TAKO__GRPC_FINISHED)
		at = TAKO__NEVER;
	if (call->flags & (TAKO__GRPC_RELEASE | TAKO__GRPC_FEED))
		at = tako__now_ns(call->x->worker);
	tako__timer_set(&call->x->worker->wheel, &call->timer, at);
}

void tako__grpc_kick(tako_grpc *call, uint32_t why)
{
	call->flags |= why;
	tako__grpc_arm(call);
}

/* Whoever was to answer may hold the exchange for long; its connection goes on without it, if nothing of
 * the request is in between (as after a route's timeout). */
static void go_on_without(tako_grpc *call, bool could_say_last)
{
	struct tako__exchange *x = call->x;

	x->flags |= TAKO__X_TIMED_OUT;
	if (x->refs && x->conn && !(x->flags & TAKO__X_GONE) &&
	    (could_say_last || (x->flags & TAKO__X_BODY_DONE)))
		x->proto->leave(x);
}

/* The exchange is running. */
static void cancel(tako_grpc *call, int status, const char *why)
{
	struct tako__exchange *x = call->x;
	bool first = !(x->flags & TAKO__X_HEAD_SENT);

	if (first && !(x->flags & TAKO__X_BODY_DONE))
		x->flags |= TAKO__X_LAST;
	(void)tako__grpc_end(call, status, tako_str_z(why));
	if (call->m->cfg.on_cancel)
		call->m->cfg.on_cancel(call, call->m->arg);
	go_on_without(call, first);
}

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	tako_grpc *call = TAKO__CONTAINER(t, tako_grpc, timer);
	struct tako__exchange *x = call->x;
	uint32_t due = call->flags & (TAKO__GRPC_RELEASE | TAKO__GRPC_FEED);

	if (x->conn)
		tako__conn_touch(x->conn);
	x->flags |= TAKO__X_RUNNING;
	call->flags &= ~due;
	if (due & TAKO__GRPC_RELEASE)
		x->refs--;
	if (due & TAKO__GRPC_FEED)
		tako__grpc_feed(call);
	if (!(call->flags & TAKO__GRPC_FINISHED)) {
		if (now_ns >= call->deadline_ns)
			cancel(call, TAKO_GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
		else if (now_ns >= call->cut_ns)
			cancel(call, TAKO_GRPC_CANCELLED, "the server stops");
	}
	tako__grpc_arm(call);
	tako__exchange_settle(x, 0);
}

static void cut_in_time(tako_grpc *call)
{
	struct tako__worker *w = call->x->worker;
	uint32_t drain_ms = atomic_load(&w->srv->drain_ms);
	uint64_t drain_ns = (uint64_t)drain_ms * 1000000;
	uint64_t early = drain_ns / 8 < CUT_EARLY_NS ? drain_ns / 8 : CUT_EARLY_NS;

	if (drain_ms == TAKO_OFF)
		return;
	call->cut_ns = tako__now_ns(w) + drain_ns - early;
	if (tako__grpc_hook(call) == 0)
		tako__grpc_arm(call);
}

static void on_stop(tako_res *res, void *arg)
{
	tako_grpc *call = arg;

	(void)res;
	if (call->flags & TAKO__GRPC_FINISHED)
		return;
	cut_in_time(call);
	if (call->m->cfg.on_stop)
		call->m->cfg.on_stop(call, call->m->arg);
}

/* ---- The end ------------------------------------------------------------------------------ */

void tako__grpc_over(tako_grpc *call, int status)
{
	struct tako__exchange *x = call->x;

	call->flags |= TAKO__GRPC_FINISHED;
	call->status = status;
	call->drain_fn = NULL;
	if (call->flags & TAKO__GRPC_HELD) {
		call->flags &= ~TAKO__GRPC_HELD;
		if (x->flags & TAKO__X_RUNNING)
			x->refs--;
		else
			call->flags |= TAKO__GRPC_RELEASE;
	}
	if (call->flags & TAKO__GRPC_HOOKED)
		tako__grpc_arm(call);
}

/* The client has gone, or has closed its side and reads no more.  The exchange is running. */
static void on_abort(tako_res *res, void *arg)
{
	tako_grpc *call = arg;

	if (call->flags & TAKO__GRPC_FINISHED)
		return;
	if (!(tako__x(res)->flags & TAKO__X_GONE)) {
		cancel(call, TAKO_GRPC_CANCELLED, "the client has left");
		return;
	}
	tako__grpc_over(call, TAKO_GRPC_CANCELLED);
	if (call->m->cfg.on_cancel)
		call->m->cfg.on_cancel(call, call->m->arg);
}

static void on_end(tako_req *req, int err, void *arg)
{
	tako_grpc *call = arg;
	struct tako__exchange *x = tako__x(req);

	(void)err;
	if (call->status < 0)
		call->status = TAKO_GRPC_UNKNOWN;
	call->flags |= TAKO__GRPC_FINISHED;
	tako__timer_clear(&x->worker->wheel, &call->timer);
	if (call->m->cfg.on_close)
		call->m->cfg.on_close(call, call->m->arg);
	tako__grpc_reader_fini(&call->in);
	tako__free(call->waiting, call->waiting_cap);
}

int tako__grpc_hook(tako_grpc *call)
{
	int rc;

	if (call->flags & TAKO__GRPC_HOOKED)
		return 0;
	rc = tako_res_on_end(tako__res(call->x), on_end, call);
	if (rc == 0)
		call->flags |= TAKO__GRPC_HOOKED;
	return rc;
}

/* ---- The beginning ------------------------------------------------------------------------- */

/* The usual ones need no copy, and lead to the same place each time. */
static tako_str response_type(struct tako__exchange *x, tako_str type)
{
	static const char *const known[] = {
		"application/grpc+proto",          "application/grpc-web+proto",
		"application/grpc-web-text+proto", "application/grpc-web",
		"application/grpc-web-text",       tako__grpc_plain_type,
	};
	char *own;

	if (TAKO__LIKELY(type.p == tako__grpc_plain_type))
		return type;
	for (size_t i = 0; i < TAKO__COUNT(known); i++) {
		if (type.n == strlen(known[i]) && !memcmp(type.p, known[i], type.n))
			return (tako_str){known[i], type.n};
	}
	own = tako__arena_strndup(&x->arena, type.p, type.n);
	return own ? (tako_str){own, type.n} : tako_str_z(tako__grpc_plain_type);
}

tako_str tako__grpc_type(struct tako__exchange *x, const struct tako__grpc_request *r)
{
	return r->form == TAKO__GRPC_NOT ? TAKO_STR("application/grpc") : response_type(x, r->type);
}

static uint8_t choose_coding(const struct tako__grpc_method *m, unsigned accepts)
{
	unsigned both = m->cfg.compress & accepts;

	return (uint8_t)(both & TAKO_GRPC_GZIP ? TAKO_GRPC_GZIP : both);
}

static tako_grpc *new_call(struct tako__exchange *x, const struct tako__grpc_method *m,
                           const struct tako__grpc_request *r)
{
	tako_grpc *call = tako__arena_alloc(&x->arena, sizeof *call);

	if (!call)
		return NULL;
	tako__clear(call, offsetof(tako_grpc, timer));
	call->x = x;
	call->m = m;
	call->status = -1;
	call->form_in = (uint8_t)r->form;
	call->form_out = (uint8_t)r->answer;
	call->coding_in = r->coding;
	call->coding_out = m->cfg.compress ? choose_coding(m, r->accepts) : 0;
	call->type = response_type(x, r->type);
	call->deadline_ns = TAKO__NEVER;
	call->cut_ns = TAKO__NEVER;
	tako__timer_init(&call->timer, on_timer);
	return call;
}

static int set_deadline(tako_grpc *call, const struct tako__grpc_request *r)
{
	uint64_t now = tako__now_ns(call->x->worker);
	uint64_t most = (uint64_t)call->m->cfg.max_timeout_ms * 1000000;
	uint64_t ns = r->has_timeout ? r->timeout_ns : UINT64_MAX;
	int rc;

	if (most && ns > most)
		ns = most;
	if (ns >= UINT64_MAX - now)
		return 0;
	call->deadline_ns = now + ns;
	rc = tako__grpc_hook(call);
	if (rc == 0)
		tako__grpc_arm(call);
	return rc;
}

static int refuse(struct tako__exchange *x, int status, const char *why)
{
	return tako__grpc_only(x, status, tako_str_z(why), (tako_str){NULL, 0},
	                       (tako_str){NULL, 0});
}

/* 0: it may begin; 1: it was answered. */
static int check(struct tako__exchange *x, const struct tako__grpc_method *m,
                 const struct tako__grpc_request *r)
{
	int rc = 0;

	if (TAKO__UNLIKELY(r->form == TAKO__GRPC_NOT || (r->form != TAKO__GRPC_PLAIN && !m->web))) {
		rc = tako_res_error(tako__res(x), 415);
		return rc < 0 ? rc : 1;
	}
	/* gRPC-Web has its own: "support any HTTP". */
	if (TAKO__UNLIKELY(x->version < 11 && r->answer == TAKO__GRPC_PLAIN))
		rc = refuse(x, TAKO_GRPC_UNIMPLEMENTED, "HTTP/1.0 has no trailers");
	else if (TAKO__UNLIKELY(r->bad != NULL))
		rc = refuse(x, TAKO_GRPC_INTERNAL, r->bad);
	else if (TAKO__UNLIKELY(r->coding == TAKO__GRPC_UNKNOWN_CODING))
		rc = refuse(x, TAKO_GRPC_UNIMPLEMENTED, "unknown grpc-encoding");
	else if (TAKO__UNLIKELY(r->has_timeout && !r->timeout_ns))
		rc = refuse(x, TAKO_GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
	else
		return 0;
	return rc < 0 ? rc : 1;
}

/* A stream is a conversation, for as long as it takes. */
static int open_stream(tako_grpc *call)
{
	int rc = tako__grpc_hook(call);

	if (rc < 0)
		return rc;
	tako__exchange_ref(call->x);
	call->flags |= TAKO__GRPC_HELD;
	if (!tako__grpc_takes_one(call))
		call->x->flags |= TAKO__X_LASTING;
	return 0;
}

/* Beside what the user of its exchange may have asked to be told. */
static int watch_client(tako_grpc *call)
{
	struct tako__exchange *x = call->x;

	/* Too late to be told by the event itself. */
	if (x->flags & TAKO__X_HALF_CLOSED)
		return tako_res_after(tako__res(x), 0, on_abort, call);
	x->lost_fn = on_abort;
	x->lost_arg = call;
	return 0;
}

static int begin(tako_grpc *call, const struct tako__grpc_request *r)
{
	struct tako__exchange *x = call->x;
	int rc = tako_req_on_body(tako__req(x), tako__grpc_on_body, call);

	if (rc == 0)
		rc = watch_client(call);
	if (rc == 0 && call->m->cfg.on_close)
		rc = tako__grpc_hook(call);
	if (rc == 0 && call->m->kind != TAKO_GRPC_UNARY)
		rc = open_stream(call);
	if (rc == 0 && (r->has_timeout || call->m->cfg.max_timeout_ms))
		rc = set_deadline(call, r);
	if (rc < 0) {
		(void)tako__grpc_end(call, tako__grpc_status_of_error(rc), (tako_str){NULL, 0});
		return 0;
	}
	x->stop_fn = on_stop;
	x->stop_arg = call;
	/* Its connection was told of that before, and will not be again. */
	if (TAKO__UNLIKELY(x->worker->state != TAKO__SERVING))
		cut_in_time(call);
	if (call->m->cfg.on_open)
		tako__grpc_returned(call, call->m->cfg.on_open(call, call->m->arg));
	return 0;
}

int tako__grpc_serve(tako_req *req, tako_res *res, void *arg)
{
	const struct tako__grpc_method *m = arg;
	struct tako__exchange *x = tako__x(res);
	struct tako__grpc_request r;
	tako_grpc *call;
	int rc;

	(void)req;
	tako__head_keep(x);
	tako__grpc_request(&r, x->fields, x->field_count);
	rc = check(x, m, &r);
	if (rc)
		return rc < 0 ? rc : 0;
	call = new_call(x, m, &r);
	return call ? begin(call, &r) : TAKO_ENOMEM;
}

/* ---- What its user sees ------------------------------------------------------------------------ */

tako_req *tako_grpc_req(tako_grpc *call)
{
	return tako__req(call->x);
}

tako_res *tako_grpc_res(tako_grpc *call)
{
	return tako__res(call->x);
}

tako_grpc *tako_grpc_of(tako_res *res)
{
	return tako__grpc_call(tako__x(res));
}

bool tako_grpc_is_open(const tako_grpc *call)
{
	return !(call->flags & TAKO__GRPC_FINISHED) &&
	       !(call->x->flags & (TAKO__X_GONE | TAKO__X_TIMED_OUT));
}

uint64_t tako_grpc_timeout_ms(const tako_grpc *call)
{
	uint64_t now = tako__now_ns(call->x->worker);

	if (call->deadline_ns == TAKO__NEVER)
		return TAKO_OFF64;
	return call->deadline_ns > now ? (call->deadline_ns - now) / 1000000 : 0;
}

bool tako_grpc_was_compressed(const tako_grpc *call)
{
	return call->flags & TAKO__GRPC_SQUEEZED;
}

void tako_grpc_compress(tako_grpc *call, bool on)
{
	if (on)
		call->flags &= ~TAKO__GRPC_PLAINLY;
	else
		call->flags |= TAKO__GRPC_PLAINLY;
}

/* SPDX-License-Identifier: MIT
 *
 * A stream of events: an exchange whose response goes on.  Decides who may write and when it ends;
 * knows no HTTP version, and of the format only what is in sse_format.h.
 *
 * It holds a reference to its exchange, so that neither dies under whoever calls, and lets go of it
 * from a callback of its own: when the exchange has lost its client, or from its timer.
 */
#include "transports/sse/sse_int.h"

#include "core/res.h"
#include "core/server.h"
#include "core/value.h"
#include "transports/sse/sse_format.h"

enum {
	QUEUE_BYTES = 64 << 10,
	QUEUE_BYTES_LEAST = 1 << 10,
	KEEPALIVE_MS = 15000,
	STACK_BYTES = 1024, /* events up to this size need no allocation */
};

/* ---- The end ----------------------------------------------------------------------------- */

void tako__sse_drop(tako_sse *sse)
{
	if (atomic_fetch_sub_explicit(&sse->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&sse->lock);
	tako__free(sse, sizeof *sse);
}

/* From here on other threads post nothing, and the worker may go. */
static void shut_post(tako_sse *sse)
{
	pthread_mutex_lock(&sse->lock);
	sse->to = NULL;
	pthread_mutex_unlock(&sse->lock);
}

static void leave(tako_sse *sse, int err)
{
	sse->state = TAKO__SSE_ENDING;
	sse->err = err;
	shut_post(sse);
	tako__sse_unsubscribe_all(sse);
}

void tako__sse_end(tako_sse *sse, int err)
{
	struct tako__exchange *x = sse->x;

	if (sse->state != TAKO__SSE_OPEN)
		return;
	leave(sse, err);
	if (x->conn)
		tako__conn_touch(x->conn);
	if (err < 0)
		tako__exchange_stop(x, err);
	else
		(void)tako_res_end(tako__res(x)); /* what fails there cuts it */
	/* Whoever called may be inside this exchange, or hold `sse` for a line more. */
	tako__timer_set(&x->worker->wheel, &sse->timer, tako__now_ns(x->worker));
}

/* The last that its user hears of it; then the exchange may end. */
static void over(tako_sse *sse)
{
	/* Others may keep the exchange for longer. */
	sse->x->lost_fn = NULL;
	sse->x->stop_fn = NULL;
	sse->state = TAKO__SSE_OVER;
	if (sse->cfg.on_close)
		sse->cfg.on_close(sse, sse->err, sse->arg);
	/* What is lent to the connection is part of it. */
	if (!sse->lent)
		tako__sse_drop(sse);
}

static void end_deserted(tako_sse *sse)
{
	struct tako__exchange *x = sse->x;

	leave(sse, TAKO_ECLOSED);
	if (!(x->flags & (TAKO__X_GONE | TAKO__X_ENDED)))
		(void)tako_res_end(tako__res(x));
}

/* The client has gone, or has closed its side and reads no more.  The exchange is running, and looks
 * when it is through whether it is over. */
static void on_lost(tako_res *res, void *arg)
{
	tako_sse *sse = arg;
	struct tako__exchange *x = tako__x(res);

	if (sse->state != TAKO__SSE_OPEN)
		return;
	end_deserted(sse);
	tako__timer_clear(&x->worker->wheel, &sse->timer);
	over(sse);
	x->refs--;
}

static void on_stop(tako_res *res, void *arg)
{
	(void)res;
	tako__sse_end(arg, 0);
}

/* ---- Writing ------------------------------------------------------------------------------- */

static int64_t too_slow(tako_sse *sse, uint64_t queued)
{
	int policy = (int)sse->cfg.slow_policy;

	if (sse->cfg.on_slow)
		policy = sse->cfg.on_slow(sse, queued, sse->arg);
	if (policy == TAKO_SSE_SLOW_DROP) {
		sse->dropped++;
		return tako__fail(TAKO_EBUSY, "the client is %llu bytes behind",
		                  (unsigned long long)queued);
	}
	tako__sse_end(sse, TAKO_ETOOBIG);
	return tako__fail(TAKO_ETOOBIG, "the client was %llu bytes behind",
	                  (unsigned long long)queued);
}

int64_t tako__sse_put(tako_sse *sse, const char *p, size_t n)
{
	struct tako__exchange *x = sse->x;
	uint64_t queued;
	int64_t rc;

	if (sse->state != TAKO__SSE_OPEN)
		return tako__fail(TAKO_ECLOSED, "the stream of events has ended");
	if (n > sse->limit_bytes)
		return tako__fail(TAKO_ETOOBIG, "an event of %zu bytes is over max_queue_bytes", n);
	queued = tako_res_unsent(tako__res(x));
	if (queued > sse->limit_bytes - n)
		return too_slow(sse, queued);
	if (x->conn)
		tako__conn_touch(x->conn);
	rc = tako_res_write(tako__res(x), (tako_str){p, n}, NULL, NULL);
	if (rc < 0)
		tako__sse_end(sse, (int)rc);
	else
		sse->sent_ns = tako__now_ns(x->worker);
	return rc;
}

int64_t tako_sse_send(tako_sse *sse, const tako_sse_event *event)
{
	char small[STACK_BYTES];
	char *to = small;
	tako_sse_event ev;
	size_t bound;
	int64_t rc = tako__sse_event_import(&ev, event);

	if (rc < 0)
		return rc;
	bound = tako__sse_event_bound(&ev);
	if (bound > sizeof small)
		to = tako__alloc(bound);
	if (!to)
		return tako__fail(TAKO_ENOMEM, "event: out of memory");
	rc = tako__sse_put(sse, to, tako__sse_event_write(to, &ev));
	if (to != small)
		tako__free(to, bound);
	return rc;
}

int64_t tako_sse_comment(tako_sse *sse, tako_str text)
{
	char small[STACK_BYTES];
	size_t bound = tako__sse_comment_bound(text);
	char *to = bound > sizeof small ? tako__alloc(bound) : small;
	int64_t rc;

	if (!to)
		return tako__fail(TAKO_ENOMEM, "comment: out of memory");
	rc = tako__sse_put(sse, to, tako__sse_comment_write(to, text));
	if (to != small)
		tako__free(to, bound);
	return rc;
}

void tako_sse_close(tako_sse *sse)
{
	tako__sse_end(sse, 0);
}

/* ---- Time ------------------------------------------------------------------------------------ */

/* Events put it off by a store: it fires at the old time, looks, and sleeps on. */
static void keep_alive(tako_sse *sse, uint64_t now_ns)
{
	static const char comment[] = ":\n\n";
	struct tako__exchange *x = sse->x;

	if (now_ns - sse->sent_ns >= sse->interval_ns) {
		/* One that has not taken what there is needs no more of it. */
		if (!tako_res_unsent(tako__res(x)))
			(void)tako__sse_put(sse, comment, sizeof(comment) - 1);
		else if (x->conn)
			tako__conn_touch(x->conn); /* whose write_timeout_ms it is */
		sse->sent_ns = now_ns;
	}
	if (sse->state == TAKO__SSE_OPEN)
		tako__timer_set(&x->worker->wheel, &sse->timer, sse->sent_ns + sse->interval_ns);
}

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	tako_sse *sse = TAKO__CONTAINER(t, tako_sse, timer);
	struct tako__exchange *x = sse->x;

	if (sse->state == TAKO__SSE_OPEN && !(x->flags & TAKO__X_HALF_CLOSED)) {
		keep_alive(sse, now_ns);
		return;
	}
	if (x->conn)
		tako__conn_touch(x->conn);
	x->flags |= TAKO__X_RUNNING;
	if (sse->state == TAKO__SSE_OPEN)
		end_deserted(sse);
	over(sse);
	x->refs--;
	tako__exchange_settle(x, 0);
}

/* ---- The beginning --------------------------------------------------------------------------- */

static int import(tako_sse_config *out, const tako_sse_config *cfg)
{
	int rc = tako__import(out, sizeof *out, cfg, sizeof *out, "tako_sse_config");

	if (rc < 0)
		return rc;
	if (out->slow_policy > TAKO_SSE_SLOW_DROP)
		return tako__fail(TAKO_EINVAL, "tako_sse_config: slow_policy is %u",
		                  out->slow_policy);
	if (out->max_queue_bytes && out->max_queue_bytes < QUEUE_BYTES_LEAST)
		return tako__fail(TAKO_EINVAL, "tako_sse_config: max_queue_bytes is under %d",
		                  QUEUE_BYTES_LEAST);
	if (!out->max_queue_bytes)
		out->max_queue_bytes = QUEUE_BYTES;
	if (!out->keepalive_ms)
		out->keepalive_ms = KEEPALIVE_MS;
	return 0;
}

/* The most specific range decides (RFC 9110 section 12.5.1). */
static bool accepts(tako_str accept)
{
	static const char *const ranges[] = {"text/event-stream", "text/*", "*/*"};

	if (!accept.p || !accept.n)
		return true;
	for (size_t i = 0; i < TAKO__COUNT(ranges); i++) {
		int q = tako__list_quality(accept, tako_str_z(ranges[i]));

		if (q >= 0)
			return q > 0;
	}
	return false;
}

static int check(tako_req *req, const tako_res *res)
{
	struct tako__exchange *x = tako__x(res);
	int rc = tako__res_answerable(x);

	if (rc < 0)
		return rc;
	if (x->flags & (TAKO__X_HAS_TYPE | TAKO__X_LENGTH_SET))
		return tako__fail(TAKO_EINVAL,
		                  "a stream of events has its own Content-Type and no length");
	/* To browsers anything else is a failure for good, whatever follows. */
	if (x->status != 200)
		return tako__fail(TAKO_EINVAL, "a stream of events with status %d", x->status);
	if (accepts(tako_req_header_all(req, "Accept")))
		return 0;
	(void)tako_res_error(tako__res(x), 406);
	return tako__fail(TAKO_ENOTSUP, "the request does not accept text/event-stream");
}

static int add_fields(struct tako__exchange *x)
{
	static const char *const fields[][2] = {
		{"Content-Type", "text/event-stream"},
		{"Cache-Control", "no-store"},
		/* nginx, and who does as it does, would collect events before they are passed on. */
		{"X-Accel-Buffering", "no"},
	};

	for (size_t i = 0; i < TAKO__COUNT(fields); i++) {
		tako_str name = tako_str_z(fields[i][0]);
		int rc = 0;

		if (!tako__field_find(x->res_fields, x->res_field_count, name.p, name.n))
			rc = tako__exchange_add_field(x, name, tako_str_z(fields[i][1]));
		if (rc < 0)
			return rc;
	}
	return 0;
}

static tako_sse *new_stream(struct tako__exchange *x, const tako_sse_config *cfg, void *arg)
{
	tako_sse *sse = tako__zalloc(sizeof *sse);

	if (!sse)
		return NULL;
	tako__list_init(&sse->subs);
	sse->x = x;
	sse->cfg = *cfg;
	sse->arg = arg;
	sse->limit_bytes = cfg->max_queue_bytes;
	sse->interval_ns = cfg->keepalive_ms == TAKO_OFF ? UINT64_MAX
	                                                 : (uint64_t)cfg->keepalive_ms * 1000000;
	sse->last_id = tako_req_header(tako__req(x), "Last-Event-ID");
	if (!sse->last_id.n || !tako__sse_id_ok(sse->last_id))
		sse->last_id = (tako_str){NULL, 0};
	atomic_init(&sse->refs, 1);
	pthread_mutex_init(&sse->lock, NULL);
	sse->to = x->worker;
	tako__timer_init(&sse->timer, on_timer);
	return sse;
}

/* The head leaves, and the exchange is kept. */
static int begin(tako_sse *sse)
{
	struct tako__exchange *x = sse->x;
	int64_t rc;

	if (x->conn)
		tako__conn_touch(x->conn);
	rc = tako_res_write(tako__res(x), (tako_str){"", 0}, NULL, NULL);
	if (rc < 0)
		return (int)rc;
	/* Beside what the user of the exchange may have asked to be told. */
	x->lost_fn = on_lost;
	x->lost_arg = sse;
	tako__exchange_ref(x);
	return 0;
}

static void open_up(tako_sse *sse)
{
	struct tako__exchange *x = sse->x;

	if (x->flags & TAKO__X_HEAD_ONLY) {
		tako__sse_end(sse, 0);
		return;
	}
	x->stop_fn = on_stop;
	x->stop_arg = sse;
	sse->sent_ns = tako__now_ns(x->worker);
	if (x->flags & TAKO__X_HALF_CLOSED) /* too late to be told by the event itself */
		tako__timer_set(&x->worker->wheel, &sse->timer, sse->sent_ns);
	else if (sse->interval_ns != UINT64_MAX)
		tako__timer_set(&x->worker->wheel, &sse->timer, sse->sent_ns + sse->interval_ns);
	if (sse->cfg.on_open)
		sse->cfg.on_open(sse, sse->last_id, sse->arg);
	/* Its connection was told of that before, and will not be again. */
	if (x->worker->state != TAKO__SERVING)
		tako__sse_end(sse, 0);
}

int tako_sse_start(tako_req *req, tako_res *res, const tako_sse_config *cfg, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	tako_sse_config c;
	tako_sse *sse;
	int rc = import(&c, cfg);

	if (rc == 0)
		rc = check(req, res);
	if (rc == 0)
		rc = add_fields(x);
	if (rc < 0)
		return rc;
	sse = new_stream(x, &c, arg);
	if (!sse)
		return tako__fail(TAKO_ENOMEM, "stream of events: out of memory");
	rc = begin(sse);
	if (rc == 0)
		open_up(sse);
	else
		tako__sse_drop(sse);
	return rc;
}

tako_str tako_sse_last_id(const tako_sse *sse)
{
	return sse->last_id;
}

uint64_t tako_sse_unsent(const tako_sse *sse)
{
	return sse->state == TAKO__SSE_OPEN ? tako_res_unsent(tako__res(sse->x)) : 0;
}

uint64_t tako_sse_dropped(const tako_sse *sse)
{
	return sse->dropped;
}

/* SPDX-License-Identifier: MIT
 *
 * Exchanges that outlive their handler: handles for other threads, timers, and jobs on the
 * pool.  Each holds a reference to its exchange, which therefore stays valid, if closed,
 * after its peer has left.
 */
#include "core/exchange.h"
#include "core/head.h"
#include "core/offload.h"
#include "core/server.h"
#include "core/worker.h"

static void run(struct tako__exchange *x, tako_res_fn fn, void *arg)
{
	x->flags |= TAKO__X_RUNNING;
	if (fn)
		fn(tako__res(x), arg);
	tako__exchange_settle(x, 0);
}

static void touch(struct tako__exchange *x)
{
	if (x->conn)
		tako__conn_touch(x->conn);
}

/* ---- Deferral ---------------------------------------------------------------------- */

struct tako_deferred {
	struct tako__mail done; /* part of the handle, so that giving it back cannot fail */
	struct tako__worker *worker;
	struct tako__exchange *x;
};

struct posted {
	struct tako__mail mail;
	struct tako__exchange *x;
	tako_res_fn fn;
	void *arg;
};

static void on_posted(struct tako__mail *m)
{
	struct posted p = *TAKO__CONTAINER(m, struct posted, mail);

	tako__free(TAKO__CONTAINER(m, struct posted, mail), sizeof p);
	touch(p.x);
	/* The handle's own reference keeps x until its done mail, which comes later. */
	run(p.x, p.fn, p.arg);
}

static void on_done(struct tako__mail *m)
{
	struct tako_deferred *d = TAKO__CONTAINER(m, struct tako_deferred, done);
	struct tako__exchange *x = d->x;

	tako__free(d, sizeof *d);
	touch(x);
	tako__exchange_unref(x);
}

tako_deferred *tako_res_defer(tako_res *res)
{
	struct tako__exchange *x = tako__x(res);
	tako_deferred *d;

	if (x->flags & TAKO__X_OVER)
		return NULL;
	d = tako__alloc(sizeof *d);
	if (!d) {
		tako__fail(TAKO_ENOMEM, "deferral: out of memory");
		return NULL;
	}
	*d = (tako_deferred){.done = {.fn = on_done}, .worker = x->worker, .x = x};
	tako__head_keep(x);
	tako__exchange_ref(x);
	return d;
}

int tako_deferred_post(tako_deferred *d, tako_res_fn fn, void *arg)
{
	struct posted *p = tako__alloc(sizeof *p);

	if (!p)
		return tako__fail(TAKO_ENOMEM, "deferred post: out of memory");
	*p = (struct posted){.mail = {.fn = on_posted}, .x = d->x, .fn = fn, .arg = arg};
	tako__worker_post(d->worker, &p->mail);
	return 0;
}

void tako_deferred_done(tako_deferred *d)
{
	tako__worker_post(d->worker, &d->done);
}

/* ---- Timers --------------------------------------------------------------------------- */

struct tako__after_timer {
	struct tako__timer timer;
	struct tako__after_timer *next;
	struct tako__exchange *x;
	tako_res_fn fn;
	void *arg;
};

static void unlink_timer(struct tako__after_timer *t)
{
	struct tako__after_timer **at = &t->x->timers;

	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
}

static void on_after(struct tako__timer *timer, uint64_t now_ns)
{
	struct tako__after_timer *t = TAKO__CONTAINER(timer, struct tako__after_timer, timer);
	struct tako__exchange *x = t->x;

	(void)now_ns;
	unlink_timer(t);
	touch(x);
	x->refs--;
	run(x, t->fn, t->arg);
}

static struct tako__after_timer *new_timer(struct tako__exchange *x, tako_res_fn fn, void *arg)
{
	struct tako__after_timer *t = tako__arena_alloc(&x->arena, sizeof *t);

	if (!t) {
		tako__fail(TAKO_ENOMEM, "timer: out of memory");
		return NULL;
	}
	t->x = x;
	t->next = NULL;
	t->fn = fn;
	t->arg = arg;
	return t;
}

int tako_res_after(tako_res *res, uint32_t delay_ms, tako_res_fn fn, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	struct tako__after_timer *t;

	if (x->flags & TAKO__X_OVER)
		return tako__fail(TAKO_ESTATE, "the exchange is over");
	t = new_timer(x, fn, arg);
	if (!t)
		return TAKO_ENOMEM;
	tako__timer_init(&t->timer, on_after);
	t->next = x->timers;
	x->timers = t;
	tako__exchange_ref(x);
	/* A peer that has left already leaves nothing to wait for. */
	if (x->flags & TAKO__X_GONE)
		delay_ms = 0;
	tako__timer_set(&x->worker->wheel, &t->timer,
	                tako__now_ns(x->worker) + (uint64_t)delay_ms * 1000000);
	return 0;
}

/* Called with the exchange running. */
void tako__after_fire_all(struct tako__exchange *x)
{
	struct tako__after_timer *t = x->timers;

	/* Taken as a whole: what these callbacks start anew waits for its own time. */
	x->timers = NULL;
	while (t) {
		struct tako__after_timer *next = t->next;

		tako__timer_clear(&x->worker->wheel, &t->timer);
		x->refs--;
		t->fn(tako__res(x), t->arg);
		t = next;
	}
}

void tako__after_clear(struct tako__exchange *x)
{
	if (x->timeout)
		tako__timer_clear(&x->worker->wheel, &x->timeout->timer);
}

static void on_timeout(struct tako__timer *timer, uint64_t now_ns)
{
	struct tako__after_timer *t = TAKO__CONTAINER(timer, struct tako__after_timer, timer);
	struct tako__exchange *x = t->x;

	(void)now_ns;
	if (x->flags & (TAKO__X_HEAD_SENT | TAKO__X_ENDED | TAKO__X_GONE))
		return;
	tako__add(&x->worker->stats.timeouts, 1);
	touch(x);
	/* Whoever was to answer may hold the exchange for long; the connection goes on without it,
	 * if there is no body in between. */
	x->flags |= TAKO__X_RUNNING;
	if (x->refs && !(x->flags & TAKO__X_BODY_DONE))
		x->flags |= TAKO__X_LAST;
	tako__exchange_error(x, 503);
	x->flags |= TAKO__X_TIMED_OUT;
	if (x->refs && x->conn && !(x->flags & TAKO__X_GONE))
		x->proto->leave(x);
	tako__exchange_settle(x, 0);
}

int tako__after_timeout(struct tako__exchange *x, uint32_t timeout_ms)
{
	if (timeout_ms == TAKO_OFF)
		return 0;
	x->timeout = new_timer(x, NULL, NULL);
	if (!x->timeout)
		return TAKO_ENOMEM;
	tako__timer_init(&x->timeout->timer, on_timeout);
	tako__timer_set(&x->worker->wheel, &x->timeout->timer,
	                tako__now_ns(x->worker) + (uint64_t)timeout_ms * 1000000);
	return 0;
}

/* ---- The pool ---------------------------------------------------------------------------- */

struct offloaded {
	struct tako__job job;
	struct tako__mail mail;
	struct tako__exchange *x;
	tako_res_fn fn;
	void (*work)(void *arg);
	void *arg;
};

static void on_offloaded(struct tako__mail *m)
{
	struct offloaded o = *TAKO__CONTAINER(m, struct offloaded, mail);

	tako__free(TAKO__CONTAINER(m, struct offloaded, mail), sizeof o);
	o.x->worker->offload_count--;
	touch(o.x);
	o.x->refs--;
	run(o.x, o.fn, o.arg);
}

static void do_work(struct tako__job *job)
{
	struct offloaded *o = TAKO__CONTAINER(job, struct offloaded, job);

	o->work(o->arg);
	tako__worker_post(o->x->worker, &o->mail);
}

int tako_offload(tako_res *res, void (*work)(void *arg), tako_res_fn fn, void *arg)
{
	struct tako__exchange *x = tako__x(res);
	struct offloaded *o;
	int rc;

	if (x->flags & TAKO__X_OVER)
		return tako__fail(TAKO_ESTATE, "the exchange is over");
	o = tako__alloc(sizeof *o);
	if (!o)
		return tako__fail(TAKO_ENOMEM, "offload: out of memory");
	*o = (struct offloaded){.job = {.run = do_work},
	                        .mail = {.fn = on_offloaded},
	                        .x = x,
	                        .fn = fn,
	                        .work = work,
	                        .arg = arg};
	/* Before another thread can be looking at it. */
	tako__head_keep(x);
	tako__exchange_ref(x);
	x->worker->offload_count++;
	rc = tako__offload_submit(x->worker->srv->offload, &o->job);
	if (rc < 0) {
		x->worker->offload_count--;
		x->refs--;
		tako__free(o, sizeof *o);
	}
	return rc;
}

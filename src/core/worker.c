/* SPDX-License-Identifier: MIT
 *
 * A worker's turns and its end.  The order within a turn is the contract: the runtime
 * delivers, then timers, then mail, then whatever those wrote is flushed, and nothing
 * sleeps while any of it has work left.
 */
#include "core/worker.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/date.h"
#include "core/dial.h"
#include "core/log.h"
#include "core/notify.h"
#include "core/server.h"

enum {
	CONNS_KEPT = 256, /* free blocks a worker keeps for the next burst */
	OUTS_KEPT = 64,
	EXCHANGES_KEPT = 256,
	COMMON_BYTES = 256,
	/* After everything is cut, how long to wait for deferrals that have not been told done. */
	STRAGGLER_NS = 1000000000,
	/* How long a runtime may take to let go of what was closed: a second. */
	CLOSE_TURNS_MAX = 1000,
	CLOSE_TURN_NS = 1000000,
};

#define NO_CALLERS (UINT32_C(1) << 31)

/* ---- Init -------------------------------------------------------------------------------- */

int tako__worker_init(struct tako__worker *w, struct tako_server *srv, unsigned index)
{
	size_t fields = srv->cfg.max_header_count * sizeof(struct tako__field);

	memset(w, 0, sizeof *w);
	w->srv = srv;
	w->index = index;
	w->spare_fd = -1;
	atomic_store(&w->callers, NO_CALLERS);
	w->unmatched = tako__table_endpoint(srv->routes, 0);
	tako__list_init(&w->conn_list);
	tako__list_init(&w->dials);
	tako__mailbox_init(&w->mailbox);
	tako__pool_init(&w->conns, sizeof(struct tako__conn), CONNS_KEPT);
	tako__pool_init(&w->outs, TAKO__OUT_BYTES, OUTS_KEPT);
	tako__pool_init(&w->exchanges, TAKO__EXCHANGE_BYTES, EXCHANGES_KEPT);
	w->fields = tako__alloc(fields);
	w->common = tako__alloc(COMMON_BYTES);
	if (!w->fields || !w->common ||
	    tako__stats_init(&w->stats, tako__table_count(srv->routes)) < 0)
		return tako__fail(TAKO_ENOMEM, "worker: out of memory");
	if (srv->log)
		w->log = tako__log_ring(srv->log, index);
	return 0;
}

static void read_mail(struct tako__worker *w);

void tako__worker_fini(struct tako__worker *w)
{
	struct tako__worker_local *next;

	/* What came when it had ended already, or before it ever began. */
	read_mail(w);
	for (struct tako__worker_local *l = w->locals; l; l = next) {
		next = l->next;
		l->fini(l);
	}
	w->locals = NULL;
	tako__pool_fini(&w->conns);
	tako__pool_fini(&w->outs);
	tako__pool_fini(&w->exchanges);
	tako__alarms_fini(&w->alarms);
	tako__free(w->fields, w->srv->cfg.max_header_count * sizeof(struct tako__field));
	tako__free(w->common, COMMON_BYTES);
	tako__free(w->listeners, w->srv->address_count * sizeof *w->listeners);
	tako__stats_fini(&w->stats);
}

/* ---- Open and close ------------------------------------------------------------------------ */

static int open_listeners(struct tako__worker *w)
{
	unsigned count = w->srv->address_count;

	w->listeners = tako__zalloc(count * sizeof *w->listeners);
	if (!w->listeners)
		return tako__fail(TAKO_ENOMEM, "worker: out of memory");
	for (unsigned i = 0; i < count; i++) {
		int rc = tako__listener_open(&w->listeners[i], w, w->srv->addresses[i]);

		if (rc < 0)
			return rc;
		w->listener_count++;
	}
	return 0;
}

static void on_drain_timer(struct tako__timer *t, uint64_t now_ns);

int tako__worker_open(struct tako__worker *w)
{
	struct tako_loop_config cfg = {
		.size = sizeof cfg,
		.recv_buffer_bytes = w->srv->cfg.recv_buffer_bytes,
		.recv_buffer_count = w->srv->cfg.recv_buffer_count,
		.send_max_bytes = w->srv->cfg.send_max_bytes,
	};
	int rc = w->srv->rt->open(&w->loop, &cfg);

	if (rc < 0)
		return rc;
	w->loop->user = w;
	w->state = TAKO__SERVING;
	w->result = 0;
	w->cut_count = 0;
	w->no_dials = false;
	w->stop_seen = 0;
	w->last_call_ns = 0;
	w->date_until_ns = 0;
	tako__wheel_init(&w->wheel, w->loop->now_ns);
	tako__timer_init(&w->drain_timer, on_drain_timer);
	tako__notify_watch(w);
	tako__ticker_init(&w->ticker, w->loop->now_ns, w->loop->now_ticks);
	w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	rc = open_listeners(w);
	atomic_store(&w->wake_loop, w->loop);
	atomic_store(&w->callers, 0);
	return rc;
}

static bool holds_sockets(const struct tako__worker *w)
{
	for (unsigned i = 0; i < w->listener_count; i++) {
		if (w->listeners[i].open)
			return true;
	}
	return w->conn_count > 0;
}

/* Connections without a descriptor of the loop's die as the others do: when nobody is inside them. */
static void bury(struct tako__worker *w)
{
	struct tako_sock *s;

	while ((s = w->dead)) {
		w->dead = s->next;
		s->cb->on_closed(s);
	}
}

/* Connections that the backlog still held, and the listeners themselves.  A runtime may need
 * several turns until the kernel has let go of the last one. */
static void reap_all(struct tako__worker *w)
{
	for (unsigned i = 0; i < CLOSE_TURNS_MAX && holds_sockets(w); i++) {
		TAKO__LIST_EACH(at, &w->conn_list)
		tako__conn_close(TAKO__CONTAINER(at, struct tako__conn, link));
		bury(w);
		if (w->loop->rt->turn(w->loop, i ? w->loop->now_ns + CLOSE_TURN_NS : 0) < 0)
			break;
	}
}

static uint32_t callers_of(const struct tako__worker *w)
{
	return atomic_load(&w->callers) & ~NO_CALLERS;
}

/* Connections that others passed to a worker whose loop broke: on their way is on their way, and
 * whoever sends one is about to have done so. */
static void take_arrivals(struct tako__worker *w)
{
	const struct timespec pause = {.tv_nsec = CLOSE_TURN_NS};

	tako__balance_end(w);
	atomic_fetch_or(&w->callers, NO_CALLERS);
	for (unsigned i = 0; i < CLOSE_TURNS_MAX && (tako__balance_arriving(w) || callers_of(w));
	     i++) {
		if (!tako__mailbox_drain(&w->mailbox))
			nanosleep(&pause, NULL);
	}
}

/* One that could not be closed still uses it. */
static void close_states(struct tako__worker *w)
{
	for (unsigned i = 0; w->listeners && !w->conn_count && i < w->srv->address_count; i++) {
		struct tako__listener *ls = &w->listeners[i];

		if (ls->state)
			ls->transport->close(ls);
		ls->state = NULL;
	}
}

/* What was posted to those that are gone now is its own memory.  Mails post no more than they are,
 * and nobody else posts to a worker without connections. */
static void read_mail(struct tako__worker *w)
{
	for (unsigned i = 0; i < CLOSE_TURNS_MAX && tako__mailbox_drain(&w->mailbox); i++)
		continue;
}

/* From here on nobody wakes it; who is about to has done so before this returns. */
static void hide_loop(struct tako__worker *w)
{
	atomic_store(&w->wake_loop, NULL);
	while (atomic_load(&w->waking))
		sched_yield();
}

/* Only from an opened worker whose connections are gone, or that never ran. */
void tako__worker_close(struct tako__worker *w)
{
	if (!w->loop)
		return;
	tako__notify_unwatch(w);
	for (unsigned i = 0; i < w->listener_count; i++)
		tako__listener_close(&w->listeners[i]);
	tako__dial_cut(w);
	take_arrivals(w);
	reap_all(w);
	close_states(w);
	hide_loop(w);
	read_mail(w);
	if (w->exchange_count || w->offload_count) {
		/* Somebody holds a deferral and may still use it: better to lose this memory. */
		w->srv->leaked = true;
		return;
	}
	w->loop->rt->free(w->loop);
	w->loop = NULL;
	if (w->spare_fd >= 0)
		close(w->spare_fd);
	w->spare_fd = -1;
}

/* ---- Mail --------------------------------------------------------------------------------------- */

void tako__worker_wake(struct tako__worker *w)
{
	struct tako_loop *loop;

	atomic_fetch_add(&w->waking, 1);
	loop = atomic_load(&w->wake_loop);
	if (loop)
		loop->rt->wake(loop);
	atomic_fetch_sub(&w->waking, 1);
}

void tako__worker_post(struct tako__worker *w, struct tako__mail *m)
{
	if (tako__mailbox_post(&w->mailbox, m))
		tako__worker_wake(w);
}

/* Not counted up and down again where it is refused, as in announce() of balance.c. */
static bool announce_call(struct tako__worker *w)
{
	uint32_t n = atomic_load(&w->callers);

	do {
		if (n & NO_CALLERS)
			return false;
	} while (!atomic_compare_exchange_weak(&w->callers, &n, n + 1));
	return true;
}

struct tako__worker *tako__worker_call_at(struct tako_server *srv, uint32_t first)
{
	for (unsigned i = 0; i < srv->worker_count; i++) {
		struct tako__worker *w =
			&srv->workers[(first % srv->worker_count + i) % srv->worker_count];

		if (announce_call(w))
			return w;
	}
	return NULL;
}

struct tako__worker *tako__worker_call(struct tako_server *srv)
{
	return tako__worker_call_at(
		srv, atomic_fetch_add_explicit(&srv->next_caller, 1, memory_order_relaxed));
}

void tako__worker_called(struct tako__worker *w)
{
	atomic_fetch_sub(&w->callers, 1);
}

void tako__worker_uncalled(struct tako__worker *w)
{
	tako__worker_called(w);
	tako__worker_wake(w);
}

/* ---- Drain ---------------------------------------------------------------------------------------- */

static void cut_all(struct tako__worker *w)
{
	tako__dial_cut(w);
	TAKO__LIST_EACH(at, &w->conn_list)
	{
		struct tako__conn *c = TAKO__CONTAINER(at, struct tako__conn, link);

		/* One that lingers has all of its answer. */
		if (!(c->flags & TAKO__CONN_LINGERING)) {
			w->result = TAKO_ETIMEDOUT;
			w->cut_count++;
		}
		tako__conn_close(c);
	}
	/* Those of datagrams that still have something to send. */
	for (unsigned i = 0; i < w->listener_count; i++)
		tako__listener_close(&w->listeners[i]);
	w->cut = true;
	tako__timer_set(&w->wheel, &w->drain_timer, tako__now_ns(w) + STRAGGLER_NS);
}

static void on_drain_timer(struct tako__timer *t, uint64_t now_ns)
{
	struct tako__worker *w = TAKO__CONTAINER(t, struct tako__worker, drain_timer);

	(void)now_ns;
	if (!w->cut) {
		cut_all(w);
		return;
	}
	w->result = TAKO_ETIMEDOUT;
	w->abandoned = true;
}

static void begin_drain(struct tako__worker *w)
{
	uint32_t drain_ms = atomic_load(&w->srv->drain_ms);

	bool handed_over = atomic_load(&w->srv->handed_over);

	w->state = TAKO__DRAINING;
	if (handed_over)
		w->last_call_ns = tako__now_ns(w) +
		                  (uint64_t)atomic_load(&w->srv->last_call_ms) * 1000000;
	else
		tako__notify_stopping(w->srv);
	tako__balance_end(w);
	for (unsigned i = 0; i < w->listener_count; i++)
		tako__listener_close(&w->listeners[i]);
	TAKO__LIST_EACH(at, &w->conn_list)
	{
		struct tako__conn *c = TAKO__CONTAINER(at, struct tako__conn, link);

		/* The descriptor of one that closes may be another's already. */
		if (c->flags & TAKO__CONN_CLOSING)
			continue;
		/* What comes for those without a descriptor of their own is another process's to read. */
		if (handed_over && (c->flags & TAKO__CONN_CARRIED))
			tako__conn_close(c);
		else
			c->proto->drain(c);
	}
	if (drain_ms != TAKO_OFF)
		tako__timer_set(&w->wheel, &w->drain_timer,
		                tako__now_ns(w) + (uint64_t)drain_ms * 1000000);
}

static void look_at_stop(struct tako__worker *w)
{
	uint32_t calls = atomic_load_explicit(&w->srv->stop_calls, memory_order_acquire);

	if (TAKO__LIKELY(calls == w->stop_seen))
		return;
	w->stop_seen = calls;
	/* What a stop begins is timed from now, and a host may have turned the loop last long ago. */
	w->loop->rt->refresh(w->loop);
	if (w->state == TAKO__SERVING)
		begin_drain(w);
	if (calls > 1 && !w->cut)
		cut_all(w);
}

static bool is_over(const struct tako__worker *w)
{
	if (w->state != TAKO__DRAINING)
		return false;
	for (unsigned i = 0; i < w->listener_count; i++) {
		if (w->listeners[i].open)
			return false;
	}
	if (w->conn_count || w->mail_left || tako__balance_arriving(w) ||
	    !tako__list_empty(&w->dials) || callers_of(w))
		return false;
	return w->abandoned || (!w->exchange_count && !w->offload_count);
}

/* ---- A turn ----------------------------------------------------------------------------------------- */

static void kick_dirty(struct tako__worker *w)
{
	struct tako__conn *c;

	while ((c = w->dirty)) {
		w->dirty = c->dirty_next;
		c->flags &= ~TAKO__CONN_DIRTY;
		tako__conn_kick(c);
	}
}

static void resume_held(struct tako__worker *w)
{
	/* Marked before the look: who leaves after it sees the mark and wakes us. */
	atomic_store(&w->over_limit, true);
	for (unsigned i = 0; i < w->listener_count; i++)
		tako__listener_try_resume(&w->listeners[i]);
	if (!w->held_count)
		atomic_store(&w->over_limit, false);
}

uint64_t tako__worker_next(struct tako__worker *w)
{
	uint64_t wheel = tako__wheel_next(&w->wheel);
	uint64_t alarm = tako__alarms_next(&w->alarms);

	return w->mail_left ? 0 : wheel < alarm ? wheel : alarm;
}

int tako__worker_turn(struct tako__worker *w, uint64_t deadline_ns)
{
	uint64_t next;
	int rc;

	/* Before it sleeps: the stop may have come before the loop could be woken. */
	look_at_stop(w);
	kick_dirty(w);
	bury(w);
	next = tako__worker_next(w);
	rc = w->loop->rt->turn(w->loop, next < deadline_ns ? next : deadline_ns);
	if (rc < 0)
		return rc;
	tako__ticker_update(&w->ticker, w->loop->now_ns, w->loop->now_ticks);
	tako__wheel_run(&w->wheel, w->loop->now_ns);
	if (w->alarms.count)
		tako__alarms_run(&w->alarms, w->loop->now_ns);
	w->mail_left = tako__mailbox_drain(&w->mailbox);
	if (TAKO__UNLIKELY(w->held_count))
		resume_held(w);
	look_at_stop(w);
	kick_dirty(w);
	bury(w);
	if (w->timed_count)
		tako__worker_time(w);
	return TAKO__UNLIKELY(is_over(w)) ? 1 : 0;
}

/* ---- Durations ------------------------------------------------------------------------------------------- */

void tako__worker_time(struct tako__worker *w)
{
	uint64_t now = tako__ticks();

	for (unsigned i = 0; i < w->timed_count; i++) {
		struct tako__route_stats *r = &w->stats.routes[w->timed[i].route];
		uint64_t ns = tako__ticker_ns(&w->ticker, now - w->timed[i].start_ticks);

		tako__add(&r->sum_ns, ns * w->timed[i].count);
		tako__add(&r->bucket[tako__hist_bucket(ns)], w->timed[i].count);
	}
	w->timed_count = 0;
}

/* ---- Server and Date ------------------------------------------------------------------------------------ */

tako_str tako__worker_common(struct tako__worker *w)
{
	struct timespec ts;
	const char *server = w->srv->cfg.server_header;
	int n = 0;

	if (TAKO__LIKELY(w->loop->now_ns < w->date_until_ns))
		return (tako_str){w->common, w->common_n};
	clock_gettime(CLOCK_REALTIME, &ts);
	if (server[0])
		n = snprintf(w->common, COMMON_BYTES, "Server: %s\r\n", server);
	n += snprintf(w->common + n, COMMON_BYTES - (size_t)n, "Date: ");
	w->date_off = (uint32_t)n;
	tako__date_format(w->common + n, ts.tv_sec);
	memcpy(w->common + n + TAKO__DATE_BYTES, "\r\n", 2);
	w->common_n = (uint32_t)n + TAKO__DATE_BYTES + 2;
	w->date_until_ns = w->loop->now_ns + (1000000000u - (uint64_t)ts.tv_nsec);
	return (tako_str){w->common, w->common_n};
}

/* SPDX-License-Identifier: MIT
 *
 * Each worker's end of an address (bind.c): accept, its limits, its failures.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "core/local.h"
#include "core/rawed.h"
#include "core/server.h"

/* ---- Accepting --------------------------------------------------------------------------- */

static struct tako__listener *listener_of(struct tako_sock *s)
{
	return TAKO__CONTAINER(s, struct tako__listener, sock);
}

static bool full(const struct tako_server *srv)
{
	return srv->cfg.max_connections != TAKO_OFF &&
	       atomic_load_explicit(&srv->conn_count, memory_order_relaxed) >=
	               srv->cfg.max_connections;
}

/* Take a place for one more.  Counted before it is looked at, so that no two workers get the
 * same one. */
bool tako__listener_reserve(struct tako_server *srv)
{
	uint32_t before = atomic_fetch_add(&srv->conn_count, 1);

	if (srv->cfg.max_connections == TAKO_OFF || before < srv->cfg.max_connections)
		return true;
	atomic_fetch_sub(&srv->conn_count, 1);
	return false;
}

static bool has_room(const struct tako_server *srv)
{
	/* Not at the first one that leaves: pausing and resuming costs a call each. */
	return atomic_load(&srv->conn_count) <=
	       srv->cfg.max_connections - (srv->cfg.max_connections + 9) / 10;
}

static void hold(struct tako__listener *ls)
{
	struct tako__worker *w = ls->worker;

	ls->sock.flags |= TAKO_SOCK_PAUSED;
	ls->over_limit = true;
	w->held_count++;
	atomic_fetch_add(&w->srv->waiting_workers, 1);
	atomic_store(&w->over_limit, true);
	/* Somebody may have left between the check and the mark, and woken nobody. */
	if (has_room(w->srv))
		w->loop->rt->wake(w->loop);
}

static void on_accept(struct tako_sock *s, int fd, const struct sockaddr *from, socklen_t n)
{
	struct tako__listener *ls = listener_of(s);

	ls->backoff_ms = 0;
	/* What a client on a Unix socket calls itself says nothing. */
	if (TAKO__UNLIKELY(from->sa_family == AF_UNIX))
		n = sizeof from->sa_family;
	/* Over the ceiling if need be: who had connected when we stopped will not be told to come
	 * again. */
	if (TAKO__UNLIKELY(s->flags & TAKO_SOCK_CLOSING)) {
		atomic_fetch_add(&ls->worker->srv->conn_count, 1);
		tako__conn_accept(ls, fd, from, n);
		return;
	}
	/* Two workers may take the last place at once: one of them waits with its peer in hand. */
	if (TAKO__UNLIKELY(!tako__listener_reserve(ls->worker->srv))) {
		n = n <= sizeof ls->parked_from ? n : 0;
		ls->parked_fd = fd;
		ls->parked_n = n;
		memcpy(&ls->parked_from, from, n);
		hold(ls);
		return;
	}
	if (TAKO__LIKELY(!tako__balance_pass(ls, fd, from, n)))
		tako__conn_accept(ls, fd, from, n);
	if (TAKO__UNLIKELY(full(ls->worker->srv)) && ls->worker->state == TAKO__SERVING)
		hold(ls);
}

/* Out of descriptors, the peers in the backlog would hang until one is free.  The spare one
 * lets us take and close one of them, which tells it the truth at once. */
static void turn_one_away(struct tako__listener *ls)
{
	struct tako__worker *w = ls->worker;
	int fd;

	if (w->spare_fd < 0)
		return;
	close(w->spare_fd);
	fd = accept4(ls->sock.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Its place is reserved. */
static void accept_parked(struct tako__listener *ls)
{
	int fd = ls->parked_fd;

	ls->parked_fd = -1;
	tako__conn_accept(ls, fd, (struct sockaddr *)&ls->parked_from, ls->parked_n);
}

static void on_backoff(struct tako__timer *t, uint64_t now_ns)
{
	struct tako__listener *ls = TAKO__CONTAINER(t, struct tako__listener, backoff);

	(void)now_ns;
	if (ls->open && !ls->over_limit)
		ls->sock.loop->rt->resume(&ls->sock);
}

static void on_accept_error(struct tako_sock *s, int errno_value)
{
	struct tako__listener *ls = listener_of(s);
	struct tako__worker *w = ls->worker;
	const tako_server_config *cfg = &w->srv->cfg;

	tako__add(&w->stats.accept_errors, 1);
	if (errno_value == EMFILE || errno_value == ENFILE)
		turn_one_away(ls);
	ls->backoff_ms = ls->backoff_ms ? ls->backoff_ms * 2 : cfg->accept_backoff_min_ms;
	if (ls->backoff_ms > cfg->accept_backoff_max_ms)
		ls->backoff_ms = cfg->accept_backoff_max_ms;
	tako__timer_set(&w->wheel, &ls->backoff,
	                tako__now_ns(w) + (uint64_t)ls->backoff_ms * 1000000);
}

/* The port is free when the worker has stopped, not when the server is freed. */
static void on_listener_closed(struct tako_sock *s)
{
	struct tako__listener *ls = listener_of(s);
	struct tako_server *srv = ls->worker->srv;

	ls->open = false;
	pthread_mutex_lock(&srv->fds_lock);
	if (*ls->fd_slot >= 0)
		close(*ls->fd_slot);
	*ls->fd_slot = -1;
	ls->fd_slot[srv->cfg.worker_count] = -1;
	pthread_mutex_unlock(&srv->fds_lock);
}

static const struct tako_sock_cb listener_callbacks = {
	.on_accept = on_accept,
	.on_accept_error = on_accept_error,
	.on_closed = on_listener_closed,
};

static void on_dgrams(struct tako_sock *s, const struct tako_dgram *v, unsigned count)
{
	listener_of(s)->transport->dgram->on_dgrams(s, v, count);
}

static void on_dgram_error(struct tako_sock *s, char *p, ssize_t res)
{
	listener_of(s)->transport->dgram->on_recv(s, p, res);
}

static const struct tako_sock_cb dgram_callbacks = {
	.on_dgrams = on_dgrams,
	.on_recv = on_dgram_error,
	.on_closed = on_listener_closed,
};

/* The descriptor is the loop's from then on. */
static int start_dgrams(struct tako__listener *ls)
{
	struct tako_loop *loop = ls->worker->loop;
	int rc;

	if (!loop->rt->start_dgram)
		return tako__fail(TAKO_ENOTSUP, "%s needs datagrams, which the runtime %s lacks",
		                  ls->transport->name, loop->rt->name);
	ls->sock.cb = &dgram_callbacks;
	rc = loop->rt->start_dgram(loop, &ls->sock, *ls->fd_slot);
	if (rc < 0)
		return rc;
	ls->fd_slot[ls->worker->srv->cfg.worker_count] = *ls->fd_slot;
	*ls->fd_slot = -1;
	if (ls->transport->dgram->started)
		ls->transport->dgram->started(ls);
	return 0;
}

int tako__listener_open(struct tako__listener *ls, struct tako__worker *w, struct tako__address *a)
{
	int rc;

	memset(ls, 0, sizeof *ls);
	ls->parked_fd = -1;
	ls->sock.cb = &listener_callbacks;
	ls->worker = w;
	ls->transport = a->transport;
	ls->shared = a->rules.shared;
	ls->proxy = a->rules.proxy;
	ls->raw = a->rules.raw;
	ls->forward = a->rules.forward;
	ls->local = &a->local;
	ls->fd_slot = &a->fds[w->index];
	tako__timer_init(&ls->backoff, on_backoff);
	ls->records = tako__raw_records(a->rules.raw);
	if (ls->records && !w->loop->rt->start_dgram)
		return tako__fail(TAKO_ENOTSUP,
		                  "records need datagrams, which the runtime %s lacks",
		                  w->loop->rt->name);
	rc = a->transport->open ? a->transport->open(ls) : 0;
	/* Others may pass us what they accept there, also where we have no socket. */
	if (rc < 0 || *ls->fd_slot < 0)
		return rc;
	rc = ls->transport->dgram ? start_dgrams(ls)
	                          : w->loop->rt->listen(w->loop, &ls->sock, *ls->fd_slot);
	ls->open = rc == 0;
	return rc;
}

void tako__listener_close(struct tako__listener *ls)
{
	if (!ls->open || (ls->sock.flags & TAKO_SOCK_CLOSING))
		return;
	if (ls->transport->dgram) {
		ls->transport->dgram->stop(ls);
		return;
	}
	if (ls->parked_fd >= 0) {
		atomic_fetch_add(&ls->worker->srv->conn_count, 1);
		accept_parked(ls);
	}
	/* The first worker does it for all: what has connected by then is in the one backlog, which each
	 * of them empties before it lets go. */
	tako__local_end(ls->local, *ls->fd_slot);
	tako__timer_clear(&ls->worker->wheel, &ls->backoff);
	ls->sock.loop->rt->close(&ls->sock);
}

void tako__listener_try_resume(struct tako__listener *ls)
{
	if (!ls->over_limit || !has_room(ls->worker->srv))
		return;
	if (ls->parked_fd >= 0) {
		if (!tako__listener_reserve(ls->worker->srv))
			return;
		accept_parked(ls);
	}
	ls->over_limit = false;
	ls->worker->held_count--;
	atomic_fetch_sub(&ls->worker->srv->waiting_workers, 1);
	if (ls->open && !(ls->sock.flags & TAKO_SOCK_CLOSING) && !tako__timer_armed(&ls->backoff))
		ls->sock.loop->rt->resume(&ls->sock);
}

void tako__listener_release(struct tako_server *srv)
{
	if (TAKO__LIKELY(!atomic_load(&srv->waiting_workers)) || !has_room(srv))
		return;
	for (unsigned i = 0; i < srv->worker_count; i++) {
		struct tako__worker *w = &srv->workers[i];

		if (atomic_exchange(&w->over_limit, false))
			tako__worker_wake(w);
	}
}

/* SPDX-License-Identifier: MIT
 *
 * One socket of the simulated runtime: what it receives, accepts, and how it ends; sim_send.c has
 * what it sends.  Each delivery is a block of its own that is dirtied and freed behind the call, so
 * that who keeps borrowed bytes is found out.
 */
#include "sim/sim_sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ROUNDS_MAX = 4,
	QUEUE_MAX = 1 << 20, /* longer than any: it goes round in circles */
};

/* ---- Who is it? ---------------------------------------------------------------------- */

/* By looking, not by a pointer in it: after on_closed() its memory may hold anything. */
static struct sim_sock *find(struct sim *sim, const struct tako_sock *s)
{
	for (unsigned i = 0; sim && i < sim->sock_count; i++) {
		if (sim->socks[i]->user == s)
			return sim->socks[i];
	}
	return NULL;
}

/* For a call by the user. */
static struct sim_sock *called(struct tako_sock *s, const char *call)
{
	struct sim *sim = sim_world();
	struct sim_sock *k = find(sim, s);

	if (!k) {
		sim_violation(sim, "%s() on a socket that is not there", call);
		return NULL;
	}
	if (s->flags & TAKO_SOCK_CLOSING) {
		sim_violation(sim, "%s() on a socket that is being closed", call);
		return NULL;
	}
	return k;
}

static bool chance(struct sim_sock *k, unsigned permille)
{
	return sim_rand_chance(&k->sim->rand, permille);
}

/* ---- In and out of the loop -------------------------------------------------------------- */

static struct sim_link *handed(struct sim *sim, int fd)
{
	for (struct sim_link *l = sim->net.links; l; l = l->next) {
		if (l->fd == fd && !l->owner)
			return l;
	}
	return NULL;
}

static struct sim_sock *enter(struct sim_loop *loop, struct tako_sock *s, int fd,
                              struct sim_link *l)
{
	struct sim *sim = loop->sim;
	struct sim_sock *k;

	if (sim->sock_count == SIM_SOCKS_MAX)
		abort(); /* the test is too large */
	k = calloc(1, sizeof *k);
	if (!k)
		abort();
	*k = (struct sim_sock){.sim = sim, .loop = loop, .user = s, .link = l, .fd = fd};
	s->loop = &loop->loop;
	s->fd = fd;
	if (l)
		l->owner = k;
	sim->socks[sim->sock_count++] = k;
	return k;
}

struct sim_sock *sim_sock_new(struct sim_loop *loop, struct tako_sock *s, int fd, bool listens)
{
	struct sim *sim = loop->sim;
	struct sim_link *l = listens ? NULL : handed(sim, fd);

	if (find(sim, s) || (!listens && !l)) {
		sim_violation(sim, "start() or listen() of a socket that has begun, or of a "
		                   "descriptor that is not ours");
		return NULL;
	}
	if (listens) {
		sim->net.listeners++;
	} else {
		l->fd = -1;
		sim->handed_count--;
	}
	return enter(loop, s, fd, l);
}

/* ---- Connecting --------------------------------------------------------------------------- */

static struct sim_remote remote_at(struct sim *sim, const struct sockaddr *to)
{
	static const int errors[] = {ECONNREFUSED, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL};
	struct sim_remote r = {0};

	if (sim->remote)
		r = sim->remote(sim, to, sim->remote_arg);
	if (sim_rand_chance(&sim->rand, sim->options.connect_error_permille))
		r = (struct sim_remote){errors[sim_rand_below(&sim->rand, 4)], 0};
	return r;
}

struct sim_sock *sim_sock_dial(struct sim_loop *loop, struct tako_sock *s, int fd,
                               const struct sockaddr *to, socklen_t n)
{
	struct sim *sim = loop->sim;
	struct sim_remote r = remote_at(sim, to);
	uint64_t delay = sim_rand_below(&sim->rand, sim->net.options.delay_ns_max + 1);
	uint64_t at = r.after_ns == SIM_NEVER ? SIM_NEVER : sim->net.now_ns + r.after_ns + delay;
	struct sim_sock *k;

	if (find(sim, s) || fd < 0 || n > sizeof(struct sockaddr_storage) ||
	    fcntl(fd, F_GETFD) < 0) {
		sim_violation(sim, "connect() of a socket that has begun, or without a descriptor");
		return NULL;
	}
	k = enter(loop, s, fd, sim_net_dial(&sim->net, to, n, r.errno_value, at));
	k->connecting = true;
	s->flags |= TAKO_SOCK_CONNECTING;
	return k;
}

static void connected(struct sim_sock *k)
{
	struct tako_sock *s = k->user;

	k->connecting = false;
	s->flags &= ~TAKO_SOCK_CONNECTING;
	if (k->link->dial_err) {
		k->failed = true;
		s->flags |= TAKO_SOCK_BROKEN;
		tako_sock_fail(s, TAKO_ECLOSED);
	}
	s->cb->on_connect(s, k->link->dial_err);
}

void sim_sock_free(struct sim_sock *k)
{
	free(k->flight);
	free(k);
}

/* ---- Receiving ------------------------------------------------------------------------------ */

/* Rule 4: nothing at all while paused. */
static bool may_receive(const struct sim_sock *k)
{
	const struct sim_link *l = k->link;

	if (k->torn || k->connecting ||
	    (k->user->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING | TAKO_SOCK_BROKEN)))
		return false;
	if (k->failed || l->server_reset)
		return true;
	return !(k->user->flags & TAKO_SOCK_EOF) && (sim_link_readable(l) || sim_link_ended(l));
}

static void deliver_bytes(struct sim_sock *k)
{
	size_t n = sim_link_readable(k->link);
	size_t max = k->sim->options.recv_bytes_max;
	char *p;

	if (max)
		n = sim_rand_size(&k->sim->rand, n < max ? n : max);
	p = malloc(n);
	if (!p)
		abort();
	sim_link_read(k->link, p, n);
	k->sim->received_bytes += n;
	k->user->cb->on_recv(k->user, p, (ssize_t)n);
	/* Rule 1. */
	memset(p, 0xa5, n);
	free(p);
}

static void deliver_end(struct sim_sock *k, int res)
{
	k->user->flags |= res < 0 ? TAKO_SOCK_BROKEN : TAKO_SOCK_EOF;
	k->user->cb->on_recv(k->user, NULL, res);
}

static void receive_once(struct sim_sock *k)
{
	if (k->failed)
		deliver_end(k, TAKO_ECLOSED);
	else if (!(k->user->flags & TAKO_SOCK_EOF) && sim_link_readable(k->link))
		deliver_bytes(k);
	else if (!(k->user->flags & TAKO_SOCK_EOF) && sim_link_ended(k->link))
		deliver_end(k, 0);
	else
		deliver_end(k, TAKO_ECLOSED);
}

/* ---- Accepting ----------------------------------------------------------------------------------- */

static bool backlog(const struct sim *sim)
{
	for (const struct sim_link *l = sim->net.links; l; l = l->next) {
		if (l->backlogged)
			return true;
	}
	return false;
}

void sim_sock_forsaken(struct sim *sim)
{
	for (struct sim_link *l = sim->net.links; sim->handed_count && l; l = l->next) {
		if (l->fd < 0 || fcntl(l->fd, F_GETFD) >= 0)
			continue;
		l->fd = -1;
		sim->handed_count--;
		sim_link_close(l, false);
	}
}

/* The number of one that was closed is the next one's. */
static int descriptor(struct sim *sim)
{
	int fd;

	sim_sock_forsaken(sim);
	fd = fcntl(sim->null_fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		abort();
	return fd;
}

static void accept_once(struct sim_sock *k)
{
	static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
	struct tako_sock *s = k->user;
	struct sim_link *l;
	int fd;

	if (!(s->flags & TAKO_SOCK_CLOSING) && chance(k, k->sim->options.accept_error_permille)) {
		s->flags |= TAKO_SOCK_PAUSED;
		s->cb->on_accept_error(s, errors[sim_rand_below(&k->sim->rand, 4)]);
		return;
	}
	fd = descriptor(k->sim);
	l = sim_net_accept(&k->sim->net);
	l->fd = fd;
	k->sim->handed_count++;
	s->cb->on_accept(s, fd, (struct sockaddr *)&l->from, sizeof l->from);
	sim_sock_forsaken(k->sim);
}

static bool may_accept(const struct sim_sock *k)
{
	return !k->torn && !(k->user->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING)) &&
	       backlog(k->sim);
}

/* ---- Ending ---------------------------------------------------------------------------------------- */

static void tear_down(struct sim_sock *k)
{
	if (!k->link) {
		/* Who has connected is taken, paused or not. */
		while (backlog(k->sim))
			accept_once(k);
		k->sim->net.listeners--;
	} else {
		sim_sock_land(k);
		tako_sock_fail(k->user, TAKO_ECLOSED);
		if (k->connecting && !k->link->decided)
			sim_link_forget(k->link);
		else
			sim_link_close(k->link, k->rst);
		close(k->fd);
	}
	k->torn = true;
	k->close_turns = (unsigned)sim_rand_below(&k->sim->rand,
	                                          k->sim->options.close_turns_max + 1);
}

bool sim_sock_over(struct sim_sock *k)
{
	return k->torn && k->close_turns-- == 0;
}

void sim_sock_closed(struct sim_sock *k)
{
	struct tako_sock *s = k->user;

	/* What was queued since it was torn down. */
	tako_sock_fail(s, TAKO_ECLOSED);
	sim_sock_free(k);
	s->cb->on_closed(s);
}

/* ---- Service ------------------------------------------------------------------------------------------ */

bool sim_sock_ready(const struct sim_sock *k)
{
	if (k->torn || (k->user->flags & TAKO_SOCK_CLOSING))
		return true;
	if (k->connecting)
		return k->link->decided;
	return k->link ? may_receive(k) || sim_sock_may_send(k) : may_accept(k);
}

static void receive_some(struct sim_sock *k)
{
	for (unsigned i = 0; i < ROUNDS_MAX && may_receive(k); i++) {
		receive_once(k);
		/* What a delivery queued may leave right behind it, or with what follows. */
		if (chance(k, 500))
			sim_sock_send(k);
	}
}

void sim_sock_service(struct sim_sock *k)
{
	if (k->torn)
		return;
	if (k->connecting && k->link->decided && !(k->user->flags & TAKO_SOCK_CLOSING))
		connected(k);
	if (k->connecting) {
		/* Nothing is sent or received before. */
	} else if (!k->link) {
		for (unsigned i = 0; i < ROUNDS_MAX && may_accept(k); i++)
			accept_once(k);
	} else if (chance(k, 500)) {
		receive_some(k);
		sim_sock_send(k);
	} else {
		sim_sock_send(k);
		receive_some(k);
	}
	if (k->user->flags & TAKO_SOCK_CLOSING)
		tear_down(k);
}

void sim_sock_check(const struct sim_sock *k)
{
	const struct tako_send *last = NULL;
	uint64_t bytes = 0;
	unsigned count = 0;

	if (k->torn || !k->link)
		return;
	for (const struct tako_send *op = k->user->head; op && count < QUEUE_MAX; op = op->next) {
		bytes += op->n;
		last = op;
		count++;
	}
	if (count == QUEUE_MAX || bytes != k->user->queued_bytes || last != k->user->tail)
		sim_violation(k->sim, "the queue of sends is damaged");
	if (k->user->head && !k->dirty && !(k->user->flags & TAKO_SOCK_CLOSING))
		sim_violation(k->sim, "queued without flush()");
	if (k->user->head && k->shut)
		sim_violation(k->sim, "queued after shut()");
}

/* ---- Calls ---------------------------------------------------------------------------------------------- */

void sim_sock_resume(struct tako_sock *s)
{
	struct sim_sock *k = called(s, "resume");

	if (k)
		s->flags &= ~TAKO_SOCK_PAUSED;
}

void sim_sock_flush(struct tako_sock *s)
{
	struct sim_sock *k = called(s, "flush");

	if (k)
		k->dirty = true;
}

void sim_sock_close(struct tako_sock *s)
{
	struct sim_sock *k = called(s, "close");

	if (k)
		s->flags |= TAKO_SOCK_CLOSING;
}

void sim_sock_reset(struct tako_sock *s)
{
	struct sim_sock *k = called(s, "reset");

	if (!k)
		return;
	k->rst = true;
	s->flags |= TAKO_SOCK_CLOSING;
}

void sim_sock_shut(struct tako_sock *s)
{
	struct sim_sock *k = called(s, "shut");

	if (!k)
		return;
	if (k->connecting)
		sim_violation(k->sim, "shut() before it is connected");
	if (s->head)
		sim_violation(k->sim, "shut() with bytes queued");
	k->shut = true;
	sim_link_shut(k->link);
}

bool sim_sock_waiting(struct tako_sock *s)
{
	struct sim_sock *k = called(s, "waiting");

	if (k && k->connecting)
		sim_violation(k->sim, "waiting() before it is connected");
	return k && sim_link_readable(k->link);
}

bool sim_sock_silent(struct tako_sock *s)
{
	struct sim_sock *k = called(s, "silent");

	if (k && k->connecting)
		sim_violation(k->sim, "silent() before it is connected");
	return k && !sim_link_readable(k->link) && !sim_link_ended(k->link);
}

size_t sim_sock_unacked(struct tako_sock *s)
{
	struct sim_sock *k = called(s, "unacked");

	return k ? sim_link_unacked(k->link) : 0;
}

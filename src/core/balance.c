/* SPDX-License-Identifier: MIT
 *
 * See balance.h.  Reads what other workers count, without a lock and at most for two of them;
 * what it decides on is a moment old, which is good enough: the next connection corrects it.
 */
#include "core/balance.h"

#include <string.h>
#include <unistd.h>

#include "core/server.h"

enum {
	/* The better of two is nearly as even as the best of all (Mitzenmacher 2001), and its cost
	 * does not grow with the workers: each look may be a miss in the cache. */
	LOOKS = 2,
	BRIEF_MARGIN = 16,
	BRIEF_MANY = 50, /* in BRIEF_NS, on one worker */
	BRIEF_NS = 100000000,
};

#define ENDED (UINT32_C(1) << 31)

/* A descriptor on its way. */
struct arrival {
	struct tako__mail mail;
	struct tako__listener *to;
	int fd;
	socklen_t from_n;
	struct sockaddr_in6 from;
};

uint32_t tako__balance_arriving(const struct tako__worker *w)
{
	return atomic_load_explicit(&w->balance.arriving, memory_order_relaxed) & ~ENDED;
}

/* ---- Deciding ------------------------------------------------------------------------- */

/* What it has and will have. */
static uint64_t load_of(const struct tako__worker *w)
{
	return tako__read(&w->stats.open) + tako__balance_arriving(w);
}

void tako__balance_count(struct tako__worker *w, uint64_t requests)
{
	struct tako__balance *b = &w->balance;
	uint64_t since_ns = tako__now_ns(w) - b->brief_ns;

	if (requests > 1)
		return;
	if (since_ns >= BRIEF_NS) {
		b->brief_before = since_ns < 2 * BRIEF_NS ? b->brief : 0;
		b->brief = 0;
		b->brief_ns = tako__now_ns(w);
	}
	b->brief++;
}

static bool mostly_brief(const struct tako__worker *w)
{
	const struct tako__balance *b = &w->balance;

	return (b->brief >= BRIEF_MANY || b->brief_before >= BRIEF_MANY) &&
	       tako__now_ns(w) - b->brief_ns < 2 * BRIEF_NS;
}

/* How much less another must have.  Nothing while there are few, since then each is a good part
 * of a worker's load; a sixteenth where there are many.  A stream of connections that end after
 * their first request is spread evenly by the hash, and passing them on would cost each a
 * wake-up. */
static uint64_t margin(const struct tako__worker *w, uint64_t theirs)
{
	return mostly_brief(w) ? BRIEF_MARGIN + theirs / 4 : theirs / 16;
}

static struct tako__worker *look(struct tako__worker *w)
{
	struct tako_server *srv = w->srv;
	unsigned *next = &w->balance.next;

	*next = *next + 1 < srv->worker_count ? *next + 1 : 0;
	if (*next == w->index)
		*next = *next + 1 < srv->worker_count ? *next + 1 : 0;
	return &srv->workers[*next];
}

struct tako__worker *tako__balance_choose(struct tako__worker *w)
{
	uint64_t ours = load_of(w);
	struct tako__worker *best = NULL;
	uint64_t least = ours;

	for (unsigned i = 0; i < LOOKS && i + 1 < w->srv->worker_count && least; i++) {
		struct tako__worker *other = look(w);
		uint64_t theirs = load_of(other);

		if (theirs < least) {
			least = theirs;
			best = other;
		}
	}
	return best && ours > least + margin(w, least) ? best : NULL;
}

/* ---- Passing on ----------------------------------------------------------------------- */

/* Announce one.  Not counted up and down again where it is refused: a worker that waits for its
 * arrivals must not wait for one that never comes. */
static bool announce(struct tako__worker *to)
{
	uint32_t n = atomic_load_explicit(&to->balance.arriving, memory_order_relaxed);

	do {
		if (n >= TAKO__ARRIVALS_MAX) /* or ended */
			return false;
	} while (!atomic_compare_exchange_weak(&to->balance.arriving, &n, n + 1));
	return true;
}

/* On the worker's own thread. */
static void arrive(struct tako__mail *m)
{
	struct arrival *a = TAKO__CONTAINER(m, struct arrival, mail);
	struct tako__worker *w = a->to->worker;

	atomic_fetch_sub(&w->balance.arriving, 1);
	if (w->cut) {
		close(a->fd);
		atomic_fetch_sub(&w->srv->conn_count, 1);
	} else {
		/* Also where it drains: it connected while we listened. */
		tako__conn_accept(a->to, a->fd, (struct sockaddr *)&a->from, a->from_n);
	}
	tako__free(a, sizeof *a);
}

bool tako__balance_pass(struct tako__listener *ls, int fd, const struct sockaddr *from, socklen_t n)
{
	struct tako__worker *w = ls->worker;
	struct tako__worker *to;
	struct arrival *a;

	if (w->srv->worker_count < 2 || w->srv->cfg.accept_balance == TAKO_OFF)
		return false;
	to = tako__balance_choose(w);
	if (TAKO__LIKELY(!to))
		return false;
	a = tako__alloc(sizeof *a);
	if (!a || !announce(to)) {
		tako__free(a, sizeof *a);
		return false;
	}
	*a = (struct arrival){.mail.fn = arrive,
	                      .to = &to->listeners[ls - w->listeners],
	                      .fd = fd,
	                      .from_n = n <= sizeof a->from ? n : 0};
	memcpy(&a->from, from, a->from_n);
	tako__add(&w->stats.moved, 1);
	tako__worker_post(to, &a->mail);
	return true;
}

void tako__balance_end(struct tako__worker *w)
{
	atomic_fetch_or(&w->balance.arriving, ENDED);
}

/* SPDX-License-Identifier: MIT
 *
 * Streams that have input in the same turn.  What each of them has is read first, then handed up,
 * then answered: the kernel's code for either direction is larger than the CPU's nearest cache, so
 * that doing all three for one stream after the other has each evict the next one's code.  Measured,
 * a request takes 7 % less.
 *
 * Between its being read and its delivery a stream may be closed or paused by another's callback.
 * The input of a closed one is dropped; that of a paused one is parked, which is the one case in
 * which this runtime holds input of a stream.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "core/base.h"
#include "core/call.h"
#include "core/clock.h"
#include "core/cold.h"
#include "core/mem.h"
#include "runtime-epoll/epoll_int.h"

enum {
	/* Not a power of two: slots would have the same few lines of the cache for their beginnings. */
	SLOT_BYTES = 4096 + 3 * 64,
	/* Nobody waits for the handlers of others much longer than for their answers: of the CPU's
	 * counter, 40 to 130 us.  Looked at now and then, as reading it takes 20 ns. */
	SLOW_TICKS = 1 << 17,
	LOOK_MASK = 3,
};

struct tako__epoll_slot {
	ssize_t n; /* what recv() said */
	struct tako_sock *s;
	/* Of a stream that is parked: both its words are what file it sends, and one is taken. */
	struct tako__cold cold;
	char data[SLOT_BYTES];
};

/* Where a stream keeps the slot it is parked in. */
enum { PARKED = 1 };

static struct tako__epoll_slot *slot_at(struct tako__epoll *ep, unsigned i)
{
	if (TAKO__UNLIKELY(!ep->slots[i]))
		ep->slots[i] = tako__alloc(sizeof *ep->slots[i]);
	return ep->slots[i];
}

static void park(struct tako__epoll *ep, unsigned i)
{
	struct tako__epoll_slot *slot = ep->slots[i];

	memcpy(&slot->cold, slot->s->rt, sizeof slot->cold);
	slot->s->rt[PARKED] = (uint64_t)(uintptr_t)slot;
	slot->s->flags |= SOCK_PARKED | SOCK_READABLE;
	ep->slots[i] = NULL;
}

static struct tako__epoll_slot *parked(const struct tako_sock *s)
{
	return (struct tako__epoll_slot *)(uintptr_t)
	        s->rt[PARKED]; /* NOLINT(performance-no-int-to-ptr) */
}

static struct tako__epoll_slot *unpark(struct tako_sock *s)
{
	struct tako__epoll_slot *slot = parked(s);

	s->flags &= ~SOCK_PARKED;
	memcpy(s->rt, &slot->cold, sizeof slot->cold);
	return slot;
}

struct tako__cold *tako__epoll_parked_cold(struct tako_sock *s)
{
	return &parked(s)->cold;
}

void tako__epoll_receive_parked(struct tako_sock *s)
{
	struct tako__epoll_slot *slot = unpark(s);

	s->cb->on_recv(s, slot->data, slot->n);
	tako__free(slot, sizeof *slot);
}

void tako__epoll_drop_parked(struct tako_sock *s)
{
	if (s->flags & SOCK_PARKED)
		tako__free(unpark(s), sizeof(struct tako__epoll_slot));
}

void tako__epoll_batch_fini(struct tako__epoll *ep)
{
	for (unsigned i = 0; i < TAKO__EPOLL_BATCH; i++)
		tako__free(ep->slots[i], sizeof *ep->slots[i]);
}

/* Only what is nothing but input of a stream that wants it, and that usually has little. */
static bool fits(struct tako__epoll *ep, const struct epoll_event *ev)
{
	const struct tako_sock *s = ev->data.ptr;

	return ev->events == EPOLLIN && s && (const void *)s != (const void *)ep &&
	       !(s->flags &
	         (SOCK_DEAD | SOCK_LISTENS | SOCK_SCHEDULED | SOCK_PACKETS | SOCK_HANGUP |
	          SOCK_FAILED | SOCK_BULK | SOCK_PARKED | TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING |
	          TAKO_SOCK_EOF | TAKO_SOCK_BROKEN));
}

/* False: it is to be serviced by itself. */
static bool read_ahead(struct tako__epoll *ep, struct tako_sock *s, unsigned i)
{
	struct tako__epoll_slot *slot = slot_at(ep, i);
	size_t room = ep->recv_bytes < SLOT_BYTES ? ep->recv_bytes : SLOT_BYTES;

	if (TAKO__UNLIKELY(!slot))
		return false;
	slot->s = s;
	slot->n = tako__call_recv(s->fd, slot->data, room, 0);
	if (TAKO__UNLIKELY(slot->n < 0 && (errno == EINTR || errno == EAGAIN)))
		return false;
	/* An end is there to be seen again by whoever asks. */
	if (TAKO__LIKELY(slot->n != 0))
		s->flags |= SOCK_AHEAD;
	/* There may be more, which is better read in larger pieces; also the next time. */
	if (TAKO__UNLIKELY(slot->n == (ssize_t)room))
		s->flags |= SOCK_READABLE | SOCK_BULK | SOCK_SERVED;
	return true;
}

static void deliver(struct tako__epoll *ep, unsigned i)
{
	struct tako__epoll_slot *slot = ep->slots[i];
	struct tako_sock *s = slot->s;

	s->flags &= ~SOCK_AHEAD;
	if (TAKO__UNLIKELY(s->flags & (TAKO_SOCK_CLOSING | TAKO_SOCK_BROKEN)))
		return;
	if (TAKO__UNLIKELY(s->flags & TAKO_SOCK_PAUSED)) {
		if (slot->n > 0)
			park(ep, i);
		else
			/* An end is there to be read again; a failure is not. */
			s->flags |= slot->n ? SOCK_FAILED : SOCK_READABLE;
		return;
	}
	ep->current = s;
	if (TAKO__LIKELY(slot->n > 0))
		s->cb->on_recv(s, slot->data, slot->n);
	else
		tako__epoll_deliver_end(s, slot->n < 0 ? TAKO_ECLOSED : 0);
	ep->current = NULL;
}

/* What an owner has beside its socket is what it is about to look at. */
static void expect(const struct tako_sock *s)
{
	for (unsigned line = 0; line < 5; line++)
		__builtin_prefetch((const char *)s + (size_t)line * 64);
}

/* What decides that one has nothing to be serviced but its answer; and with it sent, nothing. */
#define PLAIN_MASK                                                                                 \
	(SOCK_READABLE | SOCK_WRITABLE | SOCK_HANGUP | SOCK_WATCHED | SOCK_WATCHED_OUT |           \
	 SOCK_DIRTY | SOCK_SCHEDULED | SOCK_AGAIN | SOCK_DEAD | SOCK_FAILED | SOCK_COLD |          \
	 SOCK_PARKED | SOCK_SERVED | TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING | TAKO_SOCK_EOF |        \
	 TAKO_SOCK_BROKEN | TAKO_SOCK_LAST)

static bool is_plain(const struct tako_sock *s, uint32_t dirty)
{
	return (s->flags & PLAIN_MASK) == (SOCK_WRITABLE | SOCK_WATCHED | dirty);
}

/* The answer that nearly all are: one piece of memory, which the kernel takes whole.  As servicing it
 * would, but from here, where there is one return after the system call instead of five: call.h says
 * what each costs.  False: it is to be serviced, for whatever is left. */
static bool answer_plainly(struct tako__epoll *ep, struct tako_sock *s)
{
	const struct tako_send *op = s->head;
	ssize_t n;

	if (is_plain(s, 0))
		return true;
	if (!is_plain(s, SOCK_DIRTY) || !op || op->next || op->file_fd >= 0 || !op->n ||
	    op->n > ep->send_max)
		return false;
	n = tako__call_send(s->fd, op->p, (size_t)op->n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (TAKO__UNLIKELY(n < 0 || (uint64_t)n < op->n)) {
		/* Asked again, it says why. */
		if (n > 0)
			tako_sock_advance(s, (size_t)n);
		return false;
	}
	s->flags &= ~SOCK_DIRTY;
	ep->current = s;
	tako_sock_advance(s, (size_t)n);
	ep->current = NULL;
	/* What was queued when it was done leaves now, too. */
	if (TAKO__UNLIKELY(s->head != NULL))
		s->flags |= SOCK_DIRTY;
	return is_plain(s, 0);
}

/* One that is scheduled has its turn behind the events. */
static void answer(struct tako__epoll *ep, struct tako_sock *const *socks, unsigned from,
                   unsigned to)
{
	for (; from < to; from++) {
		if (TAKO__UNLIKELY(socks[from]->flags & (SOCK_SCHEDULED | SOCK_DEAD)))
			continue;
		if (TAKO__UNLIKELY(!answer_plainly(ep, socks[from])))
			tako__epoll_service(ep, socks[from]);
	}
}

static void run(struct tako__epoll *ep, struct tako_sock *const *socks, unsigned count)
{
	uint64_t since = count ? tako__ticks() : 0;
	unsigned answered = 0;

	for (unsigned i = 0; i < count; i++) {
		if (i + 1 < count)
			expect(socks[i + 1]);
		deliver(ep, i);
		if ((i & LOOK_MASK) == LOOK_MASK && tako__ticks() - since > SLOW_TICKS) {
			answer(ep, socks, answered, i + 1);
			answered = i + 1;
			since = tako__ticks();
		}
	}
	answer(ep, socks, answered, count);
}

void tako__epoll_events(struct tako__epoll *ep, const struct epoll_event *ev, unsigned n)
{
	struct tako_sock *socks[TAKO__EPOLL_BATCH];
	unsigned count = 0;

	/* By itself it is read where there is room for all it may have. */
	if (n == 1) {
		tako__epoll_event(ep, ev);
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		struct tako_sock *s = ev[i].data.ptr;

		if (i + 1 < n)
			__builtin_prefetch(ev[i + 1].data.ptr);
		if (!fits(ep, &ev[i]) || !read_ahead(ep, s, count)) {
			tako__epoll_event(ep, &ev[i]);
			continue;
		}
		socks[count++] = s;
		if (count == TAKO__EPOLL_BATCH) {
			run(ep, socks, count);
			count = 0;
		}
	}
	run(ep, socks, count);
}

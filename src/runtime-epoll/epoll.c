/* SPDX-License-Identifier: MIT
 *
 * The epoll runtime: readiness turned into the completions of seam A.
 *
 * What it is careful about is system calls.  A connection is registered once, edge
 * triggered, and not at all if it ends within its first turn; recv is not repeated
 * after a short read; what a delivery queued is sent soon behind it, in one call (how soon where
 * several streams have input is epoll_batch.c's).
 */
#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <tako/server.h>

#include "core/accept.h"
#include "core/base.h"
#include "core/call.h"
#include "core/clock.h"
#include "core/cold.h"
#include "core/dgram_batch.h"
#include "core/knock.h"
#include "core/mem.h"
#include "runtime-epoll/epoll_int.h"

enum {
	EVENTS_PER_TURN = 256,
	RECV_ALIGN = 4096,  /* the kernel copies whole pages fastest to whole pages */
	RECV_BUDGET = 4,    /* buffers: a busy socket must not starve the others */
	FINE_NS = 20000000, /* shorter waits than this are met to the microsecond */
};

static struct tako__epoll *loop_of(struct tako_sock *s)
{
	return TAKO__CONTAINER(s->loop, struct tako__epoll, base);
}

/* ---- Work: sockets that want something done before the turn ends -------------- */

static void schedule(struct tako_sock *s, uint32_t what)
{
	struct tako__epoll *ep = loop_of(s);

	s->flags |= what;
	/* The one being serviced looks at its flags itself when its callback returns. */
	if (s == ep->current || (s->flags & (SOCK_SCHEDULED | SOCK_DEAD)))
		return;
	s->flags |= SOCK_SCHEDULED;
	s->next = NULL;
	if (ep->work_tail)
		ep->work_tail->next = s;
	else
		ep->work = s;
	ep->work_tail = s;
}

/* What is asked for now is asked for again with what was asked for before. */
static void wait_for_disk(struct tako__epoll *ep, struct tako_sock *s)
{
	s->flags = (s->flags & ~(SOCK_COLD | SOCK_AGAIN)) | SOCK_SCHEDULED | SOCK_DIRTY;
	if (!ep->cold)
		ep->cold_until_ns = ep->base.now_ns + TAKO__COLD_RETRY_NS;
	s->next = ep->cold;
	ep->cold = s;
}

static void look_at_disk(struct tako__epoll *ep)
{
	struct tako_sock *s = ep->cold;

	if (TAKO__LIKELY(!s) || ep->base.now_ns < ep->cold_until_ns)
		return;
	ep->cold = NULL;
	while (s) {
		struct tako_sock *next = s->next;

		s->flags &= ~SOCK_SCHEDULED;
		schedule(s, 0);
		s = next;
	}
}

/* ---- Registration ------------------------------------------------------------- */

static int watch(struct tako_sock *s, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};
	int op = s->flags & SOCK_WATCHED ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (epoll_ctl(loop_of(s)->fd, op, s->fd, &ev) < 0)
		return tako__fail_errno("epoll_ctl");
	s->flags |= SOCK_WATCHED;
	return 0;
}

/* Not EPOLLOUT from the start: it would report every new socket once for nothing. */
static int watch_stream(struct tako_sock *s, bool out)
{
	uint32_t events = EPOLLIN | EPOLLRDHUP | EPOLLET;

	s->flags &= ~SOCK_WATCHED_OUT;
	if (out) {
		events |= EPOLLOUT;
		s->flags |= SOCK_WATCHED_OUT;
	}
	return watch(s, events);
}

/* ---- Receiving ---------------------------------------------------------------- */

void tako__epoll_deliver_end(struct tako_sock *s, int res)
{
	s->flags &= ~SOCK_READABLE;
	s->flags |= res < 0 ? TAKO_SOCK_BROKEN : TAKO_SOCK_EOF;
	s->cb->on_recv(s, NULL, res);
}

/* One recv.  False: nothing more to be had now. */
static bool receive_once(struct tako__epoll *ep, struct tako_sock *s)
{
	size_t room = ep->recv_bytes;
	ssize_t n;

	tako__expect(s);
	n = tako__call_recv(s->fd, ep->recv_buffer, room, 0);
	tako__expect_head(ep->recv_buffer);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		s->flags &= ~SOCK_READABLE;
		return false;
	}
	if (n <= 0) {
		tako__epoll_deliver_end(s, n < 0 ? TAKO_ECLOSED : 0);
		return false;
	}
	/* A short read has emptied the socket: the next byte makes a new edge.  With a
	 * hang-up already reported there is no further edge to wait for. */
	if ((size_t)n < room && !(s->flags & SOCK_HANGUP))
		s->flags &= ~SOCK_READABLE;
	s->cb->on_recv(s, ep->recv_buffer, n);
	return true;
}

/* Let the owner hear of a failed socket where it hears of everything else, and no sooner than
 * its pause allows. */
static void tell_failure(struct tako_sock *s)
{
	if (!(s->flags & (TAKO_SOCK_BROKEN | TAKO_SOCK_CLOSING | TAKO_SOCK_PAUSED)))
		tako__epoll_deliver_end(s, TAKO_ECLOSED);
}

static bool may_receive(const struct tako_sock *s)
{
	return (s->flags & (SOCK_READABLE | TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING | TAKO_SOCK_EOF |
	                    TAKO_SOCK_BROKEN | TAKO_SOCK_CONNECTING)) == SOCK_READABLE;
}

/* ---- Connecting --------------------------------------------------------------- */

/* Where a stream that is not connected yet keeps what became of it: an errno and one, 0: nothing so far. */
enum { OUTCOME = 0 };

static void set_outcome(struct tako_sock *s, int errno_value)
{
	s->rt[OUTCOME] = (uint64_t)errno_value + 1;
}

/* False: it has failed, or is still under way. */
static bool is_connected(struct tako_sock *s)
{
	int err = (int)s->rt[OUTCOME] - 1;

	if (err < 0)
		return false;
	s->rt[OUTCOME] = 0;
	s->flags &= ~TAKO_SOCK_CONNECTING;
	s->flags |= SOCK_WRITABLE;
	if (err) {
		s->flags |= SOCK_FAILED | TAKO_SOCK_BROKEN;
		tako_sock_fail(s, TAKO_ECLOSED);
	}
	s->cb->on_connect(s, err);
	/* It was watched for becoming writable, which it would now report with whatever it receives. */
	if ((s->flags & (SOCK_WATCHED_OUT | TAKO_SOCK_CLOSING | SOCK_FAILED)) == SOCK_WATCHED_OUT &&
	    watch_stream(s, false) < 0)
		s->flags |= SOCK_FAILED;
	return err == 0;
}

/* ---- Accepting ---------------------------------------------------------------- */

static void accept_some(struct tako_sock *ls)
{
	tako__accept_some(ls);
	/* Level triggered: what is not taken now would be reported for ever. */
	if (ls->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING))
		watch(ls, 0);
}

/* ---- Closing ------------------------------------------------------------------ */

static void tear_down(struct tako__epoll *ep, struct tako_sock *s)
{
	if (s->flags & SOCK_LISTENS)
		tako__accept_last(s);
	s->flags |= SOCK_DEAD;
	tako_sock_fail(s, TAKO_ECLOSED);
	tako__epoll_drop_parked(s);
	/* Closing the descriptor takes it out of the interest list only if nobody else has the socket: a
	 * process between fork() and exec() has, and what is reported of it then would be of this memory
	 * whoever has it. */
	if (s->flags & SOCK_WATCHED)
		epoll_ctl(ep->fd, EPOLL_CTL_DEL, s->fd, NULL);
	/* A listener's stays open with its owner. */
	if (!(s->flags & SOCK_LISTENS))
		close(s->fd);
	s->next = ep->dead;
	ep->dead = s;
}

static void reap(struct tako__epoll *ep)
{
	while (ep->dead) {
		struct tako_sock *s = ep->dead;

		ep->dead = s->next;
		ep->sock_count--;
		/* What was queued since it was torn down. */
		tako_sock_fail(s, TAKO_ECLOSED);
		s->cb->on_closed(s);
	}
}

/* ---- One socket's turn ----------------------------------------------------------- */

_Static_assert(sizeof(struct tako__cold) <= sizeof((struct tako_sock){0}.rt),
               "a stream keeps it there");

static bool file_waits(struct tako_sock *s, size_t n)
{
	struct tako__cold *c = TAKO__UNLIKELY(s->flags & SOCK_PARKED)
	                               ? tako__epoll_parked_cold(s)
	                               : (struct tako__cold *)(void *)s->rt;

	return tako__file_waits(c, s->loop->now_ns, s->head, n);
}

static enum tako__sent try_send(struct tako_sock *s)
{
	if (TAKO__UNLIKELY(s->flags & SOCK_FAILED))
		return TAKO__SENT_BROKEN;
	return s->flags & SOCK_PACKETS ? tako__epoll_dgram_send(s)
	                               : tako__send(s, loop_of(s)->send_max, file_waits);
}

static void flush_now(struct tako_sock *s)
{
	s->flags &= ~SOCK_DIRTY;
	switch (try_send(s)) {
	case TAKO__SENT_ALL:
		/* A datagram socket would be reported writable for every packet that has left. */
		if ((s->flags & (SOCK_PACKETS | SOCK_WATCHED_OUT)) ==
		    (SOCK_PACKETS | SOCK_WATCHED_OUT))
			watch_stream(s, false);
		return;
	case TAKO__SENT_LATER: /* its share of this turn is used up */
		schedule(s, SOCK_DIRTY);
		return;
	case TAKO__SENT_COLD:
		s->flags |= SOCK_COLD;
		return;
	case TAKO__SENT_FULL:
		s->flags &= ~SOCK_WRITABLE;
		if (!(s->flags & SOCK_WATCHED_OUT) && watch_stream(s, true) < 0)
			s->flags |= TAKO_SOCK_CLOSING;
		return;
	case TAKO__SENT_BROKEN:
		s->flags |= SOCK_FAILED;
		tako_sock_fail(s, TAKO_ECLOSED);
		tell_failure(s);
		return;
	}
}

static bool receive_some(struct tako__epoll *ep, struct tako_sock *s)
{
	if (TAKO__UNLIKELY(s->flags & SOCK_PARKED)) {
		tako__epoll_receive_parked(s);
		return true;
	}
	return s->flags & SOCK_PACKETS ? tako__epoll_dgram_recv(ep, s) : receive_once(ep, s);
}

static void service_flow(struct tako__epoll *ep, struct tako_sock *s)
{
	unsigned buffers = TAKO__UNLIKELY(s->flags & SOCK_SERVED) ? 1 : 0;
	unsigned budget = s->flags & SOCK_PACKETS ? tako__dgram_budget(ep->recv_budget)
	                                          : ep->recv_budget;

	s->flags &= ~SOCK_SERVED;
	if (TAKO__UNLIKELY(s->flags & TAKO_SOCK_CONNECTING) && !is_connected(s))
		return;
	if (TAKO__UNLIKELY(s->flags & SOCK_FAILED))
		tell_failure(s);
	/* What a call has brought was delivered at once. */
	if (TAKO__UNLIKELY(tako__dgram_ends(s)))
		tako__dgram_end(s);
	for (unsigned i = buffers; may_receive(s); i++) {
		if (i == budget) {
			s->flags |= SOCK_AGAIN;
			break;
		}
		if (!receive_some(ep, s))
			break;
		if ((s->flags & (SOCK_DIRTY | SOCK_WRITABLE)) == (SOCK_DIRTY | SOCK_WRITABLE))
			flush_now(s);
	}
	if ((s->flags & SOCK_DIRTY) && (s->flags & SOCK_WRITABLE) &&
	    !(s->flags & TAKO_SOCK_CLOSING))
		flush_now(s);
	if (s->flags & SOCK_PACKETS)
		tako__epoll_dgram_report(s);
}

void tako__epoll_service(struct tako__epoll *ep, struct tako_sock *s)
{
	ep->current = s;
	if (!(s->flags & (SOCK_LISTENS | TAKO_SOCK_CLOSING)))
		service_flow(ep, s);
	if (!(s->flags & (SOCK_LISTENS | TAKO_SOCK_CLOSING | SOCK_WATCHED)) &&
	    watch_stream(s, false) < 0) {
		s->flags |= SOCK_FAILED;
		tell_failure(s);
	}
	ep->current = NULL;
	if (s->flags & TAKO_SOCK_CLOSING) {
		tear_down(ep, s);
		return;
	}
	if (TAKO__UNLIKELY(s->flags & SOCK_COLD)) {
		wait_for_disk(ep, s);
		return;
	}
	if (s->flags & SOCK_AGAIN || may_receive(s) ||
	    (s->flags & (SOCK_DIRTY | SOCK_WRITABLE)) == (SOCK_DIRTY | SOCK_WRITABLE)) {
		s->flags &= ~SOCK_AGAIN;
		schedule(s, 0);
	}
}

void tako__epoll_event(struct tako__epoll *ep, const struct epoll_event *ev)
{
	struct tako_sock *s = ev->data.ptr;

	if (!s) {
		uint64_t count;

		/* Nothing to learn from the count: the mailbox knows. */
		(void)!read(ep->wake_fd, &count, sizeof count);
		return;
	}
	if ((void *)s == (void *)ep) {
		(void)!read(ep->timer_fd, &(uint64_t){0}, sizeof(uint64_t));
		return;
	}
	if (s->flags & SOCK_DEAD)
		return;
	if (s->flags & SOCK_LISTENS) {
		ep->current = s;
		accept_some(s);
		ep->current = NULL;
		if (s->flags & TAKO_SOCK_CLOSING)
			schedule(s, 0);
		return;
	}
	if (TAKO__UNLIKELY(s->flags & TAKO_SOCK_CONNECTING) &&
	    (ev->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)))
		set_outcome(s, tako__knock_outcome(s->fd));
	if (ev->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->flags |= SOCK_READABLE;
	if (ev->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->flags |= SOCK_HANGUP;
	if (ev->events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
		s->flags |= SOCK_WRITABLE;
		if (s->head)
			s->flags |= SOCK_DIRTY;
	}
	/* A reset after the peer's orderly end: nothing is read any more that would tell. */
	if ((ev->events & EPOLLERR) && (s->flags & TAKO_SOCK_EOF))
		s->flags |= SOCK_FAILED;
	if (!(s->flags & SOCK_SCHEDULED))
		tako__epoll_service(ep, s);
}

/* ---- The vtable -------------------------------------------------------------------- */

static int epoll_probe(char *why, size_t n)
{
	if (n)
		why[0] = '\0';
	return 0;
}

static void epoll_free(struct tako_loop *loop)
{
	struct tako__epoll *ep = TAKO__CONTAINER(loop, struct tako__epoll, base);

	if (!loop)
		return;
	if (ep->timer_fd >= 0)
		close(ep->timer_fd);
	if (ep->wake_fd >= 0)
		close(ep->wake_fd);
	if (ep->fd >= 0)
		close(ep->fd);
	tako__epoll_dgram_fini(ep);
	tako__epoll_batch_fini(ep);
	tako__free(ep->recv_block, ep->recv_bytes + RECV_ALIGN);
	tako__free(ep, sizeof *ep);
}

static int epoll_open(struct tako_loop **out, const struct tako_loop_config *cfg)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	struct tako__epoll *ep = tako__zalloc(sizeof *ep);

	if (!ep)
		return tako__fail(TAKO_ENOMEM, "event loop: out of memory");
	ep->base.rt = tako_runtime_epoll();
	ep->timer_fd = -1;
	ep->wake_fd = -1;
	/* Large enough for a whole 64 KiB body and then some in one call.  Only the pages that
	 * traffic reaches are ever touched, and there is one buffer a loop. */
	ep->recv_bytes = cfg->recv_buffer_bytes ? cfg->recv_buffer_bytes : 256u << 10;
	ep->recv_budget = cfg->recv_buffer_count ? cfg->recv_buffer_count : RECV_BUDGET;
	ep->send_max = cfg->send_max_bytes ? cfg->send_max_bytes : SIZE_MAX;
	ep->recv_block = tako__alloc(ep->recv_bytes + RECV_ALIGN);
	ep->recv_buffer = (char *)(((uintptr_t)ep->recv_block + RECV_ALIGN - 1) &
	                           ~(uintptr_t)(RECV_ALIGN - 1));
	ep->fd = epoll_create1(EPOLL_CLOEXEC);
	if (ep->fd >= 0)
		ep->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!ep->recv_block || ep->fd < 0 || ep->wake_fd < 0 ||
	    epoll_ctl(ep->fd, EPOLL_CTL_ADD, ep->wake_fd, &ev) < 0) {
		int err = ep->recv_block ? tako__fail_errno("epoll")
		                         : tako__fail(TAKO_ENOMEM, "event loop: out of memory");
		epoll_free(&ep->base);
		return err;
	}
	tako_loop_refresh(&ep->base);
	*out = &ep->base;
	return 0;
}

/* How long to wait; -1: for ever. */
static int64_t wait_ns(const struct tako__epoll *ep, uint64_t deadline_ns)
{
	uint64_t now;

	if (ep->work || deadline_ns == 0)
		return 0;
	if (TAKO__UNLIKELY(ep->cold != NULL) && ep->cold_until_ns < deadline_ns)
		deadline_ns = ep->cold_until_ns;
	if (deadline_ns == UINT64_MAX)
		return -1;
	now = tako__clock_ns();
	if (deadline_ns <= now)
		return 0;
	return deadline_ns - now < INT64_MAX ? (int64_t)(deadline_ns - now) : INT64_MAX;
}

/* Who paces packets wants to be woken between two milliseconds, which on a fast path are a hundred packets
 * apart; for who waits longer a millisecond more is none the worse. */
static int await_events(struct tako__epoll *ep, struct epoll_event *events, uint64_t deadline_ns)
{
	int64_t ns = wait_ns(ep, deadline_ns);
	int64_t ms = ns < 0 ? -1 : ns / 1000000 + (ns % 1000000 != 0);

	if (ns > 0 && ns < FINE_NS && !ep->coarse) {
		struct timespec ts = {.tv_nsec = (long)ns};
		int n = epoll_pwait2(ep->fd, events, EVENTS_PER_TURN, &ts, NULL);

		/* Linux before 5.11. */
		if (n >= 0 || errno != ENOSYS)
			return n;
		ep->coarse = true;
	}
	return epoll_wait(ep->fd, events, EVENTS_PER_TURN, ms > INT_MAX ? INT_MAX : (int)ms);
}

static int epoll_turn(struct tako_loop *loop, uint64_t deadline_ns)
{
	struct tako__epoll *ep = TAKO__CONTAINER(loop, struct tako__epoll, base);
	struct epoll_event events[EVENTS_PER_TURN];
	struct tako_sock *work;
	int n = await_events(ep, events, deadline_ns);

	if (n < 0 && errno != EINTR)
		return tako__fail_errno("epoll_wait");
	tako_loop_refresh(loop);
	if (n > 0)
		tako__epoll_events(ep, events, (unsigned)n);
	look_at_disk(ep);
	/* Taken as a whole: what these sockets schedule anew waits for the next turn, so that
	 * one busy socket cannot keep the loop. */
	work = ep->work;
	ep->work = NULL;
	ep->work_tail = NULL;
	while (work) {
		struct tako_sock *s = work;

		work = s->next;
		s->flags &= ~SOCK_SCHEDULED;
		if (!(s->flags & SOCK_DEAD))
			tako__epoll_service(ep, s);
	}
	reap(ep);
	return 0;
}

static void epoll_wake(struct tako_loop *loop)
{
	struct tako__epoll *ep = TAKO__CONTAINER(loop, struct tako__epoll, base);
	int saved = errno; /* also called from signal handlers */

	(void)!write(ep->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
	errno = saved;
}

/* Kept only if it is watched: the host sleeps by it. */
static int open_timer(struct tako__epoll *ep)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ep};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	int rc;

	if (fd < 0)
		return tako__fail_errno("timerfd");
	if (epoll_ctl(ep->fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		rc = tako__fail_errno("timerfd: epoll_ctl");
		close(fd);
		return rc;
	}
	ep->timer_fd = fd;
	return 0;
}

static int epoll_pollable(struct tako_loop *loop, uint64_t deadline_ns)
{
	struct tako__epoll *ep = TAKO__CONTAINER(loop, struct tako__epoll, base);
	struct itimerspec when = {0};
	int rc = ep->timer_fd < 0 ? open_timer(ep) : 0;

	if (rc < 0)
		return rc;
	if (ep->work)
		deadline_ns = 1;
	else if (ep->cold && ep->cold_until_ns < deadline_ns)
		deadline_ns = ep->cold_until_ns;
	if (deadline_ns != UINT64_MAX) {
		when.it_value.tv_sec = (time_t)(deadline_ns / 1000000000u);
		when.it_value.tv_nsec = (long)(deadline_ns % 1000000000u) | (deadline_ns == 0);
	}
	if (timerfd_settime(ep->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return tako__fail_errno("timerfd_settime");
	return ep->fd;
}

static int epoll_listen(struct tako_loop *loop, struct tako_sock *ls, int fd)
{
	struct tako__epoll *ep = TAKO__CONTAINER(loop, struct tako__epoll, base);
	int err;

	ls->loop = loop;
	ls->fd = fd;
	ls->flags |= SOCK_LISTENS;
	err = watch(ls, EPOLLIN);
	if (err == 0)
		ep->sock_count++;
	return err;
}

static int epoll_start(struct tako_loop *loop, struct tako_sock *s, int fd)
{
	struct tako__epoll *ep = TAKO__CONTAINER(loop, struct tako__epoll, base);

	s->loop = loop;
	s->fd = fd;
	ep->sock_count++;
	/* Try to read first: a request that is already there is answered, and a connection that
	 * is closed after it never costs an epoll_ctl. */
	schedule(s, SOCK_READABLE | SOCK_WRITABLE);
	return 0;
}

static int epoll_connect(struct tako_loop *loop, struct tako_sock *s, int fd,
                         const struct sockaddr *to, socklen_t n)
{
	struct tako__epoll *ep = TAKO__CONTAINER(loop, struct tako__epoll, base);
	int err;

	s->loop = loop;
	s->fd = fd;
	s->flags |= TAKO_SOCK_CONNECTING;
	ep->sock_count++;
	err = tako__knock(fd, to, n);
	if (err == EINPROGRESS)
		return watch_stream(s, true);
	set_outcome(s, err);
	schedule(s, 0);
	return 0;
}

static int epoll_start_dgram(struct tako_loop *loop, struct tako_sock *s, int fd)
{
	struct tako__epoll *ep = TAKO__CONTAINER(loop, struct tako__epoll, base);
	int err = tako__epoll_dgram_open(ep, s, fd);

	if (err < 0)
		return err;
	s->loop = loop;
	s->fd = fd;
	/* Unlike a stream it will be there for long, so it is registered while that can still
	 * fail with a return value. */
	err = watch_stream(s, false);
	if (err < 0)
		return err;
	ep->sock_count++;
	schedule(s, SOCK_PACKETS | SOCK_READABLE | SOCK_WRITABLE);
	return 0;
}

static void epoll_resume(struct tako_sock *s)
{
	if (!(s->flags & TAKO_SOCK_PAUSED))
		return;
	s->flags &= ~TAKO_SOCK_PAUSED;
	if (s->flags & SOCK_LISTENS)
		watch(s, EPOLLIN);
	else
		schedule(s, 0);
}

static void epoll_flush(struct tako_sock *s)
{
	if (s->flags & SOCK_DIRTY)
		return;
	schedule(s, SOCK_DIRTY);
}

static void epoll_close(struct tako_sock *s)
{
	if (s->flags & TAKO_SOCK_CLOSING)
		return;
	schedule(s, TAKO_SOCK_CLOSING);
}

static void epoll_reset(struct tako_sock *s)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	epoll_close(s);
}

static void epoll_shut(struct tako_sock *s)
{
	shutdown(s->fd, SHUT_WR);
}

static bool epoll_waiting(struct tako_sock *s)
{
	char byte;

	return (s->flags & (SOCK_PARKED | SOCK_AHEAD)) ||
	       recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static bool epoll_silent(struct tako_sock *s)
{
	char byte;

	return !(s->flags & (SOCK_PARKED | SOCK_AHEAD | SOCK_FAILED | TAKO_SOCK_EOF)) &&
	       recv(s->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static size_t epoll_unacked(struct tako_sock *s)
{
	int held = 0;

	return ioctl(s->fd, SIOCOUTQ, &held) < 0 ? 0 : (size_t)held;
}

const tako_runtime *tako_runtime_epoll(void)
{
	static const tako_runtime runtime = {
		.size = sizeof(tako_runtime),
		.name = "epoll",
		.caps = TAKO_RT_FILE_SEND | TAKO_RT_DGRAM_GRO | TAKO_RT_DGRAM_GSO,
		.probe = epoll_probe,
		.open = epoll_open,
		.free = epoll_free,
		.turn = epoll_turn,
		.refresh = tako_loop_refresh,
		.wake = epoll_wake,
		.pollable = epoll_pollable,
		.listen = epoll_listen,
		.start = epoll_start,
		.resume = epoll_resume,
		.flush = epoll_flush,
		.close = epoll_close,
		.reset = epoll_reset,
		.shut = epoll_shut,
		.waiting = epoll_waiting,
		.unacked = epoll_unacked,
		.start_dgram = epoll_start_dgram,
		.connect = epoll_connect,
		.silent = epoll_silent,
	};
	return &runtime;
}

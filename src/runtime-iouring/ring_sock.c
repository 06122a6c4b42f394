/* SPDX-License-Identifier: MIT
 *
 * Sockets on the ring: how they receive, accept, pause and die.
 *
 * A stream is read in one of two ways.  A new one, and one that sends in bulk, is read by
 * recv(2) into one large buffer: what is there is there at once, and a body of 64 KiB costs one
 * call instead of a handful of completions.  Everybody else has a multishot receive armed and
 * costs no call at all.
 *
 * A socket is torn down only when the kernel holds no request of it any more: neither its
 * descriptor nor its memory may be somebody else's while one could still complete.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/accept.h"
#include "core/call.h"
#include "core/mem.h"
#include "runtime-iouring/ring_int.h"

enum {
	BULK_BYTES = 8192,  /* in one receive */
	SMALL_BYTES = 2048, /* seven of these in a row, and it is no bulk any more */
};

/* Received, but its owner has paused.  Oldest first: rt[0] is the first, rt[1] the last. */
struct parked {
	struct parked *next;
	size_t n;
	char data[];
};

static struct parked *first_parked(const struct tako_sock *s)
{
	return (struct parked *)(uintptr_t)s->rt[0];
}

bool tako__ring_has_parked(const struct tako_sock *s)
{
	return s->rt[0] != 0 && !(s->flags & TAKO_SOCK_CONNECTING);
}

static bool may_deliver(const struct tako_sock *s)
{
	return !(s->flags &
	         (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING | TAKO_SOCK_BROKEN | TAKO_SOCK_CONNECTING));
}

static bool may_receive(const struct tako_sock *s)
{
	return may_deliver(s) && (s->flags & (SOCK_READABLE | TAKO_SOCK_EOF)) == SOCK_READABLE;
}

/* Nothing is armed that would tell of the next byte, and somebody wants to know. */
static bool may_arm(const struct tako_sock *s)
{
	return may_deliver(s) && !(s->flags & (SOCK_RECEIVES | SOCK_POLLED | SOCK_CANCEL_IN |
	                                       SOCK_FAILED | SOCK_HANGUP | SOCK_READABLE));
}

static bool has_work(const struct tako_sock *s)
{
	if (TAKO__UNLIKELY(s->flags & TAKO_SOCK_CONNECTING))
		return (s->flags & TAKO_SOCK_CLOSING) || !(s->flags & SOCK_BLOCKED);
	if (s->flags & (TAKO_SOCK_CLOSING | SOCK_DIRTY))
		return true;
	/* The end of our side follows what is staged: the next enter must not wait for others. */
	if ((s->flags & (SOCK_SHUT | SOCK_STAGED)) == (SOCK_SHUT | SOCK_STAGED))
		return true;
	if (s->flags & SOCK_LISTENS)
		return (s->flags & (SOCK_READABLE | TAKO_SOCK_PAUSED)) == SOCK_READABLE;
	if (!may_deliver(s))
		return false;
	return tako__ring_has_parked(s) || (s->flags & SOCK_FAILED) || may_receive(s) ||
	       (s->flags & (SOCK_ENDED | TAKO_SOCK_EOF)) == SOCK_ENDED || may_arm(s);
}

/* A receive goes on and nothing else: the short answer for most completions. */
static bool is_at_ease(const struct tako_sock *s)
{
	const uint32_t unusual = TAKO_SOCK_CLOSING | SOCK_DIRTY | SOCK_SHUT | SOCK_LISTENS |
	                         SOCK_FAILED | SOCK_READABLE | SOCK_ENDED;

	return (s->flags & (unusual | SOCK_RECEIVES)) == SOCK_RECEIVES && !tako__ring_has_parked(s);
}

/* ---- Cancelling -------------------------------------------------------------------- */

static enum tako__ring_tag in_tag(const struct tako_sock *s)
{
	return TAKO__UNLIKELY(s->flags & SOCK_PACKETS) ? TAG_DGRAM : TAG_IN;
}

/* False: there is nothing to cancel, or it is on its way already. */
static bool cancel(struct tako__ring *r, struct tako_sock *s, enum tako__ring_tag what,
                   enum tako__ring_tag as, uint32_t armed, uint32_t cancelling)
{
	struct io_uring_sqe *sqe;

	if (!(s->flags & armed) || (s->flags & cancelling))
		return false;
	sqe = tako__ring_sqe(r);
	if (!sqe)
		return false;
	io_uring_prep_cancel64(sqe, tako__ring_tagged(s, what), 0);
	sqe->user_data = tako__ring_tagged(s, as);
	s->flags |= cancelling;
	return true;
}

void tako__ring_cancel_in(struct tako__ring *r, struct tako_sock *s)
{
	cancel(r, s, in_tag(s), TAG_CANCEL_IN, SOCK_RECEIVES | SOCK_POLLED, SOCK_CANCEL_IN);
}

static void cancel_out(struct tako__ring *r, struct tako_sock *s)
{
	cancel(r, s, TAG_OUT, TAG_CANCEL_OUT, SOCK_BLOCKED, SOCK_CANCEL_OUT);
}

/* Its result says little: what it was to end may have ended by itself, or go on.  Whoever still
 * wants it to end tries again. */
void tako__ring_on_cancel(struct tako_sock *s, uint32_t which)
{
	s->flags &= ~which;
	tako__ring_schedule(s, 0);
}

/* ---- Delivering ------------------------------------------------------------------------ */

static void deliver_end(struct tako_sock *s, int res)
{
	s->flags &= ~(SOCK_READABLE | SOCK_ENDED);
	s->flags |= res < 0 ? TAKO_SOCK_BROKEN : TAKO_SOCK_EOF;
	s->cb->on_recv(s, NULL, res);
}

/* One that sends much is better read by call, until it has not for a while. */
static void judge(struct tako__ring *r, struct tako_sock *s, size_t n)
{
	size_t bulk = r->bufs.bytes < BULK_BYTES ? r->bufs.bytes : BULK_BYTES;

	if (n >= bulk) {
		s->flags |= SOCK_BULK;
		if (s->flags & SOCK_RECEIVES)
			tako__ring_cancel_in(r, s);
	} else if (TAKO__UNLIKELY(s->flags & SOCK_BULK)) {
		if (n > SMALL_BYTES)
			s->flags |= SOCK_BULK;
		else
			s->flags -= SOCK_BULK_ONE;
		if (!(s->flags & SOCK_BULK))
			tako__ring_cancel_in(r, s);
	}
}

/* What it causes to be written is sent right behind it. */
static void deliver(struct tako__ring *r, struct tako_sock *s, char *p, size_t n)
{
	judge(r, s, n);
	s->cb->on_recv(s, p, (ssize_t)n);
	if (s->flags & SOCK_DIRTY)
		tako__ring_flush(r, s);
}

static void park(struct tako_sock *s, const char *p, size_t n)
{
	struct parked *k = tako__alloc(sizeof *k + n);
	struct parked *last = (struct parked *)(uintptr_t)s->rt[1];

	if (!k) {
		/* Without these bytes the ones behind them mean something else. */
		tako__ring_fail(s);
		return;
	}
	k->next = NULL;
	k->n = n;
	memcpy(k->data, p, n);
	if (s->rt[0])
		last->next = k;
	else
		s->rt[0] = (uintptr_t)k;
	s->rt[1] = (uintptr_t)k;
}

static void unpark(struct tako_sock *s)
{
	struct parked *k = first_parked(s);

	s->rt[0] = (uintptr_t)k->next;
	tako__free(k, sizeof *k + k->n);
}

static void deliver_parked(struct tako__ring *r, struct tako_sock *s)
{
	while (tako__ring_has_parked(s) && may_deliver(s)) {
		struct parked *k = first_parked(s);

		/* Out of the list first: what arrives meanwhile goes behind it. */
		deliver(r, s, k->data, k->n);
		unpark(s);
	}
	if (tako__ring_has_parked(s) || !may_deliver(s))
		return;
	/* Where the owner hears of everything else, and no sooner than its pause allows. */
	if (s->flags & SOCK_FAILED)
		deliver_end(s, TAKO_ECLOSED);
	else if ((s->flags & (SOCK_ENDED | TAKO_SOCK_EOF)) == SOCK_ENDED)
		deliver_end(s, 0);
}

/* ---- Receiving by call -------------------------------------------------------------------- */

/* False: nothing more to be had now. */
static bool receive_once(struct tako__ring *r, struct tako_sock *s)
{
	ssize_t n;

	tako__expect(s);
	n = tako__call_recv(s->fd, r->recv_buffer, r->recv_bytes, MSG_DONTWAIT);
	tako__expect_head(r->recv_buffer);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		s->flags &= ~SOCK_READABLE;
		return false;
	}
	if (n <= 0) {
		deliver_end(s, n < 0 ? TAKO_ECLOSED : 0);
		return false;
	}
	/* A short read has emptied the socket.  With a hang-up already reported nothing further
	 * would be: it has to be read up to there. */
	if ((size_t)n < r->recv_bytes && !(s->flags & SOCK_HANGUP))
		s->flags &= ~SOCK_READABLE;
	deliver(r, s, r->recv_buffer, (size_t)n);
	return true;
}

static void receive_some(struct tako__ring *r, struct tako_sock *s)
{
	/* A receive of the ring may have bytes that come before these. */
	if (s->flags & SOCK_RECEIVES)
		return;
	for (unsigned i = 0; i < r->recv_budget && may_receive(s); i++) {
		if (!receive_once(r, s))
			return;
	}
}

/* ---- Arming ---------------------------------------------------------------------------------- */

static void arm_receive(struct tako__ring *r, struct tako_sock *s, struct io_uring_sqe *sqe)
{
	io_uring_prep_recv_multishot(sqe, s->fd, NULL, 0, 0);
	/* It ends after a quarter of the ring, so that one fast sender does not empty it and a pause
	 * does not come too late for much. */
	if (r->limits_recv)
		sqe->file_index = tako__bufs_limit(&r->bufs);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = TAKO__BUF_GROUP;
	s->flags |= SOCK_RECEIVES;
}

static void arm_poll(struct tako_sock *s, struct io_uring_sqe *sqe)
{
	/* After the peer's end only a reset is left to be told, and errors always are. */
	io_uring_prep_poll_multishot(sqe, s->fd, s->flags & TAKO_SOCK_EOF ? 0 : POLLIN | POLLRDHUP);
	s->flags |= SOCK_POLLED;
}

static void arm(struct tako__ring *r, struct tako_sock *s)
{
	struct io_uring_sqe *sqe = may_arm(s) ? tako__ring_sqe(r) : NULL;

	if (!sqe)
		return;
	if (s->flags & SOCK_PACKETS)
		tako__ring_dgram_arm(r, s, sqe);
	else if (s->flags & (SOCK_LISTENS | SOCK_BULK | TAKO_SOCK_EOF))
		arm_poll(s, sqe);
	else
		arm_receive(r, s, sqe);
	sqe->user_data = tako__ring_tagged(s, in_tag(s));
}

/* ---- Accepting ------------------------------------------------------------------------------------ */

/* The ring polls and accept is called: a multishot accept does not tell the peer's address, which
 * is then a call as well, and takes what a pause should have left in the backlog. */
static void accept_some(struct tako_sock *ls)
{
	if (!tako__accept_some(ls))
		ls->flags &= ~SOCK_READABLE;
}

/* ---- Connecting ----------------------------------------------------------------------------------- */

/* By call and a poll, not by the ring's own request: that may wait in a thread of the kernel's where a Unix
 * socket's backlog is full. */
static bool is_connected(struct tako__ring *r, struct tako_sock *s)
{
	int err = (int)s->rt[TAKO__RING_OUTCOME] - 1;

	if (err < 0) {
		if (!(s->flags & SOCK_BLOCKED))
			(void)tako__ring_wait_writable(r, s);
		return false;
	}
	s->rt[TAKO__RING_OUTCOME] = 0;
	s->flags &= ~TAKO_SOCK_CONNECTING;
	if (err) {
		s->flags |= SOCK_FAILED | TAKO_SOCK_BROKEN;
		tako_sock_fail(s, TAKO_ECLOSED);
	}
	s->cb->on_connect(s, err);
	return err == 0;
}

/* ---- Completions ------------------------------------------------------------------------------ */

static void on_received(struct tako__ring *r, struct tako_sock *s, char *p, size_t n)
{
	if (s->flags & (TAKO_SOCK_CLOSING | TAKO_SOCK_BROKEN))
		return;
	if (TAKO__LIKELY(may_deliver(s) && !tako__ring_has_parked(s))) {
		r->current = s;
		deliver(r, s, p, n);
		r->current = NULL;
		return;
	}
	/* More of it stays in the socket, where the peer notices.  At most what the kernel had
	 * completed by then is parked. */
	park(s, p, n);
	tako__ring_cancel_in(r, s);
}

/* Where a buffer ends one request is cut in two, and a parser would have to keep the first half.
 * The second is the next completion: put them together.  True: wait for it. */
static bool join_first(struct tako__ring *r, struct tako_sock *s, const char *p, size_t n)
{
	const struct io_uring_cqe *next;

	if (r->completions < 2)
		return false;
	next = tako__ring_next(r);
	if (next->user_data != tako__ring_tagged(s, TAG_IN) || next->res <= 0 ||
	    r->joined + n + (size_t)next->res > r->recv_bytes)
		return false;
	memcpy(r->recv_buffer + r->joined, p, n);
	r->joined += n;
	return true;
}

/* The limit of a receive cuts without regard too, and the rest is still in the socket. */
static size_t join_rest(struct tako__ring *r, struct tako_sock *s, const char *p, size_t n)
{
	ssize_t more;

	memcpy(r->recv_buffer, p, n);
	tako__expect(s);
	more = tako__call_recv(s->fd, r->recv_buffer + n, r->recv_bytes - n, MSG_DONTWAIT);
	if (more == 0)
		s->flags |= SOCK_ENDED;
	else if (more < 0 && errno != EAGAIN && errno != EINTR)
		tako__ring_fail(s);
	return more > 0 ? n + (size_t)more : n;
}

static void take_bytes(struct tako__ring *r, struct tako_sock *s, char *p, size_t n, uint32_t flags)
{
	if (TAKO__UNLIKELY(tako__bufs_ends(&r->bufs, flags)) && join_first(r, s, p, n))
		return;
	if (TAKO__UNLIKELY(r->joined)) {
		memcpy(r->recv_buffer + r->joined, p, n);
		p = r->recv_buffer;
		n += r->joined;
		r->joined = 0;
	} else if (TAKO__UNLIKELY(!(flags & IORING_CQE_F_MORE)) && may_deliver(s) &&
	           n < r->recv_bytes && !tako__ring_has_parked(s)) {
		n = join_rest(r, s, p, n);
		p = r->recv_buffer;
	}
	on_received(r, s, p, n);
}

static void on_receive(struct tako__ring *r, struct tako_sock *s, int res, uint32_t flags)
{
	if (TAKO__LIKELY(flags & IORING_CQE_F_BUFFER)) {
		size_t n = res > 0 ? (size_t)res : 0;
		char *p = tako__bufs_take(&r->bufs, flags, n);

		if (TAKO__LIKELY(n))
			take_bytes(r, s, p, n, flags);
		tako__bufs_give(&r->bufs, flags, p, n);
	}
	if (TAKO__LIKELY(res > 0) || res == -ECANCELED)
		return;
	if (res == 0)
		s->flags |= SOCK_ENDED;
	else if (res == -ENOBUFS || res == -EAGAIN || res == -EINTR || res == -ENOMEM)
		/* There is something and the ring had no place for it: a call has. */
		s->flags |= SOCK_READABLE;
	else
		tako__ring_fail(s);
}

static void on_poll(struct tako__ring *r, struct tako_sock *s, int res)
{
	if (res < 0)
		return;
	if (s->flags & TAKO_SOCK_EOF) {
		/* Once is enough: it would only say again that the end has come. */
		if (!(s->flags & SOCK_POLLED))
			s->flags |= SOCK_HANGUP;
		if (res & POLLERR)
			tako__ring_fail(s);
		return;
	}
	s->flags |= SOCK_READABLE;
	if (s->flags & SOCK_LISTENS) {
		/* At once: whom it accepts is served in this turn. */
		r->current = s;
		accept_some(s);
		r->current = NULL;
	} else if (res & (POLLRDHUP | POLLHUP | POLLERR)) {
		s->flags |= SOCK_HANGUP;
	}
}

void tako__ring_on_in(struct tako__ring *r, struct tako_sock *s, int res, uint32_t flags)
{
	bool polled = s->flags & SOCK_POLLED;

	if (TAKO__UNLIKELY(!(flags & IORING_CQE_F_MORE)))
		s->flags &= ~(SOCK_RECEIVES | SOCK_POLLED);
	if (polled)
		on_poll(r, s, res);
	else
		on_receive(r, s, res, flags);
	/* The last of its receives filled a buffer: there is more. */
	if (TAKO__UNLIKELY(s->flags & SOCK_BULK) && !polled && !(s->flags & SOCK_RECEIVES))
		s->flags |= SOCK_READABLE;
	if (TAKO__UNLIKELY(!is_at_ease(s)) && has_work(s))
		tako__ring_schedule(s, 0);
}

/* ---- Closing ---------------------------------------------------------------------------------------- */

static void tear_down(struct tako__ring *r, struct tako_sock *s)
{
	if (s->flags & SOCK_LISTENS)
		tako__accept_last(s);
	s->flags |= SOCK_DEAD;
	tako_sock_fail(s, TAKO_ECLOSED);
	if (s->flags & SOCK_PACKETS)
		tako__ring_dgram_fini(r, s);
	while (tako__ring_has_parked(s))
		unpark(s);
	/* A listener's stays open with its owner. */
	if (!(s->flags & SOCK_LISTENS))
		close(s->fd);
	s->next = r->dead;
	r->dead = s;
}

/* What was told done has to leave, as it does from a kernel's buffer after close(2). */
static bool owes(const struct tako_sock *s)
{
	return (s->flags & SOCK_OWES) &&
	       !(s->flags & (SOCK_RESET | SOCK_FAILED | TAKO_SOCK_BROKEN));
}

static void close_down(struct tako__ring *r, struct tako_sock *s)
{
	/* The next enter comes without a wait, as we are on the list. */
	if (s->flags & SOCK_STAGED) {
		tako__ring_schedule(s, 0);
		return;
	}
	if (owes(s)) {
		if (!(s->flags & SOCK_BLOCKED))
			tako__ring_linger(r, s);
		else if (!(s->flags & SOCK_LINGERS))
			cancel_out(r, s);
		if ((s->flags & (SOCK_BLOCKED | SOCK_LINGERS | SOCK_CANCEL_OUT)) == SOCK_BLOCKED)
			tako__ring_schedule(s, 0); /* no entry was free for the cancellation */
		if (s->flags & SOCK_BLOCKED)
			return;
	}
	tako__ring_cancel_in(r, s);
	cancel_out(r, s);
	if (!(s->flags & SOCK_IN_KERNEL))
		tear_down(r, s);
	else if (!(s->flags & (SOCK_CANCEL_IN | SOCK_CANCEL_OUT | SOCK_READS_FILE)))
		tako__ring_schedule(s, 0); /* no entry was free for the cancellation */
}

/* ---- The work list ------------------------------------------------------------------------------------- */

static void service_stream(struct tako__ring *r, struct tako_sock *s)
{
	if (TAKO__UNLIKELY(s->flags & TAKO_SOCK_CONNECTING) && !is_connected(r, s))
		return;
	deliver_parked(r, s);
	receive_some(r, s);
	if ((s->flags & SOCK_DIRTY) && !(s->flags & TAKO_SOCK_CLOSING))
		tako__ring_flush(r, s);
	if ((s->flags & SOCK_SHUT) && !s->head && !(s->flags & SOCK_STAGED)) {
		s->flags &= ~SOCK_SHUT;
		shutdown(s->fd, SHUT_WR);
	}
}

void tako__ring_service(struct tako__ring *r, struct tako_sock *s)
{
	r->current = s;
	if (!(s->flags & TAKO_SOCK_CLOSING)) {
		if (s->flags & SOCK_LISTENS)
			accept_some(s);
		else if (s->flags & SOCK_PACKETS)
			tako__ring_dgram_service(r, s);
		else
			service_stream(r, s);
		arm(r, s);
	}
	r->current = NULL;
	if (s->flags & TAKO_SOCK_CLOSING)
		close_down(r, s);
	else if (has_work(s))
		tako__ring_schedule(s, 0);
}

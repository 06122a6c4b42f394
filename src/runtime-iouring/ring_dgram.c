/* SPDX-License-Identifier: MIT
 *
 * The datagram half of the io_uring runtime.
 *
 * A socket has one multishot receive armed: each message becomes a completion, in a buffer of a ring
 * of their own, for nothing a datagram may be fits into a stream's.  Completions that follow each
 * other are handed up as one batch.  When the ring of buffers runs dry, and on kernels that know no
 * such receive, recvmmsg(2) brings the rest; sendmmsg(2) sends, since one call for many messages
 * is cheaper than an entry for each.  Both are core/dgram_batch.c.
 *
 * What arrives for one that has paused is held in its buffer: it needs no memory then, so none can
 * be missing, and whom that leaves without buffers is read by call.
 */
#include <poll.h>
#include <string.h>

#include "core/dgram_batch.h"
#include "core/mem.h"
#include "runtime-iouring/ring_int.h"

enum {
	/* What the kernel has to say of a message comes before its bytes. */
	NAME_BYTES = sizeof(struct sockaddr_storage),
	CONTROL_AT = sizeof(struct io_uring_recvmsg_out) + NAME_BYTES,
	PAYLOAD_AT = CONTROL_AT + TAKO_DGRAM_CONTROL_BYTES,
	/* No multiple of a page: the first lines of all buffers would share a few places of the
	 * cache. */
	BUFFER_BYTES = TAKO__DGRAM_BUFFER_BYTES + 512,
	/* Traffic walks all of them, so more would leave the second-level cache.  What there is
	 * beyond them is a burst, and comes by call. */
	BUFFERS_MAX = 32,
	GROUP = TAKO__BUF_GROUP + 1,
};
_Static_assert(PAYLOAD_AT + TAKO__DGRAM_BUFFER_BYTES <= BUFFER_BYTES, "a whole train fits");

/* Of a loop, from its first datagram socket on. */
struct tako__ring_dgrams {
	struct tako__dgram_batch *batch; /* for receives by call */
	struct tako__bufs bufs;          /* without a block: all receives are */
	/* What has come for one socket and is about to be delivered; then the buffers go back. */
	unsigned count;
	struct tako_dgram out[TAKO_DGRAM_BATCH];
	union tako_dgram_addr to[TAKO_DGRAM_BATCH];
	struct message {
		char *p;
		uint32_t n;
		uint32_t cqe_flags; /* names the buffer */
		uint32_t next;      /* held: 1 + the index of the one that came after it */
	} messages[TAKO_DGRAM_BATCH];
	struct message held[BUFFERS_MAX]; /* by buffer */
};

/* Of a socket: rt[1].  rt[0] is 1 + the buffer of the first message that is held. */
struct dgram_sock {
	struct tako__dgram_sock d;
	uint32_t last_held;
};

bool tako__ring_dgrams_by_call;

static struct dgram_sock *own(const struct tako_sock *s)
{
	return (struct dgram_sock *)(uintptr_t)s->rt[1];
}

static bool may_deliver(const struct tako_sock *s)
{
	return !(s->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING));
}

/* ---- Setting up ------------------------------------------------------------------- */

static int open_buffers(struct tako__ring *r, struct tako__ring_dgrams *g)
{
	unsigned count = r->dgram_buffers && r->dgram_buffers < BUFFERS_MAX ? r->dgram_buffers
	                                                                    : BUFFERS_MAX;
	int rc;

	if (!r->multishot_recvmsg || tako__ring_dgrams_by_call)
		return 0;
	rc = tako__bufs_open_whole(&g->bufs, &r->uring, GROUP, count, BUFFER_BYTES);
	/* Without that ring there are calls. */
	if (rc < 0)
		tako__bufs_fini(&g->bufs);
	return rc == TAKO_ENOMEM ? rc : 0;
}

static int open_loop(struct tako__ring *r)
{
	struct tako__ring_dgrams *g = r->dgrams;
	int rc;

	if (g)
		return 0;
	g = tako__zalloc(sizeof *g);
	if (!g)
		return TAKO_ENOMEM;
	g->batch = tako__dgram_batch_new();
	rc = g->batch ? open_buffers(r, g) : TAKO_ENOMEM;
	if (rc < 0) {
		tako__dgram_batch_free(g->batch);
		tako__free(g, sizeof *g);
		return rc;
	}
	r->dgrams = g;
	return 0;
}

int tako__ring_dgram_open(struct tako__ring *r, struct tako_sock *s, int fd)
{
	struct tako_dgram_info info;
	struct dgram_sock *d;
	int rc = tako_dgram_setup(&info, fd);

	if (rc < 0)
		return rc;
	d = open_loop(r) == 0 ? tako__zalloc(sizeof *d) : NULL;
	if (!d)
		return tako__fail(TAKO_ENOMEM, "datagram buffers: out of memory");
	d->d.info = info;
	s->rt[0] = 0;
	s->rt[1] = (uintptr_t)d;
	return 0;
}

void tako__ring_dgrams_fini(struct tako__ring *r)
{
	struct tako__ring_dgrams *g = r->dgrams;

	if (!g)
		return;
	tako__bufs_fini(&g->bufs);
	tako__dgram_batch_free(g->batch);
	tako__free(g, sizeof *g);
}

void tako__ring_dgram_arm(struct tako__ring *r, struct tako_sock *s, struct io_uring_sqe *sqe)
{
	/* Only the room that it asks for is looked at, and when it is submitted. */
	static struct msghdr room = {.msg_namelen = NAME_BYTES,
	                             .msg_controllen = TAKO_DGRAM_CONTROL_BYTES};

	if (!r->dgrams->bufs.block) {
		io_uring_prep_poll_multishot(sqe, s->fd, POLLIN);
		s->flags |= SOCK_POLLED;
		return;
	}
	io_uring_prep_recvmsg_multishot(sqe, s->fd, &room, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = GROUP;
	s->flags |= SOCK_RECEIVES;
}

/* ---- Sending ---------------------------------------------------------------------- */

static void flush(struct tako__ring *r, struct tako_sock *s)
{
	enum tako__sent sent;

	s->flags &= ~SOCK_DIRTY;
	/* The completion of it comes back here. */
	if (s->flags & SOCK_BLOCKED)
		return;
	sent = tako__dgram_send(s, &own(s)->d);
	if (sent == TAKO__SENT_LATER ||
	    (sent == TAKO__SENT_FULL && !tako__ring_wait_writable(r, s)))
		tako__ring_schedule(s, SOCK_DIRTY);
}

/* ---- Delivering ------------------------------------------------------------------- */

static void give(struct tako__ring_dgrams *g, const struct message *m)
{
	tako__bufs_give(&g->bufs, m->cqe_flags, m->p, m->n);
}

static void decode(struct tako__ring_dgrams *g, unsigned i, const struct tako_dgram_info *info)
{
	const struct message *m = &g->messages[i];
	struct io_uring_recvmsg_out head;
	struct msghdr msg;

	memcpy(&head, m->p, sizeof head);
	msg = (struct msghdr){
		.msg_name = m->p + sizeof head,
		.msg_namelen = head.namelen < NAME_BYTES ? head.namelen : NAME_BYTES,
		.msg_control = m->p + CONTROL_AT,
		.msg_controllen = head.controllen,
		.msg_flags = (int)head.flags,
	};
	tako_dgram_decode(&g->out[i], &g->to[i], info, &msg, m->p + PAYLOAD_AT, m->n - PAYLOAD_AT);
}

/* What it causes to be sent is sent right behind it. */
static void deliver(struct tako__ring *r, struct tako_sock *s)
{
	struct tako__ring_dgrams *g = r->dgrams;
	unsigned count = g->count;

	g->count = 0;
	for (unsigned i = 0; i < count; i++)
		decode(g, i, &own(s)->d.info);
	s->cb->on_dgrams(s, g->out, count);
	for (unsigned i = 0; i < count; i++)
		give(g, &g->messages[i]);
	if ((s->flags & SOCK_DIRTY) && !(s->flags & TAKO_SOCK_CLOSING))
		flush(r, s);
}

static void hold(struct tako__ring_dgrams *g, struct tako_sock *s, const struct message *m)
{
	uint32_t id = m->cqe_flags >> IORING_CQE_BUFFER_SHIFT;

	g->held[id] = *m;
	g->held[id].next = 0;
	if (s->rt[0])
		g->held[own(s)->last_held].next = id + 1;
	else
		s->rt[0] = id + 1;
	own(s)->last_held = id;
}

static struct message release(struct tako__ring_dgrams *g, struct tako_sock *s)
{
	struct message m = g->held[s->rt[0] - 1];

	s->rt[0] = m.next;
	return m;
}

static void deliver_held(struct tako__ring *r, struct tako_sock *s)
{
	struct tako__ring_dgrams *g = r->dgrams;

	while (s->rt[0] && may_deliver(s)) {
		while (s->rt[0] && g->count < TAKO_DGRAM_BATCH)
			g->messages[g->count++] = release(g, s);
		deliver(r, s);
	}
}

static void receive_some(struct tako__ring *r, struct tako_sock *s)
{
	/* A receive of the ring may have datagrams that come before these. */
	if (s->flags & SOCK_RECEIVES)
		return;
	for (unsigned i = tako__dgram_budget(r->recv_budget);
	     i && (s->flags & SOCK_READABLE) && may_deliver(s); i--) {
		enum tako__dgram_got got = tako__dgram_recv(r->dgrams->batch, s, &own(s)->d);

		if (got != TAKO__DGRAM_MORE)
			s->flags &= ~SOCK_READABLE;
		if ((s->flags & SOCK_DIRTY) && !(s->flags & TAKO_SOCK_CLOSING))
			flush(r, s);
	}
}

/* Datagrams that the kernel has completed before the cancellation are in the completions before its own. */
static void receive_last(struct tako__ring *r, struct tako_sock *s)
{
	if (!tako__dgram_ends(s))
		return;
	if (!(s->flags & SOCK_RECEIVES)) {
		tako__dgram_end(s);
		return;
	}
	tako__ring_cancel_in(r, s);
	if (!(s->flags & SOCK_CANCEL_IN))
		tako__ring_schedule(s, 0); /* no entry was free for the cancellation */
}

void tako__ring_dgram_service(struct tako__ring *r, struct tako_sock *s)
{
	deliver_held(r, s);
	tako__dgram_report(s, &own(s)->d);
	receive_last(r, s);
	receive_some(r, s);
	if ((s->flags & SOCK_DIRTY) && !(s->flags & TAKO_SOCK_CLOSING))
		flush(r, s);
	tako__dgram_report(s, &own(s)->d);
}

/* ---- Completions ------------------------------------------------------------------ */

static bool is_message(int res, uint32_t flags)
{
	return (flags & IORING_CQE_F_BUFFER) && res >= PAYLOAD_AT;
}

/* Will the next completion be one more of the same batch? */
static bool follows(const struct tako__ring *r, struct tako_sock *s)
{
	const struct io_uring_cqe *next;

	if (r->completions < 2 || r->dgrams->count == TAKO_DGRAM_BATCH)
		return false;
	next = tako__ring_next(r);
	return next->user_data == tako__ring_tagged(s, TAG_DGRAM) &&
	       is_message(next->res, next->flags);
}

static void on_message(struct tako__ring *r, struct tako_sock *s, int res, uint32_t flags)
{
	struct tako__ring_dgrams *g = r->dgrams;
	struct message m = {.n = (uint32_t)res, .cqe_flags = flags};

	m.p = tako__bufs_take(&g->bufs, flags, m.n);
	if (s->flags & TAKO_SOCK_CLOSING) {
		give(g, &m);
	} else if (!may_deliver(s) || s->rt[0]) {
		/* More of it stays in the socket. */
		hold(g, s, &m);
		if (!may_deliver(s))
			tako__ring_cancel_in(r, s);
	} else {
		g->messages[g->count++] = m;
		if (follows(r, s))
			return;
		r->current = s;
		deliver(r, s);
		r->current = NULL;
	}
}

void tako__ring_on_dgram(struct tako__ring *r, struct tako_sock *s, int res, uint32_t flags)
{
	bool polled = s->flags & SOCK_POLLED;
	bool goes_on = flags & IORING_CQE_F_MORE;

	if (!goes_on)
		s->flags &= ~(SOCK_RECEIVES | SOCK_POLLED);
	if (is_message(res, flags))
		on_message(r, s, res, flags);
	else if (flags & IORING_CQE_F_BUFFER)
		tako__bufs_give(&r->dgrams->bufs, flags,
		                tako__bufs_take(&r->dgrams->bufs, flags, 0), 0);
	else if (polled ? res > 0
	                : res == -ENOBUFS || res == -ENOMEM || res == -EAGAIN || res == -EINTR)
		/* There is something and the ring had no place for it: a call has. */
		s->flags |= SOCK_READABLE;
	else if (res < 0 && res != -ECANCELED)
		own(s)->d.error = -res;
	if (!goes_on || (s->flags & (SOCK_READABLE | SOCK_DIRTY | TAKO_SOCK_CLOSING)))
		tako__ring_schedule(s, 0);
}

void tako__ring_dgram_fini(struct tako__ring *r, struct tako_sock *s)
{
	while (s->rt[0]) {
		struct message m = release(r->dgrams, s);

		give(r->dgrams, &m);
	}
	tako__free(own(s), sizeof(struct dgram_sock));
	s->rt[1] = 0;
}

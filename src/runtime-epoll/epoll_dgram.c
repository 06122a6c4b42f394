/* SPDX-License-Identifier: MIT
 *
 * The datagram half of the epoll runtime: a batch of messages in one call, in both directions.
 * What messages mean is core/dgram.c; when to call is epoll.c.
 */
#include <errno.h>
#include <string.h>

#include "core/base.h"
#include "core/mem.h"
#include "runtime-epoll/epoll_int.h"

enum {
	/* A joined train is up to 64 KiB, and the kernel cuts off what does not fit.  Only the
	 * pages that traffic reaches are ever touched. */
	BUFFER_BYTES = 64 << 10,
	BUFFER_ALIGN = 4096,
	SEND_BATCH = 16,
	SEND_BUDGET = 8, /* batches a turn, then others get theirs */
};

/* Where messages arrive: one for all datagram sockets of a loop. */
struct tako__epoll_dgrams {
	struct mmsghdr msgs[TAKO_DGRAM_BATCH];
	struct iovec iov[TAKO_DGRAM_BATCH];
	struct sockaddr_storage from[TAKO_DGRAM_BATCH];
	union tako_dgram_addr to[TAKO_DGRAM_BATCH];
	union tako_dgram_control control[TAKO_DGRAM_BATCH];
	struct tako_dgram out[TAKO_DGRAM_BATCH];
	char *buffers; /* behind the struct, aligned */
};

enum {
	BLOCK_BYTES = sizeof(struct tako__epoll_dgrams) + TAKO_DGRAM_BATCH * BUFFER_BYTES +
	              BUFFER_ALIGN,
};

/* ---- The socket's two words ------------------------------------------------------- */

static struct tako_dgram_info info_of(const struct tako_sock *s)
{
	struct tako_dgram_info info;

	_Static_assert(sizeof info == sizeof s->rt[0], "one word");
	memcpy(&info, &s->rt[0], sizeof info);
	return info;
}

static void set_info(struct tako_sock *s, const struct tako_dgram_info *info)
{
	memcpy(&s->rt[0], info, sizeof *info);
}

/* An error the kernel told us of, and that the owner is to hear: when it is not paused. */
static void note_error(struct tako_sock *s, int errno_value)
{
	s->rt[1] = (uint64_t)errno_value;
}

/* ---- Setting up ------------------------------------------------------------------- */

int tako__epoll_dgram_open(struct tako__epoll *ep, struct tako_sock *s, int fd)
{
	struct tako__epoll_dgrams *g = ep->dgrams;
	struct tako_dgram_info info;
	int err = tako_dgram_setup(&info, fd);

	if (err < 0)
		return err;
	if (!g) {
		g = tako__alloc(BLOCK_BYTES);
		if (!g)
			return tako__fail(TAKO_ENOMEM, "datagram buffers: out of memory");
		g->buffers = (char *)(((uintptr_t)(g + 1) + BUFFER_ALIGN - 1) &
		                      ~(uintptr_t)(BUFFER_ALIGN - 1));
		ep->dgrams = g;
	}
	set_info(s, &info);
	s->rt[1] = 0;
	return 0;
}

void tako__epoll_dgram_fini(struct tako__epoll *ep)
{
	tako__free(ep->dgrams, BLOCK_BYTES);
}

/* ---- Receiving -------------------------------------------------------------------- */

static void arm(struct tako__epoll_dgrams *g, unsigned i)
{
	g->iov[i] = (struct iovec){.iov_base = g->buffers + (size_t)i * BUFFER_BYTES,
	                           .iov_len = BUFFER_BYTES};
	g->msgs[i].msg_hdr = (struct msghdr){.msg_name = &g->from[i],
	                                     .msg_namelen = sizeof g->from[i],
	                                     .msg_iov = &g->iov[i],
	                                     .msg_iovlen = 1,
	                                     .msg_control = &g->control[i],
	                                     .msg_controllen = sizeof g->control[i]};
}

static void deliver(struct tako__epoll_dgrams *g, struct tako_sock *s, unsigned count)
{
	struct tako_dgram_info info = info_of(s);

	for (unsigned i = 0; i < count; i++)
		tako_dgram_decode(&g->out[i], &g->to[i], &info, &g->msgs[i].msg_hdr,
		                  g->iov[i].iov_base, g->msgs[i].msg_len);
	s->cb->on_dgrams(s, g->out, count);
}

void tako__epoll_dgram_report(struct tako_sock *s)
{
	if (!s->rt[1] || (s->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING)))
		return;
	errno = (int)s->rt[1];
	s->rt[1] = 0;
	tako__fail_errno("datagram sent earlier");
	s->cb->on_recv(s, NULL, TAKO_ESYS);
}

bool tako__epoll_dgram_recv(struct tako__epoll *ep, struct tako_sock *s)
{
	struct tako__epoll_dgrams *g = ep->dgrams;
	int n;

	for (unsigned i = 0; i < TAKO_DGRAM_BATCH; i++)
		arm(g, i);
	n = recvmmsg(s->fd, g->msgs, TAKO_DGRAM_BATCH, 0, NULL);
	if (n < 0 && errno == EAGAIN) {
		s->flags &= ~SOCK_READABLE;
		return false;
	}
	if (n < 0) {
		if (errno != EINTR)
			note_error(s, errno);
		tako__epoll_dgram_report(s);
		return true;
	}
	/* What comes after a short batch makes a new edge, and so does an error. */
	if (n < TAKO_DGRAM_BATCH)
		s->flags &= ~SOCK_READABLE;
	deliver(g, s, (unsigned)n);
	return true;
}

/* ---- Sending ---------------------------------------------------------------------- */

struct batch {
	struct mmsghdr msgs[SEND_BATCH];
	struct iovec iov[SEND_BATCH];
	union tako_dgram_control control[SEND_BATCH];
};

/* How many messages; none, and a negative errno, if the head itself cannot be sent. */
static int fill(struct batch *b, const struct tako_sock *s, const struct tako_dgram_info *info)
{
	int count = 0;

	for (const struct tako_send *op = s->head; op; op = op->next) {
		const struct tako_dgram_send *d = (const void *)op;
		size_t at = 0;

		do {
			int n = count == SEND_BATCH
			                ? 0
			                : tako_dgram_encode(&b->msgs[count].msg_hdr, &b->iov[count],
			                                    &b->control[count], d, at, info);

			if (count == SEND_BATCH || n < 0)
				return count ? count : n;
			at += (size_t)n;
			count++;
		} while (at < op->n);
	}
	return count;
}

static bool send_failed(struct tako_sock *s, int errno_value)
{
	struct tako_dgram_info info = info_of(s);

	if (errno_value == EAGAIN)
		return false;
	if (errno_value != EINTR && tako_dgram_failed(s, &info, errno_value))
		set_info(s, &info);
	return true;
}

/* False: the kernel takes no more for now. */
static bool send_batch(struct tako_sock *s)
{
	struct tako_dgram_info info = info_of(s);
	struct batch b;
	int count = fill(&b, s, &info);
	int sent = count < 0 ? count : sendmmsg(s->fd, b.msgs, (unsigned)count, MSG_NOSIGNAL);

	if (sent < 0)
		return send_failed(s, count < 0 ? -count : errno);
	/* The kernel does not say why it stopped early: the next call will. */
	for (int i = 0; i < sent; i++) {
		int earlier = tako_dgram_sent(s, b.iov[i].iov_len);

		if (earlier)
			note_error(s, earlier);
	}
	return true;
}

enum tako__sent tako__epoll_dgram_send(struct tako_sock *s)
{
	for (unsigned i = 0; s->head; i++) {
		if (i == SEND_BUDGET)
			return TAKO__SENT_LATER;
		if (!send_batch(s))
			return TAKO__SENT_FULL;
	}
	return TAKO__SENT_ALL;
}

/* SPDX-License-Identifier: MIT
 *
 * Datagrams by recvmmsg(2) and sendmmsg(2).  What messages mean is dgram.c; when to call is the
 * runtime's to know.
 */
#include "core/dgram_batch.h"

#include <errno.h>

#include "core/base.h"
#include "core/mem.h"

enum {
	BUFFER_ALIGN = 4096,
	/* No multiple of a page: the first lines of all buffers, which is all that short datagrams
	 * touch, would share one place of the nearest cache. */
	BUFFER_STRIDE = TAKO__DGRAM_BUFFER_BYTES + 9 * 64,
	SEND_BATCH = 16,
	SEND_BUDGET = 8, /* of these a turn, then others get theirs */
	/* Where messages are long, a batch of few has filled the second-level cache already. */
	LONG_BATCH = 16,
	LONG_BYTES = 4096,
};

struct tako__dgram_batch {
	struct mmsghdr msgs[TAKO_DGRAM_BATCH];
	struct iovec iov[TAKO_DGRAM_BATCH];
	struct sockaddr_storage from[TAKO_DGRAM_BATCH];
	union tako_dgram_addr to[TAKO_DGRAM_BATCH];
	union tako_dgram_control control[TAKO_DGRAM_BATCH];
	struct tako_dgram out[TAKO_DGRAM_BATCH];
	unsigned used; /* of the headers the kernel has written into the first ones */
	unsigned next; /* how many messages the next call asks for */
	char *buffers; /* behind the struct, aligned */
};

enum {
	BLOCK_BYTES = sizeof(struct tako__dgram_batch) + TAKO_DGRAM_BATCH * BUFFER_STRIDE +
	              BUFFER_ALIGN,
};

struct tako__dgram_batch *tako__dgram_batch_new(void)
{
	struct tako__dgram_batch *b = tako__alloc(BLOCK_BYTES);

	if (!b)
		return NULL;
	b->buffers = (char *)(((uintptr_t)(b + 1) + BUFFER_ALIGN - 1) &
	                      ~(uintptr_t)(BUFFER_ALIGN - 1));
	b->used = TAKO_DGRAM_BATCH;
	b->next = TAKO_DGRAM_BATCH;
	return b;
}

void tako__dgram_batch_free(struct tako__dgram_batch *b)
{
	tako__free(b, BLOCK_BYTES);
}

/* ---- Receiving -------------------------------------------------------------------- */

static void arm(struct tako__dgram_batch *b, unsigned i)
{
	b->iov[i] = (struct iovec){.iov_base = b->buffers + (size_t)i * BUFFER_STRIDE,
	                           .iov_len = TAKO__DGRAM_BUFFER_BYTES};
	b->msgs[i].msg_hdr = (struct msghdr){.msg_name = &b->from[i],
	                                     .msg_namelen = sizeof b->from[i],
	                                     .msg_iov = &b->iov[i],
	                                     .msg_iovlen = 1,
	                                     .msg_control = &b->control[i],
	                                     .msg_controllen = sizeof b->control[i]};
}

static void deliver(struct tako__dgram_batch *b, struct tako_sock *s,
                    const struct tako_dgram_info *info, unsigned count)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < count; i++) {
		tako_dgram_decode(&b->out[i], &b->to[i], info, &b->msgs[i].msg_hdr,
		                  b->iov[i].iov_base, b->msgs[i].msg_len);
		bytes += b->msgs[i].msg_len;
	}
	b->next = bytes > (size_t)count * LONG_BYTES ? LONG_BATCH : TAKO_DGRAM_BATCH;
	s->cb->on_dgrams(s, b->out, count);
}

enum tako__dgram_got tako__dgram_recv(struct tako__dgram_batch *b, struct tako_sock *s,
                                      struct tako__dgram_sock *d)
{
	unsigned asked = b->next;
	int n;

	/* The others are as they were: most calls bring far fewer than they may. */
	for (unsigned i = 0; i < b->used; i++)
		arm(b, i);
	n = recvmmsg(s->fd, b->msgs, asked, MSG_DONTWAIT, NULL);
	/* What a call that failed has written is not known. */
	b->used = n > 0 ? (unsigned)n : 1;
	if (n < 0 && errno == EAGAIN)
		return TAKO__DGRAM_NONE;
	if (n < 0) {
		if (errno != EINTR)
			d->error = errno;
		tako__dgram_report(s, d);
		return TAKO__DGRAM_MORE;
	}
	deliver(b, s, &d->info, (unsigned)n);
	return (unsigned)n < asked ? TAKO__DGRAM_LAST : TAKO__DGRAM_MORE;
}

void tako__dgram_end(struct tako_sock *s)
{
	s->flags |= TAKO_SOCK_PAUSED;
	s->cb->on_dgrams(s, NULL, 0);
}

void tako__dgram_report(struct tako_sock *s, struct tako__dgram_sock *d)
{
	if (!d->error || (s->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING)))
		return;
	errno = d->error;
	d->error = 0;
	tako__fail_errno("datagram sent earlier");
	s->cb->on_recv(s, NULL, TAKO_ESYS);
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

static bool send_failed(struct tako_sock *s, struct tako__dgram_sock *d, int errno_value)
{
	if (errno_value == EAGAIN)
		return false;
	if (errno_value != EINTR)
		(void)tako_dgram_failed(s, &d->info, errno_value);
	return true;
}

/* False: the kernel takes no more for now. */
static bool send_batch(struct tako_sock *s, struct tako__dgram_sock *d)
{
	struct batch b;
	int count = fill(&b, s, &d->info);
	int sent = count < 0
	                   ? count
	                   : sendmmsg(s->fd, b.msgs, (unsigned)count, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return send_failed(s, d, count < 0 ? -count : errno);
	/* The kernel does not say why it stopped early: the next call will. */
	for (int i = 0; i < sent; i++) {
		int earlier = tako_dgram_sent(s, b.iov[i].iov_len);

		if (earlier)
			d->error = earlier;
	}
	return true;
}

enum tako__sent tako__dgram_send(struct tako_sock *s, struct tako__dgram_sock *d)
{
	for (unsigned i = 0; s->head; i++) {
		if (i == SEND_BUDGET)
			return TAKO__SENT_LATER;
		if (!send_batch(s, d))
			return TAKO__SENT_FULL;
	}
	return TAKO__SENT_ALL;
}

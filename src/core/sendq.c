/* SPDX-License-Identifier: MIT
 *
 * The runtime-neutral half of a socket: its queue of sends.  A runtime decides when
 * bytes leave; what leaves next, what is done and what failed is decided here, once.
 */
#include <tako/sys/runtime.h>

#include "core/base.h"
#include "core/clock.h"

void tako_loop_refresh(struct tako_loop *loop)
{
	loop->now_ns = tako__clock_ns();
	loop->now_ticks = tako__ticks();
}

void tako_sock_queue(struct tako_sock *s, struct tako_send *op)
{
	op->next = NULL;
	if (s->tail)
		s->tail->next = op;
	else
		s->head = op;
	s->tail = op;
	s->queued_bytes += op->n;
}

unsigned tako_sock_gather(const struct tako_sock *s, struct iovec *iov, unsigned max,
                          size_t *ret_bytes)
{
	unsigned count = 0;
	size_t bytes = 0;

	for (struct tako_send *op = s->head; op && count < max && op->file_fd < 0; op = op->next) {
		/* sendmsg() takes what it only reads as a mutable pointer. */
		iov[count].iov_base = (char *)(uintptr_t)op->p;
		iov[count].iov_len = (size_t)op->n;
		bytes += (size_t)op->n;
		count++;
	}
	*ret_bytes = bytes;
	return count;
}

unsigned tako_sock_cut(struct iovec *iov, unsigned count, size_t max_bytes, size_t *bytes)
{
	size_t left = max_bytes;
	unsigned i = 0;

	if (*bytes <= max_bytes)
		return count;
	for (; i < count && iov[i].iov_len < left; i++)
		left -= iov[i].iov_len;
	iov[i].iov_len = left;
	*bytes = max_bytes;
	return i + 1;
}

static void pop_head(struct tako_sock *s, int err)
{
	struct tako_send *op = s->head;

	s->head = op->next;
	if (!s->head)
		s->tail = NULL;
	op->next = NULL;
	op->done(op, err);
}

void tako_sock_advance(struct tako_sock *s, size_t bytes)
{
	s->sent_bytes += bytes;
	/* An empty op completes with whatever leaves before it, hence the condition on n. */
	while (s->head && (bytes || s->head->n == 0)) {
		struct tako_send *op = s->head;
		size_t step = op->n < bytes ? (size_t)op->n : bytes;

		if (op->file_fd < 0)
			op->p += step;
		else
			op->file_pos += (int64_t)step;
		op->n -= step;
		bytes -= step;
		/* As each is done, and not at once: who hears of the first and finds nothing unsent
		 * may end the connection over those behind it. */
		s->queued_bytes -= step;
		if (op->n)
			return;
		pop_head(s, 0);
	}
}

void tako_sock_fail(struct tako_sock *s, int err)
{
	while (s->head) {
		s->queued_bytes -= s->head->n;
		pop_head(s, err);
	}
}

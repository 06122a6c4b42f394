/* SPDX-License-Identifier: MIT
 *
 * Which call sends what is queued, and what its result means.  Never waits for the peer; when it is
 * called is the runtime's to know.
 */
#include "core/send.h"

#include <errno.h>
#include <sys/sendfile.h>

#include "core/base.h"
#include "core/call.h"

enum {
	IOV_MAX_COUNT = 64,
	/* Slices let the peer read the first while the kernel copies the second: measured a
	 * third cheaper than whole-file calls for 1 MiB files, and better than 64 or 128 KiB.  One a
	 * turn, so that the sockets take turns: of 16 files, each four slices, another tenth. */
	FILE_SLICE_BYTES = 256 << 10,
	TURN_BYTES = 4 << 20, /* what one socket may send before others get their turn */
};

static int flags_for(const struct tako_sock *s)
{
	int flags = MSG_NOSIGNAL | MSG_DONTWAIT;

	/* A head and its file share a segment. */
	if (s->head->next && s->tail->file_fd >= 0)
		flags |= MSG_MORE;
	/* One segment instead of two, and for the peer one wake-up instead of two: a fifth of
	 * what a short connection costs.  close() sends what is held back. */
	if (s->flags & TAKO_SOCK_LAST)
		flags |= MSG_MORE;
	return flags;
}

static TAKO__OUTLINE ssize_t send_several(struct tako_sock *s, size_t max, size_t *ret_wanted)
{
	struct iovec iov[IOV_MAX_COUNT];
	unsigned count = tako_sock_gather(s, iov, IOV_MAX_COUNT, ret_wanted);
	struct msghdr msg = {.msg_iov = iov};

	msg.msg_iovlen = tako_sock_cut(iov, count, max, ret_wanted);
	return sendmsg(s->fd, &msg, flags_for(s));
}

/* One op is what there usually is, and needs no kilobyte of stack. */
static ssize_t send_memory(struct tako_sock *s, size_t max, size_t *ret_wanted)
{
	const struct tako_send *op = s->head;

	if (TAKO__UNLIKELY(op->next != NULL))
		return send_several(s, max, ret_wanted);
	*ret_wanted = op->n < max ? (size_t)op->n : max;
	return tako__call_send(s->fd, op->p, *ret_wanted, flags_for(s));
}

size_t tako__send_slice(const struct tako_sock *s, size_t max)
{
	size_t n = s->head->n < FILE_SLICE_BYTES ? (size_t)s->head->n : FILE_SLICE_BYTES;

	return n < max ? n : max;
}

static ssize_t send_file(struct tako_sock *s, size_t n)
{
	off_t pos = s->head->file_pos;

	return sendfile(s->fd, s->head->file_fd, &pos, n);
}

enum tako__sent tako__send(struct tako_sock *s, size_t max,
                           bool (*may_wait)(struct tako_sock *s, size_t n))
{
	size_t turn_bytes = 0;

	while (s->head) {
		size_t wanted;
		ssize_t n;

		if (turn_bytes >= TURN_BYTES)
			return TAKO__SENT_LATER;
		if (s->head->file_fd < 0) {
			n = send_memory(s, max, &wanted);
		} else {
			wanted = tako__send_slice(s, max);
			if (may_wait && wanted && may_wait(s, wanted))
				return TAKO__SENT_COLD;
			n = send_file(s, wanted);
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? TAKO__SENT_FULL : TAKO__SENT_BROKEN;
		/* A file that has shrunk since its length was announced cannot be completed. */
		if (n == 0 && wanted > 0)
			return TAKO__SENT_BROKEN;
		tako_sock_advance(s, (size_t)n);
		turn_bytes += (size_t)n;
		/* A short send means a full buffer: asking again would only say so. */
		if ((size_t)n < wanted && s->head && s->head->file_fd < 0)
			return TAKO__SENT_FULL;
		if (s->head && s->head->file_fd >= 0 && turn_bytes >= FILE_SLICE_BYTES)
			return TAKO__SENT_LATER;
	}
	return TAKO__SENT_ALL;
}

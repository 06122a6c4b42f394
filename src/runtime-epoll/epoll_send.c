/* SPDX-License-Identifier: MIT
 *
 * The sending half of the epoll runtime.  Never waits; file ranges go out by
 * sendfile(2) in slices, a few a turn.
 */
#include <errno.h>
#include <sys/sendfile.h>

#include "runtime-epoll/epoll_int.h"

enum {
	IOV_MAX_COUNT = 64,
	/* Slices let the peer read the first while the kernel copies the second: measured a
	 * third cheaper than whole-file calls for 1 MiB files, and better than 64 or 128 KiB. */
	FILE_SLICE_BYTES = 256 << 10,
	TURN_BYTES = 4 << 20, /* what one socket may send before others get their turn */
};

static ssize_t send_memory(struct tako__epoll *ep, struct tako_sock *s, size_t *ret_wanted)
{
	struct iovec iov[IOV_MAX_COUNT];
	unsigned count = tako_sock_gather(s, iov, IOV_MAX_COUNT, ret_wanted);
	struct msghdr msg = {.msg_iov = iov};
	int flags = MSG_NOSIGNAL;

	count = tako_sock_cut(iov, count, ep->send_max, ret_wanted);
	msg.msg_iovlen = count;

	/* A head and its file share a segment. */
	if (s->head->next && s->tail->file_fd >= 0)
		flags |= MSG_MORE;
	/* One segment instead of two, and for the peer one wake-up instead of two: a fifth of
	 * what a short connection costs.  close() sends what is held back. */
	if (s->flags & TAKO_SOCK_LAST)
		flags |= MSG_MORE;
	if (count == 1)
		return send(s->fd, iov[0].iov_base, iov[0].iov_len, flags);
	return sendmsg(s->fd, &msg, flags);
}

static ssize_t send_file(struct tako__epoll *ep, struct tako_sock *s, size_t *ret_wanted)
{
	struct tako_send *op = s->head;
	off_t pos = op->file_pos;

	*ret_wanted = op->n < FILE_SLICE_BYTES ? (size_t)op->n : FILE_SLICE_BYTES;
	if (*ret_wanted > ep->send_max)
		*ret_wanted = ep->send_max;
	return sendfile(s->fd, op->file_fd, &pos, *ret_wanted);
}

enum tako__epoll_sent tako__epoll_send(struct tako__epoll *ep, struct tako_sock *s)
{
	size_t turn_bytes = 0;

	while (s->head) {
		size_t wanted;
		ssize_t n;

		if (turn_bytes >= TURN_BYTES)
			return SEND_LATER;
		n = s->head->file_fd < 0 ? send_memory(ep, s, &wanted) : send_file(ep, s, &wanted);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? SEND_FULL : SEND_BROKEN;
		/* A file that has shrunk since its length was announced cannot be completed. */
		if (n == 0 && wanted > 0)
			return SEND_BROKEN;
		tako_sock_advance(s, (size_t)n);
		turn_bytes += (size_t)n;
		/* A short send means a full buffer: asking again would only say so. */
		if ((size_t)n < wanted && s->head && s->head->file_fd < 0)
			return SEND_FULL;
	}
	return SEND_DONE;
}

/* SPDX-License-Identifier: MIT
 *
 * See cold.h.  The question is a read of one byte that fails rather than waits; to be told how many
 * pages are there (cachestat) costs three times that, and counts those that are still being read.
 */
#include "core/cold.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base.h"

enum {
	/* One wait for four slices of a large file.  Not more: nobody knows whether the peer
	 * wants the rest. */
	AHEAD_BYTES = 1 << 20,
};

static const uint64_t patience_ns = UINT64_C(1000000000);
/* Of memory that is short nothing can be said for long. */
static const uint64_t memory_ns = UINT64_C(10000000);

static bool is_missing(int fd, int64_t pos)
{
	char byte;
	struct iovec iov = {&byte, 1};

	return preadv2(fd, &iov, 1, pos, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

/* Its last byte: what is read or given up in order has that one last. */
bool tako__file_is_cold(int fd, int64_t pos, size_t n)
{
	return is_missing(fd, pos + (int64_t)n - 1);
}

/* scratch is the low half of a position, and one: a distance from where the op is now. */
static bool is_known(const struct tako__cold *c, uint64_t now_ns, const struct tako_send *op,
                     size_t n)
{
	uint32_t ahead = op->scratch - 1 - (uint32_t)op->file_pos;

	return c->known == op && op->scratch && ahead <= AHEAD_BYTES && n <= ahead &&
	       now_ns - c->since_ns < memory_ns;
}

static void know(struct tako__cold *c, uint64_t now_ns, struct tako_send *op, size_t n)
{
	op->scratch = (uint32_t)op->file_pos + (uint32_t)n + 1;
	*c = (struct tako__cold){op, now_ns};
}

static bool has_come(const struct tako_send *op, size_t n)
{
	return !tako__file_is_cold(op->file_fd, op->file_pos, n);
}

/* First whether all is there that one wait would be for; if not, what is needed now. */
bool tako__file_waits(struct tako__cold *c, uint64_t now_ns, struct tako_send *op, size_t n)
{
	size_t ahead = op->n < AHEAD_BYTES ? (size_t)op->n : AHEAD_BYTES;

	if (TAKO__LIKELY(is_known(c, now_ns, op, n)))
		return false;
	if (c->known)
		*c = (struct tako__cold){0};
	if (TAKO__LIKELY(!c->since_ns && ahead > n && has_come(op, ahead))) {
		know(c, now_ns, op, ahead);
		return false;
	}
	/* Having waited once, it is worth to be sure. */
	if (has_come(op, n) && (!c->since_ns || !is_missing(op->file_fd, op->file_pos))) {
		c->since_ns = 0;
		return false;
	}
	if (!c->since_ns)
		c->since_ns = now_ns;
	if (now_ns - c->since_ns >= patience_ns) {
		c->since_ns = 0;
		return false;
	}
	/* Each time, not only the first: memory may be so short that what was read is gone. */
	posix_fadvise(op->file_fd, op->file_pos, (off_t)ahead, POSIX_FADV_WILLNEED);
	return true;
}

ssize_t tako__file_read(int fd, void *to, size_t n, int64_t pos)
{
	struct iovec iov = {to, n};
	ssize_t got = preadv2(fd, &iov, 1, pos, RWF_NOWAIT);

	if (TAKO__UNLIKELY(got < 0) && errno != EAGAIN && errno != EINTR)
		return pread(fd, to, n, pos);
	return got;
}

ssize_t tako__file_piece(int fd, void *to, size_t n, int64_t pos)
{
	ssize_t got;

	do {
		got = pread(fd, to, n, (off_t)pos);
	} while (got < 0 && errno == EINTR);
	return got > 0 ? got : -1;
}

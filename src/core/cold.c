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

bool tako__file_waits(uint64_t *since_ns, uint64_t now_ns, int fd, int64_t pos, size_t n,
                      uint64_t left)
{
	/* Having waited once, it is worth to be sure. */
	if (TAKO__LIKELY(!tako__file_is_cold(fd, pos, n)) && (!*since_ns || !is_missing(fd, pos))) {
		*since_ns = 0;
		return false;
	}
	if (!*since_ns)
		*since_ns = now_ns;
	if (now_ns - *since_ns >= patience_ns) {
		*since_ns = 0;
		return false;
	}
	/* Each time, not only the first: memory may be so short that what was read is gone. */
	posix_fadvise(fd, pos, (off_t)(left < AHEAD_BYTES ? left : AHEAD_BYTES),
	              POSIX_FADV_WILLNEED);
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

/* SPDX-License-Identifier: MIT
 *
 * See slow_disk.h.  These functions take the place of libc's in the programs that are linked with
 * them, and pass on what they do not refuse.
 */
#include "unit/slow_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct slow_disk slow_disk;

static bool is_there(int64_t pos, size_t n)
{
	return !slow_disk.cold || pos + (int64_t)n <= slow_disk.warm_bytes;
}

ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t pos, int flags)
{
	if (flags & RWF_NOWAIT) {
		slow_disk.probes++;
		if (slow_disk.probe_errno) {
			errno = slow_disk.probe_errno;
			return -1;
		}
		if (!is_there(pos, iov[0].iov_len)) {
			errno = EAGAIN;
			return -1;
		}
	}
	return syscall(SYS_preadv2, fd, iov, count, pos, 0L, flags);
}

int posix_fadvise(int fd, off_t pos, off_t n, int advice)
{
	if (advice == POSIX_FADV_WILLNEED) {
		slow_disk.advices++;
		slow_disk.advised_pos = pos;
		slow_disk.advised_bytes = n;
	}
	return syscall(SYS_fadvise64, fd, pos, n, advice) < 0 ? errno : 0;
}

ssize_t pread(int fd, void *to, size_t n, off_t pos)
{
	if (!is_there(pos, n))
		slow_disk.waits++;
	return syscall(SYS_pread64, fd, to, n, pos);
}

ssize_t sendfile(int to, int from, off_t *pos, size_t n)
{
	if (!is_there(*pos, n))
		slow_disk.waits++;
	return syscall(SYS_sendfile, to, from, pos, n);
}

/* SPDX-License-Identifier: MIT
 *
 * Files: sendfile(2) where the pages are in memory, which nothing beats; where they are not,
 * the ring reads them first and nobody waits for the disk.
 */
#include <errno.h>
#include <linux/magic.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#include "core/mem.h"
#include "runtime-iouring/ring_int.h"

enum { DISCARD_BYTES = 256 << 10 };

static bool is_cold_at(int fd, int64_t pos)
{
	struct statfs fs;
	char byte;
	struct iovec iov = {&byte, 1};
	ssize_t n = preadv2(fd, &iov, 1, pos, RWF_NOWAIT);

	if (n >= 0 || (errno != EAGAIN && errno != EOPNOTSUPP))
		return false;
	/* A file system that does not know the question may have to wait as well, but one in memory
	 * does not. */
	return errno == EAGAIN || fstatfs(fd, &fs) < 0 || fs.f_type != TMPFS_MAGIC;
}

/* By its last byte: what is read or given up in order has that one last. */
bool tako__ring_file_is_cold(const struct tako_send *op, size_t n)
{
	return is_cold_at(op->file_fd, op->file_pos + (int64_t)n - 1);
}

/* What is read is not used: reading it was the point, and sendfile() then finds the pages.  One
 * place for all who read at once. */
bool tako__ring_file_read(struct tako__ring *r, struct tako_sock *s, size_t n)
{
	struct io_uring_sqe *sqe;

	if (!r->discard)
		r->discard = tako__alloc(DISCARD_BYTES);
	sqe = r->discard ? tako__ring_sqe(r) : NULL;
	if (!sqe)
		return false;
	io_uring_prep_read(sqe, s->head->file_fd, r->discard,
	                   (unsigned)(n < DISCARD_BYTES ? n : DISCARD_BYTES),
	                   (uint64_t)s->head->file_pos);
	sqe->user_data = tako__ring_tagged(s, TAG_FILE);
	s->flags |= SOCK_READS_FILE;
	return true;
}

void tako__ring_on_file(struct tako_sock *s, int res)
{
	s->flags &= ~SOCK_READS_FILE;
	/* An error of the file shows again in sendfile(), which decides what it means. */
	(void)res;
	tako__ring_schedule(s, SOCK_FILE_READ | SOCK_DIRTY);
}

void tako__ring_file_fini(struct tako__ring *r)
{
	tako__free(r->discard, DISCARD_BYTES);
}

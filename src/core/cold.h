/* SPDX-License-Identifier: MIT
 *
 * Files whose pages are not in memory.  Who reads or sends one on a loop's thread asks here first,
 * and where the answer is "cold" does something else until the disk has had its turn.  Nothing
 * here waits where the file system can tell.
 */
#ifndef TAKO_CORE_COLD_H
#define TAKO_CORE_COLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <tako/sys/runtime.h>

/* When to ask again.  Disks answer sooner, but loops sleep in milliseconds. */
#define TAKO__COLD_RETRY_NS UINT64_C(1000000)

/* Would reading `n` (> 0) bytes at `pos` have to wait?  One system call where the answer is no.
 * No as well where the file system does not know the question. */
bool tako__file_is_cold(int fd, int64_t pos, size_t n);

/* What whoever sends files one after the other remembers of its questions; zeroed at first. */
struct tako__cold {
	/* Whose scratch says up to where its file was in memory at since_ns; never followed. */
	const struct tako_send *known;
	/* Without that: since when a disk is waited for; 0: it is not. */
	uint64_t since_ns;
};

/* The same for the next `n` (> 0, at most op->n) bytes of a file, which is asked again and again until the answer is
 * no.  That it is after a second at the latest: what has not come by then is not coming for the asking, and reading
 * it will tell why.  The system is told to read them and some more of what the op will need.  Who reads on in order
 * pays for one question in a megabyte: what is there is taken to stay for a few milliseconds. */
bool tako__file_waits(struct tako__cold *c, uint64_t now_ns, struct tako_send *op, size_t n);

/* Some of the `n` (> 0) bytes at `pos` that were announced, whatever waits for them; -1: there are none, as of a
 * file that has shrunk since, or it cannot be read: what they are part of cannot be completed. */
ssize_t tako__file_piece(int fd, void *to, size_t n, int64_t pos);

/* As pread(2), of what is in memory: possibly less, and EAGAIN where that is nothing. */
ssize_t tako__file_read(int fd, void *to, size_t n, int64_t pos);

#endif /* TAKO_CORE_COLD_H */

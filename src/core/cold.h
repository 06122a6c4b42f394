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

/* When to ask again.  Disks answer sooner, but loops sleep in milliseconds. */
#define TAKO__COLD_RETRY_NS UINT64_C(1000000)

/* Would reading `n` (> 0) bytes at `pos` have to wait?  One system call where the answer is no.
 * No as well where the file system does not know the question. */
bool tako__file_is_cold(int fd, int64_t pos, size_t n);

/* The same for who asks again and again until the answer is no, which it is after a second at the
 * latest: what has not come by then is not coming for the asking, and reading it will tell why.  The
 * system is told to read the `n` bytes and of the `left` (>= n) that follow `pos` some more.
 * *since_ns is 0 at first, and again when the answer is no. */
bool tako__file_waits(uint64_t *since_ns, uint64_t now_ns, int fd, int64_t pos, size_t n,
                      uint64_t left);

/* Some of the `n` (> 0) bytes at `pos` that were announced, whatever waits for them; -1: there are none, as of a
 * file that has shrunk since, or it cannot be read: what they are part of cannot be completed. */
ssize_t tako__file_piece(int fd, void *to, size_t n, int64_t pos);

/* As pread(2), of what is in memory: possibly less, and EAGAIN where that is nothing. */
ssize_t tako__file_read(int fd, void *to, size_t n, int64_t pos);

#endif /* TAKO_CORE_COLD_H */

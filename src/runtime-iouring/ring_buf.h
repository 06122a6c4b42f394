/* SPDX-License-Identifier: MIT
 *
 * The provided buffers of one loop: the kernel picks one when bytes are there, so that a
 * socket without any holds none.
 */
#ifndef TAKO_RUNTIME_IOURING_RING_BUF_H
#define TAKO_RUNTIME_IOURING_RING_BUF_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

/* The group of the streams' buffers; others follow. */
enum { TAKO__BUF_GROUP = 1 };

struct tako__bufs {
	struct io_uring_buf_ring *ring;
	char *data;
	uint32_t *used; /* of each buffer, where the kernel fills them bit by bit */
	void *block;
	size_t block_bytes;
	uint32_t bytes; /* of each */
	unsigned count; /* a power of two */
	unsigned short group;
	bool bit_by_bit;
};

/* For tests: do as on kernels that do not fill buffers bit by bit. */
extern bool tako__bufs_whole;

/* Register `count` buffers (0: a choice that fits the kernel) of `bytes`. */
int tako__bufs_open(struct tako__bufs *b, struct io_uring *uring, unsigned count, uint32_t bytes);
/* The same of buffers that each take one message, as `group`. */
int tako__bufs_open_whole(struct tako__bufs *b, struct io_uring *uring, unsigned short group,
                          unsigned count, uint32_t bytes);
/* After the ring is gone. */
void tako__bufs_fini(struct tako__bufs *b);
/* What one socket may take of them before others had their turn. */
static inline uint32_t tako__bufs_limit(const struct tako__bufs *b)
{
	return b->count < 4 ? b->bytes : b->count / 4 * b->bytes;
}
/* The `n` bytes that a completion with IORING_CQE_F_BUFFER came with. */
char *tako__bufs_take(struct tako__bufs *b, uint32_t cqe_flags, size_t n);
/* Are they the last that fit into theirs? */
bool tako__bufs_ends(const struct tako__bufs *b, uint32_t cqe_flags);
/* They are the kernel's again. */
void tako__bufs_give(struct tako__bufs *b, uint32_t cqe_flags, char *p, size_t n);

#endif /* TAKO_RUNTIME_IOURING_RING_BUF_H */

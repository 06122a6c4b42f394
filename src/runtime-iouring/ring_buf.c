/* SPDX-License-Identifier: MIT
 *
 * See ring_buf.h.  A ring of buffers is first in, first out: traffic walks all of its memory,
 * so all of it should fit into a core's second-level cache.  Kernels from 6.12 on fill a buffer
 * bit by bit; then few and large ones hold many small requests as tightly as their bytes, and
 * a burst of a thousand connections does not run out of them.
 */
#include "runtime-iouring/ring_buf.h"

#include <errno.h>
#include <string.h>

#include "core/base.h"
#include "core/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#endif
#ifdef POISON
#include <sanitizer/asan_interface.h>
#else
/* Nothing else would notice a pointer that was kept: the memory stays ours. */
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum {
	PAGE_BYTES = 4096,
	COUNT_MAX = 32768, /* the kernel's */
	BIT_BY_BIT_COUNT = 16,
	BIT_BY_BIT_BYTES = 16384,
	WHOLE_COUNT = 256,
	WHOLE_BYTES = 2048,
	/* In linux/io_uring.h since 6.12. */
	PBUF_RING_INC = 2,
	CQE_F_BUF_MORE = 1 << 4,
};

/* struct io_uring_buf_reg as it is since 6.4: older headers call the flags padding. */
struct buf_reg {
	uint64_t ring_addr;
	uint32_t ring_entries;
	uint16_t bgid;
	uint16_t flags;
	uint64_t resv[3];
};
_Static_assert(sizeof(struct buf_reg) == sizeof(struct io_uring_buf_reg), "the kernel's");

bool tako__bufs_whole;

static int register_ring(struct tako__bufs *b, struct io_uring *uring)
{
	struct buf_reg mine = {
		.ring_addr = (uint64_t)(uintptr_t)b->ring,
		.ring_entries = b->count,
		.bgid = b->group,
		.flags = b->bit_by_bit ? PBUF_RING_INC : 0,
	};
	struct io_uring_buf_reg reg;

	memcpy(&reg, &mine, sizeof reg);
	return io_uring_register_buf_ring(uring, &reg, 0);
}

static char *round_up(char *p)
{
	return p + (PAGE_BYTES - (uintptr_t)p % PAGE_BYTES) % PAGE_BYTES;
}

/* The kernel's ring, then the buffers, then our count of what is used of each. */
static bool lay_out(struct tako__bufs *b, unsigned count, uint32_t bytes)
{
	size_t ring_bytes = count * sizeof(struct io_uring_buf);
	size_t data_bytes = ((size_t)count * bytes + 7) & ~(size_t)7;

	tako__bufs_fini(b);
	b->count = count;
	b->bytes = bytes;
	b->block_bytes = 2 * PAGE_BYTES + ring_bytes + data_bytes + count * sizeof *b->used;
	b->block = tako__alloc(b->block_bytes);
	if (!b->block)
		return false;
	b->ring = (void *)round_up(b->block);
	b->data = round_up((char *)b->ring + ring_bytes);
	b->used = (void *)(b->data + data_bytes);
	memset(b->used, 0, count * sizeof *b->used);
	return true;
}

static unsigned power_of_two(unsigned n)
{
	unsigned p = 2;

	while (p < n && p < COUNT_MAX)
		p *= 2;
	return p;
}

static void add(struct tako__bufs *b, unsigned id)
{
	char *p = b->data + (size_t)id * b->bytes;

	b->used[id] = 0;
	ASAN_POISON_MEMORY_REGION(p, b->bytes);
	io_uring_buf_ring_add(b->ring, p, b->bytes, (unsigned short)id,
	                      io_uring_buf_ring_mask(b->count), 0);
	io_uring_buf_ring_advance(b->ring, 1);
}

static int try_open(struct tako__bufs *b, struct io_uring *uring, unsigned count, uint32_t bytes)
{
	int rc;

	if (!lay_out(b, power_of_two(count), bytes))
		return -ENOMEM;
	io_uring_buf_ring_init(b->ring);
	rc = register_ring(b, uring);
	for (unsigned id = 0; rc == 0 && id < b->count; id++)
		add(b, id);
	return rc;
}

static int opened(const struct tako__bufs *b, int rc)
{
	if (rc == -ENOMEM && !b->block)
		return tako__fail(TAKO_ENOMEM, "event loop: out of memory");
	errno = -rc;
	return rc < 0 ? tako__fail_errno("buffer ring") : 0;
}

int tako__bufs_open_whole(struct tako__bufs *b, struct io_uring *uring, unsigned short group,
                          unsigned count, uint32_t bytes)
{
	b->group = group;
	b->bit_by_bit = false;
	return opened(b, try_open(b, uring, count, bytes));
}

int tako__bufs_open(struct tako__bufs *b, struct io_uring *uring, unsigned count, uint32_t bytes)
{
	int rc = -EINVAL;

	b->group = TAKO__BUF_GROUP;
	b->bit_by_bit = !tako__bufs_whole;
	if (b->bit_by_bit)
		rc = try_open(b, uring, count ? count : BIT_BY_BIT_COUNT,
		              bytes ? bytes : BIT_BY_BIT_BYTES);
	if (rc == -EINVAL) {
		b->bit_by_bit = false;
		rc = try_open(b, uring, count ? count : WHOLE_COUNT, bytes ? bytes : WHOLE_BYTES);
	}
	return opened(b, rc);
}

void tako__bufs_fini(struct tako__bufs *b)
{
	if (b->block)
		ASAN_UNPOISON_MEMORY_REGION(b->data, (size_t)b->count * b->bytes);
	tako__free(b->block, b->block_bytes);
	b->block = NULL;
}

char *tako__bufs_take(struct tako__bufs *b, uint32_t cqe_flags, size_t n)
{
	unsigned id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
	char *p = b->data + (size_t)id * b->bytes + b->used[id];

	ASAN_UNPOISON_MEMORY_REGION(p, n);
	return p;
}

bool tako__bufs_ends(const struct tako__bufs *b, uint32_t cqe_flags)
{
	return b->bit_by_bit && !(cqe_flags & CQE_F_BUF_MORE);
}

void tako__bufs_give(struct tako__bufs *b, uint32_t cqe_flags, char *p, size_t n)
{
	unsigned id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;

	ASAN_POISON_MEMORY_REGION(p, n);
	if (b->bit_by_bit && !tako__bufs_ends(b, cqe_flags))
		b->used[id] += (uint32_t)n;
	else
		add(b, id);
}

/* SPDX-License-Identifier: MIT
 *
 * See quic_mem.h.  The library says no size when it frees, so a head in front of each block does.
 */
#include "transports/quic/quic_mem.h"

#include <stdint.h>

#include "core/base.h"

enum {
	STEP_BYTES = 64,
	KEPT_SMALL = 512, /* free blocks of each */
	KEPT_LARGE = 32,
};

/* Close to each other where every connection has one or two of them for as long as it lives; further on
 * the library asks for powers of two, and a little more. */
static const uint16_t large_bytes[TAKO__QUIC_MEM_LARGE] = {
	1152, 1280, 1536, 1792, 2048, 2304, 2560, 3072, 3584, 4352, 6144, 8448, 16640, 33024,
};

struct head {
	struct tako__list link; /* of the connection's */
	size_t bytes;           /* of the block, this included */
	uint64_t reserved;      /* keeps what follows aligned */
};

_Static_assert(sizeof(struct head) % 16 == 0, "aligned as malloc() aligns");

static struct tako__pool *pool_for(struct tako__quic_mem *m, size_t bytes)
{
	size_t class = (bytes + STEP_BYTES - 1) / STEP_BYTES;
	size_t i = 0;

	if (TAKO__LIKELY(class <= TAKO__QUIC_MEM_SMALL))
		return &m->small[class - 1];
	while (i < TAKO__QUIC_MEM_LARGE && large_bytes[i] < bytes)
		i++;
	return i < TAKO__QUIC_MEM_LARGE ? &m->large[i] : NULL;
}

static void *get(size_t n, void *arg)
{
	struct tako__quic_heap *heap = arg;
	size_t bytes = n + sizeof(struct head);
	struct tako__pool *pool;
	struct head *h;

	if (bytes < n || bytes > heap->bytes_max - heap->bytes)
		return NULL;
	pool = pool_for(heap->pools, bytes);
	if (TAKO__LIKELY(pool != NULL)) {
		bytes = pool->block_bytes;
		h = tako__pool_get(pool);
	} else {
		h = tako__alloc(bytes);
	}
	if (!h)
		return NULL;
	h->bytes = bytes;
	heap->bytes += bytes;
	tako__list_push_front(&heap->live, &h->link);
	return h + 1;
}

static void put(void *p, void *arg)
{
	struct tako__quic_heap *heap = arg;
	struct tako__pool *pool;
	struct head *h;

	if (!p)
		return;
	h = (struct head *)p - 1;
	tako__list_remove(&h->link);
	heap->bytes -= h->bytes;
	pool = pool_for(heap->pools, h->bytes);
	if (TAKO__LIKELY(pool != NULL))
		tako__pool_put(pool, h);
	else
		tako__free(h, h->bytes);
}

static void *get_zeroed(size_t count, size_t n, void *arg)
{
	void *p = n && count > SIZE_MAX / n ? NULL : get(count * n, arg);

	return p ? memset(p, 0, count * n) : NULL;
}

static void *resize(void *p, size_t n, void *arg)
{
	size_t have = p ? ((struct head *)p - 1)->bytes - sizeof(struct head) : 0;
	void *grown;

	if (p && n <= have)
		return p;
	grown = get(n, arg);
	if (!grown)
		return NULL;
	if (p)
		memcpy(grown, p, have);
	put(p, arg);
	return grown;
}

void tako__quic_heap_init(struct tako__quic_heap *h, struct tako__quic_mem *pools,
                          uint64_t bytes_max)
{
	h->bytes = 0;
	h->bytes_max = bytes_max;
	h->mem = (ngtcp2_mem){h, get, put, get_zeroed, resize};
	h->pools = pools;
	tako__list_init(&h->live);
}

void tako__quic_heap_fini(struct tako__quic_heap *h)
{
	while (!tako__list_empty(&h->live))
		put(TAKO__CONTAINER(h->live.next, struct head, link) + 1, h);
}

void tako__quic_mem_init(struct tako__quic_mem *m)
{
	for (size_t i = 0; i < TAKO__QUIC_MEM_SMALL; i++)
		tako__pool_init(&m->small[i], (i + 1) * STEP_BYTES, KEPT_SMALL);
	for (size_t i = 0; i < TAKO__QUIC_MEM_LARGE; i++)
		tako__pool_init(&m->large[i], large_bytes[i], KEPT_LARGE);
}

void tako__quic_mem_fini(struct tako__quic_mem *m)
{
	for (size_t i = 0; i < TAKO__QUIC_MEM_SMALL; i++)
		tako__pool_fini(&m->small[i]);
	for (size_t i = 0; i < TAKO__QUIC_MEM_LARGE; i++)
		tako__pool_fini(&m->large[i]);
}

/* SPDX-License-Identifier: MIT
 *
 * Memory: the process-wide allocator hook, the arena an exchange allocates from,
 * and the free lists a worker keeps.  Everything in the library that allocates goes
 * through here, so that a test can fail the Nth allocation.  Nothing here aborts:
 * running out of memory is an ordinary NULL.
 */
#ifndef TAKO_CORE_MEM_H
#define TAKO_CORE_MEM_H

#include <string.h>

#include <tako/base.h>

/* ---- Allocator: sizes are given back, so no block carries a header ------- */

void *tako__alloc(size_t bytes);
void *tako__zalloc(size_t bytes);
/* NULL on failure, the old block then stays as it was. */
void *tako__resize(void *p, size_t old_bytes, size_t new_bytes);
/* NULL is fine. */
void tako__free(void *p, size_t bytes);
/* NUL-terminated copy of n bytes; freed with tako__free(p, n + 1). */
char *tako__strndup(const char *p, size_t n);

/* Zero n >= 16 bytes, a constant, in pieces that become plain stores: as one memset() of a few hundred
 * it is a string instruction, which costs 25 ns. */
static inline void tako__clear(void *at, size_t n)
{
	char *p = at;

#pragma GCC unroll 64
	for (size_t i = 0; i < n / 16; i++)
		memset(p + i * 16, 0, 16);
	memset(p + n - 16, 0, 16);
}

/* ---- Arena: freed as a whole --------------------------------------------- */

struct tako__chunk {
	struct tako__chunk *next;
	size_t bytes; /* of the whole block, this header included */
};

struct tako__arena {
	char *pos; /* next free byte, always 16-byte aligned after tako__arena_alloc() */
	char *end;
	struct tako__chunk *chunks; /* what came from the allocator, newest first */
};

/* Where an arena without memory points, so that 0 bytes of it are not NULL. */
extern char tako__arena_nothing[16];

/* Start an arena on `bytes` of memory that somebody else owns (may be 0). */
static inline void tako__arena_init(struct tako__arena *a, void *first, size_t bytes)
{
	size_t skip = (size_t)(-(uintptr_t)first & 15);

	a->chunks = NULL;
	a->pos = bytes > skip ? (char *)first + skip : tako__arena_nothing;
	a->end = bytes > skip ? (char *)first + bytes : tako__arena_nothing;
}

/* Give every chunk back; the arena may then be started anew. */
void tako__arena_free(struct tako__arena *a);
static inline void tako__arena_fini(struct tako__arena *a)
{
	if (a->chunks)
		tako__arena_free(a);
	a->pos = tako__arena_nothing;
	a->end = tako__arena_nothing;
}

void *tako__arena_slow(struct tako__arena *a, size_t bytes);

/* Uninitialised, 16-byte aligned memory; NULL without memory. */
static inline void *tako__arena_alloc(struct tako__arena *a, size_t bytes)
{
	size_t rounded = (bytes + 15) & ~(size_t)15;
	char *p = a->pos;

	if (rounded < bytes || rounded > (size_t)(a->end - p))
		return tako__arena_slow(a, bytes);
	a->pos = p + rounded;
	return p;
}

/* A block that may be given back before the arena is; whoever does not has nothing to do. */
void *tako__arena_own(struct tako__arena *a, size_t bytes);
void tako__arena_give_back(struct tako__arena *a, void *p);

void *tako__arena_zalloc(struct tako__arena *a, size_t bytes);
/* NUL-terminated copy in the arena. */
char *tako__arena_strndup(struct tako__arena *a, const char *p, size_t n);

/* ---- Pool: a bounded LIFO of equal blocks, one thread --------------------- */

struct tako__pool {
	void *free; /* first word of a free block links to the next */
	size_t block_bytes;
	unsigned free_count;
	unsigned keep_count; /* free blocks beyond this go back to the allocator */
};

void tako__pool_init(struct tako__pool *p, size_t block_bytes, unsigned keep_count);
void tako__pool_fini(struct tako__pool *p);
void *tako__pool_slow(struct tako__pool *p);

static inline void *tako__pool_get(struct tako__pool *p)
{
	void *block = p->free;

	if (!block)
		return tako__pool_slow(p);
	p->free = *(void **)block;
	p->free_count--;
	return block;
}

/* NULL is fine. */
static inline void tako__pool_put(struct tako__pool *p, void *block)
{
	if (!block)
		return;
	if (p->free_count >= p->keep_count) {
		tako__free(block, p->block_bytes);
		return;
	}
	*(void **)block = p->free;
	p->free = block;
	p->free_count++;
}

#endif /* TAKO_CORE_MEM_H */

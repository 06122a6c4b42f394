/* SPDX-License-Identifier: MIT
 *
 * The only place that obtains memory: the allocator hook, arenas and pools.  Never aborts,
 * never puts a header in front of a block, and takes no lock of its own.
 */
#include "core/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"

enum {
	CHUNK_MIN_BYTES = 4096,
	CHUNK_MAX_BYTES = 65536,
	/* The header, rounded so that what follows stays 16-byte aligned. */
	CHUNK_HEAD_BYTES = (sizeof(struct tako__chunk) + 15) & ~15u,
};

static void *libc_alloc(void *p, size_t old_bytes, size_t new_bytes, void *arg)
{
	(void)old_bytes;
	(void)arg;
	if (!new_bytes) {
		free(p);
		return NULL;
	}
	return realloc(p, new_bytes);
}

/* Plain, not atomic: written only before the library allocates, and read all the time. */
static tako_alloc_fn hook = libc_alloc;
static void *hook_arg;
static atomic_bool has_allocated;

int tako_set_allocator(tako_alloc_fn fn, void *arg)
{
	if (atomic_load(&has_allocated))
		return tako__fail(TAKO_ESTATE, "allocator: memory was allocated with another one");
	hook = fn ? fn : libc_alloc;
	hook_arg = fn ? arg : NULL;
	return TAKO_OK;
}

/* To the hook, 0 bytes means "free": an empty block is one byte. */
static size_t real_bytes(size_t bytes)
{
	return bytes ? bytes : 1;
}

void *tako__alloc(size_t bytes)
{
	/* Load first: storing every time would bounce the line between workers. */
	if (TAKO__UNLIKELY(!atomic_load_explicit(&has_allocated, memory_order_relaxed)))
		atomic_store(&has_allocated, true);
	return hook(NULL, 0, real_bytes(bytes), hook_arg);
}

void *tako__zalloc(size_t bytes)
{
	void *p = tako__alloc(bytes);

	return p ? memset(p, 0, bytes) : NULL;
}

void *tako__resize(void *p, size_t old_bytes, size_t new_bytes)
{
	if (!p)
		return tako__alloc(new_bytes);
	return hook(p, real_bytes(old_bytes), real_bytes(new_bytes), hook_arg);
}

void tako__free(void *p, size_t bytes)
{
	if (p)
		hook(p, real_bytes(bytes), 0, hook_arg);
}

static char *copy_text(char *to, const char *p, size_t n)
{
	if (!to)
		return NULL;
	if (n)
		memcpy(to, p, n);
	to[n] = '\0';
	return to;
}

char *tako__strndup(const char *p, size_t n)
{
	return n == SIZE_MAX ? NULL : copy_text(tako__alloc(n + 1), p, n);
}

/* ---- Arena ---------------------------------------------------------------- */

char tako__arena_nothing[16];

void tako__arena_free(struct tako__arena *a)
{
	struct tako__chunk *next;

	for (struct tako__chunk *c = a->chunks; c; c = next) {
		next = c->next;
		tako__free(c, c->bytes);
	}
	a->chunks = NULL;
}

static size_t next_chunk_bytes(const struct tako__arena *a)
{
	size_t last = a->chunks ? a->chunks->bytes : 0;

	if (last < CHUNK_MIN_BYTES / 2)
		last = CHUNK_MIN_BYTES / 2;
	return last < CHUNK_MAX_BYTES / 2 ? last * 2 : CHUNK_MAX_BYTES;
}

static char *new_chunk(struct tako__chunk **link, size_t bytes)
{
	struct tako__chunk *c = tako__alloc(bytes);

	if (!c)
		return NULL;
	c->next = *link;
	c->bytes = bytes;
	*link = c;
	return (char *)c + CHUNK_HEAD_BYTES;
}

/* A block of more than half a chunk gets one of its own, behind the current one: what is
 * left of that is not lost, and the doubling does not start from an odd size. */
static void *big_block(struct tako__arena *a, size_t bytes)
{
	return new_chunk(a->chunks ? &a->chunks->next : &a->chunks, CHUNK_HEAD_BYTES + bytes);
}

void *tako__arena_own(struct tako__arena *a, size_t bytes)
{
	return bytes < SIZE_MAX / 2 ? big_block(a, bytes) : NULL;
}

void tako__arena_give_back(struct tako__arena *a, void *p)
{
	struct tako__chunk *c = (void *)((char *)p - CHUNK_HEAD_BYTES);
	struct tako__chunk **at = &a->chunks;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	tako__free(c, c->bytes);
}

void *tako__arena_slow(struct tako__arena *a, size_t bytes)
{
	size_t rounded = (bytes + 15) & ~(size_t)15;
	size_t chunk = next_chunk_bytes(a);
	char *p;

	if (rounded < bytes || rounded > SIZE_MAX - CHUNK_HEAD_BYTES)
		return NULL;
	if (rounded > chunk / 2)
		return big_block(a, rounded);
	p = new_chunk(&a->chunks, chunk);
	if (!p)
		return NULL;
	a->pos = p + rounded;
	a->end = p + (chunk - CHUNK_HEAD_BYTES);
	return p;
}

void *tako__arena_zalloc(struct tako__arena *a, size_t bytes)
{
	void *p = tako__arena_alloc(a, bytes);

	return p ? memset(p, 0, bytes) : NULL;
}

char *tako__arena_strndup(struct tako__arena *a, const char *p, size_t n)
{
	return n == SIZE_MAX ? NULL : copy_text(tako__arena_alloc(a, n + 1), p, n);
}

/* ---- Pool ------------------------------------------------------------------- */

void tako__pool_init(struct tako__pool *p, size_t block_bytes, unsigned keep_count)
{
	p->free = NULL;
	p->block_bytes = block_bytes < sizeof(void *) ? sizeof(void *) : block_bytes;
	p->free_count = 0;
	p->keep_count = keep_count;
}

void tako__pool_fini(struct tako__pool *p)
{
	void *next;

	for (void *block = p->free; block; block = next) {
		next = *(void **)block;
		tako__free(block, p->block_bytes);
	}
	p->free = NULL;
	p->free_count = 0;
}

void *tako__pool_slow(struct tako__pool *p)
{
	return tako__alloc(p->block_bytes);
}

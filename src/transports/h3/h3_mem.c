/* SPDX-License-Identifier: MIT
 *
 * See h3_mem.h.
 */
#include "transports/h3/h3_mem.h"

#include <stdint.h>
#include <string.h>

/* In front of each block; keeps what follows aligned. */
enum { LINK_BYTES = sizeof(struct tako__list) };

_Static_assert(LINK_BYTES % 16 == 0, "blocks are aligned");

static struct tako__list *link_of(void *p)
{
	return (struct tako__list *)(void *)((char *)p - LINK_BYTES);
}

static void *enlist(struct tako__h3_mem *m, void *block)
{
	tako__list_push_back(&m->blocks, block);
	return (char *)block + LINK_BYTES;
}

static void *get(size_t n, void *arg)
{
	struct tako__h3_mem *m = arg;
	void *block;

	if (n > SIZE_MAX - LINK_BYTES)
		return NULL;
	block = m->below->malloc(n + LINK_BYTES, m->below->mem_user_data);
	return block ? enlist(m, block) : NULL;
}

static void put(void *p, void *arg)
{
	struct tako__h3_mem *m = arg;

	if (!p)
		return;
	tako__list_remove(link_of(p));
	m->below->free(link_of(p), m->below->mem_user_data);
}

static void *get_zeroed(size_t count, size_t n, void *arg)
{
	void *p = n && count > SIZE_MAX / n ? NULL : get(count * n, arg);

	return p ? memset(p, 0, count * n) : NULL;
}

static void *resize(void *p, size_t n, void *arg)
{
	struct tako__h3_mem *m = arg;
	void *block;

	if (!p)
		return get(n, arg);
	if (n > SIZE_MAX - LINK_BYTES)
		return NULL;
	tako__list_remove(link_of(p));
	block = m->below->realloc(link_of(p), n + LINK_BYTES, m->below->mem_user_data);
	if (!block) {
		enlist(m, link_of(p));
		return NULL;
	}
	return enlist(m, block);
}

void tako__h3_mem_init(struct tako__h3_mem *m, const struct tako__h2_mem *below)
{
	m->mem = (nghttp3_mem){m, get, put, get_zeroed, resize};
	m->below = &below->mem;
	tako__list_init(&m->blocks);
}

void tako__h3_mem_fini(struct tako__h3_mem *m)
{
	struct tako__list *at;

	while ((at = tako__list_pop_front(&m->blocks)))
		m->below->free(at, m->below->mem_user_data);
}

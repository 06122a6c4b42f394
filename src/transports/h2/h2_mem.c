/* SPDX-License-Identifier: MIT
 *
 * See h2_mem.h.  The library says no size when it frees, so a word in front of each block does.
 */
#include "transports/h2/h2_mem.h"

#include <stdint.h>
#include <string.h>

#include "core/base.h"

enum {
	STEP_BYTES = 64, /* classes are 64, 128, … 512 bytes with the head */
	HEAD_BYTES = 16, /* keeps what follows aligned */
	KEPT = 512,      /* free blocks of each */
	FRAME_BYTES_LEAST = 16 << 10,
};

struct head {
	void *link;   /* the pool's, while it has the block */
	size_t bytes; /* of the block, this included; FREE in its lowest bit */
};

/* nghttp2 1.52 frees an item twice when it finds no room for it in a queue: at once, and with its
 * session.  A block that a pool has is therefore not taken again; between the two nobody else
 * gets it, since a session that failed is deleted at once. */
enum { FREE = 1 };

_Static_assert(sizeof(struct head) <= HEAD_BYTES, "fits before a block");

static struct tako__pool *pool_for(struct tako__h2_mem *m, size_t bytes)
{
	size_t class = (bytes + STEP_BYTES - 1) / STEP_BYTES;

	return class <= TAKO__H2_MEM_CLASSES ? &m->pools[class - 1] : NULL;
}

static struct head *head_of(void *p)
{
	return (struct head *)(void *)((char *)p - HEAD_BYTES);
}

static void *get(size_t n, void *arg);

/* Half of what an idle session has is the buffer that it writes frames into, and what is in there is of no
 * use to it from one call of nghttp2_session_mem_send() to the next: a frame is returned by the call
 * that writes it, and a field block that does not fit goes on in blocks which are its own.  So there
 * is one for all sessions, which are asked one after the other. */
static void *get_frame(struct tako__h2_mem *m, size_t n)
{
	m->is_open = false;
	if (!m->frame)
		m->frame = get(n, m);
	else if (n > head_of(m->frame)->bytes - HEAD_BYTES)
		return get(n, m);
	return m->frame;
}

static void *get(size_t n, void *arg)
{
	struct tako__h2_mem *m = arg;
	size_t bytes = n + HEAD_BYTES;
	struct tako__pool *pool;
	struct head *h;

	if (TAKO__UNLIKELY(m->is_open && n >= FRAME_BYTES_LEAST))
		return get_frame(m, n);
	/* Even, for the sake of FREE. */
	bytes += bytes & 1;
	if (bytes < n)
		return NULL;
	pool = pool_for(m, bytes);
	if (TAKO__LIKELY(pool != NULL)) {
		bytes = pool->block_bytes;
		h = tako__pool_get(pool);
	} else {
		h = tako__alloc(bytes);
	}
	if (!h)
		return NULL;
	h->bytes = bytes;
	return (char *)h + HEAD_BYTES;
}

static void put(void *p, void *arg)
{
	struct tako__h2_mem *m = arg;
	struct tako__pool *pool;

	if (!p || p == m->frame || (head_of(p)->bytes & FREE))
		return;
	pool = pool_for(m, head_of(p)->bytes);
	if (TAKO__UNLIKELY(!pool)) {
		tako__free(head_of(p), head_of(p)->bytes);
		return;
	}
	head_of(p)->bytes |= FREE;
	tako__pool_put(pool, head_of(p));
}

static void *get_zeroed(size_t count, size_t n, void *arg)
{
	void *p = n && count > SIZE_MAX / n ? NULL : get(count * n, arg);

	return p ? memset(p, 0, count * n) : NULL;
}

static void *resize(void *p, size_t n, void *arg)
{
	size_t have = p ? head_of(p)->bytes - HEAD_BYTES : 0;
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

void tako__h2_mem_init(struct tako__h2_mem *m)
{
	m->mem = (nghttp2_mem){m, get, put, get_zeroed, resize};
	for (size_t i = 0; i < TAKO__H2_MEM_CLASSES; i++)
		tako__pool_init(&m->pools[i], (i + 1) * STEP_BYTES, KEPT);
	m->frame = NULL;
	m->is_open = false;
}

int tako__h2_mem_session(struct tako__h2_mem *m, nghttp2_session **out,
                         const nghttp2_session_callbacks *callbacks, void *arg,
                         const nghttp2_option *option)
{
	int rc;

	m->is_open = true;
	rc = nghttp2_session_server_new3(out, callbacks, arg, option, &m->mem);
	m->is_open = false;
	return rc;
}

int tako__h2_mem_client_session(struct tako__h2_mem *m, nghttp2_session **out,
                                const nghttp2_session_callbacks *callbacks, void *arg,
                                const nghttp2_option *option)
{
	int rc;

	m->is_open = true;
	rc = nghttp2_session_client_new3(out, callbacks, arg, option, &m->mem);
	m->is_open = false;
	return rc;
}

void tako__h2_mem_fini(struct tako__h2_mem *m)
{
	void *frame = m->frame;

	m->frame = NULL;
	put(frame, m);
	for (size_t i = 0; i < TAKO__H2_MEM_CLASSES; i++)
		tako__pool_fini(&m->pools[i]);
}

/* SPDX-License-Identifier: MIT
 *
 * See quic_cid.h.  Knows nothing of connections but their addresses.
 */
#include "transports/quic/quic_cid.h"

#include <string.h>

#include "core/base.h"
#include "core/keyed.h"
#include "core/random.h"

enum { FIRST_SLOTS = 64, POOLED = 1024 };

uint64_t tako__quic_hash(const struct tako__quic_key *key, const uint8_t *p, size_t n)
{
	return tako__keyed_hash(key->k, p, n);
}

/* ---- Ours ----------------------------------------------------------------------- */

int tako__quic_cid_new(ngtcp2_cid *ret, const struct tako__quic_key *key, unsigned worker)
{
	int rc = tako__random(ret->data + 1, TAKO__QUIC_CID_BYTES - 1);

	if (rc < 0)
		return rc;
	ret->datalen = TAKO__QUIC_CID_BYTES;
	ret->data[0] = 0;
	ret->data[0] = (uint8_t)(worker ^ tako__quic_cid_worker(ret->data, key));
	return 0;
}

unsigned tako__quic_cid_worker(const uint8_t *cid, const struct tako__quic_key *key)
{
	return cid[0] ^ (uint8_t)tako__quic_hash(key, cid + 1, TAKO__QUIC_CID_BYTES - 1);
}

/* ---- The table --------------------------------------------------------------------- */

int tako__quic_table_init(struct tako__quic_table *t, const struct tako__quic_key *key)
{
	*t = (struct tako__quic_table){.key = *key, .slot_count = FIRST_SLOTS};
	tako__pool_init(&t->pool, sizeof(struct tako__quic_cid), POOLED);
	t->slots = tako__zalloc(FIRST_SLOTS * sizeof(void *));
	return t->slots ? 0 : tako__fail(TAKO_ENOMEM, "QUIC: out of memory");
}

void tako__quic_table_fini(struct tako__quic_table *t)
{
	tako__free(t->slots, t->slot_count * sizeof(void *));
	tako__pool_fini(&t->pool);
	*t = (struct tako__quic_table){0};
}

static struct tako__quic_cid **slot_of(const struct tako__quic_table *t, uint64_t hash)
{
	return &t->slots[hash & (t->slot_count - 1)];
}

/* Without memory for more slots it goes on with longer chains. */
static void grow(struct tako__quic_table *t)
{
	size_t had = t->slot_count;
	struct tako__quic_cid **old = t->slots;
	struct tako__quic_cid **slots = tako__zalloc(had * 2 * sizeof(void *));

	if (!slots)
		return;
	t->slots = slots;
	t->slot_count = had * 2;
	for (size_t i = 0; i < had; i++) {
		struct tako__quic_cid *next;

		for (struct tako__quic_cid *e = old[i]; e; e = next) {
			struct tako__quic_cid **to = slot_of(t, e->hash);

			next = e->next;
			e->next = *to;
			*to = e;
		}
	}
	tako__free(old, had * sizeof(void *));
}

static bool is_it(const struct tako__quic_cid *e, const uint8_t *p, size_t n)
{
	return e->n == n && memcmp(e->p, p, n) == 0;
}

static struct tako__quic_cid *find(const struct tako__quic_table *t, uint64_t hash,
                                   const uint8_t *p, size_t n)
{
	struct tako__quic_cid *e = *slot_of(t, hash);

	while (e && (e->hash != hash || !is_it(e, p, n)))
		e = e->next;
	return e;
}

struct tako__quic_cid *tako__quic_table_find(const struct tako__quic_table *t, const uint8_t *p,
                                             size_t n)
{
	return find(t, tako__quic_hash(&t->key, p, n), p, n);
}

int tako__quic_table_add(struct tako__quic_table *t, struct tako__quic_cid **list,
                         struct tako__quic *q, const uint8_t *p, size_t n)
{
	uint64_t hash = tako__quic_hash(&t->key, p, n);
	struct tako__quic_cid *e;
	struct tako__quic_cid **to;

	if (find(t, hash, p, n))
		return TAKO_EEXIST;
	e = tako__pool_get(&t->pool);
	if (!e)
		return TAKO_ENOMEM;
	if (t->count >= t->slot_count)
		grow(t);
	to = slot_of(t, hash);
	*e = (struct tako__quic_cid){
		.next = *to, .sibling = *list, .q = q, .hash = hash, .n = (uint8_t)n};
	memcpy(e->p, p, n);
	*to = e;
	*list = e;
	t->count++;
	return 0;
}

/* Out of its slot; its owner has let go of it. */
static void drop(struct tako__quic_table *t, struct tako__quic_cid *e)
{
	struct tako__quic_cid **at = slot_of(t, e->hash);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	t->count--;
	tako__pool_put(&t->pool, e);
}

void tako__quic_table_remove(struct tako__quic_table *t, struct tako__quic_cid **list,
                             const uint8_t *p, size_t n)
{
	while (*list && !is_it(*list, p, n))
		list = &(*list)->sibling;
	if (*list) {
		struct tako__quic_cid *e = *list;

		*list = e->sibling;
		drop(t, e);
	}
}

void tako__quic_table_clear(struct tako__quic_table *t, struct tako__quic_cid **list)
{
	while (*list) {
		struct tako__quic_cid *e = *list;

		*list = e->sibling;
		drop(t, e);
	}
}

/* SPDX-License-Identifier: MIT
 *
 * See tls_once.h.  Two tables, of this period and of the last; when one is over the older is emptied
 * and the two change places.
 */
#include "transports/tls/tls_once.h"

#include <pthread.h>
#include <string.h>

#include "core/base.h"
#include "core/mem.h"

enum { SLOTS = 65536 };

_Static_assert((int)TAKO__TLS_ONCE_MAX < (int)SLOTS, "a search ends at an empty slot");

struct table {
	uint32_t used;
	uint32_t reserved;
	uint64_t slots[SLOTS]; /* 0: empty */
};

struct tako__tls_once {
	pthread_mutex_t lock;
	uint64_t period; /* since the clock began */
	struct table *now;
	struct table *last;
	struct table tables[2];
};

struct tako__tls_once *tako__tls_once_new(void)
{
	struct tako__tls_once *o = tako__zalloc(sizeof *o);

	if (!o) {
		tako__fail(TAKO_ENOMEM, "early data: out of memory");
		return NULL;
	}
	pthread_mutex_init(&o->lock, NULL);
	o->now = &o->tables[0];
	o->last = &o->tables[1];
	return o;
}

void tako__tls_once_free(struct tako__tls_once *o)
{
	if (!o)
		return;
	pthread_mutex_destroy(&o->lock);
	tako__free(o, sizeof *o);
}

/* Where it is, or would be. */
static uint64_t *slot_of(struct table *t, uint64_t id)
{
	size_t at = id % SLOTS;

	while (t->slots[at] && t->slots[at] != id)
		at = (at + 1) % SLOTS;
	return &t->slots[at];
}

static void empty(struct table *t)
{
	if (t->used)
		memset(t, 0, sizeof *t);
}

static void turn(struct tako__tls_once *o, uint64_t period)
{
	struct table *old = o->last;

	/* Another worker may have looked at its clock earlier and come later. */
	if (period <= o->period)
		return;
	if (period != o->period + 1)
		empty(o->now);
	empty(old);
	o->last = o->now;
	o->now = old;
	o->period = period;
}

static bool take(struct tako__tls_once *o, uint64_t id)
{
	uint64_t *slot = slot_of(o->now, id);

	if (*slot || *slot_of(o->last, id) || o->now->used == TAKO__TLS_ONCE_MAX)
		return false;
	*slot = id;
	o->now->used++;
	return true;
}

bool tako__tls_once_take(struct tako__tls_once *o, uint64_t id, uint64_t now_ns)
{
	bool first;

	pthread_mutex_lock(&o->lock);
	turn(o, now_ns / ((uint64_t)TAKO__TLS_ONCE_PERIOD_S * 1000000000));
	first = take(o, id ? id : 1);
	pthread_mutex_unlock(&o->lock);
	return first;
}

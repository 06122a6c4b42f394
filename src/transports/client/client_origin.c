/* SPDX-License-Identifier: MIT
 *
 * See client_origin.h.
 */
#include "transports/client/client_origin.h"

#include <string.h>

#include "core/base.h"

/* ---- Origins ----------------------------------------------------------------------------- */

struct tako__client_origin *tako__client_origin_find(struct tako__client_pool *p, tako_str key)
{
	TAKO__LIST_EACH(at, &p->origins)
	{
		struct tako__client_origin *o = TAKO__CONTAINER(at, struct tako__client_origin,
		                                                link);

		if (o->key_n == key.n && memcmp(o->key, key.p, key.n) == 0)
			return o;
	}
	return NULL;
}

/* What will be spoken there.  With https its server chooses. */
static void expect(struct tako__client_origin *o)
{
	const tako_client_config *cfg = &o->pool->client->cfg;
	bool secure = tako__client_origin_is_secure(o);

	if (!cfg->http2 || (!secure && !cfg->http2_prior_knowledge)) {
		o->carrier = &tako__client_h1_carrier;
		o->stream_max = 1;
	} else if (!secure) {
		o->carrier = cfg->http2->carrier;
	}
}

struct tako__client_origin *tako__client_origin_new(struct tako__client_pool *p, tako_str key)
{
	struct tako__client_origin *o = tako__zalloc(sizeof *o + key.n);

	if (!o)
		return NULL;
	o->pool = p;
	tako__list_init(&o->queue);
	tako__list_init(&o->open);
	memcpy(o->key, key.p, key.n);
	expect(o);
	o->key_n = (uint32_t)key.n;
	tako__list_push_front(&p->origins, &o->link);
	return o;
}

void tako__client_origin_release(struct tako__client_origin *o)
{
	if (o->conn_count || o->queue_count)
		return;
	tako__list_remove(&o->link);
	tako__free(o, sizeof *o + o->key_n);
}

/* ---- The queue ---------------------------------------------------------------------------- */

uint32_t tako__client_waiting(const struct tako__client_origin *o)
{
	uint32_t each = o->stream_max ? o->stream_max : o->pool->client->cfg.http2_max_stream_count;
	uint64_t coming = (uint64_t)o->dial_count * each;

	return o->queue_count > coming ? o->queue_count - (uint32_t)coming : 0;
}

void tako__client_recount(struct tako__client_origin *o)
{
	o->pool->waiting_count -= o->waiting_count;
	o->waiting_count = tako__client_waiting(o);
	o->pool->waiting_count += o->waiting_count;
}

void tako__client_enqueue(struct tako__client_origin *o, struct tako_fetch *f)
{
	f->origin = o;
	f->dial_number = o->dial_number;
	/* One that starts over was before those that wait. */
	if (tako__fetch_starts_over(f))
		tako__list_push_front(&o->queue, &f->link);
	else
		tako__list_push_back(&o->queue, &f->link);
	o->queue_count++;
	tako__client_recount(o);
}

struct tako_fetch *tako__client_dequeue(struct tako_fetch *f)
{
	tako__list_remove(&f->link);
	f->origin->queue_count--;
	tako__client_recount(f->origin);
	f->origin = NULL;
	return f;
}

/* SPDX-License-Identifier: MIT
 *
 * Streams of events that subscribe to topics.  The events of a batch are formatted once a worker; a
 * client that keeps up is lent them, one that lags gets a copy behind what it has, as far as its limit
 * lets it.
 */
#include <string.h>

#include "transports/sse/sse_format.h"
#include "transports/sse/sse_int.h"

/* What every stream of a worker is sent of a batch. */
struct made {
	struct tako__shared *sh;
	unsigned count; /* of events in it: binary messages are none */
	size_t end[TAKO__BATCH_MAX];
};

/* ---- Made once ------------------------------------------------------------------------ */

static tako_sse_event event_of(const struct tako__message *m)
{
	return (tako_sse_event){
		.size = sizeof(tako_sse_event), .data = m->data, .event = m->event, .id = m->id};
}

static void *make(struct tako__worker *w, const struct tako__batch *b)
{
	struct made *made = tako__alloc(sizeof *made);
	size_t bound = 0;

	(void)w;
	for (unsigned i = 0; i < b->count; i++) {
		tako_sse_event ev = event_of(b->messages[i]);

		bound += tako__sse_event_bound(&ev);
	}
	if (!made)
		return NULL;
	made->count = 0;
	made->sh = tako__shared_new(bound);
	if (!made->sh) {
		tako__free(made, sizeof *made);
		return NULL;
	}
	for (unsigned i = 0; i < b->count; i++) {
		tako_sse_event ev = event_of(b->messages[i]);

		if (b->messages[i]->kind != TAKO_TOPIC_TEXT)
			continue;
		made->sh->n += tako__sse_event_write(tako__shared_data(made->sh) + made->sh->n,
		                                     &ev);
		made->end[made->count++] = made->sh->n;
	}
	return made;
}

static void free_made(struct tako__worker *w, void *arg)
{
	struct made *made = arg;

	(void)w;
	tako__shared_unref(made->sh);
	tako__free(made, sizeof *made);
}

/* ---- Sent to each -------------------------------------------------------------------------- */

static void on_lent(struct tako_send *op, int err)
{
	tako_sse *sse = TAKO__CONTAINER(op, tako_sse, op);
	struct tako__exchange *x = sse->x;
	struct tako__conn *c = x->conn;

	tako__shared_unref(sse->lent);
	sse->lent = NULL;
	if (sse->state == TAKO__SSE_OVER)
		tako__sse_drop(sse);
	if (c && err == 0)
		tako__conn_written(c);
	tako__exchange_unref(x);
}

static int lend(tako_sse *sse, struct tako__shared *sh)
{
	struct tako__exchange *x = sse->x;

	sse->lent = tako__shared_ref(sh);
	sse->op = (struct tako_send){.done = on_lent, .file_fd = -1};
	tako__exchange_ref(x);
	return x->proto->share(x, &sse->op, sh);
}

/* What there is room for, and the policy's word about the rest. */
static unsigned one_by_one(tako_sse *sse, const struct made *made)
{
	unsigned given = 0;
	size_t at = 0;

	for (unsigned i = 0; i < made->count && sse->state == TAKO__SSE_OPEN; i++) {
		/* However fast the client is. */
		sse->dropped += made->end[i] - at > sse->limit_bytes;
		given += tako__sse_put(sse, tako__shared_data(made->sh) + at, made->end[i] - at) >=
		         0;
		at = made->end[i];
	}
	return given;
}

static unsigned deliver(struct tako__sub *s, const struct tako__batch *b, void *arg)
{
	tako_sse *sse = TAKO__CONTAINER(s, struct tako__sse_sub, sub)->sse;
	struct tako__exchange *x = sse->x;
	const struct made *made = arg;
	struct tako__shared *sh = made->sh;
	uint64_t queued;
	int rc;

	(void)b;
	if (!made->count)
		return 0;
	if (TAKO__UNLIKELY(x->flags & (TAKO__X_GONE | TAKO__X_ENDED))) {
		tako__sse_end(sse, TAKO_ECLOSED);
		return 0;
	}
	queued = x->proto->unsent(x);
	if (TAKO__UNLIKELY(sh->n > sse->limit_bytes || queued > sse->limit_bytes - sh->n))
		return one_by_one(sse, made);
	x->sent_bytes += sh->n;
	if (TAKO__LIKELY(x->proto->share && !sse->lent)) {
		rc = lend(sse, sh);
	} else {
		tako__conn_touch(x->conn);
		rc = x->proto->data(x, tako__shared_data(sh), sh->n);
	}
	sse->sent_ns = tako__now_ns(x->worker);
	if (TAKO__UNLIKELY(rc < 0))
		tako__sse_end(sse, rc);
	return made->count;
}

static const struct tako__sub_ops sub_ops = {
	.kind = TAKO__SUB_SSE,
	.make = make,
	.free = free_made,
	.deliver = deliver,
};

/* ---- Subscribing ----------------------------------------------------------------------------- */

static struct tako__sse_sub *find(tako_sse *sse, const tako_topic *topic)
{
	TAKO__LIST_EACH(at, &sse->subs)
	{
		struct tako__sse_sub *s = TAKO__CONTAINER(at, struct tako__sse_sub, link);

		if (tako__sub_topic(&s->sub) == topic)
			return s;
	}
	return NULL;
}

static void drop(tako_sse *sse, struct tako__sse_sub *s)
{
	tako__list_remove(&s->link);
	sse->sub_count--;
	if (s != &sse->first)
		tako__free(s, sizeof *s);
}

int tako_sse_subscribe(tako_sse *sse, tako_topic *topic)
{
	struct tako__sse_sub *s;
	int rc;

	if (sse->state != TAKO__SSE_OPEN)
		return tako__fail(TAKO_ECLOSED, "the stream of events has ended");
	if (find(sse, topic))
		return 0;
	if (sse->sub_count >= TAKO_SUBSCRIPTIONS_MAX)
		return tako__fail(TAKO_ETOOBIG, "subscribed to %d topics already",
		                  TAKO_SUBSCRIPTIONS_MAX);
	s = sse->first.sub.end ? tako__zalloc(sizeof *s) : &sse->first;
	if (!s)
		return tako__fail(TAKO_ENOMEM, "subscription: out of memory");
	s->sse = sse;
	tako__list_push_back(&sse->subs, &s->link);
	sse->sub_count++;
	rc = tako__topic_subscribe(topic, sse->x->worker, &s->sub, &sub_ops);
	if (rc < 0)
		drop(sse, s);
	return rc;
}

int tako_sse_unsubscribe(tako_sse *sse, tako_topic *topic)
{
	struct tako__sse_sub *s = find(sse, topic);

	if (!s)
		return tako__fail(TAKO_ENOENT, "not subscribed to that topic");
	tako__topic_unsubscribe(&s->sub);
	drop(sse, s);
	return 0;
}

void tako__sse_unsubscribe_all(tako_sse *sse)
{
	TAKO__LIST_EACH(at, &sse->subs)
	{
		struct tako__sse_sub *s = TAKO__CONTAINER(at, struct tako__sse_sub, link);

		tako__topic_unsubscribe(&s->sub);
		drop(sse, s);
	}
}

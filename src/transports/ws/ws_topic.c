/* SPDX-License-Identifier: MIT
 *
 * WebSockets that subscribe to topics.  The frames of a batch are made once a worker, one behind the
 * other, and lent to each, uncompressed; limits and policies are ws_send.c's.
 */
#include <string.h>

#include "core/topic.h"
#include "transports/ws/ws_int.h"
#include "transports/ws/ws_msg.h"

struct ws_sub {
	struct tako__sub sub;
	struct tako__ws_watch watch;
	tako_ws *ws;
};

static size_t put_head(char head[TAKO__WS_OUR_HEAD_BYTES], const struct tako__message *m)
{
	unsigned op = m->kind == TAKO_TOPIC_BINARY ? TAKO_WS_BINARY : TAKO_WS_TEXT;

	return tako__ws_head_write(head, TAKO__WS_FIN | op, m->data.n);
}

static void *make(struct tako__worker *w, const struct tako__batch *b)
{
	char head[TAKO__WS_OUR_HEAD_BYTES];
	tako_ws_msg *m;
	size_t n = 0;

	(void)w;
	for (unsigned i = 0; i < b->count; i++)
		n += put_head(head, b->messages[i]) + b->messages[i]->data.n;
	m = tako__alloc(sizeof *m + n);
	if (!m)
		return NULL;
	atomic_init(&m->refs, 1);
	m->n = 0;
	for (unsigned i = 0; i < b->count; i++) {
		tako_str data = b->messages[i]->data;

		n = put_head(head, b->messages[i]);
		memcpy(m->frame + m->n, head, n);
		memcpy(m->frame + m->n + n, data.p, data.n);
		m->n += n + data.n;
	}
	return m;
}

static void free_made(struct tako__worker *w, void *made)
{
	(void)w;
	tako_ws_msg_free(made);
}

static unsigned deliver(struct tako__sub *s, const struct tako__batch *b, void *made)
{
	tako_ws *ws = TAKO__CONTAINER(s, struct ws_sub, sub)->ws;
	int64_t rc = tako__ws_deliver(ws, made);

	/* Who is told some of it and not the rest, for no reason of his own, would never know. */
	if (TAKO__UNLIKELY(rc == TAKO_ENOMEM))
		tako__ws_cut(ws, 1006, TAKO_ENOMEM);
	return rc >= 0 ? b->count : 0;
}

static const struct tako__sub_ops sub_ops = {
	.kind = TAKO__SUB_WS,
	.make = make,
	.free = free_made,
	.deliver = deliver,
};

static void on_closed(struct tako__ws_watch *watch)
{
	struct ws_sub *s = TAKO__CONTAINER(watch, struct ws_sub, watch);

	tako__topic_unsubscribe(&s->sub);
	tako__free(s, sizeof *s);
}

/* Among all that hangs on the WebSocket; `ret_count`: how many subscriptions there are. */
static struct ws_sub *find(const tako_ws *ws, const tako_topic *topic, unsigned *ret_count)
{
	struct ws_sub *found = NULL;

	*ret_count = 0;
	TAKO__LIST_EACH(at, &ws->watches)
	{
		struct tako__ws_watch *w = TAKO__CONTAINER(at, struct tako__ws_watch, link);
		struct ws_sub *s = TAKO__CONTAINER(w, struct ws_sub, watch);

		if (w->closed != on_closed)
			continue;
		++*ret_count;
		if (tako__sub_topic(&s->sub) == topic)
			found = s;
	}
	return found;
}

int tako_ws_subscribe(tako_ws *ws, tako_topic *topic)
{
	struct ws_sub *s;
	unsigned count;
	int rc;

	if (!tako_ws_is_open(ws))
		return tako__fail(TAKO_ECLOSED, "the WebSocket is closed");
	if (find(ws, topic, &count))
		return 0;
	if (count >= TAKO_SUBSCRIPTIONS_MAX)
		return tako__fail(TAKO_ETOOBIG, "subscribed to %d topics already",
		                  TAKO_SUBSCRIPTIONS_MAX);
	s = tako__zalloc(sizeof *s);
	if (!s)
		return tako__fail(TAKO_ENOMEM, "subscription: out of memory");
	s->ws = ws;
	s->watch.closed = on_closed;
	rc = tako__topic_subscribe(topic, tako__ws_worker(ws), &s->sub, &sub_ops);
	if (rc == 0)
		rc = tako__ws_watch(ws, &s->watch);
	if (rc < 0) {
		tako__topic_unsubscribe(&s->sub);
		tako__free(s, sizeof *s);
	}
	return rc;
}

int tako_ws_unsubscribe(tako_ws *ws, tako_topic *topic)
{
	unsigned count;
	struct ws_sub *s = find(ws, topic, &count);

	if (!s)
		return tako__fail(TAKO_ENOENT, "not subscribed to that topic");
	tako__ws_unwatch(&s->watch);
	on_closed(&s->watch);
	return 0;
}

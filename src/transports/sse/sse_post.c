/* SPDX-License-Identifier: MIT
 *
 * Events from other threads: formatted where they come from, handed over through the worker's
 * mailbox.  A lock of the stream decides the race between who posts and the stream's end, after
 * which nobody may touch its worker.
 */
#include "transports/sse/sse_int.h"

#include "transports/sse/sse_format.h"

struct posted {
	struct tako__mail mail;
	tako_sse *sse;
	size_t n;
	size_t cap;
	char data[];
};

static void on_posted(struct tako__mail *m)
{
	struct posted *p = TAKO__CONTAINER(m, struct posted, mail);
	tako_sse *sse = p->sse;

	pthread_mutex_lock(&sse->lock);
	sse->posted_bytes -= p->n;
	pthread_mutex_unlock(&sse->lock);
	if (sse->state == TAKO__SSE_OPEN)
		(void)tako__sse_put(sse, p->data, p->n);
	tako__free(p, sizeof *p + p->cap);
	tako__sse_drop(sse);
}

static int hand_over(struct posted *p)
{
	tako_sse *sse = p->sse;
	int rc = 0;

	pthread_mutex_lock(&sse->lock);
	if (!sse->to) {
		rc = tako__fail(TAKO_ECLOSED, "the stream of events has ended");
	} else if (p->n > sse->limit_bytes) {
		rc = tako__fail(TAKO_ETOOBIG, "an event of %zu bytes is over max_queue_bytes",
		                p->n);
	} else if (sse->posted_bytes && sse->posted_bytes + p->n > sse->limit_bytes / 2) {
		/* Half: what arrives in one turn waits for the end of it, and shall not make a client
		 * slow that is not. */
		rc = tako__fail(TAKO_EBUSY, "%llu bytes of events are posted already",
		                (unsigned long long)sse->posted_bytes);
	} else {
		sse->posted_bytes += p->n;
		atomic_fetch_add_explicit(&sse->refs, 1, memory_order_relaxed);
		tako__worker_post(sse->to, &p->mail);
	}
	pthread_mutex_unlock(&sse->lock);
	return rc;
}

int tako_sse_post(tako_sse *sse, const tako_sse_event *event)
{
	tako_sse_event ev;
	struct posted *p;
	size_t bound;
	int rc = tako__sse_event_import(&ev, event);

	if (rc < 0)
		return rc;
	bound = tako__sse_event_bound(&ev);
	p = tako__alloc(sizeof *p + bound);
	if (!p)
		return tako__fail(TAKO_ENOMEM, "event: out of memory");
	p->mail.fn = on_posted;
	p->sse = sse;
	p->cap = bound;
	p->n = tako__sse_event_write(p->data, &ev);
	rc = hand_over(p);
	if (rc < 0)
		tako__free(p, sizeof *p + bound);
	return rc;
}

tako_sse *tako_sse_ref(tako_sse *sse)
{
	atomic_fetch_add_explicit(&sse->refs, 1, memory_order_relaxed);
	return sse;
}

void tako_sse_unref(tako_sse *sse)
{
	if (sse)
		tako__sse_drop(sse);
}

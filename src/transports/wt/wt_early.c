/* SPDX-License-Identifier: MIT
 *
 * What comes before its session, as packets overtake each other (draft-ietf-webtrans-http3 section 4.5):
 * kept, as many and as long as the config says, then refused.
 */
#include "transports/wt/wt_int.h"

enum { DATAGRAM_BYTES_MAX = 2048 }; /* of one that is kept: no usual path carries longer ones */

static uint64_t patience(const struct tako__wt_conn *wc)
{
	return tako__ms_ns(tako__wt_server(wc)->header_timeout_ms);
}

static void drop_dgram(struct tako__wt_conn *wc, struct tako__wt_early *d)
{
	tako__list_remove(&d->link);
	wc->early_dgram_count--;
	tako__free(d, sizeof *d + d->n);
}

/* It leaves the list; what becomes of it is the caller's. */
static void unlist(struct tako__wt_conn *wc, tako_wt_stream *s)
{
	tako__list_remove(&s->link);
	s->flags &= ~TAKO__WTS_EARLY;
	wc->early_count--;
}

static void drop_stream(struct tako__wt_conn *wc, tako_wt_stream *s, uint64_t code)
{
	unlist(wc, s);
	tako__wt_stream_kill(s, code);
}

static tako_wt_stream *stream_of(struct tako__list *link)
{
	return TAKO__CONTAINER(link, tako_wt_stream, link);
}

static struct tako__wt_early *dgram_of(struct tako__list *link)
{
	return TAKO__CONTAINER(link, struct tako__wt_early, link);
}

/* ---- Time ------------------------------------------------------------------------------------ */

static void arm(struct tako__wt_conn *wc)
{
	if (!tako__timer_armed(&wc->early_timer))
		tako__timer_set(&wc->c->worker->wheel, &wc->early_timer,
		                tako__wt_now(wc) + patience(wc));
}

static void on_timer(struct tako__timer *t, uint64_t now_ns)
{
	struct tako__wt_conn *wc = TAKO__CONTAINER(t, struct tako__wt_conn, early_timer);
	uint64_t now = tako__wt_now(wc);

	(void)now_ns;
	tako__conn_touch(wc->c);
	TAKO__LIST_EACH(at, &wc->early)
	{
		if (now - stream_of(at)->early_ns >= patience(wc))
			drop_stream(wc, stream_of(at), wc->refused_code);
	}
	TAKO__LIST_EACH(at, &wc->early_dgrams)
	{
		if (now - dgram_of(at)->since_ns >= patience(wc))
			drop_dgram(wc, dgram_of(at));
	}
	if (wc->early_count || wc->early_dgram_count)
		arm(wc);
}

/* ---- In and out -------------------------------------------------------------------------------- */

void tako__wt_early_init(struct tako__wt_conn *wc)
{
	tako__list_init(&wc->early);
	tako__list_init(&wc->early_dgrams);
	tako__timer_init(&wc->early_timer, on_timer);
}

void tako__wt_early_fini(struct tako__wt_conn *wc)
{
	tako__timer_clear(&wc->c->worker->wheel, &wc->early_timer);
	while (!tako__list_empty(&wc->early))
		drop_stream(wc, stream_of(wc->early.next), 0);
	while (!tako__list_empty(&wc->early_dgrams))
		drop_dgram(wc, dgram_of(wc->early_dgrams.next));
}

static uint32_t max_of(uint32_t field)
{
	return field == TAKO_OFF ? 0 : field;
}

bool tako__wt_early_stream(tako_wt_stream *s, int64_t id)
{
	struct tako__wt_conn *wc = s->conn;

	if (wc->early_count >= max_of(tako__wt_server(wc)->wt_max_early_streams)) {
		tako__wt_stream_kill(s, wc->refused_code);
		return false;
	}
	s->early_id = id;
	s->early_ns = tako__wt_now(wc);
	s->flags |= TAKO__WTS_EARLY;
	tako__list_push_back(&wc->early, &s->link);
	wc->early_count++;
	arm(wc);
	return true;
}

void tako__wt_early_datagram(struct tako__wt_conn *wc, int64_t id, const char *p, size_t n)
{
	struct tako__wt_early *d;

	/* They may be lost anywhere, and so here. */
	if (n > DATAGRAM_BYTES_MAX ||
	    wc->early_dgram_count >= max_of(tako__wt_server(wc)->wt_max_early_datagrams))
		return;
	d = tako__alloc(sizeof *d + n);
	if (!d)
		return;
	d->id = id;
	d->since_ns = tako__wt_now(wc);
	d->n = n;
	if (n)
		memcpy(d->data, p, n);
	tako__list_push_back(&wc->early_dgrams, &d->link);
	wc->early_dgram_count++;
	arm(wc);
}

void tako__wt_early_join(tako_wt *wt)
{
	struct tako__wt_conn *wc = wt->conn;

	wt->fresh = false;
	TAKO__LIST_EACH(at, &wc->early)
	{
		if (stream_of(at)->early_id != wt->id || !tako__wt_is_open(wt))
			continue;
		unlist(wc, stream_of(at));
		(void)tako__wt_stream_join(stream_of(at), wt);
	}
	TAKO__LIST_EACH(at, &wc->early_dgrams)
	{
		if (dgram_of(at)->id != wt->id)
			continue;
		tako__wt_on_datagram(wt, dgram_of(at)->data, dgram_of(at)->n);
		drop_dgram(wc, dgram_of(at));
	}
}

void tako__wt_early_drop(struct tako__wt_conn *wc, int64_t id, uint64_t code)
{
	TAKO__LIST_EACH(at, &wc->early)
	{
		if (stream_of(at)->early_id == id)
			drop_stream(wc, stream_of(at), code);
	}
	TAKO__LIST_EACH(at, &wc->early_dgrams)
	{
		if (dgram_of(at)->id == id)
			drop_dgram(wc, dgram_of(at));
	}
}

/* SPDX-License-Identifier: MIT
 *
 * What the sessions of a connection share: which there are, what waits until nobody is inside, and the
 * end of all of them with their connection.
 */
#include "transports/wt/wt_int.h"

enum { CONNS_KEPT = 64, STREAMS_KEPT = 256 };

static void local_free(struct tako__worker_local *base)
{
	struct tako__wt_local *l = (struct tako__wt_local *)base;

	tako__pool_fini(&l->conns);
	tako__pool_fini(&l->streams);
	tako__free(l, sizeof *l);
}

struct tako__wt_local *tako__wt_local(struct tako__worker *w)
{
	struct tako__wt_local *l = tako__worker_local(w, local_free);

	if (l)
		return l;
	l = tako__zalloc(sizeof *l);
	if (!l)
		return NULL;
	tako__worker_keep(w, &l->base, local_free);
	tako__pool_init(&l->conns, sizeof(struct tako__wt_conn), CONNS_KEPT);
	tako__pool_init(&l->streams, sizeof(struct tako_wt_stream), STREAMS_KEPT);
	return l;
}

struct tako__wt_conn *tako__wt_conn_new(struct tako__conn *c)
{
	struct tako__wt_local *l = tako__wt_local(c->worker);
	struct tako__wt_conn *wc = l ? tako__pool_get(&l->conns) : NULL;

	if (!wc)
		return NULL;
	memset(wc, 0, sizeof *wc);
	wc->c = c;
	wc->local = l;
	wc->refused_code = TAKO__WT_BUFFERED_STREAM_REJECTED;
	wc->gone_code = TAKO__WT_SESSION_GONE;
	tako__list_init(&wc->sessions);
	tako__list_init(&wc->leaving);
	tako__list_init(&wc->ready);
	tako__list_init(&wc->later);
	tako__wt_early_init(wc);
	return wc;
}

static tako_wt *session_of(struct tako__list *link)
{
	return TAKO__CONTAINER(link, tako_wt, link);
}

void tako__wt_conn_fini(struct tako__wt_conn *wc, int err)
{
	if (!wc)
		return;
	wc->over = true;
	while (!tako__list_empty(&wc->sessions)) {
		tako_wt *wt = session_of(wc->sessions.next);

		/* Who has been closed before has been closed, whatever ended the connection. */
		tako__wt_end(wt, err, 0, (tako_str){"", 0});
		tako__wt_finish(wt);
	}
	while (!tako__list_empty(&wc->leaving))
		tako__wt_connect_release(session_of(wc->leaving.next));
	tako__wt_early_fini(wc);
	tako__pool_put(&wc->local->conns, wc);
}

tako_wt *tako__wt_find(struct tako__wt_conn *wc, int64_t id)
{
	TAKO__LIST_EACH(at, &wc->sessions)
	{
		if (session_of(at)->id == id)
			return session_of(at);
	}
	return NULL;
}

bool tako__wt_is_gone(const struct tako__wt_conn *wc, int64_t id)
{
	for (uint32_t i = 0; i < wc->gone_count && i < TAKO__WT_GONE_MAX; i++) {
		if (wc->gone[i] == id)
			return true;
	}
	return false;
}

/* ---- What waits until nobody is inside ----------------------------------------------------- */

/* Of several that end at once each may end others. */
static void finish_ended(struct tako__wt_conn *wc)
{
	while (wc->ending) {
		wc->ending = false;
		TAKO__LIST_EACH(at, &wc->sessions)
		{
			if (session_of(at)->state != TAKO__WT_ENDING)
				continue;
			tako__wt_finish(session_of(at));
			wc->ending = true;
			break;
		}
	}
}

static void join_early(struct tako__wt_conn *wc)
{
	if (!wc->fresh)
		return;
	wc->fresh = false;
	TAKO__LIST_EACH(at, &wc->sessions)
	{
		if (session_of(at)->fresh)
			tako__wt_early_join(session_of(at));
	}
}

void tako__wt_look(struct tako__wt_conn *wc)
{
	struct tako__list looking, *l;

	if (!wc)
		return;
	join_early(wc);
	/* Once each: what they ask for meanwhile is for the next time. */
	tako__list_init(&looking);
	tako__list_splice_back(&looking, &wc->later);
	while ((l = tako__list_pop_front(&looking)))
		tako__wt_stream_look(TAKO__CONTAINER(l, tako_wt_stream, later));
	finish_ended(wc);
	if (!tako__list_empty(&wc->later))
		tako__quic_wake(wc->c);
}

void tako__wt_allowed(struct tako__wt_conn *wc)
{
	if (!wc)
		return;
	TAKO__LIST_EACH(at, &wc->sessions)
	{
		tako_wt *wt = session_of(at);

		if (!wt->starved || wt->state != TAKO__WT_OPEN)
			continue;
		wt->starved = false;
		if (wt->cfg.on_streams_allowed)
			wt->cfg.on_streams_allowed(wt, wt->arg);
	}
}

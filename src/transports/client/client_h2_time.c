/* SPDX-License-Identifier: MIT
 *
 * How long the fetches of a connection over HTTP/2 wait, each by itself, and what happens then.
 */
#include "core/base.h"
#include "transports/client/client_h2.h"

/* ---- When ----------------------------------------------------------------------------------- */

static uint64_t later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* When the patience of its fetch ends, as things are; UINT64_MAX: it is our turn, and our user's. */
static uint64_t stream_due(const struct tako__client_h2_stream *s)
{
	const struct tako_fetch *f = s->f;
	const tako_client_config *cfg = &s->h->client->cfg;

	if (!f)
		return UINT64_MAX;
	if (f->awaits_continue)
		return f->since_ns + tako__ms_ns(cfg->continue_timeout_ms);
	if (s->out_at < s->out.n)
		return s->base_ns + tako__ms_ns(cfg->idle_timeout_ms);
	if (f->paused || (s->flags & TAKO__CLIENT_H2S_ENDED))
		return UINT64_MAX;
	if (f->stage != TAKO__FETCH_HEAD)
		return s->base_ns + tako__ms_ns(cfg->idle_timeout_ms);
	return f->finished ? later_of(s->base_ns, f->since_ns) + tako__ms_ns(cfg->head_timeout_ms)
	                   : UINT64_MAX;
}

uint64_t tako__client_h2_due(const struct tako__client_h2 *h)
{
	const tako_client_config *cfg = &h->client->cfg;

	if (tako__conn_unsent(h->c))
		return later_of(h->send_ns, h->c->progress_ns) + tako__ms_ns(cfg->idle_timeout_ms);
	return tako__client_h2_base(h)->carried
	               ? UINT64_MAX
	               : h->idle_ns + tako__ms_ns(cfg->keepalive_timeout_ms);
}

/* What has become later is looked at when the earlier one has come. */
void tako__client_h2_wake_at(struct tako__client_h2 *h, uint64_t at)
{
	if (at < h->c->deadline_ns && !(h->c->flags & TAKO__CONN_CLOSING))
		tako__conn_deadline(h->c, at);
}

void tako__client_h2_watch(struct tako__client_h2_stream *s)
{
	tako__client_h2_wake_at(s->h, stream_due(s));
}

/* ---- Too late ---------------------------------------------------------------------------------- */

static void count_timeout(struct tako__client_h2 *h)
{
	tako__add(&h->c->worker->stats.timeouts, 1);
}

static struct tako__client_h2_stream *first_due(struct tako__client_h2 *h, uint64_t now)
{
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__client_h2_stream *s = TAKO__CONTAINER(
			at, struct tako__client_h2_stream, link);

		if (stream_due(s) <= now)
			return s;
	}
	return NULL;
}

/* RFC 9110 section 10.1.1: not for ever. */
static void go_without(struct tako__client_h2_stream *s)
{
	if (tako__fetch_flow(s->f) < 0)
		tako__client_h2_fail(s, TAKO_ENOMEM, NULL);
}

static void stream_late(struct tako__client_h2_stream *s)
{
	struct tako__client_h2 *h = s->h;
	const char *why = s->out_at < s->out.n              ? "it did not take the request"
	                  : s->f->stage == TAKO__FETCH_HEAD ? "it did not answer"
	                                                    : "it did not go on";

	count_timeout(h);
	/* Who has said nothing for half of that time, to anybody, is not asked anything else. */
	if (h->heard_ns < s->base_ns + (tako__client_h2_now(h) - s->base_ns) / 2)
		tako__client_retire(h->c);
	tako__client_h2_fail(s, TAKO_ETIMEDOUT, why);
}

static void check_streams(struct tako__client_h2 *h, uint64_t now)
{
	struct tako__client_h2_stream *s;

	while ((s = first_due(h, now))) {
		if (s->f->awaits_continue)
			go_without(s);
		else
			stream_late(s);
	}
}

static void check_conn(struct tako__client_h2 *h, uint64_t now)
{
	if (h->gone || tako__client_h2_due(h) > now)
		return;
	if (!tako__conn_unsent(h->c)) {
		tako__client_h2_part(h);
		return;
	}
	count_timeout(h);
	tako__client_h2_gone(h, TAKO_ETIMEDOUT, "it did not take the request");
	tako__conn_close(h->c);
}

void tako__client_h2_check(struct tako__client_h2 *h)
{
	uint64_t now = tako__client_h2_now(h);

	check_streams(h, now);
	check_conn(h, now);
	TAKO__LIST_EACH(at, &h->streams)
	tako__client_h2_watch(TAKO__CONTAINER(at, struct tako__client_h2_stream, link));
}

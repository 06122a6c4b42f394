/* SPDX-License-Identifier: MIT
 *
 * See wt_h3.h.
 */
#include "transports/wt/wt_h3.h"

#include "core/str.h"
#include "transports/wt/wt_int.h"

static struct tako__wt_conn *conn_of(struct tako__h3 *h)
{
	if (!h->wt)
		h->wt = tako__wt_conn_new(h->c);
	return h->wt;
}

/* ---- Requests ------------------------------------------------------------------------------ */

bool tako__wt_asked(const struct tako__h2_head *head)
{
	return head->switching && tako_str_ieq(head->protocol, TAKO_STR("webtransport"));
}

/* Of a draft nobody may say anything before its version is known (section 3.1). */
void tako__wt_request(struct tako__h3_stream *s, const struct tako__h2_head *head)
{
	struct tako__h3 *h = s->h;
	const tako_server_config *cfg = tako__h3_config(h);
	struct tako__exchange *x = s->x;

	if (!tako_str_ieq(head->scheme, TAKO_STR("https"))) {
		tako__h3_stream_malformed(s);
		return;
	}
	if (tako__wt_offered(cfg) && h->wt_count >= cfg->wt_max_sessions) {
		tako__h3_stream_cut(s, NGHTTP3_H3_REQUEST_REJECTED);
		tako__exchange_break(x, 0, TAKO_EBUSY);
		return;
	}
	h->wt_count++;
	s->flags |= TAKO__H3S_SESSION;
	if (h->control.settings_done)
		tako__exchange_run(x);
	else
		s->flags |= TAKO__H3S_WAITS;
}

void tako__wt_request_over(struct tako__h3_stream *s)
{
	struct tako__wt_conn *wc = s->h->wt;

	/* It became no session, and whatever came for one will have none. */
	if (wc)
		tako__wt_early_drop(wc, s->id, wc->refused_code);
	if (s->flags & TAKO__H3S_SESSION) {
		s->h->wt_count--;
		s->h->parted_ns = tako__h3_now(s->h);
	}
	s->flags &= ~(TAKO__H3S_SESSION | TAKO__H3S_WAITS);
}

int tako__wt_settings_came(struct tako__h3 *h)
{
	/* RFC 9297 section 2.1.1. */
	if (h->control.has_datagrams && !tako__quic_datagram_max(h->c))
		return tako__h3_fail(h, NGHTTP3_H3_SETTINGS_ERROR,
		                     "H3_DATAGRAM without QUIC's datagrams");
	h->control.settings_done = true;
	TAKO__LIST_EACH(at, &h->streams)
	{
		struct tako__h3_stream *s = TAKO__CONTAINER(at, struct tako__h3_stream, link);

		if (!(s->flags & TAKO__H3S_WAITS))
			continue;
		s->flags &= ~TAKO__H3S_WAITS;
		if (s->x && !(s->flags & TAKO__H3S_CUT))
			tako__exchange_run(s->x);
	}
	return 0;
}

/* ---- Streams ----------------------------------------------------------------------------------- */

static const struct tako__h3_stream *request(const struct tako__h3 *h, int64_t id)
{
	TAKO__LIST_EACH(at, &h->streams)
	{
		const struct tako__h3_stream *s = TAKO__CONTAINER(at, struct tako__h3_stream, link);

		if (s->id == id)
			return s;
	}
	return NULL;
}

/* Can the request of that number still become a session?  Of one that nobody has seen that is for
 * time to tell: it may have been overtaken by others. */
static bool may_come(const struct tako__h3 *h, int64_t id)
{
	const struct tako__h3_stream *s = request(h, id);

	if (!s)
		return !(h->wt && tako__wt_is_gone(h->wt, id)) &&
		       (h->drain != TAKO__H3_LAST || id <= h->last_id);
	if (s->part == TAKO__H3_BEFORE)
		return !(s->flags & TAKO__H3S_CUT);
	return s->x && (s->flags & TAKO__H3S_SESSION) && !(s->x->flags & TAKO__X_HEAD_SENT);
}

static int bad_id(struct tako__h3 *h)
{
	return tako__h3_fail(h, NGHTTP3_H3_ID_ERROR, "a session that is no request");
}

/* From here on it is the session's, or soon, or refused.  False: the latter. */
static bool place(struct tako__h3 *h, tako_wt_stream *s, int64_t session)
{
	struct tako__wt_conn *wc = h->wt;
	tako_wt *wt = tako__wt_find(wc, session);

	if (tako__wt_is_open(wt))
		return tako__wt_stream_join(s, wt);
	if (!wt && may_come(h, session))
		return tako__wt_early_stream(s, session);
	tako__wt_stream_kill(s, wc->gone_code);
	return false;
}

static int take(struct tako__h3 *h, int64_t id, uint64_t session, const char *p, size_t n, bool fin)
{
	struct tako__wt_conn *wc = conn_of(h);
	tako_wt_stream *s = wc ? tako__wt_stream_new(wc, id) : NULL;

	if (!s)
		return TAKO_ENOMEM;
	if (tako__quic_stream_set(h->c, id, tako__wt_mark(s)) < 0) {
		tako__wt_stream_free(s);
		return TAKO_ENOMEM;
	}
	if (!place(h, s, (int64_t)session)) {
		tako__quic_consumed(h->c, id, n);
		tako__h3_count_reset(h);
		return 0;
	}
	return n || fin ? tako__wt_data(tako__wt_mark(s), p, n, fin) : 0;
}

int tako__wt_take_bidi(struct tako__h3_stream *s, const char *p, size_t n, bool fin)
{
	struct tako__h3 *h = s->h;
	uint64_t session = s->frame.left;
	int64_t id = s->id;
	int rc;

	if (session % 4)
		return bad_id(h);
	/* It is no request, and none of those that are counted. */
	if (--h->stream_count == 0)
		h->idle_ns = tako__h3_now(h);
	tako__h3_stream_free(s);
	rc = take(h, id, session, p, n, fin);
	tako__h3_check_end(h);
	return rc;
}

int tako__wt_take_uni(struct tako__h3_uni *u, uint64_t session, const char *p, size_t n, bool fin)
{
	struct tako__h3 *h = u->h;
	int64_t id = u->id;

	if (session % 4)
		return bad_id(h);
	tako__h3_uni_closed(u);
	return take(h, id, session, p, n, fin);
}

/* ---- Datagrams ----------------------------------------------------------------------------------- */

int tako__wt_h3_datagram(struct tako__conn *c, const char *p, size_t n)
{
	struct tako__h3 *h = tako__h3_of(c);
	struct tako__h3_varint v = {0};
	const char *end = p + n;
	uint64_t quarter;
	tako_wt *wt;

	/* RFC 9297 section 2.1. */
	if (!tako__h3_varint_read(&v, &p, end, &quarter) || quarter > TAKO__H3_VARINT_MAX / 4)
		return tako__h3_fail(h, TAKO__H3_DATAGRAM_ERROR, "a datagram of no stream");
	if (quarter >= tako__quic_streams_granted(c))
		return bad_id(h);
	wt = h->wt ? tako__wt_find(h->wt, (int64_t)quarter * 4) : NULL;
	if (wt)
		tako__wt_on_datagram(wt, p, (size_t)(end - p));
	else if (may_come(h, (int64_t)quarter * 4) && conn_of(h))
		tako__wt_early_datagram(h->wt, (int64_t)quarter * 4, p, (size_t)(end - p));
	return 0;
}

int tako__wt_streams_allowed(struct tako__conn *c, bool uni)
{
	(void)uni;
	tako__wt_allowed(tako__h3_of(c)->wt);
	return 0;
}

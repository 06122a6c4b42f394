/* SPDX-License-Identifier: MIT
 *
 * A session over HTTP/3 on the exchange that it took over: which requests may become one, and what its
 * CONNECT stream says (draft-ietf-webtrans-http3 sections 3.2 and 6).
 *
 * It holds a reference to the exchange until it is over: callbacks of its streams come from elsewhere.
 */
#include "core/res.h"
#include "core/str.h"
#include "transports/ws/ws_origin.h"
#include "transports/wt/wt_h3.h"
#include "transports/wt/wt_int.h"

/* ---- What the CONNECT stream says ------------------------------------------------------------ */

int tako__wt_connect_write(tako_wt *wt, const char *p, size_t n, bool end)
{
	struct tako__exchange *x = wt->x;
	int rc;

	if (x->flags & (TAKO__X_ENDED | TAKO__X_GONE))
		return TAKO_ECLOSED;
	x->sent_bytes += n;
	rc = x->proto->data(x, p, n);
	return rc == 0 && end ? tako_res_end(tako__res(x)) : rc;
}

void tako__wt_connect_release(tako_wt *wt)
{
	struct tako__exchange *x = wt->x;

	tako__list_remove(&wt->link);
	tako__timer_clear(&wt->conn->c->worker->wheel, &wt->timer);
	x->lost_fn = NULL;
	tako__exchange_unref(x);
}

/* Section 6: a connection that ends before the peer has ended this stream may come before what was said
 * here. */
void tako__wt_connect_leave(tako_wt *wt)
{
	struct tako__exchange *x = wt->x;

	if (!wt->conn->over && wt->why && !(x->flags & TAKO__X_ENDED))
		tako__exchange_stop(x, wt->why);
	else if (!wt->conn->over && !(x->flags & (TAKO__X_ENDED | TAKO__X_GONE)))
		(void)tako_res_end(tako__res(x));
	if (wt->conn->over || (x->flags & (TAKO__X_BODY_DONE | TAKO__X_GONE)))
		tako__wt_connect_release(wt);
	else
		tako__wt_linger(wt);
}

/* ---- What it hears ----------------------------------------------------------------------------- */

static void over(tako_wt *wt, int why, uint64_t code, tako_str reason)
{
	tako__wt_end(wt, why, code, reason);
	tako__wt_finish(wt);
}

static void hear(tako_wt *wt, const char *p, const char *end)
{
	while (p < end && wt->state == TAKO__WT_OPEN) {
		switch (tako__wt_capsules_read(&wt->in, &p, end)) {
		case TAKO__WT_MORE:
			break;
		case TAKO__WT_DRAINS:
			tako__wt_drain(wt);
			break;
		/* It means what one of QUIC's does (RFC 9297 section 3.5): somebody in between had reasons. */
		case TAKO__WT_ARRIVED:
			tako__wt_on_datagram(wt, wt->in.datagram.p, wt->in.datagram.n);
			break;
		case TAKO__WT_CLOSED:
			wt->heard_close = true;
			over(wt, 0, wt->in.code, wt->in.reason);
			/* Section 6: nothing may follow it. */
			if (p < end)
				tako__exchange_stop(wt->x, TAKO_EPROTO);
			break;
		default:
			over(wt, TAKO_EPROTO, 0, (tako_str){"", 0});
		}
	}
}

static int on_bytes(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	tako_wt *wt = arg;

	(void)req, (void)res;
	if (wt->state == TAKO__WT_DONE) {
		if (data.n && wt->heard_close)
			tako__exchange_stop(wt->x, TAKO_EPROTO);
		if (end || wt->heard_close)
			tako__wt_connect_release(wt);
		return 0;
	}
	hear(wt, data.p, data.p + data.n);
	/* An end in order stands for a close with 0 (section 6), a capsule that is cut off for nothing
	 * (RFC 9297 section 3.3). */
	if (end && wt->state != TAKO__WT_DONE)
		over(wt, tako__wt_capsules_done(&wt->in) ? 0 : TAKO_EPROTO, 0, (tako_str){"", 0});
	return 0;
}

static void on_lost(tako_res *res, void *arg)
{
	tako_wt *wt = arg;

	(void)res;
	if (wt->state == TAKO__WT_DONE)
		tako__wt_connect_release(wt);
	else
		over(wt, TAKO_ECLOSED, 0, (tako_str){"", 0});
}

static void on_stop(tako_res *res, void *arg)
{
	char capsule[TAKO__WT_CAPSULE_HEAD_BYTES];
	tako_wt *wt = arg;

	(void)res;
	if (wt->state != TAKO__WT_OPEN)
		return;
	/* Who has no memory for it is told by GOAWAY as well. */
	(void)tako__wt_connect_write(wt, capsule, tako__wt_capsule_drain(capsule), false);
	tako__wt_drain(wt);
}

/* ---- The handshake --------------------------------------------------------------------------------- */

/* The value of a field that may be there once; absent also if it is there more often. */
static tako_str only(const tako_req *req, tako_str what)
{
	tako_str name, value, found = {NULL, 0};
	unsigned count = 0;

	for (size_t i = 0; tako_req_header_at(req, i, &name, &value); i++) {
		if (tako_str_ieq(name, what)) {
			found = value;
			count++;
		}
	}
	return count == 1 ? found : (tako_str){NULL, 0};
}

static int refuse(tako_res *res, int status, const char *why)
{
	int rc = tako_res_text(res, status, "%s\n", why);

	if (rc < 0)
		return rc;
	return tako__fail(status == 501 ? TAKO_ENOTSUP : TAKO_EINVAL, "%s", why);
}

static int check(const tako_req *req, tako_res *res, const tako_wt_config *cfg)
{
	const struct tako__exchange *x = tako__x(req);
	const struct tako__h3 *h;

	if (x->version != 30 || !tako_str_ieq(x->upgrade, TAKO_STR("webtransport")))
		return refuse(res, 400, "this is WebTransport over HTTP/3");
	if (!tako__wt_offered(&x->worker->srv->cfg))
		return refuse(res, 501, "wt_max_sessions is off");
	h = tako__h3_stream_of(x)->h;
	/* Section 3.1. */
	if (!h->control.has_datagrams)
		return refuse(res, 400, "WebTransport needs H3_DATAGRAM");
	if (!tako__origin_allowed(only(req, TAKO_STR("origin")), cfg->origins))
		return refuse(res, 403, "not from this origin");
	return 0;
}

/* What the second draft, which browsers speak, wants to be told. */
static int add_version(const tako_req *req, tako_res *res)
{
	if (!only(req, TAKO_STR("sec-webtransport-http3-draft02")).p)
		return 0;
	return tako_res_set_header(res, "Sec-WebTransport-HTTP3-Draft", "draft02");
}

static tako_wt *wt_new(struct tako__exchange *x, const tako_wt_config *cfg, void *arg)
{
	struct tako__h3_stream *s = tako__h3_stream_of(x);
	tako_wt *wt = tako__arena_zalloc(&x->arena, sizeof *wt);

	if (!s->h->wt)
		s->h->wt = tako__wt_conn_new(s->h->c);
	if (!wt || !s->h->wt)
		return NULL;
	tako__wt_init(wt, s->h->wt, cfg, arg);
	wt->x = x;
	wt->arena = &x->arena;
	wt->id = s->id;
	return wt;
}

static int take(struct tako__exchange *x, tako_wt *wt)
{
	int rc = tako__exchange_take(x, "webtransport", on_stop, wt);

	/* Nothing was opened yet: whatever ends it before it is tells nobody. */
	if (rc == 0)
		rc = tako_req_on_body(tako__req(x), on_bytes, wt);
	if (rc < 0)
		return rc;
	x->lost_fn = on_lost;
	x->lost_arg = wt;
	tako__exchange_ref(x);
	return 0;
}

static int check_config(tako_wt_config *ret, const tako_wt_config *cfg)
{
	int rc = tako__wt_config_import(ret, cfg);

	return rc == 0 ? tako__origins_check(ret->origins) : rc;
}

int tako_wt_accept(tako_req *req, tako_res *res, const tako_wt_config *cfg, void *arg)
{
	struct tako__exchange *x = tako__x(req);
	tako_wt_config mine;
	tako_wt *wt;
	int rc = tako__res_answerable(x);

	if (rc < 0)
		return rc;
	rc = check_config(&mine, cfg);
	if (rc < 0) {
		/* Not the client's mistake. */
		(void)tako_res_error(res, 500);
		return rc;
	}
	/* A server that stops would not tell this one any more. */
	if (x->worker->state != TAKO__SERVING)
		return refuse(res, 503, "the server is stopping");
	rc = check(req, res, &mine);
	if (rc == 0)
		rc = add_version(req, res);
	if (rc < 0)
		return rc;
	wt = wt_new(x, &mine, arg);
	if (!wt)
		return tako__fail(TAKO_ENOMEM, "WebTransport: out of memory");
	rc = take(x, wt);
	if (rc < 0)
		return rc;
	tako__wt_opened(wt);
	return 0;
}

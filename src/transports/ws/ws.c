/* SPDX-License-Identifier: MIT
 *
 * A WebSocket's beginning and end, on an exchange that it took over.  It knows nothing of what carries
 * that: what comes in is the exchange's request body, what goes out its response.
 */
#include "core/res.h"
#include "core/worker.h"
#include "transports/ws/ws_handshake.h"
#include "transports/ws/ws_int.h"
#include "transports/ws/ws_pack.h"

/* ---- The end --------------------------------------------------------------------------------- */

static void tell_watches(tako_ws *ws)
{
	struct tako__list *l;

	while ((l = tako__list_pop_front(&ws->watches)))
		TAKO__CONTAINER(l, struct tako__ws_watch, link)
			->closed(TAKO__CONTAINER(l, struct tako__ws_watch, link));
}

void tako__ws_finish(tako_ws *ws, int code)
{
	struct tako__exchange *x = ws->x;

	if (ws->state == TAKO__WS_DONE)
		return;
	ws->state = TAKO__WS_DONE;
	tako__timer_clear(&ws->local->worker->wheel, &ws->timer);
	tako__ws_buf_put(ws->local, &ws->msg);
	tako__ws_rule_drop(ws);
	tako__ws_pack_fini(ws);
	tell_watches(ws);
	if (ws->conf->cfg.on_close)
		ws->conf->cfg.on_close(ws, code, ws->arg);
	if (x->flags & (TAKO__X_ENDED | TAKO__X_GONE | TAKO__X_OVER))
		return;
	tako_res_end(tako__res(x));
	/* A thread that has a handle, for however long, has no say in how long the connection stays. */
	if (x->refs && x->conn && !(x->flags & TAKO__X_GONE))
		x->proto->leave(x);
}

void tako__ws_cut(tako_ws *ws, int code, int err)
{
	if (ws->state >= TAKO__WS_CUT)
		return;
	ws->state = TAKO__WS_CUT;
	ws->code = (uint16_t)code;
	tako__exchange_stop(ws->x, err);
	tako__ws_arm_now(ws);
}

void tako__ws_fail(tako_ws *ws, int code)
{
	if (ws->state == TAKO__WS_OPEN)
		(void)tako__ws_write_close(ws, code, (tako_str){"", 0});
	tako__ws_finish(ws, code);
}

/* ---- Closing ------------------------------------------------------------------------------------ */

/* What an endpoint may say (RFC 6455 section 7.4, and what IANA has registered since). */
static bool may_say(int code)
{
	return code == 1000 || code == 1001 || code == 1003 || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

static bool is_reason(tako_str reason)
{
	struct tako__utf8 u = {0};

	return reason.n <= TAKO__WS_CONTROL_BYTES - 2 &&
	       tako__utf8_feed(&u, reason.n ? reason.p : "", reason.n) && tako__utf8_done(&u);
}

int tako_ws_close(tako_ws *ws, int code, tako_str reason)
{
	int rc;

	if (!may_say(code))
		return tako__fail(TAKO_EINVAL, "%d is no code to close with", code);
	if (!is_reason(reason))
		return tako__fail(TAKO_EINVAL, "a reason is UTF-8 of at most 123 bytes");
	if (ws->state >= TAKO__WS_CUT || (ws->x->flags & TAKO__X_GONE))
		return tako__fail(TAKO_ECLOSED, "the WebSocket is closed");
	if (ws->state != TAKO__WS_OPEN)
		return tako__fail(TAKO_ESTATE, "the WebSocket is closing");
	rc = tako__ws_write_close(ws, code, reason);
	if (rc < 0)
		return tako__fail(rc, "the close could not be sent");
	ws->state = TAKO__WS_CLOSING;
	ws->code = (uint16_t)code;
	ws->since_ns = tako__ws_now(ws);
	if (reason.n) {
		char *kept = tako__arena_strndup(&ws->x->arena, reason.p, reason.n);

		ws->reason = (tako_str){kept ? kept : "", kept ? reason.n : 0};
	}
	tako__ws_arm(ws);
	return 0;
}

/* ---- What the exchange tells ----------------------------------------------------------------------- */

static int on_bytes(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	tako_ws *ws = arg;

	(void)req, (void)res;
	/* Lent by a runtime or a layer, or kept by a protocol for us: nobody reads them again, and all of
	 * it is writable memory. */
	if (data.n)
		tako__ws_feed(ws, (char *)(uintptr_t)data.p, data.n);
	if (ws->state == TAKO__WS_CUT)
		tako__ws_finish(ws, ws->code);
	else if (end)
		tako__ws_finish(ws, 1006);
	return 0;
}

static void on_lost(tako_res *res, void *arg)
{
	tako_ws *ws = arg;

	(void)res;
	tako__ws_finish(ws, ws->state == TAKO__WS_CUT ? ws->code : 1006);
}

static void on_stop(tako_res *res, void *arg)
{
	tako_ws *ws = arg;

	(void)res;
	if (ws->state == TAKO__WS_OPEN)
		(void)tako_ws_close(ws, 1001, (tako_str){"", 0});
}

static void on_over(tako_req *req, int err, void *arg)
{
	tako_ws *ws = arg;

	(void)req, (void)err;
	tako__ws_finish(ws, ws->state == TAKO__WS_CUT ? ws->code : 1006);
	tako__ws_conf_put(ws->conf);
}

/* ---- Accepting ------------------------------------------------------------------------------------------ */

/* The head that it was found in does not stay. */
static int keep_subprotocol(tako_ws *ws, tako_str name)
{
	char *kept = name.p ? tako__arena_strndup(&ws->x->arena, name.p, name.n) : NULL;

	ws->subprotocol = (tako_str){kept, name.n};
	return name.p && !kept ? TAKO_ENOMEM : 0;
}

static tako_ws *ws_new(struct tako__exchange *x, const struct tako__ws_conf *conf,
                       const struct tako__ws_agreed *agreed, void *arg)
{
	tako_ws *ws = tako__arena_zalloc(&x->arena, sizeof *ws);

	if (!ws)
		return NULL;
	ws->x = x;
	ws->local = tako__ws_local(x->worker);
	if (!ws->local || keep_subprotocol(ws, agreed->subprotocol) < 0 ||
	    (agreed->deflates && tako__ws_pack_init(ws, &agreed->deflate) < 0))
		return NULL;
	ws->conf = tako__ws_conf_get(ws->local, conf);
	if (!ws->conf)
		return NULL;
	ws->arg = arg;
	ws->reason = (tako_str){"", 0};
	ws->since_ns = ws->heard_ns = ws->spoke_ns = tako__ws_now(ws);
	tako__list_init(&ws->watches);
	tako__ws_timer_init(ws);
	return ws;
}

/* From here on its end is the exchange's. */
static int take(struct tako__exchange *x, tako_ws *ws)
{
	int rc = tako_res_on_end(tako__res(x), on_over, ws);

	if (rc < 0) {
		tako__ws_conf_put(ws->conf);
		return rc;
	}
	/* Nothing was opened yet: whatever ends it before it is tells nobody. */
	ws->state = TAKO__WS_DONE;
	rc = tako__exchange_take(x, "websocket", on_stop, ws);
	if (rc < 0)
		return rc;
	x->lost_fn = on_lost;
	x->lost_arg = ws;
	rc = tako_req_on_body(tako__req(x), on_bytes, ws);
	if (rc < 0)
		return rc;
	x->flags |= TAKO__X_SHED_DUE;
	ws->state = TAKO__WS_OPEN;
	return 0;
}

/* A server that stops would not tell this one any more. */
static int stopping(tako_res *res)
{
	int rc = tako_res_text(res, 503, "the server is stopping\n");

	return rc < 0 ? rc : tako__fail(TAKO_EINVAL, "the server is stopping");
}

int tako_ws_accept(tako_req *req, tako_res *res, const tako_ws_config *cfg, void *arg)
{
	struct tako__exchange *x = tako__x(req);
	struct tako__ws_conf conf;
	struct tako__ws_agreed agreed;
	tako_ws *ws;
	int rc = tako__res_answerable(x);

	if (rc < 0)
		return rc;
	rc = tako__ws_conf_import(&conf, cfg);
	if (rc == 0)
		rc = tako__ws_lists_check(&conf.cfg);
	if (rc < 0) {
		/* Not the client's mistake. */
		(void)tako_res_error(res, 500);
		return rc;
	}
	if (x->worker->state != TAKO__SERVING)
		return stopping(res);
	rc = tako__ws_handshake(req, res, &conf, &agreed);
	if (rc < 0)
		return rc;
	ws = ws_new(x, &conf, &agreed, arg);
	if (!ws)
		return tako__fail(TAKO_ENOMEM, "WebSocket: out of memory");
	rc = take(x, ws);
	if (rc < 0)
		return rc;
	tako__ws_arm(ws);
	if (ws->conf->cfg.on_open)
		ws->conf->cfg.on_open(ws, ws->arg);
	return 0;
}

/* ---- Facts ------------------------------------------------------------------------------------------------ */

void *tako_ws_arg(const tako_ws *ws)
{
	return ws->arg;
}

void tako_ws_set_arg(tako_ws *ws, void *arg)
{
	ws->arg = arg;
}

tako_str tako_ws_subprotocol(const tako_ws *ws)
{
	return ws->subprotocol;
}

tako_str tako_ws_close_reason(const tako_ws *ws)
{
	return ws->reason;
}

bool tako_ws_is_open(const tako_ws *ws)
{
	return ws->state == TAKO__WS_OPEN && !(ws->x->flags & TAKO__X_GONE);
}

int tako_ws_conn_info(tako_ws *ws, tako_conn_info *out)
{
	if (!ws->x->conn)
		return tako__fail(TAKO_ECLOSED, "the connection is gone");
	return tako_req_conn_info(tako__req(ws->x), out);
}

int tako_ws_client(tako_ws *ws, tako_client_info *out)
{
	return tako_req_client(tako__req(ws->x), out);
}

struct tako__worker *tako__ws_worker(const tako_ws *ws)
{
	return ws->local->worker;
}

int tako__ws_watch(tako_ws *ws, struct tako__ws_watch *watch)
{
	if (ws->state == TAKO__WS_DONE)
		return TAKO_ECLOSED;
	tako__list_push_back(&ws->watches, &watch->link);
	return 0;
}

void tako__ws_unwatch(struct tako__ws_watch *watch)
{
	tako__list_remove(&watch->link);
}

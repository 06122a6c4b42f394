/* SPDX-License-Identifier: MIT
 *
 * WebSockets from other threads: a handle is a deferral of the exchange below, so that what it points
 * at stays until it is given back, closed or not.
 */
#include "core/mem.h"
#include "transports/ws/ws_int.h"

struct tako_ws_handle {
	tako_deferred *deferred;
	tako_ws *ws;
};

struct posted {
	tako_ws *ws;
	tako_ws_fn fn;
	void *arg;
};

tako_ws_handle *tako_ws_hold(tako_ws *ws)
{
	tako_ws_handle *h;

	if (ws->state == TAKO__WS_DONE) {
		tako__fail(TAKO_ECLOSED, "the WebSocket is closed");
		return NULL;
	}
	h = tako__alloc(sizeof *h);
	if (!h) {
		tako__fail(TAKO_ENOMEM, "WebSocket handle: out of memory");
		return NULL;
	}
	h->ws = ws;
	h->deferred = tako_res_defer(tako__res(ws->x));
	if (!h->deferred) {
		tako__free(h, sizeof *h);
		return NULL;
	}
	return h;
}

static void run(tako_res *res, void *arg)
{
	struct posted p = *(struct posted *)arg;

	(void)res;
	tako__free(arg, sizeof p);
	p.fn(p.ws->state == TAKO__WS_DONE ? NULL : p.ws, p.arg);
}

int tako_ws_post(tako_ws_handle *h, tako_ws_fn fn, void *arg)
{
	struct posted *p = tako__alloc(sizeof *p);
	int rc;

	if (!p)
		return tako__fail(TAKO_ENOMEM, "WebSocket post: out of memory");
	*p = (struct posted){h->ws, fn, arg};
	rc = tako_deferred_post(h->deferred, run, p);
	if (rc < 0)
		tako__free(p, sizeof *p);
	return rc;
}

static void send_posted(tako_ws *ws, void *arg)
{
	/* Nobody could be told that it was lost. */
	if (ws && tako__ws_deliver(ws, arg) == TAKO_ENOMEM)
		tako__ws_cut(ws, 1006, TAKO_ENOMEM);
	tako_ws_msg_free(arg);
}

int tako_ws_post_msg(tako_ws_handle *h, tako_ws_msg *msg)
{
	int rc = tako_ws_post(h, send_posted, tako_ws_msg_ref(msg));

	if (rc < 0)
		tako_ws_msg_free(msg);
	return rc;
}

void tako_ws_release(tako_ws_handle *h)
{
	if (!h)
		return;
	tako_deferred_done(h->deferred);
	tako__free(h, sizeof *h);
}

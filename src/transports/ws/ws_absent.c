/* SPDX-License-Identifier: MIT
 *
 * WebSocket's public face in a build without its engine: refuses, with a sentence, so that a
 * program written for it says at its first request what is missing.
 */
#include <tako/topic.h>

#include "core/base.h"
#include "transports/ws/ws_share.h"

static int refuse(void)
{
	return tako__fail(TAKO_ENOTSUP, "WebSocket is not in this build");
}

int tako_ws_accept(tako_req *req, tako_res *res, const tako_ws_config *cfg, void *arg)
{
	(void)req, (void)cfg, (void)arg;
	(void)tako_res_error(res, 501);
	return refuse();
}

/* ---- Of a WebSocket, which there is none of ------------------------------------------ */

void *tako_ws_arg(const tako_ws *ws)
{
	(void)ws;
	return NULL;
}

void tako_ws_set_arg(tako_ws *ws, void *arg)
{
	(void)ws, (void)arg;
}

tako_str tako_ws_subprotocol(const tako_ws *ws)
{
	(void)ws;
	return (tako_str){NULL, 0};
}

int tako_ws_conn_info(tako_ws *ws, tako_conn_info *out)
{
	(void)ws, (void)out;
	return refuse();
}

int tako_ws_client(tako_ws *ws, tako_client_info *out)
{
	(void)ws, (void)out;
	return refuse();
}

uint64_t tako_ws_unsent(const tako_ws *ws)
{
	(void)ws;
	return 0;
}

bool tako_ws_is_open(const tako_ws *ws)
{
	(void)ws;
	return false;
}

tako_str tako_ws_close_reason(const tako_ws *ws)
{
	(void)ws;
	return (tako_str){"", 0};
}

int64_t tako_ws_send(tako_ws *ws, int kind, tako_str msg)
{
	(void)ws, (void)kind, (void)msg;
	return refuse();
}

int64_t tako_ws_send_part(tako_ws *ws, int kind, tako_str part, int flags)
{
	(void)ws, (void)kind, (void)part, (void)flags;
	return refuse();
}

int64_t tako_ws_ping(tako_ws *ws, tako_str payload)
{
	(void)ws, (void)payload;
	return refuse();
}

int tako_ws_close(tako_ws *ws, int code, tako_str reason)
{
	(void)ws, (void)code, (void)reason;
	return refuse();
}

/* ---- Messages and handles -------------------------------------------------------------- */

tako_ws_msg *tako_ws_msg_new(int kind, tako_str msg)
{
	(void)kind, (void)msg;
	(void)refuse();
	return NULL;
}

tako_ws_msg *tako_ws_msg_ref(tako_ws_msg *msg)
{
	return msg;
}

void tako_ws_msg_free(tako_ws_msg *msg)
{
	(void)msg;
}

int64_t tako_ws_send_msg(tako_ws *ws, tako_ws_msg *msg)
{
	(void)ws, (void)msg;
	return refuse();
}

tako_ws_handle *tako_ws_hold(tako_ws *ws)
{
	(void)ws;
	(void)refuse();
	return NULL;
}

int tako_ws_post(tako_ws_handle *h, tako_ws_fn fn, void *arg)
{
	(void)h, (void)fn, (void)arg;
	return refuse();
}

int tako_ws_post_msg(tako_ws_handle *h, tako_ws_msg *msg)
{
	(void)h, (void)msg;
	return refuse();
}

void tako_ws_release(tako_ws_handle *h)
{
	(void)h;
}

/* ---- Topics --------------------------------------------------------------------------- */

int tako_ws_subscribe(tako_ws *ws, tako_topic *topic)
{
	(void)ws, (void)topic;
	return refuse();
}

int tako_ws_unsubscribe(tako_ws *ws, tako_topic *topic)
{
	(void)ws, (void)topic;
	return refuse();
}

struct tako__worker *tako__ws_worker(const tako_ws *ws)
{
	(void)ws;
	return NULL;
}

int tako__ws_watch(tako_ws *ws, struct tako__ws_watch *watch)
{
	(void)ws, (void)watch;
	return TAKO_ECLOSED;
}

void tako__ws_unwatch(struct tako__ws_watch *watch)
{
	(void)watch;
}

int64_t tako__ws_deliver(tako_ws *ws, tako_ws_msg *msg)
{
	(void)ws, (void)msg;
	return TAKO_ENOTSUP;
}

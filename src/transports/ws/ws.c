/* SPDX-License-Identifier: MIT
 *
 * WebSocket's public face in a build without its engine: refuses, with a sentence, so that a
 * program written for it says at its first request what is missing.
 */
#include <tako/ws.h>

#include "core/base.h"

static int refuse(void)
{
	return tako__fail(TAKO_ENOTSUP, "WebSocket is not in this build");
}

int tako_ws_accept(tako_req *req, tako_res *res, const tako_ws_config *cfg, void *arg)
{
	(void)req;
	(void)cfg;
	(void)arg;
	(void)tako_res_error(res, 501);
	return refuse();
}

int64_t tako_ws_send(tako_ws *ws, int kind, tako_str msg)
{
	(void)ws;
	(void)kind;
	(void)msg;
	return refuse();
}

int tako_ws_close(tako_ws *ws, int code, tako_str reason)
{
	(void)ws;
	(void)code;
	(void)reason;
	return refuse();
}

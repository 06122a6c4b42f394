/* SPDX-License-Identifier: MIT
 *
 * Compiles against the public headers; what it asks for is not in every build.
 */
#include <tako/tako.h>

static void echo(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)arg;
	tako_ws_send(ws, kind, msg);
}

static int chat(tako_req *req, tako_res *res, void *arg)
{
	return tako_ws_accept(req, res, TAKO_WS_CONFIG(.on_message = echo), arg);
}

int main(void)
{
	tako_router *router = tako_router_new();
	tako_get(router, "/ws", chat, NULL);
	int rc = tako_serve("127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}

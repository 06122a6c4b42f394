/* SPDX-License-Identifier: MIT
 *
 * WebSocket: a page whose every line comes back from the server.  Open http://127.0.0.1:8080/, or:
 *
 *   python3 -m websockets ws://127.0.0.1:8080/echo
 */
#include <stdio.h>
#include <tako/tako.h>

static const char page[] = "<!doctype html><title>Echo</title>"
			   "<form><input autofocus placeholder='say something'></form><ul></ul>"
			   "<script>\n"
			   "const url = location.href.replace(/^http/, 'ws') + 'echo';\n"
			   "const ws = new WebSocket(url, ['echo.example']);\n"
			   "const say = text => document.querySelector('ul')\n"
			   "  .appendChild(document.createElement('li')).textContent = text;\n"
			   "ws.onmessage = e => say(e.data);\n"
			   "ws.onclose = e => say(`closed: ${e.code} ${e.reason}`);\n"
			   "document.querySelector('form').onsubmit = e => {\n"
			   "  e.preventDefault();\n"
			   "  ws.send(e.target[0].value);\n"
			   "  e.target.reset();\n"
			   "};\n"
			   "</script>\n";

static int show_page(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send_ref(res, 200, "text/html; charset=utf-8", tako_str_z(page), NULL,
	                         NULL);
}

static void on_open(tako_ws *ws, void *arg)
{
	(void)arg;
	printf("opened, speaking %s\n",
	       tako_ws_subprotocol(ws).p ? "echo.example" : "nothing agreed on");
}

static void on_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)arg;
	tako_ws_send(ws, kind, msg);
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	tako_str reason = tako_ws_close_reason(ws);

	(void)arg;
	printf("closed with %d \"%.*s\"\n", code, TAKO_FMT(reason));
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	static const char *const subprotocols[] = {"echo.example", NULL};

	/* With .origins only pages of the sites that are listed there may connect. */
	return tako_ws_accept(req, res,
	                      TAKO_WS_CONFIG(.on_open = on_open, .on_message = on_message,
	                                     .on_close = on_close, .subprotocols = subprotocols,
	                                     .max_message_bytes = 16 << 20,
	                                     .idle_timeout_ms = 600000),
	                      arg);
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();

	tako_get(router, "/", show_page, NULL);
	tako_get(router, "/echo", echo, NULL);
	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());
	tako_router_free(router);
	return rc < 0;
}

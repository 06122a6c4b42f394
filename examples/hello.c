/* SPDX-License-Identifier: MIT
 *
 * The smallest server.  Handlers answer, a router says which one, tako_serve() does the rest until
 * Ctrl+C.
 *
 *   curl http://127.0.0.1:8080/
 */
#include <tako/tako.h>

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "Hello, World!\n");
}

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();
	tako_get(router, "/", hello, NULL);
	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Several sites behind one address, told apart by the name that the client asked for.
 *
 *   curl -H 'Host: example.com' http://127.0.0.1:8080/
 *   curl -H 'Host: ada.example.com' http://127.0.0.1:8080/
 *   curl http://127.0.0.1:8080/
 */
#include <tako/tako.h>

static int say(tako_req *req, tako_res *res, void *arg)
{
	tako_str host = tako_req_host(req);
	const char *what = arg;

	return tako_res_text(res, 200, "%s, asked for as %.*s\n", what, TAKO_FMT(host));
}

int main(int argc, char **argv)
{
	static char main_site[] = "the main site";
	static char user_site[] = "a user's site";
	static char any_site[] = "no site of ours";
	tako_router *router = tako_router_new();

	tako_get(tako_host(router, "example.com"), "/", say, main_site);
	tako_get(tako_host(router, "*.example.com"), "/", say, user_site);
	tako_get(router, "/", say, any_site);

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}

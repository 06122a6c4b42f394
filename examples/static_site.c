/* SPDX-License-Identifier: MIT
 *
 * A directory as a web site.  The directory is the second argument, or the current one.
 *
 *   ./static_site 127.0.0.1:8080 /usr/share/doc
 *   curl -i -r 0-99 http://127.0.0.1:8080/make/copyright
 */
#include <tako/tako.h>

int main(int argc, char **argv)
{
	tako_router *router = tako_router_new();

	tako_static_with(router, "/", argc > 2 ? argv[2] : ".",
	                 TAKO_STATIC_CONFIG(.cache_control = "max-age=60"));

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}

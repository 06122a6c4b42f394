/* SPDX-License-Identifier: MIT
 *
 * Compiles against the public headers; what it asks for is not in every build.
 */
#include <stdio.h>
#include <tako/tako.h>

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "h2!\n");
}

int main(void)
{
	tako_server *srv = NULL;
	tako_router *router = tako_router_new();
	tako_get(router, "/", hello, NULL);

	int rc = tako_server_new(&srv, router, NULL);
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http1(), "127.0.0.1:8080", NULL);
	if (rc == 0)
		rc = tako_server_listen(
			srv, tako_tls(), "127.0.0.1:8443",
			TAKO_LISTEN_CONFIG(.cert_file = "cert.pem", .key_file = "key.pem"));
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());

	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0;
}

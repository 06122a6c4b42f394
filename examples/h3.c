/* SPDX-License-Identifier: MIT
 *
 * One site over HTTP/3, and over HTTP/2 and 1.1 for who comes by TCP; what is answered there tells
 * browsers, by Alt-Svc, that they may come by UDP the next time:
 *
 *     h3 [ADDR [CERT.pem KEY.pem]]
 *
 * Without files it makes itself a certificate for localhost, beside it.
 */
#include <stdio.h>
#include <tako/tako.h>
#include <unistd.h>

static int hello(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info info = {.size = sizeof info};
	int rc = tako_req_conn_info(req, &info);

	(void)arg;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "hello over %s from %s\n", info.transport, info.peer);
}

static int make_certificate(const char *cert_file, const char *key_file)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "::1", NULL};

	if (access(cert_file, R_OK) == 0 && access(key_file, R_OK) == 0)
		return 0;
	return tako_cert_self_signed(cert_file, key_file, names, 0);
}

static int serve(tako_router *router, const char *addr, const tako_listen_config *listen)
{
	tako_server *srv = NULL;
	char bound[64];
	int rc = tako_server_new(&srv, router, NULL);

	if (rc == 0)
		rc = tako_server_listen(srv, tako_tls(), addr, listen);
	/* The same port, also where the system has chosen it. */
	if (rc == 0)
		rc = tako_server_local_addr(srv, 0, bound, sizeof bound);
	if (rc >= 0)
		rc = tako_server_listen(srv, tako_h3(), bound, listen);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = printf("https://%s/\n", bound) < 0 || fflush(stdout) ? TAKO_ESYS
		                                                          : tako_server_run(srv);
	tako_server_free(srv);
	return rc;
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8443";
	const char *cert_file = argc > 3 ? argv[2] : "localhost.pem";
	const char *key_file = argc > 3 ? argv[3] : "localhost.key";
	tako_router *router = tako_router_new();
	int rc = argc > 3 ? 0 : make_certificate(cert_file, key_file);

	tako_get(router, "/", hello, NULL);
	if (rc == 0)
		rc = serve(router, addr,
		           TAKO_LISTEN_CONFIG(.cert_file = cert_file, .key_file = key_file));
	if (rc < 0)
		fprintf(stderr, "h3: %s: %s\n", tako_strerror(rc), tako_last_error());
	tako_router_free(router);
	return rc < 0;
}

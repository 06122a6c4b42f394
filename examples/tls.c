/* SPDX-License-Identifier: MIT
 *
 * HTTPS with a certificate that can be renewed under way:
 *
 *     tls [ADDR [CERT.pem KEY.pem]]
 *
 * Without files it makes itself a certificate for localhost, beside it.  It looks at its files every
 * few seconds, so that what renews them need not tell it.
 */
#include <stdio.h>
#include <string.h>
#include <tako/tako.h>
#include <unistd.h>

static int hello(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info info = {.size = sizeof info};
	int rc = tako_req_conn_info(req, &info);

	(void)arg;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "%s, %s%s\n", info.tls, info.cipher,
	                     info.resumed ? ", resumed" : "");
}

static int make_certificate(const char *cert_file, const char *key_file)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "::1", NULL};

	if (access(cert_file, R_OK) == 0 && access(key_file, R_OK) == 0)
		return 0;
	return tako_cert_self_signed(cert_file, key_file, names, 0);
}

static int serve(tako_router *router, const char *addr, tako_cert *cert)
{
	tako_server *srv = NULL;
	int rc = tako_server_new(&srv, router, NULL);

	if (rc == 0)
		rc = tako_server_listen(srv, tako_tls(), addr, TAKO_LISTEN_CONFIG(.cert = cert));
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	tako_server_free(srv);
	return rc;
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8443";
	const char *cert_file = argc > 3 ? argv[2] : "localhost.pem";
	const char *key_file = argc > 3 ? argv[3] : "localhost.key";
	tako_router *router = tako_router_new();
	tako_cert *cert = NULL;
	int rc = argc > 3 ? 0 : make_certificate(cert_file, key_file);

	tako_get(router, "/", hello, NULL);
	if (rc == 0)
		rc = tako_cert_new(&cert,
		                   TAKO_CERT_CONFIG(.cert_file = cert_file, .key_file = key_file,
		                                    .watch_interval_ms = 5000));
	if (rc == 0)
		rc = serve(router, addr, cert);
	if (rc < 0)
		fprintf(stderr, "tls: %s: %s\n", tako_strerror(rc), tako_last_error());
	tako_cert_free(cert);
	tako_router_free(router);
	return rc < 0;
}

/* SPDX-License-Identifier: MIT
 *
 * A server object instead of tako_serve(): with a config, and with a say in how it ends.  On SIGTERM
 * it takes no new connection, answers what it has begun, and run() returns; a second SIGTERM does
 * not wait.
 *
 *   curl http://127.0.0.1:8080/ & sleep 0.5; kill -TERM $(pidof graceful)
 */
#include <stdio.h>
#include <tako/tako.h>

enum { ANSWER_AFTER_MS = 2000 };

static void answer(tako_res *res, void *arg)
{
	(void)arg;
	tako_res_text(res, 200, "late, but not lost\n"); /* no harm if the client has left */
}

static int slow(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_after(res, ANSWER_AFTER_MS, answer, NULL);
}

int main(int argc, char **argv)
{
	const char *addr = argc > 1 ? argv[1] : "127.0.0.1:8080";
	tako_server *srv = NULL;
	tako_router *router = tako_router_new();
	int rc;

	tako_get(router, "/", slow, NULL);
	rc = tako_server_new(
		&srv, router,
		TAKO_SERVER_CONFIG(.drain_timeout_ms = 30000, .max_connections = 1000));
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http1(), addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());

	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0;
}

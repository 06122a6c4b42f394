/* SPDX-License-Identifier: MIT
 *
 * Two servers in one process: the public one, and one for operators that only this machine reaches.
 * They share nothing, so a flood on one leaves the other answering.
 *
 *   curl http://127.0.0.1:8080/
 *   curl http://127.0.0.1:8081/open        the admin server's address is the second argument
 */
#include <inttypes.h>
#include <stdio.h>
#include <tako/tako.h>

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "Hello, World!\n");
}

/* `arg` is the other server: its figures may be asked for from any thread. */
static int open_connections(tako_req *req, tako_res *res, void *arg)
{
	const tako_server *public_srv = *(tako_server **)arg;
	tako_stats stats = {.size = sizeof stats};
	int rc = tako_server_stats(public_srv, &stats);

	(void)req;
	if (rc < 0)
		return rc;
	return tako_res_text(res, 200, "%" PRIu64 "\n", stats.connections_open);
}

static int make(tako_server **srv, tako_router *router, const char *addr, uint32_t worker_count)
{
	int rc = tako_server_new(srv, router, TAKO_SERVER_CONFIG(.worker_count = worker_count));

	return rc < 0 ? rc : tako_server_listen(*srv, tako_http1(), addr, NULL);
}

int main(int argc, char **argv)
{
	tako_server *public_srv = NULL, *admin_srv = NULL;
	tako_router *public_routes = tako_router_new();
	tako_router *admin_routes = tako_router_new();
	int rc;

	tako_get(public_routes, "/", hello, NULL);
	tako_get(admin_routes, "/open", open_connections, &public_srv);

	rc = make(&public_srv, public_routes, argc > 1 ? argv[1] : "127.0.0.1:8080", 0);
	if (rc == 0)
		rc = make(&admin_srv, admin_routes, argc > 2 ? argv[2] : "127.0.0.1:8081", 1);
	if (rc == 0)
		rc = tako_server_stop_on_signals(public_srv);
	if (rc == 0)
		rc = tako_server_start(admin_srv);
	if (rc == 0) {
		int admin_rc;

		rc = tako_server_run(public_srv);
		admin_rc = tako_server_shutdown(admin_srv, 1000);
		rc = rc < 0 ? rc : admin_rc;
	}
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", tako_strerror(rc), tako_last_error());
	tako_server_free(admin_srv);
	tako_server_free(public_srv);
	tako_router_free(admin_routes);
	tako_router_free(public_routes);
	return rc < 0;
}

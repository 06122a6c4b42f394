/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of taken streams: requests that ask for "echo" become one that sends back
 * what it receives, after "bye" if the server stops.  There is no public interface for it yet but
 * what WebSocket will be, hence the internal header.
 */
#include "program.h"

#include "core/exchange.h"

static int echo(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)arg;
	if (data.n) {
		int64_t rc = tako_res_write(res, data, NULL, NULL);

		if (rc < 0)
			return (int)rc;
	}
	return end ? tako_res_end(res) : 0;
}

static void on_stop(tako_res *res, void *arg)
{
	(void)arg;
	if (tako_res_write(res, TAKO_STR("bye\n"), NULL, NULL) >= 0)
		tako_res_end(res);
}

static int take(tako_req *req, tako_res *res)
{
	int rc = tako__exchange_take(tako__x(req), "echo", on_stop, NULL);

	if (rc == TAKO_ENOTSUP)
		return tako_res_text(res, 426, "%s\n", tako_last_error());
	return rc < 0 ? rc : tako_req_on_body(req, echo, NULL);
}

static int at_once(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	tako_res_header(res, "X-Extra", "field");
	return take(req, res);
}

static void resume(tako_res *res, void *arg)
{
	(void)res;
	tako_req_resume(arg);
}

/* Taken at once, read later: what the peer sends meanwhile waits, and so does its end. */
static int paused(tako_req *req, tako_res *res, void *arg)
{
	int rc = take(req, res);

	(void)arg;
	tako_req_pause(req);
	return rc < 0 ? rc : tako_res_after(res, 100, resume, req);
}

static void take_late(tako_res *res, void *arg)
{
	if (take(arg, res) < 0)
		tako_res_error(res, 500);
}

/* Nothing is lost that came before it was decided. */
static int late(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, 100, take_late, req);
}

static int fail(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)res, (void)data, (void)end, (void)arg;
	return TAKO_EPROTO;
}

static int fails(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako__exchange_take(tako__x(req), "echo", on_stop, NULL);

	(void)res, (void)arg;
	return rc < 0 ? rc : tako_req_on_body(req, fail, NULL);
}

static int must_be_empty(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)arg;
	return data.n || !end ? tako_res_error(res, 500) : 0;
}

static void forbid(tako_res *res, void *arg)
{
	(void)arg;
	tako_res_error(res, 403);
}

/* What the peer sends already is no body of the request. */
static int reads(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_req_on_body(req, must_be_empty, NULL);

	(void)arg;
	return rc < 0 ? rc : tako_res_after(res, 100, forbid, NULL);
}

/* Knows nothing of what it is asked to become. */
static int pieces(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	tako_res_set_header(res, "Content-Type", "text/plain");
	tako_res_write(res, TAKO_STR("pie"), NULL, NULL);
	tako_res_write(res, TAKO_STR("ces"), NULL, NULL);
	return tako_res_end(res);
}

static int plain(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "plain\n");
}

int main(int argc, char **argv)
{
	tako_server_config cfg = {.size = sizeof(cfg), .worker_count = 1};
	const char *addr = argc > 1 && strncmp(argv[1], "listen=", 7) == 0 ? argv[1] + 7 : "";
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;
	int rc;

	for (int i = 2; i < argc; i++)
		program_set(&cfg, argv[i]);
	tako_route(router, NULL, "/echo", at_once, NULL);
	tako_get(router, "/paused", paused, NULL);
	tako_get(router, "/late", late, NULL);
	tako_get(router, "/fails", fails, NULL);
	tako_get(router, "/reads", reads, NULL);
	tako_get(router, "/plain", plain, NULL);
	tako_get(router, "/pieces", pieces, NULL);
	tako_get(router, "/metrics", tako_metrics, NULL);
	rc = program_server_new(&srv, router, &cfg);
	if (rc == 0)
		rc = tako_server_listen(srv, tako_http(), addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc < 0)
		return program_refused("upgrade", rc);
	rc = tako_server_run(srv);
	tako_server_free(srv);
	tako_router_free(router);
	return rc < 0 ? program_refused("tako_server_run", rc) : EXIT_SUCCESS;
}

/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of what is seen from outside: access log, access callback, metrics,
 * request ids, problem details.  Arguments: listen=ADDR, log=PATH (opened for appending),
 * callback=1 (each exchange as a line on stdout), and every field of tako_server_config.
 */
#include "program.h"

#include <fcntl.h>
#include <unistd.h>

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hello\n");
}

static int status(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_text(res, (int)program_number(req, "code", 200), "x\n");
}

static int fail(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)res, (void)arg;
	return TAKO_EINVAL;
}

static int sized(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)end, (void)arg;
	return tako_res_text(res, 201, "%zu\n", data.n);
}

static int size(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_whole_body(req, sized, NULL);
}

static void late(tako_res *res, void *arg)
{
	(void)arg;
	(void)tako_res_text(res, 200, "late\n");
}

static int slow(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, (uint32_t)program_number(req, "ms", 100), late, NULL);
}

/* What the handler sees of the id. */
static int show_id(tako_req *req, tako_res *res, void *arg)
{
	tako_str id = tako_req_id(req);

	(void)arg;
	return tako_res_text(res, 200, "%.*s", TAKO_FMT(id));
}

static void on_access(const tako_access *a, void *arg)
{
	(void)arg;
	printf("access %.*s %.*s pattern=%.*s host=%.*s agent=%.*s status=%d version=%d error=%d "
	       "received=%" PRIu64 " sent=%" PRIu64 " nth=%u id=%.*s peer=%s size=%zu\n",
	       TAKO_FMT(a->method), TAKO_FMT(a->path), TAKO_FMT(a->pattern), TAKO_FMT(a->host),
	       TAKO_FMT(a->user_agent), (int)a->status, (int)a->version, (int)a->error,
	       a->received_bytes, a->sent_bytes, (unsigned)a->connection_request,
	       TAKO_FMT(a->request_id), a->peer, a->size);
	fflush(stdout);
}

static tako_router *make_router(void)
{
	tako_router *r = tako_router_new();
	tako_router *with_id = tako_group(r, "/id");
	tako_router *twice = tako_group(with_id, "/twice");
	tako_router *traced = tako_group(r, "/trace");

	tako_get(r, "/hello", hello, NULL);
	tako_get(r, "/users/{id}", hello, NULL);
	tako_get(r, "/status", status, NULL);
	tako_get(r, "/fail", fail, NULL);
	tako_get(r, "/slow", slow, NULL);
	tako_get(r, "/unused", hello, NULL);
	tako_get(r, "/quote\"back\\slash", hello, NULL);
	tako_any(r, "/any", hello, NULL);
	tako_post(r, "/size", size, NULL);
	tako_get(r, "/metrics", tako_metrics, NULL);
	tako_get(tako_host(r, "a.test"), "/same", hello, NULL);
	tako_get(tako_host(r, "b.test"), "/same", hello, NULL);
	tako_before(with_id, TAKO_PHASE_EARLY, tako_request_id, NULL);
	tako_before(twice, TAKO_PHASE_EARLY, tako_request_id, NULL);
	tako_before(traced, TAKO_PHASE_EARLY, tako_request_id, "X-Trace");
	tako_get(with_id, "/show", show_id, NULL);
	tako_get(with_id, "/fail", fail, NULL);
	tako_get(twice, "/show", show_id, NULL);
	tako_get(traced, "/show", show_id, NULL);
	tako_on_error(r, tako_problem_json, NULL);
	return r;
}

static int configure(tako_server_config *cfg, const char **addr, const char *arg)
{
	if (strncmp(arg, "listen=", 7) == 0) {
		*addr = arg + 7;
	} else if (strncmp(arg, "log=", 4) == 0) {
		cfg->access_log_fd = (uint32_t)open(
			arg + 4, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	} else if (strcmp(arg, "callback=1") == 0) {
		cfg->access_fn = on_access;
	} else if (!program_set(cfg, arg)) {
		fprintf(stderr, "observed: %s?\n", arg);
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	tako_server_config cfg = *TAKO_SERVER_CONFIG(.worker_count = 1);
	tako_router *router = make_router();
	tako_server *srv = NULL;
	const char *addr = "";
	int rc;

	for (int i = 1; i < argc; i++) {
		if (configure(&cfg, &addr, argv[i]) < 0)
			return EXIT_REFUSED;
	}
	rc = program_server_new(&srv, router, &cfg);
	tako_router_free(router);
	if (rc == 0)
		rc = program_listen(srv, addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		program_refused("observed", rc);
	tako_server_free(srv);
	return rc < 0 ? EXIT_REFUSED : 0;
}

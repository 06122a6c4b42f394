/* SPDX-License-Identifier: MIT
 *
 * The routes, and the handlers that are short enough to stand beside them.
 */
#include <inttypes.h>

#include "showcase.h"

enum { SLOW_MS_MAX = 60000 };

static int page(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	tako_res_header(res, "Cache-Control", "no-cache");
	tako_res_header(
		res, "Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
		"connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
		"form-action 'none'; frame-ancestors 'none'");
	return tako_res_send_ref(res, 200, "text/html; charset=utf-8", page_html(), NULL, NULL);
}

static int plaintext(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "text/plain", TAKO_STR("Hello, World!"));
}

static int json(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "application/json",
	                     TAKO_STR("{\"message\":\"Hello, World!\"}"));
}

static int user(tako_req *req, tako_res *res, void *arg)
{
	uint64_t id;
	int rc = tako_req_param_u64(req, "id", &id);

	(void)arg;
	return rc < 0 ? rc : tako_res_text(res, 200, "user %" PRIu64 "\n", id);
}

static void slow_done(tako_res *res, void *arg)
{
	const uint64_t *ms = arg;

	if (!tako_res_closed(res))
		tako_res_text(res, 200, "waited %" PRIu64 " ms\n", *ms);
}

static int slow(tako_req *req, tako_res *res, void *arg)
{
	uint64_t *ms = tako_req_alloc(req, sizeof *ms);
	const struct number numbers[] = {{"ms", 0, SLOW_MS_MAX, ms}};

	(void)arg;
	if (!ms)
		return TAKO_ENOMEM;
	*ms = 1000;
	if (!numbers_read(req, res, numbers, COUNT_OF(numbers)))
		return 0;
	return tako_res_after(res, (uint32_t)*ms, slow_done, ms);
}

static int healthz(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "ok\n");
}

static int no_files(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 404, "no files here: start the showcase with --files DIR\n");
}

void routes_add(tako_router *router, const char *files)
{
	tako_router *shown = tako_group(router, "");

	tako_on_error(router, tako_problem_json, NULL);
	/* Outside the group: what benchmarks ask for has no middleware. */
	tako_get(router, "/plaintext", plaintext, NULL);
	tako_post(router, "/count", count, NULL);
	tako_get(router, "/ws", ws, NULL);
	tako_get(router, "/events", events, NULL);
	if (files)
		tako_static(router, "/files", files);
	else
		tako_get(router, "/files/{*path}", no_files, NULL);

	tako_before(shown, TAKO_PHASE_EARLY, tako_request_id, NULL);
	tako_get(shown, "/", page, NULL);
	tako_get(shown, "/json", json, NULL);
	tako_any(shown, "/inspect", inspect, NULL);
	tako_any(shown, "/inspect/{*rest}", inspect, NULL);
	tako_post(shown, "/echo", echo, NULL);
	tako_post(shown, "/upload", upload, NULL);
	tako_get(shown, "/users/{id:u64}", user, NULL);
	tako_get(shown, "/stream", stream, NULL);
	tako_get(shown, "/slow", slow, NULL);
	tako_get(shown, "/chat", chat, NULL);
	tako_get(shown, "/ticks", ticks, NULL);
	tako_get(shown, "/session", session, NULL);
	tako_get(shown, "/metrics", tako_metrics, NULL);
	tako_get(shown, "/healthz", healthz, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Code that runs for many routes: a request id for all, a key for some, problem details for whatever
 * goes wrong, and the time that each answer took.
 *
 *   curl -i http://127.0.0.1:8080/
 *   curl -i http://127.0.0.1:8080/api/secret
 *   curl -i -H 'X-Api-Key: sesame' http://127.0.0.1:8080/api/secret
 */
#include <stdio.h>
#include <time.h>
#include <tako/tako.h>

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Values hang on the exchange under the address of something of ours. */
static const char started_key;

static int take_time(tako_req *req, tako_res *res, void *arg)
{
	double *started = tako_req_alloc(req, sizeof *started);

	(void)res, (void)arg;
	if (!started)
		return TAKO_ENOMEM;
	*started = now_ms();
	return tako_req_set(req, &started_key, started) < 0 ? TAKO_ENOMEM : TAKO_NEXT;
}

static void tell_time(tako_req *req, tako_res *res, void *arg)
{
	const double *started = tako_req_get(req, &started_key);
	char text[64];

	(void)arg;
	if (!started) /* the parser refused it before any middleware ran */
		return;
	snprintf(text, sizeof text, "app;dur=%.3f", now_ms() - *started);
	tako_res_header(res, "Server-Timing", text);
}

/* TAKO_NEXT goes on; anything else ends it here.  `arg` is the key. */
static int need_key(tako_req *req, tako_res *res, void *arg)
{
	if (tako_str_eq(tako_req_header(req, "X-Api-Key"), tako_str_z(arg)))
		return TAKO_NEXT;
	tako_res_header(res, "WWW-Authenticate", "ApiKey");
	return tako_res_error(res, 401);
}

static int open_page(tako_req *req, tako_res *res, void *arg)
{
	tako_str id = tako_req_id(req);

	(void)arg;
	return tako_res_text(res, 200, "open to all; this is request %.*s\n", TAKO_FMT(id));
}

static int secret(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "the octopus has three hearts\n");
}

int main(int argc, char **argv)
{
	static char key[] = "sesame";
	tako_router *router = tako_router_new();
	tako_router *api = tako_group(router, "/api");

	tako_before(router, TAKO_PHASE_EARLY, tako_request_id, NULL);
	tako_before(router, TAKO_PHASE_EARLY, take_time, NULL);
	tako_after(router, TAKO_PHASE_RESPONSE, tell_time, NULL);
	tako_on_error(router, tako_problem_json, NULL);
	tako_get(router, "/", open_page, NULL);

	tako_before(api, TAKO_PHASE_AUTH, need_key, key);
	tako_timeout(api, 5000);
	tako_get(api, "/secret", secret, NULL);

	int rc = tako_serve(argc > 1 ? argv[1] : "127.0.0.1:8080", router);
	tako_router_free(router);
	return rc < 0;
}

/* SPDX-License-Identifier: MIT
 *
 * A server for the tests of routing: groups, hosts, nesting, middleware in its order, error
 * handlers, limits and time-outs of groups, redirects.  Every answer says which route gave it.
 */
#include "program.h"

static int named(tako_req *req, tako_res *res, void *arg)
{
	tako_str pattern = tako_req_pattern(req);

	return tako_res_text(res, 200, "%s %.*s\n", (const char *)arg, TAKO_FMT(pattern));
}

static int param(tako_req *req, tako_res *res, void *arg)
{
	tako_str v = tako_req_param(req, arg);
	tako_str pattern = tako_req_pattern(req);

	return tako_res_text(res, 200, "%.*s [%.*s]\n", TAKO_FMT(pattern), TAKO_FMT(v));
}

static int pass(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)res, (void)arg;
	return TAKO_NEXT;
}

static int fail(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)res, (void)arg;
	return TAKO_EINVAL;
}

static int whole_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)end, (void)arg;
	return tako_res_text(res, 200, "%zu\n", data.n);
}

static int whole(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_whole_body(req, whole_body, NULL);
}

static int stream_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req, (void)data, (void)arg;
	return end ? tako_res_text(res, 200, "all\n") : 0;
}

static int stream(tako_req *req, tako_res *res, void *arg)
{
	(void)res, (void)arg;
	return tako_req_on_body(req, stream_body, NULL);
}

static void late(tako_res *res, void *arg)
{
	(void)arg;
	tako_res_text(res, 200, "late\n");
}

static int slow(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	return tako_res_after(res, (uint32_t)program_number(req, "ms", 0), late, NULL);
}

/* ---- Middleware: the Trace field grows by a letter wherever the request passes ------- */

static const char trace_key;

struct trace {
	char p[64];
	size_t n;
};

static void mark(tako_req *req, const char *letter)
{
	struct trace *t = tako_req_get(req, &trace_key);

	if (!t) {
		t = tako_req_alloc(req, sizeof(*t));
		if (!t || tako_req_set(req, &trace_key, t) < 0)
			return;
	}
	if (t->n < sizeof(t->p) - 1)
		t->p[t->n++] = *letter;
}

static int before(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	mark(req, arg);
	return TAKO_NEXT;
}

static int around(tako_req *req, tako_res *res, tako_next *next, void *arg)
{
	const char *letters = arg;

	(void)res;
	mark(req, letters);
	int rc = tako_next_run(next);
	mark(req, letters + 1);
	return rc;
}

static void after(tako_req *req, tako_res *res, void *arg)
{
	struct trace *t;

	mark(req, arg);
	t = tako_req_get(req, &trace_key);
	if (t)
		tako_res_set_header(res, "Trace", t->p);
}

static int deny(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	if (tako_req_header(req, "Authorization").p)
		return TAKO_NEXT;
	return tako_res_text(res, 401, "who are you?\n");
}

static void go_on(tako_res *res, void *arg)
{
	int rc = tako_next_run(arg);

	if (rc < 0)
		tako_res_fail(res, rc);
}

/* The rest of the chain runs after a while. */
static int around_later(tako_req *req, tako_res *res, tako_next *next, void *arg)
{
	(void)req, (void)arg;
	return tako_res_after(res, 20, go_on, next);
}

/* ---- Error handlers -------------------------------------------------------------------- */

static int error_text(tako_req *req, tako_res *res, int status, void *arg)
{
	tako_str method = tako_req_method(req);

	return tako_res_text(res, status, "%s %d [%.*s]\n", (const char *)arg, status,
	                     TAKO_FMT(method));
}

static int error_next(tako_req *req, tako_res *res, int status, void *arg)
{
	(void)req, (void)status, (void)arg;
	tako_res_header(res, "X-Seen", "yes");
	return TAKO_NEXT;
}

/* ---- The tree ---------------------------------------------------------------------------- */

static void add_params(tako_router *r)
{
	tako_get(r, "/p/list", named, "static");
	tako_get(r, "/p/{id:u64}", param, "id");
	tako_get(r, "/p/img-{id}.png", param, "id");
	tako_get(r, "/p/{name}", param, "name");
	tako_get(r, "/p/{*rest}", param, "rest");
	tako_get(r, "/hex/{v:hex}", param, "v");
	tako_get(r, "/uuid/{v:uuid}", param, "v");
	tako_get(r, "/braces/{{x}}", named, "braces");
	tako_get(r, "/caf%C3%A9", named, "encoded");
	tako_get(r, "/next/one", pass, NULL);
	tako_get(r, "/next/{x}", param, "x");
	tako_get(r, "/next-none", pass, NULL);
	tako_get(r, "/m", named, "get");
	tako_post(r, "/m", named, "post");
	tako_delete(r, "/m", named, "delete");
	tako_route(r, "HEAD", "/own-head", named, "head");
	tako_get(r, "/own-head", named, "get");
	tako_route(r, "OPTIONS", "/own-options", named, "options");
	tako_get(r, "/own-options", named, "get");
	tako_any(r, "/any", named, "any");
	tako_route(r, "BREW", "/pot", named, "brew");
	tako_get(r, "/slow", slow, NULL);
}

static void add_groups(tako_router *r)
{
	tako_router *api = tako_group(r, "/api");
	tako_before(api, TAKO_PHASE_HANDLER, before, "h");
	tako_before(api, TAKO_PHASE_EARLY, before, "e");
	tako_around(api, TAKO_PHASE_ROUTE, around, "()");
	tako_after(api, TAKO_PHASE_RESPONSE, after, "A");
	tako_on_error(api, tako_problem_json, NULL);
	tako_get(api, "/plain", named, "api");
	tako_get(api, "/fail", fail, NULL);

	tako_router *inner = tako_group(api, "/{tenant}");
	tako_before(inner, TAKO_PHASE_EARLY, before, "i");
	tako_after(inner, TAKO_PHASE_RESPONSE, after, "B");
	tako_get(inner, "/user", param, "tenant");

	tako_router *secret = tako_group(r, "/secret");
	tako_before(secret, TAKO_PHASE_AUTH, deny, NULL);
	tako_get(secret, "/x", named, "secret");

	tako_router *later = tako_group(r, "/later");
	tako_around(later, TAKO_PHASE_HANDLER, around_later, NULL);
	tako_get(later, "/x", named, "later");
	tako_get(later, "/fail", fail, NULL);

	tako_router *small = tako_group(r, "/small");
	tako_body_limit(small, 10);
	tako_post(small, "/whole", whole, NULL);
	tako_post(small, "/stream", stream, NULL);

	tako_router *quick = tako_group(r, "/quick");
	tako_timeout(quick, 100);
	tako_get(quick, "/slow", slow, NULL);

	tako_router *text = tako_group(r, "/text");
	tako_on_error(text, error_next, NULL);
	tako_get(text, "/fail", fail, NULL);
}

static void add_hosts(tako_router *r)
{
	tako_router *a = tako_host(r, "a.test");
	tako_router *wild = tako_host(r, "*.b.test");
	tako_router *longer = tako_host(r, "*.c.b.test");

	tako_get(r, "/who", named, "default");
	tako_get(a, "/who", named, "a");
	tako_get(wild, "/who", named, "wild");
	tako_get(longer, "/who", named, "longer");
	tako_fallback(a, named, "fallback of a");
}

static void add_nested(tako_router *r)
{
	tako_router *child = tako_router_new();

	tako_before(child, TAKO_PHASE_EARLY, before, "n");
	tako_after(child, TAKO_PHASE_RESPONSE, after, "N");
	tako_get(child, "/", named, "child root");
	tako_get(child, "/x/{id}", param, "id");
	tako_fallback(child, named, "child fallback");
	tako_nest(r, "/nest/{top}", child);
	tako_router_free(child);
}

static void add_slashes(tako_router *r)
{
	tako_router *s = tako_group(r, "/slash");

	tako_redirect_slash(s, true);
	tako_get(s, "/bare", named, "bare");
	tako_get(s, "/p/{x}", param, "x");
	tako_get(s, "/dir/", named, "dir");
	tako_get(s, "/both", named, "both");
	tako_get(s, "/both/", named, "both/");
}

/* With "problem" as second argument the whole router speaks problem+json. */
static tako_router *make_router(bool problem)
{
	tako_router *r = tako_router_new();

	tako_get(r, "/hello", named, "hello");
	add_params(r);
	add_groups(r);
	add_hosts(r);
	add_nested(r);
	add_slashes(r);
	tako_on_error(r, problem ? tako_problem_json : error_text, problem ? NULL : "custom");
	return r;
}

int main(int argc, char **argv)
{
	tako_server *srv = NULL;
	const char *addr = argc > 1 && strncmp(argv[1], "listen=", 7) == 0 ? argv[1] + 7 : "";
	tako_router *router = make_router(argc > 2 && strcmp(argv[2], "problem") == 0);
	int rc = program_server_new(&srv, router, TAKO_SERVER_CONFIG(.worker_count = 1));

	tako_router_free(router);
	if (rc == 0)
		rc = program_listen(srv, addr, NULL);
	if (rc == 0)
		rc = tako_server_stop_on_signals(srv);
	if (rc == 0)
		rc = tako_server_run(srv);
	if (rc < 0)
		program_refused("routing", rc);
	tako_server_free(srv);
	return rc < 0 ? EXIT_REFUSED : 0;
}

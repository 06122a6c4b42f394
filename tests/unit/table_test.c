/* SPDX-License-Identifier: MIT
 *
 * What ends up in a frozen table: the order of middleware, which setting holds for which route,
 * endpoints and their numbers, and what answers where nothing matches.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/router.h"

static int handler(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)res;
	(void)arg;
	return 0;
}

static int around(tako_req *req, tako_res *res, tako_next *next, void *arg)
{
	(void)req;
	(void)res;
	(void)next;
	(void)arg;
	return 0;
}

static void after(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)res;
	(void)arg;
}

static int on_error(tako_req *req, tako_res *res, int status, void *arg)
{
	(void)req;
	(void)res;
	(void)status;
	(void)arg;
	return 0;
}

/* Takes the router over. */
static struct tako__table *freeze(tako_router *router)
{
	struct tako__table *table = NULL;

	if (tako__table_new(&table, router))
		fail_msg("%s", tako_last_error());
	tako_router_free(router);
	return table;
}

static const struct tako__endpoint *endpoint(const struct tako__table *table, const char *pattern)
{
	for (unsigned id = 1; id < tako__table_count(table); id++) {
		const struct tako__endpoint *ep = tako__table_endpoint(table, id);

		if (tako_str_eq(ep->pattern, tako_str_z(pattern)))
			return ep;
	}
	fail_msg("no endpoint %s", pattern);
	return NULL;
}

static enum tako__match_result match(const struct tako__table *table, const char *host,
                                     const char *path, unsigned skip, struct tako__match *m)
{
	return tako__match(table, TAKO__GET, TAKO_STR("GET"), tako_str_z(host), tako_str_z(path),
	                   skip, m);
}

enum { TEXT_BYTES = 128 };

static void append(char *text, const char *before, const char *name, const char *after_it)
{
	size_t n = strlen(text);

	snprintf(text + n, TEXT_BYTES - n, "%s%s%s", before, name, after_it);
}

/* The names that were given as arguments, in order. */
static void expect_mw(const struct tako__endpoint *ep, const char *want)
{
	char text[TEXT_BYTES] = "";

	for (unsigned i = 0; i < ep->mw_count; i++) {
		const struct tako__mw *mw = &ep->mw[i];

		assert_true(mw->around ? mw->around_fn == around && !mw->before
		                       : mw->before == handler && !mw->around_fn);
		append(text, mw->around ? "(" : "", mw->arg, mw->around ? ") " : " ");
	}
	assert_string_equal(text, want);
}

static void expect_after(const struct tako__endpoint *ep, const char *want)
{
	char text[TEXT_BYTES] = "";

	for (unsigned i = 0; i < ep->after_count; i++) {
		assert_ptr_equal(ep->after[i].fn, after);
		append(text, "", ep->after[i].arg, " ");
	}
	assert_string_equal(text, want);
}

static void expect_errors(const struct tako__endpoint *ep, const char *want)
{
	char text[TEXT_BYTES] = "";

	for (unsigned i = 0; i < ep->error_count; i++) {
		assert_ptr_equal(ep->errors[i].fn, on_error);
		append(text, "", ep->errors[i].arg, " ");
	}
	assert_string_equal(text, want);
}

/* Phases first, then outer before inner, then the order of the calls, whenever the route itself
 * was added. */
static void test_middleware_order(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *group = tako_group(router, "/g");
	tako_router *inner = tako_group(group, "");
	struct tako__table *table;

	(void)state;
	tako_get(inner, "/a", handler, NULL);
	tako_before(inner, TAKO_PHASE_EARLY, handler, "i-early");
	tako_before(inner, TAKO_PHASE_HANDLER, handler, "i-last");
	tako_before(group, TAKO_PHASE_AUTH, handler, "g-auth1");
	tako_around(group, TAKO_PHASE_AUTH, around, "g-auth2");
	tako_before(router, TAKO_PHASE_BODY, handler, "r-body");
	tako_before(router, TAKO_PHASE_EARLY, handler, "r-early1");
	tako_before(router, TAKO_PHASE_EARLY, handler, "r-early2");
	tako_before(router, TAKO_PHASE_AUTH, handler, "r-auth");
	tako_before(inner, TAKO_PHASE_AUTH, handler, "i-auth");
	tako_get(group, "/b", handler, NULL);
	tako_get(router, "/c", handler, NULL);
	table = freeze(router);
	expect_mw(endpoint(table, "/g/a"), "r-early1 r-early2 i-early r-auth g-auth1 (g-auth2) "
	                                   "i-auth r-body i-last ");
	expect_mw(endpoint(table, "/g/b"), "r-early1 r-early2 r-auth g-auth1 (g-auth2) r-body ");
	expect_mw(endpoint(table, "/c"), "r-early1 r-early2 r-auth r-body ");
	expect_mw(tako__table_endpoint(table, 0), "r-early1 r-early2 r-auth r-body ");
	tako__table_free(table);
}

/* The mirror image. */
static void test_after_order(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *group = tako_group(router, "/g");
	struct tako__table *table;

	(void)state;
	tako_after(router, TAKO_PHASE_EARLY, after, "r-early1");
	tako_after(router, TAKO_PHASE_EARLY, after, "r-early2");
	tako_after(group, TAKO_PHASE_EARLY, after, "g-early");
	tako_after(group, TAKO_PHASE_AUTH, after, "g-auth");
	tako_after(router, TAKO_PHASE_RESPONSE, after, "r-response");
	tako_get(group, "/a", handler, NULL);
	table = freeze(router);
	expect_after(endpoint(table, "/g/a"), "r-response g-auth g-early r-early2 r-early1 ");
	expect_after(tako__table_endpoint(table, 0), "r-response r-early2 r-early1 ");
	tako__table_free(table);
}

static void test_error_handlers(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *group = tako_group(router, "/g");
	struct tako__table *table;

	(void)state;
	tako_on_error(router, on_error, "old");
	tako_on_error(group, on_error, "group");
	tako_on_error(router, on_error, "router");
	tako_get(tako_group(group, "/h"), "/a", handler, NULL);
	table = freeze(router);
	expect_errors(endpoint(table, "/g/h/a"), "group router ");
	expect_errors(tako__table_endpoint(table, 0), "router ");
	tako__table_free(table);
}

static void test_limits(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *a = tako_group(router, "/a");
	tako_router *b = tako_group(a, "/b");
	tako_router *c = tako_group(b, "/c");
	tako_router *d = tako_group(c, "/d");
	struct tako__table *table;
	const struct tako__endpoint *ep;

	(void)state;
	tako_get(router, "/x", handler, NULL);
	tako_get(a, "/x", handler, NULL);
	tako_get(b, "/x", handler, NULL);
	tako_get(c, "/x", handler, NULL);
	tako_get(d, "/x", handler, NULL);
	tako_body_limit(a, 100);
	tako_timeout(a, 1);
	tako_timeout(a, 500);
	tako_redirect_slash(a, true);
	tako_body_limit(c, TAKO_OFF64);
	tako_timeout(c, TAKO_OFF);
	tako_redirect_slash(c, false);
	tako_body_limit(d, 0);
	table = freeze(router);

	ep = endpoint(table, "/x");
	assert_true(ep->max_body_bytes == 0 && ep->timeout_ms == 0 && !ep->redirect_slash);
	ep = endpoint(table, "/a/x");
	assert_true(ep->max_body_bytes == 100 && ep->timeout_ms == 500 && ep->redirect_slash);
	ep = endpoint(table, "/a/b/x");
	assert_true(ep->max_body_bytes == 100 && ep->timeout_ms == 500 && ep->redirect_slash);
	ep = endpoint(table, "/a/b/c/x");
	assert_true(ep->max_body_bytes == TAKO_OFF64 && ep->timeout_ms == 0 && !ep->redirect_slash);
	ep = endpoint(table, "/a/b/c/d/x");
	assert_true(ep->max_body_bytes == 0 && ep->timeout_ms == 0);
	tako__table_free(table);
}

static void test_endpoints(void **state)
{
	static int arg;
	tako_router *router = tako_router_new();
	struct tako__table *table;
	const struct tako__endpoint *ep;
	struct tako__match m;

	(void)state;
	tako_get(router, "/a/{x}/{*y}", handler, &arg);
	tako_any(router, "/b", handler, NULL);
	tako_route(tako_host(router, "H.test"), "PURGE", "/c", handler, NULL);
	table = freeze(router);
	assert_int_equal(tako__table_count(table), 4);
	for (unsigned id = 0; id < 4; id++)
		assert_int_equal(tako__table_endpoint(table, id)->id, id);
	assert_null(tako__table_endpoint(table, 4));

	ep = tako__table_endpoint(table, 1);
	assert_ptr_equal(ep->handler, handler);
	assert_ptr_equal(ep->arg, &arg);
	assert_true(tako_str_eq(ep->method, TAKO_STR("GET")));
	assert_true(tako_str_eq(ep->pattern, TAKO_STR("/a/{x}/{*y}")));
	assert_null(ep->host.p);
	assert_int_equal(ep->param_count, 2);
	assert_true(tako_str_eq(ep->param_names[0], TAKO_STR("x")));
	assert_true(tako_str_eq(ep->param_names[1], TAKO_STR("y")));
	assert_null(tako__table_endpoint(table, 2)->method.p);
	ep = tako__table_endpoint(table, 3);
	assert_true(tako_str_eq(ep->method, TAKO_STR("PURGE")));
	assert_true(tako_str_eq(ep->host, TAKO_STR("H.test")));

	ep = tako__table_endpoint(table, 0);
	assert_null(ep->handler);
	assert_null(ep->pattern.p);
	assert_int_equal(match(table, NULL, "/none", 0, &m), TAKO__NOT_FOUND);
	assert_ptr_equal(m.ep, ep);
	assert_int_equal(m.param_count, 0);
	tako__table_free(table);
}

/* A host adds its own to what the router has, also where nothing matches. */
static void test_hosts(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *host = tako_host(router, "a.test");
	struct tako__table *table;
	struct tako__match m;

	(void)state;
	tako_before(router, TAKO_PHASE_AUTH, handler, "router");
	tako_before(host, TAKO_PHASE_AUTH, handler, "host");
	tako_on_error(router, on_error, "router");
	tako_on_error(host, on_error, "host");
	tako_body_limit(host, 7);
	tako_get(host, "/a", handler, NULL);
	tako_get(router, "/b", handler, NULL);
	table = freeze(router);

	assert_int_equal(match(table, "a.test:80", "/a", 0, &m), TAKO__FOUND);
	expect_mw(m.ep, "router host ");
	assert_int_equal(m.ep->max_body_bytes, 7);
	assert_int_equal(match(table, "a.test", "/b", 0, &m), TAKO__NOT_FOUND);
	expect_mw(m.ep, "router host ");
	expect_errors(m.ep, "host router ");
	assert_int_equal(m.ep->max_body_bytes, 7);
	assert_int_equal(m.ep->id, 0);
	assert_true(tako_str_eq(m.ep->host, TAKO_STR("a.test")));
	assert_int_equal(match(table, "b.test", "/a", 0, &m), TAKO__NOT_FOUND);
	expect_mw(m.ep, "router ");
	expect_errors(m.ep, "router ");
	assert_int_equal(match(table, "b.test", "/b", 0, &m), TAKO__FOUND);
	assert_int_equal(match(table, NULL, "/b", 0, &m), TAKO__FOUND);
	tako__table_free(table);
}

static void expect_fallback(const struct tako__table *table, const char *host, const char *path,
                            unsigned skip, const char *want)
{
	struct tako__match m;

	assert_int_equal(match(table, host, path, skip, &m), TAKO__FOUND);
	assert_string_equal(m.ep->arg, want);
	assert_null(m.ep->pattern.p);
	assert_int_equal(m.ep->id, 0);
}

/* The host's own, then the router's; both with the host's middleware. */
static void test_fallbacks_of_hosts(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *own = tako_host(router, "own.test");
	tako_router *none = tako_host(router, "none.test");
	struct tako__table *table;
	struct tako__match m;

	(void)state;
	tako_fallback(router, handler, "router");
	tako_fallback(own, handler, "own");
	tako_before(own, TAKO_PHASE_AUTH, handler, "mw");
	tako_get(none, "/a", handler, "a");
	table = freeze(router);
	expect_fallback(table, NULL, "/a", 0, "router");
	expect_fallback(table, "own.test", "/a", 0, "own");
	expect_fallback(table, "own.test", "/a", 1, "router");
	assert_int_equal(match(table, "own.test", "/a", 1, &m), TAKO__FOUND);
	expect_mw(m.ep, "mw ");
	assert_int_equal(match(table, "own.test", "/a", 2, &m), TAKO__NOT_FOUND);
	expect_mw(m.ep, "mw ");
	expect_fallback(table, "none.test", "/b", 0, "router");
	expect_fallback(table, "none.test", "/a", 1, "router");
	assert_int_equal(match(table, "none.test", "/a", 2, &m), TAKO__NOT_FOUND);
	tako__table_free(table);
}

/* What is set on the child holds for its routes, wherever they are mounted. */
static void test_nested_settings(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *mid = tako_router_new();
	tako_router *child = tako_router_new();
	tako_router *group = tako_group(router, "/g");
	struct tako__table *table;

	(void)state;
	tako_before(router, TAKO_PHASE_AUTH, handler, "router");
	tako_before(mid, TAKO_PHASE_AUTH, handler, "mid");
	tako_before(child, TAKO_PHASE_AUTH, handler, "child");
	tako_before(tako_group(child, "/k"), TAKO_PHASE_EARLY, handler, "unused");
	tako_on_error(child, on_error, "child");
	tako_on_error(router, on_error, "router");
	tako_after(child, TAKO_PHASE_AUTH, after, "child");
	tako_body_limit(child, 5);
	tako_timeout(mid, 6);
	tako_redirect_slash(mid, true);
	tako_get(child, "/x/{a}", handler, NULL);
	tako_nest(mid, "/c", child);
	tako_nest(group, "/m/{p}", mid);
	tako_nest(router, "/twice", child);
	/* After nesting: the parent is still open. */
	tako_before(group, TAKO_PHASE_AUTH, handler, "group");
	tako_router_free(mid);
	tako_router_free(child);
	table = freeze(router);

	expect_mw(endpoint(table, "/g/m/{p}/c/x/{a}"), "router group mid child ");
	expect_errors(endpoint(table, "/g/m/{p}/c/x/{a}"), "child router ");
	expect_after(endpoint(table, "/g/m/{p}/c/x/{a}"), "child ");
	assert_int_equal(endpoint(table, "/g/m/{p}/c/x/{a}")->max_body_bytes, 5);
	assert_int_equal(endpoint(table, "/g/m/{p}/c/x/{a}")->timeout_ms, 6);
	assert_true(endpoint(table, "/g/m/{p}/c/x/{a}")->redirect_slash);
	assert_int_equal(endpoint(table, "/g/m/{p}/c/x/{a}")->param_count, 2);
	expect_mw(endpoint(table, "/twice/x/{a}"), "router child ");
	assert_int_equal(endpoint(table, "/twice/x/{a}")->timeout_ms, 0);
	assert_false(endpoint(table, "/twice/x/{a}")->redirect_slash);
	assert_int_equal(tako__table_count(table), 3);
	tako__table_free(table);
}

/* A child's fallback answers at its prefix and below, after every route, the inner ones before
 * the outer ones, and has the child's middleware and the prefix's parameters. */
static void test_nested_fallbacks(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *mid = tako_router_new();
	tako_router *child = tako_router_new();
	struct tako__table *table;
	struct tako__match m;

	(void)state;
	tako_before(child, TAKO_PHASE_AUTH, handler, "child");
	tako_fallback(router, handler, "router");
	tako_fallback(mid, handler, "mid");
	tako_fallback(child, handler, "child");
	tako_get(child, "/x", handler, "x");
	tako_nest(mid, "/{c}", child);
	tako_nest(mid, "", child);
	tako_nest(router, "/m", mid);
	tako_get(router, "/{any}/{x}/last", handler, "last");
	tako_router_free(mid);
	tako_router_free(child);
	table = freeze(router);

	expect_fallback(table, NULL, "/", 0, "router");
	expect_fallback(table, NULL, "/mx", 0, "router");
	expect_fallback(table, NULL, "/m", 0, "child");
	expect_fallback(table, NULL, "/m", 1, "mid");
	expect_fallback(table, NULL, "/m", 2, "router");
	assert_int_equal(match(table, NULL, "/m", 3, &m), TAKO__NOT_FOUND);
	/* "/m/{c}" is more than "/m". */
	expect_fallback(table, NULL, "/m/a", 0, "child");
	expect_fallback(table, NULL, "/m/a", 1, "child");
	expect_fallback(table, NULL, "/m/a", 2, "mid");
	expect_fallback(table, NULL, "/m/a", 3, "router");
	assert_int_equal(match(table, NULL, "/m/abc/d/e", 0, &m), TAKO__FOUND);
	assert_int_equal(m.param_count, 1);
	assert_true(tako_str_eq(m.ep->param_names[0], TAKO_STR("c")));
	assert_int_equal(m.params[0].off, 3);
	assert_int_equal(m.params[0].n, 3);
	expect_mw(m.ep, "child ");
	assert_int_equal(match(table, NULL, "/m/abc/d/e", 2, &m), TAKO__FOUND);
	assert_int_equal(m.param_count, 0);
	expect_mw(m.ep, "");
	/* Routes come before any of them. */
	assert_int_equal(match(table, NULL, "/m/a/last", 0, &m), TAKO__FOUND);
	assert_string_equal(m.ep->arg, "last");
	expect_fallback(table, NULL, "/m/a/last", 1, "child");
	/* So does telling that the path is there. */
	assert_int_equal(tako__match(table, TAKO__POST, TAKO_STR("POST"), (tako_str){NULL, 0},
	                             TAKO_STR("/m/x"), 0, &m),
	                 TAKO__BAD_METHOD);
	tako__table_free(table);
}

/* Mounted at the root, a child answers before the router itself. */
static void test_fallback_below_no_prefix(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *child = tako_router_new();
	struct tako__table *table;
	struct tako__match m;

	(void)state;
	tako_fallback(child, handler, "child");
	tako_fallback(router, handler, "router");
	tako_nest(router, "", child);
	tako_router_free(child);
	table = freeze(router);
	expect_fallback(table, NULL, "/", 0, "child");
	expect_fallback(table, NULL, "/a/b", 0, "child");
	expect_fallback(table, NULL, "/a/b", 1, "router");
	expect_fallback(table, NULL, "*", 0, "router");
	assert_int_equal(match(table, NULL, "/", 2, &m), TAKO__NOT_FOUND);
	tako__table_free(table);
}

/* In a host's group, a child's fallback is that host's alone. */
static void test_nested_fallback_of_host(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *child = tako_router_new();
	struct tako__table *table;
	struct tako__match m;

	(void)state;
	tako_fallback(child, handler, "child");
	tako_nest(tako_group(tako_host(router, "a.test"), "/g"), "/c", child);
	tako_router_free(child);
	table = freeze(router);
	expect_fallback(table, "a.test", "/g/c/x", 0, "child");
	assert_int_equal(match(table, "a.test", "/g/x", 0, &m), TAKO__NOT_FOUND);
	assert_int_equal(match(table, "b.test", "/g/c/x", 0, &m), TAKO__NOT_FOUND);
	tako__table_free(table);
}

static void test_empty(void **state)
{
	struct tako__table *table = freeze(tako_router_new());
	struct tako__match m;

	(void)state;
	assert_int_equal(tako__table_count(table), 1);
	assert_int_equal(match(table, NULL, "/", 0, &m), TAKO__NOT_FOUND);
	assert_int_equal(match(table, "a.test", "", 0, &m), TAKO__NOT_FOUND);
	assert_ptr_equal(m.ep, tako__table_endpoint(table, 0));
	tako__table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_middleware_order),
		cmocka_unit_test(test_after_order),
		cmocka_unit_test(test_error_handlers),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_fallbacks_of_hosts),
		cmocka_unit_test(test_nested_settings),
		cmocka_unit_test(test_nested_fallbacks),
		cmocka_unit_test(test_fallback_below_no_prefix),
		cmocka_unit_test(test_nested_fallback_of_host),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Building routers: what is refused and with which words, that the first failure sticks,
 * nesting, introspection, freezing, and running out of memory at every allocation.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/router.h"
#include "failalloc.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

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

static tako_router *new_router(void)
{
	tako_router *router = tako_router_new();

	assert_non_null(router);
	assert_int_equal(tako_router_error(router), 0);
	return router;
}

/* The router has failed with `err`, in words that contain `words`; then it is freed. */
static void expect_failure(tako_router *router, int err, const char *words)
{
	struct tako__table *table = NULL;
	int rc = tako_router_error(router);

	if (rc != err || !strstr(tako_last_error(), words))
		fail_msg("%d \"%s\", expected %d \"%s\"", rc, rc ? tako_last_error() : "", err,
		         words);
	assert_int_equal(tako__table_new(&table, router), err);
	assert_non_null(strstr(tako_last_error(), words));
	assert_null(table);
	tako_router_free(router);
}

static void freeze(tako_router *router)
{
	struct tako__table *table = NULL;

	if (tako__table_new(&table, router))
		fail_msg("%s", tako_last_error());
	tako__table_free(table);
}

/* ---- Routes ------------------------------------------------------------------- */

static const struct {
	const char *method;
	const char *path;
	const char *words;
} refused[] = {
	{"GET", NULL, "no path"},
	{"GET", "", "is empty"},
	{"GET", "users", "does not begin with '/'"},
	{"GET", "/{a", "'}'"},
	{"GET", "/a}", "'{'"},
	{"GET", "/{a}{b}", "two parameters in one segment"},
	{"GET", "/{a}/{a}", "one name"},
	{"GET", "/{a:float}", "unknown constraint"},
	{"GET", "/{*a}/b", "after {*}"},
	{"GET", "/a/../b", "dot segment"},
	{"", "/", "no method"},
	{"GE T", "/", "no method"},
	{"GET/", "/", "no method"},
	{"GET\r\n", "/", "no method"},
	{"\xc3\x9c", "/", "no method"},
	{"ABCDEFGHIJKLMNOPQRSTUVWXYZ1234567", "/", "no method, or one over 32 bytes"},
};

static void test_refused_routes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		tako_router *router = new_router();

		tako_route(router, refused[i].method, refused[i].path, handler, NULL);
		expect_failure(router, TAKO_EINVAL, refused[i].words);
	}
}

static void test_refused_without_handler(void **state)
{
	tako_router *router = new_router();

	(void)state;
	tako_get(router, "/x", NULL, NULL);
	expect_failure(router, TAKO_EINVAL, "no handler for /x");
}

static void test_too_long(void **state)
{
	static char path[4098];
	tako_router *router = new_router();

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[4096] = '\0';
	tako_get(router, path, handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	tako_get(tako_group(router, "/g"), path, handler, NULL);
	expect_failure(router, TAKO_EINVAL, "longer than 4096");

	router = new_router();
	path[4096] = 'a';
	tako_get(router, path, handler, NULL);
	expect_failure(router, TAKO_EINVAL, "longer than 4096");
}

static const struct {
	const char *method1;
	const char *path1;
	const char *method2;
	const char *path2;
	bool conflict;
} pairs[] = {
	{"GET", "/a", "GET", "/a", true},
	{"GET", "/a", "POST", "/a", false},
	{"GET", "/a", "get", "/a", false},
	{"GET", "/a", "HEAD", "/a", false},
	{"GET", "/a", NULL, "/a", false},
	{NULL, "/a", NULL, "/a", true},
	{"PROPFIND", "/a", "PROPFIND", "/a", true},
	{"PROPFIND", "/a", "PROPPATCH", "/a", false},
	{"GET", "/a", "GET", "/a/", false},
	{"GET", "/{a}", "GET", "/{b}", true},
	{"GET", "/{a}", "GET", "/b", false},
	{"GET", "/{a}", "GET", "/{*a}", false},
	{"GET", "/{*a}", "GET", "/{*b}", true},
	{"GET", "/{a:u64}", "GET", "/{b:u64}", true},
	{"GET", "/{a:u64}", "GET", "/{b:i64}", false},
	{"GET", "/{a:u64}", "GET", "/{a}", false},
	{"GET", "/x{a}", "GET", "/x{b}", true},
	{"GET", "/x{a}", "GET", "/{b}x", false},
	{"GET", "/x{a}y/z", "GET", "/x{b}y/z", true},
	{"GET", "/{{x}}", "GET", "/{{x}}", true},
	{"GET", "/{{x}}", "GET", "/{x}", false},
	{"GET", "/{a}/b/{c}", "GET", "/{x}/b/{y}", true},
	{"GET", "/{a}/b/{c}", "GET", "/{x}/c/{y}", false},
};

static void test_conflicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(pairs); i++) {
		tako_router *router = new_router();
		int rc;

		tako_route(router, pairs[i].method1, pairs[i].path1, handler, NULL);
		tako_route(router, pairs[i].method2, pairs[i].path2, handler, NULL);
		rc = tako_router_error(router);
		if (rc != (pairs[i].conflict ? TAKO_EEXIST : 0))
			fail_msg("%s and %s: %d", pairs[i].path1, pairs[i].path2, rc);
		if (rc && (!strstr(tako_last_error(), pairs[i].path1) ||
		           !strstr(tako_last_error(), pairs[i].path2)))
			fail_msg("both patterns, please: %s", tako_last_error());
		tako_router_free(router);
	}
}

static void test_conflict_across_groups(void **state)
{
	tako_router *router = new_router();

	(void)state;
	tako_get(tako_group(router, "/api"), "/{id}", handler, NULL);
	tako_get(tako_group(router, "/api"), "/x", handler, NULL);
	tako_get(tako_host(router, "a.test"), "/api/{id}", handler, NULL);
	tako_get(tako_host(router, "b.test"), "/api/{id}", handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	tako_get(tako_group(tako_group(router, ""), ""), "/api/{other}", handler, NULL);
	expect_failure(router, TAKO_EEXIST, "GET /api/{id} and /api/{other}");

	router = new_router();
	tako_get(tako_host(router, "a.test"), "/x", handler, NULL);
	tako_get(tako_group(tako_host(router, "A.test."), ""), "/x", handler, NULL);
	expect_failure(router, TAKO_EEXIST, "/x");
}

static void test_many_methods(void **state)
{
	tako_router *router = new_router();
	char method[16];

	(void)state;
	for (int i = 0; i < TAKO__ALLOW_METHODS_MAX - TAKO__METHOD_COUNT; i++) {
		snprintf(method, sizeof(method), "M%d", i);
		tako_route(router, method, "/", handler, NULL);
		tako_route(router, method, "/again", handler, NULL);
	}
	assert_int_equal(tako_router_error(router), 0);
	tako_route(router, "GET", "/", handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	tako_route(router, "ONEMORE", "/", handler, NULL);
	expect_failure(router, TAKO_ETOOBIG, "64 different methods");
}

/* ---- Sticking ------------------------------------------------------------------- */

static void test_first_failure_sticks(void **state)
{
	tako_router *router = new_router();

	(void)state;
	tako_get(router, "/a", handler, NULL);
	tako_get(router, "/a", handler, NULL);
	tako_get(router, "nonsense", handler, NULL);
	tako_group(router, "nonsense");
	tako_host(router, "?");
	tako_nest(router, "/x", router);
	tako_before(router, (tako_phase)99, handler, NULL);
	expect_failure(router, TAKO_EEXIST, "/a and /a");
}

static void test_failed_group_is_inert(void **state)
{
	tako_router *router = new_router();
	tako_router *child = new_router();
	tako_router *group = tako_group(router, "bad");
	tako_router *host;

	(void)state;
	assert_non_null(group);
	assert_ptr_not_equal(group, router);
	host = tako_host(group, "a.test");
	assert_non_null(host);
	tako_get(tako_group(group, "/x"), "/a", handler, NULL);
	tako_get(host, "/a", handler, NULL);
	tako_fallback(group, handler, NULL);
	tako_body_limit(group, 1);
	tako_timeout(group, 1);
	tako_redirect_slash(group, true);
	tako_on_error(group, on_error, NULL);
	tako_before(group, TAKO_PHASE_EARLY, handler, NULL);
	tako_around(group, TAKO_PHASE_EARLY, around, NULL);
	tako_after(group, TAKO_PHASE_EARLY, after, NULL);
	tako_nest(group, "/n", child);
	tako_router_free(group);
	assert_int_equal(tako_router_error(group), TAKO_EINVAL);
	expect_failure(router, TAKO_EINVAL, "does not begin");
	tako_get(child, "/still-open", handler, NULL);
	assert_int_equal(tako_router_error(child), 0);
	tako_router_free(child);
}

/* What tako_router_new() returns without memory may be used like any other. */
static void test_null_router(void **state)
{
	struct tako__table *table = NULL;
	tako_router *group = tako_group(NULL, "/x");
	tako_router *router = new_router();

	(void)state;
	assert_non_null(group);
	assert_ptr_equal(tako_host(NULL, "a.test"), group);
	assert_ptr_equal(tako_group(group, "/y"), group);
	tako_get(NULL, "/", handler, NULL);
	tako_get(group, "/", handler, NULL);
	tako_fallback(NULL, handler, NULL);
	tako_body_limit(NULL, 1);
	tako_timeout(NULL, 1);
	tako_redirect_slash(NULL, true);
	tako_on_error(NULL, on_error, NULL);
	tako_before(NULL, TAKO_PHASE_EARLY, handler, NULL);
	tako_around(NULL, TAKO_PHASE_EARLY, around, NULL);
	tako_after(NULL, TAKO_PHASE_EARLY, after, NULL);
	tako_nest(NULL, "/n", router);
	assert_int_equal(tako_router_error(NULL), TAKO_ENOMEM);
	assert_int_equal(tako_router_error(group), TAKO_ENOMEM);
	assert_int_equal(tako__table_new(&table, NULL), TAKO_ENOMEM);
	assert_int_equal(tako__table_new(&table, group), TAKO_ENOMEM);
	assert_int_equal(tako_router_each(NULL, NULL, NULL), 0);
	tako_router_free(NULL);
	tako_router_free(group);
	tako__table_free(NULL);
	tako_nest(router, "/n", NULL);
	expect_failure(router, TAKO_ENOMEM, "memory");
}

/* ---- Groups, hosts, settings ------------------------------------------------------ */

static void test_group_prefixes(void **state)
{
	static const char *const bad[] = {"/", "/a/", "a", "/{*x}", "/{a", "/a/..", NULL};
	tako_router *router = new_router();

	(void)state;
	tako_get(tako_group(router, "/users"), "", handler, NULL);
	tako_get(tako_group(router, "/users"), "/", handler, NULL);
	tako_get(tako_group(tako_group(router, "/{t}"), "/{u}"), "/{v}", handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	tako_router_free(router);
	for (size_t i = 0; i < COUNT(bad); i++) {
		router = new_router();
		tako_group(router, bad[i]);
		expect_failure(router, TAKO_EINVAL, bad[i] ? "p" : "no path or prefix");
	}
	router = new_router();
	tako_get(tako_group(router, ""), "", handler, NULL);
	expect_failure(router, TAKO_EINVAL, "is empty");
	router = new_router();
	tako_get(tako_group(router, "/a"), "b", handler, NULL);
	expect_failure(router, TAKO_EINVAL, "does not begin");
	router = new_router();
	tako_get(tako_group(router, "/{id}"), "/x/{id}", handler, NULL);
	expect_failure(router, TAKO_EINVAL, "one name");
	router = new_router();
	tako_group(tako_group(router, "/{id}"), "/{id}");
	expect_failure(router, TAKO_EINVAL, "one name");
}

static void test_parameters_across_prefixes(void **state)
{
	tako_router *router = new_router();
	tako_router *group = tako_group(router, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}");

	(void)state;
	tako_get(group, "/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}", handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	tako_get(group, "/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{q}", handler, NULL);
	expect_failure(router, TAKO_EINVAL, "more than 16");
}

static void test_hosts(void **state)
{
	static const char *const bad[] = {"", "a b", "a.test:80", "*", NULL};
	tako_router *router = new_router();
	tako_router *host = tako_host(router, "Example.test");

	(void)state;
	assert_ptr_equal(tako_host(router, "example.test."), host);
	assert_ptr_not_equal(tako_host(router, "*.example.test"), host);
	tako_get(tako_group(host, "/x"), "/y", handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	tako_host(tako_group(router, ""), "b.test");
	expect_failure(router, TAKO_EINVAL, "only on a router");
	router = new_router();
	tako_host(tako_host(router, "a.test"), "b.test");
	expect_failure(router, TAKO_EINVAL, "only on a router");
	for (size_t i = 0; i < COUNT(bad); i++) {
		router = new_router();
		assert_non_null(tako_host(router, bad[i]));
		expect_failure(router, TAKO_EINVAL, "no host name");
	}
}

static void test_fallbacks(void **state)
{
	tako_router *router = new_router();

	(void)state;
	tako_fallback(router, handler, NULL);
	tako_fallback(tako_host(router, "a.test"), handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	tako_fallback(router, handler, NULL);
	expect_failure(router, TAKO_EEXIST, "fallback");
	router = new_router();
	tako_fallback(tako_group(router, ""), handler, NULL);
	expect_failure(router, TAKO_EINVAL, "not for a group");
	router = new_router();
	tako_fallback(router, NULL, NULL);
	expect_failure(router, TAKO_EINVAL, "no handler");
}

static void test_refused_settings(void **state)
{
	tako_router *router = new_router();

	(void)state;
	tako_before(router, (tako_phase)6, handler, NULL);
	expect_failure(router, TAKO_EINVAL, "phase");
	router = new_router();
	tako_after(router, (tako_phase)-1, after, NULL);
	expect_failure(router, TAKO_EINVAL, "phase");
	router = new_router();
	tako_before(router, TAKO_PHASE_RESPONSE, handler, NULL);
	expect_failure(router, TAKO_EINVAL, "tako_after");
	router = new_router();
	tako_around(router, TAKO_PHASE_RESPONSE, around, NULL);
	expect_failure(router, TAKO_EINVAL, "tako_after");
	router = new_router();
	tako_before(router, TAKO_PHASE_AUTH, NULL, NULL);
	expect_failure(router, TAKO_EINVAL, "no function");
	router = new_router();
	tako_around(router, TAKO_PHASE_AUTH, NULL, NULL);
	expect_failure(router, TAKO_EINVAL, "no function");
	router = new_router();
	tako_after(router, TAKO_PHASE_AUTH, NULL, NULL);
	expect_failure(router, TAKO_EINVAL, "no function");
	router = new_router();
	tako_on_error(router, NULL, NULL);
	expect_failure(router, TAKO_EINVAL, "no function");
}

/* ---- Freezing ----------------------------------------------------------------------- */

static void test_frozen_by_table(void **state)
{
	tako_router *router = new_router();
	tako_router *group = tako_group(router, "/g");

	(void)state;
	tako_get(router, "/", handler, NULL);
	freeze(router);
	freeze(router);
	assert_int_equal(tako_router_error(router), 0);
	tako_get(group, "/x", handler, NULL);
	expect_failure(router, TAKO_ESTATE, "after a server");
}

static void change(tako_router *router, unsigned how)
{
	switch (how) {
	case 0:
		tako_route(router, "GET", "/new", handler, NULL);
		return;
	case 1:
		tako_group(router, "");
		return;
	case 2:
		tako_host(router, "a.test");
		return;
	case 3:
		tako_fallback(router, handler, NULL);
		return;
	case 4:
		tako_body_limit(router, 1);
		return;
	case 5:
		tako_timeout(router, 1);
		return;
	case 6:
		tako_redirect_slash(router, true);
		return;
	case 7:
		tako_on_error(router, on_error, NULL);
		return;
	case 8:
		tako_before(router, TAKO_PHASE_EARLY, handler, NULL);
		return;
	case 9:
		tako_around(router, TAKO_PHASE_EARLY, around, NULL);
		return;
	case 10:
		tako_after(router, TAKO_PHASE_EARLY, after, NULL);
		return;
	default:
		tako_nest(router, "/n", NULL);
	}
}

static void test_every_change_is_noticed(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 12; how++) {
		tako_router *router = new_router();

		freeze(router);
		change(router, how);
		expect_failure(router, TAKO_ESTATE, "after a server");
	}
}

static void test_table_outlives_router(void **state)
{
	tako_router *router = new_router();
	struct tako__table *one = NULL;
	struct tako__table *two = NULL;

	(void)state;
	tako_get(router, "/a", handler, NULL);
	assert_int_equal(tako__table_new(&one, router), 0);
	assert_int_equal(tako__table_new(&two, router), 0);
	tako_router_free(router);
	tako__table_free(one);
	assert_string_equal(tako__table_endpoint(two, 1)->pattern.p, "/a");
	tako__table_free(two);
}

static void test_group_is_no_router(void **state)
{
	tako_router *router = new_router();
	struct tako__table *table = NULL;

	(void)state;
	assert_int_equal(tako__table_new(&table, tako_group(router, "/g")), TAKO_EINVAL);
	assert_null(table);
	tako_router_free(tako_group(router, "/g"));
	assert_int_equal(tako_router_error(router), 0);
	tako_router_free(router);
}

/* ---- Nesting ------------------------------------------------------------------------ */

static void test_nest_refused(void **state)
{
	tako_router *router = new_router();
	tako_router *child = new_router();

	(void)state;
	tako_nest(router, "/x", router);
	expect_failure(router, TAKO_EINVAL, "in itself");
	router = new_router();
	tako_nest(tako_group(router, "/x"), "/y", router);
	expect_failure(router, TAKO_EINVAL, "in itself");
	router = new_router();
	tako_nest(router, "/x", tako_group(child, "/y"));
	expect_failure(router, TAKO_EINVAL, "a group");
	router = new_router();
	tako_nest(router, "x/", child);
	expect_failure(router, TAKO_EINVAL, "does not begin");
	router = new_router();
	tako_nest(router, "/x/", child);
	expect_failure(router, TAKO_EINVAL, "ends with");
	router = new_router();
	tako_nest(router, NULL, child);
	expect_failure(router, TAKO_EINVAL, "no path or prefix");
	tako_router_free(child);

	child = new_router();
	tako_host(child, "a.test");
	router = new_router();
	tako_nest(router, "/x", child);
	expect_failure(router, TAKO_EINVAL, "has hosts");
	tako_router_free(child);

	child = new_router();
	tako_get(child, "oops", handler, NULL);
	router = new_router();
	tako_nest(router, "/x", child);
	expect_failure(router, TAKO_EINVAL, "oops");
	tako_router_free(child);
}

static void test_nest_freezes_child(void **state)
{
	tako_router *router = new_router();
	tako_router *child = new_router();

	(void)state;
	tako_nest(router, "/x", child);
	assert_int_equal(tako_router_error(child), 0);
	tako_get(child, "/late", handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	expect_failure(child, TAKO_ESTATE, "after a server");
	tako_router_free(router);
}

/* The inner one is frozen. */
static void test_no_ring_of_routers(void **state)
{
	tako_router *outer = new_router();
	tako_router *mid = new_router();
	tako_router *inner = new_router();

	(void)state;
	tako_nest(mid, "/x", inner);
	tako_nest(outer, "/x", mid);
	tako_nest(inner, "/x", outer);
	expect_failure(inner, TAKO_ESTATE, "after a server");
	tako_router_free(mid);
	tako_router_free(outer);
}

static void test_nest_conflicts(void **state)
{
	tako_router *router = new_router();
	tako_router *child = new_router();

	(void)state;
	tako_get(child, "/{a}", handler, NULL);
	tako_nest(router, "/x", child);
	tako_nest(router, "/y", child);
	tako_nest(tako_host(router, "a.test"), "/x", child);
	assert_int_equal(tako_router_error(router), 0);
	tako_get(router, "/y/{b}", handler, NULL);
	expect_failure(router, TAKO_EEXIST, "/y/{a} and /y/{b}");
	router = new_router();
	tako_nest(router, "/x", child);
	tako_nest(router, "/x", child);
	expect_failure(router, TAKO_EEXIST, "/x/{a} and /x/{a}");
	router = new_router();
	tako_nest(router, "/{a}", child);
	expect_failure(router, TAKO_EINVAL, "one name");
	tako_router_free(child);
}

static void test_nest_fallback_conflicts(void **state)
{
	tako_router *router = new_router();
	tako_router *mid = new_router();
	tako_router *one = new_router();
	tako_router *two = new_router();

	(void)state;
	tako_fallback(one, handler, NULL);
	tako_fallback(two, handler, NULL);
	tako_fallback(mid, handler, NULL);
	tako_nest(mid, "", one);
	tako_nest(router, "/a", mid);
	tako_nest(router, "/b", one);
	tako_nest(tako_host(router, "h.test"), "/b", two);
	assert_int_equal(tako_router_error(router), 0);
	tako_nest(router, "/b", two);
	expect_failure(router, TAKO_EEXIST, "two fallbacks below \"/b\"");
	tako_router_free(mid);
	tako_router_free(one);
	tako_router_free(two);
}

static void test_routes_bound(void **state)
{
	tako_router *router = tako_router_new();
	tako_router *child = tako_router_new();
	char path[16];

	(void)state;
	for (int i = 0; i < 256; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		tako_get(child, path, handler, NULL);
	}
	for (int i = 0; i < 255; i++) {
		snprintf(path, sizeof(path), "/p%d", i);
		tako_nest(router, path, child);
	}
	for (int i = 0; i < 255; i++) {
		snprintf(path, sizeof(path), "/%d", i);
		tako_get(router, path, handler, NULL);
	}
	assert_int_equal(tako_router_error(router), 0);
	tako_get(router, "/x", handler, NULL);
	tako_router_free(child);
	expect_failure(router, TAKO_ETOOBIG, "more than 65535 routes");
}

/* Doubling soon meets the bound on groups, instead of all memory. */
static void test_nest_bound(void **state)
{
	tako_router *inner = new_router();

	(void)state;
	tako_get(inner, "/a", handler, NULL);
	for (int i = 0; i < 16; i++) {
		tako_router *outer = new_router();

		tako_nest(outer, "/l", inner);
		tako_nest(outer, "/r", inner);
		tako_router_free(inner);
		inner = outer;
	}
	expect_failure(inner, TAKO_ETOOBIG, "more than 65535 groups");
}

static void test_child_outlives_its_handle(void **state)
{
	tako_router *router = new_router();
	tako_router *child = new_router();
	struct tako__table *table = NULL;

	(void)state;
	tako_before(child, TAKO_PHASE_AUTH, handler, NULL);
	tako_get(child, "/a", handler, NULL);
	tako_nest(router, "/x", child);
	tako_router_free(child);
	assert_int_equal(tako__table_new(&table, router), 0);
	tako_router_free(router);
	assert_string_equal(tako__table_endpoint(table, 1)->pattern.p, "/x/a");
	assert_ptr_equal(tako__table_endpoint(table, 1)->mw[0].before, handler);
	tako__table_free(table);
}

/* ---- Introspection ---------------------------------------------------------------------- */

struct seen {
	char text[512];
	size_t n;
	int stop_at;
};

static int note(const tako_route_info *info, void *arg)
{
	struct seen *s = arg;

	assert_int_equal(info->size, sizeof(*info));
	assert_ptr_equal(info->handler, handler);
	s->n += (size_t)snprintf(s->text + s->n, sizeof(s->text) - s->n, "%s %s%s %s\n",
	                         info->method ? info->method : "*", info->host ? info->host : "",
	                         info->pattern, (const char *)info->arg);
	return --s->stop_at == 0 ? 42 : 0;
}

static void expect_each(const tako_router *router, const char *want)
{
	struct seen s = {.n = 0};

	assert_int_equal(tako_router_each(router, note, &s), 0);
	assert_string_equal(s.text, want);
}

static void test_each(void **state)
{
	static const char all[] = "GET /1 one\n"
				  "* /g/{a}/2 two\n"
				  "PURGE /g/{a}/n/k/3 three\n"
				  "GET /g/{a}/n/4 four\n"
				  "POST A.test/5 five\n"
				  "GET /6 six\n";
	tako_router *router = new_router();
	tako_router *child = new_router();
	tako_router *group = tako_group(router, "/g/{a}");
	struct seen s = {.stop_at = 2};

	(void)state;
	tako_route(tako_group(child, "/k"), "PURGE", "/3", handler, "three");
	tako_get(child, "/4", handler, "four");
	tako_get(router, "/1", handler, "one");
	tako_any(group, "/2", handler, "two");
	tako_nest(group, "/n", child);
	tako_post(tako_host(router, "A.test"), "/5", handler, "five");
	tako_get(router, "/6", handler, "six");
	expect_each(router, all);
	expect_each(child, "PURGE /k/3 three\nGET /4 four\n");
	expect_each(group, "* /g/{a}/2 two\nPURGE /g/{a}/n/k/3 three\nGET /g/{a}/n/4 four\n");
	expect_each(tako_host(router, "a.test"), "POST A.test/5 five\n");
	freeze(router);
	expect_each(router, all);
	assert_int_equal(tako_router_each(router, note, &s), 42);
	assert_string_equal(s.text, "GET /1 one\n* /g/{a}/2 two\n");
	tako_router_free(child);
	tako_router_free(router);
}

/* ---- Out of memory ------------------------------------------------------------------------ */

/* Some of everything that allocates. */
static tako_router *build_all(void)
{
	tako_router *router = tako_router_new();
	tako_router *child = tako_router_new();
	tako_router *group = tako_group(router, "/g/{a}");
	char path[32];

	tako_before(child, TAKO_PHASE_AUTH, handler, NULL);
	tako_fallback(child, handler, NULL);
	tako_route(tako_group(child, "/c"), "PURGE", "/{x:u64}", handler, NULL);
	tako_around(router, TAKO_PHASE_EARLY, around, NULL);
	tako_after(group, TAKO_PHASE_EARLY, after, NULL);
	tako_on_error(group, on_error, NULL);
	tako_redirect_slash(router, true);
	tako_nest(group, "/n", child);
	tako_router_free(child);
	tako_fallback(router, handler, NULL);
	tako_get(tako_host(router, "a.test"), "/{*rest}", handler, NULL);
	tako_get(tako_host(router, "*.a.test"), "/", handler, NULL);
	for (int i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "/%c%d/{a}-x", 'a' + i % 20, i);
		tako_get(router, path, handler, NULL);
	}
	return router;
}

static bool run_all(void)
{
	tako_router *router = build_all();
	struct tako__table *table = NULL;
	int rc = tako__table_new(&table, router);
	bool ok = !rc;

	if (rc) {
		assert_int_equal(rc, TAKO_ENOMEM);
		assert_non_null(strstr(tako_last_error(), "memory"));
		assert_null(table);
	} else {
		assert_int_equal(tako__table_count(table), 44);
	}
	tako__table_free(table);
	tako_router_free(router);
	return ok;
}

static void test_out_of_memory(void **state)
{
	size_t failures = 0;
	size_t live = failalloc_live();

	(void)state;
	for (size_t n = 1;; n++) {
		bool ok;

		failalloc_arm(n);
		ok = run_all();
		if (!failalloc_disarm()) {
			assert_true(ok);
			break;
		}
		assert_false(ok);
		failures++;
		assert_int_equal(failalloc_live(), live);
	}
	assert_true(failures > 10);
	assert_int_equal(failalloc_live(), live);
	assert_int_equal(failalloc_wrong(), 0);
}

/* A failed freeze leaves the router as it was. */
static void test_freeze_may_be_tried_again(void **state)
{
	tako_router *router = new_router();
	struct tako__table *table = NULL;

	(void)state;
	tako_get(router, "/a", handler, NULL);
	failalloc_arm(1);
	assert_int_equal(tako__table_new(&table, router), TAKO_ENOMEM);
	assert_int_equal(failalloc_disarm(), 1);
	tako_get(router, "/b", handler, NULL);
	assert_int_equal(tako_router_error(router), 0);
	assert_int_equal(tako__table_new(&table, router), 0);
	assert_int_equal(tako__table_count(table), 3);
	tako__table_free(table);
	tako_router_free(router);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_routes),
		cmocka_unit_test(test_refused_without_handler),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_conflicts),
		cmocka_unit_test(test_conflict_across_groups),
		cmocka_unit_test(test_many_methods),
		cmocka_unit_test(test_first_failure_sticks),
		cmocka_unit_test(test_failed_group_is_inert),
		cmocka_unit_test(test_null_router),
		cmocka_unit_test(test_group_prefixes),
		cmocka_unit_test(test_parameters_across_prefixes),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_fallbacks),
		cmocka_unit_test(test_refused_settings),
		cmocka_unit_test(test_frozen_by_table),
		cmocka_unit_test(test_every_change_is_noticed),
		cmocka_unit_test(test_table_outlives_router),
		cmocka_unit_test(test_group_is_no_router),
		cmocka_unit_test(test_nest_refused),
		cmocka_unit_test(test_nest_freezes_child),
		cmocka_unit_test(test_no_ring_of_routers),
		cmocka_unit_test(test_nest_conflicts),
		cmocka_unit_test(test_nest_fallback_conflicts),
		cmocka_unit_test(test_routes_bound),
		cmocka_unit_test(test_nest_bound),
		cmocka_unit_test(test_child_outlives_its_handle),
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_freeze_may_be_tried_again),
	};

	if (failalloc_install())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Which route answers: precedence, backtracking, methods, Allow, redirects, parameters, and that
 * no set of patterns makes the walk explode.  match_oracle_test.c has the random half.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/path.h"
#include "core/router.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int handler(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)res;
	(void)arg;
	return 0;
}

static const char *split(const char *spec, char *method, size_t n)
{
	const char *space = strchr(spec, ' ');

	assert_non_null(space);
	assert_true((size_t)(space - spec) < n);
	memcpy(method, spec, (size_t)(space - spec));
	method[space - spec] = '\0';
	return space + 1;
}

/* "GET /a" adds a route, "* /a" one for any method. */
static void add(tako_router *router, const char *spec)
{
	char method[40];
	const char *path = split(spec, method, sizeof(method));

	tako_route(router, strcmp(method, "*") ? method : NULL, path, handler,
	           (void *)(uintptr_t)spec);
}

static struct tako__table *freeze(tako_router *router)
{
	struct tako__table *table = NULL;

	if (tako__table_new(&table, router))
		fail_msg("%s", tako_last_error());
	tako_router_free(router);
	return table;
}

static struct tako__table *build(const char *const *specs)
{
	tako_router *router = tako_router_new();

	for (; *specs; specs++)
		add(router, *specs);
	return freeze(router);
}

static void append_params(char *text, size_t n, const char *path, const struct tako__match *m)
{
	assert_int_equal(m->param_count, m->ep->param_count);
	for (unsigned i = 0; i < m->param_count; i++) {
		size_t at = strlen(text);

		snprintf(text + at, n - at, " %.*s=%.*s", TAKO_FMT(m->ep->param_names[i]),
		         (int)m->params[i].n, path + m->params[i].off);
	}
}

/* What answers "GET /path", as text: "GET /{a} a=path", "404", "405 GET, HEAD, OPTIONS",
 * "options …", "+/" or "-/".  `skip` as for tako__match(). */
static void answer(const struct tako__table *t, const char *request, unsigned skip, char *text,
                   size_t n)
{
	static const char *const names[] = {"?", "404", "405 ", "+/", "-/", "options "};
	char method[40];
	const char *path = split(request, method, sizeof(method));
	size_t path_n = strlen(request) - (size_t)(path - request);
	char *exact = malloc(path_n ? path_n : 1); /* what is read past its end is noticed */
	char allow[512];
	size_t allow_n = 0;
	struct tako__match m;
	enum tako__match_result r;

	assert_non_null(exact);
	memset(&m, 0xa5, sizeof(m));
	for (size_t i = 0; i < path_n; i++)
		exact[i] = path[i];
	r = tako__match(t, tako__method_id(method, strlen(method)), tako_str_z(method),
	                (tako_str){NULL, 0}, (tako_str){exact, path_n}, skip, &m);
	assert_non_null(m.ep);
	if (r == TAKO__FOUND) {
		snprintf(text, n, "%s", (const char *)m.ep->arg);
		append_params(text, n, path, &m);
	} else {
		assert_ptr_equal(m.ep, tako__table_endpoint(t, 0));
		if (r == TAKO__BAD_METHOD || r == TAKO__OPTIONS_AUTO)
			allow_n = tako__allow_format(t, &m, allow, sizeof(allow));
		snprintf(text, n, "%s%.*s", names[r], (int)allow_n, allow);
	}
	free(exact);
}

struct ask {
	const char *request;
	const char *want;
};

static void expect(const struct tako__table *t, const struct ask *asks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char text[512];

		answer(t, asks[i].request, 0, text, sizeof(text));
		if (strcmp(text, asks[i].want) != 0)
			fail_msg("%s: %s, expected %s", asks[i].request, text, asks[i].want);
	}
}

/* All that answer one after the other, when each passes. */
static void expect_chain(const struct tako__table *t, const char *request, const char *const *want)
{
	char text[512];
	unsigned skip = 0;

	for (; *want; want++, skip++) {
		answer(t, request, skip, text, sizeof(text));
		if (strcmp(text, *want) != 0)
			fail_msg("%s, skip %u: %s, expected %s", request, skip, text, *want);
	}
	for (unsigned more = 0; more < 3; more++) {
		answer(t, request, skip + more, text, sizeof(text));
		assert_string_equal(text, "404");
	}
}

#define CHECK(specs, asks)                                                                         \
	do {                                                                                       \
		struct tako__table *t_ = build(specs);                                             \
		expect(t_, asks, COUNT(asks));                                                     \
		tako__table_free(t_);                                                              \
	} while (0)

/* ---- Text ---------------------------------------------------------------------- */

static void test_text(void **state)
{
	static const char *const specs[] = {"GET /",    "GET /a",        "GET /ab",    "GET /abc/",
	                                    "GET /abd", "GET /abc/de",   "GET /abc//", "GET //abc",
	                                    "GET /x y", "GET /\xc3\xbc", NULL};
	static const struct ask asks[] = {
		{"GET /", "GET /"},
		{"GET /a", "GET /a"},
		{"GET /ab", "GET /ab"},
		{"GET /abc", "404"},
		{"GET /abc/", "GET /abc/"},
		{"GET /abc//", "GET /abc//"},
		{"GET /abc///", "404"},
		{"GET /abd", "GET /abd"},
		{"GET /abd/", "404"},
		{"GET /abc/d", "404"},
		{"GET /abc/de", "GET /abc/de"},
		{"GET /abc/def", "404"},
		{"GET //abc", "GET //abc"},
		{"GET //", "404"},
		{"GET /x y", "GET /x y"},
		{"GET /\xc3\xbc", "GET /\xc3\xbc"},
		{"GET /A", "404"},
		{"GET ", "404"},
		{"GET *", "404"},
		{"GET a", "404"},
		{"CONNECT ", "404"},
	};

	(void)state;
	CHECK(specs, asks);
}

/* Enough children for a table by first byte, and every one of them found. */
static void test_many_children(void **state)
{
	tako_router *router = tako_router_new();
	static char specs[256][16];
	struct tako__table *t;

	(void)state;
	for (int c = 1; c < 256; c++) {
		if (c == '/' || c == '{' || c == '}' || c == '.' || c == '%')
			continue;
		snprintf(specs[c], sizeof(specs[c]), "GET /%cx", c);
		add(router, specs[c]);
	}
	t = freeze(router);
	for (int c = 1; c < 256; c++) {
		char text[64];
		char request[16];

		snprintf(request, sizeof(request), "GET /%cx", c);
		answer(t, request, 0, text, sizeof(text));
		assert_string_equal(text, specs[c][0] ? specs[c] : "404");
	}
	tako__table_free(t);
}

/* One to ten children, so on both sides of where the table begins; also asked for with a mark,
 * which is the filler of unused places. */
static void test_some_children(void **state)
{
	(void)state;
	for (int count = 1; count <= 10; count++) {
		tako_router *router = tako_router_new();
		static char specs[10][16];
		struct tako__match m;
		struct tako__table *t;

		for (int i = 0; i < count; i++) {
			snprintf(specs[i], sizeof(specs[i]), "GET /%c", 'a' + i * 7 % 10);
			add(router, specs[i]);
		}
		t = freeze(router);
		for (int c = 0; c < 256; c++) {
			char path[2] = {'/', (char)c};
			enum tako__match_result r = tako__match(t, TAKO__GET, TAKO_STR("GET"),
			                                        (tako_str){NULL, 0},
			                                        (tako_str){path, 2}, 0, &m);
			bool there = false;

			for (int i = 0; i < count; i++)
				there |= (unsigned char)specs[i][5] == c;
			assert_int_equal(r, there ? TAKO__FOUND : TAKO__NOT_FOUND);
		}
		tako__table_free(t);
	}
}

/* ---- Parameters ------------------------------------------------------------------ */

static void test_parameters(void **state)
{
	static const char *const specs[] = {"GET /u/{id}",
	                                    "GET /u/{id}/x",
	                                    "GET /img-{n}.png",
	                                    "GET /aa{x}aa",
	                                    "GET /f/{*rest}",
	                                    "GET /{a}/{b}/{c}",
	                                    NULL};
	static const struct ask asks[] = {
		{"GET /u/7", "GET /u/{id} id=7"},
		{"GET /u/a b", "GET /u/{id} id=a b"},
		{"GET /u/", "404"},
		{"GET /u", "404"},
		{"GET /u/7/", "404"},
		{"GET /u/7/x", "GET /u/{id}/x id=7"},
		{"GET /u//x", "404"},
		{"GET /img-1.png", "GET /img-{n}.png n=1"},
		{"GET /img-.png", "404"},
		{"GET /img-a.png.png", "GET /img-{n}.png n=a.png"},
		{"GET /img-1.jpg", "404"},
		{"GET /xmg-1.png", "404"},
		{"GET /img-1.png/", "404"},
		/* Prefix and suffix do not share bytes. */
		{"GET /aaa", "404"},
		{"GET /aaaa", "404"},
		{"GET /aaaaa", "GET /aa{x}aa x=a"},
		{"GET /f/", "GET /f/{*rest} rest="},
		{"GET /f", "404"},
		{"GET /f//", "GET /f/{*rest} rest=/"},
		{"GET /f/a/b/", "GET /f/{*rest} rest=a/b/"},
		{"GET /1/22/333", "GET /{a}/{b}/{c} a=1 b=22 c=333"},
		{"GET /1//3", "404"},
	};

	(void)state;
	CHECK(specs, asks);
}

static void test_root_parameters(void **state)
{
	static const char *const bare[] = {"GET /{a}", NULL};
	static const char *const rest[] = {"GET /{*a}", NULL};
	static const struct ask bare_asks[] = {
		{"GET /", "404"}, {"GET /x", "GET /{a} a=x"}, {"GET /x/", "404"}, {"GET x", "404"}};
	static const struct ask rest_asks[] = {{"GET /", "GET /{*a} a="},
	                                       {"GET /x/y", "GET /{*a} a=x/y"},
	                                       {"GET //", "GET /{*a} a=/"},
	                                       {"GET *", "404"},
	                                       {"GET ", "404"}};

	(void)state;
	CHECK(bare, bare_asks);
	CHECK(rest, rest_asks);
}

static void test_sixteen(void **state)
{
	static const char *const specs[] = {
		"GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{*p}", NULL};
	struct tako__table *t = build(specs);
	char text[512];

	(void)state;
	answer(t, "GET /1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", 0, text, sizeof(text));
	assert_non_null(strstr(text, " a=1 b=2 c=3 "));
	assert_non_null(strstr(text, " o=15 p=16/17"));
	tako__table_free(t);
}

/* An encoded slash is part of the segment, whatever matches it. */
static void test_marks(void **state)
{
	static const char *const specs[] = {"GET /u/{id}", "GET /u/{id:alnum}/x",
	                                    "GET /a{x}z",  "GET /f/{*rest}",
	                                    "GET /a/b",    NULL};
	static const struct {
		const char *raw;
		const char *want;
	} asks[] = {
		{"/u/a%2Fb", "GET /u/{id} id=a/b"},
		{"/u/%2F", "GET /u/{id} id=/"},
		{"/u%2Fa", "404"},
		{"/u/a%2Fb/x", "404"},
		{"/u/ab/x", "GET /u/{id:alnum}/x id=ab"},
		{"/a%2Fz", "GET /a{x}z x=/"},
		{"/f/a%2Fb/c", "GET /f/{*rest} rest=a/b/c"},
		{"/a%2Fb", "404"},
		{"/a/b", "GET /a/b"},
		{"/%61/%62", "GET /a/b"},
		{"/x/../a/%2e/b", "GET /a/b"},
	};
	struct tako__table *t = build(specs);

	(void)state;
	for (size_t i = 0; i < COUNT(asks); i++) {
		char path[64];
		char text[128] = "404";
		struct tako__match m;
		size_t n;

		assert_true(tako__path_normalise(path, &n, asks[i].raw, strlen(asks[i].raw)) >= 0);
		if (tako__match(t, TAKO__GET, TAKO_STR("GET"), (tako_str){NULL, 0},
		                (tako_str){path, n}, 0, &m) == TAKO__FOUND) {
			snprintf(text, sizeof(text), "%s", (const char *)m.ep->arg);
			tako__path_unmark(path, n);
			append_params(text, sizeof(text), path, &m);
		}
		if (strcmp(text, asks[i].want) != 0)
			fail_msg("%s: %s", asks[i].raw, text);
	}
	tako__table_free(t);
}

/* ---- Precedence -------------------------------------------------------------------- */

static void test_precedence(void **state)
{
	static const char *const specs[] = {"GET /s/{*rest}",   "GET /s/{any}",
	                                    "GET /s/x{a}",      "GET /s/xy{a}",
	                                    "GET /s/x{a}z",     "GET /s/{n:u64}",
	                                    "GET /s/{n:i64}",   "GET /s/{n:hex}",
	                                    "GET /s/xyz",       "GET /s/{n:alnum}",
	                                    "GET /s/{n:alpha}", "GET /s/x{n:u64}",
	                                    "GET /s/{n:uuid}",  NULL};
	static const struct ask asks[] = {
		{"GET /s/xyz", "GET /s/xyz"},
		{"GET /s/42", "GET /s/{n:u64} n=42"},
		{"GET /s/-42", "GET /s/{n:i64} n=-42"},
		{"GET /s/4f", "GET /s/{n:hex} n=4f"},
		{"GET /s/ff", "GET /s/{n:hex} n=ff"},
		{"GET /s/fg", "GET /s/{n:alpha} n=fg"},
		{"GET /s/fg1", "GET /s/{n:alnum} n=fg1"},
		{"GET /s/x1", "GET /s/x{n:u64} n=1"},
		{"GET /s/x-", "GET /s/x{a} a=-"},
		{"GET /s/xy-", "GET /s/xy{a} a=-"},
		{"GET /s/x-z", "GET /s/x{a}z a=-"},
		{"GET /s/xy-z", "GET /s/xy{a} a=-z"},
		{"GET /s/-", "GET /s/{any} any=-"},
		{"GET /s/", "GET /s/{*rest} rest="},
		{"GET /s/-/-", "GET /s/{*rest} rest=-/-"},
		{"GET /s/123e4567-e89b-12d3-a456-426614174000",
	         "GET /s/{n:uuid} n=123e4567-e89b-12d3-a456-426614174000"},
	};
	static const char *const chain[] = {"GET /s/x{n:u64} n=1",    "GET /s/{n:alnum} n=x1",
	                                    "GET /s/x{a} a=1",        "GET /s/{any} any=x1",
	                                    "GET /s/{*rest} rest=x1", NULL};
	struct tako__table *t = build(specs);

	(void)state;
	expect(t, asks, COUNT(asks));
	expect_chain(t, "GET /s/x1", chain);
	tako__table_free(t);
}

/* What the first segment is decides before the second is looked at; but a better first segment
 * that leads nowhere is given up. */
static void test_left_to_right(void **state)
{
	static const char *const specs[] = {
		"GET /a/{x}", "GET /{x}/b",     "GET /{x:alpha}/{y:u64}",
		"GET /a/c/d", "GET /{x}/c/{y}", "GET /{*x}",
		NULL};
	static const struct ask asks[] = {
		{"GET /a/b", "GET /a/{x} x=b"},
		{"GET /b/b", "GET /{x}/b x=b"},
		{"GET /a/1", "GET /a/{x} x=1"},
		{"GET /b/1", "GET /{x:alpha}/{y:u64} x=b y=1"},
		{"GET /a/c/d", "GET /a/c/d"},
		{"GET /a/c/e", "GET /{x}/c/{y} x=a y=e"},
		{"GET /a/c/d/", "GET /{*x} x=a/c/d/"},
		{"GET /a/c/", "GET /{*x} x=a/c/"},
	};
	static const char *const chain[] = {"GET /a/c/d", "GET /{x}/c/{y} x=a y=d",
	                                    "GET /{*x} x=a/c/d", NULL};
	struct tako__table *t = build(specs);

	(void)state;
	expect(t, asks, COUNT(asks));
	expect_chain(t, "GET /a/c/d", chain);
	tako__table_free(t);
}

/* Back through several levels, with the parameters of the branch that is taken in the end. */
static void test_backtracking(void **state)
{
	static const char *const specs[] = {"GET /{a}/{b}/{c}/x", "GET /{a:u64}/{b:u64}/{c:u64}/y",
	                                    "GET /{a:u64}/{b}/p{c}/z", "GET /1/2/p3/w", NULL};
	static const struct ask asks[] = {
		{"GET /1/2/3/x", "GET /{a}/{b}/{c}/x a=1 b=2 c=3"},
		{"GET /1/2/3/y", "GET /{a:u64}/{b:u64}/{c:u64}/y a=1 b=2 c=3"},
		{"GET /1/2/p3/z", "GET /{a:u64}/{b}/p{c}/z a=1 b=2 c=3"},
		{"GET /1/2/p3/x", "GET /{a}/{b}/{c}/x a=1 b=2 c=p3"},
		{"GET /1/2/p3/w", "GET /1/2/p3/w"},
		{"GET /1/2/3/z", "404"},
	};

	(void)state;
	CHECK(specs, asks);
}

/* ---- Methods ----------------------------------------------------------------------- */

static void test_methods(void **state)
{
	static const char *const specs[] = {"GET /get",       "POST /post", "HEAD /head",
	                                    "GET /own",       "HEAD /own",  "* /any",
	                                    "GET /both",      "* /both",    "PROPFIND /dav",
	                                    "PROPPATCH /dav", "* /davany",  "PURGE /davany",
	                                    "OPTIONS /opt",   "GET /opt",   "DELETE /many",
	                                    "PATCH /many",    "PUT /many",  NULL};
	static const struct ask asks[] = {
		{"GET /get", "GET /get"},
		{"HEAD /get", "GET /get"},
		{"POST /get", "405 GET, HEAD, OPTIONS"},
		{"get /get", "405 GET, HEAD, OPTIONS"},
		{"PROPFIND /get", "405 GET, HEAD, OPTIONS"},
		{"OPTIONS /get", "options GET, HEAD, OPTIONS"},
		{"HEAD /post", "405 POST, OPTIONS"},
		{"GET /head", "405 HEAD, OPTIONS"},
		{"HEAD /own", "HEAD /own"},
		{"GET /own", "GET /own"},
		{"POST /own", "405 GET, HEAD, OPTIONS"},
		{"DELETE /any", "* /any"},
		{"OPTIONS /any", "* /any"},
		{"BREW /any", "* /any"},
		{"GET /both", "GET /both"},
		{"HEAD /both", "GET /both"},
		{"POST /both", "* /both"},
		{"PROPFIND /dav", "PROPFIND /dav"},
		{"PROPPATCH /dav", "PROPPATCH /dav"},
		{"PROPGET /dav", "405 OPTIONS, PROPFIND, PROPPATCH"},
		{"GET /dav", "405 OPTIONS, PROPFIND, PROPPATCH"},
		{"OPTIONS /dav", "options OPTIONS, PROPFIND, PROPPATCH"},
		{"PURGE /davany", "PURGE /davany"},
		{"GET /davany", "* /davany"},
		{"OPTIONS /opt", "OPTIONS /opt"},
		{"PUT /opt", "405 GET, HEAD, OPTIONS"},
		{"GET /many", "405 PUT, DELETE, PATCH, OPTIONS"},
		{"OPTIONS /none", "404"},
		{"OPTIONS *", "options GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, PROPFIND, "
	                      "PROPPATCH, PURGE"},
		{"GET *", "404"},
	};
	static const char *const chain[] = {"GET /both", "* /both", NULL};
	static const char *const dav[] = {"PURGE /davany", "* /davany", NULL};
	struct tako__table *t = build(specs);

	(void)state;
	expect(t, asks, COUNT(asks));
	expect_chain(t, "HEAD /both", chain);
	expect_chain(t, "PURGE /davany", dav);
	tako__table_free(t);
}

/* A better pattern without the method does not hide a worse one with it; what nobody has is
 * told for all of them together. */
static void test_methods_across_patterns(void **state)
{
	static const char *const specs[] = {"GET /u/{id:u64}", "POST /u/{name}", "PURGE /u/{*all}",
	                                    "HEAD /u/x",       "GET /u/{name}",  NULL};
	static const struct ask asks[] = {
		{"GET /u/1", "GET /u/{id:u64} id=1"},
		{"POST /u/1", "POST /u/{name} name=1"},
		{"PURGE /u/1", "PURGE /u/{*all} all=1"},
		{"PUT /u/1", "405 GET, HEAD, POST, OPTIONS, PURGE"},
		{"OPTIONS /u/1", "options GET, HEAD, POST, OPTIONS, PURGE"},
		{"PUT /u/1/2", "405 OPTIONS, PURGE"},
		{"HEAD /u/x", "HEAD /u/x"},
		{"GET /u/x", "GET /u/{name} name=x"},
		{"PUT /v", "404"},
	};

	(void)state;
	CHECK(specs, asks);
}

static void test_options_asterisk(void **state)
{
	static const char *const some[] = {"GET /a", "PUT /b/{x}", NULL};
	static const char *const none[] = {NULL};
	static const char *const any[] = {"* /a", "PURGE /b", NULL};
	static const struct ask any_asks[] = {
		{"OPTIONS *", "options GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, PURGE"}};
	static const struct ask some_asks[] = {{"OPTIONS *", "options GET, HEAD, PUT, OPTIONS"},
	                                       {"OPTIONS **", "404"}};
	static const struct ask none_asks[] = {{"OPTIONS *", "options OPTIONS"}};

	(void)state;
	CHECK(some, some_asks);
	CHECK(none, none_asks);
	CHECK(any, any_asks);
}

/* ---- Fallback ------------------------------------------------------------------------ */

static void test_fallback(void **state)
{
	static const char *const chain[] = {"GET /a", "GET /{x} x=a", "fallback", NULL};
	static const char *const none[] = {"fallback", NULL};
	static const struct ask asks[] = {
		{"POST /a", "405 GET, HEAD, OPTIONS"},
		{"OPTIONS /a", "options GET, HEAD, OPTIONS"},
		{"OPTIONS /a/b", "fallback"},
		{"OPTIONS *", "options GET, HEAD, OPTIONS"},
		{"GET *", "fallback"},
		{"CONNECT ", "fallback"},
	};
	tako_router *router = tako_router_new();
	struct tako__table *t;

	(void)state;
	add(router, "GET /a");
	add(router, "GET /{x}");
	tako_fallback(router, handler, "fallback");
	t = freeze(router);
	expect(t, asks, COUNT(asks));
	expect_chain(t, "GET /a", chain);
	expect_chain(t, "GET /", none);
	tako__table_free(t);
}

/* ---- Redirects ------------------------------------------------------------------------- */

static void test_redirects(void **state)
{
	static const struct ask asks[] = {
		{"GET /on/a", "GET /on/a"},
		{"GET /on/a/", "-/"},
		{"HEAD /on/a/", "-/"},
		{"POST /on/a/", "fallback"},
		{"OPTIONS /on/a/", "fallback"},
		{"GET /on/a//", "fallback"},
		{"GET /on/b", "+/"},
		{"GET /on/b/", "GET /on/b/"},
		{"GET /on/b//", "-/"},
		{"GET /on/c/7/", "-/"},
		{"GET /on/c/7", "GET /on/c/{id:u64} id=7"},
		{"GET /on/c/x/", "fallback"},
		{"GET /on/d/7", "+/"},
		{"GET /on/f", "+/"},
		{"GET /on/f/x", "GET /on/f/{*p} p=x"},
		{"GET /on/f/x/", "GET /on/f/{*p} p=x/"},
		{"PURGE /on/p/", "-/"},
		{"GET /on/p/", "fallback"},
		{"BREW /on/any", "+/"},
		{"OPTIONS /on/any", "+/"},
		/* The other form wins over 405, not over what automatic OPTIONS says. */
		{"GET /on/q", "+/"},
		{"PUT /on/q", "405 POST, OPTIONS"},
		{"OPTIONS /on/q", "options POST, OPTIONS"},
		{"GET /on/off/a/", "fallback"},
		{"GET /off/", "fallback"},
		{"GET /", "fallback"},
		{"GET //", "fallback"},
		{"GET ", "fallback"},
		{"GET *", "fallback"},
	};
	tako_router *router = tako_router_new();
	tako_router *on = tako_group(router, "/on");
	tako_router *off = tako_group(on, "/off");
	struct tako__table *t;

	(void)state;
	tako_redirect_slash(on, true);
	tako_redirect_slash(off, false);
	tako_fallback(router, handler, "fallback");
	tako_get(on, "/a", handler, "GET /on/a");
	tako_get(tako_group(on, ""), "/b/", handler, "GET /on/b/");
	tako_get(on, "/c/{id:u64}", handler, "GET /on/c/{id:u64}");
	tako_get(on, "/d/{id}/", handler, "d");
	tako_get(on, "/f/{*p}", handler, "GET /on/f/{*p}");
	tako_route(on, "PURGE", "/p", handler, "p");
	tako_any(on, "/any/", handler, "any");
	tako_get(on, "/q/", handler, "q");
	tako_post(on, "/q", handler, "q");
	tako_get(off, "/a", handler, "off");
	add(router, "GET /off");
	t = freeze(router);
	expect(t, asks, COUNT(asks));
	tako__table_free(t);
}

static void test_root_redirect(void **state)
{
	static const struct ask asks[] = {
		{"GET /", "GET /"}, {"GET //", "-/"}, {"GET /x/", "-/"}, {"GET ", "404"}};
	static const char *const passed[] = {"GET /", NULL};
	tako_router *router = tako_router_new();
	struct tako__table *t;

	(void)state;
	tako_redirect_slash(router, true);
	add(router, "GET /");
	add(router, "GET /{x}");
	t = freeze(router);
	expect(t, asks, COUNT(asks));
	expect_chain(t, "GET /", passed);
	tako__table_free(t);
}

/* A path that is too long to be copied is not redirected to its longer form. */
static void test_long_redirect(void **state)
{
	tako_router *router = tako_router_new();
	static char path[10000];
	struct tako__match m;
	struct tako__table *t;

	(void)state;
	tako_redirect_slash(router, true);
	add(router, "GET /{x}/");
	add(router, "GET /a/{x}");
	t = freeze(router);
	for (size_t n = 8180; n < 8200; n++) {
		memset(path, 'a', sizeof(path));
		path[0] = '/';
		assert_int_equal(tako__match(t, TAKO__GET, TAKO_STR("GET"), (tako_str){NULL, 0},
		                             (tako_str){path, n}, 0, &m),
		                 n < 8192 ? TAKO__SLASH_ADD : TAKO__NOT_FOUND);
		path[2] = '/';
		path[n - 1] = '/';
		assert_int_equal(tako__match(t, TAKO__GET, TAKO_STR("GET"), (tako_str){NULL, 0},
		                             (tako_str){path, n}, 0, &m),
		                 TAKO__SLASH_REMOVE);
	}
	tako__table_free(t);
}

/* ---- Allow -------------------------------------------------------------------------------- */

static void test_allow_is_bounded(void **state)
{
	static const char *const specs[] = {"GET /a", "PROPFIND /a", NULL};
	static const char want[] = "GET, HEAD, OPTIONS, PROPFIND";
	struct tako__table *t = build(specs);
	struct tako__match m;
	char buf[64];
	size_t need;

	(void)state;
	assert_int_equal(tako__match(t, TAKO__PUT, TAKO_STR("PUT"), (tako_str){NULL, 0},
	                             TAKO_STR("/a"), 0, &m),
	                 TAKO__BAD_METHOD);
	need = sizeof(want) - 1;
	assert_true(tako__allow_bytes_max(t) >= need);
	for (size_t n = 0; n <= need + 1; n++) {
		memset(buf, '#', sizeof(buf));
		assert_int_equal(tako__allow_format(t, &m, buf, n), need);
		if (n >= need)
			assert_memory_equal(buf, want, need);
		for (size_t i = n >= need ? need : 0; i < sizeof(buf); i++)
			assert_int_equal(buf[i], '#');
	}
	tako__table_free(t);
}

/* Every method that a table can hold, in one leaf. */
static void test_allow_full(void **state)
{
	tako_router *router = tako_router_new();
	struct tako__match m;
	struct tako__table *t;
	char name[40];
	char buf[4096];
	size_t n;

	(void)state;
	for (unsigned i = 0; i < TAKO__METHOD_COUNT; i++) {
		if (i != TAKO__PUT)
			tako_route(router, tako__method_name(i), "/a", handler, NULL);
	}
	for (int i = 0; i < TAKO__ALLOW_METHODS_MAX - TAKO__METHOD_COUNT; i++) {
		snprintf(name, sizeof(name), "METHOD-OF-THIRTY-TWO-BYTES-%05d", i);
		tako_route(router, name, "/a", handler, NULL);
	}
	t = freeze(router);
	assert_int_equal(tako__match(t, TAKO__PUT, TAKO_STR("PUT"), (tako_str){NULL, 0},
	                             TAKO_STR("/a"), 0, &m),
	                 TAKO__BAD_METHOD);
	n = tako__allow_format(t, &m, buf, sizeof(buf));
	assert_true(n <= tako__allow_bytes_max(t));
	buf[n] = '\0';
	assert_int_equal(strncmp(buf, "GET, HEAD, POST, DELETE, ", 25), 0);
	assert_string_equal(buf + n - 34, ", METHOD-OF-THIRTY-TWO-BYTES-00054");
	assert_null(strstr(buf, "PUT"));
	tako__table_free(t);
}

/* ---- Cost ----------------------------------------------------------------------------------- */

static double cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

/* Twelve levels of four kinds of parameter that all take "aa": 4^12 ways for who tries them all.
 * The 48 nodes of a level-by-level tree would be too few: every branch has its own. */
static void test_no_explosion_deep(void **state)
{
	static const char *const kinds[] = {"{p%d:alpha}", "a{p%d}", "{p%d}a", "{p%d}"};
	enum { LEVELS = 12, ROUTES = 3000 };
	tako_router *router = tako_router_new();
	struct tako__match m;
	struct tako__table *t;
	uint32_t seed = 7;
	char path[128] = "";
	double before;

	(void)state;
	for (int r = 0; r < ROUTES; r++) {
		char pattern[256];
		size_t n = 0;

		for (int level = 0; level < LEVELS; level++) {
			char segment[32];

			seed = seed * 1664525u + 1013904223u;
			snprintf(segment, sizeof(segment), kinds[seed >> 30], level);
			n += (size_t)snprintf(pattern + n, sizeof(pattern) - n, "/%s", segment);
		}
		snprintf(pattern + n, sizeof(pattern) - n, "/end%d", r);
		tako_get(router, pattern, handler, NULL);
	}
	t = freeze(router);
	for (size_t level = 0; level < LEVELS; level++)
		snprintf(path + 3 * level, sizeof(path) - 3 * level, "/aa/none");
	before = cpu_ms();
	for (int i = 0; i < 10; i++)
		assert_int_equal(tako__match(t, TAKO__GET, TAKO_STR("GET"), (tako_str){NULL, 0},
		                             tako_str_z(path), 0, &m),
		                 TAKO__NOT_FOUND);
	/* Some 30,000 nodes, each twice at most; a second is for machines under any checker. */
	assert_true((cpu_ms() - before) / 10 < 1000);
	tako__table_free(t);
}

/* Thousands of prefixes and suffixes at one place, and a segment that nearly fits them all. */
static void test_no_explosion_wide(void **state)
{
	enum { ROUTES = 4000 };
	tako_router *router = tako_router_new();
	struct tako__match m;
	struct tako__table *t;
	static char path[3000];
	double before;

	(void)state;
	for (int r = 0; r < ROUTES; r++) {
		char pattern[64];

		snprintf(pattern, sizeof(pattern), "/aaaaaaaa{x}bbbbbbbb%d/y", r);
		tako_get(router, pattern, handler, NULL);
	}
	t = freeze(router);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	memcpy(path + 2000, "bbbbbbbb7777/y", 15);
	before = cpu_ms();
	assert_int_equal(tako__match(t, TAKO__GET, TAKO_STR("GET"), (tako_str){NULL, 0},
	                             tako_str_z(path), 0, &m),
	                 TAKO__NOT_FOUND);
	memcpy(path + 2000, "bbbbbbbb3777/y", 15);
	assert_int_equal(tako__match(t, TAKO__GET, TAKO_STR("GET"), (tako_str){NULL, 0},
	                             tako_str_z(path), 0, &m),
	                 TAKO__FOUND);
	assert_true(cpu_ms() - before < 1000);
	tako__table_free(t);
}

/* The deepest tree that patterns can make: nothing recurses. */
static void test_deep_path(void **state)
{
	tako_router *router = tako_router_new();
	static char pattern[4097];
	static char path[32768];
	struct tako__match m;
	struct tako__table *t;

	(void)state;
	for (size_t i = 0; i < 4096; i++)
		pattern[i] = i % 2 ? 'a' : '/';
	/* Every length of it is a route, so that every segment is a node; and each could be a
	 * parameter instead. */
	for (size_t n = 2; n <= 4096; n += 2) {
		char kept = pattern[n];

		pattern[n] = '\0';
		tako_get(router, pattern, handler, NULL);
		if (n > 2 && n < 4090) {
			snprintf(path, sizeof(path), "%.*s{x}", (int)n - 1, pattern);
			tako_get(router, path, handler, NULL);
		}
		pattern[n] = kept;
	}
	t = freeze(router);
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? 'a' : '/';
	assert_int_equal(tako__match(t, TAKO__GET, TAKO_STR("GET"), (tako_str){NULL, 0},
	                             (tako_str){path, 4096}, 0, &m),
	                 TAKO__FOUND);
	assert_int_equal(m.ep->pattern.n, 4096);
	assert_int_equal(tako__match(t, TAKO__GET, TAKO_STR("GET"), (tako_str){NULL, 0},
	                             (tako_str){path, sizeof(path)}, 0, &m),
	                 TAKO__NOT_FOUND);
	tako__table_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_many_children),
		cmocka_unit_test(test_some_children),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_root_parameters),
		cmocka_unit_test(test_sixteen),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_left_to_right),
		cmocka_unit_test(test_backtracking),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_methods_across_patterns),
		cmocka_unit_test(test_options_asterisk),
		cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_root_redirect),
		cmocka_unit_test(test_long_redirect),
		cmocka_unit_test(test_allow_is_bounded),
		cmocka_unit_test(test_allow_full),
		cmocka_unit_test(test_no_explosion_deep),
		cmocka_unit_test(test_no_explosion_wide),
		cmocka_unit_test(test_deep_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Queries, forms and cookies: tables of what real clients send and of what must not pass.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/query.h"
#include "failalloc.h"

static struct tako__arena arena;

static int fresh(void **state)
{
	(void)state;
	failalloc_arm(0);
	tako__arena_init(&arena, NULL, 0);
	return 0;
}

static int no_leaks(void **state)
{
	(void)state;
	tako__arena_fini(&arena);
	return failalloc_live() || failalloc_wrong();
}

/* What was found, as "[name=value][name=value]", to be compared with a literal. */
struct seen {
	char text[512];
	size_t n;
	int stop_after; /* pairs; then 42 is returned */
	int count;
};

static int note(tako_str name, tako_str value, void *arg)
{
	struct seen *s = arg;

	assert_non_null(name.p);
	assert_non_null(value.p);
	s->n += (size_t)snprintf(s->text + s->n, sizeof(s->text) - s->n, "[%.*s=%.*s]",
	                         TAKO_FMT(name), TAKO_FMT(value));
	return ++s->count == s->stop_after ? 42 : 0;
}

/* ---- Queries and forms ------------------------------------------------------- */

/* Escapes and "+" as in the urlencoded parser of the URL Standard, 5.1, except that a bad
 * escape is an error; "%" HEXDIG HEXDIG is RFC 3986 section 2.1. */
static void test_query_each(void **state)
{
	static const struct {
		const char *in;
		const char *want;
		int result;
	} table[] = {
		{"", "", 0},
		{"&", "", 0},
		{"&&&", "", 0},
		{"a=1", "[a=1]", 0},
		{"a=1&b=2", "[a=1][b=2]", 0},
		{"a=1&&b=2&", "[a=1][b=2]", 0},
		{"a", "[a=]", 0},
		{"a=", "[a=]", 0},
		{"=", "[=]", 0},
		{"=1", "[=1]", 0},
		{"a=b=c", "[a=b=c]", 0},
		{"a==", "[a==]", 0},
		{"a=1;b=2", "[a=1;b=2]", 0},
		{"a=1&a=2&a=1", "[a=1][a=2][a=1]", 0},
		{"a+b=c+d", "[a b=c d]", 0},
		{"a%20b=c%2Bd", "[a b=c+d]", 0},
		{"%61=%62", "[a=b]", 0},
		{"a%3D%26=%26%3d", "[a=&=&=]", 0},
		{"q=%E2%9C%93", "[q=\xe2\x9c\x93]", 0},
		{"q=\xe2\x9c\x93", "[q=\xe2\x9c\x93]", 0},
		{"a=?/:@!$'()*,", "[a=?/:@!$'()*,]", 0},
		{"%", "", TAKO_EINVAL},
		{"a=%", "", TAKO_EINVAL},
		{"a=%4", "", TAKO_EINVAL},
		{"a=%zz", "", TAKO_EINVAL},
		{"a=1&b=%u0041&c=3", "[a=1]", TAKO_EINVAL},
		{"a=1&%x=2", "[a=1]", TAKO_EINVAL},
		{"a=%4&b=1", "", TAKO_EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		struct seen s = {.n = 0};
		int result = tako__query_each(tako_str_z(table[i].in), &arena, note, &s);

		if (result != table[i].result || strcmp(s.text, table[i].want) != 0)
			fail_msg("\"%s\": %d, \"%s\"", table[i].in, result, s.text);
	}
}

static void test_query_absent(void **state)
{
	static const tako_str absent;
	struct seen s = {.n = 0};
	tako_str v;

	(void)state;
	assert_int_equal(tako__query_each(absent, &arena, note, &s), 0);
	assert_int_equal(s.count, 0);
	assert_int_equal(tako__query_get(absent, TAKO_STR("a"), &arena, &v), TAKO_ENOENT);
}

static void test_query_each_stops(void **state)
{
	struct seen s = {.stop_after = 2};

	(void)state;
	assert_int_equal(tako__query_each(TAKO_STR("a=1&b=2&c=3"), &arena, note, &s), 42);
	assert_string_equal(s.text, "[a=1][b=2]");
}

static void test_query_get(void **state)
{
	static const char query[] =
		"x=1&na+me=a%20b&%6eame=plain&name=second&empty=&flag&bad=%&%=1&n";
	static const struct {
		const char *name;
		const char *want;
		int result;
	} table[] = {
		{"x", "1", 0},
		{"na me", "a b", 0},
		{"name", "plain", 0}, /* the first one, however it is written */
		{"empty", "", 0},
		{"flag", "", 0},
		{"n", "", 0},
		{"bad", NULL, TAKO_EINVAL},
		{"%", NULL, TAKO_ENOENT}, /* a malformed name is nobody's */
		{"X", NULL, TAKO_ENOENT}, /* case counts */
		{"nam", NULL, TAKO_ENOENT},
		{"names", NULL, TAKO_ENOENT},
		{"na+me", NULL, TAKO_ENOENT},
		{"%6eame", NULL, TAKO_ENOENT},
		{"", NULL, TAKO_ENOENT},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str v = {NULL, 0};
		int result = tako__query_get(tako_str_z(query), tako_str_z(table[i].name), &arena,
		                             &v);

		if (result != table[i].result)
			fail_msg("\"%s\": %d", table[i].name, result);
		assert_true(tako_str_eq(v, tako_str_z(table[i].want)));
	}
}

static void test_query_get_all(void **state)
{
	tako_str rest = TAKO_STR("a=1&b=2&%61=3+4&a&c=5");
	tako_str v;

	(void)state;
	assert_int_equal(tako__query_next(&rest, TAKO_STR("a"), &arena, &v), 0);
	assert_true(tako_str_eq(v, TAKO_STR("1")));
	assert_int_equal(tako__query_next(&rest, TAKO_STR("a"), &arena, &v), 0);
	assert_true(tako_str_eq(v, TAKO_STR("3 4")));
	assert_int_equal(tako__query_next(&rest, TAKO_STR("a"), &arena, &v), 0);
	assert_true(tako_str_eq(v, TAKO_STR("")));
	assert_int_equal(tako__query_next(&rest, TAKO_STR("a"), &arena, &v), TAKO_ENOENT);
	assert_int_equal(tako__query_next(&rest, TAKO_STR("a"), &arena, &v), TAKO_ENOENT);
}

/* Plain values are views of what was received; escaped ones cost memory, which may lack. */
static void test_query_memory(void **state)
{
	static const char query[] = "plain=value&escaped=a%20b";
	struct seen s = {.n = 0};
	tako_str v;

	(void)state;
	assert_int_equal(tako__query_get(tako_str_z(query), TAKO_STR("plain"), &arena, &v), 0);
	assert_ptr_equal(v.p, query + 6);
	assert_int_equal(failalloc_count(), 0);
	failalloc_arm_from(1);
	assert_int_equal(tako__query_get(tako_str_z(query), TAKO_STR("escaped"), &arena, &v),
	                 TAKO_ENOMEM);
	assert_int_equal(tako__query_each(tako_str_z(query), &arena, note, &s), TAKO_ENOMEM);
	assert_string_equal(s.text, "[plain=value]");
	failalloc_arm(0);
	assert_int_equal(tako__query_get(tako_str_z(query), TAKO_STR("escaped"), &arena, &v), 0);
	assert_true(tako_str_eq(v, TAKO_STR("a b")));
}

/* A decoded NUL is a byte like any other, and nothing is compared or cut as a C string. */
static void test_query_nul(void **state)
{
	tako_str v;

	(void)state;
	assert_int_equal(tako__query_get(TAKO_STR("a%00b=1%002"), TAKO_STR("a\0b"), &arena, &v), 0);
	assert_true(tako_str_eq(v, TAKO_STR("1\0002")));
	assert_int_equal(tako__query_get(TAKO_STR("a%00b=1"), TAKO_STR("a"), &arena, &v),
	                 TAKO_ENOENT);
}

/* Nothing is read past the end, in blocks of just the size. */
static void test_query_bounds(void **state)
{
	static const char query[] = "a%41";

	(void)state;
	for (size_t n = 1; n <= 4; n++) {
		char *copy = malloc(n);
		tako_str v;

		memcpy(copy, query, n);
		assert_int_equal(tako__query_get((tako_str){copy, n}, TAKO_STR("aA"), &arena, &v),
		                 n == 4 ? 0 : TAKO_ENOENT);
		assert_int_equal(tako__query_get((tako_str){copy, n}, TAKO_STR("aAx"), &arena, &v),
		                 TAKO_ENOENT);
		free(copy);
	}
}

/* ---- Cookies: reading ----------------------------------------------------------- */

static const char *read_cookies(tako_str field)
{
	static struct seen s;
	tako_str name;
	tako_str value;

	s = (struct seen){.n = 0};
	while (tako__cookie_next(&field, &name, &value))
		note(name, value, &s);
	return s.text;
}

static void test_cookie_next(void **state)
{
	static const struct {
		const char *in;
		const char *want;
	} table[] = {
		/* RFC 6265 section 4.2.1: cookie-string = cookie-pair *( ";" SP cookie-pair ) */
		{"", ""},
		{"a=1", "[a=1]"},
		{"a=1; b=2", "[a=1][b=2]"},
		{"SID=31d4d96e407aad42; lang=en-US", "[SID=31d4d96e407aad42][lang=en-US]"},
		{"a=", "[a=]"},
		{"a=b=c==", "[a=b=c==]"},
		/* Section 4.1.1: DQUOTE *cookie-octet DQUOTE */
		{"a=\"1\"; b=2", "[a=1][b=2]"},
		{"a=\"\"", "[a=]"},
		{"a=\"", "[a=\"]"},
		{"a=\"1", "[a=\"1]"},
		{"a=1\"", "[a=1\"]"},
		{"a=\"x\"y\"", "[a=x\"y]"},
		/* Not the grammar, but sent: no space, many, tabs, empty pairs, spaces in values. */
		{"a=1;b=2", "[a=1][b=2]"},
		{"  a = 1 ;\tb\t=\t2\t", "[a=1][b=2]"},
		{";;a=1;; ;b=2;", "[a=1][b=2]"},
		{"a=1, 2; b=x y", "[a=1, 2][b=x y]"},
		{"f[x]=1", "[f[x]=1]"},
		{"a=\xc3\xa9", "[a=\xc3\xa9]"},
		{"$Version=1; a=1; $Path=/", "[$Version=1][a=1][$Path=/]"},
		/* Section 5.2, as for Set-Cookie: without "=" or without a name there is no cookie. */
		{"a", ""},
		{"a; b=2", "[b=2]"},
		{"=1; b=2", "[b=2]"},
		{" =1; b=2", "[b=2]"},
		{"=", ""},
		/* A ";" between quotes still divides: nothing can be hidden in, or smuggled out of,
		 * a value. */
		{"a=\"x; b=2; c=\"y\"", "[a=\"x][b=2][c=y]"},
		/* Control characters make the pair void, not its neighbours. */
		{"a=1\r; b=2", "[b=2]"},
		{"a=1; b\x7f=2; c=3", "[a=1][c=3]"},
		{"a=\x01", ""},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		const char *got = read_cookies(tako_str_z(table[i].in));

		if (strcmp(got, table[i].want) != 0)
			fail_msg("\"%s\": \"%s\"", table[i].in, got);
	}
	assert_string_equal(read_cookies(TAKO_STR("a=1\0002; b=3")), "[b=3]");
	assert_string_equal(read_cookies((tako_str){NULL, 0}), "");
}

static void test_cookie_get(void **state)
{
	static const char field[] = "a=1; A=2; session=\"tok\"; a=3; ab=4";
	tako_str v;

	(void)state;
	assert_int_equal(tako__cookie_get(tako_str_z(field), TAKO_STR("a"), &v), 0);
	assert_true(tako_str_eq(v, TAKO_STR("1")));
	assert_int_equal(tako__cookie_get(tako_str_z(field), TAKO_STR("A"), &v), 0);
	assert_true(tako_str_eq(v, TAKO_STR("2")));
	assert_int_equal(tako__cookie_get(tako_str_z(field), TAKO_STR("session"), &v), 0);
	assert_true(tako_str_eq(v, TAKO_STR("tok")));
	assert_int_equal(tako__cookie_get(tako_str_z(field), TAKO_STR("b"), &v), TAKO_ENOENT);
	assert_int_equal(tako__cookie_get(tako_str_z(field), TAKO_STR(""), &v), TAKO_ENOENT);
	assert_int_equal(tako__cookie_get((tako_str){NULL, 0}, TAKO_STR("a"), &v), TAKO_ENOENT);
}

/* ---- Cookies: setting ------------------------------------------------------------ */

#define NOW INT64_C(784111777)

static void assert_cookie(const tako_cookie *c, int64_t now_s, const char *want)
{
	tako_str v = {NULL, 0};

	assert_int_equal(tako__cookie_format(c, now_s, &arena, &v), 0);
	if (!tako_str_eq(v, tako_str_z(want)))
		fail_msg("%.*s", TAKO_FMT(v));
}

/* RFC 6265 section 4.1.1 */
static void test_cookie_format(void **state)
{
	(void)state;
	assert_cookie(TAKO_COOKIE(.name = "a", .value = "1"), 0,
	              "a=1; Path=/; HttpOnly; SameSite=Lax");
	assert_cookie(TAKO_COOKIE(.name = "a"), 0, "a=; Path=/; HttpOnly; SameSite=Lax");
	assert_cookie(TAKO_COOKIE(.name = "a", .value = "\"q\""), 0,
	              "a=\"q\"; Path=/; HttpOnly; SameSite=Lax");
	assert_cookie(TAKO_COOKIE(.name = "a", .value = "1", .path = "/x y", .domain = ".ex-1.org",
	                          .same_site = "None", .max_age_s = 3600, .secure = 1,
	                          .script_readable = 1),
	              0, "a=1; Path=/x y; Domain=.ex-1.org; Max-Age=3600; Secure; SameSite=None");
	assert_cookie(
		TAKO_COOKIE(.name = "a", .value = "1", .max_age_s = 60, .same_site = "Strict"), NOW,
		"a=1; Path=/; Max-Age=60; Expires=Sun, 06 Nov 1994 08:50:37 GMT; HttpOnly; "
		"SameSite=Strict");
	assert_cookie(TAKO_COOKIE(.name = "a", .max_age_s = -1), NOW,
	              "a=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; "
	              "SameSite=Lax");
	assert_cookie(TAKO_COOKIE(.name = "a", .max_age_s = INT64_MIN), 0,
	              "a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
	assert_cookie(
		TAKO_COOKIE(.name = "a", .max_age_s = INT64_MAX), NOW,
		"a=; Path=/; Max-Age=9223372036854775807; Expires=Fri, 31 Dec 9999 23:59:59 GMT; "
		"HttpOnly; SameSite=Lax");
	assert_cookie(TAKO_COOKIE(.name = "__Host-a", .value = "1", .secure = 1), 0,
	              "__Host-a=1; Path=/; Secure; HttpOnly; SameSite=Lax");
	assert_cookie(TAKO_COOKIE(.name = "__Secure-a", .value = "1", .secure = 1, .path = "/x",
	                          .domain = "example.org"),
	              0,
	              "__Secure-a=1; Path=/x; Domain=example.org; Secure; HttpOnly; SameSite=Lax");
}

static void test_cookie_format_refuses(void **state)
{
	static const tako_cookie table[] = {
		/* cookie-name = token */
		{.name = NULL, .value = "1"},
		{.name = "", .value = "1"},
		{.name = "a b", .value = "1"},
		{.name = "a=b", .value = "1"},
		{.name = "a;b", .value = "1"},
		{.name = "a\r\nX-Evil: 1", .value = "1"},
		{.name = "\xc3\xa9", .value = "1"},
		/* cookie-value = *cookie-octet / ( DQUOTE *cookie-octet DQUOTE ) */
		{.name = "a", .value = "1;2"},
		{.name = "a", .value = "1, 2"},
		{.name = "a", .value = "x y"},
		{.name = "a", .value = "x\ty"},
		{.name = "a", .value = "1\r\nSet-Cookie: b=2"},
		{.name = "a", .value = "1\n"},
		{.name = "a", .value = "\x7f"},
		{.name = "a", .value = "a\\b"},
		{.name = "a", .value = "\""},
		{.name = "a", .value = "\"x"},
		{.name = "a", .value = "\"a\"b\""},
		{.name = "a", .value = "\xc3\xa9"},
		/* path-value = <any CHAR except CTLs or ";"> */
		{.name = "a", .value = "1", .path = ""},
		{.name = "a", .value = "1", .path = "x"},
		{.name = "a", .value = "1", .path = "/x; Domain=evil.example"},
		{.name = "a", .value = "1", .path = "/\r\nX: 1"},
		{.name = "a", .value = "1", .path = "/\x7f"},
		{.name = "a", .value = "1", .path = "/\xc3\xa9"},
		{.name = "a", .value = "1", .path = "/x "},
		/* domain-value = <subdomain> */
		{.name = "a", .value = "1", .domain = ""},
		{.name = "a", .value = "1", .domain = "."},
		{.name = "a", .value = "1", .domain = "a..b"},
		{.name = "a", .value = "1", .domain = "..a"},
		{.name = "a", .value = "1", .domain = "a."},
		{.name = "a", .value = "1", .domain = "a b"},
		{.name = "a", .value = "1", .domain = "a;b"},
		{.name = "a", .value = "1", .domain = "a\r\n"},
		{.name = "a", .value = "1", .domain = "a:80"},
		{.name = "a", .value = "1", .same_site = ""},
		{.name = "a", .value = "1", .same_site = "lax"},
		{.name = "a", .value = "1", .same_site = "Lax; x"},
		/* Refused by browsers. */
		{.name = "a", .value = "1", .same_site = "None"},
		{.name = "__Secure-a", .value = "1"},
		{.name = "__secure-A", .value = "1"},
		{.name = "__Host-a", .value = "1"},
		{.name = "__Host-a", .value = "1", .secure = 1, .path = "/x"},
		{.name = "__host-a", .value = "1", .secure = 1, .domain = "a.org"},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		tako_str v = {NULL, 0};

		if (tako__cookie_format(&table[i], 0, &arena, &v) != TAKO_EINVAL)
			fail_msg("row %zu: \"%.*s\"", i, TAKO_FMT(v));
		assert_null(v.p);
		assert_true(strlen(tako_last_error()) > 0);
	}
	assert_int_equal(failalloc_count(), 0);
}

static void test_cookie_format_sizes(void **state)
{
	static char big[5000];
	tako_cookie c = {.size = sizeof(c), .name = "a", .value = big};
	tako_str v;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[4095] = '\0';
	assert_int_equal(tako__cookie_format(&c, NOW, &arena, &v), 0);
	big[4095] = 'x';
	big[4096] = '\0';
	assert_int_equal(tako__cookie_format(&c, NOW, &arena, &v), TAKO_ETOOBIG);
	c.value = "1";
	c.domain = big;
	assert_int_equal(tako__cookie_format(&c, NOW, &arena, &v), TAKO_ETOOBIG);
	c.domain = NULL;
	c.path = big;
	big[0] = '/';
	assert_int_equal(tako__cookie_format(&c, NOW, &arena, &v), TAKO_ETOOBIG);
	/* All that can be long at once, filling what was allocated for it. */
	big[1024] = '\0';
	c.domain = big + 1;
	c.secure = 1;
	c.max_age_s = INT64_MAX;
	c.same_site = "Strict";
	tako__arena_fini(&arena); /* so that it gets a block of its own */
	assert_int_equal(tako__cookie_format(&c, NOW, &arena, &v), 0);
	c.domain = NULL;
	tako__arena_fini(&arena);
	failalloc_arm(1);
	assert_int_equal(tako__cookie_format(&c, NOW, &arena, &v), TAKO_ENOMEM);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fresh, no_leaks)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_query_each),          TEST(test_query_absent),
		TEST(test_query_each_stops),    TEST(test_query_get),
		TEST(test_query_get_all),       TEST(test_query_memory),
		TEST(test_query_nul),           TEST(test_query_bounds),
		TEST(test_cookie_next),         TEST(test_cookie_get),
		TEST(test_cookie_format),       TEST(test_cookie_format_refuses),
		TEST(test_cookie_format_sizes),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Host names: the keys of registered ones, and which of them a Host field or an authority asks
 * for (RFC 9110 section 7.2, RFC 3986 section 3.2).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/host.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *name;
	const char *key; /* NULL: refused */
} names[] = {
	{"example.com", "example.com"},
	{"Example.COM", "example.com"},
	{"example.com.", "example.com"},
	{"localhost", "localhost"},
	{"a_b-c.d", "a_b-c.d"},
	{"127.0.0.1", "127.0.0.1"},
	{"[::1]", "[::1]"},
	{"[FE80::1]", "[fe80::1]"},
	{"[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]"},
	{"*.example.com", ".example.com"},
	{"*.Example.com.", ".example.com"},
	{"*.com", ".com"},
	{"", NULL},
	{".", NULL},
	{"..", NULL},
	{"*", NULL},
	{"*.", NULL},
	{"*..", NULL},
	{"*.*.com", NULL},
	{"a.*.com", NULL},
	{"*a.com", NULL},
	{"a*.com", NULL},
	{".example.com", NULL},
	{"example..com", NULL},
	{"example.com..", NULL},
	{"example.com:80", NULL},
	{"http://example.com", NULL},
	{"example.com/a", NULL},
	{"exa mple.com", NULL},
	{"user@example.com", NULL},
	{"m\xc3\xbcller.de", NULL},
	{"::1", NULL},
	{"[::1]:80", NULL},
	{"[::1", NULL},
	{"[]", NULL},
	{"[:]", NULL},
	{"*.[::1]", NULL},
};

static void test_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		size_t len = strlen(names[i].name);
		char *key = malloc(len ? len : 1);
		size_t n = 0;
		int rc = tako__host_key(key, &n, names[i].name, len);

		if (!names[i].key && rc != TAKO_EINVAL)
			fail_msg("\"%s\" accepted", names[i].name);
		if (names[i].key &&
		    (rc || n != strlen(names[i].key) || memcmp(key, names[i].key, n) != 0))
			fail_msg("\"%s\" is %d, %.*s", names[i].name, rc, (int)n, key);
		free(key);
	}
}

static void test_length(void **state)
{
	char name[TAKO__HOST_MAX_BYTES + 1];
	char key[TAKO__HOST_MAX_BYTES + 1];
	size_t n;

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_int_equal(tako__host_key(key, &n, name, TAKO__HOST_MAX_BYTES), 0);
	assert_int_equal(tako__host_key(key, &n, name, sizeof(name)), TAKO_EINVAL);
}

static const char *const registered[] = {
	".com",           "example.com", ".example.com", "a.example.com",
	".b.example.com", "[::1]",       "localhost",    "10.0.0.1",
};

static const struct {
	const char *host;
	const char *want; /* NULL: none */
} asked[] = {
	{"example.com", "example.com"},
	{"EXAMPLE.com", "example.com"},
	{"example.com.", "example.com"},
	{"example.com:8080", "example.com"},
	{"example.com.:8080", "example.com"},
	{"example.com:", "example.com"},
	/* Exact before wildcards. */
	{"a.example.com", "a.example.com"},
	{"A.Example.Com:1", "a.example.com"},
	/* Any number of labels, but at least one; the longest wildcard first. */
	{"c.example.com", ".example.com"},
	{"c.a.example.com", ".example.com"},
	{"d.c.example.com", ".example.com"},
	{"b.example.com", ".example.com"},
	{"x.b.example.com", ".b.example.com"},
	{"x.y.B.example.com", ".b.example.com"},
	{"xb.example.com", ".example.com"},
	{"other.com", ".com"},
	{"notexample.com", ".com"},
	{"com", NULL},
	{"com.", NULL},
	{"example.org", NULL},
	{"localhost", "localhost"},
	{"localhost:80", "localhost"},
	{"x.localhost", NULL},
	{"10.0.0.1:80", "10.0.0.1"},
	{"[::1]", "[::1]"},
	{"[::1]:8443", "[::1]"},
	{"[::2]", NULL},
	{"::1", NULL},
	{"[::1", NULL},
	/* What only has the form of a wildcard's key. */
	{".example.com", NULL},
	{".com", NULL},
	{".", NULL},
	{"..", NULL},
	{":", NULL},
	{":80", NULL},
	{"", NULL},
	{"*.example.com", ".example.com"},
};

static void test_find(void **state)
{
	struct tako__host_entry v[COUNT(registered)];

	(void)state;
	for (size_t i = 0; i < COUNT(registered); i++)
		v[i] = (struct tako__host_entry){tako_str_z(registered[i]), registered[i]};
	tako__host_sort(v, COUNT(v));
	for (size_t i = 0; i < COUNT(asked); i++) {
		size_t n = strlen(asked[i].host);
		char *exact = malloc(n ? n : 1);
		const char *got;

		memcpy(exact, asked[i].host, n);
		got = tako__host_find(v, COUNT(v), (tako_str){exact, n});
		if (!asked[i].want ? got != NULL : !got || strcmp(got, asked[i].want) != 0)
			fail_msg("\"%s\" is for %s", asked[i].host, got ? got : "nobody");
		free(exact);
	}
	assert_null(tako__host_find(v, COUNT(v), (tako_str){NULL, 0}));
	assert_null(tako__host_find(v, 0, TAKO_STR("example.com")));
}

/* A host longer than any name is only looked at near its end. */
static void test_long_host(void **state)
{
	struct tako__host_entry v = {TAKO_STR(".example.com"), "found"};
	char host[20000];

	(void)state;
	memset(host, '.', sizeof(host));
	host[0] = 'a';
	snprintf(host + sizeof(host) - 14, 14, "x.example.com");
	host[sizeof(host) - 1] = '.';
	assert_non_null(tako__host_find(&v, 1, (tako_str){host, sizeof(host)}));
	host[sizeof(host) - 2] = 'n';
	assert_null(tako__host_find(&v, 1, (tako_str){host, sizeof(host)}));
}

/* Every one of many is found, and nothing else. */
static void test_many(void **state)
{
	enum { MANY = 500 };
	static char text[MANY][24];
	static struct tako__host_entry v[MANY];

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		snprintf(text[i], sizeof(text[i]), "%sh%zu.test", i % 3 ? "" : ".",
		         i * 7919 % 1000);
		v[i] = (struct tako__host_entry){tako_str_z(text[i]), text[i]};
	}
	tako__host_sort(v, MANY);
	for (size_t i = 0; i < MANY; i++) {
		char host[32];
		int n = snprintf(host, sizeof(host), "%s%s", text[i][0] == '.' ? "www" : "",
		                 text[i]);

		assert_ptr_equal(tako__host_find(v, MANY, (tako_str){host, (size_t)n}), text[i]);
		host[n - 1] = 'x';
		assert_null(tako__host_find(v, MANY, (tako_str){host, (size_t)n}));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys), cmocka_unit_test(test_length),
		cmocka_unit_test(test_find), cmocka_unit_test(test_long_host),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

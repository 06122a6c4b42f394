/* SPDX-License-Identifier: MIT
 *
 * Origins: which are the same, and what is none (RFC 6454 sections 4, 5 and 7).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transports/ws/ws_origin.h"

static bool same(const char *a, const char *b)
{
	struct tako__origin x, y;

	assert_int_equal(tako__origin_parse(&x, tako_str_z(a)), 0);
	assert_int_equal(tako__origin_parse(&y, tako_str_z(b)), 0);
	return tako__origin_eq(&x, &y);
}

static void compares(void **state)
{
	(void)state;
	assert_true(same("https://example.com", "HTTPS://Example.COM"));
	assert_true(same("https://example.com", "https://example.com:443"));
	assert_true(same("http://example.com:80", "http://example.com"));
	assert_true(same("http://[::1]:3000", "http://[::1]:3000"));
	assert_true(same("ws://a.example", "ws://a.example:80"));
	assert_true(same("app://a.example", "app://a.example"));
	assert_false(same("https://example.com", "http://example.com"));
	assert_false(same("https://example.com", "https://example.com:444"));
	assert_false(same("https://example.com", "https://example.com.evil.example"));
	assert_false(same("https://example.com", "https://www.example.com"));
	assert_false(same("http://[::1]", "http://[::1]:8080"));
	assert_false(same("app://a.example", "app://a.example:1"));
}

static void others_are_none(void **state)
{
	static const char *const cases[] = {
		"",
		"null",
		"*",
		"https://*.example.com",
		"example.com",
		"//example.com",
		"https:",
		"https://",
		"https:/example.com",
		"://example.com",
		"1http://example.com",
		"https://user@example.com",
		"https://example.com/",
		"https://example.com?q",
		"https://example.com:",
		"https://example.com:0",
		"https://example.com:0443",
		"https://example.com:65536",
		"https://example.com:443:1",
		"https://example.com:x",
		"https://[::1",
		"https://[::1]x",
		"https://a b",
		"https://a.example, https://b.example",
	};
	struct tako__origin o;

	(void)state;
	assert_true(tako__origin_parse(&o, (tako_str){NULL, 0}) < 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_int_equal(tako__origin_parse(&o, tako_str_z(cases[i])), TAKO_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares),
		cmocka_unit_test(others_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

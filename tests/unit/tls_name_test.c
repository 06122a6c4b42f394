/* SPDX-License-Identifier: MIT
 *
 * Which hosts a certificate's DNS names stand for (RFC 9525 section 6.3).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/tls/tls_name.h"

static void test_names(void **state)
{
	static const struct {
		const char *pattern;
		const char *host;
		bool fits;
	} cases[] = {
		{"example.org", "example.org", true},
		{"Example.ORG", "eXample.org", true},
		{"example.org", "example.org.", true},
		{"localhost", "localhost", true},
		{"example.org", "www.example.org", false},
		{"www.example.org", "example.org", false},
		{"example.org", "example.or", false},
		{"example.or", "example.org", false},
		{"*.example.org", "www.example.org", true},
		{"*.example.org", "WWW.example.org.", true},
		{"*.example.org", "example.org", false},
		{"*.example.org", "a.b.example.org", false},
		{"*.example.org", ".example.org", false},
		{"*.example.org", "www.example.net", false},
		{"*.org", "example.org", false},
		{"*", "localhost", false},
		{"*.", "a.", false},
		{"w*.example.org", "www.example.org", false},
		{"*w.example.org", "www.example.org", false},
		{"www.*.org", "www.example.org", false},
		{"*.*.org", "www.example.org", false},
		{"**.example.org", "www.example.org", false},
		{"", "", false},
		{"", "x", false},
		{"x", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (tako__tls_name_fits(cases[i].pattern, strlen(cases[i].pattern),
		                        cases[i].host) != cases[i].fits)
			fail_msg("%s for %s", cases[i].pattern, cases[i].host);
	}
	/* What ends in the middle for others does for nobody. */
	assert_false(tako__tls_name_fits("good.org\0.evil.org", 18, "good.org"));
	assert_false(tako__tls_name_fits("good.org\0", 9, "good.org"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Method numbers and names, and the token characters of RFC 9110 5.6.2.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/method.h"

static void test_names_round_trip(void **state)
{
	static const char *const want[] = {"GET",   "HEAD",    "POST",    "PUT",  "DELETE",
	                                   "PATCH", "OPTIONS", "CONNECT", "TRACE"};

	(void)state;
	assert_int_equal(TAKO__METHOD_COUNT, sizeof(want) / sizeof(want[0]));
	for (unsigned i = 0; i < TAKO__METHOD_COUNT; i++) {
		assert_string_equal(tako__method_name(i), want[i]);
		assert_int_equal(tako__method_id(want[i], strlen(want[i])), i);
	}
	assert_null(tako__method_name(TAKO__METHOD_OTHER));
	assert_null(tako__method_name(1000));
}

/* RFC 9110 9.1: methods are case-sensitive; and a prefix is not the method. */
static void test_others(void **state)
{
	static const char *const other[] = {"",      "G",       "GE",      "get",     "Get",
	                                    "GETS",  "PUTT",    "HEAT",    "POSH",    "PATCg",
	                                    "TRACk", "DELETf",  "OPTIONs", "CONNECt", "PROPFIND",
	                                    "LOCK",  "M-SEARCH"};

	(void)state;
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		assert_int_equal(tako__method_id(other[i], strlen(other[i])), TAKO__METHOD_OTHER);
}

static void test_token(void **state)
{
	static const char ok[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "abcdefghijklmnopqrstuvwxyz";
	int accepted = 0;

	(void)state;
	for (int c = 0; c < 256; c++) {
		char one = (char)c;
		bool want = memchr(ok, c, sizeof(ok) - 1) != NULL;

		assert_int_equal(tako__is_token(&one, 1), want);
		accepted += want;
	}
	assert_int_equal(accepted, 77);
	assert_true(tako__is_token(ok, sizeof(ok) - 1));
	assert_false(tako__is_token("a b", 3));
	assert_false(tako__is_token("", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_round_trip),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * grpc-timeout as a table: what is a duration, and what is none.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/grpc/grpc_timeout.h"

static void durations(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} rows[] = {
		{"1n", 1},
		{"0n", 0},
		{"00000001S", 1000000000},
		{"250u", 250000},
		{"100m", 100000000},
		{"1S", 1000000000},
		{"2M", UINT64_C(120000000000)},
		{"3H", UINT64_C(10800000000000)},
		{"007S", UINT64_C(7000000000)},
		{"99999999n", 99999999},
		{"99999999u", UINT64_C(99999999000)},
		{"99999999m", UINT64_C(99999999000000)},
		{"99999999S", UINT64_C(99999999000000000)},
		{"99999999M", UINT64_C(5999999940000000000)},
		/* More than there are: as long as can be said, never a short one. */
		{"99999999H", UINT64_MAX},
		{"05124095H", UINT64_C(18446742000000000000)},
		{"05124096H", UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t ns = 42;

		assert_int_equal(tako__grpc_timeout(tako_str_z(rows[i].text), &ns), 0);
		assert_true(ns == rows[i].ns);
	}
}

static void no_durations(void **state)
{
	static const char *const rows[] = {
		"",           "S",
		"1",          "12",
		"1s",         "1h",
		"1X",         "-1S",
		"+1S",        " 1S",
		"1S ",        "1 S",
		"1.5S",       "0x1S",
		"100000000S", "1SS",
		"1mS",        "1,S",
		"\3771S",     "1S1",
		"1e3m",       "99999999999999999999S",
		"12345678",   "000000001S",
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		uint64_t ns = 42;

		assert_int_equal(tako__grpc_timeout(tako_str_z(rows[i]), &ns), TAKO_EINVAL);
		assert_int_equal(ns, 42);
	}
	uint64_t ns = 42;
	assert_int_equal(tako__grpc_timeout((tako_str){NULL, 0}, &ns), TAKO_EINVAL);
	assert_int_equal(tako__grpc_timeout((tako_str){"1\0S", 3}, &ns), TAKO_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),
		cmocka_unit_test(no_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

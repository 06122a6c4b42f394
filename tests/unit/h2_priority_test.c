/* SPDX-License-Identifier: MIT
 *
 * The Priority field, by example (RFC 9218 section 4, RFC 8941 section 3.2).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transports/h2/h2_priority.h"

static void test_values(void **state)
{
	static const struct {
		const char *value;
		unsigned urgency;
		bool incremental;
	} rows[] = {
		{"", 3, false},
		{"u=0", 0, false},
		{"u=7", 7, false},
		{"i", 3, true},
		{"u=5, i", 5, true},
		{"i,u=1", 1, true},
		{"u=1;x=2, i", 1, true},
		{"i=?0", 3, false},
		{"i=?1", 3, true},
		{"u=2, u=4", 4, false},
		{"a, u=6, bc=1", 6, false},
		/* Malformed as a whole, and so ignored as a whole. */
		{"u=8, i", 3, false},
		{"u=-1, i", 3, false},
		{"u=1, i=1", 3, false},
		{"u, i", 3, false},
		{"u=10, i", 3, false},
		{"i=?2, u=1", 3, false},
		{"u=, i", 3, false},
		{"u=x", 3, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tako__priority p = tako__priority_parse(tako_str_z(rows[i].value));

		if (p.urgency != rows[i].urgency || p.incremental != rows[i].incremental)
			fail_msg("\"%s\": u=%u i=%d", rows[i].value, p.urgency, p.incremental);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

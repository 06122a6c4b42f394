/* SPDX-License-Identifier: MIT
 *
 * Codes of streams (draft-ietf-webtrans-http3 section 4.3): there and back, and what is none.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "transports/wt/wt_code.h"

static void test_bounds(void **state)
{
	uint64_t code;

	(void)state;
	assert_true(tako__wt_code_wire(0) == UINT64_C(0x52e4a40fa8db));
	assert_true(tako__wt_code_wire(0x1d) == UINT64_C(0x52e4a40fa8f8));
	/* The next one is reserved (RFC 9114 section 8.1). */
	assert_true(tako__wt_code_wire(0x1e) == UINT64_C(0x52e4a40fa8fa));
	assert_true(tako__wt_code_wire(UINT32_MAX) == UINT64_C(0x52e5ac983162));
	assert_false(tako__wt_code_of(UINT64_C(0x52e4a40fa8f9), &code));
	assert_false(tako__wt_code_of(TAKO__WT_CODE_FIRST - 1, &code));
	assert_false(tako__wt_code_of(TAKO__WT_CODE_LAST + 1, &code));
	assert_false(tako__wt_code_of(0x10c, &code));
	assert_false(tako__wt_code_of(TAKO__WT_SESSION_GONE, &code));
}

static void test_there_and_back(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (uint64_t n = 0; n <= UINT32_MAX; n += n < 1000 ? 1 : 7654321) {
		uint64_t wire = tako__wt_code_wire((uint32_t)n);
		uint64_t code = 0;

		assert_true(wire > last && (wire - 0x21) % 0x1f != 0);
		assert_true(tako__wt_code_of(wire, &code) && code == n);
		last = wire;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

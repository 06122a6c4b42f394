/* SPDX-License-Identifier: MIT
 *
 * The keyed hash: it is the one that it says it is, and all of its input counts.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/keyed.h"

static const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

/* SipHash-1-3 of nothing, under the key 00 01 02 … 0f: as other libraries test it. */
static void test_vector(void **state)
{
	(void)state;
	assert_true(tako__keyed_hash(key, "", 0) == 0xabac0158050fc4dcu);
}

static void test_everything_counts(void **state)
{
	const uint64_t other[2] = {key[0], key[1] ^ 1};
	uint8_t p[24] = {0};
	uint64_t first = tako__keyed_hash(key, p, sizeof p);

	(void)state;
	for (size_t i = 0; i < sizeof p; i++) {
		p[i] ^= 1;
		assert_true(tako__keyed_hash(key, p, sizeof p) != first);
		p[i] ^= 1;
	}
	for (size_t n = 0; n < sizeof p; n++)
		assert_true(tako__keyed_hash(key, p, n) != first);
	assert_true(tako__keyed_hash(other, p, sizeof p) != first);
	assert_true(tako__keyed_hash(key, p, sizeof p) == first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_everything_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

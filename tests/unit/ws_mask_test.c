/* SPDX-License-Identifier: MIT
 *
 * Masking by every instruction set of this CPU, byte for byte as RFC 6455 section 5.3 defines it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "transports/ws/ws_mask.h"

static const unsigned char key_bytes[4] = {0x37, 0xfa, 0x21, 0x3d};

static uint32_t key(void)
{
	uint32_t k;

	memcpy(&k, key_bytes, 4);
	return k;
}

/* A block of its own size, at every alignment: the sanitizers see a byte too many. */
static void check(size_t n, size_t align, size_t offset)
{
	unsigned char *block = malloc(align + n + 1);
	unsigned char *p = block + align;

	assert_non_null(block);
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(i * 31 + 7);
	block[align ? align - 1 : align + n] = 0x5a;
	p[n] = 0x5a;
	tako__ws_mask((char *)p, n, key(), offset);
	for (size_t i = 0; i < n; i++) {
		unsigned char was = (unsigned char)(i * 31 + 7);

		assert_int_equal(p[i], was ^ key_bytes[(offset + i) % 4]);
	}
	assert_int_equal(p[n], 0x5a);
	assert_int_equal(block[align ? align - 1 : n], 0x5a);
	free(block);
}

static void check_all(void)
{
	for (size_t n = 0; n < 300; n++) {
		for (size_t align = 0; align < 33; align += n < 80 ? 1 : 11) {
			for (size_t offset = 0; offset < 4; offset++)
				check(n, align, offset);
		}
	}
	check(70001, 3, SIZE_MAX);
}

static void test_chosen_by_itself(void **state)
{
	(void)state;
	check(1000, 1, 0);
	check_all();
}

static void test_each_instruction_set(void **state)
{
	size_t found = 0;

	(void)state;
	for (int level = 0; level < TAKO__WS_MASK_LEVEL_COUNT; level++) {
		if (!tako__ws_mask_use((enum tako__ws_mask_level)level))
			continue;
		found++;
		check_all();
	}
	assert_true(found >= 1);
	assert_false(tako__ws_mask_use(TAKO__WS_MASK_LEVEL_COUNT));
}

/* RFC 6455 section 5.7: a single-frame masked text message, "Hello". */
static void test_example(void **state)
{
	char payload[] = "\x7f\x9f\x4d\x51\x58";

	(void)state;
	tako__ws_mask(payload, 5, key(), 0);
	assert_string_equal(payload, "Hello");
}

/* A payload that arrives in pieces. */
static void test_pieces(void **state)
{
	char whole[257];
	char cut[257];

	(void)state;
	for (size_t at = 0; at <= sizeof(whole); at++) {
		memset(whole, 'x', sizeof(whole));
		memset(cut, 'x', sizeof(cut));
		tako__ws_mask(whole, sizeof(whole), key(), 5);
		tako__ws_mask(cut, at, key(), 5);
		tako__ws_mask(cut + at, sizeof(cut) - at, key(), 5 + at);
		assert_memory_equal(whole, cut, sizeof(whole));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chosen_by_itself),
		cmocka_unit_test(test_each_instruction_set),
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

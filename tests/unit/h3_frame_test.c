/* SPDX-License-Identifier: MIT
 *
 * Varints and frame heads, by the examples of RFC 9000 and however they are cut.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/h3/h3_frame.h"

/* RFC 9000 appendix A.1; the last is a value in more bytes than it takes. */
static const struct {
	const char *text;
	size_t n;
	uint64_t value;
	bool shortest;
} rows[] = {
	{"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c", 8, UINT64_C(151288809941952652), true},
	{"\x9d\x7f\x3e\x7d", 4, 494878333, true},
	{"\x7b\xbd", 2, 15293, true},
	{"\x25", 1, 37, true},
	{"\x40\x25", 2, 37, false},
	{"\xff\xff\xff\xff\xff\xff\xff\xff", 8, TAKO__H3_VARINT_MAX, true},
	{"\0", 1, 0, true},
};

static void test_varints(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tako__h3_varint v = {0};
		const char *p = rows[i].text;
		uint64_t value = 0;
		char to[TAKO__H3_VARINT_BYTES];

		assert_true(tako__h3_varint_read(&v, &p, p + rows[i].n, &value));
		assert_true(value == rows[i].value && p == rows[i].text + rows[i].n);
		if (!rows[i].shortest)
			continue;
		assert_int_equal(tako__h3_varint_write(to, value), rows[i].n);
		assert_memory_equal(to, rows[i].text, rows[i].n);
	}
}

static void test_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tako__h3_varint v = {0};
		const char *p = rows[i].text;
		uint64_t value = 0;

		for (size_t k = 0; k + 1 < rows[i].n; k++)
			assert_false(tako__h3_varint_read(&v, &p, rows[i].text + k + 1, &value));
		assert_true(tako__h3_varint_read(&v, &p, rows[i].text + rows[i].n, &value));
		assert_true(value == rows[i].value);
	}
}

static void test_frames(void **state)
{
	struct tako__h3_frame f = {0};
	char text[TAKO__H3_HEAD_BYTES];
	size_t n = tako__h3_frame_write(text, 0xf0700, 300);
	const char *p = text;

	(void)state;
	assert_int_equal(n, 6);
	assert_false(tako__h3_frame_is_cut(&f));
	for (size_t i = 1; i < n; i++) {
		assert_false(tako__h3_frame_read(&f, &p, text + i));
		assert_true(tako__h3_frame_is_cut(&f));
	}
	assert_true(tako__h3_frame_read(&f, &p, text + n));
	assert_true(f.type == 0xf0700 && f.left == 300 && f.open);
	tako__h3_frame_next(&f);
	assert_false(tako__h3_frame_is_cut(&f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_varints),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

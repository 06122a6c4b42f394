/* SPDX-License-Identifier: MIT
 *
 * Protobuf's encoding, both ways: the documentation's own examples, what is malformed, and no memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/grpc/grpc_pb.h"
#include "unit/failalloc.h"

#define BYTES(lit) ((tako_str){lit, sizeof(lit) - 1})

static void reading(void **state)
{
	tako_str in = BYTES("\x08\x96\x01"
	                    "\x12\x07testing"
	                    "\x1a\x03\x08\x96\x01"
	                    "\x25\1\2\3\4"
	                    "\x29\1\2\3\4\5\6\7\x08"
	                    "\xf8\xff\xff\xff\x0f\x01"
	                    "\x12\x00"
	                    "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
	static const struct {
		uint32_t number;
		enum tako__pb_type type;
		uint64_t value;
		const char *bytes;
		size_t n;
	} want[] = {
		{1, TAKO__PB_VARINT, 150, "", 0},
		{2, TAKO__PB_BYTES, 7, "testing", 7},
		{3, TAKO__PB_BYTES, 3, "\x08\x96\x01", 3},
		{4, TAKO__PB_FIXED32, 0, "\1\2\3\4", 4},
		{5, TAKO__PB_FIXED64, 0, "\1\2\3\4\5\6\7\x08", 8},
		{(1 << 29) - 1, TAKO__PB_VARINT, 1, "", 0},
		{2, TAKO__PB_BYTES, 0, "", 0},
		{1, TAKO__PB_VARINT, UINT64_MAX, "", 0},
	};
	struct tako__pb_field f;

	(void)state;
	for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
		assert_int_equal(tako__pb_next(&in, &f), 1);
		assert_int_equal(f.number, want[i].number);
		assert_int_equal(f.type, want[i].type);
		assert_true(f.value == want[i].value);
		assert_int_equal(f.bytes.n, want[i].n);
		assert_memory_equal(f.bytes.p, want[i].bytes, want[i].n);
	}
	assert_int_equal(tako__pb_next(&in, &f), 0);
}

static void malformed(void **state)
{
	static const tako_str rows[] = {
		{"\x80", 1},     /* a tag that is not whole */
		{"\x08", 1},     /* … without its value */
		{"\x08\x80", 2}, /* … with half of it */
		{"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12}, /* eleven bytes */
		{"\x12\x02x", 3}, /* fewer bytes than said */
		{"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
		{"\x25\1\2\3", 4},
		{"\x29\1\2\3\4\5\6\7", 8},
		{"\x0b", 1}, /* groups */
		{"\x0c", 1},
		{"\x0e", 1}, /* no wire type */
		{"\x0f", 1},
		{"\x00", 1},                     /* field 0 */
		{"\x80\x80\x80\x80\x10\x01", 6}, /* field 2^29 */
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct tako__pb_field f;
		tako_str in = rows[i];

		assert_int_equal(tako__pb_next(&in, &f), TAKO_EPROTO);
	}
}

static void write_all(struct tako__pb_out *o, char *large, size_t n)
{
	size_t outer;
	size_t inner;

	tako__pb_varint(o, 1, 150);
	tako__pb_bytes(o, 2, TAKO_STR("testing"));
	outer = tako__pb_open(o, 3);
	inner = tako__pb_open(o, 4);
	tako__pb_bytes(o, 5, (tako_str){large, n});
	tako__pb_close(o, inner);
	tako__pb_close(o, outer);
	inner = tako__pb_open(o, 6);
	tako__pb_close(o, inner);
}

static void writing(void **state)
{
	static char large[1000];
	struct tako__pb_out o = {.p = NULL};
	struct tako__pb_field f;
	tako_str in;

	(void)state;
	memset(large, 'x', sizeof large);
	write_all(&o, large, sizeof large);
	assert_false(o.failed);
	in = (tako_str){o.p, o.n};
	assert_memory_equal(in.p, "\x08\x96\x01\x12\x07testing", 12);
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(f.number, 3);
	in = f.bytes;
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(f.number, 4);
	assert_int_equal(in.n, 0);
	in = f.bytes;
	assert_int_equal(tako__pb_next(&in, &f), 1);
	assert_int_equal(f.number, 5);
	assert_int_equal(f.bytes.n, sizeof large);
	assert_memory_equal(f.bytes.p, large, sizeof large);
	assert_memory_equal(o.p + o.n - 2, "\x32\x00", 2);
	tako__pb_fini(&o);
	assert_int_equal(failalloc_live(), 0);
}

static void without_memory(void **state)
{
	static char large[1000];
	size_t nth = 0;
	bool failed;

	(void)state;
	do {
		struct tako__pb_out o = {.p = NULL};

		failalloc_arm(++nth);
		write_all(&o, large, sizeof large);
		failed = failalloc_disarm() > 0;
		assert_int_equal(o.failed, failed);
		tako__pb_fini(&o);
	} while (failed);
	assert_true(nth > 2);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading),
		cmocka_unit_test(malformed),
		cmocka_unit_test(writing),
		cmocka_unit_test(without_memory),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

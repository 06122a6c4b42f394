/* SPDX-License-Identifier: MIT
 *
 * Floods as the scan sees them: which frame is one too many, however the bytes are cut.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <tako/base.h>

#include "transports/h2/h2_limits.h"

#define S UINT64_C(1000000000)

static struct tako__h2_limits l;
static char wire[1 << 17];
static size_t wire_n;
static uint8_t passed[sizeof wire];
static size_t passed_n;

static void begin(uint32_t control)
{
	l = (struct tako__h2_limits){.preface_n = TAKO__H2_PREFACE_BYTES,
	                             .block_bytes_max = 1000,
	                             .continuations_max = 3,
	                             .frame_bytes_max = 16384};
	tako__h2_bucket_init(&l.control, control, 0);
	wire_n = 0;
}

static void frame(unsigned type, unsigned flags, unsigned stream, size_t n)
{
	char head[9] = {(char)(n >> 16),      (char)(n >> 8),      (char)n,
	                (char)type,           (char)flags,         0,
	                (char)(stream >> 16), (char)(stream >> 8), (char)stream};

	memcpy(wire + wire_n, head, sizeof head);
	memset(wire + wire_n + sizeof head, 'x', n);
	wire_n += sizeof head + n;
}

/* Returns how much is handed on, which is added to `passed`. */
static size_t scan_piece(char *p, size_t n, uint64_t now)
{
	struct tako__h2_span out[2];
	size_t before = passed_n;

	tako__h2_limits_scan(&l, p, n, now, out);
	for (size_t i = 0; i < 2; i++) {
		memcpy(passed + passed_n, out[i].p, out[i].n);
		passed_n += out[i].n;
	}
	return passed_n - before;
}

/* In one piece, and in pieces of every small size, the verdict is at the same byte. */
static size_t scan(uint64_t now)
{
	struct tako__h2_limits start = l;
	size_t whole = scan_piece(wire, wire_n, now);
	struct tako__h2_limits end = l;

	for (size_t step = 1; step < 12; step++) {
		l = start;
		passed_n = 0;
		for (size_t at = 0; at < wire_n && !l.why; at += step)
			scan_piece(wire + at, wire_n - at < step ? wire_n - at : step, now);
		assert_ptr_equal(l.why, end.why);
		assert_memory_equal(passed, wire, passed_n);
		if (!l.why) {
			assert_int_equal(passed_n, whole);
			assert_int_equal(l.skip, end.skip);
			assert_int_equal(tako__h2_limits_waits(&l), tako__h2_limits_waits(&end));
		}
		assert_int_equal(l.control.left, end.control.left);
	}
	l = end;
	passed_n = 0;
	return whole;
}

static void fine(void)
{
	size_t n = scan(0);

	assert_int_equal(n + l.kept_n, wire_n);
	assert_null(l.why);
}

/* All but the last frame, whose payload has n bytes. */
static void refused(const char *what, size_t n)
{
	assert_int_equal(scan(0), wire_n - 9 - n);
	assert_non_null(l.why);
	assert_non_null(strstr(l.why, what));
}

static void test_bucket(void **state)
{
	struct tako__h2_bucket b;

	(void)state;
	tako__h2_bucket_init(&b, 30, 5 * S);
	for (int i = 0; i < 30; i++)
		assert_true(tako__h2_bucket_take(&b, 5 * S));
	assert_false(tako__h2_bucket_take(&b, 5 * S));
	/* One a second comes back. */
	assert_false(tako__h2_bucket_take(&b, 6 * S - 1));
	assert_true(tako__h2_bucket_take(&b, 6 * S));
	assert_false(tako__h2_bucket_take(&b, 6 * S));
	/* Never more than there were. */
	for (int i = 0; i < 30; i++)
		assert_true(tako__h2_bucket_take(&b, 1000 * S));
	assert_false(tako__h2_bucket_take(&b, 1000 * S));
	tako__h2_bucket_earn(&b, 2);
	assert_int_equal(b.left, 2);
	tako__h2_bucket_earn(&b, 100);
	assert_int_equal(b.left, 30);
}

static void test_bucket_without_bottom(void **state)
{
	struct tako__h2_bucket b;

	(void)state;
	tako__h2_bucket_init(&b, TAKO_OFF, 0);
	for (int i = 0; i < 1000; i++)
		assert_true(tako__h2_bucket_take(&b, 0));
	tako__h2_bucket_earn(&b, 7);
	assert_int_equal(b.left, TAKO_OFF);
}

static void test_each_type_costs(void **state)
{
	static const struct {
		unsigned type, flags;
		size_t n;
		const char *what;
	} rows[] = {
		{2, 0, 5, "PRIORITY"},    {3, 0, 4, "RST_STREAM"}, {4, 0, 6, "SETTINGS"},
		{4, 1, 0, "SETTINGS"},    {5, 4, 9, "PUSH"},       {6, 0, 8, "PING"},
		{7, 0, 8, "GOAWAY"},      {8, 0, 4, "WINDOW"},     {0, 0, 0, "DATA"},
		{0, 8, 256, "DATA"},      {1, 4, 10, "answer"},    {16, 0, 9, "unknown"},
		{255, 255, 0, "unknown"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		begin(20);
		for (int k = 0; k < 20; k++)
			frame(rows[i].type, rows[i].flags, 1, rows[i].n);
		fine();
		wire_n = 0;
		frame(rows[i].type, rows[i].flags, 1, rows[i].n);
		refused(rows[i].what, rows[i].n);
	}
}

static void test_data_is_free(void **state)
{
	(void)state;
	begin(16);
	for (int i = 0; i < 100; i++) {
		frame(0, 0, 1, 1);
		frame(0, 1, 1, 0);
		frame(0, 8, 1, 257);
	}
	fine();
	assert_int_equal(l.control.left, 16);
}

/* A peer that acknowledges each of many small frames, and has them all at once, is no flood; nor does
 * what it is owed for that pay for anything else. */
static void test_windows_for_data(void **state)
{
	(void)state;
	begin(20);
	for (int i = 0; i < 500; i++)
		tako__h2_limits_sent(&l, 1);
	for (int i = 0; i < 1000; i++)
		frame(8, 0, 1, 4);
	fine();
	assert_int_equal(l.control.left, 20);
	wire_n = 0;
	for (int i = 0; i < 20; i++)
		frame(8, 0, 1, 4);
	fine();
	wire_n = 0;
	frame(8, 0, 1, 4);
	refused("WINDOW", 4);
	begin(20);
	for (int i = 0; i < 500; i++)
		tako__h2_limits_sent(&l, 1);
	for (int i = 0; i < 20; i++)
		frame(6, 0, 0, 8);
	fine();
	wire_n = 0;
	frame(6, 0, 0, 8);
	refused("PING", 8);
	/* It has a bound. */
	for (int i = 0; i < 200000; i++)
		tako__h2_limits_sent(&l, 16384);
	assert_in_range(l.granted, TAKO__H2_GRANTED_MAX, TAKO__H2_GRANTED_MAX + 18);
}

static void test_continuations(void **state)
{
	(void)state;
	begin(100);
	frame(1, 0, 1, 10);
	for (int i = 0; i < 3; i++)
		frame(9, 0, 1, 10);
	fine();
	assert_true(tako__h2_limits_waits(&l));
	wire_n = 0;
	frame(9, 4, 1, 10);
	refused("CONTINUATION", 10);
	/* They are counted for each block. */
	begin(100);
	for (int i = 0; i < 5; i++) {
		frame(1, 0, 1, 10);
		frame(9, 0, 1, 0);
		frame(9, 4, 1, 10);
	}
	fine();
	assert_false(tako__h2_limits_waits(&l));
}

static void test_block_bytes(void **state)
{
	(void)state;
	begin(100);
	frame(1, 0, 1, 600);
	frame(9, 0, 1, 400);
	fine();
	wire_n = 0;
	frame(9, 4, 1, 1);
	refused("field block", 1);
	begin(100);
	frame(1, 4, 1, 1001);
	refused("field block", 1001);
}

static void test_priority_on_stream_0(void **state)
{
	(void)state;
	begin(100);
	frame(2, 0, 0, 5);
	refused("stream 0", 5);
	assert_true(l.wrong);
	begin(100);
	frame(2, 0, 1, 5);
	frame(2, 0, 0x10000, 5);
	fine();
	assert_false(l.wrong);
}

/* Its payload is never seen: the library refuses the head. */
static void test_frame_too_large(void **state)
{
	(void)state;
	begin(100);
	l.frame_bytes_max = 100;
	frame(0, 0, 1, 101);
	fine();
}

static void test_waits(void **state)
{
	(void)state;
	begin(100);
	l.preface_n = 0;
	assert_true(tako__h2_limits_waits(&l));
	memset(wire, 'p', 24);
	wire_n = 23;
	fine();
	assert_true(tako__h2_limits_waits(&l));
	wire_n = 1;
	fine();
	assert_false(tako__h2_limits_waits(&l));
	/* Half a head, half a payload; but not half a body. */
	wire_n = 0;
	frame(6, 0, 0, 8);
	wire_n = 4;
	fine();
	assert_true(tako__h2_limits_waits(&l));
	begin(100);
	frame(6, 0, 0, 8);
	wire_n = 12;
	fine();
	assert_true(tako__h2_limits_waits(&l));
	begin(100);
	frame(0, 0, 1, 100);
	wire_n = 12;
	fine();
	assert_false(tako__h2_limits_waits(&l));
}

/* ---- What is ahead of the library ---------------------------------------------------- */

static void update(unsigned stream, uint32_t n)
{
	frame(8, 0, stream, 4);
	for (int i = 0; i < 4; i++)
		wire[wire_n - 4 + (size_t)i] = (char)(n >> (24 - 8 * i));
}

static void test_windows_give_back_first(void **state)
{
	static const struct {
		uint32_t ahead, n, left, passed;
		uint8_t type;
	} rows[] = {
		{0, 100, 0, 100, 8},
		{100, 100, 0, 0, 0xff},
		{100, 40, 60, 0, 0xff},
		{100, 101, 0, 1, 8},
		{100, 0, 100, 0, 8},
		{1, 0x7fffffff, 0, 0x7ffffffe, 8},
		{1, 0xffffffff, 0, 0x7ffffffe, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		for (size_t step = 1; step < 50; step++) {
			const uint8_t *p = passed + 9 + 7;

			begin(100);
			l.ahead_bytes = rows[i].ahead;
			frame(0, 0, 3, 7);
			update(0, rows[i].n);
			update(3, 5);
			passed_n = 0;
			for (size_t at = 0; at < wire_n; at += step)
				scan_piece(wire + at, wire_n - at < step ? wire_n - at : step, 0);
			assert_int_equal(passed_n, wire_n);
			assert_int_equal(l.ahead_bytes, rows[i].left);
			assert_int_equal(p[3], rows[i].type);
			if (p[3] == 8)
				assert_int_equal((uint32_t)p[9] << 24 | (uint32_t)p[10] << 16 |
				                         (uint32_t)p[11] << 8 | p[12],
				                 rows[i].passed);
			/* A stream's is none of its business. */
			assert_int_equal(p[13 + 3], 8);
			assert_int_equal(p[13 + 12], 5);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bucket),
		cmocka_unit_test(test_bucket_without_bottom),
		cmocka_unit_test(test_each_type_costs),
		cmocka_unit_test(test_data_is_free),
		cmocka_unit_test(test_windows_for_data),
		cmocka_unit_test(test_continuations),
		cmocka_unit_test(test_block_bytes),
		cmocka_unit_test(test_priority_on_stream_0),
		cmocka_unit_test(test_frame_too_large),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_windows_give_back_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

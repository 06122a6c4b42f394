/* SPDX-License-Identifier: MIT
 *
 * Handshake messages in pieces: whatever the cuts, they come whole, once, in order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/quic/quic_whole.h"
#include "unit/failalloc.h"

static const uint8_t text[] = "\x01\0\0\x05hello\x02\0\0\0\x03\0\0\x01x";
enum { TEXT_BYTES = sizeof text - 1 };

static uint8_t got[64];
static size_t got_n;
static int answer;

static int take(void *arg, const uint8_t *p, size_t n)
{
	size_t at = 0;

	assert_ptr_equal(arg, &got_n);
	assert_true(n > 0);
	/* Nothing but whole ones. */
	while (at < n) {
		assert_true(n - at >= 4);
		at += 4u + p[at + 3];
	}
	assert_int_equal(at, n);
	memcpy(got + got_n, p, n);
	got_n += n;
	return answer;
}

static void test_every_two_cuts(void **state)
{
	(void)state;
	for (size_t a = 0; a <= TEXT_BYTES; a++) {
		for (size_t b = a; b <= TEXT_BYTES; b++) {
			struct tako__quic_whole w = {0};

			got_n = 0;
			assert_int_equal(tako__quic_whole_feed(&w, text, a, take, &got_n), 0);
			assert_int_equal(tako__quic_whole_feed(&w, text + a, b - a, take, &got_n),
			                 0);
			assert_int_equal(
				tako__quic_whole_feed(&w, text + b, TEXT_BYTES - b, take, &got_n),
				0);
			assert_int_equal(got_n, TEXT_BYTES);
			assert_memory_equal(got, text, TEXT_BYTES);
			assert_int_equal(failalloc_live(), 0);
		}
	}
}

static void test_byte_by_byte(void **state)
{
	struct tako__quic_whole w = {0};

	(void)state;
	got_n = 0;
	for (size_t i = 0; i < TEXT_BYTES; i++)
		assert_int_equal(tako__quic_whole_feed(&w, text + i, 1, take, &got_n), 0);
	assert_memory_equal(got, text, TEXT_BYTES);
	assert_int_equal(failalloc_live(), 0);
}

static void test_too_long(void **state)
{
	static const uint8_t head[] = {1, 1, 0, 0};
	struct tako__quic_whole w = {0};

	(void)state;
	assert_int_equal(tako__quic_whole_feed(&w, head, 3, take, &got_n), 0);
	assert_int_equal(tako__quic_whole_feed(&w, head + 3, 1, take, &got_n), TAKO_ETOOBIG);
	tako__quic_whole_fini(&w);
	assert_int_equal(failalloc_live(), 0);
}

static void test_failures(void **state)
{
	struct tako__quic_whole w = {0};

	(void)state;
	got_n = 0;
	answer = -7;
	assert_int_equal(tako__quic_whole_feed(&w, text, TEXT_BYTES, take, &got_n), -7);
	answer = 0;
	failalloc_arm(1);
	assert_int_equal(tako__quic_whole_feed(&w, text, 3, take, &got_n), TAKO_ENOMEM);
	assert_int_equal(failalloc_disarm(), 1);
	tako__quic_whole_fini(&w);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_two_cuts),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_failures),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

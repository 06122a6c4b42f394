/* SPDX-License-Identifier: MIT
 *
 * A decoder's memory is given back as a whole, also where the decoder cannot be deleted any more.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/h3/h3_mem.h"
#include "unit/failalloc.h"

static struct tako__h2_mem below;
static struct tako__h3_mem m;

static void test_blocks(void **state)
{
	char *a, *b, *c;

	(void)state;
	tako__h2_mem_init(&below);
	tako__h3_mem_init(&m, &below);
	a = m.mem.malloc(100, m.mem.user_data);
	b = m.mem.calloc(10, 30, m.mem.user_data);
	assert_true((uintptr_t)a % 16 == 0 && (uintptr_t)b % 16 == 0);
	for (int i = 0; i < 300; i++)
		assert_int_equal(b[i], 0);
	memset(a, 'a', 100);
	a = m.mem.realloc(a, 5000, m.mem.user_data);
	for (int i = 0; i < 100; i++)
		assert_int_equal(a[i], 'a');
	c = m.mem.realloc(NULL, 10, m.mem.user_data);
	assert_non_null(c);
	m.mem.free(b, m.mem.user_data);
	m.mem.free(NULL, m.mem.user_data);
	assert_null(m.mem.malloc(SIZE_MAX - 4, m.mem.user_data));
	assert_null(m.mem.calloc(SIZE_MAX / 2, 4, m.mem.user_data));
	/* A block that could not grow is still on the list. */
	failalloc_arm_from(1);
	assert_null(m.mem.realloc(a, 100000, m.mem.user_data));
	failalloc_disarm();
	tako__h3_mem_fini(&m);
	tako__h2_mem_fini(&below);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

/* Each allocation of a decoder that is being told of an entry fails once. */
static void test_decoder_fails(void **state)
{
	static const uint8_t text[] = "\x3f\xbd\x01\x41x\x01y\x41z\x01w";
	bool failed = true;

	(void)state;
	for (size_t n = 1; failed; n++) {
		nghttp3_qpack_decoder *d = NULL;

		tako__h2_mem_init(&below);
		tako__h3_mem_init(&m, &below);
		failalloc_arm(n);
		if (nghttp3_qpack_decoder_new(&d, 4096, 10, &m.mem) == 0)
			(void)nghttp3_qpack_decoder_read_encoder(d, text, sizeof text - 1);
		failed = failalloc_disarm() != 0;
		tako__h3_mem_fini(&m);
		tako__h2_mem_fini(&below);
		assert_int_equal(failalloc_live(), 0);
		assert_true(failed || n > 5);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_decoder_fails),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

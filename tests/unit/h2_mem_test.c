/* SPDX-License-Identifier: MIT
 *
 * The library's memory: sizes it does not tell, blocks that come back, and failures.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/h2/h2_mem.h"
#include "unit/failalloc.h"

static struct tako__h2_mem m;

static int set_up(void **state)
{
	(void)state;
	tako__h2_mem_init(&m);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tako__h2_mem_fini(&m);
	return failalloc_live() || failalloc_wrong();
}

static void test_every_size(void **state)
{
	(void)state;
	for (size_t n = 0; n < 2000; n++) {
		char *p = m.mem.malloc(n, &m);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		memset(p, 0x55, n);
		m.mem.free(p, &m);
	}
	m.mem.free(NULL, &m);
}

static void test_blocks_come_back(void **state)
{
	void *a = m.mem.malloc(100, &m);
	size_t count;

	(void)state;
	m.mem.free(a, &m);
	count = failalloc_count();
	assert_ptr_equal(m.mem.malloc(90, &m), a);
	m.mem.free(a, &m);
	assert_int_equal(failalloc_count(), count);
}

static void test_zeroed(void **state)
{
	unsigned char *p = m.mem.malloc(200, &m);

	(void)state;
	memset(p, 0xff, 200);
	m.mem.free(p, &m);
	p = m.mem.calloc(20, 10, &m);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(p[i], 0);
	m.mem.free(p, &m);
	assert_null(m.mem.calloc(SIZE_MAX / 2, 3, &m));
	assert_null(m.mem.malloc(SIZE_MAX, &m));
}

static void test_resize_keeps_content(void **state)
{
	unsigned char *p = NULL;

	(void)state;
	for (size_t n = 1; n < 5000; n += 37) {
		p = m.mem.realloc(p, n, &m);
		assert_non_null(p);
		for (size_t i = 0; i + 37 < n; i++)
			assert_int_equal(p[i], i % 251);
		for (size_t i = 0; i < n; i++)
			p[i] = (unsigned char)(i % 251);
	}
	/* One that fails leaves the old block as it was. */
	failalloc_arm(1);
	assert_null(m.mem.realloc(p, 100000, &m));
	assert_int_equal(failalloc_disarm(), 1);
	assert_int_equal(p[4000], 4000 % 251);
	m.mem.free(p, &m);
}

static void test_without_memory(void **state)
{
	(void)state;
	failalloc_arm_from(1);
	assert_null(m.mem.malloc(10, &m));
	assert_null(m.mem.calloc(1, 10, &m));
	assert_null(m.mem.malloc(10000, &m));
	failalloc_disarm();
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_every_size),     WITH(test_blocks_come_back),     WITH(test_zeroed),
		WITH(test_without_memory), WITH(test_resize_keeps_content),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

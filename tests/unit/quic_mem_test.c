/* SPDX-License-Identifier: MIT
 *
 * ngtcp2's memory: sizes it does not tell, blocks that come back, what it forgets, and failures.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/base.h"
#include "transports/quic/quic_mem.h"
#include "unit/failalloc.h"

static struct tako__quic_mem pools;
static struct tako__quic_heap heap;

static int set_up(void **state)
{
	(void)state;
	tako__quic_mem_init(&pools);
	tako__quic_heap_init(&heap, &pools, 1 << 20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	tako__quic_heap_fini(&heap);
	tako__quic_mem_fini(&pools);
	return failalloc_live() || failalloc_wrong();
}

static void test_every_size(void **state)
{
	(void)state;
	for (size_t n = 0; n < 40000; n += 1 + n / 50) {
		char *p = heap.mem.malloc(n, &heap);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		memset(p, 0x55, n);
		heap.mem.free(p, &heap);
	}
	heap.mem.free(NULL, &heap);
	assert_true(tako__list_empty(&heap.live));
}

static void test_blocks_come_back(void **state)
{
	void *a = heap.mem.malloc(100, &heap);

	(void)state;
	heap.mem.free(a, &heap);
	failalloc_arm(1);
	assert_ptr_equal(heap.mem.malloc(120, &heap), a);
	assert_int_equal(failalloc_disarm(), 0);
}

static void test_growing_keeps_what_was(void **state)
{
	char *p = heap.mem.realloc(NULL, 10, &heap);

	(void)state;
	memcpy(p, "0123456789", 10);
	p = heap.mem.realloc(p, 5000, &heap);
	assert_memory_equal(p, "0123456789", 10);
	p = heap.mem.realloc(p, 100000, &heap);
	assert_memory_equal(p, "0123456789", 10);
	heap.mem.free(p, &heap);
}

static void test_zeroed(void **state)
{
	static const char zeros[300];
	char *p = heap.mem.malloc(300, &heap);

	(void)state;
	memset(p, 1, 300);
	heap.mem.free(p, &heap);
	p = heap.mem.calloc(3, 100, &heap);
	assert_memory_equal(p, zeros, 300);
	assert_null(heap.mem.calloc(SIZE_MAX / 2, 3, &heap));
}

/* What is never freed goes with the connection, and nobody else's does. */
static void test_forgotten(void **state)
{
	struct tako__quic_heap other;
	char *kept;

	(void)state;
	tako__quic_heap_init(&other, &pools, 1 << 20);
	for (unsigned i = 0; i < 10; i++)
		assert_non_null(heap.mem.malloc(i * 1000, &heap));
	kept = other.mem.malloc(10, &other);
	strcpy(kept, "mine");
	tako__quic_heap_fini(&heap);
	assert_true(tako__list_empty(&heap.live));
	assert_string_equal(kept, "mine");
	tako__quic_heap_fini(&other);
}

static void test_no_memory(void **state)
{
	char *p = heap.mem.malloc(10, &heap);

	(void)state;
	failalloc_arm_from(1);
	assert_null(heap.mem.malloc(3000, &heap));
	assert_null(heap.mem.calloc(1, 100000, &heap));
	assert_null(heap.mem.realloc(p, 3000, &heap));
	assert_null(heap.mem.malloc(SIZE_MAX, &heap));
	(void)failalloc_disarm();
}

/* A connection has so much, in blocks of whichever size, and what it gives back is its again. */
static void test_so_much(void **state)
{
	void *blocks[300];
	unsigned n = 0;

	(void)state;
	heap.bytes_max = 20000;
	while (n < TAKO__COUNT(blocks) && (blocks[n] = heap.mem.malloc(100 + 30 * n, &heap)))
		n++;
	assert_in_range(n, 15, 40);
	assert_true(heap.bytes <= 20000);
	assert_null(heap.mem.malloc(20001, &heap));
	assert_null(heap.mem.realloc(blocks[0], 15000, &heap));
	while (n--)
		heap.mem.free(blocks[n], &heap);
	assert_int_equal(heap.bytes, 0);
	blocks[0] = heap.mem.malloc(10000, &heap);
	assert_non_null(blocks[0]);
	heap.mem.free(blocks[0], &heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_size, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_blocks_come_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_growing_keeps_what_was, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_zeroed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_so_much, set_up, tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

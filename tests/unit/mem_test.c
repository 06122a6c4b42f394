/* SPDX-License-Identifier: MIT
 *
 * The allocator hook, arenas and pools; every test ends with nothing leaked and no block
 * given back with a wrong size.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/mem.h"
#include "failalloc.h"

static int no_leaks(void **state)
{
	(void)state;
	return failalloc_live() || failalloc_live_bytes() || failalloc_wrong();
}

static int fresh(void **state)
{
	(void)state;
	failalloc_arm(0);
	return 0;
}

static void *other_hook(void *p, size_t old_bytes, size_t new_bytes, void *arg)
{
	(void)p;
	(void)old_bytes;
	(void)new_bytes;
	(void)arg;
	return NULL;
}

/* Runs first: the only test in which nothing is allocated yet. */
static void test_hook_before_and_after(void **state)
{
	void *p;

	(void)state;
	assert_int_equal(tako_set_allocator(other_hook, NULL), 0);
	assert_int_equal(tako_set_allocator(NULL, NULL), 0);
	assert_int_equal(failalloc_install(), 0);
	p = tako__alloc(10);
	assert_non_null(p);
	assert_int_equal(failalloc_count(), 1);
	assert_int_equal(failalloc_live_bytes(), 10);
	assert_int_equal(tako_set_allocator(other_hook, NULL), TAKO_ESTATE);
	tako__free(p, 10);
	assert_int_equal(tako_set_allocator(NULL, NULL), TAKO_ESTATE);
	assert_int_equal(failalloc_live(), 0);
}

static void test_alloc_sizes(void **state)
{
	char *p = tako__alloc(0);

	(void)state;
	assert_non_null(p);
	p = tako__resize(p, 0, 100);
	memset(p, 7, 100);
	p = tako__resize(p, 100, 3);
	assert_int_equal(p[2], 7);
	p = tako__resize(p, 3, 0);
	assert_non_null(p);
	tako__free(p, 0);
	p = tako__resize(NULL, 0, 5);
	assert_non_null(p);
	tako__free(p, 5);
	tako__free(NULL, 5);
	p = tako__zalloc(33);
	for (int i = 0; i < 33; i++)
		assert_int_equal(p[i], 0);
	tako__free(p, 33);
}

static void test_strndup(void **state)
{
	char *p = tako__strndup("abcdef", 3);

	(void)state;
	assert_string_equal(p, "abc");
	tako__free(p, 4);
	p = tako__strndup(NULL, 0);
	assert_string_equal(p, "");
	tako__free(p, 1);
	assert_null(tako__strndup("x", SIZE_MAX));
}

static void test_alloc_fails(void **state)
{
	char *p = tako__alloc(8);

	(void)state;
	memcpy(p, "stayhere", 8);
	failalloc_arm_from(1);
	assert_null(tako__alloc(1));
	assert_null(tako__zalloc(1));
	assert_null(tako__strndup("a", 1));
	assert_null(tako__resize(p, 8, 16));
	assert_int_equal(failalloc_disarm(), 4);
	assert_memory_equal(p, "stayhere", 8);
	tako__free(p, 8);
}

/* ---- Arena ---------------------------------------------------------------- */

static void test_arena_uses_first(void **state)
{
	_Alignas(16) char first[128];
	struct tako__arena a;

	(void)state;
	tako__arena_init(&a, first, sizeof(first));
	assert_ptr_equal(tako__arena_alloc(&a, 1), first);
	assert_ptr_equal(tako__arena_alloc(&a, 16), first + 16);
	assert_ptr_equal(tako__arena_alloc(&a, 96), first + 32);
	assert_int_equal(failalloc_count(), 0);
	assert_non_null(tako__arena_alloc(&a, 1));
	assert_int_equal(failalloc_count(), 1);
	assert_int_equal(failalloc_live_bytes(), 4096);
	tako__arena_fini(&a);
}

static void test_arena_unaligned_first(void **state)
{
	_Alignas(16) char first[64];
	struct tako__arena a;

	(void)state;
	for (size_t off = 0; off < 16; off++) {
		for (size_t n = 0; n + off <= sizeof(first); n++) {
			char *p;

			tako__arena_init(&a, first + off, n);
			p = tako__arena_alloc(&a, 16);
			assert_int_equal((uintptr_t)p & 15, 0);
			/* Inside what was lent, or not from there at all. */
			if (p >= first && p < first + sizeof(first))
				assert_true(p >= first + off && p + 16 <= first + off + n);
			else
				assert_true(n < 16 + (-off & 15));
			tako__arena_fini(&a);
		}
	}
}

static void test_arena_empty(void **state)
{
	struct tako__arena a;

	(void)state;
	tako__arena_init(&a, NULL, 0);
	assert_non_null(tako__arena_alloc(&a, 0));
	assert_int_equal(failalloc_count(), 0);
	assert_non_null(tako__arena_alloc(&a, 1));
	tako__arena_fini(&a);
	/* Started anew by fini itself, without memory. */
	assert_non_null(tako__arena_alloc(&a, 1));
	tako__arena_fini(&a);
}

/* 4, 8, 16, 32, 64, 64 KiB: few calls for much, and never a giant step. */
static void test_arena_growth(void **state)
{
	static const size_t want[] = {4096, 8192, 16384, 32768, 65536, 65536, 65536};
	struct tako__arena a;
	size_t total = 0;

	(void)state;
	tako__arena_init(&a, NULL, 0);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		while (failalloc_count() == i)
			assert_non_null(tako__arena_alloc(&a, 48));
		total += want[i];
		assert_int_equal(failalloc_live_bytes(), total);
	}
	tako__arena_fini(&a);
}

static void test_arena_big_keeps_the_rest(void **state)
{
	struct tako__arena a;
	char *small;
	char *big;

	(void)state;
	tako__arena_init(&a, NULL, 0);
	small = tako__arena_alloc(&a, 16);
	big = tako__arena_alloc(&a, 1000000);
	memset(big, 1, 1000000);
	assert_int_equal(failalloc_count(), 2);
	assert_ptr_equal(tako__arena_alloc(&a, 16), small + 16);
	assert_int_equal(failalloc_count(), 2);
	assert_int_equal(failalloc_live_bytes(), 4096 + 16 + 1000000);
	/* … and the next chunk is twice the last small one. */
	while (failalloc_count() == 2)
		assert_non_null(tako__arena_alloc(&a, 48));
	assert_int_equal(failalloc_live_bytes(), 4096 + 16 + 1000000 + 8192);
	tako__arena_fini(&a);
	/* As the first of all. */
	tako__arena_init(&a, NULL, 0);
	assert_non_null(tako__arena_alloc(&a, 1000000));
	assert_non_null(tako__arena_alloc(&a, 16));
	assert_int_equal(failalloc_live_bytes(), 1000000 + 16 + 65536);
	tako__arena_fini(&a);
}

static void test_arena_gives_back_what_is_its_own(void **state)
{
	char first[64];
	struct tako__arena a;
	size_t before = failalloc_live();
	char *own[3];
	char *p;

	(void)state;
	tako__arena_init(&a, first, sizeof(first));
	for (int i = 0; i < 3; i++) {
		own[i] = tako__arena_own(&a, 100);
		assert_non_null(own[i]);
		memset(own[i], 'a' + i, 100);
	}
	/* Neither the first memory nor a chunk was begun for them. */
	assert_true((char *)tako__arena_alloc(&a, 64) >= first);
	p = tako__arena_alloc(&a, 16);
	assert_int_equal(failalloc_live(), before + 4);
	memset(p, 'p', 16);
	tako__arena_give_back(&a, own[1]);
	assert_int_equal(failalloc_live(), before + 3);
	assert_int_equal(own[0][99], 'a');
	assert_int_equal(own[2][99], 'c');
	/* Odd sizes are not what chunks grow from. */
	for (int i = 0; i < 100; i++)
		assert_non_null(tako__arena_alloc(&a, 16));
	assert_int_equal(failalloc_live(), before + 3);
	assert_int_equal(p[15], 'p');
	assert_null(tako__arena_own(&a, SIZE_MAX - 8));
	tako__arena_fini(&a);
	assert_int_equal(failalloc_live(), before);
}

static void test_arena_too_big(void **state)
{
	struct tako__arena a;

	(void)state;
	tako__arena_init(&a, NULL, 0);
	for (size_t less = 0; less < 64; less++) {
		assert_null(tako__arena_alloc(&a, SIZE_MAX - less));
		assert_null(tako__arena_zalloc(&a, SIZE_MAX - less));
	}
	assert_null(tako__arena_strndup(&a, "x", SIZE_MAX));
	assert_null(tako__arena_strndup(&a, "x", SIZE_MAX - 1));
	tako__arena_fini(&a);
}

/* Around the size of a chunk and half of it, filled to the last byte. */
static void test_arena_edges(void **state)
{
	(void)state;
	for (size_t n = 1; n < 8300; n += n % 64 == 1 && n % 2048 != 1985 ? 63 : 1) {
		struct tako__arena a;

		tako__arena_init(&a, NULL, 0);
		for (int i = 0; i < 4; i++) {
			void *p = tako__arena_alloc(&a, n);

			assert_non_null(p);
			memset(p, 1, (n + 15) & ~(size_t)15);
		}
		tako__arena_fini(&a);
		assert_int_equal(failalloc_wrong(), 0);
	}
}

/* Every block keeps what was written to it, whatever comes after. */
static void test_arena_blocks_are_disjoint(void **state)
{
	enum { BLOCKS = 2000 };
	static struct {
		unsigned char *p;
		size_t n;
	} block[BLOCKS];
	_Alignas(16) char first[100];
	struct tako__arena a;
	uint32_t seed = 1;

	(void)state;
	tako__arena_init(&a, first, sizeof(first));
	for (unsigned i = 0; i < BLOCKS; i++) {
		seed = seed * 1664525 + 1013904223;
		block[i].n = (seed >> 8) % (i % 50 ? 200 : 20000);
		block[i].p = tako__arena_alloc(&a, block[i].n);
		assert_int_equal((uintptr_t)block[i].p & 15, 0);
		memset(block[i].p, (int)(i & 0xff), block[i].n);
	}
	for (unsigned i = 0; i < BLOCKS; i++) {
		for (size_t j = 0; j < block[i].n; j++)
			assert_int_equal(block[i].p[j], i & 0xff);
	}
	tako__arena_fini(&a);
}

static void test_arena_fails(void **state)
{
	struct tako__arena a;

	(void)state;
	tako__arena_init(&a, NULL, 0);
	failalloc_arm(1);
	assert_null(tako__arena_alloc(&a, 1));
	assert_null(a.chunks);
	assert_non_null(tako__arena_alloc(&a, 1));
	failalloc_arm(1);
	assert_null(tako__arena_strndup(&a, "x", 9000));
	/* What is left of the current chunk still serves. */
	assert_string_equal(tako__arena_strndup(&a, "tako", 4), "tako");
	assert_int_equal(((char *)tako__arena_zalloc(&a, 64))[63], 0);
	assert_int_equal(failalloc_count(), 1);
	tako__arena_fini(&a);
}

/* ---- Pool ------------------------------------------------------------------- */

static void test_pool_is_lifo_and_bounded(void **state)
{
	struct tako__pool pool;
	void *block[4];

	(void)state;
	tako__pool_init(&pool, 100, 2);
	for (int i = 0; i < 4; i++)
		block[i] = tako__pool_get(&pool);
	assert_int_equal(failalloc_count(), 4);
	for (int i = 0; i < 4; i++)
		tako__pool_put(&pool, block[i]);
	tako__pool_put(&pool, NULL);
	assert_int_equal(pool.free_count, 2);
	assert_int_equal(failalloc_live(), 2);
	assert_ptr_equal(tako__pool_get(&pool), block[1]);
	assert_ptr_equal(tako__pool_get(&pool), block[0]);
	assert_int_equal(pool.free_count, 0);
	assert_int_equal(failalloc_count(), 4);
	tako__pool_put(&pool, block[0]);
	tako__pool_put(&pool, block[1]);
	tako__pool_fini(&pool);
	assert_int_equal(failalloc_live(), 0);
}

static void test_pool_small_and_failing(void **state)
{
	struct tako__pool pool;
	void *block;

	(void)state;
	tako__pool_init(&pool, 1, 8);
	failalloc_arm(1);
	assert_null(tako__pool_get(&pool));
	block = tako__pool_get(&pool);
	assert_int_equal(failalloc_live_bytes(), sizeof(void *));
	tako__pool_put(&pool, block);
	tako__pool_fini(&pool);
	/* Usable again, and keep_count 0 keeps nothing. */
	tako__pool_init(&pool, 64, 0);
	tako__pool_put(&pool, tako__pool_get(&pool));
	assert_int_equal(failalloc_live(), 0);
	tako__pool_fini(&pool);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fresh, no_leaks)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hook_before_and_after),
		TEST(test_alloc_sizes),
		TEST(test_strndup),
		TEST(test_alloc_fails),
		TEST(test_arena_uses_first),
		TEST(test_arena_unaligned_first),
		TEST(test_arena_empty),
		TEST(test_arena_growth),
		TEST(test_arena_big_keeps_the_rest),
		TEST(test_arena_gives_back_what_is_its_own),
		TEST(test_arena_too_big),
		TEST(test_arena_edges),
		TEST(test_arena_blocks_are_disjoint),
		TEST(test_arena_fails),
		TEST(test_pool_is_lifo_and_bounded),
		TEST(test_pool_small_and_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

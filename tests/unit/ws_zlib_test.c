/* SPDX-License-Identifier: MIT
 *
 * Streams of zlib: what they cost, that they come back fresh, and failures.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/ws/ws_zlib.h"
#include "unit/failalloc.h"

static struct tako__ws_zpool pool;

static int tear_down(void **state)
{
	(void)state;
	tako__ws_zpool_fini(&pool);
	return failalloc_live() || failalloc_wrong();
}

/* Something to compress that fills every table. */
static void fill(unsigned char *p, size_t n)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = i % 7 ? (unsigned char)(x >> 28) : (unsigned char)i;
	}
}

static unsigned char plain[100000];
static unsigned char packed[200000];
static unsigned char again[100000];

static size_t pack(struct tako__ws_z *z)
{
	z->z.next_in = plain;
	z->z.avail_in = sizeof(plain);
	z->z.next_out = packed;
	z->z.avail_out = sizeof(packed);
	assert_int_equal(deflate(&z->z, Z_SYNC_FLUSH), Z_OK);
	return sizeof(packed) - z->z.avail_out;
}

static void unpack(struct tako__ws_z *z, size_t n)
{
	z->z.next_in = packed;
	z->z.avail_in = (unsigned)n;
	z->z.next_out = again;
	z->z.avail_out = sizeof(again);
	assert_int_equal(inflate(&z->z, Z_SYNC_FLUSH), Z_OK);
	assert_int_equal(z->z.avail_out, 0);
	assert_memory_equal(again, plain, sizeof(plain));
}

/* Every size works, and takes no more than it was said to, at most a tenth less. */
static void test_what_they_cost(void **state)
{
	(void)state;
	fill(plain, sizeof(plain));
	for (int bits = TAKO__WS_Z_MIN_BITS; bits <= TAKO__WS_Z_MAX_BITS; bits++) {
		for (int mem = 1; mem <= 9; mem++) {
			size_t before = failalloc_live_bytes();
			struct tako__ws_z *d = tako__ws_z_deflater(&pool, bits, mem, 1);
			struct tako__ws_z *i;
			size_t n = pack(d);
			size_t took = failalloc_live_bytes() - before;
			size_t said = tako__ws_z_deflater_bytes(bits, mem);

			assert_true(took <= said && took >= said - said / 10);
			before = failalloc_live_bytes();
			i = tako__ws_z_inflater(&pool, bits);
			unpack(i, n);
			took = failalloc_live_bytes() - before;
			said = tako__ws_z_inflater_bytes(bits);
			assert_true(took <= said && took >= said - said / 10);
			tako__ws_z_put_deflater(&pool, d);
			tako__ws_z_put_inflater(&pool, i);
			tako__ws_zpool_fini(&pool);
			assert_int_equal(failalloc_live(), 0);
		}
	}
	assert_int_equal(tako__ws_z_inflater_bytes(8), tako__ws_z_inflater_bytes(9));
}

static void test_same_kind_comes_back_fresh(void **state)
{
	struct tako__ws_z *d = tako__ws_z_deflater(&pool, 12, 5, 1);
	struct tako__ws_z *i = tako__ws_z_inflater(&pool, 8);
	size_t first;
	size_t count;

	(void)state;
	fill(plain, sizeof(plain));
	first = pack(d);
	/* Half a message each: the next user sees nothing of it. */
	d->z.next_in = plain;
	d->z.avail_in = 1000;
	(void)deflate(&d->z, Z_NO_FLUSH);
	tako__ws_z_put_deflater(&pool, d);
	count = failalloc_count();
	assert_ptr_equal(tako__ws_z_deflater(&pool, 12, 5, 1), d);
	assert_int_equal(pack(d), first);
	assert_int_equal(failalloc_count(), count);
	tako__ws_z_put_deflater(&pool, d);
	/* Another level, memory or window is another stream. */
	for (int k = 0; k < 3; k++) {
		struct tako__ws_z *other = tako__ws_z_deflater(&pool, 12 - (k == 0), 5 - (k == 1),
		                                               1 + (k == 2));

		assert_ptr_not_equal(other, d);
		tako__ws_z_put_deflater(&pool, other);
	}
	packed[0] ^= 0x55;
	i->z.next_in = packed;
	i->z.avail_in = 100;
	i->z.next_out = again;
	i->z.avail_out = sizeof(again);
	(void)inflate(&i->z, Z_SYNC_FLUSH);
	tako__ws_z_put_inflater(&pool, i);
	assert_ptr_equal(tako__ws_z_inflater(&pool, 9), i);
	d = tako__ws_z_deflater(&pool, 9, 5, 1);
	unpack(i, pack(d));
	tako__ws_z_put_inflater(&pool, i);
	tako__ws_z_put_deflater(&pool, d);
	tako__ws_z_put_deflater(&pool, NULL);
	tako__ws_z_put_inflater(&pool, NULL);
}

/* So many free ones are kept, and the newest. */
static void test_kept(void **state)
{
	enum { MANY = TAKO__WS_Z_KEPT + 5 };
	struct tako__ws_z *d[MANY];
	struct tako__ws_z *i[MANY];
	size_t live = 0;

	(void)state;
	for (size_t k = 0; k < MANY; k++) {
		d[k] = tako__ws_z_deflater(&pool, 9, 1, 1);
		i[k] = tako__ws_z_inflater(&pool, 9);
	}
	for (size_t k = 0; k < MANY; k++) {
		tako__ws_z_put_deflater(&pool, d[k]);
		tako__ws_z_put_inflater(&pool, i[k]);
		if (k + 1 == TAKO__WS_Z_KEPT)
			live = failalloc_live();
	}
	assert_true(failalloc_live() < live + MANY);
	for (size_t k = 0; k < TAKO__WS_Z_KEPT; k++)
		assert_ptr_equal(tako__ws_z_deflater(&pool, 9, 1, 1), d[MANY - 1 - k]);
	for (size_t k = 0; k < TAKO__WS_Z_KEPT; k++)
		tako__ws_z_put_deflater(&pool, d[MANY - 1 - k]);
}

static void test_without_memory(void **state)
{
	(void)state;
	for (size_t n = 1;; n++) {
		struct tako__ws_z *d;
		struct tako__ws_z *i;

		failalloc_arm(n);
		d = tako__ws_z_deflater(&pool, 9, 1, 1);
		i = tako__ws_z_inflater(&pool, 9);
		if (!failalloc_disarm()) {
			assert_true(d && i);
			tako__ws_z_put_deflater(&pool, d);
			tako__ws_z_put_inflater(&pool, i);
			assert_true(n > 5);
			return;
		}
		assert_true(!d || !i);
		tako__ws_z_put_deflater(&pool, d);
		tako__ws_z_put_inflater(&pool, i);
		tako__ws_zpool_fini(&pool);
		assert_int_equal(failalloc_live(), 0);
	}
}

#define WITH(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_what_they_cost),
		WITH(test_same_kind_comes_back_fresh),
		WITH(test_kept),
		WITH(test_without_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

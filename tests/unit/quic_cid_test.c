/* SPDX-License-Identifier: MIT
 *
 * Connection ids: what they say to whom, and the table of those in use.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/base.h"
#include "transports/quic/quic_cid.h"
#include "unit/failalloc.h"

static const struct tako__quic_key key = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

static void test_hash_depends_on_all_of_it(void **state)
{
	uint8_t p[20] = {0};
	struct tako__quic_key other = key;
	uint64_t first = tako__quic_hash(&key, p, sizeof p);

	(void)state;
	for (size_t i = 0; i < sizeof p; i++) {
		p[i] ^= 1;
		assert_true(tako__quic_hash(&key, p, sizeof p) != first);
		p[i] ^= 1;
	}
	for (size_t n = 0; n < sizeof p; n++)
		assert_true(tako__quic_hash(&key, p, n) != first);
	other.k[1] ^= 1;
	assert_true(tako__quic_hash(&other, p, sizeof p) != first);
	assert_int_equal(tako__quic_hash(&key, p, sizeof p), first);
}

static void test_ids_name_their_worker(void **state)
{
	struct tako__quic_key other = {{1, 2}};
	unsigned seen_by_others = 0;

	(void)state;
	for (unsigned worker = 0; worker < 256; worker++) {
		ngtcp2_cid a, b;

		assert_int_equal(tako__quic_cid_new(&a, &key, worker), 0);
		assert_int_equal(tako__quic_cid_new(&b, &key, worker), 0);
		assert_int_equal(a.datalen, TAKO__QUIC_CID_BYTES);
		assert_int_equal(tako__quic_cid_worker(a.data, &key), worker);
		assert_int_equal(tako__quic_cid_worker(b.data, &key), worker);
		assert_memory_not_equal(a.data, b.data, a.datalen);
		seen_by_others += tako__quic_cid_worker(a.data, &other) == worker;
		seen_by_others += a.data[0] == worker;
	}
	/* Who has not the key sees it by chance only. */
	assert_true(seen_by_others < 20);
}

static void number(uint8_t to[8], unsigned i)
{
	memset(to, 0, 8);
	memcpy(to, &i, sizeof i);
}

static void test_table(void **state)
{
	enum { MANY = 5000 };
	struct tako__quic *a = (void *)16, *b = (void *)32;
	struct tako__quic_cid *of_a = NULL, *of_b = NULL;
	struct tako__quic_table t;
	uint8_t p[8];

	(void)state;
	assert_int_equal(tako__quic_table_init(&t, &key), 0);
	for (unsigned i = 0; i < MANY; i++) {
		number(p, i);
		assert_null(tako__quic_table_find(&t, p, 8));
		assert_int_equal(
			tako__quic_table_add(&t, i % 2 ? &of_a : &of_b, i % 2 ? a : b, p, 8), 0);
		assert_int_equal(tako__quic_table_add(&t, &of_a, a, p, 8), TAKO_EEXIST);
	}
	assert_int_equal(t.count, MANY);
	assert_true(t.slot_count >= MANY / 2);
	for (unsigned i = 0; i < MANY; i++) {
		number(p, i);
		assert_ptr_equal(tako__quic_table_find(&t, p, 8)->q, i % 2 ? a : b);
		assert_null(tako__quic_table_find(&t, p, 7));
	}
	number(p, 7);
	/* Of another owner's list it is not taken. */
	tako__quic_table_remove(&t, &of_b, p, 8);
	assert_non_null(tako__quic_table_find(&t, p, 8));
	tako__quic_table_remove(&t, &of_a, p, 8);
	assert_null(tako__quic_table_find(&t, p, 8));
	tako__quic_table_clear(&t, &of_b);
	assert_int_equal(t.count, MANY / 2 - 1);
	number(p, 8);
	assert_null(tako__quic_table_find(&t, p, 8));
	number(p, 9);
	assert_non_null(tako__quic_table_find(&t, p, 8));
	tako__quic_table_clear(&t, &of_a);
	assert_int_equal(t.count, 0);
	tako__quic_table_fini(&t);
	assert_int_equal(failalloc_live(), 0);
}

static void test_table_without_memory(void **state)
{
	struct tako__quic_cid *mine = NULL;
	struct tako__quic_table t;
	uint8_t p[8];
	unsigned added = 0;

	(void)state;
	failalloc_arm(1);
	assert_int_equal(tako__quic_table_init(&t, &key), TAKO_ENOMEM);
	(void)failalloc_disarm();
	assert_int_equal(tako__quic_table_init(&t, &key), 0);
	/* Each allocation fails once, the table's growth too. */
	for (unsigned i = 0; i < 200; i++) {
		int rc;

		number(p, i);
		failalloc_arm(1 + i % 2);
		rc = tako__quic_table_add(&t, &mine, (void *)16, p, 8);
		(void)failalloc_disarm();
		assert_true(rc == 0 || rc == TAKO_ENOMEM);
		added += rc == 0;
		assert_int_equal(t.count, added);
		assert_true((tako__quic_table_find(&t, p, 8) != NULL) == (rc == 0));
	}
	assert_in_range(added, 50, 199);
	tako__quic_table_clear(&t, &mine);
	tako__quic_table_fini(&t);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_depends_on_all_of_it),
		cmocka_unit_test(test_ids_name_their_worker),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_without_memory),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

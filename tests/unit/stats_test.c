/* SPDX-License-Identifier: MIT
 *
 * Figures: which bucket a duration falls into, and counters that start at nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base.h"
#include "core/stats.h"
#include "unit/failalloc.h"

/* Bucket k ends at 2^(12 + k) ns, as metrics say of it; the last one has no end. */
static void test_buckets(void **state)
{
	(void)state;
	assert_int_equal(tako__hist_bucket(0), 0);
	assert_int_equal(tako__hist_bucket(1), 0);
	for (unsigned k = 0; k + 1 < TAKO__HIST_BUCKETS; k++) {
		uint64_t end = UINT64_C(1) << (TAKO__HIST_FIRST_BIT + k);

		assert_int_equal(tako__hist_bucket(end - 1), k);
		assert_int_equal(tako__hist_bucket(end), k + 1);
	}
	assert_int_equal(tako__hist_bucket(UINT64_MAX), TAKO__HIST_BUCKETS - 1);
	/* About 4 µs and about 8.6 s. */
	assert_int_equal(tako__hist_bucket(4095), 0);
	assert_int_equal(tako__hist_bucket(UINT64_C(8600000000)), TAKO__HIST_BUCKETS - 1);
	assert_int_equal(tako__hist_bucket(UINT64_C(8500000000)), TAKO__HIST_BUCKETS - 2);
}

/* A counter that was counted down on another worker than up is negative on one of them: the
 * sum is right all the same. */
static void test_gauge_over_workers(void **state)
{
	tako__count up = 0;
	tako__count down = 0;

	(void)state;
	tako__add(&up, 3);
	tako__add(&down, (uint64_t)-1);
	tako__add(&down, (uint64_t)-1);
	assert_int_equal(tako__read(&up) + tako__read(&down), 1);
}

static void test_init(void **state)
{
	struct tako__stats s;
	size_t live = failalloc_live();

	(void)state;
	memset(&s, 0xa5, sizeof(s));
	assert_int_equal(tako__stats_init(&s, 3), 0);
	assert_int_equal(tako__read(&s.requests), 0);
	assert_int_equal(tako__read(&s.routes[1].responses[5]), 0);
	assert_int_equal(tako__read(&s.routes[2].sum_ns), 0);
	assert_int_equal(tako__read(&s.routes[2].bucket[TAKO__HIST_BUCKETS - 1]), 0);
	tako__stats_fini(&s);
	assert_int_equal(failalloc_live(), live);
	failalloc_arm(1);
	assert_int_equal(tako__stats_init(&s, 3), TAKO_ENOMEM);
	failalloc_disarm();
	tako__stats_fini(&s);
	assert_int_equal(failalloc_live(), live);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets),
		cmocka_unit_test(test_gauge_over_workers),
		cmocka_unit_test(test_init),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

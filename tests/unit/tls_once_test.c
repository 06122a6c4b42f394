/* SPDX-License-Identifier: MIT
 *
 * The register of tickets that were used: once each, for as long as it says, in bounded room.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "transports/tls/tls_once.h"
#include "unit/failalloc.h"

#define PERIOD ((uint64_t)TAKO__TLS_ONCE_PERIOD_S * 1000000000)

static void test_once(void **state)
{
	static const uint64_t ids[] = {0, 2, UINT64_MAX, 65536, 131072, 65537};
	struct tako__tls_once *o = tako__tls_once_new();

	(void)state;
	assert_non_null(o);
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		assert_true(tako__tls_once_take(o, ids[i], 5 * PERIOD));
		for (size_t k = 0; k <= i; k++)
			assert_false(tako__tls_once_take(o, ids[k], 5 * PERIOD + 1));
	}
	tako__tls_once_free(o);
}

/* For a whole period, however late in one it began; and not for ever. */
static void test_periods(void **state)
{
	struct tako__tls_once *o = tako__tls_once_new();
	uint64_t end = 8 * PERIOD - 1;

	(void)state;
	assert_non_null(o);
	assert_true(tako__tls_once_take(o, 7, end));
	assert_false(tako__tls_once_take(o, 7, end + 1));
	assert_false(tako__tls_once_take(o, 7, end + PERIOD));
	/* Who is late with its clock does not turn it back. */
	assert_false(tako__tls_once_take(o, 7, end));
	assert_false(tako__tls_once_take(o, 7, end + PERIOD));
	assert_true(tako__tls_once_take(o, 7, end + PERIOD + 1));
	/* Of long ago, with nothing in between. */
	assert_true(tako__tls_once_take(o, 9, end + PERIOD + 1));
	assert_true(tako__tls_once_take(o, 9, end + 4 * PERIOD));
	assert_false(tako__tls_once_take(o, 9, end + 4 * PERIOD));
	tako__tls_once_free(o);
}

/* What does not fit is refused, and the next period has room again. */
static void test_full(void **state)
{
	struct tako__tls_once *o = tako__tls_once_new();

	(void)state;
	assert_non_null(o);
	for (uint64_t i = 1; i <= TAKO__TLS_ONCE_MAX; i++)
		assert_true(tako__tls_once_take(o, i * 3, 0));
	assert_false(tako__tls_once_take(o, 1, 0));
	assert_false(tako__tls_once_take(o, 3, 0));
	assert_true(tako__tls_once_take(o, 1, PERIOD));
	assert_false(tako__tls_once_take(o, 3, PERIOD));
	tako__tls_once_free(o);
}

enum { THREADS = 4, EACH = 2000 };

static struct tako__tls_once *shared;
static _Atomic unsigned firsts;

static void *take_all(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; i <= EACH; i++)
		atomic_fetch_add(&firsts, tako__tls_once_take(shared, i << 40, PERIOD));
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	shared = tako__tls_once_new();
	assert_non_null(shared);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_all, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&firsts), EACH);
	tako__tls_once_free(shared);
}

static void test_without_memory(void **state)
{
	(void)state;
	failalloc_arm(1);
	assert_null(tako__tls_once_new());
	assert_int_equal(failalloc_disarm(), 1);
	tako__tls_once_free(NULL);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),           cmocka_unit_test(test_periods),
		cmocka_unit_test(test_full),           cmocka_unit_test(test_threads),
		cmocka_unit_test(test_without_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

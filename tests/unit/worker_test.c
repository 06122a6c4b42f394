/* SPDX-License-Identifier: MIT
 *
 * What protocols keep on a worker: each finds its own, on that worker only.  Workers that run are seen by
 * the tests of everything else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/worker.h"

struct share {
	struct tako__worker_local base;
	unsigned ended;
};

static void one_ends(struct tako__worker_local *l)
{
	((struct share *)l)->ended += 1;
}

static void other_ends(struct tako__worker_local *l)
{
	((struct share *)l)->ended += 100;
}

static void each_finds_its_own(void **state)
{
	static struct tako__worker w, neighbour;
	struct share one = {.ended = 0};
	struct share other = {.ended = 0};

	(void)state;
	assert_null(tako__worker_local(&w, one_ends));
	tako__worker_keep(&w, &one.base, one_ends);
	assert_null(tako__worker_local(&w, other_ends));
	tako__worker_keep(&w, &other.base, other_ends);
	assert_ptr_equal(tako__worker_local(&w, one_ends), &one);
	assert_ptr_equal(tako__worker_local(&w, other_ends), &other);
	assert_null(tako__worker_local(&neighbour, one_ends));
	for (struct tako__worker_local *l = w.locals; l; l = l->next)
		l->fini(l);
	assert_int_equal(one.ended, 1);
	assert_int_equal(other.ended, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_finds_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

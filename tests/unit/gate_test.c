/* SPDX-License-Identifier: MIT
 *
 * The gate: all threads pass it together, or none does and everybody learns the first reason.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base.h"
#include "core/gate.h"

enum { THREADS = 6, ROUNDS = 200 };

struct one {
	struct tako__gate *gate;
	pthread_t thread;
	int report;
	bool passed;
};

static atomic_int reported;
static atomic_int seen_too_early;

static void *come(void *arg)
{
	struct one *o = arg;

	if (o->report < 0)
		tako__fail(o->report, "thread says %d", o->report);
	atomic_fetch_add(&reported, 1);
	o->passed = tako__gate_pass(o->gate, o->report);
	if (atomic_load(&reported) < THREADS)
		atomic_fetch_add(&seen_too_early, 1);
	return NULL;
}

static void start(struct tako__gate *g, struct one *all, int count)
{
	for (int i = 0; i < count; i++) {
		all[i].gate = g;
		assert_int_equal(pthread_create(&all[i].thread, NULL, come, &all[i]), 0);
	}
}

static void join(struct one *all, int count)
{
	for (int i = 0; i < count; i++)
		assert_int_equal(pthread_join(all[i].thread, NULL), 0);
}

static int set_up(void **state)
{
	(void)state;
	atomic_store(&reported, 0);
	atomic_store(&seen_too_early, 0);
	return 0;
}

static void test_all_pass_together(void **state)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct one all[THREADS] = {0};
		struct tako__gate g;

		set_up(state);
		tako__gate_init(&g, THREADS);
		start(&g, all, THREADS);
		/* The gate is on our stack: fini must wait for those still looking at it. */
		tako__gate_fini(&g);
		memset(&g, 0xee, sizeof g);
		join(all, THREADS);
		assert_int_equal(atomic_load(&seen_too_early), 0);
		for (int i = 0; i < THREADS; i++)
			assert_true(all[i].passed);
	}
}

static void test_one_failure_stops_all(void **state)
{
	for (int round = 0; round < ROUNDS; round++) {
		struct one all[THREADS] = {0};
		struct tako__gate g;

		set_up(state);
		all[round % THREADS].report = TAKO_ENOMEM;
		tako__gate_init(&g, THREADS);
		start(&g, all, THREADS);
		tako__gate_wait(&g);
		assert_int_equal(g.err, TAKO_ENOMEM);
		assert_string_equal(g.text, "thread says -2");
		join(all, THREADS);
		tako__gate_fini(&g);
		assert_int_equal(atomic_load(&seen_too_early), 0);
		for (int i = 0; i < THREADS; i++)
			assert_false(all[i].passed);
	}
}

/* Reported while nobody is there yet, so the first one is known. */
static void test_first_failure_is_kept(void **state)
{
	struct one last = {0};
	struct tako__gate g;

	(void)state;
	atomic_store(&reported, THREADS);
	tako__gate_init(&g, 3);
	tako__fail(TAKO_ESYS, "first");
	tako__gate_fail(&g, TAKO_ESYS, 1);
	tako__fail(TAKO_ENOMEM, "second");
	tako__gate_fail(&g, TAKO_ENOMEM, 1);
	start(&g, &last, 1);
	join(&last, 1);
	assert_false(last.passed);
	assert_int_equal(g.err, TAKO_ESYS);
	assert_string_equal(g.text, "first");
	tako__gate_fini(&g);
}

static void test_failure_in_the_place_of_many(void **state)
{
	struct one some[2] = {0};
	struct tako__gate g;

	(void)state;
	atomic_store(&reported, THREADS);
	tako__gate_init(&g, 5);
	start(&g, some, 2);
	tako__fail(TAKO_ESYS, "no more threads");
	tako__gate_fail(&g, TAKO_ESYS, 3);
	tako__gate_wait(&g);
	join(some, 2);
	assert_false(some[0].passed || some[1].passed);
	assert_int_equal(g.err, TAKO_ESYS);
	tako__gate_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_pass_together),
		cmocka_unit_test(test_one_failure_stops_all),
		cmocka_unit_test_setup(test_first_failure_is_kept, set_up),
		cmocka_unit_test_setup(test_failure_in_the_place_of_many, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

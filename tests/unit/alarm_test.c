/* SPDX-License-Identifier: MIT
 *
 * The heap of alarms: against a model that keeps every deadline in an array, and its rules one by
 * one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/alarm.h"
#include "core/base.h"
#include "unit/failalloc.h"

enum { ALARMS = 200, STEPS = 20000 };

static uint64_t seed = 88172645463325252u;

static uint64_t random_u64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

struct watched {
	struct tako__alarm alarm;
	uint64_t due_ns;   /* the model's; UINT64_MAX: not armed */
	uint64_t fired_ns; /* when it was last */
};

static struct tako__alarms all;
static struct watched watched[ALARMS];
static uint64_t last_due;

static void on_alarm(struct tako__alarm *a, uint64_t now_ns)
{
	struct watched *w = TAKO__CONTAINER(a, struct watched, alarm);

	assert_true(w->due_ns <= now_ns);
	w->due_ns = UINT64_MAX;
	w->fired_ns = now_ns;
}

static void start(void)
{
	all = (struct tako__alarms){0};
	for (unsigned i = 0; i < ALARMS; i++) {
		watched[i] = (struct watched){.due_ns = UINT64_MAX};
		assert_int_equal(tako__alarm_init(&all, &watched[i].alarm, on_alarm), 0);
	}
}

static void finish(void)
{
	for (unsigned i = 0; i < ALARMS; i++)
		tako__alarm_fini(&all, &watched[i].alarm);
	assert_int_equal(all.owners, 0);
	tako__alarms_fini(&all);
}

static void run_and_compare(uint64_t now_ns)
{
	uint64_t earliest = UINT64_MAX;

	tako__alarms_run(&all, now_ns);
	assert_true(tako__alarms_check(&all));
	for (unsigned i = 0; i < ALARMS; i++) {
		/* Whatever was due has fired. */
		assert_true(watched[i].due_ns > now_ns);
		if (watched[i].due_ns < earliest)
			earliest = watched[i].due_ns;
	}
	assert_true(tako__alarms_next(&all) <= earliest);
	assert_true(tako__alarms_next(&all) > now_ns);
}

static void test_fires_what_is_due_and_nothing_else(void **state)
{
	uint64_t now = 1;

	(void)state;
	start();
	for (unsigned i = 0; i < STEPS; i++) {
		struct watched *w = &watched[random_u64() % ALARMS];

		switch (random_u64() % 4) {
		case 0:
			w->due_ns = UINT64_MAX;
			tako__alarm_set(&all, &w->alarm, UINT64_MAX);
			break;
		case 1:
			now += random_u64() % 1000;
			run_and_compare(now);
			break;
		default:
			w->due_ns = now + 1 + random_u64() % 10000;
			tako__alarm_set(&all, &w->alarm, w->due_ns);
		}
		assert_true(tako__alarms_check(&all));
	}
	finish();
}

static void in_order(struct tako__alarm *a, uint64_t now_ns)
{
	struct watched *w = TAKO__CONTAINER(a, struct watched, alarm);

	(void)now_ns;
	assert_true(w->due_ns >= last_due);
	last_due = w->due_ns;
}

static void test_fires_the_earliest_first(void **state)
{
	(void)state;
	start();
	last_due = 0;
	for (unsigned i = 0; i < ALARMS; i++) {
		watched[i].alarm.fn = in_order;
		watched[i].due_ns = 1 + random_u64() % 1000;
		tako__alarm_set(&all, &watched[i].alarm, watched[i].due_ns);
	}
	tako__alarms_run(&all, 1000);
	assert_int_equal(all.count, 0);
	assert_true(last_due > 0);
	finish();
}

static unsigned again_count;

static void again(struct tako__alarm *a, uint64_t now_ns)
{
	again_count++;
	tako__alarm_set(&all, a, now_ns - 5);
}

static void test_one_that_is_armed_for_the_past_waits_for_the_next_run(void **state)
{
	(void)state;
	start();
	again_count = 0;
	watched[0].alarm.fn = again;
	tako__alarm_set(&all, &watched[0].alarm, 10);
	tako__alarms_run(&all, 100);
	assert_int_equal(again_count, 1);
	assert_int_equal(tako__alarms_next(&all), 101);
	tako__alarms_run(&all, 101);
	assert_int_equal(again_count, 2);
	finish();
}

static void end_itself(struct tako__alarm *a, uint64_t now_ns)
{
	(void)now_ns;
	tako__alarm_fini(&all, a);
	tako__alarm_fini(&all, &watched[1].alarm);
}

static void test_a_callback_may_end_its_own_and_others(void **state)
{
	(void)state;
	start();
	watched[0].alarm.fn = end_itself;
	tako__alarm_set(&all, &watched[0].alarm, 10);
	tako__alarm_set(&all, &watched[1].alarm, 11);
	watched[2].due_ns = 12;
	tako__alarm_set(&all, &watched[2].alarm, 12);
	tako__alarms_run(&all, 20);
	assert_int_equal(watched[2].fired_ns, 20);
	assert_true(tako__alarms_check(&all));
	finish();
}

static void test_without_memory_none_is_added(void **state)
{
	struct tako__alarms few = {0};
	struct tako__alarm alarms[17];

	(void)state;
	failalloc_arm(2);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(tako__alarm_init(&few, &alarms[i], on_alarm), 0);
	assert_int_equal(tako__alarm_init(&few, &alarms[16], on_alarm), TAKO_ENOMEM);
	assert_int_equal(failalloc_disarm(), 1);
	assert_int_equal(few.owners, 16);
	tako__alarms_fini(&few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fires_what_is_due_and_nothing_else),
		cmocka_unit_test(test_fires_the_earliest_first),
		cmocka_unit_test(test_one_that_is_armed_for_the_past_waits_for_the_next_run),
		cmocka_unit_test(test_a_callback_may_end_its_own_and_others),
		cmocka_unit_test(test_without_memory_none_is_added),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

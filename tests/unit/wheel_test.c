/* SPDX-License-Identifier: MIT
 *
 * The timer wheel under virtual time: against a model that keeps every deadline in an array,
 * over random steps from nanoseconds to days, and the rules of its callbacks one by one.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "core/wheel.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)

static uint64_t seed = 88172645463325252u;

static uint64_t random_u64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* ---- Against a model ------------------------------------------------------ */

enum { TIMERS = 300 };

struct watched {
	struct tako__timer timer;
	uint64_t due_tick; /* the model: first tick at which it may fire; 0: not armed */
};

static struct tako__wheel wheel;
static struct watched watched[TIMERS];
static uint64_t now;
static uint64_t last_fired_tick;
static unsigned fired_count;

static uint64_t ceil_tick(uint64_t ns)
{
	return (ns + MS - 1) / MS;
}

static void model_set(struct watched *x, uint64_t deadline_ns, uint64_t soonest_tick)
{
	tako__timer_set(&wheel, &x->timer, deadline_ns);
	x->due_tick = ceil_tick(deadline_ns);
	if (x->due_tick < soonest_tick)
		x->due_tick = soonest_tick;
}

static uint64_t random_delay(void)
{
	static const uint64_t scale[] = {2 * MS,       70 * MS,  5 * SECOND,
	                                 400 * SECOND, 5 * HOUR, 30 * HOUR};

	return random_u64() % scale[random_u64() % TAKO__COUNT(scale)];
}

static void on_watched(struct tako__timer *t, uint64_t now_ns)
{
	struct watched *x = TAKO__CONTAINER(t, struct watched, timer);
	struct watched *other = &watched[random_u64() % TIMERS];

	assert_int_equal(now_ns, now);
	assert_false(tako__timer_armed(t));
	assert_true(x->due_tick != 0);
	assert_true(x->due_tick <= now / MS);
	assert_true(x->due_tick >= last_fired_tick);
	last_fired_tick = x->due_tick;
	x->due_tick = 0;
	fired_count++;
	if (random_u64() % 4 == 0)
		model_set(x, now + random_delay(), now / MS + 1);
	if (random_u64() % 8 == 0)
		model_set(other, now - MS + random_delay(), now / MS + 1);
	if (random_u64() % 8 == 0) {
		tako__timer_clear(&wheel, &other->timer);
		other->due_tick = 0;
	}
}

/* Nothing due is left, everything else is armed, and the next run is planned in time. */
static void check_against_model(void)
{
	uint64_t first = TAKO__NEVER;
	uint64_t next = tako__wheel_next(&wheel);
	int armed = 0;

	for (int i = 0; i < TIMERS; i++) {
		const struct watched *x = &watched[i];

		assert_int_equal(tako__timer_armed(&x->timer), x->due_tick != 0);
		if (!x->due_tick)
			continue;
		armed++;
		assert_true(x->due_tick > now / MS);
		if (x->due_tick < first)
			first = x->due_tick;
	}
	assert_int_equal(tako__wheel_check(&wheel), armed);
	if (!armed) {
		assert_true(next == TAKO__NEVER);
		return;
	}
	assert_true(next <= first * MS);
	assert_true(next > now - now % MS);
	if ((first ^ now / MS) < 64)
		assert_true(next == first * MS);
}

static void step_model(void)
{
	struct watched *x = &watched[random_u64() % TIMERS];

	switch (random_u64() % 4) {
	case 0:
	case 1:
		model_set(x, now - 5 * MS + random_delay(), now / MS + 1);
		break;
	case 2:
		tako__timer_clear(&wheel, &x->timer);
		x->due_tick = 0;
		break;
	default:
		now += random_u64() % 16 ? random_u64() % (40 * MS) : random_delay();
		last_fired_tick = 0;
		tako__wheel_run(&wheel, now);
	}
}

static void test_model(void **state)
{
	static const uint64_t starts[] = {10 * MS, HOUR, ((UINT64_C(1) << 24) - 9) * MS,
	                                  ((UINT64_C(7) << 30) - 1) * MS + 5};

	(void)state;
	for (size_t s = 0; s < TAKO__COUNT(starts); s++) {
		now = starts[s];
		tako__wheel_init(&wheel, now);
		for (int i = 0; i < TIMERS; i++) {
			tako__timer_init(&watched[i].timer, on_watched);
			watched[i].due_tick = 0;
		}
		fired_count = 0;
		for (int i = 0; i < 20000; i++) {
			step_model();
			check_against_model();
		}
		assert_true(fired_count > 1000);
	}
}

/* A loop that sleeps exactly as long as it is told wakes seldom, and misses nothing by more
 * than a tick. */
static void test_next_is_enough(void **state)
{
	unsigned runs = 0;

	(void)state;
	now = 5 * MS + 1;
	tako__wheel_init(&wheel, now);
	for (int i = 0; i < TIMERS; i++) {
		tako__timer_init(&watched[i].timer, on_watched);
		model_set(&watched[i], now + random_delay(), now / MS + 1);
	}
	fired_count = 0;
	while (fired_count < 2000 && tako__wheel_next(&wheel) != TAKO__NEVER) {
		assert_true(tako__wheel_next(&wheel) > now);
		now = tako__wheel_next(&wheel);
		last_fired_tick = 0;
		tako__wheel_run(&wheel, now);
		check_against_model(); /* asserts that nothing with due_tick <= now is left */
		runs++;
	}
	assert_true(fired_count > TIMERS / 2);
	assert_true(runs < fired_count * 6);
}

/* ---- Rules, one by one ------------------------------------------------------ */

struct plain {
	struct tako__timer timer;
	struct tako__timer *victim;
	uint64_t again_ns;
	unsigned fired;
};

static void on_plain(struct tako__timer *t, uint64_t now_ns)
{
	struct plain *x = TAKO__CONTAINER(t, struct plain, timer);

	(void)now_ns;
	x->fired++;
	if (x->victim)
		tako__timer_clear(&wheel, x->victim);
	if (x->again_ns)
		tako__timer_set(&wheel, t, x->again_ns);
}

static void renew(struct plain *x)
{
	memset(x, 0, sizeof(*x));
	tako__timer_init(&x->timer, on_plain);
}

static void test_never_early(void **state)
{
	struct plain x;

	(void)state;
	tako__wheel_init(&wheel, 0);
	renew(&x);
	tako__timer_set(&wheel, &x.timer, 10 * MS + 1);
	tako__wheel_run(&wheel, 10 * MS + 999999);
	assert_int_equal(x.fired, 0);
	assert_true(tako__wheel_next(&wheel) == 11 * MS);
	tako__wheel_run(&wheel, 11 * MS);
	assert_int_equal(x.fired, 1);
	/* On the tick exactly: fires there, not a tick later. */
	tako__timer_set(&wheel, &x.timer, 12 * MS);
	tako__wheel_run(&wheel, 12 * MS - 1);
	assert_int_equal(x.fired, 1);
	tako__wheel_run(&wheel, 12 * MS);
	assert_int_equal(x.fired, 2);
}

static void test_late_deadline_is_next_tick(void **state)
{
	struct plain x;

	(void)state;
	tako__wheel_init(&wheel, 100 * MS);
	renew(&x);
	tako__timer_set(&wheel, &x.timer, 0);
	assert_true(tako__timer_armed(&x.timer));
	assert_true(tako__wheel_next(&wheel) == 101 * MS);
	tako__wheel_run(&wheel, 100 * MS);
	assert_int_equal(x.fired, 0);
	tako__wheel_run(&wheel, 101 * MS);
	assert_int_equal(x.fired, 1);
}

static void test_set_never_and_clear(void **state)
{
	struct plain x;

	(void)state;
	tako__wheel_init(&wheel, 0);
	renew(&x);
	assert_false(tako__timer_armed(&x.timer));
	assert_true(tako__wheel_next(&wheel) == TAKO__NEVER);
	tako__timer_clear(&wheel, &x.timer);
	tako__timer_set(&wheel, &x.timer, 50 * MS);
	assert_true(x.timer.deadline_ns == 50 * MS);
	tako__timer_set(&wheel, &x.timer, 20 * MS);
	assert_int_equal(tako__wheel_check(&wheel), 1);
	tako__timer_set(&wheel, &x.timer, TAKO__NEVER);
	assert_false(tako__timer_armed(&x.timer));
	assert_true(tako__wheel_next(&wheel) == TAKO__NEVER);
	assert_int_equal(tako__wheel_check(&wheel), 0);
	tako__wheel_run(&wheel, HOUR);
	assert_int_equal(x.fired, 0);
}

/* A timer that always asks for a time gone by fires once a run, however long the jump. */
static void test_a_run_ends(void **state)
{
	struct plain x;
	struct plain y;

	(void)state;
	tako__wheel_init(&wheel, 10 * MS);
	renew(&x);
	renew(&y);
	x.again_ns = 1;
	tako__timer_set(&wheel, &x.timer, 11 * MS);
	tako__timer_set(&wheel, &y.timer, 64 * MS);
	for (unsigned i = 1; i <= 5; i++) {
		tako__wheel_run(&wheel, (10 + i * 4097) * MS);
		assert_int_equal(x.fired, i);
		assert_int_equal(tako__wheel_check(&wheel), 1);
	}
	assert_int_equal(y.fired, 1);
}

/* Both due in the same tick, each clearing the other: exactly one fires. */
static void test_clear_in_the_same_tick(void **state)
{
	struct plain x;
	struct plain y;

	(void)state;
	tako__wheel_init(&wheel, 0);
	renew(&x);
	renew(&y);
	x.victim = &y.timer;
	y.victim = &x.timer;
	tako__timer_set(&wheel, &x.timer, 5000 * MS);
	tako__timer_set(&wheel, &y.timer, 5000 * MS);
	tako__wheel_run(&wheel, 5000 * MS);
	assert_int_equal(x.fired, 1);
	assert_int_equal(y.fired, 0);
	assert_int_equal(tako__wheel_check(&wheel), 0);
	assert_true(tako__wheel_next(&wheel) == TAKO__NEVER);
}

static void on_freed(struct tako__timer *t, uint64_t now_ns)
{
	(void)now_ns;
	fired_count++;
	test_free(t);
}

static void test_may_free_itself(void **state)
{
	(void)state;
	tako__wheel_init(&wheel, 0);
	fired_count = 0;
	for (uint64_t i = 0; i < 20; i++) {
		struct tako__timer *t = test_malloc(sizeof(*t));

		tako__timer_init(t, on_freed);
		tako__timer_set(&wheel, t, (100 + i / 4) * MS);
	}
	tako__wheel_run(&wheel, SECOND);
	assert_int_equal(fired_count, 20);
}

static void test_time_does_not_go_back(void **state)
{
	struct plain x;

	(void)state;
	tako__wheel_init(&wheel, HOUR);
	renew(&x);
	tako__timer_set(&wheel, &x.timer, HOUR + MS);
	tako__wheel_run(&wheel, 0);
	tako__wheel_run(&wheel, HOUR);
	assert_int_equal(x.fired, 0);
	assert_int_equal(tako__wheel_check(&wheel), 1);
	tako__wheel_run(&wheel, HOUR + MS);
	assert_int_equal(x.fired, 1);
}

/* Further than the wheel reaches, and across its turns. */
static void test_far_deadlines(void **state)
{
	struct plain x;
	struct plain y;

	(void)state;
	tako__wheel_init(&wheel, 3 * MS);
	renew(&x);
	renew(&y);
	tako__timer_set(&wheel, &x.timer, 24 * HOUR);
	tako__timer_set(&wheel, &y.timer, UINT64_MAX - 1);
	for (uint64_t h = 1; h < 24; h++) {
		tako__wheel_run(&wheel, h * HOUR);
		assert_int_equal(tako__wheel_check(&wheel), 2);
		assert_true(tako__wheel_next(&wheel) > h * HOUR);
	}
	tako__wheel_run(&wheel, 24 * HOUR - 1);
	assert_int_equal(x.fired, 0);
	tako__wheel_run(&wheel, 24 * HOUR);
	assert_int_equal(x.fired, 1);
	assert_int_equal(y.fired, 0);
	assert_int_equal(tako__wheel_check(&wheel), 1);
	/* A tick that no clock can show is not a time to wake at. */
	tako__wheel_init(&wheel, UINT64_MAX - 2 * MS);
	renew(&y);
	tako__timer_set(&wheel, &y.timer, UINT64_MAX - 1);
	assert_true(tako__wheel_next(&wheel) == TAKO__NEVER);
}

/* Ten thousand jumps of half a day with a timer in each: a wheel that walked every tick would
 * need 4 * 10^11 of them. */
static void test_jumps_are_cheap(void **state)
{
	struct plain x;

	(void)state;
	now = 0;
	tako__wheel_init(&wheel, now);
	renew(&x);
	for (unsigned i = 0; i < 10000; i++) {
		tako__timer_set(&wheel, &x.timer, now + HOUR);
		now += 12 * HOUR;
		tako__wheel_run(&wheel, now);
	}
	assert_int_equal(x.fired, 10000);
}

static void test_check_notices(void **state)
{
	struct plain x;

	(void)state;
	tako__wheel_init(&wheel, 0);
	renew(&x);
	tako__timer_set(&wheel, &x.timer, 30 * MS);
	assert_int_equal(tako__wheel_check(&wheel), 1);
	x.timer.deadline_ns = 31 * MS;
	assert_int_equal(tako__wheel_check(&wheel), -1);
	x.timer.deadline_ns = 30 * MS;
	wheel.used[0] |= 1;
	assert_int_equal(tako__wheel_check(&wheel), -1);
	wheel.used[0] = 0;
	assert_int_equal(tako__wheel_check(&wheel), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_next_is_enough),
		cmocka_unit_test(test_never_early),
		cmocka_unit_test(test_late_deadline_is_next_tick),
		cmocka_unit_test(test_set_never_and_clear),
		cmocka_unit_test(test_a_run_ends),
		cmocka_unit_test(test_clear_in_the_same_tick),
		cmocka_unit_test(test_may_free_itself),
		cmocka_unit_test(test_time_does_not_go_back),
		cmocka_unit_test(test_far_deadlines),
		cmocka_unit_test(test_jumps_are_cheap),
		cmocka_unit_test(test_check_notices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

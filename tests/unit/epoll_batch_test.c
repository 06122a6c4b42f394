/* SPDX-License-Identifier: MIT
 *
 * Streams whose input is read in one go: none hears of the others' but by what they do to it.
 */
#include "unit/runtime_rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"

enum { ENDS = 40, ACTORS = 3, MUCH = 100000, LARGE = 16 << 20 };

static struct end ends[ENDS];
static struct tako_sock_cb acting;
static const struct tako_sock_cb *plain;
/* What the first one that hears something does to the others, once. */
static void (*act)(struct end *self);
static unsigned saw_answers;

static void on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	void (*now)(struct end * self) = act;

	plain->on_recv(s, p, res);
	act = NULL;
	if (now)
		now(TAKO__CONTAINER(s, struct end, s));
}

static void start(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		rig_start(&ends[i]);
		plain = ends[i].s.cb;
		acting = *plain;
		acting.on_recv = on_recv;
		ends[i].s.cb = &acting;
	}
	/* Registered, and nothing left of the first look. */
	rig_turn(2);
}

static void finish(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		rig_finish(&ends[i]);
}

static int set_up(void **state)
{
	struct tako_loop_config cfg = {.size = sizeof cfg};

	(void)state;
	act = NULL;
	return rig_open(&cfg);
}

static void close_others(struct end *self)
{
	for (unsigned i = 0; i < ACTORS; i++) {
		if (&ends[i] != self)
			RIG_CALL(rig.rt->close(&ends[i].s));
	}
}

static void pause_others(struct end *self)
{
	for (unsigned i = 0; i < ACTORS; i++) {
		if (&ends[i] != self)
			ends[i].s.flags |= TAKO_SOCK_PAUSED;
	}
}

/* Of those that were not called yet each has something to say. */
static void ask_others(struct end *self)
{
	for (unsigned i = 0; i < ACTORS; i++) {
		bool is_self = &ends[i] == self;

		assert_int_equal(rig.rt->silent(&ends[i].s), is_self);
		assert_int_equal(rig.rt->waiting(&ends[i].s), !is_self);
	}
}

/* What was read and not handed up is not delivered. */
static void test_ask_others(void **state)
{
	(void)state;
	start(ACTORS);
	for (unsigned i = 0; i < ACTORS; i++)
		rig_say(&ends[i], "x", 1);
	act = ask_others;
	rig_turn(1);
	assert_null(act);
	for (unsigned i = 0; i < ACTORS; i++) {
		assert_int_equal(ends[i].n, 1);
		assert_true(rig.rt->silent(&ends[i].s));
		assert_false(rig.rt->waiting(&ends[i].s));
	}
	finish(ACTORS);
}

/* More than fit in one go, all in one turn and each exactly once. */
static void test_all(void **state)
{
	char byte[2] = {0};

	(void)state;
	start(ENDS);
	for (unsigned round = 1; round <= 3; round++) {
		for (unsigned i = 0; i < ENDS; i++) {
			byte[0] = (char)('A' + i);
			rig_say(&ends[i], byte, 1);
		}
		rig_turn(1);
		for (unsigned i = 0; i < ENDS; i++) {
			assert_int_equal(ends[i].calls, round);
			assert_int_equal(ends[i].n, round);
			assert_int_equal(ends[i].got[round - 1], 'A' + i);
		}
	}
	finish(ENDS);
}

static void test_much(void **state)
{
	char *data = rig_pattern(MUCH);

	(void)state;
	start(ACTORS);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < ACTORS; i++)
			rig_say(&ends[i], data + round * (MUCH / 2), MUCH / 2);
		rig_turn(20);
	}
	for (unsigned i = 0; i < ACTORS; i++) {
		assert_int_equal(ends[i].n, MUCH);
		assert_memory_equal(ends[i].got, data, MUCH);
	}
	finish(ACTORS);
	free(data);
}

/* Who was closed by another's callback hears nothing more. */
static void test_close_others(void **state)
{
	unsigned calls = 0;

	(void)state;
	start(ACTORS);
	for (unsigned i = 0; i < ACTORS; i++)
		rig_say(&ends[i], "x", 1);
	act = close_others;
	rig_turn(1);
	for (unsigned i = 0; i < ACTORS; i++)
		calls += ends[i].calls;
	assert_int_equal(calls, 1);
	rig_turn(1);
	for (unsigned i = 0; i < ACTORS; i++)
		assert_int_equal(ends[i].closed, !ends[i].calls);
	finish(ACTORS);
}

static void pause_all_but_one(bool and_end)
{
	for (unsigned i = 0; i < ACTORS; i++) {
		rig_say(&ends[i], "x", 1);
		if (and_end)
			shutdown(ends[i].peer, SHUT_WR);
	}
	act = pause_others;
	rig_turn(3);
}

static unsigned who_heard(void)
{
	unsigned heard = ACTORS;

	for (unsigned i = 0; i < ACTORS; i++) {
		if (ends[i].calls) {
			assert_int_equal(heard, ACTORS);
			heard = i;
		}
	}
	assert_true(heard < ACTORS);
	return heard;
}

/* Pause is absolute, and what comes later stays behind. */
static void test_pause_others(void **state)
{
	unsigned heard;

	(void)state;
	start(ACTORS);
	pause_all_but_one(false);
	heard = who_heard();
	for (unsigned i = 0; i < ACTORS; i++) {
		if (i == heard)
			continue;
		assert_true(rig.rt->waiting(&ends[i].s));
		rig_say(&ends[i], "yz", 2);
		shutdown(ends[i].peer, SHUT_WR);
	}
	rig_turn(3);
	assert_int_equal(who_heard(), heard);
	for (unsigned i = 0; i < ACTORS; i++) {
		if (i == heard)
			continue;
		RIG_CALL(rig.rt->resume(&ends[i].s));
		rig_turn(3);
		assert_int_equal(ends[i].n, 3);
		assert_memory_equal(ends[i].got, "xyz", 3);
		assert_int_equal(ends[i].ends, 1);
		assert_int_equal(ends[i].end_res, 0);
	}
	finish(ACTORS);
}

/* Nor does an end come through one. */
static void test_pause_before_the_end(void **state)
{
	unsigned heard;

	(void)state;
	start(ACTORS);
	for (unsigned i = 0; i < ACTORS; i++)
		rig_say(&ends[i], "x", 1);
	rig_turn(1);
	for (unsigned i = 0; i < ACTORS; i++)
		ends[i].calls = 0;
	pause_all_but_one(true);
	heard = who_heard();
	for (unsigned i = 0; i < ACTORS; i++) {
		RIG_CALL(rig.rt->resume(&ends[i].s));
		rig_turn(3);
		assert_int_equal(ends[i].n, 2);
		assert_int_equal(ends[i].ends, 1);
	}
	assert_true(heard < ACTORS);
	finish(ACTORS);
}

/* Closed while paused: what it had is nobody's. */
static void test_close_parked(void **state)
{
	(void)state;
	start(ACTORS);
	pause_all_but_one(false);
	(void)who_heard();
	finish(ACTORS);
}

/* What it sends meanwhile, a file above all, leaves alone what it had. */
static void test_file_past_parked(void **state)
{
	enum { FILE_N = 600 << 10 };
	char name[] = "build/.batch-test-XXXXXX";
	int fd = mkostemp(name, O_CLOEXEC);
	char *data = rig_pattern(FILE_N);
	char *got = malloc(FILE_N);
	unsigned heard;

	(void)state;
	assert_true(fd >= 0 && got);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(write(fd, data, FILE_N), FILE_N);
	start(ACTORS);
	pause_all_but_one(false);
	heard = who_heard();
	for (unsigned i = 0; i < ACTORS; i++) {
		if (i == heard)
			continue;
		rig_queue_file(&ends[i], rig.completed, fd, 0, FILE_N);
		assert_int_equal(rig_drain(&ends[i], got, FILE_N), FILE_N);
		assert_memory_equal(got, data, FILE_N);
		assert_int_equal(ends[i].n, 0);
		RIG_CALL(rig.rt->resume(&ends[i].s));
		rig_turn(3);
		assert_int_equal(ends[i].n, 1);
		assert_memory_equal(ends[i].got, "x", 1);
	}
	rig_check_ops(ACTORS - 1, ACTORS - 1, 0);
	finish(ACTORS);
	free(got);
	free(data);
	close(fd);
}

static void test_without_memory(void **state)
{
	(void)state;
	start(ACTORS);
	rig_alloc_fail(1);
	for (unsigned i = 0; i < ACTORS; i++)
		rig_say(&ends[i], "x", 1);
	rig_turn(1);
	assert_int_equal(rig_alloc_failed(), 1);
	for (unsigned i = 0; i < ACTORS; i++)
		assert_int_equal(ends[i].n, 1);
	finish(ACTORS);
}

/* An answer does not wait for many slow handlers: a later one finds the first sent. */
static void work(struct tako_sock *s, char *p, ssize_t res)
{
	unsigned i = (unsigned)(TAKO__CONTAINER(s, struct end, s) - ends);
	uint64_t until = tako__clock_ns() + 1000000;

	plain->on_recv(s, p, res);
	if (rig.completed)
		saw_answers++;
	else
		while (tako__clock_ns() < until)
			;
	rig_queue(&ends[i], i, "answer", 6);
}

static void test_slow_handlers(void **state)
{
	(void)state;
	start(16);
	acting.on_recv = work;
	saw_answers = 0;
	for (unsigned i = 0; i < 16; i++)
		rig_say(&ends[i], "x", 1);
	rig_turn(1);
	rig_turn(1);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(rig.ops[i].done, 1);
	assert_int_equal(saw_answers, 12);
	finish(16);
}

/* ---- Answers that are more than one send, or the last ------------------------------------- */

static const char *answer_data;
static size_t answer_n;
static bool answer_last;

static void answer_all(struct tako_sock *s, char *p, ssize_t res)
{
	unsigned i = (unsigned)(TAKO__CONTAINER(s, struct end, s) - ends);

	plain->on_recv(s, p, res);
	rig.ops[i].close_in_done = answer_last;
	rig.ops[i].then = answer_last ? NULL : &rig.ops[i + ACTORS];
	rig_queue(&ends[i], i, answer_data, answer_n);
}

/* Answered together, in one turn, and with `then` behind it. */
static void ask_all(const char *data, size_t n, bool last)
{
	answer_data = data;
	answer_n = n;
	answer_last = last;
	start(ACTORS);
	acting.on_recv = answer_all;
	for (unsigned i = 0; i < ACTORS; i++) {
		if (!last)
			rig_prepare(&ends[i], i + ACTORS, "then", 4);
		rig_say(&ends[i], "x", 1);
	}
	rig_turn(1);
}

/* What the kernel does not take at once goes on where that ended. */
static void test_large_answers(void **state)
{
	char *data = rig_pattern(LARGE);
	char *got = malloc(LARGE + 4);

	(void)state;
	assert_non_null(got);
	ask_all(data, LARGE, false);
	assert_int_equal(rig.completed, 0);
	for (unsigned i = 0; i < ACTORS; i++) {
		assert_true(ends[i].s.sent_bytes > 0);
		assert_int_equal(rig_drain(&ends[i], got, LARGE + 4), LARGE + 4);
		assert_memory_equal(got, data, LARGE);
		assert_memory_equal(got + LARGE, "then", 4);
		assert_int_equal(rig.ops[i].done, 1);
		assert_int_equal(rig.ops[i + ACTORS].done, 1);
	}
	finish(ACTORS);
	free(got);
	free(data);
}

/* What is queued when an answer has left leaves as well; and it may be the end. */
static void test_then(void **state)
{
	char got[10];

	(void)state;
	ask_all("answer", 6, false);
	for (unsigned i = 0; i < ACTORS; i++) {
		assert_int_equal(rig_drain(&ends[i], got, sizeof got), sizeof got);
		assert_memory_equal(got, "answerthen", sizeof got);
	}
	finish(ACTORS);
}

static void test_last_answer(void **state)
{
	char got[7];

	(void)state;
	ask_all("answer", 6, true);
	for (unsigned i = 0; i < ACTORS; i++) {
		assert_int_equal(ends[i].closed, 1);
		assert_int_equal(recv(ends[i].peer, got, sizeof got, 0), 6);
		assert_int_equal(recv(ends[i].peer, got, sizeof got, 0), 0);
	}
	finish(ACTORS);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, rig_tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_all),
		TEST(test_much),
		TEST(test_ask_others),
		TEST(test_close_others),
		TEST(test_pause_others),
		TEST(test_pause_before_the_end),
		TEST(test_close_parked),
		TEST(test_file_past_parked),
		TEST(test_without_memory),
		TEST(test_slow_handlers),
		TEST(test_large_answers),
		TEST(test_then),
		TEST(test_last_answer),
	};

	if (rig_install(tako_runtime_epoll()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * What any runtime must do, see runtime_contract.h: receiving, pausing, ending.
 */
#include "unit/runtime_contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/runtime_rig.h"

/* ---- Receiving ------------------------------------------------------------------------------ */

static void test_receive_then_end(void **state)
{
	struct end e;

	(void)state;
	rig_start(&e);
	rig_say(&e, "before", 6);
	assert_int_equal(e.calls, 0);
	rig_turn(1);
	assert_int_equal(e.n, 6);
	rig_say(&e, "after", 5);
	rig_turn(2);
	shutdown(e.peer, SHUT_WR);
	rig_turn(3);
	assert_int_equal(e.n, 11);
	assert_memory_equal(e.got, "beforeafter", 11);
	assert_int_equal(e.ends, 1);
	assert_int_equal(e.end_res, 0);
	/* Our side still sends. */
	rig_queue(&e, 0, "bye", 3);
	rig_turn(1);
	rig_check_ops(1, 1, 0);
	rig_finish(&e);
}

/* All sizes around a full buffer, where a short read tells that there is no more. */
static void test_sizes_around_a_buffer(void **state)
{
	char *data = rig_pattern(3 * RIG_RECV_BUFFER);

	(void)state;
	for (size_t n = RIG_RECV_BUFFER - 1; n <= 2 * RIG_RECV_BUFFER + 1;
	     n += n % RIG_RECV_BUFFER == 1 ? 1022 : 1) {
		struct end e;

		rig_start(&e);
		rig_turn(1);
		rig_say(&e, data, n);
		rig_turn(4);
		assert_int_equal(e.n, n);
		rig_say(&e, data + n, 1);
		rig_turn(1);
		assert_int_equal(e.n, n + 1);
		assert_memory_equal(e.got, data, n + 1);
		close(e.peer);
		e.peer = -1;
		rig_turn(2);
		assert_int_equal(e.ends, 1);
		rig_finish(&e);
	}
	free(data);
}

static void test_pause_holds_data_and_end(void **state)
{
	for (int watched = 0; watched < 2; watched++) {
		struct end e;

		(void)state;
		rig_start(&e);
		if (watched)
			rig_turn(2);
		e.s.flags |= TAKO_SOCK_PAUSED;
		rig_say(&e, "held", 4);
		close(e.peer);
		e.peer = -1;
		rig_turn(5);
		assert_int_equal(e.calls, 0);
		RIG_CALL(rig.rt->resume(&e.s));
		assert_int_equal(e.calls, 0);
		rig_turn(3);
		assert_int_equal(e.n, 4);
		assert_int_equal(e.ends, 1);
		assert_int_equal(e.end_res, 0);
		rig_finish(&e);
	}
}

static void test_pause_from_a_delivery(void **state)
{
	char *data = rig_pattern(3 * RIG_RECV_BUFFER);
	struct end e;

	(void)state;
	rig_start(&e);
	rig_say(&e, data, 3 * RIG_RECV_BUFFER);
	close(e.peer);
	e.peer = -1;
	for (unsigned i = 1; i <= 3; i++) {
		e.pause_next = true;
		rig_turn(5);
		assert_int_equal(e.calls, i);
		assert_int_equal(e.n, i * RIG_RECV_BUFFER);
		RIG_CALL(rig.rt->resume(&e.s));
	}
	rig_turn(3);
	assert_int_equal(e.calls, 4);
	assert_int_equal(e.ends, 1);
	assert_memory_equal(e.got, data, 3 * RIG_RECV_BUFFER);
	rig_finish(&e);
	free(data);
}

static void test_resume_without_a_pause(void **state)
{
	struct end e;

	(void)state;
	rig_start(&e);
	RIG_CALL(rig.rt->resume(&e.s));
	rig_turn(2);
	assert_int_equal(e.calls, 0);
	rig_finish(&e);
}

/* A reset is an end too. */
static void test_reset(void **state)
{
	struct end e;

	(void)state;
	rig_start(&e);
	rig_queue(&e, 0, "never read", 10);
	rig_turn(2);
	rig_check_ops(1, 1, 0);
	close(e.peer); /* with bytes unread: a reset */
	e.peer = -1;
	rig_turn(3);
	assert_int_equal(e.ends, 1);
	assert_int_equal(e.end_res, TAKO_ECLOSED);
	rig_finish(&e);
}

static void test_failed_send_while_paused(void **state)
{
	enum { BIG = 20000 };
	char *data = rig_pattern(BIG);
	struct end e;

	(void)state;
	rig_start(&e);
	rig_turn(2);
	e.s.flags |= TAKO_SOCK_PAUSED;
	close(e.peer);
	e.peer = -1;
	/* More than a runtime may take on trust. */
	rig_queue(&e, 0, data, BIG);
	rig_queue(&e, 1, data, BIG);
	rig_turn(5);
	rig_check_ops(2, 0, TAKO_ECLOSED);
	assert_int_equal(e.calls, 0);
	RIG_CALL(rig.rt->resume(&e.s));
	rig_turn(3);
	assert_int_equal(e.ends, 1);
	rig_finish(&e);
	free(data);
}

static void test_close_from_a_delivery(void **state)
{
	struct end e;

	(void)state;
	rig_start(&e);
	rig_say(&e, "x", 1);
	rig_queue(&e, 0, "queued", 6);
	e.close_next = true;
	rig_turn(1);
	assert_int_equal(e.calls, 1);
	assert_int_equal(e.closed, 1);
	assert_int_equal(rig.ops[0].done, 1);
	rig_finish(&e);
}

/* One with endless input, and one with a byte: both get their share of every turn. */
static void test_fairness(void **state)
{
	char *data = rig_pattern(64 * RIG_RECV_BUFFER);
	struct end busy;
	struct end quiet;

	(void)state;
	rig_start(&busy);
	rig_start(&quiet);
	rig_turn(2);
	rig_say(&busy, data, 64 * RIG_RECV_BUFFER);
	for (unsigned i = 1; i <= 5 && busy.n < 64 * RIG_RECV_BUFFER; i++) {
		size_t before = busy.n;

		rig_say(&quiet, "x", 1);
		rig_turn(1);
		assert_int_equal(quiet.n, i);
		assert_in_range(busy.n - before, 1, rig.share * RIG_RECV_BUFFER);
	}
	rig_turn(64);
	assert_int_equal(busy.n, 64 * RIG_RECV_BUFFER);
	assert_memory_equal(busy.got, data, busy.n);
	rig_finish(&busy);
	rig_finish(&quiet);
	free(data);
}

/* Both kinds of peers of a runtime that receives ahead: what came before the pause took effect,
 * and what comes between its end and the next byte. */
static void test_pauses_keep_the_order(void **state)
{
	enum { ROUNDS = 200 };
	char *data = rig_pattern(ROUNDS * 37);
	struct end e;

	(void)state;
	rig_start(&e);
	rig_turn(2);
	for (unsigned i = 0; i < ROUNDS; i++) {
		rig_say(&e, data + i * 37, 37);
		if (i % 3 == 0)
			e.s.flags |= TAKO_SOCK_PAUSED;
		if (i % 2)
			rig_turn(1);
		if (i % 5 == 4)
			RIG_CALL(rig.rt->resume(&e.s));
	}
	close(e.peer);
	e.peer = -1;
	rig_turn(2);
	RIG_CALL(rig.rt->resume(&e.s));
	rig_turn(20);
	assert_int_equal(e.n, ROUNDS * 37);
	assert_memory_equal(e.got, data, e.n);
	assert_int_equal(e.ends, 1);
	assert_int_equal(e.end_res, 0);
	rig_finish(&e);
	free(data);
}

static void test_waiting(void **state)
{
	struct end e;

	(void)state;
	rig_start(&e);
	rig_turn(2);
	assert_false(rig.rt->waiting(&e.s));
	assert_true(rig.rt->silent(&e.s));
	rig_say(&e, "x", 1);
	assert_true(rig.rt->waiting(&e.s));
	assert_false(rig.rt->silent(&e.s));
	e.s.flags |= TAKO_SOCK_PAUSED;
	rig_turn(2);
	/* Wherever it is by now. */
	assert_true(rig.rt->waiting(&e.s));
	assert_false(rig.rt->silent(&e.s));
	RIG_CALL(rig.rt->resume(&e.s));
	rig_turn(2);
	assert_int_equal(e.n, 1);
	assert_false(rig.rt->waiting(&e.s));
	assert_true(rig.rt->silent(&e.s));
	close(e.peer);
	e.peer = -1;
	assert_false(rig.rt->waiting(&e.s));
	assert_false(rig.rt->silent(&e.s));
	rig_finish(&e);
}

/* Without memory for what a paused socket was sent it cannot go on, and says so. */
static void test_pause_without_memory(void **state)
{
	bool failed = true;

	(void)state;
	for (size_t nth = 1; failed; nth++) {
		struct end e;

		rig_start(&e);
		rig_turn(2);
		e.s.flags |= TAKO_SOCK_PAUSED;
		rig_say(&e, "lost", 4);
		rig_alloc_fail(nth);
		rig_turn(3);
		failed = rig_alloc_failed();
		assert_int_equal(e.calls, 0);
		RIG_CALL(rig.rt->resume(&e.s));
		rig_turn(3);
		assert_int_equal(e.n, failed ? 0 : 4);
		assert_int_equal(e.ends, failed ? 1 : 0);
		if (failed)
			assert_int_equal(e.end_res, TAKO_ECLOSED);
		rig_finish(&e);
	}
}

/* After the peer's orderly end nothing is read any more that would tell. */
static void test_reset_after_the_end(void **state)
{
	struct linger at_once = {.l_onoff = 1};
	struct end e;
	int fds[2];

	(void)state;
	rig_tcp_pair(fds);
	rig_start_fd(&e, fds[0], fds[1]);
	rig_turn(2);
	shutdown(e.peer, SHUT_WR);
	rig_turn(3);
	assert_int_equal(e.ends, 1);
	assert_int_equal(e.end_res, 0);
	setsockopt(e.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(e.peer);
	e.peer = -1;
	rig_turn(3);
	assert_int_equal(e.ends, 2);
	assert_int_equal(e.end_res, TAKO_ECLOSED);
	rig_finish(&e);
}

/* Two buffers of 64 bytes and sends of 7: every message in pieces, for everybody. */
static void test_small_pieces(void **state)
{
	enum { ENDS = 9, EACH = 3000 };
	struct tako_loop_config cfg = {.size = sizeof cfg,
	                               .recv_buffer_bytes = 64,
	                               .recv_buffer_count = 2,
	                               .send_max_bytes = 7};
	char *data = rig_pattern(EACH);
	char *got = malloc(EACH);
	struct end e[ENDS];

	rig_tear_down(state);
	assert_int_equal(rig_open(&cfg), 0);
	for (unsigned i = 0; i < ENDS; i++) {
		rig_start(&e[i]);
		rig_say(&e[i], data, i);
	}
	rig_turn(3);
	for (unsigned i = 0; i < ENDS; i++) {
		rig_say(&e[i], data + i, EACH - i);
		rig_queue(&e[i], i, data, EACH);
	}
	rig_turn(3);
	/* Fair also here: nobody has all of his before somebody has any. */
	for (unsigned i = 0; i < ENDS; i++)
		assert_in_range(e[i].n, i + 1, EACH - 1);
	rig_turn(EACH / 64);
	for (unsigned i = 0; i < ENDS; i++) {
		assert_int_equal(e[i].n, EACH);
		assert_memory_equal(e[i].got, data, EACH);
		assert_int_equal(rig_drain(&e[i], got, EACH), EACH);
		assert_memory_equal(got, data, EACH);
		assert_int_equal(rig.ops[i].done, 1);
	}
	for (unsigned i = 0; i < ENDS; i++)
		rig_finish(&e[i]);
	free(got);
	free(data);
}

int runtime_contract_recv(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_receive_then_end),
		RIG_TEST(test_sizes_around_a_buffer),
		RIG_TEST(test_pause_holds_data_and_end),
		RIG_TEST(test_pause_from_a_delivery),
		RIG_TEST(test_resume_without_a_pause),
		RIG_TEST(test_reset),
		RIG_TEST(test_failed_send_while_paused),
		RIG_TEST(test_close_from_a_delivery),
		RIG_TEST(test_fairness),
		RIG_TEST(test_pauses_keep_the_order),
		RIG_TEST(test_waiting),
		RIG_TEST(test_pause_without_memory),
		RIG_TEST(test_reset_after_the_end),
		RIG_TEST(test_small_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

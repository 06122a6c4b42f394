/* SPDX-License-Identifier: MIT
 *
 * The simulated runtime itself: that it keeps the five rules of seam A, that its network does what
 * it says, and that one seed is one run.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/sim_app.h"
#include "sim/sim_seeds.h"
#include "sim/sim_user.h"

static void begin_drawn(uint64_t seed)
{
	struct sim_options options;
	struct sim_rand r;

	sim_rand_init(&r, ~seed);
	sim_options_draw(&options, &r);
	sim_user_begin(seed, &options);
}

static size_t take(struct sim_link *l, char *to, size_t have)
{
	return sim_read(l, to + have, sim_rand_size(&sim_user_world.rand, SIM_USER_BYTES_MAX));
}

static void maybe_resume(struct sim_user *u)
{
	if ((u->sock.flags & TAKO_SOCK_PAUSED) && sim_rand_chance(&sim_user_world.rand, 300))
		SIM_CALL(sim_runtime()->resume(&u->sock));
}

/* ---- The rules, over seeds --------------------------------------------------------------- */

/* Rules 1, 3, 4: everything arrives, once, in order; the end last; nothing while paused. */
static void receives(uint64_t seed)
{
	struct sim_link *l;
	struct sim_user *u;
	size_t n;
	size_t said = 0;

	begin_drawn(seed);
	u = sim_user_accepted(&l);
	u->pauses = true;
	n = sim_rand_size(&sim_user_world.rand, 100000);
	for (unsigned i = 0; i < SIM_USER_TURNS_MAX && !u->eof_count; i++) {
		size_t step = sim_rand_size(&sim_user_world.rand, n);

		step = step < n - said ? step : n - said;
		sim_write(l, sim_pattern(0) + said, step);
		said += step;
		if (said == n)
			sim_shut(l);
		maybe_resume(u);
		sim_user_turn();
	}
	assert_int_equal(u->eof_count, 1);
	assert_int_equal(u->received_n, n);
	assert_memory_equal(u->received, sim_pattern(0), n);
	sim_user_end("");
}

/* Rules 2 and 3: sends leave in order and complete once, memory, files and empty ones; more may
 * be put behind the last. */
static void sends(uint64_t seed)
{
	static char got[SIM_USER_BYTES_MAX];
	struct sim_link *l;
	struct sim_user *u;
	size_t n = 0;
	size_t got_n = 0;
	int fd = memfd_create("ops", MFD_CLOEXEC);

	assert_int_equal(write(fd, sim_pattern(7), 100000), 100000);
	begin_drawn(seed);
	u = sim_user_accepted(&l);
	for (unsigned i = 0;
	     i < SIM_USER_TURNS_MAX && (got_n < n || u->op_count < SIM_USER_OPS_MAX / 2); i++) {
		if (u->op_count < SIM_USER_OPS_MAX / 2 &&
		    sim_rand_chance(&sim_user_world.rand, 300)) {
			bool file = sim_rand_chance(&sim_user_world.rand, 300);
			size_t step = sim_rand_size(&sim_user_world.rand, 20000) - 1;

			/* The file begins where the pattern of 7 does. */
			sim_user_queue(u, sim_pattern(7), step, file ? fd : -1);
			n += step;
		}
		if (u->sock.tail && u->sock.tail->file_fd < 0 &&
		    sim_rand_chance(&sim_user_world.rand, 100)) {
			u->sock.tail->n += 10;
			u->sock.queued_bytes += 10;
			n += 10;
		}
		sim_user_turn();
		got_n += take(l, got, got_n);
	}
	assert_int_equal(got_n, n);
	for (unsigned i = 0; i < SIM_USER_TURNS_MAX && u->sock.head; i++)
		sim_user_turn();
	n = 0;
	for (unsigned i = 0; i < u->op_count; i++) {
		size_t step = (size_t)(u->ops[i].send.file_fd < 0
		                               ? u->ops[i].send.p - sim_pattern(7)
		                               : u->ops[i].send.file_pos);

		assert_int_equal(u->ops[i].err, 0);
		assert_memory_equal(got + n, sim_pattern(7), step);
		n += step;
	}
	assert_int_equal(got_n, n);
	assert_int_equal(u->sock.sent_bytes, n);
	assert_int_equal(sim_user_world.sent_bytes, n);
	sim_user_end("");
	close(fd);
}

/* Rules 2 and 5: whatever is going on when it ends, each op is done once, then on_closed(), once. */
static void ends(uint64_t seed)
{
	struct sim_link *links[SIM_USERS_MAX];
	unsigned turns;

	begin_drawn(seed);
	for (unsigned i = 0; i < SIM_USERS_MAX; i++) {
		struct sim_user *u = sim_user_accepted(&links[i]);

		u->pauses = true;
		sim_write(links[i], sim_pattern(1), 5000);
		for (unsigned k = 0; k < 5; k++)
			sim_user_queue(u, sim_pattern(2), 3000, -1);
	}
	turns = (unsigned)sim_rand_below(&sim_user_world.rand, 30);
	for (unsigned i = 0; i < turns; i++) {
		struct sim_user *u =
			&sim_users[sim_rand_below(&sim_user_world.rand, SIM_USERS_MAX)];
		struct sim_link *l = links[u - sim_users];

		switch (sim_rand_below(&sim_user_world.rand, 5)) {
		case 0:
			sim_reset(l);
			break;
		case 1:
			sim_close(l);
			break;
		case 2:
			if (u->in_use && !(u->sock.flags & TAKO_SOCK_CLOSING))
				SIM_CALL(sim_runtime()->close(&u->sock));
			break;
		case 3:
			if (u->in_use && !(u->sock.flags & TAKO_SOCK_CLOSING))
				SIM_CALL(sim_runtime()->reset(&u->sock));
			break;
		default:
			sim_user_turn();
		}
	}
	sim_user_end("");
	for (unsigned i = 0; i < SIM_USERS_MAX; i++) {
		for (unsigned k = 0; k < 5; k++)
			assert_true(sim_users[i].ops[k].err == 0 ||
			            sim_users[i].ops[k].err == TAKO_ECLOSED);
	}
}

static uint64_t trace_of(uint64_t seed, void (*run)(uint64_t))
{
	run(seed);
	return sim_user_trace;
}

static void one_seed_is_one_run(uint64_t seed)
{
	uint64_t first = trace_of(seed, ends);

	assert_true(first == trace_of(seed, ends));
	assert_true(first != trace_of(seed + 1000000, ends));
}

/* ---- The network ---------------------------------------------------------------------------- */

static void test_orderly_end(void **state)
{
	char got[8];
	struct sim_link *l;
	struct sim_user *u;

	(void)state;
	sim_user_begin(1, NULL);
	u = sim_user_accepted(&l);
	sim_user_queue(u, "bye", 3, -1);
	sim_user_turn();
	SIM_CALL(sim_runtime()->close(&u->sock));
	sim_user_turn();
	sim_user_turn();
	assert_false(sim_ended(l));
	assert_int_equal(sim_read(l, got, sizeof got), 3);
	sim_user_turn();
	assert_true(sim_ended(l));
	assert_false(l->client_reset);
	sim_user_end("");
}

/* What the lingering close is there for. */
static void test_close_with_input_unread_resets(void **state)
{
	struct sim_link *l;
	struct sim_user *u;

	(void)state;
	for (int late = 0; late < 2; late++) {
		sim_user_begin(1, NULL);
		u = sim_user_accepted(&l);
		sim_user_queue(u, "bye", 3, -1);
		u->sock.flags |= TAKO_SOCK_PAUSED;
		if (!late) {
			sim_write(l, "more", 4);
			sim_user_turn();
		}
		sim_user_turn();
		SIM_CALL(sim_runtime()->close(&u->sock));
		sim_user_turn();
		assert_int_equal(u->closed_count, 1);
		assert_int_equal(sim_readable(l), 3);
		if (late)
			sim_write(l, "more", 4);
		sim_user_turn();
		sim_user_turn();
		assert_true(l->client_reset);
		assert_int_equal(sim_readable(l), 0);
		sim_user_end("");
	}
}

static void test_half_close(void **state)
{
	struct sim_link *l;
	struct sim_user *u;

	(void)state;
	sim_user_begin(1, NULL);
	u = sim_user_accepted(&l);
	SIM_CALL(sim_runtime()->shut(&u->sock));
	sim_user_turn();
	assert_true(sim_ended(l));
	sim_write(l, "still", 5);
	sim_shut(l);
	sim_user_turn();
	sim_user_turn();
	assert_int_equal(u->received_n, 5);
	assert_int_equal(u->eof_count, 1);
	assert_false(l->client_reset);
	sim_user_end("");
}

static void test_resets_both_ways(void **state)
{
	struct sim_link *l;
	struct sim_user *u;

	(void)state;
	sim_user_begin(1, NULL);
	u = sim_user_accepted(&l);
	u->sock.flags |= TAKO_SOCK_PAUSED;
	sim_reset(l);
	sim_user_turn();
	sim_user_turn();
	/* Rule 4 holds for bad news, too; sends fail meanwhile. */
	assert_int_equal(u->broken_count, 0);
	sim_user_queue(u, "x", 1, -1);
	sim_user_turn();
	assert_int_equal(u->ops[0].err, TAKO_ECLOSED);
	assert_int_equal(u->broken_count, 0);
	SIM_CALL(sim_runtime()->resume(&u->sock));
	sim_user_turn();
	assert_int_equal(u->broken_count, 1);
	u = sim_user_accepted(&l);
	sim_user_queue(u, "lost", 4, -1);
	sim_user_turn();
	assert_int_equal(sim_readable(l), 0);
	SIM_CALL(sim_runtime()->reset(&u->sock));
	sim_user_turn();
	sim_user_turn();
	assert_true(l->client_reset);
	sim_user_end("");
}

/* A peer that does not read holds the sender up; what it reads makes room. */
static void test_back_pressure(void **state)
{
	static char got[SIM_USER_BYTES_MAX];
	struct sim_options options = {.net = {.send_bytes = 1000, .window_bytes = 500}};
	struct sim_link *l;
	struct sim_user *u;
	size_t n = 0;

	(void)state;
	sim_user_begin(1, &options);
	u = sim_user_accepted(&l);
	sim_user_queue(u, sim_pattern(3), 10000, -1);
	for (int i = 0; i < 20; i++)
		sim_user_turn();
	assert_int_equal(sim_readable(l), 500);
	assert_int_equal(sim_runtime()->unacked(&u->sock), 1000);
	assert_int_equal(u->sock.queued_bytes, 8500);
	for (int i = 0; i < 100 && n < 10000; i++) {
		n += take(l, got, n);
		sim_user_turn();
	}
	assert_int_equal(n, 10000);
	assert_memory_equal(got, sim_pattern(3), n);
	assert_int_equal(sim_runtime()->unacked(&u->sock), 0);
	sim_user_end("");
}

/* ---- Accepting ---------------------------------------------------------------------------------- */

static void test_accept_errors_pause(void **state)
{
	struct sim_options options = {.accept_error_permille = 1000};

	(void)state;
	sim_user_begin(1, &options);
	sim_connect(&sim_user_world.net);
	for (int i = 0; i < 5; i++)
		sim_user_turn();
	assert_int_equal(sim_user_accept_errors, 1);
	SIM_CALL(sim_runtime()->resume(&sim_user_listener));
	sim_user_turn();
	assert_int_equal(sim_user_accept_errors, 2);
	sim_user_world.options.accept_error_permille = 0;
	SIM_CALL(sim_runtime()->resume(&sim_user_listener));
	sim_user_turn();
	assert_int_equal(sim_user_count, 1);
	sim_user_end("");
}

static void test_close_takes_the_backlog(void **state)
{
	struct sim_link *late;

	(void)state;
	sim_user_begin(1, NULL);
	sim_user_listener.flags |= TAKO_SOCK_PAUSED;
	for (int i = 0; i < 3; i++)
		sim_connect(&sim_user_world.net);
	sim_user_turn();
	assert_int_equal(sim_user_count, 0);
	SIM_CALL(sim_runtime()->close(&sim_user_listener));
	assert_int_equal(sim_user_count, 0);
	sim_user_turn();
	assert_int_equal(sim_user_count, 3);
	assert_int_equal(sim_user_listener_closed, 1);
	late = sim_connect(&sim_user_world.net);
	sim_user_turn();
	assert_true(late->client_reset);
	sim_user_end("");
}

/* ---- Time ------------------------------------------------------------------------------------------ */

static void test_time_is_virtual(void **state)
{
	struct sim_options options = {.net = {.delay_ns_max = 1000}};
	uint64_t start;
	struct sim_link *l;

	(void)state;
	sim_user_begin(1, &options);
	sim_user_accepted(&l);
	start = sim_now(&sim_user_world);
	assert_int_equal(sim_user_loop->now_ns, start);
	/* To the deadline exactly, a year away if need be. */
	sim_runtime()->turn(sim_user_loop, start + UINT64_C(31536000000000000));
	assert_int_equal(sim_user_loop->now_ns - start, UINT64_C(31536000000000000));
	start = sim_user_loop->now_ns;
	sim_runtime()->turn(sim_user_loop, 0);
	assert_int_equal(sim_user_loop->now_ns, start);
	sim_runtime()->wake(sim_user_loop);
	sim_runtime()->turn(sim_user_loop, start + 5000);
	assert_int_equal(sim_user_loop->now_ns, start);
	/* The first event that comes before it, or the test's own. */
	sim_write(l, "x", 1);
	sim_runtime()->turn(sim_user_loop, start + 5000);
	assert_true(sim_user_loop->now_ns <= start + 1000);
	assert_int_equal(sim_users[0].received_n, 1);
	sim_user_world.alarm_ns = start + 7000;
	sim_runtime()->turn(sim_user_loop, UINT64_MAX);
	assert_int_equal(sim_user_loop->now_ns, start + 7000);
	sim_user_world.alarm_ns = SIM_NEVER;
	assert_false(sim_user_world.idle);
	sim_runtime()->turn(sim_user_loop, UINT64_MAX);
	assert_true(sim_user_world.idle);
	sim_user_end("");
}

/* ---- Connecting --------------------------------------------------------------------------- */

enum { REFUSES = 1, SILENT = 2, SLOW_NS = 5000000 };

static struct sim_remote remote(struct sim *sim, const struct sockaddr *to, void *arg)
{
	unsigned port = ntohs(((const struct sockaddr_in *)(const void *)to)->sin_port);

	(void)sim;
	(void)arg;
	return (struct sim_remote){port == REFUSES ? ECONNREFUSED : 0,
	                           port == SILENT ? SIM_NEVER : SLOW_NS};
}

/* Whoever answers is told what was queued before; the others' is done all the same; who is closed before
 * it is decided is not told. */
static void connects(uint64_t seed)
{
	struct sim_user *u[3];
	struct sim_link *l = NULL;
	uint64_t began;
	char got[8];
	size_t n = 0;

	begin_drawn(seed);
	sim_user_world.remote = remote;
	began = sim_now(&sim_user_world);
	for (unsigned i = 0; i < 3; i++) {
		u[i] = sim_user_dial(i);
		sim_user_queue(u[i], "early", 5, -1);
	}
	for (unsigned i = 0; i < SIM_USER_TURNS_MAX && n < 5; i++) {
		sim_user_turn();
		if (!l)
			l = sim_dialled(&sim_user_world.net);
		else
			n += sim_read(l, got + n, 5);
	}
	assert_memory_equal(got, "early", 5);
	assert_true(sim_now(&sim_user_world) >= began + SLOW_NS);
	assert_int_equal(u[0]->connect_count, 1);
	assert_int_equal(u[0]->connect_err, 0);
	sim_write(l, "late", 4);
	for (unsigned i = 0;
	     i < SIM_USER_TURNS_MAX && (u[0]->received_n < 4 || !u[REFUSES]->connect_count); i++)
		sim_user_turn();
	assert_memory_equal(u[0]->received, "late", 4);
	assert_int_equal(u[REFUSES]->connect_err, ECONNREFUSED);
	assert_int_equal(u[REFUSES]->ops[0].err, TAKO_ECLOSED);
	assert_int_equal(u[SILENT]->connect_count, 0);
	sim_user_end("");
	assert_int_equal(u[SILENT]->connect_count, 0);
	assert_int_equal(u[SILENT]->ops[0].err, TAKO_ECLOSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(receives),
		SIM_TEST(sends),
		SIM_TEST(ends),
		SIM_TEST(connects),
		SIM_TEST(one_seed_is_one_run),
		cmocka_unit_test(test_orderly_end),
		cmocka_unit_test(test_close_with_input_unread_resets),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_resets_both_ways),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_accept_errors_pause),
		cmocka_unit_test(test_close_takes_the_backlog),
		cmocka_unit_test(test_time_is_virtual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

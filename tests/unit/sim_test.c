/* SPDX-License-Identifier: MIT
 *
 * The simulated runtime itself: that it keeps the five rules of seam A, that its network does what
 * it says, that one seed is one run, and that it notices a user who breaks the contract.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base.h"
#include "sim/sim_app.h"
#include "sim/sim_runtime.h"
#include "sim/sim_seeds.h"

enum { TURNS_MAX = 100000, OPS_MAX = 32, SOCKS_MAX = 8, BYTES_MAX = 1 << 20 };

struct op {
	struct tako_send send;
	struct user *user;
	unsigned done_count;
	int err;
};

/* One connection of a user of the runtime who writes down all he is told. */
struct user {
	struct tako_sock sock;
	struct op ops[OPS_MAX];
	unsigned op_count;
	unsigned done_count;
	unsigned eof_count;
	unsigned broken_count;
	unsigned closed_count;
	char *received;
	size_t received_n;
	bool pauses; /* by chance, in the callback */
	bool in_use;
};

static struct sim sim;
static const tako_runtime *rt;
static struct tako_loop *loop;
static struct tako_sock listener;
static struct user users[SOCKS_MAX];
static unsigned user_count;
static unsigned accept_errors;
static unsigned listener_closed;
static bool in_call; /* into the runtime */
static uint64_t trace;

#define CALL(what)                                                                                 \
	do {                                                                                       \
		in_call = true;                                                                    \
		what;                                                                              \
		in_call = false;                                                                   \
	} while (0)

static void note(uint64_t a, uint64_t b)
{
	trace = (trace ^ a) * UINT64_C(0x100000001b3);
	trace = (trace ^ b ^ sim_now(&sim)) * UINT64_C(0x100000001b3);
}

/* ---- The user ----------------------------------------------------------------------- */

static struct user *user_of(struct tako_sock *s)
{
	return TAKO__CONTAINER(s, struct user, sock);
}

static void on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	struct user *u = user_of(s);

	assert_false(in_call);
	assert_true(sim.in_turn);
	assert_false(s->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING));
	assert_int_equal(u->broken_count + u->closed_count, 0);
	note(1, (uint64_t)res);
	if (res < 0) {
		assert_int_equal(res, TAKO_ECLOSED);
		u->broken_count++;
		return;
	}
	assert_int_equal(u->eof_count, 0);
	if (res == 0) {
		u->eof_count++;
		return;
	}
	assert_true(u->received_n + (size_t)res <= BYTES_MAX);
	memcpy(u->received + u->received_n, p, (size_t)res);
	u->received_n += (size_t)res;
	if (u->pauses && sim_rand_chance(&sim.rand, 300))
		s->flags |= TAKO_SOCK_PAUSED;
}

static void on_closed(struct tako_sock *s)
{
	struct user *u = user_of(s);

	assert_false(in_call);
	assert_null(s->head);
	note(2, 0);
	u->closed_count++;
	u->in_use = false;
	/* Ours from here on: whoever still looks at it crashes. */
	memset(s, 0xdd, sizeof *s);
}

static void on_done(struct tako_send *send, int err)
{
	struct op *op = TAKO__CONTAINER(send, struct op, send);

	assert_false(in_call);
	assert_true(sim.in_turn);
	assert_int_equal(op->done_count, 0);
	assert_int_equal(op->user->closed_count, 0);
	/* In order. */
	assert_ptr_equal(op, &op->user->ops[op->user->done_count]);
	note(3, (uint64_t)err);
	op->done_count++;
	op->user->done_count++;
	op->err = err;
}

static const struct tako_sock_cb callbacks = {.on_recv = on_recv, .on_closed = on_closed};

static struct op *queue(struct user *u, const char *p, size_t n, int file_fd)
{
	struct op *op = &u->ops[u->op_count++];

	*op = (struct op){.user = u};
	op->send = (struct tako_send){
		.done = on_done, .p = p, .n = n, .file_fd = file_fd, .file_pos = 0};
	tako_sock_queue(&u->sock, &op->send);
	CALL(rt->flush(&u->sock));
	return op;
}

/* ---- The listener -------------------------------------------------------------------- */

static void on_accept(struct tako_sock *ls, int fd, const struct sockaddr *from, socklen_t n)
{
	struct user *u = &users[user_count++];
	char *room = u->received;

	assert_false(in_call);
	assert_ptr_equal(ls, &listener);
	assert_true(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	assert_int_equal(from->sa_family, AF_INET);
	assert_int_equal(n, sizeof(struct sockaddr_in));
	*u = (struct user){.in_use = true, .received = room};
	u->sock.cb = &callbacks;
	note(4, user_count);
	assert_int_equal(rt->start(loop, &u->sock, fd), 0);
}

static void on_accept_error(struct tako_sock *ls, int errno_value)
{
	assert_true(ls->flags & TAKO_SOCK_PAUSED);
	assert_true(errno_value > 0);
	accept_errors++;
}

static void on_listener_closed(struct tako_sock *ls)
{
	(void)ls;
	listener_closed++;
}

static const struct tako_sock_cb listener_callbacks = {.on_accept = on_accept,
                                                       .on_accept_error = on_accept_error,
                                                       .on_closed = on_listener_closed};

/* ---- Going on -------------------------------------------------------------------------- */

static void begin(uint64_t seed, const struct sim_options *options)
{
	struct tako_loop_config cfg = {.size = sizeof cfg};

	sim_begin(&sim, seed, options);
	rt = sim_runtime();
	user_count = 0;
	accept_errors = 0;
	listener_closed = 0;
	trace = 0;
	for (unsigned i = 0; i < SOCKS_MAX; i++) {
		char *room = users[i].received ? users[i].received : malloc(BYTES_MAX);

		assert_non_null(room);
		users[i] = (struct user){.received = room};
	}
	assert_int_equal(rt->open(&loop, &cfg), 0);
	listener = (struct tako_sock){.cb = &listener_callbacks};
	assert_int_equal(rt->listen(loop, &listener, sim.null_fd), 0);
}

static void begin_drawn(uint64_t seed)
{
	struct sim_options options;
	struct sim_rand r;

	sim_rand_init(&r, ~seed);
	sim_options_draw(&options, &r);
	begin(seed, &options);
}

static void turn(void)
{
	/* As long as it takes, but not for ever where nothing comes any more. */
	assert_int_equal(rt->turn(loop, sim_now(&sim) + 1000000000), 0);
}

static struct user *accepted(struct sim_link **ret_link)
{
	unsigned before = user_count;

	*ret_link = sim_connect(&sim.net);
	for (unsigned i = 0; i < TURNS_MAX && user_count == before; i++)
		turn();
	assert_int_equal(user_count, before + 1);
	return &users[before];
}

static void close_all(void)
{
	for (unsigned i = 0; i < user_count; i++) {
		if (users[i].in_use && !(users[i].sock.flags & TAKO_SOCK_CLOSING))
			CALL(rt->close(&users[i].sock));
	}
	if (!listener_closed && !(listener.flags & TAKO_SOCK_CLOSING))
		CALL(rt->close(&listener));
	for (unsigned i = 0; i < TURNS_MAX && sim.sock_count; i++)
		turn();
	assert_int_equal(sim.sock_count, 0);
}

/* `violation`: the text that must have been noted, "" for none. */
static void end(const char *violation)
{
	close_all();
	for (unsigned i = 0; i < user_count; i++) {
		assert_int_equal(users[i].closed_count, 1);
		assert_int_equal(users[i].done_count, users[i].op_count);
	}
	assert_int_equal(listener_closed, 1);
	rt->free(loop);
	sim_end(&sim);
	assert_string_equal(sim.violation, violation);
}

static size_t take(struct sim_link *l, char *to, size_t have)
{
	return sim_read(l, to + have, sim_rand_size(&sim.rand, BYTES_MAX));
}

static void maybe_resume(struct user *u)
{
	if ((u->sock.flags & TAKO_SOCK_PAUSED) && sim_rand_chance(&sim.rand, 300))
		CALL(rt->resume(&u->sock));
}

/* ---- The rules, over seeds --------------------------------------------------------------- */

/* Rules 1, 3, 4: everything arrives, once, in order; the end last; nothing while paused. */
static void receives(uint64_t seed)
{
	struct sim_link *l;
	struct user *u;
	size_t n;
	size_t said = 0;

	begin_drawn(seed);
	u = accepted(&l);
	u->pauses = true;
	n = sim_rand_size(&sim.rand, 100000);
	for (unsigned i = 0; i < TURNS_MAX && !u->eof_count; i++) {
		size_t step = sim_rand_size(&sim.rand, n);

		step = step < n - said ? step : n - said;
		sim_write(l, sim_pattern(0) + said, step);
		said += step;
		if (said == n)
			sim_shut(l);
		maybe_resume(u);
		turn();
	}
	assert_int_equal(u->eof_count, 1);
	assert_int_equal(u->received_n, n);
	assert_memory_equal(u->received, sim_pattern(0), n);
	end("");
}

/* Rules 2 and 3: sends leave in order and complete once, memory, files and empty ones; more may
 * be put behind the last. */
static void sends(uint64_t seed)
{
	static char got[BYTES_MAX];
	struct sim_link *l;
	struct user *u;
	size_t n = 0;
	size_t got_n = 0;
	int fd = memfd_create("ops", MFD_CLOEXEC);

	assert_int_equal(write(fd, sim_pattern(7), 100000), 100000);
	begin_drawn(seed);
	u = accepted(&l);
	for (unsigned i = 0; i < TURNS_MAX && (got_n < n || u->op_count < OPS_MAX / 2); i++) {
		if (u->op_count < OPS_MAX / 2 && sim_rand_chance(&sim.rand, 300)) {
			bool file = sim_rand_chance(&sim.rand, 300);
			size_t step = sim_rand_size(&sim.rand, 20000) - 1;

			/* The file begins where the pattern of 7 does. */
			queue(u, sim_pattern(7), step, file ? fd : -1);
			n += step;
		}
		if (u->sock.tail && u->sock.tail->file_fd < 0 && sim_rand_chance(&sim.rand, 100)) {
			u->sock.tail->n += 10;
			u->sock.queued_bytes += 10;
			n += 10;
		}
		turn();
		got_n += take(l, got, got_n);
	}
	assert_int_equal(got_n, n);
	for (unsigned i = 0; i < TURNS_MAX && u->sock.head; i++)
		turn();
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
	assert_int_equal(sim.sent_bytes, n);
	end("");
	close(fd);
}

/* Rules 2 and 5: whatever is going on when it ends, each op is done once, then on_closed(), once. */
static void ends(uint64_t seed)
{
	struct sim_link *links[SOCKS_MAX];
	unsigned turns;

	begin_drawn(seed);
	for (unsigned i = 0; i < SOCKS_MAX; i++) {
		struct user *u = accepted(&links[i]);

		u->pauses = true;
		sim_write(links[i], sim_pattern(1), 5000);
		for (unsigned k = 0; k < 5; k++)
			queue(u, sim_pattern(2), 3000, -1);
	}
	turns = (unsigned)sim_rand_below(&sim.rand, 30);
	for (unsigned i = 0; i < turns; i++) {
		struct user *u = &users[sim_rand_below(&sim.rand, SOCKS_MAX)];
		struct sim_link *l = links[u - users];

		switch (sim_rand_below(&sim.rand, 5)) {
		case 0:
			sim_reset(l);
			break;
		case 1:
			sim_close(l);
			break;
		case 2:
			if (u->in_use && !(u->sock.flags & TAKO_SOCK_CLOSING))
				CALL(rt->close(&u->sock));
			break;
		case 3:
			if (u->in_use && !(u->sock.flags & TAKO_SOCK_CLOSING))
				CALL(rt->reset(&u->sock));
			break;
		default:
			turn();
		}
	}
	end("");
	for (unsigned i = 0; i < SOCKS_MAX; i++) {
		for (unsigned k = 0; k < 5; k++)
			assert_true(users[i].ops[k].err == 0 ||
			            users[i].ops[k].err == TAKO_ECLOSED);
	}
}

static uint64_t trace_of(uint64_t seed, void (*run)(uint64_t))
{
	run(seed);
	return trace;
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
	struct user *u;

	(void)state;
	begin(1, NULL);
	u = accepted(&l);
	queue(u, "bye", 3, -1);
	turn();
	CALL(rt->close(&u->sock));
	turn();
	turn();
	assert_false(sim_ended(l));
	assert_int_equal(sim_read(l, got, sizeof got), 3);
	turn();
	assert_true(sim_ended(l));
	assert_false(l->client_reset);
	end("");
}

/* What the lingering close is there for. */
static void test_close_with_input_unread_resets(void **state)
{
	struct sim_link *l;
	struct user *u;

	(void)state;
	for (int late = 0; late < 2; late++) {
		begin(1, NULL);
		u = accepted(&l);
		queue(u, "bye", 3, -1);
		u->sock.flags |= TAKO_SOCK_PAUSED;
		if (!late) {
			sim_write(l, "more", 4);
			turn();
		}
		turn();
		CALL(rt->close(&u->sock));
		turn();
		assert_int_equal(u->closed_count, 1);
		assert_int_equal(sim_readable(l), 3);
		if (late)
			sim_write(l, "more", 4);
		turn();
		turn();
		assert_true(l->client_reset);
		assert_int_equal(sim_readable(l), 0);
		end("");
	}
}

static void test_half_close(void **state)
{
	struct sim_link *l;
	struct user *u;

	(void)state;
	begin(1, NULL);
	u = accepted(&l);
	CALL(rt->shut(&u->sock));
	turn();
	assert_true(sim_ended(l));
	sim_write(l, "still", 5);
	sim_shut(l);
	turn();
	turn();
	assert_int_equal(u->received_n, 5);
	assert_int_equal(u->eof_count, 1);
	assert_false(l->client_reset);
	end("");
}

static void test_resets_both_ways(void **state)
{
	struct sim_link *l;
	struct user *u;

	(void)state;
	begin(1, NULL);
	u = accepted(&l);
	u->sock.flags |= TAKO_SOCK_PAUSED;
	sim_reset(l);
	turn();
	turn();
	/* Rule 4 holds for bad news, too; sends fail meanwhile. */
	assert_int_equal(u->broken_count, 0);
	queue(u, "x", 1, -1);
	turn();
	assert_int_equal(u->ops[0].err, TAKO_ECLOSED);
	assert_int_equal(u->broken_count, 0);
	CALL(rt->resume(&u->sock));
	turn();
	assert_int_equal(u->broken_count, 1);
	u = accepted(&l);
	queue(u, "lost", 4, -1);
	turn();
	assert_int_equal(sim_readable(l), 0);
	CALL(rt->reset(&u->sock));
	turn();
	turn();
	assert_true(l->client_reset);
	end("");
}

/* A peer that does not read holds the sender up; what it reads makes room. */
static void test_back_pressure(void **state)
{
	static char got[BYTES_MAX];
	struct sim_options options = {.net = {.send_bytes = 1000, .window_bytes = 500}};
	struct sim_link *l;
	struct user *u;
	size_t n = 0;

	(void)state;
	begin(1, &options);
	u = accepted(&l);
	queue(u, sim_pattern(3), 10000, -1);
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(sim_readable(l), 500);
	assert_int_equal(rt->unacked(&u->sock), 1000);
	assert_int_equal(u->sock.queued_bytes, 8500);
	for (int i = 0; i < 100 && n < 10000; i++) {
		n += take(l, got, n);
		turn();
	}
	assert_int_equal(n, 10000);
	assert_memory_equal(got, sim_pattern(3), n);
	assert_int_equal(rt->unacked(&u->sock), 0);
	end("");
}

/* ---- Accepting ---------------------------------------------------------------------------------- */

static void test_accept_errors_pause(void **state)
{
	struct sim_options options = {.accept_error_permille = 1000};

	(void)state;
	begin(1, &options);
	sim_connect(&sim.net);
	for (int i = 0; i < 5; i++)
		turn();
	assert_int_equal(accept_errors, 1);
	CALL(rt->resume(&listener));
	turn();
	assert_int_equal(accept_errors, 2);
	sim.options.accept_error_permille = 0;
	CALL(rt->resume(&listener));
	turn();
	assert_int_equal(user_count, 1);
	end("");
}

static void test_close_takes_the_backlog(void **state)
{
	struct sim_link *late;

	(void)state;
	begin(1, NULL);
	listener.flags |= TAKO_SOCK_PAUSED;
	for (int i = 0; i < 3; i++)
		sim_connect(&sim.net);
	turn();
	assert_int_equal(user_count, 0);
	CALL(rt->close(&listener));
	assert_int_equal(user_count, 0);
	turn();
	assert_int_equal(user_count, 3);
	assert_int_equal(listener_closed, 1);
	late = sim_connect(&sim.net);
	turn();
	assert_true(late->client_reset);
	end("");
}

/* ---- Time ------------------------------------------------------------------------------------------ */

static void test_time_is_virtual(void **state)
{
	struct sim_options options = {.net = {.delay_ns_max = 1000}};
	uint64_t start;
	struct sim_link *l;

	(void)state;
	begin(1, &options);
	accepted(&l);
	start = sim_now(&sim);
	assert_int_equal(loop->now_ns, start);
	/* To the deadline exactly, a year away if need be. */
	rt->turn(loop, start + UINT64_C(31536000000000000));
	assert_int_equal(loop->now_ns - start, UINT64_C(31536000000000000));
	start = loop->now_ns;
	rt->turn(loop, 0);
	assert_int_equal(loop->now_ns, start);
	rt->wake(loop);
	rt->turn(loop, start + 5000);
	assert_int_equal(loop->now_ns, start);
	/* The first event that comes before it, or the test's own. */
	sim_write(l, "x", 1);
	rt->turn(loop, start + 5000);
	assert_true(loop->now_ns <= start + 1000);
	assert_int_equal(users[0].received_n, 1);
	sim.alarm_ns = start + 7000;
	rt->turn(loop, UINT64_MAX);
	assert_int_equal(loop->now_ns, start + 7000);
	sim.alarm_ns = SIM_NEVER;
	assert_false(sim.idle);
	rt->turn(loop, UINT64_MAX);
	assert_true(sim.idle);
	end("");
}

/* ---- What it notices ---------------------------------------------------------------------------------- */

static struct user *user_in_trouble(void)
{
	struct sim_link *l;

	begin(1, NULL);
	return accepted(&l);
}

static void test_notices_calls_on_the_dead(void **state)
{
	struct user *u = user_in_trouble();

	(void)state;
	rt->close(&u->sock);
	turn();
	assert_int_equal(u->closed_count, 1);
	rt->flush(&u->sock);
	end("flush() on a socket that is not there");

	u = user_in_trouble();
	rt->close(&u->sock);
	rt->resume(&u->sock);
	end("resume() on a socket that is being closed");

	u = user_in_trouble();
	rt->close(&u->sock);
	rt->close(&u->sock);
	end("close() on a socket that is being closed");
}

static void test_notices_what_shut_forbids(void **state)
{
	struct user *u = user_in_trouble();

	(void)state;
	queue(u, "x", 1, -1);
	rt->shut(&u->sock);
	end("shut() with bytes queued");

	u = user_in_trouble();
	rt->shut(&u->sock);
	queue(u, "x", 1, -1);
	turn();
	end("queued after shut()");
}

static void test_notices_a_bad_queue(void **state)
{
	struct user *u = user_in_trouble();
	struct op *op = &u->ops[u->op_count++];

	(void)state;
	*op = (struct op){.user = u, .send = {.done = on_done, .p = "x", .n = 1, .file_fd = -1}};
	tako_sock_queue(&u->sock, &op->send);
	turn();
	end("queued without flush()");

	u = user_in_trouble();
	queue(u, "xyz", 3, -1)->send.n--;
	turn();
	u->sock.queued_bytes = 0;
	end("the queue of sends is damaged");
}

static void test_notices_bytes_that_change(void **state)
{
	struct sim_options options = {.late_send_permille = 1000};
	char text[] = "hello";
	struct sim_link *l;
	struct user *u;

	(void)state;
	begin(1, &options);
	u = accepted(&l);
	queue(u, text, 5, -1);
	turn();
	text[1] = 'a';
	turn();
	end("bytes changed while they were being sent");
}

static void nested_recv(struct tako_sock *s, char *p, ssize_t res)
{
	rt->turn(loop, 0);
	on_recv(s, p, res);
}

static void test_notices_nesting(void **state)
{
	static const struct tako_sock_cb nested = {.on_recv = nested_recv, .on_closed = on_closed};
	struct sim_link *l;
	struct user *u;

	(void)state;
	begin(1, NULL);
	u = accepted(&l);
	u->sock.cb = &nested;
	sim_write(l, "x", 1);
	turn();
	turn();
	assert_int_equal(u->received_n, 1);
	end("turn() inside a turn");
}

static void test_notices_what_is_left(void **state)
{
	(void)state;
	begin(1, NULL);
	rt->free(loop);
	sim.open = true;
	end("free() with 1 sockets");
}

static void test_notices_a_second_start(void **state)
{
	struct user *u = user_in_trouble();

	(void)state;
	assert_int_equal(rt->start(loop, &u->sock, u->sock.fd), TAKO_ENOMEM);
	end("start() or listen() of a socket that has begun, or of a descriptor that is not ours");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SIM_TEST(receives),
		SIM_TEST(sends),
		SIM_TEST(ends),
		SIM_TEST(one_seed_is_one_run),
		cmocka_unit_test(test_orderly_end),
		cmocka_unit_test(test_close_with_input_unread_resets),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_resets_both_ways),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_accept_errors_pause),
		cmocka_unit_test(test_close_takes_the_backlog),
		cmocka_unit_test(test_time_is_virtual),
		cmocka_unit_test(test_notices_calls_on_the_dead),
		cmocka_unit_test(test_notices_what_shut_forbids),
		cmocka_unit_test(test_notices_a_bad_queue),
		cmocka_unit_test(test_notices_bytes_that_change),
		cmocka_unit_test(test_notices_nesting),
		cmocka_unit_test(test_notices_what_is_left),
		cmocka_unit_test(test_notices_a_second_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

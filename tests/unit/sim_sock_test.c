/* SPDX-License-Identifier: MIT
 *
 * What the simulated runtime notices of a user who breaks the contract of seam A.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sim/sim_user.h"

static struct sim_user *user_in_trouble(void)
{
	struct sim_link *l;

	sim_user_begin(1, NULL);
	return sim_user_accepted(&l);
}

static void test_calls_on_the_dead(void **state)
{
	struct sim_user *u = user_in_trouble();

	(void)state;
	sim_runtime()->close(&u->sock);
	sim_user_turn();
	assert_int_equal(u->closed_count, 1);
	sim_runtime()->flush(&u->sock);
	sim_user_end("flush() on a socket that is not there");

	u = user_in_trouble();
	sim_runtime()->close(&u->sock);
	sim_runtime()->resume(&u->sock);
	sim_user_end("resume() on a socket that is being closed");

	u = user_in_trouble();
	sim_runtime()->close(&u->sock);
	sim_runtime()->close(&u->sock);
	sim_user_end("close() on a socket that is being closed");
}

static void test_what_shut_forbids(void **state)
{
	struct sim_user *u = user_in_trouble();

	(void)state;
	sim_user_queue(u, "x", 1, -1);
	sim_runtime()->shut(&u->sock);
	sim_user_end("shut() with bytes queued");

	u = user_in_trouble();
	sim_runtime()->shut(&u->sock);
	sim_user_queue(u, "x", 1, -1);
	sim_user_turn();
	sim_user_end("queued after shut()");
}

static void test_calls_before_it_is_connected(void **state)
{
	struct sim_user *u;

	(void)state;
	sim_user_begin(1, NULL);
	u = sim_user_dial(7);
	sim_runtime()->shut(&u->sock);
	sim_user_end("shut() before it is connected");

	sim_user_begin(1, NULL);
	u = sim_user_dial(7);
	(void)sim_runtime()->waiting(&u->sock);
	sim_user_end("waiting() before it is connected");
}

static void test_a_bad_queue(void **state)
{
	struct sim_user *u = user_in_trouble();
	struct sim_op *op = &u->ops[u->op_count++];

	(void)state;
	*op = (struct sim_op){.user = u,
	                      .send = {.done = sim_user_on_done, .p = "x", .n = 1, .file_fd = -1}};
	tako_sock_queue(&u->sock, &op->send);
	sim_user_turn();
	sim_user_end("queued without flush()");

	u = user_in_trouble();
	sim_user_queue(u, "xyz", 3, -1)->send.n--;
	sim_user_turn();
	u->sock.queued_bytes = 0;
	sim_user_end("the queue of sends is damaged");
}

static void test_bytes_that_change(void **state)
{
	struct sim_options options = {.late_send_permille = 1000};
	char text[] = "hello";
	struct sim_link *l;
	struct sim_user *u;

	(void)state;
	sim_user_begin(1, &options);
	u = sim_user_accepted(&l);
	sim_user_queue(u, text, 5, -1);
	sim_user_turn();
	text[1] = 'a';
	sim_user_turn();
	sim_user_end("bytes changed while they were being sent");
}

static void nested_recv(struct tako_sock *s, char *p, ssize_t res)
{
	sim_runtime()->turn(sim_user_loop, 0);
	sim_user_on_recv(s, p, res);
}

static void test_nesting(void **state)
{
	static const struct tako_sock_cb nested = {.on_recv = nested_recv,
	                                           .on_closed = sim_user_on_closed};
	struct sim_link *l;
	struct sim_user *u;

	(void)state;
	sim_user_begin(1, NULL);
	u = sim_user_accepted(&l);
	u->sock.cb = &nested;
	sim_write(l, "x", 1);
	sim_user_turn();
	sim_user_turn();
	assert_int_equal(u->received_n, 1);
	sim_user_end("turn() inside a turn");
}

static void test_what_is_left(void **state)
{
	(void)state;
	sim_user_begin(1, NULL);
	sim_runtime()->free(sim_user_loop);
	sim_user_world.loops[0].open = true;
	sim_user_end("free() with 1 sockets");
}

static void test_a_second_start(void **state)
{
	struct sim_user *u = user_in_trouble();

	(void)state;
	assert_int_equal(sim_runtime()->start(sim_user_loop, &u->sock, u->sock.fd), TAKO_ENOMEM);
	sim_user_end("start() or listen() of a socket that has begun, or of a descriptor that is "
	             "not ours");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls_on_the_dead),
		cmocka_unit_test(test_what_shut_forbids),
		cmocka_unit_test(test_calls_before_it_is_connected),
		cmocka_unit_test(test_a_bad_queue),
		cmocka_unit_test(test_bytes_that_change),
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_a_second_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

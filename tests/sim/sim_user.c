/* SPDX-License-Identifier: MIT
 *
 * See sim_user.h.
 */
#include "sim/sim_user.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/base.h"

struct sim sim_user_world;
struct tako_loop *sim_user_loop;
struct tako_sock sim_user_listener;
struct sim_user sim_users[SIM_USERS_MAX];
unsigned sim_user_count;
unsigned sim_user_accept_errors;
unsigned sim_user_listener_closed;
uint64_t sim_user_trace;
bool sim_user_in_call;

static void note(uint64_t a, uint64_t b)
{
	sim_user_trace = (sim_user_trace ^ a) * UINT64_C(0x100000001b3);
	sim_user_trace = (sim_user_trace ^ b ^ sim_now(&sim_user_world)) * UINT64_C(0x100000001b3);
}

/* ---- The user ----------------------------------------------------------------------- */

static struct sim_user *user_of(struct tako_sock *s)
{
	return TAKO__CONTAINER(s, struct sim_user, sock);
}

void sim_user_on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	struct sim_user *u = user_of(s);

	assert_false(sim_user_in_call);
	assert_true(sim_user_world.in_turn);
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
	assert_true(u->received_n + (size_t)res <= SIM_USER_BYTES_MAX);
	memcpy(u->received + u->received_n, p, (size_t)res);
	u->received_n += (size_t)res;
	if (u->pauses && sim_rand_chance(&sim_user_world.rand, 300))
		s->flags |= TAKO_SOCK_PAUSED;
}

void sim_user_on_closed(struct tako_sock *s)
{
	struct sim_user *u = user_of(s);

	assert_false(sim_user_in_call);
	assert_null(s->head);
	note(2, 0);
	u->closed_count++;
	u->in_use = false;
	/* Ours from here on: whoever still looks at it crashes. */
	memset(s, 0xdd, sizeof *s);
}

void sim_user_on_done(struct tako_send *send, int err)
{
	struct sim_op *op = TAKO__CONTAINER(send, struct sim_op, send);

	assert_false(sim_user_in_call);
	assert_true(sim_user_world.in_turn);
	assert_int_equal(op->done_count, 0);
	assert_int_equal(op->user->closed_count, 0);
	/* In order. */
	assert_ptr_equal(op, &op->user->ops[op->user->done_count]);
	note(3, (uint64_t)err);
	op->done_count++;
	op->user->done_count++;
	op->err = err;
}

static void on_connect(struct tako_sock *s, int errno_value)
{
	struct sim_user *u = user_of(s);

	assert_false(sim_user_in_call);
	assert_true(sim_user_world.in_turn);
	assert_false(s->flags & (TAKO_SOCK_CLOSING | TAKO_SOCK_CONNECTING));
	assert_int_equal(u->connect_count++, 0);
	assert_int_equal(u->received_n + u->eof_count + u->broken_count, 0);
	assert_true(!errno_value || !s->head);
	note(5, (uint64_t)errno_value);
	u->connect_err = errno_value;
}

static const struct tako_sock_cb callbacks = {
	.on_recv = sim_user_on_recv, .on_closed = sim_user_on_closed, .on_connect = on_connect};

struct sim_op *sim_user_queue(struct sim_user *u, const char *p, size_t n, int file_fd)
{
	struct sim_op *op = &u->ops[u->op_count++];

	*op = (struct sim_op){.user = u};
	op->send = (struct tako_send){
		.done = sim_user_on_done, .p = p, .n = n, .file_fd = file_fd, .file_pos = 0};
	tako_sock_queue(&u->sock, &op->send);
	SIM_CALL(sim_runtime()->flush(&u->sock));
	return op;
}

/* ---- The listener ------------------------------------------------------------------------------- */

static void on_accept(struct tako_sock *ls, int fd, const struct sockaddr *from, socklen_t n)
{
	struct sim_user *u = &sim_users[sim_user_count++];
	char *room = u->received;

	assert_false(sim_user_in_call);
	assert_ptr_equal(ls, &sim_user_listener);
	assert_true(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	assert_int_equal(from->sa_family, AF_INET);
	assert_int_equal(n, sizeof(struct sockaddr_in));
	*u = (struct sim_user){.in_use = true, .received = room};
	u->sock.cb = &callbacks;
	note(4, sim_user_count);
	assert_int_equal(sim_runtime()->start(sim_user_loop, &u->sock, fd), 0);
}

static void on_accept_error(struct tako_sock *ls, int errno_value)
{
	assert_true(ls->flags & TAKO_SOCK_PAUSED);
	assert_true(errno_value > 0);
	sim_user_accept_errors++;
}

static void on_listener_closed(struct tako_sock *ls)
{
	(void)ls;
	sim_user_listener_closed++;
}

static const struct tako_sock_cb listener_callbacks = {.on_accept = on_accept,
                                                       .on_accept_error = on_accept_error,
                                                       .on_closed = on_listener_closed};

/* ---- Going on -------------------------------------------------------------------------- */

void sim_user_begin(uint64_t seed, const struct sim_options *options)
{
	struct tako_loop_config cfg = {.size = sizeof cfg};

	sim_begin(&sim_user_world, seed, options);
	sim_user_count = 0;
	sim_user_accept_errors = 0;
	sim_user_listener_closed = 0;
	sim_user_trace = 0;
	for (unsigned i = 0; i < SIM_USERS_MAX; i++) {
		char *room = sim_users[i].received ? sim_users[i].received
		                                   : malloc(SIM_USER_BYTES_MAX);

		assert_non_null(room);
		sim_users[i] = (struct sim_user){.received = room};
	}
	assert_int_equal(sim_runtime()->open(&sim_user_loop, &cfg), 0);
	sim_user_listener = (struct tako_sock){.cb = &listener_callbacks};
	assert_int_equal(
		sim_runtime()->listen(sim_user_loop, &sim_user_listener, sim_user_world.null_fd),
		0);
}

void sim_user_turn(void)
{
	/* As long as it takes, but not for ever where nothing comes any more. */
	assert_int_equal(sim_runtime()->turn(sim_user_loop, sim_now(&sim_user_world) + 1000000000),
	                 0);
}

struct sim_user *sim_user_accepted(struct sim_link **ret_link)
{
	unsigned before = sim_user_count;

	*ret_link = sim_connect(&sim_user_world.net);
	for (unsigned i = 0; i < SIM_USER_TURNS_MAX && sim_user_count == before; i++)
		sim_user_turn();
	assert_int_equal(sim_user_count, before + 1);
	return &sim_users[before];
}

struct sim_user *sim_user_dial(unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sim_user *u = &sim_users[sim_user_count++];
	char *room = u->received;

	to.sin_addr.s_addr = htonl(0xc0000201);
	*u = (struct sim_user){.in_use = true, .received = room};
	u->sock.cb = &callbacks;
	SIM_CALL(assert_int_equal(
		sim_runtime()->connect(sim_user_loop, &u->sock,
	                               fcntl(sim_user_world.null_fd, F_DUPFD_CLOEXEC, 3),
	                               (struct sockaddr *)&to, sizeof to),
		0));
	return u;
}

static void close_all(void)
{
	for (unsigned i = 0; i < sim_user_count; i++) {
		if (sim_users[i].in_use && !(sim_users[i].sock.flags & TAKO_SOCK_CLOSING))
			SIM_CALL(sim_runtime()->close(&sim_users[i].sock));
	}
	if (!sim_user_listener_closed && !(sim_user_listener.flags & TAKO_SOCK_CLOSING))
		SIM_CALL(sim_runtime()->close(&sim_user_listener));
	for (unsigned i = 0; i < SIM_USER_TURNS_MAX && sim_user_world.sock_count; i++)
		sim_user_turn();
	assert_int_equal(sim_user_world.sock_count, 0);
}

void sim_user_end(const char *violation)
{
	close_all();
	for (unsigned i = 0; i < sim_user_count; i++) {
		assert_int_equal(sim_users[i].closed_count, 1);
		assert_int_equal(sim_users[i].done_count, sim_users[i].op_count);
	}
	assert_int_equal(sim_user_listener_closed, 1);
	sim_runtime()->free(sim_user_loop);
	sim_end(&sim_user_world);
	assert_string_equal(sim_user_world.violation, violation);
}

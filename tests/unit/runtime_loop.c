/* SPDX-License-Identifier: MIT
 *
 * What any runtime must do, see runtime_contract.h: waking, waiting, accepting.
 */
#include "unit/runtime_contract.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "unit/runtime_rig.h"

/* ---- Waiting --------------------------------------------------------------------------------------- */

static void *waker(void *arg)
{
	(void)arg;
	rig.rt->wake(rig.loop);
	return NULL;
}

static void test_wake(void **state)
{
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(pthread_create(&thread, NULL, waker, NULL), 0);
		rig_turn_until(UINT64_MAX); /* hangs if the wake is lost */
		pthread_join(thread, NULL);
	}
	/* Also before the wait begins. */
	rig.rt->wake(rig.loop);
	rig.rt->wake(rig.loop);
	rig_turn_until(UINT64_MAX);
}

static void test_deadline(void **state)
{
	uint64_t begin = tako__clock_ns();

	(void)state;
	rig_turn_until(begin + 20000000);
	assert_true(tako__clock_ns() >= begin + 20000000);
	assert_true(rig.loop->now_ns >= begin + 20000000);
	begin = tako__clock_ns();
	rig_turn_until(begin - 1);
	rig_turn_until(0);
	assert_true(tako__clock_ns() - begin < 1000000000u);
}

/* Between turns its clock stands, until it is asked for. */
static void test_clock_between_turns(void **state)
{
	uint64_t then;

	(void)state;
	rig_turn_until(0);
	then = rig.loop->now_ns;
	while (tako__clock_ns() < then + 2000000)
		continue;
	assert_int_equal(rig.loop->now_ns, then);
	rig.rt->refresh(rig.loop);
	assert_true(rig.loop->now_ns >= then + 2000000);
	assert_true(rig.loop->now_ns <= tako__clock_ns());
}

static void test_pollable(void **state)
{
	struct end e;
	uint64_t begin;
	int fd;

	(void)state;
	rig_start(&e);
	/* Something to do: the socket was never looked at. */
	fd = rig.rt->pollable(rig.loop, UINT64_MAX);
	assert_true(fd >= 0);
	assert_true(rig_readable(fd, RIG_FOR_EVER));
	rig_turn(3);
	assert_int_equal(rig.rt->pollable(rig.loop, UINT64_MAX), fd);
	assert_false(rig_readable(fd, 0));
	rig_say(&e, "x", 1);
	assert_true(rig_readable(fd, RIG_FOR_EVER));
	rig_turn(2);
	assert_int_equal(e.n, 1);
	begin = tako__clock_ns();
	assert_int_equal(rig.rt->pollable(rig.loop, begin + 20000000), fd);
	assert_false(rig_readable(fd, 0));
	assert_true(rig_readable(fd, RIG_FOR_EVER));
	assert_true(tako__clock_ns() >= begin + 20000000);
	rig_turn(1);
	assert_int_equal(rig.rt->pollable(rig.loop, 0), fd);
	assert_true(rig_readable(fd, RIG_FOR_EVER));
	rig_turn(1);
	assert_int_equal(rig.rt->pollable(rig.loop, UINT64_MAX), fd);
	assert_false(rig_readable(fd, 0));
	rig.rt->wake(rig.loop);
	assert_true(rig_readable(fd, RIG_FOR_EVER));
	rig_turn(1);
	rig_finish(&e);
}

/* However few there are left, what a failure has taken it gives back, and a later call makes good for it. */
static void test_pollable_without_descriptors(void **state)
{
	struct rlimit old;
	int lowest = dup(STDERR_FILENO);
	unsigned failures = 0;
	int fd = -1;

	(void)state;
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	while (fd < 0 && failures < 1000) {
		struct rlimit few = old;

		few.rlim_cur = (rlim_t)lowest + failures;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		fd = rig.rt->pollable(rig.loop, UINT64_MAX);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		if (fd >= 0)
			break;
		failures++;
		assert_int_equal(fd, TAKO_ESYS);
		assert_int_equal(fcntl(lowest, F_GETFD), -1);
	}
	assert_in_range(failures, 1, 999);
	rig_turn(1);
	assert_int_equal(rig.rt->pollable(rig.loop, tako__clock_ns() + 1000000), fd);
	assert_true(rig_readable(fd, RIG_FOR_EVER));
	rig_turn(1);
	assert_int_equal(rig.rt->pollable(rig.loop, UINT64_MAX), fd);
	assert_false(rig_readable(fd, 0));
	rig.rt->wake(rig.loop);
	assert_true(rig_readable(fd, RIG_FOR_EVER));
}

/* ---- Accepting ------------------------------------------------------------------------------------------ */

static struct {
	unsigned accepted;
	unsigned errors;
	int last_errno;
	unsigned closed;
	bool pause_next;
} listens;

static void on_accept(struct tako_sock *ls, int fd, const struct sockaddr *from, socklen_t n)
{
	assert_false(rig.inside);
	assert_false((ls->flags & TAKO_SOCK_PAUSED) && !(ls->flags & TAKO_SOCK_CLOSING));
	assert_int_equal(from->sa_family, AF_INET);
	assert_int_equal(n, sizeof(struct sockaddr_in));
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	listens.accepted++;
	if (listens.pause_next)
		ls->flags |= TAKO_SOCK_PAUSED;
}

static void on_accept_error(struct tako_sock *ls, int errno_value)
{
	(void)ls;
	assert_false(rig.inside);
	listens.errors++;
	listens.last_errno = errno_value;
}

static void on_listener_closed(struct tako_sock *ls)
{
	(void)ls;
	assert_false(rig.inside);
	listens.closed++;
}

static const struct tako_sock_cb listen_callbacks = {
	.on_accept = on_accept,
	.on_accept_error = on_accept_error,
	.on_closed = on_listener_closed,
};

static struct sockaddr_in listening;

static int start_listener(struct tako_sock *ls)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t n = sizeof listening;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memset(&listens, 0, sizeof listens);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&listening, &n), 0);
	*ls = (struct tako_sock){.cb = &listen_callbacks};
	RIG_CALL(assert_int_equal(rig.rt->listen(rig.loop, ls, fd), 0));
	return fd;
}

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&listening, sizeof listening), 0);
	return fd;
}

static void stop_listener(struct tako_sock *ls, int fd)
{
	RIG_CALL(rig.rt->close(ls));
	assert_int_equal(listens.closed, 0);
	rig_turn(2);
	assert_int_equal(listens.closed, 1);
	/* Its owner closes the descriptor. */
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static void test_accept_and_pause(void **state)
{
	struct tako_sock ls;
	int fd = start_listener(&ls);
	int c[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		c[i] = dial();
	listens.pause_next = true;
	rig_turn(3);
	assert_int_equal(listens.accepted, 1);
	/* A paused listener costs no CPU: nothing is reported again and again. */
	assert_false(rig_readable(rig.rt->pollable(rig.loop, UINT64_MAX), 0));
	RIG_CALL(rig.rt->resume(&ls));
	rig_turn(3);
	assert_int_equal(listens.accepted, 2);
	listens.pause_next = false;
	RIG_CALL(rig.rt->resume(&ls));
	rig_turn(2);
	assert_int_equal(listens.accepted, 3);
	stop_listener(&ls, fd);
	for (int i = 0; i < 3; i++)
		close(c[i]);
}

static void test_accept_errors(void **state)
{
	struct tako_sock ls;
	struct rlimit old;
	struct rlimit none;
	int fd = start_listener(&ls);
	int c = dial();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	rig_turn(4);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(listens.accepted, 0);
	assert_int_equal(listens.errors, 1);
	assert_int_equal(listens.last_errno, EMFILE);
	/* Paused until told otherwise. */
	rig_turn(2);
	assert_int_equal(listens.accepted, 0);
	RIG_CALL(rig.rt->resume(&ls));
	rig_turn(2);
	assert_int_equal(listens.accepted, 1);
	assert_int_equal(listens.errors, 1);
	stop_listener(&ls, fd);
	close(c);
}

static void test_open_without_memory(void **state)
{
	struct tako_loop_config cfg = {.size = sizeof cfg};
	unsigned n;

	(void)state;
	for (n = 1; n < 10; n++) {
		struct tako_loop *other = NULL;
		size_t live = rig_alloc_live();
		int rc;

		rig_alloc_fail(n);
		rc = rig.rt->open(&other, &cfg);
		if (!rig_alloc_failed()) {
			assert_int_equal(rc, 0);
			rig.rt->free(other);
			break;
		}
		assert_int_equal(rc, TAKO_ENOMEM);
		assert_int_equal(rig_alloc_live(), live);
	}
	assert_in_range(n, 2, 9);
}

/* Closing the descriptor would reset them. */
static void test_close_takes_who_has_connected(void **state)
{
	(void)state;
	for (int paused = 0; paused < 2; paused++) {
		struct tako_sock ls;
		int fd = start_listener(&ls);
		int c[3];

		rig_turn(2);
		if (paused)
			ls.flags |= TAKO_SOCK_PAUSED;
		for (int i = 0; i < 3; i++)
			c[i] = dial();
		stop_listener(&ls, fd);
		assert_int_equal(listens.accepted, 3);
		/* Nothing of the kernel's holds it any more: the port is free. */
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)),
		                 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&listening, sizeof listening), 0);
		assert_int_equal(listen(fd, 1), 0);
		close(fd);
		for (int i = 0; i < 3; i++)
			close(c[i]);
	}
}

/* A process that is between fork() and exec() has all our descriptors, so that closing ours is not the end of the
 * socket: what it goes on to receive is not told to whoever has the memory by then. */
static void test_close_while_others_have_it(void **state)
{
	struct end e;
	unsigned calls;
	int elsewhere;

	(void)state;
	rig_start(&e);
	rig_turn(2);
	elsewhere = dup(e.s.fd);
	assert_true(elsewhere >= 0);
	RIG_CALL(rig.rt->close(&e.s));
	rig_turn(2);
	assert_int_equal(e.closed, 1);
	calls = e.calls;
	e.s = (struct tako_sock){.loop = rig.loop, .cb = e.s.cb, .fd = -1};
	rig_say(&e, "x", 1);
	rig_turn(2);
	assert_int_equal(e.calls, calls);
	assert_int_equal(e.s.flags, 0);
	close(elsewhere);
	close(e.peer);
	free(e.got);
}

int runtime_contract_loop(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(test_wake),
		RIG_TEST(test_deadline),
		RIG_TEST(test_clock_between_turns),
		RIG_TEST(test_pollable),
		RIG_TEST(test_pollable_without_descriptors),
		RIG_TEST(test_accept_and_pause),
		RIG_TEST(test_accept_errors),
		RIG_TEST(test_open_without_memory),
		RIG_TEST(test_close_takes_who_has_connected),
		RIG_TEST(test_close_while_others_have_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

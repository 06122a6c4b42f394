/* SPDX-License-Identifier: MIT
 *
 * The epoll runtime through seam A alone: the five rules at the head of sys/runtime.h, on
 * socket pairs.  Nothing here waits for time to pass but where a deadline is the matter.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <tako/server.h>
#include <tako/sys/runtime.h>

#include "core/base.h"
#include "core/clock.h"
#include "unit/failalloc.h"

enum { RECV_BUFFER = 1024, GOT_MAX = 1 << 22, OPS = 40, FOR_EVER = 2000 };

struct end {
	struct tako_sock s;
	int peer;
	char *got;
	size_t n;
	unsigned calls; /* of on_recv, the end included */
	unsigned ends;
	int end_res;
	unsigned closed;
	bool pause_next; /* pause from inside the next delivery */
	bool close_next;
};

struct op {
	struct tako_send send;
	struct end *of;
	unsigned done;
	int err;
	unsigned order;
	bool close_in_done;
};

static const struct tako_runtime *rt;
static struct tako_loop *loop;
static struct op ops[OPS];
static unsigned completed;
static bool inside; /* a call into the runtime: no callback may run */
static bool turning;

/* ---- Callbacks ------------------------------------------------------------------------ */

static struct end *end_of(struct tako_sock *s)
{
	struct end *e = TAKO__CONTAINER(s, struct end, s);

	assert_false(inside);
	assert_true(turning);
	assert_int_equal(e->closed, 0);
	return e;
}

static void on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	struct end *e = end_of(s);

	/* Rule 4, and nothing after the end. */
	assert_false(s->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING));
	assert_false(e->ends && e->end_res < 0);
	e->calls++;
	if (res > 0) {
		assert_int_equal(e->ends, 0);
		assert_true(e->n + (size_t)res <= GOT_MAX);
		memcpy(e->got + e->n, p, (size_t)res);
		e->n += (size_t)res;
	} else {
		e->ends++;
		e->end_res = (int)res;
		assert_true(s->flags & (res < 0 ? TAKO_SOCK_BROKEN : TAKO_SOCK_EOF));
	}
	if (e->pause_next)
		s->flags |= TAKO_SOCK_PAUSED;
	e->pause_next = false;
	if (e->close_next) {
		inside = true;
		rt->close(s);
		inside = false;
	}
	e->close_next = false;
}

static void on_closed(struct tako_sock *s)
{
	struct end *e = end_of(s);

	e->closed++;
	assert_null(s->head);
}

static const struct tako_sock_cb callbacks = {.on_recv = on_recv, .on_closed = on_closed};

static void on_done(struct tako_send *send, int err)
{
	struct op *o = TAKO__CONTAINER(send, struct op, send);

	assert_int_equal(end_of(&o->of->s)->closed, 0);
	o->done++;
	o->err = err;
	o->order = ++completed;
	if (o->close_in_done) {
		inside = true;
		rt->close(&o->of->s);
		inside = false;
	}
}

/* ---- Help -------------------------------------------------------------------------------- */

static void turn_until(uint64_t deadline_ns)
{
	turning = true;
	assert_int_equal(rt->turn(loop, deadline_ns), 0);
	turning = false;
}

static void turn(unsigned times)
{
	while (times--)
		turn_until(0);
}

#define CALL(expr)                                                                                 \
	do {                                                                                       \
		inside = true;                                                                     \
		expr;                                                                              \
		inside = false;                                                                    \
	} while (0)

static int set_up(void **state)
{
	struct tako_loop_config cfg = {.size = sizeof cfg, .recv_buffer_bytes = RECV_BUFFER};
	char why[64] = "x";

	(void)state;
	rt = tako_runtime_epoll();
	memset(ops, 0, sizeof ops);
	completed = 0;
	inside = false;
	return rt->probe(why, sizeof why) < 0 || rt->open(&loop, &cfg) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	rt->free(loop);
	return failalloc_live() || failalloc_wrong();
}

static void start(struct end *e)
{
	int fds[2];

	*e = (struct end){.s = {.cb = &callbacks}};
	e->got = malloc(GOT_MAX);
	assert_non_null(e->got);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
	                 0);
	e->peer = fds[1];
	CALL(assert_int_equal(rt->start(loop, &e->s, fds[0]), 0));
}

/* Close, and see that it ends as rule 5 says. */
static void finish(struct end *e)
{
	if (!e->closed) {
		CALL(rt->close(&e->s));
		CALL(rt->close(&e->s));
		assert_int_equal(e->closed, 0);
		turn(2);
	}
	assert_int_equal(e->closed, 1);
	assert_int_equal(fcntl(e->s.fd, F_GETFD), -1);
	if (e->peer >= 0)
		close(e->peer);
	turn(2);
	assert_int_equal(e->closed, 1);
	free(e->got);
}

static void say(struct end *e, const char *p, size_t n)
{
	assert_int_equal(write(e->peer, p, n), n);
}

static void queue(struct end *e, unsigned i, const char *p, size_t n)
{
	ops[i].of = e;
	ops[i].send = (struct tako_send){.done = on_done, .p = p, .n = n, .file_fd = -1};
	CALL(tako_sock_queue(&e->s, &ops[i].send));
	CALL(rt->flush(&e->s));
}

static void queue_file(struct end *e, unsigned i, int fd, int64_t pos, size_t n)
{
	ops[i].of = e;
	ops[i].send = (struct tako_send){.done = on_done, .n = n, .file_pos = pos, .file_fd = fd};
	CALL(tako_sock_queue(&e->s, &ops[i].send));
	CALL(rt->flush(&e->s));
}

static void check_ops(unsigned count, unsigned good, int err)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(ops[i].done, 1);
		assert_int_equal(ops[i].order, i + 1);
		assert_int_equal(ops[i].err, i < good ? 0 : err);
	}
	assert_int_equal(completed, count);
}

/* Read what the peer gets, turning, until `want` bytes or nothing more comes. */
static size_t drain(struct end *e, char *to, size_t want)
{
	size_t n = 0;

	for (unsigned idle = 0; n < want && idle < 50;) {
		ssize_t got = read(e->peer, to + n, want - n < 3000 ? want - n : 3000);

		if (got > 0) {
			n += (size_t)got;
			idle = 0;
		} else if (got == 0) {
			break;
		} else {
			idle++;
		}
		turn(1);
	}
	return n;
}

static char *pattern(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

/* ---- Receiving ------------------------------------------------------------------------------ */

static void test_receive_then_end(void **state)
{
	struct end e;

	(void)state;
	start(&e);
	say(&e, "before", 6);
	assert_int_equal(e.calls, 0);
	turn(1);
	assert_int_equal(e.n, 6);
	say(&e, "after", 5);
	turn(2);
	shutdown(e.peer, SHUT_WR);
	turn(3);
	assert_int_equal(e.n, 11);
	assert_memory_equal(e.got, "beforeafter", 11);
	assert_int_equal(e.ends, 1);
	assert_int_equal(e.end_res, 0);
	/* Our side still sends. */
	queue(&e, 0, "bye", 3);
	turn(1);
	check_ops(1, 1, 0);
	finish(&e);
}

/* All sizes around a full buffer, where a short read tells that there is no more. */
static void test_sizes_around_a_buffer(void **state)
{
	char *data = pattern(3 * RECV_BUFFER);

	(void)state;
	for (size_t n = RECV_BUFFER - 1; n <= 2 * RECV_BUFFER + 1;
	     n += n % RECV_BUFFER == 1 ? 1022 : 1) {
		struct end e;

		start(&e);
		turn(1);
		say(&e, data, n);
		turn(4);
		assert_int_equal(e.n, n);
		say(&e, data + n, 1);
		turn(1);
		assert_int_equal(e.n, n + 1);
		assert_memory_equal(e.got, data, n + 1);
		close(e.peer);
		e.peer = -1;
		turn(2);
		assert_int_equal(e.ends, 1);
		finish(&e);
	}
	free(data);
}

static void test_pause_holds_data_and_end(void **state)
{
	for (int watched = 0; watched < 2; watched++) {
		struct end e;

		(void)state;
		start(&e);
		if (watched)
			turn(2);
		e.s.flags |= TAKO_SOCK_PAUSED;
		say(&e, "held", 4);
		close(e.peer);
		e.peer = -1;
		turn(5);
		assert_int_equal(e.calls, 0);
		CALL(rt->resume(&e.s));
		assert_int_equal(e.calls, 0);
		turn(3);
		assert_int_equal(e.n, 4);
		assert_int_equal(e.ends, 1);
		assert_int_equal(e.end_res, 0);
		finish(&e);
	}
}

static void test_pause_from_a_delivery(void **state)
{
	char *data = pattern(3 * RECV_BUFFER);
	struct end e;

	(void)state;
	start(&e);
	say(&e, data, 3 * RECV_BUFFER);
	close(e.peer);
	e.peer = -1;
	for (unsigned i = 1; i <= 3; i++) {
		e.pause_next = true;
		turn(5);
		assert_int_equal(e.calls, i);
		assert_int_equal(e.n, i * RECV_BUFFER);
		CALL(rt->resume(&e.s));
	}
	turn(3);
	assert_int_equal(e.calls, 4);
	assert_int_equal(e.ends, 1);
	assert_memory_equal(e.got, data, 3 * RECV_BUFFER);
	finish(&e);
	free(data);
}

static void test_resume_without_a_pause(void **state)
{
	struct end e;

	(void)state;
	start(&e);
	CALL(rt->resume(&e.s));
	turn(2);
	assert_int_equal(e.calls, 0);
	finish(&e);
}

/* A reset is an end too. */
static void test_reset(void **state)
{
	struct end e;

	(void)state;
	start(&e);
	queue(&e, 0, "never read", 10);
	turn(2);
	check_ops(1, 1, 0);
	close(e.peer); /* with bytes unread: a reset */
	e.peer = -1;
	turn(3);
	assert_int_equal(e.ends, 1);
	assert_int_equal(e.end_res, TAKO_ECLOSED);
	finish(&e);
}

static void test_failed_send_while_paused(void **state)
{
	struct end e;

	(void)state;
	start(&e);
	turn(2);
	e.s.flags |= TAKO_SOCK_PAUSED;
	close(e.peer);
	e.peer = -1;
	queue(&e, 0, "nobody", 6);
	queue(&e, 1, "there", 5);
	turn(5);
	check_ops(2, 0, TAKO_ECLOSED);
	assert_int_equal(e.calls, 0);
	CALL(rt->resume(&e.s));
	turn(3);
	assert_int_equal(e.ends, 1);
	finish(&e);
}

static void test_close_from_a_delivery(void **state)
{
	struct end e;

	(void)state;
	start(&e);
	say(&e, "x", 1);
	queue(&e, 0, "queued", 6);
	e.close_next = true;
	turn(1);
	assert_int_equal(e.calls, 1);
	assert_int_equal(e.closed, 1);
	assert_int_equal(ops[0].done, 1);
	finish(&e);
}

/* One with endless input, and one with a byte: both get their share of every turn. */
static void test_fairness(void **state)
{
	char *data = pattern(64 * RECV_BUFFER);
	struct end busy;
	struct end quiet;

	(void)state;
	start(&busy);
	start(&quiet);
	turn(2);
	say(&busy, data, 64 * RECV_BUFFER);
	for (unsigned i = 1; i <= 5; i++) {
		size_t before = busy.n;

		say(&quiet, "x", 1);
		turn(1);
		assert_int_equal(quiet.n, i);
		assert_in_range(busy.n - before, 1, 8 * RECV_BUFFER);
	}
	turn(64);
	assert_int_equal(busy.n, 64 * RECV_BUFFER);
	assert_memory_equal(busy.got, data, busy.n);
	finish(&busy);
	finish(&quiet);
	free(data);
}

/* ---- Sending ---------------------------------------------------------------------------------- */

static void test_partial_sends(void **state)
{
	enum { EACH = 5000 };
	char *data = pattern(OPS * EACH);
	char *got = malloc(OPS * EACH);
	struct end e;

	(void)state;
	start(&e);
	assert_int_equal(setsockopt(e.s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
	for (unsigned i = 0; i < OPS; i++)
		queue(&e, i, data + i * EACH, EACH);
	assert_int_equal(completed, 0);
	turn(3);
	assert_true(completed < OPS);
	assert_true(e.s.queued_bytes > 0);
	assert_int_equal(drain(&e, got, OPS * EACH), OPS * EACH);
	turn(1);
	assert_memory_equal(got, data, OPS * EACH);
	check_ops(OPS, OPS, 0);
	assert_int_equal(e.s.queued_bytes, 0);
	assert_int_equal(e.s.sent_bytes, OPS * EACH);
	finish(&e);
	free(got);
	free(data);
}

static void test_empty_send(void **state)
{
	struct end e;
	char got[4];

	(void)state;
	start(&e);
	queue(&e, 0, "", 0);
	queue(&e, 1, "ab", 2);
	queue(&e, 2, "", 0);
	turn(2);
	check_ops(3, 3, 0);
	assert_int_equal(read(e.peer, got, 4), 2);
	finish(&e);
}

static void test_close_gives_up_what_is_queued(void **state)
{
	char *data = pattern(OPS * 5000);
	struct end e;

	(void)state;
	start(&e);
	setsockopt(e.s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	for (unsigned i = 0; i < OPS; i++)
		queue(&e, i, data + i * 5000, 5000);
	turn(2);
	assert_true(completed < OPS);
	CALL(rt->close(&e.s));
	assert_true(completed < OPS);
	turn(1);
	assert_int_equal(e.closed, 1);
	for (unsigned i = 0, failed = 0; i < OPS; i++) {
		assert_int_equal(ops[i].done, 1);
		assert_int_equal(ops[i].order, i + 1);
		failed = failed || ops[i].err;
		assert_int_equal(ops[i].err, failed ? TAKO_ECLOSED : 0);
	}
	assert_int_equal(ops[OPS - 1].err, TAKO_ECLOSED);
	finish(&e);
	free(data);
}

static void test_peer_leaves_while_sending(void **state)
{
	char *data = pattern(OPS * 5000);
	struct end e;

	(void)state;
	start(&e);
	setsockopt(e.s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	for (unsigned i = 0; i < OPS; i++)
		queue(&e, i, data + i * 5000, 5000);
	turn(2);
	close(e.peer);
	e.peer = -1;
	turn(4);
	assert_int_equal(completed, OPS);
	assert_int_equal(ops[OPS - 1].err, TAKO_ECLOSED);
	assert_int_equal(e.ends, 1);
	assert_int_equal(e.end_res, TAKO_ECLOSED);
	/* Later ones fail as well, from a turn. */
	ops[0].done = 0;
	queue(&e, 0, "late", 4);
	assert_int_equal(ops[0].done, 0);
	turn(2);
	assert_int_equal(ops[0].done, 1);
	assert_int_equal(ops[0].err, TAKO_ECLOSED);
	assert_int_equal(e.ends, 1);
	finish(&e);
	free(data);
}

static void test_close_in_done(void **state)
{
	struct end e;

	(void)state;
	start(&e);
	queue(&e, 0, "a", 1);
	queue(&e, 1, "b", 1);
	ops[0].close_in_done = true;
	turn(2);
	assert_int_equal(ops[0].done, 1);
	assert_int_equal(ops[1].done, 1);
	assert_int_equal(e.closed, 1);
	finish(&e);
}

/* ---- Files -------------------------------------------------------------------------------------- */

static int make_file(const char *p, size_t n)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	return fd;
}

static void test_file_between_memory(void **state)
{
	enum { FILE_N = 700000 };
	char *data = pattern(FILE_N);
	char *got = malloc(FILE_N);
	int fd = make_file(data, FILE_N);
	struct end e;

	(void)state;
	start(&e);
	queue(&e, 0, "head", 4);
	queue_file(&e, 1, fd, 1000, FILE_N - 2000);
	queue(&e, 2, "tail", 4);
	queue_file(&e, 3, fd, 5, 10);
	assert_int_equal(drain(&e, got, FILE_N - 2000 + 18), FILE_N - 2000 + 18);
	turn(1);
	assert_memory_equal(got, "head", 4);
	assert_memory_equal(got + 4, data + 1000, FILE_N - 2000);
	assert_memory_equal(got + FILE_N - 1996, "tail", 4);
	assert_memory_equal(got + FILE_N - 1992, data + 5, 10);
	check_ops(4, 4, 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), FILE_N); /* the offset is the op's own */
	finish(&e);
	close(fd);
	free(got);
	free(data);
}

/* It cannot be completed, and nothing may follow it: the peer counts on its length. */
static void test_shrinking_file(void **state)
{
	for (int paused = 0; paused < 2; paused++) {
		char got[64];
		int fd = make_file("0123456789", 10);
		struct end e;

		(void)state;
		memset(ops, 0, sizeof ops);
		completed = 0;
		start(&e);
		turn(1);
		if (paused)
			e.s.flags |= TAKO_SOCK_PAUSED;
		queue_file(&e, 0, fd, 4, 20);
		queue(&e, 1, "next", 4);
		turn(5);
		check_ops(2, 0, TAKO_ECLOSED);
		assert_int_equal(e.calls, !paused);
		CALL(rt->resume(&e.s));
		turn(2);
		assert_int_equal(e.ends, 1);
		assert_true(e.end_res < 0);
		assert_int_equal(read(e.peer, got, sizeof got), 6);
		finish(&e);
		close(fd);
	}
}

/* ---- Waiting --------------------------------------------------------------------------------------- */

static void *waker(void *arg)
{
	(void)arg;
	rt->wake(loop);
	return NULL;
}

static void test_wake(void **state)
{
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(pthread_create(&thread, NULL, waker, NULL), 0);
		turn_until(UINT64_MAX); /* hangs if the wake is lost */
		pthread_join(thread, NULL);
	}
	/* Also before the wait begins. */
	rt->wake(loop);
	rt->wake(loop);
	turn_until(UINT64_MAX);
}

static void test_deadline(void **state)
{
	uint64_t begin = tako__clock_ns();

	(void)state;
	turn_until(begin + 20000000);
	assert_true(tako__clock_ns() >= begin + 20000000);
	assert_true(loop->now_ns >= begin + 20000000);
	begin = tako__clock_ns();
	turn_until(begin - 1);
	turn_until(0);
	assert_true(tako__clock_ns() - begin < 1000000000u);
}

static bool readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

static void test_pollable(void **state)
{
	struct end e;
	uint64_t begin;
	int fd;

	(void)state;
	start(&e);
	/* Something to do: the socket was never looked at. */
	fd = rt->pollable(loop, UINT64_MAX);
	assert_true(fd >= 0);
	assert_true(readable(fd, FOR_EVER));
	turn(3);
	assert_int_equal(rt->pollable(loop, UINT64_MAX), fd);
	assert_false(readable(fd, 0));
	say(&e, "x", 1);
	assert_true(readable(fd, FOR_EVER));
	turn(2);
	assert_int_equal(e.n, 1);
	begin = tako__clock_ns();
	assert_int_equal(rt->pollable(loop, begin + 20000000), fd);
	assert_false(readable(fd, 0));
	assert_true(readable(fd, FOR_EVER));
	assert_true(tako__clock_ns() >= begin + 20000000);
	turn(1);
	assert_int_equal(rt->pollable(loop, 0), fd);
	assert_true(readable(fd, FOR_EVER));
	turn(1);
	assert_int_equal(rt->pollable(loop, UINT64_MAX), fd);
	assert_false(readable(fd, 0));
	rt->wake(loop);
	assert_true(readable(fd, FOR_EVER));
	turn(1);
	finish(&e);
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
	assert_false(inside);
	assert_false(ls->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING));
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
	assert_false(inside);
	listens.errors++;
	listens.last_errno = errno_value;
}

static void on_listener_closed(struct tako_sock *ls)
{
	(void)ls;
	assert_false(inside);
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
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&listening, &n), 0);
	*ls = (struct tako_sock){.cb = &listen_callbacks};
	CALL(assert_int_equal(rt->listen(loop, ls, fd), 0));
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
	CALL(rt->close(ls));
	assert_int_equal(listens.closed, 0);
	turn(2);
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
	turn(3);
	assert_int_equal(listens.accepted, 1);
	/* A paused listener costs no CPU: nothing is reported again and again. */
	assert_false(readable(rt->pollable(loop, UINT64_MAX), 0));
	CALL(rt->resume(&ls));
	turn(3);
	assert_int_equal(listens.accepted, 2);
	listens.pause_next = false;
	CALL(rt->resume(&ls));
	turn(2);
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
	turn(4);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(listens.accepted, 0);
	assert_int_equal(listens.errors, 1);
	assert_int_equal(listens.last_errno, EMFILE);
	/* Paused until told otherwise. */
	turn(2);
	assert_int_equal(listens.accepted, 0);
	CALL(rt->resume(&ls));
	turn(2);
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
		size_t live = failalloc_live();
		int rc;

		failalloc_arm(n);
		rc = rt->open(&other, &cfg);
		if (!failalloc_disarm()) {
			assert_int_equal(rc, 0);
			rt->free(other);
			break;
		}
		assert_int_equal(rc, TAKO_ENOMEM);
		assert_int_equal(failalloc_live(), live);
	}
	assert_in_range(n, 2, 9);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_receive_then_end),
		WITH(test_sizes_around_a_buffer),
		WITH(test_pause_holds_data_and_end),
		WITH(test_pause_from_a_delivery),
		WITH(test_resume_without_a_pause),
		WITH(test_reset),
		WITH(test_failed_send_while_paused),
		WITH(test_close_from_a_delivery),
		WITH(test_fairness),
		WITH(test_partial_sends),
		WITH(test_empty_send),
		WITH(test_close_gives_up_what_is_queued),
		WITH(test_peer_leaves_while_sending),
		WITH(test_close_in_done),
		WITH(test_file_between_memory),
		WITH(test_shrinking_file),
		WITH(test_wake),
		WITH(test_deadline),
		WITH(test_pollable),
		WITH(test_accept_and_pause),
		WITH(test_accept_errors),
		WITH(test_open_without_memory),
	};

	if (failalloc_install() < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

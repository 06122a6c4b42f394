/* SPDX-License-Identifier: MIT
 *
 * See runtime_rig.h.
 */
#include "unit/runtime_rig.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"
#include "unit/failalloc.h"

enum { GOT_MAX = 1 << 22 };

struct rig rig;

/* ---- Callbacks ------------------------------------------------------------------------ */

static struct end *end_of(struct tako_sock *s)
{
	struct end *e = TAKO__CONTAINER(s, struct end, s);

	assert_false(rig.inside);
	assert_true(rig.turning);
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
		rig.inside = true;
		rig.rt->close(s);
		rig.inside = false;
	}
	e->close_next = false;
}

static void on_closed(struct tako_sock *s)
{
	struct end *e = end_of(s);

	e->closed++;
	assert_null(s->head);
}

static void on_connect(struct tako_sock *s, int errno_value)
{
	struct end *e = end_of(s);

	assert_int_equal(e->connects++, 0);
	assert_int_equal(e->calls, 0);
	assert_false(s->flags & (TAKO_SOCK_CLOSING | TAKO_SOCK_CONNECTING));
	assert_int_equal(!!(s->flags & TAKO_SOCK_BROKEN), errno_value != 0);
	e->connect_err = errno_value;
	e->failed_before = rig.completed;
	if (errno_value)
		assert_null(s->head);
	if (e->close_next)
		RIG_CALL(rig.rt->close(s));
	e->close_next = false;
}

static const struct tako_sock_cb callbacks = {
	.on_recv = on_recv, .on_closed = on_closed, .on_connect = on_connect};

static void on_done(struct tako_send *send, int err)
{
	struct op *o = TAKO__CONTAINER(send, struct op, send);

	assert_int_equal(end_of(&o->of->s)->closed, 0);
	o->done++;
	o->err = err;
	o->order = ++rig.completed;
	if (o->close_in_done) {
		rig.inside = true;
		rig.rt->close(&o->of->s);
		rig.inside = false;
	}
	if (o->then)
		RIG_CALL(tako_sock_queue(&o->then->of->s, &o->then->send));
}

/* ---- Help -------------------------------------------------------------------------------- */

void rig_turn_until(uint64_t deadline_ns)
{
	rig.turning = true;
	assert_int_equal(rig.rt->turn(rig.loop, deadline_ns), 0);
	rig.turning = false;
}

void rig_turn(unsigned times)
{
	while (times--)
		rig_turn_until(0);
}

int rig_open(const struct tako_loop_config *cfg)
{
	char why[64] = "x";

	memset(rig.ops, 0, sizeof rig.ops);
	rig.completed = 0;
	rig.inside = false;
	return rig.rt->probe(why, sizeof why) < 0 || rig.rt->open(&rig.loop, cfg) < 0;
}

int rig_set_up(void **state)
{
	struct tako_loop_config cfg = {.size = sizeof cfg, .recv_buffer_bytes = RIG_RECV_BUFFER};

	(void)state;
	return rig_open(&cfg);
}

int rig_install(const tako_runtime *rt)
{
	rig.rt = rt;
	rig.share = 8;
	return failalloc_install() < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR;
}

void rig_alloc_fail(size_t nth)
{
	failalloc_arm(nth);
}

size_t rig_alloc_failed(void)
{
	return failalloc_disarm();
}

size_t rig_alloc_live(void)
{
	return failalloc_live();
}

int rig_tear_down(void **state)
{
	(void)state;
	rig.rt->free(rig.loop);
	return failalloc_live() || failalloc_wrong();
}

void rig_start_fd(struct end *e, int fd, int peer)
{
	*e = (struct end){.s = {.cb = &callbacks}, .peer = peer};
	e->got = malloc(GOT_MAX);
	assert_non_null(e->got);
	RIG_CALL(assert_int_equal(rig.rt->start(rig.loop, &e->s, fd), 0));
}

void rig_connect(struct end *e, const struct sockaddr *to, socklen_t n)
{
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	*e = (struct end){.s = {.cb = &callbacks}, .peer = -1};
	e->got = malloc(GOT_MAX);
	assert_non_null(e->got);
	RIG_CALL(assert_int_equal(rig.rt->connect(rig.loop, &e->s, fd, to, n), 0));
	assert_true(e->s.flags & TAKO_SOCK_CONNECTING);
}

void rig_tcp_pair(int fds[2])
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t n = sizeof in;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)&in, n), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &n), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&in, n), 0);
	fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fds[0] >= 0);
	close(listener);
}

void rig_start(struct end *e)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
	                 0);
	rig_start_fd(e, fds[0], fds[1]);
}

/* Close, and see that it ends as rule 5 says. */
void rig_finish(struct end *e)
{
	if (!e->closed) {
		RIG_CALL(rig.rt->close(&e->s));
		RIG_CALL(rig.rt->close(&e->s));
		assert_int_equal(e->closed, 0);
		rig_turn(2);
	}
	assert_int_equal(e->closed, 1);
	assert_int_equal(fcntl(e->s.fd, F_GETFD), -1);
	if (e->peer >= 0)
		close(e->peer);
	rig_turn(2);
	assert_int_equal(e->closed, 1);
	free(e->got);
}

void rig_say(struct end *e, const char *p, size_t n)
{
	assert_int_equal(write(e->peer, p, n), n);
}

void rig_prepare(struct end *e, unsigned i, const char *p, size_t n)
{
	rig.ops[i].of = e;
	rig.ops[i].send = (struct tako_send){.done = on_done, .p = p, .n = n, .file_fd = -1};
}

void rig_queue(struct end *e, unsigned i, const char *p, size_t n)
{
	rig_prepare(e, i, p, n);
	RIG_CALL(tako_sock_queue(&e->s, &rig.ops[i].send));
	RIG_CALL(rig.rt->flush(&e->s));
}

void rig_queue_file(struct end *e, unsigned i, int fd, int64_t pos, size_t n)
{
	rig.ops[i].of = e;
	rig.ops[i].send = (struct tako_send){
		.done = on_done, .n = n, .file_pos = pos, .file_fd = fd};
	RIG_CALL(tako_sock_queue(&e->s, &rig.ops[i].send));
	RIG_CALL(rig.rt->flush(&e->s));
}

void rig_check_ops(unsigned count, unsigned good, int err)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(rig.ops[i].done, 1);
		assert_int_equal(rig.ops[i].order, i + 1);
		assert_int_equal(rig.ops[i].err, i < good ? 0 : err);
	}
	assert_int_equal(rig.completed, count);
}

/* Read what the peer gets, turning, until `want` bytes or nothing more comes. */
size_t rig_drain(struct end *e, char *to, size_t want)
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
		/* What comes from a disk takes its time. */
		rig_turn_until(idle < 5 ? 0 : tako__clock_ns() + 1000000);
	}
	return n;
}

char *rig_pattern(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

bool rig_readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1;
}

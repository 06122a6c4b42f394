/* SPDX-License-Identifier: MIT
 *
 * Datagrams of a runtime on real loopback sockets, stepped: each case turns the loop until it
 * has seen what it waits for, a bounded number of times.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base.h"
#include "core/clock.h"
#include "core/dgram_batch.h"
#include "unit/dgram_cases.h"
#include "unit/failalloc.h"

enum { GOT_MAX = 512, BYTES_MAX = 1 << 20, OPS = 64, TRAIN = 10300, SEGMENT = 1000 };

/* A datagram socket of the loop, and what it was told. */
struct end {
	struct tako_sock s;
	int peer; /* the other one of a pair, or -1 */
	char *bytes;
	size_t n;
	size_t lens[GOT_MAX]; /* of each datagram, joined ones taken apart */
	unsigned count;
	unsigned calls;
	unsigned trains; /* messages that held several */
	unsigned most;   /* datagrams in one call */
	unsigned errors;
	char error[128];
	unsigned closed;
	unsigned ends; /* it has heard that this was all */
	struct tako_dgram last;
	union tako_dgram_addr from; /* of it */
	union tako_dgram_addr to;
	bool pause_next;
	bool close_next;
	bool echo;
};

struct op {
	struct tako_dgram_send d;
	struct end *of;
	unsigned done;
	unsigned order;
	int err;
	bool close_in_done;
	char copy[64];
	union tako_dgram_addr to;
};

static const struct tako_runtime *rt;
static unsigned buffer_count;
static struct tako_loop *loop;
static struct op ops[OPS];
static unsigned completed;
static unsigned used; /* ops of an echo */
static bool inside;   /* a call into the runtime: no callback may run */
static bool turning;

#define CALL(expr)                                                                                 \
	do {                                                                                       \
		inside = true;                                                                     \
		expr;                                                                              \
		inside = false;                                                                    \
	} while (0)

/* ---- Callbacks ------------------------------------------------------------------------ */

static struct end *end_of(struct tako_sock *s)
{
	struct end *e = TAKO__CONTAINER(s, struct end, s);

	assert_false(inside);
	assert_true(turning);
	assert_int_equal(e->closed, 0);
	return e;
}

static void queue(struct end *e, struct op *o);

static void echo(struct end *e, const struct tako_dgram *d)
{
	struct op *o = &ops[used++];

	assert_true(used <= OPS && d->n <= sizeof o->copy);
	memcpy(o->copy, d->p, d->n);
	memcpy(&o->to, d->from, d->from_n);
	o->d = (struct tako_dgram_send){
		.op = {.p = o->copy, .n = d->n}, .to = &o->to.any, .to_n = d->from_n};
	queue(e, o);
}

static void take_one(struct end *e, const struct tako_dgram *d)
{
	assert_non_null(d->p);
	assert_true(d->segment_bytes <= d->n);
	assert_true(d->segment_bytes || d->n == 0);
	assert_true(e->n + d->n <= BYTES_MAX);
	memcpy(e->bytes + e->n, d->p, d->n);
	e->n += d->n;
	e->trains += d->segment_bytes < d->n;
	for (size_t at = 0; at < d->n || (at == 0 && d->n == 0); at += d->segment_bytes) {
		size_t left = d->n - at;

		assert_true(e->count < GOT_MAX);
		e->lens[e->count++] = left < d->segment_bytes ? left : d->segment_bytes;
		if (d->n == 0)
			break;
	}
	e->last = *d;
	if (d->from && d->from->sa_family != AF_UNIX)
		memcpy(&e->from, d->from, d->from_n);
	if (d->to)
		memcpy(&e->to, d->to, d->to_n);
	if (e->echo)
		echo(e, d);
}

static void on_dgrams(struct tako_sock *s, const struct tako_dgram *v, unsigned count)
{
	struct end *e = end_of(s);
	unsigned before = e->count;

	if (!count) {
		assert_null(v);
		assert_true(s->flags & TAKO_SOCK_PAUSED);
		e->ends++;
		return;
	}
	assert_false(s->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING));
	assert_false(e->ends);
	assert_in_range(count, 1, TAKO_DGRAM_BATCH);
	e->calls++;
	for (unsigned i = 0; i < count; i++)
		take_one(e, &v[i]);
	if (e->count - before > e->most)
		e->most = e->count - before;
	if (e->pause_next)
		s->flags |= TAKO_SOCK_PAUSED;
	if (e->close_next)
		CALL(rt->close(s));
	e->pause_next = false;
	e->close_next = false;
}

static void on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	struct end *e = end_of(s);

	assert_false(s->flags & (TAKO_SOCK_PAUSED | TAKO_SOCK_CLOSING));
	assert_null(p);
	assert_int_equal(res, TAKO_ESYS);
	e->errors++;
	snprintf(e->error, sizeof e->error, "%s", tako_last_error());
}

static void on_closed(struct tako_sock *s)
{
	struct end *e = end_of(s);

	e->closed++;
	assert_null(s->head);
}

static const struct tako_sock_cb callbacks = {
	.on_recv = on_recv,
	.on_dgrams = on_dgrams,
	.on_closed = on_closed,
};

static void on_done(struct tako_send *send, int err)
{
	struct op *o = TAKO__CONTAINER(send, struct op, d.op);

	assert_int_equal(end_of(&o->of->s)->closed, 0);
	o->done++;
	o->err = err;
	o->order = ++completed;
	if (o->close_in_done)
		CALL(rt->close(&o->of->s));
}

/* ---- Help -------------------------------------------------------------------------------- */

static void turn_until(uint64_t deadline_ns)
{
	turning = true;
	assert_int_equal(rt->turn(loop, deadline_ns), 0);
	turning = false;
}

/* Turn until `cond`; what does not come within seconds is missing. */
#define WAIT_FOR(cond)                                                                             \
	do {                                                                                       \
		for (unsigned tries_ = 0; !(cond) && tries_ < 300; tries_++)                       \
			turn_until(tako__clock_ns() + 10000000);                                   \
		assert_true(cond);                                                                 \
	} while (0)

/* Long enough for what must not happen. */
static void let_pass(void)
{
	for (int i = 0; i < 5; i++)
		turn_until(0);
	turn_until(tako__clock_ns() + 5000000);
}

static int set_up(void **state)
{
	struct tako_loop_config cfg = {.size = sizeof cfg, .recv_buffer_count = buffer_count};

	(void)state;
	memset(ops, 0, sizeof ops);
	completed = 0;
	used = 0;
	inside = false;
	turning = false;
	return rt->open(&loop, &cfg) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	rt->free(loop);
	return failalloc_live() || failalloc_wrong();
}

static socklen_t addr_bytes(const union tako_dgram_addr *a)
{
	return a->any.sa_family == AF_INET ? sizeof a->in : sizeof a->in6;
}

/* "127.0.0.1", "::1", ... */
static union tako_dgram_addr addr_of(int family, uint32_t ip4, in_port_t port)
{
	union tako_dgram_addr a = {0};

	if (family == AF_INET) {
		a.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
		a.in.sin_addr.s_addr = htonl(ip4);
	} else {
		a.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
		a.in6.sin6_addr = ip4 ? in6addr_loopback : in6addr_any;
	}
	return a;
}

static union tako_dgram_addr mapped(uint32_t ip4, in_port_t port)
{
	union tako_dgram_addr a = addr_of(AF_INET6, 0, port);
	uint32_t word = htonl(ip4);

	a.in6.sin6_addr.s6_addr[10] = 0xff;
	a.in6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&a.in6.sin6_addr.s6_addr[12], &word, 4);
	return a;
}

static void assert_addr(const union tako_dgram_addr *a, const union tako_dgram_addr *b)
{
	assert_int_equal(a->any.sa_family, b->any.sa_family);
	assert_int_equal(a->in.sin_port, b->in.sin_port);
	if (a->any.sa_family == AF_INET)
		assert_int_equal(a->in.sin_addr.s_addr, b->in.sin_addr.s_addr);
	else
		assert_memory_equal(&a->in6.sin6_addr, &b->in6.sin6_addr, 16);
}

/* A bound socket; `ip4` 0: any address, of IPv6 with IPv4 as well. */
static int bound(int family, uint32_t ip4, union tako_dgram_addr *ret)
{
	union tako_dgram_addr a = addr_of(family, ip4, 0);
	socklen_t n = sizeof *ret;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ip4 != 0}, sizeof(int));
	assert_int_equal(bind(fd, &a.any, addr_bytes(&a)), 0);
	assert_int_equal(getsockname(fd, &ret->any, &n), 0);
	return fd;
}

static void start(struct end *e, int fd)
{
	*e = (struct end){.s = {.cb = &callbacks}, .peer = -1};
	e->bytes = malloc(BYTES_MAX);
	assert_non_null(e->bytes);
	CALL(assert_int_equal(rt->start_dgram(loop, &e->s, fd), 0));
}

static void start_unix(struct end *e)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	start(e, fds[0]);
	e->peer = fds[1];
}

/* Close, and see that it ends as rule 5 says. */
static void finish(struct end *e)
{
	if (!e->closed) {
		CALL(rt->close(&e->s));
		CALL(rt->close(&e->s));
		assert_int_equal(e->closed, 0);
		WAIT_FOR(e->closed);
	}
	let_pass();
	assert_int_equal(e->closed, 1);
	assert_int_equal(fcntl(e->s.fd, F_GETFD), -1);
	if (e->peer >= 0)
		close(e->peer);
	free(e->bytes);
}

static void queue(struct end *e, struct op *o)
{
	o->of = e;
	o->d.op.done = on_done;
	o->d.op.file_fd = -1;
	CALL(tako_sock_queue(&e->s, &o->d.op));
	CALL(rt->flush(&e->s));
}

static void queue_to(struct end *e, unsigned i, const char *p, size_t n,
                     const union tako_dgram_addr *to)
{
	ops[i].d = (struct tako_dgram_send){.op = {.p = p, .n = n}};
	if (to) {
		ops[i].d.to = &to->any;
		ops[i].d.to_n = addr_bytes(to);
	}
	queue(e, &ops[i]);
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

static char *pattern(size_t n)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	return p;
}

static void say(int fd, const union tako_dgram_addr *to, const char *p, size_t n)
{
	assert_int_equal(sendto(fd, p, n, 0, to ? &to->any : NULL, to ? addr_bytes(to) : 0), n);
}

/* What the peer got; -1: nothing (yet). */
static ssize_t hear(int fd, char *to, size_t n, union tako_dgram_addr *from)
{
	union tako_dgram_addr ignored;
	socklen_t from_n = sizeof *from;

	return recvfrom(fd, to, n, MSG_DONTWAIT, from ? &from->any : &ignored.any, &from_n);
}

#define HEAR(e, to, n, from, ret)                                                                  \
	do {                                                                                       \
		(ret) = hear(e, to, n, from);                                                      \
		for (int tries_ = 0; (ret) < 0 && tries_ < 300; tries_++) {                        \
			turn_until(tako__clock_ns() + 10000000);                                   \
			(ret) = hear(e, to, n, from);                                              \
		}                                                                                  \
	} while (0)

/* ---- Receiving ------------------------------------------------------------------------------ */

static void test_receive_in_batches(void **state)
{
	enum { MANY = 2 * TAKO_DGRAM_BATCH + TAKO_DGRAM_BATCH / 2 };
	static const int families[] = {AF_INET, AF_INET6};

	(void)state;
	for (unsigned f = 0; f < 2; f++) {
		char *data = pattern(4000);
		union tako_dgram_addr at;
		union tako_dgram_addr peer_at;
		struct end e;
		int peer = bound(families[f], INADDR_LOOPBACK, &peer_at);

		start(&e, bound(families[f], INADDR_LOOPBACK, &at));
		for (unsigned i = 0; i < MANY; i++)
			say(peer, &at, data + i, 10 + i);
		assert_int_equal(e.calls, 0);
		WAIT_FOR(e.count == MANY);
		for (size_t i = 0, n = 0; i < MANY; n += e.lens[i++]) {
			assert_int_equal(e.lens[i], 10 + i);
			assert_memory_equal(e.bytes + n, data + i, 10 + i);
		}
		/* Fewer calls than datagrams: that is what batches are for. */
		assert_in_range(e.calls, 3, MANY - 1);
		assert_addr(&e.from, &peer_at);
		assert_addr(&e.to, &at);
		assert_int_equal(e.last.ecn, 0);
		assert_false(e.last.truncated);
		assert_true(e.last.ifindex > 0);
		finish(&e);
		close(peer);
		free(data);
	}
}

static void test_empty_datagrams(void **state)
{
	union tako_dgram_addr at;
	union tako_dgram_addr peer_at;
	int peer = bound(AF_INET, INADDR_LOOPBACK, &peer_at);
	char got[8];
	ssize_t n;
	struct end e;

	(void)state;
	start(&e, bound(AF_INET, INADDR_LOOPBACK, &at));
	say(peer, &at, "", 0);
	say(peer, &at, "ab", 2);
	say(peer, &at, "", 0);
	WAIT_FOR(e.count == 3);
	assert_int_equal(e.lens[0], 0);
	assert_int_equal(e.lens[1], 2);
	assert_int_equal(e.lens[2], 0);
	queue_to(&e, 0, "", 0, &peer_at);
	queue_to(&e, 1, "x", 1, &peer_at);
	queue_to(&e, 2, "", 0, &peer_at);
	WAIT_FOR(completed == 3);
	check_ops(3, 3, 0);
	for (int i = 0; i < 3; i++) {
		HEAR(peer, got, sizeof got, NULL, n);
		assert_int_equal(n, i == 1);
	}
	finish(&e);
	close(peer);
}

/* The address that a datagram was sent to comes with it, and can be answered from. */
static void check_local_address(int family, union tako_dgram_addr dial, union tako_dgram_addr other)
{
	union tako_dgram_addr at;
	union tako_dgram_addr peer_at;
	union tako_dgram_addr from;
	int peer = bound(family, 0, &peer_at);
	struct end e;
	char got[8];
	ssize_t n;

	start(&e, bound(family, 0, &at));
	dial.in.sin_port = at.in.sin_port;
	other.in.sin_port = at.in.sin_port;
	say(peer, &dial, "hi", 2);
	WAIT_FOR(e.count == 1);
	assert_addr(&e.to, &dial);
	ops[0].d = (struct tako_dgram_send){.op = {.p = "one", .n = 3},
	                                    .to = &e.from.any,
	                                    .to_n = e.last.from_n,
	                                    .from = &other.any,
	                                    .from_n = addr_bytes(&other)};
	queue(&e, &ops[0]);
	HEAR(peer, got, sizeof got, &from, n);
	assert_int_equal(n, 3);
	assert_addr(&from, &other);
	finish(&e);
	close(peer);
}

static void test_local_address(void **state)
{
	(void)state;
	check_local_address(AF_INET, addr_of(AF_INET, INADDR_LOOPBACK + 1, 0),
	                    addr_of(AF_INET, INADDR_LOOPBACK + 1, 0));
	/* Not the one it came to, nor the one that the kernel would choose. */
	check_local_address(AF_INET, addr_of(AF_INET, INADDR_LOOPBACK + 1, 0),
	                    addr_of(AF_INET, INADDR_LOOPBACK + 2, 0));
	check_local_address(AF_INET6, mapped(INADDR_LOOPBACK + 1, 0),
	                    mapped(INADDR_LOOPBACK + 2, 0));
	check_local_address(AF_INET6, addr_of(AF_INET6, 1, 0), addr_of(AF_INET6, 1, 0));
}

static void check_ecn(int family, uint32_t ip4, const union tako_dgram_addr *dial)
{
	union tako_dgram_addr at;
	union tako_dgram_addr ignored;
	union tako_dgram_addr to = *dial;
	struct end a;
	struct end b;

	start(&a, bound(family, ip4, &ignored));
	start(&b, bound(family, ip4, &at));
	to.in.sin_port = at.in.sin_port;
	for (uint8_t i = 0; i < 4; i++) {
		uint8_t ecn = (uint8_t)(3 - i);

		ops[i].d = (struct tako_dgram_send){.op = {.p = "x", .n = 1},
		                                    .to = &to.any,
		                                    .to_n = addr_bytes(&to),
		                                    .ecn = ecn};
		queue(&a, &ops[i]);
		WAIT_FOR(b.count == i + 1u);
		assert_int_equal(b.last.ecn, ecn);
	}
	finish(&a);
	finish(&b);
}

static void test_ecn(void **state)
{
	union tako_dgram_addr to = addr_of(AF_INET, INADDR_LOOPBACK, 0);
	union tako_dgram_addr to6 = addr_of(AF_INET6, 1, 0);
	union tako_dgram_addr both = mapped(INADDR_LOOPBACK, 0);

	(void)state;
	check_ecn(AF_INET, INADDR_LOOPBACK, &to);
	check_ecn(AF_INET6, INADDR_LOOPBACK, &to6);
	check_ecn(AF_INET6, 0, &both);
}

/* ---- Trains ----------------------------------------------------------------------------------- */

static uint32_t caps_of(int fd)
{
	struct tako_dgram_info info;

	assert_int_equal(tako_dgram_setup(&info, fd), 0);
	return info.caps;
}

static void check_train(const struct end *e, const char *data)
{
	assert_int_equal(e->n, TRAIN);
	assert_memory_equal(e->bytes, data, TRAIN);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(e->lens[i], SEGMENT);
	assert_int_equal(e->lens[10], TRAIN % SEGMENT);
}

static void queue_train(struct end *e, unsigned i, const char *data,
                        const union tako_dgram_addr *to)
{
	ops[i].d = (struct tako_dgram_send){.op = {.p = data, .n = TRAIN},
	                                    .segment_bytes = SEGMENT,
	                                    .to = to ? &to->any : NULL,
	                                    .to_n = to ? addr_bytes(to) : 0};
	queue(e, &ops[i]);
}

/* From one socket of the loop to another: joined on the way where the kernel can. */
static void test_train_arrives(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};
	char *data = pattern(TRAIN);

	(void)state;
	for (unsigned f = 0; f < 2; f++) {
		union tako_dgram_addr at;
		union tako_dgram_addr ignored;
		struct end a;
		struct end b;
		int fd = bound(families[f], INADDR_LOOPBACK, &at);
		uint32_t both = TAKO_RT_DGRAM_GRO | TAKO_RT_DGRAM_GSO;

		completed = 0;
		start(&a, bound(families[f], INADDR_LOOPBACK, &ignored));
		start(&b, fd);
		queue_train(&a, 0, data, &at);
		ops[0].done = 0;
		WAIT_FOR(b.count >= 11 && completed == 1);
		assert_int_equal(b.count, 11);
		check_ops(1, 1, 0);
		check_train(&b, data);
		if ((rt->caps & both) == both && caps_of(fd) == both)
			assert_int_equal(b.trains, 1);
		assert_int_equal(a.s.sent_bytes, TRAIN);
		assert_int_equal(a.s.queued_bytes, 0);
		finish(&a);
		finish(&b);
	}
	free(data);
}

/* As the peer sees it: with GSO; where the kernel refuses that (it wants no train without
 * checksums); and on a Unix socket, which has none.  The same datagrams every time. */
static void test_train_split_alike(void **state)
{
	char *data = pattern(TRAIN);

	(void)state;
	for (int way = 0; way < 3; way++) {
		union tako_dgram_addr at;
		union tako_dgram_addr ignored;
		struct end e;
		int peer = -1;
		char got[2 * SEGMENT];

		memset(ops, 0, sizeof ops);
		completed = 0;
		if (way == 2) {
			start_unix(&e);
			peer = dup(e.peer);
		} else {
			peer = bound(AF_INET, INADDR_LOOPBACK, &at);
			start(&e, bound(AF_INET, INADDR_LOOPBACK, &ignored));
		}
		if (way == 1)
			assert_int_equal(
				setsockopt(e.s.fd, SOL_SOCKET, SO_NO_CHECK, &(int){1}, sizeof(int)),
				0);
		queue_train(&e, 0, data, way == 2 ? NULL : &at);
		for (size_t i = 0; i < 11; i++) {
			size_t want = i == 10 ? TRAIN % SEGMENT : SEGMENT;
			ssize_t n;

			HEAR(peer, got, sizeof got, NULL, n);
			assert_int_equal(n, want);
			assert_memory_equal(got, data + i * SEGMENT, want);
		}
		WAIT_FOR(completed == 1);
		check_ops(1, 1, 0);
		assert_int_equal(hear(peer, got, sizeof got, NULL), -1);
		finish(&e);
		close(peer);
	}
	free(data);
}

/* ---- Sending ---------------------------------------------------------------------------------- */

static void test_what_fails_fails_alone(void **state)
{
	static char big[TAKO_DGRAM_BYTES_MAX + 1];
	union tako_dgram_addr at;
	union tako_dgram_addr ignored;
	union tako_dgram_addr not_ours = addr_of(AF_INET, 0xc0000201, 0); /* 192.0.2.1 */
	struct sockaddr strange = {.sa_family = AF_UNIX};
	struct end e;
	char got[8];
	ssize_t n;
	int peer = bound(AF_INET, INADDR_LOOPBACK, &at);

	(void)state;
	start(&e, bound(AF_INET, 0, &ignored));
	queue_to(&e, 0, "a", 1, &at);
	queue_to(&e, 1, big, sizeof big, &at);
	queue_to(&e, 2, "b", 1, &at);
	ops[3].d = ops[2].d;
	ops[3].d.from = &not_ours.any;
	ops[3].d.from_n = addr_bytes(&not_ours);
	queue(&e, &ops[3]);
	ops[4].d = (struct tako_dgram_send){
		.op = {.p = big, .n = 65}, .segment_bytes = 1, .to = &at.any, .to_n = sizeof at.in};
	queue(&e, &ops[4]);
	ops[5].d = ops[2].d;
	ops[5].d.from = &strange;
	ops[5].d.from_n = sizeof strange;
	queue(&e, &ops[5]);
	queue_to(&e, 6, "c", 1, &at);
	WAIT_FOR(completed == 7);
	for (unsigned i = 0; i < 7; i++) {
		bool bad = i == 1 || (i >= 3 && i <= 5);

		assert_int_equal(ops[i].done, 1);
		assert_int_equal(ops[i].order, i + 1);
		assert_int_equal(ops[i].err, bad ? TAKO_ESYS : 0);
		assert_int_equal(ops[i].d.sys_errno != 0, bad);
	}
	assert_int_equal(ops[1].d.sys_errno, EMSGSIZE);
	assert_int_equal(ops[4].d.sys_errno, EINVAL);
	assert_int_equal(ops[5].d.sys_errno, EAFNOSUPPORT);
	for (int i = 0; i < 3; i++) {
		HEAR(peer, got, sizeof got, NULL, n);
		assert_int_equal(n, 1);
		assert_int_equal(got[0], 'a' + i);
	}
	assert_int_equal(hear(peer, got, sizeof got, NULL), -1);
	assert_int_equal(e.s.queued_bytes, 0);
	assert_int_equal(e.errors, 0);
	finish(&e);
	close(peer);
}

/* More than the kernel holds for a peer that does not read. */
static void fill(struct end *e, const char *data)
{
	start_unix(e);
	assert_int_equal(setsockopt(e->s.fd, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
	for (unsigned i = 0; i < OPS; i++)
		queue_to(e, i, data + i, 900 + i, NULL);
	assert_int_equal(completed, 0);
	let_pass();
	assert_in_range(completed, 1, OPS - 1);
	assert_true(e->s.queued_bytes > 0);
}

static void test_full_buffer(void **state)
{
	char *data = pattern(2000);
	char got[1000];
	unsigned turns = 0;
	uint64_t from;
	struct end e;

	(void)state;
	fill(&e, data);
	/* Nobody is kept awake by it. */
	for (from = tako__clock_ns(); tako__clock_ns() - from < 20000000; turns++)
		turn_until(from + 25000000);
	assert_in_range(turns, 1, 3);
	for (unsigned i = 0; i < OPS; i++) {
		ssize_t n;

		HEAR(e.peer, got, sizeof got, NULL, n);
		assert_int_equal(n, 900 + i);
		assert_memory_equal(got, data + i, 900 + i);
	}
	WAIT_FOR(completed == OPS);
	check_ops(OPS, OPS, 0);
	assert_int_equal(e.s.queued_bytes, 0);
	/* And again: it has learned to wait, and to stop waiting. */
	queue_to(&e, 0, "x", 1, NULL);
	ops[0].done = 0;
	WAIT_FOR(ops[0].done == 1);
	assert_int_equal(ops[0].err, 0);
	finish(&e);
	free(data);
}

static void test_close_gives_up_what_is_queued(void **state)
{
	char *data = pattern(2000);
	struct end e;
	unsigned sent;

	(void)state;
	fill(&e, data);
	sent = completed;
	CALL(rt->close(&e.s));
	assert_int_equal(completed, sent);
	WAIT_FOR(e.closed);
	check_ops(OPS, sent, TAKO_ECLOSED);
	finish(&e);
	free(data);
}

static void test_close_in_done(void **state)
{
	struct end e;

	(void)state;
	start_unix(&e);
	ops[0].close_in_done = true;
	queue_to(&e, 0, "a", 1, NULL);
	queue_to(&e, 1, "b", 1, NULL);
	WAIT_FOR(e.closed);
	assert_int_equal(ops[0].done, 1);
	assert_int_equal(ops[1].done, 1);
	finish(&e);
}

static void test_echo(void **state)
{
	union tako_dgram_addr at;
	union tako_dgram_addr peer_at;
	int peer = bound(AF_INET, INADDR_LOOPBACK, &peer_at);
	char got[8];
	struct end e;

	(void)state;
	start(&e, bound(AF_INET, INADDR_LOOPBACK, &at));
	e.echo = true;
	for (char i = 0; i < OPS; i++)
		say(peer, &at, &i, 1);
	for (char i = 0; i < OPS; i++) {
		ssize_t n;

		HEAR(peer, got, sizeof got, NULL, n);
		assert_int_equal(n, 1);
		assert_int_equal(got[0], i);
	}
	WAIT_FOR(completed == OPS);
	check_ops(OPS, OPS, 0);
	finish(&e);
	close(peer);
}

/* ---- Errors that come later ---------------------------------------------------------------------- */

/* A connected socket, and the address of a peer that is not there. */
static void start_refused(struct end *e, union tako_dgram_addr *nobody)
{
	union tako_dgram_addr at;
	int gone = bound(AF_INET, INADDR_LOOPBACK, nobody);
	int fd = bound(AF_INET, INADDR_LOOPBACK, &at);

	assert_int_equal(connect(fd, &nobody->any, sizeof nobody->in), 0);
	close(gone);
	start(e, fd);
}

static void test_refused_is_reported(void **state)
{
	union tako_dgram_addr nobody;
	union tako_dgram_addr at;
	socklen_t n = sizeof at;
	struct end e;
	int peer;

	(void)state;
	start_refused(&e, &nobody);
	for (unsigned i = 0; i < 5; i++)
		queue_to(&e, i, "hello", 5, NULL);
	WAIT_FOR(completed == 5 && e.errors > 0);
	/* All of them left: what was refused is the socket's to know. */
	check_ops(5, 5, 0);
	assert_non_null(strstr(e.error, strerror(ECONNREFUSED)));
	let_pass();
	/* It goes on, both ways. */
	peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer, &nobody.any, sizeof nobody.in), 0);
	assert_int_equal(getsockname(e.s.fd, &at.any, &n), 0);
	say(peer, &at, "still there?", 12);
	WAIT_FOR(e.count == 1);
	assert_false(e.s.flags & (TAKO_SOCK_EOF | TAKO_SOCK_BROKEN));
	finish(&e);
	close(peer);
}

static void test_refused_while_paused(void **state)
{
	union tako_dgram_addr nobody;
	struct end e;

	(void)state;
	start_refused(&e, &nobody);
	e.s.flags |= TAKO_SOCK_PAUSED;
	for (unsigned i = 0; i < 3; i++) {
		queue_to(&e, i, "hello", 5, NULL);
		WAIT_FOR(completed == i + 1);
	}
	let_pass();
	assert_int_equal(e.errors, 0);
	CALL(rt->resume(&e.s));
	WAIT_FOR(e.errors > 0);
	finish(&e);
}

/* ---- Pause, close, fairness ---------------------------------------------------------------------- */

static void test_pause(void **state)
{
	union tako_dgram_addr at;
	union tako_dgram_addr peer_at;
	int peer = bound(AF_INET, INADDR_LOOPBACK, &peer_at);
	struct end e;

	(void)state;
	start(&e, bound(AF_INET, INADDR_LOOPBACK, &at));
	e.s.flags |= TAKO_SOCK_PAUSED;
	say(peer, &at, "held", 4);
	let_pass();
	assert_int_equal(e.calls, 0);
	/* Sending goes on. */
	queue_to(&e, 0, "out", 3, &peer_at);
	WAIT_FOR(completed == 1);
	CALL(rt->resume(&e.s));
	assert_int_equal(e.calls, 0);
	WAIT_FOR(e.count == 1);
	CALL(rt->resume(&e.s));
	finish(&e);
	close(peer);
}

/* What is left in the socket, for another process maybe. */
static unsigned left_in(const struct end *e)
{
	unsigned count = 0;
	char c;

	while (recv(e->s.fd, &c, 1, MSG_DONTWAIT) == 1)
		count++;
	return count;
}

/* Of what has come the runtime may have taken some, which is told; the rest stays, and so does what comes later. */
static void test_enough(void **state)
{
	enum { BEFORE = 40, LATER = 3 };
	union tako_dgram_addr at;
	union tako_dgram_addr ignored;

	(void)state;
	for (int paused = 0; paused < 2; paused++) {
		int peer = bound(AF_INET, INADDR_LOOPBACK, &ignored);
		struct end e;

		start(&e, bound(AF_INET, INADDR_LOOPBACK, &at));
		let_pass();
		for (unsigned i = 0; i < BEFORE; i++) {
			/* Some before it pauses, and some that it finds then. */
			if (paused && i == BEFORE / 2) {
				e.s.flags |= TAKO_SOCK_PAUSED;
				let_pass();
			}
			say(peer, &at, "x", 1);
		}
		e.s.flags |= TAKO_SOCK_PAUSED | TAKO_SOCK_ENOUGH;
		CALL(rt->resume(&e.s));
		assert_int_equal(e.ends, 0);
		WAIT_FOR(e.ends == 1);
		assert_int_equal(e.count + left_in(&e), BEFORE);
		for (unsigned i = 0; i < LATER; i++)
			say(peer, &at, "x", 1);
		let_pass();
		assert_int_equal(e.ends, 1);
		assert_int_equal(left_in(&e), LATER);
		finish(&e);
		close(peer);
	}
}

/* However much came for one that has paused, others get theirs; and it loses nothing. */
static void test_pause_is_its_own(void **state)
{
	enum { MANY = 100 };
	union tako_dgram_addr at;
	union tako_dgram_addr other_at;
	union tako_dgram_addr ignored;
	int peer = bound(AF_INET, INADDR_LOOPBACK, &ignored);
	struct end paused;
	struct end other;

	(void)state;
	start(&paused, bound(AF_INET, INADDR_LOOPBACK, &at));
	start(&other, bound(AF_INET, INADDR_LOOPBACK, &other_at));
	let_pass();
	paused.s.flags |= TAKO_SOCK_PAUSED;
	for (unsigned char i = 0; i < MANY; i++)
		say(peer, &at, (char *)&i, 1);
	let_pass();
	for (unsigned i = 0; i < MANY; i++) {
		say(peer, &other_at, "x", 1);
		WAIT_FOR(other.count == i + 1);
	}
	assert_int_equal(paused.calls, 0);
	CALL(rt->resume(&paused.s));
	WAIT_FOR(paused.count == MANY);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal((unsigned char)paused.bytes[i], i);
	finish(&paused);
	finish(&other);
	close(peer);
}

static void test_close_while_paused(void **state)
{
	struct end e;

	(void)state;
	start_unix(&e);
	let_pass();
	e.s.flags |= TAKO_SOCK_PAUSED;
	for (int i = 0; i < 5; i++)
		say(e.peer, NULL, "x", 1);
	let_pass();
	finish(&e);
	assert_int_equal(e.calls, 0);
}

/* As after a restart: somebody else has the socket as well, and what comes for him is nothing to us. */
static void test_close_what_others_have(void **state)
{
	union tako_dgram_addr at;
	union tako_dgram_addr ignored;
	int peer = bound(AF_INET, INADDR_LOOPBACK, &ignored);
	int fd = bound(AF_INET, INADDR_LOOPBACK, &at);
	int theirs = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct pollfd host = {.events = POLLIN};
	struct end e;
	char got[8];

	(void)state;
	assert_true(theirs >= 0);
	start(&e, fd);
	let_pass();
	finish(&e);
	say(peer, &at, "x", 1);
	for (int i = 0; i < 3; i++) {
		host.fd = rt->pollable(loop, UINT64_MAX);
		assert_true(host.fd >= 0);
		/* What is left of the closing may still be there the first times. */
		if (poll(&host, 1, 0) == 0)
			break;
		turn_until(0);
		say(peer, &at, "x", 1);
	}
	assert_int_equal(poll(&host, 1, 0), 0);
	assert_int_equal(hear(theirs, got, sizeof got, NULL), 1);
	close(theirs);
	close(peer);
}

static void test_pause_from_a_delivery(void **state)
{
	union tako_dgram_addr at;
	union tako_dgram_addr ignored;
	int peer = bound(AF_INET, INADDR_LOOPBACK, &ignored);
	struct end e;

	(void)state;
	start(&e, bound(AF_INET, INADDR_LOOPBACK, &at));
	for (int i = 0; i < 3 * TAKO_DGRAM_BATCH; i++)
		say(peer, &at, "x", 1);
	for (unsigned i = 1; e.count < 3 * TAKO_DGRAM_BATCH; i++) {
		e.pause_next = true;
		WAIT_FOR(e.calls == i);
		let_pass();
		assert_int_equal(e.calls, i);
		CALL(rt->resume(&e.s));
	}
	assert_int_equal(e.n, 3 * TAKO_DGRAM_BATCH);
	finish(&e);
	close(peer);
}

static void test_close_from_a_delivery(void **state)
{
	struct end e;

	(void)state;
	start_unix(&e);
	e.close_next = true;
	for (int i = 0; i < 3; i++)
		say(e.peer, NULL, "x", 1);
	WAIT_FOR(e.closed);
	assert_int_equal(e.calls, 1);
	finish(&e);
}

/* One with a full queue, and one with a datagram: both get their share of every turn. */
static void test_fairness(void **state)
{
	/* Its event and its place in the list of those with more may fall into one turn. */
	enum { MANY = 400, SHARE = 2 * TAKO__DGRAM_BUDGET * TAKO_DGRAM_BATCH };
	union tako_dgram_addr at;
	union tako_dgram_addr quiet_at;
	union tako_dgram_addr ignored;
	int peer = bound(AF_INET, INADDR_LOOPBACK, &ignored);
	struct end busy;
	struct end quiet;

	(void)state;
	start(&busy, bound(AF_INET, INADDR_LOOPBACK, &at));
	/* The most that every system allows; the default is half of what it makes of that. */
	assert_int_equal(setsockopt(busy.s.fd, SOL_SOCKET, SO_RCVBUF, &(int){212992}, sizeof(int)),
	                 0);
	start(&quiet, bound(AF_INET, INADDR_LOOPBACK, &quiet_at));
	let_pass();
	for (unsigned i = 0; i < MANY; i++)
		say(peer, &at, "x", 1);
	say(peer, &quiet_at, "x", 1);
	turn_until(0);
	assert_in_range(busy.count, 1, SHARE);
	assert_int_equal(quiet.count, 1);
	WAIT_FOR(busy.count == MANY);
	finish(&busy);
	finish(&quiet);
	close(peer);
}

/* ---- What start() refuses ------------------------------------------------------------------------ */

static void test_refusals(void **state)
{
	struct tako_sock s = {.cb = &callbacks};
	int stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int loose = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(rt->start_dgram(loop, &s, stream), TAKO_EINVAL);
	assert_int_equal(rt->start_dgram(loop, &s, loose), TAKO_EINVAL);
	assert_non_null(strstr(tako_last_error(), "not bound"));
	assert_int_equal(close(stream), 0);
	assert_int_equal(close(loose), 0);
	assert_int_equal(rt->start_dgram(loop, &s, loose), TAKO_ESYS);
}

static void test_out_of_memory(void **state)
{
	union tako_dgram_addr at;
	unsigned n;

	(void)state;
	for (n = 1; n < 20; n++) {
		int fd = bound(AF_INET, INADDR_LOOPBACK, &at);
		struct end e = {.s = {.cb = &callbacks}, .peer = -1};
		int rc;

		failalloc_arm(n);
		rc = rt->start_dgram(loop, &e.s, fd);
		if (failalloc_disarm()) {
			assert_int_equal(rc, TAKO_ENOMEM);
			assert_int_equal(close(fd), 0);
			continue;
		}
		assert_int_equal(rc, 0);
		finish(&e);
		break;
	}
	assert_in_range(n, 2, 19);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int dgram_cases_install(void)
{
	return failalloc_install();
}

int dgram_cases_run(const struct tako_runtime *runtime, unsigned buffers)
{
	const struct CMUnitTest tests[] = {
		WITH(test_receive_in_batches),
		WITH(test_empty_datagrams),
		WITH(test_local_address),
		WITH(test_ecn),
		WITH(test_train_arrives),
		WITH(test_train_split_alike),
		WITH(test_what_fails_fails_alone),
		WITH(test_full_buffer),
		WITH(test_close_gives_up_what_is_queued),
		WITH(test_close_in_done),
		WITH(test_echo),
		WITH(test_refused_is_reported),
		WITH(test_refused_while_paused),
		WITH(test_pause),
		WITH(test_enough),
		WITH(test_pause_is_its_own),
		WITH(test_close_while_paused),
		WITH(test_close_what_others_have),
		WITH(test_pause_from_a_delivery),
		WITH(test_close_from_a_delivery),
		WITH(test_fairness),
		WITH(test_refusals),
		WITH(test_out_of_memory),
	};

	rt = runtime;
	buffer_count = buffers;
	return cmocka_run_group_tests_name(runtime->name, tests, NULL, NULL);
}

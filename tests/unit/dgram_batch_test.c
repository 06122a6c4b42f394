/* SPDX-License-Identifier: MIT
 *
 * Datagrams by call, as each runtime uses them: what a kernel without working GSO, with full queues
 * or with interrupted calls makes of them, played by a sendmmsg() of our own; and how many calls they
 * cost.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tako/server.h>
#include <tako/sys/runtime.h>

#include "core/base.h"
#include "core/dgram_batch.h"
#include "runtime-iouring/ring_int.h"

/* ---- A kernel with faults ------------------------------------------------------------- */

static struct {
	int train_errno; /* for messages with UDP_SEGMENT; 0: the kernel's own answer */
	int once_errno;  /* for the next call only */
	unsigned most;   /* messages a call takes; 0: all */
	bool full;       /* takes none */
	unsigned calls;
	unsigned trains;
} fault;

static bool is_train(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT)
			return true;
	}
	return false;
}

int sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags);
int sendmmsg(int fd, struct mmsghdr *v, unsigned n, int flags)
{
	fault.calls++;
	if (fault.once_errno || fault.full) {
		errno = fault.full ? EAGAIN : fault.once_errno;
		fault.once_errno = 0;
		return -1;
	}
	if (fault.most && n > fault.most)
		n = fault.most;
	for (unsigned i = 0; i < n; i++) {
		bool train = is_train(&v[i].msg_hdr);

		fault.trains += train;
		if (!train || !fault.train_errno)
			continue;
		if (i == 0) {
			errno = fault.train_errno;
			return -1;
		}
		n = i;
	}
	return (int)syscall(SYS_sendmmsg, fd, v, n, flags);
}

static unsigned receives; /* calls */
static unsigned asked;    /* messages of the last one */

int recvmmsg(int fd, struct mmsghdr *v, unsigned n, int flags, struct timespec *timeout)
{
	receives++;
	asked = n;
	return (int)syscall(SYS_recvmmsg, fd, v, n, flags, timeout);
}

static const struct tako_runtime *rt;
static bool by_call; /* or does the kernel bring datagrams without one? */

/* ---- Two trains and what stands between them ------------------------------------------ */

enum { TRAIN = 4500, SEGMENT = 1000, DATAGRAMS = 11 };

static char bytes[TRAIN];
static struct tako_dgram_send sends[3];
static unsigned done;
static int want_err;
static unsigned errors;
static unsigned closed;

static void on_done(struct tako_send *op, int err)
{
	assert_ptr_equal(op, &sends[done].op);
	assert_int_equal(err, want_err);
	done++;
}

static void on_recv(struct tako_sock *s, char *p, ssize_t res)
{
	(void)s;
	assert_null(p);
	assert_int_equal(res, TAKO_ESYS);
	errors++;
}

static void on_closed(struct tako_sock *s)
{
	(void)s;
	closed++;
}

static const struct tako_sock_cb callbacks = {.on_recv = on_recv, .on_closed = on_closed};

static struct sockaddr_in peer_at;

static int bound(struct sockaddr_in *ret)
{
	socklen_t n = sizeof *ret;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_in){.sin_family = AF_INET};
	ret->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)ret, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &n), 0);
	return fd;
}

static void queue_all(struct tako_sock *s)
{
	done = 0;
	for (int i = 0; i < 3; i++) {
		sends[i] = (struct tako_dgram_send){
			.op = {.p = bytes, .n = i == 1 ? 7 : TRAIN, .done = on_done, .file_fd = -1},
			.segment_bytes = SEGMENT,
			.to = (struct sockaddr *)&peer_at,
			.to_n = sizeof peer_at};
		tako_sock_queue(s, &sends[i].op);
	}
}

static void check_peer(int peer)
{
	static const size_t want[DATAGRAMS] = {1000, 1000, 1000, 1000, 500, 7,
	                                       1000, 1000, 1000, 1000, 500};
	char got[2 * SEGMENT];

	for (int i = 0; i < DATAGRAMS; i++) {
		size_t at = i == 5 ? 0 : (size_t)(i % 6) * SEGMENT;

		if (i > 5)
			at = (size_t)(i - 6) * SEGMENT;
		assert_int_equal(recv(peer, got, sizeof got, 0), want[i]);
		assert_memory_equal(got, bytes + at, want[i]);
	}
	assert_int_equal(recv(peer, got, sizeof got, 0), -1);
}

static void run(const char *name, unsigned rounds, unsigned want_trains, unsigned want_errors)
{
	struct tako_loop_config cfg = {.size = sizeof cfg};
	struct tako_sock s = {.cb = &callbacks};
	struct sockaddr_in at;
	struct tako_loop *loop;
	int peer = bound(&peer_at);

	print_message("%s\n", name);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	fault.calls = 0;
	fault.trains = 0;
	errors = 0;
	closed = 0;
	assert_int_equal(rt->open(&loop, &cfg), 0);
	assert_int_equal(rt->start_dgram(loop, &s, bound(&at)), 0);
	for (unsigned round = 0; round < rounds; round++) {
		queue_all(&s);
		rt->flush(&s);
		for (int i = 0; i < 10; i++)
			assert_int_equal(rt->turn(loop, 0), 0);
		assert_int_equal(done, 3);
		check_peer(peer);
	}
	if (want_trains)
		assert_int_equal(fault.trains, want_trains);
	assert_int_equal(errors, want_errors);
	rt->close(&s);
	assert_int_equal(rt->turn(loop, 0), 0);
	assert_int_equal(closed, 1);
	rt->free(loop);
	close(peer);
}

/* EIO once: no train is ever tried again on that socket. */
static void test_gso_goes_off_for_good(void **state)
{
	(void)state;
	fault.train_errno = EIO;
	run("EIO", 3, 1, 0);
	fault.train_errno = 0;
}

/* EMSGSIZE is about one train: the next is tried as one again. */
static void test_a_train_too_wide(void **state)
{
	(void)state;
	fault.train_errno = EMSGSIZE;
	run("EMSGSIZE", 2, 0, 0);
	assert_true(fault.trains >= 4);
	fault.train_errno = 0;
}

static void test_interrupted_and_short(void **state)
{
	(void)state;
	fault.once_errno = EINTR;
	run("EINTR", 1, 0, 0);
	fault.most = 1;
	run("one message a call", 2, 0, 0);
	fault.most = 0;
}

/* Full, though epoll knows better: it is asked again as soon as the kernel says so. */
static void test_full_once(void **state)
{
	(void)state;
	fault.once_errno = EAGAIN;
	run("EAGAIN", 2, 0, 0);
}

/* A failure that is gone at the second try was an earlier datagram's. */
static void test_error_of_an_earlier_datagram(void **state)
{
	(void)state;
	fault.once_errno = EHOSTUNREACH;
	run("EHOSTUNREACH", 2, 0, 1);
}

/* ---- What calls it costs ---------------------------------------------------------------- */

static unsigned arrived;

static void on_dgrams(struct tako_sock *s, const struct tako_dgram *v, unsigned count)
{
	(void)s;
	(void)v;
	arrived += count;
}

static const struct tako_sock_cb counting = {
	.on_dgrams = on_dgrams,
	.on_recv = on_recv,
	.on_closed = on_closed,
};

static void turn(struct tako_loop *loop, int times)
{
	while (times--)
		assert_int_equal(loop->rt->turn(loop, 0), 0);
}

static bool has_work(struct tako_loop *loop)
{
	struct pollfd p = {.fd = loop->rt->pollable(loop, UINT64_MAX), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* One call brings a short batch; a full socket is asked when the kernel says so; and one that was
 * full once is not reported writable for ever after. */
static void test_calls(void **state)
{
	struct tako_loop_config cfg = {.size = sizeof cfg};
	struct tako_sock s = {.cb = &counting};
	struct sockaddr_in at;
	struct tako_loop *loop;
	int peer = bound(&peer_at);

	(void)state;
	assert_int_equal(rt->open(&loop, &cfg), 0);
	assert_int_equal(rt->start_dgram(loop, &s, bound(&at)), 0);
	turn(loop, 2);
	receives = 0;
	arrived = 0;
	assert_int_equal(sendto(peer, "x", 1, 0, (struct sockaddr *)&at, sizeof at), 1);
	turn(loop, 5);
	assert_int_equal(arrived, 1);
	assert_int_equal(receives, by_call);

	fault.full = true;
	fault.calls = 0;
	queue_all(&s);
	rt->flush(&s);
	turn(loop, 10);
	/* The kernel says, and it is true, that there is room: edge triggered once, else each time. */
	assert_in_range(fault.calls, 1, rt == tako_runtime_epoll() ? 2 : 11);
	fault.full = false;
	want_err = TAKO_ECLOSED;
	rt->close(&s);
	turn(loop, 1);
	assert_int_equal(done, 3);
	want_err = 0;

	s = (struct tako_sock){.cb = &counting};
	assert_int_equal(rt->start_dgram(loop, &s, bound(&at)), 0);
	for (int i = 0; i < 2; i++) {
		fault.once_errno = EAGAIN;
		queue_all(&s);
		rt->flush(&s);
		turn(loop, 5);
		assert_int_equal(done, 3);
		assert_false(has_work(loop));
	}
	queue_all(&s);
	rt->flush(&s);
	turn(loop, 1);
	assert_int_equal(done, 3);
	assert_false(has_work(loop));
	rt->close(&s);
	turn(loop, 1);
	rt->free(loop);
	close(peer);
}

/* As many as there are of short messages; of long ones as many as leave the cache to others, from the call
 * behind the first on.  What an earlier call has left in the headers is not seen by a later one. */
static void test_long_messages_come_by_fewer(void **state)
{
	enum { SHORT = 3, LONG = 5000, FEW = 16 };
	static const size_t lengths[] = {SHORT, LONG, LONG, SHORT, SHORT};
	static const unsigned expected[] = {TAKO_DGRAM_BATCH, TAKO_DGRAM_BATCH, FEW, FEW,
	                                    TAKO_DGRAM_BATCH};
	static const char text[LONG];
	struct tako_loop_config cfg = {.size = sizeof cfg};
	struct tako_sock s = {.cb = &counting};
	struct sockaddr_in at;
	struct tako_loop *loop;
	int peer = bound(&peer_at);

	(void)state;
	assert_int_equal(rt->open(&loop, &cfg), 0);
	assert_int_equal(rt->start_dgram(loop, &s, bound(&at)), 0);
	turn(loop, 2);
	arrived = 0;
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(
			sendto(peer, text, lengths[i], 0, (struct sockaddr *)&at, sizeof at),
			lengths[i]);
		turn(loop, 3);
		assert_int_equal(arrived, i + 1);
		if (by_call)
			assert_int_equal(asked, expected[i]);
	}
	rt->close(&s);
	turn(loop, 1);
	rt->free(loop);
	close(peer);
}

static int run_all(const struct tako_runtime *runtime, bool calls)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gso_goes_off_for_good),
		cmocka_unit_test(test_a_train_too_wide),
		cmocka_unit_test(test_interrupted_and_short),
		cmocka_unit_test(test_full_once),
		cmocka_unit_test(test_error_of_an_earlier_datagram),
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_long_messages_come_by_fewer),
	};

	rt = runtime;
	by_call = calls;
	return cmocka_run_group_tests_name(runtime->name, tests, NULL, NULL);
}

int main(void)
{
	const struct tako_runtime *ring = tako_runtime_io_uring();
	int failed = run_all(tako_runtime_epoll(), true);

	if (ring->probe(NULL, 0) < 0)
		return failed;
	failed += run_all(ring, false);
	tako__ring_dgrams_by_call = true;
	return failed + run_all(ring, true);
}

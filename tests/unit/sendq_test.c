/* SPDX-License-Identifier: MIT
 *
 * The queue of sends: what is gathered, what a number of bytes completes, and that every op
 * completes once, in order, whatever happens to the socket.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <tako/sys/runtime.h>

#include "core/base.h"

enum { OPS = 5 };

struct op {
	struct tako_send send;
	int done; /* how often */
	int err;
	int order;
};

static struct tako_sock sock;
static struct op ops[OPS];
static int completed;
static struct op *again; /* queued by the next completion */

static void on_done(struct tako_send *s, int err)
{
	struct op *o = TAKO__CONTAINER(s, struct op, send);
	uint64_t bytes = 0;

	/* Who is told in between finds the count of what is still there. */
	for (const struct tako_send *left = sock.head; left; left = left->next)
		bytes += left->n;
	assert_int_equal(sock.queued_bytes, bytes);
	o->done++;
	o->err = err;
	o->order = ++completed;
	if (again) {
		struct op *next = again;

		again = NULL;
		tako_sock_queue(&sock, &next->send);
	}
}

static int set_up(void **state)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyz";

	(void)state;
	memset(&sock, 0, sizeof sock);
	memset(ops, 0, sizeof ops);
	completed = 0;
	again = NULL;
	for (int i = 0; i < OPS; i++)
		ops[i].send = (struct tako_send){
			.done = on_done, .p = text + i * 5, .n = 5, .file_fd = -1};
	return 0;
}

static void queue(int count)
{
	for (int i = 0; i < count; i++)
		tako_sock_queue(&sock, &ops[i].send);
}

static void check_done(int count, int err)
{
	assert_int_equal(completed, count);
	for (int i = 0; i < OPS; i++) {
		assert_int_equal(ops[i].done, i < count);
		assert_int_equal(ops[i].order, i < count ? i + 1 : 0);
		assert_int_equal(ops[i].err, i < count ? err : 0);
	}
}

static void test_queue_counts(void **state)
{
	(void)state;
	queue(3);
	assert_ptr_equal(sock.head, &ops[0].send);
	assert_ptr_equal(sock.tail, &ops[2].send);
	assert_int_equal(sock.queued_bytes, 15);
}

static void test_gather(void **state)
{
	struct iovec iov[8];
	size_t bytes = 99;

	(void)state;
	assert_int_equal(tako_sock_gather(&sock, iov, 8, &bytes), 0);
	assert_int_equal(bytes, 0);
	queue(4);
	assert_int_equal(tako_sock_gather(&sock, iov, 8, &bytes), 4);
	assert_int_equal(bytes, 20);
	for (int i = 0; i < 4; i++) {
		assert_ptr_equal(iov[i].iov_base, ops[i].send.p);
		assert_int_equal(iov[i].iov_len, 5);
	}
	assert_int_equal(tako_sock_gather(&sock, iov, 2, &bytes), 2);
	assert_int_equal(bytes, 10);
}

/* 20 bytes in four parts, cut to every number of them. */
static void test_cut(void **state)
{
	(void)state;
	queue(4);
	for (size_t max = 1; max <= 21; max++) {
		struct iovec iov[8];
		size_t bytes;
		size_t sum = 0;
		unsigned count = tako_sock_gather(&sock, iov, 8, &bytes);

		count = tako_sock_cut(iov, count, max, &bytes);
		assert_int_equal(bytes, max < 20 ? max : 20);
		assert_int_equal(count, (bytes + 4) / 5);
		for (unsigned i = 0; i < count; i++) {
			assert_ptr_equal(iov[i].iov_base, ops[i].send.p);
			assert_in_range(iov[i].iov_len, 1, 5);
			sum += iov[i].iov_len;
		}
		assert_int_equal(sum, bytes);
	}
}

static void test_gather_stops_before_a_file(void **state)
{
	struct iovec iov[8];
	size_t bytes;

	(void)state;
	ops[2].send.file_fd = 7;
	queue(4);
	assert_int_equal(tako_sock_gather(&sock, iov, 8, &bytes), 2);
	assert_int_equal(bytes, 10);
	tako_sock_advance(&sock, 10);
	assert_int_equal(tako_sock_gather(&sock, iov, 8, &bytes), 0);
	assert_int_equal(bytes, 0);
}

/* Every way to cut 25 bytes into two advances. */
static void test_advance(void **state)
{
	for (size_t first = 0; first <= 25; first++) {
		set_up(state);
		queue(OPS);
		tako_sock_advance(&sock, first);
		check_done((int)first / 5, 0);
		assert_int_equal(sock.queued_bytes, 25 - first);
		assert_int_equal(sock.sent_bytes, first);
		if (first < 25) {
			assert_int_equal(sock.head->n, 5 - first % 5);
			assert_int_equal(*sock.head->p, 'a' + (int)first);
		}
		tako_sock_advance(&sock, 25 - first);
		check_done(OPS, 0);
		assert_null(sock.head);
		assert_null(sock.tail);
		assert_int_equal(sock.queued_bytes, 0);
		assert_int_equal(sock.sent_bytes, 25);
	}
}

static void test_advance_in_a_file(void **state)
{
	(void)state;
	ops[0].send.file_fd = 7;
	ops[0].send.file_pos = 100;
	queue(1);
	tako_sock_advance(&sock, 3);
	assert_int_equal(ops[0].send.file_pos, 103);
	assert_int_equal(ops[0].send.n, 2);
	assert_int_equal(*ops[0].send.p, 'a'); /* not used for a file */
	check_done(0, 0);
	tako_sock_advance(&sock, 2);
	check_done(1, 0);
}

static void test_empty_ops_complete_with_their_neighbours(void **state)
{
	(void)state;
	ops[0].send.n = 0;
	ops[2].send.n = 0;
	queue(4);
	tako_sock_advance(&sock, 0);
	check_done(1, 0);
	tako_sock_advance(&sock, 5);
	check_done(3, 0);
	tako_sock_advance(&sock, 5);
	check_done(4, 0);
}

/* Bytes appended behind a queued op: its n and the socket's sum have grown together. */
static void test_growing_op(void **state)
{
	(void)state;
	queue(1);
	tako_sock_advance(&sock, 4);
	ops[0].send.n += 3;
	sock.queued_bytes += 3;
	tako_sock_advance(&sock, 1);
	check_done(0, 0);
	tako_sock_advance(&sock, 3);
	check_done(1, 0);
	assert_int_equal(sock.queued_bytes, 0);
}

static void test_fail(void **state)
{
	(void)state;
	queue(OPS);
	tako_sock_advance(&sock, 7);
	assert_int_equal(completed, 1);
	tako_sock_fail(&sock, TAKO_ECLOSED);
	assert_int_equal(completed, OPS);
	for (int i = 0; i < OPS; i++) {
		assert_int_equal(ops[i].done, 1);
		assert_int_equal(ops[i].err, i == 0 ? 0 : TAKO_ECLOSED);
		assert_int_equal(ops[i].order, i + 1);
	}
	assert_null(sock.head);
	assert_null(sock.tail);
	assert_int_equal(sock.queued_bytes, 0);
	tako_sock_fail(&sock, TAKO_ECLOSED);
	assert_int_equal(completed, OPS);
}

static void test_queue_from_done(void **state)
{
	(void)state;
	queue(1);
	again = &ops[1];
	tako_sock_advance(&sock, 5);
	check_done(1, 0);
	assert_ptr_equal(sock.head, &ops[1].send);
	assert_ptr_equal(sock.tail, &ops[1].send);
	assert_int_equal(sock.queued_bytes, 5);
	again = &ops[2];
	tako_sock_fail(&sock, TAKO_ECLOSED);
	assert_int_equal(completed, 3);
	assert_int_equal(ops[2].err, TAKO_ECLOSED);
	assert_int_equal(sock.queued_bytes, 0);
}

static void test_clocks(void **state)
{
	struct tako_loop loop = {0};
	uint64_t ns;

	(void)state;
	tako_loop_refresh(&loop);
	ns = loop.now_ns;
	assert_true(ns > 0);
	assert_true(loop.now_ticks > 0);
	tako_loop_refresh(&loop);
	assert_true(loop.now_ns >= ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_queue_counts, set_up),
		cmocka_unit_test_setup(test_gather, set_up),
		cmocka_unit_test_setup(test_cut, set_up),
		cmocka_unit_test_setup(test_gather_stops_before_a_file, set_up),
		cmocka_unit_test(test_advance),
		cmocka_unit_test_setup(test_advance_in_a_file, set_up),
		cmocka_unit_test_setup(test_empty_ops_complete_with_their_neighbours, set_up),
		cmocka_unit_test_setup(test_growing_op, set_up),
		cmocka_unit_test_setup(test_fail, set_up),
		cmocka_unit_test_setup(test_queue_from_done, set_up),
		cmocka_unit_test(test_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

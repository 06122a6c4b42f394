/* SPDX-License-Identifier: MIT
 *
 * Packets on their way out: blocks, trains, and who waits for room.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "core/base.h"
#include "transports/quic/quic_tx.h"
#include "unit/failalloc.h"

static struct tako_loop loop;
static struct tako_sock sock;
static struct tako__quic_tx tx;
static unsigned idle_count;
static const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = 1};
static const struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = 2};

static void flush(struct tako_sock *s)
{
	(void)s;
}

static void on_idle(struct tako__quic_tx *t)
{
	(void)t;
	idle_count++;
}

static int set_up(void **state)
{
	static const struct tako_runtime rt = {.flush = flush};

	(void)state;
	loop.rt = &rt;
	sock = (struct tako_sock){.loop = &loop};
	idle_count = 0;
	tako__quic_tx_init(&tx, &sock, on_idle);
	return 0;
}

static void take_one(void)
{
	struct tako_dgram_send *d = TAKO__CONTAINER(sock.head, struct tako_dgram_send, op);

	(void)tako_dgram_sent(&sock, (size_t)d->op.n);
}

static int tear_down(void **state)
{
	(void)state;
	while (sock.head)
		take_one();
	tako__quic_tx_fini(&tx);
	return tx.train_count || failalloc_live() || failalloc_wrong();
}

static struct tako__quic_path path(void)
{
	return (struct tako__quic_path){(const struct sockaddr *)&to,
	                                (const struct sockaddr *)&from, sizeof to, sizeof from};
}

static bool send_bytes(size_t n, size_t segment, char fill)
{
	struct tako__quic_path p = path();
	size_t room = 0;
	char *at = tako__quic_tx_room(&tx, n, &room);

	if (!at)
		return false;
	assert_true(room >= n);
	memset(at, fill, n);
	tako__quic_tx_send(&tx, n, segment, &p, 2);
	return true;
}

static void test_a_train(void **state)
{
	struct tako_dgram_send *d;

	(void)state;
	assert_true(send_bytes(3000, 1200, 'a'));
	d = TAKO__CONTAINER(sock.head, struct tako_dgram_send, op);
	assert_int_equal(d->op.n, 3000);
	assert_int_equal(d->segment_bytes, 1200);
	assert_int_equal(d->ecn, 2);
	assert_memory_equal(d->to, &to, sizeof to);
	assert_memory_equal(d->from, &from, sizeof from);
	/* Its addresses are its own: the sender's may be gone. */
	assert_ptr_not_equal(d->to, &to);
	assert_true(send_bytes(100, 1200, 'b'));
	d = TAKO__CONTAINER(sock.tail, struct tako_dgram_send, op);
	assert_int_equal(d->segment_bytes, 0);
	take_one();
	assert_int_equal(idle_count, 0);
	take_one();
	assert_int_equal(idle_count, 1);
}

/* One block, over and over, as long as what is in it leaves. */
static void test_blocks_are_reused(void **state)
{
	(void)state;
	assert_true(send_bytes(60000, 1200, 'a'));
	take_one();
	failalloc_arm(1);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(send_bytes(60000, 1200, 'a'));
		take_one();
	}
	assert_int_equal(failalloc_disarm(), 0);
	assert_int_equal(tx.block_count, 1);
}

static void test_what_is_sent_stays(void **state)
{
	struct tako_send *op;

	(void)state;
	for (char c = 'a'; c <= 'z'; c++)
		assert_true(send_bytes(30000, 1200, c));
	op = sock.head;
	for (char c = 'a'; c <= 'z'; c++, op = op->next) {
		for (size_t i = 0; i < 30000; i += 999)
			assert_int_equal(op->p[i], c);
	}
}

static unsigned woken;
static struct tako__quic_wait waits[3];

static void on_room(struct tako__quic_wait *w)
{
	assert_ptr_equal(w, &waits[woken]);
	woken++;
}

static void test_all_blocks_are_out(void **state)
{
	unsigned sent = 0;

	(void)state;
	while (send_bytes(60000, 1200, 'x'))
		sent++;
	assert_int_equal(sent, TAKO__QUIC_BLOCKS_MAX);
	assert_int_equal(tx.block_count, TAKO__QUIC_BLOCKS_MAX);
	woken = 0;
	for (unsigned i = 0; i < 3; i++) {
		waits[i] = (struct tako__quic_wait){.fn = on_room};
		tako__quic_tx_wait(&tx, &waits[i]);
		tako__quic_tx_wait(&tx, &waits[i]);
	}
	tako__quic_tx_unwait(&tx, &waits[2]);
	tako__quic_tx_unwait(&tx, &waits[2]);
	assert_int_equal(woken, 0);
	take_one();
	assert_int_equal(woken, 2);
	assert_true(send_bytes(60000, 1200, 'y'));
}

static void test_no_memory(void **state)
{
	(void)state;
	failalloc_arm(1);
	assert_false(send_bytes(100, 1200, 'x'));
	(void)failalloc_disarm();
	/* A train without memory is a loss. */
	failalloc_arm(2);
	assert_true(send_bytes(100, 1200, 'x'));
	assert_int_equal(failalloc_disarm(), 1);
	assert_null(sock.head);
	assert_true(send_bytes(100, 1200, 'x'));
	assert_non_null(sock.head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_train, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_blocks_are_reused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_is_sent_stays, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_all_blocks_are_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

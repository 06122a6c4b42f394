/* SPDX-License-Identifier: MIT
 *
 * Raw datagrams on their way out: what becomes one train, what is dropped, and that all is counted once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <string.h>

#include "transports/raw/udp_tx.h"
#include "unit/failalloc.h"

enum { MAX_BYTES = 1 << 20 };

static struct tako_loop loop;
static struct tako_sock sock;
static struct tako__udp_tx tx;
static struct tako__udp_sent counts;
static tako__count sent_bytes;
static unsigned rooms;
static unsigned rooms_refused;
static char text[200000];
static const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = 1};
static const struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = 3};
static const struct sockaddr_in from = {.sin_family = AF_INET, .sin_port = 2};

static void flush(struct tako_sock *s)
{
	(void)s;
}

static void on_room(struct tako__udp_tx *t, bool refused)
{
	assert_ptr_equal(t, &tx);
	rooms++;
	rooms_refused += refused;
}

static int set_up(void **state)
{
	static const struct tako_runtime rt = {.flush = flush};

	(void)state;
	loop.rt = &rt;
	sock = (struct tako_sock){.loop = &loop};
	rooms = 0;
	rooms_refused = 0;
	memset(&counts, 0, sizeof counts);
	memset(&sent_bytes, 0, sizeof sent_bytes);
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 7 + i / 251);
	tako__udp_tx_init(&tx, &sock, &counts, &sent_bytes, MAX_BYTES, on_room);
	return 0;
}

static struct tako_dgram_send *head(void)
{
	return TAKO__CONTAINER(sock.head, struct tako_dgram_send, op);
}

static void take(size_t n)
{
	(void)tako_dgram_sent(&sock, n);
}

static void take_all(void)
{
	while (sock.head)
		take((size_t)sock.head->n);
}

static int tear_down(void **state)
{
	(void)state;
	take_all();
	assert_int_equal(tx.queued_bytes, 0);
	assert_int_equal(tx.unsent_bytes, 0);
	tako__udp_tx_fini(&tx);
	return failalloc_live() || failalloc_wrong();
}

static int send_to(const struct sockaddr_in *where, size_t at, size_t n, uint32_t segment)
{
	struct tako__udp_path path = {(const struct sockaddr *)where,
	                              (const struct sockaddr *)&from, sizeof *where, sizeof from};

	return tako__udp_tx_send(&tx, &path, (tako_str){text + at, n}, segment);
}

static unsigned trains(void)
{
	unsigned n = 0;

	for (struct tako_send *op = sock.head; op; op = op->next)
		n++;
	return n;
}

/* Behind each other, to one peer, of one length: one train, which a shorter one ends. */
static void test_joined(void **state)
{
	(void)state;
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(send_to(&to, i * 64, 64, 0), 0);
	assert_int_equal(trains(), 1);
	assert_int_equal(head()->segment_bytes, 64);
	assert_int_equal(head()->op.n, 640);
	assert_memory_equal(head()->op.p, text, 640);
	assert_memory_equal(head()->to, &to, sizeof to);
	assert_memory_equal(head()->from, &from, sizeof from);
	assert_int_equal(sock.queued_bytes, 640);
	assert_int_equal(tx.unsent_bytes, 640);
	assert_int_equal(send_to(&to, 640, 30, 0), 0);
	assert_int_equal(trains(), 1);
	assert_int_equal(send_to(&to, 670, 30, 0), 0);
	assert_int_equal(trains(), 2);
	take_all();
	assert_int_equal(tako__read(&counts.sent), 12);
	assert_int_equal(tako__read(&sent_bytes), 700);
	assert_int_equal(rooms, 1);
	assert_int_equal(rooms_refused, 0);
}

static void test_not_joined(void **state)
{
	(void)state;
	assert_int_equal(send_to(&to, 0, 64, 0), 0);
	assert_int_equal(send_to(&other, 0, 64, 0), 0);
	assert_int_equal(send_to(&to, 0, 64, 0), 0); /* not behind the other one's */
	assert_int_equal(send_to(&to, 0, 65, 0), 0); /* longer */
	assert_int_equal(send_to(&to, 0, 0, 0), 0);  /* empty */
	assert_int_equal(send_to(&to, 0, 0, 0), 0);
	assert_int_equal(send_to(&to, 0, 2000, 0), 0); /* as a train they would not fit the path */
	assert_int_equal(send_to(&to, 0, 2000, 0), 0);
	assert_int_equal(trains(), 8);
	take_all();
	assert_int_equal(tako__read(&counts.sent), 8);
}

/* No longer than the kernel takes them. */
static void test_the_longest(void **state)
{
	(void)state;
	for (size_t i = 0; i < TAKO_DGRAM_SEGMENTS_MAX + 1; i++)
		assert_int_equal(send_to(&to, i, 64, 0), 0);
	assert_int_equal(trains(), 2);
	assert_int_equal(head()->op.n, 64 * TAKO_DGRAM_SEGMENTS_MAX);
	take_all();
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(send_to(&to, i, 1400, 0), 0);
	for (struct tako_send *op = sock.head; op; op = op->next)
		assert_true(op->n <= TAKO_DGRAM_BYTES_MAX);
	take_all();
	assert_int_equal(tako__read(&counts.sent), TAKO_DGRAM_SEGMENTS_MAX + 51);
}

/* What has begun to leave stays as it is. */
static void test_partly_sent(void **state)
{
	(void)state;
	assert_int_equal(send_to(&to, 0, 64, 0), 0);
	assert_int_equal(send_to(&to, 64, 64, 0), 0);
	take(64);
	assert_int_equal(send_to(&to, 128, 64, 0), 0);
	assert_int_equal(trains(), 2);
	assert_memory_equal(head()->op.p, text + 64, 64);
	take_all();
	assert_int_equal(tako__read(&counts.sent), 3);
	assert_int_equal(tako__read(&sent_bytes), 192);
}

static void test_trains(void **state)
{
	(void)state;
	assert_int_equal(send_to(&to, 0, 100000, 1000), 0);
	assert_int_equal(trains(), 2); /* of 64 and of 36 */
	assert_int_equal(head()->op.n, 64000);
	assert_int_equal(head()->segment_bytes, 1000);
	take_all();
	assert_int_equal(tako__read(&counts.sent), 100);
	assert_int_equal(send_to(&to, 0, 100000, 30000), 0);
	assert_int_equal(trains(), 2); /* as many as are no longer than a datagram may be */
	take_all();
	assert_int_equal(tako__read(&counts.sent), 104);
	assert_int_equal(send_to(&to, 0, 500, 1000), 0);
	assert_int_equal(head()->segment_bytes, 0);
	take_all();
	assert_int_equal(tako__read(&counts.sent), 105);
}

static void test_too_long(void **state)
{
	(void)state;
	assert_int_equal(send_to(&to, 0, TAKO_DGRAM_BYTES_MAX, 0), 0);
	assert_int_equal(send_to(&to, 0, TAKO_DGRAM_BYTES_MAX + 1, 0), TAKO_ETOOBIG);
	assert_int_equal(send_to(&to, 0, 200000, TAKO_DGRAM_BYTES_MAX + 1), TAKO_ETOOBIG);
	assert_int_equal(tako__read(&counts.dropped), 0);
}

static void test_full(void **state)
{
	unsigned n = 0;

	(void)state;
	while (send_to(&to, 0, 1000, 0) == 0)
		n++;
	assert_int_equal(n, MAX_BYTES / (1000 + TAKO__UDP_OVERHEAD));
	assert_int_equal(send_to(&to, 0, 100000, 1000), TAKO_EBUSY);
	assert_int_equal(tako__read(&counts.dropped), 101);
	/* Told once, when a quarter or less is left; and when it is empty. */
	while (rooms == 0)
		take((size_t)sock.head->n);
	assert_int_equal(rooms_refused, 1);
	assert_true(tx.queued_bytes && tx.queued_bytes <= MAX_BYTES / 4);
	take_all();
	assert_int_equal(rooms, 2);
	assert_int_equal(rooms_refused, 1);
	assert_int_equal(tako__read(&counts.sent), n);
	/* A queue full of nothing is full, too. */
	for (n = 0; send_to(&to, 0, 0, 0) == 0; n++)
		continue;
	assert_int_equal(n, MAX_BYTES / TAKO__UDP_OVERHEAD);
}

static void test_failures(void **state)
{
	struct tako_dgram_info info = {.family = AF_INET};

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(send_to(&to, 0, 64, 0), 0);
	take(64);
	assert_true(tako_dgram_failed(&sock, &info, EPERM));
	assert_false(tako_dgram_failed(&sock, &info, EPERM));
	assert_int_equal(tako__read(&counts.sent), 1);
	assert_int_equal(tako__read(&counts.failed), 4);
	assert_int_equal(tako__read(&sent_bytes), 64);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(send_to(&to, 0, 64, 0), 0);
	tako_sock_fail(&sock, TAKO_ECLOSED);
	assert_int_equal(tako__read(&counts.dropped), 5);
}

/* One block, over and over, as long as what is in it leaves. */
static void test_no_allocation(void **state)
{
	(void)state;
	assert_int_equal(send_to(&to, 0, 60000, 1000), 0);
	take_all();
	failalloc_arm(1);
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned k = 0; k < 60; k++)
			assert_int_equal(send_to(&to, 0, 1000, 0), 0);
		take_all();
	}
	assert_int_equal(failalloc_disarm(), 0);
	assert_int_equal(tako__read(&counts.sent), 6060);
}

static void test_no_memory(void **state)
{
	(void)state;
	failalloc_arm(1);
	assert_int_equal(send_to(&to, 0, 64, 0), TAKO_ENOMEM);
	failalloc_disarm();
	failalloc_arm(2);
	assert_int_equal(send_to(&to, 0, 64, 0), TAKO_ENOMEM);
	failalloc_disarm();
	assert_int_equal(tako__read(&counts.dropped), 2);
	/* The second train of two: the first leaves. */
	assert_int_equal(send_to(&to, 0, 64, 0), 0);
	take_all();
	failalloc_arm(1);
	assert_int_equal(send_to(&to, 0, 100000, 1000), TAKO_ENOMEM);
	failalloc_disarm();
	take_all();
	assert_int_equal(tako__read(&counts.sent), 65);
	assert_int_equal(tako__read(&counts.dropped), 38);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_joined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_joined, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_the_longest, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_partly_sent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_trains, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_too_long, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_allocation, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

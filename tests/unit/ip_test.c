/* SPDX-License-Identifier: MIT
 *
 * Connections per address: what counts as one address, the limit, and that leaving gives room
 * back, with many addresses at once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/server.h"
#include "unit/failalloc.h"

enum { MANY = 5000, THREADS = 4, ROUNDS = 20000, LIMIT = 2 };

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static union address parse(const char *text)
{
	union address a;

	memset(&a, 0, sizeof a);
	if (strchr(text, ':')) {
		a.in6.sin6_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &a.in6.sin6_addr), 1);
	} else {
		a.in.sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &a.in.sin_addr), 1);
	}
	return a;
}

static union address nth(uint32_t i)
{
	union address a = {.in = {.sin_family = AF_INET}};

	a.in.sin_addr.s_addr = htonl(0x0a000000 + i);
	return a;
}

static void test_limit(void **state)
{
	struct tako__ip_table *t = tako__ip_new(100);
	union address a = parse("192.0.2.1");
	union address b = parse("192.0.2.2");

	(void)state;
	assert_non_null(t);
	a.in.sin_port = 1;
	for (int i = 0; i < 3; i++)
		assert_true(tako__ip_enter(t, &a.any, 3));
	a.in.sin_port = 2; /* a port is no other address */
	assert_false(tako__ip_enter(t, &a.any, 3));
	assert_true(tako__ip_enter(t, &b.any, 3));
	tako__ip_leave(t, &a.any);
	assert_true(tako__ip_enter(t, &a.any, 3));
	assert_false(tako__ip_enter(t, &a.any, 3));
	tako__ip_free(t);
}

static void test_leaving_a_stranger(void **state)
{
	struct tako__ip_table *t = tako__ip_new(100);
	union address a = parse("192.0.2.1");

	(void)state;
	tako__ip_leave(t, &a.any);
	assert_true(tako__ip_enter(t, &a.any, 1));
	assert_false(tako__ip_enter(t, &a.any, 1));
	tako__ip_free(t);
}

/* Which pairs are one customer: an IPv4 address in either form, an IPv6 /64. */
static void test_same_or_not(void **state)
{
	static const struct {
		const char *a;
		const char *b;
		bool same;
	} pairs[] = {
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "1.2.0.192", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"2001:db8::1", "2001:db8::2", true},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"2001:db8:1::1", "2001:db8:2::1", false},
		/* A /64 whose bytes an IPv4 address followed by ffff would look like. */
		{"32.1.13.184", "2001:db8:ffff::1", false},
		{"32.1.13.184", "2001:db8:ffff:ffff::1", false},
		{"32.1.13.184", "2001:db8::1", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
		struct tako__ip_table *t = tako__ip_new(10);
		union address a = parse(pairs[i].a);
		union address b = parse(pairs[i].b);

		assert_true(tako__ip_enter(t, &a.any, 1));
		if (tako__ip_enter(t, &b.any, 1) == pairs[i].same)
			fail_msg("%s and %s", pairs[i].a, pairs[i].b);
		tako__ip_free(t);
	}
}

static void test_many(void **state)
{
	struct tako__ip_table *t = tako__ip_new(MANY);

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < MANY; i++) {
			union address a = nth(i);

			assert_true(tako__ip_enter(t, &a.any, LIMIT));
			assert_true(tako__ip_enter(t, &a.any, LIMIT));
			assert_false(tako__ip_enter(t, &a.any, LIMIT));
		}
		/* Neither in the order they came nor in its reverse. */
		for (uint32_t i = 0; i < MANY; i++) {
			union address a = nth(i * 7 % MANY);

			tako__ip_leave(t, &a.any);
			assert_true(tako__ip_enter(t, &a.any, LIMIT));
			tako__ip_leave(t, &a.any);
			tako__ip_leave(t, &a.any);
		}
	}
	tako__ip_free(t);
}

/* More addresses than connections can be: refused, not grown. */
static void test_full(void **state)
{
	struct tako__ip_table *t = tako__ip_new(1);
	uint32_t count = 0;
	union address a;

	(void)state;
	for (; count < 10000; count++) {
		a = nth(count);
		if (!tako__ip_enter(t, &a.any, 1))
			break;
	}
	/* One connection, and one more in each worker's hands while it is being counted. */
	assert_int_equal(count, 1 + TAKO__WORKERS_MAX);
	a = nth(0);
	tako__ip_leave(t, &a.any);
	a = nth(count);
	assert_true(tako__ip_enter(t, &a.any, 1));
	tako__ip_free(t);
}

static struct tako__ip_table *shared;
static atomic_int inside;
static atomic_int over;

static void *come_and_go(void *arg)
{
	union address a = nth(1);

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		if (!tako__ip_enter(shared, &a.any, LIMIT))
			continue;
		if (atomic_fetch_add(&inside, 1) >= LIMIT)
			atomic_fetch_add(&over, 1);
		atomic_fetch_sub(&inside, 1);
		tako__ip_leave(shared, &a.any);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	union address a = nth(1);

	(void)state;
	shared = tako__ip_new(100);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&over), 0);
	for (int i = 0; i < LIMIT; i++)
		assert_true(tako__ip_enter(shared, &a.any, LIMIT));
	assert_false(tako__ip_enter(shared, &a.any, LIMIT));
	tako__ip_free(shared);
}

static void test_without_memory(void **state)
{
	size_t n;

	(void)state;
	for (n = 1; n < 10; n++) {
		struct tako__ip_table *t;

		failalloc_arm(n);
		t = tako__ip_new(TAKO_OFF);
		if (!failalloc_disarm()) {
			assert_non_null(t);
			tako__ip_free(t);
			break;
		}
		assert_null(t);
		assert_int_equal(failalloc_live(), 0);
	}
	assert_int_equal(n, 4);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
	tako__ip_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),          cmocka_unit_test(test_leaving_a_stranger),
		cmocka_unit_test(test_same_or_not),    cmocka_unit_test(test_many),
		cmocka_unit_test(test_full),           cmocka_unit_test(test_threads),
		cmocka_unit_test(test_without_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * QUIC without memory: each allocation of a handshake and an echo fails once, and costs at most that one
 * connection; and what an idle connection takes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/quic_echo.h"
#include "unit/quic_rig.h"
#include "transports/tls/tls_lib.h"

/* Of these about 70 KiB are ngtcp2's and the server's TLS; the rest is the client's context. */
enum { IDLE_MAX_BYTES = 160 << 10, IDLE = 20 };

static bool is_over(void *arg)
{
	struct quic_client *c = arg;
	struct quic_client_stream *s = quic_client_stream(c, 0);

	if (c->ready && !s && quic_client_open(c, false) == 0)
		quic_client_send(c, 0, "hello", 5, true);
	return c->closed || (s && s->in_fin);
}

static void assert_works(void)
{
	struct quic_client *c = quic_rig_client(NULL);

	assert_true(quic_rig_until(is_over, c, 30 * QUIC_RIG_SECOND));
	assert_false(c->closed);
	quic_client_close(c, 0);
	quic_rig_pass(QUIC_RIG_SECOND);
	quic_rig_forget(c);
}

/* The client's wolfSSL shares the allocator, so it may be the client that fails; it is not asserted on. */
static size_t fail_at(size_t n)
{
	struct quic_client *c;
	size_t failed;

	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(quic_echo_transport(), NULL, NULL, NULL), 0);
	/* Pools are empty, so that everything asks. */
	c = quic_rig_client(NULL);
	failalloc_arm(n);
	(void)quic_rig_until(is_over, c, 3 * QUIC_RIG_SECOND);
	failed = failalloc_disarm();
	(void)tako__tls_lib_short();
	assert_works();
	quic_rig_stop();
	if (failalloc_live() || failalloc_wrong())
		fail_msg("allocation %zu: %zu blocks are left", n, failalloc_live());
	return failed;
}

static void test_each_allocation_fails(void **state)
{
	size_t n = 1;

	(void)state;
	/* Every one of the first, then ever fewer of the hundreds that wolfSSL makes. */
	while (fail_at(n))
		n += 1 + n / 40;
	assert_true(n > 100);
}

static void test_idle(void **state)
{
	size_t before, bytes;

	(void)state;
	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(quic_echo_transport(), NULL, NULL, NULL), 0);
	assert_works();
	before = failalloc_live_bytes();
	for (unsigned i = 0; i < IDLE; i++)
		assert_true(quic_rig_connect(quic_rig_client(NULL)));
	quic_rig_pass(5 * QUIC_RIG_SECOND);
	/* The clients' halves of TLS are in it too. */
	bytes = (failalloc_live_bytes() - before) / IDLE;
	print_message("an idle connection and its client's TLS: %zu bytes\n", bytes);
	assert_true(bytes < IDLE_MAX_BYTES);
	quic_rig_stop();
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_each_allocation_fails),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

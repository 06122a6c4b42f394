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

/* What an idle connection may take of the server, whatever speaks on it. */
enum { IDLE_MAX_BYTES = 48 << 10, IDLE = 100 };

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

/* The streams that HTTP/3 begins with, and "GET /" of static entries. */
static void ask(struct quic_client *c)
{
	static const char head[] = "\x01\x08\0\0\xd1\xd7\xc1\x50\x01x";

	quic_client_send(c, quic_client_open(c, true), "\0\x04\0", 3, false);
	quic_client_send(c, quic_client_open(c, true), "\x02", 1, false);
	quic_client_send(c, quic_client_open(c, true), "\x03", 1, false);
	quic_client_send(c, quic_client_open(c, false), head, sizeof head - 1, true);
}

/* A client that has come, asked and fallen silent; and then is not there any more. */
static void leave_idle(const char *alpn)
{
	struct quic_client *c = quic_rig_client(&(struct quic_client_config){.alpn = alpn});

	assert_true(quic_rig_connect(c));
	if (strcmp(alpn, "h3") == 0)
		ask(c);
	else
		quic_client_send(c, quic_client_open(c, false), "hello", 5, true);
	assert_true(quic_rig_received(c, 0));
	quic_rig_pass(QUIC_RIG_SECOND / 10);
	quic_rig_forget(c);
}

static size_t idle_bytes(const tako_transport *t, const char *alpn)
{
	tako_server_config cfg = {.size = sizeof cfg, .h3_idle_timeout_ms = 600000};
	tako_stats stats = {.size = sizeof stats};
	size_t before;

	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(t, NULL, &cfg, NULL), 0);
	/* What a worker has but once. */
	leave_idle(alpn);
	before = failalloc_live_bytes();
	for (unsigned i = 0; i < IDLE; i++)
		leave_idle(alpn);
	assert_int_equal(tako_server_stats(quic_rig.srv, &stats), 0);
	assert_int_equal(stats.connections_open, IDLE + 1);
	before = failalloc_live_bytes() - before;
	quic_rig_stop();
	assert_int_equal(failalloc_live(), 0);
	return before / IDLE;
}

static void test_idle(void **state)
{
	size_t quic = idle_bytes(quic_echo_transport(), "echo");
	size_t h3 = idle_bytes(tako_h3(), "h3");

	(void)state;
	print_message("an idle connection: %zu bytes, with HTTP/3 %zu\n", quic, h3);
#ifdef TAKO__NGTCP2_MENDED
	assert_true(quic < IDLE_MAX_BYTES && h3 < IDLE_MAX_BYTES);
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_each_allocation_fails),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

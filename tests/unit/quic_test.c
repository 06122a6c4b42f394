/* SPDX-License-Identifier: MIT
 *
 * QUIC connections as a client sees them: handshakes, streams, datagrams, ends, and what a client gets
 * that says what none should.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/quic_echo.h"
#include "unit/quic_rig.h"

static void start_with(const tako_server_config *cfg, const tako_listen_config *listen)
{
	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(quic_echo_transport(), NULL, cfg, listen), 0);
}

static int tear_down(void **state)
{
	(void)state;
	quic_rig_stop();
	return failalloc_live() || failalloc_wrong();
}

/* ---- Handshake ------------------------------------------------------------------------------ */

static void test_handshake(void **state)
{
	struct quic_client *c;
	tako_stats stats = {.size = sizeof stats};

	(void)state;
	start_with(NULL, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.opened, 1);
	assert_int_equal(quic_echo.ready, 1);
	assert_int_equal(tako_server_stats(quic_rig.srv, &stats), 0);
	assert_int_equal(stats.connections_open, 1);
	assert_int_equal(stats.tls_handshakes, 1);
	assert_true(stats.received_bytes > 1200);
	assert_true(stats.sent_bytes > 1200);
	quic_client_close(c, 5);
	quic_rig_pass(QUIC_RIG_MS);
	assert_int_equal(quic_echo.ended, 1);
	assert_int_equal(quic_echo.why, TAKO_ECLOSED);
	assert_true(quic_echo.by_peer && quic_echo.by_app);
	assert_int_equal(quic_echo.code, 5);
	assert_int_equal(tako_server_stats(quic_rig.srv, &stats), 0);
	assert_int_equal(stats.connections_open, 0);
}

/* ---- Streams -------------------------------------------------------------------------------------- */

static void test_echo(void **state)
{
	static const char text[] = "hello";
	struct quic_client *c;
	struct quic_client_stream *s;
	int64_t id;

	(void)state;
	start_with(NULL, NULL);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	id = quic_client_open(c, false);
	quic_client_send(c, id, text, strlen(text), true);
	assert_true(quic_rig_received(c, id));
	s = quic_client_stream(c, id);
	assert_string_equal(s->in, text);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_true(s->closed);
	assert_int_equal(quic_echo.acked, strlen(text));
	assert_int_equal(quic_echo.closed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_handshake, tear_down),
		cmocka_unit_test_teardown(test_echo, tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Streams and datagrams over QUIC: bytes both ways, windows, limits, resets; also where the network
 * loses, doubles, delays and spoils what it carries.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/base.h"
#include "unit/failalloc.h"
#include "unit/quic_echo.h"
#include "unit/quic_rig.h"

static void start_with(const tako_server_config *cfg)
{
	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(quic_echo_transport(), NULL, cfg, NULL), 0);
}

static struct quic_client *connected(const struct quic_client_config *cfg)
{
	struct quic_client *c = quic_rig_client(cfg);

	assert_true(quic_rig_connect(c));
	return c;
}

static int tear_down(void **state)
{
	(void)state;
	quic_rig_stop();
	return failalloc_live() || failalloc_wrong();
}

static char *pattern(size_t n, unsigned salt)
{
	char *p = malloc(n);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251 + salt);
	return p;
}

static int64_t send_pattern(struct quic_client *c, bool uni, size_t n, unsigned salt)
{
	char *p = pattern(n, salt);
	int64_t id = quic_client_open(c, uni);

	assert_true(id >= 0);
	quic_client_send(c, id, p, n, true);
	free(p);
	return id;
}

static void assert_pattern(struct quic_client *c, int64_t id, size_t n, unsigned salt)
{
	struct quic_client_stream *s = quic_client_stream(c, id);
	char *p = pattern(n, salt);

	assert_non_null(s);
	assert_true(s->in_fin);
	assert_int_equal(s->in_n, n);
	if (n)
		assert_memory_equal(s->in, p, n);
	free(p);
}

/* ---- Bytes -------------------------------------------------------------------------------- */

static void test_echo(void **state)
{
	static const size_t sizes[] = {0, 1, 13, 1200, 1453, 70000, 1 << 20};
	struct quic_client *c;

	(void)state;
	start_with(NULL);
	c = connected(NULL);
	for (unsigned i = 0; i < TAKO__COUNT(sizes); i++) {
		int64_t id = send_pattern(c, false, sizes[i], i);

		assert_true(quic_rig_received(c, id));
		assert_pattern(c, id, sizes[i], i);
	}
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.closed, TAKO__COUNT(sizes));
}

/* Everything acknowledged is told, once. */
static void test_acknowledged(void **state)
{
	struct quic_client *c;
	int64_t id;

	(void)state;
	start_with(NULL);
	c = connected(NULL);
	id = send_pattern(c, false, 100000, 1);
	assert_true(quic_rig_received(c, id));
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.acked, 100000);
}

static void test_one_way(void **state)
{
	struct quic_client *c;

	(void)state;
	start_with(NULL);
	c = connected(NULL);
	(void)send_pattern(c, true, 5000, 3);
	/* The answer is the server's first of its own. */
	assert_true(quic_rig_received(c, 3));
	assert_pattern(c, 3, 5000, 3);
}

static void test_many_at_once(void **state)
{
	enum { MANY = 100, BYTES = 3000 };
	struct quic_client *c;
	int64_t ids[MANY];

	(void)state;
	start_with(NULL);
	c = connected(NULL);
	for (unsigned i = 0; i < MANY; i++)
		ids[i] = send_pattern(c, false, BYTES, i);
	for (unsigned i = 0; i < MANY; i++) {
		assert_true(quic_rig_received(c, ids[i]));
		assert_pattern(c, ids[i], BYTES, i);
	}
}

/* ---- Windows ------------------------------------------------------------------------------------ */

/* What is not consumed is not made room for. */
static void test_back_pressure(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg,
	                          .h3_stream_window_bytes = 10000,
	                          .h3_connection_window_bytes = 15000};
	struct quic_client *c;
	int64_t a, b;

	(void)state;
	start_with(&cfg);
	c = connected(NULL);
	quic_echo.keep = true;
	a = send_pattern(c, false, 50000, 1);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_client_stream(c, a)->out_sent, 10000);
	b = send_pattern(c, false, 50000, 2);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_client_stream(c, b)->out_sent, 5000);
	/* It goes on when it is. */
	quic_echo.keep = false;
	tako__quic_consumed(quic_echo.last, a, 10000);
	tako__quic_consumed(quic_echo.last, b, 5000);
	assert_true(quic_rig_received(c, a));
	assert_pattern(c, a, 50000, 1);
	assert_true(quic_rig_received(c, b));
	assert_pattern(c, b, 50000, 2);
}

/* The peer's windows hold for us. */
static void test_small_windows_of_the_peer(void **state)
{
	struct quic_client_config small = {
		.stream_window = 1000, .window = 1500, .no_window_growth = true};
	struct quic_client *c;
	int64_t a, b;

	(void)state;
	start_with(NULL);
	c = connected(&small);
	a = send_pattern(c, false, 5000, 1);
	b = send_pattern(c, false, 5000, 2);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_client_stream(c, a)->in_n + quic_client_stream(c, b)->in_n, 1500);
	for (unsigned i = 0; i < 10; i++) {
		quic_client_consume(c, a, 500);
		quic_client_consume(c, b, 500);
		quic_rig_pass(QUIC_RIG_SECOND);
	}
	assert_pattern(c, a, 5000, 1);
	assert_pattern(c, b, 5000, 2);
}

/* ---- Limits on streams ----------------------------------------------------------------------------- */

static void test_streams_come_back(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg, .h3_max_bidi_streams = 2};
	struct quic_client *c;

	(void)state;
	start_with(&cfg);
	c = connected(NULL);
	for (unsigned i = 0; i < 20; i++) {
		int64_t id = send_pattern(c, false, 100, i);

		assert_true(quic_rig_received(c, id));
		quic_rig_pass(100 * QUIC_RIG_MS);
	}
	assert_int_equal(quic_echo.closed, 20);
}

/* … when the application says so. */
static void test_streams_are_held(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg, .h3_max_bidi_streams = 2};
	struct quic_client *c;

	(void)state;
	start_with(&cfg);
	c = connected(NULL);
	quic_echo.hold_streams = true;
	for (unsigned i = 0; i < 2; i++)
		assert_true(quic_rig_received(c, send_pattern(c, false, 100, i)));
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.closed, 2);
	assert_int_equal(quic_client_open(c, false), -1);
	tako__quic_streams_more(quic_echo.last, false, 1);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_true(quic_rig_received(c, send_pattern(c, false, 100, 9)));
	assert_int_equal(quic_client_open(c, false), -1);
}

/* The peer allows none, then some. */
static void test_own_streams_wait(void **state)
{
	struct quic_client_config one = {.streams = 1};
	struct quic_client *c;
	int64_t id;

	(void)state;
	start_with(NULL);
	c = connected(&one);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(tako__quic_streams_left(quic_echo.last, true), 1);
	assert_int_equal(tako__quic_stream_open(quic_echo.last, true, NULL, &id), 0);
	assert_int_equal(id, 3);
	assert_int_equal(tako__quic_stream_open(quic_echo.last, true, NULL, &id), TAKO_EBUSY);
	ngtcp2_conn_extend_max_streams_uni(c->conn, 2);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_true(quic_echo.allowed > 0);
	assert_int_equal(tako__quic_streams_left(quic_echo.last, true), 2);
}

/* ---- Resets -------------------------------------------------------------------------------------------- */

static void test_reset_by_the_peer(void **state)
{
	struct quic_client *c;
	int64_t id;

	(void)state;
	start_with(NULL);
	c = connected(NULL);
	id = quic_client_open(c, false);
	quic_client_send(c, id, "abc", 3, false);
	quic_rig_pass(QUIC_RIG_SECOND);
	quic_client_reset(c, id, 1234);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.resets, 1);
	/* The echo resets its own half with the same code. */
	assert_true(quic_client_stream(c, id)->reset);
	assert_int_equal(quic_client_stream(c, id)->reset_code, 1234);
	assert_int_equal(quic_echo.closed, 1);
	assert_false(c->closed);
}

static void test_stopped_by_the_peer(void **state)
{
	struct quic_client_config small = {.stream_window = 1000, .no_window_growth = true};
	struct quic_client *c;
	int64_t id;

	(void)state;
	start_with(NULL);
	c = connected(&small);
	id = send_pattern(c, false, 5000, 1);
	quic_rig_pass(QUIC_RIG_SECOND);
	quic_client_stop(c, id, 99);
	quic_rig_pass(QUIC_RIG_SECOND);
	/* It was blocked, and so not offered: it hears of the end. */
	assert_int_equal(quic_echo.shut, 0);
	assert_true(quic_client_stream(c, id)->closed);
	assert_int_equal(quic_client_stream(c, id)->close_code, 99);
	assert_int_equal(quic_echo.closed, 1);
	assert_false(c->closed);
}

/* … while the stream goes on the other way. */
static void test_stopped_half_way(void **state)
{
	struct quic_client *c;
	int64_t id;

	(void)state;
	start_with(NULL);
	c = connected(NULL);
	id = quic_client_open(c, false);
	quic_client_stop(c, id, 99);
	quic_rig_pass(QUIC_RIG_SECOND);
	quic_client_send(c, id, "abc", 3, false);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_echo.shut, 1);
	assert_int_equal(quic_echo.closed, 0);
	assert_int_equal(quic_client_stream(c, id)->in_n, 0);
}

static void test_reset_and_stop_by_us(void **state)
{
	struct quic_client *c;
	int64_t id;

	(void)state;
	start_with(NULL);
	c = connected(NULL);
	id = quic_client_open(c, false);
	quic_client_send(c, id, "abc", 3, false);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(tako__quic_reset(quic_echo.last, id, 5), 0);
	assert_int_equal(tako__quic_stop(quic_echo.last, id, 6), 0);
	assert_int_equal(tako__quic_reset(quic_echo.last, 4000, 5), 0);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(quic_client_stream(c, id)->reset_code, 5);
	assert_int_equal(quic_client_stream(c, id)->close_code, 6);
	assert_int_equal(quic_echo.closed, 1);
}

/* ---- Datagrams ---------------------------------------------------------------------------------------------- */

static void test_datagrams(void **state)
{
	tako_server_config cfg = {.size = sizeof cfg, .h3_datagrams = 1};
	struct quic_client *c;

	(void)state;
	start_with(&cfg);
	c = connected(NULL);
	quic_client_datagram(c, "ping", 4);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(c->datagram_count, 1);
	assert_int_equal(c->datagram_n[0], 4);
	assert_memory_equal(c->datagrams[0], "ping", 4);
}

static void test_datagrams_have_bounds(void **state)
{
	static char big[3000];
	struct iovec two[2] = {{big, 3}, {big, 4}};
	struct iovec vec = {big, sizeof big};
	struct quic_client *c;
	size_t max;

	(void)state;
	start_with(NULL);
	c = connected(NULL);
	quic_rig_pass(QUIC_RIG_SECOND);
	/* The peer takes them, also where we do not. */
	max = tako__quic_datagram_max(quic_echo.last);
	assert_in_range(max, 1100, 1452);
	assert_int_equal(tako__quic_datagram(quic_echo.last, &vec, 1), TAKO_ETOOBIG);
	vec.iov_len = max;
	for (unsigned i = 0; i < TAKO__QUIC_DATAGRAMS - 1; i++)
		assert_int_equal(tako__quic_datagram(quic_echo.last, &vec, 1), 0);
	assert_int_equal(tako__quic_datagram(quic_echo.last, two, 2), 0);
	assert_int_equal(tako__quic_datagram(quic_echo.last, &vec, 1), TAKO_EBUSY);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(c->datagram_count, TAKO__QUIC_DATAGRAMS);
	assert_int_equal(c->datagram_n[0], max);
	assert_int_equal(c->datagram_n[TAKO__QUIC_DATAGRAMS - 1], 7);
}

static void test_datagrams_the_peer_does_not_take(void **state)
{
	struct quic_client_config none = {.no_datagrams = true};
	struct iovec vec = {(char[]){"x"}, 1};

	(void)state;
	start_with(NULL);
	(void)connected(&none);
	quic_rig_pass(QUIC_RIG_SECOND);
	assert_int_equal(tako__quic_datagram_max(quic_echo.last), 0);
	assert_int_equal(tako__quic_datagram(quic_echo.last, &vec, 1), TAKO_ENOTSUP);
}

/* ---- A bad network --------------------------------------------------------------------------------------------- */

enum { SEEDS = 500, PIECES = 5, MOVES_MAX = 3 };

/* As behind a NAT that forgets, at whatever moment that is: what is on its way to the old address is lost,
 * and the server hears of the new one by what the client says next.  Then again, while the server may not yet say
 * to the first one more than three times what came from it (RFC 9000 section 8.2), or has not heard of it at all.
 */
static void move_away(struct quic_client *c, unsigned count)
{
	quic_rig_pass(quic_net_random() % (100 * QUIC_RIG_MS));
	for (unsigned i = 0; i < count; i++) {
		quic_client_move(c, false);
		(void)send_pattern(c, true, 10, 0);
		quic_rig_pass(quic_net_random() % (2 * quic_net.delay_ns + quic_net.jitter_ns));
	}
}

static void make_network_bad(unsigned seed)
{
	quic_net.seed += seed * UINT64_C(0x9e3779b97f4a7c15);
	quic_net.delay_ns = 10 * QUIC_RIG_MS;
	quic_net.jitter_ns = quic_net_random() % (20 * QUIC_RIG_MS) + 1;
	quic_net.loss = (unsigned)(quic_net_random() % 100);
	quic_net.twice = (unsigned)(quic_net_random() % 50);
	quic_net.corrupt = (unsigned)(quic_net_random() % 50);
}

/* A handshake of which too much is lost times out: then, as anybody would, once more.  The server must know
 * that it is through, too, before anybody moves (RFC 9000 section 9).
 */
static struct quic_client *connect_somehow(unsigned seed)
{
	for (unsigned i = 0; i < 3; i++) {
		struct quic_client *c = quic_rig_client(NULL);

		if (quic_rig_connect(c) && quic_rig_received(c, send_pattern(c, false, 1, 0)))
			return c;
	}
	fail_msg("seed %u: no handshake", seed);
	return NULL;
}

static void run_on_bad_network(unsigned seed)
{
	struct quic_client *c;
	int64_t ids[PIECES];

	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(quic_echo_transport(), NULL, NULL, NULL), 0);
	make_network_bad(seed);
	c = connect_somehow(seed);
	for (unsigned i = 0; i < PIECES; i++)
		ids[i] = send_pattern(c, false, quic_net_random() % 60000, i);
	if (quic_net_random() % 2)
		move_away(c, 1 + (unsigned)(quic_net_random() % MOVES_MAX));
	for (unsigned i = 0; i < PIECES; i++) {
		size_t n = quic_client_stream(c, ids[i])->out_n;

		if (!quic_rig_received(c, ids[i]))
			fail_msg("seed %u: stream %d did not come", seed, (int)ids[i]);
		assert_pattern(c, ids[i], n, i);
	}
	quic_rig_stop();
	if (failalloc_live())
		fail_msg("seed %u: %zu blocks are left", seed, failalloc_live());
}

/* Where the simulation has fewer, under a sanitizer, so has this. */
static void test_bad_network(void **state)
{
	const char *one = getenv("TAKO_QUIC_SEED");
	unsigned count = getenv("TAKO_SIM_SEEDS") ? 50 : SEEDS;

	(void)state;
	if (one)
		run_on_bad_network((unsigned)atoi(one));
	for (unsigned seed = 1; !one && seed <= count; seed++)
		run_on_bad_network(seed);
}

static int no_tear_down(void **state)
{
	(void)state;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_echo, tear_down),
		cmocka_unit_test_teardown(test_acknowledged, tear_down),
		cmocka_unit_test_teardown(test_one_way, tear_down),
		cmocka_unit_test_teardown(test_many_at_once, tear_down),
		cmocka_unit_test_teardown(test_back_pressure, tear_down),
		cmocka_unit_test_teardown(test_small_windows_of_the_peer, tear_down),
		cmocka_unit_test_teardown(test_streams_come_back, tear_down),
		cmocka_unit_test_teardown(test_streams_are_held, tear_down),
		cmocka_unit_test_teardown(test_own_streams_wait, tear_down),
		cmocka_unit_test_teardown(test_reset_by_the_peer, tear_down),
		cmocka_unit_test_teardown(test_stopped_by_the_peer, tear_down),
		cmocka_unit_test_teardown(test_stopped_half_way, tear_down),
		cmocka_unit_test_teardown(test_reset_and_stop_by_us, tear_down),
		cmocka_unit_test_teardown(test_datagrams, tear_down),
		cmocka_unit_test_teardown(test_datagrams_have_bounds, tear_down),
		cmocka_unit_test_teardown(test_datagrams_the_peer_does_not_take, tear_down),
		cmocka_unit_test_teardown(test_bad_network, no_tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Sessions over QUIC alone, on a network in memory with ngtcp2's client: streams and datagrams both ways,
 * codes, ends of either side, and what listeners refuse; then all of it on a bad network.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/quic_rig.h"
#include "unit/wt_log.h"

static tako_wt_config config;

static int listen_raw(const char *alpn, const tako_wt_config *wt)
{
	const tako_listen_config cfg = {.size = sizeof cfg, .quic_alpn = alpn, .wt = wt};

	wt_log_start();
	return quic_rig_start(tako_quic_raw(), NULL, NULL, &cfg);
}

static struct quic_client *connected(void)
{
	static const struct quic_client_config cfg = {.alpn = "raw/1"};
	struct quic_client *c;

	assert_int_equal(listen_raw("raw/1", &config), 0);
	c = quic_rig_client(&cfg);
	assert_true(quic_rig_connect(c));
	quic_rig_pass(100 * QUIC_RIG_MS);
	assert_string_equal(wt_log_take(), "open|");
	return c;
}

static int set_up(void **state)
{
	(void)state;
	config = wt_log_config;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	quic_rig_stop();
	assert_int_equal(wt_log.opened, wt_log.closed);
	assert_int_equal(wt_log.streams_opened, wt_log.streams_closed);
	return failalloc_live() || failalloc_wrong();
}

static void settle(void)
{
	quic_rig_pass(200 * QUIC_RIG_MS);
}

static int64_t client_says(struct quic_client *c, bool uni, const char *text, bool fin)
{
	int64_t id = quic_client_open(c, uni);

	assert_true(id >= 0);
	quic_client_send(c, id, text, strlen(text), fin);
	settle();
	return id;
}

static void assert_came(struct quic_client *c, int64_t id, const char *text, bool fin)
{
	struct quic_client_stream *s = quic_client_stream(c, id);

	assert_non_null(s);
	assert_int_equal(s->in_n, strlen(text));
	assert_memory_equal(s->in, text, s->in_n);
	assert_int_equal(s->in_fin, fin);
}

/* ---- Both ways --------------------------------------------------------------------------------- */

static void test_streams(void **state)
{
	struct quic_client *c = connected();
	tako_wt_stream *s;

	(void)state;
	wt_log.echo = true;
	/* The first byte is theirs already. */
	assert_came(c, client_says(c, false, "\x40\x41hello", true), "\x40\x41hello", true);
	assert_string_equal(wt_log_take(), "stream bidi|data \x40\x41hello end|closed bidi 0|");
	(void)client_says(c, true, "one way", true);
	assert_came(c, 3, "one way", true);
	assert_string_equal(wt_log_take(),
	                    "stream uni|data one way end|closed uni 0|closed our uni 0|");
	assert_int_equal(tako_wt_open(wt_log.wt, false, &s), 0);
	wt_log.streams_opened++;
	assert_int_equal(tako_wt_send(s, TAKO_STR("from here"), true), 9);
	settle();
	assert_came(c, 1, "from here", true);
	quic_client_send(c, 1, "and back", 8, true);
	settle();
	assert_string_equal(wt_log_take(), "data and back end|closed our bidi 0|");
}

/* One that is over makes room for another, whichever way it goes: of these there are eight. */
static void test_streams_come_back(void **state)
{
	struct quic_client *c = connected();

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		(void)client_says(c, true, "one way", true);
		assert_string_equal(wt_log_take(), "stream uni|data one way end|closed uni 0|");
	}
}

/* … and however it ends: given up by its peer, as it wishes or as it was told. */
static void test_streams_that_are_given_up_come_back(void **state)
{
	struct quic_client *c = connected();

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		int64_t id = client_says(c, true, "one", false);

		if (i % 2 == 0)
			quic_client_reset(c, id, 77);
		else
			assert_int_equal(tako_wt_stop(wt_log.streams[0], 77), 0);
		settle();
		assert_string_equal(wt_log_take(),
		                    i % 2 == 0
		                            ? "stream uni|data one|reset uni 77|closed uni -4 77|"
		                            : "stream uni|data one|closed uni -4 77|");
	}
}

/* An end is one, even if it is said in two ways. */
static void test_an_end_makes_room_for_one(void **state)
{
	/* STREAM 2 with FIN, STREAM 6, and both of them given up once more. */
	static const char twice[] =
		"\x0b\x02\x01x\x0a\x06\x01x\x04\x02\x40\x4d\x01\x04\x06\x40\x4d\x01";
	struct quic_client *c = connected();
	int64_t id, last = 0;

	(void)state;
	quic_client_inject(c, twice, sizeof twice - 1);
	settle();
	assert_string_equal(wt_log_take(), "stream uni|data x end|closed uni 0|stream uni|data x|"
	                                   "reset uni 77|closed uni -4 77|");
	while ((id = quic_client_open(c, true)) >= 0)
		last = id;
	/* Of eight two are over. */
	assert_int_equal(last / 4 + 1, 10);
}

static void test_datagrams(void **state)
{
	struct quic_client *c = connected();

	(void)state;
	wt_log.echo = true;
	quic_client_datagram(c, "ping", 4);
	settle();
	assert_string_equal(wt_log_take(), "datagram ping|");
	assert_int_equal(c->datagram_count, 1);
	assert_int_equal(c->datagram_n[0], 4);
	assert_memory_equal(c->datagrams[0], "ping", 4);
	assert_true(tako_wt_datagram_max(wt_log.wt) > 1000);
}

/* RFC 9221 section 4: it may be empty. */
static void test_an_empty_datagram(void **state)
{
	struct quic_client *c = connected();

	(void)state;
	wt_log.echo = true;
	quic_client_datagram(c, "", 0);
	settle();
	assert_string_equal(wt_log_take(), "datagram |");
	assert_int_equal(c->datagram_count, 1);
	assert_int_equal(c->datagram_n[0], 0);
}

static void test_conn_info(void **state)
{
	tako_conn_info info = {.size = sizeof info};

	(void)state;
	(void)connected();
	assert_int_equal(tako_wt_conn_info(wt_log.wt, &info), 0);
	assert_string_equal(info.transport, "raw/1");
	assert_non_null(info.peer);
}

/* As QUIC has them: 62 bits, nothing in between. */
static void test_codes(void **state)
{
	const uint64_t max = (UINT64_C(1) << 62) - 1;
	struct quic_client *c = connected();
	int64_t id = client_says(c, false, "hi", false);

	(void)state;
	(void)wt_log_take();
	assert_int_equal(tako_wt_reset(wt_log.streams[0], max + 1), TAKO_EINVAL);
	assert_int_equal(tako_wt_reset(wt_log.streams[0], max), 0);
	settle();
	assert_true(quic_client_stream(c, id)->reset &&
	            quic_client_stream(c, id)->reset_code == max);
	quic_client_reset(c, id, 77);
	settle();
	assert_string_equal(wt_log_take(), "reset bidi 77|closed bidi -4 77|");
	/* Who does not read is noticed when he is spoken to. */
	id = client_says(c, false, "hi", false);
	quic_client_stop(c, id, 78);
	settle();
	(void)wt_log_take();
	(void)tako_wt_send(wt_log.streams[0], TAKO_STR("x"), false);
	quic_client_send(c, id, "", 0, true);
	settle();
	assert_string_equal(wt_log_take(), "data  end|stop bidi|closed bidi -4 78|");
}

/* ---- Ends ---------------------------------------------------------------------------------------- */

static void test_the_peer_closes(void **state)
{
	struct quic_client *c = connected();

	(void)state;
	(void)client_says(c, false, "hi", false);
	(void)wt_log_take();
	quic_client_close(c, 4711);
	settle();
	assert_string_equal(wt_log_take(), "closed bidi -4|over 0 4711 |");
}

static void test_we_close(void **state)
{
	char reason[129];
	struct quic_client *c = connected();

	(void)state;
	(void)client_says(c, false, "hi", false);
	(void)wt_log_take();
	memset(reason, 'r', sizeof reason);
	assert_int_equal(tako_wt_close(wt_log.wt, 1, (tako_str){reason, sizeof reason}),
	                 TAKO_EINVAL);
	assert_int_equal(tako_wt_close(wt_log.wt, UINT64_C(1) << 62, TAKO_STR("")), TAKO_EINVAL);
	assert_int_equal(tako_wt_close(wt_log.wt, UINT64_C(1) << 40, TAKO_STR("enough")), 0);
	assert_string_equal(wt_log.text, "");
	assert_true(quic_rig_closed(c));
	assert_true(c->end.error_code == UINT64_C(1) << 40);
	assert_int_equal(c->end.reasonlen, 6);
	assert_string_equal(wt_log_take(), "closed bidi -4|over 0 1099511627776 enough|");
}

static void test_close_in_a_callback(void **state)
{
	struct quic_client *c = connected();

	(void)state;
	wt_log.close_on_data = true;
	(void)client_says(c, false, "hi", false);
	assert_string_equal(wt_log_take(),
	                    "stream bidi|data hi|closed bidi -4|over 0 7 from a callback|");
	assert_true(c->closed && c->end.error_code == 7);
}

static void test_time(void **state)
{
	struct quic_client *c;

	(void)state;
	config.idle_timeout_ms = 500;
	c = connected();
	(void)client_says(c, false, "hi", false);
	assert_true(quic_rig_closed(c));
	assert_true(c->end.error_code == 0);
	assert_string_equal(wt_log_take(), "stream bidi|data hi|closed bidi -4|over -5 0 idle|");
}

static void test_the_server_stops(void **state)
{
	struct quic_client *c;

	(void)state;
	config.drain_timeout_ms = 300;
	c = connected();
	(void)client_says(c, false, "hi", false);
	tako_server_stop(quic_rig.srv);
	settle();
	assert_string_equal(wt_log_take(), "stream bidi|data hi|drain|");
	assert_false(c->closed);
	assert_true(quic_rig_closed(c));
	assert_string_equal(wt_log_take(), "closed bidi -4|over 0 0 the server stops|");
}

/* ---- Limits ---------------------------------------------------------------------------------------- */

static void test_too_many_streams(void **state)
{
	struct quic_client *c;
	int64_t id;

	(void)state;
	config.max_stream_count = 2;
	c = connected();
	(void)client_says(c, false, "1", false);
	(void)client_says(c, false, "2", false);
	id = client_says(c, false, "3", false);
	assert_string_equal(wt_log_take(), "stream bidi|data 1|stream bidi|data 2|");
	assert_true(quic_client_stream(c, id)->reset);
	assert_false(c->closed);
}

static void test_nobody_wants_streams(void **state)
{
	struct quic_client *c;

	(void)state;
	config.on_stream = NULL;
	c = connected();
	assert_true(quic_client_stream(c, client_says(c, false, "1", false))->reset);
	(void)client_says(c, true, "2", false);
	assert_string_equal(wt_log_take(), "");
	assert_false(c->closed);
}

static void test_we_may_open_so_many(void **state)
{
	static const struct quic_client_config few = {.alpn = "raw/1", .streams = 1};
	struct quic_client *c;
	tako_wt_stream *first, *s;

	(void)state;
	assert_int_equal(listen_raw("raw/1", &config), 0);
	c = quic_rig_client(&few);
	assert_true(quic_rig_connect(c));
	settle();
	assert_int_equal(tako_wt_open(wt_log.wt, true, &first), 0);
	assert_int_equal(tako_wt_open(wt_log.wt, true, &s), TAKO_EBUSY);
	wt_log.streams_opened++;
	assert_int_equal(tako_wt_send(first, TAKO_STR("x"), true), 1);
	settle();
	assert_string_equal(wt_log_take(), "open|closed our uni 0|");
}

static void test_back_pressure(void **state)
{
	enum { BYTES = 3 << 20 };
	struct quic_client *c = connected();
	char *p = malloc(BYTES);
	int64_t id = quic_client_open(c, false);

	(void)state;
	for (size_t i = 0; i < BYTES; i++)
		p[i] = (char)(i * 7 + i / 251);
	wt_log.pause = wt_log.quiet = true;
	quic_client_send(c, id, p, BYTES, true);
	quic_rig_pass(2 * QUIC_RIG_SECOND);
	assert_int_equal(wt_log.bytes, 0);
	/* As much as the stream's window is, and no more. */
	assert_int_equal(quic_client_stream(c, id)->acked, 256 << 10);
	tako_wt_resume(wt_log.streams[0]);
	quic_rig_pass(10 * QUIC_RIG_SECOND);
	assert_int_equal(wt_log.bytes, BYTES);
	assert_string_equal(wt_log_take(), "stream bidi|data  end|");
	free(p);
}

static void test_a_bad_network(void **state)
{
	enum { BYTES = 200000 };
	char *p = malloc(BYTES);

	(void)state;
	for (size_t i = 0; i < BYTES; i++)
		p[i] = (char)(i * 5 + i / 253);
	for (unsigned seed = 1; seed <= 5; seed++) {
		struct quic_client *c = connected();
		int64_t id;

		quic_net.seed = seed;
		quic_net.loss = 50;
		quic_net.twice = 30;
		quic_net.corrupt = 10;
		quic_net.jitter_ns = 5 * QUIC_RIG_MS;
		wt_log.echo = wt_log.quiet = true;
		id = quic_client_open(c, false);
		quic_client_send(c, id, p, BYTES, true);
		assert_true(quic_rig_received(c, id));
		assert_int_equal(quic_client_stream(c, id)->in_n, BYTES);
		assert_memory_equal(quic_client_stream(c, id)->in, p, BYTES);
		assert_int_equal(tear_down(NULL), 0);
	}
	free(p);
	(void)connected();
}

/* ---- Listeners --------------------------------------------------------------------------------------- */

static void test_refused_settings(void **state)
{
	static const char *const origins[] = {"https://a", NULL};
	const tako_listen_config elsewhere = {.size = sizeof elsewhere, .quic_alpn = "raw/1"};

	(void)state;
	assert_int_equal(listen_raw("raw/1", NULL), TAKO_EINVAL);
	quic_rig_stop();
	assert_int_equal(listen_raw(NULL, &config), TAKO_EINVAL);
	quic_rig_stop();
	assert_int_equal(listen_raw("a,b", &config), TAKO_EINVAL);
	quic_rig_stop();
	assert_int_equal(listen_raw("more than forty-eight bytes are too long for a name", &config),
	                 TAKO_EINVAL);
	quic_rig_stop();
	config.origins = origins;
	assert_int_equal(listen_raw("raw/1", &config), TAKO_EINVAL);
	quic_rig_stop();
	assert_int_equal(quic_rig_start(tako_h3(), NULL, NULL, &elsewhere), TAKO_ENOTSUP);
}

/* RFC 9001 section 8.1. */
static void test_another_protocol(void **state)
{
	static const struct quic_client_config other = {.alpn = "h3"};
	struct quic_client *c;

	(void)state;
	assert_int_equal(listen_raw("raw/1", &config), 0);
	c = quic_rig_client(&other);
	assert_false(quic_rig_connect(c));
	assert_string_equal(wt_log.text, "");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_streams),
		TEST(test_streams_come_back),
		TEST(test_streams_that_are_given_up_come_back),
		TEST(test_an_end_makes_room_for_one),
		TEST(test_datagrams),
		TEST(test_an_empty_datagram),
		TEST(test_conn_info),
		TEST(test_codes),
		TEST(test_the_peer_closes),
		TEST(test_we_close),
		TEST(test_close_in_a_callback),
		TEST(test_time),
		TEST(test_the_server_stops),
		TEST(test_too_many_streams),
		TEST(test_nobody_wants_streams),
		TEST(test_we_may_open_so_many),
		TEST(test_back_pressure),
		TEST(test_a_bad_network),
		TEST(test_refused_settings),
		TEST(test_another_protocol),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

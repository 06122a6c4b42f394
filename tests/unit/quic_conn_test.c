/* SPDX-License-Identifier: MIT
 *
 * What the server's config becomes in a connection: what a client is told, and how the window moves.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/base.h"
#include "unit/failalloc.h"
#include "unit/quic_echo.h"
#include "unit/quic_rig.h"

static struct quic_client *connect_with(const tako_server_config *cfg)
{
	struct quic_client *c;

	memset(&quic_echo, 0, sizeof quic_echo);
	assert_int_equal(quic_rig_start(quic_echo_transport(), NULL, cfg, NULL), 0);
	c = quic_rig_client(NULL);
	assert_true(quic_rig_connect(c));
	return c;
}

static int tear_down(void **state)
{
	(void)state;
	if (quic_rig.srv)
		quic_rig_stop();
	return failalloc_live() || failalloc_wrong();
}

/* ---- Transport parameters (RFC 9000 section 18.2) --------------------------------------------- */

static void test_what_a_client_is_told(void **state)
{
	const struct row {
		tako_server_config cfg;
		uint64_t bidi;
		uint64_t uni;
		uint64_t stream;
		uint64_t all;
		uint64_t idle_ms;
		bool datagrams;
	} rows[] = {
		{{.h3_datagrams = 0}, 100, 8, 256 << 10, 1 << 20, 30000, false},
		{{.h3_max_bidi_streams = 7,
	          .h3_max_uni_streams = 5,
	          .h3_stream_window_bytes = 33333,
	          .h3_connection_window_bytes = 444444,
	          .h3_idle_timeout_ms = 7777,
	          .h3_datagrams = 1},
	         7,
	         5,
	         33333,
	         444444,
	         7777,
	         true},
		{{.h3_idle_timeout_ms = TAKO_OFF}, 100, 8, 256 << 10, 1 << 20, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		const struct row *r = &rows[i];
		tako_server_config cfg = r->cfg;
		const ngtcp2_transport_params *p;

		cfg.size = sizeof cfg;
		p = ngtcp2_conn_get_remote_transport_params(connect_with(&cfg)->conn);
		assert_int_equal(p->initial_max_streams_bidi, r->bidi);
		assert_int_equal(p->initial_max_streams_uni, r->uni);
		assert_int_equal(p->initial_max_stream_data_bidi_remote, r->stream);
		assert_int_equal(p->initial_max_stream_data_bidi_local, r->stream);
		assert_int_equal(p->initial_max_stream_data_uni, r->stream);
		assert_int_equal(p->initial_max_data, r->all);
		assert_int_equal(p->max_idle_timeout, r->idle_ms * QUIC_RIG_MS);
		assert_true((p->max_datagram_frame_size > 0) == r->datagrams);
		quic_rig_stop();
	}
}

/* ---- Congestion (RFC 9002 section 7) -------------------------------------------------------- */

static unsigned to_lose;

static bool lose(struct quic_net_packet *k, void *arg)
{
	(void)arg;
	if (!to_lose || k->from.sin_port != quic_net_server.sin_port || k->n < 1000)
		return true;
	to_lose--;
	return false;
}

static uint64_t window(void)
{
	struct tako__quic_figures f;

	tako__quic_figures(quic_echo.last, &f);
	return f.window_bytes;
}

/* The window when it has shrunk, by one packet of the server's that was lost half-way. */
static uint64_t window_after_loss(uint32_t which)
{
	tako_server_config cfg = {.size = sizeof cfg, .h3_congestion = which};
	static const char bytes[1000000];
	struct quic_client *c = connect_with(&cfg);
	int64_t id = quic_client_open(c, false);
	struct quic_client_stream *s;
	uint64_t before = 0;

	quic_net.look = lose;
	quic_client_send(c, id, bytes, sizeof bytes, true);
	s = quic_client_stream(c, id);
	while (s->in_n < sizeof bytes / 2)
		quic_rig_step();
	to_lose = 1;
	while (window() >= before && !s->in_fin) {
		before = window();
		quic_rig_step();
	}
	assert_false(s->in_fin);
	assert_int_equal(to_lose, 0);
	before = window();
	quic_rig_stop();
	return before;
}

static void assert_differs(uint64_t a, uint64_t b)
{
	if (a * 10 < b * 11 && b * 10 < a * 11)
		fail_msg("%llu is about %llu", (unsigned long long)a, (unsigned long long)b);
}

/* From the same window half is left (RFC 9002 section 7.3.2), or seven tenths (RFC 8312 section 4.5), or
 * what a model says. */
static void test_congestion(void **state)
{
	uint64_t reno = window_after_loss(TAKO_H3_RENO);
	uint64_t cubic = window_after_loss(TAKO_H3_CUBIC);
	uint64_t bbr = window_after_loss(TAKO_H3_BBR);

	(void)state;
	assert_in_range(cubic * 100 / reno, 136, 144);
	assert_differs(bbr, reno);
	assert_differs(bbr, cubic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_what_a_client_is_told, tear_down),
		cmocka_unit_test_teardown(test_congestion, tear_down),
	};

	return failalloc_install() || cmocka_run_group_tests(tests, NULL, NULL);
}

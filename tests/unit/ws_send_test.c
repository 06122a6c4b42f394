/* SPDX-License-Identifier: MIT
 *
 * What goes out: frames to the byte, what may not be sent now, how much waits and who is told, messages
 * that many share, and peers that take nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "transports/ws/ws_int.h"
#include "transports/ws/ws_msg.h"
#include "unit/failalloc.h"
#include "unit/ws_rig.h"

/* More than two kernels' buffers hold, for a peer that reads nothing. */
enum { TOO_MUCH = 24 << 20, LIMIT = 1000, HALF = 600 };

static char text[128 << 10];

static int set_up(void **state)
{
	(void)state;
	ws_rig_config();
	memset(text, 'x', sizeof text);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return ws_rig_stop() < 0 || failalloc_live() || failalloc_wrong();
}

static void open_one(const tako_server_config *cfg)
{
	assert_int_equal(ws_rig_start(cfg), 0);
	assert_true(ws_rig_shake(""));
	assert_string_equal(ws_rig_told(), "open");
}

static int64_t send_some(size_t n)
{
	return tako_ws_send(ws_rig.ws, TAKO_WS_TEXT, (tako_str){text, n});
}

static void *open_message(size_t n)
{
	static char big[TOO_MUCH];

	return tako_ws_msg_new(TAKO_WS_BINARY, (tako_str){big, n});
}

/* ---- Frames ------------------------------------------------------------------------------ */

static void each_length_has_its_head(void **state)
{
	const struct {
		size_t n;
		const char *head;
		size_t head_n;
	} cases[] = {
		{0, "\x81\x00", 2},
		{1, "\x81\x01", 2},
		{125, "\x81\x7d", 2},
		{126, "\x81\x7e\x00\x7e", 4},
		{65535, "\x81\x7e\xff\xff", 4},
		{65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10},
	};

	(void)state;
	open_one(NULL);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(send_some(cases[i].n), cases[i].head_n + cases[i].n);
		assert_true(ws_rig_hears(cases[i].head, cases[i].head_n));
		assert_true(ws_rig_hears(text, cases[i].n));
		assert_int_equal(tako_ws_unsent(ws_rig.ws), 0);
	}
	assert_true(tako_ws_send(ws_rig.ws, TAKO_WS_BINARY, TAKO_STR("b")) > 0);
	assert_true(tako_ws_ping(ws_rig.ws, TAKO_STR("?")) > 0);
	assert_true(ws_rig_hears("\x82\x01"
	                         "b\x89\x01?",
	                         6));
}

static void parts_are_one_message(void **state)
{
	tako_ws *ws;

	(void)state;
	open_one(NULL);
	ws = ws_rig.ws;
	assert_true(tako_ws_send_part(ws, TAKO_WS_BINARY, TAKO_STR("a"), TAKO_WS_FIRST) > 0);
	/* Only control frames may come between (RFC 6455 section 5.4). */
	assert_int_equal(send_some(1), TAKO_ESTATE);
	assert_int_equal(tako_ws_send_part(ws, TAKO_WS_TEXT, TAKO_STR("x"), TAKO_WS_FIRST),
	                 TAKO_ESTATE);
	assert_true(tako_ws_ping(ws, TAKO_STR("")) > 0);
	assert_true(tako_ws_send_part(ws, 0, TAKO_STR("bc"), 0) > 0);
	assert_true(tako_ws_send_part(ws, 0, TAKO_STR(""), TAKO_WS_FIN) > 0);
	assert_int_equal(tako_ws_send_part(ws, 0, TAKO_STR("x"), TAKO_WS_FIN), TAKO_ESTATE);
	assert_true(tako_ws_send_part(ws, TAKO_WS_TEXT, TAKO_STR("d"),
	                              TAKO_WS_FIRST | TAKO_WS_FIN) > 0);
	assert_true(ws_rig_hears("\x02\x01"
	                         "a\x89\x00\x00\x02"
	                         "bc\x80\x00\x81\x01"
	                         "d",
	                         14));
}

static void what_cannot_be_sent(void **state)
{
	tako_ws *ws;

	(void)state;
	open_one(NULL);
	ws = ws_rig.ws;
	assert_int_equal(tako_ws_send(ws, 0, TAKO_STR("x")), TAKO_EINVAL);
	assert_int_equal(tako_ws_send(ws, 8, TAKO_STR("x")), TAKO_EINVAL);
	assert_int_equal(tako_ws_send_part(ws, 9, TAKO_STR("x"), TAKO_WS_FIRST), TAKO_EINVAL);
	assert_int_equal(tako_ws_ping(ws, (tako_str){text, 126}), TAKO_EINVAL);
	assert_int_equal(tako_ws_close(ws, 1000, TAKO_STR("")), 0);
	assert_int_equal(send_some(1), TAKO_ESTATE);
	assert_int_equal(tako_ws_ping(ws, TAKO_STR("")), TAKO_ESTATE);
	assert_int_equal(tako_ws_send_part(ws, 1, TAKO_STR("x"), TAKO_WS_FIRST), TAKO_ESTATE);
	/* Of all that only the close is on the wire. */
	assert_true(ws_rig_hears("\x88\x02\x03\xe8", 4));
	assert_int_equal(ws_rig.peer.n, 0);
}

/* ---- How much waits ------------------------------------------------------------------------ */

static void high_water_is_told_once_until_it_fell(void **state)
{
	(void)state;
	ws_rig.cfg.high_water_bytes = LIMIT;
	open_one(NULL);
	for (int i = 0; i < 2; i++) {
		assert_true(send_some(HALF) > 0);
		assert_string_equal(ws_rig_told(), "");
		assert_true(send_some(HALF) > LIMIT);
		assert_true(send_some(HALF) > LIMIT);
		assert_string_equal(ws_rig_told(), "high");
		ws_rig_turns();
		assert_string_equal(ws_rig_told(), "drain");
	}
}

static int decision;
static uint64_t asked_about;

static int on_slow(tako_ws *ws, uint64_t unsent_bytes, void *arg)
{
	(void)ws, (void)arg;
	asked_about = unsent_bytes;
	return decision;
}

static void fill(void)
{
	assert_true(send_some(HALF) > 0);
	assert_true(send_some(HALF) >= LIMIT);
}

static void slow_ones_miss_messages(void **state)
{
	(void)state;
	ws_rig.cfg.max_unsent_bytes = LIMIT;
	ws_rig.cfg.slow = TAKO_WS_SLOW_DROP;
	open_one(NULL);
	fill();
	assert_int_equal(send_some(1), TAKO_EBUSY);
	assert_int_equal(tako_ws_ping(ws_rig.ws, TAKO_STR("")), TAKO_EBUSY);
	assert_true(ws_rig_wait((size_t)2 * (HALF + 4)));
	assert_int_equal(ws_rig.peer.n, 2 * (HALF + 4));
	assert_int_equal(send_some(1), 3);
	/* Half a message cannot be dropped. */
	fill();
	assert_int_equal(tako_ws_send_part(ws_rig.ws, 1, TAKO_STR("x"), TAKO_WS_FIRST),
	                 TAKO_ECLOSED);
	assert_true(ws_rig_closed(1));
	assert_string_equal(ws_rig_told(), "close(1008)");
}

static void slow_ones_are_cut(void **state)
{
	(void)state;
	ws_rig.cfg.max_unsent_bytes = LIMIT;
	open_one(NULL);
	fill();
	assert_int_equal(send_some(1), TAKO_ECLOSED);
	/* on_close never runs inside a call. */
	assert_string_equal(ws_rig_told(), "");
	assert_int_equal(send_some(1), TAKO_ECLOSED);
	assert_int_equal(tako_ws_close(ws_rig.ws, 1000, TAKO_STR("")), TAKO_ECLOSED);
	assert_true(ws_rig_closed(1));
	assert_string_equal(ws_rig_told(), "close(1008)");
}

static void on_slow_decides(void **state)
{
	(void)state;
	ws_rig.cfg.max_unsent_bytes = LIMIT;
	ws_rig.cfg.on_slow = on_slow;
	open_one(NULL);
	fill();
	decision = TAKO_WS_SLOW_DROP;
	assert_int_equal(send_some(1), TAKO_EBUSY);
	assert_int_equal(asked_about, 2 * (HALF + 4));
	decision = TAKO_WS_SLOW_CLOSE;
	assert_int_equal(send_some(1), TAKO_ECLOSED);
	assert_true(ws_rig_closed(1));
}

/* ---- For many --------------------------------------------------------------------------------- */

static void a_shared_message_is_given_back(void **state)
{
	tako_ws_msg *m = tako_ws_msg_new(TAKO_WS_TEXT, TAKO_STR("all"));

	(void)state;
	open_one(NULL);
	assert_true(tako_ws_send_msg(ws_rig.ws, m) > 0);
	assert_true(send_some(1) > 0);
	assert_true(tako_ws_send_msg(ws_rig.ws, m) > 0);
	assert_int_equal(atomic_load(&m->refs), 3);
	assert_true(ws_rig_hears("\x81\x03"
	                         "all\x81\x01x\x81\x03"
	                         "all",
	                         13));
	assert_int_equal(atomic_load(&m->refs), 1);
	/* Lost with its connection. */
	assert_true(tako_ws_send_msg(ws_rig.ws, m) > 0);
	tako__ws_cut(ws_rig.ws, 1006, TAKO_ECLOSED);
	assert_int_equal(tako_ws_send_msg(ws_rig.ws, m), TAKO_ECLOSED);
	assert_true(ws_rig_closed(1));
	(void)ws_rig_stop();
	assert_int_equal(atomic_load(&m->refs), 1);
	tako_ws_msg_free(m);
}

/* The last that is sent, lent, to one that reads nothing, with no pings to look after it. */
static void who_takes_nothing_of_it_is_noticed(void **state)
{
	const tako_server_config cfg = {
		.size = sizeof cfg, .worker_count = 1, .write_timeout_ms = 100};
	tako_ws_msg *m = open_message(TOO_MUCH);

	(void)state;
	ws_rig.cfg.max_unsent_bytes = TAKO_OFF64;
	open_one(&cfg);
	assert_non_null(m);
	assert_true(tako_ws_send_msg(ws_rig.ws, m) > 0);
	tako_ws_msg_free(m);
	assert_true(ws_rig_closed(1));
	assert_string_equal(ws_rig_told(), "high close(1006)");
}

/* ---- Without memory ------------------------------------------------------------------------------ */

static void without_memory_it_is_cut(void **state)
{
	size_t nth = 1;
	size_t failed;

	(void)state;
	for (failed = 1; failed; nth++) {
		tako_ws_msg *m = open_message(10);
		int64_t rc;

		open_one(NULL);
		assert_non_null(m);
		failalloc_arm(nth);
		rc = send_some(100000);
		if (rc > 0)
			rc = tako_ws_send_msg(ws_rig.ws, m);
		failed = failalloc_disarm();
		assert_int_equal(rc < 0 ? rc : 1, failed ? TAKO_ENOMEM : 1);
		(void)ws_rig_stop();
		assert_int_equal(ws_rig.closes, 1);
		tako_ws_msg_free(m);
		assert_int_equal(failalloc_live() + failalloc_wrong(), 0);
	}
	assert_true(nth > 5);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(each_length_has_its_head),
		WITH(parts_are_one_message),
		WITH(what_cannot_be_sent),
		WITH(high_water_is_told_once_until_it_fell),
		WITH(slow_ones_miss_messages),
		WITH(slow_ones_are_cut),
		WITH(on_slow_decides),
		WITH(a_shared_message_is_given_back),
		WITH(who_takes_nothing_of_it_is_noticed),
		WITH(without_memory_it_is_cut),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * What a WebSocket waits for.  Nobody sleeps here: time passes by moving back what the WebSocket has noted,
 * and the timer is then rung by hand.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/worker.h"
#include "transports/ws/ws_int.h"
#include "unit/failalloc.h"
#include "unit/ws_rig.h"

static int set_up(void **state)
{
	(void)state;
	ws_rig_config();
	ws_rig.cfg.ping_interval_ms = 0; /* the default: 30 s, and 10 s for the pong */
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return ws_rig_stop() < 0 || failalloc_live() || failalloc_wrong();
}

static void open_one(void)
{
	assert_int_equal(ws_rig_start(NULL), 0);
	assert_true(ws_rig_shake(""));
	assert_string_equal(ws_rig_told(), "open");
}

static void shift(uint64_t *at_ns, uint64_t ms)
{
	if (*at_ns)
		*at_ns -= ms * 1000000;
}

/* So much time passes, and the timer looks. */
static void pass(uint64_t ms)
{
	tako_ws *ws = ws_rig.ws;

	shift(&ws->heard_ns, ms);
	shift(&ws->spoke_ns, ms);
	shift(&ws->since_ns, ms);
	shift(&ws->ping_ns, ms);
	tako__timer_clear(&ws->local->worker->wheel, &ws->timer);
	ws->timer.fn(&ws->timer, ws->local->worker->loop->now_ns);
}

/* In how long the timer will look; a turn of a second is not noticed. */
static uint64_t looks_in_s(void)
{
	uint64_t now = ws_rig.ws->local->worker->loop->now_ns;
	uint64_t at = ws_rig.ws->timer.deadline_ns;

	return at == TAKO__NEVER ? UINT64_MAX : (at - now + 999999999) / 1000000000;
}

static void a_silent_one_is_pinged_then_given_up(void **state)
{
	(void)state;
	open_one();
	assert_in_range(looks_in_s(), 29, 30);
	pass(29000);
	assert_int_equal(ws_rig.ws->ping_ns, 0);
	assert_in_range(looks_in_s(), 0, 1);
	pass(1000);
	assert_true(ws_rig_hears("\x89\x00", 2));
	assert_in_range(looks_in_s(), 9, 10);
	pass(9000);
	assert_non_null(ws_rig.ws);
	pass(1001);
	assert_string_equal(ws_rig_told(), "close(1006)");
}

static void a_pong_begins_anew(void **state)
{
	(void)state;
	open_one();
	pass(30000);
	assert_true(ws_rig_hears("\x89\x00", 2));
	ws_rig_say(0x8a, "");
	assert_string_equal(ws_rig_told(), "pong()");
	assert_int_equal(ws_rig.ws->ping_ns, 0);
	assert_in_range(looks_in_s(), 0, 30);
	pass(29000);
	assert_int_equal(ws_rig.ws->ping_ns, 0);
	pass(1001);
	assert_true(ws_rig_hears("\x89\x00", 2));
}

/* Whatever comes is a sign of life, also without a pong. */
static void anything_is_an_answer(void **state)
{
	char half[2] = {(char)0x81, (char)0xfe};

	(void)state;
	open_one();
	pass(30000);
	assert_true(ws_rig_hears("\x89\x00", 2));
	stepped_turn(&ws_rig.server, 2);
	ws_rig_feed(half, 2, 1);
	pass(9999);
	pass(10000);
	assert_non_null(ws_rig.ws);
	assert_int_equal(ws_rig.ws->ping_ns, 0);
}

/* One that is busy taking what waits for it has not got round to the ping. */
static void bytes_on_their_way_excuse_it(void **state)
{
	static char much[1 << 20];

	(void)state;
	ws_rig.cfg.max_unsent_bytes = TAKO_OFF64;
	open_one();
	pass(30000);
	for (int i = 0; i < 16; i++)
		assert_true(tako_ws_send(ws_rig.ws, TAKO_WS_BINARY, (tako_str){much, sizeof much}) >
		            0);
	ws_rig_turns();
	assert_true(tako_ws_unsent(ws_rig.ws) > 0);
	pass(10001);
	pass(10001);
	assert_non_null(ws_rig.ws);
}

static void off_is_never(void **state)
{
	(void)state;
	ws_rig.cfg.ping_interval_ms = TAKO_OFF;
	open_one();
	assert_int_equal(looks_in_s(), UINT64_MAX);
	pass(1000000);
	assert_non_null(ws_rig.ws);
	assert_int_equal(looks_in_s(), UINT64_MAX);
}

static void without_messages_it_is_idle(void **state)
{
	(void)state;
	ws_rig.cfg.idle_timeout_ms = 20000;
	open_one();
	assert_in_range(looks_in_s(), 19, 20);
	pass(15000);
	ws_rig_say(0x81, "not idle");
	pass(15000);
	assert_non_null(ws_rig.ws);
	assert_true(tako_ws_is_open(ws_rig.ws));
	/* A ping is no message. */
	ws_rig_say(0x89, "");
	pass(5001);
	assert_false(tako_ws_is_open(ws_rig.ws));
	assert_true(ws_rig_hears("\x8a\x00\x88\x06\x03\xe9"
	                         "idle",
	                         10));
	ws_rig_say(0x88, "");
	assert_string_equal(ws_rig_told(), "text(not idle) ping() close(1001,idle)");
}

static void its_life_is_bounded(void **state)
{
	(void)state;
	ws_rig.cfg.max_lifetime_ms = 60000;
	open_one();
	for (int i = 0; i < 5; i++) {
		pass(10000);
		ws_rig_say(0x81, "busy");
	}
	assert_true(tako_ws_is_open(ws_rig.ws));
	pass(10001);
	assert_true(ws_rig_hears("\x88\x0a\x03\xe9"
	                         "lifetime",
	                         12));
}

static void our_close_is_waited_for(void **state)
{
	(void)state;
	open_one();
	assert_int_equal(tako_ws_close(ws_rig.ws, 1000, TAKO_STR("")), 0);
	assert_in_range(looks_in_s(), 4, 5);
	/* What still comes puts nothing off. */
	pass(4000);
	ws_rig_say(0x81, "late");
	pass(1001);
	assert_string_equal(ws_rig_told(), "close(1006)");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_silent_one_is_pinged_then_given_up),
		WITH(a_pong_begins_anew),
		WITH(anything_is_an_answer),
		WITH(bytes_on_their_way_excuse_it),
		WITH(off_is_never),
		WITH(without_messages_it_is_idle),
		WITH(its_life_is_bounded),
		WITH(our_close_is_waited_for),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

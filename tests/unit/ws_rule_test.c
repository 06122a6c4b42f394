/* SPDX-License-Identifier: MIT
 *
 * Frames whose place among others decides: what may follow what, pings and their answers, closes with
 * each kind of code; and wslay's states, which are lent only while there is something to remember.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "transports/ws/ws_int.h"
#include "unit/failalloc.h"
#include "unit/ws_rig.h"

enum { PING = 0x89, PONG = 0x8a, CLOSE = 0x88 };

static int set_up(void **state)
{
	(void)state;
	ws_rig_config();
	return ws_rig_start(NULL);
}

static int tear_down(void **state)
{
	(void)state;
	return ws_rig_stop() < 0 || failalloc_live() || failalloc_wrong();
}

static void open_one(void)
{
	assert_true(ws_rig_shake(""));
	assert_string_equal(ws_rig_told(), "open");
}

static void say(unsigned first, const void *p, size_t n)
{
	char bytes[125 + WS_RIG_FRAME_MORE];

	ws_rig_feed(bytes, ws_rig_frame(bytes, first, p, n), SIZE_MAX);
}

/* ---- Order -------------------------------------------------------------------------------- */

static void what_may_not_follow(void **state)
{
	/* First bytes, and the one of them that is wrong. */
	const struct {
		const unsigned char first[4];
		unsigned wrong;
	} cases[] = {
		{{0x80}, 0}, /* goes on with nothing */
		{{0x00}, 0},
		{{0x81, 0x80}, 1}, /* … after a message */
		{{0x01, 0x01}, 1}, /* another message inside one */
		{{0x01, 0x00, 0x82}, 2},
		{{0x02, 0x80, 0x80}, 2},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		open_one();
		for (unsigned k = 0; k < cases[i].wrong; k++)
			say(cases[i].first[k], "a", 1);
		assert_non_null(ws_rig.ws);
		(void)ws_rig_told();
		say(cases[i].first[cases[i].wrong], "a", 1);
		assert_string_equal(ws_rig_told(), "close(1002)");
		assert_true(ws_rig_hears("\x88\x02\x03\xea", 4));
		peer_close(&ws_rig.peer);
	}
}

/* ---- Pings ---------------------------------------------------------------------------------- */

static void each_ping_is_answered_as_it_was(void **state)
{
	static const size_t sizes[] = {0, 1, 124, 125};
	char payload[125];

	(void)state;
	open_one();
	memset(payload, 'p', sizeof payload);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		char bytes[125 + WS_RIG_FRAME_MORE];
		char want[2 + 125] = {(char)PONG, (char)sizes[i]};
		size_t n = ws_rig_frame(bytes, PING, payload, sizes[i]);

		memcpy(want + 2, payload, sizes[i]);
		/* In pieces it is answered once, when it is whole. */
		ws_rig_feed(bytes, n, i % 2 ? 1 : SIZE_MAX);
		assert_true(ws_rig_hears(want, 2 + sizes[i]));
		assert_int_equal(ws_rig.peer.n, 0);
	}
	assert_string_equal(ws_rig_told(), "ping() ping(p) ping(124 bytes) ping(125 bytes)");
	say(PONG, "unasked", 7);
	assert_string_equal(ws_rig_told(), "pong(unasked)");
	ws_rig_turns();
	peer_read(&ws_rig.peer);
	assert_int_equal(ws_rig.peer.n, 0);
}

/* ---- Closes ----------------------------------------------------------------------------------- */

static void each_close_has_its_code(void **state)
{
	const struct {
		const char *payload;
		size_t n;
		const char *told;
		int answered;
	} cases[] = {
		{"", 0, "close(1005)", 1005},
		{"\x03\xe8", 2, "close(1000)", 1000},
		{"\x03\xe9 bye", 6, "close(1001, bye)", 1001},
		{"\x03\xeb", 2, "close(1003)", 1003},
		{"\x03\xef", 2, "close(1007)", 1007},
		{"\x03\xf3", 2, "close(1011)", 1011},
		/* Registered after the RFC. */
		{"\x03\xf4", 2, "close(1012)", 1012},
		{"\x03\xf6", 2, "close(1014)", 1014},
		{"\x0b\xb8", 2, "close(3000)", 3000},
		{"\x13\x87", 2, "close(4999)", 4999},
		/* None that anybody may send (section 7.4). */
		{"\x03", 1, "close(1002)", 1002},
		{"\x00\x00", 2, "close(1002)", 1002},
		{"\x03\xe7", 2, "close(1002)", 1002},
		{"\x03\xec", 2, "close(1002)", 1002},
		{"\x03\xed", 2, "close(1002)", 1002},
		{"\x03\xee", 2, "close(1002)", 1002},
		{"\x03\xf7", 2, "close(1002)", 1002},
		{"\x07\xd0", 2, "close(1002)", 1002},
		{"\x13\x88", 2, "close(1002)", 1002},
		{"\xff\xff", 2, "close(1002)", 1002},
		/* A reason is text. */
		{"\x03\xe8\xff", 3, "close(1007)", 1007},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int code = cases[i].answered;
		/* A right one is said again, its reason, too. */
		size_t reason_n = code != 1007 && cases[i].n > 2 ? cases[i].n - 2 : 0;
		char answer[16] = {(char)CLOSE, (char)(2 + reason_n), (char)(code >> 8),
		                   (char)code};

		if (reason_n)
			memcpy(answer + 4, cases[i].payload + 2, reason_n);

		open_one();
		say(CLOSE, cases[i].payload, cases[i].n);
		assert_string_equal(ws_rig_told(), cases[i].told);
		if (code == 1005)
			assert_true(ws_rig_hears("\x88\x00", 2));
		else
			assert_true(ws_rig_hears(answer, 4 + reason_n));
		assert_true(peer_closed(&ws_rig.peer, &ws_rig.server, WS_RIG_WAIT_MS));
		assert_int_equal(ws_rig.peer.n, 0);
		peer_close(&ws_rig.peer);
	}
}

static void their_answer_to_our_close(void **state)
{
	(void)state;
	open_one();
	assert_int_equal(tako_ws_close(ws_rig.ws, 3001, TAKO_STR("")), 0);
	say(PING, "not answered any more", 21);
	say(CLOSE, "\x03\xe8", 2);
	/* Ours is the code, and theirs is not answered. */
	assert_string_equal(ws_rig_told(), "close(3001)");
	assert_true(ws_rig_hears("\x88\x02\x0b\xb9", 4));
	assert_true(peer_closed(&ws_rig.peer, &ws_rig.server, WS_RIG_WAIT_MS));
	assert_int_equal(ws_rig.peer.n, 0);
}

/* Of their ping only the first half had come when we closed: nothing of it is taken for their answer. */
static void our_close_amid_their_ping(void **state)
{
	char bytes[16 + WS_RIG_FRAME_MORE];
	size_t n = ws_rig_frame(bytes, PING, "0123456789", 10);

	(void)state;
	open_one();
	ws_rig_feed(bytes, n - 5, SIZE_MAX);
	assert_int_equal(tako_ws_close(ws_rig.ws, 1000, TAKO_STR("")), 0);
	ws_rig_feed(bytes + n - 5, 5, SIZE_MAX);
	say(CLOSE, "\x03\xe8", 2);
	assert_string_equal(ws_rig_told(), "close(1000)");
	assert_true(ws_rig_hears("\x88\x02\x03\xe8", 4));
}

/* ---- States ------------------------------------------------------------------------------------- */

static void states_are_lent_and_given_back(void **state)
{
	struct tako__ws_local *l;

	(void)state;
	open_one();
	l = ws_rig.ws->local;
	assert_int_equal(l->rule_count, 0);
	say(0x81, "whole", 5);
	assert_null(ws_rig.ws->rule);
	say(0x01, "a", 1);
	assert_non_null(ws_rig.ws->rule);
	say(PING, "", 0);
	assert_non_null(ws_rig.ws->rule);
	say(0x80, "b", 1);
	assert_null(ws_rig.ws->rule);
	assert_int_equal(l->rule_count, 1);
	/* The same one serves the next. */
	failalloc_arm(0);
	for (int i = 0; i < 20; i++) {
		say(0x02, "a", 1);
		say(0x80, "b", 1);
		say(PING, "", 0);
	}
	assert_int_equal(failalloc_count(), 0);
	assert_int_equal(l->rule_count, 1);
	/* In the midst of something, or with a close in it, it is of no use for others. */
	say(0x01, "a", 1);
	say(CLOSE, "\x03\xe8", 2);
	assert_int_equal(l->rule_count, 0);
}

static void no_memory_for_a_state(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		open_one();
		failalloc_arm_from(1);
		say(i ? PING : 0x01, "a", 1);
		assert_true(failalloc_disarm() > 0);
		assert_string_equal(ws_rig_told(), "close(1011)");
		peer_close(&ws_rig.peer);
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(what_may_not_follow),       WITH(each_ping_is_answered_as_it_was),
		WITH(each_close_has_its_code),   WITH(their_answer_to_our_close),
		WITH(our_close_amid_their_ping), WITH(states_are_lent_and_given_back),
		WITH(no_memory_for_a_state),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

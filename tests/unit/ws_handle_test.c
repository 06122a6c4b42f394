/* SPDX-License-Identifier: MIT
 *
 * WebSockets from other threads: in order, once, on the loop; NULL when it is closed; a handle keeps what it
 * points at, and not the connection.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/ws_rig.h"

enum { POSTS = 200 };

static tako_ws_handle *handle;
static pthread_t loop_thread;

static int set_up(void **state)
{
	(void)state;
	handle = NULL;
	loop_thread = pthread_self();
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

/* ---- From another thread ----------------------------------------------------------------- */

static unsigned ran;
static unsigned ran_closed;

static void say_number(tako_ws *ws, void *arg)
{
	char digit = (char)('0' + (uintptr_t)arg % 10);

	assert_true(pthread_equal(pthread_self(), loop_thread));
	assert_int_equal((uintptr_t)arg, ran++);
	ran_closed += ws == NULL;
	if (ws)
		assert_true(tako_ws_send(ws, TAKO_WS_TEXT, (tako_str){&digit, 1}) > 0);
}

static void *post_all(void *arg)
{
	for (uintptr_t i = 0; i < POSTS; i++)
		if (tako_ws_post(handle, say_number, (void *)i) < 0)
			return arg;
	tako_ws_release(handle);
	return NULL;
}

static void posts_run_in_order_on_the_loop(void **state)
{
	pthread_t thread;
	void *failed = NULL;

	(void)state;
	open_one();
	ran = ran_closed = 0;
	handle = tako_ws_hold(ws_rig.ws);
	assert_non_null(handle);
	assert_int_equal(pthread_create(&thread, NULL, post_all, &failed), 0);
	assert_true(ws_rig_wait((size_t)POSTS * 3));
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(ran, POSTS);
	assert_int_equal(ran_closed, 0);
	for (unsigned i = 0; i < POSTS; i++) {
		char want[3] = {(char)0x81, 1, (char)('0' + i % 10)};

		assert_memory_equal(ws_rig.peer.data + i * 3, want, 3);
	}
}

static void a_posted_message_keeps_itself(void **state)
{
	tako_ws_msg *m = tako_ws_msg_new(TAKO_WS_TEXT, TAKO_STR("posted"));

	(void)state;
	open_one();
	handle = tako_ws_hold(ws_rig.ws);
	assert_int_equal(tako_ws_post_msg(handle, m), 0);
	tako_ws_msg_free(m);
	tako_ws_release(handle);
	assert_true(ws_rig_hears("\x81\x06posted", 8));
}

/* ---- After the end -------------------------------------------------------------------------- */

static void after_the_end_it_is_nobody(void **state)
{
	tako_ws_msg *m = tako_ws_msg_new(TAKO_WS_TEXT, TAKO_STR("late"));

	(void)state;
	open_one();
	ran = ran_closed = 0;
	handle = tako_ws_hold(ws_rig.ws);
	assert_int_equal(tako_ws_post(handle, say_number, (void *)0), 0);
	ws_rig_say(0x88, "\x03\xe8");
	assert_string_equal(ws_rig_told(), "close(1000)");
	/* The connection does not wait for whoever holds it. */
	assert_true(peer_closed(&ws_rig.peer, &ws_rig.server, WS_RIG_WAIT_MS));
	assert_int_equal(tako_ws_post(handle, say_number, (void *)1), 0);
	assert_int_equal(tako_ws_post_msg(handle, m), 0);
	tako_ws_release(handle);
	for (int i = 0; i < WS_RIG_WAIT_MS && ran < 2; i++)
		stepped_turn(&ws_rig.server, 1);
	assert_int_equal(ran, 2);
	assert_int_equal(ran_closed, 2);
	tako_ws_msg_free(m);
}

static void hold_late(tako_ws *ws, int code, void *arg)
{
	(void)code, (void)arg;
	assert_null(tako_ws_hold(ws));
	ran++;
}

static void an_ended_one_cannot_be_held(void **state)
{
	(void)state;
	ran = 0;
	ws_rig.cfg.on_close = hold_late;
	open_one();
	ws_rig_say(0x88, "");
	ws_rig.ws = NULL;
	assert_int_equal(ran, 1);
	assert_non_null(strstr(tako_last_error(), "closed"));
	tako_ws_release(NULL);
}

/* ---- Without memory -------------------------------------------------------------------------- */

static void what_fails_changes_nothing(void **state)
{
	tako_ws_msg *m = tako_ws_msg_new(TAKO_WS_TEXT, TAKO_STR("x"));
	size_t nth;

	(void)state;
	open_one();
	for (nth = 1; !handle; nth++) {
		failalloc_arm(nth);
		handle = tako_ws_hold(ws_rig.ws);
		assert_int_equal(failalloc_disarm(), handle == NULL);
	}
	assert_true(nth > 2);
	for (nth = 1;; nth++) {
		int rc;

		failalloc_arm(nth);
		rc = tako_ws_post_msg(handle, m);
		if (!failalloc_disarm())
			break;
		assert_int_equal(rc, TAKO_ENOMEM);
	}
	assert_true(nth > 1);
	tako_ws_release(handle);
	tako_ws_msg_free(m);
	/* Of all those only the last was sent. */
	assert_true(ws_rig_hears("\x81\x01x", 3));
	ws_rig_turns();
	peer_read(&ws_rig.peer);
	assert_int_equal(ws_rig.peer.n, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(posts_run_in_order_on_the_loop), WITH(a_posted_message_keeps_itself),
		WITH(after_the_end_it_is_nobody),     WITH(an_ended_one_cannot_be_held),
		WITH(what_fails_changes_nothing),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

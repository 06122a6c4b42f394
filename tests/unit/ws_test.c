/* SPDX-License-Identifier: MIT
 *
 * What WebSockets take of memory: nothing per message, little while idle whoever asked for them, and if
 * there is none, an end that is told once and leaks nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit/failalloc.h"
#include "unit/ws_rig.h"

enum {
	MESSAGES = 500,
	IDLE = 200,
	IDLE_BYTES_MAX = 2048,
	PACKED_BYTES_MAX = 64 << 10, /* with both windows kept; behind what an idle one takes */
	PART_BYTES = 6000,
};

/* What Chromium sends beside what every client does, with a cookie of the usual length. */
static const char browser[] =
	"Pragma: no-cache\r\nCache-Control: no-cache\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	"Chrome/130.0.0.0 Safari/537.36\r\n"
	"Origin: https://chat.example.com\r\n"
	"Accept-Encoding: gzip, deflate, br, zstd\r\n"
	"Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n"
	"Cookie: session=0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978; theme=dark; "
	"_ga=GA1.2.1234567890.1234567890; consent=analytics%3Dno%26ads%3Dno; "
	"csrf=9d8c7b6a5f4e3d2c1b0a\r\n"
	"Sec-WebSocket-Protocol: chat.v2.example.com, chat.v1.example.com\r\n"
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
static const char *const protocols[] = {"chat.v2.example.com", NULL};

static void echo_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)arg;
	(void)tako_ws_send(ws, kind, msg);
}

static int set_up(void **state)
{
	(void)state;
	ws_rig_config();
	ws_rig.cfg.on_message = echo_message;
	ws_rig.cfg.subprotocols = protocols;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return ws_rig_stop() < 0 || failalloc_live() || failalloc_wrong();
}

static void echo(unsigned first, size_t n)
{
	static char text[PART_BYTES];
	static char frame[PART_BYTES + WS_RIG_FRAME_MORE];
	size_t bytes;

	memset(text, 'x', n);
	bytes = ws_rig_frame(frame, first, text, n);
	assert_true(peer_send(&ws_rig.peer, &ws_rig.server, frame, bytes));
	assert_true(ws_rig_wait(bytes - 4));
	assert_int_equal(ws_rig.peer.n, bytes - 4);
	peer_drop(&ws_rig.peer, bytes - 4);
}

static void nothing_is_allocated_per_message(void **state)
{
	(void)state;
	assert_int_equal(ws_rig_start(NULL), 0);
	assert_true(ws_rig_shake(""));
	for (int i = 0; i < 10; i++)
		echo(0x81, PART_BYTES);
	failalloc_arm(0);
	for (int i = 0; i < MESSAGES; i++) {
		echo(0x81, 16);
		echo(0x82, PART_BYTES);
		echo(0x81, 0);
	}
	assert_int_equal(failalloc_count(), 0);
	(void)ws_rig_stop();
	assert_int_equal(ws_rig.closes, 1);
}

/* ---- Idle ------------------------------------------------------------------------------ */

/* A message there and back, so that a compressed one has both its windows. */
static void pack_one(void)
{
	/* "Hello", RFC 7692 section 7.2.3.1. */
	static const unsigned char hello[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
	char frame[sizeof hello + WS_RIG_FRAME_MORE];
	size_t n = ws_rig_frame(frame, 0xc1, hello, sizeof hello);

	assert_true(peer_send(&ws_rig.peer, &ws_rig.server, frame, n));
	assert_true(ws_rig_wait(2));
	assert_int_equal((unsigned char)ws_rig.peer.data[0], 0xc1);
}

/* What each of many takes, once everybody's part is there. */
static size_t bytes_of_an_idle_one(const char *fields, bool packs)
{
	static int fds[IDLE];
	size_t before = 0;
	size_t bytes;

	assert_int_equal(ws_rig_start(NULL), 0);
	for (int i = 0; i < IDLE; i++) {
		assert_true(ws_rig_shake(fields));
		fds[i] = ws_rig.peer.fd;
		if (packs)
			pack_one();
		ws_rig_turns();
		if (i == 0)
			before = failalloc_live_bytes();
	}
	bytes = (failalloc_live_bytes() - before) / (IDLE - 1);
	for (int i = 0; i < IDLE; i++)
		close(fds[i]);
	ws_rig.peer.fd = -1;
	(void)ws_rig_stop();
	assert_int_equal(ws_rig.opens, IDLE);
	assert_int_equal(ws_rig.closes, IDLE);
	return bytes;
}

static void idle_ones_are_small(void **state)
{
	size_t bytes = bytes_of_an_idle_one("", false);

	(void)state;
	print_message("%zu bytes per idle WebSocket\n", bytes);
	assert_in_range(bytes, sizeof(void *), IDLE_BYTES_MAX);
}

static void a_browser_s_are_no_larger(void **state)
{
	size_t bytes = bytes_of_an_idle_one(browser, false);

	(void)state;
	print_message("%zu bytes per idle WebSocket of a browser's\n", bytes);
	assert_in_range(bytes, sizeof(void *), IDLE_BYTES_MAX);
}

static void contexts_are_within_their_bound(void **state)
{
	size_t bytes;

	(void)state;
	ws_rig.cfg.deflate = TAKO_WS_DEFLATE(.threshold_bytes = 1);
	bytes = bytes_of_an_idle_one(browser, true);
	print_message("%zu bytes per idle WebSocket that compresses\n", bytes);
	assert_in_range(bytes, IDLE_BYTES_MAX, PACKED_BYTES_MAX);
}

/* ---- Without memory --------------------------------------------------------------------- */

/* A message in two frames, a ping between them, and a close. */
static void talk(void)
{
	static char text[PART_BYTES];
	static char frames[2 * (PART_BYTES + WS_RIG_FRAME_MORE) + 64];
	struct peer *peer = &ws_rig.peer;
	size_t n = ws_rig_frame(frames, 0x01, text, PART_BYTES);

	n += ws_rig_frame(frames + n, 0x89, text, 3);
	n += ws_rig_frame(frames + n, 0x80, text, PART_BYTES);
	if (!ws_rig_shake(browser) || !peer_send(peer, &ws_rig.server, frames, n))
		return;
	if (!ws_rig_wait(4 + 2 * PART_BYTES + 5))
		return;
	n = ws_rig_frame(frames, 0x88, "", 0);
	if (peer_send(peer, &ws_rig.server, frames, n))
		(void)peer_closed(peer, &ws_rig.server, WS_RIG_WAIT_MS);
}

static void every_allocation_fails(void **state)
{
	(void)state;
	for (size_t nth = 1;; nth++) {
		size_t failed;

		assert_int_equal(ws_rig_start(NULL), 0);
		failalloc_arm(nth);
		talk();
		failed = failalloc_disarm();
		assert_true(ws_rig_stop() >= 0);
		if (ws_rig.opens != ws_rig.closes || failalloc_live() || failalloc_wrong())
			fail_msg("allocation %zu: opened %u, closed %u, %zu left", nth,
			         ws_rig.opens, ws_rig.closes, failalloc_live());
		if (!failed) {
			assert_int_equal(ws_rig.opens, 1);
			assert_true(nth > 5);
			break;
		}
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(nothing_is_allocated_per_message), WITH(idle_ones_are_small),
		WITH(a_browser_s_are_no_larger),        WITH(contexts_are_within_their_bound),
		WITH(every_allocation_fails),
	};
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

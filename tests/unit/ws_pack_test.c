/* SPDX-License-Identifier: MIT
 *
 * Compressed messages on a WebSocket: which are, what becomes of those that come in, whole and in parts, and
 * how they fail.  The compression itself is ws_deflate_test.c's; here zlib is the peer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <zlib.h>

#include "transports/ws/ws_int.h"
#include "transports/ws/ws_pack.h"
#include "unit/failalloc.h"
#include "unit/ws_rig.h"

#define OFFER "Sec-WebSocket-Extensions: permessage-deflate\r\n"

enum { PACKED_TEXT = 0xc1, LIMIT = 50000 };

static tako_ws_deflate deflate_cfg;
static char bytes[70000];

static int set_up(void **state)
{
	(void)state;
	ws_rig_config();
	deflate_cfg = (tako_ws_deflate){.size = sizeof deflate_cfg, .memory_bytes = TAKO_OFF};
	ws_rig.cfg.deflate = &deflate_cfg;
	ws_rig.cfg.max_message_bytes = LIMIT;
	return ws_rig_start(NULL);
}

static int set_up_parts(void **state)
{
	int rc = set_up(state);
	tako_ws_config whole = ws_rig.cfg;

	ws_rig_config_parts();
	ws_rig.cfg.deflate = whole.deflate;
	ws_rig.cfg.max_message_bytes = whole.max_message_bytes;
	return rc;
}

static int tear_down(void **state)
{
	(void)state;
	return ws_rig_stop() < 0 || failalloc_live() || failalloc_wrong();
}

static void open_one(void)
{
	assert_true(ws_rig_shake(OFFER));
	assert_string_equal(ws_rig_told(), "open");
	assert_non_null(ws_rig.ws->deflate);
}

/* As a peer sends it (RFC 7692 section 7.2.1); its length. */
static size_t pack(char *to, size_t room, const char *p, size_t n)
{
	z_stream z = {.next_in = (unsigned char *)(uintptr_t)p, .avail_in = (unsigned)n};
	size_t packed;

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = (unsigned char *)to;
	z.avail_out = (unsigned)room;
	assert_int_equal(deflate(&z, Z_SYNC_FLUSH), Z_OK);
	packed = room - z.avail_out - 4;
	deflateEnd(&z);
	return packed;
}

/* A compressed message in frames of so many bytes. */
static void say_packed(const char *p, size_t n, size_t each)
{
	static char frame[sizeof bytes + WS_RIG_FRAME_MORE];

	for (size_t at = 0; at < n && ws_rig.ws; at += each) {
		size_t some = n - at < each ? n - at : each;
		unsigned first = (at ? 0 : 0x41) | (at + some == n ? 0x80 : 0);

		ws_rig_feed(frame, ws_rig_frame(frame, first, p + at, some), SIZE_MAX);
	}
}

/* ---- Settings ----------------------------------------------------------------------------- */

static void settings_as_the_offer_takes_them(void **state)
{
	const tako_ws_deflate d = {.size = sizeof d,
	                           .memory_bytes = TAKO_OFF,
	                           .level = 3,
	                           .server_window_bits = 12,
	                           .client_window_bits = 11,
	                           .client_no_context = 1};
	struct tako__ws_offer_config c = tako__ws_pack_config(&d);

	(void)state;
	assert_true(c.max_memory_bytes == SIZE_MAX);
	assert_int_equal(c.level, 3);
	assert_int_equal(c.server_bits, 12);
	assert_int_equal(c.client_bits, 11);
	assert_false(c.server_no_context);
	assert_true(c.client_no_context);
}

static void who_does_not_offer_gets_none(void **state)
{
	(void)state;
	assert_true(ws_rig_shake(""));
	assert_null(ws_rig.ws->deflate);
	assert_true(tako_ws_send(ws_rig.ws, TAKO_WS_TEXT, (tako_str){bytes, 1000}) > 1000);
	/* Nor may it send any. */
	(void)ws_rig_told();
	ws_rig_say(PACKED_TEXT, "");
	assert_string_equal(ws_rig_told(), "close(1002)");
}

/* ---- Out -------------------------------------------------------------------------------------- */

static void short_ones_leave_as_they_are(void **state)
{
	(void)state;
	deflate_cfg.threshold_bytes = 10;
	memset(bytes, 'a', 100);
	open_one();
	assert_int_equal(tako_ws_send(ws_rig.ws, TAKO_WS_TEXT, (tako_str){bytes, 9}), 11);
	assert_true(ws_rig_hears("\x81\x09"
	                         "aaaaaaaaa",
	                         11));
	assert_in_range(tako_ws_send(ws_rig.ws, TAKO_WS_TEXT, (tako_str){bytes, 100}), 3, 20);
	assert_true(ws_rig_wait(3));
	assert_int_equal((unsigned char)ws_rig.peer.data[0], PACKED_TEXT);
}

static void off_is_none(void **state)
{
	(void)state;
	deflate_cfg.threshold_bytes = TAKO_OFF;
	open_one();
	assert_int_equal(tako_ws_send(ws_rig.ws, TAKO_WS_BINARY, (tako_str){bytes, 1000}), 1004);
}

/* Noise would grow: sent as it is, unless later ones may refer to it. */
static void what_does_not_shrink(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (char)(seed >> 24);
	}
	for (uint32_t alone = 0; alone < 2; alone++) {
		deflate_cfg.server_no_context = alone;
		open_one();
		assert_true(tako_ws_send(ws_rig.ws, TAKO_WS_BINARY, (tako_str){bytes, 1000}) >
		            1000);
		assert_true(ws_rig_wait(1004));
		assert_int_equal((unsigned char)ws_rig.peer.data[0], alone ? 0x82 : 0xc2);
		peer_close(&ws_rig.peer);
		assert_true(ws_rig_closed(alone + 1));
		(void)ws_rig_told();
	}
}

/* ---- In ------------------------------------------------------------------------------------------ */

static void they_come_whole(void **state)
{
	static char packed[1000];
	static const char text[] = "one two one two one two";
	size_t n = pack(packed, sizeof packed, text, sizeof text - 1);

	(void)state;
	open_one();
	for (size_t each = 1; each <= n; each++) {
		say_packed(packed, n, each);
		assert_string_equal(ws_rig_told(), "text(one two one two one two)");
	}
	say_packed("\0", 1, 1);
	assert_string_equal(ws_rig_told(), "text()");
}

static void they_come_in_parts(void **state)
{
	static char packed[1000];
	size_t n;

	(void)state;
	memset(bytes, 'a', 20000);
	n = pack(packed, sizeof packed, bytes, 20000);
	open_one();
	say_packed(packed, n, n);
	assert_string_equal(ws_rig_told(), "first-text(16384 bytes) text(3616 bytes) text-fin()");
	assert_null(ws_rig.ws->msg.p);
}

static void what_they_fail_with(void **state)
{
	static char packed[2000];
	size_t bomb;

	(void)state;
	memset(bytes, 'a', LIMIT + 1);
	bomb = pack(packed, sizeof packed, bytes, LIMIT + 1);
	open_one();
	say_packed(packed, bomb, bomb);
	assert_string_equal(ws_rig_told(), "close(1009)");
	peer_close(&ws_rig.peer);
	open_one();
	bomb = pack(packed, sizeof packed, bytes, LIMIT);
	say_packed(packed, bomb, bomb);
	assert_string_equal(ws_rig_told(), "text(50000 bytes)");
	/* A block of a type that there is not; then no text. */
	say_packed("\x07", 1, 1);
	assert_string_equal(ws_rig_told(), "close(1007)");
	peer_close(&ws_rig.peer);
	open_one();
	bomb = pack(packed, sizeof packed, "ok \xff", 4);
	say_packed(packed, bomb, bomb);
	assert_string_equal(ws_rig_told(), "close(1007)");
}

static void without_memory(void **state)
{
	static char packed[100];
	size_t n = pack(packed, sizeof packed, "text", 4);

	(void)state;
	for (size_t nth = 1;; nth++) {
		open_one();
		failalloc_arm(nth);
		say_packed(packed, n, n);
		if (ws_rig.ws)
			(void)tako_ws_send(ws_rig.ws, TAKO_WS_TEXT, (tako_str){bytes, 1000});
		if (!failalloc_disarm()) {
			assert_string_equal(ws_rig_told(), "text(text)");
			assert_true(nth > 4);
			break;
		}
		peer_close(&ws_rig.peer);
		assert_true(ws_rig_closed((unsigned)nth));
		assert_non_null(strstr(ws_rig_told(), "close(10"));
	}
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(settings_as_the_offer_takes_them),
		WITH(who_does_not_offer_gets_none),
		WITH(short_ones_leave_as_they_are),
		WITH(off_is_none),
		WITH(what_does_not_shrink),
		WITH(they_come_whole),
		cmocka_unit_test_setup_teardown(they_come_in_parts, set_up_parts, tear_down),
		WITH(what_they_fail_with),
		WITH(without_memory),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

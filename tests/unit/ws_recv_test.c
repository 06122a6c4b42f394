/* SPDX-License-Identifier: MIT
 *
 * What comes in, however it is cut: heads, messages in one frame and in several, whole and in parts, what
 * is too much or no text, and what is dropped once we are closing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transports/ws/ws_int.h"
#include "unit/failalloc.h"
#include "unit/ws_rig.h"

enum { FRAMES_MAX = 6, TEXT = 0x81, BINARY = 0x82, PING = 0x89, CLOSE = 0x88, BIG = 70000 };

struct frame {
	unsigned first;
	const char *payload; /* NULL: no more */
	size_t n;
};
#define F(first, text)                                                                             \
	{                                                                                          \
		first, text, sizeof(text) - 1                                                      \
	}

struct talk {
	struct frame say[FRAMES_MAX];
	const char *told;
};

static const struct talk whole[] = {
	{{F(TEXT, "abc")}, "text(abc)"},
	{{F(BINARY, "\xff\x01")}, "bin(\xff\x01)"},
	{{F(TEXT, ""), F(BINARY, "")}, "text() bin()"},
	{{F(TEXT, "a"), F(TEXT, "b"), F(BINARY, "c")}, "text(a) text(b) bin(c)"},
	{{F(0x01, "ab"), F(0x00, ""), F(0x80, "cd")}, "text(abcd)"},
	{{F(0x02, ""), F(0x80, "")}, "bin()"},
	{{F(0x01, "a"), F(PING, "p"), F(0x80, "b"), F(TEXT, "c")}, "ping(p) text(ab) text(c)"},
	/* A character in two frames, and one that ends too early. */
	{{F(0x01, "\xc3"), F(0x80, "\xa4")}, "text(\xc3\xa4)"},
	{{F(TEXT, "\xc3")}, "close(1007)"},
	{{F(0x01, "ok"), F(0x80, "\xff")}, "close(1007)"},
	{{F(BINARY, "12345678")}, "bin(12345678)"},
	{{F(BINARY, "123456789")}, "close(1009)"},
	{{F(0x02, "12345"), F(0x80, "6789")}, "close(1009)"},
	{{F(0x02, "1"), F(0x00, "2"), F(0x00, "3"), F(0x80, "4")}, "close(1008)"},
	{{F(0x02, "1"), F(0x00, "2"), F(0x80, "3"), F(TEXT, "4")}, "bin(123) text(4)"},
	/* Reserved bits, of messages and others, mean nothing here. */
	{{F(0xc1, "a")}, "close(1002)"},
	{{F(0xa2, "a")}, "close(1002)"},
	{{F(0x91, "a")}, "close(1002)"},
	{{F(0x83, "a")}, "close(1002)"},
	/* Nothing is looked at behind an end. */
	{{F(CLOSE, "\x03\xe8"), F(TEXT, "late")}, "close(1000)"},
	{{F(0x80, "no first"), F(TEXT, "late")}, "close(1002)"},
};

static const struct talk parts[] = {
	{{F(TEXT, "")}, "first-text-fin()"},
	{{F(0x01, ""), F(0x00, ""), F(0x80, "")}, "first-text() text-fin()"},
	{{F(0x01, "a"), F(PING, ""), F(0x80, "b")}, "first-text(a) ping() text-fin(b)"},
	{{F(0x02, "a"), F(0x80, "b"), F(TEXT, "c")}, "first-bin(a) bin-fin(b) first-text-fin(c)"},
	{{F(0x01, "ok"), F(0x80, "\xff")}, "first-text(ok) close(1007)"},
	{{F(0x02, "12345"), F(0x80, "6789")}, "first-bin(12345) close(1009)"},
};

static int set_up(void **state)
{
	(void)state;
	ws_rig_config();
	ws_rig.cfg.max_message_bytes = 8;
	ws_rig.cfg.max_frame_count = 3;
	return ws_rig_start(NULL);
}

static int set_up_parts(void **state)
{
	(void)state;
	ws_rig_config_parts();
	ws_rig.cfg.max_message_bytes = 8;
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

static size_t put_frames(char *to, const struct frame *f)
{
	size_t n = 0;

	for (unsigned i = 0; i < FRAMES_MAX && f[i].payload; i++)
		n += ws_rig_frame(to + n, f[i].first, f[i].payload, f[i].n);
	return n;
}

/* On a WebSocket of its own, in pieces of one size. */
static void say_all(const struct talk *t, size_t step)
{
	char bytes[FRAMES_MAX * (16 + WS_RIG_FRAME_MORE)];
	unsigned before = ws_rig.closes;
	bool ended;

	open_one();
	ws_rig_feed(bytes, put_frames(bytes, t->say), step);
	ended = ws_rig.closes > before;
	assert_string_equal(ws_rig_told(), t->told);
	assert_int_equal(ended, strstr(t->told, "close(") != NULL);
	peer_close(&ws_rig.peer);
	assert_true(ws_rig_closed(before + 1));
	(void)ws_rig_told();
}

static void messages_come_whole_however_they_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
		for (size_t step = 1; step < 20; step++)
			say_all(&whole[i], step);
		say_all(&whole[i], SIZE_MAX);
	}
}

static void parts_are_as_frames_came(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		say_all(&parts[i], SIZE_MAX);
}

/* Byte by byte each is a part, and together they are what was sent. */
static void parts_are_as_bytes_came(void **state)
{
	char bytes[64];

	(void)state;
	open_one();
	ws_rig_feed(bytes, ws_rig_frame(bytes, TEXT, "abc", 3), 1);
	assert_string_equal(ws_rig_told(), "first-text(a) text(b) text-fin(c)");
}

static void any_length(void **state)
{
	static const size_t sizes[] = {125, 126, 65535, 65536, BIG};
	char *payload = malloc(BIG);
	char *frame = malloc(BIG + WS_RIG_FRAME_MORE);

	(void)state;
	ws_rig.cfg.max_message_bytes = BIG;
	open_one();
	assert_true(payload && frame);
	memset(payload, 'y', BIG);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (size_t step = 1; step <= BIG; step += BIG / 2 - 1) {
			char want[32];
			size_t n = ws_rig_frame(frame, TEXT, payload, sizes[i]);

			/* By single bytes, which takes long, only short ones. */
			if (step == 1 && n > 1000)
				continue;
			ws_rig_feed(frame, n, step);
			snprintf(want, sizeof want, "text(%zu bytes)", sizes[i]);
			assert_string_equal(ws_rig_told(), want);
		}
	}
	free(payload);
	free(frame);
}

static void heads_that_no_client_sends(void **state)
{
	static const struct {
		char bytes[11];
		size_t n;
	} heads[] = {
		{{(char)0x81, 1, 'a', 'b', 'c', 'd', 'e'}, 7}, /* not masked */
		{{(char)0x81, (char)0xfe, 0, 125}, 8},         /* a longer length than needed */
		{{(char)0x81, (char)0xff, (char)0x80}, 10},    /* beyond 2^63 */
		{{(char)0x89, (char)0xfe, 0, 126}, 8},         /* a ping of 126 */
		{{0x09, (char)0x80}, 6},                       /* a ping in parts */
		{{(char)0x8b, (char)0x80}, 6},                 /* an unknown control frame */
	};

	(void)state;
	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		char bytes[16];

		open_one();
		memcpy(bytes, heads[i].bytes, heads[i].n);
		ws_rig_feed(bytes, heads[i].n, 1);
		assert_string_equal(ws_rig_told(), "close(1002)");
		assert_true(ws_rig_hears("\x88\x02\x03\xea", 4));
		peer_close(&ws_rig.peer);
	}
}

/* A promise is free: refused when it is made. */
static void too_long_is_refused_by_its_head(void **state)
{
	char head[] = "\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00";

	(void)state;
	open_one();
	ws_rig_feed(head, 14, 13);
	assert_string_equal(ws_rig_told(), "close(1009)");
	assert_true(ws_rig_hears("\x88\x02\x03\xf1", 4));
}

/* What was on its way when we closed is dropped, right or wrong; its length still counts. */
static void what_comes_behind_our_close(void **state)
{
	char bytes[128];
	size_t n;

	(void)state;
	open_one();
	assert_int_equal(tako_ws_close(ws_rig.ws, 1000, TAKO_STR("bye")), 0);
	n = ws_rig_frame(bytes, TEXT, "\xff more than eight bytes", 23);
	n += ws_rig_frame(bytes + n, 0xc0, "odd", 3);
	n += ws_rig_frame(bytes + n, PING, "p", 1);
	ws_rig_feed(bytes, n, 5);
	assert_string_equal(ws_rig_told(), "");
	ws_rig_feed(bytes, ws_rig_frame(bytes, CLOSE, "\x0b\xb8", 2), 3);
	assert_string_equal(ws_rig_told(), "close(1000,bye)");
	assert_true(ws_rig_hears("\x88\x05\x03\xe8"
	                         "bye",
	                         7));
	assert_int_equal(ws_rig.peer.n, 0);
}

static void no_memory_for_the_pieces(void **state)
{
	char bytes[64];
	size_t n;

	(void)state;
	open_one();
	n = ws_rig_frame(bytes, TEXT, "abcd", 4);
	failalloc_arm_from(1);
	ws_rig_feed(bytes, n - 1, SIZE_MAX);
	assert_int_equal(failalloc_disarm(), 1);
	assert_string_equal(ws_rig_told(), "close(1011)");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define IN_PARTS(test) cmocka_unit_test_setup_teardown(test, set_up_parts, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(messages_come_whole_however_they_are_cut),
		IN_PARTS(parts_are_as_frames_came),
		IN_PARTS(parts_are_as_bytes_came),
		WITH(any_length),
		WITH(heads_that_no_client_sends),
		WITH(too_long_is_refused_by_its_head),
		WITH(what_comes_behind_our_close),
		WITH(no_memory_for_the_pieces),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

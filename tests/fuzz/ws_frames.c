/* SPDX-License-Identifier: MIT
 *
 * Fuzz target: what a client sends on a WebSocket, without sockets.  The first byte says how the bytes are
 * cut, the second whether messages come whole or in parts.  Messages keep the promises of their callbacks,
 * and the end is told once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transports/ws/ws_int.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum { MESSAGE_MAX = 1000, FRAMES_MAX = 20 };

static int closed;
static bool in_parts; /* a message is open */

/* Slow, and not ours: after Hoehrmann's description of the well-formed sequences. */
static bool is_utf8(const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned c = p[i];
		size_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		uint32_t v = more == 0 ? c : c & (0x3fu >> more);

		if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || n - i <= more)
			return false;
		for (size_t k = 1; k <= more; k++) {
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
			v = v << 6 | (p[i + k] & 0x3f);
		}
		if ((more == 2 && (v < 0x800 || (v >= 0xd800 && v < 0xe000))) ||
		    (more == 3 && (v < 0x10000 || v > 0x10ffff)))
			return false;
		i += more + 1;
	}
	return true;
}

static void on_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)arg;
	MUST(!closed && msg.p && msg.n <= MESSAGE_MAX);
	MUST(kind == TAKO_WS_BINARY || is_utf8((const unsigned char *)msg.p, msg.n));
	MUST(tako_ws_send(ws, kind, msg) >= 0);
}

static void on_fragment(tako_ws *ws, int kind, tako_str part, int flags, void *arg)
{
	(void)ws, (void)arg;
	MUST(!closed && part.p && (kind == TAKO_WS_TEXT || kind == TAKO_WS_BINARY));
	MUST(in_parts != ((flags & TAKO_WS_FIRST) != 0));
	in_parts = !(flags & TAKO_WS_FIN);
}

static void on_control(tako_ws *ws, tako_str payload, void *arg)
{
	(void)ws, (void)arg;
	MUST(!closed && payload.n <= 125);
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	tako_str reason = tako_ws_close_reason(ws);

	(void)arg;
	MUST(!closed++ && code >= 1000 && code < 5000);
	MUST(is_utf8((const unsigned char *)reason.p, reason.n));
}

/* ---- An exchange that leads nowhere ------------------------------------------------------- */

static int data(struct tako__exchange *x, const char *p, size_t n)
{
	(void)x;
	MUST(p && n);
	return 0;
}

static int end(struct tako__exchange *x)
{
	(void)x;
	return 0;
}

static uint64_t unsent(const struct tako__exchange *x)
{
	(void)x;
	return 0;
}

static const struct tako__proto_ops proto = {.data = data, .end = end, .unsent = unsent};

static void feed(tako_ws *ws, const uint8_t *p, size_t n, size_t step)
{
	for (size_t at = 0; at < n && ws->state <= TAKO__WS_CLOSING; at += step) {
		size_t len = n - at < step ? n - at : step;
		/* Exactly what there is, and writable. */
		char *copy = malloc(len);

		MUST(copy);
		memcpy(copy, p + at, len);
		tako__ws_feed(ws, copy, len);
		free(copy);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct tako__worker worker;
	static struct tako_loop loop = {.now_ns = 1000000000};
	struct tako__exchange x = {.worker = &worker,
	                           .proto = &proto,
	                           .flags = TAKO__X_RUNNING | TAKO__X_HEAD_SENT | TAKO__X_TAKEN,
	                           .res_length = TAKO_OFF64};
	struct tako__ws_conf conf;
	tako_ws ws = {.x = &x, .conf = &conf, .reason = {"", 0}};
	tako_ws_config cfg = {.size = sizeof cfg,
	                      .on_message = on_message,
	                      .on_close = on_close,
	                      .on_ping = on_control,
	                      .on_pong = on_control,
	                      .max_message_bytes = MESSAGE_MAX,
	                      .max_frame_count = FRAMES_MAX};

	if (n < 2)
		return 0;
	if (p[1] & 1) {
		cfg.on_message = NULL;
		cfg.on_fragment = on_fragment;
	}
	MUST(tako__ws_conf_import(&conf, &cfg) == 0);
	worker.loop = &loop;
	if (!worker.locals)
		tako__wheel_init(&worker.wheel, loop.now_ns);
	ws.local = tako__ws_local(&worker);
	MUST(ws.local);
	tako__arena_init(&x.arena, NULL, 0);
	tako__list_init(&ws.watches);
	tako__ws_timer_init(&ws);
	closed = 0;
	in_parts = false;
	feed(&ws, p + 2, n - 2, p[0] ? p[0] : n);
	tako__ws_finish(&ws, 1006);
	MUST(closed == 1);
	tako__arena_fini(&x.arena);
	return 0;
}

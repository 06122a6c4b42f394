/* SPDX-License-Identifier: MIT
 *
 * See ws_rig.h.
 */
#include "unit/ws_rig.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/worker.h"
#include "transports/ws/ws_int.h"

struct ws_rig ws_rig;

/* ---- What is told ---------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
	size_t room = sizeof ws_rig.told - ws_rig.told_n;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(ws_rig.told + ws_rig.told_n, room, format, args);
	va_end(args);
	if (n > 0)
		ws_rig.told_n += (size_t)n < room ? (size_t)n : room - 1;
}

static void tell_bytes(const char *what, tako_str bytes)
{
	if (bytes.n <= 40)
		tell(" %s(%.*s)", what, TAKO_FMT(bytes));
	else
		tell(" %s(%zu bytes)", what, bytes.n);
}

const char *ws_rig_told(void)
{
	static char told[sizeof ws_rig.told];

	memcpy(told, ws_rig.told, ws_rig.told_n + 1);
	ws_rig.told_n = 0;
	ws_rig.told[0] = '\0';
	/* Without the space before the first. */
	return told[0] ? told + 1 : told;
}

static const char *kind_name(int kind)
{
	return kind == TAKO_WS_TEXT ? "text" : kind == TAKO_WS_BINARY ? "bin" : "?";
}

static void on_open(tako_ws *ws, void *arg)
{
	(void)arg;
	ws_rig.ws = ws;
	ws_rig.opens++;
	tell(" open");
}

static void on_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)ws, (void)arg;
	tell_bytes(kind_name(kind), msg);
}

static void on_fragment(tako_ws *ws, int kind, tako_str part, int flags, void *arg)
{
	char what[32];

	(void)ws, (void)arg;
	snprintf(what, sizeof what, "%s%s%s", flags & TAKO_WS_FIRST ? "first-" : "",
	         kind_name(kind), flags & TAKO_WS_FIN ? "-fin" : "");
	tell_bytes(what, part);
}

static void on_ping(tako_ws *ws, tako_str payload, void *arg)
{
	(void)ws, (void)arg;
	tell_bytes("ping", payload);
}

static void on_pong(tako_ws *ws, tako_str payload, void *arg)
{
	(void)ws, (void)arg;
	tell_bytes("pong", payload);
}

static void on_high_water(tako_ws *ws, uint64_t unsent_bytes, void *arg)
{
	(void)ws, (void)unsent_bytes, (void)arg;
	tell(" high");
}

static void on_drain(tako_ws *ws, void *arg)
{
	(void)ws, (void)arg;
	tell(" drain");
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	tako_str reason = tako_ws_close_reason(ws);

	(void)arg;
	ws_rig.ws = NULL;
	ws_rig.closes++;
	tell(reason.n ? " close(%d,%.*s)" : " close(%d)", code, TAKO_FMT(reason));
}

void ws_rig_config(void)
{
	ws_rig.cfg = (tako_ws_config){
		.size = sizeof ws_rig.cfg,
		.on_open = on_open,
		.on_message = on_message,
		.on_close = on_close,
		.on_ping = on_ping,
		.on_pong = on_pong,
		.on_high_water = on_high_water,
		.on_drain = on_drain,
		.ping_interval_ms = TAKO_OFF,
	};
}

void ws_rig_config_parts(void)
{
	ws_rig_config();
	ws_rig.cfg.on_message = NULL;
	ws_rig.cfg.on_fragment = on_fragment;
}

/* ---- The server --------------------------------------------------------------------------- */

static int accept_it(tako_req *req, tako_res *res, void *arg)
{
	ws_rig.accept_rc = tako_ws_accept(req, res, &ws_rig.cfg, arg);
	return ws_rig.accept_rc;
}

int ws_rig_start(const tako_server_config *cfg)
{
	tako_router *r = tako_router_new();
	int rc;

	ws_rig.opens = ws_rig.closes = 0;
	ws_rig.accept_rc = 1;
	ws_rig.ws = NULL;
	(void)ws_rig_told();
	tako_get(r, "/ws", accept_it, NULL);
	rc = stepped_start(&ws_rig.server, r, cfg ? cfg : TAKO_SERVER_CONFIG(.worker_count = 1),
	                   NULL);
	tako_router_free(r);
	return rc;
}

int ws_rig_stop(void)
{
	peer_close(&ws_rig.peer);
	return stepped_stop(&ws_rig.server);
}

/* ---- The peer -------------------------------------------------------------------------------- */

bool ws_rig_wait(size_t n)
{
	struct peer *p = &ws_rig.peer;

	peer_read(p);
	for (int i = 0; i < WS_RIG_WAIT_MS && p->n < n && !p->closed; i++) {
		stepped_turn(&ws_rig.server, 1);
		peer_read(p);
	}
	return p->n >= n;
}

bool ws_rig_closed(unsigned closes)
{
	for (int i = 0; i < WS_RIG_WAIT_MS && ws_rig.closes < closes; i++)
		stepped_turn(&ws_rig.server, 1);
	return ws_rig.closes == closes;
}

bool ws_rig_hears(const void *p, size_t n)
{
	struct peer *peer = &ws_rig.peer;

	if (!ws_rig_wait(n) || memcmp(peer->data, p, n) != 0)
		return false;
	peer_drop(peer, n);
	return true;
}

void ws_rig_turns(void)
{
	for (int i = 0; i < 4; i++)
		stepped_turn(&ws_rig.server, 0);
}

bool ws_rig_shake(const char *fields)
{
	static const char ok[] = "HTTP/1.1 101 ";
	struct peer *p = &ws_rig.peer;
	char ask[4096];
	int n = snprintf(ask, sizeof ask,
	                 "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
	                 "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
	                 fields);

	peer_open(p, &ws_rig.server);
	if (p->fd < 0 || n < 0 || (size_t)n >= sizeof ask ||
	    !peer_send(p, &ws_rig.server, ask, (size_t)n))
		return false;
	while (ws_rig_wait(p->n + 1)) {
		char *end = memmem(p->data, p->n, "\r\n\r\n", 4);

		if (!end)
			continue;
		if (memcmp(p->data, ok, sizeof ok - 1) != 0)
			return false;
		peer_drop(p, (size_t)(end + 4 - p->data));
		return true;
	}
	return false;
}

/* ---- Frames ------------------------------------------------------------------------------------ */

size_t ws_rig_frame(char *to, unsigned first, const void *p, size_t n)
{
	static const char key[4] = {0x11, (char)0xfe, 0x5a, 0x33};
	const char *from = p;
	size_t length_n = n < 126 ? 0 : n < 65536 ? 2 : 8;
	char *at = to;

	*at++ = (char)first;
	*at++ = (char)(0x80 | (n < 126 ? n : length_n == 2 ? 126 : 127));
	for (size_t i = length_n; i > 0; i--)
		*at++ = (char)((uint64_t)n >> 8 * (i - 1));
	memcpy(at, key, sizeof key);
	at += sizeof key;
	for (size_t i = 0; i < n; i++)
		*at++ = (char)(from[i] ^ key[i % 4]);
	return (size_t)(at - to);
}

void ws_rig_feed(char *p, size_t n, size_t step)
{
	while (n && ws_rig.ws) {
		struct tako__exchange *x = ws_rig.ws->x;
		size_t some = n < step ? n : step;

		tako__conn_touch(x->conn);
		tako__exchange_data(x, p, some, false);
		p += some;
		n -= some;
	}
}

void ws_rig_say(unsigned first, const char *text)
{
	size_t n = strlen(text);
	char *frame = malloc(n + WS_RIG_FRAME_MORE);

	if (!frame)
		return;
	n = ws_rig_frame(frame, first, text, n);
	ws_rig_feed(frame, n, n);
	free(frame);
}

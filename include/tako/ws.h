/* SPDX-License-Identifier: MIT
 *
 * tako/ws.h: WebSocket (RFC 6455) on a route, whatever HTTP version carries it.
 *
 * The interface is settled, its engine is not in this build: tako_ws_accept() says so to
 * its caller and to the client.
 */
#ifndef TAKO_WS_H
#define TAKO_WS_H

#include <tako/base.h>
#include <tako/http.h>

TAKO_BEGIN

/* One WebSocket.  Lives until its on_close has returned; belongs to the loop of the exchange it
 * came from. */
typedef struct tako_ws tako_ws;

/* Kinds of message (RFC 6455 section 5.6). */
enum { TAKO_WS_TEXT = 1, TAKO_WS_BINARY = 2 };

/* What to do with a WebSocket; all callbacks run on the loop of the exchange it came from. */
typedef struct tako_ws_config {
	size_t size;
	/* The handshake is through. */
	void (*on_open)(tako_ws *ws, void *arg);
	/* A whole message, borrowed for the call; text is valid UTF-8. */
	void (*on_message)(tako_ws *ws, int kind, tako_str msg, void *arg);
	/* Exactly once; `ws` dies after it.  `code` as in RFC 6455 section 7.4. */
	void (*on_close)(tako_ws *ws, int code, void *arg);
	uint64_t max_message_bytes; /* 0: 1 MiB; longer ones end it with 1009 */
	uint32_t ping_interval_ms;  /* 0: 30000; TAKO_OFF: never */
	uint32_t reserved;          /* must be 0 */
} tako_ws_config;
#define TAKO_WS_CONFIG(...) (&(tako_ws_config){.size = sizeof(tako_ws_config), __VA_ARGS__})

/* Turn this exchange into a WebSocket.  `cfg` is copied; `arg` is passed to its callbacks.
 * TAKO_ENOTSUP, answered 501: not in this build.  [loop] */
TAKO_API int tako_ws_accept(tako_req *req, tako_res *res, const tako_ws_config *cfg, void *arg);

/* Send a message, copied.  The bytes now queued; TAKO_ENOTSUP: not in this build.  [loop] */
TAKO_API int64_t tako_ws_send(tako_ws *ws, int kind, tako_str msg);

/* Begin the closing handshake with a code of RFC 6455 section 7.4 and a reason of at most 123
 * bytes, copied.  TAKO_ENOTSUP: not in this build.  [loop] */
TAKO_API int tako_ws_close(tako_ws *ws, int code, tako_str reason);

TAKO_END

#endif /* TAKO_WS_H */

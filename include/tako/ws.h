/* SPDX-License-Identifier: MIT
 *
 * tako/ws.h: WebSocket (RFC 6455) on a route, whatever HTTP version carries it.
 *
 * A handler turns its exchange into a WebSocket with tako_ws_accept().  From then on that lives on
 * the loop it was accepted on: functions marked [loop] are called from a callback of any exchange
 * or WebSocket of that loop and from nowhere else; other threads hold a tako_ws_handle.
 */
#ifndef TAKO_WS_H
#define TAKO_WS_H

#include <tako/base.h>
#include <tako/forwarded.h>
#include <tako/http.h>

TAKO_BEGIN

/* One WebSocket.  Lives until its on_close has returned. */
typedef struct tako_ws tako_ws;

/* Kinds of message (RFC 6455 section 5.6). */
enum { TAKO_WS_TEXT = 1, TAKO_WS_BINARY = 2 };

/* Where in its message a part is; both for a message in one part. */
enum { TAKO_WS_FIRST = 1, TAKO_WS_FIN = 2 };

/* What becomes of a message for a peer that already has max_unsent_bytes waiting for it. */
enum {
	TAKO_WS_SLOW_CLOSE = 0, /* the connection is cut; on_close gets 1008 */
	TAKO_WS_SLOW_DROP = 1   /* the message is not sent, and its sender told TAKO_EBUSY */
};

/* ---- Compression ------------------------------------------------------------------- */

/* permessage-deflate (RFC 7692), agreed on with clients that offer it.  A window that is kept from
 * one message to the next compresses small messages well and costs memory for as long as the
 * WebSocket lives. */
typedef struct tako_ws_deflate {
	size_t size;
	/* Of windows and states that are kept, of one WebSocket.  What was asked for below is made
	 * smaller until it fits: one that cannot is not kept.  0: 64 KiB;
	 * TAKO_OFF: no limit. */
	uint32_t memory_bytes;
	uint32_t level;              /* 1 to 9; 0: 6 */
	uint32_t server_window_bits; /* 9 to 15, of what we send; 0: 15 */
	uint32_t client_window_bits; /* 9 to 15, of what the client sends; 0: 15 */
	uint32_t server_no_context;  /* 1: our window is not kept */
	uint32_t client_no_context;  /* 1: nor the client's */
	uint32_t threshold_bytes; /* shorter messages leave uncompressed; 0: 64; TAKO_OFF: all do */
	uint32_t reserved;        /* must be 0 */
} tako_ws_deflate;
#define TAKO_WS_DEFLATE(...) (&(tako_ws_deflate){.size = sizeof(tako_ws_deflate), __VA_ARGS__})

/* ---- Configuration ------------------------------------------------------------------ */

/* What to do with a WebSocket.  All callbacks run on its loop, and any may be NULL. */
typedef struct tako_ws_config {
	size_t size;
	/* The handshake is through.  Runs inside tako_ws_accept(). */
	void (*on_open)(tako_ws *ws, void *arg);
	/* A whole message, borrowed for the call; text is valid UTF-8. */
	void (*on_message)(tako_ws *ws, int kind, tako_str msg, void *arg);
	/* Exactly once, unless tako_ws_accept() failed; `ws` dies after it.  `code` as in RFC 6455
	 * section 7.4: the peer's, or 1005 if it gave none; ours, if we closed because of it (1002,
	 * 1007, 1008, 1009, 1011) or because of time (1001); 1006 if the connection was lost or the
	 * peer did not answer.  Never runs inside a call of yours. */
	void (*on_close)(tako_ws *ws, int code, void *arg);
	uint64_t
		max_message_bytes; /* inflated; 0: 1 MiB; TAKO_OFF64: none.  Else it ends with 1009 */
	/* A peer that has sent nothing for so long is sent a ping.  0: 30000; TAKO_OFF: never */
	uint32_t ping_interval_ms;
	/* ... and given up, if nothing comes for so long.  0: 10000; TAKO_OFF: it is not. */
	uint32_t pong_timeout_ms;

	/* ---- The handshake.  Both lists end with NULL and are needed for the call only. ---- */

	/* That the server speaks, the best first: the first of them that the client offers is
	 * chosen.  NULL: none ever is.  A client whose offers are all unknown gets none, too. */
	const char *const *subprotocols;
	/* Pages that may connect, "https://example.com" or "http://localhost:3000": scheme, host and
	 * port must be the Origin field's; others, and requests without one, are answered 403.
	 * NULL: from anywhere. */
	const char *const *origins;
	const tako_ws_deflate *deflate; /* NULL: nothing is compressed */

	/* ---- Input ---- */

	/* Instead of on_message: messages as they arrive, in parts that may be split anywhere, even
	 * within a character.  `flags`: TAKO_WS_FIRST, TAKO_WS_FIN; a part may be empty. */
	void (*on_fragment)(tako_ws *ws, int kind, tako_str part, int flags, void *arg);
	/* A ping that was answered already, a pong, with up to 125 bytes, borrowed. */
	void (*on_ping)(tako_ws *ws, tako_str payload, void *arg);
	void (*on_pong)(tako_ws *ws, tako_str payload, void *arg);

	/* ---- Output ---- */

	/* More than high_water_bytes are unsent: pause what produces them.  Once, until on_drain.
	 * Runs inside the call that sends. */
	void (*on_high_water)(tako_ws *ws, uint64_t unsent_bytes, void *arg);
	/* Less than half of that are, or of the server's write_high_bytes if that is less. */
	void (*on_drain)(tako_ws *ws, void *arg);
	/* Decides in place of `slow`: TAKO_WS_SLOW_*.  Runs inside the call that sends. */
	int (*on_slow)(tako_ws *ws, uint64_t unsent_bytes, void *arg);
	uint64_t high_water_bytes; /* 0: 256 KiB */
	uint64_t max_unsent_bytes; /* 0: 1 MiB; TAKO_OFF64: no limit */
	uint32_t slow;             /* TAKO_WS_SLOW_* */

	/* ---- Limits ---- */

	uint32_t max_frame_count;  /* of one message; 0: 65536; TAKO_OFF: none.  Else 1008 */
	uint32_t idle_timeout_ms;  /* no message in or out for so long: 1001.  0, TAKO_OFF: none */
	uint32_t max_lifetime_ms;  /* since the handshake: 1001.  0, TAKO_OFF: none */
	uint32_t close_timeout_ms; /* for the peer to answer our close.  0: 5000; TAKO_OFF: none */
	uint32_t reserved;         /* must be 0 */
} tako_ws_config;
#define TAKO_WS_CONFIG(...) (&(tako_ws_config){.size = sizeof(tako_ws_config), __VA_ARGS__})

/* Turn this exchange into a WebSocket: HTTP/1.1 Upgrade, or an extended CONNECT (RFC 8441) of later
 * versions.  Fields set on `res` before go with the answer.  `cfg` is copied; `arg` is passed to its
 * callbacks.  A handler returns what this does.  When it, or whichever callback accepts, has
 * returned, most of an HTTP/1.1 request's head is given up: what its getters returned before is
 * gone, so copy what is needed later; they still tell method, target, host and parameters, and of
 * the fields those that an access log shows.  A request that is no proper handshake is answered
 * here, with a reason as text: 405 (method), 400 (malformed), 426 (no WebSocket was asked for, or
 * not version 13), 403 (origin); that is TAKO_EINVAL.
 *   TAKO_EINVAL  also, answered 500: a setting out of range or without effect, a subprotocol that
 *                is no token, an origin that is none
 *   TAKO_ENOTSUP answered 500: cfg->size is larger than this library's and a field it does not
 *                know is set; answered 501: not in this build
 *   TAKO_ESTATE  answered already
 *   TAKO_ECLOSED, TAKO_ENOMEM  [loop] */
TAKO_API int tako_ws_accept(tako_req *req, tako_res *res, const tako_ws_config *cfg, void *arg);

/* ---- Facts ------------------------------------------------------------------------------ */

/* The argument that callbacks get, and another one for those that follow.  [loop] */
TAKO_API void *tako_ws_arg(const tako_ws *ws);
TAKO_API void tako_ws_set_arg(tako_ws *ws, void *arg);

/* The subprotocol that was chosen; {NULL, 0} if none.  [loop] */
TAKO_API tako_str tako_ws_subprotocol(const tako_ws *ws);

/* As tako_req_conn_info() of the request it came from.  TAKO_EINVAL: size not set;
 * TAKO_ENOMEM; TAKO_ECLOSED.  [loop] */
TAKO_API int tako_ws_conn_info(tako_ws *ws, tako_conn_info *out);

/* As tako_req_client() of that request.  [loop] */
TAKO_API int tako_ws_client(tako_ws *ws, tako_client_info *out);

/* Bytes that were sent and that the transport has not taken yet.  [loop] */
TAKO_API uint64_t tako_ws_unsent(const tako_ws *ws);

/* True until a closing handshake has begun, by either side, or the connection is lost.  [loop] */
TAKO_API bool tako_ws_is_open(const tako_ws *ws);

/* For on_close: the reason that the peer gave with its code, or we did; "" without.  [loop] */
TAKO_API tako_str tako_ws_close_reason(const tako_ws *ws);

/* ---- Sending ------------------------------------------------------------------------------ */

/* Send a message, copied.  Text must be valid UTF-8: that is not checked.  Returns the bytes now
 * unsent.
 *   TAKO_EINVAL  no such kind
 *   TAKO_ESTATE  closing already, or in the midst of a message sent in parts
 *   TAKO_EBUSY   dropped, as the policy for slow peers says
 *   TAKO_ECLOSED the connection is gone, or was cut by this
 *   TAKO_ENOMEM  the connection is cut, if some of it was sent
 *   TAKO_ENOTSUP not in this build  [loop] */
TAKO_API int64_t tako_ws_send(tako_ws *ws, int kind, tako_str msg);

/* Send part of a message, copied, never compressed.  `flags`: TAKO_WS_FIRST with the first part,
 * whose `kind` is the message's, TAKO_WS_FIN with the last; no other message may come between.  The
 * slow-consumer policy cuts, as half a message cannot be dropped.  Errors as tako_ws_send();
 * TAKO_ESTATE: a first part where it is not due, or another where it is.  [loop] */
TAKO_API int64_t tako_ws_send_part(tako_ws *ws, int kind, tako_str part, int flags);

/* Send a ping with up to 125 bytes, copied; on_pong gets them back.  Errors as tako_ws_send();
 * TAKO_EINVAL: longer.  [loop] */
TAKO_API int64_t tako_ws_ping(tako_ws *ws, tako_str payload);

/* Begin the closing handshake, with 1000, 1001, 1003, 1007 to 1014 or 3000 to 4999 (RFC 6455 section
 * 7.4) and a reason in UTF-8 of at most 123 bytes, copied.  What was sent before leaves first; what
 * the peer still sends is dropped; on_close comes with `code` when it has answered, or with 1006
 * close_timeout_ms later.  TAKO_EINVAL: another code, or no such reason; TAKO_ESTATE: closing already;
 * TAKO_ECLOSED; TAKO_ENOMEM; TAKO_ENOTSUP: not in this build.  [loop] */
TAKO_API int tako_ws_close(tako_ws *ws, int code, tako_str reason);

/* ---- One message for many -------------------------------------------------------------------- */

/* A message as it is on the wire, serialised once and shared by all that it is sent to. */
typedef struct tako_ws_msg tako_ws_msg;

/* Serialise; `msg` is copied.  The caller has one reference.  NULL: no such kind, without memory, or
 * not in this build: tako_last_error() says which.  [any] */
TAKO_API TAKO_CHECK tako_ws_msg *tako_ws_msg_new(int kind, tako_str msg);
/* Another reference; returns `msg`.  [any] */
TAKO_API tako_ws_msg *tako_ws_msg_ref(tako_ws_msg *msg);
/* Drop a reference; NULL is fine.  [any] */
TAKO_API void tako_ws_msg_free(tako_ws_msg *msg);
/* Send it, without copying its bytes and uncompressed; the caller's reference stays its own.  As
 * tako_ws_send().  [loop] */
TAKO_API int64_t tako_ws_send_msg(tako_ws *ws, tako_ws_msg *msg);

/* ---- From other threads ------------------------------------------------------------------------ */

/* A hold on a WebSocket.  It may be given to one other thread at a time, or shared with a lock of
 * yours around tako_ws_release(): nothing may use it after that. */
typedef struct tako_ws_handle tako_ws_handle;
/* `ws` is NULL when it has been closed meanwhile.  [loop] */
typedef void (*tako_ws_fn)(tako_ws *ws, void *arg);

/* Take hold.  The handle is [any]-safe until tako_ws_release(), which every one must end in, also
 * after on_close: a server's memory waits for it.  NULL without memory, after on_close, or not in
 * this build.  [loop] */
TAKO_API TAKO_CHECK tako_ws_handle *tako_ws_hold(tako_ws *ws);
/* Run fn(ws, arg) on the loop of the WebSocket, in the order of the calls, exactly once.
 * TAKO_ENOMEM: it will not run.  [any] */
TAKO_API int tako_ws_post(tako_ws_handle *h, tako_ws_fn fn, void *arg);
/* The same for tako_ws_send_msg(), whose result nobody gets: if memory is lacking by then, the connection
 * is cut.  The caller's reference stays its own.  TAKO_ENOMEM: it will not be sent.  [any] */
TAKO_API int tako_ws_post_msg(tako_ws_handle *h, tako_ws_msg *msg);
/* Give the handle back, after what was posted has run.  NULL is fine.  [any] */
TAKO_API void tako_ws_release(tako_ws_handle *h);

TAKO_END

#endif /* TAKO_WS_H */

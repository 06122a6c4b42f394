/* SPDX-License-Identifier: MIT
 *
 * A WebSocket inside.  Its parts: ws.c begins and ends it, ws_recv.c reads, ws_send.c writes, ws_time.c
 * waits, ws_rule.c asks wslay, ws_local.c has what a worker's WebSockets share.
 */
#ifndef TAKO_WS_INT_H
#define TAKO_WS_INT_H

#include <tako/ws.h>

#include "core/exchange.h"
#include "core/list.h"
#include "core/wheel.h"
#include "transports/ws/ws_deflate.h"
#include "transports/ws/ws_head.h"
#include "transports/ws/ws_local.h"
#include "transports/ws/ws_share.h"
#include "transports/ws/ws_utf8.h"

enum tako__ws_state {
	TAKO__WS_OPEN,
	TAKO__WS_CLOSING, /* our close is sent, the peer's is awaited */
	TAKO__WS_CUT,     /* nothing more goes out; on_close is due as soon as it is safe */
	TAKO__WS_DONE,    /* on_close has run */
};

/* In the arena of its exchange, and as long as that. */
struct tako_ws {
	struct tako__exchange *x;
	struct tako__ws_local *local;
	struct tako__ws_conf *conf;
	void *arg;
	tako_str subprotocol;
	tako_str reason;

	/* The frame that is coming in. */
	uint64_t left;   /* of its payload */
	uint64_t offset; /* of what comes next of it */
	uint32_t key;
	uint8_t first;                  /* its first byte */
	uint8_t head_n;                 /* of the next one's head, kept in `head` */
	char head[TAKO__WS_HEAD_BYTES]; /* while it is incomplete */
	bool in_frame;                  /* its head is through and its end is not */
	uint8_t state;                  /* enum tako__ws_state */
	uint8_t kind;                   /* of the message that is coming in; 0: none is */
	uint8_t parts_out;              /* kind of the one going out in parts; 0: none is */
	bool above_high;                /* on_high_water was told */
	bool part_seen;                 /* a part of the message went to on_fragment */
	bool packed;                    /* the message that is coming in is compressed */
	uint16_t code;                  /* for on_close */
	/* The message that is coming in: what has come of it, unless on_fragment takes it. */
	struct tako__utf8 utf8;
	uint32_t frame_count;
	uint64_t bytes; /* as far as its frames' heads have promised */
	struct tako__ws_buf msg;
	struct tako__ws_deflate *deflate; /* NULL: nothing is compressed */
	struct tako__ws_rule *rule;       /* while wslay is to know what came before */

	/* Time, on the loop's clock. */
	struct tako__timer timer;
	uint64_t heard_ns; /* anything came in */
	uint64_t spoke_ns; /* a message came in or went out */
	uint64_t since_ns; /* the handshake; when closing: since our close */
	uint64_t ping_ns;  /* a ping is out since; 0: none is */
	struct tako__list watches;
};

/* ---- ws.c ------------------------------------------------------------------------------ */

/* It is over: on_close runs, the exchange ends.  Only from where no call of the user's is on the
 * stack, with the exchange running; `ws` is not to be touched by user code any more. */
void tako__ws_finish(tako_ws *ws, int code);
/* Break it off, wherever we are: no more output, on_close soon. */
void tako__ws_cut(tako_ws *ws, int code, int err);
/* Say what the peer did wrong, then finish. */
void tako__ws_fail(tako_ws *ws, int code);

/* ---- ws_recv.c ------------------------------------------------------------------------- */

/* Bytes off the wire, which are unmasked where they are. */
void tako__ws_feed(tako_ws *ws, char *p, size_t n);
/* Bytes of a message as its sender meant them; `end`: its last.  0, or the code to fail with. */
int tako__ws_content(tako_ws *ws, const char *p, size_t n, bool end);
/* The end of one whose bytes were put into ws->msg and looked at there, or went to on_fragment. */
int tako__ws_content_end(tako_ws *ws);

/* ---- ws_send.c ------------------------------------------------------------------------- */

/* A control frame; after a close nothing goes out any more.  TAKO_ECLOSED, TAKO_ENOMEM. */
int tako__ws_control(tako_ws *ws, enum tako__ws_opcode op, const char *p, size_t n);
/* Bytes that are frames already. */
int tako__ws_write(tako_ws *ws, const char *p, size_t n);
/* The payload of a close. */
int tako__ws_write_close(tako_ws *ws, int code, tako_str reason);

/* ---- ws_time.c ------------------------------------------------------------------------- */

void tako__ws_timer_init(tako_ws *ws);
/* Look at the clock no later than now demands. */
void tako__ws_arm(tako_ws *ws);
/* … or in the next turn. */
void tako__ws_arm_now(tako_ws *ws);
/* A pong came. */
void tako__ws_answered(tako_ws *ws);

static inline uint64_t tako__ws_now(const tako_ws *ws)
{
	return ws->local->worker->loop->now_ns;
}

/* ---- ws_rule.c: frames whose place among others decides ---------------------------------- */

/* May a frame with this head come now?  Of the frames of a message all are told, in order.  0, or
 * the code to fail with. */
int tako__ws_rule_data(tako_ws *ws, uint8_t first);
/* Payload of a control frame, unmasked; `end`: that was all.  Answers it, or ends the WebSocket. */
void tako__ws_rule_control(tako_ws *ws, const char *p, size_t n, bool end);
/* Give wslay's state back. */
void tako__ws_rule_drop(tako_ws *ws);

#endif /* TAKO_WS_INT_H */

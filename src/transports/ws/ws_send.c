/* SPDX-License-Identifier: MIT
 *
 * What goes out: frames are written straight into the connection's output, or lent to it where many
 * share them.  Watches how much waits, and decides by it.
 */
#include "transports/ws/ws_send.h"

#include "transports/ws/ws_int.h"
#include "transports/ws/ws_msg.h"
#include "transports/ws/ws_pack.h"

enum { SHORT_BYTES = 256 };

/* ---- Bytes --------------------------------------------------------------------------------- */

static bool is_gone(const tako_ws *ws)
{
	return ws->state >= TAKO__WS_CUT || (ws->x->flags & (TAKO__X_GONE | TAKO__X_ENDED));
}

int tako__ws_write(tako_ws *ws, const char *p, size_t n)
{
	struct tako__exchange *x = ws->x;

	if (is_gone(ws))
		return TAKO_ECLOSED;
	x->sent_bytes += n;
	return x->proto->data(x, p, n);
}

/* Short ones in one piece: a second way through the protocol costs more than to move them twice. */
static int write_short(tako_ws *ws, unsigned first, const char *p, size_t n)
{
	char frame[TAKO__WS_OUR_HEAD_BYTES + SHORT_BYTES];
	size_t head_n = tako__ws_head_write(frame, first, n);

	if (n)
		memcpy(frame + head_n, p, n);
	return tako__ws_write(ws, frame, head_n + n);
}

static int write_long(tako_ws *ws, unsigned first, const char *p, size_t n)
{
	char head[TAKO__WS_OUR_HEAD_BYTES];
	int rc = tako__ws_write(ws, head, tako__ws_head_write(head, first, n));

	return rc == 0 ? tako__ws_write(ws, p, n) : rc;
}

/* Head and payload; half a frame makes whatever follows it senseless, so that it cuts. */
static int write_frame(tako_ws *ws, unsigned first, const char *p, size_t n)
{
	int rc = n <= SHORT_BYTES ? write_short(ws, first, p, n) : write_long(ws, first, p, n);

	if (TAKO__UNLIKELY(rc < 0))
		tako__ws_cut(ws, 1006, rc);
	return rc;
}

int tako__ws_control(tako_ws *ws, enum tako__ws_opcode op, const char *p, size_t n)
{
	return write_frame(ws, TAKO__WS_FIN | (unsigned)op, p, n);
}

int tako__ws_write_close(tako_ws *ws, int code, tako_str reason)
{
	char body[TAKO__WS_CONTROL_BYTES];

	body[0] = (char)(code >> 8);
	body[1] = (char)(code & 255);
	if (reason.n)
		memcpy(body + 2, reason.p, reason.n);
	return tako__ws_control(ws, TAKO__WS_CLOSE, body, 2 + reason.n);
}

/* ---- How much waits -------------------------------------------------------------------------- */

uint64_t tako_ws_unsent(const tako_ws *ws)
{
	return tako_res_unsent(tako__res(ws->x));
}

/* The peer does not keep up: its message is dropped, or it is. */
static int too_slow(tako_ws *ws, uint64_t unsent, bool droppable)
{
	const tako_ws_config *cfg = &ws->conf->cfg;
	int what = (int)cfg->slow;

	if (cfg->on_slow)
		what = cfg->on_slow(ws, unsent, ws->arg);
	if (is_gone(ws))
		return TAKO_ECLOSED;
	if (what == TAKO_WS_SLOW_DROP && droppable)
		return TAKO_EBUSY;
	tako__ws_cut(ws, 1008, TAKO_ECLOSED);
	return TAKO_ECLOSED;
}

static void on_room(tako_res *res, void *arg)
{
	tako_ws *ws = arg;
	struct tako__exchange *x = tako__x(res);

	if (is_gone(ws) || !ws->above_high)
		return;
	if (tako_ws_unsent(ws) >= ws->conf->cfg.high_water_bytes / 2) {
		x->drain_fn = on_room;
		return;
	}
	ws->above_high = false;
	if (ws->conf->cfg.on_drain)
		ws->conf->cfg.on_drain(ws, ws->arg);
}

/* Something was sent: what waits now? */
static int64_t sent(tako_ws *ws)
{
	struct tako__exchange *x = ws->x;
	uint64_t unsent = x->conn ? x->proto->unsent(x) : 0;

	if (TAKO__LIKELY(unsent <= ws->conf->cfg.high_water_bytes) || ws->above_high)
		return (int64_t)unsent;
	ws->above_high = true;
	x->drain_fn = on_room;
	x->drain_arg = ws;
	if (ws->conf->cfg.on_high_water)
		ws->conf->cfg.on_high_water(ws, unsent, ws->arg);
	return (int64_t)unsent;
}

/* ---- Messages ---------------------------------------------------------------------------------- */

/* 0, or why nothing can go out now; half a message cannot be dropped.  Says nothing to
 * tako_last_error(). */
static int ready(tako_ws *ws, bool droppable)
{
	struct tako__exchange *x = ws->x;
	uint64_t unsent;

	if (TAKO__UNLIKELY(is_gone(ws)))
		return TAKO_ECLOSED;
	if (TAKO__UNLIKELY(ws->state != TAKO__WS_OPEN))
		return TAKO_ESTATE;
	unsent = x->proto->unsent(x);
	if (TAKO__UNLIKELY(unsent >= ws->conf->cfg.max_unsent_bytes))
		return too_slow(ws, unsent, droppable);
	return 0;
}

/* The same for a whole message. */
static int ready_whole(tako_ws *ws)
{
	int rc = ready(ws, true);

	if (TAKO__UNLIKELY(rc < 0 || ws->parts_out))
		return rc < 0 ? rc : TAKO_ESTATE;
	ws->spoke_ns = tako__ws_now(ws);
	return 0;
}

static int explain(int rc)
{
	switch (rc) {
	case TAKO_ESTATE:
		return tako__fail(rc, "the WebSocket is closing, or in the midst of a message");
	case TAKO_EBUSY:
		return tako__fail(rc, "the peer is too slow, the message was dropped");
	case TAKO_ECLOSED:
		return tako__fail(rc, "the WebSocket is closed");
	default:
		return tako__fail(rc, "WebSocket: out of memory");
	}
}

static bool is_kind(int kind)
{
	return kind == TAKO_WS_TEXT || kind == TAKO_WS_BINARY;
}

static int write_message(tako_ws *ws, unsigned kind, tako_str msg)
{
	unsigned first = TAKO__WS_FIN | kind;
	tako_str packed;
	int rc = 0;

	if (TAKO__LIKELY(!ws->deflate))
		return write_frame(ws, first, msg.p, msg.n);
	if (tako__ws_pack_out(ws, msg, &packed, &rc))
		return write_frame(ws, first | TAKO__WS_RSV1, packed.p, packed.n);
	if (rc == 0)
		return write_frame(ws, first, msg.p, msg.n);
	tako__ws_cut(ws, 1006, rc);
	return rc;
}

int64_t tako_ws_send(tako_ws *ws, int kind, tako_str msg)
{
	int rc;

	if (TAKO__UNLIKELY(!is_kind(kind)))
		return tako__fail(TAKO_EINVAL, "%d is no kind of message", kind);
	rc = ready_whole(ws);
	if (TAKO__LIKELY(rc == 0))
		rc = write_message(ws, (unsigned)kind, msg);
	return TAKO__LIKELY(rc == 0) ? sent(ws) : explain(rc);
}

int64_t tako_ws_send_part(tako_ws *ws, int kind, tako_str part, int flags)
{
	bool first = flags & TAKO_WS_FIRST;
	unsigned fin = flags & TAKO_WS_FIN ? TAKO__WS_FIN : 0;
	int rc;

	if (first && !is_kind(kind))
		return tako__fail(TAKO_EINVAL, "%d is no kind of message", kind);
	rc = ready(ws, false);
	if (rc == 0 && first == (ws->parts_out != 0))
		rc = TAKO_ESTATE;
	if (rc < 0)
		return explain(rc);
	ws->spoke_ns = tako__ws_now(ws);
	ws->parts_out = (uint8_t)(fin ? 0 : first ? kind : ws->parts_out);
	rc = write_frame(ws, fin | (first ? (unsigned)kind : TAKO__WS_MORE), part.p, part.n);
	return rc == 0 ? sent(ws) : explain(rc);
}

int64_t tako_ws_ping(tako_ws *ws, tako_str payload)
{
	int rc;

	if (payload.n > TAKO__WS_CONTROL_BYTES)
		return tako__fail(TAKO_EINVAL, "a ping has at most 125 bytes");
	rc = ready(ws, true);
	if (rc == 0)
		rc = tako__ws_control(ws, TAKO__WS_PING, payload.p, payload.n);
	return rc == 0 ? sent(ws) : explain(rc);
}

/* ---- For many -------------------------------------------------------------------------------------- */

static void on_lent(struct tako_send *op, int err)
{
	struct tako__ws_op *o = TAKO__CONTAINER(op, struct tako__ws_op, op);
	struct tako__exchange *x = o->x;
	struct tako__conn *c = x->conn;

	tako_ws_msg_free(o->msg);
	tako__pool_put(&o->local->ops, o);
	if (c && err == 0)
		tako__conn_written(c);
	tako__exchange_unref(x);
}

int64_t tako__ws_deliver(tako_ws *ws, tako_ws_msg *msg)
{
	struct tako__exchange *x = ws->x;
	struct tako__ws_op *o;
	int rc = ready_whole(ws);

	if (TAKO__UNLIKELY(rc < 0))
		return rc;
	o = tako__pool_get(&ws->local->ops);
	if (TAKO__UNLIKELY(!o))
		return TAKO_ENOMEM;
	o->op = (struct tako_send){.done = on_lent, .p = msg->frame, .n = msg->n, .file_fd = -1};
	o->x = x;
	o->local = ws->local;
	o->msg = tako_ws_msg_ref(msg);
	x->sent_bytes += msg->n;
	tako__exchange_ref(x);
	rc = x->proto->lend(x, &o->op);
	if (TAKO__UNLIKELY(rc < 0)) {
		tako__ws_cut(ws, 1006, rc);
		return rc;
	}
	return sent(ws);
}

int64_t tako_ws_send_msg(tako_ws *ws, tako_ws_msg *msg)
{
	int64_t rc = tako__ws_deliver(ws, msg);

	return rc < 0 ? explain((int)rc) : rc;
}

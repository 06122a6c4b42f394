/* SPDX-License-Identifier: MIT
 *
 * What comes in: frames are found, unmasked where they lie and handed on, without a copy if a message
 * arrived in one piece.  Nothing is looked at twice.  What a frame may be among others is decided in
 * ws_rule.c, unless it is a whole message between messages, which nearly all are.
 */
#include "transports/ws/ws_int.h"
#include "transports/ws/ws_mask.h"

static const tako_ws_config *config(const tako_ws *ws)
{
	return &ws->conf->cfg;
}

/* ---- Messages ---------------------------------------------------------------------------- */

static void tell_part(tako_ws *ws, const char *p, size_t n, bool end)
{
	int flags = (ws->part_seen ? 0 : TAKO_WS_FIRST) | (end ? TAKO_WS_FIN : 0);
	int kind = ws->kind;

	if (!n && !flags)
		return;
	ws->part_seen = true;
	if (end)
		ws->kind = 0;
	config(ws)->on_fragment(ws, kind, (tako_str){n ? p : "", n}, flags, ws->arg);
}

static void tell(tako_ws *ws, const char *p, size_t n)
{
	int kind = ws->kind;

	ws->kind = 0;
	if (TAKO__LIKELY(config(ws)->on_message != NULL))
		config(ws)->on_message(ws, kind, (tako_str){n ? p : "", n}, ws->arg);
}

static int gather(tako_ws *ws, const char *p, size_t n)
{
	if (tako__ws_buf_room(ws->local, &ws->msg, n) < 0)
		return 1011;
	memcpy(ws->msg.p + ws->msg.n, p, n);
	ws->msg.n += n;
	return 0;
}

/* The buffer is not the WebSocket's any more when user code runs, which may end it. */
static void tell_gathered(tako_ws *ws)
{
	struct tako__ws_local *l = ws->local;
	struct tako__ws_buf b = ws->msg;

	ws->msg = (struct tako__ws_buf){NULL, 0, 0};
	tell(ws, b.p, b.n);
	tako__ws_buf_put(l, &b);
}

/* Bytes of a message as its sender meant them.  0, or the code to fail with. */
static int content(tako_ws *ws, const char *p, size_t n, bool end)
{
	if (ws->kind == TAKO_WS_TEXT &&
	    (!tako__utf8_feed(&ws->utf8, p, n) || (end && !tako__utf8_done(&ws->utf8))))
		return 1007;
	if (end)
		ws->spoke_ns = ws->heard_ns;
	if (config(ws)->on_fragment) {
		tell_part(ws, p, n, end);
		return 0;
	}
	if (TAKO__LIKELY(end && !ws->msg.n)) {
		tell(ws, p, n);
		return 0;
	}
	if (n && gather(ws, p, n))
		return 1011;
	if (end)
		tell_gathered(ws);
	return 0;
}

/* ---- Frames -------------------------------------------------------------------------------- */

/* It opens a message or goes on with one.  0, or the code to fail with. */
static int begin_data(tako_ws *ws, const struct tako__ws_head *h)
{
	const tako_ws_config *cfg = config(ws);
	unsigned op = h->first & TAKO__WS_OPCODE;

	if (TAKO__UNLIKELY(!(h->first & TAKO__WS_FIN) || ws->kind || op == TAKO__WS_MORE)) {
		int code = tako__ws_rule_data(ws, h->first);

		if (code)
			return code;
	}
	if (op != TAKO__WS_MORE) {
		ws->kind = (uint8_t)op;
		ws->part_seen = false;
		ws->utf8 = (struct tako__utf8){0};
		ws->frame_count = 0;
		ws->bytes = 0;
	}
	if (ws->frame_count++ >= cfg->max_frame_count)
		return 1008;
	if (h->length > cfg->max_message_bytes - ws->bytes)
		return 1009;
	ws->bytes += h->length;
	return 0;
}

/* What is dropped since we are closing need not be right either, as long as its length is known. */
static int begin(tako_ws *ws, const struct tako__ws_head *h)
{
	int code = 0;

	if (TAKO__LIKELY(ws->state == TAKO__WS_OPEN)) {
		if (h->first & TAKO__WS_RSV)
			return 1002;
		if (!(h->first & TAKO__WS_CONTROL))
			code = begin_data(ws, h);
	}
	ws->first = h->first;
	ws->key = h->key;
	ws->left = h->length;
	ws->offset = 0;
	ws->in_frame = true;
	return code;
}

static void payload(tako_ws *ws, char *p, size_t n)
{
	unsigned op = ws->first & TAKO__WS_OPCODE;
	bool end = n == ws->left;
	int code;

	tako__ws_mask(p, n, ws->key, (size_t)ws->offset);
	ws->offset += n;
	ws->left -= n;
	ws->in_frame = !end;
	if (TAKO__UNLIKELY(op & TAKO__WS_CONTROL)) {
		tako__ws_rule_control(ws, p, n, end);
		return;
	}
	if (TAKO__UNLIKELY(ws->state != TAKO__WS_OPEN))
		return;
	code = content(ws, p, n, end && (ws->first & TAKO__WS_FIN));
	if (TAKO__UNLIKELY(code))
		tako__ws_fail(ws, code);
}

/* The head of the next frame; how many bytes of p that were.  *ret: its length, 0 while it is
 * incomplete. */
static size_t take_head(tako_ws *ws, const char *p, size_t n, struct tako__ws_head *h, int *ret)
{
	size_t had = ws->head_n;
	size_t step = sizeof ws->head - had;

	if (TAKO__LIKELY(!had)) {
		*ret = tako__ws_head_read(h, p, n);
		if (TAKO__LIKELY(*ret))
			return *ret > 0 ? (size_t)*ret : n;
	}
	if (step > n)
		step = n;
	memcpy(ws->head + had, p, step);
	*ret = tako__ws_head_read(h, ws->head, had + step);
	ws->head_n = *ret ? 0 : (uint8_t)(had + step);
	return *ret > 0 ? (size_t)*ret - had : step;
}

static size_t take_frame(tako_ws *ws, char *p, size_t n)
{
	struct tako__ws_head h;
	int head_n;
	size_t used = take_head(ws, p, n, &h, &head_n);
	size_t step;
	int code = 0;

	if (!head_n)
		return used;
	code = head_n < 0 ? 1002 : begin(ws, &h);
	if (TAKO__UNLIKELY(code)) {
		tako__ws_fail(ws, code);
		return n;
	}
	/* An empty frame is through with its head. */
	step = n - used < ws->left ? n - used : (size_t)ws->left;
	if (step || !ws->left)
		payload(ws, p + used, step);
	return used + step;
}

void tako__ws_feed(tako_ws *ws, char *p, size_t n)
{
	ws->heard_ns = tako__ws_now(ws);
	while (n && ws->state <= TAKO__WS_CLOSING) {
		size_t step;

		if (TAKO__LIKELY(!ws->in_frame)) {
			step = take_frame(ws, p, n);
		} else {
			step = n < ws->left ? n : (size_t)ws->left;
			payload(ws, p, step);
		}
		p += step;
		n -= step;
	}
}

/* SPDX-License-Identifier: MIT
 *
 * What comes in: frames are found, unmasked where they lie and handed on, without a copy if a message
 * arrived in one piece.  Nothing is looked at twice.  What a frame may be among others is decided in
 * ws_rule.c, unless it is a whole message between messages, which nearly all are.
 */
#include "transports/ws/ws_int.h"
#include "transports/ws/ws_mask.h"
#include "transports/ws/ws_pack.h"

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

int tako__ws_content(tako_ws *ws, const char *p, size_t n, bool end)
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

int tako__ws_content_end(tako_ws *ws)
{
	if (config(ws)->on_fragment || !ws->msg.n) {
		tako__ws_buf_put(ws->local, &ws->msg);
		return tako__ws_content(ws, "", 0, true);
	}
	if (ws->kind == TAKO_WS_TEXT && !tako__utf8_done(&ws->utf8))
		return 1007;
	ws->spoke_ns = ws->heard_ns;
	tell_gathered(ws);
	return 0;
}

/* ---- Frames -------------------------------------------------------------------------------- */

/* Of what a message takes on the wire.  How large a compressed one may become is watched where it is
 * inflated; but it may also be all frames and no bytes. */
static uint64_t limit(const tako_ws *ws)
{
	uint64_t max = config(ws)->max_message_bytes;
	uint64_t slack = ws->packed ? max / 8 + 1024 : 0;

	return max > UINT64_MAX - slack ? UINT64_MAX : max + slack;
}

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
		ws->packed = h->first & TAKO__WS_RSV1;
		ws->part_seen = false;
		ws->utf8 = (struct tako__utf8){0};
		ws->frame_count = 0;
		ws->bytes = 0;
	}
	if (ws->frame_count++ >= cfg->max_frame_count)
		return 1008;
	if (h->length > limit(ws) - ws->bytes)
		return 1009;
	ws->bytes += h->length;
	return 0;
}

/* Those that have a meaning: the first frame of a message says that it is compressed (RFC 7692 section
 * 6.1), if that was agreed on. */
static bool rsv_ok(const tako_ws *ws, uint8_t first)
{
	unsigned op = first & TAKO__WS_OPCODE;

	return (first & TAKO__WS_RSV) == TAKO__WS_RSV1 && ws->deflate &&
	       (op == TAKO__WS_TEXT || op == TAKO__WS_BINARY);
}

/* What is dropped since we are closing need not be right either, as long as its length is known. */
static int begin(tako_ws *ws, const struct tako__ws_head *h)
{
	int code = 0;

	if (TAKO__LIKELY(ws->state == TAKO__WS_OPEN)) {
		if (TAKO__UNLIKELY(h->first & TAKO__WS_RSV) && !rsv_ok(ws, h->first))
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
	end = end && (ws->first & TAKO__WS_FIN);
	code = TAKO__UNLIKELY(ws->packed) ? tako__ws_pack_in(ws, p, n, end)
	                                  : tako__ws_content(ws, p, n, end);
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

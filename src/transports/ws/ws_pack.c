/* SPDX-License-Identifier: MIT
 *
 * Compressed messages between frames and users: what was agreed on, whose buffers the bytes go through, and
 * which messages are worth it.  The compression itself is ws_deflate.c's.
 */
#include "transports/ws/ws_pack.h"

#include "core/mem.h"
#include "transports/ws/ws_int.h"

enum { ROOM_BYTES = 16 << 10 }; /* offered at once to what comes out of zlib */

/* ---- The handshake ------------------------------------------------------------------------ */

struct tako__ws_offer_config tako__ws_pack_config(const tako_ws_deflate *d)
{
	return (struct tako__ws_offer_config){
		.max_memory_bytes = d->memory_bytes == TAKO_OFF ? SIZE_MAX : d->memory_bytes,
		.server_bits = (uint8_t)d->server_window_bits,
		.client_bits = (uint8_t)d->client_window_bits,
		.level = (uint8_t)d->level,
		.server_no_context = d->server_no_context,
		.client_no_context = d->client_no_context,
	};
}

int tako__ws_pack_agree(tako_req *req, tako_res *res, const tako_ws_deflate *d,
                        struct tako__ws_deflate_params *ret, bool *ret_taken)
{
	const struct tako__ws_offer_config cfg = tako__ws_pack_config(d);
	char answer[TAKO__WS_ANSWER_BYTES];
	tako_str name, value;
	bool taken = d->size == 0;
	size_t n;

	*ret_taken = false;
	for (size_t i = 0; tako_req_header_at(req, i, &name, &value); i++) {
		int rc;

		if (!tako_str_ieq(name, TAKO_STR("sec-websocket-extensions")))
			continue;
		rc = tako__ws_offer_take(value, &cfg, ret, &taken);
		if (rc < 0)
			return rc;
	}
	*ret_taken = taken && d->size;
	if (!*ret_taken)
		return 0;
	n = tako__ws_offer_answer(ret, answer);
	return tako_res_header_str(res, TAKO_STR("Sec-WebSocket-Extensions"),
	                           (tako_str){answer, n});
}

int tako__ws_pack_init(tako_ws *ws, const struct tako__ws_deflate_params *params)
{
	ws->deflate = tako__arena_alloc(&ws->x->arena, sizeof *ws->deflate);
	if (!ws->deflate)
		return TAKO_ENOMEM;
	tako__ws_deflate_init(ws->deflate, &ws->local->zpool, params);
	return 0;
}

void tako__ws_pack_fini(tako_ws *ws)
{
	if (ws->deflate)
		tako__ws_deflate_fini(ws->deflate);
	ws->deflate = NULL;
}

/* ---- In ------------------------------------------------------------------------------------- */

/* Parts that on_fragment takes pass through a buffer that is nobody's for longer than that. */
struct inflating {
	tako_ws *ws;
	struct tako__ws_buf *to;
	struct tako__ws_buf part;
	bool in_parts;
	int code; /* to fail with */
};

static char *room(void *arg, size_t *ret_bytes)
{
	struct inflating *f = arg;

	if (tako__ws_buf_room(f->ws->local, f->to, ROOM_BYTES) < 0)
		return NULL;
	*ret_bytes = f->to->cap - f->to->n;
	return f->to->p + f->to->n;
}

static void wrote(void *arg, size_t bytes)
{
	struct inflating *f = arg;

	/* Whoever closed is told no more. */
	if (f->code || f->ws->state != TAKO__WS_OPEN)
		return;
	if (f->in_parts) {
		/* Nothing is kept, so that the part is what begins the buffer. */
		f->code = tako__ws_content(f->ws, f->to->p, bytes, false);
		return;
	}
	if (f->ws->kind == TAKO_WS_TEXT &&
	    !tako__utf8_feed(&f->ws->utf8, f->to->p + f->to->n, bytes))
		f->code = 1007;
	f->to->n += bytes;
}

static int code_of(int err)
{
	return err == TAKO_ETOOBIG ? 1009 : err == TAKO_EPROTO ? 1007 : 1011;
}

int tako__ws_pack_in(tako_ws *ws, const char *p, size_t n, bool end)
{
	const tako_ws_config *cfg = &ws->conf->cfg;
	struct inflating f = {.ws = ws, .to = &ws->msg, .in_parts = cfg->on_fragment != NULL};
	const struct tako__ws_sink sink = {room, wrote, &f};
	int rc;

	if (f.in_parts)
		f.to = &f.part;
	rc = tako__ws_inflate(ws->deflate, p, n, end, cfg->max_message_bytes, &sink);
	tako__ws_buf_put(ws->local, &f.part);
	if (rc < 0)
		return code_of(rc);
	/* A part's callback may have closed or cut us: the rest is dropped, but was inflated for the sake
	 * of the context. */
	if (f.code || ws->state != TAKO__WS_OPEN || !end)
		return f.code;
	return tako__ws_content_end(ws);
}

/* ---- Out -------------------------------------------------------------------------------------- */

static char *out_room(void *arg, size_t *ret_bytes)
{
	struct tako__ws_local *l = arg;

	if (tako__ws_buf_room(l, &l->packed, ROOM_BYTES) < 0)
		return NULL;
	*ret_bytes = l->packed.cap - l->packed.n;
	return l->packed.p + l->packed.n;
}

static void out_wrote(void *arg, size_t bytes)
{
	struct tako__ws_local *l = arg;

	l->packed.n += bytes;
}

bool tako__ws_pack_out(tako_ws *ws, tako_str msg, tako_str *packed, int *ret)
{
	struct tako__ws_local *l = ws->local;
	const struct tako__ws_sink sink = {out_room, out_wrote, l};
	uint32_t threshold = ws->conf->deflate.threshold_bytes;

	*ret = 0;
	if (!ws->deflate || threshold == TAKO_OFF || msg.n < threshold)
		return false;
	tako__ws_buf_put(l, &l->packed);
	*ret = tako__ws_deflate(ws->deflate, msg.p, msg.n, &sink);
	*packed = (tako_str){l->packed.p, l->packed.n};
	/* What others will not refer to may as well stay as it is. */
	return *ret == 0 && (packed->n < msg.n || !ws->deflate->params.server_no_context);
}

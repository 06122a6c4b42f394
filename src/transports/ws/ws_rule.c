/* SPDX-License-Identifier: MIT
 *
 * Frames that are not whole messages: fragments and control frames, by wslay.  It keeps what may follow
 * what (RFC 6455 section 5.4), answers pings and closes (section 5.5), and knows which closes are
 * valid (section 7.4).
 *
 * It never sees the payload of messages, since it would unmask that byte by byte into a buffer of its
 * own: of a fragment it is told the head, with no payload behind it.  Its state is 9 KiB, four times of
 * what an idle WebSocket may take altogether, so that one is borrowed from the worker only while it
 * has something to remember: from the first fragment of a message to its last, or for one control
 * frame.  Between messages a used state is like a fresh one.
 */
#include "transports/ws/ws_rule.h"

#include <wslay/wslay.h>

#include "transports/ws/ws_int.h"

enum { RULES_KEPT = 16 };

struct tako__ws_rule {
	struct tako__ws_rule *next; /* among the free ones */
	wslay_event_context_ptr wslay;
	tako_ws *ws;
	const char *in; /* what wslay is to read */
	size_t in_n;
	int err; /* of what it wrote */
	uint16_t real_code;
	uint8_t control_n;
	char control[TAKO__WS_CONTROL_BYTES + 1]; /* the payload of one that comes in pieces */
};

/* ---- Callbacks ----------------------------------------------------------------------------- */

static ssize_t on_read(wslay_event_context_ptr wslay, uint8_t *to, size_t n, int flags, void *arg)
{
	struct tako__ws_rule *r = arg;

	(void)flags;
	if (!r->in_n) {
		wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	n = n < r->in_n ? n : r->in_n;
	memcpy(to, r->in, n);
	r->in += n;
	r->in_n -= n;
	return (ssize_t)n;
}

static ssize_t on_write(wslay_event_context_ptr wslay, const uint8_t *p, size_t n, int flags,
                        void *arg)
{
	struct tako__ws_rule *r = arg;

	(void)wslay, (void)flags;
	/* What cannot be written is for our caller to fail with; wslay would keep it. */
	if (r->err == 0)
		r->err = tako__ws_write(r->ws, (const char *)p, n);
	return (ssize_t)n;
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *m,
                       void *arg)
{
	struct tako__ws_rule *r = arg;
	tako_ws *ws = r->ws;
	const tako_ws_config *cfg = &ws->conf->cfg;
	tako_str body = {m->msg_length ? (const char *)m->msg : "", m->msg_length};

	(void)wslay;
	if (m->opcode == WSLAY_CONNECTION_CLOSE && body.n > 2) {
		char *kept = tako__arena_alloc(&ws->x->arena, body.n - 2);

		/* Without memory there is none, which is as it may be. */
		if (kept)
			ws->reason = (tako_str){memcpy(kept, body.p + 2, body.n - 2), body.n - 2};
	} else if (m->opcode == WSLAY_PING && cfg->on_ping) {
		/* Its answer leaves first. */
		wslay_event_send(r->wslay);
		cfg->on_ping(ws, body, ws->arg);
	} else if (m->opcode == WSLAY_PONG) {
		tako__ws_answered(ws);
		if (cfg->on_pong)
			cfg->on_pong(ws, body, ws->arg);
	}
}

/* ---- States -------------------------------------------------------------------------------- */

static void rule_free(struct tako__ws_rule *r)
{
	wslay_event_context_free(r->wslay);
	tako__free(r, sizeof *r);
}

void tako__ws_rules_free(struct tako__ws_local *l)
{
	while (l->rules) {
		struct tako__ws_rule *r = l->rules;

		l->rules = r->next;
		rule_free(r);
	}
}

static struct tako__ws_rule *rule_new(void)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_read,
		.send_callback = on_write,
		.on_msg_recv_callback = on_message,
	};
	struct tako__ws_rule *r = tako__alloc(sizeof *r);

	if (!r)
		return NULL;
	if (wslay_event_context_server_init(&r->wslay, &callbacks, r) != 0) {
		tako__free(r, sizeof *r);
		return NULL;
	}
	wslay_event_config_set_no_buffering(r->wslay, 1);
	return r;
}

static struct tako__ws_rule *borrow(tako_ws *ws)
{
	struct tako__ws_local *l = ws->local;
	struct tako__ws_rule *r = ws->rule;

	if (r)
		return r;
	r = l->rules;
	if (r) {
		l->rules = r->next;
		l->rule_count--;
	} else {
		r = rule_new();
	}
	if (r) {
		r->ws = ws;
		r->err = 0;
		r->real_code = 0;
		r->control_n = 0;
	}
	ws->rule = r;
	return r;
}

/* One that has seen an error or a close is of no use for others, nor is one in the midst of
 * something. */
static void put(tako_ws *ws, bool fresh)
{
	struct tako__ws_local *l = ws->local;
	struct tako__ws_rule *r = ws->rule;

	ws->rule = NULL;
	if (!fresh || l->rule_count >= RULES_KEPT) {
		rule_free(r);
		return;
	}
	r->next = l->rules;
	l->rules = r;
	l->rule_count++;
}

void tako__ws_rule_drop(tako_ws *ws)
{
	if (ws->rule)
		put(ws, false);
}

/* ---- Fragments ------------------------------------------------------------------------------- */

/* Give wslay a frame.  False: it refuses it, or has no memory. */
static bool tell(struct tako__ws_rule *r, uint8_t first, const char *p, size_t n)
{
	/* The key is zero: nothing is masked any more. */
	char frame[6 + TAKO__WS_CONTROL_BYTES] = {(char)first, (char)(TAKO__WS_MASKED | n)};

	if (n)
		memcpy(frame + 6, p, n);
	r->in = frame;
	r->in_n = 6 + n;
	return wslay_event_recv(r->wslay) == 0 && wslay_event_get_read_enabled(r->wslay);
}

int tako__ws_rule_data(tako_ws *ws, uint8_t first)
{
	struct tako__ws_rule *r = borrow(ws);

	if (!r)
		return 1011;
	/* RSV1 is ours: an extension's, agreed on, and not wslay's to know. */
	if (!tell(r, first & (uint8_t)~TAKO__WS_RSV, NULL, 0))
		return 1002;
	if (first & TAKO__WS_FIN)
		put(ws, true);
	return 0;
}

/* ---- Control frames ----------------------------------------------------------------------------- */

/* wslay does not know those that were registered after the RFC, for what servers say to whom they ask to
 * come back. */
static bool is_later_code(int code)
{
	return code >= 1012 && code <= 1014;
}

/* What wslay up to 1.1.1 has wrong of closes.  0, or the code to fail with. */
static int mend_close(struct tako__ws_rule *r)
{
	int code;

	/* It takes one byte for none (section 5.5.1). */
	if (r->control_n == 1)
		return 1002;
	if (r->control_n < 2)
		return 0;
	code = (unsigned char)r->control[0] << 8 | (unsigned char)r->control[1];
	r->real_code = (uint16_t)code;
	if (is_later_code(code)) {
		r->control[0] = (char)(1001 >> 8);
		r->control[1] = (char)(1001 & 255);
	}
	return 0;
}

/* wslay has an answer, which of a close is its code. */
static void send_answer(tako_ws *ws, struct tako__ws_rule *r, bool closed)
{
	if (closed && is_later_code(r->real_code))
		r->err = tako__ws_write_close(ws, r->real_code, (tako_str){"", 0});
	else
		wslay_event_send(r->wslay);
}

/* wslay has read a whole control frame. */
static void answer(tako_ws *ws, struct tako__ws_rule *r, bool taken)
{
	bool closing = ws->state == TAKO__WS_CLOSING;
	bool closed = wslay_event_get_close_received(r->wslay);
	int code = r->real_code ? r->real_code : 1005;

	if (closing && closed) {
		tako__ws_finish(ws, ws->code);
		return;
	}
	if (!closing && r->err == 0)
		send_answer(ws, r, closed);
	if (r->err < 0)
		tako__ws_cut(ws, 1006, r->err);
	else if (closed)
		tako__ws_finish(ws, code);
	else if (!taken && closing)
		tako__ws_finish(ws, 1002);
	else if (!taken)
		tako__ws_finish(ws, wslay_event_get_status_code_sent(r->wslay));
	else if (!ws->kind && ws->rule)
		put(ws, true);
}

void tako__ws_rule_control(tako_ws *ws, const char *p, size_t n, bool end)
{
	unsigned op = ws->first & TAKO__WS_OPCODE;
	struct tako__ws_rule *r;
	int code;

	/* After our close only the peer's counts. */
	if (ws->state == TAKO__WS_CLOSING && op != TAKO__WS_CLOSE)
		return;
	r = borrow(ws);
	if (!r) {
		tako__ws_fail(ws, 1011);
		return;
	}
	/* The first of this frame: of one that our close came into the middle of, the pieces before that
	 * are still here. */
	if (ws->offset == n)
		r->control_n = 0;
	if (n)
		memcpy(r->control + r->control_n, p, n);
	r->control_n = (uint8_t)(r->control_n + n);
	if (!end)
		return;
	n = r->control_n;
	code = op == TAKO__WS_CLOSE ? mend_close(r) : 0;
	r->control_n = 0;
	if (code) {
		tako__ws_fail(ws, code);
		return;
	}
	answer(ws, r, tell(r, ws->first, r->control, n));
}

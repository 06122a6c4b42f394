/* SPDX-License-Identifier: MIT
 *
 * See sim_ws_client.h.
 */
#include "sim/sim_ws_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_field(struct sim_ask *a, const char *name, const char *value)
{
	a->fields[a->field_count].name = name;
	snprintf(a->fields[a->field_count++].value, SIM_VALUE_BYTES, "%s", value);
}

void sim_ws_client_ask(struct sim_ws_client *w, struct sim_script *c, const char *path)
{
	w->script = c;
	w->request = c->count;
	/* One byte that is never said: it does not end with what is. */
	w->ask = (struct sim_ask){.method = "GET",
	                          .protocol = "websocket",
	                          .body = w->said,
	                          .body_n = sizeof w->said,
	                          .waits = true};
	snprintf(w->ask.path, sizeof w->ask.path, "%s", path);
	add_field(&w->ask, "sec-websocket-version", "13");
	/* RFC 8441 section 5: not over HTTP/2. */
	if (!c->h2)
		add_field(&w->ask, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
	sim_script_ask(c, &w->ask, (struct sim_expect){.status = 101, .any_body = true});
}

static void go_on(struct sim_ws_client *w)
{
	if (w->open && w->said_n)
		sim_script_go_on(w->script, w->request, &w->ask, w->said_n);
}

void sim_ws_client_say(struct sim_ws_client *w, unsigned first, const char *p, size_t n)
{
	uint64_t random = sim_rand_u64(&w->script->peer.sim->rand);
	char key[SIM_WS_KEY_BYTES];

	if (w->said_n + SIM_WS_HEAD_BYTES + n >= sizeof w->said)
		abort();
	memcpy(key, &random, sizeof key);
	w->said_n += sim_ws_frame_head(w->said + w->said_n, first, n, key);
	if (n)
		memcpy(w->said + w->said_n, p, n);
	sim_ws_frame_mask(w->said + w->said_n, n, key);
	w->said_n += n;
	go_on(w);
}

void sim_ws_client_close(struct sim_ws_client *w, unsigned code)
{
	char text[2] = {(char)(code >> 8), (char)code};

	sim_ws_client_say(w, SIM_WS_FIN | SIM_WS_CLOSE, text, sizeof text);
}

static void hear(struct sim_ws_client *w, const struct sim_ws_frame *f)
{
	switch (f->first & 0x0f) {
	case SIM_WS_PING:
		w->pings++;
		if (!w->mute)
			sim_ws_client_say(w, SIM_WS_FIN | SIM_WS_PONG, f->p, f->n);
		break;
	case SIM_WS_CLOSE:
		w->code = sim_ws_frame_code(f);
		if (!w->rude)
			sim_ws_client_close(w, w->code);
		break;
	default:
		break;
	}
}

bool sim_ws_client_turn(struct sim_ws_client *w)
{
	const struct sim_reply *r = sim_script_heard(w->script, w->request);
	struct sim_ws_frame f;
	const char *p;
	size_t n;
	bool heard = false;

	if (!r || (r->status != 101 && r->status != 200))
		return false;
	if (!w->open) {
		w->open = heard = true;
		go_on(w);
	}
	/* Nothing is behind a Close (RFC 6455 section 5.5.1). */
	p = r->body + w->heard_n;
	n = r->body_n - w->heard_n;
	while (!w->code && n && sim_ws_frame_next(&p, &n, &f)) {
		hear(w, &f);
		heard = true;
	}
	w->heard_n = r->body_n - n;
	return heard;
}

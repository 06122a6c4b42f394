/* SPDX-License-Identifier: MIT
 *
 * See sim_h2.h: what the client says.  Field blocks are cut into frames, bodies into DATA, windows
 * open late and in steps; all of it within what the server has allowed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_h2.h"

enum {
	HEAD_FIELDS_MAX = 16,
	CONTINUATIONS_MAX = 6, /* servers need not take more than they like */
	STREAMS_FIRST = 4,
	SMALL_UPDATES = 40, /* windows until they grow */
	SMALL_PIECES = 100,
	CHATTER_MAX = 12,
};

void sim_h2_draw(struct sim_h2 *h)
{
	static const uint64_t pauses[] = {0, 0, 20000, 2000000};
	struct sim_rand *r = h->rand;

	h->eager = sim_rand_chance(r, 300);
	h->pause_ns_max = pauses[sim_rand_below(r, 4)];
	h->chatter = (unsigned)sim_rand_below(r, CHATTER_MAX);
	if (sim_rand_chance(r, 500))
		h->our_table_bytes = (uint32_t)sim_rand_size(r, 20000) - 1;
	if (sim_rand_chance(r, 300))
		h->our_frame_bytes = 16384 + (uint32_t)sim_rand_size(r, 100000);
	if (sim_rand_chance(r, 500))
		h->window_changes = (unsigned)sim_rand_below(r, SIM_H2_SETTINGS_MAX - 2);
}

/* ---- Frames --------------------------------------------------------------------------- */

void sim_h2_frame(struct sim_h2 *h, unsigned type, unsigned flags, uint32_t id, const void *p,
                  size_t n)
{
	uint8_t head[SIM_H2_HEAD_BYTES] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n,
	                                   (uint8_t)type, (uint8_t)flags};

	sim_h2_put32(head + 5, id);
	h->say(h->say_arg, (const char *)head, sizeof head);
	if (n)
		h->say(h->say_arg, p, n);
}

/* With `pad` bytes of padding, and one that says so; -1: without. */
static void padded_frame(struct sim_h2 *h, unsigned type, unsigned flags, uint32_t id,
                         const void *p, size_t n, int pad)
{
	static const uint8_t zeros[256];
	uint8_t *all;

	if (pad < 0) {
		sim_h2_frame(h, type, flags, id, p, n);
		return;
	}
	all = malloc(1 + n + (size_t)pad);
	if (!all)
		abort();
	all[0] = (uint8_t)pad;
	if (n)
		memcpy(all + 1, p, n);
	memcpy(all + 1 + n, zeros, (size_t)pad);
	sim_h2_frame(h, type, flags | SIM_H2_PADDED, id, all, 1 + n + (size_t)pad);
	free(all);
}

static int any_pad(struct sim_h2 *h)
{
	if (h->eager || !sim_rand_chance(h->rand, 100))
		return -1;
	return (int)sim_rand_below(h->rand, 256);
}

static void setting(uint8_t *to, unsigned id, uint32_t value)
{
	to[0] = (uint8_t)(id >> 8);
	to[1] = (uint8_t)id;
	sim_h2_put32(to + 2, value);
}

/* ---- Beginning ---------------------------------------------------------------------------- */

static void say_window(struct sim_h2 *h, uint32_t id, uint32_t by)
{
	uint8_t p[4];

	sim_h2_put32(p, by);
	sim_h2_frame(h, SIM_H2_WINDOW_UPDATE, 0, id, p, sizeof p);
}

/* A new window for all streams, those that are open too (RFC 9113 section 6.9.2). */
static void say_window_bytes(struct sim_h2 *h, const uint8_t *more, size_t more_n)
{
	uint8_t p[32];
	uint32_t before = h->said[h->unacked].window_bytes;
	uint32_t bytes = h->eager ? SIM_H2_WINDOW : (uint32_t)sim_rand_size(h->rand, 100000) - 1;

	setting(p, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bytes);
	if (more_n)
		memcpy(p + 6, more, more_n);
	sim_h2_frame(h, SIM_H2_SETTINGS, 0, 0, p, 6 + more_n);
	h->unacked++;
	h->said[h->unacked].window_bytes = bytes;
	h->said[h->unacked].opened = h->opened;
	for (unsigned i = 0; bytes > before && i < h->opened; i++)
		h->streams[i].receive_window += (int64_t)bytes - before;
}

static void begin(struct sim_h2 *h)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	uint8_t more[18];

	h->begun = true;
	h->say(h->say_arg, preface, sizeof preface - 1);
	setting(more, NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, h->our_table_bytes);
	setting(more + 6, NGHTTP2_SETTINGS_MAX_FRAME_SIZE, h->our_frame_bytes);
	setting(more + 12, NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
	say_window_bytes(h, more, sizeof more);
	if (h->eager || sim_rand_chance(h->rand, 300)) {
		say_window(h, 0, 1000000);
		h->receive_window += 1000000;
	}
}

/* ---- Requests -------------------------------------------------------------------------------- */

struct block {
	nghttp2_nv nva[HEAD_FIELDS_MAX];
	size_t n;
};

static void put(struct block *b, const char *name, const char *value)
{
	b->nva[b->n++] = (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value,
	                              strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* HEADERS and as many CONTINUATIONs as it takes. */
static void say_block(struct sim_h2 *h, uint32_t id, struct block *b, bool ends)
{
	uint8_t bytes[SIM_H2_BLOCK_BYTES];
	unsigned type = SIM_H2_HEADERS;
	unsigned flags = ends ? SIM_H2_END_STREAM : 0;
	size_t at = 0;
	ssize_t n;

	for (size_t i = 0; i < b->n; i++) {
		if (!h->eager && sim_rand_chance(h->rand, 100))
			b->nva[i].flags = NGHTTP2_NV_FLAG_NO_INDEX;
	}
	n = nghttp2_hd_deflate_hd(h->deflater, bytes, sizeof bytes, b->nva, b->n);
	if (n < 0)
		abort();
	for (unsigned i = 0; type == SIM_H2_HEADERS || at < (size_t)n; i++) {
		size_t left = (size_t)n - at;
		size_t step = left;

		if (!h->eager && i < CONTINUATIONS_MAX && sim_rand_chance(h->rand, 200))
			step = left ? sim_rand_size(h->rand, left) : 0;
		if (step == left)
			flags |= SIM_H2_END_HEADERS;
		padded_frame(h, type, flags, id, bytes + at, step,
		             type == SIM_H2_HEADERS ? any_pad(h) : -1);
		at += step;
		type = SIM_H2_CONTINUATION;
		flags = 0;
	}
}

static void open_one(struct sim_h2 *h)
{
	static const char letters[] = "777777777777777777777777777777";
	struct sim_h2_stream *s = &h->streams[h->opened++];
	const struct sim_ask *a = &s->ask;
	struct block b = {.n = 0};
	char length[24];
	char filler[1024];

	s->id = h->opened * 2 - 1;
	s->code = SIM_H2_NO_CODE;
	s->send_window = h->window_bytes;
	s->receive_window = h->said[h->unacked].window_bytes;
	put(&b, ":method", a->protocol ? "CONNECT" : a->method);
	if (a->protocol)
		put(&b, ":protocol", a->protocol);
	put(&b, ":scheme", "http");
	put(&b, ":path", a->path);
	put(&b, ":authority", "sim");
	snprintf(length, sizeof length, "%zu", a->body_n);
	if (a->body && a->counted)
		put(&b, "content-length", length);
	if (a->expects)
		put(&b, "expect", "100-continue");
	if (!h->eager && sim_rand_chance(h->rand, 200))
		put(&b, "priority", sim_rand_chance(h->rand, 500) ? "u=1, i" : "u=5");
	for (size_t i = 0; i < a->filler_n; i++)
		filler[i] = letters[i % (sizeof letters - 1)];
	filler[a->filler_n] = '\0';
	if (a->filler_n)
		put(&b, "x-filler", filler);
	for (unsigned i = 0; i < a->field_count; i++)
		put(&b, a->fields[i].name, a->fields[i].value);
	s->said_all = !a->body;
	say_block(h, s->id, &b, !a->body);
}

static struct sim_h2_stream *new_stream(struct sim_h2 *h)
{
	struct sim_h2_stream *s;

	if (h->count == h->stream_cap) {
		h->stream_cap = h->stream_cap ? h->stream_cap * 2 : STREAMS_FIRST;
		h->streams = realloc(h->streams, h->stream_cap * sizeof *h->streams);
		if (!h->streams)
			abort();
	}
	s = &h->streams[h->count++];
	memset(s, 0, offsetof(struct sim_h2_stream, reply));
	sim_reply_init(&s->reply);
	return s;
}

void sim_h2_ask(struct sim_h2 *h, const struct sim_ask *ask)
{
	struct sim_h2_stream *s;

	if (h->count == SIM_REPLIES_MAX || ask->filler_n >= 1024)
		abort();
	s = new_stream(h);
	s->code = SIM_H2_NO_CODE;
	s->ask = *ask;
	h->left = true;
}

/* Also what is over for us may not be for the server, before its RST_STREAM has come. */
static bool may_open(const struct sim_h2 *h)
{
	unsigned open = 0;

	if (h->opened == h->count || h->goaway || h->bye || (!h->eager && !h->settled))
		return false;
	/* RFC 8441 section 3. */
	if (h->streams[h->opened].ask.protocol && !h->connects)
		return false;
	for (unsigned i = 0; i < h->opened; i++) {
		const struct sim_h2_stream *s = &h->streams[i];

		open += !s->given_up && s->code == SIM_H2_NO_CODE && !(s->complete && s->said_all);
	}
	return open < h->streams_max;
}

/* ---- Bodies ------------------------------------------------------------------------------------- */

static bool wants_to_say(const struct sim_h2_stream *s)
{
	if (s->ask.waits || (s->ask.stops_at && s->said_n >= s->ask.stops_at))
		return false;
	return s->id && !s->said_all && !s->given_up && s->code == SIM_H2_NO_CODE;
}

static int64_t room_for(const struct sim_h2 *h, const struct sim_h2_stream *s)
{
	int64_t room = h->send_window < s->send_window ? h->send_window : s->send_window;

	return room > 0 ? room : 0;
}

static bool may_say(const struct sim_h2 *h, const struct sim_h2_stream *s)
{
	return wants_to_say(s) && (room_for(h, s) || s->said_n == s->ask.body_n);
}

static void say_trailers(struct sim_h2 *h, struct sim_h2_stream *s)
{
	struct block b = {.n = 0};
	char sum[24];

	snprintf(sum, sizeof sum, "%llu", (unsigned long long)s->ask.sum);
	put(&b, "x-sum", sum);
	say_block(h, s->id, &b, true);
}

static size_t piece(struct sim_h2 *h, const struct sim_h2_stream *s, int64_t room)
{
	size_t n = (s->ask.stops_at ? s->ask.stops_at : s->ask.body_n) - s->said_n;

	n = (int64_t)n < room ? n : (size_t)room;
	n = n < h->frame_bytes ? n : h->frame_bytes;
	if (h->eager || n == 0 || h->pieces++ > SMALL_PIECES)
		return n;
	return sim_rand_size(h->rand, n);
}

static void say_body(struct sim_h2 *h, struct sim_h2_stream *s)
{
	int64_t room = room_for(h, s);
	int pad = any_pad(h);
	size_t n;
	bool all;

	n = piece(h, s, room);
	if (pad >= 0 && (int64_t)n + pad + 1 > room)
		pad = -1;
	if (pad >= 0 && n + (size_t)pad + 1 > h->frame_bytes)
		pad = -1;
	all = s->said_n + n == s->ask.body_n;
	/* An end by itself is as good. */
	if (n && all && !h->eager && sim_rand_chance(h->rand, 200))
		all = false;
	if (n || !s->ask.trailer)
		padded_frame(h, SIM_H2_DATA, all && !s->ask.trailer ? SIM_H2_END_STREAM : 0, s->id,
		             s->ask.body + s->said_n, n, pad);
	s->said_n += n;
	s->said_all = all;
	n += (size_t)(pad + 1);
	s->send_window -= (int64_t)n;
	h->send_window -= (int64_t)n;
	if (all && s->ask.trailer)
		say_trailers(h, s);
}

/* ---- Windows --------------------------------------------------------------------------------------- */

static bool is_over(const struct sim_h2_stream *s)
{
	return s->complete || s->given_up || s->code != SIM_H2_NO_CODE;
}

/* The connection's, stream NULL, or one's. */
static void open_window(struct sim_h2 *h, struct sim_h2_stream *s)
{
	uint32_t *owed = s ? &s->owed : &h->owed;
	uint32_t by = *owed;

	if (h->updates++ > SMALL_UPDATES)
		by += 30000;
	say_window(h, s ? s->id : 0, by);
	if (s)
		s->receive_window += by;
	else
		h->receive_window += by;
	*owed = 0;
}

/* A window of nothing that was owed nothing would stay so. */
static bool is_starved(const struct sim_h2 *h, const struct sim_h2_stream *s)
{
	return s->id && !is_over(s) && s->receive_window <= 0 && !s->owed && !h->unacked;
}

/* ---- What brings nothing ------------------------------------------------------------------------------ */

static void say_something(struct sim_h2 *h)
{
	static const uint8_t ping[8] = "pingping";
	uint8_t p[16] = {0};
	uint32_t any = (uint32_t)sim_rand_below(h->rand, h->opened + 1) * 2 + 1;

	h->chatter--;
	switch (sim_rand_below(h->rand, 4)) {
	case 0:
		h->pings++;
		sim_h2_frame(h, SIM_H2_PING, 0, 0, ping, sizeof ping);
		break;
	case 1: /* a type that nobody knows (section 5.5) */
		sim_h2_frame(h, 0xfa, 0xff, any, p, sim_rand_below(h->rand, sizeof p));
		break;
	case 2: /* RFC 9218 section 7.1; of a stream that may still come */
		sim_h2_put32(p, any);
		memcpy(p + 4, "u=2", 3);
		sim_h2_frame(h, SIM_H2_PRIORITY_UPDATE, 0, 0, p, 7);
		break;
	default: /* deprecated, and to be ignored (section 6.3) */
		p[4] = 7;
		sim_h2_frame(h, SIM_H2_PRIORITY, 0, any, p, 5);
	}
}

/* ---- Turns --------------------------------------------------------------------------------------------- */

/* Is it this one's turn?  Where it is not there is something left to do. */
static bool now(struct sim_h2 *h)
{
	if (h->eager || sim_rand_chance(h->rand, 500))
		return true;
	h->left = true;
	return false;
}

static void turn_requests(struct sim_h2 *h)
{
	while (may_open(h) && now(h))
		open_one(h);
}

static void turn_bodies(struct sim_h2 *h)
{
	for (unsigned i = 0; i < h->opened; i++) {
		struct sim_h2_stream *s = &h->streams[i];

		while (may_say(h, s) && now(h))
			say_body(h, s);
	}
}

static void turn_windows(struct sim_h2 *h)
{
	if (h->stingy)
		return;
	if (h->owed && now(h))
		open_window(h, NULL);
	for (unsigned i = 0; i < h->opened; i++) {
		struct sim_h2_stream *s = &h->streams[i];

		if (is_over(s) || (!s->owed && !is_starved(h, s)) || !now(h))
			continue;
		if (is_starved(h, s))
			s->owed = (uint32_t)(1 - s->receive_window) +
			          (uint32_t)sim_rand_size(h->rand, 20000);
		open_window(h, s);
	}
}

/* Whenever something else is due, too. */
static void turn_rest(struct sim_h2 *h)
{
	if (h->chatter && sim_rand_chance(h->rand, 200))
		say_something(h);
	if (!h->window_changes || h->unacked > 3 || !sim_rand_chance(h->rand, 100))
		return;
	h->window_changes--;
	say_window_bytes(h, NULL, 0);
}

uint64_t sim_h2_turn(struct sim_h2 *h, uint64_t now_ns)
{
	if (h->bad)
		return UINT64_MAX;
	if (now_ns < h->next_ns)
		return h->left ? h->next_ns : UINT64_MAX;
	if (!h->begun)
		begin(h);
	h->left = false;
	turn_requests(h);
	turn_bodies(h);
	turn_windows(h);
	turn_rest(h);
	h->next_ns = now_ns + sim_rand_below(h->rand, h->pause_ns_max + 1);
	return h->left ? h->next_ns : UINT64_MAX;
}

bool sim_h2_silent(const struct sim_h2 *h)
{
	if (may_open(h))
		return false;
	for (unsigned i = 0; i < h->opened; i++) {
		if (wants_to_say(&h->streams[i]))
			return false;
	}
	return true;
}

void sim_h2_go_on(struct sim_h2 *h, unsigned i, size_t to)
{
	h->streams[i].ask.waits = false;
	h->streams[i].ask.stops_at = to;
	h->left = true;
}

/* ---- Ends ------------------------------------------------------------------------------------------------ */

bool sim_h2_give_up(struct sim_h2 *h, unsigned i, uint32_t code)
{
	struct sim_h2_stream *s = &h->streams[i];
	uint8_t p[4];

	if (!s->id || is_over(s))
		return false;
	s->given_up = true;
	sim_h2_put32(p, code);
	sim_h2_frame(h, SIM_H2_RST_STREAM, 0, s->id, p, sizeof p);
	return true;
}

void sim_h2_say_bye(struct sim_h2 *h)
{
	uint8_t p[8] = {0};

	if (h->bye)
		return;
	h->bye = true;
	sim_h2_frame(h, SIM_H2_GOAWAY, 0, 0, p, sizeof p);
}

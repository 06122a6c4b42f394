/* SPDX-License-Identifier: MIT
 *
 * See sim_h2.h: what comes from the server.  Each thing that must not come has a name in `bad`.
 */
#include "sim/sim_h2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void sim_h2_init(struct sim_h2 *h, struct sim_rand *rand, void (*say)(void *, const char *, size_t),
                 void *arg)
{
	*h = (struct sim_h2){.rand = rand,
	                     .say = say,
	                     .say_arg = arg,
	                     .window_bytes = SIM_H2_WINDOW,
	                     .frame_bytes = 16384,
	                     .streams_max = 100,
	                     .send_window = SIM_H2_WINDOW,
	                     .said = {{.window_bytes = SIM_H2_WINDOW}},
	                     .table_bytes = 4096,
	                     .our_table_bytes = 4096,
	                     .our_frame_bytes = 16384,
	                     .receive_window = SIM_H2_WINDOW,
	                     .eager = true};
	if (nghttp2_hd_deflate_new(&h->deflater, 4096) != 0 ||
	    nghttp2_hd_inflate_new(&h->inflater) != 0)
		abort();
}

void sim_h2_free(struct sim_h2 *h)
{
	for (unsigned i = 0; i < h->count; i++)
		free(h->streams[i].reply.body);
	free(h->streams);
	free(h->in);
	nghttp2_hd_deflate_del(h->deflater);
	nghttp2_hd_inflate_del(h->inflater);
}

static void bad(struct sim_h2 *h, const char *what)
{
	if (!h->bad)
		h->bad = what;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A stream that the server may speak of; 0 is none. */
static struct sim_h2_stream *find(struct sim_h2 *h, uint32_t id)
{
	if (id % 2 == 0 || (id - 1) / 2 >= h->opened) {
		bad(h, "a frame of a stream that was never opened");
		return NULL;
	}
	return &h->streams[(id - 1) / 2];
}

/* The server has looked at it, so no GOAWAY may deny that. */
static void seen(struct sim_h2 *h, const struct sim_h2_stream *s)
{
	if (s->id > h->seen_id)
		h->seen_id = s->id;
	if (h->last && s->id > h->last_id)
		bad(h, "an answer to a request that was not looked at");
}

/* ---- Answers ----------------------------------------------------------------------- */

static void complete(struct sim_h2 *h, struct sim_h2_stream *s)
{
	struct sim_reply *r = &s->reply;
	bool bare = r->head_only || r->status == 204 || r->status == 304;
	char text[32];

	if (!s->answered)
		bad(h, "END_STREAM before the answer");
	else if (!bare && sim_reply_field(r, "content-length", text, sizeof text) &&
	         strtoul(text, NULL, 10) != r->body_n)
		bad(h, "END_STREAM on a body of another length than was said");
	else if (bare && r->body_n)
		bad(h, "a body that must not be");
	s->complete = true;
}

/* RFC 9113 section 8.2. */
static void check_field(struct sim_h2 *h, const nghttp2_nv *nv)
{
	static const char *const hop[] = {"connection", "transfer-encoding", "keep-alive",
	                                  "upgrade", "proxy-connection"};

	for (size_t i = 0; i < nv->namelen; i++) {
		if (nv->name[i] <= ' ' || nv->name[i] >= 0x7f ||
		    (nv->name[i] >= 'A' && nv->name[i] <= 'Z') || (i && nv->name[i] == ':'))
			bad(h, "a field's name");
	}
	if (!nv->namelen || memchr(nv->value, '\n', nv->valuelen) ||
	    memchr(nv->value, '\r', nv->valuelen) || memchr(nv->value, 0, nv->valuelen))
		bad(h, "a field");
	for (size_t i = 0; i < sizeof hop / sizeof *hop; i++) {
		if (strlen(hop[i]) == nv->namelen && !memcmp(hop[i], nv->name, nv->namelen))
			bad(h, "a field of the connection");
	}
}

static void add_head_line(struct sim_h2 *h, struct sim_reply *r, const char *line)
{
	size_t n = strlen(line);

	if (r->head_n + n + 3 > sizeof r->head) {
		bad(h, "head too long");
		return;
	}
	r->head_n += (size_t)sprintf(r->head + r->head_n, "%s\r\n", line);
}

static void take_status(struct sim_h2 *h, struct sim_reply *r, const nghttp2_nv *nv)
{
	char line[32];

	if (nv->namelen != 7 || memcmp(nv->name, ":status", 7) != 0 || nv->valuelen != 3) {
		bad(h, "an answer that does not begin with its status");
		return;
	}
	r->status = atoi((const char *)nv->value);
	if (r->status < 100 || r->status > 599)
		bad(h, "a status");
	snprintf(line, sizeof line, "HTTP/2 %d", r->status);
	r->head_n = 0;
	add_head_line(h, r, line);
}

static void take_field(struct sim_h2 *h, struct sim_h2_stream *s, const nghttp2_nv *nv)
{
	char line[SIM_TRAILER_BYTES];
	int n = snprintf(line, sizeof line, "%.*s: %.*s", (int)nv->namelen, (const char *)nv->name,
	                 (int)nv->valuelen, (const char *)nv->value);

	check_field(h, nv);
	if (nv->name[0] == ':')
		bad(h, "a pseudo-header field behind others");
	else if (n >= (int)sizeof line)
		bad(h, "a field that is too long");
	else if (!s->answered)
		add_head_line(h, &s->reply, line);
	else if (!sim_reply_add_trailer(&s->reply, line, (size_t)n))
		bad(h, "trailers too long");
}

/* One decompressed field after the other; NULL for the stream: only for the table's sake. */
static void inflate(struct sim_h2 *h, struct sim_h2_stream *s)
{
	const uint8_t *at = (const uint8_t *)h->block;
	size_t left = h->block_n;
	unsigned count = 0;
	int flags = 0;

	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv nv;
		ssize_t used = nghttp2_hd_inflate_hd2(h->inflater, &nv, &flags, at, left, 1);

		if (used < 0) {
			bad(h, "a field block that cannot be decompressed");
			return;
		}
		at += used;
		left -= (size_t)used;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) || !s)
			continue;
		if (!count++ && !s->answered)
			take_status(h, &s->reply, &nv);
		else
			take_field(h, s, &nv);
	}
	nghttp2_hd_inflate_end_headers(h->inflater);
	if (s && !count)
		bad(h, "an empty field block");
}

static void take_head(struct sim_h2 *h, struct sim_h2_stream *s)
{
	struct sim_reply *r = &s->reply;

	if (r->status >= 200) {
		s->answered = true;
		r->head_only = !strcmp(s->ask.method, "HEAD");
		return;
	}
	if (h->block_ends)
		bad(h, "an interim answer that ends the stream");
	if (r->status == 101)
		bad(h, "101 over HTTP/2");
	if (r->status == 100)
		r->continue_count++;
	else
		r->hint_count++;
}

static void end_block(struct sim_h2 *h)
{
	struct sim_h2_stream *s = find(h, h->block_id);

	h->block_id = 0;
	if (!s || s->given_up) {
		inflate(h, NULL);
		return;
	}
	if (s->answered && !h->block_ends)
		bad(h, "trailers that do not end the stream");
	if (s->answered) {
		inflate(h, s);
	} else {
		inflate(h, s);
		take_head(h, s);
	}
	seen(h, s);
	if (h->block_ends)
		complete(h, s);
}

/* Nothing comes after the end of a stream. */
static bool has_ended(struct sim_h2 *h, const struct sim_h2_stream *s)
{
	if (!s->complete && s->code == SIM_H2_NO_CODE)
		return false;
	bad(h, "a frame after the end of its stream");
	return true;
}

/* ---- Frames ------------------------------------------------------------------------------- */

struct frame {
	unsigned type;
	unsigned flags;
	uint32_t id;
	const uint8_t *p;
	size_t n;
};

static void add_block(struct sim_h2 *h, const uint8_t *p, size_t n)
{
	if (n > sizeof h->block - h->block_n) {
		bad(h, "a field block that is too large");
		return;
	}
	memcpy(h->block + h->block_n, p, n);
	h->block_n += n;
}

/* Padding and priority off. */
static bool unwrap(struct sim_h2 *h, struct frame *f)
{
	size_t pad = 0;

	if (f->flags & SIM_H2_PADDED) {
		pad = f->n ? f->p[0] + 1u : 1;
		f->p++;
	}
	if (pad > f->n) {
		bad(h, "more padding than frame");
		return false;
	}
	f->n -= pad;
	if (f->type == SIM_H2_HEADERS && (f->flags & SIM_H2_PRIORITISED)) {
		bad(h, "a priority from the server");
		return false;
	}
	return true;
}

static void on_headers(struct sim_h2 *h, struct frame *f)
{
	struct sim_h2_stream *s = find(h, f->id);

	if (!s || has_ended(h, s) || !unwrap(h, f))
		return;
	h->block_id = f->id;
	h->block_ends = f->flags & SIM_H2_END_STREAM;
	h->block_n = 0;
	add_block(h, f->p, f->n);
	if (f->flags & SIM_H2_END_HEADERS)
		end_block(h);
}

static void on_continuation(struct sim_h2 *h, struct frame *f)
{
	if (!h->block_id || f->id != h->block_id) {
		bad(h, "CONTINUATION of nothing");
		return;
	}
	add_block(h, f->p, f->n);
	if (f->flags & SIM_H2_END_HEADERS)
		end_block(h);
}

static void on_data(struct sim_h2 *h, struct frame *f)
{
	struct sim_h2_stream *s = find(h, f->id);
	uint32_t n = (uint32_t)f->n;

	if (!s || has_ended(h, s))
		return;
	/* Also of a stream that we have given up (section 6.9). */
	h->receive_window -= n;
	h->owed += n;
	s->receive_window -= n;
	if (h->receive_window < 0 || s->receive_window < 0)
		bad(h, "more DATA than the window allows");
	if (s->given_up)
		return;
	s->owed += n;
	seen(h, s);
	if (!s->answered)
		bad(h, "DATA before the answer");
	if (!unwrap(h, f))
		return;
	if (f->n)
		sim_reply_add_body(&s->reply, (const char *)f->p, f->n);
	if (f->flags & SIM_H2_END_STREAM)
		complete(h, s);
}

static void on_reset(struct sim_h2 *h, struct frame *f)
{
	struct sim_h2_stream *s = find(h, f->id);

	if (!s)
		return;
	if (f->n != 4)
		bad(h, "RST_STREAM of another size than 4");
	else if (s->code != SIM_H2_NO_CODE)
		bad(h, "a second RST_STREAM");
	else if (s->complete && get32(f->p) != NGHTTP2_NO_ERROR)
		bad(h, "an answer that was complete, and an error");
	else
		s->code = get32(f->p);
	if (s->code != SIM_H2_NO_CODE && s->code != NGHTTP2_REFUSED_STREAM)
		seen(h, s);
}

/* ---- The connection's -------------------------------------------------------------------------- */

static void windows_by(struct sim_h2 *h, int64_t by)
{
	for (unsigned i = 0; i < h->opened; i++)
		h->streams[i].send_window += by;
}

static void take_setting(struct sim_h2 *h, unsigned id, uint32_t value)
{
	switch (id) {
	case NGHTTP2_SETTINGS_HEADER_TABLE_SIZE:
		nghttp2_hd_deflate_change_table_size(h->deflater, value);
		break;
	case NGHTTP2_SETTINGS_ENABLE_PUSH:
		if (value)
			bad(h, "ENABLE_PUSH from a server");
		break;
	case NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS:
		h->streams_max = value;
		break;
	case NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE:
		if (value > INT32_MAX)
			bad(h, "INITIAL_WINDOW_SIZE");
		windows_by(h, (int64_t)value - h->window_bytes);
		h->window_bytes = value;
		break;
	case NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL:
		if (value > 1 || (h->connects && !value))
			bad(h, "ENABLE_CONNECT_PROTOCOL");
		h->connects = value;
		break;
	case NGHTTP2_SETTINGS_MAX_FRAME_SIZE:
		if (value < 16384 || value > 16777215)
			bad(h, "MAX_FRAME_SIZE");
		h->frame_bytes = value;
		break;
	default:
		break;
	}
}

/* What we had announced last is in force; what shrank has shrunk. */
static void on_settings_ack(struct sim_h2 *h)
{
	int64_t by;
	unsigned older;

	if (!h->unacked) {
		bad(h, "SETTINGS acknowledged that were not said");
		return;
	}
	by = (int64_t)h->said[1].window_bytes - h->said[0].window_bytes;
	older = h->said[1].opened;
	memmove(h->said, h->said + 1, h->unacked-- * sizeof *h->said);
	/* Grown ones were counted when they were said: the server may use them at once. */
	for (unsigned i = 0; by < 0 && i < older; i++)
		h->streams[i].receive_window += by;
	if (h->our_table_bytes == h->table_bytes)
		return;
	h->table_bytes = h->our_table_bytes;
	nghttp2_hd_inflate_change_table_size(h->inflater, h->table_bytes);
}

static void on_settings(struct sim_h2 *h, struct frame *f)
{
	if (f->id || f->n % 6 || ((f->flags & SIM_H2_ACK) && f->n)) {
		bad(h, "SETTINGS");
	} else if (f->flags & SIM_H2_ACK) {
		on_settings_ack(h);
	} else {
		for (size_t i = 0; i < f->n; i += 6)
			take_setting(h, (unsigned)f->p[i] << 8 | f->p[i + 1], get32(f->p + i + 2));
		h->settled = true;
		sim_h2_frame(h, SIM_H2_SETTINGS, SIM_H2_ACK, 0, NULL, 0);
	}
}

static void on_ping(struct sim_h2 *h, struct frame *f)
{
	static const uint8_t ours[8] = "pingping";

	if (f->id || f->n != 8)
		bad(h, "PING");
	else if (!(f->flags & SIM_H2_ACK))
		sim_h2_frame(h, SIM_H2_PING, SIM_H2_ACK, 0, f->p, 8);
	else if (!h->pings-- || memcmp(f->p, ours, 8) != 0)
		bad(h, "an answer to no PING of ours");
}

static void on_goaway(struct sim_h2 *h, struct frame *f)
{
	uint32_t last_id;

	if (f->id || f->n < 8) {
		bad(h, "GOAWAY");
		return;
	}
	last_id = get32(f->p) & INT32_MAX;
	if (h->goaway && last_id > h->last_id)
		bad(h, "a GOAWAY that takes back another");
	if (last_id < h->seen_id)
		bad(h, "a GOAWAY that denies what was answered");
	h->goaway = true;
	h->last = last_id != INT32_MAX;
	h->noticed |= !h->last;
	h->last_id = last_id;
	h->code = get32(f->p + 4);
}

static void on_window_update(struct sim_h2 *h, struct frame *f)
{
	struct sim_h2_stream *s = f->id ? find(h, f->id) : NULL;
	int64_t *window = s ? &s->send_window : &h->send_window;

	if (h->bad)
		return;
	if (f->n != 4 || !get32(f->p)) {
		bad(h, "WINDOW_UPDATE");
		return;
	}
	*window += get32(f->p);
	if (*window > INT32_MAX)
		bad(h, "a window that is too large");
}

static void on_frame(struct sim_h2 *h, struct frame *f)
{
	if (!h->settled && (f->type != SIM_H2_SETTINGS || (f->flags & SIM_H2_ACK)))
		bad(h, "something before SETTINGS");
	if (h->block_id && f->type != SIM_H2_CONTINUATION)
		bad(h, "something between HEADERS and CONTINUATION");
	if (h->bad)
		return;
	switch (f->type) {
	case SIM_H2_DATA:
		on_data(h, f);
		break;
	case SIM_H2_HEADERS:
		on_headers(h, f);
		break;
	case SIM_H2_RST_STREAM:
		on_reset(h, f);
		break;
	case SIM_H2_SETTINGS:
		on_settings(h, f);
		break;
	case SIM_H2_PING:
		on_ping(h, f);
		break;
	case SIM_H2_GOAWAY:
		on_goaway(h, f);
		break;
	case SIM_H2_WINDOW_UPDATE:
		on_window_update(h, f);
		break;
	case SIM_H2_CONTINUATION:
		on_continuation(h, f);
		break;
	default:
		bad(h, "a frame that servers do not send");
	}
}

/* ---- Bytes --------------------------------------------------------------------------------------- */

static void keep(struct sim_h2 *h, const char *p, size_t n)
{
	if (h->in_n + n > h->in_cap) {
		h->in_cap = (h->in_n + n) * 2;
		h->in = realloc(h->in, h->in_cap);
		if (!h->in)
			abort();
	}
	memcpy(h->in + h->in_n, p, n);
	h->in_n += n;
}

/* How many bytes of p[0..n) were one frame; 0: it is not whole. */
static size_t one_frame(struct sim_h2 *h, const uint8_t *p, size_t n)
{
	struct frame f;

	if (n < SIM_H2_HEAD_BYTES)
		return 0;
	f = (struct frame){.type = p[3],
	                   .flags = p[4],
	                   .id = get32(p + 5) & INT32_MAX,
	                   .p = p + SIM_H2_HEAD_BYTES,
	                   .n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2]};
	if (f.n > h->our_frame_bytes)
		bad(h, "a frame that is too large");
	if (n - SIM_H2_HEAD_BYTES < f.n)
		return 0;
	n = SIM_H2_HEAD_BYTES + f.n;
	on_frame(h, &f);
	return n;
}

void sim_h2_feed(struct sim_h2 *h, const char *p, size_t n)
{
	const uint8_t *at;
	size_t used;

	h->left = true;
	keep(h, p, n);
	at = (const uint8_t *)h->in;
	while (!h->bad && (used = one_frame(h, at, h->in_n))) {
		at += used;
		h->in_n -= used;
	}
	memmove(h->in, at, h->in_n);
}

bool sim_h2_resolved(const struct sim_h2 *h, unsigned i)
{
	const struct sim_h2_stream *s = &h->streams[i];

	if (!s->id)
		return h->goaway || h->bye;
	return s->complete || s->given_up || s->code != SIM_H2_NO_CODE ||
	       (h->last && s->id > h->last_id);
}

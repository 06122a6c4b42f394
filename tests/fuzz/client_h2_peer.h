/* SPDX-License-Identifier: MIT
 *
 * What a server can hold a client to over HTTP/2, frame by frame, whatever it said itself: the order and form of frames,
 * streams, windows (RFC 9113).  It follows its own bytes only as far as they allow the client something, in the
 * client's favour where it cannot know how much of them has been looked at.  Fields are nghttp2's to decompress.
 */
#ifndef TESTS_FUZZ_CLIENT_H2_PEER_H
#define TESTS_FUZZ_CLIENT_H2_PEER_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_net.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

enum {
	PEER_STREAMS = 64,
	PEER_HEAD_BYTES = 9,
	PEER_FRAME_BYTES = 16384,
	PEER_PREFACE_BYTES = 24,
	PEER_WINDOW_BYTES = 65535,
	PEER_NOBODY = -1,
	PEER_PERIOD = 251,
};

struct peer_stream {
	/* What the client has done. */
	bool opened;
	bool ended;
	bool reset;
	int who;         /* the number in its path; PEER_NOBODY: there was none */
	uint64_t length; /* its Content-Length; UINT64_MAX: none */
	uint64_t sent;   /* bytes of DATA */
	uint64_t opens;  /* … that it has let us send, beyond the first window */
	/* What we have. */
	bool done; /* END_STREAM */
	bool cut;  /* RST_STREAM */
	uint64_t granted;
	uint64_t came; /* bytes of DATA, with their padding */
	uint64_t body; /* … without it, up to `done` */
	uint32_t sum;  /* of these */
};

/* What one SETTINGS says. */
struct peer_settings {
	uint32_t window;
	uint32_t streams;
	uint32_t table;
	uint32_t table_least;
};

/* Frames out of pieces; the payload as far as it has come, but for DATA, of which little is kept. */
struct peer_frames {
	uint8_t head[PEER_HEAD_BYTES];
	size_t head_n;
	size_t payload_n;
	uint8_t *payload; /* PEER_FRAME_BYTES */
};

struct peer {
	struct sim_link *link;
	bool over;
	bool deaf;              /* nothing is taken from the client */
	uint32_t window;        /* of each of its streams, as it is to say */
	uint32_t window_of_all; /* … of the connection */
	/* What the client says. */
	size_t preface_n;
	struct peer_frames in;
	unsigned settings; /* SETTINGS that it has sent */
	bool goaway;
	bool in_block;
	int32_t last; /* stream */
	uint64_t sent;
	uint64_t opens;
	nghttp2_hd_inflater *fields;
	/* What we have said. */
	struct peer_frames out;
	bool lost;                  /* it was no frame that anybody could follow */
	struct peer_settings *said; /* SETTINGS without an answer, from `acked` on */
	size_t said_n;
	size_t acked;
	struct peer_settings now; /* what holds, or is about to */
	uint64_t pings;
	uint64_t granted;
	uint64_t came;
	struct peer_stream streams[PEER_STREAMS];
	/* Not to be cleared. */
	uint8_t in_payload[PEER_FRAME_BYTES];
	uint8_t out_payload[PEER_FRAME_BYTES];
};

static inline uint32_t peer_number(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint32_t peer_sum(uint32_t sum, const void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum = (sum ^ ((const uint8_t *)p)[i]) * 16777619u + 1;
	return sum;
}

static inline int32_t peer_id(const struct peer_frames *f)
{
	return (int32_t)(peer_number(f->head + 5) & 0x7fffffff);
}

static inline size_t peer_length(const struct peer_frames *f)
{
	return (size_t)f->head[0] << 16 | (size_t)f->head[1] << 8 | f->head[2];
}

/* One that the client may have opened; NULL: no such. */
static inline struct peer_stream *peer_stream(struct peer *q, int32_t id)
{
	return (id & 1) && id / 2 < PEER_STREAMS ? &q->streams[id / 2] : NULL;
}

static inline void peer_open(struct peer *q, struct sim_link *link, uint32_t window,
                             uint32_t window_of_all)
{
	memset(q, 0, offsetof(struct peer, in_payload));
	q->link = link;
	q->window = window;
	q->window_of_all = window_of_all;
	q->in.payload = q->in_payload;
	q->out.payload = q->out_payload;
	q->now = (struct peer_settings){PEER_WINDOW_BYTES, UINT32_MAX, 4096, 4096};
	MUST(nghttp2_hd_inflate_new(&q->fields) == 0);
	for (size_t i = 0; i < PEER_STREAMS; i++) {
		q->streams[i].who = PEER_NOBODY;
		q->streams[i].length = UINT64_MAX;
	}
}

static inline void peer_close(struct peer *q)
{
	nghttp2_hd_inflate_del(q->fields);
	free(q->said);
}

/* ---- Frames ----------------------------------------------------------------------------- */

/* Takes some of p[0..n), at most to the end of a frame; how much.  *ret: its head is whole, and what of p is its
 * payload. */
static inline size_t peer_take(struct peer_frames *f, const uint8_t *p, size_t n, bool *ret_head,
                               size_t *ret_payload)
{
	size_t used = 0;

	while (f->head_n < PEER_HEAD_BYTES && used < n)
		f->head[f->head_n++] = p[used++];
	*ret_payload = 0;
	*ret_head = f->head_n == PEER_HEAD_BYTES;
	if (*ret_head) {
		size_t left = peer_length(f) - f->payload_n;

		*ret_payload = n - used < left ? n - used : left;
	}
	return used + *ret_payload;
}

static inline void peer_keep(struct peer_frames *f, const uint8_t *p, size_t n)
{
	if (n)
		memcpy(f->payload + f->payload_n, p, n);
	f->payload_n += n;
}

/* ---- What we say ---------------------------------------------------------------------------- */

static inline uint32_t peer_more(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* It holds when the client says so; what allows more may be used at once. */
static inline void peer_said_settings(struct peer *q, const uint8_t *p, size_t n)
{
	struct peer_settings s = q->said_n > q->acked ? q->said[q->said_n - 1] : q->now;

	s.table_least = s.table;
	for (size_t i = 0; i + 6 <= n; i += 6) {
		unsigned id = (unsigned)p[i] << 8 | p[i + 1];
		uint32_t value = peer_number(p + i + 2);

		if (id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE)
			s.window = value;
		if (id == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
			s.streams = value;
		if (id == NGHTTP2_SETTINGS_HEADER_TABLE_SIZE)
			s.table = value;
		if (id == NGHTTP2_SETTINGS_HEADER_TABLE_SIZE && value < s.table_least)
			s.table_least = value;
	}
	if (!(q->said_n & (q->said_n + 1)) || !q->said) {
		q->said = realloc(q->said, (q->said_n * 2 + 2) * sizeof *q->said);
		MUST(q->said);
	}
	q->said[q->said_n++] = s;
	q->now.window = peer_more(q->now.window, s.window);
	q->now.streams = peer_more(q->now.streams, s.streams);
}

static inline void peer_said(struct peer *q)
{
	const struct peer_frames *f = &q->out;
	struct peer_stream *s = peer_stream(q, peer_id(f));
	unsigned flags = f->head[4];
	bool whole = f->payload_n == 4;

	switch (f->head[3]) {
	case NGHTTP2_SETTINGS:
		if (!(flags & NGHTTP2_FLAG_ACK))
			peer_said_settings(q, f->payload, f->payload_n);
		return;
	case NGHTTP2_PING:
		q->pings += !(flags & NGHTTP2_FLAG_ACK);
		return;
	case NGHTTP2_WINDOW_UPDATE:
		if (whole && (s || !peer_id(f)))
			*(s ? &s->granted : &q->granted) += peer_number(f->payload) & 0x7fffffff;
		return;
	case NGHTTP2_RST_STREAM:
		if (s)
			s->cut = true;
		return;
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		if (s && (flags & NGHTTP2_FLAG_END_STREAM))
			s->done = true;
		return;
	default:
		return;
	}
}

/* The padding is in front of the body, by its length, and behind it (RFC 9113 section 6.1). */
static inline void peer_said_data(struct peer *q, const uint8_t *p, size_t n)
{
	struct peer_frames *f = &q->out;
	struct peer_stream *s = peer_stream(q, peer_id(f));
	bool padded = f->head[4] & NGHTTP2_FLAG_PADDED;
	size_t end = peer_length(f);
	size_t skip = padded && !f->payload_n && n;
	size_t from = f->payload_n + skip;

	f->payload_n += n;
	q->came += n;
	if (skip)
		f->payload[0] = p[0];
	if (padded)
		end = end > f->payload[0] ? end - f->payload[0] : 0;
	if (!s)
		return;
	s->came += n;
	n -= skip;
	n = end <= from ? 0 : n < end - from ? n : end - from;
	if (s->done)
		return;
	s->body += n;
	s->sum = peer_sum(s->sum, p + skip, n);
}

/* These bytes are on their way to the client. */
static inline void peer_say(struct peer *q, const uint8_t *p, size_t n)
{
	sim_write(q->link, (const char *)p, n);
	while (n && !q->lost) {
		bool head;
		size_t payload;
		size_t used = peer_take(&q->out, p, n, &head, &payload);

		if (!head)
			return;
		q->lost = peer_length(&q->out) > PEER_FRAME_BYTES;
		if (q->lost)
			return;
		if (q->out.head[3] == NGHTTP2_DATA)
			peer_said_data(q, p + used - payload, payload);
		else
			peer_keep(&q->out, p + used - payload, payload);
		if (q->out.payload_n == peer_length(&q->out)) {
			peer_said(q);
			q->out.head_n = q->out.payload_n = 0;
		}
		p += used;
		n -= used;
	}
}

/* ---- What the client says ---------------------------------------------------------------------- */

static inline void peer_acked(struct peer *q)
{
	const struct peer_settings *s;

	MUST(q->acked < q->said_n);
	s = &q->said[q->acked++];
	MUST(nghttp2_hd_inflate_change_table_size(q->fields, s->table_least) == 0);
	MUST(nghttp2_hd_inflate_change_table_size(q->fields, s->table) == 0);
	q->now.table = s->table;
	if (q->acked < q->said_n)
		return;
	q->now.window = s->window;
	q->now.streams = s->streams;
}

static inline void peer_settings(struct peer *q, const uint8_t *p, size_t n, bool ack)
{
	MUST(n % 6 == 0 && !(ack && n));
	if (ack) {
		peer_acked(q);
		return;
	}
	/* They say once what they are, with no push among it. */
	MUST(!q->settings++);
	for (size_t i = 0; i < n; i += 6) {
		unsigned id = (unsigned)p[i] << 8 | p[i + 1];

		MUST(id != NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE ||
		     peer_number(p + i + 2) == q->window);
		MUST(id != NGHTTP2_SETTINGS_ENABLE_PUSH || !peer_number(p + i + 2));
	}
}

static inline uint64_t peer_digits(const nghttp2_nv *nv, size_t from)
{
	uint64_t n = 0;

	MUST(nv->valuelen > from && nv->valuelen < 20);
	for (size_t i = from; i < nv->valuelen; i++) {
		MUST(nv->value[i] >= '0' && nv->value[i] <= '9');
		n = n * 10 + nv->value[i] - '0';
	}
	return n;
}

static inline void peer_field(struct peer_stream *s, const nghttp2_nv *nv)
{
	MUST(nv->namelen);
	if (nv->namelen == 5 && !memcmp(nv->name, ":path", 5)) {
		MUST(s->who == PEER_NOBODY && nv->value[0] == '/');
		s->who = (int)peer_digits(nv, 1);
	} else if (nv->namelen == 14 && !memcmp(nv->name, "content-length", 14)) {
		MUST(s->length == UINT64_MAX);
		s->length = peer_digits(nv, 0);
	}
}

static inline void peer_block(struct peer *q, const uint8_t *p, size_t n, bool last)
{
	struct peer_stream *s = peer_stream(q, q->last);
	int what = 0;

	do {
		nghttp2_nv nv;
		ssize_t used = nghttp2_hd_inflate_hd2(q->fields, &nv, &what, p, n, last);

		MUST(used >= 0);
		p += used;
		n -= (size_t)used;
		if (what & NGHTTP2_HD_INFLATE_EMIT)
			peer_field(s, &nv);
	} while (last ? !(what & NGHTTP2_HD_INFLATE_FINAL) : n || (what & NGHTTP2_HD_INFLATE_EMIT));
	q->in_block = !last;
	if (!last)
		return;
	nghttp2_hd_inflate_end_headers(q->fields);
	MUST(s->who != PEER_NOBODY);
	MUST(!s->ended || s->length == UINT64_MAX || s->length == 0);
}

/* RFC 9113 section 5.1.2, of those that are open as far as we know. */
static inline void peer_opened(struct peer *q, int32_t id, bool end)
{
	uint32_t count = 0;

	MUST((id & 1) && id > q->last && id / 2 < PEER_STREAMS);
	q->last = id;
	q->streams[id / 2].opened = true;
	q->streams[id / 2].ended = end;
	for (int32_t i = 0; i <= id / 2; i++) {
		const struct peer_stream *s = &q->streams[i];

		count += s->opened && !s->reset && !s->cut && !(s->ended && s->done);
	}
	MUST(count <= q->now.streams);
}

/* Nothing is said on a stream before it is open, and after it was reset. */
static inline struct peer_stream *peer_open_stream(struct peer *q, int32_t id)
{
	struct peer_stream *s = peer_stream(q, id);

	MUST(s && s->opened && !s->reset);
	return s;
}

/* Every body counts bytes from its beginning, up to PEER_PERIOD. */
static inline void peer_data(struct peer *q, struct peer_stream *s, const uint8_t *p, size_t n,
                             bool end)
{
	MUST(!s->ended);
	s->ended = end;
	for (size_t i = 0; i < n; i++)
		MUST(p[i] == (s->sent + i) % PEER_PERIOD);
	s->sent += n;
	q->sent += n;
	/* Nothing is no matter of windows. */
	MUST(!n || s->sent <= s->granted + q->now.window);
	MUST(!n || q->sent <= q->granted + PEER_WINDOW_BYTES);
	MUST(s->length == UINT64_MAX || (end ? s->sent == s->length : s->sent <= s->length));
}

/* The client lets us send as much again as has come. */
static inline void peer_window(struct peer *q, int32_t id, uint32_t n)
{
	MUST(n && n <= 0x7fffffff);
	if (id) {
		struct peer_stream *s = peer_open_stream(q, id);

		s->opens += n;
		MUST(s->opens <= s->came);
		return;
	}
	q->opens += n;
	MUST(q->opens <= q->came + q->window_of_all - PEER_WINDOW_BYTES);
}

static inline void peer_heard_on_stream(struct peer *q, int32_t id, unsigned flags,
                                        const uint8_t *p, size_t n)
{
	bool end = flags & NGHTTP2_FLAG_END_STREAM;

	MUST(!(flags & (NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_PRIORITY)));
	switch (q->in.head[3]) {
	case NGHTTP2_DATA:
		peer_data(q, peer_open_stream(q, id), p, n, end);
		return;
	case NGHTTP2_HEADERS:
		peer_opened(q, id, end);
		peer_block(q, p, n, flags & NGHTTP2_FLAG_END_HEADERS);
		return;
	case NGHTTP2_CONTINUATION:
		MUST(id == q->last);
		peer_block(q, p, n, flags & NGHTTP2_FLAG_END_HEADERS);
		return;
	case NGHTTP2_RST_STREAM:
		MUST(n == 4);
		/* What was promised before we have heard that nothing may be is refused. */
		if (id & 1)
			peer_open_stream(q, id)->reset = true;
		return;
	case NGHTTP2_WINDOW_UPDATE:
		MUST(n == 4);
		peer_window(q, id, peer_number(p));
		return;
	default:
		abort();
	}
}

static inline void peer_heard(struct peer *q)
{
	const struct peer_frames *f = &q->in;
	bool ack = f->head[4] & NGHTTP2_FLAG_ACK;
	int32_t id = peer_id(f);
	size_t n = f->payload_n;

	MUST(!q->goaway && q->in_block == (f->head[3] == NGHTTP2_CONTINUATION));
	MUST(q->settings || (f->head[3] == NGHTTP2_SETTINGS && !ack));
	if (id) {
		peer_heard_on_stream(q, id, f->head[4], f->payload, n);
		return;
	}
	switch (f->head[3]) {
	case NGHTTP2_SETTINGS:
		peer_settings(q, f->payload, n, ack);
		return;
	case NGHTTP2_PING:
		/* It asks for none itself. */
		MUST(n == 8 && ack && q->pings--);
		return;
	case NGHTTP2_GOAWAY:
		MUST(n >= 8);
		q->goaway = true;
		return;
	case NGHTTP2_WINDOW_UPDATE:
		MUST(n == 4);
		peer_window(q, 0, peer_number(f->payload));
		return;
	default:
		abort();
	}
}

static inline void peer_hear(struct peer *q, const uint8_t *p, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

	while (n && q->preface_n < PEER_PREFACE_BYTES) {
		MUST(*p == (uint8_t)preface[q->preface_n++]);
		p++;
		n--;
	}
	while (n) {
		bool head;
		size_t payload;
		size_t used = peer_take(&q->in, p, n, &head, &payload);

		if (!head)
			return;
		MUST(peer_length(&q->in) <= PEER_FRAME_BYTES);
		peer_keep(&q->in, p + used - payload, payload);
		if (q->in.payload_n == peer_length(&q->in)) {
			peer_heard(q);
			q->in.head_n = q->in.payload_n = 0;
		}
		p += used;
		n -= used;
	}
}

#endif /* TESTS_FUZZ_CLIENT_H2_PEER_H */

/* SPDX-License-Identifier: MIT
 *
 * See h2_limits.h.  Wrong frames are none of its business: it lets them pass to who refuses
 * them by the book.  Three of them it must bound itself, since they are not refused before they
 * are complete: a field block that never ends, a frame larger than we allow, and the one that
 * is ignored where it has to be refused.
 */
#include "transports/h2/h2_limits.h"

#include <tako/base.h>

#include "core/base.h"

/* RFC 9113 section 6. */
enum frame_type {
	DATA,
	HEADERS,
	PRIORITY,
	RST_STREAM,
	SETTINGS,
	PUSH_PROMISE,
	PING,
	GOAWAY,
	WINDOW_UPDATE,
	CONTINUATION
};

enum { END_STREAM = 1, END_HEADERS = 4, PADDED = 8, PADDING_MAX = 256 };

/* ---- Buckets ------------------------------------------------------------------- */

void tako__h2_bucket_init(struct tako__h2_bucket *b, uint32_t burst, uint64_t now_ns)
{
	*b = (struct tako__h2_bucket){.left = burst, .burst = burst, .since_ns = now_ns};
}

/* Time is looked at only when there is nothing left. */
static void refill(struct tako__h2_bucket *b, uint64_t now_ns)
{
	uint64_t step_ns = (uint64_t)TAKO__H2_REFILL_S * 1000000000 / b->burst;
	uint64_t n = (now_ns - b->since_ns) / step_ns;

	b->left = n < b->burst ? (uint32_t)n : b->burst;
	b->since_ns = n < b->burst ? b->since_ns + n * step_ns : now_ns;
}

bool tako__h2_bucket_take(struct tako__h2_bucket *b, uint64_t now_ns)
{
	if (b->burst == TAKO_OFF)
		return true;
	if (TAKO__UNLIKELY(!b->left))
		refill(b, now_ns);
	if (!b->left)
		return false;
	b->left--;
	return true;
}

/* ---- Frames ---------------------------------------------------------------------- */

static const char *const too_many[] = {
	[DATA] = "too many empty DATA frames",
	[HEADERS] = "too many requests without an answer",
	[PRIORITY] = "too many PRIORITY frames",
	[RST_STREAM] = "too many RST_STREAM frames",
	[SETTINGS] = "too many SETTINGS frames",
	[PUSH_PROMISE] = "too many PUSH_PROMISE frames",
	[PING] = "too many PING frames",
	[GOAWAY] = "too many GOAWAY frames",
	[WINDOW_UPDATE] = "too many WINDOW_UPDATE frames",
	[CONTINUATION] = "too many CONTINUATION frames",
};

/* DATA pays for itself, unless there is none in it. */
static bool is_free(uint8_t type, uint8_t flags, uint32_t n)
{
	return type == DATA &&
	       ((flags & END_STREAM) || n > ((flags & PADDED) ? (uint32_t)PADDING_MAX : 0));
}

static bool block_goes_on(struct tako__h2_limits *l, uint8_t type, uint32_t n)
{
	if (type == HEADERS) {
		l->block_bytes = 0;
		l->continuations = 0;
	} else if (++l->continuations > l->continuations_max) {
		l->why = too_many[CONTINUATION];
		return false;
	}
	if (n > l->block_bytes_max - l->block_bytes) {
		l->why = "a field block is too large";
		return false;
	}
	l->block_bytes += n;
	return true;
}

/* Without a tree of streams the library does not look at them at all (RFC 9113 section 6.3). */
static bool on_stream_0(const uint8_t *head)
{
	return !((head[5] & 0x7f) | head[6] | head[7] | head[8]);
}

/* The head of a frame is complete.  False: this one is not processed. */
static bool begin_frame(struct tako__h2_limits *l, const uint8_t *head, uint64_t now_ns)
{
	uint32_t n = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
	uint8_t type = head[3];
	uint8_t flags = head[4];

	l->type = type;
	l->skip = n;
	/* Refused as FRAME_SIZE_ERROR without its payload. */
	if (n > l->frame_bytes_max)
		return true;
	if (type == HEADERS || type == CONTINUATION) {
		if (!block_goes_on(l, type, n))
			return false;
		l->in_block = !(flags & END_HEADERS);
	}
	if (type == PRIORITY && on_stream_0(head)) {
		l->wrong = true;
		l->why = "PRIORITY on stream 0";
		return false;
	}
	if (type == WINDOW_UPDATE && l->granted) {
		l->granted--;
		return true;
	}
	if (type == CONTINUATION || is_free(type, flags, n) ||
	    tako__h2_bucket_take(&l->control, now_ns))
		return true;
	l->why = type < TAKO__COUNT(too_many) ? too_many[type] : "too many unknown frames";
	return false;
}

/* A frame's head in pieces: gathered until it is whole. */
static size_t gather(struct tako__h2_limits *l, const char *p, size_t n)
{
	size_t used = 0;

	while (used < n && l->head_n < TAKO__H2_FRAME_HEAD_BYTES)
		l->head[l->head_n++] = (uint8_t)p[used++];
	return used;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t tako__h2_limits_scan(struct tako__h2_limits *l, const char *p, size_t n, uint64_t now_ns)
{
	size_t at = min_size((size_t)TAKO__H2_PREFACE_BYTES - l->preface_n, n);

	l->preface_n = (uint8_t)(l->preface_n + at);
	while (at < n) {
		const uint8_t *head = (const uint8_t *)p + at;
		size_t start = at;
		size_t step = min_size(l->skip, n - at);

		if (step) {
			l->skip -= (uint32_t)step;
			at += step;
			continue;
		}
		if (TAKO__LIKELY(!l->head_n && n - at >= TAKO__H2_FRAME_HEAD_BYTES)) {
			at += TAKO__H2_FRAME_HEAD_BYTES;
		} else {
			at += gather(l, p + at, n - at);
			if (l->head_n < TAKO__H2_FRAME_HEAD_BYTES)
				break;
			head = l->head;
			l->head_n = 0;
		}
		if (TAKO__UNLIKELY(!begin_frame(l, head, now_ns)))
			return start;
	}
	return n;
}

/* Where the bucket is full the rest is kept for WINDOW_UPDATE: many small frames may be on their way
 * before the first of them is acknowledged, and all of them are, a stream's window and the
 * connection's each. */
void tako__h2_limits_sent(struct tako__h2_limits *l, size_t n)
{
	uint32_t worth = 2 + (uint32_t)n / 1024;
	uint32_t room = l->control.burst - l->control.left;

	tako__h2_bucket_earn(&l->control, worth);
	if (worth > room && l->granted < TAKO__H2_GRANTED_MAX)
		l->granted += worth - room;
}

bool tako__h2_limits_waits(const struct tako__h2_limits *l)
{
	return l->preface_n < TAKO__H2_PREFACE_BYTES || l->in_block || l->head_n ||
	       (l->skip && l->type != DATA);
}

/* SPDX-License-Identifier: MIT
 *
 * See h2_limits.h.  Wrong frames are none of its business: it lets them pass to who refuses
 * them by the book.  Three of them it must bound itself, since they are not refused before they
 * are complete: a field block that never ends, a frame larger than we allow, and the one that
 * is ignored where it has to be refused.
 */
#include "transports/h2/h2_limits.h"

#include <string.h>

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

enum {
	UPDATE_BYTES = 4,
	IGNORED = 0xff, /* a type that means nothing to anybody (RFC 9113 section 4.1) */
};

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

static bool is_update_of_conn(const uint8_t *head)
{
	return head[3] == WINDOW_UPDATE && !(head[0] | head[1]) && head[2] == UPDATE_BYTES &&
	       on_stream_0(head);
}

/* How much of the frame that begins here is handed on at once. */
static size_t unit_bytes(const uint8_t *head, size_t n)
{
	return n >= TAKO__H2_FRAME_HEAD_BYTES && TAKO__UNLIKELY(is_update_of_conn(head))
	               ? (size_t)TAKO__H2_FRAME_HEAD_BYTES + UPDATE_BYTES
	               : (size_t)TAKO__H2_FRAME_HEAD_BYTES;
}

/* The whole frame is there. */
static void square(struct tako__h2_limits *l, uint8_t *head)
{
	uint8_t *p = head + TAKO__H2_FRAME_HEAD_BYTES;
	uint32_t n = (uint32_t)(p[0] & 0x7f) << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
	             p[3];

	/* An increment of nothing is an error that the library shall see. */
	if (!l->ahead_bytes || !n)
		return;
	if (n <= l->ahead_bytes) {
		l->ahead_bytes -= n;
		head[3] = IGNORED;
		return;
	}
	n -= (uint32_t)l->ahead_bytes;
	l->ahead_bytes = 0;
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
}

/* A frame begins at head[0..n), which is all that is handed on at once.  False: it is refused. */
static bool begin_unit(struct tako__h2_limits *l, uint8_t *head, size_t n, uint64_t now_ns)
{
	if (TAKO__UNLIKELY(!begin_frame(l, head, now_ns)))
		return false;
	if (TAKO__UNLIKELY(n > TAKO__H2_FRAME_HEAD_BYTES)) {
		l->skip = 0;
		square(l, head);
	}
	return true;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* More of what was kept; returns how much of it. */
static size_t join(struct tako__h2_limits *l, const char *p, size_t n)
{
	size_t used = 0;

	while (used < n && l->kept_n < unit_bytes(l->kept, l->kept_n))
		l->kept[l->kept_n++] = (uint8_t)p[used++];
	return used;
}

/* The beginning of a frame came in pieces.  Returns how much of p it took; false in `ret_on`: the
 * rest is not looked at. */
static size_t finish_kept(struct tako__h2_limits *l, const char *p, size_t n, uint64_t now_ns,
                          struct tako__h2_span *out, bool *ret_on)
{
	size_t used = join(l, p, n);
	size_t unit = l->kept_n;

	*ret_on = unit == unit_bytes(l->kept, unit);
	if (!*ret_on)
		return used;
	memcpy(l->joined, l->kept, unit);
	l->kept_n = 0;
	*ret_on = begin_unit(l, l->joined, unit, now_ns);
	if (*ret_on)
		*out = (struct tako__h2_span){l->joined, unit};
	return used;
}

/* From `at` on; returns where what may be processed ends. */
static size_t scan(struct tako__h2_limits *l, uint8_t *p, size_t at, size_t n, uint64_t now_ns)
{
	while (at < n) {
		size_t step = min_size(l->skip, n - at);
		size_t unit;

		if (step) {
			l->skip -= (uint32_t)step;
			at += step;
			continue;
		}
		unit = unit_bytes(p + at, n - at);
		if (TAKO__UNLIKELY(n - at < unit)) {
			l->kept_n = (uint8_t)(n - at);
			memcpy(l->kept, p + at, n - at);
			return at;
		}
		if (TAKO__UNLIKELY(!begin_unit(l, p + at, unit, now_ns)))
			return at;
		at += unit;
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

void tako__h2_limits_scan(struct tako__h2_limits *l, char *p, size_t n, uint64_t now_ns,
                          struct tako__h2_span out[2])
{
	size_t preface = min_size((size_t)TAKO__H2_PREFACE_BYTES - l->preface_n, n);
	size_t from = 0;
	bool on = true;

	out[0] = out[1] = (struct tako__h2_span){(uint8_t *)p, 0};
	l->preface_n = (uint8_t)(l->preface_n + preface);
	if (TAKO__UNLIKELY(l->kept_n))
		from = finish_kept(l, p, n, now_ns, &out[0], &on);
	if (on)
		out[1] = (struct tako__h2_span){(uint8_t *)p + from,
		                                scan(l, (uint8_t *)p, from + preface, n, now_ns) -
		                                        from};
}

bool tako__h2_limits_waits(const struct tako__h2_limits *l)
{
	return l->preface_n < TAKO__H2_PREFACE_BYTES || l->in_block || l->kept_n ||
	       (l->skip && l->type != DATA);
}

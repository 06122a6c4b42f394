/* SPDX-License-Identifier: MIT
 *
 * See ws_utf8.h.  An automaton whose states are bit offsets: the word of a byte holds, at each state's
 * offset, the state that follows, so that a step is a load, a shift and a mask, and waits for nothing
 * but the shift.
 */
#include "transports/ws/ws_utf8.h"

#include "core/base.h"
#include "core/str.h"

/* Six bits each.  START must be 0. */
enum {
	START = 0,
	TAIL1 = 6,  /* one more byte, 80..BF */
	TAIL2 = 12, /* two more */
	TAIL3 = 18,
	AFTER_E0 = 24, /* A0..BF, else overlong */
	AFTER_ED = 30, /* 80..9F, else a surrogate */
	AFTER_F0 = 36, /* 90..BF, else overlong */
	AFTER_F4 = 42, /* 80..8F, else beyond U+10FFFF */
	BAD = 48,
	MASK = 63,
};

#define GO(from, to) ((uint64_t)(to) << (from))
#define NEVER(from) GO(from, BAD)
#define STAY_BAD NEVER(BAD)
/* Leads are known at START only, tails everywhere else (RFC 3629 section 4). */
#define LEAD(to)                                                                                   \
	(GO(START, to) | NEVER(TAIL1) | NEVER(TAIL2) | NEVER(TAIL3) | NEVER(AFTER_E0) |            \
	 NEVER(AFTER_ED) | NEVER(AFTER_F0) | NEVER(AFTER_F4) | STAY_BAD)
#define TAIL(e0, ed, f0, f4)                                                                       \
	(NEVER(START) | GO(TAIL1, START) | GO(TAIL2, TAIL1) | GO(TAIL3, TAIL2) |                   \
	 GO(AFTER_E0, e0) | GO(AFTER_ED, ed) | GO(AFTER_F0, f0) | GO(AFTER_F4, f4) | STAY_BAD)

#define X2(v) v, v
#define X4(v) X2(v), X2(v)
#define X8(v) X4(v), X4(v)
#define X16(v) X8(v), X8(v)
#define X32(v) X16(v), X16(v)
#define X128(v) X32(v), X32(v), X32(v), X32(v)

/* clang-format off */
static const uint64_t steps[256] = {
	/* 00..7F */ X128(LEAD(START)),
	/* 80..8F */ X16(TAIL(BAD, TAIL1, BAD, TAIL2)),
	/* 90..9F */ X16(TAIL(BAD, TAIL1, TAIL2, BAD)),
	/* A0..BF */ X32(TAIL(TAIL1, BAD, TAIL2, BAD)),
	/* C0, C1 */ X2(LEAD(BAD)),
	/* C2..DF */ X16(LEAD(TAIL1)), X8(LEAD(TAIL1)), X4(LEAD(TAIL1)), X2(LEAD(TAIL1)),
	/* E0     */ LEAD(AFTER_E0),
	/* E1..EC */ X8(LEAD(TAIL2)), X4(LEAD(TAIL2)),
	/* ED     */ LEAD(AFTER_ED),
	/* EE, EF */ X2(LEAD(TAIL2)),
	/* F0     */ LEAD(AFTER_F0),
	/* F1..F3 */ X2(LEAD(TAIL3)), LEAD(TAIL3),
	/* F4     */ LEAD(AFTER_F4),
	/* F5..FF */ X8(LEAD(BAD)), X2(LEAD(BAD)), LEAD(BAD),
};
/* clang-format on */

_Static_assert(sizeof(steps) == 256 * sizeof(uint64_t), "a word for each byte");

enum { BLOCK = 32 };

static inline bool is_ascii(const char *p)
{
	return !((tako__load8(p) | tako__load8(p + 8) | tako__load8(p + 16) | tako__load8(p + 24)) &
	         UINT64_C(0x8080808080808080));
}

static inline uint64_t walk(uint64_t state, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		state = steps[(unsigned char)p[i]] >> (state & MASK);
	return state & MASK;
}

bool tako__utf8_feed(struct tako__utf8 *u, const char *p, size_t n)
{
	uint64_t state = u->state;

	for (; n >= BLOCK; p += BLOCK, n -= BLOCK) {
		if (TAKO__LIKELY(state == START && is_ascii(p)))
			continue;
		state = walk(state, p, BLOCK);
		/* Not for the answer, which no later byte changes: for not going on. */
		if (TAKO__UNLIKELY(state == BAD))
			break;
	}
	if (state != BAD)
		state = walk(state, p, n);
	u->state = (uint32_t)state;
	return state != BAD;
}

/* SPDX-License-Identifier: MIT
 *
 * Byte classes of HTTP/1.1 and the choice of the instruction set that looks for them.
 * Each set is one h1_{sse42,avx2}.c, compiled from the same templates (h1_simd_scan.h,
 * h1_simd_head.h), so that the whole walk over a head is the unit of dispatch: an
 * indirect call for each line would cost as much as the line.
 * Nothing here reads a byte at or beyond p + n.
 */
#ifndef TAKO_H1_SCAN_H
#define TAKO_H1_SCAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tako__h1_head;
struct tako__h1_limits;

/* Bits of tako__h1_bytes[]. */
enum tako__h1_class {
	TAKO__H1_TOKEN = 1,   /* tchar (RFC 9110 5.6.2) */
	TAKO__H1_HOST = 2,    /* reg-name without pct-encoded (RFC 3986 3.2.2) */
	TAKO__H1_TARGET = 4,  /* what a request-target may consist of, see h1_head.h */
	TAKO__H1_PLAIN = 8,   /* the same without '%', '?' and '.': nothing left to look at */
	TAKO__H1_CONTROL = 16 /* CTL except HTAB: what ends a field line (RFC 9110 5.5) */
};
extern const uint8_t tako__h1_bytes[256];

/* The first four classes for a byte shuffle: bit h of entry l is set when the byte 16*h+l
 * belongs to the class. */
enum tako__h1_nibble {
	TAKO__H1_NIB_TOKEN,
	TAKO__H1_NIB_HOST,
	TAKO__H1_NIB_TARGET,
	TAKO__H1_NIB_PLAIN,
	TAKO__H1_NIB_COUNT
};

/* Vectors, repeated to 32 bytes: those four tables, then single values. */
enum tako__h1_constant {
	TAKO__H1_NIBBLE_BIT = TAKO__H1_NIB_COUNT, /* 1 << h for h below 8 */
	TAKO__H1_LOW_NIBBLE,
	TAKO__H1_ONE,
	TAKO__H1_BANG, /* '!' */
	TAKO__H1_CONSTANT_COUNT
};
extern const uint8_t tako__h1_constants[TAKO__H1_CONSTANT_COUNT][32];

static inline bool tako__h1_is(char c, unsigned class)
{
	return tako__h1_bytes[(unsigned char)c] & class;
}

/* Where a request-target ends and what is in it. */
struct tako__h1_marks {
	size_t end;     /* first byte that is not TAKO__H1_TARGET, or n */
	size_t query;   /* the first '?', or `end` */
	unsigned flags; /* TAKO__PATH_* of the bytes before `query` */
};

enum tako__h1_level { TAKO__H1_PORTABLE, TAKO__H1_SSE42, TAKO__H1_AVX2, TAKO__H1_LEVEL_COUNT };

/* One instruction set.  The parser calls only `parse`; the scans are inlined in it and
 * exported for the tests.  All return an index in i..n, where n means "not found"; i < n. */
struct tako__h1_isa {
	const char *name;
	int (*parse)(struct tako__h1_head *h, const char *p, size_t n,
	             const struct tako__h1_limits *lim);
	/* The first byte that is not of the class. */
	size_t (*span)(enum tako__h1_nibble class, const char *p, size_t i, size_t n);
	void (*target)(const char *p, size_t i, size_t n, struct tako__h1_marks *out);
	size_t min_bytes; /* the scans want n to be at least this; `parse` takes any n */
};

extern const struct tako__h1_isa tako__h1_isa_portable;
extern const struct tako__h1_isa tako__h1_isa_sse42;
extern const struct tako__h1_isa tako__h1_isa_avx2;

/* The instruction set of that level, or NULL where this CPU or build has none. */
const struct tako__h1_isa *tako__h1_isa_at(enum tako__h1_level level);

/* Choose the best; the first parse does it by itself.  Any thread, any number of times. */
void tako__h1_scan_init(void);
/* Use this level from now on; false where this CPU has none.  For tests and measurements. */
bool tako__h1_scan_use(enum tako__h1_level level);

/* What was chosen; at first one whose parse() chooses. */
extern _Atomic(const struct tako__h1_isa *) tako__h1_isa_chosen;

/* Parse with it.  `n` is already limited to max_head_bytes. */
static inline int tako__h1_scan_parse(struct tako__h1_head *h, const char *p, size_t n,
                                      const struct tako__h1_limits *lim)
{
	return atomic_load_explicit(&tako__h1_isa_chosen, memory_order_relaxed)
	        ->parse(h, p, n, lim);
}

#endif /* TAKO_H1_SCAN_H */

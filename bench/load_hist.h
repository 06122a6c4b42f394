/* SPDX-License-Identifier: MIT
 *
 * A log-linear histogram of nanoseconds: 32 steps per power of two, so a percentile is right to 3 %.
 * Fixed size, no allocation: recording must not disturb what is measured.
 */
#ifndef BENCH_LOAD_HIST_H
#define BENCH_LOAD_HIST_H

#include <stdint.h>

enum { HIST_SUB_BITS = 5, HIST_SUB = 1 << HIST_SUB_BITS, HIST_SLOTS = 64 * HIST_SUB };

struct hist {
	uint64_t slot[HIST_SLOTS];
	uint64_t count;
	uint64_t max_ns;
};

static inline unsigned hist_index(uint64_t ns)
{
	unsigned top;

	if (ns < HIST_SUB)
		return (unsigned)ns;
	top = 63u - (unsigned)__builtin_clzll(ns);
	return (top - HIST_SUB_BITS + 1) * HIST_SUB +
	       (unsigned)(ns >> (top - HIST_SUB_BITS) & (HIST_SUB - 1));
}

/* The lowest value that falls into a slot: the inverse of hist_index. */
static inline uint64_t hist_value(unsigned index)
{
	unsigned octave = index / HIST_SUB;

	if (octave == 0)
		return index;
	return (uint64_t)(HIST_SUB + index % HIST_SUB) << (octave - 1);
}

static inline void hist_add(struct hist *h, uint64_t ns, uint64_t times)
{
	h->slot[hist_index(ns)] += times;
	h->count += times;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

static inline uint64_t hist_percentile(const struct hist *h, double percent)
{
	uint64_t want = (uint64_t)((double)h->count * percent / 100.0);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HIST_SLOTS; i++) {
		seen += h->slot[i];
		if (seen > want)
			return hist_value(i);
	}
	return h->max_ns;
}

#endif

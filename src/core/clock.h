/* SPDX-License-Identifier: MIT
 *
 * Time for figures: cheap ticks around every exchange, turned into nanoseconds when they
 * are counted.  Deadlines use the loop's own clock, not this one.
 */
#ifndef TAKO_CORE_CLOCK_H
#define TAKO_CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

#include <tako/base.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

__extension__ typedef unsigned __int128 tako__u128;

static inline uint64_t tako__clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* A config field as a duration to add to a moment; TAKO_OFF is far away, and adding it does not
 * overflow. */
static inline uint64_t tako__ms_ns(uint32_t ms)
{
	return ms == TAKO_OFF ? UINT64_MAX / 4 : (uint64_t)ms * 1000000;
}

/* A rate.  In milliseconds, so that neither factor overflows. */
static inline uint64_t tako__per_second(uint64_t bytes, uint64_t ns)
{
	return bytes * 1000 / (ns / 1000000 + 1);
}

/* Reading the counter costs a third of clock_gettime(), which would be a tenth of what
 * a pipelined request may cost.  Other CPUs take the clock. */
static inline uint64_t tako__ticks(void)
{
#if defined(__x86_64__)
	return __rdtsc();
#else
	return tako__clock_ns();
#endif
}

/* The rate of the counter, learned from two readings some time apart. */
struct tako__ticker {
	uint64_t ticks0;
	uint64_t ns0;
	uint64_t seen_ns;         /* since ns0, at the last update */
	uint64_t ns_per_tick_q32; /* 32.32 fixed point; 0: not known yet */
};

static inline void tako__ticker_init(struct tako__ticker *t, uint64_t now_ns, uint64_t now_ticks)
{
	t->ticks0 = now_ticks;
	t->ns0 = now_ns;
	t->seen_ns = 0;
	t->ns_per_tick_q32 = 0;
}

/* Refine the rate by a pair read at one moment. */
static inline void tako__ticker_update(struct tako__ticker *t, uint64_t now_ns, uint64_t now_ticks)
{
	uint64_t ticks = now_ticks - t->ticks0;
	uint64_t ns = now_ns - t->ns0;

	/* Once a second is enough, and the first time soon. */
	if (ns < 1000000 || ticks == 0 || (t->ns_per_tick_q32 && ns - t->seen_ns < 1000000000))
		return;
	t->seen_ns = ns;
	t->ns_per_tick_q32 = (uint64_t)(((tako__u128)ns << 32) / ticks);
}

static inline uint64_t tako__ticker_ns(const struct tako__ticker *t, uint64_t ticks)
{
	return (uint64_t)(((tako__u128)ticks * t->ns_per_tick_q32) >> 32);
}

#endif /* TAKO_CORE_CLOCK_H */

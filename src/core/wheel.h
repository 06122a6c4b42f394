/* SPDX-License-Identifier: MIT
 *
 * Timers of one loop: a hierarchical wheel of 4 levels x 64 slots, 1 ms a tick, about 4.6
 * hours; later deadlines wait in a list and are looked at again each time the wheel has
 * turned.  Time is passed in, in nanoseconds of any monotonic clock; nothing here reads a
 * clock, allocates or locks.
 */
#ifndef TAKO_CORE_WHEEL_H
#define TAKO_CORE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/list.h"

enum {
	TAKO__WHEEL_LEVELS = 4,
	TAKO__WHEEL_SLOTS = 64 * TAKO__WHEEL_LEVELS,
	TAKO__WHEEL_FAR = TAKO__WHEEL_SLOTS, /* the slot of deadlines beyond the top level */
};

#define TAKO__TICK_NS UINT64_C(1000000)
#define TAKO__NEVER UINT64_MAX

struct tako__timer {
	struct tako__list link;
	uint64_t deadline_ns; /* never before what was set; TAKO__NEVER while not armed */
	void (*fn)(struct tako__timer *t, uint64_t now_ns);
};

struct tako__wheel {
	uint64_t tick;                         /* everything up to here has fired */
	uint64_t min_tick;                     /* nothing is put before it */
	uint64_t used[TAKO__WHEEL_LEVELS + 1]; /* a bit per slot that holds timers */
	struct tako__list slot[TAKO__WHEEL_SLOTS + 1];
};

void tako__wheel_init(struct tako__wheel *w, uint64_t now_ns);

/* `fn` runs from tako__wheel_run(), the timer being disarmed then.  It may set and clear any
 * timer, itself included, and free its own memory. */
void tako__timer_init(struct tako__timer *t, void (*fn)(struct tako__timer *t, uint64_t now_ns));

static inline bool tako__timer_armed(const struct tako__timer *t)
{
	return t->deadline_ns != TAKO__NEVER;
}

/* Arm, or re-arm.  Fires never before the deadline, and in the first tako__wheel_run() that
 * is a tick past it; a deadline that went by becomes the next tick.  TAKO__NEVER clears. */
void tako__timer_set(struct tako__wheel *w, struct tako__timer *t, uint64_t deadline_ns);
/* Fine also for one that is not armed. */
void tako__timer_clear(struct tako__wheel *w, struct tako__timer *t);

/* Fire all that is due, tick by tick.  What callbacks set meanwhile waits for the next run,
 * so that a run ends.  Costs what is in the slots passed, not the time passed.  A time
 * before the last one is ignored.  Not to be called from a callback. */
void tako__wheel_run(struct tako__wheel *w, uint64_t now_ns);

/* When to run next, TAKO__NEVER if nothing is armed.  Exact within the current 64 ticks;
 * beyond, some time before the first expiry, to look again. */
uint64_t tako__wheel_next(const struct tako__wheel *w);

/* For tests: the number of timers armed, or -1 if anything is not where it belongs. */
int tako__wheel_check(const struct tako__wheel *w);

#endif /* TAKO_CORE_WHEEL_H */

/* SPDX-License-Identifier: MIT
 *
 * Timers of one loop to the nanosecond, for those that move with every packet: a 4-ary heap.  What
 * may be a millisecond late is better off on the wheel (wheel.h), which costs less per timer.
 * Time is passed in; nothing here reads a clock or locks.
 */
#ifndef TAKO_CORE_ALARM_H
#define TAKO_CORE_ALARM_H

#include <stdbool.h>
#include <stdint.h>

struct tako__alarm {
	uint64_t deadline_ns; /* UINT64_MAX: not armed */
	uint64_t key_ns;      /* where it is in the heap; never after the deadline */
	uint32_t slot;        /* of the heap, from 1 on; 0: not in it */
	uint32_t reserved;
	void (*fn)(struct tako__alarm *a, uint64_t now_ns);
};

struct tako__alarms {
	struct tako__alarm **heap;
	uint32_t count;    /* armed */
	uint32_t capacity; /* of the heap */
	uint32_t owners;   /* that may be armed at once */
	uint32_t reserved;
	uint64_t soonest_ns; /* nothing is armed for an earlier time */
};

void tako__alarms_fini(struct tako__alarms *all);

/* An alarm that may be armed from now on, which then never fails.  `fn` runs from
 * tako__alarms_run(), the alarm being disarmed then; it may set and clear any alarm, and end its
 * own.  TAKO_ENOMEM. */
int tako__alarm_init(struct tako__alarms *all, struct tako__alarm *a,
                     void (*fn)(struct tako__alarm *a, uint64_t now_ns));
/* … and no longer.  Fine for one that is zeroed. */
void tako__alarm_fini(struct tako__alarms *all, struct tako__alarm *a);

/* Arm, re-arm, or with UINT64_MAX disarm.  A later deadline costs a store: the heap finds out when
 * the earlier one comes. */
void tako__alarm_set(struct tako__alarms *all, struct tako__alarm *a, uint64_t deadline_ns);

/* Fire all that is due.  What callbacks arm for a time that has gone by already waits for the next
 * run, so that a run ends. */
void tako__alarms_run(struct tako__alarms *all, uint64_t now_ns);

/* When to run next, UINT64_MAX if nothing is armed; maybe earlier than anything fires. */
static inline uint64_t tako__alarms_next(const struct tako__alarms *all)
{
	return all->count ? all->heap[0]->key_ns : UINT64_MAX;
}

/* For tests: is everything where it belongs? */
bool tako__alarms_check(const struct tako__alarms *all);

#endif /* TAKO_CORE_ALARM_H */

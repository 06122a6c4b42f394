/* SPDX-License-Identifier: MIT
 *
 * The timer wheel.  A timer's level is the highest base-64 digit in which its tick differs
 * from the wheel's, its slot that digit.  Hence at every level all slots in use lie ahead of
 * the current digit, nothing wraps around, and the lowest level in use holds the earliest
 * timer.  Must never fire early.
 */
#include "core/wheel.h"

#include "core/base.h"

enum {
	DIGIT_BITS = 6,
	DIGIT_MASK = 63,
	RANGE_BITS = DIGIT_BITS * TAKO__WHEEL_LEVELS,
};

static unsigned slot_of(const struct tako__wheel *w, uint64_t tick)
{
	uint64_t differing = (tick ^ w->tick) | 1;
	unsigned level = (63 - (unsigned)__builtin_clzll(differing)) / DIGIT_BITS;

	if (level >= TAKO__WHEEL_LEVELS)
		return TAKO__WHEEL_FAR;
	return level * 64 + (unsigned)(tick >> (level * DIGIT_BITS) & DIGIT_MASK);
}

/* Rounded up: a tick is over when its whole millisecond is. */
static uint64_t tick_after(uint64_t ns)
{
	return ns / TAKO__TICK_NS + (ns % TAKO__TICK_NS != 0);
}

static void place(struct tako__wheel *w, struct tako__timer *t)
{
	unsigned i = slot_of(w, tick_after(t->deadline_ns));

	tako__list_push_back(&w->slot[i], &t->link);
	w->used[i / 64] |= UINT64_C(1) << i % 64;
}

static void unplace(struct tako__wheel *w, struct tako__timer *t)
{
	struct tako__list *next = t->link.next;

	/* The last one out turns off the light: next to it is nothing but the slot itself. */
	if (next == t->link.prev) {
		size_t i = (size_t)(next - w->slot);

		w->used[i / 64] &= ~(UINT64_C(1) << i % 64);
	}
	tako__list_remove(&t->link);
}

void tako__wheel_init(struct tako__wheel *w, uint64_t now_ns)
{
	*w = (struct tako__wheel){.tick = now_ns / TAKO__TICK_NS};
	w->min_tick = w->tick + 1;
	for (unsigned i = 0; i <= TAKO__WHEEL_FAR; i++)
		tako__list_init(&w->slot[i]);
}

void tako__timer_init(struct tako__timer *t, void (*fn)(struct tako__timer *t, uint64_t now_ns))
{
	tako__list_init(&t->link);
	t->deadline_ns = TAKO__NEVER;
	t->fn = fn;
}

void tako__timer_set(struct tako__wheel *w, struct tako__timer *t, uint64_t deadline_ns)
{
	uint64_t soonest_ns = w->min_tick * TAKO__TICK_NS;

	tako__timer_clear(w, t);
	if (deadline_ns == TAKO__NEVER)
		return;
	t->deadline_ns = deadline_ns < soonest_ns ? soonest_ns : deadline_ns;
	place(w, t);
}

void tako__timer_clear(struct tako__wheel *w, struct tako__timer *t)
{
	if (!tako__timer_armed(t))
		return;
	unplace(w, t);
	t->deadline_ns = TAKO__NEVER;
}

/* The first slot in use, and the tick at which it must be looked at. */
static bool first_used(const struct tako__wheel *w, unsigned *ret_slot, uint64_t *ret_tick)
{
	for (unsigned level = 0; level < TAKO__WHEEL_LEVELS; level++) {
		unsigned shift = level * DIGIT_BITS;
		unsigned digit;

		if (!w->used[level])
			continue;
		digit = (unsigned)__builtin_ctzll(w->used[level]);
		*ret_slot = level * 64 + digit;
		*ret_tick = (w->tick >> shift >> DIGIT_BITS << DIGIT_BITS | digit) << shift;
		return true;
	}
	*ret_slot = TAKO__WHEEL_FAR;
	*ret_tick = ((w->tick >> RANGE_BITS) + 1) << RANGE_BITS;
	return w->used[TAKO__WHEEL_LEVELS] != 0;
}

/* A slot of a higher level begins: its timers now differ in lower digits only.  Those that
 * are still far away may come back to the slot they left. */
static void cascade(struct tako__wheel *w, unsigned i)
{
	struct tako__list moved;
	struct tako__list *item;

	tako__list_init(&moved);
	tako__list_splice_back(&moved, &w->slot[i]);
	w->used[i / 64] &= ~(UINT64_C(1) << i % 64);
	while ((item = tako__list_pop_front(&moved)))
		place(w, TAKO__CONTAINER(item, struct tako__timer, link));
}

/* Nothing is added to the slot of the current tick, so emptying it in place comes to an end,
 * whatever callbacks set, clear or free. */
static void fire(struct tako__wheel *w, unsigned i, uint64_t now_ns)
{
	struct tako__list *head = &w->slot[i];

	while (!tako__list_empty(head)) {
		struct tako__timer *t = TAKO__CONTAINER(head->next, struct tako__timer, link);

		tako__timer_clear(w, t);
		t->fn(t, now_ns);
	}
}

void tako__wheel_run(struct tako__wheel *w, uint64_t now_ns)
{
	uint64_t target = now_ns / TAKO__TICK_NS;
	uint64_t tick;
	unsigned i;

	if (target <= w->tick)
		return;
	w->min_tick = target + 1;
	while (first_used(w, &i, &tick) && tick <= target) {
		w->tick = tick;
		if (i < 64)
			fire(w, i, now_ns);
		else
			cascade(w, i);
	}
	w->tick = target;
}

uint64_t tako__wheel_next(const struct tako__wheel *w)
{
	uint64_t tick;
	unsigned i;

	if (!first_used(w, &i, &tick))
		return TAKO__NEVER;
	return tick > UINT64_MAX / TAKO__TICK_NS ? TAKO__NEVER : tick * TAKO__TICK_NS;
}

static int check_slot(const struct tako__wheel *w, unsigned i)
{
	const struct tako__list *head = &w->slot[i];
	bool used = w->used[i / 64] >> i % 64 & 1;
	int count = 0;

	if (used == tako__list_empty(head))
		return -1;
	for (const struct tako__list *l = head->next; l != head; l = l->next, count++) {
		const struct tako__timer *t = TAKO__CONTAINER(l, struct tako__timer, link);
		uint64_t tick = tick_after(t->deadline_ns);

		if (l->next->prev != l || l->prev->next != l || !tako__timer_armed(t))
			return -1;
		if (tick < w->tick || slot_of(w, tick) != i)
			return -1;
	}
	return count;
}

int tako__wheel_check(const struct tako__wheel *w)
{
	int total = 0;

	for (unsigned i = 0; i <= TAKO__WHEEL_FAR; i++) {
		int count = check_slot(w, i);

		if (count < 0)
			return -1;
		total += count;
	}
	return total;
}

/* SPDX-License-Identifier: MIT
 *
 * See alarm.h.  Four children a node: what is compared is then in one or two cache lines, and the
 * tree is half as deep as a binary one.
 */
#include "core/alarm.h"

#include "core/base.h"
#include "core/mem.h"

enum { CHILDREN = 4, FIRST_CAPACITY = 16 };

static void place(struct tako__alarms *all, uint32_t at, struct tako__alarm *a)
{
	all->heap[at] = a;
	a->slot = at + 1;
}

static void sift_up(struct tako__alarms *all, uint32_t at, struct tako__alarm *a)
{
	while (at) {
		uint32_t up = (at - 1) / CHILDREN;

		if (all->heap[up]->key_ns <= a->key_ns)
			break;
		place(all, at, all->heap[up]);
		at = up;
	}
	place(all, at, a);
}

/* Of the children of `at`, or `count` if there are none. */
static uint32_t earliest_child(const struct tako__alarms *all, uint32_t at)
{
	uint32_t first = at * CHILDREN + 1;
	uint32_t best = first;

	if (first >= all->count)
		return all->count;
	for (uint32_t i = first + 1; i < first + CHILDREN && i < all->count; i++) {
		if (all->heap[i]->key_ns < all->heap[best]->key_ns)
			best = i;
	}
	return best;
}

static void sift_down(struct tako__alarms *all, uint32_t at, struct tako__alarm *a)
{
	for (;;) {
		uint32_t down = earliest_child(all, at);

		if (down == all->count || all->heap[down]->key_ns >= a->key_ns)
			break;
		place(all, at, all->heap[down]);
		at = down;
	}
	place(all, at, a);
}

static void move(struct tako__alarms *all, struct tako__alarm *a, uint64_t key_ns)
{
	bool earlier = key_ns < a->key_ns;

	a->key_ns = key_ns;
	if (earlier)
		sift_up(all, a->slot - 1, a);
	else
		sift_down(all, a->slot - 1, a);
}

static void take_out(struct tako__alarms *all, struct tako__alarm *a)
{
	uint32_t at = a->slot - 1;
	struct tako__alarm *last = all->heap[--all->count];

	a->slot = 0;
	if (last == a)
		return;
	place(all, at, last);
	if (at && all->heap[(at - 1) / CHILDREN]->key_ns > last->key_ns)
		sift_up(all, at, last);
	else
		sift_down(all, at, last);
}

/* ---- Life ------------------------------------------------------------------ */

void tako__alarms_fini(struct tako__alarms *all)
{
	tako__free(all->heap, all->capacity * sizeof(void *));
	*all = (struct tako__alarms){0};
}

int tako__alarm_init(struct tako__alarms *all, struct tako__alarm *a,
                     void (*fn)(struct tako__alarm *a, uint64_t now_ns))
{
	if (all->owners == all->capacity) {
		uint32_t cap = all->capacity ? all->capacity * 2 : FIRST_CAPACITY;
		void *heap = tako__resize(all->heap, all->capacity * sizeof(void *),
		                          cap * sizeof(void *));

		if (!heap)
			return TAKO_ENOMEM;
		all->heap = heap;
		all->capacity = cap;
	}
	all->owners++;
	*a = (struct tako__alarm){.deadline_ns = UINT64_MAX, .fn = fn};
	return 0;
}

void tako__alarm_fini(struct tako__alarms *all, struct tako__alarm *a)
{
	if (!a->fn)
		return;
	if (a->slot)
		take_out(all, a);
	a->fn = NULL;
	all->owners--;
}

void tako__alarm_set(struct tako__alarms *all, struct tako__alarm *a, uint64_t deadline_ns)
{
	if (deadline_ns < all->soonest_ns)
		deadline_ns = all->soonest_ns;
	a->deadline_ns = deadline_ns;
	if (!a->slot) {
		if (deadline_ns == UINT64_MAX)
			return;
		a->key_ns = deadline_ns;
		sift_up(all, all->count++, a);
	} else if (deadline_ns < a->key_ns) {
		move(all, a, deadline_ns);
	}
}

/* ---- Running ------------------------------------------------------------------ */

void tako__alarms_run(struct tako__alarms *all, uint64_t now_ns)
{
	all->soonest_ns = now_ns + 1;
	while (all->count && all->heap[0]->key_ns <= now_ns) {
		struct tako__alarm *a = all->heap[0];

		if (a->deadline_ns == UINT64_MAX) {
			take_out(all, a);
		} else if (a->deadline_ns > now_ns) {
			move(all, a, a->deadline_ns);
		} else {
			take_out(all, a);
			a->deadline_ns = UINT64_MAX;
			a->fn(a, now_ns);
		}
	}
}

bool tako__alarms_check(const struct tako__alarms *all)
{
	for (uint32_t i = 0; i < all->count; i++) {
		const struct tako__alarm *a = all->heap[i];

		if (a->slot != i + 1 || a->key_ns > a->deadline_ns ||
		    (i && all->heap[(i - 1) / CHILDREN]->key_ns > a->key_ns))
			return false;
	}
	return all->count <= all->owners && all->owners <= all->capacity;
}

/* SPDX-License-Identifier: MIT
 *
 * An allocator for tests: counts, fails the Nth allocation, and notices blocks that leak, are
 * given back with another size than they were asked for with, or were written past their
 * end.  Thread-safe.
 *
 * failalloc_install() comes first in main(), before anything allocates.  Then:
 *
 *	for (size_t n = 1; ; n++) {
 *		failalloc_arm(n);
 *		run();
 *		if (!failalloc_disarm())
 *			break;          // ran to its end: every allocation has failed once
 *		assert_int_equal(failalloc_live(), 0);
 *	}
 */
#ifndef TESTS_UNIT_FAILALLOC_H
#define TESTS_UNIT_FAILALLOC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <tako/base.h>

static struct {
	atomic_size_t count;   /* allocations and resizes since failalloc_arm() or the start */
	atomic_size_t fail_at; /* 0: never */
	atomic_size_t failed;  /* how many were made to fail since failalloc_arm() */
	atomic_bool for_good;  /* all later ones fail too */
	atomic_size_t live;
	atomic_size_t live_bytes;
	atomic_size_t wrong; /* blocks given back with a wrong size, or overrun */
} failalloc_;

/* Keeps the block behind it aligned as malloc() aligns. */
struct failalloc_head {
	_Alignas(16) size_t bytes;
};

static inline bool failalloc_refuse_(void)
{
	size_t nth = atomic_fetch_add(&failalloc_.count, 1) + 1;
	size_t at = atomic_load(&failalloc_.fail_at);

	if (!at || nth < at || (nth > at && !atomic_load(&failalloc_.for_good)))
		return false;
	atomic_fetch_add(&failalloc_.failed, 1);
	return true;
}

static const char failalloc_tail_[] = "tako: end of it";

static inline void failalloc_forget_(struct failalloc_head *h, size_t old_bytes)
{
	const char *end = (const char *)(h + 1) + h->bytes;

	if (h->bytes != old_bytes || memcmp(end, failalloc_tail_, sizeof(failalloc_tail_)))
		atomic_fetch_add(&failalloc_.wrong, 1);
	atomic_fetch_sub(&failalloc_.live, 1);
	atomic_fetch_sub(&failalloc_.live_bytes, h->bytes);
}

/* Always moves on a resize, and dirties what it hands out and takes back. */
static inline void *failalloc_hook_(void *p, size_t old_bytes, size_t new_bytes, void *arg)
{
	struct failalloc_head *old = p ? (struct failalloc_head *)p - 1 : NULL;
	struct failalloc_head *h;

	(void)arg;
	if (new_bytes) {
		if (failalloc_refuse_() || new_bytes > SIZE_MAX / 2)
			return NULL;
		h = malloc(sizeof(*h) + new_bytes + sizeof(failalloc_tail_));
		if (!h)
			return NULL;
		h->bytes = new_bytes;
		memset(h + 1, 0xa5, new_bytes);
		memcpy((char *)(h + 1) + new_bytes, failalloc_tail_, sizeof(failalloc_tail_));
		if (old)
			memcpy(h + 1, p, old->bytes < new_bytes ? old->bytes : new_bytes);
		atomic_fetch_add(&failalloc_.live, 1);
		atomic_fetch_add(&failalloc_.live_bytes, new_bytes);
	} else {
		h = NULL;
	}
	if (old) {
		failalloc_forget_(old, old_bytes);
		memset(p, 0xdd, old->bytes);
		free(old);
	}
	return h ? h + 1 : NULL;
}

/* 0, or TAKO_ESTATE when it comes too late. */
static inline int failalloc_install(void)
{
	return tako_set_allocator(failalloc_hook_, NULL);
}

static inline void failalloc_arm_(size_t nth, bool for_good)
{
	atomic_store(&failalloc_.count, 0);
	atomic_store(&failalloc_.failed, 0);
	atomic_store(&failalloc_.for_good, for_good);
	atomic_store(&failalloc_.fail_at, nth);
}

/* The nth allocation from here on fails, 1 being the next; 0: none does. */
static inline void failalloc_arm(size_t nth)
{
	failalloc_arm_(nth, false);
}

/* The nth and every later one. */
static inline void failalloc_arm_from(size_t nth)
{
	failalloc_arm_(nth, true);
}

/* Nothing fails any more.  Returns how many did since arming. */
static inline size_t failalloc_disarm(void)
{
	atomic_store(&failalloc_.fail_at, 0);
	return atomic_load(&failalloc_.failed);
}

/* Allocations and resizes asked for since arming. */
static inline size_t failalloc_count(void)
{
	return atomic_load(&failalloc_.count);
}

/* Blocks not freed yet, and their bytes. */
static inline size_t failalloc_live(void)
{
	return atomic_load(&failalloc_.live);
}

static inline size_t failalloc_live_bytes(void)
{
	return atomic_load(&failalloc_.live_bytes);
}

/* Blocks freed or resized with a size that was not theirs, or overrun: 0 in a correct
 * program. */
static inline size_t failalloc_wrong(void)
{
	return atomic_load(&failalloc_.wrong);
}

#endif /* TESTS_UNIT_FAILALLOC_H */

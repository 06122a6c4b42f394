/* SPDX-License-Identifier: MIT
 *
 * The mailbox: a stack that senders push on and the receiver takes as a whole, then turns
 * around.  Since nobody ever pops a single element, the stack's classic hazard (a node that
 * was popped and pushed again between load and exchange) cannot happen.
 */
#include "core/mailbox.h"

#include <stddef.h>

void tako__mailbox_init(struct tako__mailbox *mb)
{
	atomic_init(&mb->posted, NULL);
	mb->ready = NULL;
}

/* An empty stack means that the receiver has taken everything since the last wake, so the one
 * who ends the emptiness wakes it.  Release and acquire carry what the sender wrote. */
bool tako__mailbox_post(struct tako__mailbox *mb, struct tako__mail *m)
{
	struct tako__mail *top = atomic_load_explicit(&mb->posted, memory_order_relaxed);

	do {
		m->next = top;
	} while (!atomic_compare_exchange_weak_explicit(&mb->posted, &top, m, memory_order_release,
	                                                memory_order_relaxed));
	return !top;
}

static struct tako__mail *take_all(struct tako__mailbox *mb)
{
	struct tako__mail *newest = atomic_exchange_explicit(&mb->posted, NULL,
	                                                     memory_order_acquire);
	struct tako__mail *oldest = NULL;

	while (newest) {
		struct tako__mail *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	return oldest;
}

bool tako__mailbox_drain(struct tako__mailbox *mb)
{
	/* Left over from a full batch: older than all that is posted. */
	if (!mb->ready)
		mb->ready = take_all(mb);
	for (unsigned i = 0; mb->ready && i < TAKO__MAILBOX_BATCH; i++) {
		struct tako__mail *m = mb->ready;

		mb->ready = m->next;
		m->fn(m);
	}
	return mb->ready != NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * The start of several threads as one step: all of them come through, or none does.
 */
#ifndef TAKO_CORE_GATE_H
#define TAKO_CORE_GATE_H

#include <pthread.h>
#include <stdbool.h>

struct tako__gate {
	pthread_mutex_t lock;
	pthread_cond_t all_here;
	unsigned missing; /* threads that have not reported yet */
	unsigned inside;  /* threads still looking at the gate */
	int err;          /* the first failure */
	char text[256];   /* and what tako_last_error() said on its thread */
};

void tako__gate_init(struct tako__gate *g, unsigned count);
/* Waits until nobody looks at it any more. */
void tako__gate_fini(struct tako__gate *g);
/* Report `rc`, wait for the others; true if every report was 0. */
bool tako__gate_pass(struct tako__gate *g, int rc);
/* Report a failure in the place of `count` threads that will never come. */
void tako__gate_fail(struct tako__gate *g, int err, unsigned count);
/* Wait for all reports without being one of them. */
void tako__gate_wait(struct tako__gate *g);

#endif /* TAKO_CORE_GATE_H */

/* SPDX-License-Identifier: MIT
 *
 * The thread pool behind tako_offload(): a bounded queue, threads made on first use.
 */
#ifndef TAKO_CORE_OFFLOAD_H
#define TAKO_CORE_OFFLOAD_H

#include <stdint.h>

struct tako__offload;

struct tako__job {
	struct tako__job *next;
	void (*run)(struct tako__job *job); /* the job's memory is the callee's then */
};

/* NULL without memory.  Starts no thread yet. */
struct tako__offload *tako__offload_new(uint32_t thread_count, uint32_t queue_count);
/* Runs what is queued -- each job has somebody who waits for it -- and ends the threads. */
void tako__offload_free(struct tako__offload *o);
/* TAKO_EBUSY: the queue is full; TAKO_ESYS: not even one thread could be made.  [any] */
int tako__offload_submit(struct tako__offload *o, struct tako__job *job);

#endif /* TAKO_CORE_OFFLOAD_H */

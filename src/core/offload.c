/* SPDX-License-Identifier: MIT
 *
 * A small thread pool.  A lock and a condition are enough: what goes through here blocks
 * for milliseconds.
 */
#include "core/offload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "core/base.h"
#include "core/mem.h"

struct tako__offload {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct tako__job *head;
	struct tako__job *tail;
	uint32_t queued;
	uint32_t queue_max;
	uint32_t thread_max;
	uint32_t thread_count;
	uint32_t idle_count;
	bool ending;
	pthread_t threads[];
};

static size_t pool_bytes(uint32_t thread_count)
{
	return sizeof(struct tako__offload) + thread_count * sizeof(pthread_t);
}

struct tako__offload *tako__offload_new(uint32_t thread_count, uint32_t queue_count)
{
	struct tako__offload *o = tako__zalloc(pool_bytes(thread_count));

	if (!o)
		return NULL;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->wake, NULL);
	o->thread_max = thread_count;
	o->queue_max = queue_count;
	return o;
}

static struct tako__job *take(struct tako__offload *o)
{
	struct tako__job *job = o->head;

	if (!job)
		return NULL;
	o->head = job->next;
	if (!o->head)
		o->tail = NULL;
	o->queued--;
	return job;
}

static void *work(void *arg)
{
	struct tako__offload *o = arg;

	pthread_mutex_lock(&o->lock);
	for (;;) {
		struct tako__job *job = take(o);

		if (job) {
			pthread_mutex_unlock(&o->lock);
			job->run(job);
			pthread_mutex_lock(&o->lock);
		} else if (o->ending) {
			break;
		} else {
			o->idle_count++;
			pthread_cond_wait(&o->wake, &o->lock);
			o->idle_count--;
		}
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/* Signals belong to the program's own threads. */
static int start_thread(struct tako__offload *o)
{
	sigset_t all;
	sigset_t old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&o->threads[o->thread_count], NULL, work, o);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err == 0)
		o->thread_count++;
	errno = err;
	return err ? -1 : 0;
}

static int submit_locked(struct tako__offload *o, struct tako__job *job)
{
	if (o->queued >= o->queue_max)
		return tako__fail(TAKO_EBUSY, "%u jobs are waiting already", o->queued);
	if (o->idle_count <= o->queued && o->thread_count < o->thread_max && start_thread(o) < 0 &&
	    o->thread_count == 0)
		return tako__fail_errno("offload thread");
	job->next = NULL;
	if (o->tail)
		o->tail->next = job;
	else
		o->head = job;
	o->tail = job;
	o->queued++;
	pthread_cond_signal(&o->wake);
	return 0;
}

int tako__offload_submit(struct tako__offload *o, struct tako__job *job)
{
	int rc;

	pthread_mutex_lock(&o->lock);
	rc = submit_locked(o, job);
	pthread_mutex_unlock(&o->lock);
	return rc;
}

void tako__offload_free(struct tako__offload *o)
{
	if (!o)
		return;
	pthread_mutex_lock(&o->lock);
	o->ending = true;
	pthread_cond_broadcast(&o->wake);
	pthread_mutex_unlock(&o->lock);
	for (uint32_t i = 0; i < o->thread_count; i++)
		pthread_join(o->threads[i], NULL);
	pthread_cond_destroy(&o->wake);
	pthread_mutex_destroy(&o->lock);
	tako__free(o, pool_bytes(o->thread_max));
}

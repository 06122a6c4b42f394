/* SPDX-License-Identifier: MIT
 *
 * The thread pool: every job it took runs once, in order where there is one thread; its bounds;
 * its end.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "core/base.h"
#include "core/offload.h"
#include "unit/failalloc.h"

enum { JOBS = 64 };

struct job {
	struct tako__job job;
	int index;
	atomic_int runs;
	int order;
	bool hold;
	pthread_t thread;
	sigset_t blocked;
};

static struct job jobs[JOBS];
static atomic_int ran;
static sem_t holding; /* posted by each job that has begun to hold */
static sem_t let_go;

static void run(struct tako__job *j)
{
	struct job *o = TAKO__CONTAINER(j, struct job, job);

	o->thread = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &o->blocked);
	if (o->hold) {
		sem_post(&holding);
		sem_wait(&let_go);
	}
	o->order = atomic_fetch_add(&ran, 1);
	atomic_fetch_add(&o->runs, 1);
}

static int set_up(void **state)
{
	(void)state;
	memset(jobs, 0, sizeof jobs);
	for (int i = 0; i < JOBS; i++) {
		jobs[i].job.run = run;
		jobs[i].index = i;
	}
	atomic_store(&ran, 0);
	return sem_init(&holding, 0, 0) || sem_init(&let_go, 0, 0);
}

static void check_runs(int count)
{
	assert_int_equal(atomic_load(&ran), count);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(atomic_load(&jobs[i].runs), i < count);
	assert_int_equal(failalloc_live(), 0);
}

static void test_no_thread_without_a_job(void **state)
{
	struct tako__offload *o = tako__offload_new(4, 4);

	(void)state;
	assert_non_null(o);
	tako__offload_free(o);
	tako__offload_free(NULL);
	check_runs(0);
}

static void test_one_thread_keeps_the_order(void **state)
{
	struct tako__offload *o = tako__offload_new(1, JOBS);

	(void)state;
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(tako__offload_submit(o, &jobs[i].job), 0);
	/* What is queued still runs: somebody waits for it. */
	tako__offload_free(o);
	check_runs(JOBS);
	for (int i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].order, i);
		assert_true(pthread_equal(jobs[i].thread, jobs[0].thread));
	}
	assert_false(pthread_equal(jobs[0].thread, pthread_self()));
}

static void test_full_queue(void **state)
{
	struct tako__offload *o = tako__offload_new(1, 3);

	(void)state;
	jobs[0].hold = true;
	assert_int_equal(tako__offload_submit(o, &jobs[0].job), 0);
	sem_wait(&holding);
	for (int i = 1; i <= 3; i++)
		assert_int_equal(tako__offload_submit(o, &jobs[i].job), 0);
	assert_int_equal(tako__offload_submit(o, &jobs[4].job), TAKO_EBUSY);
	assert_string_equal(tako_last_error(), "3 jobs are waiting already");
	sem_post(&let_go);
	tako__offload_free(o);
	check_runs(4);
}

/* Jobs that wait for each other's start: as many threads as allowed are made, and no more. */
static void test_threads_in_parallel(void **state)
{
	struct tako__offload *o = tako__offload_new(3, JOBS);
	int value = -1;

	(void)state;
	for (int i = 0; i < 5; i++) {
		jobs[i].hold = true;
		assert_int_equal(tako__offload_submit(o, &jobs[i].job), 0);
	}
	for (int i = 0; i < 3; i++)
		sem_wait(&holding);
	sem_getvalue(&holding, &value);
	assert_int_equal(value, 0);
	for (int i = 0; i < 5; i++)
		sem_post(&let_go);
	tako__offload_free(o);
	check_runs(5);
}

static void test_signals_are_not_for_the_pool(void **state)
{
	struct tako__offload *o = tako__offload_new(1, 1);
	sigset_t mine;

	(void)state;
	assert_int_equal(tako__offload_submit(o, &jobs[0].job), 0);
	tako__offload_free(o);
	check_runs(1);
	assert_int_equal(sigismember(&jobs[0].blocked, SIGTERM), 1);
	assert_int_equal(sigismember(&jobs[0].blocked, SIGINT), 1);
	assert_int_equal(sigismember(&jobs[0].blocked, SIGPIPE), 1);
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	assert_int_equal(sigismember(&mine, SIGTERM), 0);
}

static void test_without_memory(void **state)
{
	(void)state;
	failalloc_arm(1);
	assert_null(tako__offload_new(4, 4));
	assert_int_equal(failalloc_disarm(), 1);
	check_runs(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_no_thread_without_a_job, set_up),
		cmocka_unit_test_setup(test_one_thread_keeps_the_order, set_up),
		cmocka_unit_test_setup(test_full_queue, set_up),
		cmocka_unit_test_setup(test_threads_in_parallel, set_up),
		cmocka_unit_test_setup(test_signals_are_not_for_the_pool, set_up),
		cmocka_unit_test_setup(test_without_memory, set_up),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

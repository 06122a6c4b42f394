/* SPDX-License-Identifier: MIT
 *
 * Deferrals from other threads: what is posted runs on the loop, in order, each once; and the
 * pool's full queue as a handler sees it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { WAIT_MS = 20000, POSTS = 2000, JOBS = 5 };

static struct stepped server;
static struct peer peer;
static struct reply answer;
static pthread_t loop_thread;
static pthread_t poster;
static sem_t let_go;
static unsigned numbers[POSTS];
static unsigned ran;
static unsigned elsewhere; /* callbacks that were not on the loop */
static unsigned ends;
static atomic_uint worked;
static unsigned finished;
static unsigned refused;

static void on_end(tako_req *req, int err, void *arg)
{
	(void)req;
	(void)arg;
	assert_int_equal(err, 0);
	ends++;
}

static void count(tako_res *res, void *arg)
{
	elsewhere += !pthread_equal(pthread_self(), loop_thread);
	/* In the order of the calls. */
	assert_ptr_equal(arg, &numbers[ran]);
	if (++ran == POSTS)
		assert_int_equal(tako_res_text(res, 200, "%u", ran), 0);
}

static void *post_all(void *arg)
{
	tako_deferred *d = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		if (tako_deferred_post(d, count, &numbers[i]) < 0)
			break;
	}
	tako_deferred_done(d);
	return NULL;
}

static int deferring(tako_req *req, tako_res *res, void *arg)
{
	tako_deferred *d = tako_res_defer(res);

	(void)req;
	(void)arg;
	assert_non_null(d);
	assert_int_equal(tako_res_on_end(res, on_end, NULL), 0);
	return pthread_create(&poster, NULL, post_all, d) ? TAKO_ESYS : 0;
}

static void work(void *arg)
{
	(void)arg;
	if (!pthread_equal(pthread_self(), loop_thread))
		atomic_fetch_add(&worked, 1);
	sem_wait(&let_go);
}

static void work_done(tako_res *res, void *arg)
{
	(void)arg;
	elsewhere += !pthread_equal(pthread_self(), loop_thread);
	if (++finished + refused == JOBS)
		assert_int_equal(tako_res_text(res, 200, "%u", finished), 0);
}

/* More than one thread and a queue of two can take: the rest is refused at once. */
static int offloading(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	assert_int_equal(tako_res_on_end(res, on_end, NULL), 0);
	for (int i = 0; i < JOBS; i++) {
		int rc = tako_offload(res, work, work_done, arg);

		assert_true(rc == 0 || rc == TAKO_EBUSY);
		refused += rc < 0;
	}
	for (int i = 0; i < JOBS; i++)
		sem_post(&let_go);
	return 0;
}

static int set_up(void **state)
{
	tako_router *r = tako_router_new();
	int rc;

	(void)state;
	ends = 0;
	elsewhere = 0;
	loop_thread = pthread_self();
	tako_get(r, "/posts", deferring, NULL);
	tako_get(r, "/jobs", offloading, NULL);
	rc = stepped_start(&server, r,
	                   TAKO_SERVER_CONFIG(.worker_count = 1, .offload_thread_count = 1,
	                                      .offload_queue_count = 2),
	                   NULL);
	tako_router_free(r);
	peer_open(&peer, &server);
	return rc < 0 || peer.fd < 0 || sem_init(&let_go, 0, 0);
}

static int tear_down(void **state)
{
	(void)state;
	peer_close(&peer);
	stepped_stop(&server);
	return failalloc_live() || failalloc_wrong();
}

static void ask(const char *text)
{
	assert_true(peer_send(&peer, &server, text, strlen(text)));
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.status, 200);
	for (int i = 0; i < 500 && !ends; i++)
		stepped_turn(&server, 5);
	assert_int_equal(ends, 1);
	assert_int_equal(elsewhere, 0);
}

static void test_posts_from_a_thread(void **state)
{
	(void)state;
	ask("GET /posts HTTP/1.1\r\nHost: a\r\n\r\n");
	pthread_join(poster, NULL);
	assert_int_equal(ran, POSTS);
	assert_memory_equal(answer.body, "2000", 4);
}

static void test_full_pool(void **state)
{
	(void)state;
	ask("GET /jobs HTTP/1.1\r\nHost: a\r\n\r\n");
	/* The one at work may have left the queue before the next came, or not. */
	assert_in_range(refused, JOBS - 3, JOBS - 2);
	assert_int_equal(finished, JOBS - refused);
	assert_int_equal(atomic_load(&worked), finished);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_posts_from_a_thread, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_pool, set_up, tear_down),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

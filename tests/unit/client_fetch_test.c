/* SPDX-License-Identifier: MIT
 *
 * The end of a fetch: once, whatever its user asks of it then, and also where nobody will ever begin it.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/client_rig.h"

/* ---- What on_end() may not bring about -------------------------------------------------- */

static void ask_for_everything(struct asked *a)
{
	assert_int_equal(tako_fetch_write(a->f, TAKO_STR("x")), TAKO_ECLOSED);
	assert_int_equal(tako_fetch_finish(a->f), TAKO_ECLOSED);
	tako_fetch_pause(a->f);
	tako_fetch_resume(a->f);
	tako_fetch_cancel(a->f);
}

/* Answered while its body is sent, broken off, and out of time. */
static void test_late_calls(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
		"HTTP/1.1 100 Continue\r\n\r\n",
	};
	static const int errs[] = {0, TAKO_ECLOSED, TAKO_ETIMEDOUT};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct asked a = {.end = ask_for_everything};
		struct client_rig r;
		struct place p;
		int fd;

		place_tcp(&p, 8);
		client_rig_start(&r, NULL, NULL, NULL, NULL);
		client_rig_ask(&r, &a, &p,
		               TAKO_FETCH(.stream = 1, .stream_bytes = TAKO_OFF64,
		                          .total_timeout_ms = i == 2 ? 50 : 0));
		fd = place_serve(&p, &r);
		place_say(fd, answers[i]);
		if (i == 1)
			close(fd);
		client_rig_await(&r, &a);
		assert_int_equal(a.err, errs[i]);
		client_rig_turns(&r, 5);
		assert_int_equal(a.ends, 1);
		if (i != 1)
			close(fd);
		close(p.fd);
		client_rig_stop(&r);
	}
}

/* ---- Who begins it ------------------------------------------------------------------------ */

static struct {
	tako_client *client;
	tako_server *srv;
	unsigned posted;
	unsigned ended;
	int refused;
} again;

static int post_again(tako_fetch *f, int err, void *arg);

static void post(void)
{
	int rc = tako_fetch_post(again.client, again.srv,
	                         TAKO_FETCH(.url = "http://a/", .on_end = post_again));

	if (rc == 0)
		again.posted++;
	else
		again.refused = rc;
}

static int post_again(tako_fetch *f, int err, void *arg)
{
	(void)f, (void)arg;
	assert_int_equal(err, TAKO_ECLOSED);
	again.ended++;
	post();
	return 0;
}

/* Where the server ends nobody begins another one: it is refused rather than forgotten. */
static void test_posted_at_the_end(void **state)
{
	tako_router *r = tako_router_new();

	(void)state;
	memset(&again, 0, sizeof again);
	assert_int_equal(tako_client_new(&again.client, NULL), 0);
	assert_int_equal(tako_server_new(&again.srv, r, TAKO_SERVER_CONFIG(.worker_count = 3)), 0);
	tako_router_free(r);
	for (unsigned i = 0; i < 5; i++)
		post();
	tako_server_free(again.srv);
	tako_client_free(again.client);
	assert_int_equal(again.posted, 5);
	assert_int_equal(again.ended, 5);
	assert_int_equal(again.refused, TAKO_ECLOSED);
	assert_int_equal(failalloc_live(), 0);
}

/* Which workers there will be is not known yet. */
static void test_posted_before_the_start(void **state)
{
	struct asked a[4] = {0};
	struct client_rig r;
	struct place p;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start_late(&r, TAKO_SERVER_CONFIG(.worker_count = 0));
	for (unsigned i = 0; i < 4; i++)
		client_rig_ask(&r, &a[i], &p, NULL);
	assert_true(tako_server_fd(r.s.srv) >= 0);
	for (unsigned i = 0; i < 4; i++) {
		int fd = place_serve(&p, &r);

		assert_true(fd >= 0);
		place_say(fd, "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n");
		close(fd);
	}
	for (unsigned i = 0; i < 4; i++) {
		client_rig_await(&r, &a[i]);
		assert_int_equal(a[i].err, 0);
	}
	close(p.fd);
	client_rig_stop(&r);
}

/* ---- A body that was asked about ------------------------------------------------------------ */

/* RFC 9110 section 10.1.1: who has answered does not want it, however long the rest of that takes. */
static void test_refused_body(void **state)
{
	struct asked a = {0};
	struct client_rig r;
	struct place p;
	char byte;
	int fd;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, NULL, TAKO_CLIENT_CONFIG(.continue_timeout_ms = 20), NULL, NULL);
	client_rig_ask(&r, &a, &p, TAKO_FETCH(.body = TAKO_STR("big"), .expect_continue = 1));
	fd = place_accept(&p, &r.s);
	assert_true(fd >= 0);
	place_say(fd, "HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\n");
	place_hear(fd, &r);
	client_rig_turns(&r, 60);
	assert_int_equal(a.heads, 1);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	place_say(fd, "no");
	client_rig_await(&r, &a);
	assert_int_equal(a.err, 0);
	assert_int_equal(a.status, 413);
	close(fd);
	close(p.fd);
	client_rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late_calls),
		cmocka_unit_test(test_posted_at_the_end),
		cmocka_unit_test(test_posted_before_the_start),
		cmocka_unit_test(test_refused_body),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

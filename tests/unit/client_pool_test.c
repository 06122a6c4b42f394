/* SPDX-License-Identifier: MIT
 *
 * Who waits for a connection, and which he gets.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transports/client/client_origin.h"
#include "unit/client_rig.h"

/* ---- Somebody comes to look at whoever waits ---------------------------------------------- */

/* Three origins with one connection between them, which goes when no other can be made. */
static void test_all_starved_are_told(void **state)
{
	struct asked a[3] = {0};
	struct place p[3];
	struct client_rig r;
	int fd;

	(void)state;
	client_rig_start(&r, NULL, TAKO_CLIENT_CONFIG(.max_connections = 1), NULL, NULL);
	for (unsigned i = 0; i < 3; i++) {
		place_tcp(&p[i], 8);
		client_rig_ask(&r, &a[i], &p[i], NULL);
	}
	fd = place_serve(&p[0], &r);
	tako_server_stop(r.s.srv);
	tako_server_stop(r.s.srv);
	for (unsigned i = 0; i < 3; i++) {
		client_rig_await(&r, &a[i]);
		assert_int_equal(a[i].err, TAKO_ECLOSED);
		close(p[i].fd);
	}
	close(fd);
	client_rig_stop(&r);
}

/* Who waits for the place of one that closes gets it, though the kernel has not let go of that. */
static void test_place_of_one_that_closes(void **state)
{
	struct asked a[3] = {0};
	struct client_rig r;
	struct place p;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, TAKO_SERVER_CONFIG(.max_outgoing_connections = 1), NULL, NULL, NULL);
	for (unsigned i = 0; i < 3; i++)
		client_rig_ask(&r, &a[i], &p, NULL);
	for (unsigned i = 0; i < 3; i++) {
		int fd = place_serve(&p, &r);

		place_say(fd, "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n");
		client_rig_await(&r, &a[i]);
		assert_int_equal(a[i].err, 0);
		close(fd);
	}
	close(p.fd);
	client_rig_stop(&r);
}

/* ---- Connections that nobody needs any more ------------------------------------------------ */

/* The turn in which it begins is not over: it waits. */
static tako_fetch *first_waiting(struct client_rig *r)
{
	struct tako__client_pool *pool = tako__client_pool(dial_rig_worker(&r->s), r->client);
	struct tako__client_origin *o;

	assert_non_null(pool);
	assert_false(tako__list_empty(&pool->origins));
	o = TAKO__CONTAINER(pool->origins.next, struct tako__client_origin, link);
	assert_int_equal(o->queue_count, 1);
	return TAKO__CONTAINER(o->queue.next, struct tako_fetch, link);
}

static void cancel_waiting(struct client_rig *r, struct asked *a, const struct place *p)
{
	client_rig_ask(r, a, p, NULL);
	client_rig_turns(r, 1);
	tako_fetch_cancel(first_waiting(r));
	client_rig_await(r, a);
	assert_int_equal(a->err, TAKO_ECLOSED);
}

static bool has_ended(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static void test_unneeded_is_not_kept_for_ever(void **state)
{
	struct asked a = {0};
	struct client_rig r;
	struct place p;
	int fd;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, NULL, TAKO_CLIENT_CONFIG(.keepalive_timeout_ms = 20), NULL, NULL);
	cancel_waiting(&r, &a, &p);
	fd = place_accept(&p, &r.s);
	assert_true(fd >= 0);
	for (unsigned i = 0; i < 1000 && !has_ended(fd); i++)
		stepped_turn(&r.s, 1);
	assert_true(has_ended(fd));
	close(fd);
	close(p.fd);
	client_rig_stop(&r);
}

/* It may end at any time, also under the first request that it carries. */
static void test_unneeded_may_have_ended(void **state)
{
	struct asked a = {0};
	struct asked b = {0};
	struct client_rig r;
	struct place p;
	int fd;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, NULL, NULL, NULL, NULL);
	cancel_waiting(&r, &a, &p);
	fd = place_accept(&p, &r.s);
	client_rig_turns(&r, 5);
	client_rig_ask(&r, &b, &p, NULL);
	place_hear(fd, &r);
	close(fd);
	fd = place_serve(&p, &r);
	place_say(fd, "HTTP/1.1 204 x\r\n\r\n");
	client_rig_await(&r, &b);
	assert_int_equal(b.err, 0);
	close(fd);
	close(p.fd);
	client_rig_stop(&r);
}

/* ---- What somebody else leaves ------------------------------------------------------------------- */

/* A second response is nobody's, also where its bytes are still the kernel's when the next request is due. */
static void test_stale_is_not_handed_over(void **state)
{
	enum { BYTES = 4096, HEAD_BYTES = 41 };
	static char text[BYTES + 64];
	struct asked a = {0};
	struct asked b = {0};
	struct client_rig r;
	struct place p;
	int fd;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, TAKO_SERVER_CONFIG(.recv_buffer_bytes = BYTES),
	                 TAKO_CLIENT_CONFIG(.max_connections_per_origin = 1), NULL, NULL);
	client_rig_ask(&r, &a, &p, NULL);
	client_rig_ask(&r, &b, &p, NULL);
	fd = place_serve(&p, &r);
	memset(text, 'x', BYTES);
	assert_int_equal(snprintf(text, sizeof text,
	                          "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
	                          BYTES - HEAD_BYTES),
	                 HEAD_BYTES);
	text[HEAD_BYTES] = 'x';
	snprintf(text + BYTES, sizeof text - BYTES,
	         "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
	place_say(fd, text);
	client_rig_await(&r, &a);
	assert_int_equal(a.bytes, BYTES - HEAD_BYTES);
	close(fd);
	fd = place_serve(&p, &r);
	place_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
	client_rig_await(&r, &b);
	assert_string_equal(b.body, "good");
	close(fd);
	close(p.fd);
	client_rig_stop(&r);
}

static int note_end(tako_fetch *f, int err, void *arg)
{
	struct asked *a = arg;

	(void)f;
	a->ends++;
	a->err = err;
	return 0;
}

struct posting {
	struct client_rig r;
	struct place p;
	struct asked a;
};

static void post(void *arg)
{
	struct posting *g = arg;
	char url[TAKO__LOCAL_TEXT_BYTES + 16];

	snprintf(url, sizeof url, "http://%s/", g->p.text);
	assert_int_equal(tako_fetch_start(NULL, g->r.client, client_rig_res(),
	                                  TAKO_FETCH(.url = url, .body = TAKO_STR("x"),
	                                             .on_end = note_end, .arg = &g->a)),
	                 0);
}

/* What cannot be sent anew finds no connection that has ended, though nobody has been told yet that it has. */
static void test_ended_is_not_used(void **state)
{
	struct posting g = {0};
	struct asked first = {0};
	int fd;

	(void)state;
	place_tcp(&g.p, 8);
	client_rig_start(&g.r, NULL, NULL, post, &g);
	client_rig_ask(&g.r, &first, &g.p, NULL);
	fd = place_serve(&g.p, &g.r);
	place_say(fd, "HTTP/1.1 204 x\r\n\r\n");
	client_rig_await(&g.r, &first);
	client_rig_send_do(&g.r);
	close(fd);
	client_rig_hear_done(&g.r);
	fd = place_serve(&g.p, &g.r);
	place_say(fd, "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n");
	client_rig_await(&g.r, &g.a);
	assert_int_equal(g.a.err, 0);
	close(fd);
	close(g.p.fd);
	client_rig_stop(&g.r);
}

/* A connection that is not made for one that has given up is no failure of the next one's. */
static void test_failure_of_anothers(void **state)
{
	enum { TIMEOUT_MS = 100, FILL = 4 };
	struct asked a = {0};
	struct asked b = {0};
	struct client_rig r;
	struct place p;
	int fill[FILL];
	uint64_t begun_ns;

	(void)state;
	place_tcp(&p, 0);
	for (unsigned i = 0; i < FILL; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)!connect(fill[i], &p.target.sa.any, p.target.sa_n);
	}
	client_rig_start(&r, NULL, TAKO_CLIENT_CONFIG(.connect_timeout_ms = TIMEOUT_MS), NULL,
	                 NULL);
	cancel_waiting(&r, &a, &p);
	begun_ns = tako__clock_ns();
	while (tako__clock_ns() - begun_ns < TIMEOUT_MS / 2 * 1000000)
		stepped_turn(&r.s, 1);
	begun_ns = tako__clock_ns();
	client_rig_ask(&r, &b, &p, NULL);
	client_rig_await(&r, &b);
	assert_int_equal(b.err, TAKO_ETIMEDOUT);
	assert_true(tako__clock_ns() - begun_ns >= TIMEOUT_MS * UINT64_C(1000000));
	for (unsigned i = 0; i < FILL; i++)
		close(fill[i]);
	close(p.fd);
	client_rig_stop(&r);
}

/* ---- Clients that are gone ------------------------------------------------------------------------ */

static void test_pools_of_freed_clients(void **state)
{
	enum { ROUNDS = 20, STEADY = 3 };
	struct client_rig r;
	struct place p;
	size_t live = 0;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, TAKO_SERVER_CONFIG(.worker_count = 1), NULL, NULL, NULL);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct asked a = {0};
		int fd;

		tako_client_free(r.client);
		assert_int_equal(tako_client_new(&r.client, NULL), 0);
		client_rig_ask(&r, &a, &p, NULL);
		fd = place_serve(&p, &r);
		place_say(fd, "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n");
		client_rig_await(&r, &a);
		close(fd);
		client_rig_turns(&r, 5);
		if (i == STEADY)
			live = failalloc_live();
	}
	assert_int_equal(failalloc_live(), live);
	close(p.fd);
	client_rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_starved_are_told),
		cmocka_unit_test(test_place_of_one_that_closes),
		cmocka_unit_test(test_unneeded_is_not_kept_for_ever),
		cmocka_unit_test(test_unneeded_may_have_ended),
		cmocka_unit_test(test_stale_is_not_handed_over),
		cmocka_unit_test(test_ended_is_not_used),
		cmocka_unit_test(test_failure_of_anothers),
		cmocka_unit_test(test_pools_of_freed_clients),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

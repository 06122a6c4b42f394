/* SPDX-License-Identifier: MIT
 *
 * A response that is paused and goes on: what was held back comes before what the socket has, and no more is
 * taken from that meanwhile than one delivery brings.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transports/client/client_h1.h"
#include "unit/client_rig.h"

static int pauses(struct asked *a)
{
	tako_fetch_pause(a->f);
	return 0;
}

static void resume(void *arg)
{
	struct asked *a = arg;

	if (a->f)
		tako_fetch_resume(a->f);
}

/* ---- The end of the connection is not told before what was held ---------------------------------- */

static void goes_on(const char *head, const char *rest, int (*at_data)(struct asked *a))
{
	struct asked a = {.head = at_data ? NULL : pauses, .data = at_data};
	struct client_rig r;
	struct place p;
	char text[256];
	int fd;

	place_tcp(&p, 8);
	client_rig_start(&r, NULL, NULL, resume, &a);
	client_rig_ask(&r, &a, &p, NULL);
	fd = place_serve(&p, &r);
	snprintf(text, sizeof text, "%s%s", head, rest);
	place_say(fd, text);
	close(fd);
	client_rig_turns(&r, 20);
	assert_int_equal(a.heads, 1);
	assert_int_equal(a.ends, 0);
	client_rig_do(&r);
	client_rig_await(&r, &a);
	assert_int_equal(a.err, 0);
	assert_string_equal(a.body, "hello");
	close(p.fd);
	client_rig_stop(&r);
}

static void test_end_after_what_was_held(void **state)
{
	(void)state;
	goes_on("HTTP/1.1 200 OK\r\n\r\n", "hello", NULL);
	goes_on("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello", NULL);
	goes_on("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello", pauses);
	goes_on("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n",
	        pauses);
}

/* ---- Nor anything else ------------------------------------------------------------------------------ */

/* Who takes one small chunk at a time leaves the others with the sender. */
static void test_held_is_bounded(void **state)
{
	enum { ROUNDS = 40, RECV_BYTES = 16 << 10 };
	struct asked a = {.data = pauses};
	struct client_rig r;
	struct place p;
	size_t most = 0;
	int fd;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, TAKO_SERVER_CONFIG(.recv_buffer_bytes = RECV_BYTES), NULL, resume, &a);
	client_rig_ask(&r, &a, &p, NULL);
	fd = place_serve(&p, &r);
	place_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (unsigned i = 0; i < ROUNDS; i++) {
		while (send(fd, "1\r\nx\r\n1\r\ny\r\n", 12, MSG_DONTWAIT | MSG_NOSIGNAL) == 12)
			continue;
		client_rig_do(&r);
		client_rig_turns(&r, 2);
		if (a.f && tako__client_h1_of(a.f->conn)->stash.n > most)
			most = tako__client_h1_of(a.f->conn)->stash.n;
	}
	assert_true(a.calls >= ROUNDS / 2);
	assert_true(most > 0);
	assert_in_range(most, 1, RECV_BYTES);
	close(fd);
	close(p.fd);
	client_rig_stop(&r);
}

/* ---- From a callback of its own --------------------------------------------------------------------- */

static int pauses_and_writes(struct asked *a)
{
	tako_fetch_pause(a->f);
	assert_int_equal(tako_fetch_write(a->f, TAKO_STR("x")), 1);
	return 0;
}

static void resumes(struct asked *a)
{
	tako_fetch_resume(a->f);
}

static void test_resumed_when_writable(void **state)
{
	struct asked a = {.head = pauses_and_writes, .writable = resumes};
	struct client_rig r;
	struct place p;
	int fd;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, NULL, TAKO_CLIENT_CONFIG(.write_high_bytes = 1), NULL, NULL);
	client_rig_ask(&r, &a, &p, TAKO_FETCH(.stream = 1, .stream_bytes = TAKO_OFF64));
	fd = place_serve(&p, &r);
	place_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	client_rig_await(&r, &a);
	assert_int_equal(a.err, 0);
	assert_string_equal(a.body, "hello");
	close(fd);
	close(p.fd);
	client_rig_stop(&r);
}

/* Who passes on what he receives is just below his mark when as much comes as ever may at once. */
static int writes_a_delivery(struct asked *a)
{
	enum { HIGH = 1000, DELIVERY = 1 << 20 };
	static const char text[DELIVERY];

	assert_int_equal(tako_fetch_write(a->f, (tako_str){text, HIGH - 1}), HIGH - 1);
	/* What is around the first chunk is unsent by now, too. */
	assert_in_range(tako_fetch_write(a->f, (tako_str){text, DELIVERY}), HIGH - 1 + DELIVERY,
	                HIGH + 20 + DELIVERY);
	assert_int_equal(tako_fetch_write(a->f, (tako_str){text, 100}), TAKO_EBUSY);
	return -1;
}

static void test_one_delivery_more(void **state)
{
	struct asked a = {.head = writes_a_delivery};
	struct client_rig r;
	struct place p;
	int fd;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, NULL, TAKO_CLIENT_CONFIG(.write_high_bytes = 1000), NULL, NULL);
	client_rig_ask(&r, &a, &p, TAKO_FETCH(.stream = 1, .stream_bytes = TAKO_OFF64));
	fd = place_serve(&p, &r);
	place_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
	client_rig_await(&r, &a);
	assert_int_equal(a.heads, 1);
	close(fd);
	close(p.fd);
	client_rig_stop(&r);
}

static int blinks(struct asked *a)
{
	tako_fetch_pause(a->f);
	tako_fetch_resume(a->f);
	return 0;
}

/* More comes after it has, and the connection is kept. */
static void test_resumed_at_once(void **state)
{
	struct asked a = {.head = blinks, .data = blinks};
	struct asked b = {.data = blinks};
	struct client_rig r;
	struct place p;
	int fd;

	(void)state;
	place_tcp(&p, 8);
	client_rig_start(&r, NULL, NULL, NULL, NULL);
	client_rig_ask(&r, &a, &p, NULL);
	fd = place_serve(&p, &r);
	place_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
	client_rig_turns(&r, 10);
	assert_int_equal(a.calls, 1);
	place_say(fd, "llo");
	client_rig_await(&r, &a);
	assert_string_equal(a.body, "hello");
	client_rig_ask(&r, &b, &p, NULL);
	place_hear(fd, &r);
	place_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	client_rig_await(&r, &b);
	assert_string_equal(b.body, "ok");
	close(fd);
	close(p.fd);
	client_rig_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_end_after_what_was_held),
		cmocka_unit_test(test_held_is_bounded),
		cmocka_unit_test(test_resumed_when_writable),
		cmocka_unit_test(test_one_delivery_more),
		cmocka_unit_test(test_resumed_at_once),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

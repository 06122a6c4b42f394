/* SPDX-License-Identifier: MIT
 *
 * Records on their way out: how long they are, that those of a turn leave together, how much may wait
 * encrypted, and that who lent the bytes hears of their end once, when they have left.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "transports/tls/tls_layer.h"
#include "unit/tls_rig.h"

enum {
	HEAD_BYTES = 5,   /* of a record */
	EXTRA_BYTES = 17, /* its tag, and the type of what is in it (RFC 8446 section 5.2) */
	LARGE_BYTES = 120000,
	HUGE_BYTES = 24 << 20,
	RECORDS_MAX = 256,
};

static char *body;
static unsigned sent;
static unsigned done;

static void on_done(void *arg)
{
	(void)arg;
	done++;
}

static int lend(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	sent++;
	return tako_res_send_ref(res, 200, NULL, (tako_str){body, *(size_t *)arg}, on_done, NULL);
}

static int small(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "small");
}

static void begin(void)
{
	static size_t large = LARGE_BYTES;
	static size_t huge = HUGE_BYTES;
	tako_router *r = tako_router_new();

	sent = done = 0;
	tako_get(r, "/small", small, NULL);
	tako_get(r, "/large", lend, &large);
	tako_get(r, "/huge", lend, &huge);
	assert_int_equal(tls_rig_start(r), 0);
	assert_true(tls_rig_open(0));
	assert_true(tls_rig_connect());
	/* Tickets. */
	tls_rig_turn(5);
	peer_read(&tls_rig.peer);
	(void)wolfSSL_read(tls_rig.ssl, (char[1]){0}, 1);
	assert_int_equal(tls_rig.peer.n, 0);
}

static void end(void)
{
	tls_rig_close();
	assert_int_equal(tls_rig_stop(), 0);
	assert_int_equal(done, sent);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void ask(const char *text)
{
	assert_true(tls_rig_ask(text));
	assert_true(tls_rig_deliver());
}

/* What has come, as payloads of whole records. */
static unsigned records(size_t sizes[RECORDS_MAX])
{
	const unsigned char *p = (const unsigned char *)tls_rig.peer.data;
	size_t at = 0;
	unsigned count = 0;

	peer_read(&tls_rig.peer);
	while (tls_rig.peer.n - at >= HEAD_BYTES) {
		size_t n = (size_t)p[at + 3] << 8 | p[at + 4];

		if (tls_rig.peer.n - at < HEAD_BYTES + n)
			break;
		assert_int_equal(p[at], 23);
		assert_true(n > EXTRA_BYTES);
		assert_true(count < RECORDS_MAX);
		sizes[count++] = n - EXTRA_BYTES;
		at += HEAD_BYTES + n;
	}
	assert_int_equal(at, tls_rig.peer.n);
	return count;
}

/* The first that leave fill a segment each, so that they can be read as they come; then they are as large as
 * may be. */
static void test_sizes(void **state)
{
	size_t sizes[RECORDS_MAX];
	size_t total = 0;
	size_t shorts = 0;
	unsigned count;

	(void)state;
	begin();
	ask(GET("/large"));
	for (unsigned i = 0; i < 1000 && done == 0; i++)
		tls_rig_turn(1);
	assert_int_equal(done, 1);
	count = records(sizes);
	for (unsigned i = 0; i < count; i++) {
		if (total < TAKO__TLS_SHORT_UNTIL_BYTES) {
			assert_in_range(sizes[i], 1, TAKO__TLS_SHORT_BYTES);
			shorts++;
		} else if (i + 1 < count) {
			assert_in_range(sizes[i], 15 << 10, 16 << 10);
		}
		total += sizes[i];
	}
	assert_in_range(total, LARGE_BYTES + 50, LARGE_BYTES + 500);
	assert_in_range(shorts, TAKO__TLS_SHORT_UNTIL_BYTES / TAKO__TLS_SHORT_BYTES,
	                TAKO__TLS_SHORT_UNTIL_BYTES / TAKO__TLS_SHORT_BYTES + 2);
	end();
}

/* Answers to what came together are one record. */
static void test_turn_is_one_record(void **state)
{
	size_t sizes[RECORDS_MAX];

	(void)state;
	begin();
	ask(GET("/small") GET("/small") GET("/small"));
	tls_rig_turn(3);
	assert_int_equal(records(sizes), 1);
	assert_in_range(sizes[0], 3 * 50, 3 * 300);
	end();
}

/* To who reads nothing: what waits is where it was, and what is encrypted has a bound. */
static void test_flight_is_bounded(void **state)
{
	size_t before;

	(void)state;
	begin();
	before = tls_rig_live_bytes();
	ask(GET("/huge"));
	tls_rig_turn(300);
	assert_int_equal(sent, 1);
	assert_int_equal(done, 0);
	/* Blocks that are on their way, and the one that is being filled. */
	assert_in_range(tls_rig_live_bytes() - before, TAKO__TLS_SHORT_UNTIL_BYTES,
	                TAKO__TLS_FLIGHT_BYTES + (64 << 10));
	end();
	assert_int_equal(done, 1);
}

/* The bytes are given back when they have left, not when they are encrypted. */
static void test_done_at_the_end(void **state)
{
	char *answer = malloc(HUGE_BYTES);
	const char *from;
	size_t half = HUGE_BYTES / 2;

	(void)state;
	assert_non_null(answer);
	begin();
	ask(GET("/huge"));
	assert_int_equal(tls_rig_receive(answer, half), half);
	assert_int_equal(done, 0);
	assert_int_equal(tls_rig_receive(answer + half, half), half);
	from = memmem(answer, half, "\r\n\r\n", 4);
	assert_non_null(from);
	from += 4;
	assert_memory_equal(from, body, (size_t)(answer + HUGE_BYTES - from));
	/* As much as the head was long is still to come. */
	assert_int_equal(tls_rig_receive(answer, (size_t)(from - answer)), from - answer);
	tls_rig_turn(3);
	assert_int_equal(done, 1);
	end();
	free(answer);
}

/* A file's bytes have to be seen, and nothing is taken before there is a session or after its end. */
static void test_what_is_not_taken(void **state)
{
	struct tako__tls_layer t = {.state = TAKO__TLS_READY};
	struct tako_send op = {.file_fd = 0, .n = 1};

	(void)state;
	assert_int_equal(tako__tls_down(&t.l, &op), TAKO_ENOTSUP);
	op.file_fd = -1;
	for (int i = TAKO__TLS_FIRST; i <= TAKO__TLS_OVER; i++) {
		t.state = (uint8_t)i;
		if (i != TAKO__TLS_READY && i != TAKO__TLS_EARLY)
			assert_int_equal(tako__tls_down(&t.l, &op), TAKO_ECLOSED);
	}
	assert_null(t.ops);
}

static int set_up(void **state)
{
	body = malloc(HUGE_BYTES);
	if (!body)
		return -1;
	for (size_t i = 0; i < HUGE_BYTES; i++)
		body[i] = (char)(i * 7 + i / 251);
	return tls_rig_up(state);
}

static int tear_down(void **state)
{
	free(body);
	return tls_rig_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_turn_is_one_record),
		cmocka_unit_test(test_flight_is_bounded),
		cmocka_unit_test(test_done_at_the_end),
		cmocka_unit_test(test_what_is_not_taken),
	};

	if (tls_rig_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

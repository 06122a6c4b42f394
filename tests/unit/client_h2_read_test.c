/* SPDX-License-Identifier: MIT
 *
 * Responses over HTTP/2: what is told of them and when, what makes one malformed, and what a pause holds back.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base.h"
#include "transports/client/client_h2.h"
#include "unit/client_h2_rig.h"

enum { TURNS_MAX = 1000 };

static struct client_rig rig;
static struct h2_place peer;
static struct place place;

static void start(const tako_client_config *cfg, void (*act)(void *arg), void *arg)
{
	place_tcp(&place, 8);
	h2_place_rig(&rig, cfg, act, arg);
}

/* One request, on a connection that takes more. */
static void ask(struct asked *a, const tako_fetch_config *cfg)
{
	client_rig_ask(&rig, a, &place, cfg);
	h2_place_serve(&peer, &place, &rig, 100);
	h2_place_await(&peer, 1);
}

static void stop(void)
{
	h2_place_close(&peer);
	client_rig_stop(&rig);
	close(place.fd);
}

/* ---- Whole ones --------------------------------------------------------------------------------- */

static struct {
	char trailer[64];
	char forbidden[64];
	char field[64];
	int version;
	uint64_t length;
} told;

static void copy(char *to, tako_str s)
{
	snprintf(to, 64, "%.*s", s.p ? (int)s.n : 6, s.p ? s.p : "(none)");
}

static void looks(struct asked *a)
{
	copy(told.trailer, tako_fetch_trailer(a->f, "X-Sum"));
	copy(told.forbidden, tako_fetch_trailer(a->f, "content-length"));
	copy(told.field, tako_fetch_header(a->f, "X-Field"));
	told.version = tako_fetch_version(a->f);
	told.length = tako_fetch_content_length(a->f);
}

static void test_whole(void **state)
{
	struct asked a = {.end = looks};

	(void)state;
	start(NULL, NULL, NULL);
	ask(&a, NULL);
	h2_place_head(&peer, 1, 0, ":status: 103\nlink: x\n");
	h2_place_head(&peer, 1, 0, ":status: 200\ncontent-length: 10\nx-field: value\n");
	h2_place_data(&peer, 1, 0, "hello");
	h2_place_data(&peer, 1, 0, "");
	h2_place_frame(&peer, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, "\3world\0\0\0", 9);
	h2_place_head(&peer, 1, H2_PLACE_END, "x-sum: 7\ncontent-length: 3\n");
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, 0);
	assert_int_equal(a.heads, 1);
	assert_string_equal(a.body, "helloworld");
	assert_int_equal(told.version, 20);
	assert_int_equal(told.length, 10);
	assert_string_equal(told.field, "value");
	assert_string_equal(told.trailer, "7");
	assert_string_equal(told.forbidden, "(none)");
	stop();
}

/* RFC 9110 section 6.4.1: whatever Content-Length says. */
static void test_without_a_body(void **state)
{
	static const struct {
		const char *method;
		const char *head;
		int status;
	} cases[] = {
		{"HEAD", ":status: 200\ncontent-length: 10\n", 200},
		{"GET", ":status: 304\ncontent-length: 10\n", 304},
		{"GET", ":status: 204\n", 204},
		{"GET", ":status: 200\ncontent-length: 0\n", 200},
		{"GET", ":status: 200\n", 200},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		for (int late = 0; late < 2; late++) {
			struct asked a = {0};

			start(NULL, NULL, NULL);
			ask(&a, TAKO_FETCH(.method = cases[i].method));
			h2_place_head(&peer, 1, late ? 0 : H2_PLACE_END, cases[i].head);
			if (late)
				h2_place_data(&peer, 1, H2_PLACE_END, "");
			client_rig_await(&rig, &a);
			assert_int_equal(a.err, 0);
			assert_int_equal(a.status, cases[i].status);
			assert_int_equal(a.bytes, 0);
			stop();
		}
	}
}

/* ---- Malformed ones --------------------------------------------------------------------------------- */

struct frame {
	const char *fields; /* NULL: DATA */
	const char *data;
	unsigned flags;
};

static void say_all(const struct frame *frames, int32_t id)
{
	for (; frames->fields || frames->data; frames++) {
		if (frames->fields)
			h2_place_head(&peer, id, frames->flags, frames->fields);
		else
			h2_place_data(&peer, id, frames->flags, frames->data);
	}
}

#define OK ":status: 200\n"

/* A stream's error (RFC 9113 section 8.1.1): its fetch is told, and the connection goes on. */
static void test_malformed(void **state)
{
	static const struct {
		const char *section; /* of RFC 9113 */
		const char *method;
		struct frame frames[4];
		const char *why;
		int err;
		int64_t code;
	} cases[] = {
		{"8.3.2", "GET", {{"a: b\n", NULL, H2_PLACE_END}}, "no :status", TAKO_EPROTO, 1},
		{"8.2.1", "GET", {{OK "Up: b\n", NULL, 0}}, "a field name", TAKO_EPROTO, 1},
		{"8.2.2", "GET", {{OK "connection: close\n", NULL, 0}}, "HTTP/1.1", TAKO_EPROTO, 1},
		{"8.6", "GET", {{":status: 101\n", NULL, 0}}, "101", TAKO_EPROTO, 1},
		{"8.1",
	         "GET",
	         {{":status: 103\n", NULL, H2_PLACE_END}},
	         "interim response that ends",
	         TAKO_EPROTO,
	         1},
		{"8.1", "GET", {{OK, NULL, 0}, {"a: b\n", NULL, 0}}, "do not end", TAKO_EPROTO, 1},
		{"8.1",
	         "GET",
	         {{OK, NULL, 0}, {OK, NULL, H2_PLACE_END}},
	         "in trailers",
	         TAKO_EPROTO,
	         1},
		{"8.1.1",
	         "GET",
	         {{OK "content-length: 3\n", NULL, 0}, {NULL, "four", 0}},
	         "more than",
	         TAKO_EPROTO,
	         1},
		{"8.1.1",
	         "GET",
	         {{OK "content-length: 9\n", NULL, 0}, {NULL, "four", H2_PLACE_END}},
	         "less than",
	         TAKO_EPROTO,
	         1},
		{"8.1.1",
	         "GET",
	         {{OK "content-length: 9\n", NULL, H2_PLACE_END}},
	         "less than",
	         TAKO_EPROTO,
	         1},
		{"8.1.1",
	         "GET",
	         {{OK "content-length: 9\n", NULL, 0},
	          {NULL, "four", 0},
	          {"a: b\n", NULL, H2_PLACE_END}},
	         "less than",
	         TAKO_EPROTO,
	         1},
		{"8.1.1",
	         "HEAD",
	         {{OK "content-length: 3\n", NULL, 0}, {NULL, "abc", 0}},
	         "that has none",
	         TAKO_EPROTO,
	         1},
		{"8.1.1",
	         "GET",
	         {{":status: 204\n", NULL, 0}, {NULL, "x", 0}},
	         "that has none",
	         TAKO_EPROTO,
	         1},
		{"8.1.1",
	         "GET",
	         {{":status: 304\n", NULL, 0}, {NULL, "x", 0}},
	         "that has none",
	         TAKO_EPROTO,
	         1},
		{"8.1", "GET", {{":status: 100\n", NULL, 0}, {NULL, "x", 0}}, "", TAKO_EPROTO, 1},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		struct asked a = {0};
		struct asked b = {0};
		int64_t code;

		start(NULL, NULL, NULL);
		ask(&a, TAKO_FETCH(.method = cases[i].method));
		say_all(cases[i].frames, 1);
		client_rig_await(&rig, &a);
		code = h2_place_await_reset(&peer, 1);
		if (a.err != cases[i].err || code != cases[i].code || !a.why[0] ||
		    !strstr(a.why, cases[i].why))
			fail_msg("%zu (section %s): %d %s, code %d", i, cases[i].section, a.err,
			         a.why, (int)code);
		client_rig_ask(&rig, &b, &place, NULL);
		h2_place_await(&peer, 2);
		h2_place_answer(&peer, 3);
		client_rig_await(&rig, &b);
		assert_int_equal(b.err, 0);
		stop();
	}
}

/* A head that is too large is decompressed all the same: the next one refers to it. */
static void test_too_large(void **state)
{
	static char fields[8192] = ":status: 200\n";
	struct asked a = {0};
	struct asked b = {0};

	(void)state;
	for (unsigned i = 0; i < 101; i++)
		snprintf(fields + strlen(fields), 64, "x-%u: %u\n", i, i);
	start(NULL, NULL, NULL);
	ask(&a, NULL);
	h2_place_head(&peer, 1, 0, fields);
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, TAKO_ETOOBIG);
	assert_string_equal(a.why, "too many fields");
	assert_int_equal(h2_place_await_reset(&peer, 1), NGHTTP2_CANCEL);
	client_rig_ask(&rig, &b, &place, NULL);
	h2_place_await(&peer, 2);
	h2_place_head(&peer, 3, H2_PLACE_END, OK "x-100: 100\n");
	client_rig_await(&rig, &b);
	assert_int_equal(b.err, 0);
	stop();
}

/* ---- Broken off ------------------------------------------------------------------------------------------ */

static void test_reset(void **state)
{
	static const struct frame head[] = {{OK, NULL, 0}, {NULL, "abc", 0}, {NULL, NULL, 0}};

	(void)state;
	for (int begun = 0; begun < 2; begun++) {
		struct asked a = {0};

		start(NULL, NULL, NULL);
		ask(&a, NULL);
		if (begun)
			say_all(head, 1);
		h2_place_reset(&peer, 1, NGHTTP2_INTERNAL_ERROR);
		client_rig_await(&rig, &a);
		assert_int_equal(a.err, TAKO_ECLOSED);
		assert_string_equal(a.why, "the server has reset the stream: INTERNAL_ERROR");
		assert_int_equal(a.bytes, begun ? 3 : 0);
		stop();
	}
}

/* RFC 9113 section 8.1: a response that is complete is, though its server wants no more of the request. */
static void test_complete_before_the_request_is(void **state)
{
	(void)state;
	for (int resets = 0; resets < 2; resets++) {
		struct asked a = {0};

		start(NULL, NULL, NULL);
		ask(&a, TAKO_FETCH(.stream = 1, .stream_bytes = TAKO_OFF64));
		h2_place_head(&peer, 1, 0, ":status: 413\n");
		h2_place_data(&peer, 1, H2_PLACE_END, "no");
		if (resets)
			h2_place_reset(&peer, 1, NGHTTP2_NO_ERROR);
		client_rig_await(&rig, &a);
		assert_int_equal(a.err, 0);
		assert_int_equal(a.status, 413);
		assert_string_equal(a.body, "no");
		if (!resets)
			assert_int_equal(h2_place_await_reset(&peer, 1), NGHTTP2_CANCEL);
		stop();
	}
}

/* ---- Pauses ----------------------------------------------------------------------------------------------- */

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

/* The window of one that is paused stays shut, and the others' are open. */
static void test_pause_holds_one_stream(void **state)
{
	enum { WINDOW = 20000, BLOCK = 10000 };
	static char block[BLOCK + 1];
	struct asked a = {.head = pauses};
	struct asked b = {0};

	(void)state;
	memset(block, 'x', BLOCK);
	start(TAKO_CLIENT_CONFIG(.http2_stream_window_bytes = WINDOW,
	                         .http2_connection_window_bytes = 65535),
	      resume, &a);
	ask(&a, NULL);
	assert_int_equal(peer.window, WINDOW);
	h2_place_head(&peer, 1, 0, OK);
	h2_place_data(&peer, 1, 0, block);
	h2_place_data(&peer, 1, 0, block);
	client_rig_ask(&rig, &b, &place, NULL);
	h2_place_await(&peer, 2);
	h2_place_head(&peer, 3, 0, OK);
	for (unsigned i = 0; i < 20; i++) {
		for (unsigned turns = 0; h2_place_of(&peer, 3)->granted + WINDOW < (i + 2) * BLOCK;
		     turns++) {
			assert_true(turns < 3000);
			h2_place_turns(&peer, 1);
		}
		h2_place_data(&peer, 3, 0, block);
	}
	h2_place_data(&peer, 3, H2_PLACE_END, "");
	client_rig_await(&rig, &b);
	assert_int_equal(b.bytes, 20 * BLOCK);
	assert_int_equal(h2_place_of(&peer, 1)->granted, 0);
	assert_int_equal(a.calls, 0);
	client_rig_do(&rig);
	h2_place_turns(&peer, 5);
	assert_int_equal(a.bytes, 2 * BLOCK);
	assert_int_equal(h2_place_of(&peer, 1)->granted, 2 * BLOCK);
	h2_place_data(&peer, 1, H2_PLACE_END, "");
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, 0);
	stop();
}

/* RFC 9113 section 6.9.1: more than the window. */
static void test_window_is_held_to(void **state)
{
	enum { WINDOW = 20000 };
	static char block[12001];
	struct asked a = {.head = pauses};

	(void)state;
	memset(block, 'x', sizeof block - 1);
	start(TAKO_CLIENT_CONFIG(.http2_stream_window_bytes = WINDOW), NULL, NULL);
	ask(&a, NULL);
	h2_place_head(&peer, 1, 0, OK);
	h2_place_data(&peer, 1, 0, block);
	h2_place_data(&peer, 1, 0, block);
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, TAKO_EPROTO);
	assert_non_null(strstr(a.why, "FLOW_CONTROL_ERROR"));
	stop();
}

/* Everything comes in order, one delivery a time if that is wanted, and the end last, also when the connection has
 * ended meanwhile. */
static void goes_on(int (*at_head)(struct asked *a), int (*at_data)(struct asked *a), bool closes)
{
	struct asked a = {.head = at_head, .data = at_data, .end = looks};

	start(NULL, resume, &a);
	ask(&a, NULL);
	h2_place_head(&peer, 1, 0, OK);
	h2_place_data(&peer, 1, 0, "he");
	h2_place_turns(&peer, 5);
	h2_place_data(&peer, 1, 0, "l");
	h2_place_data(&peer, 1, 0, "lo");
	h2_place_head(&peer, 1, H2_PLACE_END, "x-sum: 7\n");
	if (closes) {
		h2_place_turns(&peer, 3);
		close(peer.fd);
		peer.ended = true;
	}
	h2_place_turns(&peer, 10);
	assert_int_equal(a.heads, 1);
	assert_int_equal(a.ends, 0);
	for (unsigned i = 0; i < 5 && !a.ends; i++)
		client_rig_do(&rig);
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, 0);
	assert_string_equal(a.body, "hello");
	assert_string_equal(told.trailer, "7");
	if (closes)
		peer.fd = dup(0);
	stop();
}

static void test_goes_on(void **state)
{
	(void)state;
	for (int closes = 0; closes < 2; closes++) {
		goes_on(pauses, NULL, closes);
		goes_on(NULL, pauses, closes);
		goes_on(pauses, pauses, closes);
	}
}

/* A connection that has ended stays for a whole response that is paused, and no longer. */
static void test_given_up_behind_the_end(void **state)
{
	struct asked a = {.head = pauses};
	struct tako__client_pool *pool;

	(void)state;
	start(NULL, NULL, NULL);
	ask(&a, NULL);
	pool = tako__client_pool(dial_rig_worker(&rig.s), rig.client);
	h2_place_head(&peer, 1, 0, OK);
	h2_place_data(&peer, 1, H2_PLACE_END, "hello");
	assert_int_equal(shutdown(peer.fd, SHUT_WR), 0);
	for (unsigned i = 0; i < TURNS_MAX && pool->conn_count; i++)
		h2_place_turns(&peer, 1);
	assert_int_equal(pool->conn_count, 0);
	assert_int_equal(a.heads, 1);
	assert_int_equal(a.ends, 0);
	assert_int_equal(dial_rig_stats(&rig.s).outgoing_open, 1);
	tako_fetch_cancel(a.f);
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, TAKO_ECLOSED);
	for (unsigned i = 0; i < TURNS_MAX && dial_rig_stats(&rig.s).outgoing_open; i++)
		h2_place_turns(&peer, 1);
	assert_int_equal(dial_rig_stats(&rig.s).outgoing_open, 0);
	stop();
}

static int blinks(struct asked *a)
{
	tako_fetch_pause(a->f);
	tako_fetch_resume(a->f);
	return 0;
}

static void test_resumed_at_once(void **state)
{
	struct asked a = {.head = blinks, .data = blinks};

	(void)state;
	start(NULL, NULL, NULL);
	ask(&a, NULL);
	h2_place_head(&peer, 1, 0, OK);
	h2_place_data(&peer, 1, 0, "hel");
	h2_place_data(&peer, 1, H2_PLACE_END, "lo");
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, 0);
	assert_string_equal(a.body, "hello");
	stop();
}

/* Before anything has come: interim responses wait, too, and not for ever many. */
static void test_interim_during_a_pause(void **state)
{
	struct asked a = {0};
	struct tako__client_pool *pool;
	struct tako__conn *c;
	struct tako__client_h2_stream *s;
	size_t most = 0;

	(void)state;
	start(TAKO_CLIENT_CONFIG(.max_header_bytes = 1024), NULL, NULL);
	ask(&a, NULL);
	pool = tako__client_pool(dial_rig_worker(&rig.s), rig.client);
	assert_int_equal(pool->conn_count, 1);
	c = TAKO__CONTAINER(dial_rig_worker(&rig.s)->conn_list.prev, struct tako__conn, link);
	if (c->proto != &tako__client_h2_carrier.ops)
		c = TAKO__CONTAINER(dial_rig_worker(&rig.s)->conn_list.next, struct tako__conn,
		                    link);
	assert_ptr_equal(c->proto, &tako__client_h2_carrier.ops);
	s = TAKO__CONTAINER(tako__client_h2_state(c)->h->streams.next,
	                    struct tako__client_h2_stream, link);
	tako_fetch_pause(s->f);
	for (unsigned i = 0; i < 100 && !a.ends; i++) {
		h2_place_head(&peer, 1, 0, ":status: 103\nlink: </a>; rel=preload\n");
		h2_place_turns(&peer, 1);
		if (!a.ends && s->held.n > most)
			most = s->held.n;
	}
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, TAKO_ETOOBIG);
	assert_in_range(most, 1, 2 * 1024);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_without_a_body),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_complete_before_the_request_is),
		cmocka_unit_test(test_pause_holds_one_stream),
		cmocka_unit_test(test_window_is_held_to),
		cmocka_unit_test(test_goes_on),
		cmocka_unit_test(test_given_up_behind_the_end),
		cmocka_unit_test(test_resumed_at_once),
		cmocka_unit_test(test_interim_during_a_pause),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * The client's connections over HTTP/2: what they carry and how much of it, how they end, and what a server may not
 * make them do.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base.h"
#include "transports/client/client_int.h"
#include "unit/client_h2_rig.h"

static struct client_rig rig;
static struct h2_place first;
static struct h2_place second;
static struct place place;

static void start(const tako_client_config *cfg, void (*act)(void *arg), void *arg)
{
	place_tcp(&place, 8);
	h2_place_rig(&rig, cfg, act, arg);
}

static void stop(void)
{
	client_rig_stop(&rig);
	close(place.fd);
}

static void ask_all(struct asked *a, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		client_rig_ask(&rig, &a[i], &place, NULL);
}

static uint64_t connections(void)
{
	return dial_rig_stats(&rig.s).outgoing_connections;
}

/* ---- Many on one ------------------------------------------------------------------------------ */

/* One until it is known how many there may be; then all of them, answered in any order. */
static void test_shared(void **state)
{
	enum { COUNT = 50 };
	struct asked a[COUNT] = {0};

	(void)state;
	start(NULL, NULL, NULL);
	ask_all(a, COUNT);
	h2_place_open(&first, &place, &rig);
	assert_false(first.pushes);
	h2_place_turns(&first, 5);
	assert_int_equal(first.asked_count, 1);
	h2_place_setting(&first, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000);
	h2_place_await(&first, COUNT);
	for (int32_t id = 2 * COUNT - 1; id > 0; id -= 2) {
		char head[64];

		snprintf(head, sizeof head, ":status: 200\nx: %d\n", id);
		h2_place_head(&first, id, 0, head);
		h2_place_data(&first, id, H2_PLACE_END, "hello");
	}
	for (unsigned i = 0; i < COUNT; i++) {
		client_rig_await(&rig, &a[i]);
		assert_int_equal(a[i].err, 0);
		assert_int_equal(a[i].status, 200);
		assert_string_equal(a[i].body, "hello");
	}
	assert_int_equal(connections(), 1);
	assert_int_equal(first.reset_count, 0);
	h2_place_close(&first);
	stop();
}

/* Who finds no room on the first connection gets another one; that is asked no more than it says either. */
static void test_another_one(void **state)
{
	struct asked a[5] = {0};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.max_connections_per_origin = 2), NULL, NULL);
	ask_all(a, 5);
	h2_place_serve(&first, &place, &rig, 2);
	h2_place_serve(&second, &place, &rig, 2);
	h2_place_turns(&first, 5);
	h2_place_turns(&second, 5);
	assert_int_equal(first.asked_count, 2);
	assert_int_equal(second.asked_count, 2);
	h2_place_answer(&second, 1);
	h2_place_await(&second, 3);
	h2_place_answer(&second, 3);
	h2_place_answer(&second, 5);
	h2_place_answer(&first, 1);
	h2_place_answer(&first, 3);
	for (unsigned i = 0; i < 5; i++) {
		client_rig_await(&rig, &a[i]);
		assert_int_equal(a[i].err, 0);
	}
	assert_int_equal(connections(), 2);
	h2_place_close(&first);
	h2_place_close(&second);
	stop();
}

static void test_own_bound(void **state)
{
	struct asked a[3] = {0};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.http2_max_stream_count = 2, .max_connections_per_origin = 1),
	      NULL, NULL);
	ask_all(a, 3);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_turns(&first, 10);
	assert_int_equal(first.asked_count, 2);
	h2_place_answer(&first, 1);
	h2_place_await(&first, 3);
	h2_place_answer(&first, 3);
	h2_place_answer(&first, 5);
	client_rig_await(&rig, &a[2]);
	h2_place_close(&first);
	stop();
}

/* RFC 9113 section 6.5.2: 0 of them, for a while. */
static void test_none_at_the_moment(void **state)
{
	struct asked a[3] = {0};

	(void)state;
	start(NULL, NULL, NULL);
	ask_all(a, 3);
	h2_place_serve(&first, &place, &rig, 0);
	h2_place_turns(&first, 10);
	assert_int_equal(first.asked_count, 1);
	h2_place_answer(&first, 1);
	client_rig_await(&rig, &a[0]);
	h2_place_turns(&first, 5);
	assert_int_equal(first.asked_count, 1);
	assert_int_equal(connections(), 1);
	h2_place_setting(&first, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2);
	h2_place_await(&first, 3);
	h2_place_answer(&first, 3);
	h2_place_answer(&first, 5);
	client_rig_await(&rig, &a[1]);
	client_rig_await(&rig, &a[2]);
	h2_place_close(&first);
	stop();
}

static int notes_end(tako_fetch *f, int err, void *arg)
{
	struct asked *a = arg;

	(void)f;
	a->ends++;
	a->err = err;
	return 0;
}

static void asks(void *arg)
{
	char url[TAKO__LOCAL_TEXT_BYTES + 16];

	snprintf(url, sizeof url, "http://%s/", place.text);
	assert_int_equal(tako_fetch_start(NULL, rig.client, client_rig_res(),
	                                  TAKO_FETCH(.url = url, .on_end = notes_end, .arg = arg)),
	                 0);
}

/* It was told nothing and has something to say, which nobody has heard yet: that is looked at, and it is used. */
static void test_ping_before_a_request(void **state)
{
	struct asked a[2] = {0};

	(void)state;
	start(NULL, asks, &a[1]);
	client_rig_ask(&rig, &a[0], &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_answer(&first, 1);
	client_rig_await(&rig, &a[0]);
	client_rig_send_do(&rig);
	h2_place_frame(&first, NGHTTP2_PING, 0, 0, "12345678", 8);
	h2_place_await(&first, 2);
	assert_int_equal(first.pongs, 1);
	h2_place_answer(&first, 3);
	client_rig_await(&rig, &a[1]);
	assert_int_equal(a[1].err, 0);
	assert_int_equal(connections(), 1);
	client_rig_hear_done(&rig);
	h2_place_close(&first);
	stop();
}

/* ---- Ends --------------------------------------------------------------------------------------- */

/* RFC 9113 section 6.8: what it leaves out is sent anew, whatever it is; what it does not goes on. */
static void test_goaway(void **state)
{
	struct asked a[3] = {0};

	(void)state;
	start(NULL, NULL, NULL);
	client_rig_ask(&rig, &a[0], &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	client_rig_ask(&rig, &a[1], &place, TAKO_FETCH(.body = TAKO_STR("x")));
	h2_place_await(&first, 2);
	h2_place_goaway(&first, 1, NGHTTP2_NO_ERROR);
	h2_place_serve(&second, &place, &rig, 100);
	h2_place_await(&second, 1);
	assert_non_null(strstr(h2_place_of(&second, 1)->text, ":method: POST\n"));
	/* Nor does anybody else begin there. */
	client_rig_ask(&rig, &a[2], &place, NULL);
	h2_place_await(&second, 2);
	h2_place_head(&first, 1, 0, ":status: 200\n");
	h2_place_data(&first, 1, H2_PLACE_END, "late");
	client_rig_await(&rig, &a[0]);
	assert_string_equal(a[0].body, "late");
	assert_int_equal(h2_place_await_end(&first), NGHTTP2_NO_ERROR);
	assert_int_equal(first.asked_count, 2);
	h2_place_answer(&second, 1);
	h2_place_answer(&second, 3);
	client_rig_await(&rig, &a[1]);
	client_rig_await(&rig, &a[2]);
	assert_int_equal(a[1].err, 0);
	assert_int_equal(a[2].err, 0);
	h2_place_close(&first);
	h2_place_close(&second);
	stop();
}

/* Whoever takes few requests of a connection leaves some out, of the next one perhaps the same.  That has nothing to do
 * with max_retry_count, but with whether anything may be sent twice. */
static void is_left_out(const tako_client_config *cfg, const tako_fetch_config *fetch,
                        uint32_t code, unsigned times, int err)
{
	struct asked a = {0};

	start(cfg, NULL, NULL);
	client_rig_ask(&rig, &a, &place, fetch);
	for (unsigned i = 0; i < times; i++) {
		assert_int_equal(a.ends, 0);
		h2_place_serve(&first, &place, &rig, 100);
		h2_place_await(&first, 1);
		h2_place_goaway(&first, 0, code);
		h2_place_await_end(&first);
		h2_place_close(&first);
	}
	if (err == 0) {
		h2_place_serve(&first, &place, &rig, 100);
		h2_place_answer(&first, h2_place_await(&first, 1));
	}
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, err);
	assert_int_equal(connections(), times + (err == 0));
	if (err == 0)
		h2_place_close(&first);
	else
		assert_non_null(strstr(a.why, "GOAWAY"));
	stop();
}

static void test_left_out(void **state)
{
	const tako_client_config *once = TAKO_CLIENT_CONFIG(.max_retry_count = 1);
	const tako_client_config *never = TAKO_CLIENT_CONFIG(.max_retry_count = TAKO_OFF);

	(void)state;
	is_left_out(once, NULL, NGHTTP2_NO_ERROR, TAKO__FETCH_UNPROCESSED_MAX, 0);
	is_left_out(once, NULL, NGHTTP2_NO_ERROR, TAKO__FETCH_UNPROCESSED_MAX + 1, TAKO_ECLOSED);
	is_left_out(once, TAKO_FETCH(.body = TAKO_STR("x")), NGHTTP2_NO_ERROR, 3, 0);
	is_left_out(once, TAKO_FETCH(.no_retry = 1), NGHTTP2_NO_ERROR, 1, TAKO_ECLOSED);
	is_left_out(never, NULL, NGHTTP2_NO_ERROR, 1, TAKO_ECLOSED);
	/* Who complains is not asked so often. */
	is_left_out(once, NULL, NGHTTP2_ENHANCE_YOUR_CALM, 1, 0);
	is_left_out(once, NULL, NGHTTP2_ENHANCE_YOUR_CALM, 2, TAKO_ECLOSED);
}

/* RFC 9113 section 8.7, as often as max_retry_count. */
static void test_refused(void **state)
{
	struct asked a = {0};

	(void)state;
	start(NULL, NULL, NULL);
	client_rig_ask(&rig, &a, &place, TAKO_FETCH(.body = TAKO_STR("x")));
	h2_place_serve(&first, &place, &rig, 100);
	for (unsigned i = 0; i < 3; i++) {
		int32_t id = h2_place_await(&first, i + 1);

		assert_int_equal(a.ends, 0);
		h2_place_await_body(&first, id, 1, true);
		h2_place_reset(&first, id, NGHTTP2_REFUSED_STREAM);
	}
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, TAKO_ECLOSED);
	assert_non_null(strstr(a.why, "REFUSED_STREAM"));
	assert_int_equal(connections(), 1);
	h2_place_close(&first);
	stop();
}

/* Who has begun to answer has processed it, whatever he says: its user was told already. */
static void test_refused_behind_a_head(void **state)
{
	(void)state;
	for (int leaves = 0; leaves < 2; leaves++) {
		struct asked a[2] = {0};

		start(NULL, NULL, NULL);
		ask_all(a, 2);
		h2_place_serve(&first, &place, &rig, 100);
		h2_place_await(&first, 2);
		h2_place_head(&first, 3, 0, ":status: 200\n");
		h2_place_data(&first, 3, 0, "hel");
		if (leaves)
			h2_place_goaway(&first, 1, NGHTTP2_NO_ERROR);
		else
			h2_place_reset(&first, 3, NGHTTP2_REFUSED_STREAM);
		client_rig_await(&rig, &a[1]);
		assert_int_equal(a[1].err, TAKO_ECLOSED);
		assert_int_equal(a[1].heads, 1);
		assert_string_equal(a[1].body, "hel");
		h2_place_answer(&first, 1);
		client_rig_await(&rig, &a[0]);
		assert_int_equal(connections(), 1);
		h2_place_close(&first);
		stop();
	}
}

/* As over HTTP/1.1: what was there before may have ended, and what is idempotent is sent anew. */
static void ends_under(const tako_fetch_config *cfg, int err)
{
	struct asked a[2] = {0};

	start(NULL, NULL, NULL);
	client_rig_ask(&rig, &a[0], &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_answer(&first, 1);
	client_rig_await(&rig, &a[0]);
	client_rig_ask(&rig, &a[1], &place, cfg);
	h2_place_await(&first, 2);
	h2_place_close(&first);
	if (err == 0) {
		h2_place_serve(&second, &place, &rig, 100);
		h2_place_await(&second, 1);
		h2_place_answer(&second, 1);
	}
	client_rig_await(&rig, &a[1]);
	assert_int_equal(a[1].err, err);
	if (err == 0)
		h2_place_close(&second);
	stop();
}

static void test_ends_under_a_request(void **state)
{
	(void)state;
	ends_under(NULL, 0);
	ends_under(TAKO_FETCH(.method = "PUT", .body = TAKO_STR("x")), 0);
	ends_under(TAKO_FETCH(.no_retry = 1), TAKO_ECLOSED);
	ends_under(TAKO_FETCH(.body = TAKO_STR("x")), TAKO_ECLOSED);
}

static void test_first_is_not_sent_anew(void **state)
{
	struct asked a = {0};

	(void)state;
	start(NULL, NULL, NULL);
	client_rig_ask(&rig, &a, &place, NULL);
	h2_place_open(&first, &place, &rig);
	h2_place_await(&first, 1);
	h2_place_close(&first);
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, TAKO_ECLOSED);
	assert_int_equal(connections(), 1);
	stop();
}

static void leaves(struct h2_place *q)
{
	h2_place_goaway(q, 1, NGHTTP2_NO_ERROR);
}

static void ends(struct h2_place *q)
{
	assert_int_equal(shutdown(q->fd, SHUT_WR), 0);
}

static void posts_once(void *arg)
{
	char url[TAKO__LOCAL_TEXT_BYTES + 16];

	snprintf(url, sizeof url, "http://%s/", place.text);
	assert_int_equal(
		tako_fetch_start(NULL, rig.client, client_rig_res(),
	                         TAKO_FETCH(.url = url, .body = TAKO_STR("x"), .no_retry = 1,
	                                    .on_end = notes_end, .arg = arg)),
		0);
}

/* A connection is asked whose end is here already, and nobody has seen it.  What has not left cannot have been acted on,
 * and is not sent twice either. */
static void ends_before(void (*end)(struct h2_place *q), int err)
{
	struct asked a[2] = {0};

	start(NULL, posts_once, &a[1]);
	client_rig_ask(&rig, &a[0], &place, TAKO_FETCH(.no_retry = 1));
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_await(&first, 1);
	client_rig_send_last_do(&rig);
	end(&first);
	h2_place_serve(&second, &place, &rig, 100);
	h2_place_await(&second, 1);
	h2_place_await_body(&second, 1, 1, true);
	h2_place_answer(&second, 1);
	client_rig_await(&rig, &a[1]);
	assert_int_equal(a[1].err, 0);
	client_rig_hear_done(&rig);
	h2_place_turns(&first, 1);
	assert_int_equal(first.asked_count, 1);
	if (err == 0)
		h2_place_answer(&first, 1);
	client_rig_await(&rig, &a[0]);
	assert_int_equal(a[0].err, err);
	h2_place_close(&first);
	h2_place_close(&second);
	stop();
}

static void test_ends_before_a_request(void **state)
{
	(void)state;
	ends_before(leaves, 0);
	ends_before(ends, TAKO_ECLOSED);
}

/* RFC 9113 section 6.8: whoever ends says so. */
static void test_idle_ends(void **state)
{
	struct asked a = {0};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.keepalive_timeout_ms = 20), NULL, NULL);
	client_rig_ask(&rig, &a, &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_answer(&first, 1);
	client_rig_await(&rig, &a);
	assert_int_equal(h2_place_await_end(&first), NGHTTP2_NO_ERROR);
	h2_place_close(&first);
	stop();
}

/* Also who is one too many to be kept. */
static void test_one_too_many(void **state)
{
	struct asked a = {0};

	(void)state;
	start(TAKO_CLIENT_CONFIG(.max_idle_per_origin = TAKO_OFF), NULL, NULL);
	client_rig_ask(&rig, &a, &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_answer(&first, 1);
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, 0);
	assert_int_equal(h2_place_await_end(&first), NGHTTP2_NO_ERROR);
	h2_place_close(&first);
	stop();
}

/* … or has to make room for another one, if it need not be gone at once. */
static void makes_room(uint32_t places, int64_t code)
{
	struct asked a[2] = {0};
	struct place other;

	place_tcp(&place, 8);
	place_tcp(&other, 8);
	client_rig_start(&rig, TAKO_SERVER_CONFIG(.max_outgoing_connections = places),
	                 TAKO_CLIENT_CONFIG(.http2 = tako_client_http2(),
	                                    .http2_prior_knowledge = 1, .max_connections = 1),
	                 NULL, NULL);
	client_rig_ask(&rig, &a[0], &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_answer(&first, 1);
	client_rig_await(&rig, &a[0]);
	client_rig_ask(&rig, &a[1], &other, NULL);
	h2_place_serve(&second, &other, &rig, 100);
	assert_int_equal(h2_place_await_end(&first), code);
	h2_place_answer(&second, 1);
	client_rig_await(&rig, &a[1]);
	assert_int_equal(a[1].err, 0);
	h2_place_close(&first);
	h2_place_close(&second);
	close(other.fd);
	stop();
}

static void test_makes_room(void **state)
{
	(void)state;
	makes_room(2, NGHTTP2_NO_ERROR);
	makes_room(1, H2_PLACE_NOTHING);
}

static void stop_server(void *arg)
{
	(void)arg;
	tako_server_stop(rig.s.srv);
}

/* A server that stops lets go of what is idle, and waits for the rest. */
static void test_drain(void **state)
{
	struct asked a = {0};

	(void)state;
	start(NULL, stop_server, NULL);
	client_rig_ask(&rig, &a, &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_await(&first, 1);
	tako_server_stop(rig.s.srv);
	h2_place_turns(&first, 20);
	assert_false(first.ended);
	h2_place_answer(&first, 1);
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, 0);
	assert_int_equal(h2_place_await_end(&first), NGHTTP2_NO_ERROR);
	h2_place_close(&first);
	stop();
}

/* ---- Given up --------------------------------------------------------------------------------------- */

static int cancels(struct asked *a)
{
	tako_fetch_cancel(a->f);
	return 0;
}

static int refuses(struct asked *a)
{
	(void)a;
	return TAKO_EEXIST;
}

/* One stream ends, and the connection carries the next. */
static void gives_up(int (*head)(struct asked *a), int err)
{
	struct asked a[2] = {{.head = head}, {0}};

	start(NULL, NULL, NULL);
	client_rig_ask(&rig, &a[0], &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_head(&first, 1, 0, ":status: 200\n");
	client_rig_await(&rig, &a[0]);
	assert_int_equal(a[0].err, err);
	assert_int_equal(h2_place_await_reset(&first, 1), NGHTTP2_CANCEL);
	h2_place_data(&first, 1, H2_PLACE_END, "too late");
	client_rig_ask(&rig, &a[1], &place, NULL);
	h2_place_await(&first, 2);
	h2_place_answer(&first, 3);
	client_rig_await(&rig, &a[1]);
	assert_int_equal(a[1].err, 0);
	assert_int_equal(a[0].calls, 0);
	h2_place_close(&first);
	stop();
}

static void test_given_up(void **state)
{
	(void)state;
	gives_up(cancels, TAKO_ECLOSED);
	gives_up(refuses, TAKO_EEXIST);
}

/* Who answers somebody else is there: only the one that waits in vain is given up.  Who says nothing at all is not asked
 * again. */
static void times_out(bool speaks)
{
	struct asked a[2] = {0};
	struct h2_place *next = speaks ? &first : &second;
	uint64_t said_ns = 0;

	start(TAKO_CLIENT_CONFIG(.head_timeout_ms = 100, .idle_timeout_ms = 100), NULL, NULL);
	client_rig_ask(&rig, &a[0], &place, NULL);
	h2_place_serve(&first, &place, &rig, 100);
	h2_place_await(&first, 1);
	for (unsigned turns = 0; !a[0].ends; turns++) {
		assert_true(turns < 1000000);
		/* Not so often that it were a flood. */
		if (speaks && tako__clock_ns() - said_ns > 2000000) {
			h2_place_frame(&first, 0x42, 0, 0, NULL, 0);
			said_ns = tako__clock_ns();
		}
		h2_place_turns(&first, 1);
	}
	client_rig_await(&rig, &a[0]);
	assert_int_equal(a[0].err, TAKO_ETIMEDOUT);
	assert_string_equal(a[0].why, "it did not answer");
	if (speaks)
		assert_int_equal(h2_place_await_reset(&first, 1), NGHTTP2_CANCEL);
	else
		h2_place_await_end(&first);
	client_rig_ask(&rig, &a[1], &place, NULL);
	if (!speaks)
		h2_place_serve(&second, &place, &rig, 100);
	h2_place_await(next, speaks ? 2 : 1);
	h2_place_answer(next, speaks ? 3 : 1);
	client_rig_await(&rig, &a[1]);
	assert_int_equal(a[1].err, 0);
	h2_place_close(&first);
	if (!speaks)
		h2_place_close(&second);
	stop();
}

static void test_timeouts(void **state)
{
	(void)state;
	times_out(false);
	times_out(true);
}

/* ---- What ends a connection ---------------------------------------------------------------------------- */

static void ping(struct h2_place *q)
{
	h2_place_frame(q, NGHTTP2_PING, 0, 0, "12345678", 8);
}

static void settings(struct h2_place *q)
{
	h2_place_frame(q, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
}

static void empty_data(struct h2_place *q)
{
	h2_place_data(q, 1, 0, "");
}

static void continuation(struct h2_place *q)
{
	static bool begun;

	h2_place_frame(q, begun ? NGHTTP2_CONTINUATION : NGHTTP2_HEADERS, 0, 1, NULL, 0);
	begun = true;
}

static void window(struct h2_place *q)
{
	h2_place_frame(q, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\1", 4);
}

static void unknown(struct h2_place *q)
{
	h2_place_frame(q, 0x42, 0, 0, NULL, 0);
}

static void push(struct h2_place *q)
{
	h2_place_frame(q, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, 1, "\0\0\0\2\x88", 5);
}

static void window_of_nothing(struct h2_place *q)
{
	h2_place_frame(q, NGHTTP2_WINDOW_UPDATE, 0, 0, "\0\0\0\0", 4);
}

static void window_overflow(struct h2_place *q)
{
	h2_place_frame(q, NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4);
}

static void data_of_nobody(struct h2_place *q)
{
	h2_place_data(q, 0, 0, "x");
}

static void head_of_the_future(struct h2_place *q)
{
	h2_place_head(q, 101, 0, ":status: 200\n");
}

static void no_hpack(struct h2_place *q)
{
	h2_place_frame(q, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\xff\xff\xff\xff\xff\xff",
	               6);
}

static void too_long(struct h2_place *q)
{
	static const char text[16385];

	h2_place_frame(q, NGHTTP2_DATA, 0, 1, text, sizeof text);
}

static void wrong_settings(struct h2_place *q)
{
	h2_place_setting(q, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x80000000u);
}

static void switching(struct h2_place *q)
{
	h2_place_setting(q, NGHTTP2_SETTINGS_ENABLE_PUSH, 2);
}

static void test_what_ends_a_connection(void **state)
{
	static const struct {
		const char *section; /* of RFC 9113 */
		void (*say)(struct h2_place *q);
		unsigned times;
		int64_t code;
	} cases[] = {
		{"10.5", ping, 3000, NGHTTP2_ENHANCE_YOUR_CALM},
		{"10.5", settings, 3000, NGHTTP2_ENHANCE_YOUR_CALM},
		{"10.5", empty_data, 3000, NGHTTP2_ENHANCE_YOUR_CALM},
		{"10.5", continuation, 20, NGHTTP2_ENHANCE_YOUR_CALM},
		{"10.5", window, 3000, NGHTTP2_ENHANCE_YOUR_CALM},
		{"10.5", unknown, 3000, NGHTTP2_ENHANCE_YOUR_CALM},
		{"8.4", push, 1, NGHTTP2_PROTOCOL_ERROR},
		{"6.9", window_of_nothing, 1, NGHTTP2_PROTOCOL_ERROR},
		{"6.9.1", window_overflow, 1, NGHTTP2_FLOW_CONTROL_ERROR},
		{"6.1", data_of_nobody, 1, NGHTTP2_PROTOCOL_ERROR},
		{"5.1.1", head_of_the_future, 1, NGHTTP2_PROTOCOL_ERROR},
		{"4.3", no_hpack, 1, NGHTTP2_COMPRESSION_ERROR},
		{"4.2", too_long, 1, NGHTTP2_FRAME_SIZE_ERROR},
		{"6.5.2", wrong_settings, 1, NGHTTP2_FLOW_CONTROL_ERROR},
		{"6.5.2", switching, 1, NGHTTP2_PROTOCOL_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(cases); i++) {
		struct asked a[2] = {0};
		int64_t code;

		start(NULL, NULL, NULL);
		ask_all(a, 2);
		h2_place_serve(&first, &place, &rig, 100);
		h2_place_await(&first, 2);
		if (cases[i].say == empty_data)
			h2_place_head(&first, 1, 0, ":status: 200\n");
		for (unsigned n = 0; n < cases[i].times; n++) {
			cases[i].say(&first);
			if (n % 100 == 0)
				h2_place_turns(&first, 1);
		}
		client_rig_await(&rig, &a[0]);
		client_rig_await(&rig, &a[1]);
		code = h2_place_await_end(&first);
		if (code != cases[i].code || a[0].err != TAKO_EPROTO || !a[0].why[0])
			fail_msg("%zu (section %s): code %d, error %d, %s", i, cases[i].section,
			         (int)code, a[0].err, a[0].why);
		h2_place_close(&first);
		stop();
	}
}

/* Somebody who speaks something else. */
static void test_not_http2(void **state)
{
	struct asked a = {0};

	(void)state;
	start(NULL, NULL, NULL);
	client_rig_ask(&rig, &a, &place, NULL);
	h2_place_open(&first, &place, &rig);
	place_say(first.fd, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	client_rig_await(&rig, &a);
	assert_int_equal(a.err, TAKO_EPROTO);
	assert_true(a.why[0]);
	h2_place_await_end(&first);
	h2_place_close(&first);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_another_one),
		cmocka_unit_test(test_own_bound),
		cmocka_unit_test(test_none_at_the_moment),
		cmocka_unit_test(test_ping_before_a_request),
		cmocka_unit_test(test_goaway),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_behind_a_head),
		cmocka_unit_test(test_ends_under_a_request),
		cmocka_unit_test(test_ends_before_a_request),
		cmocka_unit_test(test_first_is_not_sent_anew),
		cmocka_unit_test(test_idle_ends),
		cmocka_unit_test(test_one_too_many),
		cmocka_unit_test(test_makes_room),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_given_up),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_what_ends_a_connection),
		cmocka_unit_test(test_not_http2),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

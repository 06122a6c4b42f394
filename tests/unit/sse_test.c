/* SPDX-License-Identifier: MIT
 *
 * Streams of events as a handler has them: what starts one and what does not, its limit and policies,
 * comments when nothing is said, its one end whoever brings it about, posts from other threads, and
 * every allocation failing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/worker.h"
#include "transports/sse/sse_int.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { WAIT_MS = 20000, POSTS = 200 };

static struct stepped server;
static struct peer peer;
static struct reply answer;

/* One stream at a time, and what was said of it. */
static struct {
	tako_sse_config cfg;
	tako_sse *sse; /* between open and close */
	tako_sse *kept;
	int start_rc;
	int opens;
	int closes;
	int err;
	int asked;
	int aborts;
	tako_deferred *held;
	int decision;
	bool greet; /* from on_open */
	bool take_ref;
	char last_id[64];
} seen;

static void on_open(tako_sse *sse, tako_str last_id, void *arg)
{
	assert_ptr_equal(arg, &seen);
	seen.opens++;
	seen.sse = sse;
	snprintf(seen.last_id, sizeof seen.last_id, "%.*s", TAKO_FMT(last_id));
	assert_true(tako_str_eq(last_id, tako_sse_last_id(sse)));
	if (seen.take_ref)
		seen.kept = tako_sse_ref(sse);
	if (seen.greet)
		(void)tako_sse_send(sse, TAKO_SSE_EVENT(.data = TAKO_STR("hi")));
}

static void on_close(tako_sse *sse, int err, void *arg)
{
	assert_ptr_equal(arg, &seen);
	assert_true(!seen.opens || sse == seen.sse);
	seen.closes++;
	seen.err = err;
	seen.sse = NULL;
}

static int on_slow(tako_sse *sse, uint64_t queued_bytes, void *arg)
{
	(void)arg;
	assert_ptr_equal(sse, seen.sse);
	assert_true(queued_bytes > 0);
	seen.asked++;
	return seen.decision;
}

static int events(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	seen.start_rc = tako_sse_start(req, res, &seen.cfg, &seen);
	return seen.start_rc;
}

static void on_abort(tako_res *res, void *arg)
{
	(void)res, (void)arg;
	seen.aborts++;
}

static int watched_before(tako_req *req, tako_res *res, void *arg)
{
	tako_res_on_abort(res, on_abort, NULL);
	return events(req, res, arg);
}

static int watched_after(tako_req *req, tako_res *res, void *arg)
{
	int rc = events(req, res, arg);

	tako_res_on_abort(res, on_abort, NULL);
	return rc;
}

static int held(tako_req *req, tako_res *res, void *arg)
{
	seen.held = tako_res_defer(res);
	return seen.held ? events(req, res, arg) : TAKO_ENOMEM;
}

static int teapot(tako_req *req, tako_res *res, void *arg)
{
	tako_res_status(res, 201);
	return events(req, res, arg);
}

static int own_fields(tako_req *req, tako_res *res, void *arg)
{
	tako_res_header(res, "Cache-Control", "private");
	return events(req, res, arg);
}

static int typed(tako_req *req, tako_res *res, void *arg)
{
	tako_res_header(res, "Content-Type", "text/plain");
	return events(req, res, arg);
}

static int set_up(void **state)
{
	tako_router *r = tako_router_new();
	int rc;

	(void)state;
	memset(&seen, 0, sizeof seen);
	seen.cfg = (tako_sse_config){
		.size = sizeof seen.cfg, .on_open = on_open, .on_close = on_close};
	tako_get(r, "/events", events, NULL);
	tako_get(r, "/watched/before", watched_before, NULL);
	tako_get(r, "/watched/after", watched_after, NULL);
	tako_get(r, "/held", held, NULL);
	tako_get(r, "/teapot", teapot, NULL);
	tako_get(r, "/own", own_fields, NULL);
	tako_get(r, "/typed", typed, NULL);
	rc = stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1), NULL);
	tako_router_free(r);
	if (rc == 0)
		peer_open(&peer, &server);
	return rc < 0 || peer.fd < 0;
}

static int tear_down(void **state)
{
	(void)state;
	peer_close(&peer);
	stepped_stop(&server);
	tako_sse_unref(seen.kept);
	return seen.sse || failalloc_live() || failalloc_wrong();
}

static void turns(int n)
{
	for (int i = 0; i < n; i++)
		stepped_turn(&server, 2);
}

static void ask_with(const char *line, const char *fields)
{
	char text[512];
	int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: a\r\n%s\r\n", line, fields);

	assert_true(peer_send(&peer, &server, text, (size_t)n));
}

static void begin_at(const char *line)
{
	ask_with(line, "");
	for (int i = 0; i < 1000 && !seen.opens; i++)
		stepped_turn(&server, 5);
	assert_int_equal(seen.opens, 1);
	assert_non_null(seen.sse);
}

static void begin(void)
{
	begin_at("GET /events");
}

static bool received(const char *text)
{
	for (int i = 0; i < WAIT_MS / 5; i++) {
		peer_read(&peer);
		peer.data[peer.n < sizeof peer.data ? peer.n : sizeof peer.data - 1] = '\0';
		if (strstr(peer.data, text))
			return true;
		stepped_turn(&server, 5);
	}
	return false;
}

static void until_closed(void)
{
	for (int i = 0; i < WAIT_MS / 5 && !seen.closes; i++)
		stepped_turn(&server, 5);
	assert_int_equal(seen.closes, 1);
}

static int64_t send_text(const char *text)
{
	return tako_sse_send(seen.sse, TAKO_SSE_EVENT(.data = tako_str_z(text)));
}

/* ---- Beginning ----------------------------------------------------------------------- */

static void head_and_events(void **state)
{
	char buf[128];

	(void)state;
	seen.greet = true;
	begin();
	assert_true(send_text("two\nlines") > 0);
	assert_true(tako_sse_comment(seen.sse, TAKO_STR("c")) > 0);
	tako_sse_close(seen.sse);
	/* Nothing goes behind the end, which is told from the loop. */
	assert_int_equal(seen.closes, 0);
	assert_true(send_text("late") == TAKO_ECLOSED);
	assert_int_equal(tako_sse_unsent(seen.sse), 0);
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.status, 200);
	assert_string_equal(reply_field(&peer, &answer, "Content-Type", buf, sizeof buf),
	                    "text/event-stream");
	assert_string_equal(reply_field(&peer, &answer, "Cache-Control", buf, sizeof buf),
	                    "no-store");
	assert_string_equal(reply_field(&peer, &answer, "X-Accel-Buffering", buf, sizeof buf),
	                    "no");
	assert_int_equal(answer.body_n, strlen("data: hi\n\ndata: two\ndata: lines\n\n: c\n\n"));
	assert_memory_equal(answer.body, "data: hi\n\ndata: two\ndata: lines\n\n: c\n\n",
	                    answer.body_n);
	until_closed();
	assert_int_equal(seen.err, 0);
	/* The connection goes on. */
	peer_drop(&peer, answer.total_n);
	memset(&seen.opens, 0, sizeof seen.opens);
	seen.closes = 0;
	begin();
}

static void fields_of_the_users(void **state)
{
	char buf[128];

	(void)state;
	ask_with("HEAD /own", "");
	assert_true(peer_reply(&peer, &server, &answer, true, WAIT_MS));
	assert_string_equal(reply_field(&peer, &answer, "Cache-Control", buf, sizeof buf),
	                    "private");
}

/* No stream, but the same promise. */
static void head_request(void **state)
{
	(void)state;
	ask_with("HEAD /events", "");
	assert_true(peer_reply(&peer, &server, &answer, true, WAIT_MS));
	assert_int_equal(answer.status, 200);
	until_closed();
	assert_int_equal(seen.start_rc, 0);
	assert_int_equal(seen.opens, 0);
	assert_int_equal(seen.err, 0);
}

static void accept_fields(void **state)
{
	static const struct {
		const char *fields;
		bool ok;
	} cases[] = {
		{"Accept: text/event-stream\r\n", true},
		{"Accept: application/json, TEXT/Event-Stream;q=0.1\r\n", true},
		{"Accept: text/*\r\n", true},
		{"Accept: */*;q=0.5\r\n", true},
		{"Accept: text/html\r\nAccept: */*\r\n", true},
		{"Accept:\r\n", true},
		{"Accept: text/html\r\n", false},
		{"Accept: text/event-stream;q=0, */*\r\n", false},
		{"Accept: text/*;q=0, */*\r\n", false},
		{"Accept: application/json\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		seen.closes = 0;
		ask_with("HEAD /events", cases[i].fields);
		assert_true(peer_reply(&peer, &server, &answer, true, WAIT_MS));
		assert_int_equal(answer.status, cases[i].ok ? 200 : 406);
		assert_int_equal(seen.start_rc, cases[i].ok ? 0 : TAKO_ENOTSUP);
		peer_drop(&peer, answer.total_n);
		if (cases[i].ok)
			until_closed();
	}
	assert_int_equal(seen.opens, 0);
}

static void last_event_id(void **state)
{
	static const char start[] = "GET /events HTTP/1.1\r\nHost: a\r\nLast-Event-ID: ";
	static char field[1200];

	(void)state;
	ask_with("GET /events", "Last-Event-ID: 42 \xc3\xa9\r\nLast-Event-ID: other\r\n");
	turns(3);
	assert_int_equal(seen.opens, 1);
	assert_string_equal(seen.last_id, "42 \xc3\xa9");
	peer_close(&peer);
	until_closed();
	/* Longer than any that is sent: nobody's. */
	peer_open(&peer, &server);
	seen.opens = 0;
	memset(field, 'x', sizeof field - 1);
	assert_true(peer_send(&peer, &server, start, sizeof start - 1));
	assert_true(peer_send(&peer, &server, field, 1025));
	assert_true(peer_send(&peer, &server, "\r\n\r\n", 4));
	turns(3);
	assert_int_equal(seen.opens, 1);
	assert_string_equal(seen.last_id, "");
	assert_null(tako_sse_last_id(seen.sse).p);
}

static void refused(const char *line)
{
	ask_with(line, "");
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.status, 400);
	assert_int_equal(seen.start_rc, TAKO_EINVAL);
	assert_int_equal(seen.opens + seen.closes, 0);
	peer_drop(&peer, answer.total_n);
}

static void what_cannot_be_a_stream(void **state)
{
	(void)state;
	refused("GET /teapot");
	refused("GET /typed");
	seen.cfg.slow_policy = 2;
	refused("GET /events");
	seen.cfg.slow_policy = 0;
	seen.cfg.max_queue_bytes = 1023;
	refused("GET /events");
	seen.cfg.max_queue_bytes = 0;
	seen.cfg.size = 8;
	refused("GET /events");
}

/* ---- Clients that are slow -------------------------------------------------------------- */

/* Until an event finds no room; what send() said then. */
static int64_t flood(void)
{
	static char big[32 << 10];
	int64_t rc = 0;

	memset(big, 'x', sizeof big);
	for (int i = 0; i < 2000 && rc >= 0; i++) {
		rc = tako_sse_send(seen.sse, TAKO_SSE_EVENT(.data = {big, sizeof big}));
		if (rc >= 0)
			assert_true(rc <= 64 << 10);
		stepped_turn(&server, 0);
	}
	return rc;
}

static void slow_is_cut(void **state)
{
	(void)state;
	begin();
	assert_true(flood() == TAKO_ETOOBIG);
	until_closed();
	assert_int_equal(seen.err, TAKO_ETOOBIG);
	/* The client can tell that it has not got everything. */
	for (int i = 0; i < 2000 && !peer.closed; i++) {
		peer.n = 0;
		peer_read(&peer);
		stepped_turn(&server, 1);
	}
	assert_true(peer.closed);
}

static void slow_drops(void **state)
{
	(void)state;
	seen.cfg.slow_policy = TAKO_SSE_SLOW_DROP;
	begin();
	assert_true(flood() == TAKO_EBUSY);
	assert_int_equal(tako_sse_dropped(seen.sse), 1);
	assert_true(flood() == TAKO_EBUSY);
	assert_int_equal(tako_sse_dropped(seen.sse), 2);
	assert_int_equal(seen.closes, 0);
	/* What fits still goes. */
	assert_true(send_text("small") > 0);
	for (int i = 0; i < 2000 && tako_sse_unsent(seen.sse); i++) {
		peer.n = 0;
		peer_read(&peer);
		stepped_turn(&server, 1);
	}
	assert_int_equal(tako_sse_unsent(seen.sse), 0);
}

static void slow_is_asked_about(void **state)
{
	(void)state;
	seen.cfg.on_slow = on_slow;
	seen.decision = TAKO_SSE_SLOW_DROP;
	begin();
	assert_true(flood() == TAKO_EBUSY);
	assert_int_equal(seen.asked, 1);
	seen.decision = TAKO_SSE_SLOW_CLOSE;
	assert_true(flood() == TAKO_ETOOBIG);
	assert_int_equal(seen.asked, 2);
	until_closed();
	assert_int_equal(seen.err, TAKO_ETOOBIG);
}

/* Nobody is slow who is sent more than could ever wait. */
static void too_big_alone(void **state)
{
	static char big[1100];

	(void)state;
	seen.cfg.max_queue_bytes = 1024;
	begin();
	memset(big, 'x', sizeof big);
	assert_true(tako_sse_send(seen.sse, TAKO_SSE_EVENT(.data = {big, sizeof big})) ==
	            TAKO_ETOOBIG);
	assert_true(send_text("small") > 0);
	turns(3);
	assert_int_equal(seen.closes, 0);
}

/* ---- Time, and ends ------------------------------------------------------------------------ */

static unsigned comments(void)
{
	unsigned n = 0;

	peer_read(&peer);
	peer.data[peer.n] = '\0';
	for (const char *p = peer.data; (p = strstr(p, ":\n\n")); p++)
		n++;
	return n;
}

static void comments_in_silence(void **state)
{
	(void)state;
	seen.cfg.keepalive_ms = 30;
	begin();
	assert_true(received(":\n\n"));
	/* Events put it off. */
	for (int i = 0; i < 20; i++) {
		assert_true(send_text("x") > 0);
		stepped_turn(&server, 1);
	}
	for (int i = 0; i < 400 && comments() < 3; i++)
		stepped_turn(&server, 5);
	assert_true(comments() >= 3);
}

/* Time passes by moving back what the stream has noted; its timer is rung by hand. */
static void every_fifteen_seconds_by_default(void **state)
{
	const uint64_t ms = 1000000;
	struct tako__timer *t;

	(void)state;
	begin();
	turns(1);
	t = &seen.sse->timer;
	seen.sse->sent_ns -= 14900 * ms;
	t->fn(t, tako__now_ns(seen.sse->x->worker));
	turns(3);
	assert_int_equal(comments(), 0);
	seen.sse->sent_ns -= 100 * ms;
	t->fn(t, tako__now_ns(seen.sse->x->worker));
	turns(3);
	assert_int_equal(comments(), 1);
}

static void no_comments_if_off(void **state)
{
	(void)state;
	seen.cfg.keepalive_ms = TAKO_OFF;
	begin();
	turns(30);
	assert_int_equal(comments(), 0);
}

static void client_leaves(void **state)
{
	(void)state;
	begin();
	peer_close(&peer);
	until_closed();
	assert_int_equal(seen.err, TAKO_ECLOSED);
}

/* The stream does not take the place of what its exchange's user asked for, nor the other way round. */
static void client_leaves_who_is_watched(void **state)
{
	static const char *const lines[] = {"GET /watched/before", "GET /watched/after"};

	(void)state;
	seen.cfg.keepalive_ms = TAKO_OFF;
	for (int i = 0; i < 2; i++) {
		begin_at(lines[i]);
		peer_close(&peer);
		until_closed();
		assert_int_equal(seen.err, TAKO_ECLOSED);
		assert_int_equal(seen.aborts, i + 1);
		seen.opens = seen.closes = 0;
		peer_open(&peer, &server);
	}
}

/* The stream has died when its exchange, which somebody else keeps, hears that the client has gone. */
static void cut_and_held(void **state)
{
	(void)state;
	begin_at("GET /held");
	assert_true(flood() == TAKO_ETOOBIG);
	until_closed();
	peer_close(&peer);
	turns(5);
	tako_deferred_done(seen.held);
	turns(2);
	assert_int_equal(seen.closes, 1);
}

/* … and the same of one that the user has ended over the stream's head. */
static void ended_and_left(void **state)
{
	(void)state;
	seen.cfg.keepalive_ms = TAKO_OFF;
	begin();
	assert_int_equal(tako_res_end(tako__res(seen.sse->x)), 0);
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	peer_close(&peer);
	until_closed();
	assert_int_equal(seen.err, TAKO_ECLOSED);
}

static void server_stops(void **state)
{
	(void)state;
	begin();
	assert_true(send_text("last words") > 0);
	tako_server_stop(server.srv);
	until_closed();
	assert_int_equal(seen.err, 0);
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.body_n, strlen("data: last words\n\n"));
	while (!server.over)
		stepped_turn(&server, 10);
	assert_int_equal(server.stopped, 0);
}

/* Asked for on a connection that was there before: ends at once, in order. */
static void begins_while_stopping(void **state)
{
	(void)state;
	seen.greet = true;
	assert_true(peer_send(&peer, &server, "GET /events HTTP/1.1\r\n", 22));
	turns(3);
	tako_server_stop(server.srv);
	turns(1);
	assert_true(peer_send(&peer, &server, "Host: a\r\n\r\n", 11));
	assert_true(peer_reply(&peer, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.body_n, strlen("data: hi\n\n"));
	until_closed();
	assert_int_equal(seen.err, 0);
}

/* ---- From other threads ------------------------------------------------------------------------ */

static void *post_all(void *arg)
{
	for (int i = 0; i < POSTS; i++) {
		char text[16];
		int rc;

		snprintf(text, sizeof text, "%03d", i);
		do {
			rc = tako_sse_post(arg, TAKO_SSE_EVENT(.data = tako_str_z(text)));
		} while (rc == TAKO_EBUSY);
		if (rc < 0)
			break;
	}
	tako_sse_unref(arg);
	return NULL;
}

static void posts_in_order(void **state)
{
	pthread_t thread;
	const char *at;

	(void)state;
	seen.cfg.max_queue_bytes = 2048;
	seen.take_ref = true;
	begin();
	assert_int_equal(pthread_create(&thread, NULL, post_all, seen.kept), 0);
	seen.kept = NULL;
	assert_true(received("data: 199\n\n"));
	pthread_join(thread, NULL);
	at = peer.data;
	for (int i = 0; i < POSTS; i++) {
		char text[32];

		snprintf(text, sizeof text, "data: %03d\n\n", i);
		at = strstr(at, text);
		assert_non_null(at);
	}
}

static void posts_are_bounded(void **state)
{
	int rc;
	int n = 0;

	(void)state;
	seen.cfg.max_queue_bytes = 1024;
	seen.take_ref = true;
	begin();
	/* The loop does not run meanwhile. */
	while ((rc = tako_sse_post(seen.kept, TAKO_SSE_EVENT(.data = TAKO_STR("xx")))) == 0)
		n++;
	assert_int_equal(rc, TAKO_EBUSY);
	assert_int_equal(n, 512 / 10);
	turns(2);
	assert_int_equal(tako_sse_post(seen.kept, TAKO_SSE_EVENT(.data = TAKO_STR("xx"))), 0);
	assert_int_equal(tako_sse_post(seen.kept, TAKO_SSE_EVENT(.id = TAKO_STR("\n"))),
	                 TAKO_EINVAL);
}

/* The reference outlives the stream, and the server. */
static void posts_after_the_end(void **state)
{
	(void)state;
	seen.take_ref = true;
	begin();
	assert_int_equal(tako_sse_post(seen.kept, TAKO_SSE_EVENT(.data = TAKO_STR("x"))), 0);
	tako_sse_close(seen.sse);
	assert_int_equal(tako_sse_post(seen.kept, TAKO_SSE_EVENT(.data = TAKO_STR("x"))),
	                 TAKO_ECLOSED);
	until_closed();
	peer_close(&peer);
	assert_int_equal(stepped_stop(&server), 0);
	assert_int_equal(tako_sse_post(seen.kept, TAKO_SSE_EVENT(.data = TAKO_STR("x"))),
	                 TAKO_ECLOSED);
}

/* ---- Without memory --------------------------------------------------------------------------- */

static void one_life(void)
{
	static char big[5000];

	memset(big, 'x', sizeof big);
	peer_open(&peer, &server);
	ask_with("GET /events", "");
	turns(2);
	if (seen.sse) {
		(void)tako_sse_send(seen.sse, TAKO_SSE_EVENT(.data = {big, sizeof big}));
		(void)tako_sse_comment(seen.sse, (tako_str){big, sizeof big});
		if (seen.kept)
			(void)tako_sse_post(seen.kept, TAKO_SSE_EVENT(.data = {big, sizeof big}));
		turns(2);
	}
	if (seen.sse)
		tako_sse_close(seen.sse);
	peer_close(&peer);
	turns(3);
	for (int i = 0; i < 100 && seen.closes < seen.opens; i++)
		turns(1);
	tako_sse_unref(seen.kept);
	seen.kept = NULL;
}

static void no_memory(void **state)
{
	size_t n;

	(void)state;
	peer_close(&peer);
	seen.take_ref = true;
	one_life();
	for (n = 1; n < 200; n++) {
		seen.opens = 0;
		seen.closes = 0;
		failalloc_arm(n);
		one_life();
		assert_int_equal(seen.opens, seen.closes);
		assert_null(seen.sse);
		if (!failalloc_disarm())
			break;
	}
	assert_in_range(n, 5, 199);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(head_and_events),
		T(fields_of_the_users),
		T(head_request),
		T(accept_fields),
		T(last_event_id),
		T(what_cannot_be_a_stream),
		T(slow_is_cut),
		T(slow_drops),
		T(slow_is_asked_about),
		T(too_big_alone),
		T(comments_in_silence),
		T(no_comments_if_off),
		T(client_leaves),
		T(client_leaves_who_is_watched),
		T(cut_and_held),
		T(ended_and_left),
		T(server_stops),
		T(begins_while_stopping),
		T(posts_in_order),
		T(posts_are_bounded),
		T(posts_after_the_end),
		T(no_memory),
		T(every_fifteen_seconds_by_default),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

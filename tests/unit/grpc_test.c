/* SPDX-License-Identifier: MIT
 *
 * A call from its head to its end: who ends it, when, and who is told; what lives how long; and every
 * allocation failing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "unit/failalloc.h"
#include "unit/grpc_rig.h"

static struct rig rig;

static struct {
	tako_grpc *call; /* between its first callback and on_close */
	unsigned messages;
	unsigned cancels;
	unsigned closes;
	unsigned stops;
	int status; /* when it was cancelled, or closed */
	int rc;     /* what callbacks return */
	bool answer;
	bool defer;
	bool finish_on_stop;
	tako_deferred *deferral;
	uint64_t timeout_ms;
} seen;

static int on_message(tako_grpc *call, tako_str msg, void *arg)
{
	assert_ptr_equal(arg, &seen);
	seen.call = call;
	seen.messages++;
	seen.timeout_ms = tako_grpc_timeout_ms(call);
	assert_ptr_equal(tako_grpc_of(tako_grpc_res(call)), call);
	assert_true(tako_grpc_is_open(call));
	if (seen.defer)
		seen.deferral = tako_res_defer(tako_grpc_res(call));
	return seen.answer ? tako_grpc_reply(call, msg) : seen.rc;
}

static void on_cancel(tako_grpc *call, void *arg)
{
	(void)arg;
	seen.cancels++;
	seen.status = tako_grpc_status(tako_grpc_req(call));
	assert_false(tako_grpc_is_open(call));
	assert_int_equal(tako_grpc_send(call, TAKO_STR("late")), TAKO_ECLOSED);
	assert_int_equal(tako_grpc_finish(call, TAKO_GRPC_ABORTED, NULL), TAKO_ECLOSED);
	assert_ptr_equal(call, seen.call);
}

static void on_close(tako_grpc *call, void *arg)
{
	(void)arg;
	assert_true(!seen.call || call == seen.call);
	seen.closes++;
	seen.status = tako_grpc_status(tako_grpc_req(call));
	seen.call = NULL;
}

static void on_stop(tako_grpc *call, void *arg)
{
	(void)arg;
	seen.stops++;
	if (seen.finish_on_stop)
		(void)tako_grpc_finish(call, TAKO_GRPC_UNAVAILABLE, "elsewhere");
}

static tako_grpc_config config(void)
{
	return (tako_grpc_config){.size = sizeof(tako_grpc_config),
	                          .on_message = on_message,
	                          .on_cancel = on_cancel,
	                          .on_close = on_close,
	                          .on_stop = on_stop};
}

static int start(uint32_t drain_ms)
{
	tako_router *router = tako_router_new();
	tako_grpc_config cfg = config();

	tako_grpc_method(router, "/s/m", TAKO_GRPC_UNARY, &cfg, &seen);
	tako_grpc_method(router, "/s/both", TAKO_GRPC_BIDI, &cfg, &seen);
	tako_grpc_method(router, "/s/feed", TAKO_GRPC_SERVER_STREAM, &cfg, &seen);
	cfg.max_timeout_ms = 50;
	tako_grpc_method(router, "/s/short", TAKO_GRPC_BIDI, &cfg, &seen);
	return grpc_rig_start_router(&rig, router,
	                             TAKO_SERVER_CONFIG(.worker_count = 1, .body_timeout_ms = 200,
	                                                .drain_timeout_ms = drain_ms));
}

static int set_up(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof seen);
	return start(1000);
}

static int tear_down(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	return failalloc_live() || failalloc_wrong() || seen.call;
}

static void until(const unsigned *count, unsigned n)
{
	for (int i = 0; i < RIG_WAIT_MS && *count < n; i++)
		grpc_rig_turns(&rig, 1);
	assert_int_equal(*count, n);
}

/* A stream with one message, whose end is still to come. */
static void open_stream(const char *path, const char *fields)
{
	char body[16];

	grpc_rig_open(&rig, path, fields);
	grpc_rig_chunk(&rig, body, grpc_rig_frame(body, 0, "hi", 2));
	until(&seen.messages, 1);
}

/* ---- Orderly ends ----------------------------------------------------------------------- */

static void answered(void **state)
{
	(void)state;
	seen.answer = true;
	assert_int_equal(grpc_rig_say(&rig, NULL, TAKO_STR("hello")), 0);
	assert_string_equal(grpc_rig_field(&rig, "content-type"), "application/grpc");
	assert_string_equal(grpc_rig_trailer(&rig, "grpc-status"), "0");
	assert_null(grpc_rig_trailer(&rig, "grpc-message"));
	assert_int_equal(rig.count, 1);
	assert_memory_equal(rig.messages[0].p, "hello", 5);
	assert_int_equal(seen.closes, 1);
	assert_int_equal(seen.cancels, 0);
	assert_int_equal(seen.status, 0);
	assert_true(seen.timeout_ms == TAKO_OFF64);
	/* The subtype is the client's. */
	assert_int_equal(
		grpc_rig_say(&rig, "content-type: application/grpc+x;y=z\r\n", TAKO_STR("")), 0);
	assert_string_equal(grpc_rig_field(&rig, "content-type"), "application/grpc+x");
	assert_int_equal(rig.messages[0].n, 0);
}

static void returned(void **state)
{
	static const int rows[][2] = {{TAKO_GRPC_NOT_FOUND, 5},
	                              {TAKO_GRPC_UNAUTHENTICATED, 16},
	                              {TAKO_EINVAL, 3},
	                              {TAKO_EBUSY, 14},
	                              {TAKO_ENOMEM, 8},
	                              {17, 13},
	                              {0, 13}};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		seen.rc = rows[i][0];
		assert_int_equal(grpc_rig_say(&rig, NULL, TAKO_STR("x")), rows[i][1]);
		/* A status and nothing else is told in the head. */
		assert_int_equal(rig.reply.body_n, 0);
		assert_non_null(grpc_rig_field(&rig, "grpc-status"));
		assert_int_equal(seen.closes, i + 1);
	}
}

static void deferred(void **state)
{
	(void)state;
	seen.defer = true;
	grpc_rig_send(&rig, "/s/m", NULL, "\0\0\0\0\2hi", 7);
	until(&seen.messages, 1);
	grpc_rig_turns(&rig, 3);
	assert_int_equal(seen.closes, 0);
	assert_int_equal(tako_grpc_reply(seen.call, TAKO_STR("later")), 0);
	assert_int_equal(tako_grpc_reply(seen.call, TAKO_STR("again")), TAKO_ECLOSED);
	tako_deferred_done(seen.deferral);
	assert_int_equal(grpc_rig_reply(&rig), 0);
	assert_memory_equal(rig.messages[0].p, "later", 5);
	until(&seen.closes, 1);
}

/* From elsewhere on the loop, where nothing of the call is running. */
static void finished_from_outside(void **state)
{
	tako_grpc *call;

	(void)state;
	open_stream("/s/both", NULL);
	call = seen.call;
	assert_true(tako_grpc_send(call, TAKO_STR("one")) >= 0);
	assert_int_equal(tako_grpc_finish(call, TAKO_GRPC_ABORTED, "enough"), 0);
	/* It is over and still there. */
	assert_int_equal(seen.closes, 0);
	assert_false(tako_grpc_is_open(call));
	assert_int_equal(tako_grpc_status(tako_grpc_req(call)), TAKO_GRPC_ABORTED);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_ABORTED);
	assert_string_equal(rig.message, "enough");
	assert_int_equal(rig.count, 1);
	grpc_rig_end(&rig);
	until(&seen.closes, 1);
	assert_int_equal(seen.cancels, 0);
}

/* Nothing comes that could have it looked at; its connection is the next one's. */
static void finished_behind_a_whole_request(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 2; i++) {
		grpc_rig_send(&rig, "/s/feed", NULL, "\0\0\0\0\2hi", 7);
		until(&seen.messages, i);
		grpc_rig_turns(&rig, 3);
		assert_true(tako_grpc_send(seen.call, TAKO_STR("one")) >= 0);
		assert_int_equal(tako_grpc_finish(seen.call, TAKO_GRPC_ABORTED, "enough"), 0);
		assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_ABORTED);
		assert_int_equal(rig.count, 1);
		until(&seen.closes, i);
	}
}

/* A conversation may be silent; what is left of it when it is over may not. */
static void silent_behind_its_end(void **state)
{
	(void)state;
	open_stream("/s/both", NULL);
	assert_int_equal(tako_grpc_finish(seen.call, TAKO_GRPC_ABORTED, "enough"), 0);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_ABORTED);
	until(&seen.closes, 1);
}

static void ends_with_the_client(void **state)
{
	(void)state;
	open_stream("/s/both", NULL);
	grpc_rig_end(&rig);
	assert_int_equal(grpc_rig_reply(&rig), 0);
	until(&seen.closes, 1);
}

/* ---- Deadlines ------------------------------------------------------------------------------- */

#define CT "content-type: application/grpc\r\n"

static void deadline(void **state)
{
	(void)state;
	seen.defer = true;
	grpc_rig_send(&rig, "/s/m", CT "grpc-timeout: 30m\r\n", "\0\0\0\0\2hi", 7);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(seen.cancels, 1);
	assert_true(seen.timeout_ms <= 30);
	/* Whoever holds it goes on holding it. */
	assert_int_equal(seen.closes, 0);
	assert_int_equal(tako_grpc_timeout_ms(seen.call), 0);
	assert_int_equal(tako_grpc_reply(seen.call, TAKO_STR("late")), TAKO_ECLOSED);
	assert_true(tako_res_closed(tako_grpc_res(seen.call)));
	tako_deferred_done(seen.deferral);
	until(&seen.closes, 1);
	assert_int_equal(seen.status, TAKO_GRPC_DEADLINE_EXCEEDED);
	/* The connection goes on. */
	seen.defer = false;
	seen.answer = true;
	assert_int_equal(grpc_rig_say(&rig, CT "grpc-timeout: 20S\r\n", TAKO_STR("x")), 0);
	assert_true(seen.timeout_ms > 15000 && seen.timeout_ms <= 20000);
}

static void deadline_of_a_stream(void **state)
{
	(void)state;
	open_stream("/s/both", CT "grpc-timeout: 30000u\r\n");
	assert_true(tako_grpc_send(seen.call, TAKO_STR("one")) >= 0);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_DEADLINE_EXCEEDED);
	assert_int_equal(rig.count, 1);
	assert_int_equal(seen.cancels, 1);
	grpc_rig_end(&rig);
	until(&seen.closes, 1);
}

/* max_timeout_ms is for those who ask for more, or for none. */
static void longest_deadline(void **state)
{
	(void)state;
	open_stream("/s/short", NULL);
	assert_true(seen.timeout_ms <= 50);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_DEADLINE_EXCEEDED);
	grpc_rig_end(&rig);
	until(&seen.closes, 1);
	peer_close(&rig.peer);
	peer_open(&rig.peer, &rig.server);
	seen.messages = 0;
	open_stream("/s/short", CT "grpc-timeout: 1H\r\n");
	assert_true(seen.timeout_ms <= 50);
	grpc_rig_end(&rig);
	until(&seen.closes, 2);
}

/* ---- Leaving ----------------------------------------------------------------------------------- */

static void client_leaves(void **state)
{
	(void)state;
	open_stream("/s/both", NULL);
	peer_close(&rig.peer);
	until(&seen.closes, 1);
	assert_int_equal(seen.cancels, 1);
	assert_int_equal(seen.status, TAKO_GRPC_CANCELLED);
}

static void client_leaves_a_deferral(void **state)
{
	(void)state;
	seen.defer = true;
	grpc_rig_send(&rig, "/s/m", CT "grpc-timeout: 1H\r\n", "\0\0\0\0\2hi", 7);
	until(&seen.messages, 1);
	peer_close(&rig.peer);
	until(&seen.cancels, 1);
	assert_int_equal(seen.closes, 0);
	tako_deferred_done(seen.deferral);
	until(&seen.closes, 1);
	assert_int_equal(seen.status, TAKO_GRPC_CANCELLED);
}

/* ---- The server stops -------------------------------------------------------------------------- */

static void finishes_when_told(void **state)
{
	(void)state;
	seen.finish_on_stop = true;
	open_stream("/s/both", NULL);
	tako_server_stop(rig.server.srv);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_UNAVAILABLE);
	assert_string_equal(rig.message, "elsewhere");
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.cancels, 0);
	until(&seen.closes, 1);
}

static void cancelled_at_last(void **state)
{
	(void)state;
	(void)grpc_rig_stop(&rig);
	assert_int_equal(start(100), 0);
	open_stream("/s/both", NULL);
	tako_server_stop(rig.server.srv);
	assert_int_equal(grpc_rig_reply(&rig), TAKO_GRPC_CANCELLED);
	assert_int_equal(seen.stops, 1);
	assert_int_equal(seen.cancels, 1);
	until(&seen.closes, 1);
}

/* ---- No memory ----------------------------------------------------------------------------------- */

/* Ends as it may, and leaves nothing behind. */
static void one_run(const char *path, bool many)
{
	char body[64];
	size_t n = grpc_rig_frame(body, 0, "hello", 5);

	grpc_rig_open(&rig, path, CT "grpc-timeout: 1H\r\ngrpc-accept-encoding: gzip\r\n");
	grpc_rig_chunk(&rig, body, 3);
	grpc_rig_turns(&rig, 1);
	grpc_rig_chunk(&rig, body + 3, n - 3);
	grpc_rig_turns(&rig, 1);
	if (seen.call && many) {
		(void)tako_grpc_trailer(seen.call, "a", TAKO_STR("b"));
		tako_grpc_pause(seen.call);
		grpc_rig_chunk(&rig, body, n);
		grpc_rig_turns(&rig, 1);
	}
	if (seen.call)
		(void)tako_grpc_send(seen.call, TAKO_STR("there"));
	if (seen.call)
		tako_grpc_resume(seen.call);
	grpc_rig_end(&rig);
	grpc_rig_turns(&rig, 3);
}

static void without_memory(const char *path, bool many)
{
	size_t nth = 0;

	do {
		(void)grpc_rig_stop(&rig);
		assert_int_equal(seen.closes, 0);
		assert_int_equal(start(1000), 0);
		grpc_rig_turns(&rig, 3);
		failalloc_arm(++nth);
		one_run(path, many);
		assert_true(nth < 200);
		peer_close(&rig.peer);
		grpc_rig_turns(&rig, 3);
		assert_null(seen.call);
		assert_true(seen.closes <= 1);
		seen.closes = 0;
	} while (failalloc_disarm());
	assert_true(nth > 1);
}

static void without_memory_unary(void **state)
{
	(void)state;
	seen.answer = true;
	without_memory("/s/m", false);
}

static void without_memory_stream(void **state)
{
	(void)state;
	without_memory("/s/both", true);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answered),
		TEST(returned),
		TEST(deferred),
		TEST(finished_from_outside),
		TEST(finished_behind_a_whole_request),
		TEST(silent_behind_its_end),
		TEST(ends_with_the_client),
		TEST(deadline),
		TEST(deadline_of_a_stream),
		TEST(longest_deadline),
		TEST(client_leaves),
		TEST(client_leaves_a_deferral),
		TEST(finishes_when_told),
		TEST(cancelled_at_last),
		TEST(without_memory_unary),
		TEST(without_memory_stream),
	};

	failalloc_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

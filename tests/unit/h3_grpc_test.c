/* SPDX-License-Identifier: MIT
 *
 * gRPC over HTTP/3, asked for by nghttp3's client: calls of every kind, who waits for whom, how a call ends
 * that is not let finish -- by its deadline, RESET_STREAM, STOP_SENDING, the server's drain -- and
 * gRPC-Web; then all of it while each allocation fails once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tako/grpc.h>

#include "transports/grpc/grpc_base64.h"
#include "transports/h3/h3_frame.h"
#include "unit/failalloc.h"
#include "unit/h3_rig.h"

enum {
	HIGH_BYTES = 8192,
	LARGE_BYTES = 100000,
	FLOOD_MESSAGES = 2000,
	WAIT_TURNS = 5000,
	TEXT_BYTES_MAX = 4096,
};

static struct h3_rig rig;
static tako_grpc_health *health;
static char large[LARGE_BYTES];

static struct {
	unsigned messages;
	unsigned cancels;
	unsigned opens; /* calls that will be closed */
	unsigned closes;
	unsigned stops;
	int status; /* of the last that was cancelled, or closed */
	tako_deferred *deferral;
} seen;

/* ---- Server ------------------------------------------------------------------------------ */

static int echo_one(tako_grpc *call, tako_str msg, void *arg)
{
	tako_str token = tako_grpc_metadata(tako_grpc_req(call), "token-bin");

	(void)arg;
	seen.messages++;
	if (token.p) {
		(void)tako_grpc_header(call, "head-bin", token);
		(void)tako_grpc_trailer(call, "tail-bin", token);
	}
	return tako_grpc_reply(call, msg);
}

static int wait_for_ever(tako_grpc *call, tako_str msg, void *arg)
{
	(void)msg, (void)arg;
	seen.messages++;
	seen.deferral = tako_res_defer(tako_grpc_res(call));
	return seen.deferral ? 0 : TAKO_ENOMEM;
}

static int refuse(tako_grpc *call, tako_str msg, void *arg)
{
	(void)msg, (void)arg;
	return tako_grpc_finish(call, TAKO_GRPC_ABORTED, "not \xe2\x98\xba");
}

static int on_open(tako_grpc *call, void *arg)
{
	(void)call, (void)arg;
	seen.opens++;
	return 0;
}

static int echo_each(tako_grpc *call, tako_str msg, void *arg)
{
	int64_t rc = tako_grpc_send(call, msg);

	(void)arg;
	seen.messages++;
	return rc < 0 ? (int)rc : 0;
}

static void pour(tako_grpc *call, void *arg)
{
	static const char message[64];
	unsigned *left = arg;
	int64_t unsent = 0;

	while (*left && unsent >= 0 && unsent < HIGH_BYTES) {
		unsent = tako_grpc_send(call, (tako_str){message, sizeof message});
		--*left;
		seen.messages++;
	}
	if (unsent >= 0 && *left)
		(void)tako_grpc_on_drain(call, pour, left);
	else if (unsent >= 0)
		(void)tako_grpc_finish(call, TAKO_GRPC_OK, NULL);
}

static int flood(tako_grpc *call, tako_str msg, void *arg)
{
	unsigned *left = tako_req_alloc(tako_grpc_req(call), sizeof *left);

	(void)msg, (void)arg;
	if (!left)
		return TAKO_ENOMEM;
	*left = FLOOD_MESSAGES;
	seen.opens++;
	pour(call, left);
	return 0;
}

static int count(tako_grpc *call, tako_str msg, void *arg)
{
	(void)call, (void)msg, (void)arg;
	seen.messages++;
	return 0;
}

static int tell_count(tako_grpc *call, void *arg)
{
	char text[16];
	int n = snprintf(text, sizeof text, "%u", seen.messages);

	(void)arg;
	return tako_grpc_reply(call, (tako_str){text, (size_t)n});
}

static void on_cancel(tako_grpc *call, void *arg)
{
	(void)arg;
	seen.cancels++;
	seen.status = tako_grpc_status(tako_grpc_req(call));
}

static void on_close(tako_grpc *call, void *arg)
{
	(void)arg;
	seen.closes++;
	seen.status = tako_grpc_status(tako_grpc_req(call));
}

static void on_stop(tako_grpc *call, void *arg)
{
	(void)call, (void)arg;
	seen.stops++;
}

static tako_router *make_router(void)
{
	static const char *const origins[] = {NULL};
	tako_router *r = tako_router_new();
	tako_grpc_config cfg = {.size = sizeof cfg,
	                        .on_cancel = on_cancel,
	                        .on_stop = on_stop,
	                        .web_origins = origins};

	tako_on_error(r, tako_grpc_error, NULL);
	cfg.on_message = echo_one;
	tako_grpc_method(r, "/s/one", TAKO_GRPC_UNARY, &cfg, NULL);
	cfg.on_message = refuse;
	tako_grpc_method(r, "/s/refuse", TAKO_GRPC_UNARY, &cfg, NULL);
	cfg.on_message = wait_for_ever;
	tako_grpc_method(r, "/s/wait", TAKO_GRPC_UNARY, &cfg, NULL);
	cfg.on_close = on_close;
	cfg.on_message = flood;
	tako_grpc_method(r, "/s/flood", TAKO_GRPC_SERVER_STREAM, &cfg, NULL);
	cfg.on_open = on_open;
	cfg.on_message = echo_each;
	tako_grpc_method(r, "/s/each", TAKO_GRPC_BIDI, &cfg, NULL);
	cfg.on_message = count;
	cfg.on_end = tell_count;
	tako_grpc_method(r, "/s/count", TAKO_GRPC_CLIENT_STREAM, &cfg, NULL);
	if (health)
		tako_grpc_health_add(r, health);
	return r;
}

static bool start(void)
{
	tako_router *router = make_router();
	bool ok;

	memset(&seen, 0, sizeof seen);
	ok = h3_rig_start(
		&rig, router,
		TAKO_SERVER_CONFIG(.write_high_bytes = HIGH_BYTES, .drain_timeout_ms = 2000));
	tako_router_free(router);
	return ok;
}

static int set_up(void **state)
{
	(void)state;
	health = tako_grpc_health_new();
	return health && start() && h3_rig_client(&rig, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	if (seen.deferral)
		tako_deferred_done(seen.deferral);
	h3_rig_stop(&rig);
	tako_grpc_health_free(health);
	health = NULL;
	if (rig.wrong)
		print_error("%s\n", rig.wrong);
	return rig.wrong || rig.client_failed || seen.opens != seen.closes || failalloc_live() ||
	       failalloc_wrong();
}

/* ---- Client ------------------------------------------------------------------------------- */

#define PLAIN "content-type: application/grpc\nte: trailers\n"

static size_t frame(char *to, const void *msg, size_t n)
{
	to[0] = 0;
	for (int i = 0; i < 4; i++)
		to[1 + i] = (char)(n >> (24 - 8 * i));
	memcpy(to + 5, msg, n);
	return 5 + n;
}

static struct h3_rig_stream *say(const char *path, const char *fields, const void *body, size_t n)
{
	int64_t id = h3_rig_ask(&rig, "POST", path, fields, body, n);

	h3_rig_run(&rig, 1);
	return h3_rig_stream(&rig, id);
}

/* A call whose messages follow. */
static struct h3_rig_stream *open_call(const char *path, const char *fields)
{
	return say(path, fields, "", 0);
}

static void up(struct h3_rig_stream *s, const char *p, size_t n, bool end)
{
	h3_rig_up(&rig, s->id, p, n, end);
	h3_rig_run(&rig, 1);
}

static bool until(const unsigned *counter, unsigned n)
{
	for (int i = 0; i < WAIT_TURNS && *counter < n; i++)
		h3_rig_run(&rig, 1);
	return *counter == n;
}

/* What its DATA frames hold, to be freed. */
static char *data_of(const struct h3_rig_stream *s, size_t *ret_n)
{
	struct tako__h3_frame f = {0};
	char *data = malloc(s->got_n + 1);
	const char *p = s->got;
	const char *end = p + s->got_n;

	*ret_n = 0;
	while (tako__h3_frame_read(&f, &p, end)) {
		size_t n = (size_t)f.left < (size_t)(end - p) ? (size_t)f.left : (size_t)(end - p);

		if (f.type == 0) {
			memcpy(data + *ret_n, p, n);
			*ret_n += n;
		}
		p += n;
		tako__h3_frame_next(&f);
	}
	return data;
}

/* These are all of its messages, to the byte. */
static void assert_data(const struct h3_rig_stream *s, const void *want, size_t n)
{
	size_t got_n;
	char *got = data_of(s, &got_n);

	assert_int_equal(got_n, n);
	if (n)
		assert_memory_equal(got, want, n);
	free(got);
}

static void assert_trailers(const struct h3_rig_stream *s, const char *want)
{
	assert_true(s->complete);
	assert_false(s->reset);
	assert_int_equal(s->status, 200);
	assert_string_equal(s->trailers, want);
}

/* A status and nothing else: in the head, after which nothing comes. */
static void assert_only(const struct h3_rig_stream *s, const char *want)
{
	assert_true(s->complete);
	assert_int_equal(s->status, 200);
	assert_int_equal(s->body_n, 0);
	assert_non_null(strstr(s->head, want));
	assert_string_equal(s->trailers, "");
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static void unary(void **state)
{
	static char body[LARGE_BYTES + 5];
	struct h3_rig_stream *s;
	size_t n = frame(body, "hello", 5);

	(void)state;
	s = say("/s/one", PLAIN "token-bin: q6ur\n", body, n);
	assert_non_null(strstr(s->head, "content-type: application/grpc\n"));
	assert_non_null(strstr(s->head, "head-bin: q6ur\n"));
	assert_data(s, body, n);
	assert_trailers(s, "tail-bin: q6ur\ngrpc-status: 0\n");
	assert_true(s->gone);
	/* Without metadata, which is the short way. */
	s = say("/s/one", PLAIN, body, n);
	assert_data(s, body, n);
	assert_trailers(s, "grpc-status: 0\n");
	n = frame(body, large, LARGE_BYTES);
	s = say("/s/one", PLAIN, body, n);
	h3_rig_run(&rig, 5);
	assert_data(s, body, n);
	assert_trailers(s, "grpc-status: 0\n");
	assert_int_equal(s->consumed_bytes, s->sent_bytes);
}

/* However it is cut, and all of it before the answer. */
static void byte_by_byte(void **state)
{
	struct h3_rig_stream *s = open_call("/s/one", PLAIN);
	char body[16];
	size_t n = frame(body, "hello", 5);

	(void)state;
	for (size_t i = 0; i < n; i++)
		up(s, body + i, 1, false);
	assert_int_equal(seen.messages, 0);
	up(s, "", 0, true);
	assert_data(s, body, n);
	assert_trailers(s, "grpc-status: 0\n");
}

static void statuses(void **state)
{
	static const struct {
		const char *path;
		const char *fields;
		const char *body;
		size_t n;
		const char *want;
	} rows[] = {
		{"/s/refuse", PLAIN, "\0\0\0\0\0", 5,
	         "grpc-status: 10\ngrpc-message: not %E2%98%BA\n"},
		{"/s/none", PLAIN, "\0\0\0\0\0", 5, "grpc-status: 12\n"},
		{"/s/one", PLAIN, "\2\0\0\0\0", 5, "grpc-status: 13\n"},
		{"/s/one", PLAIN, "\0\0\0\0\1", 5, "grpc-status: 13\n"},
		{"/s/one", PLAIN, "\0\xff\xff\xff\xff", 5, "grpc-status: 8\n"},
		{"/s/one", PLAIN, "\0\0\0\0\0\0\0\0\0\0", 10, "grpc-status: 12\n"},
		{"/s/one", PLAIN "grpc-timeout: 1\n", "\0\0\0\0\0", 5, "grpc-status: 13\n"},
		{"/s/one", PLAIN "grpc-encoding: br\n", "\0\0\0\0\0", 5, "grpc-status: 12\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct h3_rig_stream *s = say(rows[i].path, rows[i].fields, rows[i].body,
		                              rows[i].n);

		assert_only(s, rows[i].want);
	}
	assert_int_equal(say("/s/one", "content-type: text/plain\n", "\0\0\0\0\0", 5)->status, 415);
}

static void client_stream(void **state)
{
	struct h3_rig_stream *s = open_call("/s/count", PLAIN);
	char body[16];
	size_t n = frame(body, "hello", 5);

	(void)state;
	for (int i = 0; i < 3; i++)
		up(s, body, n, false);
	assert_int_equal(seen.messages, 3);
	assert_int_equal(s->body_n, 0);
	up(s, "", 0, true);
	assert_data(s,
	            "\0\0\0\0\1"
	            "3",
	            6);
	assert_trailers(s, "grpc-status: 0\n");
}

/* ---- Who waits ------------------------------------------------------------------------------ */

/* No more is made than the client takes, and a high mark; then it gets all. */
static void server_stream(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	rig.window = 20000;
	s = say("/s/flood", PLAIN, "\0\0\0\0\0", 5);
	h3_rig_run(&rig, 5);
	assert_int_equal(s->got_n, 20000);
	assert_true(s->blocked);
	assert_true(seen.messages > 20000 / 69 && seen.messages < (20000 + 2 * HIGH_BYTES) / 69);
	for (int i = 0; i < 100 && !s->complete; i++) {
		h3_rig_allow(&rig, s->id, 7000);
		h3_rig_run(&rig, 1);
	}
	assert_trailers(s, "grpc-status: 0\n");
	assert_int_equal(s->body_n, FLOOD_MESSAGES * 69);
	assert_int_equal(seen.status, TAKO_GRPC_OK);
}

enum { CHATTER = 40, CHATTER_BYTES = 1000 };

/* A client that says and does not listen is not listened to either; `each` messages of it come at once. */
static void chatter(unsigned each)
{
	static char body[CHATTER * (CHATTER_BYTES + 5)];
	size_t one = CHATTER_BYTES + 5;
	struct h3_rig_stream *s;
	unsigned stuck;

	for (size_t i = 0; i < CHATTER; i++)
		(void)frame(body + i * one, large + i, CHATTER_BYTES);
	seen.messages = 0;
	rig.window = 5000;
	s = open_call("/s/each", PLAIN);
	for (unsigned i = 0; i < CHATTER; i += each)
		up(s, body + i * one, each * one, false);
	stuck = seen.messages;
	/* What fits in the window and under the high mark, and one more. */
	assert_true(stuck > 5000 / one && stuck <= (5000 + HIGH_BYTES) / one + 2);
	h3_rig_run(&rig, 5);
	assert_int_equal(seen.messages, stuck);
	assert_true(each > 1 || s->consumed_bytes < s->sent_bytes - one);
	for (int i = 0; i < 100 && seen.messages < CHATTER; i++) {
		h3_rig_allow(&rig, s->id, 2000);
		h3_rig_run(&rig, 1);
	}
	h3_rig_allow(&rig, s->id, 50000);
	up(s, "", 0, true);
	assert_data(s, body, sizeof body);
	assert_trailers(s, "grpc-status: 0\n");
	assert_int_equal(s->consumed_bytes, s->sent_bytes);
}

static void bidi_back_pressure(void **state)
{
	(void)state;
	chatter(1);
	chatter(CHATTER);
}

/* Who watches and does not read costs no more than a high mark, and learns in the end how it is. */
static void slow_watcher(void **state)
{
	struct h3_rig_stream *s;
	size_t n;
	char *got;

	(void)state;
	rig.window = 500;
	s = say("/grpc.health.v1.Health/Watch", PLAIN, "\0\0\0\0\0", 5);
	for (int i = 0; i < 4 * HIGH_BYTES / 7; i++) {
		assert_int_equal(tako_grpc_health_set(health, "", 1 + i % 2), 0);
		stepped_turn(&rig.server, 0);
	}
	assert_int_equal(tako_grpc_health_set(health, "", TAKO_GRPC_HEALTH_SERVING), 0);
	for (int i = 0; i < 100; i++) {
		h3_rig_allow(&rig, s->id, 10000);
		h3_rig_run(&rig, 1);
	}
	assert_in_range(s->body_n, HIGH_BYTES / 2, HIGH_BYTES + 500);
	got = data_of(s, &n);
	assert_memory_equal(got + n - 7, "\0\0\0\0\2\x08\1", 7);
	free(got);
}

static void ping_pong(void **state)
{
	struct h3_rig_stream *s = open_call("/s/each", PLAIN);
	char body[64];

	(void)state;
	for (unsigned i = 1; i <= 5; i++) {
		size_t n = frame(body, large, i * 7);

		up(s, body, n, i == 5);
		assert_int_equal(s->body_n, 7 * i * (i + 1) / 2 + 5 * i);
	}
	assert_trailers(s, "grpc-status: 0\n");
	/* No messages at all. */
	s = open_call("/s/each", PLAIN);
	up(s, "", 0, true);
	assert_only(s, "grpc-status: 0\n");
}

/* ---- Ends that are not orderly ------------------------------------------------------------------ */

static void deadline(void **state)
{
	struct h3_rig_stream *s = open_call("/s/each", PLAIN "grpc-timeout: 30m\n");

	(void)state;
	assert_true(until(&seen.closes, 1));
	assert_only(s, "grpc-status: 4\n");
	assert_int_equal(seen.cancels, 1);
	assert_int_equal(seen.status, TAKO_GRPC_DEADLINE_EXCEEDED);
	/* It is told that what it would still say is of no use. */
	assert_true(s->stopped);
	assert_int_equal(s->stop_code, NGHTTP3_H3_NO_ERROR);
	/* And where there was a message before. */
	s = say("/s/each", PLAIN "grpc-timeout: 30m\n", "", 0);
	up(s, "\0\0\0\0\0", 5, false);
	assert_true(until(&seen.closes, 2));
	h3_rig_run(&rig, 1);
	assert_true(s->got_fin);
	assert_non_null(strstr(s->trailers, "grpc-status: 4\n"));
	/* A method that has not answered is told, and its answer goes nowhere. */
	s = say("/s/wait", PLAIN "grpc-timeout: 30m\n", "\0\0\0\0\0", 5);
	assert_true(until(&seen.cancels, 3));
	h3_rig_run(&rig, 1);
	assert_only(s, "grpc-status: 4\n");
}

static void client_resets(void **state)
{
	struct h3_rig_stream *s = open_call("/s/each", PLAIN);

	(void)state;
	up(s, "\0\0\0\0\0", 5, false);
	h3_rig_reset(&rig, s->id, NGHTTP3_H3_REQUEST_CANCELLED);
	h3_rig_run(&rig, 2);
	assert_int_equal(seen.cancels, 1);
	assert_int_equal(seen.closes, 1);
	assert_int_equal(seen.status, TAKO_GRPC_CANCELLED);
	assert_true(s->reset);
	assert_true(s->gone);
	assert_false(s->complete);
	assert_false(rig.closed);
}

static void client_stops_listening(void **state)
{
	struct h3_rig_stream *s = open_call("/s/each", PLAIN);

	(void)state;
	up(s, "\0\0\0\0\0", 5, false);
	h3_rig_stop_sending(&rig, s->id, NGHTTP3_H3_REQUEST_CANCELLED);
	/* Who has nothing to say does not hear of it. */
	up(s, "\0\0\0\0\0", 5, false);
	h3_rig_run(&rig, 2);
	assert_int_equal(seen.cancels, 1);
	assert_int_equal(seen.closes, 1);
	assert_int_equal(seen.status, TAKO_GRPC_CANCELLED);
	assert_true(s->gone);
	/* Of a call that was said whole. */
	rig.window = 2000;
	s = say("/s/flood", PLAIN, "\0\0\0\0\0", 5);
	h3_rig_run(&rig, 2);
	assert_true(s->blocked);
	h3_rig_stop_sending(&rig, s->id, NGHTTP3_H3_REQUEST_CANCELLED);
	h3_rig_allow(&rig, s->id, 10);
	h3_rig_run(&rig, 2);
	assert_int_equal(seen.cancels, 2);
	assert_int_equal(seen.closes, 2);
	assert_int_equal(seen.status, TAKO_GRPC_CANCELLED);
	assert_true(s->gone);
}

/* One that is still worked on. */
static void unary_is_cancelled(void **state)
{
	struct h3_rig_stream *s = say("/s/wait", PLAIN, "\0\0\0\0\0", 5);

	(void)state;
	assert_int_equal(seen.messages, 1);
	h3_rig_stop_sending(&rig, s->id, NGHTTP3_H3_REQUEST_CANCELLED);
	h3_rig_run(&rig, 2);
	assert_int_equal(seen.cancels, 1);
	assert_int_equal(seen.status, TAKO_GRPC_CANCELLED);
	/* Its place is another's when the method has let go. */
	assert_int_equal(rig.more, 0);
	tako_deferred_done(seen.deferral);
	seen.deferral = NULL;
	h3_rig_run(&rig, 2);
	assert_int_equal(rig.more, 1);
}

static void drain(void **state)
{
	struct h3_rig_stream *s = open_call("/s/each", PLAIN);

	(void)state;
	up(s, "\0\0\0\0\0", 5, false);
	tako_server_stop(rig.server.srv);
	h3_rig_run(&rig, 3);
	assert_int_equal(seen.stops, 1);
	up(s, "\0\0\0\0\0", 5, true);
	assert_data(s, "\0\0\0\0\0\0\0\0\0", 10);
	assert_trailers(s, "grpc-status: 0\n");
	h3_rig_run(&rig, 2);
	assert_true(rig.closed);
	assert_int_equal(rig.code, NGHTTP3_H3_NO_ERROR);
}

/* What does not come to its end in time is told so. */
static void drain_cancels(void **state)
{
	struct h3_rig_stream *s = open_call("/s/each", PLAIN);

	(void)state;
	tako_server_stop(rig.server.srv);
	assert_true(until(&seen.closes, 1));
	assert_int_equal(seen.cancels, 1);
	assert_only(s, "grpc-status: 1\n");
}

/* ---- gRPC-Web ---------------------------------------------------------------------------------------- */

static void web(void **state)
{
	static const char want[] = "\0\0\0\0\2hi\x80\0\0\0\x10grpc-status: 0\r\n";
	struct h3_rig_stream *s;

	(void)state;
	s = say("/s/one", "content-type: application/grpc-web+proto\n", "\0\0\0\0\2hi", 7);
	assert_non_null(strstr(s->head, "content-type: application/grpc-web+proto\n"));
	assert_data(s, want, sizeof want - 1);
	assert_trailers(s, "");
	s = say("/s/flood", "content-type: application/grpc-web\n", "\0\0\0\0\0", 5);
	for (int i = 0; i < WAIT_TURNS && !s->complete; i++)
		h3_rig_run(&rig, 1);
	assert_trailers(s, "");
	assert_int_equal(s->body_n, FLOOD_MESSAGES * 69 + 5 + 16);
	s = say("/s/refuse", "content-type: application/grpc-web\n", "\0\0\0\0\0", 5);
	assert_only(s, "grpc-status: 10\n");
}

/* Decode what is base64 by pieces, each with its padding. */
static void web_text(void **state)
{
	static const char want[] = "\0\0\0\0\2hi\x80\0\0\0\x10grpc-status: 0\r\n";
	struct tako__base64 d = {.bits = 0};
	char plain[TEXT_BYTES_MAX];
	struct h3_rig_stream *s;
	char *text;
	size_t text_n;
	size_t n;

	(void)state;
	s = say("/s/one", "content-type: application/grpc-web-text\n", "AAAAAAJoaQ==", 12);
	text = data_of(s, &text_n);
	assert_true(text_n < sizeof plain);
	assert_int_equal(tako__base64_decode(&d, plain, &n, text, text_n), 0);
	free(text);
	assert_int_equal(n, sizeof want - 1);
	assert_memory_equal(plain, want, n);
	assert_trailers(s, "");
	assert_non_null(strstr(s->head, "content-type: application/grpc-web-text\n"));
}

/* ---- Without memory ------------------------------------------------------------------------------------ */

static void talk(void)
{
	static char body[LARGE_BYTES + 5];
	size_t n = frame(body, large, LARGE_BYTES);
	struct h3_rig_stream *s;

	if (!h3_rig_client(&rig, NULL))
		return;
	(void)say("/s/one", PLAIN "token-bin: q6ur\n", "\0\0\0\0\2hi", 7);
	(void)say("/s/one", PLAIN, body, n);
	(void)say("/s/refuse", PLAIN, "\0\0\0\0\0", 5);
	(void)say("/s/one", "content-type: application/grpc-web-text\n", "AAAAAAJoaQ==", 12);
	rig.window = 20000;
	s = say("/s/each", PLAIN, "", 0);
	for (int i = 0; s && i < 3 && !s->gone && !rig.closed; i++)
		up(s, body, n, i == 2);
	for (int i = 0; s && i < 20 && !s->gone && !rig.closed; i++) {
		h3_rig_allow(&rig, s->id, 20000);
		h3_rig_run(&rig, 1);
	}
}

static void each_allocation_fails(void **state)
{
	bool failed = true;
	size_t n = 1;

	(void)state;
	for (; failed; n++) {
		assert_true(start());
		failalloc_arm(n);
		talk();
		failed = failalloc_disarm() != 0;
		for (unsigned i = 0; i < rig.count && !rig.closed; i++) {
			struct h3_rig_stream *s = &rig.streams[i];

			if (!(s->id & 2) && !s->gone)
				fail_msg("allocation %zu: stream %d is left open", n, (int)s->id);
		}
		if (rig.wrong)
			fail_msg("allocation %zu: %s", n, rig.wrong);
		h3_rig_stop(&rig);
		assert_true(seen.closes >= seen.opens);
		assert_int_equal(failalloc_live(), 0);
		assert_int_equal(failalloc_wrong(), 0);
	}
	assert_true(n > 20);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(unary),
		TEST(byte_by_byte),
		TEST(statuses),
		TEST(client_stream),
		TEST(server_stream),
		TEST(bidi_back_pressure),
		TEST(slow_watcher),
		TEST(ping_pong),
		TEST(deadline),
		TEST(client_resets),
		TEST(client_stops_listening),
		TEST(unary_is_cancelled),
		TEST(drain),
		TEST(drain_cancels),
		TEST(web),
		TEST(web_text),
		cmocka_unit_test(each_allocation_fails),
	};

	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (char)('a' + i % 23);
	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

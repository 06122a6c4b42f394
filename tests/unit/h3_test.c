/* SPDX-License-Identifier: MIT
 *
 * Exchanges over HTTP/3, asked for by nghttp3's client: what goes both ways, who waits for whom, how
 * things end; then all of it while each allocation fails once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "transports/h3/h3_frame.h"
#include "unit/failalloc.h"
#include "unit/h3_rig.h"

enum { BODY_BYTES = 40000, FILE_BYTES = 300000 };

static char body[BODY_BYTES];
static char file_path[64];
static struct h3_rig rig;
static int due, ran, errors, dones_due, dones_ran, aborts, drained;
static tako_res *held;
static tako_deferred *deferral;

/* ---- Server -------------------------------------------------------------------------- */

static void on_end(tako_req *req, int err, void *arg)
{
	(void)req, (void)arg;
	ran++;
	errors += err < 0;
}

static int watch(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_on_end(res, on_end, NULL);

	(void)req, (void)arg;
	due += rc == 0;
	return rc < 0 ? rc : TAKO_NEXT;
}

static void on_done(void *arg)
{
	(void)arg;
	dones_ran++;
}

static int small(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "small");
}

static int large(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_send(res, 200, "text/plain", (tako_str){body, sizeof body});
}

static int lent(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	dones_due++;
	return tako_res_send_ref(res, 200, "text/plain", (tako_str){body, sizeof body}, on_done,
	                         NULL);
}

static int file(tako_req *req, tako_res *res, void *arg)
{
	int fd = open(file_path, O_RDONLY | O_CLOEXEC);

	(void)req, (void)arg;
	return tako_res_send_fd(res, fd, 0, FILE_BYTES);
}

static int pieces(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = tako_res_inform(res, 103);

	(void)req, (void)arg;
	for (int i = 0; i < 3 && rc >= 0; i++) {
		dones_due++;
		rc = tako_res_write(res, (tako_str){body, 3000}, on_done, NULL);
		if (rc >= 0)
			rc = tako_res_write(res, (tako_str){body, 300}, NULL, NULL);
	}
	if (rc >= 0)
		rc = tako_res_trailer(res, "X-Sum", "1");
	if (rc >= 0)
		rc = tako_res_end(res);
	return rc < 0 ? (int)rc : 0;
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = data.n ? tako_res_write(res, data, NULL, NULL) : 0;

	(void)req, (void)arg;
	if (rc >= 0 && end && tako_req_trailer(req, "x-last").p)
		rc = tako_res_write(res, TAKO_STR("trailers"), NULL, NULL);
	if (rc >= 0 && end)
		rc = tako_res_end(res);
	return rc < 0 ? (int)rc : 0;
}

static void resume(tako_res *res, void *arg)
{
	(void)res;
	tako_req_resume(arg);
}

/* Held back first, so that what comes meanwhile has to wait. */
static int echo(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_req_on_body(req, echo_body, arg);

	tako_req_pause(req);
	return rc < 0 ? rc : tako_res_after(res, 1, resume, req);
}

static int count_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req;
	*(size_t *)arg += data.n;
	return end ? tako_res_text(res, 200, "counted") : 0;
}

static size_t counted;

/* Takes nothing until somebody resumes it. */
static int slow(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_req_on_body(req, count_body, &counted);

	(void)res, (void)arg;
	tako_req_pause(req);
	held = res;
	return rc;
}

static void on_abort(tako_res *res, void *arg)
{
	(void)res, (void)arg;
	aborts++;
}

static int defer_it(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	held = res;
	(void)tako_res_on_abort(res, on_abort, NULL);
	deferral = tako_res_defer(res);
	return deferral ? 0 : TAKO_ENOMEM;
}

static int fail_late(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = tako_res_write(res, TAKO_STR("the first half"), NULL, NULL);

	(void)req, (void)arg;
	return rc < 0 ? (int)rc : TAKO_ESYS;
}

static void on_drained(tako_res *res, void *arg)
{
	(void)arg;
	drained++;
	(void)tako_res_end(res);
}

static int fill(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = tako_res_write(res, (tako_str){body, sizeof body}, NULL, NULL);

	(void)req, (void)arg;
	return rc < 0 ? (int)rc : tako_res_on_drain(res, on_drained, NULL);
}

static int early(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 403, "no");
}

static void ws_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)arg;
	(void)tako_ws_send(ws, kind, msg);
}

static int ws_echo(tako_req *req, tako_res *res, void *arg)
{
	return tako_ws_accept(req, res, TAKO_WS_CONFIG(.on_message = ws_message), arg);
}

static tako_router *make_router(void)
{
	tako_router *r = tako_router_new();

	tako_before(r, TAKO_PHASE_EARLY, watch, NULL);
	tako_get(r, "/small", small, NULL);
	tako_get(r, "/large", large, NULL);
	tako_get(r, "/lent", lent, NULL);
	tako_get(r, "/file", file, NULL);
	tako_get(r, "/pieces", pieces, NULL);
	tako_post(r, "/echo", echo, NULL);
	tako_post(r, "/slow", slow, NULL);
	tako_get(r, "/defer", defer_it, NULL);
	tako_get(r, "/fail", fail_late, NULL);
	tako_get(r, "/fill", fill, NULL);
	tako_post(r, "/early", early, NULL);
	tako_post(r, "/fail-early", fail_late, NULL);
	tako_get(r, "/ws", ws_echo, NULL);
	return r;
}

static bool start_with(const tako_server_config *cfg)
{
	tako_router *router = make_router();
	bool ok;

	due = ran = errors = dones_due = dones_ran = aborts = drained = 0;
	counted = 0;
	held = NULL;
	ok = h3_rig_start(&rig, router, cfg);
	tako_router_free(router);
	return ok;
}

static void start(void)
{
	assert_true(
		start_with(TAKO_SERVER_CONFIG(.write_high_bytes = 8192, .drain_timeout_ms = 2000)));
	assert_true(h3_rig_client(&rig, NULL));
}

static void stop(void)
{
	h3_rig_stop(&rig);
	if (rig.wrong)
		fail_msg("%s", rig.wrong);
	assert_false(rig.client_failed);
	assert_int_equal(ran, due);
	assert_int_equal(dones_ran, dones_due);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

static struct h3_rig_stream *get(const char *path)
{
	return h3_rig_stream(&rig, h3_rig_ask(&rig, "GET", path, NULL, NULL, 0));
}

static uint64_t sum_of(const char *p, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + (unsigned char)p[i];
	return sum;
}

/* ---- Answers ------------------------------------------------------------------------------ */

static void test_small(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	s = get("/small");
	assert_int_equal(s->status, 200);
	assert_true(s->complete);
	assert_int_equal(s->body_n, 5);
	assert_non_null(strstr(s->head, "content-length: 5\n"));
	assert_non_null(strstr(s->head, "content-type: text/plain; charset=utf-8\n"));
	assert_non_null(strstr(s->head, "server: tako\n"));
	assert_non_null(strstr(s->head, "date: "));
	assert_true(s->gone);
	stop();
}

static void test_head(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	s = h3_rig_stream(&rig, h3_rig_ask(&rig, "HEAD", "/large", NULL, NULL, 0));
	assert_int_equal(s->status, 200);
	assert_true(s->complete);
	assert_int_equal(s->body_n, 0);
	assert_non_null(strstr(s->head, "content-length: 40000\n"));
	stop();
}

static void test_bodies(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	s = get("/large");
	assert_true(s->complete);
	assert_int_equal(s->body_n, BODY_BYTES);
	assert_true(s->body_sum == sum_of(body, BODY_BYTES));
	s = get("/lent");
	assert_true(s->complete);
	assert_int_equal(s->body_n, BODY_BYTES);
	assert_int_equal(dones_ran, 1);
	s = get("/missing");
	assert_int_equal(s->status, 404);
	stop();
}

static void test_file(void **state)
{
	static char all[FILE_BYTES];
	struct h3_rig_stream *s;
	int fd = open(file_path, O_RDONLY);

	(void)state;
	assert_int_equal(read(fd, all, sizeof all), FILE_BYTES);
	close(fd);
	start();
	s = get("/file");
	h3_rig_run(&rig, 5);
	assert_true(s->complete);
	assert_int_equal(s->body_n, FILE_BYTES);
	assert_true(s->body_sum == sum_of(all, FILE_BYTES));
	stop();
}

/* A length was announced that the file no longer has: the stream must not look complete. */
static void test_file_shrinks(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	rig.hold_output = true;
	s = get("/file");
	assert_int_equal(truncate(file_path, 100000), 0);
	rig.hold_output = false;
	h3_rig_run(&rig, 5);
	assert_int_equal(truncate(file_path, FILE_BYTES), 0);
	assert_true(s->reset);
	assert_int_equal(s->reset_code, NGHTTP3_H3_INTERNAL_ERROR);
	assert_false(s->complete);
	stop();
}

static void test_pieces_and_trailers(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	s = get("/pieces");
	assert_int_equal(s->informed, 103);
	assert_int_equal(s->status, 200);
	assert_true(s->complete);
	assert_int_equal(s->body_n, 9900);
	assert_string_equal(s->trailers, "x-sum: 1\n");
	stop();
}

static void test_echo(void **state)
{
	int64_t id;
	struct h3_rig_stream *s;

	(void)state;
	start();
	id = h3_rig_ask(&rig, "POST", "/echo", NULL, body, BODY_BYTES);
	s = h3_rig_stream(&rig, id);
	assert_int_equal(s->body_n, 0);
	h3_rig_run(&rig, 20);
	assert_true(s->complete);
	assert_int_equal(s->body_n, BODY_BYTES);
	assert_true(s->body_sum == sum_of(body, BODY_BYTES));
	assert_int_equal(s->consumed_bytes, s->sent_bytes);
	stop();
}

static void test_expect(void **state)
{
	int64_t id;
	struct h3_rig_stream *s;

	(void)state;
	start();
	id = h3_rig_ask(&rig, "POST", "/slow", "expect: 100-continue\n", "", 0);
	s = h3_rig_stream(&rig, id);
	assert_int_equal(s->status, 100);
	tako_req_resume((tako_req *)held);
	h3_rig_up(&rig, id, body, 1000, true);
	h3_rig_run(&rig, 2);
	assert_int_equal(s->status, 200);
	assert_int_equal(counted, 1000);
	/* Not where nobody wants the body. */
	id = h3_rig_ask(&rig, "POST", "/early", "expect: 100-continue\n", "", 0);
	s = h3_rig_stream(&rig, id);
	assert_int_equal(s->status, 403);
	assert_int_equal(s->informed, 0);
	stop();
}

/* ---- Windows -------------------------------------------------------------------------------- */

static void test_body_waits_for_its_reader(void **state)
{
	int64_t id;
	struct h3_rig_stream *s;
	uint64_t head;

	(void)state;
	start();
	id = h3_rig_ask(&rig, "POST", "/slow", NULL, "", 0);
	s = h3_rig_stream(&rig, id);
	head = s->consumed_bytes;
	assert_int_equal(head, s->sent_bytes);
	h3_rig_up(&rig, id, body, 10000, false);
	/* No more than the head of its frame. */
	assert_true(s->consumed_bytes < head + 8);
	assert_int_equal(counted, 0);
	tako_req_resume((tako_req *)held);
	h3_rig_run(&rig, 2);
	assert_int_equal(counted, 10000);
	assert_int_equal(s->consumed_bytes, s->sent_bytes);
	h3_rig_up(&rig, id, body, 0, true);
	assert_int_equal(s->status, 200);
	stop();
}

static void test_writer_waits_for_the_peer(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	rig.window = 20000;
	s = get("/fill");
	assert_int_equal(s->got_n, 20000);
	assert_true(s->blocked);
	assert_int_equal(drained, 0);
	h3_rig_allow(&rig, s->id, 18000);
	h3_rig_run(&rig, 1);
	/* Below half of write_high_bytes. */
	assert_int_equal(drained, 1);
	h3_rig_allow(&rig, s->id, 100000);
	h3_rig_run(&rig, 1);
	assert_true(s->complete);
	assert_int_equal(s->body_n, BODY_BYTES);
	stop();
}

/* What is lent stays lent until it has arrived. */
static void test_lent_until_acknowledged(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	rig.hold_acks = true;
	s = get("/lent");
	assert_true(s->complete);
	assert_int_equal(dones_ran, 0);
	rig.hold_acks = false;
	h3_rig_run(&rig, 1);
	assert_int_equal(dones_ran, 1);
	stop();
}

/* ---- Ends -------------------------------------------------------------------------------------- */

static void test_handler_fails_late(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	s = get("/fail");
	assert_true(s->reset);
	assert_int_equal(s->reset_code, NGHTTP3_H3_INTERNAL_ERROR);
	assert_false(s->complete);
	assert_int_equal(errors, 1);
	stop();
}

static void test_peer_cancels(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	start();
	s = get("/defer");
	h3_rig_stop_sending(&rig, s->id, NGHTTP3_H3_REQUEST_CANCELLED);
	h3_rig_run(&rig, 1);
	assert_int_equal(aborts, 1);
	assert_true(s->gone);
	/* No place for another one before the handler has let go. */
	assert_int_equal(rig.more, 0);
	tako_deferred_done(deferral);
	h3_rig_run(&rig, 2);
	assert_int_equal(rig.more, 1);
	assert_int_equal(ran, 1);
	stop();
}

static void test_peer_resets_its_body(void **state)
{
	int64_t id;
	struct h3_rig_stream *s;

	(void)state;
	start();
	id = h3_rig_ask(&rig, "POST", "/slow", NULL, "", 0);
	s = h3_rig_stream(&rig, id);
	h3_rig_reset(&rig, id, NGHTTP3_H3_REQUEST_CANCELLED);
	h3_rig_run(&rig, 1);
	assert_true(s->reset);
	assert_int_equal(s->reset_code, NGHTTP3_H3_REQUEST_CANCELLED);
	assert_int_equal(ran, 1);
	assert_int_equal(errors, 1);
	stop();
}

/* Answered before all of the request was there: the whole answer, then STOP_SENDING. */
static void test_answered_early(void **state)
{
	int64_t id;
	struct h3_rig_stream *s;

	(void)state;
	start();
	id = h3_rig_ask(&rig, "POST", "/early", NULL, "", 0);
	s = h3_rig_stream(&rig, id);
	h3_rig_run(&rig, 1);
	assert_int_equal(s->status, 403);
	assert_true(s->got_fin);
	assert_false(s->reset);
	assert_true(s->stopped);
	assert_int_equal(s->stop_code, NGHTTP3_H3_NO_ERROR);
	assert_true(s->gone);
	assert_int_equal(errors, 0);
	stop();
}

/* … upon which the client must end its half; one that does not keeps its connection no longer than a body
 * may pause, whether the stream was answered or reset. */
static void never_ends(const char *path, bool answered)
{
	struct h3_rig_stream *s;
	int64_t id;

	assert_true(start_with(TAKO_SERVER_CONFIG(.body_timeout_ms = 100)));
	assert_true(h3_rig_client(&rig, NULL));
	rig.deaf = true;
	id = h3_rig_ask(&rig, "POST", path, NULL, "", 0);
	s = h3_rig_stream(&rig, id);
	h3_rig_run(&rig, 1);
	assert_int_equal(s->got_fin, answered);
	assert_int_equal(s->reset, !answered);
	assert_true(s->stopped);
	assert_false(rig.closed);
	for (unsigned i = 0; i < 20000 && !rig.closed; i++)
		h3_rig_run(&rig, 1);
	assert_true(rig.closed);
	assert_int_equal(rig.code, NGHTTP3_H3_EXCESSIVE_LOAD);
	assert_string_equal(rig.reason, "a request without an end");
	stop();
}

static void test_never_ended(void **state)
{
	(void)state;
	never_ends("/early", true);
	never_ends("/fail-early", false);
}

/* Nor for who does not say that it has the answer. */
static void test_never_acknowledged(void **state)
{
	struct h3_rig_stream *s;

	(void)state;
	assert_true(start_with(TAKO_SERVER_CONFIG(.write_timeout_ms = 100)));
	assert_true(h3_rig_client(&rig, NULL));
	rig.hold_acks = true;
	s = h3_rig_stream(&rig, h3_rig_ask(&rig, "GET", "/", NULL, NULL, 0));
	assert_true(s->got_fin);
	for (unsigned i = 0; i < 20000 && !rig.closed; i++) {
		h3_rig_run(&rig, 1);
		/* Others do not put it off. */
		if (i % 20 == 0)
			(void)h3_rig_ask(&rig, "GET", "/", NULL, NULL, 0);
	}
	assert_true(rig.closed);
	assert_int_equal(rig.code, NGHTTP3_H3_EXCESSIVE_LOAD);
	assert_string_equal(rig.reason, "an answer is not acknowledged");
	stop();
}

static void test_drain(void **state)
{
	struct h3_rig_stream *s;
	int64_t late;

	(void)state;
	start();
	s = get("/defer");
	tako_server_stop(rig.server.srv);
	h3_rig_run(&rig, 3);
	/* Both GOAWAYs are out: the one that asks no new requests, and the one that names the last. */
	late = h3_rig_open(&rig, false);
	h3_rig_send(&rig, late, "\x01", 1, false);
	h3_rig_run(&rig, 1);
	assert_int_equal(h3_rig_stream(&rig, late)->reset_code, NGHTTP3_H3_REQUEST_REJECTED);
	assert_false(rig.closed);
	tako_deferred_done(deferral);
	h3_rig_run(&rig, 2);
	assert_int_equal(s->status, 500);
	assert_true(rig.closed);
	assert_int_equal(rig.code, NGHTTP3_H3_NO_ERROR);
	stop();
}

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Requests that have begun have their grace, however long the server would wait. */
static void test_grace_of_a_drain(void **state)
{
	struct h3_rig_stream *s;
	uint64_t since;

	(void)state;
	assert_true(start_with(
		TAKO_SERVER_CONFIG(.h3_goaway_grace_ms = 100, .drain_timeout_ms = TAKO_OFF)));
	assert_true(h3_rig_client(&rig, NULL));
	s = get("/defer");
	/* The last that its loop knows of the time is long ago, and does not count. */
	usleep(20000);
	since = clock_ms();
	tako_server_stop(rig.server.srv);
	while (!rig.closed && clock_ms() - since < 5000)
		h3_rig_run(&rig, 1);
	assert_true(rig.closed);
	assert_true(clock_ms() - since >= 99);
	assert_int_equal(s->status, 0);
	tako_deferred_done(deferral);
	stop();
}

#ifdef TAKO__WITH_WS
/* What its DATA frames hold; their sum is `n`. */
static const char *data_of(const struct h3_rig_stream *s, size_t *ret_n)
{
	static char data[200];
	struct tako__h3_frame f = {0};
	const char *p = s->got;
	const char *end = s->got + s->got_n;

	*ret_n = 0;
	while (tako__h3_frame_read(&f, &p, end)) {
		if (f.type == 0) {
			memcpy(data + *ret_n, p, (size_t)f.left);
			*ret_n += (size_t)f.left;
		}
		p += f.left;
		tako__h3_frame_next(&f);
	}
	return data;
}

/* RFC 9220: the same route that serves an Upgrade. */
static void test_websocket(void **state)
{
	static const char said[] = "\0\x08\x81\x82\0\0\0\0hi";
	static const char bye[] = "\0\x08\x88\x82\0\0\0\0\x03\xe8";
	char head[400];
	size_t n = h3_rig_headers(head, ":method=CONNECT\n:protocol=websocket\n:scheme=https\n"
	                                ":path=/ws\n:authority=rig\nsec-websocket-version=13\n");
	struct h3_rig_stream *s;
	int64_t id;

	(void)state;
	assert_true(start_with(NULL));
	id = h3_rig_open(&rig, false);
	s = h3_rig_stream(&rig, id);
	h3_rig_send(&rig, id, head, n, false);
	/* It may be said before the answer has come. */
	h3_rig_send(&rig, id, said, sizeof said - 1, false);
	h3_rig_run(&rig, 1);
	/* :status 200 is entry 25; no length. */
	assert_true(s->got_n > 10 && s->got[1] < 64);
	assert_memory_equal(s->got + 2, "\0\0\xd9", 3);
	assert_memory_equal(data_of(s, &n), "\x81\x02hi", 4);
	assert_int_equal(n, 4);
	assert_int_equal(s->consumed_bytes, s->sent_bytes);
	h3_rig_send(&rig, id, bye, sizeof bye - 1, true);
	h3_rig_run(&rig, 2);
	assert_memory_equal(data_of(s, &n), "\x81\x02hi\x88\x02\x03\xe8", 8);
	assert_int_equal(n, 8);
	assert_true(s->got_fin);
	assert_true(s->gone);
	assert_int_equal(errors, 0);
	stop();
}
#endif

/* ---- Order ---------------------------------------------------------------------------------------- */

static void test_priorities(void **state)
{
	struct h3_rig_stream *low, *high, *shared[2];

	(void)state;
	start();
	rig.hold_output = true;
	low = h3_rig_stream(&rig, h3_rig_ask(&rig, "GET", "/large", "priority: u=5\n", NULL, 0));
	high = h3_rig_stream(&rig, h3_rig_ask(&rig, "GET", "/large", "priority: u=1\n", NULL, 0));
	for (int i = 0; i < 2; i++)
		shared[i] = h3_rig_stream(
			&rig, h3_rig_ask(&rig, "GET", "/large", "priority: i\n", NULL, 0));
	rig.hold_output = false;
	high->window = 30000;
	shared[0]->window = 25000;
	h3_rig_run(&rig, 0);
	assert_int_equal(high->got_n, 30000);
	assert_true(low->complete && shared[1]->complete);
	stop();
}

static void test_turns(void **state)
{
	struct h3_rig_stream *a, *b, *c;

	(void)state;
	start();
	rig.hold_output = true;
	a = h3_rig_stream(&rig, h3_rig_ask(&rig, "GET", "/large", "priority: i\n", NULL, 0));
	b = h3_rig_stream(&rig, h3_rig_ask(&rig, "GET", "/large", "priority: i\n", NULL, 0));
	c = h3_rig_stream(&rig, h3_rig_ask(&rig, "GET", "/large", "priority: u=4\n", NULL, 0));
	rig.hold_output = false;
	/* Stops the world when the first is half through. */
	a->window = 20000;
	b->window = 22000;
	c->window = 0;
	h3_rig_run(&rig, 0);
	assert_int_equal(a->got_n, 20000);
	assert_int_equal(b->got_n, 22000);
	/* Neither had overtaken the other by more than a packet. */
	assert_true(c->blocked);
	stop();
}

/* ---- Without memory ------------------------------------------------------------------------------------ */

static void talk(void)
{
	if (!h3_rig_client(&rig, NULL))
		return;
	(void)h3_rig_ask(&rig, "GET", "/small", NULL, NULL, 0);
	(void)h3_rig_ask(&rig, "GET", "/large", NULL, NULL, 0);
	(void)h3_rig_ask(&rig, "GET", "/lent", NULL, NULL, 0);
	(void)h3_rig_ask(&rig, "GET", "/file", NULL, NULL, 0);
	(void)h3_rig_ask(&rig, "GET", "/pieces", NULL, NULL, 0);
	(void)h3_rig_ask(&rig, "POST", "/echo", "te: trailers\n", body, BODY_BYTES);
	h3_rig_run(&rig, 10);
}

static void test_each_allocation_fails(void **state)
{
	bool failed = true;
	size_t n = 1;

	(void)state;
	for (; failed; n++) {
		bool started;

		failalloc_disarm();
		started = start_with(
			TAKO_SERVER_CONFIG(.write_high_bytes = 8192, .drain_timeout_ms = 2000));
		assert_true(started);
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
		assert_int_equal(ran, due);
		assert_int_equal(dones_ran, dones_due);
		assert_int_equal(failalloc_live(), 0);
		assert_int_equal(failalloc_wrong(), 0);
	}
	assert_true(n > 20);
}

static int make_file(void **state)
{
	static char text[FILE_BYTES];
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)(i * 7 + i / 251);
	strcpy(file_path, "/tmp/tako_h3_test.XXXXXX");
	fd = mkstemp(file_path);
	if (fd < 0 || write(fd, text, sizeof text) != FILE_BYTES)
		return -1;
	return close(fd);
}

static int drop_file(void **state)
{
	(void)state;
	return unlink(file_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_shrinks),
		cmocka_unit_test(test_pieces_and_trailers),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_body_waits_for_its_reader),
		cmocka_unit_test(test_writer_waits_for_the_peer),
		cmocka_unit_test(test_lent_until_acknowledged),
		cmocka_unit_test(test_handler_fails_late),
		cmocka_unit_test(test_peer_cancels),
		cmocka_unit_test(test_peer_resets_its_body),
		cmocka_unit_test(test_answered_early),
		cmocka_unit_test(test_never_ended),
		cmocka_unit_test(test_never_acknowledged),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_grace_of_a_drain),
#ifdef TAKO__WITH_WS
		cmocka_unit_test(test_websocket),
#endif
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_each_allocation_fails),
	};

	for (size_t i = 0; i < sizeof body; i++)
		body[i] = (char)('a' + i % 23);
	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, make_file, drop_file);
}

/* SPDX-License-Identifier: MIT
 *
 * Every allocation fails once: during set-up, and during each kind of request.  Whatever fails,
 * nothing crashes or leaks, callbacks run as often as they were promised to, and the client gets
 * a whole answer -- the right one or an error -- or sees its connection closed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { REPLY_MS = 5000, PIECE = 20000, PIECES = 4 };

/* What was promised to run, and what ran. */
static struct {
	int end_due, end_ran;
	int done_due, done_ran;
	int after_due, after_ran;
	int post_due, post_ran;
	int work_due, work_ran;
	int offload_due, offload_ran;
	int drain_due, drain_ran;
} calls;

static char piece[PIECE];
static int file_fd = -1;
static int log_fd = -1;
static struct peer peer;
static struct reply answer;

/* ---- Promises ------------------------------------------------------------------------- */

static void on_end(tako_req *req, int err, void *arg)
{
	(void)req;
	(void)err;
	(void)arg;
	calls.end_ran++;
}

static int promise_end(tako_res *res)
{
	int rc = tako_res_on_end(res, on_end, NULL);

	calls.end_due += rc == 0;
	return rc;
}

static void on_done(void *arg)
{
	(void)arg;
	calls.done_ran++;
}

/* ---- Handlers --------------------------------------------------------------------------- */

static int small(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	return tako_res_text(res, 200, "small");
}

static int count_pair(tako_str name, tako_str value, void *arg)
{
	(void)name;
	(void)value;
	(*(int *)arg)++;
	return 0;
}

/* Everything that decodes or allocates on demand. */
static int fields(tako_req *req, tako_res *res, void *arg)
{
	tako_conn_info info = {.size = sizeof info};
	char name[32];
	int pairs = 0;
	int rc = promise_end(res);

	(void)arg;
	for (int i = 0; rc == 0 && i < 40; i++) {
		snprintf(name, sizeof name, "X-Field-%d", i);
		rc = tako_res_header(res, name,
		                     "a value of some length, to use up the first arena");
	}
	if (rc == 0)
		rc = tako_res_set_header(res, "X-Field-3", "another");
	if (rc == 0)
		rc = tako_req_set(req, &piece, piece);
	if (rc == 0)
		rc = tako_req_conn_info(req, &info);
	if (rc == 0)
		rc = tako_req_query_each(req, count_pair, &pairs);
	if (rc == 0 && (!tako_req_alloc(req, 9000) || !tako_req_header_all(req, "X-Many").p ||
	                !tako_req_query_value(req, "a").p || pairs != 2))
		rc = TAKO_ENOMEM;
	return rc < 0 ? rc
	              : tako_res_text(res, 200, "fields %.*s", TAKO_FMT(tako_req_param(req, "id")));
}

static int echo_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	int64_t rc = tako_res_write(res, data, NULL, NULL);

	(void)arg;
	if (rc >= 0 && end && tako_req_trailer(req, "X-Sum").p)
		rc = tako_res_trailer(res, "X-Sum", "1");
	if (rc >= 0 && end)
		rc = tako_res_end(res);
	return rc < 0 ? (int)rc : 0;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	int rc = promise_end(res);

	return rc < 0 ? rc : tako_req_on_body(req, echo_body, arg);
}

static int whole_body(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	(void)req;
	(void)end;
	(void)arg;
	return tako_res_send(res, 200, "text/plain", data);
}

static int whole(tako_req *req, tako_res *res, void *arg)
{
	int rc = promise_end(res);

	return rc < 0 ? rc : tako_req_whole_body(req, whole_body, arg);
}

static int form_done(tako_req *req, tako_res *res, const tako_form *form, void *arg)
{
	tako_str v = tako_form_value(form, "b");

	(void)req;
	(void)arg;
	return v.p ? tako_res_send(res, 200, NULL, v) : TAKO_ENOMEM;
}

static int form(tako_req *req, tako_res *res, void *arg)
{
	int rc = promise_end(res);

	return rc < 0 ? rc : tako_req_form(req, form_done, arg);
}

static void posted(tako_res *res, void *arg)
{
	tako_deferred *d = arg;

	calls.post_ran++;
	(void)tako_res_text(res, 200, "posted");
	tako_deferred_done(d);
}

static int defer(tako_req *req, tako_res *res, void *arg)
{
	tako_deferred *d;
	int rc = promise_end(res);

	(void)req;
	(void)arg;
	if (rc < 0)
		return rc;
	d = tako_res_defer(res);
	if (!d)
		return TAKO_ENOMEM;
	rc = tako_deferred_post(d, posted, d);
	if (rc == 0)
		calls.post_due++;
	else
		tako_deferred_done(d);
	return rc;
}

static void later(tako_res *res, void *arg)
{
	(void)arg;
	calls.after_ran++;
	(void)tako_res_text(res, 200, "later");
}

static int after(tako_req *req, tako_res *res, void *arg)
{
	int rc = promise_end(res);

	(void)req;
	if (rc == 0)
		rc = tako_res_after(res, 1, later, arg);
	calls.after_due += rc == 0;
	return rc;
}

static void work(void *arg)
{
	(void)arg;
	calls.work_ran++;
}

static void worked(tako_res *res, void *arg)
{
	(void)arg;
	calls.offload_ran++;
	(void)tako_res_text(res, 200, "worked");
}

static int offload(tako_req *req, tako_res *res, void *arg)
{
	int rc = promise_end(res);

	(void)req;
	if (rc == 0)
		rc = tako_offload(res, work, worked, arg);
	calls.work_due += rc == 0;
	calls.offload_due += rc == 0;
	return rc;
}

/* Lent and copied pieces; `arg` non-NULL: by somebody who looks at no return value. */
static int stream(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = promise_end(res);

	(void)req;
	for (int i = 0; (arg || rc >= 0) && i < PIECES; i++) {
		bool lent = i % 2;

		calls.done_due += lent;
		rc = tako_res_write(res, (tako_str){piece, PIECE}, lent ? on_done : NULL, NULL);
	}
	if (arg || rc >= 0)
		rc = tako_res_end(res);
	return arg || rc >= 0 ? 0 : (int)rc;
}

static int announced(tako_req *req, tako_res *res, void *arg)
{
	(void)tako_res_length(res, PIECES * PIECE);
	return stream(req, res, arg);
}

static void drained(tako_res *res, void *arg)
{
	int64_t rc;

	(void)arg;
	calls.drain_ran++;
	rc = tako_res_write(res, TAKO_STR("drained"), NULL, NULL);
	if (rc >= 0)
		(void)tako_res_end(res);
	else
		(void)tako_res_fail(res, (int)rc);
}

static int drain(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = tako_res_write(res, TAKO_STR("then "), NULL, NULL);

	(void)req;
	if (rc >= 0)
		rc = tako_res_on_drain(res, drained, arg);
	calls.drain_due += rc >= 0;
	return rc < 0 ? (int)rc : 0;
}

static int trailers(tako_req *req, tako_res *res, void *arg)
{
	int64_t rc = promise_end(res);
	char name[16];

	(void)req;
	(void)arg;
	if (rc == 0)
		rc = tako_res_write(res, TAKO_STR("body"), NULL, NULL);
	for (int i = 0; rc >= 0 && i < 20; i++) {
		snprintf(name, sizeof name, "X-T-%d", i);
		rc = tako_res_trailer(res, name, "trailer value");
	}
	if (rc >= 0)
		rc = tako_res_end(res);
	return rc < 0 ? (int)rc : 0;
}

static int lent(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	calls.done_due++;
	return tako_res_send_ref(res, 200, NULL, (tako_str){piece, PIECE}, on_done, NULL);
}

static int file(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	return tako_res_send_fd(res, dup(file_fd), 0, PIECE);
}

static int informed(tako_req *req, tako_res *res, void *arg)
{
	int rc = tako_res_header(res, "Link", "</a.css>");

	(void)req;
	(void)arg;
	if (rc == 0)
		rc = tako_res_inform(res, 103);
	return rc < 0 ? rc : tako_res_text(res, 200, "informed");
}

/* A head that fits into no output block, behind an interim one that does not either. */
static int long_head(tako_req *req, tako_res *res, void *arg)
{
	static char value[6000];
	int rc = 0;

	(void)req;
	(void)arg;
	memset(value, 'v', sizeof value - 1);
	for (int i = 0; rc == 0 && i < 4; i++)
		rc = tako_res_header(res, "X-Long", value);
	if (rc == 0)
		rc = tako_res_inform(res, 103);
	return rc < 0 ? rc : tako_res_text(res, 200, "long head");
}

static int failing(tako_req *req, tako_res *res, void *arg)
{
	int rc = promise_end(res);

	(void)req;
	(void)arg;
	return rc < 0 ? rc : TAKO_ENOENT;
}

static int on_error(tako_req *req, tako_res *res, int status, void *arg)
{
	(void)req;
	(void)arg;
	if (status != 404)
		return TAKO_NEXT;
	if (tako_res_header(res, "X-Error", "seen") < 0)
		return TAKO_NEXT;
	return tako_res_text(res, 404, "not here");
}

static int around(tako_req *req, tako_res *res, tako_next *next, void *arg)
{
	(void)req;
	(void)arg;
	(void)res;
	return tako_next_run(next);
}

static void after_hook(tako_req *req, tako_res *res, void *arg)
{
	(void)req;
	(void)arg;
	(void)tako_res_header(res, "X-After", "1");
}

static tako_router *build(void)
{
	tako_router *r = tako_router_new();
	tako_router *g = tako_group(r, "/group");

	tako_around(r, TAKO_PHASE_EARLY, around, NULL);
	tako_before(r, TAKO_PHASE_EARLY, tako_request_id, NULL);
	tako_after(r, TAKO_PHASE_RESPONSE, after_hook, NULL);
	tako_on_error(r, tako_problem_json, NULL);
	tako_on_error(g, on_error, NULL);
	tako_timeout(g, 60000);
	tako_redirect_slash(r, true);
	tako_get(r, "/small", small, NULL);
	tako_get(r, "/fields/{id}", fields, NULL);
	tako_post(r, "/echo", echo, NULL);
	tako_post(r, "/whole", whole, NULL);
	tako_post(r, "/form", form, NULL);
	tako_get(r, "/defer", defer, NULL);
	tako_get(r, "/after", after, NULL);
	tako_get(r, "/offload", offload, NULL);
	tako_get(r, "/stream", stream, NULL);
	tako_get(r, "/careless", stream, r);
	tako_get(r, "/announced", announced, NULL);
	tako_get(r, "/announced-careless", announced, r);
	tako_get(r, "/drain", drain, NULL);
	tako_get(r, "/trailers", trailers, NULL);
	tako_get(r, "/lent", lent, NULL);
	tako_get(r, "/file", file, NULL);
	tako_get(r, "/informed", informed, NULL);
	tako_get(r, "/long-head", long_head, NULL);
	tako_get(g, "/failing", failing, NULL);
	tako_get(r, "/slash/", small, NULL);
	return r;
}

/* ---- Set-up -------------------------------------------------------------------------------- */

static void check_clean(const char *what, size_t nth)
{
	if (failalloc_live() || failalloc_wrong())
		fail_msg("%s, allocation %zu: %zu blocks left, %zu wrong", what, nth,
		         failalloc_live(), failalloc_wrong());
}

static int set_up(struct stepped *s)
{
	const tako_server_config *cfg = TAKO_SERVER_CONFIG(.worker_count = 1,
	                                                   .max_connections_per_ip = 100,
	                                                   .access_log_fd = (uint32_t)log_fd);
	tako_router *r = build();
	int rc = stepped_start(s, r, cfg, NULL);

	tako_router_free(r);
	return rc;
}

static size_t fail_set_up(bool for_good)
{
	size_t nth;

	for (nth = 1;; nth++) {
		struct stepped s;
		size_t failed;
		int rc;

		if (for_good)
			failalloc_arm_from(nth);
		else
			failalloc_arm(nth);
		rc = set_up(&s);
		failed = failalloc_disarm();
		if (failed)
			assert_int_equal(rc, TAKO_ENOMEM);
		assert_string_not_equal(rc < 0 ? tako_last_error() : "-", "");
		stepped_stop(&s);
		check_clean("set-up", nth);
		if (!failed) {
			assert_int_equal(rc, 0);
			return nth;
		}
	}
}

static void test_set_up(void **state)
{
	(void)state;
	/* Router, table, server, worker, loop and listeners: more than a handful. */
	assert_true(fail_set_up(false) > 20);
	assert_true(fail_set_up(true) > 20);
}

/* ---- Requests --------------------------------------------------------------------------------- */

struct scenario {
	const char *name;
	const char *request; /* NULL: see big_request() */
	int status;
	const char
		*body; /* NULL: PIECES times the piece; "" with 308 and the like: not looked at */
	const char *second; /* sent after a turn: the head comes in two deliveries */
	size_t pieces;
};

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define H3 "X-Many: one\r\nX-Many: two\r\nX-Padding: 0123456789012345678901234567890123456789\r\n"

static const struct scenario scenarios[] = {
	{"small", GET("/small"), 200, "small", NULL, 0},
	{"fields",
         "GET /fields/%41b?a=1+2&b=3 HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n" H3 H3 H3 H3 H3 H3 H3 H3
                 H3 "\r\n",
         200, "fields Ab", NULL, 0},
	{"split head", "GET /fields/x?a=1+2&b=3 HTTP/1.1\r\nHost: a\r\nX-M", 200, "fields x",
         "any: y\r\n\r\n", 0},
	{"chunked echo",
         "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n",
         200, "hello world", NULL, 0},
	{"expecting echo",
         "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", 200,
         "ok", "ok", 0},
	{"whole body", NULL, 200, NULL, NULL, 1},
	{"form",
         "POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
         "Content-Length: 11\r\n\r\na=1&b=%41+c",
         200, "A c", NULL, 0},
	{"deferral", GET("/defer"), 200, "posted", NULL, 0},
	{"timer", GET("/after"), 200, "later", NULL, 0},
	{"offload", GET("/offload"), 200, "worked", NULL, 0},
	{"stream", GET("/stream"), 200, NULL, NULL, PIECES},
	{"careless stream", GET("/careless"), 200, NULL, NULL, PIECES},
	{"announced stream", GET("/announced"), 200, NULL, NULL, PIECES},
	{"careless announced stream", GET("/announced-careless"), 200, NULL, NULL, PIECES},
	{"drain", GET("/drain"), 200, "then drained", NULL, 0},
	{"trailers", GET("/trailers"), 200, "body", NULL, 0},
	{"lent body", GET("/lent"), 200, NULL, NULL, 1},
	{"file", GET("/file"), 200, NULL, NULL, 1},
	{"interim", GET("/informed"), 200, "informed", NULL, 0},
	{"long head", GET("/long-head"), 200, "long head", NULL, 0},
	{"error handler", GET("/group/failing"), 404, "not here", NULL, 0},
	{"unknown path", GET("/nowhere"), 404, "", NULL, 0},
	{"wrong method", "DELETE /small HTTP/1.1\r\nHost: a\r\n\r\n", 405, "", NULL, 0},
	{"options", "OPTIONS /small HTTP/1.1\r\nHost: a\r\n\r\n", 204, "", NULL, 0},
	{"slash", GET("/slash?q"), 308, "", NULL, 0},
	{"malformed", "GET /small HTTP/1.1\r\nHost : a\r\n\r\n", 400, "", NULL, 0},
	{"too large head", "GET /small HTTP/9.9\r\nHost: a\r\n\r\n", 505, "", NULL, 0},
};

static const char *big_request(size_t *ret_n)
{
	static char buf[PIECE + 200];
	int n = snprintf(buf, sizeof buf,
	                 "POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", PIECE);

	memcpy(buf + n, piece, PIECE);
	*ret_n = (size_t)n + PIECE;
	return buf;
}

static void check_body(const struct scenario *sc, size_t nth)
{
	size_t pieces = sc->body ? 0 : sc->pieces;

	if (sc->body && sc->body[0] &&
	    (answer.body_n != strlen(sc->body) ||
	     memcmp(answer.body, sc->body, answer.body_n) != 0))
		fail_msg("%s, allocation %zu: body \"%.*s\"", sc->name, nth, (int)answer.body_n,
		         answer.body);
	if (!sc->body && answer.body_n != pieces * PIECE)
		fail_msg("%s, allocation %zu: %zu bytes of body", sc->name, nth, answer.body_n);
	for (size_t i = 0; i < pieces; i++)
		assert_memory_equal(answer.body + i * PIECE, piece, PIECE);
}

/* A whole answer, after which the connection can be used again unless it says otherwise; or a
 * closed connection. */
static void check_answer(const struct scenario *sc, struct stepped *s, size_t nth, size_t failed)
{
	bool whole_answer = peer_reply(&peer, s, &answer, false, REPLY_MS);

	if (!answer.valid && !peer_closed(&peer, s, REPLY_MS))
		fail_msg("%s, allocation %zu: not a response: %.60s", sc->name, nth, peer.data);
	if (!whole_answer) {
		if (!failed || !peer_closed(&peer, s, REPLY_MS))
			fail_msg("%s, allocation %zu (%zu failed): neither an answer nor closed",
			         sc->name, nth, failed);
		return;
	}
	if (answer.status == sc->status)
		check_body(sc, nth);
	else if (!failed || answer.status != 500)
		fail_msg("%s, allocation %zu: status %d", sc->name, nth, answer.status);
	if (answer.close || peer.closed) {
		assert_true(peer_closed(&peer, s, REPLY_MS));
		return;
	}
	peer_drop(&peer, answer.total_n);
	failalloc_disarm();
	assert_true(peer_send(&peer, s, GET("/small"), strlen(GET("/small"))));
	if (!peer_reply(&peer, s, &answer, false, REPLY_MS) || answer.status != 200)
		fail_msg("%s, allocation %zu: no second answer, %.60s", sc->name, nth, peer.data);
}

static void check_calls(const char *what, size_t nth)
{
	const int *v = (const int *)&calls;

	for (size_t i = 0; i < sizeof calls / sizeof(int); i += 2) {
		if (v[i] != v[i + 1])
			fail_msg("%s, allocation %zu: callback %zu is due %d times, ran %d", what,
			         nth, i / 2, v[i], v[i + 1]);
	}
}

static size_t run_scenario(const struct scenario *sc, size_t nth, bool for_good)
{
	size_t n = sc->request ? strlen(sc->request) : 0;
	const char *request = sc->request ? sc->request : big_request(&n);
	struct stepped s;
	size_t failed;

	memset(&calls, 0, sizeof calls);
	assert_int_equal(set_up(&s), 0);
	peer_open(&peer, &s);
	assert_true(peer.fd >= 0);
	if (for_good)
		failalloc_arm_from(nth);
	else
		failalloc_arm(nth);
	assert_true(peer_send(&peer, &s, request, n));
	if (sc->second) {
		for (int i = 0; i < 4; i++)
			stepped_turn(&s, 1);
		peer_read(&peer);
		/* Fails where the connection is closed already. */
		(void)peer_send(&peer, &s, sc->second, strlen(sc->second));
	}
	(void)peer_reply(&peer, &s, &answer, false, REPLY_MS);
	failed = failalloc_disarm();
	check_answer(sc, &s, nth, failed);
	peer_close(&peer);
	assert_int_not_equal(stepped_stop(&s), TAKO_ESYS);
	check_calls(sc->name, nth);
	check_clean(sc->name, nth);
	return failed;
}

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
		size_t nth = 1;

		while (run_scenario(&scenarios[i], nth, false))
			nth++;
		/* At least a connection, an exchange and an output block. */
		if (nth < 4)
			fail_msg("%s: only %zu allocations", scenarios[i].name, nth);
	}
}

static void test_requests_without_recovery(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
		size_t nth = 1;

		while (run_scenario(&scenarios[i], nth, true))
			nth++;
		assert_true(nth >= 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set_up),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_requests_without_recovery),
	};

	if (failalloc_install() < 0)
		return 1;
	for (size_t i = 0; i < sizeof piece; i++)
		piece[i] = (char)('a' + i % 26);
	file_fd = memfd_create("piece", MFD_CLOEXEC);
	if (file_fd < 0 || write(file_fd, piece, sizeof piece) != (ssize_t)sizeof piece ||
	    (log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC)) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

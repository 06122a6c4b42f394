/* SPDX-License-Identifier: MIT
 *
 * A client on the test's own thread: settings from callers of other versions, the end of a fetch that its worker
 * never began or has left behind, calls at the wrong time, and every allocation failing once.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <tako/tako.h>

#include "core/base.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

static struct {
	tako_client *client;
	char url[128];
	unsigned started;
	unsigned ended;
	int err;
	int status;
	char body[64];
	char why[128];
} seen;

/* What the client speaks. */
static bool http2;

/* ---- What is asked, and how it ends ------------------------------------------------------- */

static void note(tako_fetch *f, int err)
{
	tako_str body = tako_fetch_body(f);

	seen.ended++;
	seen.err = err;
	seen.status = tako_fetch_status(f);
	snprintf(seen.body, sizeof seen.body, "%.*s", (int)body.n, body.p ? body.p : "");
	snprintf(seen.why, sizeof seen.why, "%s", tako_fetch_why(f));
}

static int on_end(tako_fetch *f, int err, void *arg)
{
	(void)arg;
	note(f, err);
	return 0;
}

static int answer(tako_fetch *f, int err, void *arg)
{
	tako_res *res = tako_fetch_res(f);
	tako_str body = tako_fetch_body(f);

	(void)arg;
	note(f, err);
	if (err < 0)
		return tako_res_error(res, 502);
	return tako_res_send(res, tako_fetch_status(f), "text/plain", body);
}

/* A stream of six bytes, and its answer. */
static int ask(tako_req *req, tako_res *res, void *arg)
{
	const tako_fetch_field field = {TAKO_STR("X-A"), TAKO_STR("b")};
	tako_fetch *f;
	int rc = tako_fetch_start(&f, seen.client, res,
	                          TAKO_FETCH(.url = seen.url, .fields = &field, .field_count = 1,
	                                     .stream = 1, .stream_bytes = TAKO_OFF64,
	                                     .on_end = answer));

	(void)req, (void)arg;
	if (rc < 0)
		return rc;
	seen.started++;
	if (tako_fetch_write(f, TAKO_STR("abc")) >= 0 && tako_fetch_write(f, TAKO_STR("def")) >= 0)
		(void)!tako_fetch_finish(f);
	else
		tako_fetch_cancel(f);
	return 0;
}

/* A body that is sent again to another origin. */
static int ask_moved(tako_req *req, tako_res *res, void *arg)
{
	char url[140];
	int rc;

	(void)req, (void)arg;
	snprintf(url, sizeof url, "%s/moved", seen.url);
	rc = tako_fetch_start(NULL, seen.client, res,
	                      TAKO_FETCH(.url = url, .body = TAKO_STR("abcdef"), .max_redirects = 1,
	                                 .on_end = answer));
	seen.started += rc == 0;
	return rc;
}

/* The same place by another name, for which nobody has to be asked. */
static int moved(tako_req *req, tako_res *res, void *arg)
{
	char to[160];

	(void)req, (void)arg;
	snprintf(to, sizeof to, "http://[::ffff:127.0.0.1]%s", strrchr(seen.url, ':'));
	return tako_res_redirect(res, 307, to);
}

static int echo_body(tako_req *req, tako_res *res, tako_str body, void *arg)
{
	(void)req, (void)arg;
	(void)!tako_res_write(res, body, NULL, NULL);
	tako_res_trailer(res, "X-Trailer", "t");
	return tako_res_end(res);
}

static int echo_whole(tako_req *req, tako_res *res, tako_str data, bool end, void *arg)
{
	return end ? echo_body(req, res, data, arg) : 0;
}

static int echo(tako_req *req, tako_res *res, void *arg)
{
	(void)res;
	return tako_req_whole_body(req, echo_whole, arg);
}

/* ---- The server that is asked, and asks itself -------------------------------------------------- */

static int start(struct stepped *s)
{
	tako_router *r;
	int rc;

	memset(&seen, 0, sizeof seen);
	rc = tako_client_new(&seen.client,
	                     TAKO_CLIENT_CONFIG(.http2 = http2 ? tako_client_http2() : NULL,
	                                        .http2_prior_knowledge = http2));
	if (rc < 0)
		return rc;
	r = tako_router_new();
	tako_get(r, "/ask", ask, NULL);
	tako_get(r, "/ask-moved", ask_moved, NULL);
	tako_post(r, "/echo/moved", moved, NULL);
	tako_post(r, "/echo", echo, NULL);
	/* Both versions: who asks for /ask speaks the first. */
	rc = stepped_start(s, r, TAKO_SERVER_CONFIG(.worker_count = 1, .drain_timeout_ms = 1000),
	                   http2 ? tako_http() : NULL);
	tako_router_free(r);
	if (rc < 0)
		tako_client_free(seen.client);
	else
		snprintf(seen.url, sizeof seen.url, "http://127.0.0.1:%u/echo", s->port);
	return rc;
}

static void stop(struct stepped *s)
{
	stepped_stop(s);
	tako_client_free(seen.client);
}

static bool get(struct stepped *s, struct peer *p, const char *path, struct reply *r)
{
	char head[64];
	int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);

	return peer_send(p, s, head, (size_t)n) && peer_reply(p, s, r, false, 2000);
}

/* Twice, so that the second finds what the first has left.  True: both were answered well. */
static bool ask_twice(struct stepped *s, const char *path)
{
	static struct peer p;
	static struct reply r;
	unsigned good = 0;

	peer_open(&p, s);
	for (int i = 0; i < 2 && get(s, &p, path, &r); i++) {
		good += r.status == 200 && r.body_n == 6 && memcmp(r.body, "abcdef", 6) == 0;
		peer_drop(&p, r.total_n);
	}
	peer_close(&p);
	return good == 2;
}

static void fail_each(const char *path)
{
	for (size_t n = 1;; n++) {
		struct stepped s;
		bool whole = false;
		int rc;

		failalloc_arm(n);
		rc = start(&s);
		if (rc == 0) {
			whole = ask_twice(&s, path);
			stop(&s);
			assert_int_equal(seen.ended, seen.started);
		} else {
			assert_int_equal(rc, TAKO_ENOMEM);
		}
		if (!failalloc_disarm()) {
			assert_true(whole);
			assert_true(n > 30);
			break;
		}
		assert_int_equal(failalloc_live(), 0);
	}
	assert_int_equal(failalloc_wrong(), 0);
}

static void test_no_memory(void **state)
{
	(void)state;
	fail_each("/ask");
}

static void test_no_memory_moved(void **state)
{
	(void)state;
	fail_each("/ask-moved");
}

/* The server that it asks is HTTP/2's, too: all of both. */
static void test_no_memory_http2(void **state)
{
	(void)state;
	http2 = true;
	fail_each("/ask");
	fail_each("/ask-moved");
	http2 = false;
}

/* ---- From elsewhere --------------------------------------------------------------------------- */

static void await_end(struct stepped *s, unsigned ends)
{
	for (int i = 0; i < 2000 && seen.ended < ends; i++)
		stepped_turn(s, 1);
	assert_int_equal(seen.ended, ends);
}

static void test_posted(void **state)
{
	struct stepped s;

	(void)state;
	assert_int_equal(start(&s), 0);
	assert_int_equal(tako_fetch_post(seen.client, s.srv,
	                                 TAKO_FETCH(.url = seen.url, .body = TAKO_STR("x"),
	                                            .on_end = on_end)),
	                 0);
	assert_int_equal(seen.ended, 0);
	await_end(&s, 1);
	assert_int_equal(seen.err, 0);
	assert_int_equal(seen.status, 200);
	assert_string_equal(seen.body, "x");
	assert_string_equal(seen.why, "");
	stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

/* Its worker has ended, or never began: that is an end, too. */
static void test_posted_too_late(void **state)
{
	tako_router *r = tako_router_new();
	tako_server *srv = NULL;

	(void)state;
	memset(&seen, 0, sizeof seen);
	assert_int_equal(tako_client_new(&seen.client, NULL), 0);
	assert_int_equal(tako_server_new(&srv, r, NULL), 0);
	tako_router_free(r);
	assert_int_equal(
		tako_fetch_post(seen.client, srv, TAKO_FETCH(.url = "http://a/", .on_end = on_end)),
		0);
	tako_client_free(seen.client);
	assert_int_equal(seen.ended, 0);
	tako_server_free(srv);
	assert_int_equal(seen.ended, 1);
	assert_int_equal(seen.err, TAKO_ECLOSED);
	assert_string_equal(seen.why, "the server has stopped");
	assert_int_equal(failalloc_live(), 0);
}

/* One that waits when the server is cut off. */
static void test_cut(void **state)
{
	static struct peer quiet;
	struct stepped s;

	(void)state;
	assert_int_equal(start(&s), 0);
	assert_int_equal(tako_fetch_post(seen.client, s.srv,
	                                 TAKO_FETCH(.url = seen.url, .stream = 1, .stream_bytes = 5,
	                                            .on_end = on_end)),
	                 0);
	for (int i = 0; i < 50; i++)
		stepped_turn(&s, 1);
	peer_open(&quiet, &s);
	assert_int_equal(seen.ended, 0);
	tako_server_stop(s.srv);
	tako_server_stop(s.srv);
	await_end(&s, 1);
	assert_int_equal(seen.err, TAKO_ECLOSED);
	peer_close(&quiet);
	stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

/* ---- Calls at the wrong time, and wrong ones ------------------------------------------------------ */

static int misuse(tako_req *req, tako_res *res, void *arg)
{
	tako_fetch *f;
	tako_fetch *g;

	(void)req, (void)arg;
	assert_int_equal(tako_fetch_start(&f, seen.client, res,
	                                  TAKO_FETCH(.url = seen.url, .stream = 1,
	                                             .stream_bytes = 4, .on_end = answer)),
	                 0);
	assert_int_equal(tako_fetch_status(f), 0);
	assert_int_equal(tako_fetch_version(f), 0);
	assert_null(tako_fetch_header(f, "a").p);
	assert_null(tako_fetch_body(f).p);
	assert_int_equal(tako_fetch_content_length(f), TAKO_OFF64);
	assert_int_equal(tako_fetch_write(f, TAKO_STR("abcde")), TAKO_EINVAL);
	assert_int_equal(tako_fetch_write(f, TAKO_STR("abc")), 3);
	assert_int_equal(tako_fetch_finish(f), TAKO_EINVAL);
	assert_int_equal(tako_fetch_write(f, TAKO_STR("d")), 4);
	assert_int_equal(tako_fetch_unsent(f), 4);
	assert_int_equal(tako_fetch_finish(f), 0);
	assert_int_equal(tako_fetch_finish(f), TAKO_ESTATE);
	assert_int_equal(tako_fetch_write(f, TAKO_STR("e")), TAKO_ESTATE);
	/* A second one, which is given up before it has begun. */
	assert_int_equal(tako_fetch_start(&g, seen.client, res,
	                                  TAKO_FETCH(.url = seen.url, .stream = 1,
	                                             .stream_bytes = TAKO_OFF64, .on_end = on_end)),
	                 0);
	tako_fetch_cancel(g);
	tako_fetch_cancel(g);
	assert_int_equal(tako_fetch_write(g, TAKO_STR("x")), TAKO_ECLOSED);
	assert_int_equal(tako_fetch_finish(g), TAKO_ECLOSED);
	tako_fetch_pause(g);
	tako_fetch_resume(g);
	assert_int_equal(seen.ended, 0);
	return 0;
}

static void test_misuse(void **state)
{
	static struct peer p;
	static struct reply r;
	struct stepped s;
	tako_router *router = tako_router_new();

	(void)state;
	memset(&seen, 0, sizeof seen);
	assert_int_equal(tako_client_new(&seen.client, NULL), 0);
	tako_get(router, "/ask", misuse, NULL);
	tako_post(router, "/echo", echo, NULL);
	assert_int_equal(stepped_start(&s, router, TAKO_SERVER_CONFIG(.worker_count = 1), NULL), 0);
	tako_router_free(router);
	snprintf(seen.url, sizeof seen.url, "http://127.0.0.1:%u/echo", s.port);
	peer_open(&p, &s);
	assert_true(get(&s, &p, "/ask", &r));
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body_n, 4);
	assert_int_equal(seen.ended, 2);
	peer_close(&p);
	stop(&s);
	assert_int_equal(failalloc_live(), 0);
}

#define REFUSED(err, ...)                                                                          \
	assert_int_equal(tako_fetch_post(client, srv, TAKO_FETCH(__VA_ARGS__)), err)

static void test_refused(void **state)
{
	tako_router *r = tako_router_new();
	tako_server *srv = NULL;
	tako_client *client = NULL;

	(void)state;
	assert_int_equal(tako_client_new(&client, NULL), 0);
	assert_int_equal(tako_server_new(&srv, r, NULL), 0);
	tako_router_free(r);
	REFUSED(TAKO_EINVAL, .method = "GET");
	REFUSED(TAKO_EINVAL, .url = "http://a/", .stream = 1, .body = TAKO_STR("x"));
	REFUSED(TAKO_EINVAL, .url = "http://a/", .body = (tako_str){NULL, 1});
	REFUSED(TAKO_EINVAL, .url = "http://a/", .stream_bytes = 1);
	REFUSED(TAKO_EINVAL, .url = "http://a/", .field_count = 1);
	REFUSED(TAKO_EINVAL, .url = "http://a/", .field_count = 101);
	REFUSED(TAKO_EINVAL, .url = "http://a/", .stream = 2);
	REFUSED(TAKO_EINVAL, .url = "http://a/", .max_redirects = 21);
	REFUSED(TAKO_EINVAL, .url = "http://a/", .redirect_to_http = 1);
	REFUSED(TAKO_EINVAL, .url = "http://a/", .max_redirects = 1, .redirect_to_http = 2);
	REFUSED(TAKO_EINVAL, .url = "http://a/", .total_timeout_ms = TAKO_OFF - 1);
	REFUSED(TAKO_EINVAL, .url = "http://a/", .connect = "a");
	REFUSED(TAKO_ENOTSUP, .url = "https://a/");
	REFUSED(TAKO_ENOTSUP, .url = "http://a/", .method = "CONNECT");
	assert_int_equal(tako_fetch_post(client, NULL, TAKO_FETCH(.url = "http://a/")),
	                 TAKO_EINVAL);
	assert_int_equal(tako_fetch_post(NULL, srv, TAKO_FETCH(.url = "http://a/")), TAKO_EINVAL);
	assert_int_equal(tako_fetch_start(NULL, client, NULL, TAKO_FETCH(.url = "http://a/")),
	                 TAKO_ESTATE);
	tako_server_free(srv);
	tako_client_free(client);
	assert_int_equal(failalloc_live(), 0);
}

static void test_settings(void **state)
{
	struct {
		tako_client_config c;
		uint64_t more;
	} newer = {.c = {.size = sizeof newer}, .more = 1};
	const tako_client_config bad[] = {
		{.size = sizeof(tako_client_config), .max_connections = TAKO_OFF},
		{.size = sizeof(tako_client_config), .head_timeout_ms = TAKO_OFF},
		{.size = sizeof(tako_client_config), .max_header_bytes = 127},
		{.size = sizeof(tako_client_config), .max_retry_count = 11},
		{.size = sizeof(tako_client_config), .write_high_bytes = UINT64_MAX},
		{.size = sizeof(tako_client_config), .total_timeout_ms = TAKO_OFF - 1},
		{.size = sizeof(tako_client_config), .user_agent = "a\r\nb: c"},
		{.size = sizeof(tako_client_config), .reserved = 1},
		{.size = sizeof(tako_client_config), .http2_prior_knowledge = 1},
		{.size = sizeof(tako_client_config), .http2_max_stream_count = 1},
		{.size = sizeof(tako_client_config), .http2_stream_window_bytes = 65535},
		{.size = sizeof(tako_client_config), .http2_connection_window_bytes = 65535},
		/* Without TLS nobody could choose it. */
		{.size = sizeof(tako_client_config), .http2 = tako_client_http2()},
		{.size = sizeof(tako_client_config),
	         .http2 = tako_client_http2(),
	         .http2_prior_knowledge = 2},
		{.size = sizeof(tako_client_config),
	         .http2 = tako_client_http2(),
	         .http2_prior_knowledge = 1,
	         .http2_max_stream_count = 10001},
		{.size = sizeof(tako_client_config),
	         .http2 = tako_client_http2(),
	         .http2_prior_knowledge = 1,
	         .http2_stream_window_bytes = 1023},
		{.size = sizeof(tako_client_config),
	         .http2 = tako_client_http2(),
	         .http2_prior_knowledge = 1,
	         .http2_connection_window_bytes = 65534},
		{.size = sizeof(size_t)},
	};
	tako_client *client = NULL;

	(void)state;
	assert_int_equal(tako_client_new(&client, &newer.c), TAKO_ENOTSUP);
	for (size_t i = 0; i < TAKO__COUNT(bad); i++) {
		assert_int_equal(tako_client_new(&client, &bad[i]), TAKO_EINVAL);
		assert_true(tako_last_error()[0]);
	}
	assert_null(client);
	newer.more = 0;
	assert_int_equal(tako_client_new(&client, &newer.c), 0);
	tako_client_free(client);
	tako_client_free(NULL);
	assert_int_equal(failalloc_live(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_no_memory_moved),
		cmocka_unit_test(test_no_memory_http2), cmocka_unit_test(test_posted),
		cmocka_unit_test(test_posted_too_late), cmocka_unit_test(test_cut),
		cmocka_unit_test(test_misuse),          cmocka_unit_test(test_refused),
		cmocka_unit_test(test_settings),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

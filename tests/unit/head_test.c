/* SPDX-License-Identifier: MIT
 *
 * A head that is lent: nobody copies it for a handler that does not look, and whatever a handler was shown
 * is still there when the bytes that it was received in have become somebody else's.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <tako/forwarded.h>

#include "core/head.h"
#include "unit/failalloc.h"
#include "unit/stepped.h"

enum { WAIT_MS = 20000, VIEWS_MAX = 4 };

/* What is asked of the request, while its handler runs, and what it must be then and later. */
typedef void look_fn(tako_req *req, tako_str *to);

static struct stepped server;
static struct peer asker;
static struct peer other;
static struct reply answer;
static tako_deferred *deferral;
static tako_str views[VIEWS_MAX];
static bool lent;
static bool later;
static unsigned checked;
static int stepped_rc;

static void method(tako_req *req, tako_str *to)
{
	to[0] = tako_req_method(req);
}

static void path(tako_req *req, tako_str *to)
{
	to[0] = tako_req_path(req);
}

static void raw_path(tako_req *req, tako_str *to)
{
	to[0] = tako_req_raw_path(req);
}

static void target(tako_req *req, tako_str *to)
{
	to[0] = tako_req_target(req);
}

static void query(tako_req *req, tako_str *to)
{
	to[0] = tako_req_query(req);
}

static void host(tako_req *req, tako_str *to)
{
	to[0] = tako_req_host(req);
}

static void header(tako_req *req, tako_str *to)
{
	to[0] = tako_req_header(req, "x-word");
}

static void header_all(tako_req *req, tako_str *to)
{
	to[0] = tako_req_header_all(req, "X-Word");
}

static void header_at(tako_req *req, tako_str *to)
{
	if (!tako_req_header_at(req, 1, &to[0], &to[1]))
		to[0] = (tako_str){NULL, 0};
}

static void param(tako_req *req, tako_str *to)
{
	to[0] = tako_req_param(req, "name");
}

static void query_value(tako_req *req, tako_str *to)
{
	to[0] = tako_req_query_value(req, "a");
}

static int one_pair(tako_str name, tako_str value, void *arg)
{
	tako_str *to = arg;

	to[0] = name;
	to[1] = value;
	return 0;
}

static void query_each(tako_req *req, tako_str *to)
{
	tako_req_query_each(req, one_pair, to);
}

static void cookie(tako_req *req, tako_str *to)
{
	to[0] = tako_req_cookie(req, "crumb");
}

static void client(tako_req *req, tako_str *to)
{
	tako_client_info c = {.size = sizeof c};

	if (tako_req_client(req, &c) == 0)
		to[0] = c.host;
}

static const struct look {
	look_fn *fn;
	const char *want[VIEWS_MAX];
} looks[] = {
	{method, {"GET"}},
	{path, {"/look/octopus"}},
	{raw_path, {"/look/octopus"}},
	{target, {"/look/octopus?a=arms"}},
	{query, {"a=arms"}},
	{host, {"deep.example"}},
	{header, {"first"}},
	{header_all, {"first, second"}},
	{header_at, {"X-Word", "first"}},
	{param, {"octopus"}},
	{query_value, {"arms"}},
	{query_each, {"a", "arms"}},
	{cookie, {"bread"}},
	{client, {"deep.example"}},
};

static const struct look *look;

static void check(const struct look *l)
{
	for (int i = 0; i < VIEWS_MAX && l->want[i]; i++) {
		assert_int_equal(views[i].n, strlen(l->want[i]));
		assert_memory_equal(views[i].p, l->want[i], views[i].n);
	}
	checked++;
}

/* Once the bytes are somebody else's. */
static void look_again(tako_res *res, void *arg)
{
	tako_req *req = (tako_req *)res;

	(void)arg;
	if (!later)
		check(look);
	for (size_t i = 0; i < TAKO__COUNT(looks); i++) {
		memset(views, 0, sizeof views);
		looks[i].fn(req, views);
		check(&looks[i]);
	}
	assert_int_equal(tako_res_text(res, 200, "ok"), 0);
}

static int looking(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	lent = tako__x(req)->lent_room;
	memset(views, 0, sizeof views);
	if (!later) {
		look->fn(req, views);
		check(look);
	}
	/* A timer, since to defer it is to hand it to other threads, and copies it. */
	if (later)
		return tako_res_after(res, 1, look_again, NULL);
	deferral = tako_res_defer(res);
	return deferral ? 0 : TAKO_ENOMEM;
}

static int plain(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	lent = tako__x(req)->lent_room;
	return tako_res_text(res, 200, "plain");
}

static const char another[] = "GET /zzzzzzzzzzzzzzzzzzzz HTTP/1.1\r\nHost: b\r\n\r\n";

/* A turn inside a turn would receive into what is lent, and parse over its fields. */
static int stepping(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	lent = tako__x(req)->lent_room;
	assert_true(peer_send(&other, &server, another, sizeof another - 1));
	stepped_rc = tako_server_step(server.srv, WAIT_MS);
	return tako_res_text(res, 200, "%.*s", TAKO_FMT(tako_req_raw_path(req)));
}

/* Heads whose views are not all what they usually are: constants, empty, none, or of a normalised path. */
static const struct odd {
	const char *text;
	/* Method, target, raw path, path, query, host, X-Last. */
	const char *want[7];
} odds[] = {
	{"GET http://a.example HTTP/1.1\r\nHost: b\r\n\r\n",
         {"GET", "http://a.example", "/", "/", NULL, "a.example", NULL}},
	{"OPTIONS http://a.example HTTP/1.1\r\nHost: b\r\nX-Last:\r\n\r\n",
         {"OPTIONS", "http://a.example", "*", "*", NULL, "a.example", ""}},
	{"GET http://a.example?q HTTP/1.1\r\nHost:\r\nX-Last: z\r\n\r\n",
         {"GET", "http://a.example?q", "/", "/", "q", "a.example", "z"}},
	{"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
         {"CONNECT", "a.example:80", "", "", NULL, "a.example:80", NULL}},
	{"GET /odd/../%6fdd/x%2fy? HTTP/1.0\r\n\r\n",
         {"GET", "/odd/../%6fdd/x%2fy?", "/odd/../%6fdd/x%2fy", "/odd/x%2Fy", "", NULL, NULL}},
};

static const struct odd *odd;

static void check_odd(tako_req *req)
{
	const tako_str got[] = {
		tako_req_method(req),
		tako_req_target(req),
		tako_req_raw_path(req),
		tako_req_path(req),
		tako_req_query(req),
		tako_req_host(req),
		tako_req_header(req, "x-last"),
	};

	for (size_t i = 0; i < TAKO__COUNT(got); i++) {
		tako_str want = tako_str_z(odd->want[i]);

		assert_int_equal(got[i].p == NULL, want.p == NULL);
		assert_int_equal(got[i].n, want.n);
		assert_memory_equal(got[i].p ? got[i].p : "", want.p ? want.p : "", want.n);
	}
	checked++;
}

static void odd_later(tako_res *res, void *arg)
{
	(void)arg;
	check_odd((tako_req *)res);
	assert_int_equal(tako_res_text(res, 200, "odd"), 0);
}

static void odd_end(tako_req *req, int err, void *arg)
{
	(void)arg;
	assert_int_equal(err, 0);
	check_odd(req);
}

/* In front of every route, as not all of them would have one. */
static int look_at_odd(tako_req *req, tako_res *res, void *arg)
{
	(void)arg;
	if (!odd)
		return TAKO_NEXT;
	lent = tako__x(req)->lent_room;
	if (later)
		return tako_res_after(res, 1, odd_later, NULL);
	assert_int_equal(tako_res_on_end(res, odd_end, NULL), 0);
	return tako_res_text(res, 200, "odd");
}

static int start(const tako_runtime *runtime)
{
	tako_router *r = tako_router_new();
	int rc;

	tako_before(r, TAKO_PHASE_EARLY, look_at_odd, NULL);
	tako_get(r, "/look/{name}", looking, NULL);
	tako_get(r, "/step", stepping, NULL);
	tako_get(r, "/{*rest}", plain, NULL);
	tako_post(r, "/{*rest}", plain, NULL);
	rc = stepped_start(&server, r, TAKO_SERVER_CONFIG(.worker_count = 1, .runtime = runtime),
	                   NULL);
	tako_router_free(r);
	return rc;
}

static bool set_up(const tako_runtime *runtime)
{
	checked = 0;
	later = false;
	if (start(runtime) < 0)
		return false;
	peer_open(&asker, &server);
	peer_open(&other, &server);
	return true;
}

static void tear_down(void)
{
	peer_close(&asker);
	peer_close(&other);
	stepped_stop(&server);
	assert_int_equal(failalloc_live(), 0);
	assert_int_equal(failalloc_wrong(), 0);
}

static void ask(struct peer *p, const char *text)
{
	assert_true(peer_send(p, &server, text, strlen(text)));
	assert_true(peer_reply(p, &server, &answer, false, WAIT_MS));
	assert_int_equal(answer.status, 200);
	peer_drop(p, answer.total_n);
}

static const char request[] = "GET /look/octopus?a=arms HTTP/1.1\r\nHost: deep.example\r\n"
			      "X-Word: first\r\nX-Word: second\r\nCookie: crumb=bread\r\n\r\n";

/* As long as that, and different in each byte. */
static void ask_other(void)
{
	char text[sizeof request];

	memset(text, 'z', sizeof text);
	memcpy(text, "POST /", 6);
	memcpy(text + sizeof request / 2, " HTTP/1.1\r\nHost: b\r\nB:", 22);
	memcpy(text + sizeof request - 5, "\r\n\r\n", 5);
	for (int i = 0; i < 20; i++)
		ask(&other, text);
}

static void each_look(const tako_runtime *runtime)
{
	for (look = looks; look < looks + TAKO__COUNT(looks); look++) {
		assert_true(set_up(runtime));
		assert_true(peer_send(&asker, &server, request, sizeof request - 1));
		while (!checked)
			stepped_turn(&server, 5);
		assert_true(lent);
		ask_other();
		assert_int_equal(tako_deferred_post(deferral, look_again, NULL), 0);
		tako_deferred_done(deferral);
		assert_true(peer_reply(&asker, &server, &answer, false, WAIT_MS));
		assert_int_equal(answer.status, 200);
		assert_int_equal(checked, 2 + TAKO__COUNT(looks));
		tear_down();
	}
}

static void test_what_was_shown_stays(void **state)
{
	(void)state;
	each_look(tako_runtime_epoll());
	each_look(tako_runtime_io_uring());
}

/* Who asks for the first time when the bytes are gone is told the same. */
static void test_looked_at_later(void **state)
{
	(void)state;
	assert_true(set_up(tako_runtime_epoll()));
	later = true;
	for (int i = 1; i <= 3; i++) {
		/* The next request of the pipeline has come where it was. */
		char two[2 * sizeof request];
		int n = snprintf(two, sizeof two, "%s%s", request,
		                 "GET /zzzzzzzzzzzzzzzzzzzz HTTP/1.1\r\nHost: b\r\n\r\n");

		assert_true(peer_send(&asker, &server, two, (size_t)n));
		while (checked < (unsigned)i * TAKO__COUNT(looks)) {
			ask_other();
			stepped_turn(&server, 1);
		}
		for (int k = 0; k < 2; k++) {
			assert_true(peer_reply(&asker, &server, &answer, false, WAIT_MS));
			assert_int_equal(answer.status, 200);
			peer_drop(&asker, answer.total_n);
		}
	}
	tear_down();
}

/* Only what ends with the delivery that it came in can do with a loan. */
static void test_who_is_lent_a_head(void **state)
{
	static const struct {
		const char *text;
		bool lent;
	} table[] = {
		{"GET /a HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", true},
		{"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", true},
		{"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", false},
		{"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	         false},
		{"GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n",
	         false},
	};

	(void)state;
	assert_true(set_up(tako_runtime_epoll()));
	for (size_t i = 0; i < TAKO__COUNT(table); i++) {
		ask(&asker, table[i].text);
		assert_int_equal(lent, table[i].lent);
	}
	tear_down();
}

/* Seen first when all of it is over, or when its bytes are gone. */
static void test_odd_heads(void **state)
{
	(void)state;
	assert_true(set_up(tako_runtime_epoll()));
	for (unsigned i = 0; i < 2 * TAKO__COUNT(odds); i++) {
		odd = &odds[i / 2];
		later = i % 2;
		assert_true(peer_send(&asker, &server, odd->text, strlen(odd->text)));
		assert_true(peer_reply(&asker, &server, &answer, false, WAIT_MS));
		assert_true(lent);
		assert_int_equal(checked, i + 1);
		peer_close(&asker);
		peer_open(&asker, &server);
	}
	odd = NULL;
	tear_down();
}

static void test_turn_inside_a_turn(void **state)
{
	const tako_runtime *const runtimes[] = {tako_runtime_epoll(), tako_runtime_io_uring()};

	(void)state;
	for (size_t i = 0; i < TAKO__COUNT(runtimes); i++) {
		assert_true(set_up(runtimes[i]));
		ask(&other, another);
		ask(&asker, "GET /step HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(lent);
		assert_int_equal(answer.body_n, 5);
		assert_memory_equal(answer.body, "/step", 5);
		assert_int_equal(stepped_rc, TAKO_ESTATE);
		assert_true(peer_reply(&other, &server, &answer, false, WAIT_MS));
		assert_int_equal(answer.status, 200);
		tear_down();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_shown_stays), cmocka_unit_test(test_looked_at_later),
		cmocka_unit_test(test_who_is_lent_a_head),   cmocka_unit_test(test_odd_heads),
		cmocka_unit_test(test_turn_inside_a_turn),
	};

	if (failalloc_install() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
